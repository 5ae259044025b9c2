"""once.py: an event that is delivered several times has one mutation, and one outcome."""
# ruff: noqa: ASYNC240 - the files are temporary

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from attrs import evolve

from tests.support.batches import TASKS, closes, sealed
from tests.support.clients import make_client
from tests.support.mutations import KINDS, OPERATIONS, creation, mutation_of
from tests.support.slow import slow_after, slow_but_every
from tests.support.virtual_loop import running_loop, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    Attachment,
    AuthenticationError,
    CloseTicket,
    CommentTicket,
    ConfigError,
    JournalError,
    NotSentError,
    Once,
    OutcomeUnknownError,
    TicketStateError,
    WorkorderClient,
    run_batch,
)
from workorder_async.batches import once as once_module
from workorder_async.batches.journal_file import read_records
from workorder_async.batches.outcomes import State
from workorder_async.document.json_text import to_json
from workorder_async.durable import LockedFile
from workorder_async.sandbox import ClientOptions, Fault, Kind, Sandbox
from workorder_async.testing import Kill, Moment, SandboxThread, run_killed

HOUR = 3600.0
#: A lost mutation is settled soon.
SHORT: ClientOptions = {"attempt_timeout": 2.0, "deadline": 5.0}
BOT = Path(__file__).with_name("delivered.py")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a journal that does not exist yet."""
    return tmp_path / "bot.journal"


# The same event


@pytest.mark.parametrize("kind", slow_but_every(2, KINDS))
@virtual_time
async def test_ten_at_once_four_times_over(file: Path, kind: str) -> None:
    """All forty deliveries have the same outcome, whole, and it happened once."""
    async with virtual_sandbox(40, latency=0.5) as (sandbox, client):
        mutation, told = await mutation_of(client, kind), []
        for _ in range(4):
            async with Once(client, file) as once:
                began = running_loop().time()
                told += await asyncio.gather(*(once("om_1", mutation, deadline=2.5) for _ in range(10)))
                assert running_loop().time() - began < 2.5
        assert told == [told[0]] * 40
        assert (told[0].state, told[0].mutation) == (State.DONE, mutation)
        assert told[0].ticket_id == sandbox.applied[0].ticket_id
        assert told[0].request_id
        assert told[0].attempts == 1
        assert told[0].elapsed > 0
        assert len(sandbox.applied) == 1
        assert sandbox.requests[OPERATIONS[kind]] == 1


@virtual_time
async def test_keys_tell_events_apart(file: Path) -> None:
    """Equal mutations under two keys are two; in another scope a key is another."""
    async with virtual_sandbox(40) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        for scope in ("bot-a", "bot-b"):
            async with Once(client, file, scope=scope) as once:
                for key in ("om_1", "om_2", "om_1"):
                    assert (await once(key, comment)).state is State.DONE
        assert len(sandbox.applied) == 4


@virtual_time
async def test_another_mutation_under_a_used_key(file: Path) -> None:
    """It is refused, while the first is under way, after it, and in the next run; another time or file is the same."""
    async with virtual_sandbox(40, latency=0.5) as (sandbox, client):
        first, other = creation(), creation("磁盘满了")
        later = evolve(
            first, reported_time=first.reported_time + 60, attachment=(Attachment("a.png", "a/a.png", 1, "image/png"),)
        )
        async with Once(client, file) as once:
            under_way = asyncio.create_task(once("om_1", first))
            await asyncio.sleep(0.1)
            with pytest.raises(
                ConfigError, match="key 'om_1' was used for another mutation before, with another title; each"
            ):
                await once("om_1", other)
            assert await once("om_1", later) == await under_way
            with pytest.raises(ConfigError, match="used for another mutation"):
                await once("om_1", CommentTicket(id=1001, detail="重启之后依旧"))
        async with Once(client, file) as once:
            assert (await once("om_1", later)).mutation == first
            with pytest.raises(ConfigError, match="used for another mutation"):
                await once("om_1", other)
        assert len(sandbox.applied) == 1


@virtual_time
async def test_another_mutation_while_the_first_is_unknown(file: Path) -> None:
    """What may have happened is not replaced by something else, in this run or the next one."""
    async with virtual_sandbox(40, client=SHORT) as (sandbox, client):
        sandbox.faults = [Fault("reset", operation="comment_ticket")]
        for _ in range(2):
            async with Once(client, file) as once:
                assert (await once("om_1", CommentTicket(id=1001, detail="一"))).state is State.UNKNOWN
                with pytest.raises(ConfigError, match="used for another mutation"):
                    await once("om_1", CommentTicket(id=1001, detail="二"))
        assert sandbox.requests["comment_ticket"] == 1


# What is kept, and what is not


@virtual_time
async def test_a_refusal_is_kept(file: Path) -> None:
    """The first refusal is the answer to each later delivery, with its error, also when the ticket is open again."""
    async with virtual_sandbox(40) as (sandbox, client):
        close = await mutation_of(client, "close")
        assert isinstance(close, CloseTicket)
        await client.change(close)
        wrong = evolve(close, closer_name="另一个人")
        async with Once(client, file) as once:
            first = await once("om_1", wrong)
        await sandbox.act(close.id, "reopen")
        async with Once(client, file) as once:
            again = await once("om_1", evolve(wrong, solved_time=wrong.solved_time + 60))
        assert first.state is again.state
        for error in (first.error, again.error):
            assert isinstance(error, TicketStateError)
            assert (error.errno, error.errmsg, error.attempts) == (23000, "工单状态不允许关闭", 1)
            assert (error.operation, error.request_id) == ("close_ticket", first.request_id)
        assert str(first.error) == str(again.error)
        assert sandbox.requests["close_ticket"] == 2


@pytest.mark.parametrize(
    ("kind", "error"), [("refuse", NotSentError), ("429", None), ("401", AuthenticationError)], ids=str
)
@virtual_time
async def test_what_frees_the_key(file: Path, kind: Kind, error: type[Exception] | None) -> None:
    """What reached nobody, was turned away unread, or was signed wrongly: the next delivery sends it."""
    async with virtual_sandbox(40, client=SHORT) as (sandbox, client):
        sandbox.faults = [
            Fault(kind, operation="comment_ticket", errno=None if error is not AuthenticationError else 40100)
        ]
        comment = CommentTicket(id=1001, detail="已联系客户")
        if kind == "refuse":
            await sandbox.__aexit__(None, None, None)
        async with Once(client, file) as once:
            outcome = await once("om_1", comment, deadline=1)
            assert outcome.state is (State.REJECTED if kind == "401" else State.NOT_SENT)
            assert error is None or isinstance(outcome.error, error)
            assert await once.outcome("om_1") is None
            if kind == "refuse":
                return
            sandbox.faults = []
            assert (await once("om_1", comment)).state is State.DONE
        assert len(sandbox.applied) == 1


@virtual_time
async def test_a_refused_signature_frees_the_key_in_the_next_run(file: Path) -> None:
    """The secret is put right, the program started again, and the event delivered again."""
    async with virtual_sandbox(40) as (sandbox, client):
        sandbox.faults = [Fault("401", operation="comment_ticket", times=1, errno=40100)]
        for state in (State.REJECTED, State.DONE):
            async with Once(client, file) as once:
                assert (await once("om_1", CommentTicket(id=1001, detail="已联系客户"))).state is state


@virtual_time
async def test_old_outcomes_are_forgotten(file: Path) -> None:
    """After `keep` seconds a key is free, and the file is short again; until then it is not, whatever came between."""
    async with virtual_sandbox(40) as (sandbox, client):
        old, new = CommentTicket(id=1001, detail="旧"), CommentTicket(id=1001, detail="新")
        async with Once(client, file, keep=9 * HOUR) as once:
            for number in range(5):
                await once(f"old {number}", old)
            await asyncio.sleep(8.9 * HOUR)
            await once("new", new)
            await once("old 1", old)
            assert len(sandbox.applied) == 6
            await asyncio.sleep(0.2 * HOUR)
            await once("another", new)
            await once("old 1", old)
            await once("new", new)
            assert len(sandbox.applied) == 8
        size = file.stat().st_size
        async with Once(client, file, keep=9 * HOUR) as once:
            await once("new", new)
            await once("old 1", old)
            await once("another", new)
            assert len(sandbox.applied) == 8
            await once("old 2", old)
            assert len(sandbox.applied) == 9
        assert file.stat().st_size < size
        assert file.stat().st_mode & 0o777 == 0o600
        assert [path.name for path in file.parent.iterdir()] == [file.name]
        assert len(read_records(file).by_key) == 4


@virtual_time
async def test_another_scope_keeps_its_outcomes_longer(file: Path) -> None:
    """A run that forgets its own events soon leaves those of another scope alone."""
    async with virtual_sandbox(40) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        async with Once(client, file, scope="nightly", keep=99 * HOUR) as once:
            done = [await once(f"om_{number}", comment) for number in range(3)]
        await asyncio.sleep(20 * HOUR)
        for _ in range(2):
            async with Once(client, file, scope="bot", keep=9 * HOUR) as once:
                await once("om_1", comment)
        async with Once(client, file, scope="nightly", keep=99 * HOUR) as once:
            assert [await once(f"om_{number}", comment) for number in range(3)] == done
        assert len(sandbox.applied) == 4


@virtual_time
async def test_a_forgotten_one_is_no_sign_of_the_next(file: Path) -> None:
    """A key that was free again, sent again and cut short: its first comment does not show that the second is there."""
    async with virtual_sandbox(40, client=SHORT) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        async with Once(client, file, keep=9 * HOUR, patience=0) as once:
            await once("om_1", comment)
            await asyncio.sleep(10 * HOUR)
            await once("om_2", evolve(comment, id=1002))
            sandbox.faults = [Fault("hang", operation="comment_ticket")]
            call = asyncio.create_task(once("om_1", comment))
            await asyncio.sleep(1)
        await asyncio.gather(call)
        sandbox.faults = []
        await asyncio.sleep(HOUR)
        options: ClientOptions = {**SHORT, "now": running_loop().wall_clock}
        async with sandbox.client(**options) as later, Once(later, file) as once:
            assert (await once.settle())["om_1"].state is State.UNKNOWN
        assert len(sandbox.applied) == 2


async def one_that_never_came(file: Path, sandbox: Sandbox, client: WorkorderClient, seconds: float) -> CommentTicket:
    """Leave a journal in which nobody knows of "om_1"; "om_2" said the same so many seconds later, and was done."""
    comment = CommentTicket(id=1001, detail="已联系客户")
    await client.ping()
    sandbox.faults = [Fault("hang", operation="comment_ticket", times=1)]
    async with Once(client, file, patience=0) as once:
        lost = asyncio.create_task(once("om_1", comment))
        await asyncio.sleep(seconds)
        assert (await once("om_2", comment)).state is State.DONE
    await lost
    return comment


@pytest.mark.parametrize("restarts", [False, True])
@virtual_time
async def test_no_sign_of_an_unknown_one_is_forgotten(file: Path, *, restarts: bool) -> None:
    """What another event left on its ticket is known for as long as it is unknown, in this run and the next ones."""
    async with virtual_sandbox(40, client=SHORT) as (sandbox, client):
        comment = await one_that_never_came(file, sandbox, client, 1)
        other, options = evolve(comment, id=1002), SHORT | ClientOptions(now=client.now)
        async with sandbox.client(**options) as later:
            once = await Once(later, file).__aenter__()
            for number in range(2):
                await asyncio.sleep(30 * HOUR)
                await once(f"other {number}", other)
                if restarts:
                    await once.__aexit__(None, None, None)
                    once = await Once(later, file).__aenter__()
            assert (await once.settle())["om_1"].state is State.UNKNOWN
            assert (await once("om_2", comment)).state is State.DONE
            await once("other 0", other)
            await once.__aexit__(None, None, None)
        assert Counter(one.ticket_id for one in sandbox.applied) == {1001: 1, 1002: 3}


@virtual_time
async def test_attempts_that_may_take_an_hour(file: Path) -> None:
    """What another event said while the first one might still come is no sign of the first."""
    hour: ClientOptions = {"attempt_timeout": HOUR, "deadline": 90.0}
    async with virtual_sandbox(40, client=hour) as (sandbox, client):
        comment = await one_that_never_came(file, sandbox, client, HOUR / 2)
        async with sandbox.client(**hour | ClientOptions(now=client.now)) as later, Once(later, file) as once:
            assert (await once("om_1", comment)).state is State.UNKNOWN


@pytest.mark.parametrize("seconds", [365 * 24 * HOUR, -365 * 24 * HOUR])
@virtual_time
async def test_a_clock_that_was_set_forgets_nothing(file: Path, seconds: float) -> None:
    """Between two runs, or amid one: what was done an hour ago is not done again."""
    clock, offset = running_loop().wall_clock, 0.0
    async with virtual_sandbox(40, client={"now": lambda: clock() + offset}) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        async with Once(client, file) as once:
            await once("om_1", comment)
            offset = seconds
            await once("om_2", comment)
            await once("om_1", comment)
        offset = 0.0
        for offset in (0.0, seconds):  # noqa: B007 - the clock reads it
            await asyncio.sleep(HOUR)
            async with Once(client, file) as once:
                await once("om_1", comment)
        assert len(sandbox.applied) == 2


@pytest.mark.parametrize("seconds", [-2 * 24 * HOUR, -365 * 24 * HOUR])
@virtual_time
async def test_a_clock_that_was_behind_in_one_run(file: Path, seconds: float) -> None:
    """What it did is as old as the server says, also where another event came after the clock was put right."""
    clock, comment = running_loop().wall_clock, CommentTicket(id=1001, detail="已联系客户")
    async with virtual_sandbox(40) as (sandbox, _):
        for offset, key in ((seconds, "om_1"), (0.0, "om_2"), (0.0, "om_1")):
            options: ClientOptions = {"now": lambda: clock() + offset}  # noqa: B023 - used in this round alone
            async with sandbox.client(**options) as client, Once(client, file) as once:
                await once(key, comment)
            await asyncio.sleep(600)
        assert len(sandbox.applied) == 2


def test_the_age_of_what_ended(file: Path) -> None:
    """It is the lesser one by our clock and the server's, each up to the latest event; an outcome alone is no event."""
    cases: list[tuple[float, list[tuple[float, float | None]], list[float]]] = [
        (500, [(100, None), (400, None)], [300, 0]),
        (500, [(100, 1100), (400, 1200)], [100, 0]),
        (500, [(300, 1000), (400, 1900)], [100, 0]),
        (500, [(100, None), (400, 1200)], [300, 0]),
        # Our clock was ahead in the later run, or is by now, or was behind in it: what ended then had begun after the
        # other one, where the server's does not tell.
        (500, [(400, None), (9000, None)], [100, 0]),
        (9000, [(100, None), (400, None)], [300, 0]),
        (500, [(450, None), (100, None)], [0, 1]),
        (500, [(450, 1500), (100, 1100)], [0, 350]),
    ]
    comment: dict[str, Any] = {"operation": "CommentTicket", "mutation": {"id": 1, "detail": "x"}}
    for now, ends, ages in cases:
        lines = [b'{"journal":"workorder_async","version":2,"for":"events"}']
        for number, (at, there) in enumerate(ends):
            name = to_json(["", str(number)]).decode()
            times: dict[str, Any] = {"at": at} if there is None else {"at": at, "server_at": there}
            lines += [to_json({"intent": name, **comment, "began": at - 1})]
            lines += [to_json({"outcome": name, "state": "DONE", **times})]
        lines += [to_json({"outcome": to_json(["", "alone"]).decode(), "state": "NOT_SENT", "at": 1})]
        file.write_bytes(sealed(lines))
        events, names = once_module._events_of(os.fspath(file), now, 7.0, "")
        assert {json.loads(name)[1]: 7 - event.at for name, event in events.items()} == {
            str(number): age for number, age in enumerate(ages)
        }
        assert [event.at for event in events.values()] == sorted(event.at for event in events.values())
        assert len(names) == len(ends) + 1


