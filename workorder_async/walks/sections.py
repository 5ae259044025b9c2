"""A section of a list that is sorted by created time, read from its first second to its last by one request at a time.

1. An answer that shows all its rows is the truth about its range at one instant. An answer that is cut is the truth
   about all seconds above the second of its last row. So it gives the tickets above that second, and the next request
   begins one second above it: then it does not matter whether the ends of the filter count, or fractions of seconds.
2. So neighbouring answers share a row. That row proves that nothing lies between them, and that the filter does what
   it says. Where none comes again, the list is asked once more from further up. Where still none does, the edge is not
   bridged, and the walk is not exact.
3. Each second belongs to one section: a section gives the tickets below its start, down to the start of the next one.
   The start of a section is known when its hint has come. It is never above a ticket that an earlier section has given.
   Where two sections meet, their pages share a row, too. A hint may be of a ticket that is later than those in front of
   it. These are given by the section that shows them.
4. Where more tickets share a second than a page shows, that second is a crowd (`crowds.py`).
5. A list may be sorted by its ids, which nearly always give the same order. Then a ticket that is later than an edge
   can stand below it, and no page shows it. So the totals of the answers above and below an edge are compared. If the
   answer above counts more tickets than were shown, one more answer is asked for, which shows the hidden ones.
   Where so few rows looked sorted that they may do so by accident, the list is read again as one in no order.
6. A lot is some sections that are read side by side. They should all need equally many requests. Page numbers are hints
   for their starts. A hint is a page that is a little smaller than the others, so that the rows that come again at each
   edge do not cost a request more. A hint that is off makes a section longer or shorter, and loses no ticket.

No total, no clock and no page number has to be believed of a list that is sorted by created time: tickets that leave,
enter or slide in between change nothing.
"""

from bisect import bisect_right
from collections.abc import Callable
from math import inf, prod, sqrt
from operator import neg
from typing import Final, TypeAlias

from attrs import evolve

from workorder_async.walks.crowds import Crowd
from workorder_async.walks.jobs import Job, Steps
from workorder_async.walks.list_state import ListState, RestartError
from workorder_async.walks.pages import Ask, Page, Record

# The number and the size of a page that shows where a section begins.
_Hint: TypeAlias = tuple[int, int]
# From where in a page an edge is read again that was not bridged: 1 is the page's first row.
_FURTHER_UP: Final = 0.75
# Requests of a section. With fewer its ends cost more, with more the rows of others wait longer for their turn.
_REQUESTS: Final = 4
# The last lot has shorter ones, so that all end together; with two, where the list has so few pages.
_LEAST_REQUESTS: Final = 3
_FEW_PAGES: Final = 16
# The cost of the ends of a section, as a part of its rows at the most: with small pages, sections are longer.
_COST: Final = 0.1
_MOST_REQUESTS: Final = 32
# The number of rows that come again varies from edge to edge.
_SPARE: Final = 2.5
_UNBRIDGED: Final = "at an edge no ticket came again, so tickets may be missing there"
_NOT_SHOWN: Final = "asked for a range of created time, the list does not show what it has there"
# Fewer rows may have entered the list, or left it, between two pages.
_FEW_ROWS: Final = 4
# Totals of a list that moves differ by what moved: so many looks, and one more for so many requests.
_LOOKS: Final = 4
_REQUESTS_OF_A_LOOK: Final = 50


