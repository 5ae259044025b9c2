"""One attempt on the wire: sign, write, read, within its time; a failure says whether anything was sent.

Every attempt is signed afresh. No error leaves here with a frame, a cause or a field that knows the proxy's password.
The aiohttp session underneath is opened when first needed, used in one event loop, and closed, or found left open.
"""

import asyncio
import sys
import warnings
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from attrs import define, evolve

from workorder_async.document import JSON
from workorder_async.document.endpoints import Endpoint
from workorder_async.document.envelope import Answer, not_the_platforms, open_envelope
from workorder_async.document.json_text import LARGE, parse_large
from workorder_async.errors import ApiError, ConfigError, NoAnswerError, NotSentError, WorkorderError
from workorder_async.secret import without_credentials, without_frames
from workorder_async.signing.clock import ServerClock, http_date
from workorder_async.signing.scheme import Signer, SigningInput
from workorder_async.wire.bodies import Body
from workorder_async.wire.call import Call, Deadline, Query
from workorder_async.wire.options import SessionOptions

# Within one such pause every socket that has something is read, and the tasks that waited for it run.
_LOOK = 0.01
_LOOKS_IN_VAIN = 3
_LOOKS = 100


class AttemptLimit:
    """Ends what its task awaits inside `with`, at the limit that was set last or some looks later: `TimeoutError`.

    It cancels the task as `asyncio.timeout` does, and takes that back, so that a cancellation by others passes.

    A timer alone is not fair. Where the event loop was blocked, or the whole process stopped, an answer may have lain
    in the socket all the time, and the timer fires before anybody could read it. So, when time is up, the loop gets a
    few turns more, and goes on getting them while bytes come in, up to a second.
    """

    def __init__(self) -> None:
        self.received: int = 0
        #: Whether the limit that is set, and so the one that fires, is the deadline of the whole call.
        self.ends_call: bool = False
        #: Whether the time was up.
        self.expired: bool = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of ours runs in a task
        self._task, self._cancelling = task, task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def set(self, deadline: Deadline, seconds: float | None = None) -> None:
        """Let the time be up at the call's deadline, or after so many seconds from now where that is sooner."""
        loop = asyncio.get_running_loop()
        own = None if seconds is None else loop.time() + seconds
        self.ends_call = own is None or deadline.until <= own
        if self._timer is not None:
            self._timer.cancel()
        when = deadline.until if own is None or self.ends_call else own
        self._timer = loop.call_at(when, self._look, 0, _LOOKS_IN_VAIN, self.received)

    def note(self, size: int) -> None:
        """Note that so many bytes of the answer were read."""
        self.received += size

    def _look(self, looks: int, left: int, received: int) -> None:
        left = _LOOKS_IN_VAIN if self.received != received else left - 1
        if left < 0 or looks >= _LOOKS:
            self._timer = None
            self.expired = True
            self._task.cancel()
        else:
            self._timer = asyncio.get_running_loop().call_later(_LOOK, self._look, looks + 1, left, self.received)


# A client that is left open may be collected in one heap with its aiohttp session; kept here, the session goes last, so
# that the one warning is ours.
_KEPT: set[aiohttp.ClientSession] = set()


class Pool:
    """The pooled connections of one client: in an aiohttp session of its own, or in one that was brought along."""

    def __init__(self, options: SessionOptions, brought: aiohttp.ClientSession | None) -> None:
        self.is_own: bool = brought is None
        self.http = brought
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._made_at = _caller()

    def check_usable(self) -> None:
        """Raise `ConfigError` where the client is closed, or belongs to another event loop."""
        if self._closed:
            raise ConfigError("this client is closed; make another one")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ConfigError("this client belongs to another event loop; make one inside each asyncio.run()")

    def opened(self) -> aiohttp.ClientSession:
        """Return the session to send with. Raises `ConfigError` where it was closed while the call waited."""
        if self._closed:
            raise ConfigError("this client is closed; make another client")
        if self.http is None:
            self.http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._options.max_in_flight),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=self._options.trust_env,
            )
            # aiohttp would send a GET whose connection broke once more by itself, unsigned anew and uncounted.
            self.http._retry_connection = False
            _KEPT.add(self.http)
        elif self.http.closed:
            raise ConfigError("the session that was brought along is closed; make another client with an open one")
        return self.http

    async def aclose(self) -> None:
        """Close the connections; a session that was brought along stays open."""
        self._closed = True
        if self.http is not None and self.is_own:
            _KEPT.discard(self.http)
            await self.http.close()

    def __del__(self) -> None:
        http: aiohttp.ClientSession | None = getattr(self, "http", None)
        if http is None or not self.is_own or http.closed:
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


