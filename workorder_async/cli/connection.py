"""How a command gets its connection, and how its coroutine runs.

Base URL, AppId, scheme and secret come from four environment variables; three options go before them (the secret has
none), and a profile gives those that are not set. A coroutine runs until it ends, or until Ctrl-C, SIGTERM or the end
of its terminal cancels it.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, Unpack

from attrs import frozen
from cyclopts import Group, Parameter
from yarl import URL

from workorder_async import arguments
from workorder_async.cli import profiles
from workorder_async.cli.terminal import ask_secret, can_ask, note, write_remark
from workorder_async.cli.values import Number
from workorder_async.environment import CA_BUNDLE, ERRNOS, VARIABLES, errnos_of, proxy_for, setting
from workorder_async.errors import ConfigError
from workorder_async.plain_text import safe
from workorder_async.secret import Secret, without_credentials
from workorder_async.wire.options import ClientOptions, http_proxy, trusting

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

_T = TypeVar("_T")
Client: TypeAlias = "WorkorderClient"
"""The client, in annotations: its module loads aiohttp, for which no page of help should wait."""

BASE_URL, APP_ID, SECRET, SCHEME = VARIABLES
KEYS: Final = {BASE_URL: "base_url", APP_ID: "app_id", SCHEME: "sign_scheme"}
"""The variables that may be shown, and their keys in a profile."""
PATIENCE: Final = 10.0
"""Seconds to wait for answers after an interruption, and as many again to settle mutations without an answer."""
_ALL_FOUR: Final = (
    "`workorder doctor` explains each variable, `workorder login` keeps them in a profile, and `workorder sandbox` "
    "prints all four to try things out"
)

Environment: TypeAlias = Mapping[str, str | Secret]
"""The values of the four variables by name; the secret is wrapped, so that no traceback with locals shows it."""

_GROUP: Final = Group(
    "Connection",
    help=f"The secret is never an option: it is taken from {SECRET}, from a profile, or asked for on a terminal.",
    sort_key=9,
)


@Parameter(name="*", group=_GROUP)
@frozen(kw_only=True)
class Connection:
    """Where the platform is and who asks. The secret is no option, which everyone on the machine could read."""

    base_url: str | None = None
    """The platform's URL, instead of WORKORDER_BASE_URL."""
    app_id: str | None = None
    """The AppId, instead of WORKORDER_APP_ID."""
    scheme: str | None = None
    """How requests are signed, instead of WORKORDER_SIGN_SCHEME."""
    profile: str | None = None
    """A profile of workorder.toml, instead of WORKORDER_PROFILE; the variables win."""
    proxy: str | None = None
    """An HTTP proxy's URL, or '' for none; by default HTTPS_PROXY or HTTP_PROXY, but for hosts of NO_PROXY."""
    cacert: str | None = None
    """A file with the certificates (PEM) of the issuers to trust, instead of WORKORDER_CA_BUNDLE, as where a proxy
    opens TLS; '' for those that this machine trusts."""
    rate: Number | None = None
    """Requests started in a second, at most."""
    timeout: Number | None = None
    """Seconds for one call, with its waits and all its attempts; 90 if not given."""
    verbose: bool = False
    """Log every attempt to stderr."""

    def found(self) -> tuple[Environment, str]:
        """Return the values of the four variables ("" for none), and the name of the setting that gave the base URL.

        An option goes before its variable; a value that neither gives is taken from the profile. If only the secret is
        missing, it is asked for on a terminal.
        """
        if self.verbose:
            log_to_stderr()
        environ: dict[str, str | Secret] = {}
        for name, value in ((BASE_URL, self.base_url), (APP_ID, self.app_id), (SCHEME, self.scheme)):
            environ[name] = os.environ.get(name, "") if value is None else value
        environ[SECRET] = Secret(os.environ.get(SECRET, ""))
        absent, source = missing(environ), BASE_URL if self.base_url is None else "--base-url"
        if (self.profile or absent) and (profile := profiles.chosen(self.profile)) is not None:
            if self.profile and (there := [name for name in environ if os.environ.get(name, "").strip()]):
                note(f"workorder: {', '.join(there)} in the environment goes before profile {self.profile!r}")
            environ |= {name: profile.get(KEYS[name]) for name in absent if name in KEYS}
            if SECRET in absent and profile.tells_secret:
                _refuse_another_host(profile, str(environ[BASE_URL]), source)
                environ[SECRET] = profile.secret()
            if BASE_URL in absent:
                source = f"profile {profile.name}"
        if missing(environ) == [SECRET] and can_ask():
            url = without_credentials(str(environ[BASE_URL]))
            environ[SECRET] = ask_secret(f"Secret for {url} of AppId {environ[APP_ID]}")
        return environ, source

    def platform(self) -> tuple[str, Callable[[], Client]]:
        """Return a text that names the source and URL of the platform, and a maker of clients, one for each event loop.

        Raises `ConfigError` that says which variables are missing, and how to get four to try.
        """
        environ, source = self.found()
        if absent := missing(environ):
            asked = "; on a terminal it is asked for" if absent == [SECRET] else ""
            raise ConfigError(f"not set: {', '.join(absent)}{asked}", mend=_ALL_FOUR)
        options, url = self.options(environ), without_credentials(str(environ[BASE_URL])).strip().rstrip("/")
        return f"{source} ({url})", lambda: make_client(environ, **options)

    def run(self, act: Callable[[Client], Awaitable[_T]]) -> _T:
        """Run `act` with a client in an event loop. Raises `ConfigError` for a variable that is missing or wrong."""
        _, make = self.platform()
        return run_with(make(), act)

    def options(self, environ: Environment) -> ClientOptions:
        """Return the options of `WorkorderClient` that are set here. Raises `ConfigError` that names the option."""
        options: ClientOptions = {"proxy": _proxy_for(str(environ[BASE_URL]).strip(), self.proxy)}
        source, bundle = (CA_BUNDLE, setting(CA_BUNDLE)) if self.cacert is None else ("--cacert", self.cacert)
        if bundle:
            options["ssl"] = trusting(source, bundle)
        if self.rate is not None:
            options["rate"] = arguments.above_zero("--rate", self.rate)
        if self.timeout is not None:
            options["deadline"] = arguments.above_zero("--timeout", self.timeout)
        return options


