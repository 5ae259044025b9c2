"""virtual_loop.py: time that passes only where nobody works."""

import asyncio
import threading
import time

import pytest

from tests.support import virtual_loop
from tests.support.virtual_loop import (
    EPOCH,
    DeadlockError,
    running_loop,
    taking,
    virtual_run,
    virtual_time,
)


def test_an_hour() -> None:
    """An hour passes at once, and to the second; the result comes back."""

    async def wait() -> str:
        async with taking(3600):
            await asyncio.sleep(3600)
        assert running_loop().wall_clock() == EPOCH + 3600
        return "done"

    began = time.perf_counter()
    assert virtual_run(wait()) == "done"
    assert time.perf_counter() - began < 10


@virtual_time
async def test_timers_come_in_order() -> None:
    """Each timer is due at its own time, whatever was set first."""
    came: list[tuple[float, float]] = []

    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)
        came.append((seconds, running_loop().time()))

    await asyncio.gather(*(wait(seconds) for seconds in (3, 0.001, 2, 0, 86400 * 400, 1)))
    assert came == [(seconds, seconds) for seconds in (0, 0.001, 1, 2, 3, 86400 * 400)]
    # A clock that shows a year has coarser steps.
    async with taking(0.25):
        await asyncio.sleep(0.25)
    with pytest.raises(TimeoutError):
        async with taking(5), asyncio.timeout(5):
            await asyncio.Event().wait()


@virtual_time
async def test_the_clock_waits_for_threads() -> None:
    """While a thread is at work no timer is due; also where nobody waits for that thread any more."""
    came, begun, may_end = [], threading.Event(), threading.Event()

    def work() -> str:
        time.sleep(0.05)
        return "result"

    def hang() -> None:
        begun.set()
        may_end.wait()

    sleeping = asyncio.create_task(asyncio.sleep(10))
    sleeping.add_done_callback(lambda _: came.append("timer"))
    async with taking(0):
        assert await asyncio.to_thread(work) == "result"
        came.append("thread")
    await sleeping
    assert came == ["thread", "timer"]
    left = asyncio.create_task(asyncio.to_thread(hang))
    while not begun.is_set():  # noqa: ASYNC110 - a sleep would wait for the thread
        await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait([left])
    assert running_loop().threads == 1
    running_loop().call_soon(may_end.set)
    await asyncio.sleep(1)
    assert running_loop().threads == 0


@virtual_time
async def test_what_a_thread_raises() -> None:
    """An error of a thread is raised where it is awaited."""
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 // 0)


def test_a_thread_that_waits_for_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that would end with a timer only is told of."""
    monkeypatch.setattr(virtual_loop, "_PATIENCE", 0.05)

    async def wait_for_each_other() -> None:
        may_end = threading.Event()
        try:
            running_loop().call_later(1, may_end.set)
            await asyncio.to_thread(may_end.wait)
        finally:
            may_end.set()

    with pytest.raises(DeadlockError, match="does it wait for the clock"):
        virtual_run(wait_for_each_other())


def test_a_deadlock_is_said() -> None:
    """Where nothing can happen any more, that is an error which says who waits; everybody is cancelled then."""
    ended = []

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_for_ever(), name="the other")

    with pytest.raises(DeadlockError, match=r"deadlock: nothing is ready(.|\n)*the other in Event\.wait \(.*locks\.py"):
        virtual_run(main())
    assert ended == ["cancelled"]


def test_what_is_left_is_cancelled() -> None:
    """A task that the test leaves under way is cancelled at the end."""
    left: list[asyncio.Task[None]] = []

    async def leave() -> None:
        left.append(asyncio.create_task(asyncio.sleep(1e9)))
        await asyncio.sleep(1)

    virtual_run(leave())
    assert left[0].cancelled()


def test_a_usual_loop_is_refused() -> None:
    """What needs virtual time says so where time is not virtual."""

    async def elsewhere() -> None:
        running_loop()

    with pytest.raises(RuntimeError, match="time is not virtual here"):
        asyncio.run(elsewhere())
