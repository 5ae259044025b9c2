"""How many requests are let through in any one second: a true limit, by a window that slides over what was granted."""

import asyncio
from collections import deque

from aiohttp import web

from workorder_async.errors import ConfigError
from workorder_async.sandbox import breaking
from workorder_async.sandbox.arguments import check_whole

_SECOND = 1.0


class Limit:
    """Grants a request where fewer than `rate` were granted in the second before it; None grants all.

    A refused request uses up nothing. It is answered with HTTP 429, and with `Retry-After` where `retry_after` gives
    seconds; or with HTTP 200 and an envelope of `errno`. Raises `ConfigError` that names the argument.
    """

    def __init__(self, rate: int | None, retry_after: int | None, errno: int | None) -> None:
        for name, value, low, high in (
            ("rate", rate, 1, 10**6),
            ("retry_after", retry_after, 0, 2**63),
            ("rate_errno", errno, -(2**31), 2**31 - 1),
        ):
            if value is not None:
                check_whole(name, value, low, high)
        if rate is None and (retry_after is not None or errno is not None):
            raise ConfigError("retry_after and rate_errno say how a request beyond rate is refused; give rate too")
        if retry_after is not None and errno is not None:
            raise ConfigError("retry_after goes with HTTP 429, and rate_errno with HTTP 200; give one of them")
        if errno == 10000:
            raise ConfigError("rate_errno is 10000, which is no refusal but success")
        self._retry_after = retry_after
        self._errno = errno
        self._last = None if rate is None else deque[float](maxlen=rate)
        self.granted: list[float] = []

    def grants(self) -> bool:
        """Tell whether a request that arrives now is let through, and remember when it was."""
        if self._last is None:
            return True
        now = asyncio.get_running_loop().time()
        if len(self._last) == self._last.maxlen and now - self._last[0] < _SECOND:
            return False
        self._last.append(now)
        self.granted.append(now)
        return True

    async def refuse(self, request: web.Request) -> web.Response:
        """Read a request that was not granted, and answer it."""
        async for _ in request.content.iter_any():
            pass
        return breaking.busy(429, self._retry_after) if self._errno is None else breaking.refusal(self._errno)
