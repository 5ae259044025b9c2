"""windows.py: cuts by created time that tile the whole range, and walks over them, for every odd spread of tickets."""

import asyncio
import itertools
import pickle
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.clients import make_client
from workorder_async import ConfigError, Sandbox, TicketQuery, WalkDriftError
from workorder_async.models import JSON, PageRequest
from workorder_async.protocol.envelope import Answer
from workorder_async.walks.handing_out import WalkedPage
from workorder_async.walks.plan import WindowPlan
from workorder_async.walks.window_walk import WindowWalk
from workorder_async.walks.windows import Window

END = 1_700_000_000


class Times:
    """A server that lists tickets by created time, newest first; totals of cuts may be wrong.

    `exclusive` leaves the end out, `late` the start; the times that are shown are `shown` off those that are compared.
    """

    def __init__(
        self, times: list[int], *, exclusive: bool = False, late: bool = False, wrong: float = 1.0, shown: int = 0
    ) -> None:
        self.rows: list[Any] = [{"id": id, "created_time": time} for id, time in enumerate(times)]
        self.rows.sort(key=lambda row: (-row["created_time"], -row["id"]))
        self.exclusive, self.late = exclusive, late
        self.shown = shown
        self.wrong = wrong
        self.requests = 0

    def read(self, request: PageRequest) -> Answer:
        """Return a page of what the request asks for."""
        self.requests += 1
        low, high = request.query.created_start, request.query.created_end
        low = 0 if low is None else low + self.late
        high = 2**60 if high is None else high - self.exclusive
        rows = [row for row in self.rows if low <= row["created_time"] <= high]
        start = (request.page - 1) * request.page_size
        total = int(len(rows) * (self.wrong if request.page_size == 1 else 1))
        pagination: JSON = {"page_size": request.page_size, "total": total}
        page = [row | {"created_time": row["created_time"] + self.shown} for row in rows]
        return Answer({"pagination": pagination, "tickets": [*page[start : start + request.page_size]]})


def walked(
    walk: WindowWalk, server: Times, random: Random, note: Callable[[WalkedPage], None] = lambda page: None
) -> list[int]:
    """Walk to the end with answers in any order; return the ids that came, and tell `note` of each page."""
    came: list[int] = []
    waiting: list[tuple[object, Answer]] = []
    while not walk.finished:
        if (page := walk.take()) is not None:
            note(page)
            came += [int(str(row["id"])) for row in page.rows]
        if (read := walk.next_read()) is not None:
            waiting.append((read, server.read(read.request)))
        elif waiting:
            read_again, answer = waiting.pop(random.randrange(len(waiting)))
            walk.receive(read_again, answer, END)  # type: ignore[arg-type]
        else:
            assert page is not None or walk.finished, "the walk neither reads nor ends"
    return came


def planned(server: Times, most: int) -> list[Window]:
    """Plan the windows of everything."""
    plan = WindowPlan(Window(TicketQuery()), max_tickets=most, now=END, first=server.read(PageRequest(page_size=10)))
    while (request := plan.next_request()) is not None:
        plan.receive(request, server.read(request))
    return plan.windows()


spreads = st.one_of(
    st.lists(st.integers(0, END), max_size=80),
    st.lists(st.integers(END - 20, END), max_size=80),
    st.integers(0, 80).map(lambda count: [END - 5] * count),
    st.lists(st.sampled_from([0, 1, 1000, END - 1, END]), max_size=80),
)


@given(
    times=spreads,
    random=st.randoms(use_true_random=False),
    window=st.integers(1, 30),
    page_size=st.integers(2, 10),
    ordered=st.booleans(),
    exclusive=st.booleans(),
    wrong=st.sampled_from([1.0, 1.0, 0.0, 0.5, 3.0]),
)
@settings(max_examples=300)
def test_every_ticket_once(
    times: list[int],
    random: Random,
    window: int,
    page_size: int,
    ordered: bool,
    exclusive: bool,
    wrong: float,
) -> None:
    """Whatever the spread, the end's meaning and the totals of the cuts, every ticket comes exactly once.

    Where the totals of the cuts say too much, the walk may give up rather than cut for ever.
    """
    server = Times(times, exclusive=exclusive, wrong=wrong)
    walk = WindowWalk(TicketQuery(), window=window, page_size=page_size, concurrency=3, ordered=ordered)
    try:
        came = walked(walk, server, random)
    except WalkDriftError:
        assert wrong == 3
        return
    assert Counter(came) == Counter(range(len(times)))
    assert walk.report.tickets == len(times)
    assert walk.report.requests == server.requests


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("span", [10**5, 10**7])
def test_years_without_tickets_are_not_asked_about(span: int, *, newest_first: bool) -> None:
    """A plan costs about a request a window, however much of the range is empty: it begins where the tickets do."""
    server = Times([END - 10**6 - span + int(span * step / 5000) for step in range(5000)])
    if not newest_first:
        server.rows.reverse()
    plan = WindowPlan(Window(TicketQuery()), max_tickets=500, now=END, first=server.read(PageRequest(page_size=100)))
    while (request := plan.next_request()) is not None:
        plan.receive(request, server.read(request))
    assert 10 <= len(plan.windows()) <= 16
    assert server.requests <= len(plan.windows()) + 5


