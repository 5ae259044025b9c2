"""A list of tickets in memory that answers as badly as servers do, and moves between any two answers."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from operator import itemgetter
from random import Random
from typing import Literal, TypeAlias
from zlib import crc32

from attrs import define, field

from workorder_async.document import JSON
from workorder_async.document.envelope import Answer
from workorder_async.walks.pages import Ask

BEGAN = 1_600_000_000
FAR = 1 << 60
Row: TypeAlias = tuple[int, int]
"""When a ticket was created, and its id."""


class RefusedError(Exception):
    """A page that the server does not give."""


@define(kw_only=True)
class Habits:
    """What a server does otherwise than the API document lets expect; nothing by default."""

    order: Literal["newest", "oldest", "nearly", "none", "id", "turned", "open last", "updated", "idle"] = "newest"
    """"turned": pages are those of the newest first, and each comes oldest first. "open last": so do twenty tickets.
    "updated": by the latest update, days or months after a ticket was created; "idle": the other way round."""
    filter: Literal["counts", "exclusive", "half", "milliseconds", "shifted", "ignored"] = "counts"
    """Which tickets a range of created time shows; "half": its end does not count, its start does."""
    shift: int = 0
    late: int = 0
    """A range begins so many seconds later than it was asked for ..."""
    early: int = 0
    """... and ends so many seconds earlier."""
    unit: int = 1
    """The ends of a range are rounded to so many seconds, towards its middle: both of them, or one."""
    rounds: Literal["both", "start", "end"] = "both"
    skew: int = 0
    """Times of a list that is nearly sorted are off by so much."""
    size_cap: int = 10**9
    later_cap: int = 10**9
    """No page has more rows; from the sixth request on."""
    cap: int = 10**9
    """No total is larger; `hard`: nor is anything shown that lies behind it."""
    hard: bool = False
    depth: int = 10**9
    """Deeper pages are refused, or with `empty_beyond` empty."""
    empty_beyond: bool = False
    ties: bool = False
    """Whether tickets of one second come in another order with each answer."""
    ties_by_page: bool = False
    """Whether tickets of one second come in another order on each page, which is the same each time."""
    refuses: float = 0.0
    """How often a page that is not the first is refused."""
    ignores_page: bool = False
    factor: float = 1.0
    """What totals are multiplied with."""
    counts_all: bool = False
    """Whether each total is that of the whole list, whatever range is asked for."""
    counts_pages: bool = False
    """Whether a total, and the size of a page, is how many rows this page has."""
    empty: float = 0.0
    """How often an answer comes empty."""
    lag: int = 0
    """Every second answer is as of so many requests before."""
    undated: float = 0.0
    """Which part of the tickets has no created time."""
    undated_before: bool = False
    """Whether a range that has only an end shows these, too."""
    hidden: float = 0.0
    """Which part of the rows is left out of every page after it was made, as rights that are applied late do."""
    echoes_size: bool = False
    """Whether a page says that it has the size that was asked for."""
    stray_size: float = 0.0
    """How often a page says that it has another size."""
    short: float = 0.0
    """How often a page has only some of its rows."""
    bad: range = range(0)
    """Tickets whose rows cannot be read."""
    ignores_size: int = 0
    """Pages always have so many rows."""
    fractions: Literal["none", "cut off", "rounded", "rounded up"] = "none"
    """What is shown of a created time that has milliseconds, by which the list is sorted and filtered."""
    on_the_second: float = 0.0
    """Which part of the tickets has none, as imported ones."""


@define
class ListServer:
    """The list: its tickets by created time; those that left, and may return."""

    random: Random
    rows: list[Row]
    habits: Habits = field(factory=Habits)
    drift: Callable[["ListServer"], None] | None = None
    away: list[Row] = field(factory=list)
    left: set[int] = field(factory=set)
    requests: int = 0
    deepest: int = 0
    shown: int = 0
    """How many rows were given to reads that wanted them."""
    _undated: set[int] = field(factory=set)
    _hidden: set[int] = field(factory=set)
    _ranks: dict[int, float] = field(factory=dict)
    _past: list[list[Row]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        ids, habits = [id for _, id in self.rows], self.habits
        self._undated = {id for id in ids if self.random.random() < habits.undated}
        self._hidden = {id for id in ids if self.random.random() < habits.hidden}

    def rank(self, row: Row) -> float:
        """Return the place of a ticket in a list that is not sorted by time."""
        id = row[1]
        if id not in self._ranks:
            nearly = row[0] + self.random.uniform(0, self.habits.skew)
            rank = nearly if self.habits.order == "nearly" else self.random.random()
            if self.habits.order in ("updated", "idle"):
                rank = row[0] + self.random.expovariate(1 / 86_400) * self.random.choice([1, 1, 1, 60])
            self._ranks[id] = -rank if self.habits.order == "idle" else rank
        return self._ranks[id]

    def instant(self, row: Row) -> float:
        """Return when a ticket was created, with the fraction of a second that it does not show."""
        if (thousandth := crc32(b"%d" % row[1]) % 1000) < 1000 * self.habits.on_the_second:
            return row[0]
        fraction = thousandth / 1000
        return row[0] + {"cut off": fraction, "rounded": fraction - 0.5, "rounded up": -fraction}[self.habits.fractions]

    def read(self, ask: Ask) -> Answer:
        """Return a page as it is now, or refuse it; then the list moves."""
        self.requests += 1
        if self.requests == 6:
            self.habits.size_cap = min(self.habits.size_cap, self.habits.later_cap)
        try:
            return self._page(ask)
        finally:
            if self.drift is not None:
                self.drift(self)

    def _page(self, ask: Ask) -> Answer:
        habits, size = self.habits, min(ask.size, self.habits.size_cap)
        size, page = habits.ignores_size or size, 1 if habits.ignores_page else ask.page
        self.deepest = max(self.deepest, page * size)
        rows = self._in_range(ask.start, ask.end)
        total = int(min(len(self.rows if habits.counts_all else rows), habits.cap) * habits.factor)
        if habits.hard:
            rows = rows[: habits.cap] if habits.order != "newest" else rows[-habits.cap :]
        if page > 1 and habits.refuses and self.random.random() < habits.refuses:
            raise RefusedError
        if page * size > habits.depth and page > 1:
            if not habits.empty_beyond:
                raise RefusedError
            rows = []
        shown = self._ordered(rows, (page - 1) * size, page * size)
        if habits.short and self.random.random() < habits.short:
            shown = shown[: max(1, size // 3)]
        if habits.empty and self.random.random() < habits.empty:
            shown, total = [], 0
        said = self.random.choice([1, 0, -5, 10**9]) if self.random.random() < habits.stray_size else size
        said = ask.size if habits.echoes_size else said
        tickets: list[JSON] = [
            {
                "id": id,
                "created_time": 0 if id in self._undated else time * (1000 if habits.filter == "milliseconds" else 1),
                **({"status": {}} if id in habits.bad else {}),
            }
            for time, id in shown
            if id not in self._hidden
        ]
        self.shown += len(tickets) if ask.for_rows else 0
        if habits.counts_pages:
            said, total = ask.size if habits.echoes_size else len(tickets), len(tickets)
        return Answer({"pagination": {"page_size": said, "total": total}, "tickets": tickets})

    def _in_range(self, start: int | None, end: int | None) -> list[Row]:
        habits, rows = self.habits, self.rows
        if habits.lag:
            self._past = [*self._past, list(rows)][-habits.lag :]
            rows = self._past[0] if self.requests % 2 == 0 else rows
        is_asked = start is not None or end is not None
        low, high = start or 0, FAR if end is None else end
        match habits.filter:
            case "exclusive":
                low, high = low + (start is not None), high - 1
            case "half":
                high -= 1
            case "milliseconds":
                low, high = low // 1000, high // 1000
            case "shifted":
                low, high = low + habits.shift, high + habits.shift
            case "ignored":
                low, high = 0, FAR
        if start is not None:
            unit = 1 if habits.rounds == "end" else habits.unit
            low = -(-(low + habits.late) // unit) * unit
        if end is not None:
            unit = 1 if habits.rounds == "start" else habits.unit
            high = (high - habits.early) // unit * unit
        found = rows[bisect_left(rows, (low, 0)) : bisect_right(rows, (high, FAR))]
        if habits.fractions != "none":
            found = rows[bisect_left(rows, (low - 1, 0)) : bisect_right(rows, (high + 1, FAR))]
            found = sorted((row for row in found if low <= self.instant(row) <= high), key=self.instant)
        if not self._undated or not is_asked:
            return found
        dated = [row for row in found if row[1] not in self._undated]
        shows_all = habits.undated_before and start is None
        return sorted([*dated, *(row for row in rows if row[1] in self._undated)]) if shows_all else dated

    def _ordered(self, rows: list[Row], first: int, last: int) -> list[Row]:
        order = self.habits.order
        if self.habits.ties:
            rows = sorted(rows, key=lambda row: (row[0], self.random.random()))
        if self.habits.ties_by_page:
            rows = sorted(rows, key=lambda row: (row[0], crc32(b"%d %d" % (first, row[1]))))
        if order == "id":
            return sorted(rows, key=itemgetter(1), reverse=True)[first:last]
        if order in ("nearly", "none", "updated", "idle"):
            return sorted(rows, key=self.rank, reverse=True)[first:last]
        if order == "open last":
            rows = sorted(rows, key=lambda row: (row[1] <= 4980, row[0]))
        if order == "oldest":
            return rows[first:last]
        page = rows[max(0, len(rows) - last) : max(0, len(rows) - first)]
        return page if order == "turned" else page[::-1]

    # What people do

    def leave(self, count: int, *, may_return: bool = True) -> None:
        """Let tickets leave, from anywhere."""
        for _ in range(min(count, len(self.rows))):
            row = self.rows.pop(self.random.randrange(len(self.rows)))
            self.left.add(row[1])
            if may_return:
                self.away.append(row)

    def enter(self, count: int) -> None:
        """Let tickets that are not in the list enter at their places."""
        for _ in range(min(count, len(self.away))):
            insort(self.rows, self.away.pop(self.random.randrange(len(self.away))))

    def create(self, count: int) -> None:
        """Let new tickets be created."""
        for _ in range(count):
            last = self.rows[-1] if self.rows else (BEGAN, 0)
            self.rows.append((last[0] + self.random.randrange(2), 10**7 + self.requests * 100 + len(self.rows)))


def evenly(random: Random, count: int, seconds: float = 5.0) -> list[Row]:
    """Return tickets that were created so many seconds apart, on the average."""
    time, rows = float(BEGAN), []
    for id in range(1, count + 1):
        time += random.expovariate(1 / seconds)
        rows.append((int(time), id))
    return rows
