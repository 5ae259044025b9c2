"""Exports while tickets change: complete by the report, and in truth."""

from pathlib import Path

import pytest

from tests.support.export_rows import read_back
from tests.support.exports import truth
from workorder_async import Sandbox, TicketQuery, TicketStatus
from workorder_async.exports import export_tickets
from workorder_async.sandbox import Drift

TICKETS = 1500


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("status", [None, TicketStatus.PENDING])
async def test_five_percent(status: TicketStatus | None, seed: int, tmp_path: Path) -> None:
    """Five in a hundred are closed, reopened, created and deleted meanwhile: each that stays comes once."""
    query = TicketQuery(status=status)
    async with Sandbox(tickets=TICKETS, seed=seed) as sandbox, sandbox.client() as client:
        before = {ticket.id for ticket in await truth(client, query)}
        sandbox.drift = [Drift(after=2, every=1, times=20, close=4, reopen=4, create=1, delete=1)]
        report = await export_tickets(client, query, tmp_path / "t.jsonl")
        changes, sandbox.drift = sandbox.drifted, ()
        after = {ticket.id for ticket in await truth(client, query)}
    moved = {id for one in changes for id in (*one.closed, *one.reopened, *one.created, *one.deleted)}
    assert len(changes) >= 5
    assert len(moved) > len(before) * 0.04
    ids = [row["id"] for row in read_back(tmp_path / "t.jsonl")]
    assert len(ids) == len(set(ids)) == report.rows
    assert set(ids) <= before | after | moved
    assert not (before & after) - moved - set(ids)
    assert report.exact, report.reason


@pytest.mark.slow
async def test_closed_alone_is_exact(tmp_path: Path) -> None:
    """Without a filter that people can change, what is closed and reopened meanwhile leaves the result exact."""
    async with Sandbox(tickets=TICKETS) as sandbox, sandbox.client() as client:
        wanted = {ticket.id for ticket in await truth(client)}
        sandbox.drift = [Drift(after=1, every=1, close=8, reopen=8)]
        report = await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl")
    assert report.exact
    assert {row["id"] for row in read_back(tmp_path / "t.jsonl")} == wanted
