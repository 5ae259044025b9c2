"""What happened to tickets, as `watch` tells it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from attrs import field, frozen

from workorder_async.document import TicketSummary
from workorder_async.document.fields import fields_of

_FIELDS: Final = fields_of(TicketSummary)


@frozen(kw_only=True)
class _Event:
    number: int = field(repr=False)
    """Its place in the order of events."""
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


def event_of(change: Sequence[Any], values: Mapping[str, Any]) -> Event:
    """Return the event of a change: number, seen_at, kind, field, old, new; `values` are the ticket's by now."""
    number, at, kind, name, old, new = change
    if kind == "gap":
        return Gap(number=number, at=at, since=old)
    ticket = TicketSummary(**{name: _value(name, value) for name, value in values.items()})
    if kind == "changed":
        old, new = _value(name, old), _value(name, new)
        return Changed(number=number, at=at, ticket_id=ticket.id, ticket=ticket, field=name, old=old, new=new)
    events: dict[str, type[Created | Left | Gone]] = {"new": Created, "back": Created, "left": Left, "gone": Gone}
    return events[kind](number=number, at=at, ticket_id=ticket.id, ticket=ticket)


def _value(name: str, value: Any) -> Any:
    """Return a value of the database as a ticket has it."""
    field = _FIELDS.get(name)
    return value if field is None or value is None else cast("Any", field.kind)(value)
