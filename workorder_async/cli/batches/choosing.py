"""Which tickets `close`, `comment` and `reject` are about: numbers, a file of them, or the filters of `list`.

A file of --from has one of four kinds of text, told by its first line:

    {"id": 1473, ...}          JSON, as `list --json` and `export` write it: objects with an id, or numbers, one after
    [1473, 1474]               the other or in arrays, also spread over lines, as jq does it
    id      title              TSV, as `list` writes it: the column headed id, or the first one without a header
    title,id                   CSV, likewise, with or without a byte order mark
    1473  # a remark           a number on each line; a # begins a remark

Nothing is guessed: a line without a number is an error.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from attrs import evolve, frozen
from cyclopts import Group, Parameter, validators

from workorder_async.arguments import whole_within
from workorder_async.cli.filters import TicketFilters
from workorder_async.cli.running import each
from workorder_async.cli.terminal import Bar, note
from workorder_async.cli.values import Whole, text_of, text_or_stdin
from workorder_async.document import CloseTicket, CommentTicket, RejectTicket, Ticket, TicketQuery, TicketSummary
from workorder_async.errors import AuthenticationError, ConfigError, WorkorderError
from workorder_async.walk_report import WalkReport, together

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

_ID_MAX: Final = 2**63 - 1
_BLANK: Final = re.compile(r"\s*")
# A cell may hold a ticket's whole text; the usual limit is 128 KiB.
_LONGEST_CELL: Final = 2**31 - 1

_FROM_0: Final = Parameter(validator=validators.Number(gte=0))
_FROM_1: Final = Parameter(validator=validators.Number(gte=1))

Change: TypeAlias = CloseTicket | CommentTicket | RejectTicket
"""What these commands do to a ticket."""

TicketNumbers: TypeAlias = Annotated[
    tuple[Whole, ...],
    Parameter(name="IDS", help="The tickets' numbers; or use --from, or filters."),
]


@Parameter(name="*", group=Group("Batch", sort_key=4))
@frozen(kw_only=True)
class BatchOptions:
    """How many tickets are changed by one command."""

    source: Annotated[str | None, Parameter(name="--from")] = None
    """A file of tickets, - for stdin: a number on each line, # begins a remark; TSV or CSV, its column id or its first
    one; the JSON of `list --json` and `export`."""
    dry_run: bool = False
    """Show what would be done, and change nothing."""
    yes: bool = False
    """Do not ask before tickets of --from or of filters are changed."""
    journal: Path | None = None
    """A file that remembers what was done: run again with it, and it goes on."""
    limit: Annotated[Whole | None, _FROM_1] = None
    """Change so many tickets at most. With --journal over all runs together: what it says was done, or may have been,
    counts."""
    stop_after: Annotated[Whole, _FROM_0] = 20
    """Stop after so many failures in a row; 0 for never."""
    concurrency: Annotated[Whole, _FROM_1] = 16
    """Requests in flight at once, at most."""
    json: bool = False
    """Print one JSON object per ticket."""

    def text(self, detail: str) -> str:
        """Return the text of --detail, or of stdin for `-`. Raises `ConfigError` where --from takes that."""
        if detail == self.source == "-":
            raise ConfigError(
                "--detail - and --from - cannot go together", mend="there is one stdin: put one into a file"
            )
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


@frozen
class Choice:
    """The tickets as they were asked for: by number, or (`queries`) by filters."""

    ids: Sequence[int]
    queries: Sequence[TicketQuery] = ()
    named: bool = False
    """Whether each was named on the command line, so that nobody needs to be asked."""


def choice(ids: Sequence[int], options: BatchOptions, filters: TicketFilters) -> Choice:
    """Return the choice. Raises `ConfigError` unless it was made in exactly one way."""
    filtered = filters != type(filters)()
    if bool(ids) + (options.source is not None) + filtered > 1:
        raise ConfigError("choose the tickets in one way: by IDS, by --from, or by filters such as --status")
    if ids:
        return Choice([whole_within("ID", id, 1, _ID_MAX) for id in dict.fromkeys(ids)], named=True)
    if options.source is not None:
        return Choice(numbers_from(options.source))
    if not filtered:
        raise ConfigError("no ticket is named: give IDS, --from FILE, or a filter such as --status pending")
    return Choice((), filters.queries())


async def read_matching(client: "WorkorderClient", queries: Sequence[TicketQuery]) -> list[Chosen]:
    """List the tickets that match, each once, with a remark where one may be missing."""
    chosen: dict[int, Chosen] = {}
    reports: list[WalkReport] = []
    with Bar("listing") as bar:
        for query in queries:
            async with client.walk(query) as walk:
                async for tickets in walk:
                    chosen |= {one.id: _of(one) for one in tickets}
                    total = together([*reports, walk.report]).last_total
                    bar(len(chosen), max(len(chosen), total))
            reports.append(walk.report)
    report = together(reports)
    if not report.exact:
        note(f"a ticket may be missing here: {report.reason}; run it again to find what is left")
    return list(chosen.values())


async def read_each(client: "WorkorderClient", ids: Sequence[int], concurrency: int) -> list[Chosen]:
    """Read each ticket; a ticket that cannot be read gets its error. A refused signature ends it all."""
    found: dict[int, Chosen] = {}

    async def read(id: int) -> None:
        try:
            found[id] = _of(await client.get_ticket(id))
        except (AuthenticationError, ConfigError):
            raise
        except WorkorderError as error:
            found[id] = Chosen(id, error=error)
        bar(len(found), len(ids))

    with Bar("reading") as bar:
        await each(ids, read, at_once=concurrency)
    return [found[id] for id in ids]


def with_creator(one: Chosen) -> Chosen:
    """Give a ticket without a creator the error that says so."""
    if one.error is not None or one.creator.strip():
        return one
    return evolve(one, error=ConfigError("the platform does not say who created it", mend="use --closer-name"))


def _of(ticket: Ticket | TicketSummary) -> Chosen:
    return Chosen(ticket.id, ticket.title, ticket.creator_name, ticket.status.label, ticket.created_time)


def numbers_from(source: str) -> list[int]:
    """Read numbers from a file or, for "-", from stdin, each once. Raises `ConfigError` that names the line."""
    name = "stdin" if source == "-" else repr(source)
    text = text_of("--from", source)
    first = _first_line(text).partition("#")[0].strip()
    has_cells = first.lower() == "id" or any(mark in first for mark in '\t,"')
    read = _in_json if first[:1] in ("{", "[") else _in_cells if has_cells else _on_lines
    return list(dict.fromkeys(_number(name, line, found) for line, found in read(name, text)))


def _number(name: str, line: int, found: object) -> int:
    """Return a ticket's number. Raises `ConfigError` for anything else."""
    # int() also takes "1_000" and "+1", and refuses a number of thousands of digits in its own way.
    if isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) <= 19:
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool) and 1 <= found <= _ID_MAX:
        return found
    raise _refused(name, line, f"is {str(found)[:40]!r}", "it must be a ticket's number, from 1")


