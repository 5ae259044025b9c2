"""`workorder doctor`: what stands between this machine and the platform, a line for each check.

The checks come one after the other: configuration, name, connection, answer, clock, signature. A platform cannot know
why a signature is wrong. So a refused request is sent again with one thing changed at a time: where a neighbour of the
scheme or of the secret is accepted, that one was wrong. Every request lists one ticket and changes nothing.
"""

import asyncio
import os
import re
import socket
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, cast
from urllib.parse import urlsplit

from attrs import asdict, frozen
from cyclopts import Parameter
from rich.text import Text

from workorder_async.cli import certificates
from workorder_async.cli.certificates import Verdict
from workorder_async.cli.connection import APP_ID, BASE_URL, SCHEME, SECRET, Connection, Environment, make_client
from workorder_async.cli.running import run
from workorder_async.cli.terminal import one_line, out, write_json
from workorder_async.document.endpoints import PREFIX
from workorder_async.errors import ApiError, ConfigError, ResponseError, WorkorderError
from workorder_async.secret import Secret
from workorder_async.signing.scheme import ENCODINGS, UNITS, Scheme, SchemeSigner, SigningInput
from workorder_async.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient
    from workorder_async.wire.options import ClientOptions

_PATIENCE: Final = 10.0
# Servers that check timestamps commonly allow minutes; a clock that is kept is right to the second.
_CLOCK_TOLERANCE: Final = 60.0
_MARKS: Final = {True: ("ok", "green"), False: ("FAILED", "bold red"), None: ("skipped", "dim")}
_QUOTES: Final = " \t\r\n\"'“”‘’"  # those of a chat or a word processor, too
_DETECT: Final = "`workorder sign detect` with one accepted request"
_PERMISSION: Final = (
    "ask who runs the platform for the AppId's permission, and whether this machine's address is allowed"
)

_Answer: TypeAlias = tuple[int, int, str]
"""HTTP status, errno and words of a refusal."""


def doctor(
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object per check.")] = False,
    connection: Connection = Connection(),
) -> int:
    """Check the configuration, the network, the clock and the signature, and say what to do.

    Sends two requests that change nothing: one without a signature, and one for a list of one ticket. Where the
    signature is refused, up to eight more such lists are asked for, each with one thing changed, to find out why.
    """
    environ, _ = connection.found()
    return run(_report(environ, connection.options(environ), as_json=json))


async def _report(environ: Environment, options: "ClientOptions", *, as_json: bool) -> int:
    healthy = True
    async with aclosing(examine(environ, options)) as checks:
        async for check in checks:
            healthy = healthy and check.ok is not False
            if as_json:
                write_json([asdict(check)])
            else:
                mark, style = _MARKS[check.ok]
                line = Text(f"{mark:<8}", style=style)
                line.append(f"{check.name:<22} ", style="bold" if check.ok is False else "default")
                text = f"{check.found}; {check.mend}" if check.mend else check.found
                out().print(line.append(one_line(text), style="default"), soft_wrap=True)
    return 0 if healthy else 1


@frozen
class Check:
    """The result of one check: `ok` is None where it could not be made; `mend` says what to do."""

    name: str
    ok: bool | None
    found: str
    mend: str = ""


async def examine(environ: Environment, options: "ClientOptions") -> AsyncGenerator[Check]:
    """Yield each check as it is made, by clients with these options; a check that needs a failed one is skipped."""
    from workorder_async.client import WorkorderClient

    configured = list(_configuration(environ))
    for check in configured:
        yield check
    going = configured[0].ok is True
    url = str(environ[BASE_URL]).strip() if going else "http://localhost"
    how: ClientOptions = {**options, "retry": RetryPolicy(attempts=1), "attempt_timeout": _PATIENCE}
    async with WorkorderClient(url, signer=_Unsigned(), **how) as unsigned:
        for name, step in (("name", _resolve), ("connection", _connect), ("answer", _answer), ("clock", _clock)):
            check = Check(name, *await step(unsigned)) if going else _skipped(name)
            # A wrong clock is no obstacle: requests are signed with the platform's time.
            going = check.ok is True or (going and name == "clock")
            yield check
    going = going and all(check.ok for check in configured)
    yield Check("signature", *await _signature(environ, options)) if going else _skipped("signature")


def _skipped(name: str) -> Check:
    return Check(name, None, "a check that it needs has failed")


