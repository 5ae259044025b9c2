"""walk.py, over sockets: pages come in order and at full concurrency, and nothing is left in flight afterwards."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, closing, suppress
from math import inf
from random import Random
from typing import Any

import pytest
from attrs import define, field

from tests.support.clients import make_client
from tests.support.list_server import BEGAN, Habits, ListServer, evenly
from tests.support.raw_server import http, serving
from tests.support.rows import each
from tests.support.slow import slow_after
from tests.support.virtual_loop import VirtualLoop, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    ApiError,
    AuthenticationError,
    ConfigError,
    DecodeError,
    NoAnswerError,
    RateLimitedError,
    ResponseError,
    RetryPolicy,
    Sandbox,
    TicketQuery,
    TicketSummary,
    Walk,
    WorkorderClient,
)
from workorder_async.document.envelope import Answer
from workorder_async.walks.options import walk_options
from workorder_async.walks.pages import Ask
from workorder_async.walks.sections import Section
from workorder_async.walks.windows import Window

FIRST = 1_700_000_000


@define
class Gatekeeper:
    """A list of so many tickets, the newest first; requests behind the first `free` ones wait for `gate`."""

    tickets: int
    free: float = inf
    asked: list[dict[str, Any]] = field(factory=list)
    under_way: int = 0
    most: int = 0
    gate: asyncio.Event = field(factory=asyncio.Event)
    changed: asyncio.Condition = field(factory=asyncio.Condition)
    last: Callable[[], bytes] = field(default=lambda: b"")

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the page that the request asks for."""
        request = json.loads(self.last())
        await self._note(request, 1)
        try:
            if len(self.asked) > self.free:
                await self.gate.wait()
        finally:
            await self._note(None, -1)
        low, high = request.get("created_start", 0), request.get("created_end", 2**40)
        times = ((FIRST + 10 * id, id) for id in range(self.tickets, 0, -1))
        rows = [{"id": id, "created_time": time} for time, id in times if low <= time <= high]
        start, size = (request["page"] - 1) * request["page_size"], request["page_size"]
        page = {"pagination": {"page_size": size, "total": len(rows)}, "tickets": rows[start : start + size]}
        writer.write(http(json.dumps({"errno": 10000, "data": page})))
        await writer.drain()

    async def _note(self, request: dict[str, Any] | None, change: int) -> None:
        async with self.changed:
            if request is not None:
                self.asked.append(request)
            self.under_way += change
            self.most = max(self.most, self.under_way)
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was asked makes this true."""
        async with self.changed:
            await self.changed.wait_for(condition)


@asynccontextmanager
async def listing(
    tickets: int, *, free: float = inf, **options: object
) -> AsyncIterator[tuple[Gatekeeper, WorkorderClient]]:
    """Serve a list, and give a client of it."""
    keeper = Gatekeeper(tickets, free)
    async with serving(keeper) as wire, make_client(wire.url, **options) as client:
        keeper.last = lambda: wire.requests[-1].partition(b"\r\n\r\n")[2]
        yield keeper, client


def ids(tickets: list[TicketSummary]) -> list[int]:
    """Return the tickets' ids."""
    return [ticket.id for ticket in tickets]


@pytest.mark.parametrize("concurrency", slow_after(1, [8, 1, 3]))
@pytest.mark.parametrize("tickets", [0, 1, 99, 100, 101, 1050])
async def test_every_ticket_once_in_order(tickets: int, concurrency: int) -> None:
    """A walk of a still list gives every ticket once, in order."""
    async with listing(tickets) as (keeper, client):
        walked = [ticket.id async for ticket in client.iter_tickets(page_size=100, concurrency=concurrency)]
    assert walked == list(range(tickets, 0, -1))
    assert len(keeper.asked) <= 1.1 * tickets / 100 + 4


async def test_pages() -> None:
    """iter_pages gives the same in pages of as many tickets as were wanted at the most."""
    async with listing(45) as (_, client):
        pages = [ids(page) async for page in client.iter_pages(page_size=10)]
    assert [id for page in pages for id in page] == list(range(45, 0, -1))
    assert max(map(len, pages)) == 10


