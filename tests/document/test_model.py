import dataclasses
import json
import pickle
import pprint
from decimal import Decimal
from typing import Any, get_args

import attrs
import orjson
import pytest
from hypothesis import given, strategies as st

from tests.support.export_rows import cells, full_ticket, hostile_tickets, tickets
from tests.support.rows import each
from tests.support.samples import CLOSE
from tests.support.slow import slow_after
from workorder_async.document import (
    Attachment,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    CustomerInfo,
    FormFieldType,
    Mutation,
    OpenEnum,
    Pagination,
    Priority,
    RejectTicket,
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
from workorder_async.document.decoding import SECONDS_BEGIN, SECONDS_END
from workorder_async.document.fields import fields_of
from workorder_async.document.model import Model
from workorder_async.errors import ConfigError, DecodeError

ANSWERS: list[type[Model]] = [
    *(Pagination, TicketPage, TicketSummary, Ticket, TicketDetail, TicketAssign, TicketFlowHistory),
    *(TicketFormField, Tag, Attachment, CustomerInfo),
]
CREATE = CreateTicket(
    title="云主机无法登录",
    detail="重启后 SSH 超时",
    reported_time=1632742020,
    type=TicketType.TROUBLESHOOTING,
    priority=Priority(9),
    customer_organization_id=1,
    customer_organization_name="示例科技有限公司",
    repository_product_id=36,
    creator_id=38361,
    creator_name="李示例",
    tags=(3, 4),
    customer_info=(CustomerInfo(user_id=2000100), CustomerInfo(user_id=2000101, level=3)),
    attachment=(Attachment("a.png", "workorder/1/a", 7, "image/png", 40084),),
    need_process=False,
)
SENT: list[Model] = [
    CREATE,
    CLOSE,
    CommentTicket(id=1473, detail="已联系客户", productGroupId=36),
    RejectTicket(id=1473),
    TicketQuery(),
    TicketQuery(status=TicketStatus(9), type="咨询", created_start=0, product_group_id=(1, 2)),
]


def plain(value: object) -> bool:
    """Tell whether `json` reads back what it writes of this."""
    return bool(json.loads(json.dumps(value)) == value)


def values_of(kind: object, name: str) -> st.SearchStrategy[Any]:
    """Return what a field may hold."""
    if isinstance(kind, type) and issubclass(kind, OpenEnum):
        names = st.sampled_from(["搁置", "x y", "-"])
        return st.sampled_from(list(kind)) | (st.integers(-(2**63), 2**63 - 1) | names).map(kind)
    if isinstance(kind, type) and issubclass(kind, Model):
        return built(kind)
    if kind is int:
        least, end = (SECONDS_BEGIN, SECONDS_END) if name.endswith("_time") else (-(2**63), 2**63)
        return st.integers(least, end - 1)
    if kind in (str, bool):
        return st.from_type(kind)
    return st.dictionaries(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists), max_size=3)


def built(model: type[Model]) -> st.SearchStrategy[Any]:
    """Return models with anything in their fields."""
    parts = {}
    for name, field in fields_of(model).items():
        part = values_of(field.kind, name) if field.least is None else st.integers(field.least, 2**63 - 1)
        parts[name] = st.lists(part, max_size=2) if field.is_list else part
    return st.builds(model, **parts)


@pytest.mark.parametrize("model", slow_after(2, ANSWERS))
@given(data=st.data())
def test_round_trip_of_answers(model: type[Model], data: st.DataObject) -> None:
    """An answer becomes plain values and its equal again, also by way of JSON."""
    value = data.draw(built(model))
    assert model.from_dict(value.to_dict()) == value
    assert model.from_dict(json.loads(value.to_json())) == value
    assert model.from_dict(json.loads(json.dumps(value.to_dict()))) == value


def test_json_can_be_written() -> None:
    """A title with half a pair is JSON, and is stored and printed like any other."""
    ticket = TicketSummary(1, title="\ud800")
    assert TicketSummary.from_dict(json.loads(ticket.to_json().encode())) == ticket


@pytest.mark.parametrize("value", SENT, ids=lambda value: type(value).__name__)
def test_round_trip_of_what_is_sent(value: Model) -> None:
    """A mutation or a query becomes plain values and its equal again, and goes through `pickle` as before."""
    assert plain(value.to_dict())
    assert type(value).from_dict(value.to_dict()) == value
    assert type(value).from_dict(json.loads(value.to_json())) == value
    assert pickle.loads(pickle.dumps(value)) == value


