"""batch.py, cancelled at every step: what was not sent is said so, what was sent is never sent again."""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from tests.support.clients import make_client
from tests.support.mutations import QUICK, close_of
from tests.support.raw_server import http, serving
from tests.support.virtual_loop import virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import ClientOptions, CommentTicket, Mutation, WorkorderClient
from workorder_async.batches.batch import run_batch
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import read_records
from workorder_async.batches.outcomes import State
from workorder_async.mutations.kinds import Prepared, key_of
from workorder_async.sandbox import Fault, Sandbox

# What is lost is looked for as long as an attempt may take; what an earlier run sent, until the deadline.
_SOON = ClientOptions({**QUICK, "attempt_timeout": 0.3, "deadline": 3})
# What each task of a batch does, as it is named.
_TASK = "Workers._begin.<locals>.working"
BATCH = [CommentTicket(id=1001, detail=f"备注 {number}") for number in range(5)]
FEW = BATCH[:3]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Give a sandbox with a few tickets."""
    async with Sandbox(40) as sandbox:
        yield sandbox


class Stepped(Coroutine[Any, Any, Any]):
    """A coroutine that tells of each of its steps before it takes it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], step: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._step = step

    def send(self, value: Any) -> Any:
        """Take a step."""
        self._step()
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Take a step into an error."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """End it."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError


class Steps:
    """Counts the steps of a batch's workers, and cancels a task at one of them."""

    def __init__(self, cancel_at: int, whom: str) -> None:
        self.taken = 0
        self._cancel_at = cancel_at
        self._whom = whom
        self.consumer: asyncio.Task[Any] | None = None
        self._made: list[asyncio.Task[Any]] = []

    def make(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        """Be the loop's task factory."""
        name = getattr(coroutine, "__qualname__", "")
        if name == _TASK:
            coroutine = Stepped(coroutine, self._step)
        task = asyncio.Task(coroutine, loop=loop, **options)
        if name in (_TASK, "Journal._give_orders"):
            self._made.append(task)
        return task

    def _step(self) -> None:
        self.taken += 1
        if self.taken == self._cancel_at:
            own = asyncio.current_task()
            assert own is not None
            assert self.consumer is not None
            # All: as a loop does that is shut down.
            whom = {"worker": [own], "consumer": [self.consumer], "all": [self.consumer, *self._made]}
            for task in whom[self._whom]:
                task.cancel()


async def cut_short(client: WorkorderClient, journal: Path, steps: Steps) -> set[str]:
    """Run the batch and cancel it; return the keys of what began to be written."""
    sent: set[str] = set()
    change = client.change

    async def watched(prepared: Prepared, **options: Any) -> Any:
        return await change(prepared, on_send=lambda: sent.add(key_of(prepared.mutation)), **options)

    async def run() -> None:
        async with aclosing(run_batch(client, FEW, concurrency=2, journal=journal, patience=0)) as running:
            async for _ in running:
                pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "change", watched)
        loop = asyncio.get_running_loop()
        loop.set_task_factory(cast("Any", steps.make))
        try:
            steps.consumer = asyncio.create_task(run())
            # Where a worker alone is cancelled, it ends with an error, which would else be told much later.
            await asyncio.gather(steps.consumer, return_exceptions=True)
        finally:
            loop.set_task_factory(None)
    return sent


def standings(journal: Path) -> dict[str, str]:
    """Return the latest of each mutation that the journal says; "" where it was begun."""
    found: dict[str, str] = {}
    for line in map(orjson.loads, journal.read_bytes().splitlines()[1:]):
        found[line.get("intent") or line["outcome"]] = line.get("state", "")
    return found


#: Each pair of who is cancelled, what goes wrong, and whether an earlier run left some open.
CASES = [
    (None, "worker", True),
    (None, "consumer", False),
    (None, "all", True),
    ("reset_after", "worker", False),
    ("reset_after", "consumer", True),
    ("reset_after", "all", False),
    ("reset", "worker", True),
    ("reset", "consumer", False),
    ("reset", "all", True),
]


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "whom", "earlier"), CASES)
@virtual_time
async def test_cancelled_at_every_step(tmp_path: Path, fault: Any, whom: str, *, earlier: bool) -> None:
    """Wherever it is cancelled: done once, or free, or open because it may have been sent; another run goes on."""
    for cancel_at in range(1, 400):
        journal = tmp_path / f"{cancel_at}.journal"
        async with virtual_sandbox(40) as (sandbox, _):
            if fault is not None:
                sandbox.faults = [Fault(fault, operation="comment_ticket", every=2)]
            opened: set[str] = set()
            if earlier:
                opened = await leave_open(sandbox, journal)
            steps = Steps(cancel_at, whom)
            async with sandbox.client(**_SOON) as client:
                sent = await cut_short(client, journal, steps)
            done = Counter(str(one.request["detail"]) for one in sandbox.applied)
            assert set(done.values()) <= {1}
            found = standings(journal) if await asyncio.to_thread(journal.exists) else {}
            for comment in FEW:
                standing, key = found.get(key_of(comment), "NOT_SENT"), key_of(comment)
                if standing in ("", "UNKNOWN"):
                    assert key in sent | opened, (cancel_at, standing)
                elif standing == "NOT_SENT":
                    assert not done[comment.detail], cancel_at
                    assert key not in opened, cancel_at
                else:
                    assert (standing, done[comment.detail]) == ("DONE", 1), cancel_at
            async with sandbox.client(**_SOON) as client, aclosing(run_batch(client, FEW, journal=journal)) as again:
                outcomes = [outcome async for outcome in again]
            done = Counter(str(one.request["detail"]) for one in sandbox.applied)
            assert set(done.values()) <= {1}
            for outcome in outcomes:
                assert isinstance(outcome.mutation, CommentTicket)
                if outcome.state is State.UNKNOWN:
                    assert key_of(outcome.mutation) in sent | opened or fault is not None
                else:
                    assert done[outcome.mutation.detail] == 1, (cancel_at, outcome)
        if steps.taken < cancel_at:
            break
    else:
        pytest.fail("it never ended")
    assert cancel_at > 10


