"""One call on the wire: sign, send, read, open the envelope; again where another attempt can do no harm.

A call is encoded once and signed afresh for every attempt. The session knows endpoints, bytes and JSON values, never a
model. Every failure leaves it as a `WorkorderError` with the operation, the attempts and the request_id;
`CancelledError` passes.

Time stamps are of our own clock. A signature that was refused is made once more by the clock that the answer's `Date`
tells, where that is another one; if that is accepted, the session keeps it. Where a clock that was kept is refused, our
own is tried before another one. A mutation is signed again only where the refusal is known to be of the signature; of
an errno without a known meaning a READ with the same clock tells.
"""

import asyncio
import logging
import sys
import warnings
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from random import Random
from urllib.parse import urlsplit

import aiohttp
from attrs import evolve

from workorder_async.errors import (
    DOCUMENTED_ERRNOS,
    ApiError,
    AuthenticationError,
    ConfigError,
    NoAnswerError,
    NotSentError,
    RateLimitedError,
    WorkorderError,
)
from workorder_async.models import JSON
from workorder_async.protocol.endpoints import LIST_TICKETS, Endpoint, Safety
from workorder_async.protocol.envelope import Answer, not_the_platforms, open_envelope
from workorder_async.protocol.headers import retry_after
from workorder_async.protocol.large_json import LARGE, parse_large
from workorder_async.protocol.signing import Signer, SigningInput
from workorder_async.secret import without_credentials, without_frames
from workorder_async.transport.attempt_limit import AttemptLimit
from workorder_async.transport.bodies import Body, JsonBody
from workorder_async.transport.call import Call, Query, reason
from workorder_async.transport.clock import ServerClock
from workorder_async.transport.limits import ClientStats, Lane, Limiter, TurnTimeoutError
from workorder_async.transport.options import SessionOptions
from workorder_async.transport.retry import RetryBudget, says_nothing_happened

logger = logging.getLogger("workorder_async")
logger.addHandler(logging.NullHandler())

# A client that is left open may be collected in one heap with its aiohttp session; kept here, the session goes last, so
# that the one warning is ours.
_KEPT: set[aiohttp.ClientSession] = set()
_USER_AGENT = "workorder_async"
# An answer that shows our clock this wrong explains a refused signature; less is within what servers allow.
_CLOCK_TOLERANCE = 5.0
_READ_HEADERS = ("Date", "Retry-After", "Location")
_SMALLEST_READ = b'{"page":1,"page_size":1}'
# Shorter than any page of tickets.
_SHORT = 1024
_NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


