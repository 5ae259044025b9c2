"""Models as Arrow record batches: both units of time, what has no date, and cells that Arrow cannot hold."""

from pathlib import Path
from typing import Literal

import pytest

from tests.support.export_rows import HOSTILE, REPLACED, as_read, cells, full_ticket, hostile_tickets, tickets
from workorder_async.document import Attachment, TicketDetail, TicketSummary
from workorder_async.document.fields import iso
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS, columns_of
from workorder_async.exports.parquet import batch_of, schema_of
from workorder_async.exports.sink import UNCHANGED, TextChanges

_TICKETS = TICKET_COLUMNS.columns
_UNITS = ["ms", "us"]


@pytest.mark.parametrize("unit", _UNITS)
def test_cells(unit: Literal["ms", "us"]) -> None:
    """A batch holds what the columns say of each model, odd codes and empty lists included."""
    rows = [*tickets(300), *(row for row in hostile_tickets() if row.detail not in REPLACED)]
    batch, changes = batch_of(rows, _TICKETS, schema_of(_TICKETS, unit))
    assert batch.to_pylist() == [as_read(Path("t.parquet"), cells(row)) for row in rows]
    full = [full_ticket(), TicketDetail(id=2)]
    detail, changed = batch_of(full, DETAIL_COLUMNS.columns, schema_of(DETAIL_COLUMNS.columns, unit))
    assert detail.to_pylist() == [as_read(Path("t.parquet"), cells(row)) for row in full]
    assert (changes, changed) == (UNCHANGED, UNCHANGED)


@pytest.mark.parametrize(("unit", "parts"), [("ms", 1000), ("us", 1_000_000)])
def test_points_in_time(unit: Literal["ms", "us"], parts: int) -> None:
    """There is one for every second with a date in China and in UTC, from the first to the last; 0 has not happened."""
    first, last = -62_135_596_800, 253_402_271_999
    seconds = [first - 1, first, -1, 0, 1, 1_636_600_271, last, last + 1]
    rows = [TicketSummary(id=1, closed_time=second) for second in seconds]
    batch, changes = batch_of(rows, _TICKETS, schema_of(_TICKETS, unit))
    found = batch.column("closed_at").cast("int64").to_pylist()
    assert found == [None if second < first or iso(second) is None else second * parts for second in seconds]
    assert found.count(None) == 3
    assert changes == UNCHANGED


def test_what_does_not_fit() -> None:
    """Each cell that Arrow cannot hold is counted once; its row's others, and the other rows, are as they were."""
    rows = hostile_tickets()
    odd = TicketSummary(id=2**63 - 1, title="\ud83d", tags="a\udc00", handler=-(2**63), manager=7)
    batch, changes = batch_of([*rows, odd], _TICKETS, schema_of(_TICKETS, "us"))
    titles = [REPLACED.get(name, text) for name, text in HOSTILE.items()]
    assert batch.column("title").to_pylist() == [*titles, "", "\ufffd"]
    assert changes == TextChanges(replaced=len(REPLACED) + 2)
    last = batch.to_pylist()[-1]
    assert (last["id"], last["tags"], last["handler"], last["manager"]) == (2**63 - 1, "a\ufffd", -(2**63), 7)


def test_inside_lists() -> None:
    """Half a surrogate pair within a list is replaced within its JSON, and counted once a cell."""
    rows = [full_ticket(text="\udc00"), full_ticket(2)]
    batch, changes = batch_of(rows, DETAIL_COLUMNS.columns, schema_of(DETAIL_COLUMNS.columns, "ms"))
    whole = as_read(Path("t.parquet"), cells(full_ticket(text="\ufffd")))
    assert batch.to_pylist() == [whole, as_read(Path("t.parquet"), cells(full_ticket(2)))]
    assert changes.replaced == sum("\ufffd" in str(cell) for cell in whole.values())


def test_some_columns() -> None:
    """A point in time does not need the seconds beside it; a model without any has a batch as well."""
    kept = [column for column in reversed(_TICKETS) if column.name in ("id", "created_at", "status_name")]
    batch, _ = batch_of(tickets(2), kept, schema_of(kept, "us"))
    assert batch.schema.names == ["created_at", "status_name", "id"]
    assert [row["created_at"].second for row in batch.to_pylist()] == [0, 0]
    other = columns_of(Attachment).columns
    assert batch_of([], other, schema_of(other, "ms"))[0].num_rows == 0