async def test_concurrency_is_kept_full_and_bounded() -> None:
    """After the first page as many requests are under way as allowed, and never more."""
    async with listing(3000, free=1) as (keeper, client):
        walking = asyncio.create_task(_all(client, page_size=100, concurrency=4))
        await keeper.until(lambda: keeper.under_way == 4)
        keeper.gate.set()
        assert len(await walking) == 3000
        assert keeper.most == 4


async def _all(client: WorkorderClient, **options: Any) -> list[int]:
    return [ticket.id async for ticket in client.iter_tickets(**options)]


async def _to_the_end(walk: Walk) -> None:
    async for _ in walk:
        pass


@virtual_time
async def test_slow_consumer_stops_the_walk() -> None:
    """While the consumer is busy the walk reads on in the background, and no further than it may hold rows."""
    async with (
        virtual_sandbox(6000, latency=0.05) as (sandbox, client),
        client.walk(page_size=100, concurrency=2) as walk,
    ):
        await anext(walk)
        await asyncio.sleep(3600)
        # Eight pages for each of the jobs that may be begun, and what is in flight by then.
        assert 10 < sandbox.requests["list_tickets"] <= 8 * 2 + 4
        assert await anext(walk)


async def test_server_with_a_cap() -> None:
    """A server that gives fewer rows than asked is walked by pages as large as it gives."""
    async with Sandbox(tickets=95, page_size_cap=20) as sandbox, sandbox.client() as client:
        pages = [ids(page) async for page in client.iter_pages(page_size=50)]
        assert max(map(len, pages)) <= 20
        assert len({id for page in pages for id in page}) == 95
        assert sandbox.requests["list_tickets"] <= 8


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_failure(concurrency: int) -> None:
    """What was read before a failure is given out, then the failure is raised, and nothing is left in flight."""
    rows = [{"id": 100 - number, "created_time": FIRST - number} for number in range(20)]
    first = {"errno": 10000, "data": {"pagination": {"page_size": 20, "total": 99}, "tickets": rows}}
    page = http("<html>", "404 Not Found")
    async with serving(http(json.dumps(first)), page) as wire, make_client(wire.url) as client:
        walk = client.walk(page_size=20, concurrency=concurrency)
        assert ids(await anext(walk)) == list(range(100, 81, -1))
        with pytest.raises(ResponseError, match="list_tickets: HTTP 404"):
            await anext(walk)
        assert not walk.in_flight


async def test_a_failure_while_others_are_under_way() -> None:
    """They are left at once, also where nobody leaves a block."""
    server, asked, others = ListServer(Random(1), evenly(Random(1), 3000)), list[Ask](), asyncio.Event()

    async def read(ask: Ask) -> Answer:
        asked.append(ask)
        if len(asked) == 1:
            return server.read(ask)
        if len(asked) == 2:
            await others.wait()
            raise NoAnswerError("the connection was lost")
        others.set()
        await asyncio.Event().wait()
        raise AssertionError

    walk = Walk(Window(TicketQuery()), walk_options(concurrency=4), read)
    with pytest.raises(NoAnswerError):
        await _to_the_end(walk)
    assert len(asked) > 2
    assert not walk.in_flight


async def test_row_without_an_id() -> None:
    """A row that cannot be told apart stops the walk with its path."""
    body = '{"errno":10000,"data":{"pagination":{"page_size":10,"total":2},"tickets":[{"id":1},{"title":"x"}]}}'
    async with serving(http(body)) as wire, make_client(wire.url) as client:
        with pytest.raises(DecodeError, match=r"\$\.data\.tickets\[1\]\.id is missing"):
            await _all(client)


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"page_size": 0}, {"concurrency": True}])
async def test_refused(options: dict[str, Any]) -> None:
    """A walk that cannot work is refused by the name of its argument."""
    async with make_client() as client:
        with pytest.raises(ConfigError, match=next(iter(options))):
            client.walk(**options)
        with pytest.raises(ConfigError, match="query must be a TicketQuery"):
            client.walk("pending")  # type: ignore[arg-type]


async def test_break_with_aclosing() -> None:
    """After a break inside aclosing nothing is in flight."""
    async with listing(3000, free=1) as (keeper, client):
        async with aclosing(client.iter_tickets(page_size=100, concurrency=4)) as tickets:
            async for ticket in tickets:
                await keeper.until(lambda: keeper.under_way == 4)
                assert ticket.id == 3000
                break
        assert _requests_in_flight() == 0


