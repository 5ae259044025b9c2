"""session.py against nervous servers and a careless host process: lost answers, floods of 429, bombs, blocked loops.

Over real sockets; where a clock decides, in virtual time.
"""

import asyncio
import gc
import gzip
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import pytest

from tests.support.clients import make_client
from tests.support.raw_server import Handler, half, hang, http, late, serving
from tests.support.rows import each
from tests.support.slow import slow_after
from tests.support.virtual_loop import running_loop, taking, virtual_time
from workorder_async import (
    CloseTicket,
    CommentTicket,
    CreateTicket,
    DeadlineExceededError,
    NoAnswerError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ResponseError,
    RetryPolicy,
    SigningInput,
    WorkorderClient,
)
from workorder_async.document.json_text import parse_slowly
from workorder_async.wire import session
from workorder_async.wire.limits import Lane

COMMENT = CommentTicket(id=1, detail="已处理")
CLOSE = CloseTicket(id=1, closer_id=2, closer_name="田金秀", solved_time=1660298580)
CREATION = CreateTicket(
    title="t", detail="d", reported_time=1, type=1, priority=1, customer_organization_id=1,
    customer_organization_name="n", repository_product_id=1, creator_id=1, creator_name="c",
)  # fmt: skip
TICKET = http('{"errno":10000,"data":{"id":1}}')
DONE = http('{"errno":10000,"data":{"id":5}}')
HTML = "<html>login</html>"


async def read(client: WorkorderClient) -> None:
    """Read a ticket."""
    await client.get_ticket(1)


async def comment(client: WorkorderClient) -> None:
    """Comment on a ticket."""
    await client.comment_ticket(COMMENT)


# Nothing happened needs proof


@each("status", ["500 No", "502 Bad", "503 Busy", "504 Late"])
@each("headers", [{}, {"Retry_After": "0"}])
@each("body", [HTML, '{"errno":50000,"errmsg":"x"}', '{"errno":"1"}', ""])
@each("mutation", [COMMENT, CREATION])
async def test_a_5xx_is_a_lost_answer(status: str, headers: dict[str, str], body: str, mutation: Any) -> None:
    """A mutation that is answered with a 5xx, whatever else it says, may have happened: it is not sent again."""
    async with serving(http(body, status, **headers), DONE) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.change(mutation)
        assert len(wire.requests) == caught.value.attempts == 1


@each("status", ["500 No", "503 Busy"])
async def test_a_close_looks_after_a_5xx(status: str) -> None:
    """A close that is answered with a 5xx is looked for before anything else is done."""
    closed = http('{"errno":10000,"data":{"id":1,"status":3}}')
    busy = http('{"errno":50000}', status, Retry_After="0")
    async with serving(busy, closed) as wire, make_client(wire.url) as client:
        # That it is closed may be somebody else's doing.
        with pytest.raises(OutcomeUnknownError):
            await client.change(CLOSE, patient=False)
        assert [request.split()[1].partition(b"?")[0].rsplit(b"/")[-1] for request in wire.requests] == [
            b"close_ticket",
            b"detail",
        ]


async def test_a_5xx_with_a_known_errno_is_no_answer() -> None:
    """An errno that the document or the user's table names proves nothing with a 5xx: the status is judged first."""
    async with serving(http('{"errno":23000}', "500 No")) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError, match="errno 23000"):
            await client.comment_ticket(COMMENT)
        assert len(wire.requests) == 1


# Throttled


