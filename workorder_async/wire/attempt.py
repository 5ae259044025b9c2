"""One attempt on the wire: sign, write, read, within its time; a failure says whether anything was sent.

Every attempt is signed afresh. Its connection is looked at before the first byte. If bytes or an end lie on it, it is
closed, and another one is used: bytes that came before a request are never its answer, and an idle connection that the
server has closed costs nothing. Bytes count as sent when the transport has taken them, and it takes the body of an
attempt once.

No error leaves here with a frame, a cause or a field that knows the proxy's password. The aiohttp session underneath is
opened when first needed, used in one event loop, and closed, or found left open.
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
from workorder_async.wire.call import OF_AN_ANSWER, Call, Deadline, ending_call
from workorder_async.wire.options import ClientOptions

# Within one such pause every socket that has something is read, and the tasks that waited for it run.
_LOOK = 0.01
_LOOKS_IN_VAIN = 3
_LOOKS = 100


class AttemptLimit:
    """Ends the `with` block of its task by `TimeoutError`: at the limit that was set last, or some looks later.

    That is the deadline of its call, until `begin` says that the attempt has its own seconds from now on.

    It cancels the task as `asyncio.timeout` does, and takes that back, so that a cancellation by others passes.

    A timer alone is not fair. Where the event loop was blocked, or the whole process stopped, an answer may have lain
    in the socket all the time, and the timer fires before anybody could read it. So, when time is up, the loop gets a
    few turns more, and goes on getting them while bytes come in, up to a second.
    """

    def __init__(self, seconds: float, deadline: Deadline) -> None:
        #: How many bytes of the answer were read.
        self.received: int = 0
        # Until the attempt begins, only the deadline of its call counts.
        self._at = deadline.until
        #: Whether the limit that is set, and so the one that fires, is the deadline of the whole call.
        self.ends_call: bool = True
        #: Whether the time was up.
        self.expired: bool = False
        self._seconds = seconds
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
        """Let it be up when the attempt has taken its seconds from now on, or at the deadline if that is sooner."""
        own = asyncio.get_running_loop().time() + self._seconds
        self._at, self.ends_call = min(own, deadline.until), deadline.until <= own
        # One timer is enough: where the time was put off, it is set again when it fires.
        if self._at < self._timer.when():
            self._timer.cancel()
            self._arm(self._at)

    def _arm(self, at: float) -> None:
        self._timer = asyncio.get_running_loop().call_at(at, self._look, at, 0, _LOOKS_IN_VAIN, self.received)

    def _look(self, at: float, looks: int, left: int, received: int) -> None:
        if at < self._at:
            self._arm(self._at)
            return
        left = _LOOKS_IN_VAIN if self.received != received else left - 1
        if left < 0 or looks >= _LOOKS:
            self.expired = True
            self._task.cancel()
        else:
            later = asyncio.get_running_loop().call_later
            self._timer = later(_LOOK, self._look, at, looks + 1, left, self.received)


# A client that is left open may be collected in one heap with its aiohttp session; kept here, the session goes last, so
# that the one warning is ours.
_KEPT: set[aiohttp.ClientSession] = set()


def _leave_to_parent() -> None:
    """Forget the connections in a child of a fork: closed there, they would not be heard any more in the parent."""
    for http in _KEPT:
        getattr(http.connector, "_conns", {}).clear()
        http.detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


class Pool:
    """The pooled connections of one client: in its own aiohttp session, or in a session of the user's."""

    def __init__(self, base_url: str, options: ClientOptions) -> None:
        self.http = options["session"]
        url = URL(base_url)
        self._place = (url.raw_host, url.port)
        self.is_own: bool = self.http is None
        self._size = options["max_in_flight"]
        self._loop: asyncio.AbstractEventLoop | None = getattr(self.http, "_loop", None)
        self._closed = False
        #: Answers whose bodies are being read: aiohttp closes a connection without a word to who reads from it.
        self.reading: set[aiohttp.ClientResponse] = set()
        self._fresh_until = 0.0
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
        """Let mutations have new connections for a minute: one was lost on its way."""
        self._fresh_until = asyncio.get_running_loop().time() + _DISTRUST

    def opened(self, *, mutates: bool = False) -> aiohttp.ClientSession:
        """Return the session to send with, whose next idle connection is quiet, or which has none.

        Raises `ConfigError` where it was closed while the call waited.
        """
        self.check_usable()
        if self.http is None:
            self.http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._size),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            # See `_once`, which costs each request some calls, and hides why the connection broke.
            self.http._retry_connection = False
            _KEPT.add(self.http)
        elif self.http.closed:
            mend = "make another client with an open one"
            raise ConfigError("the session that was brought along is closed", mend=mend)
        all_of_them = mutates and asyncio.get_running_loop().time() < self._fresh_until
        # Up to the first quiet one, which is the next. aiohttp looks only for an end that the event loop has read, and
        # has no public way to its idle connections. Those to other hosts, in a user's session, are no business of ours.
        idle = getattr(getattr(self.http, "connector", None), "_conns", {})
        for key, connections in idle.items():
            while connections and (key.host, key.port) == self._place:
                next_one = connections[0][0]
                if not (all_of_them or _is_spoilt(next_one) or _is_readable(next_one.transport)):
                    break
                connections.popleft()[0].close()
        return self.http

    async def aclose(self) -> None:
        """Close the connections; a session that was brought along stays open."""
        self._closed = True
        if self.http is not None and self.is_own:
            _KEPT.discard(self.http)
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
        _KEPT.discard(http)
        connector = http.connector
        http.detach()
        if connector is not None:
            # Nothing can be awaited here: one step of the coroutine closes the sockets, which is all that is left to
            # do, and keeps aiohttp from warning of the same once more.
            with suppress(StopIteration, RuntimeError):
                connector.close().__await__().send(None)


