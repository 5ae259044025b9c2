"""cli/commands/create.py, cli/commands/batch.py: what is waited for, looked for and told when Ctrl-C comes."""

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from email.utils import formatdate
from pathlib import Path

import orjson
import pytest
from attrs import define, field

from tests.support.cli_runs import elsewhere, runner, start
from tests.support.clients import NOW, make_client
from tests.support.raw_server import Handler, Wire, http, serving
from workorder_async import CreateTicket, OutcomeUnknownError, Priority, TicketType
from workorder_async.cli.commands import batch, create as creating
from workorder_async.document import JSON

FOUR = {
    "WORKORDER_APP_ID": "sandbox-app",
    "WORKORDER_APP_SECRET": "sandbox-secret",
    "WORKORDER_SIGN_SCHEME": "md5:{app_id}{timestamp}{secret}",
}
CREATE = [
    *("create", "--title", "实例无法启动", "--detail", "报错", "--reported-time", "1706664600", "--type", "1"),
    *("--priority", "1", "--customer-organization-id", "5001", "--customer-organization-name", "北京晨曦"),
    *("--repository-product-id", "36", "--creator-id", "210002", "--creator-name", "姜程"),
]
ROW: dict[str, JSON] = {
    "id": 4711,
    "title": "实例无法启动",
    "detail": "报错",
    "customer_organization_name": "北京晨曦",
    "type": 1,
    "priority": 1,
    "reported_time": 1706664600,
    "created_time": int(time.time()) + 3600,
    "status": 1,
}
TICKET = CreateTicket(
    title="实例无法启动",
    detail="报错",
    reported_time=1706664600,
    type=TicketType.TROUBLESHOOTING,
    priority=Priority.URGENT,
    customer_organization_id=5001,
    customer_organization_name="北京晨曦",
    repository_product_id=36,
    creator_id=210002,
    creator_name="姜程",
)
WAITING = b"workorder: waiting up to 10 s for the answer; Ctrl-C again does not wait\n"


def page(*rows: dict[str, JSON], now: float | None = None) -> bytes:
    """Return the answer to a list of these tickets, which were created now."""
    now = time.time() if now is None else now
    pagination: dict[str, JSON] = {"page": 1, "page_size": 100, "total": len(rows)}
    tickets = [row | {"created_time": int(now)} for row in rows]
    said = orjson.dumps({"errno": 10000, "data": {"tickets": tickets, "pagination": pagination}})
    return http(said, Date=formatdate(now, usegmt=True))


def answer(data: JSON = None, errno: int = 10000) -> bytes:
    """Return the platform's answer."""
    said = orjson.dumps({"errno": errno, "errmsg": "不行", "data": data, "request_id": "r-1"})
    return http(said, Date=formatdate(usegmt=True))


