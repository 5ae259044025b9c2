"""Faults: requests that go wrong on purpose, by script or by chance, so that a caller's recovery can be tested.

    async with Sandbox(faults=[Fault("reset_after", operation="close_ticket", times=3)]) as sandbox:

The first three requests to close a ticket close it and get no answer. `Sandbox.struck` tells which requests were
struck, `Sandbox.applied` which mutations were carried out all the same.

The "right answer" is the answer that a request would get without a fault.
"""

import asyncio
import random
import secrets
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from itertools import chain, repeat, takewhile
from typing import Final, Literal, TypeAlias, get_args

from aiohttp import web
from attrs import define, evolve, field, frozen
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

Kind: TypeAlias = Literal[
    "refuse", "reset", "hang", "401", "403", "429", "500", "503", "html", "portal", "errno",
    "reset_after", "hang_after", "html_after", "portal_after", "errno_after", "500_after", "502_after", "503_after",
    "504_after", "504_before", "truncate", "slow_headers", "slow_body", "date", "bomb", "deep", "endless", "drip",
    "many_headers", "long_header", "total", "page_size", "first_page", "bad_row", "other_ticket",
]  # fmt: skip
"""The kinds of faults: see `Fault.kind`."""

_INT32 = as_validator(whole_within, -(2**31), 2**31 - 1, names_class=True)
_Handle: TypeAlias = Callable[[], Awaitable[bytes]]


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
        row = KINDS[self.kind]
        if self.operation is not None:
            one_of("Fault.operation", self.operation, row.operations)
        number_within("Fault.seconds", self.seconds, -FAR if self.kind == "date" else 0, FAR)
        if self.retry_after is not None:
            whole_within("Fault.retry_after", self.retry_after, 0, 2**63)
        if self.errno is None and row.errno == "must":
            raise ConfigError("is None", argument="Fault.errno", mend=f"the kind {self.kind} needs one")
        if self.errno is not None and not row.errno:
            mend = f"only {', '.join(sorted(kind for kind, row in KINDS.items() if row.errno))} have one"
            raise ConfigError(f"is {self.errno!r}", argument="Fault.errno", mend=mend)
        if self.errno == 10000:
            raise ConfigError("is 10000, which is no fault but success", argument="Fault.errno")

    def meets(self, operation: str) -> bool:
        """Tell whether requests of this operation are counted."""
        return self.operation in (None, operation) and operation in KINDS[self.kind].operations


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
        self.seen += 1
        since = self.seen - self.fault.after
        if since <= 0 or since % self.fault.every or self.struck == self.fault.times:
            return False
        return self.fault.chance == 1 or chance() < self.fault.chance


@define(eq=False)
class _Watch(asyncio.Protocol):
    """Stands in for a connection's protocol during a wait: drops what arrives, and ends the wait if it is lost."""

    server: asyncio.BaseProtocol
    waiting: asyncio.Timeout

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
        self.ended: asyncio.Event = asyncio.Event()
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

    async def carry_out(self, fault: Fault, request: web.Request, handle: _Handle) -> web.StreamResponse:
        """Let a fault strike a request. `handle` handles it as without a fault, and returns the right answer's body."""
        row, body = KINDS[fault.kind], b""
        if row.handled == "first":
            body = await handle()
        elif row.handled == "later":
            await request.read()
            task = asyncio.create_task(self._handle_later(fault, handle))
            self._later.add(task)
            task.add_done_callback(self._later.discard)
        elif row.handled == "never":
            await request.release()  # reads the request to its end
        return await row.answer(_Hit(self, fault, request, body))

    async def _handle_later(self, fault: Fault, handle: _Handle) -> None:
        await self.delay(fault.seconds)
        await handle()

    async def end(self) -> None:
        """End all waits, now and from now on, and wait until the requests of 504_before are handled."""
        self.ended.set()
        await self.settle()

    async def settle(self) -> None:
        """Wait until each request that 504_before answered is handled."""
        await asyncio.gather(*self._later)

    async def delay(self, seconds: float) -> None:
        """Wait for so many seconds, or until the sandbox ends; a caller that goes away does not end the wait."""
        if seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.ended.wait()

    async def wait(self, request: web.Request, seconds: float | None) -> None:
        """Wait for so many seconds (None: no limit), or until the caller goes away or the sandbox ends."""
        if (transport := request.transport) is None:
            return
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds) as waiting:
                    transport.set_protocol(_Watch(request.protocol, waiting))
                    await self.ended.wait()
        finally:
            transport.set_protocol(request.protocol)


