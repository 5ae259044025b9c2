"""How a client works: the one list of its options, with their types, defaults and checks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike, fspath, stat
from ssl import PROTOCOL_TLS_CLIENT, VERIFY_X509_PARTIAL_CHAIN, SSLContext, SSLError
from stat import S_ISREG
from time import time
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, Unpack, cast
from urllib.parse import unquote, urlsplit

from workorder_async.arguments import (
    Option,
    above_zero,
    flag,
    is_plain,
    is_whole,
    must_be,
    shown,
    unknown_name,
    whole,
    with_defaults,
)
from workorder_async.errors import ConfigError, Meaning, is_meaning
from workorder_async.secret import Secret
from workorder_async.wire.call import RetryPolicy
from workorder_async.wire.limits import Limits
from workorder_async.wire.observing import Observer

if TYPE_CHECKING:
    from aiohttp import ClientSession


def http_proxy(name: str, value: str | Secret) -> Secret:
    """Return the URL of a proxy. Raises `ConfigError` unless it is spoken to over HTTP."""
    proxy = Secret(value)
    if not _is_http_url(proxy.reveal()):
        rule = "with %2F, %3F, %23 and %40 for /, ?, # and @ in a password, no : in the user, and only Latin-1"
        problem = f"must be an http:// or https:// URL of a host, {rule}"
        raise ConfigError(problem, argument=name, mend="for SOCKS bring a session= with such a connector")
    return proxy


def _is_http_url(text: str) -> bool:
    """Tell whether a text is the URL of a host over HTTP. Raises nothing: an error's frames would show the text."""
    try:
        url = urlsplit(text)
        astray = "@" in url.path + url.query + url.fragment or text.split() != [text]
        user, password = unquote(url.username or ""), unquote(url.password or "")
        # aiohttp sends user and password in Latin-1, and looks the host up by its IDNA name.
        (user + password).encode("latin-1")
        (url.hostname or "").encode("idna")
        astray = astray or ":" in user
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and not astray
    except (AttributeError, TypeError, ValueError):
        return False


def _meanings(name: str, value: object) -> object:
    for errno, kind in value.items() if isinstance(value, Mapping) else [(value, None)]:
        if not is_whole(errno) or not is_meaning(kind):
            what = kind.__name__ if isinstance(kind, type) else shown(kind)
            mend = "it must lead from numbers to classes of ApiError, or to ResponseError"
            raise ConfigError(f"has {shown(errno)}: {what}", argument=name, mend=mend)
    return value


def _observers(name: str, value: object) -> tuple[object, ...]:
    """Return a copy: later changes of the list do not matter."""
    if not isinstance(value, Iterable):
        problem = f"is a {type(value).__name__}"
        raise ConfigError(problem, argument=name, mend="it must be a list, such as [observer]")
    given = tuple(value)
    for one in given:
        if isinstance(one, type):
            raise ConfigError(f"has the class {one.__name__}", argument=name, mend="each must be an object of it")
        if not is_plain(getattr(one, "on_event", None)):
            mend = "each must have a method on_event, no `async def`, as Observer"
            raise ConfigError(f"has a {type(one).__name__}", argument=name, mend=mend)
    return given


# By what it can do: a session that stands in for the network, in tests, need be of no class.
_SESSION = must_be(
    "an aiohttp.ClientSession",
    lambda value: (
        not isinstance(value, type) and callable(getattr(value, "request", None)) and hasattr(value, "closed")
    ),
)
_LIMITS = must_be(
    "an object with acquire, and with pause that is no `async def`, as Limits",
    lambda value: (
        not isinstance(value, type)
        and callable(getattr(value, "acquire", None))
        and is_plain(getattr(value, "pause", None))
    ),
)
_POLICY = must_be("a RetryPolicy, such as RetryPolicy(attempts=2)", lambda value: isinstance(value, RetryPolicy))


def trusting(name: str, value: object, wanted: str = "a file with certificates of issuers in PEM") -> SSLContext:
    """Return a context that trusts the issuers in a file, and no others. Raises `ConfigError` where it holds none."""
    # Not `create_default_context`: from Python 3.13 on it refuses what companies' issuers commonly lack.
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    # An issuer is trusted without its own issuer, and a certificate that signed itself as well.
    context.verify_flags |= VERIFY_X509_PARTIAL_CHAIN
    why = ""
    if isinstance(value, str | PathLike):
        try:
            # A pipe would be waited for, and no Ctrl-C heard.
            if not S_ISREG(stat(value).st_mode):
                raise OSError("it is no regular file")
            context.load_verify_locations(cafile=fspath(value))
        except SSLError:
            why = ": it holds none that can be read; `openssl x509 -inform der` makes PEM of DER"
        except (OSError, ValueError) as error:
            why = f": {getattr(error, 'strerror', None) or error}"
        else:
            return context
    said = repr(fspath(value)) if isinstance(value, str | PathLike) else shown(value)
    raise ConfigError(f"is {said}", argument=name, mend=f"it must be {wanted}{why}")


