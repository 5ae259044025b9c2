"""session.py, over real sockets: what comes of every way an exchange can go wrong, and that nothing is left.

Where a clock decides, the same in virtual time.
"""

import asyncio
import gc
import logging
import pickle
import ssl
import traceback
import warnings
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest

from tests.support.clients import make_client
from tests.support.raw_server import Handler, data, drop, half, hang, http, serving, stuck
from tests.support.rows import each
from tests.support.virtual_loop import running_loop, taking, virtual_time
from workorder_async import (
    CloseTicket,
    CommentTicket,
    ConfigError,
    DeadlineExceededError,
    DecodeError,
    NoAnswerError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ResponseError,
    RetryPolicy,
    SigningInput,
    TicketStatus,
    WorkorderClient,
    WorkorderError,
)

TICKET = http('{"errno":10000,"errmsg":"OK","data":{"id":1},"request_id":"r1"}')
DONE = http('{"errno":10000,"errmsg":"OK","data":{},"request_id":"r2"}')
HTML = "<html><body>502 Bad Gateway</body></html>"
COMMENT = CommentTicket(id=1, detail="已处理")
CLOSE = CloseTicket(id=1, closer_id=2, closer_name="田金秀", solved_time=1660298580)
PATIENT = RetryPolicy(attempts=9, first=0.001)
#: How long an attempt that is out of time still looks for an answer: three times, and once more after bytes came in.
LOOKS = 0.03


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset the connection."""
    writer.transport.abort()


async def read(client: WorkorderClient) -> object:
    """Read a ticket."""
    return await client.get_ticket(1)


async def comment(client: WorkorderClient) -> object:
    """Comment on a ticket."""
    await client.comment_ticket(COMMENT)
    return None


LOST: list[Handler | bytes] = [
    drop,
    reset,
    half(TICKET),
    b"no HTTP at all\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nnogzi",
]


@each("step", LOST)
async def test_lost_answer_to_a_read_is_asked_again(step: Handler | bytes) -> None:
    """A read whose answer is lost is repeated, signed afresh."""
    async with serving(step, TICKET) as wire, make_client(wire.url) as client:
        assert (await client.get_ticket(1)).id == 1
        assert len(wire.requests) >= 2


@each("step", LOST)
async def test_lost_answers_to_a_read(step: Handler | bytes) -> None:
    """A read whose every answer is lost ends in NoAnswerError, with the attempts."""
    async with serving(step) as wire, make_client(wire.url) as client:
        with pytest.raises(NoAnswerError, match=r"no complete answer.*\(4 attempts\)") as caught:
            await client.get_ticket(1)
        assert type(caught.value) is NoAnswerError
        assert (caught.value.operation, caught.value.attempts) == ("get_ticket", 4)


@each("step", [*LOST, http(HTML, "502 Bad Gateway"), http(HTML), http("{}"), http("[1]", "500 No")])
@each("mutation", [COMMENT, CLOSE])
async def test_lost_answer_to_a_mutation(step: Handler | bytes, mutation: CommentTicket | CloseTicket) -> None:
    """A mutation whose answer is lost, or is not the platform's, is said to be unknown, and is not sent again."""
    async with serving(step) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError, match="may or may not have happened") as caught:
            await client.change(mutation, patient=False)
        assert caught.value.attempts == sum(request.startswith(b"POST") for request in wire.requests) == 1
        assert isinstance(caught.value.__cause__, NoAnswerError | ResponseError)


