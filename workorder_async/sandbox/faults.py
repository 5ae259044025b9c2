"""Faults: requests that go wrong on purpose, by script or by chance, so that a caller's recovery can be tested.

    async with Sandbox(faults=[Fault("reset_after", operation="close_ticket", times=3)]) as sandbox:

The first three requests to close a ticket close it and get no answer. `Sandbox.struck` tells which requests were
struck, `Sandbox.applied` which mutations were carried out all the same.

In this module the "right answer" is the answer that a request would get without a fault. A function here that has
closed the connection still returns a response, because aiohttp wants one; it is never sent.
"""

import asyncio
import random
import secrets
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from typing import Final, Literal, TypeAlias, get_args

from aiohttp import web
from attrs import define, field, frozen
from attrs.validators import optional

from workorder_async.arguments import as_validator, items, number_within, one_of, whole, whole_within
from workorder_async.document import endpoints
from workorder_async.document.json_text import dumps, loads
from workorder_async.errors import ConfigError
from workorder_async.sandbox.errnos import Errno

#: The largest offset of a clock and the longest wait, in seconds: about thirty years. Beyond, a `Date` may be no date.
FAR: Final = 10**9
#: The key under which a request has its backend's offset: how many seconds that clock is ahead.
AHEAD: Final = web.RequestKey("ahead", float)

_Instead: TypeAlias = Literal["reset", "hang", "401", "403", "429", "500", "503", "html", "portal", "errno"]
_Unanswered: TypeAlias = Literal["reset_after", "hang_after", "html_after", "portal_after", "errno_after"]
_Failed: TypeAlias = Literal["500_after", "502_after", "503_after", "504_after", "504_before"]
_Slow: TypeAlias = Literal["truncate", "slow_headers", "slow_body", "date"]
_Large: TypeAlias = Literal["bomb", "deep", "endless", "drip", "many_headers", "long_header"]
_PageLie: TypeAlias = Literal["total", "page_size", "first_page", "bad_row"]
Kind: TypeAlias = Literal["refuse", _Instead, _Unanswered, _Failed, _Slow, _Large, _PageLie, "other_ticket"]
"""The kinds of faults: see `Fault.kind`."""

#: The kinds that strike only certain operations, with these operations.
LIES: Mapping[Kind, tuple[str, ...]] = {
    **dict.fromkeys(get_args(_PageLie), (endpoints.LIST_TICKETS.operation,)),
    "other_ticket": (endpoints.GET_TICKET.operation, endpoints.GET_TICKET_DETAIL.operation),
}
#: The kinds that must have an errno, and those that may.
ERRNO_NEEDED: frozenset[Kind] = frozenset(("errno", "errno_after"))
ERRNO_TAKEN: frozenset[Kind] = frozenset((*ERRNO_NEEDED, "401", "403", "500", "500_after", "502_after", "504_after"))

_INT32 = as_validator(whole_within, -(2**31), 2**31 - 1, names_class=True)
_Handling: TypeAlias = Callable[[], Awaitable[bytes]]
"""Handles a request as without a fault (a mutation is applied), and returns the body of the right answer."""


