"""`workorder export`: what it writes, and that a file has its name only once it is complete."""

import asyncio
import json
import os
import re
import signal
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pytest

from tests.support.cli_changes import CREATE, REQUIRED
from tests.support.cli_runs import SECRET, Workorder, elsewhere, in_child, on_terminal, runner, start
from tests.support.export_rows import read_back
from tests.support.raw_server import http, serving
from tests.support.slow import slow_after
from workorder_async.document import CHINA_STANDARD_TIME
from workorder_async.sandbox import Fault, Sandbox

TICKETS = 250


def test_export_writes_every_ticket_once(workorder: Workorder, tmp_path: Path) -> None:
    """A file of JSON Lines holds each ticket once, in the list's order; the summary goes to stderr."""
    target = tmp_path / "tickets.jsonl"
    ran = workorder("export", target, "--concurrency", 3, "--page-size", 30)
    rows = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    assert (ran.code, ran.out) == (0, "")
    summary, exact = ran.err.splitlines()
    assert re.fullmatch(rf"exported 250 tickets to {target} in [0-9.]+ s \([0-9,]+ tickets/s\)", summary)
    assert exact.startswith("exact: every ticket that matched is there once (")
    listed = workorder("list", "--limit", 0, "--json").rows
    assert [(row["id"], row["title"]) for row in rows] == [(row["id"], row["title"]) for row in listed]
    assert os.listdir(tmp_path) == ["tickets.jsonl"]


@pytest.mark.parametrize(
    "words",
    slow_after(
        2, [["-"], ["--raw", "-"], ["--output", "-"], ["--output=-"], ["-", "--raw"], ["--format", "jsonl", "-"]]
    ),
)
def test_a_dash_is_stdout_wherever_it_stands(workorder: Workorder, words: list[str]) -> None:
    """`-` is stdout as OUTPUT and as --output, behind an option without a value, too; stdout has data only."""
    ran = workorder("export", *words)
    assert (ran.code, len({row["id"] for row in ran.rows})) == (0, TICKETS)
    assert ran.err.startswith("exported 250 tickets in ")


@pytest.mark.parametrize("suffix", slow_after(2, [".csv", ".csv.gz", ".jsonl.zst", ".sqlite", ".parquet", ".xlsx"]))
def test_the_suffix_says_the_format(workorder: Workorder, tmp_path: Path, suffix: str) -> None:
    """Every format has the rows of the list; --format says it where the name does not."""
    named, plain = tmp_path / f"tickets{suffix}", tmp_path / "plain"
    assert workorder("export", named).code == workorder("export", "--format", suffix[1:], plain).code == 0
    expected = [row["id"] for row in workorder("export", "-").rows]
    rows = read_back(named)
    assert sorted(int(row["id"]) for row in rows) == sorted(expected)
    assert sorted(os.listdir(tmp_path)) == ["plain", named.name]
    plain.rename(again := tmp_path / f"again{suffix}")
    assert read_back(again) == rows


def test_a_raw_export_keeps_the_platforms_objects(workorder: Workorder) -> None:
    """`--raw` writes what came, a status as text for one; `-` is stdout, and filters count."""
    ran = workorder("export", "--raw", "-", "--status", "pending")
    models = workorder("export", "--output=-", "--status", "pending").rows
    assert ran.err.startswith(f"exported {len(models)} tickets in ")
    assert [row["id"] for row in ran.rows] == [row["id"] for row in models]
    assert {row["status"] for row in ran.rows} == {"1"}
    assert {row["status"] for row in models} == {1}
    assert {row["need_process"] for row in ran.rows} <= {0, 1}


def test_several_statuses_are_one_file(workorder: Workorder) -> None:
    """`--status pending,processing` has the tickets of both, each once."""
    pending, processing = (workorder("export", "-", "--status", one).rows for one in ("pending", "processing"))
    assert workorder("export", "-", "--status", "pending,processing").rows == pending + processing


