"""windows.py: cuts by created time that tile the whole range, and each second of which has one owner."""

import asyncio
import itertools
import pickle
from bisect import bisect_left
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings, strategies as st

from tests.support.clients import make_client
from tests.support.list_server import BEGAN, Habits, ListServer, Row, evenly
from tests.support.slow import slow_after
from tests.support.walk_games import Game
from workorder_async import ConfigError, NotSentError, Sandbox, TicketQuery, WorkorderClient
from workorder_async.walks.pages import Ask, Page, PageReader
from workorder_async.walks.windows import Window, plan_windows

END = BEGAN + 10**6


def planned(server: ListServer, most: int, query: TicketQuery | None = None) -> list[Window]:
    """Plan the windows of a list."""
    whole = Window(query or TicketQuery())
    reader = PageReader(whole.query, skips=False)

    async def read(ask: Ask) -> Page:
        return reader.read(ask, server.read(ask))

    return asyncio.run(plan_windows(whole, read, max_tickets=most, now=END))


def sizes_of(windows: list[Window], rows: list[Row]) -> list[int]:
    """Return how many tickets each window owns."""
    times = [time for time, _ in rows]
    edges = [bisect_left(times, window.end) for window in windows if window.end is not None]
    return [end - start for start, end in itertools.pairwise([0, *edges, len(rows)])]


spreads = st.one_of(
    st.lists(st.integers(BEGAN, END), max_size=80),
    st.lists(st.integers(END - 20, END), max_size=80),
    st.integers(0, 80).map(lambda count: [END - 5] * count),
    st.lists(st.sampled_from([BEGAN, BEGAN + 1, BEGAN + 1000, END - 1, END]), max_size=80),
)


@given(times=spreads, most=st.integers(1, 30), factor=st.sampled_from([1.0, 1.0, 0.0, 0.5, 3.0]))
@settings(deadline=None)
def test_windows_tile(times: list[int], most: int, factor: float) -> None:
    """Whatever the totals say, windows follow each other edge to edge, and each ticket has one owner."""
    rows = sorted((time, id) for id, time in enumerate(times, 1))
    windows = planned(ListServer(Random(1), rows, Habits(factor=factor)), most)
    assert (windows[0].start, windows[-1].end) == (None, None)
    assert {window.query for window in windows} == {TicketQuery(created_end=END + 1)}
    assert all(left.end == right.start for left, right in itertools.pairwise(windows))
    for time in times:
        assert [window.owns(time) for window in windows].count(True) == 1
    assert pickle.loads(pickle.dumps(windows)) == windows


@given(
    times=spreads,
    most=st.integers(1, 30),
    filter=st.sampled_from(["counts", "exclusive", "half"]),
    order=st.sampled_from(["newest", "oldest", "none"]),
)
@settings(deadline=None)
def test_each_window_by_itself(times: list[int], most: int, filter: str, order: str) -> None:
    """Windows that are walked one by one give every ticket once, whatever the order is and the ends mean."""
    rows = sorted((time, id) for id, time in enumerate(times, 1))
    server = ListServer(Random(1), rows, Habits(filter=filter, order=order))  # type: ignore[arg-type]
    came: list[int] = []
    for window in planned(server, most):
        game = Game(server, slots=2, size=20, window=pickle.loads(pickle.dumps(window)))
        assert game.play().exact
        assert all(window.owns(times[id - 1]) for id in game.came)
        came += game.came
    assert Counter(came) == Counter(range(1, len(times) + 1))


@pytest.mark.slow
def test_a_plan_costs_one_request_for_some_windows() -> None:
    """A plan asks for about one total for four windows, however much of the range is empty."""
    server = ListServer(Random(1), evenly(Random(1), 50_000))
    windows = planned(server, 250)
    assert 200 <= len(windows) <= 320
    assert server.requests <= len(windows) / 4 + 3
    sizes = sizes_of(windows, server.rows)
    assert max(sizes) <= 8 * 250


