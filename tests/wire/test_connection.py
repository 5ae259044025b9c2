"""attempt.py over real sockets: what lies on a connection before a request is never its answer, and costs nothing."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.clients import make_client
from tests.support.raw_server import Handler, data, drop, late, serving
from tests.support.rows import each
from tests.support.slow import slow_after
from tests.support.tls import server_context
from tests.support.virtual_loop import virtual_time
from workorder_async import (
    ApiError,
    CommentTicket,
    CreateTicket,
    NotSentError,
    OutcomeUnknownError,
    RetryPolicy,
    WorkorderClient,
)
from workorder_async.wire.attempt import Pool
from workorder_async.wire.options import client_options

COMMENT = CommentTicket(id=1, detail="已处理")
CREATION = CreateTicket(
    title="t", detail="d", reported_time=1, type=1, priority=1, customer_organization_id=1,
    customer_organization_name="n", repository_product_id=1, creator_id=1, creator_name="c",
)  # fmt: skip
TICKET, DONE, REFUSED = data({"id": 1}), data({"id": 5}), data(None, errno=5)
#: What a server may say that nobody asked for.
STRAY = {
    "an answer": DONE,
    "two answers": DONE * 2,
    "an answer to a GET": TICKET,
    "the first byte of one": DONE[:1],
    "half of its head": DONE[:25],
    "half of its body": DONE[:-5],
    "a blank line": b"\r\n",
    "no HTTP": b"garbage",
    "a blank line and an answer": b"\r\n" + DONE,
}


def says(*pieces: bytes, turns: int = 0, ends: bool = False) -> Handler:
    """Return a step that writes pieces, some turns of the loop apart, and may end the connection."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, piece in enumerate(pieces):
            for _ in range(turns if number else 0):
                await asyncio.sleep(0)
            writer.write(piece)
        if ends:
            writer.close()

    return step


async def settle_down() -> None:
    """Let everything that lies in a socket be read."""
    for _ in range(20):
        await asyncio.sleep(0)


async def opened(stack: AsyncExitStack, url: str, brings: bool, **options: Any) -> WorkorderClient:
    """Return a client with its own session, or with one that is brought along."""
    if brings:
        options["session"] = await stack.enter_async_context(aiohttp.ClientSession())
    return await stack.enter_async_context(make_client(url, **options))


@each(
    ("stray", "when"),
    [
        (stray, when)
        for stray in STRAY
        for when in ("at once", "after some turns", "just before the next")
        # An answer that goes over into what is no HTTP is no answer.
        if (stray, when) != ("no HTTP", "at once")
    ],
)
@each("brings", [False, True])
async def test_a_stray_answer_is_nobodys(stray: str, when: str, brings: bool) -> None:
    """A mutation that is refused is refused, whatever was said on its connection before."""
    later: list[asyncio.StreamWriter] = []

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        later.append(writer)
        if when == "at once":
            await says(TICKET + STRAY[stray])(reader, writer)
        else:
            await says(TICKET, *[STRAY[stray]] * (when == "after some turns"), turns=9)(reader, writer)

    async with serving(first, REFUSED) as wire, AsyncExitStack() as stack:
        client = await opened(stack, wire.url, brings)
        await client.get_ticket(1)
        if when == "just before the next":
            # It lies in the socket when the next request is made, and the event loop has not read it.
            later[0].write(STRAY[stray])
        else:
            await settle_down()
        with pytest.raises(ApiError) as caught:
            await client.comment_ticket(COMMENT)
        assert (caught.value.errno, caught.value.attempts, len(wire.requests)) == (5, 1, 2)


@pytest.mark.parametrize("brings", [False, True])
@pytest.mark.parametrize("read", [True, False], ids=["read by the loop", "in the socket"])
async def test_a_stray_answer_to_a_read(brings: bool, read: bool) -> None:
    """The same for a read: an old answer for the same ticket does not tell its state of now."""
    writers: list[asyncio.StreamWriter] = []

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(TICKET)

    new = data({"id": 1, "title": "new"})
    async with serving(first, new) as wire, AsyncExitStack() as stack:
        client = await opened(stack, wire.url, brings)
        await client.get_ticket(1)
        writers[0].write(data({"id": 1, "title": "old"}))
        if read:
            await settle_down()
        assert (await client.get_ticket(1)).title == "new"
        assert len(wire.requests) == 2


