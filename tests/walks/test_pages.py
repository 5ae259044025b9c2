"""pages.py: an answer is read as what it shows, and each row is held against the query."""

from typing import Any

import pytest

from tests.support.rows import each
from workorder_async import DecodeError, ResponseError, TicketQuery
from workorder_async.document import JSON
from workorder_async.document.envelope import Answer
from workorder_async.walks.pages import Ask, Page, PageReader

ASK = Ask(None, None, 1, 20)


def read(rows: list[Any], query: TicketQuery | None = None, *, ask: Ask = ASK, skips: bool = False) -> Page:
    """Read an answer with these rows."""
    data: JSON = {"pagination": {"page_size": 20, "total": 99}, "tickets": rows}
    return PageReader(query or TicketQuery(), skips=skips, raw=True).read(ask, Answer(data, "r-1"))


@pytest.mark.parametrize(
    ("query", "row", "words"),
    [
        (TicketQuery(status="pending"), {"status": "3"}, "filter status: ticket 7, with status '3', was not asked for"),
        (TicketQuery(status="pending"), {"status": "已关闭"}, "filter status"),
        (TicketQuery(status="pending"), {"status": 3.0}, "filter status: ticket 7, with status 3.0"),
        (TicketQuery(status="pending"), {"status": "9"}, "filter status: ticket 7, with status '9'"),
        (TicketQuery(type=1), {"type": 2}, "filter type: ticket 7"),
        (TicketQuery(sub_type=11), {"sub_type": 12}, "filter sub_type"),
        (TicketQuery(second_subtype=11), {"second_subtype": "12"}, "filter second_subtype"),
        (
            TicketQuery(customer_organization_name="金山"),
            {"customer_organization_name": "猎豹"},
            "customer_organization",
        ),
        (TicketQuery(created_start=1000), {"created_time": 998}, "created_start or created_end: ticket 7"),
        (TicketQuery(created_end=1000), {"created_time": 1002}, "created_start or created_end: ticket 7"),
    ],
)
def test_a_row_that_was_not_asked_for(query: TicketQuery, row: dict[str, Any], words: str) -> None:
    """Most rows of an answer that do not match are an error, which names the field and a ticket."""
    rows = [{"id": 6}, *({"id": id, "created_time": 1000, **row} for id in (7, 8, 9))]
    with pytest.raises(ResponseError, match=words):
        read(rows, query)


@each("row", [{"status": "3"}, {"status": 2}, {"type": 2}])
def test_a_few_rows_that_were_not_asked_for(row: dict[str, Any]) -> None:
    """A filter may ask an index that is behind the rows: these are left out, counted, and named."""
    reader = PageReader(TicketQuery(status="pending", type=1))
    rows = [
        {"id": id, "created_time": 1000, "status": 1, "type": 1, **(row if id in (6, 8) else {})} for id in range(9)
    ]
    rows[0]["id"] = 9
    data: JSON = {"pagination": {"page_size": 20, "total": 99}, "tickets": [*rows]}
    page = reader.read(ASK, Answer(data, "r-1"))
    assert (page.ids, page.count) == ([9, 1, 2, 3, 4, 5, 7], 9)
    ((name, value),) = row.items()
    said = f"2 rows that the list showed do not match the query, and were left out, as ticket 6 with {name} {value!r}"
    assert reader.flaws == [f"{said}, ticket 8 with {name} {value!r}"]


@each(
    ("query", "row"),
    [
        (TicketQuery(status="pending"), {"status": "1"}),
        (TicketQuery(status="pending"), {"status": 1}),
        (TicketQuery(status="pending"), {"status": 1.0}),
        (TicketQuery(status="pending"), {"status": "待处理"}),
        (TicketQuery(status="pending"), {"status": "某种新状态"}),
        (TicketQuery(status="pending"), {"status": None}),
        (TicketQuery(status="pending"), {"status": "0"}),
        (TicketQuery(status="pending"), {}),
        (TicketQuery(sub_type=11), {"sub_type": "11"}),
        (TicketQuery(sub_type=11), {"sub_type": 0}),
        (TicketQuery(customer_organization_name="金山"), {"customer_organization_name": "北京金山云有限公司"}),
        (TicketQuery(customer_organization_name="金山"), {"customer_organization_name": ""}),
        (TicketQuery(customer_organization_name="某（ＢＪ）"), {"customer_organization_name": "某(bj)公司"}),
        (TicketQuery(creator_id=5), {"creator_name": "x"}),
    ],
)
def test_a_row_that_may_match(query: TicketQuery, row: dict[str, Any]) -> None:
    """What matches in any spelling, and what says nothing plain, is taken."""
    assert read([{"id": 7, "created_time": 1000, **row}], query).ids == [7]


@pytest.mark.parametrize("time", [1_600_000_000, "1600000000", 1_600_000_000_000, 1.6e9, "2020-09-13 20:26:40"])
def test_created_times_in_any_spelling(time: object) -> None:
    """Seconds, milliseconds, texts and date-times are the same second."""
    assert read([{"id": 7, "created_time": time}]).seconds == [1_600_000_000]


@pytest.mark.parametrize("time", [0, None, "", -5, [1]])
def test_rows_without_a_created_time(time: object) -> None:
    """They are set aside, and count as rows all the same."""
    page = read([{"id": 7, "created_time": time}, {"id": 8, "created_time": 5}, {"id": 9}])
    assert (page.ids, page.seconds, page.count) == ([8], [5], 3)
    assert [id for id, _ in page.undated] == [7, 9]


def test_the_same_ticket_twice() -> None:
    """A ticket that an answer shows twice is taken once."""
    assert read([{"id": 7, "created_time": 6}, {"id": 8, "created_time": 5}, {"id": 7, "created_time": 6}]).ids == [
        7,
        8,
    ]


def test_a_second_more_at_the_ends() -> None:
    """What lies a second outside of the query was asked for: that is no error."""
    rows = [{"id": id, "created_time": id} for id in (99, 100, 200, 201)]
    assert read(rows, TicketQuery(created_start=100, created_end=200)).count == 4


def test_an_answer_from_elsewhere() -> None:
    """Rows that were not created when the list was asked are seen; a second is nothing."""
    assert read([{"id": 7, "created_time": 501}], ask=Ask(100, 500, 1, 20)).is_in_range
    assert not read([{"id": 7, "created_time": 502}], ask=Ask(100, 500, 1, 20)).is_in_range
    assert not read([{"id": 7, "created_time": 98}], ask=Ask(100, 500, 1, 20)).is_in_range


def test_an_id_that_cannot_be_read() -> None:
    """It is an error with its path; or it is left out, counted, and named once, though two answers show it."""
    rows: list[JSON] = [{"id": 7, "created_time": 5}, {"created_time": 5}]
    with pytest.raises(DecodeError, match=r"\$\.data\.tickets\[1\]\.id is missing"):
        read(rows)
    reader = PageReader(TicketQuery(), skips=True, raw=True)
    data: JSON = {"pagination": {"page_size": 20, "total": 99}, "tickets": rows}
    pages = [reader.read(ASK, Answer(data)) for _ in range(2)]
    assert [(page.ids, page.count, len(reader.skipped)) for page in pages] == [([7], 2, 1)] * 2
