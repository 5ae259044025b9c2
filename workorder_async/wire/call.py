"""One call under way: its state, its deadline, the clock that signs it, and the meaning of its failure.

**Failures.** `RetryPolicy` says which are worth another attempt, and how long to wait before it. Nothing here sleeps.

**Clocks.** Time stamps are of our own clock. Where a signature is refused and the answer's `Date` tells another time,
the call is signed once more by that time. If that is accepted, the client keeps that clock. Where a clock that was kept
is refused, our own is tried before another one. A page of a gateway refuses only reads: of a mutation it says nothing.

A mutation is signed again only where the refusal is known to be of the signature. No read can tell the meaning of an
unknown errno: an outage that comes and goes looks like a refused signature. So such an errno ends the call, and a read
finds out which clock is accepted, for the calls that follow.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
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
from workorder_async.wire.limits import Lane

# A signer or a callback that makes calls of its own may raise these: they say nothing of this call.
OF_AN_ANSWER: Final = (ApiError, ResponseError, NoAnswerError, DeadlineExceededError)
# A captive portal sends such redirects for a while; 301 and 308 say that the base URL is wrong for good. A balancer
# says 408 where it gave up an idle connection just as a request was written on it.
_PASSING = (302, 303, 307, 408)

_count = as_validator(partial(whole_within, low=1, high=2**31 - 1), names_class=True)
_seconds = as_validator(seconds, names_class=True)


@frozen(kw_only=True)
class RetryPolicy:
    """How often and how patiently a failed request is repeated; with `RetryPolicy(attempts=1)` never.

    The wait before attempt n + 1 is drawn from the upper half of min(`longest`, `first` * 2 ** (n - 1)) seconds: by
    default up to 0.5 s, 1 s, 2 s. It is the pause that the server asks for in `Retry-After`, if that is longer. A
    throttled answer (429) does not count: after the pause that it asks for, the request is made again until the
    deadline. A refused signature, which is made once more by the server's clock, does not count, either.
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
        bound: float = min(self.longest, self.first * 2 ** min(attempt - 1, 60))
        return max(bound * random.uniform(0.5, 1), error.retry_after or 0.0)


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


