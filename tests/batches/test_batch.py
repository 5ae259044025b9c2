"""batch.py, over sockets: what was asked, what each outcome says, and what the sandbox carried out."""

import asyncio
import os
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import evolve

from tests.support.batches import asked, closes, happened, mixed, ran, states
from tests.support.clients import make_client
from tests.support.mutations import OPERATIONS, PENDING, QUICK, close_of, creation
from tests.support.raw_server import http, serving
from workorder_async import (
    ApiError,
    AuthenticationError,
    CloseTicket,
    CommentTicket,
    ConfigError,
    CreateTicket,
    JournalError,
    Mutation,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RejectTicket,
    RetryPolicy,
    TicketStateError,
    WorkorderClient,
)
from workorder_async.batches.batch import run_batch
from workorder_async.batches.identity import Mutations, key_of
from workorder_async.batches.outcomes import SETTLED, BatchReport, Outcome, State
from workorder_async.sandbox import ClientOptions, Fault, Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Give a sandbox with some sixty pending tickets."""
    async with Sandbox(300) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[WorkorderClient]:
    """Give a client of it."""
    async with sandbox.client(**QUICK) as client:
        yield client


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give a file that does not exist yet."""
    return tmp_path / "batch.journal"


# All went well


@pytest.mark.parametrize("form", ["list", "tuple", "deque", "iterator", "async", "own iterator"])
async def test_every_iterable(sandbox: Sandbox, client: WorkorderClient, form: str) -> None:
    """A mix of the four, from any iterable, is carried out once each, and every outcome says what was done."""
    batch = await mixed(client, 24)

    async def slowly() -> AsyncIterator[Mutation]:
        for mutation in batch:
            await asyncio.sleep(0)
            yield mutation

    class Own:
        def __init__(self) -> None:
            self.left = iter(batch)

        def __aiter__(self) -> "Own":
            return self

        async def __anext__(self) -> Mutation:
            for mutation in self.left:
                return mutation
            raise StopAsyncIteration

    forms: dict[str, Callable[[], Mutations]] = {
        "list": lambda: batch,
        "tuple": lambda: tuple(batch),
        "deque": lambda: deque(batch),
        "iterator": lambda: iter(batch),
        "async": slowly,
        "own iterator": Own,
    }
    report = BatchReport()
    outcomes = await ran(client, forms[form](), report=report)
    assert states(outcomes) == report.counts == {State.DONE: 24}
    assert happened(sandbox) == Counter(map(asked, batch))
    assert {asked(outcome.mutation) for outcome in outcomes} == set(map(asked, batch))
    created = {one.request["title"]: one.ticket_id for one in sandbox.applied if one.operation == "create_ticket"}
    for outcome in outcomes:
        mutation = outcome.mutation
        id = created[mutation.title] if isinstance(mutation, CreateTicket) else mutation.id
        assert (outcome.ticket_id, outcome.attempts, outcome.error) == (id, 1, None)
        assert outcome.request_id
        assert 0 < outcome.elapsed < 5
    assert report.settled
    assert (report.total, report.unsettled, report.stopped) == (24, [], "")
    assert report.slowest == max(outcome.elapsed for outcome in outcomes)
    assert report.seconds == pytest.approx(sum(outcome.elapsed for outcome in outcomes))


@pytest.mark.parametrize("empty", [[], (), iter(())])
async def test_nothing_to_do(client: WorkorderClient, empty: Mutations, journal: Path) -> None:
    """An empty batch ends, and is settled."""
    report = BatchReport()
    assert await ran(client, empty, report=report, journal=journal) == []
    assert report.settled


async def test_completion_order(sandbox: Sandbox, client: WorkorderClient) -> None:
    """Outcomes come as they end: a slow one keeps nobody waiting."""
    batch = await closes(client, 6)
    sandbox.faults = [Fault("slow_headers", operation="close_ticket", times=1, seconds=0.3)]
    outcomes = await ran(client, batch, concurrency=2)
    slow = next(one.mutation for one in outcomes if one.elapsed > 0.25)
    assert slow in batch[:2]
    assert outcomes[-1].mutation == slow
    assert len(outcomes) == 6


