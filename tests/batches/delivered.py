"""A bot: creates a ticket and writes a comment for each message, and each message is delivered ten times at once.

    python delivered.py JOURNAL MESSAGES SIDE_BY_SIDE

One more ticket is created before all others.
Prints a JSON object for each event: its text, the states of its ten deliveries, and the slowest of them in seconds.
"""

import asyncio
import sys
from random import Random
from time import perf_counter

import orjson

from workorder_async import CommentTicket, CreateTicket, Mutation, Once, Outcome, WorkorderClient


async def deliver(once: Once, key: str, text: str, mutation: Mutation) -> None:
    """Deliver an event, and say what became of it."""
    told, took = list[Outcome](), 0.0
    # A platform delivers again what was not acknowledged.
    while not told or any(one.state.name in ("UNKNOWN", "NOT_SENT") for one in told):
        began = perf_counter()
        told = await asyncio.gather(*(once(key, mutation, deadline=2.5) for _ in range(10)))
        took = max(took, perf_counter() - began)
    line = {
        "text": text,
        "states": [one.state.name for one in told],
        "outcomes": [repr((one.ticket_id, one.request_id, one.elapsed)) for one in told],
        "seconds": took,
    }
    sys.stdout.write(orjson.dumps(line).decode() + "\n")


def ticket_of(title: str) -> CreateTicket:
    """Return a new ticket of one creator and line."""
    return CreateTicket(
        title=title, detail="客户说实例无法登录", reported_time=1660298580, type=1, priority=3,
        customer_organization_id=5001, customer_organization_name="北京晨曦网络科技有限公司",
        repository_product_id=36, creator_id=999_999, creator_name="姜程",
    )  # fmt: skip


async def main(journal: str, messages: int, side_by_side: int) -> None:
    """Handle all messages; where that is several at a time, in another order each time."""
    async with (
        WorkorderClient.from_env(attempt_timeout=1.0, deadline=2.5) as client,
        Once(client, journal, scope="bot", mark=True) as once,
    ):
        await once.settle()
        # In a share that shows no history, nobody would ever miss a comment.
        shares = (await client.get_ticket_detail(1001)).assigns
        line = max(shares, key=lambda share: len(share.history)).product_group_id
        # Nor a ticket of a line for which no earlier one was made.
        await deliver(once, "om_first", "签到", ticket_of("签到"))
        events: list[tuple[str, str, Mutation]] = []
        for number in range(messages):
            ticket = ticket_of(f"报障 {number}")
            events.append((f"om_{number}", ticket.title, ticket))
            comment = CommentTicket(id=1001, detail=f"备注 {number}", productGroupId=line)
            events.append((f"card_{number}", f"备注 {number}", comment))
        if side_by_side > 1:
            Random().shuffle(events)
        gate = asyncio.Semaphore(side_by_side)

        async def one(event: tuple[str, str, Mutation]) -> None:
            async with gate:
                await deliver(once, *event)

        async with asyncio.TaskGroup() as group:
            for event in events:
                group.create_task(one(event))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
