"""The kinds of mutations: one row for each, and a mutation made ready to be sent.

All that is done to a mutation by its kind is read from its row. Nothing else asks for the class of a mutation.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import Factory, evolve, field, frozen

from workorder_async.arguments import shown
from workorder_async.document import (
    JSON,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    Mutation,
    RejectTicket,
    endpoints,
)
from workorder_async.document.codec import encode
from workorder_async.document.endpoints import Endpoint, Safety
from workorder_async.document.json_text import to_json
from workorder_async.errors import ConfigError, Settlement
from workorder_async.mutations.settling import (
    Sending,
    Sendings,
    look_for_close,
    look_for_comment,
    look_for_rejection,
    look_for_ticket,
    place_of_creation,
    place_of_ticket,
    trace_of_text,
    trace_of_ticket,
)

if TYPE_CHECKING:
    from workorder_async.wire.reads import Reads

M = TypeVar("M", bound=Mutation)
# No platform stores these otherwise than they were sent.
_MARK = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:#-]{0,62}[A-Za-z0-9])?")


@frozen(kw_only=True)
class MutationKind(Generic[M]):
    """One kind of mutation."""

    model: type[M]
    """The class of its values; a journal keeps them under the name of this class."""
    endpoint: Endpoint
    """The endpoint, with the safety of a second request: CONVERGENT or CREATE."""
    identity: tuple[str, ...] | None
    """The fields that tell it from others of its kind; None for all of them. Keys of journals are made of these."""
    look: "Callable[[M, Sending, Reads, Sendings], Awaitable[Settlement]]"
    """Find out by reading whether it happened, after its answer was lost. Raises the errors of the reads."""
    words: Callable[[M], str]
    """Say what it does, for people."""
    place: Callable[[M], str] = lambda mutation: place_of_ticket(mutation.id)  # type: ignore[union-attr]
    """Return the place where it leaves its sign. See `settling`."""
    trace: Callable[[M], str] = lambda mutation: trace_of_text(mutation.id, mutation.detail)  # type: ignore[union-attr]
    """Return the sign that it leaves there."""
    line: Callable[[M], int | None] = lambda mutation: getattr(mutation, "productGroupId", None)
    """Return the product line that speaks; None for any."""
    solution: Callable[[M], tuple[int, bool] | None] = lambda _: None
    """Return how it says that its ticket was solved; None if it does not say."""
    creates: bool = False
    """Whether it makes a ticket, so that it has no id of its own."""
    verb: str = Factory(lambda kind: kind.endpoint.operation.removesuffix("_ticket"), takes_self=True)
    """Its verb, which begins its keys: "close"."""
    doing: str = Factory(lambda kind: f"{kind.verb.removesuffix('e')}ing", takes_self=True)
    """Its participle, for people: "closing"."""
    done: str = Factory(lambda kind: f"{kind.verb.removesuffix('e')}ed", takes_self=True)
    """A ticket after it, for people: "closed"."""
    converges: bool = Factory(lambda kind: kind.endpoint.safety is Safety.CONVERGENT, takes_self=True)
    """Whether a second request changes nothing, so that it is settled and may be repeated without being asked for."""

    def ticket_id(self, mutation: M) -> int:
        """Return the ticket that a mutation is about; 0 for a creation."""
        return 0 if self.creates else mutation.id  # type: ignore[union-attr]  # a creation alone has none


def _words_of_line(product_group_id: int | None) -> str:
    return "" if product_group_id is None else f" as product line {product_group_id}"


_ROWS: tuple[MutationKind[Any], ...] = (
    MutationKind(
        model=CreateTicket,
        endpoint=endpoints.CREATE_TICKET,
        creates=True,
        identity=None,
        place=place_of_creation,
        trace=trace_of_ticket,
        look=look_for_ticket,
        words=lambda ticket: f"create: {ticket.title}",
    ),
    MutationKind(
        model=CommentTicket,
        endpoint=endpoints.COMMENT_TICKET,
        identity=("id", "productGroupId", "detail"),
        look=look_for_comment,
        words=lambda comment: f"comment{_words_of_line(comment.productGroupId)}: {comment.detail}",
    ),
    MutationKind(
        model=RejectTicket,
        endpoint=endpoints.REJECT_TICKET,
        identity=("id", "productGroupId"),
        look=look_for_rejection,
        words=lambda it: f"reject{_words_of_line(it.productGroupId)}{f': {it.detail}' if it.detail else ''}",
    ),
    MutationKind(
        model=CloseTicket,
        endpoint=endpoints.CLOSE_TICKET,
        identity=("id",),
        solution=lambda close: (close.solved_time, bool(close.is_solved)),
        look=look_for_close,
        words=lambda close: f"close as {close.closer_id} {close.closer_name}",
    ),
)
KINDS: Mapping[type, MutationKind[Any]] = {kind.model: kind for kind in _ROWS}
"""The rows, by the class of the mutation."""
NAMES: Mapping[str, MutationKind[Any]] = {kind.model.__name__: kind for kind in _ROWS}
"""The rows, by the name of that class, as journals have it."""


def kind_of(mutation: M) -> MutationKind[M]:
    """Return the row of a mutation. Raises `ConfigError` for a value that is no mutation."""
    kind = KINDS.get(type(mutation))
    if kind is None:
        raise ConfigError(f"a {type(mutation).__name__} is no mutation", mend=f"use one of {', '.join(NAMES)}")
    return kind


def only(model: type[M], mutation: M) -> M:
    """Return a mutation that is of this class. Raises `ConfigError` for any other."""
    if type(mutation) is not model:
        operation = KINDS[model].endpoint.operation
        raise ConfigError(f"{operation} takes a {model.__name__}, not a {type(mutation).__name__}")
    return mutation


def ticket_id_of(mutation: Mutation) -> int:
    """Return the ticket that a mutation is about; 0 for a creation."""
    return kind_of(mutation).ticket_id(mutation)


def words_of(mutation: Mutation) -> str:
    """Say what a mutation does, for people."""
    return kind_of(mutation).words(mutation)


@frozen
class Prepared:
    """A mutation, encoded once; `prepare` makes it, and `WorkorderClient.change` takes it in the mutation's place."""

    mutation: Mutation
    """The mutation."""
    kind: MutationKind[Any] = field(repr=False)
    """Its row."""
    value: JSON = field(repr=False)
    """The mutation as a JSON value; `codec.decode_mutation` reads it back."""
    content: bytes = field(repr=False)
    """The bytes of that value, which are sent."""
    mark: str = ""
    """The caller's reference, which stands below its text in `content`; "" for none."""
    place: str = ""
    """Where it leaves its sign: all that is done to one ticket has one place, as have the creations of one creator."""
    trace: str = ""
    """A digest of the sign that it leaves there."""

    def sending(self, began: float | None = None) -> Sending:
        """Return the record of its being sent; `began` is when its caller wrote that down."""
        kind, mutation = self.kind, self.mutation
        return Sending(self.place, self.trace, kind.line(mutation), self.mark, kind.solution(mutation), began)


