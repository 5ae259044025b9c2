"""Between JSON values and models: the cattrs converters, fast first and detailed only to explain.

Reading is tolerant where the platform's three shapes of a ticket differ (a code as number or text, a boolean as
true/false, 0/1 or "0"/"1", a time as seconds or as a date-time string in China Standard Time), takes null and a missing
field for the field's default, ignores fields it does not know, and refuses everything else. Each model has one
generated hook that checks the exact classes of a value's fields and turns to their tolerant readers where that fails;
data that no reader takes is structured once more by a detailed converter, which tells where the misfit stands.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, TypeAlias, TypeVar, cast, get_args, get_origin, get_type_hints

import attrs
import orjson
from cattrs import ClassValidationError, Converter, IterableValidationError
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from workorder_async.envelope import Answer
from workorder_async.errors import DecodeError
from workorder_async.models import (
    CHINA_STANDARD_TIME,
    JSON,
    AssignStatus,
    Attachment,
    CustomerInfo,
    FormFieldType,
    Mutation,
    OpenEnum,
    PageRequest,
    Pagination,
    Priority,
    Tag,
    Ticket,
    TicketAssign,
    TicketDetail,
    TicketFlowHistory,
    TicketFormField,
    TicketPage,
    TicketQuery,
    TicketStatus,
    TicketSummary,
    TicketType,
)
from workorder_async.report import SkippedRow

T = TypeVar("T")
Row: TypeAlias = dict[str, JSON]
"""One row of `list_tickets` as it came."""


class _MisfitError(TypeError):
    """A value of the wrong kind; the detailed converter finds its place."""


_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", float: "a fraction", int: "a number"}


def _misfit(expected: str, value: object) -> _MisfitError:
    return _MisfitError(expected, _KINDS.get(type(value), "null"))


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _misfit("a whole number", value)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _misfit("a string", value)
    return value


_BOOLEANS: Final[Mapping[int | str, bool]] = {0: False, 1: True, "0": False, "1": True, "false": False, "true": True}


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | str) and value in _BOOLEANS:
        return _BOOLEANS[value]
    raise _misfit("true, false, 0 or 1", value)


def _time(value: object) -> int:
    if not isinstance(value, str):
        return _integer(value)
    text = value.strip()
    if not text or text.isdecimal():
        return int(text or 0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _MisfitError("seconds, or a date-time such as 2021-11-11 11:11:11", "text of another form") from None
    return int(moment.replace(tzinfo=moment.tzinfo or CHINA_STANDARD_TIME).timestamp() // 1)


def _code(kind: type[OpenEnum]) -> Callable[[object], OpenEnum]:
    make = cast("Callable[[object], OpenEnum]", kind)

    def read(value: object) -> OpenEnum:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise _misfit("a code or a name", value)
        return make(value or 0)

    return read


def _mapping(value: object) -> dict[str, JSON]:
    if not isinstance(value, dict):
        raise _misfit("an object", value)
    return value


_ENUMS: Final = (TicketStatus, TicketType, Priority, AssignStatus, FormFieldType)
_READERS: Final[Mapping[object, Callable[[object], object]]] = {
    int: _integer,
    str: _text,
    bool: _boolean,
    **{kind: _code(kind) for kind in _ENUMS},
}
#: Fields that the document types as seconds in one place and as a date-time string in another.
_TIMES: Final = {
    (TicketDetail, "created_time"),
    (TicketDetail, "reported_time"),
    (TicketFlowHistory, "created_time"),
}
#: Fields whose class on the wire is another than their kind suggests (codes are whole numbers, booleans booleans).
_WIRE_CLASSES: Final = {
    (TicketSummary, "status"): str,
    (TicketSummary, "priority"): str,
    (TicketSummary, "need_process"): int,
    (TicketFormField, "is_required"): int,
}
# Inner ones first: a model's hook takes in the hooks of the models it holds.
_MODELS: Final = (
    *(Pagination, TicketSummary, TicketPage, Ticket, Attachment, CustomerInfo, Tag, TicketFormField),
    *(TicketFlowHistory, TicketAssign, TicketDetail),
)


def _reader(model: type, name: str, kind: object) -> Callable[[object], object]:
    """Return what reads a field whose value is not of the exact class at first sight, or is null or missing."""
    if get_origin(kind) is not None and type(None) in get_args(kind):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if (model, name) in _TIMES:
        return _time
    if get_origin(kind) is dict:
        return _mapping
    if get_origin(kind) is list:
        return _list_of(_HOOKS[get_args(kind)[0]])
    return _READERS[kind] if kind in _READERS else _HOOKS[cast("type", kind)]


def _list_of(hook: Callable[[object], object]) -> Callable[[object], object]:
    def read(value: object) -> list[object]:
        if not isinstance(value, list):
            raise _misfit("a list", value)
        return [hook(item) for item in value]

    return read


_HOOKS: dict[type, Callable[[object], object]] = {}


def _as_orjson_keeps(names: Iterable[str]) -> list[str]:
    """Return names as the very strings that orjson uses for the keys of its dicts: equal ones are found more slowly."""
    return list(orjson.loads(orjson.dumps(dict.fromkeys(names))))


_id_of: Final = itemgetter(*_as_orjson_keeps(["id"]))


def _make_hook(model: type) -> Callable[[object], object]:
    """Generate the function that turns a dict into this model.

    One pass over local names, since a loop over fields costs several times as much: pick all values at once (a missing
    field is picked as null), check the classes of all values of a kind in one chain, look codes up, and set the slots
    without a call to `__init__`. A value of another class than its chain's goes to its tolerant reader.
    """
    fields = attrs.fields(model)
    picked = ", ".join(f"v{index}" for index in range(len(fields)))
    names: dict[str, object] = {
        "misfit": _misfit,
        "new": object.__new__,
        "model": model,
        "pick": itemgetter(*_as_orjson_keeps(field.name for field in fields)),
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
    lines += [f"if {' and '.join(conditions) or 'True'}:", *(f" {line}" for line in quick or ["pass"])]
    lines += ["else:", *(f" {line}" for line in careful or ["pass"])]
    # A frozen class refuses plain assignment, and is rarely read.
    frozen = model in (Attachment, CustomerInfo)
    lines += [f"return model({picked})"] if frozen else ["made = new(model)"]
    lines += [] if frozen else [*(f"made.{field.name} = v{i}" for i, field in enumerate(fields)), "return made"]
    exec("\n ".join(["def structure(value):", *lines]), names)  # noqa: S102 - the text is made of the names above
    return cast("Callable[[object], object]", names["structure"])


def _field_lines(model: type, names: dict[str, object], chains: dict[str, list[int]]) -> tuple[list[str], list[str]]:
    """Return what is left to do of each field once all chains hold, and what where one does not.

    Puts each field into the chain of the class that it has on the wire, and its reader and its table into `names`.
    """
    hints = get_type_hints(model)
    quick, careful = [], []
    for index, field in enumerate(attrs.fields(model)):
        kind, v, read = hints[field.name], f"v{index}", f"read{index}(v{index})"
        names[f"read{index}"] = _or_default(_reader(model, field.name, kind), field)
        wire = _WIRE_CLASSES.get((model, field.name), int if kind in _ENUMS else kind)
        if wire in (int, str, bool):
            chains[wire.__name__].append(index)
        if kind in (int, str, bool) and wire is kind:
            careful.append(f"if {v}.__class__ is not {kind.__name__}: {v} = {read}")
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


def _or_default(read: Callable[[object], object], field: "attrs.Attribute[object]") -> Callable[[object], object]:
    """Read null as the field's default, where it has one."""
    default = field.default
    if default is attrs.NOTHING:
        return read
    factory = cast("Callable[[], object]", getattr(default, "factory", lambda: default))
    return lambda value: factory() if value is None else read(value)


