"""How to export: the keyword arguments of `export_tickets`."""

from collections.abc import Callable
from os import PathLike
from typing import Annotated

from workorder_async.arguments import Option, flag, must_be, path, with_defaults
from workorder_async.errors import ConfigError
from workorder_async.exports.report import ExportProgress
from workorder_async.walks.options import WalkOptions, refuse_unknown


class ExportOptions(WalkOptions, total=False):
    """How to export; the keyword arguments of `export_tickets`, with those of a walk."""

    format: Annotated[
        str | None, Option(None, must_be("a format's name, or None", lambda value: isinstance(value, str)))
    ]
    """One of the formats, if the target's suffix does not say it (None)."""
    raw: Annotated[bool, Option(False, flag)]
    """Whether lines are the server's own objects, fields that no model knows included (False); JSON Lines only."""
    detail: Annotated[bool, Option(False, flag)]
    """Whether the full record of each ticket is read, one request each (False)."""
    attachments: Annotated[str | PathLike[str] | None, Option(None, path)]
    """A folder for the attachments of all tickets; their full records are read then, too (None)."""
    private_addresses: Annotated[bool, Option(False, flag)]
    """Whether attachments may come from this machine and from private networks (False: only if they are at the host and
    port of the platform itself)."""
    resume: Annotated[bool, Option(True, flag)]
    """Whether to go on where the same export stopped (True); False: begin anew."""
    overwrite: Annotated[bool, Option(False, flag)]
    """Whether a file of the target's name is replaced at the end (False: refused at the beginning)."""
    strict: Annotated[bool, Option(False, flag)]
    """Whether a result that is not exact is an `ExportError`; the file keeps its part name then (False)."""
    on_progress: Annotated[
        Callable[[ExportProgress], None] | None, Option(None, must_be("a function, or None", callable))
    ]
    """Told how far it is, once a page at the most, in the event loop."""
    csv_bom: Annotated[bool, Option(True, flag)]
    """Whether CSV begins with a byte order mark, which Excel on Chinese Windows needs (True)."""
    csv_defuse: Annotated[bool, Option(True, flag)]
    """Whether CSV has an apostrophe in front of texts that a spreadsheet might take for formulas (True)."""


def checked_options(given: ExportOptions) -> ExportOptions:
    """Return all options, checked; `detail` is set if attachments need it."""
    refuse_unknown(given, ExportOptions.__annotations__, "an export")
    options = with_defaults(ExportOptions, given)
    options["detail"] = options["detail"] or options["attachments"] is not None
    if options["raw"] and options["detail"]:
        raise ConfigError(
            "writes the rows of the list; detail and attachments need full records",
            argument="raw",
            mend="choose one",
        )
    return options
