"""A job: a piece of a walk as a generator. It yields pages to ask for, and is sent their answers. No I/O.

Jobs stand in the order in which their tickets are to be given out. Each keeps its pages until its turn has come.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from math import ceil, inf
from typing import ClassVar, TypeAlias, TypeVar

from attrs import Factory, define, evolve, field

from workorder_async.walks.list_state import ListState
from workorder_async.walks.pages import Ask, Page, Record
from workorder_async.walks.windows import Window

_T = TypeVar("_T")
Steps: TypeAlias = Generator[list[Ask], list[Page | None], _T]
"""Steps of a job: it yields pages to ask for, any number at once, and is sent them; None for a refused page."""


@define(eq=False)
class WalkedPage:
    """Rows that had not been given out."""

    _state: ListState = field(repr=False)
    rows: Sequence[Record] = ()
    ids: list[int] = field(factory=list, repr=False)
    """The rows' ids."""
    frontier: float = inf
    """The key down to which everything was given out with this page (see `list_state.py`)."""
    is_undated: bool = False
    """Whether these are rows without a created time."""
    begun: float = inf
    """The frontier of the newest page before it that has one; infinity where there is none."""
    again: list[int] = field(factory=list, repr=False)
    """The ids that came since then, with those of this page: `rest` shows them once more."""

    @property
    def total(self) -> int:
        """How many tickets the list has, by its first answer; -1 where nothing tells."""
        return self._state.first_total

    @property
    def rest(self) -> Window | None:
        """The part of the list that a later walk goes on with once this page was taken; None where that is no range.

        It begins with this page, not behind it: only a walk of two pages shows whether a ticket lies between them.
        """
        state = self._state
        return None if state.rest(self.frontier) is None else state.rest(self.begun) or state.window


@define(eq=False)
class Read:
    """A read that is wanted: send `ask`."""

    ask: Ask
    job: "Job"
    place: int
    """The place of its answer among the answers that the job waits for."""
    times: int = 1
    """How often it is asked for: once more after an answer that is not to be believed."""
    before: Page | None = field(default=None, repr=False)
    """The page before it, which does not tell whether it is the last one."""


@define(eq=False)
class Job:
    """One piece of a walk. Subclasses read in `steps`, and give rows by `give`."""

    asks_again: ClassVar[bool] = True
    """Whether `WalkRules` asks once more after an empty answer."""
    state: ListState = field(repr=False)
    ready: deque[WalkedPage] = field(factory=deque, init=False, repr=False)
    wanted: deque[Read] = field(factory=deque, init=False, repr=False)
    """The reads that it wants next."""
    behind: list["Job"] = field(factory=list, init=False, repr=False)
    """Further jobs, whose tickets follow its own; `WalkRules` takes them."""
    held: int = field(default=0, init=False)
    """How many rows wait for their turn."""
    is_begun: bool = field(default=False, init=False)
    is_done: bool = field(default=False, init=False)
    is_left: bool = field(default=False, init=False)
    """Whether its answers do not matter any more."""
    _replies: list[Page | None] = field(factory=list, init=False, repr=False)
    _missing: int = field(default=0, init=False)
    _steps: Steps[None] = field(default=Factory(lambda job: job.steps(), takes_self=True), init=False, repr=False)

    def steps(self) -> Steps[None]:
        """Yield pages to ask for, and take in the pages that came."""
        raise NotImplementedError

    def start(self) -> None:
        """Go as far as is possible without an answer."""
        if not self.is_begun:
            self.is_begun = True
            self._go_on(None)

    def take_in(self, read: Read, page: Page | None) -> None:
        """Go on with the page of a read; None if the server refused it."""
        self._replies[read.place] = page
        self._missing -= 1
        if not self._missing:
            self._go_on(self._replies)

    def _go_on(self, replies: list[Page | None] | None) -> None:
        try:
            asks = self._steps.send(replies) if replies is not None else next(self._steps)
        except StopIteration:
            self.is_done, self._replies = True, []
            return
        self._missing = len(asks)
        self._replies = [None for _ in asks]
        self.wanted.extend(Read(ask, self, place) for place, ask in enumerate(asks))

    def answer(self, ask: Ask) -> Steps[Page | None]:
        """Ask a question, and once more if it is refused: a server may be busy just then."""
        (page,) = yield [ask]
        if page is None:
            (page,) = yield [ask]
        return page

    def reach(self, page: Page) -> float:
        """Return the key at which, and above, an answer is the whole truth."""
        if not self.state.is_cut(page):
            return -inf
        return min(self.state.keys(page), default=inf) + self.state.overlap

    def between(self, page: Page, low: float, high: float, other: Page | None = None) -> list[int]:
        """Return which rows of a page lie below one key, not below another, and do not come on another page as well."""
        places = [place for place, key in enumerate(self.state.keys(page)) if low <= key < high]
        return places if other is None else [place for place in places if page.ids[place] not in other.ids]

    def give(self, rows: Sequence[Record], ids: list[int], frontier: float = inf, *, is_undated: bool = False) -> None:
        """Have rows given out when the turn of this job has come."""
        if ids:
            self.held += len(ids)
            self.ready.append(WalkedPage(self.state, rows, ids, frontier, is_undated))

    def give_of(self, page: Page, places: Sequence[int], frontier: float = inf) -> None:
        """Have some rows of a page given out."""
        self.give([page.rows[place] for place in places], [page.ids[place] for place in places], frontier)

    def pages_by_number(
        self, ask: Callable[[int], Ask], first: Page | None, take: Callable[[Page | None], int]
    ) -> Steps[None]:
        """Read pages by their numbers, side by side, until `take` finds nothing new on them."""
        state, number = self.state, 1
        pages: list[Page | None] = [first] if first else (yield [ask(1)])
        while True:
            news = [take(page) for page in pages]
            number += len(pages)
            end = pages[-1]
            if end is None or not any(news) or not (state.is_cut(end) or end.position < end.total):
                return
            left = ceil(end.total / max(1, state.full)) + 1 - number
            if left < -1 and 2 * max(news) < end.count:
                # The server shows its first page for every page number, and the new tickets came meanwhile.
                return
            pages = yield [ask(number + further) for further in range(max(1, min(state.slots, left)))]

    def next_page(self, most: int) -> WalkedPage:
        """Return the next rows that are ready, so many at the most."""
        page = self.ready[0]
        if len(page.ids) > most:
            first = evolve(page, rows=page.rows[:most], ids=page.ids[:most], frontier=inf)
            page.rows, page.ids = page.rows[most:], page.ids[most:]
            page = first
        else:
            self.ready.popleft()
        self.held -= len(page.ids)
        return page
