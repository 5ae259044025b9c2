"""One call: attempts until one is answered, or until another could do harm or would be of no use.

A call is encoded once and signed afresh for every attempt. The session knows endpoints, bytes and JSON values, never a
model. Every failure leaves it as a `WorkorderError` with the operation, the attempts and the request_id;
`CancelledError` passes.
"""

import asyncio
from collections.abc import Generator, Mapping
from random import Random
from types import coroutine
from typing import NoReturn

import aiohttp

from workorder_async.document import JSON
from workorder_async.document.endpoints import LIST_TICKETS, Endpoint
from workorder_async.document.envelope import Answer
from workorder_async.errors import DOCUMENTED_ERRNOS, ApiError, RateLimitedError, WorkorderError
from workorder_async.signing.clock import ServerClock
from workorder_async.signing.scheme import Signer
from workorder_async.wire.attempt import Opener, Pool, Reply, Wire, large, parsed_beside
from workorder_async.wire.bodies import Body, JsonBody
from workorder_async.wire.call import Call, Deadline, Query, Trial
from workorder_async.wire.limits import ClientStats, Lane, Limiter, TurnTimeoutError
from workorder_async.wire.observing import NOBODY, Watch, Watches
from workorder_async.wire.options import SessionOptions
from workorder_async.wire.retry import RetryBudget, RetryPolicy, says_nothing_happened

_SMALLEST_READ = b'{"page":1,"page_size":1}'
_ONCE = RetryPolicy(attempts=1)


