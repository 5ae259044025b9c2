"""limits.py, its patience: whoever waits too long gives up in time, all of them by one timer."""

import asyncio
from typing import Any

import pytest

from workorder_async.wire.limits import Patience, TurnTimeoutError, Waiter


class Timers:
    """Counts the timers that a loop is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()
        self._call_at = self._loop.call_at
        monkeypatch.setattr(self._loop, "call_at", self._counted)

    def _counted(self, *given: Any, **named: Any) -> asyncio.TimerHandle:
        self.count += 1
        return self._call_at(*given, **named)


def waiting(*seconds: float) -> tuple[list[Waiter], Patience]:
    """Return calls that may wait for so many seconds, and what looks after them."""
    loop = asyncio.get_running_loop()
    waiters = [Waiter(loop.create_future(), loop.time() + some) for some in seconds]
    patience = Patience(lambda: waiters)
    for waiter in waiters:
        patience.ends(waiter.until)
    return waiters, patience


async def test_each_in_its_time() -> None:
    """Each gives up at its own deadline, in whatever order they began to wait."""
    loop = asyncio.get_running_loop()
    waiters, _ = waiting(0.09, 0.03, 60, 0.06)
    ended: list[tuple[Waiter, float]] = []
    for waiter in waiters:
        waiter.future.add_done_callback(lambda _, waiter=waiter: ended.append((waiter, loop.time())))  # type: ignore[misc]
    await asyncio.wait([waiter.future for waiter in waiters if waiter is not waiters[2]])
    await asyncio.sleep(0)
    assert [waiter for waiter, _ in ended] == [waiters[1], waiters[3], waiters[0]]
    assert all(at >= waiter.until - 0.001 for waiter, at in ended)
    assert [waiter.gone for waiter in waiters] == [True, True, False, True]
    for waiter, _ in ended:
        error = waiter.future.exception()
        assert isinstance(error, TurnTimeoutError)
        assert error.pause == 0


async def test_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands who wait for the same time cost one timer, and a few when that is over."""
    timers = Timers(monkeypatch)
    waiters, _ = waiting(*(0.05 + number / 1e6 for number in range(1000)))
    assert timers.count == 1
    await asyncio.wait([waiter.future for waiter in waiters])
    assert timers.count < 10
    assert all(waiter.future.exception() for waiter in waiters)


async def test_who_has_its_turn_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that is past does nothing to who has its turn, and when nobody waits no timer is set."""
    timers = Timers(monkeypatch)
    (waiter,), _ = waiting(0.01)
    waiter.gone = True
    waiter.future.set_result(None)
    await asyncio.sleep(0.05)
    assert waiter.future.result() is None
    assert timers.count == 2  # one is the sleep's
