"""`workorder export`: tickets to a file of any format, which has its name only once it is complete."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from attrs import frozen
from cyclopts import Parameter

from workorder_async.cli import failures
from workorder_async.cli.connection import BY_ENVIRONMENT, Connection, Flag
from workorder_async.cli.exporting import Going, summarise
from workorder_async.cli.filters import EVERYTHING, TicketFilters
from workorder_async.cli.terminal.output import note
from workorder_async.cli.terminal.progress import Bar
from workorder_async.cli.terminal.running import run
from workorder_async.cli.values import AS_WRITTEN, Whole, Written, file_name, is_device
from workorder_async.errors import ConfigError, ExportError, WorkorderError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workorder_async.client import WorkorderClient
    from workorder_async.document import TicketQuery
    from workorder_async.exports import ExportOptions


@Parameter(name="*")
@frozen(kw_only=True)
class Writing:
    """How an export is read and written."""

    format: Annotated[
        str | None, Parameter(help="jsonl, csv, parquet, sqlite, xlsx ..., where TARGET's suffix does not say it.")
    ] = None
    detail: Annotated[Flag, Parameter(help="Read the full record of each ticket, by a request each.")] = False
    attachments: Annotated[
        str | None, Parameter(help="A folder for the tickets' attachments; their full records are read, too.")
    ] = None
    raw: Annotated[Flag, Parameter(help="Write the platform's own objects, as they came; JSON Lines only.")] = False
    strict: Annotated[Flag, Parameter(help="Fail where the file may not be complete; it keeps the name *.part.")] = (
        False
    )
    overwrite: Annotated[Flag, Parameter(help="Replace a file of that name, once the new one is complete.")] = False
    no_resume: Annotated[Flag, Parameter(help="Begin anew, and not where the same command stopped.")] = False
    concurrency: Annotated[Whole, Parameter(help="Requests in flight at once, at most (32 is the most there are).")] = 8
    page_size: Annotated[Whole, Parameter(help="Tickets to ask for per request.")] = 100
    no_csv_bom: Annotated[
        Flag, Parameter(help="Begin CSV without the byte order mark that Excel on Chinese Windows needs.")
    ] = False
    no_csv_defuse: Annotated[
        Flag, Parameter(help="Write CSV without an apostrophe before texts that a spreadsheet would take for formulas.")
    ] = False
    skip_bad_rows: Annotated[
        Flag, Parameter(help="Leave out tickets that cannot be read, and name them at the end.")
    ] = False

    def options(self) -> "ExportOptions":
        """Return what `export_tickets` takes. Raises `ConfigError` for a folder without a name."""
        if self.attachments is not None and not self.attachments.strip():
            raise ConfigError("--attachments names no folder; name one, such as --attachments files")
        return {
            "format": self.format,
            "detail": self.detail,
            "attachments": self.attachments,
            "raw": self.raw,
            "strict": self.strict,
            "overwrite": self.overwrite,
            "resume": not self.no_resume,
            "concurrency": self.concurrency,
            "page_size": self.page_size,
            "csv_bom": not self.no_csv_bom,
            "csv_defuse": not self.no_csv_defuse,
            "on_bad_row": "skip" if self.skip_bad_rows else "raise",
        }


def export(
    target: Annotated[
        str | None,
        Parameter(
            help="The file; .jsonl .csv .jsonl.gz .csv.zst .parquet .sqlite .xlsx ... say what it is; - for stdout."
        ),
    ] = None,
    /,
    *,
    output: Annotated[
        Written | None, AS_WRITTEN, Parameter(name=["--output", "-o"], help="The same, in place of TARGET.")
    ] = None,
    how: Writing = Writing(),
    filters: TicketFilters = EVERYTHING,
    connection: Connection = BY_ENVIRONMENT,
) -> int:
    """Write all tickets that match to a file, each once, and say whether it is complete.

    Until it is complete the file has another name. What is cut short, by Ctrl-C or a power cut, goes on where it
    stopped when the same command is run again. `workorder columns` prints the columns. A summary goes to stderr.
    """
    place = _place(target, output)
    options = how.options()
    if place == "-" and how.format not in (None, "jsonl") and sys.stdout.isatty():
        raise ConfigError(f"--format {how.format} is not for a terminal; name a file, or lead stdout to one")
    if how.format is None and is_device(place):
        options["format"] = "jsonl"
    queries, times = filters.queries(), filters.steady_times()
    exporting = _export(connection.client(), queries, place, options)
    try:
        return run(exporting)
    except (KeyboardInterrupt, asyncio.CancelledError):
        _tell_how_to_go_on(place, times)
        raise
    except WorkorderError as error:
        if isinstance(error.__cause__, BrokenPipeError) and isinstance(error, ExportError):
            raise error.__cause__ from None
        note(f"workorder: {failures.sentence(error)}")
        if not isinstance(error, ConfigError | ExportError):
            _tell_how_to_go_on(place, times)
        return failures.exit_code(error)


def _place(target: str | None, output: Written | None) -> str:
    """Return where to write. Raises `ConfigError`."""
    if target is not None and output is not None:
        raise ConfigError(f"TARGET and {output.option} are the same: write one of them")
    if output is not None:
        return file_name(output)
    if target is None:
        raise ConfigError("say where to write: a TARGET such as tickets.csv (or --output), or - for stdout")
    return file_name(Written(target, "TARGET"))


async def _export(
    client: "WorkorderClient", queries: "Sequence[TicketQuery]", place: str, options: "ExportOptions"
) -> int:
    from workorder_async.exports import export_tickets

    shown = not (place == "-" and sys.stdout.isatty())
    async with client:
        with Bar("exporting", shown=shown) as bar:
            going = Going(bar)
            options["on_progress"] = going
            report = await export_tickets(client, queries, place, **options)
    summarise(report, going)
    return failures.OK


def _tell_how_to_go_on(place: str, times: "Sequence[str]") -> None:
    """Say that the same command goes on, if something of the file is there; `times` are those that it began with."""
    if place == "-" or not Path(f"{Path(place).resolve()}.manifest").exists():
        return
    # "yesterday" said tomorrow would be another export.
    steady = f" with {' '.join(times)}" if times else ""
    note(f"workorder: the same command{steady} goes on where this one stopped")