async def mostly_old(client: WorkorderClient, file: Path) -> None:
    """Leave a journal that is made shorter when it is opened with `keep=9 * HOUR`."""
    for times, name in ((3, "old"), (1, "new")):
        async with Once(client, file, keep=9 * HOUR) as once:
            for number in range(times):
                await once(f"{name} {number}", CommentTicket(id=1001, detail=name))
        await asyncio.sleep(24 * HOUR)


@virtual_time
async def test_a_journal_that_cannot_be_replaced(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is mounted by itself is not made shorter, and used as it is."""

    def rename(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    async with virtual_sandbox(40) as (sandbox, client):
        await mostly_old(client, file)
        size = file.stat().st_size
        monkeypatch.setattr(LockedFile, "rename", rename)
        async with Once(client, file, keep=9 * HOUR) as once:
            await once("new 0", CommentTicket(id=1001, detail="new"))
            await once("old 1", CommentTicket(id=1001, detail="old"))
        assert len(sandbox.applied) == 5
        assert file.stat().st_size > size
        assert [path.name for path in file.parent.iterdir()] == [file.name]


@virtual_time
async def test_a_journal_that_was_moved_away_while_it_was_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others put in its place meanwhile stays there."""
    read, away = once_module._events_of, file.with_name("away")

    def moved(*asked: Any) -> Any:
        known = read(*asked)
        file.write_bytes(file.rename(away).read_bytes())
        return known

    async with virtual_sandbox(40) as (_, client):
        await mostly_old(client, file)
        monkeypatch.setattr(once_module, "_events_of", moved)
        with pytest.raises(JournalError):
            async with Once(client, file, keep=9 * HOUR) as once:
                await once("newer", CommentTicket(id=1001, detail="新"))
        assert file.read_bytes() == away.read_bytes()


@virtual_time
async def test_a_disk_that_hangs_while_old_ones_are_forgotten(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call does not wait for that: its outcome is known."""
    hangs, goes_on, real, waits = False, threading.Event(), os.fsync, list[bool]()

    def fsync(descriptor: int) -> None:
        if hangs and sandbox.requests["comment_ticket"] > 1:
            waits.append(goes_on.wait(5))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    async with virtual_sandbox(40, latency=0) as (sandbox, client), Once(client, file, keep=8 * HOUR) as once:
        await once("old", CommentTicket(id=1001, detail="旧"))
        await asyncio.sleep(9 * HOUR)
        hangs = True
        outcome = await once("new", CommentTicket(id=1001, detail="新"), deadline=2)
        goes_on.set()
    assert outcome.state is State.DONE
    assert waits
    assert all(waits)


@virtual_time
async def test_a_disk_that_hangs_while_a_journal_is_made_shorter(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is open all the same, and a call has its own time."""
    goes_on, real, waits = threading.Event(), os.fsync, list[bool]()

    def fsync(descriptor: int) -> None:
        waits.append(goes_on.wait(5))
        real(descriptor)

    async with virtual_sandbox(40) as (_, client):
        await mostly_old(client, file)
        monkeypatch.setattr(os, "fsync", fsync)
        async with Once(client, file, keep=9 * HOUR):
            goes_on.set()
    assert waits
    assert all(waits)


@virtual_time
async def test_an_unknown_outcome_is_never_forgotten(file: Path) -> None:
    """A year later it is still not sent again."""
    async with virtual_sandbox(40, client=SHORT) as (sandbox, client):
        sandbox.faults = [Fault("reset", operation="comment_ticket")]
        comment = CommentTicket(id=1001, detail="已联系客户")
        async with Once(client, file) as once:
            assert (await once("om_1", comment)).state is State.UNKNOWN
            for number in range(3):
                await once(f"old {number}", creation())
        sandbox.faults = []
        await asyncio.sleep(365 * 24 * HOUR)
        for _ in range(2):
            async with Once(client, file) as once:
                assert (await once("om_1", comment)).state is State.UNKNOWN
        assert sandbox.requests["comment_ticket"] == 1
        assert len(read_records(file).by_key) == 1


@virtual_time
async def test_looking_again_and_again_does_not_fill_the_disk(file: Path) -> None:
    """What stays unknown is written down once, though a program looks for it from time to time for ever."""
    async with virtual_sandbox(40, client=SHORT) as (sandbox, client):
        sandbox.faults = [Fault("reset", operation="comment_ticket")]
        async with Once(client, file) as once:
            assert (await once("om_1", CommentTicket(id=1001, detail="已联系客户"))).state is State.UNKNOWN
            assert (await once.settle())["om_1"].state is State.UNKNOWN
        for _ in range(3):
            async with Once(client, file) as once:
                for _ in range(3):
                    assert (await once.settle())["om_1"].state is State.UNKNOWN
                    assert await once.outcome("om_1") is not None
        assert len(file.read_bytes().splitlines()) == 3


# Lost answers


@pytest.mark.parametrize("kind", slow_but_every(2, KINDS))
@virtual_time
async def test_a_lost_answer(file: Path, kind: str) -> None:
    """While reading fails it is unknown; the next delivery, or `settle`, finds it, in this run or the next one."""
    for settles in (False, True):
        for restarts in (False, True):
            journal = file.with_name(f"{settles} {restarts}")
            async with virtual_sandbox(40, client=SHORT) as (sandbox, client):
                mutation = await mutation_of(client, kind)
                names = ("get_ticket_detail", "list_tickets")
                blind = [Fault("403", operation=name) for name in names]
                sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind]), *blind]
                once = await Once(client, journal).__aenter__()
                told = await asyncio.gather(*(once("om_1", mutation, deadline=1) for _ in range(3)))
                assert {one.state for one in told} == {State.UNKNOWN}
                sandbox.faults = []
                if restarts:
                    await once.__aexit__(None, None, None)
                    once = await Once(client, journal).__aenter__()
                if settles:
                    settled = await once.settle()
                    assert {key: one.state for key, one in settled.items()} == {"om_1": State.DONE}
                    assert await once.settle() == {}
                outcome = await once("om_1", mutation)
                await once.__aexit__(None, None, None)
                assert outcome.state is State.DONE
                assert [outcome.ticket_id] == [one.ticket_id for one in sandbox.applied]


