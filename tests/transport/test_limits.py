"""limits.py: who may start, when, and that nobody who gives up keeps a place."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise
from random import Random

import pytest

from tests.support.raw_server import http, serving
from workorder_async import ApiError, ConfigError, NotSentError, RateLimitedError, SchemeSigner, WorkorderError
from workorder_async.protocol.endpoints import COMMENT_TICKET, GET_TICKET
from workorder_async.transport.bodies import JsonBody
from workorder_async.transport.limits import Lane, Limiter, Limits, TurnTimeoutError
from workorder_async.transport.options import SessionOptions
from workorder_async.transport.session import SignedSession

FAR = 1e12


class Track:
    """Calls that take turns, and how many of them are under way."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.started: list[str] = []
        self.under_way = self.most = 0
        self.end = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def call(self, name: str, lane: Lane | None = None) -> "asyncio.Task[None]":
        """Begin a call, which ends at `end`."""
        task = asyncio.create_task(self._run(name, lane))
        self.tasks.append(task)
        return task

    async def _run(self, name: str, lane: Lane | None) -> None:
        await self.limiter.start(lane, FAR)
        try:
            self.started.append(name)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await self.end.wait()
            await asyncio.sleep(0)
            self.under_way -= 1
        finally:
            self.limiter.end(lane)

    async def settle(self) -> None:
        """Let every call go as far as it can."""
        for _ in range(20):
            await asyncio.sleep(0)


async def tracked(slots: int) -> AsyncIterator[Track]:
    """Give a limiter; afterwards all calls end, and no slot is taken."""
    track = Track(Limiter(slots))
    yield track
    track.end.set()
    await asyncio.wait_for(asyncio.gather(*track.tasks, return_exceptions=True), 5)
    stats = track.limiter.stats()
    assert (stats.in_flight, stats.waiting) == (0, 0)


@pytest.fixture
async def two() -> AsyncIterator[Track]:
    """Give two slots."""
    async for track in tracked(2):
        yield track


@pytest.fixture
async def sixteen() -> AsyncIterator[Track]:
    """Give sixteen slots, of which one is kept for interactive calls."""
    async for track in tracked(16):
        yield track


async def test_slots(two: Track) -> None:
    """No more are under way than there are slots, and they start in the order of asking."""
    for name in "abcdef":
        two.call(name)
    await two.settle()
    assert two.started == ["a", "b"]
    two.end.set()
    await asyncio.gather(*two.tasks)
    assert two.started == list("abcdef")
    assert two.most == 2


async def test_a_full_lane_leaves_slots_to_others(two: Track) -> None:
    """Who waits for a lane holds no slot."""
    lane = Lane(1)
    for name in ("walk 1", "walk 2", "walk 3"):
        two.call(name, lane)
    two.call("other")
    await two.settle()
    assert two.started == ["walk 1", "other"]


async def test_a_slot_is_kept_for_interactive_calls(sixteen: Track) -> None:
    """However much walks and batches ask for, a call of a person finds a slot."""
    walk, batch = Lane(16), Lane(16)
    for number in range(20):
        sixteen.call(f"walk {number}", walk)
        sixteen.call(f"batch {number}", batch)
    await sixteen.settle()
    assert sixteen.under_way == 15
    sixteen.call("person")
    await sixteen.settle()
    assert sixteen.started[-1] == "person"


async def test_interactive_calls_go_first(two: Track) -> None:
    """A call of a person that has to wait goes before what waited longer in a lane."""
    lane = Lane(16)
    for number in range(6):
        two.call(f"walk {number}", lane)
    await two.settle()
    two.call("person")
    await two.settle()
    two.end.set()
    await asyncio.gather(*two.tasks)
    assert two.started[2] == "person"


async def test_nobody_starves(two: Track) -> None:
    """Of a flood of interactive calls one in four gives way to a lane, and lanes take turns."""
    walk, batch = Lane(16), Lane(16)
    two.call("first")
    two.call("second")
    await two.settle()
    for number in range(12):
        two.call(f"person {number}")
    for number in range(2):
        two.call(f"walk {number}", walk)
        two.call(f"batch {number}", batch)
    await two.settle()
    two.end.set()
    await asyncio.gather(*two.tasks)
    kinds = [name.split()[0] for name in two.started[2:]]
    assert Counter(kinds[:8]) == {"person": 6, "walk": 1, "batch": 1}


