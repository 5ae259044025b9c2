"""hold.py, in virtual time: what holds for all mutations holds a batch back, and none is lost by it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.batches import ran, states
from tests.support.clients import make_client
from tests.support.mutations import close_of
from tests.support.raw_server import data, http
from tests.support.slow import slow_after
from tests.support.virtual_loop import taking, virtual_time
from workorder_async import (
    CloseTicket,
    CommentTicket,
    JournalError,
    Mutation,
    NotSentError,
    RateLimitedError,
    RetryPolicy,
    WorkorderClient,
)
from workorder_async.batches.hold import Hold
from workorder_async.batches.journal_file import read_records
from workorder_async.batches.outcomes import BatchReport, Outcome, State
from workorder_async.signing.scheme import SigningInput

#: Answers a mutation instead of carrying it out: its ticket, and how many mutations came before. None: as always.
Refusal = Callable[[int, int], bytes | None]


class Platform:
    """A server that counts what it carries out, a fiftieth of a second after it was asked; it can go away."""

    def __init__(self) -> None:
        self.done: Counter[int] = Counter()
        self.came = 0
        self.reads = 0
        self.refuse: Refusal = lambda _id, _before: None
        self.refuse_reads: Callable[[int], bytes | None] = lambda _before: None
        self.wait: Callable[[], float] = lambda: 0.02
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def come(self) -> None:
        """Listen, at the port of before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def go(self) -> None:
        """Stop listening, and reset all connections: nothing of what is under way is carried out."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-len"))
                body = orjson.loads(await reader.readexactly(length))
                await asyncio.sleep(self.wait())
                if writer.transport.is_closing():
                    return
                writer.write(self._answer(head, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, head: bytes, body: dict[str, Any]) -> bytes:
        if b"list_tickets" in head.split(b"\r\n")[0]:
            self.reads += 1
            return self.refuse_reads(self.reads - 1) or data({"pagination": {"total": 0}, "tickets": []})
        self.came += 1
        answer = self.refuse(body["id"], self.came - 1)
        if answer is None:
            self.done[body["id"]] += 1
        return answer or data({})


@asynccontextmanager
async def platform(**options: Any) -> AsyncIterator[tuple[Platform, WorkorderClient]]:
    """Run a server and a client of it."""
    server = Platform()
    await server.come()
    async with make_client(f"http://127.0.0.1:{server.port}", **{"retry": RetryPolicy(), **options}) as client:
        try:
            yield server, client
        finally:
            server.go()
            await asyncio.sleep(1)  # the connections end


def comments(count: int) -> list[Mutation]:
    """Return a comment on each of so many tickets."""
    return [CommentTicket(id=id, detail="备注") for id in range(1, count + 1)]


def slow_down(seconds: float) -> bytes:
    """Return an answer that asks for a pause."""
    return http("", "429 Too Many Requests", Retry_After=f"{seconds:g}")


#: So many mutations that some are under way, some are done, and most are to come when something happens.
MANY = 120
#: Options of clients that give up early.
IMPATIENT = {"retry": RetryPolicy(attempts=1), "deadline": 1.0}


@pytest.mark.parametrize(
    ("options", "seconds", "kept"),
    slow_after(1, [({}, 4, True), (IMPATIENT, 4, False), ({}, 60, False), (IMPATIENT, 60, True)]),
    ids=lambda value: "",
)
@virtual_time
async def test_a_server_that_is_away(tmp_path: Path, options: dict[str, Any], seconds: float, *, kept: bool) -> None:
    """Some seconds without a server: what was under way is settled or unknown, all else is done, once."""
    pulled = 0
    async with platform(**options) as (server, client):

        def source() -> Iterator[Mutation]:
            nonlocal pulled
            for mutation in comments(MANY):
                pulled += 1
                yield mutation

        async def go_away() -> None:
            nonlocal pulled
            await asyncio.sleep(0.05)
            server.go()
            before = pulled
            await asyncio.sleep(seconds)
            assert pulled <= before + 8
            await server.come()

        away = asyncio.create_task(go_away())
        outcomes = await ran(client, source(), journal=tmp_path / "j" if kept else None, verify=False)
        await away
    assert set(states(outcomes)) <= {State.DONE, State.UNKNOWN}
    assert states(outcomes)[State.UNKNOWN] <= 8  # those whose bytes were on the way
    assert len(outcomes) == MANY
    assert set(server.done.values()) == {1}
    assert len(server.done) >= MANY - 8


@virtual_time
async def test_a_server_that_comes_late(tmp_path: Path) -> None:
    """A batch that begins before its server is done whole."""
    async with platform() as (server, client):
        server.go()
        asyncio.get_running_loop().call_later(4, lambda: tasks.append(asyncio.create_task(server.come())))
        tasks: list[asyncio.Task[None]] = []
        report = BatchReport()
        outcomes = await ran(client, comments(MANY), journal=tmp_path / "j", report=report)
    assert states(outcomes) == {State.DONE: MANY}
    assert report.settled
    # Those that waited for it were tried more than once: every request that was started counts.
    waited = [one.attempts for one in outcomes if one.attempts > 1]
    assert 0 < len(waited) <= 8
    assert max(waited) > RetryPolicy().attempts
    kept = Counter(record.facts["attempts"] for record in read_records(tmp_path / "j").by_key.values())
    assert kept == Counter(one.attempts for one in outcomes)


@virtual_time
async def test_an_equal_one_is_faster() -> None:
    """A comment that was turned away, and overtaken by an equal one meanwhile, is skipped, with its attempts."""

    async def source() -> AsyncIterator[Mutation]:
        for id, pause in ((1, 0.001), (2, 0.2), (2, 0)):
            yield CommentTicket(id=id, detail="备注")
            await asyncio.sleep(pause)

    async with platform(deadline=3.0) as (server, client):
        waits = iter([0.02, 0.5])
        server.wait = lambda: next(waits, 0.02)
        server.refuse = lambda _, before: slow_down(20) if before < 2 else None
        outcomes = await ran(client, source(), concurrency=3)
    assert states(outcomes) == {State.DONE: 2, State.SKIPPED: 1}
    [skipped] = [one for one in outcomes if one.state is State.SKIPPED]
    assert (skipped.attempts, skipped.elapsed > 0) == (1, True)


@virtual_time
async def test_a_short_deadline_in_a_long_queue() -> None:
    """Who had no turn while others had one is tried again."""
    async with platform(rate=10) as (server, client):
        outcomes = await ran(client, comments(60), deadline=0.4, concurrency=16)
    assert states(outcomes) == {State.DONE: 60}
    assert set(server.done.values()) == {1}


async def test_a_deadline_that_leaves_no_turn() -> None:
    """It ends each mutation after a few tries, and the platform is not asked again and again for its sake."""
    async with platform() as (server, client):
        outcomes = await ran(client, comments(5), deadline=1e-6)  # no journal: its disk would have no time, either
    assert states(outcomes) == {State.NOT_SENT: 5}
    assert "within 1e-06 s" in str(outcomes[0].error)
    assert server.came == 0
    assert server.reads <= 20


@pytest.mark.parametrize(
    ("options", "at"),
    slow_after(1, [({}, 20), (IMPATIENT, 20), ({"deadline": 200.0}, 20), ({}, 0), (IMPATIENT, 0)]),
    ids=lambda value: "",
)
@virtual_time
async def test_a_pause_that_is_longer_than_a_deadline(options: dict[str, Any], at: int) -> None:
    """One `Retry-After: 100` is a pause of a hundred seconds, and then all is done."""
    async with platform(**options) as (server, client):
        server.refuse = lambda _, before: slow_down(100) if before == at else None
        async with taking(100, within=100):
            outcomes = await ran(client, comments(MANY))
    assert states(outcomes) == {State.DONE: MANY}
    assert set(server.done.values()) == {1}


@virtual_time
async def test_pauses_again_and_again() -> None:
    """Pauses that the server asks for are waited out, whatever they come to; `outage` does not count them."""
    async with platform() as (server, client):
        server.refuse = lambda _, before: slow_down(250) if before % 10 == 0 and before < 60 else None
        outcomes = await ran(client, comments(100), outage=60)
    assert states(outcomes) == {State.DONE: 100}


@pytest.mark.parametrize("reads", slow_after(1, ["served", "turned away"]))
@virtual_time
async def test_a_storm(reads: str) -> None:
    """For ten seconds all is turned away, without a word of how long: then all is done."""
    async with platform(**IMPATIENT) as (server, client):
        time = asyncio.get_running_loop().time
        server.refuse = lambda _id, _before: http("", "429 Too Many Requests") if time() < 10 else None
        if reads == "turned away":
            server.refuse_reads = lambda _: server.refuse(0, 0)
        outcomes = await ran(client, comments(200))
    assert states(outcomes) == {State.DONE: 200}


@virtual_time
async def test_a_gateway_in_front_of_a_server_that_is_away() -> None:
    """Its pages are lost answers: those under way are unknown, and the others are not sent into it."""
    async with platform() as (server, client):
        time = asyncio.get_running_loop().time
        page = http("<html>", "503 Service Unavailable")
        server.refuse = lambda _id, _before: page if 0.1 < time() < 30 else None
        server.refuse_reads = lambda _: page if time() < 30 else None
        outcomes = await ran(client, comments(MANY), verify=False)
    assert 0 < states(outcomes)[State.UNKNOWN] <= 8
    assert states(outcomes)[State.DONE] >= MANY - 8


@virtual_time
async def test_a_signer_that_cannot_sign_for_a_while() -> None:
    """What the signer asks, as a key server, may be away for all as well."""

    class Signer:
        signs_body = False

        def sign(self, request: SigningInput) -> dict[str, str]:
            if 0.1 < asyncio.get_running_loop().time() < 5:
                raise NotSentError("the key server is away")
            return {}

    async with platform(signer=Signer()) as (_, client):
        outcomes = await ran(client, comments(MANY))
    assert states(outcomes) == {State.DONE: MANY}


# Why it is held back


async def seen_by(report: BatchReport, tasks: "set[asyncio.Task[None]]") -> list[str]:
    """Note what a report says, whenever that changes; the task ends with the loop of the test."""
    said = [""]

    async def look() -> None:
        while True:
            await asyncio.sleep(0.1)
            if report.held != said[-1]:
                said.append(report.held)

    tasks.add(asyncio.create_task(look()))
    return said


@pytest.mark.parametrize(("count", "asked"), slow_after(2, [(1, 20), (100, 20), (8, 60), (1, 200), (100, 200)]))
@virtual_time
async def test_a_pause_is_told(count: int, asked: float) -> None:
    """While the server wants a pause the report says so and how long, wherever the mutations wait for its end."""
    report = BatchReport()
    async with platform(deadline=50) as (server, client):
        server.refuse = lambda _, before: slow_down(asked) if before == 0 else None
        task = asyncio.create_task(ran(client, comments(count), report=report))
        await asyncio.sleep(2)
        assert report.held == f"the server turned requests away: none may start for {asked - 1:.0f} s more"
        await asyncio.sleep(asked - 10)
        assert report.held == "the server turned requests away: none may start for 9 s more"
        assert states(await task) == {State.DONE: count}
    assert report.held == ""


class Noting(BatchReport):
    """A report that notes each value of `held`."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        super().__init__()

    def __setattr__(self, name: str, value: object) -> None:
        if name == "held":
            self.noted.append(str(value))
        super().__setattr__(name, value)


