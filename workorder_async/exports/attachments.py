"""The attachments of tickets as files in a folder: `FOLDER/<ticket id>/<safe file name>`.

A file gets its name only when it is whole. Until then its bytes are in a *part file* beside it. The next attempt, or
the next process, goes on behind them, if the server allows that and still has the same version of the file.
A file of the right name and size is not fetched again. Two platforms may have tickets of the same id, so a folder is
for one platform, which `FOLDER/.platform` names.

The requests for files carry nothing of ours: no signature, no header, no cookie. The author of a ticket chooses the
URLs, so the address of every connection is checked, after each redirect too: a host name may lead to any address.
"""

import asyncio
import errno
import hashlib
import os
import re
import socket
import stat
import sys
import unicodedata
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Self
from zlib import crc32

import aiohttp
from yarl import URL

from workorder_async.client import WorkorderClient
from workorder_async.document import Attachment, TicketDetail
from workorder_async.durable import InUseError, LockedFile, on_disk, open_private, rename_whole
from workorder_async.errors import ConfigError, WorkorderError
from workorder_async.exports.report import NO_ATTACHMENTS, AttachmentCounts
from workorder_async.secret import without_credentials
from workorder_async.tasks import for_each, to_its_end

#: Seconds between the attempts to fetch one file: one wait less than there are attempts.
WAITS: Sequence[float] = (1.0, 5.0)
#: An attempt fails after so many seconds in which no byte came.
STALLED_AFTER = 30.0
#: Bytes of a download that are held in memory before they are written to the disk.
FLUSH_AT = 1 << 20
#: Files that are fetched at a time.
AT_ONCE = 4
#: Bytes that the files of one call's tickets may have in all, those that are there already among them; and bytes that
#: one file may have.
MOST_BYTES = 100 << 30
MOST_BYTES_OF_A_FILE = 1 << 30
#: The attempts at one file may take `GRACE` seconds, and one second for each `SLOWEST` bytes of the file; but all in
#: all not more than `MOST_SECONDS`.
GRACE = 60.0
SLOWEST = 1024
MOST_SECONDS = 3600.0

_PLATFORM: Final = ".platform"
_MOST_REDIRECTS = 3
_REDIRECTS: Final = (301, 302, 303, 307, 308)
# Statuses below 500 that may be better at the next attempt.
_PASSING: Final = (408, 425, 429)
# Content encodings that change the bytes. Others, such as "utf-8", do not: a storage server repeats any encoding that
# was named when the file was put there.
_PACKED: Final = frozenset(["gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"])
# ::/96, ::ffff:0:0/96 and 64:ff9b::/96, whose last 32 bits are an address of IPv4.
_OF_IPV4: Final = (0, 0xFFFF, 0x64_FF9B << 64)
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")

#: The longest safe name in bytes of UTF-8: of the usual 255 of a file system, a part file's name needs some more.
LONGEST: Final = 200
_LONGEST_SUFFIX = 24
_FORBIDDEN = '<>:"|?*'
# Windows takes these names for devices, with any suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|$)", re.IGNORECASE)
# The facts of an attachment that stay the same when the ticket is read again.
_traits: Final = attrgetter("file_name", "file_size", "file_type")


class NotFetchedError(Exception):
    """The file cannot be fetched, and another attempt would not help; the text says why."""


class BrokenError(Exception):
    """An attempt failed, and the next one may succeed; the text says why."""


class StaleError(Exception):
    """The URL is not valid any more; the text is the HTTP status that the server answered."""


