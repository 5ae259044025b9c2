"""attempt.py: what was sent is what the transport has taken; whose session it is does not matter."""

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext, suppress
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.clients import make_client
from tests.support.observed import Seen
from tests.support.raw_server import Handler, data, drop, half, hang, http, late, serving
from tests.support.rows import each
from tests.support.slow import slow_after
from tests.support.tls import server_context
from tests.support.virtual_loop import EPOCH, running_loop, taking, virtual_time
from workorder_async import (
    ApiError,
    AttemptEnded,
    AuthenticationError,
    CloseTicket,
    CommentTicket,
    ConfigError,
    DeadlineExceededError,
    JournalError,
    Mutation,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ResponseError,
    RetryPolicy,
    SigningInput,
    WorkorderError,
)
from workorder_async.document.endpoints import COMMENT_TICKET
from workorder_async.wire.attempt import _Payload
from workorder_async.wire.bodies import JsonBody

COMMENT = CommentTicket(id=1, detail="已处理")
DONE = data({"id": 1})
ONCE = RetryPolicy(attempts=1)
TWICE = RetryPolicy(attempts=2, first=0.001)


# A session that was brought along


class Again:
    """A session that sends a request again by itself after every failure, as some packages have them."""

    closed = False

    def __init__(self, then: str = "") -> None:
        self._session = aiohttp.ClientSession()
        self._then = then

    async def request(self, method: str, url: str, **options: Any) -> aiohttp.ClientResponse:
        """Send it, up to three times; again to `then`, if that is given."""
        for left in (2, 1, 0):
            try:
                response = await self._session.request(
                    method, self._then if self._then and left < 2 else url, **options
                )
            except aiohttp.ClientError:
                if not left:
                    raise
            else:
                if response.status < 500 or not left:
                    return response
        raise AssertionError

    async def __aenter__(self) -> "Again":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()


@each("step", [drop, half(DONE), http("busy", "503 Busy"), http("<html>", "500 No")])
async def test_a_session_that_repeats(step: Handler | bytes) -> None:
    """A mutation that a session would send once more by itself is sent once, and is unknown."""
    async with serving(step, DONE) as wire, Again() as session, make_client(wire.url, session=session) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.comment_ticket(COMMENT)
        assert len(wire.requests) == 1


@pytest.mark.parametrize("error", [JournalError("disk full"), LookupError("x"), NotSentError("another call")], ids=repr)
async def test_a_session_that_repeats_and_a_callback_that_fails_then(error: Exception) -> None:
    """What was sent stays sent, whatever is raised before the session would send it once more."""
    calls = 0

    def on_send() -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise error

    async with serving(drop) as wire, Again() as session, make_client(wire.url, session=session) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.change(COMMENT, on_send=on_send)
        assert len(wire.requests) == 1


async def test_a_session_that_repeats_what_was_not_sent(unused_tcp_port: int) -> None:
    """Control: where no byte was taken, nothing happened, however often it was tried."""
    async with Again() as session, make_client(f"http://127.0.0.1:{unused_tcp_port}", session=session) as client:
        with pytest.raises(NotSentError):
            await client.comment_ticket(COMMENT)


@each("step", [drop, half(DONE)])
async def test_a_session_that_repeats_and_then_finds_nobody(step: Handler) -> None:
    """Bytes were taken once: that the next connection is refused does not unsay it."""
    async with serving(step) as wire, Again("http://127.0.0.1:1/") as session:
        async with make_client(wire.url, session=session) as client:
            with pytest.raises(OutcomeUnknownError):
                await client.comment_ticket(COMMENT)
        assert len(wire.requests) == 1


@each("make", [aiohttp.ClientSession, Again, lambda: nullcontext(None)])
async def test_a_session_that_repeats_reads(make: Callable[[], Any]) -> None:
    """A read that a session would send once more by itself is sent once more by us: counted, and signed afresh."""
    seconds = count(1_700_000_000)
    more: dict[str, Any] = {"now": lambda: next(seconds), "retry": TWICE, "observers": [seen := Seen()]}
    async with serving(DONE, drop, DONE) as wire, make() as own, make_client(wire.url, session=own, **more) as client:
        for _ in range(2):
            await client.get_ticket(1)
    stamps = [re.findall(rb"Timestamp: (\S+)", one) for one in wire.requests]
    assert len(stamps) == len({*map(tuple, stamps)}) == 3
    assert sum(isinstance(event, AttemptEnded) for event in seen.events) == 3