async def leave_open(sandbox: Sandbox, journal: Path) -> set[str]:
    """Let an earlier run be cut short when two comments were sent, and none was answered; return their keys."""
    faults, sandbox.faults = sandbox.faults, [Fault("hang", operation="comment_ticket")]
    async with sandbox.client(**_SOON) as client:
        running = run_batch(client, FEW, concurrency=2, journal=journal, patience=0)
        first = asyncio.create_task(anext(running))
        async with asyncio.timeout(10):
            while len(sandbox.struck) < 2:  # noqa: ASYNC110 - the server's record has no event
                await asyncio.sleep(0.002)
        first.cancel()
        await asyncio.wait([first])
        await running.aclose()
    sandbox.faults = faults
    found = {key for key, state in standings(journal).items() if state == ""}
    assert len(found) == 2
    return found


async def test_cancelled_while_intents_are_written(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of thirty comments whose intents were on their way to the disk, none is said to be unknown, none was sent."""
    journal = tmp_path / "batch.journal"
    batch = [CommentTicket(id=1001, detail=f"备注 {number}") for number in range(30)]
    free, busy, real = threading.Event(), threading.Event(), os.fsync
    syncs = 0

    def fsync(file: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs > 2:  # the header and its folder
            busy.set()
            assert free.wait(20)
        real(file)

    async def run(client: WorkorderClient) -> None:
        async with aclosing(run_batch(client, batch, concurrency=16, journal=journal, patience=0)) as running:
            async for _ in running:
                pytest.fail("nothing can have ended")

    async with sandbox.client(**_SOON) as client:
        monkeypatch.setattr(os, "fsync", fsync)
        task = asyncio.create_task(run(client))
        while not busy.is_set():  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0.001)
        task.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        free.set()
        await asyncio.wait([task])
        assert task.cancelled()
        monkeypatch.undo()
        assert sandbox.applied == []
        assert set(standings(journal).values()) == {"NOT_SENT"}
        async with aclosing(run_batch(client, batch, journal=journal)) as again:
            assert [outcome.state async for outcome in again] == [State.DONE] * 30


async def test_cancelled_while_a_refusal_is_looked_at(tmp_path: Path) -> None:
    """What the platform refused is refused, though it was not seen any more whether it had been so before."""
    journal, looking = tmp_path / "batch.journal", asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if wire.requests[-1].startswith(b"GET"):
            looking.set()
            await reader.read()
        else:
            writer.write(http('{"errno":23000,"errmsg":"","request_id":"r"}'))

    async def run() -> None:
        async with aclosing(run_batch(client, [close_of(1, "姜程")], journal=journal, patience=0)) as running:
            async for _ in running:
                pytest.fail("nothing can have ended")

    async with serving(answer) as wire, make_client(wire.url) as client:
        task = asyncio.create_task(run())
        async with asyncio.timeout(10):
            await looking.wait()
        task.cancel()
        await asyncio.wait([task])
    assert list(standings(journal).values()) == ["REJECTED"]


@pytest.mark.parametrize("times", [2, 3, 5])
async def test_cancelled_again_and_again(sandbox: Sandbox, tmp_path: Path, times: int) -> None:
    """However often it is cancelled, no worker is left, and the journal is unlocked."""
    journal = tmp_path / "batch.journal"
    sandbox.faults = [Fault("hang", operation="comment_ticket")]

    async def run() -> None:
        async with (
            sandbox.client(**_SOON) as client,
            aclosing(run_batch(client, BATCH, journal=journal, patience=5)) as running,
        ):
            async for _ in running:
                pytest.fail("nothing can have ended")

    before = asyncio.all_tasks()
    task = asyncio.create_task(run())
    async with asyncio.timeout(10):
        while len(sandbox.struck) < 5:  # noqa: ASYNC110 - the server's record has no event
            await asyncio.sleep(0.002)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    async with asyncio.timeout(4):
        await asyncio.wait([task])
    assert task.cancelled()
    left = [one for one in asyncio.all_tasks() - before if "Workers" in repr(one) or "Journal" in repr(one)]
    assert left == []
    async with _reopened(journal):
        pass


def _reopened(journal: Path) -> Journal:
    return Journal(journal, read_records(journal).identity)


async def test_cancelled_after_it_was_turned_away(tmp_path: Path) -> None:
    """What was sent and turned away unread is as good as not sent: the next run sends it."""
    journal = tmp_path / "batch.journal"
    turned_away = asyncio.Event()

    async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http("", "429 Slow", Retry_After="60"))
        turned_away.set()

    batch: list[Mutation] = [CommentTicket(id=1001, detail="备注")]
    done = http('{"errno":10000,"data":{}}')
    async with serving(turn_away) as wire, make_client(wire.url) as client:

        async def run() -> None:
            async for _ in run_batch(client, batch, journal=journal, patience=0):
                pass

        running = asyncio.create_task(run())
        await turned_away.wait()
        while not client.stats().throttled:  # noqa: ASYNC110 - in the very turn of the loop
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        wire.script[:] = [done]
        async with make_client(wire.url) as another:
            (outcome,) = [one async for one in run_batch(another, batch, journal=journal)]
        assert (outcome.state, len(wire.requests)) == (State.DONE, 2)
