"""Cancelled at every await point of every public coroutine: nothing is left under way, no outcome is misreported."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from email.utils import formatdate
from itertools import product
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import pytest
from attrs import define, field

import workorder_async
from tests.support.clients import NOW, make_client
from tests.support.mutations import KINDS, OPERATIONS, close_of, mutation_of
from tests.support.raw_server import data, http, serving
from tests.support.slow import slow_after
from tests.support.virtual_loop import virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    CommentTicket,
    NotSentError,
    OutcomeUnknownError,
    RetryPolicy,
    TicketQuery,
    TicketStatus,
    WorkorderClient,
    WorkorderError,
)
from workorder_async.sandbox import Fault, Sandbox
from workorder_async.wire.limits import Lane
from workorder_async.wire.reads import ListReads

# How it is cut short at a step: as it begins to wait, as what it waits for is there, at every step from then on, with
# all tasks that it made (as a loop does that is shut down), or by a time limit.
Cut: TypeAlias = Literal["waiting", "arrived", "again", "all", "timeout"]
CUTS: list[Cut] = ["waiting", "arrived", "again", "all", "timeout"]
LIBRARY = os.path.dirname(workorder_async.__file__)
DETAIL = "已处理, 请验收"


@define
class Steps:
    """Counts the steps of the library's tasks, and cuts the first of them short at one step."""

    cut_at: int
    cut: Cut
    taken: int = 0
    task: "asyncio.Task[Any] | None" = None
    limit: asyncio.Timeout | None = None
    is_over: bool = False
    made: "list[asyncio.Task[Any]]" = field(factory=list)

    def make(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
        """Be the loop's task factory: watch the tasks of the library, and of this file."""
        name = getattr(getattr(coroutine, "cr_code", None), "co_filename", "")
        ours = name == __file__ or (name.startswith(LIBRARY) and os.sep + "sandbox" + os.sep not in name)
        watched = ours or getattr(coroutine, "__name__", "") == "write_bytes"  # aiohttp's, which writes a body
        task = asyncio.Task(Stepped(coroutine, self) if watched else coroutine, loop=loop, **options)
        if ours:
            self.made.append(task)
        return task

    def waits(self, awaited: Any) -> None:
        """Note that a task begins to wait for something."""
        if self.task is None or self.is_over:
            return
        self.taken += 1
        if self.taken != self.cut_at and not (self.cut == "again" and self.taken > self.cut_at):
            return
        if self.cut == "timeout":
            assert self.limit is not None
            self.limit.reschedule(0)
        elif self.cut == "arrived" and isinstance(awaited, asyncio.Future):
            # Goes before the callback that wakes the task.
            awaited.add_done_callback(lambda _: self.cancel())
        else:
            asyncio.get_running_loop().call_soon(self.cancel)

    def cancel(self) -> None:
        """Cancel the task that is looked at."""
        assert self.task is not None
        for task in [self.task, *self.made] if self.cut == "all" else [self.task]:
            task.cancel()


class Stepped(Coroutine[Any, Any, Any]):
    """A coroutine that tells what it waits for."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], steps: Steps) -> None:
        self._coroutine = coroutine
        self._steps = steps

    def send(self, value: Any) -> Any:
        """Take a step."""
        awaited = self._coroutine.send(value)
        self._steps.waits(awaited)
        return awaited

    def throw(self, *error: Any) -> Any:
        """Take a step into an error."""
        awaited = self._coroutine.throw(*error)
        self._steps.waits(awaited)
        return awaited

    def close(self) -> None:
        """End it."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError


Use: TypeAlias = Callable[[WorkorderClient], Awaitable[object]]
Scene: TypeAlias = tuple[WorkorderClient, Use, Callable[[object], None]]
"""A client, what it is to do, and what checks the result or the error of that."""


async def cut_short(client: WorkorderClient, use: Use, steps: Steps) -> object:
    """Run it and cut it short; return what it returned, or the error."""

    async def run() -> object:
        async with asyncio.timeout(None) as steps.limit:
            return await use(client)

    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    loop.set_task_factory(cast("Any", steps.make))
    try:
        steps.task = asyncio.create_task(run())
        async with asyncio.timeout(20):
            await asyncio.wait([steps.task])
    finally:
        steps.is_over = True
        loop.set_task_factory(None)
    stats = client.stats()
    where = (steps.cut, steps.cut_at, steps.task)
    assert (stats.in_flight, stats.waiting) == (0, 0), where
    assert [task for task in steps.made if not task.done()] == [], where
    assert steps.task not in before
    if steps.task.cancelled():
        return asyncio.CancelledError()
    return steps.task.exception() or steps.task.result()


async def at_every_step(cut: Cut, make: Callable[[], AbstractAsyncContextManager[Scene]]) -> int:
    """Cut it short at its first step, its second, and so on until it is done before; return how many there were."""
    for cut_at in range(1, 400):
        before = asyncio.all_tasks()
        steps = Steps(cut_at, cut)
        async with make() as (client, use, check):
            result = await cut_short(client, use, steps)
            if isinstance(result, TimeoutError) and not isinstance(result, WorkorderError):
                assert cut == "timeout"
                result = asyncio.CancelledError()
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError | WorkorderError):
                raise result
            check(result)
            # It serves on.
            await client.list_tickets(page_size=1)
            assert client.stats().in_flight == 0
        async with asyncio.timeout(5):
            while asyncio.all_tasks() - before:  # noqa: ASYNC110 - the server's tasks end by themselves
                await asyncio.sleep(0.001)
        if steps.taken < cut_at:
            return cut_at
    pytest.fail("it never ended")