def _refused(name: str, line: int, why: str, mend: str = "") -> ConfigError:
    return ConfigError(why, argument=f"--from: line {line} of {name}", mend=mend)


def _in_json(name: str, text: str) -> Iterator[tuple[int, object]]:
    """Yield the id of each value, and the line that it begins on."""
    decoder = json.JSONDecoder()
    line, at = 1, 0
    while (begin := _BLANK.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # it matches anywhere
        line += text.count("\n", at, begin)
        try:
            value, at = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError) as error:
            where = error.lineno if isinstance(error, json.JSONDecodeError) else line
            raise _refused(name, where, "is no JSON, and the file begins as JSON") from None
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict) and "id" not in one:
                raise _refused(name, line, 'is an object without "id"')
            yield line, one["id"] if isinstance(one, dict) else one
        line += text.count("\n", begin, at)


def _on_lines(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield the word on each line, and its number."""
    for number, line in enumerate(StringIO(text, newline=None), 1):
        if word := line.partition("#")[0].strip():
            yield number, word


def _in_cells(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield the cell with the number in each row, and the line that it begins on."""
    is_tsv = "\t" in _first_line(text)
    csv.field_size_limit(_LONGEST_CELL)
    lines = StringIO(text, newline="")
    # `list` writes no quotes around its cells.
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if is_tsv else csv.reader(lines, strict=True)
    column, line = -1, 1
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            begin, line = line, rows.line_num + 1
            if column >= 0 and any(cells):
                yield begin, cells[column] if column < len(cells) else ""
            elif any(cells) and not cells[0].startswith("#"):
                column = next((at for at, cell in enumerate(cells) if cell.lower() == "id"), -1)
                if column < 0:
                    if len(cells) > 1 and all(cell.isdecimal() for cell in cells):
                        mend = "write one on each line, or a header: id"
                        raise _refused(name, begin, "holds several numbers", mend)
                    column = 0
                    yield begin, cells[0]
    except csv.Error as error:
        raise _refused(name, line, f"is no CSV: {error}") from None


def _first_line(text: str) -> str:
    """Return the first line that is neither blank nor a remark; "" where there is none."""
    return next((line for line in StringIO(text, newline=None) if not re.match(r"\s*(#|$)", line)), "")
