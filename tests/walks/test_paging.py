"""paging.py: a game of the list's server against the walk, in any order of reads, answers and changes."""

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.arrivals import ORDERS
from workorder_async.errors import WalkDriftError
from workorder_async.models import JSON, TicketQuery
from workorder_async.protocol.envelope import Answer
from workorder_async.walks import paging
from workorder_async.walks.course import READS_AT_HAND, PageRead
from workorder_async.walks.paging import PageWalk

NOW = 1_700_000_000.0
QUERY = TicketQuery()


@define
class List:
    """The server's list: rows that leave, enter and return, and pages of it."""

    rows: list[int]
    cap: int = 1000
    left: list[int] = field(factory=list)
    last_id: int = 1_000_000
    says_page_size: bool = True
    says_total: Callable[[int], int] = field(default=lambda total: total)

    def read(self, number: int, size: int) -> Answer:
        """Return a page as it is now."""
        size = min(size, self.cap)
        rows = self.rows[(number - 1) * size : number * size]
        return self.answer(rows, size)

    def answer(self, rows: list[int], size: int) -> Answer:
        """Return these rows as a page."""
        pagination: JSON = {"page_size": size if self.says_page_size else 0, "total": self.says_total(len(self.rows))}
        return Answer({"pagination": pagination, "tickets": [{"id": id} for id in rows]})

    def lose(self, random: Random, count: int) -> None:
        """Let rows leave, from anywhere."""
        for _ in range(min(count, len(self.rows))):
            self.left.append(self.rows.pop(random.randrange(len(self.rows))))

    def gain(self, random: Random, count: int, anywhere: bool = False) -> None:
        """Let new rows enter, at the front or anywhere."""
        for _ in range(count):
            self.last_id += 1
            self.rows.insert(random.randrange(len(self.rows) + 1) if anywhere else 0, self.last_id)

    def regain(self, random: Random, count: int) -> None:
        """Let rows that left return, anywhere."""
        for _ in range(min(count, len(self.left))):
            id = self.left.pop(random.randrange(len(self.left)))
            self.rows.insert(random.randrange(len(self.rows) + 1), id)


def play(
    walk: PageWalk,
    server: List,
    random: Random,
    change: Callable[[], None],
    *,
    in_order: bool = False,
    arrival: str = "any",
) -> list[int]:
    """Walk to the end, with reads carried out and answered in any order and `change` before each; return what came.

    Of what was carried out, `arrival` tells which answer comes next.

    Each step is one of: send a read, carry one out, deliver one answer, take a page.
    """
    taken: list[int] = []
    sent: list[PageRead] = []
    carried_out: list[tuple[PageRead, Answer]] = []
    while not walk.finished:
        moves = [move for move, possible in (("carry out", sent), ("deliver", carried_out)) if possible]
        page = walk.take()
        if page is not None:
            taken += [int(str(row["id"])) for row in page.rows]
            moves.append("wait")
        read = walk.next_read()
        if read is not None:
            sent.append(read)
            moves.append("wait")
        if not moves:
            assert walk.finished, "the walk neither reads nor ends"
        match random.choice(moves) if moves else "":
            case "carry out":
                read = sent.pop(0 if in_order else random.randrange(len(sent)))
                change()
                carried_out.append((read, server.read(read.request.page, read.request.page_size)))
            case "deliver":
                sizes = [len(str(answer.data)) for _, answer in carried_out]
                done = carried_out.pop(ORDERS["as sent" if in_order else arrival](random, sizes))
                walk.receive(*done, NOW)
    assert len(sent) + len(carried_out) <= walk._course.concurrency * READS_AT_HAND
    return taken


walks = given(
    random=st.randoms(use_true_random=False),
    rows=st.integers(0, 120),
    page_size=st.integers(1, 12),
    concurrency=st.integers(1, 6),
    rate=st.sampled_from([0, 0.1, 0.5, 1]),
    arrival=st.sampled_from(sorted(ORDERS)),
)


def some(random: Random, rate: float) -> int:
    """Return how many rows to change: mostly few, sometimes many."""
    return random.choice([0, 0, 0, 1, 1, 2, 5, 20]) if random.random() < rate else 0


@walks
@settings(max_examples=400)
def test_rows_that_leave(
    random: Random, rows: int, page_size: int, concurrency: int, rate: float, arrival: str
) -> None:
    """Of a frozen list that loses rows, every row that stayed comes exactly once, and the report says exact.

    Rule 5.
    """
    server = List(list(range(rows)))
    walk = PageWalk(QUERY, page_size=page_size, concurrency=concurrency)
    came = play(walk, server, random, lambda: server.lose(random, some(random, rate)), arrival=arrival)
    assert len(came) == len(set(came))
    assert set(server.rows) <= set(came) <= set(range(rows))
    report = walk.report
    assert report.exact, report
    assert report.repaired <= report.drifts


