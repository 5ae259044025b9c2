"""SQLite: tables of lists, what is staged, and cells and files that SQLite cannot have."""

import errno
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.export_rows import as_read, cells, full_ticket, read_back, tickets, write
from workorder_async.document import TicketAssign, TicketDetail, TicketSummary
from workorder_async.exports.columns import DETAIL_COLUMNS
from workorder_async.exports.formats import Format
from workorder_async.exports.sink import TextChanges


def _ask(path: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(question).fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a database that is not there yet."""
    return tmp_path / "t.sqlite"


def test_what_is_there(path: Path) -> None:
    """There are the rows, the indexes and nothing of ours, in a journal mode that others can use."""
    rows = tickets(300)
    assert not write(path, rows)
    names = _ask(path, "SELECT type, name FROM sqlite_master ORDER BY name")
    assert names == [("table", "tickets"), ("index", "tickets_created_time"), ("index", "tickets_status")]
    assert read_back(path) == [as_read(path, cells(ticket)) for ticket in rows]
    plan = _ask(path, "EXPLAIN QUERY PLAN SELECT * FROM tickets WHERE created_time > 5")
    assert "tickets_created_time" in str(plan)
    assert [_ask(path, f"PRAGMA {what}") for what in ("journal_mode", "integrity_check")] == [[("delete",)], [("ok",)]]


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
    rows = [full_ticket(1), full_ticket(2), TicketDetail(id=1, title="新", assigns=[TicketAssign(id=9)])]
    write(path, rows, page=2, detail=True)
    assert _ask(path, "SELECT id, title FROM tickets ORDER BY id") == [(1, "新"), (2, "详情")]
    assert _ask(path, "SELECT ticket_id, id FROM ticket_assigns ORDER BY 1, 2") == [(1, 9), (2, 1), (2, 2)]
    assert _ask(path, "SELECT DISTINCT ticket_id FROM ticket_assigns_history") == [(2,)]
    assert _ask(path, "SELECT count(*) FROM pragma_foreign_key_check") == [(0,)]


def test_changes_are_counted_once(path: Path) -> None:
    """Each changed cell counts once, and no other cell of its page is changed."""
    odd = [TicketSummary(id=1, title="\ud800", detail="\udc00"), TicketSummary(id=2, handler=2**63 - 1)]
    rows = [*tickets(50), *odd, *tickets(60)[50:], TicketSummary(id=3, title="\ud800")]
    assert write(path, rows) == TextChanges(replaced=3)
    assert _ask(path, "SELECT title, detail, handler FROM tickets WHERE id < 3 ORDER BY id") == [
        ("\ufffd", "\ufffd", 0),
        ("", "", 2**63 - 1),
    ]


def test_no_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no room is the disk's own error, with the path, and no file is left."""

    def small(path: Path, isolation_level: None) -> sqlite3.Connection:
        database = connect(path, isolation_level=isolation_level)
        database.execute("PRAGMA max_page_count = 20")
        return database

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(OSError, match="disk is full") as caught:
        write(path, tickets(1000))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert not path.exists()


_CHILD = """
import sys
from pathlib import Path
from workorder_async.exports.formats import Format
Format("sqlite").convert(Path(sys.argv[1]), Path(sys.argv[2]), lambda rows: None)
"""


@pytest.mark.slow
def test_nothing_elsewhere(path: Path, tmp_path: Path) -> None:
    """However many rows there are, SQLite needs no folder for temporary files, which may be too small, or missing."""
    sink, staged, elsewhere = Format("sqlite").sink(), path.with_suffix(".part"), tmp_path / "elsewhere"
    with staged.open("wb") as file:
        for first in range(1, 200_001, 1000):
            file.write(sink.encode([TicketSummary(id=id, created_time=id) for id in range(first, first + 1000)]))
    elsewhere.mkdir()
    os.utime(elsewhere, (0, 0))
    arguments = [sys.executable, "-c", _CHILD, str(staged), str(path)]
    subprocess.run(arguments, env={**os.environ, "SQLITE_TMPDIR": str(elsewhere)}, check=True)
    assert elsewhere.stat().st_mtime == 0, "a file was made there, and removed"


def test_staged_parts(path: Path) -> None:
    """Cut after any part, what is staged can be read without the rest."""
    format, rows = Format("sqlite"), [full_ticket(id) for id in range(1, 41)]
    sink, staged, whole = format.sink(DETAIL_COLUMNS), path.with_suffix(".part"), b""
    for start in range(0, 40, 10):
        whole += sink.encode(rows[start : start + 10]) + sink.end_part()
        staged.write_bytes(whole)
        told: list[int] = []
        assert not format.convert(staged, path, told.append, DETAIL_COLUMNS)
        assert told[-1] == start + 10
        assert [row["id"] for row in read_back(path)] == list(range(1, start + 11))
