"""What is told of an export: how far it is, where it goes on, and what came of it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from workorder_async.cli.terminal.output import note
from workorder_async.cli.terminal.progress import Bar

if TYPE_CHECKING:
    from workorder_async.exports import ExportProgress, ExportReport, TextChanges

_IDS_NAMED: Final = 20
_CHANGES: Final = (
    ("replaced", "half a surrogate pair became U+FFFD"),
    ("defused", "a text that begins like a formula got an apostrophe in front"),
    ("cut", "a text was cut to the 32,767 characters of a cell of Excel"),
    ("blanked", "a number of more than 64 bits was left empty"),
)


class Going:
    """Is told how far an export is: shows it on a bar, and says once where it goes on."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._is_resumed_told = False

    def __call__(self, progress: "ExportProgress") -> None:
        """Show that it is so far."""
        self.tell_resumed(progress.resumed_rows)
        self._bar(progress.rows, max(progress.rows, progress.total), ", ".join(_remarks(progress)))

    def tell_resumed(self, rows: int) -> None:
        """Say after how many tickets it goes on, if an earlier command wrote some."""
        if rows and not self._is_resumed_told:
            note(f"going on after {rows:,} tickets")
        self._is_resumed_told = True


def _remarks(progress: "ExportProgress") -> "Iterator[str]":
    """Yield what is said beside the bar: what it is at, and the rate."""
    if progress.phase == "converting":
        yield "writing the file"
        return
    if progress.phase == "details":
        yield "full records"
    if progress.seconds > 0:
        yield f"{(progress.rows - progress.resumed_rows) / progress.seconds:,.0f}/s"


def summarise(report: "ExportReport", going: Going) -> None:
    """Print on stderr what came of an export: how much, what is not as it came, and whether it is complete."""
    going.tell_resumed(report.resumed_rows)
    place = "" if str(report.target) == "-" else f" to {report.target}"
    rate = (report.rows - report.resumed_rows) / report.seconds
    note(f"exported {report.rows:,} tickets{place} in {report.seconds:.1f} s ({rate:,.0f} tickets/s)")
    for remark in (*_changed(report.changes), *_missing(report), *_attached(report)):
        note(remark)
    if report.exact:
        note(f"exact: every ticket that matched is there once ({report.reason})")
    else:
        note(f"it may not be complete: {report.reason}")


def _changed(changes: "TextChanges") -> Iterator[str]:
    """Tell what a format could not hold."""
    for name, what in _CHANGES:
        if count := getattr(changes, name):
            yield f"changed in {count:,} cells: {what}"


def _missing(report: "ExportReport") -> Iterator[str]:
    """Tell which tickets are not there."""
    for row in report.skipped:
        which = "a ticket without a number" if row.id is None else f"ticket {row.id}"
        yield f"workorder: left out {which}: {row.path} is {row.got}, not {row.expected}"
    if report.skipped_rows > len(report.skipped):
        yield f"... and {report.skipped_rows - len(report.skipped):,} more"
    if report.gone_tickets:
        named = ", ".join(str(id) for id in report.gone[:_IDS_NAMED])
        more = report.gone_tickets - len(report.gone[:_IDS_NAMED])
        more_said = f" and {more:,} more" if more else ""
        yield f"workorder: left out {named}{more_said}: gone when the full record was asked for"


def _attached(report: "ExportReport") -> Iterator[str]:
    """Tell what became of attachments."""
    files = report.attachments
    if files.fetched or files.kept or files.failed:
        counts = [f"{files.fetched:,} fetched ({files.bytes:,} bytes)"]
        counts += [f"{files.kept:,} there already"] if files.kept else []
        counts += [f"{files.failed:,} not there"] if files.failed else []
        yield f"attachments: {', '.join(counts)}"
    for failure in files.failures[:_IDS_NAMED]:
        yield f"workorder: {failure}"
    if (more := files.failed - len(files.failures[:_IDS_NAMED])) > 0:
        yield f"... and {more:,} more"
