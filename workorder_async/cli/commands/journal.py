"""`workorder journal show` and `workorder journal settle`: what a batch's journal says, and what is not known of it."""

import sys
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from cyclopts import Parameter

from workorder_async.cli.connection import BY_ENVIRONMENT, Connection, Flag
from workorder_async.cli.failures import OK, UNKNOWN
from workorder_async.cli.interrupting import PATIENCE
from workorder_async.cli.terminal.output import moment, note, one_line, tell, write_json
from workorder_async.cli.terminal.progress import Bar
from workorder_async.cli.terminal.running import run
from workorder_async.cli.values import ExistingFile
from workorder_async.document import CHINA_STANDARD_TIME, JSON
from workorder_async.errors import ConfigError, JournalError
from workorder_async.mutations.kinds import NAMES, kind_of

if TYPE_CHECKING:
    from workorder_async.batches.journal import Record, Records
    from workorder_async.client import WorkorderClient

JournalFile: TypeAlias = Annotated[ExistingFile, Parameter(name="FILE", help="The file that was given by --journal.")]

_MARKS: Final = {"done": "done", "not sent": "did not happen; the next run sends it", "unknown": "still unknown"}


def show(
    file: JournalFile,
    /,
    *,
    json: Annotated[Flag, Parameter(help="Print one JSON object per mutation, also of those that were done.")] = False,
) -> int:
    """Show what a journal says: which batch it is for, counts, and each mutation that leaves something to be done.

    Also while a batch writes it. What was about to be sent and has no outcome yet is unknown. Nothing is asked.
    """
    records = _read(file)
    if json:
        write_json(_row(record) for record in records.by_key.values())
        return OK
    tell(f"batch: {records.identity.get('batch') or 'without a name'}")
    tell(f"platform: {records.identity.get('platform')}")
    tell(_counted(records))
    left = [record for record in records.by_key.values() if record.state.value not in ("done", "already")]
    sys.stdout.writelines("\t".join(map(one_line, _cells(record))) + "\n" for record in left)
    if any(record.state.value == "unknown" for record in left):
        note(f"`workorder journal settle {file}` looks what became of the unknown ones")
    return OK


def settle(
    file: JournalFile,
    /,
    *,
    json: Annotated[Flag, Parameter(help="Print one JSON object per mutation that was unknown.")] = False,
    connection: Connection = BY_ENVIRONMENT,
) -> int:
    """Find out by reading what became of a journal's unknown mutations, and write it into the journal.

    Nothing is sent. A comment or a new ticket that is not there may still come, and stays unknown. Exits with 3 where
    some stay unknown.
    """
    records = _read(file)
    unknown = sum(record.state.value == "unknown" for record in records.by_key.values())
    if not unknown:
        note("nothing in this journal is unknown")
        return OK
    client, platform = connection.client(), records.identity.get("platform")
    if platform != client.base_url:
        raise ConfigError(f"this journal is for {platform}, not {client.base_url}; add --base-url {platform}")
    return run(_settle(client, file, unknown, _print_json if json else _print))


def _read(file: ExistingFile) -> "Records":
    """Read a journal. Raises `ConfigError` for a file that is none."""
    from workorder_async.batches.journal import read_records

    try:
        return read_records(file)
    except JournalError as error:
        raise ConfigError(str(error)) from None


async def _settle(
    client: "WorkorderClient", file: ExistingFile, unknown: int, print_row: Callable[[dict[str, JSON]], None]
) -> int:
    """Settle what is unknown, print what became of each, and return the exit code."""
    from workorder_async.batches.batch import settle_journal
    from workorder_async.batches.outcomes import BatchReport, State
    from workorder_async.cli.batches.tally import counted, row

    report = BatchReport()
    async with client:
        # Reads that fail leave everything unknown; this one says why.
        await client.list_tickets(page_size=1)
        try:
            settling = settle_journal(client, file, report=report, patience=PATIENCE)
            with Bar("looking") as bar:
                async with aclosing(settling) as outcomes:
                    async for outcome in outcomes:
                        print_row({"operation": kind_of(outcome.mutation).endpoint.operation, **row(outcome)})
                        bar(report.total, max(report.total, unknown))
        except JournalError as error:
            raise ConfigError(str(error)) from None
    note(f"{counted(report)} in {report.elapsed:.1f} s")
    return UNKNOWN if report.counts[State.UNKNOWN] else OK


def _print(found: dict[str, JSON]) -> None:
    """Print what became of a mutation on a line."""
    name = f"{found['id']} " if found["id"] else ""
    tell(f"{name}{found['operation']}: {_MARKS.get(str(found['outcome']), found['outcome'])}")


def _print_json(found: dict[str, JSON]) -> None:
    write_json([found])


def _counted(records: "Records") -> str:
    """Return the counts in words."""
    from workorder_async.batches.outcomes import BatchReport
    from workorder_async.cli.batches.tally import counted

    report = BatchReport()
    for record in records.by_key.values():
        report.counts[record.state] += 1
    return counted(report) or "nothing was begun"


def _row(record: "Record") -> dict[str, JSON]:
    """Return what became of a mutation, as the JSON of `close` has it."""
    facts = {name: value for name, value in record.facts.items() if name not in ("at", "ticket_id", "error")}
    return {
        "id": record.mutation.get("id") or record.facts.get("ticket_id", 0),
        "operation": kind.endpoint.operation if (kind := NAMES.get(record.operation)) else record.operation,
        "outcome": record.state.value,
        "began": _time(record.began),
        "ended": _time(record.facts.get("at")),
        "message": record.facts.get("error", ""),
        **facts,
        "request": record.mutation,
    }


def _cells(record: "Record") -> tuple[str, ...]:
    """Return a mutation as the cells of a line: ticket, operation, outcome, when it began, and why."""
    row = _row(record)
    why = row["message"] or record.mutation.get("title")
    return str(row["id"] or ""), str(row["operation"]), record.state.value, str(row["began"]), str(why or "")


def _time(seconds: JSON) -> str:
    """Write a time, or nothing where there is none."""
    if not isinstance(seconds, int | float) or not seconds:
        return ""
    try:
        return moment(datetime.fromtimestamp(seconds, CHINA_STANDARD_TIME))
    except (ValueError, OverflowError, OSError):
        return str(seconds)
