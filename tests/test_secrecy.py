"""Secrets in what is said: errors, causes, contexts, locals of every frame, logs, help texts; none holds one."""

import asyncio
import base64
import inspect
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import process_time
from traceback import StackSummary, TracebackException
from typing import Any

import aiohttp
import pytest

from tests.support.raw_server import Wire, drop, hang, http, serving
from tests.support.rows import each
from tests.support.signatures import detect
from tests.support.slow import slow_after
from workorder_async import (
    CommentTicket,
    ConfigError,
    DeadlineExceededError,
    DecodeError,
    JournalError,
    NoAnswerError,
    NotSentError,
    OutcomeUnknownError,
    ResponseError,
    RetryPolicy,
    SchemeSigner,
    Secret,
    TicketQuery,
    WorkorderClient,
    WorkorderError,
)
from workorder_async.batches.batch import run_batch
from workorder_async.sandbox import Fault, Sandbox
from workorder_async.secret import without_credentials
from workorder_async.signing.scheme import Scheme, SigningInput
from workorder_async.wire.limits import Lane
from workorder_async.wire.reads import ListReads

SECRET = "s3cret-of-the-app"
PASSWORD = "pr0xy-passw0rd"
TOKEN = base64.b64encode(f"proxy-user:{PASSWORD}".encode()).decode()
SCHEME = "hmac-sha256:{app_id}:{timestamp}:{method}:{path}:{query}:{body}"
COMMENT = CommentTicket(id=1, detail="已处理")
TICKET = http('{"errno":10000,"data":{"id":1}}')


def said_by(error: BaseException) -> str:
    """Return all that an error tells: of each in its chain the repr, the fields, and the locals of every frame."""
    told, chain, seen = [], [error], set[int]()
    while chain:
        one = chain.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        stack = TracebackException.from_exception(one, capture_locals=True).stack
        ours = StackSummary.from_list([frame for frame in stack if frame.filename != __file__])
        told += [repr(one), str(one), repr(vars(one)), *ours.format()]
        chain += [other for other in (one.__cause__, one.__context__) if other is not None]
        chain += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
    return "\n".join(told)


def assert_hidden(text: str) -> None:
    """Let no secret be in it; says the lines where one is."""
    found = [line for line in text.splitlines() if any(one in line for one in (SECRET, PASSWORD, TOKEN))]
    assert not found, "\n".join(line[:400] for line in found)


async def caught(wanted: type[BaseException], use: Callable[[], Any], log: pytest.LogCaptureFixture) -> BaseException:
    """Run something that fails; return the error, of which nothing was said that is secret."""

    async def run() -> None:
        result = use()
        if inspect.isawaitable(result):
            await result

    log.set_level(logging.DEBUG)
    with pytest.raises(wanted) as info:
        await run()
    assert_hidden(said_by(info.value))
    assert_hidden(log.text)
    return info.value


def signer(secret: str = SECRET) -> SchemeSigner:
    """Sign with the secret."""
    return SchemeSigner("app", secret, SCHEME)


@asynccontextmanager
async def client_of(url: str, **options: Any) -> AsyncIterator[WorkorderClient]:
    """Give a client with the secret that tries once."""
    options = {"signer": signer(), "retry": RetryPolicy(attempts=1), **options}
    async with WorkorderClient(url, **options) as client:
        yield client


def with_password(url: str) -> str:
    """Put user and password into a URL."""
    return url.replace("//", f"//proxy-user:{PASSWORD}@")


def test_what_is_looked_at() -> None:
    """A secret in a local of another file, in a cause or in a field is seen."""
    try:
        try:
            json.loads(SECRET)
        except ValueError:
            raise ValueError("hidden") from None
    except ValueError as error:
        with pytest.raises(AssertionError):
            assert_hidden(said_by(error))


