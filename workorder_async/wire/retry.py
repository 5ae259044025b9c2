"""Which failures are worth another attempt, and which end a call; how long to wait. Nothing here sleeps."""

from functools import partial
from random import Random
from typing import Final, NoReturn

from attrs import field, frozen

from workorder_async.arguments import as_validator, seconds, whole_within
from workorder_async.document.endpoints import Safety
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    DeadlineExceededError,
    DecodeError,
    NoAnswerError,
    NotSentError,
    RateLimitedError,
    ResponseError,
    WorkorderError,
)
from workorder_async.secret import without_credentials

# A signer or a callback that makes calls of its own may raise these: they say nothing of this call.
OF_AN_ANSWER: Final = (ApiError, ResponseError, NoAnswerError, DeadlineExceededError)
# A captive portal sends such redirects for a while; 301 and 308 say that the base URL is wrong for good. A balancer
# says 408 where it gave up an idle connection just as a request was written on it.
_PASSING = (302, 303, 307, 408)

_count = as_validator(partial(whole_within, low=1, high=2**31 - 1), names_class=True)
_seconds = as_validator(seconds, names_class=True)


@frozen(kw_only=True)
class RetryPolicy:
    """How often and how patiently a request is repeated; `RetryPolicy(attempts=1)` never repeats.

    The wait before attempt n + 1 is drawn from the upper half of min(`longest`, `first` * 2 ** (n - 1)) seconds: by
    default up to 0.5 s, 1 s, 2 s. It is the pause that the server asks for in `Retry-After`, if that is longer. A
    throttled answer (429) does not count: after the pause that it asks for, the request is made again until the
    deadline.
    """

    attempts: int = field(default=4, validator=_count)
    """Attempts per call, the first one included."""
    first: float = field(default=0.5, validator=_seconds)
    """Upper bound of the first wait, in seconds."""
    longest: float = field(default=5.0, validator=_seconds)
    """Upper bound of every wait that the server does not ask for, in seconds."""

    def wait(self, error: WorkorderError, safety: Safety, attempt: int, random: Random) -> float | None:
        """Return the seconds to wait before attempt `attempt + 1`, or None where there must be none."""
        if attempt >= self.attempts or not may_repeat(error, safety):
            return None
        bound = min(self.longest, self.first * 2 ** min(attempt - 1, 60))
        return max(random.uniform(bound / 2, bound), error.retry_after or 0.0)


def may_repeat(error: WorkorderError, safety: Safety) -> bool:
    """Tell whether another attempt can do no harm and may do better.

    Any operation if nothing was sent, unless that is lasting. A READ also after a lost answer, an error of the server
    (5xx), and a page that is not the platform's, as a proxy's login is.
    """
    if isinstance(error, NotSentError):
        return not error.lasting
    if safety is not Safety.READ:
        return False
    if isinstance(error, ResponseError):
        passing = error.status < 300 or error.status >= 500 or error.status in _PASSING
        return passing and not isinstance(error, DecodeError)
    return isinstance(error, NoAnswerError) or (isinstance(error, ApiError) and error.status >= 500)


def is_answered(error: WorkorderError) -> bool:
    """Tell whether the platform answered that the request changed nothing: by its envelope, or by a 429.

    A page says nothing of the kind: a gateway sends it for a server behind it, which may have done the work. It has
    the errno 0. A 429 is taken to turn the request away, whoever wrote it.
    """
    return isinstance(error, RateLimitedError) or (isinstance(error, ApiError) and error.errno != 0)


def says_nothing_happened(error: WorkorderError) -> bool:
    """Tell whether it was answered that the request was not even looked at: throttled, or wrongly signed."""
    return isinstance(error, RateLimitedError | AuthenticationError) and is_answered(error)


def stop(error: Exception, said: str) -> NoReturn:
    """Raise what ends a call for good when the caller's own code has failed: an error of this tree as it is.

    But not one that tells of another call: such an error, and any other, is the cause of a `NotSentError`.
    """
    if isinstance(error, WorkorderError) and not isinstance(error, (*OF_AN_ANSWER, NotSentError)):
        raise error
    stopped = NotSentError(f"{said}: {without_credentials(f'{type(error).__name__}: {error}')}")
    stopped.lasting = True
    raise stopped from error
