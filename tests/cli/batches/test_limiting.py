"""The brakes of a batch: --limit over all runs with a journal (cli/commands/batch.py), and --stop-after."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.support.cli_changes import CLOSER
from tests.support.cli_runs import SECRET, Ran, Workorder, elsewhere, on_terminal, runner
from tests.support.raw_server import http, serving
from tests.support.slow import slow_after
from workorder_async.cli.commands import batch
from workorder_async.sandbox import Fault, Sandbox

PENDING = ["close", "--closer-id", 7, "--as-creator", "--status", "pending", "--yes", "--json", "--concurrency", 1]


def outcomes(ran: Ran) -> list[str]:
    """Return the outcomes that were printed, in order."""
    return [row["outcome"] for row in ran.rows]


def closed(sandbox: Sandbox) -> int:
    """Count the tickets that were closed."""
    return sum(one.operation == "close_ticket" for one in sandbox.applied)


def test_a_limit_holds_over_all_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Over a filter that shows other tickets each time, runs with one journal change no more than the limit together.

    What was refused does not count, and what is unknown does.
    """
    with elsewhere(Sandbox(500, app_secret=SECRET)) as sandbox:
        workorder = runner(sandbox.environment, monkeypatch, capsys)
        words = [*PENDING, "--journal", tmp_path / "j"]
        sandbox.faults = [Fault("errno", operation="close_ticket", errno=90006, times=2)]
        first = workorder(*words, "--limit", 6)
        assert outcomes(first) == ["rejected"] * 2 + ["done"] * 4
        assert "--limit 6: " in first.err
        assert closed(sandbox) == 4
        # As after a crash: one was about to be sent, and has no outcome.
        lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
        (tmp_path / "j").write_bytes(b"".join(lines[:-1]))
        second = workorder(*words, "--limit", 10)
        assert "--limit 10, of which the journal counts 4: " in second.err
        assert closed(sandbox) == 10
        third = workorder(*words, "--limit", 10)
        assert (third.code, third.out, closed(sandbox)) == (0, "", 10)
        assert third.err.endswith("are left out\nthe limit is reached; nothing was sent\n")
        assert workorder(*words, "--limit", 12, "--dry-run").rows[2:] == []
        assert workorder(*PENDING, "--limit", 3).code == 0
        assert closed(sandbox) == 13


def test_what_a_journal_counts_is_skipped(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int], tmp_path: Path
) -> None:
    """Over a list, what was done is skipped and the limit's rest goes to the next tickets."""
    ids = [new_ticket() for _ in range(5)]
    words = ["comment", *ids, "--detail", "已处理", "--journal", tmp_path / "j", "--json", "--concurrency", 1]
    assert outcomes(workorder(*words, "--limit", 2)) == ["done"] * 2
    assert outcomes(workorder(*words, "--limit", 4)) == ["skipped"] * 2 + ["done"] * 2
    assert outcomes(workorder(*words, "--limit", 4)) == ["skipped"] * 4
    assert outcomes(workorder(*words)) == ["skipped"] * 4 + ["done"]


def test_what_is_refused_each_time(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[..., int], tmp_path: Path
) -> None:
    """It takes the room of no other ticket in the next run; a dry run shows what that one does."""
    ids = [new_ticket("姜程程"), new_ticket("姜程程"), new_ticket(), new_ticket()]
    words = ["close", *ids, *CLOSER, "--json", "--concurrency", 1, "--journal", tmp_path / "j", "--limit", 2]
    assert outcomes(workorder(*words)) == ["rejected"] * 2
    assert [row["request"]["id"] for row in workorder(*words, "--dry-run").rows] == ids[2:]
    assert outcomes(workorder(*words)) == ["done"] * 2
    dry = workorder(*words[:-2], "--dry-run")
    assert [row["request"]["id"] for row in dry.rows] == ids[:2]
    shown = workorder(*(word for word in words[:-2] if word != "--json"), "--dry-run")
    assert f"{ids[3]}\t\t\tnothing: it is done, says the journal\t" in shown.out
    assert "4 tickets in all; by the journal 2 done" in shown.err


