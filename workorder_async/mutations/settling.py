"""Whether a mutation happened whose answer was lost: found out by reading, never guessed.

A close or a rejection leaves its mark on the ticket's state. A comment is looked for in the ticket's history, a new
ticket among those of its creator. Absence proves nothing: it may appear later; the answer is then None, never False.
Another mutation of the same client may have left the same trace, and that is no sign of this one.

Each function here takes the mutation, its `Sending`, and the reads, and raises the errors of the reads. The rows in
`kinds` say which kind of mutation has which function.
"""

from typing import TYPE_CHECKING

from workorder_async.document import (
    AssignStatus,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    Mutation,
    RejectTicket,
    TicketStatus,
)
from workorder_async.errors import Settlement
from workorder_async.mutations.recently_sent import Sending, Sendings, shown_of, trace_of_text

if TYPE_CHECKING:
    from workorder_async.wire.reads import Reads

# The server writes times in whole seconds, and its clock is known to about one second.
_TOLERANCE = 3


async def look_at_status(close: CloseTicket, sending: Sending, reads: "Reads", sendings: Sendings) -> Settlement:
    """Tell whether the ticket is closed."""
    return Settlement((await reads.ticket(close.id)).status == TicketStatus.CLOSED)


async def look_at_assigns(rejection: RejectTicket, sending: Sending, reads: "Reads", sendings: Sendings) -> Settlement:
    """Tell whether the product line's share is rejected. If no line is named, all shares must agree."""
    rejected = {
        assign.status == AssignStatus.REJECTED
        for assign in (await reads.detail(rejection.id)).assigns
        if rejection.productGroupId in (None, assign.product_group_id)
    }
    return Settlement(rejected.pop() if len(rejected) == 1 else None)


async def look_for_comment(comment: CommentTicket, sending: Sending, reads: "Reads", sendings: Sendings) -> Settlement:
    """Count the steps with its text, and the mutations that may have left them: there must be one step more."""
    offset = await reads.offset()
    detail = await reads.detail(comment.id)
    # Asked after the read: all that the read shows had been sent by then.
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
    # One step since it was sent, and one for each rival since the first of them.
    if not shown(sending.began) or shown(earliest) <= len(rivals):
        return Settlement(None)
    sendings.note(sending)
    return Settlement(True)


async def look_for_ticket(ticket: CreateTicket, sending: Sending, reads: "Reads", sendings: Sendings) -> Settlement:
    """Look for the one ticket of its creator with its texts that nothing else accounts for."""
    wanted = shown_of(ticket)
    since = _earliest(sending.began, await reads.offset())
    rows = await reads.created(ticket.creator_id, since)
    rivals = sendings.rivals(sending)
    found = {
        row.id
        for row in rows
        if shown_of(row) == wanted
        # A server may ignore the filters.
        and (row.created_time >= since or not row.created_time)
        and not sendings.is_anothers(row.id, sending)
    }
    # If two look alike, or a rival's ticket is not known, the ticket may be somebody else's.
    if rivals is None or len(found) != 1 or not all(one.ticket_id for one in rivals):
        return Settlement(None)
    (id,) = found
    note_creation(ticket, id, sending, sendings)
    return Settlement(True, id)


def note_creation(ticket: Mutation, id: int, sending: Sending, sendings: Sendings) -> None:
    """Note which ticket was created, and that its history may begin with its text, which is no comment."""
    sendings.note(sending, id)
    sendings.note(Sending(trace_of_text(id, ticket.detail or "")))


def _earliest(began: float, offset: float) -> int:
    """Return the first second, by the server's clock, that a mutation sent at `began` by ours may have."""
    return max(0, int(began + offset) - _TOLERANCE)
