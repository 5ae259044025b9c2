"""batch.py, with the journal of an earlier run: what is settled, sent, skipped or refused."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.batches import add_lines, asked, begun_long_ago, closes, happened, lines_of, mixed, ran, states
from tests.support.clients import make_client
from tests.support.mutations import OPERATIONS, PENDING, QUICK
from tests.support.virtual_loop import virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    CloseTicket,
    CommentTicket,
    CreateTicket,
    JournalError,
    Mutation,
    WorkorderClient,
)
from workorder_async.batches.batch import run_batch
from workorder_async.batches.outcomes import SETTLED, BatchReport, Outcome, State
from workorder_async.mutations.kinds import key_of
from workorder_async.sandbox import ClientOptions, Fault, Sandbox


async def test_cancelled_before_it_was_sent(sandbox: Sandbox, journal: Path) -> None:
    """What was cancelled while it waited for its turn is known not to have been sent, and is sent by the next run."""
    async with sandbox.client(**QUICK) as client:
        id = (await client.list_tickets(PENDING)).tickets[0].id
    batch = [CommentTicket(id=id, detail=f"备注 {number}") for number in range(6)]
    waits: ClientOptions = {**QUICK, "rate": 0.01}
    async with sandbox.client(**waits) as slow:
        running = run_batch(slow, batch, journal=journal, patience=0)
        assert (await anext(running)).state is State.DONE
        await running.aclose()
    assert len(sandbox.applied) == 1
    async with sandbox.client(**QUICK) as client:
        outcomes = await ran(client, batch, journal=journal)
    assert states(outcomes) == {State.SKIPPED: 1, State.DONE: 5}
    assert happened(sandbox).total() == 6


@pytest.mark.parametrize("verify", [True, False])
async def test_left_open_before_it_happened(
    sandbox: Sandbox, client: WorkorderClient, journal: Path, *, verify: bool
) -> None:
    """Of what an earlier run left open and did not do, closes and rejections are done, the others are UNKNOWN."""
    batch = await mixed(client, 8)
    async with asyncio.timeout(5):
        sandbox.faults = [Fault("hang", operation=operation) for operation in OPERATIONS.values()]
        running = run_batch(client, batch, journal=journal, key=key_of, patience=0)
        first = asyncio.create_task(anext(running))
        while len(sandbox.struck) < 8:  # noqa: ASYNC110 - the server's record has no event
            await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.wait([first])
        await running.aclose()
    sandbox.faults = []
    begun_long_ago(journal)
    outcomes: list[Outcome] = []
    for _ in range(2):  # what is UNKNOWN stays so
        outcomes = await ran(client, batch, journal=journal, key=key_of, verify=verify)
        unknown = {asked(one.mutation) for one in outcomes if one.state is State.UNKNOWN}
        assert unknown == {asked(one) for one in batch if isinstance(one, CommentTicket | CreateTicket)}
    assert states(outcomes) == {State.SKIPPED: 4, State.UNKNOWN: 4}
    assert {operation for operation, _ in happened(sandbox)} == {"close_ticket", "reject_ticket"}
    assert len(sandbox.applied) == 4


async def test_left_open_by_a_client_with_a_slow_clock(sandbox: Sandbox, journal: Path) -> None:
    """What an earlier run left open is looked for by the client's own clock, also where that is an hour slow."""
    comment = CommentTicket(id=1001, detail="已处理")
    sandbox.faults = [Fault("hang_after", operation="comment_ticket")]
    async with sandbox.client(now=lambda: time.time() - 3600) as slow, asyncio.timeout(5):
        await slow.list_tickets()
        running = run_batch(slow, [comment], journal=journal, patience=0)
        first = asyncio.create_task(anext(running))
        while not sandbox.applied:  # noqa: ASYNC110 - the server's record has no event
            await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.wait([first])
        await running.aclose()
        assert states(await ran(slow, [comment], journal=journal)) == {State.DONE: 1}
    assert len(sandbox.applied) == 1


@pytest.mark.parametrize(
    ("operation", "mutation", "said"),
    [
        ("DeleteTicket", {"id": 1}, "line 2 of the journal"),
        ("CommentTicket", {"id": 1}, "intent 0a is no mutation .* changed by hand"),
        ("CommentTicket", {"id": 0, "detail": "甲"}, "intent 0a is no mutation .* changed by hand"),
    ],
)
async def test_an_intent_that_was_changed_by_hand(
    client: WorkorderClient, journal: Path, operation: str, mutation: dict[str, Any], said: str
) -> None:
    """An intent that no batch can have written is named, by an error of ours."""
    await ran(client, [], journal=journal)
    intent = {"intent": "0a", "operation": operation, "mutation": mutation, "began": 1.0}
    add_lines(journal, orjson.dumps(intent))
    with pytest.raises(JournalError, match=said):
        await ran(client, [], journal=journal)


