"""A walk over a large list in windows of created time, as rules without I/O.

Deep pages of a long list cost the server a scan, or are refused, and its ids cost the walk memory; in windows of a few
thousand tickets both stay small. A list is walked by its pages until it proves to be large, its deep pages are refused,
or its total is capped; then it is cut (`plan.py`), and so is a window that turns out too deep. Each window gives the
tickets that it owns (`windows.py`). What had been given out before a cut is told by its id. Where the server does not
filter by created time, the list is walked by its pages.
"""

from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from math import ceil, inf
from typing import Literal, Protocol, TypeAlias, cast

from attrs import Factory, define, evolve

from workorder_async.errors import ConfigError, WalkDriftError
from workorder_async.models import PageRequest, TicketQuery
from workorder_async.protocol.codec import read_rows
from workorder_async.protocol.envelope import Answer
from workorder_async.walk_report import WalkReport, together
from workorder_async.walks.account import Account
from workorder_async.walks.course import READS_AT_HAND, PageRead
from workorder_async.walks.freezing import created_time
from workorder_async.walks.handing_out import WalkedPage
from workorder_async.walks.options import WINDOW_TICKETS, WINDOWS_WORTH, check_windows
from workorder_async.walks.owning import Owning
from workorder_async.walks.paging import PageWalk
from workorder_async.walks.plan import WindowPlan
from workorder_async.walks.windows import Window

WhatToWalk: TypeAlias = TicketQuery | Window | Sequence[Window]
"""A list, a window of it, or several windows, one after the other."""

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
class _Part:
    """A part of the list: waiting (neither walk nor plan), being walked, or being cut."""

    window: Window
    account: Account
    limit: float
    """With a larger total it is cut."""
    walk: PageWalk | None = None
    plan: WindowPlan | None = None
    first: Answer | None = None
    #: Tickets that its walk showed and its neighbours own.
    neighbours: set[int] = Factory(set)
    #: Given out by a walk that was left for the plan.
    ready: deque[WalkedPage] = Factory(deque)
    is_cut: bool = False
    may_cut: bool = True
    is_over: bool = False
    #: How often it was cut out of a larger one.
    level: int = 0

    @property
    def is_begun(self) -> bool:
        """Whether it is being walked or cut, or was."""
        return self.walk is not None or self.plan is not None or self.is_cut

    @property
    def is_done(self) -> bool:
        """Whether all of it was given out, or stands in the parts behind it."""
        return not self.ready and (self.walk.finished if self.walk is not None else self.is_cut)


@define(eq=False)
class _RoutedRead:
    request: PageRequest
    part: _Part | None
    walk: PageWalk | None
    inner: PageRead | None