@pytest.mark.parametrize("hangs", slow_after(1, [False, True]))
@virtual_time
async def test_an_outage_is_told(hangs: bool) -> None:
    """While the server is away, or takes requests and says nothing, the report tells the error; later nothing."""
    report = Noting()
    async with platform(**IMPATIENT) as (server, client):
        tasks: set[asyncio.Task[None]] = set()
        said = await seen_by(report, tasks)
        time = asyncio.get_running_loop().time
        if hangs:
            server.wait = lambda: 3600.0 if 0.5 < time() < 30 else 0.02
        else:
            asyncio.get_running_loop().call_later(0.5, server.go)
            asyncio.get_running_loop().call_later(30, lambda: tasks.add(asyncio.create_task(server.come())))
        outcomes = await ran(client, slowly(comments(60)), report=report, verify=False)
        assert set(states(outcomes)) <= {State.DONE, State.UNKNOWN}
        why = "no answer within 1 s" if hangs else "could not send to"
        assert [one for one in said if one and why in one]
        assert all(not one or one.startswith("waiting for the platform: ") for one in said)
        assert (report.held, report.stopped) == ("", "")
        # Who prints it when it begins prints it once.
        assert [is_held for is_held, _ in groupby(map(bool, report.noted))] == [False, True, False]
        for one in tasks:
            one.cancel()


