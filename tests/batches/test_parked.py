"""batch.py and carrier.py, in virtual time: what is not known yet holds nobody up, and is looked at again later."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from math import inf
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import evolve

from tests.support.batches import asked, closes, happened, ran, states
from tests.support.mutations import creation
from tests.support.sandbox_faults import changed_answers
from tests.support.slow import slow_after
from tests.support.virtual_loop import running_loop, taking, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    CommentTicket,
    JournalError,
    Mutation,
    OutcomeUnknownError,
    RejectTicket,
    ResponseError,
    WorkorderClient,
    explain,
)
from workorder_async.batches import journal_file
from workorder_async.batches.batch import run_batch
from workorder_async.batches.carrier import Carrier, Parked
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import Entry
from workorder_async.batches.outcomes import BatchReport, State
from workorder_async.mutations.kinds import key_of, prepare, words_of
from workorder_async.sandbox import ClientOptions, Fault, Kind
from workorder_async.wire.limits import Lane

MINUTE: ClientOptions = {"deadline": 60.0, "attempt_timeout": 20.0}


@pytest.mark.parametrize("kind", ["close", "comment"])
@pytest.mark.parametrize("seconds", slow_after(1, [15.0, 3.0]))
@virtual_time
async def test_one_that_happens_late(tmp_path: Path, kind: str, seconds: float) -> None:
    """With one worker, all others are done before the first one, which is carried out long after its answer."""
    async with virtual_sandbox(120, client=MINUTE, latency=0.01) as (sandbox, client):
        rows = await closes(client, 20)
        batch: list[Mutation] = list(rows)
        if kind == "comment":
            batch = [CommentTicket(id=row.id, detail="已联系客户") for row in rows]
        sandbox.faults = [Fault("504_before", operation=f"{kind}_ticket", times=1, seconds=seconds)]
        began, report = running_loop().time(), BatchReport()
        outcomes = await ran(client, batch, concurrency=1, journal=tmp_path / "j", report=report)
        took = running_loop().time() - began
    assert states(outcomes) == report.counts == {State.DONE: 20}
    assert outcomes[-1].mutation == batch[0]
    assert seconds <= took <= 2 * seconds + 1
    assert max(one.elapsed for one in outcomes[:-1]) < 1
    assert happened(sandbox) == Counter(map(asked, batch))


@virtual_time
async def test_one_that_did_not_happen(tmp_path: Path) -> None:
    """A close that certainly did not happen is sent again, and happens once; the others do not wait for that."""
    async with virtual_sandbox(120, client=MINUTE, latency=0.01) as (sandbox, client):
        batch, report = await closes(client, 20), BatchReport()
        sandbox.faults = [Fault("reset", operation="close_ticket", times=1)]
        outcomes = await ran(client, batch, concurrency=1, journal=tmp_path / "j", report=report)
    assert states(outcomes) == {State.DONE: 20}
    assert outcomes[-1].mutation == batch[0]
    # It was begun first, and ended last; the others came one after another meanwhile.
    assert report.slowest == outcomes[-1].elapsed > sum(one.elapsed for one in outcomes[:-1])
    assert happened(sandbox) == Counter(map(asked, batch))
    assert sandbox.requests["close_ticket"] == 21


@virtual_time
async def test_a_second_try_that_is_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the journal fails before a lost comment is sent again, its outcome has the attempts of the first try."""
    begin, begun = Journal.begin, list[Entry]()

    async def begin_once(journal: Journal, entry: Entry, until: float | None = None) -> Any:
        begun.append(entry)
        if len(begun) > 1:
            raise JournalError("the disk is full")
        return await begin(journal, entry, until)

    monkeypatch.setattr(Journal, "begin", begin_once)
    report = BatchReport()
    async with virtual_sandbox(40, client=MINUTE) as (sandbox, client):
        sandbox.faults = [Fault("reset", operation="comment_ticket", times=1)]
        batch = [CommentTicket(id=1001, detail="已联系客户")]
        with pytest.raises(JournalError, match="the disk is full"):
            await ran(client, batch, journal=tmp_path / "j", mark=True, report=report)
    [outcome] = report.unsettled
    assert (outcome.state, outcome.attempts, outcome.elapsed > 0) == (State.NOT_SENT, 1, True)


