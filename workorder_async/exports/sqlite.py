"""SQLite: one table of tickets, and for full records one more for each list in them; no extra, no staging.

    tickets                       id (key), then the other columns; indexes on created_time and status
    ticket_assigns                ticket_id, position (key), then the columns of TicketAssign
    ticket_assigns_history        ticket_id, assigns_position, position (key), then those of TicketFlowHistory
    ticket_tags, ticket_attachment, ticket_handle_attachment, ticket_customer_info, ticket_form_define: the same

Times are whole seconds and ISO 8601 text, true and false are 1 and 0. `position` counts from 0 in the list's order.
"""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from workorder_async.document.fields import fields_of
from workorder_async.durable import open_private
from workorder_async.errors import ExportError
from workorder_async.exports.columns import Columns, columns_of
from workorder_async.exports.manifest import Manifest, note_of, part_of
from workorder_async.exports.report import Part
from workorder_async.exports.sink import UNCHANGED, Record, TextChanges, storable

#: The table that says which parts are there; dropped at the end.
_PARTS: Final = "workorder_parts"
_INDEXES: Final = ("created_time", "status")
#: So many rows are held before they are written.
_ROWS_AT_ONCE: Final = 1000


class Tables:
    """The parts of an export in a database, which is made if need be, for its owner alone.

    A part is one transaction. The part's line is in it, too, since no two files change at once: the manifest learns the
    parts from the database. Rows are taken in the event loop; the work that is returned, and the rest, is for a thread.
    It raises `OSError` with the path if the disk, or SQLite, fails.
    """

    def __init__(self, path: Path, model: type, manifest: Manifest) -> None:
        self._path = path
        self._tables = table_of("tickets", model)
        self._manifest = manifest
        #: The parts that are durable, in order.
        self.done: list[Part] = manifest.parts
        self._rows: list[Record] = []
        # In the rows of the newest part.
        self._changes: TextChanges = UNCHANGED
        os.close(open_private(path, os.O_RDWR))
        with disk_errors(path):
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            with disk_errors(path):
                self._prepare()
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        """Make the tables in a new database, all at once; tell the manifest which parts are there."""
        self._database.execute("PRAGMA foreign_keys = ON")
        if not self._has("tickets"):
            self._database.execute("BEGIN IMMEDIATE")
            for table in self._tables.all():
                self._database.execute(table.create())
            self._database.execute(f"CREATE TABLE {_PARTS} (part INTEGER PRIMARY KEY, note TEXT NOT NULL)")
            self._database.execute("COMMIT")
        #: Whether it is what the user asked for, and knows no parts any more.
        self.is_finished: bool = not self._has(_PARTS)
        if self.is_finished:
            return
        notes = self._database.execute(f"SELECT note FROM {_PARTS} ORDER BY part").fetchall()  # noqa: S608
        known = len(self.done)
        if known > len(notes):
            self._manifest.keep(len(notes))
        for (note,) in notes[known:]:
            self._manifest.add(part_of(note))

    def _has(self, name: str) -> bool:
        return bool(self._database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchall())

    def add(self, rows: Sequence[Record]) -> Callable[[], None] | None:
        """Take rows of the part; return the work that adds them to the transaction once there are enough.

        A ticket that is there already is replaced, with all that belongs to it.
        """
        self._rows += rows
        return partial(self._write, self._taken()) if len(self._rows) >= _ROWS_AT_ONCE else None

    def end_part(self, part: Part) -> Callable[[], None]:
        """Return the work that commits the part."""
        return partial(self._commit, self._taken(), part)

    def _taken(self) -> list[Record]:
        taken, self._rows = self._rows, []
        return taken

    def _write(self, rows: Sequence[Record]) -> None:
        with disk_errors(self._path):
            if not self._database.in_transaction:
                self._database.execute("BEGIN IMMEDIATE")
                self._changes = UNCHANGED
            self._changes += self._tables.fill(self._database, [((), row) for row in rows])

    def _commit(self, rows: Sequence[Record], part: Part) -> None:
        self._write(rows)
        part.changes = self._changes
        with disk_errors(self._path):
            self._database.execute(f"INSERT INTO {_PARTS} VALUES (?, ?)", (part.number, note_of(part)))  # noqa: S608
            self._database.execute("COMMIT")
        self._manifest.add(part)

    def finish(self) -> None:
        """Add the indexes, which is faster once all rows are there; forget the parts, and close it."""
        if not self.is_finished:
            with disk_errors(self._path):
                self._database.execute("BEGIN IMMEDIATE")
                for name in _INDEXES:
                    self._database.execute(f"CREATE INDEX tickets_{name} ON tickets ({name})")
                self._database.execute(f"DROP TABLE {_PARTS}")
                self._database.execute("COMMIT")
        self._database.close()

    def close(self) -> None:
        """Close it; rows that were not committed are gone."""
        self._database.close()


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
        """Return the statement that makes it."""
        columns = [f'"{column.name}" {column.sqlite}' for column in self.columns.columns]
        if not self.keys:
            columns[0] += " PRIMARY KEY"
            return f"CREATE TABLE {self.name} ({', '.join(columns)})"
        keys = [f"{key} INTEGER NOT NULL" for key in self.keys]
        keys[0] += " REFERENCES tickets (id) ON DELETE CASCADE"
        parts = [*keys, *columns, f"PRIMARY KEY ({', '.join(self.keys)})"]
        return f"CREATE TABLE {self.name} ({', '.join(parts)}) WITHOUT ROWID"

    def fill(self, database: sqlite3.Connection, found: Sequence[tuple[tuple[int, ...], Any]]) -> TextChanges:
        """Add models, each with its key, then the parts in their lists; return the changes in their cells.

        Raises `ExportError` for a ticket whose id SQLite cannot have.
        """
        records, changes = [(*key, *self.columns.read(model)) for key, model in found], UNCHANGED
        places = ", ".join("?" * (len(self.keys) + len(self.columns.columns)))
        insert = f"INSERT OR REPLACE INTO {self.name} VALUES ({places})"  # noqa: S608
        try:
            database.executemany(insert, records)
        except (UnicodeEncodeError, OverflowError):
            made = [storable(record) for record in records]
            if any(cells[0] is None for cells, _ in made):
                raise ExportError(
                    "a ticket's id has more than 64 bits, which no SQLite key has; .jsonl keeps it"
                ) from None
            database.executemany(insert, [cells for cells, _ in made])
            changes = sum((change for _, change in made), changes)
        for field, child in self.children:
            parts = [
                ((*(key or (model.id,)), position), part)
                for key, model in found
                for position, part in enumerate(getattr(model, field))
            ]
            if parts:
                changes += child.fill(database, parts)
        return changes


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


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an error of SQLite about the disk into an `OSError` with the path, one about the file into `ExportError`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise ExportError(f"{str(path)!r} is damaged: {error}", mend="move it away, and begin anew") from error
        number = errno.ENOSPC if code == sqlite3.SQLITE_FULL else errno.EIO
        raise OSError(number, f"SQLite: {error}", str(path)) from error
