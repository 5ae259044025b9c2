"""A server of canned pages, for a process of its own.

It answers a POST to `list_tickets` with bytes that it made at its start, and knows nothing but pages and created time:
no signature, no other filters. Of another kind, it answers with pages of a `SpreadList`, or says of any change that it
was made. The first segment of the URL's path tells the latency (`benchmarks.latency`); answers wait side by side, as
those of a far server do.
"""

import asyncio
import os
import re
import selectors
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any, Literal, TypeAlias, cast

import orjson

from benchmarks.child import block_ends, child
from benchmarks.latency import latency
from benchmarks.spread import CannedList, SpreadList

Kind: TypeAlias = Literal["canned", "spread", "changes"]
"""What the server answers with: rows made at its start, rows made when they are asked for, or success."""

_BodyOf: TypeAlias = Callable[[dict[str, Any]], bytes]

_CHANGED = b'{"errno":10000,"errmsg":"OK","request_id":"canned","data":null}'
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@contextmanager
def canned_server(tickets: int, kind: Kind = "canned") -> Iterator[str]:
    """Run the server with a list of that many tickets; yields its URL, to which a latency is added: f"{url}/50"."""
    with child("benchmarks.server", tickets, kind) as port:
        yield f"http://127.0.0.1:{port}"


class _CannedProtocol(asyncio.Protocol):
    """One connection: HTTP/1.1 with keep-alive, reading no more of a request than its latency and its body."""

    def __init__(self, body_of: _BodyOf, turn: Callable[[dict[str, Any]], int]) -> None:
        self._body_of = body_of
        self._turn = turn
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(head)
        if not separator or length is None or len(rest) < int(length[1]):
            return
        self._received = b""
        request = orjson.loads(rest)
        seconds = latency(head.split(b"/", 2)[1].decode(), self._turn(request))
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._answer, request)
        else:
            self._answer(request)

    def _answer(self, request: dict[str, Any]) -> None:
        if self._transport.is_closing():
            return
        body = self._body_of(request)
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\n"
            f"Content-Length: {len(body)}\r\nDate: {formatdate(usegmt=True)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)


class _Turns:
    """Counts the requests of one reading of the list: which of them are slow must not hang on what they ask for."""

    def __init__(self) -> None:
        self._count = 0

    def of(self, request: dict[str, Any]) -> int:
        """Return the number of a request, from 1."""
        begins = request.get("page", 1) == 1 and not request.keys() & {"created_start", "created_end"}
        self._count = 1 if begins else self._count + 1
        return self._count


async def _serve(body_of: _BodyOf) -> None:
    turns = _Turns()
    server = await asyncio.get_running_loop().create_server(lambda: _CannedProtocol(body_of, turns.of), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await block_ends()
    # A tidy end would wait for clients that are still connected.
    os._exit(0)


def _answers(tickets: int, kind: str) -> _BodyOf:
    if kind == "changes":
        return lambda _: _CHANGED
    if kind == "spread":
        return SpreadList(tickets).answer
    return CannedList(tickets).answer


def _precise_loop() -> asyncio.AbstractEventLoop:
    # epoll rounds a wait up to whole milliseconds, which would make 50 ms of latency nearly 51.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        runner.run(_serve(_answers(int(sys.argv[1]), sys.argv[2])))
