"""A crowd: one or more seconds that hold more tickets than a page shows. Only here page numbers have to be right.

The pages of a crowd are read side by side, in passes, until two passes show the same rows in the same places: then no
row has slid from one page to another between two requests. The crowd is *settled* if in this pass each row came once,
no page was refused, and as many rows came as the total says. If not, the walk is not exact, and names the second.
"""

from collections import Counter
from typing import Final, TypeAlias

from workorder_async.walks.jobs import Job, Steps
from workorder_async.walks.pages import Ask, Page

_Shown: TypeAlias = list[tuple[int, ...] | None]

_PASSES: Final = 4


class Crowd:
    """All tickets with keys from `low` to `high`; `job` gives them out. `page` may have shown some of them before."""

    def __init__(self, job: Job, low: int, high: int, page: Page | None = None) -> None:
        self._job, self._state = job, job.state
        self._low, self._high = low, high
        first, last = sorted([abs(low), abs(high)])
        self._seconds = range(first, last + 1)
        rows = [] if page is None else zip(page.ids, page.seconds, strict=True)
        self._expected = {id for id, second in rows if second in self._seconds}
        self._given = set[int]()
        # Of the current pass: the ids of each page, None for a refused page; all ids; the largest total; how many
        # tickets of the crowd came, by their seconds.
        self._shown: _Shown = []
        self._came = set[int]()
        self._total = 0
        self._rows = Counter[int]()
        #: Whether the last pass is known to have shown all tickets of the crowd.
        self.is_settled: bool = False

    def read(self) -> Steps[None]:
        """Read the pages until two passes agree."""
        state = self._state
        (page,) = yield [self._ask(1)]
        before: _Shown = []
        for _ in range(_PASSES):
            self._shown = shown = list[tuple[int, ...] | None]()
            self._came, self._total, self._rows = set(), 0, Counter()
            yield from self._job.pages_by_number(self._ask, page, self._take)
            if shown == before or (len(shown) == 1 and page is not None and page.count and not state.is_cut(page)):
                self.is_settled = self._is_whole(shown)
                break
            before, page = shown, None
        # The range also has seconds beside the crowded one: only a second of a page or more is counted. If all of them
        # fill a page only together, they count as one.
        state.crowded_seconds += sum(rows >= state.full for rows in self._rows.values()) or self.count >= state.full
        if self.is_settled:
            state.largest_crowd = max(state.largest_crowd, sum(len(ids) for ids in self._shown if ids))
            return
        which = " to ".join(map(str, sorted({self._seconds[0], self._seconds[-1]})))
        state.flaw(
            f"more tickets than a page shows were created in second {which}, and they moved, or not all are shown"
        )

    @property
    def count(self) -> int:
        """How many tickets of the crowd the last pass showed."""
        return self._rows.total()

    def _ask(self, page: int) -> Ask:
        # A margin of a second: a server may not show the end seconds of a range, or only part of them.
        return self._state.ask(self._low - 1, self._high + 1, page)

    def _is_whole(self, shown: _Shown) -> bool:
        """Tell whether the pages of a pass show all tickets of the crowd, and some that were shown before it."""
        ids = [id for page in shown if page is not None for id in page]
        is_shared = not self._expected or not self._expected.isdisjoint(ids)
        return is_shared and None not in shown and len(ids) == len(set(ids)) >= self._total

    def _take(self, page: Page | None) -> int:
        """Give out the new rows of a page; return how many tickets it shows that did not come before in this pass."""
        self._shown.append(None if page is None else tuple(page.ids))
        if page is None:
            return 0
        mine = [place for place, second in enumerate(page.seconds) if second in self._seconds]
        new = [place for place in mine if page.ids[place] not in self._given]
        self._rows.update(page.seconds[place] for place in mine)
        self._given.update(page.ids[place] for place in new)
        self._job.give_of(page, new)
        self._total, before = max(self._total, page.total), len(self._came)
        self._came.update(page.ids)
        return len(self._came) - before
