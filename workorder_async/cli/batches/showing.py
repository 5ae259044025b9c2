"""What `close`, `comment` and `reject` show before they change anything: each ticket, and what would be done to it."""

from collections.abc import Callable, Sequence
from itertools import islice
from time import time
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workorder_async.cli.batches.choosing import Change, Chosen
from workorder_async.cli.failures import sentence
from workorder_async.cli.terminal.output import note, one_line
from workorder_async.mutations.kinds import words_of

ROWS_SHOWN: Final = 20
_HEADER: Final = ("id", "status", "age", "what would be done", "title")


def print_table(console: Console, chosen: Sequence[Chosen], change: Callable[[Chosen], Change]) -> None:
    """Print the first tickets and what would be done to each; without a terminal, separated by tabs."""
    rows = [row_of(one, change) for one in islice(chosen, ROWS_SHOWN)]
    if console.is_terminal:
        console.print(_table(rows, console.width))
    else:
        console.file.writelines("\t".join(row) + "\n" for row in rows)
        console.file.flush()
    more = len(chosen) - len(rows)
    note(f"{'... and ' + format(more, ',') + ' more, ' if more else ''}{tickets(len(chosen))} in all")


def _table(rows: Sequence[tuple[str, ...]], width: int) -> Table:
    """Lay rows out: what is confirmed must be seen, so that of long texts the title is cut first."""
    widths = [max(cell_len(cell) for cell in column) for column in zip(_HEADER, *rows, strict=True)]
    room = width - sum(widths[:3]) - len(_HEADER)
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0))
    for name, fixed in zip(_HEADER[:3], widths, strict=False):
        table.add_column(name, width=fixed, no_wrap=True)
    table.add_column(_HEADER[3], width=max(1, min(widths[3], room - min(widths[4], room // 3))), no_wrap=True)
    table.add_column(_HEADER[4], ratio=1, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell, overflow="ellipsis") for cell in row))
    return table


def row_of(one: Chosen, change: Callable[[Chosen], Change]) -> tuple[str, ...]:
    """Return the cells of a ticket: its number, status and age, what would be done to it, its title."""
    what = words_of(change(one)) if one.error is None else f"nothing, for it cannot be read: {sentence(one.error)}"
    return str(one.id), one_line(one.status), _age(one.created), one_line(what), one_line(one.title)


def _age(created: int) -> str:
    """Say how long ago a ticket was created, in its largest unit; nothing where that is not known."""
    seconds = max(0, int(time()) - created)
    if not created:
        return ""
    size, unit = (86400, "d") if seconds >= 86400 else (3600, "h") if seconds >= 3600 else (60, "min")
    return f"{seconds // size}{unit}"


def tickets(number: int) -> str:
    """Say how many tickets."""
    return f"{number:,} ticket" if number == 1 else f"{number:,} tickets"
