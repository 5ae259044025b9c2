"""A server of canned pages in a process of its own, so that its work is not counted as the client's.

It answers a POST for page k of `list_tickets` with the bytes of page k, and knows nothing else: no signature, no
filters, no page size but its own. The first segment of the URL's path is the latency of every answer in milliseconds;
answers wait side by side, as those of a far server do.
"""

import asyncio
import os
import re
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import cast

import orjson

from benchmarks.pages import pages

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@contextmanager
def canned_server(tickets: int) -> Iterator[str]:
    """Run the server with a list of that many tickets; yields its URL, to which a latency is added: f"{url}/50"."""
    command = [sys.executable, "-m", "benchmarks.server", str(tickets)]
    folder = Path(__file__).parent.parent
    # A session of its own keeps Ctrl-C from it; it ends with its standard input, which leaving the block closes.
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        port = process.stdout.readline().strip() if process.stdout else ""
        if not port:
            raise RuntimeError("the canned server did not start; its own words are above")
        yield f"http://127.0.0.1:{port}"


class _CannedProtocol(asyncio.Protocol):
    """One connection: HTTP/1.1 with keep-alive, reading no more of a request than its page and its latency."""

    def __init__(self, bodies: list[bytes]) -> None:
        self._bodies = bodies
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
        milliseconds = int(head.split(b"/", 2)[1])
        number = orjson.loads(rest)["page"]
        if milliseconds:
            asyncio.get_running_loop().call_later(milliseconds / 1000, self._answer, number)
        else:
            self._answer(number)

    def _answer(self, number: int) -> None:
        if self._transport.is_closing():
            return
        body = self._bodies[number - 1]
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\n"
            f"Content-Length: {len(body)}\r\nDate: {formatdate(usegmt=True)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)


async def _serve(tickets: int) -> None:
    bodies = pages(tickets)
    server = await asyncio.get_running_loop().create_server(lambda: _CannedProtocol(bodies), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    # A tidy end would wait for clients that are still connected.
    os._exit(0)


def _precise_loop() -> asyncio.AbstractEventLoop:
    # epoll rounds a wait up to whole milliseconds, which would make 50 ms of latency nearly 51.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        runner.run(_serve(int(sys.argv[1])))