@pytest.mark.parametrize("where", ["lane", "slot", "turn"])
async def test_who_gives_up_keeps_nothing(two: Track, where: str) -> None:
    """A call that is cancelled while it waits, for whatever, gives back what it holds."""
    lane = Lane(1)
    if where == "lane":
        two.call("walk", lane)
    elif where == "slot":
        two.call("a")
        two.call("b")
    else:
        two.limiter.throttled(1.0, 60)
    waiting = two.call("waiting", lane)
    await two.settle()
    assert "waiting" not in two.started
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert lane.under_way == (where == "lane")
    assert two.limiter.stats().in_flight == {"lane": 1, "slot": 2, "turn": 0}[where]


async def test_cancelled_as_the_turn_comes(two: Track) -> None:
    """A call that is cancelled in the very step in which its turn comes gives the turn to the next one."""
    two.call("a")
    two.call("b")
    await two.settle()
    cancelled, later = two.call("cancelled"), two.call("later")
    await two.settle()
    two.limiter.end(None)
    cancelled.cancel()
    await two.settle()
    assert two.started == ["a", "b", "later"]
    two.limiter._take(two.limiter._interactive)
    assert not later.done()


async def test_deadline() -> None:
    """A call whose turn does not come in time is told so, and keeps no place."""
    limiter, loop = Limiter(1), asyncio.get_running_loop()
    await limiter.start(None, FAR)
    with pytest.raises(TurnTimeoutError) as caught:
        await limiter.start(None, loop.time() + 0.02)
    assert caught.value.pause == 0
    limiter.end(None)
    await limiter.start(None, FAR)


async def test_rate() -> None:
    """Starts are as far apart as the rate says, whoever asks, and a pause is not made up for."""
    limiter, loop = Limiter(10, rate=100), asyncio.get_running_loop()
    times: list[float] = []

    async def start() -> None:
        await limiter.start(None, FAR)
        times.append(loop.time())
        limiter.end(None)

    await asyncio.gather(*(start() for _ in range(4)))
    await asyncio.sleep(0.05)
    await asyncio.gather(*(start() for _ in range(3)))
    assert min(later - earlier for earlier, later in pairwise(times)) >= 0.0099


async def test_pause() -> None:
    """All wait for the end of a pause; a longer one extends it also for those who wait, a shorter one does nothing."""
    limiter, loop = Limiter(10, random=Random(1)), asyncio.get_running_loop()
    began = loop.time()
    limiter.throttled(began, 0.03)
    waiting = [asyncio.create_task(limiter.start(None, FAR)) for _ in range(3)]
    await asyncio.sleep(0)
    limiter.throttled(began, 0.08)
    limiter.throttled(began, 0.01)
    assert limiter.stats().paused > 0.05
    await asyncio.gather(*waiting)
    assert 0.079 < loop.time() - began < 1


async def test_a_pause_beyond_the_deadline_is_told_at_once() -> None:
    """Who cannot wait for the end of a pause is told at once: one that waits already, and one that comes later."""
    limiter, loop = Limiter(1), asyncio.get_running_loop()
    await limiter.start(None, FAR)
    waiting = asyncio.create_task(limiter.start(None, loop.time() + 60))
    await asyncio.sleep(0)
    limiter.throttled(loop.time(), 200)
    for call in (waiting, asyncio.create_task(limiter.start(None, loop.time() + 60))):
        with pytest.raises(TurnTimeoutError) as caught:
            await asyncio.wait_for(call, 1)
        assert 199 < caught.value.pause <= 200
    with suppress(asyncio.CancelledError):
        patient = asyncio.create_task(limiter.start(None, loop.time() + 300))
        await asyncio.sleep(0)
        assert not patient.done()
        patient.cancel()
        await patient


# Limits that are shared


class Shared:
    """Limits that give so many permits as they are told to, and note what is asked of them."""

    def __init__(self, *refusals: BaseException) -> None:
        self.permits = asyncio.Semaphore(0)
        self.refusals = list(refusals)
        self.asked: list[float] = []
        self.pauses: list[float] = []
        self.under_way = self.most = 0

    async def acquire(self, until: float) -> None:
        """Wait for a permit; while there are refusals, one of them is raised instead."""
        self.asked.append(until)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.permits.acquire()
        finally:
            self.under_way -= 1
        if self.refusals:
            raise self.refusals.pop(0)

    def pause(self, seconds: float) -> None:
        """Note it."""
        self.pauses.append(seconds)

    def permit(self, number: int) -> None:
        """Give permits."""
        for _ in range(number):
            self.permits.release()


