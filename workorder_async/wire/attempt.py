"""One attempt on the wire: sign, write, read, within its time; a failure says whether anything was sent.

The road of an attempt: `Wire.exchange`, which takes up to three connections; `_signed`; `_transfer`, with a session
from `Pool.opened`; `_Payload.write`, called by aiohttp in a task of its own; `_read`. `_error_to_raise` judges a
failure.

A connection is used only if it is quiet: the server has neither sent bytes on it nor closed it since its last answer.
So bytes that came before a request are never its answer, and no mutation is lost on a connection that was closed while
idle. Bytes count as sent when the transport has taken them, and it takes the body of an attempt once.

No error leaves here with a frame, a cause or a field that knows the proxy's password.
"""

import asyncio
import os
import re
import select
import ssl
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import StreamWriter
from attrs import define, evolve
from yarl import URL

from workorder_async.arguments import caller
from workorder_async.document.endpoints import Safety
from workorder_async.document.json_text import LARGE
from workorder_async.errors import ConfigError, NoAnswerError, NotSentError, WorkorderError
from workorder_async.secret import Secret, without_credentials, without_frames
from workorder_async.signing.clock import ServerClock, http_date
from workorder_async.signing.scheme import Signer, SigningInput
from workorder_async.wire.bodies import FileBody, JsonBody
from workorder_async.wire.call import ANSWER_ERRORS, Call, Deadline, ending_call
from workorder_async.wire.options import ClientOptions

# The event loop's extra turns when time is up. Within one, of so many seconds, every socket that has something is read,
# and the tasks that wait for it run. The attempt ends after so many turns in a row without a byte, or so many in all.
_TURN = 0.01
_TURNS_IN_VAIN = 3
_MOST_TURNS = 100


class AttemptLimit:
    """The time of one attempt: ends the `with` block of its task by `TimeoutError` when that is up.

    The limit is the deadline of the call. From `begin` on it is the attempt's own seconds, counted from then, if those
    end sooner.

    The task is cancelled as by `asyncio.timeout`. That is taken back at the end of the block, so that a cancellation by
    others passes.

    A timer alone is not fair. If the event loop was blocked, or the whole process stopped, an answer may have lain in
    the socket all the time, and the timer fires before anybody could read it. So when time is up the loop gets a few
    turns more, and goes on getting them while bytes come in, up to a second.
    """

    def __init__(self, seconds: float, deadline: Deadline) -> None:
        #: How many bytes of the answer were read.
        self.received: int = 0
        self._at = deadline.until
        #: Whether the limit is the deadline of the whole call, and not the attempt's own.
        self.ends_call: bool = True
        #: Whether the limit has ended the block.
        self.expired: bool = False
        self._seconds = seconds
        # As early as `begin` may need it; `_fire` puts it off.
        self._arm(min(self._at, asyncio.get_running_loop().time() + seconds))

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of ours runs in a task
        self._task, self._cancelling = task, task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def begin(self, deadline: Deadline) -> None:
        """Set the limit to the attempt's own seconds from now on, or to this deadline if that is sooner."""
        own = asyncio.get_running_loop().time() + self._seconds
        self._at, self.ends_call = min(own, deadline.until), deadline.until <= own
        # One timer is enough: if the limit is later than the timer, `_fire` sets it again.
        if self._at < self._timer.when():
            self._timer.cancel()
            self._arm(self._at)

    def _arm(self, at: float) -> None:
        self._timer = asyncio.get_running_loop().call_at(at, self._fire, at, 0, _TURNS_IN_VAIN, self.received)

    def _fire(self, at: float, turns: int, left: int, received: int) -> None:
        """End the block, unless the limit was put off or the loop still has a turn."""
        if at < self._at:
            self._arm(self._at)
            return
        left = _TURNS_IN_VAIN if self.received != received else left - 1
        if left < 0 or turns >= _MOST_TURNS:
            self.expired = True
            self._task.cancel()
        else:
            later = asyncio.get_running_loop().call_later
            self._timer = later(_TURN, self._fire, at, turns + 1, left, self.received)


# The clients' own sessions that are not closed yet. A client that was left open, and its session, may be garbage at
# the same time: a session that is kept here outlives its client, so that only our warning comes, and none of aiohttp.
_OPEN: set[aiohttp.ClientSession] = set()


