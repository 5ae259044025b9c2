"""What tests of exports share: what the sandbox holds, and an export in a child process."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.support.export_rows import as_read, cells, read_back
from workorder_async import Sandbox, TicketQuery, WorkorderClient
from workorder_async.document import TicketSummary

CHILD = Path(__file__).parents[1] / "exports" / "export_child.py"
#: One suffix for each way of writing, and for each way that parts are cut apart.
SUFFIXES = (".jsonl", ".csv", ".jsonl.gz", ".csv.zst", ".parquet", ".sqlite", ".xlsx")


async def truth(client: WorkorderClient, query: TicketQuery | None = None) -> list[TicketSummary]:
    """Read the list page by page, as somebody who knows nothing of walks."""
    found: list[TicketSummary] = []
    while True:
        page = await client.list_tickets(query or TicketQuery(), page=len(found) // 100 + 1, page_size=100)
        found += page.tickets
        if len(page.tickets) < 100:
            return found


def is_of(path: Path, tickets: list[TicketSummary]) -> bool:
    """Tell whether a file holds these tickets, cell for cell; a database in the order of ids."""
    if path.suffix in {".sqlite", ".db"}:
        tickets = sorted(tickets, key=lambda ticket: ticket.id)
    return read_back(path) == [as_read(path, cells(ticket)) for ticket in tickets]


def content(path: Path) -> object:
    """Return what two files that are the same export have in common: their bytes, or for some formats their rows.

    Compressed lines are cut where a part ended, which the clock decides, too.
    """
    return path.read_bytes() if path.suffix in {".jsonl", ".csv"} else read_back(path)


@asynccontextmanager
async def child(
    sandbox: Sandbox, target: "str | Path", stdout: int = asyncio.subprocess.DEVNULL, **options: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run an export in a process of its own; it is killed at the end of the block, where it still runs."""
    root = str(Path(__file__).parents[2])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CHILD),
        str(target),
        orjson.dumps(options).decode(),
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **sandbox.environment, "PYTHONPATH": root},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def said(
    process: asyncio.subprocess.Process, until: Callable[[dict[str, Any]], bool] = lambda line: False
) -> list[dict[str, Any]]:
    """Return the lines that a child says, up to one that is wanted, or to its end."""
    assert process.stderr is not None
    found = []
    async for line in process.stderr:
        if not line.endswith(b"\n"):
            break
        found.append(orjson.loads(line))
        if until(found[-1]):
            break
    return found
