"""The tickets of any file that `export` or a mirror wrote, as a table of SQLite to ask."""

import csv
import gzip
import io
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final

from workorder_async.errors import ConfigError
from workorder_async.exports.formats import zstd_module
from workorder_async.extras import extra_module

_NUMBERS: Final = ("id", "status", "type", "handler", "created_time", "closed_time")
_COLUMNS: Final = (*_NUMBERS, "title", "product_group", "product_group_name")


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading; of another file, make one in memory."""
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'tickets'").fetchone():
                raise _no_tickets(path)
            yield database
        return
    with closing(sqlite3.connect(":memory:")) as database:
        rows = iter(_rows(path, head))
        first = next(rows, {})
        names = [name for name in _COLUMNS if name in first]
        if first and not {"id", "status", "created_time"} <= set(names):
            raise _no_tickets(path)
        kinds = [f"{name} {'INTEGER' if name in _NUMBERS else 'TEXT'}" for name in names or _COLUMNS]
        database.execute(f"CREATE TABLE tickets ({', '.join(kinds)})")
        if first:
            cells = ([None if row.get(name) == "" else row.get(name) for name in names] for row in chain([first], rows))
            database.executemany(f"INSERT INTO tickets VALUES ({', '.join('?' * len(names))})", cells)  # noqa: S608
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
                    yield from map(json.loads, chain([first], file))
                elif first:
                    reader = csv.DictReader(chain([first], file))
                    if "id" not in (reader.fieldnames or ()):
                        raise _no_tickets(path)
                    yield from reader
            except (ValueError, TypeError, csv.Error):
                raise _no_tickets(path) from None


def _text(path: Path, head: bytes) -> io.TextIOWrapper:
    """Open lines of text, compressed or not; a byte order mark is left out."""
    opener: Callable[..., Any] = open
    if head.startswith(b"\x1f\x8b"):
        opener = gzip.open
    elif head.startswith(b"\x28\xb5\x2f\xfd"):
        opener = zstd_module().open
    return io.TextIOWrapper(opener(path, "rb"), "utf-8-sig", newline="")
