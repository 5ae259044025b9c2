"""blocking.py: the client without `async`, in any thread, to the end of the process."""

import asyncio
import contextvars
import copy
import gc
import inspect
import os
import pickle
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import islice
from operator import attrgetter
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, assert_type, cast

import pytest
from attrs import evolve

import workorder_async
from tests.support.cli_runs import elsewhere, python_c
from tests.support.garbage import collect_in
from tests.support.raw_server import Handler, data, hang, http, serving
from tests.support.samples import BASE, CLOSE, ENVIRONMENT
from tests.support.slow import slow_after
from workorder_async import (
    CommentTicket,
    ConfigError,
    NoAnswerError,
    NotFoundError,
    Once,
    OutcomeUnknownError,
    Ping,
    SchemeSigner,
    State,
    Ticket,
    TicketPage,
    TicketQuery,
    TicketStatus,
    TicketSummary,
    loop_thread,
    run_batch,
)
from workorder_async.batches.batch import settle_journal
from workorder_async.blocking import Walk, WorkorderClient
from workorder_async.client import WorkorderClient as AsyncClient
from workorder_async.exports import export_tickets
from workorder_async.loop_thread import LoopThread
from workorder_async.mirror import mirror_tickets
from workorder_async.sandbox import Sandbox
from workorder_async.wire.observing import Event

