"""attempt.py and a certificate, or a login, that is refused: it stays so, and nothing is tried twice."""

import asyncio
import pickle
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing

import aiohttp
import pytest

from tests.support.clients import make_client
from tests.support.raw_server import data, http, serving
from tests.support.rows import each
from tests.support.tls_servers import CA, proxy, tls_in_front
from workorder_async import CommentTicket, NotSentError, State, TicketQuery, WorkorderClient
from workorder_async.batches.batch import run_batch
from workorder_async.batches.outcomes import BatchReport

COMMENT = CommentTicket(id=1, detail="已处理")
DONE = data({"id": 1})


async def read(client: WorkorderClient) -> object:
    """Read a ticket."""
    return await client.get_ticket(1)


async def comment(client: WorkorderClient) -> object:
    """Comment on a ticket."""
    return await client.change(COMMENT)


async def upload(client: WorkorderClient) -> object:
    """Upload a file."""
    return await client.upload_file(b"x", file_name="x.txt")


async def walk(client: WorkorderClient) -> object:
    """Read the list."""
    return [page async for page in client.iter_pages(TicketQuery())]


@each("call", [read, comment, upload, walk])
@each(
    ("certificate", "ca", "why"),
    [
        ("good", True, "unable to get local issuer certificate"),
        ("own", CA, "self.signed certificate"),
        ("expired", CA, "certificate has expired"),
        ("early", CA, "certificate is not yet valid"),
        ("elsewhere", CA, "certificate is not valid for 'localhost'"),
    ],
)
@each("brings", [False, True])
async def test_one_attempt(
    call: Callable[[WorkorderClient], Awaitable[object]], certificate: str, ca: str | bool, why: str, brings: bool
) -> None:
    """A refused certificate is said at once, whatever is wrong with it, whoever's session it is; nothing was sent."""
    async with serving(DONE) as wire, tls_in_front(certificate, wire.url) as url, AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession()) if brings else None
        client = await stack.enter_async_context(make_client(url, ssl=ca, session=session))
        with pytest.raises(NotSentError, match=f"its certificate is refused: .*{why}.*; check the host") as caught:
            await call(client)
        assert (caught.value.attempts, caught.value.lasting, wire.requests) == (1, True, [])
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError) is not brings
        assert pickle.loads(pickle.dumps(caught.value)).lasting


async def test_a_proxy_that_opens_tls() -> None:
    """Its certificate, of an issuer that nobody here trusts, is refused in the same way; no password is told."""
    async with serving(DONE) as wire, tls_in_front("good", wire.url) as url:
        asked: list[bytes] = []
        async with proxy("own", wire.url, asked) as through:
            hidden = through.replace("http://", "http://me:sesame@")
            async with make_client(url, ssl=CA, proxy=hidden) as client:
                with pytest.raises(NotSentError, match="its certificate is refused") as caught:
                    await client.comment_ticket(COMMENT)
        assert (caught.value.attempts, len(asked), wire.requests) == (1, 1, [])
        assert "sesame" not in repr(vars(caught.value)) + str(caught.value)


@each("certificate", ["good", "own"])
async def test_a_batch(certificate: str) -> None:
    """A batch stops at once and says why, in place of waiting for `outage`; control: with the issuer all is done."""
    report = BatchReport()
    async with serving(DONE) as wire, tls_in_front(certificate, wire.url) as url, make_client(url, ssl=CA) as client:
        comments = [CommentTicket(id=number, detail="已处理") for number in range(1, 20)]
        async with asyncio.timeout(20), aclosing(run_batch(client, comments, report=report)) as outcomes:
            states = {outcome.state async for outcome in outcomes}
    assert states == ({State.DONE} if certificate == "good" else {State.NOT_SENT})
    assert report.stopped == "" if certificate == "good" else "its certificate is refused" in report.stopped


HOST = "workorder.crius.api.ksyun.com"
LOGIN = http("<html>", "407 Proxy Authentication Required", Proxy_Authenticate='Basic realm="x"')


async def test_a_login_that_a_proxy_refuses() -> None:
    """It is said at once: a few wrong logins more, and some proxies lock the account."""
    async with serving(LOGIN) as way, make_client("https://platform.test", proxy=way.url) as client:
        for call in (read, comment, upload):
            with pytest.raises(NotSentError, match="check user and password in the URL of the proxy") as caught:
                await call(client)
            assert (caught.value.attempts, caught.value.lasting) == (1, True)
        assert len(way.requests) == 3


@each("scheme", ["http", "https"])
async def test_a_batch_whose_login_is_refused(scheme: str) -> None:
    """A batch stops at once: no more are refused than begin side by side, each with a look."""
    report = BatchReport()
    async with serving(LOGIN) as way, make_client(f"{scheme}://{HOST}", proxy=way.url, rate=1000) as client:
        comments = [CommentTicket(id=number, detail="已处理") for number in range(1, 20)]
        batch = run_batch(client, comments, concurrency=2, report=report)
        async with asyncio.timeout(20), aclosing(batch) as outcomes:
            states = {outcome.state async for outcome in outcomes}
    assert State.DONE not in states
    assert "407" in report.stopped
    assert len(way.requests) <= 10


async def test_control_other_trouble_with_tls() -> None:
    """What is no refused certificate is tried again: whoever speaks no TLS now may do so in a moment."""
    async with serving(DONE) as wire, make_client(wire.url.replace("http:", "https:")) as client:
        with pytest.raises(NotSentError, match="whether https is spoken there") as caught:
            await client.comment_ticket(COMMENT)
        assert (caught.value.attempts, caught.value.lasting) == (4, False)
