"""cli/filters.py: how options become a query."""

import re
from datetime import datetime
from typing import Any

import orjson
import pytest

from tests.support.cli_runs import Workorder, elsewhere
from tests.support.raw_server import http, serving
from tests.support.slow import slow_after
from workorder_async import CHINA_STANDARD_TIME, TicketQuery, TicketStatus, TicketType
from workorder_async.cli.failures import sentence
from workorder_async.cli.filters import TicketFilters
from workorder_async.cli.values import Time
from workorder_async.errors import ConfigError

TICKETS = 250


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, {}),
        ({"status": "pending"}, {"status": TicketStatus.PENDING}),
        ({"status": "2"}, {"status": TicketStatus.PROCESSING}),
        ({"status": "待处理"}, {"status": TicketStatus.PENDING}),
        ({"type": "feature request"}, {"type": TicketType.FEATURE_REQUEST}),
        (
            {"created_start": Time("2024-01-31", "--created-start")},
            {"created_start": datetime(2024, 1, 31, tzinfo=CHINA_STANDARD_TIME)},
        ),
        ({"created_start": Time("2024-01-31T09:30", "--created-start")}, {"created_start": 1706664600}),
        ({"created_end": Time("2024-01-31 01:30:00Z", "--created-end")}, {"created_end": 1706664600}),
        ({"created_end": Time("1706664600", "--created-end")}, {"created_end": 1706664600}),
        ({"created_start": Time("946684800", "--created-start")}, {"created_start": 946684800}),
        (
            {"created_start": Time("20240131", "--created-start")},
            {"created_start": datetime(2024, 1, 31, tzinfo=CHINA_STANDARD_TIME)},
        ),
        ({"created_start": Time("1970-01-01T08:00", "--created-start")}, {"created_start": 0}),
        (
            {"created_start": Time("2024-01-31", "--since"), "created_end": Time("2024-01-31", "--until")},
            {"created_start": 1706630400, "created_end": 1706716799},
        ),
        ({"creator_id": 38361}, {"creator_id": 38361}),
        ({"customer": "安和在线"}, {"customer_organization_name": "安和在线"}),
        ({"product_group_id": (36, 37)}, {"product_group_id": (36, 37)}),
        ({"sub_type": 11, "second_subtype": 112}, {"sub_type": 11, "second_subtype": 112}),
    ],
)
def test_filters_become_the_query(given: dict[str, Any], asked: dict[str, Any]) -> None:
    """Each option fills its field; codes go by number and name, times by date, date-time and seconds."""
    assert TicketFilters(**given).queries() == (TicketQuery(**asked),)


@pytest.mark.parametrize(
    ("written", "statuses"),
    [
        ("pending,processing", [1, 2]),
        ("processing, pending", [2, 1]),
        ("1,pending,待处理", [1]),
        ("待处理，处理中、closed", [1, 2, 3]),
    ],
)
def test_each_status_is_a_query_once(written: str, statuses: list[int]) -> None:
    """Statuses with commas between them are one query each, in their order; the other filters are those of all."""
    queries = TicketFilters(status=written, creator_id=7).queries()
    assert queries == tuple(TicketQuery(status=TicketStatus(code), creator_id=7) for code in statuses)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (TicketFilters(status="pending,"), "--status: '' is not known; use one of: 1 pending 待处理, "),
        (TicketFilters(status="pending,x"), "--status: 'x' is not known; use one of: 1 pending 待处理, "),
        (TicketFilters(type="x"), "--type: 'x' is not known; use one of: 1 "),
        (TicketFilters(product_group_id=(-1,)), "--product-group is -1; "),
        (TicketFilters(created_start=Time("2025", "--since")), "--since '2025' .*is no time of a ticket; write a date"),
        (TicketFilters(created_end=Time("x", "--created-end")), "--created-end 'x' is no time; write "),
        (
            TicketFilters(created_start=Time("2024-02", "--since"), created_end=Time("2024-01", "--until")),
            r"--since \(2024-02-01 00:00:00\+08:00\) is after --until \(2024-01-31 23:59:59\+08:00\); swap them",
        ),
    ],
)
def test_a_filter_that_cannot_be_meant_is_named_as_it_was_written(filters: TicketFilters, said: str) -> None:
    """What is refused is named by the spelling of its option that was used."""
    with pytest.raises(ConfigError) as caught:
        filters.queries()
    assert re.match(said, sentence(caught.value))


