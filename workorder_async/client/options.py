"""What may be set for a client, and in which words: the one list of its options."""

from collections.abc import Callable, Mapping, Sequence
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

from workorder_async.arguments import unknown_name
from workorder_async.errors import ApiError, ConfigError
from workorder_async.secret import Secret
from workorder_async.transport.limits import Limits
from workorder_async.transport.observing import Observer
from workorder_async.transport.options import SessionOptions
from workorder_async.transport.retry import RetryPolicy

if TYPE_CHECKING:
    from aiohttp import ClientSession


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