@contextmanager
def ending_call(said: str) -> Iterator[None]:
    """Let an exception of the caller's own code end the call for good: an error of this tree as it is.

    An error of another call is different: it, and any other exception, is the cause of a `NotSentError`.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, WorkorderError) and not isinstance(error, (*OF_AN_ANSWER, NotSentError)):
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


# An answer that shows our clock this wrong explains a refused signature; less is within what servers allow.
_TOLERANCE = 5.0
# A timer may be early by the resolution of its clock.
_LATE = 0.01
_NO_TIME = {"queue": 0.0, "request": 0.0, "sleep": 0.0}

Query: TypeAlias = tuple[tuple[str, str], ...]


@define
class Call:
    """One call: its attempts and the waits between them.

    A clock is a number of seconds that is added to our own clock.
    """

    endpoint: Endpoint
    query: Query
    body: Body | None
    lane: Lane | None
    deadline: Deadline
    retry: RetryPolicy
    clock: ServerClock
    errnos: Mapping[int, type[ApiError]]  # those with a known meaning
    # The clock that deadlines and pauses are of: of the loop itself, since a call may end after its loop.
    _time: Callable[[], float] = field(alias="time")
    _since: float = field(alias="since")  # when the present phase began
    attempts: int = 0  # requests that were started
    tried: float | None = None  # the clock that the attempt under way tries, instead of the client's
    uncounted: int = 0  # attempts that were throttled or wrongly signed, which do not count for the retry policy
    began: float = 0.0  # when its first attempt was sent, by our own clock
    sent: bool = False  # whether anything of the attempt under way may have been written
    unquiet: bool = False  # whether something lay on the connection of the last attempt before it was written
    turned_away: RateLimitedError | None = None  # the last throttled answer
    status: int | None = None  # the HTTP status of the last attempt, where it was answered
    used: float = 0.0  # the clock that signed the last attempt
    seen: float | None = None  # the clock that the last answer told
    spent: dict[str, float] = Factory(_NO_TIME.copy)  # seconds of ended phases
    _phase: str = "queue"
    _refusal: WorkorderError | None = None  # the refusal that another clock is tried for
    _left: tuple[float, ...] = ()  # further clocks to try for it

    def turn_to(self, phase: str) -> None:
        """Charge the time since the last turn to the phase that ends."""
        now = self._time()
        self.spent[self._phase] += now - self._since
        self._phase, self._since = phase, now

    def begin_attempt(self) -> None:
        """Note that its turn has come, and its next attempt begins."""
        self.attempts += 1
        self.status = None
        self.turn_to("request")

    def spent_by_now(self) -> dict[str, float]:
        """Return the seconds of each phase, with those of the phase that goes on."""
        self.turn_to(self._phase)
        return self.spent

    def keep_clock(self) -> None:
        """Keep the clock that was tried for a refusal: its signature was accepted."""
        if self.tried is not None:
            self.clock.signing_offset, self.tried = self.tried, None

    def another_clock(self, error: WorkorderError) -> WorkorderError | None:
        """Return None where the signature was refused for our clock's sake; the clock to try next is set then.

        Else return the error. If a further clock is refused as well, that is the first refusal, which says why. An
        answer with another meaning is returned itself; if the meaning is known, the clock is kept.
        """
        if self.tried is not None:
            if self._refusal is None or not isinstance(error, ApiError) or self._is_open(error):
                return error
            if not isinstance(error, AuthenticationError):
                if type(error) is not ApiError or error.errno in self.errnos:
                    self.keep_clock()
                    return error
                if isinstance(self._refusal, AuthenticationError) and error.errno != self._refusal.errno:
                    self.tried = None  # it may not be of the clock, so that clock is not kept
                    return error
                if self.endpoint.safety is not Safety.READ:
                    self._left = ()
            if isinstance(self._refusal, ApiError) and error.errno not in (0, self._refusal.errno):
                # No errno with a meaning tells which of them is about the clock.
                both = f"{self._refusal.message}; signed by another clock, it was refused with {error.message}"
                self._refusal.args = (both,)
            self.tried, error = None, self._refusal
        elif self._refusal is None and self._may_be_of_clock(error) and not self.leaves_clock_open(error):
            used, seen = self.used, self.seen or 0.0
            # Our own if it was set aside, then the server's.
            self._left = (seen,) if used == 0 or abs(seen) <= _TOLERANCE else (0.0, seen)
            self._refusal = error
        if not self._left or error is not self._refusal:
            return error
        self.tried, *left = self._left
        self._left = tuple(left)
        return None

    def _may_be_of_clock(self, error: WorkorderError) -> bool:
        """Tell whether a refusal may be of the clock: the answer tells another time, and no other reason is known."""
        is_unknown = type(error) is ApiError and error.errno not in self.errnos
        is_apart = self.seen is not None and abs(self.seen - self.used) > _TOLERANCE
        return is_apart and (is_unknown or isinstance(error, AuthenticationError)) and not self._is_open(error)

    def leaves_clock_open(self, error: WorkorderError) -> bool:
        """Tell whether nobody knows if a mutation was refused for the clock that signed it."""
        is_unclear = self.endpoint.safety is not Safety.READ and not isinstance(error, AuthenticationError)
        return is_unclear and self._may_be_of_clock(error)

    def interrupted(self, error: Exception) -> WorkorderError:
        """Return the error for an attempt that foreign code ended, with its error as the cause."""
        why = without_credentials(f"{type(error).__name__}: {error}")
        kind, said = (NoAnswerError, "it ended amid the request") if self.sent else (NotSentError, "nothing was sent")
        wrapped: WorkorderError = kind(f"{said}: {why}")
        wrapped.__cause__ = error
        return wrapped

    def final(self, error: WorkorderError) -> WorkorderError:
        """Return the error to raise: for a mutation, it says whether the mutation may have happened."""
        error.operation, error.attempts = self.endpoint.operation, self.attempts
        if not self._is_open(error):
            return error
        what = "no answer of the platform came back, so it may or may not have happened"
        unknown = OutcomeUnknownError(f"sent, but {what}: {error.message}", began=self.began)
        unknown.operation, unknown.attempts, unknown.request_id = error.operation, error.attempts, error.request_id
        unknown.__cause__, unknown.retry_after = error, error.retry_after
        return unknown

    def _is_open(self, error: WorkorderError) -> bool:
        """Tell whether this is a mutation that may have happened, although its last attempt failed so."""
        if self.endpoint.safety is Safety.READ:
            return False
        if isinstance(error, ApiError | ResponseError):
            return not is_answered(error)
        return self.sent and isinstance(error, NoAnswerError | DeadlineExceededError)

    def too_late(self, limits: str = "") -> WorkorderError:
        """Return the error for a deadline that is past, or before which shared limits know that there is no turn.

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
        """Return the error for a call that throttling leaves no time for.

        No request may start for `pause` seconds; `answer` is the server's answer to this call.
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
