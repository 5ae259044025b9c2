"""A crowd: seconds that hold more tickets than a page shows. Only here page numbers count.

Its pages are read side by side, and again until two passes show the same rows in the same places: then no row has slid
from page to page between two reads. That they are all is believed where each row came once, no page was refused, and
as many came as the list counts. Else the walk says which second could not be settled.
"""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Final, TypeAlias

from workorder_async.walks.jobs import Steps
from workorder_async.walks.list_state import ListState
from workorder_async.walks.pages import Ask, Page

_Give: TypeAlias = Callable[[Page, Sequence[int]], None]
_Shown: TypeAlias = list[tuple[int, ...] | None]

_PASSES: Final = 4


class Crowd:
    """All tickets whose keys are from `low` to `high`. Tickets that are not `known` are given, each once."""

    def __init__(self, state: ListState, low: int, high: int, known: set[int], give: _Give) -> None:
        self._margin = 0 if low == high else 1
        self._state = state
        self._low, self._high = low, high
        self._first, self._last = sorted([abs(low), abs(high)])
        self._known = known
        self._expected = frozenset(known)
        self._give = give
        # How many tickets the list counted in the last pass.
        self._total = 0

    def read(self) -> Steps[None]:
        """Read the pages until two passes agree."""
        state = self._state
        state.crowded_seconds += self._last - self._first + 1
        (page,) = yield [self._ask(1)]
        if not self._margin and (page is None or self._first not in page.seconds):
            # Nothing is shown of a single second where the ends of a range do not count, or are a second off.
            self._margin = 1
            (page,) = yield [self._ask(1)]
        before: _Shown = []
        why = "they moved while they were read"
        for _ in range(_PASSES):
            shown = yield from self._pass(page)
            if shown == before or (len(shown) == 1 and page is not None and page.count and not state.is_cut(page)):
                if self._is_whole(shown):
                    state.largest_crowd = max(state.largest_crowd, sum(len(ids) for ids in shown if ids))
                    return
                why = "not all of them are shown by page numbers"
                break
            before, page = shown, None
        which = " to ".join(map(str, sorted({self._first, self._last})))
        state.flaw(f"more tickets than a page shows were created in second {which}, and {why}")

    def _ask(self, page: int) -> Ask:
        return self._state.ask(self._low - self._margin, self._high + self._margin, page)

    def _pass(self, first: Page | None) -> Steps[_Shown]:
        """Read the pages once; returns the ids of each, None for a page that was refused."""
        state = self._state
        pages: list[Page | None] = [first] if first else (yield [self._ask(1)])
        self._total = max((page.total for page in pages if page), default=0)
        last = ceil(self._total / max(1, state.full))
        shown: _Shown = []
        came: set[int] = set()
        while True:
            end, seen = pages[-1], len(came)
            for page in pages:
                shown.append(None if page is None else tuple(page.ids))
                if page is not None:
                    came.update(page.ids)
                    self._give_new(page)
            if len(came) == seen or end is None or not state.is_cut(end):
                return shown
            number = len(shown) + 1
            beyond = max(number + 1, min(number + state.slots, last + 1))
            pages = yield [self._ask(page) for page in range(number, beyond)]

    def _is_whole(self, shown: _Shown) -> bool:
        """Tell whether pages that came twice in the same way show all that there is, and a ticket that was known."""
        ids = [id for page in shown if page is not None for id in page]
        is_shared = not self._expected or not self._expected.isdisjoint(ids)
        return is_shared and None not in shown and len(ids) == len(set(ids)) >= self._total

    def _give_new(self, page: Page) -> None:
        new = [
            place
            for place, (id, second) in enumerate(zip(page.ids, page.seconds, strict=True))
            if self._first <= second <= self._last and id not in self._known
        ]
        self._known.update(page.ids[place] for place in new)
        self._give(page, new)
