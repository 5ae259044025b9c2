"""Games: walks of hostile lists in virtual time, with answers in any order. No socket, no clock, no event loop."""

from heapq import heappop, heappush
from math import ceil

from attrs import define, field

from tests.support.list_server import ListServer, RefusedError
from workorder_async import TicketQuery
from workorder_async.document.envelope import Answer
from workorder_async.walk_report import WalkReport
from workorder_async.walks.jobs import Read
from workorder_async.walks.options import walk_options
from workorder_async.walks.pages import Proofs
from workorder_async.walks.rules import WalkRules
from workorder_async.walks.windows import Window

LATENCY = 0.05


@define
class Game:
    """One walk of one server; a request takes `LATENCY`, up to so many times as long with `jitter`.

    With `slow`, so many of its two ways take two hundred times as long.
    """

    server: ListServer
    slots: int = 8
    size: int = 100
    jitter: float = 0.0
    slow: float = 0.0
    window: Window = field(factory=lambda: Window(TicketQuery()))
    proofs: Proofs = field(factory=Proofs)
    came: list[int] = field(factory=list)
    time: float = 0.0
    first_at: float = 0.0
    held: int = 0
    tickets: int = 0
    _before: set[int] = field(factory=set)

    def play(self) -> WalkReport:
        """Walk to the end."""
        self._before = {id for _, id in self.server.rows}
        self.tickets = len(self._before)
        rules = WalkRules(self.window, walk_options(page_size=self.size, concurrency=self.slots), self.proofs)
        rules.reader.raw = True
        events: list[tuple[float, int, Read, Answer | None]] = []
        sent = under_way = 0
        while not rules.finished:
            while (page := rules.take()) is not None:
                self.first_at = self.first_at or self.time
                self.came += page.ids
            while under_way < self.slots and (read := rules.next_read()) is not None:
                under_way, sent = under_way + 1, sent + 1
                heappush(events, (self.time + self._takes() / 2, sent, read, _NOT_YET))
            self.held = max(self.held, sum(job.held for job in rules._jobs))
            if not events:
                assert rules.finished, "the walk neither reads nor ends"
                break
            self.time, _, read, answer = heappop(events)
            if answer is _NOT_YET:
                try:
                    answer = self.server.read(read.ask)
                except RefusedError:
                    answer = None
                sent += 1
                heappush(events, (self.time + self._takes() / 2, sent, read, answer))
            else:
                # The next request goes out before the answer is read.
                if (after := rules.next_read()) is not None:
                    sent += 1
                    heappush(events, (self.time + self._takes() / 2, sent, after, _NOT_YET))
                else:
                    under_way -= 1
                rules.receive(read, None if answer is None else rules.reader.read(read.ask, answer))
            assert self.server.requests < 100_000, "the walk does not end"
        return rules.report

    def _takes(self) -> float:
        random, times = self.server.random, 1
        if self.slow and random.random() < self.slow:
            times = 200
        return LATENCY * times * (1 + random.random() * self.jitter)

    @property
    def missed(self) -> set[int]:
        """The tickets that were there all along, and did not come."""
        return (
            (self._before & {id for _, id in self.server.rows})
            - self.server.left
            - set(self.came)
            - self.server._hidden
        )

    @property
    def twice(self) -> int:
        """How many tickets came more than once."""
        return len(self.came) - len(set(self.came))


_NOT_YET = Answer("not yet")


def ideal(tickets: int, slots: int, size: int = 100) -> float:
    """Return the seconds that the pages of a list take at the least: the first one alone, then all side by side."""
    pages = ceil(tickets / size)
    return LATENCY * (1 + ceil((pages - 1) / slots))