# Proxies

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give half a body, and say the password on the way."""
    writer.write(
        f"HTTP/1.1 200 OK\r\nLocation: http://proxy-user:{PASSWORD}@x/\r\nContent-Length: 9\r\n\r\n{{".encode()
    )
    await writer.drain()
    writer.close()


async def tunnel_to_nowhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let through, and then speak no TLS."""
    writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
    await reader.read(1)
    writer.write(b"nothing of TLS\r\n")
    await writer.drain()
    writer.close()


REDIRECT = http("", "302 Found", Location=f"http://proxy-user:{PASSWORD}@elsewhere.test/{'x' * 10}")
REQUIRED = http("", "407 Proxy Authentication Required", Proxy_Authenticate="Basic")
NOT_HTTP = b"\x00\x01\x02 not HTTP\r\n\r\n"
Use = Callable[[WorkorderClient], Awaitable[object]]


async def read(client: WorkorderClient) -> object:
    """Read a ticket."""
    return await client.get_ticket(1)


async def mutate(client: WorkorderClient) -> object:
    """Comment on a ticket."""
    await client.comment_ticket(COMMENT)
    return None


async def read_page(client: WorkorderClient) -> object:
    """Read a page as a walk does."""
    return await ListReads(client._session, TicketQuery(), Lane(1)).read(None, None, 1, 10)


PROXIES = [drop, hang, cut, tunnel_to_nowhere, REDIRECT, REQUIRED, NOT_HTTP]


@pytest.mark.parametrize(
    ("known_from", "url"),
    slow_after(
        2,
        [
            ("option", "https://workorder.test"),
            ("session", "http://workorder.crius.api.ksyun.com"),
            ("environment", "https://workorder.test"),
            ("option", "http://workorder.crius.api.ksyun.com"),
        ],
    ),
)
@pytest.mark.parametrize("step", [None, *PROXIES])
@pytest.mark.parametrize("use", slow_after(1, [mutate, read, read_page]))
async def test_proxies(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    step: Any,
    url: str,
    known_from: str,
    use: Use,
    unused_tcp_port: int,
) -> None:
    """However a proxy fails, and wherever it is known from, its password is not told."""
    # Pages are read on a road of their own where the log is switched off.
    caplog.set_level(logging.WARNING if use is read_page else logging.DEBUG, "workorder_async")
    async with serving(step or TICKET) as proxy:
        address = with_password(proxy.url if step else f"http://127.0.0.1:{unused_tcp_port}")
        options: dict[str, Any] = {"attempt_timeout": 0.1, "connect_timeout": 0.1, "deadline": 0.3}
        if known_from == "option":
            options["proxy"] = address
        elif known_from == "environment":
            for name in ("http_proxy", "https_proxy"):
                monkeypatch.setenv(name, address)
            monkeypatch.delenv("no_proxy", raising=False)
            options["trust_env"] = True
        async with aiohttp.ClientSession(proxy=address) as session:
            if known_from == "session":
                options["session"] = session
            async with client_of(url, **options) as client:
                await caught(WorkorderError, lambda: use(client), caplog)


@pytest.mark.parametrize("use", [read, read_page])
@pytest.mark.parametrize("url", ["http://workorder.crius.api.ksyun.com", "https://workorder.test"])
async def test_cancelled_behind_a_proxy(caplog: pytest.LogCaptureFixture, url: str, use: Use) -> None:
    """The traceback of a cancellation passes through the same frames."""
    caplog.set_level(logging.WARNING if use is read_page else logging.DEBUG, "workorder_async")
    async with serving(hang) as proxy, client_of(url, proxy=with_password(proxy.url)) as client:
        task = asyncio.ensure_future(use(client))
        await proxy.arrived.wait()
        task.cancel()

        async def wait() -> None:
            await task

        await caught(asyncio.CancelledError, wait, caplog)


