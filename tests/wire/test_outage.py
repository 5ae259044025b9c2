"""call.py in virtual time: an outage is outlasted, a server that asks for time gets it, and nobody is hurried."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from tests.support.clients import make_client
from tests.support.raw_server import Wire, data, drop, http, serving
from tests.support.rows import each
from tests.support.virtual_loop import running_loop, taking, virtual_time
from workorder_async import (
    ApiError,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    NotSentError,
    OutcomeUnknownError,
    ResponseError,
    RetryPolicy,
    WorkorderClient,
)

CREATION = CreateTicket(
    title="t", detail="d", reported_time=1, type=1, priority=1, customer_organization_id=1,
    customer_organization_name="n", repository_product_id=1, creator_id=1, creator_name="c",
)  # fmt: skip
CLOSE = CloseTicket(id=1, closer_id=2, closer_name="田金秀", solved_time=1660298580)
DONE = data({"id": 1})


async def read(client: WorkorderClient) -> object:
    """Read a ticket."""
    return await client.get_ticket(1)


async def comment(client: WorkorderClient) -> object:
    """Comment on a ticket."""
    await client.comment_ticket(CommentTicket(id=1, detail="已处理"))
    return None


async def create(client: WorkorderClient) -> object:
    """Create a ticket."""
    return await client.create_ticket(CREATION)


Use = Callable[[WorkorderClient], Awaitable[object]]


@each("seconds", [0.3, 1, 1.7])
@each("use", [read, comment, create])
@virtual_time
async def test_an_outage(use: Use, seconds: float) -> None:
    """While nobody listens nothing is sent: after less than two seconds of it, everything is done, once."""
    wire = Wire(script=[DONE])
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    async with make_client(f"http://127.0.0.1:{port}", retry=RetryPolicy()) as client:
        using = asyncio.ensure_future(use(client))
        await asyncio.sleep(seconds)
        server = await asyncio.start_server(wire.serve, "127.0.0.1", port)
        await using
        assert len(wire.requests) == 1
    server.close()


@virtual_time
async def test_an_outage_that_lasts() -> None:
    """Four attempts take two seconds or three, and say that nothing was sent."""
    server = await asyncio.start_server(drop, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    async with make_client(f"http://127.0.0.1:{port}", retry=RetryPolicy()) as client, taking(2.625, within=0.875):
        with pytest.raises(NotSentError) as caught:
            await comment(client)
        assert caught.value.attempts == 4


@each("errno", [10000, 90005])
@virtual_time
async def test_an_outage_does_not_multiply_the_load(errno: int) -> None:
    """Fifty further attempts are made, and one more for two answers, also of "no": then what fails is not repeated."""
    answers, retry = [http("", "502 Bad")], RetryPolicy(attempts=3)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[-1])

    async with serving(answer) as wire, make_client(wire.url, retry=retry) as client:

        async def fail(times: int) -> int:
            before = len(wire.requests)
            for _ in range(times):
                with pytest.raises(ResponseError):
                    await read(client)
            return len(wire.requests) - before

        assert await fail(40) == 40 + 50
        answers.append(data({"id": 1}, errno))
        for _ in range(6):
            with suppress(ApiError):
                await read(client)
        answers.pop()
        assert await fail(5) == 5 + 3


@each("asked", [0, 1, 45, 100])
@virtual_time
async def test_a_close_against_a_busy_server(asked: int) -> None:
    """A close is sent again once it is proved that it did not happen, and never sooner than the server asks for."""
    times: list[float] = []

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/close_ticket" in wire.requests[-1]:
            times.append(running_loop().time())
            writer.write(http("busy", "503 Busy", Retry_After=f"{asked}"))
        else:
            writer.write(data({"id": 1, "status": 2}))

    options: dict[str, Any] = {"retry": RetryPolicy(attempts=3), "attempt_timeout": 30, "deadline": 1000}
    async with serving(busy) as wire, make_client(wire.url, **options) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.close_ticket(CLOSE)
        assert caught.value.attempts == len(times) == 3
    assert [later - sooner for sooner, later in pairwise(times)] == pytest.approx([max(30, asked)] * 2, abs=0.1)


@virtual_time
async def test_a_close_whose_server_asks_for_too_much() -> None:
    """Where the pause is longer than the time that is left, the close is unknown."""
    busy, ticket = http("busy", "503 Busy", Retry_After="250"), data({"id": 1, "status": 2})
    async with serving(busy, ticket) as wire, make_client(wire.url, deadline=100, attempt_timeout=30) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.close_ticket(CLOSE)
        assert (caught.value.attempts, caught.value.retry_after) == (1, 250)
        assert running_loop().time() <= 31


@each("asked", [1, 3])
@virtual_time
async def test_a_busy_server_gets_its_time(asked: int) -> None:
    """A read is never repeated sooner than a 503 asks for, nor sooner than it would be without."""
    times: list[float] = []

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        times.append(running_loop().time())
        writer.write(http("busy", "503 Busy", Retry_After=f"{asked}"))

    async with serving(busy) as wire, make_client(wire.url, retry=RetryPolicy()) as client:
        with pytest.raises(ResponseError) as caught:
            await read(client)
        assert caught.value.attempts == len(times) == 4
        gaps = [later - sooner for sooner, later in pairwise(times)]
        assert all(gap >= max(asked, least) for gap, least in zip(gaps, (0.25, 0.5, 1), strict=True))
        assert all(gap <= max(asked, most) + 0.001 for gap, most in zip(gaps, (0.5, 1, 2), strict=True))
        with pytest.raises(OutcomeUnknownError) as lost:
            await comment(client)
        assert lost.value.retry_after == asked
        assert len(times) == 5
