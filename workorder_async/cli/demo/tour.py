"""The steps of `workorder demo`: export, walk, batch, upload, creation, comment; each is counted and read back."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from workorder_async.cli.exporting import Going
from workorder_async.cli.failures import sentence
from workorder_async.cli.terminal.progress import Bar
from workorder_async.document import (
    Attachment,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    Priority,
    TicketQuery,
    TicketStatus,
    TicketSummary,
    TicketType,
)
from workorder_async.document.json_text import loads

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient
    from workorder_async.sandbox import Sandbox
    from workorder_async.walk_report import WalkReport

AT_ONCE: Final = 16
TRACE: Final = b"2024-01-31 09:30:00 gateway: upstream timed out\n" * 1000
_PENDING: Final = TicketQuery(status=TicketStatus.PENDING)
_PAGE: Final = 100
_COMMENT: Final = "已复现, 正在排查 (commented by workorder demo)"


@define
class Tour:
    """What the demo does with a client, one step a method; `facts` are for the summary, `complaints` should be none."""

    client: "WorkorderClient"
    sandbox: "Sandbox"
    facts: list[tuple[str, str]] = field(factory=list)
    complaints: list[str] = field(factory=list)
    known_id: int | str = "ID"

    async def export(self, tickets: int, output: Path) -> None:
        """Export all tickets, 8 requests at a time, into a file; then count what the file holds."""
        from workorder_async.exports import export_tickets

        with Bar("exporting", delay=0) as bar:
            report = await export_tickets(
                self.client,
                TicketQuery(),
                output,
                format="jsonl",
                resume=False,
                overwrite=True,
                on_progress=Going(bar),
            )
        ids: list[int] = await asyncio.to_thread(_ids_in, output)
        self.facts += [
            ("tickets", f"{tickets:,}"),
            ("lines written", f"{len(ids):,} to {output}"),
            ("unique ids", f"{len(set(ids)):,}"),
            ("seconds", f"{report.seconds:.2f}"),
            ("tickets/s", f"{len(ids) / report.seconds:,.0f}"),
        ]
        self.known_id = ids[0] if ids else "ID"
        self._require(len(ids) == tickets, f"{output} has {len(ids):,} lines instead of {tickets:,}")
        self._require(len(set(ids)) == len(ids), f"{output} has ids that come more than once")
        await self._export_parquet(ids, output.with_name(f"{output.name}.parquet"))

    async def _export_parquet(self, ids: list[int], output: Path) -> None:
        """Export the same tickets to Parquet, where pyarrow is there; then read back what that file holds."""
        from workorder_async.exports import export_tickets
        from workorder_async.extras import install_line

        if find_spec("pyarrow") is None:
            self.facts.append(("parquet", f"needs pyarrow: {install_line('parquet')}"))
            return
        await export_tickets(self.client, TicketQuery(), output, resume=False, overwrite=True)
        found = await asyncio.to_thread(_ids_in_parquet, output)
        self.facts.append(("parquet", f"{len(found):,} rows to {output}"))
        self._require(sorted(found) == sorted(ids), f"{output} does not have the same tickets")

    async def read_moving(self) -> None:
        """Read the pending tickets, page by page and by a walk; after each read others close five and create one."""
        from workorder_async.sandbox import Drift

        missing = 0
        for name, read in (("page by page", self._paged), ("walk", self._walked)):
            before, _ = await self._walked()
            changes, self.sandbox.drift = len(self.sandbox.drifted), [Drift(every=1, close=5, create=1)][: len(before)]
            found, remark = await read()
            self.sandbox.drift = ()
            stayed = before - {id for one in self.sandbox.drifted[changes:] for id in one.closed}
            missing = len(stayed - found)
            self.facts.append((name, f"{missing} of {len(stayed):,} that stayed pending are missing{remark}"))
        self._require(not missing, f"the walk lacks {missing} tickets that stayed pending")

    async def _paged(self) -> tuple[set[int], str]:
        """Read the pending tickets by the numbers of their pages, as a loop of one's own does."""
        found, number, left = set[int](), 0, 1
        while left > 0:
            number += 1
            page = await self.client.list_tickets(_PENDING, page=number, page_size=_PAGE)
            found.update(ticket.id for ticket in page.tickets)
            left = page.pagination.total - number * _PAGE
        return found, ""

    async def _walked(self) -> tuple[set[int], str]:
        async with self.client.walk(_PENDING, page_size=_PAGE) as walk:
            found = {ticket.id async for tickets in walk for ticket in tickets}
        return found, f"; {walk_in_words(walk.report)}"

    async def close_pending(self, number: int) -> None:
        """Close pending tickets on their creators' behalf, at most 16 at a time."""
        from workorder_async.batches.batch import run_batch
        from workorder_async.batches.outcomes import BatchReport, State

        pending: list[TicketSummary] = []
        async with self.client.walk(_PENDING) as walk:
            async for tickets in walk:
                pending += tickets
                if len(pending) >= number:
                    break
        # The sandbox knows a creator by the name; the number of the address book may be any.
        closes = [
            CloseTicket(id=ticket.id, closer_id=40084, closer_name=ticket.creator_name, solved_time=datetime.now(UTC))
            for ticket in pending[:number]
        ]
        report = BatchReport()
        started = perf_counter()
        with Bar("closing", delay=0) as bar:
            batch = run_batch(self.client, closes, concurrency=AT_ONCE, report=report)
            async with aclosing(batch) as outcomes:
                async for _ in outcomes:
                    bar(report.total, len(closes))
        seconds = perf_counter() - started
        closed = report.counts[State.DONE]
        self.facts.append(("closed", f"{closed} of {len(closes)} pending, {AT_ONCE} at a time, in {seconds:.2f} s"))
        self.complaints += [f"ticket {one.ticket_id}: {sentence(one.error)}" for one in report.unsettled if one.error]

    async def create_and_comment(self) -> None:
        """Upload a file, create a ticket with it, comment on that, and read both back through its detail."""
        with Bar("uploading", unit="bytes", delay=0) as bar:
            attachment = await self.client.upload_file(TRACE, file_name="trace.log", on_progress=bar)
        id = await self.client.create_ticket(new_ticket(attachment))
        await self.client.comment_ticket(CommentTicket(id=id, detail=_COMMENT))
        detail = await self.client.get_ticket_detail(id)
        said = [step.detail for assign in detail.assigns for step in assign.history if step.detail == _COMMENT]
        sizes = [file.file_size for file in detail.attachment]
        self.facts += [
            ("created", f"ticket {id}"),
            ("comment read back", ", ".join(said)),
            (
                "upload",
                f"{attachment.file_name}, {', '.join(f'{size:,}' for size in sizes)} bytes by the ticket's detail",
            ),
        ]
        self._require(said == [_COMMENT], f"the detail of ticket {id} does not show the comment once")
        self._require(sizes == [len(TRACE)], f"the detail of ticket {id} does not show the {len(TRACE):,} bytes sent")

    def _require(self, holds: bool, complaint: str) -> None:
        """Note a complaint where something does not hold."""
        if not holds:
            self.complaints.append(complaint)


def _ids_in(file: Path) -> list[int]:
    with file.open("rb") as lines:
        return [loads(line)["id"] for line in lines]


def _ids_in_parquet(file: Path) -> list[int]:
    parquet: Any = import_module("pyarrow.parquet")
    ids: list[int] = parquet.read_table(file, columns=["id"]).column("id").to_pylist()
    return ids


def walk_in_words(report: "WalkReport") -> str:
    """Say whether a walk was exact, and why or why not."""
    return f"{'exact' if report.exact else 'not exact'}: {report.reason}"


def new_ticket(attachment: Attachment, title: str = "网关超时, 请协助排查") -> CreateTicket:
    """Return a ticket to be created, with a file."""
    return CreateTicket(
        title=title,
        detail="09:30 起部分请求超时, 日志见附件。",
        reported_time=datetime.now(UTC),
        type=TicketType.TROUBLESHOOTING,
        priority=Priority.HIGH,
        customer_organization_id=5001,
        customer_organization_name="北京晨曦网络科技有限公司",
        repository_product_id=36,
        creator_id=210002,
        creator_name="姜程",
        attachment=[attachment],
    )
