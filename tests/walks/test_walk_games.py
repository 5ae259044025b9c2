"""Seeded games of drift, caps and lies against a list in memory: `exact` is never said in vain.

The server here is a list of tickets that people close and reopen, delete and create between any two reads, and that is
told of as badly as servers do: capped totals, stray page sizes, refused depth, ties in random order, lying totals.
"""

from collections import Counter
from random import Random

import pytest
from attrs import define, field

from tests.support.arrivals import ORDERS
from workorder_async import TicketQuery, TicketStatus, WalkDriftError
from workorder_async.models import JSON, PageRequest
from workorder_async.protocol.envelope import Answer
from workorder_async.walk_report import WalkReport
from workorder_async.walks.parts import Read
from workorder_async.walks.window_walk import WindowWalk

NOW = 1_700_000_000
PENDING = TicketQuery(status=TicketStatus.PENDING)


class RefusedError(Exception):
    """A page that the server does not give."""


@define
class Lies:
    """What a server says and does wrongly; nothing by default."""

    cap: int = 10**9
    hard: bool = False
    depth: int = 10**9
    empty_beyond: bool = False
    stray: float = 0.0
    short: bool = False
    ties: bool = False
    ignores_page: bool = False
    factor: float = 1.0
    #: This page always comes as one row of a page of one.
    cut_page: int = 0
    #: After so many requests pages have no more than so many rows.
    lowers: tuple[int, int] = (10**9, 0)


@define
class Server:
    """The list: its tickets as (created time, id), newest first; those that left and may return; and its lies."""

    random: Random
    rows: list[tuple[int, int]]
    lies: Lies
    away: list[tuple[int, int]] = field(factory=list)
    requests: int = 0
    left: set[int] = field(factory=set)

    def read(self, request: PageRequest) -> Answer:
        """Return a page as it is now, or refuse it."""
        self.requests += 1
        low, high = request.query.created_start or 0, request.query.created_end
        rows = [row for row in self.rows if low <= row[0] <= (2**40 if high is None else high)]
        if self.lies.ties:
            # Equal created times come in another order at each read.
            rows.sort(key=lambda row: (-row[0], self.random.random()))
        total = int(min(len(rows), self.lies.cap) * self.lies.factor)
        if self.lies.hard:
            rows = rows[: self.lies.cap]
        size, page = request.page_size, 1 if self.lies.ignores_page else request.page
        if page * size > self.lies.depth and page > 1:
            if not self.lies.empty_beyond:
                raise RefusedError
            rows = rows[: self.lies.depth]
        said = size
        if self.random.random() < self.lies.stray:
            said = self.random.choice([1, 0, -5, 10**9])
            size = 1 if self.lies.short and said == 1 else size
        if self.requests > self.lies.lowers[0]:
            said = size = min(size, self.lies.lowers[1])
        rows = rows[(page - 1) * size : page * size]
        if page == self.lies.cut_page and request.page_size > 1:
            said, rows = 1, rows[:1]
        pagination: JSON = {"page_size": said, "total": total}
        tickets: list[JSON] = [{"id": id, "created_time": time} for time, id in rows]
        return Answer({"pagination": pagination, "tickets": tickets})

    def leave(self, count: int, *, may_return: bool) -> None:
        """Let tickets leave, from anywhere."""
        for _ in range(min(count, len(self.rows))):
            row = self.rows.pop(self.random.randrange(len(self.rows)))
            self.left.add(row[1])
            if may_return:
                self.away.append(row)

    def enter(self, count: int) -> None:
        """Let tickets that are not in the list enter at their places."""
        for _ in range(min(count, len(self.away))):
            self.rows.append(self.away.pop(self.random.randrange(len(self.away))))
        self.rows.sort(reverse=True)


@define
class Game:
    """One walk of one server, and what came of it."""

    server: Server
    walk: WindowWalk
    leave: int = 0
    enter: int = 0
    came: list[int] = field(factory=list)
    error: str = ""
    order: str = "any"

    def play(self) -> WalkReport:
        """Walk to the end, with reads carried out in any order, and their answers coming in the game's order."""
        random, walk = self.server.random, self.walk
        sent: list[Read] = []
        answered: list[tuple[Read, Answer | None]] = []
        try:
            while not walk.finished:
                while (page := walk.take()) is not None:
                    self.came += page.ids
                while (read := walk.next_read()) is not None:
                    sent.append(read)
                if not sent and not answered:
                    assert walk.finished, "the walk neither reads nor ends"
                    break
                if sent and len(answered) < walk.concurrency and (not answered or random.random() < 0.6):
                    read = sent.pop(random.randrange(min(len(sent), walk.concurrency)))
                    answered.append((read, self._carry_out(read)))
                else:
                    sizes = [0 if answer is None else len(str(answer.data)) for _, answer in answered]
                    self._deliver(*answered.pop(ORDERS[self.order](random, sizes)))
        except (WalkDriftError, RefusedError) as error:
            self.error = str(error) or "refused"
        return walk.report

    def _carry_out(self, read: Read) -> Answer | None:
        """Return the server's answer, None where it refuses; then the list may move."""
        server = self.server
        try:
            return server.read(read.request)
        except RefusedError:
            return None
        finally:
            if server.random.random() < 0.5:
                server.leave(self.leave, may_return=self.enter > 0)
                server.enter(self.enter)

    def _deliver(self, read: Read, answer: Answer | None) -> None:
        if answer is not None:
            self.walk.receive(read, answer, NOW)
        elif not self.walk.is_wanted(read):
            self.walk.drop(read)
        elif read.request.page == 1 or not self.walk.refuse(read):
            raise RefusedError


