"""A section of a list that is sorted by created time, read from its first second to its last by one request at a time.

1. An answer that shows all its rows is the truth about its range at one instant. An answer that is cut is the truth
   about all seconds above the second of its last row. So it gives the tickets above that second, and the next request
   begins one second above it: then it does not matter whether the ends of the filter count, or fractions of seconds.
2. So neighbouring answers share a row. That row proves that nothing lies between them, and that the filter does what
   it says. Where none comes again, nor when asked from further up, the edge is not bridged, and the walk is not exact.
3. Each second belongs to one section: a section gives the tickets below its start, down to the start of the next one.
   The start of a section is known when its hint has come. It is never above a ticket that an earlier section has given.
   Where two sections meet, their pages share a row, too: a hint may be of a ticket that is later than those before it.
4. Where more tickets share a second than a page shows, that second is a crowd (`crowds.py`). An answer from below an
   edge is held against the rows and the totals of the page above.
5. A list may only look sorted: the totals of the answers above and below an edge tell (`disorder.py`). Where so few
   rows looked sorted that they may do so by accident, the list is read again as one in no order.
6. Sections are read side by side. A hint that is off makes one longer or shorter, and loses no ticket (`lots.py`).

No total, no clock and no page number has to be believed of a list that is sorted by created time: tickets that leave,
enter or slide in between change nothing.
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

# From where in a page an edge is read again that was not bridged: 1 is the page's first row.
_FURTHER_UP: Final = 0.75
_NOT_SHOWN: Final = "asked for a range of created time, the list does not show its tickets there"
# Fewer rows may have entered the list, or left it, between two pages.
_FEW_ROWS: Final = 4


@define(eq=False)
class Section(Job):
    """One section: it begins with a page that has come, or with a hint to ask for."""

    _first: Page | Ask
    before: "Section | None" = None
    """The one before it; until it is known where this one begins."""
    after: "Section | None" = field(default=None, init=False)
    """The one after it that has tickets, or may have some."""
    top: float = field(default=inf, init=False)
    """Its tickets lie below this key, and not below the start of the next section; infinity until it is known."""
    frontier: float = field(default=inf, init=False)
    """All of it that lies at this key or above is handed over."""
    _asked_up_to: float = field(default=inf, init=False)
    """From which key down the newest answer was asked for."""
    _page: Page | None = field(default=None, init=False)
    """The newest page that brought it, or one before it, down to the frontier."""
    _hint: Page | None = field(default=None, init=False)
    """The page that showed where it begins."""

    def __attrs_post_init__(self) -> None:
        if self.before is not None:
            self.before.after = self

    @property
    def bound(self) -> float:
        """The key at which it ends, as far as is known."""
        after = self._next
        return self.state.bounds[0] if after is None else after.top

    @property
    def _next(self) -> "Section | None":
        """The section after it whose start is known."""
        after = self.after
        while after is not None and after.top == inf:
            after = after.after
        return after

    def steps(self) -> Steps[None]:
        """Read from the first second to the last."""
        page = yield from self._begin()
        self.state.sections += page is not None
        while page is not None:
            up, bound = self.frontier, self.bound
            reach = self.frontier = max(min(self.reach(page), up), bound)
            if self._page is not None and page is not self._hint:
                # Rows that the page before showed below its end, and this page does not show.
                self.give_of(self._page, self.between(self._page, reach, up, page))
            self.give_of(page, self.between(page, reach, up), reach)
            if reach < up:
                self._page = page
                self.state.rely_on(self.state.keys(page))
            if reach <= bound:
                break
            self._cut_the_rest(page)
            page = yield from self._across(self._page)
        yield from self._meet_next()

    def _meet_next(self) -> Steps[None]:
        """Share a row with the next section, as neighbouring answers do, and give the rows that it does not show."""
        after, page = self._next, self._page
        if page is None or after is None or after._hint is None or after.top == self.top:
            return  # no second is its own where the next one begins at the same key
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
        """Return the first page; None where there is none, and so no section."""
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
            # These are the first rows of the range: the server ignores page numbers.
            state.note_depth(first)
        # It takes the seconds below its first row, except seconds that an earlier section has given.
        key: float = newest - state.overlap + 1
        section, self.before = self.before, None
        while section is not None:
            if section.frontier < key:
                key, self._page = section.frontier, section._page
            section = section.before
        self.top = self.frontier = max(key, self.bound)
        self._hint = page
        return page

    def _read(self, high: float) -> Steps[Page | None]:
        """Ask for the tickets at a key and below it; a second more is asked for on either side.

        Where the next section begins is not asked for: a server that takes bounds otherwise would hide tickets there.
        """
        state = self.state
        self._asked_up_to = high if state.end_counts else high + 1
        (page,) = yield [state.ask(-inf, self._asked_up_to)]
        return page

    def _cut_the_rest(self, page: Page) -> None:
        """Cut the rest behind the last section into another lot, once an answer tells how much that is."""
        state, left = self.state, page.total - page.position
        if state.slots == 1 or left <= state.full or self.after is not None:
            return
        before = self
        for hint in next_lot(state, left):
            before = Section(state, state.ask(-inf, self.frontier, *hint), before)
            self.behind.append(before)

    def _across(self, page: Page | None) -> Steps[Page | None]:
        """Return a page that goes on where one ended, and shows that nothing lies between them; None at the end."""
        # How many tickets lie below the edge, as far as the totals tell; infinity where they do not.
        state, high, left = self.state, self.frontier, inf
        while True:
            after = yield from self._bridged(page, high)
            yield from look_behind(self, page, after)
            edge = self.frontier
            if after is None or edge <= self.bound:
                # The next section has begun meanwhile, where this one has come to.
                return None
            reach = self.reach(after)
            hides = self._asked_up_to < edge and self._hides(page, after, edge, left)
            if not hides:
                if reach < edge:
                    return after
                if edge < reach < self._asked_up_to:
                    # It was asked for from further up, and does not come down to the edge.
                    if reach >= high > edge:
                        raise RestartError("numbers", _NOT_SHOWN)
                    page, high = after, reach
                    continue
                if not after.seconds or after.count < state.full:
                    return (yield from self._counted(after, edge))
                page = self._page = after
                left = yield from self._left_below(edge, page, left)
            # The rows above need not be shown again.
            high = edge - 1
            if hides or max(state.keys(after)) < edge or self._asked_up_to < edge:
                # The answer begins below the edge, or was asked for from there and also shows rows above it.
                # No section may begin inside of the crowd that lies below the edge.
                low = self.frontier = int(max(edge - state.overlap, self.bound))
                crowd = Crowd(self, low, int(edge) - 1, page)
                yield from crowd.read()
                if low <= self.bound:
                    return None
                page, left = None, left - crowd.count if crowd.is_settled else -inf
                # Where fractions count, a range that ends a second earlier would hide most of the next second.
                high = low if state.end_counts else low - 1

    def _hides(self, page: Page | None, after: Page, edge: float, left: float) -> bool:
        """Tell whether an answer from below an edge hides tickets that lie there: a page shows, or totals count them.

        Fractions of seconds may count that no row shows. Then most of the second that a range ends in is hidden.
        """
        below = set[int]() if page is None else {page.ids[place] for place in self.between(page, -inf, edge)}
        return left > after.total or (bool(below) and below.isdisjoint(after.ids))

    def _left_below(self, edge: float, page: Page, left: float) -> Steps[float]:
        """Return how many tickets lie below an edge: if it is not known, by the total of a page that is full above."""
        if shown := len(self.between(page, -inf, edge)):
            return page.total - (page.position - shown)
        if left < inf or not self.state.end_counts:
            return left
        (above,) = yield [evolve(self.state.ask(edge, self._asked_up_to, size=1), for_rows=False)]
        return inf if above is None else page.total - above.total

    def _bridged(self, page: Page | None, high: float) -> Steps[Page | None]:
        """Read on from a key; and from further up, where of a page that has rows from there no ticket comes again."""
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

    def _counted(self, page: Page, edge: float) -> Steps[Page | None]:
        """Look for the tickets that a page counts and does not show; return a page to go on with."""
        state = self.state
        if page.total != page.count:
            state.flaw(f"the list counts {page.total} tickets in a range, and shows {page.count}")
        (more,) = yield [evolve(page.ask, page=2)]
        if more is not None and more.seconds and self.reach(more) < edge:
            self._page = page
            return more
        page.is_last = True
        return page
