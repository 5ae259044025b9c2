"""environment.py: what can be a base URL, and the four variables."""

import hashlib
import warnings

import pytest
from aioresponses import aioresponses

from tests.support.clients import BASE_URL, make_client
from tests.support.samples import BASE, ENVIRONMENT
from workorder_async import ConfigError, WorkorderClient, environment


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must be http:// or https:// and a host"),
        ("workorder.example.com", "must be http:// or https:// and a host"),
        ("ftp://x", "must be http://"),
        ("http://", "and a host"),
        (" http://x", "and a host"),
        ("http://x:99999", "cannot be read"),
        ("http://[", "cannot be read"),
        ("http://x/?a=1", "no user, query or fragment"),
        ("http://user:pass@x", "no user, query or fragment"),
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
