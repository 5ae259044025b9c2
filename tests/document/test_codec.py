"""codec.py: what is read from JSON, how forgivingly, and what a misfit is called; what is written comes back."""

import json
from contextlib import suppress
from typing import Any, cast, get_args

import attrs
import orjson
import pytest
from cattrs import Converter
from hypothesis import given, strategies as st

from tests.support.rows import each
from tests.support.slow import slow_after
from workorder_async.document import (
    JSON,
    AssignStatus,
    Attachment,
    CustomerInfo,
    FormFieldType,
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
    codec,
)
from workorder_async.document.decoding import SECONDS_BEGIN, SECONDS_END, decoder_of
from workorder_async.document.envelope import Answer
from workorder_async.document.fields import fields_of
from workorder_async.document.json_text import to_json
from workorder_async.errors import DecodeError

MODELS = [
    *(Pagination, TicketSummary, TicketPage, Ticket, Attachment, CustomerInfo, Tag, TicketFormField),
    *(TicketFlowHistory, TicketAssign, TicketDetail),
]
# The document's example of detail, with a value of its type in every place.
DETAIL = """{
    "assigns": [{
        "created_time": 1, "finished_time": 2, "handled_time": 3,
        "history": [{
            "action": 4, "created_time": "2021-11-11 11:11:11", "creator_id": 5, "creator_name": "姜程",
            "creator_product_group_id": 6, "creator_user_group_id": 7, "detail": "转交", "id": 8
        }],
        "id": 9, "is_handler": true, "manager_name": "田金秀", "product_group_id": 10, "product_group_name": "云服务器",
        "status": 3, "ticket_id": 11, "updated_time": 12, "user_group_id": 13, "user_id": 14, "user_name": "王芳"
    }],
    "attachment": [{"author": 15, "file_name": "a.png", "file_path": "http://ks3/a", "file_size": 16,
        "file_type": "imag/png"}],
    "close_duration": 17, "closed_time": 18, "confirm_duration": 19, "created_duration": 20,
    "created_time": "2021-11-11 11:11:11", "creator_id": 21, "creator_name": "姜程",
    "customer_info": [{"attribute": 22, "business_director_id": 23, "business_director_name": "李娜", "level": 24,
        "ticket_id": 25, "user_id": 26}],
    "customer_organization_id": 27, "customer_organization_name": "某某公司", "detail": "详情", "feedback": "1",
    "feishu_group_id": "oc_1", "finished_time": 28,
    "form_define": [{"created_time": 29, "display_name": "实例", "display_order": 30, "display_remarks": "备注",
        "form_id": 31, "id": 32, "is_deleted": false, "is_required": 1, "options": "a;b", "type": 3,
        "updated_time": 33}],
    "form_id": 34, "form_values": {"实例": ["i-1", 2, null]},
    "handle_attachment": [], "id": 35, "im_group_id": "im", "is_creator": true, "is_solved": 1,
    "is_suspended_notice": "0", "need_process": "true", "pending_duration": 36, "priority": 1, "process_duration": 37,
    "product_group_id": 38, "product_group_name": "云硬盘", "relate_to_ticket_id": 39,
    "reported_time": "2021-11-11T11:11:12+08:00", "second_subtype": 40, "second_subtype_name": "二级",
    "solved_time": 41, "started_time": 42, "status": 2, "sub_type": 43, "sub_type_name": "一级",
    "suspended_duration": 44, "suspended_time": 45,
    "tags": [{"created_time": 46, "id": 47, "is_deleted": 0, "is_enabled": 1, "name": "网络", "updated_time": 48}],
    "title": "标题", "total_duration": 49, "type": 1, "updated_progress_time": 50, "updated_time": 51,
    "use_relate_status": false
}"""


def answer(data: JSON) -> Answer:
    """Return a successful answer with this data."""
    return Answer(data, "r1", "get_ticket", 2)


def listed(tickets: JSON) -> dict[str, JSON]:
    """Return the data of a page of the list."""
    return {"pagination": {"total": 2}, "tickets": tickets}