async def test_the_quiet_connection_is_used() -> None:
    """Control: a connection on which nothing lies is used again, and again."""
    peers = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.add(writer.get_extra_info("peername"))
        writer.write(DONE)

    async with serving(answer) as wire, make_client(wire.url) as client:
        for _ in range(20):
            await client.comment_ticket(COMMENT)
        assert (len(peers), len(wire.requests)) == (1, 20)


@pytest.mark.parametrize("brings", [False, True])
@pytest.mark.parametrize("read", [True, False], ids=["read by the loop", "in the socket"])
@pytest.mark.parametrize("end", ["closed", "reset", "half closed"])
@pytest.mark.parametrize("mutation", slow_after(1, [COMMENT, CREATION]))
async def test_a_server_that_closes_idle_connections(end: str, read: bool, brings: bool, mutation: Any) -> None:
    """No mutation is lost to a connection that was closed while it lay idle, and none takes a second attempt."""
    if not read and sys.version_info >= (3, 12):
        pytest.skip("tasks begin at once: the request is written before this loop has ended the server's side")
    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(DONE)

    async with serving(answer) as wire, AsyncExitStack() as stack:
        client = await opened(stack, wire.url, brings, retry=RetryPolicy(attempts=1))
        for number in range(6):
            await client.change(mutation)
            if end == "reset":
                writers[-1].transport.abort()
            elif end == "half closed":
                writers[-1].write_eof()
            else:
                writers[-1].close()
            if read:
                await settle_down()
            assert len(wire.requests) == number + 1


@each("brings", [False, True])
@each("together", [1, 4])
@virtual_time
async def test_a_server_that_closes_a_moment_later(together: int, brings: bool) -> None:
    """It loses the one that was written meanwhile, and then none: mutations get new connections for a minute."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(DONE)
        await asyncio.sleep(0.005)
        writer.close()

    async with serving(answer) as wire, AsyncExitStack() as stack:
        client = await opened(stack, wire.url, brings)
        results = await asyncio.gather(
            *(comment_often(client, 20) for _ in range(together)),
        )
        assert sum(results) == together
        await asyncio.sleep(60)
        assert await comment_often(client, 10) == 1


async def comment_often(client: WorkorderClient, times: int) -> int:
    """Comment, one after the other; return how many are unknown."""
    unknown = 0
    for _ in range(times):
        try:
            await client.comment_ticket(COMMENT)
        except OutcomeUnknownError:
            unknown += 1
    return unknown


async def test_many_idle_connections_that_are_closed() -> None:
    """All connections of a pool that end while they are idle cost nothing, however many there are."""
    writers: list[asyncio.StreamWriter] = []
    together = asyncio.Barrier(16)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await together.wait()
        writer.write(DONE)

    async with serving(answer) as wire, make_client(wire.url, retry=RetryPolicy(attempts=1)) as client:
        for _ in range(3):
            await asyncio.gather(*(client.comment_ticket(COMMENT) for _ in range(16)))
            for writer in writers:
                writer.close()
        assert len(wire.requests) == 48


@each("brings", [False, True])
async def test_a_server_that_speaks_first(brings: bool) -> None:
    """What a new connection says before anything was asked is no answer; nothing is sent there, so nothing happened."""
    ended: list[asyncio.Task[None]] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(DONE)
        # Who ends a connection on which something lies resets it.
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.create_task(speak(reader, writer)))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with server, AsyncExitStack() as stack:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = await opened(stack, url, brings, retry=RetryPolicy(attempts=1))
        with pytest.raises(NotSentError, match="lay on the connection"):
            await client.comment_ticket(COMMENT)
        await asyncio.gather(*ended)
        assert len(ended) == 3


@pytest.mark.parametrize("brings", slow_after(1, [True, False]))
@pytest.mark.parametrize("stray", ["an answer", "half of its head", "the end"])
@pytest.mark.parametrize("read", [True, False], ids=["read by the loop", "in the socket"])
async def test_the_same_over_tls(tmp_path: Path, stray: str, brings: bool, read: bool) -> None:
    """Over TLS too; the server's own tickets, which come after the handshake, are no answer and do no harm."""
    writers: list[asyncio.StreamWriter] = []

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(TICKET)

    async with serving(first, REFUSED, tls=server_context(tmp_path)) as wire, AsyncExitStack() as stack:
        client = await opened(stack, wire.url, brings, ssl=False, retry=RetryPolicy(attempts=1))
        await client.get_ticket(1)
        if stray == "the end":
            writers[0].close()
        else:
            writers[0].write(STRAY[stray])
        if read:
            await settle_down()
        with pytest.raises(ApiError) as caught:
            await client.comment_ticket(COMMENT)
        assert (caught.value.errno, len(wire.requests)) == (5, 2)
        with pytest.raises(ApiError):
            await client.comment_ticket(COMMENT)


