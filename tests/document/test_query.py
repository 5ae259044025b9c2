import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from tests.support.rows import each
from workorder_async.document import PageRequest, TicketQuery, TicketStatus, TicketType
from workorder_async.errors import ConfigError

FULL: dict[str, Any] = {
    "created_start": 1632672000,
    "created_end": 1632758400,
    "creator_id": 38361,
    "customer_organization_name": "示例科技有限公司",
    "product_group_id": (36, 37),
    "status": TicketStatus.PROCESSING,
    "type": TicketType.TROUBLESHOOTING,
    "sub_type": 12,
    "second_subtype": 120,
}


def test_fields() -> None:
    """Query and page together are the API document's TicketListThirdRequest."""
    asked = {field.name for kind in (TicketQuery, PageRequest) for field in attrs.fields(kind)} - {"query"}
    assert asked == {
        "created_end",
        "created_start",
        "creator_id",
        "customer_organization_name",
        "page",
        "page_size",
        "product_group_id",
        "status",
        "type",
        "sub_type",
        "second_subtype",
    }


def test_empty_query() -> None:
    """A query that says nothing filters nothing, and the first page has the document's ten rows."""
    query = TicketQuery()
    assert query.product_group_id == ()
    assert {getattr(query, name) for name in FULL if name != "product_group_id"} == {None}
    assert PageRequest() == PageRequest(query, page=1, page_size=10)


def test_full_query() -> None:
    """Every filter keeps the value it was given."""
    assert attrs.asdict(TicketQuery(**FULL), recurse=False) == FULL


def test_an_end_of_0() -> None:
    """The document's example writes 0 for a filter that is not set: a list would be whole, and a walk of it empty."""
    with pytest.raises(ConfigError, match=r"TicketQuery.created_end is 0.*; leave it out"):
        TicketQuery(created_end=0)
    assert TicketQuery(created_start=0).created_start == 0


def test_only_keywords() -> None:
    """Nine filters in a row of bare values could be mixed up: they must be named, and spelled right."""
    unchecked: Any = TicketQuery
    with pytest.raises(TypeError):
        unchecked(1632672000)
    with pytest.raises(TypeError, match="creater_id"):
        unchecked(creater_id=1)


class NotATime(datetime):
    """A datetime that is none, as NaT of pandas."""

    def utcoffset(self) -> timedelta | None:
        """Refuse."""
        raise ValueError("NotATime does not support utcoffset")

    def __ne__(self, other: object) -> bool:
        """Be no other's equal, nor its own."""
        return True

    __hash__ = datetime.__hash__


class Number:
    """A whole number of another class, as those of NumPy."""

    def __index__(self) -> int:
        """Be five."""
        return 5

    def __repr__(self) -> str:
        """Say so."""
        return "Number(5)"


UNKNOWN: Any = "未知"
CLOCKS = ("created_start", "created_end")
SUBTYPES = ("sub_type", "second_subtype")
IDS = ("creator_id", *SUBTYPES)


@each(
    ("field", "value", "why"),
    [
        *((name, datetime(2021, 9, 27, 8), "is a datetime without a zone") for name in CLOCKS),
        *((name, 1632742075000, "is 1632742075000, which looks like milliseconds") for name in CLOCKS),
        *((name, datetime.max.replace(tzinfo=UTC), "is 253402300799, which is after the year 5138") for name in CLOCKS),
        *((name, -1, "is -1; it must be from 0 to 100000000000") for name in CLOCKS),
        *((name, datetime(1969, 12, 31, tzinfo=UTC), "is -86400; it must be from 0") for name in CLOCKS),
        *((name, 1632742075.0, "is float 1632742075.0; it must be whole seconds") for name in CLOCKS),
        *((name, "2021-09-27", "is str '2021-09-27'; it must be whole seconds") for name in CLOCKS),
        *((name, True, "is bool True; it must be whole seconds, or a datetime with a zone") for name in CLOCKS),
        *(
            pytest.param(name, 10**5000, "is a value of class int that cannot be shown, which", id=f"huge {name}")
            for name in CLOCKS
        ),
        *((name, NotATime(2021, 9, 27), "; where there is no time, leave it out") for name in CLOCKS),
        *((name, Number(), "it must be whole seconds, as int(...) makes one of this, or a") for name in CLOCKS),
        *((name, Number(), "it must be a whole number, as int(...) makes one of this") for name in IDS),
        ("creator_id", 0, "is 0; it must be from 1 to 9223372036854775807"),
        ("creator_id", 2**63, "is 9223372036854775808; it must be from 1 to 9223372036854775807"),
        *((name, 0, "is 0; it must be from 1 to 2147483647") for name in SUBTYPES),
        *((name, 2**31, "is 2147483648; it must be from 1 to 2147483647") for name in SUBTYPES),
        *((name, "12", "is str '12'; it must be a whole number") for name in IDS),
        *((name, True, "is bool True; it must be a whole number") for name in IDS),
        ("customer_organization_name", "", "is empty; it must have a text"),
        ("customer_organization_name", " \n", "is empty"),
        ("customer_organization_name", 5, "must be text, not int 5"),
        ("customer_organization_name", b"x", "must be text, not bytes"),
        ("customer_organization_name", "公司\udc80", "holds a lone surrogate"),
        ("product_group_id", 36, "must be a list of ids, not int 36"),
        ("product_group_id", None, "must be a list of ids, not None"),
        ("product_group_id", "36", "must be a list of ids, not str '36'"),
        ("product_group_id", ["36"], "is str '36'; it must be a whole number"),
        ("product_group_id", [36, 0], "is 0; it must be from 1"),
        ("product_group_id", [True], "is bool True; it must be a whole number"),
        ("status", 9, "cannot be int 9; use a TicketStatus: 1 待处理, 2 处理中, 3 已关闭, 4 已取消"),
        ("status", "搁置", "cannot be str '搁置'; use a TicketStatus"),
        ("status", True, "cannot be bool True"),
        ("status", TicketType.CONSULTATION, "cannot be TicketType"),
        ("status", TicketStatus(UNKNOWN), "is '未知', which has no code to send"),
        ("status", ["1"], "cannot be list"),
        ("type", 4, "cannot be int 4; use a TicketType: 1 问题排查, 2 需求反馈, 3 咨询"),
        ("type", TicketStatus.PENDING, "cannot be TicketStatus"),
        ("type", TicketType(UNKNOWN), "is '未知', which has no code to send"),
        ("type", {}, "cannot be dict"),
    ],
)
def test_refused(field: str, value: Any, why: str) -> None:
    """A filter that the platform could not take is refused when the query is made, by name."""
    with pytest.raises(ConfigError, match=rf"^TicketQuery\.{field} ") as caught:
        TicketQuery(**{field: value})
    assert why in str(caught.value)


