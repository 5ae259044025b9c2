"""One call: attempts until one is answered, or until another could do harm or would be of no use.

A call is encoded once and signed afresh for every attempt. The session knows endpoints, bytes and JSON values, never a
model. Every failure leaves it as a `WorkorderError` with the operation, the attempts and the request_id, an error of
foreign code (a signer, a clock, a callback) as its cause; `CancelledError` passes.
"""

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from random import Random
from types import coroutine
from typing import NoReturn

from attrs import evolve

from workorder_async.document import JSON
from workorder_async.document.endpoints import GET_TICKET_DETAIL, LIST_TICKETS, Endpoint, Safety
from workorder_async.document.envelope import Answer, not_the_platforms, open_envelope
from workorder_async.document.json_text import LARGE, loads, parse_slowly
from workorder_async.errors import (
    DOCUMENTED_ERRNOS,
    DeadlineExceededError,
    Meaning,
    RateLimitedError,
    WorkorderError,
)
from workorder_async.signing.clock import ServerClock
from workorder_async.signing.scheme import Signer
from workorder_async.wire.attempt import Pool, Reply, Wire, retry_after
from workorder_async.wire.bodies import Body, JsonBody
from workorder_async.wire.call import (
    Call,
    Deadline,
    Query,
    RetryPolicy,
    ending_call,
    is_refusal,
    is_turned_away,
)
from workorder_async.wire.clock_trial import ClockTrial
from workorder_async.wire.limits import Lane, Limiter, TurnTimeoutError
from workorder_async.wire.observing import Watch, Watches
from workorder_async.wire.options import ClientOptions

_SMALLEST_READ = b'{"page":1,"page_size":1}'
# A shorter body is parsed at once, before its slot is given back.
_SHORT = 1024
# Spare attempts of a client, at the most. A repeated attempt costs one, and each answer earns half of one. So an outage
# does not multiply the load: when nothing answers any more, repeating stops.
_MOST_SPARE, _EARNED = 50.0, 0.5
# A large answer that came in time may be parsed for so many seconds, even past the deadline.
_PARSING = 1.0


