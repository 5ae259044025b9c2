"""What becomes of a change when Ctrl-C or SIGTERM comes amid it: it is waited for, looked for, and told."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from workorder_async.cli.terminal.output import note
from workorder_async.document import CreateTicket
from workorder_async.errors import OutcomeUnknownError

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient
    from workorder_async.mutations.sending import Changed

PATIENCE: Final = 10.0
"""Seconds to wait for an answer after an interruption, and as many to look where none came."""


async def create(client: "WorkorderClient", ticket: CreateTicket, tell: Callable[[int], None]) -> None:
    """Create a ticket, and `tell` its number as soon as it is known, also when the interruption is passed on then.

    An interruption ends at once what was not sent. What was sent is waited for, and looked for; a second interruption
    ends that. Raises `OutcomeUnknownError` where the ticket may exist.
    """
    sent, began = False, client.now()

    def note_send(happened: bool) -> None:
        nonlocal sent
        sent = happened

    call = asyncio.create_task(
        client.change(
            ticket,
            on_unknown="verify",
            on_send=lambda: note_send(True),
            on_turned_away=lambda: note_send(False),
            began=began,
        )
    )
    try:
        tell((await asyncio.shield(call)).ticket_id)
    except asyncio.CancelledError:
        hurried = sent and await _is_cut_short(call)
        while not call.done():
            call.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([call])
        if not call.cancelled():
            tell(call.result().ticket_id)
        elif not sent:
            note("workorder: nothing was sent, so no ticket was created")
        else:
            tell(await _found(client, ticket, began, hurried=hurried))
        raise


async def _is_cut_short(call: "asyncio.Task[Changed]") -> bool:
    """Wait for what is under way; return whether another interruption ended that."""
    if call.done():
        return False
    note(f"workorder: waiting up to {PATIENCE:.0f} s for the answer; Ctrl-C again does not wait")
    try:
        await asyncio.wait([call], timeout=PATIENCE)
    except asyncio.CancelledError:
        return True
    return False


async def _found(client: "WorkorderClient", ticket: CreateTicket, began: float, *, hurried: bool) -> int:
    """Look for a ticket whose answer never came, and return its number. Raises `OutcomeUnknownError`."""
    if not hurried:
        note("workorder: no answer; looking for the ticket")
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(PATIENCE):
                settlement = await client.settle(ticket, began)
                if settlement.ticket_id:
                    return settlement.ticket_id
    raise OutcomeUnknownError(
        f"interrupted before an answer came, so a ticket may exist: {ticket.title!r} of creator {ticket.creator_id}",
        mutation=ticket,
        began=began,
        operation="create_ticket",
    ) from None