def test_full_records_have_their_columns(workorder: Workorder, tmp_path: Path) -> None:
    """`--detail` writes the columns that `workorder columns --detail` prints."""
    assert workorder("export", tmp_path / "t.jsonl", "--detail", "--status", "pending").code == 0
    first = json.loads((tmp_path / "t.jsonl").read_text("utf-8").splitlines()[0])
    assert list(first) == [row["name"] for row in workorder("columns", "--detail", "--json").rows]


def test_attachments_come_into_their_folder(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`--attachments DIR` fetches the files of the tickets, whose full records are read then; a second time none is."""
    (tmp_path / "trace.log").write_bytes(b"x" * 1000)
    with elsewhere(Sandbox(0, app_secret=SECRET)) as own:
        workorder = runner(own.environment, monkeypatch, capfd)
        id = workorder(*CREATE, "--json", "--attach", tmp_path / "trace.log").rows[0]["id"]
        words = ["export", tmp_path / "t.jsonl", "--attachments", tmp_path / "files", "--overwrite"]
        first, second = workorder(*words), workorder(*words)
    assert (first.code, second.code) == (0, 0)
    assert (tmp_path / "files" / str(id) / "trace.log").read_bytes() == b"x" * 1000
    assert "attachments: 1 fetched (1,000 bytes)\n" in first.err
    assert "attachments: 0 fetched (0 bytes), 1 there already\n" in second.err
    assert "assigns" in json.loads((tmp_path / "t.jsonl").read_text("utf-8"))


@pytest.mark.slow
def test_a_file_is_replaced_only_on_request_and_only_by_a_whole_one(workorder: Workorder, tmp_path: Path) -> None:
    """A file of that name is refused; with --overwrite it stays until the new one is complete."""
    target = tmp_path / "tickets.jsonl"
    target.write_text("old")
    refused = workorder("export", target)
    assert (refused.code, refused.err) == (2, f"workorder: '{target}' exists; --overwrite replaces it\n")
    assert workorder("export", target, "--overwrite", "--base-url", "http://127.0.0.1:1").code == 1
    assert (target.read_text(), os.listdir(tmp_path)) == ("old", ["tickets.jsonl"])
    assert workorder("export", target, "--overwrite").code == 0
    assert len(target.read_bytes().splitlines()) == TICKETS
    assert os.listdir(tmp_path) == ["tickets.jsonl"]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="this system has no name for stdout")
def test_a_name_of_stdout_is_written_to(sandbox: Sandbox) -> None:
    """/dev/stdout leads to a pipe that has no path of its own, and whose name says no format."""
    ran = in_child(sandbox.environment, "export", "/dev/stdout")
    assert ran.code == 0, ran.err
    assert len(ran.rows) == len({row["id"] for row in ran.rows}) > 0


def test_a_named_pipe_has_the_format_of_its_suffix(sandbox: Sandbox, workorder: Workorder, tmp_path: Path) -> None:
    """What reads it expects that; one without a suffix gets lines of JSON."""
    for name, begin in (("p.csv", b"\xef\xbb\xbfid,"), ("p.csv.gz", b"\x1f\x8b"), ("p", b'{"id":')):
        os.mkfifo(tmp_path / name)
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit((tmp_path / name).read_bytes)
            assert workorder("export", tmp_path / name).code == 0
            assert read.result().startswith(begin)


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_it_quietly(sandbox: Sandbox) -> None:
    """`workorder export - | head -1` ends as `list` does, without a complaint."""
    with start(sandbox.environment, "export", "-") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.read(1) == b"{"
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 141


@pytest.mark.slow
def test_only_lines_of_json_are_for_a_terminal(sandbox: Sandbox) -> None:
    """Other formats would have a terminal obey what a ticket says."""
    with on_terminal(sandbox.environment, "export", "-", "--format", "csv") as terminal:
        assert terminal.finish() == 2
    assert b"--format csv is not for a terminal; name a file, or lead stdout to one" in terminal.seen


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.csv", "-"], "nothing here takes 'a.csv'"),
        (["."], "'.' says no format by its suffix; add --format"),
        ([".", "--format", "csv"], "'.' is no name of a file"),
        (["t.csv", "--since", "today", "--until", "yesterday"], "--since ("),
        (["t.csv", "--status", "pending,open"], "--status: 'open' is not known; use one of: 1 pending"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    workorder: Workorder,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    """Bad input exits with 2 and one sentence in words of the command line; nothing is sent, and no file is left."""
    monkeypatch.chdir(tmp_path)
    before = sandbox.requests
    ran = workorder("export", *words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith("workorder: ")
    assert said in ran.err
    assert "=True" not in ran.err
    assert (sandbox.requests, os.listdir(tmp_path)) == (before, [])


@pytest.fixture(scope="module")
def counting() -> Iterator[Sandbox]:
    """Run a sandbox whose list counts more tickets than it shows."""
    with elsewhere(Sandbox(120, page_size_cap=10, faults=[Fault("total", number=200)], app_secret=SECRET)) as sandbox:
        yield sandbox


def test_a_doubtful_file_can_be_a_failure(
    counting: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With --strict a file that may not be complete keeps its part name; the ways out are options."""
    workorder, target = runner(counting.environment, monkeypatch, capfd), tmp_path / "t.jsonl"
    words = ["export", target]
    ran, again = workorder(*words, "--strict"), workorder(*words, "--strict")
    assert (ran.code, ran.out, again.code, again.err) == (1, "", 1, f"going on after 120 tickets\n{ran.err}")
    assert ran.err.startswith("workorder: the export is not exact: ")
    assert "the same without --strict takes them as they are, --no-resume begins anew" in ran.err
    assert sorted(os.listdir(tmp_path)) == ["t.jsonl.manifest", "t.jsonl.part"]
    other = workorder("export", target, "--status", "closed")
    assert (other.code, "is of another export: " in other.err, "--no-resume" in other.err) == (1, True, True)
    taken = workorder(*words)
    assert taken.code == 0
    assert "going on after 120 tickets\n" in taken.err
    assert "it may not be complete: the list counts 200 tickets" in taken.err
    assert os.listdir(tmp_path) == ["t.jsonl"]


def test_a_doubtful_file_of_a_relative_time(
    counting: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The command that goes on is told with a time that is the same tomorrow, but not by what refuses to go on."""
    workorder, target = runner(counting.environment, monkeypatch, capfd), tmp_path / "t.jsonl"
    ran = workorder("export", target, "--since", "3650d", "--strict")
    since = f"--since {datetime.now(CHINA_STANDARD_TIME).date() - timedelta(3650)}"
    assert ran.err.startswith(f"workorder: the same command with {since} goes on where this one stopped\n")
    other = workorder("export", target, "--since", "3649d")
    assert (other.code, other.err.count("\n"), "with the same times, to go on" in other.err) == (1, 1, True)
    assert workorder("export", target, *since.split()).code == 0


@pytest.mark.parametrize("length", [244, 300])
def test_a_name_that_is_too_long(workorder: Workorder, tmp_path: Path, length: int) -> None:
    """It is wrong usage, and no error of the disk."""
    ran = workorder("export", tmp_path / f"{'x' * length}.csv")
    assert (ran.code, ran.err.count("\n"), "File name too long; choose another target" in ran.err) == (2, 1, True)


@pytest.fixture(scope="module")
def slow() -> Iterator[Sandbox]:
    """Run a sandbox whose tickets are read so slowly that a bar appears."""
    with elsewhere(Sandbox(6000, latency=0.1, app_secret=SECRET)) as slow:
        yield slow


@pytest.mark.slow
def test_what_is_interrupted_goes_on_where_it_stopped(slow: Sandbox, tmp_path: Path) -> None:
    """Ctrl-C says that the same command goes on, and it does: it says after how many, and ends in the same file."""
    target, whole = tmp_path / "t.csv", tmp_path / "whole.csv"
    environment = slow.environment
    words = ["export", target, "--concurrency", 4, "--since", "2000-01-01", "--until", "now"]
    before = slow.requests["list_tickets"]
    with on_terminal(environment, *words) as terminal:
        while slow.requests["list_tickets"] < before + 40:
            assert terminal.child.poll() is None
            time.sleep(0.01)
        terminal.child.send_signal(signal.SIGINT)
        assert terminal.finish() == 130
    *_, last = terminal.seen.replace(b"\r", b"").split(b"\x1b[2K")
    now = re.search(r"workorder: the same command with --until (\S+) goes on where this one stopped\n", last.decode())
    assert now is not None
    assert sorted(os.listdir(tmp_path)) == ["t.csv.manifest", "t.csv.part"]
    before = slow.requests["list_tickets"]
    ran = in_child(environment, *words[:-1], now[1])
    asked = slow.requests["list_tickets"] - before
    assert ran.code == 0, ran.err
    going_on = re.search(r"^going on after ([0-9,]+) tickets$", ran.err, re.MULTILINE)
    assert going_on is not None
    resumed = int(going_on[1].replace(",", ""))
    assert 0 < resumed < 6000
    assert asked < (6000 - resumed) / 100 * 1.2 + 10
    assert "exported 6,000 tickets to " in ran.err
    assert os.listdir(tmp_path) == ["t.csv"]
    assert in_child(environment, "export", whole, *words[2:-1], now[1]).code == 0
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_a_bar_has_tickets_rate_and_time_left(slow: Sandbox, tmp_path: Path) -> None:
    """While it runs a terminal shows how much, how fast, and how long it takes."""
    with on_terminal(slow.environment, "export", tmp_path / "t.jsonl", "--concurrency", 4) as terminal:
        assert terminal.finish() == 0
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen.decode())
    assert re.search(r"exporting: [0-9,]+/s +[━╸╺]+ +[0-9]+/600[01] 0:00:[0-9]{2}", seen)


@pytest.mark.slow
def test_a_killed_export_leaves_no_file_under_its_name(sandbox: Sandbox, tmp_path: Path) -> None:
    """`kill -9` in the middle leaves the name free, though a page was written."""
    asked = threading.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    page = {"tickets": [{"id": 7}], "pagination": {"page_size": 1, "total": 2}}
    with elsewhere(serving(http(orjson.dumps({"errno": 10000, "data": page})), never)) as wire:
        environment = {**sandbox.environment, "WORKORDER_BASE_URL": wire.url}
        with start(environment, "export", tmp_path / "tickets.jsonl") as child:
            assert asked.wait(30)
            child.kill()
    assert "tickets.jsonl" not in os.listdir(tmp_path)


@pytest.mark.slow
def test_a_failure_amid_an_export_says_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A refusal of the platform comes with the way on, with a time for each that is another one tomorrow."""
    faults = [Fault("bad_row", operation="list_tickets", after=16)]
    target = tmp_path / "t.jsonl"
    words = ["export", target, "--since", "3650d", "--until", "today", "--concurrency", 1]
    with elsewhere(Sandbox(3000, latency=0.1, faults=faults, app_secret=SECRET)) as broken:
        failed = runner(broken.environment, monkeypatch, capfd)(*words)
    today = datetime.now(CHINA_STANDARD_TIME).date()
    first, second = failed.err.splitlines()
    assert (failed.code, "--skip-bad-rows" in second) == (1, True)
    assert first == (
        f"workorder: the same command with --since {today - timedelta(3650)} --until {today} "
        "goes on where this one stopped"
    )
    assert sorted(os.listdir(tmp_path)) == ["t.jsonl.manifest", "t.jsonl.part"]


def test_rows_that_do_not_fit_are_told_with_the_way_round(workorder: Workorder) -> None:
    """A row that is no ticket by the document is a failure that points to `--raw`, which takes it."""
    rows = [{"id": 7, "handler": "x"}]
    body = orjson.dumps({"errno": 10000, "data": {"tickets": rows, "pagination": {"page_size": 1, "total": 1}}})
    with elsewhere(serving(http(body))) as wire:
        strict = workorder("export", "-", "--base-url", wire.url)
        raw = workorder("export", "-", "--raw", "--base-url", wire.url)
    assert (strict.code, strict.out) == (1, "")
    assert "$.data.tickets[0].handler" in strict.err
    assert "`workorder export --raw`" in strict.err
    assert (raw.code, raw.rows) == (0, rows)


@pytest.mark.parametrize("umask", slow_after(1, [0o000, 0o022]))
@pytest.mark.parametrize("replaced", [False, True])
def test_an_export_is_its_owners_alone(workorder: Workorder, tmp_path: Path, umask: int, replaced: bool) -> None:
    """An export has the mode 0600 whatever the umask, in place of a file that others read, too."""
    output = tmp_path / "tickets.jsonl"
    if replaced:
        output.touch()
        output.chmod(0o666)
    before = os.umask(umask)
    try:
        assert workorder("export", output, "--overwrite").code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


def test_rows_that_cannot_be_read_can_be_left_out(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A row that does not fit ends an export with the way round; with --skip-bad-rows it is left out and named."""
    words = ["export", "--output", str(tmp_path / "t.jsonl")]
    with elsewhere(Sandbox(31, faults=[Fault("bad_row")], app_secret=SECRET)) as broken:
        workorder = runner(broken.environment, monkeypatch, capfd)
        failed, skipped = workorder(*words), workorder(*words, "--skip-bad-rows")
        raw = workorder("export", "-", "--raw", "--skip-bad-rows")
    ids = [orjson.loads(line)["id"] for line in (tmp_path / "t.jsonl").read_bytes().splitlines()]
    assert failed.code == 1
    assert "$.data.tickets[15].created_time" in failed.err
    assert "with --skip-bad-rows it leaves out those that cannot be read" in failed.err
    assert (len(raw.rows), "left out" in raw.err) == (31, False)
    assert skipped.code == 0
    assert "exported 30 tickets to " in skipped.err
    assert "workorder: left out ticket 1016: $.data.tickets[15].created_time is " in skipped.err
    assert "it may not be complete: " in skipped.err
    assert "1 rows could not be read, and were skipped\n" in skipped.err
    assert sorted(ids) == [id for id in range(1001, 1032) if id != 1016]


def test_csv_is_as_plain_as_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`--no-csv-bom` leaves out the mark, `--no-csv-defuse` the apostrophes; otherwise both are there."""
    usual, plain = tmp_path / "usual.csv", tmp_path / "plain.csv"
    with elsewhere(Sandbox(0, app_secret=SECRET)) as empty:
        workorder = runner(empty.environment, monkeypatch, capsys)
        workorder(*("=1+1" if word == REQUIRED["--title"] else word for word in CREATE))
        assert "changed in 1 cells: a text that begins like a formula" in workorder("export", usual).err
        assert "formula" not in workorder("export", plain, "--no-csv-bom", "--no-csv-defuse").err
    assert usual.read_bytes().startswith("\ufeffid,".encode())
    assert plain.read_bytes().startswith(b"id,")
    assert ",'=1+1," in usual.read_text("utf-8")
    assert ",=1+1," in plain.read_text("utf-8")


def test_a_folder_that_was_removed(workorder: Workorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is said to be what is not there: the file that was named has yet to be made."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    ran = workorder("export", "-o", "new.csv")
    assert (ran.code, ran.err) == (1, "workorder: No such file or directory: this folder, which was removed\n")


def test_a_link_to_itself_is_refused(workorder: Workorder, tmp_path: Path) -> None:
    """A name that leads nowhere is taken, as any other name: it is no defect of the program."""
    loop = tmp_path / "t.csv"
    loop.symlink_to(loop)
    ran = workorder("export", loop)
    assert (ran.code, ran.err) == (2, f"workorder: '{loop}' exists; --overwrite replaces it\n")
