"""A list that is in no order: a range of created time counts only where one answer shows all of it.

The first page tells when some of its tickets were created. By that the list is divided into ranges. A range that its
answer does not show whole is divided by time, and its parts are asked for side by side. Each is asked for with one
second more on either side, since it is not known whether the ends of the filter count. Totals tell only into how many
parts a range is divided.
"""

from collections import Counter
from itertools import pairwise
from math import ceil, inf
from operator import itemgetter
from typing import Final, TypeAlias

from attrs import define

from workorder_async.walks.crowds import Crowd
from workorder_async.walks.ends import DATED
from workorder_async.walks.jobs import Job, Steps
from workorder_async.walks.pages import Page

_Ends: TypeAlias = tuple[float, float]

# How full an answer should be: where more is aimed at, too many ranges have to be divided again.
_FILL: Final = 0.8
# The parts of a range at the most.
_PARTS: Final = 24
# Rows are of a burst where they stand so many times closer together than all tickets of the range would, evenly spread.
_BURST: Final = 8
# The time beside a burst is divided, too: in a nearly sorted list, the rows may be of one end alone.
_OUTSIDE: Final = 3
# The rows of a first page that tell how many tickets a part of the list has.
_ROWS_OF_A_PART: Final = 8
# How much longer than the one before it each part is, where nothing tells how far the list reaches.
_LONGER: Final = 8
# Fewer seconds are not divided: with those on their margins, their parts would be as long.
_CROWD: Final = 3
# How often a range is divided that counts more tickets than it shows, and shows fewer than a page.
_TRIES_TO_DIVIDE: Final = 2
# So many pages are expected where an answer that is not whole does not count more than it shows.
_UNCOUNTED: Final = 2
# How often a part that comes empty is asked for at the most, and how many tickets are lacking after the second time.
_TRIES: Final = 4
_LACKING: Final = 1


