"""Row million: what a long walk adds to the peak memory of the process that makes it; `__main__` is that process."""

import asyncio
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson

from benchmarks.child import ROOT
from benchmarks.measuring import HEAVY_ROUNDS, HEAVY_TIMES, Plan, Race, Row, Sample
from benchmarks.pages import FIRST_CREATED, FIRST_ID, SECONDS_APART
from benchmarks.server import canned_server
from benchmarks.walking import client_of
from workorder_async import TicketQuery

_SHORT = 5000


def measure(plan: Plan) -> Row:
    """Measure the peak after a walk of the newest 5,000 tickets and after one of all, in a new process each time."""
    tickets = plan.tickets * HEAVY_TIMES
    with canned_server(tickets, "spread") as server:
        runs = [_run(f"{server}/0", tickets) for _ in range(min(HEAVY_ROUNDS, plan.rounds))]
    seconds = Sample(tuple(run["seconds"] for run in runs))
    return Row(
        "million",
        f"iter_tickets, {tickets} tickets, peak MiB",
        f"the peak after {_SHORT}, which is taken off",
        "<=",
        30.0,
        Sample(tuple(run["long"] - run["short"] for run in runs)),
        Race("the walk's time", {"the walk's time": seconds}, 1),
        unit="MiB",
        notes=(
            f"peak after {_SHORT} tickets: {runs[0]['short']:.0f} MiB; {tickets} tickets in {seconds.median:.1f} s",
        ),
    )


def _run(url: str, tickets: int) -> Any:
    command = [sys.executable, "-m", "benchmarks.memory", url, str(tickets)]
    return orjson.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


async def _walk_twice(url: str, tickets: int) -> dict[str, float]:
    short = min(_SHORT, tickets)
    await _walk(url, TicketQuery(created_start=FIRST_CREATED + (tickets - short) * SECONDS_APART), short, tickets)
    after_short = peak()
    begun = perf_counter()
    await _walk(url, TicketQuery(), tickets, tickets)
    return {"short": after_short, "long": peak(), "seconds": perf_counter() - begun}


async def _walk(url: str, query: TicketQuery, count: int, total: int) -> None:
    """Walk the newest `count` of `total` tickets, keep none, and see by their sum that their ids are right."""
    seen = ids = 0
    async with client_of(url) as client:
        async for ticket in client.iter_tickets(query):
            seen += 1
            ids += ticket.id
    if (seen, ids) != (count, sum(range(FIRST_ID + total - count, FIRST_ID + total))):
        raise RuntimeError(f"{seen} of {count} tickets came, or not the right ones")


def peak() -> float:
    """Return the peak of this process's resident memory, in MiB; getrusage would count its parent's too."""
    status = Path("/proc/self/status")
    if not status.exists():
        raise RuntimeError("peak memory is read from /proc/self/status, which this system does not have")
    (kilobytes,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) / 1024


if __name__ == "__main__":
    print(orjson.dumps(asyncio.run(_walk_twice(sys.argv[1], int(sys.argv[2])))).decode())
