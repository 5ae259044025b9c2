"""The attachments of tickets as files in a folder: `FOLDER/<ticket id>/<safe file name>`.

A file has its name only when it is whole. Until then its bytes are in a part beside it, which the next attempt, or the
next process, goes on with if the server allows it. A file that is there with the right size is not fetched again.

The requests for files carry nothing of ours: no signature, no header, no cookie.
"""

import asyncio
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Final, Self, TypeVar

import aiohttp
from yarl import URL

from workorder_async import arguments
from workorder_async.client import WorkorderClient
from workorder_async.document import Attachment, TicketDetail
from workorder_async.durable import LockedFile, rename_whole
from workorder_async.errors import ConfigError, ExportError, WorkorderError
from workorder_async.exports.report import NO_ATTACHMENTS, AttachmentCounts
from workorder_async.secret import Secret, without_credentials
from workorder_async.wire.options import client_options

#: How long the URLs of a detail are used without asking again, in seconds: the 600 of the API document, less a margin.
GOOD_FOR = 540.0
#: Seconds between the attempts to fetch one file; there is one attempt more.
WAITS: Sequence[float] = (1.0, 5.0)
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

#: The longest safe name in bytes of UTF-8: the usual 255 of a file system, less the marks around the name of a part.
LONGEST: Final = 200
_LONGEST_SUFFIX = 24
_FORBIDDEN = '<>:"|?*'
# Windows takes these for devices, whatever comes after the first dot.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|$)", re.IGNORECASE)

_T = TypeVar("_T")


class NotFetchedError(Exception):
    """The file cannot be had, and another attempt would be of no use; the text says why."""


class BrokenError(Exception):
    """An attempt failed that another one may make good; the text says why."""


class StaleError(Exception):
    """The URL is good no longer; the text says how the server told it."""


async def on_disk(path: Path, work: Callable[[], _T]) -> _T:
    """Do this with a file in a thread, and return when it has ended, even if the task is cancelled meanwhile.

    Raises `ExportError` with the path if the disk does not do its part.
    """
    working = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        # The cancelled task closes the file next, so the file must not be in use then.
        while not working.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([working])
        working.exception()
        raise
    except OSError as error:
        raise ExportError(
            f"cannot write {str(path)!r}: {error.strerror or error}; mend that and begin again, it goes on from here"
        ) from None


