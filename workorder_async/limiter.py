"""How many requests are under way at once, how often one may start, and the pause that all share after a 429."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Limiter:
    """Slots in the order of asking, an optional rate, and a shared pause; times are of the event loop's clock."""

    def __init__(self, slots: int, rate: float | None = None) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._interval = 1 / rate if rate else 0.0
        self._next_start = 0.0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot for one attempt; waits for a free one, for the rate's next turn and for the end of a pause."""
        async with self._slots:
            loop = asyncio.get_running_loop()
            while (wait := self._next_start - loop.time()) > 0:  # noqa: ASYNC110 - a pause may grow meanwhile
                await asyncio.sleep(wait)
            if self._interval:
                self._next_start = loop.time() + self._interval
            yield

    def pause(self, seconds: float) -> None:
        """Let no request start for this long."""
        self._next_start = max(self._next_start, asyncio.get_running_loop().time() + seconds)