@virtual_time
async def test_the_seconds_of_a_delivery_that_finds_it(file: Path) -> None:
    """The hour between two deliveries, in which nobody asked, is none of the mutation's seconds."""
    async with virtual_sandbox(40, client=SHORT, latency=0.2) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        sandbox.faults = [
            Fault("reset_after", operation="comment_ticket", times=1),
            Fault("403", operation="get_ticket_detail"),
        ]
        async with Once(client, file, mark=True) as once:
            assert (await once("om_1", comment, deadline=1)).state is State.UNKNOWN
            sandbox.faults = []
            await asyncio.sleep(HOUR)
            outcome = await once("om_1", comment)
    assert outcome.state is State.DONE
    assert 0 < outcome.elapsed < 5


@pytest.mark.parametrize("settles", [False, True])
@virtual_time
async def test_one_that_certainly_did_not_happen(file: Path, *, settles: bool) -> None:
    """It is sent again by the next delivery, also by one that comes while `settle` looks."""
    async with virtual_sandbox(40, client=SHORT, latency=0.2) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        sandbox.faults = [
            Fault("reset", operation="comment_ticket", times=1),
            Fault("403", operation="get_ticket_detail"),
        ]
        async with Once(client, file, mark=True) as once:
            assert (await once("om_1", comment, deadline=1)).state is State.UNKNOWN
            sandbox.faults = []
            await asyncio.sleep(60)
            looks = asyncio.create_task(once.settle()) if settles else None
            await asyncio.sleep(0.1)
            outcome = await once("om_1", comment)
            assert outcome.state is State.DONE
            # The outcome of one delivery counts all its tries; a look that frees the key ends the ones before it.
            assert outcome.attempts == (1 if settles else 2)
            if looks is not None:
                assert (await looks)["om_1"].state is State.NOT_SENT
            assert await once("om_1", comment) == outcome
        assert len(sandbox.applied) == 1
        assert sandbox.applied[0].request["detail"] == f"已联系客户\n{outcome.mark}"
        async with Once(client, file) as once:
            assert await once("om_1", comment) == outcome


