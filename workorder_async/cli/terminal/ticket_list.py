"""How `workorder list` lays tickets out: a table on a terminal, lines with tabs elsewhere, or JSON."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from attrs import frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workorder_async.cli.terminal.output import moment, one_line, out, print_fields, write_json
from workorder_async.cli.values import names, near
from workorder_async.document import JSON, TicketSummary
from workorder_async.document.codec import encode
from workorder_async.errors import ConfigError

if TYPE_CHECKING:
    from workorder_async.exports.columns import Column as Exported

# A text that has fewer cells than these is no longer read with ease.
_TEXT_WIDTH: Final = 12


@frozen
class Column:
    """A column of the list, and how a terminal shows it."""

    name: str
    width: int = 0
    """Cells that it has at least, and none of it is broken; 0: a text, which is given what is left."""
    share: int = 1
    """How much of what is left, beside other texts."""
    room: int = 0
    """How wide the terminal has to be for it."""
    shown: int | None = None
    """How many characters a terminal shows of it."""


@frozen
class Layout:
    """Which columns there are, in their order, and what makes a ticket's cells."""

    columns: tuple[Column, ...]
    cells: Callable[[TicketSummary], Sequence[JSON]]
    row: Callable[[TicketSummary], JSON]
    """What makes a ticket's JSON."""
    is_chosen: bool = False
    """Whether the columns were asked for, so that none may be left out."""

    def print_json(self, tickets: Sequence[TicketSummary]) -> None:
        """Print each ticket as one JSON object."""
        write_json(map(self.row, tickets))

    def print(self, tickets: Sequence[TicketSummary], *, first: bool, header: bool) -> None:
        """Print tickets as rows, the `first` ones below the names of the columns.

        Without a terminal nothing is cut, and the names come only where `header` asks for them.
        """
        rows = [[_text(cell) for cell in self.cells(ticket)] for ticket in tickets]
        console = out()
        if not console.is_terminal:
            head = [[column.name for column in self.columns]] if first and header else []
            sys.stdout.writelines("\t".join(map(one_line, row)) + "\n" for row in (*head, *rows))
            sys.stdout.flush()
        elif rows and self.is_chosen and self._needed > console.width:
            for number, row in enumerate(rows):
                if number or not first:
                    console.print()
                print_fields(zip((column.name for column in self.columns), row, strict=True))
        elif rows:
            self._print_table(console, rows, first=first)

    @property
    def _needed(self) -> int:
        """How many cells all columns need; texts share alike."""
        text = max([_TEXT_WIDTH, *(len(column.name) for column in self.columns if not column.width)])
        return sum(max(column.width, len(column.name)) + 1 if column.width else text + 1 for column in self.columns)

    def _print_table(self, console: Console, rows: Sequence[Sequence[str]], *, first: bool) -> None:
        table = Table(box=None, expand=True, show_header=first, padding=(0, 1, 0, 0))
        places = [place for place, column in enumerate(self.columns) if column.room <= console.width]
        for column in (self.columns[place] for place in places):
            if column.width:
                table.add_column(column.name, min_width=max(column.width, len(column.name)), no_wrap=True)
            else:
                table.add_column(column.name, ratio=column.share, overflow="fold")
        if all(column.width for column in self.columns):
            table.add_column("", ratio=1)
        for row in rows:
            table.add_row(*(Text(one_line(row[place][: self.columns[place].shown])) for place in places))
        console.print(table)


def _text(value: JSON) -> str:
    """Write a cell as CSV has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _usual_cells(ticket: TicketSummary) -> tuple[str, ...]:
    return (
        str(ticket.id),
        ticket.status.label,
        ticket.priority.label,
        ticket.type.label,
        ticket.title,
        ticket.customer_organization_name,
        str(ticket.handler or ""),
        moment(ticket.created_at),
    )


USUAL: Final = Layout(
    (
        Column("id", 7),
        Column("status", 6),
        Column("prio", 4, room=76),
        Column("type", 8, room=120),
        Column("title", share=3),
        Column("customer", share=2, room=90),
        Column("handler", 8, room=120),
        Column("created", 10, shown=10),
    ),
    _usual_cells,
    encode,
)
"""What is shown where nothing was chosen; a narrow terminal shows less of it."""


def layout_of(fields: str) -> Layout:
    """Return the layout of the fields of --fields. Raises `ConfigError` that names what is no field."""
    from workorder_async.exports.columns import TICKET_COLUMNS

    known = {column.name: column for column in TICKET_COLUMNS.columns}
    chosen = names(fields)
    for name in chosen:
        if name not in known:
            raise ConfigError(
                f"--fields: {name!r} is no field of the list{near(name, known)}; `workorder columns` prints all of them"
            )

    def row(ticket: TicketSummary) -> dict[str, JSON]:
        values = TICKET_COLUMNS.read_object(ticket)
        return {name: values[name] for name in chosen}

    columns = tuple(_column(known[name]) for name in chosen)
    return Layout(columns, lambda ticket: list(row(ticket).values()), row, is_chosen=True)


def _column(column: "Exported") -> Column:
    """Return how a terminal shows a column of exports: times, numbers and names of codes whole."""
    if column.name.endswith("_at"):
        return Column(column.name, 25)
    if column.name.endswith("_name") and column.convert:
        return Column(column.name, 8)
    return Column(column.name, 0 if column.arrow == "string" else 7)
