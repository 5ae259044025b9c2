"""The columns of an export: one table for all formats, read off the models.

Every field of the model is a column, under the wire's own name, in the model's order. Some fields have two:

    a time            created_time   the wire's whole seconds since the epoch; 0: has not happened
                      created_at     the same as ISO 8601 with zone: 2021-11-11T11:11:11+08:00; empty for 0
    a code            status         the code; empty where the platform sent a name that is not known
                      status_name    its name in the API document; empty where the code is not known
    lists, objects    assigns        one text that holds JSON; SQLite has a table for each list instead

A raw export has no columns: its lines are the server's own objects.
"""

from collections.abc import Callable, Mapping
from functools import cache
from types import UnionType
from typing import Final, TypeAlias, cast, get_args, get_origin, get_type_hints

import attrs
from attrs import frozen

from workorder_async.described import fields_said
from workorder_async.document import OpenEnum, TicketDetail, TicketSummary, json_text
from workorder_async.document.codec import encode
from workorder_async.document.json_text import dumps
from workorder_async.document.model import Plain, codes_in, iso, names_in

Value: TypeAlias = Plain
"""What a cell holds."""

#: The Arrow type of a column that ends in `_at`; Parquet has no unit of whole seconds.
TIMESTAMP: Final = "timestamp[ms, tz=UTC]"
_SQLITE: Final[Mapping[str, str]] = {"int64": "INTEGER", "bool": "INTEGER", "string": "TEXT", TIMESTAMP: "TEXT"}


@frozen
class Column:
    """One column of an export."""

    name: str
    """Its name in every format."""
    arrow: str
    """Its type in Parquet, as Arrow writes it: int64, string, bool or timestamp[ms, tz=UTC]."""
    field: str
    """The model's field that it is read from."""
    says: str = ""
    """What it says of the field, where that is not the value itself."""
    source: str = ""
    """Where the value stands in a model."""
    convert: Callable[[object], Value] | None = None
    """What makes the cell of that value, where it is not the value itself."""

    @property
    def sqlite(self) -> str:
        """Its type in SQLite."""
        return _SQLITE[self.arrow]


@frozen
class Columns:
    """The columns of one model, in their order."""

    model: type
    """The model that a row is."""
    columns: tuple[Column, ...]
    """Its columns."""
    read: Callable[[object], tuple[Value, ...]] = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(lambda columns: _reader(columns.columns), takes_self=True),
    )
    """What makes a row's cells of a model."""
    fill: Callable[[object, dict[str, Value]], None] = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(lambda columns: _filler(columns.columns), takes_self=True),
    )
    """What puts the same cells into an object, by the names of their columns."""

    def read_object(self, row: object) -> dict[str, Value]:
        """Return a model's cells by the names of their columns."""
        cells: dict[str, Value] = {}
        self.fill(row, cells)
        return cells

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def places(self, arrow: str) -> tuple[int, ...]:
        """Return where the columns of this Arrow type stand."""
        return tuple(place for place, column in enumerate(self.columns) if column.arrow == arrow)

    def meaning(self, column: Column) -> str:
        """Return what a column says of a ticket."""
        return f"{_meaning(self.model, column)} {column.says}".strip()

    def markdown(self) -> str:
        """Return the table of the columns as Markdown, aligned so that it reads as plain text too."""
        head = ("column", "Arrow", "SQLite", "meaning")
        rows = [head] + [(column.name, column.arrow, column.sqlite, self.meaning(column)) for column in self.columns]
        widths = [max(len(row[place]) for row in rows) for place in range(3)]
        lines = [" | ".join([*map(str.ljust, row, widths), row[3]]) for row in rows]
        lines.insert(1, " | ".join([*("-" * width for width in widths), "---"]))
        return "".join(f"| {line} |\n" for line in lines)


def _reader(columns: tuple[Column, ...]) -> Callable[[object], tuple[Value, ...]]:
    """Generate the function that reads a row: a loop over columns would take twice the time."""
    values, names = _values(columns)
    found = eval(f"lambda row: ({', '.join(values)},)", names)  # noqa: S307 - made of the names above
    return cast("Callable[[object], tuple[Value, ...]]", found)


def _filler(columns: tuple[Column, ...]) -> Callable[[object, dict[str, Value]], None]:
    """Generate the function that fills an object, which may be that of the row before: a new one grows four times."""
    values, names = _values(columns)
    lines = [f"    cells[{column.name!r}] = {value}" for column, value in zip(columns, values, strict=True)]
    exec("\n".join(["def fill(row, cells):", *lines]), names)  # noqa: S102 - made of the names above
    return cast("Callable[[object, dict[str, Value]], None]", names["fill"])


def _values(columns: tuple[Column, ...]) -> tuple[list[str], dict[str, object]]:
    """Return the expressions that read the cells of `row`, and what they call."""
    names: dict[str, object] = {f"convert{place}": column.convert for place, column in enumerate(columns)}
    values = [
        f"convert{place}(row.{column.source})" if column.convert else f"row.{column.source}"
        for place, column in enumerate(columns)
    ]
    return values, names


@cache
def columns_of(model: type, *, lists: bool = True) -> Columns:
    """Return the columns of a model of answers; without those that hold a list of models, if `lists` is False."""
    hints = get_type_hints(model)
    fields = [(field.name, hints[field.name]) for field in attrs.fields(model)]
    kept = [(name, kind) for name, kind in fields if lists or get_origin(kind) is not list]
    return Columns(model, tuple(column for name, kind in kept for column in _of_field(name, kind)))


def _of_field(name: str, kind: object) -> tuple[Column, ...]:
    if isinstance(kind, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if kind is int and name.endswith("_time"):
        at = Column(
            name[:-4] + "at", TIMESTAMP, name, "As ISO 8601 with zone; empty if it has not happened.", name, iso
        )
        return Column(name, "int64", name, source=name), at
    if kind in (int, str, bool):
        return (Column(name, {int: "int64", str: "string", bool: "bool"}[cast("type", kind)], name, source=name),)
    if isinstance(kind, type) and issubclass(kind, OpenEnum):
        value = f"{name}._value_"
        code = Column(name, "int64", name, "Its code.", value, codes_in(kind))
        return code, Column(f"{name}_name", "string", name, "Its name.", value, names_in(kind))
    return (Column(name, "string", name, "As JSON.", name, _json),)


def _json(value: object) -> str:
    plain = encode(value)
    try:
        return dumps(plain).decode()
    except TypeError:  # a lone surrogate, which the sink treats as in any text
        return json_text.write(plain)


def _meaning(model: type, column: Column) -> str:
    """Return what a column says of a ticket; a time says what its property says, without the last part."""
    if column.arrow == TIMESTAMP:
        return f"{str(vars(model)[column.name].__doc__).partition(', as an aware')[0]}."
    return fields_said(model).get(column.field, "")


#: The columns of an export of the list.
TICKET_COLUMNS: Final = columns_of(TicketSummary)
#: The columns of an export with the full record of each ticket.
DETAIL_COLUMNS: Final = columns_of(TicketDetail)
