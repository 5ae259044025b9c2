"""The database of a mirror: its tables, and each change of them as one transaction; no request is made here.

    tickets            the columns of an export, and facts of the mirror about each row:
                       extra            fields that no model knows, as JSON
                       first_run        the run that read the ticket first
                       run              the run that read the ticket last
                       read_at          when it did: the row is as of then
                       missing_since    when an answer that should have shown the ticket did not; NULL: it is listed
                       left_at          when the ticket was found to exist, though the query's list does not show it
                       gone_at          when the ticket was found to exist no more
                       detail_at        when the full record was read; NULL: it is due, that is, to be read
                       files_at         when all attachments of the ticket were there
    changes            run, ticket, kind, field, old, new, seen_at: the differences from one run to the next; `kind` is
                       new, changed, missing, left, gone, back (listed again; `old` is the state before), or gap (no
                       run from `old` to `new`)
    runs               when each run began and ended, its requests and its report; `ended_at` of an interrupted one
                       is NULL; of looks of a watch in a row that saw nothing new, only the last one is there
    tickets_present    the tickets that are neither gone nor left
    status_periods     ticket, status, since, until: how long each status lasted, as far as runs saw it
    tickets_as_of      the tickets as a run left them: SELECT * FROM tickets_as_of WHERE run = 7
    tickets_text       SQLite's full-text index of titles and texts
    details            id (key), then the columns of TicketDetail that hold one value: the full records
    ticket_assigns     and so on: the tables of a SQLite export with `detail`
    detail_facts       id (key), and as JSON the fields of the full record that no row of the list has, without those
                       that change by themselves, as durations do
    files              ticket_id, name, path: the attachments that were fetched; a path that is no UTF-8 is its bytes
    mirror             name, value (JSON): what the mirror is of, how far its runs are, and numbers kept for later runs

A ticket is *listed* while `missing_since` is NULL. Times are whole seconds since the epoch, by the server's clock as
far as it is known. Other programs may read the database at any time, also while a run writes. One thread uses a
`MirrorDatabase` at a time; an event loop calls its methods by `do`.
"""

import asyncio
import json
import os
import socket
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import groupby, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any, Concatenate, Final, Literal, ParamSpec, Self, TypeAlias, TypeVar, cast

from attrs import asdict, frozen

from workorder_async import arguments
from workorder_async.client import WorkorderClient, with_coroutines
from workorder_async.document import TicketDetail, TicketQuery, TicketSummary
from workorder_async.document.codec import Row, encode, read_row
from workorder_async.document.fields import fields_of
from workorder_async.document.json_text import JSON, to_json
from workorder_async.durable import InUseError, LockedFile, check_place, made_private, on_disk
from workorder_async.errors import ConfigError, DecodeError, ExportError
from workorder_async.exports.columns import TICKET_COLUMNS, Value
from workorder_async.exports.formats import Format
from workorder_async.exports.sink import INT64, storable
from workorder_async.exports.sqlite import disk_errors, table_of

P = ParamSpec("P")
T = TypeVar("T")
_Cells: TypeAlias = tuple[Value, ...]
Range: TypeAlias = tuple[int | None, int | None]
"""Seconds of created time: the first one, and the one after the last; None: no bound."""

#: The statuses of an open ticket in the API document: pending, processing.
OPEN: Final = (1, 2)
#: The first second of a range that, asked for with a margin of one second, does not have second 0: tickets without a
#: created time may be shown there.
LEAST: Final = 2
#: Rows of a page that a range leaves free, for tickets that the database does not have yet.
ROOM: Final = 2


@frozen
class Mark:
    """How far the reading of all tickets is, which one run begins and later runs may end."""

    since: int
    """The number of the run that began it."""
    is_first: bool
    """Whether the database was empty before: then a new ticket is no change."""
    rest: Range = (None, None)
    """The seconds of created time that are left to read."""
    exact: bool = True
    """Whether every walk so far was exact."""
    ended: bool = False
    """Whether all tickets were read."""