def prepare(mutation: Mutation | Prepared, mark: str = "") -> Prepared:
    """Encode a mutation; a prepared one stays as it is, if it has the mark.

    Raises `ConfigError` for a value that is no mutation, and for a mark that cannot be one.
    """
    if isinstance(mutation, Prepared):
        if mark in ("", mutation.mark):
            return mutation
        mutation = mutation.mutation
    kind = kind_of(mutation)
    value, sent = encode(mutation), mutation
    if mark:
        if kind.converges:
            mend = "a close or a rejection is settled without one"
            raise ConfigError("is only for comments and creations", argument="mark", mend=mend)
        if not isinstance(mark, str) or not _MARK.fullmatch(mark):
            mend = "it must be 1 to 64 of A-Z, a-z, 0-9 and . _ : # -, with a letter or a number at both ends"
            raise ConfigError(f"is {shown(mark)}", argument="mark", mend=mend)
        sent = evolve(mutation, detail=f"{mutation.detail}\n{mark}")
    content = to_json(encode(sent) if mark else value)
    return Prepared(mutation, kind, value, content, mark, kind.place(sent), kind.trace(sent))


def new_mark() -> str:
    """Return a mark that nothing else has."""
    return token_hex(5)


def key_of(mutation: Mutation | Prepared) -> str:
    """Return the key that tells a mutation from others: its kind, and the fields that the row names.

    Raises `ConfigError` for a value that is no mutation.
    """
    if isinstance(mutation, Prepared):
        kind, value, mutation = mutation.kind, mutation.value, mutation.mutation
    else:
        kind, value = kind_of(mutation), None
    fields = kind.identity
    told = [value or encode(mutation)] if fields is None else [getattr(mutation, name) for name in fields]
    return hashlib.sha256(to_json([kind.verb, *told])).hexdigest()[:32]
