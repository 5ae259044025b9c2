"""Parquet: types, row groups, numbers that do not fit, and a reader that is not pyarrow."""

from contextlib import closing
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.export_rows import read_back, tickets, write
from workorder_async.exports import staging
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS, Columns
from workorder_async.exports.texts import TextChanges
from workorder_async.models import TicketDetail, TicketSummary


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
    """A batch is a row group, compressed by zstd."""
    monkeypatch.setattr(staging, "BATCH_ROWS", 1000)
    target = tmp_path / "t.parquet"
    write(target, tickets(2500))
    with _file(target) as file:
        groups = [file.metadata.row_group(place) for place in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [1000, 1000, 500]
    assert {group.column(place).compression for group in groups for place in range(3)} == {"ZSTD"}


def test_times(tmp_path: Path) -> None:
    """A point in time is one in UTC; none is null, and so is what has no date."""
    target = tmp_path / "t.parquet"
    write(target, [TicketSummary(id=1, created_time=1_636_600_271, closed_time=10**15), TicketSummary(id=2)])
    first, second = read_back(target)
    assert first["created_at"] == datetime(2021, 11, 11, 3, 11, 11, tzinfo=UTC)
    assert (first["closed_time"], first["closed_at"]) == (10**15, None)
    assert (second["created_time"], second["created_at"]) == (0, None)


@pytest.mark.parametrize("number", [2**63, 2**64, 2**70, -(2**63) - 1, -(2**80)])
def test_numbers_that_do_not_fit(number: int, tmp_path: Path) -> None:
    """Their cells are null and counted; the row's others, and the other rows, are as they were."""
    target = tmp_path / "t.parquet"
    rows = [TicketSummary(id=1, title="一", handler=number, manager=number), TicketSummary(id=2, handler=2**63 - 1)]
    assert write(target, rows) == TextChanges(blanked=2)
    first, second = read_back(target)
    assert (first["id"], first["title"], first["handler"], first["manager"]) == (1, "一", None, None)
    assert second["handler"] == 2**63 - 1


def test_a_time_that_does_not_fit(tmp_path: Path) -> None:
    """The time of a ticket may be such a number as well."""
    target = tmp_path / "t.parquet"
    assert write(target, [TicketDetail(id=1, closed_time=-(2**70))], detail=True) == TextChanges(blanked=1)
    (row,) = read_back(target)
    assert (row["closed_time"], row["closed_at"]) == (None, None)


def test_many_megabytes(tmp_path: Path) -> None:
    """Texts of megabytes are whole, for another engine too."""
    target = tmp_path / "t.parquet"
    rows = [TicketSummary(id=place, detail=f"{place}工" * 500_000) for place in range(1, 13)]
    assert not write(target, rows)
    with closing(import_module("duckdb").connect()) as engine:
        found = engine.execute(f"SELECT id, length(detail), left(detail, 2) FROM '{target}' ORDER BY id").fetchall()
    assert found == [(row.id, len(row.detail), row.detail[:2]) for row in rows]
