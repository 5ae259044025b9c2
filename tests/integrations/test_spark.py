"""The Spark data source, on a JVM: every ticket once, whatever is killed, at the rate that was asked for."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import SandboxThread
from workorder_async import TicketQuery
from workorder_async.exports import TICKET_COLUMNS
from workorder_async.sandbox import Fault
from workorder_async.sandbox.seed import FIRST_ID

pytest.importorskip("pyspark")

from pyspark.sql import functions as F  # noqa: N812 # pyright: ignore[reportMissingImports]

from workorder_async.integrations.arrow_batches import ArrowOptions
from workorder_async.integrations.spark import read_tickets

pytestmark = [pytest.mark.engines, pytest.mark.timeout(180), pytest.mark.filterwarnings("default")]

NewSandbox = Callable[..., SandboxThread]


def _ids(frame: Any) -> list[int]:
    return sorted(row.id for row in frame.select("id").collect())


def _seeded(count: int) -> list[int]:
    return list(range(FIRST_ID, FIRST_ID + count))


def test_every_ticket(spark: Any, new_sandbox: NewSandbox) -> None:
    """All tickets in four partitions, each once, with the columns of exports."""
    new_sandbox(tickets=8000)
    frame = spark.read.format("workorder").option("tasks", 4).load()
    assert tuple(frame.columns) == TICKET_COLUMNS.names
    found = frame.select("id", F.spark_partition_id().alias("part"), "created_time", "created_at").cache()
    assert sorted(row.id for row in found.collect()) == _seeded(8000)
    sizes = [row["count"] for row in found.groupBy("part").count().collect()]
    assert len(sizes) == 4
    assert max(sizes) < 1.5 * min(sizes)
    row = found.first()
    assert row.created_at.astimezone(UTC) == datetime.fromtimestamp(row.created_time, UTC)


def test_the_lines_of_the_book(spark: Any, new_sandbox: NewSandbox, tmp_path: Path) -> None:
    """They write every ticket to Parquet."""
    new_sandbox(tickets=300)
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text("utf-8")
    (lines,) = re.findall(r"^```python\n(from pyspark.*?)^```", page, re.MULTILINE | re.DOTALL)
    target = str(tmp_path / "tickets")
    # A JVM stays in the folder in which it was started.
    exec(lines.replace('"tickets"', repr(target)), {})
    assert _ids(spark.read.parquet(target)) == _seeded(300)


def test_by_map_in_arrow(spark: Any, new_sandbox: NewSandbox) -> None:
    """The door for older Spark gives the same rows; windows are planned when the frame is made."""
    new_sandbox(tickets=1000)
    frame = read_tickets(spark, TicketQuery(), tasks=3)
    other = spark.read.format("workorder").load()
    assert frame.rdd.getNumPartitions() == 3
    assert frame.schema == other.schema
    assert sorted(frame.collect(), key=lambda row: row.id) == sorted(other.collect(), key=lambda row: row.id)


def test_detail_and_columns(spark: Any, new_sandbox: NewSandbox) -> None:
    """Full records, and columns in another order."""
    new_sandbox(tickets=50)
    frame = spark.read.format("workorder").options(detail="true", columns="assigns, id").load()
    assert frame.columns == ["assigns", "id"]
    rows = frame.collect()
    assert sorted(row.id for row in rows) == _seeded(50)
    assert all(row.assigns.startswith("[{") for row in rows)


def test_fewer_tickets_than_tasks(spark: Any, new_sandbox: NewSandbox) -> None:
    """There are as many partitions as tasks, some of them empty."""
    new_sandbox(tickets=2)
    frame = spark.read.format("workorder").option("tasks", 5).load()
    assert frame.rdd.getNumPartitions() == 5
    assert _ids(frame) == _seeded(2)


def test_rate(spark: Any, new_sandbox: NewSandbox) -> None:
    """A rate of the job is split over its tasks: no second has more, and it is made use of.

    A request that was longer on its way arrives nearer to the next one: one of each of the four tasks.
    """
    sandbox = new_sandbox(tickets=4000, rate=10_000)
    planned = read_tickets(spark, tasks=4, rate=60, options=ArrowOptions(page_size=20))
    before = len(sandbox.granted)
    assert _ids(planned) == _seeded(4000)
    times = sandbox.granted[before:]
    assert len(times) >= 200
    busiest = max(sum(start <= at < start + 1 for at in times) for start in times)
    assert 45 <= busiest <= 60 + 4


def test_refused_when_planned(spark: Any) -> None:
    """What cannot work is refused before a task starts, in words; no secret is shown."""
    with pytest.raises(Exception, match=r"(?s)option app_secret is refused, .* WORKORDER_APP_SECRET") as caught:
        spark.read.format("workorder").option("app_secret", "hidden-5551").load()
    assert "hidden-5551" not in str(caught.value)


def test_inexact_windows_fail_the_task(spark: Any, new_sandbox: NewSandbox) -> None:
    """What could not be proved exact fails its task, with the reason; unless that is accepted."""
    new_sandbox(tickets=500, faults=[Fault("bad_row", operation="list_tickets")])
    wanted = spark.read.format("workorder").options(tasks="1", on_bad_row="skip")
    with pytest.raises(Exception, match=r"(?s)is not exact: .* could not be read"):
        wanted.load().count()
    assert set(_ids(wanted.option("exact", "false").load())) < set(_seeded(500))


def test_filters_of_a_frame(spark: Any, new_sandbox: NewSandbox) -> None:
    """A frame that is used again with another filter, or none, has the rows of that."""
    sandbox = new_sandbox(tickets=300)
    frame = spark.read.format("workorder").load()
    pending = [row["id"] for row in sandbox.close_rows()]
    assert _ids(frame.where(F.col("status") == 1)) == pending
    assert _ids(frame) == _seeded(300)
    assert _ids(frame.where(F.col("status") == 1).union(frame.where(F.col("status") != 1))) == _seeded(300)
