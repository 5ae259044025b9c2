"""`--mark` of `comment` and `create`: a short reference below the text, and shown wherever its outcome is."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.batches import begun_long_ago, sealed
from tests.support.cli_changes import CREATE, sent
from tests.support.cli_runs import Workorder, on_terminal
from workorder_async.sandbox import Fault, Sandbox

LOST = ["--timeout", 0.5]
_MARK = "[0-9a-f]{10}"


def mark_of(sandbox: Sandbox, operation: str, id: int, text: str) -> str:
    """Return the mark below the text that the sandbox took."""
    found = re.fullmatch(rf"{text}\n({_MARK})", str(sent(sandbox, operation, id)["detail"]))
    assert found, sent(sandbox, operation, id)
    return found[1]


def test_a_comment_has_a_mark_that_is_shown(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int]
) -> None:
    """The mark stands on a line of its own, each comment's is another one, and both outputs tell it."""
    id = new_ticket()
    ran = workorder("comment", id, "--detail", "已处理", "--mark")
    first = mark_of(sandbox, "comment_ticket", id, "已处理")
    assert (ran.code, ran.out) == (0, f"{id} commented, mark {first}\n")
    [row] = workorder("comment", id, "--detail", "已处理", "--mark", "--json").rows
    second = mark_of(sandbox, "comment_ticket", id, "已处理")
    assert (row["outcome"], row["mark"]) == ("done", second)
    assert first != second


def test_without_it_there_is_none(workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int]) -> None:
    """The control: people see a mark, and nobody gets one who did not ask."""
    id = new_ticket()
    [row] = workorder("comment", id, "--detail", "已处理", "--json").rows
    assert sent(sandbox, "comment_ticket", id) == {"id": id, "detail": "已处理"}
    assert "mark" not in row
    assert workorder(*CREATE, "--json").rows == [{"id": id + 1, "outcome": "created"}]
    assert sent(sandbox, "create_ticket", id + 1)["detail"] == "报错见附件"


@pytest.mark.parametrize("words", [["close", "--closer-id", 7, "--closer-name", "姜程"], ["reject"]])
def test_closes_and_rejections_take_none(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int], words: list[str]
) -> None:
    """They are settled without one, and a mark in their text would be for nothing."""
    id, before = new_ticket(), len(sandbox.applied)
    ran = workorder(*words, id, "--mark")
    assert (ran.code, ran.out, "--mark" in ran.err) == (2, "", True)
    assert len(sandbox.applied) == before


def test_a_creation_has_a_mark_that_is_shown(workorder: Workorder, sandbox: Sandbox) -> None:
    """It is told before the ticket is sent, so that not even a kill hides it, and with the number."""
    ran = workorder(*CREATE, "--mark")
    id = int(ran.out.split()[0])
    mark = mark_of(sandbox, "create_ticket", id, "报错见附件")
    assert (ran.code, ran.out) == (0, f"{id} created, mark {mark}\n")
    assert ran.err == f"workorder: below its text stands the mark {mark}\n"
    ran = workorder(*CREATE, "--mark", "--json")
    mark = mark_of(sandbox, "create_ticket", id + 1, "报错见附件")
    assert ran.rows == [{"id": id + 1, "outcome": "created", "mark": mark}]


def test_a_lost_creation_is_known_by_its_mark(workorder: Workorder, sandbox: Sandbox) -> None:
    """Beside an equal ticket of the same moment it is found, where without a mark nobody could tell."""
    assert workorder(*CREATE).code == 0
    sandbox.faults = [Fault("reset_after", operation="create_ticket", times=2)]
    lost, without = workorder(*CREATE, "--mark"), workorder(*CREATE, *LOST)
    sandbox.faults = []
    assert (lost.code, without.code) == (0, 3)
    id, mark = int(lost.out.split()[0]), lost.out.split()[-1]
    assert mark_of(sandbox, "create_ticket", id, "报错见附件") == mark


def test_a_lost_creation_that_is_not_found_leaves_its_mark(workorder: Workorder, sandbox: Sandbox) -> None:
    """Nobody knows what became of it, and its mark is what to look for."""
    sandbox.faults = [Fault("504_after", operation="create_ticket"), Fault("500", operation="list_tickets")]
    ran = workorder(*CREATE, "--mark", *LOST)
    sandbox.faults = []
    taken = sandbox.applied[-1]
    assert (ran.code, ran.out) == (3, "")
    assert mark_of(sandbox, "create_ticket", taken.ticket_id, "报错见附件") in ran.err


