"""`watch`: what happens to tickets, as events, each at least once; over a mirror, whose changes are the events."""

import asyncio
import logging
from collections.abc import AsyncIterator
from os import PathLike
from typing import Final, Self, Unpack

from attrs import define, field

from workorder_async.arguments import above_zero, path
from workorder_async.client import WorkorderClient
from workorder_async.document import TicketQuery
from workorder_async.errors import AuthenticationError, ConfigError, ExportError, WorkorderError
from workorder_async.mirror.database import Disk, MirrorDatabase
from workorder_async.mirror.events import Event
from workorder_async.mirror.mirror import EVERYTHING, Run
from workorder_async.mirror.options import MirrorOptions, checked

#: Every so many rounds all is read that may have changed.
_FULL_EVERY: Final = 10
#: No look for so many rounds is a gap.
_GAP: Final = 3

logger: logging.Logger = logging.getLogger("workorder_async.mirror")


@define(eq=False, slots=False, repr=False)
class Watch(AsyncIterator[Event]):
    """Events of tickets, for `async with` and `async for`; made by `watch`."""

    _client: WorkorderClient
    _query: TicketQuery
    _disk: Disk
    _every: float
    _options: MirrorOptions
    failure: WorkorderError | None = field(default=None, init=False)
    """The error of the latest round; None if it ended well."""

    def __attrs_post_init__(self) -> None:
        self._turn = asyncio.Lock()
        self._begin()

    def _begin(self) -> None:
        """Know nothing of what was told before."""
        # The numbers of events that were told and are not done, in their order.
        self._undone: dict[int, None] = {}
        self._read = -1  # the last event that was told; -1 before the bookmark was read
        self._rounds = 0
        self._next = -1.0

    async def __aenter__(self) -> Self:
        await self._disk.__aenter__()
        self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._disk.__aexit__()

    async def __anext__(self) -> Event:
        async with self._turn:  # where several tasks share a watch, each event is one's
            if self._read < 0:
                self._read = await self._disk.do(MirrorDatabase.bookmark)
            while (event := await self._disk.do(MirrorDatabase.event_after, self._read)) is None:
                await self._round()
            self._read = event.number
            self._undone[event.number] = None
            return event

    async def done(self, event: Event) -> None:
        """Note that an event is dealt with: it is not told again, once those before it are done as well."""
        if event.number in self._undone:
            del self._undone[event.number]
            await self._disk.do(MirrorDatabase.keep, "bookmark", next(iter(self._undone), self._read + 1) - 1)

    async def _round(self) -> None:
        """Wait for the time of the next round, and look."""
        time = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._next - time()))
        self._next = time() + self._every
        run = Run(self._client, self._query, self._disk, self._options)
        is_first, quiet = not self._rounds, bool(self._rounds % _FULL_EVERY)
        try:
            if is_first:
                await run.learn_time()
            await self._disk.do(MirrorDatabase.note_gap, run.now(), 0.0 if is_first else _GAP * self._every)
            await run.run(quiet=quiet)
        except (ConfigError, AuthenticationError, ExportError):
            raise
        except WorkorderError as error:
            self.failure = error
            logger.warning("a look at the tickets failed, the next one is in %.0f s: %s", self._every, error)
        else:
            self.failure = None
            self._rounds += 1


def watch(
    client: WorkorderClient,
    query: TicketQuery = EVERYTHING,
    *,
    bookmark: "str | PathLike[str]",
    every: float = 60.0,
    **options: Unpack[MirrorOptions],
) -> Watch:
    """Tell what happens to the tickets that match: `Created`, `Changed`, `Left`, `Gone`, `Gap`.

        async with watch(client, bookmark="tickets.db") as events:
            async for event in events:
                ...
                await events.done(event)

    `bookmark` is a mirror, which `mirror_tickets` and `workorder mirror` can go on with. The first look at a new one
    reads all tickets, and tells none of them; what runs saw before the first `watch` is not told. Then there is a look
    every `every` seconds. `options` are those of a mirror.

    **Each event is told at least once**, and those of one ticket in their order. The bookmark moves past an event when
    `done` was called for it, and for all before it: after a crash the next program is told again from there. Events
    come from the database, where a look writes what differs in one transaction with the rows.

    **What it does not see.** It compares two looks: what was changed and changed back between them is not told. After a
    start, and where no look ended well for three times `every`, a `Gap` says since when. Most looks ask for what is
    new or missing, and for three totals; every tenth one, and each that finds another total, reads all that may have
    changed. So what leaves all totals alike, such as twenty tickets closed and twenty others reopened, is told up to
    ten looks late. The rest is as `mirror_tickets` says.

    A look that fails is logged, told by `failure`, and made up for by the next one. Raises `ConfigError`,
    `AuthenticationError`, and `ExportError` if the disk does not do its part: these would not pass by themselves.
    """
    disk = Disk(client, path("bookmark", bookmark), query)
    return Watch(client, query, disk, above_zero("every", every), checked(options))