def test_detail_field_by_field() -> None:
    """Every field of the document's detail lands in the field of its name."""
    detail = codec.decode(TicketDetail, answer(orjson.loads(DETAIL)))
    assert detail == TicketDetail(
        id=35,
        title="标题",
        detail="详情",
        status=TicketStatus.PROCESSING,
        type=TicketType.TROUBLESHOOTING,
        sub_type=43,
        sub_type_name="一级",
        second_subtype=40,
        second_subtype_name="二级",
        priority=Priority.URGENT,
        feedback="1",
        need_process=True,
        is_solved=True,
        is_suspended_notice=False,
        is_creator=True,
        creator_id=21,
        creator_name="姜程",
        customer_organization_id=27,
        customer_organization_name="某某公司",
        customer_info=[CustomerInfo(26, 22, 23, "李娜", 24, 25)],
        product_group_id=38,
        product_group_name="云硬盘",
        relate_to_ticket_id=39,
        use_relate_status=False,
        feishu_group_id="oc_1",
        im_group_id="im",
        assigns=[
            TicketAssign(
                id=9,
                ticket_id=11,
                status=AssignStatus.FINISHED,
                product_group_id=10,
                product_group_name="云服务器",
                manager_name="田金秀",
                user_group_id=13,
                user_id=14,
                user_name="王芳",
                is_handler=True,
                created_time=1,
                handled_time=3,
                finished_time=2,
                updated_time=12,
                history=[TicketFlowHistory(8, 4, "转交", 5, "姜程", 6, 7, 1636600271)],
            )
        ],
        attachment=[Attachment("a.png", "http://ks3/a", 16, "imag/png", 15)],
        handle_attachment=[],
        tags=[Tag(47, "网络", is_enabled=True, is_deleted=False, created_time=46, updated_time=48)],
        form_id=34,
        form_define=[
            TicketFormField(
                id=32,
                form_id=31,
                type=FormFieldType.DROP_DOWN,
                display_name="实例",
                display_order=30,
                display_remarks="备注",
                options="a;b",
                is_required=True,
                is_deleted=False,
                created_time=29,
                updated_time=33,
            )
        ],
        form_values={"实例": ["i-1", 2, None]},
        reported_time=1636600272,
        created_time=1636600271,
        started_time=42,
        suspended_time=45,
        finished_time=28,
        solved_time=41,
        closed_time=18,
        updated_time=51,
        updated_progress_time=50,
        created_duration=20,
        pending_duration=36,
        process_duration=37,
        suspended_duration=44,
        confirm_duration=19,
        close_duration=17,
        total_duration=49,
    )


@each("model", MODELS)
def test_missing_and_null_are_defaults(model: type) -> None:
    """A field that is missing, or null, has its default unless it must be there; one that is unknown is ignored."""
    required: dict[str, Any] = {"id": 1} if model in (TicketSummary, Ticket, TicketDetail) else {}
    if model in (Pagination, TicketPage):
        required = {"total": 0} if model is Pagination else {"pagination": {"total": 0}, "tickets": []}
    nulls: dict[str, JSON] = {field.name: None for field in attrs.fields(model)}
    expected = model() if model is TicketPage else model(**required)
    assert codec.decode(model, answer({**required})) == expected
    assert codec.decode(model, answer({**nulls, **required, "later": [1]})) == expected


@each(
    ("value", "member"),
    [
        (2, TicketStatus.PROCESSING),
        ("2", TicketStatus.PROCESSING),
        ("处理中", TicketStatus.PROCESSING),
        (9, TicketStatus(9)),
        ("9", TicketStatus(9)),
        ("挂起", TicketStatus("挂起")),
        ("", TicketStatus(0)),
        (0, TicketStatus(0)),
    ],
)
def test_status(value: JSON, member: TicketStatus) -> None:
    """A status is a code, a code as text, or a name; an unknown one carries what came."""
    assert codec.decode(TicketSummary, answer({"id": 1, "status": value})).status == member


@each(
    ("value", "meaning"),
    [(True, True), (False, False), (1, True), (0, False), ("1", True), ("0", False), ("true", True), ("false", False)],
)
def test_boolean(value: JSON, meaning: bool) -> None:
    """A boolean comes as true/false, 0/1 or "0"/"1"."""
    assert codec.decode(TicketSummary, answer({"id": 1, "need_process": value})).need_process is meaning


