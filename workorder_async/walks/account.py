"""What came of one window that was to be walked, with all the parts that it was cut into, and what that is worth."""

from collections.abc import Sequence

from attrs import Factory, define, evolve

from workorder_async.walk_report import SKIPPED_ROWS_NAMED, SkippedRow, WalkReport, together
from workorder_async.walks.windows import Window


@define(eq=False)
class Account:
    """The books of one window; several walks may have a hand in it."""

    window: Window
    #: Parts that have not ended.
    open_parts: int = 1
    #: What came of walks that were left for a cut, and of those that ended.
    left: list[WalkReport] = Factory(list)
    ended: list[WalkReport] = Factory(list)
    #: Tickets that were given out, and rows that had been given out before a cut.
    given: int = 0
    repeats: int = 0
    #: The total after everything was given out, where it was asked for once more.
    recount: int | None = None
    #: What speaks against the result, besides what the walks know.
    flaw: str = ""
    _undecodable: list[SkippedRow] = Factory(list)

    def note_undecodable(self, skipped: list[SkippedRow]) -> None:
        """Note rows that were given out and could not be decoded."""
        self._undecodable += skipped

    def report(self, live: Sequence[WalkReport] = (), *, finished: bool = True) -> WalkReport:
        """Return the window so far; `live` is what its walks under way say."""
        parts = [*self.ended, *live]
        reports = [*self.left, *parts]
        report = reports[0] if len(reports) == 1 else together(reports)
        if self.left:
            totals = sum(part.last_total for part in parts)
            report = evolve(report, first_total=self.left[0].first_total, last_total=totals)
        if self.left or not self.window.is_whole:
            report = evolve(report, tickets=self.given, duplicates=report.duplicates + self.repeats)
        doubt = self._doubt(parts, finished=finished)
        if doubt:
            report = evolve(report, exact=False, reason=doubt)
        elif self.left:
            report = evolve(report, exact=True, reason=f"{_certainty(parts)}, in {len(parts)} windows")
        return self._with_undecodable(report, finished=finished)

    def _doubt(self, parts: list[WalkReport], *, finished: bool) -> str:
        """Return why the result may not be exact; "" where it is."""
        doubt = next((part.reason for part in parts if not part.exact), "" if finished else "not finished")
        if not doubt and self.recount is not None and self.given < self.recount:
            doubt = "fewer tickets came in windows than the total says"
        return doubt or self.flaw

    def _with_undecodable(self, report: WalkReport, *, finished: bool) -> WalkReport:
        if not self._undecodable:
            return report
        rows = report.skipped_rows + len(self._undecodable)
        return evolve(
            report,
            tickets=report.tickets - len(self._undecodable),
            skipped=(*report.skipped, *self._undecodable)[:SKIPPED_ROWS_NAMED],
            skipped_rows=rows,
            exact=False,
            reason=f"{rows} rows could not be read, and were skipped" if finished else report.reason,
        )


def _certainty(parts: list[WalkReport]) -> str:
    if parts and all(part.reason == "verified" for part in parts):
        return "verified"
    return "frozen, drift repaired" if any(part.repaired for part in parts) else "frozen, no drift"