# How many connections are tried where bytes lie on each new one.
_CONNECTIONS = 3
# A server that closes connections without a word a moment after its answer would lose every second mutation.
_DISTRUST = 60.0
_POLL = getattr(select, "poll", None)


def _is_readable(transport: asyncio.BaseTransport | None) -> bool:
    """Tell whether bytes, or an end, lie in the socket and were not read by the event loop yet."""
    sock = None if transport is None else transport.get_extra_info("socket")
    # Windows has no `poll`.
    if _POLL is None or sock is None or (number := sock.fileno()) < 0:
        return False
    poller = _POLL()
    poller.register(number, select.POLLIN)
    # Others than these it tells unasked.
    return bool((found := poller.poll(0)) and found[0][1] & select.POLLIN)


def _is_spoilt(protocol: ResponseHandler) -> bool:
    """Tell whether a connection ends, or the event loop has read something on it that nobody has asked for."""
    transport, parser = protocol.transport, protocol._parser
    if transport is None or transport.is_closing() or protocol.should_close:
        return True
    # The parser returns the message of which it holds a first part. The next request gets a new parser.
    return parser is not None and parser.feed_eof() is not None


# A cache on the way would show a lost mutation's ticket as it was, and it would be sent again.
_HEADERS = {"User-Agent": "workorder_async", "Accept": "application/json", "Cache-Control": "no-cache"}
_NOT_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)


# Some proxies lock an account after a few wrong logins.
_LOGIN_REFUSED = HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
# aiohttp tells of its connections how they are secured, with an address in memory.
_OF_TLS = re.compile(r" ssl:(default|<[^>]*>)")


@define
class Reply:
    """The answer to one attempt, as it came off the wire."""

    status: int
    content: bytes | None
    """The body, unpacked; None where it is larger than is read."""
    received: float
    """When, by our own clock."""
    date: str | None
    retry_after: str | None
    location: str