async def test_middlewares_of_a_session() -> None:
    """A session's middlewares are for the requests of its owner: ours are repeated by ourselves."""
    asked = 0

    async def again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        nonlocal asked
        asked += 1
        return await handler(request)

    session = aiohttp.ClientSession(middlewares=(again,))
    async with serving(drop) as wire, session, make_client(wire.url, session=session) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.comment_ticket(COMMENT)
        assert (asked, len(wire.requests)) == (0, 1)


async def stop(response: aiohttp.ClientResponse) -> None:
    """Raise for whatever is not 200."""
    if response.status != 200:
        raise LookupError("not 200")


@each("raises", [True, stop])
async def test_a_session_that_raises_for_a_status(raises: Any) -> None:
    """An answer is read by us alone: a 429 is obeyed, whatever the session does with one."""
    slow = http("", "429 Slow", Retry_After="0")
    session = aiohttp.ClientSession(raise_for_status=raises)
    async with serving(slow, DONE) as wire, session, make_client(wire.url, session=session) as client:
        await client.comment_ticket(COMMENT)
        assert (client.stats().throttled, len(wire.requests)) == (1, 2)


async def test_a_session_that_leaves_answers_packed() -> None:
    """An answer is unpacked, whatever the session does with those of its owner."""
    content = gzip.compress(b'{"errno":10000,"data":{"id":1}}')
    session = aiohttp.ClientSession(auto_decompress=False)
    packed = http(content, Content_Encoding="gzip")
    async with serving(packed) as wire, session, make_client(wire.url, session=session) as client:
        assert (await client.get_ticket(1)).id == 1


@each("options", [{"headers": {"Content-Type": "text/plain"}}, {"skip_auto_headers": ["Content-Type"]}])
async def test_a_session_that_says_what_bodies_are(options: Any) -> None:
    """A body says itself what it is: a file is a form, whatever the session's own requests have."""
    uploaded = data({"file_name": "a.txt", "file_path": "workorder/1/a", "file_size": 1, "file_type": "text/plain"})
    session = aiohttp.ClientSession(**options)
    async with serving(DONE, uploaded) as wire, session, make_client(wire.url, session=session) as client:
        await client.comment_ticket(COMMENT)
        await client.upload_file(b"a", file_name="a.txt")
    kinds = [re.findall(rb"Content-Type: (\S+)", one.partition(b"\r\n\r\n")[0]) for one in wire.requests]
    assert kinds == [[b"application/json"], [b"multipart/form-data;"]]


@virtual_time
async def test_when_it_was_sent() -> None:
    """An unknown outcome says when its first byte was taken, however long it waited for a connection before."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
    now = running_loop().wall_clock
    async with serving(late(DONE, 7), drop) as wire, session, make_client(wire.url, session=session, now=now) as client:
        reading = asyncio.create_task(client.get_ticket(1))
        await wire.arrived.wait()
        with pytest.raises(OutcomeUnknownError) as caught:
            await client._session.call(COMMENT_TICKET, body=JsonBody(b"{}"))
        await reading
    assert caught.value.began == EPOCH + 7


@each("limit", [1, 2])
@virtual_time
async def test_a_pool_that_is_too_small(limit: int) -> None:
    """The time of an attempt begins when it has its connection: who waits for one is neither lost nor refused."""
    connector = aiohttp.TCPConnector(limit=limit)
    async with serving(late(DONE, 4)) as wire, aiohttp.ClientSession(connector=connector) as session:
        async with make_client(wire.url, session=session, attempt_timeout=5, retry=ONCE) as client, taking(48 / limit):
            await asyncio.gather(*(client.comment_ticket(COMMENT) for _ in range(12)))
        async with make_client(wire.url, session=session, attempt_timeout=5, retry=ONCE) as client, taking(48 / limit):
            await asyncio.gather(*(client.get_ticket(1) for _ in range(12)))
        assert len(wire.requests) == 24


@virtual_time
async def test_a_place_that_never_comes_free() -> None:
    """Who has no connection by the deadline has sent nothing; who has one, and no answer in time, is unknown."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
    options: dict[str, Any] = {"session": session, "attempt_timeout": 15, "deadline": 20}
    async with serving(hang) as wire, session, make_client(wire.url, **options) as client:
        first, second = await asyncio.gather(
            *(client.comment_ticket(COMMENT) for _ in range(2)), return_exceptions=True
        )
        assert isinstance(first, OutcomeUnknownError)
        assert isinstance(second, OutcomeUnknownError)
        assert len(wire.requests) == 2
        first, second = await asyncio.gather(
            client.comment_ticket(COMMENT), client.comment_ticket(COMMENT, deadline=10), return_exceptions=True
        )
        assert isinstance(first, OutcomeUnknownError)
        assert type(second) is NotSentError
        assert len(wire.requests) == 3


