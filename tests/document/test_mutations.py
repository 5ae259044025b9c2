import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import attrs
import pytest
from hypothesis import given, strategies as st

from tests.support.rows import each
from workorder_async.document import (
    Attachment,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    CustomerInfo,
    Mutation,
    Priority,
    RejectTicket,
    TicketStatus,
    TicketType,
)
from workorder_async.errors import ConfigError

UPLOADED = Attachment(
    author=40084,
    file_name="test.png",
    file_path="workorder/40084/dc4ced807eec9218bf2fe9513ebc9b99",
    file_size=195204,
    file_type="image/png",
)
# What the platform requires of each mutation, and what it takes besides: the tables of the API document. A comment's
# text and ticket are marked as optional there, and a comment without them would say nothing.
REQUIRED: dict[type, dict[str, Any]] = {
    CreateTicket: {
        "title": "云主机无法登录",
        "detail": "重启后 SSH 超时",
        "reported_time": 1632742020,
        "type": TicketType.TROUBLESHOOTING,
        "priority": Priority.NORMAL,
        "customer_organization_id": 1,
        "customer_organization_name": "示例科技有限公司",
        "repository_product_id": 36,
        "creator_id": 38361,
        "creator_name": "李示例",
    },
    CommentTicket: {"id": 1473, "detail": "已联系客户"},
    RejectTicket: {"id": 1473},
    CloseTicket: {"id": 1473, "closer_id": 40084, "closer_name": "田金秀", "solved_time": 1660298580},
}
OPTIONAL: dict[type, dict[str, Any]] = {
    CreateTicket: {
        "tags": (3, 4),
        "customer_info": (CustomerInfo(user_id=2000100),),
        "whether_product_group_id": True,
        "attachment": (UPLOADED,),
        "need_process": False,
        "relate_to_ticket_id": 1204,
        "use_relate_status": True,
        "sub_type": 12,
        "second_subtype": 120,
    },
    CommentTicket: {"productGroupId": 36},
    RejectTicket: {"detail": "不属于本产品线", "productGroupId": 36},
    CloseTicket: {"detail": "这是工单关闭的备注反馈内容", "is_solved": False, "handle_attachment": (UPLOADED,)},
}
LISTS = {"tags", "customer_info", "attachment", "handle_attachment"}

of_each_kind = each("kind", REQUIRED)
of_each_field = each(("kind", "name"), [(kind, name) for kind in REQUIRED for name in REQUIRED[kind] | OPTIONAL[kind]])


def make(kind: type, **fields: object) -> Any:
    """Make a mutation with what is required and these fields."""
    return kind(**REQUIRED[kind] | fields)


def full(kind: type) -> Any:
    """Make a mutation with every field."""
    return make(kind, **OPTIONAL[kind])


def test_the_four_mutations() -> None:
    """`Mutation` is any of the four."""
    assert set(get_args(Mutation)) == set(REQUIRED)


@of_each_kind
def test_fields(kind: type) -> None:
    """A mutation has the fields of its table in the API document, and needs those that the platform requires."""
    fields = attrs.fields(kind)
    assert {field.name for field in fields} == set(REQUIRED[kind] | OPTIONAL[kind])
    assert {field.name for field in fields if field.default is attrs.NOTHING} == set(REQUIRED[kind])


@of_each_field
def test_values_are_kept(kind: type, name: str) -> None:
    """Every field keeps the value it was given; what is left out is None, or empty."""
    assert getattr(full(kind), name) == (REQUIRED[kind] | OPTIONAL[kind])[name]
    if name in OPTIONAL[kind]:
        assert getattr(make(kind), name) == (() if name in LISTS else None)


@each(("kind", "name"), [(kind, name) for kind in REQUIRED for name in REQUIRED[kind]])
def test_required(kind: type, name: str) -> None:
    """A mutation that lacks what the platform requires cannot be made."""
    with pytest.raises(TypeError, match=f"'{name}'"):
        kind(**{key: value for key, value in REQUIRED[kind].items() if key != name})


@of_each_kind
def test_only_keywords(kind: type) -> None:
    """A title and a name in bare order could be mixed up: fields must be named, and spelled right."""
    with pytest.raises(TypeError):
        kind(*REQUIRED[kind].values())
    with pytest.raises(TypeError, match="titel"):
        make(kind, titel="x")


@each("name", ["form_id", "form_values"])
def test_not_supported_yet(name: str) -> None:
    """What the document calls not supported yet (暂不支持) is not offered."""
    with pytest.raises(TypeError, match=name):
        make(CreateTicket, **{name: 1})


