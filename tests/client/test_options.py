"""options.py: the one list of a client's options, and what is refused."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from traceback import TracebackException
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.support.clients import BASE_URL, make_client
from tests.support.rows import each
from tests.support.samples import ENVIRONMENT
from workorder_async import (
    ApiError,
    ClientOptions,
    ConfigError,
    NotFoundError,
    RetryPolicy,
    Sandbox,
    SchemeSigner,
    TicketQuery,
    WalkOptions,
    WorkorderClient,
)
from workorder_async.errors import DOCUMENTED_ERRNOS
from workorder_async.exports import export_tickets
from workorder_async.integrations.redis_limits import RedisLimits
from workorder_async.sandbox import ClientOptions as SandboxOptions
from workorder_async.walks.options import walk_options
from workorder_async.wire.options import client_options


@pytest.mark.parametrize(
    ("options", "complete_options"), [(ClientOptions, client_options), (WalkOptions, walk_options)]
)
def test_every_option_is_declared_once(options: Any, complete_options: Callable[..., Any]) -> None:
    """Each option has its default, and is explained, where it stands; editors are told its type and nothing more."""
    complete = complete_options()
    assert list(complete) == list(options.__annotations__) != []
    source = inspect.getsource(options)
    assert [name for name in complete if not re.search(rf'^    {name}: .+\n    """[A-Z]', source, re.MULTILINE)] == []
    with pytest.raises(TypeError, match="has no option"):
        complete_options(nonsense=1)


def test_the_sandbox_takes_them() -> None:
    """They are one class, by whichever module it is imported."""
    assert SandboxOptions is ClientOptions


@pytest.mark.parametrize(
    "make",
    [
        make_client,
        lambda **options: WorkorderClient.from_env({}, **options),
        lambda **options: Sandbox(1).client(**options),
    ],
    ids=["class", "from_env", "sandbox"],
)
def test_nothing_is_taken_for_an_option(make: Any) -> None:
    """Only what is written there is an option of any of the three ways to make a client."""
    with pytest.raises((TypeError, ConfigError)):
        make(nonsense=1)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("time_out", "a client has no option 'time_out'; did you mean"),
        ("max_inflight", r"no option 'max_inflight'; did you mean max_in_flight\?"),
        ("proxies", r"no option 'proxies'; did you mean proxy\?"),
        ("retires", r"no option 'retires'; did you mean retry\?"),
        ("zzz", "no option 'zzz'; it has session, max_in_flight, rate"),
    ],
)
def test_unknown_option(option: str, words: str) -> None:
    """An option that nobody knows is a TypeError, as for any function, and what comes near it is named."""
    with pytest.raises(TypeError, match=words):
        make_client(BASE_URL, **{option: 5})


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: WorkorderClient(BASE_URL, signer=SchemeSigner("a", "b", "md5:{secret}"), **options),
        lambda **options: WorkorderClient.from_env({}, **options),
        lambda **options: WorkorderClient.from_env(ENVIRONMENT, **options),
        lambda **options: Sandbox(1).client(**options),
    ],
    ids=["class", "from_env without variables", "from_env", "sandbox"],
)
@pytest.mark.parametrize("option", ["proxy", "proxies"])
def test_a_password_is_not_told(make: Any, option: str) -> None:
    """Whatever is wrong, a proxy's password is in no frame of ours, under its own name and under a wrong one."""
    with pytest.raises((TypeError, ConfigError)) as caught:
        make(**{option: "http://user:hush-hush@proxy.test:1", "max_in_flight": 0})
    stack = TracebackException.from_exception(caught.value, capture_locals=True).stack
    ours = [frame for frame in stack if "/workorder_async/" in frame.filename]
    assert len(ours) > 1
    assert "hush-hush" not in repr([frame.locals for frame in ours] + [str(caught.value)])


def test_none_is_the_default() -> None:
    """`retry=None` and `errnos=None` are as if they were left out."""
    plain, none = make_client(retry=None, errnos=None), make_client(retry=RetryPolicy(), errnos={})
    assert plain._session.retry == none._session.retry == RetryPolicy()
    assert plain._session.errnos == none._session.errnos == DOCUMENTED_ERRNOS


def test_a_signer_that_is_missing_is_told_by_the_class() -> None:
    """Python's own words about a missing argument name the class that a user writes."""
    with pytest.raises(TypeError, match=r"^WorkorderClient\.__init__\(\) missing 1 required .* argument: 'signer'$"):
        WorkorderClient(BASE_URL)  # type: ignore[call-arg]