def test_every_mutation_is_among_them() -> None:
    """No mutation is left out."""
    assert {type(value) for value in SENT} >= set(get_args(Mutation))


def test_names_of_exports() -> None:
    """A row as plain values is what the columns of an export say, hostile texts and odd codes included."""
    for ticket in [*tickets(50), *hostile_tickets()]:
        assert ticket.to_dict() == cells(ticket)
        assert list(ticket.to_dict()) == list(cells(ticket))


def test_what_stands_beside() -> None:
    """A name stands beside each code, and an ISO time beside the seconds, also in inner models."""
    share = TicketAssign(id=7, history=[TicketFlowHistory(created_time=1)])
    form = TicketFormField(type=FormFieldType.TEXT)
    made = TicketDetail(id=1, status=TicketStatus("搁置"), created_time=1636600271, assigns=[share], form_define=[form])
    found: Any = made.to_dict()
    assert (found["status"], found["status_name"], found["type"], found["type_name"]) == (None, "搁置", 0, None)
    assert (found["created_time"], found["created_at"]) == (1636600271, "2021-11-11T11:11:11+08:00")
    assert (found["closed_time"], found["closed_at"]) == (0, None)
    assert found["assigns"][0]["history"][0]["created_at"] == "1970-01-01T08:00:01+08:00"
    assert (found["form_define"][0]["type"], found["form_define"][0]["type_name"]) == (1, "文本框")
    sent: Any = CREATE.to_dict()
    assert (sent["reported_at"], sent["type_name"], sent["priority"]) == ("2021-09-27T19:27:00+08:00", "问题排查", 9)
    assert (sent["tags"], sent["customer_info"][1]["level"], sent["sub_type"]) == ([3, 4], 3, None)


def test_nothing_is_shared() -> None:
    """Who changes the plain values does not change the model."""
    made = full_ticket()
    found: Any = made.to_dict()
    found["form_values"]["数量"].append(4)
    found["tags"].clear()
    assert made == full_ticket()


def test_one_line_for_json() -> None:
    """`json.dumps` and orjson take lists of models with one word."""
    rows = [TicketSummary(id=1), TicketPage(tickets=[TicketSummary(id=2)])]
    assert [row.get("id") for row in json.loads(json.dumps(rows, default=TicketSummary.to_dict))] == [1, None]
    assert orjson.loads(orjson.dumps(rows, default=TicketSummary.to_dict))[1]["tickets"][0]["id"] == 2


def test_code_before_name() -> None:
    """Where both are there the code counts, and the name where it is alone; spellings are those of the wire."""
    assert TicketSummary.from_dict({"id": 1, "status": 3, "status_name": "待处理"}).status is TicketStatus.CLOSED
    assert TicketSummary.from_dict({"id": "1", "status_name": "待处理"}).status is TicketStatus.PENDING
    assert TicketQuery.from_dict({"status": None, "status_name": "closed"}).status is TicketStatus.CLOSED


MISFITS: list[tuple[type[Model], Any, type[Exception], str]] = [
    (TicketSummary, {}, DecodeError, r"TicketSummary: \$\.id is missing or null, expected a value"),
    (TicketDetail, {"id": 1, "assigns": [{"status": []}]}, DecodeError, r"\$\.assigns\[0\]\.status is a list"),
    (TicketDetail, {"id": 1, "assigns": [7]}, DecodeError, r"\$\.assigns\[0\] is a number, expected an object"),
    (TicketPage, {"pagination": 7}, DecodeError, r"\$\.pagination is a number"),
    (TicketSummary, [1], ConfigError, "TicketSummary.from_dict takes an object with names, not a list"),
    (CloseTicket, {"id": 1, "closer_id": 2}, ConfigError, "CloseTicket needs closer_name, solved_time"),
    (
        CloseTicket,
        CLOSE.to_dict() | {"id": "1473"},
        ConfigError,
        "CloseTicket.id is str .1473.; it must be a whole number",
    ),
    (CloseTicket, CLOSE.to_dict() | {"": 1}, ConfigError, "CloseTicket has no field ''; it has id, closer_id"),
    # So `csv.DictReader` calls what stands behind the last column.
    (CloseTicket, CLOSE.to_dict() | {None: ["x"]}, ConfigError, "CloseTicket has no field None; it has id, closer_id"),
    (CloseTicket, CLOSE.to_dict() | {"closer": 1}, ConfigError, "has no field 'closer'; did you mean closer_id or"),
    (CloseTicket, CLOSE.to_dict() | {"handle_attachment": [7]}, DecodeError, r"Attachment: \$ is a number"),
    (CloseTicket, CLOSE.to_dict() | {"handle_attachment": 7}, ConfigError, "must be a list of Attachment, not int 7"),
    (TicketQuery, {"status": "nonsense"}, ConfigError, "TicketQuery.status cannot be str 'nonsense'"),
]


