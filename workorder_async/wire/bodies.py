"""The body of a request: JSON bytes, or a file as multipart/form-data; both can be sent again."""

import asyncio
import io
import mimetypes
import os
import re
import secrets
import stat
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from inspect import iscoroutinefunction
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias, cast

from attrs import define

from workorder_async.arguments import function, has_bytes, kind_of, path, plain
from workorder_async.errors import ConfigError
from workorder_async.secret import without_credentials

_CHUNK = 256 * 1024
_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(\s*;.*)?", re.ASCII)

BeforeWrite: TypeAlias = Callable[[], Awaitable[object]]
"""Awaited just before the first byte is written; raises where nothing must be."""
OnProgress: TypeAlias = Callable[[int, int], object]
"""Called with the bytes of the file that were sent, and all there are."""
FileSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes themselves, or a seekable file object that was opened for reading bytes."""

# The upload that reads a file object, by the `id` of that.
_READERS: Final[dict[int, "FileBody"]] = {}
_TURN: Final = threading.Lock()


@define
class JsonBody:
    """A JSON text, as bytes."""

    content: bytes
    before_write: BeforeWrite | None = None
    """Awaited in each attempt, once there is a connection."""
    on_turned_away: Callable[[], None] | None = None
    """Called when an answer says that the request has changed nothing."""
    ticket_id: int = 0
    """The ticket that a mutation is about; 0 for a creation or a read."""


class FileBody:
    """One file as multipart/form-data with a single part named `file` (upload_file).

    The file is read while it is sent, a piece at a time, in a thread, and from its start for every attempt. A file
    object is sent from where it stands, and stands there again in the end. Raises `ConfigError` for a source that
    cannot be read twice or has no name. A file that changes its size while it is sent, goes away or cannot be read is a
    `ConfigError` as well: it is no fault of the server.
    """

    def __init__(
        self,
        source: FileSource,
        *,
        file_name: str | None = None,
        file_type: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        for argument, text in (("file_name", file_name), ("file_type", file_type)):
            if text is not None and not isinstance(text, str):
                raise ConfigError(f"is {kind_of(text)}", argument=argument, mend="it must be text")
        if on_progress is not None:
            function("on_progress", on_progress)
        self._source = Path(path("source", source)) if isinstance(source, str | os.PathLike) else source
        self._start = _start_of(self._source)
        self._on_progress = on_progress
        name = _name_of(self._source) if file_name is None else file_name
        self._name = str(self._source) if isinstance(self._source, Path) else name
        # For trace.csv.gz the type of the file inside is guessed, and the packed file is no text/csv.
        guessed, packed = mimetypes.guess_type(os.path.basename(name))
        kind = file_type or (None if packed else guessed) or "application/octet-stream"
        if not (kind.isascii() and kind.isprintable() and _MIME_TYPE.fullmatch(kind)):
            raise ConfigError(f"{kind!r} is not a MIME type", argument="file_type", mend="for example image/png")
        boundary = secrets.token_hex(16)
        self.content_type: str = f"multipart/form-data; boundary={boundary}"
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_quote(name)}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._reading: asyncio.Future[bytes] | None = None
        self._readers = 0
        self._is_left = False

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        yield from self._chunks(self._size())
        yield self._tail

    async def opened(self) -> tuple[AsyncIterator[bytes], int]:
        """Return the pieces of the body, and how many bytes they have together, by the present size of the file."""
        if self._reading is not None and not self._reading.done():
            # A thread still reads for an attempt that was answered early.
            await asyncio.wait([self._reading])
        size = await asyncio.to_thread(self._size)
        return self._pieces(size), len(self._head) + size + len(self._tail)

    async def _pieces(self, size: int) -> AsyncIterator[bytes]:
        yield self._head
        sent, chunks, in_thread = 0, self._chunks(size), asyncio.get_running_loop().run_in_executor
        reading = self._reading = in_thread(None, next, chunks, b"")
        try:
            while chunk := await asyncio.shield(reading):
                yield chunk
                sent += len(chunk)
                if self._on_progress is not None:
                    self._tell(self._on_progress, sent, size)
                reading = self._reading = in_thread(None, next, chunks, b"")
        finally:
            # If this is cancelled, a thread may still read: the file is closed when that has ended.
            reading.add_done_callback(lambda done: _close(chunks, done))
        yield self._tail

    @staticmethod
    def _tell(on_progress: OnProgress, sent: int, size: int) -> None:
        try:
            plain("on_progress", on_progress(sent, size))
        except ConfigError:
            raise
        except (Exception, asyncio.CancelledError) as error:
            said = without_credentials(f"failed: {type(error).__name__}: {error}")
            raise ConfigError(said, argument="on_progress") from error

    def _chunks(self, size: int) -> Generator[bytes, None, None]:
        """Read the file from its start. Raises `ValueError` unless it has exactly `size` bytes."""
        sent, changed = 0, f"it changed while its {size:,} bytes were read, or somebody else reads from it"
        with self._opened() as (file, _):
            while sent < size and not self._is_left:
                chunk = file.read(min(_CHUNK, size - sent))
                sent += len(chunk)
                if not chunk or sent > size or file.tell() != self._start + sent:
                    raise ValueError(changed)
                yield chunk
            if not self._is_left and file.read(1):
                raise ValueError(changed)

    def leave(self) -> None:
        """Let a thread that still reads end soon: it cannot be cancelled, and no attempt waits for it."""
        self._is_left = True

    def _size(self) -> int:
        with self._opened() as (_, size):
            return size

    @contextmanager
    def _opened(self) -> Iterator[tuple[BinaryIO, int]]:
        """Give the file at its start, and how many bytes follow. Raises `ConfigError` if it cannot be read."""
        mend = ""
        try:
            if isinstance(self._source, Path):
                with self._source.open("rb") as opened:
                    yield opened, os.fstat(opened.fileno()).st_size
                return
            if isinstance(self._source, bytes):
                yield io.BytesIO(self._source), len(self._source)
                return
            file = self._source
            with self._alone():
                file.seek(0, io.SEEK_END)
                # Not what `seek` returns: an `mmap` returned None before Python 3.13.
                size = file.tell() - self._start
                if size < 0:
                    raise ValueError(f"it stands {-size:,} bytes behind its end")
                if not size and self._start:
                    mend = "call its seek(0) first"
                    raise ValueError("it stands at its end, so that nothing of it would be sent")
                file.seek(self._start)
                try:
                    yield file, size
                finally:
                    # Back to its start, so that another upload of it sends the same bytes.
                    with suppress(Exception):
                        file.seek(self._start)
        except Exception as error:  # noqa: BLE001 - somebody else's file, such as a damaged .gz
            usual = "upload one that is there and can be read"
            if isinstance(error, ValueError):
                usual = "upload a file that nobody else uses meanwhile"
            why = getattr(error, "strerror", None) or error
            raise _cannot_upload(f"{self._name!r}: {why}", mend or usual) from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no other upload read the file object: it has one position for all. Raises `ValueError` if one reads it.

        Two attempts of one upload may both read: a thread of the first may go on while the second begins.
        """
        key = id(self._source)
        with _TURN:
            if _READERS.setdefault(key, self) is not self:
                raise ValueError("another upload reads it")
            self._readers += 1
        try:
            yield
        finally:
            with _TURN:
                self._readers -= 1
                if not self._readers:
                    del _READERS[key]


