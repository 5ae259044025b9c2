"""How a mutation is carried out once, and what can be known of it when its answer was lost: read, never guessed.

A close or a rejection leaves its mark on the ticket's state. A comment is looked for in the history, a new ticket among
those of its creator; one that is not there may only not be there yet, so it is never said not to have happened. What
another mutation of the same client has left, or may have left, is no sign of it.
"""

import hashlib
from collections.abc import Awaitable, Callable

from attrs import frozen

from workorder_async.client.sendings import Sending, Sendings
from workorder_async.errors import ApiError, DecodeError, OutcomeUnknownError, WorkorderError
from workorder_async.models import (
    AssignStatus,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    Mutation,
    RejectTicket,
    Ticket,
    TicketDetail,
    TicketStatus,
    TicketSummary,
)
from workorder_async.protocol.codec import decode_created
from workorder_async.protocol.envelope import Answer

# The server writes times in whole seconds, by a clock that ours is compared with to about one.
_TOLERANCE = 3


@frozen
class Changed:
    """What is known of a mutation that was carried out."""

    ticket_id: int
    """The ticket; of a creation, the new one."""
    request_id: str
    """The platform's id of the last answer."""
    attempts: int
    """Requests that were started for it, those to look not counted."""


@frozen
class Settlement:
    """What was found: whether it happened (None: not known), and of a creation the new ticket's id (else 0)."""

    happened: bool | None
    ticket_id: int = 0


@frozen
class Reads:
    """The reads that settling needs."""

    ticket: Callable[[int], Awaitable[Ticket]]
    detail: Callable[[int], Awaitable[TicketDetail]]
    #: The tickets of a creator since a moment by the server's clock, in seconds.
    created: Callable[[int, int], Awaitable[list[TicketSummary]]]
    #: How many seconds the server's clock is ahead of ours, reading something first where that is not known.
    offset: Callable[[], Awaitable[float]]


async def carry_out(
    mutation: Mutation,
    send: Callable[[int], Awaitable[Answer]],
    reads: Reads,
    sendings: Sendings,
    sending: Sending,
    *,
    looks: bool,
    may_repeat: Callable[[int], bool],
) -> Changed:
    """Send a mutation; where its answer is lost, look whether it happened (if `looks`), and send again if it did not.

    `send` is told how many requests were started for it already, and so is `may_repeat`, which is asked before it is
    sent again. `send` enters the `sending` into `sendings` when it writes, and what became of it is noted there. Raises
    what `send` raises; after a lost answer `OutcomeUnknownError` for whatever does not show that it did not happen.
    """
    try:
        changed = await _until_known(mutation, send, reads, sendings, sending, looks=looks, may_repeat=may_repeat)
    except OutcomeUnknownError:
        raise
    except DecodeError:
        sendings.note(sending)  # a creation that says not which ticket it made
        raise
    except WorkorderError as error:
        # What an errno without a meaning stands for is not known: something may be there.
        if type(error) is ApiError:
            sendings.answered(sending)
        else:
            sendings.drop(sending)
        raise
    if isinstance(mutation, CreateTicket):
        _note_creation(mutation, changed.ticket_id, sending, sendings)
    else:
        sendings.note(sending)
    return changed


async def _until_known(
    mutation: Mutation,
    send: Callable[[int], Awaitable[Answer]],
    reads: Reads,
    sendings: Sendings,
    sending: Sending,
    *,
    looks: bool,
    may_repeat: Callable[[int], bool],
) -> Changed:
    started, lost = 0, None
    while True:
        try:
            answer = await send(started)
        except WorkorderError as error:
            started = error.attempts
            if isinstance(error, OutcomeUnknownError):
                sendings.enter(sending)
                error.mutation = mutation
                error.began = lost.began if lost else sending.began or error.began
                lost = error
            if lost is None:
                raise
            # After a lost answer a refusal may be of what that one has brought about, and what was not sent this time
            # may have been before.
            happened = await look(lost, reads, sendings, sending) if looks else None
            if happened:
                return Changed(lost.ticket_id or _id_of(mutation), error.request_id, started)
            if happened is False and isinstance(error, ApiError):
                raise
            if happened is None or error is not lost or not may_repeat(started):
                lost.attempts = started
                raise lost from lost.__cause__ if error is lost else error
        else:
            id = decode_created(answer) if isinstance(mutation, CreateTicket) else mutation.id
            return Changed(id, answer.request_id, answer.attempts)


async def look(
    error: OutcomeUnknownError, reads: Reads, sendings: Sendings, sending: Sending | None = None
) -> bool | None:
    """Look whether what the error is about happened; a read that fails leaves it unknown.

    `sending` is what was sent; `sendings` is asked for it where it is not given.
    """
    if sending is None:
        sending = sending_of(error.mutation)
        if isinstance(error.mutation, CommentTicket | CreateTicket):
            sending = sendings.find(sending.trace, sending.line, error.began)
    try:
        settlement = await settle(error.mutation, sending, reads, sendings)
    except WorkorderError:
        return None
    error.ticket_id = settlement.ticket_id
    return settlement.happened


