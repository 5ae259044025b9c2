"""64 workers against a server that serves so many requests a second: what it allows is used, and people are served."""

import asyncio
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from tests.support.virtual_loop import running_loop, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import CommentTicket, NotFoundError, RateLimitedError, WorkorderClient
from workorder_async.sandbox import Errno, Fault
from workorder_async.wire import limits
from workorder_async.wire.limits import Lane

LATENCY = 0.02
RATE = 100
HABITS = {"nothing": {}, "Retry-After": {"retry_after": 1}, "an errno": {"rate_errno": int(Errno.RATE)}}


async def overload(client: WorkorderClient, seconds: float) -> list[float]:
    """Let 64 workers comment for so long; return how long a person had to wait for a ticket, each time."""
    lane, waits, loop = Lane(64), list[float](), running_loop()
    ends = loop.time() + seconds

    async def work(worker: int) -> None:
        number = 0
        while loop.time() < ends:
            number += 1
            # A call whose deadline ends before a pause says so, and changed nothing.
            with suppress(RateLimitedError):
                await client.change(CommentTicket(id=1003 + number % 40, detail=f"{worker} {number}"), lane=lane)

    async def ask() -> None:
        while loop.time() < ends:
            started = loop.time()
            await client.get_ticket(1002)
            waits.append(loop.time() - started)
            await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask())
        for worker in range(64):
            group.create_task(work(worker))
    return waits


def long(told: str, served: float) -> Any:
    """Make the row of a minute, in which little is lost to finding out."""
    return pytest.param(told, 60, served, 0.006, marks=pytest.mark.torture)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "seconds", "served", "refused"),
    [
        ("nothing", 7, 0.95, 0.04),
        ("Retry-After", 7, 0.85, 0.04),
        ("an errno", 7, 0.95, 0.04),
        long("nothing", 0.965),
        long("Retry-After", 0.935),
        long("an errno", 0.965),
    ],
)
@virtual_time
async def test_a_true_limit(
    monkeypatch: pytest.MonkeyPatch, told: str, seconds: float, served: float, refused: float
) -> None:
    """Of 100 requests a second nearly all are used, few are turned away, and a person hardly waits."""
    monkeypatch.setattr(limits, "Random", lambda: Random(7))
    options: dict[str, Any] = {"rate": RATE, "latency": LATENCY, **HABITS[told]}
    async with virtual_sandbox(50, client={"max_in_flight": 64}, **options) as (sandbox, client):
        waits = await overload(client, seconds)
        assert client.stats().in_flight == 0
        asked, turned_away = sandbox.requests.total(), sandbox.refused.total()
        within = [at for at in sandbox.granted if at <= sandbox.granted[0] + seconds]
    assert len(within) >= served * RATE * seconds
    assert turned_away <= refused * asked
    waits.sort()
    # The answer, and the next turn of the pace before it; a pause now and then.
    assert waits[int(len(waits) * 0.95) - 1] <= LATENCY + 1.1 / RATE
    assert waits[-1] <= 1.1


@pytest.mark.parametrize("id", [1001, 7])
@virtual_time
async def test_what_is_answered_is_served(id: int) -> None:
    """After a throttled answer, others show that the server keeps up: those that say no, too."""
    faults = [Fault("429", times=1)]
    async with virtual_sandbox(5, client={"max_in_flight": 10}, faults=faults) as (_, client):
        await client.ping()
        assert client.stats().in_flight_limit == 7
        for _ in range(40):
            with suppress(NotFoundError):
                await client.get_ticket(id)
        assert client.stats().in_flight_limit == 10
