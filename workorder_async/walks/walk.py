"""Drives a walk's rules over the wire: keeps requests in flight, gives pages out in order, lets go of all at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    DecodeError,
    RateLimitedError,
    ResponseError,
    WalkDriftError,
)
from workorder_async.models import PageRequest, TicketSummary
from workorder_async.protocol.codec import decode_rows
from workorder_async.protocol.envelope import Answer
from workorder_async.walk_report import SkippedRow, WalkReport
from workorder_async.walks.handing_out import WalkedPage
from workorder_async.walks.parts import Read
from workorder_async.walks.window_walk import WindowWalk


class Walk(AsyncIterator[list[TicketSummary]]):
    """A walk under way: an async context manager that iterates over pages of tickets, in order.

    Requests go on while a page is being used, up to the walk's window. Leaving the block cancels what is in flight and
    waits for it to end.
    """

    def __init__(
        self,
        pages: WindowWalk,
        read: Callable[[PageRequest], Awaitable[Answer]],
        now: Callable[[], tuple[float, float]],
    ) -> None:
        self._pages = pages
        self._read = read
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()
        # One refused page at a time is looked into: what it tells holds for the others.
        self._looking = asyncio.Lock()
        self._failure: BaseException | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> list[TicketSummary]:
        while not (page := await self.next_page()).rows:
            pass  # a window ends
        return self.decode(page)

    def decode(self, page: WalkedPage) -> list[TicketSummary]:
        """Turn a page's rows into models.

        Raises `DecodeError`; with `on_bad_row="skip"` leaves out what does not fit, and notes it in the report.
        """
        if not self._pages.skips_bad_rows:
            return decode_rows(page.rows, page.answer)
        skipped: list[SkippedRow] = []
        tickets = decode_rows(page.rows, page.answer, skipped)
        if page.account is not None:
            page.account.note_undecodable(skipped)
        return tickets

    async def next_page(self) -> WalkedPage:
        """Return the next page with its rows as they came, not decoded; raises `StopAsyncIteration` at the end.

        An answer of very many rows comes as several pages, between which the loop turns. In a walk over windows each
        one ends with a page without rows, whose `ends_window` is set; `report_of` tells how it went.
        """
        while True:
            self._arrived.clear()
            page = self._take()
            self._send()
            if page is not None:
                if page.is_more:
                    await asyncio.sleep(0)
                return page
            if self._failure is not None:
                await self.aclose()
                if isinstance(self._failure, WalkDriftError):
                    self._failure.report = self.report
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

    def report_of(self, page: WalkedPage) -> WalkReport:
        """Return what the walk has done so far in the window of a page."""
        return self.report if page.account is None else self._pages.report_of(page.account)

    @property
    def in_flight(self) -> int:
        """How many of its requests are under way."""
        return len(self._tasks)

    def _send(self) -> None:
        while not self._closed and self._failure is None and (read := self._pages.next_read()) is not None:
            task = asyncio.create_task(self._fetch(read))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _take(self) -> WalkedPage | None:
        try:
            return self._pages.take()
        except WalkDriftError as error:
            error.report = self.report
            raise

    async def _fetch(self, read: Read) -> None:
        try:
            try:
                answer: Answer | None = await self._read(read.request)
            except (ApiError, ResponseError) as error:
                answer = await self._look_into(error, read)
            if answer is not None and self._failure is None:
                self._pages.receive(read, answer, *self._now())
        except Exception as error:  # noqa: BLE001 - handed to whoever takes the next page
            # What failed first ended the walk; what comes later may only follow from that.
            self._failure = self._failure or error
        # The consumer comes before new requests: with the first page it would else wait for them to connect.
        self._arrived.set()
        self._send()

    async def _look_into(self, error: ApiError | ResponseError, read: Read) -> Answer | None:
        """Find out whether a page was refused because it is deep: page 1 is served, and the page is refused again.

        Returns its answer where it is served after all, None where the walk goes on without it; else raises.
        """
        first = self._pages.first_page_of(read) if _may_be_about_depth(error) else None
        if first is None:
            raise error
        async with self._looking:
            if not self._pages.is_wanted(read):
                self._pages.drop(read)
                return None
            if self._failure is not None:
                raise error
            self._pages.extra_requests += 1
            await self._read(first)
            self._pages.extra_requests += 1
            try:
                return await self._read(read.request)
            except (ApiError, ResponseError) as again:
                if not _may_be_about_depth(again) or not self._pages.refuse(read):
                    raise
                return None

    async def aclose(self) -> None:
        """Cancel what is in flight and wait until it has ended."""
        self._closed = True
        self._arrived.set()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Those that had ended already are let go of a turn of the loop later.
        self._tasks.difference_update(tasks)


def _may_be_about_depth(error: ApiError | ResponseError) -> bool:
    """Tell whether a refusal may be about the page that was asked for: not about who asks, how often, or the data."""
    if isinstance(error, AuthenticationError | RateLimitedError | DecodeError):
        return False
    return isinstance(error, ApiError) or error.status >= 400
