"""Virtual time: an event loop in which nothing waits, so that a test of an hour takes as long as its work does.

    @virtual_time
    async def test_patience() -> None:
        await asyncio.sleep(3600)
        assert asyncio.get_running_loop().time() == 3600

Where nothing is ready, the clock of the loop jumps to the next timer. It begins at 0, and stands still while anything
is done; while a thread of `run_in_executor` or `asyncio.to_thread` is at work, it stands still until that has ended.
What has no latency is answered at the very time at which it was asked, so give a server one where order is by time.
The network is in memory (see `memory_network`). Processes, and threads that are begun otherwise, are not waited for.
"""

import asyncio
import math
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar, TypeVarTuple
from unittest.mock import patch

from tests.support.memory_network import MemoryNetworkLoop

#: The time on the clock of `VirtualLoop.wall_clock` when a loop begins: 2025-06-15 12:00 UTC.
EPOCH = 1749988800.0

# How long the clock waits for a thread, in real seconds; longer is a thread that waits for the clock.
_PATIENCE = 30.0
_RESOLUTION = 1e-9

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class DeadlockError(RuntimeError):
    """Everybody waits, and nothing can happen any more."""


class _Selector(selectors.DefaultSelector):
    """Never waits for time to pass: asks the clock instead."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; where nothing is, let `timeout` seconds pass on the clock, or wait for a thread."""
        if timeout == 0 and not self.loop.threads and len(self.get_map()) == 1:
            return []  # only threads could have said something, and what they say is not lost: spare the kernel
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.loop.threads:
            ready = super().select(_PATIENCE)
            if not ready:
                raise DeadlockError(f"a thread is at work for {_PATIENCE:g} real seconds; does it wait for the clock?")
        elif timeout is None:
            raise DeadlockError(_deadlock(self.loop))
        else:
            self.loop.let_pass(timeout)
        return ready


class VirtualLoop(MemoryNetworkLoop):
    """An event loop whose clock is virtual."""

    _default_executor: ThreadPoolExecutor | None

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self._now = 0.0
        #: How many pieces of work are under way in threads.
        self.threads: int = 0
        super().__init__(selector)

    def time(self) -> float:
        """Return the virtual seconds since this loop was made."""
        return self._now

    def wall_clock(self) -> float:
        """Return the virtual time in seconds since the epoch, as `time.time` would."""
        return EPOCH + self._now

    def let_pass(self, seconds: float) -> None:
        """Set the clock forward."""
        self._now += seconds
        # A timer is due that is less than this away: with 0 a clock of years would never reach one.
        self._clock_resolution = max(_RESOLUTION, 2 * math.ulp(self._now))

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> "asyncio.Future[_T]":
        """Let a thread do some work; the clock stands still until its end, also where nobody waits for it any more."""
        if executor is None:
            executor = self._default_executor
            if executor is None:
                executor = self._default_executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
        work = executor.submit(func, *args)
        self.threads += 1
        future = asyncio.wrap_future(work, loop=self)
        # After the callback of `future`, so that the result is there before the clock goes on.
        work.add_done_callback(self._note_end)
        return future

    def _note_end(self, _: object) -> None:
        if not self.is_closed():
            self.call_soon_threadsafe(self._count_end)

    def _count_end(self) -> None:
        self.threads -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """End the threads, which a thread of its own waits for."""
        self.threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self.threads -= 1


def running_loop() -> VirtualLoop:
    """Return the loop that runs. Raises `RuntimeError` where its time is not virtual."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError("time is not virtual here; use @virtual_time or virtual_run()")
    return loop


def virtual_run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine in virtual time, in a new loop, and return its result; what it leaves under way is cancelled.

    Raises `DeadlockError` where it would wait for ever.
    """
    loop = VirtualLoop()
    # aiohttp closes by a clock of its own what was idle for long.
    with patch("aiohttp.connector.monotonic", loop.time), asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)


def virtual_time(test: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """Run an async test in virtual time. It can use fixtures that are not async; async ones are of another loop."""

    @wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        virtual_run(test(*args, **kwargs))

    return run


@asynccontextmanager
async def taking(seconds: float, *, within: float = 1e-6) -> AsyncIterator[None]:
    """Fail unless what is inside takes this many seconds of virtual time, or up to `within` more or less."""
    began = running_loop().time()
    yield
    took = running_loop().time() - began
    assert abs(took - seconds) <= within, f"it took {took} s in place of {seconds} s"


def _deadlock(loop: VirtualLoop) -> str:
    """Return a message that says where each task waits."""
    waiting = sorted(f"\n  {task.get_name()} in {_place(task)}" for task in asyncio.all_tasks(loop))
    return f"deadlock: nothing is ready, no timer is set, no thread is at work; waiting:{''.join(waiting)}"


def _place(task: "asyncio.Task[Any]") -> str:
    """Return the innermost line of a task that has a coroutine."""
    awaited: Any = task.get_coro()
    frame = None
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None) or frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    if frame is None:
        return "no coroutine"
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
