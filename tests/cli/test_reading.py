"""cli/reading.py, filters.py, exporting.py: what list, show and export ask for, and what they print."""

import asyncio
import io
import json
import os
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.cli_runs import SECRET, Workorder, elsewhere, in_child, runner, start
from tests.support.raw_server import http, serving
from workorder_async import CHINA_STANDARD_TIME, TicketQuery, TicketStatus, TicketType
from workorder_async.cli.filters import TicketFilters
from workorder_async.durable import written_whole
from workorder_async.errors import ConfigError
from workorder_async.sandbox import Fault, Sandbox

TICKETS = 250


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run one sandbox for the tests of this file; none of them changes a ticket."""
    with elsewhere(Sandbox(TICKETS, app_secret=SECRET)) as sandbox:
        yield sandbox


@pytest.fixture
def workorder(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Workorder:
    """Run command lines in this process, against the sandbox."""
    return runner(sandbox.environment, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, {}),
        ({"status": "pending"}, {"status": TicketStatus.PENDING}),
        ({"status": "2"}, {"status": TicketStatus.PROCESSING}),
        ({"status": "待处理"}, {"status": TicketStatus.PENDING}),
        ({"type": "feature request"}, {"type": TicketType.FEATURE_REQUEST}),
        ({"created_start": "2024-01-31"}, {"created_start": datetime(2024, 1, 31, tzinfo=CHINA_STANDARD_TIME)}),
        ({"created_start": "2024-01-31T09:30"}, {"created_start": 1706664600}),
        ({"created_end": "2024-01-31 01:30:00Z"}, {"created_end": 1706664600}),
        ({"created_end": "1706664600"}, {"created_end": 1706664600}),
        ({"created_start": "946684800"}, {"created_start": 946684800}),
        ({"created_start": "20240131"}, {"created_start": datetime(2024, 1, 31, tzinfo=CHINA_STANDARD_TIME)}),
        ({"created_start": "1970-01-01T08:00"}, {"created_start": 0}),
        ({"creator_id": 38361}, {"creator_id": 38361}),
        ({"customer": "安和在线"}, {"customer_organization_name": "安和在线"}),
        ({"product_group_id": (36, 37)}, {"product_group_id": (36, 37)}),
        ({"sub_type": 11, "second_subtype": 112}, {"sub_type": 11, "second_subtype": 112}),
    ],
)
def test_filters_become_the_query(given: dict[str, Any], asked: dict[str, Any]) -> None:
    """Each option fills its field; codes go by number and name, times by date, date-time and seconds."""
    assert TicketFilters(**given).query() == TicketQuery(**asked)


def test_now_is_a_time() -> None:
    """The word `now` is the moment of the command."""
    before = int(datetime.now(UTC).timestamp())
    start = TicketFilters(created_start="now").query().created_start
    assert start is not None
    assert before <= start <= before + 5


def test_every_filter_reaches_the_platform(workorder: Workorder) -> None:
    """The options of all filters together find exactly the ticket that they were taken from."""
    [wanted] = workorder("list", "--limit", 1, "--json").rows
    base = workorder("show", wanted["id"], "--json").rows[0]
    ran = workorder(
        *("list", "--json", "--status", wanted["status"], "--type", wanted["type"]),
        *("--created-start", wanted["created_time"], "--created-end", wanted["created_time"] + 1),
        *("--creator-id", base["creator_id"], "--customer", wanted["customer_organization_name"]),
        *("--product-group-id", 1, "--product-group-id", base["product_group_id"]),
        *("--sub-type", wanted["sub_type"], "--second-subtype", wanted["second_subtype"]),
    )
    assert ran.rows == [wanted]
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("limit", "shown"), [(0, 250), (1, 1), (20, 20), (100, 100), (101, 101), (240, 240), (999, 250)]
)
def test_a_limit_is_kept(workorder: Workorder, limit: int, shown: int) -> None:
    """`--limit` shows so many tickets, each once; 0 shows all."""
    ran = workorder("list", "--limit", limit, "--json")
    assert ran.code == 0
    assert len({row["id"] for row in ran.rows}) == len(ran.rows) == shown


def test_a_short_list_takes_one_request(workorder: Workorder, sandbox: Sandbox) -> None:
    """The default of 20 tickets is one request."""
    before = sandbox.requests["list_tickets"]
    assert workorder("list").code == 0
    assert sandbox.requests["list_tickets"] == before + 1


def test_a_server_that_gives_fewer_rows_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the platform's pages are smaller than the limit, several make it up."""
    with elsewhere(Sandbox(50, page_size_cap=7, app_secret=SECRET)) as small:
        ran = runner(small.environment, monkeypatch, capsys)("list", "--limit", 20, "--json")
    assert len({row["id"] for row in ran.rows}) == len(ran.rows) == 20


