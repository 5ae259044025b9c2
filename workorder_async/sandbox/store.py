"""The sandbox's tickets in SQLite: their columns, and how they are listed, read, and changed one mutation at a time.

Three tables: `tickets` has a row for each ticket, with lists as JSON in columns; `steps` has the history that was added
to assigns after their ticket was made, and `files` the uploads. Statements run in the event loop, without a thread:
each takes about a millisecond, and no other request can come between the statements of one change.
"""

import asyncio
import random
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from enum import IntEnum
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from attrs import frozen

from workorder_async.document import JSON
from workorder_async.document.json_text import dumps, loads
from workorder_async.durable import open_private
from workorder_async.errors import ConfigError
from workorder_async.sandbox.errnos import Errno, Refused
from workorder_async.sandbox.files import invented

_T = TypeVar("_T")
Record: TypeAlias = dict[str, Any]
"""One row of `tickets` by column, or a stored object such as an assign."""
Fields: TypeAlias = dict[str, Any]
"""A checked request: every field of its schema, with the default if it was left out."""
Step: TypeAlias = list[int | str]
"""One TicketFlowHistory, packed: the action, the time in seconds, the person's id and name, and the words."""

# The numbers that filters use stand first: SQLite reads a row only up to the column it needs.
_NUMBERS = (
    "created_time status type sub_type second_subtype creator_id product_group_id priority need_process is_solved "
    "is_suspended_notice customer_organization_id handler relate_to_ticket_id use_relate_status form_id reported_time "
    "started_time suspended_time finished_time solved_time closed_time updated_time updated_progress_time"
)
_TEXTS = (
    "customer_organization_name creator_name customer_user_id feedback feishu_group_id im_group_id title detail "
    "form_values"
)
# Columns of JSON: lists of tag ids, of schema CustomerInfo, of schema Attachment (twice), and of `new_assign`.
_LISTS = "tags customer_info attachment handle_attachment assigns"
#: Every column but the id, with its value in a new ticket.
BLANK: Mapping[str, int | str] = {
    **dict.fromkeys(_NUMBERS.split(), 0),
    **dict.fromkeys(_TEXTS.split(), ""),
    **dict.fromkeys(_LISTS.split(), "[]"),
    "status": 1,
}

#: SQLite's application_id of a sandbox database ("WOsb"), and the version of its tables; version 1 has no `steps`.
_APPLICATION_ID = 0x574F7362
_VERSION = 2
_TYPED = ", ".join(
    f"{name} {'INTEGER' if isinstance(default, int) else 'TEXT'} NOT NULL" for name, default in BLANK.items()
)
# AUTOINCREMENT: the id of a deleted ticket is never given again, as on the platform. A step is a row of its own, not a
# part of the JSON in `assigns`: so a comment takes the same time, however long the history is.
_TABLES = (
    f"CREATE TABLE IF NOT EXISTS tickets (id INTEGER PRIMARY KEY AUTOINCREMENT, {_TYPED})",
    "CREATE TABLE IF NOT EXISTS files "
    "(file_path TEXT PRIMARY KEY, file_name TEXT, file_size INTEGER, file_type TEXT) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS steps (ticket_id INTEGER NOT NULL, assign INTEGER NOT NULL, step TEXT NOT NULL)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)
# Made after the seed: that makes seeding twice as fast. `by_time` answers windows of created_time, and totals.
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS by_time ON tickets (created_time, id)",
    "CREATE INDEX IF NOT EXISTS by_status ON tickets (status, created_time, id)",
    "CREATE INDEX IF NOT EXISTS by_creator ON tickets (creator_id, created_time, id)",
    "CREATE INDEX IF NOT EXISTS by_ticket ON steps (ticket_id)",
)
_INSERT = f"INSERT INTO tickets (id, {', '.join(BLANK)}) VALUES (:id, {', '.join(f':{name}' for name in BLANK)})"  # noqa: S608
_LISTED = (
    "id, title, detail, status, type, sub_type, second_subtype, priority, need_process, creator_name, handler, "
    "product_group_id, customer_organization_name, customer_user_id, tags, form_values, reported_time, created_time, "
    "closed_time"
)
_EQUAL_FILTERS = ("creator_id", "customer_organization_name", "status", "type", "sub_type", "second_subtype")
# Counts of tickets that are remembered, each for other filters: a limit, so that memory does not grow for ever.
_TOTALS_KEPT = 4096
# For an order of chance: with any factor from 1 to _PRIME - 1, id * factor % _PRIME is another number for each id below
# _PRIME, and the product fits into SQLite's 64 bits.
_PRIME = 2**31 - 1
# Seeded tickets that are inserted before other tasks of the event loop have their turn.
_AT_ONCE = 200


