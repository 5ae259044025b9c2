"""How a mutation is carried out once, and what can be known of it when its answer was lost: read, never guessed.

A close or a rejection leaves its mark on the ticket's state. A comment is looked for in the history, a new ticket among
those of its creator; one that is not there may only not be there yet, so it is never said not to have happened.
"""

from collections.abc import Awaitable, Callable

from attrs import frozen

from workorder_async.codec import decode_created
from workorder_async.envelope import Answer
from workorder_async.errors import ApiError, OutcomeUnknownError, WorkorderError
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
    *,
    looks: bool,
    may_repeat: Callable[[int], bool],
) -> Changed:
    """Send a mutation; where its answer is lost, look whether it happened (if `looks`), and send again if it did not.

    `send` is told how many requests were started for it already, and so is `may_repeat`, which is asked before it is
    sent again. Raises what `send` raises; after a lost answer `OutcomeUnknownError` for whatever does not show that it
    did not happen.
    """
    started, lost = 0, None
    while True:
        try:
            answer = await send(started)
        except WorkorderError as error:
            started = error.attempts
            if isinstance(error, OutcomeUnknownError):
                error.mutation, error.began = mutation, lost.began if lost else error.began
                lost = error
            if lost is None:
                raise
            # After a lost answer a refusal may be of what that one has brought about, and what was not sent this time
            # may have been before.
            happened = await look(lost, reads) if looks else None
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


async def look(error: OutcomeUnknownError, reads: Reads) -> bool | None:
    """Look whether what the error is about happened; a read that fails leaves it unknown."""
    try:
        settlement = await settle(error.mutation, error.began, reads)
    except WorkorderError:
        return None
    error.ticket_id = settlement.ticket_id
    return settlement.happened


def _id_of(mutation: Mutation) -> int:
    return 0 if isinstance(mutation, CreateTicket) else mutation.id


async def settle(mutation: object, began: float, reads: Reads) -> Settlement:
    """Look whether this happened; `began` is when it was sent, by our own clock. Raises what the reads raise."""
    match mutation:
        case CloseTicket():
            return Settlement((await reads.ticket(mutation.id)).status == TicketStatus.CLOSED)
        case RejectTicket():
            return Settlement(_is_rejected(await reads.detail(mutation.id), mutation))
        case CommentTicket():
            return await _settle_comment(mutation, began, reads)
        case CreateTicket():
            return await _settle_creation(mutation, began, reads)
    return Settlement(None)


def _is_rejected(detail: TicketDetail, rejection: RejectTicket) -> bool | None:
    """Tell whether the product line's share is rejected; of no known line, only where all shares are alike."""
    rejected = {
        assign.status == AssignStatus.REJECTED
        for assign in detail.assigns
        if rejection.productGroupId in (None, assign.product_group_id)
    }
    return rejected.pop() if len(rejected) == 1 else None


async def _settle_comment(comment: CommentTicket, began: float, reads: Reads) -> Settlement:
    since = await _earliest(began, reads)
    there = any(
        step.detail == comment.detail and step.created_time >= since
        for assign in (await reads.detail(comment.id)).assigns
        if comment.productGroupId in (None, assign.product_group_id)
        for step in assign.history
    )
    return Settlement(True if there else None)


async def _settle_creation(ticket: CreateTicket, began: float, reads: Reads) -> Settlement:
    wanted = _told_by(ticket)
    # A row may come twice, when new ones push it to the next page while that is read.
    found = {
        row.id
        for row in await reads.created(ticket.creator_id, await _earliest(began, reads))
        if _told_by(row) == wanted
    }
    # Of two alike, either may be somebody else's.
    return Settlement(True, found.pop()) if len(found) == 1 else Settlement(None)


def trace(mutation: Mutation) -> tuple[object, ...]:
    """Return what a mutation leaves to be seen and settling goes by, a ticket or a text; () where it leaves neither.

    Of two with the same trace, what is seen of one may be the other's.
    """
    match mutation:
        case CreateTicket():
            return ("ticket", mutation.creator_id, *_told_by(mutation))
        case CommentTicket() | RejectTicket() | CloseTicket() if mutation.detail:
            return ("text", mutation.id, mutation.detail)
    return ()


def _told_by(ticket: CreateTicket | TicketSummary) -> tuple[object, ...]:
    """Return what a new ticket has in common with its row in the list."""
    texts = (ticket.title, ticket.detail, ticket.customer_organization_name)
    return (*texts, ticket.type, ticket.priority, ticket.reported_time)


async def _earliest(began: float, reads: Reads) -> int:
    return max(0, int(began + await reads.offset()) - _TOLERANCE)
