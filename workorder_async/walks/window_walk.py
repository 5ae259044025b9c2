"""A walk over a large list in windows of created time, as rules without I/O.

Deep pages of a long list cost the server a scan, or are refused, and its ids cost the walk memory; in windows of a few
thousand tickets both stay small. A list is walked by its pages until it proves to be large, its deep pages are refused,
or its total is capped; then it is cut (`plan.py`), and so is a window that turns out too deep. Each window gives the
tickets that it owns (`windows.py`). What had been given out before a cut is told by its id. Where the server does not
filter by created time, the list is walked by its pages.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import TypeAlias, Unpack, cast

from attrs import evolve

from workorder_async.errors import ConfigError, WalkDriftError
from workorder_async.models import PageRequest, TicketQuery
from workorder_async.protocol.codec import read_rows
from workorder_async.protocol.envelope import Answer
from workorder_async.walk_report import WalkReport, together
from workorder_async.walks.account import Account
from workorder_async.walks.course import HELD_PER_READ, READS_AT_HAND
from workorder_async.walks.cutting import Cutting
from workorder_async.walks.handing_out import WalkedPage
from workorder_async.walks.options import WalkOptions, WalkSettings, refuse_unknown
from workorder_async.walks.owning import Owning
from workorder_async.walks.paging import PageWalk
from workorder_async.walks.parts import Part, Read, RoutedRead
from workorder_async.walks.windows import Window

WhatToWalk: TypeAlias = TicketQuery | Window | Sequence[Window]
"""A list, a window of it, or several windows, one after the other."""

# Totals of a plan bring nothing new; where tickets lie very unevenly one plan asks for more than a hundred.
_BARREN_READS = 192
_READS_PER_PAGE = 16


class WindowWalk:
    """A walk of the whole list where it is short, else window by window, several at a time; used like a `PageWalk`.

    The arguments are those of `WalkOptions`. Given one window or several, it says where each of them ends.
    """

    def __init__(self, query: WhatToWalk, **options: Unpack[WalkOptions]) -> None:
        refuse_unknown(options, WalkOptions.__annotations__)
        self._options = options
        settings = WalkSettings(**options)
        self.concurrency: int = settings.concurrency
        self.skips_bad_rows: bool = settings.skips_bad_rows
        self._ordered = settings.ordered
        self._passes = settings.max_passes if settings.verify else 1
        self._announces = not isinstance(query, TicketQuery)
        windows = _windows_of(query)
        self._accounts = [Account(window) for window in windows]
        self._parts = [Part(account.window, account, settings.tickets_uncut) for account in self._accounts]
        for part in self._parts[:1]:
            # Made at once, so that options which cannot work are refused at once.
            part.walk = PageWalk(part.window.asked, **options)
        self._planned = sum(window.total for window in windows)
        self._owning = Owning()
        self._cutting = Cutting(self._parts, settings, self._owning)
        self._under_way = self._barren = self._answers = self._pages = 0
        #: Requests besides those of the walks.
        self.extra_requests: int = 0

    @property
    def finished(self) -> bool:
        """Whether everything was given out."""
        over = all(part.is_over if self._announces else part.is_done for part in self._parts)
        return over and not self._needs_recount

    @property
    def total(self) -> int:
        """How many tickets the whole list has, as far as is known; -1 where nothing tells yet."""
        if self._announces:
            return self._planned or -1
        left, walk = self._accounts[0].left, self._parts[0].walk
        if left:
            return left[0].first_total
        return -1 if walk is None else walk.total

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
            if index and load >= self.concurrency * HELD_PER_READ:
                break
            read = self._next_of(part)
            if read is not None:
                break
            load += 0 if part.walk is None else part.walk.load
        if read is None and not self._under_way and self._needs_recount and all(part.is_done for part in self._parts):
            self.extra_requests += 1
            read = RoutedRead(PageRequest(self._accounts[0].window.query, 1, 1), None, None, None)
        if read is not None:
            self._under_way += 1
        return read

    def _next_of(self, part: Part) -> RoutedRead | None:
        if part.plan is not None:
            request = part.plan.next_request()
            if request is None:
                return None
            self.extra_requests += 1
            return RoutedRead(request, part, None, None)
        if part.walk is None and not part.is_cut:
            part.walk = PageWalk(part.window.asked, **self._options)
        inner = None if part.walk is None else part.walk.next_read()
        return None if inner is None else RoutedRead(inner.request, part, part.walk, inner)

    # What an answer means

    def receive(self, read: Read, answer: Answer, now: float, spread: float = 0.0) -> None:
        """Take in the answer to a read; `now` and `spread` as of `PageWalk.receive`, which tells what is raised."""
        self._under_way -= 1
        routed = cast("RoutedRead", read)
        part, walk = routed.part, routed.walk
        self._check_bounds(walk)
        if part is None:
            self._accounts[0].recount = read_rows(answer)[0].total
        elif walk is None:
            if part.plan is not None:
                part.plan.receive(read.request, answer)
                self._cutting.end_plan(part)
        elif walk is part.walk and routed.inner is not None:
            if part.first is None:
                part.first = answer
            walk.receive(routed.inner, answer, now, spread)
            self._cutting.consider(part, walk, begins=routed.request.page == 1 and walk.ledger.passes == 1)

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
        return cast("RoutedRead", read).is_wanted

    def drop(self, read: Read) -> None:
        """Take in that a read which does not matter any more has ended."""
        self._under_way -= 1

    def refuse(self, read: Read) -> bool:
        """Take in that a page was refused though page 1 is not; whether the walk can do without it."""
        routed = cast("RoutedRead", read)
        part, walk, inner = routed.part, routed.walk, routed.inner
        if part is None or walk is None or inner is None:
            return False
        goes_on = (
            not routed.is_wanted
            or walk.refuse(inner, for_good=False)
            or self._cutting.cut_deep(part, walk.depth)
            or walk.refuse(inner, for_good=True)
        )
        self._under_way -= goes_on
        return goes_on

    # What is given out

    def take(self) -> WalkedPage | None:
        """Return the next rows; None where they have not come yet, or everything was given out."""
        while True:
            begun = self._parts[:1] if self._ordered else [*takewhile(lambda part: part.is_begun, self._parts)]
            for part in begun:
                page = part.take(self._owning)
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

    def _end_parts(self, parts: list[Part]) -> Account | bool:
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
