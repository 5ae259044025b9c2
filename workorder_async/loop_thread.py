"""An event loop in a thread of its own, for code that waits."""

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, Self, TypeVar
from weakref import WeakSet

from workorder_async.errors import ConfigError, OutcomeUnknownError

_T = TypeVar("_T")
# How often a thread that waits looks whether the loop still runs. On Windows Ctrl-C waits as long, too.
_LOOK: Final = 0.5
_PATIENCE_AT_EXIT: Final = 5.0
# Seconds in which tasks that are left may see that their client is closed, and end by themselves.
_GRACE: Final = 0.1


class Closing:
    """An object that is closed where a `with` around it ends."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""


class LoopThread(Closing):
    """An event loop that runs in a daemon thread until it is closed, for any thread that has something to await.

    It runs while its user is busy with something else, so no deadline passes unseen. It can be used inside another
    event loop, as in a notebook. If it is left open, it is closed at the end of the process.

    `kind` is its user's name for it, for errors and the thread's name; `at_end` is awaited in the loop when it ends.
    """

    def __init__(
        self,
        kind: str = "loop",
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        at_end: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._kind = kind
        self._at_end = at_end
        self._pid = os.getpid()
        self._stop = asyncio.Event()
        self._loop = loop or asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=f"workorder {kind}", daemon=True)
        self._thread.start()
        _OPEN.add(self)

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the loop, and wait until it has ended. An interrupt of the wait cancels it.

        Raises `OutcomeUnknownError` if this was closed meanwhile, and so cut the coroutine short.
        """
        ended, tasks, waiting = _Ended(), list[asyncio.Task[_T]](), iter([work])

        def begin() -> None:
            # A task that begins when the others have been cancelled would never end.
            if not self._stop.is_set() and (taken := next(waiting, None)):
                tasks.append(asyncio.get_running_loop().create_task(taken))
                tasks[0].add_done_callback(end)

        def end(task: asyncio.Task[_T]) -> None:
            _ = task.cancelled() or task.exception()  # a caller that was interrupted twice does not take it
            ended.set()

        def cancel() -> None:
            if tasks:
                tasks[0].cancel()
            else:
                ended.set()

        try:
            self._check()
            try:
                self._tell(begin)
                self._wait(ended)
            except BaseException:
                with suppress(ConfigError):
                    self._tell(cancel)
                    self._wait(ended)
                raise
            # The error of the task would else be in a cycle with this frame.
            return self._result(tasks.pop())
        finally:
            # The loop may not have come to `begin`. `next` gives the coroutine to one of the two alone.
            if left := next(waiting, None):
                left.close()

    def _result(self, task: asyncio.Task[_T]) -> _T:
        try:
            if task.cancelled() and self._stop.is_set():
                what = "the outcome of a change that it had sent is not known"
                raise OutcomeUnknownError(f"this {self._kind} was closed while a call was under way, so {what}")
            return task.result()
        finally:
            del task

    def close(self, patience: float | None = None) -> None:
        """End the loop and its thread. Wait `patience` seconds for its end; None for ever.

        With 0, or inside the loop, this does not wait.
        """
        if os.getpid() != self._pid:
            return
        with suppress(ConfigError):
            self._tell(self._stop.set)
        # An object that is dropped is collected in any thread, this one too.
        if patience != 0 and threading.current_thread() is not self._thread:
            self._thread.join(patience)

    def _check(self) -> None:
        if os.getpid() != self._pid:
            mend = f"make a {self._kind} of its own in each process, after the fork"
            raise ConfigError(f"this {self._kind} was made in the process that this one was forked from", mend=mend)
        if threading.current_thread() is self._thread:
            mend = "return from the callback first, or use the client's coroutines"
            raise ConfigError(f"this {self._kind} was called inside its own event loop, as by a callback", mend=mend)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._until_stopped())
            finally:
                self._stop.set()  # it may have ended by an error: nothing begins any more

    async def _until_stopped(self) -> None:
        self._loop.set_default_executor(_Workers())
        try:
            await self._stop.wait()
        finally:
            try:
                if self._at_end is not None:
                    await self._at_end()
            finally:
                await self._let_end()

    async def _let_end(self) -> None:
        """Let the tasks end that are left, since they see that their client is closed; cancel those that do not.

        The runner would log their errors, which `run` raises for its caller.
        """
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            _, left = await asyncio.wait(left, timeout=_GRACE)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    def _tell(self, act: Callable[[], object]) -> None:
        """Let the loop do something. Raises `ConfigError` where it has ended."""
        if not self._stop.is_set():
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(act)
                return
        raise ConfigError(f"this {self._kind} is closed", mend="make another one")

    def _wait(self, ended: "_Ended") -> None:
        while not ended.wait(_LOOK):
            if not self._thread.is_alive() and not ended.is_set():
                # All tasks that had begun were cancelled, and have ended: this one never began.
                raise ConfigError(f"this {self._kind} is closed", mend="make another one")


class _Ended:
    """An event for one thread that waits. An interrupt may leave a `threading.Event` locked for ever."""

    def __init__(self) -> None:
        self._is_set = False
        self._turn = threading.Lock()
        self._turn.acquire()

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        with suppress(RuntimeError):  # it was set before
            self._turn.release()

    def wait(self, seconds: float) -> bool:
        if not self._is_set:
            self._turn.acquire(timeout=seconds)
        return self._is_set


class _Workers(ThreadPoolExecutor):
    """The threads of a loop, which looks names up and reads files in them.

    Once the main thread has ended, Python lets no executor begin anything, even while other threads go on. From then on
    the loop does such work itself.
    """

    def submit(self, work: Callable[..., _T], /, *given: Any, **named: Any) -> Future[_T]:
        try:
            return super().submit(work, *given, **named)
        except RuntimeError as error:
            if "interpreter shutdown" not in str(error):
                raise
        done = Future[_T]()
        try:
            done.set_result(work(*given, **named))
        except Exception as error:  # noqa: BLE001 - of any kind: the one who awaits it gets it
            done.set_exception(error)
        return done


_OPEN: WeakSet[LoopThread] = WeakSet()


@atexit.register
def _close_all() -> None:
    for loop in list(_OPEN):
        loop.close(_PATIENCE_AT_EXIT)
