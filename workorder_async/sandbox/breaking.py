"""How one answer goes wrong on the wire: cut off, silent, slow, or a page of something between the two.

What is returned after a connection has gone is never sent; the server wants something to return.
"""

import asyncio
import secrets
import socket
import struct
from contextlib import suppress

from aiohttp import web

from workorder_async.document.json_text import dumps

_DRIPS = 20

_PROXY_PAGE = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>sandbox proxy</center>\r\n</body>\r\n</html>\r\n"
)
_PORTAL_PAGE = (
    '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>网络认证</title></head>\n<body>\n'
    '<form action="/login" method="post">请登录后访问网络 <input name="user"></form>\n</body></html>\n'
)


def envelope(body: bytes, status: int = 200) -> web.Response:
    """Answer with an envelope, as always."""
    return web.Response(status=status, body=body, content_type="application/json")


def refusal(errno: int, status: int = 200) -> web.Response:
    """Answer with an envelope that says no."""
    said = {"errno": errno, "errmsg": "沙箱: 按脚本返回的错误", "request_id": secrets.token_hex(16)}
    return envelope(dumps(said), status)


def forbidden(status: int) -> web.Response:
    """Answer as a gateway does that does not know who asks."""
    return web.Response(status=status, text="the sandbox's gateway does not know you, by its script\n")


def busy(status: int, retry_after: int | None) -> web.Response:
    """Answer that it is too much just now, and when to come again, in seconds."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.Response(status=status, headers=headers, text="the sandbox is busy, by its script\n")


def proxy_page() -> web.Response:
    """Answer as a proxy does that got no answer."""
    return web.Response(status=502, content_type="text/html", text=_PROXY_PAGE)


def portal_page() -> web.Response:
    """Answer as a captive portal does: with success, and with a page that asks who you are."""
    return web.Response(content_type="text/html", text=_PORTAL_PAGE)


def close(request: web.Request) -> web.Response:
    """Close the connection, whatever has not been read."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def reset(request: web.Request) -> web.Response:
    """Close the connection so that the caller sees ECONNRESET."""
    if request.transport is not None:
        # Not to linger is to send RST in place of FIN.
        linger = struct.pack("ii", 1, 0)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    return close(request)


async def truncate(request: web.Request, body: bytes) -> web.StreamResponse:
    """Send the head of an answer and half of its body, and close the connection."""
    response = await _begin(request, body)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def _begin(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = "application/json"
    response.content_length = len(body)
    await response.prepare(request)
    return response


class _Watch(asyncio.Protocol):
    """Stands between a connection and its server, to see it end; what comes meanwhile is dropped."""

    def __init__(self, server: asyncio.BaseProtocol) -> None:
        self.server = server
        self.over = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connection_lost(exc)
        self.over.set()


class Pauses:
    """The requests that are kept waiting, and their common end."""

    def __init__(self) -> None:
        self._watches: set[_Watch] = set()
        self._ended = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether the sandbox has come to its end."""
        return self._ended.is_set()

    def end(self) -> None:
        """Let every pause be over, and every further one."""
        self._ended.set()
        for watch in self._watches:
            watch.over.set()

    async def delay(self, seconds: float) -> None:
        """Wait so long, whatever the caller does meanwhile."""
        if seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ended.wait()

    async def hang(self, request: web.Request) -> web.StreamResponse:
        """Say nothing, until the caller goes away."""
        await self.wait(request, None)
        return close(request)

    async def slow_headers(self, request: web.Request, body: bytes, seconds: float) -> web.StreamResponse:
        """Answer after so many seconds."""
        await self.wait(request, seconds)
        return envelope(body)

    async def slow_body(self, request: web.Request, body: bytes, seconds: float) -> web.StreamResponse:
        """Answer at once with the head and the first bytes, and with the last ones after so many seconds."""
        response = await _begin(request, body)
        size = -(-len(body) // _DRIPS)
        drips = [body[start : start + size] for start in range(0, len(body), size)]
        await response.write(drips[0])
        for drip in drips[1:]:
            await self.wait(request, seconds / (len(drips) - 1))
            await response.write(drip)
        return response

    async def wait(self, request: web.Request, seconds: float | None) -> None:
        """Wait so long, or without end, or until the caller goes away or the sandbox ends."""
        transport = request.transport
        if transport is None or self._ended.is_set():
            return
        watch = _Watch(transport.get_protocol())
        self._watches.add(watch)
        transport.set_protocol(watch)
        try:
            async with asyncio.timeout(seconds):
                await watch.over.wait()
        except TimeoutError:
            pass
        finally:
            self._watches.remove(watch)
            transport.set_protocol(watch.server)