@each(
    ("value", "seconds"),
    [
        ("2021-11-11 11:11:11", 1636600271),
        ("2021-11-11T03:11:11Z", 1636600271),
        ("2021-11-11 11:11:11.900", 1636600271),
        (1636600271, 1636600271),
        ("1636600271", 1636600271),
        ("", 0),
        (" ", 0),
        (0, 0),
    ],
)
def test_time_of_detail(value: JSON, seconds: int) -> None:
    """A time that the document types both ways is seconds or a date-time of China Standard Time."""
    assert codec.decode(TicketDetail, answer({"id": 1, "created_time": value})).created_time == seconds
    assert codec.decode(TicketFlowHistory, answer({"created_time": value})).created_time == seconds


# An answer without its parts is no empty answer.
PAGINATIONS: list[tuple[JSON, str, str]] = [
    ([], "$.data.pagination", "a list"),
    (None, "$.data.pagination", "missing or null"),
    ("", "$.data.pagination", "a string"),
    ({}, "$.data.pagination.total", "missing or null"),
    ({"page_size": 100}, "$.data.pagination.total", "missing or null"),
    ({"total": "many"}, "$.data.pagination.total", "a string"),
    ({"total": ""}, "$.data.pagination.total", "a string"),
    ({"total": "null"}, "$.data.pagination.total", "a string"),
    ({"total": None}, "$.data.pagination.total", "missing or null"),
    ({"total": False}, "$.data.pagination.total", "a boolean"),
    ({"total": []}, "$.data.pagination.total", "a list"),
]
NO_LISTS: list[tuple[JSON, str]] = [
    (None, "missing or null"),
    *((text, "a string") for text in ("", "null", "none", "{}")),
    ({}, "an object"),
    (0, "a number"),
    (False, "a boolean"),
]
MISFITS: list[tuple[type, JSON, str, str]] = [
    (TicketPage, None, "$.data", "null"),
    (TicketPage, [], "$.data", "a list"),
    (TicketPage, listed({"1473": {"title": "x"}}), "$.data.tickets", "an object"),
    (TicketPage, listed([{"id": 1}, 5]), "$.data.tickets[1]", "a number"),
    (TicketPage, listed([None]), "$.data.tickets[0]", "null"),
    (TicketPage, listed([{"id": 1}, {"id": None}]), "$.data.tickets[1].id", "missing or null"),
    (TicketPage, listed([{}]), "$.data.tickets[0].id", "missing or null"),
    (TicketPage, listed([{"id": "x"}]), "$.data.tickets[0].id", "a string"),
    (TicketPage, listed([{"id": ""}]), "$.data.tickets[0].id", "a string"),
    (TicketPage, listed([{"id": True}]), "$.data.tickets[0].id", "a boolean"),
    (TicketPage, listed([{"id": 1, "sub_type": 5.5}]), "$.data.tickets[0].sub_type", "a fraction"),
    (TicketPage, listed([{"id": 1, "created_time": {}}]), "$.data.tickets[0].created_time", "an object"),
    (TicketPage, listed([{"id": 1, "status": True}]), "$.data.tickets[0].status", "a boolean"),
    (TicketPage, listed([{"id": 1, "status": []}]), "$.data.tickets[0].status", "a list"),
    (TicketPage, listed([{"id": 1, "need_process": 2}]), "$.data.tickets[0].need_process", "a number"),
    *((TicketPage, {**listed([]), "pagination": page}, path, got) for page, path, got in PAGINATIONS),
    *((TicketPage, listed(rows), "$.data.tickets", got) for rows, got in NO_LISTS),
    (TicketPage, {}, "$.data.pagination", "missing or null"),
    (TicketPage, {"tickets": []}, "$.data.pagination", "missing or null"),
    (TicketPage, {"pagination": {"page_size": 100, "total": 0}}, "$.data.tickets", "missing or null"),
    (TicketPage, "[]", "$.data", "a string"),
    (TicketPage, [listed([])], "$.data", "a list"),
    (TicketDetail, {"id": 1, "created_time": "gestern"}, "$.data.created_time", "a string"),
    (TicketDetail, {"id": 1, "created_time": True}, "$.data.created_time", "a boolean"),
    (TicketDetail, {"id": 1, "form_values": [1]}, "$.data.form_values", "a list"),
    (TicketDetail, {"id": 1, "tags": "a,b"}, "$.data.tags", "a string"),
    (
        TicketDetail,
        {"id": 1, "assigns": [{}, {"history": [{}, {"action": "x"}]}]},
        "$.data.assigns[1].history[1].action",
        "a string",
    ),
    (TicketDetail, {"id": 1, "attachment": [{"file_size": "1 MB"}]}, "$.data.attachment[0].file_size", "a string"),
    (TicketDetail, {"id": 1, "attachment": "[{}, 5]"}, "$.data.attachment[1]", "a number"),
]


