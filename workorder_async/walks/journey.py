"""One way through a list, forwards or from its end to its front: what is held, asked for again, and mended."""

from collections import deque
from collections.abc import Iterator
from math import inf

from attrs import Factory, define, field, frozen

from workorder_async.protocol.codec import Row
from workorder_async.protocol.envelope import Answer
from workorder_async.walk_report import SkippedRow
from workorder_async.walks.repair import Repair

_EMPTY_PAGES_THAT_END = 8
_REREADS = 2
# Of all pages of a journey together, as long as they stay odd.
_VAIN_REREADS = 16
# After another page came full so often though other pages came odd again and again, it is not asked any more.
_REFUTED_IN_ALL = 3


@define(eq=False)
class HeldPage:
    """A page that waits for its turn, and for the repairs of the edge before it."""

    rows: list[Row]
    ids: list[int]
    answer: Answer
    total: int
    skipped: list[SkippedRow]
    #: How many positions of the list it shows.
    count: int
    repairs: list[Repair] = Factory(list)


@frozen
class Edge:
    """The edge between what was given out and what was not: the total that the page beside it came with, and its ids.

    `position` is how many rows stand before it.
    """

    position: int
    total: int
    ids: list[int] = field(repr=False, factory=list)


@define(eq=False)
class Oddity:
    """A page that came odd: how many rows it showed each time."""

    #: How many requests had been sent when it first came so, or when it was last known that the stride is the same.
    since: int
    counts: list[int] = Factory(list)
    refuted: int = 0

    @property
    def came_twice(self) -> bool:
        """Whether it came with the same number of rows again."""
        return len(self.counts) > 1 and self.counts[-1] == self.counts[-2]


@define(eq=False)
class Doubt:
    """The question whether the server gives fewer rows now, as page `number` came twice; another page answers it."""

    number: int
    repair: Repair | None
    odd: Oddity
    is_asked: bool = False


@define(eq=False)
class Journey:
    """A way from page `front` on at one stride, forwards (`step` 1) or to the front (-1).

    To the front it ends at page 1 or at the edge `until`, before which all was given out. Its first page is chosen when
    it is asked for where `front` is 0.
    """

    step: int
    front: int
    #: Of the page that was given out before `front`.
    edge: Edge | None = None
    until: Edge | None = None
    next: int = field(default=Factory(lambda self: self.front, takes_self=True))
    held: dict[int, HeldPage] = Factory(dict)
    #: Pages to be read again, and those that came odd.
    again: deque[int] = Factory(deque)
    odd: dict[int, Oddity] = Factory(dict)
    doubt: Doubt | None = None
    #: The newest read that came full, as the number of requests that had been sent.
    full: int = 0
    #: Pages behind the end in whose place it was asked by created time.
    tails: set[int] = Factory(set)
    repairs: list[Repair] = Factory(list)
    #: Pages that a repair read, and that came odd.
    repairs_again: deque[tuple[int, Repair]] = Factory(deque)
    #: The position up to which rows were given out at another stride: its pages before that show them again.
    reached: int = 0
    #: The place of its first page in the ledger, where its order is to be watched.
    first_place: int = -1
    #: The smallest total of what was given out on it: a page with a larger one was read before that.
    low: float = inf
    #: The last page that showed rows, and whether nothing is left to give out.
    last: int = 0
    over: bool = False
    _vain: int = 0
    _refuted: int = 0
    _empty_in_a_row: int = 0

    def ask_again(self, number: int, repair: Repair | None = None) -> None:
        """Ask for a page again, which came odd."""
        if repair is None:
            self.again.append(number)
        else:
            self.repairs_again.append((number, repair))

    def note_odd(self, number: int, count: int, requests: int) -> Oddity:
        """Note that a page came odd, when so many requests had been sent."""
        odd = self.odd.setdefault(number, Oddity(requests))
        odd.counts.append(count)
        self._vain += len(odd.counts) == 2
        return odd

    def may_read_again(self, odd: Oddity) -> bool:
        """Tell whether a page that came odd may be read again: not for ever."""
        return len(odd.counts) <= _REREADS + odd.refuted and self._vain < _VAIN_REREADS

    def may_doubt(self, odd: Oddity, *, is_short: bool) -> bool:
        """Tell whether a page that may show a smaller stride is reason to ask for another page."""
        once_more = odd.refuted < (2 if is_short else 1)
        return len(odd.counts) > 1 and once_more and self._refuted < _REFUTED_IN_ALL

    def refute(self, doubt: Doubt, requests: int) -> None:
        """Note that the server gives as many rows as before: the page came odd for another reason; read it again."""
        self.doubt = None
        doubt.odd.since = requests
        doubt.odd.refuted += 1
        self._refuted += 1
        self.ask_again(doubt.number, doubt.repair)

    def acquit(self, number: int) -> None:
        """Note that a page does not come odd any more."""
        odd = self.odd.pop(number, None)
        if odd is not None:
            self._vain -= len(odd.counts) > 1
            self._refuted -= odd.refuted

    def mend(self, repair: Repair, page: HeldPage) -> bool:
        """Hand a page to the repair that asked for it; whether the page shows known rows in another order."""
        repair.receive(page.rows, page.ids, page.answer, page.total)
        if repair.done:
            self.repairs.remove(repair)
        return repair.is_disordered

    def begin_behind(self, number: int) -> None:
        """Begin a way to the front one page further back: page `number`, the first one, does not show the end."""
        self.front = number + 1
        self.again.append(self.front)

    def edges_beside(self, number: int) -> "Iterator[tuple[int, HeldPage | Edge, HeldPage | Edge, HeldPage]]":
        """Yield the edges beside a held page whose other sides have been read.

        Each as the number of the page before it, what was read before and behind it, and which of these pages waits
        for its turn.
        """
        for low in (number - 1, number):
            before: HeldPage | Edge | None = self.held.get(low)
            behind: HeldPage | Edge | None = self.held.get(low + 1)
            if self.step > 0:
                before = self.edge if before is None and low == self.front - 1 else before
            else:
                behind = self.edge if behind is None and low == self.front else behind
            waiting = behind if self.step > 0 else before
            if before is not None and behind is not None and isinstance(waiting, HeldPage):
                yield low, before, behind, waiting

    def pass_by(self, number: int, page: HeldPage, stride: int) -> None:
        """Note that a page is given out: the next one is at the front, unless this one was the last."""
        del self.held[number]
        self.front = number + self.step
        end = number * stride
        self.edge = Edge(end if self.step > 0 else end - stride, page.total, page.ids)
        if self.step > 0:
            self._empty_in_a_row = self._empty_in_a_row + 1 if not page.count and page.total > 0 else 0
            shows_the_end = page.count < stride and page.total <= end
            self.over = shows_the_end or self._empty_in_a_row >= _EMPTY_PAGES_THAT_END
        else:
            self.over = number == 1 or self._meets_the_edge(page, end - stride)

    @property
    def ended_by_empty_pages(self) -> bool:
        """Whether it was ended by pages that showed nothing though their totals said more."""
        return self._empty_in_a_row >= _EMPTY_PAGES_THAT_END

    def _meets_the_edge(self, page: HeldPage, first: int) -> bool:
        """Tell whether all that is left stands behind this page's rows: it slid no further than the total fell."""
        until = self.until
        if until is None:
            return False
        return first <= until.position - (until.total - page.total) or not set(until.ids).isdisjoint(page.ids)