SIGNER = SchemeSigner("demo-app", "demo-secret", "md5:{app_id}{timestamp}{secret}")
TICKETS = 300
PATIENCE = 10.0


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run a sandbox in a thread of its own."""
    with elsewhere(Sandbox(TICKETS)) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Let Ctrl-C raise, though a shell has the tests run in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[WorkorderClient]:
    """Give a client of the sandbox."""
    with WorkorderClient.from_env(sandbox.environment, errnos={90005: NotFoundError}) as client:
        yield client


@contextmanager
def client_of(*script: Handler | bytes, **options: Any) -> Iterator[WorkorderClient]:
    """Give a client of a server that answers by a script."""
    with elsewhere(serving(*script)) as wire, WorkorderClient(wire.url, signer=SIGNER, **options) as client:
        yield client


def public(kind: type) -> set[str]:
    """Return the public names of a class."""
    return {name for name in dir(kind) if not name.startswith("_")}


def test_the_same_methods() -> None:
    """Each method of the client with coroutines is there, with its arguments, result and text; closing has no `a`."""
    assert public(WorkorderClient) - {"run", "close"} == public(AsyncClient) - {"aclose"}
    for name in public(AsyncClient) - {"aclose", "walk", "iter_pages", "iter_tickets"}:
        ours, theirs = getattr(WorkorderClient, name), getattr(AsyncClient, name)
        if not isinstance(ours, property):
            assert not inspect.iscoroutinefunction(ours)
            assert inspect.signature(ours) == inspect.signature(theirs)
            assert ours.__doc__ == theirs.__doc__
    for name in ("__init__", "walk", "iter_pages", "iter_tickets"):
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (WorkorderClient, AsyncClient))
        assert list(ours.parameters.values()) == list(theirs.parameters.values())


def test_types(client: WorkorderClient) -> None:
    """Type checkers know arguments and results, and refuse what is wrong."""
    id = assert_type(next(client.iter_tickets()), TicketSummary).id
    assert_type(client.get_ticket(id, deadline=5), Ticket)
    assert_type(client.list_tickets(TicketQuery(), page=2), TicketPage)
    assert_type(client.ping(), Ping)
    assert_type(client.run(lambda other: other.ping()), Ping)
    with pytest.raises(TypeError, match="deadlin"):
        client.get_ticket(id, deadlin=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with client.walk(concurrency=2) as walk:
        assert_type(next(walk), list[TicketSummary])


def test_each_endpoint(client: WorkorderClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """Reads, mutations and an upload are carried out, each once."""
    (tmp_path / "trace.png").write_bytes(b"\x89PNG")
    pending = next(client.iter_tickets(TicketQuery(status=TicketStatus.PENDING)))
    assert client.get_ticket(pending.id).title == client.get_ticket_detail(pending.id).title == pending.title
    client.comment_ticket(CommentTicket(id=pending.id, detail="看过了"))
    assert client.upload_file(tmp_path / "trace.png").file_name == "trace.png"
    assert [one.ticket_id for one in sandbox.applied if one.request.get("detail") == "看过了"] == [pending.id]
    creator = client.get_ticket(pending.id)
    close = evolve(CLOSE, id=pending.id, closer_id=creator.creator_id, closer_name=creator.creator_name)
    close = evolve(close, handle_attachment=[])
    assert not client.settle(close, client.now()).holds
    assert client.change(close, until=client.deadline(30)).ticket_id == pending.id
    assert client.settle(close, client.now() - 5).holds
    assert (client.base_url, client.app_id) == (sandbox.url, "sandbox-app")
    assert (client.proxy, client.ssl, abs(client.clock_offset) < 2) == (None, True, True)
    assert client.stats().in_flight == 0


def test_ids_out_of_a_walk(client: WorkorderClient) -> None:
    """What hands over ids as they come may use this client for them."""
    closed = TicketQuery(status=TicketStatus.CLOSED)
    ids = [ticket.id for ticket in client.iter_tickets(closed)]
    assert [*client.get_tickets(ticket.id for ticket in client.iter_tickets(closed))] == ids
    assert [*client.get_tickets(ids=map(attrgetter("id"), client.iter_tickets(closed)))] == ids


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_client_is_not_copied(client: WorkorderClient, copied: Callable[[object], object]) -> None:
    """A copy would end what both use, and another process has none of it; so it is with coroutines, too."""
    for one in (client, AsyncClient("http://localhost", signer=SIGNER)):
        with pytest.raises(ConfigError, match="a client is not copied or pickled; make one where it is needed"):
            copied(one)
    assert client.get_ticket(1001).id == 1001


def test_errors_pass(client: WorkorderClient) -> None:
    """An error of the tree comes as it is, and names the operation."""
    with pytest.raises(NotFoundError) as caught:
        client.get_ticket(99999)
    assert caught.value.operation == "get_ticket"
    with pytest.raises(ConfigError, match="id is 0"):
        client.get_ticket(0)
    with pytest.raises(TypeError, match="'status' is a filter"):
        next(client.iter_tickets(status=3))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_walks(client: WorkorderClient) -> None:
    """Every ticket comes once, in the same order by each of the three, and the report is exact."""
    ids = [ticket.id for ticket in client.iter_tickets()]
    assert len(set(ids)) == len(ids) == TICKETS
    assert [ticket.id for page in client.iter_pages(page_size=50) for ticket in page] == ids
    with client.walk(page_size=50) as walk:
        assert [ticket.id for page in walk for ticket in page] == ids
        assert list(walk) == []
    assert walk.report.exact
    windows = client.plan_windows(max_tickets=100)
    assert {ticket.id for window in windows for ticket in client.iter_tickets(window)} == set(ids)


def leave_by_break(client: WorkorderClient) -> None:
    """Leave the loop."""
    for _ in client.iter_tickets(page_size=20, concurrency=2):
        break


def leave_by_error(client: WorkorderClient) -> None:
    """Leave the loop by an error."""
    with pytest.raises(ZeroDivisionError):
        list(map(lambda ticket: ticket.id / 0, client.iter_tickets(page_size=20, concurrency=2)))  # noqa: C417


def leave_by_close(client: WorkorderClient) -> None:
    """Close the iterator."""
    with closing(client.iter_pages(page_size=20, concurrency=2)) as pages:
        next(pages)


def leave_the_block(client: WorkorderClient) -> None:
    """Leave the block of a walk."""
    with client.walk(page_size=20, concurrency=2) as walk:
        next(walk)


@pytest.mark.parametrize("leave", slow_after(1, [leave_by_break, leave_by_error, leave_by_close, leave_the_block]))
def test_a_loop_that_is_left(leave: Callable[[WorkorderClient], None]) -> None:
    """A walk reads no further ahead than sixteen pages, and leaving it ends its requests at once."""
    with elsewhere(Sandbox(2000)) as sandbox, WorkorderClient.from_env(sandbox.environment) as client:
        leave(client)
        (walk,) = client._client._walks or [None]
        assert walk is None or walk.in_flight == 0
        assert client.stats().in_flight == client.stats().waiting == 0
        # A few rows of each page come again, and those under way come beside the pages that are held.
        assert 1 <= sandbox.requests["list_tickets"] <= 24


def test_pages_wait() -> None:
    """However long a page is used, only so many more are read; the iterator goes on from there."""
    with elsewhere(Sandbox(2000)) as sandbox, WorkorderClient.from_env(sandbox.environment) as client:
        pages = client.iter_pages(page_size=20, concurrency=1)
        first = next(pages)

        async def until_quiet(other: AsyncClient) -> None:
            (walk,) = other._walks
            while walk.in_flight:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.001)

        client.run(until_quiet)
        assert sandbox.requests["list_tickets"] < 50
        assert sum(map(len, pages)) + len(first) == 2000


async def test_inside_a_running_loop(client: WorkorderClient) -> None:
    """It works where an event loop runs already, as in Jupyter."""
    assert asyncio.get_running_loop().is_running()
    assert client.ping().latency > 0
    assert len(list(client.iter_tickets())) == TICKETS


def test_ten_threads() -> None:
    """Ten threads call at once: the server sees all ten before it answers one, and each has its answer."""
    all_there = asyncio.Barrier(10)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await all_there.wait()
        writer.write(http(BASE))

    with client_of(answer) as client, ThreadPoolExecutor(10) as pool:
        assert [ticket.id for ticket in pool.map(client.get_ticket, [1204] * 10)] == [1204] * 10


def test_threads_do_not_mix_answers(client: WorkorderClient) -> None:
    """Each of many calls from many threads has the answer to its own question, errors too."""
    ids = [ticket.id for ticket in client.iter_tickets()]

    def ask(id: int) -> int:
        try:
            return client.get_ticket(id).id
        except NotFoundError:
            return -id

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(ask, [*ids, *range(90001, 90030)])) == [*ids, *range(-90001, -90030, -1)]


def test_a_batch_and_an_export_run_in_it(client: WorkorderClient, sandbox: Sandbox) -> None:
    """`run` does what takes the client with coroutines, such as a batch."""
    pending = TicketQuery(status=TicketStatus.PENDING)
    comments = [CommentTicket(id=ticket.id, detail="催一下") for ticket in islice(client.iter_tickets(pending), 10)]

    async def comment(other: AsyncClient) -> list[State]:
        return [outcome.state async for outcome in run_batch(other, comments)]

    assert client.run(comment) == [State.DONE] * 10


async def test_what_takes_the_other_client_refuses_this_one(
    client: WorkorderClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A client without coroutines is refused before anything is sent, with what to write instead."""
    other: Any = client
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: anext(run_batch(other, [CommentTicket(id=1001, detail="催一下")])),
        lambda: anext(settle_journal(other, tmp_path / "journal")),
        lambda: Once(other, tmp_path / "journal").__aenter__(),
        lambda: export_tickets(other, TicketQuery(), tmp_path / "tickets.csv"),
        lambda: mirror_tickets(other, tmp_path / "tickets.db"),
        lambda: OutcomeUnknownError("lost", mutation=CommentTicket(id=1001, detail="催一下"), began=1.0).verify(other),
    ]
    before = sum(sandbox.requests.values())
    for call in calls:
        with pytest.raises(ConfigError, match=r"blocking one .* client.run\((lambda client: ...|error.verify)\)"):
            await call()
    assert sum(sandbox.requests.values()) == before
    assert not os.listdir(tmp_path)


