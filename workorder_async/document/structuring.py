"""How a JSON object becomes a model: by one generated function for each class; and which value does not fit.

The function checks the exact classes of all values at once. Where that fails, it calls the reader of each wrong value.
document/codec.py shows one of these functions.
"""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Final, cast, get_args, get_origin, get_type_hints

import attrs

from workorder_async.document import readings
from workorder_async.document.enums import AssignStatus, FormFieldType, Priority, TicketStatus, TicketType
from workorder_async.document.json_text import JSON, as_orjson_keeps
from workorder_async.document.model import READERS
from workorder_async.document.readings import SECONDS_END, MisfitError
from workorder_async.document.tickets import (
    Attachment,
    CustomerInfo,
    Pagination,
    Tag,
    Ticket,
    TicketAssign,
    TicketDetail,
    TicketFlowHistory,
    TicketFormField,
    TicketPage,
    TicketSummary,
)
from workorder_async.errors import DecodeError

_ENUMS: Final = (TicketStatus, TicketType, Priority, AssignStatus, FormFieldType)
_READERS: Final[Mapping[object, Callable[[object], object]]] = {
    int: readings.whole_number,
    str: readings.text,
    bool: readings.boolean,
    **{kind: readings.code(kind) for kind in _ENUMS},
}
#: Fields with an unusual class on the wire: most codes are whole numbers there, and most booleans are booleans.
_WIRE_CLASSES: Final = {
    (TicketSummary, "status"): str,
    (TicketSummary, "priority"): str,
    (TicketSummary, "need_process"): int,
    (TicketFormField, "is_required"): int,
}
# Inner ones first: a model's hook uses the hooks of the models that it holds.
_MODELS: Final = (
    *(Pagination, TicketSummary, TicketPage, Ticket, Attachment, CustomerInfo, Tag, TicketFormField),
    *(TicketFlowHistory, TicketAssign, TicketDetail),
)

#: What makes each model of a JSON value.
HOOKS: dict[type, Callable[[object], object]] = {}
#: The generated text of each hook, to be read.
SOURCES: dict[type, str] = {}
#: What reads each field of each model, whatever came.
FIELDS: dict[type, dict[str, Callable[[object], object]]] = {}
#: The fields that hold a model, or a list of them.
_INNER: dict[tuple[type, str], object] = {}


def _reader(model: type, field: "attrs.Attribute[object]", kind: object) -> Callable[[object], object]:
    """Return what reads a field whose value is null, missing, or not of the exact class."""
    if get_origin(kind) is not None and type(None) in get_args(kind):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if kind is int and field.name.endswith("_time"):
        return _or_default(readings.seconds, field)
    if get_origin(kind) is dict:
        return _or_default(readings.mapping, field)
    if kind in _READERS:
        return _or_default(_READERS[kind], field, is_text=kind is str)
    _INNER[model, field.name] = kind
    is_list = get_origin(kind) is list
    return _or_default(_list_of(get_args(kind)[0]) if is_list else HOOKS[cast("type", kind)], field)


def _or_default(
    read: Callable[[object], object], field: "attrs.Attribute[object]", *, is_text: bool = False
) -> Callable[[object], object]:
    """Read what means "none" as the field's default, where it has one."""
    default = field.default
    factory = cast("Callable[[], object]", getattr(default, "factory", lambda: default))

    def read_required(value: object) -> object:
        if value is None:
            raise MisfitError("a value", "missing or null")
        return read(value)

    def read_optional(value: object) -> object:
        if value is None:
            return factory()
        try:
            return read(value)
        except MisfitError:
            if is_text or not readings.is_absent(value):
                raise
            return factory()

    return read_required if default is attrs.NOTHING else read_optional


def _list_of(model: type) -> Callable[[object], object]:
    """Return what reads a list of this model."""
    hook, names = HOOKS[model], names_of(model)

    def read(value: object) -> list[object]:
        rows = cast("list[JSON]", value) if value.__class__ is list else readings.items(value, names)
        return [hook(row) for row in rows]

    return read


def names_of(model: type) -> frozenset[str]:
    """Return the names of a model's fields."""
    return frozenset(field.name for field in attrs.fields(model))


def _by_name(hook: Callable[[object], object]) -> Callable[[object], object]:
    """Let a tag be its name alone."""
    return lambda value: hook({"name": value} if isinstance(value, str) else value)


