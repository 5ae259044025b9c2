"""`workorder export`: tickets to a file, which has its name only once it is complete; `columns`, its table."""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, cast

from attrs import asdict, define, frozen
from cyclopts import Parameter

from workorder_async.cli.connection import Client, Connection
from workorder_async.cli.filters import Reading, TicketFilters
from workorder_async.cli.terminal import Bar, named, note, write_json
from workorder_async.cli.values import File, YesNo
from workorder_async.document import TicketQuery
from workorder_async.errors import ConfigError, ExportError, WorkorderError
from workorder_async.exports import ExportOptions, ExportProgress, ExportReport, InexactExportError
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS
from workorder_async.exports.formats import SUFFIXES

_NAMED: Final = 20
_OUTPUT: Final = Parameter(
    name=["--output", "-o"],
    help="The file; .jsonl .csv .jsonl.gz .csv.zst .parquet .sqlite .xlsx ... say what it is; - for stdout.",
)
_CHANGES: Final = (
    ("replaced", "half a surrogate pair became U+FFFD"),
    ("defused", "a text that begins like a formula got an apostrophe in front"),
    ("cut", "a text was cut to the 32,767 characters of a cell of Excel"),
    ("rounded", "a number of more than 64 bits was rounded"),
    ("broken", "a value was no JSON, and was kept as a text"),
)


@Parameter(name="*")
@frozen(kw_only=True)
class Writing(Reading):
    """How an export is read and written."""

    format: str | None = None
    """jsonl, csv, parquet, sqlite, xlsx ..., where the file's suffix does not say it."""
    raw: bool = False
    """Write the platform's own objects, as they came; JSON Lines only."""
    strict: bool = False
    """Fail where the file may not be complete; it keeps the name *.part."""
    overwrite: bool = False
    """Replace a file of that name, once the new one is complete."""
    resume: YesNo = True
    """Go on where the same command stopped."""
    csv_bom: YesNo = True
    """Begin CSV with the byte order mark that Excel on Chinese Windows needs."""
    csv_defuse: YesNo = True
    """Write an apostrophe into CSV before texts that a spreadsheet might take for formulas."""
    skip_bad_rows: bool = False
    """Leave out tickets that cannot be read, and name them at the end."""


def export(
    output: Annotated[File, _OUTPUT],
    *,
    how: Writing = Writing(),
    filters: TicketFilters = TicketFilters(),
    connection: Connection = Connection(),
) -> None:
    """Write all tickets that match to a file, each once, and say whether it is complete.

    Until it is complete the file has another name. What is cut short, by Ctrl-C or a power cut, goes on where it
    stopped when the same command is run again; after a power cut with a date or seconds in place of "yesterday" or
    "30d". `workorder columns` prints the columns. A summary goes to stderr.
    """
    place, given = output.file_name(), asdict(how)
    given["on_bad_row"] = "skip" if given.pop("skip_bad_rows") else "raise"
    options = cast("ExportOptions", given)
    if place == "-" and how.format not in (None, "jsonl") and sys.stdout.isatty():
        mend = "name a file, or lead stdout to one"
        raise ConfigError("is not for a terminal", argument=f"--format {how.format}", mend=mend)
    # `os.path`, since the methods of `Path` raise for a name that is too long; these return False.
    is_stream = os.path.exists(place) and not os.path.isfile(place) and not os.path.isdir(place)
    if how.format is None and is_stream and not place.lower().endswith(SUFFIXES):
        options["format"] = "jsonl"  # the name of a device, such as /dev/stdout, says no format
    queries, times = filters.queries(), filters.steady_times()
    try:
        connection.run(lambda client: _export(client, queries, place, options))
    except (KeyboardInterrupt, asyncio.CancelledError, WorkorderError) as error:
        if isinstance(error, ExportError) and isinstance(error.__cause__, BrokenPipeError):
            raise error.__cause__ from None
        is_left = place != "-" and os.path.exists(f"{os.path.realpath(place)}.manifest")
        # An `ExportError` says how to go on, but not that "yesterday" means another day tomorrow: after a failure that
        # another run can mend, say it here, with the times written out.
        can_go_on = isinstance(error, InexactExportError) or isinstance(error.__cause__, OSError)
        says_so = isinstance(error, ExportError) and not (times and can_go_on)
        if is_left and not (says_so or isinstance(error, ConfigError)):
            steady = f" with {' '.join(times)}" if times else ""
            note(f"workorder: the same command{steady} goes on where this one stopped")
        raise


