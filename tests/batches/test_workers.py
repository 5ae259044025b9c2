"""The workers of batch.py, over sockets: what is pulled and when, what stops a batch, and how it is left."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.batches import asked, closes, happened, lines_of, mixed, ran, states
from tests.support.clients import make_client
from tests.support.mutations import OPERATIONS, close_of, creation
from tests.support.raw_server import AtOnce, http, serving
from tests.support.slow import slow_after
from tests.support.virtual_loop import taking, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    AuthenticationError,
    CreateTicket,
    Mutation,
    WorkorderClient,
)
from workorder_async.batches.batch import run_batch
from workorder_async.batches.outcomes import BatchReport, State
from workorder_async.mutations.kinds import key_of
from workorder_async.sandbox import Fault, Sandbox


@virtual_time
async def test_completion_order() -> None:
    """Outcomes come as they end: a slow one keeps nobody waiting."""
    async with virtual_sandbox(40, latency=0.01) as (sandbox, client):
        batch = await closes(client, 6)
        sandbox.faults = [Fault("slow_headers", operation="close_ticket", times=1, seconds=3)]
        slow, *others = [one.mutation for one in reversed(await ran(client, batch, concurrency=2))]
    assert slow in batch[:2]
    assert [*reversed(others)] == [one for one in batch if one != slow]


async def test_concurrency(sandbox: Sandbox) -> None:
    """So many mutations are under way at once, and no more."""
    answer = AtOnce(http('{"errno":10000,"errmsg":"","request_id":"r"}'))
    async with serving(answer) as wire, make_client(wire.url) as client:
        await ran(client, [close_of(id, "姜程") for id in range(1, 31)], concurrency=5)
    assert answer.most == 5


async def test_nothing_is_read_ahead(client: WorkorderClient) -> None:
    """An endless iterable is pulled one for each worker; a consumer that takes its time holds the workers back."""
    pulled = 0

    def endless() -> Iterator[Mutation]:
        nonlocal pulled
        while True:
            pulled += 1
            yield creation(f"工单 {pulled}")

    report = BatchReport()
    async with aclosing(run_batch(client, endless(), concurrency=3, report=report)) as outcomes:
        taken = 0
        async for _ in outcomes:
            taken += 1
            assert pulled <= taken + 2 * 3
            if taken == 5:
                ended = -1
                while ended != report.total:  # until no more end, however long we take
                    ended = report.total
                    await asyncio.sleep(0.05)
                assert pulled <= taken + 2 * 3
            if taken == 20:
                break
    assert report.total == pulled
    assert not report.settled
    assert report.stopped == "left before its end"


async def test_source_is_closed(client: WorkorderClient) -> None:
    """An async generator is closed with the batch that is left, before the batch returns."""
    closed = False

    async def source() -> AsyncGenerator[Mutation, None]:
        nonlocal closed
        try:
            for number in range(1000):
                yield creation(f"工单 {number}")
        finally:
            closed = True

    async with aclosing(run_batch(client, source())) as outcomes:
        await anext(outcomes)
    assert closed


@pytest.mark.parametrize("kept", [True, False])
async def test_a_consumer_that_blocks_the_loop(client: WorkorderClient, journal: Path, *, kept: bool) -> None:
    """One that takes longer than the deadline each time, by code that is not async, slows the batch down, no more."""
    batch, outcomes = await closes(client, 8), []
    options: dict[str, Any] = {"journal": journal if kept else None, "deadline": 0.1}
    async with aclosing(run_batch(client, batch, concurrency=3, **options)) as running:
        async for outcome in running:
            outcomes.append(outcome)
            if len(outcomes) % 4 == 1:
                time.sleep(0.15)  # noqa: ASYNC251 - it is what blocks
    assert states(outcomes) == {State.DONE: 8}


# Stops


@pytest.mark.parametrize("form", slow_after(1, [list, deque, iter]))
async def test_authentication_failure(sandbox: Sandbox, client: WorkorderClient, form: Callable[..., Any]) -> None:
    """A refused signature stops the batch; what a list still held is NOT_SENT, and was not sent."""
    batch = await closes(client, 20)
    sandbox.faults = [
        Fault("errno", operation="close_ticket", after=5, errno=90001),
        *(Fault("errno", operation=read, errno=90001) for read in ("list_tickets", "get_ticket_detail")),
    ]
    report = BatchReport()
    outcomes = await ran(client, form(batch), concurrency=2, report=report)
    assert states(outcomes)[State.DONE] == 5
    assert 1 <= states(outcomes)[State.REJECTED] <= 2
    assert isinstance(next(one.error for one in outcomes if one.error), AuthenticationError)
    assert sandbox.requests["close_ticket"] <= 7
    assert report.stopped.startswith("authentication failed: ")
    assert report.counts == states(outcomes)
    if form is not iter:
        assert [one.mutation for one in outcomes[-10:]] == batch[-10:]
        assert len({one.mutation for one in outcomes}) == len(outcomes) == 20


async def test_stop_after(sandbox: Sandbox, client: WorkorderClient) -> None:
    """So many failures in a row stop the batch; a success in between begins the count anew."""
    batch = await closes(client, 20)
    for number in (2, 3, 5, 6, 7, 8, 9):
        batch[number] = close_of(batch[number].id, "查无此人")
    report = BatchReport()
    outcomes = await ran(client, batch, concurrency=1, stop_after=3, report=report)
    assert [one.state for one in outcomes[:8]] == [
        *[State.DONE] * 2,
        *[State.REJECTED] * 2,
        State.DONE,
        *[State.REJECTED] * 3,
    ]
    assert {one.state for one in outcomes[8:]} == {State.NOT_SENT}
    assert len(outcomes) == 20
    assert report.stopped == "3 failures in a row"


async def test_stopped_while_the_source_waits(sandbox: Sandbox, client: WorkorderClient) -> None:
    """A batch that stops does not wait for an iterable that has nothing more to give."""
    batch = await closes(client, 1)
    ended = False

    async def then_silent() -> AsyncIterator[Mutation]:
        nonlocal ended
        try:
            yield batch[0]
            await asyncio.Event().wait()
        finally:
            ended = True

    refused = ("close_ticket", "list_tickets", "get_ticket_detail")
    sandbox.faults = [Fault("errno", operation=name, errno=90001) for name in refused]
    async with asyncio.timeout(5):
        outcomes = await ran(client, then_silent(), concurrency=3)
    assert states(outcomes) == {State.REJECTED: 1}
    assert ended


async def test_left_while_the_source_waits(client: WorkorderClient) -> None:
    """Neither does one that is left."""
    batch = await closes(client, 1)

    async def then_silent() -> AsyncIterator[Mutation]:
        yield batch[0]
        await asyncio.Event().wait()

    async with asyncio.timeout(5), aclosing(run_batch(client, then_silent())) as outcomes:
        assert (await anext(outcomes)).state is State.DONE


async def test_a_client_that_is_closed_meanwhile(client: WorkorderClient, journal: Path) -> None:
    """The batch stops and says why; an endless iterable is not pulled on for nothing."""
    batch = (creation(f"工单 {number}") for number in count())
    report, done = BatchReport(), 0
    options: dict[str, Any] = {"journal": journal, "key": lambda ticket: ticket.title, "concurrency": 3}
    async with asyncio.timeout(5), aclosing(run_batch(client, batch, report=report, **options)) as outcomes:
        async for outcome in outcomes:
            done += outcome.state is State.DONE
            if done == 5:
                await client.aclose()
    assert report.stopped == "this client is closed; make another one"
    assert report.counts[State.NOT_SENT] <= 2 * 3


@pytest.mark.parametrize(("error", "sync"), [(ValueError("kaputt"), True), (TimeoutError("kaputt"), False)])
async def test_source_that_raises(
    sandbox: Sandbox, client: WorkorderClient, journal: Path, error: Exception, *, sync: bool
) -> None:
    """What was pulled when the iterable raises ends and is told, then its error is raised as it is."""
    batch = await closes(client, 3)
    sandbox.faults = [Fault("slow_headers", operation="close_ticket", seconds=0.1, after=1)]

    def breaking() -> Iterator[Mutation]:
        yield from batch
        raise error

    async def breaking_async() -> AsyncIterator[Mutation]:
        for mutation in batch:
            yield mutation
        raise error

    report, outcomes = BatchReport(), []

    async def run() -> None:
        source = breaking() if sync else breaking_async()
        async with aclosing(run_batch(client, source, journal=journal, report=report)) as running:
            async for outcome in running:
                outcomes.append(outcome)

    with pytest.raises(type(error), match="kaputt") as caught:
        await run()
    assert caught.value is error
    done = {asked(one.mutation) for one in outcomes if one.state is State.DONE}
    assert happened(sandbox) == Counter(done)
    assert states(outcomes) == {State.DONE: 3}
    assert not report.settled
    assert "kaputt" in report.stopped
    outcomes = await ran(client, iter(batch), journal=journal)
    assert states(outcomes) == {State.SKIPPED: 3}


# Left and cancelled


@pytest.mark.parametrize("how", slow_after(1, ["cancel", "break", "raise"]))
async def test_left_midway(sandbox: Sandbox, client: WorkorderClient, journal: Path, how: str) -> None:
    """However a batch is left, what was under way ends and is in the journal; another run does the rest, once each."""
    batch = await mixed(client, 24)
    sandbox.faults = [Fault("slow_headers", seconds=0.02)]

    async def run() -> None:
        taken = 0
        async with aclosing(run_batch(client, batch, concurrency=4, journal=journal, key=key_of)) as outcomes:
            async for _ in outcomes:
                taken += 1
                if taken == 10:
                    if how == "cancel":
                        task.cancel()
                    elif how == "raise":
                        raise ValueError("kaputt")
                    else:
                        break

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    assert task.cancelled() is (how == "cancel")
    assert (not task.cancelled() and task.exception() is not None) is (how == "raise")
    sandbox.faults = []
    done = len(sandbox.applied)
    assert 10 <= done <= 18
    ended = Counter(orjson.loads(line).get("state") for line in lines_of(journal)[1:])
    # What the end met between its intent and its request is said not to have been sent.
    assert ended["DONE"] == done
    assert ended[None] == ended["DONE"] + ended["NOT_SENT"] <= 18
    outcomes = await ran(client, batch, concurrency=4, journal=journal, key=key_of)
    assert states(outcomes) == {State.SKIPPED: done, State.DONE: 24 - done}
    assert happened(sandbox) == Counter(map(asked, batch))


@virtual_time
async def test_left_while_outcomes_wait() -> None:
    """Workers that wait for the consumer have nothing under way, and nobody waits for them."""
    async with virtual_sandbox(1) as (sandbox, client):
        outcomes = run_batch(client, (creation(f"工单 {number}") for number in count()), concurrency=2)
        await anext(outcomes)
        await asyncio.sleep(60)
        assert len(sandbox.applied) == 4, len(sandbox.applied)
        async with taking(0):
            await outcomes.aclose()


async def test_out_of_patience(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """What does not end in time is cancelled, stays open in the journal, and is settled by the next run."""
    batch, report = await mixed(client, 8), BatchReport()
    sandbox.faults = [Fault("hang_after", operation=operation) for operation in OPERATIONS.values()]

    async def run() -> None:
        async with aclosing(
            run_batch(client, batch, journal=journal, key=key_of, patience=0.1, report=report)
        ) as outcomes:
            async for _ in outcomes:
                pytest.fail("nothing can have ended")

    task = asyncio.create_task(run())
    async with asyncio.timeout(5):
        while len(sandbox.applied) < 8:  # noqa: ASYNC110 - the server's record has no event
            await asyncio.sleep(0.01)
        began = time.perf_counter()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert 0.09 < time.perf_counter() - began < 5
    assert (report.counts, report.stopped) == ({State.UNKNOWN: 8}, "left before its end")
    sandbox.faults = []
    outcomes = await ran(client, batch, journal=journal, key=key_of)
    assert states(outcomes) == {State.DONE: 8}
    created = {one.request["title"]: one.ticket_id for one in sandbox.applied if one.operation == "create_ticket"}
    assert {o.mutation.title: o.ticket_id for o in outcomes if isinstance(o.mutation, CreateTicket)} == created
    assert happened(sandbox) == Counter(map(asked, batch))
    assert states(await ran(client, batch, journal=journal, key=key_of)) == {State.SKIPPED: 8}
