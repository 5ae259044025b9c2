"""`workorder mirror`: a database that keeps up with the platform; `changes`, `search` and `report` read it."""

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, cast

from attrs import asdict, frozen
from cyclopts import Parameter, validators
from cyclopts.types import ExistingFile

from workorder_async.cli.connection import Client, Connection
from workorder_async.cli.failures import FAILED, OK
from workorder_async.cli.filters import Reading, TicketFilters
from workorder_async.cli.terminal import Bar, moment, named, note, print_table, tell, texts, whole, write_json
from workorder_async.cli.values import TIME_HELP, Age, File, Time, Whole
from workorder_async.document import TicketQuery
from workorder_async.errors import ConfigError, ExportError, WorkorderError
from workorder_async.plain_text import one_line
from workorder_async.words import spoken

if TYPE_CHECKING:
    from workorder_async.mirror import MirrorOptions, MirrorReport
    from workorder_async.mirror.figures import Figures
    from workorder_async.mirror.page import Words

_NAMED: Final = 20
_YESTERDAY: Final = Time("yesterday", "--since")
_MOST: Final = "Print so many at the most, the newest."
_LANG: Final = Parameter(help="The language; else that of WORKORDER_LANG or the locale.")
_SINCE: Final = Parameter(help=f"Seen at or after the beginning of it: {TIME_HELP}.")

_Mirror: TypeAlias = Annotated[ExistingFile, Parameter(name="DB", help="The database that `workorder mirror` wrote.")]


@Parameter(name="*")
@frozen(kw_only=True)
class Mirroring(Reading):
    """How a database is brought up to date."""

    full: bool = False
    """Read the row of every ticket, and write what differs."""
    recheck: Whole = 0
    """Read so many full records of open tickets again, with --full of any: those that are the oldest."""
    accept_gone: bool = False
    """Mark tickets that are not shown any more, however many they are."""
    lag: Whole = 120
    """How many seconds a new ticket may take until the list shows it."""


@frozen(kw_only=True)
class Followed(TicketFilters):
    """Which tickets are followed. The help leaves out --status and --older-than: a mirror refuses them."""

    status: Annotated[str | None, Parameter(show=False)] = None
    older_than: Annotated[Age | None, Parameter(show=False)] = None


def mirror(
    database: Annotated[str, Parameter(name="DB", help="The database; it is made if there is none.")],
    /,
    *,
    how: Mirroring = Mirroring(),
    filters: Followed = Followed(),
    connection: Connection = Connection(),
) -> int:
    """Bring a SQLite database up to date with the platform, and say what changed.

    The first run reads every ticket that matches, later ones the open tickets, the new ones, and those that are open no
    more. What is cut short goes on when the same command is run again. `workorder changes`, `search` and `report` read
    the database; so may anything else, also meanwhile. Exits with 1 also where more tickets are not shown any more than
    are believed to be gone; stderr says so then.
    """
    if steady := filters.steady_times():
        problem = "each run follows the same tickets, and this time would mean others in the next one"
        raise ConfigError(problem, mend=f"write {' '.join(steady)}")
    query, *_ = filters.queries()  # several queries mean several statuses, and the first of them is refused already
    options = cast("MirrorOptions", asdict(how))
    try:
        report = connection.run(lambda client: _mirror(client, database, query, options))
    except (KeyboardInterrupt, asyncio.CancelledError, WorkorderError) as error:
        if not isinstance(error, ConfigError | ExportError):
            note("workorder: the tickets that were read are in the database; the same command goes on from there")
        raise
    _summarise(report)
    return FAILED if report.held_back else OK


async def _mirror(client: Client, database: str, query: TicketQuery, options: "MirrorOptions") -> "MirrorReport":
    from workorder_async.mirror import mirror_tickets

    with Bar("mirroring") as bar:
        options["on_progress"] = lambda going: bar(going.rows, max(going.total, going.rows), going.phase)
        return await mirror_tickets(client, database, query, **options)


def _summarise(report: "MirrorReport") -> None:
    """Print a run's counts on stdout, and remarks on stderr."""
    left = f"{len(report.missing):,} missing, {len(report.gone):,} gone, {len(report.left):,} left"
    tell(f"{report.tickets:,} tickets: {report.created:,} new, {report.changed:,} changed, {left}")
    listed = {
        "missing, the next run asks for them": report.missing,
        "gone, the platform does not know them any more": report.gone,
        "not in the list any more, and exist": report.left,
    }
    for what, ids in listed.items():
        if ids:
            note(f"{what}: {named(ids[:_NAMED], len(ids))}")
    if report.details:
        note(f"{report.details:,} full records, {report.attachments.fetched:,} files")
    if report.attachments.failed:
        note(f"{report.attachments.failed:,} files are missing, first {report.attachments.failures[0]}")
    if report.skipped:
        note(f"{report.skipped:,} rows or records cannot be read; their last values stay")
    if report.refused:
        refused = named(report.refused[:_NAMED], len(report.refused))
        note(f"refused when the full record was asked for: {refused}, the first with {report.refusal}")
    if report.held_back:
        note("hint: was a right lost? If the tickets are really gone, --accept-gone marks them")
    said = "exact" if report.exact else f"not exact: {report.reason}"
    oldest = f"no row is older than {moment(report.oldest_read_at)}"
    note(f"{said}; {report.requests:,} requests in {report.seconds:.1f} s; {oldest}")