for _model in _MODELS:
    _HOOKS[_model] = _make_hook(_model)


def make_converter() -> Converter:
    """Make a cattrs converter with this module's rules, for use on its own or as part of a larger one.

    It structures the models of answers from JSON values, and unstructures every model to JSON values: enumerations as
    codes, and of what is sent only what was set.
    """
    converter = Converter(detailed_validation=False)
    for model, hook in _HOOKS.items():
        converter.register_structure_hook(model, _ignoring_type(hook))
    _register_sent(converter)
    return converter


def _ignoring_type(read: Callable[[object], object]) -> Callable[[object, object], object]:
    return lambda value, _: read(value)


def _register_sent(converter: Converter) -> None:
    parts = override(unstruct_hook=_sent_parts, omit_if_default=True)
    for model in (TicketQuery, *get_args(Mutation)):
        overrides = {
            field.name: parts
            for field in attrs.fields(model)
            if field.name in ("attachment", "handle_attachment", "customer_info")
        }
        unstructure = cast("Any", make_dict_unstructure_fn)(model, converter, _cattrs_omit_if_default=True, **overrides)
        converter.register_unstructure_hook(model, unstructure)


def _sent_parts(values: tuple[Attachment | CustomerInfo, ...]) -> list[dict[str, object]]:
    """Turn attachments or customers into what is sent of them: what was set, and no customer's ticket_id."""
    return [
        {name: part for name, part in attrs.asdict(value).items() if part is not None and name != "ticket_id"}
        for value in values
    ]