def _cannot_upload(problem: str, mend: str = "") -> ConfigError:
    return ConfigError(f"cannot upload {problem}", mend=mend)


def _close(chunks: Generator[bytes, None, None], reading: "asyncio.Future[bytes]") -> None:
    if not reading.cancelled():
        reading.exception()  # else asyncio would report an exception that nobody retrieved
    chunks.close()


def _start_of(source: object) -> int:
    """Return where a file object stands; a source that cannot be sent, or not twice, is refused."""
    if isinstance(source, bytes):
        return 0
    if isinstance(source, Path):
        try:
            mode = source.stat().st_mode
        except OSError as error:
            raise _cannot_upload(f"{str(source)!r:.300}: {error.strerror or error}", "pass another path") from None
        if not stat.S_ISREG(mode):
            raise _cannot_upload(f"{str(source)!r}: it is no regular file, so it could not be sent again")
        return 0
    wrong = _cannot_upload(f"a {type(source).__name__}", "pass a path, bytes, or a file opened with 'rb'")
    read = getattr(source, "read", None)
    if read is None or iscoroutinefunction(read):
        raise wrong
    try:
        start = cast("BinaryIO", source).tell()
    except Exception as error:  # it is somebody else's file, and may be detached, or worse
        problem = "this file is closed, or cannot seek, so it could not be sent again"
        raise ConfigError(problem, mend="pass its bytes or a path") from error
    # A file's class does not tell whether it reads text or bytes: `tempfile` wraps both in one.
    with suppress(Exception):
        if isinstance(read(0), bytes):
            return start
    raise wrong


def _name_of(source: object) -> str:
    name = None
    with suppress(Exception):  # of a file that is closed, it may raise
        name = source.name if isinstance(source, Path) else getattr(source, "name", None)
    if not isinstance(name, str) or not name:
        raise ConfigError("this file has no name", mend="pass file_name=, for example file_name='trace.png'")
    return os.path.basename(name)


def _quote(name: str) -> str:
    """Escape a file name for the header of its part, as browsers do; other bytes go as UTF-8."""
    if not has_bytes(name):
        raise ConfigError(f"{name!r} is not valid text", argument="file_name", mend="pass another with file_name=")
    if not name.strip():
        raise ConfigError("is empty", argument="file_name", mend="for example file_name='trace.png'")
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


Body: TypeAlias = JsonBody | FileBody
"""A body that can be signed and sent any number of times."""
