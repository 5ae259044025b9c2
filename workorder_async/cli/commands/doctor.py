"""`workorder doctor`: the way from this machine to the platform, a line for each check.

The checks come one after the other: configuration, name, connection, answer, clock, signature. A platform cannot know
why a signature is wrong. So a refused request is sent again with one thing changed at a time: if the platform accepts
another spelling of the scheme, or the secret without the blanks and quotes around it, the value that is set is wrong.
No request changes anything. Each lists one ticket, except the first with a signature: it asks for a page as large as
the other commands do, which a platform may refuse.

A proxy that opens TLS shows a certificate of its own for the right host, from an issuer that only its company knows.
Python parses only a certificate that it trusts. So after a refused certificate there are two more connections: the
first takes any certificate and returns its bytes, the second trusts these bytes alone, without a look at dates and
host, and so gets the issuer, the names and the dates.
"""

import asyncio
import base64
import hashlib
import os
import re
import socket
import ssl
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import product
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from cyclopts import Parameter
from rich.text import Text
from yarl import URL

from workorder_async.cli.connection import APP_ID, BASE_URL, SCHEME, SECRET, Connection, Environment, make_client, run
from workorder_async.cli.failures import FAILED, OK
from workorder_async.cli.terminal import out, write_json
from workorder_async.document import TicketPage
from workorder_async.environment import CA_BUNDLE, VARIABLES, checked_url
from workorder_async.errors import ApiError, ConfigError, DecodeError, RateLimitedError, ResponseError, WorkorderError
from workorder_async.plain_text import one_line
from workorder_async.secret import Secret
from workorder_async.signing.scheme import ENCODINGS, UNITS, Scheme, SchemeSigner, SigningInput
from workorder_async.wire.call import RetryPolicy
from workorder_async.wire.options import ClientOptions

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

Verdict: TypeAlias = tuple[bool | None, str, str]
"""Result of a check: True (passed), False (failed) or None (skipped, or not known); what was found; what to do."""
_Facts: TypeAlias = Mapping[str, Any]
"""A certificate as Python reads it."""

_OPENED: Final = (
    "if a proxy of your company opens TLS, ask those who run it for the certificate of this issuer (PEM), and name its "
    f"file by --cacert FILE or {CA_BUNDLE}=FILE; if there is none, send nothing: somebody else may be answering"
)
_CLOCK: Final = "check this machine's clock; if it is right, whoever runs the platform must renew it"
_HOST: Final = "check the host in the base URL; a proxy or gateway may answer in its place"
_OWN: Final = f"if whoever runs the platform confirms it, name its file (PEM) by --cacert FILE or {CA_BUNDLE}=FILE"
# What to do, by OpenSSL's error code: not valid yet, expired, self-signed, another host, another IP address.
_MENDS: Final = {9: _CLOCK, 10: _CLOCK, 18: _OWN, 62: _HOST, 64: _HOST}

_PATIENCE: Final = 10.0
_PAGE: Final = 100  # what the other commands ask for
# Servers that check timestamps commonly allow minutes; a clock that is kept is right to the second.
_CLOCK_TOLERANCE: Final = 60.0
_MARKS: Final = {True: ("ok", "green"), False: ("FAILED", "bold red"), None: ("skipped", "dim")}
_QUOTES: Final = " \t\r\n\"'“”‘’"  # those of a chat or a word processor, too
_DETECT: Final = "`workorder sign detect` with one accepted request"
_PERMISSION: Final = "ask who runs the platform for the AppId's permission, and if this machine's address is allowed"

_CHECKS: Final[Mapping[str, Callable[[str], object]]] = {
    BASE_URL: lambda url: checked_url(Secret(url)),
    APP_ID: lambda app_id: SchemeSigner(app_id, "-", "md5:{secret}"),
    SCHEME: Scheme.parse,
}
_SKIPPED: Final[Verdict] = (None, "a check that it needs has failed", "")


def doctor(
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object per check.")] = False,
    connection: Connection = Connection(),
) -> int:
    """Check the configuration, the network, the clock and the signature, and say what to do.

    Sends two requests that change nothing: one without a signature, and one for a page of tickets. Where that is
    refused, up to nine more ask for one ticket, most with one thing changed, to find out why; where the clocks differ,
    each of them also with the platform's time.
    """
    environ, _ = connection.found()
    return run(examine(environ, connection.options(environ), as_json=json))


