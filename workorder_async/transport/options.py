"""How a session reaches the server: what may be set, and what of it cannot work."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from ssl import SSLContext
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import optional

from workorder_async.arguments import above_zero, as_validator, is_whole, whole
from workorder_async.errors import ApiError, ConfigError
from workorder_async.secret import Secret
from workorder_async.transport.limits import Limits
from workorder_async.transport.observing import Observer
from workorder_async.transport.retry import RetryPolicy

if TYPE_CHECKING:
    from attrs import Attribute


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
