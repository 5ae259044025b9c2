"""What an export tells: how far it is, and what came of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from attrs import frozen

from workorder_async.errors import ExportError
from workorder_async.exports.texts import UNCHANGED, TextChanges
from workorder_async.walk_report import SKIPPED_ROWS_NAMED, SkippedRow

Phase: TypeAlias = Literal["reading", "details", "converting"]
"""What an export is at: the list, full records, or the file of a format that cannot grow."""


@frozen(kw_only=True)
class ExportProgress:
    """An export so far."""

    phase: Phase
    """What it is at."""
    rows: int
    """Rows by now, resumed ones included; while it converts, rows that are converted."""
    total: int
    """How many there will be, about: the totals of the plan."""
    windows_done: int
    """Windows that are on disk, resumed ones included."""
    windows: int
    """Windows in all."""
    resumed_windows: int
    """Windows that an earlier call had finished."""
    resumed_rows: int
    """Rows in them."""
    seconds: float
    """Since this call began."""


@frozen(kw_only=True)
class AttachmentCounts:
    """What became of attachments."""

    fetched: int = 0
    """Files that were fetched."""
    bytes: int = 0
    """Bytes of these files."""
    kept: int = 0
    """Files that were there already."""
    failed: int = 0
    """Attachments of which there is no file. That does not make an export inexact: the tickets are all there."""
    failures: tuple[str, ...] = ()
    """Where each of them would be, and why it is not; the first 1000 of them."""

    def __add__(self, other: "AttachmentCounts") -> "AttachmentCounts":
        return AttachmentCounts(
            fetched=self.fetched + other.fetched,
            bytes=self.bytes + other.bytes,
            kept=self.kept + other.kept,
            failed=self.failed + other.failed,
            failures=(*self.failures, *other.failures)[:SKIPPED_ROWS_NAMED],
        )


NO_ATTACHMENTS: Final = AttachmentCounts()


@frozen(kw_only=True)
class Part:
    """A window whose rows are on disk, as the manifest remembers it."""

    window: int
    """Its place among the windows, from 0."""
    rows: int
    """Its rows."""
    exact: bool
    """Whether they are exact."""
    reason: str
    """Why, or why not."""
    requests: int
    """Requests that it took."""
    drifts: int
    """Edges between its pages at which tickets may have slid past the reader."""
    read_at: int
    """When the last of it was read, in seconds since the epoch by our own clock."""
    skipped: tuple[SkippedRow, ...] = ()
    skipped_rows: int = 0
    gone: tuple[int, ...] = ()
    gone_tickets: int = 0
    attachments: AttachmentCounts = NO_ATTACHMENTS
    ids: tuple[int, ...] = ()
    """The ids of its tickets, where several queries may match one ticket."""
    changes: TextChanges = UNCHANGED
    """What was changed in its texts."""
    end: int = 0
    """Where its bytes end in a file of lines."""
    crc: int = 0
    """The CRC-32 of its bytes."""


@frozen(kw_only=True)
class ExportReport:
    """What came of an export, earlier calls that were cut short included where nothing else is said."""

    target: Path
    """The file; `-` for stdout."""
    rows: int
    """Tickets in it."""
    bytes: int
    """Its size."""
    requests: int
    """Requests that read the windows: pages and full records."""
    seconds: float
    """How long this call took."""
    windows: int
    """Windows of created time that it was read in."""
    windows_resumed: int
    """Those of them that earlier calls had finished."""
    drifts: int
    """Edges between two pages at which tickets may have slid past the reader."""
    changes: TextChanges
    """How many cells are not as they came."""
    skipped: tuple[SkippedRow, ...]
    """Tickets that were left out with `on_bad_row="skip"`; the first 1000 of them."""
    skipped_rows: int
    """How many were left out so."""
    gone: tuple[int, ...]
    """Tickets that were in the list, and refused when their full records were asked for; the first 1000 of them."""
    gone_tickets: int
    """How many those are. They are not in the file."""
    attachments: AttachmentCounts
    """What became of attachments."""
    read_from: int
    """When the first window was read to its end, in seconds since the epoch by our own clock; 0: there is none.

    Each window is as of its own time.
    """
    read_until: int
    """The same of the last window."""
    exact: bool
    """Whether every ticket that matched all along is in the file exactly once; False where that cannot be known."""
    reason: str
    """Why, in a few words; where it is not exact, also what would settle it."""


class InexactExportError(ExportError):
    """An export with `strict=True` is not exact; `report` says why."""

    def __init__(
        self,
        message: str,
        *,
        report: ExportReport | None = None,
        operation: str = "",
        attempts: int = 0,
        request_id: str = "",
    ) -> None:
        super().__init__(message, operation=operation, attempts=attempts, request_id=request_id)
        self.report = report


def report_of(
    parts: Sequence[Part], target: Path, size: int, changes: TextChanges, *, resumed: int, seconds: float
) -> ExportReport:
    """Add up the parts; `changes` are those of a conversion."""
    doubt = next((part.reason for part in parts if not part.exact), "")
    times = [part.read_at for part in parts]
    return ExportReport(
        target=target,
        rows=sum(part.rows for part in parts),
        bytes=size,
        requests=sum(part.requests for part in parts),
        seconds=seconds,
        windows=len(parts),
        windows_resumed=resumed,
        drifts=sum(part.drifts for part in parts),
        changes=sum((part.changes for part in parts), changes),
        skipped=tuple(row for part in parts for row in part.skipped)[:SKIPPED_ROWS_NAMED],
        skipped_rows=sum(part.skipped_rows for part in parts),
        gone=tuple(id for part in parts for id in part.gone)[:SKIPPED_ROWS_NAMED],
        gone_tickets=sum(part.gone_tickets for part in parts),
        attachments=sum((part.attachments for part in parts), NO_ATTACHMENTS),
        read_from=min(times, default=0),
        read_until=max(times, default=0),
        exact=not doubt,
        reason=doubt or (parts[0].reason if len(parts) == 1 else f"each of {len(parts)} windows is exact"),
    )
