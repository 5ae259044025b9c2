"""The certificate that a platform's host shows: whether it is trusted, and if not, whose it is and what to do.

A proxy that opens TLS shows a certificate of its own for the right host, from an issuer that only its company knows.
Python reads a certificate to us only where it trusts it. So one that is refused is asked for once more, by a client
that trusts it alone, whatever its dates and its host.
"""

import asyncio
import base64
import hashlib
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from yarl import URL

from workorder_async.environment import CA_BUNDLE

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

Verdict: TypeAlias = tuple[bool | None, str, str]
"""Whether it is right, None where that cannot be known; what was found, and what to do."""
_Facts: TypeAlias = Mapping[str, Any]
"""A certificate as Python reads it."""

# A flag of OpenSSL that Python has no name for: dates are not checked.
_NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)
_OPENED: Final = (
    "if a proxy of your company opens TLS, ask those who run it for the certificate of this issuer (PEM), and name its "
    f"file by --cacert FILE or {CA_BUNDLE}=FILE; if there is none, send nothing: somebody else may be answering"
)
_CLOCK: Final = "check this machine's clock; if it is right, whoever runs the platform must renew it"
_HOST: Final = "check the host in the base URL; a proxy or gateway may answer in its place"
_OWN: Final = f"if whoever runs the platform confirms it, name its file (PEM) by --cacert FILE or {CA_BUNDLE}=FILE"
# By OpenSSL's reason: too early, expired, signed by itself, of another host, of another address.
_MENDS: Final = {9: _CLOCK, 10: _CLOCK, 18: _OWN, 62: _HOST, 64: _HOST}


async def examine(client: "WorkorderClient", patience: float) -> Verdict:
    """Look at the certificate of a client's host, through its proxy if it has one, and say what it is worth."""
    url = URL(client.base_url)
    where = f"{url.host}:{url.port}"
    given = client.ssl if isinstance(client.ssl, ssl.SSLContext) else ssl.create_default_context()
    try:
        async with asyncio.timeout(patience):
            try:
                _, facts = await _shown(client, given)
            except ssl.SSLCertVerificationError as refused:
                lax = ssl.create_default_context()
                lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
                der, _ = await _shown(client, lax)
                shown = await _shown(client, _trusting(der))
                return _why(refused, *shown, str(url.host), given=client.ssl is not True)
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        said = f"nothing for {patience:.0f} s" if isinstance(error, TimeoutError) else str(error)
        reason = getattr(error, "reason", None) or said or type(error).__name__
        mend = "check https:// and the port in the base URL, and the proxy"
        return False, f"{where} speaks no TLS with us: {reason}", mend
    return True, f"its certificate was issued by {_issuer(facts)}, and is good until {_day(facts, 'notAfter')}", ""


def _why(refused: ssl.SSLCertVerificationError, der: bytes, facts: _Facts, host: str, *, given: bool) -> Verdict:
    """Tell a certificate that was refused: whose it is, OpenSSL's reason, and what to do about that."""
    truster = f"the file of --cacert or {CA_BUNDLE}" if given else "this machine"
    names = [name for kind, name in facts.get("subjectAltName", ()) if kind == "DNS"]
    its = f"for {', '.join(names) or 'no host'}, good from {_day(facts, 'notBefore')} until {_day(facts, 'notAfter')}"
    whose = f"the certificate of {host}, issued by {_issuer(facts)}, {its}"
    why = f"is not trusted by {truster}: {refused.verify_message.strip('.')}"
    return (
        False,
        f"{whose}, {why}; its SHA-256 is {hashlib.sha256(der).hexdigest()}",
        _MENDS.get(refused.verify_code, _OPENED),
    )


async def _shown(client: "WorkorderClient", context: ssl.SSLContext) -> tuple[bytes, _Facts]:
    """Return the certificate that a client's host shows, through its proxy if it has one. Raises what `ssl` raises.

    The facts of one that is not trusted are empty.
    """
    host, proxy = URL(client.base_url), None if client.proxy is None else URL(client.proxy.reveal())
    first = proxy or host
    through_tls = ssl.create_default_context() if proxy is not None and proxy.scheme == "https" else None
    reader, writer = await asyncio.open_connection(first.host, first.port, ssl=through_tls)
    try:
        if proxy is not None:
            await _ask_for_way(proxy, f"{host.host_subcomponent}:{host.port}", reader, writer)
        await writer.start_tls(context, server_hostname=host.host)
        tls = writer.get_extra_info("ssl_object")
        return tls.getpeercert(binary_form=True), tls.getpeercert()
    finally:
        writer.transport.abort()


async def _ask_for_way(proxy: URL, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask a proxy for a connection to an address. Raises `ConnectionError` with the words of one that refuses."""
    login = base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
    header = f"Proxy-Authorization: Basic {login}\r\n" if proxy.user else ""
    writer.write(f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n{header}\r\n".encode())
    line = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode("latin-1")
    if line.split()[1:2] != ["200"]:
        raise ConnectionError(f"the proxy answers {line!r} to CONNECT")


def _trusting(der: bytes) -> ssl.SSLContext:
    """Return what trusts one certificate, also where it is expired, of another host, or has a weak key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=der)
    context.verify_flags = ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def _issuer(facts: _Facts) -> str:
    """Return the issuer's common name and organization, or else all that is said of it."""
    issuer = {name: value for group in facts["issuer"] for name, value in group}
    wanted = [issuer[name] for name in ("commonName", "organizationName") if name in issuer]
    return " of ".join(wanted) or ", ".join(issuer.values()) or "nobody"


def _day(facts: _Facts, name: str) -> str:
    return f"{datetime.fromtimestamp(ssl.cert_time_to_seconds(facts[name]), UTC):%Y-%m-%d}"