async def examine(environ: Environment, options: ClientOptions, *, as_json: bool) -> int:
    """Make all checks by clients with these options, and print each; a check that needs a failed one is skipped."""
    from workorder_async.client import WorkorderClient

    verdicts = {name: _variable(name, environ[name]) for name in VARIABLES}
    for name, verdict in verdicts.items():
        _tell(name, verdict, as_json=as_json)
    going = verdicts[BASE_URL][0] is True
    url = str(environ[BASE_URL]).strip() if going else "http://localhost"
    options = {"deadline": _PATIENCE, **options, "retry": RetryPolicy(attempts=1), "attempt_timeout": _PATIENCE}
    async with WorkorderClient(url, signer=_Unsigned(), **options) as unsigned:
        for name, step in (("name", _resolve), ("connection", _connect), ("answer", _answer), ("clock", _clock)):
            verdicts[name] = await step(unsigned) if going else _SKIPPED
            # Go on after a wrong clock: a client whose signature is refused for its time signs with the platform's.
            going = verdicts[name][0] is True or (going and name == "clock")
            _tell(name, verdicts[name], as_json=as_json)
    going = going and all(verdicts[name][0] for name in VARIABLES)
    verdicts["signature"] = await _signature(environ, options, verdicts["clock"]) if going else _SKIPPED
    _tell("signature", verdicts["signature"], as_json=as_json)
    return FAILED if any(ok is False for ok, _, _ in verdicts.values()) else OK


def _tell(name: str, verdict: Verdict, *, as_json: bool) -> None:
    ok, found, mend = verdict
    if as_json:
        write_json([{"name": name, "ok": ok, "found": found, "mend": mend}])
        return
    mark, style = _MARKS[ok]
    named = (f"{name:<22} ", "bold" if ok is False else "")
    said = one_line(f"{found}; {mend}" if mend else found)
    out().print(Text.assemble((f"{mark:<8}", style), named, said), soft_wrap=True)


class _Unsigned:
    """Signs nothing. The answer to an unsigned request shows already who answers, and the platform's clock."""

    def sign(self, request: SigningInput) -> Mapping[str, str]:
        return {}


def _variable(name: str, value: str | Secret) -> Verdict:
    """Check one variable alone; a secret also for blanks or quotes around it."""
    if not Secret(value).reveal().strip():
        return False, "not set", f"set it to {VARIABLES[name]}; `workorder sandbox` prints all four to try"
    try:
        if isinstance(value, Secret):
            SchemeSigner("-", value, "md5:{secret}")
            wrapped = "there are blanks or quotes around it: cut them off, unless it was given so"
            return True, "set, and not shown", wrapped if value.reveal() != value.reveal().strip(_QUOTES) else ""
        _CHECKS[name](value.strip())
    except ConfigError as error:
        return False, "cannot work", str(error)
    return True, value.strip(), ""


def _address(client: "WorkorderClient") -> tuple[str, int, str]:
    """Return the host and the port that connections go to, and the setting that names them."""
    url = URL(client.base_url if client.proxy is None else client.proxy.reveal())
    source = BASE_URL if client.proxy is None else "the URL of the proxy (--proxy, HTTPS_PROXY or HTTP_PROXY)"
    return url.host or "", url.port or 0, source


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
    trusted, certificate, mend = await _certificate(client)
    return trusted, f"{found}; {certificate}" if trusted else certificate, mend


def _reason(error: Exception) -> str:
    """Return the system's words for a failure, or a few words of this program if the system has none."""
    if isinstance(error, TimeoutError):
        return f"nothing for {_PATIENCE:.0f} s"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0)
    words = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
    return words or str(error) or type(error).__name__


async def _answer(client: "WorkorderClient") -> Verdict:
    """Ask for a list without a signature: a refusal with an errno shows that the platform answers."""
    try:
        await client.list_tickets(page_size=1)
    except WorkorderError as error:
        if isinstance(error, ApiError) and error.errno:
            return True, f"the platform answers (to a request without a signature: {error.message})", ""
        # A gateway's refusal has no errno.
        if isinstance(error, ApiError | ResponseError) and error.status in (401, 403):
            return True, f"HTTP {error.status} to a request without a signature{_beginning(error)}", ""
        is_limit = isinstance(error, RateLimitedError)
        mend = "wait, and run it again" if is_limit else f"check host, port and path in {BASE_URL}"
        return False, f"{error}{_beginning(error)}", mend
    return True, "the platform answers, even to a request without a signature", ""


def _beginning(error: WorkorderError) -> str:
    """Return the first words of the page that an error stands for, without tags; "" for an error of no page."""
    page = error.body_start if isinstance(error, ApiError | ResponseError) else b""
    text = ""
    # UTF-8, or else GB18030. The bytes may end inside of a character, which an incremental decoder takes.
    for encoding, errors in (("gb18030", "replace"), ("utf-8", "strict")):
        with suppress(UnicodeDecodeError):
            text = getincrementaldecoder(encoding)(errors).decode(page)
    words = one_line(re.sub("<[^>]*>?", " ", text))
    return f" (the answer begins: {words})" if words else ""


