"""A list in no order of time: it is read in ranges of created time, and only an answer that is not cut settles a range.

The first page shows when some tickets were created; by their times the list is divided into ranges. A range whose
answer is cut is divided by time, and its parts are asked for side by side. A part is a range, too, and may be divided
again. Each range is asked for with a margin of one second on either side, since it is not known whether the ends of the
filter count. A total decides only into how many parts a range is divided.
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

# The share of a full page that the answer of a part should have. With more, too many parts have to be divided again.
_FILL: Final = 0.8
# The parts of a range at the most.
_PARTS: Final = 24
# The rows of an answer are a burst if they stand so many times closer together than the range's tickets on average.
_BURST: Final = 8
# The parts that the time of a range outside of a burst is divided into: the rows may all be from one end of the range.
_OUTSIDE: Final = 3
# Rows of the first page for each part of the list: fewer would not tell how many tickets the part has.
_ROWS_OF_A_PART: Final = 8
# How many times longer than the part before it a part is, where nothing tells how far the list reaches.
_LONGER: Final = 8
# A range of fewer seconds is not divided but read as a crowd: with their margins, its parts would be as long.
_CROWD: Final = 3
# How often the range that has no end is divided at the most. Once or twice is enough for most lists; where new tickets
# come as fast as answers, no number is.
_OPEN: Final = 16
# How often a range is divided whose answer shows fewer rows than a full page, and than its total.
_TRIES_TO_DIVIDE: Final = 2
# The pages that a range is taken for if its answer is cut, but its total is not larger than the answer.
_UNCOUNTED: Final = 2
# How often a part that comes empty is asked for at the most; from the third time on only if so many tickets lack.
_TRIES: Final = 4
_LACKING: Final = 1


@define(eq=False)
class Range(Job):
    """The tickets created from one second to another, both included; infinity is an end of the list."""

    asks_again = False
    _low: float
    _high: float
    first: Page | None = None
    """The answer to this range, if that has come."""
    around: int = 0
    """How many rows the answer to the range had that this one is a part of."""
    divided: int = 0
    """How many divisions have led to this range, apart from those around a crowd."""
    short: int = 0
    """How many ranges in a row, each a part of the one before, had fewer rows than a page and than their total."""

    def steps(self) -> Steps[None]:
        """Give out the range's tickets if its answer shows all of them, or else divide the range."""
        state, page = self.state, self.first
        if page is None:
            (page,) = yield [state.ask(self._low - 1, self._high + 1)]
        if page is None:
            return
        if self._is_whole(page):
            state.ranges += 1
            self.give_of(page, self._own(page), self._low)
        elif self._high == inf and self.divided >= _OPEN:
            state.flaw("new tickets come as fast as they can be read, so the newest may be missing")
            self.give_of(page, self._own(page))
        elif self._dated[1] - self._dated[0] < _CROWD:
            state.ranges += 1
            yield from Crowd(self, *self._dated, page).read()
        else:
            crowd = self._around_a_crowd(page)
            found = crowd or self._outwards(page) or self.parts(page)
            ends = sorted((ends for ends in found if max(ends[0], DATED[0]) <= ends[1]), reverse=True)
            divided = self.divided + (not crowd)
            parts = [Range(state, *both, None, page.count, divided, self.short) for both in ends]
            yield from self._ask(parts, page)
            self.behind.extend(parts)

    @property
    def _dated(self) -> tuple[int, int]:
        """The first and the last second that a ticket of this range may have."""
        low = int(max(self._low, DATED[0]))
        return low, max(DATED[1], 2 * low) if self._high == inf else int(self._high)

    def _own(self, page: Page) -> list[int]:
        """Return the places of this range's rows on a page; rows of the margins are another range's."""
        return [place for place, second in enumerate(page.seconds) if self._low <= second <= self._high]

    def _is_whole(self, page: Page) -> bool:
        """Tell whether an answer shows all tickets of the range, or is to be taken for that."""
        state = self.state
        if not state.is_cut(page):
            return True
        # If the answers to a range and to its part have equally many rows, pages have become smaller than `full`.
        self.short = 0 if page.count >= state.full or 0 < page.count == self.around else self.short + 1
        if self.short > _TRIES_TO_DIVIDE:
            # Smaller ranges lack tickets, too: so it is not for the size of a page that answers lack them.
            state.flaw(f"the list counts {page.total} tickets in a range, and shows {page.count}")
            state.believes_totals = False
        return not state.is_cut(page)

    def _around_a_crowd(self, page: Page) -> list[_Ends]:
        """Divide a range with a crowd: three seconds around it, and the time before and after; [] if there is none.

        Most rows of the answer are of the crowd's second.
        """
        second, rows = max(Counter(page.seconds).items(), key=itemgetter(1), default=(0, 0))
        if not (self._low - 1 <= second <= self._high + 1 and 2 * rows > page.count):
            return []
        # The three seconds lie inside of the range, even if the crowd lies at its end or on its margin.
        second = int(max(min(second, self._high - 1), self._low + 1))
        return [(second + 2, self._high), (second - 1, second + 1), (self._low, second - 2)]

    def _outwards(self, page: Page) -> list[_Ends]:
        """Divide a range that has only one end into parts that grow with the distance from that end; else [].

        The rows of the answer may be spread over the range, or all be next to its end. The last part begins where the
        tickets would end in the second case, and is open.
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
        """Divide the range evenly; if the rows of its answer are a burst, divide the burst more finely."""
        low, high = self._dated
        edges, seconds = self._even_edges(low, high, page), [one for one in page.seconds if low <= one <= high]
        first, last = min(seconds, default=low), max(seconds, default=high)
        density = len(seconds) / (last - first + 1)
        if page.total >= page.count and density > _BURST * page.total / (high - low + 1):
            burst = [first, last + 1] if last - first < _CROWD else self._even_edges(first, last, page)
            edges = sorted({*edges[:: ceil(len(edges) / _OUTSIDE)], *burst, high + 1})
        return [(start, end - 1) for start, end in pairwise(edges)]

    def _even_edges(self, low: int, high: int, page: Page) -> list[int]:
        """Return the first seconds of equally long parts, and the second behind the last part.

        One answer should show each part whole. If that takes over `_PARTS` parts, they are longer, and divided again.
        """
        full, length = self.state.full, high - low + 1
        total = page.total if page.total > page.count else _UNCOUNTED * full
        # The rows of a page: pages may have become smaller than `full`. Those of the two margins are taken off.
        rows = _FILL * max(min(page.count, full), full / _PARTS, 1)
        count = ceil(length / max(1, rows * (length + 2) / total - 2))
        if count > _PARTS:
            count = min(_PARTS, ceil(count / _PARTS))
        if 3 * total > rows * (length + 2):
            # Three seconds are more than an answer shows, so they are read as a crowd: no part is shorter than that.
            count = min(count, ceil(length / _CROWD))
        count = min(max(count, 2), length)
        return [*(low + length * number // count for number in range(count)), high + 1]

    def _ask(self, parts: list["Range"], page: Page) -> Steps[None]:
        """Ask for the parts of a range side by side; `page` is the answer to the range.

        An empty answer may be an accident: while the parts lack tickets that `page` shows or counts, those that came
        empty are asked for again.
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
        """About how many tickets this range has by its answer, without those on the margins."""
        page = self.first
        if page is None or not self.state.is_cut(page):
            return 0 if page is None else len(self._own(page))
        return max(page.total, page.count) * (1 - 2 / (self._high - self._low + 3))


@define(eq=False)
class Unordered(Range):
    """The whole list, divided by the rows of its first page."""

    def parts(self, page: Page) -> list[_Ends]:
        """Divide the list at the times of the page's rows, into parts of about equally many tickets, and its two ends.

        The two ends are the time after the newest row and the time before the oldest one.
        """
        seconds = sorted(page.seconds[place] for place in self._own(page))
        if not seconds:
            return super().parts(page)
        count = ceil(page.total / (_FILL * _PARTS * max(1, self.state.full)))
        count = max(1, min(count, _PARTS, len(seconds) // _ROWS_OF_A_PART))
        edges = sorted({*(seconds[len(seconds) * number // count] for number in range(count)), seconds[-1] + 1})
        inner = [(start, end - 1) for start, end in pairwise(edges)]
        return [(edges[-1], self._high), *inner, (self._low, edges[0] - 1)]
