"""The aiohttp session under a client: opened when first needed, used in one event loop, closed, or found left open."""

import asyncio
import sys
import warnings
from contextlib import suppress

import aiohttp

from workorder_async.errors import ConfigError
from workorder_async.wire.options import SessionOptions

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
