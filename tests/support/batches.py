"""What tests of whole batches ask a sandbox for, and what they compare."""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from attrs import evolve

from tests.support.mutations import OPERATIONS, PENDING, close_of, creation
from workorder_async import CloseTicket, CommentTicket, CreateTicket, Mutation, RejectTicket, WorkorderClient
from workorder_async.batches.batch import Mutations, run_batch
from workorder_async.batches.outcomes import Outcome, State
from workorder_async.sandbox import Sandbox

#: Factories of tasks, which begin soon, or at once: a program of Python 3.12 or newer may choose that.
TASKS = (
    pytest.param(None, id="soon"),
    pytest.param(
        getattr(asyncio, "eager_task_factory", None),
        marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="no task begins at once before Python 3.12"),
        id="at once",
    ),
)


async def closes(client: WorkorderClient, count: int) -> list[CloseTicket]:
    """Return closes that the sandbox would carry out."""
    rows = (await client.list_tickets(PENDING, page_size=100)).tickets
    assert len(rows) >= count
    return [close_of(row.id, row.creator_name) for row in rows[:count]]


async def mixed(client: WorkorderClient, count: int) -> list[Mutation]:
    """Return mutations of all four kinds, each on a ticket of its own, that the sandbox would carry out."""
    batch: list[Mutation] = []
    for number, close in enumerate(await closes(client, count)):
        kinds: list[Mutation] = [
            close,
            RejectTicket(id=close.id, detail=f"不属于本产品线 {number}"),
            CommentTicket(id=close.id, detail=f"已联系客户 {number}"),
            evolve(creation(f"新工单 {number}"), reported_time=1660298580 + number),
        ]
        batch.append(kinds[number % 4])
    return batch


async def ran(client: WorkorderClient, mutations: Mutations, **options: Any) -> list[Outcome]:
    """Run a batch to its end."""
    async with aclosing(run_batch(client, mutations, **options)) as outcomes:
        return [outcome async for outcome in outcomes]


def asked(mutation: Mutation) -> tuple[str, object]:
    """Return what tells mutations apart in the sandbox's record."""
    operation = OPERATIONS[type(mutation).__name__.removesuffix("Ticket").lower()]
    return operation, mutation.title if isinstance(mutation, CreateTicket) else mutation.id


def happened(sandbox: Sandbox) -> Counter[tuple[str, object]]:
    """Count what the sandbox carried out, as `asked` tells it."""
    return Counter(
        (one.operation, one.request["title"] if one.operation == "create_ticket" else one.ticket_id)
        for one in sandbox.applied
    )


def states(outcomes: list[Outcome]) -> Counter[State]:
    """Count the states."""
    return Counter(outcome.state for outcome in outcomes)


def lines_of(journal: Path) -> list[bytes]:
    """Return the lines of a journal."""
    return journal.read_bytes().splitlines()


def sealed(lines: Iterable[bytes], total: int = 0) -> bytes:
    """Return the lines of a journal with the checksums that they should have; `total` is that of lines before them."""
    content = b""
    for line in lines:
        body = re.sub(rb',"sum":"[0-9a-f]{8}"', b"", line.removesuffix(b"\n"))[:-1]
        total = crc32(body, total)
        content += body + b',"sum":"%08x"}\n' % total
    return content


def begun_long_ago(journal: Path) -> None:
    """Let what a journal holds have begun so long ago, by clocks that agree, that no request of it can be under way."""

    def earlier(found: re.Match[bytes]) -> bytes:
        return b'"began":%f,"ahead":[-1,1]' % (float(found[1]) - 600)

    lines = [re.sub(rb',"(ahead|steady)":[^]]*]', b"", line) for line in lines_of(journal)]
    lines = [re.sub(rb'"began":([0-9.]+)', earlier, line) for line in lines]
    journal.write_bytes(sealed(lines))


def add_lines(journal: Path, *lines: bytes) -> None:
    """Add lines to a journal, as a batch that was killed would have."""
    *_, last = lines_of(journal)
    with journal.open("ab") as file:
        file.write(sealed(lines, int(last[-10:-2], 16)))
