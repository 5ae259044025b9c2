"""Which tickets `close`, `comment` and `reject` are about: numbers, a file of them, or the filters of `list`.

A file of --from declares itself by how it begins:

    {"id": 1473, ...}          JSON, as `list --json` and `export` write it: objects with an id, or numbers, one after
    [1473, 1474]               the other or in arrays, also spread over lines, as jq does it
    id      title              TSV, as `list` writes it, CSV, or a workbook (.xlsx), whose first row names the columns,
    标题,工单ID                 one of them that of the numbers
    1473  # a remark           a number on each line; a # begins a remark

Its text is UTF-8, GBK as Excel in China writes it, or UTF-16 that begins with its mark. Nothing else is guessed: rows
without the names of their columns or of more cells, a line without a number, a row of TSV of several lines, and a row
of fewer cells where the last one may be cut short, are errors.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO, StringIO
from math import floor
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from attrs import evolve, frozen
from cyclopts import Group, Parameter, types, validators

from workorder_async.cli.connection import Connection
from workorder_async.cli.filters import TicketFilters
from workorder_async.cli.terminal import Bar, moment, note
from workorder_async.cli.values import Whole, content_of, decoded, text_or_stdin
from workorder_async.document import CloseTicket, CommentTicket, RejectTicket, Ticket, TicketQuery, TicketSummary
from workorder_async.errors import ConfigError, WorkorderError
from workorder_async.extras import extra_module
from workorder_async.walk_report import WalkReport
from workorder_async.walks.queries import together

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

# So many rounds of tickets are read before the bar is told again.
_ROUNDS_OF_A_STEP: Final = 8
_ID_MAX: Final = 2**63 - 1
_BLANK: Final = re.compile(r"\s*")
# A cell may hold a ticket's whole text; the usual limit is 128 KiB.
_LONGEST_CELL: Final = 2**31 - 1
_SHOWN: Final = ("status", "type", "sub_type", "second_subtype")
_ID_NAMES: Final = ("id", "ticketid", "工单id", "工单编号", "工单号", "编号")
# What is no column's name: a number, or a time.
_VALUE: Final = re.compile(r"[-+.,:/\d\sTZ]*\d[-+.,:/\d\sTZ]*")
# How files begin that other programs read as a whole: gzip, Zstandard, Parquet, SQLite, and Excel's of old or locked.
_BINARY: Final = (b"\x1f\x8b", b"(\xb5/\xfd", b"PAR1", b"SQLite format 3\0", b"\xd0\xcf\x11\xe0")
# A float of Excel is exact below it.
_EXACT: Final = 2**53
_SEPARATED: Final = "put quotes around each cell with a comma, a tab, a quote or a line feed, or use JSON"

Change: TypeAlias = CloseTicket | CommentTicket | RejectTicket
"""What these commands do to a ticket."""

_Found: TypeAlias = Iterator[tuple[str, object]]
"""What is found to be a ticket's number, each with its place in the file."""


@Parameter(name="*", group=Group("Batch", sort_key=4))
@frozen(kw_only=True)
class BatchOptions:
    """How many tickets are changed by one command, which ones, and where."""

    source: Annotated[str | None, Parameter(name="--from")] = None
    """A file of tickets, - for stdin: a number on each line, # begins a remark; TSV, CSV or .xlsx with a column id (or
    工单ID); the JSON of `list --json` and `export`."""
    dry_run: bool = False
    """Show what would be done, and change nothing."""
    yes: bool = False
    """Do not ask before tickets of --from or of filters are changed."""
    journal: types.File | None = None
    """A file that remembers what was done: run again with it, and it goes on."""
    limit: Annotated[Whole | None, Parameter(validator=validators.Number(gte=1))] = None
    """Change so many tickets at most. With --journal over all runs together: what it says was done, or may have been,
    counts."""
    stop_after: Annotated[Whole, Parameter(validator=validators.Number(gte=0))] = 20
    """Stop after so many failures in a row; 0 for never."""
    concurrency: Annotated[Whole, Parameter(validator=validators.Number(gte=1, lte=10_000))] = 16
    """Requests in flight at once, at most."""
    json: bool = False
    """Print one JSON object per ticket."""
    filters: TicketFilters = TicketFilters()
    connection: Connection = Connection()

    def text(self, detail: str) -> str:
        """Return the text of --detail, or of stdin for `-`. Raises `ConfigError` where --from takes that."""
        if detail == self.source == "-":
            mend = "there is one stdin: put one into a file"
            raise ConfigError("--detail - and --from - cannot go together", mend=mend)
        return text_or_stdin(detail, "--detail")


@frozen
class Chosen:
    """A ticket to be changed, and its known fields; with an `error` it cannot be changed."""

    id: int
    title: str = ""
    creator: str = ""
    status: str = ""
    created: int = 0
    error: WorkorderError | None = None