@pytest.mark.parametrize("kind", slow_after(1, ["comment", "close"]))
@virtual_time
async def test_settle_beside_a_delivery(file: Path, kind: str) -> None:
    """One that is delivered, and ends, before `settle` comes to it is what the delivery says, also in the next run."""
    options: ClientOptions = {"attempt_timeout": 20.0, "deadline": 60.0}
    async with virtual_sandbox(100, client=options, latency=0.05) as (sandbox, client):
        mutations: list[Any] = [CommentTicket(id=1001 + number, detail="已联系客户") for number in range(9)]
        if kind == "close":
            mutations = [*await closes(client, 9)]
        sandbox.faults = [Fault("hang", operation=OPERATIONS[kind])]
        async with Once(client, file, mark=True, patience=0) as once:
            calls = [asyncio.create_task(once(f"om_{n}", one)) for n, one in enumerate(mutations)]
            await asyncio.sleep(1)
        await asyncio.gather(*calls)
        sandbox.faults = [Fault("hang", operation="get_ticket_detail", times=8)]
        async with Once(client, file, mark=True) as once:
            looks = asyncio.create_task(once.settle())
            await asyncio.sleep(1)
            outcome = await once("om_8", mutations[8])
            assert (await looks)["om_8"] == outcome
            assert await once("om_8", mutations[8]) == outcome
        assert outcome.state is State.DONE
        async with Once(client, file, mark=True) as once:
            assert (await once("om_8", mutations[8])).state is State.DONE
        assert [one.ticket_id for one in sandbox.applied].count(mutations[8].id) == 1


async def left_unknown(sandbox: Sandbox, client: WorkorderClient, file: Path, count: int) -> list[CloseTicket]:
    """Return closes for the events "0", "1" and so on, which were sent a minute ago, and nobody knows what came of."""
    batch = await closes(client, count)
    sandbox.faults = [Fault("hang", operation="close_ticket")]
    async with Once(client, file, patience=0) as once:
        calls = [asyncio.create_task(once(str(number), close)) for number, close in enumerate(batch)]
        await asyncio.sleep(1)
    await asyncio.gather(*calls)
    await asyncio.sleep(60)
    return batch


