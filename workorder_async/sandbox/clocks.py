"""What time it is: on the clock of each backend, and in the `Date` of its answers, which may say something else."""

from collections.abc import Callable, Iterable
from email.utils import formatdate
from itertools import cycle
from typing import Final

from aiohttp import web

from workorder_async.errors import ConfigError
from workorder_async.sandbox.arguments import check_offset

#: Under these keys a request keeps how far its backend's clock is ahead, and how far its `Date` is ahead of that.
_BACKEND_AHEAD: Final = web.RequestKey("backend ahead", float)
DATE_AHEAD: Final = web.RequestKey("date ahead", float)


class Clocks:
    """The clocks of one sandbox: `clock`, how far `Date` is ahead of it, and how far those of its `backends` are.

    Requests go to the backends in turn. Offsets are in seconds, below 0 for behind; `ConfigError` names a wrong one.
    """

    def __init__(self, clock: Callable[[], float], date_offset: float, backends: Iterable[float]) -> None:
        check_offset("date_offset", date_offset)
        if not isinstance(backends, Iterable):
            raise ConfigError(f"backends must be a list of offsets in seconds, not {backends!r}; put it in brackets")
        offsets = tuple(backends)
        for index, offset in enumerate(offsets):
            check_offset(f"backends[{index}]", offset)
        self._clock = clock
        self._date_offset = date_offset
        self._turns = cycle(offsets or (0.0,))

    def take_turn(self, request: web.Request) -> None:
        """Give a request to the next backend."""
        request[_BACKEND_AHEAD] = next(self._turns)

    def now(self, request: web.Request) -> float:
        """Return the time on the clock of a request's backend, in seconds since the epoch."""
        ahead: float = request.get(_BACKEND_AHEAD, 0.0)
        return self._clock() + ahead

    async def set_date(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say in an answer what time it is."""
        said = self.now(request) + self._date_offset + request.get(DATE_AHEAD, 0.0)
        response.headers["Date"] = formatdate(max(said, 0), usegmt=True)
