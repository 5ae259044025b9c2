"""A job: a piece of a walk, such as a section, written as a generator of questions. No I/O.

    Job.steps  yields a list of asks    ->  `wanted`, as reads  ->  WalkRules.next_read  ->  the walk sends them
    Job.steps  is sent the pages        <-  Job.take_in, once all of the list came  <-  WalkRules.receive
    Job.give   rows                     ->  `ready`             ->  WalkRules.take, once all jobs before are done

`WalkRules` keeps the jobs in the order in which their tickets are given out; many of them ask side by side.
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
"""Steps of a job: it yields any number of asks at once, and is sent their pages; None for a refused one."""


@define(eq=False)
class WalkedPage:
    """Rows to give out, each for the first time."""

    _state: ListState = field(repr=False)
    rows: Sequence[Record] = ()
    ids: list[int] = field(factory=list, repr=False)
    """The rows' ids."""
    frontier: float = inf
    """The key down to which all tickets are given out with this page (see `list_state.py`); infinity: not known."""
    is_undated: bool = False
    """Whether these are rows without a created time."""
    begun: float = inf
    """The frontier of the newest page with a frontier that was given out before this one; infinity if none was."""
    again: list[int] = field(factory=list, repr=False)
    """The ids given out below `begun`, those of this page among them: a walk of `rest` shows them once more."""

    @property
    def total(self) -> int:
        """How many tickets the list has, by its first answer; -1 where nothing tells."""
        return self._state.first_total

    @property
    def rest(self) -> Window | None:
        """The window that a later walk goes on with once this page was taken; None if the rest is no window.

        The window begins with this page, not behind it: only an answer that shares a row with this page shows that no
        ticket lies between the two.
        """
        state = self._state
        return None if state.rest(self.frontier) is None else state.rest(self.begun) or state.window


@define(eq=False)
class Read:
    """A request to send for a job."""

    ask: Ask
    job: "Job"
    place: int
    """The place of its page among the pages that the job is sent."""
    times: int = 1
    """Which attempt it is: an answer that may be an accident is asked for again."""
    before: Page | None = field(default=None, repr=False)
    """Page 1, if page 2 is asked for only to learn whether page 1 is the last one."""


@define(eq=False)
class Job:
    """One piece of a walk. A subclass writes `steps`, which asks for pages and gives their rows out by `give`."""

    asks_again: ClassVar[bool] = True
    """Whether `WalkRules` asks once more after an empty answer."""
    state: ListState = field(repr=False)
    ready: deque[WalkedPage] = field(factory=deque, init=False, repr=False)
    wanted: deque[Read] = field(factory=deque, init=False, repr=False)
    """The reads to send next."""
    behind: list["Job"] = field(factory=list, init=False, repr=False)
    """Further jobs, whose tickets follow those of this job; `WalkRules` takes them over."""
    held: int = field(default=0, init=False)
    """How many rows are in `ready`."""
    is_begun: bool = field(default=False, init=False)
    is_done: bool = field(default=False, init=False)
    is_left: bool = field(default=False, init=False)
    """Whether the walk restarted without this job: late answers for it are dropped."""
    _replies: list[Page | None] = field(factory=list, init=False, repr=False)
    _missing: int = field(default=0, init=False)
    _steps: Steps[None] = field(default=Factory(lambda job: job.steps(), takes_self=True), init=False, repr=False)

    def steps(self) -> Steps[None]:
        """Yield asks, and be sent their pages."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin the steps, up to the first asks."""
        if not self.is_begun:
            self.is_begun = True
            self._go_on(None)

    def take_in(self, read: Read, page: Page | None) -> None:
        """Take in the page of a read (None: refused); go on once the pages of all asks came."""
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
        """Return the page of an ask, asked for once more if it is refused: a server may be busy just then."""
        (page,) = yield [ask]
        if page is None:
            (page,) = yield [ask]
        return page

    def reach(self, page: Page) -> float:
        """Return the smallest key from which upwards an answer shows all tickets of its range."""
        if not self.state.is_cut(page):
            return -inf
        return min(self.state.keys(page), default=inf) + self.state.overlap

    def between(self, page: Page, low: float, high: float, other: Page | None = None) -> list[int]:
        """Return the places of the rows of a page with `low` <= key < `high` that are not on another page as well."""
        places = [place for place, key in enumerate(self.state.keys(page)) if low <= key < high]
        return places if other is None else [place for place in places if page.ids[place] not in other.ids]

    def give(self, rows: Sequence[Record], ids: list[int], frontier: float = inf, *, is_undated: bool = False) -> None:
        """Have rows given out, once all jobs before this one are done."""
        if ids:
            self.held += len(ids)
            self.ready.append(WalkedPage(self.state, rows, ids, frontier, is_undated))

    def give_of(self, page: Page, places: Sequence[int], frontier: float = inf) -> None:
        """Have the rows at these places of a page given out."""
        self.give([page.rows[place] for place in places], [page.ids[place] for place in places], frontier)

    def pages_by_number(
        self, ask: Callable[[int], Ask], first: Page | None, take: Callable[[Page | None], int]
    ) -> Steps[None]:
        """Read pages by their numbers, side by side, to the last one, or until `take` finds no new ticket on any."""
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
        """Return the next ready rows, at most `most` of them."""
        page = self.ready[0]
        if len(page.ids) > most:
            first = evolve(page, rows=page.rows[:most], ids=page.ids[:most], frontier=inf)
            page.rows, page.ids = page.rows[most:], page.ids[most:]
            page = first
        else:
            self.ready.popleft()
        self.held -= len(page.ids)
        return page