#: Shorter than any page of tickets.
SHORT = 1024


@define
class Reply:
    """What came off the wire in answer to one attempt."""

    status: int
    headers: Mapping[str, str]
    """Those that anybody asks for."""
    content: bytes | None
    """The body, unpacked; None where it is larger than is read."""

    @property
    def is_opened_first(self) -> bool:
        """Whether it may say "too many requests": that must be known before its slot is somebody else's."""
        return self.content is None or len(self.content) < SHORT or self.status != 200

    @property
    def is_large(self) -> bool:
        """Whether it takes too long to be parsed in the event loop."""
        return self.content is not None and len(self.content) > LARGE


class Opener:
    """Opens the replies of one session."""

    def __init__(self, options: SessionOptions, errnos: Mapping[int, type[ApiError]]) -> None:
        self._options = options
        self._errnos = errnos

    def open(self, reply: Reply, operation: str, attempts: int, *parsed: JSON) -> Answer:
        """Return what a successful answer holds.

        Raises what the reply means; `retry_after` of the error is what the server asks for. `parsed` is the body as
        JSON: without it, a large one is not the platform's.
        """
        status, headers, content = reply.status, reply.headers, reply.content
        try:
            if content is None:
                what = f"a body of more than {self._options.max_body:,} bytes (max_body)"
                raise not_the_platforms(status, b"", what)
            if reply.is_large and not parsed:
                raise not_the_platforms(status, content)
            location = headers.get("Location", "")
            return open_envelope(
                status, content, self._errnos, *parsed, location=location, operation=operation, attempts=attempts
            )
        except WorkorderError as error:
            said = retry_after(headers.get("Retry-After"), headers.get("Date"), self._options.now())
            error.retry_after = None if said is None else min(said, self._options.longest_pause)
            raise


async def parsed_beside(content: bytes) -> tuple[JSON, ...]:
    """Parse a large body in a thread, where it does not hold up the event loop; nothing where it is no JSON."""
    try:
        return (await asyncio.to_thread(parse_large, content),)
    except (ValueError, RecursionError):
        return ()


def large(answer: Answer) -> Answer:
    """Mark an answer as one to be decoded in a thread."""
    return evolve(answer, large=True)


_HEADERS = {"User-Agent": "workorder_async", "Accept": "application/json"}
_READ_HEADERS = ("Date", "Retry-After", "Location")
_NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