@virtual_time
async def test_one_that_never_happens(tmp_path: Path) -> None:
    """Where each try of a close gets lost before it happens, its outcome says how often, and why."""
    async with virtual_sandbox(120, client=MINUTE, latency=0.01) as (sandbox, client):
        batch = await closes(client, 1)
        sandbox.faults = [Fault("html", operation="close_ticket")]
        (outcome,) = await ran(client, batch, journal=tmp_path / "j")
    assert (outcome.state, outcome.mark) == (State.NOT_SENT, "")
    assert outcome.attempts >= 1
    assert isinstance(outcome.error, ResponseError)
    assert "HTTP 502" in str(outcome.error)
    assert "could not be sent" not in explain(outcome, "en")
    assert sandbox.applied == []


@pytest.mark.slow
@virtual_time
async def test_many_of_them() -> None:
    """Where every answer is lost, so many are parked at the most, and each has its outcome in the end."""
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        id = (await closes(client, 1))[0].id
        batch: list[Mutation] = [CommentTicket(id=id, detail=f"备注 {number}") for number in range(60)]
        sandbox.faults = [Fault("reset", operation="comment_ticket")]
        pending = most = 0

        async def watch() -> None:
            nonlocal pending, most
            while True:
                pending = sandbox.requests["comment_ticket"] - report.total
                most = max(most, pending)
                await asyncio.sleep(0.1)

        report, began = BatchReport(), running_loop().time()
        watching = asyncio.create_task(watch())
        outcomes = await ran(client, batch, concurrency=2, report=report)
        watching.cancel()
        took = running_loop().time() - began
    assert states(outcomes) == {State.UNKNOWN: 60}
    assert most <= 2 * 16 + 2
    assert took <= 3 * 60
    assert sandbox.applied == []


@pytest.mark.parametrize("kind", slow_after(1, ["create", "comment"]))
@pytest.mark.parametrize("fault", slow_after(2, ["reset", "reset_after", "504_before"]))
@virtual_time
async def test_marked_ones(tmp_path: Path, kind: str, fault: Kind) -> None:
    """With marks no comment or creation stays unknown: what is found happened, and what is not did not, and is sent."""
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        row, other = await closes(client, 2)
        batch: list[Mutation] = [CommentTicket(id=row.id, detail=f"备注 {number}") for number in range(10)]
        if kind == "create":
            batch = [creation(f"工单 {number}") for number in range(10)]
        sandbox.faults = [Fault(fault, operation=f"{kind}_ticket", times=3, seconds=5)]
        mixture: list[Mutation] = [*batch, other]
        outcomes = await ran(client, mixture, journal=tmp_path / "j", key=key_of, mark=True, deadline=60)
        requests = [one.request for one in sandbox.applied]
    assert states(outcomes) == {State.DONE: 11}
    assert len(requests) == 11
    marks = [str(request["detail"]).rpartition("\n")[2] for request in requests if "detail" in request]
    assert len(set(marks)) == 10
    assert {len(mark) for mark in marks} == {10}
    intents = [line for line in map(orjson.loads, (tmp_path / "j").read_bytes().splitlines()) if "intent" in line]
    assert {line["mark"] for line in intents if "mark" in line} == set(marks)
    assert all("\n" not in line["mutation"]["detail"] for line in intents if "mark" in line)


def mark_in(journal: Path) -> str:
    """Return the mark of the first intent."""
    return str(orjson.loads(journal.read_bytes().splitlines()[1])["mark"])


