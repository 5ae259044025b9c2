"""Limits that several processes share over one Redis or Valkey: `WorkorderClient(limits=RedisLimits(...))`.

A turn is a moment at which one request may start. Turns lie in one queue for all clients, of which Redis keeps the time
of the next free turn (the algorithm is GCRA).

1. A client that wants to start a request reserves the next turn, by one script and on Redis's clock, and sleeps until
   that moment. A turn comes a fixed time after the turn before; after a rest up to `burst` turns come at once. If
   requests start more often than Redis can answer, a client reserves several turns at once, and keeps them for its next
   requests. A kept turn that no request takes until a quarter of a second after its moment is lost.
2. A throttled answer to one client sets a pause for all, in a key that expires. Another client that reserved a turn
   before the pause may still start one request in it, or use its kept turns for a quarter of a second; a client that
   slept longer for its turn asks Redis whether there is a pause before it starts.
3. If Redis has lost its data, the queue begins anew at the present moment. If Redis is silent, see `fallback`.
4. Stored values may be wrong: Redis's clock was set back, or another program wrote the keys. So the script moves the
   queue along with the clock, cuts a queue that is too long, and no client obeys a pause for longer than its own
   `longest_pause`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from attrs import define

from workorder_async.arguments import above_zero, has_bytes, whole
from workorder_async.errors import ConfigError, NotSentError
from workorder_async.extras import extra_module
from workorder_async.secret import Secret, without_credentials, without_frames
from workorder_async.wire.limits import TurnTimeoutError, warn

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisLimits"]

# The share of `rate` that is not used. Requests reach the API less evenly than they start: without this share a second
# would now and then hold more than `rate`.
_KEPT_BACK = 0.03
# The default `burst` is the turns of so many seconds: requests that start late can catch up by that many.
_BURST = 0.01
# Seconds without an answer after which Redis counts as silent.
_SILENCE = 1.0
# A client that slept for longer than this for its turn asks whether there is a pause before it starts.
_LONG_SLEEP = 0.25
# The largest number of microseconds that is handed to Redis, for "no limit": Lua's numbers are floats.
_MOST = 10**15
# A kept turn may be used for so many seconds after its moment.
_LATE = 0.25
# A stored queue with more turns than this is taken for wrong, and cut to it.
_LONGEST_QUEUE = 10_000

# KEYS[1] holds two times in microseconds: when it was stored, and the next free turn. KEYS[2] is the pause: the key
# expires at its end, and holds the time when it was last set. From that time each client knows when its own
# `longest_pause` is over. A pause without such a time, or with one in the future, that is too long is cut to
# `longest_pause` from now on. ARGV, in microseconds unless it says otherwise: 1 how far away a turn may be, 2 the
# distance between turns, 3 how much earlier a turn may come in a burst, 4 the number of turns, 5 the longest pause in
# milliseconds, 6 the longest queue.
# Returns the rest of the pause, and for each reserved turn how far away it is, all in microseconds.
_TURN = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local pause, longest = math.max(0, redis.call('PTTL', KEYS[2])), tonumber(ARGV[5])
local since = tonumber(redis.pcall('GET', KEYS[2])) or 0
if since > 1e15 and since <= now then
  pause = math.min(pause, math.max(0, math.floor(longest - (now - since) / 1000)))
elseif pause > longest then
  pause = longest
  redis.call('SET', KEYS[2], string.format('%.0f', now), 'PX', pause)
end
pause = pause * 1000
local stored, turn = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
turn = now + math.min(math.max(0, (turn or 0) - math.max(now, stored or 0)), tonumber(ARGV[6]))
local answer = {pause}
for number = 1, tonumber(ARGV[4]) do
  local at = math.max(now + pause, turn - ARGV[3])
  if at - now > tonumber(ARGV[1]) then break end
  turn = math.max(turn, at) + ARGV[2]
  answer[number + 1] = at - now
end
if #answer > 1 then
  local value = string.format('%.0f %.0f', now, turn)
  redis.call('SET', KEYS[1], value, 'PX', math.max(1, math.ceil((turn - now) / 1000)))
end
return answer
"""
# Sets a pause, and never makes a present one shorter. KEYS[1] is the pause as above, ARGV[1] its milliseconds.
_PAUSE = """
local time, pause = redis.call('TIME'), math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[1]))
redis.call('SET', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]), 'PX', pause)
"""

