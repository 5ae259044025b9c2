"""Many tickets in files: the columns, and one file for each format that rows can be written in.

`export_tickets` writes them; `TICKET_COLUMNS` and `DETAIL_COLUMNS` describe the columns.
"""

from typing import TYPE_CHECKING

from workorder_async.described import describe
from workorder_async.document.fields import Column
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS, Columns
from workorder_async.exports.report import AttachmentCounts, ExportProgress, ExportReport, InexactExportError
from workorder_async.exports.sink import TextChanges

if TYPE_CHECKING:
    from workorder_async.exports.export import ExportOptions, export_tickets

__all__ = [
    "DETAIL_COLUMNS", "TICKET_COLUMNS", "AttachmentCounts", "Column", "Columns", "ExportOptions", "ExportProgress",
    "ExportReport", "InexactExportError", "TextChanges", "export_tickets",
]  # fmt: skip

for _kind in (AttachmentCounts, Column, Columns, ExportProgress, ExportReport, InexactExportError, TextChanges):
    describe(_kind)


def __getattr__(name: str) -> object:
    """Import what needs aiohttp when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from workorder_async.exports import export

    describe(export.ExportOptions)
    globals().update({"ExportOptions": export.ExportOptions, "export_tickets": export.export_tickets})
    return globals()[name]
