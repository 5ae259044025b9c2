"""batch.py, over sockets: what was asked, what each outcome says, and what the sandbox carried out."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.support.batches import asked, closes, happened, mixed, ran, states
from tests.support.clients import make_client
from tests.support.mutations import OPERATIONS, PENDING, QUICK, close_of, creation
from tests.support.raw_server import http, serving
from tests.support.rows import each
from tests.support.slow import slow_after
from tests.support.virtual_loop import running_loop, taking, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    ApiError,
    ClientOptions,
    CloseTicket,
    CommentTicket,
    ConfigError,
    CreateTicket,
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
from workorder_async.batches.batch import Mutations, run_batch
from workorder_async.batches.journal_file import read_records
from workorder_async.batches.outcomes import BatchReport, Outcome, State
from workorder_async.mutations.kinds import key_of
from workorder_async.sandbox import Fault, Sandbox

# All went well


@pytest.mark.parametrize("form", slow_after(2, ["list", "async", "tuple", "deque", "iterator", "own iterator"]))
async def test_every_iterable(sandbox: Sandbox, client: WorkorderClient, form: str) -> None:
    """A mix of the four, from any iterable, is carried out once each, and every outcome says what was done."""
    batch = await mixed(client, 8)

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
    assert states(outcomes) == report.counts == {State.DONE: 8}
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
    assert (report.total, report.unsettled, report.stopped) == (8, [], "")
    assert report.slowest == max(outcome.elapsed for outcome in outcomes)
    assert report.seconds == pytest.approx(sum(outcome.elapsed for outcome in outcomes))


async def test_elapsed_is_the_time_on_the_wall() -> None:
    """What goes on side by side counts once, and a second batch with the same report is added."""
    report, before = BatchReport(), time.perf_counter()
    async with Sandbox(100, latency=0.05) as sandbox, sandbox.client(**QUICK) as client:
        batch = await closes(client, 12)
        seen = [report.elapsed async for _ in run_batch(client, batch[:8], concurrency=8, report=report)]
        first = report.elapsed
        assert 0.05 <= seen[0] <= seen[-1] <= first
        assert first < report.seconds / 2
        await ran(client, batch[8:], concurrency=1, report=report)
    assert first + 0.2 <= report.elapsed < time.perf_counter() - before


@pytest.mark.parametrize("empty", [[], (), iter(())])
async def test_nothing_to_do(client: WorkorderClient, empty: Mutations, journal: Path) -> None:
    """An empty batch ends, and is settled."""
    report = BatchReport()
    assert await ran(client, empty, report=report, journal=journal) == []
    assert report.settled


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


# The six states


@virtual_time
async def test_states() -> None:
    """Each state, by what happened."""
    async with virtual_sandbox(150) as (sandbox, client):
        closed, wrong_name, lost, fine = await closes(client, 4)
        await client.close_ticket(closed)
        wrong_name = close_of(wrong_name.id, "查无此人")
        unknown = CommentTicket(id=lost.id, detail="丢失的备注")
        missing = CommentTicket(id=99_999_999, detail="没有这个工单")
        sandbox.faults = [Fault("reset", operation="comment_ticket", times=1)]
        mixture: list[Mutation] = [unknown, closed, wrong_name, missing, fine, fine]
        outcomes = await ran(client, mixture, concurrency=1, deadline=1.0)
    assert [(one.state, type(one.error)) for one in outcomes] == [
        (State.ALREADY, TicketStateError),
        (State.REJECTED, ApiError),
        (State.REJECTED, NotFoundError),
        (State.DONE, type(None)),
        (State.SKIPPED, type(None)),
        (State.UNKNOWN, OutcomeUnknownError),  # while it was not known it kept nobody waiting
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


@virtual_time
async def test_turned_away() -> None:
    """What a busy server turned away until the deadline, and the batch's patience with that, is NOT_SENT."""
    async with virtual_sandbox(300, client={"deadline": 1.0}) as (sandbox, client):
        sandbox.faults = [Fault("429", operation="close_ticket", retry_after=0)]
        (outcome,) = await ran(client, await closes(client, 1), outage=0)
        assert outcome.state is State.NOT_SENT
        assert isinstance(outcome.error, RateLimitedError)
        assert outcome.attempts > 1
        assert sandbox.applied == []