def test_an_unknown_comment_says_its_mark(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int], tmp_path: Path
) -> None:
    """Each ticket whose comment may be there is told with its mark; so say the JSON and the journal."""
    ids = [new_ticket() for _ in range(5)]
    sandbox.faults = [Fault("504_after", operation="comment_ticket"), Fault("500", operation="get_ticket_detail")]
    words = ["comment", *ids, "--detail", "已处理", "--mark", "--journal", tmp_path / "j", *LOST]
    ran = workorder(*words)
    sandbox.faults = []
    assert ran.code == 3
    marks = {id: mark_of(sandbox, "comment_ticket", id, "已处理") for id in ids}
    for id, mark in marks.items():
        assert ran.err.count(f"workorder: ticket {id} may be commented: look for the mark {mark}\n") == 1
    rows = workorder("journal", "show", tmp_path / "j", "--json").rows
    assert {row["id"]: row["mark"] for row in rows} == marks
    shown = workorder("journal", "show", tmp_path / "j").out
    assert all(f"mark {mark}" in shown for mark in marks.values())
    words[-2:] = ["--timeout", 0.5, "--json"]
    sandbox.faults = [Fault("500", operation="get_ticket_detail")]
    ran = workorder(*words)
    sandbox.faults = []
    assert ({row["id"]: row["mark"] for row in ran.rows}, "look for" in ran.err) == (marks, False)
    # As after a kill: the intents alone.
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "killed").write_bytes(sealed(line for line in lines if b'"outcome"' not in line[:11]))
    killed = workorder("journal", "show", tmp_path / "killed", "--json").rows
    assert {row["id"]: (row["outcome"], row["mark"]) for row in killed} == {
        id: ("unknown", mark) for id, mark in marks.items()
    }
    lines_told = workorder("journal", "report", tmp_path / "j").out.splitlines()[1:]
    assert {int(line.split("\t")[4]): line.rpartition("mark ")[2][:10] for line in lines_told} == marks
    settled = workorder("journal", "settle", tmp_path / "j", "--json")
    assert {row["id"]: (row["outcome"], row["mark"]) for row in settled.rows} == {
        id: ("done", mark) for id, mark in marks.items()
    }
    # The next run, with or without marks, is of the same comments.
    again = workorder("comment", *ids, "--detail", "已处理", "--journal", tmp_path / "j", "--json")
    assert [row["outcome"] for row in again.rows] == ["skipped"] * 5


def test_a_comment_that_did_not_come_is_sent_with_a_new_mark(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int], tmp_path: Path
) -> None:
    """By its mark it is known that it did not happen: the next run sends it, and says the new mark."""
    id = new_ticket()
    sandbox.faults = [Fault("reset", operation="comment_ticket"), Fault("500", operation="get_ticket_detail")]
    words = ["comment", id, "--detail", "已处理", "--mark", "--journal", tmp_path / "j"]
    lost = workorder(*words, *LOST)
    sandbox.faults = []
    assert (lost.code, "look for the mark" in lost.err) == (3, True)
    begun_long_ago(tmp_path / "j")
    ran = workorder(*words)
    assert ran.out == f"{id} commented, mark {mark_of(sandbox, 'comment_ticket', id, '已处理')}\n"
    assert sum(one.operation == "comment_ticket" and one.ticket_id == id for one in sandbox.applied) == 1


def test_what_was_not_sent_has_none(workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int]) -> None:
    """A mark that nobody can find is not told."""
    id = new_ticket()
    [row] = workorder(
        "comment", id, "--detail", "x", "--mark", "--json", "--timeout", 0.2, "--base-url", "http://127.0.0.1:1"
    ).rows
    assert (row["outcome"], "mark" in row) == ("not sent", False)


def test_a_batch_of_filters_says_that_it_marks(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int]
) -> None:
    """People see the marks: the dry run and the report say so."""
    id = new_ticket()
    words = ["comment", "--status", "pending", "--since", "today", "--detail", "已处理", "--mark"]
    ran = workorder(*words, "--dry-run")
    assert (ran.code, ", each with a mark below its text: nothing was changed\n" in ran.err) == (0, True)
    ran = workorder(*words, "--yes")
    assert ran.code == 0
    assert f"{id} commented, mark {mark_of(sandbox, 'comment_ticket', id, '已处理')}\n" in ran.out
    assert ran.err.endswith(", each with a mark below its text\n")


@pytest.mark.slow
def test_a_question_says_that_it_marks(sandbox: Sandbox, new_ticket: Callable[[], int], tmp_path: Path) -> None:
    """So does the question."""
    (tmp_path / "ids").write_text(str(new_ticket()))
    words = ["comment", "--from", tmp_path / "ids", "--detail", "x", "--mark"]
    with on_terminal({**sandbox.environment, "COLUMNS": "300"}, *words) as terminal:
        terminal.read_until(", each with a mark below its text? [y/N]")
        terminal.type("n\n")
        assert terminal.finish() == 2
