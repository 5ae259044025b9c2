"""A standalone cluster of two workers on this machine: executors and drivers that are killed in the middle of a job."""

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson
import pytest

from tests.support.engines import SandboxThread, once_it_is, pids_of
from tests.support.ports import held_port
from workorder_async.sandbox.seed import FIRST_ID

pyspark = pytest.importorskip("pyspark")

pytestmark = [pytest.mark.torture, pytest.mark.engines, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
EXECUTOR = "CoarseGrainedExecutorBackend"


@contextmanager
def _process(command: list[str], environment: dict[str, str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / f"{len(list(folder.iterdir())):03}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


class Cluster:
    """A master and two workers, and jobs on them; everything ends with the block."""

    def __init__(self, sandbox: SandboxThread, folder: Path) -> None:
        self._stack = ExitStack()
        self._port = self._stack.enter_context(held_port())
        self._folder = folder
        home = Path(pyspark.__file__).parent
        self._environment = {
            **os.environ,
            **sandbox.environment,
            "PYTHONPATH": str(ROOT),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_DIRS": str(folder / "local"),
        }
        self._class = [str(home / "bin" / "spark-class")]
        self.url = f"spark://127.0.0.1:{self._port}"

    def __enter__(self) -> "Cluster":
        master = "org.apache.spark.deploy.master.Master --host 127.0.0.1 --webui-port 0 --port"
        self._begin([*master.split(), str(self._port)])
        once_it_is(self._listens)
        for name in ("one", "two"):
            worker = "org.apache.spark.deploy.worker.Worker --host 127.0.0.1 --webui-port 0 --cores 2 --memory 1g"
            self._begin([*worker.split(), "--work-dir", str(self._folder / name), self.url])
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _begin(self, arguments: list[str]) -> None:
        self._stack.enter_context(_process(self._class + arguments, self._environment, self._folder))

    def _listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self._port)) == 0

    @contextmanager
    def job(self, what: str) -> "Iterator[subprocess.Popen[bytes]]":
        """Run a job in a driver of its own."""
        command = [sys.executable, str(Path(__file__).with_name("cluster_job.py")), self.url, what, str(self._folder)]
        with _process(command, self._environment, self._folder) as driver:
            yield driver


def _kill_executor() -> None:
    os.kill(pids_of(EXECUTOR)[0], signal.SIGKILL)


def _ended_well(driver: "subprocess.Popen[bytes]", folder: Path) -> bytes:
    said, _ = driver.communicate(timeout=200)
    assert driver.returncode == 0, max(folder.glob("*.log")).read_text("utf-8", "replace")[-4000:]
    return said


def test_an_executor_is_killed_while_it_reads(tmp_path: Path) -> None:
    """Its tasks run elsewhere: 50,000 tickets, each once."""
    with (
        SandboxThread(tickets=50_000, latency=0.02) as sandbox,
        Cluster(sandbox, tmp_path) as cluster,
        cluster.job("read") as driver,
    ):
        once_it_is(lambda: sandbox.requests["list_tickets"] >= 200 or driver.poll() is not None, 150)
        _kill_executor()
        ids = sorted(map(int, _ended_well(driver, tmp_path).split()))
    assert ids == list(range(FIRST_ID, FIRST_ID + 50_000))


def test_driver_and_executor_are_killed_while_they_close(tmp_path: Path) -> None:
    """The job is killed and run again, and loses an executor: each close is applied once."""
    with SandboxThread(tickets=5000, latency=0.05) as sandbox, Cluster(sandbox, tmp_path) as cluster:
        rows = sandbox.close_rows()
        (tmp_path / "rows.json").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        with cluster.job("close") as driver:
            once_it_is(lambda: len(sandbox.applied) >= 100 or driver.poll() is not None, 150)
            driver.kill()
        before = len(sandbox.applied)
        assert 100 <= before < len(rows)
        with cluster.job("close") as driver:
            once_it_is(lambda: len(sandbox.applied) >= before + 150 or driver.poll() is not None, 150)
            _kill_executor()
            _ended_well(driver, tmp_path)
        applied = Counter(one.ticket_id for one in sandbox.applied)
    assert applied == {row["id"]: 1 for row in rows}
