"""What tests of commands ask for: a sandbox, and ways to use it by the command line."""

import io
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.support.cli_changes import created
from tests.support.cli_runs import SECRET, Workorder, elsewhere, runner
from workorder_async.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Run one sandbox for the tests of a file, with the file's number of TICKETS: none where it has no number."""
    with elsewhere(Sandbox(getattr(request.module, "TICKETS", 0), app_secret=SECRET)) as sandbox:
        yield sandbox


@pytest.fixture
def workorder(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Workorder:
    """Run command lines in this process, against the sandbox; what is written to descriptors is captured, too."""
    return runner(sandbox.environment, monkeypatch, capfd)


@pytest.fixture
def new_ticket(sandbox: Sandbox) -> Callable[..., int]:
    """Return what creates a ticket, of 姜程 or somebody else."""
    return partial(created, sandbox)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Return what puts bytes on stdin."""
    return lambda content: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
