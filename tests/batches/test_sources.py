"""batch.py: what a caller hands over, what he does to it meanwhile, how it ends, and what makes two mutations one."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.support.batches import asked, closes, happened, ran, states
from tests.support.mutations import QUICK, creation
from tests.support.slow import slow_after, slow_but_every
from workorder_async import (
    BatchReport,
    CloseTicket,
    CommentTicket,
    ConfigError,
    CreateTicket,
    JournalError,
    Mutation,
    RejectTicket,
    WorkorderClient,
    WorkorderError,
)
from workorder_async.batches.batch import run_batch
from workorder_async.batches.outcomes import Outcome, State
from workorder_async.sandbox import Fault, Sandbox

# What a list held

FORMS: dict[str, Callable[[list[Mutation]], Any]] = {
    "list": list,
    "deque": deque,
    "set": set,
    "keys": dict.fromkeys,
    "values": lambda batch: dict(enumerate(batch)).values(),
}
CHANGES: dict[str, Callable[[Any], None]] = {
    "removed": lambda held: held.remove(next(iter(held))),
    "cleared": lambda held: held.clear(),
    "added to": lambda held: held.append(creation("zu spät")),
    "reversed": lambda held: held.reverse(),
}


@pytest.mark.parametrize("change", slow_after(2, CHANGES))
@pytest.mark.parametrize("when", ["in the loop", "before it"])
async def test_a_list_that_is_changed(sandbox: Sandbox, client: WorkorderClient, change: str, when: str) -> None:
    """What a list held when it was handed over is done, whatever the caller does to it before or in the loop."""
    batch = await closes(client, 20)
    todo, report = list(batch), BatchReport()
    running = run_batch(client, todo, report=report, concurrency=4)
    if when == "before it":
        CHANGES[change](todo)
    async with aclosing(running) as outcomes:
        async for _ in outcomes:
            if when == "in the loop" and todo:
                CHANGES[change](todo)
    assert happened(sandbox) == Counter(map(asked, batch))
    assert report.counts == {State.DONE: 20}
    assert report.settled


@pytest.mark.parametrize("form", slow_after(2, FORMS))
async def test_everything_that_has_a_length(sandbox: Sandbox, client: WorkorderClient, form: str) -> None:
    """Any container is taken as it is, and the rest of it told where the batch stops."""
    batch = await closes(client, 20)
    handed = FORMS[form](list[Mutation](batch))
    running = run_batch(client, handed, concurrency=1, stop_after=1)
    sandbox.faults = [Fault("errno", operation="close_ticket", errno=90777)]
    if hasattr(handed, "clear"):
        handed.clear()
    async with aclosing(running) as outcomes:
        found = [outcome async for outcome in outcomes]
    assert states(found) == {State.REJECTED: 1, State.NOT_SENT: 19}
    assert {one.mutation for one in found} == set(batch)


async def test_the_rest_of_a_list_that_is_cleared(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """It is told as well, and the next run goes on with the same list."""
    batch = await closes(client, 10)
    todo = list(batch)
    sandbox.faults = [Fault("errno", operation="close_ticket", errno=90777, after=3)]
    found: list[Outcome] = []
    async with aclosing(run_batch(client, todo, concurrency=1, stop_after=1, journal=journal)) as outcomes:
        async for outcome in outcomes:
            todo.clear()
            found.append(outcome)
    assert states(found) == {State.DONE: 3, State.REJECTED: 1, State.NOT_SENT: 6}
    sandbox.faults = []
    assert states(await ran(client, batch, journal=journal)) == {State.SKIPPED: 3, State.DONE: 7}


async def test_arguments_are_looked_at_when_they_are_given(client: WorkorderClient) -> None:
    """Not when the first outcome is asked for."""
    with pytest.raises(ConfigError, match="concurrency is 0"):
        run_batch(client, [], concurrency=0)
    with pytest.raises(ConfigError, match="outage is -1"):
        run_batch(client, [], outage=-1)
    with pytest.raises(ConfigError, match="deadline is 0"):
        run_batch(client, [], deadline=0)


# How a source ends


class OwnError(BaseException):
    """An error that no `except Exception` catches."""


ENDS: list[tuple[BaseException, type[BaseException]]] = [
    (asyncio.CancelledError(), WorkorderError),
    (asyncio.CancelledError("weg"), WorkorderError),
    (GeneratorExit(), WorkorderError),
    (OwnError(), WorkorderError),
    (TimeoutError(), TimeoutError),
    (StopIteration(), RuntimeError),
    (StopAsyncIteration(), RuntimeError),
    (RuntimeError("kaputt"), RuntimeError),
]


@pytest.mark.parametrize(
    ("error", "raised", "form"),
    slow_after(
        2,
        [
            *((*ENDS[0], form) for form in ("generator", "async generator", "iterator", "async iterator")),
            *((*end, form) for end in ENDS[1:] for form in ("generator", "async iterator")),
        ],
    ),
)
async def test_a_source_that_does_not_end_by_its_end(
    sandbox: Sandbox, client: WorkorderClient, error: BaseException, raised: type[BaseException], form: str
) -> None:
    """Any other end is the failure of the batch, after what was pulled has ended; nobody was cancelled by it."""
    batch = await closes(client, 5)

    def generator() -> Iterator[Mutation]:
        yield from batch
        raise error

    async def async_generator() -> AsyncGenerator[Mutation, None]:
        for mutation in batch:
            yield mutation
        raise error

    class Own:
        def __init__(self) -> None:
            self.left = iter(batch)

        def __iter__(self) -> "Own":
            return self

        def __aiter__(self) -> "Own":
            return self

        def next(self) -> Mutation:
            for mutation in self.left:
                return mutation
            raise error

    class OwnIterator(Own):
        __aiter__ = None  # type: ignore[assignment]
        __next__ = Own.next

    class OwnAsyncIterator(Own):
        async def __anext__(self) -> Mutation:
            return self.next()

    if isinstance(error, StopIteration) and form == "iterator":
        pytest.skip("that is its end")
    if isinstance(error, StopAsyncIteration) and form == "async iterator":
        pytest.skip("that is its end")
    sources: dict[str, Callable[[], Any]] = {
        "generator": generator,
        "async generator": async_generator,
        "iterator": OwnIterator,
        "async iterator": OwnAsyncIterator,
    }
    report, outcomes = BatchReport(), list[Outcome]()

    async def run() -> None:
        async with aclosing(run_batch(client, sources[form](), concurrency=2, report=report)) as running:
            async for outcome in running:
                outcomes.append(outcome)

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    assert not task.cancelled()
    assert type(task.exception()) is raised
    assert states(outcomes) == {State.DONE: 5}
    assert len(sandbox.applied) == 5
    assert not report.settled
    assert report.stopped


async def test_a_source_whose_task_was_cancelled(sandbox: Sandbox, client: WorkorderClient) -> None:
    """As where a source awaits what somebody else has cancelled: fifteen of twenty were lost, and it looked well."""
    batch = await closes(client, 20)
    feed = asyncio.create_task(asyncio.Event().wait())

    async def source() -> AsyncIterator[Mutation]:
        for number, mutation in enumerate(batch):
            if number == 5:
                feed.cancel()
                await feed
            yield mutation

    report = BatchReport()
    with pytest.raises(WorkorderError, match="CancelledError") as caught:
        await ran(client, source(), report=report)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert (report.counts[State.DONE], report.settled) == (5, False)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_source_that_cancels_a_worker(sandbox: Sandbox, client: WorkorderClient, concurrency: int) -> None:
    """As by a time limit around its `yield`: it cut a close short, whose outcome was never told, and looked well."""
    batch = await closes(client, 20)
    limits: list[asyncio.Timeout] = []

    async def source() -> AsyncIterator[Mutation]:
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            for mutation in batch:
                yield mutation

    async def end_the_time() -> None:
        while not sandbox.requests["close_ticket"]:  # noqa: ASYNC110 - the sandbox's record has no event
            await asyncio.sleep(0)
        limits[0].reschedule(0)

    sandbox.faults = [Fault("slow_headers", operation="close_ticket", seconds=0.3)]
    report, outcomes, ending = BatchReport(), list[Outcome](), asyncio.create_task(end_the_time())

    async def run() -> None:
        async for outcome in run_batch(client, source(), concurrency=concurrency, report=report):
            outcomes.append(outcome)

    with pytest.raises(WorkorderError, match="CancelledError"):
        await run()
    await ending
    assert states(outcomes) == report.counts
    assert report.counts[State.UNKNOWN] == 1
    assert {one.ticket_id for one in sandbox.applied} <= {one.ticket_id for one in outcomes}
    assert len(outcomes) < 2 * concurrency


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_a_source_that_ends_the_program(end: type[BaseException]) -> None:
    """It ends the program, as it would anywhere else, and is no failure of the batch."""

    async def program() -> None:
        def mutations() -> Iterator[Mutation]:
            raise end("enough")
            yield

        async with Sandbox(0) as sandbox, sandbox.client() as client:
            await ran(client, mutations())

    with pytest.raises(end, match="enough"):
        asyncio.run(program())


async def test_a_callback_that_raises(client: WorkorderClient, journal: Path) -> None:
    """A report that raises ends the batch with its error; the outcome is told and written all the same."""

    class Report(BatchReport):
        def note(self, outcome: Outcome) -> None:
            super().note(outcome)
            if self.total == 3:
                raise BrokenPipeError("nobody reads")

    batch, outcomes = await closes(client, 10), list[Outcome]()

    async def run() -> None:
        async with aclosing(run_batch(client, batch, concurrency=1, report=Report(), journal=journal)) as running:
            async for outcome in running:
                outcomes.append(outcome)

    with pytest.raises(BrokenPipeError, match="nobody reads"):
        await run()
    assert [one.state for one in outcomes[:3]] == [State.DONE] * 3
    assert {one.state for one in outcomes[3:]} == {State.NOT_SENT}
    assert len(outcomes) == 10
    assert states(await ran(client, batch, journal=journal)) == {State.SKIPPED: 3, State.DONE: 7}


@pytest.mark.parametrize(
    ("error", "call"),
    slow_but_every(
        4,
        [
            *((ValueError("no clock"), call) for call in (3, 8, 11, 12)),
            *((asyncio.CancelledError(), call) for call in (3, 11)),
            (RecursionError(), 8),
        ],
    ),
)
async def test_a_clock_that_raises(sandbox: Sandbox, journal: Path, error: BaseException, call: int) -> None:
    """Whatever code of the user's raises in the midst of a mutation, each has its state, and no worker is lost."""
    calls = 0

    def now() -> float:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        return time.time()

    outcomes, report = list[Outcome](), BatchReport()
    async with sandbox.client(**QUICK) as client:
        batch = await closes(client, 6)
    async with sandbox.client(now=now) as client:
        # By the server's clock the next run finds out what became of a close.
        calls = -100
        await client.ping()
        calls = 0
        running = run_batch(client, batch, concurrency=1, journal=journal, report=report)
        with suppress(type(error), WorkorderError):
            async for outcome in running:
                outcomes.append(outcome)
    assert calls >= call
    assert report.total == 6
    assert report.settled is (report.counts[State.DONE] == 6)
    not_sent = {one.ticket_id for one in outcomes if one.state is State.NOT_SENT}
    assert not not_sent & {one.ticket_id for one in sandbox.applied}
    async with sandbox.client(**QUICK) as client:
        again = await ran(client, batch, journal=journal)
    assert set(states(again)) <= {State.DONE, State.SKIPPED}
    assert happened(sandbox) == Counter(map(asked, batch))