async def test_concurrency(sandbox: Sandbox) -> None:
    """So many mutations are under way at once, and no more."""
    under_way = most = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        writer.write(http('{"errno":10000,"errmsg":"","request_id":"r"}'))

    async with serving(answer) as wire, make_client(wire.url) as client:
        await ran(client, [close_of(id, "姜程") for id in range(1, 31)], concurrency=5)
    assert most == 5


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


async def test_closing_while_walking(sandbox: Sandbox, client: WorkorderClient) -> None:
    """A batch over a walk over the very tickets that it closes misses none."""
    pending = {row.id async for row in client.iter_tickets(PENDING)}
    source = (close_of(row.id, row.creator_name) async for row in client.iter_tickets(PENDING, page_size=5))
    outcomes = await ran(client, source, concurrency=3)
    assert states(outcomes) == {State.DONE: len(pending)}
    assert happened(sandbox) == Counter(("close_ticket", id) for id in pending)


async def test_duplicates(sandbox: Sandbox, client: WorkorderClient) -> None:
    """Equal mutations, in flight or done, are sent once; a close of one ticket is one, whoever closes it."""
    (close,) = await closes(client, 1)
    other = CloseTicket(id=close.id, closer_id=7, closer_name=close.closer_name, solved_time=1, detail="另一个")
    comment = CommentTicket(id=close.id, detail="已联系客户")
    batch: list[Mutation] = [comment, comment, creation(), creation(), comment, close, other, close]
    outcomes = await ran(client, batch)
    assert states(outcomes) == {State.DONE: 3, State.SKIPPED: 5}
    assert happened(sandbox).total() == 3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (CommentTicket(id=1, detail="甲"), CommentTicket(id=1, detail="乙")),
        (CommentTicket(id=1, detail="甲"), CommentTicket(id=2, detail="甲")),
        (CommentTicket(id=1, detail="甲"), CommentTicket(id=1, detail="甲", productGroupId=3)),
        (CommentTicket(id=1, detail="甲"), RejectTicket(id=1, detail="甲")),
        (RejectTicket(id=1), RejectTicket(id=1, productGroupId=3)),
        (RejectTicket(id=1), close_of(1, "姜程")),
        (creation("甲"), creation("乙")),
    ],
)
def test_told_apart(first: Mutation, second: Mutation) -> None:
    """What does something else is another mutation."""
    assert key_of(first) != key_of(second)
    assert key_of(first) == key_of(evolve(first))


# The six states


async def test_states(sandbox: Sandbox, client: WorkorderClient) -> None:
    """Each state, by what happened."""
    batch = await closes(client, 4)
    closed, wrong_name, lost, fine = batch
    await client.close_ticket(closed)
    wrong_name = close_of(wrong_name.id, "查无此人")
    unknown = CommentTicket(id=lost.id, detail="丢失的备注")
    missing = CommentTicket(id=99_999_999, detail="没有这个工单")
    sandbox.faults = [Fault("reset", operation="comment_ticket", times=1)]
    outcomes = await ran(client, [unknown, closed, wrong_name, missing, fine, fine], concurrency=1)
    assert [(one.state, type(one.error)) for one in outcomes] == [
        (State.UNKNOWN, OutcomeUnknownError),
        (State.ALREADY, TicketStateError),
        (State.REJECTED, ApiError),
        (State.REJECTED, NotFoundError),
        (State.DONE, type(None)),
        (State.SKIPPED, type(None)),
    ]


async def test_already_rejected(client: WorkorderClient) -> None:
    """A rejection of what is rejected, and a close of what is closed, are ALREADY; without verify they are REJECTED."""
    (close,) = await closes(client, 1)
    rejection = RejectTicket(id=close.id, productGroupId=(await client.get_ticket(close.id)).product_group_id)
    await client.reject_ticket(rejection)
    assert states(await ran(client, [rejection])) == {State.ALREADY: 1}
    await client.close_ticket(close)
    assert states(await ran(client, [close])) == {State.ALREADY: 1}
    assert states(await ran(client, [rejection, close], verify=False)) == {State.REJECTED: 2}


