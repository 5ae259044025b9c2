"""`workorder list` and `show`: tickets as a table, as lines with tabs, or as JSON; and everything about one."""

import sys
from collections.abc import Callable, Iterator, Sequence
from math import ceil, inf
from typing import Annotated, Final, TypeAlias

import attrs
from cyclopts import Parameter, validators
from rich.table import Column

from workorder_async.arguments import unknown_name
from workorder_async.cli.connection import Client, Connection
from workorder_async.cli.filters import PAGE_SIZE_HELP, TicketFilters
from workorder_async.cli.terminal import Bar, moment, note, out, print_fields, print_table, texts, whole, write_json
from workorder_async.cli.values import Whole, names
from workorder_async.document import JSON, OpenEnum, TicketDetail, TicketSummary
from workorder_async.document.codec import encode
from workorder_async.document.json_text import to_json
from workorder_async.errors import ConfigError, DecodeError
from workorder_async.exports import TICKET_COLUMNS
from workorder_async.tasks import for_each
from workorder_async.walk_report import WalkReport
from workorder_async.walks.queries import together

_Show: TypeAlias = Callable[[list[TicketSummary], bool], None]
"""Takes tickets to show, and whether they are the first: then the names of the columns are shown above them."""
_Row: TypeAlias = Callable[[TicketSummary], dict[str, JSON]]
"""Returns the values of a ticket by the names of their columns."""

# By how many blanks the fields of a ticket's parts are indented.
_DEEPER: Final = 2
_FIELDS: Final = Parameter(help="The fields, such as id,title,created_at; `workorder columns` prints them.")


def list_tickets(
    *,
    limit: Annotated[Whole, Parameter(help="Tickets to show; 0 for all.", validator=validators.Number(gte=0))] = 20,
    json: Annotated[bool, Parameter(help="Print one JSON object per line.")] = False,
    fields: Annotated[str | None, _FIELDS] = None,
    count: Annotated[bool, Parameter(help="Print only how many match, as the platform counts them.")] = False,
    page_size: Annotated[Whole, Parameter(help=PAGE_SIZE_HELP, validator=validators.Number(gte=1))] = 100,
    filters: TicketFilters = TicketFilters(),
    connection: Connection = Connection(),
) -> None:
    """List tickets: a table on a terminal, tab-separated lines elsewhere, or JSON.

    A narrow terminal shows fewer fields. Elsewhere all of them are there, nothing is cut, a text that begins with a
    quote is in quotes, and the first line names them: `close --from -` reads it.
    """
    filters.queries()  # a mistake in a filter is found before anything is sent
    if count:
        if fields is not None:
            raise ConfigError("prints a number alone", argument="--count", mend="leave out --fields")
        write_json([connection.run(lambda client: _count(client, filters))])
        return
    columns, row = _usual() if fields is None else _chosen(fields)

    def show(tickets: list[TicketSummary], first: bool) -> None:
        if json:
            write_json(map(encode if fields is None else row, tickets))
        else:
            cells = ([_text(values[str(column.header)]) for column in columns] for values in map(row, tickets))
            print_table(columns, cells, head=first)

    total, shown = connection.run(lambda client: _list(client, filters, limit, page_size, show))
    if not json:
        more = "; --limit 0 shows all" if shown < total else ""
        note(f"{shown:,} of {total:,} tickets{more}" if total else "no ticket matches")


async def _count(client: Client, filters: TicketFilters) -> int:
    return sum(await for_each(await filters.by_the_server(client), client.count_tickets, at_once=1))


async def _list(client: Client, filters: TicketFilters, limit: int, page_size: int, show: _Show) -> tuple[int, int]:
    """Show the tickets page by page, each once; return how many match, and how many are shown."""
    queries, seen, reports = await filters.by_the_server(client), set[int](), list[WalkReport]()
    total, first = 0, True
    # Two answers that follow each other in a walk share some tickets: with ten rows more a short list is one request.
    size = min(limit + 10, page_size) if limit else page_size
    at_once = min(8, ceil(limit / size)) if limit else 8
    with Bar("listing", shown=not sys.stdout.isatty()) as bar:
        for query in queries:
            async with client.walk(query, page_size=size, concurrency=at_once) as walk:
                async for tickets in walk:
                    new = [ticket for ticket in tickets if ticket.id not in seen]
                    new = new[: limit - len(seen)] if limit else new
                    show(new, first)
                    first = False
                    seen.update(ticket.id for ticket in new)
                    total = together(queries, [*reports, walk.report]).first_total
                    bar(len(seen), min(total, limit or total))
                    if limit and len(seen) >= limit:
                        break
            reports.append(walk.report)
    if not limit and not (report := together(queries, reports)).exact:
        note(f"it may not be complete: {report.reason}")
    if first:
        show([], True)
    return total, len(seen)


def _text(value: JSON) -> str:
    """Return a cell's text, as in a CSV export: lists and maps are JSON."""
    return "" if value is None else value if isinstance(value, str) else to_json(value).decode()


