"""environment.py: what can be a base URL, and the four variables."""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from traceback import TracebackException
from typing import Any

import pytest
from aioresponses import aioresponses

from tests.support.clients import BASE_URL, make_client
from tests.support.raw_server import http, serving
from tests.support.rows import each
from tests.support.samples import BASE, ENVIRONMENT
from workorder_async import (
    ApiError,
    AuthenticationError,
    ConfigError,
    NotFoundError,
    NotSentError,
    ResponseError,
    SchemeSigner,
    Secret,
    SigningInput,
    TicketStateError,
    WorkorderClient,
    environment,
)
from workorder_async.blocking import WorkorderClient as BlockingClient
from workorder_async.sandbox import Sandbox


@each(
    ("url", "words"),
    [
        ("", "must be http:// or https:// and a host"),
        ("workorder.example.com", "must be http:// or https:// and a host"),
        ("http://https://workorder.example.com", "must be http:// or https:// and a host"),
        ("ftp://x", "must be http://"),
        ("http://", "and a host"),
        (" http://x", "and a host"),
        ("http://x:99999", "cannot be read"),
        ("http://[", "cannot be read"),
        ("http://。", "has a host that can be none"),
        ("https://a。。b", "has a host that can be none"),
        ("http://a..b", "has a host that can be none"),
        (f"http://{'a' * 64}.test", "has a host that can be none"),
        ("http://h\\x", "cannot be read"),
        ("http://ho\nst", "and a host"),
        ("http://h ost", "and a host"),
        ("http://x/?a=1", "no user, query or fragment"),
        ("http://x/?", "no user, query or fragment"),
        ("http://x/#", "no user, query or fragment"),
        ("http://user:pass@x", "no user, query or fragment"),
        ("http://x/workorder/api/ticket/", "has the path of an endpoint, which is added to it; cut it off: http://x$"),
    ],
)
def test_base_url_refused(url: str, words: str) -> None:
    """A base URL that cannot work is refused when the client is made, without repeating a password."""
    with pytest.raises(ConfigError, match=words) as caught:
        make_client(url)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://platform.test", True),
        ("http://localhost.platform.test", True),
        ("https://platform.test", False),
        ("HTTPS://platform.test", False),
        ("http://127.0.0.1.platform.test", True),
        ("http://127.0.0.1:8011", False),
        ("http://localhost:8011", False),
        ("http://a.localhost", False),
        ("http://[::1]:8011", False),
        ("http://workorder.crius.api.ksyun.com", False),
    ],
)
def test_plain_http(monkeypatch: pytest.MonkeyPatch, url: str, warned: bool) -> None:
    """Whoever makes a client of a far host over plain HTTP is warned, at that line, and once."""
    monkeypatch.setattr(environment, "_warned_of", set())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_client(url)
        make_client(url)
    assert [(one.category, "plain HTTP" in str(one.message)) for one in caught] == [(RuntimeWarning, True)] * warned
    assert all(one.filename.endswith("clients.py") for one in caught)


@pytest.mark.parametrize("make", [WorkorderClient, BlockingClient, WorkorderClient.from_env, BlockingClient.from_env])
def test_the_warning_is_about_the_users_line(
    monkeypatch: pytest.MonkeyPatch, make: Callable[..., WorkorderClient | BlockingClient]
) -> None:
    """However the client is made, the warning of plain HTTP points at the line that made it, outside of the package."""
    monkeypatch.setattr(environment, "_warned_of", set())
    url, given = "http://platform.test", {**ENVIRONMENT, "WORKORDER_BASE_URL": "http://platform.test"}
    with pytest.warns(RuntimeWarning, match="plain HTTP") as caught:
        made = make(given) if make.__name__ == "from_env" else make(url, signer=SchemeSigner("a", "b", "md5:{secret}"))
    assert [one.filename for one in caught] == [__file__]
    if isinstance(made, BlockingClient):
        made.close()


@pytest.mark.parametrize("path", ["/%7Euser", "/a/../b", "/./x", "/a b", "/工单", "/%e5%B7%A5", "/a//", "//a"])
async def test_the_path_is_signed_as_it_is_sent(path: str) -> None:
    """A path of the base URL is written in more ways than one; what is signed is what the server gets."""
    signed = list[str]()

    class Signer:
        def sign(self, request: SigningInput) -> dict[str, str]:
            signed.append(request.path)
            return {}

    async with serving(http(BASE)) as wire, WorkorderClient(f"{wire.url}{path}", signer=Signer()) as client:
        await client.get_ticket(1204)
    assert wire.requests[0].split()[1].decode() == f"{signed[0]}?id=1204"


async def test_a_host_that_is_no_address() -> None:
    """A host that only the network library refuses is one to which nothing was sent, for reads as for mutations."""
    with pytest.warns(RuntimeWarning, match="plain HTTP"):
        client = make_client("http://1.2.3")
    async with client:
        with pytest.raises(NotSentError, match="canonical"):
            await client.get_ticket(1204)


