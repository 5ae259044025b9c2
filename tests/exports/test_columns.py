"""The table of columns: which there are, what they hold, what they are said to hold."""

import re

import attrs
import pytest

from tests.support.export_rows import cells, full_ticket, hostile_tickets, tickets
from tests.support.rows import each
from workorder_async.document import (
    Attachment,
    Tag,
    TicketAssign,
    TicketDetail,
    TicketFlowHistory,
    TicketFormField,
    TicketStatus,
    TicketSummary,
)
from workorder_async.document.fields import TIMESTAMP, iso
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS, Columns, Value, columns_of

_TABLES = [TICKET_COLUMNS, DETAIL_COLUMNS]


def test_names_and_order() -> None:
    """The columns of a list are these, in this order: files that people have depend on it."""
    assert " ".join(TICKET_COLUMNS.names) == (
        "id title detail status status_name type type_name sub_type second_subtype priority priority_name "
        "product_group customer_organization_name customer_user_id creator_name handler manager need_process tags "
        "form_values reported_time reported_at created_time created_at closed_time closed_at"
    )


def test_names_of_full_records() -> None:
    """The columns of full records are these, in this order."""
    assert " ".join(DETAIL_COLUMNS.names) == (
        "id title detail status status_name type type_name sub_type sub_type_name second_subtype second_subtype_name "
        "priority priority_name feedback need_process is_solved is_suspended_notice is_creator creator_id creator_name "
        "customer_organization_id customer_organization_name customer_info product_group_id product_group_name "
        "relate_to_ticket_id use_relate_status feishu_group_id im_group_id assigns attachment handle_attachment tags "
        "form_id form_define form_values reported_time reported_at created_time created_at started_time started_at "
        "suspended_time suspended_at finished_time finished_at solved_time solved_at closed_time closed_at "
        "updated_time updated_at updated_progress_time updated_progress_at created_duration pending_duration "
        "process_duration suspended_duration confirm_duration close_duration total_duration"
    )


