"""The sandbox's tickets in SQLite: opened or made new, listed, read, and changed one mutation at a time.

Everything here is synchronous and belongs to one thread; the application calls it there.
"""

import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from attrs import frozen

from workorder_async.document import JSON
from workorder_async.document.json_text import dumps
from workorder_async.errors import ConfigError
from workorder_async.sandbox.errnos import Errno, Refused
from workorder_async.sandbox.private import close_to_others, create_file
from workorder_async.sandbox.rules import Fields
from workorder_async.sandbox.tables import APPLICATION_ID, CREATE_INDEXES, CREATE_TABLES, INSERT, VERSION, Record

_EQUAL_FILTERS = ("creator_id", "customer_organization_name", "status", "type", "sub_type", "second_subtype")
_LISTED = (
    "id, title, detail, status, type, sub_type, second_subtype, priority, need_process, creator_name, handler, "
    "product_group_id, customer_organization_name, customer_user_id, tags, form_values, reported_time, created_time, "
    "closed_time"
)
# Windows ask for many totals; a few thousand are worth keeping, more are a leak.
_TOTALS_KEPT = 4096
_INT64_MAX = 2**63 - 1
# Ids times a number below it, modulo it, are the same ids in another order, and fit into SQLite's 64 bits.
_PRIME = 2**31 - 1


@frozen
class Applied:
    """One mutation that the sandbox carried out, as it was asked."""

    operation: str
    """The endpoint's operation: "create_ticket", "comment_ticket", "reject_ticket" or "close_ticket"."""
    ticket_id: int
    """The ticket that was made or changed."""
    time: float
    """When, in seconds since the epoch by the sandbox's clock."""
    request: Mapping[str, JSON]
    """The request's JSON object."""


