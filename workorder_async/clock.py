"""The server's clock, told from the `Date` headers of its answers, so that requests are signed with the right time.

A `Date` of whole seconds d, in an answer to a request sent at s and received at r (by our clock), says that the
server's clock is ahead of ours by something between d - r and d + 1 - s. Each answer narrows that interval; an answer
that contradicts it (one of the clocks was set) starts it anew.
"""

from collections.abc import Callable

from workorder_async.envelope import http_date


class ServerClock:
    """Estimates the server's time; `offset` is how many seconds it is ahead of ours (0 while nothing is known).

    Our own clock is believed as long as it agrees with the headers, so a right clock is never made worse by their
    whole seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._low = float("-inf")
        self._high = float("inf")
        self.offset = 0.0

    @property
    def is_known(self) -> bool:
        """Whether any answer has told the server's time."""
        return self._high != float("inf")

    def now(self) -> float:
        """Return the server's time, in seconds since the epoch."""
        return self._now() + self.offset

    def local(self) -> float:
        """Return our own time, in seconds since the epoch, for `observe`."""
        return self._now()

    def observe(self, date: str | None, sent: float, received: float) -> None:
        """Take in the `Date` header of an answer; `sent` and `received` are by our own clock."""
        seconds = http_date(date)
        if seconds is None:
            return
        low, high = seconds - received, seconds + 1 - sent
        if low <= self._high and high >= self._low:
            low, high = max(low, self._low), min(high, self._high)
        self._low, self._high = low, high
        self.offset = 0.0 if low <= 0 <= high else (low + high) / 2