async def slowly(mutations: list[Mutation]) -> AsyncIterator[Mutation]:
    """Yield mutations, one in a second."""
    for mutation in mutations:
        await asyncio.sleep(1)
        yield mutation


@pytest.mark.parametrize("end", ["stopped", "cancelled", "failed"])
@virtual_time
async def test_nothing_holds_a_batch_that_has_ended(end: str) -> None:
    """However a batch ends that was held back, the report does not say any more that it waits."""
    report = BatchReport()
    async with platform(**IMPATIENT) as (server, client):
        server.refuse = lambda _id, _before: slow_down(200)
        source = comments(3) if end != "failed" else failing(comments(3))
        task = asyncio.create_task(ran(client, source, report=report))
        await asyncio.sleep(5)
        assert report.held.startswith("the server turned")
        if end == "cancelled":
            task.cancel()
        server.refuse = lambda _id, _before: data(None, errno=5) if end == "stopped" else None
        server.refuse_reads = lambda _before: data(None, errno=5) if end == "stopped" else None
        await asyncio.wait([task])
    assert report.held == ""


def failing(mutations: list[Mutation]) -> Iterator[Mutation]:
    """Yield mutations, and fail."""
    yield from mutations
    raise ValueError("the source failed")


@virtual_time
async def test_nothing_holds_a_batch_that_goes_on() -> None:
    """Control: where all is well, and where single mutations are refused, nothing is said to hold it back."""
    report = BatchReport()
    async with platform() as (server, client):
        tasks: set[asyncio.Task[None]] = set()
        said = await seen_by(report, tasks)
        server.refuse = lambda ticket, _: data(None, errno=23000) if ticket % 3 == 0 else None
        await ran(client, slowly(comments(20)), report=report, verify=False)
        for one in tasks:
            one.cancel()
    assert said == [""]