class _Payload(aiohttp.Payload):
    """The body of one attempt: it looks at the connection before its first byte, and notes what the transport takes."""

    def __init__(
        self,
        call: Call,
        limit: AttemptLimit,
        pieces: bytes | AsyncIterator[bytes],
        size: int,
        content_type: str = "application/json",
    ) -> None:
        super().__init__(pieces, content_type=content_type)
        #: Whether it was asked for.
        self.asked: bool = False
        #: Why it was not written, or not to its end: aiohttp hides that error in one of its own.
        self.failure: Exception | None = None
        self._size = size
        self._transport: asyncio.Transport | None = None
        self._call = call
        self._limit = limit
        self._began = 0.0

    def __deepcopy__(self, _: object) -> Self:
        # Sessions that stand in for the network copy what they are given.
        return self

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Refuse: nothing asks for the text of a body."""
        raise TypeError("a body that is written once has no text")

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return the whole body; for tests that stand in for the network."""
        return self._value if isinstance(self._value, bytes) else b"".join([piece async for piece in self._value])

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write JSON in one piece, or a file in many."""
        self.asked = True
        stream, body = cast("StreamWriter", writer), self._call.body
        try:
            if isinstance(body, JsonBody) and body.before_write is not None:
                with ending_call("nothing was sent"):
                    await body.before_write()
            # Last, since bytes that come while the caller's code runs are no answer either.
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
        """Look at the connection, and let the time of the attempt begin."""
        call = self._call
        if call.sent:
            raise ConnectionAbortedError("the session sends a request once more by itself; let it send each once")
        transport, protocol = stream.transport, cast("ResponseHandler", stream.protocol)
        lies = _is_readable(transport)
        if lies and transport is not None and transport.get_extra_info("ssl_object") is not None:
            # TLS speaks of itself, too. So the event loop reads it first.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            lies = False
        if lies or _is_spoilt(protocol):
            call.unquiet = True
            raise ConnectionResetError("something lay on the connection before the request was written")
        if call.deadline.left() <= 0:
            # The loop was blocked. The limit ends the call in a moment, and this task with it.
            await asyncio.get_running_loop().create_future()
        self._transport = transport
        self._limit.begin(call.deadline)
        self._began = call.clock.local()

    async def _put(self, stream: StreamWriter, piece: bytes) -> None:
        """Hand a piece to the transport, and note that it was sent, and when. Raises where it takes none of it."""
        await stream.write(piece, drain=False)
        transport, call = stream.transport, self._call
        # Open before the write and closed right after it, with no turn of the loop between: the first `send` failed.
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the connection was closed when the request was written")
        call.sent, call.began = True, call.began or self._began
        if isinstance(call.body, FileBody):
            # A large file may take its time, as long as the server takes it: both limits count from its last byte.
            # The call's own deadline stays: else attempts that are turned away would never end.
            self._limit.begin(Deadline.after(call.deadline.seconds))

    def give_up(self) -> None:
        """Send no more of a request whose answer nobody waits for.

        A connection that is only closed first sends the bytes that it holds, however long that takes: the request could
        arrive long after it was said not to have happened. A connection that goes on is used by another call.
        """
        if self._transport is not None and self._transport.is_closing():
            self._transport.abort()


def _once() -> aiohttp.ClientMiddlewareType:
    """Return a middleware that lets a request through once: aiohttp would repeat a GET whose connection broke.

    The second one would be signed as before, and counted nowhere. `_Payload` does the same for requests with a body.
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
        # The time of an attempt is kept here, so that errors can say where it went. In a pool of our own there is a
        # place for every slot. In a user's session a call may wait for a place, and that time is not spent connecting.
        connect = min(options["connect_timeout"], 1e9)  # aiohttp would round infinity up
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=connect if pool.is_own else None, sock_connect=connect
        )
        # Without a body nobody tells when a request gets its place.
        self._timeout_without_body = evolve(self._timeout, sock_read=None if pool.is_own else self._attempt_timeout)

    async def exchange(self, call: Call) -> Reply:
        """Make the attempt that a call is at. Raises the error for one without a complete answer in time."""
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
                    # Nobody is told when it is written, so assume that it is sent.
                    call.sent, call.began = True, call.began or sent_at
                    if self._pool.is_own:
                        limit.begin(call.deadline)
                failure: BaseException
                try:
                    reply = await self._transfer(call, payload, signed, limit)
                except BaseException as error:  # noqa: BLE001 - raised below, cancellation too
                    if payload is not None:
                        payload.give_up()
                    failure = self._told(call, None if payload is None else payload.failure, error)
                else:
                    call.status = reply.status
                    steady = asyncio.get_running_loop().time
                    call.seen = self._clock.observe(reply.date, sent_at, reply.received, steady)
                    return reply
                # Outside the `except`: else the caught error would be its context.
                try:
                    raise failure
                finally:
                    del failure  # which knows this frame
        except TimeoutError as error:
            if not limit.expired:
                raise
            nothing = f"not within {self._attempt_timeout:g} s"
            late = call.too_late() if limit.ends_call else self._lost(call, nothing)
            raise late from late.__cause__ or error

    def _signed(self, call: Call) -> Mapping[str, str]:
        """Return the headers that sign an attempt, by our clock and the seconds that the call adds to it."""
        call.used = self._clock.signing_offset if call.tried is None else call.tried
        endpoint, body = call.endpoint, call.body
        pieces: Iterable[bytes] = () if body is None else (body.content,) if isinstance(body, JsonBody) else body
        path, now = self._base_path + endpoint.path, int((self._clock.local() + call.used) * 1000)
        try:
            signed = self._signer.sign(SigningInput(endpoint.method, path, call.query, pieces, now))
        except OF_AN_ANSWER as error:
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
        # Where the client was closed meanwhile, this raises, and nothing is sent.
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
        is_real = isinstance(getattr(response, "_writer", None), asyncio.Task)
        if payload is not None and not call.sent and (payload.asked or is_real):
            # It came before the request was written. Who writes it may be waiting, gone, or not there yet.
            response.close()
            call.unquiet = True
            raise ConnectionResetError("an answer lay on the connection before the request was written")
        if payload is None and not self._pool.is_own:
            limit.begin(call.deadline)
        content = await self._read(response, limit)
        headers = response.headers
        location = without_credentials(headers["Location"]) if "Location" in headers else ""
        # A clock that fails by now fails like the network: the request was sent.
        received = self._clock.local()
        return Reply(response.status, content, received, headers.get("Date"), headers.get("Retry-After"), location)

    async def _read(self, response: aiohttp.ClientResponse, limit: AttemptLimit) -> bytes | None:
        """Read a body, unpacked piece by piece, so that no more than is allowed is ever held; None if it is larger."""
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
            # The status 429 says all: such a server may be too busy for the rest of its answer.
            if response.status != 429:
                raise
            content = b""
        finally:
            self._pool.reading.discard(response)
            # It is closed once it was read to its end, and its connection is free.
            if not response.closed:
                response.close()
        return content

    def _told(self, call: Call, unwritten: Exception | None, error: BaseException) -> BaseException:
        """Return the error to raise for a failure on the wire: without the frames, which hold the proxy's password.

        `unwritten` is why the body was not written, if it was not. Where a proxy may be known, the error is without its
        cause as well: aiohttp's errors have the proxy's URL in their fields.
        """
        causes = not self._may_know_proxy
        if isinstance(error, Exception) and unwritten is not None:
            error = unwritten
        is_ours = isinstance(error, WorkorderError) and not isinstance(error, OF_AN_ANSWER)
        # A callback may fail where a session sends a mutation once more by itself: that unsays nothing.
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
        why = without_credentials(" ".join(_OF_TLS.sub("", why).split())).rstrip(":")
        if call.body is None and isinstance(error, _NOT_CONNECTED):
            call.sent = False
        if call.sent:
            if call.endpoint.safety is not Safety.READ:
                self._pool.distrust()
            return NoAnswerError(f"no complete answer from {self._base_url}: {why}")
        if isinstance(error, aiohttp.InvalidURL) and error.description is None:
            # The base URL was checked. The error shows the password of a proxy without http:// before it.
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
    """Return what a signer returned. Raises `ConfigError` where these are no headers, without their values."""
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
        if not _may_be_signed(name):
            mend = "a name has letters, digits and hyphens, and a signer does not say how a body is read"
            raise ConfigError(f"the signer's sign returned the header {name!r}", mend=mend)
    # The body knows its own content type: a signer may name that of JSON for an upload, too.
    return {name: value for name, value in signed.items() if name.lower() != "content-type"}


# A server may refuse them once it has read the request, and then nobody knows whether a mutation happened.
_OF_BODY = ("content-length", "transfer-encoding", "content-encoding", "expect")


@lru_cache(maxsize=64)
def _may_be_signed(name: str) -> bool:
    """Tell whether HTTP has such a header, and a signer may set it."""
    return re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII) is not None and name.lower() not in _OF_BODY


# Names of one encoding: the newest one reads the older ones.
_GBK = ("gbk", "cp936", "gb2312", "gb18030")


def _in_utf8(content: bytes) -> bytes:
    """Return the body of a server that says that it writes in GBK as UTF-8."""
    # Where the header lies, it is UTF-8, as all JSON is.
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
