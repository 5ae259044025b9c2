"""Large lists in windows of created time: where to cut, and a walk over the windows, as rules without I/O.

Deep pages of a long list cost the server a scan, and its ids cost the walk memory; in windows of a few thousand tickets
both stay small. Windows tile the whole range and share their edge seconds, since it is not documented whether
`created_end` is inclusive; a ticket that comes in two windows is told by its id. A total decides only where to cut,
never whether a part of the range is read, so a wrong one costs requests and loses nothing. A second that alone holds
more than a window should is one window, and walked by its pages.
"""

from collections import deque
from functools import partial
from math import ceil, inf
from typing import Protocol, TypedDict, cast

from attrs import define, evolve

from workorder_async.codec import Row, read_rows
from workorder_async.envelope import Answer
from workorder_async.errors import ConfigError
from workorder_async.models import PageRequest, TicketQuery
from workorder_async.paging import READS_AT_HAND, PageRead, PageWalk, WalkedPage
from workorder_async.report import WalkReport

#: Tickets in a window at the most, and how many windows' worth a list must hold to be cut without being asked.
WINDOW_TICKETS = 5000
_WINDOWS_WORTH = 4
# A little less than the most is aimed at, so that uneven data does not double the number of cuts.
_AIM = 0.9
# How much longer than they seem to reach back tickets are looked for.
_BEYOND = 1.25
_HELD_PER_READ = 4


@define(eq=False)
class _Stretch:
    """Part of the range, in seconds, both ends included, and how many tickets it seems to hold."""

    start: int
    end: int
    total: int