async def sharing(slots: int, shared: Shared) -> AsyncIterator[Track]:
    """Give a limiter that shares limits; afterwards all calls end, and no slot is taken."""
    track = Track(Limiter(slots, limits=shared))
    yield track
    track.end.set()
    await track.limiter.aclose()
    await asyncio.wait_for(asyncio.gather(*track.tasks, return_exceptions=True), 5)
    stats = track.limiter.stats()
    assert (stats.in_flight, stats.waiting, shared.under_way) == (0, 0, 0)


async def test_each_start_takes_a_permit() -> None:
    """As many start as there are permits, however many slots are free; one permit is asked for at a time."""
    shared = Shared()
    async for track in sharing(16, shared):
        for name in "abcde":
            track.call(name)
        await track.settle()
        assert (track.started, shared.under_way) == ([], 1)
        shared.permit(3)
        await track.settle()
        assert track.started == ["a", "b", "c"]
        assert (shared.most, len(shared.asked)) == (1, 4)


async def test_nothing_is_asked_for_without_a_slot() -> None:
    """Who waits for a slot asks for no permit that others could use."""
    shared = Shared()
    async for track in sharing(1, shared):
        shared.permit(2)
        track.call("a")
        track.call("b")
        await track.settle()
        assert (track.started, len(shared.asked), shared.under_way) == (["a"], 1, 0)
        track.end.set()
        await asyncio.gather(*track.tasks)
        assert len(shared.asked) == 2


async def test_a_permit_is_for_whoever_is_first() -> None:
    """A person who comes while a permit is asked for goes before the sixteen calls of a walk that it was asked for."""
    shared, lane = Shared(), Lane(16)
    async for track in sharing(16, shared):
        for number in range(16):
            track.call(f"walk {number}", lane)
        await track.settle()
        track.call("person")
        await track.settle()
        shared.permit(2)
        await track.settle()
        assert track.started == ["person", "walk 0"]


async def test_a_permit_that_nobody_needs_is_kept() -> None:
    """A call is cancelled while it waits for a permit; the next call has that permit, and asks for none."""
    shared = Shared()
    async for track in sharing(16, shared):
        cancelled = track.call("cancelled")
        await track.settle()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        shared.permit(1)
        await track.settle()
        track.call("next")
        track.call("later")
        await track.settle()
        assert (track.started, len(shared.asked)) == (["next"], 2)


async def test_cancelled_as_the_permit_comes() -> None:
    """A call that is cancelled in the very step in which its permit comes leaves it to the next one."""
    shared = Shared()
    async for track in sharing(16, shared):
        cancelled = track.call("cancelled")
        await track.settle()
        waiter = track.limiter._interactive.waiting[0]
        shared.permit(1)
        while not waiter.future.done():  # noqa: ASYNC110 - in the very turn of the loop
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        track.call("next")
        await track.settle()
        assert (track.started, len(shared.asked)) == (["next"], 1)


@pytest.mark.parametrize(
    ("refusal", "kind", "said"),
    [
        (TurnTimeoutError(7.0), TurnTimeoutError, r"7\.0"),
        (ApiError("not for you"), ApiError, "not for you"),
        (OSError("no Redis"), NotSentError, "the limits failed, so nothing was sent: OSError: no Redis"),
        (asyncio.CancelledError(), NotSentError, "the limits gave up"),
    ],
)
async def test_a_refusal_fails_the_call_it_was_asked_for(
    refusal: BaseException, kind: type[Exception], said: str
) -> None:
    """The others ask again."""
    shared = Shared(refusal)
    async for track in sharing(16, shared):
        first = track.call("first")
        await track.settle()
        track.call("second")
        shared.permit(2)
        with pytest.raises(kind, match=said):
            await asyncio.wait_for(first, 5)
        await track.settle()
        assert (track.started, len(shared.asked)) == (["second"], 2)


