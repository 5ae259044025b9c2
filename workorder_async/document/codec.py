"""Between answers and models: answers become models, and models become the JSON of the wire.

`decoding.py` has the rules by which a JSON value becomes a model.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final, TypeAlias, TypeVar, cast, get_args

from attrs import asdict
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from workorder_async.document import Attachment, Mutation, PageRequest, Pagination, TicketPage, TicketSummary
from workorder_async.document.decoding import MisfitError, decode_error, decoder_of, is_absent, items, misfit
from workorder_async.document.envelope import Answer
from workorder_async.document.fields import fields_of
from workorder_async.document.json_text import JSON, as_orjson_keeps, dumps
from workorder_async.document.model import Model
from workorder_async.document.requests import Request
from workorder_async.errors import DecodeError
from workorder_async.walk_report import SkippedRow

T = TypeVar("T")
Row: TypeAlias = dict[str, JSON]
"""One row of `list_tickets` as it came."""

_ROW: Final = decoder_of(TicketSummary)
_id_of: Final = itemgetter(*as_orjson_keeps(["id"]))


def make_converter() -> Converter:
    """Make a cattrs converter with the rules of this folder, for use on its own or as part of a larger one.

    The converter structures the models of answers from JSON values, and unstructures every model to JSON values.
    Enumerations are written as codes. Of queries and mutations only the fields that were set are written.
    """
    converter = Converter(detailed_validation=False)

    def unstructuring(model: type) -> Callable[[object], object]:
        parts = override(unstruct_hook=_sent_parts, omit_if_default=True)
        overrides = {name: parts for name, field in fields_of(model).items() if field.is_model}
        make = cast("Any", make_dict_unstructure_fn)
        return cast("Callable[[object], object]", make(model, converter, _cattrs_omit_if_default=True, **overrides))

    converter.register_structure_hook_func(
        lambda kind: _is(kind, Model) and not _is(kind, Request), lambda value, kind: decoder_of(kind).hook(value)
    )
    converter.register_unstructure_hook_factory(lambda kind: _is(kind, Request), unstructuring)
    return converter


def _is(kind: object, family: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, family)


def _sent_parts(values: tuple[Any, ...]) -> list[dict[str, object]]:
    """Turn attachments or customers into JSON values: the fields that were set, without a customer's ticket_id."""
    return [
        {name: part for name, part in asdict(value).items() if part is not None and name != "ticket_id"}
        for value in values
    ]


_CONVERTER: Final = make_converter()


def decode(model: type[T], answer: Answer, name: str = "") -> T:
    """Turn an answer's data into a model.

    Raises `DecodeError` with the JSON path of the first value that does not fit and the answer's `request_id`; its
    message begins with `name`.
    """
    try:
        return cast("T", decoder_of(model).read(answer.data, "$.data", name))
    except DecodeError as error:
        raise answer.told_in(error) from None


def decode_page(answer: Answer, page: int = 1) -> TicketPage:
    """Turn an answer of `list_tickets` into a model; `page` is the number asked for. Raises `DecodeError`."""
    pagination, rows, _ = read_rows(answer, page=page)
    return TicketPage(pagination, decode_rows(rows, answer, page=page))


def read_rows(
    answer: Answer, skipped: list[SkippedRow] | None = None, *, page: int = 1
) -> tuple[Pagination, list[Row], list[int]]:
    """Return the pagination of a `list_tickets` answer, its rows as they came, and their ids.

    Walks and raw exports need no more of a row. A row whose id cannot be read is left out and noted in `skipped`; if
    that is None, it raises `DecodeError`, which names the `page`. An answer that is no page always raises it. Where no
    rows are due, `tickets` may be null or missing, as many servers write an empty list.
    """
    data = answer.data if isinstance(answer.data, dict) else {}
    try:
        pagination = cast("Pagination", decoder_of(TicketPage).readers["pagination"](data.get("pagination")))
        has_none = data.get("tickets") is None and pagination.total <= (page - 1) * pagination.page_size
        rows = [] if has_none else _rows_in(answer.data)
    except MisfitError:
        decode(TicketPage, answer)  # raises the error with its path
        raise
    ids = _plain_ids(rows)
    if ids is not None:
        return pagination, rows, ids
    kept, ids = [], []
    for index, row in enumerate(rows):
        try:
            ids.append(_id_in(row))
            kept.append(row)
        except MisfitError as error:
            _skip(answer, page, None, (index, error), skipped)
    return pagination, kept, ids


