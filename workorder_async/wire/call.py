"""One call under way: what it is, how far it has come, where its time goes, and what its failure means."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from attrs import Factory, define, field

from workorder_async.document.endpoints import Endpoint, Safety
from workorder_async.errors import (
    DeadlineExceededError,
    NoAnswerError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ResponseError,
    WorkorderError,
)
from workorder_async.wire.bodies import Body
from workorder_async.wire.deadline import Deadline
from workorder_async.wire.retry import RetryPolicy
from workorder_async.wire.trial import Trial
from workorder_async.wire.waiting import Lane

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
    trial: Trial
    attempts: int = 0  # requests that were started
    uncounted: int = 0  # ... of them throttled or wrongly signed, which do not count for the retry policy
    began: float = 0.0  # when its first attempt was sent, by our own clock
    sent: bool = False  # whether anything of the attempt under way may have been written
    turned_away: RateLimitedError | None = None  # what the last throttled answer said
    status: int | None = None  # the HTTP status of the last attempt, where it was answered
    spent: dict[str, float] = Factory(lambda: {"queue": 0.0, "request": 0.0, "sleep": 0.0})
    _phase: str = "queue"
    # The clock that deadlines and pauses are of; of the loop itself, since a call may end after its loop.
    _clock: Callable[[], float] = Factory(lambda: asyncio.get_running_loop().time)
    _since: float = field(default=Factory(lambda self: self._clock(), takes_self=True), alias="since")

    def turn_to(self, phase: str, now: float | None = None) -> None:
        """Charge the time since the last turn to the phase that ends, now or at that time of the loop's clock."""
        now = self._clock() if now is None else now
        self.spent[self._phase] += now - self._since
        self._phase, self._since = phase, now

    def spent_by_now(self) -> dict[str, float]:
        """Return the seconds of each phase, with those of the phase that goes on."""
        self.turn_to(self._phase)
        return self.spent

    def begin_waiting(self) -> None:
        """Note that it waits for the turn of its next attempt."""
        self.sent = False
        self.turn_to("queue")

    def begin_attempt(self) -> None:
        """Note that its next attempt begins."""
        self.attempts += 1
        self.status = None
        self.turn_to("request")

    def final(self, error: WorkorderError) -> WorkorderError:
        """Say of a mutation's failure what it means for the mutation."""
        error.operation, error.attempts = self.endpoint.operation, self.attempts
        if self.endpoint.safety is Safety.READ or not _leaves_open(error, sent=self.sent):
            return error
        unknown = OutcomeUnknownError(
            f"sent, but no answer of the platform came back, so it may or may not have happened: {error.message}",
            began=self.began,
            operation=error.operation,
            attempts=error.attempts,
            request_id=error.request_id,
        )
        unknown.__cause__ = error
        return unknown

    def too_late(self) -> WorkorderError:
        """Return the error for a deadline that is past."""
        self.turn_to("queue")
        late = DeadlineExceededError(f"no answer within {self._where_it_went()}", spent=self.spent)
        if self.endpoint.safety is Safety.READ or self.sent:
            return late
        error = NotSentError(f"not sent within {self._where_it_went()}, so nothing happened")
        error.__cause__ = late
        return error

    def throttled(self, pause: float, answer: RateLimitedError | None) -> RateLimitedError:
        """Return the error for a call that throttling leaves no time for.

        The server still wants to be left alone for `pause` seconds; `answer` is what it said to this very call.
        """
        self.turn_to("queue")
        said = "nothing happened: " if self.endpoint.safety is not Safety.READ else ""
        if pause:
            deadline = f"the deadline of {self.deadline.seconds:g} s is before its end"
            said += f"the server asks for a pause of {pause:,.0f} s more, and {deadline}"
        else:
            said += f"the server turned it away until its deadline of {self.deadline.seconds:g} s"
        error = RateLimitedError(
            f"{said}{'' if answer is None else f' ({answer.message})'}",
            errno=0 if answer is None else answer.errno,
            errmsg="" if answer is None else answer.errmsg,
            status=429 if answer is None else answer.status,
            request_id="" if answer is None else answer.request_id,
        )
        error.retry_after = pause or None
        return error

    def _where_it_went(self) -> str:
        spent = ", ".join(f"{seconds:.1f} s {phase}" for phase, seconds in self.spent.items())
        return f"{self.deadline.seconds:g} s ({spent})"


def _leaves_open(error: WorkorderError, *, sent: bool) -> bool:
    """Tell whether a mutation that failed so may have happened all the same."""
    if isinstance(error, ResponseError):
        return True
    return sent and isinstance(error, NoAnswerError | DeadlineExceededError)
