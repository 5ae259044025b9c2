"""limits.py, its throttle: what throttled answers teach, played against servers in simulated time."""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from tests.support.rows import each
from workorder_async.wire.limits import Throttle


def play(
    limit: Callable[[float], bool],
    *,
    workers: int,
    latency: float,
    seconds: float,
    most: int = 32,
    retry_after: float | None = None,
) -> tuple[int, int]:
    """Let so many workers ask a server for so long; return how many requests were served, and how many turned away."""
    random = Random(7)
    throttle = Throttle(most, 300.0, random)
    now = next_start = 0.0
    answers: list[tuple[float, float, bool]] = []
    served = turned_away = 0
    while now < seconds:
        while len(answers) < min(workers, throttle.in_flight) and max(next_start, throttle.paused_until) <= now:
            next_start = max(now, next_start) + 1 / throttle.pace(now)
            heappush(answers, (now + latency * random.uniform(0.5, 1.5), now, limit(now)))
        turns = [max(next_start, throttle.paused_until)] if len(answers) < min(workers, throttle.in_flight) else []
        now = min(turns + [answer[0] for answer in answers[:1]])
        if answers and answers[0][0] <= now:
            _, started, fine = heappop(answers)
            if fine:
                served += 1
                throttle.accepted(started, now)
            else:
                turned_away += 1
                throttle.throttled(started, now, retry_after)
    return served, turned_away


def per_second(rate: int) -> Callable[[float], bool]:
    """Make a server that serves so many requests within any second."""
    times: deque[float] = deque()

    def allowed(now: float) -> bool:
        while times and times[0] <= now - 1:
            times.popleft()
        if len(times) >= rate:
            return False
        times.append(now)
        return True

    return allowed


def bucket(rate: float, size: float) -> Callable[[float], bool]:
    """Make a server with a bucket of tokens."""
    state = [size, 0.0]

    def allowed(now: float) -> bool:
        state[0], state[1] = min(size, state[0] + (now - state[1]) * rate), now
        if state[0] < 1:
            return False
        state[0] -= 1
        return True

    return allowed


def calendar(rate: int) -> Callable[[float], bool]:
    """Make a server that counts within each second of its clock, which is a third of a second off ours."""
    counts: dict[int, int] = {}

    def allowed(now: float) -> bool:
        second = int(now + 1 / 3)
        counts[second] = counts.get(second, 0) + 1
        return counts[second] <= rate

    return allowed


@each("latency", [0.005, 0.05, 0.2])
@each("make", [per_second, lambda rate: bucket(rate, rate), lambda rate: bucket(rate, 10), calendar])
def test_a_true_limit(make: Callable[[int], Callable[[float], bool]], latency: float) -> None:
    """Of what a server allows nine tenths are used, and one answer in twenty at the most is turned away."""
    served, turned_away = play(make(100), workers=64, latency=latency, seconds=30)
    assert served >= 0.9 * 100 * 30
    assert turned_away <= 0.05 * (served + turned_away)


def test_a_true_limit_that_asks_for_pauses() -> None:
    """A server that asks for a second each time is asked seldom for more than it allows."""
    served, turned_away = play(per_second(100), workers=64, latency=0.05, seconds=60, retry_after=1)
    assert served >= 0.93 * 100 * 60
    assert turned_away <= 0.05 * (served + turned_away)


@each("rate", [5, 20, 400])
def test_other_limits(rate: int) -> None:
    """The same for slower and faster servers, with a few more turned away where there are few in all."""
    served, turned_away = play(per_second(rate), workers=64, latency=0.03, seconds=60)
    assert served >= 0.85 * rate * 60
    assert turned_away <= 0.05 * (served + turned_away) + 60


@each("share", [0.02, 0.1, 0.3])
def test_chance(share: float) -> None:
    """A server that turns requests away by chance slows a caller down, and does not bring it to a halt."""
    random = Random(3)
    served, _ = play(lambda now: random.random() > share, workers=16, latency=0.01, seconds=60)
    assert served > 20 * 60


def test_a_limit_that_rises() -> None:
    """A pace is given up where it is no longer needed."""
    slow, fast = per_second(50), per_second(1000)
    served, _ = play(lambda now: slow(now) if now < 10 else fast(now), workers=16, latency=0.02, seconds=70)
    assert served > 50 * 10 + 500 * 30


def test_pauses_grow() -> None:
    """Each throttled event in a row pauses longer, up to 15 s; a served request ends the row."""
    throttle, now = Throttle(8, 300.0, Random(1)), 0.0
    pauses = []
    for _ in range(12):
        throttle.throttled(now, now, None)
        pauses.append(throttle.paused_until - now)
        now = throttle.paused_until + 0.001
    for number, pause in enumerate(pauses):
        assert min(15, 0.1 * 2**number) / 2 <= pause <= min(15, 0.1 * 2**number)
    throttle.accepted(now, now + 0.01)
    throttle.throttled(now + 0.02, now + 0.02, None)
    assert throttle.paused_until - (now + 0.02) <= 0.1


def test_a_pause_ends_with_the_second_that_was_full() -> None:
    """What was served counts for a second at most: no grown pause is longer than the first of it, but for 0.1 s."""
    throttle = Throttle(8, 300.0, Random(1))
    for number in range(50):
        throttle.accepted(0.0, 0.2 + number / 1000)
    now = 0.25
    while now < 1.2:
        throttle.throttled(now, now, None)
        assert throttle.paused_until <= max(now + 0.1, 1.2)
        now = throttle.paused_until + 0.001
    pause = 0.0
    # Of a longer limit than one per second it knows nothing, and pauses longer and longer.
    while now < 30:
        throttle.throttled(now, now, None)
        pause, now = throttle.paused_until - now, throttle.paused_until + 0.001
    assert pause > 7


def test_one_event() -> None:
    """Answers to what was under way when a pause began change nothing more."""
    throttle = Throttle(32, 300.0, Random(1))
    throttle.throttled(0.0, 1.0, None)
    limit, pause = throttle.in_flight, throttle.paused_until
    for _ in range(20):
        throttle.throttled(0.5, 1.05, None)
    assert (throttle.in_flight, throttle.paused_until, throttle.count) == (limit, pause, 21)


def test_retry_after_is_capped() -> None:
    """A server may ask for an eternity, and gets what is allowed."""
    throttle = Throttle(32, 300.0, Random(1))
    throttle.throttled(0.0, 1.0, 1e9)
    assert throttle.paused_until == 301.0


def test_retry_after_zero_is_no_loop() -> None:
    """A server that always says `Retry-After: 0` is asked less and less often."""
    throttle, now, asked = Throttle(1, 300.0, Random(1)), 0.0, 0
    while now < 60:
        throttle.throttled(now, now, 0.0)
        asked += 1
        now = max(now, throttle.paused_until) + 0.001
    assert asked < 20


def test_in_flight_recovers() -> None:
    """After an event fewer requests are under way, and again as many once enough were served."""
    throttle = Throttle(10, 300.0, Random(1))
    throttle.throttled(0.0, 0.0, None)
    assert throttle.in_flight == 7
    for number in range(40):
        throttle.accepted(1.0, 1 + number / 10)
    assert throttle.in_flight == 10