def _tls(name: str, value: object) -> object:
    wanted = "an ssl.SSLContext, True, False to accept any certificate, or a file with certificates of issuers in PEM"
    return value if isinstance(value, SSLContext | bool) else trusting(name, value, wanted)


_CLOCK = must_be("a function, no `async def`, that returns seconds since the epoch", is_plain)


class ClientOptions(TypedDict, total=False):
    """How a client works; the keyword arguments of `WorkorderClient`, its `from_env`, and `Sandbox.client`.

    Each has a default that suits a bot.
    """

    session: Annotated["ClientSession | None", Option(None, _SESSION)]
    """An aiohttp session to use; the client does not close it, and leaves its middlewares and `raise_for_status` aside.
    Let its connector have `max_in_flight` connections and more: a request is signed before it waits for one, and its
    signature grows old there. None (the default): the client has its own."""
    max_in_flight: Annotated[int, Option(32, whole)]
    """Requests under way at once, at the most (32)."""
    rate: Annotated[float | None, Option(None, above_zero)]
    """Requests started in a second, at the most; None (the default) for no limit."""
    connect_timeout: Annotated[float, Option(10.0, above_zero)]
    """Seconds to reach the server, with TLS and a proxy (10)."""
    attempt_timeout: Annotated[float, Option(30.0, above_zero)]
    """Seconds for one attempt, from when it has its connection to the last byte of the answer (30). For `upload_file`
    they begin again with each piece that the server takes."""
    deadline: Annotated[float, Option(90.0, above_zero)]
    """Seconds for a whole call, with its waits and all its attempts (90). Each call may set its own. An attempt of
    `upload_file` may go on beyond them, so long after each piece that the server takes; no other one follows then."""
    longest_pause: Annotated[float, Option(300.0, above_zero)]
    """Seconds that a `Retry-After` of the server is obeyed, at the most (300)."""
    max_body: Annotated[int, Option(64 << 20, whole)]
    """Bytes that an answer may have, unpacked (64 MiB)."""
    retry: Annotated[RetryPolicy | None, Option(None, _POLICY)]
    """How failures that may be repeated are repeated; None (the default) for `RetryPolicy()`."""
    limits: Annotated[Limits | None, Option(None, _LIMITS)]
    """Limits that other clients share: they say when a request may start. None (the default) for this client alone."""
    observers: Annotated[Sequence[Observer], Option((), _observers)]
    """Observers of calls and attempts, beside the log."""
    errnos: Annotated[Mapping[int, Meaning] | None, Option(None, _meanings)]
    """Meanings of errnos, as {errno: class of ApiError}. The API document knows 23000 only. `ResponseError` is for an
    errno that does not say whether anything was done, such as that of an internal error."""
    proxy: Annotated[str | Secret | None, Option(None, http_proxy)]
    """URL of an HTTP proxy, with user and password where it wants them; for attachments, too."""
    ssl: Annotated[SSLContext | str | PathLike[str] | bool, Option(True, _tls)]
    """An SSLContext, or a file with certificates in PEM, whose issuers alone are trusted; True (the default) for the
    usual checks, False to accept any certificate."""
    trust_env: Annotated[bool, Option(False, flag)]
    """Whether HTTPS_PROXY or HTTP_PROXY is the proxy (False), by the base URL; not for hosts of NO_PROXY, nor for this
    machine. For the client's own session only."""
    now: Annotated[Callable[[], float], Option(time, _CLOCK)]
    """The clock, in seconds since the epoch (`time.time`)."""


def hide_passwords(options: ClientOptions) -> None:
    """Hide, in place, the proxy's URL and each value of an unknown name.

    Call it before anything can fail: a traceback with locals would show them.
    """
    given = cast("dict[str, Any]", options)
    for name, value in given.items():
        if name not in ClientOptions.__annotations__ or (name == "proxy" and value is not None):
            given[name] = Secret(value)


def client_options(**options: Unpack[ClientOptions]) -> ClientOptions:
    """Return all options of a client: those that are given, checked, and the defaults of the others.

    Raises `TypeError` for an option that does not exist, `ConfigError` for a value that cannot work.
    """
    hide_passwords(options)
    if wrong := unknown_name("a client has no option", options, ClientOptions.__annotations__):
        raise TypeError(wrong)
    complete = with_defaults(ClientOptions, options)
    if complete["session"] is not None and complete["trust_env"]:
        problem, mend = "belongs to the session", "make the session you bring with trust_env=True"
        raise ConfigError(problem, argument="trust_env", mend=mend)
    return complete
