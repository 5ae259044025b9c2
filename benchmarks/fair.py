"""The fair floor of a walk: a loop by hand that does the same work, and nothing against what can go wrong.

It signs each request, keeps 8 in flight, opens the envelope, makes the same models, and takes the pages in order. It
knows neither deadlines, retries nor pauses, and does not notice where tickets move while it reads.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from itertools import islice

import aiohttp
import orjson

from benchmarks.others import WORKERS
from benchmarks.pages import PAGE_SIZE, page_count
from workorder_async import SchemeSigner, SigningInput, TicketPage, TicketSummary
from workorder_async.document import codec
from workorder_async.document.endpoints import LIST_TICKETS
from workorder_async.document.envelope import open_envelope
from workorder_async.errors import DOCUMENTED_ERRNOS


def make_signer() -> SchemeSigner:
    """Return a signer that signs as the cheapest of real servers wants."""
    return SchemeSigner("bench", "not a secret", "hmac-sha256:{app_id}{timestamp}{body}")


async def fair_loop(base_url: str) -> int:
    """Read all pages, signed, in order and into models; returns how many tickets there were."""
    url = base_url + LIST_TICKETS.path
    signer = make_signer()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def read(number: int) -> tuple[Sequence[TicketSummary], int]:
            body = orjson.dumps({"page": number, "page_size": PAGE_SIZE})
            now = time.time_ns() // 1_000_000
            signed = signer.sign(SigningInput("POST", LIST_TICKETS.path, body=(body,), timestamp_ms=now))
            headers = {"Content-Type": "application/json", **signed}
            async with session.post(url, data=body, headers=headers) as response:
                answer = open_envelope(response.status, await response.read(), DOCUMENTED_ERRNOS)
            page = codec.decode(TicketPage, answer)
            return page.tickets, page.pagination.total

        return await in_order(read)


async def in_order(read: Callable[[int], Coroutine[None, None, tuple[Sequence[TicketSummary], int]]]) -> int:
    """Read the first page, then the others with 8 in flight, and touch their tickets in the order of the list.

    `read(page)` returns the page's tickets and the total.
    """
    tickets, total = await read(1)
    seen = sum(1 for ticket in tickets if ticket.id)
    numbers = iter(range(2, page_count(total) + 1))
    async with asyncio.TaskGroup() as group:
        under_way = deque(group.create_task(read(number)) for number in islice(numbers, WORKERS))
        while under_way:
            tickets, _ = await under_way.popleft()
            under_way.extend(group.create_task(read(number)) for number in islice(numbers, 1))
            seen += sum(1 for ticket in tickets if ticket.id)
    return seen
