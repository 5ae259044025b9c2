"""A relay between clients and a server, which leaves things on idle connections: an answer of nothing, an end.

    async with relay(sandbox.url, random, stray=0.05, closes=0.1) as (url, seen):

It tells requests from answers only by their direction: what comes from the server after a request is its answer.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from urllib.parse import urlsplit


@asynccontextmanager
async def relay(
    url: str, random: Random, *, stray: float = 0.0, closes: float = 0.0
) -> AsyncIterator[tuple[str, Counter[str]]]:
    """Run a relay; gives its URL, and how often it did what.

    After an answer it leaves another one on the connection by the chance `stray`: the same bytes once more. By the
    chance `closes` it ends the connection instead.
    """
    host, port = urlsplit(url).hostname, urlsplit(url).port
    seen, tasks = Counter[str](), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen["connections"] += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError):
                await _Connection(reader, writer, random, seen, stray, closes).run(str(host), int(port or 80))
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()
        for task in tasks.copy():
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Connection:
    """One connection of a client, and its own one to the server."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        random: Random,
        seen: Counter[str],
        stray: float,
        closes: float,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._random, self._seen = random, seen
        self._stray, self._closes = stray, closes
        self._answer = b""

    async def run(self, host: str, port: int) -> None:
        """Pass on what comes from either side, until one of them ends."""
        reader, writer = await asyncio.open_connection(host, port)
        both = [asyncio.create_task(self._requests(writer)), asyncio.create_task(self._answers(reader))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            # An end without a word is an end.
            await asyncio.gather(*both, return_exceptions=True)
            writer.close()

    async def _requests(self, writer: asyncio.StreamWriter) -> None:
        while data := await self._reader.read(1 << 16):
            self._answer = b""
            writer.write(data)
            await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 16):
            self._answer += data
            chance = self._random.random() if self._is_whole() else 1.0
            if chance < self._stray:
                # With the answer itself: later it might come after the next request, and nobody could tell.
                self._seen["stray"] += 1
                data += self._answer
            self._writer.write(data)
            await self._writer.drain()
            if self._stray <= chance < self._stray + self._closes:
                self._seen["closed"] += 1
                return

    def _is_whole(self) -> bool:
        """Tell whether all of an answer has come, as far as its head says how long it is."""
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        return bool(blank) and length is not None and len(body) == int(length[1])
