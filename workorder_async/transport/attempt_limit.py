"""The time that one attempt may take, and what happens when it is up: what has arrived by then is read first.

A timer alone is not fair. Where the event loop was blocked, or the whole process stopped, an answer may have lain in
the socket all the time, and the timer fires before anybody could read it. So, when time is up, the loop gets a few
turns more, and goes on getting them while bytes come in, up to a second.
"""

import asyncio

from workorder_async.transport.deadline import Deadline

# Within one such pause every socket that has something is read, and the tasks that waited for it run.
_LOOK = 0.01
_LOOKS_IN_VAIN = 3
_LOOKS = 100


class AttemptLimit:
    """Lets an `asyncio.timeout(None)` be up at the limit that was set last, or some looks later; `cancel` ends it."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self.received: int = 0
        #: Whether the limit that is set, and so the one that fires, is the deadline of the whole call.
        self.ends_call: bool = False
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Let the time be never up."""
        if self._timer is not None:
            self._timer.cancel()

    def set(self, deadline: Deadline, seconds: float | None = None) -> None:
        """Let the time be up at the call's deadline, or after so many seconds from now where that is sooner."""
        loop = asyncio.get_running_loop()
        own = None if seconds is None else loop.time() + seconds
        self.ends_call = own is None or deadline.until <= own
        self.cancel()
        when = deadline.until if own is None or self.ends_call else own
        self._timer = loop.call_at(when, self._look, 0, _LOOKS_IN_VAIN, self.received)

    def note(self, size: int) -> None:
        """Note that so many bytes of the answer were read."""
        self.received += size

    def _look(self, looks: int, left: int, received: int) -> None:
        loop = asyncio.get_running_loop()
        left = _LOOKS_IN_VAIN if self.received != received else left - 1
        if left < 0 or looks >= _LOOKS:
            self._timer = None
            self._timeout.reschedule(loop.time())
        else:
            self._timer = loop.call_later(_LOOK, self._look, looks + 1, left, self.received)