class SignedSession:
    """Sends signed requests to one base URL over a pooled aiohttp session, its own or one brought along."""

    def __init__(
        self, base_url: str, signer: Signer, options: SessionOptions, http: aiohttp.ClientSession | None = None
    ) -> None:
        self.base_url = base_url
        self.clock: ServerClock = ServerClock(options.now)
        self.options: SessionOptions = options
        self.errnos: Mapping[int, type[ApiError]] = {**DOCUMENTED_ERRNOS, **options.errnos}
        self.limiter: Limiter = Limiter(
            options.max_in_flight, options.rate, longest_pause=options.longest_pause, limits=options.limits
        )
        self._budget = RetryBudget()
        self._random = Random()  # noqa: S311 - jitter, no secret
        self._pool = Pool(options, http)
        self.wire: Wire = Wire(base_url, signer, options, self.clock, self._pool)
        self._opener = Opener(options, self.errnos)
        self._watches = Watches(options.observers)

    def stats(self) -> ClientStats:
        """Return what is under way at this moment."""
        return self.limiter.stats()

    def deadline(self, seconds: float | None = None) -> Deadline:
        """Return when a call that begins now must have ended: after so many seconds, or after those of the client.

        Raises `ConfigError` for what is no number above 0.
        """
        if seconds is None:
            return Deadline(self.options.deadline, asyncio.get_running_loop().time() + self.options.deadline)
        return Deadline.after(seconds)

    @property
    def is_observed(self) -> bool:
        """Whether anybody is told of calls and attempts."""
        return self._watches.are_wanted

    def check_usable(self) -> None:
        """Raise `ConfigError` where the client is closed, or belongs to another event loop."""
        self._pool.check_usable()

    def served(self, started: float) -> None:
        """Note a successful answer to a request that was started then."""
        self.limiter.accepted(started)
        self._budget.earn()

    async def call(
        self,
        endpoint: Endpoint,
        *,
        query: Query = (),
        body: Body | None = None,
        lane: Lane | None = None,
        until: Deadline | None = None,
        attempts: int = 0,
        tried: float | None = None,
    ) -> Answer:
        """Send one request, repeat it where that does no harm, and return the platform's answer.

        Calls of one `lane` have only so many requests under way as it allows; a call without one goes before them.
        Where the call is part of a larger one, `until` is the deadline of that, and `attempts` how many were made
        before. Where it is to find out whether a clock is accepted, `tried` is that clock, and nothing is repeated.
        """
        self.check_usable()
        until = self.deadline() if until is None else until
        retry = self.options.retry if tried is None else _ONCE
        trial = Trial(self.clock, self.errnos, endpoint.safety, tried)
        call = Call(endpoint, query, body, lane, until, retry, trial, attempts)
        watch = self._watches.watch(call)
        try:
            answer = await self._repeat(call, watch)
        except BaseException as error:
            watch.call_ended(error)
            raise
        watch.call_ended(answer)
        return answer

    async def take_over(self, call: Call, started: float, outcome: Reply | BaseException) -> Answer:
        """Go on with a call whose first attempt, its turn given back, has come to this reply or this failure.

        The attempt was made for no observer.
        """
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            return await self._opened(call, started, outcome)
        except WorkorderError as error:
            await self._wait_for_next(call, NOBODY, error)
        return await self._repeat(call, NOBODY)

    def may_repeat(self, attempts: int) -> bool:
        """Take one more attempt from the budget, for a call that made so many; whether there is one."""
        return attempts < self.options.retry.attempts and self._budget.spend()

    async def aclose(self) -> None:
        """Close the connections; a session that was brought along stays open."""
        try:
            await self._pool.aclose()
        finally:
            await self.limiter.aclose()

    async def _repeat(self, call: Call, watch: Watch) -> Answer:
        """Make attempts until one is answered, or the call has failed for good."""
        while True:
            call.begin_waiting()
            try:
                started = await self.limiter.start(call.lane, call.deadline.until)
            except (TurnTimeoutError, WorkorderError) as error:
                fail(call, error)
            call.begin_attempt()
            watch.attempt_started()
            try:
                return await self._attempt(call, started)
            except WorkorderError as error:
                await self._wait_for_next(call, watch, error)

    async def _wait_for_next(self, call: Call, watch: Watch, raised: WorkorderError) -> None:
        """Wait until the next attempt may take its turn. Raises the call's failure where there is none."""
        watch.attempt_failed(raised)
        if isinstance(raised, RateLimitedError):
            call.turned_away = raised
            call.uncounted += 1
            watch.goes_on(None)
            return
        wait = await self._wait_before_next(call, raised)
        watch.goes_on(wait)
        call.turn_to("sleep")
        await asyncio.sleep(wait)

    async def _wait_before_next(self, call: Call, raised: WorkorderError) -> float:
        """Return the seconds until the next attempt. Raises the call's failure where there is none."""
        error = call.trial.told(raised)
        if await call.trial.has_another(error, lambda refused: self._reads_are_refused(call, refused)):
            call.uncounted += 1
            return 0.0
        wait = call.retry.wait(error, call.endpoint.safety, call.attempts - call.uncounted, self._random)
        left = call.deadline.left()
        if wait is None or wait >= left or not self._budget.spend():
            if wait is not None and error.retry_after and error.retry_after >= left:
                said = f"the server asks to wait {error.retry_after:,.0f} s, which is beyond the deadline"
                error.args = (f"{error.message}; {said} of {call.deadline.seconds:g} s",)
            fail(call, error)
        return wait

    async def _reads_are_refused(self, call: Call, refused: ApiError) -> bool:
        """Ask by the same clock for something that changes nothing; whether that is refused in the same way."""
        smallest, clock = JsonBody(_SMALLEST_READ), call.trial.used
        try:
            await self.call(LIST_TICKETS, body=smallest, lane=call.lane, until=call.deadline, tried=clock)
        except WorkorderError as error:
            return isinstance(error, ApiError) and error.errno == refused.errno
        return False

    async def _attempt(self, call: Call, started: float) -> Answer:
        """Make one attempt, whose turn has come, and give the turn back."""
        try:
            reply = await self.wire.exchange(call)
            if reply.is_opened_first:
                return self.open(call, started, reply)
        finally:
            self.limiter.end(call.lane)
        return await self._opened(call, started, reply)

    async def _opened(self, call: Call, started: float, reply: Reply) -> Answer:
        """Return what a reply holds, once its turn was given back."""
        if call.lane is not None:
            await two_turns()
        if not reply.is_large or reply.content is None:
            return self.open(call, started, reply)
        return large(self.open(call, started, reply, *await parsed_beside(reply.content)))

    def open(self, call: Call, started: float, reply: Reply, *parsed: JSON) -> Answer:
        """Return what a reply holds, and note what it says of clock and load."""
        try:
            answer = self._opener.open(reply, call.endpoint.operation, call.attempts, *parsed)
        except WorkorderError as error:
            if says_nothing_happened(error) and call.body is not None:
                call.body.note_turned_away()
            if isinstance(error, RateLimitedError):
                self.limiter.throttled(started, error.retry_after)
            else:
                self.limiter.accepted(started)
                call.trial.judge(error)
            raise
        self.served(started)
        call.trial.judge(None)
        return answer


@coroutine
def two_turns() -> Generator[None, None, None]:
    """Let the loop turn twice, for half of what two sleeps of 0 s cost.

    Pages that arrive together would else all be parsed before the next request is written, which aiohttp does two turns
    of the loop after its task begins.
    """
    yield
    yield


def fail(call: Call, error: WorkorderError | TurnTimeoutError) -> NoReturn:
    """Raise the failure of a call: what its last attempt came to, or why there is no turn for another one.

    Limits that refuse a turn have said why: another attempt is theirs to make.
    """
    if isinstance(error, TurnTimeoutError):
        throttled = bool(error.pause or call.turned_away)
        error = call.throttled(error.pause, call.turned_away) if throttled else call.too_late()
    final = call.final(error)
    raise final from final.__cause__
