"""Which proxy a command's requests go through: the one of --proxy, or the one that the environment names."""

from typing import Final
from urllib.parse import urlsplit

from workorder_async.errors import ConfigError
from workorder_async.secret import Secret

_MEND: Final = "name another one by --proxy URL, or none by --proxy ''"


def proxy_for(base_url: str, given: str | None) -> Secret | None:
    """Return the proxy for a base URL; None for none.

    `given` is what --proxy says: "" for no proxy, None to ask the environment, HTTPS_PROXY or HTTP_PROXY by the URL, in
    either case of letters. Hosts of NO_PROXY are reached without one, and so is this machine. Raises `ConfigError`.
    """
    if given is None:
        return _of_environment(base_url)
    if "@" in given:
        raise ConfigError(
            "--proxy holds a user or a password, which everyone on this machine could read; put the URL into "
            "HTTPS_PROXY or HTTP_PROXY, which are read without --proxy"
        )
    return _checked(Secret(given.strip()), f"--proxy {given!r}") if given.strip() else None


def _of_environment(base_url: str) -> Secret | None:
    # The client needs it too, so that this costs nothing more.
    from urllib.request import getproxies_environment, proxy_bypass

    try:
        url = urlsplit(base_url)
        host = url.hostname or ""
    except ValueError:  # the client says what is wrong with it
        return None
    found = Secret(getproxies_environment().get(url.scheme, "").strip())
    is_near = host in ("localhost", "::1") or host.startswith("127.")
    if not found.reveal() or is_near or proxy_bypass(url.netloc):
        return None
    if "://" not in found.reveal():
        found = Secret(f"http://{found.reveal()}")
    return _checked(found, f"{url.scheme.upper()}_PROXY")


def _checked(proxy: Secret, source: str) -> Secret:
    """Return a proxy that a client would take. Raises `ConfigError` that says where it was found."""
    from workorder_async.wire.options import client_options

    try:
        client_options(proxy=proxy)
    except ConfigError:
        raise ConfigError(f"{source} is no http:// or https:// URL of a proxy; {_MEND}") from None
    return proxy
