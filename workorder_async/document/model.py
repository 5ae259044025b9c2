"""What every model can: become plain values, which `json.dumps` takes, and be made of them again.

Every field is there under its own name. Some have a second entry, by the same names as the columns of an export:

    a time            created_time   whole seconds since the epoch; 0: has not happened
                      created_at     the same as ISO 8601 with zone: 2021-11-11T11:11:11+08:00; None for 0
    a code            status         the code; None where the platform sent a name that is not known
                      status_name    its name in the API document; None where the code is not known

`from_dict` reads the first of the two, and the name of a code where the code is None.
"""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from types import UnionType
from typing import Any, Final, Self, TypeAlias, cast, get_args, get_origin, get_type_hints

import attrs
from attrs import frozen

from workorder_async.arguments import is_whole, unknown_name
from workorder_async.document.enums import OpenEnum
from workorder_async.document.json_text import JSON
from workorder_async.document.moments import CHINA_STANDARD_TIME
from workorder_async.errors import ConfigError, WorkorderError

Plain: TypeAlias = int | str | bool | None
"""A plain value that is neither a list nor an object."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC).astimezone(CHINA_STANDARD_TIME).replace(hour=0)
_EAST: Final = 8 * 3600
_MINUTES: Final = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(1440)]
_SECONDS: Final = [f":{second:02}+08:00" for second in range(60)]

#: What makes each model of answers of its fields; structuring.py puts it here.
READERS: Final[dict[type, Callable[[dict[str, JSON]], object]]] = {}


class Model:
    """What every model can: `to_dict`, `to_json` and `from_dict`.

    `json.dumps(tickets, default=TicketSummary.to_dict)` writes a list of them. In models of pydantic and in FastAPI's
    answers a model stands as it is, `-> list[TicketSummary]`; as what FastAPI receives it is `Annotated[CloseTicket,
    Body()]`.
    """

    __slots__ = ()

    def __new__(cls, *_values: object, **named: object) -> Self:
        """Refuse a name that no field has, in a `TypeError` that says what would be right."""
        known = _fields_of(cls)
        if not named.keys() <= known.keys():
            raise TypeError(unknown_name(f"{cls.__name__} has no field", named, known))
        return object.__new__(cls)

    def to_dict(self) -> dict[str, JSON]:
        """Return it as plain values, of which `from_dict` makes its equal.

        Names stand beside codes (`status_name`), and times in ISO 8601 beside seconds (`created_at`); None for none.
        """
        return _writer(type(self))(self)

    def to_json(self) -> str:
        """Return the same as JSON on one line; `from_dict(json.loads(text))` makes its equal of it."""
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_dict(cls, value: Mapping[str, JSON]) -> Self:
        """Make one of what `to_dict` gave.

        A code is read from `status`, or from `status_name` where that is None or missing; a time from its seconds.
        Raises `DecodeError` where it does not fit, and `ConfigError` for a mutation or a query that cannot be sent.
        """
        if not isinstance(value, Mapping):
            raise ConfigError(f"{cls.__name__}.from_dict takes an object with names, not a {type(value).__name__}")
        made = READERS[cls](_picked(cls, value)) if cls in READERS else _checked(cls, value)
        return cast("Self", made)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
        """Tell pydantic that `from_dict` makes one, and `to_dict` writes it."""
        from pydantic_core import core_schema

        def read(value: Any) -> object:
            try:
                return value if isinstance(value, cls) else cls.from_dict(value)
            except WorkorderError as error:
                raise ValueError(str(error)) from None

        return core_schema.no_info_plain_validator_function(
            read,
            json_schema_input_schema=core_schema.dict_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(
                cls.to_dict, return_schema=core_schema.dict_schema()
            ),
        )


@frozen
class _Field:
    """What a field of a model is."""

    name: str
    kind: object
    """Its class; of a list, what it holds."""
    is_list: bool
    is_required: bool

    @property
    def is_code(self) -> bool:
        return isinstance(self.kind, type) and issubclass(self.kind, OpenEnum)

    @property
    def is_time(self) -> bool:
        return self.kind is int and self.name.endswith("_time")

    @property
    def is_inner(self) -> bool:
        return isinstance(self.kind, type) and issubclass(self.kind, Model)


def _read_fields(model: type) -> Mapping[str, _Field]:
    """Return the fields of a model by their names."""
    hints = get_type_hints(model)
    found = {}
    for field in attrs.fields(model):
        kind = hints[field.name]
        if isinstance(kind, UnionType):
            kind = next(part for part in get_args(kind) if part is not type(None))
        is_list = get_origin(kind) in (list, tuple)
        kind = get_args(kind)[0] if is_list else kind
        found[field.name] = _Field(field.name, kind, is_list, field.default is attrs.NOTHING)
    return found


_fields_of: Final[Callable[[type], Mapping[str, _Field]]] = cache(_read_fields)

# Writing


def _make_writer(model: type) -> Callable[[object], dict[str, JSON]]:
    """Generate the function that writes a model: a loop over fields would take twice the time."""
    names: dict[str, object] = {"iso": iso, "deepcopy": deepcopy}
    cells = []
    for name, field in _fields_of(model).items():
        at = f"row.{name}"
        if field.is_code:
            kind = cast("type[OpenEnum]", field.kind)
            names |= {f"code_of_{name}": codes_in(kind), f"name_of_{name}": names_in(kind)}
            for key, make in ((name, "code_of"), (f"{name}_name", "name_of")):
                cells.append(f"{key!r}: None if {at} is None else {make}_{name}({at}._value_)")
        elif field.is_inner:
            cells.append(f"{name!r}: " + (f"[part.to_dict() for part in {at}]" if field.is_list else f"{at}.to_dict()"))
        else:
            is_dict = get_origin(field.kind) is dict
            cells.append(f"{name!r}: " + (f"[*{at}]" if field.is_list else f"deepcopy({at})" if is_dict else at))
            if field.is_time:
                cells.append(f"{f'{name[:-4]}at'!r}: iso({at})")
    text = f"lambda row: {{{', '.join(cells)}}}"
    return cast("Callable[[object], dict[str, JSON]]", eval(text, names))  # noqa: S307 - made of the names above


_writer: Final[Callable[[type], Callable[[object], dict[str, JSON]]]] = cache(_make_writer)


def iso(seconds: object) -> str | None:
    """Write whole seconds since the epoch as ISO 8601 in China Standard Time; None for 0, and for what has no date."""
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


class _Known(dict[object, Plain]):
    """What known codes become; of what is not known, a value of `kind` is kept, and anything else is none.

    Its `__getitem__` takes half the time of a function.
    """

    def __init__(self, known: dict[object, Plain], kind: type) -> None:
        super().__init__(known)
        self._kind = kind

    def __missing__(self, value: object) -> Plain:
        return cast("Plain", value) if isinstance(value, self._kind) else None


def codes_in(kind: type[OpenEnum]) -> Callable[[object], Plain]:
    """Return what makes the code of a member's value; None of a name that is not known."""
    return _Known({member.value: member.value for member in kind}, int).__getitem__


