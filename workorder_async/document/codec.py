"""Between JSON values and models: cattrs converters over generated hooks, and what is wrong where a value does not fit.

Null and a missing field are the field's default. For anything but text, so are "", blanks and "null". Unknown fields
are ignored. Otherwise a field holds what is plainly meant (`document/readings.py`):

    a field of the kind    reads                                               and holds
    whole number           7  7.0  "7"  " 7 "  "7.0"  "7e0"                    7
    time (`*_time`)        1636600271  1636600271000  "1636600271.9"           1636600271
                           "2021-11-11 11:11:11", with / or 年, T, fraction,   1636600271 (without a zone
                           zone; the date alone; [2021, 11, 11, 11, 11, 11]    it is China Standard Time)
    boolean                true  1  1.0  "1"  yes  y  是, in any case          True, and so for False
    code                   2  2.0  "2"  "2.0"  "处理中"  "processing"          PROCESSING
    text                   7  7.0  true  [1]  {"a": 1}                         "7"  "7"  "true"  '[1]'  '{"a":1}'
    list of objects        "[...]"  one object  {}                             a list, of one, of none
    `tags` of a detail     ["网络"]                                            [Tag(name="网络")]
    object                 "{...}"  []                                         a dict, {}

Anything else is refused with its JSON path, and so is JSON of more than 64 levels.

Each model has one generated hook (`document/structuring.py`). It checks the exact classes of all values at once. Where
they are right, the values are taken as they are. Where they are not, each wrong value goes to the reader of its field.
This is the hook of `Tag`:

    def structure(value):
     if value.__class__ is not dict: raise misfit('an object', value)
     try: v0, v1, v2, v3, v4, v5 = pick(value)
     except KeyError: v0, v1, v2, v3, v4, v5 = pick(blank | value)
     if (v0.__class__ is v4.__class__ is v5.__class__ is int
        and v1.__class__ is str
        and v2.__class__ is v3.__class__ is bool
        and v4 < 253402387200
        and v5 < 253402387200):
      pass
     else:
      if v0.__class__ is not int: v0 = read0(v0)
      if v1.__class__ is not str: v1 = read1(v1)
      if v2.__class__ is not bool: v2 = read2(v2)
      if v3.__class__ is not bool: v3 = read3(v3)
      if v4.__class__ is not int or v4 >= 253402387200: v4 = read4(v4)
      if v5.__class__ is not int or v5 >= 253402387200: v5 = read5(v5)
     made = new(model)
     made.id = v0
     made.name = v1
     made.is_enabled = v2
     made.is_deleted = v3
     made.created_time = v4
     made.updated_time = v5
     return made

`pick` takes the values of all fields out of an object, and `blank` has a null for each field. `new` makes an instance
without a call of `__init__`. 253402387200 is the first second after the year 9999: a larger number is milliseconds.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final, TypeAlias, TypeVar, cast, get_args

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from workorder_async.document import (
    JSON,
    Attachment,
    CustomerInfo,
    Mutation,
    PageRequest,
    Pagination,
    TicketPage,
    TicketQuery,
    TicketSummary,
    readings,
)
from workorder_async.document.envelope import Answer
from workorder_async.document.json_text import as_orjson_keeps, dumps
from workorder_async.document.readings import MisfitError
from workorder_async.document.structuring import FIELDS, HOOKS, locate, names_of
from workorder_async.errors import DecodeError
from workorder_async.walk_report import SkippedRow

T = TypeVar("T")
Row: TypeAlias = dict[str, JSON]
"""One row of `list_tickets` as it came."""

_id_of: Final = itemgetter(*as_orjson_keeps(["id"]))


def make_converter() -> Converter:
    """Make a cattrs converter with this module's rules, for use on its own or as part of a larger one.

    It structures the models of answers from JSON values, and unstructures every model to JSON values. Enumerations are
    written as codes. Of queries and mutations, only what was set is written.
    """
    converter = Converter(detailed_validation=False)
    for model, hook in HOOKS.items():
        converter.register_structure_hook(model, _ignoring_type(hook))
    _register_sent(converter)
    return converter


def _ignoring_type(read: Callable[[object], object]) -> Callable[[object, object], object]:
    """Return a hook as cattrs calls it: with the type as well."""
    return lambda value, _: read(value)


def _register_sent(converter: Converter) -> None:
    """Let a converter write queries and mutations as what was set in them."""
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


_CONVERTER: Final = make_converter()


def decode(model: type[T], answer: Answer) -> T:
    """Turn an answer's data into a model.

    Raises `DecodeError` with the JSON path of the first value that does not fit and the answer's `request_id`.
    """
    try:
        return cast("T", HOOKS[model](answer.data))
    except Exception:  # noqa: BLE001 - whatever it was, what and where is found out below
        raise _explain(model, answer) from None


def read_rows(answer: Answer, skipped: list[SkippedRow] | None = None) -> tuple[Pagination, list[Row], list[int]]:
    """Return the pagination of a `list_tickets` answer, its rows as they came, and their ids.

    Walks and raw exports need no more of a row. A row whose id cannot be read is left out and noted in `skipped`.
    Without that list it raises `DecodeError`. An answer that is no page at all always does.
    """
    try:
        data = answer.data
        if not isinstance(data, dict):
            raise readings.misfit("an object", data)
        rows = _rows_in(data)
        pagination = cast("Pagination", FIELDS[TicketPage]["pagination"](data.get("pagination")))
    except Exception:  # noqa: BLE001 - as in decode
        raise _explain(TicketPage, answer) from None
    ids = _plain_ids(rows)
    if ids is not None:
        return pagination, rows, ids
    kept, ids = [], []
    for index, row in enumerate(rows):
        try:
            ids.append(_id_in(row))
            kept.append(row)
        except MisfitError as error:
            path = f"$.data.tickets[{index}]" + (".id" if isinstance(row, dict) else "")
            _skip(answer, skipped, None, path, error)
    return pagination, kept, ids


def _rows_in(data: JSON) -> list[Row]:
    """Return the rows of a page's data; what they hold is not looked at."""
    rows = data.get("tickets") if isinstance(data, dict) else None
    if rows.__class__ is not list:
        rows = [] if readings.is_absent(rows) else readings.items(rows, names_of(TicketSummary))
    return cast("list[Row]", rows)