@walks
@settings(max_examples=400)
def test_new_rows_when_not_frozen(
    random: Random, rows: int, page_size: int, concurrency: int, rate: float, arrival: str
) -> None:
    """Of a list that is not frozen and gains rows at its front, every old row comes exactly once.

    Rule 5.
    """
    server = List(list(range(rows)))
    walk = PageWalk(QUERY, page_size=page_size, concurrency=concurrency, freeze=False)
    budget = [rows]

    def gain() -> None:
        count = min(some(random, rate), budget[0])
        budget[0] -= count
        server.gain(random, count)

    came = play(walk, server, random, gain, arrival=arrival)
    assert len(came) == len(set(came))
    assert set(range(rows)) <= set(came)
    assert not walk.report.exact or walk.report.reason == "one page, read at once"


@walks
@settings(max_examples=200)
def test_anything(random: Random, rows: int, page_size: int, concurrency: int, rate: float, arrival: str) -> None:
    """Whatever moves, and whatever the server says of it: no row comes twice, and the walk ends within its bound.

    Rule 9.
    """
    server = List(
        list(range(rows)),
        says_page_size=random.random() < 0.8,
        says_total=random.choice([lambda n: n, lambda n: n, lambda n: 0, lambda n: n // 2, lambda n: n * 3 + 7]),
    )
    walk = PageWalk(QUERY, page_size=page_size, concurrency=concurrency, verify=random.random() < 0.3)
    changes: list[Callable[[], object]] = [
        lambda: server.lose(random, some(random, rate)),
        lambda: server.regain(random, some(random, rate)),
        lambda: server.gain(random, some(random, rate / 4), anywhere=True),
        lambda: setattr(server, "cap", max(1, server.cap - random.randrange(3))),
    ]
    chosen = random.sample(changes, random.randrange(5))

    def change() -> None:
        for one in chosen:
            one()

    try:
        came = play(walk, server, random, change, arrival=arrival)
    except WalkDriftError:
        assert not walk.report.exact
        return
    assert len(came) == len(set(came))


@walks
@settings(max_examples=200)
def test_shrinking_cap(random: Random, rows: int, page_size: int, concurrency: int, rate: float, arrival: str) -> None:
    """A server whose pages become smaller on the way, while rows leave, is walked to the end all the same.

    Rule 2.
    """
    server = List(list(range(rows)), cap=page_size)
    walk = PageWalk(QUERY, page_size=page_size, concurrency=concurrency)

    def change() -> None:
        server.lose(random, some(random, rate))
        if random.random() < 0.1:
            server.cap = max(1, server.cap - random.randrange(4))

    try:
        came = play(walk, server, random, change, arrival=arrival)
    except WalkDriftError:
        return
    assert len(came) == len(set(came))
    assert walk.report.exact, walk.report
    assert set(server.rows) <= set(came)


def test_rows_that_enter_unread() -> None:
    """Rows that enter where the walk has yet to come repeat nothing, and are noticed by the total that rises.

    Rule 4.
    """
    server, walk, entered = List(list(range(20))), PageWalk(QUERY, page_size=5, concurrency=1), iter([100, 101])

    def enter() -> None:
        if walk.total > 0:
            server.rows += [id for id in [next(entered, None)] if id is not None]

    came = play(walk, server, Random(1), enter, in_order=True)
    assert came == [*range(20), 100, 101]
    assert walk.report.duplicates == 0
    reason = "tickets entered the list, or its order changed; verify=True settles it"
    assert (walk.report.exact, walk.report.reason) == (False, reason)


def test_every_rule_has_a_test() -> None:
    """Each numbered rule at the head of paging.py is named by a test that proves it."""
    rules = set(re.findall(r"^(\d)\. ", paging.__doc__ or "", re.MULTILINE))
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert rules == {str(number) for number in range(1, 10)}
    assert set(re.findall(r"^    Rule (\d)\.$", tests, re.MULTILINE)) == rules


def test_a_tie_that_hides_a_row_behind_an_edge() -> None:
    """Rows that are alike and change places may hide one: a row that stands where it cannot shows it.

    Rule 5.
    """
    walk = PageWalk(QUERY, page_size=3, concurrency=1)
    server = List([0, 1, 2, 3, 4, 5])
    # Page 1, page 2 after 0 has left and 3 and 4 have changed places, page 1 again once they have changed back.
    for rows in ([0, 1, 2, 3, 4, 5], [1, 2, 4, 3, 5], [1, 2, 3, 4, 5]):
        while walk.take() is not None:
            pass
        read = walk.next_read()
        assert read is not None
        server.rows = rows
        walk.receive(read, server.read(read.request.page, 3), NOW)
    while walk.take() is not None:
        pass
    assert walk.finished
    assert 4 not in walk.ledger.seen
    assert not walk.report.exact
    assert "order" in walk.report.reason
