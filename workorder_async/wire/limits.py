"""When a request may start: slots, lanes, a rate, and the pause that all calls share after a throttled answer.

1. At most `slots` requests are under way; fewer while the server throttles (`Throttle`).
2. A call is interactive, or it belongs to a lane: the requests of one walk or one batch. A lane has a width of its own.
3. Whose turn it is: interactive calls first, but after three of them one of a lane; lanes take turns. So a person waits
   for no more than the next free slot, and a walk or a batch is slowed down and never stopped.
4. One of each 16 slots is kept for interactive calls.
5. A call that a pause would hold up until after its deadline fails at once.
6. Where `Limits` are given, several clients, also of several processes, share them. The rules above say which call of
   this client goes first, the limits say when: a permit is asked for when a call may start, and goes to the call that
   is first by then.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from functools import partial
from random import Random
from typing import Protocol

from attrs import define, frozen

from workorder_async.arguments import whole
from workorder_async.errors import ConfigError, NotSentError, WorkorderError

__all__ = ["ClientStats", "Limits", "TurnTimeoutError"]


@define(eq=False)
class TurnTimeoutError(Exception):
    """The turn of a call cannot come before its deadline."""

    pause: float = 0.0
    """How many seconds the server still wants to be left alone, where that is the reason; else 0."""
    why: str = ""
    """The error with which the shared limits failed before, if they did."""


@define(eq=False)
class Waiter:
    """One call that waits."""

    #: Done when the call has its turn, or has given up.
    future: "asyncio.Future[None]"
    until: float

    def fail(self, error: BaseException) -> None:
        """End its wait with an error, unless its turn has come."""
        if not self.future.done():
            self.future.set_exception(error)


class Lane:
    """Calls that belong together, such as a walk's: at most `width` of them under way, in the order of asking.

    A lane belongs to one client: of two, one would count the start of a call, and the other its end.
    Raises `ConfigError` for a `width` that is no whole number of at least 1.
    """

    def __init__(self, width: int) -> None:
        self.width: int = whole("width", width)
        self.limiter: Limiter | None = None
        self.under_way = 0
        self.waiting: deque[Waiter] = deque()

    def first(self) -> Waiter | None:
        """Return the call that waits longest. Those that have given up are dropped on the way."""
        while self.waiting and self.waiting[0].future.done():
            self.waiting.popleft()
        return self.waiting[0] if self.waiting else None


# The numbers of the rules of `Throttle`; times are seconds.
_FIRST_PAUSE, _LONGEST_GROWN_PAUSE = 0.1, 15.0
_FEWER = 0.7  # requests under way after an event, as a part of those before
_BELOW = 0.95  # the pace after an event, as a part of the rate that was served
_ONE_IN, _ENOUGH = 8, 4  # a pace begins where one answer in so many was throttled, and so many at the least
_TOO_SLOW = 0.25  # a pace below this part of the first one is dropped
_WITHOUT_PACE = 30.0  # and not taken up again for so long
_DEAR_PAUSE, _CAUTION = 1.0, 3.0  # after such a pause the pace grows so many times more slowly
_KEPT = 10_000


class Throttle:
    """Slows one client down after throttled answers; `most` requests may be under way while nothing is throttled.

    Rules without I/O; times are seconds of one steady clock.

    1. A throttled answer (HTTP 429, or an errno that means it) makes all callers pause: as long as `Retry-After` says,
       else 0.1 s, twice as long each time until a request is served again, drawn from the upper half of that, 15 s at
       the most. If requests were served in the last second, a grown pause ends at the latest when the first of them is
       a second old, since a limit per second has room again then, or after 0.1 s if that is later. No pause is longer
       than `longest`, even if the server asks for more.
    2. Throttled answers to requests that were under way when the pause began belong to the same event. They lengthen
       the pause only by a `Retry-After`, and do not lower the numbers of the rules 3 and 4 once more.
    3. Requests under way: 0.7 times as many after each event, one more for each round of answers that were served.
    4. Pace. Where one answer in eight within a second was throttled, the server has a limit per second: from then on
       requests are started evenly, at 0.95 times the rate that it served. While all goes well the pace grows: the
       first time twofold each second, since few requests may have been served; after a further event evenly, to par
       in 12 s and 5 % above it in 24 s, and from there twofold each 2 s. All that takes three times as long where the
       server asks for a pause of a second or more, for each event costs so much then.
    5. If even a quarter of the first rate is throttled, the rate is not the reason: the pace is dropped,
       and not taken up again for 30 s.
    """

    def __init__(self, most: int, longest: float, random: Random) -> None:
        self.paused_until: float = 0.0
        #: How many answers were throttled; while it is 0 there is neither a pause nor a pace.
        self.count: int = 0
        self._most = most
        self._longest = longest
        self._random = random
        self._limit = float(most)
        self._strikes = 0  # events in a row, with no served request that began after one
        self._last_event = float("-inf")  # when it began
        self._served: deque[float] = deque(maxlen=_KEPT)
        self._turned_away: deque[float] = deque(maxlen=_KEPT)
        self._ceiling = 0.0  # requests that were served in the best second of the last event; 0: no pace
        self._ceiling_at_first = 0.0
        self._exploring = False  # the pace was never throttled, and doubles each second
        self._caution = 1.0  # how many times more slowly the pace grows
        self._no_pace_before = 0.0

    @property
    def in_flight(self) -> int:
        """How many requests may be under way."""
        return int(self._limit)

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
        """Note a throttled answer; `retry_after` is the pause that the server asks for, in seconds."""
        self.count += 1
        self._turned_away.append(now)
        if started > self._last_event:
            self._begin_event(now, retry_after)
        if not self._ceiling and now >= self._no_pace_before:
            served, turned_away = (self._within_a_second(times, now) for times in (self._served, self._turned_away))
            if turned_away >= max(_ENOUGH, (served + turned_away) / _ONE_IN):
                self._ceiling = self._ceiling_at_first = max(1.0, served)
                self._exploring = True
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

    def _slow_down(self, now: float) -> None:
        self._ceiling = min(self._within_a_second(self._served, now), self.pace(now))
        self._exploring = False
        if self._ceiling < self._ceiling_at_first * _TOO_SLOW:
            self._ceiling, self._no_pace_before = 0.0, now + _WITHOUT_PACE

    @staticmethod
    def _within_a_second(times: deque[float], now: float) -> float:
        """Drop the times that are a second old, and return how many are left."""
        while times and times[0] <= now - 1:
            times.popleft()
        return float(len(times))


logger: logging.Logger = logging.getLogger("workorder_async")

_INTERACTIVE_IN_A_ROW = 3
_SLOTS_PER_RESERVED = 16
_LATE = 0.005


class Limits(Protocol):
    """Limits that several clients share; `WorkorderClient(limits=...)` takes them."""

    async def acquire(self, until: float) -> None:
        """Return when one request may start; each return is a permit for one.

        A permit is for any request of the client, and is kept until there is one. A client asks for one permit at a
        time, and cancels this when it is closed.

        Raises `TurnTimeoutError` at once where no request may start before `until`, by the event loop's clock, with the
        seconds that the server still wants to be left alone, if that is the reason. Any other error fails the call that
        waited for it: a `WorkorderError` as it is, and anything else as a `NotSentError`.
        """
        ...

    def pause(self, seconds: float) -> None:
        """Be told that the server wants to be left alone for so many seconds; must not block.

        This client pauses by itself. All others that share the limits should pause as well.
        """
        ...


@frozen(kw_only=True)
class ClientStats:
    """The state of a client at this moment; `WorkorderClient.stats()` makes one."""

    in_flight: int
    """Requests under way."""
    in_flight_limit: int
    """Requests that may be under way: `max_in_flight`, or fewer while the server throttles."""
    waiting: int
    """Calls that wait for their turn to start a request."""
    throttled: int
    """Answers so far that said: too many requests."""
    pace: float | None
    """Requests per second that are started at most, learned from such answers; None while that is not needed."""
    paused: float
    """Seconds for which no request is started."""


class Limiter:
    """Gives turns to calls, inside one event loop; times are of the loop's clock, `rate` in requests per second."""

    def __init__(
        self,
        slots: int,
        rate: float | None = None,
        *,
        longest_pause: float = 300.0,
        limits: Limits | None = None,
    ) -> None:
        self.throttle: Throttle = Throttle(slots, longest_pause, Random())  # noqa: S311 - jitter, no secret
        self._reserved = slots // _SLOTS_PER_RESERVED
        self._interval = 1 / rate if rate else 0.0
        self._interactive = Lane(slots)
        self._lanes: deque[Lane] = deque()
        self._in_a_row = 0
        self._under_way = 0
        # When the next request may start; while neither a rate nor a pause says anything, it is 0.
        self._next_start = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._limits = limits
        self._has_permit = limits is None
        self._asking: asyncio.Task[None] | None = None
        self._failure = ""  # of the shared limits, when they were asked last
        #: Set when the client is closed: no rate and no pause holds up a call then.
        self.closed: asyncio.Event = asyncio.Event()

    def stats(self) -> ClientStats:
        """Return the numbers of calls under way and waiting, and the limits learned from throttling."""
        now = asyncio.get_running_loop().time()
        pace = self.throttle.pace(now)
        return ClientStats(
            in_flight=self._under_way,
            in_flight_limit=self.throttle.in_flight,
            waiting=sum(not waiter.future.done() for lane in self._all_lanes() for waiter in lane.waiting),
            throttled=self.throttle.count,
            pace=None if pace == float("inf") else pace,
            paused=max(0.0, self.throttle.paused_until - now),
        )

    async def start(self, lane: Lane | None, until: float) -> float:
        """Wait for the turn to start a request, which `end` must end; return when it came, by the loop's clock.

        Raises `TurnTimeoutError` where it does not come before `until`, and `ConfigError` for a lane of another client.
        """
        if lane is None:
            lane = self._interactive
        elif lane.limiter is not self:
            if lane.limiter is not None:
                raise ConfigError("is of another client", argument="lane", mend="make one for each client")
            lane.limiter = self
        is_next = not lane.waiting and self._timer is None and self._has_permit
        if is_next and self._has_room(lane) and not self._seconds_to_next():
            self._take(lane)
        else:
            await self._turn(lane, until)
        now = asyncio.get_running_loop().time()
        if now >= until:
            # The loop was blocked meanwhile.
            self._give_back(lane)
            raise TurnTimeoutError
        return now

    async def _turn(self, lane: Lane, until: float) -> None:
        """Wait in a lane until the turn comes."""
        loop = asyncio.get_running_loop()
        paused_until = self.throttle.paused_until
        if paused_until >= until and paused_until > loop.time():
            raise TurnTimeoutError(paused_until - loop.time())
        waiter = Waiter(loop.create_future(), until)
        lane.waiting.append(waiter)
        if lane is not self._interactive and lane not in self._lanes:
            self._lanes.append(lane)
        self._dispatch()
        try:
            async with asyncio.timeout_at(until):
                await waiter.future
        except (asyncio.CancelledError, TimeoutError) as error:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                self._give_back(lane)
            if isinstance(error, TimeoutError):
                raise TurnTimeoutError(why=self._failure) from None
            raise

    def end(self, lane: Lane | None) -> None:
        """Give back the turn that `start` took."""
        lane = self._interactive if lane is None else lane
        lane.under_way -= 1
        self._under_way -= 1
        if self._interactive.waiting or self._lanes:
            self._dispatch()

    def _give_back(self, lane: Lane) -> None:
        """Give back a turn, with its permit, if no request was started in it."""
        self._has_permit = True
        self.end(lane)

    def throttled(self, started: float, retry_after: float | None) -> None:
        """Note a throttled answer; all calls pause, and those whose deadline is before its end are told at once."""
        now = asyncio.get_running_loop().time()
        known = max(now, self.throttle.paused_until)
        self.throttle.throttled(started, now, retry_after)
        if self._limits is not None and self.throttle.paused_until > known:
            try:
                self._limits.pause(self.throttle.paused_until - now)
            except Exception as error:  # noqa: BLE001 - this client pauses all the same
                warn("the limits could not be told of a pause: %s: %s", type(error).__name__, error)
        for lane in self._all_lanes():
            for waiter in lane.waiting:
                if waiter.until <= self.throttle.paused_until:
                    waiter.fail(TurnTimeoutError(self.throttle.paused_until - now))

    async def aclose(self) -> None:
        """Let no call wait any more: each gets its turn, and learns that the client is closed."""
        self._limits, self._has_permit = None, True
        self.closed.set()
        self._dispatch()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    def _ask_for_permit(self, waiter: Waiter) -> None:
        """Ask for a permit, as long as the call that is first now can wait."""
        if self._limits is not None and self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(_acquired(self._limits, waiter.until))
            self._asking.add_done_callback(partial(self._note_permit, waiter))

    def _note_permit(self, waiter: Waiter, asked: "asyncio.Task[None]") -> None:
        """Let the permit go to the call that is first by now; without one, fail the call for which it was asked."""
        self._asking = None
        error = NotSentError("the limits gave up") if asked.cancelled() else asked.exception()
        if self._limits is not None:
            self._has_permit = error is None
            self._failure = str(error) if isinstance(error, WorkorderError) else ""
            if error is not None:
                waiter.fail(error)
        self._dispatch()

    def _all_lanes(self) -> tuple[Lane, ...]:
        return (self._interactive, *self._lanes)

    def _has_room(self, lane: Lane) -> bool:
        """Tell whether a slot is free for a lane, and the lane has not its `width` of them."""
        slots = self.throttle.in_flight
        if lane is not self._interactive:
            slots -= self._reserved if slots > self._reserved else 0
        return self._under_way < slots and lane.under_way < lane.width

    def _seconds_to_next(self) -> float:
        """Return for how many seconds the rate, the pace or a pause lets no request start."""
        if self.closed.is_set() or (not self._interval and not self.throttle.count):
            return 0.0
        now = asyncio.get_running_loop().time()
        return max(0.0, self._next_start - now, self.throttle.paused_until - now)

    def _take(self, lane: Lane) -> None:
        """Count a request that starts in a lane, and set when the next one may start."""
        lane.under_way += 1
        self._under_way += 1
        self._has_permit = self._limits is None
        self._in_a_row = self._in_a_row + 1 if lane is self._interactive else 0
        if self._interval or self.throttle.count:
            now = asyncio.get_running_loop().time()
            learned = 1 / self.throttle.pace(now)
            # A timer is a little late. A learned pace makes up for that; a rate that was set is never exceeded.
            late = 0.0 if self._interval >= learned else min(learned, _LATE)
            self._next_start = max(now - late, self._next_start) + max(self._interval, learned)

    def _next_lane(self) -> Lane | None:
        """Return the lane whose first call may start."""
        if self._under_way >= self.throttle.in_flight:
            return None
        interactive, lanes = self._interactive if self._interactive.first() else None, self._lanes
        if interactive and self._in_a_row < _INTERACTIVE_IN_A_ROW:
            return interactive
        for _ in range(len(lanes)):
            lane = lanes[0]
            if lane.first() is None:
                lanes.popleft()
            elif self._has_room(lane):
                return lane
            else:
                lanes.rotate(-1)
        return interactive

    def _dispatch(self) -> None:
        """Give each call that may start its turn."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while (lane := self._next_lane()) is not None:
            wait = self._seconds_to_next()
            if wait:
                self._timer = asyncio.get_running_loop().call_later(wait, self._dispatch)
                return
            if not self._has_permit:
                self._ask_for_permit(lane.waiting[0])
                return
            waiter = lane.waiting.popleft()
            self._take(lane)
            waiter.future.set_result(None)
            if lane is not self._interactive:
                self._lanes.rotate(-1)


def warn(what: str, *about: object) -> None:
    """Write to the log, whose handlers are foreign code: nothing depends on them."""
    with suppress(Exception):
        logger.warning(what, *about)


async def _acquired(limits: Limits, until: float) -> None:
    """Wait for a permit. Raises `TurnTimeoutError` or a `WorkorderError`, and nothing else."""
    try:
        await limits.acquire(until)
    except (TurnTimeoutError, WorkorderError):
        raise
    except Exception as error:
        raise NotSentError(f"the limits failed, so nothing was sent: {type(error).__name__}: {error}") from error
