"""A nightly export: every ticket created before today, in a table of DuckDB; run it again after any failure."""

import asyncio
import sys
from datetime import datetime, time
from pathlib import Path

import duckdb

from workorder_async import CHINA_STANDARD_TIME, TicketQuery, WorkorderClient
from workorder_async.exports import export_tickets


async def export(folder: Path) -> Path:
    """Write the file of today, or go on with it; end the program where it may not be exact."""
    today = datetime.now(CHINA_STANDARD_TIME).date()
    query = TicketQuery(created_end=datetime.combine(today, time(), CHINA_STANDARD_TIME))
    target = folder / f"tickets-{today}.parquet"
    async with WorkorderClient.from_env() as client:
        report = await export_tickets(client, query, target, overwrite=True)
    print(f"{report.rows} tickets, {report.reason}")
    if not report.exact:
        sys.exit(1)
    return target


def load(source: Path, database: Path) -> None:
    """Replace the table in one transaction, and show what it holds."""
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE OR REPLACE TABLE tickets AS SELECT * FROM read_parquet(?)", [str(source)])
        for row in connection.execute("SELECT status_name, count(*) FROM tickets GROUP BY ALL ORDER BY 1").fetchall():
            print(*row)


if __name__ == "__main__":
    load(asyncio.run(export(Path(sys.argv[1]))), Path(sys.argv[2]))