def _leave_to_parent() -> None:
    """Forget the connections in a child of a fork.

    To close them would take their sockets out of the event loop's selector, which the child shares with the parent: the
    parent would not hear of them any more.
    """
    for http in _OPEN:
        getattr(http.connector, "_conns", {}).clear()
        http.detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


class Pool:
    """The pooled connections of one client: in its own aiohttp session, or in a session of the user's.

    Its own is opened when first needed, and closed by `aclose` or, with a warning, when the client is garbage. Either
    is used in one event loop.
    """

    def __init__(self, base_url: str, options: ClientOptions) -> None:
        self.http = options["session"]
        url = URL(base_url)
        self._place = (url.raw_host, url.port)
        self.is_own: bool = self.http is None
        self._size = options["max_in_flight"]
        self._loop: asyncio.AbstractEventLoop | None = getattr(self.http, "_loop", None)
        self._closed = False
        #: Answers whose bodies are being read. `aclose` closes them: aiohttp itself tells no reader.
        self.reading: set[aiohttp.ClientResponse] = set()
        self._fresh_until = 0.0  # until then mutations get new connections
        frame = caller()
        self._made_at = f"{frame.f_code.co_filename}:{frame.f_lineno}"

    def check_usable(self) -> None:
        """Raise `ConfigError` where the client is closed, or it or its session belongs to another event loop."""
        if self._closed:
            raise ConfigError("this client is closed", mend="make another one")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            problem = "this client, or the session that was brought along, belongs to another event loop"
            raise ConfigError(problem, mend="make them inside each asyncio.run()")

    def distrust(self) -> None:
        """Let mutations have new connections for a minute, since the answer to one was lost."""
        self._fresh_until = asyncio.get_running_loop().time() + _DISTRUST

    def opened(self, *, mutates: bool = False) -> aiohttp.ClientSession:
        """Return the session to send with. Its next idle connection is quiet, or it has none: any before it are closed.

        Raises `ConfigError` if the client or its session was closed while the call waited.
        """
        self.check_usable()
        if self.http is None:
            self.http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._size),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            # aiohttp would repeat a GET by itself. `_once` prevents that in a user's session: it costs each request
            # some calls, and hides why the connection broke.
            self.http._retry_connection = False
            _OPEN.add(self.http)
        elif self.http.closed:
            mend = "make another client with an open one"
            raise ConfigError("the session that was brought along is closed", mend=mend)
        closes_all = mutates and asyncio.get_running_loop().time() < self._fresh_until
        # aiohttp takes the first one next, and leaves it out only if the event loop has read its end. It has no public
        # way to its idle connections. Those to other hosts, in a user's session, stay.
        idle = getattr(getattr(self.http, "connector", None), "_conns", {})
        for key, connections in idle.items():
            while connections and (key.host, key.port) == self._place:
                next_one = connections[0][0]
                if not (closes_all or _is_spoilt(next_one) or _is_readable(next_one.transport)):
                    break
                connections.popleft()[0].close()
        return self.http

    async def aclose(self) -> None:
        """Close the connections; a session that was brought along stays open."""
        self._closed = True
        if self.http is not None and self.is_own:
            _OPEN.discard(self.http)
            for response in self.reading:
                response.close()
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
        _OPEN.discard(http)
        connector = http.connector
        http.detach()
        if connector is not None:
            # Nothing can be awaited here: one step of the coroutine closes the sockets, which is all that is left to
            # do, and keeps aiohttp from warning of the same once more.
            with suppress(StopIteration, RuntimeError):
                connector.close().__await__().send(None)


# How many connections are tried where bytes lie on each new one.
_CONNECTIONS = 3
# A server that closes each connection a moment after its answer, without announcing it, would lose every second
# mutation. After a lost answer mutations get new connections for so many seconds.
_DISTRUST = 60.0
_POLL = getattr(select, "poll", None)


def _is_readable(transport: asyncio.BaseTransport | None) -> bool:
    """Tell whether the socket holds bytes, or the end of the connection, that the event loop has not read yet."""
    sock = None if transport is None else transport.get_extra_info("socket")
    # Windows has no `poll`.
    if _POLL is None or sock is None or (number := sock.fileno()) < 0:
        return False
    poller = _POLL()
    poller.register(number, select.POLLIN)
    # `poll` also reports events that it was not asked for.
    return bool((found := poller.poll(0)) and found[0][1] & select.POLLIN)


