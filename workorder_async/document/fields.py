"""The table of fields: what each field of a model is on the wire, in Python, in plain values and in a column.

A model declares each field once: its name, its type, its default, and a sentence under it. `fields_of` reads the table
off the class. Everything else is derived from the table: the functions that decode (`decoding.py`), `to_dict`,
`from_dict` and the JSON schema (`model.py`), the columns of exports with their types, and the `_at` properties with
their docstrings.

A field's metadata adds facts that its type cannot tell. `WIRE` is the class that the field's value has in most answers,
if that is unusual. `ALONE`: if an answer has a text in place of the whole object, the text is this field. `NEEDED`: an
answer must have the field, though the class has a default. `LEAST` is the smallest allowed number.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import cache, lru_cache
from types import UnionType
from typing import Any, Final, Self, TypeAlias, cast, get_args, get_origin, get_type_hints, overload

import attrs
from attrs import frozen

from workorder_async.described import fields_said
from workorder_async.document.enums import OpenEnum
from workorder_async.errors import DecodeError

Plain: TypeAlias = int | str | bool | None
"""A plain value that is neither a list nor an object."""

WIRE: Final = "wire"
ALONE: Final = "alone"
NEEDED: Final = "needed"
LEAST: Final = "least"

#: The zone of the platform's date-time strings (no summer time since 1991), and of every `_at` property.
CHINA_STANDARD_TIME = timezone(timedelta(hours=8), "CST")

#: The Arrow type of a column that ends in `_at`; Parquet has no unit of whole seconds.
TIMESTAMP: Final = "timestamp[ms, tz=UTC]"
_SQLITE: Final = {"int64": "INTEGER", "bool": "INTEGER", "string": "TEXT", TIMESTAMP: "TEXT"}
_ARROW: Final[Mapping[type, str]] = {int: "int64", str: "string", bool: "bool"}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC).astimezone(CHINA_STANDARD_TIME)
_EAST: Final = 8 * 3600
_MINUTES: Final = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(1440)]
_SECONDS: Final = [f":{second:02}+08:00" for second in range(60)]


@frozen
class Column:
    """One column of an export, and one entry of `to_dict`."""

    name: str
    """The column's name in every format."""
    arrow: str
    """The column's type in Parquet, as Arrow writes it: int64, string, bool or timestamp[ms, tz=UTC]."""
    field: str
    """The model's field that the column is read from."""
    says: str = ""
    """A sentence on the column, if its cells are not the field's own values: "Its name."."""
    source: str = ""
    """The expression behind `row.` that reads the value off a model: `status._value_`."""
    convert: Callable[[object], Plain] | None = None
    """The function that makes a cell of the value, if the cell is not the value itself."""

    @property
    def sqlite(self) -> str:
        """The column's type in SQLite."""
        return _SQLITE[self.arrow]


@frozen
class WireField:
    """One field of a model."""

    model: type
    name: str
    kind: type
    """int, str, bool, dict, an enumeration or a model; if the field is a list, the kind of its items."""
    is_list: bool
    is_optional: bool
    is_required: bool
    is_code: bool
    """Whether the field is a member of an enumeration."""
    is_model: bool
    """Whether the field holds a model, or a list of models."""
    is_time: bool
    """Whether the field is a point in time, in whole seconds since the epoch."""
    is_alone: bool
    """Whether a text in place of the whole object is this field."""
    wire: type | None
    """The class of the value in most answers: int, str or bool; None for a list, an object, or an optional value."""
    least: int | None
    """The smallest allowed number; None: any number."""
    beside: str
    """The name of the second entry for this field in plain values (`status_name`, `created_at`); "" for none."""
    default: object
    """The default as attrs has it: a value, a `Factory`, or NOTHING."""

    @property
    def says(self) -> str:
        """The sentence under the field in the source of the class that declares it; "" without a source."""
        return next((said for kind in self.model.__mro__ if (said := fields_said(kind).get(self.name))), "")

    @property
    def says_of_moment(self) -> str:
        """The sentence under a time, without its unit: for the property and the column that show a date."""
        return self.says.replace(", in seconds", "").partition(";")[0].rstrip(".")

    def columns(self) -> tuple[Column, ...]:
        """Return the columns of a field that holds one plain value; none for a list or an object."""
        name = self.name
        if self.is_code:
            members, value = list(cast("type[OpenEnum]", self.kind)), f"{name}._value_"
            code_in = _Known({member.value: member.value for member in members}, int).__getitem__
            name_in = _Known({member.value: member.label for member in members}, str).__getitem__
            code = Column(name, "int64", name, "Its code.", value, code_in)
            return code, Column(self.beside, "string", name, "Its name.", value, name_in)
        if self.is_list or self.kind not in _ARROW:
            return ()
        plain = Column(name, _ARROW[self.kind], name, source=name)
        if not self.is_time:
            return (plain,)
        says = "As ISO 8601 with zone; empty if it has not happened."
        return plain, Column(self.beside, TIMESTAMP, name, says, name, iso)


