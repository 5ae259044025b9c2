"""A job for a cluster, as a user's program: `read`, which prints the ids, or `close`, by a file of rows.

Arguments: the master, what to do, a folder; the file is `rows.json` in it.
"""

import sys

from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

from workorder_async.integrations.spark import WorkorderDataSource


def main(master: str, what: str, folder: str) -> None:
    """Do it in four tasks."""
    builder = SparkSession.builder.master(master).appName(what)
    for name, value in {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.jars.ivy": f"{folder}/ivy",
        "spark.local.dir": f"{folder}/spark",
        "spark.executor.memory": "512m",
        "spark.executor.cores": "2",
        "spark.log.level": "ERROR",
    }.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.dataSource.register(WorkorderDataSource)
    if what == "read":
        frame = spark.read.format("workorder").option("concurrency", 1).load()
        sys.stdout.write("\n".join(str(row.id) for row in frame.select("id").collect()))
    else:
        writer = spark.read.json(f"{folder}/rows.json").repartition(4, "id").write.format("workorder").mode("append")
        writer.option("operation", "close").option("journals", f"{folder}/closes").option("concurrency", 2).save()
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
