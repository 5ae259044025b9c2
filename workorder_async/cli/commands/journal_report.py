"""`workorder journal report`: what a journal says was done, by day and outcome; as a table, or as one page.

The page has its own style, no script and no link: it opens without a network, and asks nobody for anything. Texts of
people are escaped. Should one get through all the same, a policy in the page lets nothing run or load.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from html import escape
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

from attrs import evolve, frozen
from cyclopts import Parameter
from rich.table import Column, Table
from rich.text import Text

from workorder_async.arguments import is_whole
from workorder_async.batches.journal import Records
from workorder_async.batches.outcomes import BatchReport, State
from workorder_async.cli.batches.carrying_out import read_journal
from workorder_async.cli.batches.tally import counted
from workorder_async.cli.commands.journal import JournalPath, client_of, row_of
from workorder_async.cli.connection import Connection, run_with
from workorder_async.cli.failures import OK, sentence
from workorder_async.cli.running import each
from workorder_async.cli.terminal import Bar, moment, note, one_line, out, print_heading, write_rows
from workorder_async.cli.values import AS_WRITTEN, File
from workorder_async.document import CHINA_STANDARD_TIME
from workorder_async.durable import written_whole
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    DecodeError,
    RateLimitedError,
    WorkorderError,
)

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

_ORDER: Final = list(State)
_NAMES: Final = ("time", "outcome", "what", "id", "title", "event", "why")
# So many cells of the row are short, and never broken.
_WHOLE: Final = 4
_NO_TITLE: Final = "(title not known)"
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
:root { color-scheme: light dark; --good: #1a7f37; --bad: #b3261e; --odd: #8a5a00 }
@media (prefers-color-scheme: dark) { :root { --good: #6fdc8c; --bad: #ff8a80; --odd: #f2c14e } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
div { overflow-x: auto }
table { border-collapse: collapse; min-width: 45rem }
th, td { border-bottom: 1px solid #8886; padding: .3rem .7rem; text-align: start; vertical-align: top }
td:nth-child(-n+4) { white-space: nowrap; font-variant-numeric: tabular-nums }
h1, td { overflow-wrap: anywhere }
td:nth-child(n+5) { min-width: 14rem }
.DONE :nth-child(2), .ALREADY :nth-child(2) { color: var(--good) }
.REJECTED :nth-child(2), .NOT_SENT :nth-child(2) { color: var(--bad) }
.UNKNOWN :nth-child(2) { color: var(--odd) }
</style>
"""


@frozen
class _Line:
    """One mutation: its day in China, its outcome, and the cells of its row."""

    day: str
    state: State
    cells: tuple[str, ...]


def report(
    file: JournalPath,
    /,
    *,
    html: Annotated[
        File | None, AS_WRITTEN, Parameter(help="Write a page for a browser to this file; - for stdout.")
    ] = None,
    connection: Connection = Connection(),
) -> int:
    """Tell what was done, by day and outcome, with the tickets' numbers and titles; days and times are of China.

    A journal of closes has no titles: they are read, each once, where the journal's platform is configured. Elsewhere
    the report is made of the file alone. Nothing is changed. A batch may be writing the journal meanwhile.
    """
    records, client = read_journal(file), None
    try:
        client = client_of(records, connection)
    except ConfigError as error:
        if evolve(connection, verbose=False) != Connection():
            raise
        note(f"workorder: no titles are read: {sentence(error)}")
    with nullcontext() if html is None else _opened(html, file) as page:
        lines = _lines_of(records, client)
        if page is None:
            _print(lines)
        else:
            page.writelines(part.encode() for part in _page_of(records, lines))
    note(f"{_counted(lines) or 'nothing was begun'}; {_name_of(records)}")
    return OK


def _opened(html: File, journal: Path) -> AbstractContextManager[BinaryIO]:
    """Open the page. Raises `ConfigError` where that cannot be, and for the journal itself."""
    name = html.file_name()
    if name == "-":
        return nullcontext(sys.stdout.buffer)
    if os.path.exists(name) and os.path.samefile(name, journal):
        problem = "is the journal, without which all would be sent again"
        raise ConfigError(problem, argument=f"{html.option} {name}", mend="name another file")
    return written_whole(Path(name))


def _name_of(records: Records) -> str:
    """Say which batch a journal is of."""
    name = records.identity.get("batch") or records.identity.get("for") or "a batch without a name"
    return f"{name} on {records.identity.get('platform')}"


def _counted(lines: Sequence[_Line]) -> str:
    return counted(BatchReport(Counter(line.state for line in lines)))


# What is told


