"""redis_limits.py in virtual time: how fast turns come, where Redis is far away, or callers are late, or few."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from tests.support.slow import slow_after
from tests.support.virtual_loop import running_loop, virtual_time
from workorder_async import NotSentError, TurnTimeoutError
from workorder_async.integrations.redis_limits import RedisLimits

FAR = 1e6


class Server:
    """Does what the script does, and answers after a round trip."""

    def __init__(self, round_trip: float = 0.0) -> None:
        self.round_trip = round_trip
        self.asked: list[int] = []
        self.reserved = 0
        self.pause_until = 0.0
        self.is_away = False
        self._turn = 0.0

    def limits(self, **options: Any) -> RedisLimits:
        """Return limits that ask this server."""
        limits = RedisLimits("redis://127.0.0.1:1/0", **options)
        limits._script = self.run  # type: ignore[assignment]
        limits._redis = self  # type: ignore[assignment]
        return limits

    async def run(self, _: object, arguments: tuple[int, ...]) -> list[int]:
        """Reserve turns."""
        most, apart, burst, turns, *_ = arguments
        await asyncio.sleep(self.round_trip / 2)
        if self.is_away:
            raise ConnectionError("away")
        now = running_loop().time() * 1e6
        pause = max(0.0, self.pause_until * 1e6 - now)
        turn, answer = max(now, self._turn), [pause]
        for _ in range(turns):
            at = max(now + pause, turn - burst)
            if at - now > most:
                break
            turn = max(turn, at) + apart
            answer.append(at - now)
            self._turn = turn
        self.asked.append(turns)
        self.reserved += len(answer) - 1
        await asyncio.sleep(self.round_trip / 2)
        return [int(number) for number in answer]

    async def eval(self, _: str, keys: int, key: str, milliseconds: str) -> None:
        """Pause."""
        await asyncio.sleep(self.round_trip / 2)
        self.pause_until = running_loop().time() + int(milliseconds) / 1000

    async def pttl(self, _: str) -> int:
        """Return the rest of the pause."""
        await asyncio.sleep(self.round_trip)
        return round((self.pause_until - running_loop().time()) * 1000)

    async def aclose(self) -> None:
        """Do nothing."""


async def take(limits: RedisLimits, turns: int, between: float = 0.0) -> list[float]:
    """Take turns one after the other, as a client does; return when they came."""
    times = []
    for _ in range(turns):
        await limits.acquire(FAR)
        times.append(running_loop().time())
        await asyncio.sleep(between)
    return times


def fullest(times: list[float], seconds: float = 1.0) -> int:
    """Return how many of the times are within so many seconds, at the most."""
    times = sorted(times)
    return max(sum(at <= other < at + seconds for other in times[number:]) for number, at in enumerate(times))


@virtual_time
async def test_near() -> None:
    """Where Redis answers at once, turns come evenly, and each is one call of the script."""
    server = Server()
    async with server.limits(rate=100) as limits:
        times = await take(limits, 101)
    assert times[-1] == pytest.approx(100 / 97, abs=1e-3)
    assert all(later - sooner == pytest.approx(1 / 97, abs=1e-4) for sooner, later in pairwise(times))
    assert server.asked == [1] * 101


@pytest.mark.parametrize("round_trip", slow_after(2, [0.04, 0.002, 0.01, 0.1, 0.3]))
@pytest.mark.parametrize("rate", [50, 200, pytest.param(1000, marks=pytest.mark.slow)])
@virtual_time
async def test_far(round_trip: float, rate: int) -> None:
    """However long a round trip takes, the rate is used, no second holds more, and the server is asked less often."""
    server = Server(round_trip)
    async with server.limits(rate=rate, burst=1) as limits:
        times = await take(limits, 4 * rate)
    begin = times[0] + 10 * round_trip
    # Turns of a quarter of a second, or of eight round trips, are reserved by one call, and the next call comes after.
    at_once = max(1, min(8 * round_trip, 0.25) * rate * 0.97)
    most = rate * 0.97 * at_once / (at_once - 1 + max(1, round_trip * rate * 0.97))
    assert times[-1] - begin <= sum(at >= begin for at in times) / most * 1.05
    # A turn that is a little late may fall into the second of others.
    assert fullest(times) <= rate * 1.06 + 1
    assert len(server.asked) <= max(1.1 * len(times), 2.5 * (times[-1] - times[0]) / round_trip)


@virtual_time
async def test_what_was_measured() -> None:
    """Forty milliseconds away, two hundred a second: 200 turns in little more than a second, by few calls."""
    server = Server(0.04)
    async with server.limits(rate=200) as limits:
        times = await take(limits, 200)
    assert times[-1] <= 1.4
    assert len(server.asked) <= 12


@pytest.mark.parametrize("between", [0.05, 0.2, 1, 30])
@virtual_time
async def test_few_calls(between: float) -> None:
    """Who wants a turn now and then reserves no more than he takes: the others have the rest."""
    server = Server(0.04)
    async with server.limits(rate=200) as limits:
        await take(limits, 30, between)
    assert server.reserved == 30


@virtual_time
async def test_what_is_not_wanted_any_more() -> None:
    """Turns that were kept are given up when they are past: after a rest there is no burst of them."""
    server = Server(0.04)
    async with server.limits(rate=200, burst=1) as limits:
        await take(limits, 100)
        await asyncio.sleep(10)
        times = await take(limits, 40)
    assert fullest(times, 0.05) <= 0.05 * 200 + 3


@virtual_time
async def test_far_together() -> None:
    """Several that are far away keep one rate, and each has its share."""
    server = Server(0.04)
    many = [server.limits(rate=200, burst=1) for _ in range(4)]
    ends = 5.0

    async def work(limits: RedisLimits) -> list[float]:
        times = []
        while running_loop().time() < ends:
            times += await take(limits, 1)
        return times

    shares = await asyncio.gather(*map(work, many))
    every = [at for times in shares for at in times]
    assert fullest(every) <= 210
    assert len(every) >= 0.85 * 200 * ends
    assert min(map(len, shares)) >= 0.7 * len(every) / 4
    for limits in many:
        await limits.aclose()


@virtual_time
async def test_clients_of_one_process() -> None:
    """Clients that share one object keep its rate, and none takes the turn of another."""
    server = Server(0.04)
    async with server.limits(rate=200, burst=1) as limits:
        every = sorted(at for times in await asyncio.gather(*(take(limits, 50) for _ in range(8))) for at in times)
    assert fullest(every) <= 200
    assert every[-1] <= 400 / 194 + 0.6
    assert server.reserved >= 400


@virtual_time
async def test_a_pause_amid_turns_that_are_kept() -> None:
    """A pause of this process's own is obeyed at once, one of another within a quarter of a second."""
    server = Server(0.04)
    async with server.limits(rate=200) as limits:
        await take(limits, 100)
        limits.pause(5)
        times = await take(limits, 100)
        assert sum(at < server.pause_until for at in times) <= 1
        server.pause_until = running_loop().time() + 5
        before = running_loop().time()
        times = await take(limits, 200)
        assert all(at <= before + 0.25 or at >= server.pause_until for at in times)


