"""Rows requests and long: how many requests a long walk makes, and what it saves a server with deep pages.

`__main__` is that server: the sandbox, in a process of its own.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from statistics import linear_regression, median
from time import perf_counter

import orjson

from benchmarks.child import block_ends, child
from benchmarks.measuring import HEAVY_ROUNDS, HEAVY_TIMES, Comparison, Plan, Race, Row, RowLeftOutError, Sample
from benchmarks.others import WORKERS
from benchmarks.pages import PAGE_SIZE, page_count
from benchmarks.server import canned_server
from benchmarks.walking import client_of
from workorder_async import TicketQuery, WorkorderClient

_MOST_REQUESTS = 1.05
# Short walks in one round, of which the median counts: a long one takes as long as a hundred of them.
_SHORT_WALKS = 9
# Where in the list plain paging is tried, as parts of it, and how many pages are read there.
_DEPTHS = (0.0, 0.1, 0.5, 0.9)
_PAGES_AT_A_DEPTH = 16


def measure_requests(plan: Plan) -> Row:
    """Count the requests of a long walk, over the pages that the list has."""
    tickets = plan.tickets * 10
    with canned_server(tickets, "spread") as server, asyncio.Runner() as runner:
        seconds, requests = runner.run(_walk(client_of(f"{server}/0"), tickets))
    pages = page_count(tickets)
    return Row(
        "requests",
        f"requests for {tickets} tickets",
        f"pages of the list, {pages}",
        "<=",
        _MOST_REQUESTS,
        Sample((requests / pages,)),
        Race("the walk's time", {"the walk's time": Sample((seconds,))}, 1),
        notes=(f"{requests - pages} of {requests} requests are for the rows that neighbouring answers share",),
    )


def measure(plan: Plan) -> Row:
    """Measure the time per ticket of a long walk on the sandbox, over that of a short one, and of plain paging."""
    short, long = plan.tickets, plan.tickets * HEAVY_TIMES
    starts = [1 + int(page_count(long) * depth) for depth in _DEPTHS]
    if len(set(starts)) == 1:
        raise RowLeftOutError(f"a list of {long} tickets has no deep pages; give more --tickets")
    short_seconds, long_seconds, requests, depths = [], [], 0, []
    with child("benchmarks.long", short) as near, child("benchmarks.long", long) as far, asyncio.Runner() as loop:
        loop.run(_walk(_client(near), short))
        for _ in range(min(HEAVY_ROUNDS, plan.rounds)):
            walks = [loop.run(_walk(_client(near), short)) for _ in range(_SHORT_WALKS)]
            short_seconds.append(median(seconds for seconds, _ in walks))
            seconds, requests = loop.run(_walk(_client(far), long))
            long_seconds.append(seconds)
            depths.append(loop.run(_plain_pages(_client(far), starts)))
    seen = {_tickets(short): Sample(tuple(short_seconds)), _tickets(long): Sample(tuple(long_seconds))}
    result = Race(_tickets(short), seen, 1)
    plain = Sample(tuple(_extrapolated(starts, seconds, page_count(long)) for seconds in depths))
    growth = plain.median / seen[_tickets(short)].median / HEAVY_TIMES
    at_depths = ", ".join(
        f"{start}: {median(seconds) * 1000:.1f}"
        for start, seconds in zip(starts, zip(*depths, strict=True), strict=True)
    )
    return Row(
        "long",
        f"walk of {_tickets(long)} on SQLite, per ticket",
        f"the same for {_tickets(short)}",
        "<=",
        1.2,
        result.ratio(_tickets(long), _tickets(short)).times(1 / HEAVY_TIMES),
        result,
        beside=(
            Comparison(
                f"plain paging of the {_tickets(long)}, extrapolated",
                Sample(tuple(p / o for p, o in zip(plain.values, long_seconds, strict=True))),
            ),
        ),
        notes=(
            f"{_per_ticket(seen[_tickets(short)], short)}, {_per_ticket(seen[_tickets(long)], long)}",
            f"plain paging, {WORKERS} in flight, ms a page from page {at_depths}; a line through these makes "
            f"{plain.median:.0f} s for all {page_count(long)} pages, extrapolated: {growth:.0f} times the time per "
            f"ticket of {_tickets(short)}",
            f"requests: {requests / page_count(long):.3f} times the list's pages (<= {_MOST_REQUESTS})",
        ),
    )


def _tickets(count: int) -> str:
    return f"{count} tickets"


def _per_ticket(seconds: Sample, tickets: int) -> str:
    return f"{tickets} tickets: {seconds.median:.1f} s, {seconds.median / tickets * 1e6:.0f} µs each"


def _client(environment: str) -> WorkorderClient:
    return WorkorderClient.from_env(orjson.loads(environment))


async def _walk(client: WorkorderClient, tickets: int) -> tuple[float, int]:
    """Walk the whole list with the default options; returns how many seconds and requests that took."""
    begun = perf_counter()
    async with client, client.walk() as walk:
        seen = sum([len(page) async for page in walk])
        if seen != tickets or not walk.report.exact:
            raise RuntimeError(f"{seen} of {tickets} tickets came: {walk.report.reason}")
        return perf_counter() - begun, walk.report.requests


async def _plain_pages(client: WorkorderClient, starts: Sequence[int]) -> list[float]:
    """Return the seconds per page from each of these pages on, of the list that a plain walk would read now."""
    query = TicketQuery(created_end=int(time.time()))

    async def read(start: int) -> float:
        begun = perf_counter()
        numbers = iter(range(start, start + _PAGES_AT_A_DEPTH))

        async def work() -> None:
            for number in numbers:
                await client.list_tickets(query, page=number, page_size=PAGE_SIZE)

        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(work())
        return (perf_counter() - begun) / _PAGES_AT_A_DEPTH

    async with client:
        await read(1)  # opens the connections, and lets the server count the list once
        return [await read(start) for start in starts]


def _extrapolated(starts: Sequence[int], seconds: Sequence[float], pages: int) -> float:
    """Return the seconds for all pages, where a page's time grows with its number as it does between these."""
    slope, first = linear_regression([start + _PAGES_AT_A_DEPTH / 2 for start in starts], seconds)
    return pages * (first + slope * (pages + 1) / 2)


async def _serve(tickets: int) -> None:
    from workorder_async.sandbox import Sandbox

    async with Sandbox(tickets) as sandbox:
        print(orjson.dumps(sandbox.environment).decode(), flush=True)
        await block_ends()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
