"""sections.py: what an answer proves, what is held back until it is settled, and where a walk can be gone on with."""

from collections import Counter
from random import Random

import pytest
from attrs import define, evolve
from hypothesis import given, settings, strategies as st

from tests.support.list_server import BEGAN, Habits, ListServer, RefusedError, Row, evenly
from tests.support.slow import slow_after
from tests.support.walk_games import Game
from workorder_async import TicketQuery
from workorder_async.document.envelope import Answer
from workorder_async.walks.options import walk_options
from workorder_async.walks.pages import Ask
from workorder_async.walks.rules import WalkRules
from workorder_async.walks.windows import Window


def asked_in_turn(
    rows: list[Row], slots: int = 1, size: int = 10, **habits: object
) -> tuple[list[Ask], WalkRules, list[int]]:
    """Walk a list, one request after the other; return what was asked, the rules, and what came."""
    server = ListServer(Random(1), rows, Habits(**habits))  # type: ignore[arg-type]
    rules = WalkRules(Window(TicketQuery()), walk_options(page_size=size, concurrency=slots))
    asked: list[Ask] = []
    came: list[int] = []
    while not rules.finished:
        while (page := rules.take()) is not None:
            came += page.ids
        if (read := rules.next_read()) is not None:
            asked.append(read.ask)
            rules.receive(read, rules.reader.read(read.ask, server.read(read.ask)))
    return asked, rules, came


def test_the_next_answer_begins_above_the_last_row() -> None:
    """Each request begins above the last row, so that this row comes again; two seconds, until an end counts."""
    asked, rules, came = asked_in_turn([(BEGAN + 2 * id, id) for id in range(1, 51)])
    assert asked == [
        Ask(None, None, 1, 20),
        Ask(None, BEGAN + 2 * 31 + 2, 1, 20),
        Ask(None, BEGAN + 2 * 13 + 1, 1, 20),
    ]
    assert came == [*range(50, 0, -1)]
    assert (rules.report.edges, rules.report.repeats) == (2, 3)


@pytest.mark.parametrize(
    ("order", "crowd", "seconds", "crowded"),
    [
        *[(order, 0, 1, 0) for order in ("newest", "oldest", "none")],
        *[(order, 60, 1, 1) for order in ("newest", "oldest", "none")],
        ("newest", 24, 2, 1),  # they fill a page only together, and are read like one
    ],
)
def test_the_counts_of_a_report(order: str, crowd: int, seconds: int, crowded: int) -> None:
    """Each row that came is a ticket, one that waits for its turn, or a repeat; at the end none waits."""
    rows = [(BEGAN + 3 * id, id) for id in range(1, 201)]
    rows += [(BEGAN + 1000 + id % seconds, 1000 + id) for id in range(crowd)]
    server = ListServer(Random(1), rows, Habits(order=order))  # type: ignore[arg-type]
    rules = WalkRules(Window(TicketQuery()), walk_options(page_size=20, concurrency=8))
    while not rules.finished:
        reads = [read for _ in range(8) if (read := rules.next_read())]
        for read in reads:
            rules.receive(read, rules.reader.read(read.ask, server.read(read.ask)))
            waiting = sum(job.held for job in rules._jobs)
            assert rules.report.tickets + rules.report.repeats + waiting == server.shown
            assert rules.report.repeats >= 0
        while rules.take() is not None:
            pass
    assert rules.report.tickets == len(rows)
    assert rules.report.repeats == server.shown - len(rows)
    assert rules.report.requests == server.requests
    assert rules.report.crowded_seconds == crowded
    assert rules.report.exact


@pytest.mark.parametrize(
    ("habits", "exact", "words"),
    [
        ({}, True, "neighbouring answers share a ticket at each of 4 edges"),
        ({"order": "nearly", "skew": 3}, True, "; the list is nearly sorted, and they overlap by "),
        ({"order": "none"}, True, "each of 8 ranges was shown whole"),
        ({"order": "none", "hidden": 0.5}, False, " tickets in a range, and shows "),
        ({"size_cap": 4}, False, "the list shows no more than 4 rows at once, too few to see its order"),
    ],
)
def test_what_a_report_rests_on(habits: dict[str, object], exact: bool, words: str) -> None:
    """The reason says why a walk is exact, or why not; before the end, that it is not finished."""
    server = ListServer(Random(1), [(BEGAN + 2 * id, id) for id in range(1, 201)], Habits(**habits))  # type: ignore[arg-type]
    rules = WalkRules(Window(TicketQuery()), walk_options(page_size=50, concurrency=1))
    while not rules.finished:
        assert (rules.report.exact, rules.report.reason.split("; ")[0]) == (False, "not finished")
        if (read := rules.next_read()) is not None:
            rules.receive(read, rules.reader.read(read.ask, server.read(read.ask)))
        while rules.take() is not None:
            pass
    assert rules.report.exact is exact
    assert words in rules.report.reason