class WindowWalk:
    """A walk of the whole list where it is short, else window by window, several at a time; used like a `PageWalk`.

    The arguments are those of `WalkOptions`. Given one window or several, it says where each of them ends.
    """

    def __init__(
        self,
        query: WhatToWalk,
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
        check_windows(window, freeze=freeze)
        if on_bad_row not in ("raise", "skip"):
            raise ConfigError(f"on_bad_row is {on_bad_row!r}; it must be 'raise' or 'skip'")
        self.concurrency = concurrency
        self.skips_bad_rows = on_bad_row == "skip"
        self._walk_of = partial(
            PageWalk,
            page_size=page_size,
            concurrency=concurrency,
            freeze=freeze,
            verify=verify,
            max_passes=max_passes,
            skip_bad_rows=self.skips_bad_rows,
        )
        self._ordered = ordered
        self._may_cut = freeze and window != 0
        # Below a page a window would cost more to find than to read.
        self._most = max(window, page_size) if window else WINDOW_TICKETS
        self._announces = not isinstance(query, TicketQuery)
        windows = _windows_of(query)
        self._accounts = [Account(one) for one in windows]
        limit = WINDOW_TICKETS * WINDOWS_WORTH if window is None else self._most
        self._parts = [_Part(account.window, account, limit) for account in self._accounts]
        if self._parts:
            # Made at once, so that options which cannot work are refused at once.
            self._parts[0].walk = self._walk_of(windows[0].asked)
        self._total = (sum(one.total for one in windows) or -1) if self._announces else -1
        self._newest_first = True
        self._under_way = self._barren = self._depth_refused = 0
        # The smallest total beyond which rows came.
        self._cap = inf
        #: Requests besides those of the walks.
        self.extra_requests = 0
        self._owning = Owning()
        self._answers = self._pages = 0
        self._passes = max_passes if verify else 1

    @property
    def finished(self) -> bool:
        """Whether everything was given out."""
        over = all(part.is_over if self._announces else part.is_done for part in self._parts)
        return over and not self._needs_recount

    @property
    def total(self) -> int:
        """How many tickets the whole list has, as far as is known; -1 where nothing tells yet."""
        if self._total < 0 and self._parts and self._parts[0].walk is not None:
            return self._parts[0].walk.total
        return self._total

    @property
    def _needs_recount(self) -> bool:
        """Whether fewer tickets came in windows than the whole list had; then its total is asked for once more."""
        account = self._accounts[0] if self._accounts and not self._announces else None
        return (
            account is not None
            and bool(account.left)
            and account.recount is None
            and account.given < account.left[0].first_total
        )

    # What to read

    def next_read(self) -> Read | None:
        """Return the next read; None while there is nothing to ask for, or enough is under way or held."""
        if self._under_way >= self.concurrency * READS_AT_HAND:
            return None
        read, load = None, 0
        for index, part in enumerate(self._parts):
            if index and load >= self.concurrency * _HELD_PER_READ:
                break
            read = self._next_of(part)
            if read is not None:
                break
            load += 0 if part.walk is None else part.walk.load
        if read is None and not self._under_way and self._needs_recount and all(part.is_done for part in self._parts):
            self.extra_requests += 1
            read = _RoutedRead(PageRequest(self._accounts[0].window.query, 1, 1), None, None, None)
        if read is not None:
            self._under_way += 1
        return read

    def _next_of(self, part: _Part) -> _RoutedRead | None:
        if part.plan is not None:
            request = part.plan.next_request()
            if request is None:
                return None
            self.extra_requests += 1
            return _RoutedRead(request, part, None, None)
        if part.walk is None and not part.is_cut:
            part.walk = self._walk_of(part.window.asked)
        inner = None if part.walk is None else part.walk.next_read()
        return None if inner is None else _RoutedRead(inner.request, part, part.walk, inner)

    # What an answer means

    def receive(self, read: Read, answer: Answer, now: float, ahead: float = 0.0) -> None:
        """Take in the answer to a read; `now` and `ahead` as of `PageWalk.receive`, which tells what is raised."""
        self._under_way -= 1
        routed = cast("_RoutedRead", read)
        part, walk = routed.part, routed.walk
        self._check_bounds(walk)
        if part is None:
            self._accounts[0].recount = read_rows(answer)[0].total
        elif walk is None:
            if part.plan is not None:
                part.plan.receive(read.request, answer)
                self._end_plan(part)
        elif walk is part.walk and routed.inner is not None:
            if part.first is None:
                part.first = answer
            walk.receive(routed.inner, answer, now, ahead)
            self._consider_cut(part, walk, begins=routed.request.page == 1 and walk.ledger.passes == 1)

    def _consider_cut(self, part: _Part, walk: PageWalk, *, begins: bool) -> None:
        """Cut a part whose answer shows that it is large, too deep or capped."""
        if begins and walk.total >= self._cap:
            # Drift cannot be seen by a total that does not fall.
            if not self._cut(part, self._cap * _SAFE_DEPTH):
                walk.ledger.flaw("the totals are capped")
        elif begins and walk.total > part.limit:
            self._cut(part, self._most)
        elif walk.is_too_deep:
            self._cut_deep(part, walk.depth)
        elif walk.is_capped and self._cut_deep(part, walk.ledger.first_total):
            self._cap = min(self._cap, walk.ledger.first_total)

    def _check_bounds(self, walk: PageWalk | None) -> None:
        """Count what brought nothing new; refuse to go on for ever."""
        self._barren = 0 if walk is not None and not walk.is_barren else self._barren + 1
        self._answers += 1
        most = 1024 + _READS_PER_PAGE * self._passes * self._pages + 2 * len(self._accounts)
        if self._barren > _BARREN_READS or self._answers > most:
            raise WalkDriftError(
                f"the list cannot be read to its end: of {self._answers} answers {self._pages} brought something new",
                operation="list_tickets",
            )

    def first_page_of(self, read: Read) -> PageRequest | None:
        """Return the first page of what a read is about; None where it asks for that one itself."""
        return None if read.request.page == 1 else evolve(read.request, page=1)

    def is_wanted(self, read: Read) -> bool:
        """Tell whether the answer to a read still matters."""
        routed = cast("_RoutedRead", read)
        return routed.part is None or routed.walk is routed.part.walk

    def drop(self, read: Read) -> None:
        """Take in that a read which does not matter any more has ended."""
        self._under_way -= 1

    def refuse(self, read: Read) -> bool:
        """Take in that a page was refused though page 1 is not; whether the walk can do without it."""
        routed = cast("_RoutedRead", read)
        part, walk, inner = routed.part, routed.walk, routed.inner
        if part is None or walk is None or inner is None:
            return False
        goes_on = (
            not self.is_wanted(read)
            or walk.refuse(inner, for_good=False)
            or self._cut_deep(part, walk.depth)
            or walk.refuse(inner, for_good=True)
        )
        self._under_way -= goes_on
        return goes_on

    # Cutting

    def _cut_deep(self, part: _Part, depth: int) -> bool:
        """Cut a part that is not shown, or not counted, beyond a depth; not where others were that were deeper."""
        if depth < self._depth_refused * _SAFE_DEPTH:
            return False
        self._depth_refused = max(self._depth_refused, depth)
        return self._cut(part, depth * _SAFE_DEPTH)

    def _cut(self, part: _Part, most: float) -> bool:
        """Leave a part's walk, and begin to cut the part; False where it cannot be cut."""
        walk, first = part.walk, part.first
        may_cut = self._may_cut and part.may_cut
        if not may_cut or walk is None or first is None or walk.query.created_end is None:
            return False
        frozen = Window(walk.query) if part.window.is_whole else part.window
        start, end = frozen.span
        times = [time for row in read_rows(first, [])[1] if (time := created_time(row)) is not None]
        if end is None or end - (start or 0) < (2 if part.window.is_whole else 1) or not times:
            return False
        given = [*iter(partial(self._take_of, part), None)]
        part.ready.extend(given)
        if not self._announces and not part.level:
            self._newest_first, self._total = times[0] >= times[-1], walk.ledger.first_total
            part.account.window = frozen
        part.account.left.append(walk.report)
        self._owning.note_given(walk.ledger.seen.keys() - part.neighbours)
        most = max(1, int(min(self._most, most)), ceil(walk.total / _WINDOWS_AT_ONCE))
        part.plan = WindowPlan(frozen, max_tickets=most, now=end, first=first, skip_bad_rows=self.skips_bad_rows)
        part.window, part.walk, part.first = frozen, None, None
        self._end_plan(part)
        return True

    def _end_plan(self, part: _Part) -> None:
        """Put the windows of a plan that has ended in the place of the one that was cut."""
        plan = part.plan
        if plan is None or not plan.finished:
            return
        part.plan, part.is_cut = None, True
        if plan.is_vain:
            self._may_cut = False
        windows = plan.windows()
        limit = self._most * WINDOWS_WORTH
        may_cut = len(windows) > 1 and part.level < _LEVELS
        parts = [_Part(one, part.account, limit, may_cut=may_cut, level=part.level + 1) for one in windows]
        part.account.open_parts += len(parts)
        place = self._parts.index(part) + 1
        self._parts[place:place] = reversed(parts) if self._newest_first else parts

    # What is given out

    def take(self) -> WalkedPage | None:
        """Return the next rows; None where they have not come yet, or everything was given out."""
        while True:
            begun = self._parts[:1] if self._ordered else [*takewhile(lambda part: part.is_begun, self._parts)]
            for part in begun:
                page = self._take_of(part)
                if page is not None:
                    part.account.given += len(page.rows)
                    page.account, page.total = part.account, self.total
                    self._pages += 1
                    return page
            ended = self._end_parts(begun)
            if isinstance(ended, Account):
                return WalkedPage([], Answer(None), total=self.total, account=ended, ends_window=True)
            if not ended:
                return None

    def _take_of(self, part: _Part) -> WalkedPage | None:
        if part.ready:
            return part.ready.popleft()
        while part.walk is not None and (page := part.walk.take()) is not None:
            part.account.repeats += self._owning.keep(part.window, page, part.account, part.neighbours)
            if page.rows:
                return page
        return None

    def _end_parts(self, parts: list[_Part]) -> Account | bool:
        """Forget parts that are done, but for the last one; the account of a window that ended, or whether any did."""
        any_ended = False
        for part in parts:
            if not part.is_done or part.is_over:
                continue
            part.is_over = True
            if len(self._parts) > 1:
                any_ended = True
                self._parts.remove(part)
                if part.walk is not None:
                    part.account.ended.append(part.walk.report)
            part.account.open_parts -= 1
            if self._announces and not part.account.open_parts:
                return part.account
        return any_ended

    def report_of(self, account: Account) -> WalkReport:
        """Return what came of one window so far."""
        walks = (part.walk for part in self._parts if part.account is account and part.walk is not None)
        live = [walk.report for walk in walks]
        return account.report(live, finished=self.finished or (self._announces and not account.open_parts))

    @property
    def report(self) -> WalkReport:
        """The walk so far, all windows together."""
        reports = [self.report_of(account) for account in self._accounts]
        if len(reports) != 1:
            reports = [together(reports)]
        return evolve(reports[0], requests=reports[0].requests + self.extra_requests)


def _windows_of(query: WhatToWalk) -> list[Window]:
    if isinstance(query, TicketQuery):
        return [Window(query)]
    windows = [query] if isinstance(query, Window) else query
    if isinstance(windows, list | tuple) and all(isinstance(one, Window) for one in windows):
        return [*windows]
    raise ConfigError(f"query must be a TicketQuery, a Window, or a list of Windows, not a {type(query).__name__}")
