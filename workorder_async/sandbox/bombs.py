"""Answers that are more than anybody should read: bodies that unpack, nest or go on without measure, and such heads."""

import asyncio
import zlib
from collections.abc import Iterator
from functools import lru_cache

from aiohttp import web

from workorder_async.sandbox.breaking import Pauses, close, envelope

_DEPTH = 100_000
_PIECE = 1 << 16
_LINE = 1000
_BEGIN = b'{"errno":10000,"errmsg":"OK","data":'
_END = b',"request_id":"0"}'
# zlib's number for a stream of gzip (zlib manual, deflateInit2).
_GZIP = 31


async def bomb(size: int) -> web.Response:
    """Answer with a body that unpacks to so many bytes of JSON (to 56 at the least)."""
    response = envelope(await asyncio.to_thread(_packed, size))
    response.headers["Content-Encoding"] = "gzip"
    return response


@lru_cache(4)
def _packed(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    left = max(size - len(_BEGIN) - len(_END) - 2, 0)
    packed = [packer.compress(_BEGIN + b'"')]
    packed += [packer.compress(piece) for piece in _padding(left)]
    packed.append(packer.compress(b'"' + _END) + packer.flush())
    return b"".join(packed)


def _padding(size: int) -> Iterator[bytes]:
    piece = b"x" * _PIECE
    for start in range(0, size, _PIECE):
        yield piece[: size - start]


def deep() -> web.Response:
    """Answer with arrays inside arrays."""
    return envelope(_BEGIN + b"[" * _DEPTH + b"]" * _DEPTH + _END)


async def endless(request: web.Request, pauses: Pauses, seconds: float | None) -> web.StreamResponse:
    """Begin an answer and go on with it for ever: as fast as it is read, or with a byte every so many seconds."""
    response = web.StreamResponse()
    response.content_type = "application/json"
    await response.prepare(request)
    await response.write(_BEGIN + b'"')
    while not pauses.ended:
        if seconds is None:
            await response.write(b"x" * _PIECE)
            # A caller that reads fast never keeps the write waiting, and others must be served.
            await asyncio.sleep(0)
        else:
            await response.write(b"x")
            await pauses.wait(request, seconds)
    return close(request)


async def many_headers(request: web.Request, body: bytes, size: int) -> web.StreamResponse:
    """Answer with a head of so many bytes, in many lines."""
    lines = ((b"X-Padding-%d: " % start).ljust(_LINE - 2, b"x") + b"\r\n" for start in range(0, size, _LINE))
    return await _padded(request, body, lines)


async def long_header(request: web.Request, body: bytes, size: int) -> web.StreamResponse:
    """Answer with a head of so many bytes, in one line."""

    def line() -> Iterator[bytes]:
        yield b"X-Padding: "
        yield from _padding(size)
        yield b"\r\n"

    return await _padded(request, body, line())


async def _padded(request: web.Request, body: bytes, headers: Iterator[bytes]) -> web.StreamResponse:
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n"
    await request.writer.write(head.format(len(body)).encode())
    for piece in headers:
        await request.writer.write(piece)
        await asyncio.sleep(0)
    await request.writer.write(b"\r\n" + body)
    if request.transport is not None:
        request.transport.close()
    # Never sent, as nothing is after a connection has gone.
    return web.Response()
