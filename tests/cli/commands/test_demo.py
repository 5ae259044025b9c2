"""`workorder demo`: it shows everything, and fails where something is lost."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.cli_runs import Workorder, in_child
from workorder_async import exports
from workorder_async.cli.commands import demo
from workorder_async.cli.commands.demo import Tour
from workorder_async.client import WorkorderClient
from workorder_async.document import CloseTicket, TicketDetail, TicketQuery
from workorder_async.errors import ConfigError, NoAnswerError, WorkorderError
from workorder_async.exports import ExportReport, export_tickets
from workorder_async.sandbox import Sandbox

TICKETS = 5


@pytest.mark.slow
def test_the_demo_shows_everything(tmp_path: Path) -> None:
    """`workorder demo` writes every ticket once, closes, comments and uploads, sums up, and says what to try."""
    output = tmp_path / "tickets.jsonl"
    ran = in_child({}, "demo", "--tickets", 1200, "--closes", 50, "--output", output, "--latency", 0.01)
    assert ran.code == 0
    ids = [orjson.loads(line)["id"] for line in output.read_bytes().splitlines()]
    assert len(ids) == len(set(ids)) == 1200
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in ran.out.splitlines() if "  " in line)
    assert facts["there all along"] == "1,200: 0 missing, 0 twice, 0 invented"
    assert facts["closes"].startswith("50, 16 at a time, in ")
    assert facts["close_ticket"] == "50 done; carried out: 50, 0 twice"
    assert (facts["misreported"], "struck" in facts) == ("0", False)
    missed = re.search(r"^page by page +([0-9]+) of [0-9]+ that stayed pending are missing$", ran.out, re.MULTILINE)
    assert missed is not None
    assert int(missed[1]) > 0
    assert re.fullmatch(r"0 of [0-9]+ that stayed pending are missing; exact: .*", facts["walk"])
    assert f"lines written                1,200 to {output}" in ran.out
    assert "已复现, 正在排查" in ran.out
    assert "a file of 48,000 bytes" in ran.out
    assert f"workorder show {ids[0]}" in ran.out
    assert "a sandbox with 1,200 invented tickets runs at http://127.0.0.1:" in ran.err


def test_a_file_that_is_there_is_not_replaced(workorder: Workorder, tmp_path: Path) -> None:
    """An export of somebody's real tickets is not lost to invented ones."""
    output = tmp_path / "tickets.jsonl"
    output.write_text("mine")
    ran = workorder("demo", "--output", output)
    assert (ran.code, output.read_text()) == (2, "mine")
    assert ran.err == f"workorder: --output {output} exists; name another file; only demo-tickets.jsonl is replaced\n"


def test_an_empty_demo_works(workorder: Workorder, tmp_path: Path) -> None:
    """With no tickets the demo writes an empty file and still creates one."""
    ran = workorder("demo", "--tickets", 0, "--output", tmp_path / "none.jsonl", "--latency", 0)
    assert ran.code == 0
    assert (tmp_path / "none.jsonl").read_bytes() == b""
    assert "closes                       0, 16 at a time" in ran.out
    assert "workorder show ID" in ran.out


@pytest.mark.parametrize(
    ("found", "called", "shown"),
    [
        (False, ".venv/bin/workorder", ".venv/bin/workorder doctor"),
        (True, "/usr/bin/workorder", "\nworkorder doctor"),
        (False, "workorder_async/__main__.py", "\nworkorder doctor"),
    ],
)
def test_what_to_try_next_can_be_copied(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: bool, called: str, shown: str
) -> None:
    """Where the command is not on the PATH, its lines begin with the path by which it was called."""
    monkeypatch.setattr(sys, "argv", [called, "demo"])
    monkeypatch.setenv("PATH", str(tmp_path))
    if found:
        (tmp_path / "workorder").touch(0o755)
    ran = workorder("demo", "--tickets", 0, "--output", tmp_path / "none.jsonl", "--latency", 0)
    assert shown in ran.out


