"""`mirror_tickets`: a SQLite database that keeps up with the platform, by as few requests as show what changed.

    time      one request, if no answer has told the server's time yet
    all       the first run, or with `full`: every ticket, or the rest of them if that was cut short before
    open      the list of pending tickets, then the list of those in process
    new       tickets created since the newest ticket in the database, and in the `lag` before it
    left      tickets that were open, and that no list of open tickets shows now: by narrow ranges of created time
    missing   tickets that earlier runs found missing in the list: one by one
    audit     totals: the ranges in which the list has more or fewer tickets than the database are read
    details   full records of tickets that are new or have changed, and their files

Each page that is read is in the database at once. So after a run that was cut short, the next run begins with the first
step again; of the step "all" it does only what is left. A ticket is *absent* if an exact walk of its range did not show
it, and is marked missing after the audit, unless too many are absent. Only a later run, which asks for that ticket
alone, can find it gone.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import Annotated, Final, Literal, TypeAlias, TypedDict, Unpack, cast

from attrs import Factory, asdict, define, evolve, frozen

from workorder_async.arguments import Option, flag, function, number_within, path, plain, whole, with_defaults
from workorder_async.client import WorkorderClient
from workorder_async.document import Ticket, TicketDetail, TicketQuery, TicketStatus
from workorder_async.document.codec import Row
from workorder_async.document.json_text import JSON
from workorder_async.errors import ApiError, AuthenticationError, NotFoundError, WorkorderError
from workorder_async.exports.attachments import AttachmentFolder
from workorder_async.exports.reading import DETAILS_AT_ONCE, FullRecords, Unread, is_refused, read_detail
from workorder_async.exports.report import NO_ATTACHMENTS, AttachmentCounts
from workorder_async.mirror.database import LEAST, OPEN, ROOM, Mark, MirrorDatabase, Range, database_of
from workorder_async.tasks import for_each
from workorder_async.walks.options import WalkOptions, a_page_size, refuse_unknown
from workorder_async.walks.walk import Walk, undated_in
from workorder_async.walks.windows import Window
from workorder_async.wire.limits import Lane

EVERYTHING: Final = TicketQuery()
#: Absent tickets that may be marked missing in one run: so many, or this share of all tickets if that is more.
_FEW: Final = 20
_SHARE: Final = 0.01
#: A range that differs by so many tickets for each of its pages is read whole: asking for totals would cost more.
_DENSE: Final = 0.5
#: Tickets that are named in a doubt, at the most.
_NAMED: Final = 20

_Found: TypeAlias = tuple[TicketDetail, list[Path], bool]
"""A full record, the paths of its files, and whether all of them are there."""

Phase: TypeAlias = Literal["all", "new", "open", "left", "audit", "missing", "details"]
"""A step of a run: to read all tickets, the new ones, the open ones, the ones that left the lists of open tickets; to
compare totals; to ask for missing tickets; to read full records."""


@frozen(kw_only=True)
class MirrorProgress:
    """A run so far."""

    phase: Phase
    """The step that is under way."""
    rows: int
    """Rows that were read in this run; in the phase "details", full records instead."""
    total: int
    """About how many rows there will be; -1 if that is not known."""
    requests: int
    """Requests that were made in this run."""
    seconds: float
    """Seconds since the run began."""


class MirrorOptions(TypedDict, total=False):
    """How to mirror; the keyword arguments of `mirror_tickets`."""

    lag: Annotated[float, Option(120.0, partial(number_within, low=0, high=1e9))]
    """How many seconds a new ticket may take until the list shows it (120)."""
    detail: Annotated[bool, Option(False, flag)]
    """Whether the full record of each ticket is read when it is new or has changed, one request each (False)."""
    recheck: Annotated[int, Option(0, partial(whole, at_least=0))]
    """How many full records of open tickets, with `full` of any, are read again in each run: those that were read
    longest ago (0)."""
    attachments: Annotated[str | PathLike[str] | None, Option(None, path)]
    """A folder for the attachments, the same in each run; with it, full records are read, too (None). A file that is
    removed from the folder is not fetched again."""
    private_addresses: Annotated[bool, Option(False, flag)]
    """Whether attachments may come from this machine and from private networks (False: only if they are at the host and
    port of the platform itself)."""
    full: Annotated[bool, Option(False, flag)]
    """Whether the row of every ticket is read, and differences are written (False: only in the first run). If an
    earlier run that read every ticket was cut short, only the rest is read."""
    accept_gone: Annotated[bool, Option(False, flag)]
    """Whether tickets that are not shown any more are marked as missing, however many they are (False)."""
    on_progress: Annotated[Callable[[MirrorProgress], None] | None, Option(None, function)]
    """A function that is told how far the run is, once a page at the most, in the event loop."""
    page_size: Annotated[int, Option(100, a_page_size)]
    """Tickets to ask for per request (100)."""
    concurrency: Annotated[int, Option(8, whole)]
    """Requests in flight at once, at the most (8)."""


def checked(given: MirrorOptions) -> MirrorOptions:
    """Return all options, checked; `detail` is set if something needs it."""
    refuse_unknown(given, MirrorOptions.__annotations__, "a mirror")
    options = with_defaults(MirrorOptions, given)
    options["detail"] = options["detail"] or options["attachments"] is not None or options["recheck"] > 0
    return options


@define(kw_only=True)
class MirrorReport:
    """The results of a run."""

    run: int
    """The run's number, as in the tables `runs` and `changes`."""
    began_at: int = 0
    """When the run began, in seconds since the epoch by the server's clock. Every ticket that was created before this
    moment, less the lag, is in the database."""
    tickets: int = 0
    """Tickets in the database that the list shows."""
    created: int = 0
    """Tickets that are new in the database; in the first run all of them."""
    changed: int = 0
    """Tickets whose values changed since they were read before, or that the list shows again."""
    missing: list[int] = Factory(list)
    """Tickets that an answer should have shown and did not, for the first time. The next run asks for each of them."""
    gone: list[int] = Factory(list)
    """Tickets that were missing, and that the platform does not know any more."""
    left: list[int] = Factory(list)
    """Tickets that were missing, and exist: they do not match the query any more, or may not be listed."""
    held_back: int = 0
    """How many absent tickets were not marked as missing, because they are too many at once; `accept_gone=True` marks
    them."""
    details: int = 0
    """Full records that were read."""
    attachments: AttachmentCounts = NO_ATTACHMENTS
    """Files that were fetched."""
    skipped: int = 0
    """Rows and full records that cannot be read. The database keeps older values of them; if it has none, the run is
    not exact."""
    refused: list[int] = Factory(list)
    """Tickets whose full records the platform refused; the next run asks for them again. Once sixteen in a row are
    refused with one errno, and a record that was read before is refused as well, no more are asked for in this run."""
    refusal: str = ""
    """The errno and the words with which the first of them was refused; "" if there is none."""
    requests: int = 0
    """Requests of the run."""
    oldest_read_at: int = 0
    """When the oldest row of a listed ticket was read, in seconds since the epoch by the server's clock."""
    exact: bool = True
    """Whether every step saw all that it had to see."""
    reason: str = ""
    """Why the run is not exact."""
    seconds: float = 0.0
    """How long the run took."""


