"""Read the queries of an export, each in one walk, and have their parts put on disk while the walk goes on.

A page of a walk tells with which `rest` of the list a later walk would go on, and which tickets that walk would show
`again`. So a part can end with this page. A page that has no `rest`, as in a crowd, makes the part longer.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import monotonic, perf_counter
from typing import Final, TypeAlias, TypeGuard, TypeVar

from attrs import define

from workorder_async.arguments import plain
from workorder_async.client import WorkorderClient
from workorder_async.document import TicketDetail, TicketQuery
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    DecodeError,
    NotFoundError,
    RateLimitedError,
    ResponseError,
    WorkorderError,
)
from workorder_async.exports.attachments import AttachmentFolder
from workorder_async.exports.parts import Lines
from workorder_async.exports.report import ExportOptions, ExportProgress, Part, Phase
from workorder_async.exports.sink import Record
from workorder_async.tasks import for_each
from workorder_async.walk_report import SKIPPED_ROWS_NAMED, SkippedRow
from workorder_async.walks.jobs import WalkedPage
from workorder_async.walks.options import WalkOptions
from workorder_async.walks.walk import undated_in
from workorder_async.walks.windows import Window
from workorder_async.wire.limits import Lane

#: With full records, a page has at most so many tickets, and most pages are a part. A kill may lose two parts, one that
#: is being read and one that is being written: so no more than a hundred records are read again. 48 can be divided by
#: the usual concurrencies 8, 16 and 24.
DETAILS_AT_ONCE: Final = 48
#: A part ends once it has so many rows, or is so many seconds old; with full records, which cost a request each, after
#: every page.
ROWS_OF_A_PART: int = 2000
SECONDS_OF_A_PART: float = 1.0
#: If so many tickets in a row are refused with the same errno, the tickets are not the cause.
REFUSED_IN_A_ROW: Final = 16
Unread: TypeAlias = ApiError | ResponseError
"""Why a ticket's full record was not read: it is gone, refused, or cannot be read (`DecodeError`)."""
_T = TypeVar("_T")


class UnfoundedError(Exception):
    """An earlier call relied on an order that the list does not have: its rows must be read anew."""


async def read_detail(client: WorkorderClient, id: int, lane: Lane) -> TicketDetail | Unread:
    """Return a full record, or why this ticket has none; raise errors that hold for all tickets, with its number."""
    try:
        return await client.get_ticket_detail(id, lane=lane)
    except WorkorderError as error:
        if not _is_of_ticket(error):
            _about(f"ticket {id}", error)
            raise
        return error


def _about(what: str, error: WorkorderError) -> WorkorderError:
    """Let an error begin with the tickets that it is about, unless it does so already."""
    if what not in error.message:
        error.args = (f"{what}: {error.message}",)
    return error


def _is_unclear(answer: object) -> TypeGuard[AuthenticationError | ResponseError]:
    """Tell whether a refusal may be one of the signature, or a failure of the platform or of a gateway."""
    return isinstance(answer, AuthenticationError | ResponseError) and not isinstance(answer, DecodeError)


def _is_of_ticket(error: WorkorderError) -> TypeGuard[Unread]:
    """Tell whether an error may be of one ticket alone. A gateway's page, which has no errno, is of all."""
    if _is_unclear(error):
        return error.errno != 0
    return isinstance(error, ApiError | DecodeError) and not isinstance(error, RateLimitedError)


def is_refused(answer: object) -> TypeGuard[Unread]:
    """Tell whether a ticket is refused for another reason than that it is gone."""
    return isinstance(answer, ApiError | ResponseError) and not isinstance(answer, NotFoundError | DecodeError)


class FullRecords:
    """Asks for full records, `at_once` at a time, and tells the refusal of a ticket from a refusal of all.

    An answer that may be for a wrong signature, or of a platform that fails, is of its ticket only if a record that was
    read before is read again just then. `known` is a ticket whose record an earlier call has read.
    """

    def __init__(self, at_once: int, known: int | None = None) -> None:
        # The deadline of a call begins with the call: no more are made at a time than may be in flight, so none waits.
        self._at_once = at_once
        self._known = known
        self._row: list[tuple[int, Unread]] = []
        #: Set once sixteen tickets in a row were refused with the same errno: these words, and the first refusal.
        self.end: tuple[str, Unread] | None = None

    async def read(self, ids: Sequence[int], one: Callable[[int], Awaitable[_T | Unread]]) -> dict[int, _T | Unread]:
        """Return the answer to each ticket, in their order; `one` asks for a ticket."""
        answers = await self._ask(ids, one)
        for id, answer in answers.items():
            self._count(id, answer)
        if self.end is None:
            # Many a refusal is a passing failure of the platform: each is asked once more.
            answers |= await self._ask([id for id, answer in answers.items() if is_refused(answer)], one)
        self._known = next(
            (id for id, answer in answers.items() if not isinstance(answer, WorkorderError)), self._known
        )
        unclear = [(f"ticket {id}", answer) for id, answer in answers.items() if _is_unclear(answer)]
        if unclear and not await self.is_answered(one):
            raise _about(*(self.end or unclear[0]))
        return answers

    async def is_answered(self, one: Callable[[int], Awaitable[object]]) -> bool:
        """Ask once more for a record that was read. If it is answered, refusals are of their tickets alone."""
        return self._known is not None and not is_refused(await one(self._known))

    def go_on(self) -> None:
        """Count the refusals in a row anew."""
        self._row.clear()
        self.end = None

    async def _ask(self, ids: Sequence[int], one: Callable[[int], Awaitable[_T | Unread]]) -> dict[int, _T | Unread]:
        return dict(zip(ids, await for_each(ids, one, at_once=self._at_once), strict=True))

    def _count(self, id: int, answer: object) -> None:
        if not is_refused(answer) or (self._row and self._row[0][1].errno != answer.errno):
            self._row.clear()
        if is_refused(answer):
            self._row.append((id, answer))
        if len(self._row) >= REFUSED_IN_A_ROW and self.end is None:
            first, why = self._row[0]
            self.end = f"{REFUSED_IN_A_ROW} tickets in a row were refused, the first of them {first}", why


