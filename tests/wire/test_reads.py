"""reads.py, of a walk: what is sent for a page, and what becomes of answers of every kind."""

import asyncio
import gzip
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from email.utils import formatdate
from typing import Any

import orjson
import pytest
from attrs import evolve

from tests.support.clients import NOW, make_client
from tests.support.observed import Seen, check_pairs, observe
from tests.support.raw_server import AtOnce, Handler, Wire, drop, half, hang, http, serving, stuck
from tests.support.rows import each
from tests.support.virtual_loop import virtual_time
from workorder_async import (
    ApiError,
    AuthenticationError,
    ConfigError,
    DeadlineExceededError,
    DecodeError,
    NoAnswerError,
    NotSentError,
    RateLimitedError,
    ResponseError,
    RetryPolicy,
    TicketQuery,
    TicketStateError,
    TicketStatus,
    WorkorderClient,
    WorkorderError,
)
from workorder_async.document import PageRequest, codec
from workorder_async.document.endpoints import LIST_TICKETS
from workorder_async.document.envelope import Answer
from workorder_async.sandbox import Sandbox
from workorder_async.wire.bodies import JsonBody
from workorder_async.wire.limits import Lane
from workorder_async.wire.reads import ListReads
from workorder_async.wire.session import SignedSession

QUERIES = [
    TicketQuery(),
    TicketQuery(created_start=7, created_end=9),
    TicketQuery(status=TicketStatus.PENDING, customer_organization_name='甲"\\', product_group_id=(3, 1), type=2),
    TicketQuery(creator_id=40084, created_end=5, sub_type=11, second_subtype=111),
]
ROWS = [{"id": number, "title": "工" * 40} for number in range(1, 21)]
DATA = {"pagination": {"total": 20}, "tickets": ROWS}


def body(**fields: object) -> bytes:
    """Return a page of the list as JSON, longer than what is opened first."""
    return orjson.dumps({"errno": 10000, "errmsg": "", "request_id": "r1", "data": DATA, **fields})


PAGE = http(body())


async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body that ends with the connection."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + body())
    await writer.drain()
    writer.close()


async def in_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body in chunks."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for piece in (body()[:500], body()[500:], b""):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()


@each("query", QUERIES)
@each(("start", "end"), [(None, None), (0, None), (None, 8), (1_672_502_400, 1_672_502_460)])
async def test_what_is_sent(query: TicketQuery, start: int | None, end: int | None) -> None:
    """The filters of the query, and the range and the page of the read, as they are sent for a request."""
    async with serving(PAGE) as wire, make_client(wire.url) as client:
        answer = await ListReads(client._session, query, Lane(2)).read(start, end, 3, 100)
        request = PageRequest(evolve(query, created_start=start, created_end=end), 3, 100)
        other_answer = await client._session.call(LIST_TICKETS, body=JsonBody(codec.encode_page_request(request)))
        (head, sent), (other_head, other) = (one.split(b"\r\n\r\n", 1) for one in wire.requests)
    assert orjson.loads(sent) == orjson.loads(other)
    assert head == other_head
    assert answer == other_answer


def read_page(session: SignedSession) -> Coroutine[Any, Any, Answer]:
    """Read a page as a walk does."""
    return ListReads(session, TicketQuery(), Lane(2)).read(None, None, 1, 20)


async def came_to(script: list[Handler | bytes], **options: Any) -> tuple[int, type[Answer | WorkorderError]]:
    """Read from a server with a script; return how many requests that took, and the outcome."""
    async with serving(*script) as wire, make_client(wire.url, **options) as client:
        outcome: Answer | WorkorderError
        try:
            outcome = await read_page(client._session)
        except WorkorderError as error:
            outcome = error
        stats = client.stats()
        assert (stats.in_flight, stats.waiting) == (0, 0)
        return len(wire.requests), type(outcome)


