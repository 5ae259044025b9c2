"""A sandbox in a thread of its own: from threads, loops and plain code at once."""

import asyncio
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import get_args
from unittest.mock import Mock

import pytest

from tests.support.sandbox_wire import PREFIX, Wire
from tests.support.slow import slow_but_every
from workorder_async import (
    CommentTicket,
    ConfigError,
    NoAnswerError,
    OutcomeUnknownError,
    RetryPolicy,
    Sandbox,
    WorkorderError,
)
from workorder_async.blocking import WorkorderClient as BlockingClient
from workorder_async.sandbox import Drift, Fault, Kind
from workorder_async.testing import Moment, SandboxThread


async def test_within_an_event_loop() -> None:
    """It serves while this loop waits, and while this loop is busy."""
    with SandboxThread(20) as sandbox:
        async with sandbox.client() as client:
            await client.comment_ticket(CommentTicket(id=1001, detail="收到"))
        changed = sandbox.change(delete=1)
        assert [one.operation for one in sandbox.applied] == ["comment_ticket"]
        assert sandbox.requests == {"comment_ticket": 1}
        assert sandbox.drifted == [changed]
        assert len(changed.deleted) == 1


def test_people() -> None:
    """What a person does is done when the call returns; nothing has to be awaited."""
    with SandboxThread(20) as sandbox:
        sandbox.act(1001, "comment", "好")
        with pytest.raises(ConfigError, match="ticket_id is 9"):
            sandbox.act(9, "close")
        with BlockingClient.from_env(sandbox.environment) as client:
            assert client.get_ticket_detail(1001).assigns[0].history[-1].detail == "好"


def test_entered_twice() -> None:
    """It is refused, and the sandbox that runs goes on, and ends."""
    with SandboxThread(20) as sandbox:
        with pytest.raises(ConfigError, match="entered already"):
            sandbox.__enter__()
        assert len(sandbox.change(close=1).closed) == 1


async def test_faults_and_drift_are_set_while_it_runs() -> None:
    """A script that is set holds from the next request on, and what it did is told."""
    with SandboxThread(60, page_size_cap=10) as sandbox:
        async with sandbox.client(retry=None) as client:
            sandbox.faults = [Fault("reset_after", operation="comment_ticket", times=1)]
            with pytest.raises(OutcomeUnknownError):
                await client.comment_ticket(CommentTicket(id=1001, detail="收到"))
            sandbox.drift = [Drift(delete=1)]
            await client.list_tickets()
            assert [one.operation for one in sandbox.struck] == ["comment_ticket"]
            assert len(sandbox.applied) == len(sandbox.drifted) == 1
            sandbox.drift = sandbox.faults = ()
            await client.list_tickets()
        assert len(sandbox.drifted) == 1
        with pytest.raises(ConfigError, match=r"faults\[0\] is '503'; it must be a Fault"):
            sandbox.faults = ["503"]  # type: ignore[list-item]


def test_ten_threads_at_once() -> None:
    """Each changes tickets, sets scripts and reads the records; nothing is lost."""

    def use(number: int) -> tuple[int, ...]:
        sandbox.faults = [Fault("503", after=10**6)]
        sandbox.drift = ()

        async def comment() -> None:
            async with sandbox.client() as client:
                await client.comment_ticket(CommentTicket(id=1000 + number, detail="收到"))

        asyncio.run(comment())
        assert sandbox.requests["comment_ticket"] <= 10
        assert len(sandbox.applied) <= 10
        return sum((sandbox.change(create=1).created for _ in range(20)), ())

    with SandboxThread(50) as sandbox, ThreadPoolExecutor(10) as threads:
        created = [id for ids in threads.map(use, range(1, 11)) for id in ids]
        assert len(set(created)) == 200
        assert sorted(one.ticket_id for one in sandbox.applied) == list(range(1001, 1011))
        assert len(sandbox.drifted) == 200


