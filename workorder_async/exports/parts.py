"""Parts become durable: in a file that grows, which a manifest remembers, or on a stream.

`Lines` takes rows in the event loop, and the thread of `Disk` writes them: one piece at a time, in order. The rows of a
part are on disk before its line in the manifest is. A stream has no manifest.

A manifest says which export it is of, then has a line for each part that is on disk:

    {"manifest":"workorder_async","version":5,"platform":...,"app_id":...,"queries":[...],"format":...}
    {"query":0,"rows":5000,"rest":[null,1636600271],"end":1890432,"crc":3735928559,...}
    {"query":0,...}
    {"named":[inode, size],...}                                    written just before the file gets its name

`rest` is the rest of the query that is to be read: everything before it has been given out, and will not come again.
About one page of it has come; `again` has the ids. The same call goes on from there, and needs to know no other ids.
Times in the head are absolute, so that a call of tomorrow asks the same query. The last member of a line is a checksum
of it and of all lines before it.

A line is added when its part is on disk, and is itself on disk before the next part is. A torn last line, as a crash
leaves it, is dropped. So is everything from the first line on that cannot be read: its parts are read again. A head
that was changed is an error: nothing else says whose rows these are.

If a walk finds that the list has another order than it assumed, it adds a part that has no `rest` and is not the last
one of its query. Then all parts before rest on a wrong order, and the next call begins anew.
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

from attrs import define, fields_dict, frozen
from cattrs import Converter

from workorder_async.document.json_text import to_json
from workorder_async.durable import InUseError, LockedFile, MovedError, naming
from workorder_async.errors import ConfigError, ExportError
from workorder_async.exports.report import Part
from workorder_async.exports.sink import UNCHANGED, Record, Sink, TextChanges
from workorder_async.tasks import to_its_end

T = TypeVar("T")

#: Of this layout, and of the bytes that each format is written in: raised when either changes.
VERSION: Final = 5
_BEGINS: Final = b'{"manifest":"workorder_async",'
_SUM: Final = b',"sum":"%08x"}\n'
_CONVERTER: Final = Converter()
# Lines are read by the standard library: orjson refuses half a surrogate pair, as a path has it that is no UTF-8.

#: So much is held before it is written, and read at once to be checked.
_BYTES_AT_ONCE: Final = 4 << 20
_STDOUT: Final = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
#: How often a stream that waits asks whether to stop, in seconds.
_NAP: Final = 0.05


@frozen(kw_only=True)
class Head:
    """Which export it is: another one is not gone on with."""

    manifest: str = "workorder_async"
    version: int = VERSION
    platform: str
    app_id: str = ""
    queries: tuple[Any, ...]
    """As `encode` writes them."""
    format: str
    columns: tuple[str, ...]
    raw: bool
    detail: bool
    attachments: str | None
    csv_bom: bool
    csv_defuse: bool

    def differences(self, other: "Head") -> str:
        """Say in which points another one is another export; "" if in none."""
        return "; ".join(
            f"{name} was {to_json(before).decode()}, and is {to_json(now).decode()}"
            for name in fields_dict(Head)
            if (before := getattr(self, name)) != (now := getattr(other, name))
        )


@frozen(kw_only=True)
class Renamed:
    """A file that is about to get its name, or has it."""

    named: tuple[int, int]
    """Its inode and its size, by which it is told from any other file of that name."""
    changes: TextChanges = UNCHANGED
    """The changes of its conversion."""

    def is_at(self, path: Path) -> bool:
        """Tell whether that file has this name."""
        try:
            found = path.stat()
        except OSError:
            return False
        return self.named == (found.st_ino, found.st_size)


Line: TypeAlias = Head | Part | Renamed


class Manifest:
    """A manifest, locked until it is closed; made if there is none. One thread uses it at a time.

    `head` is None in a new one; with `resume` False no line is read. Raises `ExportError` if another process has it or
    nobody can read it, `ConfigError` if it cannot be made.
    """

    def __init__(self, path: Path, *, resume: bool = True) -> None:
        self.path = path
        self.head: Head | None = None
        self.parts: list[Part] = []
        self.named: Renamed | None = None
        # Where the lines end, and their checksums; first of all where they begin.
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
        for line in self._file.lines():
            if self.head is None and not (line.startswith(_BEGINS) or _BEGINS.startswith(line)):
                raise ExportError(
                    f"{str(self.path)!r} is no manifest of an export; move it away, or choose another target"
                )
            if not resume:
                return
            end, total = self._ends[-1]
            content = line[: -len(_SUM % 0)]
            total = crc32(content, total)
            try:
                said = self._said(line, content + b"}" if line.endswith(_SUM % total) else b"")
            except ExportError:
                raise
            except Exception:  # noqa: BLE001 - a torn line may raise anything
                if self.head is None and line.endswith(b"\n"):
                    mend = "move it away with its part, or begin anew with resume=False"
                    raise ExportError(f"{str(self.path)!r} is damaged in its first line", mend=mend) from None
                break
            self._take_in(said, end + len(line), total)
        self._file.cut(self._ends[-1][0])

    def _said(self, line: bytes, content: bytes) -> Line:
        """Read a line; its content is empty if its checksum is not right."""
        if self.head is None:
            value = json.loads(line)
            if value["version"] != VERSION:
                raise ExportError(
                    f"{str(self.path)!r} was written by another version of this library ({value['version']}, not "
                    f"{VERSION})",
                    mend="end the export with that one, or begin anew with resume=False",
                )
            return _CONVERTER.structure(json.loads(content), Head)
        # Its checksum covers all lines before it, so it stands where it was written.
        value = json.loads(content)
        return _CONVERTER.structure(value, Renamed) if "named" in value else _CONVERTER.structure(value, Part)

    def _take_in(self, said: Line, end: int, total: int) -> None:
        self._ends.append((end, total))
        if isinstance(said, Head):
            self.head = said
        elif isinstance(said, Part):
            self.parts.append(said)
        else:
            self.named = said

    def add(self, line: Line) -> None:
        """Write a line: the head, a part whose rows are on disk, or that a file is about to get its name."""
        content = to_json(_CONVERTER.unstructure(line))[:-1]
        total = crc32(content, self._ends[-1][1])
        with naming(self.path):
            self.check_place()
            self._file.append(content + _SUM % total)
        self._take_in(line, self._file.size, total)

    def check_place(self) -> None:
        """Raise `OSError` if the name leads to another manifest by now: its parts are those of another process."""
        self._file.check_place()

    def keep(self, parts: int) -> None:
        """Forget all parts but the first so many, and that a file was to get its name.

        If the last one, or a forgotten one, says that the parts before it do not count, none is kept.
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
        """Take it away, while nobody else can have it; on Windows nobody can take away an open file."""
        if sys.platform == "win32":
            self._file.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Unlock it; an empty one is taken away."""
        try:
            if self._file.size == 0:
                self.check_place()
                self.remove()
        finally:
            self._file.close()


class StoppedError(Exception):
    """The work was given up: nobody waits for it."""


class Disk:
    """A thread, for `async with`. On leaving, work under way is waited for; long work asks `check` whether to stop."""

    def __init__(self) -> None:
        #: The work enters here, in the thread, the files that it opens; they are closed on leaving in any case.
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
            with suppress(OSError):  # the next call finds files that cannot be cleared away
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
            # If somebody else has moved or changed the file, no call may go on with it.
            goes_on = "" if isinstance(error, MovedError) else ", and the same call goes on from there"
            raise ExportError(f"cannot write{place}: {why}; what is on disk stays{goes_on}") from error

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
        # Both are None in `program >&-`, unless somebody has put a stream that leads nowhere in its place.
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
    disk: Disk

    def __attrs_post_init__(self) -> None:
        self._sink = self._new_sink()
        self._pending = bytearray() if self.done else bytearray(self._sink.begin())
        self._end, self._crc = self.done[-1].end if self.done else 0, 0

    async def add(self, rows: Sequence[Record]) -> None:
        """Take rows of the part, and begin to write them once there are enough."""
        self._pending += self._sink.encode(rows)
        if len(self._pending) >= _BYTES_AT_ONCE:
            await self.disk.submit(partial(self._write, self._taken()))

    async def end_part(self, part: Part) -> None:
        """Begin to make the part durable."""
        self._pending += self._sink.end_part()
        part.changes = self._sink.changes
        self._sink = self._new_sink()
        await self.disk.submit(partial(self._finish, self._taken(), part))

    def _taken(self) -> bytearray:
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
        """Close it as it is."""
        self._output.close()