async def test_exception_in_the_body() -> None:
    """After an exception in the body of a walk nothing is in flight."""
    async with listing(3000, free=1) as (keeper, client):

        async def stumble() -> None:
            async with client.walk(page_size=100, concurrency=4) as walk:
                await anext(walk)
                await keeper.until(lambda: keeper.under_way == 4)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await stumble()
        assert _requests_in_flight() == 0


async def test_cancelled() -> None:
    """A walk whose task is cancelled while it waits lets go of everything, and passes the cancellation."""
    async with listing(3000, free=1) as (keeper, client):
        walking = asyncio.create_task(_all(client, page_size=100, concurrency=4))
        await keeper.until(lambda: keeper.under_way == 4)
        walking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await walking
        assert _requests_in_flight() == 0


async def test_plain_break_and_the_clients_end() -> None:
    """A walk that is just left is ended at the latest when the client closes."""
    async with listing(3000, free=1) as (keeper, client):
        tickets = client.iter_tickets(page_size=100, concurrency=4)
        async for _ in tickets:
            break
        await keeper.until(lambda: keeper.under_way == 4)
        await client.aclose()
        assert _requests_in_flight() == 0
        await tickets.aclose()


async def test_walk_of_a_closed_client() -> None:
    """A walk that goes on after its client was closed ends with a sentence, not in a hang."""
    async with listing(1000) as (_, client), client.walk(page_size=10) as walk:
        await anext(walk)
        await client.aclose()
        with pytest.raises(ConfigError, match="closed"):
            await _exhaust(walk)


@pytest.mark.slow
async def test_memory_is_bounded_by_pages() -> None:
    """Tickets are not kept once they were given out: some pages wait for their turn, and no more."""
    async with listing(3000) as (_, client):
        most = 0
        async for _ in client.iter_pages(page_size=100, concurrency=2):
            gc.collect()
            most = max(most, sum(isinstance(thing, TicketSummary) for thing in gc.get_objects()))
    assert 100 <= most <= 1000


@pytest.mark.slow
@virtual_time
async def test_sections_are_forgotten() -> None:
    """A walk that waits until more may be read keeps nothing of what was given out meanwhile."""
    async with virtual_sandbox(3000, latency=0.05) as (_, client):
        async for page in client.iter_pages(page_size=10, concurrency=16):
            await asyncio.sleep(1)
            if page[-1].id > 1200:
                continue
            gc.collect()
            sections = sum(isinstance(thing, Section) for thing in gc.get_objects())
            assert 1 < sections < 20
            break


async def test_query_is_sent_with_every_page() -> None:
    """The filters go with each request of a walk, and only what matches comes."""
    async with Sandbox(tickets=1000) as sandbox, sandbox.client(retry=RetryPolicy(attempts=1)) as client:
        query = TicketQuery(status="pending", type="咨询")
        walked = [ticket async for ticket in client.iter_tickets(query, page_size=20)]
        assert len(walked) == (await client.list_tickets(query)).pagination.total > 20
        assert {(ticket.status.label, ticket.type.label) for ticket in walked} == {("待处理", "咨询")}


async def _exhaust(walk: Walk) -> None:
    async for _ in walk:
        pass


async def test_others_get_their_turn() -> None:
    """While a walk has much to read, another call waits behind no more than the walk's share of requests."""
    async with listing(10_000, free=1, max_in_flight=2) as (keeper, client):
        walking = asyncio.create_task(_all(client, page_size=20, concurrency=2))
        await keeper.until(lambda: keeper.under_way == 2)
        other = asyncio.create_task(client.list_tickets(page=900, page_size=10))
        await asyncio.sleep(0)
        keeper.gate.set()
        assert ids((await other).tickets)[0] == 1010
        assert len(keeper.asked) < 10
        walking.cancel()
        await asyncio.wait([walking])


