"""The time that one attempt may take, and what happens when it is up: what has arrived by then is read first.

A timer alone is not fair. Where the event loop was blocked, or the whole process stopped, an answer may have lain in
the socket all the time, and the timer fires before anybody could read it. So, when time is up, the loop gets a few
turns more, and goes on getting them while bytes come in, up to a second.
"""

import asyncio
from types import TracebackType
from typing import Self

from workorder_async.wire.deadline import Deadline

# Within one such pause every socket that has something is read, and the tasks that waited for it run.
_LOOK = 0.01
_LOOKS_IN_VAIN = 3
_LOOKS = 100


class AttemptLimit:
    """Ends what its task awaits inside `with`, at the limit that was set last or some looks later: `TimeoutError`.

    It cancels the task as `asyncio.timeout` does, and takes that back, so that a cancellation by others passes.
    """

    def __init__(self) -> None:
        self.received: int = 0
        #: Whether the limit that is set, and so the one that fires, is the deadline of the whole call.
        self.ends_call: bool = False
        #: Whether the time was up.
        self.expired: bool = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of ours runs in a task
        self._task, self._cancelling = task, task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def set(self, deadline: Deadline, seconds: float | None = None) -> None:
        """Let the time be up at the call's deadline, or after so many seconds from now where that is sooner."""
        loop = asyncio.get_running_loop()
        own = None if seconds is None else loop.time() + seconds
        self.ends_call = own is None or deadline.until <= own
        if self._timer is not None:
            self._timer.cancel()
        when = deadline.until if own is None or self.ends_call else own
        self._timer = loop.call_at(when, self._look, 0, _LOOKS_IN_VAIN, self.received)

    def note(self, size: int) -> None:
        """Note that so many bytes of the answer were read."""
        self.received += size

    def _look(self, looks: int, left: int, received: int) -> None:
        left = _LOOKS_IN_VAIN if self.received != received else left - 1
        if left < 0 or looks >= _LOOKS:
            self._timer = None
            self.expired = True
            self._task.cancel()
        else:
            self._timer = asyncio.get_running_loop().call_later(_LOOK, self._look, looks + 1, left, self.received)
