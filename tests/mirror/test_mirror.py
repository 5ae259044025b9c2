"""workorder_async.mirror.mirror: what a database holds after a run, what is said of it, and by how many requests."""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from attrs import evolve

from tests.support.clients import NOW, make_client
from tests.support.mirrors import asked, held, ids_of, open_pages, truth, update, vanish
from tests.support.raw_server import http, serving
from tests.support.sandbox_wire import Clock
from tests.support.slow import slow_after
from tests.support.virtual_loop import running_loop, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    AuthenticationError,
    ConfigError,
    ExportError,
    ResponseError,
    RetryPolicy,
    Sandbox,
    TicketQuery,
    TicketStatus,
    WorkorderClient,
)
from workorder_async.exports import TICKET_COLUMNS, export_tickets
from workorder_async.mirror import Changed, MirrorProgress, MirrorReport, mirror_tickets, watch
from workorder_async.sandbox import Drift, Fault
from workorder_async.sandbox.store import Store


async def mirrored(client: WorkorderClient, path: Path, **options: Any) -> MirrorReport:
    """Run, and see that all is well."""
    report = await mirror_tickets(client, path, **options)
    assert report.exact, report.reason
    return report


async def cut_short(client: WorkorderClient, path: Path, rows: int = 1000, **options: Any) -> None:
    """Cancel a run once it has read so many rows."""
    enough = asyncio.Event()

    def going(progress: MirrorProgress) -> None:
        if progress.rows >= rows:
            enough.set()

    run = asyncio.create_task(mirror_tickets(client, path, on_progress=going, **options))
    await enough.wait()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


@virtual_time
@pytest.mark.slow
async def test_a_database_that_keeps_up(tmp_path: Path) -> None:
    """It equals the platform after each run, and says what changed; a second run finds nothing."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(1500, latency=0.05) as (sandbox, client):
        first = await mirrored(client, path)
        assert (first.created, first.changed, first.tickets) == (1500, 0, 1500)
        assert held(path) == await truth(client)
        assert asked(path, "SELECT count(*) FROM changes") == [(0,)]
        before = sandbox.requests["list_tickets"]
        second = await mirrored(client, path)
        assert (second.created, second.changed, second.missing, second.gone) == (0, 0, [], [])
        assert sandbox.requests["list_tickets"] - before == second.requests
        assert second.requests <= await open_pages(client) + 5
        drifted = await sandbox.change(close=30, reopen=20, create=10)
        changed = {*drifted.closed, *drifted.reopened}
        third = await mirrored(client, path)
        assert held(path) == await truth(client)
        assert (third.created, third.changed) == (10, len(changed))
        seen = asked(path, "SELECT DISTINCT ticket FROM changes WHERE run = ? AND kind = 'changed'", third.run)
        assert {id for (id,) in seen} == changed
        assert asked(path, "SELECT count(*) FROM changes WHERE run = ? AND kind = 'new'", third.run) == [(10,)]
        closed = drifted.closed[0]
        row = asked(path, "SELECT old, new FROM changes WHERE ticket = ? AND field = 'status'", closed)
        assert len(row) == 1
        assert row[0][1] == TicketStatus.CLOSED


@pytest.mark.slow
@virtual_time
async def test_interrupted_anywhere(tmp_path: Path) -> None:
    """A run that is cancelled after any number of requests is gone on with, and reads little of it again."""
    random, path = Random(7), tmp_path / "tickets.db"
    async with virtual_sandbox(1500, latency=0.05) as (sandbox, client):
        for number in range(10):
            run = asyncio.create_task(mirror_tickets(client, path, concurrency=2))
            await asyncio.sleep(random.uniform(0.02, 0.5))
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            await sandbox.change(close=1, reopen=1, create=number % 3)
        assert len(held(path)) > 500
        await mirrored(client, path)
        assert held(path) == await truth(client)


class Reworded:
    """The database of a sandbox that is asked in other words: these are replaced, where all of them are."""

    def __init__(self, database: sqlite3.Connection, words: dict[str, str]) -> None:
        self._database = database
        self._words = words

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def __enter__(self) -> sqlite3.Connection:
        return self._database.__enter__()

    def __exit__(self, *why: Any) -> Any:
        return self._database.__exit__(*why)

    def execute(self, question: str, values: Any = ()) -> sqlite3.Cursor:
        """Ask in other words."""
        if all(word in question for word in self._words):
            for word, other in self._words.items():
                question = question.replace(word, other)
        return self._database.execute(question, values)


def reword(sandbox: Sandbox, words: dict[str, str]) -> None:
    """Let a sandbox ask its database in other words."""
    store: Any = sandbox._store
    store._db = Reworded(store._db, words)


def leave_out(sandbox: Sandbox, id: int) -> None:
    """Let a ticket be counted by every list that it matches, and be on no page."""
    reword(sandbox, {"ORDER BY": "ORDER BY", "FROM tickets ": f"FROM (SELECT * FROM tickets WHERE id != {id}) "})


@pytest.mark.slow
@pytest.mark.parametrize("order", ["newest first", "oldest first"])
@virtual_time
async def test_gone_on_with(tmp_path: Path, order: str) -> None:
    """The first read of everything begins where it was cut short."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(2000, latency=0.05) as (sandbox, client):
        if order == "oldest first":
            reword(sandbox, {" DESC": ""})
        await cut_short(client, path)
        there, before = len(held(path)), sandbox.requests["list_tickets"]
        report = await mirrored(client, path)
        assert report.created == 2000 - there
        assert sandbox.requests["list_tickets"] - before < (2000 - there) / 100 + await open_pages(client) + 15
        assert held(path) == await truth(client)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 5])
@virtual_time
async def test_absent_is_not_gone(tmp_path: Path, count: int) -> None:
    """What vanished is named by the next run, and gone by the one after; others are not."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(1500, latency=0.05) as (sandbox, client):
        await mirrored(client, path)
        usual = (await mirrored(client, path)).requests
        for status in (3, 1):
            lost = sorted(Random(count).sample(await ids_of(sandbox, status), count))
            await vanish(sandbox, *lost)
            report = await mirrored(client, path)
            assert (report.missing, report.gone) == (lost, [])
            assert report.requests <= usual + {1: 15, 5: 50}[count]
            present = {id for (id,) in asked(path, "SELECT id FROM tickets_present")}
            assert present >= set(lost)
            report = await mirrored(client, path)
            assert (report.missing, report.gone, report.left) == ([], lost, [])
            present = {id for (id,) in asked(path, "SELECT id FROM tickets_present")}
            assert not present & set(lost)
            assert held(path) == await truth(client)
        report = await mirrored(client, path)
        assert (report.missing, report.gone) == ([], [])


class Hidden:
    """A platform that hides tickets from the list, and from those who ask for them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def hide(self, ids: list[int]) -> None:
        """Hide them."""

        def move(store: Store) -> None:
            places = ", ".join(map(str, ids))
            store._db.execute(f"CREATE TEMP TABLE hidden AS SELECT * FROM tickets WHERE id IN ({places})")
            store._db.execute(f"DELETE FROM tickets WHERE id IN ({places})")

        self._sandbox._store.make(move)

    async def show(self) -> None:
        """Show them again."""

        def move(store: Store) -> None:
            store._db.execute("INSERT INTO tickets SELECT * FROM hidden")
            store._db.execute("DROP TABLE hidden")

        self._sandbox._store.make(move)


