"""The parts of an export become durable: in a file that grows, with a manifest beside it, or on a stream without one.

`Lines` takes rows in the event loop, and the thread of `Disk` writes them: one piece at a time, in order. The rows of a
part are on disk before its line in the manifest is written.

The first line of a manifest, its head, tells which export it is of. Each part that is on disk has a further line:

    {"manifest":"workorder_async","version":5,"platform":...,"app_id":...,"queries":[...],"format":...}
    {"query":0,"rows":5000,"rest":[null,1636600271],"end":1890432,"crc":3735928559,...}
    {"query":0,...}
    {"named":[inode, size],...}                                    written just before the file gets its name

`rest` is the range of created time that a later call reads. All dated tickets of the query outside of it are on disk.
About a page of tickets inside of it is on disk, too; `again` has their ids, by which the later call drops them. Times
in the head are absolute, so that the same call asks the same query tomorrow. The last member of a line is a checksum of
this line and of all lines before it.

A part's line is on disk before the next part is. A later call drops a torn last line, as a crash leaves it, and all
lines from the first damaged one on: it reads their parts again. A damaged head is an error, since nothing else tells
which export the rows are of.

If a walk restarts, because the list is not as it seemed, and parts of its query are on disk, the export adds a *void*
part: it has no `rest`, and does not end its query. The `rest` of the parts before it relies on a wrong order. So unless
the same call reads the query to its end, the next call begins anew.
"""

import asyncio
import errno
import json
import os
import select
import stat
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, TypeAlias, TypeVar
from zlib import crc32

from attrs import define, frozen
from cattrs import Converter

from workorder_async.document.json_text import JSON, to_json
from workorder_async.durable import InUseError, LockedFile, MovedError, naming
from workorder_async.errors import ConfigError, ExportError
from workorder_async.exports.report import Part
from workorder_async.exports.sink import UNCHANGED, Record, Sink, TextChanges
from workorder_async.tasks import to_its_end

T = TypeVar("T")

#: The version of this layout and of the bytes of every format: raised when either changes, but not for a
#: further field of a part that has a default.
VERSION: Final = 5
_BEGINS: Final = b'{"manifest":"workorder_async","version":'
_SUM: Final = b',"sum":"%08x"}\n'
_CONVERTER: Final = Converter()
# Lines are read by `json`: orjson refuses half a surrogate pair, which a path has whose bytes are no UTF-8.

#: Bytes that are held before they are written; also bytes that are read at once to check a part.
_BYTES_AT_ONCE: Final = 4 << 20
_STDOUT: Final = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
#: Seconds between two calls of `check` while a stream waits for its reader.
_NAP: Final = 0.05


@frozen(kw_only=True)
class Renamed:
    """The line that says which file is about to get the target's name, or has it."""

    named: tuple[int, int]
    """The inode and the size of the file, by which it is told from any other file of that name."""
    changes: TextChanges = UNCHANGED
    """The changes in texts when the rows were converted to the file."""

    def is_at(self, path: Path) -> bool:
        """Tell whether that file has this name."""
        try:
            found = path.stat()
        except OSError:
            return False
        return self.named == (found.st_ino, found.st_size)


Head: TypeAlias = dict[str, JSON]
"""The facts that tell which export it is. A call with others does not go on."""
Line: TypeAlias = Head | Part | Renamed