def test_a_limit_spares_the_rest_of_the_walk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list that takes several pages ends its walk where the limit is reached."""
    with elsewhere(Sandbox(600, page_size_cap=10, app_secret=SECRET)) as small:
        ran = runner(small.environment, monkeypatch, capsys)("list", "--limit", 101, "--json")
        assert small.requests["list_tickets"] < 40
    assert len(ran.rows) == 101


def test_a_list_is_lines_with_tabs_where_there_is_no_terminal(workorder: Workorder) -> None:
    """Without a terminal a ticket is a line of eight cells, and stderr says how many there are."""
    ran = workorder("list", "--limit", 3)
    [first] = workorder("list", "--limit", 1, "--json").rows
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert [len(cells) for cells in lines] == [8, 8, 8]
    assert lines[0][0] == str(first["id"])
    assert lines[0][1] == TicketStatus(first["status"]).label
    assert lines[0][4:6] == [first["title"], first["customer_organization_name"]]
    assert datetime.fromisoformat(lines[0][7]).timestamp() == first["created_time"]
    assert ran.err == "3 of 250 tickets; --limit 0 shows all\n"


def test_nothing_found_is_no_failure(workorder: Workorder) -> None:
    """A filter that matches nothing exits with 0 and says so."""
    ran = workorder("list", "--customer", "无此客户")
    assert (ran.code, ran.out, ran.err) == (0, "", "no ticket matches\n")


def test_show_tells_everything(workorder: Workorder) -> None:
    """`show` prints names and codes, times with their zone, product lines, history and form; what is 0 is left out."""
    [wanted] = workorder("list", "--status", "closed", "--limit", 1, "--json").rows
    [detail] = workorder("show", wanted["id"], "--json").rows
    ran = workorder("show", wanted["id"])
    lines = {tuple(line.split(maxsplit=1)) for line in ran.out.splitlines()}
    assert f"#{wanted['id']} {wanted['title']}" in ran.out
    assert ("status", "已关闭 (3)") in lines
    assert ("creator_name", detail["creator_name"]) in lines
    closed = datetime.fromtimestamp(detail["closed_time"], CHINA_STANDARD_TIME)
    assert ("closed_time", closed.isoformat(" ")) in lines
    assert ("total_duration", f"{detail['total_duration']:,} s") in lines
    assert f"product line {detail['product_group_name']} ({detail['product_group_id']})" in ran.out
    for step in detail["assigns"][0]["history"]:
        assert f"action {step['action']} by {step['creator_name']} ({step['creator_id']})" in ran.out
    for name, value in detail["form_values"].items():
        assert ("form:", f"{name:<{lines_width(name)}} {value}") in lines
    assert "suspended_time" not in ran.out


def lines_width(name: str) -> int:
    """Return how many characters fill a form field's label: 22 cells, of which a Chinese character takes two."""
    return 22 - sum(ord(character) > 0x2E80 for character in name)


def test_json_is_what_the_client_reads(workorder: Workorder) -> None:
    """`show --json` is one object with the wire's names, codes and whole seconds."""
    [wanted] = workorder("list", "--limit", 1, "--json").rows
    [detail] = workorder("show", wanted["id"], "--json").rows
    for name in ("id", "title", "detail", "status", "type", "priority", "created_time", "creator_name"):
        assert detail[name] == wanted[name]


def test_export_writes_every_ticket_once(workorder: Workorder, tmp_path: Path) -> None:
    """A file of JSON Lines holds each ticket once, as `list --json` prints it; the summary goes to stderr."""
    target = tmp_path / "tickets.jsonl"
    ran = workorder("export", "--output", target, "--concurrency", 3, "--page-size", 30)
    rows = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith(f"exported 250 tickets to {target} in ")
    assert rows == workorder("list", "--limit", 0, "--json").rows
    assert len({row["id"] for row in rows}) == TICKETS
    assert os.listdir(tmp_path) == ["tickets.jsonl"]


