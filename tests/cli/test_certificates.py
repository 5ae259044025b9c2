"""cli/commands/doctor.py and --cacert: TLS in a company's network, over real sockets."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cli_runs import Ran, Workorder, elsewhere
from tests.support.raw_server import hang, http, serving
from tests.support.tls_servers import CA, CERTIFICATES, ISSUER, proxy, tls_in_front
from workorder_async.cli.commands import doctor
from workorder_async.sandbox import Sandbox

TICKETS = 3
LAX, OWN = str(CERTIFICATES / "lax.pem"), str(CERTIFICATES / "own.pem")
GIVEN = f"the certificate of localhost, issued by {ISSUER},"
MEND = "name its file by --cacert FILE or WORKORDER_CA_BUNDLE=FILE; if there is none, send nothing"


@contextmanager
def secured(sandbox: Sandbox, certificate: str) -> Iterator[str]:
    """Serve the sandbox over TLS with this certificate."""
    with elsewhere(tls_in_front(certificate, sandbox.url)) as url:
        yield url


def certificate_of(ran: Ran) -> tuple[bool, str]:
    """Return what the doctor says of the certificate; fail unless what needs it was skipped where it is wrong."""
    rows = {row["name"]: row for row in ran.rows}
    assert list(rows)[4:] == ["name", "connection", "answer", "clock", "signature"]
    row = rows["connection"]
    assert [rows[name]["ok"] for name in ("answer", "clock", "signature")] == [True if row["ok"] else None] * 3
    assert ran.code == (0 if row["ok"] else 1)
    return row["ok"], f"{row['found']}; {row['mend']}" if row["mend"] else row["found"]


@pytest.mark.parametrize(
    ("certificate", "words", "ok", "said"),
    [
        ("good", ("--cacert", CA), True, [f"its certificate was issued by {ISSUER}, and is good until 2120-01-01"]),
        ("good", (), False, [GIVEN, "is not trusted by this machine: unable to get local issuer", MEND]),
        (
            "good",
            ("--cacert", LAX),
            False,
            [GIVEN, "is not trusted by the file of --cacert or WORKORDER_CA_BUNDLE", MEND],
        ),
        (
            "expired",
            ("--cacert", CA),
            False,
            [GIVEN, "until 2021-02-03,", "has expired; its", "; check this machine's clock", "renew it"],
        ),
        (
            "early",
            ("--cacert", CA),
            False,
            [GIVEN, "good from 2110-01-01 until", "not yet valid; its", "; check this machine's clock"],
        ),
        (
            "elsewhere",
            ("--cacert", CA),
            False,
            [f"{GIVEN} for elsewhere.example, *.elsewhere.example, good from", "mismatch", "; check the host"],
        ),
        ("old", ("--cacert", LAX), True, ["issued by Old Company CA, and is good until 2120-01-01"]),
        ("old", (), False, ["issued by Old Company CA, for", "is not trusted by this machine", MEND]),
        ("own", (), False, ["self-signed certificate; its SHA-256 is 88063b619e93678a", "confirms it"]),
        ("own", ("--cacert", OWN), True, ["issued by localhost, and is good until"]),
    ],
)
def test_each_certificate(
    workorder: Workorder, sandbox: Sandbox, certificate: str, words: tuple[str, ...], ok: bool, said: list[str]
) -> None:
    """The doctor says what is wrong with a certificate, names its issuer, and sends nothing where it is not trusted."""
    before = sandbox.requests.total()
    with secured(sandbox, certificate) as url:
        found = certificate_of(workorder("doctor", "--json", "--base-url", url, *words))
    assert found[0] is ok
    assert [words for words in said if words not in found[1]] == []
    assert (sandbox.requests.total() > before) is ok


def test_an_address_in_place_of_a_name(workorder: Workorder, sandbox: Sandbox) -> None:
    """A certificate for other hosts is told where the base URL has an address, too."""
    with secured(sandbox, "elsewhere") as url:
        address = url.replace("localhost", "127.0.0.1")
        ok, said = certificate_of(workorder("doctor", "--json", "--base-url", address, "--cacert", CA))
    assert (ok, "127.0.0.1, issued by" in said, "for elsewhere.example" in said) == (False, True, True)


def test_the_variable(workorder: Workorder, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """WORKORDER_CA_BUNDLE is read by every command; --cacert goes before it, and '' is none."""
    with secured(sandbox, "good") as url:
        monkeypatch.setenv("WORKORDER_BASE_URL", url)
        assert certificate_of(workorder("doctor", "--json"))[0] is False
        monkeypatch.setenv("WORKORDER_CA_BUNDLE", f" {CA} ")
        assert workorder("list", "--count").out == "3\n"
        assert certificate_of(workorder("doctor", "--json"))[0] is True
        for other in (LAX, ""):
            assert certificate_of(workorder("doctor", "--json", "--cacert", other))[0] is False
        monkeypatch.setenv("WORKORDER_CA_BUNDLE", LAX)
        assert workorder("list", "--count", "--cacert", CA).out == "3\n"


@pytest.mark.parametrize(("words", "ok"), [(("--cacert", CA), True), ((), False)])
def test_a_proxy_that_opens_tls(workorder: Workorder, sandbox: Sandbox, words: tuple[str, ...], ok: bool) -> None:
    """A proxy that opens TLS is seen through: its issuer is named, and trusted once its certificate is given."""
    asked: list[bytes] = []
    with elsewhere(proxy("good", sandbox.url, asked)) as way:
        ran = workorder("doctor", "--json", "--base-url", "https://localhost", "--proxy", way, *words)
    found = certificate_of(ran)
    assert found[0] is ok
    assert (ISSUER in found[1], MEND in found[1]) == (True, not ok)
    assert asked[0].startswith(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n")


def test_a_proxy_that_passes_tls_on(workorder: Workorder, sandbox: Sandbox) -> None:
    """Through a plain proxy the platform's own certificate is seen."""
    with secured(sandbox, "expired") as url, elsewhere(proxy(None, url, [])) as way:
        ok, said = certificate_of(workorder("doctor", "--json", "--base-url", url, "--proxy", way, "--cacert", CA))
    assert (ok, "until 2021-02-03" in said) == (False, True)


