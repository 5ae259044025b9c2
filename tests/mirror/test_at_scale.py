"""Must hold at 50,000 tickets: the requests of a run, and what is named; and drift with kills, held to the contract."""

import asyncio
import sys
from pathlib import Path
from random import Random
from typing import get_args

import pytest

from tests.support.mirrors import Tickets, asked, held, ids_of, open_pages, truth, vanish
from tests.support.virtual_loop import running_loop, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import WorkorderClient
from workorder_async.mirror import mirror_tickets
from workorder_async.mirror.figures import figures_of
from workorder_async.mirror.page import page_of
from workorder_async.sandbox import Drift
from workorder_async.testing import Kill, Moment, SandboxThread, run_killed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TICKETS = 50_000
#: The place of the status among the cells of a row.
STATUS = 3


@virtual_time
async def test_requests(tmp_path: Path) -> None:
    """A run after nothing, 50 changes, 500 closes, and 1, 5 and 100 deletions; the page of all is small."""
    path, random = tmp_path / "tickets.db", Random(1)
    async with virtual_sandbox(TICKETS, latency=0.01) as (sandbox, client):
        assert (await mirror_tickets(client, path)).created == TICKETS
        async with sandbox.client(now=running_loop().wall_clock) as another:  # which knows nothing of the list yet
            second = await mirror_tickets(another, path)
        pages = await open_pages(client)
        assert second.requests <= pages + 5 + 1, pages  # the one learns the server's time
        usual = second.requests

        drifted = await sandbox.change(close=20, reopen=20, create=10)
        report = await mirror_tickets(client, path)
        assert held(path) == await truth(client)
        named = {id for (id,) in asked(path, "SELECT DISTINCT ticket FROM changes WHERE run = ?", report.run)}
        assert named == {*drifted.closed, *drifted.reopened, *drifted.created}

        await sandbox.change(close=500)
        report = await mirror_tickets(client, path)
        assert report.changed == 500
        assert report.requests <= 2.2 * await open_pages(client)

        for count, most in ((1, 15), (5, 50), (100, 400)):
            lost = sorted(random.sample(await ids_of(sandbox, 3), count))
            await vanish(sandbox, *lost)
            report = await mirror_tickets(client, path)
            assert report.missing == lost
            assert report.requests <= usual + most
            assert (await mirror_tickets(client, path)).gone == lost
        assert held(path) == await truth(client)
    page = "".join(page_of(figures_of(path), "many", "zh"))
    assert len(page.encode()) <= 60_000


@pytest.mark.parametrize("seed", range(2))
@virtual_time
async def test_fifty_rounds(tmp_path: Path, seed: int) -> None:
    """Between and during fifty runs, of which twenty are cut short, tickets move; what is promised holds each time."""
    path, random = tmp_path / "tickets.db", Random(seed)
    now = int(running_loop().wall_clock())
    async with virtual_sandbox(1500, latency=0.05, until=now, seed=seed, lag=1.0) as (sandbox, client):
        await mirror_tickets(client, path)
        for number in range(50):
            for _ in range(random.randrange(3)):
                await sandbox.change(
                    close=1 + random.randrange(5), reopen=random.randrange(3), create=random.randrange(5)
                )
            if random.random() < 0.3:
                await vanish(sandbox, random.choice(await ids_of(sandbox, random.choice([1, 2, 3]))))
            await asyncio.sleep(random.choice([1, 10, 200]))
            before = await truth(client)
            sandbox.drift = [Drift(every=random.randrange(2, 9), close=1, create=random.randrange(2), reopen=1)]
            run = asyncio.create_task(mirror_tickets(client, path))
            if number % 5 in (1, 3):
                await asyncio.sleep(random.uniform(0.05, 2.0))
                run.cancel()
                await asyncio.gather(run, return_exceptions=True)
                sandbox.drift = ()
                continue
            report = await run
            sandbox.drift = ()
            await asyncio.sleep(2)
            assert report.exact, report.reason
            _hold(path, before, await truth(client))
        await asyncio.sleep(300)
        await mirror_tickets(client, path)
        await mirror_tickets(client, path)
        report = await mirror_tickets(client, path)
        assert (report.missing, report.gone) == ([], [])
        final, there = await truth(client), held(path)
        assert set(there) == set(final)
        # What differs was closed, reopened and closed between two runs: nothing else.
        assert {(final[id][STATUS], there[id][STATUS]) for id in final if final[id] != there[id]} <= {(3, 3)}
        await mirror_tickets(client, path, full=True)
        assert held(path) == final


def test_killed(tmp_path: Path) -> None:
    """A program that is killed again and again (SIGKILL) goes on each time, and ends with a database that is whole."""
    path = tmp_path / "tickets.db"
    command = [sys.executable, "-m", "workorder_async", "mirror", str(path), "--concurrency", "2"]
    with SandboxThread(tickets=1500) as sandbox:
        kills = [Kill("list_tickets", count, moment=moment) for count in (2, 6) for moment in get_args(Moment)]
        *_, last = run_killed(sandbox, command, *kills)
        assert last.returncode == 0, last.stderr
        assert "exact; " in last.stderr

        async def listed() -> Tickets:
            async with WorkorderClient.from_env(sandbox.environment) as client:
                return await truth(client)

        assert held(path) == asyncio.run(listed())
        assert asked(path, "SELECT count(*) FROM runs WHERE ended_at IS NULL") == [(len(kills),)]


def _hold(path: Path, before: Tickets, after: Tickets) -> None:
    """See that a run kept what it promises, by the list before it and after it."""
    there, stayed = held(path), before.keys() & after.keys()
    assert stayed <= there.keys()
    steady = [id for id in stayed if before[id] == after[id] and after[id][STATUS] in (1, 2)]
    assert [id for id in steady if there[id] != after[id]] == []