@virtual_time
async def test_settle_after_deliveries(file: Path) -> None:
    """What is delivered twice before its turn comes, freed by the first and done by the second, is done."""
    async with virtual_sandbox(100, client=SHORT, latency=0.01) as (sandbox, client):
        batch = await left_unknown(sandbox, client, file, 9)
        sandbox.faults = [
            Fault("hang", operation="get_ticket_detail", times=8),
            Fault("errno", operation="close_ticket", times=1, errno=90001),
        ]
        async with Once(client, file) as once:
            settling = asyncio.create_task(once.settle())
            await asyncio.sleep(0.1)
            assert [(await once("8", batch[8])).state for _ in range(2)] == [State.REJECTED, State.DONE]
            assert (await settling)["8"].state is State.DONE


@virtual_time
async def test_settle_before_a_delivery(file: Path) -> None:
    """What is freed by a look, and done by a delivery while others are looked for, did not stay undone."""
    async with virtual_sandbox(40, client=SHORT, latency=0.01) as (sandbox, client):
        batch = await left_unknown(sandbox, client, file, 2)
        sandbox.faults = [Fault("hang", operation="get_ticket_detail", after=1, times=1)]
        async with Once(client, file) as once:
            settling = asyncio.create_task(once.settle())
            await asyncio.sleep(1)
            assert (await once("0", batch[0])).state is State.DONE
            found = await settling
            assert [found[key].state for key in ("0", "1")] == [State.DONE, State.NOT_SENT]
        assert len(sandbox.applied) == 1


@virtual_time
async def test_two_events_close_one_ticket(file: Path) -> None:
    """What the first of them did in a run that was killed is no sign of the second, which never arrived."""
    async with virtual_sandbox(40, client=SHORT, latency=0.05) as (sandbox, client):
        (close,) = await closes(client, 1)
        async with Once(client, file, patience=0) as once:
            assert (await once("card_1", close)).state is State.DONE
            sandbox.faults = [Fault("hang", operation="close_ticket")]
            cut = asyncio.create_task(once("card_2", close))
            await asyncio.sleep(1)
        await cut
        options: ClientOptions = {**SHORT, "now": client.now}
        async with sandbox.client(**options) as another, Once(another, file) as once:
            assert (await once("card_2", close)).state is State.UNKNOWN
            assert (await once("card_1", close)).state is State.DONE
        assert len(sandbox.applied) == 1


@virtual_time
async def test_settle_looks_in_its_own_scope(file: Path) -> None:
    """What another scope left unknown is left to it."""
    async with virtual_sandbox(40, client=SHORT) as (sandbox, client):
        sandbox.faults = [Fault("reset_after", operation="comment_ticket"), Fault("403", operation="get_ticket_detail")]
        for scope in ("a", "b"):
            async with Once(client, file, scope=scope) as once:
                await once("om_1", CommentTicket(id=1001, detail=scope))
        sandbox.faults = []
        async with Once(client, file, scope="b") as once:
            (outcome,) = (await once.settle()).values()
            assert outcome.mutation == CommentTicket(id=1001, detail="b")
        async with Once(client, file, scope="a") as once:
            (outcome,) = (await once.settle()).values()
            assert outcome.mutation == CommentTicket(id=1001, detail="a")


@pytest.mark.parametrize("restarts", [False, True])
@virtual_time
async def test_the_outcome_of_a_key(file: Path, *, restarts: bool) -> None:
    """Who has the key alone is told the same, in the next run too; nothing is sent for it."""
    async with virtual_sandbox(40, client=SHORT) as (sandbox, client):
        comment, blind = CommentTicket(id=1001, detail="已联系客户"), Fault("403", operation="get_ticket_detail")
        once = await Once(client, file).__aenter__()
        assert await once.outcome("om_1") is None
        done = await once("om_1", comment)
        assert await once.outcome("om_1") == done
        sandbox.faults = [Fault("reset_after", operation="comment_ticket"), blind]
        lost = await once("om_2", evolve(comment, id=1002), deadline=1)
        sandbox.faults = [Fault("errno", operation="comment_ticket", errno=23000)]
        refused = await once("om_3", evolve(comment, id=1003))
        sandbox.faults = [blind]
        if restarts:
            await once.__aexit__(None, None, None)
            once = await Once(client, file).__aenter__()
        assert await once.outcome("om_1") == done
        assert repr(await once.outcome("om_3")) == repr(refused)
        unknown = await once.outcome("om_2")
        assert lost.state is State.UNKNOWN
        assert unknown is not None
        assert unknown.state is State.UNKNOWN
        sandbox.faults = []
        found = await once.outcome("om_2")
        assert found is not None
        assert found.state is State.DONE
        assert await once.outcome("om_2") == found == await once("om_2", evolve(comment, id=1002))
        await once.__aexit__(None, None, None)
        assert sandbox.requests["comment_ticket"] == 3


@virtual_time
async def test_the_outcome_of_one_key_among_many(file: Path) -> None:
    """It is looked for alone: else there was no time for it behind all that an outage had left open."""
    async with virtual_sandbox(40, client=SHORT) as (sandbox, client):
        sandbox.faults = [Fault("reset_after", operation="comment_ticket"), Fault("503", operation="get_ticket_detail")]
        async with Once(client, file) as once:
            comments = [CommentTicket(id=id, detail="已联系客户") for id in range(1001, 1014)]
            lost = await asyncio.gather(*(once(f"om_{one.id}", one, deadline=1) for one in comments))
            assert {one.state for one in lost} == {State.UNKNOWN}
        sandbox.faults = []
        for restarts in (True, False):
            async with Once(client, file) as once:
                before = sandbox.requests["get_ticket_detail"]
                outcome = await once.outcome("om_1010", deadline=1)
                assert outcome is not None
                assert (outcome.state, outcome.ticket_id) == (State.DONE, 1010)
                assert sandbox.requests["get_ticket_detail"] - before == restarts


@virtual_time
async def test_the_outcome_of_what_is_under_way(file: Path) -> None:
    """It is waited for as long as there is time."""
    async with virtual_sandbox(40, latency=1.0) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        async with Once(client, file) as once:
            first = asyncio.create_task(once("om_1", comment))
            await asyncio.sleep(0.1)
            short = await once.outcome("om_1", deadline=0.2)
            assert short is not None
            assert (short.state, short.mutation) == (State.UNKNOWN, comment)
            assert await once.outcome("om_1") == await first
        assert len(sandbox.applied) == 1