@pytest.mark.parametrize("how", ["killed", "killed before it was sent"])
@virtual_time
async def test_a_marked_one_of_an_earlier_run(tmp_path: Path, how: str) -> None:
    """The journal knows its mark: the next run finds it, or sends it once it is sure that it did not happen."""
    path = tmp_path / "j"
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        comment = CommentTicket(id=(await closes(client, 1))[0].id, detail="已联系客户")
        fault: Kind = "hang_after" if how == "killed" else "hang"
        sandbox.faults = [Fault(fault, operation="comment_ticket", times=1)]
        running = run_batch(client, iter([comment]), journal=path, mark=True, patience=0)
        first = asyncio.create_task(anext(running))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.wait([first])
        await running.aclose()
        async with sandbox.client(now=running_loop().wall_clock, deadline=5.0) as blind:
            (unknown,) = await ran(blind, iter([comment]), journal=path, mark=True, verify=False)
        assert isinstance(unknown.error, OutcomeUnknownError)
        assert unknown.mark == unknown.error.mark == mark_in(path)
        if how == "killed":
            await client.comment_ticket(comment)  # somebody says the same
        async with sandbox.client(now=running_loop().wall_clock, deadline=60.0, attempt_timeout=20.0) as another:
            outcomes = await ran(another, iter([comment]), journal=path, mark=True, deadline=200)
    assert states(outcomes) == {State.DONE: 1}
    assert len(sandbox.applied) == (2 if how == "killed" else 1)
    assert sandbox.requests["comment_ticket"] == 2


@virtual_time
async def test_a_marked_creation_of_a_line_that_is_not_listed(tmp_path: Path) -> None:
    """It is not made a second time where the list shows other tickets, but never one of its line."""
    async with virtual_sandbox(40, client=MINUTE) as (sandbox, client):

        def without(listed: Any) -> Any:
            rows = [row for row in listed["tickets"] if row["product_group"] != "产品线3"]
            return {"pagination": {"page_size": 100, "total": len(rows)}, "tickets": rows}

        sandbox.faults = [Fault("reset_after", operation="create_ticket", times=1)]
        with changed_answers(sandbox, "list_tickets", without):
            running = asyncio.create_task(ran(client, [creation()], journal=tmp_path / "j", key=words_of, mark=True))
            await asyncio.sleep(1)
            async with sandbox.client(now=client.now) as other:
                await other.create_ticket(evolve(creation(), repository_product_id=4, creator_id=210001))
            outcomes = await running
    assert states(outcomes) == {State.UNKNOWN: 1}
    assert [one.request["repository_product_id"] for one in sandbox.applied] == [3, 4]


@pytest.mark.parametrize("days", [0, 2])
@pytest.mark.parametrize(("line", "state"), [(3, State.DONE), (4, State.UNKNOWN)])
@virtual_time
async def test_a_marked_creation_of_an_earlier_run(tmp_path: Path, line: int, state: State, days: int) -> None:
    """A ticket that the journal says was made shows that the list would show one of its line, and of no other."""
    path, ticket = tmp_path / "j", creation()
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        before = evolve(creation("先前的"), repository_product_id=line)
        assert states(await ran(client, iter([before]), journal=path, key=words_of, mark=True)) == {State.DONE: 1}
        await asyncio.sleep(days * 86400)
        sandbox.faults = [Fault("hang", operation="create_ticket", times=1)]
        async with sandbox.client(now=client.now, deadline=60.0, attempt_timeout=20.0) as killed:
            await killed_once(killed, ticket, path, lambda: bool(sandbox.struck), key=words_of, mark=True)
        async with sandbox.client(now=client.now, deadline=60.0, attempt_timeout=20.0) as another:
            outcomes = await ran(another, iter([ticket]), journal=path, key=words_of, mark=True, deadline=200)
    assert states(outcomes) == {state: 1}
    assert len(sandbox.applied) == (2 if state is State.DONE else 1)


