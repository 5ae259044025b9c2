"""workorder_async.mirror.watch: every event at least once, those of a ticket in order, and what cannot be known."""

import asyncio
import errno
import json
import logging
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, cast
from unittest.mock import Mock

import pytest

from tests.support.mirrors import asked, held, ids_of, truth, vanish
from tests.support.slow import slow_after
from tests.support.virtual_loop import running_loop, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import AuthenticationError, ConfigError, ExportError, TicketQuery, TicketStatus
from workorder_async.mirror import Changed, Created, Event, Gap, Gone, Watch, mirror_tickets, watch
from workorder_async.mirror.database import MirrorDatabase
from workorder_async.sandbox import Fault


async def told(events: Watch, seconds: float, *, done: bool = True) -> list[Event]:
    """Return what is told within so many seconds."""
    found: list[Event] = []
    try:
        async with asyncio.timeout(seconds):
            async for event in events:
                found.append(event)
                if done:
                    await events.done(event)
    except TimeoutError:
        pass
    return found


@virtual_time
async def test_what_happens(tmp_path: Path) -> None:
    """New tickets, changes and deletions are told, each once; what was there before is not."""
    now = int(running_loop().wall_clock())
    async with virtual_sandbox(300, latency=0.05, until=now) as (sandbox, client):
        async with watch(client, bookmark=tmp_path / "w.db", every=60) as events:
            assert await told(events, 130) == []
            drifted = await sandbox.change(close=2, create=1)
            found = await told(events, 130)
            assert [type(one).__name__ for one in found if isinstance(one, Created)] == ["Created"]
            assert {one.ticket_id for one in found if isinstance(one, Created)} == set(drifted.created)
            closes = [one for one in found if isinstance(one, Changed) and one.field == "status"]
            assert {one.ticket_id for one in closes} == set(drifted.closed)
            assert {(one.old, one.new) for one in closes} == {(TicketStatus.PENDING, TicketStatus.CLOSED)}
            assert all(one.ticket.status is TicketStatus.CLOSED for one in closes)
            assert all(one.at >= now for one in closes)
            (lost, *_) = await ids_of(sandbox, 3)
            await vanish(sandbox, lost)
            found = await told(events, 130)
            assert [(type(one), one.ticket_id) for one in found if not isinstance(one, Gap)] == [(Gone, lost)]
        assert held(tmp_path / "w.db") == await truth(client)


@virtual_time
async def test_full_records_of_new_tickets(tmp_path: Path) -> None:
    """When a ticket is told to be new, its full record is there, in a look that finds no other change, too."""
    path = tmp_path / "w.db"
    async with (
        virtual_sandbox(20, latency=0.05) as (sandbox, client),
        watch(client, bookmark=path, every=60, detail=True) as events,
    ):
        assert await told(events, 70) == []
        (made,) = (await sandbox.change(create=1)).created
        assert [type(one) for one in await told(events, 60)] == [Created]
        assert asked(path, "SELECT count(*) FROM details WHERE id = ?", made) == [(1,)]


@virtual_time
async def test_told_again_until_done(tmp_path: Path) -> None:
    """After a restart, what was not done is told again, from the first such event on; and a gap is told.

    What runs of a mirror saw before the first watch is not.
    """
    path = tmp_path / "w.db"
    async with virtual_sandbox(500, latency=0.05) as (sandbox, client):
        await mirror_tickets(client, path)
        await sandbox.change(create=1, close=1)
        assert (await mirror_tickets(client, path)).created == 1
        await sandbox.change(create=4)
        await asyncio.sleep(5)
        async with watch(client, bookmark=path, every=60) as events:
            found = await told(events, 30, done=False)
            assert [type(one) for one in found] == [Gap, Created, Created, Created, Created]
            for one in (found[0], found[1], found[3]):
                await events.done(one)
        await asyncio.sleep(5)
        async with watch(client, bookmark=path, every=60) as events:
            again = await told(events, 30, done=False)
            assert again[:3] == found[2:]
            assert [type(one) for one in again[3:]] == [Gap]
            for one in again:
                await events.done(one)
        await asyncio.sleep(1000)
        async with watch(client, bookmark=path, every=60) as events:
            (gap,) = await told(events, 30)
            assert isinstance(gap, Gap)
            assert gap.at - gap.since >= 1000


