"""`workorder demo`: the whole thing once, against an embedded sandbox: walk, export, batch, comment, upload."""

import asyncio
import shlex
import shutil
import sys
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Final

import orjson
from attrs import define, field
from cyclopts import Parameter, validators

from workorder_async.cli.connection import Flag, log_to_stderr
from workorder_async.cli.exporting import write_lines, written_whole
from workorder_async.cli.failures import sentence
from workorder_async.cli.output import err, note, out, print_fields, print_heading
from workorder_async.cli.progress import Bar
from workorder_async.cli.running import run
from workorder_async.models import (
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

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient
from workorder_async.cli.values import Whole

_AT_ONCE: Final = 16
_TRACE: Final = b"2024-01-31 09:30:00 gateway: upstream timed out\n" * 1000
_COMMENT: Final = "已复现, 正在排查 (commented by workorder demo)"
_NEXT: Final = """\
head -2 {output}
{workorder} sandbox                  # leave it running, copy its four lines into another terminal, and there:
{workorder} list --status pending
{workorder} show {id}
{workorder} doctor"""


def demo(
    *,
    tickets: Annotated[Whole, Parameter(help="How many tickets the sandbox has.")] = 5000,
    output: Annotated[Path, Parameter(help="The file to write them to.")] = Path("demo-tickets.jsonl"),
    closes: Annotated[Whole, Parameter(help="Pending tickets to close.", validator=validators.Number(gte=0))] = 200,
    latency: Annotated[float, Parameter(help="Seconds that the sandbox takes to answer.")] = 0.05,
    verbose: Annotated[Flag, Parameter(help="Log every attempt to stderr.")] = False,
) -> int:
    """See the real thing work, without any configuration.

    Starts a sandbox, walks over all its tickets into a file of JSON Lines, closes pending ones, creates a ticket with
    an upload, comments on it and reads it back; exits with 0 only when everything arrived.
    """
    if verbose:
        log_to_stderr()
    return run(_demo(tickets, output, closes, latency))


async def _demo(tickets: int, output: Path, closes: int, latency: float) -> int:
    from workorder_async.sandbox import Sandbox

    async with AsyncExitStack() as stack:
        with err().status(f"making {tickets:,} tickets ..."):
            sandbox = await stack.enter_async_context(Sandbox(tickets, latency=latency))
        note(f"a sandbox with {tickets:,} invented tickets runs at {sandbox.url}, {latency:g} s per answer")
        client = await stack.enter_async_context(sandbox.client())
        tour = Tour(client)
        await tour.export(tickets, output)
        await tour.close_pending(closes)
        await tour.create_and_comment()
    print_heading("what happened")
    print_fields(tour.facts)
    print_heading("try next")
    words = _NEXT.format(output=shlex.quote(str(output)), id=tour.known_id, workorder=_as_called())
    out().print(words, soft_wrap=True)
    for complaint in tour.complaints:
        note(f"workorder: {complaint}")
    return 1 if tour.complaints else 0


def _as_called() -> str:
    """Return the command's name, or where that would not be found, the path by which it was called."""
    path = sys.argv[0]
    return shlex.quote(path) if Path(path).name == "workorder" and not shutil.which("workorder") else "workorder"


@define
class Tour:
    """What the demo does with a client, one step a method; `facts` are for the summary, `complaints` should be none."""

    client: "WorkorderClient"
    facts: list[tuple[str, str]] = field(factory=list)
    complaints: list[str] = field(factory=list)
    known_id: int | str = "ID"

    async def export(self, tickets: int, output: Path) -> None:
        """Walk over all tickets, 8 requests at a time, into a file; then count what the file holds."""
        started = perf_counter()
        with Bar("walking", delay=0) as bar, written_whole(output) as file:
            async with self.client.walk() as walk:
                await write_lines(walk, file, bar)
        seconds = perf_counter() - started
        ids: list[int] = await asyncio.to_thread(_ids_in, output)
        self.facts += [
            ("tickets", f"{tickets:,}"),
            ("lines written", f"{len(ids):,} to {output}"),
            ("unique ids", f"{len(set(ids)):,}"),
            ("seconds", f"{seconds:.2f}"),
            ("tickets/s", f"{len(ids) / seconds:,.0f}"),
        ]
        self.known_id = ids[0] if ids else "ID"
        self._require(len(ids) == tickets, f"{output} has {len(ids):,} lines instead of {tickets:,}")
        self._require(len(set(ids)) == len(ids), f"{output} has ids that come more than once")

    async def close_pending(self, number: int) -> None:
        """Close pending tickets on their creators' behalf, at most 16 at a time."""
        from workorder_async.batch import BatchReport, State, run_batch

        pending: list[TicketSummary] = []
        async with self.client.walk(TicketQuery(status=TicketStatus.PENDING)) as walk:
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
            batch = run_batch(self.client, closes, concurrency=_AT_ONCE, report=report)
            async with aclosing(batch) as outcomes:
                async for _ in outcomes:
                    bar(report.total, len(closes))
        seconds = perf_counter() - started
        closed = report.counts[State.DONE]
        self.facts.append(("closed", f"{closed} of {len(closes)} pending, {_AT_ONCE} at a time, in {seconds:.2f} s"))
        self.complaints += [f"ticket {one.ticket_id}: {sentence(one.error)}" for one in report.unsettled if one.error]

    async def create_and_comment(self) -> None:
        """Upload a file, create a ticket with it, comment on that, and read both back through its detail."""
        with Bar("uploading", unit="bytes", delay=0) as bar:
            attachment = await self.client.upload_file(_TRACE, file_name="trace.log", on_progress=bar)
        id = await self.client.create_ticket(_new_ticket(attachment))
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
        self._require(sizes == [len(_TRACE)], f"the detail of ticket {id} does not show the {len(_TRACE):,} bytes sent")

    def _require(self, holds: bool, complaint: str) -> None:
        if not holds:
            self.complaints.append(complaint)


def _ids_in(file: Path) -> list[int]:
    with file.open("rb") as lines:
        return [orjson.loads(line)["id"] for line in lines]


def _new_ticket(attachment: Attachment) -> CreateTicket:
    return CreateTicket(
        title="网关超时, 请协助排查",
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
