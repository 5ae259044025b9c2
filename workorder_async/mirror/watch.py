"""`watch`: the changes of tickets as events, each told at least once.

A watch runs a mirror again and again (a *round*, or a look), and reads the events from its table `changes`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import nullcontext
from os import PathLike
from typing import Any, Final, Self, TypeAlias, Unpack, cast

from attrs import define, field, frozen

from workorder_async.arguments import above_zero, must_be, path
from workorder_async.client import WorkorderClient
from workorder_async.document import TicketQuery, TicketSummary
from workorder_async.document.fields import fields_of
from workorder_async.errors import AuthenticationError, ConfigError, ExportError, WorkorderError
from workorder_async.mirror.database import MirrorDatabase, database_of
from workorder_async.mirror.mirror import EVERYTHING, MirrorOptions, Run, checked

#: One round in so many reads all tickets that may have changed; the others are quiet (see `Run.run`).
_FULL_EVERY: Final = 10
#: If no round ended well for so many times `every`, there is a `Gap`.
_GAP: Final = 3

_FIELDS: Final = fields_of(TicketSummary)

logger: logging.Logger = logging.getLogger("workorder_async.mirror")


@frozen(kw_only=True)
class _Event:
    number: int = field(repr=False)
    """The event's place in the order of events."""
    at: int
    """When a run saw the change, in seconds since the epoch by the server's clock; the change happened before."""


@frozen(kw_only=True)
class _OfTicket(_Event):
    ticket_id: int
    """The ticket's id."""
    ticket: TicketSummary = field(repr=False)
    """The ticket as it was read last; later events may have changed it already."""


@frozen(kw_only=True)
class Created(_OfTicket):
    """A ticket is new in the list, or listed again after it had left or was gone."""


@frozen(kw_only=True)
class Changed(_OfTicket):
    """A field of a ticket changed."""

    field: str
    """The field's name, as the API document has it: "status"."""
    old: Any
    """The value before: a code as the member of its enumeration, a list or an object as JSON."""
    new: Any
    """The value after the change, in the same form."""


@frozen(kw_only=True)
class Left(_OfTicket):
    """A ticket is not in the list any more, but exists: it does not match the query, or may not be listed."""


@frozen(kw_only=True)
class Gone(_OfTicket):
    """The platform does not know a ticket any more."""


@frozen(kw_only=True)
class Gap(_Event):
    """Nobody looked for a while: changes that were undone meanwhile are not known, nor the order of the others."""

    since: int
    """When the last look before the gap ended, in seconds since the epoch by the server's clock."""


Event: TypeAlias = Created | Changed | Left | Gone | Gap


def event_of(change: Sequence[Any], values: Mapping[str, Any]) -> Event:
    """Return the event of a change (number, seen_at, kind, field, old, new); `values` are the ticket's present ones."""
    number, at, kind, name, old, new = change
    if kind == "gap":
        return Gap(number=number, at=at, since=old)
    ticket = TicketSummary(**{name: _value(name, value) for name, value in values.items() if value is not None})
    if kind == "changed":
        old, new = _value(name, old), _value(name, new)
        return Changed(number=number, at=at, ticket_id=ticket.id, ticket=ticket, field=name, old=old, new=new)
    events: dict[str, type[Created | Left | Gone]] = {"new": Created, "back": Created, "left": Left, "gone": Gone}
    return events[kind](number=number, at=at, ticket_id=ticket.id, ticket=ticket)


def _value(name: str, value: Any) -> Any:
    """Turn a value of the database into the value that a `TicketSummary` has in this field."""
    field = _FIELDS.get(name)
    return value if field is None or value is None else cast("Any", field.kind)(value)


