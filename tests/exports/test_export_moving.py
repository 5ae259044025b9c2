"""Exports while tickets change: complete by the report and in truth, or not exact by the report."""

from pathlib import Path

import pytest

from tests.support.export_rows import read_back
from tests.support.exports import truth
from workorder_async import Sandbox, TicketQuery, TicketStatus, WalkDriftError
from workorder_async.exports import ExportReport, export_tickets
from workorder_async.sandbox import Drift

TICKETS = 3000


async def missed(sandbox: Sandbox, query: TicketQuery, target: Path, *, verify: bool) -> tuple[ExportReport, set[int]]:
    """Export while the list moves; return the report, and the tickets that matched all along and are not there."""
    async with sandbox.client() as client:
        before = {ticket.id for ticket in await truth(client, query)}
        sandbox.drift = [Drift(after=2, every=1, times=20, close=4, reopen=4, create=1, delete=1)]
        try:
            report = await export_tickets(client, query, target, max_tickets=500, verify=verify)
        except WalkDriftError:
            # Where `verify` finds no rest it says so, and the same call goes on.
            assert verify
            sandbox.drift = ()
            report = await export_tickets(client, query, target, verify=verify)
        drifted = len(sandbox.drifted)
        sandbox.drift = ()
        after = {ticket.id for ticket in await truth(client, query)}
    changes = [{*one.closed, *one.reopened, *one.created, *one.deleted} for one in sandbox.drifted]
    moved = set().union(*changes)
    assert drifted >= 5
    assert len(moved) > len(before) * 0.04
    ids = [row["id"] for row in read_back(target)]
    assert len(ids) == len(set(ids)) == report.rows
    assert set(ids) <= before | after | moved
    return report, (before & after) - moved - set(ids)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("status", [None, TicketStatus.PENDING])
@pytest.mark.parametrize("verify", [False, True])
async def test_five_percent(status: TicketStatus | None, verify: bool, seed: int, tmp_path: Path) -> None:
    """Five in a hundred are closed, reopened, created and deleted meanwhile."""
    async with Sandbox(tickets=TICKETS, seed=seed) as sandbox:
        report, missing = await missed(sandbox, TicketQuery(status=status), tmp_path / "t.jsonl", verify=verify)
    if report.exact:
        assert not missing
    else:
        assert report.reason
    if verify:
        assert report.exact


async def test_closed_alone_is_exact(tmp_path: Path) -> None:
    """Without a filter that people can change, what is closed and reopened meanwhile leaves the result exact."""
    async with Sandbox(tickets=TICKETS) as sandbox, sandbox.client() as client:
        wanted = {ticket.id for ticket in await truth(client)}
        sandbox.drift = [Drift(after=1, every=1, close=8, reopen=8)]
        report = await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", max_tickets=500)
    assert report.exact
    assert {row["id"] for row in read_back(tmp_path / "t.jsonl")} == wanted
