"""Python workers of Spark that are killed in the middle: what was read is exact, and nothing is closed twice."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.support.engines import SandboxThread, once_it_is, pids_at
from workorder_async.sandbox.seed import FIRST_ID

pytest.importorskip("pyspark")

from tests.integrations.quick_source import QuickSource
from workorder_async.integrations.spark import read_outcomes

pytestmark = [pytest.mark.engines, pytest.mark.timeout(180), pytest.mark.filterwarnings("default")]

NewSandbox = Callable[..., SandboxThread]


@contextmanager
def _one_killed(sandbox: SandboxThread, when: Callable[[], bool]) -> Iterator[None]:
    """Kill a process that reads or closes, as soon as this is so; fail where the block ends before."""
    ended = Event()

    def kill() -> None:
        once_it_is(lambda: (when() and bool(pids_at(sandbox.port))) or ended.is_set(), 120)
        os.kill(pids_at(sandbox.port)[0], signal.SIGKILL)

    with ThreadPoolExecutor(1) as thread:
        killed = thread.submit(kill)
        try:
            yield
        finally:
            ended.set()
        killed.result()


def test_killed_while_it_reads(spark: Any, new_sandbox: NewSandbox) -> None:
    """The task is tried again, and its windows are read again: each ticket is there once."""
    sandbox = new_sandbox(tickets=12_000, latency=0.05)
    frame = spark.read.format("workorder").option("tasks", 4).option("concurrency", 1).load().select("id")
    # Planning takes less than forty requests.
    with _one_killed(sandbox, lambda: sandbox.requests["list_tickets"] >= 60):
        rows = frame.collect()
    assert sorted(row.id for row in rows) == list(range(FIRST_ID, FIRST_ID + 12_000))


def test_killed_while_it_closes(spark: Any, new_sandbox: NewSandbox, tmp_path: Path) -> None:
    """The next attempt goes on by the journal: each close is applied once, and every ticket has an outcome."""
    sandbox = new_sandbox(tickets=3000, latency=0.05)
    rows = sandbox.close_rows()
    spark.dataSource.register(QuickSource)
    frame = spark.createDataFrame(rows).repartition(4, "id")
    writer = frame.write.format("quick").mode("append").option("operation", "close").option("concurrency", 4)

    def have_closed_some() -> bool:
        lines = [journal.read_bytes().count(b"\n") for journal in tmp_path.glob("*.journal")]
        return len(lines) >= len(pids_at(sandbox.port)) and min(lines, default=0) > 60

    with _one_killed(sandbox, have_closed_some):
        writer.option("journals", str(tmp_path)).save()
    applied = Counter(one.ticket_id for one in sandbox.applied)
    assert applied == {row["id"]: 1 for row in rows}
    outcomes = read_outcomes(spark, tmp_path).collect()
    assert {row.id for row in outcomes} == set(applied)
    states = Counter(row.state for row in outcomes)
    assert states["skipped"] > 10
    assert set(states) <= {"done", "skipped", "already"}