@define(eq=False, slots=False, repr=False)
class Watch(AsyncIterator[Event]):
    """Events of tickets, for `async with` and `async for`; made by `watch`."""

    _client: WorkorderClient
    _query: TicketQuery
    _mirror: MirrorDatabase
    _every: float
    _options: MirrorOptions
    failure: WorkorderError | None = field(default=None, init=False)
    """The error of the latest round; None if that round ended well."""

    def __attrs_post_init__(self) -> None:
        self._turn = asyncio.Lock()
        self._begin()

    def _begin(self) -> None:
        """Forget which events were told before."""
        # The numbers of events that were told and are not done, in their order.
        self._undone: dict[int, None] = {}
        self._last_told = -1  # the number of the last event that was told; -1 before the bookmark is read
        self._rounds = 0  # that ended well
        self._next = -1.0  # the loop's time of the next round

    async def __aenter__(self) -> Self:
        await self._mirror.__aenter__()
        self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._mirror.__aexit__()

    async def __anext__(self) -> Event:
        async with self._turn:  # if several tasks share a watch, each event goes to one of them
            if self._last_told < 0:
                self._last_told = await self._mirror.do(MirrorDatabase.bookmark)
            while (change := await self._mirror.do(MirrorDatabase.change_after, self._last_told)) is None:
                await self._round()
            event = event_of(*change)
            self._last_told = event.number
            self._undone[event.number] = None
            return event

    async def done(self, event: Event) -> None:
        """Note that an event is dealt with. Once all events before it are done, too, it is never told again."""
        _EVENT("event", event)
        if event.number in self._undone:
            del self._undone[event.number]
            await self._mirror.do(MirrorDatabase.keep, "bookmark", next(iter(self._undone), self._last_told + 1) - 1)

    async def _round(self) -> None:
        """Wait for the time of the next round, and run the mirror."""
        time = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._next - time()))
        self._next = time() + self._every
        run = Run(self._client, self._query, self._mirror, self._options)
        is_first, quiet = not self._rounds, bool(self._rounds % _FULL_EVERY)
        try:
            if is_first:
                await run.learn_time()
            await self._mirror.do(MirrorDatabase.note_gap, run.now(), 0.0 if is_first else _GAP * max(1.0, self._every))
            async with run.files or nullcontext():
                await run.run(quiet=quiet)
        except (ConfigError, AuthenticationError, ExportError):
            raise
        except WorkorderError as error:
            self.failure = error
            logger.warning("a look at the tickets failed, the next one is in %.0f s: %s", self._every, error)
        else:
            self.failure = None
            self._rounds += 1


_EVENT: Final = must_be("an event that the watch told", lambda given: isinstance(given, _Event))


def watch(
    client: WorkorderClient,
    query: TicketQuery = EVERYTHING,
    *,
    bookmark: "str | PathLike[str]",
    every: float = 60.0,
    **options: Unpack[MirrorOptions],
) -> Watch:
    """Tell the changes of the tickets that match: `Created`, `Changed`, `Left`, `Gone`, `Gap`.

        async with watch(client, bookmark="tickets.db") as events:
            async for event in events:
                ...
                await events.done(event)

    `bookmark` is a mirror, which `mirror_tickets` and `workorder mirror` can go on with. The first look at a new one
    reads all tickets, and tells none of them; changes from before the first `watch` are not told. Then there is a look
    every `every` seconds. `options` are those of a mirror.

    **Each event is told at least once**, and those of one ticket in their order. The bookmark moves past an event when
    `done` was called for it, and for all before it: after a crash the next program is told again from there. Events
    come from the database, where a look writes the changes in one transaction with the rows.

    **Not seen.** It compares two looks: a change that was changed back between them is not told. After a start, and
    where no look ended well for three times `every`, a `Gap` says since when. Most looks ask for new or missing
    tickets, and for three totals; every tenth one, and each that finds another total, reads all that may have changed.
    So changes that leave all totals alike, such as twenty tickets closed and twenty others reopened, are told up to ten
    looks late. The rest is as `mirror_tickets` says.

    A look that fails is logged, told by `failure`, and made up for by the next one. Raises `ConfigError`,
    `AuthenticationError`, and `ExportError` if the disk does not do its part: these would not pass by themselves.
    """
    mirror = database_of(client, path("bookmark", bookmark), query)
    return Watch(client, query, mirror, above_zero("every", every), checked(options))