@given(times=spreads, most=st.integers(1, 30), exclusive=st.booleans(), late=st.booleans())
@example(times=[0, 0], most=1, exclusive=False, late=False)
def test_each_window_by_itself(times: list[int], most: int, *, exclusive: bool, late: bool) -> None:
    """Windows that are walked one by one, each by a walk of its own, give every ticket once, whatever the ends mean."""
    server = Times(times, exclusive=exclusive, late=late)
    came = []
    for window in planned(server, most):
        walk = WindowWalk(pickle.loads(pickle.dumps(window)), page_size=7, concurrency=2)
        rows = walked(walk, server, Random(1))
        assert all(window.owns(times[id]) for id in rows)
        assert walk.report.exact
        assert walk.report.tickets == len(rows)
        came += rows
    assert Counter(came) == Counter(range(len(times)))


@given(
    times=spreads,
    most=st.integers(1, 30),
    further=st.sampled_from([None, 3, 8]),
    ordered=st.booleans(),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=200)
def test_where_windows_end(times: list[int], most: int, further: int | None, random: Random, *, ordered: bool) -> None:
    """A walk over windows says once where each ends, after all its tickets, also where it cuts them further."""
    server = Times(times)
    windows = planned(server, most)
    walk = WindowWalk(windows, page_size=3, concurrency=3, window=further, ordered=ordered)
    ended: list[tuple[Window, int]] = []
    came: list[int] = []

    def note(page: WalkedPage) -> None:
        assert page.account is not None
        window = page.account.window
        assert window not in dict(ended)
        if page.ends_window:
            assert page.rows == []
            report = walk.report_of(page.account)
            assert report.exact, report
            assert report.tickets == sum(window.owns(times[id]) for id in came)
            ended.append((window, report.tickets))
        came.extend(page.ids)

    assert Counter(walked(walk, server, random, note)) == Counter(range(len(times)))
    assert Counter(window for window, _ in ended) == Counter(windows)
    assert not ordered or [window for window, _ in ended] == windows
    assert sum(count for _, count in ended) == walk.report.tickets == len(times)
    assert walk.report.exact


def test_a_window_is_a_value() -> None:
    """Windows compare and pickle; one that ends before it begins is refused."""
    window = Window(TicketQuery(created_start=5, created_end=90), 10, 20, total=3)
    assert window == pickle.loads(pickle.dumps(window)) == evolve(window, total=4)
    assert (window.asked.created_start, window.asked.created_end) == (9, 21)
    assert (window.owns(9), window.owns(10), window.owns(19), window.owns(20)) == (False, True, True, False)
    first = evolve(window, start=None)
    assert (first.asked.created_start, first.asked.created_end) == (5, 21)
    assert first.owns(5)
    with pytest.raises(ConfigError, match="start 20 is not before its end 20"):
        Window(TicketQuery(), 20, 20)


HALVES = [Window(TicketQuery(created_end=END), None, END - 500), Window(TicketQuery(created_end=END), END - 500, None)]


def test_times_that_are_not_those_compared() -> None:
    """Where the server shows other times than it filters by, the owner of a ticket may not see it: it is not exact."""
    server = Times([END - 1000 + second for second in range(900)], shown=-7)
    walk = WindowWalk(HALVES, page_size=50)
    walked(walk, server, Random(3))
    assert not walk.report.exact
    assert "filter by created time" in walk.report.reason


class Odd(Times):
    """The same, with created times as somebody else would write them."""

    def __init__(self, times: list[int], odd: Callable[[int], Any]) -> None:
        super().__init__(times)
        self.odd = odd

    def read(self, request: PageRequest) -> Answer:
        """Return a page with odd times."""
        answer = super().read(request)
        rows: Any = answer.data
        for row in rows["tickets"]:
            row["created_time"] = self.odd(row["created_time"])
        return answer


@pytest.mark.parametrize(
    "odd",
    [
        lambda time: [] if time in range(END - 502, END - 498) else time,
        lambda time: None if time in range(END - 502, END - 498) else time,
        lambda time: "" if time in range(END - 502, END - 498) else time,
        lambda time: time * 1000,
        str,
        lambda time: time * 1000 if time % 2 else time,
    ],
)
@pytest.mark.parametrize("page_size", [1, 2, 50])
def test_times_that_are_spelled_oddly(odd: Callable[[int], Any], page_size: int) -> None:
    """Milliseconds and texts are read; a ticket whose time cannot be read comes from the first window that shows it."""
    server = Odd([END - 520 + second for second in range(40)], odd)
    assert Counter(walked(WindowWalk(HALVES, page_size=page_size), server, Random(3))) == Counter(range(40))


