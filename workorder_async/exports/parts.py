"""What makes a part durable: a file of lines that grows, a stream, or a database.

All of them take rows in the event loop, and give work to be done in the disk's thread: one piece at a time, in order.
Rows are on disk before the part's line in the manifest is; a stream has no manifest.
"""

import errno
import os
import select
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Final, Protocol

from attrs import evolve

from workorder_async.durable import sync_folder
from workorder_async.errors import ExportError
from workorder_async.exports.manifest import Manifest, note_of, part_of
from workorder_async.exports.report import Part
from workorder_async.exports.sink import Record, Sink, Store

#: So much is held before it is written.
_BYTES_AT_ONCE: Final = 1 << 20
_ROWS_AT_ONCE: Final = 1000
_BYTES_CHECKED: Final = 1 << 20
#: How often a stream that waits asks whether to stop, in seconds.
_NAP: Final = 0.05


class Parts(Protocol):
    """The parts of an export that are durable, and the one that is being written."""

    @property
    def done(self) -> list[Part]:
        """The parts that are durable, in order."""
        ...

    def add(self, rows: Sequence[Record]) -> Callable[[], object] | None:
        """Take rows of the part; return work for the thread once there is enough."""
        ...

    def end_part(self, part: Part) -> Callable[[], object]:
        """Return the work for the thread that makes the part durable, and adds it to `done`."""
        ...

    def finish(self) -> None:
        """Make it what the user asked for, and close it, in the thread."""
        ...

    def close(self) -> None:
        """Close it as it is."""
        ...


class Output(Protocol):
    """Where bytes go."""

    def write(self, content: bytearray) -> None:
        """Write all of this."""
        ...

    def sync(self) -> None:
        """Have it on disk, where there is one."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class GrowingFile:
    """A file that is added to. What comes after its last durable part is cut off; a damaged part is forgotten."""

    def __init__(self, path: Path, manifest: Manifest, check: Callable[[], None]) -> None:
        self._path = path
        self._file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600), "r+")
        try:
            whole = self._count(manifest.parts, check)
            if whole < len(manifest.parts):
                manifest.keep(whole)
            self._file.truncate(self._file.seek(manifest.parts[-1].end if manifest.parts else 0))
            sync_folder(path.parent)
        except BaseException:
            self._file.close()
            raise

    def _count(self, done: Sequence[Part], check: Callable[[], None]) -> int:
        """Return how many of the parts are there as they were written."""
        position = 0
        for number, part in enumerate(done):
            crc = 0
            while position < part.end:
                check()
                content = self._file.read(min(_BYTES_CHECKED, part.end - position))
                if not content:
                    return number
                crc = zlib.crc32(content, crc)
                position += len(content)
            if crc != part.crc:
                return number
        return len(done)

    def write(self, content: bytearray) -> None:
        """Write all of this."""
        with _named(self._path):
            view = memoryview(content)
            while view:
                view = view[self._file.write(view) :]

    def sync(self) -> None:
        """Have it on disk."""
        with _named(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of it."""
        self._file.close()


