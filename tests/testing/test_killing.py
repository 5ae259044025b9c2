"""Programs that are killed at each moment of a request, and run again."""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.cli_runs import ROOT
from workorder_async import CommentTicket, ConfigError, OutcomeUnknownError, Sandbox
from workorder_async.blocking import WorkorderClient as BlockingClient
from workorder_async.sandbox import Applied, Fault
from workorder_async.testing import Kill, Moment, SandboxThread, assert_applied, run_killed

# Comments the tickets from 1001 on, one after the other; writes the number of each one that was answered.
COMMENTS = """
import asyncio, sys
from workorder_async import CommentTicket, WorkorderClient

async def main():
    async with WorkorderClient.from_env() as client:
        for id in range(1001, 1004):
            print("asks", id, flush=True)
            await client.comment_ticket(CommentTicket(id=id, detail="收到"))
            print("done", id, flush=True)
    print("end", file=sys.stderr)

asyncio.run(main())
"""
# The same as a batch, which looks into its journal first.
BATCH = """
import asyncio
from workorder_async import CommentTicket, WorkorderClient, run_batch

async def main():
    comments = [CommentTicket(id=id, detail="收到") for id in range(1001, 1061)]
    async with WorkorderClient.from_env(attempt_timeout=0.5, deadline=5) as client:
        async for outcome in run_batch(client, comments, concurrency=4, journal="batch.journal"):
            print(outcome.ticket_id, outcome.state.name)

asyncio.run(main())
"""


def program(folder: Path, source: str) -> list[str | Path]:
    """Write a program, and return its command."""
    path = folder / "program.py"
    path.write_text(dedent(source), "utf-8")
    return [sys.executable, path]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let programs import this package."""
    monkeypatch.setenv("PYTHONPATH", ROOT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "carried_out", "said"),
    [
        ("applied", 2, "asks 1001\ndone 1001\nasks 1002\n"),
        ("received", 1, "asks 1001\ndone 1001\nasks 1002\n"),
        ("answered", 2, "asks 1001\ndone 1001\nasks 1002\ndone 1002\nasks 1003\n"),
    ],
)
def test_each_moment(moment: Moment, carried_out: int, said: str, tmp_path: Path) -> None:
    """It is dead before it can do more, what was carried out by then is exact, and it runs again to its end."""
    with SandboxThread(10) as sandbox:
        command = program(tmp_path, COMMENTS)
        killed, last = run_killed(sandbox, command, Kill("comment_ticket", 2, moment=moment))
        applied = sandbox.applied
    assert (killed.returncode, killed.stdout, killed.stderr) == (-9, said, "")
    assert (last.returncode, last.stderr) == (0, "end\n")
    assert [one.ticket_id for one in applied] == [*range(1001, 1001 + carried_out), 1001, 1002, 1003]


@pytest.mark.slow
def test_a_batch_that_is_killed_twice(tmp_path: Path) -> None:
    """With a journal each comment is carried out once, whenever the batch is killed, or is told to be unknown."""
    with SandboxThread(60) as sandbox:
        kills = [Kill("comment_ticket", 2), Kill("comment_ticket", moment="received")]
        *killed, last = run_killed(sandbox, program(tmp_path, BATCH), *kills, cwd=tmp_path)
        assert [one.returncode for one in killed] == [-9] * 2
        assert last.returncode == 0, last.stderr
        came = Counter(one.ticket_id for one in sandbox.applied)
    assert max(came.values()) == 1
    unknown = [line for line in last.stdout.splitlines() if "UNKNOWN" in line]
    assert len(came) + len(unknown) >= 60


@pytest.mark.slow
def test_reads_are_counted_as_well(tmp_path: Path) -> None:
    """A page of a list is a moment like any other; a struck request is received, and not carried out."""
    source = COMMENTS.replace(
        "for id in", "await client.list_tickets()\n        await client.list_tickets()\n        for id in"
    )
    with SandboxThread(10, faults=[Fault("503", operation="list_tickets", times=1, retry_after=0)]) as sandbox:
        killed, last = run_killed(sandbox, program(tmp_path, source), Kill("list_tickets", 2))
        assert sandbox.requests["list_tickets"] == 3 + 2
        assert [one.operation for one in sandbox.struck] == ["list_tickets"]
    assert (killed.returncode, killed.stdout, last.returncode) == (-9, "", 0)


@pytest.mark.slow
def test_all_processes_of_its_group_are_killed(tmp_path: Path) -> None:
    """A shell that starts the program dies with it, and so does what it left behind."""
    source = "import subprocess, sys\nsubprocess.run([sys.executable, 'program.py', 'x'], check=True)\n"
    with SandboxThread(10) as sandbox:
        program(tmp_path, COMMENTS)
        (tmp_path / "outer.py").write_text(source, "utf-8")
        command = [sys.executable, "outer.py"]
        killed, last = run_killed(sandbox, command, Kill("comment_ticket"), cwd=tmp_path)
    assert (killed.returncode, killed.stdout, last.returncode) == (-9, "asks 1001\n", 0)


@pytest.mark.slow
async def test_from_a_loop_that_the_program_needs(tmp_path: Path) -> None:
    """By `asyncio.to_thread` the loop of the test goes on meanwhile."""
    with SandboxThread(10) as sandbox:
        async with sandbox.client() as client:
            runs = await asyncio.to_thread(run_killed, sandbox, program(tmp_path, COMMENTS))
            await client.comment_ticket(CommentTicket(id=1009, detail="收到"))
        assert [one.returncode for one in runs] == [0]
        ids = (1001, 1002, 1003, 1009)
        assert_applied(sandbox, [CommentTicket(id=id, detail="收到") for id in ids])
    assert isinstance(sandbox.applied[0], Applied)


@pytest.mark.slow
def test_a_moment_that_never_comes(tmp_path: Path) -> None:
    """A program that ends before it fails the test, and what it said is shown."""
    with SandboxThread(10) as sandbox:
        with pytest.raises(AssertionError) as caught:
            run_killed(sandbox, program(tmp_path, COMMENTS), Kill("comment_ticket", 4))
        assert sandbox.witness is None
    said = str(caught.value)
    assert said.startswith(
        "the program ended by itself before Kill(operation='comment_ticket', request=4, moment='applied')"
    )
    assert said.endswith(", and 3 came; it ended with exit code 0, and stderr ends 'end\\n'")


def test_a_moment_that_comes_too_late() -> None:
    """A program whose request is carried out when it has ended was not killed, and the test is told so."""
    late = Fault("504_before", operation="comment_ticket", seconds=0.1)
    with SandboxThread(10, faults=[late]) as sandbox:
        with BlockingClient.from_env(sandbox.environment) as client, pytest.raises(OutcomeUnknownError):
            client.comment_ticket(CommentTicket(id=1001, detail="收到"))
        with pytest.raises(AssertionError, match=r"ended by itself before Kill\(.*\), and 1 came; it ended with exit"):
            run_killed(sandbox, ["true"], Kill("comment_ticket"))


def test_what_a_program_leaves_running(tmp_path: Path) -> None:
    """A process of another group may hold the program's output for ever: the program has ended all the same."""
    source = "setsid sh -c 'echo $$ > pid; exec sleep 60' & while [ ! -s pid ]; do sleep 0.01; done; cat pid"
    with SandboxThread(1) as sandbox:
        (ran,) = run_killed(sandbox, ["sh", "-c", source], cwd=tmp_path, timeout=5)
    assert ran.returncode == 0
    os.kill(int(ran.stdout), signal.SIGKILL)


