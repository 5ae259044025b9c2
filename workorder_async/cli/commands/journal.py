"""`workorder journal show`, `settle` and `report`: the mutations of a batch's journal, and their unknown outcomes.

The page of a report has the same head as that of a mirror. It has no script and no link, so it opens without a network.
Texts are escaped; if one slipped through, the page's Content-Security-Policy would let nothing run or load.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing, nullcontext
from datetime import datetime
from html import escape
from itertools import groupby
from operator import itemgetter
from shlex import quote
from typing import Annotated, Final, TypeAlias

from attrs import evolve
from cyclopts import Parameter
from cyclopts.types import ExistingFile

from workorder_async.arguments import is_whole
from workorder_async.batches.journal_file import Record, Records, read_records
from workorder_async.batches.outcomes import BatchReport, State
from workorder_async.cli.chosen import SILENT, Chosen, is_answer, read_each
from workorder_async.cli.commands.batch import in_words, row as outcome_row
from workorder_async.cli.connection import PATIENCE, Client, Connection, run_with
from workorder_async.cli.failures import OK, UNKNOWN, sentence
from workorder_async.cli.terminal import Bar, moment, note, out, print_table, tell, texts, whole, write_json
from workorder_async.cli.values import File
from workorder_async.document import CHINA_STANDARD_TIME, JSON
from workorder_async.errors import (
    ApiError,
    ConfigError,
    NotFoundError,
    RateLimitedError,
    ResponseError,
    WorkorderError,
)
from workorder_async.mutations.kinds import NAMES, kind_of
from workorder_async.plain_text import one_line

JournalPath: TypeAlias = Annotated[ExistingFile, Parameter(name="FILE", help="The file that was given by --journal.")]

_MARKS: Final = {State.NOT_SENT: "did not happen; the next run sends it", State.UNKNOWN: "still unknown"}

_LEFT: Final = (*map(whole, ("id", "operation", "outcome", "began")), texts("why"))
_COLUMNS: Final = (*map(whole, ("day", "time", "outcome", "what", "id")), *map(texts, ("title", "remarks")))


def show(
    file: JournalPath,
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object per mutation, also of those that were done.")] = False,
) -> None:
    """Show what a journal says: which batch it is for, counts, and each mutation that leaves something to be done.

    Also while a batch writes it. What was about to be sent and has no outcome yet is unknown. Nothing is asked.
    """
    records = read_records(file)
    if json:
        write_json(map(_row, records.by_key.values()))
        return
    tell(f"batch: {_name_of(records) or 'without a name'}")
    tell(f"platform: {records.identity.get('platform')}")
    tell(in_words(Counter(record.state for record in records.by_key.values())) or "nothing was begun")
    left = (record for record in records.by_key.values() if record.state not in (State.DONE, State.ALREADY))
    print_table(_LEFT, map(_cells, left), head=False)
    if records.unknown:
        note(f"`workorder journal settle {quote(str(file))}` looks for the unknown ones")


def settle(
    file: JournalPath,
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object per mutation that was unknown.")] = False,
    connection: Connection = Connection(),
) -> int:
    """Find out by reading what became of a journal's unknown mutations, and write it into the journal.

    Nothing is sent. A comment or a new ticket that is not there may still come, and stays unknown. Exits with 3 where
    some stay unknown.
    """
    records = read_records(file)
    if not records.unknown:
        note("nothing in this journal is unknown")
        return OK
    client = _client_of(records, connection)
    left = [one.mutation.get("id") for one in records.by_key.values() if one.state is State.UNKNOWN]
    return run_with(client, lambda client: _settle(client, file, left, as_json=json))


def _name_of(records: Records) -> str:
    """Return the name of a journal's batch, "events" for a journal of `Once`, or ""."""
    return str(records.identity.get("batch") or records.identity.get("for") or "")


def _client_of(records: Records, connection: Connection) -> Client:
    """Return a client of a journal's platform. Raises `ConfigError` if no platform, or another one, is configured."""
    (_, make), platform = connection.platform(), records.identity.get("platform")
    if platform != (client := make()).base_url:
        raise ConfigError(f"this journal is for {platform}, not {client.base_url}", mend=f"add --base-url {platform}")
    return client


