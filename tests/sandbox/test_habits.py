"""Habits of platforms that make outcomes hard to know: replicas that are behind, late work, other texts, people."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.support.mutations import PENDING, creation, mutation_of
from tests.support.virtual_loop import virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    CommentTicket,
    ConfigError,
    NotFoundError,
    OutcomeUnknownError,
    ResponseError,
    RetryPolicy,
    TicketQuery,
    TicketStatus,
)
from workorder_async.sandbox import Fault, Sandbox


@virtual_time
async def test_lag() -> None:
    """A ticket is shown as it was so long ago, and a new one not before, in the list neither."""
    async with virtual_sandbox(40, lag=5) as (sandbox, client):
        close: Any = await mutation_of(client, "close")
        total = (await client.list_tickets()).pagination.total
        await client.change(close)
        id = await client.create_ticket(creation())
        await asyncio.sleep(4)
        await sandbox.act(close.id, "reopen")
        await asyncio.sleep(0.5)
        assert (await client.get_ticket(close.id)).status != TicketStatus.CLOSED
        with pytest.raises(NotFoundError):
            await client.get_ticket(id)
        assert (await client.list_tickets()).pagination.total == total
        await asyncio.sleep(1.5)
        assert (await client.get_ticket_detail(close.id)).status == TicketStatus.CLOSED
        assert (await client.get_ticket(id)).id == id
        assert (await client.list_tickets()).pagination.total == total + 1
        await asyncio.sleep(4)
        assert (await client.get_ticket(close.id)).status == TicketStatus.PENDING


@virtual_time
async def test_lag_of_a_list() -> None:
    """The pages of a list are as it was so long ago, whoever changed it; they and the tickets say the same."""
    pending = TicketQuery(status=TicketStatus.PENDING)
    async with virtual_sandbox(40, lag=5) as (sandbox, client):
        before = [one.id async for one in client.iter_tickets(pending)]
        close: Any = await mutation_of(client, "close")
        await client.change(close)
        changed = await sandbox.change(close=1, delete=1, create=1)
        gone = {close.id, *changed.closed, *changed.deleted}
        assert len(gone) == 3
        await asyncio.sleep(4)
        assert [one.id async for one in client.iter_tickets(pending)] == before
        assert {(await client.get_ticket(id)).status for id in gone} == {TicketStatus.PENDING}
        await asyncio.sleep(1.5)
        now = [one.id async for one in client.iter_tickets(pending)]
        assert now == [*changed.created, *(id for id in before if id not in gone)]
        with pytest.raises(NotFoundError):
            await client.get_ticket(changed.deleted[0])


@virtual_time
async def test_lag_of_a_file(tmp_path: Path) -> None:
    """A ticket with a file that was sent up is there after so long, and its file with it."""
    (tmp_path / "a.txt").write_text("a")
    async with virtual_sandbox(40, lag=5) as (_, client):
        attachment = await client.upload_file(tmp_path / "a.txt")
        id = await client.create_ticket(evolve(creation(), attachment=[attachment]))
        await asyncio.sleep(6)
        assert [one.file_name for one in (await client.get_ticket_detail(id)).attachment] == ["a.txt"]


@virtual_time
async def test_answered_before() -> None:
    """HTTP 504 comes at once, and the comment after so many seconds, however old its Timestamp is, or at the end."""
    async with virtual_sandbox(40) as (sandbox, client):
        sandbox.faults = [Fault("504_before", operation="comment_ticket", seconds=400)]
        comment = await mutation_of(client, "comment")
        for applied in range(2):
            with pytest.raises(OutcomeUnknownError):
                await client.change(comment)
            assert len(sandbox.applied) == applied
            await asyncio.sleep(401)
        with pytest.raises(OutcomeUnknownError):
            await client.change(comment)
        store = sandbox._store
    assert len(store.applied) == 3


@virtual_time
async def test_an_upload_answered_before(tmp_path: Path) -> None:
    """Of an upload, too, HTTP 504 comes when it was read, and the file is kept after so many seconds."""
    (tmp_path / "a.txt").write_text("a")
    async with virtual_sandbox(40, client={"retry": RetryPolicy(attempts=1)}) as (sandbox, client):
        sandbox.faults = [Fault("504_before", operation="upload_file", seconds=3)]
        with pytest.raises(ResponseError):
            await client.upload_file(tmp_path / "a.txt")
        folder = sandbox._files.path("a").parent
        assert list(folder.iterdir()) == []
        await asyncio.sleep(3.5)
        assert [file.read_text() for file in folder.iterdir()] == ["a"]


@pytest.mark.slow
async def test_people_leave_nothing_half_done() -> None:
    """A suspended ticket that a person closes is suspended no more; one that is open again is so for its line, too."""
    async with Sandbox(300) as sandbox, sandbox.client() as client:
        details = [await client.get_ticket_detail(id) for id in range(1001, 1301)]
        suspended, *_ = (one.id for one in details if one.is_suspended_notice and one.status != TicketStatus.CLOSED)
        closed, *_ = (one.id for one in details if one.status == TicketStatus.CLOSED)
        await sandbox.act(suspended, "close")
        await sandbox.act(closed, "reopen")
        assert not (await client.get_ticket_detail(suspended)).is_suspended_notice
        assert (await client.get_ticket_detail(closed)).assigns[0].status.value == 1


@pytest.mark.parametrize(
    ("texts", "said", "stored"),
    [
        ("as sent", "好😀", "好😀"),
        ("no emoji", "好😀", "好"),
        ("nfc", "e\u0301", "\u00e9"),
        ("escaped", "<&>", "&lt;&amp;&gt;"),
        ("cut", "一" * 30, "一" * 20),
    ],
)
async def test_texts(texts: Any, said: str, stored: str) -> None:
    """A text is stored in the platform's way, and `applied` has what was asked."""
    async with Sandbox(40, texts=texts) as sandbox, sandbox.client() as client:
        id = (await client.list_tickets(PENDING)).tickets[0].id
        await client.comment_ticket(CommentTicket(id=id, detail=said))
        shown = [step.detail for assign in (await client.get_ticket_detail(id)).assigns for step in assign.history]
        assert shown[-1] == stored
        assert sandbox.applied[0].request["detail"] == said


