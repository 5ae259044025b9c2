"""What happened to tickets, as `watch` tells it."""

from typing import Any, TypeAlias

from attrs import field, frozen

from workorder_async.document import TicketSummary


@frozen(kw_only=True)
class _Event:
    number: int = field(repr=False)
    """Its place in the order of events; `watch.done` takes it."""
    at: int
    """When a run saw it, in seconds since the epoch by the server's clock: it happened before."""


@frozen(kw_only=True)
class _OfTicket(_Event):
    ticket_id: int
    """The ticket."""
    ticket: TicketSummary = field(repr=False)
    """The ticket as it was read last, which may be after a later event."""


@frozen(kw_only=True)
class Created(_OfTicket):
    """A ticket is new in the list, or in it again."""


@frozen(kw_only=True)
class Changed(_OfTicket):
    """A field of a ticket changed."""

    field: str
    """Its name, as the API document has it: "status"."""
    old: Any
    """Its value before: of a code the member, of a list or an object its JSON."""
    new: Any
    """Its value now."""


@frozen(kw_only=True)
class Left(_OfTicket):
    """A ticket is in the list no more, and exists: it does not match the query, or may not be listed."""


@frozen(kw_only=True)
class Gone(_OfTicket):
    """The platform does not know a ticket any more."""


@frozen(kw_only=True)
class Gap(_Event):
    """Nobody looked for a while: what happened and was undone meanwhile is not known, nor the order of the rest."""

    since: int
    """When the last look ended, in seconds since the epoch by the server's clock."""


Event: TypeAlias = Created | Changed | Left | Gone | Gap
