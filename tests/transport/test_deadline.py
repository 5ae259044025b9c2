"""deadline.py: what a deadline is, what is none, and that messages name the one of the call itself."""

import asyncio
import time
from typing import Any

import pytest

from tests.support.raw_server import serving
from workorder_async import ConfigError, DeadlineExceededError, NotSentError, SchemeSigner
from workorder_async.protocol.endpoints import COMMENT_TICKET, GET_TICKET
from workorder_async.transport.bodies import JsonBody
from workorder_async.transport.deadline import Deadline
from workorder_async.transport.options import SessionOptions
from workorder_async.transport.session import SignedSession


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the other side goes away."""
    await reader.read()


async def test_a_deadline_runs_by_the_clock_of_the_loop() -> None:
    """It ends so many seconds from now, and begins anew with the same length."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    deadline = Deadline.after(3)
    assert deadline.seconds == 3
    assert before + 3 <= deadline.until <= loop.time() + 3
    assert 2.9 < deadline.left() <= 3
    old = Deadline(3, before - 1)
    assert old.left() <= -1
    assert old.begun_anew().seconds == 3
    assert old.begun_anew().until >= before + 3


@pytest.mark.parametrize("seconds", [0, -1, True, "3", float("nan"), [3]])
async def test_what_is_no_deadline(seconds: Any) -> None:
    """Anything but a number above 0 is refused by name."""
    session = SignedSession("http://127.0.0.1:1", SchemeSigner("a", "b", "md5:{secret}"), SessionOptions())
    with pytest.raises(ConfigError, match=r"deadline is .*; it must be a number above 0"):
        session.deadline(seconds)


async def test_a_call_with_a_deadline_of_its_own() -> None:
    """It ends by its own deadline, and names that one, whatever the client's is; waiting for a slot as well."""
    options = SessionOptions(deadline=60, max_in_flight=1)
    async with serving(hang) as wire:
        session = SignedSession(wire.url, SchemeSigner("a", "b", "md5:{secret}"), options)
        assert session.deadline().seconds == 60
        started = time.perf_counter()
        read = session.call(GET_TICKET, query=(("id", "1"),), until=session.deadline(0.3))
        comment = session.call(COMMENT_TICKET, body=JsonBody(b"{}"), until=session.deadline(0.2))
        sent, waiting = await asyncio.gather(read, comment, return_exceptions=True)
        assert time.perf_counter() - started < 5
        assert isinstance(sent, DeadlineExceededError)
        assert "no answer within 0.3 s" in str(sent)
        assert isinstance(waiting, NotSentError)
        assert "not sent within 0.2 s" in str(waiting)
        await session.aclose()
