"""The checks of a request before its rule: its `Host`, its AppId, time and signature, and the rate of requests."""

import asyncio
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import formatdate
from ipaddress import ip_address
from itertools import cycle

from aiohttp import web
from aiohttp.typedefs import Handler
from attrs import define, field
from attrs.validators import optional

from workorder_async.arguments import (
    as_validator,
    is_number,
    is_plain,
    items,
    must_be,
    number_within,
    plain,
    shown,
    whole_within,
)
from workorder_async.document.requests import SECONDS_MAX
from workorder_async.errors import ConfigError
from workorder_async.sandbox.errnos import Errno, Refused
from workorder_async.sandbox.faults import AHEAD, FAR, Fault
from workorder_async.secret import Secret
from workorder_async.signing.scheme import SchemeSigner, SigningInput

#: How far `Timestamp` may be from the server's clock, in seconds.
TOLERANCE = 300

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")


def check_headers(app_id: str, headers: Mapping[str, str], now: float) -> None:
    """Refuse an unknown AppId, and a timestamp (seconds or milliseconds) that is far from `now` (seconds)."""
    if (got := headers.get("AppId", "")) != app_id:
        raise Refused(Errno.APP_ID, f"AppId {got!r} 未注册")
    timestamp = headers.get("Timestamp", "")
    if not re.fullmatch(r"[0-9]{9,14}", timestamp):
        raise Refused(Errno.TIMESTAMP, f"Timestamp {timestamp!r} 不是秒级或毫秒级时间戳")
    seconds = int(timestamp) / (1000 if len(timestamp) > 11 else 1)
    away = abs(seconds - now)
    if away > TOLERANCE:
        raise Refused(Errno.TIMESTAMP, f"Timestamp 与服务器时间相差 {away:.0f} 秒, 超过 {TOLERANCE} 秒")


def check_signature(signer: SchemeSigner, secret: Secret, request: web.Request, body: bytes) -> None:
    """Refuse a `Sign` that is not the signature of this body (API document: 请求Header)."""
    timestamp, got = request.headers["Timestamp"], request.headers.get("Sign", "")
    signed = SigningInput(request.method, request.path, tuple(request.query.items()), (body,))
    wanted = signer.scheme.signature(signed, app_id=signer.app_id, secret=secret, timestamp=timestamp)
    if not hmac.compare_digest(got.encode(errors="surrogateescape"), wanted.encode()):
        raise Refused(Errno.SIGN, "Sign 与请求内容不符, 请检查密钥和签名算法")


class Hosts:
    """The address of one sandbox, and its names: `localhost`, every IP address, the `host`, and further `names`.

    A page of any website can let its own name resolve to 127.0.0.1 (DNS rebinding), and then read this server's answers
    in the user's browser. Such requests have the website's name in `Host`, so other names are refused. IP addresses are
    allowed: no website owns them. A page that uses an allowed name is of another origin, and cannot sign.

    Raises `ConfigError` for a wrong host or port, and for names that are no list of host names.
    """

    def __init__(self, host: str, port: int, names: Iterable[str]) -> None:
        self.host: str = must_be("text, such as 127.0.0.1", lambda given: isinstance(given, str))("host", host)
        if not host:
            mend = "127.0.0.1 is this machine alone"
            raise ConfigError("is empty, which would mean every network", argument="host", mend=mend)
        self.port: int = whole_within("port", port, 0, 65535)
        self._names = {"localhost", host.lower()}
        for name in items("names", names, str):
            if not _NAME.fullmatch(name):
                mend = "it must be a host name alone, such as sandbox, without a port"
                raise ConfigError(f"has {name!r}", argument="names", mend=mend)
            self._names.add(name.lower())

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request to another name with HTTP 421, before anything else."""
        try:
            name = request.url.host or ""
            is_own = name in self._names or bool(ip_address(name))
        except ValueError:  # neither one of the names nor an IP address
            is_own = False
        if is_own:
            return await handler(request)
        own = "the sandbox answers to localhost, IP addresses and names that it was given"
        mend = "allow a name with Sandbox(names=[...]) or `workorder sandbox --name`"
        return web.Response(status=421, text=f"{own}, not to Host {request.host!r}; {mend}\n")


class Clocks:
    """The clocks of one sandbox: each of its `backends` is ahead of the right `clock` by an offset.

    Requests go to the backends in turn. `Date` is the time of the backend and `date_offset`. Offsets are in seconds,
    below 0 for behind; `ConfigError` names a wrong one.
    """

    def __init__(self, clock: Callable[[], float], date_offset: float, backends: Iterable[float]) -> None:
        must_be("a function, no `async def`, that returns seconds since the epoch", is_plain)("clock", clock)
        if not isinstance(backends, Iterable):
            raise ConfigError(f"is {shown(backends)}", argument="backends", mend="put the seconds in brackets")
        offsets = [number_within(f"backends[{at}]", offset, -FAR, FAR) for at, offset in enumerate(backends)]
        self.clock = clock
        self._date_offset = number_within("date_offset", date_offset, -FAR, FAR)
        #: The offset of the backend for each next request.
        self.turns: Iterator[float] = cycle(offsets or (0.0,))

    def check(self) -> None:
        """Raise `ConfigError` if the clock tells no seconds since the epoch."""
        plain("clock", now := self.clock())
        if not is_number(now) or not 0 <= now <= SECONDS_MAX:
            raise ConfigError(f"returned {shown(now)}", argument="clock", mend="it must return seconds since the epoch")

    def now(self, request: web.Request) -> float:
        """Return the time on the clock of a request's backend, in seconds since the epoch."""
        ahead: float = request.get(AHEAD, 0.0)
        return self.clock() + ahead

    async def set_date(self, request: web.Request, response: web.StreamResponse) -> None:
        """Set the `Date` of an answer: the backend's time and `date_offset`."""
        response.headers["Date"] = formatdate(max(self.now(request) + self._date_offset, 0), usegmt=True)


@define
class Limit:
    """Grants a request if fewer than `rate` were granted in the second before it; None grants all.

    A refused request does not count for the rate. It is answered with HTTP 429, and with `Retry-After` if `retry_after`
    gives seconds; or with HTTP 200 and an envelope of `rate_errno`. Raises `ConfigError` that names the argument.
    """

    rate: int | None = field(validator=optional(as_validator(whole_within, 1, 10**6)))
    retry_after: int | None = field(validator=optional(as_validator(whole_within, 0, 2**63)))
    rate_errno: int | None = field(validator=optional(as_validator(whole_within, -(2**31), 2**31 - 1)))
    granted: list[float] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        if self.rate is None and (self.retry_after is not None or self.rate_errno is not None):
            problem = "retry_after and rate_errno say how a request beyond rate is refused"
            raise ConfigError(problem, mend="give rate too")
        if self.retry_after is not None and self.rate_errno is not None:
            raise ConfigError("retry_after goes with HTTP 429, and rate_errno with HTTP 200", mend="give one of them")
        if self.rate_errno == 10000:
            raise ConfigError("is 10000, which is no refusal but success", argument="rate_errno")

    def grants(self) -> bool:
        """Tell whether a request that arrives now is let through, and if so, remember the time."""
        if self.rate is None:
            return True
        now = asyncio.get_running_loop().time()
        if len(self.granted) >= self.rate and now - self.granted[-self.rate] < 1.0:
            return False
        self.granted.append(now)
        return True

    def refusal(self) -> Fault:
        """Return the answer to a request that is not granted, as a fault."""
        if self.rate_errno is None:
            return Fault("429", retry_after=self.retry_after)
        return Fault("errno", errno=self.rate_errno)
