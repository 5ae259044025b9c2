"""A section of a list that is sorted by created time, read from its first second to its last by one request at a time.

1. An answer that is not cut shows all tickets of its range at one instant. A cut one shows all tickets down to its
   *reach*, one second above its last row (`overlap` seconds in a nearly sorted list). The section gives out those, and
   asks from the reach on: so neither the ends of the filter nor fractions of seconds matter.
2. So neighbouring answers share a row at their *edge*. That row proves that no ticket lies between them, and that the
   filter works. If no row comes again, even from further up, the edge is not *bridged*, and the walk is not exact.
3. Each second belongs to one section, which gives out the tickets below its start, down to the start of the next one.
   A section starts at the first row of its *hint*, a page asked for by number, but never above a second that an
   earlier section has given out. A hint may begin with a row out of place: the last page before it has to share a row.
4. A second of more tickets than a page shows is a *crowd* (`crowds.py`). A server may hide most of the second in which
   a range ends, so the rows and totals of the page above an edge are compared with the answer from below it.
5. A list may only look sorted: the totals of the answers above and below an edge show that (`disorder.py`). If so few
   rows looked sorted that it may be an accident, the list is read again as one in no order (`Witness`).
6. Sections are read side by side. A bad hint makes a section longer or shorter, and loses no ticket (`lots.py`).

If a list is sorted by created time, then outside of crowds nothing depends on a total, a clock or a page number being
right: tickets that leave, enter or slide between two requests change nothing.
"""

from math import inf
from typing import Final

from attrs import define, evolve, field

from workorder_async.walks.crowds import Crowd
from workorder_async.walks.disorder import look_behind
from workorder_async.walks.jobs import Job, Steps
from workorder_async.walks.list_state import RestartError
from workorder_async.walks.lots import next_lot
from workorder_async.walks.pages import Ask, Page

# If an edge is not bridged, ask once more from this place in the page above: 1 is its first row, 0 its last one.
_FURTHER_UP: Final = 0.75
_NOT_SHOWN: Final = "asked for a range of created time, the list does not show its tickets there"
# Fewer rows may have entered the list, or left it, between two pages.
_FEW_ROWS: Final = 4