def _plain_ids(rows: list[Row]) -> list[int] | None:
    """Return the ids of rows; None where one of them is missing or no whole number as such."""
    try:
        ids = list(map(_id_of, rows))
    except (KeyError, TypeError):
        return None
    return ids if set(map(type, ids)) <= {int} else None


def _id_in(row: object) -> int:
    """Read the id of a row or of an answer. Raises `MisfitError`."""
    if not isinstance(row, dict):
        raise readings.misfit("an object", row)
    return cast("int", FIELDS[TicketSummary]["id"](row.get("id")))


def _id_or_none(row: Row) -> int | None:
    """Read the id of a row; None where it has none."""
    try:
        return _id_in(row)
    except MisfitError:
        return None


def ids_of(rows: list[Row]) -> list[int]:
    """Return the ids of rows that `read_rows` gave."""
    return _plain_ids(rows) or list(map(_id_in, rows))


def created_time_of(row: Row) -> int | None:
    """Return the `created_time` of a row that `read_rows` gave, in seconds; None where it cannot be read."""
    value = row.get("created_time")
    try:
        return cast("int", FIELDS[TicketSummary]["created_time"](value))
    except MisfitError:
        return None


def decode_rows(rows: list[Row], answer: Answer, skipped: list[SkippedRow] | None = None) -> list[TicketSummary]:
    """Turn rows of an answer, as `read_rows` gave them, into models.

    A row that does not fit is left out and noted in `skipped`. Without that list it raises `DecodeError`.
    """
    hook = cast("Callable[[Row], TicketSummary]", HOOKS[TicketSummary])
    try:
        return [hook(row) for row in rows]
    except Exception:  # noqa: BLE001 - as in decode
        places = {id(row): index for index, row in enumerate(_rows_in(answer.data))}
    tickets = []
    for position, row in enumerate(rows):
        found = locate(TicketSummary, row, f"$.data.tickets[{places.get(id(row), position)}]")
        if found is None:
            tickets.append(hook(row))
        else:
            _skip(answer, skipped, _id_or_none(row), *found)
    return tickets


def _skip(answer: Answer, skipped: list[SkippedRow] | None, ticket: int | None, path: str, error: Exception) -> None:
    """Note a row that does not fit; without a list for that, raise `DecodeError`."""
    failure = _decode_error(answer, path, error)
    if skipped is None:
        raise failure from None
    skipped.append(SkippedRow(ticket, path, failure.expected, failure.got))


def _explain(model: type, answer: Answer) -> DecodeError:
    """Return the error for an answer that is known not to fit."""
    found = locate(model, answer.data, "$.data")
    assert found is not None  # noqa: S101 - it failed a moment ago, and nothing has changed since
    return _decode_error(answer, *found)


def _decode_error(answer: Answer, path: str, error: Exception, message: str = "") -> DecodeError:
    """Make the error for a value that does not fit at this path."""
    expected, got = error.args if isinstance(error, MisfitError) else ("a value", f"{type(error).__name__}: {error}")
    return DecodeError(
        message or f"{path} is {got}, expected {expected}",
        path=path,
        expected=expected,
        got=got,
        operation=answer.operation,
        request_id=answer.request_id,
        attempts=answer.attempts,
    )


def decode_created(answer: Answer) -> int:
    """Return the id that `create` answered. Without one it raises `DecodeError`, though the ticket was created."""
    try:
        return _id_in(answer.data)
    except MisfitError as error:
        raise _decode_error(
            answer,
            "$.data.id",
            MisfitError("a whole number", error.args[1]),
            "the ticket was created, but $.data.id is no whole number, so its id is not known; do not create it again",
        ) from None


def decode_mutation(kind: str, value: JSON) -> Mutation:
    """Read a mutation that `encode` wrote; `kind` is its class's name. Raises `ConfigError` for what cannot be sent."""
    kinds = {mutation.__name__: mutation for mutation in get_args(Mutation)}
    return cast("Mutation", _CONVERTER.structure(value, kinds[kind]))


def encode(value: object) -> JSON:
    """Turn any model into the JSON value that the wire would carry; a `TicketSummary` reads back as its equal."""
    return cast("JSON", _CONVERTER.unstructure(value))


def encode_page_request(request: PageRequest) -> bytes:
    """Return the body of `list_tickets`: the filters that were set, and the page."""
    return dumps(_CONVERTER.unstructure(request.query) | {"page": request.page, "page_size": request.page_size})
