"""workorder_async.mirror.database: what is kept over an interruption."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from workorder_async import ConfigError, ExportError
from workorder_async.document.codec import Row
from workorder_async.durable import MovedError
from workorder_async.mirror.asking import search_tickets
from workorder_async.mirror.database import Mark, MirrorDatabase
from workorder_async.mirror.figures import figures_of
from workorder_async.mirror.watch import Event, Gap, event_of

_ANY = 2**62


def _row(id: int, created: int) -> Row:
    return {"id": id, "title": "t", "status": 3, "created_time": created, "creator_name": "c"}


def test_where_new_tickets_begin(tmp_path: Path) -> None:
    """The second from which new tickets are read stays until all were read, though the newest were written first."""
    database = MirrorDatabase(tmp_path / "tickets.db", {})
    database.open()
    try:
        database.write([_row(1, 10_000)], 0, 0, Mark(since=database.begin(0), is_first=True))
        assert database.begin_new(_ANY, 120) == 9_880
        database.begin(0)
        database.write([_row(2, 50_000)], 0, 0)
    finally:
        database.close()
    database = MirrorDatabase(tmp_path / "tickets.db", {})
    database.open()
    try:
        assert database.begin_new(_ANY, 120) == 9_880
        database.keep("new", None)
        assert database.begin_new(40_000, 120) == 9_880
        database.keep("new", None)
        assert database.begin_new(_ANY, 120) == 49_880
    finally:
        database.close()


@pytest.mark.parametrize("side", ["-journal", "-wal", "-shm"])
def test_beside_another_database(tmp_path: Path, side: str) -> None:
    """Where a part of somebody's database lies beside a free name, nothing is made, and the part stays."""
    path, theirs = tmp_path / "tickets.db", tmp_path / f"tickets.db{side}"
    theirs.write_bytes(b"rows")
    database = MirrorDatabase(path, {})
    try:
        with pytest.raises(ExportError, match=rf"tickets.db{side}' is there without its database; move it away"):
            database.open()
    finally:
        database.close()
    assert (theirs.read_bytes(), path.exists()) == (b"rows", False)
    theirs.unlink()
    database.open()
    database.close()