async def mirror_tickets(
    client: WorkorderClient,
    database: "str | PathLike[str]",
    query: TicketQuery = EVERYTHING,
    **options: Unpack[MirrorOptions],
) -> MirrorReport:
    """Bring a SQLite database up to date with the tickets that match, and say what changed.

    `database` is made by the first run, which reads everything. Later runs read the open tickets, the new ones, and
    those that are open no more. `query` has no status, for a mirror follows tickets from one status to the next.
    `options` are those of `MirrorOptions`. The head of `workorder_async/mirror/database.py` describes the tables.

    After a run, the database has every ticket that was created before the run began, less the lag; the open tickets are
    as the list showed them. Until a ticket is read again, the database lacks: an edit of a closed ticket; a change that
    was undone between two runs; with `detail`, a new comment. `full` reads the row of every ticket again, and `recheck`
    full records, the oldest first, with `full` those of closed tickets, too. If a run is cut short at any moment, the
    next one goes on from there.

    **Absent is not gone.** A lost right, a filter or a replica that is behind look like a deletion. If an answer that
    should show a ticket does not show it, the ticket gets `missing_since`. The next run asks for this ticket: if the
    platform does not know it any more, it gets `gone_at`; if it exists, `left_at`. No row is deleted, and if the list
    shows the ticket again, all three are NULL again. If more than 20 tickets, and more than one in a hundred, are
    absent at once, none is marked, and the report says so; `accept_gone=True` marks them. Only a `NotFoundError` says
    that a ticket is gone: the client has to know the platform's errno for it (`errnos=`). The book's page on mirrors
    has the whole promise.

    Raises `ConfigError` before the first request for an argument that cannot work; `ExportError` if the disk fails, for
    a database that another program is writing (the error names the program), and for a database of another platform,
    AppId or query; and the errors that every request may raise.
    """
    settings = checked(options)
    mirror = database_of(client, database, query)
    run = Run(client, query, mirror, settings)
    files: AbstractAsyncContextManager[object] = run.files or nullcontext()
    # A new database is of this query from then on, and a new folder of this platform: first what may be refused.
    is_new = mirror.path.parent.is_dir() and not mirror.path.exists()
    first, second = (files, mirror) if is_new else (mirror, files)
    async with first, second:
        return await run.run()


