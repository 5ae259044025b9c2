"""The platform and the credentials: the environment variables, the rules for a base URL, and the proxy to it.

Every value is wrapped in `Secret` until a check has shown that it holds no password: a traceback with locals would show
a bare one.
"""

import os
import re
import warnings
from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from yarl import URL

from workorder_async import errors
from workorder_async.arguments import caller, shown
from workorder_async.document.endpoints import PREFIX
from workorder_async.errors import ConfigError, Meaning, is_meaning
from workorder_async.secret import Secret
from workorder_async.signing.scheme import SchemeSigner
from workorder_async.wire.options import http_proxy

VARIABLES = {
    "WORKORDER_BASE_URL": "the platform's URL, such as http://workorder.example.com",
    "WORKORDER_APP_ID": "the AppId you were given",
    "WORKORDER_APP_SECRET": "the secret given with it",
    "WORKORDER_SIGN_SCHEME": (
        "how requests are signed, such as md5:{app_id}{timestamp}{secret}; the algorithm is not in the public API "
        "document, and `workorder sign detect` finds it from one request known to be accepted"
    ),
}
#: Optional: which errors the platform's own errnos mean, such as "90001=AuthenticationError,404=ApiError".
ERRNOS = "WORKORDER_ERRNOS"
#: Optional: a file with the certificates of the issuers to trust, for a network whose proxy decrypts TLS.
CA_BUNDLE = "WORKORDER_CA_BUNDLE"
_DOCUMENTED_HOSTS = ("workorder.crius.api.ksyun.com", "stage.mplatform.process.ksyun.com")
_warned_of: set[str] = set()


def hidden(environ: "Mapping[str, str | Secret] | None") -> dict[str, Secret]:
    """Return the variables that are set, wrapped; None is the process's environment."""
    found = {name: (os.environ if environ is None else environ).get(name) for name in (*VARIABLES, ERRNOS, CA_BUNDLE)}
    return {name: Secret(value) for name, value in found.items() if value is not None}


def variables(environ: "Mapping[str, str | Secret] | None") -> list[Secret]:
    """Return the values of the four variables, wrapped; None is the process's environment.

    Line ends behind a value are cut off: files written on Windows have them. Blanks stay, since a secret may have some.
    Raises `ConfigError` for a value that is no text.
    """
    environ = hidden(environ)
    return [Secret(_text(name, environ).rstrip("\r\n")) for name in VARIABLES]


def setting(name: str, environ: "Mapping[str, str | Secret] | None" = None) -> str:
    """Return the value of an optional variable; "" if it is not set. Raises `ConfigError` if it is no text."""
    return _text(name, hidden(environ)).strip()


def _text(name: str, environ: Mapping[str, Secret]) -> str:
    value: object = environ.get(name, Secret("")).reveal()
    if not isinstance(value, str):
        kind, value = type(value).__name__, None
        raise ConfigError(f"is a {kind}", argument=name, mend="it must be text, as in the environment")
    return value


def platform_of(found: list[Secret]) -> tuple[Secret, SchemeSigner]:
    """Return the base URL and the signer that the four variables describe.

    Raises `ConfigError` that names each variable that is missing.
    """
    missing = [name for name, value in zip(VARIABLES, found, strict=True) if not value.reveal().strip()]
    if missing:
        meanings = "; ".join(f"{name}: {VARIABLES[name]}" for name in missing)
        raise ConfigError(f"missing in the environment: {', '.join(missing)}. {meanings}")
    base_url, app_id, secret, scheme = found
    signer = SchemeSigner(app_id.reveal().strip(), secret, scheme.reveal().strip())
    return Secret(base_url.reveal().strip()), signer


def errnos_of(said: str) -> dict[int, Meaning]:
    """Return the errors by their errnos from the text of `WORKORDER_ERRNOS`. Raises `ConfigError` for a wrong text."""
    meanings = {}
    for item in said.split(",") if said else ():
        errno, _, name = item.strip().partition("=")
        kind = getattr(errors, name, None)
        if not re.fullmatch("-?[0-9]{1,10}", errno) or not is_meaning(kind):
            mend = "write ERRNO=ERROR with commas between, such as 90001=AuthenticationError,90005=NotFoundError"
            raise ConfigError(f"has {item!r}", argument=ERRNOS, mend=mend)
        meanings[int(errno)] = kind
    return meanings