class Manifest:
    """A manifest, locked until it is closed; made if there is none. One thread uses it at a time.

    `head` is None in a new manifest; with `resume` False no line is read. Raises `ExportError` if another process has
    the manifest, or if its head cannot be read; `ConfigError` if it cannot be made.
    """

    def __init__(self, path: Path, *, resume: bool = True) -> None:
        self.path = path
        self.head: Head | None = None
        self.parts: list[Part] = []
        self.named: Renamed | None = None
        # For each line: the byte at which it ends, and the checksum up to there. In front: where the first line begins.
        self._ends: list[tuple[int, int]] = [(0, 0)]
        try:
            self._file = LockedFile(path, is_ours=True)
        except (InUseError, MovedError):
            raise ExportError(
                f"{str(path)!r} is in use: another process or call exports to the same file; wait for its end"
            ) from None
        except OSError as error:
            why = error.strerror or error
            mend = "choose another place for the target"
            raise ConfigError(f"cannot write {str(path)!r}: {why}", mend=mend) from None
        try:
            self._read(resume=resume)
        except BaseException:
            self._file.close()
            raise

    def _read(self, *, resume: bool) -> None:
        """Take in all lines in front of the first damaged one, and cut off the others."""
        for line in self._file.lines():
            if self.head is None:
                self._check_first(line, resume=resume)
            if not resume:
                return
            end, total = self._ends[-1]
            total = crc32(line[: -len(_SUM % 0)], total)
            if not line.endswith(_SUM % total):  # this line is torn or damaged, or one before it is missing
                if self.head is None and line.endswith(b"\n"):
                    mend = "move it away with its part, or begin anew with resume=False"
                    raise ExportError(f"{str(self.path)!r} is damaged in its first line", mend=mend)
                break
            value: Head = json.loads(line)
            del value["sum"]
            kind: type[Part | Renamed] = Renamed if "named" in value else Part
            self._take_in(value if self.head is None else _CONVERTER.structure(value, kind), end + len(line), total)
        self._file.cut(self._ends[-1][0])

    def _check_first(self, line: bytes, *, resume: bool) -> None:
        if not (line.startswith(_BEGINS) or _BEGINS.startswith(line)):
            raise ExportError(f"{str(self.path)!r} is no manifest of an export; move it away, or choose another target")
        version = line[len(_BEGINS) :].partition(b",")[0].decode(errors="replace")
        if resume and line.endswith(b"\n") and version.isdigit() and version != str(VERSION):
            raise ExportError(
                f"{str(self.path)!r} was written by another version of this library ({version:.20}, not {VERSION})",
                mend="end the export with that one, or begin anew with resume=False",
            )

    def _take_in(self, parsed: Line, end: int, total: int) -> None:
        self._ends.append((end, total))
        if isinstance(parsed, dict):
            self.head = parsed
        elif isinstance(parsed, Part):
            self.parts.append(parsed)
        else:
            self.named = parsed

    def add(self, line: Line) -> None:
        """Write a line: the head, a part whose rows are on disk, or the file that is about to get its name."""
        content = to_json(_CONVERTER.unstructure(line))[:-1]
        total = crc32(content, self._ends[-1][1])
        with naming(self.path):
            self.check_place()
            self._file.append(content + _SUM % total)
        self._take_in(line, self._file.size, total)

    def differences(self, head: Head) -> str:
        """Say in which facts this head differs from that of the manifest; "" if in none, or the manifest has none."""
        before = self.head or head
        return "; ".join(
            f"{name} was {to_json(was).decode()}, and is {to_json(now).decode()}"
            for name, now in head.items()
            if (was := before.get(name)) != now
        )

    def check_place(self) -> None:
        """Raise `OSError` if the name leads to another manifest by now, which then is another process's."""
        self._file.check_place()

    def keep(self, parts: int) -> None:
        """Forget all parts but the first `parts` of them, and the file that was to get its name.

        If the last kept part or a forgotten one is void, all parts are forgotten.
        """
        if any(part.is_void for part in self.parts[max(0, parts - 1) :]):
            parts = 0
        del self.parts[parts:]
        del self._ends[parts + 2 :]
        self.named = None
        self._file.cut(self._ends[-1][0])

    def clear(self) -> None:
        """Forget everything."""
        self._file.cut(0)
        self.head, self.named, self.parts, self._ends = None, None, [], [(0, 0)]

    def remove(self) -> None:
        """Remove the manifest while it is locked; on Windows after it is closed: no open file can be removed there."""
        if sys.platform == "win32":
            self._file.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Unlock the manifest; an empty one is removed."""
        try:
            if self._file.size == 0:
                self.check_place()
                self.remove()
        finally:
            self._file.close()


class StoppedError(Exception):
    """The export ended while this work was under way: its result is not needed."""


class Disk:
    """The thread that does an export's work on files, one piece at a time; for `async with`.

    On leaving, the work under way is waited for. Long work calls `check`, which then stops it.
    """

    def __init__(self) -> None:
        #: The files that work in the thread has opened; on leaving they are closed in any case.
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
                # An error of this work is dropped: the export has ended already, with an error of its own.
                await to_its_end(asyncio.gather(self._busy, return_exceptions=True))
        finally:
            with suppress(OSError):  # a file that cannot be removed now is found by the next call
                self.opened.close()

    def check(self) -> None:
        """Raise `StoppedError` if the export has ended. Long work in the thread calls this now and then."""
        if self._stopped:
            raise StoppedError

    async def submit(self, work: Callable[[], object]) -> None:
        """Begin work once the work before it has ended. Raises the error of the work before it."""
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
            why = error.strerror or " ".join(map(str, error.args))  # `str(error)` would repeat the file's name
            # If another process has moved or changed the file, no call may go on with it.
            goes_on = "" if isinstance(error, MovedError) else ", and the same call goes on from there"
            raise ExportError(f"cannot write{place}: {why}; what is on disk stays{goes_on}") from error

    async def run(self, work: Callable[[], T], while_busy: Callable[[], None] | None = None) -> T:
        """Do work, and return its result; `while_busy` is called a few times a second meanwhile."""
        await self.submit(work)
        while while_busy is not None and self._busy is not None and not self._busy.done():
            await asyncio.wait({self._busy}, timeout=0.2)
            while_busy()
        result: T = await self.wait()  # type: ignore[assignment]  # of this very work
        return result


class GrowingFile(LockedFile):
    """The file that an export's rows go to.

    On opening, the parts of the manifest are checked: from the first damaged one on they are forgotten. The bytes
    behind the last part that is kept are cut off.
    """

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
        """Add bytes, and return when they are on disk. Raises `MovedError` if the name leads to another file by now."""
        with naming(Path(self._path)):
            super().append(content)
            self.check_place()


def _intact(rows: BinaryIO, done: Sequence[Part], check: Callable[[], None]) -> int:
    """Return how many parts, counted from the first one, are in the file as they were written."""
    for number, part in enumerate(done):
        total = 0
        while left := part.end - rows.tell():
            check()
            content = rows.read(min(_BYTES_AT_ONCE, left))
            if not content:
                return number
            total = crc32(content, total)
        if total != part.crc:
            return number
    return len(done)


class Stream:
    """Stdout, or a device or pipe, written to without a part file and a manifest.

    While a pipe is full, or has no reader yet, `check` is called again and again: it ends the wait if the export ended.
    """

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        self._path = path
        self._check = check
        self._is_own = str(path) not in _STDOUT
        self._descriptor = self._opened() if self._is_own else _stdout()
        self._may_block = not stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def _opened(self) -> int:
        """Open a path; a named pipe once a reader has opened it."""
        while True:
            try:
                return os.open(self._path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
            except OSError as error:
                if error.errno != errno.ENXIO or not self._path.is_fifo():  # a socket has no reader, ever
                    raise
            self._check()
            time.sleep(_NAP)

    def append(self, content: bytearray) -> None:
        """Write all bytes; none of them can be taken back."""
        view = memoryview(content)
        try:
            while view:
                view = view[self._write(view) :]
        except OSError as error:
            name = str(self._path) if self._is_own else "stdout"
            raise ExportError(f"cannot write to {name}: {error.strerror}; it got only part of the tickets") from error

    def _write(self, view: memoryview) -> int:
        if sys.platform == "win32" or not self._may_block:
            return os.write(self._descriptor, view)
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while not poll.poll(1000 * _NAP):
            self._check()
        # A pipe that is ready takes `PIPE_BUF` bytes without blocking.
        return os.write(self._descriptor, view[: select.PIPE_BUF])

    def close(self) -> None:
        """Close the stream, unless it is stdout."""
        if self._is_own:
            os.close(self._descriptor)


def _stdout() -> int:
    """Return the descriptor of stdout. Raises `OSError` if there is none."""
    with suppress(ValueError):  # stdout was closed, or is no file
        # In `program >&-` both are None, or `sys.stdout` is a dummy that a library has put there.
        if None not in (sys.stdout, sys.__stdout__):
            sys.stdout.flush()
            return sys.stdout.fileno()
    raise OSError(errno.EBADF, "stdout is closed, or is no file")


@define(eq=False, slots=False)
class Lines:
    """The parts of an export on their way to the output: a new sink for each part makes bytes of its rows."""

    _output: GrowingFile | Stream
    _new_sink: Callable[[], Sink]
    done: list[Part]
    """The parts that are durable, in order."""
    _remember: Callable[[Part], None]
    """Adds a durable part to `done`; for a file, also to the manifest."""
    disk: Disk

    def __attrs_post_init__(self) -> None:
        self._sink = self._new_sink()
        # Bytes that the thread has not been given yet.
        self._pending = bytearray() if self.done else bytearray(self._sink.begin())
        # How many bytes are written in all, and the CRC-32 of those of the part under way.
        self._end, self._crc = self.done[-1].end if self.done else 0, 0

    async def add(self, rows: Sequence[Record]) -> None:
        """Take rows of the part under way; begin to write its bytes once there are enough of them."""
        self._pending += self._sink.encode(rows)
        if len(self._pending) >= _BYTES_AT_ONCE:
            await self.disk.submit(partial(self._write, self._take_pending()))

    async def end_part(self, part: Part) -> None:
        """End the part under way, and begin to make it durable; the next rows are of the next part."""
        self._pending += self._sink.end_part()
        part.changes = self._sink.changes
        self._sink = self._new_sink()
        await self.disk.submit(partial(self._finish, self._take_pending(), part))

    def _take_pending(self) -> bytearray:
        taken, self._pending = self._pending, bytearray()
        return taken

    def _write(self, content: bytearray) -> None:
        self._output.append(content)
        self._end += len(content)
        self._crc = crc32(content, self._crc)

    def _finish(self, content: bytearray, part: Part) -> None:
        self._write(content)
        part.end, part.crc = self._end, self._crc
        self._crc = 0
        self._remember(part)

    def close(self) -> None:
        """Close the output as it is."""
        self._output.close()