async def _clock(client: "WorkorderClient") -> Verdict:
    offset = client.clock_offset
    if not offset and client.ahead() is None:
        return None, "not known: the answer has no Date, or took too long to tell by it", ""
    if abs(offset) <= _CLOCK_TOLERANCE:
        return True, f"within {_CLOCK_TOLERANCE:.0f} s of the platform's", ""
    mend = (
        "set this machine's clock, as NTP does; if it is right, somebody on the way tells a wrong time, which does no "
        "harm: the platform's time signs only where ours is refused"
    )
    return False, f"{abs(offset):,.0f} s {'behind' if offset > 0 else 'ahead of'} the platform's", mend


async def _signature(environ: Environment, options: ClientOptions, clock: Verdict) -> Verdict:
    """Ask for a page of the list with a signature; where it is refused, find out why."""
    try:
        answer = await _ask(environ, options, page_size=_PAGE)
    except WorkorderError as error:
        mend = "" if isinstance(error, ConfigError) else "run it again; if it stays so, ask who runs the platform"
        # After a readable errno, only the data of a success are decoded.
        is_accepted = isinstance(error, DecodeError) and error.path != "$.errno"
        return False, f"{'accepted, but the answer cannot be read: ' if is_accepted else ''}{error}", mend
    if not isinstance(answer, ApiError):
        return True, f"accepted; the platform has {answer.pagination.total:,} tickets to show", ""
    try:
        one = await _ask(environ, options) if answer.errno else answer
        if not isinstance(one, ApiError):
            found = f"accepted; one ticket is served, but a page of {_PAGE} is refused: {answer.message}"
            return True, found, "give list, export, mirror, close, comment and reject a smaller one by --page-size N"
        answer = one
        return False, f"{answer}{_beginning(answer)}", await _cause(environ, options, answer, clock)
    except WorkorderError as error:
        return False, f"{answer}{_beginning(answer)}", f"its cause could not be found: {error}"


async def _ask(environ: Environment, options: ClientOptions, *, page_size: int = 1) -> TicketPage | ApiError:
    """Ask for a list with a signature; return the page, or the error of a refusal. Raises all other errors."""
    async with make_client(environ, **options) as client:
        try:
            return await client.list_tickets(page_size=page_size)
        except RateLimitedError:
            raise  # it was turned away unread, and says nothing about its signature
        except ApiError as error:
            return error


async def _certificate(client: "WorkorderClient") -> Verdict:
    """Check the certificate of a client's host, through its proxy if it has one."""
    host, given = URL(client.base_url), client.ssl if isinstance(client.ssl, ssl.SSLContext) else None
    try:
        async with asyncio.timeout(_PATIENCE):
            try:
                _, facts = await _shown(client, given or ssl.create_default_context())
            except ssl.SSLCertVerificationError as refused:
                lax = ssl.create_default_context()
                lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
                der, _ = await _shown(client, lax)
                _, facts = await _shown(client, _trusting(der))
                hosts = ", ".join(name for kind, name in facts.get("subjectAltName", ()) if kind == "DNS") or "no host"
                days = f"good from {_day(facts, 'notBefore')} until {_day(facts, 'notAfter')}"
                truster = f"the file of --cacert or {CA_BUNDLE}" if given else "this machine"
                why = f"is not trusted by {truster}: {refused.verify_message.strip('.')}"
                its = f"the certificate of {host.host}, issued by {_issuer(facts)}, for {hosts}, {days}, {why}"
                mend = _MENDS.get(refused.verify_code, _OPENED)
                return False, f"{its}; its SHA-256 is {hashlib.sha256(der).hexdigest()}", mend
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        mend = "check https:// and the port in the base URL, and the proxy"
        return False, f"{host.host}:{host.port} speaks no TLS with us: {_reason(error)}", mend
    return True, f"its certificate was issued by {_issuer(facts)}, and is good until {_day(facts, 'notAfter')}", ""


async def _shown(client: "WorkorderClient", context: ssl.SSLContext) -> tuple[bytes, _Facts]:
    """Return the certificate that a client's host shows, as bytes and as facts. Raises the errors of `ssl`.

    The connection goes through the client's proxy, if it has one. The facts are empty if `context` takes any
    certificate without a check.
    """
    host, proxy = URL(client.base_url), None if client.proxy is None else URL(client.proxy.reveal())
    first, speaks_tls = proxy or host, proxy is not None and proxy.scheme == "https"
    reader, writer = await asyncio.open_connection(first.host, first.port, ssl=client.ssl if speaks_tls else None)
    try:
        if proxy is not None:
            await _ask_for_way(proxy, f"{host.host_subcomponent}:{host.port}", reader, writer)
        await writer.start_tls(context, server_hostname=host.host)
        tls = writer.get_extra_info("ssl_object")
        return tls.getpeercert(binary_form=True), tls.getpeercert()
    finally:
        writer.transport.abort()


