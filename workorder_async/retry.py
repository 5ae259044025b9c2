"""Which failures are worth another attempt, and how long to wait before it; nothing here sleeps."""

from random import Random
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from workorder_async.endpoints import Safety
from workorder_async.errors import (
    ApiError,
    DecodeError,
    NoAnswerError,
    NotSentError,
    ResponseError,
    WorkorderError,
)
from workorder_async.models.fields import is_count, refuse

if TYPE_CHECKING:
    from attrs import Attribute


def _not_negative(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise refuse(instance, attribute, f"is {value!r}; it must be a number of seconds, 0 or more")


@frozen(kw_only=True)
class RetryPolicy:
    """How often and how patiently a request is repeated; `RetryPolicy(attempts=1)` never repeats.

    The wait before attempt n + 1 is drawn evenly from 0 to min(`longest`, `first` * 2 ** (n - 1)) seconds (full
    jitter), or is what the server asks for in `Retry-After`, if that is longer.
    """

    attempts: int = field(default=4, validator=is_count)
    """Attempts per call, the first one included."""
    first: float = field(default=0.2, validator=_not_negative)
    """Upper bound of the first wait, in seconds."""
    longest: float = field(default=5.0, validator=_not_negative)
    """Upper bound of every wait that the server does not ask for, in seconds."""

    def wait(self, error: WorkorderError, safety: Safety, attempt: int, random: Random) -> float | None:
        """Return the seconds to wait before attempt `attempt + 1`, or None where there must be none."""
        if attempt >= self.attempts or not may_repeat(error, safety):
            return None
        drawn = random.uniform(0, min(self.longest, self.first * 2 ** (attempt - 1)))
        return max(drawn, error.retry_after or 0.0)


class RetryBudget:
    """Further attempts that one client may make: each costs one, each answer earns half of one, up to 50 in hand.

    It keeps an outage from multiplying the load: when nothing answers any more, repeating stops.
    """

    def __init__(self, most: float = 50.0, earned: float = 0.5) -> None:
        self._most = self._left = most
        self._earned = earned

    def earn(self) -> None:
        """Note an answer."""
        self._left = min(self._most, self._left + self._earned)

    def spend(self) -> bool:
        """Take one further attempt; whether there was one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def may_repeat(error: WorkorderError, safety: Safety) -> bool:
    """Tell whether another attempt can do no harm and may do better.

    Whatever the operation: when nothing was sent, or the server says that it did nothing and when to come back. A READ
    also after a lost answer and after an error of the server (5xx).
    """
    if isinstance(error, NotSentError) or says_nothing_happened(error):
        return True
    if safety is not Safety.READ or isinstance(error, DecodeError):
        return False
    return isinstance(error, NoAnswerError) or _status(error) >= 500


def says_nothing_happened(error: WorkorderError) -> bool:
    """Tell whether the server answered that it turned the request away: 429, or 503 with `Retry-After`."""
    return _status(error) == 429 or (_status(error) == 503 and error.retry_after is not None)


def _status(error: WorkorderError) -> int:
    return error.status if isinstance(error, ResponseError | ApiError) else 0