async def test_people() -> None:
    """What people do is in the history with a name, and is not in `applied`."""
    async with Sandbox(40) as sandbox, sandbox.client() as client:
        id = (await client.list_tickets(PENDING)).tickets[0].id
        for action, status in [
            ("comment", TicketStatus.PENDING),
            ("close", TicketStatus.CLOSED),
            ("reopen", TicketStatus.PENDING),
        ]:
            await sandbox.act(id, action, "好")  # type: ignore[arg-type]
            detail = await client.get_ticket_detail(id)
            step = [step for assign in detail.assigns for step in assign.history][-1]
            assert (detail.status, step.detail, bool(step.creator_id)) == (status, "好", True)
            assert bool(detail.closed_time) == bool(detail.solved_time) == detail.is_solved == (action == "close")
        assert sandbox.applied == []
        with pytest.raises(ConfigError, match="action is 'delete'"):
            await sandbox.act(id, "delete")  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"ticket_id is 9; it must be a ticket of this sandbox$"):
            await sandbox.act(9, "close")
        with pytest.raises(ConfigError, match="ticket_id is str '9'; it must be a whole number"):
            await sandbox.act("9", "close")  # type: ignore[arg-type]
        for words in (5, "\ud800"):
            with pytest.raises(ConfigError, match=r"words is .*; it must be text that can be sent$"):
                await sandbox.act(id, "comment", words)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="texts is 'odd'"):
        Sandbox(texts="odd")  # type: ignore[arg-type]