@pytest.mark.parametrize("how", slow_after(1, ["cancelled", "stopped"]))
@virtual_time
async def test_left_while_some_are_parked(tmp_path: Path, how: str) -> None:
    """They are unknown at once, stay open in the journal, and the next run settles them."""
    journal = tmp_path / "j"
    async with virtual_sandbox(120, client=MINUTE, latency=0.01) as (sandbox, client):
        batch = await closes(client, 10)
        sandbox.faults = [
            Fault("504_before", operation="close_ticket", times=1, seconds=15),
            *([Fault("errno", operation="close_ticket", after=3, errno=90777)] if how == "stopped" else []),
        ]
        report = BatchReport()
        task = asyncio.create_task(ran(client, batch, concurrency=1, journal=journal, report=report, stop_after=2))
        if how == "cancelled":
            await asyncio.sleep(2)
            task.cancel()
        await asyncio.wait([task])
        assert running_loop().time() < 5
        assert report.counts[State.UNKNOWN] == 1
        assert task.cancelled() is (how == "cancelled")
        sandbox.faults = []
        outcomes = await ran(client, batch, concurrency=1, journal=journal)
    assert states(outcomes)[State.DONE] + states(outcomes)[State.SKIPPED] == 10
    assert happened(sandbox) == Counter(map(asked, batch))


@pytest.mark.parametrize(("fails", "state"), [(True, State.UNKNOWN), (False, State.DONE)])
@virtual_time
async def test_a_journal_that_fails_while_one_is_looked_for(tmp_path: Path, state: State, *, fails: bool) -> None:
    """It could tell of another one with the same text: without it what is found is no sign, and the outcome unknown."""
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        comment = CommentTicket(id=(await closes(client, 1))[0].id, detail="已联系客户")
        async with sandbox.client(now=running_loop().wall_clock) as killed:
            await killed.comment_ticket(comment)
        prepared = prepare(comment)
        entry = Entry("k", "CommentTicket", prepared.value, client.now() - 5, prepared.place, ahead=client.ahead())

        async def look() -> None:
            async with Journal(tmp_path / "j", {}) as journal:
                await journal.begin(entry)
                carrier = Carrier(client, journal, Lane(1), verify=True)
                parked = carrier.park(entry)
                if fails:
                    (tmp_path / "j").unlink()
                journal.end("other", "DONE")
                await asyncio.sleep(1)
                found.append((await carrier.look(parked)).state)

        found: list[State] = []
        with pytest.raises(JournalError, match="no longer see it") if fails else nullcontext():
            await look()
        assert found == [state]
        assert sandbox.requests["comment_ticket"] == 1


@virtual_time
async def test_stopped_while_one_is_looked_for(tmp_path: Path) -> None:
    """Who waits for the time of the next look waits no longer."""
    async with virtual_sandbox(40, client=MINUTE) as (sandbox, client):
        (close,) = await closes(client, 1)
        sandbox.faults = [Fault("reset", operation="close_ticket")]
        async with Journal(tmp_path / "j", {}) as journal:
            carrier = Carrier(client, journal, Lane(1), verify=True)
            parked = await carrier.carry_out("k", prepare(close))
            assert isinstance(parked, Parked)
            looking = asyncio.create_task(carrier.look(parked))
            await asyncio.sleep(10)
            assert not looking.done()
            async with taking(0):
                carrier.stopping.set()
                outcome = await looking
    assert outcome.state is State.UNKNOWN
    assert not sandbox.applied


@pytest.mark.parametrize("seconds", [0, 3600, -3600])
@virtual_time
async def test_a_clock_that_was_set_between_two_runs(tmp_path: Path, seconds: int) -> None:
    """The intent says what the server's clock was then, so that the sign is looked for at the right time."""
    clock = running_loop().wall_clock
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        comment = CommentTicket(id=(await closes(client, 1))[0].id, detail="已联系客户")
        sandbox.faults = [Fault("hang_after", operation="comment_ticket", times=1)]
        running = run_batch(client, iter([comment]), journal=tmp_path / "j", patience=0)
        first = asyncio.create_task(anext(running))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.wait([first])
        await running.aclose()
        async with sandbox.client(now=lambda: clock() + seconds) as another:
            outcomes = await ran(another, iter([comment]), journal=tmp_path / "j")
    assert states(outcomes) == {State.DONE: 1}
    assert len(sandbox.applied) == 1


