"""limiter.py: who may start, when, and that nobody who gives up keeps a place."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from workorder_async.limiter import Lane, Limiter, Slot


class Track:
    """Calls that take slots, and how many of them are under way."""

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
        async with Slot(self.limiter, lane):
            self.started.append(name)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await self.end.wait()
            await asyncio.sleep(0)
            self.under_way -= 1

    async def settle(self) -> None:
        """Let every call go as far as it can."""
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def two() -> AsyncIterator[Track]:
    """Give two slots; afterwards all calls end."""
    track = Track(Limiter(2))
    yield track
    track.end.set()
    await asyncio.wait_for(asyncio.gather(*track.tasks, return_exceptions=True), 5)
    assert not track.limiter.slots.locked()


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
        two.limiter.pause(60)
    waiting = two.call("waiting", lane)
    await two.settle()
    assert "waiting" not in two.started
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert lane.locked() is (where == "lane")
    assert two.limiter.slots.locked() is (where == "slot")


async def test_rate() -> None:
    """Starts are as far apart as the rate says, whoever asks, and a pause is not made up for."""
    limiter, loop = Limiter(10, rate=100), asyncio.get_running_loop()
    times: list[float] = []

    async def start() -> None:
        async with Slot(limiter, None):
            times.append(loop.time())

    await asyncio.gather(*(start() for _ in range(4)))
    await asyncio.sleep(0.05)
    await asyncio.gather(*(start() for _ in range(3)))
    assert min(later - earlier for earlier, later in pairwise(times)) >= 0.0099


async def test_pause() -> None:
    """All wait for the end of a pause; a longer one extends it also for those who wait, a shorter one does nothing."""
    limiter, loop = Limiter(10), asyncio.get_running_loop()
    began = loop.time()
    limiter.pause(0.03)
    waiting = [asyncio.create_task(limiter.wait_for_turn()) for _ in range(3)]
    await asyncio.sleep(0)
    limiter.pause(0.08)
    limiter.pause(0.01)
    await asyncio.gather(*waiting)
    assert 0.079 < loop.time() - began < 1
