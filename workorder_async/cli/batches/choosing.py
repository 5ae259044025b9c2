"""Which tickets `close`, `comment` and `reject` are about: numbers, a file of them, or the filters of `list`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from attrs import evolve, frozen
from cyclopts import Group, Parameter, validators

from workorder_async.arguments import whole_within
from workorder_async.cli.batches.sources import ID_MAX, numbers_from
from workorder_async.cli.connection import Flag
from workorder_async.cli.filters import TicketFilters
from workorder_async.cli.terminal.output import note
from workorder_async.cli.terminal.progress import Bar
from workorder_async.cli.terminal.running import each
from workorder_async.cli.values import Whole, text_or_stdin
from workorder_async.document import CloseTicket, CommentTicket, RejectTicket, Ticket, TicketQuery, TicketSummary
from workorder_async.errors import AuthenticationError, ConfigError, WorkorderError
from workorder_async.walk_report import WalkReport, together

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

Change: TypeAlias = CloseTicket | CommentTicket | RejectTicket
"""What these commands do to a ticket."""

TicketNumbers: TypeAlias = Annotated[
    tuple[Whole, ...],
    Parameter(name="IDS", help="The tickets' numbers; or use --from, or filters.", show_default=False),
]


@Parameter(name="*", group=Group("Batch", sort_key=4))
@frozen(kw_only=True)
class BatchOptions:
    """How many tickets are changed by one command."""

    source: Annotated[
        str | None,
        Parameter(
            name="--from",
            help="A file of tickets, - for stdin: a number on each line, # begins a remark; TSV or CSV, its column id "
            "or its first one; the JSON of `list --json` and `export`.",
        ),
    ] = None
    dry_run: Annotated[Flag, Parameter(help="Show what would be done, and change nothing.")] = False
    yes: Annotated[Flag, Parameter(help="Do not ask before tickets of --from or of filters are changed.")] = False
    journal: Annotated[
        Path | None, Parameter(help="A file that remembers what was done: run again with it, and it goes on.")
    ] = None
    limit: Annotated[
        Whole | None,
        Parameter(
            help="Change so many tickets at most. With --journal over all runs together: what it says was done, or may "
            "have been, counts.",
            validator=validators.Number(gte=1),
        ),
    ] = None
    stop_after: Annotated[
        Whole,
        Parameter(help="Stop after so many failures in a row; 0 for never.", validator=validators.Number(gte=0)),
    ] = 20
    concurrency: Annotated[
        Whole, Parameter(help="Requests in flight at once, at most.", validator=validators.Number(gte=1))
    ] = 16
    json: Annotated[Flag, Parameter(help="Print one JSON object per ticket.")] = False

    def text(self, detail: str) -> str:
        """Return the text of --detail, or of stdin for `-`. Raises `ConfigError` where --from takes that."""
        if detail == self.source == "-":
            raise ConfigError("--detail - and --from - cannot go together, for there is one stdin; put one into a file")
        return text_or_stdin(detail, "--detail")


BY_HAND = BatchOptions()
"""No option given."""


@frozen
class Chosen:
    """A ticket to be changed, and what is known of it; with an `error` it cannot be."""

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
    ways = [bool(ids), options.source is not None, filtered]
    if sum(ways) > 1:
        raise ConfigError("choose the tickets in one way: by IDS, by --from, or by filters such as --status")
    if ids:
        return Choice(_checked(ids), named=True)
    if options.source is not None:
        return Choice(numbers_from(options.source))
    if not filtered:
        raise ConfigError("no ticket is named: give IDS, --from FILE, or a filter such as --status pending")
    return Choice((), filters.queries())


def _checked(ids: Iterable[int]) -> list[int]:
    """Return each once. Raises `ConfigError` for what is no ticket's number."""
    once = list(dict.fromkeys(ids))
    return [whole_within("ID", id, 1, ID_MAX) for id in once]


async def read_choice(client: "WorkorderClient", made: Choice, *, creators: bool, concurrency: int) -> list[Chosen]:
    """List the tickets of queries, or read each one's creator where that is wanted; closes the client."""
    async with client:
        if made.queries:
            chosen = await _matching(client, made.queries)
        elif creators:
            chosen = await _read(client, made.ids, concurrency)
        else:
            return unread(made)
    return [_with_creator(one) for one in chosen] if creators else chosen


def unread(made: Choice) -> list[Chosen]:
    """Return the tickets of which nothing needs to be known but the number."""
    return [Chosen(id) for id in made.ids]


async def read_first(client: "WorkorderClient", chosen: list[Chosen], number: int) -> list[Chosen]:
    """Read the first of the tickets, to show them; one that cannot be read stays as it is. Closes the client."""
    async with client:
        read = await _read(client, [one.id for one in chosen[:number]], number)
    shown = zip(chosen[:number], read, strict=True)
    return [after if after.error is None else before for before, after in shown] + chosen[number:]


async def _matching(client: "WorkorderClient", queries: Sequence[TicketQuery]) -> list[Chosen]:
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


async def _read(client: "WorkorderClient", ids: Sequence[int], concurrency: int) -> list[Chosen]:
    """Read each ticket; one that cannot be read gets its error. A refused signature ends it all."""
    found: dict[int, Chosen] = {}

    async def read(id: int) -> None:
        try:
            ticket = await client.get_ticket(id)
        except (AuthenticationError, ConfigError):
            raise
        except WorkorderError as error:
            found[id] = Chosen(id, error=error)
        else:
            found[id] = _of(ticket)
        bar(len(found), len(ids))

    with Bar("reading") as bar:
        await each(ids, read, at_once=concurrency)
    return [found[id] for id in ids]


def _of(ticket: Ticket | TicketSummary) -> Chosen:
    return Chosen(ticket.id, ticket.title, ticket.creator_name, ticket.status.label, ticket.created_time)


def _with_creator(one: Chosen) -> Chosen:
    """Give a ticket without a creator the error that says so."""
    if one.error is not None or one.creator.strip():
        return one
    return evolve(one, error=ConfigError("the platform does not say who created it; use --closer-name"))
