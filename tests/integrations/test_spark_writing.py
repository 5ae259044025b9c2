"""Frames of closes, on a JVM: each ticket closed once, and what cannot work refused before anything is sent."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import SandboxThread
from workorder_async.integrations.spark_closing import place_of

pytest.importorskip("pyspark")

from pyspark.sql import functions as F  # noqa: N812 # pyright: ignore[reportMissingImports]

from workorder_async.integrations.spark import read_outcomes

pytestmark = [pytest.mark.engines, pytest.mark.timeout(180), pytest.mark.filterwarnings("default")]

NewSandbox = Callable[..., SandboxThread]


def _save(frame: Any, folder: Path, **options: Any) -> None:
    writer = frame.write.format("workorder").mode("append").option("operation", "close")
    writer.options(**{"journals": str(folder), "tasks": "4", **options}).save()


def test_where_spark_puts_a_row(spark: Any) -> None:
    """Our copy of Spark's hash agrees with Spark's, for small and large ids."""
    ids = [*range(1, 200), *(2**shift + 7 for shift in range(8, 63)), 2**63 - 1]
    frame = spark.createDataFrame([(id,) for id in ids], "id BIGINT")
    for tasks in (4, 7):
        placed = frame.repartition(tasks, "id").select("id", F.spark_partition_id().alias("part")).collect()
        assert {row.id: row.part for row in placed} == {id: place_of(id, tasks) for id in ids}


def test_times(spark: Any, new_sandbox: NewSandbox, tmp_path: Path) -> None:
    """A time is the one that the frame means, also in the hour that comes twice where tasks run (New York)."""
    sandbox = new_sandbox(tickets=20)
    times = dict(zip((row["id"] for row in sandbox.close_rows()), (1_730_611_800, 1_730_615_400), strict=False))
    rows = [{**row, "solved_time": times[row["id"]]} for row in sandbox.close_rows() if row["id"] in times]
    frame = spark.createDataFrame(rows).withColumn("solved_time", F.col("solved_time").cast("timestamp"))
    _save(frame.repartition(4, "id"), tmp_path)
    assert {one.ticket_id: one.request["solved_time"] for one in sandbox.applied} == times


def test_each_close_once(spark: Any, new_sandbox: NewSandbox, tmp_path: Path) -> None:
    """Each ticket is closed once; the same job again skips all; the outcomes are a frame, wherever their folder is."""
    sandbox, folder = new_sandbox(tickets=500), tmp_path / "共享 {1} [2] *? 50%20"
    rows = sandbox.close_rows()
    frame = spark.createDataFrame(rows).withColumn("solved_time", F.col("solved_time").cast("timestamp"))
    for state in ("done", "skipped"):
        _save(frame.repartition(4, "id"), folder)
        outcomes = read_outcomes(spark, folder).collect()
        assert {row.id for row in outcomes} == {row["id"] for row in rows}
        assert Counter(row.state for row in outcomes) == {state: len(rows)}
    other = shutil.copytree(folder, tmp_path / "2026-11-27T14:00:00 共享 50%20")
    assert read_outcomes(spark, other).count() == len(rows)
    applied = sandbox.applied
    assert sorted(one.ticket_id for one in applied) == [row["id"] for row in rows]
    assert all(one.request["solved_time"] == rows[0]["solved_time"] for one in applied)


@pytest.fixture
def speculation(spark: Any) -> Iterator[None]:
    """Let tasks believe that speculation is on, in one of the spellings that Spark takes."""
    spark.sparkContext.setLocalProperty("spark.speculation", "True")
    yield
    spark.sparkContext.setLocalProperty("spark.speculation", None)


def test_speculation(spark: Any, new_sandbox: NewSandbox, tmp_path: Path, speculation: None) -> None:
    """Two copies of a task are refused before anything is sent."""
    sandbox = new_sandbox(tickets=100)
    with pytest.raises(Exception, match=r"(?s)spark\.speculation is on"):
        _save(spark.createDataFrame(sandbox.close_rows()).repartition(1, "id"), tmp_path, tasks="1")
    assert not sandbox.applied


def test_refused(spark: Any, new_sandbox: NewSandbox, tmp_path: Path) -> None:
    """A bad row, object storage, a secret, an overwrite: nothing of it is sent."""
    sandbox = new_sandbox(tickets=100)
    frame = spark.createDataFrame(sandbox.close_rows())
    bad = frame.withColumn("closer_id", F.lit(0)).repartition(1, "id")
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: _save(bad, tmp_path / "bad", tasks="1"), "the row of ticket .*closer_id"),
        (lambda: _save(frame, Path("s3:/bucket/closes")), "object storage"),
        (lambda: _save(frame, tmp_path, app_secret="hidden-5551"), "option app_secret is refused"),
        (lambda: frame.write.format("workorder").mode("overwrite").save(), "cannot be overwritten"),
    ]
    for act, words in cases:
        with pytest.raises(Exception, match=f"(?s){words}") as caught:
            act()
        assert "hidden-5551" not in str(caught.value)
    assert not sandbox.applied
