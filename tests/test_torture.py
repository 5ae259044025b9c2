"""A batch that is killed again and again, against a server that fails one request in five: nothing lost or doubled."""

import asyncio
import os
import signal
import sys
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import orjson
import pytest

from workorder_async import (
    CloseTicket,
    CommentTicket,
    CreateTicket,
    Mutation,
    Priority,
    RejectTicket,
    Sandbox,
    TicketQuery,
    TicketType,
)
from workorder_async.batch import key_of
from workorder_async.codec import encode
from workorder_async.sandbox import Applied, Fault, Spelling

CHILD = Path(__file__).with_name("torture_child.py")
ROOT = Path(__file__).parent.parent
# One request in five goes wrong, in every way that ends quickly; a silent server is rarer, since each costs seconds.
FAULTS = [
    Fault("refuse", chance=0.02),
    Fault("reset", chance=0.03),
    Fault("reset_after", chance=0.05),
    Fault("truncate", chance=0.03),
    Fault("html", chance=0.02),
    Fault("html_after", chance=0.03),
    Fault("429", chance=0.02, retry_after=0),
    Fault("503", chance=0.02, retry_after=0),
    Fault("hang_after", chance=0.002),
    *(Fault(kind, chance=0.01) for kind in ("500_after", "502_after", "504_after", "portal", "portal_after")),
    Fault("503_after", chance=0.02, retry_after=0),
    Fault("429", chance=0.002, retry_after=None),
    Fault("date", chance=0.02, seconds=-86400),
    Fault("drip", chance=0.001, seconds=0.2),
    *(Fault("other_ticket", chance=0.02, operation=operation) for operation in ("get_ticket", "get_ticket_detail")),
    # Left out: 401 and 403, which end a batch, and errno_after: an applied mutation that is answered with HTTP 200 and
    # an errno is refused, by the API document.
]


async def mixed(sandbox: Sandbox, count: int, random: Random) -> list[Mutation]:
    """Return so many mutations of every kind: each ticket is closed or rejected once, each text is its own."""
    async with sandbox.client() as client:
        pending = [ticket async for ticket in client.iter_tickets(TicketQuery(status="pending"))]
    random.shuffle(pending)
    batch: list[Mutation] = []
    for number in range(count):
        ticket = pending.pop()
        kinds: list[Mutation] = [
            CloseTicket(id=ticket.id, closer_id=1, closer_name=ticket.creator_name, solved_time=1_700_000_000),
            RejectTicket(id=ticket.id, detail=f"不属于本产品线 {number}"),
            CommentTicket(id=ticket.id, detail=f"已处理 {number}"),
            CreateTicket(
                title=f"新工单 {number}",
                detail=f"详情 {number}",
                reported_time=1_700_000_000,
                type=TicketType.CONSULTATION,
                priority=Priority.NORMAL,
                customer_organization_id=1,
                customer_organization_name="某某公司",
                repository_product_id=36,
                creator_id=200_000 + number,
                creator_name="姜程",
            ),
        ]
        batch.append(random.choice(kinds))
    return batch


def identity(applied: Applied) -> tuple[object, ...]:
    """Return what tells one applied mutation from another, as the server saw it."""
    request = applied.request
    if applied.operation == "create_ticket":
        return (applied.operation, request["title"])
    return (applied.operation, applied.ticket_id, request.get("detail"))


def wanted(mutation: Mutation) -> tuple[object, ...]:
    """Return the same of a mutation that was asked for."""
    match mutation:
        case CreateTicket():
            return ("create_ticket", mutation.title)
        case CloseTicket():
            return ("close_ticket", mutation.id, mutation.detail)
        case RejectTicket():
            return ("reject_ticket", mutation.id, mutation.detail)
        case CommentTicket():
            return ("comment_ticket", mutation.id, mutation.detail)


async def run_and_kill(environment: dict[str, str], files: list[str], after: int | None) -> list[tuple[str, str]]:
    """Run the child, and kill it after so many outcomes (None: let it end); return the outcomes that it printed."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CHILD),
        *files,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    outcomes: list[tuple[str, str]] = []
    async for line in child.stdout:
        if not line.endswith(b"\n"):
            break  # torn by the kill
        key, state = line.decode().split()
        outcomes.append((key, state))
        if after is not None and len(outcomes) >= after:
            child.send_signal(signal.SIGKILL)
            after = None
    code = await child.wait()
    assert code in (0, -signal.SIGKILL), code
    return outcomes


async def torture(seed: int, count: int, kills: int, folder: Path) -> None:
    """Run a batch that is killed so often, then to its end, and compare what was asked, said and done."""
    random = Random(seed)
    spelling: Spelling = "java" if seed % 2 else "document"
    backends = (-200, 200) if seed % 4 == 2 else ()
    async with Sandbox(tickets=count * 6, seed=seed, spelling=spelling, backends=backends) as sandbox:
        batch = await mixed(sandbox, count, random)
        sandbox.faults = FAULTS
        files = [str(folder / "batch.journal"), str(folder / "batch.jsonl")]
        lines = [orjson.dumps([type(mutation).__name__, encode(mutation)]) for mutation in batch]
        await asyncio.to_thread(Path(files[1]).write_bytes, b"\n".join(lines))
        said: dict[str, list[str]] = defaultdict(list)
        last: list[tuple[str, str]] = []
        deaths: list[int | None] = [random.randrange(1, count // kills) for _ in range(kills)]
        for after in [*deaths, None, None, None]:
            last = await run_and_kill(sandbox.environment, files, after)
            for key, state in last:
                said[key].append(state)
            if after is None and not any(state in ("NOT_SENT", "REJECTED") for _, state in last):
                break
        done = Counter(identity(applied) for applied in sandbox.applied)
        final = dict(last)
    assert len(sandbox.struck) > count * 0.1
    assert set(final) == {key_of(mutation) for mutation in batch}
    doubled = [mutation for mutation in batch if done[wanted(mutation)] > 1]
    assert not doubled
    lost = [m for m in batch if final[key_of(m)] != "UNKNOWN" and done[wanted(m)] != 1]
    assert not [(mutation, said[key_of(mutation)]) for mutation in lost]
    misreported = [m for m in batch if {"DONE", "ALREADY"} & {*said[key_of(m)]} and done[wanted(m)] != 1]
    assert not misreported
    unknown = [mutation for mutation in batch if final[key_of(mutation)] == "UNKNOWN"]
    assert len(unknown) < count * 0.15
    assert sum(done.values()) == len(sandbox.applied)


@pytest.mark.parametrize("seed", range(2))
async def test_killed_twice(seed: int, tmp_path: Path) -> None:
    """A short batch, killed twice: each mutation is applied once, but for those that are said to be unknown."""
    await torture(seed, count=150, kills=2, folder=tmp_path)


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(20))
async def test_killed_until_done(seed: int, tmp_path: Path) -> None:
    """The same with 2,000 mutations and five deaths, for twenty seeds."""
    await torture(seed, count=2000, kills=5, folder=tmp_path)
