"""`workorder sandbox`: what it prints, and how it ends."""

import signal
import socket
import time
from pathlib import Path

import pytest

from tests.support.cli_runs import Workorder, elsewhere, in_child, start
from tests.support.slow import slow_after
from workorder_async.sandbox import Sandbox

TICKETS = 5

FOUR = ["WORKORDER_BASE_URL", "WORKORDER_APP_ID", "WORKORDER_APP_SECRET", "WORKORDER_SIGN_SCHEME"]


@pytest.mark.parametrize("number", slow_after(1, [signal.SIGINT, signal.SIGTERM]))
def test_the_sandbox_prints_what_to_copy_and_ends_well(number: signal.Signals, tmp_path: Path) -> None:
    """`workorder sandbox` prints lines for a shell, serves what they say, and ends with 0 on Ctrl-C or SIGTERM."""
    with start({}, "sandbox", "--port", 0, "--tickets", 3, "--db", tmp_path / "sandbox.db") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        lines = b""
        while lines.count(b"\n") < 5:
            lines += child.stdout.read(65536)
        exports = dict(line.removeprefix("export ").split("=", 1) for line in lines.decode().splitlines())
        assert list(exports) == [*FOUR, "WORKORDER_ERRNOS"]
        assert all(value[0] == value[-1] == "'" for value in exports.values())
        listed = in_child({name: value[1:-1] for name, value in exports.items()}, "list", "--json")
        child.send_signal(number)
        remarks = child.stderr.read().decode() if child.wait(30) == 0 else ""
    assert len(listed.rows) == 3
    assert "copy the lines above into another terminal" in remarks
    assert remarks.endswith("the sandbox has stopped\n")
    assert "Traceback" not in remarks


def test_a_taken_port_is_wrong_usage(workorder: Workorder) -> None:
    """A port in use is told in one sentence."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = workorder("sandbox", "--port", taken.getsockname()[1])
    assert (ran.code, ran.out) == (2, "")
    assert "choose another port" in ran.err


def test_what_a_database_has_already_is_said(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`--tickets` and `--seed` are for a new file; where it is there, they are told to be ignored, and only then."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with elsewhere(Sandbox(3, db=old)):
        pass
    said = "ignored, for"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert (
            f"workorder: --tickets 70 is {said} '{old}'"
            in workorder("sandbox", "--tickets", 70, "--db", old, "--port", port).err
        )
        both = workorder("sandbox", "--tickets", 70, "--seed", 2, "--db", old, "--port", port)
        assert f"workorder: --tickets 70 and --seed 2 are {said} '{old}'" in both.err
        assert said not in workorder("sandbox", "--db", old, "--port", port).err
        assert said not in workorder("sandbox", "--tickets", 7, "--db", new, "--port", port).err


@pytest.mark.slow
def test_its_tickets_reach_up_to_now(tmp_path: Path) -> None:
    """What was created since yesterday is found, as it would be on a platform that is in use."""
    with start({}, "sandbox", "--port", 0, "--tickets", 5000) as child:
        assert child.stdout is not None
        lines = b""
        while lines.count(b"\n") < 5:
            lines += child.stdout.read(65536)
        four = dict(line.removeprefix("export ").split("=", 1) for line in lines.decode().splitlines())
        listed = in_child({name: value[1:-1] for name, value in four.items()}, "list", "--since", "yesterday", "--json")
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=30)
    assert listed.rows
    assert all(row["created_time"] <= time.time() for row in listed.rows)
