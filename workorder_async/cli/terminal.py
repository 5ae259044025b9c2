"""Output for people and input from them: lines, tables, bars, questions.

Results go to stdout, remarks and questions to stderr. Control characters are escaped in both: the platform's texts
could else move the cursor, change colours or fake further lines.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from getpass import getpass
from textwrap import indent
from time import monotonic
from typing import Final, Self

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from workorder_async.document import CHINA_STANDARD_TIME, JSON
from workorder_async.document.json_text import to_json
from workorder_async.errors import ConfigError
from workorder_async.plain_text import UNSAFE, one_line, safe
from workorder_async.secret import Secret

_LABEL_WIDTH: Final = 28
# Seconds between the lines that stand for a bar where stderr is no terminal.
_LINE_EVERY: Final = 10.0


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise, so that the command can report first: rich would end the program."""
        raise BrokenPipeError


def out(*, stderr: bool = False) -> Console:
    """Return a console on stdout, or stderr, that takes text as it is: no markup, no emoji names, nothing highlighted.

    rich takes any stream for a terminal if FORCE_COLOR is set, and would cut tables in a file to a terminal's width. So
    only `isatty` counts here.
    """
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    console = _Console(stderr=stderr, force_terminal=is_terminal, markup=False, emoji=False, highlight=False)
    # In a terminal of two columns rich lays out a page of help for ever.
    console.width = max(console.width, 20)
    return console


def tell(text: str) -> None:
    """Print one result line on stdout, and flush it: a reader of a pipe sees it at once."""
    sys.stdout.write(f"{one_line(text)}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print one remark on stderr."""
    write_remark(one_line(text))


def write_remark(line: str) -> None:
    """Write a line to stderr. A line that a full disk does not take is lost: a remark must not stop the work.

    Raises `BrokenPipeError` if the reader of stderr went away.
    """
    try:
        sys.stderr.write(f"{line}\n")
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise


def _cell(text: str) -> str:
    """Return a cell for a line with tabs; a cell that begins with a quote is put in quotes.

    Else a program that reads quotes in such lines (csv, pandas) would take the rows after it as a part of the cell.
    """
    line = one_line(text)
    return '"' + line.replace('"', '""') + '"' if line.startswith('"') else line


def whole(name: str, width: int = 0) -> Column:
    """Return a column that is as wide as its widest cell, and at least as `width`: no cell of it is cut."""
    return Column(name, min_width=max(width, len(name)), no_wrap=True)


def texts(name: str, share: int = 1) -> Column:
    """Return a column of texts: they share the rest of the line, fold long texts, and have at least 12 cells."""
    return Column(name, min_width=max(12, len(name)), ratio=share, overflow="fold")


def print_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    head: bool = True,
    heading: str = "",
    console: Console | None = None,
) -> None:
    """Print rows as a table on a terminal, else as lines with tabs. With `head` the names of the columns come first.

    A `heading` stands above the table; in lines with tabs it takes the place of the first column's name. On a terminal
    that is too narrow for the table the cells of each row are printed below each other, each after its column's name.
    """
    console, names = console or out(), [str(column.header) for column in columns]
    if not console.is_terminal:
        heads = [[heading or names[0], *names[1:]]] if head or heading else []
        console.file.writelines("\t".join(map(_cell, row)) + "\n" for row in (*heads, *rows))
        console.file.flush()
        return
    if heading:
        print_heading(heading)
    expand, own = any(column.ratio for column in columns), (column.copy() for column in columns)
    table = Table(*own, box=None, expand=expand, show_header=head, padding=(0, 1, 0, 0))
    lines = [[one_line(cell) for cell in row] for row in rows]
    for line in lines:
        table.add_row(*map(Text, line))
        for column, cell in zip(table.columns, line, strict=True):
            if not column.ratio:
                column.min_width = max(column.min_width or 0, cell_len(cell))
    if sum((column.width or column.min_width or 0) + 1 for column in table.columns) <= console.width:
        if lines:
            console.print(table)
        return
    for number, line in enumerate(lines):
        if number or not head:
            console.print()
        print_fields(zip(names, line, strict=True), console=console)


def write_json(values: Iterable[JSON]) -> None:
    r"""Print each value as one line of JSON in UTF-8 on stdout.

    Characters that `safe` would escape get the escapes of JSON (\u001b), so that a program reads the text unchanged.
    """
    lines = b"".join(to_json(value) + b"\n" for value in values).decode()
    escaped = UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", lines)
    sys.stdout.flush()
    sys.stdout.buffer.write(escaped.encode())
    sys.stdout.buffer.flush()


def named(ids: Sequence[int], total: int) -> str:
    """Return the first ids of `total` as text, and how many more there are: "1, 2, 3 and 40 more"."""
    more = f" and {total - len(ids):,} more" if total > len(ids) else ""
    return f"{', '.join(map(str, ids))}{more}"


