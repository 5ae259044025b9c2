"""Tickets into a DuckDB file by dlt, merged by their ids: the same command again brings it up to date.

    WORKORDER_BASE_URL=... python examples/engines/dlt_to_duckdb.py tickets.duckdb [SINCE]

SINCE, in seconds since 1970, reads only what was created since. A ticket that was created before and is closed
today is not seen then: the API cannot filter by changes, and an incremental load by created time never sees a close.

When not to use it: one process reads tens of thousands of tickets a second, and `workorder export tickets.parquet`
gives a file that DuckDB reads as it is. Use dlt where the tickets go into a warehouse that it fills anyway.
"""

import sys
from collections.abc import Iterator

import dlt
import pyarrow as pa

from workorder_async import TicketQuery, Window
from workorder_async.integrations.arrow_batches import arrow_batches


@dlt.resource(primary_key="id", write_disposition="merge")
def tickets(since: int | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the tickets as record batches."""
    yield from arrow_batches(Window(TicketQuery(created_start=since)))


def main(target: str, since: str = "") -> None:
    """Load the tickets into the table `workorder.tickets` of a file."""
    pipeline = dlt.pipeline("workorder", destination=dlt.destinations.duckdb(target), dataset_name="workorder")
    print(pipeline.run(tickets(int(since) if since else None)))


if __name__ == "__main__":
    main(*sys.argv[1:])
