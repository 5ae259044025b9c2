"""Makes report.html: the page of `workorder report` over tickets that the sandbox invents."""

import asyncio
import tempfile
from pathlib import Path

from workorder_async import Sandbox, TicketQuery
from workorder_async.exports import export_tickets
from workorder_async.mirror.figures import figures_of
from workorder_async.mirror.page import page_of


async def _export(target: Path) -> None:
    async with Sandbox(tickets=2000) as sandbox, sandbox.client() as client:
        await export_tickets(client, TicketQuery(), target)


def picture() -> str:
    """Return the page."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "tickets.jsonl")
        asyncio.run(_export(target))
        return "".join(page_of(figures_of(target), "2,000 invented ones", "en"))


if __name__ == "__main__":
    Path(__file__).with_suffix(".html").write_text(picture(), "utf-8")