@given(times=spreads, most=st.integers(1, 30), random=st.randoms(use_true_random=False))
def test_windows_tile(times: list[int], most: int, random: Random) -> None:
    """Windows follow each other edge to edge over the whole range, and none but a single second holds too many."""
    server = Times(times)
    plan = WindowPlan(Window(TicketQuery()), max_tickets=most, now=END, first=server.read(PageRequest(page_size=10)))
    asked: list[PageRequest] = []
    cuts: set[int | None] = set()
    while not plan.finished:
        while (request := plan.next_request()) is not None:
            asked.append(request)
            cuts |= {request.query.created_start, request.query.created_end}
        request = asked.pop(random.randrange(len(asked)))
        plan.receive(request, server.read(request))
    windows = plan.windows()
    assert (windows[0].start, windows[-1].end) == (None, None)
    assert {window.query for window in windows} == {TicketQuery(created_end=END + 1)}
    assert all(left.end == right.start for left, right in itertools.pairwise(windows))
    for time in times:
        assert [window.owns(time) for window in windows].count(True) == 1
    for window in windows:
        start, end = window.start or 0, END + 1 if window.end is None else window.end
        # Tickets of a second in which a cut was made stand in both totals, so one is too small by them.
        on_cuts = sum(time in cuts for time in times)
        assert end - start <= 1 or sum(start < time <= end for time in times) <= most + on_cuts
    assert pickle.loads(pickle.dumps(windows)) == windows


def test_order() -> None:
    """Windows follow in the list's own direction, so that the whole comes in the list's order."""
    server = Times(list(range(1000, 2000)))
    walk = WindowWalk(TicketQuery(), window=100, page_size=10)
    assert walked(walk, server, Random(1)) == list(range(999, -1, -1))


def test_extra_requests() -> None:
    """Cutting an even spread costs little more than a request for each window."""
    server = Times(list(range(END - 20_000, END)))
    walk = WindowWalk(TicketQuery(), window=1000, page_size=20)
    walked(walk, server, Random(1))
    assert server.requests <= 1000 * 1.1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": -1}, "window is -1"),
        ({"window": True}, "window is True"),
        ({"window": 5, "freeze": False}, "freeze"),
    ],
)
def test_refused(options: dict[str, int], words: str) -> None:
    """A window that cannot work is refused."""
    with pytest.raises(ConfigError, match=words):
        WindowWalk(TicketQuery(), **options)  # type: ignore[arg-type]


async def test_over_sockets() -> None:
    """A long list is cut by itself; plans can be divided among clients and miss nothing."""
    async with Sandbox(tickets=21_000) as sandbox, sandbox.client() as client:
        async with client.walk() as walk:
            came = [ticket.id async for tickets in walk for ticket in tickets]
        assert len(set(came)) == len(came) == 21_000
        assert came == sorted(came, reverse=True)
        assert walk.report.exact
        assert "windows" in walk.report.reason
        assert walk.report.requests == sandbox.requests["list_tickets"] <= 210 * 1.1
        plan = await client.plan_windows(max_tickets=3000)
        parts = await asyncio.gather(*(_ids(client, window) for window in plan))
        assert len(plan) >= 7
        assert sorted(id for part in parts for id in part) == sorted(came)
        assert max(map(len, parts)) <= 3000
        async with client.walk(plan) as walk:
            ends, tickets, totals = [], 0, set()
            with suppress(StopAsyncIteration):
                while page := await walk.next_page():
                    tickets += len(page.rows)
                    totals.add(page.total)
                    if page.ends_window:
                        ends.append((page.window, walk.report_of(page).exact))
        assert ends == [(window, True) for window in plan]
        assert [ticket async for ticket in client.iter_tickets([])] == []
        assert tickets == 21_000
        assert totals == {sum(window.total for window in plan)}


async def _ids(client: object, what: TicketQuery | Window) -> list[int]:
    return [ticket.id async for ticket in client.iter_tickets(what)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "query", [TicketQuery(created_end=5), TicketQuery(created_start=2**32), TicketQuery(created_start=7, created_end=7)]
)
async def test_plan_of_nothing(query: TicketQuery) -> None:
    """A range without tickets is one window."""
    async with Sandbox(tickets=10) as sandbox, sandbox.client() as client:
        assert len(await client.plan_windows(query)) == 1
        assert await _ids(client, query) == []


async def test_plan_refused() -> None:
    """A plan for windows of no tickets is refused."""
    async with Sandbox(tickets=10) as sandbox, sandbox.client() as client:
        with pytest.raises(ConfigError, match="max_tickets is 0"):
            await client.plan_windows(max_tickets=0)


async def test_plan_that_fails(unused_tcp_port: int) -> None:
    """A plan whose server is not there fails with one error of the library's own."""
    from workorder_async import NotSentError

    async with make_client(f"http://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(NotSentError):
            await client.plan_windows()