def names_in(kind: type[OpenEnum]) -> Callable[[object], Plain]:
    """Return what makes the name of a member's value; None of a code that is not known."""
    return _Known({member.value: member.label for member in kind}, str).__getitem__


# Reading


def _picked(model: type, value: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the fields of a model among these entries, each in the one spelling that its reader takes."""
    fields = {}
    for name, field in _fields_of(model).items():
        found = value.get(name)
        if field.is_code and found is None:
            found = value.get(f"{name}_name")
        elif field.is_inner and isinstance(found, list):
            inner = cast("type", field.kind)
            found = [_picked(inner, part) if isinstance(part, Mapping) else part for part in found]
        elif field.is_inner and isinstance(found, Mapping):
            found = _picked(cast("type", field.kind), found)
        if found is not None or name in value:
            fields[name] = found
    return fields


def _checked(model: type, value: Mapping[str, JSON]) -> object:
    """Make a mutation or a query by its constructor, which checks it."""
    known = _fields_of(model)
    beside = {f"{name}_name" for name in known if known[name].is_code}
    beside |= {f"{name[:-4]}at" for name in known if known[name].is_time}
    if wrong := unknown_name(f"{model.__name__} has no field", value.keys() - beside, known):
        raise ConfigError(wrong)
    fields: dict[str, Any] = _picked(model, value)
    if missing := [name for name, field in known.items() if field.is_required and name not in fields]:
        raise ConfigError(f"{model.__name__} needs {', '.join(missing)}")
    for name, found in fields.items():
        kind = cast("type", known[name].kind)
        if known[name].is_code and is_whole(found):
            fields[name] = kind(found)  # the document may not list it
        elif known[name].is_inner and isinstance(found, list):
            fields[name] = [*map(READERS[kind], found)]
    return model(**fields)
