"""What a mirror holds, and what the platform has, in one form; and tickets that vanish."""

import sqlite3
from contextlib import closing
from math import ceil
from pathlib import Path
from typing import Any, TypeAlias

from workorder_async import Sandbox, TicketQuery, TicketStatus, WorkorderClient
from workorder_async.exports import TICKET_COLUMNS
from workorder_async.sandbox.store import Store

Tickets: TypeAlias = dict[int, tuple[Any, ...]]
"""The cells of each ticket's row in a list, by its id."""


def asked(path: Path, question: str, *values: object) -> list[tuple[Any, ...]]:
    """Ask the database of a mirror, as anybody may."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute(question, values).fetchall()


def held(path: Path) -> Tickets:
    """Return the tickets that a mirror takes for listed."""
    names = ", ".join(TICKET_COLUMNS.names)
    return {row[0]: row for row in asked(path, f"SELECT {names} FROM tickets WHERE missing_since IS NULL")}


async def truth(client: WorkorderClient) -> Tickets:
    """Return the tickets that the platform lists."""
    return {ticket.id: tuple(TICKET_COLUMNS.read(ticket)) async for ticket in client.iter_tickets()}


async def open_pages(client: WorkorderClient) -> int:
    """Return how many pages the open tickets fill."""
    totals = [await client.count_tickets(TicketQuery(status=TicketStatus(status))) for status in (1, 2)]
    return sum(ceil(total / 100) for total in totals)


async def vanish(sandbox: Sandbox, *ids: int) -> None:
    """Take tickets away, whatever their status."""

    def delete(store: Store) -> None:
        for id in ids:
            store.delete(id)

    sandbox._store.make(delete)


async def update(sandbox: Sandbox, id: int, **fields: object) -> None:
    """Change columns of a ticket in the sandbox's database."""
    sandbox._store.make(lambda store: store.update(id, fields))


async def ids_of(sandbox: Sandbox, status: int) -> list[int]:
    """Return the ids of the tickets of a status."""
    return sorted(sandbox._store.ids(status))
