"""SQLite: parts that are there wholly or not at all, tables of lists, and what a disk or a stranger may do to it."""

import errno
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.export_rows import as_read, cells, database, full_ticket, read_back, tickets, write, write_part
from workorder_async import ExportError
from workorder_async.document import TicketAssign, TicketDetail, TicketSummary
from workorder_async.exports import sqlite
from workorder_async.exports.formats import Format
from workorder_async.exports.report import Part
from workorder_async.exports.sink import TextChanges
from workorder_async.exports.sqlite import Tables


def _ask(path: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(question).fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a database that is not there yet, in a folder of its own."""
    folder = tmp_path / "database"
    folder.mkdir()
    return folder / "t.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Tables]:
    """Open it for a list."""
    with database(path) as store:
        yield store


def test_parts(store: Tables, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part is there with its line and all its rows once it was committed; before, nothing of it."""
    monkeypatch.setattr(sqlite, "_ROWS_AT_ONCE", 40)
    rows = tickets(300)
    assert (store.done, store.is_finished) == ([], False)
    for start in (0, 50, 100):
        work = store.add(rows[start : start + 50])
        assert work is not None
        work()
    assert _ask(path, "SELECT count(*) FROM tickets") == [(0,)]
    part = Part(number=0, query=0, rows=150, reason="\ud800")
    store.end_part(part)()
    assert _ask(path, "SELECT count(*) FROM tickets") == [(150,)]
    work = store.add(rows[150:200])
    assert work is not None
    work()
    store.close()
    with database(path) as again:
        assert again.done == [part]
        assert _ask(path, "SELECT count(*) FROM tickets") == [(150,)]
        assert again.add(rows[150:160]) is None
        write_part(again, rows[160:])
        assert [part.number for part in again.done] == [0, 1]
        again.finish()
    assert read_back(path) == [as_read(path, cells(ticket)) for ticket in rows]


def test_the_manifest_learns_of_the_database(store: Tables, path: Path) -> None:
    """It is told of parts that it does not know, and forgets those that the database does not have."""
    for number in range(3):
        write_part(store, tickets(10 * (number + 1))[10 * number :])
    kept = list(store.done)
    store._manifest.keep(1)
    with closing(Tables(path, TicketSummary, store._manifest)) as again:
        assert again.done == kept
    store._database.execute("DELETE FROM workorder_parts WHERE part = 2")
    with closing(Tables(path, TicketSummary, store._manifest)) as again:
        assert again.done == kept[:2]


def test_finish(store: Tables, path: Path) -> None:
    """At the end there are the indexes and no table of ours; it says so in a later process, and does it once."""
    write_part(store, tickets(10))
    store.finish()
    names = _ask(path, "SELECT type, name FROM sqlite_master ORDER BY name")
    assert names == [("table", "tickets"), ("index", "tickets_created_time"), ("index", "tickets_status")]
    assert _ask(path, "SELECT count(*) FROM tickets") == [(10,)]
    with database(path) as again:
        assert again.is_finished
        assert again.done == []
        again.finish()
    plan = _ask(path, "EXPLAIN QUERY PLAN SELECT * FROM tickets WHERE created_time > 5")
    assert "tickets_created_time" in str(plan)


def test_a_part_is_committed_once(store: Tables) -> None:
    """The number of a part that is there already is refused."""
    part = Part(number=0, query=0)
    store.end_part(part)()
    with pytest.raises(OSError, match="UNIQUE"):
        store.end_part(part)()


def test_schema(tmp_path: Path) -> None:
    """Every list of a full record has its table, with a key in front that leads to the ticket."""
    target = tmp_path / "t.db"
    write(target, [full_ticket()], detail=True)
    columns = {
        name: [column for (column,) in _ask(target, f"SELECT name FROM pragma_table_info('{name}') ORDER BY cid")]
        for (name,) in _ask(target, "SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    assert " ".join(columns["ticket_attachment"]) == (
        "ticket_id position file_name file_path file_size file_type author"
    )
    assert " ".join(columns["ticket_assigns_history"]) == (
        "ticket_id assigns_position position id action detail creator_id creator_name creator_product_group_id "
        "creator_user_group_id created_time created_at"
    )
    assert columns["ticket_assigns"][:5] == ["ticket_id", "position", "id", "status", "status_name"]
    assert columns["tickets"][0] == "id"
    assert "form_values" in columns["tickets"]
    assert {*columns} == {
        *("tickets", "ticket_tags", "ticket_form_define", "ticket_attachment", "ticket_handle_attachment"),
        *("ticket_customer_info", "ticket_assigns", "ticket_assigns_history"),
    }


def test_full_records(tmp_path: Path) -> None:
    """The rows of all tables, put together, are the models."""
    target = tmp_path / "t.db"
    rows = [full_ticket(1), TicketDetail(id=2), full_ticket(3, text="又")]
    assert not write(target, rows, detail=True)
    with closing(sqlite3.connect(target)) as database:
        database.row_factory = sqlite3.Row

        def parts(table: str, *keys: object) -> list[dict[str, object]]:
            question = f"SELECT * FROM {table} WHERE ticket_id = ? "
            question += "AND assigns_position = ? " if len(keys) == 2 else ""
            return [dict(row) for row in database.execute(f"{question} ORDER BY position", keys)]

        for ticket in rows:
            for field in ("tags", "attachment", "handle_attachment", "form_define", "customer_info", "assigns"):
                found = parts(f"ticket_{field}", ticket.id)
                assert found == [_part(part, ticket.id, place) for place, part in enumerate(getattr(ticket, field))]
            for outer, assign in enumerate(ticket.assigns):
                found = parts("ticket_assigns_history", ticket.id, outer)
                expected = [{"ticket_id": ticket.id, "assigns_position": outer, "position": place} for place in (0, 1)]
                assert found == [key | cells(step) for key, step in zip(expected, assign.history, strict=False)]
    scalars = [{name: cell for name, cell in cells(row).items() if name not in _LISTS} for row in rows]
    assert read_back(target) == scalars


_LISTS = {"tags", "attachment", "handle_attachment", "form_define", "customer_info", "assigns"}


def _part(part: object, ticket: int, position: int) -> dict[str, object]:
    own = {name: cell for name, cell in cells(part).items() if name not in {"ticket_id", "history"}}
    return {"ticket_id": ticket, "position": position} | own


def test_a_ticket_that_comes_twice(path: Path) -> None:
    """It is there once, as it came last, and nothing is left of its old lists."""
    with database(path, TicketDetail) as store:
        write_part(store, [full_ticket(1), full_ticket(2)])
        write_part(store, [TicketDetail(id=1, title="新", assigns=[TicketAssign(id=9)])])
    assert _ask(path, "SELECT id, title FROM tickets ORDER BY id") == [(1, "新"), (2, "详情")]
    assert _ask(path, "SELECT ticket_id, id FROM ticket_assigns ORDER BY 1, 2") == [(1, 9), (2, 1), (2, 2)]
    assert _ask(path, "SELECT DISTINCT ticket_id FROM ticket_assigns_history") == [(2,)]
    assert _ask(path, "SELECT count(*) FROM pragma_foreign_key_check") == [(0,)]


def test_an_id_that_is_no_key(store: Tables) -> None:
    """An id of more than 64 bits is refused by name, since SQLite would make up another."""
    with pytest.raises(ExportError, match=r"id has more than 64 bits.*\.jsonl keeps it"):
        write_part(store, [TicketSummary(id=1), TicketSummary(id=2**64)])


def test_changes_are_counted_once(store: Tables) -> None:
    """A page that has to be written twice counts once, and each part counts its own."""
    page = [*tickets(50), TicketSummary(id=1, title="\ud800", detail="\udc00", handler=2**64), *tickets(60)[50:]]
    for rows in (page, [TicketSummary(id=3, title="\ud800")], []):
        write_part(store, rows)
    assert [part.changes for part in store.done] == [
        TextChanges(replaced=2, blanked=1),
        TextChanges(replaced=1),
        TextChanges(),
    ]


def test_for_its_owner_alone(store: Tables, path: Path) -> None:
    """Nobody else may read it."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_database(path: Path) -> None:
    """A file of something else is refused with its path, and stays as it was."""
    path.write_bytes(b"id,title\r\n" * 1000)
    with pytest.raises(ExportError, match=r"t\.sqlite' is damaged: file is not a database; move it"), database(path):
        pass
    assert path.read_bytes() == b"id,title\r\n" * 1000


def test_no_room(store: Tables, path: Path) -> None:
    """What has no room is the disk's own error, with the path; the parts before it stay."""
    write_part(store, tickets(10))
    store._database.execute("PRAGMA max_page_count = 20")
    with pytest.raises(OSError, match="disk is full") as caught:
        write_part(store, tickets(1000))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert [part.number for part in store.done] == [0]
    assert _ask(path, "SELECT part FROM workorder_parts") == [(0,)]
    store.close()
    with pytest.raises(OSError, match="closed"):
        write_part(store)


def test_no_folder(path: Path) -> None:
    """A place where no file can be made is an `OSError`."""
    with pytest.raises(FileNotFoundError), database(path / "t.db"):
        pass


_CHILD = """
import sys
import tempfile
from pathlib import Path
from tests.support.export_rows import database, tickets
from tests.support.small_disk import limit_files
from workorder_async.exports import sqlite
from workorder_async.exports.report import Part
sqlite._ROWS_AT_ONCE = 100
path, limit, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
tempfile.tempdir = str(path.parents[1])
rows = tickets(20 * size)
limit_files(limit)
try:
    with database(path) as tables:
        for part in range(len(tables.done), 20):
            for start in range(0, size, 100):
                tables.add(rows[part * size + start :][:100])()
            print(part, flush=True)
            sys.stdin.readline()
            tables.end_part(Part(number=part, query=0))()
except OSError as error:
    print(type(error).__name__, error)
"""


def _child(path: Path, limit: int = 0, size: int = 1000) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", _CHILD, str(path), str(limit), str(size)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _is_whole(path: Path, size: int = 1000) -> int:
    """Return how many parts are there, each with all its rows and no other; fail where one is not."""
    parts = [part for (part,) in _ask(path, "SELECT part FROM workorder_parts ORDER BY 1")]
    ids = [id for (id,) in _ask(path, "SELECT id FROM tickets ORDER BY id")]
    assert parts == list(range(len(parts)))
    assert ids == [1000 + index for index in range(size * len(parts))]
    return len(parts)


def _killed_at(path: Path, number: int, size: int = 1000) -> int:
    """Let a child commit parts, and kill it before it commits this one of them; return how many are there."""
    with _child(path, size=size) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        for _ in range(number):
            child.stdout.readline()
            child.stdin.write("\n")
            child.stdin.flush()
        child.stdout.readline()
        child.kill()
    assert child.returncode == -signal.SIGKILL
    return _is_whole(path, size)


@pytest.mark.slow
def test_killed(path: Path) -> None:
    """Killed again and again, it has whole parts only, goes on where it was, and ends in every row."""
    assert [_killed_at(path, number) for number in (0, 3, 1, 5)] == [0, 3, 4, 9]
    with _child(path) as child:
        child.communicate("\n" * 20, timeout=30)
    assert _is_whole(path) == 20
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.slow
def test_killed_in_a_large_part(path: Path) -> None:
    """What SQLite leaves beside the database is the one file that is named for it, and it takes that away itself."""
    with _child(path, size=5_000) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.kill()
    beside = Format("sqlite").names(path)[1]
    assert sorted(os.listdir(path.parent)) == [path.name, beside.name]
    assert _is_whole(path) == 0
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.slow
def test_disk_full(path: Path) -> None:
    """A disk that takes no more is an `OSError`; what was committed is there, and goes on later."""
    with _child(path, 3_000_000) as child:
        out, _ = child.communicate("\n" * 20, timeout=30)
    assert f"OSError [Errno {errno.ENOSPC}] SQLite: " in out or f"OSError [Errno {errno.EIO}] SQLite: " in out
    assert 0 < _is_whole(path) < 20
    with _child(path) as child:
        child.communicate("\n" * 20, timeout=30)
    assert _is_whole(path) == 20