async def test_left_open_and_not_brought_up(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """What an earlier run left open is settled also where the iterable does not bring it up again; it is not sent."""
    done, not_done, other = await closes(client, 3)

    async def run(batch: Sequence[Mutation]) -> list[Outcome]:
        return await ran(client, iter(batch), journal=journal)

    await run([other])
    header, *_ = lines_of(journal)
    leave_open(journal, done)
    leave_open(journal, not_done, ago=600)
    async with sandbox.client() as earlier:
        await earlier.close_ticket(done)
    outcomes = await run([])
    assert {(one.mutation.id, one.state) for one in outcomes if isinstance(one.mutation, CloseTicket)} == {
        (done.id, State.DONE),
        (not_done.id, State.NOT_SENT),
    }
    assert happened(sandbox) == Counter([asked(other), asked(done)])
    assert lines_of(journal)[0] == header
    assert states(await run([not_done, done])) == {State.DONE: 1, State.SKIPPED: 1}


async def test_left_open_and_the_iterable_raises(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """It may have been about to bring up what is open: that is left as it is, for the next run."""
    (close,) = await closes(client, 1)
    comment = CommentTicket(id=close.id, detail="已处理")

    def breaking() -> Iterator[Mutation]:
        yield comment
        raise ValueError("kaputt")

    await ran(client, iter([]), journal=journal)
    leave_open(journal, close, ago=600)
    with pytest.raises(ValueError, match="kaputt"):
        await ran(client, breaking(), journal=journal)
    assert [next(iter(orjson.loads(line))) for line in lines_of(journal)] == ["journal", "intent", "intent", "outcome"]
    assert states(await ran(client, iter([close]), journal=journal)) == {State.DONE: 1}
    assert happened(sandbox) == Counter([asked(comment), asked(close)])


def leave_open(journal: Path, close: CloseTicket, ago: float = 0) -> None:
    """Write the intent of a close, as a batch that was killed so many seconds ago did, whose clock agreed."""
    mutation = {"id": close.id, "closer_id": 40084, "closer_name": close.closer_name, "solved_time": close.solved_time}
    intent = {"intent": key_of(close), "operation": "CloseTicket", "began": time.time() - ago, "ahead": [-1, 1]}
    intent |= {"within": 60, "mutation": mutation}
    add_lines(journal, orjson.dumps(intent))


async def test_refused_and_tried_again(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """What was refused or not sent is tried again by the next run, and what was done is not."""
    batch = await closes(client, 4)
    sandbox.faults = [Fault("errno", operation="close_ticket", times=1, errno=90777)]
    outcomes = await ran(client, batch, concurrency=1, journal=journal, stop_after=1)
    assert [one.state for one in outcomes] == [State.REJECTED, State.NOT_SENT, State.NOT_SENT, State.NOT_SENT]
    async with sandbox.client() as another:
        outcomes = await ran(another, batch, concurrency=1, journal=journal)
    assert [one.state for one in outcomes] == [State.DONE] * 4
    assert happened(sandbox) == Counter(map(asked, batch))


# Journals that cannot be used


async def test_another_batch(client: WorkorderClient, journal: Path) -> None:
    """A journal is for one list, one name and one platform; nothing is sent where it is another's."""
    batch = await closes(client, 3)
    await ran(client, batch[:1], journal=journal, name="七月")
    others: list[Awaitable[object]] = [
        ran(client, batch, journal=journal, name="七月"),
        ran(client, batch[:1], journal=journal, name="八月"),
        ran(client, iter(batch[:1]), journal=journal, name="七月"),
    ]
    mends = ["another file and hand over only", "choose another file$", "another file and hand over only"]
    for other, mend in zip(others, mends, strict=True):
        with pytest.raises(JournalError, match=f"belongs to another batch.*{mend}"):
            await other
    async with make_client() as elsewhere:
        with pytest.raises(JournalError, match="belongs to another batch"):
            await ran(elsewhere, batch[:1], journal=journal, name="七月")
    assert states(await ran(client, batch[:1], journal=journal, name="七月")) == {State.SKIPPED: 1}


async def test_journal_in_use(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """A second batch with the same journal is refused while the first one runs, sends nothing, and is not settled."""
    batch, report = await closes(client, 20), BatchReport()
    async with aclosing(run_batch(client, iter(batch), journal=journal)) as outcomes:
        await anext(outcomes)
        with pytest.raises(JournalError, match="in use by another program"):
            await ran(client, iter(batch), journal=journal, report=report)
        assert ("in use by another program" in report.stopped, report.settled) == (True, False)
    assert len(sandbox.applied) <= 20


@virtual_time
async def test_journal_that_fails(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fails, nothing unrecorded is sent, each mutation still has its state, and the error comes."""
    async with virtual_sandbox(300, client=QUICK) as (sandbox, client):
        batch = await closes(client, 30)
        real, syncs = os.fsync, 0

        def fsync(file: int) -> None:
            nonlocal syncs
            syncs += 1
            if syncs > 8:
                raise OSError(28, "No space left on device")
            real(file)

        monkeypatch.setattr(os, "fsync", fsync)
        outcomes = []

        async def run() -> None:
            async with aclosing(run_batch(client, batch, concurrency=2, journal=journal)) as running:
                async for outcome in running:
                    outcomes.append(outcome)

        with pytest.raises(JournalError, match="No space left"):
            await run()
        done = {asked(one.mutation) for one in outcomes if one.state is State.DONE}
        assert set(happened(sandbox)) == done
        assert states(outcomes) == {State.DONE: len(done), State.NOT_SENT: 30 - len(done)}
        assert {one.mutation for one in outcomes} == set(batch)
        begun = {line["mutation"]["id"] for line in map(orjson.loads, lines_of(journal)) if "intent" in line}
        assert {id for _, id in done} <= begun
        monkeypatch.undo()
        outcomes = await ran(client, batch, journal=journal)
        assert set(states(outcomes)) <= SETTLED
        assert happened(sandbox) == Counter(map(asked, batch))
