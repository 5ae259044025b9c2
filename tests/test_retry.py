"""retry.py: which failure is worth another attempt, for which operation, after how long."""

from random import Random

import pytest

from workorder_async.endpoints import Safety
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    DecodeError,
    NoAnswerError,
    NotSentError,
    RateLimitedError,
    ResponseError,
    TicketStateError,
    WorkorderError,
)
from workorder_async.retry import RetryPolicy, may_repeat

READ_ONLY = [
    NoAnswerError("x"),
    ResponseError("x", status=502),
    ResponseError("x", status=503),
    ApiError("x", status=500),
]
ALWAYS = [NotSentError("x"), RateLimitedError("x", status=429), ResponseError("x", status=429)]
NEVER = [
    *(ConfigError("x"), ApiError("x", errno=5), TicketStateError("x"), AuthenticationError("x", status=401)),
    *(ResponseError("x", status=404), ResponseError("x", status=302), ResponseError("x"), DecodeError("x", status=500)),
]


@pytest.mark.parametrize("safety", Safety)
@pytest.mark.parametrize("error", ALWAYS, ids=repr)
def test_always(error: WorkorderError, safety: Safety) -> None:
    """What was not sent, or was turned away unread, is repeated whatever it was."""
    assert may_repeat(error, safety)


@pytest.mark.parametrize("safety", Safety)
@pytest.mark.parametrize("error", READ_ONLY, ids=repr)
def test_read_only(error: WorkorderError, safety: Safety) -> None:
    """A lost answer and an error of the server are repeated for reads, and never for mutations."""
    assert may_repeat(error, safety) == (safety is Safety.READ)


@pytest.mark.parametrize("safety", Safety)
@pytest.mark.parametrize("error", NEVER, ids=repr)
def test_never(error: WorkorderError, safety: Safety) -> None:
    """What another attempt cannot mend is not repeated."""
    assert not may_repeat(error, safety)


@pytest.mark.parametrize("safety", Safety)
def test_503_with_retry_after(safety: Safety) -> None:
    """A 503 that says when to come back did nothing."""
    error = ResponseError("x", status=503)
    error.retry_after = 3.0
    assert may_repeat(error, safety)


def test_waits() -> None:
    """Waits are drawn evenly below a bound that doubles up to the longest; the last attempt is the last."""
    policy, random = RetryPolicy(attempts=6, first=1.0, longest=4.0), Random(1)
    for attempt, bound in ((1, 1), (2, 2), (3, 4), (4, 4), (5, 4)):
        waits = [policy.wait(NotSentError("x"), Safety.READ, attempt, random) or 0 for _ in range(500)]
        assert 0 <= min(waits) < bound * 0.05
        assert bound * 0.95 < max(waits) <= bound
    assert policy.wait(NotSentError("x"), Safety.READ, 6, random) is None
    assert policy.wait(TicketStateError("x"), Safety.READ, 1, random) is None


def test_retry_after_is_the_least() -> None:
    """The server's own wait is kept even above the longest."""
    error = RateLimitedError("x", status=429)
    error.retry_after = 60.0
    assert RetryPolicy().wait(error, Safety.CREATE, 1, Random(1)) == 60.0


@pytest.mark.parametrize("options", [{"attempts": 0}, {"first": -1}, {"longest": -1}])
def test_refused(options: dict[str, int]) -> None:
    """A policy that cannot work is refused by the name of its part."""
    with pytest.raises(ConfigError, match=f"RetryPolicy.{next(iter(options))}"):
        RetryPolicy(**options)
