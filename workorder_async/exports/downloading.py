"""One file from a URL into a part of it on the disk: requests that carry nothing of ours, and go on from where it ends.

Nothing is known here of tickets, and nothing is signed: whoever serves the file gets neither our headers nor cookies.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
from attrs import frozen
from yarl import URL

from workorder_async.durable import LockedFile, rename_whole
from workorder_async.errors import ExportError
from workorder_async.secret import Secret, without_credentials
from workorder_async.wire.options import ClientOptions

#: Seconds without a byte after which a download has failed.
STALLED_AFTER = 30.0
#: Bytes that are held in memory for each download; then they are put on the disk.
FLUSH_AT = 1 << 20

_CONNECT_WITHIN = 30.0
_MOST_REDIRECTS = 3
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_STALE: Final = (403, 404, 410)
_PASSING: Final = (408, 425, 429)
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")

_T = TypeVar("_T")


class NotFetchedError(Exception):
    """The file cannot be had, and another attempt would be of no use; the text says why."""


class BrokenError(Exception):
    """An attempt failed that another one may make good; the text says why."""


class StaleError(Exception):
    """The URL is good no longer; the text says how the server told it."""


async def on_disk(path: Path, work: Callable[[], _T]) -> _T:
    """Do something with a file in a thread, and come back when it has ended, also where this is cancelled.

    Raises `ExportError` with the path for what the disk does not do.
    """
    working = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        # Whoever is cancelled closes the file next, which must not be in use then.
        while not working.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([working])
        working.exception()
        raise
    except OSError as error:
        raise ExportError(
            f"cannot write {str(path)!r}: {error.strerror or error}; mend that and begin again, it goes on from here"
        ) from None


class PartFile:
    """A file that is not whole yet, beside the place that it will have. Used by one thread at a time.

    Its name has a digest of `identity`, so that a part of another file is never gone on with.
    """

    def __init__(self, target: Path, identity: str) -> None:
        digest = hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()[:8]
        self.target = target
        self._path = target.with_name(f".{target.name}.{digest}.part")
        self._file: LockedFile | None = None

    def open(self) -> None:
        """Open and lock it; what was received before is still there."""
        self._file = LockedFile(self._path)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self._opened().size

    def append(self, content: bytes) -> None:
        """Add this, and return when it is on disk."""
        self._opened().append(content)

    def begin_anew(self) -> None:
        """Forget what was received."""
        self._opened().cut(0)

    def finish(self) -> None:
        """Give it its name, in place of any file that has it."""
        self._let_go()
        rename_whole(self._path, self.target)

    def discard(self) -> None:
        """Remove it."""
        self._let_go()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close it, if it is open; what was received stays, and where nothing was, nothing is left."""
        if self._file is not None and self._file.size == 0:
            self.discard()
        self._let_go()

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _opened(self) -> LockedFile:
        if self._file is None:
            raise ValueError("the part is not open")
        return self._file


