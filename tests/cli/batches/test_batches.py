"""cli/commands/batch.py: many tickets by one command: which, shown, confirmed, carried out, told."""

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson
import pytest

from tests.support.cli_runs import (
    SECRET,
    Workorder,
    child_environment,
    elsewhere,
    in_child,
    on_terminal,
    runner,
    start,
)
from tests.support.raw_server import http, serving
from tests.support.slow import slow_after, slow_but_every
from workorder_async.batches import hold
from workorder_async.sandbox import Fault, Sandbox

CLOSER = ["--closer-id", "40084", "--closer-name", "姜程"]
COMMANDS = [["close", *CLOSER], ["comment", "--detail", "已处理"], ["reject"]]
OK = http(orjson.dumps({"errno": 10000, "data": {"id": 1}, "request_id": "r-1"}))


@pytest.fixture
def workorder(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Workorder:
    """Run command lines in this process, against the sandbox, with nothing on stdin."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    return runner(sandbox.environment, monkeypatch, capsys)


@pytest.fixture
def listed(tmp_path: Path) -> Callable[[Iterable[object]], Path]:
    """Return what writes a file with a line each."""

    def write(lines: Iterable[object]) -> Path:
        path = tmp_path / "ids.txt"
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return path

    return write


def changed(sandbox: Sandbox, operation: str, ids: Iterable[int]) -> list[int]:
    """Return which of these tickets the sandbox changed so, in order of their numbers, as often as it did."""
    wanted = set(ids)
    return sorted(one.ticket_id for one in sandbox.applied if one.operation == operation and one.ticket_id in wanted)


def on(sandbox: Sandbox) -> str:
    """Return how a batch names the platform."""
    return f"WORKORDER_BASE_URL ({sandbox.url})"


def outcomes(rows: Iterable[dict[str, object]]) -> dict[object, object]:
    """Return the outcome of each ticket."""
    return {row["id"]: row["outcome"] for row in rows}


@pytest.mark.parametrize("counts_more", [False, True])
def test_filters_that_may_miss_a_ticket_say_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], counts_more: bool
) -> None:
    """A batch of a list that counts more than it shows says that a ticket may be missing, why, and what to do."""
    faults = [Fault("total", number=200)] if counts_more else []
    with elsewhere(Sandbox(120, page_size_cap=5, faults=faults, app_secret=SECRET)) as in_fives:
        ran = runner(in_fives.environment, monkeypatch, capsys)("close", *CLOSER, "--status", "pending", "--dry-run")
    words = r"^a ticket may be missing here: the list counts 200 .*; run it again to find"
    missing = re.search(words, ran.err, re.MULTILINE)
    assert (ran.code, missing is not None, "missing" in ran.err) == (0, counts_more, counts_more)


@pytest.mark.parametrize(
    ("filters", "passes"),
    slow_but_every(
        2,
        [
            (["--status", "pending,processing"], True),
            (["--status", "processing,closed,pending", "--type", "1"], True),
            (["--status", "pending"], False),
            (["--type", "1"], False),
            (["--status", "pending,pending"], False),
        ],
    ),
)
@pytest.mark.parametrize("command", [["close", *CLOSER, "--dry-run"], ["comment", "--detail", "x", "--yes"], ["list"]])
def test_a_ticket_may_pass_from_one_status_to_the_other(
    workorder: Workorder, command: list[str], filters: list[str], passes: bool
) -> None:
    """Several statuses are several questions, and a ticket may change between them: that is said, as by an export."""
    ran = workorder(*command, *filters, *["--limit", 0] * (command == ["list"]))
    said = [line for line in ran.err.splitlines() if "whose status changed may have passed from one query" in line]
    assert (ran.code, len(said)) == (0, passes)


@pytest.mark.parametrize("command", slow_after(1, COMMANDS))
def test_a_file_of_tickets_is_changed_once_each(
    workorder: Workorder,
    sandbox: Sandbox,
    new_ticket: Callable[..., int],
    listed: Callable[..., Path],
    command: list[str],
) -> None:
    """`--from FILE --yes` shows what will be done, does it once to each ticket, and reports."""
    ids = [new_ticket() for _ in range(25)]
    file = listed(["\ufeff# the night's tickets", "", *ids, f"  {ids[0]}  # again"])
    ran = workorder(*command, "--from", file, "--yes")
    assert ran.code == 0
    assert changed(sandbox, f"{command[0]}_ticket", ids) == ids
    assert sorted(int(line.split()[0]) for line in ran.out.splitlines()) == ids
    *shown, more, report = ran.err.splitlines()
    assert [line.split("\t")[0] for line in shown] == [str(id) for id in ids[:20]]
    assert all(command[0] in line for line in shown)
    assert more == "... and 5 more, 25 tickets in all"
    assert report.startswith("25 done in ")


def test_a_batch_that_failed_in_part_goes_on(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[..., int], listed: Callable[..., Path], tmp_path: Path
) -> None:
    """Run again with its journal, what is done is skipped and what failed is tried; all is done once in the end."""
    ids = [new_ticket() for _ in range(6)]
    assert workorder("close", ids[0], *CLOSER).code == 0
    words = [
        "close",
        *CLOSER,
        "--from",
        listed(ids),
        "--yes",
        "--json",
        "--journal",
        tmp_path / "closes of today",
        "--concurrency",
        1,
    ]
    sandbox.faults = [Fault("errno", operation="close_ticket", errno=90006, after=2, times=1)]
    first, second = workorder(*words), workorder(*words)
    sandbox.faults = []
    assert first.code == 1
    assert [row["outcome"] for row in first.rows] == ["already", "done", "rejected", "done", "done", "done"]
    assert (first.rows[2]["errno"], first.rows[2]["id"]) == (90006, ids[2])
    assert first.rows[2]["request_id"]
    assert f"run again with the same --journal '{tmp_path / 'closes of today'}' to go on" in first.err
    assert second.code == 0
    assert outcomes(second.rows) == {id: "done" if id == ids[2] else "skipped" for id in ids}
    assert changed(sandbox, "close_ticket", ids) == ids


def test_a_journal_of_another_batch_is_refused(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[..., int], tmp_path: Path
) -> None:
    """A journal of other words or another command stops the command before anything is sent."""
    ids = [new_ticket(), new_ticket()]
    assert workorder("comment", ids[0], "--detail", "甲", "--journal", tmp_path / "j").code == 0
    for words in (["comment", ids[1], "--detail", "乙"], ["reject", ids[1]]):
        ran = workorder(*words, "--journal", tmp_path / "j")
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert "belongs to another batch" in ran.err
        assert "comment: 甲" in ran.err
    assert changed(sandbox, "comment_ticket", ids) == ids[:1]
    assert changed(sandbox, "reject_ticket", ids) == []


def test_a_longer_list_goes_on_with_its_journal(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[..., int], listed: Callable[..., Path], tmp_path: Path
) -> None:
    """The journal knows tickets, not lists: a ticket added to the file is the only one that is changed."""
    ids = [new_ticket() for _ in range(3)]
    words = ["comment", "--detail", "已处理", "--yes", "--json", "--journal", tmp_path / "j", "--from"]
    assert workorder(*words, listed(ids[:2])).code == 0
    again = workorder(*words, listed(ids))
    assert outcomes(again.rows) == {ids[0]: "skipped", ids[1]: "skipped", ids[2]: "done"}
    assert changed(sandbox, "comment_ticket", ids) == ids


@pytest.mark.parametrize("as_json", [False, True])
def test_a_dry_run_changes_nothing(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[..., int], as_json: bool
) -> None:
    """`--dry-run` prints what would be sent, and only reads; it needs nobody to confirm."""
    mine, others = new_ticket(), new_ticket("田金秀")
    before = len(sandbox.applied), dict(sandbox.requests)
    words = ["close", mine, others, "--closer-id", 40084, "--as-creator", "--solved-time", 1706664600, "--dry-run"]
    ran = workorder(*words, *(["--json"] if as_json else []))
    place = f"{on(sandbox)}, solved 2024-01-31 09:30:00+08:00"
    assert (ran.code, ran.err.splitlines()[-1]) == (0, f"a dry run on {place}: nothing was changed")
    asked = {name: count - before[1].get(name, 0) for name, count in sandbox.requests.items()}
    assert {name: count for name, count in asked.items() if count} == {"get_ticket": 2}
    assert len(sandbox.applied) == before[0]
    if as_json:
        assert [row["operation"] for row in ran.rows] == ["close_ticket"] * 2
        assert [row["request"] for row in ran.rows] == [
            {"id": mine, "closer_id": 40084, "closer_name": "姜程", "solved_time": 1706664600},
            {"id": others, "closer_id": 40084, "closer_name": "田金秀", "solved_time": 1706664600},
        ]
    else:
        assert ran.out == (
            f"{mine}\t待处理\t0min\tclose as 40084 姜程\t实例无法启动\n"
            f"{others}\t待处理\t0min\tclose as 40084 田金秀\t实例无法启动\n"
        )


def test_each_creators_name_closes_a_ticket(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[..., int], listed: Callable[..., Path]
) -> None:
    """With --as-creator every ticket that can be read is closed in its creator's name, and the others are told."""
    ids = [new_ticket("姜程"), new_ticket("田金秀")]
    ran = workorder("close", "--from", listed([*ids, 10**9]), "--closer-id", 7, "--as-creator", "--yes", "--json")
    assert ran.code == 1
    assert outcomes(ran.rows) == {ids[0]: "done", ids[1]: "done", 10**9: "not sent"}
    assert changed(sandbox, "close_ticket", ids) == ids
    assert f"{10**9}\t\t\tnothing: get_ticket: errno 90005" in ran.err
    assert workorder("close", 10**9, "--closer-id", 7, "--as-creator", "--dry-run").code == 1


def test_filters_choose_tickets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Filters are those of `list`: every ticket that matches is changed, and no other."""
    with elsewhere(Sandbox(500, app_secret=SECRET)) as sandbox:
        workorder = runner(sandbox.environment, monkeypatch, capsys)
        pending = sorted(row["id"] for row in workorder("list", "--status", "pending", "--limit", 0, "--json").rows)
        line = ["--product-group", 36]
        of_line = sorted(row["id"] for row in workorder("list", *("--product-group", 36, "--limit", 0), "--json").rows)
        assert len(pending) > 20
        assert 0 < len(of_line) < 500
        ran = workorder("close", "--status", "pending", "--closer-id", 7, "--as-creator", "--yes")
        assert workorder("comment", *line, "--detail", "x", "--as-product-group", 1, "--yes").code == 0
        none = workorder("close", "--status", "pending", *CLOSER, "--yes")
        assert ran.code == 0
        assert f"\n... and {len(pending) - 20} more, {len(pending)} tickets in all\n" in ran.err
        assert changed(sandbox, "close_ticket", range(10**6)) == pending
        assert changed(sandbox, "comment_ticket", range(10**6)) == of_line
        assert (none.code, none.out, none.err) == (0, "", f"no ticket matches on {on(sandbox)}\n")


@pytest.mark.parametrize(
    ("words", "content", "said"),
    [
        (
            ["reject"],
            b"",
            "must be chosen in one way; name them by IDS, by --from FILE, or by filters such as --status pending",
        ),
        (["close", *CLOSER], b"", "the tickets must be chosen in one way"),
        (["close", "--closer-id", "1", "7"], b"", "either --closer-name, or --as-creator"),
        (["close", *CLOSER, "--as-creator", "7"], b"", "either --closer-name, or --as-creator"),
        (["reject", "7", "--from", "-"], b"7", "the tickets must be chosen in one way"),
        (["reject", "7", "--status", "1"], b"", "the tickets must be chosen in one way"),
        (["reject", "--from", "-", "--status", "1"], b"7", "the tickets must be chosen in one way"),
        (["reject", "--status", "1"], b"", "nobody is there to be asked; add --yes, or look first with --dry-run"),
        (["reject", "--from", "-"], b"7", "nobody is there to be asked"),
        (["reject", "--from", "-", "--yes"], b"7\n\n# 8\nseven\n", "line 4 of stdin is 'seven'"),
        (["reject", "--from", "-", "--yes"], b"7\n0\n", "line 2 of stdin is '0'"),
        (
            ["reject", "--from", "-", "--yes"],
            b"7 8\n",
            "line 1 of stdin does not name the column",
        ),
        (["reject", "--from", "-", "--yes"], b"1" * 5000, "line 1 of stdin is '1111"),
        (["reject", "--from", "-", "--yes"], b"caf\xe9\n", "stdin is not UTF-8"),
        (["comment", "--from", "-", "--detail", "-", "--yes"], b"7", "--detail - and --from - cannot go together"),
        (["reject", "--from", "none.txt", "--yes"], b"", "--from none.txt: No such file or directory"),
        (["reject", "7", "8", "-1"], b"", "ID is -1; it must be from 1"),
        (["reject", "7", "--concurrency", "0"], b"", "Must be >= 1"),
        (["reject", "7", "--concurrency", "10001"], b"", "Must be <= 10000"),
        (["comment", "--status", "1", "--detail", " ", "--yes"], b"", "--detail is empty"),
        (["reject", "--product-group", "0", "--yes"], b"", "--product-group is 0"),
    ],
)
def test_a_batch_that_cannot_be_meant_is_refused(
    workorder: Workorder,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    content: bytes,
    said: str,
) -> None:
    """Tickets named in no way or in two, a bad line, nobody to confirm: exit code 2, one sentence, nothing sent."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    before = sandbox.requests
    ran = workorder(*words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert sandbox.requests == before


def test_an_empty_file_is_no_failure(workorder: Workorder, listed: Callable[..., Path]) -> None:
    """A file that names no ticket leaves nothing to do."""
    ran = workorder("reject", "--from", listed(["# none today"]), "--yes")
    assert (ran.code, ran.out, ran.err) == (0, "", "--from names no ticket\n")


def test_the_exit_code_says_how_it_ended(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[..., int]
) -> None:
    """0: all is done, now or before; 1: refused or not sent; 3: an outcome that is not known, whatever else failed."""
    ids = [new_ticket() for _ in range(3)]
    others = new_ticket("田金秀")
    assert workorder("close", ids[0], *CLOSER).out == f"{ids[0]} closed\n"
    again = workorder("close", ids[0], *CLOSER)
    assert (again.code, again.out, again.err) == (0, f"{ids[0]} closed already\n", "")
    refused = workorder("close", ids[1], others, *CLOSER)
    assert refused.code == 1
    assert f"workorder: ticket {others}: close_ticket: errno 90006" in refused.err
    assert "\n1 done, 1 rejected in " in refused.err
    sandbox.faults = [Fault("reset", operation="comment_ticket", times=1)]
    unknown = workorder("comment", ids[2], 10**9, "--detail", "已处理", "--concurrency", 1, "--timeout", 1)
    sandbox.faults = []
    assert unknown.code == 3
    assert "1 rejected, 1 unknown" in unknown.err
    assert changed(sandbox, "comment_ticket", ids) == []


def test_what_was_not_tried_is_told(workorder: Workorder, listed: Callable[..., Path]) -> None:
    """Where nobody is let in the batch stops, and every ticket that it did not come to is told as not sent."""
    barred = http(orjson.dumps({"errno": 1, "errmsg": "no", "request_id": "r-1"}), "401 Unauthorized")
    with elsewhere(serving(barred)) as wire:
        words = ["reject", "--from", listed(range(1, 51)), "--yes", "--json", "--concurrency", 2]
        ran = workorder(*words, "--base-url", wire.url)
        assert len(wire.requests) < 5
    assert ran.code == 1
    assert sorted(row["id"] for row in ran.rows) == list(range(1, 51))
    assert {row["outcome"] for row in ran.rows} == {"rejected", "not sent"}
    assert "workorder: stopped: authentication failed: " in ran.err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the device that is always full is Linux's")
def test_a_full_disk_stops_it(workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[..., int]) -> None:
    """A journal that cannot be written exits with 2, and nothing is sent, no file either."""
    id = new_ticket()
    before = sandbox.requests
    ran = workorder("close", id, *CLOSER, "--attach", __file__, "--journal", "/dev/full", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("workorder: cannot open the journal '/dev/full': ")
    assert ran.err.count("\n") == 1
    assert sandbox.requests == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a shell's limit makes the file too large")
def test_a_disk_that_fills_up_loses_nothing(
    sandbox: Sandbox, new_ticket: Callable[..., int], listed: Callable[..., Path], tmp_path: Path
) -> None:
    """Where the journal cannot grow, what was sent is told and the rest is not sent; run again, each is done once.

    What the journal says to have been about to be sent, and is not there, stays unknown: it has no mark.
    """
    ids = [new_ticket() for _ in range(20)]
    words = [
        "comment",
        "--detail",
        "已处理",
        "--from",
        str(listed(ids)),
        "--yes",
        "--json",
        "--journal",
        str(tmp_path / "j"),
    ]
    command = [sys.executable, "-m", "workorder_async", *words, "--concurrency", "3"]
    limited = ["sh", "-c", 'ulimit -f 3; exec "$0" "$@"', *command]
    environment = child_environment(sandbox.environment)
    first = subprocess.run(limited, check=False, capture_output=True, env=environment)
    done = changed(sandbox, "comment_ticket", ids)
    told = outcomes(map(orjson.loads, first.stdout.splitlines()))
    assert first.returncode == 1
    assert b"cannot write the journal" in first.stderr
    assert 0 < len(done) < 20
    assert told == {id: "done" if id in done else "not sent" for id in ids}
    second = subprocess.run([*command, "--timeout", "1"], check=False, capture_output=True, env=environment)
    told = outcomes(map(orjson.loads, second.stdout.splitlines()))
    unknown = {id for id, outcome in told.items() if outcome == "unknown"}
    assert unknown.isdisjoint(done)
    assert len(unknown) <= 3
    assert second.returncode == (3 if unknown else 0)
    assert changed(sandbox, "comment_ticket", ids) == [id for id in ids if id not in unknown]


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 2), ("\n", 2)])
def test_it_asks_on_a_terminal(
    sandbox: Sandbox, new_ticket: Callable[..., int], listed: Callable[..., Path], typed: str, code: int
) -> None:
    """On a terminal the tickets are shown and nothing is sent before y was typed; then there is a report."""
    id = new_ticket()
    file = listed([id])
    with on_terminal(sandbox.environment, "comment", "--from", file, "--detail", "已处理") as terminal:
        terminal.read_until("comment: 已处理: 1 ticket on WORKORDER_BASE_URL (")
        assert str(id).encode() in terminal.seen
        assert changed(sandbox, "comment_ticket", [id]) == []
        terminal.type(typed)
        assert terminal.finish() == code
    assert changed(sandbox, "comment_ticket", [id]) == ([id] if code == 0 else [])
    assert (b"1 done in " in terminal.seen) is (code == 0)


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [False, True])
def test_a_reader_that_goes_away_stops_it(
    sandbox: Sandbox, new_ticket: Callable[..., int], listed: Callable[..., Path], as_json: bool
) -> None:
    """Where stdout is read no further, the batch stops, and stderr tells what became of all tickets."""
    ids = [new_ticket() for _ in range(30)]
    words = ["comment", "--from", listed(ids), "--detail", "已处理", "--yes", "--concurrency", 2]
    reader, writer = os.pipe()
    with start(sandbox.environment, *words, *(["--json"] if as_json else []), stdout=writer) as child:
        os.close(writer)
        os.close(reader)
        err = child.communicate(timeout=20)[1].decode()
    assert child.returncode == 141
    assert "\nworkorder: stopped: the reader of the output went away\n" in err
    done = changed(sandbox, "comment_ticket", ids)
    assert 0 < len(done) < 30
    assert f"{len(done)} done, {30 - len(done)} not sent in " in err


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the device that is always full is Linux's")
@pytest.mark.parametrize(("number", "as_json"), [(1, False), (1, True), (3, False), (3, True)])
def test_a_full_disk_of_results_hides_no_change(
    sandbox: Sandbox, new_ticket: Callable[..., int], number: int, as_json: bool
) -> None:
    """Where stdout takes no line, stderr tells how many tickets were changed, of one too, and what to do."""
    ids = [new_ticket() for _ in range(number)]
    words = ["comment", *ids, "--detail", "已处理", "--concurrency", 1, *(["--json"] if as_json else [])]
    with Path("/dev/full").open("wb") as full:
        ran = in_child(sandbox.environment, *words, stdout=full)
    assert (ran.code, changed(sandbox, "comment_ticket", ids)) == (1, ids[:1])
    stopped, counts, mend, why = ran.err.splitlines()
    assert stopped == "workorder: stopped: stdout: No space left on device"
    assert counts.startswith("1 done in " if number == 1 else "1 done, 2 not sent in ")
    assert mend.startswith("all of it is done: do not run" if number == 1 else "do not run the same line again")
    assert why == "workorder: No space left on device: stdout"