class Run:
    """One run: a method for each step; `run` calls them in order."""

    def __init__(
        self, client: WorkorderClient, query: TicketQuery, mirror: MirrorDatabase, options: MirrorOptions
    ) -> None:
        self._client = client
        self._query = query
        self._do = mirror.do
        self._options = options
        self._at_once = options["concurrency"]
        folder, private = options["attachments"], options["private_addresses"]
        #: The folder for attachments; the caller opens it before `run`.
        self.files: AttachmentFolder | None = (
            None if folder is None else AttachmentFolder(folder, client, private_addresses=private)
        )
        self._began = perf_counter()
        self._report = MirrorReport(run=0)
        self._walks = WalkOptions(page_size=options["page_size"], concurrency=self._at_once, on_bad_row="skip")
        self._phase: Phase = "all"
        self._rows, self._total_rows = 0, -1
        # The tickets that an exact walk should have shown, and did not.
        self._absent: set[int] = set()
        # The ids of rows and of full records that cannot be read, by the table that would have them.
        self._unreadable: dict[str, set[JSON]] = {"tickets": set(), "details": set()}
        # Why the run may not be exact.
        self._doubts: list[str] = []

    async def run(self, *, quiet: bool = False) -> MirrorReport:
        """Do all steps; if `quiet`, without "open", "left" and "audit", unless a total shows that more has changed."""
        await self.learn_time()
        self._report.began_at = began = self.now()
        self._report.run = await self._do(MirrorDatabase.begin, began)
        known = await self._do(MirrorDatabase.mark)
        if known is None or self._options["full"] or not known.ended:
            await self._read_all(known)
        is_level = False
        if known is not None and not (known.ended and self._options["full"]):
            start = await self._do(MirrorDatabase.begin_new, began, self._options["lag"])
            if quiet and known.ended:
                await self._read_new(start)
                is_level = await self._is_level()
            if not is_level:
                followed = await self._read_open()
                await self._read_new(start)
                await self._read_left(followed)
        await self._look_for_missing()
        if not is_level and not await self._has_too_many():
            await self._audit()
        await self._mark_absent()
        if self._options["detail"]:
            await self._read_details()
        return await self._end()

    async def _is_level(self) -> bool:
        """Tell whether the list and the database have equally many tickets: in all, pending, and in process.

        A platform may count no further than to a number, which the database keeps under "most".
        """
        counts = await self._do(MirrorDatabase.counts)
        queries = [self._query, *(evolve(self._query, status=TicketStatus(status)) for status in OPEN)]
        totals = [await self._total(query) for query in queries]
        most = await self._do(MirrorDatabase.kept, "most") or counts[0]
        return totals[1:] == counts[1:] and totals[0] in (counts[0], min(counts[0], most))

    async def learn_time(self) -> None:
        """Make one request if no answer has told the server's time yet: by it tickets count as new, or as absent."""
        if self._client.ahead() is None and not self._report.requests:
            self._report.requests = 1
            await self._client.ping()

    def now(self) -> int:
        """Return the time by the server's clock, as far as it is known."""
        return int(self._client.now() + self._client.clock_offset)

    # Reading

    async def _read_all(self, known: Mark | None) -> None:
        """Read every ticket, or only the rest if an earlier run that did so was cut short."""
        self._phase = "all"
        mark = Mark(since=self._report.run, is_first=known is None) if known is None or known.ended else known
        at, resumed = self.now(), mark.rest != (None, None)
        async with self._client.walk(Window(self._query, *mark.rest), **self._walks) as walk:
            async for rows, rest in self._pages(walk):
                if walk.is_restarted:
                    mark = evolve(mark, rest=(None, None))  # the rows so far came in a wrong order: they leave no rest
                elif rest is not None:
                    mark = evolve(mark, rest=(rest.start, rest.end))
                is_exact = mark.exact and not walk.flaws and not walk.report.skipped_rows
                mark = evolve(mark, exact=is_exact)
                await self._write(rows, at, mark)
        self._note_walk(walk)
        if resumed and (walk.is_restarted or await undated_in(self._total, self._query)):
            # The rest relied on an order that the list does not have, or lacks tickets without a created time.
            await self._read_all(evolve(mark, rest=(None, None)))
            return
        if mark.exact and walk.report.exact and not mark.is_first:
            await self._note_absent(mark.since, (None, None))
        await self._do(MirrorDatabase.write, [], at, at, evolve(mark, ended=True, rest=(None, None)))

    async def _read_open(self) -> list[int]:
        """Read the pending tickets, then those in process, page after page, which takes the fewest requests.

        Return the statuses whose tickets the step "left" looks for, if no list of this run shows them. If both lists
        were read side by side, an answer of one might be written over a later answer of the other, and a ticket would
        seem to change back. A ticket that goes from one list to the other meanwhile, and is seen in neither, is read in
        the step "left". The list of a status that the API document does not have is read if its total differs from the
        database's count.
        """
        self._phase = "open"
        followed = [*OPEN]
        for status in OPEN:
            await self._read((None, None), TicketStatus(status))
        for status, count in await self._do(MirrorDatabase.odd_statuses):
            odd = TicketStatus(status)
            with suppress(ApiError):  # if the platform refuses this status, the step "left" reads each of its tickets
                if await self._total(evolve(self._query, status=odd)) == count:
                    continue
                await self._read((None, None), odd)
            followed.append(status)
        return followed

    async def _read_new(self, start: int | None) -> None:
        """Read the tickets created since a second (None: all)."""
        self._phase = "new"
        await self._read((start, None))
        await self._do(MirrorDatabase.keep, "new", None)

    async def _read_left(self, followed: Sequence[int]) -> None:
        """Read the tickets that had one of these statuses, and that no list has shown in this run."""
        self._phase = "left"
        ranges = await self._do(MirrorDatabase.ranges_of_left, self._options["page_size"], followed)
        await for_each(ranges, self._read, at_once=self._at_once)
        left = await self._do(MirrorDatabase.not_read, self._report.run, (None, LEAST), followed)
        if left:
            named = ", ".join(str(id) for _, id in left[:_NAMED])
            why = "which have no created time: a full run reads them if they are listed"
            self._doubts.append(f"no list of open tickets shows {named} any more, {why}")

    async def _read(self, range: Range, status: TicketStatus | None = None) -> None:
        """Read a range, of one status or of all. A ticket that an exact walk of all statuses lacks is absent."""
        at = self.now()
        walks: WalkOptions = {**self._walks, "concurrency": 1}
        async with self._client.walk(Window(evolve(self._query, status=status), *range), **walks) as walk:
            async for rows, _ in self._pages(walk):
                await self._write(rows, at)
        self._note_walk(walk)
        if status is None and walk.report.exact:
            await self._note_absent(self._report.run, range)

    async def _pages(self, walk: Walk) -> AsyncIterator[tuple[list[Row], Window | None]]:
        """Yield the rows of each page as they came, and the page's `rest`, which a later run goes on with."""
        walk.raw()
        while page := await walk.next_page():
            self._total_rows = page.total
            yield cast("list[Row]", page.rows), page.rest

    async def _write(self, rows: Sequence[Row], at: int, mark: Mark | None = None) -> None:
        """Write rows, while the walk goes on reading."""
        self._rows += len(rows)
        created, unreadable = await self._do(MirrorDatabase.write, rows, at, self.now(), mark)
        self._report.created += created
        self._unreadable["tickets"].update(unreadable)
        self._tell()

    def _note_walk(self, walk: Walk) -> None:
        report = walk.report
        self._report.requests += report.requests
        self._report.skipped += report.skipped_rows
        self._doubts += walk.flaws
        if report.skipped_rows:
            self._doubts.append(f"{report.skipped_rows} rows have no number that can be read")

    async def _note_absent(self, run: int, range: Range) -> None:
        """Take the tickets of a range that were not read since `run` for absent, but no ticket of the `lag`.

        Tickets without a created time are in the range of all tickets, and in no other one.
        """
        start, end = range
        shown_until = self._shown_until()
        since = None if range == (None, None) else max(1, start or 0)
        range = (since, shown_until if end is None else min(end, shown_until))
        self._absent.update(id for _, id in await self._do(MirrorDatabase.not_read, run, range))

    def _shown_until(self) -> int:
        """Return the second from which on a new ticket may not be listed yet: the run's beginning, less the `lag`."""
        return self._report.began_at - int(self._options["lag"])

    def _tell(self) -> None:
        if self._options["on_progress"] is not None:
            progress = MirrorProgress(
                phase=self._phase,
                rows=self._rows,
                total=self._total_rows,
                requests=self._report.requests,
                seconds=perf_counter() - self._began,
            )
            plain("on_progress", self._options["on_progress"](progress))

    # Absence

    async def _audit(self) -> None:
        """Compare the list's totals with the database's counts, and read the ranges that differ."""
        self._phase = "audit"
        top = await self._do(MirrorDatabase.gap_before, self._shown_until())
        # A server may count tickets without a created time in a range that has only an end, or show them at second 0.
        # A range that begins at `LEAST` shows none of them, not even with its margin of a second.
        has_undated = await self._do(MirrorDatabase.count, (None, 1)) > 0
        dated: Range = (LEAST if has_undated else None, top)
        ranges = [(dated, await self._total_of(dated))]
        while ranges:
            parts = await for_each(ranges, self._audited, at_once=self._at_once)
            ranges = [part for found in parts for part in found]

    async def _audited(self, asked: tuple[Range, int]) -> list[tuple[Range, int]]:
        """Compare a range's total in the list with the database; return its two halves, with their totals, or nothing.

        Nothing is left to compare if both are equal, or once the range is read: that is done if it is small, if many of
        its tickets differ, or if there is no second to cut it at. If the lower half of a range has the same total as
        the range, the platform counts no further.
        """
        range, total = asked
        count = await self._do(MirrorDatabase.count, range, [*self._absent])
        if count == total:
            return []
        size, gap = self._options["page_size"], None
        is_dense = abs(count - total) >= _DENSE * max(count, total) / size
        # If the list has far fewer tickets, do not read the range yet: the platform may count no further than that.
        if max(count, total) + ROOM > size and (count > total or not is_dense):
            gap = await self._do(MirrorDatabase.gap, range)
        if gap is not None:
            lower = await self._total_of((range[0], gap))
            if lower == total > 0:
                await self._do(MirrorDatabase.keep, "most", total)
            if total == await self._do(MirrorDatabase.kept, "most"):
                return [((range[0], gap), lower), ((gap, range[1]), await self._total_of((gap, range[1])))]
            if not is_dense:
                return [((range[0], gap), lower), ((gap, range[1]), total - lower)]
        await self._read(range)
        return []

    async def _total_of(self, range: Range) -> int:
        """Ask how many tickets the list has in a range that begins and ends in gaps."""
        first, last = Window(self._query, *range).span
        return await self._total(evolve(self._query, created_start=first, created_end=last))

    async def _total(self, query: TicketQuery) -> int:
        self._report.requests += 1
        return await self._client.count_tickets(query)

    async def _look_for_missing(self) -> None:
        """Ask for each ticket that is missing since an earlier run, and not known yet to be gone or to have left."""
        self._phase = "missing"
        missing = await self._do(MirrorDatabase.to_be_found)
        answers = dict(zip(missing, await for_each(missing, self._find, at_once=self._at_once), strict=True))
        report, at = self._report, self.now()
        report.requests += len(missing)
        gone = [id for id, answer in answers.items() if isinstance(answer, NotFoundError)]
        left = [id for id, answer in answers.items() if isinstance(answer, Ticket)]
        doubtful = {id: answer for id, answer in answers.items() if not isinstance(answer, NotFoundError | Ticket)}
        if doubtful:
            id, why = next(iter(doubtful.items()))
            # Without a request's id, which is another one in each look of a watch: see `MirrorDatabase.end`.
            said = f"whether {len(doubtful)} missing tickets exist could not be found out"
            doubt = f"{said}, the first is {id}: {why.message}"
            if type(why) is ApiError:
                doubt += "; if that errno says that there is none, map it to NotFoundError (errnos=, WORKORDER_ERRNOS)"
            self._doubts.append(doubt)
        report.gone = sorted(await self._do(MirrorDatabase.note, "gone", gone, at))
        report.left = sorted(await self._do(MirrorDatabase.note, "left", left, at))

    async def _find(self, id: int) -> Ticket | WorkorderError:
        """Ask for a missing ticket; raise a gateway's page of 401 or 403, which has no errno."""
        try:
            return (await self._client.get_tickets([id]))[id]
        except AuthenticationError as error:
            # This run has read the list, so the signature is right: it is this ticket that may not be read.
            if error.errno == 0:
                raise
            return error

    async def _has_too_many(self) -> bool:
        """Tell whether too many tickets are absent to be deletions: a right may be lost, or a filter may not work."""
        count = await self._do(MirrorDatabase.count)
        return len(self._absent) > max(_FEW, _SHARE * count) and not self._options["accept_gone"]

    async def _mark_absent(self) -> None:
        """Mark the absent tickets as missing, unless they are too many."""
        if not await self._has_too_many():
            self._report.missing = await self._do(MirrorDatabase.note, "missing", sorted(self._absent), self.now())
            return
        self._report.held_back = len(self._absent)
        self._doubts.append(
            f"{len(self._absent)} tickets are not shown any more, too many to be believed at once; accept_gone=True "
            "marks them"
        )

    # Full records

    async def _read_details(self) -> None:
        """Read the full records that are due, and the oldest of the others (`recheck`); fetch their files."""
        self._phase, options = "details", self._options
        recheck, folder, is_full = options["recheck"], options["attachments"], options["full"]
        due = await self._do(MirrorDatabase.details_due, recheck, folder, is_full)
        self._rows, self._total_rows = 0, len(due)
        known = await self._do(MirrorDatabase.with_details) if due else None
        records = FullRecords(self._at_once, known)
        read = partial(self._detail, lane=Lane(self._at_once))
        for place in range(0, len(due), DETAILS_AT_ONCE):
            at = self.now()
            answers = await records.read(due[place : place + DETAILS_AT_ONCE], read)
            found = [self._found(id, answer) for id, answer in answers.items()]
            self._report.details += await self._do(MirrorDatabase.write_details, [*answers], found, at, self.now())
            self._rows += len(found)
            self._tell()
            if records.end is not None and await records.is_answered(read):
                records.go_on()
            if records.end is not None:
                said, refusal = records.end
                self._doubts.append(f"no more full records were asked for: {said}: {refusal.message}")
                break

    def _found(self, id: int, answer: _Found | Unread) -> _Found | None:
        """Return a full record and its files, or note that it is not there."""
        if not isinstance(answer, WorkorderError):
            return answer
        self._unreadable["details"].add(id)
        if is_refused(answer):
            self._report.refused.append(id)
            self._report.refusal = self._report.refusal or answer.message
        return None

    async def _detail(self, id: int, *, lane: Lane) -> _Found | Unread:
        """Read a full record and fetch its files."""
        self._report.requests += 1
        detail = await read_detail(self._client, id, lane)
        if not isinstance(detail, TicketDetail):
            return detail
        if self.files is None:
            return detail, [], False
        counts = await self.files.fetch(detail)
        self._report.attachments += counts
        return detail, self.files.places(detail), not counts.failed

    async def _end(self) -> MirrorReport:
        report = self._report
        report.tickets, report.changed, report.oldest_read_at = await self._do(MirrorDatabase.summary)
        for table, ids in self._unreadable.items():
            report.skipped += len(ids)
            if unknown := await self._do(MirrorDatabase.unknown_of, table, sorted(ids, key=str)):
                more = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
                named = ", ".join(map(str, unknown[:_NAMED]))
                why = f"; the first refusal: {report.refusal}" if table == "details" and report.refusal else ""
                self._doubts.append(f"{table} that cannot be read are not in the database: {named}{more}{why}")
        report.exact, report.reason = not self._doubts, "; ".join(dict.fromkeys(self._doubts))
        report.seconds = perf_counter() - self._began
        await self._do(MirrorDatabase.end, self.now(), report.requests, asdict(report))
        return report