def envelope(body: bytes, status: int = 200) -> web.Response:
    """Return a response with an envelope (JSON) as its body."""
    return web.Response(status=status, body=body, content_type="application/json")


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
_PIECE = b"x" * (1 << 16)  # of a large body, which stands between _BEGIN and _END
_BEGIN, _END = b'{"errno":10000,"errmsg":"OK","data":"', b'","request_id":"0"}'


@frozen
class _Hit:
    """A request that is struck. Its methods answer it, each for the kinds that name it in `KINDS`."""

    faults: Faults
    fault: Fault
    request: web.Request
    body: bytes
    """The body of the right answer; b"" for a request that is not handled."""

    async def close(self) -> web.StreamResponse:
        """Close the connection, even if bytes of it have not been read; aiohttp wants a response all the same."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response()

    async def reset(self) -> web.StreamResponse:
        """Close the connection so that the caller sees ECONNRESET."""
        if (connection := self.request.get_extra_info("socket")) is not None:
            # With a linger time of 0 the kernel sends RST in place of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return await self.close()

    async def hang(self) -> web.StreamResponse:
        await self.faults.wait(self.request, None)
        return await self.close()

    async def reply(self, status: int, page: str = "") -> web.StreamResponse:
        """Answer with a page, or with an envelope if there is none or the fault has an errno."""
        if self.fault.errno is not None or not page:
            errno = Errno.FAULT if self.fault.errno is None else self.fault.errno
            said = {"errno": errno, "errmsg": "沙箱: 按脚本返回的错误", "request_id": secrets.token_hex(16)}
            return envelope(dumps(said), status)
        response = web.Response(status=status, text=page, content_type="text/html" if page[0] == "<" else "text/plain")
        if page == _BUSY_PAGE and self.fault.retry_after is not None:
            response.headers["Retry-After"] = str(self.fault.retry_after)
        return response

    async def right(self) -> web.StreamResponse:
        """Answer as without a fault; where the content is false, the rule has made the body so."""
        return envelope(self.body)

    async def truncate(self) -> web.StreamResponse:
        response = await self._piecewise([self.body[: len(self.body) // 2]], 0.0, len(self.body))
        self.request.protocol.force_close()  # once all written bytes have been sent
        return response

    async def slow_headers(self) -> web.StreamResponse:
        await self.faults.wait(self.request, self.fault.seconds)
        return envelope(self.body)

    async def slow_body(self) -> web.StreamResponse:
        size = -(-len(self.body) // 20)
        drips = [self.body[start : start + size] for start in range(0, len(self.body), size)]
        return await self._piecewise(drips, self.fault.seconds / (len(drips) - 1), len(self.body))

    async def date(self) -> web.StreamResponse:
        self.request[AHEAD] += self.fault.seconds
        return envelope(self.body)

    async def bomb(self) -> web.StreamResponse:
        if int(loads(self.body)["errno"]) != 10000:
            return envelope(self.body)  # a refused request stays refused
        response = envelope(await asyncio.to_thread(_bomb, self.fault.size))
        response.headers["Content-Encoding"] = "gzip"
        return response

    async def deep(self) -> web.StreamResponse:
        said = dumps({name: value for name, value in loads(self.body).items() if name != "data"})
        return envelope(said[:-1] + b',"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}")

    async def endless(self) -> web.StreamResponse:
        piece, pause = (b"x", self.fault.seconds) if self.fault.kind == "drip" else (_PIECE, 0.0)
        pieces = takewhile(lambda _: not self.faults.ended.is_set(), repeat(piece))
        await self._piecewise(chain((_BEGIN,), pieces), pause, None)
        return await self.close()

    async def many_headers(self) -> web.StreamResponse:
        headers = (b"X-Padding-%d: " % start for start in range(0, self.fault.size, 1000))
        return await self._after_headers(header.ljust(998, b"x") + b"\r\n" for header in headers)

    async def long_header(self) -> web.StreamResponse:
        return await self._after_headers(chain((b"X-Padding: ",), _padding(self.fault.size), (b"\r\n",)))

    async def _piecewise(self, pieces: Iterable[bytes], pause: float, length: int | None) -> web.StreamResponse:
        """Send the head at once, and the pieces with pauses between them; without a `length` the body is chunked."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = length
        await response.prepare(self.request)
        for index, piece in enumerate(pieces):
            if index and pause:
                await self.faults.wait(self.request, pause)
            await response.write(piece)
            # To a caller that reads fast `write` never waits: let other requests have their turn.
            await asyncio.sleep(0)
        return response

    async def _after_headers(self, pieces: Iterable[bytes]) -> web.StreamResponse:
        """Send an answer whose head has these bytes as further headers, and then the right body."""
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n"
        for piece in chain((head.format(len(self.body)).encode(),), pieces, (b"\r\n" + self.body,)):
            await self.request.writer.write(piece)
            await asyncio.sleep(0)
        self.request.protocol.force_close()  # once all written bytes have been sent
        return web.Response()