class _Wanted:
    """An attachment that is to be a file. Until it is whole, its bytes are in a part beside it.

    The part's name has a digest of the attachment, so that a part of another file is never gone on with. One thread
    uses it at a time.
    """

    def __init__(self, attachment: Attachment, index: int, path: Path) -> None:
        self.index = index
        self.path = path
        #: Its bytes by the ticket; 0 if the ticket does not say.
        self.size = max(attachment.file_size, 0)
        #: The bytes of the file that is there already; None if there is no such file.
        self.there: int | None = None
        #: Its bytes that count towards the limit so far.
        self.counted = 0
        # The storage key, before the token of the temporary URL, stays the same when the URL is asked for again.
        key = attachment.file_path.partition("?")[0]
        digest = hashlib.sha256(f"{key}\n{attachment.file_size}".encode(errors="surrogatepass")).hexdigest()[:8]
        self._part_path = path.with_name(f".{path.name}.{digest}.part")
        self._part: LockedFile | None = None

    @property
    def is_there(self) -> bool:
        """Whether nothing is left to do."""
        return self.there is not None and self.size in (0, self.there)

    @property
    def part(self) -> LockedFile:
        """The part, which is open."""
        if self._part is None:
            raise ValueError("the part is not open")
        return self._part

    def open(self) -> None:
        """Open and lock the part; the bytes that it received before are still there."""
        self._part = LockedFile(self._part_path)

    def finish(self) -> None:
        """Give the part its name, in place of any file that has it."""
        self._let_go()
        rename_whole(self._part_path, self.path)

    def discard(self) -> None:
        """Remove the part."""
        self._let_go()
        self._part_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the part, if it is open; it stays, unless it is empty."""
        if self._part is not None and self._part.size == 0:
            self.discard()
        self._let_go()

    def _let_go(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.close()


def _checked(text: str, base: URL | None = None) -> URL:
    """Return a URL that may be asked: http or https, without a user. A relative one is seen from `base`."""
    if not text:
        raise NotFetchedError("the ticket gives no URL for it")
    redirected = "" if base is None else " that the server redirects to"
    try:
        # A URL that can be sent stays as it is: its signature may cover these very bytes.
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


def _extent(response: aiohttp.ClientResponse, asked: int, size: int) -> tuple[int, int | None] | None:
    """Return the first byte of an answer to a request from the byte `asked` on, and the size of the whole file.

    The size is None if only the answer's end tells it. All is None if the server has no such bytes.
    """
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
    return (0 if span is None else asked), whole


def _told(error: Exception) -> str:
    """Describe an error of the wire, without passwords and without the secret part of a temporary URL."""
    text = re.sub(r"\?\S*", "?...", without_credentials(str(error)))
    return " ".join(f"{type(error).__name__}: {text}".split()).rstrip(": ")[:300]


# Names that others gave to their files become names that are safe in a folder of ours, and different there. A safe name
# leads nowhere else, is seen as it is, and is taken by Linux, macOS and Windows. It never begins with a dot, so that
# such names are free for files of our own.


def safe_name(name: str) -> str:
    """Return the last part of a name, without characters that could mislead a file system or a reader."""
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    # NUL, other control characters, lone surrogates, and marks that turn the text around do not print.
    shown = "".join(one if one.isprintable() and one not in _FORBIDDEN else "_" for one in last)
    kept = shown.lstrip(". ").rstrip(". ") or "file"
    return _joined(f"_{kept}" if _DEVICES.match(kept) else kept)


def distinct_names(names: Iterable[str]) -> list[str]:
    """Return a safe name for each of these names; a name that is taken gets a number: "a.png", "a (2).png".

    The same names in the same order give the same result. Names that differ in case only are the same to Windows and
    macOS, and are numbered too.
    """
    found: list[str] = []
    taken: set[str] = set()
    last_number: dict[str, int] = {}
    for name in names:
        safe = free = safe_name(name)
        key = safe.casefold()
        while free.casefold() in taken:
            number = last_number[key] = last_number.get(key, 1) + 1
            free = _joined(safe, f" ({number})")
        taken.add(free.casefold())
        found.append(free)
    return found


def _joined(name: str, number: str = "") -> str:
    """Put a number before the suffix of a name, and cut the stem if the whole name is too long."""
    stem, suffix = os.path.splitext(name)
    if len(suffix.encode()) > _LONGEST_SUFFIX:
        stem, suffix = name, ""
    room = LONGEST - len(f"{number}{suffix}".encode())
    if len(stem.encode()) > room:
        stem = stem.encode()[:room].decode(errors="ignore").rstrip(". ")
    return f"{stem}{number}{suffix}"


class _Links:
    """The URLs of one ticket's attachments, asked for once more when they are stale."""

    def __init__(self, client: WorkorderClient, detail: TicketDetail) -> None:
        self._client = client
        self._id = detail.id
        self._attachments = attachments_of(detail)
        self._urls = [one.file_path for one in self._attachments]
        self._until = client.now() + GOOD_FOR
        self._asked = asyncio.Lock()
        self._renewed = False
        self._ended = ""

    async def url(self, index: int) -> tuple[str, bool]:
        """Return the URL of an attachment, and whether it was asked for again."""
        if not self._renewed and self._client.now() > self._until:
            await self.renew(was_renewed=False, why=f"it is older than {GOOD_FOR:g} s")
        return self._urls[index], self._renewed

    async def renew(self, *, was_renewed: bool, why: str) -> None:
        """Ask the platform for the ticket again, unless that was done for another file since a URL was taken.

        Raises `StaleError` if that was of no use.
        """
        async with self._asked:
            if self._renewed and not was_renewed:
                return
            if self._ended:
                raise StaleError(f"its URL is not good ({why}), {self._ended}")
            try:
                detail = await self._client.get_ticket_detail(self._id)
            except WorkorderError as error:
                self._ended = f"and the ticket could not be read again: {error}"
                raise StaleError(f"its URL is not good ({why}), {self._ended}") from None
            self._renewed, self._ended = True, "and the ticket was read again once already"
            self._take(attachments_of(detail))

    def _take(self, found: list[Attachment]) -> None:
        """Take the new URLs. Attachments that look the same are taken in their order."""
        new: dict[tuple[str, int, str], list[str]] = {}
        for one in reversed(found):
            new.setdefault(_looks(one), []).append(one.file_path)
        for index, one in enumerate(self._attachments):
            urls = new.get(_looks(one))
            self._urls[index] = urls.pop() if urls else ""