def _read_field(model: type, field: "attrs.Attribute[object]", kind: object) -> WireField:
    is_optional = isinstance(kind, UnionType)
    if is_optional:
        kind = next(part for part in get_args(kind) if part is not type(None))
    is_list = get_origin(kind) in (list, tuple)
    kind = cast("type", get_args(kind)[0] if is_list else get_origin(kind) or kind)
    is_code, is_time = issubclass(kind, OpenEnum), kind is int and field.name.endswith("_time")
    usual = int if is_code else kind if kind in _ARROW else None
    return WireField(
        model,
        field.name,
        kind,
        is_list,
        is_optional,
        is_required=field.default is attrs.NOTHING or NEEDED in field.metadata,
        is_code=is_code,
        is_model=attrs.has(kind),
        is_time=is_time,
        is_alone=ALONE in field.metadata,
        wire=None if is_list or is_optional else field.metadata.get(WIRE, usual),
        least=field.metadata.get(LEAST),
        beside=f"{field.name}_name" if is_code else f"{field.name[:-4]}at" if is_time else "",
        default=field.default,
    )


def _read_fields(model: type) -> Mapping[str, WireField]:
    hints = get_type_hints(model)
    return {field.name: _read_field(model, field, hints[field.name]) for field in attrs.fields(model)}


#: Returns the table of a model: its fields by their names, in their order.
fields_of: Final[Callable[[type], Mapping[str, WireField]]] = cache(_read_fields)


def expressions(columns: Iterable[Column]) -> tuple[dict[str, str], dict[str, object]]:
    """Return the Python text that reads each column off `row`, by its name, and the names that these texts use.

    The callers generate functions of these texts: a loop over the columns of each row would take twice the time.
    """
    texts, names = {}, dict[str, object]()
    for column in columns:
        texts[column.name] = f"convert_{column.name}(row.{column.source})" if column.convert else f"row.{column.source}"
        names[f"convert_{column.name}"] = column.convert
    return texts, names


class _Known(dict[object, Plain]):
    """A table of known codes: an unknown value is returned itself if it is of `kind`, else None.

    A look-up in a dict takes half the time of a call of a function.
    """

    def __init__(self, known: dict[object, Plain], kind: type) -> None:
        super().__init__(known)
        self._kind = kind

    def __missing__(self, value: object) -> Plain:
        return cast("Plain", value) if isinstance(value, self._kind) else None


def iso(seconds: object) -> str | None:
    """Write whole seconds since the epoch as ISO 8601 in China Standard Time; None for 0, or beyond the calendar."""
    if not seconds:
        return None
    # Twice as fast as `datetime.isoformat`, since days repeat.
    day, rest = divmod(seconds + _EAST, 86400)  # type: ignore[operator]  # a model has whole seconds there
    minute, second = divmod(rest, 60)
    try:
        return _day(day) + _MINUTES[minute] + _SECONDS[second]
    except OverflowError:
        return None


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return f"{(_EPOCH + timedelta(number)).date().isoformat()}T"


class DataclassFields:
    """The fields in the form of dataclasses, for libraries that do not know attrs, as FastAPI for bodies."""

    def __get__(self, instance: object, model: type) -> dict[str, dataclasses.Field[object]]:
        if not attrs.has(model):
            raise AttributeError(f"{model.__name__} has no fields")
        return _dataclass_fields(model)


@cache
def _dataclass_fields(model: type) -> dict[str, dataclasses.Field[object]]:
    parts = []
    for field in attrs.fields(model):
        options: dict[str, Any] = {} if field.default is attrs.NOTHING else {"default": field.default}
        if factory := getattr(field.default, "factory", None):
            options = {"default_factory": factory}
        parts.append((field.name, field.type, dataclasses.field(kw_only=field.kw_only, **options)))
    return {field.name: field for field in dataclasses.fields(dataclasses.make_dataclass(model.__name__, parts))}


class Moment:
    """A property that ends in `_at`: it reads the field of whole seconds that ends in `_time` as an aware datetime.

    It is None where the field is 0 (has not happened).
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._field = owner, f"{name[:-2]}time"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> datetime | None: ...
    def __get__(self, instance: object | None, owner: type) -> Self | datetime | None:
        if instance is None:
            return self
        seconds: int = getattr(instance, self._field)
        try:
            return _EPOCH + timedelta(seconds=seconds) if seconds else None
        except OverflowError:
            raise DecodeError(
                f"{self._field} is {seconds}, which is no time in seconds", path=f"$.{self._field}", expected="seconds"
            ) from None

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        said = fields_of(self._owner)[self._field].says_of_moment
        return f"{said}, as an aware datetime; None if it has not happened."
