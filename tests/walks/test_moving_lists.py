"""Walks over lists that move, over sockets: what is promised of a walk, and that the report tells the truth."""

import pytest

from tests.support.slow import slow_after
from workorder_async import CloseTicket, Sandbox, TicketQuery, TicketStatus, TicketSummary
from workorder_async.sandbox import Drift

PENDING = TicketQuery(status=TicketStatus.PENDING)


async def pending_ids(sandbox: Sandbox) -> set[int]:
    """Return the ids of the pending tickets as they are now, read while nothing moves."""
    drift, sandbox.drift = sandbox.drift, ()
    async with sandbox.client() as client:
        found = {ticket.id async for ticket in client.iter_tickets(PENDING)}
    sandbox.drift = drift
    return found


def stayed(before: set[int], sandbox: Sandbox) -> set[int]:
    """Return those of the tickets that were pending before and never left."""
    return before - {id for change in sandbox.drifted for id in (*change.closed, *change.deleted)}


@pytest.mark.parametrize("concurrency", slow_after(1, [1, 16]))
async def test_close_while_walking(concurrency: int) -> None:
    """Closing each ticket as it comes closes every one and none twice, and the walk is exact."""
    async with Sandbox(tickets=1200) as sandbox, sandbox.client() as client:
        pending = await pending_ids(sandbox)
        assert len(pending) > 200

        async def close(ticket: TicketSummary) -> None:
            await client.close_ticket(
                CloseTicket(id=ticket.id, closer_id=1, closer_name=ticket.creator_name, solved_time=1_700_000_000)
            )

        async with client.walk(PENDING, page_size=20, concurrency=concurrency) as walk:
            async for tickets in walk:
                for ticket in tickets:
                    await close(ticket)
        closed = [applied.ticket_id for applied in sandbox.applied]
        assert sorted(closed) == sorted(pending)
        assert walk.report.exact, walk.report


async def test_plain_paging_misses() -> None:
    """The same list, paged as most clients do, is closed in part only: the drift is real."""
    async with Sandbox(tickets=1000) as sandbox, sandbox.client() as client:
        pending, number, handled = await pending_ids(sandbox), 1, 0
        while tickets := (await client.list_tickets(PENDING, page=number, page_size=20)).tickets:
            for ticket in tickets:
                await client.close_ticket(
                    CloseTicket(id=ticket.id, closer_id=1, closer_name=ticket.creator_name, solved_time=1)
                )
                handled += 1
            number += 1
    assert handled < len(pending) * 0.6


@pytest.mark.parametrize(("pick", "concurrency"), [("random", 8), ("newest", 1), ("oldest", 32)])
@pytest.mark.slow
async def test_tickets_that_leave(pick: str, concurrency: int) -> None:
    """Of a list that loses ten tickets per read, every one that stayed comes once, and the walk is exact."""
    async with Sandbox(tickets=6000) as sandbox, sandbox.client() as client:
        before = await pending_ids(sandbox)
        sandbox.drift = [Drift(every=1, close=10, pick=pick)]  # type: ignore[arg-type]
        asked = sandbox.requests["list_tickets"]
        async with client.walk(PENDING, page_size=100, concurrency=concurrency) as walk:
            came = [ticket.id async for tickets in walk for ticket in tickets]
        requests = sandbox.requests["list_tickets"] - asked
        assert len(came) == len(set(came))
        assert stayed(before, sandbox) <= set(came)
        # Where the last tickets leave faster than they are read, none of them comes again at the last edge.
        assert walk.report.exact or (pick == "oldest" and "no ticket came again" in walk.report.reason), walk.report
        assert requests <= 2 * -(-len(before) // 100)


@pytest.mark.parametrize(("pick", "concurrency"), slow_after(1, [("random", 4), ("newest", 16), ("oldest", 1)]))
async def test_one_leaves_and_one_enters(pick: str, concurrency: int) -> None:
    """Where a ticket leaves and one enters between any two requests, no total tells; the walk is exact, and right."""
    async with Sandbox(tickets=2500) as sandbox, sandbox.client() as client:
        before = await pending_ids(sandbox)
        sandbox.drift = [Drift(every=1, close=1, reopen=1, pick=pick)]  # type: ignore[arg-type]
        async with client.walk(PENDING, page_size=20, concurrency=concurrency) as walk:
            came = [ticket.id async for tickets in walk for ticket in tickets]
        assert len(came) == len(set(came))
        assert stayed(before, sandbox) <= set(came)
        assert walk.report.exact, walk.report


@pytest.mark.slow
async def test_deleted_and_created() -> None:
    """Of everything, tickets that are deleted and created between reads leave the walk exact."""
    async with Sandbox(tickets=2050) as sandbox, sandbox.client() as client:
        before = {ticket.id async for ticket in client.iter_tickets()}
        sandbox.drift = [Drift(every=1, delete=5, create=3)]
        async with client.walk(concurrency=8) as walk:
            came = [ticket.id async for page in walk for ticket in page]
        gone = {id for change in sandbox.drifted for id in change.deleted}
        assert len(came) == len(set(came))
        assert before - gone <= set(came)
        assert walk.report.exact, walk.report
