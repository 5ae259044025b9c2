"""What a run of a mirror is doing, and what it did."""

from typing import Literal, TypeAlias

from attrs import Factory, define, frozen

from workorder_async.exports.report import NO_ATTACHMENTS, AttachmentCounts

Phase: TypeAlias = Literal["all", "new", "open", "left", "audit", "missing", "details"]
"""The work of a run: to read all tickets, the new ones, the open ones, the ones that left the lists of open tickets; to
compare totals; to look for missing tickets; to read full records."""


@frozen(kw_only=True)
class MirrorProgress:
    """A run so far."""

    phase: Phase
    """The work that is under way."""
    rows: int
    """Rows that were read in this run; while full records are read, these."""
    total: int
    """How many there will be, about; -1 where nothing tells."""
    requests: int
    """Requests that were made in this run."""
    seconds: float
    """Since the run began."""


@define(kw_only=True)
class MirrorReport:
    """What a run has done."""

    run: int
    """Its number; `runs` and `changes` in the database have it."""
    began_at: int = 0
    """When it began, in seconds since the epoch by the server's clock. Every ticket that was created before, less the
    lag, is there."""
    tickets: int = 0
    """Tickets in the database that the list shows."""
    created: int = 0
    """Tickets that are new in the database; in the first run all of them."""
    changed: int = 0
    """Tickets that differ from what was there."""
    missing: list[int] = Factory(list)
    """Tickets that an answer should have shown and did not, for the first time. The next run looks for them."""
    gone: list[int] = Factory(list)
    """Tickets that were missing, and that the platform does not know any more."""
    left: list[int] = Factory(list)
    """Tickets that were missing, and exist: they do not match the query any more, or may not be listed."""
    held_back: int = 0
    """How many tickets were not shown and not marked, because they are too many at once; `accept_gone=True` marks
    them."""
    details: int = 0
    """Full records that were read."""
    attachments: AttachmentCounts = NO_ATTACHMENTS
    """Files that were fetched."""
    skipped: int = 0
    """Rows, and full records, that cannot be read; what was there stays. Where nothing was, the run is not exact."""
    requests: int = 0
    """Requests."""
    oldest_read_at: int = 0
    """When the row was read that nobody has read for longest."""
    exact: bool = True
    """Whether every step saw all that it had to see."""
    reason: str = ""
    """Why not."""
    seconds: float = 0.0
    """How long it took."""