async def _ask_for_way(proxy: URL, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask a proxy for a connection to an address. Raises `ConnectionError` with the proxy's words if it refuses."""
    login = base64.b64encode(f"{proxy.user or ''}:{proxy.password or ''}".encode("latin-1")).decode()  # as aiohttp does
    header = f"Proxy-Authorization: Basic {login}\r\n" if proxy.user or proxy.password else ""
    writer.write(f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n{header}\r\n".encode())
    line = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode("latin-1")
    if line.split()[1:2] != ["200"]:
        raise ConnectionError(f"the proxy answers {line!r} to CONNECT")


def _trusting(der: bytes) -> ssl.SSLContext:
    """Return a context that trusts one certificate, also if it is expired, of another host, or has a weak key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=der)
    # The second flag is one of OpenSSL that Python has no name for: dates are not checked.
    context.verify_flags = ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(0x200000)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def _issuer(facts: _Facts) -> str:
    """Return the issuer's common name and organization, or else all other values of its name."""
    issuer = {name: value for group in facts["issuer"] for name, value in group}
    wanted = [issuer[name] for name in ("commonName", "organizationName") if name in issuer]
    return " of ".join(wanted) or ", ".join(issuer.values()) or "nobody"


def _day(facts: _Facts, name: str) -> str:
    return f"{datetime.fromtimestamp(ssl.cert_time_to_seconds(facts[name]), UTC):%Y-%m-%d}"


async def _cause(environ: Environment, options: ClientOptions, refused: ApiError, clock: Verdict) -> str:
    """Return what to do about a refused signature: ask again with likely slips mended, then with a made-up secret.

    If the made-up secret is accepted, or refused in other words, the signature was not the cause.
    """
    for changed, mend in _slips(environ):
        if not isinstance(await _ask(changed, options), ApiError):
            return mend
    made_up = await _ask({**environ, SECRET: Secret(token_hex(16))}, options)
    if not isinstance(made_up, ApiError):
        return f"a made-up secret is accepted now, so the refusal was no matter of the signature: {_PERMISSION}"
    if _words(made_up) != _words(refused):
        words = f"a made-up secret is refused in other words ({made_up.message})"
        first = "" if clock[0] else "check this machine's clock, which may be the cause; if it is right, "
        return f"the signature is right: {words}; {first}{_PERMISSION}"
    if not refused.errno:
        return (
            "no answer of the platform came: something before it, such as a gateway, answers with a page, whatever the "
            "signature; ask who runs the platform whether this machine's address is allowed, and whether "
            f"{BASE_URL} is right; if it checks the signatures, compare {APP_ID} and {SECRET} with what you were given"
        )
    return (
        "a made-up secret is refused in the same words, so AppId, secret or scheme is wrong, or a clock of the "
        f"platform that its Date does not show; which of them, no answer tells: compare {APP_ID} and {SECRET} with "
        f"what you were given; {_DETECT} then tells whether secret and scheme belong together (where it finds none "
        "that fits, suspect the secret first); or the AppId has no right to list_tickets, which doctor asks for, since "
        "rights are given endpoint by endpoint"
    )


def _slips(environ: Environment) -> Iterator[tuple[Environment, str]]:
    """Yield the four variables with a likely slip in one of them mended, and what to do if these are accepted."""
    secret = Secret(environ[SECRET])
    bare = Secret(secret.reveal().strip(_QUOTES))
    if bare.reveal() != secret.reveal() and bare.wrong_with(SECRET) is None:
        how = "without the blanks or quotes around it it is accepted"
        yield {**environ, SECRET: bare}, f"the secret is wrong: {how}; cut them off in {SECRET}"
    # Lines of the scheme that differ only in the unit of the Timestamp and the spelling of the digest.
    scheme = Scheme.parse(str(environ[SCHEME]).strip())
    head, _, template = scheme.text.partition(":")
    name, *options = head.split(",")
    kept = [option for option in options if option not in (*ENCODINGS, *UNITS)]
    for unit, encoding in product(UNITS, ("hex", "HEX", "base64")):
        words = [option for option in (encoding, unit) if option not in ("hex", "s")]
        line = f"{','.join([name, *words, *kept])}:{template}"
        with suppress(ConfigError):  # unpadded hex
            other = Scheme.parse(line)
            if (other.unit, other.encoding) != (scheme.unit, scheme.encoding):
                mend = f"the secret is right and the scheme is wrong: {line} is accepted; export {SCHEME}='{line}'"
                yield {**environ, SCHEME: line}, mend


def _words(refused: ApiError) -> tuple[int, int, str]:
    """Return status, errno and message of a refusal to compare: without numbers, which may be signatures or times."""
    return refused.status, refused.errno, re.sub(r"[0-9A-Fa-f]{6,}|[0-9]+", "", refused.message)
