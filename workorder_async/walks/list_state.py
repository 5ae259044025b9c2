"""The state of a walk: facts about its list that answers showed, and the reasons why the result may not be exact.

A *key* stands for a created time: the second if the list begins with the newest ticket, minus the second if with the
oldest. So a walk always goes from larger keys to smaller ones: "above" means larger keys, "below" smaller ones.
"""

from collections import Counter
from collections.abc import Sequence
from math import inf, lgamma
from typing import Final, Literal, TypeAlias

from attrs import Factory, define

from workorder_async.walks.given import GivenTickets
from workorder_async.walks.pages import Ask, Page, Proofs, worst_inversion
from workorder_async.walks.windows import Window

Mode: TypeAlias = Literal["sections", "ranges", "numbers"]
"""How the list is read: in sections, by its order in time; in ranges that one answer shows whole; by page numbers."""

#: Rows in front of a page: many servers refuse deeper pages, show nothing there, or take long for them.
DEEPEST: Final = 10_000
# In a nearly sorted list, neighbouring answers overlap by so many times the largest inversion that was seen,
_OVERLAP_TIMES: Final = 10
_SMALLEST_OVERLAP: Final = 10  # and at least by so many seconds.
# The logarithm of 10,000. An order counts as proven if rows in no order look so by accident once in so many times.
_NO_ACCIDENT: Final = 9.2
#: A page of fewer rows does not show an order.
ROWS_OF_AN_ORDER: Final = 5
# A list is nearly sorted if a page spans so many overlaps at least. Of a shorter page most rows would come again.
_NEARLY: Final = 2


@define
class RestartError(Exception):
    """The walk was wrong about its list: read that from its beginning in `mode`; not exact, if there is a `flaw`."""

    mode: Mode
    flaw: str = ""