@pytest.mark.slow
@virtual_time
async def test_a_right_that_is_lost(tmp_path: Path) -> None:
    """Many tickets that are not shown any more are not marked; it is said; and all is whole when they are back."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(1000, latency=0.05) as (sandbox, client):
        await mirrored(client, path)
        hidden = Hidden(sandbox)
        await hidden.hide([*(await ids_of(sandbox, 3))[:150], *(await ids_of(sandbox, 1))[:50]])
        for _ in range(3):
            report = await mirror_tickets(client, path)
            assert not report.exact
            assert "not shown any more" in report.reason
            assert (report.missing, report.gone, report.held_back > 20) == ([], [], True)
        await hidden.show()
        await mirrored(client, path)
        assert held(path) == await truth(client)
        assert asked(path, "SELECT count(*) FROM tickets WHERE gone_at IS NOT NULL") == [(0,)]
        await vanish(sandbox, *(await ids_of(sandbox, 3))[:60])
        assert (await mirror_tickets(client, path)).held_back == 60
        report = await mirrored(client, path, accept_gone=True)
        assert len(report.missing) == 60


@pytest.mark.slow
@virtual_time
async def test_open_and_closed_ones_together_are_too_many(tmp_path: Path) -> None:
    """Neither the open tickets nor the closed ones that are not shown are too many, but all of them: none is marked."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(1000) as (sandbox, client):
        await mirrored(client, path)
        await Hidden(sandbox).hide([*(await ids_of(sandbox, 3))[-15:], *(await ids_of(sandbox, 1))[:15]])
        for _ in range(3):
            report = await mirror_tickets(client, path)
            assert (report.missing, report.gone, report.held_back) == ([], [], 30)
            assert not report.exact
        assert asked(path, "SELECT count(*) FROM changes") == [(0,)]
        report = await mirrored(client, path, accept_gone=True)
        assert len(report.missing) == 30


@pytest.mark.slow
@virtual_time
async def test_a_few_that_are_hidden(tmp_path: Path) -> None:
    """A ticket that was gone is taken back when the list shows it again."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(500, latency=0.05) as (sandbox, client):
        await mirrored(client, path)
        hidden, lost = Hidden(sandbox), (await ids_of(sandbox, 3))[:3]
        await hidden.hide(lost)
        await mirrored(client, path)
        assert (await mirrored(client, path)).gone == lost
        await hidden.show()
        await mirrored(client, path)
        assert held(path) == await truth(client)
        kinds = asked(path, "SELECT kind FROM changes WHERE ticket = ? ORDER BY id", lost[0])
        assert kinds == [("missing",), ("gone",), ("back",)]
        before = asked(path, "SELECT run, count(*) FROM tickets_as_of GROUP BY 1 ORDER BY 1")
        assert before == [(1, 500), (2, 500), (3, 497), (4, 500)]


@virtual_time
async def test_out_of_the_query(tmp_path: Path) -> None:
    """A ticket that does not match any more has left: it exists."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(1000, latency=0.05) as (sandbox, client):
        query = TicketQuery(type="consultation")
        await mirror_tickets(client, path, query)
        left = min(held(path))
        await update(sandbox, left, type=1)
        assert (await mirror_tickets(client, path, query)).missing == [left]
        report = await mirror_tickets(client, path, query)
        assert (report.missing, report.gone, report.left) == ([], [], [left])
        assert report.exact, report.reason
        report = await mirror_tickets(client, path, query)
        assert (report.missing, report.gone, report.left) == ([], [], [])


@virtual_time
async def test_a_query_with_a_range(tmp_path: Path) -> None:
    """No ticket beyond the query's own range is asked for, nor counted, wherever one inside leaves its list."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(300) as (sandbox, client):
        tickets = sorted([ticket async for ticket in client.iter_tickets()], key=lambda ticket: ticket.created_time)
        inside = tickets[100:201]
        query = TicketQuery(created_start=inside[0].created_time, created_end=inside[-1].created_time)
        await update(sandbox, tickets[201].id, created_time=inside[-1].created_time + 2)
        for ticket in inside:
            await update(sandbox, ticket.id, status=1)
        await mirrored(client, path, query=query)
        for ticket in (inside[0], inside[-1]):
            await update(sandbox, ticket.id, status=3)
        report = await mirrored(client, path, query=query)
        assert (report.changed, report.requests) == (2, 7)
        await vanish(sandbox, inside[1].id)
        report = await mirrored(client, path, query=query)
        assert (report.missing, report.tickets) == ([inside[1].id], 100)


@pytest.mark.parametrize("status", slow_after(1, [1, 3]))
@virtual_time
async def test_a_walk_that_is_not_exact(tmp_path: Path, status: int) -> None:
    """The oldest ticket is counted and not shown: it is not missing, for nothing is known of it. The report says so."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(1000, latency=0.05) as (sandbox, client):
        oldest = min(await truth(client))
        await update(sandbox, oldest, status=status)
        await mirrored(client, path)
        leave_out(sandbox, oldest)
        # An open ticket is looked for in each run, a closed one in a full run.
        for full in [False, True] if status == 1 else [True]:
            report = await mirror_tickets(client, path, full=full)
            assert not report.exact
            assert (report.missing, report.changed, report.tickets) == ([], 0, 1000)


