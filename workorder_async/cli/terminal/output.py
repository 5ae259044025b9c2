"""What is printed, and how: results on stdout, remarks on stderr; neither holds what a terminal would obey."""

import re
import sys
from collections.abc import Iterable
from datetime import datetime
from textwrap import indent
from typing import Final

from rich.cells import set_cell_size
from rich.console import Console
from rich.text import Text

from workorder_async.document import JSON, OpenEnum
from workorder_async.document.json_text import to_json

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
    """Return a console on stdout that takes text as it is: no markup, no emoji names, nothing highlighted.

    Only what is a terminal is taken for one, whatever FORCE_COLOR says: elsewhere a table would be cut to its width.
    """
    return _Console(markup=False, emoji=False, highlight=False, force_terminal=sys.stdout.isatty())


def err(*, soft_wrap: bool = False) -> Console:
    """Return the same on stderr; with `soft_wrap` the terminal breaks long lines."""
    return _Console(
        stderr=True,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=soft_wrap,
        force_terminal=sys.stderr.isatty(),
    )


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
