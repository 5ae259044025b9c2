"""What is printed, and how: results on stdout, remarks on stderr; neither holds what a terminal would obey."""

import re
import sys
from collections.abc import Iterable
from datetime import datetime
from textwrap import indent
from typing import Final

from rich.cells import set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workorder_async.models import JSON, OpenEnum, TicketSummary
from workorder_async.protocol.codec import to_json

# Controls (ESC among them), the characters that turn the direction of writing, and lone surrogates.
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LABEL_WIDTH: Final = 28


def safe(text: str) -> str:
    """Escape what a terminal would obey or cannot show; line feeds and tabs stay."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """Do the same, with every run of white space as one blank."""
    return safe(" ".join(text.split()))


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the caller know; rich would end the program."""
        raise BrokenPipeError


def out() -> Console:
    """Return a console on stdout that takes text as it is: no markup, no emoji names, nothing highlighted."""
    return _Console(markup=False, emoji=False, highlight=False)


def err(*, soft_wrap: bool = False) -> Console:
    """Return the same on stderr; with `soft_wrap` the terminal breaks long lines."""
    return _Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=soft_wrap)


def tell(text: str) -> None:
    """Print one result line on stdout, at once."""
    sys.stdout.write(f"{one_line(text)}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print one remark on stderr."""
    sys.stderr.write(f"{one_line(text)}\n")


def write_json(values: Iterable[JSON]) -> None:
    """Print each value as one line of JSON in UTF-8 on stdout; JSON's own escapes stand for what `safe` escapes."""
    lines = b"".join(to_json(value) + b"\n" for value in values).decode()
    escaped = _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", lines)
    sys.stdout.flush()
    sys.stdout.buffer.write(escaped.encode())
    sys.stdout.buffer.flush()


def moment(at: datetime | None) -> str:
    """Write a time to the second, with its zone; or nothing."""
    return "" if at is None else at.isoformat(" ", "seconds")


def code(member: OpenEnum) -> str:
    """Write a code with its name in the API document, `处理中 (2)`; nothing for the 0 of a missing one."""
    if not member.value:
        return ""
    return f"{member.label} ({member.value})" if member.is_known else member.label


def print_fields(fields: Iterable[tuple[str, str]], depth: int = 0) -> None:
    """Print a name and a value on each line. An empty value is left out; one of several lines starts below its name."""
    console = out()
    for name, value in fields:
        if not value:
            continue
        line = Text(" " * depth)
        line.append(set_cell_size(one_line(name), _LABEL_WIDTH - depth), style="bold")
        text = safe(value)
        # Set off, a text of several lines cannot pass for further fields.
        line.append("\n" + indent(text, " " * (depth + 4)) if "\n" in text else " " + text)
        console.print(line, soft_wrap=True)


def print_heading(text: str) -> None:
    """Print a heading, after an empty line."""
    out().print(Text(f"\n{one_line(text)}", style="bold underline"), soft_wrap=True)


def print_tickets(tickets: list[TicketSummary], *, first: bool) -> None:
    """Print tickets as rows of a table, below a header where they are the `first`.

    Without a terminal they are tab-separated lines that cut nothing and have no header.
    """
    console = out()
    if not console.is_terminal:
        for ticket in tickets:
            sys.stdout.write("\t".join(one_line(cell) for cell in _cells(ticket)) + "\n")
        sys.stdout.flush()
        return
    table = Table(box=None, expand=True, show_header=first, padding=(0, 1, 0, 0))
    table.add_column("id", width=10, overflow="fold")
    for name, width in (("status", 6), ("prio", 4), ("type", 8)):
        table.add_column(name, width=width, no_wrap=True)
    table.add_column("title", ratio=2, no_wrap=True)
    table.add_column("customer", ratio=1, no_wrap=True)
    table.add_column("handler", width=8, overflow="fold")
    table.add_column("created", width=10, no_wrap=True)
    for ticket in tickets:
        *cells, created = _cells(ticket)
        table.add_row(*(Text(one_line(cell)) for cell in cells), created[:10])
    console.print(table)


def _cells(ticket: TicketSummary) -> tuple[str, ...]:
    """Return a ticket as the cells of its row."""
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