async def walked(client: WorkorderClient) -> object:
    """Walk to the end."""
    async with client.walk(page_size=10, concurrency=3) as walk:
        return [ticket.id async for page in walk for ticket in page]


async def iterated(client: WorkorderClient) -> object:
    """Iterate to the end."""
    async with aclosing(client.iter_tickets(page_size=10, concurrency=3)) as tickets:
        return [ticket.id async for ticket in tickets]


async def together(client: WorkorderClient) -> object:
    """Wait for slots, several at a time."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.get_ticket(1001 + number)) for number in range(5)]
    return [task.result().id for task in tasks]


async def left(client: WorkorderClient) -> object:
    """Leave a walk after its first page, with others in flight."""
    async with client.walk(page_size=10, concurrency=3) as walk:
        await anext(walk)
    assert walk.in_flight == 0
    return walk.report.requests


async def read_in_a_lane(client: WorkorderClient) -> object:
    """Read pages as a walk does, more at a time than its lane has room for."""
    reads = ListReads(client._session, TicketQuery(), Lane(2))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(reads.read(None, None, page, 10)) for page in range(1, 5)]
    return [task.result().request_id for task in tasks]


READS: dict[str, Use] = {
    "read_in_a_lane": read_in_a_lane,
    "get_ticket_detail": lambda client: client.get_ticket_detail(1001),
    "walk": walked,
    "iter_tickets": iterated,
    "left": left,
    "together": together,
    "plan_windows": lambda client: client.plan_windows(max_tickets=20),
    "upload_file": lambda client: client.upload_file(b"x" * 100_000, file_name="a.txt"),
}


#: One call, many at a time, and a body that is sent: these are tried again after each fault, too.
TRIED_AGAIN = ("get_ticket_detail", "walk", "together", "upload_file")


@pytest.mark.slow
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("name", "fault"), [*((name, None) for name in READS), *product(TRIED_AGAIN, ["reset", "429"])]
)
async def test_reads(name: str, fault: Any, cut: Cut) -> None:
    """A read ends with its result or its cancellation, and leaves nothing."""
    async with Sandbox(50) as sandbox:

        @asynccontextmanager
        async def make() -> AsyncIterator[Scene]:
            if fault is not None:
                sandbox.faults = [Fault(fault, times=1, **WAITS.get(fault, {}))]
            async with sandbox.client(max_in_flight=2, rate=2000, retry=RetryPolicy(first=0.001)) as client:
                yield client, READS[name], check

        def check(result: object) -> None:
            assert not isinstance(result, WorkorderError), result

        assert await at_every_step(cut, make) > 3


#: One that is settled without being asked for, and one that is not.
ONE_EACH = ("close", "comment")


@pytest.mark.slow
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("kind", "fault"), [*product(KINDS, ["reset_after"]), *product(ONE_EACH, [None, "reset", "429"])]
)
@virtual_time
async def test_mutations(kind: str, fault: Any, cut: Cut) -> None:
    """Returned means done once, not sent means not done, and cancelled is never done twice."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Scene]:
        async with virtual_sandbox(20) as (sandbox, other):
            mutation = await mutation_of(other, kind)
            if fault is not None:
                sandbox.faults = [Fault(fault, operation=OPERATIONS[kind], times=1, **WAITS.get(fault, {}))]

            def check(result: object) -> None:
                count = len(sandbox.applied)
                assert count <= 1
                if isinstance(result, NotSentError):
                    assert count == 0
                elif not isinstance(result, asyncio.CancelledError | OutcomeUnknownError):
                    assert count == 1, result

            # A lost mutation is looked for as long as an attempt may take.
            async with sandbox.client(retry=RetryPolicy(first=0.001), attempt_timeout=0.3) as client:
                yield client, lambda client: client.change(mutation, on_unknown="verify"), check

    assert await at_every_step(cut, make) > 3


