"""call.py: when a call must have ended."""

import asyncio
from typing import Any

import pytest

from tests.support.raw_server import hang, serving
from tests.support.rows import each
from tests.support.virtual_loop import taking, virtual_time
from workorder_async import (
    ConfigError,
    DeadlineExceededError,
    NotSentError,
    SchemeSigner,
)
from workorder_async.document.endpoints import COMMENT_TICKET, GET_TICKET
from workorder_async.wire.bodies import JsonBody
from workorder_async.wire.call import Deadline
from workorder_async.wire.options import client_options
from workorder_async.wire.session import SignedSession


@virtual_time
async def test_a_deadline_runs_by_the_clock_of_the_loop() -> None:
    """It ends so many seconds from now."""
    await asyncio.sleep(10)
    deadline = Deadline.after(3)
    assert deadline == Deadline(3, until=13)
    await asyncio.sleep(4)
    assert deadline.left() == -1


@each("seconds", [0, -1, True, "3", float("nan"), [3]])
async def test_what_is_no_deadline(seconds: Any) -> None:
    """Anything but a number above 0 is refused by name."""
    session = SignedSession("http://127.0.0.1:1", SchemeSigner("a", "b", "md5:{secret}"), client_options())
    with pytest.raises(ConfigError, match=r"deadline is .*; it must be a number above 0"):
        session.deadline(seconds)


@virtual_time
async def test_a_call_with_a_deadline_of_its_own() -> None:
    """It ends by its own deadline, and names that one, whatever the client's is; waiting for a slot as well."""
    options = client_options(deadline=60, attempt_timeout=60, max_in_flight=1)
    async with serving(hang) as wire:
        session = SignedSession(wire.url, SchemeSigner("a", "b", "md5:{secret}"), options)
        assert session.deadline().seconds == 60
        read = asyncio.create_task(session.call(GET_TICKET, query=(("id", "1"),), until=session.deadline(30)))
        await asyncio.sleep(1)
        async with taking(20):
            with pytest.raises(NotSentError, match="not sent within 20 s"):
                await session.call(COMMENT_TICKET, body=JsonBody(b"{}"), until=session.deadline(20))
        # An attempt that is out of time looks three times more for an answer.
        async with taking(9.03):
            with pytest.raises(DeadlineExceededError, match="no answer within 30 s"):
                await read
        await session.aclose()