async def test_an_answer_of_very_many_rows() -> None:
    """Its pages of a thousand rows come with turns of other tasks between; a wait that is cut short loses none."""
    turns, loop = 0, asyncio.get_running_loop()

    def turn() -> None:
        nonlocal turns
        turns += 1
        later[0] = loop.call_soon(turn)

    later = [loop.call_soon(turn)]
    async with listing(4501) as (keeper, client), client.walk(page_size=5000) as walk:
        pages = [ids(await anext(walk))]
        before = turns
        for _ in range(4):
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    pages.append(ids(await anext(walk)))
            pages.append(ids(await anext(walk)))
        with pytest.raises(StopAsyncIteration):
            await anext(walk)
        assert turns - before >= 4
    later[0].cancel()
    assert [len(page) for page in pages] == [1000, 1000, 1000, 1000, 501]
    assert len(keeper.asked) == 1


def _requests_in_flight() -> int:
    """Count the tasks of walks that are still running."""
    return sum("Walk._work" in repr(task.get_coro()) for task in asyncio.all_tasks())


@pytest.mark.slow
async def test_deep_pages_are_refused() -> None:
    """Hints that are refused are done without."""
    async with Sandbox(tickets=3000, page_depth=300) as sandbox, sandbox.client() as client, client.walk() as walk:
        assert len({ticket.id for page in [page async for page in walk] for ticket in page}) == 3000
        assert walk.report.exact, walk.report.reason
        assert sandbox.requests["list_tickets"] > walk.report.sections + 3000 / 100


async def test_a_refused_question() -> None:
    """Where the server refuses to count a range of all years at the end, the walk ends, and is not exact."""
    server = ListServer(Random(1), evenly(Random(1), 3000), drift=lambda server: server.leave(1, may_return=False))

    async def read(ask: Ask) -> Answer:
        if ask.start == 1:
            raise ApiError("a range of more than a year", errno=10002)
        return server.read(ask)

    async with Walk(Window(TicketQuery()), walk_options(), read) as walk:
        await _to_the_end(walk)
        assert (walk.report.tickets >= 2900, walk.report.exact) == (True, False)


async def test_a_refused_count_of_a_window() -> None:
    """The same of a walk whose query has ends: what was bridged is exact without a count."""
    server = ListServer(Random(1), evenly(Random(1), 300), drift=lambda server: server.leave(1, may_return=False))
    first, _ = server.rows[0]

    async def read(ask: Ask) -> Answer:
        if ask.size == 1:
            raise ApiError("pages have 10 rows or more", errno=10002)
        return server.read(ask)

    async with Walk(Window(TicketQuery(created_start=first)), walk_options(page_size=50), read) as walk:
        await _to_the_end(walk)
        assert walk.report.tickets != walk.report.first_total
        assert walk.report.exact, walk.report.reason


def busy(server: ListServer, which: Callable[[Ask], bool], times: float = 1) -> Callable[[Ask], Awaitable[Answer]]:
    """Return how to read a server that refuses so many of certain questions."""
    refused = 0

    async def read(ask: Ask) -> Answer:
        nonlocal refused
        if which(ask) and refused < times:
            refused += 1
            raise ApiError("system busy", errno=50000)
        return server.read(ask)

    return read


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        (1, "the list counts 150 tickets, and 147 by their created times"),
        (2, "the list refuses to say how many tickets it has"),
        (inf, "the list refuses to say how many tickets it has"),
    ],
)
async def test_a_refused_total(times: float, reason: str) -> None:
    """A list that refuses its total is not exact: it may have tickets without a created time, and these come, too."""
    server = ListServer(Random(1), evenly(Random(1), 150))
    server._undated = {3, 70, 140}
    read = busy(server, lambda ask: (ask.start, ask.end, ask.size) == (None, None, 1), times)
    async with Walk(Window(TicketQuery()), walk_options(), read) as walk:
        await _to_the_end(walk)
    assert walk.report.tickets == 150
    assert not walk.report.exact
    assert walk.report.reason.startswith(reason)


@pytest.mark.parametrize(("shift", "tickets"), [(1800, 49), (0, 81)])
async def test_a_filter_that_must_not_be_looked_at(shift: int, tickets: int) -> None:
    """Where a second that is asked for shows nothing, and no other one can be had, the filter is not believed."""
    server = ListServer(Random(1), evenly(Random(1), 200, 60), Habits(late=shift))
    window = Window(TicketQuery(created_start=BEGAN + 5000, created_end=BEGAN + 9000))
    read = busy(server, lambda ask: (ask.start, ask.end) == (None, None), inf)
    async with Walk(window, walk_options(), read) as walk:
        await _to_the_end(walk)
    assert walk.report.tickets == tickets
    assert walk.report.exact is (not shift), walk.report.reason


