"""A Spark session for all tests of Spark, and a sandbox that it reaches, which is another one for each test."""

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import SandboxThread
from tests.support.ports import held_port


@pytest.fixture(scope="session")
def place() -> Iterator[dict[str, Any]]:
    """Give where sandboxes listen, and who may ask them: executors learn that once, when they begin."""
    with held_port() as port:
        yield {"port": port, "app_secret": secrets.token_hex(16)}


@pytest.fixture
def new_sandbox(place: dict[str, Any]) -> Iterator[Callable[..., SandboxThread]]:
    """Give what starts a sandbox there."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(SandboxThread(**place, **options))


@pytest.fixture(scope="session")
def spark(place: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a session of four tasks at once, which tries a task again."""
    root = str(Path(__file__).parents[2])
    with SandboxThread(tickets=1, **place) as sandbox:
        os.environ.update(sandbox.environment)
    # The zone of tasks has an hour that comes twice.
    os.environ["TZ"] = "America/New_York"
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    builder = pytest.importorskip("pyspark.sql").SparkSession.builder.master("local[4,3]").appName("workorder")
    for name, value in {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "1g",
        # A JVM of a minute is not worth the second compiler.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
        "spark.jars.ivy": str(tmp_path_factory.mktemp("ivy")),
        "spark.local.dir": str(tmp_path_factory.mktemp("spark")),
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.python.filterPushdown.enabled": "true",
        "spark.log.level": "ERROR",
    }.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.dataSource.register(import_module("workorder_async.integrations.spark").WorkorderDataSource)
    yield session
    session.stop()
