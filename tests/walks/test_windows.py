"""windows.py: cuts by created time that tile the whole range, and walks over them, for every odd spread of tickets."""

import asyncio
import itertools
import pickle
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clients import make_client
from workorder_async import ConfigError, Sandbox, TicketQuery, WalkDriftError
from workorder_async.models import JSON, PageRequest
from workorder_async.protocol.envelope import Answer
from workorder_async.walks.plan import WindowPlan
from workorder_async.walks.windows import WindowWalk

END = 1_700_000_000


class Times:
    """A server that lists tickets by created time, both ends included, newest first; totals may be wrong."""

    def __init__(self, times: list[int], *, exclusive: bool = False, wrong: float = 1.0) -> None:
        self.rows: list[Any] = [{"id": id, "created_time": time} for id, time in enumerate(times)]
        self.rows.sort(key=lambda row: (-row["created_time"], -row["id"]))
        self.exclusive = exclusive
        self.wrong = wrong
        self.requests = 0

    def read(self, request: PageRequest) -> Answer:
        """Return a page of what the request asks for."""
        self.requests += 1
        low, high = request.query.created_start or 0, request.query.created_end
        high = 2**60 if high is None else high - self.exclusive
        rows = [row for row in self.rows if low <= row["created_time"] <= high]
        start = (request.page - 1) * request.page_size
        total = int(len(rows) * (self.wrong if request.page_size == 1 else 1))
        pagination: JSON = {"page_size": request.page_size, "total": total}
        return Answer({"pagination": pagination, "tickets": [*rows[start : start + request.page_size]]})


def walked(walk: WindowWalk, server: Times, random: Random) -> list[int]:
    """Walk to the end with answers in any order; return the ids that came."""
    came: list[int] = []
    waiting: list[tuple[object, Answer]] = []
    while not walk.finished:
        if (page := walk.take()) is not None:
            came += [int(str(row["id"])) for row in page.rows]
        if (read := walk.next_read()) is not None:
            waiting.append((read, server.read(read.request)))
        elif waiting:
            read_again, answer = waiting.pop(random.randrange(len(waiting)))
            walk.receive(read_again, answer, END)  # type: ignore[arg-type]
        else:
            assert page is not None or walk.finished, "the walk neither reads nor ends"
    return came


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
    plan = WindowPlan(TicketQuery(), max_tickets=500, now=END, first=server.read(PageRequest(page_size=100)))
    while (request := plan.next_request()) is not None:
        plan.receive(request, server.read(request))
    assert 10 <= len(plan.windows()) <= 16
    assert server.requests <= len(plan.windows()) + 5


@given(times=spreads, most=st.integers(1, 30), random=st.randoms(use_true_random=False))
def test_windows_tile(times: list[int], most: int, random: Random) -> None:
    """Windows follow each other edge to edge over the whole range, and none but a single second holds too many."""
    server = Times(times)
    plan = WindowPlan(TicketQuery(), max_tickets=most, now=END, first=server.read(PageRequest(page_size=10)))
    asked: list[PageRequest] = []
    cuts: set[int | None] = set()
    while not plan.finished:
        while (request := plan.next_request()) is not None:
            asked.append(request)
            cuts |= {request.query.created_start, request.query.created_end}
        request = asked.pop(random.randrange(len(asked)))
        plan.receive(request, server.read(request))
    windows = plan.windows()
    edges = [(window.created_start, window.created_end) for window in windows]
    assert edges[0][0] == 0
    assert edges[-1][1] == END + 1
    assert all(left[1] == right[0] for left, right in itertools.pairwise(edges))
    for start, end in edges:
        assert start is not None
        assert end is not None
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
        parts = await asyncio.gather(*(_ids(client, query) for query in plan))
        assert len(plan) >= 7
        assert {id for part in parts for id in part} == set(came)
        assert max(map(len, parts)) <= 3000


async def _ids(client: object, query: TicketQuery) -> list[int]:
    return [ticket.id async for ticket in client.iter_tickets(query)]  # type: ignore[attr-defined]


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
