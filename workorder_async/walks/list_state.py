"""The knowledge of a walk about its list: its order, the rows of a page, the reasons why the result may not be exact.

Times are *keys* here: seconds where the newest ticket comes first, seconds with a minus where the oldest does. So a
walk always goes towards smaller keys.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from math import inf, lgamma
from typing import Final, Literal, TypeAlias

from attrs import Factory, define

from workorder_async.walks.pages import Ask, Page, Proofs, Record, worst_inversion
from workorder_async.walks.windows import Window

Mode: TypeAlias = Literal["sections", "ranges", "numbers"]
"""How the list is read: in sections, by its order in time; in ranges that one answer shows whole; by page numbers."""

#: Many servers refuse deeper pages, show nothing there, or take long for them.
DEEPEST: Final = 10_000
# In a nearly sorted list, neighbouring answers overlap by so many times the largest inversion that was seen.
_OVERLAP_TIMES: Final = 10
_SMALLEST_OVERLAP: Final = 10
# One accident in ten thousand.
_NO_ACCIDENT: Final = 9.2
#: In pages of fewer rows no order is seen.
ROWS_OF_AN_ORDER: Final = 5
# A list is nearly sorted if a page spans at least so many times that overlap. If not, most of each answer comes again.
_NEARLY: Final = 2


@define
class RestartError(Exception):
    """The walk was wrong about the list: the list is read in another way, from its beginning."""

    mode: Mode
    flaw: str = ""


@define
class ListState:
    """The knowledge of one walk about its list."""

    window: Window
    slots: int
    """Requests in flight at the most."""
    size: int
    """Rows to ask for."""
    proofs: Proofs = Factory(Proofs)
    asked: tuple[int | None, int | None] = Factory(lambda state: state.window.asked, takes_self=True)
    span: tuple[int | None, int | None] = Factory(lambda state: state.window.span, takes_self=True)
    sign: int = 1
    """1 where the newest ticket comes first, -1 where the oldest does."""
    overlap: int = 1
    """How many seconds above its last row an answer may not be the whole truth; so many are asked for again."""
    order: float = 0.0
    """How unlikely it is that all pages looked sorted by accident, as a logarithm; counted until it is enough."""
    end_counts: bool = False
    """Whether tickets of the very second where a range ends, or of the one behind it, were seen to be shown."""
    full: int = 0
    """How many rows a full page has."""
    repeats_at_edges: float = 1.0
    """How many rows come again at an edge, by the latest ones."""
    leaves_out: bool = False
    """Whether a page counted more rows than it showed, and had room for them."""
    deepest: int = DEEPEST
    """How many rows may stand in front of a hint."""
    first_total: int = -1
    last_total: int = -1
    requests: int = 0
    tickets: int = 0
    rows: int = 0
    """How many rows came that were wanted, and can be read."""
    sections: int = 0
    edges: int = 0
    bridged: bool = False
    """Whether a ticket came again at some edge."""
    ranges: int = 0
    crowded_seconds: int = 0
    """How many seconds hold more tickets than a page."""
    largest_crowd: int = 0
    """The most tickets that such seconds showed."""
    looks: int = 0
    """How often tickets were looked for that a total counts and no page shows."""
    shown: Page | None = None
    """The latest page with tickets."""
    believes_filter: bool = Factory(lambda state: state.span != (None, None), takes_self=True)
    """Whether an answer was believed for the sake of the range that it was asked for, and not for a row it shares."""
    counts_pages: bool = False
    """Whether a total counted just the rows of its page, though more stood behind them."""
    believes_totals: bool = True
    """Whether an answer that counts more tickets than it shows is cut, though it has fewer rows than a page."""
    undated: set[int] = Factory(set)
    """The tickets without a created time."""
    flaws: list[str] = Factory(list)
    """Why the result may not be exact."""
    _ledger: "array[int]" = Factory(lambda: array("q"))
    _given: set[int] | None = None
    _keys: set[int] = Factory(set)

    # Ranges

    @property
    def bounds(self) -> tuple[float, float]:
        """The last key of the window, and the key below which its tickets lie."""
        start, end = self.span
        low, high = -inf if start is None else start, inf if end is None else end + 1
        return (low, high) if self.sign > 0 else (1 - high, 1 - low)

    def high(self, ask: Ask) -> float:
        """Return the key from which a page was asked for; infinity: from the list's beginning."""
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
        """Return a question for the tickets from one key to another, both included; infinity is an end of the list."""
        start, end = (low, high) if self.sign > 0 else (-high, -low)
        first, last = self.asked
        asked_start = first if start == -inf else max(int(start), first or 0)
        asked_end = last if end == inf else int(end) if last is None else min(int(end), last)
        return Ask(asked_start, asked_end, page, self.size if size is None else size)

    def rest(self, frontier: float) -> Window | None:
        """Return the rest of the list below a key; None if that is the whole list."""
        if abs(frontier) == inf or self._given is not None:
            return None
        start, end = self.window.start, self.window.end
        if self.sign > 0:
            end = int(frontier) if end is None else min(end, int(frontier))
        else:
            start = 1 - int(frontier) if start is None else max(start, 1 - int(frontier))
        return None if start is not None and end is not None and start >= end else Window(self.window.query, start, end)

    # Order

    def see_order(self, page: Page) -> bool:
        """Find out by the first page in which order the list is; whether it is in one."""
        oldest_first = [-second for second in page.seconds]
        self.sign = 1 if worst_inversion(page.seconds) <= worst_inversion(oldest_first) else -1
        # The last row itself, the other rows of its second, and the rows of the second above it.
        self.repeats_at_edges = 1 + 1.5 * page.count / (1 + max(page.seconds) - min(page.seconds))
        try:
            self.keys(page)
        except RestartError as restart:
            return restart.mode == "sections"
        return True

    def rely_on(self, keys: Sequence[int]) -> None:
        """Note that the order of these rows is relied on: count the other ways in which they could stand."""
        if self.order < _NO_ACCIDENT:
            self.order += lgamma(len(keys) + 1) - sum(lgamma(alike + 1) for alike in Counter(keys).values())
            self._keys.update(keys)

    @property
    def is_unordered(self) -> bool:
        """Whether the pages whose order was relied on may look sorted by accident."""
        relied = self.edges > 0 and not self.ranges and len(self._keys) > 1
        return relied and self.order < _NO_ACCIDENT and self.full >= ROWS_OF_AN_ORDER

    def _see_inversions(self, keys: Sequence[int]) -> None:
        """Take in that a page is not sorted: the list is nearly sorted, or it is in no order."""
        worst = worst_inversion(keys)
        if worst < self.overlap:
            return
        overlap = max(_SMALLEST_OVERLAP, _OVERLAP_TIMES * worst)
        if overlap * _NEARLY > max(keys) - min(keys):
            raise RestartError("ranges")
        # Rows from further away may have crossed the edges that were bridged until now.
        self.overlap = overlap
        raise RestartError("sections")

    # Sizes

    def see_size(self, page: Page) -> None:
        """Take in how many rows a page has that is not the last one."""
        count, asked = page.count, page.ask.size
        if not self.full:
            self.full = count if page.total > count else page.size if count <= page.size <= asked else asked
        self.full = max(self.full, count)
        self.proofs.see_total(page)
        self.leaves_out = self.leaves_out or (page.ask.page == 1 and count < min(self.full, page.total, asked))

    def note_depth(self, hint: Ask) -> None:
        """Take in that a hint was of no use: it was refused, or showed nothing, or the first page."""
        self.deepest = min(self.deepest, (hint.page - 1) * hint.size)

    def is_cut(self, page: Page) -> bool:
        """Tell whether the list may have more in the range than an answer shows."""
        if page.is_last is not None:
            return not page.is_last
        return self._is_full(page) or (self.believes_totals and page.position != page.total)

    def is_miscounted(self, page: Page) -> bool:
        """Tell whether an answer does not tell if there are more tickets: it counts fewer than it shows, or as many.

        As many is usual, but a server may have pages of its own size, and count the rows of each.
        """
        is_odd = self.counts_pages or (self.first_total < 0 < page.count and self.proofs.may_have_more(page))
        is_doubtful = page.total < page.count or (page.total == page.count and is_odd)
        return page.ask.page == 1 and is_doubtful and not self._is_full(page)

    def see_behind(self, page: Page, after: Page | None) -> None:
        """Take in the page behind one that does not tell if there are more tickets; None: a refusal."""
        if page.total < page.count:
            page.is_last = after is not None and not after.count
            return
        # A server that ignores page numbers shows the same rows again, and new ones; a page that slid lacks some rows.
        ids, again = {*page.ids}, {*(after.ids if after else ())}
        page.is_last = after is None or not after.count or len(ids & again) >= (min(len(ids), len(again)) or 1)
        if not page.is_last and not self.counts_pages:
            self.counts_pages, self.full = True, page.count

    def _is_full(self, page: Page) -> bool:
        # Pages may always have the server's own size, however few rows are asked for: then its last one has more, too.
        return page.count in (page.ask.size, page.size or -1) or page.count >= (self.full or page.ask.size)

    # The report

    def flaw(self, why: str) -> None:
        """Note why the result may not be exact."""
        if why not in self.flaws:
            self.flaws.append(why)

    def only_new(self, rows: Sequence[Record], ids: list[int]) -> tuple[Sequence[Record], list[int]]:
        """Return those that were not given out before, and remember them: eight bytes each, until that is needed."""
        if self._given is not None:
            new = [place for place, id in enumerate(ids) if id not in self._given]
            rows, ids = [rows[place] for place in new], [ids[place] for place in new]
            self._given.update(ids)
        self.tickets += len(ids)
        self._ledger.extend(ids)
        return rows, ids

    def tell_apart(self) -> None:
        """From now on, know by the id whether a ticket was given out before."""
        if self._given is None:
            self._given = set(self._ledger)