async def test_from_env_takes_them_all() -> None:
    """`from_env` passes on what the class itself takes."""
    async with Sandbox(3) as sandbox:
        options: ClientOptions = {"max_in_flight": 3, "deadline": 7.5, "errnos": {1: ApiError}}
        async with WorkorderClient.from_env(sandbox.environment, **options) as client:
            assert client.stats().in_flight_limit == 3
            assert (await client.list_tickets()).pagination.total == 3
            assert client._session.options["deadline"] == 7.5


@each(
    ("options", "words"),
    [
        ({"signer": "md5:{secret}"}, "signer must have a sign method"),
        ({"signer": SchemeSigner}, "signer must have a sign method"),
        ({"max_in_flight": 0}, "max_in_flight is 0"),
        ({"max_in_flight": 2.5}, r"max_in_flight is 2\.5; it must be a whole number"),
        ({"rate": -1}, "rate is -1"),
        ({"attempt_timeout": 0}, "attempt_timeout is 0"),
        ({"deadline": float("nan")}, "deadline is nan"),
        ({"deadline": True}, "deadline is True"),
        ({"proxy": "socks5://x"}, "SOCKS"),
        ({"proxy": "http://me:密码@x:3128"}, "proxy must be .* only Latin-1"),
        ({"proxy": "http://a%3Ab:c@x:3128"}, "proxy must be .* no : in the user"),
        ({"proxy": "http://a..b:3128"}, "proxy must be an http:// or https:// URL of a host"),
        ({"proxy": 5}, "proxy must be an http:// or https:// URL"),
        ({"session": "mine"}, "session is 'mine'; it must be an aiohttp.ClientSession"),
        ({"session": ClientSession}, "session is .*; it must be an aiohttp.ClientSession"),
        ({"session": SimpleNamespace(request=print)}, "session is .*; it must be an aiohttp.ClientSession"),
        ({"limits": RedisLimits}, "limits is .*RedisLimit.*; it must be an object with acquire"),
        ({"ssl": "no"}, "ssl is 'no'; it must be an ssl.SSLContext"),
        ({"trust_env": "no"}, "trust_env is 'no'; it must be True or False"),
        ({"retry": 5}, "retry is 5; it must be a RetryPolicy"),
        ({"now": 5}, "now is 5; it must be a function"),
        ({"errnos": 5}, "errnos has 5"),
        ({"errnos": {"90005": NotFoundError}}, "errnos has '90005': NotFoundError; it must lead from numbers"),
        ({"errnos": {90005: ValueError}}, "errnos has 90005: ValueError"),
        ({"errnos": {90005: NotFoundError("x", errno=90005)}}, "errnos has 90005: NotFoundError"),
        ({"base_url": 5}, "base_url is 5; it must be text"),
    ],
)
def test_option_refused(options: dict[str, Any], words: str) -> None:
    """An option that cannot work is refused by its name."""
    with pytest.raises(ConfigError, match=words):
        make_client(**options)


def test_secret_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the client's repr nor its parts tell the secret."""
    client = make_client(signer=SchemeSigner("a", "hush-hush", "md5:{secret}"), proxy="http://u:hush-hush@p:1")
    assert "hush-hush" not in repr((client, vars(client), vars(client._session), client._session.options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"status": 3},
            r"'status' is a filter: write it as TicketQuery\(status=...\), as in iter_tickets\(TicketQuery\(",
        ),
        ({"created_start": 0}, r"'created_start' is a filter: write it as TicketQuery\(created_start=...\)"),
        ({"concurency": 3}, r"has no option 'concurency'; did you mean concurrency\?"),
        ({"zzz": 3}, "has no option 'zzz'; it has "),
    ],
)
async def test_unknown_option_of_a_walk(options: Any, words: str, tmp_path: Path) -> None:
    """Walks and exports know a filter among their options, and tell where it belongs; nothing is sent."""
    async with make_client(BASE_URL) as client:
        with pytest.raises(TypeError, match=words):
            client.walk(**options)
        with pytest.raises(TypeError, match=words):
            await anext(client.iter_tickets(**options))
        with pytest.raises(TypeError, match=words.partition("; did you mean")[0]):
            await client.list_tickets(**options)
        with pytest.raises(TypeError, match=words):
            await export_tickets(client, TicketQuery(), tmp_path / "t.csv", **options)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"status": 1}, r"'status' is a filter: write it as TicketQuery\(status=...\)"),
        ({"pagesize": 5}, r"list_tickets has no option 'pagesize'; did you mean page_size"),
    ],
)
async def test_unknown_option_of_a_page(wrong: Any, words: str) -> None:
    """A page is told where a filter belongs, as a walk is."""
    async with make_client(BASE_URL) as client:
        with pytest.raises(TypeError, match=words):
            await client.list_tickets(**wrong)
