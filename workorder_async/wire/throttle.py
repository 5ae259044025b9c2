"""What throttled answers teach: how many requests may be under way, how often one may start, and how long all pause.

Rules without I/O; times are seconds of one steady clock.

1. A throttled answer (HTTP 429, or an errno that means it) makes all callers pause: as long as `Retry-After` says, else
   0.1 s, twice as long each time until a request is served again, drawn from the upper half of that, 15 s at the most.
   A grown pause is no longer than until what was served within the last second is a second old, or 0.1 s.
   No pause is longer than `longest`, whatever the server says.
2. Answers to what was under way when the pause began are of the same event, and change nothing more.
3. Requests under way: 0.7 times as many after each event, one more for each round of answers that were served.
4. Pace. Where one answer in eight within a second was throttled, the server has a limit per second: from then on
   requests are started evenly, at 0.95 times what it served within a second. While all goes well that grows: the first
   time twofold each second, since what was served may have been little; after a further event evenly, to par in 12 s
   and 5 % above it in 24 s, and from there twofold each 2 s. All that takes three times as long where the server asks
   for a pause of a second or more, for each event costs so much then.
5. Where even a quarter of what was served at first is throttled, the rate is not the reason: the pace is let go, and
   not taken up again for 30 s.
"""

from collections import deque
from random import Random

_FIRST_PAUSE, _LONGEST_GROWN_PAUSE = 0.1, 15.0
_FEWER = 0.7
_BELOW = 0.95
_ONE_IN = 8
_ENOUGH = 4
_TOO_SLOW = 0.25
_DEAR_PAUSE, _CAUTION = 1.0, 3.0
_WITHOUT_PACE = 30.0
_KEPT = 10_000


class Throttle:
    """The state of one client; `most` requests may be under way while nothing is throttled."""

    def __init__(self, most: int, longest: float, random: Random) -> None:
        self.paused_until: float = 0.0
        self.count: int = 0
        self._most = most
        self._longest = longest
        self._random = random
        self._limit = float(most)
        self._strikes = 0
        self._last_event = float("-inf")
        self._served: deque[float] = deque(maxlen=_KEPT)
        self._turned_away: deque[float] = deque(maxlen=_KEPT)
        self._ceiling = 0.0  # requests that were served in the best second of the last event; 0: no pace
        self._ceiling_at_first = 0.0
        self._exploring = False
        self._caution = 1.0
        self._no_pace_before = 0.0

    @property
    def in_flight(self) -> int:
        """How many requests may be under way."""
        return int(self._limit)

    @property
    def is_awake(self) -> bool:
        """Whether anything was ever throttled; until then there is neither a pause nor a pace."""
        return self.count > 0

    def pace(self, now: float) -> float:
        """Return how many requests may start per second; infinity where there is no such limit."""
        if not self._ceiling:
            return float("inf")
        calm = max(0.0, now - max(self._last_event, self.paused_until))
        if self._exploring:
            grown = _BELOW * 2 ** min(calm, 20)
        else:
            calm /= self._caution
            grown = _BELOW + 0.1 * min(calm, 24) / 24
            grown *= 2 ** (min(max(0.0, calm - 24), 40) / 2)
        return max(1.0, self._ceiling * grown)

    def accepted(self, started: float, now: float) -> None:
        """Note an answer that was not throttled; `started` is when its request was."""
        self._served.append(now)
        if not self.count:
            return
        if started > self._last_event:
            self._strikes = 0
        elif self._ceiling:
            self._ceiling = max(self._ceiling, self._within_a_second(self._served, now))
        if self._limit < self._most:
            self._limit = min(self._most, self._limit + 1 / self._limit)

    def throttled(self, started: float, now: float, retry_after: float | None) -> None:
        """Note a throttled answer; `retry_after` is what the server asks for, in seconds, where it says so."""
        self.count += 1
        self._turned_away.append(now)
        if started > self._last_event:
            self._begin_event(now, retry_after)
        if not self._ceiling and now >= self._no_pace_before:
            self._consider_pace(now)
        self._caution = _CAUTION if retry_after is not None and retry_after >= _DEAR_PAUSE else 1.0
        if retry_after:
            self.paused_until = max(self.paused_until, now + min(retry_after, self._longest))

    def _begin_event(self, now: float, retry_after: float | None) -> None:
        self._limit = max(1.0, self._limit * _FEWER)
        if self._ceiling and not self._strikes:
            self._slow_down(now)
        self._last_event = now
        if retry_after is None or self._strikes:
            grown = min(_LONGEST_GROWN_PAUSE, self._longest, _FIRST_PAUSE * 2 ** min(self._strikes, 20))
            until = now + grown * self._random.uniform(0.5, 1)
            if self._within_a_second(self._served, now):
                until = min(until, max(now + _FIRST_PAUSE, self._served[0] + 1))
            self.paused_until = max(self.paused_until, until)
        self._strikes += 1

    def _consider_pace(self, now: float) -> None:
        served = self._within_a_second(self._served, now)
        turned_away = self._within_a_second(self._turned_away, now)
        if turned_away >= max(_ENOUGH, (served + turned_away) / _ONE_IN):
            self._ceiling = self._ceiling_at_first = max(1.0, served)
            self._exploring = True

    def _slow_down(self, now: float) -> None:
        self._ceiling = min(self._within_a_second(self._served, now), self.pace(now))
        self._exploring = False
        if self._ceiling < self._ceiling_at_first * _TOO_SLOW:
            self._ceiling, self._no_pace_before = 0.0, now + _WITHOUT_PACE

    @staticmethod
    def _within_a_second(times: deque[float], now: float) -> float:
        while times and times[0] <= now - 1:
            times.popleft()
        return float(len(times))