def test_a_closed_client_says_so(sandbox: Sandbox) -> None:
    """A closed client refuses every call in a sentence, may be closed again, and its thread has ended."""
    with WorkorderClient.from_env(sandbox.environment) as client:
        walk = client.walk()
        next(walk)
    client.close()
    for call in (client.ping, lambda: client.get_ticket(1), lambda: next(client.iter_tickets()), lambda: next(walk)):
        with pytest.raises(ConfigError, match="this client is closed; make another one"):
            call()
    walk.close()
    assert "workorder client" not in [thread.name for thread in threading.enumerate()]


def test_a_call_inside_its_own_loop_is_refused(client: WorkorderClient) -> None:
    """A call that would wait for itself is refused in a sentence; the client goes on."""

    async def call(other: AsyncClient) -> None:
        client.ping()

    with pytest.raises(ConfigError, match="called inside its own event loop, as by a callback; return"):
        client.run(call)
    assert client.ping().latency > 0


def test_what_is_no_function_is_refused(client: WorkorderClient) -> None:
    """A coroutine that is made already is of another client."""
    for act in (5, export := export_tickets(client._client, TicketQuery(), "t.csv")):
        with pytest.raises(ConfigError, match=r"act is .*; it must be a function of one argument"):
            client.run(cast("Any", act))
    export.close()
    with pytest.raises(ConfigError, match=r"act returned <async_gen.*; it must return something to await"):
        client.run(cast("Any", lambda other: run_batch(other, [])))