class WindowPlan:
    """Cuts a query into windows of about `max_tickets` at most, by asking for totals: one request for each cut.

    `next_request` gives what to ask, any number at a time, `receive` takes the answer in. `now` is the server's time,
    `first` the first page of what the query matches.
    """

    def __init__(self, query: TicketQuery, *, max_tickets: int, now: float, first: Answer) -> None:
        if isinstance(max_tickets, bool) or not isinstance(max_tickets, int) or max_tickets < 1:
            raise ConfigError(f"max_tickets is {max_tickets!r}; it must be a whole number of at least 1")
        self._query = query
        self._most = max_tickets
        start, end = query.created_start or 0, int(now) + 1
        end = end if query.created_end is None else min(end, query.created_end)
        self._asked: dict[PageRequest, tuple[_Stretch, int, list[int]]] = {}
        self._to_ask: deque[PageRequest] = deque()
        self._final: list[_Stretch] = []
        pagination, rows, _ = read_rows(first)
        whole = _Stretch(start, max(start, end), pagination.total)
        self._settle(whole, _likely_edges(rows, whole))

    @property
    def finished(self) -> bool:
        """Whether every cut is made."""
        return not self._to_ask and not self._asked

    def next_request(self) -> PageRequest | None:
        """Return the next request for a total; None while there is none."""
        return self._to_ask.popleft() if self._to_ask else None

    def receive(self, request: PageRequest, answer: Answer) -> None:
        """Take in a total. Raises `DecodeError` where the answer is no page of a list."""
        pagination, _, _ = read_rows(answer)
        stretch, cut, further = self._asked.pop(request)
        self._settle(_Stretch(stretch.start, cut, pagination.total), [])
        self._settle(_Stretch(cut, stretch.end, max(0, stretch.total - pagination.total)), further)

    def _settle(self, stretch: _Stretch, cuts: list[int]) -> None:
        """Keep a stretch that is small enough or cannot be cut; else ask for the total of its first part.

        `cuts` are where to cut it, from the earliest to the latest, before its middle is taken.
        """
        if stretch.total <= self._most or stretch.end - stretch.start <= 1:
            self._final.append(stretch)
            return
        windows = ceil(stretch.total / (self._most * _AIM))
        middle = stretch.start + int((stretch.end - stretch.start) * (windows // 2) / windows)
        cut, *further = cuts or [middle]
        cut = min(max(cut, stretch.start + 1), stretch.end - 1)
        request = PageRequest(self._part(stretch.start, cut), 1, 1)
        self._asked[request] = (stretch, cut, further)
        self._to_ask.append(request)

    def _part(self, start: int, end: int) -> TicketQuery:
        return evolve(self._query, created_start=start, created_end=end)

    def windows(self) -> list[TicketQuery]:
        """Return the windows, from the earliest to the latest; neighbours that fit into one are one."""
        merged: list[_Stretch] = []
        for stretch in sorted(self._final, key=lambda stretch: stretch.start):
            if merged and merged[-1].total + stretch.total <= self._most:
                merged[-1] = _Stretch(merged[-1].start, stretch.end, merged[-1].total + stretch.total)
            else:
                merged.append(stretch)
        return [self._part(stretch.start, stretch.end) for stretch in merged]


def _likely_edges(rows: list[Row], whole: _Stretch) -> list[int]:
    """Guess between which times the tickets lie, by how close those of the first page are.

    Those are the first places to cut: outside there may be years without a ticket.
    """
    times = [time for row in rows if isinstance(time := row.get("created_time"), int)]
    if not times:
        return []
    far = times[0] + int((times[-1] - times[0]) * whole.total / len(times) * _BEYOND)
    begin, end = sorted((times[0], far))
    least = (end - begin) // 10
    return [edge for edge in (begin, end) if whole.start + least < edge < whole.end - least]


class Read(Protocol):
    """A read that is wanted: send `request`."""

    @property
    def request(self) -> PageRequest:
        """What to send."""
        ...


@define(eq=False)
class _RoutedRead:
    request: PageRequest
    walk: PageWalk | None
    inner: PageRead | None


class WalkOptions(TypedDict, total=False):
    """How to walk; the keyword arguments of `walk`, `iter_pages` and `iter_tickets`."""

    page_size: int
    """Rows to ask for per page (100); the server may give fewer."""
    concurrency: int
    """Requests in flight at the most (8); four times as many pages are held at the most."""
    window: int | None
    """Tickets in one window of created time at the most; 0 for no windows; None (the default) for windows of 5000 in
    lists of more than 20,000."""
    ordered: bool
    """Whether windows come one after the other (True), in the direction of the list, or as they come."""
    freeze: bool
    """Whether tickets created after the walk began stay out (True)."""
    verify: bool
    """Whether to go over the list until a pass finds nothing new (False)."""
    max_passes: int
    """Passes to verify at the most (5), the first included."""


class WindowWalk:
    """A walk of the whole list where it is short, else window by window, several at a time; used like a `PageWalk`.

    The arguments are those of `WalkOptions`. The first page is given out as it comes.
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
    ) -> None:
        if window is not None and (isinstance(window, bool) or not isinstance(window, int) or window < 0):
            raise ConfigError(f"window is {window!r}; it must be a number of tickets, 0 for no windows, or None")
        if window and not freeze:
            raise ConfigError("window needs freeze=True: windows end where the walk began")
        self._walk_of = partial(
            PageWalk,
            page_size=page_size,
            concurrency=concurrency,
            freeze=freeze,
            verify=verify,
            max_passes=max_passes,
        )
        self._whole = self._walk_of(query)
        self.concurrency = concurrency
        self._most = WINDOW_TICKETS if window is None else window
        self._cut_above = window if window is not None else WINDOW_TICKETS * _WINDOWS_WORTH if freeze else 0
        self._ordered = ordered
        self._first: WalkedPage | None = None
        self._newest_first = True
        self._plan: WindowPlan | None = None
        self._plan_requests = self._under_way = 0
        self._waiting: deque[TicketQuery] | None = None
        self._open: deque[PageWalk] = deque()
        self._ended: list[WalkReport] = []
        # Tickets that may come again: those of the first page, and those created in an edge second.
        self._shared: set[int] = set()
        self._edges: set[int] = set()
        self._given = self._repeats = 0

    @property
    def finished(self) -> bool:
        """Whether everything was given out."""
        if self._plan is None:
            return self._whole.finished
        return self._first is None and self._waiting is not None and not self._waiting and not self._open

    def next_read(self) -> Read | None:
        """Return the next read; None while there is nothing to ask for, or enough is under way or held."""
        if self._under_way >= self.concurrency * READS_AT_HAND:
            return None
        read = self._next_whole() if self._plan is None else self._next_cut() or self._next_in_windows()
        if read is not None:
            self._under_way += 1
        return read

    def _next_whole(self) -> _RoutedRead | None:
        read = self._whole.next_read()
        return None if read is None else _RoutedRead(read.request, self._whole, read)

    def _next_cut(self) -> _RoutedRead | None:
        request = None if self._plan is None else self._plan.next_request()
        if request is None:
            return None
        self._plan_requests += 1
        return _RoutedRead(request, None, None)

    def _next_in_windows(self) -> _RoutedRead | None:
        """Ask for a page of an open window, the front one first; open another where there is room for its pages."""
        room = self.concurrency * _HELD_PER_READ - sum(walk.load for walk in self._open)
        for walk in self._open:
            if room > 0 or walk is self._open[0]:
                read = walk.next_read()
                if read is not None:
                    return _RoutedRead(read.request, walk, read)
        if room <= 0 or not self._waiting:
            return None
        walk = self._walk_of(self._waiting.popleft())
        self._open.append(walk)
        read = walk.next_read()
        return None if read is None else _RoutedRead(read.request, walk, read)

    def receive(self, read: Read, answer: Answer, now: float) -> None:
        """Take in the answer to a read; `now` is the server's time. Raises as `PageWalk.receive` does."""
        self._under_way -= 1
        routed = cast("_RoutedRead", read)
        if routed.walk is not None and routed.inner is not None:
            routed.walk.receive(routed.inner, answer, now)
            if self._plan is None and routed.request.page == 1 and self._whole.total > (self._cut_above or inf):
                self._cut(answer, now)
        elif self._plan is not None:
            self._plan.receive(read.request, answer)
        if self._plan is not None and self._plan.finished and self._waiting is None:
            windows = self._plan.windows()
            self._edges = {cast("int", query.created_start) for query in windows[1:]}
            self._waiting = deque(reversed(windows) if self._newest_first else windows)

    def _cut(self, answer: Answer, now: float) -> None:
        """Keep the first page, and begin to cut the list into windows."""
        self._first = self._whole.take()
        rows = [] if self._first is None else self._first.rows
        times = [row.get("created_time") for row in rows]
        if times and isinstance(times[0], int) and isinstance(times[-1], int):
            self._newest_first = times[0] >= times[-1]
        self._shared.update(cast("int", row["id"]) for row in rows)
        self._plan = WindowPlan(self._whole.query, max_tickets=self._most, now=now, first=answer)

    def take(self) -> WalkedPage | None:
        """Return the next rows; None where they have not come yet, or everything was given out."""
        if self._plan is None:
            return self._whole.take()
        if self._first is not None:
            first, self._first = self._first, None
            self._given += len(first.rows)
            return first
        while True:
            ended = 0
            for walk in [*self._open] if not self._ordered else [*self._open][:1]:
                while (page := walk.take()) is not None:
                    self._drop_repeats(page)
                    if page.rows:
                        return page
                if walk.finished:
                    self._ended.append(walk.report)
                    self._open.remove(walk)
                    ended += 1
            if not ended:
                return None

    def _drop_repeats(self, page: WalkedPage) -> None:
        """Leave out what came on the first page or in a window that shares an edge second with this one."""
        fresh = [row for row in page.rows if row["id"] not in self._shared]
        self._shared.update(cast("int", row["id"]) for row in fresh if row.get("created_time") in self._edges)
        self._repeats += len(page.rows) - len(fresh)
        self._given += len(fresh)
        page.rows = fresh

    @property
    def report(self) -> WalkReport:
        """The walk so far, all windows together."""
        if self._plan is None:
            return self._whole.report
        parts = [*self._ended, *(walk.report for walk in self._open)]
        doubt = next((part.reason for part in parts if not part.exact), "" if self.finished else "not finished")
        repaired = sum(part.repaired for part in parts)
        verified = parts and all(part.reason == "verified" for part in parts)
        certain = "verified" if verified else "frozen, drift repaired" if repaired else "frozen, no drift"
        return WalkReport(
            requests=1 + self._plan_requests + sum(part.requests for part in parts),
            pages=sum(part.pages for part in parts),
            tickets=self._given,
            duplicates=self._repeats + sum(part.duplicates for part in parts),
            drifts=sum(part.drifts for part in parts),
            repaired=repaired,
            passes=max((part.passes for part in parts), default=1),
            first_total=self._whole.report.first_total,
            last_total=sum(part.last_total for part in parts),
            exact=not doubt,
            reason=doubt or f"{certain}, in {len(parts)} windows",
        )
