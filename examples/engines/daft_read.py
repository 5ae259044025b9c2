"""Tickets as a Daft data frame, without a JVM: each of its tasks reads a window of the list.

    WORKORDER_BASE_URL=... python examples/engines/daft_read.py

When not to use it: one process reads tens of thousands of tickets a second, and `workorder export tickets.parquet` goes
on after a crash; the local runner of Daft gives up a query of which one window fails. Use it where tickets are joined
with what Daft reads anyway.
"""

import asyncio
from collections.abc import AsyncIterator

import daft
from daft.io.pushdowns import Pushdowns
from daft.io.source import DataSource, DataSourceTask
from daft.recordbatch import RecordBatch
from daft.schema import Schema

from workorder_async import TicketQuery, Window, WorkorderClient
from workorder_async.integrations.arrow_batches import arrow_batches, arrow_schema


class WindowOfTickets(DataSourceTask):
    """The tickets of one window."""

    def __init__(self, window: Window) -> None:
        self._window = window

    @property
    def schema(self) -> Schema:
        """Return the columns of exports."""
        return Schema.from_pyarrow_schema(arrow_schema())

    async def read(self) -> AsyncIterator[RecordBatch]:
        """Read the window, in a thread that may wait."""
        batches = arrow_batches(self._window)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            yield RecordBatch.from_arrow_record_batches([batch], batch.schema)


class Tickets(DataSource):
    """The tickets that match a query."""

    def __init__(self, query: TicketQuery) -> None:
        self._query = query

    @property
    def name(self) -> str:
        """Return the name that plans show."""
        return "workorder"

    @property
    def schema(self) -> Schema:
        """Return the columns of exports."""
        return Schema.from_pyarrow_schema(arrow_schema())

    async def get_tasks(self, pushdowns: Pushdowns) -> AsyncIterator[WindowOfTickets]:
        """Make a task of each window."""
        async with WorkorderClient.from_env() as client:
            windows = await client.plan_windows(self._query)
        for window in windows:
            yield WindowOfTickets(window)


def main() -> None:
    """Count the tickets of each status."""
    tickets = Tickets(TicketQuery()).read()
    tickets.groupby("status_name").agg(daft.col("id").count()).sort("id").show()


if __name__ == "__main__":
    main()