class Action(IntEnum):
    """The sandbox's own codes for TicketFlowHistory.action: the platform's dictionary table is not public."""

    CREATED = 1
    ACCEPTED = 2
    COMMENTED = 3
    REJECTED = 4
    FINISHED = 5
    CLOSED = 6
    REOPENED = 7


def packed(value: object) -> str:
    """Return a list or a map as JSON text, for a column."""
    return dumps(value).decode()


def step(action: Action, time: int, who: int, name: str, words: str = "") -> Step:
    """Return one TicketFlowHistory as it is stored."""
    return [int(action), time, who, name, words]


def new_assign(product_group_id: int, created_time: int, history: list[Step]) -> Record:
    """Return one new TicketAssign (status 1) as it is stored: without the names that `shapes` adds from its line."""
    return {
        "product_group_id": product_group_id,
        "status": 1,
        "user_id": 0,
        "user_name": "",
        "created_time": created_time,
        "handled_time": 0,
        "finished_time": 0,
        "updated_time": created_time,
        "history": history,
    }


@frozen
class Applied:
    """One mutation that the sandbox carried out."""

    operation: str
    """The endpoint's operation: "create_ticket", "comment_ticket", "reject_ticket" or "close_ticket"."""
    ticket_id: int
    """The ticket that was made or changed."""
    time: float
    """When, in seconds since the epoch by the sandbox's clock."""
    request: Mapping[str, JSON]
    """The request's JSON object, as the caller sent it."""


