"""tests/support/memory_network.py: connections in memory behave as sockets do, in whatever way they end."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.support.memory_network import MemoryTransport
from tests.support.virtual_loop import virtual_time

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Streams]:
    """Serve one connection, and give the caller's end of it."""
    served = []

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    assert writer.get_extra_info("peername") == (host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(*served, return_exceptions=True)
        server.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)


@virtual_time
async def test_bytes_go_both_ways() -> None:
    """What is written arrives whole and in order; one direction may end before the other."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = await reader.read()
        writer.write(whole[::-1])
        writer.close()

    async with connected(echo) as (reader, writer):
        writer.write(b"ab")
        writer.writelines([b"c", b"d" * 1_000_000])
        writer.write_eof()
        with pytest.raises(RuntimeError):
            writer.write(b"more")
        assert await reader.read() == b"d" * 1_000_000 + b"cba"


@virtual_time
async def test_whoever_writes_too_much_waits() -> None:
    """A writer waits until the other side has read, as long as that takes."""

    async def read_later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)
        assert len(await reader.readexactly(2_000_000)) == 2_000_000
        writer.write(b"thanks")
        writer.close()

    async with connected(read_later) as (reader, writer):
        loop = asyncio.get_running_loop()
        for _ in range(20):
            writer.write(b"x" * 100_000)
            await writer.drain()
        assert loop.time() == 60
        assert await reader.read() == b"thanks"


def pause(writer: asyncio.StreamWriter) -> None:
    """Receive nothing more."""
    assert isinstance(writer.transport, MemoryTransport)
    writer.transport.pause_reading()


async def _abort(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(5)
    writer.transport.abort()


async def _abort_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    pause(writer)
    await asyncio.sleep(1)
    writer.transport.abort()


async def _do_not_linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(5)
    writer.write(b"before")
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


@pytest.mark.parametrize(
    ("serve", "before", "is_reset"),
    [(_abort, b"", False), (_abort_unread, b"", True), (_do_not_linger, b"before", True)],
)
@virtual_time
async def test_ends(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], before: bytes, is_reset: bool
) -> None:
    """A connection ends, or is reset where bytes are left unread or nobody lingers; what was sent before arrives."""
    async with connected(serve) as (reader, writer):
        writer.write(b"hello")
        assert await reader.read(len(before)) == before
        if is_reset:
            with pytest.raises(ConnectionResetError, match="reset by peer"):
                await reader.read(1)
        else:
            assert await reader.read(1) == b""


@virtual_time
async def test_to_write_to_nobody() -> None:
    """Who writes to a side that is closed learns it with the next write."""

    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with connected(leave) as (reader, writer):
        assert await reader.read() == b""
        writer.write(b"anybody?")
        await asyncio.sleep(0.1)
        writer.write(b"still?")
        with pytest.raises(ConnectionResetError):
            await writer.drain()


@virtual_time
async def test_a_reset_ends_the_wait_of_a_writer() -> None:
    """Who waits for room to write, and reads nothing either, learns that nobody reads any more."""

    async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pause(writer)
        await asyncio.sleep(5)
        writer.close()

    async with connected(never_read) as (_, writer):
        pause(writer)
        writer.write(b"x" * 1_000_000)
        with pytest.raises(ConnectionResetError):
            await writer.drain()
        assert asyncio.get_running_loop().time() == 5


@virtual_time
async def test_a_protocol_that_fails() -> None:
    """An error of a protocol ends its connection, and is told to the loop."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context["exception"])))

    class Broken(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            raise ValueError("no")

    server = await asyncio.get_running_loop().create_server(Broken, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello")
    assert await reader.read() == b""
    writer.close()
    server.close()
    assert told == ["no"]


@virtual_time
async def test_tls_is_for_sockets() -> None:
    """TLS is refused in words."""
    async with connected(_abort) as (_, writer):
        with pytest.raises(NotImplementedError, match="TLS stays on real sockets"):
            await asyncio.open_connection(*writer.get_extra_info("peername"), ssl=True, server_hostname="x")
        writer.write(b"hello")
