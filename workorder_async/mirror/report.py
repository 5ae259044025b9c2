"""The arguments of a mirror, what a run of it is doing, and what it did."""

from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Annotated, Literal, TypeAlias, TypedDict

from attrs import Factory, define, frozen

from workorder_async.arguments import Option, flag, function, number_within, path, whole, with_defaults
from workorder_async.exports.report import NO_ATTACHMENTS, AttachmentCounts
from workorder_async.walks.options import a_page_size, refuse_unknown

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


class MirrorOptions(TypedDict, total=False):
    """How to mirror; the keyword arguments of `mirror_tickets`."""

    lag: Annotated[float, Option(120.0, partial(number_within, low=0, high=1e9))]
    """How many seconds a new ticket may take until the list shows it (120)."""
    detail: Annotated[bool, Option(False, flag)]
    """Whether the full record of each ticket is read when it is new or has changed, one request each (False)."""
    recheck: Annotated[int, Option(0, partial(whole, at_least=0))]
    """How many full records of open tickets are read again in each run, those that are the oldest (0)."""
    attachments: Annotated[str | PathLike[str] | None, Option(None, path)]
    """A folder for the attachments; full records are read then, too (None)."""
    private_addresses: Annotated[bool, Option(False, flag)]
    """Whether attachments may come from this machine and from private networks (False: only if they are at the host and
    port of the platform itself)."""
    full: Annotated[bool, Option(False, flag)]
    """Whether every ticket is read, and what differs is written (False: only in the first run). Where a run that
    reads all was cut short, only the rest is read."""
    accept_gone: Annotated[bool, Option(False, flag)]
    """Whether tickets that are not shown any more are marked, however many they are (False)."""
    on_progress: Annotated[Callable[[MirrorProgress], None] | None, Option(None, function)]
    """Told how far it is, once a page at the most, in the event loop."""
    page_size: Annotated[int, Option(100, a_page_size)]
    """Tickets to ask for per request (100)."""
    concurrency: Annotated[int, Option(8, whole)]
    """Requests in flight at once, at the most (8)."""


def checked(given: MirrorOptions) -> MirrorOptions:
    """Return all options, checked; `detail` is set if something needs it."""
    refuse_unknown(given, MirrorOptions.__annotations__, "a mirror")
    options = with_defaults(MirrorOptions, given)
    options["detail"] = options["detail"] or options["attachments"] is not None or options["recheck"] > 0
    return options


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
