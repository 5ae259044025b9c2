"""Closes tickets that were created so many days ago and are pending still; run it until it ends with 0.

    python close_old.py DAYS CLOSER_ID close.journal

The journal remembers over all runs what was closed: a ticket that was opened again is closed again with another journal
only. Of a ticket whose outcome is not known the next run finds out.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from workorder_async import (
    BatchReport,
    CloseTicket,
    TicketQuery,
    TicketStatus,
    Walk,
    WorkorderClient,
    WorkorderError,
    explain,
    run_batch,
)


async def closes(walk: Walk, closer_id: int, now: datetime) -> AsyncIterator[CloseTicket]:
    """Yield the close of each ticket, in its creator's name: nobody else may.

    Whether the platform takes that name beside another person's number, the first ticket shows.
    """
    async for tickets in walk:
        for ticket in tickets:
            if ticket.creator_name:
                yield CloseTicket(id=ticket.id, closer_id=closer_id, closer_name=ticket.creator_name, solved_time=now)
            else:
                print(f"ticket {ticket.id} names no creator, and stays open")


async def main(days: float, closer_id: int, journal: str) -> int:
    """Close them, say what was not closed and why, and return the exit code; twenty failures in a row are enough."""
    report, now = BatchReport(), datetime.now(UTC)
    query = TicketQuery(status=TicketStatus.PENDING, created_end=now - timedelta(days=days))
    async with WorkorderClient.from_env() as client, client.walk(query) as walk:
        todo = closes(walk, closer_id, now)
        batch = run_batch(client, todo, concurrency=16, journal=journal, stop_after=20, report=report)
        try:
            async with aclosing(batch) as outcomes:
                async for outcome in outcomes:
                    if outcome.error is not None:
                        print(explain(outcome))
        except WorkorderError as error:  # the list, or the journal
            print(explain(error), error, sep="\n")
    print(*(f"{state.value}: {count}" for state, count in report.counts.items()), report.stopped, sep="\n")
    print("all tickets were seen" if walk.report.exact else f"not all may have been seen: {walk.report.reason}")
    return 0 if report.settled and walk.report.exact else 1


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        days, closer_id = float(sys.argv[1]), int(sys.argv[2])
    except ValueError:
        sys.exit(__doc__)
    if not 0 < days < 36_500:
        sys.exit("DAYS must be above 0, and below 36500")
    sys.exit(asyncio.run(main(days, closer_id, sys.argv[3])))
