"""Closes the tickets of a CSV file (id, closer_id, closer_name), and writes what became of each; run it until 0."""

import asyncio
import csv
import sys
from contextlib import aclosing
from datetime import UTC, datetime

from workorder_async import BatchReport, CloseTicket, Outcome, WorkorderClient, run_batch


def read(path: str) -> list[CloseTicket]:
    """Read the tickets; what cannot be closed so is told before any is closed."""
    now = datetime.now(UTC)
    with open(path, newline="", encoding="utf-8-sig") as file:
        return [
            CloseTicket(id=int(r["id"]), closer_id=int(r["closer_id"]), closer_name=r["closer_name"], solved_time=now)
            for r in csv.DictReader(file)
        ]


async def close(closes: list[CloseTicket], journal: str, report: BatchReport) -> list[Outcome]:
    """Close them; twenty failures in a row are enough."""
    async with WorkorderClient.from_env() as client:
        batch = run_batch(client, closes, concurrency=16, journal=journal, stop_after=20, report=report)
        async with aclosing(batch) as outcomes:
            return [outcome async for outcome in outcomes]


if __name__ == "__main__":
    report = BatchReport()
    ended = asyncio.run(close(read(sys.argv[1]), sys.argv[2], report))
    with open(sys.argv[3], "w", newline="", encoding="utf-8") as file:
        rows = [[outcome.ticket_id, outcome.state.value, outcome.error or ""] for outcome in ended]
        csv.writer(file).writerows([["id", "state", "error"], *rows])
    print(*(f"{state.value}: {count}" for state, count in report.counts.items()), report.stopped, sep="\n")
    sys.exit(0 if report.settled else 1)