@pytest.mark.parametrize("order", slow_after(1, ["newest", "oldest", "none"]))
def test_windows_are_about_as_large_as_wanted(order: str) -> None:
    """Whatever the order, tickets that lie evenly lie evenly in the windows, and few requests find the cuts."""
    rows = evenly(Random(1), 10_000)
    server = ListServer(Random(1), rows, Habits(order=order))  # type: ignore[arg-type]
    windows = planned(server, 100)
    sizes = sizes_of(windows, rows)
    assert 100 <= len(windows) <= 112
    assert server.requests <= len(windows) / 4 + 3
    assert 80 <= sorted(sizes)[len(sizes) // 2] <= 100
    # Where the tickets begin, or end, is guessed: one stretch of windows may lie beyond.
    assert sum(not 50 <= size <= 130 for size in sizes) <= 9
    assert max(sizes) <= 500


def test_uneven_windows_are_bounded() -> None:
    """Where half of the tickets lie within a minute, no window holds more than eight times as many as wanted."""
    rows: list[Row] = [*evenly(Random(1), 5000, 60), *((END - 100 + id % 60, 5000 + id) for id in range(5000))]
    server = ListServer(Random(1), sorted(rows))
    sizes = sizes_of(planned(server, 200), server.rows)
    assert sum(sizes) == 10_000
    assert max(sizes) <= 8 * 200


@pytest.mark.parametrize("query", [TicketQuery(), TicketQuery(created_start=BEGAN)])
def test_a_filter_that_does_not_work(query: TicketQuery) -> None:
    """Where the server does not filter by created time, everything is one window."""
    server = ListServer(Random(1), evenly(Random(1), 5000), Habits(filter="ignored"))
    assert len(planned(server, 100, query)) == 1


def test_a_window_is_a_value() -> None:
    """Windows compare and pickle; one that ends before it begins is refused."""
    window = Window(TicketQuery(created_start=5, created_end=90), 10, 20, total=3)
    assert window == pickle.loads(pickle.dumps(window)) == evolve(window, total=4)
    assert (window.span, window.asked) == ((10, 19), (9, 20))
    assert (window.owns(9), window.owns(10), window.owns(19), window.owns(20)) == (False, True, True, False)
    first = evolve(window, start=None)
    assert (first.span, first.asked) == ((5, 19), (4, 20))
    assert Window(TicketQuery()).asked == (None, None)
    beyond = evolve(window, start=0, end=100)
    assert (beyond.span, beyond.owns(4), beyond.owns(91)) == ((5, 90), False, False)
    with pytest.raises(ConfigError, match="start 20 is not before its end 20"):
        Window(TicketQuery(), 20, 20)


def test_what_is_no_window() -> None:
    """Another kind of value is told by its name, and not where the window is walked."""
    wrong: list[tuple[tuple[Any, ...], str]] = [
        ((5, 6), "Window.query is 5; it must be a TicketQuery"),
        ((TicketQuery(), "5"), "Window.start is '5'; it must be a whole second since the epoch"),
        ((TicketQuery(), 1_795_910_763_057), "Window.start is 1795910763057; it must be a whole second since"),
        ((TicketQuery(), None, 10**5000), "Window.end is .*; it must be a whole second since the epoch"),
        ((TicketQuery(), None, datetime.now(UTC)), "Window.end is datetime.datetime.*; it must be a whole second"),
    ]
    for values, said in wrong:
        with pytest.raises(ConfigError, match=said):
            Window(*values)


@pytest.mark.parametrize("order", ["newest", "oldest", "none"])
def test_a_ticket_that_is_dated_ahead(order: str) -> None:
    """A ticket that is dated after the time of the plan has an owner, whichever page shows it."""
    server = ListServer(Random(1), [*evenly(Random(1), 3000), (END + 120, 9001)], Habits(order=order))  # type: ignore[arg-type]
    assert [window.owns(END + 120) for window in planned(server, 500)].count(True) == 1


@pytest.mark.parametrize(("size", "seconds"), slow_after(1, [(20, 0.3), (100, 0.3)]))
def test_stamped_late_at_the_end_of_a_window(size: int, seconds: float) -> None:
    """Of a list by id a late ticket is the last row of its window: it is seen where the page before ends there, too."""
    span = int(2 * size * seconds) + 2
    for seed in range(40):
        random = Random(seed)
        rows = evenly(random, 8 * size, seconds)
        place = random.randrange(4 * size)
        second, id = rows[place] = (rows[place][0] + random.randrange(span // 2, 2 * span), rows[place][1])
        start = BEGAN + (second - BEGAN) // span * span
        window = Window(TicketQuery(), start, start + span)
        game = Game(ListServer(random, sorted(rows), Habits(order="id")), (1, 3, 8)[seed % 3], size, window=window)
        assert game.play().exact
        assert game.came.count(id) == 1, (seed, game)


@pytest.mark.parametrize("slots", slow_after(1, [8, 1]))
def test_pages_that_are_turned_round_in_a_window(slots: int) -> None:
    """Its first page may end behind the window, and is sorted: what it counts and does not show stands elsewhere."""
    for seed in range(30):
        random = Random(seed)
        rows = evenly(random, 300)
        start = rows[20 + seed][0]
        window = Window(TicketQuery(), start, start + random.randrange(550, 900))
        game = Game(ListServer(random, rows, Habits(order="turned")), slots, window=window)
        assert game.play().exact
        assert Counter(game.came) == Counter(id for second, id in rows if window.owns(second)), seed


def test_the_end_of_a_window_that_counts_too_much() -> None:
    """Where a total is above what pages can show, nothing is looked for at that depth."""
    server = ListServer(Random(1), evenly(Random(1), 300), Habits(factor=40))
    game = Game(server, window=Window(TicketQuery(), BEGAN, END))
    assert not game.play().exact
    assert len(game.came) == 300
    assert server.deepest < 12_000


@pytest.mark.parametrize(
    ("second", "id", "habits"),
    [
        (END + 120, 9001, {"order": "oldest", "factor": 0}),
        (END + 120, 9001, {"order": "oldest", "cap": 100}),
        (END + 120, 5, {"order": "id"}),
        (END + 2, 9001, {"order": "oldest", "filter": "exclusive"}),
    ],
)
def test_a_ticket_ahead_that_no_first_page_shows(second: int, id: int, habits: dict[str, Any]) -> None:
    """Neither a total, nor a page that looks sorted, nor the way in which ranges are read hides such a ticket."""
    server = ListServer(Random(1), [*evenly(Random(1), 3000), (second, id)], Habits(**habits))
    assert [window.owns(second) for window in planned(server, 500)].count(True) == 1


@pytest.mark.parametrize("order", ["newest", "oldest", "none"])
def test_a_ticket_that_is_dated_never(order: str) -> None:
    """A time that no query may end at is no end: the last window has none, and owns what is dated so."""
    never = 253_402_271_999  # the last second of 9999
    server = ListServer(Random(1), [*evenly(Random(1), 300), (never, 9001)], Habits(order=order))  # type: ignore[arg-type]
    windows = planned(server, 50)
    assert [window.owns(never) for window in windows].count(True) == 1
    assert (len(windows) > 5, windows[-1].end, windows[-1].query) == (True, None, TicketQuery())


@pytest.mark.slow
async def test_over_sockets() -> None:
    """A plan can be divided among clients, and misses nothing."""
    async with Sandbox(tickets=4000) as sandbox, sandbox.client() as client:
        plan = await client.plan_windows(max_tickets=1000)
        parts = await asyncio.gather(*(_ids(client, window) for window in plan))
        assert len(plan) >= 4
        assert sorted(id for part in parts for id in part) == sorted(await _ids(client, TicketQuery()))


async def _ids(client: WorkorderClient, what: TicketQuery | Window) -> list[int]:
    return [ticket.id async for ticket in client.iter_tickets(what)]


@pytest.mark.parametrize(
    "query", [TicketQuery(created_end=5), TicketQuery(created_start=2**32), TicketQuery(created_start=7, created_end=7)]
)
async def test_plan_of_nothing(query: TicketQuery) -> None:
    """A range without tickets is one window."""
    async with Sandbox(tickets=10) as sandbox, sandbox.client() as client:
        assert len(await client.plan_windows(query)) == 1
        assert await _ids(client, query) == []


async def test_plan_of_a_window() -> None:
    """A window is divided as a list is: its parts own what it owns, each ticket once."""
    async with Sandbox(tickets=400) as sandbox, sandbox.client() as client:
        whole = (await client.plan_windows(max_tickets=100))[2]
        parts = await client.plan_windows(whole, max_tickets=10)
        assert (len(parts) > 5, parts[0].start, parts[-1].end) == (True, whole.start, whole.end)
        assert [id for one in reversed(parts) for id in await _ids(client, one)] == await _ids(client, whole)


async def test_plan_until_the_last_second() -> None:
    """A query may end at the last second that one can have."""
    async with Sandbox(tickets=40) as sandbox, sandbox.client() as client:
        parts = await client.plan_windows(TicketQuery(created_end=10**11), max_tickets=10)
        assert sum([len(await _ids(client, one)) for one in parts]) == 40


async def test_plan_refused() -> None:
    """A plan for windows of no tickets is refused, and of what is no list."""
    wrong: Any = {"status": 1}
    async with Sandbox(tickets=10) as sandbox, sandbox.client() as client:
        with pytest.raises(ConfigError, match="max_tickets is 0"):
            await client.plan_windows(max_tickets=0)
        with pytest.raises(ConfigError, match="query must be a TicketQuery or a Window, not a dict"):
            await client.plan_windows(wrong)


async def test_plan_that_fails(unused_tcp_port: int) -> None:
    """A plan whose server is not there fails with one error of the library's own."""
    async with make_client(f"http://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(NotSentError):
            await client.plan_windows()