@pytest.mark.parametrize(
    ("fault", "hint"),
    slow_after(
        2,
        [
            (Fault("403", errno=50001), False),
            (Fault("errno", errno=50001), True),
            (Fault("html"), False),
            (Fault("reset"), False),
        ],
    ),
)
@virtual_time
async def test_missing_tickets_that_cannot_be_asked_for(tmp_path: Path, fault: Fault, *, hint: bool) -> None:
    """An error is no deletion: a run that cannot find out whether they exist says so, and of an errno how it may."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(60, client={"retry": RetryPolicy(attempts=1)}) as (sandbox, client):
        await mirrored(client, path)
        await vanish(sandbox, *(lost := (await ids_of(sandbox, 3))[:3]))
        assert (await mirrored(client, path)).missing == lost
        sandbox.faults = [evolve(fault, operation="get_ticket")]
        report = await mirror_tickets(client, path)
        assert (report.gone, report.left, report.exact) == ([], [], False)
        said = f"whether 3 missing tickets exist could not be found out, the first is {lost[0]}: "
        assert report.reason.startswith(said)
        assert (await mirror_tickets(client, path)).reason == report.reason  # a watch keeps one row for both
        assert ("map it to NotFoundError" in report.reason) is hint
        sandbox.faults = [Fault("403", operation="get_ticket")]  # the page of a gateway, which is of no ticket
        with pytest.raises(AuthenticationError):
            await mirror_tickets(client, path)
        sandbox.faults = []
        assert (await mirror_tickets(client, path)).gone == lost


@pytest.mark.parametrize(("tickets", "status"), slow_after(1, [(60, 1), (400, 3)]))
@virtual_time
async def test_deletions_beside_a_ticket_without_a_created_time(tmp_path: Path, tickets: int, status: int) -> None:
    """Of the dated ones, the oldest too, the mirror tells that they are missing, and then that they are gone."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(tickets) as (sandbox, client):
        lost = (await ids_of(sandbox, status))[:3]
        await update(sandbox, (await ids_of(sandbox, 2))[0], created_time=0)
        await mirror_tickets(client, path)
        await vanish(sandbox, *lost)
        assert (await mirror_tickets(client, path)).missing == lost
        report = await mirror_tickets(client, path)
        assert (report.gone, report.tickets, report.exact) == (lost, tickets - 3, False)


@pytest.mark.slow
@virtual_time
async def test_what_no_rest_shows(tmp_path: Path) -> None:
    """A run that goes on where one was cut short reads tickets without a created time, too, and misses none."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(1200) as (sandbox, client):
        for id in (await ids_of(sandbox, 3))[:2]:
            await update(sandbox, id, created_time=0)
        reword(sandbox, {"created_time <= ?": "nullif(created_time, 0) <= ?"})
        for full in (False, True):
            await cut_short(client, path, full=full)
            report = await mirror_tickets(client, path)
            assert "created times" in report.reason
            assert (report.missing, report.tickets, report.changed) == ([], 1200, 0)
        assert held(path) == await truth(client)


@pytest.mark.slow
@virtual_time
async def test_an_inexact_part_of_a_full_run(tmp_path: Path) -> None:
    """What an earlier part of a full run missed is not missing, though the part that goes on with it is exact."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(2000, latency=0.05) as (sandbox, client):
        await mirrored(client, path)
        leave_out(sandbox, sorted(await truth(client))[-300])
        sandbox.faults = [Fault("bad_row", operation="list_tickets")]
        await cut_short(client, path, full=True)
        sandbox.faults = []
        report = await mirror_tickets(client, path)
        assert (report.missing, report.changed, report.tickets) == ([], 0, 2000)


@pytest.mark.slow
@virtual_time
async def test_a_full_run_of_pages_that_are_turned(tmp_path: Path) -> None:
    """What lies between two pages is not missing where a run was cut short between them: each comes oldest first."""
    path = tmp_path / "tickets.db"
    page = "ORDER BY created_time DESC, id DESC LIMIT ? OFFSET ?"
    async with virtual_sandbox(1500, latency=0.05) as (sandbox, client):
        await mirrored(client, path)
        reword(sandbox, {"SELECT ": "SELECT * FROM (SELECT ", page: f"{page}) ORDER BY created_time, id"})
        await cut_short(client, path, 1, full=True, page_size=20, concurrency=1)
        report = await mirrored(client, path, page_size=20)
        assert (report.missing, report.changed, report.tickets) == ([], 0, 1500)


@pytest.mark.parametrize("dated_ahead", slow_after(1, [True, False]))
@virtual_time
@pytest.mark.slow
async def test_new_tickets_are_read_as_such(tmp_path: Path, dated_ahead: bool) -> None:
    """Closed tickets that are new are found where new ones are, though a ticket is dated a year ahead: no search."""
    path, clock = tmp_path / "tickets.db", running_loop().wall_clock
    async with virtual_sandbox(700, latency=0.05, until=int(clock())) as (sandbox, client):
        if dated_ahead:
            await update(sandbox, max(await truth(client)), created_time=int(clock()) + 365 * 86400)
        await mirrored(client, path)
        usual = (await mirrored(client, path)).requests
        await asyncio.sleep(3600)
        made = (await sandbox.change(create=20)).created
        for id in made:
            await sandbox.act(id, "close", "已处理")
        report = await mirrored(client, path)
        assert report.created == 20
        assert report.requests <= usual
        assert held(path) == await truth(client)


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [-3 * 86400, 600])
@virtual_time
async def test_a_process_for_each_run(tmp_path: Path, ahead: int) -> None:
    """A new process whose clock is off, and a ticket that is dated a year ahead: one request more, and all is found."""
    path, clock = tmp_path / "tickets.db", running_loop().wall_clock
    async with virtual_sandbox(700, latency=0.05, until=int(clock()) - 600) as (sandbox, client):
        await update(sandbox, max(await truth(client)), created_time=int(clock()) + 365 * 86400)
        await mirrored(client, path)
        usual = (await mirrored(client, path)).requests
        await asyncio.sleep(3600)
        made = (await sandbox.change(create=20)).created
        for id in made:
            await sandbox.act(id, "close", "已处理")
        await asyncio.sleep(150)
        async with sandbox.client(now=lambda: clock() + ahead) as other:
            before = sandbox.requests["list_tickets"]
            report = await mirrored(other, path)
            assert (report.created, report.requests) == (20, usual + 1)
            # A signature by a clock that is far off is refused once.
            assert sandbox.requests["list_tickets"] - before == report.requests + (abs(ahead) > 300)
            assert (await mirrored(other, path)).requests <= usual
        assert abs(report.began_at - clock()) < 60
        (late,) = (await sandbox.change(create=1)).created
        await mirrored(client, path)
        lost = list(made[-2:])
        await vanish(sandbox, *lost, late)  # a replica that is behind does not show the newest
        async with sandbox.client(now=lambda: clock() + ahead) as other:
            assert (await mirrored(other, path)).missing == lost


