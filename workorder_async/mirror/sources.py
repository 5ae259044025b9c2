"""The tickets of any file that `export` or a mirror wrote, as a table of SQLite to ask."""

import csv
import gzip
import io
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from workorder_async.document.codec import read_row
from workorder_async.errors import ConfigError, DecodeError
from workorder_async.exports.columns import TICKET_COLUMNS
from workorder_async.exports.formats import zstd_module
from workorder_async.exports.sink import storable
from workorder_async.extras import extra_module

_NUMBERS: Final = ("id", "status", "type", "handler", "created_time", "closed_time")
_COLUMNS: Final = (*_NUMBERS, "status_name", "type_name", "title", "product_group", "product_group_name")
_NEEDED: Final = {"id", "status", "created_time"}
# A text that looks like a number is one by then.
_NUMBER: Final = "{0} INTEGER CHECK (typeof({0}) IN ('integer', 'null'))"
# A cell may hold a ticket's whole text; the usual limit is 128 KiB.
_LONGEST_CELL: Final = 2**31 - 1


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
    """Open a database for reading; in a folder where nothing can be written, SQLite must be told that nobody does."""
    is_still = not os.access(path.absolute().parent, os.W_OK) and not os.path.exists(f"{path}-wal")
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' * is_still}"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        yield database


def _no_tickets(path: Path) -> ConfigError:
    return ConfigError(f"{str(path)!r} holds no tickets", mend="name a mirror, or a file that `export` wrote")


def _rows(path: Path, head: bytes) -> Iterable[dict[str, Any]]:
    """Yield the rows of an exported file, by the names of its columns."""
    if head.startswith(b"PAR1"):
        parquet = extra_module("pyarrow.parquet", "parquet", "a report of a Parquet file")
        with parquet.ParquetFile(path) as file:
            names = [name for name in _COLUMNS if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=names):
                yield from batch.to_pylist()
    elif head.startswith(b"PK"):
        openpyxl = extra_module("openpyxl", "xlsx", "a report of a workbook")
        book = openpyxl.load_workbook(path, read_only=True)
        for sheet in book.worksheets:
            lines = sheet.iter_rows(values_only=True)
            heads = [str(name) for name in next(lines, ())]
            yield from (dict(zip(heads, line, strict=False)) for line in lines)
        book.close()
    else:
        with _text(path, head) as file:
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
                    yield from reader
            except (ValueError, TypeError, csv.Error):
                raise _no_tickets(path) from None


def _of_json(row: dict[str, Any], where: str) -> dict[str, Any]:
    """Return an object of JSON Lines by the names of columns; one without them is a ticket as the server wrote it.

    What the server left out is as the model has it. Raises `ConfigError` for such a one that cannot be read.
    """
    if "status_name" in row:
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