class Section(Job):
    """One section: it begins with a page that has come, or with a hint to ask for."""

    def __init__(
        self, state: ListState, add: Callable[["Section"], None], first: Page | Ask, before: "Section | None"
    ) -> None:
        super().__init__(state)
        #: All that lies below this key, and not below the start of the next section, is this one's; infinity until it
        #: is known.
        self.top: float = inf
        #: All of it that lies at this key or above is handed over.
        self.frontier: float = inf
        #: The one before it; until it is known where this one begins.
        self.before = before
        #: The one after it that has tickets, or may have some.
        self.after: Section | None = None
        self._add = add
        self._first = first
        # From which key down the newest answer was asked for.
        self._asked_up_to: float = inf
        # Rows below the frontier that were seen, by their ids, with their keys.
        self._seen: dict[int, tuple[int, Record]] = {}
        # Rows that an earlier section has seen just below its frontier, where this one begins there.
        self._near: list[int] = []
        # The newest page that brought it further down.
        self._page: Page | None = None
        # The tickets of its first page, and the lowest key for which that page shows every ticket.
        self._begins_with: tuple[set[int], float] = (set(), inf)
        if before is not None:
            before.after = self

    @property
    def bound(self) -> float:
        """The key at which it ends, as far as is known."""
        after = self._next
        return self._state.bounds[0] if after is None else after.top

    @property
    def _next(self) -> "Section | None":
        """The section after it whose start is known."""
        after = self.after
        while after is not None and after.top == inf:
            after = after.after
        return after

    def steps(self) -> Steps[None]:
        """Read from the first second to the last."""
        page = first = yield from self._begin()
        self._state.sections += page is not None
        while page is not None:
            keys = self._state.keys(page)
            up = self.frontier
            bound = self.bound
            reach = max(min(self._reach(page, keys), up), bound)
            self._hand_over(page, keys, reach, is_last=reach <= bound)
            if reach < up:
                self._page = page
                self._state.rely_on(keys)
            if page is first:
                self._begins_with = {*page.ids}, reach
            if reach <= bound:
                break
            self._cut_the_rest(page)
            after = yield from self._across(page, keys, is_own=reach < up)
            if after is not None and self._page is not None:
                yield from self._look_behind(self._page, after)
            page = after
        yield from self._meet_next()

    def _meet_next(self) -> Steps[None]:
        """Share a row with the next section, as neighbouring answers do, and give the rows that it does not show."""
        after, page = self._next, self._page
        if after is None or page is None or after.top == self.top:
            return  # no second is its own where the next one begins at the same key
        both, hidden = after._shown_too(page)
        if both and hidden == both:
            (more,) = yield [self._state.ask(-inf, after.top)]
            page = more or page
            both, hidden = after._shown_too(page)
            if hidden == both and len(both) >= _FEW_ROWS:
                raise RestartError("ranges")
        self.give_of(page, hidden)

    def _shown_too(self, page: Page) -> tuple[list[int], list[int]]:
        """Return which rows of a page are of seconds that the first page shows whole, and which of them it lacks."""
        shown, whole_from = self._begins_with
        keys = self._state.keys(page)
        both = [place for place, key in enumerate(keys) if whole_from <= key < self.top]
        return both, [place for place in both if page.ids[place] not in shown]

    def _begin(self) -> Steps[Page | None]:
        """Return the first page; None where there is none, and so no section."""
        state, first = self._state, self._first
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
        keys = state.keys(page)
        if keys[0] >= state.high(first) - state.overlap:
            # These are the first rows of the range: the server ignores page numbers.
            state.note_depth(first)
        # It takes the seconds below its first row, except seconds that an earlier section has given.
        key: float = keys[0] - state.overlap + 1
        section, self.before = self.before, None
        while section is not None:
            if section.frontier < key:
                key, self._near, self._page = section.frontier, [*section._seen], section._page
            section = section.before
        self.top = self.frontier = max(key, self.bound)
        return page

    def _read(self, high: float) -> Steps[Page | None]:
        """Ask for the tickets at a key and below it; a second more is asked for on either side.

        Where the next section begins is not asked for: a server that takes bounds otherwise would hide tickets there.
        """
        state = self._state
        self._asked_up_to = high if state.end_counts else high + 1
        (page,) = yield [state.ask(-inf, self._asked_up_to)]
        return page

    def _reach(self, page: Page, keys: list[int]) -> float:
        """Return the key at which, and above, an answer is the whole truth."""
        if not self._state.is_cut(page):
            return -inf
        return min(keys) + self._state.overlap

    def _hand_over(self, page: Page, keys: list[int], reach: float, *, is_last: bool) -> None:
        """Give the rows between the frontier and a key above which no row can be missing; move the frontier there."""
        state, up, ids, rows = self._state, self.frontier, page.ids, page.rows
        if state.overlap > 1:
            order = sorted(range(len(keys)), key=lambda place: (keys[place] < up) + (keys[place] < reach))
            keys, ids, rows = [keys[i] for i in order], [ids[i] for i in order], [rows[i] for i in order]
        first, last = bisect_right(keys, -up, key=neg), bisect_right(keys, -reach, key=neg)
        shown = self._seen.keys() & ids[first:]
        again = first + len(shown)
        for id in shown:
            del self._seen[id]
        self._give_seen(reach)
        self.give(rows[first:last], ids[first:last], reach)
        if not is_last:
            self._seen.update((ids[i], (keys[i], rows[i])) for i in range(last, len(keys)))
        self.frontier = reach
        if up < inf:
            state.repeats_at_edges += (min(again, state.size / 4) - state.repeats_at_edges) / 8

    def _give_seen(self, reach: float) -> None:
        """Give rows that were seen below the frontier, and have left the list since."""
        for id, (key, row) in [*self._seen.items()]:
            if key >= reach:
                self.give([row], [id])
                del self._seen[id]

    def _cut_the_rest(self, page: Page) -> None:
        """Cut the rest behind the last section into another lot, once an answer tells how much that is."""
        state, left = self._state, page.total - page.position
        if state.slots == 1 or left <= state.full or self.after is not None:
            return
        before = self
        for hint in _next_lot(state, left):
            before = Section(state, self._add, state.ask(-inf, self.frontier, *hint), before)
            self._add(before)

    def _across(self, page: Page, keys: list[int], *, is_own: bool) -> Steps[Page | None]:
        """Return a page that goes on where one ended, and shows that nothing lies between them; None at the end.

        `is_own` tells whether the page that ended brought anything that is this section's.
        """
        state, high = self._state, self.frontier
        near = [id for id, key in zip(page.ids, keys, strict=True) if key <= high] if is_own else self._near
        while True:
            after = yield from self._bridged(page, keys, near, high)
            edge = self.frontier
            if after is None or edge <= self.bound:
                # The next section has begun meanwhile, where this one has come to.
                return None
            if not state.is_cut(after):
                return after
            if not after.seconds:
                return (yield from self._counted(after, edge))
            next_keys = state.keys(after)
            reach = self._reach(after, next_keys)
            if reach < edge:
                return after
            if edge < reach < self._asked_up_to:
                # It was asked for from further up, and does not come down to the edge.
                if reach >= high > edge:
                    raise RestartError("numbers", _NOT_SHOWN)
                page, keys, near, high = after, next_keys, after.ids, reach
                continue
            if after.count < state.full:
                return (yield from self._counted(after, edge))
            if max(next_keys) < edge or self._asked_up_to < edge:
                # It begins below the edge, or was asked for from there and shows what lies above it, too.
                yield from self._crowd(int(edge))
                if self.frontier <= self.bound:
                    return None
            # The rows above need not be shown again.
            below = self.frontier - 1
            near = [id for id, key in zip(after.ids, next_keys, strict=True) if key <= below]
            if high == below:
                near = []
            page, keys, high = after, next_keys if near else [], below

    def _bridged(self, page: Page, keys: list[int], near: list[int], high: float) -> Steps[Page | None]:
        """Read on from a key; and from further up, where of a page that ended near to it no ticket comes again."""
        state = self._state
        after = yield from self._read(high)
        if not near and (not keys or (after is not None and after.seconds)):
            state.believes_filter = True
            return after
        state.edges += 1
        if near and after is not None and not set(near).isdisjoint(after.ids):
            state.bridged += 1
            return after
        again = yield from self._read(sorted(keys)[int((len(keys) - 1) * _FURTHER_UP)])
        if again is not None and not set(page.ids).isdisjoint(again.ids):
            state.bridged += 1
            return again
        if not state.bridged:
            raise RestartError("numbers", _NOT_SHOWN)
        state.flaw(_UNBRIDGED)
        return after

    def _look_behind(self, page: Page, after: Page) -> Steps[None]:
        """Look behind a page for tickets that it counts and does not show, and that the answer after it does not count.

        Such tickets stand below its last rows, and are later in time. An answer that shows both proves that the list is
        in no order.
        """
        state = self._state
        if state.flaws:
            return
        state.keys(after)  # tells whether the ends of a range count
        high, low, keys = state.high(page.ask), state.high(after.ask), state.keys(page)
        above = page.position - len([key for key in keys if key < low + state.end_counts])
        if page.total - above <= after.total or state.looks >= _LOOKS + state.requests // _REQUESTS_OF_A_LOOK:
            return
        state.looks += 1
        hint = _hint_at(state, max(0, above - state.full // 4))
        (more,) = yield [state.ask(min(keys) - 1, high, *hint)]
        if more is not None and more.seconds:
            surely = min(keys) + state.overlap
            whole = {id for id, key in zip(more.ids, state.keys(more), strict=True) if key >= surely}
            hidden = len(whole.difference(page.ids))
            if page is self._first and hidden >= _FEW_ROWS and hidden * 4 > len(whole):
                raise RestartError("ranges")

    def _crowd(self, edge: int) -> Steps[None]:
        """Read the seconds below an edge, of which a page shows only a part."""
        low = int(max(edge - self._state.overlap, self.bound))
        # No section may begin inside of it.
        self.frontier = low
        known = {id for id, (key, _) in self._seen.items() if key >= low}
        self._give_seen(low)
        yield from Crowd(self._state, low, edge - 1, known, self.give_of).read()

    def _counted(self, page: Page, edge: float) -> Steps[Page | None]:
        """Look for the tickets that a page counts and does not show; return a page to go on with."""
        state = self._state
        state.flaw(f"the list counts {page.total} tickets in a range, and shows {page.count}")
        (more,) = yield [evolve(page.ask, page=2)]
        if more is not None and more.seconds and min(state.keys(more)) + state.overlap < edge:
            return more
        page.is_last = True
        return page


def _next_lot(state: ListState, left: int) -> list[_Hint]:
    """Return where the next sections begin, where `left` rows are left behind an answer.

    The last one leads the next lot: behind it the list is cut again.
    """
    least = 2 if left <= _FEW_PAGES * state.full else _LEAST_REQUESTS
    smaller = state.full - _largest_hint(state)
    while smaller + _spare(state, least) > _COST * least * state.full and least < _MOST_REQUESTS:
        least += 1
    for requests in range(least, max(least, _REQUESTS) + 1):
        hints, end = _sections(state, requests, state.slots - 1, left)
        if end >= left:
            return hints
    return _sections(state, max(least, _REQUESTS), state.slots, left)[0]


def _sections(state: ListState, requests: int, most: int, left: int) -> tuple[list[_Hint], float]:
    """Cut sections of so many requests each; returns their hints, and how many rows they cover."""
    hints: list[_Hint] = []
    behind_hint = (requests - 1) * max(1.0, state.full - state.repeats_at_edges) - _spare(state, requests)
    end = behind_hint
    while end < left and len(hints) < most and end < state.deepest - state.full:
        hints.append(_hint_at(state, end))
        end = prod(hints[-1]) + behind_hint
    return hints, end


def _hint_at(state: ListState, place: float) -> _Hint:
    """Return the hint that reaches furthest, and has no more rows than this in front of it."""
    largest = _largest_hint(state)
    pages = max(1, int(place // largest))
    return max((pages + 1, largest), (pages + 2, max(1, int(place // (pages + 1)))), key=prod)


def _largest_hint(state: ListState) -> int:
    return max(1, int(state.full - max(2, state.full // 32, state.repeats_at_edges + 1)))


def _spare(state: ListState, requests: int) -> float:
    """Return how many rows a section reads beyond its end: the row behind it, those of its second, some to spare."""
    return 1 + state.repeats_at_edges + _SPARE * sqrt(requests - 1)