@virtual_time
async def test_the_outcome_of_a_key_that_is_free_again(file: Path) -> None:
    """What certainly did not happen is told once; then the key is free, as it is after what was not sent."""
    async with virtual_sandbox(40, client=SHORT) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        blind = Fault("403", operation="get_ticket_detail")
        async with Once(client, file, mark=True) as once:
            sandbox.faults = [Fault("reset", operation="comment_ticket", times=1), blind]
            await once("om_1", comment, deadline=1)
            sandbox.faults = [Fault("429", operation="comment_ticket")]
            await asyncio.sleep(60)
            told = await once.outcome("om_1")
            assert told is not None
            assert told.state is State.NOT_SENT
            assert await once.outcome("om_1") is None
            assert (await once("om_2", comment, deadline=1)).state is State.NOT_SENT
            assert await once.outcome("om_2") is None
            with pytest.raises(ConfigError, match="key is ''"):
                await once.outcome("")
        with pytest.raises(ConfigError, match="Once is not open"):
            await once.outcome("om_1")


# Calls that end before their time


@virtual_time
async def test_a_call_that_is_over_or_cancelled_leaves_it_going_on(file: Path) -> None:
    """The first call is cancelled, the second has a short deadline: the third has the outcome, and it happened once."""
    async with virtual_sandbox(40, latency=1.0) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        async with Once(client, file) as once:
            first = asyncio.create_task(once("om_1", comment, deadline=9))
            await asyncio.sleep(0.1)
            first.cancel()
            short = await once("om_1", comment, deadline=0.2)
            assert short.state is State.UNKNOWN
            assert "being carried out" in str(short.error)
            assert (await once("om_1", comment)).state is State.DONE
            assert first.cancelled()
        assert len(sandbox.applied) == 1


@virtual_time
async def test_a_client_that_is_closed_meanwhile(file: Path) -> None:
    """Whoever closes the client while a lost comment is looked for is told that it is unknown, and so is the next."""
    async with virtual_sandbox(40, client=SHORT) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        sandbox.faults = [Fault("reset_after", operation="comment_ticket"), Fault("reset")]
        async with Once(client, file) as once:
            delivery = asyncio.create_task(once("om_1", comment))
            await asyncio.sleep(1.5)
            await client.aclose()
            outcomes = [await delivery, await once("om_1", comment)]
        assert [outcome.state for outcome in outcomes] == [State.UNKNOWN] * 2
        assert len(sandbox.applied) == 1


@virtual_time
async def test_a_call_that_is_over_and_asks(file: Path) -> None:
    """Whoever asks about what is still being carried out is told nothing, and does not hide it from later looks."""
    async with virtual_sandbox(40, latency=1.0, client=SHORT) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        sandbox.faults = [Fault("504_after", operation="comment_ticket", times=1)]
        async with Once(client, file) as once:
            first = asyncio.create_task(once("om_1", comment))
            await asyncio.sleep(0)
            short = await once("om_1", comment, deadline=0.2)
            assert isinstance(short.error, OutcomeUnknownError)
            assert await short.error.verify(client) is None
            assert (await first).state is State.DONE


@pytest.mark.parametrize("sent", [False, True])
@virtual_time
async def test_one_that_joins_has_its_own_time(file: Path, *, sent: bool) -> None:
    """The first call gave up soon, before or after it was sent; one that joined it has more time, and uses it."""
    async with virtual_sandbox(40, latency=1.0, client={"max_in_flight": 1}) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        busy = None if sent else asyncio.create_task(client.get_ticket(1001))
        async with Once(client, file) as once:
            await asyncio.sleep(0.1)
            first = asyncio.create_task(once("om_1", comment, deadline=0.5))
            await asyncio.sleep(0.1)
            assert (await once("om_1", comment, deadline=9)).state is State.DONE
            assert (await first).state is (State.UNKNOWN if sent else State.NOT_SENT)
        if busy is not None:
            await busy
        assert len(sandbox.applied) == 1


@virtual_time
async def test_left_while_one_waits_for_another(file: Path) -> None:
    """Who joined a call that was not sent in time is told so, and begins nothing more: the key is free."""
    async with virtual_sandbox(40, latency=1.0, client={"max_in_flight": 1}) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        busy = asyncio.create_task(client.get_ticket(1001))
        async with Once(client, file) as once:
            await asyncio.sleep(0.1)
            calls = [asyncio.create_task(once("om_1", comment, deadline=seconds)) for seconds in (0.5, 9)]
            await asyncio.sleep(0.1)
        assert [(await call).state for call in calls] == [State.NOT_SENT] * 2
        await busy
        async with Once(client, file) as once:
            assert (await once("om_1", comment)).state is State.DONE
        assert len(sandbox.applied) == 1


@virtual_time
async def test_left_while_settle_looks(file: Path) -> None:
    """It tells what it knew by then, and begins no look that nobody waits for."""
    async with virtual_sandbox(40, latency=0.05, client=SHORT) as (sandbox, client):
        sandbox.faults = [Fault("hang_after", operation="comment_ticket")]
        async with Once(client, file, patience=0) as once:
            calls = [once(f"om_{id}", CommentTicket(id=id, detail="已联系客户")) for id in range(1001, 1014)]
            told = asyncio.gather(*calls)
            await asyncio.sleep(1)
        await told
        # Of the first eight one takes longer than the others.
        sandbox.faults = [Fault("hang", operation="get_ticket_detail", times=1)]
        async with Once(client, file, patience=0.08) as once:
            looks = asyncio.create_task(once.settle())
            await asyncio.sleep(0.01)
        assert Counter(one.state for one in (await looks).values()) == {State.DONE: 7, State.UNKNOWN: 6}


@virtual_time
async def test_cancelled_while_it_is_left(file: Path) -> None:
    """The journal is closed and free all the same, and the next run finds what was cut short."""
    async with virtual_sandbox(40, latency=1.0) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")

        async def use() -> None:
            async with Once(client, file) as once:
                call = asyncio.create_task(once("om_1", comment))
                await asyncio.sleep(0.5)
                call.cancel()

        using = asyncio.create_task(use())
        await asyncio.sleep(0.7)
        for _ in range(3):
            using.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([using])
        assert using.cancelled()
        async with Once(client, file) as once:
            assert (await once("om_1", comment)).state is State.DONE
        assert len(sandbox.applied) == 1