async def test_turned_away(sandbox: Sandbox) -> None:
    """What a busy server turned away until the deadline is NOT_SENT."""
    sandbox.faults = [Fault("429", operation="close_ticket", retry_after=0)]
    async with sandbox.client(deadline=1.0) as client:
        (outcome,) = await ran(client, await closes(client, 1))
    assert outcome.state is State.NOT_SENT
    assert isinstance(outcome.error, RateLimitedError)
    assert outcome.attempts > 1
    assert sandbox.applied == []


async def test_one_deadline_for_a_mutation_and_the_look_for_it() -> None:
    """A silent server costs one deadline: what a lost answer leaves of it is all the time to look."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    started = time.perf_counter()
    async with serving(silent) as wire, make_client(wire.url, attempt_timeout=2.0, deadline=2.5) as client:
        (outcome,) = await ran(client, [CommentTicket(id=1, detail="已处理")])
    assert outcome.state is State.UNKNOWN
    assert 2.4 < time.perf_counter() - started < 4


async def test_nobody_there(unused_tcp_port: int) -> None:
    """Where nobody listens, everything is NOT_SENT, and the report keeps the first of them."""
    report = BatchReport()
    async with make_client(f"http://127.0.0.1:{unused_tcp_port}", retry=RetryPolicy(attempts=1)) as client:
        source = (close_of(id, "姜程") for id in range(1, 1101))
        outcomes = await ran(client, source, report=report)
    assert states(outcomes) == {State.NOT_SENT: 1100}
    assert all(isinstance(outcome.error, NotSentError) for outcome in outcomes)
    assert report.unsettled == outcomes[:1000]
    assert not report.settled


async def test_created_without_an_id() -> None:
    """A creation to which the platform said yes is DONE, though it did not say which ticket it is."""
    async with serving(http('{"errno":10000,"errmsg":"OK","request_id":"r"}')) as wire, make_client(wire.url) as client:
        (outcome,) = await ran(client, [creation()])
    assert (outcome.state, outcome.ticket_id) == (State.DONE, 0)
    assert len(wire.requests) == 1


async def test_every_answer_is_lost(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """With each of 200 answers lost after it happened, each is DONE, and happened once."""
    tickets = await closes(client, 50)
    batch: list[Mutation] = [
        mutation
        for number, close in enumerate(tickets)
        for mutation in (
            CommentTicket(id=close.id, detail=f"第 {number} 条备注"),
            RejectTicket(id=close.id, productGroupId=(await client.get_ticket(close.id)).product_group_id),
            creation(f"第 {number} 个工单"),
            CommentTicket(id=close.id, detail="又一条备注"),
        )
    ]
    sandbox.faults = [Fault("reset_after", operation=operation) for operation in OPERATIONS.values()]
    outcomes = await ran(client, batch, journal=journal)
    assert states(outcomes) == {State.DONE: 200}
    ids = {one.ticket_id: one.request["title"] for one in sandbox.applied if one.operation == "create_ticket"}
    assert {o.ticket_id: o.mutation.title for o in outcomes if isinstance(o.mutation, CreateTicket)} == ids
    assert len(sandbox.applied) == 200
    outcomes = await ran(client, tickets)
    assert states(outcomes) == {State.DONE: 50}
    assert len(sandbox.applied) == 250


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (creation(), evolve(creation(), tags=(1,))),
        (CommentTicket(id=1, detail="请处理"), CommentTicket(id=1, detail="请处理", productGroupId=36)),
        (CommentTicket(id=1, detail="请处理", productGroupId=36), CommentTicket(id=1, detail="请处理")),
        (RejectTicket(id=1, detail="请处理"), CommentTicket(id=1, detail="请处理")),
    ],
)
async def test_lost_beside_one_that_looks_the_same(
    sandbox: Sandbox, client: WorkorderClient, journal: Path, first: Mutation, second: Mutation, runs: int
) -> None:
    """A lost mutation is not taken to have happened for what another one left, in this run or an earlier one."""
    ticket = (await client.list_tickets(PENDING)).tickets[0]
    line = (await client.get_ticket(ticket.id)).product_group_id
    batch = [one if isinstance(one, CreateTicket) else evolve(one, id=ticket.id) for one in (first, second)]
    batch = [
        evolve(one, productGroupId=line) if isinstance(one, CommentTicket) and one.productGroupId else one
        for one in batch
    ]
    outcomes = []
    for mutations in [batch] if runs == 1 else [[one] for one in batch]:
        # The client of a later run has sent nothing itself.
        async with sandbox.client(**QUICK) as fresh:
            async for outcome in run_batch(fresh, iter(mutations), concurrency=1, journal=journal):
                outcomes.append(outcome)
                sandbox.faults = [Fault("reset", operation=operation) for operation in OPERATIONS.values()]
    assert [(outcome.state, outcome.ticket_id != 0) for outcome in outcomes] == [
        (State.DONE, True),
        (State.UNKNOWN, not isinstance(second, CreateTicket)),
    ]
    assert len(sandbox.applied) == 1
    # Alone it would have been misled: what it looks for is there.
    assert isinstance(outcomes[1].error, OutcomeUnknownError)
    assert await outcomes[1].error.verify(client) is True


async def test_lost_without_verify(sandbox: Sandbox, client: WorkorderClient) -> None:
    """With verify=False a lost comment is UNKNOWN; a close looks for its lost answer all the same."""
    (close,) = await closes(client, 1)
    sandbox.faults = [Fault("reset_after", operation="comment_ticket"), Fault("reset_after", operation="close_ticket")]
    batch: list[Mutation] = [CommentTicket(id=close.id, detail="已处理"), close]
    outcomes = await ran(client, batch, verify=False, concurrency=1)
    assert [outcome.state for outcome in outcomes] == [State.UNKNOWN, State.DONE]


# Stops


@pytest.mark.parametrize("form", [list, deque, iter])
async def test_authentication_failure(sandbox: Sandbox, client: WorkorderClient, form: Callable[..., Any]) -> None:
    """An authentication failure stops the batch; what a list still held is NOT_SENT, and was not sent."""
    batch = await closes(client, 30)
    sandbox.faults = [Fault("errno", operation="close_ticket", after=5, errno=90001)]
    report = BatchReport()
    outcomes = await ran(client, form(batch), concurrency=2, report=report)
    assert states(outcomes)[State.DONE] == 5
    assert 1 <= states(outcomes)[State.REJECTED] <= 2
    assert isinstance(next(one.error for one in outcomes if one.error), AuthenticationError)
    assert sandbox.requests["close_ticket"] <= 7
    assert report.stopped.startswith("authentication failed: ")
    assert report.counts == states(outcomes)
    if form is not iter:
        assert [one.mutation for one in outcomes[-20:]] == batch[-20:]
        assert len({one.mutation for one in outcomes}) == len(outcomes) == 30


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

    sandbox.faults = [Fault("errno", operation="close_ticket", errno=90001)]
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


@pytest.mark.parametrize("error", [ValueError("kaputt"), TimeoutError("kaputt")])
@pytest.mark.parametrize("sync", [True, False])
async def test_source_that_raises(
    sandbox: Sandbox, client: WorkorderClient, journal: Path, error: Exception, *, sync: bool
) -> None:
    """What was pulled when the iterable raises ends and is told, then its error is raised as it is."""
    batch = await closes(client, 3)
    sandbox.faults = [Fault("slow_headers", operation="close_ticket", seconds=0.2, after=1)]

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


# Left, cancelled, and taken up again


@pytest.mark.parametrize("how", ["break", "cancel", "raise"])
async def test_left_midway(sandbox: Sandbox, client: WorkorderClient, journal: Path, how: str) -> None:
    """However a batch is left, what was under way ends and is in the journal; another run does the rest, once each."""
    batch = await mixed(client, 40)
    sandbox.faults = [Fault("slow_headers", seconds=0.02)]

    async def run() -> None:
        taken = 0
        async with aclosing(run_batch(client, batch, concurrency=4, journal=journal)) as outcomes:
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
    ended = Counter(orjson.loads(line).get("state") for line in read(journal)[1:])
    # What the end met between its intent and its request is said not to have been sent.
    assert ended["DONE"] == done
    assert ended[None] == ended["DONE"] + ended["NOT_SENT"] <= 18
    outcomes = await ran(client, batch, concurrency=4, journal=journal)
    assert states(outcomes) == {State.SKIPPED: done, State.DONE: 40 - done}
    assert happened(sandbox) == Counter(map(asked, batch))


def read(path: Path) -> list[bytes]:
    """Return the lines of a file."""
    return path.read_bytes().splitlines()


async def test_out_of_patience(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """What does not end in time is cancelled, stays open in the journal, and is looked for by the next run."""
    batch = await mixed(client, 8)
    sandbox.faults = [Fault("hang_after", operation=operation) for operation in OPERATIONS.values()]

    async def run() -> None:
        async with aclosing(run_batch(client, batch, journal=journal, patience=0.1)) as outcomes:
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
    assert 0.09 < time.perf_counter() - began < 1
    sandbox.faults = []
    outcomes = await ran(client, batch, journal=journal)
    assert states(outcomes) == {State.DONE: 8}
    created = {one.request["title"]: one.ticket_id for one in sandbox.applied if one.operation == "create_ticket"}
    assert {o.mutation.title: o.ticket_id for o in outcomes if isinstance(o.mutation, CreateTicket)} == created
    assert happened(sandbox) == Counter(map(asked, batch))
    assert states(await ran(client, batch, journal=journal)) == {State.SKIPPED: 8}


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
        running = run_batch(client, batch, journal=journal, patience=0)
        first = asyncio.create_task(anext(running))
        while len(sandbox.struck) < 8:  # noqa: ASYNC110 - the server's record has no event
            await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.wait([first])
        await running.aclose()
    sandbox.faults = []
    outcomes: list[Outcome] = []
    for _ in range(2):  # what is UNKNOWN stays so
        outcomes = await ran(client, batch, journal=journal, verify=verify)
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
    ("operation", "mutation"),
    [("DeleteTicket", {"id": 1}), ("CommentTicket", {"id": 1}), ("CommentTicket", {"id": 0, "detail": "甲"})],
)
async def test_an_intent_that_was_changed_by_hand(
    client: WorkorderClient, journal: Path, operation: str, mutation: dict[str, Any]
) -> None:
    """An intent that no batch can have written is named, by an error of ours."""
    await ran(client, [], journal=journal)
    intent = {"intent": "0a", "operation": operation, "mutation": mutation, "began": 1.0}
    with journal.open("ab") as file:
        file.write(orjson.dumps(intent) + b"\n")
    with pytest.raises(JournalError, match=r"intent 0a is no mutation .* changed by hand"):
        await ran(client, [], journal=journal)


async def test_left_open_and_not_brought_up(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """What an earlier run left open is settled also where the iterable does not bring it up again; it is not sent."""
    done, not_done, other = await closes(client, 3)

    async def run(batch: Sequence[Mutation]) -> list[Outcome]:
        return await ran(client, iter(batch), journal=journal)

    await run([other])
    header, *_ = read(journal)
    for close in (done, not_done):
        line = {"intent": key_of(close), "operation": "CloseTicket", "began": time.time()}
        append(
            journal,
            orjson.dumps(
                {
                    **line,
                    "mutation": {
                        "id": close.id,
                        "closer_id": 40084,
                        "closer_name": close.closer_name,
                        "solved_time": 1,
                    },
                }
            ),
        )
    await client.close_ticket(done)
    outcomes = await run([])
    assert {(one.mutation.id, one.state) for one in outcomes if isinstance(one.mutation, CloseTicket)} == {
        (done.id, State.DONE),
        (not_done.id, State.NOT_SENT),
    }
    assert happened(sandbox) == Counter([asked(other), asked(done)])
    assert read(journal)[0] == header
    assert states(await run([not_done, done])) == {State.DONE: 1, State.SKIPPED: 1}


def append(path: Path, line: bytes) -> None:
    """Add a line to a file."""
    with path.open("ab") as file:
        file.write(line + b"\n")


async def test_refused_and_tried_again(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """What was refused or not sent is tried again by the next run, and what was done is not."""
    batch = await closes(client, 4)
    sandbox.faults = [
        Fault("errno", operation="close_ticket", times=1, errno=90777),
        Fault("429", operation="close_ticket", after=1, times=1, retry_after=1000),
    ]
    outcomes = await ran(client, batch, concurrency=1, journal=journal)
    assert [one.state for one in outcomes] == [State.REJECTED, State.NOT_SENT, State.NOT_SENT, State.NOT_SENT]
    async with sandbox.client() as another:
        outcomes = await ran(another, batch, concurrency=1, journal=journal)
    assert [one.state for one in outcomes] == [State.DONE] * 4
    assert happened(sandbox) == Counter(map(asked, batch))


async def test_another_batch(client: WorkorderClient, journal: Path) -> None:
    """A journal is for one list, one name and one platform; nothing is sent where it is another's."""
    batch = await closes(client, 3)
    await ran(client, batch[:1], journal=journal, name="七月")
    others: list[Awaitable[object]] = [
        ran(client, batch, journal=journal, name="七月"),
        ran(client, batch[:1], journal=journal, name="八月"),
        ran(client, iter(batch[:1]), journal=journal, name="七月"),
    ]
    for other in others:
        with pytest.raises(JournalError, match="belongs to another batch"):
            await other
    async with make_client() as elsewhere:
        with pytest.raises(JournalError, match="belongs to another batch"):
            await ran(elsewhere, batch[:1], journal=journal, name="七月")
    assert states(await ran(client, batch[:1], journal=journal, name="七月")) == {State.SKIPPED: 1}