T = TypeVar("T")


class RedisLimits(AbstractAsyncContextManager["RedisLimits"]):
    """A rate that all clients with the same Redis and `name` keep together; needs the extra `redis`.

        async with RedisLimits("redis://10.0.0.5:6379", rate=100) as limits:
            async with WorkorderClient.from_env(limits=limits) as client:
                ...

    `url` is of one server, as redis-py takes it: redis://, rediss:// for TLS, or unix://. `rate` is in requests per
    second, of which 3 in 100 are kept back, so that no second holds more. All that share a `name` must give the same
    `rate` and `burst`. After a rest `burst` requests may start at once, by default one for each 100 of the rate; a
    second may then hold that many more. Each client keeps its own `rate`, lanes and pauses besides. A pause that
    another client asks for is obeyed for `longest_pause` seconds at most.

    If Redis is silent for longer than a second, calls fail with `NotSentError`: of those that wait, one each second. A
    call whose deadline comes first fails for that, and its text has the failure of Redis. With `fallback`, a share of
    the rate such as 1/3 for three processes, this process starts that share of the rate by itself, until Redis
    answers again; if other processes still reach Redis, that comes on top of their rate.

    One object is for one event loop and all clients in it; close it after them. Raises `ConfigError` for arguments that
    cannot work.
    """

    _where = ""
    # How many turns are reserved at once; the seconds in which Redis answers; when the last turn came, by the loop's
    # clock; how many pauses this process has set.
    _at_once, _round_trip, _last_turn, _pauses = 1, 0.0, 0.0, 0

    def __init__(
        self,
        url: str | Secret,
        *,
        rate: float,
        name: str = "workorder",
        burst: int | None = None,
        fallback: float | None = None,
        longest_pause: float = 300.0,
    ) -> None:
        # Before anything can fail: a traceback with locals would show it.
        url = Secret(url)
        rate = min(above_zero("rate", rate), 1e6) * (1 - _KEPT_BACK)
        burst = max(1, round(rate * _BURST)) if burst is None else whole("burst", burst)
        if not isinstance(name, str) or not name or set(name) & set("{}") or not has_bytes(name):
            mend = "it must be a text that begins the keys, without braces"
            raise ConfigError(f"is {name!r:.60}", argument="name", mend=mend)
        if fallback is not None and above_zero("fallback", fallback) > 1:
            mend = "it must be a share of the rate, such as 1/3"
            raise ConfigError(f"is {fallback}", argument="fallback", mend=mend)
        self._where = _server_of(url)
        if not self._where:
            raise ConfigError(
                "must be redis://[[USER]:PASSWORD@]HOST[:PORT][/NUMBER], rediss:// for TLS, or unix:///PATH, with %2F, "
                "%3F, %23 and %40 for /, ?, # and @ in a password; Valkey takes the same",
                argument="the URL of RedisLimits",
            )
        self._redis = _opened(url, self._where)
        # A cluster keeps keys with the same text in braces on one node, and a script needs both on one.
        self._keys = (f"{{{name}}}:turn", f"{{{name}}}:pause")
        apart = max(1, round(1e6 / rate))
        self._pacing = (apart, (burst - 1) * apart)
        self._apart = apart / 1e6
        self._longest_pause = min(above_zero("longest_pause", longest_pause), _MOST / 1e6)
        self._bounds = (max(1, round(self._longest_pause * 1000)), _LONGEST_QUEUE * apart)
        self._kept = deque[float]()  # turns that are reserved, by the loop's clock
        self._script = self._redis.register_script(_TURN)
        self._fallback = _Fallback(None if fallback is None else 1 / (rate * fallback))
        self._telling: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def acquire(self, until: float) -> None:
        """Return when one request may start; see `Limits`."""
        self._check_usable()
        if self._fallback.looking is None:
            try:
                return await self._shared_turn(until)
            except NotSentError as silent:
                if self._fallback.interval is None:
                    raise
                if self._fallback.looking is None:
                    why = _said_by(silent.__cause__)
                    warn("the limits at %s cannot be asked, so a share of the rate is used: %s", self._where, why)
                    self._fallback.looking = asyncio.get_running_loop().create_task(self._look())
        return await self._fallback.turn(until)

    def pause(self, seconds: float) -> None:
        """Let no client start a request for so many seconds."""
        self._check_usable()
        seconds = min(seconds, self._longest_pause)
        self._pauses += 1
        self._kept.clear()
        self._fallback.next_turn = max(self._fallback.next_turn, asyncio.get_running_loop().time() + seconds)
        telling = asyncio.get_running_loop().create_task(self._tell_of_pause(max(1, round(seconds * 1000))))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        self._closed = True
        if self._fallback.looking is not None:
            self._fallback.looking.cancel()
            await asyncio.wait([self._fallback.looking])
        await asyncio.gather(*self._telling)
        await self._redis.aclose()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"RedisLimits({self._where!r})"

    def _check_usable(self) -> None:
        if self._closed:
            raise ConfigError("these limits are closed", mend="close them after the clients that share them")
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise ConfigError("these limits belong to another event loop", mend="make them inside each asyncio.run()")

    async def _shared_turn(self, until: float) -> None:
        """Take a turn that is kept, or reserve one in Redis, and sleep until it comes."""
        loop = asyncio.get_running_loop()
        while True:
            while self._kept and self._kept[0] < loop.time() - _LATE:
                # Too late for this turn: more turns were reserved than requests came.
                self._kept.popleft()
                self._at_once = 1
            if not self._kept or self._kept[0] > until:
                await self._reserve(until)
            wait = max(0.0, self._kept.popleft() - loop.time())
            if loop.time() + wait > until:
                raise TurnTimeoutError
            await asyncio.sleep(wait)
            self._last_turn = loop.time()
            # After a long sleep ask whether there is a pause: -1 reserves no turn. In a pause this turn is lost.
            if wait < max(_LONG_SLEEP, self._round_trip) or (await self._answer(lambda: self._ask(-1)))[0] <= 0:
                return

    async def _reserve(self, until: float) -> None:
        """Reserve turns in Redis and keep them: more each time while requests come faster than Redis answers, else one.

        Raises `TurnTimeoutError` if no turn comes before `until`.
        """
        loop, pauses = asyncio.get_running_loop(), self._pauses
        if self._telling:
            # A pause of this process is on its way to Redis: a reservation must not overtake it.
            await asyncio.wait(self._telling)
        is_busy = loop.time() - self._last_turn <= self._round_trip and 2 * self._round_trip > self._apart
        most = ceil(min(8 * self._round_trip, _LONG_SLEEP) / self._apart)
        self._at_once = min(2 * self._at_once, most) if is_busy else 1
        # `until - loop.time()` is computed for each try of `_answer`, since the tries before took time.
        pause, *turns = await self._answer(lambda: self._ask(until - loop.time(), self._at_once))
        if not turns:
            raise TurnTimeoutError(pause)
        if self._pauses != pauses:
            # This process set a pause meanwhile: the turns after the first would fall into it.
            del turns[1:]
        self._kept = deque(sorted([*self._kept, *(loop.time() + away for away in turns)]))

    async def _ask(self, longest: float, turns: int = 1) -> list[float]:
        """Run the script: return the rest of the pause, and how far away each reserved turn is, in seconds.

        A turn may be at most `longest` seconds away; with a negative number none is reserved.
        """
        loop = asyncio.get_running_loop()
        most, asked = int(min(longest * 1e6, _MOST)), loop.time()
        answer = await self._script(self._keys, (most, *self._pacing, turns, *self._bounds))
        # A busy event loop makes an answer seem late: let the estimate grow by a fifth at most each time.
        took = loop.time() - asked
        self._round_trip = min(took, 1.2 * self._round_trip) if self._round_trip else took
        return [int(number) / 1e6 for number in answer]

    async def _answer(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the answer of Redis; ask again for a second. Raises `NotSentError` if it stays silent."""
        from redis import RedisError

        last: Exception = TimeoutError(f"no answer within {_SILENCE:g} s")
        with suppress(TimeoutError):
            async with asyncio.timeout(_SILENCE) as silence:
                # A timeout cancels only once, and that cancel can get lost in redis-py: without `expired()` the loop
                # would go on for ever.
                while not silence.expired():
                    try:
                        return await ask()
                    except (RedisError, OSError) as error:
                        last = error
                    await asyncio.sleep(0.05)
        raise NotSentError(
            f"nothing was sent: the limits at {self._where} cannot be asked ({_said_by(last)}); start that Redis, mend "
            "the URL of RedisLimits, or give it fallback= to go on with a share of the rate"
        ) from without_frames(last, causes=False)

    async def _tell_of_pause(self, milliseconds: int) -> None:
        try:
            await self._answer(lambda: self._redis.eval(_PAUSE, 1, self._keys[1], str(milliseconds)))
        except NotSentError as silent:
            warn("other processes could not be told of a pause: %s", _said_by(silent.__cause__))

    async def _look(self) -> None:
        """Ask Redis each second, and return when it answers again, which ends the fallback."""
        while self._fallback.looking is not None:
            await asyncio.sleep(1)
            with suppress(NotSentError):
                await self._answer(lambda: self._ask(-1))
                self._fallback.looking = None
        warn("the limits at %s answer again", self._where)


@define(eq=False)
class _Fallback:
    """The share of the rate that this process uses without Redis: a turn each `interval` seconds; None for no share."""

    interval: float | None
    next_turn: float = 0.0
    looking: asyncio.Task[None] | None = None  # for Redis, while it is silent

    async def turn(self, until: float) -> None:
        """Wait for the next turn. Raises `TurnTimeoutError` at once if it does not come before `until`."""
        now = asyncio.get_running_loop().time()
        at = max(now, self.next_turn)
        if at > until:
            raise TurnTimeoutError
        self.next_turn = at + (self.interval or 0.0)
        await asyncio.sleep(at - now)


def _said_by(error: BaseException | None) -> str:
    return without_credentials(f"{type(error).__name__}: {error}")


def _server_of(url: Secret) -> str:
    """Return a URL without user, password and options, to be shown; "" for a URL that is none of Redis.

    Raises nothing: the frames of an error would show the URL with its password.
    """
    with suppress(AttributeError, TypeError, ValueError):
        parts = urlsplit(url.reveal())
        astray = parts.fragment or "@" in parts.path + parts.query
        is_known = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0
        if not astray and (is_known or (parts.scheme == "unix" and parts.path)):
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return ""


def _opened(url: Secret, where: str) -> "Redis":
    """Return a client of redis-py that connects when it is first used, and retries nothing: `_answer` does."""
    extra_module("redis.asyncio", "redis", "RedisLimits")
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    # With a `socket_timeout` redis-py sends through `asyncio.wait_for`, which in Python 3.11 may lose a cancel.
    opened = partial(Redis.from_url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=_SILENCE, socket_timeout=None)
    with suppress(Exception):
        # redis-py checks the options only when it makes a connection object.
        opened(url.reveal()).connection_pool.make_connection()  # type: ignore[no-untyped-call]
        return opened(url.reveal())
    # No variable here holds the client: in a traceback with locals the `repr` of older versions' clients fails, too.
    raise ConfigError("has an option that redis-py does not take", argument=f"the URL of RedisLimits, of {where},")
