"""Many tickets in files: what the columns are, and one file for each format that rows can be written in.

`export_tickets` writes them; `TICKET_COLUMNS` and `DETAIL_COLUMNS` say what the columns are.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS, Column, Columns
    from workorder_async.exports.export import export_tickets
    from workorder_async.exports.options import ExportOptions
    from workorder_async.exports.report import AttachmentCounts, ExportProgress, ExportReport, InexactExportError
    from workorder_async.exports.texts import TextChanges

__all__ = [
    "DETAIL_COLUMNS",
    "TICKET_COLUMNS",
    "AttachmentCounts",
    "Column",
    "Columns",
    "ExportOptions",
    "ExportProgress",
    "ExportReport",
    "InexactExportError",
    "TextChanges",
    "export_tickets",
]

_LATER = {
    "DETAIL_COLUMNS": "columns",
    "TICKET_COLUMNS": "columns",
    "AttachmentCounts": "report",
    "Column": "columns",
    "Columns": "columns",
    "ExportOptions": "options",
    "ExportProgress": "report",
    "ExportReport": "report",
    "InexactExportError": "report",
    "TextChanges": "texts",
    "export_tickets": "export",
}


def __getattr__(name: str) -> object:
    """Import one of the names above when it is first used."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    if isinstance(value, type):
        import_module("workorder_async.described").describe(value)
    globals()[name] = value
    return value
