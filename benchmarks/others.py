"""The clients to compare with that need aiohttp alone: the bare loop that is the floor, and what is written by hand.

None of them signs, repeats, keeps order or makes models: whatever they lack makes them faster. Each returns how many
tickets it saw.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson

from benchmarks.pages import PAGE_SIZE, page_count
from workorder_async.document.endpoints import LIST_TICKETS

WORKERS = 8


async def in_workers(read: Callable[[int], Awaitable[tuple[int, int]]]) -> int:
    """Read the first page, then the others in 8 workers; `read(page)` returns its rows' count and the total."""
    seen, total = await read(1)
    numbers = iter(range(2, page_count(total) + 1))

    async def work() -> int:
        return sum([(await read(number))[0] for number in numbers])

    return seen + sum(await asyncio.gather(*(work() for _ in range(WORKERS))))


async def in_batches(read: Callable[[int], Awaitable[tuple[int, int]]]) -> int:
    """Read the first page, then the others 8 at a time, each batch once the one before is complete."""
    seen, total = await read(1)
    last = page_count(total)
    for first in range(2, last + 1, WORKERS):
        batch = await asyncio.gather(*map(read, range(first, min(first + WORKERS, last + 1))))
        seen += sum(rows for rows, _ in batch)
    return seen


async def page_after_page(read: Callable[[int], Awaitable[tuple[int, int]]]) -> int:
    """Read one page after the other."""
    seen, total = await read(1)
    for number in range(2, page_count(total) + 1):
        rows, _ = await read(number)
        seen += rows
    return seen


async def bare_loop(base_url: str, take: Callable[[list[dict[str, Any]]], object] = len) -> int:
    """Read all pages in 8 workers, parsed by orjson and counted: as little as any client on aiohttp must do.

    `take` is given the rows of each page, in the order in which they come.
    """
    url = base_url + LIST_TICKETS.path
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def read(number: int) -> tuple[int, int]:
            body = orjson.dumps({"page": number, "page_size": PAGE_SIZE})
            async with session.post(url, data=body, headers=headers) as response:
                data = orjson.loads(await response.read())["data"]
            take(data["tickets"])
            return len(data["tickets"]), data["pagination"]["total"]

        return await in_workers(read)


async def by_hand(base_url: str, drive: Callable[[Callable[[int], Awaitable[tuple[int, int]]]], Awaitable[int]]) -> int:
    """Read all pages with `response.json()`, and touch every ticket's dict, as scripts do."""
    url = base_url + LIST_TICKETS.path
    async with aiohttp.ClientSession() as session:

        async def read(number: int) -> tuple[int, int]:
            async with session.post(url, json={"page": number, "page_size": PAGE_SIZE}) as response:
                data = (await response.json())["data"]
            return sum(1 for ticket in data["tickets"] if ticket["id"]), data["pagination"]["total"]

        return await drive(read)
