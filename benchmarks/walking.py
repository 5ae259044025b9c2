"""Rows walk, fair and first: what a whole walk costs over sockets, and how soon its first ticket comes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

import aiohttp
import orjson

from benchmarks.fair import fair_loop, make_signer
from benchmarks.measuring import Comparison, Contestant, Plan, Race, Row, race
from benchmarks.others import WORKERS, bare_loop, by_hand, in_workers, page_after_page
from benchmarks.pages import PAGE_SIZE, page_count
from benchmarks.server import canned_server
from workorder_async import WorkorderClient
from workorder_async.document.endpoints import LIST_TICKETS

_LATENCY_MS = 50
_LATENCY = _LATENCY_MS / 1000

_OURS = "iter_tickets"
_BARE = "bare loop"
_FAIR = "fair loop"
_BY_HAND = "aiohttp by hand: response.json(), dicts, page after page"
_HTTPX = "httpx2 and pydantic, page after page"
_HTTPX_WORKERS = f"httpx2 and pydantic, {WORKERS} workers"


def measure_walk(plan: Plan) -> Row:
    """Measure tickets per second of a walk with everything on, over a loop that does as little as it can."""
    with canned_server(plan.tickets) as server, course(f"{server}/0", plan.tickets) as timed:
        contestants = {
            _BARE: timed(bare_loop),
            _OURS: timed(iter_tickets),
            _BY_HAND: timed(lambda url: by_hand(url, page_after_page)),
        }
        missing: tuple[Comparison, ...] = ()
        try:
            from benchmarks.pydantic_client import httpx2_and_pydantic
        except ImportError as error:
            missing = (Comparison(f"httpx2 and pydantic: {error}; install the group `bench`", None),)
        else:
            contestants[_HTTPX] = timed(lambda url: httpx2_and_pydantic(url, page_after_page))
            contestants[_HTTPX_WORKERS] = timed(lambda url: httpx2_and_pydantic(url, in_workers))
        result = race(_BARE, contestants, plan.rounds)
    others = [name for name in contestants if name not in (_BARE, _OURS)]
    return Row(
        "walk",
        f"iter_tickets, {WORKERS} in flight, tickets per second",
        f"bare aiohttp loop, {WORKERS} workers, orjson.loads",
        ">=",
        0.60,
        result.ratio(_BARE, _OURS),
        result,
        beside=(*(Comparison(name, result.ratio(name, _OURS)) for name in others), *missing),
        notes=(f"{plan.tickets} tickets; {_per_page(result, plan, _OURS, _BARE)}",),
    )


def measure_fair(plan: Plan) -> Row:
    """Measure tickets per second of a walk with everything on, over a loop by hand that does the same work."""
    with canned_server(plan.tickets) as server, course(f"{server}/0", plan.tickets) as timed:
        contestants = {_FAIR: timed(fair_loop), _OURS: timed(iter_tickets), _BARE: timed(bare_loop)}
        result = race(_FAIR, contestants, plan.rounds)
    return Row(
        "fair",
        f"iter_tickets, {WORKERS} in flight, tickets per second",
        "loop by hand that signs, orders and decodes",
        ">=",
        0.85,
        result.ratio(_FAIR, _OURS),
        result,
        beside=(Comparison(_BARE, result.ratio(_BARE, _OURS)),),
        notes=(
            f"{plan.tickets} tickets; {_per_page(result, plan, _OURS, _FAIR)}",
            f"fair loop: {result.ratio(_BARE, _FAIR).median:.2f} times the throughput of the bare loop",
        ),
    )


def _per_page(result: Race, plan: Plan, *names: str) -> str:
    pages = page_count(plan.tickets)
    return ", ".join(f"{name} {result.seconds[name].median / pages * 1e6:.0f} µs a page" for name in names)


def measure_first(plan: Plan) -> Row:
    """Measure the time from a new client to its first ticket, over that of one page on an open connection."""
    with canned_server(plan.tickets) as server, asyncio.Runner() as runner:
        url = f"{server}/{_LATENCY_MS}"
        contestants: dict[str, Contestant] = {
            "one page": lambda: runner.run(_one_page(url)),
            "first ticket": lambda: runner.run(_first_ticket(url)),
        }
        result = race("one page", contestants, plan.rounds)
    first, one = (result.seconds[name].median for name in ("first ticket", "one page"))
    return Row(
        "first",
        "a new client to its first ticket, time",
        "one page on an open connection",
        "<=",
        1.1,
        result.ratio("first ticket", "one page"),
        result,
        notes=(
            f"{first * 1000:.1f} ms over {one * 1000:.1f} ms; {first / _LATENCY:.2f} times the {_LATENCY_MS} ms "
            "that the server waits",
        ),
    )


@contextmanager
def course(url: str, tickets: int) -> Iterator[Callable[[Callable[[str], Awaitable[int]]], Contestant]]:
    """Give what makes a contestant of a client that takes every ticket; it returns how many it took."""
    with asyncio.Runner() as runner:

        async def run(read: Callable[[str], Awaitable[int]]) -> float:
            begun = perf_counter()
            seen = await read(url)
            seconds = perf_counter() - begun
            if seen != tickets:
                raise RuntimeError(f"{seen} of {tickets} tickets were taken")
            return seconds

        yield lambda read: lambda: runner.run(run(read))


def client_of(base_url: str) -> WorkorderClient:
    """Return a client that signs as the cheapest of real servers wants."""
    return WorkorderClient(base_url, signer=make_signer())


async def iter_tickets(base_url: str) -> int:
    """Count the tickets of a whole walk with everything on."""
    seen = 0
    async with client_of(base_url) as client:
        async for ticket in client.iter_tickets(page_size=PAGE_SIZE, concurrency=WORKERS):
            seen += 1 if ticket.id else 0
    return seen


async def _first_ticket(base_url: str) -> float:
    begun = perf_counter()
    async with client_of(base_url) as client:
        await anext(client.iter_tickets(page_size=PAGE_SIZE, concurrency=WORKERS))
        return perf_counter() - begun


async def _one_page(base_url: str) -> float:
    body = orjson.dumps({"page": 1, "page_size": PAGE_SIZE})
    begun = 0.0
    async with aiohttp.ClientSession() as session:
        for _ in ("opens the connection", "finds it open"):
            begun = perf_counter()
            async with session.post(base_url + LIST_TICKETS.path, data=body) as response:
                await response.read()
        return perf_counter() - begun
