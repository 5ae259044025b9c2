"""README.md: its samples run, its commands are those that CI runs, and it is short."""

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from csv import DictReader
from datetime import UTC, datetime
from pathlib import Path

import pytest

import workorder_async
from workorder_async import CloseTicket, Sandbox, TicketQuery, TicketStatus, TicketSummary, WorkorderClient

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
FIRST, REAL_PLATFORM, WALK, EXPORT, BATCH = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


async def run(sample: str, **names: object) -> dict[str, object]:
    """Run a sample as the body of a coroutine; return the names it made."""
    namespace: dict[str, object] = {name: getattr(workorder_async, name) for name in workorder_async.__all__}
    namespace |= {"datetime": datetime, "UTC": UTC, **names}
    body = textwrap.indent(f"{sample}\nreturn locals()", "    ")
    exec(f"async def sample():\n{body}", namespace)
    made: dict[str, object] = await namespace["sample"]()  # type: ignore[operator]
    return made


def test_first_sample() -> None:
    """The first sample is a whole program that stands before line 30, and lists tickets."""
    assert README[: README.index(FIRST)].count("\n") + FIRST.count("\n") < 30
    child = subprocess.run(
        [sys.executable, "-c", FIRST], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONUTF8": "1"}
    )
    lines = child.stdout.splitlines()
    assert len(lines) > 50
    assert all(re.match(r"\d+ \S.* \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+08:00$", line) for line in lines)


async def test_real_platform_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample for the real platform reads, uploads and closes, with a client made from the environment."""
    (tmp_path / "trace.png").write_bytes(b"\x89PNG")
    monkeypatch.chdir(tmp_path)
    async with Sandbox(tickets=500) as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        await run(REAL_PLATFORM)
        (closed,) = sandbox.applied
        async with WorkorderClient.from_env() as client:
            detail = await client.get_ticket_detail(1473)
    assert (closed.operation, closed.ticket_id) == ("close_ticket", 1473)
    assert detail.status == TicketStatus.CLOSED
    assert [file.file_name for file in detail.handle_attachment] == ["trace.png"]


async def test_walk_sample() -> None:
    """The sample that closes while it walks closes every ticket, and prints why that is not said to be exact."""
    printed: list[tuple[object, ...]] = []
    async with Sandbox(tickets=1000, page_size_cap=2) as sandbox, sandbox.client() as client:
        query = TicketQuery(status=TicketStatus.PENDING)
        pending = (await client.list_tickets(query)).pagination.total

        async def close(ticket: TicketSummary) -> None:
            await client.close_ticket(
                CloseTicket(id=ticket.id, closer_id=1, closer_name=ticket.creator_name, solved_time=datetime.now(UTC))
            )

        await run(WALK, client=client, close=close, print=lambda *words: printed.append(words))
        assert (await client.list_tickets(query)).pagination.total == 0
        assert len({applied.ticket_id for applied in sandbox.applied}) == len(sandbox.applied) == pending > 100
    [(exact, reason)] = printed
    assert f"# {exact} {reason}\n" in WALK
    assert (exact, "verify=True settles it" in str(reason)) == (False, True)


async def test_export_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample of an export writes every ticket once, leaves nothing else, and prints what its comment says."""
    monkeypatch.chdir(tmp_path)
    printed: list[tuple[object, ...]] = []
    async with Sandbox(tickets=500) as sandbox, sandbox.client() as client:
        await run(EXPORT, client=client, print=lambda *words: printed.append(words))
        ids = [str(ticket.id) async for ticket in client.iter_tickets()]
    assert await asyncio.to_thread(os.listdir, tmp_path) == ["tickets.csv"]
    with (tmp_path / "tickets.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["id"] for row in DictReader(file)] == ids
    [words] = printed
    assert f"# {' '.join(map(str, words))}\n" in EXPORT


async def test_batch_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample of a batch closes every pending ticket once, prints nothing, and keeps a journal."""
    monkeypatch.chdir(tmp_path)
    printed: list[object] = []
    async with Sandbox(tickets=500) as sandbox, sandbox.client() as client:
        pending = (await client.list_tickets(TicketQuery(status=TicketStatus.PENDING))).pagination.total
        await run(BATCH, client=client, print=lambda *words: printed.append(words))
        assert len({applied.ticket_id for applied in sandbox.applied}) == len(sandbox.applied) == pending > 50
    assert printed == []
    assert (tmp_path / "closes.journal").stat().st_size > 0


def test_commands() -> None:
    """Both commands make their own virtual environment, and .ci/run takes the test command from here."""
    commands = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert [re.findall(r"-m venv (\S+)", command) for command in commands[:2]] == [[".venv"], [".venv-test"]]
    assert "grep -m 1 'pytest' README.md" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_length() -> None:
    """It can be read in one sitting."""
    assert README.count("\n") <= 195