async def test_a_deadline_behind_a_proxy(caplog: pytest.LogCaptureFixture) -> None:
    """The same for the time limit of a call."""
    async with (
        serving(hang) as proxy,
        client_of("https://workorder.test", proxy=with_password(proxy.url), deadline=0.1) as client,
    ):
        await caught(DeadlineExceededError, lambda: client.get_ticket(1), caplog)
        walk = client.walk()
        await caught(DeadlineExceededError, lambda: anext(walk), caplog)
        await caught(DeadlineExceededError, client.plan_windows, caplog)
        caplog.set_level(logging.WARNING, "workorder_async")
        await caught(DeadlineExceededError, lambda: read_page(client), caplog)


# Servers


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        (REDIRECT, ResponseError),
        (drop, NoAnswerError),
        (cut, NoAnswerError),
        (REDIRECT.replace(b"Length: 0", b"Length: 99999"), ResponseError),
        (http('{"errno":10000,"data":{"id":[]}}'), DecodeError),
        (http('{"errno":7}', "401 No"), WorkorderError),
        (http("<html>"), ResponseError),
        (http("{" * 100_000), ResponseError),
    ],
)
async def test_servers(caplog: pytest.LogCaptureFixture, step: Any, wanted: type[BaseException]) -> None:
    """Whatever a server answers, credentials in its Location too."""
    async with serving(step) as wire, client_of(wire.url, max_body=5000) as client:
        await caught(wanted, lambda: client.get_ticket(1), caplog)


async def test_no_server(caplog: pytest.LogCaptureFixture, unused_tcp_port: int) -> None:
    """A refused connection, and one that speaks no TLS."""
    async with client_of(f"http://127.0.0.1:{unused_tcp_port}") as client:
        await caught(NotSentError, lambda: client.get_ticket(1), caplog)
    async with serving(TICKET) as wire, client_of(wire.url.replace("http:", "https:")) as client:
        await caught(NotSentError, lambda: client.get_ticket(1), caplog)


async def test_a_wrong_secret_and_a_sandbox(caplog: pytest.LogCaptureFixture) -> None:
    """The sandbox knows the secret, too, and refuses another one."""
    async with Sandbox(3, app_secret=SECRET) as sandbox:
        async with client_of(sandbox.url, signer=signer("another")) as client:
            await caught(WorkorderError, lambda: client.get_ticket(1001), caplog)
        sandbox.faults = [Fault("reset_after")]
        async with sandbox.client(retry=RetryPolicy(attempts=1)) as client:
            await caught(OutcomeUnknownError, lambda: client.comment_ticket(COMMENT), caplog)
        assert sandbox.environment["WORKORDER_APP_SECRET"] == SECRET
        await caught(ConfigError, sandbox.__aenter__, caplog)
        assert_hidden(repr(sandbox) + repr(vars(sandbox)))


async def test_a_sandbox_that_is_told_a_secret_type() -> None:
    """A `Secret` is as good as text."""
    async with Sandbox(3, app_secret=Secret(SECRET)) as sandbox, sandbox.client() as client:
        assert (await client.get_ticket(1001)).id == 1001
        assert sandbox.environment["WORKORDER_APP_SECRET"] == SECRET


@pytest.mark.parametrize(
    "options",
    [{"app_id": ""}, {"scheme": "x"}, {"faults": 5}, {"drift": 5}, {"rate": -1}, {"spelling": "x"}, {"backends": 5}],
)
async def test_a_sandbox_with_wrong_arguments(caplog: pytest.LogCaptureFixture, options: dict[str, Any]) -> None:
    """Neither the constructor's frames nor those below have it."""
    await caught(Exception, lambda: Sandbox(3, app_secret=SECRET, **options), caplog)


# Arguments