def chosen_by(ids: Sequence[int], options: BatchOptions) -> tuple[Sequence[int], Sequence[TicketQuery]]:
    """Return the tickets' numbers, or the queries for them. Raises `ConfigError` unless chosen in exactly one way."""
    filtered = options.filters != TicketFilters()
    ways = bool(ids) + (options.source is not None) + filtered
    if ways > 1:
        raise ConfigError("choose the tickets in one way: by IDS, by --from, or by filters such as --status")
    if not ways:
        raise ConfigError("no ticket is named: give IDS, --from FILE, or a filter such as --status pending")
    if filtered:
        return (), options.filters.queries()
    return list(dict.fromkeys(ids)) if options.source is None else numbers_from(options.source), ()


async def read_matching(
    client: "WorkorderClient", queries: Sequence[TicketQuery], *, has_age: bool
) -> tuple[Sequence[TicketQuery], list[Chosen]]:
    """List the tickets that match, each once, with a remark where one may be missing; return what was asked, too.

    With `has_age` the queries end at an age, which no clock may make less.
    """
    chosen: dict[int, Chosen] = {}
    reports: list[WalkReport] = []
    if has_age:
        await client.ping()
        behind = floor(min(0.0, client.clock_offset))
        queries = [evolve(query, created_end=(query.created_end or 0) + behind) for query in queries]
    with Bar("listing") as bar:
        for query in queries:
            async with client.walk(query) as walk:
                async for tickets in walk:
                    chosen |= {one.id: _of_row(query, one) for one in tickets}
                    total = together(queries, [*reports, walk.report]).last_total
                    bar(len(chosen), max(len(chosen), total))
            reports.append(walk.report)
    report = together(queries, reports)
    if not report.exact:
        note(f"a ticket may be missing here: {report.reason}; run it again to find what is left")
    return queries, list(chosen.values())


def _of_row(query: TicketQuery, row: TicketSummary) -> Chosen:
    """Return a ticket of the list; with an error where its row does not show that it is one that was asked for."""
    shown = [(name, getattr(query, name), getattr(row, name)) for name in _SHOWN]
    odd = [f"{name} {found!s}" for name, wanted, found in shown if wanted is not None and found != wanted]
    if str(query.customer_organization_name or "").strip().casefold() not in row.customer_organization_name.casefold():
        odd.append(f"customer {row.customer_organization_name!r}")
    start, end = query.created_start or 0, query.created_end
    if row.created_time < start or (end is not None and not 0 < row.created_time <= end):
        odd.append(f"created {moment(row.created_at) or 'at no time'}")
    if not odd:
        return _of(row)
    problem = f"its row in the list does not match: {', '.join(odd)}"
    return evolve(_of(row), error=ConfigError(problem, mend="if it is meant, name it by its number"))


async def read_each(client: "WorkorderClient", ids: Sequence[int], concurrency: int) -> list[Chosen]:
    """Read each ticket; a ticket that cannot be read gets its error. A refused signature ends it all."""
    read: dict[int, Ticket | WorkorderError] = {}
    with Bar("reading") as bar:
        step = _ROUNDS_OF_A_STEP * concurrency
        for start in range(0, len(ids), step):
            read |= await client.get_tickets(ids[start : start + step], concurrency=concurrency)
            bar(len(read), len(ids))
    return [Chosen(id, error=one) if isinstance(one, WorkorderError) else _of(one) for id, one in read.items()]


def _of(ticket: Ticket | TicketSummary) -> Chosen:
    return Chosen(ticket.id, ticket.title, ticket.creator_name, ticket.status.label, ticket.created_time)


def numbers_from(source: str) -> list[int]:
    """Read numbers from a file or, for "-", from stdin, each once. Raises `ConfigError` that names the line."""
    name = "stdin" if source == "-" else repr(source)
    content = content_of("--from", source)
    if content.startswith(b"PK\x03\x04"):
        found = _in_workbook(name, content)
    elif content.startswith(_BINARY):
        mend = "give an export as .csv, .jsonl or .xlsx, or the JSON of `workorder list`"
        raise ConfigError("is packed, or a database, and no text", argument=f"--from: {name}", mend=mend)
    else:
        # Excel in China writes CSV in GBK. In it no digit and no separator is a part of another character.
        text = decoded("--from", source, content, or_gbk=True)
        begin = next((line for line in _lines(text) if not re.match(r"\s*(#|$)", line)), "")
        first = begin.partition("#")[0].strip()
        if first[:1] in ("{", "["):
            found = _in_json(name, text)
        elif not first or first.isdecimal():
            found = _on_lines(name, text)
        else:
            is_tsv = "\t" in begin
            # Without an end the last row may be cut short, amid its number: Excel leaves empty cells out, and ends it.
            is_even = is_tsv or not text.endswith(("\n", "\r"))
            found = _in_column(name, _rows(name, text, is_tsv=is_tsv), is_even=is_even)
    return list(dict.fromkeys(_number(name, line, one) for line, one in found))


def _number(name: str, line: str, found: object) -> int:
    # int() also takes "1_000" and "+1", and refuses a number of thousands of digits in its own way.
    if isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) <= 19:
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool) and 1 <= found <= _ID_MAX:
        return found
    raise _refused(name, line, f"is {str(found)[:40]!r}", "it must be a ticket's number, from 1")


def _refused(name: str, line: str, why: str, mend: str = "") -> ConfigError:
    return ConfigError(why, argument=f"--from: {line} of {name}", mend=mend)


