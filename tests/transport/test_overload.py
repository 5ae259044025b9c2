"""64 workers against a server that serves so many requests a second: what it allows is used, and people are served."""

import asyncio
import time
from contextlib import suppress

import pytest

from workorder_async import CommentTicket, RateLimitedError, WorkorderClient
from workorder_async.sandbox import Errno, Sandbox
from workorder_async.transport.limits import Lane

LATENCY = 0.02


async def overload(sandbox: Sandbox, client: WorkorderClient, seconds: float) -> list[float]:
    """Let 64 workers comment for so long; return how long a person had to wait for a ticket, each time."""
    lane, waits = Lane(64), list[float]()
    ends = time.monotonic() + seconds

    async def work(worker: int) -> None:
        number = 0
        while time.monotonic() < ends:
            number += 1
            # A call whose deadline ends before a pause says so, and changed nothing.
            with suppress(RateLimitedError):
                await client.change(CommentTicket(id=1001, detail=f"{worker} {number}"), lane=lane)

    async def ask() -> None:
        while time.monotonic() < ends:
            started = time.perf_counter()
            await client.get_ticket(1002)
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask())
        for worker in range(64):
            group.create_task(work(worker))
    return waits


@pytest.mark.parametrize(
    ("seconds", "served", "refused"),
    [(7, 0.75, 0.12), pytest.param(20, 0.9, 0.05, marks=[pytest.mark.torture, pytest.mark.timeout(120)])],
)
@pytest.mark.parametrize("told", ["nothing", "Retry-After", "an errno"])
async def test_a_true_limit(told: str, seconds: float, served: float, refused: float) -> None:
    """Of 100 requests a second nearly all are used, few are turned away, and a person hardly waits."""
    said = {"nothing": {}, "Retry-After": {"retry_after": 1}, "an errno": {"rate_errno": int(Errno.RATE)}}[told]
    async with Sandbox(50, rate=100, latency=LATENCY, **said) as sandbox:  # type: ignore[arg-type]
        async with sandbox.client(max_in_flight=64) as client:
            waits = await overload(sandbox, client, seconds)
            assert client.stats().in_flight == 0
        asked, turned_away = sandbox.requests.total(), sandbox.refused.total()
        within = [at for at in sandbox.granted if at <= sandbox.granted[0] + seconds]
    assert len(within) >= served * 100 * seconds
    assert turned_away <= refused * asked
    waits.sort()
    # Half a second more on a busy machine, and where the server asks for a pause of one.
    assert waits[int(len(waits) * 0.95) - 1] <= 2 * LATENCY + (1.2 if told == "Retry-After" else 0.5)
