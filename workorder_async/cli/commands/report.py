"""`workorder report`: what the tickets of a mirror, or of an exported file, say together."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.types import ExistingFile
from rich.bar import Bar
from rich.table import Column, Table
from rich.text import Text

from workorder_async.cli.terminal import note, one_line, out, print_heading, print_table, texts, whole
from workorder_async.cli.values import File
from workorder_async.errors import ConfigError, WorkorderError

if TYPE_CHECKING:
    from workorder_async.mirror.figures import Figures
    from workorder_async.mirror.page import Words

_WIDTH: Final = 40
_LANG: Final = Parameter(help="The language; else that of WORKORDER_LANG or the locale.")


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
    from workorder_async.words import spoken

    if not file.is_file():  # it is read more than once
        raise ConfigError(f"{str(file)!r} is no file", mend="save what comes from it to one first")
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
    """Print the figures: bars on a terminal, else lines with tabs."""
    from workorder_async.mirror.page import day, lasting

    unhandled = [] if figures.unhandled is None else [(word("handled by nobody"), figures.unhandled)]
    _bars(word("Tickets"), [(word("tickets"), figures.tickets), (word("open"), figures.open), *unhandled])
    counted = (("status", figures.by_status), ("type", figures.by_type), ("product line", figures.by_product_line))
    for by, counts in counted:
        _bars(word(f"By {by}"), [(word(name), count) for name, count in counts])
    weeks = [(day(week.start), f"{week.created:,}", f"{week.closed:,}") for week in figures.weeks]
    _table(map(word, ("By week", "created", "closed")), weeks)
    for title, durations in (("Time to close", figures.to_close), ("Time in a status", figures.in_status)):
        rows = [
            (word(one.name), lasting(one.median, word), lasting(one.ninth, word), f"{one.count:,}") for one in durations
        ]
        _table(map(word, (title, "median", "nine of ten within", "measured")), rows)
    oldest = [(str(one.id), day(one.created_time), word(one.status), one.title) for one in figures.oldest]
    _table(map(word, ("Open the longest", "since", "status", "title")), oldest)


def _bars(title: str, counts: Iterable[tuple[str, int]]) -> None:
    console, rows = out(), list(counts)
    if not console.is_terminal:
        print_table((whole(title), whole("")), [(name, str(count)) for name, count in rows])
        return
    print_heading(title)
    name, number = Column(max_width=30, overflow="fold"), Column(justify="right", no_wrap=True)
    table = Table.grid(name, number, "", padding=(0, 1))
    most = max((count for _, count in rows), default=1) or 1
    for said, count in rows:
        table.add_row(Text(one_line(said)), f"{count:,}", Bar(most, 0, count, width=_WIDTH))
    console.print(table)


def _table(heads: Iterable[str], rows: Sequence[Sequence[str]]) -> None:
    title, *names, last = heads
    if rows and out().is_terminal:
        print_heading(title)
        title = ""
    if rows:
        print_table((*map(whole, (title, *names)), texts(last)), rows)