@each(("headers", "paused"), [({}, 40.5), ({"Retry_After": "soon"}, 40.5), ({"Retry_After": "0"}, 25.4)])
@each("body", [HTML, '{"errno":5}', ""])
@each("call", [read, comment])
@virtual_time
async def test_throttled_answers_are_no_attempts(
    call: Callable[[WorkorderClient], Awaitable[None]], body: str, headers: dict[str, str], paused: float
) -> None:
    """However often a server says 429, with or without an envelope or a time, the call goes on until its deadline."""
    answers = [late(http(body, "429 Slow", **headers), 0.05)] * 9
    async with serving(*answers, TICKET) as wire, make_client(wire.url, retry=RetryPolicy(attempts=1)) as client:
        await call(client)
        stats = client.stats()
        assert len(wire.requests) == 10
        assert (stats.throttled, stats.in_flight, stats.waiting) == (9, 0, 0)
        assert stats.in_flight_limit < 32
        # Each pause is between a half and the whole of what doubles from 0.1 s to 15 s; answers and a pace take time.
        # Where the server asks for a pause of 0 s, what is asked at the very time of its answer begins none.
        assert paused / 2 <= running_loop().time() <= paused + 3


@each("call", [read, comment])
@each("answer", [half(http("slow down, please", "429 Slow")), http("plain", "429 Slow", Content_Encoding="gzip")])
@virtual_time
async def test_a_throttled_answer_of_which_the_rest_is_lost(
    answer: Handler | bytes, call: Callable[[WorkorderClient], Awaitable[None]]
) -> None:
    """Its status has said all: the request is made again after a pause, and nothing that it asked for is in doubt."""
    async with serving(answer, TICKET) as wire, make_client(wire.url, retry=RetryPolicy(attempts=1)) as client:
        await call(client)
        assert (client.stats().throttled, len(wire.requests)) == (1, 2)


@virtual_time
async def test_a_throttled_answer_is_known_before_its_slot_is_given_away() -> None:
    """Who waits for the slot of a request that is turned away waits for the end of the pause, too."""
    slow = http("", "429 Slow", Retry_After="30")
    async with serving(slow, TICKET) as wire, make_client(wire.url, max_in_flight=1) as client:
        calls = [asyncio.create_task(client.get_ticket(1)) for _ in range(5)]
        await asyncio.sleep(29.9)
        assert len(wire.requests) == 1
        await asyncio.gather(*calls)
        assert len(wire.requests) == 6


@virtual_time
async def test_throttled_answers_take_no_attempt_from_others() -> None:
    """A failure after throttled answers is repeated as often as the policy says."""
    slow, broken = http("", "429 Slow", Retry_After="20"), http("", "502 Bad")
    retry = RetryPolicy(attempts=2, first=0.001)
    async with serving(slow, slow, slow, broken, TICKET) as wire, make_client(wire.url, retry=retry) as client:
        # The second and the third event in a row pause of themselves as well, for less.
        async with taking(60, within=0.001):
            await client.get_ticket(1)
        assert len(wire.requests) == 5


@virtual_time
async def test_a_mapped_errno_throttles_as_well() -> None:
    """An errno that the user maps to RateLimitedError pauses all callers, as a 429 does."""
    errnos = {4290: RateLimitedError}
    async with serving(http('{"errno":4290}'), TICKET) as wire, make_client(wire.url, errnos=errnos) as client:
        await client.get_ticket(1)
        assert (client.stats().throttled, len(wire.requests)) == (1, 2)
        assert 0.05 <= running_loop().time() <= 0.1


@each("call", [read, comment])
@virtual_time
async def test_only_the_deadline_ends_it(call: Callable[[WorkorderClient], Awaitable[None]]) -> None:
    """A call that is throttled until its deadline says so, as soon as the next pause goes beyond; nothing happened."""
    async with serving(http("", "429 Slow")) as wire, make_client(wire.url) as client:
        with pytest.raises(RateLimitedError, match="the deadline of 90 s is before that") as caught:
            await call(client)
        assert caught.value.retry_after is not None
        assert 90 - 15 <= running_loop().time() <= 90 <= running_loop().time() + caught.value.retry_after
        assert 10 <= len(wire.requests) <= 20


@each("call", [read, comment])
@virtual_time
async def test_a_class_of_the_users_that_throttles(call: Callable[[WorkorderClient], Awaitable[None]]) -> None:
    """A call that is throttled until its deadline ends by the user's own class, whatever arguments that class needs."""

    class BusyError(RateLimitedError):
        def __init__(self, message: str, *, errno: int, **facts: Any) -> None:
            super().__init__(message, errno=errno, **facts)

    async with serving(http('{"errno":4290}')) as wire, make_client(wire.url, errnos={4290: BusyError}) as client:
        with pytest.raises(BusyError, match=r"the deadline of 90 s is before that \(errno 4290\)") as caught:
            await call(client)
        assert caught.value.errno == 4290


