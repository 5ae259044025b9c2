"""What several tests stand on: a client of a host that does not exist, and a server that answers what it is told."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import ClientResponse
from aioresponses import aioresponses, core
from attrs import define, field
from hypothesis import settings

from workorder_async import RetryPolicy, SchemeSigner, WorkorderClient

BASE_URL = "https://workorder.test"
API = f"{BASE_URL}/workorder/api/ticket"
# How long an example takes is no property. What decides whether a change lands tries the same examples each time.
settings.register_profile("workorder", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("workorder")

# A fixed moment: 2023-11-14 22:13:20 UTC.
NOW = 1_700_000_000.0


class _Response(ClientResponse):
    """What aioresponses 0.7.9 makes its answers of: aiohttp 3.14 wants a writer, which it does not pass."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """Stand in for the network: no request leaves."""
    monkeypatch.setattr(core, "ClientResponse", _Response)
    with aioresponses() as answers:
        yield answers


def make_client(base_url: str = BASE_URL, **options: Any) -> WorkorderClient:
    """Make a client with a plain scheme, quick retries and a clock that stands still."""
    signer = SchemeSigner("demo-app", "demo-secret", "md5:{app_id}{timestamp}{secret}")
    options = {"signer": signer, "retry": RetryPolicy(first=0.001), "now": lambda: NOW, **options}
    return WorkorderClient(base_url, **options)


@pytest.fixture
async def client() -> AsyncIterator[WorkorderClient]:
    """Give a client of a host that does not exist."""
    async with make_client() as client:
        yield client


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@define
class Wire:
    """A server on a socket that reads whole requests, keeps them, and answers with the next step of its script."""

    port: int = 0
    requests: list[bytes] = field(factory=list)
    arrived: asyncio.Event = field(factory=asyncio.Event)
    script: list[Handler | bytes] = field(factory=list)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection after another request on it, until the script closes it."""
        try:
            while request := await _read_request(reader):
                self.requests.append(request)
                self.arrived.set()
                step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                else:
                    await step(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    first = await reader.read(1)
    if first in (b"", b"\x16"):  # the end, or the first byte of TLS, which this server does not speak
        return b""
    try:
        head = first + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    return head + await reader.readexactly(length)


def http(body: bytes | str, status: str = "200 OK", **headers: str) -> bytes:
    """Return an HTTP answer with this body."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *lines])
    return head.encode() + b"\r\n\r\n" + content


@asynccontextmanager
async def serving(*script: Handler | bytes) -> AsyncIterator[Wire]:
    """Serve a script; its last step answers every further request."""
    wire = Wire(script=list(script))
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[asyncio.create_task(wire.serve(reader, writer))] = writer

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        for writer in connections.values():
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in connections.values()), return_exceptions=True)
