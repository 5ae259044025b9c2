"""The examples for engines run as they stand, against a sandbox, and do what they say."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import SandboxThread
from workorder_async.sandbox.seed import FIRST_ID

pytestmark = [pytest.mark.engines, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]


TICKETS = 1000


@pytest.fixture
def sandbox() -> Iterator[SandboxThread]:
    """Give a sandbox."""
    with SandboxThread(tickets=TICKETS) as sandbox:
        yield sandbox


def _run_here(example: str, monkeypatch: pytest.MonkeyPatch, *arguments: Path) -> None:
    """Run an example of Spark in the session of these tests, which goes on."""
    with monkeypatch.context() as patched:
        patched.setattr("pyspark.sql.SparkSession.stop", lambda _: None)
        patched.setattr("pyspark.sql.SparkSession.Builder.config", lambda builder, *_: builder)
        patched.setattr(sys, "argv", [example, *map(str, arguments)])
        runpy.run_path(str(ROOT / "examples" / "engines" / example), run_name="__main__")


def _run(example: str, sandbox: SandboxThread, folder: Path, *arguments: str) -> str:
    """Run an example as a user does, and return what it prints."""
    environment = {
        **os.environ,
        **sandbox.environment,
        "PYTHONPATH": str(ROOT),
        "DLT_DATA_DIR": str(folder / "dlt"),
        # Nothing is told to the makers of engines.
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "DAFT_ANALYTICS_ENABLED": "0",
        "DO_NOT_TRACK": "true",
    }
    command = [sys.executable, str(ROOT / "examples" / "engines" / example), *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "engines").glob("*.py")), ids=lambda path: path.name)
def test_each_says_when_not_to_use_it(path: Path) -> None:
    """The head of each example tells what one process does without an engine."""
    head = path.read_text("utf-8").split('"""')[1]
    assert "When not to use it" in head
    assert "one process" in head


@pytest.mark.filterwarnings("default")
def test_spark_to_parquet_by_month(
    spark: Any, new_sandbox: Callable[..., SandboxThread], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ticket is in a file of its month."""
    new_sandbox(tickets=TICKETS)
    target = tmp_path / "tickets"
    _run_here("spark_to_parquet_by_month.py", monkeypatch, target)
    table = (
        import_module("pyarrow.dataset").dataset(target, partitioning="hive").to_table(["id", "created_at", "month"])
    )
    rows = table.to_pylist()
    assert sorted(row["id"] for row in rows) == list(range(FIRST_ID, FIRST_ID + TICKETS))
    assert {row["month"] for row in rows} == {
        f"{year}-{month:02}" for year in (2023, 2024) for month in range(1, 13)
    } | {"2022-12"}


@pytest.mark.filterwarnings("default")
def test_close_by_spark(
    spark: Any,
    new_sandbox: Callable[..., SandboxThread],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each pending ticket is closed once: all of a frame of the source itself is read before the first close."""
    sandbox = new_sandbox(tickets=TICKETS)
    wanted = [row["id"] for row in sandbox.close_rows()]
    _run_here("close_by_spark.py", monkeypatch, tmp_path / "closes")
    assert f"| done| {len(wanted)}|" in capsys.readouterr().out.replace("  ", " ")
    assert sorted(one.ticket_id for one in sandbox.applied) == wanted


def test_daft_read(sandbox: SandboxThread, tmp_path: Path) -> None:
    """The counts of the statuses are those of the list."""
    pytest.importorskip("daft")
    assert f" {len(sandbox.close_rows())} " in _run("daft_read.py", sandbox, tmp_path)


def test_dlt_to_duckdb(sandbox: SandboxThread, tmp_path: Path) -> None:
    """The same run again changes nothing."""
    pytest.importorskip("dlt")
    target = tmp_path / "tickets.duckdb"
    for since in ("", "1700000000"):
        _run("dlt_to_duckdb.py", sandbox, tmp_path, str(target), since)
        with closing(import_module("duckdb").connect(str(target))) as base:
            ids = [row[0] for row in base.execute("SELECT id FROM workorder.tickets ORDER BY id").fetchall()]
        assert ids == list(range(FIRST_ID, FIRST_ID + TICKETS))