@pytest.mark.parametrize("slots", [1, 8])
def test_rows_that_are_left_out_of_a_page(slots: int) -> None:
    """Where a page shows none of the tickets that it counts, those behind are found, and the walk is not exact."""
    server = ListServer(Random(1), [(BEGAN + 7 * id, id) for id in range(1, 401)])
    server._hidden.update(range(205, 240))
    rules = WalkRules(Window(TicketQuery()), walk_options(page_size=20, concurrency=slots))
    came: list[int] = []
    while not rules.finished:
        while (page := rules.take()) is not None:
            came += page.ids
        for read in [read for _ in range(slots) if (read := rules.next_read())]:
            rules.receive(read, rules.reader.read(read.ask, server.read(read.ask)))
    assert came == [*range(400, 239, -1), *range(204, 0, -1)]
    assert not rules.report.exact


def test_oldest_first_is_the_mirror_image() -> None:
    """Where the oldest ticket comes first, the next request begins below the last row."""
    asked, _, came = asked_in_turn([(BEGAN + 7 * id, id) for id in range(1, 31)], order="oldest")
    assert asked == [Ask(None, None, 1, 20), Ask(BEGAN + 138, None, 1, 20)]
    assert came == [*range(1, 31)]


@pytest.mark.parametrize("order", ["newest", "oldest", "none"])
def test_the_ends_of_a_query(order: str) -> None:
    """A second more is asked for at either end, and what lies there is not given."""
    rows = [(BEGAN + id, id) for id in range(1, 101)]
    for filter in ("counts", "exclusive", "half"):
        server = ListServer(Random(3), rows, Habits(order=order, filter=filter))  # type: ignore[arg-type]
        query = TicketQuery(created_start=BEGAN + 20, created_end=BEGAN + 80)
        game = Game(server, slots=3, size=20, window=Window(query))
        assert game.play().exact
        assert sorted(game.came) == [*range(20, 81)]


@pytest.mark.parametrize("order", slow_after(1, ["newest", "oldest", "none"]))
def test_crowds_beside_a_window(order: str) -> None:
    """A window beside crowded seconds, which are asked for with it, gives its own tickets, and all of them."""
    rows = sorted((BEGAN + id % 5, id) for id in range(1, 501))
    for start, end in ((1, 4), (2, 3), (0, 5), (3, None), (None, 2)):
        window = Window(TicketQuery(), None if start is None else BEGAN + start, None if end is None else BEGAN + end)
        for filter in ("counts", "exclusive", "half"):
            habits = Habits(order=order, filter=filter)  # type: ignore[arg-type]
            game = Game(ListServer(Random(3), rows, habits), slots=4, size=30, window=window)
            assert game.play().exact
            assert sorted(game.came) == [id for id in range(1, 501) if window.owns(BEGAN + id % 5)]


def test_an_edge_that_no_ticket_bridges() -> None:
    """Where no ticket of an answer comes again, the list is asked from further up; then the walk is not exact."""

    def leave(server: ListServer) -> None:
        if server.requests in (3, 4, 5):
            # All that the walk has seen, and will look for.
            server.left.update(id for _, id in server.rows[-60:])
            del server.rows[-60:]

    server = ListServer(Random(1), evenly(Random(1), 400), drift=leave)
    game = Game(server, slots=1, size=20)
    report = game.play()
    assert (report.exact, report.reason) == (False, "at an edge no ticket came again, so tickets may be missing there")
    assert not game.missed


def test_a_filter_that_does_not_work_is_seen_at_the_first_edge() -> None:
    """Where the first edge is not bridged, the list is read by page numbers, and the walk says why it is not exact."""
    server = ListServer(Random(1), evenly(Random(1), 950), Habits(filter="milliseconds"))
    game = Game(server)
    report = game.play()
    assert not report.exact
    assert "created time" in report.reason
    assert Counter(game.came) == Counter(range(1, 951))