class SignedSession:
    """Sends signed requests to one base URL over a pooled aiohttp session, its own or one brought along."""

    def __init__(
        self, base_url: str, signer: Signer, options: SessionOptions, http: aiohttp.ClientSession | None = None
    ) -> None:
        self.base_url = base_url
        self._base_path = urlsplit(base_url).path
        self.clock = ServerClock(options.now)
        self._signer = signer
        self._options = options
        self._errnos = {**DOCUMENTED_ERRNOS, **options.errnos}
        self._limiter = Limiter(options.max_in_flight, options.rate, longest_pause=options.longest_pause)
        self._budget = RetryBudget()
        self._random = Random()  # noqa: S311 - jitter, no secret
        self._http = http
        self._owns_http = http is None
        self._may_know_proxy = options.proxy is not None or options.trust_env or http is not None
        # The session keeps time itself, so that its errors can say where the time went. In its own pool there is a
        # place for every slot; in one that was brought along a call may wait for one, which is no connecting.
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=options.connect_timeout if http is None else None, sock_connect=options.connect_timeout
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._made_at = _caller()

    def stats(self) -> ClientStats:
        """Return what is under way at this moment."""
        return self._limiter.stats()

    def deadline(self) -> float:
        """Return when a call that begins now must have ended, by the event loop's clock."""
        return asyncio.get_running_loop().time() + self._options.deadline

    async def call(
        self,
        endpoint: Endpoint,
        *,
        query: Query = (),
        body: Body | None = None,
        lane: Lane | None = None,
        until: float | None = None,
        attempts: int = 0,
    ) -> Answer:
        """Send one request, repeat it where that does no harm, and return the platform's answer.

        Calls of one `lane` have only so many requests under way as it allows; a call without one goes before them.
        Where the call is part of a larger one, `until` is the deadline by the event loop's clock, and `attempts` how
        many were made before.
        """
        self._check_usable()
        until = self.deadline() if until is None else until
        call = Call(endpoint, query, body, lane, self._options.deadline, until, attempts)
        throttled: RateLimitedError | None = None
        while True:
            call.attempts += 1
            try:
                return await self._attempt(call)
            except TurnTimeoutError as late:
                # Its turn did not come, so this attempt was not started.
                call.attempts -= 1
                ended = call.throttled(late.pause, throttled) if late.pause or throttled else call.too_late()
                final = call.final(ended)
                raise final from final.__cause__
            except RateLimitedError as turned_away:
                throttled = turned_away
                call.uncounted += 1
                continue
            except WorkorderError as raised:
                error = self._after_trial(call, raised)
                wait = 0.0 if await self._signs_again(call, error) else self._wait_before_next(call, error)
                why = reason(error)
            logger.info("%s: %s; attempt %d in %.2f s", call.endpoint.operation, why, call.attempts + 1, wait)
            call.turn_to("sleep")
            await asyncio.sleep(wait)

    # After a failure

    def _after_trial(self, call: Call, error: WorkorderError) -> WorkorderError:
        """Return the refusal that another clock was tried for, where that one is refused as well: it says why."""
        if call.trial is None or call.refusal is None or not isinstance(error, ApiError):
            return error
        known = isinstance(error, AuthenticationError)
        if not known and error.errno in self._errnos:
            return error
        call.trial = None
        if not known and call.endpoint.safety is not Safety.READ:
            call.clocks = ()
        return call.refusal

    async def _signs_again(self, call: Call, error: WorkorderError) -> bool:
        """Tell whether the signature was refused for our clock's sake, and set the clock to try next."""
        if call.refusal is None and isinstance(error, ApiError):
            await self._consider_clocks(call, error)
        if not call.clocks or call.trial is not None or error is not call.refusal:
            return False
        call.trial, *left = call.clocks
        call.clocks = tuple(left)
        call.uncounted += 1
        return True

    async def _consider_clocks(self, call: Call, error: ApiError) -> None:
        """Note a refusal that may be of the clock, and which to try: our own if it was set aside, the server's."""
        used, seen = call.offset, call.seen
        if seen is None or abs(seen - used) <= _CLOCK_TOLERANCE:
            return
        blamed = isinstance(error, AuthenticationError)
        if not blamed and type(error) is ApiError and error.errno not in self._errnos:
            blamed = call.endpoint.safety is Safety.READ or await self._reads_are_refused(call, error)
        if blamed:
            call.refusal = error
            call.clocks = (seen,) if used == 0 or abs(seen) <= _CLOCK_TOLERANCE else (0.0, seen)

    async def _reads_are_refused(self, call: Call, error: ApiError) -> bool:
        """Ask by the same clock for something that changes nothing; whether that is refused in the same way.

        If it is, the refusal was of the signature. If it is served, the errno is about the mutation, and says nothing
        of what happened.
        """
        read = Call(LIST_TICKETS, (), JsonBody(_SMALLEST_READ), call.lane, call.deadline, call.until, trial=call.offset)
        try:
            await self._attempt(read)
        except (WorkorderError, TurnTimeoutError) as refused:
            return isinstance(refused, ApiError) and refused.errno == error.errno
        return False

    def _wait_before_next(self, call: Call, error: WorkorderError) -> float:
        policy = self._options.retry
        wait = policy.wait(error, call.endpoint.safety, call.attempts - call.uncounted, self._random)
        if wait is None or wait >= call.left() or not self._budget.spend():
            if wait is not None and error.retry_after and error.retry_after >= call.left():
                said = f"the server asks to wait {error.retry_after:,.0f} s, which is beyond the deadline"
                error.args = (f"{error.message}; {said} of {call.deadline:g} s",)
            final = call.final(error)
            raise final from final.__cause__
        return wait

    # One attempt

    async def _attempt(self, call: Call) -> Answer:
        call.sent = False
        call.turn_to("queue")
        await self._limiter.start(call.lane, call.until)
        started = asyncio.get_running_loop().time()
        try:
            # A turn that comes as the time runs out is of no use.
            if started >= call.until:
                raise TurnTimeoutError
            call.turn_to("request")
            timeout = asyncio.timeout(None)
            limit = AttemptLimit(timeout)
            try:
                async with timeout:
                    status, headers, content = await self._exchange(call, limit)
            except TimeoutError as error:
                if not timeout.expired():
                    raise
                late = self._out_of_time(call, limit)
                raise late from late.__cause__ or error
            finally:
                limit.cancel()
            # Whatever refuses may say "too many requests": that must be known before the slot is somebody else's.
            if content is None or len(content) < _SHORT or status != 200:
                return self._open(call, status, headers, content, started)
        finally:
            self._limiter.end(call.lane)
        if call.lane is not None:
            # Pages that arrive together would all be parsed before the next request is written, which aiohttp does two
            # turns of the loop after its task begins.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if len(content) <= LARGE:
            return self._open(call, status, headers, content, started)
        try:
            parsed: tuple[JSON, ...] = (await asyncio.to_thread(parse_large, content),)
        except (ValueError, RecursionError):
            parsed = ()
        return evolve(self._open(call, status, headers, content, started, *parsed), large=True)

    def _open(
        self, call: Call, status: int, headers: Mapping[str, str], content: bytes | None, started: float, *parsed: JSON
    ) -> Answer:
        """Return what a successful answer holds, and note what it says of clock and load.

        `content` is None where it was too much to be read. A large one was parsed before, where it could be.
        """
        try:
            if content is None:
                what = f"a body of more than {self._options.max_body:,} bytes (max_body)"
                raise not_the_platforms(status, b"", what)
            if len(content) > LARGE and not parsed:
                raise not_the_platforms(status, content)
            answer = open_envelope(
                status,
                content,
                self._errnos,
                *parsed,
                location=headers.get("Location", ""),
                operation=call.endpoint.operation,
                attempts=call.attempts,
            )
        except WorkorderError as error:
            said = retry_after(headers.get("Retry-After"), headers.get("Date"), self.clock.local())
            error.retry_after = None if said is None else min(said, self._options.longest_pause)
            self._log(call, f"{status} {reason(error)}", error.request_id, started)
            if says_nothing_happened(error) and call.body is not None:
                call.body.note_turned_away()
            if isinstance(error, RateLimitedError):
                self._limiter.throttled(started, error.retry_after)
            else:
                self._limiter.accepted(started)
                self._note_signature(call, error)
            raise
        self._limiter.accepted(started)
        self._budget.earn()
        if call.trial is not None:
            self._note_signature(call)
        self._log(call, f"{status} ok", answer.request_id, started)
        return answer

    def _note_signature(self, call: Call, error: WorkorderError | None = None) -> None:
        """Keep the clock that was tried where its signature was accepted."""
        known = error is None or (isinstance(error, ApiError) and error.errno in self._errnos)
        if call.trial is not None and call.refusal is not None and known and not isinstance(error, AuthenticationError):
            self.clock.signing_offset, call.trial = call.trial, None

    async def _exchange(self, call: Call, limit: AttemptLimit) -> tuple[int, Mapping[str, str], bytes | None]:
        """Sign, send and read one attempt; once it is signed, the limit of an attempt counts as well."""

        def note_write() -> None:
            call.sent = True
            if call.body is not None and not call.body.in_memory:
                # A large file may take its time, as long as the server takes it: both limits count from its last byte.
                call.until = max(call.until, asyncio.get_running_loop().time() + self._options.deadline)
                self._limit_attempt(call, limit)

        if call.body is not None and not call.body.in_memory:
            limit.set(call.until, ends_call=True)
        payload = None if call.body is None else await call.body.payload(note_write)
        signed = await self._sign(call)
        sent_at = self.clock.local()
        call.began = call.began or sent_at
        self._limit_attempt(call, limit)
        failure: BaseException
        try:
            status, headers, content = await self._transfer(call, limit, payload, signed)
        except BaseException as error:  # noqa: BLE001 - raised below, cancellation too
            failure = self._told(call, error)
        else:
            call.seen = self.clock.observe(headers.get("Date"), sent_at, self.clock.local())
            return status, headers, content
        # Outside the `except`, or the error that was caught would be its context.
        try:
            raise failure
        finally:
            del failure  # which knows this frame

    async def _transfer(
        self, call: Call, limit: AttemptLimit, payload: aiohttp.Payload | None, signed: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes | None]:
        """Write a request and read its answer. No error may keep the frames from here on: they know the proxy."""
        async with self._opened().request(
            call.endpoint.method,
            self.base_url + call.endpoint.path,
            params=call.query or None,
            data=payload,
            headers={"User-Agent": _USER_AGENT, "Accept": "application/json", **signed},
            allow_redirects=False,
            proxy=None if self._options.proxy is None else self._options.proxy.reveal(),
            ssl=self._options.ssl,
            timeout=self._timeout,
        ) as response:
            content = await self._read(response, limit)
        headers = {name: response.headers[name] for name in _READ_HEADERS if name in response.headers}
        if "Location" in headers:
            headers["Location"] = without_credentials(headers["Location"])
        return response.status, headers, content

    def _told(self, call: Call, error: BaseException) -> BaseException:
        """Return what is raised for a failure on the wire: without the frames, which hold the proxy's password.

        Where a proxy may be known, without its cause as well: aiohttp's errors have the proxy's URL in their fields.
        """
        causes = not self._may_know_proxy
        if not isinstance(error, aiohttp.ClientError | OSError):
            return without_frames(error, causes=causes)
        if call.body is not None and call.body.failure is not None:
            return without_frames(call.body.failure, causes=causes)
        lost = self._lost(call, f"{type(error).__name__}: {error}", error)
        if causes:
            lost.__cause__ = without_frames(error, causes=True)
        return lost

    async def _read(self, response: aiohttp.ClientResponse, limit: AttemptLimit) -> bytes | None:
        """Read a body, unpacked piece by piece, so that no more than is allowed is ever held; None where it is more."""
        pieces: list[bytes] = []
        size = response.content_length or 0
        while size <= self._options.max_body:
            piece = await response.content.readany()
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            limit.note(len(piece))
            size = limit.received
        response.close()
        return None

    def _out_of_time(self, call: Call, limit: AttemptLimit) -> WorkorderError:
        if limit.ends_call:
            return call.too_late()
        return self._lost(call, f"nothing for {self._options.attempt_timeout:g} s")

    def _limit_attempt(self, call: Call, limit: AttemptLimit) -> None:
        """Let an attempt that begins now, or begins anew with another piece, end in time for itself and its call."""
        until = asyncio.get_running_loop().time() + self._options.attempt_timeout
        limit.set(min(call.until, until), ends_call=call.until <= until)

    async def _sign(self, call: Call) -> Mapping[str, str]:
        call.offset = self.clock.signing_offset if call.trial is None else call.trial
        request = SigningInput(
            method=call.endpoint.method,
            path=self._base_path + call.endpoint.path,
            query=call.query,
            body=() if call.body is None else call.body,
            timestamp_ms=int((self.clock.local() + call.offset) * 1000),
        )
        if call.body is not None and not call.body.in_memory and getattr(self._signer, "signs_body", True):
            signed = await asyncio.to_thread(self._signer.sign, request)
        else:
            signed = self._signer.sign(request)
        if not isinstance(signed, Mapping):
            if isinstance(signed, Coroutine):
                signed.close()
            raise ConfigError(
                f"the signer's sign returned a {type(signed).__name__}; it must return a dict of headers, "
                "and be no `async def`"
            )
        return signed

    def _lost(self, call: Call, why: str, error: Exception | None = None) -> WorkorderError:
        """Turn a failure of the network into the error that says whether anything was sent."""
        why = without_credentials(" ".join(why.replace(" ssl:default", "").split())).rstrip(":")
        if isinstance(error, _NOT_CONNECTED) or (call.body is not None and not call.sent):
            secured = ", the certificate, and whether https is spoken there" if self.base_url[:6] == "https:" else ""
            mend = f"check the host, the network and the proxy{secured}"
            return NotSentError(f"could not send to {self.base_url}: {why}; {mend}")
        return NoAnswerError(f"no complete answer from {self.base_url}: {why}")

    def _log(self, call: Call, outcome: str, request_id: str, started: float) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            seconds = asyncio.get_running_loop().time() - started
            operation = call.endpoint.operation
            logger.debug("%s: attempt %d, %s, %s, %.3f s", operation, call.attempts, outcome, request_id, seconds)

    def _check_usable(self) -> None:
        if self._closed:
            raise ConfigError("this client is closed; make another one")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ConfigError("this client belongs to another event loop; make one inside each asyncio.run()")

    def _opened(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._options.max_in_flight),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=self._options.trust_env,
            )
            # aiohttp would send a GET whose connection broke once more by itself, unsigned anew and uncounted.
            self._http._retry_connection = False
            _KEPT.add(self._http)
        elif self._http.closed:
            # Its own is closed by `aclose`, and what still waited for a slot comes here.
            what = "this client" if self._owns_http else "the session that was brought along"
            raise ConfigError(f"{what} is closed; make another client{'' if self._owns_http else ' with an open one'}")
        return self._http

    def may_repeat(self, attempts: int) -> bool:
        """Take one more attempt from the budget, for a call that made so many; whether there is one."""
        return attempts < self._options.retry.attempts and self._budget.spend()

    async def aclose(self) -> None:
        """Close the connections; a session that was brought along stays open."""
        self._closed = True
        if self._http is not None and self._owns_http:
            _KEPT.discard(self._http)
            await self._http.close()

    def __del__(self) -> None:
        http: aiohttp.ClientSession | None = getattr(self, "_http", None)
        if http is None or not self._owns_http or http.closed:
            return
        warnings.warn(
            f"a WorkorderClient made at {self._made_at} was left open; use `async with` or `await client.aclose()`",
            ResourceWarning,
            source=self,
            stacklevel=1,
        )
        _KEPT.discard(http)
        connector = http.connector
        http.detach()
        if connector is not None:
            # Nothing can be awaited here: one step of the coroutine closes the sockets, which is all that is left to
            # do, and keeps aiohttp from warning of the same once more.
            with suppress(StopIteration, RuntimeError):
                connector.close().__await__().send(None)


def _caller() -> str:
    """Return the file and line of the first frame outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "workorder_async":
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