class Downloader:
    """Makes requests for files, over connections of its own; `how` gives the proxy and the certificates."""

    def __init__(self, how: ClientOptions) -> None:
        self._how = how
        self._http: aiohttp.ClientSession | None = None
        self._closed = False

    async def fill(self, part: PartFile, url: str, size: int, note_size: Callable[[int], None]) -> None:
        """Make one attempt to receive what a part lacks, or all of it where the server does not go on from there.

        `size` is how many bytes the file is said to have, 0 where that is not known. `note_size` is told how many there
        are by now; what it raises ends the attempt. Raises the three errors above, and `ExportError` for the disk.
        """
        failure: Exception
        try:
            return await self._fill(part, url, size, note_size)
        except (aiohttp.InvalidURL, UnicodeError):
            failure = NotFetchedError("its URL is none that can be asked")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            stalled = isinstance(error, TimeoutError)
            failure = BrokenError(f"nothing came for {STALLED_AFTER:g} s" if stalled else _told(error))
        # Outside the `except`: aiohttp's errors know the proxy's password.
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        self._closed = True
        if self._http is not None:
            await self._http.close()

    async def _fill(self, part: PartFile, url: str, size: int, note_size: Callable[[int], None]) -> None:
        while True:
            async with self._answer(url, part.size) as response:
                extent = _extent(response, part.size, size)
                if extent is None or extent.start < part.size:
                    await on_disk(part.target, part.begin_anew)
                if extent is not None:
                    return await _receive(response, part, size or extent.whole, note_size)

    @asynccontextmanager
    async def _answer(self, text: str, start: int) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for a file from a byte on, and follow where the server sends us."""
        url = _checked(text)
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._opened().get(
                url,
                headers={"Range": f"bytes={start}-"} if start else None,
                allow_redirects=False,
                proxy=None if self._how["proxy"] is None else Secret(self._how["proxy"]).reveal(),
                ssl=self._how["ssl"],
            ) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    yield response
                    return
            url = _checked(location, url)
        raise NotFetchedError(f"the server redirects more than {_MOST_REDIRECTS} times")

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ExportError("the folder of attachments was closed while files were fetched")
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._how["max_in_flight"]),
                cookie_jar=aiohttp.DummyCookieJar(),
                # A size and a place in the file count the bytes as they are kept.
                headers={"User-Agent": "workorder_async", "Accept-Encoding": "identity"},
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_WITHIN, sock_read=STALLED_AFTER),
            )
        return self._http


def _checked(text: str, base: URL | None = None) -> URL:
    """Return a URL that may be asked: http or https, without a user. A relative one is seen from `base`."""
    if not text:
        raise NotFetchedError("the ticket gives no URL for it")
    redirected = "" if base is None else " that the server redirects to"
    try:
        # One that is fit to be sent stays as it is: its signature may cover the very bytes.
        url = URL(text, encoded=text.isascii() and text.isprintable() and " " not in text)
        url = url if base is None else base.join(url)
        scheme, host, _ = url.scheme, url.host, url.port
    except ValueError:
        raise NotFetchedError(f"the URL{redirected} cannot be read") from None
    if scheme not in ("http", "https"):
        raise NotFetchedError(f"the URL{redirected} has the scheme {scheme[:20]!r}; only http and https are followed")
    if not host:
        raise NotFetchedError(f"the URL{redirected} names no host")
    # aiohttp would make an Authorization header of it.
    return url.with_user(None) if url.raw_user is not None or url.raw_password is not None else url


@frozen
class _Extent:
    """What of a file an answer has: all from the byte `start` on, of `whole` bytes; None where only its end tells."""

    start: int
    whole: int | None


def _extent(response: aiohttp.ClientResponse, asked: int, size: int) -> _Extent | None:
    """Return what an answer has, where the bytes from `asked` on were asked for; None where that cannot be served."""
    status = response.status
    if status in _STALE:
        raise StaleError(f"HTTP {status}")
    if status in _PASSING or status >= 500:
        raise BrokenError(f"the server answered HTTP {status}")
    span = _RANGE.fullmatch(response.headers.get("Content-Range", "")) if status == 206 else None
    if asked and status in (206, 416):
        if span is None or int(span[1]) != asked or int(span[2]) + 1 != int(span[3]):
            return None
    elif status != 200:
        raise NotFetchedError(f"the server answered HTTP {status}")
    packed = response.headers.get("Content-Encoding", "identity")
    if packed.lower() != "identity":
        raise NotFetchedError(f"the server packs it as {packed[:20]!r}, which it was asked not to do")
    whole = response.content_length if span is None else int(span[3])
    if size and whole is not None and whole != size:
        raise NotFetchedError(f"the server has {whole:,} bytes of it; the ticket says {size:,}")
    if not size and whole is None and "chunked" not in response.headers.get("Transfer-Encoding", "").lower():
        raise NotFetchedError("neither the ticket nor the server says how many bytes it has")
    return _Extent(0 if span is None else asked, whole)


async def _receive(
    response: aiohttp.ClientResponse, part: PartFile, size: int | None, note_size: Callable[[int], None]
) -> None:
    """Put a body at the end of a part; what came before a failure is kept."""
    held = bytearray()
    failure: Exception | None = None
    try:
        async for piece in response.content.iter_any():
            held += piece
            received = part.size + len(held)
            if size is not None and received > size:
                raise NotFetchedError(f"the server sends more than its {size:,} bytes")
            note_size(received)
            if len(held) >= FLUSH_AT:
                await on_disk(part.target, partial(part.append, bytes(held)))
                held.clear()
    except aiohttp.ClientError as error:
        failure = error
    if held:
        await on_disk(part.target, partial(part.append, bytes(held)))
    if failure is not None:
        raise failure
    if size is not None and part.size < size:
        raise BrokenError(f"the server ended after {part.size:,} of {size:,} bytes")


def _told(error: Exception) -> str:
    """Say what went wrong on the wire, without passwords and without the secret part of a temporary URL."""
    text = re.sub(r"\?\S*", "?...", without_credentials(str(error)))
    return " ".join(f"{type(error).__name__}: {text}".split()).rstrip(": ")[:300]
