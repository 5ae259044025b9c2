"""Models as Arrow record batches, column by column: what Parquet files and the batches for engines are made of.

pyarrow is loaded by whoever calls, not by the import of this module.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from attrs import evolve

from workorder_async.document.fields import CHINA_STANDARD_TIME, TIMESTAMP, Column, expressions
from workorder_async.exports.sink import UNCHANGED, Record, TextChanges, storable
from workorder_async.extras import extra_module

if TYPE_CHECKING:
    import pyarrow as pa

# The seconds that have a date: what `iso` writes, and no other.
_FIRST: Final = int(datetime.min.replace(tzinfo=CHINA_STANDARD_TIME).timestamp())
_LAST: Final = int(datetime.max.replace(tzinfo=CHINA_STANDARD_TIME, microsecond=0).timestamp())


def schema_of(columns: Sequence[Column], unit: Literal["ms", "us"]) -> "pa.Schema":
    """Return the schema of a batch that has these columns, with points in time of this unit."""
    arrow = extra_module("pyarrow", "parquet")
    moment = arrow.timestamp(unit, "UTC")
    types = [moment if column.arrow == TIMESTAMP else arrow.type_for_alias(column.arrow) for column in columns]
    return arrow.schema(zip([column.name for column in columns], types, strict=True))


def batch_of(
    rows: Sequence[Record], columns: Sequence[Column], schema: "pa.Schema"
) -> "tuple[pa.RecordBatch, TextChanges]":
    """Make a batch of models, by the schema of these columns; return how many of its cells are not as they came."""
    arrow = extra_module("pyarrow", "parquet")
    arrays, changes = [], UNCHANGED
    for column, kind in zip(columns, schema.types, strict=True):
        cells = _reader(column)(rows)
        if column.arrow == TIMESTAMP:
            dated = [second if second and _FIRST <= second <= _LAST else None for second in cells]
            arrays.append(arrow.array(dated, arrow.timestamp("s", "UTC")).cast(kind))
            continue
        try:
            arrays.append(arrow.array(cells, kind))
        except (OverflowError, UnicodeEncodeError, arrow.ArrowInvalid):
            made, changed = storable(cells)
            arrays.append(arrow.array(made, kind))
            changes += changed
    return arrow.record_batch(arrays, schema), changes


@cache
def _reader(column: Column) -> Callable[[Sequence[Record]], list[Any]]:
    """Generate the function that reads a column of many models; of a point in time it reads the seconds."""
    read = evolve(column, convert=None) if column.arrow == TIMESTAMP else column
    (cell,), names = expressions([read])
    found = eval(f"lambda rows: [{cell} for row in rows]", names)  # noqa: S307 - made of the names above
    return cast("Callable[[Sequence[Record]], list[Any]]", found)
