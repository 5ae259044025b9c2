"""Faults: requests that go wrong on purpose, by script or by chance, so that a caller's recovery can be tested.

    async with Sandbox(faults=[Fault("reset_after", operation="close_ticket", times=3)]) as sandbox:

The first three requests to close a ticket close it and get no answer. `Sandbox.struck` tells which requests were
struck, `Sandbox.applied` what was carried out all the same.
"""

import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal, TypeAlias, get_args

from aiohttp import web
from attrs import define, field, frozen

from workorder_async import endpoints
from workorder_async.errors import ConfigError
from workorder_async.sandbox import breaking
from workorder_async.sandbox.arguments import check_choice, check_seconds, check_whole, script

Kind: TypeAlias = Literal[
    "refuse",
    "reset",
    "hang",
    "429",
    "503",
    "html",
    "errno",
    "reset_after",
    "hang_after",
    "html_after",
    "truncate",
    "slow_headers",
    "slow_body",
]
"""What goes wrong.

Nothing is applied, nor is the signature looked at:

refuse        the connection is closed when the head of the request has come, its body unread
reset         the whole request is read, and the connection is reset
hang          the whole request is read, and nothing more is heard, until the caller goes away or the sandbox ends
429, 503      HTTP 429 Too Many Requests, HTTP 503 Service Unavailable, with `Retry-After`
html          HTTP 502 with a proxy's page
errno         HTTP 200 with an envelope that has `Fault.errno`

The request is handled as always, so that a mutation is applied if it may be, and then:

reset_after   the connection is reset, without an answer
hang_after    nothing is heard, as above
html_after    HTTP 502 with a proxy's page
truncate      half of the body is sent, and the connection is closed
slow_headers  the answer begins after `Fault.seconds`
slow_body     the head is sent at once, and the body in drips, the last one after `Fault.seconds`
"""

_INSTEAD = frozenset(("reset", "hang", "429", "503", "html", "errno"))
_OPERATIONS = sorted(one.operation for one in vars(endpoints).values() if isinstance(one, endpoints.Endpoint))
_ANYTHING = 2**63


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
    """How long slow_headers and slow_body take."""
    retry_after: int | None = field(default=1, kw_only=True)
    """`Retry-After` of 429 and 503, in seconds; None: there is none."""
    errno: int | None = field(default=None, kw_only=True)
    """The errno of the kind errno, which needs it."""

    def __attrs_post_init__(self) -> None:
        check_choice("Fault.kind", self.kind, get_args(Kind))
        if self.operation is not None:
            check_choice("Fault.operation", self.operation, _OPERATIONS)
        check_whole("Fault.after", self.after, 0, _ANYTHING)
        check_whole("Fault.every", self.every, 1, _ANYTHING)
        if isinstance(self.chance, bool) or not isinstance(self.chance, int | float) or not 0 <= self.chance <= 1:
            raise ConfigError(f"Fault.chance is {self.chance!r}; it must be a share, from 0 to 1")
        if self.times is not None:
            check_whole("Fault.times", self.times, 1, _ANYTHING)
        check_seconds("Fault.seconds", self.seconds)
        if self.retry_after is not None:
            check_whole("Fault.retry_after", self.retry_after, 0, _ANYTHING)
        if (self.errno is None) is (self.kind == "errno"):
            raise ConfigError(f"Fault.errno is {self.errno!r}; the kind errno needs one, and no other kind has it")
        if self.errno is not None:
            check_whole("Fault.errno", self.errno, -(2**31), 2**31 - 1)
        if self.errno == 10000:
            raise ConfigError("Fault.errno is 10000, which means success; choose another")


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
        self.pauses = breaking.Pauses()
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
        due = [line for line in self._lines if line.fault.operation in (None, operation) and line.is_due(self._chance)]
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
        body = b""
        if fault.kind in _INSTEAD:
            async for _ in request.content.iter_any():
                pass
        else:
            body = await answer()
        response: web.StreamResponse
        match fault.kind:
            case "reset" | "reset_after":
                response = breaking.reset(request)
            case "hang" | "hang_after":
                response = await self.pauses.hang(request)
            case "html" | "html_after":
                response = breaking.page()
            case "429" | "503":
                response = breaking.busy(int(fault.kind), fault.retry_after)
            case "errno":
                response = breaking.refusal(fault.errno)
            case "truncate":
                response = await breaking.truncate(request, body)
            case "slow_headers":
                response = await self.pauses.slow_headers(request, body, fault.seconds)
            case "slow_body":
                response = await self.pauses.slow_body(request, body, fault.seconds)
        return response