def checked_url(base_url: Secret) -> str:
    """Return a base URL without a slash at its end. Raises `ConfigError` for a text that can be no base URL.

    The path of the result is percent-encoded as it is sent, since those bytes must be signed.
    """
    if wrong := _wrong_with(base_url.reveal()):
        problem, mend = wrong
        raise ConfigError(problem, argument="base_url", mend=mend)
    base, endpoint, _ = base_url.reveal().partition(PREFIX)
    if endpoint:
        problem = "has the path of an endpoint, which is added to it"
        raise ConfigError(problem, argument="base_url", mend=f"cut it off: {base}")
    parts = urlsplit(base_url.reveal())
    return f"{parts.scheme}://{parts.netloc}{URL(base_url.reveal()).raw_path}".rstrip("/")


def _wrong_with(base_url: object) -> tuple[str, str] | None:
    """Return the problem of a wrong base URL, and what to do about it; None for a right one.

    Raises nothing: the frames of an error would show the URL, which may hold a password.
    """
    if not isinstance(base_url, str):
        what = f"a {type(base_url).__name__}" if isinstance(base_url, bytes | bytearray) else shown(base_url)
        return f"is {what}", "it must be text, such as 'http://localhost:8011'"
    if found := re.search("[@?#]", base_url):
        what, rule = "an @" if found[0] == "@" else f"a {found[0]}", "it must have no user, query or fragment"
        return f"has {what}: {rule}", "remove them, and write %40 for an @ in a path"
    try:
        parts = urlsplit(base_url)
        is_one = base_url.isprintable() and base_url == base_url.strip() and " " not in parts.netloc
        is_one = is_one and "://" not in base_url.partition("://")[2]
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or not is_one:
            return f"{base_url!r} must be http:// or https:// and a host, such as http://localhost:8011", ""
        # Check the host's name here: else it fails only when it is looked up, with an error that does not name the URL.
        (URL(base_url).raw_host or "").encode("idna")
    except UnicodeError:
        return f"{base_url!r} has a host that can be none", "write it as in a browser, such as https://a.example.com"
    except ValueError as error:
        return f"{base_url!r} cannot be read: {error}", "such as http://localhost:8011"
    return None


def proxy_for(base_url: str) -> Secret | None:
    """Return the proxy that the environment names for a base URL; None for none, and for a base URL of this machine.

    For https:// it is HTTPS_PROXY, for http:// HTTP_PROXY, in upper or lower case; hosts of NO_PROXY have none. Raises
    `ConfigError` for a proxy that is not reached over HTTP, such as a SOCKS proxy.
    """
    url = urlsplit(base_url)
    if _is_this_machine(url.hostname or "") or proxy_bypass(url.netloc):
        return None
    found = Secret(getproxies_environment().get(url.scheme, "").strip())
    if found.reveal() and "://" not in found.reveal():
        found = Secret(f"http://{found.reveal()}")
    return http_proxy(f"{url.scheme.upper()}_PROXY", found) if found.reveal() else None


def _is_this_machine(host: str) -> bool:
    loopback = re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None
    return loopback or host in ("localhost", "::1") or host.endswith(".localhost")


def warn_of_plain_http(base_url: str) -> None:
    """Warn, once for each host, if signed requests would go over plain HTTP.

    No warning for this machine, and for the hosts of the API document, whose URLs are http://. The warning points at
    the line of the user's code that made the client.
    """
    host = urlsplit(base_url).hostname or ""
    if base_url.startswith("https:") or _is_this_machine(host) or host in _DOCUMENTED_HOSTS or host in _warned_of:
        return
    _warned_of.add(host)
    said = (
        f"plain HTTP to {host}: everybody on the way can read and repeat signed requests; use https:// where it is "
        "spoken, or a tunnel"
    )
    frame = caller()
    module = frame.f_globals.get("__name__")
    warnings.warn_explicit(said, RuntimeWarning, frame.f_code.co_filename, frame.f_lineno, module)
