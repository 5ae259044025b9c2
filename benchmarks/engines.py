"""Row engines: the same tickets by our walk, as Arrow batches, and by Spark; where an engine loses. Needs a JVM."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks.child import ROOT
from benchmarks.exporting import export
from benchmarks.measuring import HEAVY_ROUNDS, Comparison, Contestant, Plan, Row, race
from benchmarks.server import canned_server
from benchmarks.walking import course, iter_tickets
from workorder_async import TicketQuery, WorkorderClient
from workorder_async.integrations.arrow_batches import arrow_batches
from workorder_async.loop_thread import LoopThread

_TIMES = 10
_TASKS = 4

_OURS = "iter_tickets"
_PARQUET = "export_tickets to Parquet"
_BATCHES = "arrow_batches"
_SPARK = f"Spark, {_TASKS} tasks, counted"
_SPARK_PARQUET = f"Spark, {_TASKS} tasks, to Parquet"


def measure(plan: Plan) -> Row:
    """Measure tickets per second of a warm Spark in this machine, over our walk in one process."""
    tickets = plan.tickets * _TIMES
    with (
        TemporaryDirectory() as folder,
        canned_server(tickets, "spread") as server,
        course(f"{server}/0", tickets) as timed,
        _spark(f"{server}/0") as (load, started),
    ):
        into = Path(folder)
        began = perf_counter()
        load().count()
        cold = perf_counter() - began
        contestants: dict[str, Contestant] = {
            _OURS: timed(iter_tickets),
            _PARQUET: timed(partial(export, path=into / "ours.parquet")),
            _BATCHES: _timed(tickets, _count_batches),
            _SPARK: _timed(tickets, lambda: int(load().count())),
            _SPARK_PARQUET: _timed(tickets, lambda: _write(load(), into / "spark.parquet", tickets)),
        }
        result = race(_OURS, contestants, min(HEAVY_ROUNDS, plan.rounds))
    speeds = (f"{name} {tickets / sample.median:,.0f}" for name, sample in result.seconds.items())
    return Row(
        "engines",
        f"{_SPARK}, tickets per second",
        "iter_tickets in one process",
        ">=",
        0.4,
        result.ratio(_OURS, _SPARK),
        result,
        beside=tuple(
            Comparison(_OURS, result.ratio(_OURS, name), f"times the throughput, by {name}, of")
            for name in (_PARQUET, _BATCHES, _SPARK_PARQUET)
        ),
        notes=(
            f"{tickets} tickets; a second: {', '.join(speeds)}",
            f"a session of Spark starts in {started:.1f} s; its first count takes {cold:.1f} s more",
        ),
    )


@contextmanager
def _spark(base_url: str) -> Iterator[tuple[Callable[[], Any], float]]:
    """Start Spark here; give what makes a frame of all tickets, and how many seconds the start took."""
    sql = import_module("pyspark.sql")
    source = import_module("workorder_async.integrations.spark").WorkorderDataSource
    os.environ |= {
        "WORKORDER_BASE_URL": base_url,
        "WORKORDER_APP_ID": "app",
        "WORKORDER_APP_SECRET": "secret",
        "WORKORDER_SIGN_SCHEME": "md5:{app_id}{timestamp}{secret}",
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    began = perf_counter()
    builder = sql.SparkSession.builder.master(f"local[{_TASKS}]").config("spark.ui.enabled", "false")
    quiet = builder.config("spark.log.level", "ERROR").config("spark.ui.showConsoleProgress", "false")
    session = quiet.getOrCreate()
    started = perf_counter() - began
    session.dataSource.register(source)
    try:
        yield lambda: session.read.format("workorder").option("tasks", _TASKS).load(), started
    finally:
        session.stop()


def _timed(tickets: int, run: Callable[[], int]) -> Contestant:
    def timed() -> float:
        began = perf_counter()
        if (count := run()) != tickets:
            raise RuntimeError(f"{count} tickets of {tickets}")
        return perf_counter() - began

    return timed


def _count_batches() -> int:
    with LoopThread() as loop:
        windows = loop.run(_plan())
    return sum(batch.num_rows for batch in arrow_batches(windows))


async def _plan() -> Any:
    async with WorkorderClient.from_env() as client:
        return await client.plan_windows(TicketQuery())


def _write(frame: Any, target: Path, tickets: int) -> int:
    """Write a frame; Spark tells no count."""
    frame.write.mode("overwrite").parquet(str(target))
    return tickets