# What the transport takes


@pytest.mark.parametrize("how", ["closed", "the first send fails"])
async def test_what_no_transport_takes(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A connection that ends between the look and the first byte has taken nothing, so it is repeated."""
    look, broken = _Payload._begin, 0

    async def begins(payload: _Payload, writer: Any) -> None:
        nonlocal broken
        await look(payload, writer)
        if not broken:
            broken += 1
            if how == "closed":
                writer.transport.close()
            else:
                writer.transport.get_extra_info("socket")._sock.shutdown(1)

    monkeypatch.setattr(_Payload, "_begin", begins)
    async with serving(DONE) as wire, make_client(wire.url, retry=TWICE) as client:
        await client.comment_ticket(COMMENT)
        assert (len(wire.requests), broken) == (1, 1)
        broken = 0
        client._session.retry = ONCE
        with pytest.raises(NotSentError):
            await client.comment_ticket(COMMENT)
        assert len(wire.requests) == 1


@each("where", ["signer", "may_send", "on_send"])
@virtual_time
async def test_a_loop_that_was_blocked_until_the_deadline(where: str) -> None:
    """Nothing is written after the deadline, so nothing happened: who was told so does it again."""

    def block(at: str) -> None:
        if at == where:
            running_loop().let_pass(10)

    class Blocking:
        def sign(self, request: SigningInput) -> Mapping[str, str]:
            block("signer")
            return {"Sign": "x"}

    async def may_send() -> None:
        block("may_send")

    async with serving(DONE) as wire, make_client(wire.url, signer=Blocking(), deadline=5) as client:
        with pytest.raises(NotSentError, match=r"not sent within 5 s \(.* 10\.\d s request"):
            await client.change(COMMENT, may_send=may_send, on_send=lambda: block("on_send"))
        if where == "signer":
            with pytest.raises(DeadlineExceededError):
                await client.list_tickets()
        assert (wire.requests, client.stats().in_flight) == ([], 0)


@each("size", [10, 100_000, 20_000_000])
async def test_what_a_transport_has_taken(size: int) -> None:
    """A connection that ends when some of the bytes were taken leaves the mutation unknown, however many there are."""

    async def read_some(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        writer.transport.abort()

    server = await asyncio.start_server(read_some, "127.0.0.1", 0)
    async with server, make_client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.comment_ticket(CommentTicket(id=1, detail="x" * size))
        assert caught.value.attempts == 1


@pytest.mark.parametrize("how", slow_after(1, ["cancelled", "its time is up"]))
@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_request_that_is_given_up(tmp_path: Path, how: str, encrypted: bool) -> None:
    """What waits to be sent is not sent any more: it would be carried out when it was long settled."""
    size, arrived, ended = 12_000_000, asyncio.Event(), asyncio.get_running_loop().create_future()

    async def read_later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = len(await reader.readuntil(b"\r\n\r\n"))
        arrived.set()
        await given_up.wait()
        with suppress(ConnectionError):
            while piece := await reader.read(1 << 20):
                received += len(piece)
        writer.transport.abort()
        ended.set_result(received)

    given_up = asyncio.Event()
    server = await asyncio.start_server(read_later, "127.0.0.1", 0, ssl=server_context(tmp_path) if encrypted else None)
    url = f"http{'s' * encrypted}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    seconds = 0.05 if how == "its time is up" else 30
    async with server, make_client(url, attempt_timeout=seconds, ssl=False) as client:
        change = asyncio.create_task(client.change(CommentTicket(id=1, detail="x" * size), patient=False))
        await arrived.wait()
        if how == "cancelled":
            change.cancel()
        with pytest.raises((OutcomeUnknownError, asyncio.CancelledError)):
            await change
        given_up.set()
        assert await ended < size


# Foreign code


async def failure_of(call: Awaitable[object]) -> WorkorderError | None:
    """Return the error of ours that a call ends with; None for success."""
    try:
        await call
    except WorkorderError as error:
        return error
    return None


class Refusing:
    """A signer that fails so many times."""

    def __init__(self, error: BaseException, times: int) -> None:
        self.error = error
        self.times = times

    def sign(self, request: SigningInput) -> Mapping[str, str]:
        """Fail, or sign."""
        self.times -= 1
        if self.times >= 0:
            raise self.error
        return {"Sign": "x"}


FOREIGN = [LookupError("mine"), OSError(28, "no space"), RecursionError("deep"), TimeoutError("late"), StopIteration()]


@pytest.mark.parametrize("error", FOREIGN, ids=repr)
async def test_a_signer_that_fails_once(error: Exception) -> None:
    """Nothing was sent, so it is tried again."""
    async with serving(DONE) as wire, make_client(wire.url, signer=Refusing(error, 1)) as client:
        await client.comment_ticket(COMMENT)
        assert len(wire.requests) == 1


@pytest.mark.parametrize("error", FOREIGN, ids=repr)
async def test_a_signer_that_fails(error: Exception) -> None:
    """Its error is the cause of a `NotSentError`."""
    async with serving(DONE) as wire, make_client(wire.url, signer=Refusing(error, 9), retry=ONCE) as client:
        with pytest.raises(NotSentError) as caught:
            await client.comment_ticket(COMMENT)
        assert wire.requests == []
        assert error in (caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", None))
        assert client.stats().in_flight == 0


OF_OTHER_CALLS = [
    RateLimitedError("slow", status=429),
    AuthenticationError("no", errno=5, status=401),
    OutcomeUnknownError("lost"),
    ResponseError("page", status=502),
    DeadlineExceededError("late"),
]


@pytest.mark.parametrize("error", OF_OTHER_CALLS, ids=repr)
@pytest.mark.parametrize("where", ["signer", "callback"])
async def test_errors_of_other_calls(error: WorkorderError, where: str) -> None:
    """What a signer or a callback was told by a call of its own says nothing of this one: nothing was sent."""

    def on_send() -> None:
        if where == "callback":
            raise error

    options: dict[str, Any] = {"signer": Refusing(error, 9)} if where == "signer" else {}
    async with serving(DONE) as wire, make_client(wire.url, retry=ONCE, **options) as client:
        with pytest.raises(NotSentError) as caught:
            await client.change(COMMENT, on_send=on_send)
        assert caught.value.__cause__ is error
        assert (wire.requests, client.stats().throttled, caught.value.attempts) == ([], 0, 1)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt()], ids=repr)
async def test_what_passes(error: BaseException) -> None:
    """A cancellation passes, and what ends the program."""
    async with serving(DONE) as wire, make_client(wire.url, signer=Refusing(error, 9)) as client:
        with pytest.raises(type(error)):
            await client.comment_ticket(COMMENT)
        assert (wire.requests, client.stats().in_flight) == ([], 0)


BEFORE_IT = [*FOREIGN[:3], NotSentError("another call"), ConnectionError("redis is away"), JournalError("disk full")]


@pytest.mark.parametrize("callback", ["on_send", "may_send"])
@pytest.mark.parametrize("error", BEFORE_IT, ids=repr)
async def test_a_callback_that_fails_before_the_first_byte(error: Exception, callback: str) -> None:
    """It stops the call, and the caller's error is told: one of ours as it is, any other as the cause."""
    calls: list[str] = []

    def on_send() -> None:
        calls.append(callback)
        raise error

    async def may_send() -> None:
        on_send()

    async with serving(DONE) as wire, make_client(wire.url) as client:
        changing = (
            client.change(COMMENT, on_send=on_send)
            if callback == "on_send"
            else client.change(COMMENT, may_send=may_send)
        )
        with pytest.raises((NotSentError, JournalError)) as caught:
            await changing
        assert error in (caught.value, caught.value.__cause__)
        assert (wire.requests, calls, caught.value.attempts) == ([], [callback], 1)


@each("callback", ["on_send", "on_turned_away"])
async def test_a_callback_that_nobody_awaits(callback: str) -> None:
    """A coroutine that it returns would not run: that is refused before the first byte, or before a second request."""
    options: dict[str, Any] = {callback: lambda: asyncio.sleep(0)}
    async with serving(http("", "429 Slow"), DONE) as wire, make_client(wire.url) as client:
        with pytest.raises(ConfigError, match=rf"{callback} is an `async def`.*; it must be a plain function"):
            await client.change(COMMENT, **options)
        assert len(wire.requests) == (callback == "on_turned_away")


TURNING_AWAY = {"throttled": http("", "429 Slow"), "refused": http('{"errno":9,"errmsg":"no"}', "401 No")}


@pytest.mark.parametrize("answer", TURNING_AWAY.values(), ids=TURNING_AWAY)
@pytest.mark.parametrize("error", [*FOREIGN[:3], *OF_OTHER_CALLS, JournalError("disk full")], ids=repr)
async def test_a_callback_that_fails_after_it(answer: bytes, error: Exception) -> None:
    """The answer says that nothing happened, whatever the caller's `on_turned_away` does then; it is not sent again."""

    def on_turned_away() -> None:
        raise error

    async with serving(answer, DONE) as wire, make_client(wire.url) as client:
        with pytest.raises((NotSentError, JournalError)) as caught:
            await client.change(COMMENT, on_turned_away=on_turned_away)
        assert error in (caught.value, caught.value.__cause__)
        assert (len(wire.requests), client.stats().in_flight) == (1, 0)
        assert client.stats().throttled == (answer == TURNING_AWAY["throttled"])


@each("works", range(6))
async def test_a_clock_that_fails(works: int) -> None:
    """A clock of the caller's that fails at any moment hides nothing of a mutation."""
    left = works

    def now() -> float:
        nonlocal left
        left -= 1
        if left < 0:
            raise LookupError("no time")
        return 1_700_000_000.0

    async with serving(DONE) as wire, make_client(wire.url, now=now, retry=ONCE) as client:
        failure = await failure_of(client.comment_ticket(COMMENT))
        if failure is None:
            assert len(wire.requests) == 1
        else:
            assert isinstance(failure, OutcomeUnknownError if wire.requests else NotSentError)
        assert client.stats().in_flight == 0


@each("works", range(12))
@each("change", [COMMENT, CloseTicket(id=1, closer_id=2, closer_name="姜程", solved_time=3)])
async def test_a_clock_that_fails_while_it_is_looked_for(works: int, change: Mutation) -> None:
    """Nor does it hide what is not known of one whose answer was lost."""
    times = iter([1_700_000_000.0] * works)
    looked = http('{"errno":10000,"data":{"id":1}}', Date="Tue, 14 Nov 2023 22:13:20 GMT")
    async with serving(drop, looked) as wire, make_client(wire.url, now=times.__next__, retry=ONCE) as client:
        failure = await failure_of(client.change(change, on_unknown="verify", patient=False))
        assert isinstance(failure, OutcomeUnknownError if wire.requests else NotSentError)


@each("told", [None, True, "1", float("nan"), float("inf"), Decimal(1), 1.7e12])
async def test_a_clock_that_tells_no_time(told: Any) -> None:
    """It is named, before anything is sent, and by what sends nothing."""
    async with serving(DONE) as wire, make_client(wire.url, now=lambda: told) as client:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: client.comment_ticket(COMMENT),
            lambda: client.get_ticket(1),
            lambda: client.settle(COMMENT, 5.0),
            client.plan_windows,
        ]
        for call in calls:
            with pytest.raises(ConfigError, match=r"now returned .*; it must return seconds since the epoch"):
                await call()
        assert wire.requests == []


