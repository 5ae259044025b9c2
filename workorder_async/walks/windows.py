"""A walk over a large list in windows of created time, as rules without I/O.

Deep pages of a long list cost the server a scan, or are refused, and its ids cost the walk memory; in windows of a few
thousand tickets both stay small. A list is walked by its pages until it proves to be large, its deep pages are refused,
or its total is capped; then it is cut (`planning.py`), and so is a window that turns out too deep. A ticket that comes
in two windows is told by its id. Where the server does not filter by created time, the list is walked by its pages.
"""

from collections import deque
from functools import partial
from math import ceil, inf
from typing import Literal, Protocol, TypedDict, cast

from attrs import Factory, define, evolve

from workorder_async.errors import ConfigError, WalkDriftError
from workorder_async.models import PageRequest, TicketQuery
from workorder_async.protocol.codec import read_rows
from workorder_async.protocol.envelope import Answer
from workorder_async.walk_report import SKIPPED_ROWS_NAMED, SkippedRow, WalkReport
from workorder_async.walks.course import READS_AT_HAND, PageRead
from workorder_async.walks.freezing import created_time
from workorder_async.walks.handing_out import WalkedPage
from workorder_async.walks.paging import PageWalk
from workorder_async.walks.plan import WindowPlan

#: Tickets in a window at the most, and how many windows' worth a list must hold to be cut without being asked.
WINDOW_TICKETS = 5000
_WINDOWS_WORTH = 2
_HELD_PER_READ = 4
# Of the depth that was refused, the part that windows may hold.
_SAFE_DEPTH = 0.9
# More than these are not cut at once: larger windows are, when it is their turn.
_WINDOWS_AT_ONCE = 32
_LEVELS = 6
# Totals of a plan bring nothing new; where tickets lie very unevenly one plan asks for more than a hundred.
_BARREN_READS = 192
_READS_PER_PAGE = 16


class Read(Protocol):
    """A read that is wanted: send `request`."""

    @property
    def request(self) -> PageRequest:
        """What to send."""
        ...


@define(eq=False)
class _Window:
    """A part of the list: waiting (neither walk nor plan), being walked, or being cut."""

    query: TicketQuery
    limit: float
    """With a larger total it is cut."""
    walk: PageWalk | None = None
    plan: WindowPlan | None = None
    first: Answer | None = None
    #: Given out by a walk that was left for the plan.
    ready: deque[WalkedPage] = Factory(deque)
    is_cut: bool = False
    may_cut: bool = True
    #: How often it was cut out of a larger one.
    level: int = 0

    @property
    def is_done(self) -> bool:
        """Whether all of it was given out, or stands in the windows behind it."""
        return not self.ready and (self.walk.finished if self.walk is not None else self.is_cut)


@define(eq=False)
class _RoutedRead:
    request: PageRequest
    window: _Window | None
    walk: PageWalk | None
    inner: PageRead | None


class WalkOptions(TypedDict, total=False):
    """How to walk; the keyword arguments of `walk`, `iter_pages` and `iter_tickets`."""

    page_size: int
    """Rows to ask for per page (100); the server may give fewer."""
    concurrency: int
    """Requests in flight at the most (8); four times as many pages are held at the most."""
    window: int | None
    """Tickets in one window of created time at the most, but a page at least; 0 for no windows; None (the default) for
    windows of 5000 in lists of more than 10,000, and where the server refuses deep pages."""
    ordered: bool
    """Whether windows come one after the other (True), in the direction of the list, or as they come."""
    freeze: bool
    """Whether tickets created after the walk began stay out (True)."""
    verify: bool
    """Whether to go over the list until a pass finds nothing new (False)."""
    max_passes: int
    """Passes to verify at the most (5), the first included."""
    on_bad_row: Literal["raise", "skip"]
    """What to do with a row that cannot be read: end the walk with a `DecodeError` ("raise"), or leave it out and name
    it in `report.skipped` ("skip")."""


