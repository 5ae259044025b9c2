"""client.py, over a wire: a call's own deadline, as a chat bot needs it, and what is known when it is past."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, TypeAlias

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from tests.support.clients import make_client
from tests.support.mutations import KINDS, OPERATIONS, mutation_of
from tests.support.raw_server import data, http, serving
from tests.support.virtual_loop import taking, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    CommentTicket,
    DeadlineExceededError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ResponseError,
)
from workorder_async.sandbox import Fault

Call: TypeAlias = Callable[..., Awaitable[object]]
#: A time that neither an attempt nor a client's own deadline is.
SHORT = 20
#: The end of an attempt that is under way: it looks three times more for an answer.
LOOKS = 0.03
COMMENT = CommentTicket(id=1, detail="已联系客户")
READS: dict[str, Call] = {
    "ping": lambda c, **time: c.ping(**time),
    "list_tickets": lambda c, **time: c.list_tickets(**time),
    "plan_windows": lambda c, **time: c.plan_windows(**time),
    "get_ticket": lambda c, **time: c.get_ticket(1, **time),
    "upload_file": lambda c, **time: c.upload_file(b"x", file_name="x.txt", **time),
    "get_ticket_detail": lambda c, **time: c.get_ticket_detail(1, **time),
}
OWN: dict[str, Call] = {
    "close": lambda c, mutation, **time: c.close_ticket(mutation, **time),
    "reject": lambda c, mutation, **time: c.reject_ticket(mutation, **time),
    "comment": lambda c, mutation, **time: c.comment_ticket(mutation, **time),
    "create": lambda c, mutation, **time: c.create_ticket(mutation, **time),
    "any": lambda c, mutation, **time: c.change(mutation, **time),
}


@pytest.mark.parametrize("own", [True, False], ids=["own session", "session brought along"])
async def test_no_time_limit(*, own: bool) -> None:
    """Infinity is a number of seconds: nothing is limited then."""
    times = dict.fromkeys(("connect_timeout", "attempt_timeout", "deadline", "longest_pause"), inf)
    async with (
        serving(data({"id": 1})) as wire,
        aiohttp.ClientSession() as session,
        make_client(wire.url, session=None if own else session, **times) as client,
    ):
        assert (await client.get_ticket(1)).id == 1
        await client.comment_ticket(COMMENT)


@pytest.mark.parametrize("name", READS)
@virtual_time
async def test_read(name: str) -> None:
    """A read that hangs ends with its own deadline."""
    async with virtual_sandbox(40, faults=[Fault("hang")]) as (_, client), taking(SHORT + LOOKS):
        with pytest.raises(DeadlineExceededError, match=rf"no answer within {SHORT} s"):
            await READS[name](client, deadline=SHORT)


@pytest.mark.parametrize("name", OWN)
@virtual_time
async def test_mutation(name: str) -> None:
    """A mutation that hangs is unknown when its deadline is past, and can be settled later."""
    kind = "close" if name == "any" else name
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("hang_after", operation=OPERATIONS[kind])]
        async with taking(SHORT + LOOKS):
            with pytest.raises(OutcomeUnknownError) as caught:
                await OWN[name](client, mutation, deadline=SHORT)
        sandbox.faults = []
        assert caught.value.mutation == mutation
        assert await caught.value.verify(client) is True
        assert [one.operation for one in sandbox.applied] == [OPERATIONS[kind]]


@pytest.mark.parametrize("kind", KINDS)
@virtual_time
async def test_what_settles_shares_the_deadline(kind: str) -> None:
    """Sending and looking end together within it, when everything hangs."""
    async with virtual_sandbox(40, client={"attempt_timeout": SHORT / 2}) as (sandbox, hasty):
        mutation = await mutation_of(hasty, kind)
        sandbox.faults = [Fault("hang")]
        async with taking(SHORT + LOOKS):
            with pytest.raises(OutcomeUnknownError):
                await hasty.change(mutation, on_unknown="verify", deadline=SHORT)
        assert len(sandbox.struck) == 2


@virtual_time
async def test_settle() -> None:
    """To look may have its own deadline, too: what was not found by then is not known."""
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, "close")
        sandbox.faults = [Fault("hang")]
        async with taking(SHORT + LOOKS):
            assert (await client.settle(mutation, client.now(), deadline=SHORT)).happened is None


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await reader.read()


@virtual_time
async def test_not_sent() -> None:
    """A mutation whose turn does not come by then was not sent, and says so."""
    async with serving(hang) as wire, make_client(wire.url, max_in_flight=1) as client:
        first = asyncio.create_task(client.get_ticket(1))
        await wire.arrived.wait()
        async with taking(SHORT):
            with pytest.raises(NotSentError, match="nothing happened"):
                await client.change(COMMENT, deadline=SHORT)
        first.cancel()
        await asyncio.wait([first])
        assert len(wire.requests) == 1


class Nowhere(AbstractResolver):
    """Never finds a host."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
        """Look for it."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("call", [*READS.values(), lambda c, **time: c.comment_ticket(COMMENT, **time)])
@virtual_time
async def test_a_host_that_is_never_found(call: Call) -> None:
    """A name server that hangs costs no more than the deadline, in a session that was brought along, too."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Nowhere()))
    async with session, make_client("https://workorder.test", session=session) as client, taking(SHORT + LOOKS):
        with pytest.raises((DeadlineExceededError, NotSentError)):
            await call(client, deadline=SHORT)