class Store:
    """The tables of one sandbox, in the file `path` or in memory; `clock` gives the time of mutations.

    With `lag` there are two stores: mutations change this one, and reads see its replica (`shown`), a store in memory
    that gets each change `lag` seconds later. `stored` changes titles and details before they are stored.

    Raises `ConfigError`, here or in `open`, for a file that cannot be opened, belongs to something else, or is open
    in another sandbox.
    """

    def __init__(
        self, path: Path | None, clock: Callable[[], float], *, lag: float = 0.0, stored: Callable[[str], str] = str
    ) -> None:
        self.applied: list[Applied] = []
        self._lag = lag
        self._stored = stored
        self._replica = Store(None, clock) if lag else self
        # Each change that the replica does not have yet, after the time when it was made.
        self._late = deque[tuple[float, Callable[[Store], object]]]()
        self._path = path
        self.clock = clock
        self.is_closed: bool = False
        # Counts of `_total`. Key: all filters but `created_end`, and whether there was one. Value: the last
        # `created_end`, and how many tickets matched with it.
        self._totals = dict[object, tuple[int, int]]()
        try:
            if path is not None:
                # Made before SQLite opens it: SQLite gives its files beside it (-wal) the mode of this file.
                with suppress(FileExistsError):
                    open(path, "xb", opener=open_private).close()
            # `check_same_thread=False`: it may be used from several threads, but never by two at a time.
            self._db = sqlite3.connect(path or ":memory:", timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.OperationalError) as error:
            why = getattr(error, "strerror", None) or error
            raise self._wrong(f"cannot be opened ({why})", "its folder must exist and be writable") from None
        self._db.row_factory = sqlite3.Row

    async def open(self, seed: Iterable[Record]) -> None:
        """Take the file for this sandbox alone, and fill it with `seed` if it is new."""
        # In this mode SQLite takes the file's lock with the first transaction, and holds it until the file is closed.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:
                await self._fill(iter(seed))
            if self._replica is not self:
                self._db.backup(self._replica._db)
            if self._path is not None:
                with suppress(PermissionError):  # the file belongs to another user
                    self._path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.OperationalError as error:
            mend = "another sandbox may have it open, or it is read-only"
            raise self._wrong(f"cannot be used ({error})", mend) from None
        except sqlite3.DatabaseError as error:
            raise self._wrong(f"is not a database ({error})", "name another file or a new one") from None

    def _wrong(self, problem: str, mend: str) -> ConfigError:
        return ConfigError(f"{self._path} {problem}", argument="db", mend=mend)

    async def _fill(self, seed: Iterator[Record]) -> None:
        """Make missing tables and indexes, and the tickets of a new file; refuse a file that is no sandbox's."""
        is_new = not self._number("SELECT count(*) FROM sqlite_master")
        is_own = self._number("PRAGMA application_id") == _APPLICATION_ID
        if not is_new and not (is_own and self._number("PRAGMA user_version") <= _VERSION):
            raise self._wrong("is not a sandbox database", "name another file or a new one")
        for statement in _TABLES:
            self._db.execute(statement)
        while is_new and (some := list(islice(seed, _AT_ONCE))):
            self._db.executemany(_INSERT, some)
            await asyncio.sleep(0)
        for statement in _INDEXES:
            self._db.execute(statement)

    def _number(self, statement: str, values: Iterable[JSON] = ()) -> int:
        """Return the only number that a statement selects; 0 for NULL."""
        return int(self._db.execute(statement, tuple(values)).fetchone()[0] or 0)

    def close(self) -> None:
        """Close the database; a file stays for the next sandbox."""
        self.is_closed = True
        self._replica._db.close()
        self._db.close()

    @property
    def shown(self) -> "Store":
        """The store that reads see: this one, or its replica, with all changes that are `lag` seconds old by now."""
        while self._late and self._late[0][0] <= self.clock() - self._lag:
            _, change = self._late.popleft()
            self._replica.make(change)
        return self._replica

    def make(self, change: Callable[["Store"], _T]) -> _T:
        """Make a change, whole or not at all, and note it for the replica; `change` is called with each of the two."""
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:  # commits at its end, rolls back after an error
            made = change(self)
        self._totals.clear()
        if self._replica is not self:
            self._late.append((self.clock(), change))
        return made

    def page(self, fields: Fields, size: int, ties: random.Random | None = None) -> tuple[int, list[sqlite3.Row]]:
        """Return how many tickets the filters match, and one page of them, the newest first.

        A filter that is 0, empty or absent filters nothing, as the API document's example of zeros suggests. Both
        `created_start` and `created_end` belong to the window. With `ties`, tickets that were created in one second are
        in another order on each page.
        """
        where, values = _where(fields)
        total = self._total(fields)
        offset = (fields["page"] - 1) * size
        if offset >= total:
            return total, []
        order = "id" if ties is None else f"id * {ties.randrange(1, _PRIME)} % {_PRIME}"
        rows = self._db.execute(
            f"SELECT {_LISTED} FROM tickets {where} ORDER BY created_time DESC, {order} DESC LIMIT ? OFFSET ?",  # noqa: S608
            (*values, size, offset),
        )
        return total, rows.fetchall()

    def _total(self, fields: Fields) -> int:
        """Count the tickets that the filters match.

        If only `created_end` differs from the last count, only the tickets between the two ends are counted. A walk
        asks for page after page with an earlier end each time, and counting a million tickets takes longer than finding
        a page of them.
        """
        end = fields["created_end"] or 0
        kept = _where({**fields, "created_end": 0}), end != 0
        before, total = self._totals.get(kept, (None, 0))
        if before is None:
            where, values = _where(fields)
            total = self._number(f"SELECT count(*) FROM tickets {where}", values)  # noqa: S608
        elif end != before:
            where, values = _where({**fields, "created_end": max(before, end)})
            later = f"SELECT count(*) FROM tickets {where} AND created_time > ?"  # noqa: S608
            between = self._number(later, (*values, min(before, end)))
            total += between if end > before else -between
        if end != before:
            if len(self._totals) >= _TOTALS_KEPT:
                self._totals.clear()
            self._totals[kept] = end, total
        return total

    def ticket(self, id: int) -> sqlite3.Row:
        """Return a ticket's whole row, or refuse with `Errno.NOT_FOUND`."""
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM tickets WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise Refused(Errno.NOT_FOUND, f"工单 {id} 不存在")
        return row

    def id_after(self, id: int) -> int:
        """Return the next higher id of a ticket; after the highest the lowest."""
        after = self._number("SELECT min(id) FROM tickets WHERE id > ?", (id,))
        return after or self._number("SELECT min(id) FROM tickets") or id

    def ids(self, status: int) -> list[int]:
        """Return the ids of a status's tickets, the newest first."""
        statement = "SELECT id FROM tickets WHERE status = ? ORDER BY created_time DESC, id DESC"
        return [id for (id,) in self._db.execute(statement, (status,))]

    def next_id(self) -> int:
        """Return the id that the next ticket gets."""
        return 1 + self._number("SELECT max(seq) FROM sqlite_sequence WHERE name = 'tickets'")

    def insert(self, record: Record) -> int:
        """Add a ticket and return its id."""
        return int(self._db.execute(_INSERT, {**record, "id": None}).lastrowid or 0)

    def update(self, id: int, changes: Record) -> None:
        """Change some columns of a ticket."""
        columns = ", ".join(f"{name} = :{name}" for name in changes)
        self._db.execute(f"UPDATE tickets SET {columns} WHERE id = :id", {**changes, "id": id})  # noqa: S608

    def delete(self, id: int) -> None:
        """Delete a ticket; no other ticket gets its id."""
        self._db.execute("DELETE FROM tickets WHERE id = ?", (id,))
        self._db.execute("DELETE FROM steps WHERE ticket_id = ?", (id,))

    def add_step(self, ticket_id: int, assign: int, done: Step) -> None:
        """Add a step to the history of an assign; `assign` is its index among the ticket's assigns."""
        self._db.execute("INSERT INTO steps VALUES (?, ?, ?)", (ticket_id, assign, packed(done)))

    def assigns(self, ticket: sqlite3.Row) -> list[Record]:
        """Return the assigns of a ticket with their whole history; `updated_time` is the time of the last step."""
        assigns: list[Record] = loads(ticket["assigns"])
        steps = self._db.execute("SELECT assign, step FROM steps WHERE ticket_id = ? ORDER BY rowid", (ticket["id"],))
        for index, done in steps:
            assign = assigns[index]
            assign["history"].append(loads(done))
            assign["updated_time"] = assign["history"][-1][1]
        return assigns

    def apply(self, operation: str, change: "Change", fields: Fields, request: Mapping[str, JSON]) -> int:
        """Carry out one mutation, whole or not at all, record it in `applied`, and return the ticket's id.

        `fields` is the checked request, `request` the JSON object as it was sent.
        """
        now = self.clock()
        texts = {name: self._stored(fields[name]) for name in fields.keys() & {"title", "detail"}}
        ticket_id = self.make(lambda store: change(store, {**fields, **texts}, int(now)))
        self.applied.append(Applied(operation, ticket_id, now, request))
        return ticket_id

    def add_file(self, attachment: Mapping[str, Any]) -> None:
        """Store the Attachment of an upload, so that tickets can name the file, and `file` knows its name and type."""
        statement = "INSERT INTO files VALUES (:file_path, :file_name, :file_size, :file_type)"
        self.make(lambda store: store._db.execute(statement, attachment))

    def file(self, file_path: str) -> tuple[str, str] | None:
        """Return the name and the MIME type of a file by its storage key; None for an unknown key.

        An invented file counts only if its ticket lists it.
        """
        row = self._db.execute("SELECT file_name, file_type FROM files WHERE file_path = ?", (file_path,)).fetchone()
        if row is not None:
            return str(row[0]), str(row[1])
        found = invented(file_path)
        if found is None:
            return None
        ticket_id, made = found
        if ticket_id is not None:
            ticket = self._db.execute("SELECT attachment FROM tickets WHERE id = ?", (ticket_id,)).fetchone()
            if ticket is None or all(one["file_path"] != file_path for one in loads(ticket[0])):
                return None
        return made.file_name, made.file_type


Change: TypeAlias = Callable[[Store, Fields, int], int]
"""One kind of mutation: takes the checked request and the time in seconds, and returns the ticket's id."""


def _where(fields: Fields) -> tuple[str, tuple[JSON, ...]]:
    wanted: list[tuple[str, JSON]] = [(f"{name} = ?", fields[name]) for name in _EQUAL_FILTERS]
    wanted += [("created_time >= ?", fields["created_start"]), ("created_time <= ?", fields["created_end"])]
    if fields["product_group_id"]:
        wanted.append(("product_group_id IN (SELECT value FROM json_each(?))", packed(fields["product_group_id"])))
    used = [(clause, value) for clause, value in wanted if value]
    where = "WHERE " + " AND ".join(clause for clause, _ in used) if used else ""
    return where, tuple(value for _, value in used)