@virtual_time
async def test_several_that_share_a_watch(tmp_path: Path) -> None:
    """Each event is told to one of them, and one look is made for all."""
    path, found = tmp_path / "w.db", list[Event]()
    async with virtual_sandbox(50, latency=0.05) as (sandbox, client):
        await mirror_tickets(client, path)
        async with watch(client, bookmark=path, every=60) as events:

            async def work() -> None:
                async for event in events:
                    found.append(event)
                    await asyncio.sleep(1)
                    await events.done(event)

            working = [asyncio.create_task(work()) for _ in range(3)]
            await sandbox.change(create=5)
            await asyncio.sleep(70)
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
        assert [one.number for one in found] == [1, 2, 3, 4, 5, 6]
        assert asked(path, "SELECT count(*), count(ended_at) FROM runs") == [(3, 3)]


@virtual_time
async def test_left_and_opened_again(tmp_path: Path) -> None:
    """What was not done is told again; nothing is told, or done, while it is not open."""
    async with virtual_sandbox(50, latency=0.05) as (sandbox, client):
        await mirror_tickets(client, tmp_path / "w.db")
        events = watch(client, bookmark=tmp_path / "w.db", every=60)
        async with events:
            await sandbox.change(create=1)
            found = await told(events, 30, done=False)
            waiting = asyncio.create_task(anext(events))
            await asyncio.sleep(1)
        for use in (waiting, events.done(found[0])):
            with pytest.raises(ConfigError, match="a watch is not open; write `async with watch"):
                await use
        async with events:
            with pytest.raises(ConfigError, match="event is 1001; it must be an event that the watch told"):
                await events.done(cast("Event", 1001))
            assert (await told(events, 30, done=False))[:2] == found


@pytest.mark.parametrize("ahead", slow_after(1, [-900, 900]))
@virtual_time
async def test_a_gap_by_the_servers_clock(tmp_path: Path, ahead: int) -> None:
    """A new process tells since when nobody looked, and until when, though its own clock is off."""
    path, clock = tmp_path / "w.db", running_loop().wall_clock
    async with virtual_sandbox(50, latency=0.05) as (sandbox, client):
        await mirror_tickets(client, path)
        await asyncio.sleep(5)
        async with (
            sandbox.client(now=lambda: clock() + ahead) as other,
            watch(other, bookmark=path, every=60) as events,
        ):
            (gap,) = await told(events, 30)
        assert isinstance(gap, Gap)
        assert 4 <= gap.at - gap.since <= 7