@each("call", [read, comment])
@virtual_time
async def test_the_deadline_finds_it_in_an_attempt(call: Callable[[WorkorderClient], Awaitable[None]]) -> None:
    """The deadline finds a call that was turned away before it is sent again: it says that it was turned away."""

    class Blocking:
        def sign(self, request: SigningInput) -> Mapping[str, str]:
            running_loop().let_pass(10 if wire.requests else 0)
            return {"Sign": "x"}

    slow = http('{"errno":5,"errmsg":"busy"}', "429 Slow", Retry_After="0")
    async with serving(slow) as wire, make_client(wire.url, signer=Blocking(), deadline=5) as client:
        with pytest.raises(RateLimitedError, match=r"turned it away until its deadline of 5 s \(.*busy"):
            await call(client)
        assert call is read or len(wire.requests) == 1


@each("status", ["429 Slow", "503 Busy"])
@virtual_time
async def test_an_eternal_retry_after(status: str) -> None:
    """A server that asks for 31 years gets five minutes at the most, and the call is told at once."""
    async with serving(http("", status, Retry_After="1000000000")) as wire, make_client(wire.url) as client, taking(0):
        with pytest.raises((RateLimitedError, ResponseError), match=r"300 s.*beyond the deadline|300 s more") as caught:
            await client.get_ticket(1)
        assert caught.value.retry_after == 300
        if status.startswith("429"):
            with pytest.raises(RateLimitedError, match="none may start for"):
                await client.get_ticket(1)
            assert len(wire.requests) == 1
    patient = http("", status, Retry_After="1000000000")
    async with serving(patient, TICKET) as wire, make_client(wire.url, longest_pause=60) as client, taking(60):
        await client.get_ticket(1)


# Strange pages to reads


@each("page", [http(HTML), http(""), http("{"), http("{}"), http("", "302 Found", Location="/login")])
async def test_a_strange_page_to_a_read_is_asked_again(page: bytes) -> None:
    """A proxy's login page, or whatever is not the platform's, costs a read one attempt."""
    async with serving(page, page, TICKET) as wire, make_client(wire.url) as client:
        assert (await client.get_ticket(1)).id == 1
        assert len(wire.requests) == 3


@each(
    ("encoding", "charset"),
    [
        ("gbk", "GBK"),
        ("gb18030", '"gb18030"'),
        ("gbk", "gb2312"),
        ("gbk", "CP936"),
        ("utf-8", "GBK"),
        ("utf-8", "punycode"),
    ],
)
@each("title", ["磁盘空间不足", "联通", "磁盘" * 1000])
async def test_a_server_that_writes_gbk(encoding: str, charset: str, title: str) -> None:
    """What is no UTF-8 is read in the charset that the header tells, where that is a Chinese one."""
    body = f'{{"errno":10000,"errmsg":"成功","data":{{"id":1,"title":"{title}"}}}}'.encode(encoding)
    answer = http(body, Content_Type=f"application/json; charset={charset}")
    async with serving(answer) as wire, make_client(wire.url) as client:
        assert (await client.get_ticket(1)).title == title


# Connecting


async def test_connecting_has_a_limit_of_its_own() -> None:
    """A host that accepts and never speaks TLS costs the limit of connecting, not the deadline; nothing was sent."""
    closing: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closing.append(writer)
        await reader.read()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with make_client(url, connect_timeout=0.1, retry=RetryPolicy(attempts=2, first=0.001)) as client:
        for call in (read, comment):
            with pytest.raises(NotSentError, match=r"Connection timeout"):
                await asyncio.wait_for(call(client), 5)
    server.close()
    for writer in closing:
        writer.close()


# What has arrived is read