@pytest.mark.slow
@pytest.mark.parametrize("columns", ["48", "80"])
def test_long_texts_leave_the_numbers_to_be_seen(
    sandbox: Sandbox, new_ticket: Callable[..., int], listed: Callable[..., Path], columns: str
) -> None:
    """However long texts are, what is to be confirmed is shown with its number, whole."""
    ids = [new_ticket() for _ in range(3)]
    words = ["comment", "--from", listed(ids), "--detail", "已处理并回访客户" * 12, "--dry-run"]
    with on_terminal({**sandbox.environment, "COLUMNS": columns}, *words) as terminal:
        assert terminal.finish() == 0
    lines = terminal.seen.decode().splitlines()
    rows = [line for line in lines if line[:1].isdigit()][:3]
    assert [line.split()[0] for line in rows] == [str(id) for id in ids]
    assert all("comment" in line for line in rows)


@pytest.mark.parametrize("text", slow_after(2, ["- step 1", "-5 degrees", "--- begin log\n--quit", "-- ", "-1,5"]))
def test_a_text_may_begin_with_a_dash(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[..., int], text: str
) -> None:
    """What names no option is the text of the option before it."""
    id = new_ticket()
    assert workorder("comment", id, "--detail", text).code == 0
    assert sandbox.applied[-1].request == {"id": id, "detail": text}


