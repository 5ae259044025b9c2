"""A nightly export: every ticket created before today, in a table of DuckDB; run it again after any failure.

    python nightly_export.py FOLDER DATABASE

Exit codes: 0 all is in the table; 1 the export or the table failed: run it again, and until midnight (China) an export
that was cut short goes on; 3 the table has what could be read, and stderr says what was left out or is not certain.
What failed nights left in FOLDER stays.
"""

import asyncio
import sys
from datetime import datetime, time
from pathlib import Path

import duckdb

from workorder_async import CHINA_STANDARD_TIME, TicketQuery, WorkorderClient, WorkorderError, explain
from workorder_async.exports import ExportReport, export_tickets


async def export(folder: Path) -> ExportReport:
    """Write the file of today, or go on with it; a row that cannot be read is left out."""
    today = datetime.now(CHINA_STANDARD_TIME).date()
    query = TicketQuery(created_end=datetime.combine(today, time(), CHINA_STANDARD_TIME))
    target = folder / f"tickets-{today}.parquet"
    async with WorkorderClient.from_env() as client:
        return await export_tickets(client, query, target, overwrite=True, on_bad_row="skip")


def load(source: Path, database: Path) -> None:
    """Replace the table in one transaction, and show what it holds."""
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE OR REPLACE TABLE tickets AS SELECT * FROM read_parquet(?)", [str(source)])
        for row in connection.execute("SELECT status_name, count(*) FROM tickets GROUP BY ALL ORDER BY 1").fetchall():
            print(*row)


def main(folder: Path, database: Path) -> int:
    """Export, load, say what was left out, and return the exit code."""
    try:
        report = asyncio.run(export(folder))
        load(report.target, database)
    except WorkorderError as error:
        print(explain(error), error, sep="\n", file=sys.stderr)
        return 1
    except duckdb.Error as error:  # as where somebody has the database open
        print(f"the table was not replaced: {error}", file=sys.stderr)
        return 1
    print(f"{report.rows} tickets: {report.reason}")
    for row in report.skipped:
        print(f"left out: ticket {row.id}, {row.path} is {row.got}, expected {row.expected}", file=sys.stderr)
    if not report.exact:
        print(f"not certain: {report.reason}", file=sys.stderr)
    return 0 if report.exact else 3


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
