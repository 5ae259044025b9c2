"""Tickets as a data source of Spark, and Spark frames of mutations (extra `spark`: PySpark 4 and pyarrow).

    spark.dataSource.register(WorkorderDataSource)
    tickets = spark.read.format("workorder").option("created_start", "2026-11-01T00:00:00+08:00").load()

    closes = rows.repartition(4, "id").write.format("workorder").mode("append").option("operation", "close")
    closes.option("journals", "/mnt/shared/closes").option("tasks", 4).save()
    read_outcomes(spark, "/mnt/shared/closes").groupBy("state").count().show()

One process of ours reads tens of thousands of tickets a second: Spark is for the place where the data has to land, and
for running a job again when a machine dies. The connection comes from the environment of the driver and of each
executor (WORKORDER_BASE_URL, WORKORDER_APP_ID, WORKORDER_APP_SECRET, WORKORDER_SIGN_SCHEME), never from options.
Executors need this package and Python 3.11 or newer. Every action reads the API again: `cache` a frame, or write it,
before it is used twice.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from attrs import define
from pyspark import TaskContext  # pyright: ignore[reportMissingImports]
from pyspark.sql.datasource import (  # pyright: ignore[reportMissingImports]
    DataSource,
    DataSourceArrowWriter,
    DataSourceReader,
    DataSourceWriter,
    InputPartition,
    WriterCommitMessage,
)

from workorder_async.client import WorkorderClient
from workorder_async.errors import ConfigError
from workorder_async.integrations.spark3 import batches_of, ddl, read_tickets
from workorder_async.integrations.spark_closing import OUTCOME_DDL, OUTCOMES, SparkClosing
from workorder_async.integrations.spark_options import Connect, SparkRead
from workorder_async.wire.options import ClientOptions

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession  # pyright: ignore[reportMissingImports]
    from pyspark.sql.types import StructType  # pyright: ignore[reportMissingImports]

__all__ = ["WorkorderDataSource", "read_outcomes", "read_tickets"]


class WorkorderDataSource(DataSource):
    """The data source `workorder`: the tickets of a platform.

    Options for reading, all of them texts:

    * filters: `status`, `type`, `created_start`, `created_end` (seconds since 1970, or a time with its zone),
      `creator_id`, `customer_organization_name`, `product_group_id` (several with commas between), `sub_type`,
      `second_subtype`
    * `tasks` (4): partitions, and so the tasks at once; `rate`: requests of the whole job in a second, of which each
      task has an equal share; it holds while no more than `tasks` tasks run, so not with speculation
    * `detail`, `columns`, `page_size`, `concurrency`, `on_bad_row`, `batch_rows`: see `ArrowOptions`
    * `exact` (true): whether a read that could not be proved exact fails its task

    Spark applies the frame's own filters (`where`) to the rows that came: they save no request. (Spark can hand them to
    a Python source, but then the filters of a frame's first use would hold for all its later uses.)

    Options for writing, with `mode("append")`, of a frame that `repartition(tasks, "id")` made, with the fields of
    `CloseTicket` as columns (but attachments):

    * `operation`: `close`
    * `journals`: a folder on a disk that the driver and all executors see, no object storage. Each partition has a
      journal there: a job that was cut short goes on, and closes nothing twice
    * `tasks` (4), `rate`: as above; `concurrency` (16): closes under way at once in each task

    A row that cannot be a close fails its task before any close of the task is sent. A close that the platform refuses
    does not fail the task: `read_outcomes` returns the outcome of each ticket. Speculation must be off: two copies of a
    task would need the same journal at the same time.
    """

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return "workorder"

    @staticmethod
    def connect(**options: Unpack[ClientOptions]) -> WorkorderClient:
        """Make the client of a task; a subclass may add options, such as limits that several processes share."""
        return WorkorderClient.from_env(**options)

    def schema(self) -> str:
        """Return the columns: those of exports."""
        return ddl(SparkRead.of(self.options).arrow)

    def reader(self, schema: "StructType") -> DataSourceReader:
        """Return the planner and reader of a job. Raises `ConfigError` for options that cannot work."""
        read = SparkRead.of(self.options)
        if tuple(schema.fieldNames()) != tuple(column.name for column in read.arrow.kept):
            mend = "leave out .schema(...), and choose by the option columns"
            raise ConfigError("is that of exports", argument="the schema", mend=mend)
        return _Reader(read, self.connect)

    def writer(self, schema: "StructType", overwrite: bool) -> DataSourceWriter:
        """Return the writer, which closes tickets. Raises `ConfigError` for options and columns that cannot work."""
        if overwrite:
            raise ConfigError("tickets cannot be overwritten", mend='write with .mode("append")')
        closing = SparkClosing.of(self.options, {one.name: one.dataType.simpleString() for one in schema.fields})
        closing.begin()
        return _Writer(closing, self.connect)


@define(eq=False, slots=False)
class _Reader(DataSourceReader):
    """Plans the windows of all tasks in the driver, and reads those of one task in an executor."""

    _read: SparkRead
    _connect: Connect

    def partitions(self) -> list[InputPartition]:
        return [InputPartition(group) for group in self._read.plan(self._connect)]

    def read(self, partition: InputPartition) -> "Iterator[pa.RecordBatch]":
        return batches_of(partition.value, self._connect, self._read)


@define(eq=False, slots=False)
class _Writer(DataSourceArrowWriter):
    """Closes the tickets of a task."""

    _closing: SparkClosing
    _connect: Connect

    def write(self, iterator: "Iterator[pa.RecordBatch]") -> WriterCommitMessage:
        task = TaskContext.get()
        if task is None:
            raise ConfigError("this is for Spark to call, in a task")
        # Checked here and not in `writer`: where Spark plans a job, Python does not see its settings; a task does.
        if (task.getLocalProperty("spark.speculation") or "").strip().lower() == "true":
            problem = "is on, and would run a task twice at once"
            raise ConfigError(problem, argument="spark.speculation", mend="set it to false")
        rows = (row for batch in iterator for row in batch.to_pylist())
        self._closing.close(task.partitionId(), rows, self._connect)
        return WriterCommitMessage()


def read_outcomes(spark: "SparkSession", journals: "str | Path") -> "DataFrame":
    """Return the outcome of each ticket in the last job that closed by this folder: id, state, error and more.

    The states are those of `State`; a `skipped` ticket was closed by an earlier run, by an earlier attempt of the task,
    or by an equal row before. The outcomes of a task are those of its last attempt. If the frame is a query of open
    tickets, that attempt no longer sees the tickets that an earlier one closed: write the closes to a table first.
    """
    # Spark takes a path as it is, except for the special characters of patterns: escape these.
    folder = re.sub(r"([\\*?{}\[\]])", r"\\\1", Path(journals).absolute().as_posix())
    # `pathGlobFilter`, not a pattern in the path: with one, Spark refuses a path that has a colon.
    outcomes = spark.read.schema(OUTCOME_DDL).option("pathGlobFilter", f"*.{OUTCOMES}")
    return outcomes.json(f"file:///{folder.lstrip('/')}")
