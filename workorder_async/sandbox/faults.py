"""Faults: requests that go wrong on purpose, by script or by chance, so that a caller's recovery can be tested.

    async with Sandbox(faults=[Fault("reset_after", operation="close_ticket", times=3)]) as sandbox:

The first three requests to close a ticket close it and get no answer. `Sandbox.struck` tells which requests were
struck, `Sandbox.applied` what was carried out all the same.
"""

import random
from collections.abc import Awaitable, Callable, Iterable
from typing import get_args

from aiohttp import web
from attrs import define, field, frozen

from workorder_async.errors import ConfigError
from workorder_async.sandbox import bombs, breaking
from workorder_async.sandbox.arguments import check_choice, check_offset, check_seconds, check_whole, script
from workorder_async.sandbox.clocks import DATE_AHEAD
from workorder_async.sandbox.errnos import Errno
from workorder_async.sandbox.kinds import ERRNO_NEEDED, ERRNO_TAKEN, INSTEAD, LIES, OPERATIONS, Kind

_ANYTHING = 2**63
_SIZE_MAX = 1 << 40


@frozen
class Fault:
    """One kind of fault, and which requests it strikes: all of them, where nothing else is said.

    Requests are counted as they arrive, from when the script was set. Chance comes from the sandbox's seed: the same
    requests in the same order are struck again. Raises `ConfigError`, naming the field.
    """

    kind: Kind
    """What goes wrong."""
    operation: str | None = field(default=None, kw_only=True)
    """The endpoint, by its coroutine's name: "close_ticket"; None: every one. Only its requests are counted."""
    after: int = field(default=0, kw_only=True)
    """So many requests are spared at first."""
    every: int = field(default=1, kw_only=True)
    """Of those that follow, every so many-th is struck; 1: each one."""
    chance: float = field(default=1.0, kw_only=True)
    """And of those, this share."""
    times: int | None = field(default=None, kw_only=True)
    """How often it strikes at the most; None: without an end."""
    seconds: float = field(default=1.0, kw_only=True)
    """How long slow_headers, slow_body and a byte of drip take; how far date is ahead (below 0: behind)."""
    retry_after: int | None = field(default=1, kw_only=True)
    """`Retry-After` of 429, 503 and 503_after, in seconds; None: there is none."""
    errno: int | None = field(default=None, kw_only=True)
    """The errno of an envelope: errno and errno_after need it, 401, 403 and 500 to 504 with an envelope may have it."""
    number: int = field(default=1, kw_only=True)
    """What total and page_size say."""
    size: int = field(default=100 << 20, kw_only=True)
    """How many bytes a bomb unpacks to, and the headers of many_headers and long_header have."""

    def __attrs_post_init__(self) -> None:
        check_choice("Fault.kind", self.kind, get_args(Kind))
        if self.operation is not None:
            check_choice("Fault.operation", self.operation, LIES.get(self.kind, OPERATIONS))
        check_whole("Fault.after", self.after, 0, _ANYTHING)
        check_whole("Fault.every", self.every, 1, _ANYTHING)
        if isinstance(self.chance, bool) or not isinstance(self.chance, int | float) or not 0 <= self.chance <= 1:
            raise ConfigError(f"Fault.chance is {self.chance!r}; it must be a share, from 0 to 1")
        if self.times is not None:
            check_whole("Fault.times", self.times, 1, _ANYTHING)
        (check_offset if self.kind == "date" else check_seconds)("Fault.seconds", self.seconds)
        if self.retry_after is not None:
            check_whole("Fault.retry_after", self.retry_after, 0, _ANYTHING)
        if self.errno is None and self.kind in ERRNO_NEEDED:
            raise ConfigError(f"Fault.errno is None; the kind {self.kind} needs one")
        if self.errno is not None and self.kind not in ERRNO_TAKEN:
            raise ConfigError(f"Fault.errno is {self.errno!r}; only {', '.join(sorted(ERRNO_TAKEN))} have one")
        if self.errno is not None:
            check_whole("Fault.errno", self.errno, -(2**31), 2**31 - 1)
            if self.errno == 10000:
                raise ConfigError("Fault.errno is 10000, which is no fault but success")
        check_whole("Fault.number", self.number, -(2**31), 2**31 - 1)
        check_whole("Fault.size", self.size, 1, _SIZE_MAX)

    def meets(self, operation: str) -> bool:
        """Tell whether requests of this operation are counted."""
        return self.operation in (None, operation) and (self.kind not in LIES or operation in LIES[self.kind])