def test_a_list_that_is_less_and_less_sorted() -> None:
    """Five inversions, each ten times as large as the one before: it is read as a list in no order, and exact."""
    rows = [(BEGAN + 400 * id, id) for id in range(1, 6001)]
    for place, size in ((250, 1), (750, 10), (1250, 105), (1750, 1100), (2250, 11_500)):
        rows[-place - 1] = (rows[-place][0] + size, rows[-place - 1][1])

    def leaves(server: ListServer) -> None:
        server.rows.sort()
        server.leave(server.requests > 250, may_return=False)

    game = Game(ListServer(Random(1), sorted(rows), Habits(order="id"), leaves), 1)
    report = game.play()
    assert report.exact
    assert "ranges" in report.reason
    assert not game.missed
    assert not game.twice


@pytest.mark.parametrize("size", [5, 10])
def test_tickets_come_as_fast_as_answers(size: int) -> None:
    """A list in no order, with small pages and a new ticket for each answer, is read to an end; what was there came."""
    habits = Habits(order="none", size_cap=size, cap=1)
    game = Game(ListServer(Random(1), evenly(Random(1), 400), habits, lambda server: server.create(1)), 8, 50)
    report = game.play()
    assert (report.exact, game.missed, game.twice) == (False, set(), 0)
    assert "new tickets come as fast as they can be read, so the newest may be missing" in report.reason