@pytest.mark.parametrize("call", [read, comment])
async def test_nothing_listens(call: Callable[[WorkorderClient], Awaitable[object]], unused_tcp_port: int) -> None:
    """A refused connection is NotSentError, for a mutation too: it is tried again, since nothing happened."""
    async with make_client(f"http://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(NotSentError, match=r"could not send to .*: Cannot connect [^;]*; check") as caught:
            await call(client)
        assert "ssl:" not in str(caught.value)
        assert caught.value.attempts == 4


async def test_unknown_host() -> None:
    """A name that nobody knows is NotSentError."""
    async with make_client("https://no-such-host.invalid", retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(NotSentError, match=r"check the host, the network and the proxy"):
            await client.get_ticket(1)


async def test_tls_to_a_plain_server() -> None:
    """TLS that cannot be agreed on is NotSentError."""
    async with serving(TICKET) as wire:
        with pytest.raises(NotSentError, match="proxy, the certificate, and whether https is spoken there"):
            await make_and_read(wire.url.replace("http:", "https:"), retry=RetryPolicy(attempts=1))


@each(("step", "looks"), [(hang, LOOKS), (stuck(TICKET), LOOKS + 0.01)])
@virtual_time
async def test_attempt_timeout(step: Handler, looks: float) -> None:
    """An attempt that takes too long is given up; a read is asked again, a mutation is unknown."""
    async with serving(step, TICKET, step) as wire, make_client(wire.url, attempt_timeout=10) as client:
        # It waits a moment before the next attempt.
        async with taking(10 + looks, within=0.001):
            assert (await client.get_ticket(1)).id == 1
        async with taking(10 + looks):
            with pytest.raises(OutcomeUnknownError, match=r"not within 10 s"):
                await client.comment_ticket(COMMENT)
        with pytest.raises(OutcomeUnknownError):
            await client.close_ticket(CLOSE)


@virtual_time
async def test_deadline_of_a_read() -> None:
    """A call ends at its deadline, and says where its time went."""
    async with serving(hang) as wire, make_client(wire.url, deadline=20) as client, taking(20 + LOOKS):
        with pytest.raises(DeadlineExceededError, match=r"no answer within 20 s") as caught:
            await client.get_ticket(1)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.spent == {"queue": 0, "request": pytest.approx(20 + LOOKS), "sleep": 0}


@virtual_time
async def test_deadline_of_a_mutation() -> None:
    """A mutation that was sent before its deadline is unknown; one that was still waiting for a slot did not happen."""
    async with serving(hang) as wire, make_client(wire.url, deadline=20, max_in_flight=1) as client:
        sent, waiting = await asyncio.gather(
            client.close_ticket(CLOSE), client.comment_ticket(COMMENT), return_exceptions=True
        )
        assert isinstance(sent, OutcomeUnknownError)
        assert isinstance(sent.__cause__, DeadlineExceededError)
        assert isinstance(waiting, NotSentError)
        assert waiting.operation == "comment_ticket"
        assert isinstance(waiting.__cause__, DeadlineExceededError)
        assert waiting.__cause__.spent == {"queue": 20, "request": 0, "sleep": 0}
        assert len(wire.requests) == 1


@virtual_time
async def test_a_slot_that_comes_free_too_late_is_not_used() -> None:
    """A call that gets its slot after its deadline, since something blocked the loop, is not even signed."""
    signed, first = [], asyncio.Event()

    class Noting:
        def sign(self, request: SigningInput) -> dict[str, str]:
            signed.append(request)
            first.set()
            return {}

    async with serving(hang) as wire, make_client(wire.url, signer=Noting(), deadline=10, max_in_flight=1) as client:
        reading = asyncio.create_task(client.get_ticket(1))
        await first.wait()
        commenting = asyncio.create_task(client.comment_ticket(COMMENT))
        await asyncio.sleep(0)
        reading.cancel()
        # In the turn of the loop in which the slot is let go of, before the next one looks at the clock.
        running_loop().call_soon(running_loop().let_pass, 12)
        with pytest.raises(NotSentError) as caught:
            await commenting
        assert isinstance(caught.value.__cause__, DeadlineExceededError)
        assert len(signed) == 1


@virtual_time
async def test_no_sleep_past_the_deadline() -> None:
    """Where the server asks for a longer wait than there is time, its refusal is raised at once."""
    answer, pause = http('{"errno":1}', "429 Too Many", Retry_After="60"), "none may start for 60 s more"
    async with serving(answer) as wire, make_client(wire.url, deadline=30) as client, taking(0):
        with pytest.raises(RateLimitedError) as caught:
            await client.get_ticket(1)
        assert caught.value.retry_after == 60
        assert caught.value.attempts == 1
        said = f"get_ticket: the server turned requests away: {pause}, and the deadline of 30 s is before that"
        assert str(caught.value) == f"{said} (errno 1)"
        with pytest.raises(RateLimitedError) as caught:
            await client.get_ticket(1)
        assert str(caught.value) == said
        assert len(wire.requests) == 1


async def make_and_read(url: str, **options: Any) -> None:
    """Read a ticket with a client of these options."""
    async with make_client(url, **options) as client:
        await client.get_ticket(1)


@each(
    ("status", "call"),
    [("429 Too Many Requests", read), ("429 Too Many Requests", comment), ("503 Service Unavailable", read)],
)
@virtual_time
async def test_retry_after(status: str, call: Callable[[WorkorderClient], Awaitable[object]]) -> None:
    """A server that says when to come back is obeyed, in seconds and as a date; a throttled mutation too."""
    now = running_loop().wall_clock
    date, past = (formatdate(now() + seconds, usegmt=True) for seconds in (50, -5))
    answers = [http(HTML, status, Retry_After=said) for said in ("20", "0", date, past)]
    async with serving(*answers, TICKET) as wire, make_client(wire.url, now=now, retry=PATIENT) as client:
        # Until the moment that the date names; after what says nothing, pauses that grow from a tenth of a second.
        async with taking(50, within=1):
            await call(client)
        assert len(wire.requests) == 5


@virtual_time
async def test_retry_after_pauses_the_others() -> None:
    """After a 429 every call waits, not only the one that was told."""
    async with serving(http("{}", "429 Slow", Retry_After="40"), TICKET) as wire, make_client(wire.url) as client:
        first = asyncio.create_task(client.get_ticket(1))
        await asyncio.sleep(10)
        async with taking(30, within=0.1):
            await client.get_ticket(1)
        await first
        assert len(wire.requests) == 3


async def test_server_error_of_a_read_is_asked_again() -> None:
    """A 5xx to a read is repeated, with or without an envelope; a 4xx is not."""
    errors = [http(HTML, "502 Bad"), http('{"errno":5,"errmsg":"x"}', "500 Internal")]
    async with serving(*errors, TICKET) as wire, make_client(wire.url) as client:
        assert (await client.get_ticket(1)).id == 1
    async with serving(http(HTML, "404 Not Found")) as wire, make_client(wire.url) as client:
        with pytest.raises(ResponseError, match=r"get_ticket: HTTP 404 with an HTML page") as caught:
            await client.get_ticket(1)
        assert (caught.value.status, caught.value.body_start, len(wire.requests)) == (404, HTML.encode(), 1)


async def test_redirect() -> None:
    """A redirect is not followed, and says where it would have led."""
    step = http("", "301 Moved Permanently", Location="http://elsewhere.example/x")
    async with serving(step) as wire, make_client(wire.url) as client:
        with pytest.raises(ResponseError, match=r"a redirect to http://elsewhere\.example/x"):
            await client.get_ticket(1)
        assert len(wire.requests) == 1


ODD_TICKETS = {
    "lone surrogate": (r'{"id":1,"title":"a\ud800b"}', "a\ud800b"),
    "NUL, newline, emoji": (r'{"id":1,"title":"\u0000\n😀\ud83d\ude00"}', "\0\n😀😀"),
    "5 MB": ('{"id":1,"title":"' + "工" * 1_700_000 + '"}', "工" * 1_700_000),
    "null": ('{"id":1,"title":null,"status":null,"created_time":null,"is_solved":null}', ""),
}


@each("case", ODD_TICKETS)
async def test_odd_text(case: str) -> None:
    """Text that is odd or large comes through as it was sent."""
    ticket, title = ODD_TICKETS[case]
    async with serving(http(f'{{"errno":10000,"data":{ticket}}}')) as wire, make_client(wire.url) as client:
        assert (await client.get_ticket(1)).title == title


async def test_unknown_status() -> None:
    """A status that the document does not list is kept."""
    async with serving(http('{"errno":10000,"data":{"id":1,"status":9}}')) as wire, make_client(wire.url) as client:
        status = (await client.get_ticket(1)).status
        assert (status, status.value, status.is_known) == (TicketStatus(9), 9, False)


NULLS = [
    ("null", ResponseError),
    ('{"errno":null}', DecodeError),
    ('{"errno":"ten"}', DecodeError),
    ('{"errno":10000,"data":null}', DecodeError),
    ('{"errno":10000}', DecodeError),
    ('{"errno":10000,"data":{"id":null}}', DecodeError),
    ('{"errno":10000,"errmsg":5,"data":{"id":[]}}', DecodeError),
    ('{"errno":10000,"data":{"id":1,"created_time":[]}}', DecodeError),
    ('{"errno":NaN}', DecodeError),
    ("", ResponseError),
    ("{", ResponseError),
    ("[" * 100_000, ResponseError),
]


@each(("body", "kind"), NULLS)
async def test_bodies_that_do_not_fit(body: str, kind: type[WorkorderError]) -> None:
    """null, and every other body that does not fit, is an error of ours, which pickles."""
    async with serving(http(body)) as wire, make_client(wire.url) as client:
        with pytest.raises(kind) as caught:
            await client.get_ticket(1)
        assert type(caught.value) is kind
        assert caught.value.operation == "get_ticket"
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


async def test_cancellation_passes() -> None:
    """A cancelled call ends at once as cancelled, and leaves its slot and its connection."""
    async with serving(hang, TICKET) as wire, make_client(wire.url, max_in_flight=1) as client:
        task = asyncio.create_task(client.get_ticket(1))
        await wire.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.get_ticket(1)).id == 1


@virtual_time
async def test_timeout_around_a_call() -> None:
    """A time limit of the caller's own stays the caller's TimeoutError."""
    async with serving(hang) as wire, make_client(wire.url) as client, taking(10):
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(10):
                await client.get_ticket(1)
        assert not isinstance(caught.value, WorkorderError)


async def test_session_brought_along() -> None:
    """A session that was brought along is used, and stays open."""
    async with serving(TICKET) as wire, aiohttp.ClientSession(headers={"X-Mine": "yes"}) as session:
        async with make_client(wire.url, session=session) as client:
            await client.get_ticket(1)
        assert not session.closed
        assert b"X-Mine: yes" in wire.requests[0]


async def test_session_brought_along_and_closed() -> None:
    """A session that its owner has closed is told of by name, and nothing is sent."""
    async with serving(TICKET) as wire:
        session = aiohttp.ClientSession()
        async with make_client(wire.url, session=session) as client:
            await session.close()
            with pytest.raises(ConfigError, match="the session that was brought along is closed") as caught:
                await client.close_ticket(CLOSE)
        assert caught.value.operation == "close_ticket"
        assert wire.requests == []


async def test_what_waits_while_the_client_is_closed() -> None:
    """A call that gets its slot after the client was closed says so, and is not sent."""
    async with serving(hang) as wire, make_client(wire.url, max_in_flight=1) as client:
        first = asyncio.create_task(client.get_ticket(1))
        second = asyncio.create_task(client.get_ticket(2))
        await wire.arrived.wait()
        await client.aclose()
        first.cancel()
        with pytest.raises(ConfigError, match=r"this client is closed; make another one$"):
            await second
        assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({}, http("", "503 Busy", Retry_After="60")),
        ({}, http("", "429 Slow", Retry_After="60")),
        ({"rate": 0.01}, TICKET),
    ],
    ids=["a wait", "a pause", "a rate"],
)
@virtual_time
async def test_what_is_held_up_while_the_client_is_closed(options: dict[str, Any], answer: bytes) -> None:
    """A call that waits for the time of its next request says so at once, and sends no more."""
    async with serving(answer) as wire, make_client(wire.url, **options) as client:
        calls = [asyncio.create_task(client.get_ticket(1)) for _ in range(3)]
        await asyncio.sleep(1)
        sent = len(wire.requests)
        async with taking(0, within=0.01):
            await client.aclose()
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert str(results[-1]).startswith("get_ticket: this client is closed")
        assert len(wire.requests) == sent
        assert client.stats().waiting == 0