async def _settle(client: Client, file: ExistingFile, left: Sequence[JSON], *, as_json: bool) -> int:
    """Settle a journal; `left` has the ticket of each unknown mutation, None for a creation."""
    from workorder_async.batches.batch import settle_journal

    report = BatchReport()
    # `settle_journal` takes a read that fails for "unknown", without an error: this read raises the error.
    try:
        await client.list_tickets(page_size=1)
    except ApiError:
        # An AppId may have no right to the list. A change of a ticket is looked for in that ticket alone.
        if not (ids := list(dict.fromkeys(id for id in left if is_whole(id)))):
            raise
        await _read_any(client, ids[:SILENT])
    with Bar("looking") as bar:
        async with aclosing(settle_journal(client, file, report=report, patience=PATIENCE)) as outcomes:
            async for outcome in outcomes:
                operation, facts = kind_of(outcome.mutation).endpoint.operation, outcome_row(outcome)
                if as_json:
                    write_json([{"operation": operation, **facts}])
                else:
                    id = f"{facts['id']} " if facts["id"] else ""
                    tell(f"{id}{operation}: {_MARKS.get(outcome.state, outcome.state.value)}")
                bar(report.total, max(report.total, len(left)))
    note(f"{in_words(report.counts)} in {report.elapsed:.1f} s")
    return UNKNOWN if report.counts[State.UNKNOWN] else OK


async def _read_any(client: Client, ids: Sequence[int]) -> None:
    """Read tickets in turn, until one is answered. Raises the first refusal if none is."""
    refusals = list[WorkorderError]()
    for id in ids:
        try:
            await client.get_ticket_detail(id)
        except NotFoundError:
            return
        except (ApiError, ResponseError) as error:
            if error.errno == 0 or isinstance(error, RateLimitedError):
                raise
            refusals.append(error)
        else:
            return
    raise refusals[0]


def _row(record: "Record") -> dict[str, JSON]:
    """Return a mutation and its outcome as JSON, in the form of `close --json`."""
    told = ("at", "server_at", "ticket_id", "error")
    facts = {name: value for name, value in record.facts.items() if name not in told}
    ended = record.facts.get("at")
    if isinstance(ended, int | float) and ended < record.began - 1:
        # `at` is reckoned by the event loop's clock, which stands still while the machine is suspended.
        ended = record.facts.get("server_at", record.began)
    return {
        "id": record.mutation.get("id") or record.facts.get("ticket_id", 0),
        "operation": kind.endpoint.operation if (kind := NAMES.get(record.operation)) else record.operation,
        "outcome": record.state.value,
        "began": _time(record.began),
        "ended": _time(ended),
        "message": record.facts.get("error", ""),
        **facts,
        "request": record.mutation,
    }


def _cells(record: "Record") -> tuple[str, ...]:
    """Return a mutation as the cells of a line: ticket, operation, outcome, when it began, and why."""
    row = _row(record)
    why = str(row["message"] or record.mutation.get("title") or "") + (f"; mark {row['mark']}" if "mark" in row else "")
    return str(row["id"] or ""), str(row["operation"]), record.state.value, str(row["began"]), why.removeprefix("; ")


def _time(seconds: JSON) -> str:
    return moment(seconds) if isinstance(seconds, int | float) and seconds else ""


