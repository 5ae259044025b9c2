"""SQLite: one table of tickets, and for full records one more for each list in them; no extra.

    tickets                       id (key), then the other columns; indexes on created_time and status
    ticket_assigns                ticket_id, position (key), then the columns of TicketAssign
    ticket_assigns_history        ticket_id, assigns_position, position (key), then those of TicketFlowHistory
    ticket_tags, ticket_attachment, ticket_handle_attachment, ticket_customer_info, ticket_form_define: the same

Times are whole seconds and ISO 8601 text, true and false are 1 and 0. `position` counts from 0 in the list's order.

Rows are staged as lines of JSON. Each line holds a page: the records of each table, by its name.
"""

import errno
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import evolve, frozen

from workorder_async.document.fields import fields_of
from workorder_async.document.json_text import LINE_FEED, dumps, loads
from workorder_async.durable import written_through
from workorder_async.errors import ExportError
from workorder_async.exports.columns import Columns, Value, columns_of
from workorder_async.exports.sink import UNCHANGED, Record, Sink, TextChanges, Told, storable

#: The bytes of a path that SQLite opens, so that there is room for the name of a journal.
LONGEST_PATH: Final = (1040 if sys.platform == "win32" else 512) - len("-journal")
_INDEXES: Final = ("created_time", "status")

Cells: TypeAlias = Sequence[Value]


class TablePages(Sink):
    """Rows of a model as pages of the records of all tables."""

    def __init__(self, columns: Columns) -> None:
        self._tables = table_of("tickets", columns.model)

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return a line for these rows."""
        page = {table.name: records for table, records in self._tables.records([((), row) for row in rows])}
        try:
            return dumps(page, option=LINE_FEED)
        except TypeError:  # half a surrogate pair
            for name, records in page.items():
                made = [storable(record) for record in records]
                page[name] = [cells for cells, _ in made]
                self.changes: TextChanges = sum((changes for _, changes in made), self.changes)
            return dumps(page, option=LINE_FEED)


def to_sqlite(staged: Path, target: Path, columns: Columns, on_progress: Told) -> TextChanges:
    """Convert staged rows to a database; it changes none of them.

    A ticket that is there already is replaced, with all that belongs to it.
    """
    tables, rows = {table.name: table for table in table_of("tickets", columns.model).all()}, 0
    with (
        staged.open("rb") as pages,
        written_through(target),
        disk_errors(target),
        closing(sqlite3.connect(target, isolation_level=None)) as database,
    ):
        # If it is cut short, it is made anew; it is put on disk as a whole. So SQLite need not care for either.
        for setting in ("foreign_keys = ON", "journal_mode = OFF", "synchronous = OFF"):
            database.execute(f"PRAGMA {setting}")
        database.execute("BEGIN")
        for table in tables.values():
            database.execute(table.create())
        # Made of many rows at the end, an index would be sorted in a temporary file elsewhere, if there is room.
        for name in _INDEXES:
            database.execute(f"CREATE INDEX tickets_{name} ON tickets ({name})")
        for line in pages:
            page = loads(line)
            for name, records in page.items():
                tables[name].add(database, records)
            rows += len(page["tickets"])
            on_progress(rows)
        database.execute("COMMIT")
    return UNCHANGED


@frozen
class ModelTable:
    """A table for one model, and the tables for the parts in its lists."""

    name: str
    keys: tuple[str, ...]
    """The key of a row, in front of its columns; empty for tickets, whose key is their id."""
    columns: Columns
    children: "tuple[tuple[str, ModelTable], ...]"

    def all(self) -> "Iterator[ModelTable]":
        """Yield this table and those below it."""
        yield self
        for _, child in self.children:
            yield from child.all()

    def create(self) -> str:
        """Return the statement that makes it, if it is missing."""
        columns = [f'"{column.name}" {column.sqlite}' for column in self.columns.columns]
        if not self.keys:
            columns[0] += " PRIMARY KEY"
            return f"CREATE TABLE IF NOT EXISTS {self.name} ({', '.join(columns)})"
        keys = [f"{key} INTEGER NOT NULL" for key in self.keys]
        keys[0] += " REFERENCES tickets (id) ON DELETE CASCADE"
        parts = [*keys, *columns, f"PRIMARY KEY ({', '.join(self.keys)})"]
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({', '.join(parts)}) WITHOUT ROWID"

    def records(self, found: Sequence[tuple[tuple[int, ...], Any]]) -> "Iterator[tuple[ModelTable, Sequence[Cells]]]":
        """Yield the records of models, each with its key, then those of the parts in their lists, with their tables."""
        yield self, [(*key, *self.columns.read(model)) for key, model in found]
        for field, child in self.children:
            parts = [
                ((*(key or (model.id,)), position), part)
                for key, model in found
                for position, part in enumerate(getattr(model, field))
            ]
            if parts:
                yield from child.records(parts)

    def add(self, database: sqlite3.Connection, records: Sequence[Cells]) -> None:
        """Add records that SQLite can have."""
        names = [f'"{name}"' for name in (*self.keys, *self.columns.names)]
        into, places = f"{self.name} ({', '.join(names)})", ", ".join("?" * len(names))
        database.executemany(f"INSERT OR REPLACE INTO {into} VALUES ({places})", records)  # noqa: S608


def table_of(name: str, model: type, keys: tuple[str, ...] = ()) -> ModelTable:
    """Return the table of a model with this key; a part's own `ticket_id` gives way to the key of that name."""
    own = columns_of(model, lists=False)
    columns = evolve(own, columns=tuple(column for column in own.columns if column.name not in keys))
    if keys:
        stem, below = name, (*keys[:-1], f"{name.rpartition('_')[2]}_position", "position")
    else:
        stem, below = "ticket", ("ticket_id", "position")
    lists = [field for field in fields_of(model).values() if field.is_list]
    children = tuple((field.name, table_of(f"{stem}_{field.name}", field.kind, below)) for field in lists)
    return ModelTable(name, keys, columns, children)


def application_of(path: Path) -> bytes:
    """Return the application_id of a database; "" for another file, or none. Raises `ExportError` for one in use.

    SQLite reads it: closing the file by other ways would take away the locks that this process has on it.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", timeout=0, uri=True)) as database:
            ((number,),) = database.execute("PRAGMA application_id")
            return bytes(int(number).to_bytes(4, signed=True))
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise ExportError(f"{str(path)!r} is in use by another program", mend="choose another name") from None
        return b""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an error of SQLite about the disk into an `OSError` with the path, one about the file into `ExportError`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF == sqlite3.SQLITE_NOTADB:
            raise ExportError(f"{str(path)!r} is no database of SQLite", mend="choose another name") from error
        if code & 0xFF == sqlite3.SQLITE_CORRUPT:
            raise ExportError(f"{str(path)!r} is damaged: {error}", mend="move it away, and begin anew") from error
        number = errno.ENOSPC if code == sqlite3.SQLITE_FULL else errno.EIO
        raise OSError(number, f"SQLite: {error}", str(path)) from error