class _Late:
    async def sign(self, request: object) -> dict[str, str]:
        return {}


class _Silent:
    def sign(self, request: object) -> None:
        return None


@pytest.mark.parametrize(("signer", "what"), [(_Late(), "coroutine"), (_Silent(), "NoneType")])
@pytest.mark.filterwarnings("error")
async def test_a_signer_that_returns_no_headers_is_told_of(signer: Any, what: str) -> None:
    """A signer that is a coroutine function, or returns nothing, is the caller's mistake, and nothing is sent."""
    async with serving(TICKET) as wire, make_client(wire.url, signer=signer) as client:
        with pytest.raises(ConfigError, match=f"the signer's sign returned a {what}; it must return a dict"):
            await client.get_ticket(1)
        assert wire.requests == []


async def test_a_signer_that_says_of_what_type_a_body_is() -> None:
    """The body says that itself: of an upload, JSON would be false."""

    class Signer:
        def sign(self, request: object) -> dict[str, str]:
            return {"AppId": "mine", "content-type": "application/json"}

    file = data({"author": 7, "file_name": "a", "file_path": "b", "file_size": 1, "file_type": "text/plain"})
    async with serving(data({}), file) as wire, make_client(wire.url, signer=Signer()) as client:
        await client.close_ticket(CLOSE)
        await client.upload_file(b"x", file_name="a.txt")
    heads = [request.partition(b"\r\n\r\n")[0].lower() for request in wire.requests]
    assert [head.count(b"content-type: ") for head in heads] == [1, 1]
    assert b"content-type: application/json" in heads[0]
    assert b"content-type: multipart/form-data" in heads[1]