@each("limit", ["attempt_timeout", "deadline"])
async def test_an_answer_that_came_while_the_loop_was_blocked(limit: str) -> None:
    """Something blocks the loop for longer than an attempt may take; the answer lay in the socket, and is read."""
    async with serving(DONE) as wire, make_client(wire.url, **{limit: 0.3}) as client:
        await client.comment_ticket(COMMENT)
        calls = [asyncio.create_task(client.comment_ticket(COMMENT)) for _ in range(5)]
        # The requests are written, and in the next turn of the loop nobody can read.
        while len(wire.requests) < 6:  # noqa: ASYNC110 - in the very turn of the loop
            await asyncio.sleep(0)
        time.sleep(0.4)  # noqa: ASYNC251 - this is the attack
        await asyncio.gather(*calls)
        assert len(wire.requests) == 6


async def test_a_large_answer_that_came_while_the_loop_was_blocked() -> None:
    """The same for an answer that takes many turns of the loop to be read."""
    title = "工" * 500_000
    large = http('{"errno":10000,"data":{"id":1,"title":"' + title + '"}}')
    async with serving(large) as wire, make_client(wire.url, attempt_timeout=0.3) as client:
        reading = asyncio.create_task(client.get_ticket(1))
        await wire.arrived.wait()
        await asyncio.sleep(0)
        time.sleep(0.4)  # noqa: ASYNC251 - this is the attack
        assert (await reading).title == title
        assert len(wire.requests) == 1


STOPPED = """
import asyncio, os, sys
from workorder_async import CommentTicket, SchemeSigner, WorkorderClient

async def main():
    signer = SchemeSigner("a", "b", "md5:{secret}")
    async with WorkorderClient(sys.argv[1], signer=signer, attempt_timeout=0.4) as client:
        await client.comment_ticket(CommentTicket(id=1, detail="x"))
        print("told", flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_an_answer_that_came_while_the_process_was_stopped() -> None:
    """A process that is stopped (Ctrl-Z, a laptop that sleeps) reads the answer when it goes on."""
    stopped = asyncio.Event()

    async def stop_then_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        os.kill(child.pid, signal.SIGSTOP)
        writer.write(DONE)
        await writer.drain()
        stopped.set()

    async with serving(stop_then_answer) as wire:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            STOPPED,
            wire.url,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        await stopped.wait()
        await asyncio.sleep(0.7)
        child.send_signal(signal.SIGCONT)
        out, _ = await child.communicate()
    assert (child.returncode, out) == (0, b"told\n")
    assert len(wire.requests) == 1


@virtual_time
async def test_an_answer_that_drips_is_not_waited_for_without_end() -> None:
    """A body of one byte now and then ends with the attempt."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(TICKET[:-20])
        for byte in TICKET[-20:]:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(7)

    # When the time is up, it looks four times more, since bytes came in.
    async with serving(drip) as wire, make_client(wire.url, retry=RetryPolicy(attempts=1)) as client, taking(30.04):
        with pytest.raises(NoAnswerError, match=r"not within 30 s"):
            await client.get_ticket(1)


# Bombs


