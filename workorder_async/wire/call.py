"""One call under way: its state, its deadline, and the meaning of its failure.

`RetryPolicy` says which are worth another attempt, and how long to wait before it. Nothing here sleeps.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Final, Self, TypeAlias

from attrs import Factory, define, field, frozen

from workorder_async.arguments import above_zero, as_validator, seconds, whole_within
from workorder_async.document.endpoints import Endpoint, Safety
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    DeadlineExceededError,
    DecodeError,
    NoAnswerError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ResponseError,
    WorkorderError,
)
from workorder_async.secret import without_credentials
from workorder_async.signing.clock import ServerClock
from workorder_async.wire.bodies import Body
from workorder_async.wire.clock_trial import ClockTrial
from workorder_async.wire.limits import Lane

# Errors that say how a call was answered. If a signer or a callback raises one, that is of a call which its own code
# made meanwhile, and says nothing of the present call.
ANSWER_ERRORS: Final = (ApiError, ResponseError, NoAnswerError, DeadlineExceededError)
# Pages that the next attempt may not meet. A captive portal sends such redirects for a while; 301 and 308 say that the
# base URL is wrong for good. A balancer says 408 where it gave up an idle connection just as a request was written on
# it.
_PASSING = (302, 303, 307, 408)

_count = as_validator(partial(whole_within, low=1, high=2**31 - 1), names_class=True)
_seconds = as_validator(seconds, names_class=True)


@frozen(kw_only=True)
class RetryPolicy:
    """How often and how patiently a failed request is repeated; with `RetryPolicy(attempts=1)` never.

    A client that gets no answers repeats 50 times in all, and once more for every two answers that it gets. So an
    outage does not multiply the load: after a while calls fail at their first attempt.

    The wait before attempt n + 1 is drawn from the upper half of min(`longest`, `first` * 2 ** (n - 1)) seconds: by
    default up to 0.5 s, 1 s, 2 s. If the server asks for a longer pause in `Retry-After`, that is the wait. Two
    kinds of attempts do not count: one that was throttled (429), which is made again after its pause until the
    deadline, and one whose signature was refused, which is made once more by the server's clock.
    """

    attempts: int = field(default=4, validator=_count)
    """Attempts per call at the most, the first one included."""
    first: float = field(default=0.5, validator=_seconds)
    """Upper bound of the first wait, in seconds."""
    longest: float = field(default=5.0, validator=_seconds)
    """Upper bound of every wait that the server does not ask for, in seconds."""

    def wait(self, error: WorkorderError, safety: Safety, attempt: int, random: Random) -> float | None:
        """Return the seconds to wait before attempt `attempt + 1`, or None where there must be none."""
        if attempt >= self.attempts or not may_repeat(error, safety):
            return None
        bound: float = min(self.longest, self.first * 2 ** min(attempt - 1, 60))
        return max(bound * random.uniform(0.5, 1), error.retry_after or 0.0)


def may_repeat(error: WorkorderError, safety: Safety) -> bool:
    """Tell whether another attempt does no harm, and may succeed.

    For any operation this is so if nothing was sent, unless the reason is lasting. For a READ it is also so after a
    lost answer, an error of the server (5xx, or an errno that means one), and a page that is not the platform's, as the
    login of a proxy.
    """
    if isinstance(error, NotSentError):
        return not error.lasting
    if safety is not Safety.READ:
        return False
    if isinstance(error, ResponseError):
        passing = error.status < 300 or error.status >= 500 or error.status in _PASSING or error.errno != 0
        return passing and not isinstance(error, DecodeError)
    return isinstance(error, NoAnswerError)


def is_refusal(error: WorkorderError) -> bool:
    """Tell whether the request was refused, so that nothing changed: by the platform itself, or by anybody's 429."""
    return isinstance(error, RateLimitedError) or (isinstance(error, ApiError) and error.says_no)


def is_turned_away(error: WorkorderError) -> bool:
    """Tell whether the request was refused before anything of it was judged but its rate and its signature."""
    return isinstance(error, RateLimitedError | AuthenticationError) and is_refusal(error)