# What does not hold for all


@pytest.mark.parametrize("place", [0, 39])
@virtual_time
async def test_one_that_the_signer_refuses(place: int) -> None:
    """One that never is sent where others are is NOT_SENT after some tries, and keeps nobody waiting."""

    class Signer:
        def sign(self, request: SigningInput) -> dict[str, str]:
            if b'"id":%d,' % (place + 1) in b"".join(request.body):
                raise NotSentError("no such letter")
            return {}

    async with platform(signer=Signer()) as (_, client), taking(5, within=5):
        outcomes = await ran(client, comments(40))
    assert states(outcomes) == {State.DONE: 39, State.NOT_SENT: 1}
    (one,) = [one for one in outcomes if one.state is State.NOT_SENT]
    assert "no such letter" in str(one.error)


@virtual_time
async def test_a_refusal_that_is_known_by_now() -> None:
    """Where all are refused with one errno without a meaning, and reads are served, one read is enough to know it."""
    async with platform() as (server, client):
        server.refuse = lambda *_: data(None, 5)
        outcomes = await ran(client, comments(40), concurrency=1)
        assert server.reads == 1
    assert states(outcomes) == {State.REJECTED: 40}


@virtual_time
@pytest.mark.slow
async def test_one_that_is_always_turned_away() -> None:
    """One that is turned away where others are not ends as well, at the latest after `outage` seconds alone."""
    async with platform(deadline=1.0) as (server, client):
        server.refuse = lambda ticket, _: http("", "429 Too Many Requests") if ticket == 7 else None
        outcomes = await ran(client, comments(60), concurrency=2, outage=30)
    assert states(outcomes) == {State.DONE: 59, State.NOT_SENT: 1}
    (one,) = [one for one in outcomes if one.state is State.NOT_SENT]
    assert isinstance(one.error, RateLimitedError)


@pytest.mark.parametrize("outage", slow_after(1, [0.5, 0.0, 300.0]))
@virtual_time
async def test_more_under_way_than_have_their_turn(outage: float) -> None:
    """Who waits for the client's own rate for longer than a deadline is not at fault, and others get through."""
    async with platform(rate=10, deadline=1.0) as (_, client):
        outcomes = await ran(client, comments(60), concurrency=60, outage=outage)
    assert states(outcomes) == {State.DONE: 60}