def packed(size: int) -> bytes:
    """Return a gzip body that unpacks to so many blanks, and is cut off before its checksum."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first, second = (packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + second * ((size >> 20) - 1)


class Lag:
    """How long the loop was held up at the most, inside `async with`, in time of this process: others may be busy."""

    worst = 0.0
    _is_over = False

    async def _watch(self) -> None:
        while not self._is_over:
            before = time.process_time()
            await asyncio.sleep(0.001)
            self.worst = max(self.worst, time.process_time() - before)

    async def __aenter__(self) -> "Lag":
        gc.collect()
        gc.freeze()  # a look through what other tests have left takes long, too
        self._task = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await self._task


@each("call", [read, comment])
async def test_a_bomb(call: Callable[[WorkorderClient], Awaitable[None]]) -> None:
    """A small body that unpacks to a gigabyte is given up after what is allowed, and the loop goes on meanwhile."""
    bomb = http(packed(1 << 30), Content_Encoding="gzip")
    async with serving(bomb) as wire, make_client(wire.url, max_body=8 << 20, retry=RetryPolicy(attempts=1)) as client:
        async with Lag() as lag:
            with pytest.raises((ResponseError, OutcomeUnknownError), match=r"more than 8,388,608 bytes \(max_body\)"):
                await call(client)
        assert lag.worst < 0.5
        await asyncio.sleep(0)
        assert len(wire.requests) == 1


async def test_a_body_that_says_it_is_too_large() -> None:
    """A Content-Length beyond what is allowed is not even read."""

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with serving(endless) as wire, make_client(wire.url, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(ResponseError, match="more than 67,108,864 bytes"):
            await asyncio.wait_for(client.get_ticket(1), 5)


async def test_an_endless_body() -> None:
    """A body without an end is given up after what is allowed."""

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    once = RetryPolicy(attempts=1)
    async with serving(endless) as wire, make_client(wire.url, max_body=1 << 20, retry=once) as client:
        with pytest.raises(ResponseError, match="more than 1,048,576 bytes"):
            await asyncio.wait_for(client.get_ticket(1), 5)


@each("header", [b"X: " + b"y" * 100_000, b"\r\n".join(b"X-%d: y" % n for n in range(5000))])
async def test_endless_headers(header: bytes) -> None:
    """A header that is very long, or thousands of them, end the attempt."""
    answer = b"HTTP/1.1 200 OK\r\n" + header + b"\r\nContent-Length: 2\r\n\r\n{}"
    async with serving(answer) as wire, make_client(wire.url, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(NoAnswerError):
            await asyncio.wait_for(client.get_ticket(1), 5)
        with pytest.raises(OutcomeUnknownError):
            await client.comment_ticket(COMMENT)


@each("body", ["[" * 200_000, '{"errno":' * 300_000])
async def test_depth(body: str) -> None:
    """A body that is nested without end is no answer."""
    async with serving(http(body)) as wire, make_client(wire.url, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(ResponseError, match="broken JSON"):
            await client.get_ticket(1)


@pytest.mark.slow
async def test_a_large_page_does_not_hold_up_the_loop() -> None:
    """A page of more than 20 MB, packed, is read whole; the loop goes on meanwhile."""
    row = {"id": 1, "title": "云服务器无法登录", "detail": "客户反馈实例无法远程登录。" * 12, "status": "2"}
    rows = [{**row, "id": number} for number in range(1, 40_001)]
    body = orjson.dumps({"errno": 10000, "data": {"pagination": {"total": 40_000}, "tickets": rows}})
    assert 20 << 20 < len(body) < 64 << 20
    async with serving(http(gzip.compress(body, 1), Content_Encoding="gzip")) as wire, make_client(wire.url) as client:
        began = time.process_time()
        async with Lag() as lag:
            page = await client.list_tickets(page_size=100)
        assert [ticket.id for ticket in page.tickets] == list(range(1, 40_001))
        # Parsed in one piece, it would be most of that time.
        assert lag.worst < (time.process_time() - began) / 4


async def test_a_large_answer_is_parsed_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of more than 2 MiB is parsed and decoded in another thread."""
    threads = []

    def parse(body: bytes) -> object:
        threads.append(threading.current_thread())
        return parse_slowly(body)

    monkeypatch.setattr(session, "parse_slowly", parse)
    title = "工" * 1_000_000
    large = http('{"errno":10000,"data":{"id":1,"title":"' + title + '"}}')
    async with serving(large) as wire, make_client(wire.url) as client:
        assert (await client.get_ticket(1)).title == title
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