def _rows_in(data: JSON) -> list[Row]:
    """Return the rows of a page's data; their fields are not checked."""
    rows = data.get("tickets") if isinstance(data, dict) else None
    return cast("list[Row]", rows if rows.__class__ is list else items(rows, _ROW.readers.keys()))


def _plain_ids(rows: list[Row]) -> list[int] | None:
    """Return the ids of rows; None if one is missing, is not written as a whole number, or can be no id."""
    try:
        ids = list(map(_id_of, rows))
    except (KeyError, TypeError):
        return None
    return ids if set(map(type, ids)) <= {int} and 0 < min(ids, default=1) <= max(ids, default=1) < 2**63 else None


def _id_in(row: object) -> int:
    """Read the id of a row or of an answer. Raises `MisfitError`."""
    if not isinstance(row, dict):
        raise misfit("an object", row)
    return cast("int", _ROW.readers["id"](row.get("id")))


def number_in(row: Row, name: str) -> int | None:
    """Return the number in a field of a row, of a time its seconds; None if it cannot be read."""
    try:
        return cast("int", _ROW.readers[name](row.get(name)))
    except MisfitError:
        return None


def decode_rows(
    rows: list[Row], answer: Answer, skipped: list[SkippedRow] | None = None, *, page: int = 1
) -> list[TicketSummary]:
    """Turn rows of an answer, as `read_rows` gave them, into models.

    A row that does not fit is left out and noted in `skipped`; if that is None, it raises `DecodeError`.
    """
    try:
        return cast("list[TicketSummary]", _ROW.hooks(rows))
    except Exception:  # noqa: BLE001 - of any kind: each row is tried below
        places = {id(row): index for index, row in enumerate(_rows_in(answer.data))}
    tickets = []
    for position, row in enumerate(rows):
        try:
            tickets.append(cast("TicketSummary", _ROW.hook(row)))
        except Exception as error:  # noqa: BLE001 - the same
            _skip(answer, page, number_in(row, "id"), (places.get(id(row), position), error), skipped)
    return tickets


def read_row(row: Row) -> TicketSummary:
    """Turn one row, as `read_rows` gave it, into a model. Raises `DecodeError`."""
    return cast("TicketSummary", _ROW.read(row))


def _skip(
    answer: Answer, page: int, ticket: int | None, wrong: tuple[int, Exception], skipped: list[SkippedRow] | None
) -> None:
    """Note a row that does not fit, by its index and error; without a list for that, raise its error."""
    name = f"page {page}: " if ticket is None else f"ticket {ticket} on page {page}: "
    index, error = wrong
    failure = answer.told_in(decode_error(f"$.data.tickets[{index}]", error, name=name))
    if skipped is None:
        raise failure from None
    skipped.append(SkippedRow(ticket, failure.path, failure.expected, failure.got))


def decode_uploaded(answer: Answer) -> Attachment:
    """Return the file that `upload_file` answered. Without a part that a ticket needs of it, raises `DecodeError`."""
    uploaded = decode(Attachment, answer)
    for name in ("file_name", "file_path", "file_size", "file_type"):
        if isinstance(answer.data, dict) and is_absent(answer.data.get(name)):
            raise answer.told_in(decode_error(f"$.data.{name}", MisfitError("a value", "missing, null or empty")))
    return uploaded


def decode_created(answer: Answer) -> int:
    """Return the id that `create` answered. Without one it raises `DecodeError`, though the ticket was created."""
    try:
        return _id_in(answer.data)
    except MisfitError as error:
        said = "the ticket was created, but $.data.id is no ticket number: its id is not known; do not create it again"
        what = MisfitError("a ticket's number", error.args[1])
        raise answer.told_in(decode_error("$.data.id", what, said)) from None


def decode_mutation(kind: str, value: JSON) -> Mutation:
    """Read a mutation that `encode` wrote; `kind` is its class's name. Raises `ConfigError` if it cannot be sent."""
    kinds = {mutation.__name__: mutation for mutation in get_args(Mutation)}
    return cast("Mutation", _CONVERTER.structure(value, kinds[kind]))


def encode(value: object) -> JSON:
    """Turn any model into the JSON value that the wire would carry; a `TicketSummary` reads back as its equal."""
    return cast("JSON", _CONVERTER.unstructure(value))


def encode_page_request(request: PageRequest) -> bytes:
    """Return the body of `list_tickets`: the filters that were set, and the page."""
    return dumps(_CONVERTER.unstructure(request.query) | {"page": request.page, "page_size": request.page_size})
