"""walk.py, over sockets: pages come in order and at full concurrency, and nothing is left in flight afterwards."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from attrs import define, field

from tests.support.clients import make_client
from tests.support.raw_server import http, serving
from workorder_async import (
    ConfigError,
    DecodeError,
    ResponseError,
    RetryPolicy,
    Sandbox,
    TicketQuery,
    TicketSummary,
    Walk,
    WorkorderClient,
)


@define
class Gatekeeper:
    """A list of so many tickets; each page is answered when its gate opens, at once without one."""

    tickets: int
    asked: list[int] = field(factory=list)
    under_way: int = 0
    most: int = 0
    gates: dict[int, asyncio.Event] = field(factory=dict)
    changed: asyncio.Condition = field(factory=asyncio.Condition)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the page that the request asks for."""
        request = json.loads(self.last())
        number, size = request["page"], request["page_size"]
        await self._note(number, 1)
        try:
            if number in self.gates:
                await self.gates[number].wait()
        finally:
            await self._note(None, -1)
        rows = [{"id": id} for id in range((number - 1) * size + 1, min(number * size, self.tickets) + 1)]
        page = {"pagination": {"page_size": size, "total": self.tickets}, "tickets": rows}
        writer.write(http(json.dumps({"errno": 10000, "data": page})))
        await writer.drain()

    last: Callable[[], bytes] = field(default=lambda: b"")

    async def _note(self, number: int | None, change: int) -> None:
        async with self.changed:
            if number is not None:
                self.asked.append(number)
            self.under_way += change
            self.most = max(self.most, self.under_way)
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was asked makes this true."""
        async with self.changed:
            await self.changed.wait_for(condition)


@asynccontextmanager
async def listing(tickets: int, **options: object) -> AsyncIterator[tuple[Gatekeeper, WorkorderClient]]:
    """Serve a list, and give a client of it."""
    keeper = Gatekeeper(tickets)
    async with serving(keeper) as wire, make_client(wire.url, **options) as client:
        keeper.last = lambda: wire.requests[-1].partition(b"\r\n\r\n")[2]
        yield keeper, client


def ids(tickets: list[TicketSummary]) -> list[int]:
    """Return the tickets' ids."""
    return [ticket.id for ticket in tickets]