async def test_a_trace_that_fails_before_the_first_byte() -> None:
    """The traces of a session that was brought along run before anything is written: nothing happened."""

    async def fail(*_: object) -> None:
        raise LookupError("mine")

    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(fail)
    session = aiohttp.ClientSession(trace_configs=[trace])
    async with serving(DONE) as wire, session, make_client(wire.url, session=session, retry=ONCE) as client:
        with pytest.raises(NotSentError, match="LookupError: mine"):
            await client.comment_ticket(COMMENT)
        assert wire.requests == []


NESTED = "[" * 900 + "]" * 900


@each(
    "body",
    [
        '{"errno":5,"errmsg":"x","request_id":' + NESTED + "}",
        '{"errno":5,"errmsg":' + NESTED + ',"request_id":"x"}',
        '{"errno":' + NESTED + "}",
        '{"errno":10000,"data":{},"request_id":' + NESTED + "}",
        '{"errno":10000,"data":' + NESTED + "}",
    ],
)
async def test_an_answer_that_is_nested(body: str) -> None:
    """However deep an answer is, what it says of a mutation is told, or that it is not known."""

    async def deep(levels: int) -> None:
        if levels:
            await deep(levels - 1)
            return
        async with serving(http(body)) as wire, make_client(wire.url) as client:
            failure = await failure_of(client.comment_ticket(COMMENT))
            assert isinstance(failure, ApiError) == ('{"errno":5' in body)
            assert isinstance(failure, OutcomeUnknownError) == ('{"errno":[' in body)
            assert len(wire.requests) == 1

    await deep(0)
    await deep(200)