class AttachmentFolder:
    """A folder that the attachments of tickets are fetched into, `concurrency` files at a time; for `async with`.

    Files are for their owner alone. Requests for them carry no signature, no cookie and no Authorization. Arguments:

    * `folder`: made if it is missing; the folder that it lies in must be there. One process uses it at a time.
    * `client`: reads a ticket again when its URLs are stale; it is not closed.
    * `max_bytes`, `max_files`: how much all tickets may have together, with the files that are there already.
    * `max_file_bytes`: how many bytes one file may have.
    * `proxy`, `ssl`: as those of a client.

    Raises `ConfigError` for an argument that cannot work; on entering, for a folder that cannot be made.
    """

    def __init__(
        self,
        folder: "str | os.PathLike[str]",
        client: WorkorderClient,
        *,
        max_bytes: int = 100 << 30,
        max_file_bytes: int = 1 << 30,
        max_files: int = 100_000,
        concurrency: int = 4,
        proxy: "str | Secret | None" = None,
        ssl: SSLContext | bool = True,
    ) -> None:
        # Before anything can fail: a traceback with locals would show its password.
        proxy = None if proxy is None else Secret(proxy)
        self._folder = Path(os.path.abspath(arguments.path("folder", folder)))
        self._client = client
        self._max_bytes = arguments.whole("max_bytes", max_bytes)
        self._max_file_bytes = arguments.whole("max_file_bytes", max_file_bytes)
        self._max_files = arguments.whole("max_files", max_files)
        self._places = asyncio.Semaphore(arguments.whole("concurrency", concurrency))
        self._connection = client_options(max_in_flight=concurrency, proxy=proxy, ssl=ssl)
        self._http: aiohttp.ClientSession | None = None
        self._closed = False
        self._bytes = 0
        self._files = 0

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(_make_folder, self._folder)
        except OSError as error:
            raise ConfigError(f"cannot make the folder {str(self._folder)!r}: {error.strerror}") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; a `fetch` that is still under way ends with `ExportError`."""
        self._closed = True
        if self._http is not None:
            await self._http.close()

    async def fetch(self, detail: TicketDetail) -> AttachmentCounts:
        """Fetch every attachment of a ticket that is not there yet, and return how many were fetched, and which not.

        To be called soon after the detail was read: its URLs are good for about 600 seconds. They are asked for again
        once. A file that cannot be had, or is beyond a limit, is told in `failures`; the others are fetched all the
        same. Raises `ExportError` if the disk does not do its part: a later call goes on with the bytes that came.
        """
        attachments = attachments_of(detail)
        if not attachments:
            return NO_ATTACHMENTS
        links = _Links(self._client, detail)
        place = self._folder / str(detail.id)
        names = distinct_names(one.file_name for one in attachments)
        wanted = [_Wanted(one, index, place / names[index]) for index, one in enumerate(attachments)]
        await on_disk(place, partial(_look, place, wanted))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._bring(one, links)) for one in wanted]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        became = [task.result() for task in tasks]
        if not any(one.failed for one in became):
            await on_disk(place, partial(_remove_parts, place))
        return sum(became, NO_ATTACHMENTS)

    async def _bring(self, wanted: _Wanted, links: _Links) -> AttachmentCounts:
        """Have one file there, and return its counts. The limits are asked before anything is awaited."""
        if wanted.is_there:
            self._files += 1
            self._bytes += wanted.there or 0
            return AttachmentCounts(kept=1)
        if self._files >= self._max_files:
            return _not_fetched(wanted, f"it is beyond the limit of {self._max_files:,} files (max_files)")
        self._files += 1
        try:
            self._count(wanted, wanted.size)
            async with self._places:
                return AttachmentCounts(fetched=1, bytes=await self._fetch(wanted, links))
        except (NotFetchedError, BrokenError, StaleError) as error:
            self._files -= 1
            self._bytes -= wanted.counted
            return _not_fetched(wanted, str(error))

    def _count(self, wanted: _Wanted, size: int) -> None:
        """Count a file towards the limits as one of so many bytes. Raises `NotFetchedError` beyond them."""
        if size > self._max_file_bytes:
            raise NotFetchedError(f"it has more than {self._max_file_bytes:,} bytes (max_file_bytes)")
        more = max(size - wanted.counted, 0)
        if self._bytes + more > self._max_bytes:
            raise NotFetchedError(f"with it there would be more than {self._max_bytes:,} bytes in all (max_bytes)")
        self._bytes += more
        wanted.counted += more

    async def _fetch(self, wanted: _Wanted, links: _Links) -> int:
        """Fetch one file, and return its size. The bytes that came stay, unless they can never become the file."""
        do = partial(on_disk, wanted.path)
        try:
            await do(wanted.open)
            if wanted.size and wanted.part.size > wanted.size:
                await do(partial(wanted.part.cut, 0))
            if not wanted.size or wanted.part.size < wanted.size:
                await self._receive(wanted, links)
            size = wanted.part.size
            await do(wanted.finish)
            return size
        except NotFetchedError:
            await do(wanted.discard)
            raise
        finally:
            await do(wanted.close)

    async def _receive(self, wanted: _Wanted, links: _Links) -> None:
        """Receive the rest of a part, in as many attempts as there may be."""
        waits = iter(WAITS)
        while True:
            url, was_renewed = await links.url(wanted.index)
            try:
                return await self._attempt(wanted, url)
            except StaleError as stale:
                await links.renew(was_renewed=was_renewed, why=str(stale))
            except BrokenError as broken:
                wait = next(waits, None)
                if wait is None:
                    raise BrokenError(f"{broken}; {len(WAITS) + 1} attempts were made") from None
                await asyncio.sleep(wait)

    async def _attempt(self, wanted: _Wanted, url: str) -> None:
        """Make one attempt to receive the rest of a part, or all of it if the server does not go on from there."""
        part = wanted.part
        failure: Exception
        try:
            while True:
                async with self._answer(url, part.size) as response:
                    extent = _extent(response, part.size, wanted.size)
                    if extent is None or extent[0] < part.size:
                        await on_disk(wanted.path, partial(part.cut, 0))
                    if extent is not None:
                        return await self._take_body(wanted, response, wanted.size or extent[1])
        except (aiohttp.InvalidURL, UnicodeError):
            failure = NotFetchedError("its URL is none that can be asked")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            stalled = isinstance(error, TimeoutError)
            failure = BrokenError(f"nothing came for {STALLED_AFTER:g} s" if stalled else _told(error))
        # Outside the `except`: aiohttp's errors know the proxy's password.
        raise failure

    @asynccontextmanager
    async def _answer(self, text: str, start: int) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for a file from a byte on, and follow the redirects of the server."""
        url, proxy = _checked(text), self._connection["proxy"]
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._session().get(
                url,
                headers={"Range": f"bytes={start}-"} if start else None,
                allow_redirects=False,
                proxy=None if proxy is None else Secret(proxy).reveal(),
                ssl=self._connection["ssl"],
            ) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    yield response
                    return
            url = _checked(location, url)
        raise NotFetchedError(f"the server redirects more than {_MOST_REDIRECTS} times")

    def _session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ExportError("the folder of attachments was closed while files were fetched")
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connection["max_in_flight"]),
                cookie_jar=aiohttp.DummyCookieJar(),
                # A size and a place in the file count the bytes as they are kept.
                headers={"User-Agent": "workorder_async", "Accept-Encoding": "identity"},
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_WITHIN, sock_read=STALLED_AFTER),
            )
        return self._http

    async def _take_body(self, wanted: _Wanted, response: aiohttp.ClientResponse, size: int | None) -> None:
        """Put a body at the end of a part; the bytes that came before a failure are kept."""
        part, held = wanted.part, bytearray()
        failure: Exception | None = None
        try:
            async for piece in response.content.iter_any():
                held += piece
                received = part.size + len(held)
                if size is not None and received > size:
                    raise NotFetchedError(f"the server sends more than its {size:,} bytes")
                self._count(wanted, received)
                if len(held) >= FLUSH_AT:
                    await on_disk(wanted.path, partial(part.append, bytes(held)))
                    held.clear()
        except aiohttp.ClientError as error:
            failure = error
        if held:
            await on_disk(wanted.path, partial(part.append, bytes(held)))
        if failure is not None:
            raise failure
        if size is not None and part.size < size:
            raise BrokenError(f"the server ended after {part.size:,} of {size:,} bytes")


def attachments_of(detail: TicketDetail) -> list[Attachment]:
    """Return every attachment of a ticket, in the order that their names are given by."""
    return [*detail.attachment, *detail.handle_attachment]


def _not_fetched(wanted: _Wanted, reason: str) -> AttachmentCounts:
    return AttachmentCounts(failed=1, failures=(f"{wanted.path}: {reason}",))


def _looks(attachment: Attachment) -> tuple[str, int, str]:
    return attachment.file_name, attachment.file_size, attachment.file_type


def _make_folder(folder: Path) -> None:
    """Make a folder for its owner alone; a folder that is there already stays as it is."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        folder.chmod(0o700)  # a umask may have taken more


def _look(place: Path, wanted: Iterable[_Wanted]) -> None:
    """Make the folder of a ticket, and note the sizes of the files that are in it."""
    _make_folder(place.parent)
    _make_folder(place)
    for one in wanted:
        with suppress(FileNotFoundError):
            about = one.path.lstat()
            one.there = about.st_size if stat.S_ISREG(about.st_mode) else None


def _remove_parts(place: Path) -> None:
    """Remove the parts that earlier runs left of files that are whole by now."""
    for part in place.glob(".*.part"):
        part.unlink(missing_ok=True)
