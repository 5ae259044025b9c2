"""A mutation made ready once: what is sent, what a journal keeps, and what it will leave to be seen."""

import hashlib
from collections.abc import Mapping
from typing import TypeVar

from attrs import field, frozen

from workorder_async.document import (
    JSON,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    Mutation,
    RejectTicket,
    TicketSummary,
    endpoints,
)
from workorder_async.document.codec import encode
from workorder_async.document.endpoints import Endpoint
from workorder_async.document.json_text import to_json
from workorder_async.errors import ConfigError

_ENDPOINTS: Mapping[type, Endpoint] = {
    CreateTicket: endpoints.CREATE_TICKET,
    CommentTicket: endpoints.COMMENT_TICKET,
    RejectTicket: endpoints.REJECT_TICKET,
    CloseTicket: endpoints.CLOSE_TICKET,
}
M = TypeVar("M", CreateTicket, CommentTicket, RejectTicket, CloseTicket)


@frozen
class Prepared:
    """A mutation, encoded once; `prepare` makes it, and `WorkorderClient.change` takes it in the mutation's place."""

    mutation: Mutation
    """What is to be done."""
    endpoint: Endpoint
    """Where it is sent."""
    value: JSON = field(repr=False)
    """It as a JSON value; `codec.decode_mutation` reads it back."""
    content: bytes = field(repr=False)
    """The bytes of that value, which are sent."""
    trace: str
    """A digest of what it leaves to be seen; see `trace_of`."""


def prepare(mutation: Mutation | Prepared) -> Prepared:
    """Encode a mutation; one that is prepared stays as it is. Raises `ConfigError` for what is no mutation."""
    if isinstance(mutation, Prepared):
        return mutation
    endpoint = endpoint_of(mutation)
    value = encode(mutation)
    return Prepared(mutation, endpoint, value, to_json(value), trace_of(mutation))


def endpoint_of(mutation: Mutation) -> Endpoint:
    """Return where a mutation is sent. Raises `ConfigError` for what is no mutation."""
    endpoint = _ENDPOINTS.get(type(mutation))
    if endpoint is None:
        known = ", ".join(kind.__name__ for kind in _ENDPOINTS)
        raise ConfigError(f"a {type(mutation).__name__} is no mutation; use one of {known}")
    return endpoint


def only(kind: type[M], mutation: M) -> M:
    """Return a mutation that is of this kind. Raises `ConfigError` for any other."""
    if not isinstance(mutation, kind):
        operation = _ENDPOINTS[kind].operation
        raise ConfigError(f"{operation} takes a {kind.__name__}, not a {type(mutation).__name__}")
    return mutation


def trace_of(mutation: Mutation) -> str:
    """Return a digest of what a mutation leaves to be seen: a ticket, or a text. "" where it leaves neither.

    Two with the same trace look the same afterwards: what is seen may be of either. Blanks do not count, since a
    platform may trim them.
    """
    match mutation:
        case CreateTicket():
            return _digest("ticket", mutation.creator_id, *told_by(mutation))
        case CommentTicket() | RejectTicket() | CloseTicket() if mutation.detail:
            return trace_of_text(mutation.id, mutation.detail)
    return ""


def trace_of_text(ticket_id: int, text: str) -> str:
    """Return the trace of a text in a ticket's history."""
    return _digest("text", ticket_id, text)


def told_by(ticket: CreateTicket | TicketSummary) -> tuple[object, ...]:
    """Return what a new ticket has in common with its row in the list."""
    texts = (ticket.title, ticket.detail, ticket.customer_organization_name)
    return (*texts, ticket.type, ticket.priority, ticket.reported_time)


def _digest(*left: object) -> str:
    folded = tuple(" ".join(part.split()) if isinstance(part, str) else part for part in left)
    return hashlib.sha256(repr(folded).encode()).hexdigest()[:32]
