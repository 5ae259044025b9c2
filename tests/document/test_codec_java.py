"""What Java services write for what the API document says: read where it is plain, refused with its path where not."""

import asyncio
import json
import pickle
from contextlib import suppress
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given, strategies as st

from tests.support.clients import make_client
from tests.support.raw_server import http, serving
from tests.support.rows import each
from workorder_async.document import (
    JSON,
    Attachment,
    CustomerInfo,
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
from workorder_async.document.envelope import Answer, open_envelope
from workorder_async.document.json_text import Unread, to_json
from workorder_async.errors import DecodeError
from workorder_async.walk_report import SkippedRow

AT = 1636600271  # 2021-11-11 11:11:11 in China


def answer(data: JSON) -> Answer:
    """Return a successful answer with this data."""
    return Answer(data, "r1", "list_tickets", 2)


def page(*rows: JSON) -> Answer:
    """Return an answer with these rows."""
    return answer({"pagination": {"page_size": 100, "total": len(rows)}, "tickets": list(rows)})


def deep(levels: int) -> Any:
    """Return so many lists inside each other."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def full(model: type[Any]) -> dict[str, Any]:
    """Return an object with every field, each of its documented class: a generated hook then goes its quick way."""
    value: Any = codec.encode(codec.decode(model, answer({"id": 1})))
    numbers: dict[str, Any] = (
        {"need_process": 1} if model is TicketSummary else {"is_required": 1} if model is TicketFormField else {}
    )
    texts = {"status": "2", "priority": "1"} if model is TicketSummary else {}
    return {**value, **numbers, **texts}


def plain(number: int) -> dict[str, Any]:
    """Return a row as the API document has it."""
    return {
        "id": number,
        "title": f"工单{number}",
        "status": "2",
        "type": 1,
        "handler": 40084,
        "need_process": number % 2,
        "customer_user_id": "73001",
        "form_values": '{"区域":"北京"}',
        "reported_time": 0,
        "created_time": AT + number,
        "closed_time": 0,
    }


NUMBERS: list[tuple[JSON, int]] = [
    (40084, 40084),
    ("40084", 40084),
    (" 40084 ", 40084),
    ("-1", -1),
    ("+7", 7),
    ("007", 7),
    (40084.0, 40084),
    ("40084.0", 40084),
    ("40084.", 40084),
    (1.0e3, 1000),
    ("1.0E3", 1000),
    ("4.0084E4", 40084),
    ("9007199254740993", 2**53 + 1),
    ("9007199254740993.0", 2**53 + 1),
    ("9223372036854775807", 2**63 - 1),
    ("-9223372036854775808", -(2**63)),
    ("", 0),
    (" \t", 0),
    ("null", 0),
    (None, 0),
    (-0.0, 0),
]
NO_NUMBERS: list[Any] = [
    *(1.5, "1.5", 1e300, float("nan"), float("inf"), -float("inf"), 2.0**53, "1e30", "1e999", "9" * 19, "9" * 5000),
    *("x", "0x1f", "1_000", "1,000", "1 000", "--1", "NaN", "Infinity", "true", "①", True, False),
    *([], [1], {}, {"a": 1}, deep(1000), 2**63, -(2**63) - 1, 2**64 - 1, 10**400),
]


@each(("value", "number"), NUMBERS)
def test_number(value: JSON, number: int) -> None:
    """A whole number is read from each of its spellings; none at all is the default."""
    assert repr(codec.decode(TicketSummary, answer({"id": 1, "handler": value})).handler) == repr(number)


@each("value", NO_NUMBERS)
def test_no_number(value: JSON) -> None:
    """What is no whole number, or may be another one than was written, is refused with its path."""
    with pytest.raises(DecodeError) as caught:
        codec.decode(TicketSummary, answer({"id": 1, "handler": value}))
    assert (caught.value.path, caught.value.expected) == ("$.data.handler", "a whole number")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_number_as_text(number: int) -> None:
    """Each number of 64 bits comes back from its text, and from its float where that is exact."""
    spellings: list[JSON] = [str(number), f" {number}.0 ", float(number) if abs(number) < 2**53 else number]
    for written in spellings:
        assert codec.decode(Pagination, answer({"page_size": written, "total": 0})).page_size == number


def test_optional_number() -> None:
    """A number that may be missing is None where there is none, and read where there is."""
    assert codec.decode(Attachment, answer({"author": "", "file_size": "12"})) == Attachment(file_size=12)
    info = codec.decode(CustomerInfo, answer({"user_id": "5", "level": " 2", "attribute": "null", "ticket_id": 3.0}))
    assert info == CustomerInfo(user_id=5, level=2, ticket_id=3)


BOOLEANS: list[tuple[JSON, bool]] = [
    *((value, True) for value in (True, 1, 1.0, "1", "1.0", "true", "TRUE", " True ", "Y", "yes", "是")),
    *((value, False) for value in (False, 0, 0.0, "0", "0.0", "false", "FALSE", "False", "n", "NO", "否")),
    *((value, False) for value in (None, "", " ", "null")),
]
BOOLEAN_FIELDS = [(TicketSummary, "need_process"), (TicketDetail, "is_solved"), (Tag, "is_enabled")]


@each(("model", "name"), [*BOOLEAN_FIELDS, (TicketFormField, "is_required")])
@each(("value", "meaning"), BOOLEANS)
def test_boolean(model: type, name: str, value: JSON, meaning: bool) -> None:
    """A boolean is read from true and false, 1 and 0, and the words for yes and no, in any case."""
    assert getattr(codec.decode(model, answer({"id": 1, name: value})), name) is meaning


@each(("model", "name"), BOOLEAN_FIELDS)
@each("value", [2, -1, 0.5, "2", "on", "x", [], {}, [True], float("nan")])
def test_no_boolean(model: type, name: str, value: JSON) -> None:
    """What is neither yes nor no is refused."""
    for rest in (full(model), {"id": 1}):
        with pytest.raises(DecodeError, match=rf"\$\.data\.{name} is .*, expected true, false, 0 or 1"):
            codec.decode(model, answer(rest | {name: value}))


TIMES: list[tuple[Any, int]] = [
    *((value, AT) for value in (AT, str(AT), float(AT), f"{AT}.0", AT + 0.9, f"{AT}.900000000", "1.636600271E9")),
    *((value, AT) for value in (AT * 1000, f"{AT}000", AT * 1000.0, AT * 1000 + 999, "1.636600271E12")),
    *((f"2021-11-11{sep}11:11:11", AT) for sep in (" ", "T", "  ")),
    *((f"2021-11-11T11:11:11{fraction}", AT) for fraction in (".9", ".123456789", ",5", ".")[:3]),
    *((f"2021-11-11 03:11:11{zone}", AT) for zone in ("Z", "z", " UTC", "+00:00", "+0000", ".000+0000", " +00")),
    *((f"2021-11-11T11:11:11{zone}", AT) for zone in ("+08:00", "+0800", "+08", "+08:00[Asia/Shanghai]")),
    ("2021-11-10T22:41:11-04:30", AT),
    *(
        (text, AT)
        for text in ("2021/11/11 11:11:11", "2021.11.11 11:11:11", "2021年11月11日 11:11:11", "20211111111111")
    ),
    (20211111111111, AT),
    ([2021, 11, 11, 11, 11, 11], AT),
    ([2021, 11, 11, 11, 11, 11, 900000000], AT),
    *((value, AT - 11) for value in ("2021-11-11 11:11", [2021, 11, 11, 11, 11])),
    *((value, 1636560000) for value in ("2021-11-11", "2021/11/11", [2021, 11, 11], "2021-11-11 0:00:00")),
    ("2021/1/2 3:04:05", 1609527845),
    *((value, 0) for value in (0, "0", 0.0, "", "  ", None, "null", "0000-00-00 00:00:00", "0000-00-00")),
    *((value, -1) for value in (-1, "-1")),
    *((value, 253402271999) for value in ("9999-12-31 23:59:59", 253402271999, 253402271999000, "253402271999")),
    ("0001-01-01 00:00:00", -62135625600),
]
TIME_FIELDS = [
    (model, field.name)
    for model in (TicketSummary, Ticket, TicketDetail, TicketAssign, TicketFlowHistory, TicketFormField, Tag)
    for field in attrs.fields(model)
    if field.name.endswith("_time")
]


@each(("model", "name"), TIME_FIELDS)
def test_time(model: type, name: str) -> None:
    """Each time of each model is read from seconds, milliseconds and date-times; without a zone it is China's."""
    for rest in (full(model), {"id": 1}):
        read = {str(value): getattr(codec.decode(model, answer(rest | {name: value})), name) for value, _ in TIMES}
        assert read == {str(value): seconds for value, seconds in TIMES}
        assert set(map(type, read.values())) == {int}


@each(
    "value",
    [
        *(
            "yesterday",
            "2021-13-01",
            "2021-02-30",
            "2021-11-11 25:00:00",
            "11/12/2021",
            "2021-11",
            "2021-W45-4",
            "12:00",
        ),
        *("2021-11-11 11:11:11 CST", "2021-11-11T11:11:11+99:00", "20211311111111", 20211311111111, "x" * 10_000),
        *(True, {}, {"time": 1}, [], [2021], [2021, 11, "11"], [2021, 2, 30], [[2021, 11, 11]], deep(1000)),
        *(-(10**18), str(-(10**18)), -(2**63), -62135625601, -62135625601.0, "0001-01-01 00:00:00+14:00"),
        *(2**63 - 1, str(2**63 - 1), AT * 1_000_000, float("nan"), float("inf"), 1e300, "9" * 30, [10**30, 1, 1]),
    ],
)
@each(("model", "name"), [(TicketSummary, "created_time"), (TicketDetail, "closed_time")])
def test_no_time(model: type, name: str, value: JSON) -> None:
    """What is no date of the calendar, or could be several, is refused with its path."""
    with pytest.raises(DecodeError) as caught:
        codec.decode(model, answer({"id": 1, name: value}))
    assert caught.value.path == f"$.data.{name}"
    assert "Error" not in caught.value.got


@given(st.integers(-62135625600, 253402271999))
def test_every_time(seconds: int) -> None:
    """Each second that has a date comes back from its text, and those since 1978 from their milliseconds."""
    at = TicketSummary(1, created_time=seconds).created_at
    spellings: list[JSON] = [seconds, str(seconds)]
    spellings += [] if at is None else [at.isoformat(), f"{at:%Y/%m/%d %H:%M:%S}".rjust(19, "0")]
    spellings += [seconds * 1000, f"{seconds}999"] if 253402388 < seconds < 19000101000 else []
    for written in spellings:
        assert codec.decode(Ticket, answer({"id": 1, "solved_time": written})).solved_time == seconds


@each(
    ("value", "status"),
    [
        *(
            (value, TicketStatus.PROCESSING)
            for value in (2, 2.0, "2", " 2 ", "2.0", "处理中", " 处理中 ", "PROCESSING")
        ),
        *((value, TicketStatus(9)) for value in (9, 9.0, "9", "9.0", " 9 ")),
        *((value, TicketStatus(-1)) for value in (-1, "-1")),
        *((value, TicketStatus(0)) for value in ("", " ", None, "null", 0, "0", 0.0)),
        ("挂起", TicketStatus("挂起")),
    ],
)
def test_code(value: JSON, status: TicketStatus) -> None:
    """A code is read from a whole number in any spelling, or from a name."""
    models: list[type[Any]] = [TicketSummary, Ticket, TicketDetail]
    for model in models:
        assert codec.decode(model, answer({"id": 1, "status": value})).status == status


@each("value", [True, 2.5, float("nan"), [], [2], {}, {"code": 2}, 2**63, -(2**63) - 1, 1e30])
def test_no_code(value: JSON) -> None:
    """What is neither a number nor a name is no code."""
    for model in (TicketSummary, Ticket, TicketDetail):
        with pytest.raises(DecodeError, match=r"\$\.data\.type"):
            codec.decode(model, answer({"id": 1, "type": value}))


TEXTS: list[tuple[JSON, str]] = [
    (73001, "73001"),
    (73001.0, "73001"),
    (-1.5, "-1.5"),
    (True, "true"),
    (False, "false"),
    (None, ""),
    ("null", "null"),
    (" ", " "),
    (2**70, str(2**70)),
    (["网络", "高优"], '["网络","高优"]'),
    ([{"name": "网络"}], '[{"name":"网络"}]'),
    ({"区域": "北京", "n": [1, 2.5, None]}, '{"区域":"北京","n":[1,2.5,null]}'),
    ({"a": "\ud800工"}, '{"a":"\ud800工"}'),
    ([], "[]"),
    (deep(64), "[" * 64 + "]" * 64),
]


@each(("value", "text"), TEXTS)
@each("name", ["customer_user_id", "title", "tags", "form_values"])
def test_text(name: str, value: JSON, text: str) -> None:
    """A text is what came, written out where it was no text: nothing is lost."""
    assert getattr(codec.decode(TicketSummary, answer({"id": 1, name: value})), name) == text


@each("value", [{"区域": ["北京", {"n": 1}]}, ["a"], {}, [], deep(64)])
def test_form_values_as_an_object(value: JSON) -> None:
    """A row's form values that came as an object are given back by `form_values_json`."""
    assert codec.decode(TicketSummary, answer({"id": 1, "form_values": value})).form_values_json == value


DETAILS: list[tuple[str, JSON, object]] = [
    ("form_values", '{"区域": "北京"}', {"区域": "北京"}),
    ("form_values", json.dumps('{"区域": "北京"}'), {"区域": "北京"}),
    ("form_values", "", {}),
    ("form_values", " ", {}),
    ("form_values", "null", {}),
    ("form_values", "{}", {}),
    ("form_values", [], {}),
    ("form_values", "[]", {}),
    ("tags", [{"id": "3", "name": "网络"}], [Tag(3, "网络")]),
    ("tags", ["网络"], [Tag(name="网络")]),
    ("tags", '["网络","a,b"]', [Tag(name="网络"), Tag(name="a,b")]),
    ("tags", {"id": 3}, [Tag(3)]),
    ("tags", {}, []),
    ("tags", None, []),
    ("tags", "", []),
    ("tags", [None], []),
    ("tags", [None, {"id": 3}, None, "网络"], [Tag(3), Tag(name="网络")]),
    ("tags", '[{"id": 3}, null]', [Tag(3)]),
    ("attachment", [{"file_name": "a.png"}, None], [Attachment(file_name="a.png")]),
    ("customer_info", [None, None], []),
    ("form_define", [None, {"id": 4}], [TicketFormField(4)]),
    (
        "assigns",
        [None, {"id": 1, "history": [None, {"id": 2}, None]}],
        [TicketAssign(1, history=[TicketFlowHistory(2)])],
    ),
    ("attachment", '[{"file_name":"a.png","file_size":"12"}]', [Attachment(file_name="a.png", file_size=12)]),
    ("attachment", {"file_name": "a.png"}, [Attachment(file_name="a.png")]),
    ("attachment", '{"file_name": "a.png"}', [Attachment(file_name="a.png")]),
    ("handle_attachment", "null", []),
    ("customer_info", '[{"user_id": "5"}]', [CustomerInfo(5)]),
    ("customer_info", "", []),
    (
        "assigns",
        '[{"id": "1", "status": "3"}]',
        [TicketAssign(1, status=codec.decode(TicketAssign, answer({"status": 3})).status)],
    ),
    ("assigns", {"id": 1, "history": '[{"id": 2.0}]'}, [TicketAssign(1, history=[TicketFlowHistory(2)])]),
    ("form_define", "", []),
    ("feedback", 1, "1"),
    ("need_process", "true", True),
    ("priority", 1.0, Priority.URGENT),
]


@each(("name", "value", "held"), DETAILS)
def test_detail(name: str, value: JSON, held: object) -> None:
    """A detail's lists and its object may come as JSON in a text, as one object, or as nothing."""
    assert getattr(codec.decode(TicketDetail, answer({"id": "35", name: value})), name) == held


NO_DETAILS: list[tuple[str, JSON, str]] = [
    ("form_values", "区域=北京", ""),
    ("form_values", "5", ""),
    ("form_values", [1], ""),
    ("form_values", {"a": deep(64)}, ""),
    ("form_values", '{"a":' * 65 + "1" + "}" * 65, ""),
    ("form_values", "[" * 100_000, ""),
    ("form_values", {"a": float("inf")}, ""),
    ("form_values", {"a": deep(1000)}, ""),
    ("tags", "网络,高优", ""),
    ("tags", 5, ""),
    ("tags", "5", ""),
    ("tags", {"网络": 1}, ""),
    ("tags", [None, 5], "[1]"),
    ("tags", [5], "[0]"),
    ("tags", '["a", {"id": "x"}]', "[1].id"),
    ("attachment", {"file_size": "x"}, "[0].file_size"),
    ("attachment", deep(1000), "[0]"),
    ("attachment", "[" * 1000 + "]" * 1000, ""),
    ("assigns", [{"history": [{}, {"created_time": "x"}]}], "[0].history[1].created_time"),
    ("assigns", [None, {"history": [None, {"created_time": "x"}]}], "[1].history[1].created_time"),
    ("title", deep(1000), ""),
    ("title", [float("nan")], ""),
]


@each(("name", "value", "place"), NO_DETAILS)
def test_no_detail(name: str, value: JSON, place: str) -> None:
    """What has no plain meaning in a detail is refused with its path; depth is no more than one more misfit."""
    with pytest.raises(DecodeError) as caught:
        codec.decode(TicketDetail, answer({"id": 1, name: value}))
    assert caught.value.path == f"$.data.{name}{place}"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@each("name", ["tags", "form_values", "title", "handler", "created_time", "status", "need_process"])
def test_depth_in_a_row(name: str) -> None:
    """Lists a thousand deep in a row, as they come over the wire, cost that row and no other."""
    bomb = "[" * 1000 + "]" * 1000
    data = f'{{"pagination":{{"total":3}},"tickets":[{{"id":1}},{{"id":2,"{name}":{bomb}}},{{"id":3}}]}}'
    body = f'{{"errno":10000,"data":{data}}}'
    came = open_envelope(200, body.encode(), {})
    skipped: list[SkippedRow] = []
    _, rows, _ = codec.read_rows(came, skipped)
    assert codec.decode_rows(rows, came, skipped) == [TicketSummary(1), TicketSummary(3)]
    assert [(row.id, row.path) for row in skipped] == [(2, f"$.data.tickets[1].{name}")]
    with pytest.raises(DecodeError):
        codec.decode_rows(rows, came)


def test_the_deepest_that_is_held() -> None:
    """What a model holds can be shown, compared, pickled, encoded and written."""
    detail = codec.decode(TicketDetail, answer({"id": 1, "form_values": {"a": deep(63)}}))
    assert repr(detail)
    assert pickle.loads(pickle.dumps(detail)) == detail
    assert codec.decode(TicketDetail, answer(orjson.loads(to_json(codec.encode(detail))))) == detail


def test_to_json_of_the_deep() -> None:
    """What is too deep for orjson is written all the same, and what is too deep for that is an error that says so."""
    assert to_json(deep(300)) == b"[" * 300 + b"]" * 300
    value = deep(100_000)
    with pytest.raises(DecodeError, match="too many lists and objects stand inside each other"):
        to_json(value)
    with suppress(DecodeError):
        assert to_json(deep(1000)) == b"[" * 1000 + b"]" * 1000


@each("id", ["1473", " 1473 ", 1473.0, "1473.0", "1.473E3"])
def test_id(id: JSON) -> None:
    """An id is a number whatever its spelling: in a row, in a record, and of what was created."""
    row: dict[str, JSON] = {"id": id, "title": "x"}
    _, rows, ids = codec.read_rows(page({"id": 1}, row))
    assert ids == [1, 1473]
    assert rows[1] is row
    assert codec.decode_rows(rows, page(*rows))[1] == TicketSummary(1473, title="x")
    assert codec.decode(Ticket, answer({"id": id})).id == 1473
    assert repr(codec.decode_created(answer({"id": id}))) == "1473"


@each("id", [0, -5, "0", "-5", 0.0, -(2**63)])
@each("row", [{}, plain(1)])
def test_no_id(id: JSON, row: dict[str, JSON]) -> None:
    """What cannot be sent as an id is none where it comes, and costs its row."""
    skipped: list[SkippedRow] = []
    came = page({"id": 1}, row | {"id": id})
    assert codec.read_rows(came, skipped)[2] == [1]
    assert [(row.id, row.path, row.expected) for row in skipped] == [
        (None, "$.data.tickets[1].id", "a whole number from 1")
    ]
    models: list[type[Any]] = [TicketSummary, Ticket, TicketDetail]
    for model in models:
        with pytest.raises(DecodeError, match=r"\$\.data\.id is .*, expected a whole number from 1"):
            codec.decode(model, answer(full(model) | {"id": id}))
    with pytest.raises(DecodeError, match="its id is not known"):
        codec.decode_created(answer({"id": id}))


@each("total", [-1, "-1", 2**63, 1e30, "1e30"])
def test_no_total(total: JSON) -> None:
    """A list of fewer than no tickets is no list."""
    with pytest.raises(DecodeError, match=r"\$\.data\.pagination\.total is "):
        codec.read_rows(answer({"pagination": {"page_size": 100, "total": total}, "tickets": []}))


@each(
    ("value", "got"),
    [
        *((value, "a number that is too large") for value in (1e30, -1e30, "1e30", "9" * 19, 2**63, float("inf"))),
        *((value, "a fraction") for value in (1.5, "1.5", -0.5, "1e-3")),
        *((value, "no JSON") for value in (Unread("NaN"), Unread("x\x01"))),
        (float("nan"), "NaN"),
    ],
)
def test_what_came_instead(value: JSON, got: str) -> None:
    """A number that is too large is not called a fraction, nor a fraction a time."""
    for name in ("handler", "closed_time", "created_time"):
        for rest in ({"id": 7}, full(TicketSummary)):
            with pytest.raises(DecodeError) as caught:
                codec.decode(TicketSummary, answer(rest | {name: value}))
            assert (caught.value.path, caught.value.got) == (f"$.data.{name}", got)


def test_a_text_that_came_as_a_number_too_large() -> None:
    """A float may be another number than was written: no text is made of it."""
    for written in ("73400201000000000001", "9007199254740993.0", "-1e30"):
        with pytest.raises(DecodeError, match=r"\$\.data\.customer_user_id is a number that is too large, expected a"):
            codec.decode(TicketSummary, answer(orjson.loads(f'{{"id":7,"customer_user_id":{written}}}')))


def test_the_ticket_and_the_page_of_a_row() -> None:
    """An error of a row names its ticket and its page, or the page alone where the id cannot be read."""
    came = page({"id": 1}, {"id": "1473", "handler": "x"})
    with pytest.raises(DecodeError) as caught:
        codec.decode_page(came, 3)
    assert str(caught.value) == (
        "list_tickets: ticket 1473 on page 3: $.data.tickets[1].handler is a string, expected a whole number "
        "(2 attempts, request_id r1)"
    )
    for data in (page({"id": 1}, {"title": "x"}), page({"id": 1}, 5)):
        with pytest.raises(DecodeError, match=r"list_tickets: page 4: \$\.data\.tickets\[1\]"):
            codec.decode_page(data, 4)


@each("data", [{"id": "x"}, {"id": ""}, {"id": 1.5}, {"id": True}, {"id": [1]}, {}, None, [], "1"])
def test_created_without_an_id(data: JSON) -> None:
    """Only where no id can be read is it said not to be known."""
    with pytest.raises(DecodeError, match=r"was created, but .* do not create it again") as caught:
        codec.decode_created(answer(data))
    assert (caught.value.path, caught.value.expected) == ("$.data.id", "a ticket's number")


@each(
    ("pagination", "expected"),
    [
        ({"page_size": "100", "total": "7"}, Pagination(100, 7)),
        ({"page_size": 100.0, "total": 7.0}, Pagination(100, 7)),
        ({"page_size": "", "total": "0"}, Pagination(0, 0)),
        ({"page_size": -1, "total": 10**18}, Pagination(-1, 10**18)),
    ],
)
def test_pagination(pagination: JSON, expected: Pagination) -> None:
    """Size and total are numbers whatever their spelling; whether they can be true is not judged here."""
    came = answer({"pagination": pagination, "tickets": []})
    assert codec.read_rows(came) == (expected, [], [])
    assert codec.decode(TicketPage, came).pagination == expected


@each(("tickets", "ids"), [([], []), ("[]", []), ({"id": "5"}, [5]), ('[{"id":5},{"id":"6"}]', [5, 6])])
def test_list_of_rows(tickets: JSON, ids: list[int]) -> None:
    """The list of rows may come as JSON in a text, or as one row."""
    came = answer({"pagination": {"total": len(ids)}, "tickets": tickets})
    _, rows, read = codec.read_rows(came)
    assert read == ids
    assert [row.id for row in codec.decode_rows(rows, came)] == ids
    assert [row.id for row in codec.decode(TicketPage, came).tickets] == ids


def test_rows_without_an_id_are_skipped() -> None:
    """A row that is no object, or has no id to be read, is left out and noted; the others are as they came."""
    bad: list[JSON] = [None, 5, "x", [], {}, {"id": None}, {"id": ""}, {"id": "x"}, {"id": 1.5}, {"id": True}]
    rows: list[JSON] = [{"id": 1}, *bad, {"id": "2"}]
    skipped: list[SkippedRow] = []
    _, kept, ids = codec.read_rows(page(*rows), skipped)
    assert (kept, ids) == ([{"id": 1}, {"id": "2"}], [1, 2])
    assert kept[0] is rows[0]
    assert [(row.id, row.path) for row in skipped] == [
        *((None, f"$.data.tickets[{index}]") for index in range(1, 5)),
        *((None, f"$.data.tickets[{index}].id") for index in range(5, 11)),
    ]
    assert skipped[0] == SkippedRow(None, "$.data.tickets[1]", "an object", "null")
    assert skipped[4] == SkippedRow(None, "$.data.tickets[5].id", "a value", "missing or null")
    assert skipped[8] == SkippedRow(None, "$.data.tickets[9].id", "a whole number", "a fraction")
    with pytest.raises(DecodeError) as caught:
        codec.read_rows(page(*rows))
    assert (caught.value.path, caught.value.request_id) == ("$.data.tickets[1]", "r1")


def test_rows_that_do_not_decode_are_skipped() -> None:
    """A row whose value has no plain meaning is left out, and noted by its place in the answer as it came."""
    rows: list[JSON] = [{"id": number or 60, "title": f"t{number}"} for number in range(60)]
    rows[57] = {"id": "57", "created_time": "yesterday"}
    rows[58] = {"id": 58, "handler": [1]}
    came = page(*rows)
    skipped: list[SkippedRow] = []
    _, kept, ids = codec.read_rows(came, skipped)
    assert (len(kept), ids, skipped) == (60, [60, *range(1, 60)], [])
    some = [kept[59], kept[58], kept[57], kept[3]]
    assert [row.id for row in codec.decode_rows(some, came, skipped)] == [59, 3]
    assert [(row.id, row.path, row.got) for row in skipped] == [
        (58, "$.data.tickets[58].handler", "a list"),
        (57, "$.data.tickets[57].created_time", "a string"),
    ]
    with pytest.raises(DecodeError) as caught:
        codec.decode_rows(some[2:], came)
    assert (caught.value.path, caught.value.operation) == ("$.data.tickets[57].created_time", "list_tickets")


def test_an_answer_that_is_no_page_is_not_skipped() -> None:
    """Only rows may be left out: an answer without a list, or with a total that is none, is an error."""
    page: dict[str, JSON] = {"pagination": {"total": 3}}
    lists: list[JSON] = [None, [], {}, page, {"tickets": []}, {"pagination": {"total": "many"}, "tickets": []}]
    no_rows: list[JSON] = [5, "x", {}, None]
    for data in [*lists, *(page | {"tickets": tickets} for tickets in no_rows)]:
        with pytest.raises(DecodeError):
            codec.read_rows(answer(data), [])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([field.name for field in attrs.fields(TicketSummary)])


@given(rows=st.lists(json_values | st.dictionaries(names, json_values, max_size=4), max_size=5))
def test_no_row_costs_another(rows: list[JSON]) -> None:
    """Whatever JSON the rows are, each is given out or noted, never both, never neither, and never an error."""
    came = page(*rows)
    skipped: list[SkippedRow] = []
    _, kept, ids = codec.read_rows(came, skipped)
    tickets = codec.decode_rows(kept, came, skipped)
    assert len(tickets) + len(skipped) == len(rows)
    assert len(ids) == len(kept)
    for ticket in tickets:
        assert codec.decode(TicketSummary, answer(json.loads(json.dumps(codec.encode(ticket))))) == ticket


@each(
    ("row", "seconds"),
    [
        ({"created_time": AT}, AT),
        ({"created_time": f"{AT}000"}, AT),
        ({"created_time": AT * 1000}, AT),
        ({"created_time": "2021-11-11 11:11:11"}, AT),
        ({"created_time": ""}, 0),
        ({}, 0),
        ({"created_time": []}, None),
    ],
)
def test_created_time_of_a_row(row: dict[str, JSON], seconds: int | None) -> None:
    """A row's time of creation is read as its model would read it; None where the model would not."""
    assert codec.number_in(row, "created_time") == seconds


def java(row: dict[str, Any], kind: int) -> dict[str, JSON]:
    """Spell a row in one of several harmless ways."""
    changes: list[dict[str, JSON]] = [
        {name: str(value) for name, value in row.items() if isinstance(value, int)},
        {name: float(value) for name, value in row.items() if isinstance(value, int)},
        {"closed_time": ""},
        {"need_process": bool(row["need_process"])},
        {"need_process": str(bool(row["need_process"])).lower()},
        {"form_values": json.loads(str(row["form_values"]))},
        {"created_time": int(str(row["created_time"])) * 1000},
        {"customer_user_id": int(str(row["customer_user_id"]))},
        {"status": int(str(row["status"])), "type": "1"},
        {"reported_time": None, "closed_time": "0"},
    ]
    return row | changes[kind % len(changes)]


async def test_a_walk_over_what_java_writes() -> None:
    """A walk of 300 tickets, each spelled in one of ten ways, gives the tickets that the document's spelling gives."""
    rows = [plain(number) for number in range(1, 301)]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = orjson.loads(wire.requests[-1].partition(b"\r\n\r\n")[2])
        part = rows[(asked["page"] - 1) * 100 : asked["page"] * 100]
        data = {"pagination": {"page_size": "100", "total": "300"}, "tickets": [java(row, row["id"]) for row in part]}
        writer.write(http(orjson.dumps({"errno": 10000, "data": data})))
        await writer.drain()

    async with serving(serve) as wire, make_client(wire.url) as client:
        tickets = [ticket async for ticket in client.iter_tickets(TicketQuery(), page_size=100)]
    expected = codec.decode_rows(rows, page(*rows))
    assert tickets == expected
    assert tickets[0].type is TicketType.TROUBLESHOOTING
    assert len(wire.requests) <= 12