GZIP = gzip.compress(body())
# The answers, how many requests they take if one more is allowed, and the outcome.
ODD: dict[str, tuple[list[Handler | bytes], int, type[Answer | WorkorderError]]] = {
    "plain": ([PAGE], 1, Answer),
    "packed": ([http(GZIP, Content_Encoding="gzip")], 1, Answer),
    "badly packed": ([http(b"x" * 2000, Content_Encoding="gzip")], 2, NoAnswerError),
    "in chunks": ([in_chunks], 1, Answer),
    "until closed": ([until_closed], 1, Answer),
    "short": ([http('{"errno":10000,"data":{}}')], 1, Answer),
    "large": ([http(body(data=DATA | {"more": "x" * (3 << 20)}))], 1, Answer),
    "too large": ([http(body(data="x" * (5 << 20)))], 2, ResponseError),
    "errno as text": ([http(body(errno="10000"))], 1, Answer),
    "errno as a float": ([http(body(errno=10000.0))], 1, Answer),
    "another errno": ([http(body(errno=7, errmsg="不对"))], 1, ApiError),
    "a known errno": ([http(body(errno=23000))], 1, TicketStateError),
    "a throttling errno": ([http(body(errno=4290)), PAGE], 2, Answer),
    "errno of nothing": ([http(body(errno=None))], 1, DecodeError),
    "no request_id": ([http(body(request_id=None))], 1, Answer),
    "request_id as a number": ([http(body(request_id=5))], 1, Answer),
    "a list": ([http(b"[%b]" % body())], 2, ResponseError),
    "a lone surrogate": ([http(body(data="SURROGATE" * 200).replace(b"SURROGATE", rb"\ud800"))], 1, Answer),
    "broken JSON": ([http(body()[:-1])], 2, ResponseError),
    "a long page of HTML": ([http("<html>" * 1000)], 2, ResponseError),
    "a short page of HTML": ([http("<html>")], 2, ResponseError),
    "nothing": ([http("")], 2, ResponseError),
    "500": ([http(body(errno=5), "500 No")], 2, ResponseError),
    "502": ([http("<html>", "502 Bad")], 2, ResponseError),
    "503": ([http("", "503 Busy", Retry_After="0"), PAGE], 2, Answer),
    "404": ([http("<html>", "404 No")], 1, ResponseError),
    "401": ([http(body(errno=5), "401 No")], 1, AuthenticationError),
    "302": ([http("", "302 Found", Location="http://user:pass@elsewhere.example/")], 2, ResponseError),
    "301": ([http("", "301 Moved", Location="/")], 1, ResponseError),
    "201": ([http(body(), "201 Created")], 1, Answer),
    "429": ([http("", "429 Slow", Retry_After="0"), http("<html>" * 1000, "429 Slow"), PAGE], 3, Answer),
    "a clock that is refused": (
        [http(body(errno=7), Date=formatdate(NOW + 3600, usegmt=True)), PAGE],
        2,
        Answer,
    ),
    "dropped": ([drop, PAGE], 2, Answer),
    "dropped twice": ([drop], 2, NoAnswerError),
    "half": ([half(PAGE), PAGE], 2, Answer),
    "no HTTP": ([b"no HTTP at all\r\n\r\n", PAGE], 2, Answer),
    "hangs": ([hang, PAGE], 2, Answer),
    "stuck": ([stuck(PAGE)], 2, NoAnswerError),
}


@each("case", ODD)
@virtual_time
async def test_odd_answers(case: str) -> None:
    """Each odd answer is read, repeated or refused as it should be, and nothing is left behind."""
    script, requests, outcome = ODD[case]
    options = {
        "retry": RetryPolicy(attempts=2, first=0.001),
        "errnos": {4290: RateLimitedError},
        "max_body": 4 << 20,
        "attempt_timeout": 0.3,
    }
    assert await came_to(script, **options) == (requests, outcome)


@each("case", [case for case in ODD if case not in ("429", "a throttling errno")])
@virtual_time
async def test_nothing_is_sent_twice(case: str) -> None:
    """Where nothing may be repeated, there is one request, whatever comes back."""
    script = [ODD[case][0][0]]
    options = {"retry": RetryPolicy(attempts=1), "max_body": 4 << 20, "attempt_timeout": 0.2}
    requests, _ = await came_to(script, **options)
    assert requests == (2 if case == "a clock that is refused" else 1)


