"""The tickets that a batch changes: how they are chosen, what is read of them, and the table of them before it."""

from collections.abc import Callable, Sequence
from time import time
from typing import Final, TypeAlias

from attrs import evolve, frozen
from rich.cells import cell_len
from rich.console import Console
from rich.table import Column

from workorder_async.batches.outcomes import SETTLED, State
from workorder_async.cli.connection import Client
from workorder_async.cli.failures import sentence
from workorder_async.cli.filters import TicketFilters
from workorder_async.cli.number_file import numbers_from
from workorder_async.cli.terminal import Bar, moment, note, print_table, whole
from workorder_async.document import CloseTicket, CommentTicket, RejectTicket, Ticket, TicketQuery, TicketSummary
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    DecodeError,
    RateLimitedError,
    WorkorderError,
)
from workorder_async.mutations.kinds import words_of
from workorder_async.tasks import for_each
from workorder_async.walk_report import WalkReport
from workorder_async.walks.pages import folded
from workorder_async.walks.queries import together

Change: TypeAlias = CloseTicket | CommentTicket | RejectTicket
"""The mutations of `close`, `comment` and `reject`."""

_ROWS_SHOWN: Final = 20
#: After so many reads in a row without an answer no further ticket is read: each may take a minute and a half.
SILENT: Final = 16


@frozen
class Chosen:
    """A ticket to be changed, with the fields that the table shows; a field that was not read is empty."""

    id: int
    title: str = ""
    creator: str = ""
    status: str = ""
    created: int = 0
    error: WorkorderError | None = None
    """Why the ticket is left unchanged, such as a failure to read it; None for a ticket that can be changed."""
    journal_state: State | None = None
    """The outcome of its change in the journal; None where the journal has none, or there is no journal."""

    @property
    def is_done(self) -> bool:
        """Whether the journal says that nothing is left to be done."""
        return self.journal_state in SETTLED


def chosen_by(
    ids: Sequence[int], source: str | None, filters: TicketFilters
) -> tuple[Sequence[int], Sequence[TicketQuery]]:
    """Return the tickets' numbers, or the queries for them. Raises `ConfigError` unless chosen in exactly one way."""
    filtered = filters != TicketFilters()
    if bool(ids) + (source is not None) + filtered != 1:
        mend = "name them by IDS, by --from FILE, or by filters such as --status pending"
        raise ConfigError("the tickets must be chosen in one way", mend=mend)
    if filtered:
        return (), filters.queries()
    return list(dict.fromkeys(ids)) if source is None else numbers_from(source), ()


async def read_matching(
    client: Client, filters: TicketFilters, page_size: int
) -> tuple[Sequence[TicketQuery], list[Chosen]]:
    """List the tickets that match, each once; return the queries, too. Says on stderr if a ticket may be missing."""
    chosen: dict[int, Chosen] = {}
    reports: list[WalkReport] = []
    queries = await filters.by_the_server(client)
    with Bar("listing") as bar:
        for query in queries:
            async with client.walk(query, page_size=page_size) as walk:
                async for tickets in walk:
                    chosen |= {one.id: _chosen_from_row(query, one) for one in tickets}
                    total = together(queries, [*reports, walk.report]).last_total
                    bar(len(chosen), max(len(chosen), total))
            reports.append(walk.report)
    report = together(queries, reports)
    if not report.exact:
        note(f"a ticket may be missing here: {report.reason}; run it again to find what is left")
    return queries, list(chosen.values())


def _chosen_from_row(query: TicketQuery, row: TicketSummary) -> Chosen:
    """Return the ticket of a row of the list, with an error where the row does not match the query.

    A platform that ignores a filter returns other tickets, too, and these must not be changed.
    """
    exact = ("status", "type", "sub_type", "second_subtype")
    shown = [(name, getattr(query, name), getattr(row, name)) for name in exact]
    others = [(name, found) for name, wanted, found in shown if wanted is not None and found != wanted]
    odd = [f"{name} {getattr(found, 'label', found)}" for name, found in others]
    if folded(query.customer_organization_name or "") not in folded(row.customer_organization_name):
        odd.append(f"customer {row.customer_organization_name!r}")
    start, end = query.created_start or 0, query.created_end
    if row.created_time < start or (end is not None and not 0 < row.created_time <= end):
        odd.append(f"created {moment(row.created_at) or 'at no time'}")
    problem, mend = f"its row in the list does not match: {', '.join(odd)}", "if it is meant, name it by its number"
    return evolve(_chosen_from(row), error=ConfigError(problem, mend=mend) if odd else None)