UNKNOWN: Any = "未知"
ID = [
    (0, "is 0; it must be from 1 to 9223372036854775807"),
    (-1473, "is -1473; it must be from 1"),
    (2**63, "is 9223372036854775808; it must be from 1"),
    ("1473", "is str '1473'; it must be a whole number"),
    (1473.0, "is float 1473.0; it must be a whole number"),
    (True, "is bool True; it must be a whole number"),
]
TEXT = [
    (5, "must be text, not int 5"),
    (b"x", "must be text, not bytes b'x'"),
    ("abc\ud800", "holds a lone surrogate, which cannot be sent; remove it"),
]
FILLED_TEXT = [*TEXT, (None, "must be text, not None"), ("", "is empty"), ("  \t\n", "is empty")]
SECONDS = [
    (datetime(2021, 9, 27, 8), "is a datetime without a zone; give it one"),
    (1632742075000, "is 1632742075000, which looks like milliseconds; it must be in seconds"),
    (-1, "is -1; it must be from 0"),
    (1632742075.5, "is float 1632742075.5; it must be whole seconds, or a datetime with a zone"),
    ("2021-11-11 11:11:11", "is str '2021-11-11 11:11:11'; it must be whole seconds, or a datetime with a zone"),
    (None, "is None; it must be whole seconds, or a datetime with a zone"),
    (False, "is bool False; it must be whole seconds, or a datetime with a zone"),
]
BOOL = [(1, "is 1; it must be True or False"), ("true", "is 'true'; it must be True or False")]
TYPE = [
    (9, "cannot be int 9; use a TicketType: 1 问题排查, 2 需求反馈, 3 咨询"),
    ("投诉", "cannot be str '投诉'"),
    (None, "cannot be None"),
    (True, "cannot be bool True"),
    (TicketStatus.PENDING, "cannot be TicketStatus"),
    (TicketType(UNKNOWN), "is '未知', which has no code to send"),
]
PRIORITY = [
    (4, "cannot be int 4; use a Priority: 1 紧急, 2 高级, 3 普通"),
    ("最高", "cannot be str '最高'"),
    (None, "cannot be None"),
    (Priority(UNKNOWN), "is '未知', which has no code to send"),
]
TAGS = [
    (3, "must be a list of ids, not int 3"),
    ("34", "must be a list of ids, not str '34'"),
    ([3, "4"], "is str '4'; it must be a whole number"),
    ([0], "is 0; it must be from 1"),
]
CUSTOMERS = [
    (CustomerInfo(user_id=1), "must be a list of CustomerInfo, not CustomerInfo"),
    ([{"user_id": 1}], "[0] must be of class CustomerInfo, not dict {'user_id': 1}"),
    ([CustomerInfo(user_id=1), CustomerInfo(level=2)], "[1].user_id is 0; it must be from 1"),
    ([CustomerInfo(user_id=1, level=2**31)], "[0].level is 2147483648; it must be from -2147483648 to 2147483647"),
    ([CustomerInfo(user_id=True)], "[0].user_id is bool True; it must be a whole number"),
]
ATTACHMENTS = [
    (UPLOADED, "must be a list of Attachment, not Attachment"),
    ("trace.png", "must be a list of Attachment, not str 'trace.png'"),
    ({}, "must be a list of Attachment, not dict {}"),
    (["trace.png"], "[0] must be of class Attachment, not str 'trace.png'"),
    ([attrs.evolve(UPLOADED, file_name="")], "[0].file_name is empty; it must have a text"),
    ([UPLOADED, attrs.evolve(UPLOADED, file_path=" ")], "[1].file_path is empty"),
    ([attrs.evolve(UPLOADED, file_type="")], "[0].file_type is empty"),
    ([attrs.evolve(UPLOADED, file_size=-1)], "[0].file_size is -1; it must be from 0"),
    ([attrs.evolve(UPLOADED, file_size=True)], "[0].file_size is bool True; it must be a whole number"),
    (
        [attrs.evolve(UPLOADED, file_path="http://ks3.example/a?Expires=600")],
        "[0].file_path is a temporary URL; only a result of upload_file may be sent",
    ),
]
AUTHORED = [
    *ATTACHMENTS,
    ([UPLOADED, attrs.evolve(UPLOADED, author=None)], "[1].author is None; it must be a whole number"),
]
REFUSED: dict[type, dict[str, list[tuple[Any, str]]]] = {
    CreateTicket: {
        "title": FILLED_TEXT,
        "detail": FILLED_TEXT,
        "reported_time": SECONDS,
        "type": TYPE,
        "priority": PRIORITY,
        "customer_organization_id": ID,
        "customer_organization_name": FILLED_TEXT,
        "repository_product_id": ID,
        "creator_id": ID,
        "creator_name": FILLED_TEXT,
        "tags": TAGS,
        "customer_info": CUSTOMERS,
        "whether_product_group_id": BOOL,
        "attachment": ATTACHMENTS,
        "need_process": BOOL,
        "relate_to_ticket_id": ID,
        "use_relate_status": BOOL,
        "sub_type": ID,
        "second_subtype": ID,
    },
    CommentTicket: {"id": ID, "detail": FILLED_TEXT, "productGroupId": ID},
    RejectTicket: {"id": ID, "detail": TEXT, "productGroupId": ID},
    CloseTicket: {
        "id": ID,
        "closer_id": ID,
        "closer_name": FILLED_TEXT,
        "solved_time": SECONDS,
        "detail": TEXT,
        "is_solved": BOOL,
        "handle_attachment": AUTHORED,
    },
}