@define(eq=False)
class Section(Job):
    """One section: it begins with a page that has come, or with a hint to ask for."""

    _first: Page | Ask
    before: "Section | None" = None
    """The section before this one; None once the start of this one is known."""
    after: "Section | None" = field(default=None, init=False)
    """The section after this one that has tickets, or whose hint has not come."""
    top: float = field(default=inf, init=False)
    """The start: all tickets of this section lie below this key; infinity if it is the first one, or not known yet."""
    frontier: float = field(default=inf, init=False)
    """All tickets of this section at this key or above are given, or are just being read as a crowd."""
    _asked_up_to: float = field(default=inf, init=False)
    """The largest key that the newest answer was asked for."""
    _edge_page: Page | None = field(default=None, init=False)
    """The page above the frontier, with which the next answer has to share a row; it may be an earlier section's."""
    _hint: Page | None = field(default=None, init=False)
    """The page that showed where this section starts."""

    def __attrs_post_init__(self) -> None:
        if self.before is not None:
            self.before.after = self

    @property
    def bound(self) -> float:
        """The smallest key of this section: the start of the next one, as far as that is known."""
        after = self._next
        return self.state.bounds[0] if after is None else after.top

    @property
    def _next(self) -> "Section | None":
        """The next section whose start is known."""
        after = self.after
        while after is not None and after.top == inf:
            after = after.after
        return after

    def steps(self) -> Steps[None]:
        """Read from the first second to the last."""
        page = yield from self._begin()
        self.state.sections += page is not None
        while page is not None:
            edge, bound = self.frontier, self.bound
            reach = self.frontier = max(min(self.reach(page), edge), bound)
            if self._edge_page is not None and page is not self._hint:
                # Rows below the edge that the page above showed, and that this page does not show.
                self.give_of(self._edge_page, self.between(self._edge_page, reach, edge, page))
            self.give_of(page, self.between(page, reach, edge), reach)
            if reach < edge:
                self._edge_page = page
                self.state.rely_on(self.state.keys(page))
            if reach <= bound:
                break
            self._cut_the_rest(page)
            page = yield from self._across(self._edge_page)
        yield from self._meet_next()

    def _meet_next(self) -> Steps[None]:
        """Check that the last page shares a row with the next section's hint; give out its rows that the hint lacks."""
        after, page = self._next, self._edge_page
        if page is None or after is None or after._hint is None or after.top == self.top:
            return  # a section that starts where the next one does has no second of its own
        low, hint = max(self.reach(after._hint), after.bound), after._hint
        hidden = self.between(page, low, after.top, hint)
        if hidden and hidden == self.between(page, low, after.top):
            (more,) = yield [self.state.ask(-inf, after.top)]
            page = more or page
            hidden = self.between(page, low, after.top, hint)
            if len(hidden) >= _FEW_ROWS and hidden == self.between(page, low, after.top):
                raise RestartError("ranges")
        self.give_of(page, hidden)

    def _begin(self) -> Steps[Page | None]:
        """Return the first page; None if the hint shows no ticket, so that there is no section."""
        state, first = self.state, self._first
        if isinstance(first, Page):
            self.frontier = state.bounds[1]
            return first
        (page,) = yield [first]
        if page is None or not page.seconds:
            state.note_depth(first)
            if self.after is not None:
                self.after.before = self.before
            if self.before is not None:
                self.before.after = self.after
            return None
        newest = state.keys(page)[0]
        if newest >= state.high(first) - state.overlap:
            # The hint shows the first rows of its range: the server ignores page numbers.
            state.note_depth(first)
        # The section starts at its hint's first row, or below the seconds that earlier sections have given out.
        key: float = newest - state.overlap + 1
        section, self.before = self.before, None
        while section is not None:
            if section.frontier < key:
                key, self._edge_page = section.frontier, section._edge_page
            section = section.before
        self.top = self.frontier = max(key, self.bound)
        self._hint = page
        return page

    def _read(self, high: float) -> Steps[Page | None]:
        """Ask for the tickets at a key and below it; for one second above, too, until it is known that an end counts.

        The range does not end where the next section starts: a server may read its ends otherwise, and hide tickets.
        """
        state = self.state
        self._asked_up_to = high if state.end_counts else high + 1
        (page,) = yield [state.ask(-inf, self._asked_up_to)]
        return page

    def _cut_the_rest(self, page: Page) -> None:
        """Cut the rest of the list into another lot, if this is the last section: the page's total tells its size."""
        state, left = self.state, page.total - page.position
        if state.slots == 1 or left <= state.full or self.after is not None:
            return
        before = self
        for hint in next_lot(state, left):
            before = Section(state, state.ask(-inf, self.frontier, *hint), before)
            self.behind.append(before)

    def _across(self, page: Page | None) -> Steps[Page | None]:
        """Return the next page below a page, once no ticket can lie between the two; None at the section's end."""
        # `left`: how many tickets lie below the edge, by totals. Infinity: not known; minus infinity: not knowable.
        state, high, left = self.state, self.frontier, inf
        while True:
            after = yield from self._bridged(page, high)
            yield from look_behind(self, page, after)
            edge = self.frontier
            if after is None or edge <= self.bound:
                # The hint of the next section came meanwhile: that section starts at this edge.
                return None
            reach = self.reach(after)
            hides = self._asked_up_to < edge and self._hides(page, after, edge, left)
            if not hides:
                if reach < edge:
                    return after
                if edge < reach < self._asked_up_to:
                    # The answer, asked for from further up, is cut before it comes down to the edge.
                    if reach >= high > edge:
                        raise RestartError("numbers", _NOT_SHOWN)
                    page, high = after, reach
                    continue
                if not after.seconds or after.count < state.full:
                    return (yield from self._find_counted(after, edge))
                page = self._edge_page = after
                left = yield from self._left_below(edge, page, left)
            # A full page that does not come below the edge: ask again without the rows above the edge.
            high = edge - 1
            if hides or max(state.keys(after)) < edge or self._asked_up_to < edge:
                # The answer hides tickets, or is full without those rows, too: a crowd lies below the edge.
                # The frontier moves first, since no section may start inside of the crowd while it is read.
                low = self.frontier = int(max(edge - state.overlap, self.bound))
                crowd = Crowd(self, low, int(edge) - 1, page)
                yield from crowd.read()
                if low <= self.bound:
                    return None
                page, left = None, left - crowd.count if crowd.is_settled else -inf
                # Either way `_read` asks from `low`: from a second lower, fractions of seconds might hide tickets.
                high = low if state.end_counts else low - 1

    def _hides(self, page: Page | None, after: Page, edge: float, left: float) -> bool:
        """Tell whether an answer from below an edge lacks tickets that the page above shows there, or totals count.

        A server may compare fractions that no row shows: a range that ends in a second then hides most of that second.
        """
        below = set[int]() if page is None else {page.ids[place] for place in self.between(page, -inf, edge)}
        return left > after.total or (bool(below) and below.isdisjoint(after.ids))

    def _left_below(self, edge: float, page: Page, left: float) -> Steps[float]:
        """Return how many tickets lie below an edge: by the page if it shows some, else `left`; infinity: not known."""
        if shown := len(self.between(page, -inf, edge)):
            return page.total - (page.position - shown)
        if left < inf or not self.state.end_counts:
            return left
        (above,) = yield [evolve(self.state.ask(edge, self._asked_up_to, size=1), for_rows=False)]
        return inf if above is None else page.total - above.total

    def _bridged(self, page: Page | None, high: float) -> Steps[Page | None]:
        """Read on from a key; once more from further up, if the page has rows from there and no row comes again."""
        state = self.state
        after = yield from self._read(high)
        if page is None or self.reach(page) > high:
            state.believes_filter = True
            return after
        state.edges += 1
        again = 0 if after is None else len({*page.ids}.intersection(after.ids))
        if not again:
            keys = sorted(state.keys(page))
            after, first = (yield from self._read(keys[int((len(keys) - 1) * _FURTHER_UP)])), after
            if after is None or {*page.ids}.isdisjoint(after.ids):
                if not state.bridged:
                    raise RestartError("numbers", _NOT_SHOWN)
                state.flaw("at an edge no ticket came again, so tickets may be missing there")
                return first
        state.bridged = True
        state.repeats_at_edges += (min(again, state.size / 4) - state.repeats_at_edges) / 8
        return after

    def _find_counted(self, page: Page, edge: float) -> Steps[Page | None]:
        """Look on page 2 for the tickets that a page counts and does not show; return the page to go on with."""
        state = self.state
        if page.total != page.count:
            state.flaw(f"the list counts {page.total} tickets in a range, and shows {page.count}")
        (more,) = yield [evolve(page.ask, page=2)]
        if more is not None and more.seconds and self.reach(more) < edge:
            self._edge_page = page
            return more
        page.is_last = True
        return page
