"""What may be set for a client: the one list of its options, their defaults, and what of them cannot work."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from ssl import SSLContext
from time import time
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import optional

from workorder_async.arguments import above_zero, as_validator, is_whole, unknown_name, whole
from workorder_async.errors import ApiError, ConfigError
from workorder_async.secret import Secret
from workorder_async.wire.limits import Limits
from workorder_async.wire.observing import Observer
from workorder_async.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from attrs import Attribute


class ClientOptions(TypedDict, total=False):
    """How a client works; the keyword arguments of `WorkorderClient`, its `from_env`, and `Sandbox.client`.

    Each has a default that suits a bot.
    """

    session: "ClientSession | None"
    """An aiohttp session to use; the client does not close it. None (the default): the client has its own."""
    max_in_flight: int
    """Requests under way at once, at the most (32)."""
    rate: float | None
    """Requests started in a second, at the most; None (the default) for no limit."""
    connect_timeout: float
    """Seconds to reach the server, with TLS and a proxy (10)."""
    attempt_timeout: float
    """Seconds for one attempt, from its slot to the last byte of the answer (30). For `upload_file` they begin again
    with each piece that the server takes."""
    deadline: float
    """Seconds for a whole call, with its waits and all its attempts (90). Each call may set its own. For `upload_file`
    they begin again with each piece that the server takes."""
    longest_pause: float
    """Seconds that a `Retry-After` of the server is obeyed, at the most (300)."""
    max_body: int
    """Bytes that an answer may have, unpacked (64 MiB)."""
    retry: RetryPolicy | None
    """How failures that may be repeated are repeated; None (the default) for `RetryPolicy()`."""
    limits: Limits | None
    """Limits that other clients share: they say when a request may start. None (the default) for this client alone."""
    observers: Sequence[Observer]
    """Who is told of calls and attempts; the log is told in any case."""
    errnos: Mapping[int, type[ApiError]] | None
    """What errnos mean, as {errno: class of ApiError}. The API document knows 23000 only."""
    proxy: str | Secret | None
    """URL of an HTTP proxy, with user and password where it wants them."""
    ssl: SSLContext | bool
    """An SSLContext; True (the default) for the usual checks, False to accept any certificate."""
    trust_env: bool
    """Whether to take proxies from the environment and .netrc (False); for the client's own session only."""
    now: Callable[[], float]
    """The clock, in seconds since the epoch (`time.time`)."""


_whole = as_validator(whole)
_above_zero = as_validator(above_zero)


def _http_proxy(instance: object, attribute: "Attribute[Any]", value: Secret | None) -> None:
    if value is not None and not _is_http_url(value.reveal()):
        raise ConfigError(
            "proxy must be an http:// or https:// URL, with %2F, %3F, %23 and %40 for /, ?, # and @ in a password; "
            "for SOCKS bring a session= with such a connector"
        )


def _is_http_url(text: str) -> bool:
    """Tell; raises nothing, as an error would show the text in its frames."""
    try:
        url = urlsplit(text)
        astray = "@" in url.path + url.query + url.fragment or text.split() != [text]
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and not astray
    except (AttributeError, TypeError, ValueError):
        return False


def _policy(instance: object, attribute: "Attribute[Any]", value: RetryPolicy) -> None:
    if not isinstance(value, RetryPolicy):
        raise ConfigError(f"retry is {value!r}; it must be a RetryPolicy, such as RetryPolicy(attempts=2)")


def _meanings(instance: object, attribute: "Attribute[Any]", value: Mapping[int, type[ApiError]]) -> None:
    for errno, kind in value.items() if isinstance(value, Mapping) else [(value, None)]:
        known = isinstance(kind, type) and issubclass(kind, ApiError)
        if not is_whole(errno) or not known:
            what = kind.__name__ if isinstance(kind, type) else repr(kind)
            raise ConfigError(f"errnos has {errno!r}: {what}; it must lead from numbers to classes of ApiError")


