"""The attachments of tickets as files in a folder: `FOLDER/<ticket id>/<safe file name>`.

A file has its name only when it is whole. Until then its bytes are in a part beside it, which the next attempt, or the
next process, goes on with where the server lets it. A file that is there with the right size is not fetched again.
"""

import asyncio
import os
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Self

from attrs import define, frozen

from workorder_async import arguments
from workorder_async.client import WorkorderClient
from workorder_async.document import Attachment, TicketDetail
from workorder_async.errors import ConfigError, WorkorderError
from workorder_async.exports.downloading import (
    BrokenError,
    Downloader,
    NotFetchedError,
    PartFile,
    StaleError,
    on_disk,
)
from workorder_async.exports.safe_names import distinct_names
from workorder_async.secret import Secret
from workorder_async.wire.options import client_options

#: How long the URLs of a detail are used without asking again, in seconds: the 600 of the API document, less a margin.
GOOD_FOR = 540.0
#: Seconds between the attempts to fetch one file; there is one attempt more.
WAITS: Sequence[float] = (1.0, 5.0)


@frozen
class NotFetched:
    """An attachment that is not there, and why."""

    path: Path
    """Where it would be."""
    reason: str
    """Why it is not, in words."""


@frozen
class Fetched:
    """What became of the attachments of one ticket."""

    files: int = 0
    """Files that were fetched."""
    bytes: int = 0
    """Bytes of these files."""
    kept: int = 0
    """Files that were there already."""
    failed: tuple[NotFetched, ...] = ()
    """Attachments that were not fetched."""


@define
class _Wanted:
    """An attachment that is to be there."""

    index: int
    path: Path
    size: int
    """Its bytes by the ticket; 0 where it does not say."""
    there: int | None
    """The bytes of the file that is there already."""
    identity: str
    """What tells it from other attachments, and stays the same when its URL is asked for again."""
    counted: int = 0
    """Its bytes that count towards the limit so far."""

    @classmethod
    def of(cls, attachment: Attachment, index: int, path: Path, there: int | None) -> Self:
        """Make one of what the ticket says; the storage key stands before the token of a temporary URL."""
        key = attachment.file_path.partition("?")[0]
        return cls(index, path, max(attachment.file_size, 0), there, f"{key}\n{attachment.file_size}")

    def is_there(self) -> bool:
        """Tell whether nothing is left to do."""
        return self.there is not None and self.size in (0, self.there)


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

        Raises `StaleError` where that was of no use.
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

    * `folder`: made where it is missing; the folder that it lies in must be there. One process uses it at a time.
    * `client`: reads a ticket again when its URLs are stale; it is not closed.
    * `max_bytes`, `max_files`: how much the tickets given to this object may have together, with what is there already.
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
        self._downloader = Downloader(client_options(max_in_flight=concurrency, proxy=proxy, ssl=ssl))
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
        await self._downloader.aclose()

    async def fetch(self, detail: TicketDetail) -> Fetched:
        """Fetch every attachment of a ticket that is not there yet, and tell what became of them.

        To be called soon after the detail was read: its URLs are good for about 600 seconds. They are asked for again
        once. What cannot be had, or is beyond a limit, is told in `failed`; the other files are fetched all the same.
        Raises `ExportError` where the disk does not do its part: what was received is gone on with later.
        """
        attachments = attachments_of(detail)
        if not attachments:
            return Fetched()
        links = _Links(self._client, detail)
        place = self._folder / str(detail.id)
        paths = [place / name for name in distinct_names(one.file_name for one in attachments)]
        there = await on_disk(place, partial(_sizes_there, place, paths))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._bring(_Wanted.of(one, index, paths[index], there[index]), links))
                    for index, one in enumerate(attachments)
                ]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        became = [task.result() for task in tasks]
        if not any(one.failed for one in became):
            await on_disk(place, partial(_remove_parts, place))
        return Fetched(
            files=sum(one.files for one in became),
            bytes=sum(one.bytes for one in became),
            kept=sum(one.kept for one in became),
            failed=tuple(not_fetched for one in became for not_fetched in one.failed),
        )

    async def _bring(self, wanted: _Wanted, links: _Links) -> Fetched:
        """Have one file there, and tell what became of it. The limits are asked before anything is awaited."""
        if wanted.is_there():
            self._files += 1
            self._bytes += wanted.there or 0
            return Fetched(kept=1)
        if self._files >= self._max_files:
            return _not_fetched(wanted, f"it is beyond the limit of {self._max_files:,} files (max_files)")
        self._files += 1
        try:
            self._count(wanted, wanted.size)
            async with self._places:
                return Fetched(files=1, bytes=await self._fetch(wanted, links))
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
        """Fetch one file, and return its size. What was received stays, unless it can never become the file."""
        part = PartFile(wanted.path, wanted.identity)
        try:
            await on_disk(wanted.path, part.open)
            if wanted.size and part.size > wanted.size:
                await on_disk(wanted.path, part.begin_anew)
            if not wanted.size or part.size < wanted.size:
                await self._receive(part, wanted, links)
            size = part.size
            await on_disk(wanted.path, part.finish)
            return size
        except NotFetchedError:
            await on_disk(wanted.path, part.discard)
            raise
        finally:
            await on_disk(wanted.path, part.close)

    async def _receive(self, part: PartFile, wanted: _Wanted, links: _Links) -> None:
        """Receive what a part lacks, in as many attempts as there may be."""
        waits = iter(WAITS)
        while True:
            url, was_renewed = await links.url(wanted.index)
            try:
                return await self._downloader.fill(part, url, wanted.size, partial(self._count, wanted))
            except StaleError as stale:
                await links.renew(was_renewed=was_renewed, why=str(stale))
            except BrokenError as broken:
                wait = next(waits, None)
                if wait is None:
                    raise BrokenError(f"{broken}; {len(WAITS) + 1} attempts were made") from None
                await asyncio.sleep(wait)


def attachments_of(detail: TicketDetail) -> list[Attachment]:
    """Return every attachment of a ticket, in the order that their names are given by."""
    return [*detail.attachment, *detail.handle_attachment]


def _not_fetched(wanted: _Wanted, reason: str) -> Fetched:
    return Fetched(failed=(NotFetched(wanted.path, reason),))


def _looks(attachment: Attachment) -> tuple[str, int, str]:
    return attachment.file_name, attachment.file_size, attachment.file_type


def _make_folder(folder: Path) -> None:
    """Make a folder for its owner alone; one that is there already stays as it is."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        folder.chmod(0o700)  # a umask may have taken more


def _sizes_there(place: Path, paths: Sequence[Path]) -> list[int | None]:
    """Make the folder of a ticket, and return the sizes of the files that are in it; None for each that is not."""
    _make_folder(place.parent)
    _make_folder(place)
    found: list[int | None] = []
    for path in paths:
        try:
            about = path.lstat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append(about.st_size if stat.S_ISREG(about.st_mode) else None)
    return found


def _remove_parts(place: Path) -> None:
    """Remove what earlier runs left of files that are whole by now."""
    for part in place.glob(".*.part"):
        part.unlink(missing_ok=True)