# Each column, how wide a terminal has to be to show it, and its value.
_USUAL: Final[Sequence[tuple[Column, int, Callable[[TicketSummary], JSON]]]] = (
    (whole("id", 7), 0, lambda ticket: ticket.id),
    (whole("status", 6), 0, lambda ticket: ticket.status.label),
    (whole("prio", 4), 76, lambda ticket: ticket.priority.label),
    (whole("type", 8), 120, lambda ticket: ticket.type.label),
    (texts("title", 3), 0, lambda ticket: ticket.title),
    (texts("customer", 2), 90, lambda ticket: ticket.customer_organization_name),
    (whole("handler", 8), 120, lambda ticket: ticket.handler or None),
    # Ten cells show only the day of the time.
    (Column("created", width=10, min_width=10, no_wrap=True, overflow="crop"), 0, lambda it: moment(it.created_at)),
)


def _usual() -> tuple[Sequence[Column], _Row]:
    """Return the columns of a list without --fields, as many as the terminal has room for, and their values."""
    room = out().width if out().is_terminal else inf
    shown = [(column, read) for column, width, read in _USUAL if width <= room]
    return [column for column, _ in shown], lambda ticket: {str(column.header): read(ticket) for column, read in shown}


def _chosen(fields: str) -> tuple[Sequence[Column], _Row]:
    """Return the columns of --fields, and their values. Raises `ConfigError` that names an unknown field."""
    known = {column.name: column for column in TICKET_COLUMNS.columns}
    chosen = names(fields)
    if wrong := unknown_name("the list has no field", chosen, known):
        raise ConfigError(wrong, argument="--fields:")

    def column(name: str) -> Column:
        if known[name].arrow == "string" and not name.endswith("_at") and not known[name].convert:
            return texts(name)
        return whole(name, 25 if name.endswith("_at") else 8)

    table = attrs.evolve(TICKET_COLUMNS, columns=tuple(known[name] for name in chosen))
    return [column(name) for name in chosen], lambda ticket: {**table.read_object(ticket)}


def show(
    id: Annotated[Whole, Parameter(help="The ticket's number.")],
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
    connection: Connection = Connection(),
) -> None:
    """Show everything about a ticket: fields, product lines, history and files."""
    ticket = connection.run(lambda client: client.get_ticket_detail(id))
    if json:
        write_json([encode(ticket)])
    else:
        print_detail(ticket)


def print_detail(ticket: TicketDetail) -> None:
    """Print a ticket; fields that are empty or 0 are left out."""
    fields = [*scalars(ticket, "id", "title"), ("tags", ", ".join(f"{tag.name} ({tag.id})" for tag in ticket.tags))]
    fields += [(f"form: {name}", _text(value)) for name, value in ticket.form_values.items()]
    print_fields(fields, f"#{ticket.id} {ticket.title}")
    for account in ticket.customer_info:
        print_fields(scalars(account, "user_id"), f"customer account {account.user_id}", _DEEPER)
    for assign in ticket.assigns:
        fields = [*scalars(assign, "product_group_name", "product_group_id")]
        for step in assign.history:
            who = f"{step.creator_name} ({step.creator_id})" if step.creator_id else step.creator_name
            said = f"action {step.action} by {who}"
            fields.append((_time(step, "created_at"), f"{said}: {step.detail}" if step.detail else said))
        print_fields(fields, f"product line {assign.product_group_name} ({assign.product_group_id})", _DEEPER)
    for title, files in (("attachment", ticket.attachment), ("handle_attachment", ticket.handle_attachment)):
        for file in files:
            print_fields(scalars(file), f"{title} {file.file_name}", _DEEPER)


def scalars(model: object, *without: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of a model that are no lists or maps, with their values as text.

    The text is "" for an empty value and for 0, except for a file size of 0: `print_fields` leaves empty texts out.
    """
    for field in attrs.fields(type(model)):  # type: ignore[arg-type]  # every model is an attrs class
        value: object = getattr(model, field.name)
        if field.name in without or isinstance(value, list | dict):
            continue
        if field.name.endswith("_time"):
            yield field.name, _time(model, field.name.removesuffix("_time") + "_at")
        elif isinstance(value, OpenEnum):
            # A code with its name in the API document; 0 is a missing one.
            text = f"{value.label} ({value.value})" if value.is_known else value.label
            yield field.name, text if value.value else ""
        elif isinstance(value, bool):
            yield field.name, "yes" if value else "no"
        elif isinstance(value, int) and field.name.endswith("_duration"):
            yield field.name, f"{value:,} s" if value else ""
        elif field.name == "file_size":
            yield field.name, f"{value:,} bytes"
        else:
            yield field.name, str(value or "")


def _time(model: object, name: str) -> str:
    """Return a time as text, or the reason if the platform's value is no time."""
    try:
        return moment(getattr(model, name))
    except DecodeError as error:
        return error.message