@each(("model", "data", "path", "got"), MISFITS)
def test_misfit(model: type, data: JSON, path: str, got: str) -> None:
    """A value of the wrong kind is a DecodeError with its path, what was expected, what came, and the request."""
    with pytest.raises(DecodeError) as caught:
        codec.decode(model, answer(data))
    error = caught.value
    assert (error.path, error.got, error.request_id) == (path, got, "r1")
    assert (error.operation, error.attempts) == ("get_ticket", 2)
    assert str(error).startswith(f"get_ticket: {path} is {got}, expected ")
    assert error.__cause__ is None


ROW_MISFITS = [
    (data, path)
    for model, data, path, _ in MISFITS
    if model is TicketPage and not path.endswith(("_time", "_type", "status", "need_process"))
    if data != {"pagination": {"page_size": 100, "total": 0}}  # no rows are due
]


@each(("data", "path"), ROW_MISFITS)
def test_rows_that_do_not_fit(data: JSON, path: str) -> None:
    """A walk's first look at a page finds what would hinder it, and says so just as well."""
    with pytest.raises(DecodeError) as caught:
        codec.read_rows(answer(data))
    assert (caught.value.path, caught.value.request_id) == (path, "r1")


@each(("total", "page", "is_page"), [(0, 1, True), ("0", 1, True), (75, 2, True), (75, 1, False), (500, 3, False)])
def test_no_rows(total: JSON, page: int, is_page: bool) -> None:
    """Null in place of rows, or nothing, is an empty page where no rows are due; else it may hide some."""
    pagination: JSON = {"page_size": 100, "total": total}
    pages: list[JSON] = [{"pagination": pagination}, {"pagination": pagination, "tickets": None}]
    for data in pages:
        if is_page:
            assert codec.read_rows(answer(data), page=page)[1:] == ([], [])
            assert codec.decode_page(answer(data), page) == TicketPage(Pagination(100, int(str(total))), [])
            continue
        with pytest.raises(DecodeError, match=r"\$\.data\.tickets is missing or null"):
            codec.read_rows(answer(data), page=page)


def test_rows() -> None:
    """read_rows gives the rows as they came, and decode_rows models of some of them."""
    rows: list[JSON] = [{"id": 1, "x": 5}, {"id": 2}]
    pagination, read, ids = codec.read_rows(answer({"pagination": {"total": 2}, "tickets": rows}))
    assert (pagination, read, ids) == (Pagination(0, 2), rows, [1, 2])
    assert codec.decode_rows(read[1:], answer(None)) == [TicketSummary(2)]
    assert codec.read_rows(answer({"pagination": {"total": "0"}, "tickets": []})) == (Pagination(0, 0), [], [])


def test_row_that_does_not_decode() -> None:
    """A row that does not fit is named by its place in the whole page."""
    data: JSON = listed([{"id": 1}, {"id": 2, "handler": []}])
    _, rows, _ = codec.read_rows(answer(data))
    with pytest.raises(DecodeError) as caught:
        codec.decode_rows(rows[1:], answer(data))
    assert caught.value.path == "$.data.tickets[1].handler"


