"""Servers that speak TLS in front of another one, and proxies that pass TLS on or open it.

The certificates were made once, and are good until 2120 unless their name says otherwise: `good`, `expired`, `early`
and `elsewhere` (for another host) are issued by `ca`, `old` by `lax`, which lacks what Python 3.13 asks of issuers, and
`own` by itself. All hosts have the key of `key`.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.raw_server import Handler

CERTIFICATES = Path(__file__).with_name("certificates")
CA = str(CERTIFICATES / "ca.pem")
ISSUER = "TLS 检查 of 示例公司"


def server_context(certificate: str) -> ssl.SSLContext:
    """Return the context of a server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{certificate}.pem", CERTIFICATES / "key.pem")
    return context


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    writer.close()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Pass everything on, both ways, to a port of this machine."""
    there, back = await asyncio.open_connection("127.0.0.1", port)
    try:
        await asyncio.gather(_pump(reader, back), _pump(there, writer))
    finally:
        back.close()
        writer.close()


@asynccontextmanager
async def _listening(serve: Handler, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            if context is not None:
                await writer.start_tls(context)
            await serve(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the sockets are closed in the loop's next turn


@asynccontextmanager
async def tls_in_front(certificate: str, url: str) -> AsyncIterator[str]:
    """Serve what a URL serves over TLS, with this certificate; gives its URL."""
    port = urlsplit(url).port or 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _join(reader, writer, port)

    async with _listening(serve, server_context(certificate)) as listens:
        yield f"https://localhost:{listens}"


@asynccontextmanager
async def proxy(opens: str | None, url: str, asked: list[bytes], answer: str = "200 OK") -> AsyncIterator[str]:
    """Serve as a proxy that leads each CONNECT to a URL; with a certificate it opens TLS. Gives its own URL."""
    port = urlsplit(url).port or 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head)
        writer.write(f"HTTP/1.1 {answer}\r\n\r\n".encode())
        await writer.drain()
        if answer.startswith("200"):
            if opens is not None:
                await writer.start_tls(server_context(opens))
            await _join(reader, writer, port)

    async with _listening(serve, None) as listens:
        yield f"http://127.0.0.1:{listens}"
