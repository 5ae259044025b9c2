"""limits.py: who may start, when, and that nobody who gives up keeps a place."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.rows import each
from tests.support.turns import FAR, Track, tracked
from tests.support.virtual_loop import running_loop, taking, virtual_time
from workorder_async import ConfigError
from workorder_async.wire.limits import Lane, Limiter, TurnTimeoutError


@pytest.fixture
async def two() -> AsyncIterator[Track]:
    """Give two slots."""
    async for track in tracked(Limiter(2)):
        yield track


@pytest.fixture
async def sixteen() -> AsyncIterator[Track]:
    """Give sixteen slots, of which one is kept for interactive calls."""
    async for track in tracked(Limiter(16)):
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


@each("width", [0, -1, "3", 1.5, None])
async def test_a_width_that_cannot_work(width: Any) -> None:
    """It is refused where it is given: another call would meet it, amid the turn that it gives back."""
    with pytest.raises(ConfigError, match=r"width is .*; it must be a whole number of at least 1"):
        Lane(width)


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


@virtual_time
async def test_deadline() -> None:
    """A call whose turn does not come in time is told so at that very time, and keeps no place."""
    limiter, loop = Limiter(1), running_loop()
    await limiter.start(None, FAR)
    async with taking(20):
        with pytest.raises(TurnTimeoutError) as caught:
            await limiter.start(None, loop.time() + 20)
    assert caught.value.pause == 0
    limiter.end(None)
    async with taking(0):
        await limiter.start(None, FAR)


@virtual_time
async def test_rate() -> None:
    """Starts are as far apart as the rate says, whoever asks, and a pause is not made up for."""
    limiter, loop = Limiter(10, rate=4), running_loop()
    times: list[float] = []

    async def start() -> None:
        await limiter.start(None, FAR)
        times.append(loop.time())
        limiter.end(None)

    await asyncio.gather(*(start() for _ in range(4)))
    await asyncio.sleep(60)
    await asyncio.gather(*(start() for _ in range(3)))
    assert times == [0, 0.25, 0.5, 0.75, 60.75, 61, 61.25]


@virtual_time
async def test_pause() -> None:
    """All wait for the end of a pause; a longer one extends it also for those who wait, a shorter one does nothing."""
    limiter = Limiter(10)
    limiter.throttled(0, 30)
    waiting = [asyncio.create_task(limiter.start(None, FAR)) for _ in range(3)]
    await asyncio.sleep(5)
    limiter.throttled(0, 80)
    limiter.throttled(0, 10)
    assert limiter.stats().paused == 80
    async with taking(79.9):
        await asyncio.wait(waiting, timeout=79.9)
    assert not any(call.done() for call in waiting)
    await asyncio.gather(*waiting)
    # They are started evenly from then on.
    assert running_loop().time() == pytest.approx(85)


@virtual_time
async def test_a_pause_beyond_the_deadline_is_told_at_once() -> None:
    """Who cannot wait for the end of a pause is told at once: one that waits already, and one that comes later."""
    limiter, loop = Limiter(1), running_loop()
    await limiter.start(None, FAR)
    waiting = asyncio.create_task(limiter.start(None, 60))
    patient = asyncio.create_task(limiter.start(None, 300))
    await asyncio.sleep(5)
    limiter.throttled(loop.time(), 200)
    limiter.end(None)
    async with taking(0):
        for call in (waiting, asyncio.create_task(limiter.start(None, 60))):
            with pytest.raises(TurnTimeoutError) as caught:
                await call
            assert caught.value.pause == 200
    assert await patient == 205


@virtual_time
async def test_each_in_its_time() -> None:
    """Each gives up at its own deadline, in whatever order they began to wait; who has its turn is left alone."""
    limiter, ended = Limiter(1), dict[str, float]()
    await limiter.start(None, FAR)

    async def wait(name: str, seconds: float) -> None:
        try:
            await limiter.start(None, seconds)
        except TurnTimeoutError:
            ended[name] = running_loop().time()

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 90), ("early", 30), ("first", 5), ("between", 60)):
            group.create_task(wait(name, seconds))
        await asyncio.sleep(1)
        limiter.end(None)  # the turn of the late one
        await asyncio.sleep(200)
    assert ended == {"first": 5, "early": 30, "between": 60}
    limiter.end(None)
    assert limiter.stats().in_flight == limiter.stats().waiting == 0