class Store:
    """The tables of one sandbox, in the file `path` or in memory; `clock` gives the time of mutations.

    Raises `ConfigError`, here or in `open`, for a file that cannot be opened, belongs to something else, or is open
    in another sandbox.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float]) -> None:
        self.applied: list[Applied] = []
        self._path = path
        self.clock = clock
        self._totals: dict[tuple[str, tuple[JSON, ...]], int] = {}
        try:
            if path is not None:
                # What SQLite puts beside it gets the mode of this file.
                with suppress(FileExistsError):
                    create_file(path).close()
            # Made by one thread and used by another, never by two at a time.
            self._db = sqlite3.connect(path or ":memory:", timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.OperationalError) as error:
            raise ConfigError(f"db {path} cannot be opened ({error}); its folder must exist and be writable") from None
        self._db.row_factory = sqlite3.Row

    def open(self, seed: Callable[[], Iterable[Record]]) -> None:
        """Take the file for this sandbox alone, and fill it with `seed()` where it is new."""
        # The lock is taken with the first transaction and held until the end.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            with self.transaction():
                if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                    self._fill(seed())
                elif (self._pragma("application_id"), self._pragma("user_version")) != (APPLICATION_ID, VERSION):
                    raise ConfigError(f"db {self._path} is not a sandbox database; name another file or a new one")
            if self._path is not None:
                close_to_others(self._path)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.OperationalError as error:
            raise ConfigError(
                f"db {self._path} cannot be used ({error}); another sandbox may have it open, or it is read-only"
            ) from None
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"db {self._path} is not a database ({error}); name another file or a new one") from None

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def _fill(self, records: Iterable[Record]) -> None:
        for statement in CREATE_TABLES:
            self._db.execute(statement)
        self._db.executemany(INSERT, records)
        for statement in CREATE_INDEXES:
            self._db.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is changed inside happen whole or, after an error, not at all."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            self._totals.clear()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Close the database; a file stays for the next sandbox."""
        self._db.close()

    def page(self, fields: Fields, size: int, ties: random.Random | None = None) -> tuple[int, list[sqlite3.Row]]:
        """Return how many tickets the filters match, and one page of them, the newest first.

        A filter that is 0, empty or absent filters nothing, as the API document's example of zeros suggests;
        `created_start` and `created_end` are both inside. With `ties`, tickets of one second are in an order of chance.
        """
        where, values = _where(fields)
        total = self._total(where, values)
        offset = (fields["page"] - 1) * size
        if offset >= total:
            return total, []
        order = "id" if ties is None else f"id * {ties.randrange(1, _PRIME)} % {_PRIME}"
        rows = self._db.execute(
            f"SELECT {_LISTED} FROM tickets {where} ORDER BY created_time DESC, {order} DESC LIMIT ? OFFSET ?",  # noqa: S608
            (*values, size, offset),
        )
        return total, rows.fetchall()

    def _total(self, where: str, values: tuple[JSON, ...]) -> int:
        total = self._totals.get((where, values))
        if total is None:
            if len(self._totals) >= _TOTALS_KEPT:
                self._totals.clear()
            total = int(self._db.execute(f"SELECT count(*) FROM tickets {where}", values).fetchone()[0])  # noqa: S608
            self._totals[where, values] = total
        return total

    def ticket(self, id: int) -> sqlite3.Row:
        """Return a ticket's whole row, or refuse with `Errno.NOT_FOUND`."""
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM tickets WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise Refused(Errno.NOT_FOUND, f"工单 {id} 不存在")
        return row

    def id_after(self, id: int) -> int:
        """Return the ticket that comes next by id, or where there is none, the first."""
        after = self._db.execute("SELECT min(id) FROM tickets WHERE id > ?", (id,)).fetchone()[0]
        first = self._db.execute("SELECT min(id) FROM tickets").fetchone()[0]
        return int(after or first or id)

    def count(self, status: int) -> int:
        """Return how many tickets have this status."""
        return self._total("WHERE status = ?", (status,))

    def ids_at(self, status: int, ranks: Iterable[int]) -> list[int]:
        """Return the tickets at these places of a status's list, from 0 and ascending; the newest is first.

        One pass over the index, however many places.
        """
        ids, last, time, id = [], -1, _INT64_MAX, _INT64_MAX
        for rank in ranks:
            time, id = self._db.execute(
                "SELECT created_time, id FROM tickets WHERE status = ? AND (created_time, id) < (?, ?) "
                "ORDER BY created_time DESC, id DESC LIMIT 1 OFFSET ?",
                (status, time, id, rank - last - 1),
            ).fetchone()
            ids.append(id)
            last = rank
        return ids

    def next_id(self) -> int:
        """Return the id that the next ticket gets."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'tickets'").fetchone()
        return 1 if row is None else int(row[0]) + 1

    def insert(self, record: Record) -> int:
        """Add a ticket and return its id."""
        return int(self._db.execute(INSERT, {**record, "id": None}).lastrowid or 0)

    def update(self, id: int, changes: Record) -> None:
        """Change some columns of a ticket."""
        columns = ", ".join(f"{name} = :{name}" for name in changes)
        self._db.execute(f"UPDATE tickets SET {columns} WHERE id = :id", {**changes, "id": id})  # noqa: S608

    def delete(self, id: int) -> None:
        """Take a ticket away; its id is not given again."""
        self._db.execute("DELETE FROM tickets WHERE id = ?", (id,))

    def apply(self, operation: str, change: "Change", fields: Fields, request: Mapping[str, JSON]) -> int:
        """Carry out one mutation, whole or not at all, record it in `applied`, and return the ticket's id."""
        now = self.clock()
        with self.transaction():
            ticket_id = change(self, fields, int(now))
        self.applied.append(Applied(operation, ticket_id, now, request))
        return ticket_id

    def add_file(self, attachment: Mapping[str, Any]) -> None:
        """Remember what `upload_file` answered (schema Attachment)."""
        self._db.execute("INSERT INTO files VALUES (:file_path, :file_name, :file_size, :file_type)", attachment)

    def file(self, file_path: str) -> tuple[str, str] | None:
        """Return the name and the MIME type of an uploaded file, or None where there is no such storage key."""
        row = self._db.execute("SELECT file_name, file_type FROM files WHERE file_path = ?", (file_path,)).fetchone()
        return None if row is None else (str(row[0]), str(row[1]))


Change: TypeAlias = Callable[[Store, Fields, int], int]
"""One kind of mutation: given the checked request and the time in seconds, returns the ticket's id."""


def _where(fields: Fields) -> tuple[str, tuple[JSON, ...]]:
    wanted: list[tuple[str, JSON]] = [(f"{name} = ?", fields[name]) for name in _EQUAL_FILTERS]
    wanted += [("created_time >= ?", fields["created_start"]), ("created_time <= ?", fields["created_end"])]
    if fields["product_group_id"]:
        ids = dumps(fields["product_group_id"]).decode()
        wanted.append(("product_group_id IN (SELECT value FROM json_each(?))", ids))
    used = [(clause, value) for clause, value in wanted if value]
    where = "WHERE " + " AND ".join(clause for clause, _ in used) if used else ""
    return where, tuple(value for _, value in used)