def test_two_dashes_end_the_options(workorder: Workorder) -> None:
    """They are no value of the option before them, also of one that takes none."""
    ran = workorder("comment", "--detail", "x", "--dry-run", "--json", "--", 1473)
    assert ran.rows == [{"operation": "comment_ticket", "request": {"id": 1473, "detail": "x"}}]
    assert "--detail needs a value" in workorder("comment", "--detail", "--", 1473).err


@pytest.mark.slow
def test_a_bar_counts_outcomes(listed: Callable[..., Path]) -> None:
    """A batch that takes its time shows a bar with a count for each state, and no line for each ticket."""
    with elsewhere(Sandbox(40, latency=0.2, app_secret=SECRET)) as slow:
        file = listed([*range(1001, 1011), *range(5001, 5011)])
        words = ["comment", "--from", file, "--yes", "--detail", "x", "--concurrency", 2]
        with on_terminal(slow.environment, *words) as terminal:
            terminal.read_until("commenting: 10 done, ")
            terminal.read_until("/20")
            assert terminal.finish() == 1
    assert b"10 done, 10 rejected in " in terminal.seen
    assert b"1001 commented" not in terminal.seen


@pytest.mark.parametrize("form", slow_after(1, ["from", "named", "json"]))
@pytest.mark.parametrize("pauses", [True, False])
def test_what_holds_a_batch_back_is_told(
    workorder: Workorder,
    sandbox: Sandbox,
    new_ticket: Callable[..., int],
    listed: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    pauses: bool,
) -> None:
    """While the server wants a pause a line says so, once, in every form; control: without a pause no line does."""
    monkeypatch.setattr(hold, "_TOLD_EVERY", 0.02)
    ids = [new_ticket() for _ in range(3)]
    words = [ids[0]] if form == "named" else ["--from", listed(ids), "--yes", *["--json"] * (form == "json")]
    sandbox.faults = [Fault("429", operation="close_ticket", retry_after=1, times=1)] if pauses else []
    ran = workorder("close", *CLOSER, *words)
    assert ran.code == 0
    said = [line for line in ran.err.splitlines() if "held back" in line]
    assert said == ["workorder: held back: the server turned requests away: none may start for 1 s more"] * pauses


