"""cli/filters.py: how options become a query."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.cli_runs import SECRET, Workorder, elsewhere
from workorder_async import CHINA_STANDARD_TIME, TicketQuery, TicketStatus, TicketType
from workorder_async.cli.filters import TicketFilters
from workorder_async.sandbox import Sandbox

TICKETS = 250


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run one sandbox for the tests of this file; none of them changes a ticket."""
    with elsewhere(Sandbox(TICKETS, app_secret=SECRET)) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, {}),
        ({"status": "pending"}, {"status": TicketStatus.PENDING}),
        ({"status": "2"}, {"status": TicketStatus.PROCESSING}),
        ({"status": "待处理"}, {"status": TicketStatus.PENDING}),
        ({"type": "feature request"}, {"type": TicketType.FEATURE_REQUEST}),
        ({"created_start": "2024-01-31"}, {"created_start": datetime(2024, 1, 31, tzinfo=CHINA_STANDARD_TIME)}),
        ({"created_start": "2024-01-31T09:30"}, {"created_start": 1706664600}),
        ({"created_end": "2024-01-31 01:30:00Z"}, {"created_end": 1706664600}),
        ({"created_end": "1706664600"}, {"created_end": 1706664600}),
        ({"created_start": "946684800"}, {"created_start": 946684800}),
        ({"created_start": "20240131"}, {"created_start": datetime(2024, 1, 31, tzinfo=CHINA_STANDARD_TIME)}),
        ({"created_start": "1970-01-01T08:00"}, {"created_start": 0}),
        ({"creator_id": 38361}, {"creator_id": 38361}),
        ({"customer": "安和在线"}, {"customer_organization_name": "安和在线"}),
        ({"product_group_id": (36, 37)}, {"product_group_id": (36, 37)}),
        ({"sub_type": 11, "second_subtype": 112}, {"sub_type": 11, "second_subtype": 112}),
    ],
)
def test_filters_become_the_query(given: dict[str, Any], asked: dict[str, Any]) -> None:
    """Each option fills its field; codes go by number and name, times by date, date-time and seconds."""
    assert TicketFilters(**given).query() == TicketQuery(**asked)


def test_now_is_a_time() -> None:
    """The word `now` is the moment of the command."""
    before = int(datetime.now(UTC).timestamp())
    start = TicketFilters(created_start="now").query().created_start
    assert start is not None
    assert before <= start <= before + 5


def test_every_filter_reaches_the_platform(workorder: Workorder) -> None:
    """The options of all filters together find exactly the ticket that they were taken from."""
    [wanted] = workorder("list", "--limit", 1, "--json").rows
    base = workorder("show", wanted["id"], "--json").rows[0]
    ran = workorder(
        *("list", "--json", "--status", wanted["status"], "--type", wanted["type"]),
        *("--created-start", wanted["created_time"], "--created-end", wanted["created_time"] + 1),
        *("--creator-id", base["creator_id"], "--customer", wanted["customer_organization_name"]),
        *("--product-group-id", 1, "--product-group-id", base["product_group_id"]),
        *("--sub-type", wanted["sub_type"], "--second-subtype", wanted["second_subtype"]),
    )
    assert ran.rows == [wanted]
    assert (ran.code, ran.err) == (0, "")