# An end


@pytest.mark.parametrize("form", [list, iter])
@virtual_time
async def test_a_server_that_stays_away(form: Callable[[list[Mutation]], Any]) -> None:
    """After `outage` seconds the batch stops and says why; the rest of a list is NOT_SENT, other iterables are left."""
    async with platform(**IMPATIENT) as (server, client):
        server.go()
        report = BatchReport()
        async with taking(100, within=32):
            outcomes = await ran(client, form(comments(60)), report=report, outage=100)
    assert states(outcomes) == {State.NOT_SENT: 60 if form is list else len(outcomes)}
    assert len(outcomes) <= 60
    assert form is list or len(outcomes) <= 9
    assert report.stopped.startswith("nothing got through for 1")
    assert "could not send to" in report.stopped
    assert not report.settled


@virtual_time
@pytest.mark.slow
async def test_trouble_now_and_then_is_no_outage() -> None:
    """Seconds of trouble are added up only while nothing gets through."""
    async with platform(**IMPATIENT) as (server, client):

        def go_now_and_then(_id: int, before: int) -> None:
            if before % 10 == 9:
                server.go()
                tasks.append(asyncio.create_task(come_back()))

        async def come_back() -> None:
            await asyncio.sleep(8)
            await server.come()

        tasks: list[asyncio.Task[None]] = []
        server.refuse = go_now_and_then
        outcomes = await ran(client, comments(100), outage=30, verify=False, concurrency=1)
        await asyncio.gather(*tasks)
    assert states(outcomes) == {State.DONE: 100 - 10, State.UNKNOWN: 10}


@virtual_time
async def test_left_while_it_is_held_back() -> None:
    """A batch that is left does not wait for the end of a pause."""
    async with platform() as (server, client):
        server.refuse = lambda _id, _before: slow_down(200)
        task = asyncio.create_task(ran(client, comments(20)))
        await asyncio.sleep(5)
        task.cancel()
        async with taking(0):
            await asyncio.wait([task])
        assert task.cancelled()
    assert server.done == {}


@virtual_time
async def test_left_just_when_it_stops() -> None:
    """A batch may stop, and be left, before whoever waits has heard of the first."""

    async def read() -> None:
        raise AssertionError("nobody asks while the server wants a pause")

    hold = Hold(lambda _: [read()], lambda: 200.0, 300)
    waiting = asyncio.create_task(hold.over())
    await asyncio.sleep(5)
    hold.end()
    await asyncio.sleep(0)
    assert not waiting.done()
    hold.end()
    async with taking(0):
        await waiting


@virtual_time
async def test_a_second_try_that_was_never_sent() -> None:
    """It says nothing of the platform, which turned its first try away: that is asked before anything is sent."""
    asked = 0

    async def read() -> None:
        nonlocal asked
        asked += 1

    hold, comment = Hold(lambda _: [read()], lambda: 0.0, 300), CommentTicket(id=1, detail="备注")
    await asyncio.sleep(5)
    assert hold.note(Outcome(comment, State.NOT_SENT, RateLimitedError("turned away"), attempts=1), 4.0)
    assert not hold.note(Outcome(comment, State.NOT_SENT, JournalError("the disk is full"), attempts=1), 5.0)
    await hold.over()
    assert asked == 1


@virtual_time
async def test_a_pause_that_somebody_else_met() -> None:
    """Nothing is pulled while the client pauses, whoever met the pause."""
    pulled = 0

    async def source() -> AsyncIterator[CloseTicket]:
        nonlocal pulled
        for id in range(1, 100):
            pulled += 1
            yield close_of(id, "姜程")

    async with platform() as (server, client):
        server.refuse_reads = lambda before: slow_down(50) if before == 0 else None
        reading = asyncio.create_task(client.list_tickets())
        await asyncio.sleep(0.1)
        task = asyncio.create_task(ran(client, source()))
        await asyncio.sleep(30)
        assert (pulled, server.came) == (1, 0)
        assert states(await task) == {State.DONE: 99}
        await reading