class Details:
    """Reads full records, and has their attachments fetched, if there is a folder for these.

    `options` are those of the walk: at most `concurrency` records are read at a time. `known` is as for `FullRecords`.

    A ticket that is gone by now (`NotFoundError`), or that the platform refuses twice, is left out, and named in the
    part. But if sixteen tickets in a row are refused with the same errno, and the error is no `NotFoundError`,
    the first of these refusals is raised.
    """

    def __init__(
        self, client: WorkorderClient, folder: AttachmentFolder | None, options: WalkOptions, known: int | None = None
    ) -> None:
        self._client = client
        self._folder = folder
        self._records = FullRecords(options["concurrency"], known)
        self._lane = Lane(options["concurrency"])
        self._skips = options["on_bad_row"] == "skip"

    async def read(self, ids: Sequence[int], part: Part) -> list[TicketDetail]:
        """Return the records of these tickets, in their order, without those that are refused or cannot be read.

        `part` counts the requests and the attachments, and names the tickets without a record.
        """
        found, answers = [], await self._records.read(ids, partial(self._one, part=part))
        if self._records.end is not None:
            raise _about(*self._records.end)
        for id, answer in answers.items():
            if isinstance(answer, TicketDetail):
                found.append(answer)
            elif isinstance(answer, DecodeError):
                part.skipped_rows += 1
                part.skipped.append(SkippedRow(id, answer.path, answer.expected, answer.got))
            elif isinstance(answer, NotFoundError):
                part.gone_tickets += 1
                part.gone.append(id)
            else:
                part.refused_tickets += 1
                part.refused.append(id)
                part.refusal = part.refusal or answer.message
        del part.skipped[SKIPPED_ROWS_NAMED:], part.gone[SKIPPED_ROWS_NAMED:], part.refused[SKIPPED_ROWS_NAMED:]
        return found

    async def _one(self, id: int, part: Part) -> TicketDetail | Unread:
        part.requests += 1
        found = await read_detail(self._client, id, self._lane)
        if isinstance(found, DecodeError) and not self._skips:
            raise found
        if self._folder is not None and isinstance(found, TicketDetail):
            fetched = await self._folder.fetch(found)
            part.attachments += fetched
        return found