@lru_cache(4)
def _bomb(size: int) -> bytes:
    """Return a gzip body that unpacks to `size` bytes of JSON (56 at least)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)  # 31 is a stream of gzip (zlib manual, deflateInit2)
    pieces = chain((_BEGIN,), _padding(size - len(_BEGIN) - len(_END)), (_END,))
    return b"".join((*map(packer.compress, pieces), packer.flush()))


def _padding(size: int) -> Iterator[bytes]:
    for start in range(0, size, len(_PIECE)):
        yield _PIECE[: size - start]


@frozen
class Row:
    """A kind of fault: how it answers, and whether it has an errno; which operations it can strike."""

    answer: Callable[[_Hit], Awaitable[web.StreamResponse]]
    handled: Literal["unread", "never", "first", "later"] = "first"
    """When the request is handled: "first", and then answered; "later", after the answer; "never", though it is read.
    An "unread" request is not even read."""
    errno: Literal["", "may", "must"] = ""
    operations: tuple[str, ...] = tuple(sorted(endpoints.ENDPOINTS))


_ROWS: Final[Mapping[str, Row]] = {
    "refuse": Row(_Hit.close, "unread"),
    "reset": Row(_Hit.reset, "never"),
    "hang": Row(_Hit.hang, "never"),
    "401": Row(partial(_Hit.reply, status=401, page=_GATEWAY_PAGE), "never", errno="may"),
    "403": Row(partial(_Hit.reply, status=403, page=_GATEWAY_PAGE), "never", errno="may"),
    "429": Row(partial(_Hit.reply, status=429, page=_BUSY_PAGE), "never"),
    "500": Row(partial(_Hit.reply, status=500), "never", errno="may"),
    "502_after": Row(partial(_Hit.reply, status=502), errno="may"),
    "503": Row(partial(_Hit.reply, status=503, page=_BUSY_PAGE), "never"),
    "504_after": Row(partial(_Hit.reply, status=504), errno="may"),
    "504_before": Row(partial(_Hit.reply, status=504), "later"),
    "html": Row(partial(_Hit.reply, status=502, page=_PROXY_PAGE), "never"),
    "portal": Row(partial(_Hit.reply, status=200, page=_PORTAL_PAGE), "never"),
    "errno": Row(partial(_Hit.reply, status=200), "never", errno="must"),
    "truncate": Row(_Hit.truncate),
    "slow_headers": Row(_Hit.slow_headers),
    "slow_body": Row(_Hit.slow_body),
    "date": Row(_Hit.date),
    "bomb": Row(_Hit.bomb),
    "deep": Row(_Hit.deep),
    "endless": Row(_Hit.endless),
    "drip": Row(_Hit.endless),
    "many_headers": Row(_Hit.many_headers),
    "long_header": Row(_Hit.long_header),
    **dict.fromkeys(("total", "page_size", "first_page", "bad_row"), Row(_Hit.right, operations=("list_tickets",))),
    "other_ticket": Row(_Hit.right, operations=("get_ticket", "get_ticket_detail")),
}
#: Every kind of fault. A kind X_after without a row of its own is X for a request that is handled first.
KINDS: Final[Mapping[Kind, Row]] = {
    kind: _ROWS.get(kind) or evolve(_ROWS[kind.removesuffix("_after")], handled="first") for kind in get_args(Kind)
}
