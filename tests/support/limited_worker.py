"""One process of several that share limits: `python -m tests.support.limited_worker REDIS RATE TASKS SECONDS`.

Says that it is ready, waits for a line, and lets its tasks comment for so long; then says in JSON how long each request
waited for its turn, and which calls failed.
"""

import asyncio
import json
import sys
import time

from workorder_async import AttemptEnded, CommentTicket, Event, WorkorderClient, WorkorderError
from workorder_async.integrations.redis_limits import RedisLimits
from workorder_async.wire.limits import Lane


class Waits:
    """Notes how long each attempt waited for its turn."""

    def __init__(self) -> None:
        self.queued: list[float] = []

    def on_event(self, event: Event) -> None:
        """Note it."""
        if isinstance(event, AttemptEnded):
            self.queued.append(event.seconds.queue)


async def main(url: str, rate: float, tasks: int, seconds: float) -> None:
    """Work."""
    waits, failures, lane = Waits(), list[str](), Lane(tasks)
    async with (
        RedisLimits(url, rate=rate) as limits,
        WorkorderClient.from_env(limits=limits, max_in_flight=64, observers=[waits]) as client,
    ):
        await client.get_ticket(1001)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        ends = time.monotonic() + seconds

        async def work(task: int) -> None:
            number = 0
            while time.monotonic() < ends:
                number += 1
                try:
                    await client.change(CommentTicket(id=1001, detail=f"{task} {number}"), lane=lane)
                except WorkorderError as error:
                    failures.append(str(error))

        await asyncio.gather(*map(work, range(tasks)))
    sys.stdout.write(json.dumps({"queued": waits.queued[1:], "failures": failures}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
