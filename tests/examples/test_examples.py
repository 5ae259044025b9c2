"""examples/: each program, as somebody would run it, against a sandbox; each is short and typed."""

import asyncio
import csv
import os
import sys
from asyncio.subprocess import PIPE
from datetime import datetime
from pathlib import Path
from time import monotonic

import duckdb
import pytest

from workorder_async import CHINA_STANDARD_TIME, Sandbox, TicketQuery, TicketStatus
from workorder_async.sandbox import Fault

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


async def ran(sandbox: Sandbox, name: str, *words: object, stdin: bytes = b"") -> tuple[int, str]:
    """Run one of the programs to its end; return its exit code, and what it printed."""
    environment = {**os.environ, **sandbox.environment, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, words)]
    child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment)
    out, err = await child.communicate(stdin)
    return child.returncode or 0, out.decode() or err.decode()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_short(path: Path) -> None:
    """What a program needs fits on a screen."""
    assert len(path.read_text("utf-8").splitlines()) < 40


def test_all_of_them() -> None:
    """No program is left out here."""
    assert [path.name for path in EXAMPLES] == ["chat_bot.py", "close_from_csv.py", "nightly_export.py"]


async def test_chat_bot() -> None:
    """The bot tells, closes, and answers odd messages; each line has one answer."""
    async with Sandbox(tickets=50) as sandbox, sandbox.client() as client:
        (mine, *_) = (await client.list_tickets(TicketQuery(status=TicketStatus.PENDING))).tickets
        messages = [
            *(f"ticket {mine.id}", f"close {mine.id}", f"Ticket  {mine.id} ", f"close {mine.id}"),
            *("", "hello", "close", "close x", "close 1 2", "ticket 99999999", "ticket -1", f"close {'9' * 5000}"),
            *(f"ticket {'9' * 30}", "\0", "打开 工单"),
        ]
        said = await ran(
            sandbox, "chat_bot.py", 40084, mine.creator_name, stdin="\n".join(messages).encode() + b"\n\xff\n"
        )
        lines = said[1].splitlines()
    assert (said[0], len(lines)) == (0, len(messages) + 1)
    assert lines[0].startswith(f"{mine.title}: 待处理, created 20")
    assert lines[1] == f"ticket {mine.id} is closed"
    assert lines[2].startswith(f"{mine.title}: 已关闭, created 20")
    assert lines[3].startswith("that did not work: ")
    help_ = "write `ticket NUMBER` or `close NUMBER`"
    assert [line == help_ for line in lines[4:]] == [True] * 5 + [False] * 2 + [True] + [False] + [True] * 3
    assert len(sandbox.applied) == 1


@pytest.mark.parametrize(
    ("operation", "words"), [("get_ticket", "did not work"), ("close_ticket", "may be closed or not")]
)
@pytest.mark.slow
async def test_chat_bot_in_time(operation: str, words: str) -> None:
    """A platform that does not answer is told about within three seconds, and a bit for the start of Python."""
    slow = [Fault("slow_headers", operation=operation, seconds=30)]
    async with Sandbox(tickets=50, faults=slow) as sandbox:
        began = monotonic()
        code, out = await ran(
            sandbox, "chat_bot.py", 40084, "x", stdin=b"ticket 1\n" if operation == "get_ticket" else b"close 1\n"
        )
        assert monotonic() - began < 10
    assert (code, words in out) == (0, True)


@pytest.mark.slow
async def test_nightly_export(tmp_path: Path) -> None:
    """A night that ends in an error is gone on with; the table then holds each ticket once, after another run too."""
    database = tmp_path / "tickets.duckdb"
    async with Sandbox(tickets=2500) as sandbox, sandbox.client() as client:
        sandbox.faults = [Fault("errno", operation="list_tickets", errno=90011, after=12)]
        code, out = await ran(sandbox, "nightly_export.py", tmp_path, database)
        assert (code, database.exists()) == (1, False), out
        sandbox.faults = []
        for _ in range(2):
            code, out = await ran(sandbox, "nightly_export.py", tmp_path, database)
            assert code == 0, out
        today = datetime.now(CHINA_STANDARD_TIME).replace(hour=0, minute=0, second=0)
        truth = sorted([ticket.id async for ticket in client.iter_tickets(TicketQuery(created_end=today))])
    with duckdb.connect(str(database)) as connection:
        assert [id for (id,) in connection.execute("SELECT id FROM tickets ORDER BY 1").fetchall()] == truth
    assert "已关闭 " in out


async def test_close_from_csv(tmp_path: Path) -> None:
    """A run with failures ends with 1 and says which; the next one sends those again, and no other."""
    tickets, results = tmp_path / "tickets.csv", tmp_path / "results.csv"
    async with Sandbox(tickets=500) as sandbox, sandbox.client() as client:
        pending = (await client.list_tickets(TicketQuery(status=TicketStatus.PENDING), page_size=40)).tickets
        rows = [f"{ticket.id},40084,{ticket.creator_name}" for ticket in pending]
        tickets.write_text("\ufeffid,closer_id,closer_name\n" + "\n".join(rows), "utf-8")
        sandbox.faults = [Fault("errno", operation="close_ticket", errno=90003, times=3)]
        words = (tickets, tmp_path / "closes.journal", results)
        code, out = await ran(sandbox, "close_from_csv.py", *words)
        assert (code, "rejected: 3" in out, f"done: {len(pending) - 3}" in out) == (1, True, True), out
        with results.open(encoding="utf-8", newline="") as file:
            told = {int(row["id"]): row["state"] for row in csv.DictReader(file)}
        assert set(told) == {ticket.id for ticket in pending}
        code, out = await ran(sandbox, "close_from_csv.py", *words)
        assert (code, "done: 3" in out, f"skipped: {len(pending) - 3}" in out) == (0, True, True), out
        assert sorted(applied.ticket_id for applied in sandbox.applied) == sorted(told)


@pytest.mark.slow
async def test_close_from_csv_that_is_wrong(tmp_path: Path) -> None:
    """A line that cannot be closed is told before any ticket is closed."""
    tickets = tmp_path / "tickets.csv"
    tickets.write_text("id,closer_id,closer_name\n1,40084,x\n2,40084,\n", "utf-8")
    async with Sandbox(tickets=5) as sandbox:
        code, out = await ran(sandbox, "close_from_csv.py", tickets, tmp_path / "j", tmp_path / "r.csv")
        assert (code, "CloseTicket.closer_name is empty" in out) == (1, True)
        assert sandbox.applied == []