@pytest.mark.parametrize("times", [1, 2])
async def test_nothing_behind_a_page(times: int) -> None:
    """That there is nothing behind a page is believed where the platform says so twice: once, it may be busy."""
    server = ListServer(Random(1), evenly(Random(1), 205), Habits(size_cap=20, counts_pages=True, echoes_size=True))
    read = busy(server, lambda ask: ask.page == 2, times)
    async with Walk(Window(TicketQuery()), walk_options(), read) as walk:
        await _to_the_end(walk)
    assert walk.report.tickets == (205 if times == 1 else 20)
    assert walk.report.exact


async def test_an_answer_to_another_question() -> None:
    """An answer with tickets from outside of its range may be a cache's mistake: it is asked for once more."""
    server, mixed_up = ListServer(Random(1), evenly(Random(1), 400)), list[Ask]()

    async def read(ask: Ask) -> Answer:
        if ask.end is not None and not mixed_up:
            mixed_up.append(ask)
            return server.read(Ask(None, None, 1, ask.size))
        return server.read(ask)

    async with Walk(Window(TicketQuery()), walk_options(), read) as walk:
        await _to_the_end(walk)
    assert len(mixed_up) == 1
    assert (walk.report.tickets, walk.report.exact) == (400, True)


async def test_a_ticket_without_a_created_time_is_given_once() -> None:
    """Several answers may show it."""
    server = ListServer(Random(1), evenly(Random(1), 400), Habits(undated_before=True))
    server._undated = {200, 390}
    assert sorted(await _ids_of(server.read)) == list(range(1, 401))


async def test_a_row_of_a_count_is_not_given() -> None:
    """Where only the total of an answer is wanted, its row is not, though it has no created time and is new."""
    server = ListServer(Random(1), evenly(Random(1), 150))
    server._undated, counts = {3, 70, 140}, list[Ask]()

    def read(ask: Ask) -> Answer:
        if (ask.start, ask.end, ask.size) != (None, None, 1):
            return server.read(ask)
        counts.append(ask)
        return Answer({"pagination": {"page_size": 1, "total": 150}, "tickets": [{"id": 999, "created_time": 0}]})

    assert sorted(await _ids_of(read)) == list(range(1, 151))
    assert counts


async def _ids_of(answer: Callable[[Ask], Answer]) -> list[int]:
    """Walk a list, and return the ids of its tickets as they came."""

    async def read(ask: Ask) -> Answer:
        return answer(ask)

    async with Walk(Window(TicketQuery()), walk_options(), read) as walk:
        return [ticket.id async for page in walk for ticket in page]


async def test_busy_where_a_ticket_hides() -> None:
    """A ticket that was stamped late is looked for once more where the first look is refused."""
    rows = evenly(Random(1), 400, 60)
    rows[68] = (rows[68][0] + 3000, rows[68][1])
    server = ListServer(Random(1), sorted(rows), Habits(order="id"))
    looks = list[Ask]()

    def look(ask: Ask) -> bool:
        looks.extend([ask] if None not in (ask.start, ask.end) and ask.page > 1 else [])
        return ask in looks

    async with Walk(Window(TicketQuery()), walk_options(), busy(server, look)) as walk:
        await _to_the_end(walk)
    assert len(looks) == 2
    assert (walk.report.tickets, walk.report.exact) == (400, True)


INTERNAL = ResponseError("errno -1", status=200)
INTERNAL.errno = -1  # mapped to this class


@pytest.mark.parametrize(
    ("error", "exact"),
    [
        (ApiError("no such page", errno=10002), True),
        (ResponseError("no answer of the platform", status=502), False),
        (INTERNAL, False),
    ],
)
async def test_a_refused_page_behind_a_first_one(error: Exception, exact: bool) -> None:
    """The platform's own refusal says that there is no such page; a gateway that fails leaves it open, and is told."""
    server = ListServer(Random(1), evenly(Random(1), 20))

    async def read(ask: Ask) -> Answer:
        if ask.page > 1:
            raise error
        return server.read(ask)

    async with Walk(Window(TicketQuery()), walk_options(), read) as walk:
        await _to_the_end(walk)
        assert (walk.report.tickets, walk.report.exact) == (20, exact)
        assert exact or str(error) in walk.report.reason