class WindowWalk:
    """A walk of the whole list where it is short, else window by window, several at a time; used like a `PageWalk`.

    The arguments are those of `WalkOptions`. What was given out before the list was cut is not given out again.
    """

    def __init__(
        self,
        query: TicketQuery,
        *,
        page_size: int = 100,
        concurrency: int = 8,
        window: int | None = None,
        ordered: bool = True,
        freeze: bool = True,
        verify: bool = False,
        max_passes: int = 5,
        on_bad_row: Literal["raise", "skip"] = "raise",
    ) -> None:
        if window is not None and (isinstance(window, bool) or not isinstance(window, int) or window < 0):
            raise ConfigError(f"window is {window!r}; it must be a number of tickets, 0 for no windows, or None")
        if window and not freeze:
            raise ConfigError("window needs freeze=True: windows end where the walk began")
        if on_bad_row not in ("raise", "skip"):
            raise ConfigError(f"on_bad_row is {on_bad_row!r}; it must be 'raise' or 'skip'")
        self._walk_of = partial(
            PageWalk,
            page_size=page_size,
            concurrency=concurrency,
            freeze=freeze,
            verify=verify,
            max_passes=max_passes,
            skip_bad_rows=on_bad_row == "skip",
        )
        self.concurrency = concurrency
        self.skips_bad_rows = on_bad_row == "skip"
        self._ordered = ordered
        self._may_cut = freeze and window != 0
        self._whole = self._walk_of(query)
        # Below a page a window would cost more to find than to read.
        self._most = max(window, page_size) if window else WINDOW_TICKETS
        limit = WINDOW_TICKETS * _WINDOWS_WORTH if window is None else self._most
        self._windows = [_Window(query, limit, self._whole)]
        self._newest_first = True
        self._under_way = self._barren = self._depth_refused = 0
        # The smallest total beyond which rows came.
        self._cap = inf
        #: Requests besides those of the walks.
        self.extra_requests = 0
        # The total by which the windows are measured once more when all were given out; None until it is known.
        self._recount: int | None = None
        self._ended: list[WalkReport] = []
        self._left: list[WalkReport] = []
        # Tickets that may come again: those given out before a cut, and those created in an edge second.
        self._shared: set[int] = set()
        self._edges: set[int] = set()
        self._given = self._repeats = self._answers = self._pages = 0
        self._passes = max_passes if verify else 1
        self._undecodable: list[SkippedRow] = []

    @property
    def finished(self) -> bool:
        """Whether everything was given out."""
        return self._are_done(self._windows) and not self._needs_recount

    @property
    def _needs_recount(self) -> bool:
        """Whether fewer tickets came in windows than the whole list had; then its total is asked for once more."""
        return bool(self._left) and self._recount is None and self._given < self._whole.ledger.first_total

    def next_read(self) -> Read | None:
        """Return the next read; None while there is nothing to ask for, or enough is under way or held."""
        if self._under_way >= self.concurrency * READS_AT_HAND:
            return None
        read, load = None, 0
        for index, window in enumerate(self._windows):
            if index and load >= self.concurrency * _HELD_PER_READ:
                break
            read = self._next_of(window)
            if read is not None:
                break
            load += 0 if window.walk is None else window.walk.load
        if read is None and not self._under_way and self._needs_recount and self._are_done(self._windows):
            self.extra_requests += 1
            read = _RoutedRead(PageRequest(self._whole.query, 1, 1), None, None, None)
        if read is not None:
            self._under_way += 1
        return read

    def _are_done(self, windows: list[_Window]) -> bool:
        return all(window.is_done for window in windows)

    def _next_of(self, window: _Window) -> _RoutedRead | None:
        if window.plan is not None:
            request = window.plan.next_request()
            if request is None:
                return None
            self.extra_requests += 1
            return _RoutedRead(request, window, None, None)
        if window.walk is None and not window.is_cut:
            window.walk = self._walk_of(window.query)
        inner = None if window.walk is None else window.walk.next_read()
        return None if inner is None else _RoutedRead(inner.request, window, window.walk, inner)

    def receive(self, read: Read, answer: Answer, now: float) -> None:
        """Take in the answer to a read; `now` is the time. Raises as `PageWalk.receive` does."""
        self._under_way -= 1
        routed = cast("_RoutedRead", read)
        window, walk = routed.window, routed.walk
        self._check_bounds(walk)
        if window is None:
            self._recount = read_rows(answer)[0].total
        elif walk is None:
            if window.plan is not None:
                window.plan.receive(read.request, answer)
                self._end_plan(window)
        elif walk is window.walk and routed.inner is not None:
            if window.first is None:
                window.first = answer
            walk.receive(routed.inner, answer, now)
            begins = routed.request.page == 1 and walk.ledger.passes == 1
            if begins and walk.total >= self._cap:
                # Drift cannot be seen by a total that does not fall.
                if not self._cut(window, self._cap * _SAFE_DEPTH):
                    walk.ledger.flaw("the totals are capped")
            elif begins and walk.total > window.limit:
                self._cut(window, self._most)
            elif walk.is_too_deep:
                self._cut_deep(window, walk.depth)
            elif walk.is_capped and self._cut_deep(window, walk.ledger.first_total):
                self._cap = min(self._cap, walk.ledger.first_total)

    def _check_bounds(self, walk: PageWalk | None) -> None:
        """Count what brought nothing new; refuse to go on for ever."""
        self._barren = 0 if walk is not None and not walk.is_barren else self._barren + 1
        self._answers += 1
        if self._barren > _BARREN_READS or self._answers > 1024 + _READS_PER_PAGE * self._passes * self._pages:
            raise WalkDriftError(
                f"the list cannot be read to its end: of {self._answers} answers {self._pages} brought something new",
                operation="list_tickets",
                report=self.report,
            )

    def first_page_of(self, read: Read) -> PageRequest | None:
        """Return the first page of what a read is about; None where it asks for that one itself."""
        return None if read.request.page == 1 else evolve(read.request, page=1)

    def is_wanted(self, read: Read) -> bool:
        """Tell whether the answer to a read still matters."""
        routed = cast("_RoutedRead", read)
        return routed.window is None or routed.walk is routed.window.walk

    def drop(self, read: Read) -> None:
        """Take in that a read which does not matter any more has ended."""
        self._under_way -= 1

    def refuse(self, read: Read) -> bool:
        """Take in that a page was refused though page 1 is not; whether the walk can do without it."""
        routed = cast("_RoutedRead", read)
        window, walk, inner = routed.window, routed.walk, routed.inner
        if window is None or walk is None or inner is None:
            return False
        goes_on = (
            not self.is_wanted(read)
            or walk.refuse(inner, for_good=False)
            or self._cut_deep(window, walk.depth)
            or walk.refuse(inner, for_good=True)
        )
        self._under_way -= goes_on
        return goes_on

    def _cut_deep(self, window: _Window, depth: int) -> bool:
        """Cut a window that is not shown, or not counted, beyond a depth; not where others were that were deeper."""
        if depth < self._depth_refused * _SAFE_DEPTH:
            return False
        self._depth_refused = max(self._depth_refused, depth)
        return self._cut(window, depth * _SAFE_DEPTH)

    def _cut(self, window: _Window, most: float) -> bool:
        """Leave a window's walk, and begin to cut the window; False where it cannot be cut."""
        walk, first = window.walk, window.first
        may_cut = self._may_cut and window.may_cut
        if not may_cut or walk is None or first is None or walk.query.created_end is None:
            return False
        end, start = walk.query.created_end, walk.query.created_start or 0
        times = [time for row in read_rows(first, [])[1] if (time := created_time(row)) is not None]
        if end - start <= 1 or not times:
            return False
        given = [*iter(partial(self._take_of, window), None)]
        window.ready.extend(given)
        if walk is self._whole:
            self._newest_first = times[0] >= times[-1]
        self._left.append(walk.report)
        self._shared.update(walk.ledger.seen)
        most = max(1, int(min(self._most, most)), ceil(walk.total / _WINDOWS_AT_ONCE))
        window.plan = WindowPlan(walk.query, max_tickets=most, now=end, first=first, skip_bad_rows=self.skips_bad_rows)
        window.query, window.walk, window.first = walk.query, None, None
        self._end_plan(window)
        return True

    def _end_plan(self, window: _Window) -> None:
        """Put the windows of a plan that has ended in the place of the one that was cut."""
        plan = window.plan
        if plan is None or not plan.finished:
            return
        window.plan, window.is_cut = None, True
        if plan.is_vain:
            self._may_cut = False
        queries = plan.windows()
        self._edges |= {cast("int", query.created_start) for query in queries[1:]}
        limit = self._most * _WINDOWS_WORTH
        may_cut = len(queries) > 1 and window.level < _LEVELS
        parts = [_Window(query, limit, may_cut=may_cut, level=window.level + 1) for query in queries]
        place = self._windows.index(window) + 1
        self._windows[place:place] = reversed(parts) if self._newest_first else parts

    def take(self) -> WalkedPage | None:
        """Return the next rows; None where they have not come yet, or everything was given out."""
        while True:
            windows = self._windows[:1] if self._ordered else [*self._windows]
            for window in windows:
                page = self._take_of(window)
                if page is not None:
                    self._given += len(page.rows)
                    self._pages += 1
                    return page
            if not self._end_windows(windows):
                return None

    def _take_of(self, window: _Window) -> WalkedPage | None:
        if window.ready:
            return window.ready.popleft()
        while window.walk is not None and (page := window.walk.take()) is not None:
            if self._left:
                self._drop_repeats(page)
            if page.rows:
                return page
        return None

    def _end_windows(self, windows: list[_Window]) -> bool:
        """Forget windows that are done, but for the last one; whether there were any."""
        before = len(self._windows)
        for window in windows:
            if window.is_done and len(self._windows) > 1:
                if window.walk is not None:
                    self._ended.append(window.walk.report)
                self._windows.remove(window)
        return len(self._windows) < before

    def _drop_repeats(self, page: WalkedPage) -> None:
        """Leave out what came before the list was cut, or in a window that shares an edge second with this one."""
        fresh = [index for index, id in enumerate(page.ids) if id not in self._shared]
        self._repeats += len(page.rows) - len(fresh)
        page.rows, page.ids = [page.rows[index] for index in fresh], [page.ids[index] for index in fresh]
        self._shared.update(id for row, id in zip(page.rows, page.ids, strict=True) if created_time(row) in self._edges)

    def note_undecodable(self, skipped: list[SkippedRow]) -> None:
        """Note rows that were given out and could not be decoded."""
        self._undecodable += skipped

    @property
    def report(self) -> WalkReport:
        """The walk so far, all windows together."""
        parts = [*self._ended, *(window.walk.report for window in self._windows if window.walk is not None)]
        if not self._left:
            return self._with_skipped(evolve(parts[0], requests=parts[0].requests + self.extra_requests))
        doubt = next((part.reason for part in parts if not part.exact), "" if self.finished else "not finished")
        if not doubt and self._recount is not None and self._given < self._recount:
            doubt = "fewer tickets came in windows than the total says"
        repaired = sum(part.repaired for part in parts)
        verified = parts and all(part.reason == "verified" for part in parts)
        certain = "verified" if verified else "frozen, drift repaired" if repaired else "frozen, no drift"
        every = [*self._left, *parts]
        return self._with_skipped(
            WalkReport(
                requests=self.extra_requests + sum(part.requests for part in every),
                pages=sum(part.pages for part in every),
                tickets=self._given,
                duplicates=self._repeats + sum(part.duplicates for part in every),
                drifts=sum(part.drifts for part in every),
                repaired=sum(part.repaired for part in every),
                passes=max((part.passes for part in parts), default=1),
                first_total=self._left[0].first_total,
                last_total=sum(part.last_total for part in parts),
                exact=not doubt,
                reason=doubt or f"{certain}, in {len(parts)} windows",
                skipped=tuple(row for part in every for row in part.skipped),
                skipped_rows=sum(part.skipped_rows for part in every),
            )
        )

    def _with_skipped(self, report: WalkReport) -> WalkReport:
        if not self._undecodable:
            return report
        rows = report.skipped_rows + len(self._undecodable)
        return evolve(
            report,
            tickets=report.tickets - len(self._undecodable),
            skipped=(*report.skipped, *self._undecodable)[:SKIPPED_ROWS_NAMED],
            skipped_rows=rows,
            exact=False,
            reason=f"{rows} rows could not be read, and were skipped" if self.finished else report.reason,
        )
