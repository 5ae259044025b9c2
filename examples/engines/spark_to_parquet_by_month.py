"""Tickets to Parquet, partitioned by the month of their creation, by Spark.

    WORKORDER_BASE_URL=... python examples/engines/spark_to_parquet_by_month.py TARGET

When not to use it: one process reads tens of thousands of tickets a second, and `workorder export tickets.parquet` goes
on after a crash, without a JVM. Use Spark where the files have to land in its warehouse, or where its cluster runs the
job again when a machine dies.
"""

import sys

from pyspark.sql import (
    SparkSession,
    functions as F,  # noqa: N812
)

from workorder_async.integrations.spark import WorkorderDataSource


def main(target: str) -> None:
    """Write all tickets below `target`, a folder for each month."""
    spark = SparkSession.builder.appName("tickets by month").getOrCreate()
    spark.dataSource.register(WorkorderDataSource)
    tickets = spark.read.format("workorder").option("tasks", 4).load()
    month = F.date_format("created_at", "yyyy-MM")  # by spark.sql.session.timeZone
    # One file a month: else each of the tasks would write its own.
    by_month = tickets.withColumn("month", month).repartition("month")
    by_month.write.partitionBy("month").mode("overwrite").parquet(target)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