async def read_each(client: Client, ids: Sequence[int], concurrency: int) -> list[Chosen]:
    """Read each ticket; a ticket that cannot be read gets the error of its read.

    If the platform answers none of `SILENT` reads in a row, the tickets that are left are not read, and get its error.
    Raises for a refused signature: a gateway's page, or refusals of the first `SILENT` tickets, or of all.
    """
    silent, refused, is_accepted, done = list[WorkorderError](), list[AuthenticationError](), False, 0

    async def ask(id: int) -> Ticket | WorkorderError:
        nonlocal is_accepted
        try:
            one = (await client.get_tickets([id]))[id]
        except AuthenticationError as error:
            refused.append(error)
            if not error.errno or (len(refused) >= SILENT and not is_accepted):
                raise
            return error
        is_accepted = is_accepted or isinstance(one, Ticket) or is_answer(one)
        return one

    async def read(id: int) -> Chosen:
        nonlocal done
        one = silent[-1] if len(silent) >= SILENT else await ask(id)
        if isinstance(one, Ticket) or is_answer(one):
            silent.clear()
        else:
            silent.append(one)
        done += 1
        bar(done, len(ids))
        return _chosen_from(one) if isinstance(one, Ticket) else Chosen(id, error=one)

    with Bar("reading") as bar:
        chosen = await for_each(ids, read, at_once=concurrency)
    if refused and not is_accepted:
        raise refused[0]
    return chosen


def is_answer(error: WorkorderError) -> bool:
    """Tell whether the platform said something about the ticket; else the next one may wait as long in vain."""
    return isinstance(error, ApiError | DecodeError) and not isinstance(error, RateLimitedError)


def _chosen_from(ticket: Ticket | TicketSummary) -> Chosen:
    return Chosen(ticket.id, ticket.title, ticket.creator_name, ticket.status.label, ticket.created_time)


async def read_first(client: Client, chosen: list[Chosen]) -> list[Chosen]:
    """Read the tickets that the table shows. A ticket that cannot be read stays without fields, and is changed too."""
    read = await read_each(client, [one.id for one in chosen[:_ROWS_SHOWN]], _ROWS_SHOWN)
    known = {one.id: one for one in read if one.error is None}
    return [evolve(known.get(one.id, one), journal_state=one.journal_state) for one in chosen]


def print_chosen(console: Console, chosen: Sequence[Chosen], change: Callable[[Chosen], Change]) -> None:
    """Print the first tickets and the change of each."""
    rows = [row_of(one, change) for one in chosen[:_ROWS_SHOWN]]
    # People confirm the change that they see: where the terminal is narrow, the title is cut before the change.
    head = "what would be done"
    longest = max(len(head), *(cell_len(row[3]) for row in rows))
    what = Column(head, width=min(longest, console.width * 2 // 5), no_wrap=True)
    title = Column("title", min_width=8, ratio=1, no_wrap=True)
    columns = (*map(whole, ("id", "status", "age")), what, title)
    print_table(columns, rows, head=console.is_terminal, console=console)
    total, done = len(chosen), sum(one.is_done for one in chosen)
    unknown = sum(one.journal_state is State.UNKNOWN for one in chosen)
    counts = [f"{done:,} done"] * bool(done) + [f"{unknown:,} that may have happened"] * bool(unknown)
    by_journal = f"; by the journal {', '.join(counts)}" if counts else ""
    more = f"... and {total - len(rows):,} more, " if total > len(rows) else ""
    note(f"{more}{total:,} ticket{'' if total == 1 else 's'} in all{by_journal}")


def row_of(one: Chosen, change: Callable[[Chosen], Change]) -> tuple[str, ...]:
    """Return the cells of a ticket: its number, status, age, change and title."""
    what = words_of(change(one)) if one.error is None else f"nothing: {sentence(one.error)}"
    what = f"may have happened: {what}" if one.journal_state is State.UNKNOWN else what
    what = "nothing: it is done, says the journal" if one.is_done else what
    seconds = max(0, int(time()) - one.created)
    size, unit = (86400, "d") if seconds >= 86400 else (3600, "h") if seconds >= 3600 else (60, "min")
    age = f"{seconds // size}{unit}" if one.created else ""
    return str(one.id), one.status, age, what, one.title
