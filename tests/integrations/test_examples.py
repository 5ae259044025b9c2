"""The examples for engines run as they stand, against a sandbox, and do what they say."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.engines import SandboxThread
from workorder_async.sandbox.seed import FIRST_ID

pytestmark = [pytest.mark.engines, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sandbox() -> Iterator[SandboxThread]:
    """Give a sandbox of 2,000 tickets."""
    with SandboxThread(tickets=2000) as sandbox:
        yield sandbox


def _run(example: str, sandbox: SandboxThread, folder: Path, *arguments: str) -> str:
    """Run an example as a user does, and return what it prints."""
    options = {"spark.jars.ivy": folder / "ivy", "spark.local.dir": folder / "spark", "spark.ui.enabled": "false"}
    environment = {
        **os.environ,
        **sandbox.environment,
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": " ".join(f"--conf {name}={value}" for name, value in options.items()) + " pyspark-shell",
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


def test_spark_to_parquet_by_month(sandbox: SandboxThread, tmp_path: Path) -> None:
    """Each ticket is in a file of its month."""
    pytest.importorskip("pyspark")
    target = tmp_path / "tickets"
    _run("spark_to_parquet_by_month.py", sandbox, tmp_path, str(target))
    table = (
        import_module("pyarrow.dataset").dataset(target, partitioning="hive").to_table(["id", "created_at", "month"])
    )
    rows = table.to_pylist()
    assert sorted(row["id"] for row in rows) == list(range(FIRST_ID, FIRST_ID + 2000))
    assert {row["month"] for row in rows} == {
        f"{year}-{month:02}" for year in (2023, 2024) for month in range(1, 13)
    } | {"2022-12"}


def test_close_by_spark(sandbox: SandboxThread, tmp_path: Path) -> None:
    """Each pending ticket is closed once."""
    pytest.importorskip("pyspark")
    wanted = [row["id"] for row in sandbox.close_rows()]
    said = _run("close_by_spark.py", sandbox, tmp_path, str(tmp_path / "closes"))
    assert f"| done| {len(wanted)}|" in said.replace("  ", " ")
    assert sorted(one.ticket_id for one in sandbox.sandbox.applied) == wanted


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
        assert ids == list(range(FIRST_ID, FIRST_ID + 2000))