def changes(
    database: _Mirror,
    /,
    *,
    since: Annotated[Time, _SINCE] = _YESTERDAY,
    until: Annotated[Time | None, Parameter(help="Seen until the end of it, written likewise.")] = None,
    json: Annotated[bool, Parameter(help="Print one JSON object per change.")] = False,
) -> None:
    """Print what the runs of a mirror saw happen: new tickets, changed fields, missing and gone ones.

    A change happened between the run that saw it and the run before.
    """
    from workorder_async.mirror.asking import changes_since

    if until is not None:
        since.check_before(until)
    found = changes_since(Path(database), since.first(), None if until is None else until.last())
    if json:
        write_json(asdict(one) for one in found)
        return
    columns = (*map(whole, ("seen", "ticket", "what", "field")), *map(texts, ("old", "new", "title")))
    cells = ((moment(it.seen_at)[:16], it.ticket, it.kind, it.field, it.old, it.new, it.title) for it in found)
    print_table(columns, (tuple(map(str, row)) for row in cells))
    tickets = len({one.ticket for one in found})
    note(f"{len(found):,} changes of {tickets:,} tickets since {moment(since.first())[:16]}")


def search(
    database: _Mirror,
    text: Annotated[str, Parameter(name="TEXT", help="Words that a ticket's title or text must have, all of them.")],
    /,
    *,
    limit: Annotated[Whole, Parameter(help=_MOST, validator=validators.Number(gte=1))] = 50,
    json: Annotated[bool, Parameter(help="Print one JSON object per ticket.")] = False,
) -> int:
    """Print the tickets of a mirror that have these words in their title or text, the newest first.

    Exit code 1 if there are none.
    """
    from workorder_async.mirror.asking import search_tickets

    found = search_tickets(Path(database), text, limit)
    if json:
        write_json(asdict(one) for one in found)
    else:
        rows = ((str(one.id), one.status, moment(one.created_time)[:10], one.title, one.text) for one in found)
        print_table((*map(whole, ("id", "status", "created")), texts("title"), texts("text", 2)), rows)
        note(f"{len(found):,} tickets{f'; --limit {2 * limit} may show more' if len(found) == limit else ''}")
    return OK if found else FAILED


def report(
    file: Annotated[ExistingFile, Parameter(name="FILE", help="A mirror, or a file that `export` wrote.")],
    /,
    *,
    html: Annotated[File | None, Parameter(help="Write a page for a browser to this file; - for stdout.")] = None,
    overwrite: Annotated[bool, Parameter(help="Replace a file that is there.")] = False,
    lang: Annotated[Literal["zh", "en"] | None, _LANG] = None,
) -> None:
    """Show how many tickets there are, by status, type, product line and week; how long they take; the oldest.

    The page of --html has all of it in one file, which opens without a network. Days and weeks are of China.
    """
    from workorder_async.mirror.figures import figures_of
    from workorder_async.mirror.page import page_of, words_of

    if not file.is_file():  # a pipe or a device: the file is read more than once
        raise ConfigError(f"{str(file)!r} is no file", mend="save its content to one first")
    language = lang or spoken()
    with nullcontext() if html is None else html.target(beside=file, overwrite=overwrite) as page:
        try:
            figures = figures_of(Path(file))
        except Exception as error:
            # Each format has errors of its own for a damaged file; those of gzip and Parquet are an OSError, too.
            if isinstance(error, WorkorderError) or getattr(error, "filename", None):
                raise
            mend = "it may be cut short or damaged: write it anew"
            raise ConfigError(f"{str(file)!r} cannot be read: {error!r}", mend=mend) from None
        if page is None:
            _print(figures, words_of(language))
            return
        page.writelines(part.encode() for part in page_of(figures, one_line(file.name), language))
    note(f"a report of {figures.tickets:,} tickets")


def _print(figures: "Figures", word: "Words") -> None:
    """Print the tables of the page: below their titles on a terminal, else as lines with tabs, with the title first."""
    from workorder_async.mirror.page import measured_of, oldest_of, totals_of

    totals = [((word(name), count), ()) for name, count in totals_of(figures)]
    tables = ((word("Tickets"), ("", ""), totals), *measured_of(figures, word), oldest_of(figures, word))
    for title, heads, rows in tables:
        if rows:
            columns = [texts(name) if name == word("title") else whole(name) for name in heads]
            print_table(columns, [tuple(map(str, cells)) for cells, _ in rows], head=any(heads), heading=title)