@pytest.mark.parametrize("created_start", [None, 1])
async def test_a_list_that_shows_none(created_start: int | None) -> None:
    """A list that counts tickets, and shows not one of them, is not empty, and the walk says so."""
    shown = []

    async def read(ask: Ask) -> Answer:
        shown.append(ask)
        return Answer({"pagination": {"page_size": 100, "total": 5}, "tickets": []})

    async with Walk(Window(TicketQuery(created_start=created_start)), walk_options(), read) as walk:
        await _to_the_end(walk)
        assert (walk.report.tickets, walk.report.exact) == (0, False)
        assert walk.report.reason == "the list counts 5 tickets, and shows none"
    assert len(shown) < 10


@pytest.mark.parametrize("order", ["newest", "none"])
@pytest.mark.parametrize("slots", slow_after(1, [8, 1]))
@pytest.mark.parametrize("bad", slow_after(1, [150, 250]))
async def test_more_bad_rows_than_a_page(order: str, slots: int, bad: int) -> None:
    """Rows that cannot be read, more of them in a row than a page has, hide no others."""
    habits = Habits(order=order, bad=range(1000, 1000 + bad))  # type: ignore[arg-type]
    server = ListServer(Random(1), evenly(Random(1), 3000), habits)

    async def read(ask: Ask) -> Answer:
        return server.read(ask)

    async with Walk(Window(TicketQuery()), walk_options(on_bad_row="skip", concurrency=slots), read) as walk:
        came = [id async for page in walk for id in ids(page)]
        assert sorted(came) == [*range(1, 1000), *range(1000 + bad, 3001)]
        assert not walk.report.exact


@pytest.mark.parametrize("kind", [AuthenticationError, RateLimitedError])
async def test_a_refusal_that_is_not_of_the_page(kind: type[ApiError]) -> None:
    """What the server says of who asks, or how often, ends the walk, whichever page was asked for."""
    server = ListServer(Random(1), evenly(Random(1), 3000))

    async def read(ask: Ask) -> Answer:
        if ask.page > 1:
            raise kind("no", errno=1)
        return server.read(ask)

    async with Walk(Window(TicketQuery()), walk_options(), read) as walk:
        with pytest.raises(kind):
            await _to_the_end(walk)


@each("end", [KeyboardInterrupt, asyncio.CancelledError])
def test_interrupted_in_a_request(end: type[BaseException]) -> None:
    """Ctrl-C in a request, or its cancellation by others, ends the walk where the loop goes on, as in IPython."""
    server, is_first = ListServer(Random(1), evenly(Random(1), 5000)), iter([True])

    async def read(ask: Ask) -> Answer:
        if ask.page > 1 and next(is_first, False):
            raise end
        return server.read(ask)

    async def use() -> None:
        async with Walk(Window(TicketQuery()), walk_options(), read) as walk:
            await _to_the_end(walk)

    with closing(VirtualLoop()) as loop:
        task = loop.create_task(use())
        with suppress(KeyboardInterrupt, ConfigError):
            loop.run_until_complete(task)
        with pytest.raises(ConfigError, match="this walk was interrupted; begin another one"):
            loop.run_until_complete(task)


async def test_a_failure_that_does_not_matter_any_more() -> None:
    """Where the list is read anew in another way, the failure of a read for the former way does not end the walk."""
    server, is_anew = ListServer(Random(1), evenly(Random(1), 5000), Habits(order="open last")), asyncio.Event()
    hints: list[Ask] = []

    async def read(ask: Ask) -> Answer:
        if walk.is_restarted:
            is_anew.set()
        elif ask.page > 1:
            hints.append(ask)
            if ask is hints[0]:
                await is_anew.wait()
                raise NoAnswerError("the connection was lost")
        return server.read(ask)

    async with Walk(Window(TicketQuery()), walk_options(concurrency=16), read) as walk:
        await _to_the_end(walk)
        assert (walk.report.tickets, walk.report.exact, is_anew.is_set()) == (5000, True, True)