@pytest.mark.parametrize("patience", [0.0, 5.0])
@virtual_time
async def test_left_amid_a_mutation(file: Path, patience: float) -> None:
    """What is under way may end; what does not end is cut short, unknown, and found by the next run."""
    async with virtual_sandbox(40, latency=1.0) as (sandbox, client):
        comment = CommentTicket(id=1001, detail="已联系客户")
        once = await Once(client, file, patience=patience).__aenter__()
        calls = [asyncio.create_task(once("om_1", comment)) for _ in range(2)]
        await asyncio.sleep(0.5)
        leaving = asyncio.create_task(once.__aexit__(None, None, None))
        await asyncio.sleep(0)
        with pytest.raises(ConfigError, match="Once is not open"):
            await once("om_2", comment)
        await leaving
        told = [await call for call in calls]
        assert {one.state for one in told} == {State.DONE if patience else State.UNKNOWN}
        with pytest.raises(ConfigError, match="Once is not open; use it inside of `async with Once"):
            await once("om_1", comment)
        with pytest.raises(ConfigError, match="not open"):
            await once.settle()
        await asyncio.sleep(2)
        async with Once(client, file) as once:
            assert (await once("om_1", comment)).state is State.DONE
        assert len(sandbox.applied) == 1


@pytest.mark.parametrize("fault", slow_after(1, ["reset_after", None]))
@virtual_time
async def test_a_clock_that_raises_once(file: Path, fault: Kind | None) -> None:
    """Where an error cut a call short that may have sent something, the next sends nothing: it is found."""
    clock, calls, states = running_loop().wall_clock, 0, set[State]()

    def now() -> float:
        nonlocal calls
        calls += 1
        if calls == call:
            raise ValueError("no clock")
        return clock()

    for call in range(8, 16):
        path, calls = file.with_name(f"{call}"), -1000
        async with virtual_sandbox(2, latency=0.05, client={**SHORT, "now": now}) as (sandbox, client):
            await client.ping()
            async with Once(client, path) as once:
                sandbox.faults = [Fault(fault, operation="comment_ticket", times=1)] if fault else []
                calls = 0
                with suppress(ValueError):
                    await once("om_1", CommentTicket(id=1001, detail="已联系客户"))
                states.add((await once("om_1", CommentTicket(id=1001, detail="已联系客户"))).state)
            calls = call
            async with Once(client, path) as once:
                assert (await once("om_1", CommentTicket(id=1001, detail="已联系客户"))).state is State.DONE
            assert len(sandbox.applied) == 1
    assert states == {State.DONE}


@pytest.mark.parametrize("tasks", TASKS)
@virtual_time
async def test_a_journal_that_fails(file: Path, tasks: Any) -> None:
    """Nothing is sent that is not written down, and each call says why."""
    running_loop().set_task_factory(tasks)
    async with virtual_sandbox(40) as (sandbox, client):
        once = await Once(client, file).__aenter__()
        file.unlink()
        for _ in range(2):
            with pytest.raises(JournalError, match="removed or replaced"):
                await once("om_1", CommentTicket(id=1001, detail="已联系客户"))
        with pytest.raises(JournalError, match="removed or replaced"):
            await once.__aexit__(None, None, None)
        assert sandbox.applied == []


@pytest.mark.parametrize("left_open", slow_after(1, [False, True]))
async def test_a_disk_that_is_late_once(file: Path, monkeypatch: pytest.MonkeyPatch, *, left_open: bool) -> None:
    """The call whose time is over says so; the same event and all others go on when the disk is back."""
    async with Sandbox(40) as sandbox, sandbox.client(**SHORT) as client:
        first, other = (CommentTicket(id=1001, detail=text) for text in ("已联系客户", "请补充日志"))
        if left_open:
            sandbox.faults = [
                Fault("reset_after", operation="comment_ticket", times=1),
                Fault("hang", operation="get_ticket_detail"),
            ]
            async with Once(client, file) as once:
                assert (await once("om_1", first, deadline=0.5)).state is State.UNKNOWN
            sandbox.faults = []
        async with Once(client, file) as once:
            free, real = threading.Event(), LockedFile.check_place
            with monkeypatch.context() as patch:
                patch.setattr(LockedFile, "check_place", lambda journal: (free.wait(20), real(journal)))
                if left_open:
                    # What is found by reading needs no disk.
                    assert (await once("om_1", first, deadline=0.5)).state is State.DONE
                else:
                    with pytest.raises(JournalError, match="does not answer in time, so nothing more was sent"):
                        await once("om_1", first, deadline=0.05)
                free.set()
                assert (await once("om_2", other)).state is State.DONE
            if left_open:
                with pytest.raises(ConfigError, match="another mutation"):
                    await once("om_1", other)
                assert await once.outcome("om_1") is not None
            assert (await once("om_1", first)).state is State.DONE
        assert Counter(one.request["detail"] for one in sandbox.applied) == {first.detail: 1, other.detail: 1}


async def test_a_disk_that_is_full_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event of that moment was not sent, and says so; it and all others go on when there is room again."""

    def full(journal: LockedFile, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with Sandbox(40) as sandbox, sandbox.client(**SHORT) as client, Once(client, file) as once:
        first, other = (CommentTicket(id=1001, detail=text) for text in ("已联系客户", "请补充日志"))
        with monkeypatch.context() as patch:
            patch.setattr(LockedFile, "append", full)
            with pytest.raises(JournalError, match="No space left on device; nothing more was sent; make room"):
                await once("om_1", first)
        assert sandbox.applied == []
        assert (await once("om_2", other)).state is State.DONE
        assert (await once("om_1", first)).state is State.DONE
        assert len(sandbox.applied) == 2


# What cannot work


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scope": 7}, "scope is 7; it must be a text"),
        ({"keep": 3600}, r"keep is 3600; it must be 28,800 seconds \(8 hours\) or more"),
        ({"keep": "1d"}, "keep is '1d'; it must be 28,800 seconds"),
        ({"keep": float("nan")}, "keep is nan; it must be 28,800 seconds"),
        ({"patience": -1}, "patience is -1; it must be"),
        ({"mark": "om_1"}, "mark is 'om_1'; it must be True or False"),
        ({"journal": 7}, "journal is int 7; it must be a path"),
    ],
    ids=lambda value: "",
)
async def test_bad_arguments(file: Path, options: dict[str, Any], said: str) -> None:
    """Each is refused by name, before anything is opened."""
    async with make_client() as client:
        with pytest.raises(ConfigError, match=said):
            Once(client, **{"journal": file, **options})
    assert not file.exists()


@pytest.mark.parametrize("key", ["", None, 7, b"om_1"])
@virtual_time
async def test_bad_keys(file: Path, key: Any) -> None:
    """A key is a text, and nothing is sent under another."""
    async with virtual_sandbox(40) as (sandbox, client), Once(client, file) as once:
        with pytest.raises(ConfigError, match=r"key is .*; it must be a text that is the same each time"):
            await once(key, CommentTicket(id=1001, detail="已联系客户"))
        with pytest.raises(ConfigError, match="no mutation"):
            await once("om_1", key)
        assert sum(sandbox.requests.values()) == 0


@virtual_time
async def test_whose_journal(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is open once at a time, nobody's if it cannot be opened, and no batch's; a batch does not take it either."""
    async with virtual_sandbox(40) as (_, client):
        with monkeypatch.context() as patch:
            patch.setattr(once_module, "_events_of", None)
            with pytest.raises(TypeError):
                await Once(client, file).__aenter__()
        async with Once(client, file) as once:
            with pytest.raises(JournalError, match="in use"):
                await Once(client, file).__aenter__()
            with pytest.raises(ConfigError, match="Once is open already"):
                await once.__aenter__()
        async with once:
            assert await once.settle() == {}
        batch, other = [CommentTicket(id=1001, detail="一")], file.with_name("batch.journal")
        with pytest.raises(JournalError, match="belongs to another batch"):
            await anext(run_batch(client, iter(batch), journal=file))
        assert [one async for one in run_batch(client, iter(batch), journal=other)]
        with pytest.raises(JournalError, match="belongs to another batch"):
            await Once(client, other).__aenter__()


