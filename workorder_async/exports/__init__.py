"""Many tickets in files: the columns, and one file for each format that rows can be written in.

`export_tickets` writes them; `TICKET_COLUMNS` and `DETAIL_COLUMNS` describe the columns.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # "X as X" tells type checkers and editors that the name is public.
    from workorder_async.exports.columns import (
        DETAIL_COLUMNS as DETAIL_COLUMNS,
        TICKET_COLUMNS as TICKET_COLUMNS,
        Column as Column,
        Columns as Columns,
    )
    from workorder_async.exports.export import (
        ExportOptions as ExportOptions,
        export_tickets as export_tickets,
    )
    from workorder_async.exports.report import (
        AttachmentCounts as AttachmentCounts,
        ExportProgress as ExportProgress,
        ExportReport as ExportReport,
        InexactExportError as InexactExportError,
    )
    from workorder_async.exports.sink import (
        TextChanges as TextChanges,
    )

# The same for the interpreter: each module with its names.
_NAMES = {
    "columns": "DETAIL_COLUMNS TICKET_COLUMNS Column Columns",
    "export": "ExportOptions export_tickets",
    "report": "AttachmentCounts ExportProgress ExportReport InexactExportError",
    "sink": "TextChanges",
}
_LATER = {name: module for module, names in _NAMES.items() for name in names.split()}
_ORDERED = sorted(_LATER, key=lambda name: (not name.isupper(), name))
__all__ = [*_ORDERED]  # noqa: PLE0604 # pyright: ignore[reportUnsupportedDunderAll]


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