@each(("model", "value", "kind", "words"), MISFITS)
def test_what_does_not_fit(model: type[Model], value: Any, kind: type[Exception], words: str) -> None:
    """What does not fit is refused in words that name the place."""
    with pytest.raises(kind, match=words):
        model.from_dict(value)


@each(
    ("make", "words"),
    [
        (lambda: TicketQuery(statu=1), r"TicketQuery has no field 'statu'; did you mean status\?"),  # type: ignore[call-arg]
        (lambda: CloseTicket(idd=1), r"CloseTicket has no field 'idd'; did you mean id\?"),  # type: ignore[call-arg]
        (lambda: Pagination(zzz=1), "Pagination has no field 'zzz'; it has page_size, total"),  # type: ignore[call-arg]
    ],
)
def test_misspelt_field(make: Any, words: str) -> None:
    """A field that does not exist is a TypeError, as for any function, and what comes near it is named."""
    with pytest.raises(TypeError, match=words):
        make()


def test_pydantic() -> None:
    """A model is a type of pydantic's as it is, as FastAPI needs it: read, written, described, refused."""
    pydantic = pytest.importorskip("pydantic")
    made = [full_ticket()]
    adapter: Any = pydantic.TypeAdapter(list[TicketDetail])
    assert adapter.validate_python(made) == made
    assert adapter.validate_python([made[0].to_dict()]) == made
    assert adapter.validate_json(adapter.dump_json(tickets_without_surrogates())) == tickets_without_surrogates()
    for mode in ("validation", "serialization"):
        schema = adapter.json_schema(mode=mode)
        assert schema["items"] == {"$ref": "#/$defs/TicketDetail"}
        assert schema["$defs"]["TicketDetail"]["type"] == "object"
    wrongs: tuple[Any, ...] = ([{"id": []}], [7], [{}])
    for wrong in wrongs:
        with pytest.raises(pydantic.ValidationError, match=r"TicketDetail"):
            adapter.validate_python(wrong)
    # Half a surrogate pair, as a Java server may leave of an emoji, costs that character, and not the whole answer.
    cut = TicketDetail(id=1, title="x\ud83d", form_values={"a": ["\ude00", None]})
    (read,) = adapter.validate_json(adapter.dump_json([cut]))
    assert (read.title, read.form_values) == ("x\ufffd", {"a": ["\ufffd", None]})
    assert adapter.validate_python(adapter.dump_python([cut])) == [cut]
    closing: Any = pydantic.create_model("Closing", close=(CloseTicket, ...), query=(TicketQuery | None, ...))
    asked = closing(close=CLOSE.to_dict(), query={"status": 3})
    assert (asked.close, asked.query) == (CLOSE, TicketQuery(status=3))
    assert closing.model_validate_json(asked.model_dump_json()) == asked


