"""Walks over lists that move, over sockets: what is promised of a walk, and that the report tells the truth."""

from contextlib import suppress

import pytest

from workorder_async import CloseTicket, Sandbox, TicketQuery, TicketStatus, TicketSummary, WalkDriftError
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


@pytest.mark.parametrize("concurrency", [1, 4, 16])
async def test_close_while_walking(concurrency: int) -> None:
    """Closing each ticket as it comes closes every one and none twice; the report names what it takes for granted.

    Rule 5.
    """
    async with Sandbox(tickets=2500) as sandbox, sandbox.client() as client:
        pending = await pending_ids(sandbox)
        assert len(pending) > 500

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
        assert walk.report.drifts > 0
        assert not walk.report.exact, "a ticket may have been reopened"
        assert "left and entered this filter" in walk.report.reason


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


@pytest.mark.parametrize("pick", ["random", "newest", "oldest"])
@pytest.mark.parametrize("concurrency", [1, 8, 16, 32])
async def test_tickets_that_leave(pick: str, concurrency: int) -> None:
    """Of a list that loses ten tickets per read, every one that stayed comes once, for few more requests.

    Rule 6.
    """
    async with Sandbox(tickets=15_000) as sandbox, sandbox.client() as client:
        before = await pending_ids(sandbox)
        still = sandbox.requests["list_tickets"]
        sandbox.drift = [Drift(every=1, close=10, pick=pick)]  # type: ignore[arg-type]
        asked = sandbox.requests["list_tickets"]
        async with client.walk(PENDING, page_size=100, concurrency=concurrency) as walk:
            came = [ticket.id async for tickets in walk for ticket in tickets]
        requests = sandbox.requests["list_tickets"] - asked
        assert len(came) == len(set(came))
        assert stayed(before, sandbox) <= set(came)
        assert requests <= 3 * -(-len(before) // 100)
        assert still == -(-len(before) // 100)


@pytest.mark.parametrize(("tickets", "requests"), [(9_950, 100), (9_900, 100), (10_000, 101)])
async def test_still_list_costs_nothing_more(tickets: int, requests: int) -> None:
    """On a list that holds still a walk makes no request more than it has pages; one if it ends exactly full.

    Rule 7.
    """
    async with Sandbox(tickets=tickets) as sandbox, sandbox.client() as client:
        async with client.walk(concurrency=8) as walk:
            came = [ticket.id async for tickets in walk for ticket in tickets]
        assert len(set(came)) == len(came) == tickets
        assert sandbox.requests["list_tickets"] == walk.report.requests == requests
        assert (walk.report.exact, walk.report.reason) == (True, "frozen, no drift")


@pytest.mark.parametrize("pick", ["random", "newest", "oldest"])
async def test_tickets_that_leave_and_return(pick: str) -> None:
    """Where tickets leave and enter at once, verify gives all that matched throughout, or says that it cannot.

    Rule 8.
    """
    drift = [Drift(after=2, every=1, times=60, close=4, reopen=4, pick=pick)]  # type: ignore[arg-type]
    async with Sandbox(tickets=3000) as sandbox, sandbox.client() as client:
        before = await pending_ids(sandbox)
        sandbox.drift = drift
        walk = client.walk(PENDING, page_size=20, concurrency=4, verify=True)
        came: list[int] = []
        with suppress(WalkDriftError):
            async with walk:
                async for tickets in walk:
                    came += [ticket.id for ticket in tickets]
        assert len(came) == len(set(came))
        if walk.report.exact:
            assert stayed(before, sandbox) <= set(came)
            assert walk.report.reason == "verified"
        else:
            assert walk.report.passes == 5


@pytest.mark.parametrize("seed", range(4))
async def test_without_verify_it_is_not_called_exact(seed: int) -> None:
    """Where tickets leave and enter at once, a walk without verify does not say that it was exact."""
    drift = [Drift(after=1, every=1, close=5, reopen=5)]
    async with Sandbox(tickets=3000, seed=seed, drift=drift) as sandbox, sandbox.client() as client:
        async with client.walk(PENDING, page_size=20, concurrency=4) as walk:
            async for _ in walk:
                pass
        assert not walk.report.exact, walk.report


async def test_endless_drift_is_said() -> None:
    """A list that never rests ends a walk that is to be exact with an error that carries the report.

    Rule 8.
    """
    drift = [Drift(every=1, close=20, reopen=20)]
    async with Sandbox(tickets=2000, drift=drift) as sandbox, sandbox.client() as client:
        with pytest.raises(WalkDriftError, match="does not hold still") as caught:
            async for _ in client.iter_tickets(PENDING, page_size=10, verify=True, max_passes=2):
                pass
    assert caught.value.report is not None
    assert caught.value.report.passes == 2


async def test_new_tickets_stay_out() -> None:
    """Tickets created while a frozen walk goes on do not come, and those that were there all come.

    Rule 1.
    """
    drift = [Drift(every=1, create=3)]
    async with Sandbox(tickets=1000, clock=lambda: 1_735_700_000 + moved[0]) as sandbox, sandbox.client() as client:
        before = await pending_ids(sandbox)
        sandbox.drift = drift
        came = []
        async with client.walk(PENDING, page_size=10, concurrency=4) as walk:
            async for tickets in walk:
                moved[0] += 10
                came += [ticket.id for ticket in tickets]
        assert before <= set(came)
        assert len(came) == len(set(came))


moved = [0]


async def test_a_filter_that_people_change_is_not_exact_by_itself() -> None:
    """A still list filtered by status is exact only if it was verified, or one page; the report says so."""
    async with Sandbox(tickets=300) as sandbox, sandbox.client() as client:
        reports = []
        for options in ({"page_size": 20}, {"page_size": 20, "verify": True}, {"page_size": 100}):
            async with client.walk(PENDING, **options) as walk:  # type: ignore[arg-type]
                assert {ticket.id async for page in walk for ticket in page} == await pending_ids(sandbox)
            reports.append((walk.report.exact, walk.report.reason))
    assert reports[0][0] is False
    assert reports[0][1].endswith("left and entered this filter at once; verify=True settles it")
    assert reports[1:] == [(True, "verified"), (True, "one page, read at once")]


@pytest.mark.parametrize("concurrency", [1, 32])
async def test_deleted_tickets_leave_it_exact(concurrency: int) -> None:
    """Of everything, ten tickets deleted per read cost less than three times the pages, and the walk is exact.

    Rule 6.
    """
    async with Sandbox(tickets=5050, drift=[Drift(every=1, delete=10)]) as sandbox, sandbox.client() as client:
        async with client.walk(concurrency=concurrency) as walk:
            came = {ticket.id async for page in walk for ticket in page}
        gone = {id for change in sandbox.drifted for id in change.deleted}
        assert len(came | gone) == 5050
        assert walk.report.exact, walk.report
        assert sandbox.requests["list_tickets"] <= walk.report.requests <= 3 * 51
