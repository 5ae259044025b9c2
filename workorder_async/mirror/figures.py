"""Figures of the tickets of a database, or of an exported file: counts, times to close, the oldest open ones.

    how many, by status, type, product line and week
    how long until a close, and in each status: the median, and the time that nine of ten stay below
    which have been open for longest, and how many nobody handles

Weeks begin on Monday, in China. How long tickets stay in a status only a mirror knows. A file that is no database
becomes a table of SQLite in memory, so that all are asked alike.
"""

import csv
import gzip
import io
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice
from math import ceil
from pathlib import Path
from time import time
from typing import Any, Final, TypeAlias

from attrs import frozen

from workorder_async.document import TicketStatus, TicketType
from workorder_async.document.codec import read_row
from workorder_async.document.enums import OpenEnum
from workorder_async.errors import ConfigError, DecodeError
from workorder_async.exports.columns import TICKET_COLUMNS
from workorder_async.exports.formats import undefused, zstd_module
from workorder_async.exports.sink import storable
from workorder_async.extras import extra_module

_DAY: Final = 86400
_WEEK: Final = 7 * _DAY
# 1970-01-01 was a Thursday; in China it began eight hours earlier.
_MONDAY: Final = 3 * _DAY + 8 * 3600
_WEEKS: Final = 26
_LINES: Final = 12
_OLDEST: Final = 20
_Ask: TypeAlias = Callable[..., list[tuple[Any, ...]]]
Counts: TypeAlias = tuple[tuple[str, int], ...]
"""Names, and how many tickets each of them has; the most first. Tickets with none are "without a name"."""
_NAMELESS: Final = "without a name"
_NUMBERS: Final = ("id", "status", "type", "handler", "created_time", "closed_time")
_COLUMNS: Final = (*_NUMBERS, "status_name", "type_name", "title", "product_group", "product_group_name")
_NEEDED: Final = {"id", "status", "created_time"}
# A text that looks like a number is one by then.
_NUMBER: Final = "{0} INTEGER CHECK (typeof({0}) IN ('integer', 'null'))"
# By SQLite's codes of errors. Others are the disk's, such as of one that is full: then the file itself may be whole.
_MENDS: Final = {
    **dict.fromkeys((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), "end the program that has it"),
    sqlite3.SQLITE_CORRUPT: "it may be cut short or damaged: write it anew",
}
# A cell may hold a ticket's whole text; the usual limit is 128 KiB.
_LONGEST_CELL: Final = 2**31 - 1


@frozen
class Durations:
    """How long something takes, in seconds."""

    name: str
    """The type, or the status."""
    count: int
    """How often it was measured."""
    median: int
    """Half of them take no longer."""
    ninth: int
    """Nine of ten take no longer."""


@frozen
class Week:
    """A week of tickets."""

    start: int
    """Its Monday, 00:00 in China, in seconds since the epoch."""
    created: int
    closed: int


@frozen
class OldTicket:
    """A ticket that has been open for long."""

    id: int
    title: str
    status: str
    created_time: int
    """In seconds since the epoch."""
    is_handled: bool | None
    """Whether somebody handles it; None if the row does not say."""


@frozen(kw_only=True)
class Figures:
    """The figures of a report."""

    as_of: int
    """When the tickets were read, at the latest, in seconds since the epoch; 0 if that is not known."""
    tickets: int
    open: int
    """How many are pending or in process."""
    unhandled: int | None
    """How many of these nobody handles; None if the rows do not say."""
    by_status: Counts
    by_type: Counts
    by_product_line: Counts
    """The twelve largest; the "others" as one."""
    weeks: tuple[Week, ...]
    """26 weeks, the earliest first; the last one is the latest week until now in which a ticket was created."""
    to_close: tuple[Durations, ...]
    """From creation to close: of "all", then of each type."""
    in_status: tuple[Durations, ...]
    """In each status, as far as a mirror saw it end."""
    oldest: tuple[OldTicket, ...]
    """The open tickets that were created first."""


def figures_of(path: Path) -> Figures:
    """Read a mirror, or an exported file of any format. Raises `ConfigError` for a file that is neither."""
    with opened(path) as database:
        return _read(database)