def test_a_proxy_that_is_spoken_to_over_tls(workorder: Workorder, sandbox: Sandbox) -> None:
    """The issuers that a client trusts hold for its proxy, too."""
    with (
        secured(sandbox, "good") as url,
        elsewhere(proxy(None, url, [])) as way,
        elsewhere(tls_in_front("good", way)) as secure,
    ):
        found = workorder("doctor", "--json", "--base-url", url, "--proxy", secure, "--cacert", CA)
    assert certificate_of(found)[0]


@pytest.mark.parametrize(
    ("login", "sent"),
    [("us%40er:pa55", b"dXNAZXI6cGE1NQ=="), ("user:p\u00e455", b"dXNlcjpw5DU1"), (":pa55", b"OnBhNTU=")],
)
def test_a_proxy_that_wants_a_password(
    workorder: Workorder, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, login: str, sent: bytes
) -> None:
    """User and password go to the proxy as aiohttp sends them, and into no line; a proxy that refuses is quoted."""
    asked: list[bytes] = []
    monkeypatch.setattr("workorder_async.cli.connection._proxy_for", lambda url, given: given)
    with elsewhere(proxy("good", sandbox.url, asked, "407 Proxy Authentication Required")) as way:
        with_password = way.replace("//", f"//{login}@")
        ran = workorder("doctor", "--json", "--base-url", "https://localhost", "--proxy", with_password)
    ok, said = certificate_of(ran)
    assert (ok, "'HTTP/1.1 407 Proxy Authentication Required' to CONNECT" in said) == (False, True)
    assert login.partition(":")[2] not in ran.out + ran.err
    assert b"Proxy-Authorization: Basic %b\r\n" % sent in asked[0]


def test_a_server_without_tls(workorder: Workorder) -> None:
    """A server that speaks plain HTTP, or cuts the connection, is no matter of certificates."""
    with elsewhere(serving(http("{}"))) as wire:
        url = wire.url.replace("http:", "https:")
        ok, said = certificate_of(workorder("doctor", "--json", "--base-url", url))
    assert (ok, "speaks no TLS with us" in said, "check https://" in said) == (False, True, True)


def test_a_proxy_that_hangs(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that says nothing is given up."""
    monkeypatch.setattr(doctor, "_PATIENCE", 0.3)
    with elsewhere(serving(hang)) as wire:
        ran = workorder("doctor", "--json", "--base-url", "https://localhost", "--proxy", wire.url)
    ok, said = certificate_of(ran)
    assert (ok, "localhost:443 speaks no TLS with us: nothing for 0 s" in said) == (False, True)


def test_plain_http_has_no_certificate(workorder: Workorder) -> None:
    """Where the base URL is http:// there is no such check."""
    assert "certificate" not in workorder("doctor").out


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("missing.pem", None, "No such file or directory"),
        ("empty.pem", b"", "it holds none"),
        ("text.pem", "公司".encode(), "it holds none"),
        ("ca.der", ssl.PEM_cert_to_DER_cert(Path(CA).read_text()), "`openssl x509 -inform der` makes PEM of DER"),
        ("key.pem", (CERTIFICATES / "key.pem").read_bytes(), "it holds none"),
        (".", None, ""),
    ],
)
def test_a_file_that_cannot_work(
    workorder: Workorder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    why: str,
) -> None:
    """A file without certificates is named with its option, and the mend; nothing is sent."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    file = str(tmp_path / name)
    ran = workorder("list", "--cacert", file)
    assert (ran.code, ran.err.startswith(f"workorder: --cacert is '{file[:20]}")) == (2, True)
    assert "it must be a file with certificates of issuers in PEM: " in ran.err
    assert why in ran.err
    monkeypatch.setenv("WORKORDER_CA_BUNDLE", file)
    assert workorder("list").err == ran.err.replace("--cacert is", "WORKORDER_CA_BUNDLE is")
