"""The base of all models: a model becomes plain values, which `json.dumps` takes, and is made of them again.

Every field is an entry under its own name. Some fields have a second entry, named as their second column in an export:

    a time            created_time   whole seconds since the epoch; 0: has not happened
                      created_at     the same as ISO 8601 with zone: 2021-11-11T11:11:11+08:00; None for 0
    a code            status         the code; None where the platform sent a name that is not known
                      status_name    its name in the API document; None where the code is not known

`from_dict` reads the first of the two entries; if a code is None, it reads the name.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import make_dataclass
from functools import cache
from typing import Any, ClassVar, Final, Self, cast

from workorder_async.arguments import unknown_name
from workorder_async.document.decoding import decoder_of
from workorder_async.document.fields import DataclassFields, WireField, expressions, fields_of
from workorder_async.document.json_text import JSON, to_json, with_bytes
from workorder_async.errors import ConfigError, WorkorderError


class Model:
    """The base of all models, with `to_dict`, `to_json` and `from_dict`.

    `json.dumps(tickets, default=TicketSummary.to_dict)` writes a list of tickets. A model can be a field of a pydantic
    model, an answer of FastAPI (`-> list[TicketSummary]`), and the body of a request to FastAPI (`body: CloseTicket`).
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[DataclassFields] = DataclassFields()
    # `pprint` looks here whether dataclasses made the `repr`.
    __dataclass_params__: ClassVar[object] = vars(make_dataclass("Model", (), repr=False))["__dataclass_params__"]

    def __new__(cls, *_values: object, **named: object) -> Self:
        """Refuse a name that no field has, by a `TypeError` that names the nearest field."""
        known = fields_of(cls)
        if not named.keys() <= known.keys():
            raise TypeError(unknown_name(f"{cls.__name__} has no field", named, known))
        return object.__new__(cls)

    def to_dict(self) -> dict[str, JSON]:
        """Return the model as plain values, of which `from_dict` makes an equal model.

        Names stand beside codes (`status_name`), and times in ISO 8601 beside seconds (`created_at`). A value that does
        not exist is None.
        """
        return _writer(type(self))(self)

    def to_json(self) -> str:
        """Return the model as JSON on one line; `from_dict(json.loads(text))` makes an equal model of it."""
        return to_json(self.to_dict()).decode()

    @classmethod
    def from_dict(cls, value: Mapping[str, JSON]) -> Self:
        """Make a model of the values that `to_dict` returned.

        A code is read from `status`, or from `status_name` if that is None or missing; a time from its seconds.
        Raises `DecodeError` if a value does not fit, and `ConfigError` for a mutation or a query that cannot be sent.
        """
        if not isinstance(value, Mapping):
            problem = f"takes an object with names, not a {type(value).__name__}"
            raise ConfigError(problem, argument=f"{cls.__name__}.from_dict")
        return cls._of(value)

    @classmethod
    def _of(cls, value: Mapping[str, JSON]) -> Self:
        return cast("Self", decoder_of(cls).read(picked(cls, value), name=f"{cls.__name__}: "))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
        """Tell pydantic to make a model by `from_dict`, and to write it by `to_dict`."""
        from pydantic_core import core_schema

        def read(value: Any) -> object:
            try:
                return value if isinstance(value, cls) else cls.from_dict(value)
            except WorkorderError as error:
                raise ValueError(str(error)) from None

        def write(value: Self, info: core_schema.SerializationInfo) -> JSON:
            plain = cls.to_dict(value)
            return with_bytes(plain) if info.mode == "json" else plain

        name = f"{cls.__module__}.{cls.__qualname__}"
        writing = core_schema.plain_serializer_function_ser_schema(
            write, info_arg=True, return_schema=core_schema.dict_schema()
        )
        return core_schema.no_info_plain_validator_function(read, ref=name, serialization=writing)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: Any) -> dict[str, object]:
        """Return the JSON schema of the entries that `from_dict` reads, or of those that `to_dict` writes."""
        return _json_schema(cls, is_read=handler.mode == "validation")


_KINDS: Final = {int: "integer", str: "string", bool: "boolean", dict: "object"}


def _json_schema(model: type, *, is_read: bool) -> dict[str, object]:
    properties: dict[str, object] = {}
    fields = fields_of(model).values()
    for field in fields:
        if field.is_model:
            shape = _json_schema(field.kind, is_read=is_read)
        else:
            # `from_dict` takes the name in place of the code; `to_dict` writes None for the code of an unknown name.
            kinds = ["integer", "string" if is_read else "null"] if field.is_code else [_KINDS[field.kind]]
            shape = _any_of([*kinds, "null"] if field.is_optional else kinds)
        if field.is_list:
            shape = {"type": "array", "items": shape}
        properties[field.name] = shape | ({"description": field.says} if field.says else {})
        if field.beside and not is_read:
            properties[field.beside] = _any_of(["string", "null"])
    required = [field.name for field in fields if field.is_required] if is_read else [*properties]
    return {"type": "object", "title": model.__name__, "properties": properties, "required": required}


def _any_of(kinds: list[str]) -> dict[str, object]:
    """Return the JSON schema of a value of any of these kinds; no list of types, which OpenAPI before 3.1 lacks."""
    shapes: list[dict[str, object]] = [{"type": kind} for kind in dict.fromkeys(kinds)]
    return {"anyOf": shapes} if len(shapes) > 1 else shapes[0]


def _make_writer(model: type) -> Callable[[object], dict[str, JSON]]:
    """Generate the function that writes a model: a loop over fields would take twice the time."""
    cells, names = dict[str, str](), dict[str, object](deepcopy=deepcopy)
    for field in fields_of(model).values():
        texts, used = expressions(field.columns())
        if field.is_code and field.is_optional:
            texts = {name: f"None if row.{field.name} is None else {text}" for name, text in texts.items()}
        cells |= texts or {field.name: _inner_text(field)}
        names |= used
    text = f"lambda row: {{{', '.join(f'{name!r}: {text}' for name, text in cells.items())}}}"
    return cast("Callable[[object], dict[str, JSON]]", eval(text, names))  # noqa: S307


_writer: Final[Callable[[type], Callable[[object], dict[str, JSON]]]] = cache(_make_writer)


def _inner_text(field: WireField) -> str:
    """Return the expression that makes plain values of a list or an object of `row`."""
    at = f"row.{field.name}"
    if field.is_model:
        return f"[part.to_dict() for part in {at}]" if field.is_list else f"{at}.to_dict()"
    return f"[*{at}]" if field.is_list else f"deepcopy({at})"


def picked(model: type, value: Mapping[str, JSON]) -> dict[str, JSON]:
    """Pick the fields of a model out of the entries of `to_dict`: of a field with two entries, the one to be read."""
    fields = {}
    for name, field in fields_of(model).items():
        found = value.get(name)
        if field.is_code and found is None:
            found = value.get(field.beside)
        elif field.is_model and isinstance(found, list):
            found = [picked(field.kind, part) if isinstance(part, Mapping) else part for part in found]
        elif field.is_model and isinstance(found, Mapping):
            found = picked(field.kind, found)
        if found is not None or name in value:
            fields[name] = found
    return fields
