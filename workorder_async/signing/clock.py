"""Two clocks: ours, which signs until a signature is refused, and the server's, told from the `Date` of its answers.

A `Date` of whole seconds d, in an answer to a request sent at s and received at r (by our clock), says that the
server's clock is ahead of ours by something between d - r and d + 1 - s. Each answer narrows that interval; an answer
that contradicts it (one of the clocks was set, or somebody between us lies) starts it anew.

A `Date` is a claim: a proxy or one of several backends may write a wrong one. So it is not used to sign, but for one
trial after a refused signature, and kept only if the trial was accepted.
"""

from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

from attrs import frozen

from workorder_async.arguments import is_number, plain, shown
from workorder_async.errors import ConfigError

#: Servers commonly accept time stamps that are some minutes off, so a clock further behind than this would have had our
#: signatures refused.
BELIEVED_BEHIND = 300.0
# If answers differ by more seconds than this, their clocks disagree, or one was set. Then nothing is known until so
# many answers in a row agree.
_CONTRADICTION = 2.0
_AGREEING_ANSWERS = 20
# No clock shows so many seconds, but one of milliseconds does.
_MOST = 1e11
# A server's clock that is known less exactly than this counts as not known.
_EXACT = 5.0


@frozen
class Ahead:
    """How many seconds the server's clock is ahead of ours: something between the two."""

    least: float
    most: float


@lru_cache(maxsize=16)
def http_date(header: str | None) -> float | None:
    """Read an HTTP date as seconds since the epoch; None where it is absent or cannot be read."""
    try:
        moment = parsedate_to_datetime(header or "")
        # Without a zone, as in the form of C's asctime, it is UTC, as HTTP says; Python would take it for local time.
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except (ValueError, OverflowError):
        return None


class ServerClock:
    """Keeps both: `offset` is how many seconds the server's clock seems ahead of ours (0 while nothing is known).

    Our own clock is believed as long as it agrees with the headers, so a right clock is never made worse by their
    whole seconds. `signing_offset` is added to our clock to sign.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._low = float("-inf")
        self._high = float("inf")
        self._doubts = 0  # answers that must still agree
        self._steady: Callable[[], float] | None = None
        self._apart = 0.0  # our clock less the steady one, when the latest answer came
        self.offset: float = 0.0
        self.signing_offset: float = 0.0

    def local(self) -> float:
        """Return our own time, in seconds since the epoch. Raises `ConfigError` if `now` returns no time."""
        now = self._now()
        # Called four times for each request, so a usual number is checked without a call.
        if (now.__class__ is not float or not -_MOST < now < _MOST) and not (is_number(now) and -_MOST < now < _MOST):
            plain("now", now)
            raise ConfigError(f"returned {shown(now)}", argument="now", mend="it must return seconds since the epoch")
        return now

    @property
    def is_known(self) -> bool:
        """Whether any answer has told the server's time."""
        return self._high != float("inf")

    def latest(self) -> float:
        """Return our time or the server's apparent time, the later of the two: no ticket was created after it."""
        return self.local() + max(0.0, self.offset, self.signing_offset)

    def ahead(self) -> Ahead | None:
        """Return how far the server's clock is ahead of ours; None where that is not known.

        That is not known if answers contradict each other, or our clock was set since the latest one. Nor is it known
        if they tell of a clock so far behind ours that it would have refused our signatures: it may not be the clock of
        the tickets, and by it an old ticket would pass for a new one.
        """
        if self._doubts or not 0 <= self._high - self._low <= _EXACT:
            return None
        if self._steady is not None and abs(self.local() - self._steady() - self._apart) > _CONTRADICTION:
            return None
        return None if self._high < min(self.signing_offset, 0.0) - BELIEVED_BEHIND else Ahead(self._low, self._high)

    def observe(
        self, date: str | None, sent: float, received: float, steady: Callable[[], float] | None = None
    ) -> float | None:
        """Take in the `Date` header of an answer; `sent` and `received` are by our own clock.

        `steady` is a clock that is never set: it shows whether ours was.
        Returns by how much that answer alone says that the server's clock is ahead; None where it says nothing.
        """
        seconds = http_date(date)
        if seconds is None:
            return None
        low, high = seconds - received, seconds + 1 - sent
        alone = _agreeing(low, high)
        our_own = 0.0 if steady is None else received - steady()
        if self._steady is not None and abs(our_own - self._apart) > _CONTRADICTION:
            # Earlier answers were compared with the clock that we had then.
            self._low, self._high = float("-inf"), float("inf")
        self._steady, self._apart = steady, our_own
        apart = max(low - self._high, self._low - high)
        self._doubts = _AGREEING_ANSWERS if apart > _CONTRADICTION else max(0, self._doubts - 1)
        if apart <= 0:
            low, high = max(low, self._low), min(high, self._high)
        self._low, self._high = low, high
        self.offset = _agreeing(low, high)
        return alone


def _agreeing(low: float, high: float) -> float:
    """Return 0 where the two clocks may agree, else the middle between the bounds."""
    return 0.0 if low <= 0 <= high else (low + high) / 2