@each(
    ("name", "value", "what"),
    [
        ("Timestamp", 1_700_000_000, "int"),
        ("Timestamp", None, "NoneType"),
        ("Sign", b"c2VjcmV0", "bytes"),
        ("Sign", "c2VjcmV0\n", "control character"),
        (b"Sign", "x", "bytes"),
        *((name, "5", "") for name in ("签", "App Id", "Sign:", "", "Content-Length", "transfer-encoding", "Expect")),
    ],
)
async def test_a_signer_that_returns_what_is_no_header(name: Any, value: Any, what: str) -> None:
    """A time that is still a number is the caller's mistake, for reads as for mutations: said, and never sent."""

    class Signer:
        def sign(self, request: object) -> dict[Any, Any]:
            return {"AppId": "mine", name: value}

    async with serving(TICKET) as wire, make_client(wire.url, signer=Signer()) as client:
        for call in (lambda: client.get_ticket(1), lambda: client.close_ticket(CLOSE)):
            with pytest.raises(ConfigError) as caught:
                await call()
            said = f"a {what} in the header" if what else "the header"
            assert f"the signer's sign returned {said} {name!r}; " in str(caught.value)
            assert "c2VjcmV0" not in str(caught.value)
        assert (wire.requests, client.app_id) == ([], "mine")


