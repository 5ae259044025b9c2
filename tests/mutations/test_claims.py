"""Everything at random, in virtual time: what is said of each mutation is held against what was carried out."""

import asyncio
import random
from collections import Counter

import orjson
import pytest

from tests.support.at_random import meddle, mutation
from tests.support.mutations import OPERATIONS, PENDING
from tests.support.slow import slow_after
from tests.support.virtual_loop import virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    ApiError,
    Mutation,
    NotSentError,
    OutcomeUnknownError,
    WorkorderClient,
)
from workorder_async.mutations.kinds import kind_of, prepare
from workorder_async.sandbox import ClientOptions, Fault

OPTIONS: ClientOptions = {"attempt_timeout": 5, "deadline": 60}


def faults(chance: random.Random) -> list[Fault]:
    """Return faults that lose a third of all answers: done, not done, or done later."""
    late = chance.choice([1, 4])
    return [
        fault
        for operation in OPERATIONS.values()
        for fault in (
            Fault("reset_after", operation=operation, chance=0.1),
            Fault("reset", operation=operation, chance=0.1),
            Fault("504_before", operation=operation, chance=0.1, seconds=late),
        )
    ]


async def said_of(client: WorkorderClient, one: Mutation, mark: str, pause: float) -> bool | None:
    """Carry out a mutation; return what is said of it: it happened, it did not, or that is not known."""
    try:
        await client.change(one, on_unknown="verify", mark=mark)
    except OutcomeUnknownError as error:
        await asyncio.sleep(pause)
        return await error.verify(client)
    except (ApiError, NotSentError):
        return False
    return True


@pytest.mark.parametrize(("seed", "count"), slow_after(1, [(0, 60), *((seed, 150) for seed in range(1, 13))]))
@virtual_time
async def test_what_is_said_is_true(seed: int, count: int) -> None:
    """What is said to have happened did, once; what is said not to have did not; the rest is unknown."""
    chance = random.Random(seed)
    texts = chance.choice(["as sent", "no emoji", "nfc", "escaped", "cut"])
    lag, marks = chance.choice([0, 0, 2]), chance.random() < 0.5
    claimed, unknown = Counter[tuple[str, bytes]](), Counter[tuple[str, bytes]]()
    async with virtual_sandbox(60, texts=texts, lag=lag, client=OPTIONS) as (sandbox, client):
        rows = (await client.list_tickets(PENDING, page_size=30)).tickets
        sandbox.faults = faults(chance)

        async def one(number: int) -> None:
            row = chance.choice(rows)
            made, pause = mutation(chance, row, number), chance.choice([0, 10, 100])
            mark = f"{seed}-{number}" if marks and not kind_of(made).converges else ""
            await asyncio.sleep(chance.random() * 100)
            await meddle(sandbox, chance, row.id)
            said = await said_of(client, made, mark, pause)
            ready = prepare(made, mark)
            what = (ready.kind.endpoint.operation, ready.content)
            claimed[what] += said is True
            unknown[what] += said is None

        await asyncio.gather(*map(one, range(count)))
        await asyncio.sleep(100)
        applied = Counter((done.operation, orjson.dumps(done.request)) for done in sandbox.applied)
    wrong = [
        (what, applied[what], claimed[what])
        for what in applied.keys() | claimed.keys()
        if not claimed[what] <= applied[what] <= claimed[what] + unknown[what]
    ]
    assert wrong == []
    assert unknown.total() < count / 3