# What makes two mutations one


def alarm(name: str) -> CreateTicket:
    """Return the ticket of an alarm, as a program makes it that is run again: at another time, with other words."""
    return evolve(creation(f"{name} at {time.perf_counter()}"), reported_time=int(time.time()))


def name_of(mutation: Mutation) -> str:
    """Return what a program knows an alarm by."""
    assert isinstance(mutation, CreateTicket)
    return mutation.title.partition(" at ")[0]


@pytest.mark.parametrize("form", [list, iter])
async def test_a_program_that_is_run_twice(
    sandbox: Sandbox, client: WorkorderClient, journal: Path, form: Callable[[list[Mutation]], Any]
) -> None:
    """Ten alarms are ten tickets, however often it is run, if they have a key."""
    for expected in ({State.DONE: 10}, {State.SKIPPED: 10}):
        batch: list[Mutation] = [alarm(f"alarm {number}") for number in range(10)]
        assert states(await ran(client, form(batch), journal=journal, key=name_of)) == expected
    assert len(sandbox.applied) == 10


@pytest.mark.parametrize("form", [list, iter])
async def test_creations_without_a_key(
    sandbox: Sandbox, client: WorkorderClient, journal: Path, form: Callable[[list[Mutation]], Any]
) -> None:
    """With a journal they are refused by a sentence that says what to give; without one they are not."""
    with pytest.raises(ConfigError, match=r"key is needed for creations with a journal; .*key=lambda") as caught:
        await ran(client, form([alarm("a")]), journal=journal)
    assert caught.value.argument == "key"
    assert sandbox.applied == []
    assert states(await ran(client, form([alarm("a"), alarm("b")]))) == {State.DONE: 2}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        *[(lambda _, one=one: one, r"key returned .*; it must return a text") for one in (None, "", 7, b"a", ["a"])],
        (asyncio.sleep, "key is .*; it must be a function, no `async def`"),
        (lambda _: asyncio.sleep(0), "key is an `async def`, which is not awaited"),
    ],
)
async def test_a_key_that_is_none(
    sandbox: Sandbox, client: WorkorderClient, journal: Path, key: Any, said: str
) -> None:
    """It is refused by what it is or returned, before anything is sent."""
    with pytest.raises(ConfigError, match=said):
        await ran(client, [alarm("a")], journal=journal, key=key)
    assert (sandbox.applied, journal.exists()) == ([], False)  # noqa: ASYNC240 - a temporary file