def test_a_program_that_does_not_end(tmp_path: Path) -> None:
    """It is killed after its time, and fails the test."""
    source = "import sys, time\nprint('waits', file=sys.stderr, flush=True)\ntime.sleep(3600)\n"
    with (
        SandboxThread(1) as sandbox,
        pytest.raises(AssertionError, match=r"more than 0\.5 s; it ended with exit code -9, and"),
    ):
        run_killed(sandbox, program(tmp_path, source), timeout=0.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"operation": "close"}, "Kill.operation is 'close'; it must be 'close_ticket' or"),
        ({"operation": "close_ticket", "request": 0}, "Kill.request is 0; it must be a whole number of at least 1"),
        ({"operation": "close_ticket", "moment": "before"}, "Kill.moment is 'before'; it must be 'received' or"),
    ],
)
def test_a_kill_that_cannot_be(options: dict[str, object], said: str) -> None:
    """Each wrong field is named."""
    with pytest.raises(ConfigError, match=said):
        Kill(**options)  # type: ignore[arg-type]


def test_wrong_use_is_told() -> None:
    """What cannot be run is said before anything is started."""
    with SandboxThread(1) as sandbox:
        for arguments, said in [
            ((sandbox, "bot.py"), "command is 'bot.py'; it must be a list of words"),
            ((sandbox, Path("bot.py")), r"command is PosixPath\('bot.py'\); it must be a list of words"),
            ((sandbox, []), r"command is \[\]; it must be a list of words"),
            ((sandbox, 5), "command is 5; it must be a list of words"),
            ((sandbox, [sys.executable, 1]), "command is .*, 1.; it must be a list of words"),
            ((Sandbox(1), ["bot.py"]), "sandbox is a Sandbox; it must be a SandboxThread, such as workorder_sandbox"),
            ((sandbox, ["bot.py"], "close_ticket"), r"kills\[0\] is 'close_ticket'; it must be a Kill"),
        ]:
            with pytest.raises(ConfigError, match=said):
                run_killed(*arguments)  # type: ignore[arg-type]
        for env, said in [
            ({"PORT": 8011}, r"env\['PORT'\] is 8011; it must be text, or a path"),
            ("x", "env is 'x'"),
            (0, "env is 0"),
        ]:
            with pytest.raises(ConfigError, match=said):
                run_killed(sandbox, ["bot.py"], env=env)  # type: ignore[arg-type]
        with pytest.raises(FileNotFoundError):
            run_killed(sandbox, ["/nowhere/bot"])
        assert sandbox.witness is None
