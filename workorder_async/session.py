"""One call on the wire: sign, send, read, open the envelope; again where another attempt can do no harm.

A call is encoded once and signed afresh for every attempt. The session knows endpoints, bytes and JSON values, never a
model. Every failure leaves it as a `WorkorderError` with the operation, the attempts and the request_id;
`CancelledError` passes.
"""

import asyncio
import logging
import sys
import warnings
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from random import Random
from time import perf_counter
from typing import TypeAlias
from urllib.parse import urlsplit

import aiohttp
from attrs import Factory, define

from workorder_async.clock import ServerClock
from workorder_async.endpoints import Endpoint, Safety
from workorder_async.envelope import Answer, open_envelope, retry_after
from workorder_async.errors import (
    DOCUMENTED_ERRNOS,
    ApiError,
    ConfigError,
    DeadlineExceededError,
    NoAnswerError,
    NotSentError,
    OutcomeUnknownError,
    ResponseError,
    TicketStateError,
    WorkorderError,
)
from workorder_async.limiter import Lane, Limiter, Slot
from workorder_async.options import SessionOptions
from workorder_async.payloads import Body
from workorder_async.retry import RetryBudget, says_nothing_happened
from workorder_async.signing import Signer, SigningInput

logger = logging.getLogger("workorder_async")
logger.addHandler(logging.NullHandler())

Query: TypeAlias = tuple[tuple[str, str], ...]

# A client that is left open may be collected in one heap with its aiohttp session; kept here, the session goes last, so
# that the one warning is ours.
_KEPT: set[aiohttp.ClientSession] = set()
_USER_AGENT = "workorder_async"
# The session keeps time itself, so that its errors can say where the time went.
_NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=None)
# An answer that shows our clock this wrong explains a refused signature; less is within what servers allow.
_CLOCK_TOLERANCE = 5.0


@define
class _Call:
    """One call under way: what it is, how far it has come, and where its time goes."""

    endpoint: Endpoint
    query: Query
    body: Body | None
    lane: Lane | None
    until: float  # its deadline, by the event loop's clock
    attempts: int = 0
    began: float = 0.0  # when its first attempt was sent, by our own clock
    sent: bool = False  # whether any of the body of the attempt under way was written
    spent: dict[str, float] = Factory(lambda: {"queue": 0.0, "request": 0.0, "sleep": 0.0})
    _phase: str = "queue"
    _since: float = Factory(perf_counter)

    def turn_to(self, phase: str) -> None:
        """Charge the time since the last turn to the phase that ends."""
        now = perf_counter()
        self.spent[self._phase] += now - self._since
        self._phase, self._since = phase, now

    def final(self, error: WorkorderError) -> WorkorderError:
        """Say of a mutation's failure what it means for the mutation."""
        error.operation, error.attempts = self.endpoint.operation, self.attempts
        if self.endpoint.safety is Safety.READ or not _leaves_open(error, sent=self.sent):
            return error
        unknown = OutcomeUnknownError(
            f"sent, but no answer of the platform came back, so it may or may not have happened: {error.message}",
            began=self.began,
            operation=error.operation,
            attempts=error.attempts,
            request_id=error.request_id,
        )
        unknown.__cause__ = error
        return unknown


