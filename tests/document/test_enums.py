import copy
import pickle
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.rows import each
from workorder_async.document import AssignStatus, FormFieldType, OpenEnum, Priority, TicketStatus, TicketType
from workorder_async.errors import ConfigError

# The five tables as the API document has them, by English name.
TABLES: dict[type[OpenEnum], dict[str, tuple[int, str]]] = {
    TicketStatus: {
        "PENDING": (1, "待处理"),
        "PROCESSING": (2, "处理中"),
        "CLOSED": (3, "已关闭"),
        "CANCELLED": (4, "已取消"),
    },
    TicketType: {
        "TROUBLESHOOTING": (1, "问题排查"),
        "FEATURE_REQUEST": (2, "需求反馈"),
        "CONSULTATION": (3, "咨询"),
    },
    Priority: {"URGENT": (1, "紧急"), "HIGH": (2, "高级"), "NORMAL": (3, "普通")},
    AssignStatus: {
        "PENDING": (1, "待处理"),
        "PROCESSING": (2, "处理中"),
        "FINISHED": (3, "处理完毕"),
        "REJECTED": (4, "已拒绝"),
        "WITHDRAWN": (5, "已撤销"),
    },
    FormFieldType: {
        "TEXT": (1, "文本框"),
        "MULTILINE_TEXT": (2, "多行文本框"),
        "DROP_DOWN": (3, "下拉列表框"),
        "RADIO": (4, "单选框"),
        "CHECKBOX": (5, "复选框"),
        "TIME": (6, "单个时间控件"),
        "TIME_RANGE": (7, "起止双时间控件"),
        "LIST_BOX": (8, "列表框"),
    },
}
SHELVED: Any = "搁置"
NOTHING: Any = ""
MEMBERS = [member for kind in TABLES for member in kind]
# Texts that no table lists, as a code, a label or an English name, with or without blanks.
unknown_texts = st.text().filter(
    lambda text: (
        not any(letter.isdecimal() for letter in text)
        and not any(text.strip() in kind.readings() or text.strip().upper() in kind.__members__ for kind in TABLES)
    )
)
unknown_codes = st.integers().filter(lambda code: not 1 <= code <= 8)

of_any_kind = pytest.mark.parametrize("kind", TABLES)
of_any_member = pytest.mark.parametrize("member", MEMBERS, ids=str)


@of_any_kind
def test_table(kind: type[OpenEnum]) -> None:
    """The members are those of the API document, with its codes and Chinese names."""
    assert {name: (member.value, member.label) for name, member in kind.__members__.items()} == TABLES[kind]


@of_any_member
def test_known_member(member: OpenEnum) -> None:
    """Code, code as text, label and English name all read as the one member, which is known."""
    kind: Any = type(member)
    codes = (member.value, str(member.value), f" {member.value} ", f"{member.value}.0", f"+{member.value}")
    for written in (*codes, member.label, f" {member.label} ", member.name, member.name.lower()):
        assert kind(written) is member
    assert member.is_known


@each(("label", "member"), [("高", Priority.URGENT), ("中", Priority.HIGH), ("低", Priority.NORMAL)])
def test_other_labels(label: Any, member: Priority) -> None:
    """The words that `create` has for a priority read as the same codes, and are never its label."""
    assert Priority(label) is member
    assert Priority.parse(label) is member
    assert member.label != label


@of_any_kind
def test_readings(kind: type[OpenEnum]) -> None:
    """`readings` holds each known member under its code, its code as text and its label, and nothing unknown."""
    kind(99)
    other = {"高": 1, "中": 2, "低": 3} if kind is Priority else {}
    assert {written: member.value for written, member in kind.readings().items()} == other | {
        written: code for code, label in TABLES[kind].values() for written in (code, str(code), label)
    }


@of_any_kind
@given(value=unknown_codes | unknown_texts)
def test_unknown_value(kind: Any, value: int | str) -> None:
    """A code or name that no table lists becomes a member that carries it and equals its like."""
    member = kind(value)
    assert member.value == value
    assert type(member.value) is type(value)
    assert member.label == str(value)
    assert member.name == f"UNKNOWN_{value}"
    assert not member.is_known
    assert member == kind(value)
    assert hash(member) == hash(kind(value))
    assert len(kind) == len(TABLES[kind])


@of_any_kind
@given(code=unknown_codes.filter(lambda code: abs(code) < 10**18))
def test_unknown_code_as_text(kind: Any, code: int) -> None:
    """An unknown code that comes as text, as the list's status does, equals the same code as a number."""
    for text in (str(code), f" {code} ", f"{code}.0"):
        assert kind(text) == kind(code)
        assert kind(text).value == code