int64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
text = st.text()
json_values = st.recursive(
    st.none() | st.booleans() | int64 | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
for kind in (TicketStatus, TicketType, Priority, AssignStatus, FormFieldType):
    st.register_type_strategy(kind, st.sampled_from(list(kind)) | int64.map(kind))
st.register_type_strategy(int, int64)
# Later seconds have no date: they are read as milliseconds. Earlier ones are refused.
times = st.integers(min_value=SECONDS_BEGIN, max_value=SECONDS_END - 1)
for made in MODELS:
    parts: dict[str, Any] = {field.name: times if field.name.endswith("_time") else ... for field in attrs.fields(made)}
    least = {name: field.least for name, field in fields_of(made).items() if field.least is not None}
    parts |= {name: st.integers(number, 2**63 - 1) for name, number in least.items()}
    if made is TicketDetail:
        parts["form_values"] = st.dictionaries(text, json_values, max_size=3)
    st.register_type_strategy(made, st.builds(made, **parts))
# What Java and others write for numbers, times, booleans and what holds other values.
spellings = st.sampled_from(
    [
        "",
        " ",
        "null",
        "7",
        " 7 ",
        "7.0",
        "-7",
        "7e0",
        7.0,
        7.5,
        1e300,
        "9" * 20,
        10**12,
        "1636600271000",
        "true",
        "FALSE",
    ]
) | st.sampled_from(
    ["是", "处理中", "processing", "2021-11-11", "2021/1/1 1:01:01", [2021, 11, 11], {}, [], "{}", "[]", "[{}]", "[1]"]
)


@pytest.mark.parametrize("model", slow_after(2, MODELS))
@given(data=st.data())
def test_round_trip(model: type, data: st.DataObject) -> None:
    """What encode writes, through JSON, decode reads back as an equal value; also by a converter of one's own."""
    value = data.draw(st.from_type(model))
    written = to_json(codec.encode(value))
    assert codec.decode(model, answer(json.loads(written))) == value
    assert codec.make_converter().structure(json.loads(written), model) == value


@given(value=json_values, model=st.sampled_from(MODELS))
def test_anything_decodes_or_is_a_decode_error(value: JSON, model: type) -> None:
    """Whatever JSON comes, the answer is a model or a DecodeError."""
    with suppress(DecodeError):
        assert isinstance(codec.decode(model, answer(value)), model)


def fields_one_by_one(model: type, data: dict[str, Any]) -> object:
    """Make a model of what the reader of each field makes of its value, whatever its class."""
    return model(**{name: read(data.get(name)) for name, read in decoder_of(model).readers.items()})


def as_the_platform_writes(value: object) -> dict[str, Any]:
    """Write a model with the classes that the API document has: a row's codes are strings, its booleans numbers."""
    written: Any = codec.encode(value)
    for name, wire in {"status": str, "priority": str, "need_process": int}.items():
        if isinstance(value, TicketSummary):
            written[name] = wire(written[name])
    if isinstance(value, TicketFormField):
        written["is_required"] = int(value.is_required)
    return cast("dict[str, Any]", written)


@pytest.mark.parametrize("model", slow_after(2, MODELS))
@given(data=st.data())
def test_the_quick_way_is_the_careful_way(model: type, data: st.DataObject) -> None:
    """A generated hook makes of any object what the readers of its fields make, or both refuse, with a path."""
    right = as_the_platform_writes(data.draw(st.from_type(model)))
    names = st.sampled_from(list(right))
    value = right | data.draw(st.dictionaries(names, spellings | json_values, max_size=2))
    for name in data.draw(st.sets(names, max_size=1)):
        del value[name]
    quick, careful = None, None
    with suppress(TypeError, ValueError):
        quick = decoder_of(model).hook(value)
    with suppress(TypeError, ValueError):
        careful = fields_one_by_one(model, value)
    assert repr(quick) == repr(careful)
    if quick is None:
        with pytest.raises(DecodeError) as refused:
            decoder_of(model).read(value)
        assert any(refused.value.path.startswith(f"$.{name}") for name in decoder_of(model).readers)


def test_encode_of_a_query() -> None:
    """A query is written as what was set, and reads back by cattrs."""
    query = TicketQuery(status=1, product_group_id=[3])
    assert codec.encode(query) == {"status": 1, "product_group_id": [3]}
    assert isinstance(codec.make_converter(), Converter)
    assert get_args(JSON) or JSON


def test_to_json_of_a_lone_surrogate() -> None:
    """A lone surrogate is written as an escape, and everything else as UTF-8."""
    assert to_json({"a": "工"}) == '{"a":"工"}'.encode()
    assert to_json({"a": "\ud800"}) == b'{"a":"\\ud800"}'
