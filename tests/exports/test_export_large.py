"""Large exports, row for row what the sandbox holds; read back by somebody else's software, one row after the other."""

import gzip
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.export_rows import as_read, cells
from workorder_async import Sandbox, TicketQuery, WorkorderClient
from workorder_async.exports import export_tickets

_Row = Mapping[str, Any]


def _lines(path: Path) -> Iterator[_Row]:
    zstd = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    openers: dict[str, Callable[..., Any]] = {".jsonl": open, ".gz": gzip.open}
    opener = openers.get(path.suffix) or import_module(zstd).open
    with opener(path, "rb") as file:
        yield from map(orjson.loads, file)


def _duckdb(path: Path) -> Iterator[_Row]:
    """Read Parquet or CSV."""
    reader = "read_parquet('{}')" if path.suffix == ".parquet" else "read_csv('{}', all_varchar=true, nullstr='')"
    with closing(import_module("duckdb").connect()) as database:
        database.execute("SET TimeZone = 'UTC'")
        found = database.execute(f"SELECT * FROM {reader.format(path)}")
        names = [column[0] for column in found.description]
        while rows := found.fetchmany(1000):
            yield from (dict(zip(names, row, strict=True)) for row in rows)


def _database(path: Path) -> Iterator[_Row]:
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        yield from map(dict, database.execute("SELECT * FROM tickets ORDER BY created_time DESC, id DESC"))


def _workbook(path: Path) -> Iterator[_Row]:
    book = import_module("openpyxl").load_workbook(path, read_only=True)
    for sheet in book.worksheets:
        rows = sheet.iter_rows(values_only=True)
        names = next(rows)
        yield from (dict(zip(names, row, strict=True)) for row in rows)
    book.close()


READERS = {"jsonl": _lines, "csv": _duckdb, "parquet": _duckdb, "sqlite": _database, "xlsx": _workbook}


async def held(client: WorkorderClient, count: int) -> list[bytes]:
    """Return the cells of every ticket, page by page, newest first; as bytes, since they are many."""
    found: list[bytes] = []
    while len(found) < count:
        page = await client.list_tickets(page=len(found) // 100 + 1, page_size=100)
        assert page.tickets
        found += (orjson.dumps(cells(ticket)) for ticket in page.tickets)
    return found


def _plain(kind: str, row: _Row) -> _Row:
    """Return a row with None for an empty text of CSV, which DuckDB reads so, and times of Parquet in one zone."""
    if kind == "csv":
        return {name: value or None for name, value in row.items()}
    if kind == "parquet":
        return {name: value.astimezone(UTC) if name.endswith("_at") and value else value for name, value in row.items()}
    return row


async def judge(count: int, suffixes: tuple[str, ...], folder: Path) -> None:
    """Export so many tickets into each format, and compare each row."""
    async with Sandbox(tickets=count) as sandbox, sandbox.client() as client:
        tickets = await held(client, count)
        for suffix in suffixes:
            target = folder / f"t{suffix}"
            report = await export_tickets(client, TicketQuery(), target)
            assert (report.rows, report.exact) == (count, True)
            kind = suffix.split(".")[1]
            rows = 0
            for row, ticket in zip(READERS[kind](target), tickets, strict=True):
                assert _plain(kind, row) == _plain(kind, as_read(target, orjson.loads(ticket)))
                rows += 1
            assert rows == count
            target.unlink()


@pytest.mark.slow
async def test_some(tmp_path: Path) -> None:
    """A thousand tickets, by the same readers."""
    await judge(1000, (".jsonl.gz", ".csv", ".parquet", ".sqlite", ".xlsx"), tmp_path)


@pytest.mark.torture
@pytest.mark.timeout(3000)
async def test_two_hundred_thousand(tmp_path: Path) -> None:
    """As many as a platform collects in years."""
    suffixes = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".csv.gz", ".csv.zst", ".parquet", ".sqlite")
    await judge(200_000, suffixes, tmp_path)


@pytest.mark.torture
@pytest.mark.timeout(3000)
async def test_fifty_thousand_in_a_workbook(tmp_path: Path) -> None:
    """A workbook of a size that a spreadsheet still opens."""
    await judge(50_000, (".xlsx",), tmp_path)
