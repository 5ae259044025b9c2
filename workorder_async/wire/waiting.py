"""Calls that wait for their turn, lane by lane, and the one timer for all of them whose deadline comes first."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from attrs import define

_NEVER = float("inf")
# Where thousands wait, looking at all of them for each one whose time is up would take too long.
_PAUSE = 0.005


class TurnTimeoutError(Exception):
    """The turn of a call cannot come before its deadline.

    `pause` is how many seconds the server still wants to be left alone, where that is the reason; else 0.
    """

    def __init__(self, pause: float = 0.0) -> None:
        super().__init__(pause)
        self.pause = pause


@define(eq=False)
class Waiter:
    """One call that waits."""

    future: "asyncio.Future[None]"
    until: float
    #: Whether it has its turn, or has given up.
    gone: bool = False

    def fail(self, error: BaseException) -> None:
        """Let it give up for this reason, unless its turn has come."""
        if not self.future.done():
            self.gone = True
            self.future.set_exception(error)


class Lane:
    """Calls that belong together, such as a walk's: at most `width` of them under way, in the order of asking."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.under_way = 0
        self.waiting: deque[Waiter] = deque()


class Patience:
    """Lets those give up whose deadline has come: by one timer, since nearly all have their turn long before."""

    def __init__(self, waiting: Callable[[], Iterable[Waiter]]) -> None:
        self._waiting = waiting
        self._timer: asyncio.TimerHandle | None = None
        self._at = _NEVER

    def ends(self, at: float) -> None:
        """Take in that somebody waits until then."""
        if at < self._at:
            if self._timer is not None:
                self._timer.cancel()
            self._at = at
            self._timer = asyncio.get_running_loop().call_at(at, self._look)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        # A timer may fire a moment before its time.
        past, next_one = max(now, self._at), _NEVER
        self._timer, self._at = None, _NEVER
        for waiter in self._waiting():
            if waiter.until <= past:
                waiter.fail(TurnTimeoutError())
            elif not waiter.gone:
                next_one = min(next_one, waiter.until)
        if next_one < _NEVER:
            self.ends(max(next_one, now + _PAUSE))
