"""Finds the rows that slid past the edge between two pages of a moving list, by reading some pages again.

Page k was read with one total and page k+1 with a smaller one, by d. A missed row stands, in the list's order, behind
every row of page k and before every row of page k+1; since then it has slid to the front, like its neighbours. So:

* The right side is closed by a page that holds a row of page k+1, or by page k itself: when page k+1 was read, each
  missed row was before the edge, and is so ever since.
* From there pages are read to the left, one after the other; rows slide to the left meanwhile, so into what is still
  to be read. The left side is closed by a page that holds a row of page k, or that reaches [edge - d], less what the
  total has fallen since: no missed row can be further.

Where they stand by now is guessed from the totals and from where the last ones were found, so that mostly one page
holds both neighbours, however fast the list shrinks. A wrong guess costs a read, never a row.
"""

from typing import TypeAlias

from attrs import Factory, define

from workorder_async.protocol.codec import Row
from workorder_async.protocol.envelope import Answer

Found: TypeAlias = tuple[list[Row], list[int], Answer]
"""The rows of a page that was read again, their ids, and the answer that they stand in."""

# Wrong guesses, after which the search begins at the edge, where its right side is closed for certain.
_GUESSES = 8


@define
class Trend:
    """What part of the total's fall the last rows that were found had slid by; None before the first."""

    part: float | None = None


@define(eq=False)
class SlidRows:
    """The search behind page `number` of stride `stride`; `before` and `after` are the ids of it and of the next."""

    number: int
    stride: int
    total_before: int
    total: int
    before: list[int]
    after: list[int]
    trend: Trend
    bound: int
    total_behind: int
    found: list[Found] = Factory(list)
    done: bool = False
    under_way: bool = False
    #: Whether known rows came in another order than before.
    is_disordered: bool = False
    _page: int = 0
    _closed: bool = False
    _guesses: int = 0

    @classmethod
    def behind(
        cls,
        number: int,
        stride: int,
        totals: tuple[int, int],
        *,
        before: list[int],
        after: list[int],
        trend: Trend,
    ) -> "SlidRows":
        """Begin the search behind a page; `totals` are those of its read and of the next page's."""
        return cls(number, stride, *totals, before, after, trend, number * stride - totals[0] + totals[1], totals[1])

    def next_page(self, total: int) -> int:
        """Return the page to read; `total` is what the total is expected to be by then."""
        self.under_way = True
        guess = self._guess(total)
        if self._guesses >= _GUESSES:
            self._page = self._page - 1 if self._closed else self.number
        elif self._closed and guess < self._page - 1:
            # The rows slide faster than one page a read: rather meet them further on.
            self._page, self._closed = guess, False
            self._guesses += 1
        else:
            self._page = self._page - 1 if self._closed else max(guess, self._page)
        return self._page

    def _guess(self, total: int) -> int:
        edge = self.number * self.stride
        evenly = edge / max(1, self.total_before)
        # As the last ones did; else as if the rows before the edge had left, or those behind it, or any of them.
        part = ((evenly if self.trend.part is None else self.trend.part), 1.0, 0.0, evenly)[self._guesses % 4]
        slid = int(max(0, self.total_before - total) * part)
        return min(self.number, max(1, (edge - slid) // self.stride + 1))

    def receive(self, rows: list[Row], ids: list[int], answer: Answer, total: int) -> None:
        """Take in the page that was read."""
        self.under_way = False
        self.found.append((rows, ids, answer))
        self.bound -= max(0, self.total - total)
        self.total = min(self.total, total)
        here = set(ids)
        meets_before, meets_after = not here.isdisjoint(self.before), not here.isdisjoint(self.after)
        self.is_disordered = self.is_disordered or not self._are_where_they_may_be(ids, total)
        self._closed = self._closed or self._page >= self.number or meets_after
        if meets_before and self.total_before > total:
            self._note_trend(ids, total)
        if not self._closed:
            self._guesses += 1
            # Without its right neighbours this page may be too far to either side; before them it is too far left.
            self._page = min(self.number, self._page + 1) if meets_before else 0
        else:
            first = (self._page - 1) * self.stride
            self.done = meets_before or first <= max(0, self.bound)

    def _are_where_they_may_be(self, ids: list[int], total: int) -> bool:
        """Tell whether the rows that were known stand in their order, and have slid no further than the total fell."""
        edge = self.number * self.stride
        known = {id: (edge + place, self.total_behind) for place, id in enumerate(self.after)}
        # One that was read at another stride ends elsewhere.
        if len(self.before) == self.stride:
            known |= {id: (edge - self.stride + place, self.total_before) for place, id in enumerate(self.before)}
        last = -1
        for place, id in enumerate(ids, (self._page - 1) * self.stride):
            before, total_then = known.get(id, (-1, 0))
            if before < 0:
                continue
            if before <= last or not 0 <= before - place <= max(0, total_then - total):
                return False
            last = before
        return True

    def _note_trend(self, ids: list[int], total: int) -> None:
        before = set(self.before)
        last = max(index for index, id in enumerate(ids) if id in before)
        slid = self.number * self.stride - (self._page - 1) * self.stride - last - 1
        self.trend.part = min(1.0, max(0.0, slid / (self.total_before - total)))


@define(eq=False)
class PushedRows:
    """The search for rows that new ones pushed behind an edge: forwards to a row of the next page, or to `bound`."""

    stride: int
    total: int
    after: list[int]
    bound: int
    page: int
    found: list[Found] = Factory(list)
    done: bool = False
    under_way: bool = False
    is_disordered: bool = False

    @classmethod
    def behind(cls, number: int, stride: int, totals: tuple[int, int], after: list[int]) -> "PushedRows":
        """Begin the search behind a page; `totals` are those of its read and of the next page's, `after` its ids."""
        return cls(stride, totals[0], after, number * stride + totals[0] - totals[1], number + 1)

    def next_page(self, total: int) -> int:
        """Return the page to read."""
        self.under_way = True
        return self.page

    def receive(self, rows: list[Row], ids: list[int], answer: Answer, total: int) -> None:
        """Take in the page that was read."""
        self.under_way = False
        self.found.append((rows, ids, answer))
        self.bound += max(0, total - self.total)
        self.total = max(self.total, total)
        self.page += 1
        self.done = (self.page - 1) * self.stride >= self.bound or not set(ids).isdisjoint(self.after)


Repair = SlidRows | PushedRows