@frozen
class Struck:
    """One request that went wrong on purpose."""

    fault: Fault
    """What happened to it."""
    operation: str
    """The endpoint's operation."""
    request: int
    """Which of the operation's requests it was, from 1, as `Sandbox.requests` counts them."""
    time: float
    """When it arrived, in seconds since the epoch by the sandbox's clock."""


@define
class _Line:
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


class Faults:
    """Keeps a script and the record of what it did; `clock` gives seconds since the epoch."""

    def __init__(self, faults: Iterable[Fault], seed: int, clock: Callable[[], float]) -> None:
        self.struck: list[Struck] = []
        self.pauses: breaking.Pauses = breaking.Pauses()
        self._clock = clock
        self._chance = random.Random(f"faults {seed}").random  # noqa: S311 - to be repeated, not a secret
        self.script = faults

    @property
    def script(self) -> tuple[Fault, ...]:
        """Which requests go wrong; to set it counts requests anew. Where two strike one, it is the first that does."""
        return tuple(line.fault for line in self._lines)

    @script.setter
    def script(self, faults: Iterable[Fault]) -> None:
        self._lines = [_Line(fault) for fault in script("faults", faults, Fault)]

    def strike(self, operation: str, request: int) -> Fault | None:
        """Count a request that has arrived, and return what strikes it, or None."""
        due = [line for line in self._lines if line.fault.meets(operation) and line.is_due(self._chance)]
        if not due:
            return None
        due[0].struck += 1
        self.struck.append(Struck(due[0].fault, operation, request, self._clock()))
        return due[0].fault

    async def carry_out(
        self, fault: Fault, request: web.Request, answer: Callable[[], Awaitable[bytes]]
    ) -> web.StreamResponse:
        """Let it happen to a request whose right answer would be `answer()`."""
        if fault.kind == "refuse":
            return breaking.close(request)
        if fault.kind in INSTEAD:
            async for _ in request.content.iter_any():
                pass
            return await self._broken(fault, request)
        body = await answer()
        if fault.kind.endswith("_after"):
            return await self._broken(fault, request)
        return await self._told(fault, request, body)

    async def _broken(self, fault: Fault, request: web.Request) -> web.StreamResponse:
        """Answer with nothing of the right answer, whether or not something was applied."""
        errno = Errno.FAULT if fault.errno is None else fault.errno
        response: web.StreamResponse
        match fault.kind.removesuffix("_after"):
            case "reset":
                response = breaking.reset(request)
            case "hang":
                response = await self.pauses.hang(request)
            case "html":
                response = breaking.proxy_page()
            case "portal":
                response = breaking.portal_page()
            case "429" | "503" as status:
                response = breaking.busy(int(status), fault.retry_after)
            case "401" | "403" as status if fault.errno is None:
                response = breaking.forbidden(int(status))
            case "errno":
                response = breaking.refusal(errno)
            case status:
                response = breaking.refusal(errno, int(status))
        return response

    async def _told(self, fault: Fault, request: web.Request, body: bytes) -> web.StreamResponse:
        """Answer with this body in the fault's way, or with what begins like it; a lie is in it already."""
        response: web.StreamResponse
        match fault.kind:
            case "truncate":
                response = await breaking.truncate(request, body)
            case "slow_headers":
                response = await self.pauses.slow_headers(request, body, fault.seconds)
            case "slow_body":
                response = await self.pauses.slow_body(request, body, fault.seconds)
            case "bomb":
                response = await bombs.bomb(fault.size)
            case "deep":
                response = bombs.deep()
            case "endless":
                response = await bombs.endless(request, self.pauses, None)
            case "drip":
                response = await bombs.endless(request, self.pauses, fault.seconds)
            case "many_headers":
                response = await bombs.many_headers(request, body, fault.size)
            case "long_header":
                response = await bombs.long_header(request, body, fault.size)
            case _:
                if fault.kind == "date":
                    request[DATE_AHEAD] = fault.seconds
                response = breaking.envelope(body)
        return response