async def test_another_event_loop(file: Path) -> None:
    """Whatever uses it in another thread's loop is refused at once: it would wait for what only this loop can wake."""
    async with Sandbox(5) as sandbox, sandbox.client() as client, Once(client, file) as once:
        mutation = CommentTicket(id=1001, detail="一")
        for used in (lambda: once("m1", mutation), lambda: once.__aexit__(None, None, None)):
            with pytest.raises(ConfigError, match="Once is of another event loop; use it where it was opened"):
                await asyncio.to_thread(lambda used=used: asyncio.run(used()))  # type: ignore[misc]
        assert (await once("m1", mutation)).state is State.DONE


def test_the_event_loop_has_ended(file: Path, workorder_sandbox: SandboxThread) -> None:
    """Where its loop is closed, as by `asyncio.run`, it is left from another; its file is free."""

    async def opened() -> Once:
        return await Once(workorder_sandbox.client(), file).__aenter__()

    async def used(once: Once) -> None:
        with pytest.raises(
            ConfigError, match=r"Once is of another event loop; leave this one, and make another inside"
        ):
            await once.settle()
        await once.__aexit__(None, None, None)
        async with workorder_sandbox.client() as client, Once(client, file):
            pass

    asyncio.run(used(asyncio.run(opened())))


# Killed


def judge(sandbox: SandboxThread, printed: str, events: int) -> list[float]:
    """Compare what the last run said of each event with what happened; return the seconds that its calls took."""
    made = Counter(
        one.request.get("title") or str(one.request.get("detail")).partition("\n")[0] for one in sandbox.applied
    )
    told = [orjson.loads(line) for line in printed.splitlines()]
    assert len(told) == events
    for event in told:
        assert event["states"] == ["DONE"] * 10, event
        assert len(set(event["outcomes"])) == 1
        assert made.pop(event["text"]) == 1, event
    assert made == {}
    return [event["seconds"] for event in told]


@pytest.mark.slow
def test_the_same_message_ten_times_at_once_and_killed(file: Path) -> None:
    """Four times over: killed before and after the creation and the comment; one of each, ten equal answers."""
    moments: tuple[Moment, ...] = ("received", "applied")
    kills = [Kill(name, moment=moment) for name in ("create_ticket", "comment_ticket") for moment in moments]
    with SandboxThread(tickets=40, latency=0.1) as sandbox:
        run_killed(sandbox, [sys.executable, BOT, file, "0", "1"])
        *_, last = run_killed(sandbox, [sys.executable, BOT, file, "1", "1"], *kills)
        assert last.returncode == 0, last.stderr
        assert max(judge(sandbox, last.stdout, 3)) < 3


def killed(seed: int, file: Path, messages: int, kills: int) -> None:
    """Deliver all messages to a bot that is killed so often, over a network on which everything may happen."""
    random = Random(seed)
    kinds: tuple[Kind, ...] = ("reset", "reset_after", "hang_after", "503_after", "502_after", "429", "truncate")
    # It is killed when so many changes have happened.
    deaths = sorted(random.sample(range(1, 2 * messages - 2 * kills // 3), kills))
    program: subprocess.Popen[str]

    async def see(moment: Moment, operation: str) -> bool:
        if moment != "applied" or operation not in OPERATIONS.values() or not deaths or made() < deaths[0]:
            return False
        deaths.pop(0)
        program.kill()
        await asyncio.to_thread(program.wait)
        return True

    def made() -> int:
        return len(sandbox.applied)

    with SandboxThread(tickets=40, latency=0.02, seed=seed) as sandbox:
        run_killed(sandbox, [sys.executable, BOT, file, "0", "1"])
        sandbox.faults = [Fault(kind, chance=0.02, seconds=0.5) for kind in kinds]
        sandbox.witness = see
        command, environment = [sys.executable, str(BOT), str(file), str(messages), "2"], sandbox.environment
        while True:
            program = subprocess.Popen(
                command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment}
            )
            printed, errors = program.communicate()
            sandbox.settle()
            if program.returncode != -signal.SIGKILL:
                break
        assert program.returncode == 0, errors
        assert deaths == []
        judge(sandbox, printed, 2 * messages + 1)


@pytest.mark.slow
def test_killed_at_random(file: Path) -> None:
    """Whatever the network does, and whenever it is killed: each event once, and it is known in the end."""
    killed(0, file, 6, 2)


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(6))
def test_sixty_events_and_twenty_kills(file: Path, seed: int) -> None:
    """The same, with sixty events and twenty kills."""
    killed(seed, file, 30, 20)


# The clock of the user


@pytest.mark.parametrize("told", slow_after(1, [OSError("no time is known"), None]), ids=["an error", "no time"])
@pytest.mark.parametrize("kind", slow_after(1, ["create", "comment"]))
@virtual_time
async def test_a_clock_that_fails_at_any_moment(tmp_path: Path, kind: str, told: OSError | None) -> None:
    """It hides nothing of what happened, and nothing happens twice for it."""
    clock = running_loop().wall_clock
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        for moment in range(1, 25):
            left, before = [moment], len(sandbox.applied)

            def now(left: list[int] = left) -> Any:
                left[0] -= 1
                if not left[0] and isinstance(told, OSError):
                    raise told
                return clock() if left[0] else told

            async with sandbox.client(now=now) as caller:
                said: Any = None
                with suppress(ConfigError, OSError):
                    async with Once(caller, tmp_path / f"{moment}.journal") as once:
                        said = (await once("m1", mutation)).state
            assert len(sandbox.applied) - before == (said in (State.DONE, State.UNKNOWN))
