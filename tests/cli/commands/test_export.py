"""`workorder export`: what it writes, and that a file has its name only once it is complete."""

import asyncio
import io
import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.cli_runs import SECRET, Workorder, elsewhere, in_child, runner, start
from tests.support.raw_server import http, serving
from workorder_async.durable import written_whole
from workorder_async.errors import ConfigError
from workorder_async.sandbox import Fault, Sandbox

TICKETS = 250


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run one sandbox for the tests of this file; none of them changes a ticket."""
    with elsewhere(Sandbox(TICKETS, app_secret=SECRET)) as sandbox:
        yield sandbox


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