@each(
    "proxy",
    [
        f"socks5://proxy-user:{PASSWORD}@host",
        f"http://proxy-user:{PASSWORD}@host:99999",
        f"http://proxy-user:{PASSWORD}@host:x",
        f"http://proxy-user:{PASSWORD}@[host",
        f"http://proxy-user:{PASSWORD}/x@host",
        f"http://proxy-user:x/{PASSWORD}@host",
        f"http://proxy-user:x#{PASSWORD}@host",
        f"http://proxy-user:x?{PASSWORD}@host",
        f"http://proxy-user:{PASSWORD}@",
        f"http://proxy-user:{PASSWORD}@ho st\n",
        f"http://proxy-user:{PASSWORD}@\u2100",
        f"http://proxy-user:{PASSWORD}@host:0",
        PASSWORD,
        PASSWORD.encode(),
    ],
)
async def test_a_proxy_that_is_no_url(caplog: pytest.LogCaptureFixture, proxy: Any) -> None:
    """What cannot be a proxy is refused by the constructor, and not told."""
    await caught(ConfigError, lambda: WorkorderClient("http://127.0.0.1:1", signer=signer(), proxy=proxy), caplog)


@each(
    "base_url",
    [
        f"http://user:{PASSWORD}@host",
        f"ftp://user:{PASSWORD}@host",
        f"http://user:{PASSWORD}@host:99999",
        f"http://user:{PASSWORD}/x@host",
        f"http://user:x/{PASSWORD}@host",
        f"http://user/x:{PASSWORD}@host",
        f"http://user:{PASSWORD}@[host",
        f"http://user:'{PASSWORD} x@host",
        f"http://user:{PASSWORD}@\u2100",
        f"user:{PASSWORD}@host",
    ],
)
async def test_a_base_url_with_a_password(caplog: pytest.LogCaptureFixture, base_url: str) -> None:
    """It is refused and not told, by the constructor and by `from_env`."""
    await caught(ConfigError, lambda: WorkorderClient(base_url, signer=signer()), caplog)
    environ = {**ENVIRON, "WORKORDER_BASE_URL": base_url}
    await caught(ConfigError, lambda: WorkorderClient.from_env(environ), caplog)


ENVIRON = {
    "WORKORDER_BASE_URL": "http://127.0.0.1:1",
    "WORKORDER_APP_ID": "app",
    "WORKORDER_APP_SECRET": SECRET,
    "WORKORDER_SIGN_SCHEME": SCHEME,
}


WRONG = [
    *((name, value) for name in ENVIRON for value in (None, "", " ")),
    ("WORKORDER_BASE_URL", "ws://x"),
    ("WORKORDER_APP_ID", "a\nb"),
    ("WORKORDER_APP_SECRET", SECRET + "\udc80"),
    ("WORKORDER_SIGN_SCHEME", "md5:{x}"),
    ("WORKORDER_SIGN_SCHEME", "x"),
]


@each("given", ["argument", "process"])
@each(("name", "value"), WRONG)
async def test_from_env(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None, given: str
) -> None:
    """Whichever variable is missing or wrong, the secret is not told."""
    environ = dict(ENVIRON)
    del environ[name]
    if value is not None:
        environ[name] = value
    if given == "argument":
        await caught(ConfigError, lambda: WorkorderClient.from_env(environ), caplog)
        return
    for variable in ENVIRON:
        monkeypatch.delenv(variable, raising=False)
    for variable, text in environ.items():
        monkeypatch.setenv(variable, text)
    await caught(ConfigError, WorkorderClient.from_env, caplog)


@each(
    "options",
    [
        {"max_in_flight": 0},
        {"rate": -1},
        {"connect_timeout": "x"},
        {"deadline": 0},
        {"retry": 5},
        {"errnos": {1: int}},
        {"ssl": "x"},
        {"now": 5},
        {"session": 5},
        {"signer": 5},
        {"trust_env": True, "session": Wire.serve},
    ],
)
async def test_arguments(caplog: pytest.LogCaptureFixture, options: dict[str, Any]) -> None:
    """An argument that cannot work says nothing of the others."""
    proxy = with_password("http://proxy.test:1")
    options = {"signer": signer(), "proxy": proxy, **options}
    await caught(ConfigError, lambda: WorkorderClient("http://127.0.0.1:1", **options), caplog)


# Signing


