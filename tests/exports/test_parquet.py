"""Parquet: types, row groups, what is staged, numbers that do not fit, and a reader that is not pyarrow."""

import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.export_rows import as_read, cells, full_ticket, read_back, tickets, write
from workorder_async.document import TicketSummary
from workorder_async.exports import parquet
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS, Columns
from workorder_async.exports.formats import Format
from workorder_async.exports.sink import Record


def _file(path: Path) -> Any:
    return import_module("pyarrow.parquet").ParquetFile(path)


@pytest.mark.parametrize("columns", [TICKET_COLUMNS, DETAIL_COLUMNS])
def test_types(columns: Columns, tmp_path: Path) -> None:
    """The file's schema is the table of columns, word for word."""
    target = tmp_path / "t.parquet"
    write(target, [], detail=columns is DETAIL_COLUMNS)
    with _file(target) as file:
        found = [(field.name, str(field.type)) for field in file.schema_arrow]
    assert found == [(column.name, column.arrow) for column in columns.columns]


def test_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is a row group, compressed by zstd; only what repeats has a dictionary."""
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 1000)
    target = tmp_path / "t.parquet"
    write(target, tickets(2500))
    with _file(target) as file:
        groups = [file.metadata.row_group(place) for place in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [1000, 1000, 500]
    assert {group.column(place).compression for group in groups for place in range(3)} == {"ZSTD"}
    chunks = [groups[0].column(place) for place in range(groups[0].num_columns)]
    plain = {chunk.path_in_schema for chunk in chunks if "RLE_DICTIONARY" not in chunk.encodings}
    times = {f"{name}_{what}" for name in ("created", "reported", "closed") for what in ("time", "at")}
    assert plain == {"id", "need_process", *times}  # yes and no never have one


def test_row_groups_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long texts make small row groups, so that memory is bounded by bytes as well."""
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 1 << 20)
    target = tmp_path / "t.parquet"
    write(target, [TicketSummary(id=place, detail="工" * 10_000) for place in range(500)])
    with _file(target) as file:
        groups = [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)]
    assert groups == [100] * 5


_FORMAT = Format("parquet")


def _staged(pages: list[list[Record]], columns: Columns = TICKET_COLUMNS) -> bytes:
    """Stage one part."""
    sink = _FORMAT.sink(columns)
    return b"".join(map(sink.encode, pages)) + sink.end_part()


def _converted(staged: bytes, folder: Path, columns: Columns = TICKET_COLUMNS) -> list[dict[str, Any]]:
    part, target = folder / "t.parquet.part", folder / "t.parquet"
    part.write_bytes(staged)
    _FORMAT.convert(part, target, lambda rows: None, columns)
    return read_back(target)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [DETAIL_COLUMNS, TICKET_COLUMNS])
def test_staged_parts(columns: Columns, tmp_path: Path) -> None:
    """Cut after any part and gone on with, nothing is lost or there twice; each part can be read alone."""
    rows: list[Record] = [full_ticket(id) for id in range(1, 701)] if columns is DETAIL_COLUMNS else list(tickets(700))
    expected = [as_read(Path("t.parquet"), cells(row)) for row in rows]
    pages = [rows[start : start + 50] for start in range(0, 700, 50)]
    parts = [_staged(pages[start : start + 4], columns) for start in range(0, len(pages), 4)]
    parts.insert(2, _staged([], columns))
    assert b"" in parts
    for number, part in enumerate(parts):
        before, rest = b"".join(parts[:number]), b"".join(parts[number + 1 :])
        kept = _converted(before, tmp_path, columns)
        assert kept == expected[: len(kept)]
        alone = _converted(part, tmp_path, columns)
        assert alone == expected[len(kept) : len(kept) + len(alone)]
        assert kept + alone + _converted(rest, tmp_path, columns) == expected
        assert _converted(before + part + rest, tmp_path, columns) == expected


def test_the_first_of_all_dates(tmp_path: Path) -> None:
    """Some servers write 0001-01-01 00:00:00 for none: in UTC that is before the year 1, where Python has no date."""
    target, first = tmp_path / "t.parquet", -62_135_596_800
    write(target, [TicketSummary(id=1, closed_time=first - 8 * 3600), TicketSummary(id=2, closed_time=first)])
    rows = read_back(target)
    assert [row["closed_time"] for row in rows] == [first - 8 * 3600, first]
    assert [row["closed_at"] for row in rows] == [None, datetime(1, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize("end", [-1, -20, -3000, 100, 1])
def test_staged_and_torn(end: int, tmp_path: Path) -> None:
    """What is staged and does not come to its end is no file."""
    staged = _staged([list(tickets(100)), list(tickets(100))])
    with pytest.raises((ValueError, OSError)):
        _converted(staged[:end], tmp_path)
    assert os.listdir(tmp_path) == ["t.parquet.part"]


def test_pages_are_gathered() -> None:
    """Small rows are staged by thousands, and large ones page by page: only so much is held."""
    small, large = _FORMAT.sink(), _FORMAT.sink()
    given = [bool(small.encode(tickets(100))) for _ in range(12)]
    assert given == [True, *[False] * 11]
    texts = [TicketSummary(id=place, detail="工" * 10_000) for place in range(100)]
    assert all(large.encode(texts) for _ in range(5))
    assert not large.end_part()


_CHILD = """
import resource, sys
from pathlib import Path
from tests.support.export_rows import tickets
from workorder_async.exports.formats import Format

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

def export(count):
    sink, staged = Format("parquet").sink(), Path(sys.argv[1], "t.part")
    page = tickets(100)
    with staged.open("wb") as file:
        for number in range(count // 100):
            file.write(sink.encode(page))
            if number % 300 == 299: file.write(sink.end_part())
        file.write(sink.end_part())
    told = []
    Format("parquet").convert(staged, staged.with_suffix(".parquet"), told.append)
    assert told[-1] == count

export(10_000)
before = peak()
export(60_000)
print(peak() - before)
"""


@pytest.mark.slow
def test_memory(tmp_path: Path) -> None:
    """Six times the rows take as much memory."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", _CHILD, str(tmp_path)], capture_output=True, check=True, cwd=root)
    assert int(done.stdout) <= 32


def test_times(tmp_path: Path) -> None:
    """A point in time is one in UTC; none is null, and so is what has no date."""
    target = tmp_path / "t.parquet"
    write(target, [TicketSummary(id=1, created_time=1_636_600_271, closed_time=10**15), TicketSummary(id=2)])
    first, second = read_back(target)
    assert first["created_at"] == datetime(2021, 11, 11, 3, 11, 11, tzinfo=UTC)
    assert (first["closed_time"], first["closed_at"]) == (10**15, None)
    assert (second["created_time"], second["created_at"]) == (0, None)


@pytest.mark.slow
def test_many_megabytes(tmp_path: Path) -> None:
    """Texts of megabytes are whole, for another engine too."""
    target = tmp_path / "t.parquet"
    rows = [TicketSummary(id=place, detail=f"{place}工" * 500_000) for place in range(1, 13)]
    assert not write(target, rows)
    with closing(import_module("duckdb").connect()) as engine:
        found = engine.execute(f"SELECT id, length(detail), left(detail, 2) FROM '{target}' ORDER BY id").fetchall()
    assert found == [(row.id, len(row.detail), row.detail[:2]) for row in rows]