def _is_spoilt(protocol: ResponseHandler) -> bool:
    """Tell whether a connection is closing, or the event loop has read bytes on it that answer no request."""
    transport, parser = protocol.transport, protocol._parser
    if transport is None or transport.is_closing() or protocol.should_close:
        return True
    # `feed_eof` returns a message if the parser holds the first part of one. The next request gets a new parser.
    return parser is not None and parser.feed_eof() is not None


# No cache: one on the way could show a ticket as it was before a lost mutation, which would then be sent again.
_HEADERS = {"User-Agent": "workorder_async", "Accept": "application/json", "Cache-Control": "no-cache"}
_NOT_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)


# Some proxies lock an account after a few wrong logins.
_LOGIN_REFUSED = HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
# The part of aiohttp's errors that says how a connection is secured, with an address in memory.
_TLS_DETAIL = re.compile(r" ssl:(default|<[^>]*>)")


@define
class Reply:
    """The answer to one attempt, as it came off the wire."""

    status: int
    content: bytes | None
    """The body, unpacked; None if it is larger than `max_body`."""
    received: float
    """When its last byte was read, by our own clock."""
    date: str | None
    retry_after: str | None
    location: str


class _Payload(aiohttp.Payload):
    """The body of one attempt: checks the connection before the first byte, and notes that the transport took bytes."""

    def __init__(
        self,
        call: Call,
        limit: AttemptLimit,
        pieces: bytes | AsyncIterator[bytes],
        size: int,
        content_type: str = "application/json",
    ) -> None:
        super().__init__(pieces, content_type=content_type)
        #: Whether aiohttp has begun to write it.
        self.write_began: bool = False
        #: Why it was not written to its end: aiohttp hides that error in one of its own.
        self.failure: Exception | None = None
        self._size = size
        self._transport: asyncio.Transport | None = None
        self._call = call
        self._limit = limit
        self._began = 0.0

    def __deepcopy__(self, _: object) -> Self:
        # Sessions that stand in for the network, in tests, copy their arguments.
        return self

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Refuse: nothing asks for the text of a body."""
        raise TypeError("a body that is written once has no text")

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return the whole body; for tests that stand in for the network."""
        return self._value if isinstance(self._value, bytes) else b"".join([piece async for piece in self._value])

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write JSON in one piece, or a file in many."""
        self.write_began = True
        stream, body = cast("StreamWriter", writer), self._call.body
        try:
            if isinstance(body, JsonBody) and body.before_write is not None:
                with ending_call("nothing was sent"):
                    await body.before_write()
            # After the caller's code: bytes that come while that runs are no answer either.
            await self._begin(stream)
            if isinstance(self._value, bytes):
                await self._put(stream, self._value)
                return
            async for piece in self._value:
                await self._put(stream, piece)
                await stream.drain()
        except Exception as error:
            self.failure = error
            raise

    async def _begin(self, stream: StreamWriter) -> None:
        """Raise unless the connection is quiet, and let the attempt's own seconds begin."""
        call = self._call
        if call.sent:
            raise ConnectionAbortedError("the session sends a request once more by itself; let it send each once")
        transport, protocol = stream.transport, cast("ResponseHandler", stream.protocol)
        has_input = _is_readable(transport)
        if has_input and transport is not None and transport.get_extra_info("ssl_object") is not None:
            # It may be a record of TLS itself. The event loop reads it; then `_is_spoilt` tells whether there was more.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            has_input = False
        if has_input or _is_spoilt(protocol):
            call.unquiet = True
            raise ConnectionResetError("something lay on the connection before the request was written")
        if call.deadline.left() <= 0:
            # The loop was blocked: write nothing. The limit ends the call in a moment, and this task with it.
            await asyncio.get_running_loop().create_future()
        self._transport = transport
        self._limit.begin(call.deadline)
        self._began = call.clock.local()

    async def _put(self, stream: StreamWriter, piece: bytes) -> None:
        """Hand a piece to the transport, and note that it was sent, and when. Raises where it takes none of it."""
        await stream.write(piece, drain=False)
        transport, call = stream.transport, self._call
        # It was open before the write, and the loop had no turn since. So the write itself failed, and sent nothing.
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the connection was closed when the request was written")
        call.sent, call.began = True, call.began or self._began
        if isinstance(call.body, FileBody):
            # A large file may take its time, as long as the server takes it: both limits count from its latest piece.
            # `call.deadline` stays as it is: else a call that is turned away again and again would never end.
            self._limit.begin(Deadline.after(call.deadline.seconds))

    def give_up(self) -> None:
        """Send no more of a request that has failed, or that was cancelled.

        A connection that is closed, and not aborted, first sends the bytes in its buffer, however long that takes: the
        request could arrive long after it was said not to have happened. A connection that is not closing may be in use
        by another call.
        """
        if self._transport is not None and self._transport.is_closing():
            self._transport.abort()


