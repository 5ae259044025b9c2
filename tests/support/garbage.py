"""Garbage that is collected in the thread of an event loop."""

import asyncio
import gc


def collect_in(loop: asyncio.AbstractEventLoop) -> None:
    """Collect garbage in a loop of another thread, again and again until the loop ends.

    While another thread collects, a collection does nothing. One is asked for when the one before has ended, so that
    slow ones do not hold up what they have let go.
    """

    def collect() -> None:
        gc.collect()
        loop.call_later(0.1, collect)

    loop.call_soon_threadsafe(collect)
