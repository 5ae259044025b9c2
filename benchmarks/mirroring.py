"""Row mirror: how many requests a run of a mirror makes where nothing has changed."""

import asyncio
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measuring import Plan, Race, Row, Sample
from benchmarks.pages import PAGE_SIZE
from workorder_async import Sandbox, TicketQuery, TicketStatus
from workorder_async.mirror import MirrorReport, mirror_tickets

_MOST_REQUESTS = 1.05


def measure(plan: Plan) -> Row:
    """Count the requests of a second run, over the pages of the open tickets."""
    tickets = plan.tickets * 5
    with TemporaryDirectory() as folder:
        first, second, pages = asyncio.run(_mirrored(Path(folder, "tickets.db"), tickets))
    return Row(
        "mirror",
        f"requests of a second run over {tickets} tickets",
        f"pages of the open ones, {pages}",
        "<=",
        _MOST_REQUESTS,
        Sample((second.requests / pages,)),
        Race("the run's time", {"the run's time": Sample((second.seconds,))}, 1),
        notes=(
            f"{second.requests} requests in {second.seconds:.1f} s; the first run, which reads all, makes "
            f"{first.requests} in {first.seconds:.1f} s, with the sandbox in the same process",
        ),
    )


async def _mirrored(path: Path, tickets: int) -> tuple[MirrorReport, MirrorReport, int]:
    async with Sandbox(tickets) as sandbox, sandbox.client() as client:
        first = await mirror_tickets(client, path)
        second = await mirror_tickets(client, path)
        counts = [await client.count_tickets(TicketQuery(status=TicketStatus(status))) for status in (1, 2)]
        return first, second, sum(ceil(count / PAGE_SIZE) for count in counts)