def _once() -> aiohttp.ClientMiddlewareType:
    """Return a middleware that lets a request through once: aiohttp would repeat a GET whose connection broke.

    The repeated request would have the signature of the first, and be counted nowhere. `_Payload` refuses to be written
    twice, for requests with a body.
    """
    is_first = iter((True,))

    async def once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if not next(is_first, False):
            raise aiohttp.ServerDisconnectedError
        return await handler(request)

    return once


class Wire:
    """Sends the attempts of one session to its base URL."""

    def __init__(self, base_url: str, signer: Signer, options: ClientOptions, clock: ServerClock, pool: Pool) -> None:
        self._base_url = base_url
        self._base_path = urlsplit(base_url).path
        self._signer = signer
        self._clock = clock
        self._pool = pool
        self._proxy = None if options["proxy"] is None else Secret(options["proxy"])
        self._options = options
        self._attempt_timeout = options["attempt_timeout"]
        self._may_know_proxy = self._proxy is not None or not pool.is_own
        # No `total`: `AttemptLimit` keeps the time, so that errors can say where it went. `connect` includes the wait
        # for a free connection. Our own pool has one for every slot; in a user's session that wait is not connecting.
        connect = min(options["connect_timeout"], 1e9)  # aiohttp would round infinity up
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=connect if pool.is_own else None, sock_connect=connect
        )
        # Without a body there is no write callback: in a user's session nothing shows when the request is written.
        self._timeout_without_body = evolve(self._timeout, sock_read=None if pool.is_own else self._attempt_timeout)

    async def exchange(self, call: Call) -> Reply:
        """Make an attempt, over another connection if one is not quiet. Raises if no complete answer comes in time."""
        left = _CONNECTIONS
        while True:
            call.unquiet = False
            try:
                return await self._exchange(call)
            except NotSentError:
                left -= 1
                if not (call.unquiet and left):
                    raise

    async def _exchange(self, call: Call) -> Reply:
        """Make an attempt over one connection."""
        limit, body = AttemptLimit(self._attempt_timeout, call.deadline), call.body
        payload: _Payload | None = None
        try:
            with limit:
                if isinstance(body, FileBody):
                    payload = _Payload(call, limit, *await body.opened(), body.content_type)
                    in_thread = getattr(self._signer, "signs_body", True)
                    signed = await asyncio.to_thread(self._signed, call) if in_thread else self._signed(call)
                else:
                    if body is not None:
                        payload = _Payload(call, limit, body.content, len(body.content))
                    signed = self._signed(call)
                sent_at = self._clock.local()
                if body is None:
                    # Without a body there is no write callback, so assume that the request is sent.
                    call.sent, call.began = True, call.began or sent_at
                    if self._pool.is_own:
                        limit.begin(call.deadline)
                failure: BaseException
                try:
                    reply = await self._transfer(call, payload, signed, limit)
                except BaseException as error:  # noqa: BLE001 - raised below, cancellation too
                    if payload is not None:
                        payload.give_up()
                    failure = self._error_to_raise(call, None if payload is None else payload.failure, error)
                else:
                    call.status = reply.status
                    steady = asyncio.get_running_loop().time
                    call.trial.seen = self._clock.observe(reply.date, sent_at, reply.received, steady)
                    return reply
                # Outside the `except`: else the caught error would be its context.
                try:
                    raise failure
                finally:
                    del failure  # it refers to this frame
        except TimeoutError as error:
            if not limit.expired:
                raise
            nothing = f"not within {self._attempt_timeout:g} s"
            late = call.too_late() if limit.ends_call else self._lost(call, nothing)
            raise late from late.__cause__ or error

    def _signed(self, call: Call) -> Mapping[str, str]:
        """Return the headers that sign an attempt, by our clock and the seconds that the call adds to it."""
        endpoint, body = call.endpoint, call.body
        pieces: Iterable[bytes] = () if body is None else (body.content,) if isinstance(body, JsonBody) else body
        path, now = self._base_path + endpoint.path, int((self._clock.local() + call.trial.for_attempt()) * 1000)
        try:
            signed = self._signer.sign(SigningInput(endpoint.method, path, call.query, pieces, now))
        except ANSWER_ERRORS as error:
            raise call.interrupted(error) from error
        return _headers(signed)

    async def _transfer(
        self,
        call: Call,
        payload: _Payload | None,
        signed: Mapping[str, str],
        limit: AttemptLimit,
    ) -> Reply:
        """Write a request and read its answer. No error may keep the frames from here on: they know the proxy.

        Every option that a session may have a default for is given here, so that a session that was brought along
        neither repeats a request, nor reads its answer, nor raises for it.
        """
        mutates = call.endpoint.safety is not Safety.READ
        of_body = {} if payload is None else {"Content-Type": payload.content_type}
        # If the client was closed meanwhile, `opened` raises, and nothing is sent.
        response = await self._pool.opened(mutates=mutates).request(
            call.endpoint.method,
            self._base_url + call.endpoint.path,
            params=call.query or None,
            data=payload,
            headers={**_HEADERS, **of_body, **signed},
            allow_redirects=False,
            proxy=None if self._proxy is None else self._proxy.reveal(),
            ssl=cast("ssl.SSLContext | bool", self._options["ssl"]),  # a file has become a context by its check
            timeout=self._timeout_without_body if payload is None else self._timeout,
            raise_for_status=False,
            auto_decompress=True,
            middlewares=() if self._pool.is_own or payload is not None else (_once(),),
        )
        # A stand-in for the network, in tests, writes no request.
        has_writer = isinstance(getattr(response, "_writer", None), asyncio.Task)
        if payload is not None and not call.sent and (payload.write_began or has_writer):
            # The answer came before the request was written: its writer waits, has failed, or has not begun yet.
            response.close()
            call.unquiet = True
            raise ConnectionResetError("an answer lay on the connection before the request was written")
        if payload is None and not self._pool.is_own:
            limit.begin(call.deadline)
        content = await self._read(response, limit)
        headers = response.headers
        location = without_credentials(headers["Location"]) if "Location" in headers else ""
        # If the user's clock fails here, the answer counts as lost: the request was sent.
        received = self._clock.local()
        return Reply(response.status, content, received, headers.get("Date"), headers.get("Retry-After"), location)

    async def _read(self, response: aiohttp.ClientResponse, limit: AttemptLimit) -> bytes | None:
        """Read a body, unpacked, and hold hardly more of it than `max_body`; None if it is larger than that."""
        content, pieces, size = None, list[bytes](), response.content_length or 0
        self._pool.reading.add(response)
        try:
            while size <= self._options["max_body"]:
                if response.content.at_eof():
                    content = b"".join(pieces)
                    if (response.charset or "").lower() in _GBK and len(content) <= LARGE:
                        content = _in_utf8(content)
                    break
                pieces.append(await response.content.readany())
                limit.received += len(pieces[-1])
                size = limit.received
        except aiohttp.ClientError:
            # The status 429 says enough: such a server may be too busy for the rest of its answer.
            if response.status != 429:
                raise
            content = b""
        finally:
            self._pool.reading.discard(response)
            # A response that was read to its end is closed already, and its connection is free again.
            if not response.closed:
                response.close()
        return content

    def _error_to_raise(self, call: Call, unwritten: Exception | None, error: BaseException) -> BaseException:
        """Return the error to raise for a failure on the wire: without the frames, which hold the proxy's password.

        `unwritten` is why the body was not written to its end, if it was not. Where a proxy may be known, the error is
        without its cause as well: aiohttp's errors have the proxy's URL in their fields.
        """
        causes = not self._may_know_proxy
        if isinstance(error, Exception) and unwritten is not None:
            error = unwritten
        is_ours = isinstance(error, WorkorderError) and not isinstance(error, ANSWER_ERRORS)
        # Such an error means that nothing was sent. If a session has sent a mutation, and once more by itself, an error
        # that a callback raised the second time does not mean that the first request was not sent.
        is_ours &= not call.sent or call.endpoint.safety is Safety.READ
        if is_ours or not isinstance(error, Exception):
            return without_frames(error, causes=causes)
        if isinstance(error, aiohttp.ClientError | (OSError if unwritten is None else ConnectionError)):
            lost = self._lost(call, str(error) or type(error).__name__, error)
        else:
            lost = call.interrupted(error)
        lost.__cause__ = without_frames(error, causes=True) if causes else None
        return lost

    def _lost(self, call: Call, why: str, error: BaseException | None = None) -> WorkorderError:
        """Turn a failure of the network into the error that says whether anything was sent."""
        why = without_credentials(" ".join(_TLS_DETAIL.sub("", why).split())).rstrip(":")
        if call.body is None and isinstance(error, _NOT_CONNECTED):
            call.sent = False
        if call.sent:
            if call.endpoint.safety is not Safety.READ:
                self._pool.distrust()
            return NoAnswerError(f"no complete answer from {self._base_url}: {why}")
        if isinstance(error, aiohttp.InvalidURL) and error.description is None:
            # It is not the base URL, which was checked. The error would show the password in the URL of the proxy.
            mend = "write it, as in HTTPS_PROXY, as http://user:password@host:3128"
            return ConfigError("the proxy's URL cannot be read", mend=mend)
        secured = ", the certificate, and whether https is spoken there" if self._base_url[:6] == "https:" else ""
        mend = f"the host, the network and the proxy{secured}"
        # A certificate that is refused would be refused again.
        if is_lasting := isinstance(error, ssl.SSLCertVerificationError):
            why = f"its certificate is refused: {getattr(error, 'certificate_error', error)}"
            mend = "the host, this machine's clock, and whether a proxy opens TLS, whose issuer must be trusted then"
        elif is_lasting := isinstance(error, aiohttp.ClientHttpProxyError) and error.status == _LOGIN_REFUSED:
            mend = "user and password in the URL of the proxy"
        unsent = NotSentError(f"could not send to {self._base_url}: {why}; check {mend}")
        unsent.lasting = is_lasting
        return unsent


