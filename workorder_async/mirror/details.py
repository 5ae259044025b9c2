"""The full records in a mirror: one table for them, one more for each list in them, and what the next read is held to.

details          id (key), then the columns of TicketDetail that hold one value
ticket_assigns   and so on: the tables of a SQLite export with `detail`
detail_facts     id (key), and as JSON what no row of the list has and does not change by itself
files            ticket_id, name, path: the attachments that were fetched; a path that is no UTF-8 is its bytes
"""

import json
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, cast

from workorder_async.document import TicketDetail, TicketSummary
from workorder_async.document.codec import encode
from workorder_async.document.fields import fields_of
from workorder_async.document.json_text import JSON, to_json
from workorder_async.exports.sqlite import table_of

_TABLE: Final = table_of("details", TicketDetail)
_PARTS: Final = tuple(table.name for table in _TABLE.all() if table.keys)
# Durations grow, and the URLs of attachments are others with each read.
_FACTS: Final = tuple(
    name for name in fields_of(TicketDetail) if name not in fields_of(TicketSummary) and not name.endswith("_duration")
)
_URLS: Final = ("attachment", "handle_attachment")
TABLES: Final = (
    *(table.create() for table in _TABLE.all()),
    "CREATE TABLE detail_facts (id INTEGER PRIMARY KEY, facts TEXT NOT NULL)",
    "CREATE TABLE files (ticket_id INTEGER NOT NULL, name TEXT, path TEXT NOT NULL, PRIMARY KEY (ticket_id, path)) "
    "WITHOUT ROWID",
)


def write_detail(
    database: sqlite3.Connection, detail: TicketDetail, files: Iterable[Path]
) -> list[tuple[str, Any, Any]]:
    """Write a full record in place of the one that is there, and return what differs: field, old, new."""
    for table in _PARTS:
        database.execute(f"DELETE FROM {table} WHERE ticket_id = ?", (detail.id,))  # noqa: S608
    _TABLE.fill(database, [((), detail)])
    there = [(detail.id, path.name, _text_of(path)) for path in files if path.is_file()]
    database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", there)
    found = database.execute("SELECT facts FROM detail_facts WHERE id = ?", (detail.id,)).fetchone()
    text = to_json(_facts_of(detail)).decode()
    database.execute("INSERT OR REPLACE INTO detail_facts VALUES (?, ?)", (detail.id, text))
    if found is None:
        return []
    known, facts = json.loads(found[0]), json.loads(text)
    names = [name for name in _FACTS if known.get(name) != facts.get(name)]
    return [(name, _plain(known.get(name)), _plain(facts.get(name))) for name in names]


def _facts_of(detail: TicketDetail) -> dict[str, JSON]:
    """Return what is compared from read to read."""
    values = cast("dict[str, Any]", encode(detail))
    for name in _URLS:
        values[name] = [{key: value for key, value in file.items() if key != "file_path"} for file in values[name]]
    return {name: values[name] for name in _FACTS}


def _text_of(path: Path) -> str | bytes:
    """Return a path as SQLite can have it: one that is no UTF-8 as its bytes, by which the file can be opened."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return str(path)


def _plain(value: object) -> object:
    """Return a value as SQLite can have it: a list or an object as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
