"""One thread for all work of an export on the disk: one piece at a time, and the event loop goes on meanwhile."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from workorder_async.errors import ExportError

T = TypeVar("T")


class StoppedError(Exception):
    """The work was given up: nobody waits for it."""


class Disk:
    """A thread, for `async with`. On leaving, work under way is waited for; long work asks `check` whether to stop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "workorder-export")
        self._busy: asyncio.Future[Any] | None = None
        self._stopped = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.at_last(self._thread.shutdown)

    async def at_last(self, work: Callable[[], object]) -> None:
        """Do this, which takes no time, once the work under way has ended, however often the task is cancelled."""
        cancelled: asyncio.CancelledError | None = None
        busy, self._busy = self._busy, None
        while busy is not None and not busy.done():
            self._stopped = True
            try:
                await asyncio.wait({busy})
            except asyncio.CancelledError as error:
                cancelled = error
        if busy is not None:
            busy.exception()  # something else ended the export before
        work()
        if cancelled is not None:
            raise cancelled

    def check(self) -> None:
        """Raise `StoppedError` where the work was given up; for long work in the thread."""
        if self._stopped:
            raise StoppedError

    async def submit(self, work: Callable[[], object]) -> None:
        """Begin this once the work before it has ended; raises what that one raised."""
        await self.settle()
        self._busy = asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def settle(self) -> object:
        """Wait for the work under way, and return what it returned. Raises `ExportError` in place of `OSError`."""
        if self._busy is None:
            return None
        await asyncio.wait({self._busy})
        busy, self._busy = self._busy, None
        try:
            return busy.result()
        except OSError as error:
            raise told(error) from error

    async def run(self, work: Callable[[], T], while_busy: Callable[[], None] | None = None) -> T:
        """Do this, and return what it returns; `while_busy` is called a few times a second meanwhile."""
        await self.submit(work)
        while while_busy is not None and self._busy is not None and not self._busy.done():
            await asyncio.wait({self._busy}, timeout=0.2)
            while_busy()
        result: T = await self.settle()  # type: ignore[assignment]  # of this very work
        return result


def told(error: OSError) -> ExportError:
    """Return what a user is told of an error of the disk."""
    place = f" {str(error.filename)!r}" if error.filename else ""
    return ExportError(
        f"cannot write{place}: {error.strerror or error}; what is on disk stays, and the same call goes on from there"
    )