@pytest.mark.slow
@virtual_time
async def test_totals_that_end_at_a_number(tmp_path: Path) -> None:
    """Where the platform counts no further than 500, a run does not read everything, and still finds what is gone."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(1500, latency=0.05, total_cap=500) as (sandbox, client):
        await mirrored(client, path)
        for _ in range(2):
            report = await mirrored(client, path)
            assert report.requests <= await open_pages(client) + 30
        lost = (await ids_of(sandbox, 3))[100:102]
        await vanish(sandbox, *lost)
        assert (await mirrored(client, path)).missing == lost
        assert (await mirrored(client, path)).gone == lost


@virtual_time
async def test_full(tmp_path: Path) -> None:
    """A full run sees what no other does: an edit of a closed ticket."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(500, latency=0.05) as (sandbox, client):
        await mirrored(client, path)
        edited = (await ids_of(sandbox, 3))[5]
        await update(sandbox, edited, title="改过的标题")
        assert (await mirrored(client, path)).changed == 0
        report = await mirrored(client, path, full=True)
        assert (report.created, report.changed) == (0, 1)
        assert held(path) == await truth(client)
        await vanish(sandbox, edited)
        report = await mirrored(client, path, full=True)
        assert report.missing == [edited]


@pytest.mark.slow
@virtual_time
async def test_tickets_that_are_shown_late(tmp_path: Path) -> None:
    """A ticket that the list shows later than it was created is there once it is shown, within the lag."""
    path, clock = tmp_path / "tickets.db", running_loop().wall_clock
    async with virtual_sandbox(500, latency=0.05, lag=60.0, until=int(clock())) as (sandbox, client):
        await mirrored(client, path)
        for _ in range(6):
            await sandbox.change(create=3, close=1)
            await asyncio.sleep(25)
            await mirrored(client, path)
        await asyncio.sleep(100)
        await mirrored(client, path)
        assert held(path) == await truth(client)
        assert len(held(path)) == 518


@pytest.mark.slow
@virtual_time
async def test_a_replica_that_is_behind(tmp_path: Path) -> None:
    """What was shown, and is too new for another replica, is not missing."""
    path, clock = tmp_path / "tickets.db", running_loop().wall_clock
    async with virtual_sandbox(500, latency=0.05, until=int(clock()), lag=60.0) as (sandbox, client):
        await mirrored(client, path)
        await asyncio.sleep(600)
        (made,) = (await sandbox.change(create=1)).created
        store: Any = sandbox._store
        late, store._replica = store._replica, store
        store._late.clear()
        assert (await mirrored(client, path)).created == 1
        for replica in (late, store):
            store._replica = replica
            assert (made in await truth(client)) is (replica is store)
            for full in (False, True):
                report = await mirrored(client, path, full=full)
                assert (report.missing, report.changed) == ([], 0)
        assert asked(path, "SELECT kind FROM changes WHERE ticket = ?", made) == [("new",)]
        store._replica = late  # closed with the store


@virtual_time
async def test_as_of_each_run(tmp_path: Path) -> None:
    """Views tell how it was, and how long each status lasted."""
    path, clock = tmp_path / "tickets.db", running_loop().wall_clock
    async with virtual_sandbox(300, latency=0.05, until=int(clock())) as (sandbox, client):
        reports = [await mirrored(client, path)]
        (closed,) = (await sandbox.change(close=1)).closed
        await asyncio.sleep(3600)
        reports.append(await mirrored(client, path))
        rows = asked(path, "SELECT run, status FROM tickets_as_of WHERE id = ? ORDER BY run", closed)
        assert rows == [(1, 1), (2, 3)]
        ((created, at),) = asked(path, "SELECT created_time, read_at FROM tickets WHERE id = ?", closed)
        periods = asked(path, "SELECT status, since, until FROM status_periods WHERE ticket = ?", closed)
        assert periods == [(1, created, at), (3, at, None)]
        assert reports[1].began_at - reports[0].began_at >= 3600
        (run,) = asked(path, "SELECT ended_at, requests, report FROM runs WHERE id = 2")
        assert run[0] >= reports[1].began_at
        assert json.loads(run[2])["changed"] == 1 == reports[1].changed