def test_beside_a_reader_of_the_same_process(tmp_path: Path) -> None:
    """A connection that reads all along sees each run, and keeps its locks: another process takes no log away."""
    path = tmp_path / "tickets.db"
    database = MirrorDatabase(path, {})
    count = "SELECT count(*) FROM tickets"
    with closing(sqlite3.connect(path)) as reader:
        for runs in (1, 2):
            database.open()
            database.begin(0)
            database.write([_row(runs, 10_000)], 0, 0)
            assert reader.execute(count).fetchone() == (runs,)
            database.close()
            code = f"import sqlite3; print(sqlite3.connect({str(path)!r}).execute({count!r}).fetchone())"
            assert subprocess.check_output([sys.executable, "-ISc", code], text=True) == f"({runs},)\n"
            assert path.with_name("tickets.db-wal").exists()


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
def test_a_name_that_leads_elsewhere(tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    """A link, or a file that has a second name, is not written: another run would lock it by its other name."""
    (tmp_path / "theirs").write_bytes(b"")
    plant(tmp_path / "tickets.db", tmp_path / "theirs")
    database = MirrorDatabase(tmp_path / "tickets.db", {})
    try:
        with pytest.raises((ConfigError, OSError), match=r"is a link|it has a second name"):
            database.open()
    finally:
        database.close()
    assert (tmp_path / "theirs").read_bytes() == b""


@pytest.mark.parametrize("is_removed", [True, False])
def test_removed_or_replaced_while_it_is_open(tmp_path: Path, *, is_removed: bool) -> None:
    """What others would not find is not written, nor is a copy that somebody put in its place."""
    path, copy = tmp_path / "tickets.db", tmp_path / "copy.db"
    database = MirrorDatabase(path, {})
    database.open()
    try:
        database.write([_row(1, 10_000)], 0, 0, Mark(since=database.begin(0), is_first=True))
        copy.write_bytes(path.read_bytes())
        path.unlink() if is_removed else copy.replace(path)
        with pytest.raises(MovedError):
            database.write([_row(2, 50_000)], 0, 0)
    finally:
        database.close()


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_lock_that_is_removed_or_replaced(tmp_path: Path, *, is_removed: bool) -> None:
    """The writer without a lock ends, and names it: another one may write by now, and goes on."""
    path, lock = tmp_path / "tickets.db", tmp_path / "tickets.db.lock"
    first, second = MirrorDatabase(path, {}), MirrorDatabase(path, {})
    first.open()
    try:
        (tmp_path / "other").touch()
        lock.unlink() if is_removed else (tmp_path / "other").replace(lock)
        second.open()
        with pytest.raises(MovedError, match=r"^its lock tickets\.db\.lock was removed or replaced while"):
            first.begin(10_000)
        assert second.begin(10_000) == 1
    finally:
        first.close()
        second.close()


def _event_after(database: MirrorDatabase, after: int) -> Event | None:
    found = database.change_after(after)
    return None if found is None else event_of(*found)


def test_a_gap_by_another_estimate(tmp_path: Path) -> None:
    """A new process tells that nobody looked, though its estimate of the server's clock is a second behind the last."""
    database = MirrorDatabase(tmp_path / "tickets.db", {})
    database.open()
    try:
        database.note_gap(10_000, 0.0)
        assert _event_after(database, 0) is None  # nobody has looked before
        database.begin(10_000)
        database.end(10_001, 1, {})
        database.note_gap(10_000, 180.0)
        assert _event_after(database, 0) is None
        database.note_gap(10_000, 0.0)
        assert _event_after(database, 0) == Gap(number=1, at=10_001, since=10_001)
    finally:
        database.close()


def test_gaps_after_a_clock_that_was_ahead(tmp_path: Path) -> None:
    """A run that once took the time for that of years ahead hides no gap that comes after the next one."""
    database = MirrorDatabase(tmp_path / "tickets.db", {})
    database.open()
    try:
        for at in (900_000_000, 10_000, 10_100, 10_200):
            database.note_gap(at, 0.0)
            database.begin(at)
            database.end(at + 1, 1, {})
        told = [_event_after(database, number) for number in range(4)]
        assert told[1:] == [Gap(number=2, at=10_100, since=10_001), Gap(number=3, at=10_200, since=10_101), None]
    finally:
        database.close()


def test_periods_of_tickets_without_a_created_time(tmp_path: Path) -> None:
    """They begin with the run that read such a ticket first, also in a mirror whose views another version made."""
    database = MirrorDatabase(tmp_path / "tickets.db", {})
    database.open()
    database.ask("DROP VIEW status_periods")
    database.ask("CREATE VIEW status_periods AS SELECT 1 AS ticket, 1 AS status, 0 AS since, 9 AS until")
    database.close()
    database.open()
    try:
        for run, status in enumerate((1, 3), 1):
            database.begin(run * 60)
            database.write([_row(1, 0) | {"status": status}], run * 60, run * 60, Mark(since=1, is_first=run == 1))
        assert database.ask("SELECT * FROM status_periods") == [(1, 1, 60, 120), (1, 3, 120, None)]
    finally:
        database.close()
    assert [one.median for one in figures_of(database.path).in_status] == [60]


def test_a_status_without_a_code(tmp_path: Path) -> None:
    """One that came as an unknown name has that in the views, in the answer to a search, and in a report."""
    database = MirrorDatabase(tmp_path / "tickets.db", {})
    database.open()
    try:
        for run, status in enumerate(("待处理", "已挂起", "处理中", "已挂起"), 1):
            database.begin(run * 60)
            rows = [_row(1, 60) | {"status": status, "title": "abc"}, _row(2, 60) | {"status": "已挂起"}]
            database.write(rows, run * 60, run * 60, Mark(since=1, is_first=run == 1))
        periods = [(1, 1, 60), (1, "已挂起", 120), (1, 2, 180), (1, "已挂起", 240), (2, "已挂起", 60)]
        assert database.ask("SELECT ticket, status, since FROM status_periods ORDER BY ticket, since") == periods
        for run, known in enumerate((1, "已挂起", 2, "已挂起"), 1):
            assert database.ask("SELECT status FROM tickets_as_of WHERE run = ?", run) == [(known,), ("已挂起",)]
    finally:
        database.close()
    figures = figures_of(database.path)
    assert figures.by_status == (("已挂起", 2),)
    assert [one.name for one in figures.in_status] == ["待处理", "处理中", "已挂起"]
    assert [found.status for found in search_tickets(database.path, "abc")] == ["已挂起"]