def report(
    file: JournalPath,
    /,
    *,
    html: Annotated[File | None, Parameter(help="Write a page for a browser to this file; - for stdout.")] = None,
    overwrite: Annotated[bool, Parameter(help="Replace a file that is there.")] = False,
    connection: Connection = Connection(),
) -> None:
    """Tell what was done, by day and outcome, with the tickets' numbers and titles; days and times are of China.

    A journal of closes has no titles: they are read, each once, where the journal's platform is configured. Elsewhere
    the report is made of the file alone. Nothing is changed. A batch may be writing the journal meanwhile.
    """
    records, client = read_records(file), None
    try:
        client = _client_of(records, connection)
    except ConfigError as error:
        if evolve(connection, verbose=False) != Connection():
            raise
        note(f"workorder: no titles are read: {sentence(error)}")
    name = f"{_name_of(records) or 'a batch without a name'} on {records.identity.get('platform')}"
    with nullcontext() if html is None else html.target(beside=file, overwrite=overwrite) as page:
        rows = _rows_of(records, client)
        if page is None:
            _print(rows)
        else:
            page.writelines(part.encode() for part in _page_of(name, rows))
    note(f"{_counts_of(rows)}; {name}")


def _rows_of(records: Records, client: "Client | None") -> list[tuple[str, ...]]:
    """Return the rows in the order of day, outcome and time; read titles that are not in the journal."""
    found = [(key, record, _row(record)) for key, record in records.by_key.items()]
    ids = {key: one if is_whole(one := row["id"]) and 0 < one < 2**63 else 0 for key, _, row in found}
    titles = {ids[key]: str(record.mutation["title"]) for key, record, _ in found if "title" in record.mutation}
    missing = [id for id in dict.fromkeys(ids.values()) if id and id not in titles]
    if client is not None and missing:
        titles |= run_with(client, lambda client: _read_titles(client, missing))
    if unknown := sum(id not in titles for id in missing):
        note(f"workorder: the titles of {unknown:,} tickets are not known")
    rows = []
    for key, record, row in found:
        day, _, time = str(row["ended"] or row["began"]).partition(" ")
        what, number = str(row["operation"]).removesuffix("_ticket"), str(row["id"] or "")
        title = record.mutation.get("title") or titles.get(ids[key], "(title not known)")
        event = f"event {key}" if records.identity.get("for") == "events" else ""
        remarks = filter(None, (event, f"mark {row['mark']}" if "mark" in row else "", str(row["message"])))
        cells = (day or "no known day", time[:8], record.state.value, what, number, str(title), "; ".join(remarks))
        rows.append(tuple(map(one_line, cells)))
    return sorted(rows, key=lambda row: (row[0], list(State).index(State(row[2])), row[1]))


async def _read_titles(client: Client, ids: Sequence[int]) -> dict[int, str]:
    """Read the title of each ticket; say why one has no answer, or all are refused."""
    read, why = list[Chosen](), list[WorkorderError]()
    try:
        read = await read_each(client, ids, SILENT)
        why = [one.error for one in read if one.error is not None and not is_answer(one.error)]
    except WorkorderError as error:
        why = [error]
    if why:
        note(f"workorder: {sentence(why[-1])}")
    return {one.id: one.title for one in read if one.error is None}


def _counts_of(rows: Sequence[tuple[str, ...]]) -> str:
    return in_words(Counter(State(row[2]) for row in rows)) or "nothing was begun"


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table for each day; elsewhere than on a terminal, one table as lines with tabs."""
    if not out().is_terminal:
        print_table(_COLUMNS, rows)
        return
    for day, of_day in groupby(rows, itemgetter(0)):
        heading = f"{day}: {_counts_of(told := list(of_day))}"
        print_table(_COLUMNS[1:], [row[1:] for row in told], heading=heading)


def _page_of(name: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    from workorder_async.mirror.page import HEAD

    name, at = escape(one_line(name)), moment(datetime.now(CHINA_STANDARD_TIME))
    yield f"{HEAD.format(language='en', title=name)}<body><h1>{name}</h1>\n"
    yield f"<p>{_counts_of(rows)}, as of {at}. Days and times are of China.</p>\n"
    head = "".join(f"<th>{column.header}</th>" for column in _COLUMNS[1:])
    for day, of_day in groupby(rows, itemgetter(0)):
        yield f"<h2>{escape(day)}: {_counts_of(told := list(of_day))}</h2>\n<div><table>\n<tr>{head}</tr>\n"
        for row in told:
            yield f'<tr class="{row[2]}">{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>\n'
        yield "</table></div>\n"
    yield "</body></html>\n"
