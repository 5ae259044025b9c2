"""An export in a process of its own, to be killed; the sandbox comes from the environment.

Arguments: the target, and an object of JSON: options of `export_tickets`, and

    queries    what to export (everything)
    part       rows of a part (as many as by default)
    stop       stop this process once so many parts are durable, before the export can end

The report is printed as a line of JSON at the end, or what the export raised.
"""

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from workorder_async import RetryPolicy, SchemeSigner, TicketQuery, WorkorderClient, WorkorderError
from workorder_async.exports import ExportProgress, export_tickets, reading
from workorder_async.sandbox import SANDBOX_ERRNOS


def say(**facts: object) -> None:
    """Print a line on stderr: stdout may be the target."""
    sys.stderr.write(f"{orjson.dumps(facts).decode()}\n")
    sys.stderr.flush()


def told(manifest: Path, stop: int | None, progress: ExportProgress) -> None:
    """Say how far it is, and stop where that is wanted."""
    is_there = stop is not None and manifest.exists() and len(manifest.read_bytes().splitlines()) > stop
    say(phase=progress.phase, rows=progress.rows)
    if is_there:
        os.kill(os.getpid(), signal.SIGSTOP)


async def main(target: str, options: dict[str, Any]) -> None:
    """Export, as a user's program would."""
    queries = [TicketQuery(**query) for query in options.pop("queries", [{}])]
    reading.ROWS_OF_A_PART = options.pop("part", reading.ROWS_OF_A_PART)
    tell = partial(told, Path(f"{target}.manifest"), options.pop("stop", None))
    signer = SchemeSigner(*(os.environ[f"WORKORDER_{name}"] for name in ("APP_ID", "APP_SECRET", "SIGN_SCHEME")))
    retry = RetryPolicy(first=0.01)
    url = os.environ["WORKORDER_BASE_URL"]
    async with WorkorderClient(url, signer=signer, errnos=SANDBOX_ERRNOS, retry=retry) as client:
        try:
            report = await export_tickets(client, queries, target, on_progress=tell, **options)
        except WorkorderError as error:
            say(error=type(error).__name__, message=str(error))
        else:
            say(report=report.rows, resumed=report.resumed_rows, exact=report.exact)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], orjson.loads(sys.argv[2])))