@virtual_time
async def test_one_deadline_for_a_mutation_and_the_look_for_it() -> None:
    """A silent server costs one deadline: what a lost answer leaves of it is all the time to look."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    options: dict[str, float] = {"attempt_timeout": 20, "deadline": 25}
    async with serving(silent) as wire, make_client(wire.url, **options) as client, taking(25, within=0.1):
        (outcome,) = await ran(client, [CommentTicket(id=1, detail="已处理")])
    assert outcome.state is State.UNKNOWN


async def test_nobody_there(unused_tcp_port: int) -> None:
    """Where nobody listens, everything is NOT_SENT, and the report keeps the first of them."""
    report = BatchReport()
    async with make_client(f"http://127.0.0.1:{unused_tcp_port}", retry=RetryPolicy(attempts=1)) as client:
        source = [close_of(id, "姜程") for id in range(1, 1101)]
        outcomes = await ran(client, source, report=report, outage=0)
    assert states(outcomes) == {State.NOT_SENT: 1100}
    assert report.stopped.startswith("nothing got through for 0 s: close_ticket: could not send to")
    assert all(isinstance(outcome.error, NotSentError | None) for outcome in outcomes)
    assert report.unsettled == outcomes[:1000]
    assert not report.settled


async def test_created_without_an_id(journal: Path) -> None:
    """A creation to which the platform said yes, and not which ticket it is, is DONE, and made once."""
    async with serving(http('{"errno":10000,"errmsg":"OK","request_id":"r"}')) as wire, make_client(wire.url) as client:
        outcomes = [await ran(client, [creation()], journal=journal, key=key_of, verify=False) for _ in "12"]
    assert [(one.state, one.ticket_id) for (one,) in outcomes] == [(State.DONE, 0), (State.SKIPPED, 0)]
    assert len(wire.requests) == 1


async def test_every_answer_is_lost(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """With each of 40 answers lost after it happened, each is DONE, and happened once."""
    tickets = await closes(client, 10)
    batch: list[Mutation] = [
        mutation
        for number, close in enumerate(tickets)
        for mutation in (
            CommentTicket(id=close.id, detail=f"第 {number} 条备注"),
            RejectTicket(id=close.id, productGroupId=(await client.get_ticket(close.id)).product_group_id),
            evolve(creation(f"第 {number} 个工单"), reported_time=1660298580 + number),
            CommentTicket(id=close.id, detail="又一条备注"),
        )
    ]
    sandbox.faults = [Fault("reset_after", operation=operation) for operation in OPERATIONS.values()]
    outcomes = await ran(client, batch, journal=journal, key=key_of)
    assert states(outcomes) == {State.DONE: 40}
    ids = {one.ticket_id: one.request["title"] for one in sandbox.applied if one.operation == "create_ticket"}
    assert {o.ticket_id: o.mutation.title for o in outcomes if isinstance(o.mutation, CreateTicket)} == ids
    assert len(sandbox.applied) == 40
    outcomes = await ran(client, tickets)
    assert states(outcomes) == {State.DONE: 10}
    assert len(sandbox.applied) == 50


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize(
    ("first", "second"),
    slow_after(
        2,
        [
            (creation(), evolve(creation(), tags=(1,))),
            (CommentTicket(id=1, detail="请处理"), CommentTicket(id=1, detail="请处理", productGroupId=36)),
            (CommentTicket(id=1, detail="请处理", productGroupId=36), CommentTicket(id=1, detail="请处理")),
            (RejectTicket(id=1, detail="请处理"), CommentTicket(id=1, detail="请处理")),
        ],
    ),
)
@virtual_time
async def test_lost_beside_one_that_looks_the_same(journal: Path, first: Mutation, second: Mutation, runs: int) -> None:
    """A lost mutation is not taken to have happened for what another one left, in this run or an earlier one."""
    async with virtual_sandbox(300, client=QUICK) as (sandbox, client):
        ticket = (await client.list_tickets(PENDING)).tickets[0]
        line = (await client.get_ticket(ticket.id)).product_group_id
        batch = [one if isinstance(one, CreateTicket) else evolve(one, id=ticket.id) for one in (first, second)]
        batch = [
            evolve(one, productGroupId=line) if isinstance(one, CommentTicket) and one.productGroupId else one
            for one in batch
        ]
        outcomes, options = (
            list[Outcome](),
            ClientOptions({**QUICK, "attempt_timeout": 1.0, "now": running_loop().wall_clock}),
        )
        for mutations in [batch] if runs == 1 else [[one] for one in batch]:
            # The client of a later run has sent nothing itself.
            async with sandbox.client(**options) as fresh:
                async for outcome in run_batch(fresh, iter(mutations), concurrency=1, journal=journal, key=key_of):
                    outcomes.append(outcome)
                    sandbox.faults = [Fault("reset", operation=operation) for operation in OPERATIONS.values()]
        assert [(outcome.state, outcome.ticket_id != 0) for outcome in outcomes] == [
            (State.DONE, True),
            (State.UNKNOWN, not isinstance(second, CreateTicket)),
        ]
        assert len(sandbox.applied) == 1
        # In a later run the error would be misled: what it looks for is there.
        error = outcomes[1].error
        assert isinstance(error, OutcomeUnknownError)
        assert runs == 1 or await error.verify(client) is None
        error.began = error.began or [*read_records(journal).by_key.values()][-1].began
        assert await error.verify(client) is True


async def test_lost_without_verify(sandbox: Sandbox, client: WorkorderClient) -> None:
    """With verify=False a lost comment is UNKNOWN; a close looks for its lost answer all the same."""
    (close,) = await closes(client, 1)
    sandbox.faults = [Fault("reset_after", operation="comment_ticket"), Fault("reset_after", operation="close_ticket")]
    batch: list[Mutation] = [CommentTicket(id=close.id, detail="已处理"), close]
    outcomes = await ran(client, batch, verify=False, concurrency=1)
    assert [outcome.state for outcome in outcomes] == [State.UNKNOWN, State.DONE]


# Refusals


@each(
    ("mutations", "options", "words"),
    [
        ([], {"concurrency": 0}, "concurrency is 0"),
        ([], {"concurrency": 10_001}, "concurrency is 10001; it must be from 1 to 10000"),
        ([], {"concurrency": True}, "concurrency is True"),
        ([], {"concurrency": 1.5}, "concurrency is 1.5"),
        ([], {"concurrency": None}, "concurrency is None"),
        ([], {"stop_after": True}, "stop_after is True"),
        ([], {"stop_after": 0}, "stop_after is 0"),
        ([], {"patience": -1}, "patience is -1"),
        ([], {"patience": float("nan")}, "patience is nan"),
        ([], {"patience": True}, "patience is True"),
        ([], {"journal": 7}, "journal is int 7; it must be a path"),
        (7, {}, "mutations is 7; it must be an iterable of mutations"),
        (None, {}, "mutations is None"),
        (creation(), {}, r"mutations is CreateTicket\("),
        ([close_of(1, "姜程"), 7], {}, "a int is no mutation"),
        ([close_of(1, "姜程"), None], {}, "a NoneType is no mutation"),
        ("ids", {}, "a str is no mutation"),
        ([], {"name": b"x"}, "name is b'x'; it must be a text"),
        ([], {"key": "id"}, "key is 'id'; it must be a function"),
        ([], {"mark": "no"}, "mark is 'no'; it must be True or False"),
        ([], {"verify": 1}, "verify is 1; it must be True or False"),
        ([], {"report": {}}, "report is {}; it must be a BatchReport"),
    ],
)
async def test_refused(
    sandbox: Sandbox, client: WorkorderClient, journal: Path, mutations: Any, options: dict[str, Any], words: str
) -> None:
    """What cannot work is refused by its name, before anything is sent or a journal is made; its report says so."""
    report = BatchReport()
    with pytest.raises(ConfigError, match=words) as refused:
        await ran(client, mutations, **{"journal": journal, "report": report, **options})
    assert (report.settled, report.stopped) == (False, str(refused.value)) or "report" in options
    assert sandbox.requests.total() == 0
    assert not journal.exists()  # noqa: ASYNC240 - a temporary file


async def ran_into_an_error(client: WorkorderClient, batch: Any, outcomes: list[Any]) -> None:
    """Run a batch that raises `ConfigError` for what is no mutation, and keep the outcomes before."""
    async with aclosing(run_batch(client, batch, concurrency=1)) as running:
        async for outcome in running:
            outcomes.append(outcome)  # noqa: PERF401 - kept also where the loop raises


async def test_odd_thing_in_a_set(client: WorkorderClient) -> None:
    """It stops the batch, and each mutation has its outcome all the same."""
    rows = await closes(client, 4)
    batch: dict[Any, None] = dict.fromkeys([rows[0], "no mutation", *rows[1:]])
    outcomes: list[Any] = []
    with pytest.raises(ConfigError, match="a str is no mutation"):
        await ran_into_an_error(client, batch.keys(), outcomes)
    assert states(outcomes) == {State.DONE: 1, State.NOT_SENT: 3}


@pytest.mark.parametrize("odd", [None, 7, "id"])
async def test_odd_thing_in_an_iterable(client: WorkorderClient, odd: Any) -> None:
    """What is no mutation stops the batch where it comes, None too; what went before it is done."""
    batch: list[Any] = [*await closes(client, 2), odd, creation()]
    outcomes: list[Any] = []
    with pytest.raises(ConfigError, match=f"a {type(odd).__name__} is no mutation"):
        await ran_into_an_error(client, iter(batch), outcomes)
    assert [one.state for one in outcomes] == [State.DONE] * 2
