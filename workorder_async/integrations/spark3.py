"""Tickets as a Spark frame by `mapInArrow`, for Spark 3.4 and 3.5, which have no data sources in Python.

    frame = read_tickets(spark, TicketQuery(created_start=1793500200), tasks=8)

This works on Spark 4 as well, but needs pandas, and the data source (`spark.py`) does not. What the docstring of
`spark.py` says about the connection, and about a frame that is used twice, holds here, too.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from workorder_async.client import WorkorderClient
from workorder_async.document import TicketQuery
from workorder_async.document.fields import TIMESTAMP
from workorder_async.integrations.arrow_batches import ArrowOptions, arrow_batches
from workorder_async.integrations.spark_options import Connect, SparkRead, task_rate
from workorder_async.walks.windows import Window

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession  # pyright: ignore[reportMissingImports]

_TYPES: Final = {"int64": "BIGINT", "bool": "BOOLEAN", "string": "STRING", TIMESTAMP: "TIMESTAMP"}
_EVERYTHING: Final = TicketQuery()


def read_tickets(
    spark: "SparkSession",
    query: TicketQuery = _EVERYTHING,
    *,
    tasks: int = 4,
    rate: float | None = None,
    options: ArrowOptions | None = None,
    connect: Connect = WorkorderClient.from_env,
) -> "DataFrame":
    """Return a frame of the tickets that match; the windows are planned now, and each action reads them again.

    * `tasks`, `rate`: partitions, and requests of the whole job in a second; see `SparkRead`
    * `options`: how windows are read, and which columns they have
    * `connect` makes a client from `ClientOptions`, here and in each task; it must be picklable

    Raises `ConfigError` for arguments that cannot work.
    """
    read = SparkRead(query=query, tasks=tasks, rate=rate, arrow=options or ArrowOptions())
    groups = read.plan(connect)

    def batches(numbers: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                yield from batches_of(groups[number], connect, read)

    return spark.range(0, tasks, 1, tasks).mapInArrow(batches, ddl(read.arrow))


def batches_of(windows: Sequence[Window], connect: Connect, read: SparkRead) -> "Iterator[pa.RecordBatch]":
    """Read the windows of one task, at its share of the rate."""
    return arrow_batches(windows, partial(connect, rate=task_rate(read.rate, read.tasks)), read.arrow)


def ddl(options: ArrowOptions) -> str:
    """Return the columns as a schema in Spark's DDL."""
    return ", ".join(f"`{column.name}` {_TYPES[column.arrow]}" for column in options.kept)
