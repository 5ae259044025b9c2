"""Drives a walk's rules over the wire: keeps requests in flight, gives pages out in order, lets go of all at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

from workorder_async.codec import decode_rows
from workorder_async.envelope import Answer
from workorder_async.errors import ConfigError
from workorder_async.models import PageRequest, TicketSummary
from workorder_async.paging import WalkedPage
from workorder_async.report import WalkReport
from workorder_async.windows import Read, WindowWalk


class Walk(AsyncIterator[list[TicketSummary]]):
    """A walk under way: an async context manager that iterates over pages of tickets, in order.

    Requests go on while a page is being used, up to the walk's window. Leaving the block cancels what is in flight and
    waits for it to end.
    """

    def __init__(
        self, pages: WindowWalk, read: Callable[[PageRequest], Awaitable[Answer]], now: Callable[[], float]
    ) -> None:
        self._pages = pages
        self._read = read
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()
        self._failure: BaseException | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> list[TicketSummary]:
        page = await self.next_page()
        return decode_rows(page.rows, page.answer)

    async def next_page(self) -> WalkedPage:
        """Return the next page with its rows as they came, not decoded; raises `StopAsyncIteration` at the end."""
        while True:
            self._arrived.clear()
            page = self._pages.take()
            self._send()
            if page is not None:
                return page
            if self._failure is not None:
                await self.aclose()
                raise self._failure
            if self._pages.finished:
                raise StopAsyncIteration
            if self._closed:
                raise ConfigError("this walk was closed before its end; begin another one")
            await self._arrived.wait()

    @property
    def report(self) -> WalkReport:
        """What the walk has done so far, and whether its result is exact."""
        return self._pages.report

    @property
    def in_flight(self) -> int:
        """How many of its requests are under way."""
        return len(self._tasks)

    def _send(self) -> None:
        while not self._closed and self._failure is None and (read := self._pages.next_read()) is not None:
            task = asyncio.create_task(self._fetch(read))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _fetch(self, read: Read) -> None:
        try:
            self._pages.receive(read, await self._read(read.request), self._now())
        except Exception as error:  # noqa: BLE001 - handed to whoever takes the next page
            self._failure = error
        # The consumer comes before new requests: with the first page it would else wait for them to connect.
        self._arrived.set()
        self._send()

    async def aclose(self) -> None:
        """Cancel what is in flight and wait until it has ended."""
        self._closed = True
        self._arrived.set()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
