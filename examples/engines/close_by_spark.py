"""Close tickets by Spark: a million of them, or a few.

    WORKORDER_BASE_URL=... python examples/engines/close_by_spark.py JOURNALS

JOURNALS is a folder on a disk that the driver and all executors see. The same command again goes on where it was cut
short, and closes nothing twice.

When not to use it: `workorder close --status pending --as-creator --closer-id 40084 --journal closes.journal` closes
about a thousand tickets a second in one process where the server answers at once, with one journal and nothing to set
up. Use Spark where a query over a warehouse chooses the tickets.
"""

import sys
from datetime import UTC, datetime

from pyspark.sql import (
    SparkSession,
    functions as F,  # noqa: N812
)

from workorder_async.integrations.spark import WorkorderDataSource, read_outcomes

TASKS = 4


def main(journals: str) -> None:
    """Close all pending tickets, each in the name of its creator, and show what became of them."""
    spark = SparkSession.builder.appName("close tickets").config("spark.speculation", "false").getOrCreate()
    spark.dataSource.register(WorkorderDataSource)
    pending = spark.read.format("workorder").option("status", "pending").load()
    closes = pending.select(
        "id",
        F.lit(40084).alias("closer_id"),
        F.col("creator_name").alias("closer_name"),
        F.lit(datetime.now(UTC)).alias("solved_time"),
    )
    # A ticket has its journal by the hash of its id.
    writer = closes.repartition(TASKS, "id").write.format("workorder").mode("append")
    writer.option("operation", "close").option("journals", journals).option("tasks", TASKS).save()
    read_outcomes(spark, journals).groupBy("state").count().show()
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