@virtual_time
async def test_a_platform_that_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Looks that fail are waited out and told, and nothing is lost; a refused signature ends it."""
    async with (
        virtual_sandbox(400, latency=0.05, client={"deadline": 5.0}) as (sandbox, client),
        watch(client, bookmark=tmp_path / "w.db", every=60) as events,
    ):
        assert await told(events, 100) == []
        sandbox.faults = [Fault("500")]
        (made,) = (await sandbox.change(create=1)).created
        with caplog.at_level(logging.WARNING, "workorder_async.mirror"):
            assert [type(one) for one in await told(events, 300)] == [Gap]
        assert events.failure is not None
        assert "a look at the tickets failed" in caplog.text
        sandbox.faults = []
        found = await told(events, 100)
        assert events.failure is None
        assert [(type(one), one.ticket_id) for one in found if not isinstance(one, Gap)] == [(Created, made)]
        assert len(found) == 1
        sandbox.faults = [Fault("401")]
        with pytest.raises(AuthenticationError):
            await told(events, 1000)


@pytest.mark.parametrize("total_cap", slow_after(1, [None, 500]))
@virtual_time
@pytest.mark.slow
async def test_quiet_looks(tmp_path: Path, total_cap: int | None) -> None:
    """A look that finds nothing new asks five times at the most; what leaves the totals alike comes with the tenth."""
    async with (
        virtual_sandbox(1200, latency=0.05, total_cap=total_cap) as (sandbox, client),
        watch(client, bookmark=tmp_path / "w.db", every=60) as events,
    ):
        assert await told(events, 70) == []
        before = sandbox.requests["list_tickets"]
        assert await told(events, 240) == []
        assert sandbox.requests["list_tickets"] - before <= 4 * 5
        drifted = await sandbox.change(close=3, reopen=3)
        found = [one for one in await told(events, 700) if isinstance(one, Changed) and one.field == "status"]
        assert {one.ticket_id for one in found} == {*drifted.closed, *drifted.reopened}


@virtual_time
async def test_the_runs_of_quiet_looks(tmp_path: Path) -> None:
    """Of looks that saw nothing new one row stays, behind each run that saw something, and the views stay right."""
    path = tmp_path / "w.db"
    periods = "SELECT ticket, status, since, until FROM status_periods ORDER BY 1, 3"
    async with virtual_sandbox(50, latency=0.05) as (sandbox, client):
        assert (await mirror_tickets(client, path)).run == 1
        async with watch(client, bookmark=path, every=60) as events:
            assert [type(one) for one in await told(events, 1250)] == [Gap]
            assert asked(path, "SELECT id FROM runs") == [(1,), (22,)]
            drifted = await sandbox.change(close=1, create=1)
            (made, closed) = (*drifted.created, *drifted.closed)
            assert len(await told(events, 1200)) >= 2
        assert (await mirror_tickets(client, path)).run == 43
        assert asked(path, "SELECT id FROM runs WHERE ended_at IS NOT NULL") == [(1,), (22,), (23,), (42,), (43,)]
        as_of = "SELECT run, status FROM tickets_as_of WHERE id = ? ORDER BY run"
        assert asked(path, as_of, closed) == [(1, 1), (22, 1), (23, 3), (42, 3), (43, 3)]
        assert [run for run, _ in asked(path, as_of, made)] == [23, 42, 43]
        assert [row[:2] for row in asked(path, periods) if row[0] == closed] == [(closed, 1), (closed, 3)]
        ((ended,),) = asked(path, "SELECT ended_at FROM runs WHERE id = 43")
        await asyncio.sleep(100)
        async with watch(client, bookmark=path, every=60) as events:
            (gap,) = await told(events, 30)
        assert isinstance(gap, Gap)
        assert gap.since == ended


@virtual_time
async def test_what_a_look_costs_after_a_year(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No look reads all changes: neither the first one, nor a quiet one, nor one that finds something."""
    path, look, questions = tmp_path / "w.db", MirrorDatabase.ask, dict[str, tuple[object, ...]]()

    def ask(database: MirrorDatabase, question: str, *values: object) -> list[tuple[Any, ...]]:
        questions[question] = values
        return look(database, question, *values)

    monkeypatch.setattr(MirrorDatabase, "ask", ask)
    async with (
        virtual_sandbox(50, latency=0.05) as (sandbox, client),
        watch(client, bookmark=path, every=60) as events,
    ):
        assert await told(events, 130) == []
        await sandbox.change(close=2, create=1)
        assert len(await told(events, 130)) >= 3
        assert json.loads(asked(path, "SELECT report FROM runs WHERE id = 4")[0][0])["changed"] == 2
    plans = [
        (row[3], question)
        for question, values in questions.items()
        for row in asked(path, f"EXPLAIN QUERY PLAN {question}", *values)
    ]
    assert sum("changes" in question for _, question in plans) >= 3
    assert [question for plan, question in plans if re.match("SCAN (changes|c)\\b", plan)] == []


