"""Parquet, by pyarrow: the columns with their Arrow types, in row groups of some thousands, compressed by zstd."""

from pathlib import Path
from typing import Any

from workorder_async.exports.columns import TIMESTAMP, Columns, Value
from workorder_async.exports.extras import extra_module
from workorder_async.exports.staging import Converted, Progress, staged_batches, written_through
from workorder_async.exports.texts import TextChanges, without_large_numbers


def to_parquet(staged: Path, target: Path, columns: Columns, on_progress: Progress) -> Converted:
    """Convert staged rows to Parquet."""
    arrow = extra_module("pyarrow", "parquet")
    parquet = extra_module("pyarrow.parquet", "parquet")
    types = {"int64": arrow.int64(), "bool": arrow.bool_(), "string": arrow.string()}
    types[TIMESTAMP] = arrow.timestamp("ms", "UTC")
    schema = arrow.schema([(column.name, types[column.arrow]) for column in columns.columns])
    rows, changes = 0, TextChanges()
    with written_through(target) as file:
        with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in staged_batches(staged):
                try:
                    group = _group(arrow, schema, columns, batch)
                except (OverflowError, arrow.ArrowInvalid):
                    cleaned = [without_large_numbers(row) for row in batch]
                    changes = sum((change for _, change in cleaned), changes)
                    group = _group(arrow, schema, columns, [row for row, _ in cleaned])
                writer.write_batch(group)
                rows += len(batch)
                on_progress(rows)
        size = file.tell()
    return Converted(rows, size, changes)


def _group(arrow: Any, schema: Any, columns: Columns, rows: list[tuple[Value, ...]]) -> Any:
    """Make a row group; a point in time is made of the seconds, which stand beside its text."""
    cells = dict(zip(columns.names, zip(*rows, strict=True), strict=True))
    arrays = []
    for column, kind in zip(columns.columns, schema.types, strict=True):
        values: Any = cells[column.name]
        if column.arrow == TIMESTAMP:
            pairs = zip(cells[column.field], values, strict=True)
            values = [None if text is None else seconds * 1000 for seconds, text in pairs]
        arrays.append(arrow.array(values, kind))
    return arrow.record_batch(arrays, schema)