@pytest.mark.parametrize("seconds", slow_after(2, [0, -3600, 3600]))
@virtual_time
async def test_what_a_killed_run_sent_is_over_soon(tmp_path: Path, seconds: int) -> None:
    """Who has the journal's lock knows that earlier runs send nothing more: one attempt later a close is sent again."""
    clock = running_loop().wall_clock
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        batch = await closes(client, 1)
        sandbox.faults = [Fault("hang", operation="close_ticket", times=1)]
        running = run_batch(client, batch, journal=tmp_path / "j", patience=0)
        first = asyncio.create_task(anext(running))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.wait([first])
        await running.aclose()
        options: ClientOptions = {**MINUTE, "now": lambda: clock() + seconds}
        async with sandbox.client(**options) as another:
            began = running_loop().time()
            outcomes = await ran(another, batch, journal=tmp_path / "j")
            took = running_loop().time() - began
    assert states(outcomes) == {State.DONE: 1}
    assert len(sandbox.applied) == 1
    # The longest attempt, what two clocks may differ by, and the pause between two looks.
    assert 20 <= took <= 45


@pytest.mark.parametrize("kind", ["comment", "close"])
@pytest.mark.parametrize("lie", slow_after(1, [3600, 86400]))
@virtual_time
async def test_a_date_that_lies_in_the_first_answer_of_the_next_run(tmp_path: Path, kind: str, lie: int) -> None:
    """What a killed run sent is still under way: that it seems to be long over by a `Date` sends nothing again."""
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        (row,) = await closes(client, 1)
        batch: list[Mutation] = [row if kind == "close" else CommentTicket(id=row.id, detail="已联系客户")]
        sandbox.faults = [Fault("504_before", operation=f"{kind}_ticket", times=1, seconds=10)]
        running = run_batch(client, iter(batch), journal=tmp_path / "j", patience=0, mark=True)
        first = asyncio.create_task(anext(running))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.wait([first])
        await running.aclose()
        sandbox.faults = [Fault("date", seconds=lie, times=1)]
        options: ClientOptions = {**MINUTE, "now": client.now}
        async with sandbox.client(**options) as another:
            outcomes = await ran(another, iter(batch), journal=tmp_path / "j", mark=True)
        await asyncio.sleep(60)
    assert states(outcomes) == {State.DONE: 1}
    assert sandbox.requests[f"{kind}_ticket"] == len(sandbox.applied) == 1


@pytest.mark.parametrize(
    ("kind", "seconds"),
    slow_after(2, [("comment", -200), ("close", -20), ("reject", -200), ("comment", 200), ("close", 200)]),
)
@virtual_time
async def test_a_killed_run_whose_clock_was_wrong(tmp_path: Path, kind: str, seconds: int) -> None:
    """It knew no `Date` yet: that its sending seems to be long over sends nothing again."""
    clock = running_loop().wall_clock
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        (row,) = await closes(client, 1)
        batch: dict[str, Mutation] = {"close": row, "comment": CommentTicket(id=row.id, detail="已联系客户")}
        batch["reject"] = RejectTicket(id=row.id, detail="不属于本产品线")
        sandbox.faults = [Fault("504_before", operation=f"{kind}_ticket", times=1, seconds=10)]
        options: ClientOptions = {**MINUTE, "now": lambda: clock() + seconds}
        async with sandbox.client(**options) as killed:
            running = run_batch(killed, iter([batch[kind]]), journal=tmp_path / "j", patience=0, mark=True)
            first = asyncio.create_task(anext(running))
            await asyncio.sleep(1)
            first.cancel()
            await asyncio.wait([first])
            await running.aclose()
        options = {**MINUTE, "now": clock}
        async with sandbox.client(**options) as another:
            await another.ping()
            outcomes = await ran(another, iter([batch[kind]]), journal=tmp_path / "j", mark=True)
        await asyncio.sleep(60)
    assert states(outcomes).keys() <= {State.DONE, State.UNKNOWN}
    assert sandbox.requests[f"{kind}_ticket"] == len(sandbox.applied) == 1