@define(eq=False)
class Range(Job):
    """The tickets created from one second to another, both included; infinity is an end of the list."""

    asks_again = False
    _low: float
    _high: float
    first: Page | None = None
    """Its answer, if that has come."""
    around: int = 0
    """How many rows the answer has that was divided into it and others."""
    short: int = 0
    """How many answers, one inside of the other, counted more tickets than they showed, and had room for them."""

    def steps(self) -> Steps[None]:
        """Give the range, or divide it."""
        state, page = self.state, self.first
        if page is None:
            (page,) = yield [state.ask(self._low - 1, self._high + 1)]
        if page is None:
            return
        if self._is_whole(page):
            state.ranges += 1
            self.give_of(page, self._own(page), self._low)
        elif self._dated[1] - self._dated[0] < _CROWD:
            yield from Crowd(self, *self._dated, page).read()
        else:
            found = self._around_a_crowd(page) or self._outwards(page) or self.parts(page)
            ends = sorted((ends for ends in found if max(ends[0], DATED[0]) <= ends[1]), reverse=True)
            parts = [Range(state, *both, around=page.count, short=self.short) for both in ends]
            yield from self._ask(parts, page)
            self.behind.extend(parts)

    @property
    def _dated(self) -> tuple[int, int]:
        """The first second and the last one that tickets of it may have."""
        low = int(max(self._low, DATED[0]))
        return low, max(DATED[1], 2 * low) if self._high == inf else int(self._high)

    def _own(self, page: Page) -> list[int]:
        """Return the places of its rows on a page; those on the margins are another range's."""
        return [place for place, second in enumerate(page.seconds) if self._low <= second <= self._high]

    def _is_whole(self, page: Page) -> bool:
        """Tell whether an answer shows all of the range, or is to be taken for that."""
        state = self.state
        if not state.is_cut(page):
            return True
        # Where one answer after the other has as many rows, pages have become smaller.
        self.short = 0 if page.count >= state.full or 0 < page.count == self.around else self.short + 1
        if self.short > _TRIES_TO_DIVIDE:
            # Its parts, too, count more than they show: it is not the size of a page that hides tickets.
            state.flaw(f"the list counts {page.total} tickets in a range, and shows {page.count}")
            state.believes_totals = False
        return not state.is_cut(page)

    def _around_a_crowd(self, page: Page) -> list[_Ends]:
        """Return three seconds around the second of most rows, and the newer and older parts; or nothing."""
        second, rows = max(Counter(page.seconds).items(), key=itemgetter(1), default=(0, 0))
        if not (self._low - 1 <= second <= self._high + 1 and 2 * rows > page.count):
            return []
        # Three seconds of it, wherever it lies: crowds may stand side by side.
        second = int(max(min(second, self._high - 1), self._low + 1))
        return [(second + 2, self._high), (second - 1, second + 1), (self._low, second - 2)]

    def _outwards(self, page: Page) -> list[_Ends]:
        """Return parts that are the longer the further out they are, of a range with one end; else nothing.

        The rows of its answer may be of all times, or those next to its end: so far out the parts go.
        """
        is_past = self._low == -inf
        if is_past is (self._high == inf) or not page.seconds:
            return []
        edge, away = (int(self._high), -1) if is_past else (int(self._low), 1)
        reach = 1 + max((abs(edge - page.seconds[place]) for place in self._own(page)), default=0)
        end, length, ends = edge + away * reach * page.total / max(1, page.count), reach, list[_Ends]()
        while (end - edge) * away > 0 and DATED[0] < (after := edge + away * length) < DATED[1]:
            ends.append((after + 1, edge) if is_past else (edge, after - 1))
            edge, length = after, length * _LONGER
        return [*ends, (-inf, edge) if is_past else (edge, inf)] if ends else []

    def parts(self, page: Page) -> list[_Ends]:
        """Return parts that are equally long; where all rows are of a burst, those of the burst are shorter."""
        low, high = self._dated
        edges, seconds = self._even_edges(low, high, page), [one for one in page.seconds if low <= one <= high]
        first, last = min(seconds, default=low), max(seconds, default=high)
        density = len(seconds) / (last - first + 1)
        if page.total >= page.count and density > _BURST * page.total / (high - low + 1):
            burst = [first, last + 1] if last - first < _CROWD else self._even_edges(first, last, page)
            edges = sorted({*edges[:: ceil(len(edges) / _OUTSIDE)], *burst, high + 1})
        return [(start, end - 1) for start, end in pairwise(edges)]

    def _even_edges(self, low: int, high: int, page: Page) -> list[int]:
        """Return where parts begin that are equally long, and last the second behind them.

        They are such as one answer shows whole, if these are not too many.
        """
        full, length = self.state.full, high - low + 1
        total = page.total if page.total > page.count else _UNCOUNTED * full
        # Pages may have become smaller than they were; and each shows a second more on either side.
        rows = _FILL * max(min(page.count, full), full / _PARTS, 1)
        count = ceil(length / max(1, rows * (length + 2) / total - 2))
        if count > _PARTS:
            count = min(_PARTS, ceil(count / _PARTS))
        if 3 * total > rows * (length + 2):
            # A second with those beside it is more than an answer shows: they are read as crowds, not one by one.
            count = min(count, ceil(length / _CROWD))
        count = min(max(count, 2), length)
        return [*(low + length * number // count for number in range(count)), high + 1]

    def _ask(self, parts: list["Range"], page: Page) -> Steps[None]:
        """Ask for parts side by side, whose tickets are those that an answer shows or counts.

        Those that come empty are asked for once more unless all tickets came, and again where some are lacking.
        """
        total, is_counted = max(page.total, page.count), page.total > page.count
        for times in range(_TRIES):
            empty = [part for part in parts if part.first is None or not part.first.count]
            came = sum(len(part._own(part.first)) for part in parts if part.first is not None)
            lacking = total - sum(part.count for part in parts)
            if not empty or (is_counted and came >= total) or (times >= 2 and lacking < _LACKING):
                return
            answers = yield [self.state.ask(part._low - 1, part._high + 1) for part in empty]
            for part, answer in zip(empty, answers, strict=True):
                part.first = answer

    @property
    def count(self) -> float:
        """About how many tickets it has by its answer, without those on the margins."""
        page = self.first
        if page is None or not self.state.is_cut(page):
            return 0 if page is None else len(self._own(page))
        return max(page.total, page.count) * (1 - 2 / (self._high - self._low + 3))


@define(eq=False)
class Unordered(Range):
    """The whole list, which the rows of its first page divide."""

    def parts(self, page: Page) -> list[_Ends]:
        """Return parts that hold about equally many tickets if the list is as these rows, and its two ends."""
        seconds = sorted(page.seconds[place] for place in self._own(page))
        if not seconds:
            return super().parts(page)
        count = ceil(page.total / (_FILL * _PARTS * max(1, self.state.full)))
        count = max(1, min(count, _PARTS, len(seconds) // _ROWS_OF_A_PART))
        edges = sorted({*(seconds[len(seconds) * number // count] for number in range(count)), seconds[-1] + 1})
        inner = [(start, end - 1) for start, end in pairwise(edges)]
        return [(edges[-1], self._high), *inner, (self._low, edges[0] - 1)]
