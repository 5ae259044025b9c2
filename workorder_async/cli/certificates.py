"""The certificate that a platform's host shows: whether it is trusted, and if not, whose it is and what to do.

A proxy that opens TLS shows a certificate of its own for the right host, from an issuer that only its company knows.
Python tells nothing of a certificate that it refuses, so the few fields that people need are read from its bytes.
"""

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote, urlsplit

from attrs import frozen

from workorder_async.environment import CA_BUNDLE

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

Verdict: TypeAlias = tuple[bool | None, str, str]
"""Whether it is right, None where that cannot be known; what was found, and what to do."""

# Why OpenSSL refuses a certificate.
_TOO_EARLY, _EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64
_COMMON_NAME, _ORGANIZATION, _NAMES = b"\x55\x04\x03", b"\x55\x04\x0a", b"\x06\x03\x55\x1d\x11"
_VERSION, _DNS_NAME, _UTC_TIME = 0xA0, 0x82, 0x17
_CHARSETS: Final = {0x1E: "utf-16-be", 0x14: "latin-1"}
_OPENED: Final = (
    "if a proxy of your company opens TLS, ask those who run it for the certificate of this issuer (PEM), and name its "
    f"file by --cacert FILE or {CA_BUNDLE}=FILE; if there is none, send nothing: somebody else may be answering"
)


async def examine(client: "WorkorderClient", patience: float) -> Verdict:
    """Look at the certificate of a client's host, through its proxy if it has one, and say what it is worth."""
    url = urlsplit(client.base_url)
    where = f"{url.hostname}:{url.port or 443}"
    given = client.ssl if isinstance(client.ssl, ssl.SSLContext) else ssl.create_default_context()
    try:
        async with asyncio.timeout(patience):
            try:
                shown = await _shown(client, given)
            except ssl.SSLCertVerificationError as refused:
                anything = ssl.create_default_context()
                anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
                return _why(refused, await _shown(client, anything), str(url.hostname), given=client.ssl is not True)
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        said = f"nothing for {patience:.0f} s" if isinstance(error, TimeoutError) else str(error)
        reason = getattr(error, "reason", None) or said or type(error).__name__
        mend = "check https:// and the port in the base URL, and the proxy"
        return False, f"{where} speaks no TLS with us: {reason}", mend
    return True, f"its certificate was issued by {shown.issuer}, and is good until {shown.ends}", ""


def _why(refused: ssl.SSLCertVerificationError, shown: "Certificate", host: str, *, given: bool) -> Verdict:
    its, code = f"the certificate of {host}, issued by {shown.issuer},", refused.verify_code
    if code in (_EXPIRED, _TOO_EARLY):
        ends = f"expired on {shown.ends}" if code == _EXPIRED else f"is good from {shown.begins} on only"
        mend = "check this machine's clock; if it is right, whoever runs the platform must renew it"
        return False, f"{its} {ends}", mend
    if code in (_OTHER_HOST, _OTHER_ADDRESS):
        mend = "check the host in the base URL; a proxy or gateway may answer in its place"
        return False, f"{its} is for {', '.join(shown.names) or 'no host'}", mend
    if shown.is_own:
        mend = f"if whoever runs the platform confirms it, name its file (PEM) by --cacert FILE or {CA_BUNDLE}=FILE"
        own = f"the certificate of {host} was signed by itself, not by an issuer; its SHA-256 is {shown.digest}"
        return False, own, mend
    truster = f"the file of --cacert or {CA_BUNDLE}" if given else "this machine"
    return False, f"{its} is not trusted by {truster}: {refused.verify_message}", _OPENED


async def _shown(client: "WorkorderClient", context: ssl.SSLContext) -> "Certificate":
    """Open a connection to a client's host and return the certificate that is shown. Raises what `ssl` raises."""
    url = urlsplit(client.base_url)
    async with _way_to(client, f"{url.netloc if url.port else f'{url.netloc}:443'}") as writer:
        await writer.start_tls(context, server_hostname=url.hostname)
        return read(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))


@asynccontextmanager
async def _way_to(client: "WorkorderClient", address: str) -> AsyncIterator[asyncio.StreamWriter]:
    """Open a connection to an address, which a proxy may have to make, and cut it off in the end."""
    first = urlsplit(client.base_url if client.proxy is None else client.proxy.reveal())
    secured = first.scheme == "https"
    port = first.port or (443 if secured else 80)
    through_tls = ssl.create_default_context() if secured and client.proxy is not None else None
    reader, writer = await asyncio.open_connection(first.hostname, port, ssl=through_tls)
    try:
        if client.proxy is not None:
            login = f"{unquote(first.username or '')}:{unquote(first.password or '')}"
            header = f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n"
            asked = f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n{header if first.username else ''}\r\n"
            writer.write(asked.encode())
            line = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode("latin-1")
            if line.split()[1:2] != ["200"]:
                raise ConnectionError(f"the proxy answers {line!r} to CONNECT")
        yield writer
    finally:
        writer.transport.abort()


@frozen
class Certificate:
    """What people need to know of a certificate."""

    issuer: str
    is_own: bool
    """Whether it is its own issuer."""
    begins: str
    ends: str
    names: list[str]
    """The hosts that it is for."""
    digest: str


def read(der: bytes) -> Certificate:
    """Read a certificate (X.509 in DER), which OpenSSL has read before."""
    body = next(_parts(next(_parts(der))[1]))[1]
    _, _, issuer, validity, subject = [value for tag, value in _parts(body) if tag != _VERSION][:5]
    begins, ends = (_date(*part) for part in _parts(validity))
    names: list[str] = []
    if _NAMES in body:
        # The last part is the extensions; each has its name, perhaps whether it is critical, and its value.
        *_, (_, extensions) = _parts(body)
        wanted = next(one for _, one in _parts(next(_parts(extensions))[1]) if one.startswith(_NAMES))
        *_, (_, value) = _parts(wanted)
        names = [one.decode("latin-1") for tag, one in _parts(next(_parts(value))[1]) if tag == _DNS_NAME]
    return Certificate(_named(issuer), issuer == subject, begins, ends, names, hashlib.sha256(der).hexdigest())


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield what follows each other in some DER: the tag of each part and its content."""
    while der:
        tag, size, head = der[0], der[1], 2
        if size > 0x80:
            head += size - 0x80
            size = int.from_bytes(der[2:head])
        yield tag, der[head : head + size]
        der = der[head + size :]


def _named(name: bytes) -> str:
    """Return a name for people: the common name and the organization, or else all that it has."""
    found = {}
    for _, group in _parts(name):
        for _, pair in _parts(group):
            (_, kind), (tag, text) = _parts(pair)
            found[kind] = text.decode(_CHARSETS.get(tag, "utf-8"), "replace")
    wanted = [found[kind] for kind in (_COMMON_NAME, _ORGANIZATION) if kind in found]
    return " of ".join(wanted) or ", ".join(found.values()) or "nobody"


def _date(tag: int, text: bytes) -> str:
    digits = text.decode("ascii")
    if tag == _UTC_TIME:
        digits = ("19" if digits >= "5" else "20") + digits
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
