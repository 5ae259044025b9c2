"""examples/datasette/: every question has an answer, in Datasette too, while a run writes the database."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.mirrors import asked
from tests.support.programs import FOLDER
from workorder_async import Sandbox
from workorder_async.mirror import mirror_tickets

METADATA = FOLDER / "datasette" / "metadata.json"
QUERIES: dict[str, Any] = json.loads(METADATA.read_text("utf-8"))["databases"]["tickets"]["queries"]


async def test_questions(tmp_path: Path) -> None:
    """SQLite answers each of them."""
    path = tmp_path / "tickets.db"
    async with Sandbox(tickets=300) as sandbox, sandbox.client() as client:
        await mirror_tickets(client, path)
        await sandbox.change(close=3)
        await mirror_tickets(client, path)
    for name, query in QUERIES.items():
        rows = asked(path, query["sql"].replace(":words", "'实例无'" if name == "with_words" else ""))
        assert rows or name == "with_words", name
    ((opened,),) = asked(path, "SELECT count(*) FROM tickets WHERE status IN (1, 2)")
    assert sum(row[1] for row in asked(path, QUERIES["open_by_product_line"]["sql"])) == opened
    assert len([row for row in asked(path, QUERIES["what_happened"]["sql"]) if row[3] == "status"]) == 3


@pytest.mark.engines
@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("default")
async def test_in_datasette(tmp_path: Path) -> None:
    """Datasette reads while a run writes."""
    path = tmp_path / "tickets.db"
    async with Sandbox(tickets=1000) as sandbox, sandbox.client() as client:
        await mirror_tickets(client, path)
        await sandbox.change(close=5)
        datasette = pytest.importorskip("datasette.app").Datasette(
            [str(path)], metadata=json.loads(METADATA.read_text())
        )
        await datasette.invoke_startup()
        run = asyncio.create_task(mirror_tickets(client, path, full=True))
        for name in QUERIES:
            answer = await datasette.client.get(f"/tickets/{name}.json?_shape=array&words=实例无")
            assert answer.status_code == 200, answer.text
            assert isinstance(answer.json(), list)
        await run