async def test_a_refusal_for_one_that_is_gone() -> None:
    """Where the call that a permit was asked for is gone, its refusal is nobody's, and the others go on."""
    shared = Shared(TurnTimeoutError(7.0))
    async for track in sharing(16, shared):
        gone = track.call("gone")
        await track.settle()
        gone.cancel()
        await asyncio.wait([gone])
        track.call("next")
        await track.settle()
        shared.permit(2)
        await track.settle()
        assert track.started == ["next"]


async def test_limits_that_never_answer() -> None:
    """A call ends at its deadline also where the limits never say a word."""
    limiter = Limiter(1, limits=Shared())
    with pytest.raises(TurnTimeoutError):
        await asyncio.wait_for(limiter.start(None, asyncio.get_running_loop().time() + 0.05), 5)
    await limiter.aclose()


def session_to(url: str, limits: Limits) -> SignedSession:
    """Make a session that shares limits."""
    return SignedSession(url, SchemeSigner("a", "b", "md5:{secret}"), SessionOptions(limits=limits, deadline=20))


OK = http('{"errno":10000,"data":{}}')


async def test_shared_over_the_wire() -> None:
    """Nothing is written without a permit, a throttled answer is told to all, and its repetition needs a permit too."""
    shared = Shared()
    async with serving(http("", "429 Slow", Retry_After="1"), OK) as wire:
        session = session_to(wire.url, shared)
        call = asyncio.create_task(session.call(GET_TICKET, query=(("id", "1"),)))
        while not shared.under_way:  # noqa: ASYNC110 - in the very turn of the loop
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert wire.requests == []
        shared.permit(2)
        await asyncio.wait_for(call, 10)
        assert (len(wire.requests), len(shared.asked)) == (2, 2)
        assert shared.pauses == [pytest.approx(1, abs=0.1)]
        await session.aclose()


async def test_limits_that_refuse_over_the_wire() -> None:
    """The call ends with what the limits say, names itself, and nothing is sent or tried again."""
    refusals = [TurnTimeoutError(30.0), RateLimitedError("the quota of the day is used up"), OSError("no Redis")]
    shared = Shared(*refusals)
    shared.permit(9)
    async with serving(OK) as wire:
        session = session_to(wire.url, shared)
        expected: list[tuple[type[WorkorderError], str]] = [
            (RateLimitedError, "comment_ticket: nothing happened: the server asks for a pause of 30 s more"),
            (RateLimitedError, "comment_ticket: the quota of the day is used up"),
            (NotSentError, "comment_ticket: the limits failed, so nothing was sent: OSError: no Redis"),
        ]
        for kind, said in expected:
            with pytest.raises(kind, match=said) as caught:
                await session.call(COMMENT_TICKET, body=JsonBody(b"{}"))
            assert caught.value.attempts == 0
        assert (wire.requests, len(shared.asked)) == ([], 3)
        assert (await session.call(COMMENT_TICKET, body=JsonBody(b"{}"))).attempts == 1
        await session.aclose()


async def test_closed_while_a_permit_is_asked_for() -> None:
    """The limits are let go of, and the call that waited is told that the client is closed."""
    shared = Shared()
    session = session_to("http://127.0.0.1:1", shared)
    call = asyncio.create_task(session.call(GET_TICKET))
    while not shared.under_way:  # noqa: ASYNC110 - in the very turn of the loop
        await asyncio.sleep(0)
    await session.aclose()
    with pytest.raises(ConfigError, match="get_ticket: this client is closed"):
        await asyncio.wait_for(call, 5)
    assert shared.under_way == 0


async def test_limits_that_cannot_be_told_of_a_pause(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said in the log, and the call goes on."""
    shared = Shared()
    shared.permit(2)

    def broken(seconds: float) -> None:
        raise OSError("no Redis")

    monkeypatch.setattr(shared, "pause", broken)
    async with serving(http("", "429 Slow"), OK) as wire:
        session = session_to(wire.url, shared)
        await session.call(GET_TICKET)
        await session.aclose()
        assert len(wire.requests) == 2
    assert "the limits could not be told of a pause: OSError: no Redis" in caplog.text


def test_what_are_no_limits() -> None:
    """Something without the two methods is refused by name."""
    with pytest.raises(ConfigError, match="limits is a Semaphore without pause; see Limits for both"):
        SessionOptions(limits=asyncio.Semaphore(1))  # type: ignore[arg-type]
