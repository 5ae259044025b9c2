"""The columns of an export: one table for all formats, read off the models.

Every field of the model is a column, under the wire's own name, in the model's order. A time and a code have a second
column, as they have a second entry in `to_dict` (`document/model.py`); None is an empty cell. Lists and objects become
one text that holds JSON; SQLite has a table for each list instead. A raw export has no columns: its lines are the
server's own objects.
"""

from collections.abc import Callable
from functools import cache, cached_property
from typing import Final, TypeAlias, cast

from attrs import frozen

from workorder_async.document import TicketDetail, TicketSummary
from workorder_async.document.codec import encode
from workorder_async.document.fields import TIMESTAMP, Column, Plain, expressions, fields_of
from workorder_async.document.json_text import dumps, write

Value: TypeAlias = Plain
"""The value of a cell."""


@frozen(slots=False)
class Columns:
    """The columns of one model, in their order."""

    model: type
    """The model that a row is."""
    columns: tuple[Column, ...]
    """Its columns."""

    # Functions are generated, since a loop over the columns of each row would take twice the time.

    @cached_property
    def read(self) -> Callable[[object], tuple[Value, ...]]:
        """The function that makes a row's cells of a model."""
        texts, names = expressions(self.columns)
        found = eval(f"lambda row: ({', '.join(texts.values())},)", names)  # noqa: S307 - made of the names above
        return cast("Callable[[object], tuple[Value, ...]]", found)

    @cached_property
    def fill(self) -> Callable[[object, dict[str, Value]], None]:
        """The function that puts the same cells into an object, by the names of their columns.

        The object may be that of the row before: a new one grows four times.
        """
        texts, names = expressions(self.columns)
        lines = [f"    cells[{name!r}] = {text}" for name, text in texts.items()]
        exec("\n".join(["def fill(row, cells):", *lines]), names)  # noqa: S102 - made of the names above
        return cast("Callable[[object, dict[str, Value]], None]", names["fill"])

    def read_object(self, row: object) -> dict[str, Value]:
        """Return a model's cells by the names of their columns."""
        return dict(zip(self.names, self.read(row), strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def meaning(self, column: Column) -> str:
        """Return the meaning of a column, for people."""
        field = fields_of(self.model)[column.field]
        said = f"{field.says_of_moment}." if column.arrow == TIMESTAMP else field.says
        return f"{said} {column.says}".strip()

    def sqlite(self, column: Column) -> str:
        """Return the type of a column in SQLite; "" where that has a table in its place."""
        return "" if fields_of(self.model)[column.field].is_list else column.sqlite

    def markdown(self) -> str:
        """Return the table of the columns as Markdown, aligned so that it reads as plain text too."""
        head = ("column", "Arrow", "SQLite", "meaning")
        rows = [head] + [(one.name, one.arrow, self.sqlite(one), self.meaning(one)) for one in self.columns]
        widths = [max(len(row[place]) for row in rows) for place in range(3)]
        lines = [" | ".join([*map(str.ljust, row, widths), row[3]]) for row in rows]
        lines.insert(1, " | ".join([*("-" * width for width in widths), "---"]))
        return "".join(f"| {line} |\n" for line in lines)


@cache
def columns_of(model: type, *, lists: bool = True) -> Columns:
    """Return the columns of a model of answers; without those that hold a list of models, if `lists` is False."""
    columns = list[Column]()
    for name, field in fields_of(model).items():
        if lists or not field.is_list:
            columns += field.columns() or [Column(name, "string", name, "As JSON.", name, _json)]
    return Columns(model, tuple(columns))


def _json(value: object) -> str:
    plain = encode(value)
    try:
        return dumps(plain).decode()
    except TypeError:  # a lone surrogate, which the sink treats as in any text
        return write(plain)


#: The columns of an export of the list.
TICKET_COLUMNS: Final = columns_of(TicketSummary)
#: The columns of an export with the full record of each ticket.
DETAIL_COLUMNS: Final = columns_of(TicketDetail)