def _headers(signed: object) -> Mapping[str, str]:
    """Return the headers that a signer made. Raises `ConfigError`, without their values, if they are no headers."""
    if not isinstance(signed, Mapping):
        if isinstance(signed, Coroutine):
            signed.close()
        problem = f"the signer's sign returned a {type(signed).__name__}"
        raise ConfigError(problem, mend="it must return a dict of headers, and be no `async def`")
    for name, value in signed.items():
        for part in (name, value):
            if not (isinstance(part, str) and part.isprintable()):
                what = "control character" if isinstance(part, str) else type(part).__name__
                problem = f"the signer's sign returned a {what} in the header {name!r}"
                raise ConfigError(problem, mend="names and values must be plain text, such as str(timestamp)")
        if not _signer_may_set(name):
            mend = "a name has letters, digits and hyphens, and a signer does not say how a body is read"
            raise ConfigError(f"the signer's sign returned the header {name!r}", mend=mend)
    # The body knows its own content type: a signer may name that of JSON for an upload, too.
    return {name: value for name, value in signed.items() if name.lower() != "content-type"}


# Headers that say how a body is read. A server may refuse a wrong one after it has read the request, and then nobody
# knows whether a mutation happened.
_BODY_HEADERS = ("content-length", "transfer-encoding", "content-encoding", "expect")


@lru_cache(maxsize=64)
def _signer_may_set(name: str) -> bool:
    """Tell whether this is the name of a header that a signer may set."""
    return re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII) is not None and name.lower() not in _BODY_HEADERS


# Names of one encoding: the newest one reads the older ones.
_GBK = ("gbk", "cp936", "gb2312", "gb18030")


def _in_utf8(content: bytes) -> bytes:
    """Return a body in UTF-8 that is GBK by its header."""
    # UTF-8 first: the header may be wrong, and JSON is UTF-8 as a rule.
    for encoding in ("utf-8", "gb18030"):
        with suppress(UnicodeDecodeError):
            return content.decode(encoding).encode()
    return content


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