class SignedSession:
    """Sends signed requests to one base URL over a pooled aiohttp session, its own or one brought along.

    `options` are complete, as `client_options` returns them.
    """

    def __init__(self, base_url: str, signer: Signer, options: ClientOptions) -> None:
        self.base_url = base_url
        self.options: ClientOptions = options
        self.clock: ServerClock = ServerClock(options["now"])
        self.retry: RetryPolicy = options["retry"] or RetryPolicy()
        self.errnos: Mapping[int, Meaning] = {**DOCUMENTED_ERRNOS, **(options["errnos"] or {})}
        self.limiter: Limiter = Limiter(
            options["max_in_flight"], options["rate"], longest_pause=options["longest_pause"], limits=options["limits"]
        )
        self._spare_attempts = _MOST_SPARE
        self._random = Random()  # noqa: S311 - jitter, no secret
        self._pool = Pool(base_url, options)
        self.check_usable: Callable[[], None] = self._pool.check_usable
        self._wire = Wire(base_url, signer, options, self.clock, self._pool)
        self._watches = Watches(options["observers"], base_url)

    def deadline(self, seconds: float | None = None) -> Deadline:
        """Return when a call that begins now must have ended: after so many seconds, or after those of the client.

        Raises `ConfigError` unless it is a number above 0.
        """
        return Deadline.after(self.options["deadline"] if seconds is None else seconds)

    async def call(
        self,
        endpoint: Endpoint,
        *,
        query: Query = (),
        body: Body | None = None,
        lane: Lane | None = None,
        until: Deadline | None = None,
        attempts: int = 0,
    ) -> Answer:
        """Send one request, repeat it where that does no harm, and return the platform's answer.

        Calls of one `lane` have only so many requests under way as it allows; a call without one goes before them.
        Where the call is part of a larger one, `until` is the deadline of that, and `attempts` how many were made
        before.
        """
        self.check_usable()
        until = self.deadline() if until is None else until
        time = asyncio.get_running_loop().time
        trial = ClockTrial(self.clock, self.errnos, endpoint.safety is not Safety.READ)
        call = Call(endpoint, query, body, lane, until, self.retry, self.clock, trial, time, time(), attempts)
        watch = self._watches.watch(call)
        try:
            while True:
                try:
                    started = await self.limiter.start(lane, call.deadline.until)
                except (TurnTimeoutError, WorkorderError) as error:
                    _fail(call, error)
                call.begin_attempt()
                if watch is not None:
                    watch.attempt_started()
                try:
                    answer = await self._attempt(call, started)
                    break
                except Exception as error:  # noqa: BLE001 - foreign code: no error of it hides what is known
                    raised = error if isinstance(error, WorkorderError) else call.interrupted(error)
                    await self._wait_for_next(call, watch, raised)
        except BaseException as error:
            if watch is not None:
                watch.call_ended(error)
            raise
        if watch is not None:
            watch.call_ended(answer)
        return answer

    def may_repeat(self, attempts: int) -> bool:
        """Take a spare attempt for a call that has made so many attempts; return whether there was one."""
        if attempts >= self.retry.attempts or self._spare_attempts < 1:
            return False
        self._spare_attempts -= 1
        return True

    def _earn(self) -> None:
        self._spare_attempts = min(_MOST_SPARE, self._spare_attempts + _EARNED)

    async def pause(self, seconds: float) -> bool:
        """Wait so many seconds, or until the client is closed; return whether it is still open."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.limiter.closed.wait()
        return not self.limiter.closed.is_set()

    async def aclose(self) -> None:
        """Close the connections; a session that was brought along stays open."""
        try:
            await self._pool.aclose()
        finally:
            await self.limiter.aclose()

    async def _wait_for_next(self, call: Call, watch: Watch | None, raised: WorkorderError) -> None:
        """Wait until the next attempt may take its turn. Raises the call's failure where there is none."""
        wait = None
        try:
            wait = await self._wait_before_next(call, raised)
        finally:
            if watch is not None:
                pause = self.limiter.stats().paused
                is_put_off = isinstance(raised, RateLimitedError) and pause < call.deadline.left()
                watch.attempt_ended(raised, pause if is_put_off else wait)
        if wait is not None:
            call.turn_to("sleep")
            await self.pause(wait)
        call.sent = False
        call.turn_to("queue")

    async def _wait_before_next(self, call: Call, raised: WorkorderError) -> float | None:
        """Return the seconds until the next attempt; None after a throttled answer, whose pause the limiter keeps.

        Raises the call's failure where there is no other attempt.
        """
        if isinstance(raised, RateLimitedError):
            call.turned_away = raised
            call.uncounted += 1
            return None
        error = call.trial.try_another(raised)
        if error is None:
            call.uncounted += 1
            return 0.0
        if call.trial.is_in_doubt(error):
            await self._find_clock(call, error)
        made, left = call.attempts - call.uncounted, call.deadline.left()
        wait = call.retry.wait(error, call.endpoint.safety, made, self._random)
        if wait is None or wait >= left or not self.may_repeat(made):
            if wait is not None and error.retry_after and error.retry_after >= left:
                said = f"the server asks to wait {error.retry_after:,.0f} s, which is beyond the deadline"
                error.args = (f"{error.message}; {said} of {call.deadline.seconds:g} s",)
            _fail(call, error)
        return wait

    async def _find_clock(self, call: Call, error: WorkorderError) -> None:
        """Let a read find the clock that is accepted, for the calls that follow, and let the error say so.

        A read may be signed again after an unknown errno, and a mutation may not.
        """
        reads: list[tuple[Endpoint, Query, Body | None]] = [(LIST_TICKETS, (), JsonBody(_SMALLEST_READ))]
        if isinstance(call.body, JsonBody) and call.body.ticket_id:
            # Rights are given endpoint by endpoint: an AppId may have none to the list.
            reads.append((GET_TICKET_DETAIL, (("id", str(call.body.ticket_id)),), None))
        for endpoint, query, body in reads if self.clock.signing_offset == call.trial.used else ():
            with suppress(WorkorderError):
                await self.call(endpoint, query=query, body=body, lane=call.lane, until=call.deadline)
                break
        if self.clock.signing_offset != call.trial.used:
            said = "another clock signs from now on, for a read by the one before was refused"
            mend = "if this errno means a refused signature, map it to AuthenticationError"
            mend += " (errnos=, WORKORDER_ERRNOS), and send it again"
            error.args = (f"{error.message}; {said}; {mend}",)

    async def _attempt(self, call: Call, started: float) -> Answer:
        """Make one attempt, whose turn has come, and give the turn back."""
        try:
            reply = await self._wire.exchange(call)
            content = reply.content
            if content is None or len(content) < _SHORT or reply.status != 200:
                # It may say "too many requests": that must be known before its slot is somebody else's.
                return self._open(call, started, reply)
        finally:
            self.limiter.end(call.lane)
        if call.lane is not None:
            await _two_turns()
        parsed: list[JSON] = []
        if len(content) <= LARGE:
            with suppress(ValueError):
                parsed = [loads(content)]
        if not parsed:
            # In a thread, where it does not hold up the event loop. Bytes that are no JSON stay unparsed.
            try:
                async with asyncio.timeout(max(call.deadline.left(), _PARSING)):
                    with suppress(ValueError, RecursionError):
                        parsed = [await asyncio.to_thread(parse_slowly, content)]
            except TimeoutError as error:
                raise call.too_late() from error
        answer = self._open(call, started, reply, *parsed)
        return evolve(answer, large=True) if len(content) > LARGE else answer

    def _open(self, call: Call, started: float, reply: Reply, *parsed: JSON) -> Answer:
        """Return the answer in a reply, or raise the error that it means; note the clock and the load that it shows.

        `parsed` is the body as JSON. A large body without it is not the platform's.
        """
        status, content, now = reply.status, reply.content, asyncio.get_running_loop().time()
        try:
            if content is None:
                what = f"a body of more than {self.options['max_body']:,} bytes (max_body)"
                raise not_the_platforms(status, b"", what)
            if len(content) > LARGE and not parsed:
                raise not_the_platforms(status, content)
            operation, location = call.endpoint.operation, reply.location
            answer = open_envelope(
                status, content, self.errnos, *parsed, location=location, operation=operation, attempts=call.attempts
            )
        except WorkorderError as error:
            said = retry_after(reply.retry_after, reply.date, reply.received)
            error.retry_after = None if said is None else min(said, self.options["longest_pause"])
            if isinstance(error, RateLimitedError):
                self.limiter.throttled(started, error.retry_after)
            else:
                self.limiter.throttle.accepted(started, now)
                if is_refusal(error):
                    self._earn()
            told = call.body.on_turned_away if isinstance(call.body, JsonBody) else None
            if told is not None and is_turned_away(error):
                with ending_call(f"turned away ({error.message}), so nothing happened, and on_turned_away failed"):
                    told()
            raise
        self.limiter.throttle.accepted(started, now)
        self._earn()
        call.trial.keep()
        return answer


@coroutine
def _two_turns() -> Generator[None, None, None]:
    """Let the loop turn twice, for half the cost of two sleeps of 0 s.

    Pages that arrive together would else all be parsed before the next request is written, which aiohttp does two turns
    of the loop after its task begins.
    """
    yield
    yield


def _fail(call: Call, error: WorkorderError | TurnTimeoutError) -> NoReturn:
    """Raise the failure of a call: the error of its last attempt, or the reason that there is no time for another.

    A call that was turned away until its deadline says so, whether that ends it in a queue, a pause or an attempt.
    """
    pause = 0.0
    if isinstance(error, TurnTimeoutError):
        pause, error = error.pause, call.too_late(error.why)
    late = any(isinstance(one, DeadlineExceededError) for one in (error, error.__cause__))
    if pause or (late and call.turned_away and not call.sent):
        error = call.throttled(pause, call.turned_away)
    final = call.final(error)
    raise final from final.__cause__