async def test_a_stray_answer_to_whoever_waits_for_a_place() -> None:
    """In a session with one connection the next call gets the very connection that the last one gave back."""
    async with serving(TICKET + DONE, REFUSED) as wire:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session, make_client(wire.url, session=session) as one:
            read, comment = await asyncio.gather(one.get_ticket(1), one.comment_ticket(COMMENT), return_exceptions=True)
        assert getattr(read, "id", None) == 1
        assert isinstance(comment, ApiError)
        assert comment.errno == 5


@each("brings", [False, True])
@each("first_part", [1, 9, 25])
async def test_a_stray_answer_in_two_parts(first_part: int, brings: bool) -> None:
    """A parser holds the first part while the connection is idle; the rest would come after the next request."""
    parted: list[asyncio.StreamWriter] = []

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parted.append(writer)
        writer.write(TICKET + DONE[:first_part])

    async def second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer in parted:
            writer.write(DONE[first_part:])
        writer.write(REFUSED)

    async with serving(first, second) as wire, AsyncExitStack() as stack:
        client = await opened(stack, wire.url, brings)
        await client.get_ticket(1)
        with pytest.raises(ApiError) as caught:
            await client.comment_ticket(COMMENT)
        assert (caught.value.errno, len(wire.requests)) == (5, 2)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tasks begin at once: nothing comes between")
async def test_an_answer_before_the_request_is_written() -> None:
    """Who waits for the only connection gets it before its stray answer is seen, and reads that before it writes."""

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(TICKET[:-5], TICKET[-5:] + DONE, turns=9)(reader, writer)

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
    async with serving(first, REFUSED) as wire, session, make_client(wire.url, session=session) as one:
        read, comment = await asyncio.gather(one.get_ticket(1), one.comment_ticket(COMMENT), return_exceptions=True)
    assert getattr(read, "id", None) == 1
    assert isinstance(comment, ApiError)
    assert (comment.errno, len(wire.requests)) == (5, 2)


@virtual_time
async def test_an_answer_before_it_may_be_written() -> None:
    """It is found as well where a trace of the user's session keeps the answer back until its writer is gone."""

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await late(TICKET, 1)(reader, writer)
        await late(DONE, 3)(reader, writer)

    async def keep_back(*_: object) -> None:
        await asyncio.sleep(2)

    async def may_send() -> None:
        await asyncio.sleep(4)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(keep_back)
    async with serving(first, REFUSED) as wire, aiohttp.ClientSession(trace_configs=[trace]) as session:
        async with make_client(wire.url, session=session) as client:
            await client.get_ticket(1)
            with pytest.raises(ApiError) as caught:
                await client.change(COMMENT, may_send=may_send)
        assert (caught.value.errno, caught.value.attempts, len(wire.requests)) == (5, 1, 2)


# A parser may hold a first part by then, and tells nobody; what follows it is no whole answer.
@pytest.mark.parametrize("stray", ["an answer", "two answers", "an answer to a GET", "half of its body", "no HTTP"])
async def test_the_last_look(monkeypatch: pytest.MonkeyPatch, stray: str) -> None:
    """What comes between the choice of a connection and the first byte is found as well."""
    choose: Callable[..., aiohttp.ClientSession] = Pool.opened
    writers: list[asyncio.StreamWriter] = []

    def opened_too_early(pool: Pool, **how: bool) -> aiohttp.ClientSession:
        session = choose(pool, **how)
        for writer in writers:
            writer.write(STRAY[stray])
        writers.clear()
        return session

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(TICKET)

    monkeypatch.setattr(Pool, "opened", opened_too_early)
    async with serving(first, REFUSED) as wire, make_client(wire.url) as client:
        await client.get_ticket(1)
        with pytest.raises(ApiError) as caught:
            await client.comment_ticket(COMMENT)
        assert (caught.value.errno, caught.value.attempts, len(wire.requests)) == (5, 1, 2)


