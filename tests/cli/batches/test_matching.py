"""cli/chosen.py: what the list shows is held against the filters before any ticket of it is changed."""

import re
from typing import Any

import orjson
import pytest

from tests.support.cli_changes import CLOSER
from tests.support.cli_runs import Ran, Workorder, elsewhere
from tests.support.raw_server import http, serving
from tests.support.slow import slow_after

NOW = 1_730_000_000
ASKED = [
    *("--status", "pending", "--type", "1", "--customer", "北京", "--sub-type", "11"),
    *("--created-start", "2024-10-01", "--created-end", "2024-11-01"),
]
# What the rows of tickets show that nobody asked for; a None is left out of its row.
ODD: list[dict[str, Any]] = [
    {"status": 3},
    {"status": "3"},
    {"status": 3.0},
    {"status": "已关闭"},
    {"status": "frozen"},
    {"status": 9},
    {"status": None},
    {"status": ""},
    {"type": 2},
    {"type": 2.0},
    {"type": None},
    {"sub_type": 12},
    {"sub_type": 12.0},
    {"sub_type": None},
    {"customer_organization_name": "上海"},
    {"customer_organization_name": None},
    {"created_time": 1_600_000_000},
    {"created_time": 1_740_000_000},
    {"created_time": "1600000000"},
    {"created_time": 1_600_000_000.0},
    {"created_time": 0},
    {"created_time": -5},
    {"created_time": None},
]


def row(id: int, **odd: object) -> dict[str, object]:
    """Return a row that was asked for, but for what is odd."""
    matching = {
        "id": id,
        "title": "t",
        "status": "1",
        "type": 1,
        "sub_type": 11,
        "created_time": NOW - id,
        "creator_name": "姜程",
        "customer_organization_name": "北京晨曦",
    }
    return {name: value for name, value in {**matching, **odd}.items() if value is not None}


def closed(workorder: Workorder, rows: list[dict[str, object]], *words: object) -> tuple[Ran, list[int]]:
    """Close what was asked for from a list that has these rows; return which tickets were sent."""
    page = {"tickets": rows, "pagination": {"page_size": 100, "total": len(rows)}}
    with elsewhere(serving(http(orjson.dumps({"errno": 10000, "data": page})))) as wire:
        ran = workorder("close", *CLOSER, *words, "--yes", "--base-url", wire.url)
        bodies = [request.partition(b"\r\n\r\n")[2] for request in wire.requests if b"close_ticket" in request]
    return ran, sorted(orjson.loads(body)["id"] for body in bodies)


@pytest.mark.parametrize("odd", slow_after(4, ODD))
def test_what_was_not_asked_for_is_not_changed(workorder: Workorder, odd: dict[str, object]) -> None:
    """Of 60 rows 5 show that they match: no other ticket is sent, whatever the others show, or do not show."""
    good = [row(id) for id in range(1, 6)]
    ran, sent = closed(workorder, [*good, *(row(100 + number, **odd) for number in range(55))], *ASKED)
    assert (ran.code, set(sent) <= set(range(1, 6))) == (1, True)
    assert "was not asked for" in ran.err or "its row in the list does not match: " in ran.err
    assert "TicketStatus" not in ran.err


def test_what_was_asked_for_is(workorder: Workorder) -> None:
    """The rows that match, written in each way that a server writes them, are changed."""
    ways: list[dict[str, object]] = [{}, {"status": 1}, {"status": "待处理"}, {"type": "1"}, {"created_time": f"{NOW}"}]
    ran, sent = closed(workorder, [row(number, **way) for number, way in enumerate(ways, 1)], *ASKED)
    assert (ran.code, sent) == (0, [1, 2, 3, 4, 5])


def test_what_is_not_asked_about_need_not_be_shown(workorder: Workorder) -> None:
    """A row without a time or a type matches filters that do not ask for these."""
    ran, sent = closed(workorder, [{"id": 7, "status": 1}], "--status", "pending")
    assert (ran.code, sent) == (0, [7])


def test_a_list_shows_nothing_else(workorder: Workorder) -> None:
    """`list` of a server that does not keep to a filter prints no row that does not match."""
    page = {"tickets": [row(1), row(2, status=3)], "pagination": {"page_size": 100, "total": 2}}
    with elsewhere(serving(http(orjson.dumps({"errno": 10000, "data": page})))) as wire:
        for words in (["list"], ["list", "--json"], ["list", "--limit", "0"]):
            ran = workorder(*words, "--status", "pending", "--base-url", wire.url)
            assert ran.code == 0
            assert re.findall(r"^(?:\{\"id\":)?(\d+)", ran.out, re.MULTILINE) == ["1"]
            assert ("left out, as ticket 2 with status 3" in ran.err) == ("0" in words)
        assert workorder("list", "--base-url", wire.url).code == 0
