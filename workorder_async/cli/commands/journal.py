"""`workorder journal show` and `workorder journal settle`: what a batch's journal says, and what is not known of it."""

from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from cyclopts import Parameter

from workorder_async.batches.journal import Record, Records
from workorder_async.batches.outcomes import BatchReport, State
from workorder_async.cli.batches.carrying_out import read_journal
from workorder_async.cli.batches.tally import counted, row as outcome_row
from workorder_async.cli.connection import Connection, run_with
from workorder_async.cli.failures import OK, UNKNOWN
from workorder_async.cli.running import PATIENCE
from workorder_async.cli.terminal import Bar, moment, note, tell, write_json, write_rows
from workorder_async.cli.values import ExistingFile
from workorder_async.document import CHINA_STANDARD_TIME, JSON
from workorder_async.errors import ConfigError, JournalError
from workorder_async.mutations.kinds import NAMES, kind_of

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

JournalPath: TypeAlias = Annotated[ExistingFile, Parameter(name="FILE", help="The file that was given by --journal.")]

_MARKS: Final = {State.NOT_SENT: "did not happen; the next run sends it", State.UNKNOWN: "still unknown"}


def show(
    file: JournalPath,
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object per mutation, also of those that were done.")] = False,
) -> int:
    """Show what a journal says: which batch it is for, counts, and each mutation that leaves something to be done.

    Also while a batch writes it. What was about to be sent and has no outcome yet is unknown. Nothing is asked.
    """
    records = read_journal(file)
    if json:
        write_json(map(row_of, records.by_key.values()))
        return OK
    report = BatchReport()
    for record in records.by_key.values():
        report.counts[record.state] += 1
    tell(f"batch: {records.identity.get('batch') or 'without a name'}")
    tell(f"platform: {records.identity.get('platform')}")
    tell(counted(report) or "nothing was begun")
    write_rows(_cells(record) for record in records.by_key.values() if record.state not in (State.DONE, State.ALREADY))
    if report.counts[State.UNKNOWN]:
        note(f"`workorder journal settle {file}` looks what became of the unknown ones")
    return OK


def settle(
    file: JournalPath,
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object per mutation that was unknown.")] = False,
    connection: Connection = Connection(),
) -> int:
    """Find out by reading what became of a journal's unknown mutations, and write it into the journal.

    Nothing is sent. A comment or a new ticket that is not there may still come, and stays unknown. Exits with 3 where
    some stay unknown.
    """
    records = read_journal(file)
    unknown = sum(record.state is State.UNKNOWN for record in records.by_key.values())
    if not unknown:
        note("nothing in this journal is unknown")
        return OK
    client = client_of(records, connection)
    return run_with(client, lambda client: _settle(client, file, unknown, as_json=json))


def client_of(records: Records, connection: Connection) -> "WorkorderClient":
    """Make a client of a journal's platform. Raises `ConfigError` where another one is configured, or none."""
    client, platform = connection.platform().client(), records.identity.get("platform")
    if platform != client.base_url:
        raise ConfigError(f"this journal is for {platform}, not {client.base_url}", mend=f"add --base-url {platform}")
    return client


async def _settle(client: "WorkorderClient", file: ExistingFile, unknown: int, *, as_json: bool) -> int:
    """Settle the unknown mutations, print the outcome of each, and return the exit code."""
    from workorder_async.batches.batch import settle_journal

    report = BatchReport()
    # Reads that fail leave everything unknown; this one says why.
    await client.list_tickets(page_size=1)
    try:
        with Bar("looking") as bar:
            async with aclosing(settle_journal(client, file, report=report, patience=PATIENCE)) as outcomes:
                async for outcome in outcomes:
                    operation, facts = kind_of(outcome.mutation).endpoint.operation, outcome_row(outcome)
                    if as_json:
                        write_json([{"operation": operation, **facts}])
                    else:
                        id = f"{facts['id']} " if facts["id"] else ""
                        tell(f"{id}{operation}: {_MARKS.get(outcome.state, outcome.state.value)}")
                    bar(report.total, max(report.total, unknown))
    except JournalError as error:
        raise ConfigError(str(error)) from None
    note(f"{counted(report)} in {report.elapsed:.1f} s")
    return UNKNOWN if report.counts[State.UNKNOWN] else OK


def row_of(record: "Record") -> dict[str, JSON]:
    """Return a mutation and its outcome, as the JSON of `close` has it."""
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
    row = row_of(record)
    why = str(row["message"] or record.mutation.get("title") or "") + (f"; mark {row['mark']}" if "mark" in row else "")
    return str(row["id"] or ""), str(row["operation"]), record.state.value, str(row["began"]), why.removeprefix("; ")


def _time(seconds: JSON) -> str:
    """Write a time, or nothing where there is none."""
    if not isinstance(seconds, int | float) or not seconds:
        return ""
    try:
        return moment(datetime.fromtimestamp(seconds, CHINA_STANDARD_TIME))
    except (ValueError, OverflowError, OSError):
        return str(seconds)