@pytest.mark.parametrize(
    ("call", "error"), slow_after(1, [(read, DeadlineExceededError), (comment, OutcomeUnknownError)])
)
async def test_a_large_answer_that_takes_long_to_be_parsed(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[WorkorderClient], Awaitable[None]], error: type[Exception]
) -> None:
    """Tens of MB of brackets take many seconds; the deadline holds, and leaves the thread to itself."""
    given_up = threading.Event()
    monkeypatch.setattr(session, "_PARSING", 0.2)

    def parse(body: bytes) -> object:
        given_up.wait(20)
        return parse_slowly(body)

    monkeypatch.setattr(session, "parse_slowly", parse)
    large = http('{"errno":10000,"data":{"id":1,"x":"' + "x" * (2 << 20) + '"}}')
    async with serving(large) as wire, make_client(wire.url, deadline=0.2) as client:
        began = time.perf_counter()
        with pytest.raises(error):
            await call(client)
        assert time.perf_counter() - began < 5
        given_up.set()
        assert len(wire.requests) == 1


@pytest.mark.parametrize(
    "size", slow_after(1, [3 << 20, 9 << 20]), ids=["to be parsed beside the loop", "more than is read"]
)
@pytest.mark.parametrize("call", [read, comment])
@virtual_time
async def test_a_large_page_that_throttles(call: Callable[[WorkorderClient], Awaitable[None]], size: int) -> None:
    """A 429 with a page of any size pauses all callers: it is not asked again and again until the deadline."""
    page = http("<html>" + "x" * size, "429 Slow")
    async with serving(page) as wire, make_client(wire.url, deadline=1, max_body=8 << 20) as client:
        with pytest.raises(RateLimitedError):
            await call(client)
        assert client.stats().throttled == len(wire.requests)
        assert 4 <= len(wire.requests) <= 5


@each(("status", "told"), [("429 Slow", [1]), ("401 No", [])])
async def test_a_large_page_that_turns_a_mutation_away_is_told(status: str, told: list[int]) -> None:
    """Who waits to hear that nothing happened hears it of a 429, however large the page is; of no other page."""
    turned_away: list[int] = []
    page = http("<html>" + "x" * (9 << 20), status, Retry_After="100")
    async with serving(page) as wire, make_client(wire.url, max_body=8 << 20) as client:
        with pytest.raises((RateLimitedError, OutcomeUnknownError)):
            await client.change(COMMENT, on_turned_away=lambda: turned_away.append(1))
    assert turned_away == told


# Lanes


@each("most", [8, 32])
@virtual_time
async def test_a_person_does_not_wait_behind_walks_and_batches(most: int) -> None:
    """A call amid 32 requests of a walk and a batch is served within two of its latencies, and those go on."""
    latency, ended = 2.0, 0

    async with serving(late(TICKET, latency)) as wire, make_client(wire.url, max_in_flight=most) as client:
        lanes, loop = [Lane(16), Lane(16)], running_loop()

        async def go_on(number: int) -> None:
            nonlocal ended
            while True:
                await client.change(CommentTicket(id=1, detail=f"{number}"), lane=lanes[number % 2])
                ended += 1

        bulk = [asyncio.create_task(go_on(number)) for number in range(32)]
        waits = []
        for number in range(9):
            # Somewhere between two answers.
            await asyncio.sleep(latency * (0.1 + number / 10))
            started = loop.time()
            await client.get_ticket(1)
            waits.append(loop.time() - started)
        rounds = loop.time() // latency
        for task in bulk:
            task.cancel()
        await asyncio.gather(*bulk, return_exceptions=True)
        # Of 32 slots two are kept for people; of 8 none is, and the next one that comes free is theirs.
        assert max(waits) <= (latency if most == 32 else 2 * latency) + 1e-6
        assert ended >= (rounds - 1) * (most - 2)
        assert client.stats().in_flight == 0


@virtual_time
async def test_deadline_of_a_throttled_read_says_where_the_time_went() -> None:
    """A read that is served too late, after a pause, ends at its deadline."""
    answers: list[Handler | bytes] = [http("", "429 Slow", Retry_After="8"), hang]
    async with serving(*answers) as wire, make_client(wire.url, deadline=20) as client, taking(20.03):
        with pytest.raises(DeadlineExceededError) as caught:
            await client.get_ticket(1)
        assert caught.value.spent == {"queue": 8, "request": pytest.approx(12.03), "sleep": 0}
        assert len(wire.requests) == 2
