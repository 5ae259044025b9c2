"""Windows: parts of a list by created time, each second of which belongs to one window; and a plan that cuts a list.

A plan is for work that is divided among processes. It begins with one stretch of time, and asks for totals to cut each
large stretch in two, until a stretch holds only a few windows. Then it divides the stretches evenly by time. So a plan
takes about one request for four windows. The windows follow each other edge to edge over the whole range. A total
decides only where to cut, never whether a part of the range is read: a wrong total makes windows larger or smaller, and
loses no ticket.
"""

from collections.abc import Awaitable, Callable
from math import ceil
from typing import Final, TypeAlias

from attrs import define, evolve, field, frozen

from workorder_async import arguments
from workorder_async.document import TicketQuery
from workorder_async.document.requests import SECONDS_MAX
from workorder_async.errors import ConfigError
from workorder_async.tasks import for_each
from workorder_async.walks.pages import Ask, Page

# Rows to ask for in the first request of a plan.
_FIRST_PAGE: Final = 100
# A stretch of at most so many windows is divided evenly by time, without further totals.
_WINDOWS_OF_A_STRETCH: Final = 8
# The share of the largest stretch that a cut aims at: tickets are not spread evenly, and a stretch that turns out a
# little too large would have to be cut once more.
_AIM: Final = 0.9
# How far back a plan looks for the first tickets: so many times the time that all tickets would take if they lay as
# close as those of the first page; and, while more than a window of tickets lies before that, so many times as far.
_BEYOND: Final = 1.25
_LOOKS_BACK: Final = (1, 4, 64, 1024)
# It is not documented whether `created_start` and `created_end` are inclusive. So a window asks for one second more on
# either side, and leaves out the tickets that it does not own.
_MARGIN = 1
_QUERY: Final = arguments.must_be("a TicketQuery", lambda given: isinstance(given, TicketQuery))
_END_OF_9999: Final = 253_402_300_800
_SECOND: Final = arguments.must_be(
    "a whole second since the epoch, such as int(moment.timestamp())",
    lambda given: arguments.is_whole(given) and abs(given) <= _END_OF_9999,
)


@frozen
class Window:
    """A window of created time: the tickets of `query` with `start` <= created_time < `end`.

    Windows that `plan_windows` gives follow each other edge to edge, so exactly one window owns each ticket, whether
    the server takes `created_start` and `created_end` as inclusive or not. A window is a value: it compares, pickles,
    and can be walked in any process, as often as need be. `client.walk(window)` gives the tickets that it owns.
    """

    query: TicketQuery
    """The query of the whole list; its `created_start` and `created_end` are the outer edges."""
    start: int | None = None
    """The first second of the window, in seconds since the epoch; None: the window begins where the query does."""
    end: int | None = None
    """The second after the last one of the window; None: the window ends where the query does."""
    total: int = field(default=0, eq=False)
    """About how many tickets the window holds, by the totals of the plan."""

    def __attrs_post_init__(self) -> None:
        _QUERY("Window.query", self.query)
        for name, second in (("start", self.start), ("end", self.end)):
            if second is not None:
                _SECOND(f"Window.{name}", second)
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ConfigError(f"the window's start {self.start} is not before its end {self.end}")

    @property
    def asked(self) -> tuple[int | None, int | None]:
        """The first and the last second to ask the server for: one more on either side than `span`."""
        start, end = self.span
        return None if start is None else max(0, start - _MARGIN), None if end is None else end + _MARGIN

    @property
    def span(self) -> tuple[int | None, int | None]:
        """The first and the last second that the window owns; None: no bound."""
        first, last = self.query.created_start, self.query.created_end
        if self.start is not None:
            first = self.start if first is None else max(self.start, first)
        if self.end is not None:
            last = self.end - 1 if last is None else min(self.end - 1, last)
        return first, last

    def owns(self, second: int) -> bool:
        """Tell whether the window owns the tickets that were created in this second."""
        start, end = self.span
        return (start is None or second >= start) and (end is None or second <= end)


WhatToWalk: TypeAlias = TicketQuery | Window
"""A list, or a window of it."""


def window_of(query: WhatToWalk) -> Window:
    """Return the window to walk. Raises `ConfigError` for a value that is neither a query nor a window."""
    if isinstance(query, Window):
        return query
    if isinstance(query, TicketQuery):
        return Window(query)
    raise ConfigError(f"query must be a TicketQuery or a Window, not a {type(query).__name__}")


@define
class _Stretch:
    """A part of the range of a plan, from second `start` to the second before `end`; it holds about `total` tickets."""

    start: int
    end: int
    total: int