def make_game(seed: int, *, still: bool) -> tuple[Game, bool]:
    """Deal a game; the second value tells whether its list is such that exact can be expected of a still one."""
    random = Random(seed)
    count, size = random.choice([0, 7, 40, 100, 237, 400]), random.choice([5, 10, 20])
    spread = random.choice([count // 8 + 1, 10**6])
    times = [NOW - 10 - random.randrange(spread) for _ in range(count)]
    rows = sorted(((time, id) for id, time in enumerate(times, 1)), reverse=True)
    lies = Lies()
    match random.randrange(10):
        case 0:
            lies = Lies(cap=random.choice([30, 100]), hard=False)
        case 1:
            lies = Lies(cap=100, hard=True, depth=100)
        case 2:
            lies = Lies(stray=0.02, short=random.random() < 0.5)
        case 3:
            lies = Lies(depth=random.choice([40, 100]), empty_beyond=random.random() < 0.5)
        case 4:
            lies = Lies(ties=True)
        case 5:
            lies = Lies(factor=random.choice([0, 0.5, 3]))
        case 6:
            lies = Lies(ignores_page=True, factor=random.choice([1, 10**6]))
    server = Server(random, rows, lies)
    server.away = [(NOW - 20 - random.randrange(spread), 10_000 + id) for id in range(300)]
    verify = random.random() < 0.3
    query = PENDING if random.random() < (0.0 if still and not verify else 0.4) else TicketQuery()
    walk = WindowWalk(
        query,
        page_size=size,
        concurrency=random.choice([1, 3, 8]),
        verify=verify,
        window=random.choice([None, None, 0, 60]),
    )
    game = Game(server, walk, order=random.choice(list(ORDERS)))
    if not still:
        game.leave = random.choice([0, 1, 1, 2, 5])
        # Of what is filtered by nothing, or by created time, tickets only leave: those that are deleted.
        game.enter = random.choice([0, 1, 2]) if query == PENDING else 0
    return game, lies == Lies()


def honest(game: Game) -> bool:
    """Tell whether the report says no more than is true; ends the test where a ticket came twice."""
    before = {id for _, id in game.server.rows}
    report = game.play()
    assert len(game.came) == len(set(game.came)), "a ticket came twice"
    assert report.tickets == len(game.came) or game.error
    missed = before - game.server.left - set(game.came)
    return not (report.exact and missed)


@pytest.mark.parametrize("block", range(6))
def test_exact_is_never_said_in_vain(block: int) -> None:
    """Whatever the list does and the server says, exact is not true where a ticket that stayed did not come."""
    vain = [seed for seed in range(block * 50, block * 50 + 50) if not honest(make_game(seed, still=False)[0])]
    assert vain == []


@pytest.mark.parametrize("block", range(4))
def test_still_lists_are_exact(block: int) -> None:
    """Of the lists that hold still, on servers that tell the truth, nearly every walk is exact, and none is in vain."""
    results: Counter[bool] = Counter()
    for seed in range(1000 + block * 50, 1050 + block * 50):
        game, is_fair = make_game(seed, still=True)
        assert honest(game), seed
        if is_fair:
            results[game.walk.report.exact] += 1
    assert results[True] >= 0.95 * results.total() > 0, results


def test_requests_of_games_are_bounded() -> None:
    """No game costs more than some dozens of requests besides a few times its pages.

    Rule 9.
    """
    for seed in range(300):
        game, _ = make_game(seed, still=False)
        game.play()
        pages = (len(game.server.rows) + len(game.server.left)) / 5
        assert game.server.requests <= 400 + 16 * pages * game.walk.report.passes, seed


@pytest.mark.parametrize("order", ORDERS)
def test_stray_rows_in_every_order(order: str) -> None:
    """Answers cut to a row or so, in whatever order answers come, cost a few reads each and never the stride.

    Rule 2.
    """
    for seed in range(20):
        random = Random(seed)
        rows = [(NOW - 10 - id, id) for id in range(1, 1001)]
        server = Server(random, rows, Lies(stray=0.1, short=True))
        game = Game(server, WindowWalk(TicketQuery(), page_size=20, concurrency=random.choice([1, 3, 8])), order=order)
        assert honest(game), seed
        assert not game.error
        assert server.requests <= 2 * 51 + 20, seed


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("page", [1, 2, 17, 50])
def test_one_page_always_cut(order: str, page: int) -> None:
    """A page that always comes as one row, and says so, costs some reads, and never the stride.

    Rule 2.
    """
    for concurrency in (1, 3, 8):
        server = Server(Random(page), [(NOW - 10 - id, id) for id in range(1, 991)], Lies(cut_page=page))
        game = Game(server, WindowWalk(TicketQuery(), page_size=20, concurrency=concurrency), order=order)
        assert honest(game)
        assert not game.error
        assert server.requests <= 50 + (45 if page > 1 else 150), game.walk.report


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("cap", [1, 5, 19])
def test_lowered_cap(order: str, cap: int) -> None:
    """A server that gives smaller pages from some answer on is walked to an exact end at the smaller stride.

    Rule 2.
    """
    for seed in range(10):
        random = Random(seed)
        server = Server(random, [(NOW - 10 - id, id) for id in range(1, 241)], Lies(lowers=(random.randrange(12), cap)))
        game = Game(server, WindowWalk(TicketQuery(), page_size=20, concurrency=random.choice([1, 3, 8])), order=order)
        assert honest(game), seed
        assert (game.walk.report.exact, game.error) == (True, ""), (seed, game.walk.report)
        assert server.requests <= 2 * 240 / cap + 60, seed
