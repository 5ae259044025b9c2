"""A chat bot: `ticket 1473` tells about a ticket, `close 1473` closes it; an answer comes within three seconds."""

import asyncio
import sys
from datetime import UTC, datetime

from workorder_async import CloseTicket, OutcomeUnknownError, WorkorderClient, WorkorderError


async def answer(client: WorkorderClient, text: str, closer_id: int, closer_name: str) -> str:
    """Answer one message, whatever it says."""
    try:
        command, number = text.lower().split()
        if command == "ticket":
            ticket = await client.get_ticket(int(number), deadline=3)
            return f"{ticket.title}: {ticket.status.label}, created {ticket.created_at or 'nobody knows when'}"
        if command == "close":
            id, now = int(number), datetime.now(UTC)
            close = CloseTicket(id=id, closer_id=closer_id, closer_name=closer_name, solved_time=now)
            await client.close_ticket(close, deadline=3)
            return f"ticket {id} is closed"
    except ValueError:  # no two words, or no number
        pass
    except OutcomeUnknownError:
        return "no answer came, so the ticket may be closed or not: look at it in a minute"
    except WorkorderError as error:
        return f"that did not work: {error.message}"
    return "write `ticket NUMBER` or `close NUMBER`"


async def main(closer_id: int, closer_name: str) -> None:
    """Answer each line of stdin."""
    async with WorkorderClient.from_env() as client:
        while line := await asyncio.to_thread(sys.stdin.buffer.readline):
            print(await answer(client, line.decode(errors="replace"), closer_id, closer_name), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
