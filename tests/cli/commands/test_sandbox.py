"""`workorder sandbox`: what it prints, and how it ends."""

import asyncio
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.cli_runs import Workorder, elsewhere, in_child, start
from workorder_async import ResponseError, RetryPolicy, WorkorderClient
from workorder_async.sandbox import Sandbox

TICKETS = 5

FOUR = ["WORKORDER_BASE_URL", "WORKORDER_APP_ID", "WORKORDER_APP_SECRET", "WORKORDER_SIGN_SCHEME"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("given", [{}, {"WORKORDER_SANDBOX_SECRET": "of its own\r\n"}])
def test_the_sandbox_prints_what_to_copy_and_ends_well(
    number: signal.Signals, given: dict[str, str], tmp_path: Path
) -> None:
    """`workorder sandbox` prints lines for a shell, serves what they say, and ends with 0 on Ctrl-C or SIGTERM."""
    with start(given, "sandbox", "--port", 0, "--tickets", 3, "--db", tmp_path / "sandbox.db") as child:
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--fault", "reset_aftr:0.1"],
            "--fault reset_aftr:0.1: kind is 'reset_aftr'; it must be 'refuse' or 'reset' or",
        ),
        (["--fault", ""], "--fault : kind is ''; it must be 'refuse' or 'reset' or"),
        (["--fault", "503:2"], "--fault 503:2: chance is 2; it must be a number from 0 to 1"),
        (["--fault", "503:often"], "--fault 503:often: chance is 'often'; it must be a number"),
        (["--fault", "503:"], "--fault 503:: chance is ''; it must be a number"),
        (["--fault", "503,0.1"], "--fault 503,0.1: '0.1' is no NAME=VALUE; write it as times=3"),
        (["--fault", "503,time=1"], "--fault 503,time=1: there is no 'time'; did you mean times?"),
        (["--fault", "503,times=x"], "--fault 503,times=x: times is 'x'; it must be a whole number"),
        (["--fault", "times=1"], "--fault times=1: kind is 'times=1'; it must be"),
        (["--fault", "503:0.1:2"], "--fault 503:0.1:2: chance is '0.1:2'; it must be a number"),
        (["--fault", "503,kind=500,kind=x"], "--fault 503,kind=500,kind=x: kind is 'x'; it must be"),
        (["--fault", "errno"], "--fault errno: errno is None; the kind errno needs one"),
        (["--fault", "total,operation=close_ticket"], "operation is 'close_ticket'; it must be 'list_tickets'"),
        (["--fault", "503", "--fault", "504"], "--fault 504: kind is '504'; it must be"),
        (["--drift", "close=x"], "--drift close=x: close is str 'x'; it must be a whole number"),
        (
            ["--drift", "every=1"],
            "--drift every=1: this Drift changes nothing; give it close, reopen, create or delete",
        ),
        (["--drift", "clse=1"], "--drift clse=1: there is no 'clse'; did you mean close"),
        (["--drift", "10"], "--drift 10: '10' is no NAME=VALUE"),
        (["--drift", "close=1,status=new"], "--drift close=1,status=new: 'new' is not known; use one of"),
        (["--drift", "close=1,status=closed"], "--drift close=1,status=closed: status is"),
        (["--rate", "0"], "--rate is 0; it must be from 1"),
        (["--rate", "many"], "'many' is no whole number of 64 bits; write one in digits"),
    ],
)
def test_what_cannot_go_wrong_so_is_named(workorder: Workorder, words: list[str], said: str) -> None:
    """A wrong fault, drift or rate is told in one sentence that names it and the mend; nothing is started."""
    ran = workorder("sandbox", "--port", 0, "--tickets", 1, *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


@pytest.mark.slow
async def test_faults_drift_and_a_rate(tmp_path: Path) -> None:
    """They are the sandbox's own: what they say happens."""
    words = ["--fault", "503:1.0,operation=list_tickets,times=1,retry_after=7", "--drift", "delete=1, status=pending"]
    with start({}, "sandbox", "--port", 0, "--tickets", 200, *words, "--rate", 50) as child, ExitStack() as stack:
        stack.callback(child.kill)
        assert child.stdout is not None
        lines = b""
        while lines.count(b"\n") < 4:
            lines += await asyncio.to_thread(child.stdout.read, 65536)
        four = dict(line.removeprefix("export ").split("=", 1) for line in lines.decode().splitlines())
        environment = {name: value[1:-1] for name, value in four.items()}
        async with WorkorderClient.from_env(environment, retry=RetryPolicy(attempts=1)) as client:
            with pytest.raises(ResponseError) as caught:
                await client.list_tickets()
            totals = [(await client.list_tickets()).pagination.total for _ in range(3)]
    assert caught.value.retry_after == 7
    assert totals == [200, 199, 199]