CLOSED, OPEN = TicketStatus.CLOSED, TicketStatus.PENDING
WAITS: dict[str, dict[str, Any]] = {"429": {"retry_after": 0}}


@pytest.mark.parametrize("cut", slow_after(2, CUTS))
async def test_settling(cut: Cut) -> None:
    """Looking for what was lost changes nothing, and tells the truth or nothing."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Scene]:
        lost = Fault("reset_after", operation="comment_ticket", times=1)
        async with Sandbox(20, faults=[lost]) as sandbox, sandbox.client() as client:
            with pytest.raises(OutcomeUnknownError) as unknown:
                await client.comment_ticket(CommentTicket(id=1001, detail=DETAIL))
            yield client, unknown.value.verify, check
            assert len(sandbox.applied) == 1

    def check(result: object) -> None:
        assert result is True or isinstance(result, asyncio.CancelledError)

    assert await at_every_step(cut, make) > 3


@pytest.mark.parametrize("cut", slow_after(2, CUTS))
async def test_a_lost_answer_on_a_raw_socket(cut: Cut) -> None:
    """A close whose answer is lost is sent again only after it was seen not to have happened."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Scene]:
        closed = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal closed
            request = wire.requests[-1]
            if b"/close_ticket" in request:
                closed += 1
                writer.close()
            elif b"/detail" in request:
                shown = {"id": 1, "status": CLOSED.value, "closed_time": int(NOW), "solved_time": close.solved_time}
                said = data(shown if closed else {"id": 1, "status": OPEN.value})
                writer.write(said.replace(b"\r\n", f"\r\nDate: {formatdate(NOW, usegmt=True)}\r\n".encode(), 1))
            else:
                writer.write(http('{"errno":10000,"data":{"pagination":{"total":0},"tickets":[]}}'))

        def check(result: object) -> None:
            assert closed <= 1
            assert closed == 1 or isinstance(result, asyncio.CancelledError)

        async with serving(answer) as wire, make_client(wire.url) as client:
            yield client, lambda client: client.close_ticket(close), check

    close = close_of(1, "姜程")
    assert await at_every_step(cut, make) > 3


@pytest.mark.slow
@pytest.mark.parametrize("cut", CUTS)
async def test_uploads_leave_no_file_open(tmp_path: Path, cut: Cut) -> None:
    """The file is closed, whenever the upload is cancelled."""
    file = tmp_path / "log.txt"
    file.write_bytes(b"x" * 200_000)

    def check(result: object) -> None:
        assert not isinstance(result, WorkorderError), result

    async with Sandbox(0) as sandbox:

        @asynccontextmanager
        async def make() -> AsyncIterator[Scene]:
            async with sandbox.client() as client:
                yield client, lambda client: client.upload_file(file), check
            async with asyncio.timeout(5):
                while is_open(file):  # noqa: ASYNC110 - a thread may be about to open or close it
                    await asyncio.sleep(0.001)

        assert await at_every_step(cut, make) > 3


def is_open(file: Path) -> bool:
    """Tell whether this process has it open."""
    here = Path("/proc/self/fd")
    return any(os.path.realpath(one) == str(file) for one in here.iterdir())


@pytest.mark.parametrize("cut", slow_after(2, CUTS))
async def test_closing_a_client(cut: Cut) -> None:
    """A client that is closed by a task that is cancelled is closed all the same."""
    async with Sandbox(50) as sandbox:
        for cut_at in range(1, 100):
            client = sandbox.client(max_in_flight=2)
            walks = [client.walk(page_size=10, concurrency=3) for _ in range(2)]
            for walk in walks:
                await anext(walk)
            http_session = client._session._pool.http
            assert http_session is not None
            steps = Steps(cut_at, cut)
            await cut_short(client, lambda client: client.aclose(), steps)
            assert [walk.in_flight for walk in walks] == [0, 0]
            assert http_session.closed
            if steps.taken < cut_at:
                assert cut_at > 1
                return
    pytest.fail("it never ended")