class _File:
    """An attachment that is to become a file. Until the file is whole, its bytes are in a part file beside it.

    The part file's name has a digest of the attachment, so that bytes of two attachments never get into one file. For
    the next process, the part file's modification time holds the version of its bytes, a number of `_version`. One
    thread uses a `_File` at a time.
    """

    def __init__(self, attachment: Attachment, path: Path) -> None:
        self.path = path
        self.url = attachment.file_path
        #: The size in bytes that the ticket gives; 0 if it gives none.
        self.size = max(attachment.file_size, 0)
        #: How many bytes of this file are counted in `MOST_BYTES` so far.
        self.counted = 0
        #: The version of the bytes in the part file (`_version`).
        self.version = 0
        #: Why the URL is not valid any more; "" while it is.
        self.stale = ""
        # Each read of a ticket gives temporary URLs with new tokens; the storage key in front of "?" stays the same.
        key = attachment.file_path.partition("?")[0]
        digest = hashlib.sha256(f"{key}\n{attachment.file_size}".encode(errors="surrogatepass")).hexdigest()[:8]
        self._part_path = path.with_name(f".{path.name}.{digest}.part")
        self._part: LockedFile | None = None

    def there(self) -> int | None:
        """Return the size of the file, if it is there already with the size that the ticket gives; else None."""
        with suppress(FileNotFoundError):
            found = self.path.lstat()
            if stat.S_ISREG(found.st_mode) and self.size in (0, found.st_size):
                return found.st_size
        return None

    @property
    def part(self) -> LockedFile:
        """The part file, which must be open."""
        if self._part is None:
            raise ValueError("the part is not open")
        return self._part

    def open(self) -> None:
        """Open and lock the part file. It keeps the bytes of earlier attempts, unless they are more than the file's."""
        self._part = LockedFile(self._part_path, is_ours=True)
        self.version = int(self._part_path.stat().st_mtime)
        if self.size and self._part.size > self.size:
            self._part.cut(0)

    def append(self, content: bytes) -> None:
        try:
            self.part.append(content)
        finally:  # a write changes the modification time, even one that failed; its bytes stay
            os.utime(self._part_path, (self.version, self.version))

    def finish(self) -> None:
        """Give the part file the name of the file, in place of any file that has it; its time is now."""
        os.utime(self._part_path)
        self.part.close()
        self._part = None
        rename_whole(self._part_path, self.path)

    def close(self, *, keeps: bool = True) -> None:
        """Close the part file, if it is open, and remove it if it is empty or `keeps` is False."""
        part, self._part = self._part, None
        if part is not None:
            part.close()
            if not (keeps and part.size):
                self._part_path.unlink(missing_ok=True)


