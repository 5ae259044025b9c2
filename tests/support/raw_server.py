"""A server on a socket that answers what it is told, byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
from attrs import define, field

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@define
class Wire:
    """A server on a socket that reads whole requests, keeps them, and answers with the next step of its script."""

    port: int = 0
    requests: list[bytes] = field(factory=list)
    arrived: asyncio.Event = field(factory=asyncio.Event)
    script: list[Handler | bytes] = field(factory=list)
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

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


def envelope(data: bytes | str) -> bytes:
    """Return an answer of success whose data is this JSON text."""
    content = data.encode() if isinstance(data, str) else data
    return http(b'{"errno":10000,"errmsg":"OK","request_id":"r-1","data":%b}' % content)


@asynccontextmanager
async def serving(*script: Handler | bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Serve a script; its last step answers every further request."""
    wire = Wire(script=list(script), scheme="http" if tls is None else "https")
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[asyncio.create_task(wire.serve(reader, writer))] = writer

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        # asyncio leaves a connection open that has not begun when its server is closed. It takes three turns to begin.
        for _ in range(3):
            await asyncio.sleep(0)
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        for writer in connections.values():
            # A TLS connection that is only closed waits for the other side, which may be gone.
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in connections.values()), return_exceptions=True)


def data(value: object, errno: int = 10000) -> bytes:
    """Return an answer of the platform with this data."""
    return http(orjson.dumps({"errno": errno, "errmsg": "", "data": value, "request_id": "r1"}))


def late(answer: bytes, seconds: float) -> Handler:
    """Return a step that answers after so many seconds."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(answer)

    return step


async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close a connection without an answer."""
    writer.close()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the other side goes away."""
    await reader.read()


def half(answer: bytes) -> Handler:
    """Return a step that sends an answer without its last bytes, and closes the connection."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer[:-10])
        await writer.drain()
        writer.close()

    return step


def stuck(answer: bytes) -> Handler:
    """Return a step that sends an answer without its last bytes, and no more."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer[:-10])
        await reader.read()

    return step


@define
class AtOnce:
    """A step that answers after so many seconds, and notes how many requests it had at once at the most."""

    answer: bytes
    seconds: float = 0.01
    most: int = 0
    _under_way: int = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        await asyncio.sleep(self.seconds)
        self._under_way -= 1
        writer.write(self.answer)