def moment(at: datetime | float | None) -> str:
    """Return a time as text, to the second and with its zone; "" for None. Seconds since the epoch get China's zone."""
    if isinstance(at, int | float):
        try:
            at = datetime.fromtimestamp(at, CHINA_STANDARD_TIME)
        except (ValueError, OverflowError, OSError):
            return str(at)
    return "" if at is None else at.isoformat(" ", "seconds")


def print_fields(
    fields: Iterable[tuple[str, str]], heading: str = "", depth: int = 0, console: Console | None = None
) -> None:
    """Print a name and a value on each line; leave empty values out. A value of several lines begins below its name."""
    console = console or out()
    if heading:
        print_heading(heading)
    for name, value in fields:
        if value:
            label, text = " " * depth + one_line(name), safe(value)
            # Indented, so that a line of the text cannot look like a further field.
            beside = "\n" + indent(text, " " * (depth + 4)) if "\n" in text else " " + text
            filled = label + " " * (_LABEL_WIDTH - cell_len(label))
            console.print(Text.assemble((filled, "bold"), beside), soft_wrap=True)


def print_heading(text: str) -> None:
    """Print a heading, after an empty line."""
    out().print(Text(f"\n{one_line(text)}", style="bold underline"), soft_wrap=True)


def can_ask() -> bool:
    """Tell whether questions can be asked: stdin and stderr are both a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(what: str, *, optional: bool = False) -> str:
    """Ask on stderr and return the answer; "" for no answer if it is `optional`, else that raises `ConfigError`.

    Ask only before an event loop runs: its handler of Ctrl-C cancels a task, and would not end the reading.
    """
    console, prompt = out(stderr=True), f"{one_line(what)}: "
    return _answer(what, lambda: console.input(prompt, markup=False, emoji=False), optional=optional).reveal()


def confirms(question: str) -> bool:
    """Ask for a yes; any other answer is a no. Keys that were pressed before the question are dropped.

    Else a yes that was typed for another command, still running, would confirm a change that nobody has read.
    """
    with suppress(ImportError):
        import termios

        if sys.stdin.isatty():
            termios.tcflush(sys.stdin, termios.TCIFLUSH)
    return ask(f"{question} [y/N]", optional=True).strip().lower() in ("y", "yes")


def ask_secret(what: str) -> Secret:
    """Ask without an echo, and wrap the answer at once: no variable may hold it bare. Raises `ConfigError` for none."""
    # getpass turns the echo off, which drops earlier keys, then prints the prompt: all keys after it are hidden, and
    # none of them is lost.
    return _answer(what, lambda: getpass(f"{one_line(what)}: ", sys.stderr))


def _answer(what: str, read: Callable[[], str], *, optional: bool = False) -> Secret:
    answer = Secret("")
    try:
        answer = Secret(read())
    except EOFError:
        pass
    except UnicodeDecodeError as error:  # its message holds the typed bytes, which may be a secret: it is no cause
        problem = f"is no {error.encoding.upper()}, as this terminal is said to speak"
        raise ConfigError(problem, argument=f"the answer to {what!r}") from None
    if optional or answer.reveal().strip():
        return answer
    raise ConfigError(f"no answer to {what!r}")


class Bar:
    """Shows the progress of work on stderr: a bar on a terminal, elsewhere a line every ten seconds at most.

    Use it with `with`, in a running event loop, one bar at a time: two would overwrite each other. Call it with
    (done, total).

    what     the work, for example "exporting"
    unit     the things that are counted, "tickets" or "bytes"
    delay    seconds until the bar is shown; work that ends sooner shows none
    shown    False to show nothing, as where the results go to the same terminal
    """

    def __init__(self, what: str, *, unit: str = "tickets", delay: float = 1.0, shown: bool = True) -> None:
        self._what, self._unit, self._delay = safe(what), unit, delay
        console = out(stderr=True)
        # A remark that comes while the bar is shown is printed above it, in one piece.
        console.soft_wrap = True
        self._bar_is_shown = shown and console.is_interactive
        self._lines_are_shown = shown and not console.is_interactive
        count = DownloadColumn() if unit == "bytes" else MofNCompleteColumn(table_column=Column(no_wrap=True))
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), count, TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, redirect_stdout=False)
        self._task = self._progress.add_task(self._what, total=None)
        self._next_line = monotonic() + _LINE_EVERY

    def __enter__(self) -> Self:
        if self._bar_is_shown:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._progress.start)
        return self

    def __call__(self, done: int, total: int, remark: str = "") -> None:
        """Show how many of `total` are done, and a remark after the name of the work."""
        what = f"{self._what}: {remark}" if remark else self._what
        self._progress.update(self._task, completed=done, total=total, description=what)
        if self._lines_are_shown and monotonic() >= self._next_line:
            self._next_line = monotonic() + _LINE_EVERY
            note(f"{self._what}: {done:,} of {total:,} {self._unit}{f' ({remark})' if remark else ''}")

    def __exit__(self, *_: object) -> None:
        if self._bar_is_shown:
            self._timer.cancel()
            self._progress.stop()