def _refuse_another_host(profile: profiles.Profile, base_url: str, source: str) -> None:
    """Raise `ConfigError` if a profile's secret would sign requests to another server, or the profile names none.

    Else an option or a variable with a wrong URL would send signatures by this secret to a stranger.
    """
    beside = profile.get(KEYS[BASE_URL])
    if base_url.strip() and _origin(base_url) != _origin(beside):
        its = f"the secret of profile {profile.name!r} is for {without_credentials(beside) or 'no base URL'}"
        mend = f"leave {source} out, choose another --profile, or set {SECRET}, too"
        raise ConfigError(f"{its}, and {source} names another platform", mend=mend)


def _origin(url: str) -> URL | None:
    """Return scheme, host and port of a URL: equal ones lead to the same server. None for a URL without them."""
    try:
        return URL(url.strip()).origin()
    except ValueError:  # the client refuses such a URL with a reason
        return None


def run_with(client: Client, act: Callable[[Client], Awaitable[_T]]) -> _T:
    """Run `act` with a client in an event loop of its own, and close the client."""

    async def act_and_close() -> _T:
        async with client:
            return await act(client)

    return run(act_and_close())


def make_client(environ: Environment, **options: Unpack[ClientOptions]) -> Client:
    """Make a client of the four variables. Raises `ConfigError` for a variable that is missing or cannot work.

    The client knows the errnos of WORKORDER_ERRNOS, unless the environment names another platform than `environ`, for
    these are then that platform's errnos.
    """
    from workorder_async.client import WorkorderClient

    is_same = all(setting(name) in ("", str(environ[name]).strip()) for name in (BASE_URL, APP_ID))
    options["errnos"] = errnos_of(setting(ERRNOS) if is_same else "")
    return WorkorderClient.from_env(environ, **options)


def missing(environ: Environment) -> list[str]:
    """Return which of the four variables are not set."""
    return [name for name in VARIABLES if not Secret(environ[name]).reveal().strip()]


def _proxy_for(base_url: str, given: str | None) -> Secret | None:
    """Return the proxy for a base URL by --proxy: "" is no proxy, None asks the environment. Raises `ConfigError`."""
    if given and "@" in given:
        problem = "holds a user or a password, which everyone on this machine could read"
        mend = "put the URL into HTTPS_PROXY or HTTP_PROXY, which are read without --proxy"
        raise ConfigError(problem, argument="--proxy", mend=mend)
    try:
        if given is None:
            return proxy_for(base_url)
        return http_proxy(f"--proxy {given!r}", given.strip()) if given.strip() else None
    except ConfigError as error:
        mend = "name another one by --proxy URL, or none by --proxy ''"
        problem = "is no http:// or https:// URL of a proxy, or has a user or password that cannot be sent"
        raise ConfigError(problem, argument=error.argument, mend=mend) from None
    except ValueError:  # the base URL is wrong: the client refuses it with a reason
        return None


class _ToStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # Not a `StreamHandler`, which keeps one stream: while a bar is shown, `sys.stderr` is an object that prints
        # above the bar.
        write_remark(safe(self.format(record)))


def log_to_stderr() -> None:
    """Write the library's log to stderr. It holds no secret, no `Sign` and no text of tickets."""
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("workorder_async")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


def run(main: Coroutine[object, object, _T]) -> _T:
    """Run a command's coroutine in an event loop of its own.

    Ctrl-C, SIGTERM and the end of the terminal cancel the coroutine; when it has cleaned up, `KeyboardInterrupt` is
    raised for Ctrl-C, `CancelledError` for the others. A second signal cancels the cleaning up, too. A signal that was
    ignored before, as by `nohup` or in a background job, stays ignored.
    """
    interrupted = False

    async def until_ended() -> _T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checkers: this runs as one

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            task.cancel()

        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, AttributeError):  # Windows
            # Without a handler of the loop's own, a second Ctrl-C raises wherever the loop is. That can lose a step of
            # some task, and the command then waits for it for ever.
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    loop.add_signal_handler(number, interrupt if number == signal.SIGINT else task.cancel)
        try:
            return await main
        finally:
            # Signals from here on change nothing. Without this Python would write their numbers into the loop's wake-up
            # socket, which asyncio closes before it removes the handlers.
            signal.set_wakeup_fd(-1)

    ending = until_ended()
    try:
        return asyncio.run(ending)
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        # If Ctrl-C came before the loop ran, Python would warn that these two were never awaited.
        ending.close()
        main.close()
