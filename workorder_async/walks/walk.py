"""Drives a walk's rules over the wire: keeps requests in flight, gives pages out in order, lets go of all at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Self, cast

from attrs import evolve

from workorder_async.document import TicketQuery, TicketSummary
from workorder_async.document.envelope import Answer
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    DecodeError,
    RateLimitedError,
    ResponseError,
)
from workorder_async.walk_report import WalkReport
from workorder_async.walks.ends import DATED, ROUNDS
from workorder_async.walks.jobs import Read, WalkedPage
from workorder_async.walks.options import WalkOptions
from workorder_async.walks.pages import Ask, Page, Proofs
from workorder_async.walks.rules import WalkRules
from workorder_async.walks.windows import Window

# One read more for so many requests in flight.
_READS_AT_HAND: Final = 8


class Walk(AsyncIterator[list[TicketSummary]]):
    """A walk under way: an async context manager that iterates over pages of tickets, in order.

    Requests go on while a page is being used, until enough pages wait. Leaving the block cancels what is in flight and
    waits for it to end.
    """

    def __init__(
        self,
        window: Window,
        options: WalkOptions,
        read: Callable[[Ask], Awaitable[Answer]],
        proofs: Proofs | None = None,
    ) -> None:
        self._rules = WalkRules(window, options, proofs)
        self._read = read
        # A few reads more wait for a slot, so that the next request is written before an answer is parsed.
        self._most_reads = options["concurrency"] + max(1, options["concurrency"] // _READS_AT_HAND)
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()
        self._failure: Exception | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def __anext__(self) -> list[TicketSummary]:
        while page := await self.next_page():
            if page.rows:  # without them the walk begins anew
                return cast("list[TicketSummary]", page.rows)
        raise StopAsyncIteration

    def raw(self) -> Self:
        """Let `next_page` give rows as they come, not decoded; to be called before the first page."""
        self._rules.reader.raw = True
        return self

    async def next_page(self) -> WalkedPage | None:
        """Return the next page; None at the end.

        An answer of very many rows comes as several pages; between pages the loop turns. A page without rows says that
        the list proved to be of another kind than it seemed, and is read again from its beginning.
        """
        # Before a page is taken: a cancellation here loses no page.
        await asyncio.sleep(0)
        while True:
            self._arrived.clear()
            page = self._rules.take()
            self._send()
            if page is not None:
                return page
            if self._failure is not None:
                await self.aclose()
                raise self._failure
            if self._rules.finished:
                await self.aclose()
                return None
            if self._closed:
                raise ConfigError("this walk was closed before its end; begin another one")
            await self._arrived.wait()

    @property
    def report(self) -> WalkReport:
        """The counts of the walk so far, and whether its result is exact."""
        return self._rules.report

    @property
    def flaws(self) -> list[str]:
        """The reasons why the result so far may not be exact, beside skipped rows."""
        return self._rules.flaws

    @property
    def is_restarted(self) -> bool:
        """Whether the list was read again from its beginning: then do not rely on the `rest` of earlier pages."""
        return self._rules.is_restarted

    @property
    def in_flight(self) -> int:
        """How many of its requests are under way, or wait for a slot."""
        return len(self._tasks)

    def _send(self) -> None:
        """Begin as many requests as may be under way."""
        while len(self._tasks) < self._most_reads and not self._closed and self._failure is None:
            read = self._rules.next_read()
            if read is None:
                return
            task = asyncio.create_task(self._work(read))
            self._tasks.add(task)
            task.add_done_callback(self._go_on)

    def _go_on(self, done: asyncio.Task[None]) -> None:
        self._tasks.discard(done)
        self._arrived.set()
        if not done.cancelled():
            self._send()

    async def _work(self, read: Read) -> None:
        """Make a request, and take in its answer."""
        try:
            self._rules.receive(read, await self._page(read))
        except Exception as error:  # noqa: BLE001 - raised where the next page is taken
            # The first failure ended the walk; later ones may only follow from it.
            if not read.job.is_left:
                self._failure = self._failure or error

    async def _page(self, read: Read) -> Page | None:
        """Read an answer, a large one in a thread; None where the server refused a later page, or a mere question."""
        reader, ask = self._rules.reader, read.ask
        try:
            answer = await self._read(ask)
        except (ApiError, ResponseError) as error:
            if (ask.page == 1 and ask.for_rows) or not _may_be_about_the_question(error):
                raise
            if read.before is not None and read.times > 1 and isinstance(error, ResponseError):
                # A refusal in the platform's own words says that there is no such page; that of a gateway does not.
                self._rules.state.flaw(f"asked for the page behind the first one, the server failed: {error}")
            return None
        return await asyncio.to_thread(reader.read, ask, answer) if answer.large else reader.read(ask, answer)

    async def aclose(self) -> None:
        """Cancel the requests in flight and wait until they have ended."""
        self._closed = True
        self._arrived.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def undated_in(count: Callable[[TicketQuery], Awaitable[int]], query: TicketQuery) -> str:
    """Say that the list counts tickets that no range of created time shows; "" if it does not.

    A walk of the whole list finds them by itself; one of a rest cannot. Tickets that come or go evenly meanwhile add as
    much to the whole as to the mean of what is dated.
    """
    if (query.created_start, query.created_end) != (None, None):
        return ""
    dated, doubt = evolve(query, created_start=DATED[0]), ""
    for _ in range(ROUNDS):
        try:
            first, whole, last = [await count(one) for one in (dated, query, dated)]
        except (ApiError, ResponseError) as error:
            if not _may_be_about_the_question(error):
                raise
            return "the list does not count the tickets that have a created time"
        if 2 * whole <= first + last:
            return ""
        doubt = f"the list counts {whole} tickets, and {min(first, last)} by their created times"
    return doubt


def _may_be_about_the_question(error: ApiError | ResponseError) -> bool:
    """Tell whether a refusal may be about the page or range: not about who asks, how often, or the data."""
    if isinstance(error, AuthenticationError | RateLimitedError | DecodeError):
        return False
    return isinstance(error, ApiError) or error.status >= 400
