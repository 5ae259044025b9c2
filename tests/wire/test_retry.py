"""call.py: which failure is worth another attempt, for which operation, after how long."""

from math import inf
from random import Random

import pytest

from tests.support.rows import each
from workorder_async.document.endpoints import Safety
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    DecodeError,
    NoAnswerError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    ResponseError,
    TicketStateError,
    WorkorderError,
)
from workorder_async.wire.call import RetryPolicy, is_refusal, is_turned_away, may_repeat

INTERNAL = ResponseError("x", status=400)
INTERNAL.errno = -1  # mapped to this class
READ_ONLY = [
    *(NoAnswerError("x"), INTERNAL),
    *(ResponseError("x", status=status) for status in (200, 302, 303, 307, 408, 500, 502, 503)),
]
ALWAYS = [NotSentError("x")]
NEVER = [
    *(ConfigError("x"), ApiError("x", errno=5), TicketStateError("x"), AuthenticationError("x", status=401)),
    *(ResponseError("x", status=status) for status in (301, 308, 404, 413)),
    DecodeError("x", status=500),
]


@each("safety", Safety)
@each("error", ALWAYS)
def test_always(error: WorkorderError, safety: Safety) -> None:
    """What was not sent is repeated whatever it was."""
    assert may_repeat(error, safety)


@each("safety", Safety)
@each("error", READ_ONLY)
def test_read_only(error: WorkorderError, safety: Safety) -> None:
    """A lost answer, an error of the server and a strange page are repeated for reads, and never for mutations."""
    assert may_repeat(error, safety) == (safety is Safety.READ)


@each("safety", Safety)
@each("error", NEVER)
def test_never(error: WorkorderError, safety: Safety) -> None:
    """What another attempt cannot mend is not repeated."""
    assert not may_repeat(error, safety)


def test_what_says_that_nothing_happened() -> None:
    """Throttled and wrongly signed requests were turned away; a 503 or a page proves nothing, whatever it asks for."""
    busy = ResponseError("x", status=503)
    busy.retry_after = 3.0
    page = AuthenticationError("x", status=403)
    page.says_no = False
    assert is_turned_away(RateLimitedError("x", status=429))
    assert is_turned_away(AuthenticationError("x", errno=90001))
    for error in (busy, page):
        assert not is_turned_away(error)
        assert not is_refusal(error)
        assert not may_repeat(error, Safety.CREATE)
        assert not may_repeat(error, Safety.CONVERGENT)


@each("kind", [ApiError, AuthenticationError, NotFoundError, TicketStateError])
def test_what_is_an_answer(kind: type[ApiError]) -> None:
    """An errno of the platform's says no; a page has none."""
    assert is_refusal(kind("x", errno=5))
    page, busy = kind("x", status=403), RateLimitedError("x", status=429)
    page.says_no = busy.says_no = False
    assert not is_refusal(page)
    assert is_refusal(busy)


def test_waits() -> None:
    """Waits are drawn from the upper half of a bound that doubles up to the longest; the last attempt is the last."""
    policy, random = RetryPolicy(attempts=6, first=1.0, longest=4.0), Random(1)
    for attempt, bound in ((1, 1), (2, 2), (3, 4), (4, 4), (5, 4)):
        waits = [policy.wait(NotSentError("x"), Safety.READ, attempt, random) or 0 for _ in range(500)]
        assert bound * 0.5 <= min(waits) < bound * 0.53
        assert bound * 0.97 < max(waits) <= bound
    assert policy.wait(NotSentError("x"), Safety.READ, 6, random) is None
    assert policy.wait(TicketStateError("x"), Safety.READ, 1, random) is None


def test_patience_by_default() -> None:
    """Four attempts outlast an outage of more than a second."""
    policy, random = RetryPolicy(), Random(1)
    waits = [policy.wait(NotSentError("x"), Safety.CREATE, attempt, random) or 0.0 for attempt in (1, 2, 3)]
    assert [0.25 <= waits[0] <= 0.5, 0.5 <= waits[1] <= 1, 1 <= waits[2] <= 2] == [True] * 3
    assert policy.wait(NotSentError("x"), Safety.CREATE, 4, random) is None
    # Not NaN, which is beyond no deadline.
    assert RetryPolicy(first=inf, longest=inf).wait(NotSentError("x"), Safety.READ, 1, random) == inf


def test_a_large_attempt() -> None:
    """However many attempts there may be, the wait has a bound, and can be computed."""
    wait = RetryPolicy(attempts=5000).wait(NotSentError("x"), Safety.READ, 4000, Random(1))
    assert wait == pytest.approx(3.75, abs=1.25)


def test_retry_after_is_the_least() -> None:
    """The server's own wait is kept even above the longest."""
    error = ResponseError("x", status=503)
    error.retry_after = 60.0
    assert RetryPolicy().wait(error, Safety.READ, 1, Random(1)) == 60.0


@each("options", [{"attempts": 0}, {"first": -1}, {"longest": -1}])
def test_refused(options: dict[str, int]) -> None:
    """A policy that cannot work is refused by the name of its part."""
    with pytest.raises(ConfigError, match=f"RetryPolicy.{next(iter(options))}"):
        RetryPolicy(**options)
