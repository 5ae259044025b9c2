"""Whether a command saw every ticket, in the words of the command line."""

from typing import TYPE_CHECKING

from workorder_async.walk_report import WalkReport

if TYPE_CHECKING:
    from workorder_async.exports import ExportReport


def doubt(report: "WalkReport | ExportReport", remedy: str) -> str:
    """Say why a list may not be complete, and what a user of this command can do about it."""
    return report.reason.rpartition(", but ")[2].replace("verify=True settles it", remedy)