class _Unsigned:
    """Signs nothing. The answer to such a request shows who answers, and by which clock."""

    def sign(self, request: SigningInput) -> Mapping[str, str]:
        return {}


def _configuration(environ: Environment) -> Iterator[Check]:
    """Check each variable by itself, the base URL first, also for a likely slip."""
    from workorder_async.client import WorkorderClient

    judges: tuple[tuple[str, str, Callable[[str], object]], ...] = (
        (BASE_URL, "the platform's URL", lambda url: WorkorderClient(url, signer=_Unsigned())),
        (APP_ID, "the AppId you were given", lambda app_id: SchemeSigner(app_id, "-", "md5:{secret}")),
        (SECRET, "the secret given with the AppId", lambda secret: SchemeSigner("-", secret, "md5:{secret}")),
        (SCHEME, "a scheme; `workorder sign detect` finds it from one accepted request", Scheme.parse),
    )
    for name, meaning, judge in judges:
        value = environ[name]
        if not Secret(value).reveal().strip():
            yield Check(name, False, "not set", f"set it to {meaning}; `workorder sandbox` prints all four to try")
            continue
        try:
            judge(cast("str", value) if isinstance(value, Secret) else value.strip())
        except ConfigError as error:
            yield Check(name, False, "cannot work", str(error))
            continue
        if isinstance(value, Secret):
            wrapped = "there are blanks or quotes around it: cut them off, unless it was given so"
            yield Check(name, True, "set, and not shown", wrapped if _is_wrapped(value) else "")
            continue
        value = value.strip()
        base, path, _ = value.partition(PREFIX) if name == BASE_URL else (value, "", "")
        yield Check(name, not path, value, f"cut off the endpoint's path: {base}" if path else "")


def _address(client: "WorkorderClient") -> tuple[str, int, str]:
    """Return the host and the port that connections go to, and whose word they are."""
    parts = urlsplit(client.base_url if client.proxy is None else client.proxy.reveal())
    source = BASE_URL if client.proxy is None else "the URL of the proxy (--proxy, HTTPS_PROXY or HTTP_PROXY)"
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), source


async def _resolve(client: "WorkorderClient") -> Verdict:
    host, port, source = _address(client)
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        mend = f"check the host in {source}, and that you are in the company's network"
        return False, f"{host} cannot be found: {_reason(error)}", mend
    return True, f"{host} is {', '.join(dict.fromkeys(str(entry[4][0]) for entry in found))}", ""


async def _connect(client: "WorkorderClient") -> Verdict:
    """Open a connection, look at the certificate that https shows there, and close it."""
    host, port, source = _address(client)
    try:
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            await writer.wait_closed()
    except OSError as error:
        mend = f"check the port in {source}, the firewall, and that the server runs"
        return False, f"port {port} of {host} takes none: {_reason(error)}", mend
    proxy = "; it is the proxy of this command line, and a program of your own uses it only where it is told to"
    found = f"port {port} of {host} takes connections{proxy if client.proxy else ''}"
    if not client.base_url.startswith("https:"):
        return True, found, ""
    trusted, certificate, mend = await certificates.examine(client, _PATIENCE)
    return trusted, f"{found}; {certificate}" if trusted else certificate, mend


def _reason(error: OSError | UnicodeError) -> str:
    """Return the system's words for a failure, or a few of ours where it has none."""
    if isinstance(error, TimeoutError):
        return f"nothing for {_PATIENCE:.0f} s"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error)


async def _answer(client: "WorkorderClient") -> Verdict:
    """Ask for a list without a signature: a refusal with an errno shows that the platform answers."""
    try:
        await client.list_tickets(page_size=1)
    except WorkorderError as error:
        if isinstance(error, ApiError) and error.errno:
            return True, f"the platform answers (to a request without a signature: {error.message})", ""
        # A gateway's refusal has no errno.
        if isinstance(error, ApiError | ResponseError) and error.status in (401, 403):
            return True, f"HTTP {error.status} to a request without a signature", ""
        return False, str(error), f"check the host, port and path in {BASE_URL}"
    return True, "the platform answers, even to a request without a signature", ""


async def _clock(client: "WorkorderClient") -> Verdict:
    offset = client.clock_offset
    if not offset and client.ahead() is None:
        return None, "not known: the answer has no Date", ""
    if abs(offset) <= _CLOCK_TOLERANCE:
        return True, f"within {_CLOCK_TOLERANCE:.0f} s of the platform's", ""
    mend = "set this machine's clock, as NTP does; until then requests are signed with the platform's time"
    return False, f"{abs(offset):,.0f} s {'behind' if offset > 0 else 'ahead of'} the platform's", mend