async def plan_windows(
    whole: Window, read: Callable[[Ask], Awaitable[Page]], *, max_tickets: int, now: float
) -> list[Window]:
    """Ask for totals, side by side, and cut a window into windows, from the earliest to the latest.

    A query without an end ends at `now`, the server's time, or at the newest ticket of its first page. If there are
    later tickets, or no query may end so late, the last window has no end. Tickets without a created time have no
    window. If the server's filter by created time does not work, there is one window only. Raises `ConfigError`.
    """
    most = arguments.whole("max_tickets", max_tickets) * _WINDOWS_OF_A_STRETCH
    start, last = whole.span
    first = await read(Ask(*whole.asked, 1, _FIRST_PAGE))
    latest = max([start or 0, int(now) + 1, *first.seconds]) if last is None else last
    ends_now = last is None and latest <= SECONDS_MAX
    frozen = evolve(whole, query=evolve(whole.query, created_end=latest)) if ends_now else whole
    if last is None and _may_have_more(first):
        late = await read(Ask(latest, None, 1, _FIRST_PAGE))
        frozen = whole if max(late.seconds, default=latest) > latest or _may_have_more(late) else frozen
    begin, total, final = start or 0, first.total, list[_Stretch]()
    for times in _LOOKS_BACK if start is None and first.total > max_tickets and first.seconds else ():
        # Do not cut the years before the first tickets, where there is little or nothing: they become one window.
        begin = _likely_begin(first, times)
        page = await read(Ask(None, begin - 1, 1, 1))
        if not page.is_in_range:
            return [frozen]
        if page.total <= max_tickets:
            final = [_Stretch(0, begin, page.total)]
            total = max(0, total - page.total)
            break
    # Nor cut the time after the newest ticket, which is the first row if the newest comes first.
    latest = min(latest, first.seconds[0]) if first.seconds[:1] == [max(first.seconds, default=0)] else latest
    to_cut = [_Stretch(begin if final else start or 0, max(latest, begin) + 1, total)]
    while to_cut:
        final += [one for one in to_cut if one.total <= most or one.end - one.start <= 1]
        to_cut = [one for one in to_cut if one.total > most and one.end - one.start > 1]
        cuts = [_cut_of(one, most) for one in to_cut]
        pages = await for_each([Ask(one.start, cut - 1, 1, 1) for one, cut in zip(to_cut, cuts, strict=True)], read)
        if not all(page.is_in_range for page in pages):
            return [frozen]
        to_cut = [
            part
            for one, cut, page in zip(to_cut, cuts, pages, strict=True)
            for part in (_Stretch(one.start, cut, page.total), _Stretch(cut, one.end, max(0, one.total - page.total)))
        ]
    return _windows(frozen, sorted(final, key=lambda one: one.start), max_tickets)


def _may_have_more(page: Page) -> bool:
    """Tell whether the list may have more tickets than its first page shows, though its total is no larger."""
    return page.total > page.count or page.count in (_FIRST_PAGE, page.size)


def _likely_begin(first: Page, times: int) -> int:
    """Guess when the first ticket was created, if all lie up to `times` as far apart as those of the first page."""
    oldest, newest = min(first.seconds), max(first.seconds)
    is_oldest_first = first.seconds[0] == oldest < newest
    reach = 0 if is_oldest_first and times == 1 else (newest - oldest) * first.total / len(first.seconds) * _BEYOND
    return max(1, int(oldest - reach * times))


def _cut_of(stretch: _Stretch, most: int) -> int:
    """Return the second at which to cut a stretch, so that both sides need few further cuts."""
    parts = ceil(stretch.total / (most * _AIM))
    return stretch.start + max(1, (stretch.end - stretch.start) * (parts // 2) // parts)


def _windows(whole: Window, stretches: list[_Stretch], max_tickets: int) -> list[Window]:
    """Divide stretches evenly by time into windows; neighbours that fit into one window are joined."""
    merged: list[_Stretch] = []
    for stretch in stretches:
        if merged and merged[-1].total + stretch.total <= max_tickets:
            merged[-1] = _Stretch(merged[-1].start, stretch.end, merged[-1].total + stretch.total)
            continue
        seconds = stretch.end - stretch.start
        count = max(1, min(seconds, ceil(stretch.total / max_tickets)))
        merged += [
            _Stretch(
                stretch.start + seconds * number // count,
                stretch.start + seconds * (number + 1) // count,
                stretch.total // count,
            )
            for number in range(count)
        ]
    # The first window begins, and the last one ends, where the whole does.
    starts = [whole.start, *(one.start for one in merged[1:])]
    ends = [*(one.end for one in merged[:-1]), whole.end]
    return [Window(whole.query, start, end, one.total) for one, start, end in zip(merged, starts, ends, strict=True)]