class Wire:
    """Sends the attempts of one session to its base URL."""

    def __init__(self, base_url: str, signer: Signer, options: SessionOptions, clock: ServerClock, pool: Pool) -> None:
        self._base_url = base_url
        self._base_path = urlsplit(base_url).path
        self._signer = signer
        self._options = options
        self._clock = clock
        self._pool = pool
        self._may_know_proxy = options.proxy is not None or options.trust_env or not pool.is_own
        # The time of an attempt is kept here, so that errors can say where it went. In a pool of our own there is a
        # place for every slot; in one that was brought along a call may wait for one, which is no connecting.
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=options.connect_timeout if pool.is_own else None, sock_connect=options.connect_timeout
        )

    async def exchange(self, call: Call) -> Reply:
        """Make the attempt that a call is at. Raises the error for one without a complete answer in time."""
        limit = AttemptLimit()
        try:
            with limit:
                payload = None if call.body is None else await self._payload(call, call.body, limit)
                signed = await self._signed(call)
                sent_at = self._clock.local()
                call.began = call.began or sent_at
                # Once it is signed, the limit of an attempt counts as well.
                limit.set(call.deadline, self._options.attempt_timeout)
                failure: BaseException
                try:
                    # Where the client was closed meanwhile, this raises, and nothing is sent.
                    self._pool.opened()
                    # Of a request without a body nobody is told when it is written.
                    call.sent = call.body is None
                    reply = await self.transfer(call.endpoint, call.query, payload, signed, limit)
                except BaseException as error:  # noqa: BLE001 - raised below, cancellation too
                    failure = self._told(call, error)
                else:
                    call.status = reply.status
                    call.trial.answered(reply.headers.get("Date"), sent_at, self._clock.local())
                    return reply
                # Outside the `except`, or the error that was caught would be its context.
                try:
                    raise failure
                finally:
                    del failure  # which knows this frame
        except TimeoutError as error:
            if not limit.expired:
                raise
            late = self._late(call, limit)
            raise late from late.__cause__ or error

    async def _payload(self, call: Call, body: Body, limit: AttemptLimit) -> aiohttp.Payload:
        """Return what writes the body, and notes that it does."""
        if not body.in_memory:
            limit.set(call.deadline)

        def note_write() -> None:
            call.sent = True
            if not body.in_memory:
                # A large file may take its time, as long as the server takes it: both limits count from its last byte.
                call.deadline = call.deadline.begun_anew()
                limit.set(call.deadline, self._options.attempt_timeout)

        return await body.payload(note_write)

    async def _signed(self, call: Call) -> Mapping[str, str]:
        """Return the headers that sign the attempt."""
        offset, body = call.trial.begin(), call.body
        if body is None or body.in_memory:
            return self.sign(call.endpoint, call.query, () if body is None else tuple(body), offset)
        if getattr(self._signer, "signs_body", True):
            return await asyncio.to_thread(self.sign, call.endpoint, call.query, body, offset)
        return self.sign(call.endpoint, call.query, body, offset)

    def sign(self, endpoint: Endpoint, query: Query, body: Iterable[bytes], offset: float) -> Mapping[str, str]:
        """Return the headers that sign a request by our clock and that many seconds."""
        path, now = self._base_path + endpoint.path, int((self._clock.local() + offset) * 1000)
        signed = self._signer.sign(SigningInput(endpoint.method, path, query, body, now))
        if type(signed) is not dict and not isinstance(signed, Mapping):
            if isinstance(signed, Coroutine):
                signed.close()
            raise ConfigError(
                f"the signer's sign returned a {type(signed).__name__}; it must return a dict of headers, "
                "and be no `async def`"
            )
        return signed

    async def transfer(
        self,
        endpoint: Endpoint,
        query: Query,
        payload: aiohttp.Payload | None,
        signed: Mapping[str, str],
        limit: AttemptLimit,
    ) -> Reply:
        """Write a request and read its answer. No error may keep the frames from here on: they know the proxy."""
        response = await self._pool.opened().request(
            endpoint.method,
            self._base_url + endpoint.path,
            params=query or None,
            data=payload,
            headers={**_HEADERS, **signed},
            allow_redirects=False,
            proxy=None if self._options.proxy is None else self._options.proxy.reveal(),
            ssl=self._options.ssl,
            timeout=self._timeout,
        )
        try:
            content = await self._read(response, limit)
        finally:
            # It is closed once it was read to its end, and its connection is free.
            if not response.closed:
                response.close()
        headers = {name: response.headers[name] for name in _READ_HEADERS if name in response.headers}
        if "Location" in headers:
            headers["Location"] = without_credentials(headers["Location"])
        return Reply(response.status, headers, content)

    async def _read(self, response: aiohttp.ClientResponse, limit: AttemptLimit) -> bytes | None:
        """Read a body, unpacked piece by piece, so that no more than is allowed is ever held; None where it is more."""
        pieces: list[bytes] = []
        size = response.content_length or 0
        stream = response.content
        while size <= self._options.max_body:
            if stream.at_eof():
                return b"".join(pieces)
            piece = await stream.readany()
            pieces.append(piece)
            limit.note(len(piece))
            size = limit.received
        return None

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

    def failure(self, call: Call, limit: AttemptLimit, error: BaseException) -> BaseException:
        """Return what is raised for what ended a transfer within its limit."""
        if isinstance(error, TimeoutError) and limit.expired:
            late = self._late(call, limit)
            late.__cause__ = late.__cause__ or without_frames(error, causes=not self._may_know_proxy)
            return late
        return self._told(call, error)

    def _late(self, call: Call, limit: AttemptLimit) -> WorkorderError:
        """Return the error for an attempt whose time is up, or the call's."""
        return (
            call.too_late() if limit.ends_call else self._lost(call, f"nothing for {self._options.attempt_timeout:g} s")
        )

    def _lost(self, call: Call, why: str, error: BaseException | None = None) -> WorkorderError:
        """Turn a failure of the network into the error that says whether anything was sent."""
        why = without_credentials(" ".join(why.replace(" ssl:default", "").split())).rstrip(":")
        if isinstance(error, _NOT_CONNECTED):
            call.sent = False
        if not call.sent:
            secured = ", the certificate, and whether https is spoken there" if self._base_url[:6] == "https:" else ""
            mend = f"check the host, the network and the proxy{secured}"
            return NotSentError(f"could not send to {self._base_url}: {why}; {mend}")
        return NoAnswerError(f"no complete answer from {self._base_url}: {why}")


def retry_after(header: str | None, date: str | None, now: float) -> float | None:
    """Read a `Retry-After` header, seconds or an HTTP date, as seconds from now; never negative.

    A date is compared with the `Date` of the same answer, so that a wrong clock does not matter. Without one, it is
    compared with `now`. None where the header is absent or cannot be read.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    moment, sent = http_date(text), http_date(date)
    return None if moment is None else max(0.0, moment - (now if sent is None else sent))
