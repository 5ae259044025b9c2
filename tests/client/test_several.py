"""client.py: several tickets at once, each with its own outcome, and how many match."""

import asyncio

import pytest

from tests.support.virtual_loop import running_loop, taking, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    AuthenticationError,
    ConfigError,
    DeadlineExceededError,
    NotFoundError,
    ResponseError,
    Ticket,
    TicketDetail,
    TicketQuery,
    TicketStatus,
)
from workorder_async.sandbox import Fault
from workorder_async.wire.limits import Lane


@virtual_time
async def test_each_has_its_outcome() -> None:
    """A ticket that is not there, or cannot be read, has its error; the others are read, side by side."""
    async with virtual_sandbox(50, latency=0.1) as (sandbox, client):
        ids = [ticket.id async for ticket in client.iter_tickets()]
        sandbox.faults = [Fault("html", operation="get_ticket", after=5, times=4)]
        began = running_loop().time()
        found = await client.get_tickets([*ids, 10**9, ids[0]], concurrency=10)
        took = running_loop().time() - began
    assert found.keys() == {*ids, 10**9}
    assert isinstance(found[10**9], NotFoundError)
    read = [ticket for id, ticket in found.items() if isinstance(ticket, Ticket) and ticket.id == id]
    assert len(read) >= 46
    assert {type(one) for one in found.values()} <= {Ticket, NotFoundError, ResponseError}
    assert sandbox.requests["get_ticket"] <= 51 + 4
    assert 0.5 <= took < 5.0
    assert found[ids[0]] is not found[ids[1]]


@virtual_time
async def test_a_deadline_is_for_all_of_them() -> None:
    """When it is past, those that were read by then have their tickets, and the others are not waited for."""
    async with virtual_sandbox(20, latency=1.0) as (sandbox, client), taking(3.53):
        found = await client.get_tickets(range(1001, 1021), concurrency=2, deadline=3.5)
        assert [type(one) for one in found.values()] == [Ticket] * 6 + [DeadlineExceededError] * 14
        assert sandbox.requests["get_ticket"] <= 8


@virtual_time
async def test_what_ends_it() -> None:
    """What is no number, and a refused signature, are no outcome of one ticket."""
    async with virtual_sandbox(20) as (sandbox, client):
        assert await client.get_tickets([]) == {}
        for wrong in ([0], ["7"], [True], [[1]], 5, "7", b"12"):
            with pytest.raises(ConfigError, match=r"it must be a (ticket's number|list of tickets' numbers)"):
                await client.get_tickets(wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="concurrency is 0"):
            await client.get_tickets([1001], concurrency=0)
        sandbox.faults = [Fault("401")]
        with pytest.raises(AuthenticationError):
            await client.get_tickets(range(1001, 1021))
        assert sandbox.requests["get_ticket"] <= 16


@virtual_time
async def test_count() -> None:
    """One request tells how many match, also where no row can be read."""
    async with virtual_sandbox(300) as (sandbox, client):
        pending = [ticket async for ticket in client.iter_tickets(TicketQuery(status=TicketStatus.PENDING))]
        before = sandbox.requests["list_tickets"]
        assert await client.count_tickets() == 300
        assert await client.count_tickets(TicketQuery(status="pending")) == len(pending)
        sandbox.faults = [Fault("bad_row", operation="list_tickets")]
        assert await client.count_tickets() == 300
        assert sandbox.requests["list_tickets"] - before == 3


@virtual_time
async def test_a_lane_of_another_client() -> None:
    """Of two clients in one lane, one would take a call that the other ends, and keep its slot for good."""
    async with virtual_sandbox(40, latency=0.1, client={"max_in_flight": 2}) as (sandbox, client):
        lane = Lane(4)
        async with sandbox.client(max_in_flight=8, now=running_loop().wall_clock) as other:
            of_both = [each.get_ticket_detail(id, lane=lane) for id in range(1001, 1021) for each in (client, other)]
            found = await asyncio.gather(*of_both, return_exceptions=True)
            assert {str(one) for one in found[1::2]} == {
                "get_ticket_detail: lane is of another client; make one for each client"
            }
            assert {type(one) for one in found[::2]} == {TicketDetail}
            assert client.stats().in_flight == other.stats().in_flight == 0
