"""Parts become durable, in a file that grows, or on a stream; one thread does the disk's work.

`Lines` takes rows in the event loop, and returns work for the thread of `Disk`: one piece at a time, in order. The rows
of a part are on disk before its line in the manifest is. A stream has no manifest.
"""

import asyncio
import errno
import os
import select
import stat
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, TypeVar

from attrs import define

from workorder_async.durable import LockedFile, naming
from workorder_async.errors import ExportError
from workorder_async.exports.manifest import Manifest
from workorder_async.exports.report import Part
from workorder_async.exports.sink import Record, Sink
from workorder_async.tasks import to_its_end

T = TypeVar("T")

#: So much is held before it is written, and read at once to be checked.
_BYTES_AT_ONCE: Final = 4 << 20
_STDOUT: Final = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
#: How often a stream that waits asks whether to stop, in seconds.
_NAP: Final = 0.05


class StoppedError(Exception):
    """The work was given up: nobody waits for it."""


class Disk:
    """A thread, for `async with`. On leaving, work under way is waited for; long work asks `check` whether to stop."""

    def __init__(self) -> None:
        #: What the work opened is entered here, in the thread, and closed on leaving, even if nobody waited for it.
        self.opened: ExitStack = ExitStack()
        self._thread = ThreadPoolExecutor(1, "workorder-export")
        self.opened.callback(self._thread.shutdown)
        self._busy: asyncio.Future[Any] | None = None
        self._stopped = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped = True
        try:
            if self._busy is not None:
                # Its error is nobody's: another one ended the export before.
                await to_its_end(asyncio.gather(self._busy, return_exceptions=True))
        finally:
            with suppress(OSError):  # what cannot be cleared away is found by the next call
                self.opened.close()

    def check(self) -> None:
        """Raise `StoppedError` if the work was given up; for long work in the thread."""
        if self._stopped:
            raise StoppedError

    async def submit(self, work: Callable[[], object]) -> None:
        """Begin this once the work before it has ended; raises the error of that work."""
        await self.wait()
        self._busy = asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def wait(self) -> object:
        """Wait for the work under way, and return its result. Raises `ExportError` in place of `OSError`."""
        if self._busy is None:
            return None
        await asyncio.wait({self._busy})
        busy, self._busy = self._busy, None
        try:
            return busy.result()
        except OSError as error:
            place = f" {str(error.filename)!r}" if error.filename else ""
            why = error.strerror or " ".join(map(str, error.args))  # its text has the name, too
            raise ExportError(
                f"cannot write{place}: {why}; what is on disk stays, and the same call goes on from there"
            ) from error

    async def run(self, work: Callable[[], T], while_busy: Callable[[], None] | None = None) -> T:
        """Do this, and return its result; `while_busy` is called a few times a second meanwhile."""
        await self.submit(work)
        while while_busy is not None and self._busy is not None and not self._busy.done():
            await asyncio.wait({self._busy}, timeout=0.2)
            while_busy()
        result: T = await self.wait()  # type: ignore[assignment]  # of this very work
        return result


class GrowingFile(LockedFile):
    """The rows of an export. Bytes after its last durable part are cut off; a damaged part is forgotten."""

    def __init__(self, path: Path, manifest: Manifest, check: Callable[[], None]) -> None:
        super().__init__(path, is_ours=True)
        try:
            with path.open("rb") as rows:
                manifest.keep(_intact(rows, manifest.parts, check))
            self.cut(manifest.parts[-1].end if manifest.parts else 0)
        except BaseException:
            self.close()
            raise

    def append(self, content: bytes | bytearray) -> None:
        """Have this on disk, in the file that has the name."""
        with naming(Path(self._path)):
            super().append(content)
            self.check_place()


def _intact(rows: BinaryIO, done: Sequence[Part], check: Callable[[], None]) -> int:
    """Return how many of the parts are there as they were written."""
    for number, part in enumerate(done):
        crc = 0
        while left := part.end - rows.tell():
            check()
            content = rows.read(min(_BYTES_AT_ONCE, left))
            if not content:
                return number
            crc = zlib.crc32(content, crc)
        if crc != part.crc:
            return number
    return len(done)


class Stream:
    """Stdout, or a device or pipe that is written to at once.

    A pipe that nobody reads from does not hold up the thread for ever: `check` is asked whether to stop.
    """

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        self._path = path
        self._check = check
        self._is_own = str(path) not in _STDOUT
        self._descriptor = self._opened() if self._is_own else _stdout()
        self._waits = not stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def _opened(self) -> int:
        """Open a path; a named pipe once a reader has opened it."""
        while True:
            try:
                return os.open(self._path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            self._check()
            time.sleep(_NAP)

    def append(self, content: bytearray) -> None:
        """Write all of this; what was written cannot be taken back."""
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

    def close(self) -> None:
        """Let go of it."""
        if self._is_own:
            os.close(self._descriptor)


def _stdout() -> int:
    """Return the descriptor of stdout. Raises `OSError` if there is none."""
    with suppress(ValueError):  # it was closed, or is no file
        # Both are None in `program >&-`, but for what somebody put in its place since, which leads nowhere.
        if None not in (sys.stdout, sys.__stdout__):
            sys.stdout.flush()
            return sys.stdout.fileno()
    raise OSError(errno.EBADF, "stdout is closed, or is no file")


@define(eq=False, slots=False)
class Lines:
    """Parts as bytes, each by a sink of its own."""

    _output: GrowingFile | Stream
    _new_sink: Callable[[], Sink]
    done: list[Part]
    """The parts that are durable, in order."""
    _remember: Callable[[Part], None]
    """Adds a part that is durable to them."""

    def __attrs_post_init__(self) -> None:
        self._sink = self._new_sink()
        self._pending = bytearray() if self.done else bytearray(self._sink.begin())
        self._end, self._crc = self.done[-1].end if self.done else 0, 0

    def add(self, rows: Sequence[Record]) -> Callable[[], None] | None:
        """Take rows of the part; return the work that writes them once there are enough."""
        self._pending += self._sink.encode(rows)
        return partial(self._write, self._taken()) if len(self._pending) >= _BYTES_AT_ONCE else None

    def end_part(self, part: Part) -> Callable[[], None]:
        """Return the work that makes the part durable."""
        self._pending += self._sink.end_part()
        part.changes = self._sink.changes
        self._sink = self._new_sink()
        return partial(self._finish, self._taken(), part)

    def _taken(self) -> bytearray:
        taken, self._pending = self._pending, bytearray()
        return taken

    def _write(self, content: bytearray) -> None:
        self._output.append(content)
        self._end += len(content)
        self._crc = zlib.crc32(content, self._crc)

    def _finish(self, content: bytearray, part: Part) -> None:
        self._write(content)
        part.end, part.crc = self._end, self._crc
        self._crc = 0
        self._remember(part)

    def close(self) -> None:
        """Close it as it is."""
        self._output.close()