async def killed_once(
    client: WorkorderClient, mutation: Mutation, journal: Path, is_time: Callable[[], bool], **options: Any
) -> None:
    """Run a batch of one mutation, and end it without an outcome when it is time."""
    running = run_batch(client, iter([mutation]), journal=journal, patience=0, **options)
    sent = asyncio.create_task(anext(running))
    while not is_time():  # noqa: ASYNC110 - no waiting: the time is virtual
        await asyncio.sleep(0.005)
    sent.cancel()
    await asyncio.wait([sent])
    await running.aclose()


class Late:
    """Limits that give each permit so many seconds late."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def acquire(self, until: float) -> None:
        """Wait for so long."""
        await asyncio.sleep(self.seconds)

    def pause(self, seconds: float) -> None:
        """Be told of a pause."""


@pytest.mark.slow
@pytest.mark.parametrize("knows_time", [True, False])
@virtual_time
async def test_a_killed_run_with_a_longer_deadline(tmp_path: Path, *, knows_time: bool) -> None:
    """Its close got its turn long after its intent, and is under way: it is not sent again."""
    clock, limits = running_loop().wall_clock, Late()
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        (close,) = await closes(client, 1)
        options: ClientOptions = {**MINUTE, "now": clock, "limits": limits}
        async with sandbox.client(**options) as killed:
            if knows_time:
                await killed.ping()
            limits.seconds = 100.0
            sandbox.faults = [Fault("504_before", operation="close_ticket", times=1, seconds=15)]
            is_sent = lambda: sandbox.requests["close_ticket"] > 0  # noqa: E731
            await killed_once(killed, close, tmp_path / "j", is_sent, deadline=300)
        limits.seconds = 0.0
        async with sandbox.client(**options) as another:
            await another.ping()
            outcomes = await ran(another, iter([close]), journal=tmp_path / "j")
        await asyncio.sleep(60)
    assert states(outcomes) == {State.DONE: 1}
    assert sandbox.requests["close_ticket"] == len(sandbox.applied) == 1


@pytest.mark.parametrize(
    ("before", "then", "deadline"), slow_after(2, [(30, 5, 90), (5, 30, 90), (30, 5, inf), (inf, 5, 90)])
)
@virtual_time
async def test_a_killed_run_with_other_attempts(tmp_path: Path, before: float, then: float, deadline: float) -> None:
    """What it sent may be carried out for as long as the attempts of either run may take, whatever its deadline."""
    async with virtual_sandbox(40, latency=0.01) as (sandbox, client):
        comment = CommentTicket(id=(await closes(client, 1))[0].id, detail="已联系客户")
        sandbox.faults = [Fault("504_before", operation="comment_ticket", times=1, seconds=10)]
        is_sent = lambda: sandbox.requests["comment_ticket"] > 0  # noqa: E731
        async with sandbox.client(now=client.now, attempt_timeout=before, deadline=deadline) as killed:
            await killed.ping()
            await killed_once(killed, comment, tmp_path / "j", is_sent, mark=True)
        async with sandbox.client(now=client.now, attempt_timeout=then) as another:
            outcomes = await ran(another, iter([comment]), journal=tmp_path / "j", mark=True)
        await asyncio.sleep(60)
    assert states(outcomes) == {State.UNKNOWN if before == inf else State.DONE: 1}
    assert len(sandbox.applied) == 1


@virtual_time
async def test_a_killed_rejection_beside_a_comment_with_its_words(tmp_path: Path) -> None:
    """The sign of one is no sign of the other: a rejection that never came is not said to be done."""
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        id = (await closes(client, 1))[0].id
        comment, reject = CommentTicket(id=id, detail="不属于本产品线"), RejectTicket(id=id, detail="不属于本产品线")
        await ran(client, iter([comment]), journal=tmp_path / "j")
        sandbox.faults = [Fault("hang", operation="reject_ticket", times=1)]
        await killed_once(client, reject, tmp_path / "j", lambda: sandbox.requests["reject_ticket"] > 0)
        options: ClientOptions = {**MINUTE, "now": client.now}
        async with sandbox.client(**options) as another:
            outcomes = await ran(another, iter([reject]), journal=tmp_path / "j")
    assert states(outcomes) == {State.UNKNOWN: 1}
    assert len(sandbox.applied) == 1


@pytest.mark.parametrize("seconds", slow_after(1, [-700, 0, 700]))
@pytest.mark.parametrize("fault", ["hang", "504_before"])
@virtual_time
async def test_two_alike_of_which_a_killed_run_sent_one(tmp_path: Path, fault: Kind, seconds: int) -> None:
    """Also where its clock was wrong, neither is taken for the other."""
    clock, journal = running_loop().wall_clock, tmp_path / "j"
    first = CommentTicket(id=1001, detail="已联系客户")
    second = CommentTicket(id=1001, detail="已联系客户 ")
    async with virtual_sandbox(60, client={**MINUTE, "now": clock}, latency=0.01) as (sandbox, client):
        options: ClientOptions = {**MINUTE, "now": lambda: clock() + seconds}
        async with sandbox.client(**options) as killed:
            await killed.ping()
            sandbox.faults = [Fault(fault, operation="comment_ticket", times=1, seconds=8)]
            await killed_once(killed, first, journal, lambda: sandbox.requests["comment_ticket"] > 0)
        sandbox.faults = [Fault("reset", operation="comment_ticket", times=1)] if fault == "504_before" else []
        outcomes = await ran(client, iter([first, second]), journal=journal)
        await asyncio.sleep(60)
    done = {words_of(one.mutation).partition(": ")[2] for one in outcomes if one.state is State.DONE}
    assert done <= {str(one.request["detail"]) for one in sandbox.applied}
    assert len(sandbox.applied) == 1


@pytest.mark.parametrize("verify", [False, True])
@virtual_time
async def test_the_error_of_one_of_two_alike(tmp_path: Path, *, verify: bool) -> None:
    """Nor does `verify` of an error, which does not know the journal, take the one for the other in a later run."""
    comments = [CommentTicket(id=1001, detail="已联系客户"), CommentTicket(id=1001, detail="已联系客户 ")]
    async with virtual_sandbox(60, client=MINUTE, latency=0.01) as (sandbox, client):
        options: ClientOptions = {**MINUTE, "now": client.now}
        kinds: tuple[Kind, Kind] = ("reset", "reset_after")
        sandbox.faults = [Fault(kind, operation="comment_ticket", after=at, times=1) for at, kind in enumerate(kinds)]
        await ran(client, iter(comments), journal=tmp_path / "j", verify=False, concurrency=1)
        async with sandbox.client(**options) as another:
            for outcome in await ran(another, iter(comments), journal=tmp_path / "j", verify=verify, concurrency=1):
                assert isinstance(outcome.error, OutcomeUnknownError)
                assert await outcome.error.verify(another) is None
        assert len(sandbox.applied) == 1


@pytest.mark.slow
@virtual_time
async def test_one_of_this_run_that_the_client_has_forgotten(tmp_path: Path) -> None:
    """A marked one that is under way while many others are sent is not said to be over since the batch began."""
    async with virtual_sandbox(40, client=MINUTE, latency=0.1) as (sandbox, client):
        client._mutations._sendings._most = 5
        id = (await closes(client, 1))[0].id
        comments = (CommentTicket(id=id, detail=f"备注 {number}") for number in range(250))
        sandbox.faults = [Fault("504_before", operation="comment_ticket", after=120, times=1, seconds=18)]
        outcomes = await ran(client, comments, journal=tmp_path / "j", mark=True, concurrency=1)
        await asyncio.sleep(60)
    assert states(outcomes).keys() <= {State.DONE, State.UNKNOWN}
    texts = Counter(str(one.request["detail"]).partition("\n")[0] for one in sandbox.applied)
    assert texts == dict.fromkeys(texts, 1)


@pytest.mark.parametrize("kind", slow_after(1, ["close", "reject"]))
@pytest.mark.parametrize(("seconds", "offset"), slow_after(2, [(0, 0), (40, 0), (3000, 200)]))
@virtual_time
async def test_a_killed_run_whose_clock_was_ahead(tmp_path: Path, kind: str, seconds: int, offset: int) -> None:
    """What happened seems to be of before, and was undone. It is not sent again, whatever `Date` says."""
    clock = running_loop().wall_clock
    async with virtual_sandbox(40, client=MINUTE, latency=0.01, date_offset=offset) as (sandbox, client):
        (row,) = await closes(client, 1)
        mutation: Mutation = row if kind == "close" else RejectTicket(id=row.id, detail="不属于本产品线")
        sandbox.faults = [Fault("504_after", operation=f"{kind}_ticket", times=1)]
        options: ClientOptions = {**MINUTE, "now": lambda: clock() + seconds}
        async with sandbox.client(**options) as killed:
            await killed_once(killed, mutation, tmp_path / "j", lambda: bool(sandbox.applied))
        await asyncio.sleep(3)
        await sandbox.act(row.id, "reopen", "")
        options = {**MINUTE, "now": clock}
        async with sandbox.client(**options) as another:
            await another.ping()
            outcomes = await ran(another, iter([mutation]), journal=tmp_path / "j")
    assert states(outcomes).keys() <= {State.DONE, State.UNKNOWN}
    assert len(sandbox.applied) == 1


@pytest.mark.parametrize(("starts_again", "state"), [(False, State.DONE), (True, State.UNKNOWN)])
@virtual_time
async def test_a_killed_run_that_knew_no_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, starts_again: bool, state: State
) -> None:
    """What it sent is found by this machine's clock that is never set; if the machine was started again, by nothing."""
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        comment = CommentTicket(id=(await closes(client, 1))[0].id, detail="已联系客户")
        sandbox.faults = [Fault("504_after", operation="comment_ticket", times=1)]
        async with sandbox.client(now=running_loop().wall_clock) as killed:
            await killed_once(killed, comment, tmp_path / "j", lambda: bool(sandbox.applied))
        if starts_again:
            monkeypatch.setattr(journal_file, "_start_of_machine", lambda: "another")
        await asyncio.sleep(3)
        outcomes = await ran(client, iter([comment]), journal=tmp_path / "j")
    assert states(outcomes) == {state: 1}
    assert len(sandbox.applied) == 1


@virtual_time
async def test_the_journal_says_what_is_so(tmp_path: Path) -> None:
    """An intent stands alone until the answer came: the outcome of a parked one is written when it is known."""
    path = tmp_path / "j"
    async with virtual_sandbox(40, client=MINUTE, latency=0.01) as (sandbox, client):
        batch = await closes(client, 1)
        sandbox.faults = [Fault("504_before", operation="close_ticket", times=1, seconds=10)]
        running = run_batch(client, iter(batch), journal=path)
        first = asyncio.create_task(anext(running))
        await asyncio.sleep(8)
        assert [line[:9] for line in path.read_bytes().splitlines()] == [b'{"journal', b'{"intent"']
        assert (await first).state is State.DONE
        await running.aclose()
        assert path.read_bytes().splitlines()[-1].startswith(b'{"outcome"')
        async with Journal(path, {"platform": client.base_url, "batch": ""}) as journal:
            assert await journal.left_open() == []