@define
class Held:
    """A request that is answered when it is let go: with these bytes, or (b"") by hanging up."""

    then: bytes = b""
    arrived: threading.Event = field(factory=threading.Event)
    let_go: threading.Event = field(factory=threading.Event)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a request."""
        self.arrived.set()
        while not self.let_go.is_set():
            await asyncio.to_thread(self.let_go.wait, 0.05)
        writer.write(self.then)
        if not self.then:
            writer.close()


@contextmanager
def interrupted(
    held: Held, *then: Handler | bytes, words: list[str]
) -> Iterator[tuple["subprocess.Popen[bytes]", Wire]]:
    """Start a command line, and press Ctrl-C when the server has a request of it, which it holds."""
    with elsewhere(serving(held, *then)) as wire:
        child = start({**FOUR, "WORKORDER_BASE_URL": wire.url}, *words)
        try:
            assert held.arrived.wait(30)
            child.send_signal(signal.SIGINT)
            yield child, wire
        finally:
            held.let_go.set()
            child.kill()
            child.communicate()


@asynccontextmanager
async def _listening(handler: Handler) -> AsyncIterator[int]:
    writers: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handler(reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


def count(wire: Wire, operation: bytes) -> int:
    """Return how many requests there were to an endpoint."""
    return sum(operation in request.split(b"\r\n")[0] for request in wire.requests)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held", "then", "code", "out", "said"),
    [
        (Held(answer({"id": 4711})), page, 130, b"4711 created\n", b"workorder: interrupted\n"),
        (Held(), lambda: page(ROW), 130, b"4711 created\n", b"workorder: interrupted\n"),
        (Held(answer(errno=777)), page, 1, b"", b"errno 777"),
    ],
)
def test_an_interrupted_creation_is_waited_for(
    held: Held, then: Callable[[], bytes], code: int, out: bytes, said: bytes
) -> None:
    """After Ctrl-C the answer is waited for, or the ticket looked for; its number is printed where it exists."""
    with interrupted(held, then(), words=CREATE) as (child, wire):
        assert child.stderr is not None
        assert child.stderr.readline() == WAITING
        held.let_go.set()
        printed, err = child.communicate(timeout=30)
        assert (child.returncode, printed) == (code, out)
        assert said in err
        assert b"Traceback" not in err
        assert count(wire, b"/create") == 1


@pytest.mark.slow
def test_an_interrupted_creation_as_json() -> None:
    """With --json the number comes as JSON."""
    held = Held(answer({"id": 4711}))
    with interrupted(held, page(), words=[*CREATE, "--json"]) as (child, _):
        assert child.stderr is not None
        child.stderr.readline()
        held.let_go.set()
        assert child.communicate(timeout=30)[0] == b'{"id":4711,"outcome":"created"}\n'
        assert child.returncode == 130


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait() -> None:
    """Once more ends the waiting: the ticket may exist, which has its own exit code and is said with its title."""
    with interrupted(Held(), page(), words=CREATE) as (child, wire):
        assert child.stderr is not None
        child.stderr.readline()
        child.send_signal(signal.SIGINT)
        printed, err = child.communicate(timeout=30)
        assert (child.returncode, printed) == (3, b"")
        assert "a ticket may exist: '实例无法启动' of creator 210002".encode() in err
        assert b"before you do it again" in err
        assert len(wire.requests) == 1


@pytest.mark.slow
def test_a_creation_that_was_not_sent_is_none() -> None:
    """Ctrl-C while the connection is made ends at once, and says that nothing was sent."""
    held = Held()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held(reader, writer)

    with elsewhere(_listening(silent)) as port:
        child = start({**FOUR, "WORKORDER_BASE_URL": f"https://127.0.0.1:{port}"}, *CREATE)
        assert held.arrived.wait(30)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
        held.let_go.set()
    assert (child.returncode, out) == (130, b"")
    assert err == b"workorder: nothing was sent, so no ticket was created\nworkorder: interrupted\n"


@pytest.mark.slow
def test_ctrl_c_amid_an_upload_just_ends(tmp_path: Path) -> None:
    """Ctrl-C while a file is uploaded for the ticket ends at once: there is no ticket, and none is created."""
    (tmp_path / "a.txt").write_text("x")
    with interrupted(Held(), page(), words=[*CREATE, "--attach", str(tmp_path / "a.txt")]) as (child, wire):
        out, err = child.communicate(timeout=30)
        assert (child.returncode, out, err) == (130, b"", b"workorder: interrupted\n")
        assert count(wire, b"/create") == 0


@pytest.mark.slow
def test_a_creation_without_an_answer_is_looked_for() -> None:
    """Without an interruption, too, a ticket whose answer was lost is found, and its number printed."""
    held = Held()
    held.let_go.set()
    with elsewhere(serving(held, page(ROW))) as wire:
        child = start({**FOUR, "WORKORDER_BASE_URL": wire.url}, *CREATE)
        out, err = child.communicate(timeout=30)
        assert (child.returncode, out, err) == (0, b"4711 created\n", b"")
        assert count(wire, b"/create") == 1


@pytest.mark.parametrize("mark", ["", "ref-1"])
@pytest.mark.parametrize("there", [True, False])
async def test_what_is_never_answered_is_looked_for(monkeypatch: pytest.MonkeyPatch, there: bool, mark: str) -> None:
    """Where no answer comes in time after an interruption, the ticket is looked for, and told or said to be unknown."""
    monkeypatch.setattr(creating, "PATIENCE", 0.5)
    held, told = Held(), list[int]()
    # The server that knows a marked ticket has no other sign of it.
    row = ROW | {"detail": f"{ROW['detail']}\n{mark}"} if mark else ROW
    async with serving(held, *([page(row, now=NOW)] if there else [held])) as wire, make_client(wire.url) as client:
        running = asyncio.create_task(creating._create(client, TICKET, told.append, mark))
        await wire.arrived.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError if there else OutcomeUnknownError):
            await running
        held.let_go.set()
        assert told == ([4711] if there else [])
        assert count(wire, b"/create") == 1


CHANGES = [
    (["comment", "7", "--detail", "x"], b"commented"),
    (["reject", "7"], b"rejected"),
    (["close", "7", "--closer-id", "1", "--closer-name", "x"], b"closed"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "done"), CHANGES)
def test_an_interrupted_change_is_waited_for(words: list[str], done: bytes) -> None:
    """After Ctrl-C the answer to a single change is waited for, and told."""
    held = Held(answer())
    with interrupted(held, answer(), words=words) as (child, wire):
        assert child.stderr is not None
        assert b"waiting up to 10 s" in child.stderr.readline()
        held.let_go.set()
        out, err = child.communicate(timeout=30)
        assert (child.returncode, out, err) == (130, b"7 " + done + b"\n", b"workorder: interrupted\n")
        assert len(wire.requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("words", "done"), CHANGES)
def test_a_change_of_which_nothing_is_known_has_its_own_code(words: list[str], done: bytes) -> None:
    """A second Ctrl-C leaves a single change unknown, which is said, and exits with 3."""
    with interrupted(Held(), answer(), words=words) as (child, _):
        assert child.stderr is not None
        child.stderr.readline()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
        assert (child.returncode, out) == (3, b"")
        assert err.startswith(b"workorder: cut short; not known to be " + done + b": 7\n")


@pytest.mark.slow
def test_changes_that_were_not_begun_are_none(tmp_path: Path) -> None:
    """Ctrl-C while a file is uploaded for a close says that no ticket was changed."""
    (tmp_path / "a.txt").write_text("x")
    held = Held(answer())
    words = [*CHANGES[2][0], "--attach", str(tmp_path / "a.txt")]
    with interrupted(held, answer(), words=words) as (child, wire):
        out, err = child.communicate(timeout=30)
        assert (child.returncode, out) == (130, b"")
        assert err.endswith(b"workorder: no ticket was changed\nworkorder: interrupted\n")
        assert count(wire, b"/close") == 0


@pytest.mark.parametrize("there", [True, False])
def test_a_change_that_is_never_answered_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], there: bool
) -> None:
    """Where no answer comes in time after an interruption, a single comment is looked for in the ticket's history."""
    monkeypatch.setattr(batch, "PATIENCE", 0.5)
    held = Held()
    step: dict[str, JSON] = {"detail": "x" if there else "y", "created_time": int(time.time()), "creator_name": "姜程"}
    detail: dict[str, JSON] = {"id": 7, "assigns": [{"product_group_id": 36, "history": [step]}]}

    def interrupt() -> None:
        assert held.arrived.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    with elsewhere(serving(held, answer(detail))) as wire:
        workorder = runner({**FOUR, "WORKORDER_BASE_URL": wire.url}, monkeypatch, capsys)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            ran = workorder("comment", 7, "--detail", "x")
        finally:
            signal.signal(signal.SIGINT, before)
            thread.join()
            held.let_go.set()
        assert (ran.code, ran.out) == ((130, "7 commented\n") if there else (3, ""))
        assert count(wire, b"/comment") == 1