def _read(database: sqlite3.Connection) -> Figures:
    def ask(question: str, *values: object) -> list[tuple[Any, ...]]:
        return database.execute(question, values).fetchall()

    there = {row[1] for row in ask("PRAGMA table_info (tickets)")}
    present = "FROM tickets WHERE " + ("gone_at IS NULL AND left_at IS NULL" if "gone_at" in there else "TRUE")
    line = "product_group" if "product_group" in there else "product_group_name"
    handler = "handler" if "handler" in there else "NULL"
    is_open = f"status IN ({TicketStatus.PENDING.value}, {TicketStatus.PROCESSING.value})"

    def counts(column: str) -> list[tuple[Any, int]]:
        return ask(f"SELECT {column}, count(*) {present} GROUP BY 1 ORDER BY 2 DESC, 1")

    def code(name: str) -> str:  # or the name that came in place of one
        return f"coalesce({name}, {name}_name)" if f"{name}_name" in there else name

    ((tickets, opened, unhandled),) = ask(
        f"SELECT count(*), coalesce(sum({is_open}), 0), sum({is_open} AND {handler} = 0) {present}"
    )
    periods = "SELECT status, until - since FROM status_periods WHERE until > since ORDER BY 2"
    lines = counts(line) if line in there else []
    rest = sum(count for _, count in lines[_LINES:])
    oldest = ask(
        f"SELECT id, title, status, created_time, {handler} {present} AND {is_open} AND created_time > 0 "
        "ORDER BY created_time, id LIMIT ?",
        _OLDEST,
    )
    return Figures(
        as_of=ask(f"SELECT coalesce(max(read_at), 0) {present}")[0][0] if "read_at" in there else 0,
        tickets=tickets,
        open=opened,
        unhandled=None if handler == "NULL" else unhandled or 0,
        by_status=tuple((_name(TicketStatus, it), count) for it, count in counts(code("status"))),
        by_type=tuple((_name(TicketType, it), count) for it, count in counts(code("type"))),
        by_product_line=tuple((str(name or _NAMELESS), count) for name, count in lines[:_LINES])
        + ((("others", rest),) if rest else ()),
        weeks=_weeks(ask, present),
        to_close=_to_close(ask, present, code("type")),
        in_status=_by_code(TicketStatus, ask(periods)) if "first_run" in there else (),
        oldest=tuple(
            OldTicket(id, str(title or ""), label_of(TicketStatus, status), created, None if by is None else by != 0)
            for id, title, status, created, by in oldest
        ),
    )


def _weeks(ask: _Ask, present: str) -> tuple[Week, ...]:
    question = f"SELECT ({{0}} + {_MONDAY}) / {_WEEK}, count(*) {present} AND {{0}} > 0 GROUP BY 1"
    created: dict[int, int] = dict(ask(question.format("created_time")))
    closed: dict[int, int] = dict(ask(question.format("closed_time")))
    if not created:
        return ()
    # Tickets that are dated ahead hide no week.
    now = (int(time()) + _MONDAY) // _WEEK
    last = max((week for week in created if week <= now), default=max(created))
    first = max(min(created), last - _WEEKS + 1)
    return tuple(
        Week(week * _WEEK - _MONDAY, created.get(week, 0), closed.get(week, 0)) for week in range(first, last + 1)
    )


def _to_close(ask: _Ask, present: str, type: str) -> tuple[Durations, ...]:
    closes = ask(
        f"SELECT {type}, closed_time - created_time {present} AND closed_time > created_time AND created_time > 0 "
        "ORDER BY 2"
    )
    if not closes:
        return ()
    return (_durations("all", [seconds for _, seconds in closes]), *_by_code(TicketType, closes))


def _by_code(kind: type[OpenEnum], rows: Sequence[tuple[Any, ...]]) -> tuple[Durations, ...]:
    """Return the quantiles of each code that has some of these sorted seconds."""
    codes = sorted({code for code, _ in rows if code is not None}, key=str)
    return tuple(_durations(_name(kind, code), [seconds for of, seconds in rows if of == code]) for code in codes)


def _durations(name: str, ordered: Sequence[int]) -> Durations:
    """Return the quantiles of sorted seconds, of one at least."""
    median, ninth = (ordered[ceil(len(ordered) * share) - 1] for share in (0.5, 0.9))
    return Durations(name, len(ordered), median, ninth)


def _name(kind: type[OpenEnum], code: object) -> str:
    return label_of(kind, code) or _NAMELESS


def label_of(kind: type[OpenEnum], code: object) -> str:
    """Return the name of a code in the API document, or an unknown name as it is; "" for none."""
    return kind(code).label if isinstance(code, int | str) and code else ""


