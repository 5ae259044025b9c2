"""The list by its page numbers, as a plain walk reads it: each ticket once by its id, and nothing is claimed.

The last resort, where the list cannot be asked for a range of created time, or counts tickets that no such range shows.
"""

from math import ceil, inf

from workorder_async.walks.jobs import Job, Steps
from workorder_async.walks.list_state import ListState
from workorder_async.walks.pages import Page


class NumberedPages(Job):
    """All pages of the list, side by side, until some bring nothing new."""

    def __init__(self, state: ListState, first: Page | None = None) -> None:
        super().__init__()
        self._state = state
        self._first = first
        self._came: set[int] = set()

    def steps(self) -> Steps:
        """Read page after page."""
        state, number = self._state, 1
        pages: list[Page | None] = [self._first] if self._first else (yield [state.ask(-inf, inf)])
        while True:
            news = [page is not None and self._give_new(page) for page in pages]
            number += len(pages)
            page = pages[-1]
            if page is None or not any(news) or (not news[-1] and not state.is_cut(page)):
                return
            behind = ceil(page.total / max(1, state.full)) + 2 - number
            if behind <= 1 and not state.is_cut(page):
                return
            count = max(1, min(state.slots, behind))
            pages = yield [state.ask(-inf, inf, number + further) for further in range(count)]

    def _give_new(self, page: Page) -> bool:
        """Give the tickets of the window that did not come before; whether the page showed any, also outside of it."""
        before, owns = len(self._came), self._state.window.owns
        dated = enumerate(zip(page.ids, page.seconds, strict=True))
        mine = [place for place, (id, second) in dated if id not in self._came and owns(second)]
        self._came.update(page.ids, (id for id, _ in page.undated))
        self.give([page.rows[place] for place in mine], [page.ids[place] for place in mine])
        return len(self._came) > before