def _tls(instance: object, attribute: "Attribute[Any]", value: SSLContext | bool) -> None:
    if not isinstance(value, SSLContext | bool):
        raise ConfigError(f"ssl is {value!r}; it must be an ssl.SSLContext, True, or False to accept any certificate")


def _clock(instance: object, attribute: "Attribute[Any]", value: Callable[[], float]) -> None:
    if not callable(value):
        raise ConfigError(f"now is {value!r}; it must be a function that returns seconds since the epoch")


def _limits(instance: object, attribute: "Attribute[Any]", value: Limits | None) -> None:
    lacks = [name for name in ("acquire", "pause") if not callable(getattr(value, name, None))]
    if value is not None and lacks:
        raise ConfigError(f"limits is a {type(value).__name__} without {' and '.join(lacks)}; see Limits for both")


def _observers(value: Sequence[Observer]) -> Sequence[Observer]:
    """Return them as they are now, whatever becomes of the list. Raises `ConfigError` for what are none."""
    if not isinstance(value, Iterable):
        raise ConfigError(f"observers is a {type(value).__name__}; it must be a list, such as [observer]")
    given = tuple(value)
    for one in given:
        if not callable(getattr(one, "on_event", None)):
            raise ConfigError(f"observers has a {type(one).__name__}; each must have a method on_event, as Observer")
    return given


@frozen(kw_only=True)
class SessionOptions:
    """How the session reaches the server; every field is an argument of `WorkorderClient`, and is explained there."""

    max_in_flight: int = field(default=32, validator=_whole)
    rate: float | None = field(default=None, validator=optional(_above_zero))
    attempt_timeout: float = field(default=30.0, validator=_above_zero)
    connect_timeout: float = field(default=10.0, validator=_above_zero)
    deadline: float = field(default=90.0, validator=_above_zero)
    longest_pause: float = field(default=300.0, validator=_above_zero)
    max_body: int = field(default=64 << 20, validator=_whole)
    retry: RetryPolicy = field(factory=RetryPolicy, validator=_policy)
    limits: Limits | None = field(default=None, validator=_limits)
    observers: Sequence[Observer] = field(default=(), converter=_observers)
    errnos: Mapping[int, type[ApiError]] = field(factory=dict, validator=_meanings)
    proxy: Secret | None = field(default=None, validator=_http_proxy)
    ssl: SSLContext | bool = field(default=True, validator=_tls)
    trust_env: bool = False
    now: Callable[[], float] = field(default=time, validator=_clock)


_NAMES: Final = tuple(ClientOptions.__annotations__)
#: None stands for the default here, and for a value of its own elsewhere.
_NONE_IS_DEFAULT: Final = ("retry", "errnos")


def hide_passwords(options: ClientOptions) -> None:
    """Hide the proxy's URL, and what stands under a name that nobody knows, in place.

    To be done before anything can fail: a traceback with locals would show them.
    """
    given = cast("dict[str, Any]", options)
    for name, value in given.items():
        if name not in _NAMES or (name == "proxy" and value is not None):
            given[name] = Secret(value)


def session_options(options: ClientOptions) -> SessionOptions:
    """Return what the session is to know of these options.

    Raises `TypeError` for an option that nobody knows, `ConfigError` for one that cannot work.
    """
    if wrong := unknown_name("a client has no option", options, _NAMES):
        raise TypeError(wrong)
    session = options.get("session")
    if session is not None and not callable(getattr(session, "request", None)):
        raise ConfigError(f"session is {session!r}; it must be an aiohttp.ClientSession")
    if session is not None and options.get("trust_env"):
        raise ConfigError("trust_env belongs to the session; make the session you bring with trust_env=True")
    given: dict[str, Any] = {
        name: value
        for name, value in options.items()
        if name != "session" and not (value is None and name in _NONE_IS_DEFAULT)
    }
    return SessionOptions(**given)