class MirrorDatabase:
    """A mirror on disk, for `async with`: open for one writer, and one run at a time; made if there is none.

    `identity` names platform, AppId and query; a mirror of another identity is refused. `open` raises `ExportError` for
    a database that is in use, of another identity, or no mirror; every method raises `OSError` with the path if the
    disk, or SQLite, fails. `at` is the time when rows were read, in seconds since the epoch by the server's clock.
    """

    def __init__(self, path: Path, identity: Mapping[str, object]) -> None:
        self.path: Path = path.absolute()
        #: The number of the run; 0 before the first one begins.
        self.run: int = 0
        self._last_before: int = 0  # the last change before the run
        # The number and the doubts of the run that ended last, if it saw nothing new.
        self._still: tuple[int, object] | None = None
        self._identity = identity
        self._opened = ExitStack()
        self._database: sqlite3.Connection
        self._lock_file: LockedFile
        self._place: os.stat_result
        self._turn = asyncio.Lock()
        self._is_open = False

    async def __aenter__(self) -> Self:
        self._is_open = True
        try:
            await self.do(MirrorDatabase.open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.do(MirrorDatabase.close)
        self._is_open = False

    async def do(self, work: "Callable[Concatenate[MirrorDatabase, P], T]", *args: P.args, **options: P.kwargs) -> T:
        """Call a method in a thread, one call at a time, and return its result.

        If the task is cancelled, the call is waited for all the same. Raises `ExportError` in place of `OSError`, and
        `ConfigError` if the database is not open.
        """
        async with self._turn:
            if not self._is_open:
                raise ConfigError("a watch is not open", mend="write `async with watch(...) as events:` around its use")
            return await on_disk(self.path, lambda: work(self, *args, **options))

    # In a thread

    def open(self, /) -> None:
        """Lock the database, check whose it is, and make the tables that are not there."""
        if not self.path.parent.is_dir():
            problem = f"{str(self.path)!r}: there is no folder {str(self.path.parent)!r}"
            raise ConfigError(problem, argument="database", mend="make it first")
        self._refuse_foreign()
        self._lock()
        self._refuse_sides()
        self._place = made_private(self.path)
        with disk_errors(self.path):
            self._database = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
            self._opened.callback(self._database.close)
            ask = self._database.execute
            ((version,),) = ask("PRAGMA user_version")
            ((tables,),) = ask("SELECT count(*) FROM sqlite_master")
            if version > _VERSION:
                raise ExportError(
                    f"{str(self.path)!r} was made by a newer version of this library", mend="install that version"
                )
            ask("PRAGMA journal_mode = WAL")
            ask("PRAGMA synchronous = NORMAL")
            with self.transaction():
                if tables:
                    self._check_identity()
                else:
                    ask(f"CREATE TABLE tickets ({', '.join(f'{name} {kind}' for name, kind in _COLUMNS.items())})")
                    for statement in _TABLES.split(";\n\n"):
                        ask(statement)
                    ask(_SET, ("identity", json.dumps(self._identity, ensure_ascii=False, sort_keys=True)))
                    ask(f"PRAGMA application_id = {_APPLICATION_ID}")
                    ask(f"PRAGMA user_version = {_VERSION}")
                self._renew()

    def _refuse_foreign(self) -> None:
        """Refuse a file that is no mirror, before anything is written to it or beside it."""
        if not os.path.lexists(self.path):
            return
        if not stat.S_ISREG(os.lstat(self.path).st_mode):
            what = "a link" if self.path.is_symlink() else "no file"
            raise ConfigError(f"{str(self.path)!r} is {what}", argument="database", mend="choose another name")
        with disk_errors(self.path), closing(sqlite3.connect(self.path, timeout=60)) as database:
            ((kind,),) = database.execute("PRAGMA application_id")
            ((tables,),) = database.execute("SELECT count(*) FROM sqlite_master")
        if kind != _APPLICATION_ID and tables:
            raise ExportError(f"{str(self.path)!r} is no mirror", mend="choose another name")

    def _lock(self) -> None:
        """Lock the file beside the database, and write our name into it. Raises `ExportError` with another's name."""
        beside = self.path.with_name(f"{self.path.name}.lock")
        try:
            self._lock_file = lock = LockedFile(beside, is_ours=True)
        except InUseError:
            owner = beside.read_text("utf-8", "replace").strip() or "another program"
            raise ExportError(f"{str(self.path)!r} is being written by {owner}", mend="wait for its end") from None
        self._opened.callback(lock.close)
        lock.cut(0)
        lock.append(f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def _refuse_sides(self) -> None:
        """Refuse to make a database where side files of a lost one lie: SQLite would use or remove their rows."""
        path, *sides = Format("sqlite").names(self.path)
        if not os.path.lexists(path):
            for side in filter(os.path.lexists, sides):
                raise ExportError(
                    f"{str(side)!r} is there without its database", mend="move it away, or choose another name"
                )

    def close(self, /) -> None:
        """Close the database and unlock it."""
        self._opened.close()

    def _check_identity(self) -> None:
        """Refuse a mirror of another platform, AppId or query."""
        there, here = self.kept("identity") or {}, self._identity
        if differs := [
            f"{name} {there.get(name)!r} there, {here.get(name)!r} here"
            for name in dict.fromkeys((*there, *here))
            if there.get(name) != here.get(name)
        ]:
            raise ExportError(
                f"{str(self.path)!r} is the mirror of something else: {'; '.join(differs)}",
                mend="choose another name, or ask for the same again",
            )

    def _renew(self) -> None:
        """Add tables and columns that an earlier version of the library did not make, and make all views again."""
        ask, details = self._database.execute, list(_DETAILS.all())
        for table in details:
            ask(table.create())
        kinds = {table.name: {one.name: one.sqlite for one in table.columns.columns} for table in details}
        for name, columns in {"tickets": _COLUMNS, **kinds}.items():
            there = {row[1] for row in ask(f"PRAGMA table_info ({name})")}
            for column, kind in columns.items():
                if column not in there:
                    ask(f'ALTER TABLE {name} ADD COLUMN "{column}" {kind}')
        fields = [f"{_then(field, after='c.run > runs.id')} AS {field}" for field in _VALUES]
        for statement in _RENEWED.format(status=_then("status", after="TRUE"), fields=", ".join(fields)).split(";\n"):
            ask(statement)

    @contextmanager
    def transaction(self) -> "Iterator[Callable[..., sqlite3.Cursor]]":
        """Make the changes of a block, all or none; yield the function that executes SQL."""
        check_place(self.path, self._place)
        self._lock_file.check_place(f"its lock {self.path.name}.lock")
        # The connection's own `with` commits or rolls back. After a full disk, SQLite may have rolled back by itself.
        with disk_errors(self.path), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            yield self._database.execute

    def ask(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of an SQL question."""
        with disk_errors(self.path):
            return self._database.execute(question, values).fetchall()

    # Marks and runs

    def kept(self, name: str, /) -> Any:
        """Return the value of a name in the table `mirror`; None if there is none."""
        found = self.ask("SELECT value FROM mirror WHERE name = ?", name)
        return json.loads(found[0][0]) if found else None

    def mark(self, /) -> "Mark | None":
        """Return how far the reading of all tickets is; None before the first page of the first run."""
        found = self.kept("all")
        return None if found is None else Mark(**{**found, "rest": tuple(found["rest"])})

    def keep(self, name: Literal["new", "most", "bookmark"], number: int | None, /) -> None:
        """Keep a number in the table `mirror`.

        "new": the second from which on new tickets are to be read; "most": the number beyond which the platform does
        not count; "bookmark": the last change that a watch has dealt with.
        """
        with self.transaction() as ask:
            ask(_SET, (name, json.dumps(number)))

    def bookmark(self, /) -> int:
        """Return the last change that a watch has dealt with; for the first watch, the last one of earlier runs."""
        if (done := self.kept("bookmark")) is None:
            ((done,),) = self.ask("SELECT coalesce(max(id), 0) FROM changes")
            self.keep("bookmark", done)
        return cast("int", done)

    def begin_new(self, latest: int, lag: float, /) -> int | None:
        """Return the second from which on new tickets are to be read: that of the newest ticket, less the lag.

        It is kept until all new tickets are read: if a run is cut short, later runs begin at the same second. Tickets
        created after `latest` do not count: one that is dated ahead would hide the tickets that are created before
        its time. None: there is no ticket, so all are new.
        """
        if (begun := self.kept("new")) is not None:
            return cast("int", begun)
        ((newest,),) = self.ask("SELECT max(created_time) FROM tickets WHERE created_time BETWEEN 1 AND ?", latest)
        if newest is None:
            return None
        start = max(0, int(newest - lag))
        self.keep("new", start)
        return start

    def begin(self, at: int, /) -> int:
        """Begin a run, and return its number."""
        ((self._last_before,),) = self.ask("SELECT coalesce(max(id), 0) FROM changes")
        with self.transaction() as ask:
            self.run = int(ask("INSERT INTO runs (began_at) VALUES (?)", (at,)).lastrowid or 0)
        return self.run

    def end(self, at: int, requests: int, report: Mapping[str, object], /) -> None:
        """Note the end of the run.

        If it saw nothing new, it takes the place of the run that ended before it, if that saw nothing new either, with
        the same doubts: a watch would else leave millions of rows. Only a watch ends several runs of one object, and
        nobody is told their numbers.
        """
        ((last,),) = self.ask("SELECT coalesce(max(id), 0) FROM changes")
        is_still = last == self._last_before and not report.get("created")
        with self.transaction() as ask:
            text = to_json(cast("JSON", report)).decode()
            ask("UPDATE runs SET ended_at = ?, requests = ?, report = ? WHERE id = ?", (at, requests, text, self.run))
            if is_still and self._still is not None and self._still[1] == report.get("reason"):
                ask("DELETE FROM runs WHERE id = ?", self._still[:1])
        self._still = (self.run, report.get("reason")) if is_still else None

    # Rows

    def write(self, rows: Sequence[Row], at: int, seen: int, mark: Mark | None = None, /) -> tuple[int, list[JSON]]:
        """Write rows of the list as they came, with their changes and the run's progress, in one transaction.

        The rows were read after `at` and before `seen`. Returns how many of the tickets are new, and the ids, as
        they came, of the rows that cannot be read and were left out.
        """
        created, unreadable, changes, records = 0, list[JSON](), list[_Cells](), list[_Cells]()
        tells_new, known = mark is None or not mark.is_first, fields_of(TicketSummary)
        with self.transaction() as ask:
            for row in rows:
                unknown = {name: value for name, value in row.items() if name not in known}
                try:
                    cells, _ = storable(TICKET_COLUMNS.read(read_row(row)))
                    extra = to_json(unknown).decode() if unknown else None
                except DecodeError:
                    unreadable.append(row["id"])
                    # The list shows the ticket, so this run must not find it absent.
                    ask("UPDATE tickets SET run = ? WHERE id = ?", (self.run, row["id"]))
                    continue
                records.append((*cells, extra, self.run, self.run, at))
                found = ask(_READ, cells[:1]).fetchone()
                differs = _differences_of(found, cells)
                if found is None:
                    created += 1
                elif differs:
                    ask("UPDATE tickets SET detail_at = NULL WHERE id = ?", cells[:1])
                if found is not None or tells_new:
                    changes += [(self.run, cells[0], *difference, seen) for difference in differs]
            self._database.executemany(_WRITE, records)
            self._note(changes)
            if mark is not None:
                ask(_SET, ("all", json.dumps(asdict(mark))))
        return created, unreadable

    def _note(self, changes: "Iterable[_Cells]") -> None:
        self._database.executemany(
            "INSERT INTO changes (run, ticket, kind, field, old, new, seen_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (storable(change)[0] for change in changes),
        )

    def note_gap(self, now: int, longest: float, /) -> None:
        """Note a gap in `changes`, once, if the last run ended at least `longest` seconds before `now`."""
        ((since,),) = self.ask("SELECT (SELECT ended_at FROM runs WHERE ended_at > 0 ORDER BY id DESC LIMIT 1)")
        if since is None:
            return
        now = max(now, since)  # two processes may estimate the server's clock a second apart
        is_noted = "SELECT 1 FROM changes WHERE ticket = 0 AND kind = 'gap' AND old = ?"
        if now - since >= longest and not self.ask(is_noted, since):
            with self.transaction():
                self._note([(0, 0, "gap", None, since, now, now)])

    def change_after(self, after: int, /) -> tuple[Sequence[Any], dict[str, Any]] | None:
        """Return the next change that is an event, and the present values of its ticket; None if there is no further.

        It is no event that a ticket is missing, nor that a ticket that was only missing is back.
        """
        found = self.ask(
            f"SELECT c.id, c.seen_at, c.kind, c.field, c.old, c.new, {', '.join(_VALUES.values())} "  # noqa: S608
            "FROM changes AS c LEFT JOIN tickets AS t ON t.id = c.ticket "
            "WHERE c.id > ? AND c.kind != 'missing' AND NOT (c.kind = 'back' AND c.old = 'missing') "
            "ORDER BY c.id LIMIT 1",
            after,
        )
        return (found[0][:6], dict(zip(_VALUES, found[0][6:], strict=True))) if found else None

    def write_details(
        self, ids: Sequence[int], found: Sequence[tuple[TicketDetail, list[Path], bool] | None], at: int, seen: int, /
    ) -> int:
        """Write full records, their changes and their files; return how many records were written.

        They were read after `at` and before `seen`. A record that could not be read (None) becomes due: with its old
        `detail_at` it would be the oldest for ever, and take a place of `recheck` in each run.
        """
        with self.transaction() as ask:
            for id, record in zip(ids, found, strict=True):
                if record is None:
                    ask("UPDATE tickets SET detail_at = NULL WHERE id = ?", (id,))
                    continue
                detail, files, has_all = record
                for table in _DETAILS.all():
                    if table.keys:
                        ask(f"DELETE FROM {table.name} WHERE ticket_id = ?", (id,))  # noqa: S608
                for table, records in _DETAILS.records([((), detail)]):
                    table.add(self._database, [storable(record)[0] for record in records])
                for path in filter(Path.is_file, files):
                    # A path that is no UTF-8 is kept as bytes, which still open the file.
                    place = str(path) if arguments.has_bytes(str(path)) else os.fsencode(path)
                    ask("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (id, path.name, place))
                values = cast("dict[str, Any]", encode(detail))
                for file in (*values["attachment"], *values["handle_attachment"]):
                    file.pop("file_path", None)
                text = to_json({name: values[name] for name in _FACTS}).decode()
                ((before,),) = ask("SELECT coalesce((SELECT facts FROM detail_facts WHERE id = ?), ?)", (id, text))
                known, facts = json.loads(before), json.loads(text)
                self._note(
                    (self.run, id, "changed", name, _plain(known[name]), _plain(facts[name]), seen)
                    for name in _FACTS
                    if known.get(name, facts[name]) != facts[name]
                )
                ask("INSERT OR REPLACE INTO detail_facts VALUES (?, ?)", (id, text))
                files_at = at if has_all else None
                ask("UPDATE tickets SET detail_at = ?, files_at = ? WHERE id = ?", (at, files_at, id))
        return len(found) - found.count(None)

    def details_due(self, recheck: int, folder: "str | os.PathLike[str] | None", is_full: bool, /) -> list[int]:
        """Return the listed tickets whose full record is due, and `recheck` others whose records are the oldest.

        The others are open, but of any status with `is_full`.
        With a folder for attachments, a ticket is also due if its files are not all there, or only in another folder.
        """
        is_due, values = "detail_at IS NULL", list[object]()
        if folder is not None:
            values = [os.fsencode(os.path.join(os.path.abspath(folder), "")), os.sep]
            is_elsewhere = "instr(CAST(path AS BLOB), CAST(CAST(? AS TEXT) || ticket_id || ? AS BLOB)) != 1"
            elsewhere = f"SELECT ticket_id FROM files GROUP BY 1 HAVING min({is_elsewhere})"  # noqa: S608
            is_due = f"({is_due} OR files_at IS NULL OR id IN ({elsewhere}))"
        where = "SELECT id FROM tickets WHERE missing_since IS NULL AND"
        due = self.ask(f"{where} {is_due} ORDER BY 1 DESC", *values)
        question = f"{where} NOT {is_due} AND (? OR status IN {OPEN}) ORDER BY detail_at, id LIMIT ?"
        again = self.ask(question, *values, is_full, min(recheck, INT64[-1]))
        return [id for (id,) in (*due, *again)]

    def note(self, kind: Literal["missing", "left", "gone"], ids: Iterable[int], at: int, /) -> list[int]:
        """Note the state of tickets, but not of those that this run has read; return those for which it is new."""
        column = {"missing": "missing_since", "left": "left_at", "gone": "gone_at"}[kind]
        update = f"UPDATE tickets SET {column} = ? WHERE id = ? AND run < ? AND {column} IS NULL"  # noqa: S608
        with self.transaction() as ask:
            noted = [id for id in ids if ask(update, (at, id, self.run)).rowcount]
            self._note((self.run, id, kind, None, None, None, at) for id in noted)
        return noted

    # Questions

    def count(self, range: Range = (None, None), absent: Iterable[int] = (), /) -> int:
        """Return how many listed tickets were created in a range, not counting the `absent` ones."""
        where, values = _within(range)
        question = f"SELECT count(*) FROM tickets WHERE {where} AND id NOT IN (SELECT value FROM json_each(?))"  # noqa: S608
        ((count,),) = self.ask(question, *values, json.dumps([*absent]))
        return cast("int", count)

    def with_details(self, /) -> int | None:
        """Return the listed ticket whose full record was read last; None if there is none."""
        read = "SELECT id FROM tickets WHERE detail_at > 0 AND missing_since IS NULL ORDER BY detail_at DESC LIMIT 1"
        return next((id for (id,) in self.ask(read)), None)

    def unknown_of(self, table: str, ids: Iterable[JSON], /) -> list[JSON]:
        """Return the ids that a table does not have."""
        return [id for id in ids if not self.ask(f"SELECT 1 FROM {table} WHERE id = ?", id)]  # noqa: S608

    def summary(self, /) -> tuple[int, int, int]:
        """Return how many tickets are listed, how many changed in this run, and when the oldest row was read, or 0."""
        ((tickets, oldest),) = self.ask(
            "SELECT count(*), coalesce(min(read_at), 0) FROM tickets WHERE missing_since IS NULL"
        )
        # NOT INDEXED: for DISTINCT, SQLite would read all of the index of tickets.
        question = "SELECT count(DISTINCT ticket) FROM changes NOT INDEXED WHERE id > ? AND kind IN ('changed', 'back')"
        ((changed,),) = self.ask(question, self._last_before)
        return tickets, changed, oldest

    def counts(self, /) -> list[int]:
        """Return how many tickets are listed: in all, pending, and in process."""
        part = "count(*) FILTER (WHERE status = ?)"
        return list(self.ask(f"SELECT count(*), {part}, {part} FROM tickets WHERE missing_since IS NULL", *OPEN)[0])  # noqa: S608

    def odd_statuses(self, /) -> list[tuple[int, int]]:
        """Return the codes of statuses that the API document does not have, and how many listed tickets have each."""
        where = "missing_since IS NULL AND status NOT IN (1, 2, 3, 4)"
        return self.ask(f"SELECT status, count(*) FROM tickets WHERE {where} GROUP BY 1")  # noqa: S608

    def not_read(self, run: int, range: Range = (None, None), statuses: Sequence[int] = (), /) -> list[tuple[int, int]]:
        """Return created time and id of the listed tickets of a range that no run since `run` has read, newest first.

        With `statuses`, only tickets that have one of them, or a status without a code.
        """
        where, values = _within(range)
        if statuses:
            where += f" AND (status IN ({', '.join(map(str, statuses))}) OR status IS NULL)"
        question = f"SELECT created_time, id FROM tickets WHERE {where} AND run < ? ORDER BY 1 DESC, 2 DESC"  # noqa: S608
        return self.ask(question, *values, run)

    def to_be_found(self, /) -> list[int]:
        """Return the tickets that are missing, and neither known to be gone nor known to have left the list."""
        question = "SELECT id FROM tickets WHERE missing_since IS NOT NULL AND left_at IS NULL AND gone_at IS NULL"
        return [id for (id,) in self.ask(f"{question} ORDER BY 1")]

    def ranges_of_left(self, page_size: int, statuses: Sequence[int], /) -> list[Range]:
        """Return ranges that hold all tickets of these statuses that this run has not read.

        By the database's counts, one answer shows all of a range: so tickets that are near each other in time share a
        request. No range begins before `LEAST`: a walk that shows tickets without a created time is not exact.
        """
        ranges, low = list[Range](), 2**62
        for second, _ in self.not_read(self.run, (LEAST, None), statuses):
            if second < low:
                beyond = self.ask(
                    "SELECT created_time FROM tickets WHERE missing_since IS NULL AND created_time <= ? "
                    "ORDER BY 1 DESC LIMIT 1 OFFSET ?",
                    second + 1,
                    max(1, page_size - ROOM),
                )
                low = min(second, beyond[0][0] + 2) if beyond else LEAST
                ranges.append((low, second + 1))
        return ranges

    def gap(self, range: Range, /) -> int | None:
        """Return a second at which to cut a range, near the middle of its tickets; None if there is no such second.

        No listed ticket was created in that second or in one beside it. So it does not matter for the totals of both
        halves whether the ends of the server's filter count.
        """
        where, values = _within(range)
        half = self.count(range) // 2
        reach = min(half // 2 + 2, _LOOKED_THROUGH)
        first = max(0, half - reach)
        question = f"SELECT created_time FROM tickets WHERE {where} AND created_time IS NOT NULL"  # noqa: S608
        seconds = self.ask(f"{question} ORDER BY 1 LIMIT ? OFFSET ?", *values, half + reach - first, first)
        return min(_gaps(seconds), key=lambda gap: abs(first + gap[0] - half), default=(0, None))[1]

    def gap_before(self, second: int, /) -> int | None:
        """Return the latest second before `second` at which a range can be cut like that (see `gap`), or None."""
        question = "SELECT created_time FROM tickets WHERE missing_since IS NULL AND created_time < ? ORDER BY 1 DESC"
        seconds = self.ask(f"{question} LIMIT {_LOOKED_THROUGH}", second)
        return next((gap for _, gap in _gaps([(second,), *seconds])), None)


def database_of(client: WorkorderClient, database: object, query: object) -> MirrorDatabase:
    """Return the database of a query. Raises `ConfigError` for a client or a query that it cannot be of."""
    with_coroutines("client", client)
    if not isinstance(query, TicketQuery):
        raise ConfigError(f"must be a TicketQuery, not {arguments.kind_of(query)}", argument="query")
    if query.status is not None:
        mend = "leave it out: a mirror follows tickets from one status to the next; select in the database"
        raise ConfigError("is not for a mirror", argument="status", mend=mend)
    identity = {"platform": client.base_url, "app_id": client.app_id, "query": encode(query)}
    return MirrorDatabase(Path(arguments.path("database", database)), identity)


# Tables

#: SQLite's application_id of a mirror ("WOmi"), and the version of its tables.
_APPLICATION_ID: Final = 0x574F6D69
_VERSION: Final = 1
_COLUMNS: Final = {
    **{column.name: column.sqlite for column in TICKET_COLUMNS.columns},
    "id": "INTEGER PRIMARY KEY",
    "extra": "TEXT",
    **dict.fromkeys(("first_run", "run", "read_at", "missing_since", "left_at"), "INTEGER"),
    **dict.fromkeys(("gone_at", "detail_at", "files_at"), "INTEGER"),
}
_DETAILS: Final = table_of("details", TicketDetail)
# Made with a new database alone: an index of texts that came later would lack those of earlier tickets.
_TABLES: Final = """\
CREATE TABLE mirror (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE changes (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, ticket INTEGER NOT NULL, kind TEXT NOT NULL, field TEXT, old, new,
    seen_at INTEGER NOT NULL
);

CREATE TABLE runs (
    id INTEGER PRIMARY KEY, began_at INTEGER NOT NULL, ended_at INTEGER, requests INTEGER, report TEXT
);

CREATE INDEX tickets_created_time ON tickets (created_time);

CREATE INDEX tickets_status ON tickets (status, missing_since, run);

CREATE INDEX tickets_missing ON tickets (missing_since) WHERE missing_since IS NOT NULL;

CREATE INDEX changes_ticket ON changes (ticket, field, id);

CREATE INDEX changes_seen ON changes (seen_at);

CREATE VIRTUAL TABLE tickets_text USING fts5 (title, detail, content='tickets', content_rowid='id', tokenize='trigram');

CREATE TRIGGER tickets_new AFTER INSERT ON tickets BEGIN
    INSERT INTO tickets_text (rowid, title, detail) VALUES (new.id, new.title, new.detail);
END;

CREATE TRIGGER tickets_reworded AFTER UPDATE OF title, detail ON tickets
WHEN old.title IS NOT new.title OR old.detail IS NOT new.detail BEGIN
    INSERT INTO tickets_text (tickets_text, rowid, title, detail) VALUES ('delete', old.id, old.title, old.detail);
    INSERT INTO tickets_text (rowid, title, detail) VALUES (new.id, new.title, new.detail);
END;
"""
# What an earlier version of the library may have made otherwise, or not at all. In `status_periods`, the first status
# of a ticket begins with its creation if it is "pending", else with the first run that read the ticket: nobody knows
# since when it had any other status.
_RENEWED: Final = """
CREATE TABLE IF NOT EXISTS detail_facts (id INTEGER PRIMARY KEY, facts TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    ticket_id INTEGER NOT NULL, name TEXT, path TEXT NOT NULL, PRIMARY KEY (ticket_id, path)
) WITHOUT ROWID;
DROP VIEW IF EXISTS tickets_present;
CREATE VIEW tickets_present AS SELECT * FROM tickets WHERE gone_at IS NULL AND left_at IS NULL;
DROP VIEW IF EXISTS status_periods;
CREATE VIEW status_periods AS
WITH moments (ticket, status, since, place) AS (
    SELECT id, first, iif(first = 1 AND created_time > 0, min(created_time, began_at), began_at), 0 FROM (
        SELECT t.id, t.created_time, runs.began_at, {status} AS first
        FROM tickets AS t JOIN runs ON runs.id = t.first_run
    ) UNION ALL SELECT ticket, new, seen_at, id FROM changes WHERE field = 'status'
)
SELECT ticket, status, since, lead(since) OVER (PARTITION BY ticket ORDER BY place) AS until FROM moments;
DROP VIEW IF EXISTS tickets_as_of;
CREATE VIEW tickets_as_of AS SELECT runs.id AS run, {fields}
FROM runs JOIN tickets AS t ON t.first_run <= runs.id WHERE (
    SELECT kind FROM changes AS c WHERE c.ticket = t.id AND c.field IS NULL AND c.kind IN ('gone', 'back')
    AND c.run <= runs.id ORDER BY c.id DESC LIMIT 1
) IS NOT 'gone';
"""


def _then(field: str, *, after: str) -> str:
    """Return the SQL of the value that a field had before its changes that satisfy the condition `after`."""
    changed = f"FROM changes AS c WHERE c.ticket = t.id AND c.field = '{field}' AND {after}"
    return f"iif(EXISTS (SELECT 1 {changed}), (SELECT old {changed} ORDER BY c.id LIMIT 1), {_VALUES[field]})"


# Rows

#: The SQL of each field's value in a ticket `t`: its first column that is not NULL, so a code, or a name if there is no
#: code. `coalesce` needs two arguments, hence the NULL.
_VALUES: Final = {
    field: f"coalesce({', '.join(f't.{column.name}' for column in columns)}, NULL)"
    for field, columns in groupby(TICKET_COLUMNS.columns, attrgetter("field"))
}
_BACKWARDS: Final = tuple(column.field for column in reversed(TICKET_COLUMNS.columns))
_NAMES: Final = TICKET_COLUMNS.names
_SET: Final = "INSERT OR REPLACE INTO mirror VALUES (?, ?)"
# The state of a ticket ("missing", "left" or "gone"; NULL if it is listed), and the values of its fields.
_READ: Final = (
    "SELECT iif(missing_since IS NULL, NULL, iif(gone_at IS NOT NULL, 'gone', "  # noqa: S608
    f"iif(left_at IS NOT NULL, 'left', 'missing'))), {', '.join(_VALUES.values())} FROM tickets AS t WHERE id = ?"
)
_WRITE: Final = (
    f"INSERT INTO tickets ({', '.join(_NAMES)}, extra, first_run, run, read_at) "  # noqa: S608
    f"VALUES ({', '.join('?' * (len(_NAMES) + 4))}) ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in (*_NAMES[1:], "extra", "run", "read_at"))
    + ", missing_since = NULL, left_at = NULL, gone_at = NULL"
)
# The fields of `detail_facts`. Durations grow by themselves; the URLs of attachments, new with each read, are left out
# when the facts are written.
_FACTS: Final = tuple(
    name for name in fields_of(TicketDetail) if name not in fields_of(TicketSummary) and not name.endswith("_duration")
)


def _differences_of(found: Sequence[Value] | None, cells: Sequence[Value]) -> list[_Cells]:
    """Return the differences between a row that `_READ` found and a new one: kind, field, old, new."""
    if found is None:
        return [("new", None, None, None)]
    state, *before = found
    # The new value of each field, as in `_VALUES`: its first cell that is not None. A field that had no value before
    # counts as not changed: the row was written when the field was not read yet.
    after = {field: cell for field, cell in zip(_BACKWARDS, reversed(cells), strict=True) if cell is not None}
    differs: list[_Cells] = [
        ("changed", field, old, after.get(field))
        for field, old in zip(_VALUES, before, strict=True)
        if old not in (None, after.get(field))
    ]
    return differs if state is None else [("back", None, state, None), *differs]


def _plain(value: Any) -> Value:
    """Return a value as SQLite can have it: a list or an object as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


# Ranges

# The tickets among which a gap is looked for, on either side of the middle.
_LOOKED_THROUGH: Final = 2000
# Two tickets at least so many seconds apart have a second between them that is more than one second away from both.
_GAP: Final = 4


def _gaps(seconds: Sequence[tuple[int]]) -> Iterator[tuple[int, int]]:
    """Yield the place of each gap between neighbouring seconds of a sorted list, and a second in the gap."""
    for place, ((one,), (other,)) in enumerate(pairwise(seconds)):
        if abs(one - other) >= _GAP:
            yield place, min(one, other) + _GAP // 2


def _within(range: Range) -> tuple[str, list[int]]:
    """Return the SQL for the listed tickets of a range, and its values."""
    start, end = range
    bounds = [(text, bound) for text, bound in ((">= ?", start), ("< ?", end)) if bound is not None]
    where = ["missing_since IS NULL", *(f"created_time {text}" for text, _ in bounds)]
    return " AND ".join(where), [bound for _, bound in bounds]