def input_of(*body: bytes) -> SigningInput:
    """Make something to sign."""
    return SigningInput("GET", "/x", body=body)


@pytest.mark.parametrize(
    "use",
    [
        lambda: detect(app_id="app", timestamp="1700000000", sign="?", secret=SECRET),
        lambda: detect(app_id="app", timestamp="x", sign="00", secret=SECRET),
        lambda: detect(app_id="", timestamp="1700000000", sign="00", secret=SECRET),
        lambda: detect(app_id="app", timestamp="1700000000", sign="00", secret=SECRET + "\ud800"),
        lambda: SchemeSigner("", SECRET, SCHEME),
        lambda: SchemeSigner("app", SECRET, "x"),
        lambda: SchemeSigner("app", SECRET + "\udfff", SCHEME),
        lambda: SchemeSigner("app", SECRET.encode(), SCHEME),  # type: ignore[arg-type]
        lambda: Scheme.parse(SCHEME).signature(input_of(), app_id="app", secret=SECRET + "\udfff", timestamp="1"),
        lambda: Scheme.parse("md5:{secret}").signature(
            input_of(), app_id="app", secret=SECRET + "\udfff", timestamp="1"
        ),
        lambda: Scheme.parse(SCHEME).signature(input_of(), app_id="\udfff", secret=SECRET, timestamp="1"),
        lambda: Scheme.parse(SCHEME).signature(input_of(5), app_id="a", secret=SECRET, timestamp="1"),  # type: ignore[arg-type]
        lambda: signer().sign(input_of(5)),  # type: ignore[arg-type]
        lambda: signer().__reduce__(),
        lambda: Secret(SECRET).__reduce__(),
    ],
)
async def test_signing(caplog: pytest.LogCaptureFixture, use: Callable[[], Any]) -> None:
    """What cannot be signed, or be found, does not tell with what."""
    await caught(Exception, use, caplog)


def unreadable(*pieces: bytes) -> Iterator[bytes]:
    """Yield some pieces of a body, of which no more can be read."""
    yield from pieces
    raise OSError("gone")


@pytest.mark.parametrize("pieces", [(), (b"{",)])
@pytest.mark.parametrize(
    "line",
    [
        "md5:{secret}{body}",
        "md5:{md5({secret}{body})}",
        "md5:{sorted(a={secret}&b={body})}",
        "md5:{glued(a={secret}&{body_pairs})}",
        "hmac-md5:{secret}{body}",
        "hmac-md5,key={secret}{body}:{timestamp}",
    ],
)
async def test_a_body_that_cannot_be_read(
    caplog: pytest.LogCaptureFixture, line: str, pieces: tuple[bytes, ...]
) -> None:
    """A body that fails while it is signed, as a file may, tells nothing of the pieces that were signed before."""
    request = SigningInput("POST", "/x", body=unreadable(*pieces))
    await caught(OSError, lambda: SchemeSigner("app", SECRET, line).sign(request), caplog)


async def test_a_signer_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """The user's error is the cause, and brings none of our secrets along."""

    class Raising:
        def sign(self, request: SigningInput) -> Mapping[str, str]:
            signer().sign(request)
            raise LookupError("no key")

    async with client_of("http://127.0.0.1:1", signer=Raising(), proxy=with_password("http://127.0.0.1:1")) as client:
        await caught(NotSentError, lambda: client.get_ticket(1), caplog)


async def test_headers_that_cannot_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """An error that aiohttp raises for our headers passes through the same frames."""

    class Odd:
        def sign(self, request: SigningInput) -> Mapping[str, str]:
            return {"Sign": "a\r\nb"}

    async with client_of("http://127.0.0.1:1", signer=Odd(), proxy=with_password("http://127.0.0.1:1")) as client:
        await caught(Exception, lambda: client.get_ticket(1), caplog)


# Files and journals


