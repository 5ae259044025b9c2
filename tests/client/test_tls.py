"""The option `ssl`, and WORKORDER_CA_BUNDLE: whose certificates a client trusts, over real TLS."""

import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import make_client
from tests.support.raw_server import http, serving
from tests.support.samples import BASE, ENVIRONMENT
from tests.support.tls_servers import CA, CERTIFICATES, proxy, tls_in_front
from workorder_async import ConfigError, NotSentError, RetryPolicy, Secret, WorkorderClient
from workorder_async.blocking import WorkorderClient as BlockingClient

LAX = CERTIFICATES / "lax.pem"
ONCE = RetryPolicy(attempts=1)


def context_of(file: str) -> ssl.SSLContext:
    """Return a context as users make one."""
    return ssl.create_default_context(cafile=file)


@pytest.mark.parametrize(
    ("certificate", "trust", "why"),
    [
        ("good", CA, ""),
        ("good", Path(CA), ""),
        ("good", context_of(CA), ""),
        ("good", False, ""),
        ("old", LAX, ""),
        ("own", CERTIFICATES / "own.pem", ""),
        ("good", CERTIFICATES / "good.pem", ""),
        ("good", True, "unable to get local issuer certificate"),
        ("good", LAX, "unable to get local issuer certificate"),
        ("expired", CA, "certificate has expired"),
        ("early", CA, "certificate is not yet valid"),
        ("elsewhere", CA, "Hostname mismatch"),
        ("own", CA, "self-signed certificate"),
    ],
)
async def test_whom_a_client_trusts(certificate: str, trust: Any, why: str) -> None:
    """A file's issuers are trusted, and they alone; what is not trusted gets no request."""
    async with serving(http(BASE)) as wire, tls_in_front(certificate, wire.url) as url:
        async with make_client(url, ssl=trust, retry=ONCE) as client:
            assert client.ssl is trust or isinstance(client.ssl, ssl.SSLContext)
            if why:
                with pytest.raises(NotSentError, match=why):
                    await client.get_ticket(1204)
            else:
                assert (await client.get_ticket(1204)).id == 1204
        assert len(wire.requests) == (0 if why else 1)


@pytest.mark.parametrize("trust", [True, context_of(CA)])
async def test_nobody_listens(trust: Any) -> None:
    """The error says nothing of aiohttp's `ssl`, which is an address in memory."""
    async with serving(http(BASE)) as wire:
        url = wire.url.replace("http:", "https:")
    async with make_client(url, ssl=trust, retry=ONCE) as client:
        with pytest.raises(NotSentError, match="Cannot connect to host") as refused:
            await client.get_ticket(1204)
    assert " ssl:" not in str(refused.value)


async def test_a_proxy_that_opens_tls() -> None:
    """Through a proxy that opens TLS a client works once it trusts the proxy's issuer."""
    async with serving(http(BASE)) as wire, proxy("good", wire.url, []) as way:
        async with make_client("https://localhost", proxy=way, ssl=CA, retry=ONCE) as client:
            assert (await client.get_ticket(1204)).id == 1204
        async with make_client("https://localhost", proxy=way, retry=ONCE) as client:
            with pytest.raises(NotSentError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get_ticket(1204)


@pytest.mark.parametrize("wrap", [str, Secret, lambda path: f" {path}\n"])
async def test_from_env(wrap: Any) -> None:
    """from_env reads WORKORDER_CA_BUNDLE; the option goes before it."""
    async with serving(http(BASE)) as wire, tls_in_front("good", wire.url) as url:
        given = {**ENVIRONMENT, "WORKORDER_BASE_URL": url, "WORKORDER_CA_BUNDLE": wrap(CA)}
        async with WorkorderClient.from_env(given, retry=ONCE) as client:
            assert (await client.get_ticket(1204)).id == 1204
        async with WorkorderClient.from_env(given, retry=ONCE, ssl=True) as client:
            with pytest.raises(NotSentError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get_ticket(1204)


def test_the_client_without_async() -> None:
    """The client without `async` reads the variable, too."""
    with BlockingClient.from_env({**ENVIRONMENT, "WORKORDER_CA_BUNDLE": CA}) as client:
        assert isinstance(client.ssl, ssl.SSLContext)
        assert client.ssl.get_ca_certs()[0]["subject"][-1][0][1] == "TLS 检查"
    with BlockingClient.from_env({**ENVIRONMENT, "WORKORDER_CA_BUNDLE": " "}) as client:
        assert client.ssl is True


@pytest.mark.parametrize(
    ("trust", "why"),
    [
        ("no", "ssl is 'no'; it must be an ssl.SSLContext, True, False .* in PEM: No such file or directory"),
        (Path("/no/such/ca.pem"), "ssl is '/no/such/ca.pem'; it must be .*: No such file or directory"),
        (
            CERTIFICATES / "key.pem",
            "it must be .* in PEM: it holds none that can be read; `openssl x509 -inform der` makes PEM of DER",
        ),
        (CERTIFICATES, "it must be an ssl.SSLContext"),
        ("", "ssl is ''; it must be an ssl.SSLContext"),
        ("a\0b", r"ssl is 'a\\x00b'; it must be an ssl.SSLContext.*null"),
        (b"ca.pem", "ssl is b'ca.pem'; it must be an ssl.SSLContext, True, False to accept any certificate, or a file"),
        (None, "ssl is None; it must be"),
        (1, "ssl is 1; it must be"),
    ],
)
def test_what_cannot_work(trust: Any, why: str) -> None:
    """What is no file with certificates is refused by its name, with the mend, before anything is sent."""
    with pytest.raises(ConfigError, match=why):
        make_client(ssl=trust)
    if isinstance(trust, str) and trust:
        with pytest.raises(ConfigError, match=r"WORKORDER_CA_BUNDLE is .*; it must be a file with certificates"):
            WorkorderClient.from_env({**ENVIRONMENT, "WORKORDER_CA_BUNDLE": trust})


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """A pipe, for whose other end no client would wait, is refused at once."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="in PEM: it is no regular file"):
        make_client(ssl=tmp_path / "pipe")