@each(
    ("kind", "field", "value", "why"),
    [
        pytest.param(kind, field, value, why, id=f"{kind.__name__}.{field} {why}")
        for kind, fields in REFUSED.items()
        for field, cases in fields.items()
        for value, why in cases
    ],
)
def test_refused(kind: type, field: str, value: object, why: str) -> None:
    """What the platform would refuse is refused when the mutation is made, naming class and field."""
    with pytest.raises(ConfigError) as caught:
        make(kind, **{field: value})
    assert str(caught.value).startswith(f"{kind.__name__}.{field} {why}")


@of_each_kind
def test_every_field_refuses_something(kind: type) -> None:
    """No field is without a check."""
    assert set(REFUSED[kind]) == {field.name for field in attrs.fields(kind)}


@each(
    ("kind", "name"),
    [
        (RejectTicket, "detail"),
        (CloseTicket, "detail"),
        (CreateTicket, "attachment"),
        (CloseTicket, "handle_attachment"),
    ],
)
def test_empty_where_that_means_something(kind: type, name: str) -> None:
    """An optional text or list may be empty."""
    empty = "" if name == "detail" else ()
    assert getattr(make(kind, **{name: empty}), name) == empty


def test_an_author_is_needed_to_close_only() -> None:
    """`create` takes an attachment without an author, as its table says, and a file of no bytes."""
    anonymous = attrs.evolve(UPLOADED, author=None, file_size=0)
    assert make(CreateTicket, attachment=[anonymous]).attachment == (anonymous,)


@each(
    ("name", "value", "member"),
    [
        ("type", 3, TicketType.CONSULTATION),
        ("type", "咨询", TicketType.CONSULTATION),
        ("type", "feature_request", TicketType.FEATURE_REQUEST),
        ("priority", 1, Priority.URGENT),
        ("priority", "紧急", Priority.URGENT),
        ("priority", "高", Priority.URGENT),
        ("priority", "低", Priority.NORMAL),
        ("priority", "normal", Priority.NORMAL),
    ],
)
def test_code_spellings(name: str, value: object, member: object) -> None:
    """A type or priority may be given as a code, a label (of `create` too), an English name or a member."""
    assert getattr(make(CreateTicket, **{name: value}), name) is member


@pytest.mark.parametrize(("kind", "name"), [(CreateTicket, "reported_time"), (CloseTicket, "solved_time")])
@given(
    second=st.integers(0, 4102444800),
    microsecond=st.integers(0, 999_999),
    offset=st.integers(-14 * 60, 14 * 60),
)
def test_datetime_is_floored(kind: type, name: str, second: int, microsecond: int, offset: int) -> None:
    """An aware datetime of any zone becomes the whole second it lies in."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second, microseconds=microsecond)
    local = moment.astimezone(timezone(timedelta(minutes=offset)))
    value = getattr(make(kind, **{name: local}), name)
    assert value == second
    assert type(value) is int


@given(st.integers(0, 10**11))
def test_whole_seconds_stay(seconds: int) -> None:
    """Whole seconds up to the year 5138 are taken as they are."""
    assert make(CloseTicket, solved_time=seconds).solved_time == seconds


@each(("kind", "name"), [(kind, name) for kind in OPTIONAL for name in OPTIONAL[kind] if name in LISTS])
def test_any_iterable(kind: type, name: str) -> None:
    """A list given as list, tuple or iterator makes the same mutation, which is a key."""
    values = OPTIONAL[kind][name]
    made = {make(kind, **{name: each}) for each in (list(values), values, iter(values))}
    assert [getattr(mutation, name) for mutation in made] == [values]


@of_each_field
def test_frozen(kind: type, name: str) -> None:
    """A mutation cannot be changed after it was checked."""
    mutation = full(kind)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(mutation, name, getattr(mutation, name))


@of_each_field
def test_each_field_counts(kind: type, name: str) -> None:
    """Two mutations that differ in one field are different keys."""
    others = {int: 77, str: "其他", tuple: (), bool: None, TicketType: 2, Priority: 2}
    changed = attrs.evolve(full(kind), **{name: others[type(getattr(full(kind), name))]})
    assert changed != full(kind)
    assert len({full(kind), full(kind), changed}) == 2


@of_each_kind
@each("build", [make, full])
def test_round_trip(kind: type, build: Any) -> None:
    """A mutation is the same value and the same key after pickling, as a journal or another process needs it."""
    mutation = build(kind)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(mutation, protocol))
        assert twin == mutation
        assert hash(twin) == hash(mutation)