def test_every_filter_reaches_the_platform(workorder: Workorder) -> None:
    """The options of all filters together find exactly the ticket that they were taken from."""
    [wanted] = workorder("list", "--limit", 1, "--json").rows
    base = workorder("show", wanted["id"], "--json").rows[0]
    ran = workorder(
        *("list", "--json", "--status", wanted["status"], "--type", wanted["type"]),
        *("--created-start", wanted["created_time"], "--created-end", wanted["created_time"] + 1),
        *("--creator-id", base["creator_id"], "--customer", wanted["customer_organization_name"]),
        *("--product-group", 1, "--product-group", base["product_group_id"]),
        *("--sub-type", wanted["sub_type"], "--second-subtype", wanted["second_subtype"]),
    )
    assert ran.rows == [wanted]
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("words", "in_all"), slow_after(1, [(["--limit", 0], True), (["--limit", 30], False), (["--limit", 200], False)])
)
def test_a_list_of_two_statuses_is_one_after_the_other(workorder: Workorder, words: list[object], in_all: bool) -> None:
    """`list --status pending,processing` shows each ticket once, up to the limit, and counts both kinds."""
    pending, processing = (workorder("list", "--limit", 0, "--json", "--status", one).rows for one in ("1", "2"))
    ran = workorder("list", "--status", "pending,处理中", "--json", *words)
    both = pending + processing
    assert ran.rows == both[: None if in_all else int(str(words[1]))]
    total = len(both)
    shown = workorder("list", "--status", "pending,处理中", *words).err.splitlines()[-1]
    assert shown.startswith(f"{min(total, len(ran.rows)):,} of {total} tickets")


def test_the_short_spellings_are_the_long_ones(workorder: Workorder) -> None:
    """`--since` and `--until` find what the long names find."""
    [wanted] = workorder("list", "--limit", 1, "--json").rows
    base = workorder("show", wanted["id"], "--json").rows[0]
    day = datetime.fromtimestamp(wanted["created_time"], CHINA_STANDARD_TIME).date()
    words = ["list", "--limit", 0, "--json", "--since", day, "--until", f"{day:%Y年%m月%d日}"]
    found = workorder(*words, "--product-group", base["product_group_id"]).rows
    assert wanted in found
    days = {datetime.fromtimestamp(one["created_time"], CHINA_STANDARD_TIME).date() for one in found}
    assert days == {day}


def test_a_batch_of_two_statuses_has_each_ticket_once(workorder: Workorder) -> None:
    """`close --status pending,processing` is about the tickets of both."""
    of_both = workorder("list", "--limit", 0, "--json", "--status", "pending,processing").rows
    words = ["close", "--closer-id", 1, "--closer-name", "x", "--dry-run", "--json"]
    shown = workorder(*words, "--status", "processing,pending").rows
    assert sorted(row["request"]["id"] for row in shown) == sorted(row["id"] for row in of_both)


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--json"],
        ["list", "--json", "--limit", "0"],
        ["close", "--closer-id", "1", "--closer-name", "x", "--dry-run", "--json"],
        ["export", "-"],
    ],
)
def test_a_ticket_that_both_lists_show_comes_once(workorder: Workorder, words: list[str]) -> None:
    """A ticket that was pending, and is processing once that list is read, is shown, changed or written once."""
    pages = [{"tickets": [{"id": 7, "status": n}], "pagination": {"page_size": 100, "total": 1}} for n in (1, 2)]
    with elsewhere(serving(*(http(orjson.dumps({"errno": 10000, "data": page})) for page in pages))) as wire:
        ran = workorder(*words, "--status", "pending,processing", "--base-url", wire.url)
        asked = b"".join(wire.requests)
    assert (ran.code, len(ran.rows)) == (0, 1)
    assert b'"status":1' in asked
    assert b'"status":2' in asked
