"""workorder_async.mirror.database: what is kept over an interruption."""

from pathlib import Path

from workorder_async.document.codec import Row
from workorder_async.mirror.database import MirrorDatabase, Stamp


def _row(id: int, created: int) -> Row:
    return {"id": id, "title": "t", "status": 3, "created_time": created, "creator_name": "c"}


def test_where_new_tickets_begin(tmp_path: Path) -> None:
    """The second from which new tickets are read stays until all were read, though the newest were written first."""
    database = MirrorDatabase(tmp_path / "tickets.db", {})
    database.open()
    try:
        database.write([_row(1, 10_000)], Stamp(database.begin(0), 0, is_first=True))
        assert database.begin_new(None, 120) == 9_880
        database.write([_row(2, 50_000)], Stamp(database.begin(0), 0))
    finally:
        database.close()
    database = MirrorDatabase(tmp_path / "tickets.db", {})
    database.open()
    try:
        assert database.begin_new(None, 120) == 9_880
        database.end_new()
        assert database.begin_new(40_000, 120) == 9_880
        database.end_new()
        assert database.begin_new(None, 120) == 49_880
    finally:
        database.close()
