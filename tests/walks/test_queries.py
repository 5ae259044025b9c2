"""Several queries, in an export or a list: exact only if no ticket can pass from one to another, unseen by both."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.export_rows import read_back
from tests.support.rows import each
from workorder_async import Sandbox, TicketQuery
from workorder_async.exports import InexactExportError, export_tickets
from workorder_async.walk_report import WalkReport
from workorder_async.walks.queries import doubts_of, together

Q = TicketQuery


@each(
    ("queries", "name"),
    [
        ([Q(status=1), Q(status=3)], "status"),
        ([Q(status=3), Q(status=1), Q(status=2), Q(status=4)], "status"),
        ([Q(type=1), Q(type=2)], "type"),
        ([Q(sub_type=11), Q(sub_type=12)], "sub_type"),
        ([Q(second_subtype=111), Q(second_subtype=112)], "second_subtype"),
        ([Q(customer_organization_name="甲"), Q(customer_organization_name="乙")], "customer_organization_name"),
        ([Q(product_group_id=(1, 2)), Q(product_group_id=(2, 3))], "product_group_id"),
        ([Q(status=1), Q(type=1)], "status"),
        ([Q(status=1, type=1), Q(status=2)], "status"),
        ([Q(status=1, creator_id=7), Q(status=2)], "status"),
        # The bounds of created time may be blurred, or shared.
        ([Q(status=1, created_end=100), Q(status=2, created_start=100)], "status"),
        ([Q(status=1, created_end=100), Q(status=2, created_start=101)], "status"),
        ([Q(status=1, created_end=200), Q(status=2, created_start=100)], "status"),
        # One that covers a third one only, or is covered by nobody.
        ([Q(status=1), Q(status=2), Q(created_start=5)], "status"),
        ([Q(status=1), Q(status=2), Q(creator_id=7)], "status"),
        ([Q(status=1), Q(status=2), Q(status=1, type=1)], "status"),
    ],
)
def test_may_pass(queries: list[TicketQuery], name: str) -> None:
    """A filter that a ticket may leave, without one that keeps the tickets of both apart."""
    for asked in (queries, queries[::-1], [*queries, *queries]):
        (doubt,) = doubts_of(asked)
        assert doubt.startswith(f"a ticket whose {name} changed") or asked is not queries


@each(
    "queries",
    [
        [Q()],
        [Q(status=1)],
        [Q(status=1), Q(status=1)],
        [Q(created_end=99), Q(created_start=100)],
        [Q(created_end=500, status=2), Q(created_start=100, status=2)],
        [Q(creator_id=1), Q(creator_id=2)],
        [Q(creator_id=1, status=1), Q(creator_id=2, status=2)],
        [Q(status=1, created_end=99), Q(status=2, created_start=101)],
        [Q(status=1), Q(status=2), Q()],
        [Q(status=1, created_start=10), Q(status=2, created_start=20, created_end=30), Q(created_start=10)],
        [Q(status=1), Q(status=1, type=2)],
        [Q(status=1), Q(created_start=5)],
        [Q(product_group_id=(1, 2)), Q(product_group_id=(2,))],
        [Q(product_group_id=(1, 2)), Q()],
    ],
)
def test_cannot_pass(queries: list[TicketQuery]) -> None:
    """One query, ranges, creators, and queries of which one is wider."""
    for asked in (queries, queries[::-1], [*queries, *queries]):
        assert doubts_of(asked) == []


async def test_a_ticket_that_passes(tmp_path: Path) -> None:
    """A ticket that is closed between the two queries is in neither; the report does not call that exact."""
    passing = [TicketQuery(status=3), TicketQuery(status=1)]
    async with Sandbox(tickets=300) as sandbox, sandbox.client() as client:
        matched = {ticket.id for query in passing async for ticket in client.iter_tickets(query)}
        asked = client.walk

        @asynccontextmanager
        async def walk(window: Any, **options: Any) -> AsyncIterator[Any]:
            if window.query.status == 1:
                assert (await sandbox.change(close=20)).closed
            async with asked(window, **options) as walk:
                yield walk

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(client, "walk", walk)
            report = await export_tickets(client, passing, tmp_path / "t.jsonl")
        assert {row["id"] for row in read_back(tmp_path / "t.jsonl")} < matched
        assert not report.exact
        assert (
            report.reason == "a ticket whose status changed may have passed from one query to another, unseen by both"
        )
        with pytest.raises(InexactExportError, match="whose status changed"):
            await export_tickets(client, passing, tmp_path / "u.jsonl", strict=True)
        apart = [TicketQuery(created_end=10), TicketQuery(created_start=11)]
        assert (await export_tickets(client, apart, tmp_path / "v.jsonl", strict=True)).exact


def walked(**odd: Any) -> WalkReport:
    """Return the report of a walk that was exact, with what is odd about it."""
    plain = dict.fromkeys(("requests", "tickets", "repeats", "sections", "edges", "crowded_seconds"), 1)
    return WalkReport(**{**plain, "first_total": 1, "last_total": 1, "exact": True, "reason": "whole", **odd})


def test_walks_together() -> None:
    """Walks are exact together where each is and no ticket can have passed; the first doubt is that of a walk."""
    apart, passing = [Q(creator_id=1), Q(creator_id=2)], [Q(status=1), Q(status=2)]
    both, doubtful = [walked(), walked()], [walked(), walked(exact=False, reason="odd")]
    assert together(apart, both).exact
    assert together([Q(status=1)], [walked()]).exact
    assert together(apart, both).reason == "each of 2 walks is exact"
    assert (together(passing, both).exact, together(passing, both).tickets) == (False, 2)
    assert together(passing, both).reason.startswith("a ticket whose status changed")
    for queries in (apart, passing):
        assert (together(queries, doubtful).exact, together(queries, doubtful).reason) == (False, "odd")
    # Before the second walk there is a report as well.
    assert together(passing, [walked(last_total=-1)]).last_total == 0
