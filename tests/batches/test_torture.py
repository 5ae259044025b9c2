"""A batch that is killed again and again, while everything goes wrong at random: nothing lost, doubled or misreported.

One request in four fails. Connections have stray answers and end while they lie idle. Reads are behind, texts are
stored otherwise, lost requests are carried out later. People close, reopen and comment meanwhile, in the same words.
Our clock is set, the disk hangs, and bits of the journal flip.
"""

import asyncio
import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from tests.support.at_random import FAULTS
from tests.support.relay import relay
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
from workorder_async.document.codec import encode
from workorder_async.mutations.kinds import key_of
from workorder_async.sandbox import Applied
from workorder_async.sandbox.rules import Act

CHILD = Path(__file__).with_name("torture_child.py")
ROOT = Path(__file__).parents[2]
# A run that stops at one 401 goes on in the next one.
MOST_RUNS = 40


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
    # A mark stands on a line of its own.
    return (applied.operation, applied.ticket_id, str(request.get("detail") or "").partition("\n")[0] or None)


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


async def run_and_kill(
    environment: dict[str, str], words: list[str], after: int | None, *, is_damaged: bool = False
) -> list[tuple[str, str]]:
    """Run the child, and kill it after so many outcomes (None: let it end); return the outcomes that it printed.

    With a journal that `is_damaged` it has to refuse.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CHILD),
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if is_damaged else None,
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
    assert code in ((3,) if is_damaged else (0, -signal.SIGKILL)), code
    return outcomes


def flip_a_bit(journal: Path, random: Random) -> bytes:
    """Flip one bit of the whole lines of a journal; return what it was before."""
    before = journal.read_bytes()
    damaged, place = bytearray(before), random.randrange(before.rindex(b"\n") + 1)
    damaged[place] ^= 1 << random.randrange(8)
    journal.write_bytes(damaged)
    return before


async def meddle(sandbox: Sandbox, batch: list[Mutation], random: Random, touched: set[int]) -> None:
    """Let people change some of the tickets of a batch by other ways, as long as it runs."""
    about = [mutation for mutation in batch if not isinstance(mutation, CreateTicket)]
    while True:
        await asyncio.sleep(0.1)
        mutation = random.choice(about)
        touched.add(mutation.id)
        action: Act = random.choice(["close", "reopen", "comment"])
        await sandbox.act(mutation.id, action, mutation.detail or "")


async def torture(seed: int, count: int, kills: int, folder: Path, *, marked: bool = False) -> dict[str, int]:
    """Run a batch that is killed so often, then to its end, and compare what was asked, said and done."""
    random, runs = Random(seed), 0
    habits: dict[str, Any] = {
        "spelling": "java" if seed % 2 else "document",
        "backends": (-200, 200) if seed % 4 == 2 else (),
        "rate": 200 if seed % 3 == 0 else None,
        "lag": (0.0, 0.5, 1.5)[seed % 3],
        "texts": ("as sent", "no emoji", "nfc", "escaped", "cut")[seed % 5],
    }
    touched = set[int]()
    async with Sandbox(tickets=count * 6, seed=seed, **habits) as sandbox, AsyncExitStack() as stack:
        batch = await mixed(sandbox, count, random)
        url, left = await stack.enter_async_context(relay(sandbox.url, random, stray=0.02, closes=0.02))
        environment = {**sandbox.environment, "WORKORDER_BASE_URL": url}
        sandbox.faults = FAULTS
        words = [str(folder / "batch.journal"), str(folder / "batch.jsonl")]
        lines = [orjson.dumps([type(mutation).__name__, encode(mutation)]) for mutation in batch]
        await asyncio.to_thread(Path(words[1]).write_bytes, b"\n".join(lines))
        people = asyncio.create_task(meddle(sandbox, batch, random, touched))
        stack.push_async_callback(asyncio.wait, [people])
        stack.callback(people.cancel)
        said: dict[str, list[str]] = defaultdict(list)
        last: list[tuple[str, str]] = []
        done = Counter[tuple[object, ...]]()
        deaths: list[int | None] = [random.randrange(1, count // kills) for _ in range(kills)]
        for after in [*deaths, *[None] * MOST_RUNS]:
            last = await run_and_kill(environment, [*words, str(seed * 100 + runs + 1), "mark" * marked], after)
            runs += 1
            refused = {key for key, state in last if state == "REJECTED"}
            done = Counter(identity(applied) for applied in sandbox.applied)
            assert not [mutation for mutation in batch if key_of(mutation) in refused and done[wanted(mutation)]]
            for key, state in last:
                said[key].append(state)
            # What people have closed is refused again and again.
            refused -= {key_of(mutation) for mutation in batch if m_id(mutation) in touched}
            if after is None and not refused and not any(state == "NOT_SENT" for _, state in last):
                break
            if runs <= kills:
                asked = left["connections"]
                before = await asyncio.to_thread(flip_a_bit, Path(words[0]), random)
                assert await run_and_kill(environment, [*words, "0"], None, is_damaged=True) == []
                await asyncio.to_thread(Path(words[0]).write_bytes, before)
                assert left["connections"] == asked
        final = dict(last)
        figures = {"runs": runs, "struck": len(sandbox.struck), "throttled": sandbox.refused.total()}
        figures |= {"requests": sandbox.requests.total(), "touched": len(touched), **left}
    assert len(sandbox.struck) > count * 0.1
    assert set(final) == {key_of(mutation) for mutation in batch}
    doubled = [mutation for mutation in batch if done[wanted(mutation)] > 1]
    assert not doubled
    # Where people meddled, a mutation may be refused, or be there already.
    lost = [m for m in batch if final[key_of(m)] != "UNKNOWN" and done[wanted(m)] != 1 and m_id(m) not in touched]
    assert not [(mutation, said[key_of(mutation)]) for mutation in lost]
    misreported = [m for m in batch if "DONE" in said[key_of(m)] and done[wanted(m)] != 1]
    assert not misreported
    unknown = [mutation for mutation in batch if final[key_of(mutation)] == "UNKNOWN"]
    # Where the clocks of the servers disagree, no time proves anything.
    assert len(unknown) < count * (0.6 if habits["backends"] else 0.25)
    assert sum(done.values()) == len(sandbox.applied)
    return {**figures, "unknown": len(unknown)}


def m_id(mutation: Mutation) -> int:
    """Return the ticket that a mutation is about; 0 for a creation."""
    return 0 if isinstance(mutation, CreateTicket) else mutation.id


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(2))
async def test_killed_twice(seed: int, tmp_path: Path) -> None:
    """A short batch, killed twice: each mutation is applied once, but for those that are said to be unknown."""
    await torture(seed, count=150, kills=2, folder=tmp_path, marked=bool(seed))


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("marked", [False, True], ids=["plain", "marked"])
@pytest.mark.parametrize("seed", range(20))
async def test_killed_until_done(
    seed: int, tmp_path: Path, record_property: Callable[[str, object], None], *, marked: bool
) -> None:
    """The same with 2,000 mutations and five deaths, for twenty seeds."""
    # Told by `-o junit_family=legacy --junitxml=FILE`.
    for name, figure in (await torture(seed, count=2000, kills=5, folder=tmp_path, marked=marked)).items():
        record_property(name, figure)
