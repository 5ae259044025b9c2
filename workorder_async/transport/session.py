"""One call: attempts until one is answered, or until another could do harm or would be of no use.

A call is encoded once and signed afresh for every attempt. The session knows endpoints, bytes and JSON values, never a
model. Every failure leaves it as a `WorkorderError` with the operation, the attempts and the request_id;
`CancelledError` passes.
"""

import asyncio
from random import Random

import aiohttp

from workorder_async.errors import DOCUMENTED_ERRNOS, ApiError, RateLimitedError, WorkorderError
from workorder_async.models import JSON
from workorder_async.protocol.endpoints import LIST_TICKETS, Endpoint
from workorder_async.protocol.envelope import Answer
from workorder_async.protocol.signing import Signer
from workorder_async.transport.bodies import Body, JsonBody
from workorder_async.transport.call import Call, Query
from workorder_async.transport.clock import ServerClock
from workorder_async.transport.deadline import Deadline
from workorder_async.transport.limits import ClientStats, Lane, Limiter, TurnTimeoutError
from workorder_async.transport.options import SessionOptions
from workorder_async.transport.pool import Pool
from workorder_async.transport.replies import Opener, Reply, large, parsed_beside
from workorder_async.transport.retry import RetryBudget, RetryPolicy, says_nothing_happened
from workorder_async.transport.trial import Trial
from workorder_async.transport.watching import Watch, Watches
from workorder_async.transport.wire import Wire

_SMALLEST_READ = b'{"page":1,"page_size":1}'
_ONCE = RetryPolicy(attempts=1)


class SignedSession:
    """Sends signed requests to one base URL over a pooled aiohttp session, its own or one brought along."""

    def __init__(
        self, base_url: str, signer: Signer, options: SessionOptions, http: aiohttp.ClientSession | None = None
    ) -> None:
        self.base_url = base_url
        self.clock: ServerClock = ServerClock(options.now)
        self._options = options
        self._errnos = {**DOCUMENTED_ERRNOS, **options.errnos}
        self._limiter = Limiter(
            options.max_in_flight, options.rate, longest_pause=options.longest_pause, limits=options.limits
        )
        self._budget = RetryBudget()
        self._random = Random()  # noqa: S311 - jitter, no secret
        self._pool = Pool(options, http)
        self._wire = Wire(base_url, signer, options, self.clock, self._pool)
        self._opener = Opener(options, self._errnos)
        self._watches = Watches(options.observers)

    def stats(self) -> ClientStats:
        """Return what is under way at this moment."""
        return self._limiter.stats()

    def deadline(self, seconds: float | None = None) -> Deadline:
        """Return when a call that begins now must have ended: after so many seconds, or after those of the client.

        Raises `ConfigError` for what is no number above 0.
        """
        return Deadline.after(self._options.deadline if seconds is None else seconds)

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
        self._pool.check_usable()
        until = self.deadline() if until is None else until
        retry = self._options.retry if tried is None else _ONCE
        trial = Trial(self.clock, self._errnos, endpoint.safety, tried)
        call = Call(endpoint, query, body, lane, until, retry, trial, attempts)
        watch = self._watches.watch(call)
        try:
            answer = await self._repeat(call, watch)
        except BaseException as error:
            watch.call_ended(error)
            raise
        watch.call_ended(answer)
        return answer

    def may_repeat(self, attempts: int) -> bool:
        """Take one more attempt from the budget, for a call that made so many; whether there is one."""
        return attempts < self._options.retry.attempts and self._budget.spend()

    async def aclose(self) -> None:
        """Close the connections; a session that was brought along stays open."""
        try:
            await self._pool.aclose()
        finally:
            await self._limiter.aclose()

    async def _repeat(self, call: Call, watch: Watch) -> Answer:
        """Make attempts until one is answered, or the call has failed for good."""
        throttled: RateLimitedError | None = None
        while True:
            call.begin_waiting()
            try:
                started = await self._limiter.start(call.lane, call.deadline.until)
            except TurnTimeoutError as late:
                ended = call.throttled(late.pause, throttled) if late.pause or throttled else call.too_late()
                final = call.final(ended)
                raise final from final.__cause__
            except WorkorderError as refused:
                # The limits say so, and not the wire: another attempt is theirs to make.
                final = call.final(refused)
                raise final from final.__cause__
            call.begin_attempt()
            watch.attempt_started()
            try:
                return await self._attempt(call, started)
            except RateLimitedError as turned_away:
                throttled = turned_away
                call.uncounted += 1
                watch.attempt_failed(turned_away)
                watch.goes_on(None)
                continue
            except WorkorderError as raised:
                watch.attempt_failed(raised)
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
            final = call.final(error)
            raise final from final.__cause__
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
            reply = await self._wire.exchange(call)
            if reply.is_opened_first:
                return self._open(call, reply, started)
        finally:
            self._limiter.end(call.lane)
        if call.lane is not None:
            # Pages that arrive together would all be parsed before the next request is written, which aiohttp does two
            # turns of the loop after its task begins.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if not reply.is_large or reply.content is None:
            return self._open(call, reply, started)
        return large(self._open(call, reply, started, *await parsed_beside(reply.content)))

    def _open(self, call: Call, reply: Reply, started: float, *parsed: JSON) -> Answer:
        """Return what a reply holds, and note what it says of clock and load."""
        try:
            answer = self._opener.open(reply, call.endpoint.operation, call.attempts, *parsed)
        except WorkorderError as error:
            if says_nothing_happened(error) and call.body is not None:
                call.body.note_turned_away()
            if isinstance(error, RateLimitedError):
                self._limiter.throttled(started, error.retry_after)
            else:
                self._limiter.accepted(started)
                call.trial.judge(error)
            raise
        self._limiter.accepted(started)
        self._budget.earn()
        call.trial.judge(None)
        return answer
