"""Records of journal.py, and `settle_journal` of batch.py: what a journal tells, and what is found out afterwards."""

import re
from contextlib import aclosing
from pathlib import Path
from typing import cast

import pytest

from tests.support.batches import closes, happened, lines_of, ran, sealed, states
from tests.support.mutations import QUICK, close_of, creation
from tests.support.virtual_loop import virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import CommentTicket, ConfigError, JournalError, Mutation, WorkorderClient
from workorder_async.batches.batch import run_batch, settle_journal
from workorder_async.batches.journal_file import read_records
from workorder_async.batches.outcomes import BatchReport, Outcome, State
from workorder_async.mutations.kinds import key_of
from workorder_async.sandbox import Fault, Sandbox


@virtual_time
async def test_what_became_of_each(journal: Path) -> None:
    """Each mutation has its last outcome and what is known of it, in the order in which they were begun."""
    async with virtual_sandbox(150) as (sandbox, client):
        first, second = await closes(client, 2)
        batch: list[Mutation] = [
            first,
            close_of(second.id, "查无此人"),
            creation("新工单"),
            CommentTicket(id=first.id, detail="已处理"),
        ]
        sandbox.faults = [Fault("reset", operation="comment_ticket")]
        await ran(client, batch, journal=journal, key=key_of, name="夜班", concurrency=1, deadline=0.5)
        platform, made = client.base_url, sandbox.applied[-1].ticket_id
    records = read_records(journal)
    assert records.identity["platform"] == platform
    assert records.identity["batch"] == "夜班"
    found = list(records.by_key.values())
    assert [one.state for one in found] == [State.DONE, State.REJECTED, State.DONE, State.UNKNOWN]
    assert [one.operation for one in found] == ["CloseTicket", "CloseTicket", "CreateTicket", "CommentTicket"]
    assert [one.mutation.get("id") for one in found] == [first.id, second.id, None, first.id]
    assert "90006" in str(found[1].facts["error"])
    raised = found[1].facts["raised"]
    assert isinstance(raised, dict)
    assert {*raised} == {"kind", "message", "operation", "attempts", "request_id", "errno", "errmsg", "status"}
    assert found[2].facts["ticket_id"] == made
    assert [key in records.lasting for key in records.by_key] == [True, False, True, True]
    assert all(one.began > 1e9 for one in found)


async def test_it_is_read_while_a_batch_writes_it(client: WorkorderClient, journal: Path, tmp_path: Path) -> None:
    """Neither the lock nor a torn last line is in the way."""
    torn = tmp_path / "torn"
    batch = await closes(client, 3)
    async with aclosing(run_batch(client, batch, journal=journal, concurrency=1)) as outcomes:
        assert (await anext(outcomes)).state is State.DONE
        torn.write_bytes(sealed(lines_of(journal)[:2]) + b'{"outcome')
        for file in (journal, torn):
            assert next(iter(read_records(file).by_key.values())).mutation["id"] == batch[0].id


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read the journal .*: No such file"),
        (b"", "is empty: it is no journal"),
        (b"1473\n", "line 1 of the journal .* cannot be read"),
        (b'{"journal":"workorder_async","version":9}\n', "is a journal of another version"),
        (sealed([b'{"journal":"workorder_async","version":2}', b'{"outcome":"k"}']), "line 2 of"),
    ],
)
def test_what_is_no_journal(journal: Path, content: bytes | None, said: str) -> None:
    """A file that is no journal, or that was changed by hand, is an error that names it."""
    if content is not None:
        journal.write_bytes(content)
    with pytest.raises(JournalError, match=said):
        read_records(journal)
    with pytest.raises(JournalError, match=r"cannot read the journal .*: embedded null byte"):
        read_records(f"{journal}\0")
    with pytest.raises(JournalError, match="is no file"):
        read_records(journal.parent)


async def _settled(client: WorkorderClient, journal: Path, report: BatchReport | None = None) -> list[Outcome]:
    async with aclosing(settle_journal(client, journal, report=report)) as outcomes:
        return [outcome async for outcome in outcomes]


@pytest.mark.parametrize("as_list", [True, False])
async def test_what_was_left_open_is_settled(
    sandbox: Sandbox, client: WorkorderClient, journal: Path, *, as_list: bool
) -> None:
    """What a run left open is looked for, nothing is sent, and the journal knows it: of a list's batch too."""
    done, left, fresh = await closes(client, 3)
    batch: list[Mutation] = [done, left, CommentTicket(id=fresh.id, detail="已处理")]
    await ran(client, batch if as_list else iter(batch), journal=journal, name="夜班", concurrency=1)
    lines = [line for line in lines_of(journal) if not line.startswith(b'{"outcome"')]
    # As after a crash: no outcome is written; one close never came there, and the comment is not to be found.
    assert f'"id":{left.id}'.encode() in lines[2]
    lines[2] = lines[2].replace(f'"id":{left.id}'.encode(), f'"id":{fresh.id}'.encode())
    lines[3] = lines[3].replace("已处理".encode(), "没有到达".encode())
    lines[2] = re.sub(rb'"began":([0-9.]+)', lambda found: b'"began":%f' % (float(found[1]) - 600), lines[2])
    journal.write_bytes(sealed(lines))  # noqa: ASYNC240 - a temporary file
    elsewhere = BatchReport()
    async with Sandbox(300) as other, other.client(**QUICK) as stranger:
        with pytest.raises(ConfigError, match="journal is None; it must be a path"):
            await _settled(stranger, cast("Path", None))
        with pytest.raises(JournalError, match=f"is for {client.base_url}, and this client asks {stranger.base_url}"):
            await _settled(stranger, journal, elsewhere)
        assert (elsewhere.settled, f"is for {client.base_url}" in elsewhere.stopped) == (False, True)
    sent, report = happened(sandbox), BatchReport()
    outcomes = await _settled(client, journal, report)
    assert happened(sandbox) == sent
    assert states(outcomes) == report.counts == {State.DONE: 1, State.NOT_SENT: 1, State.UNKNOWN: 1}
    written = [record.state for record in read_records(journal).by_key.values()]
    assert written == [State.DONE, State.NOT_SENT, State.UNKNOWN]
    assert states(await _settled(client, journal)) == {State.UNKNOWN: 1}