@pytest.mark.slow
@pytest.mark.parametrize("journal", [False, True])
def test_ctrl_c_lets_what_is_under_way_end(
    sandbox: Sandbox, listed: Callable[..., Path], tmp_path: Path, journal: bool
) -> None:
    """Ctrl-C sends nothing more, waits for what was sent, reports it, and exits with 130; the journal goes on."""
    asked, answer = threading.Event(), threading.Event()

    async def when_told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.to_thread(answer.wait, 20)
        writer.write(OK)
        await writer.drain()

    words = ["reject", "--from", listed([7, 8, 9]), "--yes", "--json", "--concurrency", 1]
    words += ["--journal", tmp_path / "j"] if journal else []
    with elsewhere(serving(when_told)) as wire:
        environment = {**sandbox.environment, "WORKORDER_BASE_URL": wire.url}
        with start(environment, *words) as child:
            assert asked.wait(20)
            child.send_signal(signal.SIGINT)
            assert child.stderr is not None
            while b"waiting up to 10 s" not in child.stderr.readline():
                assert child.poll() is None
            answer.set()
            out, err = child.communicate(timeout=20)
        assert len(wire.requests) == 1
        assert child.returncode == 130
        assert outcomes(map(orjson.loads, out.splitlines())) == {7: "done", 8: "not sent", 9: "not sent"}
        assert b"\n1 done, 2 not sent in " in err
        assert (b"run again with the same --journal" in err) is journal
        if journal:
            with start(environment, *words) as child:
                out, err = child.communicate(timeout=20)
            assert outcomes(map(orjson.loads, out.splitlines())) == {7: "skipped", 8: "done", 9: "done"}
            assert len(wire.requests) == 3


NOTHING = "nothing was done: the same line can be run again"
CLOSE = ["close", "--closer-id", 7, "--closer-name", "x"]


@pytest.mark.parametrize(
    ("words", "some_done", "how"),
    [
        (CLOSE, False, "run the same line again to go on: tickets that are closed already"),
        (["reject"], True, "run the same line again to go on: tickets that are rejected already"),
        ([*CLOSE, "--limit", 2], False, NOTHING),
        (["reject", "--limit", 2], True, "the same line may go beyond --limit"),
        (["comment", "--detail", "x"], False, NOTHING),
        (["comment", "--detail", "x"], True, "do not run the same line again, nor with --journal"),
    ],
)
def test_how_to_go_on(
    workorder: Workorder, new_ticket: Callable[..., int], words: list[object], how: str, *, some_done: bool
) -> None:
    """Without a journal what is closed or rejected is not done twice; a comment would be, and a limit counts anew."""
    ran = workorder(*words, new_ticket() if some_done else 999_998, 999_999)
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith(how)