class Deaf:
    """Limits that never give a permit, whatever the time."""

    async def acquire(self, until: float) -> None:
        """Wait."""
        await asyncio.Event().wait()

    def pause(self, seconds: float) -> None:
        """Do nothing."""


@pytest.mark.parametrize("call", [*READS.values(), lambda c, **time: c.comment_ticket(COMMENT, **time)])
@virtual_time
async def test_limits_that_hang(call: Call) -> None:
    """Limits of the caller's that never answer cost no more than the deadline, and nothing is sent."""
    async with serving(hang) as wire, make_client(wire.url, limits=Deaf()) as client, taking(SHORT):
        with pytest.raises((DeadlineExceededError, NotSentError)):
            await call(client, deadline=SHORT)
        assert wire.requests == []


class Mute(Deaf):
    """Limits that give up after a second."""

    async def acquire(self, until: float) -> None:
        """Wait, and fail."""
        await asyncio.sleep(1)
        raise NotSentError("the limits are mute")


@pytest.mark.parametrize("call", [*READS.values(), lambda c, **time: c.comment_ticket(COMMENT, **time)])
@virtual_time
async def test_limits_that_give_up(call: Call) -> None:
    """One waiting call a second fails with what the limits say; a deadline that comes first says it, too."""
    async with serving(hang) as wire, make_client(wire.url, limits=Mute()) as client, taking(2.5):
        calls = [call(client, deadline=2.5) for _ in range(4)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert wire.requests == []
    said = sorted(map(str, ends), key=lambda text: "within" in text)
    assert ["within 2.5 s" in text for text in said] == [False, False, True, True], said
    assert all("the limits are mute" in text for text in said), said


@pytest.mark.parametrize("status", ["429 Slow", "503 Busy"])
@pytest.mark.parametrize("asked", [SHORT - 1, SHORT, SHORT + 1, 10**6])
@virtual_time
async def test_a_server_that_asks_for_time(status: str, asked: int) -> None:
    """A pause that is longer than the time that is left ends a call at once; a shorter one is waited for."""
    busy, ticket = http("", status, Retry_After=f"{asked}"), data({"id": 1})
    waits = asked < SHORT
    async with serving(busy, ticket) as wire, make_client(wire.url) as client, taking(asked if waits else 0):
        if waits:
            await client.get_ticket(1, deadline=SHORT)
        else:
            with pytest.raises((RateLimitedError, ResponseError)):
                await client.get_ticket(1, deadline=SHORT)
        assert len(wire.requests) == (2 if waits else 1)


@virtual_time
async def test_a_long_one() -> None:
    """A call may also have more time than the client gives otherwise."""
    slow = [Fault("slow_headers", seconds=25)]
    async with virtual_sandbox(40, faults=slow, client={"deadline": 10}) as (_, client), taking(25):
        assert (await client.list_tickets(deadline=30)).pagination.total == 40


@virtual_time
async def test_a_timeout_around_a_mutation_tells_nothing() -> None:
    """What the docstrings say: after `asyncio.timeout` nobody is told that it happened."""
    async with virtual_sandbox(40) as (sandbox, client):
        mutation: Any = await mutation_of(client, "comment")
        sandbox.faults = [Fault("hang_after", operation="comment_ticket")]
        async with taking(SHORT):
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(SHORT):
                    await client.comment_ticket(mutation)
        assert not isinstance(caught.value, OutcomeUnknownError)
        assert len(sandbox.applied) == 1