@frozen
class Fault:
    """One kind of fault, and which requests it strikes: all requests, unless a field says otherwise.

    Requests are counted in the order of their arrival, from when the sandbox got its faults. `chance` draws from the
    sandbox's seed: the same requests in the same order are struck again. Raises `ConfigError`, naming the field.
    """

    kind: Kind = field(validator=as_validator(one_of, get_args(Kind), names_class=True))
    """The kind.

    No mutation is applied, and the signature is not checked:

    refuse        the connection is closed after the head of the request has arrived; its body is not read
    reset         the whole request is read, and the connection is reset
    hang          the whole request is read, and nothing is answered until the caller goes away or the sandbox ends
    401, 403      HTTP 401 Unauthorized, HTTP 403 Forbidden, as a page; with `Fault.errno` as an envelope
    429, 503      HTTP 429 Too Many Requests, HTTP 503 Service Unavailable, with `Retry-After`
    500           HTTP 500 with an envelope that has `Fault.errno`, or `Errno.FAULT` if there is none
    html          HTTP 502 with a proxy's page
    portal        HTTP 200 with the page of a login, as a captive portal answers
    errno         HTTP 200 with an envelope that has `Fault.errno`

    The request is handled as without a fault, so a mutation that is allowed is applied, and then:

    reset_after   the connection is reset, without an answer
    hang_after    nothing is answered, as with hang
    500_after, 502_after, 504_after   HTTP 500, 502 or 504 with an envelope that has `Fault.errno`, or `Errno.FAULT`
    503_after     HTTP 503 with `Retry-After`, as if nothing had happened
    html_after    HTTP 502 with a proxy's page
    portal_after  HTTP 200 with the page of a login
    errno_after   HTTP 200 with an envelope that has `Fault.errno`
    504_before    HTTP 504 at once, and the request is handled only `Fault.seconds` later
    truncate      half of the body is sent, and the connection is closed
    slow_headers  the answer begins after `Fault.seconds`
    slow_body     the head is sent at once, and the body in drips, the last one after `Fault.seconds`
    date          the answer is right, but its `Date` is `Fault.seconds` ahead of the server's clock, or behind it

    The request is handled as without a fault, and the answer is larger than a client should read:

    bomb          a small body of gzip that unpacks to `Fault.size` bytes of JSON
    deep          JSON nested 100,000 deep
    endless       a body that begins well and has no end, as fast as it is read
    drip          the same, one byte every `Fault.seconds`
    many_headers  the right body, after `Fault.size` bytes of headers, a thousand to a line
    long_header   the right body, after one header of `Fault.size` bytes

    The answer to a read is a good envelope with false content:

    total         a page of list_tickets says that there are `Fault.number` tickets; its rows are right
    page_size     a page of list_tickets says that it has `Fault.number` rows; its rows are right
    first_page    list_tickets answers with the first page, whichever page was asked for
    bad_row       the middle row of a page of list_tickets has a list for its `created_time`
    other_ticket  get_ticket and get_ticket_detail answer with another ticket: the next one, or after the last the first
    """
    operation: str | None = field(default=None, kw_only=True)
    """The endpoint, by its coroutine's name: "close_ticket"; None: every one. Requests to others do not count."""
    after: int = field(default=0, kw_only=True, validator=as_validator(whole, 0, names_class=True))
    """How many requests are spared at first."""
    every: int = field(default=1, kw_only=True, validator=as_validator(whole, names_class=True))
    """After those, strike every n-th request: 1 every one, 3 every third."""
    chance: float = field(default=1.0, kw_only=True, validator=as_validator(number_within, 0, 1, names_class=True))
    """The chance that such a request is struck, from 0 to 1."""
    times: int | None = field(default=None, kw_only=True, validator=optional(as_validator(whole, names_class=True)))
    """How many requests are struck at most; None: no limit."""
    seconds: float = field(default=1.0, kw_only=True)
    """How long slow_headers, slow_body, a byte of drip and 504_before take; how far date is ahead (below 0: behind)."""
    retry_after: int | None = field(default=1, kw_only=True)
    """`Retry-After` of 429, 503 and 503_after, in seconds; None: there is none."""
    errno: int | None = field(default=None, kw_only=True, validator=optional(_INT32))
    """The errno of an envelope: errno and errno_after need it, 401, 403 and 500 to 504 with an envelope may have it."""
    number: int = field(default=1, kw_only=True, validator=_INT32)
    """The false number of total and page_size."""
    size: int = field(default=100 << 20, kw_only=True, validator=as_validator(whole_within, 1, 2**40, names_class=True))
    """How many bytes a bomb unpacks to, and the headers of many_headers and long_header have."""

    def __attrs_post_init__(self) -> None:
        if self.operation is not None:
            one_of("Fault.operation", self.operation, LIES.get(self.kind, sorted(endpoints.ENDPOINTS)))
        number_within("Fault.seconds", self.seconds, -FAR if self.kind == "date" else 0, FAR)
        if self.retry_after is not None:
            whole_within("Fault.retry_after", self.retry_after, 0, 2**63)
        if self.errno is None and self.kind in ERRNO_NEEDED:
            raise ConfigError("is None", argument="Fault.errno", mend=f"the kind {self.kind} needs one")
        if self.errno is not None and self.kind not in ERRNO_TAKEN:
            mend = f"only {', '.join(sorted(ERRNO_TAKEN))} have one"
            raise ConfigError(f"is {self.errno!r}", argument="Fault.errno", mend=mend)
        if self.errno == 10000:
            raise ConfigError("is 10000, which is no fault but success", argument="Fault.errno")

    def meets(self, operation: str) -> bool:
        """Tell whether requests of this operation are counted."""
        return self.operation in (None, operation) and (self.kind not in LIES or operation in LIES[self.kind])