@virtual_time
async def test_whose_it_is(tmp_path: Path) -> None:
    """One writer at a time, who is named; a mirror of something else is refused, and so is what is no mirror."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(500, latency=0.05) as (sandbox, client):
        begun = asyncio.Event()
        first = asyncio.create_task(mirror_tickets(client, path, on_progress=lambda _: begun.set()))
        await begun.wait()
        with pytest.raises(ExportError, match=r"is being written by process \d+ on \S+; wait for its end"):
            await mirror_tickets(client, path)
        assert held(path)  # others may read
        await first
        with pytest.raises(
            ExportError, match=r"mirror of something else: query .*consultation|type.*choose another name"
        ):
            await mirror_tickets(client, path, TicketQuery(type="consultation"))
        (tmp_path / "notes.db").write_text("hello")
        with closing(sqlite3.connect(tmp_path / "app.db")) as database:
            database.execute("CREATE TABLE x (a)")
        for name, said in (("notes.db", "is no database of SQLite"), ("app.db", "is no mirror")):
            (tmp_path / name).chmod(0o644)
            with pytest.raises(ExportError, match=rf"{name}' {said}; choose another name"):
                await mirror_tickets(client, tmp_path / name)
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o644
        (tmp_path / "folder").mkdir()
        with pytest.raises(ConfigError, match="folder' is no file; choose another name"):
            await mirror_tickets(client, tmp_path / "folder")
        assert [name for name in os.listdir(tmp_path) if name.endswith(".lock")] == ["tickets.db.lock"]
        with pytest.raises(ConfigError, match=r"tickets\.db' is a mirror; choose another name"):
            await export_tickets(client, TicketQuery(), path)
        with pytest.raises(ConfigError, match=r"tickets\.db' is a mirror; choose another name"):
            await export_tickets(client, TicketQuery(), path, overwrite=True)
        before = sandbox.requests.total()
        with pytest.raises(ConfigError, match="status is not for a mirror"):
            await mirror_tickets(client, path, TicketQuery(status=1))
        with pytest.raises(ConfigError, match="query must be a TicketQuery"):
            await mirror_tickets(client, path, "pending")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="did you mean detail"):
            await mirror_tickets(client, path, details=True)  # type: ignore[call-arg]
        assert sandbox.requests.total() == before


@pytest.mark.parametrize(
    "option",
    [{"attachments": "none/files"}, {"lag": float("inf")}, {"page_size": 2**31}, {"on_progress": asyncio.sleep}],
)
async def test_what_cannot_work(tmp_path: Path, option: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is refused by its name before the first request."""
    monkeypatch.chdir(tmp_path)
    async with Sandbox(tickets=5) as sandbox, sandbox.client() as client:
        with pytest.raises(
            ConfigError, match=r"none/files.*No such file|lag is inf|page_size is 2147483648|no `async def`"
        ):
            await mirror_tickets(client, "tickets.db", TicketQuery(type=1), **option)
        assert not sandbox.requests
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("database", ["tickets.db", "none/tickets.db"])
async def test_a_refused_database_leaves_no_folder(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder would be of that platform from then on."""
    monkeypatch.chdir(tmp_path)
    async with Sandbox(tickets=5) as sandbox, sandbox.client() as client:
        await mirror_tickets(client, "tickets.db")
    async with Sandbox(tickets=5) as sandbox, sandbox.client() as client:
        with pytest.raises((ExportError, ConfigError), match=r"is the mirror of something else|there is no folder"):
            await mirror_tickets(client, database, attachments="files")
    assert sorted(os.listdir(tmp_path)) == ["tickets.db", "tickets.db.lock"]


@virtual_time
async def test_rows_that_cannot_be_read(tmp_path: Path) -> None:
    """A bad row is left out and said; what was there stays, and is not missing."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(400, latency=0.05) as (sandbox, client):
        await mirrored(client, path)
        sandbox.faults = [Fault("bad_row", operation="list_tickets")]
        report = await mirror_tickets(client, path)
        assert report.skipped > 0
        assert not report.missing
        sandbox.faults = []
        await mirrored(client, path)
        assert held(path) == await truth(client)


@virtual_time
async def test_full_records_that_are_refused(tmp_path: Path) -> None:
    """A run that does not get them is not exact, and names them; one that gets no newer ones is."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(3, latency=0.05) as (sandbox, client):
        sandbox.faults = [Fault("errno", operation="get_ticket_detail", errno=50_000)]
        report = await mirror_tickets(client, path, detail=True)
        assert (report.tickets, report.details, report.skipped, report.exact) == (3, 0, 3, False)
        said = "details that cannot be read are not in the database: 1001, 1002, 1003; the first refusal: errno 50000"
        assert report.reason.startswith(said)
        sandbox.faults = []
        assert (await mirrored(client, path, detail=True)).details == 3
        sandbox.faults = [Fault("errno", operation="get_ticket_detail", errno=50_000)]
        assert (await mirrored(client, path, recheck=3)).skipped > 0


@pytest.mark.parametrize("kind", ["403", "500"])
@virtual_time
async def test_a_full_record_that_is_always_refused(kind: Literal["403", "500"], tmp_path: Path) -> None:
    """The others are read, and it is named in each run; where there are no others yet, it is an error of all."""
    path, policy = tmp_path / "tickets.db", RetryPolicy(attempts=1)
    always = Fault(kind, operation="get_ticket_detail", errno=50_000)
    async with virtual_sandbox(40, client={"retry": policy}) as (sandbox, client):
        sandbox.faults = [evolve(always, after=5, times=1), evolve(always, after=40, times=1)]
        report = await mirror_tickets(client, path, detail=True, concurrency=1)
        assert (report.details, report.refused, report.exact) == (39, [1035], False)
        assert "not in the database: 1035; the first refusal: " in report.reason
        sandbox.faults = [evolve(always, times=2)]
        report = await mirror_tickets(client, path, detail=True)
        assert (report.refused, sandbox.requests["get_ticket_detail"]) == ([1035], 45)
        assert "errno 50000" in report.refusal
        sandbox.faults = [always]
        with pytest.raises((AuthenticationError, ResponseError), match=r"ticket 1035: .*errno 50000"):
            await mirror_tickets(client, path, detail=True)
    async with virtual_sandbox(3, faults=[always], client={"retry": policy}) as (sandbox, client):
        with pytest.raises((AuthenticationError, ResponseError), match=r"ticket 1003: .*errno 50000"):
            await mirror_tickets(client, tmp_path / "new.db", detail=True)


@virtual_time
async def test_many_tickets_that_are_refused(tmp_path: Path) -> None:
    """Where a record that is known is answered, they keep no other ticket from being read."""
    async with virtual_sandbox(120) as (sandbox, client):
        await mirror_tickets(client, tmp_path / "t.db", detail=True)
        await sandbox.change(close=100)
        sandbox.faults = [Fault("errno", operation="get_ticket_detail", errno=50_000, after=5, times=16)]
        report = await mirror_tickets(client, tmp_path / "t.db", detail=True, concurrency=1)
    assert (report.exact, len(report.refused)) == (True, 16)
    assert report.details == report.changed - 16 > 0


@virtual_time
async def test_no_right_to_full_records(tmp_path: Path) -> None:
    """After sixteen refusals in a row a run asks for no more records, and says why; the next one tries anew."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(120) as (sandbox, client):
        for run in (1, 2):
            sandbox.faults = [Fault("errno", operation="get_ticket_detail", errno=20003)]
            report = await mirror_tickets(client, path, detail=True)
            assert (report.tickets, report.details, report.exact) == (120, 0, False)
            assert sandbox.requests["get_ticket_detail"] == 48 * run
            said = "16 tickets in a row were refused, the first of them 1120: errno 20003"
            assert report.reason.startswith(f"no more full records were asked for: {said}")
        sandbox.faults = []
        assert (await mirrored(client, path, detail=True)).details == 120


def _found(folder: Path) -> list[tuple[int, str, str]]:
    return [
        (int(path.parent.name), path.name, str(path)) for path in folder.glob("*/*") if path.parent.name.isdecimal()
    ]


@pytest.mark.slow
@virtual_time
async def test_details_and_files(tmp_path: Path) -> None:
    """Full records are read when a ticket is new or has changed, and again in turn; their files are in the database."""
    path, folder = tmp_path / "tickets.db", tmp_path / "files"
    async with virtual_sandbox(60, latency=0.01) as (sandbox, client):
        report = await mirrored(client, path, attachments=folder)
        assert report.details == 60
        files = asked(path, "SELECT ticket_id, name, path FROM files")
        assert report.attachments.fetched == len(files) > 0
        assert sorted(files) == sorted(_found(folder))
        report = await mirrored(client, path, attachments=folder)
        assert (report.details, report.attachments.fetched) == (0, 0)
        (closed,) = (await sandbox.change(close=1)).closed
        report = await mirrored(client, path, attachments=folder)
        assert report.details == 1
        fields = {name for (name,) in asked(path, "SELECT field FROM changes WHERE ticket = ?", closed)}
        assert {"status", "closed_time", "assigns"} <= fields
        assert not [name for name in fields if name.endswith("_duration")]
        (opened, *_) = await ids_of(sandbox, 1)
        await sandbox.act(opened, "comment", "已联系客户")
        assert (await mirrored(client, path)).details == 0
        seen = 0
        for _ in range(6):
            seen += (await mirrored(client, path, recheck=10)).details
        assert seen == 60
        assert (await mirrored(client, path, recheck=100)).details < 60
        assert (await mirrored(client, path, recheck=100, full=True)).details == 60
        ((old, new),) = asked(path, "SELECT old, new FROM changes WHERE ticket = ? AND field = 'assigns'", opened)
        assert "已联系客户" in new
        assert "已联系客户" not in old


_EARLIER = """
DROP VIEW tickets_present; DROP VIEW status_periods; DROP VIEW tickets_as_of;
ALTER TABLE tickets DROP COLUMN priority; ALTER TABLE tickets DROP COLUMN priority_name;
ALTER TABLE tickets DROP COLUMN customer_user_id; ALTER TABLE details DROP COLUMN title;
ALTER TABLE ticket_assigns DROP COLUMN status; DROP TABLE ticket_tags;
UPDATE detail_facts SET facts = json_remove(facts, '$.feedback', '$.form_define');
UPDATE tickets SET detail_at = NULL;
"""
_HELD = (
    f"SELECT {', '.join(TICKET_COLUMNS.names)} FROM tickets ORDER BY id",
    "SELECT id, title, detail FROM details ORDER BY id",
    "SELECT ticket_id, position, status, user_name FROM ticket_assigns ORDER BY 1, 2",
    "SELECT ticket_id, position, name FROM ticket_tags ORDER BY 1, 2",
)


@virtual_time
async def test_a_database_of_an_earlier_version(tmp_path: Path) -> None:
    """What that did not know is read from now on, in lists and full records; that it is there now is no change."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(40, latency=0.01) as (sandbox, client):
        await mirrored(client, path, detail=True)
        before = [asked(path, question) for question in _HELD]
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.executescript(_EARLIER)
        (closed,) = (await sandbox.change(close=1)).closed
        async with watch(client, bookmark=path, detail=True) as events:
            while not isinstance(event := await anext(events), Changed):
                pass
        assert (event.ticket_id, event.field, event.ticket.customer_user_id != "") == (closed, "status", True)
        report = await mirrored(client, path, full=True)
        assert report.changed == 0
        assert {id for (id,) in asked(path, "SELECT ticket FROM changes WHERE kind = 'changed'")} == {closed}
        for question, rows in zip(_HELD, before, strict=True):
            assert [row for row in asked(path, question) if row[0] != closed] == [
                row for row in rows if row[0] != closed
            ]


@virtual_time
async def test_a_database_without_its_index_of_texts(tmp_path: Path) -> None:
    """Somebody dropped it for its room: it stays away, for one that is made later would lack what is there already."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(40, latency=0.01) as (_, client):
        await mirrored(client, path)
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.executescript("DROP TRIGGER tickets_new; DROP TRIGGER tickets_reworded; DROP TABLE tickets_text")
            database.execute("UPDATE tickets SET title = 'as it was called before' WHERE status = 1")
        assert (await mirrored(client, path, full=True)).changed > 0
        assert (await mirrored(client, path, full=True)).changed == 0


@pytest.mark.parametrize("before", slow_after(1, ["one", "two/one"]))
@virtual_time
async def test_another_folder(tmp_path: Path, before: str) -> None:
    """Files that are in the folder of an earlier run alone, or in one within this run's, are fetched into it, once."""
    path, one, two = tmp_path / "tickets.db", tmp_path / before, tmp_path / "two"
    one.parent.mkdir(exist_ok=True)
    async with virtual_sandbox(12, latency=0.01) as (_, client):
        fetched = (await mirrored(client, path, attachments=one)).attachments.fetched
        for again in (fetched, 0):
            report = await mirrored(client, path, attachments=two)
            assert report.attachments.fetched == again
        assert sorted(asked(path, "SELECT * FROM files")) == sorted(_found(one) + _found(two))
        assert len(_found(two)) == fetched > 0


@pytest.mark.skipif(sys.platform != "linux", reason="names are no bytes")
@virtual_time
async def test_a_folder_that_is_no_utf_8(tmp_path: Path) -> None:
    """Its files are in the database by the bytes of their paths."""
    path, folder = tmp_path / "tickets.db", tmp_path / os.fsdecode("附件".encode("gbk"))
    async with virtual_sandbox(60, latency=0.01) as (_, client):
        fetched = (await mirrored(client, path, attachments=folder)).attachments.fetched
        files = asked(path, "SELECT path FROM files")
        assert {Path(os.fsdecode(file)) for (file,) in files} == set(folder.glob("*/*"))
        assert len(files) == fetched > 0
        assert (await mirrored(client, path, attachments=folder)).details == 0


@virtual_time
async def test_progress(tmp_path: Path) -> None:
    """It is told what is being done."""
    told: list[MirrorProgress] = []
    async with virtual_sandbox(500, latency=0.05) as (sandbox, client):
        await mirrored(client, tmp_path / "t.db", on_progress=told.append)
        assert [one.phase for one in told] == ["all"] * len(told)
        assert told[-1].rows == told[-1].total == 500
        await sandbox.change(close=5)
        told.clear()
        await mirrored(client, tmp_path / "t.db", on_progress=told.append)
        assert {one.phase for one in told} == {"open", "new", "left"}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.slow
@virtual_time
async def test_while_it_moves(tmp_path: Path, seed: int) -> None:
    """Tickets leave and enter between any two reads: when all rests, one run makes it whole."""
    path = tmp_path / "tickets.db"
    drift = [Drift(every=3, close=2, reopen=1, create=1), Drift(every=7, delete=1, status=TicketStatus.PROCESSING)]
    async with virtual_sandbox(1000, latency=0.05, seed=seed, drift=drift) as (sandbox, client):
        for _ in range(4):
            await mirror_tickets(client, path)
        sandbox.drift = ()
        await asyncio.sleep(300)
        await mirrored(client, path)
        await mirrored(client, path)
        stored, there = held(path), await truth(client)
        assert stored.keys() == there.keys()
        # One that was reopened and closed again between two looks is an edit of a closed ticket, which `full` shows.
        edited = [id for id in there if stored[id] != there[id]]
        assert {row[id][3] for row in (stored, there) for id in edited} <= {TicketStatus.CLOSED}
        assert len(edited) <= 2
        await mirrored(client, path, full=True)
        assert held(path) == await truth(client)


@virtual_time
async def test_a_list_that_counts_more_than_it_shows(tmp_path: Path) -> None:
    """Rows that are left out of each page are missing, the run is not exact, and the next one finds that they exist."""
    path = tmp_path / "tickets.db"
    async with virtual_sandbox(500, latency=0.05) as (sandbox, client):
        await mirrored(client, path)
        hidden, store = set((await ids_of(sandbox, 1))[:3]), sandbox._store
        page = store.page

        def shown(*arguments: Any, **options: Any) -> Any:
            total, rows = page(*arguments, **options)
            return total, [row for row in rows if row["id"] not in hidden]

        store.page = shown  # type: ignore[method-assign]
        report = await mirror_tickets(client, path)
        assert (report.exact, report.missing) == (False, sorted(hidden))
        report = await mirror_tickets(client, path)
        assert (report.gone, report.left) == ([], sorted(hidden))


class Listed:
    """A platform with tickets that no sandbox has: `rows` as they are listed, and `more` of each full record."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {}
        #: The errmsg of every second read of a full record, or of each read of these tickets.
        self.refusal = ""
        self.refused: set[int] = set()
        #: A status for which nobody can ask.
        self.refuses_status = 0
        self._details = 0

    def answer(self, request: bytes) -> bytes:
        """Answer a request."""
        head, _, body = request.partition(b"\r\n\r\n")
        if b"/f/" in head.split(b"\r\n")[0]:
            return http("gone", "403 Forbidden")
        data: dict[str, Any]
        if b"/detail" in head.split(b"\r\n")[0]:
            self._details += 1
            id = int(head.partition(b"id=")[2].split()[0].split(b"&")[0])
            if (id in self.refused) if self.refused else (self.refusal and self._details % 2 == 0):
                return http(json.dumps({"errno": 5, "errmsg": self.refusal, "request_id": "r1"}))
            data = {
                **next(row for row in self.rows if row["id"] == id),
                "created_time": "2023-11-14 06:13:20",
                **self.more,
            }
        else:
            asked = json.loads(body)
            if asked.get("status") == self.refuses_status != 0:
                return http(json.dumps({"errno": 40001, "errmsg": "status 取值错误", "request_id": "r1"}))
            start, end = asked.get("created_start", 0), asked.get("created_end", 2**62)
            is_all = {"created_start", "created_end"}.isdisjoint(asked)
            found = [
                row
                for row in sorted(self.rows, key=lambda row: -int(row["created_time"]))
                if (start <= row["created_time"] <= end if row["created_time"] else is_all)
                and row["status"] == asked.get("status", row["status"])
            ]
            data = {"pagination": {"page": 1, "page_size": asked["page_size"], "total": len(found)},
                    "tickets": found[: asked["page_size"]]}  # fmt: skip
        said = json.dumps({"errno": 10000, "errmsg": "", "request_id": "r1", "data": data})
        return http(said.replace('"deep"', "[" * 1010 + "]" * 1010))


@asynccontextmanager
async def listing(**options: Any) -> AsyncIterator[tuple[Listed, WorkorderClient, str]]:
    """Serve such a platform; give a client of it that has these options, and its URL."""
    listed = Listed()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(listed.answer(wire.requests[-1]))
        await writer.drain()

    async with serving(answer) as wire, make_client(wire.url, **options) as client:
        yield listed, client, wire.url


async def test_half_an_emoji_in_a_full_record(tmp_path: Path) -> None:
    """A comment that was cut in the middle of an emoji is noted like any other when it changes."""
    path = tmp_path / "tickets.db"
    async with listing() as (platform, client, _):
        for step, text in enumerate(["收到\ud83d", "好的"]):
            platform.rows = [{"id": 7, "status": 1, "title": f"v{step}", "created_time": int(NOW) - 9000}]
            platform.more = {"assigns": [{"history": [{"detail": text}]}]}
            assert (await mirrored(client, path, detail=True)).details == 1
    ((old, new),) = asked(path, "SELECT old, new FROM changes WHERE field = 'assigns'")
    assert ("收到\ufffd" in old, "好的" in new) == (True, True)


async def test_refused_records_among_those_that_are_read_again(tmp_path: Path) -> None:
    """They hide no others, however often they are refused: each of those has its turn, and so have they."""
    path, clock = tmp_path / "tickets.db", Clock(float(NOW))
    async with listing(now=clock) as (platform, client, _):
        platform.rows = [{"id": id, "status": 1, "created_time": int(NOW) - 9000 * id} for id in range(1, 7)]
        await mirrored(client, path, detail=True)
        platform.refused, platform.more = {1, 2}, {"feedback": "已联系客户"}
        for _ in range(3):
            clock.now += 60
            await mirrored(client, path, recheck=2)
        question = "SELECT id FROM details WHERE feedback != '' ORDER BY id"
        assert asked(path, question) == [(3,), (4,), (5,), (6,)]
        platform.refused = set()
        assert (await mirrored(client, path, detail=True)).details == 2
        assert len(asked(path, question)) == 6


async def test_half_an_emoji_in_a_reason(tmp_path: Path) -> None:
    """The platform's own words about a file that cannot be had are in the run's report, whatever is in them."""
    path = tmp_path / "tickets.db"
    async with listing() as (platform, client, url):
        platform.rows, platform.refusal = [{"id": 7, "status": 1, "created_time": int(NOW) - 9000}], "繁忙\ud83d"
        file = {"file_name": "a.png", "file_path": f"{url}/f/a", "file_size": 3, "file_type": "x"}
        platform.more = {"attachment": [file]}
        report = await mirrored(client, path, attachments=tmp_path / "files")
    assert "繁忙\ufffd" in str(report.attachments.failures[0])
    ((said,),) = asked(path, "SELECT report FROM runs")
    assert json.loads(said)["attachments"]["failed"] == 1


async def test_a_row_that_could_never_be_read(tmp_path: Path) -> None:
    """A ticket that is not in the database, for its row cannot be read, is counted once and named as a doubt."""
    path, good = tmp_path / "tickets.db", {"status": 3, "title": "t"}
    async with listing() as (platform, client, _):
        platform.rows = [{**good, "id": id, "created_time": int(NOW) - 1000 * id} for id in (7, 8, 9)]
        platform.rows[1]["closed_time"] = [1]
        for _ in range(2):
            report = await mirror_tickets(client, path)
            assert (report.tickets, report.skipped, report.exact) == (2, 1, False)
            assert report.reason == "tickets that cannot be read are not in the database: 8"
        del platform.rows[1]["closed_time"]
        assert (await mirrored(client, path)).created == 1
        platform.rows[1]["closed_time"] = [1]
        report = await mirrored(client, path, full=True)
        assert (report.tickets, report.skipped) == (3, 1)
        platform.rows[1]["id"] = None
        report = await mirror_tickets(client, path, full=True)
        assert (report.exact, "have no number that can be read" in report.reason) == (False, True)
        assert not report.missing


@pytest.mark.parametrize("undated", slow_after(1, [1, 0, 2]))
async def test_shown_late_beside_tickets_without_a_created_time(tmp_path: Path, undated: int) -> None:
    """Tickets that no range counts do not stand in for as many that are shown late."""
    path = tmp_path / "tickets.db"
    async with listing() as (platform, client, _):
        platform.rows = [{"id": id, "status": 3, "created_time": int(NOW) - 9000 * id} for id in range(1, 9)]
        platform.rows += [{"id": 90 + number, "status": 3, "created_time": 0} for number in range(undated)]
        await mirror_tickets(client, path)
        platform.rows.append({"id": 80, "status": 3, "created_time": int(NOW) - 40_000})
        assert (await mirrored(client, path)).created == 1


async def test_tickets_without_a_created_time(tmp_path: Path) -> None:
    """No range of created time shows them: they are not absent. That one is open no more only a full run can tell."""
    path = tmp_path / "tickets.db"
    async with listing() as (platform, client, _):
        platform.rows = [{"id": id, "status": 3, "created_time": int(NOW) - 9000 * id} for id in range(1, 9)]
        platform.rows += [{"id": id, "status": status, "created_time": 0} for id, status in ((97, 3), (98, 1))]
        await mirror_tickets(client, path)
        for _ in range(2):
            report = await mirror_tickets(client, path)
            assert (report.missing, report.left, report.tickets) == ([], [], 10)
        platform.rows[-1]["status"] = 3
        report = await mirror_tickets(client, path)
        assert (report.missing, report.left, report.exact) == ([], [], False)
        assert "98" in report.reason
        await mirror_tickets(client, path, full=True)
        report = await mirrored(client, path)
        assert held(path)[98][TICKET_COLUMNS.names.index("status")] == TicketStatus.CLOSED
        del platform.rows[-2:]
        assert (await mirrored(client, path, full=True)).missing == [97, 98]


@pytest.mark.parametrize(("code", "refuses"), slow_after(2, [(5, False), (5, True), ("已挂起", False)]))
async def test_a_status_that_the_document_does_not_have(tmp_path: Path, code: object, *, refuses: bool) -> None:
    """Nobody knows that such a ticket is closed: it is read until it is, also where no list of it can be asked for."""
    path = tmp_path / "tickets.db"
    async with listing() as (platform, client, _):
        platform.refuses_status = 5 if refuses else 0
        platform.rows = [{"id": id, "status": 3, "created_time": int(NOW) - 9000 * id} for id in range(1, 9)]
        platform.rows[2]["status"] = code
        await mirrored(client, path)
        platform.rows[2].update(status=3, title="解决")
        assert (await mirrored(client, path)).changed == 1
        assert asked(path, "SELECT status, title FROM tickets WHERE id = 3") == [(3, "解决")]


async def test_many_tickets_of_such_a_status(tmp_path: Path) -> None:
    """They cost one request in each run, as long as they stay as many; those without a created time hinder nothing."""
    path = tmp_path / "tickets.db"
    async with listing() as (platform, client, _):
        platform.rows = [{"id": id, "status": 5, "created_time": int(NOW) - 9000 * id} for id in range(1, 90)]
        platform.rows += [{"id": 97, "status": 1, "created_time": int(NOW) - 9}]
        for _ in range(2):
            await mirrored(client, path)
        some = await mirrored(client, path)
        for row in platform.rows[:-1]:
            row["status"] = 3
        await mirror_tickets(client, path, full=True)
        assert some.requests == (await mirrored(client, path)).requests + 1
        platform.rows.append({"id": 98, "status": 5, "created_time": 0})
        await mirror_tickets(client, path, full=True)
        assert "98 any more" not in (await mirror_tickets(client, path)).reason


async def test_an_open_ticket_of_the_first_second(tmp_path: Path) -> None:
    """A ticket of 1970-01-01 08:00:01, as databases have for none, is in no range that is read: the report says so."""
    path = tmp_path / "tickets.db"
    async with listing() as (platform, client, _):
        platform.rows = [{"id": id, "status": 3, "created_time": int(NOW) - 9000 * id} for id in range(1, 9)]
        platform.rows.append({"id": 97, "status": 1, "created_time": 1})
        await mirror_tickets(client, path)
        platform.rows[-1]["status"] = 3
        report = await mirror_tickets(client, path)
        assert (report.exact, "shows 97 any more" in report.reason) == (False, True)


async def test_a_field_that_is_nested_too_deeply(tmp_path: Path) -> None:
    """It costs its row at the most, and no run: how deep is too deep, each Python knows for itself."""
    async with listing() as (platform, client, _):
        platform.rows = [{"id": id, "status": 3, "created_time": int(NOW) - 9000 * id} for id in range(1, 9)]
        platform.rows[3]["form"] = "deep"
        report = await mirror_tickets(client, tmp_path / "tickets.db")
    assert (report.tickets, report.exact) == (8 - report.skipped, not report.skipped)
    assert report.skipped <= 1


async def test_a_ticket_that_goes_from_list_to_list(tmp_path: Path) -> None:
    """An answer of one list is not written over a later one of the other: what is told did happen, and when it says."""
    path, platform, clock = tmp_path / "tickets.db", Listed(), Clock(float(NOW))
    platform.rows = [{"id": id, "status": 1, "created_time": int(NOW) - 9000 * id} for id in range(1, 9)]
    platform.rows.append({"id": 9, "status": 2, "created_time": int(NOW) - 99_000})
    is_first, moved, other = True, asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status = json.loads(wire.requests[-1].partition(b"\r\n\r\n")[2]).get("status")
        if status == 2 and not is_first:
            await moved.wait()
        said = platform.answer(wire.requests[-1])
        if status == 1 and not (is_first or moved.is_set()):
            platform.rows[0]["status"] = 2
            clock.now += 60
            moved.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await other.wait()
        writer.write(said)
        await writer.drain()
        if status == 2:
            other.set()

    async with serving(answer) as wire, make_client(wire.url, now=clock) as client:
        await mirrored(client, path)
        is_first = False
        await mirrored(client, path)
        await mirrored(client, path)
    changes = asked(path, "SELECT ticket, field, old, new, seen_at FROM changes ORDER BY id")
    assert changes == [(1, "status", 1, 2, int(NOW) + 60)]