def _in_json(name: str, text: str) -> _Found:
    """Yield the id of each value, and the line that it begins on."""
    decoder = json.JSONDecoder()
    line, at = 1, 0
    while (begin := _BLANK.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # it matches anywhere
        line += text.count("\n", at, begin)
        try:
            value, at = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError) as error:
            where = error.lineno if isinstance(error, json.JSONDecodeError) else line
            raise _refused(name, f"line {where}", "is no JSON, and the file begins as JSON") from None
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict) and "id" not in one:
                raise _refused(name, f"line {line}", 'is an object without "id"')
            yield f"line {line}", one["id"] if isinstance(one, dict) else one
        line += text.count("\n", begin, at)


def _on_lines(name: str, text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_lines(text), 1):
        if word := line.partition("#")[0].strip():
            yield f"line {number}", word


def _rows(name: str, text: str, *, is_tsv: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield each row of a CSV or TSV, and the line that it begins on.

    A row of TSV is one line, with a cell for each name. So it does not matter whether its writer knows quotes.
    """
    csv.field_size_limit(_LONGEST_CELL)
    rows = csv.reader(_lines(text), delimiter="\t" if is_tsv else ",", strict=not is_tsv)
    line = 1
    try:
        for row in rows:
            if is_tsv and rows.line_num > line:
                raise _refused(name, f"line {line}", "may be a row, or begin a cell in quotes", "use CSV or JSON")
            yield f"line {line}", row
            line = rows.line_num + 1
    except csv.Error as error:
        raise _refused(name, f"line {line}", f"is no {'TSV' if is_tsv else 'CSV'}: {error}", _SEPARATED) from None


def _in_workbook(name: str, content: bytes) -> _Found:
    """Yield the number of each row of each sheet, and where it stands."""
    load = extra_module("openpyxl", "xlsx").load_workbook
    try:
        book = values = load(BytesIO(content))
        # What a formula came to is in another reading; one that was never computed stays as it is written.
        if any(cell.data_type == "f" for sheet in book.worksheets for cell in sheet._cells.values()):
            values = load(BytesIO(content), data_only=True)
    except Exception as error:  # noqa: BLE001 - openpyxl meets what is damaged with any of them
        raise ConfigError(f"{name} is no workbook that can be read: {error}", argument="--from:") from None
    for sheet in book.worksheets:
        hidden = [number for number, row in sheet.row_dimensions.items() if row.hidden]
        if hidden or sheet.sheet_state != "visible":
            # A filter of Excel hides rows, and who looks at the sheet does not mean them.
            where = f"row {hidden[0]} of sheet {sheet.title!r}" if hidden else f"sheet {sheet.title!r}"
            raise _refused(name, where, "is hidden", "show it, or copy what is meant to a file of its own")
        rows: dict[int, dict[int, object]] = {}
        # Not `iter_rows`, which makes each cell up to the last one: billions where that has a format and no value.
        for (row, column), cell in sheet._cells.items():
            if cell.value is not None:
                found = values[sheet.title]._cells[row, column].value
                rows.setdefault(row, {})[column] = cell.value if found is None else found
        filled = ((row, [cells.get(at) for at in range(1, max(cells) + 1)]) for row, cells in sorted(rows.items()))
        yield from _in_column(name, ((f"row {row} of sheet {sheet.title!r}", cells) for row, cells in filled))


def _in_column(name: str, rows: Iterable[tuple[str, Sequence[object]]], *, is_even: bool = False) -> _Found:
    """Yield the cell with the number in each row. The first row, after remarks, must be one of names.

    A row of more cells is refused: one of them is half of another, and the number may stand elsewhere. With `is_even`
    each has as many.
    """
    column, width = -1, 0
    for where, row in rows:
        cells = [cell.strip() if isinstance(cell, str) else "" if cell is None else cell for cell in row]
        if column >= 0 and any(cells):
            if len(cells) > width or (is_even and len(cells) < width):
                mend = _SEPARATED if len(cells) > width else f"write it anew if it was cut short, else {_SEPARATED}"
                raise _refused(name, where, f"has {len(cells)} cells, and {width} are named", mend)
            cell = cells[column] if column < len(cells) else ""
            yield where, int(cell) if isinstance(cell, float) and cell.is_integer() and cell < _EXACT else cell
        elif any(cells) and not str(cells[0]).startswith("#"):
            places = [at for at, cell in enumerate(cells) if re.sub(r"[\s_-]", "", str(cell)).lower() in _ID_NAMES]
            # Where a row of values stands in place of the names, a title may well be "id".
            if len(places) != 1 or not all(isinstance(cell, str) and not _VALUE.fullmatch(cell) for cell in cells):
                mend = "begin with the columns' names, one of them id, or write the numbers alone, one on each line"
                raise _refused(name, where, "does not name the column with the tickets' numbers", mend)
            [column], width = places, len(cells)


def _lines(text: str) -> StringIO:
    """Return the lines of a text. Where some end with a line feed, a carriage return alone is part of a line."""
    return StringIO(text, newline="\n" if "\n" in text else "")