@frozen
class Struck:
    """One request that went wrong on purpose."""

    fault: Fault
    """The fault that struck it."""
    operation: str
    """The endpoint's operation."""
    request: int
    """Which of the operation's requests it was, from 1, as `Sandbox.requests` counts them."""
    time: float
    """When it arrived, in seconds since the epoch by the sandbox's clock."""


@define
class _Line:
    """A fault of the script, with the number of requests that it has seen (those it `meets`) and struck."""

    fault: Fault
    seen: int = 0
    struck: int = 0

    def is_due(self, chance: Callable[[], float]) -> bool:
        fault = self.fault
        self.seen += 1
        since = self.seen - fault.after
        if since <= 0 or since % fault.every or self.struck == fault.times:
            return False
        return fault.chance == 1 or chance() < fault.chance


class _Watch(asyncio.Protocol):
    """Replaces the server's protocol on a connection during a wait, to end the wait when the connection is lost.

    Bytes that arrive meanwhile are dropped.
    """

    def __init__(self, server: asyncio.BaseProtocol, waiting: asyncio.Timeout) -> None:
        self.server, self.waiting = server, waiting

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connection_lost(exc)
        if not self.waiting.expired():
            self.waiting.reschedule(0)


class Faults:
    """The faults of one sandbox (the script), the requests that they struck, and the waits that are still on.

    `clock` gives the time of a struck request, in seconds since the epoch.
    """

    def __init__(self, faults: Iterable[Fault], seed: int, clock: Callable[[], float]) -> None:
        self.struck: list[Struck] = []
        self._clock = clock
        self._ended = asyncio.Event()
        self._later: set[asyncio.Task[None]] = set()
        self._chance = random.Random(f"faults {seed}").random  # noqa: S311 - to be repeated, not a secret
        self.follow(faults)

    def follow(self, faults: Iterable[Fault]) -> None:
        """Set the script and count requests anew. If several faults are due for a request, the first one strikes."""
        self.script: tuple[Fault, ...] = items("faults", faults, Fault)
        self._lines = [_Line(fault) for fault in self.script]

    def strike(self, operation: str, request: int) -> Fault | None:
        """Count a request that has arrived, and return the fault that strikes it, or None."""
        due = [line for line in self._lines if line.fault.meets(operation) and line.is_due(self._chance)]
        if not due:
            return None
        due[0].struck += 1
        self.struck.append(Struck(due[0].fault, operation, request, self._clock()))
        return due[0].fault

    async def carry_out(self, fault: Fault, request: web.Request, answer: _Handling) -> web.StreamResponse:
        """Let a fault strike a request whose right answer would be `answer()`."""
        if fault.kind == "refuse":
            return _close(request)
        if fault.kind in get_args(_Instead):
            await request.release()  # reads the request to its end
            return await self._broken(fault, request)
        if fault.kind == "504_before":
            await request.read()
            task = asyncio.create_task(self._handle_later(fault, answer))
            self._later.add(task)
            task.add_done_callback(self._later.discard)
            return _refusal(Errno.FAULT, 504)
        body = await answer()
        if fault.kind.endswith("_after"):
            return await self._broken(fault, request)
        return await self._distorted(fault, request, body)

    async def _handle_later(self, fault: Fault, answer: _Handling) -> None:
        await self.delay(fault.seconds)
        await answer()

    async def end(self) -> None:
        """End all waits, now and from now on, and wait until the requests of 504_before are handled."""
        self._ended.set()
        await self.settle()

    async def settle(self) -> None:
        """Wait until each request that 504_before answered is handled."""
        await asyncio.gather(*self._later)

    async def _broken(self, fault: Fault, request: web.Request) -> web.StreamResponse:
        """Answer without the right answer, by the kinds "X" (not handled) and "X_after" (handled before) alike."""
        errno = Errno.FAULT if fault.errno is None else fault.errno
        response: web.StreamResponse
        match fault.kind.removesuffix("_after"):
            case "reset":
                response = _reset(request)
            case "hang":
                await self.wait(request, None)
                response = _close(request)
            case "html":
                response = web.Response(status=502, content_type="text/html", text=_PROXY_PAGE)
            case "portal":
                response = web.Response(content_type="text/html", text=_PORTAL_PAGE)
            case "429" | "503" as status:
                headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                response = web.Response(status=int(status), headers=headers, text=_BUSY_PAGE)
            case "401" | "403" as status if fault.errno is None:
                response = web.Response(status=int(status), text=_GATEWAY_PAGE)
            case name:
                response = _refusal(errno, 200 if name == "errno" else int(name))
        return response

    async def _distorted(self, fault: Fault, request: web.Request, body: bytes) -> web.StreamResponse:
        """Send the right answer (`body`) late, in pieces, cut or with a wrong date, or a larger one in its place.

        The kinds with false content need nothing here: the rule made the body false.
        """
        response: web.StreamResponse = envelope(body)
        match fault.kind:
            case "truncate":
                response = await self._piecewise(request, [body[: len(body) // 2]], length=len(body))
                _hang_up(request)
            case "slow_headers":
                await self.wait(request, fault.seconds)
            case "slow_body":
                size = -(-len(body) // _DRIPS)
                drips = [body[start : start + size] for start in range(0, len(body), size)]
                response = await self._piecewise(request, drips, fault.seconds / (len(drips) - 1), len(body))
            # A refused request stays refused: only a success is replaced by a bomb, and deep keeps the errno.
            case "bomb" if int(loads(body)["errno"]) == 10000:
                response = envelope(await asyncio.to_thread(_bomb, fault.size))
                response.headers["Content-Encoding"] = "gzip"
            case "deep":
                said = dumps({name: value for name, value in loads(body).items() if name != "data"})
                response = envelope(said[:-1] + b',"data":' + b"[" * _DEPTH + b"]" * _DEPTH + b"}")
            case "endless" | "drip":
                piece, pause = (b"x", fault.seconds) if fault.kind == "drip" else (b"x" * _PIECE, 0.0)
                await self._piecewise(request, self._without_end(piece), pause)
                response = _close(request)
            case "many_headers":
                lines = range(0, fault.size, _LINE)
                headers = ((b"X-Padding-%d: " % start).ljust(_LINE - 2, b"x") + b"\r\n" for start in lines)
                response = await _after_headers(request, body, headers)
            case "long_header":
                header = chain((b"X-Padding: ",), _padding(fault.size), (b"\r\n",))
                response = await _after_headers(request, body, header)
            case "date":
                request[AHEAD] += fault.seconds
        return response

    async def _piecewise(
        self, request: web.Request, pieces: Iterable[bytes], pause: float = 0.0, length: int | None = None
    ) -> web.StreamResponse:
        """Send the head at once, and the pieces with pauses between them; without a `length` the body is chunked."""
        response = web.StreamResponse()
        response.content_type = "application/json"
        response.content_length = length
        await response.prepare(request)
        for index, piece in enumerate(pieces):
            if index and pause:
                await self.wait(request, pause)
            await response.write(piece)
            # To a caller that reads fast `write` never waits: let other requests have their turn.
            await asyncio.sleep(0)
        return response

    def _without_end(self, piece: bytes) -> Iterator[bytes]:
        yield _BEGIN + b'"'
        while not self._ended.is_set():
            yield piece

    async def delay(self, seconds: float) -> None:
        """Wait for so many seconds, or until the sandbox ends; a caller that goes away does not end the wait."""
        if seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ended.wait()

    async def wait(self, request: web.Request, seconds: float | None) -> None:
        """Wait for so many seconds (None: no limit), or until the caller goes away or the sandbox ends."""
        transport = request.transport
        if transport is None:
            return
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds) as waiting:
                    transport.set_protocol(_Watch(request.protocol, waiting))
                    await self._ended.wait()
        finally:
            transport.set_protocol(request.protocol)


def envelope(body: bytes, status: int = 200) -> web.Response:
    """Return a response with an envelope (JSON) as its body."""
    return web.Response(status=status, body=body, content_type="application/json")


def _refusal(errno: int, status: int) -> web.Response:
    """Return a response with an envelope of this errno."""
    said = {"errno": errno, "errmsg": "沙箱: 按脚本返回的错误", "request_id": secrets.token_hex(16)}
    return envelope(dumps(said), status)


_BUSY_PAGE = "the sandbox is busy, by its script\n"
_GATEWAY_PAGE = "the sandbox's gateway does not know you, by its script\n"
_PROXY_PAGE = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>sandbox proxy</center>\r\n</body>\r\n</html>\r\n"
)
_PORTAL_PAGE = (
    '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>网络认证</title></head>\n<body>\n'
    '<form action="/login" method="post">请登录后访问网络 <input name="user"></form>\n</body></html>\n'
)


def _close(request: web.Request) -> web.Response:
    """Close the connection, even if bytes of it have not been read."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _reset(request: web.Request) -> web.Response:
    """Close the connection so that the caller sees ECONNRESET."""
    if request.transport is not None:
        # With a linger time of 0 the kernel sends RST in place of FIN.
        linger = struct.pack("ii", 1, 0)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    return _close(request)


def _hang_up(request: web.Request) -> None:
    """Close the connection after all written bytes have been sent."""
    if request.transport is not None:
        request.transport.close()


# Pieces of slow_body; nested arrays of deep; bytes of a piece of a large body, and of a header of many_headers.
_DRIPS = 20
_DEPTH = 100_000
_PIECE = 1 << 16
_LINE = 1000
_BEGIN = b'{"errno":10000,"errmsg":"OK","data":'
_END = b',"request_id":"0"}'
# zlib's number for a stream of gzip (zlib manual, deflateInit2).
_GZIP = 31


@lru_cache(4)
def _bomb(size: int) -> bytes:
    """Return a gzip body that unpacks to `size` bytes of JSON (56 at least)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    left = max(size - len(_BEGIN) - len(_END) - 2, 0)
    pieces = chain((_BEGIN + b'"',), _padding(left), (b'"' + _END,))
    return b"".join((*map(packer.compress, pieces), packer.flush()))


def _padding(size: int) -> Iterator[bytes]:
    piece = b"x" * _PIECE
    for start in range(0, size, _PIECE):
        yield piece[: size - start]


async def _after_headers(request: web.Request, body: bytes, pieces: Iterable[bytes]) -> web.StreamResponse:
    """Send an answer whose head has these bytes as further headers, and then the body."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n"
    await request.writer.write(head.format(len(body)).encode())
    for piece in pieces:
        await request.writer.write(piece)
        await asyncio.sleep(0)
    await request.writer.write(b"\r\n" + body)
    _hang_up(request)
    return web.Response()