@virtual_time
async def test_a_pause_while_turns_are_asked_for() -> None:
    """Of turns that were reserved just before a pause, one is used."""
    server = Server(0.04)
    async with server.limits(rate=200) as limits:
        while limits._at_once < 8:
            await limits.acquire(FAR)
        limits._kept.clear()
        taking_turns = asyncio.create_task(take(limits, 50))
        # The script has run, and its answer is on its way.
        await asyncio.sleep(0.03)
        limits.pause(5)
        times = await taking_turns
    assert sum(at < server.pause_until for at in times) == 1


@virtual_time
async def test_a_loop_that_is_busy_now_and_then() -> None:
    """An answer that seems to take long, now and then, does not let more be reserved than is wanted."""
    server = Server(0.0005)
    async with server.limits(rate=100) as limits:
        for number in range(100):
            server.round_trip = 0.2 if number % 10 == 9 else 0.0005
            await take(limits, 1)
    assert server.asked == [1] * 100


@virtual_time
async def test_late_callers() -> None:
    """A caller that is late by less than a hundredth of a second, again and again, has its rate; without burst not."""

    async def late(**options: Any) -> float:
        async with Server().limits(rate=300, **options) as limits:
            began = running_loop().time()
            for _ in range(20):
                await take(limits, 3)
                running_loop().let_pass(0.008)
            return running_loop().time() - began

    with_burst, without = await late(), await late(burst=1)
    assert with_burst == pytest.approx(60 / 291, abs=0.02)
    assert without > 1.1 * with_burst


@virtual_time
async def test_a_deadline_before_the_turn() -> None:
    """Who cannot wait is told so, and takes nothing; kept turns beyond the deadline stay for others."""
    server = Server(0.04)
    async with server.limits(rate=10, burst=1) as limits:
        await take(limits, 20)
        with pytest.raises(TurnTimeoutError):
            await limits.acquire(running_loop().time() + 0.05)
        reserved = server.reserved
        with pytest.raises(TurnTimeoutError):
            await limits.acquire(running_loop().time() - 1)
        assert server.reserved == reserved


@virtual_time
async def test_a_server_that_goes_away() -> None:
    """A call that finds no turn fails; nothing is left running."""
    server = Server(0.04)
    async with server.limits(rate=200) as limits:
        await take(limits, 100)
        server.is_away = True
        with pytest.raises(NotSentError, match="ConnectionError: away"):
            await take(limits, 100)
        server.is_away = False
        await take(limits, 10)
    assert len(asyncio.all_tasks()) == 1