@contextmanager
def ending_call(said: str) -> Iterator[None]:
    """Run code of the caller's, such as a callback. An exception of it ends the call for good.

    Errors of our tree pass as they are, but for those of another call, which that code made. These, and any other
    exception, become the cause of a lasting `NotSentError`, whose text begins with `said`.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, WorkorderError) and not isinstance(error, (*ANSWER_ERRORS, NotSentError)):
            raise
        stopped = NotSentError(f"{said}: {without_credentials(f'{type(error).__name__}: {error}')}")
        stopped.lasting = True
        raise stopped from error


@frozen
class Deadline:
    """The end of a call. Calls inside it share their parent's deadline."""

    seconds: float
    """How long the call may take from its beginning."""
    until: float
    """When it must have ended, by the event loop's clock."""

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the deadline of a call that begins now. Raises `ConfigError` unless it is a number above 0."""
        return cls(above_zero("deadline", seconds), asyncio.get_running_loop().time() + seconds)

    def left(self) -> float:
        """Return the seconds that are left; less than 0 once it is past."""
        return self.until - asyncio.get_running_loop().time()


# With fewer seconds left a deadline is past: a timer may fire early, by the resolution of its clock.
_LATE = 0.01
_NO_TIME = {"queue": 0.0, "request": 0.0, "sleep": 0.0}

Query: TypeAlias = tuple[tuple[str, str], ...]


@define
class Call:
    """One call: its attempts and the waits between them."""

    endpoint: Endpoint
    query: Query
    body: Body | None
    lane: Lane | None
    deadline: Deadline
    retry: RetryPolicy
    clock: ServerClock
    trial: ClockTrial
    # The event loop's clock, of deadlines and pauses. It is kept here, since a call may end when no loop runs any more.
    _time: Callable[[], float] = field(alias="time")
    _since: float = field(alias="since")  # when the present phase began
    attempts: int = 0  # requests that were started
    uncounted: int = 0  # attempts that the retry policy does not count: throttled, or wrongly signed
    began: float = 0.0  # when its first attempt was sent, by our own clock
    sent: bool = False  # whether anything of the attempt under way may have been written
    unquiet: bool = False  # whether the connection of the attempt was not quiet: see `attempt`
    turned_away: RateLimitedError | None = None  # the last throttled answer
    status: int | None = None  # the HTTP status of the last attempt, where it was answered
    spent: dict[str, float] = Factory(_NO_TIME.copy)  # seconds of ended phases
    _phase: str = "queue"

    def turn_to(self, phase: str) -> None:
        """Begin a phase, and add the seconds of the one that ends to `spent`."""
        now = self._time()
        self.spent[self._phase] += now - self._since
        self._phase, self._since = phase, now

    def begin_attempt(self) -> None:
        """Begin the next attempt: the call has its turn."""
        self.attempts += 1
        self.status = None
        self.turn_to("request")

    def spent_by_now(self) -> dict[str, float]:
        """Return the seconds of each phase, with those of the present one so far."""
        self.turn_to(self._phase)
        return self.spent

    def interrupted(self, error: Exception) -> WorkorderError:
        """Return the error for an attempt that an error of foreign code ended; that is its cause."""
        why = without_credentials(f"{type(error).__name__}: {error}")
        kind, said = (NoAnswerError, "it ended amid the request") if self.sent else (NotSentError, "nothing was sent")
        wrapped: WorkorderError = kind(f"{said}: {why}")
        wrapped.__cause__ = error
        return wrapped

    def final(self, error: WorkorderError) -> WorkorderError:
        """Return the error to raise: for a mutation, it says whether the mutation may have happened."""
        error.operation, error.attempts = self.endpoint.operation, self.attempts
        if not self._may_have_happened(error):
            return error
        what = "no answer of the platform came back"
        if isinstance(error, ApiError):
            what = "the answer does not say whether anything was done"
        said = f"sent, but {what}, so it may or may not have happened: {error.message}"
        unknown = OutcomeUnknownError(said, began=self.began)
        unknown.operation, unknown.attempts, unknown.request_id = error.operation, error.attempts, error.request_id
        unknown.__cause__, unknown.retry_after = error, error.retry_after
        return unknown

    def _may_have_happened(self, error: WorkorderError) -> bool:
        """Tell whether this is a mutation that may have happened, although its last attempt failed with this error."""
        if self.endpoint.safety is Safety.READ:
            return False
        if isinstance(error, ApiError | ResponseError):
            return not is_refusal(error)
        return self.sent and isinstance(error, NoAnswerError | DeadlineExceededError)

    def too_late(self, limits: str = "") -> WorkorderError:
        """Return the error for a deadline that is past, or before which the shared limits give no turn.

        `limits` is the error with which the limits failed, if they did.
        """
        self.turn_to("queue")
        why = f" ({', '.join(f'{seconds:.1f} s {phase}' for phase, seconds in self.spent.items())})"
        if self.deadline.left() > _LATE:
            why = ": the shared limits let no request start in that time"
        within = f"within {self.deadline.seconds:g} s{why}{f'; {limits}' if limits else ''}"
        late = DeadlineExceededError(f"no answer {within}", spent=self.spent)
        if self.endpoint.safety is Safety.READ or self.sent:
            return late
        error = NotSentError(f"nothing happened: not sent {within}")
        error.__cause__ = late
        return error

    def throttled(self, pause: float, answer: RateLimitedError | None) -> RateLimitedError:
        """Return the error for a call that throttling has kept waiting until its deadline, or would.

        For `pause` seconds no request may start; `answer` is the last throttled answer to this call, if there was one.
        """
        said = "nothing happened: " if self.endpoint.safety is not Safety.READ else ""
        if pause:
            deadline = f"the deadline of {self.deadline.seconds:g} s is before that"
            said += f"the server turned requests away: none may start for {pause:,.0f} s more, and {deadline}"
        else:
            said += f"the server turned it away until its deadline of {self.deadline.seconds:g} s"
        error = answer or RateLimitedError("", status=429)
        error.args = (f"{said} ({error.message})" if error.message else said,)
        error.retry_after = pause or None
        return error