class Stream:
    """Stdout, or a device or pipe that is written to at once.

    A pipe that nobody reads from does not hold up the thread for ever: `check` is asked whether to stop.
    """

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        self._path = path
        self._check = check
        self._is_own = str(path) != "-"
        if not self._is_own:
            sys.stdout.flush()
        self._descriptor = self._opened() if self._is_own else sys.stdout.fileno()
        self._waits = not stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def _opened(self) -> int:
        """Open a path; a named pipe when somebody reads from it."""
        while True:
            try:
                return os.open(self._path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            self._check()
            time.sleep(_NAP)

    def write(self, content: bytearray) -> None:
        """Write all of this."""
        view = memoryview(content)
        try:
            while view:
                view = view[self._write(view) :]
        except OSError as error:
            name = str(self._path) if self._is_own else "stdout"
            raise ExportError(f"cannot write to {name}: {error.strerror}; it got only part of the tickets") from error

    def _write(self, view: memoryview) -> int:
        if sys.platform == "win32" or not self._waits:
            return os.write(self._descriptor, view)
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while not poll.poll(1000 * _NAP):
            self._check()
        # A pipe that is ready takes so much without waiting.
        return os.write(self._descriptor, view[: select.PIPE_BUF])

    def sync(self) -> None:
        """Return: what was written is gone."""

    def close(self) -> None:
        """Let go of it."""
        if self._is_own:
            self._is_own = False
            os.close(self._descriptor)


class Lines:
    """Parts as bytes, each by a sink of its own."""

    def __init__(self, output: Output, new_sink: Callable[[], Sink], manifest: Manifest | None = None) -> None:
        done: list[Part] = [] if manifest is None else manifest.parts
        self.done: list[Part] = done
        self._output = output
        self._new_sink = new_sink
        self._manifest = manifest
        self._sink = new_sink()
        self._pending = bytearray() if done else bytearray(self._sink.begin())
        self._end, self._crc = done[-1].end if done else 0, 0

    def add(self, rows: Sequence[Record]) -> Callable[[], object] | None:
        """Encode rows; return the work that writes them once there is enough."""
        self._pending += self._sink.encode(rows)
        return partial(self._write, self._taken()) if len(self._pending) >= _BYTES_AT_ONCE else None

    def end_part(self, part: Part) -> Callable[[], object]:
        """Return the work that makes the part durable."""
        self._pending += self._sink.end_part()
        whole = evolve(part, changes=self._sink.changes)
        self._sink = self._new_sink()
        return partial(self._finish, self._taken(), whole)

    def _taken(self) -> bytearray:
        taken, self._pending = self._pending, bytearray()
        return taken

    def _write(self, content: bytearray) -> None:
        self._output.write(content)
        self._end += len(content)
        self._crc = zlib.crc32(content, self._crc)

    def _finish(self, content: bytearray, part: Part) -> None:
        self._write(content)
        self._output.sync()
        whole = evolve(part, end=self._end, crc=self._crc)
        self._crc = 0
        if self._manifest is None:
            self.done.append(whole)
        else:
            self._manifest.add(whole)

    def finish(self) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._output.close()


class Tables:
    """Parts as transactions of a database; each one's line is in it, too, since no two files change at once."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._store = store
        self._manifest = manifest
        self._rows: list[Record] = []
        self._is_begun = False
        if store.finished:
            return
        notes = store.parts()
        known = len(self.done)
        if known > len(notes):
            manifest.keep(len(notes))
        for number in range(known, len(notes)):
            manifest.add(part_of(notes[number]))

    @property
    def is_finished(self) -> bool:
        """Whether the database is what the user asked for, and knows no parts any more."""
        return self._store.finished

    @property
    def done(self) -> list[Part]:
        """The parts that are durable."""
        return self._manifest.parts

    def add(self, rows: Sequence[Record]) -> Callable[[], object] | None:
        """Take rows; return the work that adds them to the transaction once there are enough."""
        self._rows += rows
        return partial(self._write, self._taken()) if len(self._rows) >= _ROWS_AT_ONCE else None

    def end_part(self, part: Part) -> Callable[[], object]:
        """Return the work that commits the part."""
        return partial(self._finish, self._taken(), part)

    def _taken(self) -> list[Record]:
        taken, self._rows = self._rows, []
        return taken

    def _write(self, rows: list[Record]) -> None:
        if not self._is_begun:
            self._store.begin_part()
            self._is_begun = True
        self._store.write(rows)

    def _finish(self, rows: list[Record], part: Part) -> None:
        self._write(rows)
        whole = evolve(part, changes=self._store.changes)
        self._store.commit(part.number, note_of(whole))
        self._is_begun = False
        self._manifest.add(whole)

    def finish(self) -> None:
        """Make the database what the user asked for, and close it."""
        self._store.finish()
        self.close()

    def close(self) -> None:
        """Close it; what was not committed is gone."""
        self._store.close()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an error of the disk say which file it is about."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