async def test_journal_in_use(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """A second batch with the same journal is refused while the first one runs, and sends nothing."""
    batch = await closes(client, 20)
    async with aclosing(run_batch(client, iter(batch), journal=journal)) as outcomes:
        await anext(outcomes)
        with pytest.raises(JournalError, match="in use by another batch"):
            await ran(client, iter(batch), journal=journal)
    assert len(sandbox.applied) <= 20


async def test_journal_that_fails(
    sandbox: Sandbox, client: WorkorderClient, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk fails, nothing unrecorded is sent, each mutation still has its state, and the error comes."""
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
    begun = {line["mutation"]["id"] for line in map(orjson.loads, read(journal)) if "intent" in line}
    assert {id for _, id in done} <= begun
    monkeypatch.undo()
    outcomes = await ran(client, batch, journal=journal)
    assert set(states(outcomes)) <= SETTLED
    assert happened(sandbox) == Counter(map(asked, batch))


# Refusals


@pytest.mark.parametrize(
    ("mutations", "options", "words"),
    [
        ([], {"concurrency": 0}, "concurrency is 0"),
        ([], {"concurrency": True}, "concurrency is True"),
        ([], {"concurrency": 1.5}, "concurrency is 1.5"),
        ([], {"concurrency": None}, "concurrency is None"),
        ([], {"stop_after": True}, "stop_after is True"),
        ([], {"stop_after": 0}, "stop_after is 0"),
        ([], {"patience": -1}, "patience is -1"),
        ([], {"patience": float("nan")}, "patience is nan"),
        ([], {"patience": True}, "patience is True"),
        ([], {"journal": 7}, "journal is a int"),
        (7, {}, "mutations is a int"),
        (None, {}, "mutations is a NoneType"),
        (creation(), {}, "mutations is a CreateTicket"),
        ([close_of(1, "姜程"), 7], {}, "a int is no mutation"),
        ([close_of(1, "姜程"), None], {}, "a NoneType is no mutation"),
        ("ids", {}, "a str is no mutation"),
    ],
)
async def test_refused(
    sandbox: Sandbox, client: WorkorderClient, journal: Path, mutations: Any, options: dict[str, Any], words: str
) -> None:
    """What cannot work is refused by its name, before anything is sent or a journal is made."""
    with pytest.raises(ConfigError, match=words):
        await ran(client, mutations, **{"journal": journal, **options})
    assert sandbox.requests.total() == 0
    assert not journal.exists()  # noqa: ASYNC240 - a temporary file


@pytest.mark.parametrize("odd", [None, 7, "id"])
async def test_odd_thing_in_an_iterable(client: WorkorderClient, odd: Any) -> None:
    """What is no mutation stops the batch where it comes, None too; what went before it is done."""
    batch: list[Any] = [*await closes(client, 2), odd, creation()]
    outcomes = []

    async def run() -> None:
        async with aclosing(run_batch(client, iter(batch))) as running:
            async for outcome in running:
                outcomes.append(outcome)  # noqa: PERF401 - kept also where the loop raises

    with pytest.raises(ConfigError, match=f"a {type(odd).__name__} is no mutation"):
        await run()
    assert [one.state for one in outcomes] == [State.DONE] * 2


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
