"""examples/: each program, as somebody would run it, against a sandbox; each is short and typed."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from tests.support.mutations import creation
from tests.support.programs import FOLDER, ran
from workorder_async import CHINA_STANDARD_TIME, Sandbox, TicketQuery, TicketStatus
from workorder_async.sandbox import Fault

EXAMPLES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_short(path: Path) -> None:
    """A program is read in one go."""
    assert len(path.read_text("utf-8").splitlines()) < 120


def test_the_bot_has_little_glue() -> None:
    """What is the bot's own, besides Feishu's protocol, fits on a screen."""
    _, _, own = (FOLDER / "feishu_bot.py").read_text("utf-8").partition("# The bot\n")
    lines = [line for line in own.splitlines() if line.strip() and not line.strip().startswith(('"""', "#"))]
    assert 20 < len(lines) <= 40


def test_all_of_them() -> None:
    """No program is left out here, and in the files beside this one."""
    names = ["close_old.py", "fastapi_service.py", "feishu_bot.py", "nightly_export.py", "prometheus_page.py"]
    assert [path.name for path in EXAMPLES] == names


@pytest.mark.slow
async def test_nightly_export(tmp_path: Path) -> None:
    """A night that ends in an error is gone on with; the table then holds each ticket once, after another run too."""
    database = tmp_path / "tickets.duckdb"
    async with Sandbox(tickets=2500) as sandbox, sandbox.client() as client:
        sandbox.faults = [Fault("errno", operation="list_tickets", errno=90011, after=12)]
        code, out = await ran(sandbox.environment, "nightly_export.py", tmp_path, database)
        assert (code, database.exists()) == (1, False), out
        sandbox.faults = []
        database.write_text("no database")
        code, out = await ran(sandbox.environment, "nightly_export.py", tmp_path, database)
        assert (code, "the table was not replaced: " in out, "Traceback" in out) == (1, True, False), out
        database.unlink()
        for _ in range(2):
            code, out = await ran(sandbox.environment, "nightly_export.py", tmp_path, database)
            assert code == 0, out
        today = datetime.now(CHINA_STANDARD_TIME).replace(hour=0, minute=0, second=0)
        truth = sorted([ticket.id async for ticket in client.iter_tickets(TicketQuery(created_end=today))])
    with duckdb.connect(str(database)) as connection:
        assert [id for (id,) in connection.execute("SELECT id FROM tickets ORDER BY 1").fetchall()] == truth
    assert "已关闭 " in out


@pytest.mark.slow
async def test_nightly_export_that_leaves_out(tmp_path: Path) -> None:
    """A row that cannot be read is named, and the exit code is 3; the others are in the table."""
    database = tmp_path / "tickets.duckdb"
    bad = [Fault("bad_row", operation="list_tickets")]
    async with Sandbox(tickets=300, faults=bad) as sandbox:
        code, out = await ran(sandbox.environment, "nightly_export.py", tmp_path, database)
    assert code == 3, out
    assert "left out: ticket " in out
    assert "not certain: " in out
    with duckdb.connect(str(database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM tickets").fetchall()[0]
    assert 200 < count < 300


@pytest.mark.slow
async def test_close_old(tmp_path: Path) -> None:
    """A run with failures ends with 1 and says which; the next one sends those again. Younger tickets stay open."""
    async with Sandbox(tickets=300) as sandbox, sandbox.client() as client:
        query = TicketQuery(status=TicketStatus.PENDING)
        pending = sorted([(one.created_time, one.id) async for one in client.iter_tickets(query)])
        # Between two tickets that lie far apart, since the program asks a second later.
        (before, _), (after, _) = max(pairwise(pending[5:-5]), key=lambda two: two[1][0] - two[0][0])
        until = (before + after) / 2
        days = (datetime.now(UTC).timestamp() - until) / 86400
        old, young = ([id for at, id in pending if (at < until) == is_old] for is_old in (True, False))
        command = ("close_old.py", days, 40084, tmp_path / "close.journal")
        sandbox.faults = [Fault("errno", operation="close_ticket", errno=90003, times=3)]
        code, out = await ran(sandbox.environment, *command)
        assert (code, "rejected: 3" in out, f"done: {len(old) - 3}" in out) == (1, True, True), out
        code, out = await ran(sandbox.environment, *command)
        assert (code, "done: 3" in out) == (0, True), out
        assert sorted(applied.ticket_id for applied in sandbox.applied) == sorted(old)
        assert sorted([one.id async for one in client.iter_tickets(query)]) == sorted(young)


@pytest.mark.slow
async def test_close_old_that_cannot_close_all(tmp_path: Path) -> None:
    """A ticket without a creator stays open; where tickets may be missing, the program ends with 1."""
    async with Sandbox(tickets=0) as sandbox, sandbox.client() as client:
        nobodys, *others = [await client.create_ticket(creation()) for _ in range(3)]
        command = ("close_old.py", 1e-9, 40084, tmp_path / "close.journal")
        sandbox._store.update(nobodys, {"creator_name": ""})
        code, out = await ran(sandbox.environment, *command)
        assert (code, f"ticket {nobodys} names no creator, and stays open" in out) == (0, True), out
        assert sorted(one.ticket_id for one in sandbox.applied if one.operation == "close_ticket") == others
        sandbox._store.update(nobodys, {"created_time": 0})
        code, out = await ran(sandbox.environment, *command)
        assert (code, "not all may have been seen: 1 tickets have no created time" in out) == (1, True), out
        sandbox.faults = [Fault("errno", operation="list_tickets", errno=90011)]
        code, out = await ran(sandbox.environment, *command)
        assert (code, "errno 90011" in out, "Traceback" in out, "not all may" in out) == (1, True, False, True), out