def sending_of(mutation: object, intent: float | None = None) -> Sending:
    """Return what `Sendings` knows a mutation by, before it is sent."""
    if isinstance(mutation, CreateTicket | CommentTicket | RejectTicket | CloseTicket):
        return Sending(trace(mutation), _line_of(mutation), intent)
    return Sending("")


def _id_of(mutation: Mutation) -> int:
    return 0 if isinstance(mutation, CreateTicket) else mutation.id


async def settle(mutation: object, sending: Sending, reads: Reads, sendings: Sendings) -> Settlement:
    """Look whether this happened, which was sent as `sending`. Raises what the reads raise.

    What was found once stays so: it is not looked for again, and another mutation is not told by it.
    """
    if sending.happened:
        return Settlement(True, sending.ticket_id)
    match mutation:
        case CloseTicket():
            return Settlement((await reads.ticket(mutation.id)).status == TicketStatus.CLOSED)
        case RejectTicket():
            return Settlement(_is_rejected(await reads.detail(mutation.id), mutation))
        case CommentTicket():
            return await _settle_comment(mutation, sending, reads, sendings)
        case CreateTicket():
            return await _settle_creation(mutation, sending, reads, sendings)
    return Settlement(None)


def _is_rejected(detail: TicketDetail, rejection: RejectTicket) -> bool | None:
    """Tell whether the product line's share is rejected; of no known line, only where all shares are alike."""
    rejected = {
        assign.status == AssignStatus.REJECTED
        for assign in detail.assigns
        if rejection.productGroupId in (None, assign.product_group_id)
    }
    return rejected.pop() if len(rejected) == 1 else None


async def _settle_comment(comment: CommentTicket, sending: Sending, reads: Reads, sendings: Sendings) -> Settlement:
    offset = await reads.offset()
    detail = await reads.detail(comment.id)
    # Asked after the read: whatever that shows had been sent by then.
    rivals = sendings.rivals(sending)
    if rivals is None:
        return Settlement(None)
    rivals = [one for one in rivals if None in (one.line, comment.productGroupId) or one.line == comment.productGroupId]

    def shown(began: float) -> int:
        """Count the steps with its text since then; a comment that is shown in several shares is one."""
        since = _earliest(began, offset)
        return max(
            (
                sum(step.detail == comment.detail and step.created_time >= since for step in assign.history)
                for assign in detail.assigns
                if comment.productGroupId in (None, assign.product_group_id)
            ),
            default=0,
        )

    earliest = min([sending.began, *(one.began for one in rivals)])
    # One step since it was sent, and one for each of them since the first of them.
    if not shown(sending.began) or shown(earliest) <= len(rivals):
        return Settlement(None)
    sendings.note(sending)
    return Settlement(True)


async def _settle_creation(ticket: CreateTicket, sending: Sending, reads: Reads, sendings: Sendings) -> Settlement:
    wanted = _told_by(ticket)
    since = _earliest(sending.began, await reads.offset())
    rows = await reads.created(ticket.creator_id, since)
    rivals = sendings.rivals(sending)
    found = {
        row.id
        for row in rows
        if _told_by(row) == wanted
        # A server may not heed the query.
        and (row.created_time >= since or not row.created_time)
        and not sendings.is_anothers(row.id, sending)
    }
    # Of two alike, either may be somebody else's, and so may be one where another one's id is not known.
    if rivals is None or len(found) != 1 or not all(one.ticket_id for one in rivals):
        return Settlement(None)
    (id,) = found
    _note_creation(ticket, id, sending, sendings)
    return Settlement(True, id)


def _note_creation(ticket: CreateTicket, id: int, sending: Sending, sendings: Sendings) -> None:
    """Note which ticket was created, and that its history may begin with its text, which is no comment."""
    sendings.note(sending, id)
    sendings.note(Sending(_digest("text", id, ticket.detail)))


def trace(mutation: Mutation) -> str:
    """Return a digest of what a mutation leaves to be seen, a ticket or a text; "" where it leaves neither.

    Of two with the same trace, what is seen of one may be the other's. Blanks do not count: a platform may trim them.
    """
    match mutation:
        case CreateTicket():
            return _digest("ticket", mutation.creator_id, *_told_by(mutation))
        case CommentTicket() | RejectTicket() | CloseTicket() if mutation.detail:
            return _digest("text", mutation.id, mutation.detail)
    return ""


def _digest(*left: object) -> str:
    folded = tuple(" ".join(part.split()) if isinstance(part, str) else part for part in left)
    return hashlib.sha256(repr(folded).encode()).hexdigest()[:32]


def _line_of(mutation: Mutation) -> int | None:
    return mutation.productGroupId if isinstance(mutation, CommentTicket | RejectTicket) else None


def _told_by(ticket: CreateTicket | TicketSummary) -> tuple[object, ...]:
    """Return what a new ticket has in common with its row in the list."""
    texts = (ticket.title, ticket.detail, ticket.customer_organization_name)
    return (*texts, ticket.type, ticket.priority, ticket.reported_time)


def _earliest(began: float, offset: float) -> int:
    return max(0, int(began + offset) - _TOLERANCE)
