"""Parquet, by pyarrow: the columns with their Arrow types, in row groups of some thousands, compressed by zstd.

Rows are staged as streams of Arrow IPC, one after another. Each holds a batch and its schema, so that a file of them
can be cut between any two. The batches for engines are made here, too.

Functions load pyarrow; the import of this module does not.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from attrs import evolve

from workorder_async.document.fields import CHINA_STANDARD_TIME, TIMESTAMP, Column, expressions
from workorder_async.durable import written_through
from workorder_async.exports.columns import Columns
from workorder_async.exports.sink import UNCHANGED, Record, Sink, TextChanges, Told, storable
from workorder_async.extras import extra_module

if TYPE_CHECKING:
    import pyarrow as pa

#: So many bytes a staged batch has, about.
_BATCH_BYTES: Final = 2 << 20
#: A row group has so many rows, or so many bytes as they are staged, whichever come first.
_GROUP_ROWS: Final = 5_000
_GROUP_BYTES: Final = 4 << 20
# The seconds that have a date in China, as `iso` writes it, and one in UTC, in which Python's readers have them.
_FIRST: Final = int(datetime.min.replace(tzinfo=UTC).timestamp())
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
        except UnicodeEncodeError:  # half a surrogate pair
            made, changed = storable(cells)
            arrays.append(arrow.array(made, kind))
            changes += changed
    return arrow.record_batch(arrays, schema), changes


@cache
def _reader(column: Column) -> Callable[[Sequence[Record]], list[Any]]:
    """Generate the function that reads a column of many models; of a point in time it reads the seconds."""
    read = evolve(column, convert=None) if column.arrow == TIMESTAMP else column
    texts, names = expressions([read])
    found = eval(f"lambda rows: [{texts[column.name]} for row in rows]", names)  # noqa: S307 - made of the names above
    return cast("Callable[[Sequence[Record]], list[Any]]", found)


class ArrowStreams(Sink):
    """Rows of a model as streams of Arrow IPC."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns.columns
        self._schema = schema_of(columns.columns, "ms")
        self._rows: list[Record] = []
        # The first page alone, since only a batch tells how large rows are.
        self._enough = 1

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Take rows; return a stream once there are enough."""
        self._rows += rows
        return self._stream() if len(self._rows) >= self._enough else b""

    def end_part(self) -> bytes:
        """Return a stream of the rows that are left, if there are any."""
        return self._stream() if self._rows else b""

    def _stream(self) -> bytes:
        arrow = extra_module("pyarrow", "parquet")
        batch, changes = batch_of(self._rows, self._columns, self._schema)
        self._enough = 1 + _BATCH_BYTES * len(self._rows) // batch.nbytes
        self._rows = []
        self.changes: TextChanges = self.changes + changes
        output = arrow.BufferOutputStream()
        with arrow.ipc.new_stream(output, self._schema) as stream:
            stream.write_batch(batch)
        return bytes(output.getvalue())


def to_parquet(staged: Path, target: Path, columns: Columns, on_progress: Told) -> TextChanges:
    """Convert staged rows to Parquet; it changes none of them."""
    parquet = extra_module("pyarrow.parquet", "parquet")
    schema, rows = schema_of(columns.columns, "ms"), 0
    # Ids and times differ in nearly every row: a dictionary would make them larger, and slower.
    repeated = [column.name for column in columns.columns if column.name != "id" and not column.field.endswith("_time")]
    with (
        written_through(target) as file,
        parquet.ParquetWriter(file, schema, compression="zstd", use_dictionary=repeated) as writer,
    ):
        for group in _row_groups(staged):
            writer.write_table(group)
            rows += group.num_rows
            on_progress(rows)
    return UNCHANGED


def _row_groups(staged: Path) -> "Iterator[pa.Table]":
    """Yield the rows of the streams of a staged file, some thousands at a time."""
    arrow = extra_module("pyarrow", "parquet")
    size, batches = staged.stat().st_size, list[Any]()
    with staged.open("rb") as file:
        while file.tell() < size:
            with arrow.ipc.open_stream(file) as stream:
                batches += stream
            rows, held = sum(batch.num_rows for batch in batches), sum(batch.nbytes for batch in batches)
            if rows >= _GROUP_ROWS or held >= _GROUP_BYTES:
                yield arrow.Table.from_batches(batches)
                batches.clear()
    if batches:
        yield arrow.Table.from_batches(batches)