def test_json_schema() -> None:
    """The schema for pydantic has the fields with their sentences: those that are read, or those that are written."""
    pydantic = pytest.importorskip("pydantic")
    sent = pydantic.TypeAdapter(CommentTicket).json_schema()
    assert (sent["title"], sent["required"]) == ("CommentTicket", ["id", "detail"])
    assert sent["properties"]["id"] == {"type": "integer", "description": "The ticket (工单ID)."}
    assert sent["properties"]["productGroupId"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    asked = pydantic.TypeAdapter(TicketQuery).json_schema()
    assert [one["type"] for one in asked["properties"]["status"]["anyOf"]] == ["integer", "string", "null"]
    adapter = pydantic.TypeAdapter(TicketDetail)
    written = adapter.json_schema(mode="serialization")["properties"]
    assert list(written) == list(full_ticket().to_dict())
    assert [one["type"] for one in written["status"]["anyOf"]] == ["integer", "null"]
    assert '"type": [' not in json.dumps([sent, asked, written])  # OpenAPI before 3.1 has no lists of types
    assert written["assigns"]["items"]["properties"]["history"]["items"]["title"] == "TicketFlowHistory"
    assert "created_at" not in adapter.json_schema()["properties"]


@pytest.mark.parametrize("value", [full_ticket(), *SENT], ids=lambda value: type(value).__name__)
def test_fields_of_dataclasses(value: Any) -> None:
    """What knows dataclasses and no attrs knows the fields of a model, with what they are when they are left out."""
    made, known = dataclasses.fields(value), attrs.fields(type(value))
    assert [(field.name, field.type, field.kw_only) for field in made] == [
        (field.name, field.type, field.kw_only) for field in known
    ]
    required = [field.name for field in known if field.default is attrs.NOTHING]
    assert [
        field.name
        for field in made
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ] == required
    given = {
        field.name: field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        for field in made
        if field.name not in required
    }
    assert given == {
        field.name: getattr(field.default, "factory", lambda field=field: field.default)()
        for field in known
        if field.name not in required
    }
    assert all(dataclasses.asdict(value)[name] == part for name, part in attrs.asdict(value).items() if name != "tags")
    assert dataclasses.replace(value) == value
    assert attrs.has(type(value))
    assert pprint.pformat(value) == repr(value)


def test_no_fields_without_a_table() -> None:
    """The base of all models has no fields, and is no dataclass."""
    assert not dataclasses.is_dataclass(Model)


def test_pydantic_writes_it_anywhere() -> None:
    """Where a model stands in a field of any type its fields are written, not an empty object."""
    pydantic = pytest.importorskip("pydantic")
    written = json.loads(
        pydantic.TypeAdapter(Any).dump_json({"ticket": TicketSummary(id=7, title="甲", status=TicketStatus.CLOSED)})
    )
    assert (written["ticket"]["id"], written["ticket"]["title"], written["ticket"]["status"]) == (7, "甲", 3)


BODIES: list[tuple[Any, list[str]]] = [
    (CloseTicket, ["CloseTicket"]),
    (CreateTicket | None, ["CreateTicket"]),
    (list[CommentTicket], ["CommentTicket"]),
    (CommentTicket | CloseTicket, ["CloseTicket", "CommentTicket"]),
    (TicketQuery, ["TicketQuery"]),
    (TicketDetail, ["TicketDetail"]),
]


@pytest.mark.parametrize(("kind", "names"), BODIES, ids=str)
def test_body_of_fastapi(kind: Any, names: list[str]) -> None:
    """FastAPI reads a model from the body as it stands, and describes it by its name; a text is of the query."""
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()

    def change(body: Any, reason: str) -> None: ...

    change.__annotations__["body"] = kind
    app.post("/change")(change)
    described = app.openapi()
    told = described["paths"]["/change"]["post"]
    assert [part["name"] for part in told["parameters"]] == ["reason"]
    assert "application/json" in told["requestBody"]["content"]
    others = {"HTTPValidationError", "ValidationError"}
    assert sorted(described["components"]["schemas"].keys() - others) == names
    assert all(described["components"]["schemas"][name]["properties"] for name in names)


class _Whole(int):
    """A whole number as PyMongo and tomlkit return it."""


def test_whole_numbers_of_another_class() -> None:
    """They become ints at once."""
    value = {"id": _Whole(7), "created_time": _Whole(1_700_000_000), "status": _Whole(3), "title": _Whole(5)}
    ticket = TicketSummary.from_dict(value)
    assert ticket == TicketSummary(id=7, created_time=1_700_000_000, status=TicketStatus.CLOSED, title="5")
    assert (type(ticket.id), type(ticket.created_time)) == (int, int)
    for name in ("id", "created_time"):
        with pytest.raises(DecodeError, match=rf"\$\.{name} is a number that is too large"):
            TicketSummary.from_dict({"id": 7, name: _Whole(2**63)})


@pytest.mark.parametrize("title", [Decimal(1), b"x", {1, 2}], ids=str)
def test_a_text_that_json_cannot_write(title: Any) -> None:
    """The error names its field and class."""
    with pytest.raises(DecodeError, match=rf"\$\.title is a {type(title).__name__}, expected a string"):
        TicketSummary.from_dict({"id": 7, "title": title})


def tickets_without_surrogates() -> list[TicketDetail]:
    """Return full records that have UTF-8 bytes."""
    return [TicketDetail(id=1, title="测试", form_values={"a": [1, None]}), TicketDetail(id=2, tags=[Tag(1, "甲")])]
