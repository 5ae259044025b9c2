"""The arguments of an export, its progress, and its result, which is the sum of its parts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, Unpack

from attrs import define, field, fields_dict, frozen

from workorder_async.arguments import Option, flag, function, must_be, path, with_defaults
from workorder_async.errors import CallFacts, ConfigError, ExportError
from workorder_async.exports.sink import UNCHANGED, TextChanges
from workorder_async.walk_report import SKIPPED_ROWS_NAMED, SkippedRow
from workorder_async.walks.options import WalkOptions, refuse_unknown

Phase: TypeAlias = Literal["reading", "details", "converting"]
"""The work of an export: to read the list, to read full records, or to convert rows to a format that cannot be cut."""


@frozen(kw_only=True)
class ExportProgress:
    """An export so far."""

    phase: Phase
    """The work that is under way."""
    rows: int
    """Rows that were read by now, resumed ones included; in the phase "converting", rows that were converted. The
    number falls only if the list has another order than an earlier call assumed, so that the export begins anew."""
    total: int
    """About how many rows there will be: resumed rows, and the list's own total for each query that is begun."""
    resumed_rows: int
    """Rows of an earlier call that this one went on from; 0 if it began anew."""
    seconds: float
    """Seconds since this call began."""


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
    on_progress: Annotated[Callable[[ExportProgress], None] | None, Option(None, function)]
    """A function that is told how far the export is, once a page at the most, in the event loop."""
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


@frozen(kw_only=True)
class AttachmentCounts:
    """Attachments that were fetched, and those that were not."""

    fetched: int = 0
    """Files that were fetched."""
    bytes: int = 0
    """Bytes of these files."""
    kept: int = 0
    """Files that were there already."""
    failed: int = 0
    """Attachments without a file. That does not make an export inexact: the tickets are all there."""
    failures: tuple[str, ...] = ()
    """The place of each of them, and why it is missing; the first 1000 of them."""

    def __add__(self, other: "AttachmentCounts") -> "AttachmentCounts":
        sums = {name: getattr(self, name) + getattr(other, name) for name in fields_dict(AttachmentCounts)}
        return AttachmentCounts(**{**sums, "failures": sums["failures"][:SKIPPED_ROWS_NAMED]})


NO_ATTACHMENTS: Final = AttachmentCounts()


@define(kw_only=True)
class Part:
    """A piece of an export: rows of one query, behind those of the part before.

    A part grows while its rows are read. Once the rows are on disk, the manifest has a line with all these fields.
    """

    query: int
    """The place of the part's query, from 0."""
    rows: int = 0
    """How many rows the part has."""
    rest: tuple[int | None, int | None] | None = None
    """The range of created time that a later call reads: the first second, and the one after the last; None: no bound.
    About a page of its tickets has come already. None in place of both: no call can go on from this part."""
    ended: bool = False
    """Whether this is the last part of its query."""
    exact: bool = True
    """Whether there is no doubt about the query up to here, apart from tickets that are left out."""
    reason: str = ""
    """The doubts; if there is none, in the last part of a query, the reason that its walk reports."""
    requests: int = 0
    """Requests that the part took."""
    read_from: int = 0
    """When the part was begun, in seconds since the epoch by our own clock."""
    read_at: int = 0
    """When the last rows of the part were read, by the same clock."""
    skipped: list[SkippedRow] = field(factory=list)
    skipped_rows: int = 0
    gone: list[int] = field(factory=list)
    gone_tickets: int = 0
    refused: list[int] = field(factory=list)
    refused_tickets: int = 0
    refusal: str = ""
    attachments: AttachmentCounts = NO_ATTACHMENTS
    ids: list[int] = field(factory=list)
    """The ids of the part's tickets that any later call may meet again: all of them if there are several queries, else
    those without a created time."""
    again: list[int] = field(factory=list)
    """The ids of further tickets that a later call meets again, in `rest`. Only the newest part in memory has them."""
    changes: TextChanges = UNCHANGED
    """How many cells of the part are not as they came."""
    end: int = 0
    """Where the part's bytes end in the file that grows."""
    crc: int = 0
    """The CRC-32 of the part's bytes."""

    @property
    def is_void(self) -> bool:
        """Whether the walk restarted in this part: no call goes on from it, only from the one that ends the query."""
        return self.rest is None and not self.ended


def doubts_of_details(parts: Sequence[Part]) -> Iterator[str]:
    """Say how many full records are missing, and why."""
    gone, refused = sum(part.gone_tickets for part in parts), sum(part.refused_tickets for part in parts)
    if gone:
        examples = _examples(part.gone for part in parts)
        yield f"{gone} tickets were gone when their full records were asked for, as {examples}"
    if refused:
        examples = f"{_examples(part.refused for part in parts)}, the first with {first_refusal(parts)}"
        yield f"{refused} tickets were refused when their full records were asked for, as {examples}"


def _examples(ids: Iterable[Sequence[int]]) -> str:
    return ", ".join(map(str, islice(chain.from_iterable(ids), 5)))


def first_refusal(parts: Sequence[Part]) -> str:
    """Return the errno and the words of the first refusal; "" if there is none."""
    return next((part.refusal for part in parts if part.refusal), "")


@frozen(kw_only=True)
class ExportReport:
    """The result of an export: of this call and those that it went on from, unless a field says otherwise."""

    target: Path
    """The file; `-` for stdout."""
    rows: int
    """Tickets in the file."""
    bytes: int
    """The size of the file."""
    requests: int
    """Requests that the export took: for pages, full records and totals, not for attachments."""
    seconds: float
    """How long this call took."""
    resumed_rows: int
    """Rows of an earlier call that this one went on from; 0 if it began anew."""
    changes: TextChanges
    """How many cells are not as they came."""
    skipped: tuple[SkippedRow, ...]
    """Tickets that were left out with `on_bad_row="skip"`; the first 1000 of them."""
    skipped_rows: int
    """How many tickets were left out. A row without a readable id counts once in each query, and may count again in
    each call."""
    gone: tuple[int, ...]
    """Tickets that were in the list, and that the platform did not know (`NotFoundError`) when their full records were
    asked for; the first 1000 of them."""
    gone_tickets: int
    """How many such tickets there are in all. They are not in the file."""
    refused: tuple[int, ...]
    """Tickets whose full records the platform refused twice for another reason; the first 1000 of them."""
    refused_tickets: int
    """How many such tickets there are in all. They are not in the file."""
    refusal: str
    """The errno and the words with which the first of them was refused; "" if there is none."""
    attachments: AttachmentCounts
    """Attachments that were fetched, and those that were not."""
    read_from: int
    """The list is as of this moment, when reading began, in seconds since the epoch by our own clock: tickets that
    match only since then may be missing. Each row is as of its own read."""
    read_until: int
    """When the last rows were read, by the same clock."""
    exact: bool
    """Whether every ticket that matched all along is in the file exactly once; False if that cannot be known."""
    reason: str
    """Why the export is exact, in a few words; if it is not, the doubts."""


class InexactExportError(ExportError):
    """An export with `strict=True` is not exact; `report` says why."""

    def __init__(
        self, problem: str, *, mend: str = "", report: ExportReport | None = None, **call: Unpack[CallFacts]
    ) -> None:
        super().__init__(problem, mend=mend, **call)
        self.report = report