@pytest.mark.parametrize("model", [TicketSummary, TicketDetail, TicketAssign, TicketFlowHistory, TicketFormField, Tag])
def test_names_are_unique(model: type) -> None:
    """No two columns share a name, in any case of its letters: SQLite sees no difference."""
    names = [name.lower() for name in columns_of(model).names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("columns", _TABLES)
def test_every_field_has_a_column(columns: Columns) -> None:
    """Nothing of a ticket is left out."""
    assert {column.field for column in columns.columns} == {field.name for field in attrs.fields(columns.model)}


def test_cells_of_summaries() -> None:
    """A row's cells are what the model says, hostile texts and odd codes included."""
    for ticket in [*tickets(50), *hostile_tickets()]:
        assert dict(zip(TICKET_COLUMNS.names, TICKET_COLUMNS.read(ticket), strict=True)) == cells(ticket)


def test_cells_by_name() -> None:
    """An object that is filled again has the cells of the last row alone, in the order of the columns."""
    found: dict[str, Value] = {}
    for ticket in [*tickets(50), *hostile_tickets()]:
        TICKET_COLUMNS.fill(ticket, found)
        assert found == TICKET_COLUMNS.read_object(ticket) == cells(ticket)
        assert tuple(found) == TICKET_COLUMNS.names


def test_cells_of_full_records() -> None:
    """The lists of a full record are JSON with every field of what they hold."""
    found = dict(zip(DETAIL_COLUMNS.names, DETAIL_COLUMNS.read(full_ticket()), strict=True))
    assert found["tags"] == (
        '[{"id":3,"name":"详情","is_enabled":true,"is_deleted":false,"created_time":0,"updated_time":0},'
        '{"id":4,"name":"乙","is_enabled":false,"is_deleted":false,"created_time":0,"updated_time":0}]'
    )
    assert found["form_values"] == '{"地域":"详情","数量":[1,2.5,null,true]}'
    assert '"status":3,' in str(found["assigns"])
    assert '"history":[{"id":7,' in str(found["assigns"])
    empty = dict(zip(DETAIL_COLUMNS.names, DETAIL_COLUMNS.read(TicketDetail(id=1)), strict=True))
    assert (empty["assigns"], empty["form_values"]) == ("[]", "{}")


def test_types_of_cells() -> None:
    """A cell is of the Python type that stands for its column's Arrow type, or none."""
    kinds = {"int64": int, "string": str, "bool": bool, TIMESTAMP: str}
    rows = [(TICKET_COLUMNS, ticket) for ticket in hostile_tickets()]
    for columns, row in [*rows, (DETAIL_COLUMNS, full_ticket()), (columns_of(Attachment), Attachment())]:
        for column, cell in zip(columns.columns, columns.read(row), strict=True):
            assert cell is None or type(cell) is kinds[column.arrow], column.name


@each(
    ("seconds", "text"),
    [
        (1_636_600_271, "2021-11-11T11:11:11+08:00"),
        (1, "1970-01-01T08:00:01+08:00"),
        (-1, "1970-01-01T07:59:59+08:00"),
        (-28_801, "1969-12-31T23:59:59+08:00"),
        (1_582_905_599, "2020-02-28T23:59:59+08:00"),
        (1_582_905_600, "2020-02-29T00:00:00+08:00"),
        (253_402_271_999, "9999-12-31T23:59:59+08:00"),
        (253_402_272_000, None),
        (-(2**62), None),
        (2**200, None),
        (0, None),
    ],
)
def test_iso(seconds: int, text: str | None) -> None:
    """A time is written in China Standard Time; none for 0, and for what has no date."""
    assert iso(seconds) == text


def test_iso_is_what_the_model_says() -> None:
    """All over a year, the text is that of the model's own datetime."""
    for seconds in range(1_700_000_000, 1_731_600_000, 86_399):
        moment = TicketSummary(id=1, created_time=seconds).created_at
        assert moment is not None
        assert iso(seconds) == moment.isoformat()


def test_names_of_codes() -> None:
    """A known code has its name; an unknown code has none; an unknown name has no code."""
    places = [TICKET_COLUMNS.names.index(name) for name in ("status", "status_name")]
    for status, expected in (
        (TicketStatus.CLOSED, (3, "已关闭")),
        (TicketStatus(9), (9, None)),
        (TicketStatus("搁置"), (None, "搁置")),
    ):
        row = TICKET_COLUMNS.read(TicketSummary(id=1, status=status))
        assert tuple(row[place] for place in places) == expected


@pytest.mark.parametrize("columns", _TABLES)
def test_markdown(columns: Columns) -> None:
    """The printed table has a line for each column, with a type of each kind and a meaning that says something."""
    head, rule, *lines = columns.markdown().splitlines()
    assert head.split() == ["|", "column", "|", "Arrow", "|", "SQLite", "|", "meaning", "|"]
    assert set(rule) <= set("|- ")
    assert len({line.index("|", 2) for line in (head, rule, *lines)}) == 1
    for column, line in zip(columns.columns, lines, strict=True):
        name, arrow, sqlite, meaning = (part.strip() for part in line.strip("|").split(" | "))
        assert (name, arrow, sqlite) == (column.name, column.arrow, columns.sqlite(column))
        assert re.match(r"\w.{6,}\.$", meaning.rstrip("| ")), line


def test_lists_are_tables_in_sqlite() -> None:
    """A column that holds a list has no type there."""
    without = {column.name for column in DETAIL_COLUMNS.columns if not DETAIL_COLUMNS.sqlite(column)}
    assert without == {*DETAIL_COLUMNS.names} - {*columns_of(TicketDetail, lists=False).names}
    assert "assigns" in without


def test_meanings_of_pairs() -> None:
    """What stands beside a field says what it is, and a text of a time is not said to be seconds."""
    table = TICKET_COLUMNS.markdown()
    assert "| When it was created, in seconds (创建时间). |" in table
    assert "| When it was created (创建时间). As ISO 8601 with zone; empty if it has not happened. |" in table
    assert "Type (工单类型). Its name. |" in table
