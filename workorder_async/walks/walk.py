"""Drive a walk's rules over the wire: keep requests in flight, give pages out in order, cancel them all at the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, Self, cast

from attrs import evolve

from workorder_async.document import TicketPage, TicketQuery, TicketSummary
from workorder_async.document.envelope import Answer
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    DecodeError,
    NoAnswerError,
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

# For so many requests in flight, one further read waits for a slot.
_SLOTS_OF_A_SPARE_READ: Final = 8
# Filters whose fields no row of the list shows, and numbers that no ticket has there: a server may cut the first one.
_HIDDEN: Final = ("creator_id", "product_group_id")
_NOBODYS: Final = (2**63 - 1, 2**31 - 1)


class Walk(AsyncIterator[list[TicketSummary]]):
    """A walk under way: an async context manager that iterates over pages of tickets, in order.

    Requests go on while the caller uses a page, until enough rows wait for their turn. Leaving the block cancels the
    requests in flight and waits for their end.
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
        # A few reads more wait for a slot: when a request ends, the next one is sent before the answer is parsed.
        spare = max(1, options["concurrency"] // _SLOTS_OF_A_SPARE_READ)
        self._most_reads = options["concurrency"] + spare
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
            if page.rows:  # a page without rows only tells of a restart
                return cast("list[TicketSummary]", page.rows)
        raise StopAsyncIteration

    def raw(self) -> Self:
        """Let `next_page` give rows as they came, not decoded. Call it before the first page."""
        self._rules.reader.raw = True
        return self

    async def next_page(self) -> WalkedPage | None:
        """Return the next page; None at the end.

        An answer of very many rows comes as several pages; between two pages other tasks may run. A page without rows
        tells of a restart: the list or its filter is not as it seemed, and the list is read again from its beginning.
        """
        # Other tasks run before a page is taken, not after: so a cancellation here loses no page.
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
        return [*self._rules.state.all_flaws, *self._rules.reader.flaws]

    @property
    def is_restarted(self) -> bool:
        """Whether the walk restarted (see `next_page`): then do not rely on the `rest` of earlier pages."""
        return self._rules.is_restarted

    @property
    def in_flight(self) -> int:
        """How many requests of this walk are in flight, or wait for a slot."""
        return len(self._tasks)

    def _send(self) -> None:
        """Begin reads until there are as many as there may be, or the rules want none."""
        while len(self._tasks) < self._most_reads and not self._closed and self._failure is None:
            read = self._rules.next_read()
            if read is None:
                return
            task = asyncio.create_task(self._work(read))
            self._tasks.add(task)
            task.add_done_callback(self._go_on)

    def _go_on(self, done: asyncio.Task[None]) -> None:
        self._tasks.discard(done)
        if not self._closed and (done.cancelled() or done.exception() is not None):
            # Ctrl-C has ended this task alone, in a loop that goes on, as in IPython; or others have cancelled it.
            self._failure = self._failure or ConfigError("this walk was interrupted", mend="begin another one")
        self._arrived.set()
        self._send()

    async def _work(self, read: Read) -> None:
        """Make a request, and take in its answer."""
        try:
            self._rules.receive(read, await self._page(read))
        except Exception as error:  # noqa: BLE001 - raised where the next page is taken
            # The first failure ends the walk. Later ones may be its consequences: they are dropped.
            if not read.job.is_left:
                self._failure = self._failure or error

    async def _page(self, read: Read) -> Page | None:
        """Send a read and return its page; None if a later page, or an ask without `for_rows`, was refused."""
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
        # A large answer is read in a thread, so that the event loop does not stand still.
        return await asyncio.to_thread(reader.read, ask, answer) if answer.large else reader.read(ask, answer)

    async def aclose(self) -> None:
        """Cancel the requests in flight and wait until they have ended."""
        self._closed = True
        self._arrived.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def hidden_filters(query: TicketQuery) -> set[str]:
    """Return the filters of a query whose fields no row of the list shows."""
    return {name for name in _HIDDEN if getattr(query, name)}


async def check_filters(
    read: Callable[[TicketQuery], Awaitable[TicketPage]], query: TicketQuery, proofs: Proofs
) -> None:
    """Raise `ResponseError` if the server ignores a filter that no row shows: it shows tickets that nobody can have.

    A question that is refused, or gets no answer, proves nothing, and is not asked again. One that was turned away is
    an error, as the walk's own reads would be.
    """
    for name in hidden_filters(query) - proofs.kept:
        rows: Sequence[object] = ()
        for number in _NOBODYS:
            by_line, by_creator = TicketQuery(product_group_id=(number,)), TicketQuery(creator_id=number)
            try:
                rows = (await read(by_creator if name == "creator_id" else by_line)).tickets
            except RateLimitedError:
                raise
            except (ApiError, NoAnswerError, ResponseError):
                rows = ()
            if not rows:
                break
        if rows:
            said = f"the server does not keep to the filter {name}: with a value that no ticket has it shows tickets"
            raise ResponseError(f"{said}; leave it out, and choose tickets by what they show", status=200)
        proofs.kept.add(name)


async def undated_in(count: Callable[[TicketQuery], Awaitable[int]], query: TicketQuery) -> str:
    """Return a doubt if a list counts tickets without a created time, or refuses to count; else "".

    A walk of a whole list finds such tickets by itself; a walk that goes on with the rest of a list cannot. The dated
    tickets are counted before and after all tickets: if the list moves evenly, their mean and the total move alike.
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
    """Tell whether a refusal may be about the page or the range asked for, not about the signature, rate or data."""
    if isinstance(error, AuthenticationError | RateLimitedError | DecodeError):
        return False
    return isinstance(error, ApiError) or error.status >= 400 or error.errno != 0
