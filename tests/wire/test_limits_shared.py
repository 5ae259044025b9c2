"""limits.py: limits that several clients share decide when a request may start; who goes first is decided here."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext

import pytest

from tests.support.observed import failing_log
from tests.support.raw_server import http, serving
from tests.support.rows import each
from tests.support.turns import Track, tracked
from tests.support.virtual_loop import taking, virtual_time
from workorder_async import ApiError, ConfigError, NotSentError, RateLimitedError, SchemeSigner, WorkorderError
from workorder_async.document.endpoints import COMMENT_TICKET, GET_TICKET
from workorder_async.wire.bodies import JsonBody
from workorder_async.wire.limits import Lane, Limiter, Limits, TurnTimeoutError
from workorder_async.wire.options import client_options
from workorder_async.wire.session import SignedSession


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
    """Give calls that share limits; afterwards all of them end, and neither a slot is taken nor a permit asked for."""
    limiter = Limiter(slots, limits=shared)
    async for track in tracked(limiter):
        yield track
        await limiter.aclose()
    assert shared.under_way == 0


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


async def test_limits_that_fail_when_they_are_left() -> None:
    """Nobody wants a permit any more, so that nobody is told; nor is the log, of an error that nobody asked for."""

    class Failing(Shared):
        async def acquire(self, until: float) -> None:
            try:
                await super().acquire(until)
            except asyncio.CancelledError:
                raise LookupError("mine") from None

    told, loop = list[object](), asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    limiter = Limiter(4, limits=Failing())
    async for track in tracked(limiter):
        track.call("a")
        await track.settle()
        await limiter.aclose()
        track.end.set()
        await asyncio.gather(*track.tasks)
    gc.collect()
    await asyncio.sleep(0)
    assert told == []


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


@each(
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


@virtual_time
async def test_limits_that_never_answer() -> None:
    """A call ends at its deadline also where the limits never say a word; closing waits until they are let go of."""
    shared = Shared()
    limiter = Limiter(1, limits=shared)
    async with taking(30):
        with pytest.raises(TurnTimeoutError):
            await limiter.start(None, 30)
    assert shared.under_way == 1
    await limiter.aclose()
    assert shared.under_way == 0


@virtual_time
async def test_a_pause_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Limits are told of a pause that is longer than the one they know; where there are none, nothing is logged."""
    shared = Shared()
    for limits in (shared, None):
        limiter = Limiter(1, limits=limits)
        for seconds in (5.0, 1.0, 9.0):
            limiter.throttled(asyncio.get_running_loop().time(), seconds)
        await limiter.aclose()
    assert shared.pauses == [5, 9]
    assert not caplog.records


def session_to(url: str, limits: Limits) -> SignedSession:
    """Make a session that shares limits."""
    return SignedSession(url, SchemeSigner("a", "b", "md5:{secret}"), client_options(limits=limits, deadline=20))


OK = http('{"errno":10000,"data":{}}')


@virtual_time
async def test_shared_over_the_wire() -> None:
    """Nothing is written without a permit, a throttled answer is told to all, and its repetition needs a permit too."""
    shared = Shared()
    async with serving(http("", "429 Slow", Retry_After="1"), OK) as wire:
        session = session_to(wire.url, shared)
        call = asyncio.create_task(session.call(GET_TICKET, query=(("id", "1"),)))
        await asyncio.sleep(10)
        assert (wire.requests, shared.under_way) == ([], 1)
        shared.permit(2)
        async with taking(1):
            await call
        assert (len(wire.requests), len(shared.asked)) == (2, 2)
        assert shared.pauses == [1]
        await session.aclose()


async def test_limits_that_refuse_over_the_wire() -> None:
    """The call ends with what the limits say, names itself, and nothing is sent or tried again."""
    refusals = [
        TurnTimeoutError(30.0),
        TurnTimeoutError(0.0),
        RateLimitedError("the quota is used up"),
        OSError("gone"),
    ]
    shared = Shared(*refusals)
    shared.permit(9)
    async with serving(OK) as wire:
        session = session_to(wire.url, shared)
        expected: list[tuple[type[WorkorderError], str]] = [
            (
                RateLimitedError,
                "comment_ticket: nothing happened: the server turned requests away: none may start for 30 s",
            ),
            (
                NotSentError,
                "comment_ticket: nothing happened: not sent within 20 s: the shared limits let no request start",
            ),
            (RateLimitedError, "comment_ticket: the quota is used up"),
            (NotSentError, "comment_ticket: the limits failed, so nothing was sent: OSError: gone"),
        ]
        for kind, said in expected:
            with pytest.raises(kind, match=said) as caught:
                await session.call(COMMENT_TICKET, body=JsonBody(b"{}"))
            assert caught.value.attempts == 0
        assert (wire.requests, len(shared.asked)) == ([], 4)
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


@pytest.mark.parametrize("log", [nullcontext(), failing_log(logging.WARNING)], ids=["a log", "a log that fails"])
async def test_limits_that_cannot_be_told_of_a_pause(
    log: AbstractContextManager[None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said in the log, and the call goes on, also where that fails."""
    shared = Shared()
    shared.permit(2)

    def broken(seconds: float) -> None:
        raise OSError("no Redis")

    monkeypatch.setattr(shared, "pause", broken)
    async with serving(http("", "429 Slow"), OK) as wire:
        session = session_to(wire.url, shared)
        with log:
            await session.call(COMMENT_TICKET, body=JsonBody(b"{}"))
        await session.aclose()
        assert len(wire.requests) == 2
    if isinstance(log, nullcontext):
        assert "the limits could not be told of a pause: OSError: no Redis" in caplog.text


class LatePause(asyncio.Semaphore):
    """Limits that would never pause: nobody awaits it."""

    async def pause(self, seconds: float) -> None:
        """Never begin."""


@each("kind", [asyncio.Semaphore, LatePause])
def test_what_are_no_limits(kind: type[asyncio.Semaphore]) -> None:
    """Something without the two methods, or that cannot be told of a pause, is refused by name."""
    with pytest.raises(ConfigError, match=r"limits is <.*; it must be an object with acquire, and with pause"):
        client_options(limits=kind(1))  # type: ignore[arg-type]