@pytest.mark.parametrize("order", slow_after(1, ["turned", "oldest"]))
def test_the_first_page_of_a_dense_list(order: str) -> None:
    """Pages that come newest first, and their rows oldest first, are no list of the oldest first, however dense."""
    rows = [(BEGAN + id // 60, id) for id in range(1, 3021)]  # the newest page shows only a part of its first second
    game = Game(ListServer(Random(1), rows, Habits(order=order, cap=0)), size=50)  # type: ignore[arg-type]
    assert game.play().exact
    assert (len(game.came), game.missed) == (3020, set())


@pytest.mark.parametrize(("first", "second"), [(130, 1), (1, 130), (120, 2), (60, 60)])
def test_a_window_of_two_seconds(first: int, second: int) -> None:
    """Few seconds look sorted by accident: the list is read once more, in ranges, and is exact."""
    rows = [(BEGAN + (id > first), id) for id in range(1, first + second + 1)]
    window = Window(TicketQuery(created_start=BEGAN, created_end=BEGAN + 1))
    game = Game(ListServer(Random(1), rows), 1, window=window)
    report = game.play()
    assert (report.exact, len(game.came), len(set(game.came))) == (True, first + second, first + second), report.reason
    assert report.requests <= 20
    assert " 0 " not in report.reason
    assert "one page" not in report.reason


@pytest.mark.parametrize("habits", [Habits(early=2, factor=0, refuses=1), Habits(early=2, size_cap=3, order="oldest")])
def test_a_filter_that_is_off(habits: Habits) -> None:
    """Neither totals of 0 nor full pages hide that a range ends two seconds early: its very second has to be shown."""
    rows = [(BEGAN + id // 10, id) for id in range(1, 101)]
    window = Window(TicketQuery(created_start=BEGAN + 3, created_end=BEGAN + 4))
    game = Game(ListServer(Random(1), rows, habits), 8, 50, window=window)
    report = game.play()
    assert len(game.came) < 20
    assert not report.exact
    assert "does not show ticket" in report.reason


@define
class NoBeginning(ListServer):
    """A list that refuses a range that has a beginning."""

    def read(self, ask: Ask) -> Answer:
        """Refuse it, but not a mere count."""
        if ask.start is not None and ask.for_rows:
            self.requests += 1
            raise RefusedError
        return ListServer.read(self, ask)


@pytest.mark.parametrize(("kind", "came"), [(ListServer, 45), (NoBeginning, 44)])
def test_a_look_that_is_refused(kind: type[ListServer], came: int) -> None:
    """Where the answers count differently, a look by page number may be refused; where all are, it is not exact."""
    rows = evenly(Random(1), 45)
    rows[5] = (rows[-8][0] + 1, rows[5][1])
    game = Game(kind(Random(1), sorted(rows), Habits(order="id", refuses=1)), 1, 21)
    report = game.play()
    assert (report.exact, len(game.came)) == (came == 45, came)
    assert report.exact or "refuses to show some of them" in report.reason


def test_rows_of_a_second_come_when_it_is_settled() -> None:
    """Of a second that an answer may not show whole, no row is given before the next one shows it."""
    rows = [(BEGAN + id // 3, id) for id in range(1, 61)]
    server = ListServer(Random(1), rows)
    rules = WalkRules(Window(TicketQuery()), walk_options(page_size=20, concurrency=1))
    read = rules.next_read()
    assert read is not None
    rules.receive(read, rules.reader.read(read.ask, server.read(read.ask)))
    page = rules.take()
    assert page is not None
    # Rows 60 to 41: second 13 may have more rows than 41.
    assert page.ids == [*range(60, 41, -1)]
    assert page.frontier == BEGAN + 14
    assert page.rest == Window(TicketQuery())
    assert page.again == page.ids


ORDERS = ["newest", "oldest", "nearly", "none"]


@st.composite
def made_lists(draw: st.DrawFn) -> tuple[str, list[Row]]:
    """Draw a list and its order: wide apart, close together, or crowded; one that is nearly sorted is wide."""
    order = draw(st.sampled_from(ORDERS))
    kind = "wide" if order == "nearly" else draw(st.sampled_from(["wide", "close", "crowded"]))
    random, count = Random(draw(st.integers(0, 2**16))), draw(st.integers(0, 250))
    times = {
        "wide": lambda: BEGAN + random.randrange(10**6),
        "close": lambda: BEGAN + random.randrange(40),
        "crowded": lambda: BEGAN + random.choice([0, 1, 7]),
    }
    return order, sorted((times[kind](), id) for id in range(1, count + 1))


@given(
    made=made_lists(),
    size=st.integers(1, 50),
    slots=st.sampled_from([1, 2, 5]),
    filter=st.sampled_from(["counts", "exclusive", "half"]),
    moves=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 1)), max_size=30),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=150, deadline=None)
def test_whatever_moves(
    made: tuple[str, list[Row]],
    size: int,
    slots: int,
    filter: str,
    moves: list[tuple[int, int, int]],
    seed: int,
) -> None:
    """Of any list that moves in any way, every ticket that stayed comes exactly once, or exact is not said."""

    def move(server: ListServer) -> None:
        if server.requests < len(moves):
            left, entered, created = moves[server.requests]
            server.leave(left)
            server.enter(entered)
            server.create(created)

    order, rows = made
    habits = Habits(order=order, filter=filter, skew=2)  # type: ignore[arg-type]
    server = ListServer(Random(seed), rows, habits, drift=move)
    server.away = [(BEGAN + seed * id % 10**6, 1000 + id) for id in range(30)]
    game = Game(server, slots, size, jitter=3.0)
    report = game.play()
    assert not game.twice
    assert not (report.exact and game.missed), report
    assert report.tickets == len(game.came)


@pytest.mark.slow
@given(
    made=made_lists(),
    size=st.integers(1, 50),
    slots=st.sampled_from([1, 2, 5]),
    stop=st.integers(0, 30),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=150, deadline=None)
def test_what_is_left_after_each_page(made: tuple[str, list[Row]], size: int, slots: int, stop: int, seed: int) -> None:
    """A walk that is left at any page, and gone on with as that page says, shows that page again, all others once."""
    order, rows = made
    server = ListServer(Random(seed), rows, Habits(order=order, skew=2))  # type: ignore[arg-type]
    rules = WalkRules(Window(TicketQuery()), walk_options(page_size=size, concurrency=slots))
    came: list[int] = []
    kept: list[int] = []
    rest = Window(TicketQuery())
    pages = 0
    while not rules.finished and pages <= stop:
        while (page := rules.take()) is not None and pages <= stop:
            pages += 1
            came += page.ids
            if page.rest is not None:
                kept, rest = [id for id in came if id not in page.again], page.rest
        if (read := rules.next_read()) is not None:
            rules.receive(read, rules.reader.read(read.ask, server.read(read.ask)))
    if rules.finished or rules.is_restarted:
        return
    game = Game(evolve(server, drift=None), slots, size, window=rest)
    assert game.play().exact
    assert Counter([*kept, *game.came]) == Counter(range(1, len(rows) + 1))