def test_a_dry_run_tells_what_may_have_happened(
    workorder: Workorder, new_ticket: Callable[[], int], tmp_path: Path
) -> None:
    """A change that an earlier run sent without an outcome is looked for before anything is sent."""
    ids = [new_ticket(), new_ticket(), new_ticket()]
    words = ["comment", "--detail", "已处理", "--journal", tmp_path / "j", "--concurrency", 1]
    assert workorder(*words, *ids[:2]).code == 0
    *begun, _ = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b"".join(begun))
    shown = workorder(*words, *ids, "--dry-run")
    _, unknown, new = shown.out.splitlines()
    assert unknown.split("\t")[3] == "may have happened: comment: 已处理"
    assert new.split("\t")[3] == "comment: 已处理"
    assert "3 tickets in all; by the journal 1 done, 1 that may have happened" in shown.err
    assert "looks for as well" not in shown.err
    others = "changes with unknown outcomes in the journal, which the run looks for as well: 1\n"
    assert others in workorder(*words, ids[2], "--dry-run").err


def test_a_question_tells_what_may_have_happened(
    workorder: Workorder, new_ticket: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tickets of a file are read to be shown before the question; the journal's words for them stay."""
    ids = [new_ticket(), new_ticket()]
    (tmp_path / "ids").write_text("".join(f"{id}\n" for id in ids))
    journal, numbers = tmp_path / "j", tmp_path / "ids"
    words = ["comment", "--detail", "已处理", "--journal", journal, "--from", numbers, "--concurrency", 1]
    assert workorder(*words, "--yes").code == 0
    *begun, _ = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b"".join(begun))
    monkeypatch.setattr(batch, "can_ask", lambda: True)
    monkeypatch.setattr(batch, "confirms", lambda _question: False)
    asked = workorder(*words)
    assert asked.code == 2
    assert "nothing: it is done, says the journal" in asked.err
    assert "may have happened: comment: 已处理" in asked.err
    assert "by the journal 1 done, 1 that may have happened" in asked.err


def test_what_was_done_before_counts(workorder: Workorder, new_ticket: Callable[[], int], tmp_path: Path) -> None:
    """A ticket that somebody else had closed is done, and counts: the limit is of tickets, not of requests."""
    ids = [new_ticket(), new_ticket()]
    assert workorder("close", ids[0], *CLOSER).code == 0
    words = ["close", *ids, *CLOSER, "--json", "--journal", tmp_path / "j", "--limit", 1]
    assert [outcomes(workorder(*words)) for _ in range(2)] == [["already"], ["skipped"]]


@pytest.mark.slow
def test_a_limit_holds_though_another_run_went_on_meanwhile(
    sandbox: Sandbox, workorder: Workorder, new_ticket: Callable[[], int], tmp_path: Path
) -> None:
    """What another run did while somebody was asked counts."""
    ids = [new_ticket() for _ in range(4)]
    (tmp_path / "ids").write_text("".join(f"{id}\n" for id in ids[:2]))
    words = ["comment", "--detail", "已处理", "--journal", tmp_path / "j", "--limit", 3, "--concurrency", 1]
    with on_terminal(sandbox.environment, *words, "--from", tmp_path / "ids") as terminal:
        terminal.read_until("2 tickets on WORKORDER_BASE_URL (")
        assert workorder(*words, *ids[2:]).code == 0
        terminal.type("y\n")
        assert terminal.finish() == 1
    assert b"stopped: --limit 3 is reached, for another run with this journal went on meanwhile" in terminal.seen
    assert b"1 done, 1 not sent in " in terminal.seen
    assert [one.ticket_id for one in sandbox.applied[-3:]] == [ids[2], ids[3], ids[0]]


@pytest.mark.parametrize("words", [["--limit", "0"], ["--stop-after", "-1"]])
def test_what_cannot_be_meant_is_refused(workorder: Workorder, words: list[str]) -> None:
    """A limit of nothing, and a count below 0."""
    ran = workorder("reject", 7, *words)
    assert (ran.code, "Must be >= " in ran.err) == (2, True)


