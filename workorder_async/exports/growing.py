"""The part of an export that is not on disk yet: when it is to be, and what the manifest will tell of it."""

from time import monotonic

from workorder_async.exports.details import DetailCounts, Details
from workorder_async.exports.report import Part
from workorder_async.walk_report import SKIPPED_ROWS_NAMED, SkippedRow
from workorder_async.walks.walk import Walk
from workorder_async.walks.windows import Window

#: A part is on disk once it has so many rows, or is so many seconds old; with full records, which cost a request each,
#: after every page.
ROWS_OF_A_PART: int = 2000
SECONDS_OF_A_PART: float = 1.0


class GrowingPart:
    """The newest part of a query, which `walk` reads; `before` is the part of it that an earlier call ended with."""

    def __init__(self, query: int, walk: Walk, details: Details | None, before: Part | None) -> None:
        self.query = query
        #: How many tickets the query had, by the very first answer.
        self.total: int = -1 if before is None else before.total
        #: Why its tickets may not be exact, as far as the walk does not say it.
        self.doubts: list[str] = [] if before is None or before.exact else [before.reason]
        #: Whether an earlier call began with this query.
        self.is_resumed: bool = before is not None
        #: Whether a call would go on from an earlier part of this query, not begin anew.
        self.is_founded: bool = before is not None
        self._walk = walk
        self._details = details
        # What earlier parts told of this walk.
        self._told: set[SkippedRow] = set()
        self._told_skipped = 0
        self._told_requests = 0 if details is None else details.requests
        self._begin()

    def _begin(self) -> None:
        self.rows: int = 0
        self.ids: list[int] = []
        self.counts: DetailCounts = DetailCounts()
        self._began = monotonic()

    def is_due(self) -> bool:
        """Tell whether it should be on disk."""
        return (
            self._details is not None or self.rows >= ROWS_OF_A_PART or monotonic() - self._began >= SECONDS_OF_A_PART
        )

    def end(self, number: int, rest: Window | None, read_at: float, *, ended: bool = False, requests: int = 0) -> Part:
        """Return it, and begin the next one; `requests` are those that neither walk nor details made."""
        report, counts = self._walk.report, self.counts
        doubts = [*self.doubts, *self._walk.flaws]
        skipped = [*(row for row in report.skipped if row not in self._told), *counts.skipped]
        made = report.requests + (0 if self._details is None else self._details.requests)
        part = Part(
            number=number,
            query=self.query,
            rows=self.rows,
            rest=None if rest is None else (rest.start, rest.end),
            ended=ended,
            total=self.total,
            exact=not doubts,
            reason="; ".join(doubts) or (report.reason if ended else ""),
            requests=made - self._told_requests + requests,
            read_at=int(read_at),
            skipped=tuple(skipped[:SKIPPED_ROWS_NAMED]),
            skipped_rows=report.skipped_rows - self._told_skipped + counts.skipped_rows,
            gone=tuple(counts.gone),
            gone_tickets=counts.gone_tickets,
            attachments=counts.attachments,
            ids=tuple(self.ids),
        )
        self._told.update(report.skipped)
        self._told_skipped, self._told_requests = report.skipped_rows, made
        self.is_founded = rest is not None
        self._begin()
        return part