@pytest.mark.parametrize("concurrency", [1, 3, 8])
@pytest.mark.parametrize("tickets", [0, 1, 99, 100, 101, 1050])
async def test_every_ticket_once_in_order(tickets: int, concurrency: int) -> None:
    """A walk of a still list gives every ticket once, in order, and reads each page once.

    A list that ends exactly full costs one more: a look behind its end.

    Rule 4.
    """
    async with listing(tickets) as (keeper, client):
        walked = [ticket.id async for ticket in client.iter_tickets(page_size=100, concurrency=concurrency)]
    assert walked == list(range(1, tickets + 1))
    assert sorted(keeper.asked) == list(range(1, tickets // 100 + 2))


async def test_pages() -> None:
    """iter_pages gives the same, a page at a time."""
    async with listing(25) as (_, client):
        assert [ids(page) async for page in client.iter_pages(page_size=10)] == [
            list(range(1, 11)),
            list(range(11, 21)),
            list(range(21, 26)),
        ]


async def test_concurrency_is_kept_full_and_bounded() -> None:
    """After the first page as many requests are under way as allowed, and never more.

    Rule 3.
    """
    async with listing(100) as (keeper, client):
        keeper.gates = {number: asyncio.Event() for number in range(2, 11)}
        walking = asyncio.create_task(_all(client, page_size=10, concurrency=4))
        await keeper.until(lambda: keeper.under_way == 4)
        for gate in keeper.gates.values():
            gate.set()
        assert len(await walking) == 100
        assert keeper.most == 4


async def _all(client: WorkorderClient, **options: Any) -> list[int]:
    return [ticket.id async for ticket in client.iter_tickets(**options)]


async def test_slow_page_does_not_stop_the_others() -> None:
    """While one page is slow the walk reads on, up to four pages for each request in flight, and gives out in order.

    Rule 3.
    """
    async with listing(1000) as (keeper, client):
        keeper.gates[2] = asyncio.Event()
        walking = asyncio.create_task(_all(client, page_size=10, concurrency=4))
        await keeper.until(lambda: len(keeper.asked) == 17 and keeper.under_way == 1)
        assert max(keeper.asked) == 17
        keeper.gates[2].set()
        assert await walking == list(range(1, 1001))


async def test_slow_consumer_stops_the_walk() -> None:
    """While the consumer is busy the walk reads on in the background, and no further than its window.

    Rule 3.
    """
    async with listing(10_000) as (keeper, client), client.walk(page_size=10, concurrency=2) as walk:
        assert ids(await anext(walk)) == list(range(1, 11))
        await keeper.until(lambda: len(keeper.asked) == 9 and keeper.under_way == 0)
        assert ids(await anext(walk)) == list(range(11, 21))
        await keeper.until(lambda: len(keeper.asked) == 10 and keeper.under_way == 0)


async def test_server_with_a_cap() -> None:
    """A server that gives fewer rows than asked is walked by its own stride.

    Rule 2.
    """
    async with Sandbox(tickets=95, page_size_cap=20) as sandbox, sandbox.client() as client:
        pages = [ids(page) async for page in client.iter_pages(page_size=50)]
        assert [len(page) for page in pages] == [20, 20, 20, 20, 15]
        assert len({id for page in pages for id in page}) == 95
        assert sandbox.requests["list_tickets"] == 5


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_failure(concurrency: int) -> None:
    """What was read before a failure is given out, then the failure is raised, and nothing is left in flight."""
    row = http('{"errno":10000,"data":{"pagination":{"page_size":1,"total":9},"tickets":[{"id":1}]}}')
    page = http("<html>", "404 Not Found")
    async with serving(row, page) as wire, make_client(wire.url) as client:
        walk = client.walk(page_size=1, concurrency=concurrency)
        assert ids(await anext(walk)) == [1]
        with pytest.raises(ResponseError, match="list_tickets: HTTP 404"):
            await anext(walk)
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
    async with listing(1000) as (keeper, client):
        keeper.gates = {number: asyncio.Event() for number in range(2, 200)}
        async with aclosing(client.iter_tickets(page_size=10, concurrency=4)) as tickets:
            async for ticket in tickets:
                await keeper.until(lambda: keeper.under_way == 4)
                assert ticket.id == 1
                break
        assert _requests_in_flight() == 0


async def test_exception_in_the_body() -> None:
    """After an exception in the body of a walk nothing is in flight."""
    async with listing(1000) as (keeper, client):
        keeper.gates = {number: asyncio.Event() for number in range(2, 200)}

        async def stumble() -> None:
            async with client.walk(page_size=10, concurrency=4) as walk:
                await anext(walk)
                await keeper.until(lambda: keeper.under_way == 4)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await stumble()
        assert _requests_in_flight() == 0


async def test_cancelled() -> None:
    """A walk whose task is cancelled while it waits lets go of everything, and passes the cancellation."""
    async with listing(1000) as (keeper, client):
        keeper.gates = {number: asyncio.Event() for number in range(2, 200)}
        walking = asyncio.create_task(_all(client, page_size=10, concurrency=4))
        await keeper.until(lambda: keeper.under_way == 4)
        walking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await walking
        assert _requests_in_flight() == 0


async def test_plain_break_and_the_clients_end() -> None:
    """A walk that is just left is ended at the latest when the client closes."""
    async with listing(1000) as (keeper, client):
        keeper.gates = {number: asyncio.Event() for number in range(2, 200)}
        tickets = client.iter_tickets(page_size=10, concurrency=4)
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


async def test_memory_is_bounded_by_pages() -> None:
    """Tickets are not kept once they were given out."""
    async with listing(3000) as (_, client):
        most = 0
        async for _ in client.iter_pages(page_size=100, concurrency=2):
            gc.collect()
            most = max(most, sum(isinstance(thing, TicketSummary) for thing in gc.get_objects()))
    assert most <= 200


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
    async with listing(10_000, max_in_flight=2) as (keeper, client):
        keeper.gates = {number: asyncio.Event() for number in range(2, 200)}
        walking = asyncio.create_task(_all(client, page_size=10, concurrency=2))
        await keeper.until(lambda: keeper.under_way == 2)
        other = asyncio.create_task(client.list_tickets(page=900, page_size=10))
        await asyncio.sleep(0)
        for number in (2, 3, 4, 5):
            keeper.gates[number].set()
        assert ids((await other).tickets)[0] == 8991
        walking.cancel()
        await asyncio.wait([walking])


def _requests_in_flight() -> int:
    """Count the tasks of walks that are still running."""
    return sum("Walk._fetch" in repr(task.get_coro()) for task in asyncio.all_tasks())