def test_what_fails_at_its_beginning_is_raised_there() -> None:
    """A port in use is a `ConfigError`, and no thread is left."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match="cannot listen on port"),
        SandboxThread(5, port=taken.getsockname()[1]),
    ):
        pass
    assert not [one for one in threading.enumerate() if one.name.startswith("workorder-sandbox")]


async def test_its_end() -> None:
    """Nobody is served any more, threads have ended, and the record is still there; a client that hangs is let go."""
    received: Future[None] = Future()

    async def see(moment: Moment, operation: str) -> bool:
        if (moment, operation) == ("received", "list_tickets"):
            received.set_result(None)
        return False

    with SandboxThread(5, faults=[Fault("hang", operation="list_tickets")]) as sandbox:
        sandbox.witness = see
        client = sandbox.client(retry=RetryPolicy(attempts=1))
        await client.comment_ticket(CommentTicket(id=1001, detail="收到"))
        hanging = asyncio.create_task(client.list_tickets(deadline=5))
        await asyncio.wrap_future(received)
        url = sandbox.url
    with pytest.raises(NoAnswerError):
        await hanging
    await client.aclose()
    assert len(sandbox.applied) == 1
    assert not [one for one in threading.enumerate() if one.name.startswith("workorder-sandbox")]
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):  # noqa: PT011
        pass


def test_its_loop_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test may have loops of another kind made, by a policy for example: the sandbox makes its own."""
    monkeypatch.setattr("asyncio.events.new_event_loop", Mock(side_effect=AssertionError))
    with SandboxThread(5) as sandbox:
        assert sandbox.change(create=1).created == (1006,)


@pytest.mark.parametrize("kind", slow_but_every(3, sorted({*get_args(Kind)} - {"endless", "drip"})))
async def test_what_a_witness_sees(kind: Kind) -> None:
    """A request is seen when it came, when it was carried out, and when its answer was sent, as far as it gets."""
    seen: list[Moment] = []

    async def see(moment: Moment, operation: str) -> bool:
        seen.append(moment)
        return False

    is_read = kind in ("total", "page_size", "first_page", "bad_row", "other_ticket")
    needs = {"errno": 90011} if kind in ("errno", "errno_after") else {}
    fault = Fault(kind, size=2000, seconds=0, times=1, retry_after=0, **needs)  # type: ignore[arg-type]
    with SandboxThread(5, faults=[fault]) as sandbox:
        sandbox.witness = see
        async with sandbox.client(retry=RetryPolicy(attempts=1), attempt_timeout=0.3) as client:
            with suppress(WorkorderError):
                if is_read:
                    await client.get_ticket(1001) if kind == "other_ticket" else await client.list_tickets()
                else:
                    await client.comment_ticket(CommentTicket(id=1001, detail="收到"))
    assert seen[0] == "received"
    assert ("applied" in seen) == (is_read or len(sandbox.applied) == 1)
    # Of the last two the head is too long for any caller: they end the connection with their answer.
    unanswered = ("refuse", "reset", "hang", "reset_after", "hang_after", "many_headers", "long_header")
    assert ("answered" in seen) == (kind not in unanswered), seen


async def test_wrong_use_is_told() -> None:
    """`async with`, and a change before its beginning, say what to do."""
    with pytest.raises(ConfigError, match="use `with`, without `async`"):
        async with SandboxThread(5):
            pass
    with pytest.raises(ConfigError, match=r"is not running; use it inside `with SandboxThread\("):
        SandboxThread(5).change(close=1)
    assert issubclass(SandboxThread, Sandbox)


def test_settled_after_callers_that_are_gone() -> None:
    """What callers sent before they hung up is carried out once `settle` returns, though nobody waits for it."""
    with SandboxThread(50) as sandbox:
        wire = Wire(sandbox, None)  # type: ignore[arg-type]  # it only signs
        host, port = "127.0.0.1", int(sandbox.url.rpartition(":")[2])
        for number in range(50):
            body = b'{"id": %d, "detail": "x"}' % (1001 + number)
            path = f"{PREFIX}comment_ticket"
            headers = {**wire.sign("POST", path, (), (body,)), "Content-Type": "application/json", "Host": host}
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            with socket.create_connection((host, port)) as connection:
                connection.sendall(f"POST {path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        sandbox.settle()
        carried_out = len(sandbox.applied)
    assert carried_out == len(sandbox.applied) == 50


def test_settled_after_an_answer_that_came_before() -> None:
    """What is answered before it is handled is carried out by then, too."""
    with SandboxThread(5, faults=[Fault("504_before", seconds=0.05)]) as sandbox:
        with BlockingClient.from_env(sandbox.environment) as client, pytest.raises(OutcomeUnknownError):
            client.comment_ticket(CommentTicket(id=1001, detail="收到"))
        sandbox.settle()
        assert len(sandbox.applied) == 1