@define
class ListState:
    """The state of one walk. A *total* is the number of tickets that an answer says its range has."""

    window: Window
    slots: int
    """Requests in flight at the most."""
    size: int
    """Rows to ask for in a page."""
    proofs: Proofs = Factory(Proofs)
    given: GivenTickets = Factory(GivenTickets)
    asked: tuple[int | None, int | None] = Factory(lambda state: state.window.asked, takes_self=True)
    span: tuple[int | None, int | None] = Factory(lambda state: state.window.span, takes_self=True)
    sign: int = 1
    """1 where the newest ticket comes first, -1 where the oldest does."""
    overlap: int = 1
    """In how many seconds, from its last row upwards, a cut answer may lack tickets; the next one has to show them."""
    order: float = 0.0
    """Logarithm of the number of ways in which the rows of sorted pages could stand; summed up to `_NO_ACCIDENT`."""
    end_counts: bool = False
    """Whether an answer showed a ticket of the second in which its range ends (at the upper key), or beyond it."""
    full: int = 0
    """How many rows a full page has."""
    repeats_at_edges: float = 1.0
    """How many rows of an answer come again in the next one: an average in which the latest edges count most."""
    leaves_out: bool = False
    """Whether some page 1 showed fewer rows than its total, and had room for them."""
    deepest: int = DEEPEST
    """How many rows may stand in front of a hint; fewer once a hint was of no use."""
    first_total: int = -1
    last_total: int = -1
    requests: int = 0
    rows: int = 0
    """How many readable rows came in answers to reads that wanted rows, repeats among them."""
    sections: int = 0
    edges: int = 0
    bridged: bool = False
    """Whether a ticket came again at some edge."""
    in_ranges: bool = False
    """Whether the walk has begun to read the list in ranges: from then on no order is relied on."""
    ranges: int = 0
    crowded_seconds: int = 0
    """How many seconds hold more tickets than a page."""
    largest_crowd: int = 0
    """The most tickets that a settled crowd showed."""
    looks: int = 0
    """How often `look_behind` asked for tickets that a total counts and no page shows."""
    shown: Page | None = None
    """The latest page with tickets."""
    believes_filter: bool = Factory(lambda state: state.span != (None, None), takes_self=True)
    """Whether some answer is believed only because the server filters by created time: no shared row proves it."""
    counts_pages: bool = False
    """Whether totals count only the rows of their page: a total was equal to them, and page 2 had more rows."""
    believes_totals: bool = True
    """Whether an answer with fewer rows than a full page is taken for cut where its total is larger."""
    undated: set[int] = Factory(set)
    """The tickets without a created time."""
    flaws: list[str] = Factory(list)
    """Why the result may not be exact."""
    _relied_keys: set[int] = Factory(set)  # the keys of the rows whose order was relied on

    # Ranges

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest key of the window, and the key just above its largest one."""
        start, end = self.span
        low, high = -inf if start is None else start, inf if end is None else end + 1
        return (low, high) if self.sign > 0 else (1 - high, 1 - low)

    def high(self, ask: Ask) -> float:
        """Return the largest key of an ask's range; infinity if the range has no end there."""
        second = ask.end if self.sign > 0 else ask.start
        return inf if second is None else self.sign * second

    def keys(self, page: Page) -> list[int]:
        """Return when the rows of a page were created, as keys. Raises `RestartError` where they are not in order."""
        if page.keys is not None:
            return page.keys
        page.keys = keys = page.seconds if self.sign > 0 else [-second for second in page.seconds]
        if sorted(keys, reverse=True) != keys:
            self._see_inversions(keys)
        if not self.end_counts and keys:
            self.end_counts = max(keys) >= self.high(page.ask)
        return keys

    def ask(self, low: float, high: float, page: int = 1, size: int | None = None) -> Ask:
        """Return an ask for the tickets from one key to another, both included; infinity is an end of the list."""
        start, end = (low, high) if self.sign > 0 else (-high, -low)
        first, last = self.asked
        asked_start = first if start == -inf else max(int(start), first or 0)
        asked_end = last if end == inf else int(end) if last is None else min(int(end), last)
        return Ask(asked_start, asked_end, page, self.size if size is None else size)

    def rest(self, frontier: float) -> Window | None:
        """Return the list below a key; None if that is all of it, or nothing, or if the walk restarted."""
        if abs(frontier) == inf or self.given.are_told_apart:
            return None
        start, end = self.window.start, self.window.end
        if self.sign > 0:
            end = int(frontier) if end is None else min(end, int(frontier))
        else:
            start = 1 - int(frontier) if start is None else max(start, 1 - int(frontier))
        return None if start is not None and end is not None and start >= end else Window(self.window.query, start, end)

    # Order

    def see_order(self, page: Page) -> bool:
        """Learn from the first page whether the newest or the oldest ticket comes first; False: in no order."""
        oldest_first = [-second for second in page.seconds]
        self.sign = 1 if worst_inversion(page.seconds) <= worst_inversion(oldest_first) else -1
        # A guess: the last row itself, half a second's rows beside it, and those of the second above it.
        self.repeats_at_edges = 1 + 1.5 * page.count / (1 + max(page.seconds) - min(page.seconds))
        try:
            self.keys(page)
        except RestartError as restart:
            return restart.mode == "sections"
        return True

    def rely_on(self, keys: Sequence[int]) -> None:
        """Note that the order of a page is relied on: `order` grows by the ways in which its rows could stand."""
        if self.order < _NO_ACCIDENT:
            self.order += lgamma(len(keys) + 1) - sum(lgamma(alike + 1) for alike in Counter(keys).values())
            self._relied_keys.update(keys)

    @property
    def is_unordered(self) -> bool:
        """Whether an order was relied on that so few rows showed that it may be an accident."""
        relied = self.edges > 0 and not self.in_ranges and len(self._relied_keys) > 1
        return relied and self.order < _NO_ACCIDENT and self.full >= ROWS_OF_AN_ORDER

    def _see_inversions(self, keys: Sequence[int]) -> None:
        """Restart for a page that is not sorted, with a larger overlap or in ranges; small inversions do no harm."""
        worst = worst_inversion(keys)
        if worst < self.overlap:
            return
        overlap = max(_SMALLEST_OVERLAP, _OVERLAP_TIMES * worst)
        if overlap * _NEARLY > max(keys) - min(keys):
            raise RestartError("ranges")
        # The overlap was too small at the edges until now: tickets may have been missed there.
        self.overlap = overlap
        raise RestartError("sections")

    # Sizes

    def see_size(self, page: Page) -> None:
        """Learn from a page how many rows a full one has, and whether pages leave rows out."""
        count, asked = page.count, page.ask.size
        if not self.full:
            self.full = count if page.total > count else page.size if count <= page.size <= asked else asked
        self.full = max(self.full, count)
        self.proofs.see_total(page)
        self.leaves_out = self.leaves_out or (page.ask.page == 1 and count < min(self.full, page.total, asked))

    def note_depth(self, hint: Ask) -> None:
        """Ask for no hint as deep as this one any more: it was refused, or showed nothing, or the first page."""
        self.deepest = min(self.deepest, (hint.page - 1) * hint.size)

    def is_cut(self, page: Page) -> bool:
        """Tell whether the range of an answer may have more tickets than the answer shows."""
        if page.is_last is not None:
            return not page.is_last
        return self._is_full(page) or (self.believes_totals and page.position != page.total)

    def is_miscounted(self, page: Page) -> bool:
        """Tell whether only page 2 can show if page 1 is the last one: its total is less than its rows, or equal.

        Equal is usual for a short list. But a server with pages of its own size may count just the rows of each page.
        """
        may_count_page = self.counts_pages or (self.first_total < 0 < page.count and self.proofs.may_have_more(page))
        is_doubtful = page.total < page.count or (page.total == page.count and may_count_page)
        return page.ask.page == 1 and is_doubtful and not self._is_full(page)

    def see_behind(self, page: Page, after: Page | None) -> None:
        """Decide by page 2 (None: refused) whether page 1, whose total does not tell, is the last one."""
        if page.total < page.count:
            page.is_last = after is not None and not after.count
            return
        # A server that ignores page numbers shows the rows of page 1 again, perhaps with new ones; a true page 2 shows
        # only those of them that slid into it.
        ids, again = {*page.ids}, {*(after.ids if after else ())}
        page.is_last = after is None or not after.count or len(ids & again) >= (min(len(ids), len(again)) or 1)
        if not page.is_last and not self.counts_pages:
            self.counts_pages, self.full = True, page.count

    def _is_full(self, page: Page) -> bool:
        # Not `count >= ask.size`: where pages have a larger size of the server's own, the last one may be larger, too.
        return page.count in (page.ask.size, page.size or -1) or page.count >= (self.full or page.ask.size)

    # The report

    def flaw(self, why: str) -> None:
        """Note why the result may not be exact."""
        if why not in self.flaws:
            self.flaws.append(why)

    @property
    def all_flaws(self) -> list[str]:
        """The reasons why the result so far may not be exact, beside skipped rows."""
        flaws = [*self.flaws]
        if self.full < ROWS_OF_AN_ORDER and (self.edges or self.crowded_seconds):
            flaws.append(f"the list shows no more than {self.full} rows at once, too few to see its order")
        if self.undated:
            named = ", ".join(map(str, sorted(self.undated)[:5]))
            flaws.append(f"{len(self.undated)} tickets have no created time that can be read, as {named}")
        return flaws
