"""`workorder list`: tickets as a table, as lines, or as JSON."""

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from math import ceil
from typing import TYPE_CHECKING, Annotated

from attrs import frozen
from cyclopts import Parameter, validators

from workorder_async.cli.connection import BY_ENVIRONMENT, Connection, Flag
from workorder_async.cli.filters import EVERYTHING, TicketFilters
from workorder_async.cli.terminal.output import note, tell
from workorder_async.cli.terminal.progress import Bar
from workorder_async.cli.terminal.running import run
from workorder_async.cli.terminal.ticket_list import USUAL, Layout, layout_of
from workorder_async.cli.values import Whole
from workorder_async.document import TicketQuery, TicketSummary
from workorder_async.errors import ConfigError

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

_PAGE = 100


def list_tickets(
    *,
    limit: Annotated[Whole, Parameter(help="Tickets to show; 0 for all.", validator=validators.Number(gte=0))] = 20,
    json: Annotated[Flag, Parameter(help="Print one JSON object per line.")] = False,
    fields: Annotated[
        str | None,
        Parameter(help="What to show, such as id,title,created_at; `workorder columns` prints them."),
    ] = None,
    header: Annotated[Flag, Parameter(help="Begin with the fields' names, also where stdout is no terminal.")] = False,
    count: Annotated[Flag, Parameter(help="Print only how many match, as the platform counts them.")] = False,
    filters: TicketFilters = EVERYTHING,
    connection: Connection = BY_ENVIRONMENT,
) -> int:
    """List tickets: a table on a terminal, tab-separated lines elsewhere, or JSON.

    A narrow terminal shows fewer fields. Elsewhere all of them are there, and nothing is cut.
    """
    queries = filters.queries()
    if count:
        if header or fields is not None:
            raise ConfigError("--count prints a number alone; leave out --fields and --header")
        return run(_count(connection.client(), queries))
    printing = _Printing(USUAL if fields is None else layout_of(fields), as_json=json, header=header)
    return run(_list(connection.client(), queries, limit, printing))


@frozen
class _Printing:
    """How tickets are printed."""

    layout: Layout
    as_json: bool
    header: bool

    def __call__(self, tickets: list[TicketSummary], *, first: bool) -> None:
        """Print tickets, the `first` ones below a header."""
        if self.as_json:
            self.layout.print_json(tickets)
        else:
            self.layout.print(tickets, first=first, header=self.header)


async def _count(client: "WorkorderClient", queries: Sequence[TicketQuery]) -> int:
    """Print how many tickets match, by one request for each query."""
    async with client:
        pages = [await client.list_tickets(query, page_size=1) for query in queries]
    tell(str(sum(page.pagination.total for page in pages)))
    return 0


async def _list(client: "WorkorderClient", queries: Sequence[TicketQuery], limit: int, printing: _Printing) -> int:
    """Print the tickets page by page, each once, then how many there are."""
    seen: set[int] = set()
    total, first = 0, True
    with Bar("listing", shown=not sys.stdout.isatty()) as bar:
        async with client:
            for query in queries:
                before = total
                async with aclosing(_pages(client, query, limit - len(seen) if limit else None)) as pages:
                    async for tickets, matching in pages:
                        new = [ticket for ticket in tickets if ticket.id not in seen]
                        printing(new, first=first)
                        first = False
                        seen.update(ticket.id for ticket in new)
                        total = before + matching
                        bar(len(seen), min(total, limit or total))
    if not printing.as_json:
        more = "; --limit 0 shows all" if len(seen) < total else ""
        note(f"{len(seen):,} of {total:,} tickets{more}" if total else "no ticket matches")
    return 0


async def _pages(
    client: "WorkorderClient", query: TicketQuery, limit: int | None
) -> AsyncGenerator[tuple[list[TicketSummary], int]]:
    """Yield at most `limit` tickets (None: all) page by page, and the total; one request where that is enough."""
    if limit is not None and limit <= _PAGE:
        page = await client.list_tickets(query, page_size=max(1, limit))
        if len(page.tickets) >= min(limit, page.pagination.total):
            yield page.tickets[:limit], page.pagination.total
            return
    left = sys.maxsize if limit is None else limit
    concurrency = min(8, ceil(left / _PAGE))
    async with client.walk(query, page_size=_PAGE, concurrency=concurrency) as walk:
        async for tickets in walk:
            yield tickets[:left], walk.report.first_total
            left -= len(tickets)
            if left <= 0:
                return
        if limit is None and not walk.report.exact:
            note(f"it may not be complete: {walk.report.reason}")
