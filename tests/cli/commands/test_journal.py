"""`workorder journal`: what it shows of a journal, and what it finds out of it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.batches import begun_long_ago, sealed
from tests.support.cli_changes import CLOSER
from tests.support.cli_runs import Workorder
from workorder_async.sandbox import Fault, Sandbox

WORDS = ["--detail", "已处理", "--concurrency", 1, "--timeout", 1]


@pytest.fixture
def journal(sandbox: Sandbox, workorder: Workorder, new_ticket: Callable[[], int], tmp_path: Path) -> Path:
    """Give the journal of four comments: one was done, one refused, one lost after it came there and one before."""
    ids = [new_ticket(), 10**9, new_ticket(), new_ticket()]
    sandbox.faults = [
        Fault("reset", operation="comment_ticket", times=1, after=3),
        Fault("reset_after", operation="comment_ticket", times=1, after=2),
    ]
    file = tmp_path / "comments of today"
    assert workorder("comment", *ids, *WORDS, "--journal", file).code == 3
    sandbox.faults = []
    return file


def test_what_a_journal_says(workorder: Workorder, sandbox: Sandbox, journal: Path) -> None:
    """It shows the batch, the counts, and each mutation that is not done, a line each, without asking anybody."""
    before = sandbox.requests
    ran = workorder("journal", "show", journal)
    batch, platform, counts, *lines = ran.out.splitlines()
    assert (ran.code, batch) == (0, "batch: comment: 已处理")
    assert platform == f"platform: {sandbox.environment['WORKORDER_BASE_URL']}"
    assert counts == "2 done, 1 rejected, 1 unknown"
    cells = [line.split("\t") for line in lines]
    assert [(operation, state) for _, operation, state, _, _ in cells] == [
        ("comment_ticket", "rejected"),
        ("comment_ticket", "unknown"),
    ]
    assert (cells[0][0], "errno 90005" in cells[0][4]) == ("1000000000", True)
    assert ran.err == f"`workorder journal settle '{journal}'` looks for the unknown ones\n"
    rows = workorder("journal", "show", journal, "--json").rows
    assert [row["outcome"] for row in rows] == ["done", "rejected", "done", "unknown"]
    assert [row["request"] for row in rows] == [{"id": row["id"], "detail": "已处理"} for row in rows]
    assert all(row["began"].startswith("20") for row in rows)
    assert sandbox.requests == before


def test_what_is_unknown_is_settled(workorder: Workorder, sandbox: Sandbox, journal: Path) -> None:
    """`settle` looks again, sends nothing, writes what it found, and exits with 3 while something is unknown.

    For a comment it needs no right to the list.
    """
    id = workorder("journal", "show", journal, "--json").rows[3]["id"]
    changes = len(sandbox.applied)
    first = workorder("journal", "settle", journal)
    assert (first.code, first.out) == (3, f"{id} comment_ticket: still unknown\n")
    assert first.err.startswith("1 unknown in ")
    assert len(sandbox.applied) == changes
    # Somebody's comment with the same text came there late.
    assert workorder("comment", id, *WORDS).code == 0
    sandbox.faults = [Fault("errno", operation="list_tickets", errno=90001)]
    second = workorder("journal", "settle", journal, "--json")
    sandbox.faults = []
    assert (second.code, [row["outcome"] for row in second.rows]) == (0, ["done"])
    third = workorder("journal", "settle", journal)
    assert (third.code, third.out, third.err) == (0, "", "nothing in this journal is unknown\n")
    assert workorder("journal", "show", journal).out.splitlines()[2] == "3 done, 1 rejected"


@pytest.mark.parametrize(("refused", "code"), [(1, 3), (16, 1)])
def test_a_ticket_that_is_refused_hides_no_others(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int], tmp_path: Path, refused: int, code: int
) -> None:
    """Without a right to the list, unknown tickets are tried in turn until one is answered, sixteen at the most."""
    ids, file = [new_ticket() for _ in range(17)], tmp_path / "j"
    sandbox.faults = [Fault("reset", operation="comment_ticket")]
    assert workorder("comment", *ids, *WORDS, "--stop-after", 0, "--journal", file).code == 3
    sandbox.faults = [
        Fault("errno", operation="list_tickets", errno=90001),
        Fault("403", operation="get_ticket_detail", errno=90001, times=refused),
    ]
    ran = workorder("journal", "settle", file)
    sandbox.faults = []
    assert (ran.code, ran.out.count("still unknown")) == (code, 17 if code == 3 else 0), ran.err


def test_what_did_not_happen_is_sent_by_the_next_run(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int], tmp_path: Path
) -> None:
    """A close that was about to be sent and is not there did not happen."""
    store = sandbox._store
    clock, store.clock = store.clock, lambda: time.time() - 3600
    old, store.clock = new_ticket(), clock
    ids, file = [new_ticket(), old], tmp_path / "j"
    assert workorder("close", ids[0], *CLOSER, "--journal", file).code == 0
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(sealed(line.replace(f'"id":{ids[0]}'.encode(), f'"id":{ids[1]}'.encode()) for line in lines[:2]))
    begun_long_ago(file)
    ran = workorder("journal", "settle", file)
    assert (ran.code, ran.out) == (0, f"{ids[1]} close_ticket: did not happen; the next run sends it\n")
    assert workorder("journal", "show", file).out.splitlines()[2] == "1 not sent"


@pytest.mark.parametrize("command", ["show", "settle"])
def test_what_is_no_journal(workorder: Workorder, tmp_path: Path, command: str) -> None:
    """A file that is not there, or is none, is named; exit code 2."""
    (tmp_path / "ids").write_text("1473\n")
    for name, said in (("none", "does not exist"), ("ids", "line 1 of the journal"), ("", "")):
        ran = workorder("journal", command, tmp_path / name)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert said in ran.err


def test_another_platform_settles_nothing(workorder: Workorder, sandbox: Sandbox, journal: Path) -> None:
    """The journal of one platform is not settled by what another one has, nor where all reading is refused."""
    before = journal.read_bytes()
    ran = workorder("journal", "settle", journal, "--base-url", "http://127.0.0.1:1")
    assert (ran.code, ran.out) == (2, "")
    assert f"add --base-url {sandbox.environment['WORKORDER_BASE_URL']}" in ran.err
    reads = ("list_tickets", "get_ticket_detail")
    sandbox.faults = [Fault("errno", operation=read, errno=90001) for read in reads]
    refused = workorder("journal", "settle", journal)
    sandbox.faults = []
    assert (refused.code, refused.out, "errno 90001" in refused.err) == (1, "", True)
    assert journal.read_bytes() == before