def _leaves_open(error: WorkorderError, *, sent: bool) -> bool:
    """Tell whether a mutation that failed so may have happened all the same."""
    if isinstance(error, ResponseError):
        return not says_nothing_happened(error)
    return sent and isinstance(error, NoAnswerError | DeadlineExceededError)


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
        self._limiter = Limiter(options.max_in_flight, options.rate)
        self._budget = RetryBudget()
        self._random = Random()  # noqa: S311 - jitter, no secret
        self._http = http
        self._owns_http = http is None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._made_at = _caller()

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

        Calls of one `lane` have only so many requests under way as it allows. Where the call is part of a larger one,
        `until` is the deadline by the event loop's clock, and `attempts` how many were made before.
        """
        self._check_usable()
        call = _Call(endpoint, query, body, lane, self.deadline() if until is None else until, attempts)
        signed_again = False
        while True:
            call.attempts += 1
            offset = self.clock.offset
            try:
                return await self._attempt(call)
            except WorkorderError as error:
                signed_wrong = _blames_signature(error) and abs(self.clock.offset - offset) > _CLOCK_TOLERANCE
                if signed_wrong and not signed_again:
                    signed_again, wait = True, 0.0
                else:
                    wait = self._wait_before_next(call, error)
                reason = _reason(error)
            logger.info("%s: %s; attempt %d in %.2f s", call.endpoint.operation, reason, call.attempts + 1, wait)
            call.turn_to("sleep")
            await asyncio.sleep(wait)

    def deadline(self) -> float:
        """Return when a call that begins now must have ended, by the event loop's clock."""
        return asyncio.get_running_loop().time() + self._options.deadline

    def _too_late(self, call: _Call) -> WorkorderError:
        call.turn_to("queue")
        spent = ", ".join(f"{seconds:.1f} s {phase}" for phase, seconds in call.spent.items())
        late = DeadlineExceededError(f"no answer within {self._options.deadline:g} s ({spent})", spent=call.spent)
        if call.endpoint.safety is Safety.READ or call.sent:
            return late
        error = NotSentError(f"not sent within {self._options.deadline:g} s ({spent}), so nothing happened")
        error.__cause__ = late
        return error

    def _wait_before_next(self, call: _Call, error: WorkorderError) -> float:
        wait = self._options.retry.wait(error, call.endpoint.safety, call.attempts, self._random)
        late = wait is not None and asyncio.get_running_loop().time() + wait >= call.until
        if wait is None or late or not self._budget.spend():
            final = call.final(error)
            raise final from final.__cause__
        return wait

    async def _attempt(self, call: _Call) -> Answer:
        call.sent = False
        call.turn_to("queue")
        limit = asyncio.timeout_at(call.until)
        try:
            async with limit, Slot(self._limiter, call.lane):
                # A slot that comes free as the time runs out is of no use.
                if asyncio.get_running_loop().time() >= call.until:
                    raise self._too_late(call)
                call.turn_to("request")
                started = perf_counter()
                status, headers, content = await self._exchange(call, limit)
        except TimeoutError as error:
            if not limit.expired():
                raise
            if limit.when() == call.until:
                late = self._too_late(call)
                raise late from late.__cause__
            raise self._lost(call, f"nothing for {self._options.attempt_timeout:g} s") from error
        if call.lane is not None:
            # Pages that arrive together would all be parsed before the next request is written, which aiohttp does two
            # turns of the loop after its task begins.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        try:
            answer = open_envelope(
                status,
                content,
                self._errnos,
                location=headers.get("Location", ""),
                operation=call.endpoint.operation,
                attempts=call.attempts,
            )
        except WorkorderError as error:
            error.retry_after = retry_after(headers.get("Retry-After"), self.clock.now())
            if status == 429 and error.retry_after:
                self._limiter.pause(error.retry_after)
            self._log(call, f"{status} {_reason(error)}", error.request_id, started)
            raise
        self._budget.earn()
        self._log(call, f"{status} ok", answer.request_id, started)
        return answer

    async def _exchange(self, call: _Call, limit: asyncio.Timeout) -> tuple[int, Mapping[str, str], bytes]:
        """Sign, send and read one attempt; once it is signed, the limit of an attempt counts as well."""

        def note_write() -> None:
            call.sent = True
            if call.body is not None and not call.body.in_memory:
                # A large file may take its time, as long as the server takes it: both limits count from its last byte.
                self._limit_attempt(call, limit, prolong=True)

        payload = None if call.body is None else await call.body.payload(note_write)
        signed = await self._sign(call)
        sent_at = self.clock.local()
        call.began = call.began or sent_at
        self._limit_attempt(call, limit)
        try:
            async with self._opened().request(
                call.endpoint.method,
                self.base_url + call.endpoint.path,
                params=call.query or None,
                data=payload,
                headers={"User-Agent": _USER_AGENT, "Accept": "application/json", **signed},
                allow_redirects=False,
                proxy=self._options.proxy,
                ssl=self._options.ssl,
                timeout=_NO_LIMIT,
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise self._lost(call, f"{type(error).__name__}: {error}", error) from error
        self.clock.observe(response.headers.get("Date"), sent_at, self.clock.local())
        return response.status, response.headers, content

    def _limit_attempt(self, call: _Call, limit: asyncio.Timeout, *, prolong: bool = False) -> None:
        """Let an attempt that begins now, or begins anew with another piece, end in time for itself and its call."""
        if limit.expired():
            return
        now = asyncio.get_running_loop().time()
        if prolong:
            call.until = max(call.until, now + self._options.deadline)
        limit.reschedule(min(call.until, now + self._options.attempt_timeout))

    async def _sign(self, call: _Call) -> Mapping[str, str]:
        request = SigningInput(
            method=call.endpoint.method,
            path=self._base_path + call.endpoint.path,
            query=call.query,
            body=() if call.body is None else call.body,
            timestamp_ms=int(self.clock.now() * 1000),
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

    def _lost(self, call: _Call, why: str, error: Exception | None = None) -> WorkorderError:
        """Turn a failure of the network into the error that says whether anything was sent."""
        why = " ".join(why.replace(" ssl:default", "").split()).rstrip(":")
        if isinstance(error, aiohttp.ClientConnectorError) or (call.body is not None and not call.sent):
            secured = ", the certificate, and whether https is spoken there" if self.base_url[:6] == "https:" else ""
            mend = f"check the host, the network and the proxy{secured}"
            return NotSentError(f"could not send to {self.base_url}: {why}; {mend}")
        return NoAnswerError(f"no complete answer from {self.base_url}: {why}")

    def _log(self, call: _Call, outcome: str, request_id: str, started: float) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            seconds = perf_counter() - started
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


def _blames_signature(error: WorkorderError) -> bool:
    """Tell whether a wrong clock may be behind this; a TicketStateError was signed well enough to be told so."""
    if isinstance(error, ApiError):
        return not isinstance(error, TicketStateError)
    return isinstance(error, ResponseError) and error.status in (401, 403)


def _reason(error: WorkorderError) -> str:
    """Return a failure in words that hold nothing of a ticket, for the log."""
    return f"{type(error).__name__} {error.errno}" if isinstance(error, ApiError) else type(error).__name__


def _caller() -> str:
    """Return the file and line of the first frame outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "workorder_async":
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
