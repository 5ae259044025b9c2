"""The checks of `workorder doctor`: configuration, name, connection, answer, clock, signature; one after the other."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Final, cast
from urllib.parse import urlsplit

from attrs import frozen

from workorder_async.cli.connection import APP_ID, BASE_URL, SCHEME, SECRET, Environment, is_set, make_client
from workorder_async.cli.refusals import cause, is_wrapped
from workorder_async.client import WorkorderClient
from workorder_async.document.endpoints import PREFIX
from workorder_async.errors import ApiError, ConfigError, ResponseError, WorkorderError
from workorder_async.secret import Secret
from workorder_async.signing.scheme import Scheme, SchemeSigner, SigningInput
from workorder_async.wire.options import ClientOptions
from workorder_async.wire.retry import RetryPolicy

_PATIENCE: Final = 10.0
# Servers that check timestamps commonly allow minutes; a clock that is kept is right to the second.
_CLOCK_TOLERANCE: Final = 60.0


@frozen
class Check:
    """The result of one check: `ok` is None where it could not be made; `mend` says what to do."""

    name: str
    ok: bool | None
    found: str
    mend: str = ""


async def examine(environ: Environment, options: ClientOptions) -> AsyncGenerator[Check]:
    """Yield each check as it is made, by clients with these options; one that needs a failed one is skipped."""
    configured = list(_configuration(environ))
    for check in configured:
        yield check
    going = configured[0].ok is True
    url = str(environ[BASE_URL]).strip() if going else "http://localhost"
    once = RetryPolicy(attempts=1)
    how: ClientOptions = {**options, "retry": once, "attempt_timeout": _PATIENCE}
    async with WorkorderClient(url, signer=_Unsigned(), **how) as unsigned:
        for name, step in (("name", _resolve), ("connection", _connect), ("answer", _answer)):
            check = await step(unsigned) if going else _skipped(name)
            going = check.ok is True
            yield check
        yield _clock(unsigned) if going else _skipped("clock")
    going = going and all(check.ok for check in configured)
    yield await _signature(environ, options) if going else _skipped("signature")


def _skipped(name: str) -> Check:
    return Check(name, None, "a check that it needs has failed")


class _Unsigned:
    """Signs nothing. The answer to such a request shows who answers, and by which clock."""

    def sign(self, request: SigningInput) -> Mapping[str, str]:
        return {}


def _configuration(environ: Environment) -> Iterator[Check]:
    """Check each variable by itself, the base URL first."""
    judges: tuple[tuple[str, str, Callable[[str], object]], ...] = (
        (BASE_URL, "the platform's URL", lambda url: WorkorderClient(url, signer=_Unsigned())),
        (APP_ID, "the AppId you were given", lambda app_id: SchemeSigner(app_id, "-", "md5:{secret}")),
        (SECRET, "the secret given with the AppId", lambda secret: SchemeSigner("-", secret, "md5:{secret}")),
        (SCHEME, "a scheme; `workorder sign detect` finds it from one accepted request", Scheme.parse),
    )
    for name, meaning, judge in judges:
        value = environ[name]
        if not is_set(value):
            yield Check(name, False, "not set", f"set it to {meaning}; `workorder sandbox` prints all four to try")
            continue
        try:
            judge(cast("str", value) if isinstance(value, Secret) else value.strip())
        except ConfigError as error:
            yield Check(name, False, "cannot work", str(error))
        else:
            yield _judged(name, value)


def _judged(name: str, value: str | Secret) -> Check:
    """Return the check of a variable that can work: what is set, and what looks like a slip."""
    if isinstance(value, Secret):
        wrapped = (
            "there are blanks or quotes around it: cut them off, unless it was given so" if is_wrapped(value) else ""
        )
        return Check(name, True, "set, and not shown", wrapped)
    text = value.strip()
    if name == BASE_URL and PREFIX in text:
        return Check(name, False, text, f"cut off the endpoint's path: {text.partition(PREFIX)[0]}")
    return Check(name, True, text)


def _address(client: WorkorderClient) -> tuple[str, int]:
    """Return the host and the port that connections go to: those of the proxy, or of the base URL."""
    parts = urlsplit(client.base_url if client.proxy is None else client.proxy.reveal())
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _source(client: WorkorderClient) -> str:
    """Say where the address was written."""
    return BASE_URL if client.proxy is None else "the URL of the proxy (--proxy, HTTPS_PROXY or HTTP_PROXY)"


async def _resolve(client: WorkorderClient) -> Check:
    """Ask the name server for the host."""
    host, port = _address(client)
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        mend = f"check the host in {_source(client)}, and that you are in the company's network"
        return Check("name", False, f"{host} cannot be found: {_reason(error)}", mend)
    return Check("name", True, f"{host} is {', '.join(dict.fromkeys(str(entry[4][0]) for entry in found))}")


async def _connect(client: WorkorderClient) -> Check:
    """Open a connection, and close it."""
    host, port = _address(client)
    try:
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            await writer.wait_closed()
    except OSError as error:
        mend = f"check the port in {_source(client)}, the firewall, and that the server runs"
        return Check("connection", False, f"port {port} of {host} takes none: {_reason(error)}", mend)
    return Check("connection", True, f"port {port} of {host} takes connections{_proxy(client)}")


def _proxy(client: WorkorderClient) -> str:
    """Say that it is a proxy that was reached, and who uses it; "" without one."""
    if client.proxy is None:
        return ""
    return "; it is the proxy of this command line, and a program of your own uses it only where it is told to"


async def _answer(client: WorkorderClient) -> Check:
    """Ask for a list without a signature: a refusal with an errno shows that the platform answers."""
    try:
        await client.list_tickets(page_size=1)
    except WorkorderError as error:
        if isinstance(error, ApiError) and error.errno:
            return Check("answer", True, f"the platform answers (to a request without a signature: {error.message})")
        # A gateway's refusal has no errno.
        if isinstance(error, ApiError | ResponseError) and error.status in (401, 403):
            return Check("answer", True, f"HTTP {error.status} to a request without a signature")
        return Check("answer", False, str(error), f"check the host, port and path in {BASE_URL}")
    return Check("answer", True, "the platform answers, even to a request without a signature")


def _clock(client: WorkorderClient) -> Check:
    """Compare this clock with the platform's, as its last answer told it."""
    offset = client.clock_offset
    if abs(offset) <= _CLOCK_TOLERANCE:
        return Check("clock", True, f"within {_CLOCK_TOLERANCE:.0f} s of the platform's")
    way = "behind" if offset > 0 else "ahead of"
    mend = "set this machine's clock, as NTP does; until then requests are signed with the platform's time"
    return Check("clock", False, f"{abs(offset):,.0f} s {way} the platform's", mend)


async def _signature(environ: Environment, options: ClientOptions) -> Check:
    """Ask for a list with a signature; where it is refused, find out what that comes from."""
    async with make_client(environ, **options) as client:
        try:
            page = await client.list_tickets(page_size=1)
        except ApiError as error:
            refused = error
        except WorkorderError as error:
            return Check("signature", False, str(error), "run it again; if it stays so, ask who runs the platform")
        else:
            return Check("signature", True, f"accepted; the platform has {page.pagination.total:,} tickets to show")
    try:
        return Check("signature", False, str(refused), await cause(environ, options, refused))
    except WorkorderError as error:
        return Check("signature", False, str(refused), f"what it comes from could not be found out: {error}")


def _reason(error: OSError | UnicodeError) -> str:
    """Return the system's words for a failure, in a few of ours where it has none."""
    if isinstance(error, TimeoutError):
        return f"nothing for {_PATIENCE:.0f} s"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error)
