"""`workorder export`: tickets to a file of JSON Lines that has its name only once it is complete."""

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, nullcontext
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, BinaryIO

from cyclopts import Parameter

from workorder_async.cli.completeness import doubt
from workorder_async.cli.connection import BY_ENVIRONMENT, Connection, Flag
from workorder_async.cli.filters import EVERYTHING, TicketFilters
from workorder_async.cli.terminal.output import note, write_json
from workorder_async.cli.terminal.progress import Bar
from workorder_async.cli.terminal.running import run
from workorder_async.cli.values import Whole
from workorder_async.durable import written_whole
from workorder_async.errors import ConfigError
from workorder_async.models import JSON, TicketQuery
from workorder_async.protocol.codec import encode, to_json
from workorder_async.walk_report import WalkReport, together
from workorder_async.walks.options import WalkOptions

if TYPE_CHECKING:
    from workorder_async.client.client import WorkorderClient
    from workorder_async.walks.handing_out import WalkedPage
    from workorder_async.walks.walk import Walk


def export(
    *,
    output: Annotated[str, Parameter(help="The file to write; - for stdout.")],
    raw: Annotated[Flag, Parameter(help="Write the platform's own objects, as they came.")] = False,
    concurrency: Annotated[
        Whole, Parameter(help="Requests in flight at once, at most (32 is the most there are).")
    ] = 8,
    page_size: Annotated[Whole, Parameter(help="Tickets to ask for per request.")] = 100,
    verify: Annotated[
        Flag, Parameter(help="Go over the list until nothing new comes, where tickets may leave and enter meanwhile.")
    ] = False,
    skip_bad_rows: Annotated[
        Flag, Parameter(help="Leave out tickets that cannot be read, and name them at the end.")
    ] = False,
    filters: TicketFilters = EVERYTHING,
    connection: Connection = BY_ENVIRONMENT,
) -> int:
    """Write all tickets that match to a file, one JSON object per line.

    The file is written under another name beside it and renamed at the end: what is cut short leaves the old one as
    it was. A summary goes to stderr.
    """
    if not output.strip() or output.endswith("/"):
        raise ConfigError(f"--output {output!r} names no file; name one, or - for stdout")
    queries = filters.queries()
    options = WalkOptions(
        page_size=page_size,
        concurrency=concurrency,
        verify=verify,
        on_bad_row="skip" if skip_bad_rows else "raise",
    )
    return run(_export(connection.client(), queries, output, options, raw=raw))


async def _export(
    client: "WorkorderClient", queries: Sequence[TicketQuery], output: str, options: WalkOptions, *, raw: bool
) -> int:
    started = perf_counter()
    to_stdout = output == "-"
    tickets, reports = 0, list[WalkReport]()
    async with client:
        with (
            nullcontext() if to_stdout else written_whole(Path(output)) as file,
            Bar("exporting", shown=not (file or sys.stdout).isatty()) as bar,
        ):
            for query in queries:
                async with client.walk(query, **options) as walk:
                    tickets += await write_lines(walk, file, bar, raw=raw)
                reports.append(walk.report)
    seconds = perf_counter() - started
    place = "" if to_stdout else f" to {output}"
    report = together(reports) if len(reports) > 1 else reports[0]
    note(f"exported {tickets:,} tickets{place} in {seconds:.1f} s ({tickets / seconds:,.0f} tickets/s)")
    for row in report.skipped:
        which = "a ticket without a number" if row.id is None else f"ticket {row.id}"
        note(f"workorder: left out {which}: {row.path} is {row.got}, not {row.expected}")
    if report.skipped_rows > len(report.skipped):
        note(f"... and {report.skipped_rows - len(report.skipped):,} more")
    if not report.exact:
        note(f"it may not be complete: {doubt(report, '--verify settles it')}")
    return 0


async def write_lines(walk: "Walk", file: BinaryIO | None, bar: Bar, *, raw: bool = False) -> int:
    """Write a walk's tickets as JSON Lines, with one write a page, to a file or (None) stdout; return how many."""
    written = 0
    async with aclosing(walked(walk)) as pages:
        async for page, total in pages:
            values: list[JSON] = [*page.rows] if raw else [encode(ticket) for ticket in walk.decode(page)]
            if file is None:
                write_json(values)
            else:
                file.write(b"".join(to_json(value) + b"\n" for value in values))
            written += len(values)
            bar(written, total)
    return written


async def walked(walk: "Walk") -> AsyncGenerator[tuple["WalkedPage", int]]:
    """Yield a walk's pages, and how many tickets the platform counted when it gave each."""
    while True:
        try:
            page = await walk.next_page()
        except StopAsyncIteration:
            return
        yield page, page.total