@of_any_kind
@each("text", ["9" * 5000, "2.5", "0x2", "1e0"])
def test_text_that_is_no_code(kind: Any, text: str) -> None:
    """A text that is no plain whole number of 64 bits stays the text that it is."""
    assert kind(text).value == text


@each("value", [None, 2.5, [], {}, b"1"])
@of_any_kind
def test_no_code_at_all(kind: Any, value: object) -> None:
    """What is neither number nor text is no member, not even an unknown one."""
    with pytest.raises(ValueError, match=f"is not a valid {kind.__name__}"):
        kind(value)


def test_other_tables() -> None:
    """The same code in two tables means two things, though each of the two equals the code."""
    for one, other in [
        (TicketStatus.PENDING, AssignStatus.PENDING),
        (TicketStatus(1), TicketType(1)),
        (TicketStatus(9), AssignStatus(9)),
        (TicketStatus(9), TicketStatus(10)),
    ]:
        assert one != other
        assert other != one
        assert len({one, other}) == 2


@each("member", [*MEMBERS, TicketStatus(9), TicketStatus(SHELVED), Priority(0)])
def test_equal_to_its_code(member: OpenEnum) -> None:
    """A member equals its code or unknown name from both sides, hashes alike, and is found by it; copies do as well."""
    for one in (member, pickle.loads(pickle.dumps(member)), copy.deepcopy(member)):
        assert one == member.value
        assert member.value == one
        assert hash(one) == hash(member.value)
        by_member: dict[object, str] = {one: "found"}
        by_code: dict[object, str] = {member.value: "found"}
        assert by_member[member.value] == by_code[one] == "found"
        assert one in (member.value, None)
        text = str(member.value) if isinstance(member.value, int) else 0
        others: tuple[object, ...] = (99, text, None, [], f"{member.label}x")
        for other in others:
            assert one != other
            assert other != one


def test_match_by_code() -> None:
    """A `match` takes codes and members."""
    found: object = TicketStatus(3)
    match found:
        case 2:
            pytest.fail("a ticket that is closed is not being processed")
        case TicketStatus.CLOSED:
            pass
        case _:
            pytest.fail("neither")


@each("member", [*MEMBERS, TicketStatus(9), TicketStatus(SHELVED), Priority(0), AssignStatus(NOTHING)])
def test_round_trip(member: OpenEnum) -> None:
    """A member survives pickling and copying: a known one as itself, an unknown one as its equal, labels and all."""
    twins = [pickle.loads(pickle.dumps(member, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for twin in (*twins, copy.copy(member), copy.deepcopy(member)):
        assert twin == member
        assert type(twin) is type(member)
        assert (twin.name, twin.label, twin.is_known) == (member.name, member.label, member.is_known)
        assert twin is member or not member.is_known


@of_any_member
def test_parse(member: OpenEnum) -> None:
    """People may write a member, its code, its label or its English name in any case, with a space or underscore."""
    name = member.name
    spellings = (member, member.value, str(member.value), member.label, name, name.lower(), name.replace("_", " "))
    assert {type(member).parse(written) for written in spellings} == {member}


@each("value", [9, 0, -1, "9", "", "pendin", "搁置", True, AssignStatus.PENDING, AssignStatus(9)])
def test_parse_refuses(value: int | str | OpenEnum) -> None:
    """What people write must be known; the error lists what is."""
    with pytest.raises(ConfigError) as caught:
        TicketStatus.parse(value)
    assert str(caught.value) == (
        f"{value!r} is not a TicketStatus; use one of: "
        "1 pending 待处理, 2 processing 处理中, 3 closed 已关闭, 4 cancelled 已取消"
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"1",
        [],
        {},
        1.0,
        10**5000,
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_parse_refuses_other_kinds(value: Any) -> None:
    """Something that is neither text nor a whole number is refused in the same words."""
    with pytest.raises(ConfigError, match="is not a TicketStatus; use one of: 1 pending 待处理"):
        TicketStatus.parse(value)


def test_parse_lets_an_unknown_member_pass() -> None:
    """A member made on purpose for a code that the document does not list is taken as meant."""
    assert TicketStatus.parse(TicketStatus(9)).value == 9


@each("text", ["9" * 19, "-" + "9" * 19, "9" * 40])
@of_any_kind
def test_a_code_of_more_than_64_bits_stays_text(kind: type[OpenEnum], text: str) -> None:
    """A text of more digits than a code can have is a name like any other; one digit less is a code."""
    name: Any = text
    assert kind(name).value == text
    code: Any = "9" * 18
    assert kind(code).value == 10**18 - 1