async def _signature(environ: Environment, options: "ClientOptions") -> Verdict:
    """Ask for a list with a signature; where it is refused, find out why."""
    async with make_client(environ, **options) as client:
        try:
            page = await client.list_tickets(page_size=1)
            return True, f"accepted; the platform has {page.pagination.total:,} tickets to show", ""
        except ApiError as error:
            refused = error
        except WorkorderError as error:
            return False, str(error), "run it again; if it stays so, ask who runs the platform"
    try:
        return False, str(refused), await _cause(environ, options, refused)
    except WorkorderError as error:
        return False, str(refused), f"what it comes from could not be found out: {error}"


# Why a signature is refused


async def _cause(environ: Environment, options: "ClientOptions", refused: ApiError) -> str:
    """Return the mend for a signed request that was refused, as far as asking again shows it."""
    if accepted := await _accepted_neighbour(environ, options):
        return accepted
    made_up = {**environ, SECRET: Secret(token_hex(16))}
    wrong_sign = await _ask(made_up, options)
    stranger = await _ask({**made_up, APP_ID: f"no-such-app-{token_hex(4)}"}, options)
    if wrong_sign is None:
        return f"a made-up secret is accepted now, so the refusal was no matter of the signature: {_PERMISSION}"
    if wrong_sign != _refusal(refused, environ):
        words = f"a made-up secret is refused in other words (errno {wrong_sign[1]})"
        return f"the signature is right: {words}; {_PERMISSION}"
    if stranger == wrong_sign:
        return (
            "it cannot be told whether AppId, secret or scheme is wrong: a made-up secret and a made-up AppId are "
            f"refused in the same words; compare {APP_ID} and {SECRET} with what you were given; {_DETECT} then tells "
            "whether secret and scheme belong together"
        )
    return (
        "the platform knows the AppId, and refuses a made-up secret in the same words, so the secret or the scheme is "
        f"wrong; which of them, no answer tells: {_DETECT} does (where it finds a line, the secret is right; where it "
        "finds none, suspect the secret first)"
    )


async def _accepted_neighbour(environ: Environment, options: "ClientOptions") -> str:
    """Return the mend where a neighbour of the secret or the scheme is accepted; "" where none is."""
    secret = Secret(environ[SECRET])
    if _is_wrapped(secret):
        bare = Secret(secret.reveal().strip(_QUOTES))
        if bare.wrong_with(SECRET) is None and await _ask({**environ, SECRET: bare}, options) is None:
            how = "without the blanks or quotes around it it is accepted"
            return f"the secret is wrong: {how}; cut them off in {SECRET}"
    for line in neighbours(str(environ[SCHEME]).strip()):
        if await _ask({**environ, SCHEME: line}, options) is None:
            return f"the secret is right and the scheme is wrong: {line} is accepted; export {SCHEME}='{line}'"
    return ""


def _is_wrapped(secret: Secret) -> bool:
    return secret.reveal() != secret.reveal().strip(_QUOTES)


def neighbours(text: str) -> Iterator[str]:
    """Yield a scheme's line with another unit of the Timestamp, and with other ways to write the digest."""
    scheme = Scheme.parse(text)
    head, _, template = text.partition(":")
    name, *options = head.split(",")
    kept = [option for option in options if option not in (*ENCODINGS, *UNITS)]
    for unit in UNITS:
        for encoding in ("hex", "HEX", "base64"):
            if (unit, encoding) != (scheme.unit, scheme.encoding):
                words = [option for option in (encoding, unit) if option not in ("hex", "s")]
                with suppress(ConfigError):  # unpadded hex
                    yield Scheme.parse(f"{','.join([name, *words, *kept])}:{template}").text


async def _ask(environ: Environment, options: "ClientOptions") -> _Answer | None:
    """Ask for a list, and return how it is refused; None where it is accepted."""
    async with make_client(environ, **options) as client:
        try:
            await client.list_tickets(page_size=1)
        except ApiError as error:
            return _refusal(error, environ)
    return None


def _refusal(error: ApiError, environ: Environment) -> _Answer:
    """Return a refusal to be compared with others: its words without the AppId, signatures and times."""
    words = error.errmsg.replace(str(environ[APP_ID]).strip(), "")
    return error.status, error.errno, re.sub(r"[0-9A-Fa-f]{6,}|[0-9]+", "", words)