async def test_a_key_that_raises(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """Its error is raised as it is, after what was pulled has ended."""
    batch: list[Mutation] = [alarm("a"), CommentTicket(id=1, detail="x")]
    with pytest.raises(AssertionError):
        await ran(client, iter(batch), journal=journal, key=name_of)
    assert len(sandbox.applied) == 1


async def test_kinds_are_kept_apart_whatever_the_key(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """A comment and a close with one key are two mutations; two comments with one are one."""
    (close,) = await closes(client, 1)
    first, second = (CommentTicket(id=close.id, detail=text) for text in ("甲", "乙"))
    outcomes = await ran(client, [first, close, second], journal=journal, concurrency=1, key=lambda _: "one")
    assert [one.state for one in outcomes] == [State.DONE, State.DONE, State.SKIPPED]


async def test_defaults(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """Without a key: ticket and kind for closes, with the line for rejections, and the text too for comments."""
    (close,) = await closes(client, 1)
    id = close.id
    batch: list[Mutation] = [
        CommentTicket(id=id, detail="甲"),
        CommentTicket(id=id, detail="乙"),
        CommentTicket(id=id, detail="甲"),
        RejectTicket(id=id, detail="甲"),
        RejectTicket(id=id, detail="乙"),
        close,
        evolve(close, solved_time=1),
    ]
    outcomes = await ran(client, iter(batch), journal=journal, concurrency=1)
    skipped = [number for number, one in enumerate(outcomes) if one.state is State.SKIPPED]
    assert skipped == [2, 4, 6]


async def test_one_left_open_with_other_words(sandbox: Sandbox, client: WorkorderClient, journal: Path) -> None:
    """What an earlier run may have sent is looked for as it was sent then, with that run's words and at its time."""
    sandbox.faults = [Fault("hang_after", operation="create_ticket")]
    running = run_batch(client, iter([alarm("a")]), journal=journal, key=name_of, patience=0)
    first = asyncio.create_task(anext(running))
    async with asyncio.timeout(5):
        while not sandbox.applied:  # noqa: ASYNC110 - the server's record has no event
            await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.wait([first])
    await running.aclose()
    sandbox.faults = []
    again = alarm("a")
    (outcome,) = await ran(client, iter([again]), journal=journal, key=name_of)
    assert (outcome.state, outcome.mutation) == (State.DONE, again)
    assert outcome.ticket_id == sandbox.applied[0].ticket_id
    assert len(sandbox.applied) == 1


async def test_another_key_is_another_batch(client: WorkorderClient, journal: Path) -> None:
    """For a list, whose digest is of its keys."""
    batch = [CloseTicket(id=1001, closer_id=1, closer_name="姜程", solved_time=1)]
    await ran(client, batch, journal=journal, key=lambda _: "a")
    with pytest.raises(JournalError, match="belongs to another batch"):
        await ran(client, batch, journal=journal, key=lambda _: "b")