@pytest.mark.filterwarnings("ignore:plain HTTP")
async def test_proxy() -> None:
    """A proxy is asked for the whole URL; its user and password go to it alone."""
    async with serving(TICKET) as proxy:
        url = proxy.url.replace("http://", "http://user:pass@")
        async with make_client("http://workorder.test", proxy=url) as client:
            await client.get_ticket(1)
        assert proxy.requests[0].startswith(b"GET http://workorder.test/workorder/api/ticket/base?id=1 HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic " in proxy.requests[0]


@pytest.mark.filterwarnings("ignore:plain HTTP")
@pytest.mark.parametrize("before", ["http://", "", "http://user:hunter2@"])
async def test_trust_env(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    """With trust_env the environment's proxy is used, but for this machine, hosts of NO_PROXY, and beside proxy=."""
    async with serving(TICKET) as proxy, serving(TICKET) as wire:
        monkeypatch.setenv("http_proxy", before + proxy.url.removeprefix("http://"))
        monkeypatch.setenv("no_proxy", "near.test")
        async with make_client(wire.url, trust_env=True) as client:
            await client.get_ticket(1)
        assert (len(wire.requests), len(proxy.requests)) == (1, 0)
        async with make_client("http://workorder.test", trust_env=True) as client:
            await client.get_ticket(1)
        assert proxy.requests[0].startswith(b"GET http://workorder.test/workorder/api/ticket/base?id=1 HTTP/1.1\r\n")
        assert (b"Proxy-Authorization: Basic " in proxy.requests[0]) == ("@" in before)
        async with make_client("http://workorder.test", trust_env=True, proxy=wire.url) as client:
            await client.get_ticket(1)
        assert (len(wire.requests), len(proxy.requests)) == (2, 1)
        near = ("near.test", "localhost:1", "127.0.0.2", "[::1]:1", "a.localhost")
        for host, trusts in (*((host, True) for host in near), ("workorder.test", False)):
            async with make_client(f"http://{host}", trust_env=trusts) as client:
                assert client.proxy is None, host


@pytest.mark.parametrize("kind", ["socks5", "socks4", "ftp"])
def test_a_proxy_of_another_kind(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """It is refused before anything is sent: spoken to in HTTP, it would leave a mutation unknown."""
    monkeypatch.setenv("https_proxy", f"{kind}://user:hunter2@127.0.0.1:1080")
    with pytest.raises(ConfigError, match=r"HTTPS_PROXY must be an http:// or https:// URL.*; for SOCKS") as caught:
        make_client("https://workorder.test", trust_env=True)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("call", [read, comment])
async def test_a_proxy_without_a_scheme(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[WorkorderClient], Awaitable[object]]
) -> None:
    """One that a session of the user's takes is a wrong setting; its password is not shown."""
    monkeypatch.setenv("http_proxy", "user:hunter2@127.0.0.1:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    async with (
        aiohttp.ClientSession(trust_env=True) as session,
        make_client("http://127.0.0.1:1", session=session) as client,
    ):
        with pytest.raises(ConfigError, match="the proxy's URL cannot be read; write it, as in HTTPS_PROXY") as caught:
            await call(client)
    assert caught.value.attempts == 1
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_ssl_context_is_passed_on() -> None:
    """The TLS settings reach the connection: a context that trusts nobody refuses a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with serving(TICKET) as wire:
        url = wire.url.replace("http:", "https:")
        async with make_client(url, ssl=context, retry=RetryPolicy(attempts=1)) as client:
            with pytest.raises(NotSentError, match=r"could not send"):
                await client.get_ticket(1)


async def test_connections_are_pooled() -> None:
    """One call after another goes over one connection."""
    connections = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer.get_extra_info("peername"))
        writer.write(TICKET)

    async with serving(answer) as wire, make_client(wire.url) as client:
        for _ in range(5):
            await client.get_ticket(1)
    assert len(connections) == 1


async def test_max_in_flight() -> None:
    """No more requests than allowed are under way, whatever is asked at once."""
    under_way, most, go_on = 0, 0, asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 3:
            go_on.set()
        await go_on.wait()
        under_way -= 1
        writer.write(TICKET)

    async with serving(answer) as wire, make_client(wire.url, max_in_flight=3) as client:
        await asyncio.gather(*(client.get_ticket(1) for _ in range(12)))
    assert most == 3


@virtual_time
async def test_rate() -> None:
    """Requests start as fast as the rate allows, and no faster."""
    async with serving(TICKET) as wire, make_client(wire.url, rate=0.5) as client, taking(10):
        await asyncio.gather(*(client.get_ticket(1) for _ in range(6)))


async def test_left_open() -> None:
    """A client that is left open warns once, and says where it was made."""

    async def leave_open(url: str) -> None:
        client = make_client(url)
        await client.get_ticket(1)

    async with serving(TICKET) as wire:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await leave_open(wire.url)
            gc.collect()
            await asyncio.sleep(0)
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 1
    assert "left open" in messages[0]
    assert "clients.py:" in messages[0]


async def test_silent_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed, even of failures."""
    async with serving(http(HTML, "500 No")) as wire, make_client(wire.url) as client:
        with pytest.raises(ResponseError):
            await client.get_ticket(1)
    assert capsys.readouterr() == ("", "")
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("workorder_async").handlers)


async def test_log_holds_nothing_private(caplog: pytest.LogCaptureFixture) -> None:
    """The log tells operation, attempt, outcome and request_id, and neither Sign, secret nor a ticket's text."""
    caplog.set_level(logging.DEBUG, "workorder_async")
    private = CommentTicket(id=1, detail="private words")
    refusal = http('{"errno":7,"errmsg":"private words","request_id":"r7"}', "429 Slow", Retry_After="0")
    async with serving(refusal, DONE) as wire, make_client(wire.url) as client:
        await client.comment_ticket(private)
        sign = wire.requests[0].split(b"Sign: ")[1][:32].decode()
    log = caplog.text
    assert "comment_ticket: attempt 1, 429 RateLimitedError 7, r7" in log
    assert "comment_ticket: attempt 2, 200 ok, r2" in log
    assert not [secret for secret in (sign, "demo-secret", "private words") if secret in log]