def _lines_of(records: Records, client: "WorkorderClient | None") -> list[_Line]:
    """Return the lines by day, outcome and time; titles that the journal does not have are asked for."""
    rows = [(key, record, row_of(record)) for key, record in records.by_key.items()]
    ids = [row["id"] if is_whole(row["id"]) else 0 for _, _, row in rows]
    titles = {
        id: str(record.mutation["title"])
        for id, (_, record, _) in zip(ids, rows, strict=True)
        if "title" in record.mutation
    }
    missing = [id for id in dict.fromkeys(ids) if id and id not in titles]
    if client is not None and missing:
        titles |= run_with(client, lambda client: _read_titles(client, missing))
    if unknown := sum(id not in titles for id in missing):
        note(f"workorder: the titles of {unknown:,} tickets are not known")
    lines = []
    for id, (key, record, row) in zip(ids, rows, strict=True):
        day, _, time = str(row["ended"] or row["began"]).partition(" ")
        what = str(row["operation"]).removesuffix("_ticket")
        title = record.mutation.get("title") or titles.get(id, _NO_TITLE)
        why = "; ".join(filter(None, (str(row["message"]), f"mark {row['mark']}" if "mark" in row else "")))
        event = _event_of(key) if records.identity.get("for") == "events" else ""
        cells = (time[:8], record.state.value, what, str(row["id"] or ""), str(title), event, why)
        lines.append(_Line(day, record.state, tuple(map(one_line, cells))))
    return sorted(lines, key=lambda line: (line.day, _ORDER.index(line.state), line.cells[0]))


def _event_of(key: str) -> str:
    """Return the scope and the key of an event, as people gave them."""
    try:
        return " ".join(part for part in json.loads(key) if part)
    except (ValueError, TypeError, RecursionError):  # somebody may have written anything there
        return key


async def _read_titles(client: "WorkorderClient", ids: Sequence[int]) -> dict[int, str]:
    """Ask for the title of each ticket, once. Where the platform does not answer, the rest is left."""
    titles: dict[int, str] = {}

    async def read(id: int) -> None:
        try:
            titles[id] = (await client.get_ticket(id)).title
        except (AuthenticationError, RateLimitedError):
            raise
        except (ApiError, DecodeError, ConfigError):
            pass  # it is about this ticket
        bar(len(titles), len(ids))

    try:
        with Bar("reading titles") as bar:
            await each(ids, read)
    except WorkorderError as error:
        note(f"workorder: {sentence(error)}")
    return titles


# How it is laid out


def _shown(lines: Sequence[_Line]) -> list[int]:
    """Return the places of the cells to show to people: events only where there are some."""
    return [place for place, name in enumerate(_NAMES) if name != "event" or any(line.cells[place] for line in lines)]


def _print(lines: Sequence[_Line]) -> None:
    """Print a table for each day; without a terminal, lines with tabs below the names of the columns."""
    console = out()
    if not console.is_terminal:
        write_rows([("day", *_NAMES), *((line.day, *line.cells) for line in lines)])
        return
    shown = _shown(lines)
    for day, of_day in groupby(lines, attrgetter("day")):
        rows = list(of_day)
        print_heading(f"{day or 'at no known time'}: {_counted(rows)}")
        columns = [Column(_NAMES[place], no_wrap=place < _WHOLE, overflow="fold") for place in shown]
        table = Table(*columns, box=None, padding=(0, 1, 0, 0))
        for line in rows:
            table.add_row(*(Text(line.cells[place]) for place in shown))
        console.print(table)


def _page_of(records: Records, lines: Sequence[_Line]) -> Iterator[str]:
    """Yield the parts of the page."""
    name = escape(one_line(_name_of(records)))
    yield f"{_PAGE}<title>{name}</title>\n</head>\n<body>\n<h1>{name}</h1>\n"
    at = moment(datetime.now(CHINA_STANDARD_TIME))
    yield f"<p>{_counted(lines) or 'nothing was begun'}, as of {at}. Days and times are of China.</p>\n"
    shown = _shown(lines)
    head = "".join(f"<th>{_NAMES[place]}</th>" for place in shown)
    for day, of_day in groupby(lines, attrgetter("day")):
        rows = list(of_day)
        yield f"<h2>{escape(day or 'at no known time')}: {_counted(rows)}</h2>\n<div><table>\n<tr>{head}</tr>\n"
        for line in rows:
            cells = "".join(f"<td>{escape(line.cells[place])}</td>" for place in shown)
            yield f'<tr class="{line.state.name}">{cells}</tr>\n'
        yield "</table></div>\n"
    yield "</body>\n</html>\n"