# The tickets of any file


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading; of another file, make one in memory."""
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"SQLite format 3"):
        with connected(path) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'tickets'").fetchone():
                raise _no_tickets(path)
            yield database
        return
    with closing(sqlite3.connect(":memory:")) as database:
        rows = iter(_rows(path, head))
        found = list(islice(rows, 1))
        names = [name for name in _COLUMNS if not found or name in found[0]]
        if not _NEEDED.issubset(names):
            raise _no_tickets(path)
        if lacking := [name for name in ("type", "title", "closed_time") if name not in names]:
            raise ConfigError(f"{str(path)!r} has no column {', '.join(lacking)}", mend="name a whole export")
        kinds = [_NUMBER.format(name) if name in _NUMBERS else f"{name} TEXT" for name in names]
        database.execute(f"CREATE TABLE tickets ({', '.join(kinds)})")
        cells = ([None if row.get(name) == "" else row.get(name) for name in names] for row in chain(found, rows))
        try:
            database.executemany(
                f"INSERT INTO tickets VALUES ({', '.join('?' * len(names))})",  # noqa: S608
                (storable(row)[0] for row in cells),
            )
        except (sqlite3.Error, OverflowError):  # a list, or what is no number of 64 bits where one should be
            raise _no_tickets(path) from None
        yield database


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading, as of one moment, though a run may write meanwhile.

    In a folder where nothing can be written, SQLite must be told that nobody does.
    Raises `ConfigError` where it is locked or damaged, `sqlite3.DatabaseError` where it lacks a table or column.
    """
    is_still = not os.access(path.absolute().parent, os.W_OK) and not os.path.exists(f"{path}-wal")
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' * is_still}"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        try:
            database.execute("BEGIN")
            yield database
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB):
                raise
            mend = _MENDS.get(code, "make room on the disk, or copy it to another folder with the files beside it")
            raise ConfigError(f"{str(path)!r} cannot be read: SQLite: {error}", mend=mend) from None


def _no_tickets(path: Path) -> ConfigError:
    return ConfigError(f"{str(path)!r} holds no tickets", mend="name a mirror, or a file that `export` wrote")


def _rows(path: Path, head: bytes) -> Iterable[dict[str, Any]]:
    """Yield the rows of an exported file, by the names of its columns."""
    if head.startswith(b"PAR1"):
        parquet = extra_module("pyarrow.parquet", "parquet", "a report of a Parquet file")
        # A path that is no UTF-8 pyarrow does not take.
        with path.open("rb") as content, parquet.ParquetFile(content) as file:
            names = [name for name in _COLUMNS if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=names):
                yield from batch.to_pylist()
    elif head.startswith(b"PK"):
        openpyxl = extra_module("openpyxl", "xlsx", "a report of a workbook")
        unescape = extra_module("openpyxl.utils.escape", "xlsx", "a report of a workbook").unescape
        with path.open("rb") as file:  # of a file, openpyxl asks for no suffix
            for sheet in openpyxl.load_workbook(file, read_only=True).worksheets:
                lines = sheet.iter_rows(values_only=True)
                heads = [str(name) for name in next(lines, ())]
                for line in lines:
                    cells = [unescape(cell) if isinstance(cell, str) else cell for cell in line]
                    yield dict(zip(heads, cells, strict=False))
    else:
        with _text(path, head) as file:
            yield from _of_lines(path, file)


def _of_lines(path: Path, file: io.TextIOWrapper) -> Iterator[dict[str, Any]]:
    """Yield the rows of JSON Lines or CSV. A line that is no ticket, after one that was, is cut short or damaged."""
    number = 1
    try:
        first = file.readline()
        if first.startswith("{"):
            for number, line in enumerate(chain([first], file), 1):
                yield _of_json(json.loads(line), f"line {number} of {str(path)!r}")
        elif first:
            csv.field_size_limit(_LONGEST_CELL)
            reader = csv.DictReader(chain([first], file))
            if "id" not in (reader.fieldnames or ()):
                raise _no_tickets(path)
            for row in reader:
                number = reader.line_num
                if None in row.values():
                    raise ValueError("there are fewer cells than names")
                yield {name: undefused(cell) for name, cell in row.items()}
    except (ValueError, TypeError, csv.Error) as error:
        if number > 1 and not isinstance(error, TypeError):
            raise ValueError(f"line {number}: {error}") from None
        raise _no_tickets(path) from None


def _of_json(row: dict[str, Any], where: str) -> dict[str, Any]:
    """Return an object of JSON Lines by the names of columns; one without them is a ticket as the server wrote it.

    Fields that the server left out have the model's defaults. Raises `ConfigError` for a ticket that cannot be read.
    """
    # The server's own objects may have such a field, too, and names in place of codes.
    if "status_name" in row and all(isinstance(row.get(code), int | None) for code in ("status", "type")):
        return row
    try:
        cells = TICKET_COLUMNS.read_object(read_row(row))
    except DecodeError as error:
        raise ConfigError(f"{where} holds no ticket that can be read: {error}") from None
    return {name: cell for name, cell in cells.items() if name in row or name not in _NEEDED}


def _text(path: Path, head: bytes) -> io.TextIOWrapper:
    """Open lines of text, compressed or not; a byte order mark is left out."""
    opener: Callable[..., Any] = open
    if head.startswith(b"\x1f\x8b"):
        opener = gzip.open
    elif head.startswith(b"\x28\xb5\x2f\xfd"):
        opener = zstd_module().open
    return io.TextIOWrapper(opener(path, "rb"), "utf-8-sig", newline="")
