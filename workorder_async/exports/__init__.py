"""Many tickets in files: the columns, and one file for each format that rows can be written in.

`export_tickets` writes them; `TICKET_COLUMNS` and `DETAIL_COLUMNS` describe the columns.
"""

from typing import TYPE_CHECKING

from workorder_async.described import describe
from workorder_async.document.fields import Column
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS, Columns
from workorder_async.exports.report import (
    AttachmentCounts,
    ExportOptions,
    ExportProgress,
    ExportReport,
    InexactExportError,
)
from workorder_async.exports.sink import TextChanges

if TYPE_CHECKING:
    from workorder_async.exports.export import export_tickets

__all__ = [
    "DETAIL_COLUMNS", "TICKET_COLUMNS", "AttachmentCounts", "Column", "Columns", "ExportOptions", "ExportProgress",
    "ExportReport", "InexactExportError", "TextChanges", "export_tickets",
]  # fmt: skip

for _public in [globals().get(name) for name in __all__]:
    if isinstance(_public, type):
        describe(_public)


def __getattr__(name: str) -> object:
    """Import the modules that need aiohttp when they are first used."""
    if name != "export_tickets":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from workorder_async.exports.export import export_tickets

    globals()[name] = export_tickets
    return export_tickets