async def test_a_file_that_vanishes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Uploads tell the file's name, and no secret, with a proxy or without."""
    file = tmp_path / "log.txt"
    for proxied in (False, True):
        async with serving(TICKET) as wire:
            options = {"proxy": with_password(wire.url)} if proxied else {}

            def vanish(sent: int, total: int) -> None:
                with open(file, "wb"):
                    pass

            async with client_of(wire.url, **options) as client:
                await caught(ConfigError, lambda: client.upload_file(tmp_path / "none"), caplog)
                file.write_bytes(b"x" * 3_000_000)
                await caught(WorkorderError, lambda: client.upload_file(file, on_progress=vanish), caplog)


async def test_a_broken_journal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A batch that cannot begin says why, and no secret."""
    journal = tmp_path / "batch.journal"
    journal.write_text("{}\nno journal\n")

    async def run(client: WorkorderClient) -> None:
        async for _ in run_batch(client, [COMMENT], journal=journal):
            pass

    async with client_of("http://127.0.0.1:1", proxy=with_password("http://127.0.0.1:1")) as client:
        await caught(JournalError, lambda: run(client), caplog)


async def test_unknown_outcomes_in_a_batch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Errors that a batch hands out, and its journal, are as silent."""
    caplog.set_level(logging.DEBUG)
    batch = [COMMENT, CommentTicket(id=2, detail="备注")]
    journal = tmp_path / "batch.journal"
    async with serving(drop) as proxy, client_of("https://workorder.test", proxy=with_password(proxy.url)) as client:
        outcomes = [one async for one in run_batch(client, batch, journal=journal, patience=0, outage=0)]
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert outcome.error is not None
        assert_hidden(said_by(outcome.error) + repr(outcome))
    assert_hidden(journal.read_text() + caplog.text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("at http://u:p@h/x and https://v@i", "at http://h/x and https://i"),
        ("http://u:p/q@h", "http://h"),
        ("http://u:p?q#r@s@h/x", "http://h/x"),
        ("""url="http://u:p'q@h/x", 'http://u:p"q@h'""", """url="http://h/x", 'http://h'"""),
        ("http://h/x", "http://h/x"),
        ("mail a@b", "mail a@b"),
    ],
)
def test_credentials_are_cut(text: str, said: str) -> None:
    """Up to the last @ of a word, as a password may hold anything."""
    assert without_credentials(text) == said


@pytest.mark.parametrize("text", ["/" * 30_000, "//a" * 20_000])
def test_no_credentials_in_a_long_text(text: str) -> None:
    """It takes a time that grows with the length of a text alone: a `Location` may be anything."""
    began = process_time()
    assert without_credentials(text) == text
    assert process_time() - began < 2


# Help

HELP = """
import inspect, pydoc, sys
import workorder_async
from workorder_async import sandbox
from workorder_async.batches import batch
from workorder_async.batches import journal, journal_file
from workorder_async.signing import scheme as signing, search as detecting

for module in (workorder_async, batch, journal, journal_file, sandbox, detecting, signing):
    for name in getattr(module, "__all__", dir(module)):
        thing = getattr(module, name)
        if not callable(thing):
            continue
        print(pydoc.render_doc(thing))
        for part in (thing, *(getattr(thing, one) for one in dir(thing) if not one.startswith("__"))):
            try:
                print(inspect.signature(part))
            except (TypeError, ValueError):
                pass
print(pydoc.render_doc(workorder_async), workorder_async.WorkorderClient.from_env.__defaults__)
"""


@pytest.mark.slow
def test_help_holds_no_environment() -> None:
    """`help` and `inspect.signature` of everything public show nothing of the process's environment."""
    unique = "un1que-in-the-environment"
    environ = {**os.environ, "WORKORDER_APP_SECRET": unique, "WORKORDER_X": unique, "PYTHONPATH": os.getcwd()}
    ran = subprocess.run(
        [sys.executable, "-c", HELP], check=False, env=environ, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert "from_env" in ran.stdout
    assert unique not in ran.stdout