@define(eq=False, slots=False)
class Reading:
    """Reads what is left of the queries, and tells the user's function about it; owns the part that is being read."""

    _client: WorkorderClient
    _queries: Sequence[TicketQuery]
    _options: ExportOptions
    _folder: AttachmentFolder | None
    _parts: Lines
    _began: float
    """When the call began, by `perf_counter`."""

    def __attrs_post_init__(self) -> None:
        options, done = self._options, self._parts.done
        self._walks = WalkOptions(
            page_size=min(options["page_size"], DETAILS_AT_ONCE) if options["detail"] else options["page_size"],
            concurrency=options["concurrency"],
            on_bad_row=options["on_bad_row"],
        )
        self.resumed_rows: int = sum(part.rows for part in done)
        # A ticket whose record an earlier call has read.
        others = {id for part in done for id in (*part.gone, *part.refused, *(row.id for row in part.skipped))}
        known = next((id for part in done[::-1] for id in (*part.again, *part.ids) if id not in others), None)
        self._details = Details(self._client, self._folder, self._walks, known) if options["detail"] else None
        self._rows = self._expected_rows = self.resumed_rows
        for part in done[:-1]:
            part.again = []
        # The tickets of earlier parts that may come again: those of the newest page, those that several queries may
        # match, and those without a created time.
        self._seen = {id for part in done for id in (*part.ids, *part.again)}
        self._begin_part(0)

    async def read(self) -> None:
        """Read all that is left, and return when it is on disk. Raises `UnfoundedError`."""
        last = self._parts.done[-1] if self._parts.done else None
        for number in range(last.query if last else 0, len(self._queries)):
            before = last if last and last.query == number else None
            if before is None or not before.ended:
                await self._read(number, before)
        await self._parts.disk.wait()
        self.tell("reading")

    def tell(self, phase: Phase, rows: int | None = None) -> None:
        """Tell the user's function how far the export is: `rows`, by default the rows that were read."""
        rows = self._rows if rows is None else rows
        if self._options["on_progress"] is not None:
            progress = ExportProgress(
                phase=phase,
                rows=rows,
                total=max(self._expected_rows, rows),
                resumed_rows=self.resumed_rows,
                seconds=perf_counter() - self._began,
            )
            plain("on_progress", self._options["on_progress"](progress))

    async def _read(self, number: int, before: Part | None) -> None:
        """Read a query; `before` is the newest part of it that an earlier call has put on disk."""
        query, rows_before = self._queries[number], self._rows
        if before is not None:
            rows_before -= len(before.again)  # the total of the rest counts them, too
        begun = (before and before.rest) or (None, None)
        # Doubts of earlier calls about this query, which the present walk does not have.
        self._doubts = [] if before is None or before.exact else [before.reason]
        # Whether a part of this query is on disk that a later call would go on from.
        is_founded = before is not None
        self._part.query = number
        # The tickets of `before.again` that the present walk has not shown yet.
        left = {*before.again} if before else set[int]()
        async with self._client.walk(Window(query, *begun), **self._walks) as walk:
            if self._options["raw"] or self._options["detail"]:
                walk.raw()
            # `_told` is the walk's report at the end of the last part: the next part has the difference.
            self._walk, self._told = walk, walk.report
            while page := await walk.next_page():
                self._expected_rows = rows_before + page.total
                await self._take(page)
                if walk.is_restarted and is_founded:
                    # The list is not as it seemed: no later call may go on from these parts.
                    if before is not None:
                        raise UnfoundedError
                    is_founded = False
                    await self._end_part(None)
                elif (rest := page.rest) is not None:
                    # No part ends where this call began: calls that are killed there again and again would not get on.
                    if self._is_due() and (before is None or (rest.start, rest.end) != begun):
                        is_founded = True
                        self._part.again = [*left.union(page.again)]
                        await self._end_part(rest)
                    left.difference_update(page.again)
        if before is not None and (doubt := await undated_in(self._count, query)):
            self._doubts.append(f"{doubt}; only an export that is begun anew, and not cut short, looks for the others")
        await self._end_part(None, ended=True)

    async def _take(self, page: WalkedPage) -> None:
        """Write the rows of a page that did not come before, or their full records."""
        part, rows, ids = self._part, page.rows, page.ids
        if self._seen:
            fresh = [place for place, id in enumerate(ids) if id not in self._seen]
            page.rows, page.ids = rows, ids = [rows[place] for place in fresh], [ids[place] for place in fresh]
        if len(self._queries) > 1:
            self._seen.update(ids)
        if len(self._queries) > 1 or page.is_undated:
            part.ids += ids
        if self._details is None:
            await self._write(rows)
        self.tell("reading")
        if self._details is not None:
            await self._write(await self._details.read(ids, part))
            self.tell("details")

    async def _write(self, rows: Sequence[Record]) -> None:
        self._part.rows += len(rows)
        self._rows += len(rows)
        await self._parts.add(rows)

    def _begin_part(self, query: int) -> None:
        self._part = Part(query=query, read_from=int(self._client.now()))
        self._part_began = monotonic()

    def _is_due(self) -> bool:
        """Tell whether the part is large or old enough to end."""
        is_large = self._details is not None or self._part.rows >= ROWS_OF_A_PART
        return is_large or monotonic() - self._part_began >= SECONDS_OF_A_PART

    async def _end_part(self, rest: Window | None, *, ended: bool = False) -> None:
        """End the part that is being read, begin to make it durable, and begin the next one."""
        for done in self._parts.done[-2:-1]:
            done.again = []  # only that of the newest part is needed
        part, report, told = self._part, self._walk.report, self._told
        doubts = [*self._doubts, *self._walk.flaws]
        part.rest = None if rest is None else (rest.start, rest.end)
        part.ended = ended
        part.exact = not doubts
        part.reason = "; ".join(doubts) or (report.reason if ended else "")
        part.requests += report.requests - told.requests
        part.read_at = int(self._client.now())
        part.skipped = [*report.skipped[len(told.skipped) :], *part.skipped][:SKIPPED_ROWS_NAMED]
        part.skipped_rows += report.skipped_rows - told.skipped_rows
        self._told = report
        self._begin_part(part.query)
        await self._parts.end_part(part)

    async def _count(self, query: TicketQuery) -> int:
        self._part.requests += 1
        return await self._client.count_tickets(query)