def test_a_raw_export_keeps_the_platforms_objects(workorder: Workorder) -> None:
    """`--raw` writes what came, a status as text for one; `-` is stdout, and filters count."""
    ran = workorder("export", "--output", "-", "--raw", "--status", "pending")
    models = workorder("export", "--output=-", "--status", "pending").rows
    assert ran.err.startswith(f"exported {len(models)} tickets in ")
    assert [row["id"] for row in ran.rows] == [row["id"] for row in models]
    assert {row["status"] for row in ran.rows} == {"1"}
    assert {row["status"] for row in models} == {1}
    assert {row["need_process"] for row in ran.rows} <= {0, 1}


def test_a_failed_export_leaves_the_old_file(workorder: Workorder, tmp_path: Path) -> None:
    """An export that fails changes nothing under the name, and leaves nothing beside it."""
    target = tmp_path / "tickets.jsonl"
    target.write_text("old")
    assert workorder("export", "--output", target, "--base-url", "http://127.0.0.1:1").code == 1
    assert (target.read_text(), os.listdir(tmp_path)) == ("old", ["tickets.jsonl"])


def test_a_killed_export_leaves_no_file_under_its_name(sandbox: Sandbox, tmp_path: Path) -> None:
    """`kill -9` in the middle leaves the name free, though a page was written."""
    asked = threading.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    page = {"tickets": [{"id": 7}], "pagination": {"page_size": 1, "total": 2}}
    with elsewhere(serving(http(orjson.dumps({"errno": 10000, "data": page})), never)) as wire:
        environment = {**sandbox.environment, "WORKORDER_BASE_URL": wire.url}
        with start(environment, "export", "--output", tmp_path / "tickets.jsonl") as child:
            assert asked.wait(30)
            child.kill()
    [part] = tmp_path.iterdir()
    assert part.name.startswith(".tickets.jsonl.")


def test_a_written_file_replaces_what_a_link_leads_to(tmp_path: Path) -> None:
    """A symbolic link stays one; the file behind it is replaced."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    with written_whole(link) as file:
        file.write(b"new")
        assert real.read_text() == "old"
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    """What is no plain file is written to directly and never replaced, nor removed after a failure."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with pytest.raises(io.UnsupportedOperation), written_whole(pipe) as file:
        file.seek(file.write(b"line"))
    reader.join()
    assert read == [b"line"]
    assert pipe.is_fifo()


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="this system has no name for stdout")
def test_a_name_of_stdout_is_written_to(sandbox: Sandbox) -> None:
    """/dev/stdout leads to a pipe that has no path of its own."""
    ran = in_child(sandbox.environment, "export", "--output", "/dev/stdout")
    assert ran.code == 0, ran.err
    assert len(ran.rows) == len({row["id"] for row in ran.rows}) > 0


@pytest.mark.parametrize(("name", "why"), [("", "it is a folder"), ("none/tickets.jsonl", "No such file")])
def test_a_file_that_cannot_be_made_is_named(tmp_path: Path, name: str, why: str) -> None:
    """A folder, or a file in a folder that is not there, is refused before anything is asked for."""
    with pytest.raises(ConfigError, match=f"cannot write '{tmp_path / name}': {why}"), written_whole(tmp_path / name):
        raise AssertionError("entered")


