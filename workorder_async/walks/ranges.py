"""A list that is in no order: a range of created time counts only where one answer shows all of it.

Its first page tells when its tickets were created. By that it is divided into ranges, which are read side by side, each
from its newest second to its oldest in steps that one answer should show whole. How long a step may be, the answers
before it tell. Each is asked for with one second more on either side, since it is not known whether the ends of the
filter count.
"""

from math import ceil, inf
from typing import Final

from attrs import define

from workorder_async.walks.crowds import Crowd
from workorder_async.walks.ends import DATED
from workorder_async.walks.jobs import Job, Steps
from workorder_async.walks.pages import Page

# How full an answer should be: where more is aimed at, too many steps have to be divided.
_FILL: Final = 0.8
# The pages of a range at the least.
_PAGES_OF_A_RANGE: Final = 4
# How often a range is divided that counts more tickets than it shows, and shows fewer than a page.
_TRIES_TO_DIVIDE: Final = 2
# Where so many rows are expected, an answer without any is an accident until it comes again.
_SURELY_SOME: Final = 8


@define(eq=False)
class Range(Job):
    """The tickets created from one second to another, both included; infinity is an end of the list."""

    _low: float
    _high: float
    first: Page | None = None
    """A page of it that has come."""
    expected: float = 0.0
    """About how many tickets it holds."""

    def steps(self) -> Steps[None]:
        """Read the range step by step, or divide it where one of its ends is not known."""
        low, high, page = self._low, self._high, self.first
        if high - low < inf and page is None:
            yield from self._read(int(low), int(high))
            return
        # On either side of the rows of a page lies about as much as between two of them.
        beside = 2 * self.expected / max(1, self.state.full)
        for _ in range(1 if beside < _SURELY_SOME else 2):
            if page is None or not page.count:
                (page,) = yield [self.state.ask(low - 1, high + 1)]
        if page is not None and not self.state.is_cut(page):
            self._give_all(page, low, high)
        elif page is not None:
            seconds = sorted(second for second in page.seconds if low <= second <= high)
            if seconds and (not self.expected or page.total < self.expected):
                self.behind.extend(self._divided(seconds, page.total))
                return
            # Its rows do not tell where the others are: they may all be the newest ones, or on the margin.
            self.expected = page.total
            yield from self._read(int(max(low, DATED[0])), DATED[1] if high == inf else int(high))

    def _divided(self, seconds: list[int], total: int) -> list["Range"]:
        """Return ranges of about equally many tickets, the newest first, and the ranges outside of these rows."""
        state = self.state
        count = max(1, min(2 * state.slots, total // (_PAGES_OF_A_RANGE * state.full), len(seconds) // 8))
        edges = sorted({seconds[0], *(seconds[len(seconds) * number // count] for number in range(1, count))})
        ends = [*(edge - 1 for edge in edges[1:]), seconds[-1]]
        parts = [Range(state, start, end, expected=total / len(edges)) for start, end in zip(edges, ends, strict=True)]
        if self._low < seconds[0]:
            parts.insert(0, Range(state, self._low, seconds[0] - 1, expected=total / 2))
        if self._high > seconds[-1]:
            parts.append(Range(state, seconds[-1] + 1, self._high, expected=total / 2))
        return parts[::-1]

    def _read(self, start: int, end: int) -> Steps[None]:
        """Read from the newest second to the oldest."""
        state = self.state
        # What lies before the first second that there is has no second at all.
        density, short, doubts = self.expected / max(1, end - start + 1), 0, True
        while end >= start:
            steps = max(1, ceil(density * (end - start + 1) / (_FILL * max(1, state.full))))
            low = max(start, end + 1 - ceil((end - start + 1) / steps))
            (page,) = yield [state.ask(low - 1, end + 1)]
            if page is None:
                return
            if not page.count and doubts and density * (end - low + 1) >= _SURELY_SOME:
                doubts = False
                continue
            doubts = doubts or page.count > 0
            is_cut = state.is_cut(page)
            if page.count >= (state.full if is_cut else 1):
                short = 0
            elif is_cut:
                short += 1
            if short > _TRIES_TO_DIVIDE:
                # Its parts, too, count more than they show: it is not the size of a page that hides tickets.
                state.flaw(f"the list counts {page.total} tickets in a range, and shows {page.count}")
                is_cut, state.believes_totals = False, False
            if not is_cut:
                self._give_all(page, low, end)
            elif low == end:
                yield from Crowd(self, low, end).read()
            else:
                density = max(page.total, 2 * state.full) / (end - low + 1)
                continue
            density = (density + page.count / (end - low + 1)) / 2
            end = low - 1

    def _give_all(self, page: Page, low: float, high: float) -> None:
        """Give the rows of a step; rows on its margins belong to other steps."""
        mine = [place for place, second in enumerate(page.seconds) if low <= second <= high]
        self.state.ranges += 1
        self.give_of(page, mine, low)
