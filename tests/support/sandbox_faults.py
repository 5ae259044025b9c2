"""A comment that a sandbox's faults strike, answers that are changed, and records that somebody can wait for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import orjson
from aiohttp import web
from yarl import URL

from tests.support.sandbox_wire import PREFIX, Answer, Wire
from workorder_async.sandbox import Sandbox

COMMENT = {"id": 1001, "detail": "记一笔"}


async def comment(wire: Wire) -> Answer:
    """Send a comment."""
    return await wire.send("POST", "comment_ticket", orjson.dumps(COMMENT))


class Noted(list[Any]):
    """The record of a sandbox's faults, or its waits; somebody can wait for it to have so many entries."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()

    def append(self, one: Any) -> None:
        """Add an entry."""
        super().append(one)
        self._changed.set()

    add = append

    def remove(self, one: Any) -> None:
        """Take an entry away."""
        super().remove(one)
        self._changed.set()

    async def until(self, count: int) -> None:
        """Wait until there are so many."""
        async with asyncio.timeout(5):
            while len(self) != count:
                self._changed.clear()
                await self._changed.wait()


def noted_struck(sandbox: Sandbox) -> Noted:
    """Return the record of what was struck, from now on."""
    noted = Noted()
    sandbox._faults.struck = noted
    return noted


def noted_waits(sandbox: Sandbox) -> Noted:
    """Return the requests that are kept waiting."""
    noted, wait = Noted(), sandbox._faults.wait

    async def noting(request: web.Request, seconds: float | None) -> None:
        noted.append(request)
        try:
            await wait(request, seconds)
        finally:
            noted.remove(request)

    sandbox._faults.wait = noting  # type: ignore[method-assign]
    return noted


@contextmanager
def changed_answers(sandbox: Sandbox, operation: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Let a sandbox answer an operation with what `change` returns for the data of the right answer."""
    envelope = sandbox._envelope

    async def changed(rule: Any, *which: Any) -> bytes:
        said = orjson.loads(await envelope(rule, *which))
        if rule.endpoint.operation == operation and "data" in said:
            said["data"] = change(said["data"])
        return orjson.dumps(said)

    sandbox._envelope = changed  # type: ignore[method-assign, assignment]
    yield
    sandbox._envelope = envelope  # type: ignore[method-assign]


@asynccontextmanager
async def commenting(
    wire: Wire, body: bytes = orjson.dumps(COMMENT), *, length: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send a comment, or the beginning of one, over a connection of one's own, which is dropped at the end."""
    signed = "".join(f"{k}: {v}\r\n" for k, v in wire.sign("POST", f"{PREFIX}comment_ticket", (), (body,)).items())
    lines = (
        f"Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length or len(body)}\r\n{signed}\r\n"
    )
    url = URL(wire.sandbox.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"POST {PREFIX}comment_ticket HTTP/1.1\r\n{lines}".encode() + body)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


def content_length(head: bytes) -> int:
    """Return the length that the head of an answer promises."""
    return next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