def test_from_env_makes_a_subclass_as_its_call_does(sandbox: Sandbox) -> None:
    """A client of a class of one's own is begun by its own `__init__`, in each way to make one."""

    class Counting(WorkorderClient):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.seen = 0

    with Counting.from_env(sandbox.environment, deadline=5) as client:
        assert client.ping().latency > client.seen == 0


def test_a_session_is_refused() -> None:
    """A session of another loop could not work, and is named."""
    session: Any = "brought along"
    words = "session belongs to an event loop, and this client has one of its own; leave it out"
    with pytest.raises(ConfigError, match=words):
        WorkorderClient("http://localhost", signer=SIGNER, session=session)
    with pytest.raises(ConfigError, match=words):
        WorkorderClient.from_env(ENVIRONMENT, session=session)


interrupts = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread() or sys.platform == "win32",
    reason="Ctrl-C is for the main thread",
)


def interrupting(gone: threading.Event, times: int = 1) -> Handler:
    """Return a step that interrupts the main thread once a request is there, and tells when the other side has gone."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(times):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        await reader.read()
        gone.set()

    return step


@interrupts
def test_ctrl_c_cancels_the_call() -> None:
    """Ctrl-C passes, the call has ended by then, its connection is gone, and the client goes on."""
    gone = threading.Event()
    with client_of(interrupting(gone), http(BASE)) as client:
        with pytest.raises(KeyboardInterrupt):
            client.get_ticket(1204)
        assert client.stats().in_flight == 0
        assert gone.wait(PATIENCE)
        assert client.get_ticket(1204).id == 1204


@interrupts
def test_ctrl_c_waits_for_the_cleaning_up(client: WorkorderClient) -> None:
    """Ctrl-C passes only once the call has cleaned up, so that nothing of it goes on behind the caller's back."""
    told: list[str] = []

    async def act(other: AsyncClient) -> None:
        try:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            for _ in range(1000):
                await asyncio.sleep(0)
            told.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        client.run(act)
    assert told == ["cleaned up"]


@interrupts
def test_ctrl_c_in_a_walk() -> None:
    """Ctrl-C while the next page is awaited passes through the loop, and ends the walk's requests."""
    gone = threading.Event()
    with client_of(interrupting(gone)) as client:
        with pytest.raises(KeyboardInterrupt):
            list(client.iter_tickets())
        assert gone.wait(PATIENCE)
        assert client.stats().in_flight == 0