def test_a_page_is_one_write(workorder: Workorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export writes once per page."""
    writes: list[int] = []

    class Counting(io.FileIO):
        def write(self, content: Any, /) -> int:
            writes.append(content.count(b"\n"))
            return super().write(content)

    def open_counting(path: Path, mode: str) -> Counting:
        return Counting(path, mode)

    monkeypatch.setattr(Path, "open", open_counting)
    assert workorder("export", "--output", tmp_path / "tickets.jsonl", "--page-size", 100).code == 0
    assert writes == [100, 100, 50]


def test_rows_that_do_not_fit_are_told_with_the_way_round(workorder: Workorder) -> None:
    """A row that is no ticket by the document is a failure that points to `--raw`, which takes it."""
    rows = [{"id": 7, "handler": "x"}]
    body = orjson.dumps({"errno": 10000, "data": {"tickets": rows, "pagination": {"page_size": 1, "total": 1}}})
    with elsewhere(serving(http(body))) as wire:
        strict = workorder("export", "--output", "-", "--base-url", wire.url)
        raw = workorder("export", "--output", "-", "--raw", "--base-url", wire.url)
    assert (strict.code, strict.out) == (1, "")
    assert "$.data.tickets[0].handler" in strict.err
    assert "`workorder export --raw`" in strict.err
    assert (raw.code, raw.rows) == (0, rows)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
@pytest.mark.parametrize("replaced", [False, True])
def test_an_export_is_its_owners_alone(workorder: Workorder, tmp_path: Path, umask: int, replaced: bool) -> None:
    """An export has the mode 0600 whatever the umask, while it is written and in place of a file that others read."""
    output, modes = tmp_path / "tickets.jsonl", []
    if replaced:
        output.touch()
        output.chmod(0o666)
    before = os.umask(umask)
    try:
        with written_whole(output) as file:
            file.write(b"x")
            modes = [path.stat().st_mode for path in tmp_path.iterdir() if path != output]
        written = output.stat().st_mode
        assert workorder("export", "--output", output).code == 0
    finally:
        os.umask(before)
    assert [stat.S_IMODE(mode) for mode in (*modes, written, output.stat().st_mode)] == [0o600] * 3


@pytest.fixture(scope="module")
def in_tens() -> Iterator[Sandbox]:
    """Run a sandbox that gives ten tickets a page."""
    with elsewhere(Sandbox(120, page_size_cap=10, app_secret=SECRET)) as sandbox:
        yield sandbox


LEFT_AND_ENTERED = "it may not be complete: tickets may have left and entered this filter at once; "


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["export", "--output", "-", "--status", "pending"], "--verify settles it"),
        (["export", "--output", "-", "--status", "pending", "--verify"], ""),
        (["export", "--output", "-"], ""),
        (["export", "--output", "-", "--creator-id", "210002"], ""),
        (["list", "--limit", "0", "--status", "pending"], "`workorder export --verify` settles it"),
        (["list", "--limit", "0", "--status", "pending", "--json"], "`workorder export --verify` settles it"),
        (["list", "--limit", "15", "--status", "pending"], ""),
        (["list", "--limit", "0"], ""),
    ],
)
def test_what_may_not_be_complete_is_said_with_its_remedy(
    in_tens: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], remedy: str
) -> None:
    """Where tickets may leave and enter a filter meanwhile, that is said once, in the words of the command line."""
    ran = runner(in_tens.environment, monkeypatch, capsys)(*words)
    assert (ran.code, ran.out == "") == (0, False)
    said = [line for line in ran.err.splitlines() if "complete" in line]
    assert said == ([LEFT_AND_ENTERED + remedy] if remedy else [])
    assert "verify=True" not in ran.err


def test_a_verified_export_goes_over_the_list_again(
    in_tens: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`export --verify` reads the list twice at the least."""
    workorder = runner(in_tens.environment, monkeypatch, capsys)
    before = in_tens.requests["list_tickets"]
    assert len(workorder("export", "--output", "-", "--verify").rows) == 120
    assert in_tens.requests["list_tickets"] - before >= 24


def test_rows_that_cannot_be_read_can_be_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A row that does not fit ends an export with the way round; with --skip-bad-rows it is left out and named."""
    words = ["export", "--output", str(tmp_path / "t.jsonl")]
    with elsewhere(Sandbox(31, faults=[Fault("bad_row")], app_secret=SECRET)) as broken:
        workorder = runner(broken.environment, monkeypatch, capsys)
        failed, skipped = workorder(*words), workorder(*words, "--skip-bad-rows")
        raw = workorder("export", "--output", "-", "--raw", "--skip-bad-rows")
    ids = [orjson.loads(line)["id"] for line in (tmp_path / "t.jsonl").read_bytes().splitlines()]
    assert failed.code == 1
    assert "$.data.tickets[15].created_time" in failed.err
    assert "with --skip-bad-rows it leaves out those that cannot be read" in failed.err
    assert (len(raw.rows), "left out" in raw.err) == (31, False)
    assert skipped.code == 0
    assert "exported 30 tickets to " in skipped.err
    assert "workorder: left out ticket 1016: $.data.tickets[15].created_time is " in skipped.err
    assert "it may not be complete: 1 rows could not be read, and were skipped\n" in skipped.err
    assert sorted(ids) == [id for id in range(1001, 1032) if id != 1016]
