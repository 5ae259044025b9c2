"""How to export: the keyword arguments of `export_tickets`, their defaults, and their checks."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict

from attrs import field, frozen

from workorder_async.arguments import kind_of, path
from workorder_async.document import TicketQuery
from workorder_async.errors import ConfigError
from workorder_async.exports.report import ExportProgress
from workorder_async.walks.options import WalkOptions

if TYPE_CHECKING:
    from attrs import Attribute

WhatToExport: TypeAlias = TicketQuery | Sequence[TicketQuery]
"""One query, or several, one after the other: each ticket that any of them matches comes once."""


class ExportOptions(TypedDict, total=False):
    """How to export; the keyword arguments of `export_tickets`."""

    format: str | None
    """One of the formats, where the target's suffix does not say it (None)."""
    raw: bool
    """Whether lines are the server's own objects, fields that no model knows included (False); JSON Lines only."""
    detail: bool
    """Whether the full record of each ticket is read, one request each (False)."""
    attachments: str | PathLike[str] | None
    """A folder for the attachments of all tickets; their full records are read then, too (None)."""
    resume: bool
    """Whether to go on where the same export stopped (True); False: begin anew."""
    overwrite: bool
    """Whether a file of the target's name is replaced at the end (False: refused at the beginning)."""
    strict: bool
    """Whether a result that is not exact is an `ExportError`; the file keeps its part name then (False)."""
    on_progress: Callable[[ExportProgress], None] | None
    """Told how far it is, once a page at the most, in the event loop."""
    csv_bom: bool
    """Whether CSV begins with a byte order mark, which Excel on Chinese Windows needs (True)."""
    csv_defuse: bool
    """Whether CSV has an apostrophe in front of texts that a spreadsheet would take for formulas (True)."""
    page_size: int
    """Tickets to ask for per request (100)."""
    concurrency: int
    """Requests in flight at once, at the most (8)."""
    on_bad_row: Literal["raise", "skip"]
    """How to treat a ticket that cannot be read: end the export with a `DecodeError` ("raise"), or leave it out and
    name it in the report ("skip")."""


def _folder(instance: object, attribute: "Attribute[Any]", value: "str | PathLike[str] | None") -> None:
    if value is not None:
        path(attribute.name, value)


def _told(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    if value is not None and not callable(value):
        raise ConfigError(f"is {kind_of(value)}", argument=attribute.name, mend="it must be a function, or None")


# Of full records a page is a part, and two may be lost in a kill: the one that is read, and the one that goes to disk.
# So many are few enough that no more than a hundred are read again, and are read 8, 16 or 24 at a time without a rest.
_DETAILED_PAGE: Final = 48


@frozen(kw_only=True)
class ExportSettings:
    """The same with their defaults, and what of them cannot work."""

    format: str | None = None
    raw: bool = False
    detail: bool = False
    attachments: "str | PathLike[str] | None" = field(default=None, validator=_folder)
    resume: bool = True
    overwrite: bool = False
    strict: bool = False
    on_progress: Callable[[ExportProgress], None] | None = field(default=None, validator=_told)
    csv_bom: bool = True
    csv_defuse: bool = True
    page_size: int = 100
    concurrency: int = 8
    on_bad_row: Literal["raise", "skip"] = "raise"

    def __attrs_post_init__(self) -> None:
        if self.raw and self.is_detailed:
            raise ConfigError(
                "writes the rows of the list; detail and attachments need full records",
                argument="raw",
                mend="choose one",
            )

    @property
    def is_detailed(self) -> bool:
        """Whether full records are read."""
        return self.detail or self.attachments is not None

    @property
    def walk(self) -> WalkOptions:
        """How the list is walked."""
        page_size = min(self.page_size, _DETAILED_PAGE) if self.is_detailed else self.page_size
        return WalkOptions(page_size=page_size, concurrency=self.concurrency, on_bad_row=self.on_bad_row)


def queries_of(query: WhatToExport) -> tuple[TicketQuery, ...]:
    """Return the queries. Raises `ConfigError` for anything else."""
    queries = (query,) if isinstance(query, TicketQuery) else query
    if isinstance(queries, list | tuple) and queries and all(isinstance(one, TicketQuery) for one in queries):
        return tuple(queries)
    raise ConfigError(f"must be a TicketQuery, or a list of them, not {kind_of(query)}", argument="query")