def test_an_interrupt_loses_no_page(client: WorkorderClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that was there when the interrupt came is given by the next call: the walk goes on, and is exact."""
    wait, came = client._loop._wait, list[int]()

    def interrupted(ended: Any) -> None:
        wait(ended)
        raise KeyboardInterrupt

    with client.walk(page_size=50) as walk:
        came += [ticket.id for ticket in next(walk)]
        with monkeypatch.context() as patched:
            patched.setattr(client._loop, "_wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                next(walk)
        came += [ticket.id for page in walk for ticket in page]
    assert walk.report.exact
    assert len(set(came)) == len(came) == TICKETS


def test_an_interrupt_at_each_call_loses_no_page(client: WorkorderClient) -> None:
    """Python lets an interrupt in where something is called, and where that returns."""
    left, steps, inside = 0, 0, Walk.__next__.__code__

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        is_own = frame.f_code is inside and event != "return"
        if is_own or (frame.f_back is not None and frame.f_back.f_code is inside):
            left -= 1
            if left == 0:
                sys.setprofile(None)
                raise KeyboardInterrupt

    for steps in range(1, 40):
        left, came = steps, list[int]()
        with client.walk(page_size=100) as walk:
            came += [ticket.id for ticket in next(walk)]
            sys.setprofile(interrupt)
            try:
                with suppress(KeyboardInterrupt):
                    came += [ticket.id for ticket in next(walk)]
            finally:
                sys.setprofile(None)
            came += [ticket.id for page in walk for ticket in page]
        assert walk.report.exact
        assert len(set(came)) == len(came) == TICKETS, steps
        if left > 0:
            break
    assert 3 < steps < 20


@interrupts
def test_ctrl_c_while_a_mutation_is_under_way() -> None:
    """A mutation that is interrupted is sent once, and not again."""
    gone = threading.Event()
    with elsewhere(serving(interrupting(gone), data(None))) as wire:
        with WorkorderClient(wire.url, signer=SIGNER) as client:
            with pytest.raises(KeyboardInterrupt):
                client.close_ticket(CLOSE)
            assert gone.wait(PATIENCE)
        assert len(wire.requests) == 1


@pytest.mark.parametrize("has_begun", [True, False], ids=["begun", "not begun"])
def test_a_second_interrupt_cancels_too(
    has_begun: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A call that was interrupted twice, before the loop had time to cancel it, does not go on behind its caller."""
    begun, goes_on, told = threading.Event(), threading.Event(), list[str]()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise ValueError("nobody asks for it") from None

    with LoopThread() as loop:

        def hold() -> None:
            loop._loop.call_soon_threadsafe(goes_on.wait, PATIENCE)

        def interrupted(_: Any) -> None:
            if has_begun and not told:
                begun.wait(PATIENCE)
                hold()
                told.append("held")
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(loop, "_wait", interrupted)
            if not has_begun:
                hold()
            with pytest.raises(KeyboardInterrupt):
                loop.run(work())
        goes_on.set()
        loop.run(asyncio.sleep(0.01))
        assert told == (["held", "cancelled"] if has_begun else [])
    gc.collect()
    assert not caplog.records


def test_a_lost_answer_is_unknown(sandbox: Sandbox) -> None:
    """What is known of a mutation is the same as with the client with coroutines."""
    with client_of(hang) as client, pytest.raises(OutcomeUnknownError) as caught:
        client.comment_ticket(CommentTicket(id=1, detail="已处理"), deadline=0.2)
    assert caught.value.mutation == CommentTicket(id=1, detail="已处理")


def test_an_interrupt_at_each_step_of_a_wait() -> None:
    """Wherever in a wait an interrupt comes, nothing hangs: neither the caller, nor the loop, nor its end."""

    def interrupting_at(step: int, begun: list[str]) -> Callable[..., Any]:
        def trace(frame: FrameType, event: str, given: object) -> Callable[..., Any] | None:
            code = frame.f_code
            if code.co_filename not in (threading.__file__, loop_thread.__file__):
                return None
            if begun or code.co_name == "_wait":
                begun.append(event)
            if len(begun) == step:
                raise KeyboardInterrupt
            return trace

        return trace

    def wait(step: int, begun: list[str]) -> None:
        with LoopThread() as loop, suppress(KeyboardInterrupt):
            sys.settrace(interrupting_at(step, begun))
            try:
                loop.run(asyncio.sleep(0.001))
            finally:
                sys.settrace(None)

    for step in range(1, 40):
        thread = threading.Thread(target=wait, args=(step, []), daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive(), step


CUT_SHORT: dict[str, Callable[[WorkorderClient], object]] = {
    "comment": lambda client: client.comment_ticket(CommentTicket(id=1, detail="已处理")),
    "close": lambda client: client.close_ticket(CLOSE),
    "read": lambda client: client.get_ticket(1),
}


@pytest.mark.parametrize("begun", [b"", data(None)[:-9]], ids=["no answer", "half an answer"])
@pytest.mark.parametrize("call", CUT_SHORT.values(), ids=CUT_SHORT)
def test_closing_ends_calls_of_other_threads(call: Callable[[WorkorderClient], object], begun: bytes) -> None:
    """A call of another thread that is under way when the client is closed ends; a read may learn of the closing."""
    arrived, is_read = threading.Event(), call is CUT_SHORT["read"]

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        arrived.set()
        await reader.read()

    with client_of(step) as client, ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(call, client)
        assert arrived.wait(PATIENCE)
        client.close()
        error = under_way.exception(PATIENCE)
        kind = NoAnswerError if is_read else OutcomeUnknownError
        assert isinstance(error, kind) or (is_read and "this client is closed" in str(error))


def test_closing_amid_many_reads(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """Each call that is under way says that the client was closed; asyncio has no errors to log."""
    with WorkorderClient.from_env(sandbox.environment) as client, ThreadPoolExecutor(4) as pool:

        def read() -> None:
            while True:
                client.get_tickets(range(1001, 1041))

        reading = [pool.submit(read) for _ in range(4)]
        while client.stats().in_flight < 4:
            pass
        client.close()
        errors = [one.exception(PATIENCE) for one in reading]
    assert all("closed" in str(error) for error in errors), errors
    assert not [record for record in caplog.records if (record.name, record.levelname) == ("asyncio", "ERROR")]


def test_a_loop_that_died_is_noticed(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends the loop, such as SystemExit in a coroutine of the user's, comes out, and later calls do not hang."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    async def leave(other: AsyncClient) -> None:
        sys.exit(3)

    with WorkorderClient.from_env(sandbox.environment) as client:
        with pytest.raises(SystemExit):
            client.run(leave)
        with pytest.raises(ConfigError, match="this client is closed"):
            client.ping()


def test_nothing_begins_in_a_loop_that_died(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A call that comes while such a loop closes what it has is refused, and leaves no task that never ends."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    async def leave() -> None:
        sys.exit(3)

    async def take_a_while() -> None:
        await asyncio.sleep(0.01)

    with LoopThread(at_end=take_a_while) as loop:
        with pytest.raises(SystemExit):
            loop.run(leave())
        with pytest.raises(ConfigError, match="this loop is closed"):
            loop.run(asyncio.sleep(60))
    gc.collect()
    assert not caplog.records


def test_a_call_that_never_begins_ends(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that the loop took just before its end, and never began, does not wait for ever."""
    with WorkorderClient.from_env(sandbox.environment) as client:
        client.close()
        monkeypatch.setattr(client._loop, "_tell", lambda act: None)
        monkeypatch.setattr("workorder_async.loop_thread._LOOK", 0.01)
        with pytest.raises(ConfigError, match="this client is closed"):
            client.ping()


def test_a_client_that_is_dropped_ends_its_thread(sandbox: Sandbox) -> None:
    """Without a reference to it, a client is closed, and its thread ends."""
    client = WorkorderClient.from_env(sandbox.environment)
    client.ping()
    thread = client._loop._thread
    del client
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_client_that_is_collected_in_its_own_thread(sandbox: Sandbox) -> None:
    """A client in a cycle, with a walk that was left half-way, ends as well: garbage is collected in any thread."""
    client = WorkorderClient.from_env(sandbox.environment)
    cycle: list[object] = [client, tickets := client.iter_tickets()]
    cycle.append(cycle)
    next(tickets)
    thread, loop = client._loop._thread, client._loop._loop
    del client, cycle, tickets
    collect_in(loop)
    thread.join(PATIENCE)
    assert not thread.is_alive()


WHO = contextvars.ContextVar("WHO", default="nobody")


def test_observers_see_the_callers_context(sandbox: Sandbox) -> None:
    """The context of the calling thread is that of the call: traces of a program go on in it."""
    seen: list[str] = []

    class Observer:
        def on_event(self, event: Event) -> None:
            seen.append(WHO.get())

    with WorkorderClient.from_env(sandbox.environment, observers=[Observer()]) as client:
        WHO.set("me")
        client.ping()
    assert set(seen) == {"me"}


def test_secrets_are_in_no_frame() -> None:
    """No frame of an error holds the secret or a password, by whatever way the client was to be made."""
    wrong = {"attempt_timeout": 0, "proxy": "http://user:pa55@proxy:1"}
    bad = MappingProxyType({**ENVIRONMENT, "WORKORDER_APP_SECRET": "s3cret", "WORKORDER_SIGN_SCHEME": "no scheme"})
    makes: list[Callable[[], object]] = [
        lambda: WorkorderClient.from_env(bad),
        lambda: WorkorderClient.from_env({**bad, **ENVIRONMENT}, **wrong),  # type: ignore[arg-type]
        lambda: WorkorderClient.from_env({**bad, "WORKORDER_ERRNOS": "x"}),
        lambda: WorkorderClient.from_env({**bad, "WORKORDER_CA_BUNDLE": "/nowhere"}),
        lambda: WorkorderClient.from_env(bad, session=5),  # type: ignore[arg-type]  # pyright: ignore
        lambda: WorkorderClient("http://user:pa55@localhost", signer=SIGNER),
        lambda: WorkorderClient("http://localhost", signer=SIGNER, **wrong),  # type: ignore[arg-type]
    ]
    for make in makes:
        with pytest.raises(ConfigError) as caught:
            make()
        traceback = caught.value.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename != __file__:
                told = repr(traceback.tb_frame.f_locals)
                assert "pa55" not in told
                assert "s3cret" not in told
            traceback = traceback.tb_next


def ended(code: str, sandbox: Sandbox) -> str:
    """Run a program to its end, which comes by itself and without a complaint; return what it printed."""
    ran = python_c(code, sandbox.environment)
    assert (ran.code, ran.err) == (0, "")
    return ran.out


BEGIN = (
    "import asyncio, os, sys, threading\nfrom workorder_async.blocking import *\nclient = WorkorderClient.from_env()\n"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rest",
    [
        "tickets = client.iter_tickets(); next(tickets); print(True)",
        "def late():\n  threading.main_thread().join()\n"
        "  print(client.upload_file(b'x', file_name='x.txt').file_size == 1)\n"
        "threading.Thread(target=late).start()",
        "import atexit; atexit.register(lambda: print(client.upload_file(b'x', file_name='x.txt').file_size == 1))",
        "from contextlib import suppress\n"
        "async def act(other):\n  try: await asyncio.sleep(60)\n  finally: print(True)\n"
        "def wait():\n  with suppress(BaseException): client.run(act)\n"
        "threading.Thread(target=wait, daemon=True).start(); client.ping()",
    ],
)
def test_a_client_that_is_left_open_does_not_keep_the_process(sandbox: Sandbox, rest: str) -> None:
    """A program that closes nothing ends by itself, at once and in silence, whatever it was at."""
    assert ended(BEGIN + rest, sandbox) == "True\n"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_child_is_refused(sandbox: Sandbox) -> None:
    """A forked process is told to make a client of its own; closing does nothing there, and the parent goes on."""
    code = f"""import warnings; warnings.simplefilter('ignore')
{BEGIN}
client.ping()
uses = [client.ping, lambda: next(client.iter_tickets()), lambda: client.run(print), client.walk, client.stats]
if os.fork() == 0:
    for use in uses:
        try:
            use()
        except Exception as error:
            print(type(error).__name__, error)
    client.close()
    with WorkorderClient.from_env() as other:
        print(other.ping().latency > 0)
    sys.exit(0)
os.wait()
print(client.ping().latency > 0)
"""
    refused = (
        "ConfigError this client was made in the process that this one was forked from; make a client of its own in "
        "each process, after the fork"
    )
    assert ended(code, sandbox).splitlines() == [refused] * 5 + ["True", "True"]


def test_the_module_is_not_loaded_for_others() -> None:
    """Whoever uses coroutines starts no thread and loads no such module."""
    ran = python_c("import sys; from workorder_async import WorkorderClient; print(*sys.modules)")
    assert "workorder_async.client" in ran.out.split()
    assert "workorder_async.blocking" not in ran.out.split()
    assert isinstance(Walk, type)
    assert not hasattr(workorder_async, "blocking") or "workorder_async.blocking" in sys.modules