async def test_from_env(network: aioresponses) -> None:
    """from_env makes a client of the four variables; the base URL's own path is kept, and signed."""
    network.get(f"{BASE_URL}/prefix/workorder/api/ticket/base?id=1204", body=BASE)
    async with WorkorderClient.from_env(ENVIRONMENT) as client:
        assert client.base_url == f"{BASE_URL}/prefix"
        await client.get_ticket(1204)
    (request,) = next(iter(network.requests.values()))
    signed = f"demo-app{request.kwargs['headers']['Timestamp']}demo-secret/prefix/workorder/api/ticket/base"
    assert request.kwargs["headers"]["Sign"] == hashlib.md5(signed.encode()).hexdigest()


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_from_env_names_what_is_missing(name: str) -> None:
    """A missing variable is named, with what it is; a missing scheme says how to find it."""
    with pytest.raises(ConfigError, match=f"missing in the environment: {name}") as caught:
        WorkorderClient.from_env({**ENVIRONMENT, name: " "})
    assert "demo-secret" not in str(caught.value)
    assert ("sign detect" in str(caught.value)) == (name == "WORKORDER_SIGN_SCHEME")


@pytest.mark.parametrize("make", [WorkorderClient.from_env, BlockingClient.from_env])
@pytest.mark.parametrize("given", [".env", b".env", [*ENVIRONMENT.items()]])
def test_an_environment_that_is_none(make: Callable[..., object], given: object) -> None:
    """What is no mapping, such as a file's name, is said to be none; no frame of ours shows what it holds."""
    with pytest.raises(ConfigError, match=f"environ is a {type(given).__name__}; it must be a mapping") as caught:
        make(given)
    ours = TracebackException.from_exception(caught.value, capture_locals=True).stack[1:]
    assert ours
    assert not any(repr(given) in str(frame.locals) for frame in ours)


HIDDEN: Any = Secret(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["WORKORDER_ERRNOS", "WORKORDER_CA_BUNDLE", "WORKORDER_APP_SECRET"])
@pytest.mark.parametrize("value", [{90005: NotFoundError}, b"9=NotFoundError", Path("ca.pem"), 1, HIDDEN])
def test_a_variable_that_is_no_text(name: str, value: Any) -> None:
    """It is not taken for one that is not set; neither the error nor its frames show what it holds, nor the secret."""
    with pytest.raises(ConfigError, match=rf"{name} is a \w+; it must be text, as in the environment") as caught:
        WorkorderClient.from_env({**ENVIRONMENT, name: value})
    ours = TracebackException.from_exception(caught.value, capture_locals=True).stack[1:]
    assert ours
    assert "demo-secret" not in str([frame.locals for frame in ours])


@pytest.mark.parametrize("app_id", ["sandbox-app", "mine"])
async def test_a_sandbox_in_the_environment_means_the_same_errors(app_id: str) -> None:
    """Each errno of a sandbox is the same error to `from_env` as to the sandbox's own client."""
    async with (
        Sandbox(3, app_id=app_id) as sandbox,
        sandbox.client() as own,
        WorkorderClient.from_env(sandbox.environment) as other,
        WorkorderClient.from_env(sandbox.environment, errnos={90005: TicketStateError}) as given,
    ):
        assert own._session.errnos == other._session.errnos
        assert given._session.errnos == {**own._session.errnos, 90005: TicketStateError}
        for client, kind in ((own, NotFoundError), (other, NotFoundError), (given, TicketStateError)):
            with pytest.raises(kind):
                await client.get_ticket(7)
        stranger = {**sandbox.environment, "WORKORDER_APP_SECRET": "another"}
        async with WorkorderClient.from_env(stranger) as client:
            with pytest.raises(AuthenticationError):
                await client.get_ticket(1001)


def test_errnos_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """WORKORDER_ERRNOS is read from the process's environment like the four, with blanks or without; "" is nothing."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for said, meant in (
        ("", {}),
        (" ", {}),
        ("7=NotFoundError", {7: NotFoundError}),
        (" 7=NotFoundError , -1=ApiError,5=ResponseError", {7: NotFoundError, -1: ApiError, 5: ResponseError}),
    ):
        monkeypatch.setenv("WORKORDER_ERRNOS", said)
        assert WorkorderClient.from_env()._session.errnos == {23000: TicketStateError, **meant}


@pytest.mark.parametrize(
    "said",
    [
        "7",
        "7=",
        "=NotFoundError",
        "x=NotFoundError",
        "7=Exception",
        "7=DecodeError",
        "7=Any",
        "7=NotFoundError,",
        "7:ApiError",
    ],
)
def test_errnos_that_cannot_be_read(said: str) -> None:
    """Anything else is refused by name, with how it is written."""
    with pytest.raises(ConfigError, match=r"WORKORDER_ERRNOS has .*; write ERRNO=ERROR with commas between"):
        WorkorderClient.from_env({**ENVIRONMENT, "WORKORDER_ERRNOS": said})


def test_errnos_of_the_wrong_kind() -> None:
    """The option is checked as before."""
    with pytest.raises(ConfigError, match="errnos"):
        WorkorderClient.from_env(ENVIRONMENT, errnos=5)  # type: ignore[arg-type]