def _claim(folder: Path, platform: str) -> str:
    """Make a folder, and return the platform in its file `.platform`; if that names none, write the given one there."""
    _make(folder)
    with open(folder / _PLATFORM, "a+b", opener=open_private) as file:
        file.seek(0)
        line = file.readline()
        if line.endswith(b"\n"):
            return line[:-1].decode(errors="replace")
        file.truncate(0)  # a line without its end was torn by a crash
        file.write(platform.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return platform


def _make(folder: Path) -> None:
    """Make a folder for its owner alone, if it is missing."""
    with suppress(FileExistsError):
        folder.mkdir(0o700)
        folder.chmod(0o700)  # a umask may have taken more


def _sizes_there(folder: Path, files: Iterable[_File]) -> list[int | None]:
    """Make the folder of a ticket, and return the size of each file that is there already, None for the others."""
    _make(folder)
    if not stat.S_ISDIR(folder.lstat().st_mode):  # a link could lead out of the attachment folder
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return [one.there() for one in files]


def _remove_parts(folder: Path) -> None:
    """Remove part files that earlier runs have left, but none that another run is writing.

    To be called once all files of the folder are whole.
    """
    for part in folder.glob(".*.part"):
        try:
            LockedFile(part, is_ours=True).close()
        except InUseError:
            continue
        except OSError:
            pass  # a link, or another file that cannot be locked: remove it as well
        part.unlink(missing_ok=True)


def _checked(text: str, base: URL | None = None) -> URL:
    """Return a URL that a request may go to: http or https, without user and password. `base` resolves a relative one.

    Raises `NotFetchedError` for any other text.
    """
    with suppress(ValueError, IndexError):  # yarl raises either
        # A URL that can be sent as it is stays so, byte for byte: its signature may cover these bytes.
        url = URL(text, encoded=text.isascii() and text.isprintable() and " " not in text)
        url = url if base is None else base.join(url)
        # A host name with NUL or the like must be refused here: the next place is a DNS lookup, or a proxy.
        if url.scheme in ("http", "https") and url.host and url.host.isprintable() and url.port:
            # aiohttp would make an Authorization header of user and password.
            return url.with_user(None) if url.raw_user is not None or url.raw_password is not None else url
    who = "the ticket gives" if base is None else "the server redirects to"
    raise NotFetchedError(f"{who} no URL of http or https that can be asked")


def _extent(response: aiohttp.ClientResponse, file: _File) -> tuple[int | None, int | None]:
    """Return the place in the file of an answer's first byte, and the size of the whole file.

    The place is that behind the bytes that came, or 0 if the server sends the whole file; None if it has no bytes from
    there on, or sends others. The size is None if only the end of the answer tells it. Raises an error if the answer is
    not of the file.
    """
    status, asked, size = response.status, file.part.size, file.size
    if status in _PASSING or status >= 500:
        raise BrokenError(f"the server answered HTTP {status}")
    span = _RANGE.fullmatch(response.headers.get("Content-Range", "")) if status == 206 else None
    if asked and status in (206, 416):
        if span is None or int(span[1]) != asked or int(span[2]) + 1 != int(span[3]):
            return None, None
    elif 400 <= status < 500:
        raise StaleError(f"HTTP {status}")
    elif status != 200:
        raise NotFetchedError(f"the server answered HTTP {status}")
    packed = response.headers.get("Content-Encoding", "")
    if _PACKED.intersection(re.split(r"[\s,]+", packed.lower())):
        raise NotFetchedError(f"the server packs it as {packed[:20]!r}, which it was asked not to do")
    whole = response.content_length if span is None else int(span[3])
    if size and whole is not None and whole != size:
        raise NotFetchedError(f"the server has {whole:,} bytes of it; the ticket says {size:,}")
    if not size and whole is None and "chunked" not in response.headers.get("Transfer-Encoding", "").lower():
        raise NotFetchedError("neither the ticket nor the server says how many bytes it has")
    return (0 if span is None else asked), whole


def _version(response: aiohttp.ClientResponse, url: str, size: int | None) -> int:
    """Return a number of 31 bits for the version of a file that the server has now.

    It is made of the ETag and Last-Modified headers; if the answer has neither, of the storage key and the size.
    """
    said = "".join(response.headers.get(name, "") for name in ("ETag", "Last-Modified"))
    return crc32((said or f"{url.partition('?')[0]} {size}").encode(errors="surrogatepass")) >> 1


def _refused(address: str, *, private: bool) -> str:
    """Return why no file is fetched from an address; "" for a public one, and with `private` for most others."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        # IPv6 addresses that stand for an IPv4 address: that one is checked. Prefixes 0::/16 and 64::/16 that are not
        # in `_OF_IPV4` may stand for IPv4 addresses, too, so they are checked for link-local and multicast ones.
        number = int(ip)
        if number >> 112 in (0, 0x64) and number > 1:
            low = IPv4Address(number & 0xFFFF_FFFF)
            ip = low if number >> 32 in _OF_IPV4 or low.is_link_local or low.is_multicast else ip
        ip = getattr(ip, "sixtofour", None) or ip
    if ip.is_link_local or ip.is_multicast:
        return f"it is at {address}, from where no file is fetched"
    is_public = ip.is_global and (ip.version == 4 or int(ip) >> 125 == 1)
    return "" if is_public or private else f"it is at {address}, which is no public address (private_addresses)"


def _opened(address: tuple[Any, ...], *, private: bool) -> socket.socket:
    """Open a socket for a connection to an address. Raises `PermissionError` if no file is fetched from there."""
    if why := _refused(address[4][0], private=private):
        raise PermissionError(errno.EACCES, why)
    return socket.socket(*address[:3])


def _address_in(url: URL) -> str:
    """Return the IP address that a URL has as its host, in any spelling ("127.1"); "" if the host is a name."""
    host = url.host or ""
    if ":" in host:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return ""


# The names of attachments were chosen by other people. They become safe names, all different within a ticket's folder.
# A safe name leads to no other folder, is displayed as it is, and is allowed on Linux, macOS and Windows. It
# never begins with a dot, so that such names are free for our own files.


def safe_name(name: str) -> str:
    """Return the last part of a name, without characters that could mislead a file system or a reader."""
    last, encoding = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1]), sys.getfilesystemencoding()
    # Characters that the file system's encoding lacks become "?" here, and "_" below: with ASCII, all of Chinese.
    last = last.encode(encoding, "replace").decode(encoding)
    # NUL, other control characters, and marks that reverse the direction of text are not printable.
    shown = "".join(one if one.isprintable() and one not in _FORBIDDEN else "_" for one in last)
    kept = _joined(shown.lstrip(". ").rstrip(". ") or "file")
    return _joined(f"_{kept}") if _DEVICES.match(kept) else kept


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


class AttachmentFolder:
    """A folder that the attachments of tickets are fetched into; for `async with`. Every `fetch` must end inside of it.

    The folder is made if it is missing; the folder above it must be there. One process uses a folder at a time.

    Files are fetched by the client's proxy and certificates, from public addresses only, and from the host and port of
    the client's own base URL, which may be private, as those of a sandbox are. With `private_addresses` they may also
    come from this machine and from private networks. No request ever goes to a link-local address, where clouds keep
    credentials. If there is a proxy, it resolves host names, so only an address that stands in the URL itself can be
    checked.

    Raises `ConfigError` on entering, for a folder that cannot be made, or is for another platform.
    """

    def __init__(
        self, folder: "str | os.PathLike[str]", client: WorkorderClient, *, private_addresses: bool = False
    ) -> None:
        self._folder = Path(os.path.abspath(folder))
        self._client = client
        self._private = private_addresses
        self._places = asyncio.Semaphore(AT_ONCE)
        # By whether private addresses are allowed.
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        # Bytes that count towards `MOST_BYTES`.
        self._bytes = 0

    async def __aenter__(self) -> Self:
        place, ours = str(self._folder), self._client.base_url
        try:
            platform = await to_its_end(asyncio.to_thread(_claim, self._folder, ours))
        except OSError as error:
            raise ConfigError(f"cannot be the folder {place!r}: {error.strerror}", argument="attachments") from None
        if platform != ours:
            problem = f"is the folder {place!r}, which is for the tickets of {platform!r}, not of {ours!r}"
            mend = f"choose another folder, or remove {_PLATFORM} from it if that is the same platform"
            raise ConfigError(problem, argument="attachments", mend=mend)
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._sessions.values():
            await session.close()

    async def fetch(self, detail: TicketDetail) -> AttachmentCounts:
        """Fetch every attachment of a ticket that is not there yet, and return how many were fetched, and which not.

        Call it soon after the detail was read: the URLs in it are valid for about 600 seconds. If they are not, the
        ticket is read again, once, for new ones. A file that cannot be fetched, or is too large, is named in
        `failures`; the others are fetched all the same. Raises `ExportError` if the disk fails: a later call goes on
        with the bytes that came.
        """
        files = list(map(_File, attachments_of(detail), self.places(detail)))
        if not files:
            return NO_ATTACHMENTS
        folder = self._folder / str(detail.id)
        there = await on_disk(folder, partial(_sizes_there, folder, files))
        kept = [size for size in there if size is not None]
        self._bytes += sum(kept)
        wanted = [file for file, size in zip(files, there, strict=True) if size is None]
        counts = await for_each(wanted, self._bring)
        if stale := [file for file in wanted if file.stale]:
            why = await self._renew(detail, files)
            if not why:
                counts += await for_each(stale, self._bring)
                why = "the ticket was read again once already"
            counts += [_failed(one, f"its URL is not good ({one.stale}), and {why}") for one in stale if one.stale]
        if not any(one.failed for one in counts):
            await on_disk(folder, partial(_remove_parts, folder))
        return sum(counts, AttachmentCounts(kept=len(kept)))

    def places(self, detail: TicketDetail) -> list[Path]:
        """Return the paths that the attachments of a ticket have once they were fetched, in the ticket's order."""
        names = distinct_names(one.file_name for one in attachments_of(detail))
        return [self._folder / str(detail.id) / name for name in names]

    async def _renew(self, detail: TicketDetail, files: Sequence[_File]) -> str:
        """Read a ticket again, and give its files the new URLs. Return "", or why the ticket cannot be read."""
        try:
            again = await self._client.get_ticket_detail(detail.id)
        except WorkorderError as error:
            return f"the ticket could not be read again: {error}"
        # Attachments of equal name, size and type get the new URLs in their order.
        new: dict[tuple[str, int, str], list[str]] = {}
        for one in reversed(attachments_of(again)):
            new.setdefault(_traits(one), []).append(one.file_path)
        for file, one in zip(files, attachments_of(detail), strict=True):
            file.url = urls.pop() if (urls := new.get(_traits(one))) else ""
        return ""

    async def _bring(self, file: _File) -> AttachmentCounts:
        """Fetch one file, and return its counts; if the URL is stale, note that in `file`, and count nothing.

        The limits are checked before the first `await`: files that are fetched side by side count in their order.
        """
        file.stale = ""
        try:
            self._count(file, file.size)
            async with self._places:
                return AttachmentCounts(fetched=1, bytes=await self._fetch(file))
        except StaleError as error:
            file.stale = str(error)
            counts = NO_ATTACHMENTS
        except (NotFetchedError, BrokenError) as error:
            counts = _failed(file, str(error))
        self._bytes -= file.counted
        file.counted = 0
        return counts

    def _count(self, file: _File, size: int) -> None:
        """Count `size` bytes for a file, less those counted for it before. Raises `NotFetchedError` beyond a limit."""
        if size > MOST_BYTES_OF_A_FILE:
            raise NotFetchedError(f"it has more than {MOST_BYTES_OF_A_FILE:,} bytes")
        more = max(size - file.counted, 0)
        if self._bytes + more > MOST_BYTES:
            raise NotFetchedError(f"with it there would be more than {MOST_BYTES:,} bytes in all")
        self._bytes += more
        file.counted += more

    async def _fetch(self, file: _File) -> int:
        """Fetch one file, and return its size. If that fails, the bytes that came stay for a later call.

        They are removed if the file can never be fetched (`NotFetchedError`).
        """
        do = partial(on_disk, file.path)
        seconds = min(MOST_SECONDS, GRACE + (file.size or MOST_BYTES_OF_A_FILE) / SLOWEST)
        try:
            await do(file.open)
            try:
                async with asyncio.timeout(seconds):
                    await self._receive(file)
            except TimeoutError:
                raise BrokenError(f"it took longer than {seconds:.0f} s") from None
            size = file.part.size
            await do(file.finish)
            return size
        except NotFetchedError:
            await do(partial(file.close, keeps=False))
            raise
        finally:
            await do(file.close)

    async def _receive(self, file: _File) -> None:
        """Receive the rest of a file, if bytes of it are lacking; a failed attempt is made again, as `WAITS` allows."""
        waits = iter(WAITS)
        while not file.size or file.part.size < file.size:
            try:
                await self._attempt(file)
                return
            except BrokenError as broken:
                wait = next(waits, None)
                if wait is None:
                    raise BrokenError(f"{broken}; {len(WAITS) + 1} attempts were made") from None
                await asyncio.sleep(wait)

    async def _attempt(self, file: _File) -> None:
        """Make one attempt to receive the rest of a file, or all of it if the server does not give the rest alone."""
        part = file.part
        failure: Exception
        try:
            while True:
                async with self._answer(file.url, part.size) as response:
                    start, size = _extent(response, file)
                    version = _version(response, file.url, size)
                    if start and version != file.version:
                        start = None  # the server has another version by now: its rest does not fit our bytes
                    if start != part.size:
                        await on_disk(file.path, partial(part.cut, 0))
                    file.version = version
                    if start is not None:
                        return await self._take_body(file, response, file.size or size)
        except (aiohttp.InvalidURL, UnicodeError):
            failure = NotFetchedError("its URL is none of http or https that can be asked")
        except TimeoutError:
            failure = BrokenError(f"nothing came for {STALLED_AFTER:g} s")
        except (aiohttp.ClientError, OSError) as error:
            refused = getattr(error, "os_error", None)
            # The text of a failure has no password, and no token of a temporary URL.
            text = re.sub(r"\?\S*", "?...", without_credentials(str(error)))
            failure = BrokenError(" ".join(f"{type(error).__name__}: {text}".split()).rstrip(": ")[:300])
            if isinstance(refused, PermissionError):
                failure = NotFetchedError(refused.strerror)
        # Raised outside of `except`, so that aiohttp's error is no `__context__` of it: it has the proxy's password.
        raise failure

    @asynccontextmanager
    async def _answer(self, text: str, start: int) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for the bytes of a file from `start` on, and follow the server's redirects."""
        url, proxy = _checked(text), self._client.proxy
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._session(url).get(
                url,
                headers={"Range": f"bytes={start}-"} if start else None,
                allow_redirects=False,
                proxy=None if proxy is None else proxy.reveal(),
                ssl=self._client.ssl,
            ) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    yield response
                    return
            url = _checked(location, url)
        raise NotFetchedError(f"the server redirects more than {_MOST_REDIRECTS} times")

    def _session(self, url: URL) -> aiohttp.ClientSession:
        """Return the session for a URL. Raises `NotFetchedError` if the URL has an address that no file comes from."""
        own = URL(self._client.base_url)
        private = self._private or (url.scheme, url.host, url.port) == (own.scheme, own.host, own.port)
        is_through_proxy = self._client.proxy is not None
        address = _address_in(url) if is_through_proxy else ""
        if address and (why := _refused(address, private=private)):
            raise NotFetchedError(why)
        if private not in self._sessions:
            # With a proxy every connection goes to the proxy, which may have any address.
            opened = None if is_through_proxy else partial(_opened, private=private)
            self._sessions[private] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=AT_ONCE, socket_factory=opened),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Not packed: sizes and ranges have to count the bytes that are written.
                headers={"User-Agent": "workorder_async", "Accept-Encoding": "identity"},
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=STALLED_AFTER, sock_read=STALLED_AFTER),
            )
        return self._sessions[private]

    async def _take_body(self, file: _File, response: aiohttp.ClientResponse, size: int | None) -> None:
        """Add the body of an answer to the part file; after a failure, the bytes that came before it are kept."""
        part, held = file.part, bytearray()
        try:
            async for piece in response.content.iter_any():
                held += piece
                received = part.size + len(held)
                if size is not None and received > size:
                    raise NotFetchedError(f"the server sends more than its {size:,} bytes")
                self._count(file, received)
                if len(held) >= FLUSH_AT:
                    # Empty `held` first: if the task is cancelled in this write, `finally` must not write them again.
                    content, held = bytes(held), bytearray()
                    await on_disk(file.path, partial(file.append, content))
        finally:
            if held:
                await on_disk(file.path, partial(file.append, bytes(held)))
        if size is not None and part.size < size:
            raise BrokenError(f"the server ended after {part.size:,} of {size:,} bytes")


def attachments_of(detail: TicketDetail) -> list[Attachment]:
    """Return every attachment of a ticket, in the order in which safe names get their numbers."""
    return [*detail.attachment, *detail.handle_attachment]


def _failed(file: _File, why: str) -> AttachmentCounts:
    return AttachmentCounts(failed=1, failures=(f"{file.path}: {why}",))