def test_start_after_end() -> None:
    """A window that ends before it starts is refused; one of a single second is not."""
    with pytest.raises(ConfigError, match=r"created_start \(1970-01-01 08:00:02\+08:00\) is after"):
        TicketQuery(created_start=2, created_end=1)
    assert TicketQuery(created_start=1, created_end=1).created_end == 1


@each("field", ["page", "page_size"])
@each(
    ("value", "why"),
    [
        (0, "is 0; it must be from 1 to 2147483647"),
        (-1, "is -1; it must be from 1"),
        (2**31, "is 2147483648; it must be from 1"),
        (1.0, "is float 1.0; it must be a whole number"),
        (True, "is bool True; it must be a whole number"),
        (None, "is None; it must be a whole number"),
    ],
)
def test_page_refused(field: str, value: Any, why: str) -> None:
    """A page or a size that the platform could not take is refused by name."""
    with pytest.raises(ConfigError, match=rf"^{field} ") as caught:
        PageRequest(**{field: value})
    assert why in str(caught.value)


def test_page_of_what() -> None:
    """A page is one of a query's, not of a dictionary's."""
    query: Any = {"status": 1}
    with pytest.raises(ConfigError, match="query must be a TicketQuery, not dict"):
        PageRequest(query)


@each("value", [2, "2", "处理中", "processing", "PROCESSING", TicketStatus.PROCESSING])
def test_status_spellings(value: Any) -> None:
    """A status may be given as a code, a label, an English name or a member."""
    assert TicketQuery(status=value).status is TicketStatus.PROCESSING


@each("value", [2, "2", "需求反馈", "feature request", TicketType.FEATURE_REQUEST])
def test_type_spellings(value: Any) -> None:
    """A type may be given as a code, a label, an English name or a member."""
    assert TicketQuery(type=value).type is TicketType.FEATURE_REQUEST


def test_unknown_code_on_purpose() -> None:
    """A member made for a code that the document does not list can be asked for."""
    assert TicketQuery(status=TicketStatus(9)).status == TicketStatus(9)


@pytest.mark.parametrize("field", CLOCKS)
@given(
    second=st.integers(1, 4102444800),
    microsecond=st.integers(0, 999_999),
    offset=st.integers(-14 * 60, 14 * 60),
)
def test_datetime_is_floored(field: str, second: int, microsecond: int, offset: int) -> None:
    """An aware datetime of any zone becomes the whole second it lies in."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second, microseconds=microsecond)
    local: Any = moment.astimezone(timezone(timedelta(minutes=offset)))
    query = TicketQuery(**{field: local})
    assert getattr(query, field) == second
    assert type(getattr(query, field)) is int


@given(st.lists(st.integers(1, 2**63 - 1), max_size=5))
def test_any_iterable_of_ids(ids: list[int]) -> None:
    """Ids given as a list, a tuple or an iterator make the same query, with the same hash."""
    given_as: tuple[Any, ...] = (ids, tuple(ids), iter(ids))
    made = {TicketQuery(product_group_id=each) for each in given_as}
    assert [query.product_group_id for query in made] == [tuple(ids)]


@each("name", FULL)
def test_frozen(name: str) -> None:
    """A query cannot be changed, so it may be a key."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(TicketQuery(**FULL), name, FULL[name])


@each("name", FULL)
def test_each_filter_counts(name: str) -> None:
    """Two queries that differ in one filter are different keys."""
    without = {key: value for key, value in FULL.items() if key != name}
    assert TicketQuery(**FULL) != TicketQuery(**without)
    assert len({TicketQuery(**FULL), TicketQuery(**FULL), TicketQuery(**without)}) == 2


@each(
    "make",
    [
        TicketQuery,
        lambda: TicketQuery(**FULL),
        lambda: TicketQuery(status=TicketStatus(9)),
        lambda: PageRequest(TicketQuery(**FULL), page=3, page_size=100),
    ],
)
def test_round_trip(make: Callable[[], object]) -> None:
    """A query, with a page too, is the same value and the same key after pickling."""
    value = make()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(value, protocol))
        assert twin == value
        assert hash(twin) == hash(value)