async def test_nothing_listens(unused_tcp_port: int) -> None:
    """A refused connection is NotSentError, after all its attempts."""
    async with make_client(f"http://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(NotSentError, match=r"list_tickets: could not send to .*Cannot connect") as caught:
            await read_page(client._session)
        assert caught.value.attempts == 4


class Wrong:
    """A signer that fails in one way or another."""

    def __init__(self, result: object) -> None:
        self.result = result

    def sign(self, request: object) -> Any:
        """Fail."""
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@each("result", [None, ConfigError("mine")])
async def test_signers_that_cannot_work(result: object) -> None:
    """A mistake of the caller's ends the call at once, the slot is free again, and nothing is sent."""
    async with serving(PAGE) as wire, make_client(wire.url, signer=Wrong(result)) as client:
        with pytest.raises(ConfigError) as caught:
            await read_page(client._session)
        assert (client.stats().in_flight, wire.requests) == (0, [])
    assert (caught.value.operation, caught.value.attempts) == ("list_tickets", 1)


@each("result", [KeyError("mine"), OSError("mine"), RecursionError("mine")])
async def test_signers_that_fail(result: object) -> None:
    """Whatever else a signer raises is `NotSentError` with that as its cause."""
    async with serving(PAGE) as wire, make_client(wire.url, signer=Wrong(result)) as client:
        with pytest.raises(NotSentError) as caught:
            await read_page(client._session)
        assert (client.stats().in_flight, wire.requests, caught.value.attempts) == (0, [], 4)
    assert caught.value.__cause__ is result


@virtual_time
async def test_deadlines() -> None:
    """A read ends at its deadline, in the wire or in the queue, and says where its time went."""
    async with serving(hang) as wire, make_client(wire.url, deadline=20, max_in_flight=1) as client:
        results = await asyncio.gather(*(read_page(client._session) for _ in range(2)), return_exceptions=True)
        assert len(wire.requests) == 1
    first, second = results
    assert isinstance(first, DeadlineExceededError)
    assert isinstance(second, DeadlineExceededError)
    assert first.spent["request"] == pytest.approx(20, abs=0.05)
    assert second.spent["queue"] == pytest.approx(20, abs=0.05)
    assert (first.attempts, second.attempts) == (1, 0)


async def test_an_answer_that_came_while_the_loop_was_blocked() -> None:
    """It lay in the socket when the time was up, and is read."""
    release = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(PAGE)

    once = RetryPolicy(attempts=1)
    async with serving(late) as wire, make_client(wire.url, attempt_timeout=0.3, retry=once) as client:
        reading = asyncio.ensure_future(read_page(client._session))
        await wire.arrived.wait()
        release.set()
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251 - this is the attack
        assert (await reading).data == DATA


async def test_a_pause_is_kept() -> None:
    """After a throttled answer the reads of a walk wait, as everybody does."""
    async with serving(http("", "429 Slow", Retry_After="30")) as wire, make_client(wire.url, deadline=5) as client:
        for _ in range(2):
            with pytest.raises(RateLimitedError, match="none may start for"):
                await read_page(client._session)
        assert len(wire.requests) == 1


async def test_a_throttled_answer_is_known_before_its_turn_is_given_away() -> None:
    """Who waits for the turn of a read that is turned away waits for the end of the pause, too."""
    async with serving(http("", "429 Slow", Retry_After="30")) as wire, make_client(wire.url) as client:
        reads = ListReads(client._session, TicketQuery(), Lane(1))
        tasks = [asyncio.ensure_future(reads.read(None, None, page, 20)) for page in range(1, 6)]
        while not client.stats().throttled:  # noqa: ASYNC110 - in the very turn of the loop
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert len(wire.requests) == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (client.stats().in_flight, client.stats().waiting) == (0, 0)


async def test_a_closed_client() -> None:
    """It says so at once, though no turn is free, and nothing is sent."""
    async with serving(PAGE) as wire, asyncio.timeout(10):
        client = make_client(wire.url, max_in_flight=1)
        await client._session.limiter.start(None, math.inf)
        await client.aclose()
        with pytest.raises(ConfigError, match="this client is closed"):
            await read_page(client._session)
        assert wire.requests == []


async def test_a_lane_is_kept() -> None:
    """No more are under way than the lane has room for."""
    answer = AtOnce(PAGE)
    async with serving(answer) as wire, make_client(wire.url) as client:
        reads = ListReads(client._session, TicketQuery(), Lane(3))
        await asyncio.gather(*(reads.read(None, None, page, 20) for page in range(1, 13)))
    assert answer.most == 3


@each("script", [[PAGE], [drop, PAGE], [http("", "429 Slow", Retry_After="0"), PAGE], [drop]])
async def test_observers_are_told_the_same(script: list[Handler | bytes]) -> None:
    """Whoever listens is told of a read of a walk as of any other."""

    async def told(read: Callable[[WorkorderClient], Awaitable[object]], wire: Wire) -> list[tuple[Any, ...]]:
        seen = Seen()
        async with make_client(wire.url) as client:
            observe(client, seen)
            with suppress(NoAnswerError):
                await read(client)
        check_pairs(seen)
        return seen.told()

    async with serving(*script) as wire, serving(*script) as other:
        assert await told(lambda client: read_page(client._session), wire) == await told(
            lambda client: client.list_tickets(page_size=20), other
        )


async def test_the_log_is_told_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """Where the log is switched on, each attempt stands in it."""
    caplog.set_level(logging.DEBUG, "workorder_async")
    async with serving(PAGE) as wire, make_client(wire.url) as client:
        await read_page(client._session)
    assert "list_tickets: attempt 1, 200 ok, r1" in caplog.text


async def test_over_the_sandbox() -> None:
    """The sandbox, which checks signatures, gives the pages of a range."""
    async with Sandbox(50) as sandbox, sandbox.client() as client:
        reads = ListReads(client._session, TicketQuery(), Lane(4))
        pages = await asyncio.gather(*(reads.read(None, None, page, 20) for page in (1, 2, 3)))
        ids = [identity for page in pages for identity in codec.read_rows(page)[2]]
        assert len(set(ids)) == len(ids) == 50
        first = codec.number_in(codec.read_rows(pages[2])[1][-1], "created_time")
        ranged = await reads.read(first, first, 1, 20)
        assert 0 < len(codec.read_rows(ranged)[1]) < 50


async def test_cancelled_reads_leave_nothing() -> None:
    """A read that is cancelled as it waits for its answer leaves its slot and its connection."""
    async with serving(hang, PAGE) as wire, make_client(wire.url, max_in_flight=1) as client:
        task = asyncio.ensure_future(read_page(client._session))
        await wire.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await read_page(client._session)).data == DATA
