"""How many requests are under way at once, how often one may start, and the pause that all share after a 429."""

import asyncio
from types import TracebackType
from typing import TypeAlias

Lane: TypeAlias = asyncio.Semaphore
"""A bound of its own for calls that belong together, such as a walk's, below the bound of all; in the order of asking,
so that a walk with much to read keeps others waiting for no more than its lane's share."""


class Limiter:
    """Slots in the order of asking, an optional rate, and a shared pause; times are of the event loop's clock."""

    def __init__(self, slots: int, rate: float | None = None) -> None:
        self.slots = asyncio.Semaphore(slots)
        self._interval = 1 / rate if rate else 0.0
        self._next_start = 0.0

    async def wait_for_turn(self) -> None:
        """Wait for the rate's next turn and for the end of a pause."""
        loop = asyncio.get_running_loop()
        while (wait := self._next_start - loop.time()) > 0:  # noqa: ASYNC110 - a pause may grow meanwhile
            await asyncio.sleep(wait)
        if self._interval:
            self._next_start = loop.time() + self._interval

    def pause(self, seconds: float) -> None:
        """Let no request start for this long."""
        self._next_start = max(self._next_start, asyncio.get_running_loop().time() + seconds)


class Slot:
    """The right to one attempt, held inside `async with`: a place in the lane, then a slot, then the turn to start."""

    def __init__(self, limiter: Limiter, lane: Lane | None) -> None:
        self._limiter = limiter
        self._held = [lane, limiter.slots] if lane is not None else [limiter.slots]

    async def __aenter__(self) -> None:
        taken: list[asyncio.Semaphore] = []
        try:
            for semaphore in self._held:
                await semaphore.acquire()
                taken.append(semaphore)
            await self._limiter.wait_for_turn()
        except BaseException:
            _release(taken)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _release(self._held)


def _release(semaphores: list[asyncio.Semaphore]) -> None:
    for semaphore in reversed(semaphores):
        semaphore.release()