@each("stray", STRAY)
async def test_what_comes_while_a_callback_runs(stray: str) -> None:
    """The last look is after the caller's `on_send`, which may take its time, and is told of each connection."""
    writers: list[asyncio.StreamWriter] = []
    told = 0

    def on_send() -> None:
        nonlocal told
        told += 1
        while writers:
            writers.pop().write(STRAY[stray])

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(TICKET)

    async with serving(first, REFUSED) as wire, make_client(wire.url) as client:
        await client.get_ticket(1)
        with pytest.raises(ApiError) as caught:
            await client.change(COMMENT, on_send=on_send)
        assert (caught.value.errno, caught.value.attempts, len(wire.requests), told) == (5, 1, 2, 2)


def answering(answer: bytes, ports: list[int]) -> Handler:
    """Return a step that answers, and notes which connection it was asked on."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.append(writer.get_extra_info("peername")[1])
        writer.write(answer)

    return step


async def ask(session: aiohttp.ClientSession, url: str) -> None:
    """Ask a server for something that is no matter of ours."""
    async with session.get(url) as response:
        await response.read()


@each("platform", ["127.0.0.1", "LocalHost"])
@each("other", ["another port", "another name"])
async def test_connections_to_other_hosts_are_left_alone(platform: str, other: str) -> None:
    """After a lost mutation only the platform's idle connections are closed in a session that was brought along.

    Control: the platform's own are closed, so that each mutation has a new one, however its host is spelt.
    """
    ports, foreign = list[int](), list[int]()
    name = "localhost" if platform == "127.0.0.1" else "127.0.0.1"
    async with serving(drop, answering(DONE, ports)) as wire, serving(answering(DONE, foreign)) as another:
        url = another.url if other == "another port" else f"http://{name}:{wire.port}"
        asked = foreign if other == "another port" else ports
        async with (
            aiohttp.ClientSession() as session,
            make_client(f"http://{platform}:{wire.port}", session=session) as client,
        ):
            with pytest.raises(OutcomeUnknownError):
                await client.comment_ticket(COMMENT)
            await ask(session, url)
            kept = asked[-1]
            for _ in range(3):
                await client.comment_ticket(COMMENT)
            await ask(session, url)
            assert asked[-1] == kept
            assert len({*ports} - {kept}) == 3


@pytest.mark.parametrize("lies", [DONE, b"\r\n", b""], ids=["an answer", "a blank line", "the end"])
@pytest.mark.parametrize("mutates", [False, True])
async def test_what_lies_on_a_connection_to_another_host(lies: bytes, mutates: bool) -> None:
    """It is for whoever uses that host: we close no connection of it, whatever lies there."""
    writers: list[asyncio.StreamWriter] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(DONE)

    async with serving(keep) as another, aiohttp.ClientSession() as session:
        await ask(session, another.url)
        assert session.connector is not None
        [[(kept, _)]] = session.connector._conns.values()
        # It lies in the socket, and the event loop has not read it.
        if lies:
            writers[0].write(lies)
        else:
            writers[0].write_eof()
        Pool("http://127.0.0.1:9", client_options(session=session)).opened(mutates=mutates)
        assert kept.transport is not None
        assert not kept.transport.is_closing()
        # Control: the same on the platform's own connection closes it.
        Pool(another.url, client_options(session=session)).opened(mutates=mutates)
        assert kept.transport is None or kept.transport.is_closing()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_child_of_a_fork() -> None:
    """A child that gives up the client it was forked with takes no connection from its parent."""
    lonely = RetryPolicy(attempts=1)
    async with serving(TICKET, DONE) as wire, make_client(wire.url, attempt_timeout=0.2, retry=lonely) as client:
        await client.get_ticket(1)
        if not (child := os.fork()):
            try:
                asyncio.run(client.aclose())
            finally:
                os._exit(0)
        await asyncio.to_thread(os.waitpid, child, 0)
        await client.comment_ticket(COMMENT)
        assert len(wire.requests) == 2
