"""Full records of the tickets of a part: read some at a time, given in the list's order, told where they are gone."""

import asyncio
from collections.abc import Sequence

from attrs import define, field

from workorder_async.client import WorkorderClient
from workorder_async.document import TicketDetail
from workorder_async.errors import ApiError, AuthenticationError, DecodeError, NotFoundError, RateLimitedError
from workorder_async.exports.attachments import AttachmentFolder, Fetched
from workorder_async.exports.report import NO_ATTACHMENTS, AttachmentCounts
from workorder_async.walk_report import SKIPPED_ROWS_NAMED, SkippedRow
from workorder_async.wire.limits import Lane

#: So many tickets in a row that are refused with one errno are no matter of these tickets.
REFUSED_IN_A_ROW = 16


@define
class DetailCounts:
    """What is told of the full records of a part, beside the records themselves."""

    gone: list[int] = field(factory=list)
    gone_tickets: int = 0
    skipped: list[SkippedRow] = field(factory=list)
    skipped_rows: int = 0
    attachments: AttachmentCounts = NO_ATTACHMENTS

    def note_gone(self, id: int) -> None:
        """Note a ticket that was refused."""
        self.gone_tickets += 1
        if len(self.gone) < SKIPPED_ROWS_NAMED:
            self.gone.append(id)

    def note_skipped(self, id: int, error: DecodeError) -> None:
        """Note a ticket that cannot be read."""
        self.skipped_rows += 1
        if len(self.skipped) < SKIPPED_ROWS_NAMED:
            self.skipped.append(SkippedRow(id, error.path, error.expected, error.got))

    def note_fetched(self, fetched: Fetched) -> None:
        """Note what became of the attachments of a ticket."""
        self.attachments += AttachmentCounts(
            fetched=fetched.files,
            bytes=fetched.bytes,
            kept=fetched.kept,
            failed=len(fetched.failed),
            failures=tuple(f"{one.path}: {one.reason}" for one in fetched.failed),
        )


class Details:
    """Reads full records, at most `concurrency` at a time, and lets a folder, if there is one, fetch their attachments.

    A ticket that is gone by now (`NotFoundError`, or any other refusal that is about this ticket) is left out and told.
    Sixteen refusals in a row with one errno that nobody gave a meaning are not about the tickets: the last is raised.
    """

    def __init__(
        self, client: WorkorderClient, folder: AttachmentFolder | None, *, concurrency: int, skips_bad_rows: bool
    ) -> None:
        self._client = client
        self._folder = folder
        # A call's deadline begins when it is made: no more are made than may be under way.
        self._slots = asyncio.Semaphore(concurrency)
        self._lane = Lane(concurrency)
        self._skips = skips_bad_rows
        self._errno, self._refused = 0, 0
        #: Requests so far.
        self.requests: int = 0

    async def read(self, ids: Sequence[int], counts: DetailCounts) -> list[TicketDetail]:
        """Return the records of these tickets, in their order; what is not there is noted in `counts`."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(id, counts)) for id in ids]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        found = []
        for id, task in zip(ids, tasks, strict=True):
            result = task.result()
            self._check(result)
            if isinstance(result, TicketDetail):
                found.append(result)
            elif isinstance(result, DecodeError):
                counts.note_skipped(id, result)
            else:
                counts.note_gone(id)
        return found

    async def _one(self, id: int, counts: DetailCounts) -> TicketDetail | ApiError | DecodeError:
        async with self._slots:
            self.requests += 1
            try:
                detail = await self._client.get_ticket_detail(id, lane=self._lane)
            except (AuthenticationError, RateLimitedError):
                raise
            except ApiError as error:
                return error
            except DecodeError as error:
                if not self._skips:
                    raise
                return error
        if self._folder is not None:
            counts.note_fetched(await self._folder.fetch(detail))
        return detail

    def _check(self, result: TicketDetail | ApiError | DecodeError) -> None:
        """Count refusals in a row."""
        if not isinstance(result, ApiError) or isinstance(result, NotFoundError):
            self._refused = 0
            return
        self._refused = self._refused + 1 if result.errno == self._errno else 1
        self._errno = result.errno
        if self._refused >= REFUSED_IN_A_ROW:
            raise result
