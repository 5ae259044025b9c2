"""Batches that are killed at moments of chance, in virtual time: what is said is held against what was carried out.

One request in four fails, or nearly all do. Few tickets and few texts make many mutations look alike. Reads are behind,
texts are stored otherwise, clocks are off or set, and people do the same to the same tickets meanwhile. A kill leaves
the journal as it was at that moment, and what was sent on its way.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from attrs import evolve

from tests.support.at_random import FAULTS, SetClock, meddle, mutation
from tests.support.mutations import PENDING
from tests.support.virtual_loop import running_loop, virtual_run
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import RetryPolicy, TicketSummary, WorkorderClient
from workorder_async.batches.batch import run_batch, settle_journal
from workorder_async.batches.outcomes import State
from workorder_async.mutations.kinds import prepare
from workorder_async.sandbox import SANDBOX_ERRNOS, Fault, Sandbox

MUTATIONS, KILLS = 40, 10
# What was not sent is left to further runs.
MOST_RUNS = 40
# A batch stops for 401 and 403. What is carried out late is what a look that comes too early does not see; with the lag
# of reads it is shown within the four seconds of an attempt, as is assumed.
STRIKES = [
    *(fault for fault in FAULTS if fault.kind not in ("401", "403")),
    Fault("504_before", chance=0.04, seconds=1.5),
]


def content(operation: str, request: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return what a mutation is for the server, without the mark below its text."""
    plain = {name: value for name, value in request.items() if value is not None}
    if isinstance(text := plain.get("detail"), str):
        plain["detail"] = text.partition("\n")[0]
    return operation, orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)


class Game:
    """One batch, its runs, and what they said of each of its mutations."""

    def __init__(self, random: Random, sandbox: Sandbox, rows: Sequence[TicketSummary], journal: Path) -> None:
        self._random, self._sandbox, self._rows, self._journal = random, sandbox, rows, journal
        self._mutations = [mutation(random, random.choice(rows), random.choice([0, n])) for n in range(MUTATIONS)]
        self._numbers = {id(one): number for number, one in enumerate(self._mutations)}
        self._said: dict[int, list[State]] = {number: [] for number in range(MUTATIONS)}
        self._options: dict[str, Any] = {
            "concurrency": random.choice([1, 4, 16]),
            "mark": random.random() < 0.4,
            "verify": random.random() < 0.9,
            "key": lambda one: str(self._numbers[id(one)]),
            "patience": 0.001,
        }
        self._sets_clock, self._has_people = random.random() < 0.3, random.random() < 0.5

    def client(self) -> WorkorderClient:
        """Return the client of one run."""
        clock = running_loop().wall_clock
        return self._sandbox.client(
            errnos=SANDBOX_ERRNOS,
            retry=RetryPolicy(first=0.01),
            attempt_timeout=4,
            deadline=self._random.choice([8, 20, 40]),
            now=SetClock(self._random, clock) if self._sets_clock else clock,
        )

    async def run(self, until: int | None) -> list[State]:
        """Run the batch, and kill it after so many outcomes, or soon after; None: never. Return what it said."""
        random, left, said = self._random, None, list[State]()
        async with (
            self.client() as client,
            aclosing(run_batch(client, self._mutations, journal=self._journal, **self._options)) as outcomes,
        ):
            async for outcome in outcomes:
                said.append(outcome.state)
                self._said[self._numbers[id(outcome.mutation)]].append(outcome.state)
                if self._has_people and random.random() < 0.1:
                    await meddle(self._sandbox, random, random.choice(self._rows).id)
                if len(said) == until:
                    await asyncio.sleep(random.choice([0, 0.05, 0.5, 5]) * random.random())
                    # From now on nothing arrives, and nothing is written down.
                    left, self._sandbox.faults = self._journal.read_bytes(), [Fault("refuse")]
                    break
        if left is not None:
            self._journal.write_bytes(left)
        return said

    async def settle(self) -> None:
        """Settle what is open, as a person does between two runs."""
        async with self.client() as client, aclosing(settle_journal(client, self._journal)) as outcomes:
            async for _ in outcomes:
                pass

    def wrong(self) -> list[object]:
        """Return each content that was carried out more often, or less often, than was said."""
        applied = Counter(content(one.operation, one.request) for one in self._sandbox.applied)
        done, unknown = Counter[tuple[str, bytes]](), Counter[tuple[str, bytes]]()
        for number, one in enumerate(self._mutations):
            ready, said = prepare(one, ""), self._said[number]
            what = content(ready.kind.endpoint.operation, orjson.loads(ready.content))
            if State.DONE in said:
                done[what] += 1
            elif said[-1] is State.UNKNOWN or (said[-1] is State.SKIPPED and State.ALREADY not in said):
                # What is skipped is over by the journal: how, a run knew that was killed before it said so.
                unknown[what] += 1
        return [
            (what, applied[what], done[what], unknown[what])
            for what in applied.keys() | done.keys()
            if not done[what] <= applied[what] <= done[what] + unknown[what]
        ]


async def play(seed: int, folder: Path) -> None:
    """Play a game: kill a batch some times, and let it come to its end."""
    random = Random(f"killed {seed}")
    habits: dict[str, Any] = {
        "lag": random.choice([0.0, 0.0, 0.5, 2.0]),
        "texts": random.choice(["as sent", "no emoji", "nfc", "escaped", "cut"]),
        "latency": random.choice([0.01, 0.05, 0.3]),
        "backends": random.choice([(), (), (), (-30, 0, 30)]),
        "date_offset": random.choice([0.0, 0.0, 50.0, 7200.0]),
        "spelling": random.choice(["document", "java"]),
    }
    times = random.choice([1, 3])
    async with virtual_sandbox(200, seed=seed, **habits) as (sandbox, client):
        rows = (await client.list_tickets(PENDING, page_size=random.choice([3, 10, 30]))).tickets
        game = Game(random, sandbox, rows, folder / f"{seed}.journal")
        said = list[State]()
        strikes = [evolve(fault, chance=fault.chance * times) for fault in STRIKES]
        for until in [*(random.randrange(1, 6) for _ in range(KILLS)), *[None] * MOST_RUNS]:
            sandbox.faults = random.sample(strikes, len(strikes))
            said = await game.run(until)
            if until is None and State.NOT_SENT not in said:
                break
            await asyncio.sleep(random.choice([0, 0, 0.5, 5, 100]))
            if random.random() < 0.2:
                await game.settle()
        await asyncio.sleep(30)  # some is carried out late
        assert len(said) == MUTATIONS
        assert game.wrong() == [], seed


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 32, 4))
def test_what_is_said_is_true(first: int, tmp_path: Path) -> None:
    """What is said to be done was carried out once, what is not known is said to be unknown, and the rest was not."""
    for seed in range(first, first + 4):
        virtual_run(play(seed, tmp_path))


@pytest.mark.torture
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("first", range(100, 1100, 100))
def test_a_thousand_games(first: int, tmp_path: Path) -> None:
    """The same, a thousand times."""
    for seed in range(first, first + 100):
        virtual_run(play(seed, tmp_path))