async def _export(client: Client, queries: Sequence[TicketQuery], place: str, options: ExportOptions) -> None:
    from workorder_async.exports import export_tickets

    with Bar("exporting", shown=not (place == "-" and sys.stdout.isatty())) as bar:
        options["on_progress"] = Going(bar)
        report = await export_tickets(client, queries, place, **options)
    summarise(report)


@define
class Going:
    """The `on_progress` of an export: moves a bar, and notes once how many tickets an earlier run has written."""

    _bar: Bar
    _is_resumed_told: bool = False

    def __call__(self, progress: ExportProgress) -> None:
        """Show the progress."""
        if progress.resumed_rows and not self._is_resumed_told:
            self._is_resumed_told = True
            note(f"going on after {progress.resumed_rows:,} tickets")
        new = progress.rows - progress.resumed_rows
        phase = "full records" if progress.phase == "details" else ""
        rate = f"{new / progress.seconds:,.0f}/s" if progress.seconds > 0 else ""
        remark = "writing the file" if progress.phase == "converting" else ", ".join(filter(None, (phase, rate)))
        self._bar(progress.rows, max(progress.rows, progress.total), remark)


def summarise(report: ExportReport) -> None:
    """Print a summary of an export on stderr: counts, changed values, missing tickets, and whether it is complete."""
    place = "" if str(report.target) == "-" else f" to {report.target}"
    rate = (report.rows - report.resumed_rows) / report.seconds
    note(f"exported {report.rows:,} tickets{place} in {report.seconds:.1f} s ({rate:,.0f} tickets/s)")
    for remark in _remarks(report):
        note(remark)
    exact = f"exact: every ticket that matched is there once ({report.reason})"
    note(exact if report.exact else f"it may not be complete: {report.reason}")


def _remarks(report: ExportReport) -> Iterator[str]:
    """Yield a line for each change of a text, each missing ticket, and the attachments."""
    for name, what in _CHANGES:
        if count := getattr(report.changes, name):
            yield f"changed in {count:,} cells: {what}"
    for row in report.skipped:
        which = "a ticket without a number" if row.id is None else f"ticket {row.id}"
        yield f"workorder: left out {which}: {row.path} is {row.got}, not {row.expected}"
    if more := report.skipped_rows - len(report.skipped):
        yield f"... and {more:,} more"
    if report.gone_tickets:
        gone = named(report.gone[:_NAMED], report.gone_tickets)
        yield f"workorder: left out {gone}: gone when the full record was asked for"
    if report.refused_tickets:
        refused, words = named(report.refused[:_NAMED], report.refused_tickets), report.refusal
        yield f"workorder: left out {refused}: refused when the full record was asked for, the first with {words}"
    files = report.attachments
    if files.fetched or files.kept or files.failed:
        counts = [f"{files.fetched:,} fetched ({files.bytes:,} bytes)"]
        counts += [f"{files.kept:,} there already"] if files.kept else []
        counts += [f"{files.failed:,} not there"] if files.failed else []
        yield f"attachments: {', '.join(counts)}"
    for failure in files.failures[:_NAMED]:
        yield f"workorder: {failure}"
    if more := files.failed - len(files.failures[:_NAMED]):
        yield f"... and {more:,} more"


def columns(
    *,
    detail: Annotated[bool, Parameter(help="The columns of an export with --detail.")] = False,
    json: Annotated[bool, Parameter(help="Print one JSON object per column.")] = False,
) -> None:
    """Print the columns of an export: name, type in Arrow and Parquet, type in SQLite, meaning.

    They are the same in every format, but that SQLite has a table in place of each list. Nothing is asked of the
    platform.
    """
    table = DETAIL_COLUMNS if detail else TICKET_COLUMNS
    if json:
        write_json(
            {"name": one.name, "arrow": one.arrow, "sqlite": table.sqlite(one), "meaning": table.meaning(one)}
            for one in table.columns
        )
    else:
        sys.stdout.write(table.markdown())
