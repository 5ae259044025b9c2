"""Calls that take turns of a limiter."""

import asyncio
from collections.abc import AsyncIterator

from workorder_async.wire.limits import Lane, Limiter

FAR = 1e12


class Track:
    """Calls that take turns, and how many of them are under way."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.started: list[str] = []
        self.under_way = self.most = 0
        self.end = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def call(self, name: str, lane: Lane | None = None) -> "asyncio.Task[None]":
        """Begin a call, which ends at `end`."""
        task = asyncio.create_task(self._run(name, lane))
        self.tasks.append(task)
        return task

    async def _run(self, name: str, lane: Lane | None) -> None:
        await self.limiter.start(lane, FAR)
        try:
            self.started.append(name)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await self.end.wait()
            await asyncio.sleep(0)
            self.under_way -= 1
        finally:
            self.limiter.end(lane)

    async def settle(self) -> None:
        """Let every call go as far as it can."""
        for _ in range(20):
            await asyncio.sleep(0)


async def tracked(limiter: Limiter) -> AsyncIterator[Track]:
    """Give calls of a limiter; afterwards all of them end, and no slot is taken."""
    track = Track(limiter)
    yield track
    track.end.set()
    await asyncio.wait_for(asyncio.gather(*track.tasks, return_exceptions=True), 5)
    stats = track.limiter.stats()
    assert (stats.in_flight, stats.waiting) == (0, 0)