def _make_hook(model: type) -> Callable[[object], object]:
    """Generate the function that turns a dict into this model.

    It is one pass over local names: a loop over fields costs several times as much. It picks all values at once (null
    for a missing field), checks the classes of all values of a kind in one chain, looks codes up, and sets the slots
    without a call of `__init__`. Where a chain does not hold, each value of a wrong class goes to its tolerant reader.
    """
    fields = attrs.fields(model)
    picked = ", ".join(f"v{index}" for index in range(len(fields)))
    names: dict[str, object] = {
        "misfit": readings.misfit,
        "new": object.__new__,
        "model": model,
        "pick": itemgetter(*as_orjson_keeps(field.name for field in fields)),
        "blank": {field.name: None for field in fields},
    }
    lines = [
        "if value.__class__ is not dict: raise misfit('an object', value)",
        f"try: {picked} = pick(value)",
        f"except KeyError: {picked} = pick(blank | value)",
    ]
    chains: dict[str, list[int]] = {"int": [], "str": [], "bool": []}
    quick, careful = _field_lines(model, names, chains)
    conditions = [
        f"{' is '.join(f'v{index}.__class__' for index in members)} is {kind}"
        for kind, members in chains.items()
        if members
    ]
    conditions += [f"v{index} < {SECONDS_END}" for index, field in enumerate(fields) if field.name.endswith("_time")]
    joined = "\n    and ".join(conditions) or "True"
    lines += [f"if ({joined}):", *(f" {line}" for line in quick or ["pass"])]
    lines += ["else:", *(f" {line}" for line in careful or ["pass"])]
    # A frozen class refuses plain assignment, and is rarely read.
    frozen = model in (Attachment, CustomerInfo)
    lines += [f"return model({picked})"] if frozen else ["made = new(model)"]
    lines += [] if frozen else [*(f"made.{field.name} = v{i}" for i, field in enumerate(fields)), "return made"]
    SOURCES[model] = "\n ".join(["def structure(value):", *lines])
    exec(SOURCES[model], names)  # noqa: S102 - the text is made of the names above
    return cast("Callable[[object], object]", names["structure"])


def _field_lines(model: type, names: dict[str, object], chains: dict[str, list[int]]) -> tuple[list[str], list[str]]:
    """Return the lines for the fields where all chains hold, and the lines where one does not.

    Puts each field into the chain of the class that it has on the wire, and its reader and its table into `names`.
    """
    hints = get_type_hints(model)
    readers = FIELDS[model] = {}
    quick, careful = [], []
    for index, field in enumerate(attrs.fields(model)):
        kind, v, read = hints[field.name], f"v{index}", f"read{index}(v{index})"
        names[f"read{index}"] = readers[field.name] = _reader(model, field, kind)
        wire = _WIRE_CLASSES.get((model, field.name), int if kind in _ENUMS else kind)
        if wire in (int, str, bool):
            chains[wire.__name__].append(index)
        if kind in (int, str, bool) and wire is kind:
            late = f" or {v} >= {SECONDS_END}" if field.name.endswith("_time") else ""
            careful.append(f"if {v}.__class__ is not {kind.__name__}{late}: {v} = {read}")
            continue
        careful.append(f"{v} = {read}")
        if kind in _ENUMS:
            names[f"table{index}"] = kind.readings()
            quick.append(f"{v} = table{index}.get({v}) or {read}")
        elif kind is bool:
            quick.append(f"{v} = {v} == 1 or {v} != 0 and {read}")
        else:
            quick.append(f"{v} = {read}")
    return quick, careful


def _reader_of_fields(model: type) -> Callable[[object], object]:
    """Return what makes this model for `from_dict`, and says where a value does not fit."""

    def read(value: object) -> object:
        try:
            return HOOKS[model](value)
        except Exception:  # noqa: BLE001 - whatever it was, what and where is found out below
            path, error = locate(model, value, "$") or ("$", MisfitError("a value", "one of another kind"))
        expected, got = error.args if isinstance(error, MisfitError) else ("a value", str(error))
        raise DecodeError(
            f"{model.__name__}: {path} is {got}, expected {expected}", path=path, expected=expected, got=got
        )

    return read


for _model in _MODELS:
    HOOKS[_model] = _by_name(_make_hook(_model)) if _model is Tag else _make_hook(_model)
    READERS[_model] = _reader_of_fields(_model)


def locate(model: type, value: object, path: str) -> tuple[str, Exception] | None:
    """Return the JSON path of the first value that does not fit this model, and why; None where all do."""
    try:
        HOOKS[model](value)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is told
        if not isinstance(value, dict):
            return path, error
        found = (_locate_in(model, name, value.get(name), f"{path}.{name}") for name in FIELDS[model])
        return next(filter(None, found), (path, error))
    return None


def _locate_in(model: type, name: str, value: object, path: str) -> tuple[str, Exception] | None:
    """Do the same for one field, and for the models inside it."""
    try:
        FIELDS[model][name](value)
    except Exception as error:  # noqa: BLE001 - the same
        kind, place = _INNER.get((model, name)), (path, error)
        if kind is None:
            return place
        if get_origin(kind) is not list:
            return locate(cast("type", kind), value, path)
        inner: type = get_args(kind)[0]
        try:
            rows = readings.items(value, names_of(inner))
        except MisfitError:
            return place
        found = (locate(inner, row, f"{path}[{index}]") for index, row in enumerate(rows))
        return next(filter(None, found), place)
    return None
