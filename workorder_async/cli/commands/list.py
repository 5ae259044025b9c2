"""`workorder list`: tickets as a table, as lines, or as JSON."""

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from math import ceil
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from workorder_async.cli.commands.export import walked
from workorder_async.cli.completeness import doubt
from workorder_async.cli.connection import BY_ENVIRONMENT, Connection, Flag
from workorder_async.cli.filters import EVERYTHING, TicketFilters
from workorder_async.cli.terminal.output import note, print_tickets, write_json
from workorder_async.cli.terminal.progress import Bar
from workorder_async.cli.terminal.running import run
from workorder_async.cli.values import Whole
from workorder_async.models import TicketQuery, TicketSummary
from workorder_async.protocol.codec import decode_rows, encode

if TYPE_CHECKING:
    from workorder_async.client.client import WorkorderClient

_PAGE = 100


def list_tickets(
    *,
    limit: Annotated[Whole, Parameter(help="Tickets to show; 0 for all.", validator=validators.Number(gte=0))] = 20,
    json: Annotated[Flag, Parameter(help="Print one JSON object per line.")] = False,
    filters: TicketFilters = EVERYTHING,
    connection: Connection = BY_ENVIRONMENT,
) -> int:
    """List tickets: a table on a terminal, tab-separated lines elsewhere, or JSON."""
    query = filters.query()
    return run(_list(connection.client(), query, limit, as_json=json))


async def _list(client: "WorkorderClient", query: TicketQuery, limit: int, *, as_json: bool) -> int:
    """Print the tickets page by page, then how many there are."""
    shown = total = 0
    with Bar("listing", shown=not sys.stdout.isatty()) as bar:
        async with client, aclosing(_pages(client, query, limit)) as pages:
            async for tickets, total in pages:
                if as_json:
                    write_json(encode(ticket) for ticket in tickets)
                else:
                    print_tickets(tickets, first=not shown)
                shown += len(tickets)
                bar(shown, min(total, limit or total))
    if not as_json:
        more = "; --limit 0 shows all" if shown < total else ""
        note(f"{shown:,} of {total:,} tickets{more}" if total else "no ticket matches")
    return 0


async def _pages(
    client: "WorkorderClient", query: TicketQuery, limit: int
) -> AsyncGenerator[tuple[list[TicketSummary], int]]:
    """Yield at most `limit` tickets (0: all) page by page, and the total; one request where that is enough."""
    if 0 < limit <= _PAGE:
        page = await client.list_tickets(query, page_size=limit)
        if len(page.tickets) >= min(limit, page.pagination.total):
            yield page.tickets[:limit], page.pagination.total
            return
    left = limit or sys.maxsize
    concurrency = min(8, ceil(left / _PAGE))
    async with client.walk(query, page_size=_PAGE, concurrency=concurrency) as walk, aclosing(walked(walk)) as pages:
        async for walked_page, total in pages:
            rows = walked_page.rows[:left]
            yield decode_rows(rows, walked_page.answer), total
            left -= len(rows)
            if not left:
                return
        if not limit and not walk.report.exact:
            note(f"it may not be complete: {doubt(walk.report, '`workorder export --verify` settles it')}")