@virtual_time
async def test_wrong_use(tmp_path: Path) -> None:
    """Mistakes are told before anything is sent."""
    async with virtual_sandbox(5) as (sandbox, client):
        with pytest.raises(ConfigError, match="every is 0"):
            watch(client, bookmark=tmp_path / "w.db", every=0)
        with pytest.raises(ConfigError, match="bookmark is empty"):
            watch(client, bookmark=" ")
        with pytest.raises(ConfigError, match="status is not for a mirror"):
            watch(client, TicketQuery(status=1), bookmark=tmp_path / "w.db")
        with pytest.raises(ConfigError, match="async with watch"):
            await anext(watch(client, bookmark=tmp_path / "w.db"))
        assert sandbox.requests.total() == 0


@virtual_time
async def test_a_bookmark_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch ends, and leaves the database to the next one."""
    path = tmp_path / "w.db"
    async with virtual_sandbox(5) as (_, client):
        left = watch(client, bookmark=path)

        async def look() -> None:
            async with left as events:
                await anext(events)

        with monkeypatch.context() as patch:
            patch.setattr(MirrorDatabase, "ask", Mock(side_effect=OSError(errno.EIO, "broken")))
            with pytest.raises(ExportError, match="broken"):
                await look()
        assert (await mirror_tickets(client, path)).tickets == 5


@pytest.mark.slow
@pytest.mark.timeout(300)
@virtual_time
async def test_killed_many_times(tmp_path: Path) -> None:
    """Hundreds of events, thirty ends at any moment: each is told, and those of a ticket in their order."""
    random, path = Random(3), tmp_path / "w.db"
    delivered: dict[int, Event] = {}
    order: dict[int, list[int]] = defaultdict(list)
    async with virtual_sandbox(600, latency=0.02) as (sandbox, client):
        await mirror_tickets(client, path)
        happened = defaultdict[int, set[str]](set)

        async def live() -> None:
            for _ in range(60):
                drifted = await sandbox.change(close=2, reopen=1, create=2)
                for id in drifted.created:
                    happened[id].add("new")
                for id in (*drifted.closed, *drifted.reopened):
                    happened[id].add("status")
                await asyncio.sleep(random.uniform(5, 40))

        async def look() -> None:
            async with watch(client, bookmark=path, every=20) as events:
                async for event in events:
                    delivered[event.number] = event
                    if not isinstance(event, Gap):
                        order[event.ticket_id].append(event.number)
                    await asyncio.sleep(random.choice([0, 0, 0.5]))
                    await events.done(event)

        living = asyncio.create_task(live())
        for _ in range(30):
            looking = asyncio.create_task(look())
            await asyncio.sleep(random.uniform(0.05, 60))
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        await living
        looking = asyncio.create_task(look())
        await asyncio.sleep(800)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        assert held(path) == await truth(client)
    seen = defaultdict[int, set[str]](set)
    last: dict[int, TicketStatus] = {}
    for number in sorted(delivered):
        event = delivered[number]
        if isinstance(event, Created):
            seen[event.ticket_id].add("new")
        elif isinstance(event, Changed) and event.field == "status":
            seen[event.ticket_id].add("status")
            # Nothing between two events of a ticket was left out.
            assert last.get(event.ticket_id, event.old) == event.old
            last[event.ticket_id] = event.new
    assert sum(map(len, happened.values())) > 180
    assert all("new" in seen[id] for id, what in happened.items() if "new" in what)
    rows = held(path)
    assert all(last.get(id, rows[id][3]) == rows[id][3] for id in rows)
    for numbers in order.values():
        # A redelivery begins again further back, and goes on in order.
        steps = [(one, other) for one, other in pairwise(numbers) if other < one]
        assert all(other in numbers[: numbers.index(one) + 1] for one, other in steps)