def test_the_demo_fails_where_something_is_lost(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A line too few, an id twice, a lost comment and file: the demo exits with 1 and names each."""
    honest, read = export_tickets, WorkorderClient.get_ticket_detail

    async def losing(client: WorkorderClient, query: TicketQuery, target: Path, **options: Any) -> ExportReport:
        report = await honest(client, query, target, **options)
        if options.get("format") == "jsonl":
            await asyncio.to_thread(target.write_bytes, b'{"id":1,"status":3}\n' * 2)
        return report

    async def forgetting(client: WorkorderClient, id: int) -> TicketDetail:
        detail = await read(client, id)
        return TicketDetail(id=detail.id)

    monkeypatch.setattr(exports, "export_tickets", losing)
    monkeypatch.setattr(WorkorderClient, "get_ticket_detail", forgetting)
    ran = workorder("demo", "--tickets", 30, "--output", tmp_path / "t.jsonl", "--closes", 1, "--latency", 0)
    assert ran.code == 1
    assert "t.jsonl has 30 missing, 1 twice, 1 invented; the walk: exact: " in ran.err
    assert "does not show once the comment and the file sent: " in ran.err


def test_a_refused_close_is_a_complaint(workorder: Workorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A close that the platform refuses is named, and the demo exits with 1."""
    monkeypatch.setattr(demo, "CloseTicket", _nobodys_close)
    ran = workorder("demo", "--tickets", 30, "--output", tmp_path / "t.jsonl", "--closes", 1, "--latency", 0)
    assert (ran.code, "errno 90006" in ran.err) == (1, True)
    assert "close_ticket                 1 rejected; carried out: 0, 0 twice" in ran.out


def _nobodys_close(**fields: object) -> object:
    return CloseTicket(**{**fields, "closer_name": "无名"})  # type: ignore[arg-type]


DEMO = ["demo", "--tickets", "30", "--closes", "2", "--latency", "0"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["-o", "/dev/stdout"], ["-o", "-", "--hostile"]],
)
def test_the_demo_goes_to_stdout(words: list[str]) -> None:
    """With `-` stdout has the tickets alone, and what is told goes to stderr, without a file that nobody sees."""
    hostile = "--hostile" in words
    ran = in_child({}, *(DEMO[:5] if hostile else DEMO), *words)
    assert ran.code == 0, ran.err
    assert len({row["id"] for row in ran.rows}) == len(ran.rows) >= 30
    assert "what happened" in ran.err
    assert "/tmp" not in ran.err
    assert f"30 to {words[1].replace('-', 'stdout')}" in ran.err or hostile


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
@pytest.mark.parametrize("words", [["-o", "/dev/full"], ["-o", "-"], []])
def test_a_full_disk_ends_the_demo_with_a_sentence(tmp_path: Path, words: list[str]) -> None:
    """Where what it prints or writes has no room, it exits with 1 and the system's reason."""
    with Path("/dev/full").open("wb") as full:
        ran = in_child({}, *DEMO, *(words or ["-o", str(tmp_path / "t.jsonl")]), stdout=full)
    assert ran.code == 1
    assert re.search(
        f"\nworkorder: No space left on device: {'/dev/full' if '/dev/full' in words else 'stdout'}\n$", ran.err
    )


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (NoAnswerError("no"), 1, ["the list could not be walked to its end: NoAnswerError: no"]),
        (ConfigError("cannot write 'x'"), 2, ["cannot write 'x'"]),
    ],
    ids=["list", "file"],
)
def test_a_file_that_is_not_there_is_not_copied(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, error: WorkorderError, code: int, said: list[str]
) -> None:
    """Where the list cannot be walked, that alone is the complaint; a place that cannot be written ends the demo."""

    async def failing(*_: object, **__: object) -> None:
        await asyncio.sleep(0)
        raise error

    monkeypatch.setattr(exports, "export_tickets", failing)
    ran = workorder("demo", "--tickets", 5, "--output", "-", "--latency", 0)
    assert (ran.code, ran.out) == (code, "")
    complaints = [line for line in ran.err.splitlines() if line.startswith("workorder: ")]
    assert complaints == [f"workorder: {complaint}" for complaint in said]


@pytest.mark.slow
async def test_a_walk_that_misses_tickets_is_a_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk over a list that moves lacks nothing; if it went page by page, that would be told, and be a complaint."""
    async with Sandbox(5000) as sandbox, sandbox.client() as client:
        seen = Tour(client, sandbox)
        await seen.read_moving()
        assert seen.complaints == []
        monkeypatch.setattr(Tour, "_walked", Tour._paged)
        await seen.read_moving()
    assert [name for name, _ in seen.facts] == ["page by page", "walk"] * 2
    assert dict(seen.facts)["walk"].split()[0] == seen.complaints[0].split()[3] != "0"