def test_no_limit_by_what_is_no_journal(workorder: Workorder, sandbox: Sandbox, tmp_path: Path) -> None:
    """A file that is none ends it before anything is sent."""
    (tmp_path / "j").write_text("1473\n")
    before = sandbox.requests
    ran = workorder("reject", 7, "--limit", 1, "--journal", tmp_path / "j")
    assert (ran.code, ran.out, ran.err.count("\n"), sandbox.requests) == (2, "", 1, before)
    assert "line 1 of the journal" in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("journal", [True, False])
def test_a_server_that_stays_away_ends_a_batch(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, journal: bool
) -> None:
    """Once nothing got through for long enough, it says so, how to go on, and an equal error once."""
    monkeypatch.setattr(batch, "_OUTAGE", 1.0)
    (tmp_path / "ids").write_text("".join(f"{id}\n" for id in range(1, 2001)))
    words = ["comment", "--detail", "x", "--from", tmp_path / "ids", "--yes", "--base-url", "http://127.0.0.1:1"]
    words += ["--journal", tmp_path / "j"] if journal else []
    ran = workorder(*words)
    assert ran.code == 1
    why, error, counts, how = ran.err.splitlines()[-4:]
    assert why.startswith("workorder: stopped: nothing got through for ")
    assert error.startswith("workorder: tickets ")
    assert counts.startswith("2,000 not sent in ")
    assert how.startswith("run again with the same --journal" if journal else "nothing was done: the same line can be")


@pytest.mark.parametrize(("count", "tried"), [(5, 5), (0, 40)])
def test_it_stops_after_so_many(workorder: Workorder, sandbox: Sandbox, tmp_path: Path, count: int, tried: int) -> None:
    """--stop-after N stops after N failures in a row, and 0 never does."""
    del sandbox
    refused = http(orjson.dumps({"errno": 23000, "errmsg": "no", "request_id": "r-1"}))
    with elsewhere(serving(refused)) as wire:
        ran = workorder(
            *("reject", *range(1, 41), "--json", "--stop-after", count, "--concurrency", 1, "--base-url", wire.url)
        )
        assert outcomes(ran) == ["rejected"] * tried + ["not sent"] * (40 - tried)
    assert ran.code == 1


def test_a_success_in_between_goes_on(workorder: Workorder, new_ticket: Callable[[], int]) -> None:
    """Failures count only where they come in a row."""
    ids = [10**9, 10**9 + 1, new_ticket(), 10**9 + 2, 10**9 + 3, new_ticket()]
    ran = workorder("close", *ids, *CLOSER, "--json", "--stop-after", 3, "--concurrency", 1)
    assert outcomes(ran) == ["rejected", "rejected", "done", "rejected", "rejected", "done"]


@pytest.mark.parametrize("limit", slow_after(1, [["--limit", 2], []]))
def test_what_a_run_left_unknown_is_looked_for_though_nothing_is_left_to_be_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, limit: list[object]
) -> None:
    """Where the limit is reached, and where no ticket matches: a close that was lost is no success before it is known.

    Files for the closes are not uploaded then, for there are none, and a dry run looks for nothing.
    """
    with elsewhere(Sandbox(60, app_secret=SECRET)) as sandbox:
        workorder = runner(sandbox.environment, monkeypatch, capsys)
        words = [*PENDING, "--journal", tmp_path / "j", "--attach", Path(__file__), *limit]
        assert workorder(*words).code == 0
        # As after a crash: the last one was about to be sent, and has no outcome.
        *begun, ended = (tmp_path / "j").read_bytes().splitlines(keepends=True)
        (tmp_path / "j").write_bytes(b"".join(begun))
        before = sandbox.requests
        ran = workorder(*words, "--dry-run")
        assert (ran.code, ran.out, (tmp_path / "j").read_bytes()) == (0, "", b"".join(begun))
        assert "changes with unknown outcomes in the journal, which the run looks for as well: 1\n" in ran.err
        ran = workorder(*words)
        lost = [(orjson.loads(ended)["ticket_id"], "done")]
        assert (ran.code, [(row["id"], row["outcome"]) for row in ran.rows]) == (0, lost)
        sandbox.faults = [Fault("errno", operation="get_ticket_detail", errno=90005)]
        (tmp_path / "j").write_bytes(b"".join(begun))
        assert workorder(*words).code == 3
        after = sandbox.requests
        assert (after["upload_file"], after["close_ticket"]) == (before["upload_file"], before["close_ticket"])