def _make_detailed() -> Converter:
    """Make the converter that explains: the same readers, put together by cattrs, which notes where each one stood."""
    converter = Converter()
    converter.register_structure_hook_factory(_is_list, _checked_list)
    for kind, read in _READERS.items():
        converter.register_structure_hook(cast("type", kind), _ignoring_type(read))
    for model in _MODELS:
        special: dict[str, Callable[[object], object]] = {"form_values": _mapping} if model is TicketDetail else {}
        special |= {name: _time for owner, name in _TIMES if owner is model}
        overrides = {name: override(struct_hook=_ignoring_type(read)) for name, read in special.items()}
        structure = cast("Any", make_dict_structure_fn)(model, converter, **overrides)
        converter.register_structure_hook(model, _without_nulls(structure))
    return converter


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is list


def _checked_list(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    structure = list_structure_factory(kind, converter)

    def hook(value: object, _: object) -> object:
        if not isinstance(value, list):
            raise _misfit("a list", value)
        return structure(value, kind)

    return hook


def _without_nulls(structure: Callable[[dict[str, JSON], type[T]], T]) -> Callable[[JSON, type[T]], T]:
    def hook(value: JSON, model: type[T]) -> T:
        if not isinstance(value, dict):
            raise _misfit("an object", value)
        return structure({name: part for name, part in value.items() if part is not None}, model)

    return hook


_CONVERTER: Final = make_converter()


def decode(model: type[T], answer: Answer) -> T:
    """Turn an answer's data into a model.

    Raises `DecodeError` with the JSON path of the first value that does not fit and the answer's `request_id`.
    """
    try:
        return cast("T", _HOOKS[model](answer.data))
    except Exception as error:  # noqa: BLE001 - whatever it was, the detailed converter tells what and where
        raise _explain(model, answer, error) from None


def read_rows(answer: Answer, skipped: list[SkippedRow] | None = None) -> tuple[Pagination, list[Row], list[int]]:
    """Return the pagination of a `list_tickets` answer, its rows as they came, and their ids.

    For walks and raw exports, which need no more of a row. Raises `DecodeError`; with a list given as `skipped`, rows
    without a readable id are put there instead, and left out.
    """
    try:
        data = _mapping(answer.data)
        rows = [] if data.get("tickets") is None else data["tickets"]
        pagination = {} if data.get("pagination") is None else data["pagination"]
        if not isinstance(rows, list):
            raise _misfit("a list", rows)
        if skipped is not None:
            rows = [row for index, row in enumerate(rows) if _has_id(row, index, skipped)]
        ids = ids_of(cast("list[Row]", rows))
        if not set(map(type, ids)) <= {int}:
            raise _misfit("a whole number", ids)
        return cast("Pagination", _HOOKS[Pagination](pagination)), cast("list[Row]", rows), ids
    except Exception as error:  # noqa: BLE001 - as in decode
        raise _explain(TicketPage, answer, error) from None


def _has_id(row: object, index: int, skipped: list[SkippedRow]) -> bool:
    id = row.get("id") if isinstance(row, dict) else None
    if isinstance(id, int) and not isinstance(id, bool):
        return True
    skipped.append(SkippedRow(None, f"$.data.tickets[{index}].id", "a whole number", _KINDS.get(type(id), "null")))
    return False


def ids_of(rows: list[Row]) -> list[int]:
    """Return the ids of rows that `read_rows` gave."""
    return list(map(_id_of, rows))


def decode_rows(rows: list[Row], answer: Answer, skipped: list[SkippedRow] | None = None) -> list[TicketSummary]:
    """Turn some of an answer's rows, as `read_rows` gave them, into models.

    Raises `DecodeError`, as `decode` does; with a list given as `skipped`, rows that do not fit are put there instead.
    """
    hook = cast("Callable[[Row], TicketSummary]", _HOOKS[TicketSummary])
    if skipped is not None:
        return _decode_each(rows, answer, skipped)
    try:
        return [hook(row) for row in rows]
    except Exception as error:  # noqa: BLE001 - as in decode
        raise _explain(TicketPage, answer, error) from None


def _decode_each(rows: list[Row], answer: Answer, skipped: list[SkippedRow]) -> list[TicketSummary]:
    tickets = []
    for row in rows:
        try:
            tickets += decode_rows([row], Answer({"tickets": [cast("JSON", row)]}))
        except DecodeError as error:
            skipped.append(SkippedRow(cast("int", row["id"]), error.path, error.expected, error.got))
    return tickets


def _explain(model: type, answer: Answer, error: Exception) -> DecodeError:
    path, cause = "$.data", error
    try:
        _make_detailed().structure(answer.data, model)
    except Exception as detailed:  # noqa: BLE001 - the same
        path, cause = _place(detailed, "$.data")
    if isinstance(cause, KeyError):
        expected, got = "a value", "missing or null"
    elif isinstance(cause, _MisfitError):
        expected, got = cause.args
    else:
        expected, got = model.__name__, f"{type(cause).__name__}: {cause}"
    return DecodeError(
        f"{path} is {got}, expected {expected}",
        path=path,
        expected=expected,
        got=got,
        operation=answer.operation,
        request_id=answer.request_id,
        attempts=answer.attempts,
    )


def _place(error: Exception, path: str) -> tuple[str, Exception]:
    """Follow cattrs' notes down to the first misfit and build its JSON path on the way."""
    if isinstance(error, ClassValidationError):
        inner, note = error.group_exceptions()[0][0]
        return _place(inner, path if note is None else f"{path}.{note.name}")
    if isinstance(error, IterableValidationError):
        inner, place = error.group_exceptions()[0][0]
        return _place(inner, f"{path}[{place.index}]")
    return path, error


def decode_created(answer: Answer) -> int:
    """Return the id that `create` answered. Raises `DecodeError` where there is none; the ticket was created then."""
    id = answer.data.get("id") if isinstance(answer.data, dict) else None
    if isinstance(id, bool) or not isinstance(id, int):
        raise DecodeError(
            "the ticket was created, but $.data.id is no whole number, so its id is not known; do not create it again",
            path="$.data.id",
            expected="a whole number",
            got=_KINDS.get(type(id), "null"),
            operation=answer.operation,
            request_id=answer.request_id,
            attempts=answer.attempts,
        )
    return id


def decode_mutation(kind: str, value: JSON) -> Mutation:
    """Read a mutation that `encode` wrote; `kind` is its class's name. Raises `ConfigError` for what cannot be sent."""
    kinds = {mutation.__name__: mutation for mutation in get_args(Mutation)}
    return cast("Mutation", _CONVERTER.structure(value, kinds[kind]))


def encode(value: object) -> JSON:
    """Turn any model into the JSON value that the wire would carry; a `TicketSummary` reads back as its equal."""
    return cast("JSON", _CONVERTER.unstructure(value))


def encode_page_request(request: PageRequest) -> bytes:
    """Return the body of `list_tickets`: the filters that were set, and the page."""
    return orjson.dumps(_CONVERTER.unstructure(request.query) | {"page": request.page, "page_size": request.page_size})


def to_json(value: JSON) -> bytes:
    """Write a JSON value on one line, without a line feed; a lone surrogate is escaped, since it has no UTF-8 bytes."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()
