"""observing.py: what is told of each way that a call can go, and to whom."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

import pytest

from tests.support.clients import NOW, make_client
from tests.support.observed import Seen, check_pairs, failing_log, observe
from tests.support.raw_server import Handler, drop, hang, http, late, serving
from tests.support.rows import each
from tests.support.virtual_loop import virtual_time
from workorder_async import (
    ApiError,
    CloseTicket,
    CommentTicket,
    ConfigError,
    OutcomeUnknownError,
    RetryPolicy,
    SchemeSigner,
    WorkorderClient,
)
from workorder_async.document.endpoints import GET_TICKET
from workorder_async.wire import observing
from workorder_async.wire.observing import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    Observer,
    Seconds,
)
from workorder_async.wire.options import client_options
from workorder_async.wire.session import SignedSession

TICKET = http('{"errno":10000,"data":{"id":1},"request_id":"r1"}')
BROKEN = http("<html>", "502 Bad")
FAILED = http('{"errno":70009,"errmsg":"系统异常"}', "500 Error")
COMMENT = CommentTicket(id=1, detail="private words")


async def test_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Each attempt is a line of DEBUG and each repetition one of INFO, with the facts as attributes of the record."""
    caplog.set_level(logging.DEBUG, "workorder_async")
    slow = http('{"errno":7}', "429 Slow")
    async with serving(BROKEN, drop, slow, FAILED, TICKET) as wire, make_client(wire.url) as client:
        await client.get_ticket(1)
    records = [record for record in caplog.records if record.name == "workorder_async"]
    lines = [(record.levelname, record.getMessage().rpartition(", " if record.levelno == logging.DEBUG else " in ")[0])
             for record in records]  # fmt: skip
    assert lines == [
        ("DEBUG", "get_ticket: attempt 1, 502 ResponseError, "),
        ("INFO", "get_ticket: ResponseError; attempt 2"),
        ("DEBUG", "get_ticket: attempt 2, no answer: NoAnswerError, "),
        ("INFO", "get_ticket: NoAnswerError; attempt 3"),
        ("DEBUG", "get_ticket: attempt 3, 429 RateLimitedError 7, "),
        ("INFO", "get_ticket: RateLimitedError 7; attempt 4"),
        ("DEBUG", "get_ticket: attempt 4, 500 ResponseError 70009, "),
        ("INFO", "get_ticket: ResponseError 70009; attempt 5"),
        ("DEBUG", "get_ticket: attempt 5, 200 ok, r1"),
    ]
    facts = {name: value for name, value in vars(records[-1]).items() if name.startswith("workorder_")}
    assert 0 < facts.pop("workorder_seconds") < 5
    assert facts == {
        "workorder_call_id": 1,
        "workorder_operation": "get_ticket",
        "workorder_attempt": 5,
        "workorder_status": 200,
        "workorder_errno": 10000,
        "workorder_request_id": "r1",
        "workorder_sent": True,
        "workorder_error": None,
        "workorder_wait": None,
    }


async def test_the_log_of_a_lost_mutation(caplog: pytest.LogCaptureFixture) -> None:
    """The attempt that matters most, whose answer was lost and which is not repeated, is in the log as well."""
    caplog.set_level(logging.DEBUG, "workorder_async")
    async with serving(drop) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.comment_ticket(COMMENT)
    (record,) = [record for record in caplog.records if record.name == "workorder_async"]
    assert record.getMessage().startswith("comment_ticket: attempt 1, no answer: ")


async def test_nothing_private() -> None:
    """No event holds the signature, the secret, the host, or a text of a ticket."""
    seen = Seen()
    refusal = http('{"errno":7,"errmsg":"private words","request_id":"r7"}')
    async with serving(refusal) as wire, make_client(wire.url) as client:
        observe(client, seen)
        with pytest.raises(ApiError):
            await client.comment_ticket(COMMENT)
        sign = wire.requests[0].split(b"Sign: ")[1][:32].decode()
    told = repr(seen.events)
    assert not [text for text in (sign, "demo-secret", "private words", "127.0.0.1") if text in told]


class Late(Seen):
    """An observer that nobody would await."""

    async def on_event(self, event: Event) -> None:  # type: ignore[override]
        """Never begin."""


def test_options() -> None:
    """Observers are kept as they were given; what is none is refused by name."""
    seen = Seen()
    given: list[Observer] = [seen]
    options = client_options(observers=given)
    given.clear()
    assert list(options["observers"]) == [seen]
    mistakes: list[tuple[Any, str]] = [
        (seen, "observers is a Seen; it must be a list"),
        ([seen, None], "observers has a NoneType; each must have a method on_event, no `async def`"),
        ([Seen], "observers has the class Seen; each must be an object of it"),
        ([seen, Late()], "observers has a Late; each must have a method on_event, no `async def`"),
        ("x", "observers has a str; each must have a method on_event, no `async def`"),
    ]
    for wrong, what in mistakes:
        with pytest.raises(ConfigError, match=what):
            client_options(observers=wrong)


async def test_observers_of_the_options_are_told() -> None:
    """A session tells those that its options name."""
    seen = Seen()
    async with serving(TICKET) as wire:
        signer = SchemeSigner("a", "b", "md5:{secret}")
        session = SignedSession(wire.url, signer, client_options(observers=[seen]))
        await session.call(GET_TICKET, query=(("id", "1"),))
        await session.aclose()
    assert [type(event) for event in seen.events] == [CallStarted, AttemptStarted, AttemptEnded, CallEnded]


CLOSED = http('{"errno":10000,"data":{"id":1,"status":3},"request_id":"r2"}')
DONE = http('{"errno":10000,"data":{},"request_id":"r3"}')
THROTTLED = http('{"errno":7,"request_id":"r4"}', "429 Slow")
BUSY = http("", "503 Busy", Retry_After="7")
CLOSE = CloseTicket(id=1, closer_id=2, closer_name="田金秀", solved_time=1660298580)


class NoHeaders:
    """A signer that returns nothing."""

    def sign(self, request: object) -> None:
        """Sign nothing."""


Use = Callable[[WorkorderClient], Awaitable[object]]


def read(client: WorkorderClient) -> Awaitable[object]:
    """Read a ticket."""
    return client.get_ticket(1)


def comment(client: WorkorderClient) -> Awaitable[object]:
    """Comment on a ticket."""
    return client.comment_ticket(COMMENT)


WAYS: dict[str, tuple[Use, list[Handler | bytes], dict[str, Any], list[tuple[Any, ...]]]] = {
    "answered": (
        read,
        [TICKET],
        {},
        [("attempt", 1), ("attempt ended", 1, 200, 10000, True, None), ("call ended", 1, 200, 10000, True, None)],
    ),
    "repeated": (
        read,
        [BROKEN, drop, TICKET],
        {},
        [
            ("attempt", 1),
            ("attempt ended", 1, 502, None, True, "ResponseError"),
            ("attempt", 2),
            ("attempt ended", 2, None, None, True, "NoAnswerError"),
            ("attempt", 3),
            ("attempt ended", 3, 200, 10000, True, None),
            ("call ended", 3, 200, 10000, True, None),
        ],
    ),
    "throttled": (
        comment,
        [THROTTLED, DONE],
        {},
        [
            ("attempt", 1),
            ("attempt ended", 1, 429, 7, True, "RateLimitedError"),
            ("attempt", 2),
            ("attempt ended", 2, 200, 10000, True, None),
            ("call ended", 2, 200, 10000, True, None),
        ],
    ),
    "throttled until the deadline": (
        comment,
        [http("", "429 Slow", Retry_After="60")],
        {"deadline": 50},
        [
            ("attempt", 1),
            ("attempt ended", 1, 429, 0, True, "RateLimitedError"),
            ("call ended", 1, 429, 0, True, "RateLimitedError"),
        ],
    ),
    "lost": (
        comment,
        [drop],
        {},
        [
            ("attempt", 1),
            ("attempt ended", 1, None, None, True, "NoAnswerError"),
            ("call ended", 1, None, None, True, "OutcomeUnknownError"),
        ],
    ),
    "refused before anything was sent": (
        comment,
        [DONE],
        {"signer": NoHeaders()},
        [
            ("attempt", 1),
            ("attempt ended", 1, None, None, False, "ConfigError"),
            ("call ended", 1, None, None, False, "ConfigError"),
        ],
    ),
    "out of time": (
        read,
        [hang],
        {"deadline": 20},
        [
            ("attempt", 1),
            ("attempt ended", 1, None, None, True, "DeadlineExceededError"),
            ("call ended", 1, None, None, True, "DeadlineExceededError"),
        ],
    ),
    "an attempt out of time": (
        read,
        [hang],
        {"attempt_timeout": 20, "retry": RetryPolicy(attempts=1)},
        [
            ("attempt", 1),
            ("attempt ended", 1, None, None, True, "NoAnswerError"),
            ("call ended", 1, None, None, True, "NoAnswerError"),
        ],
    ),
}


@each("way", WAYS)
@virtual_time
async def test_ways_of_a_call(way: str) -> None:
    """Each way that a call can go is told from its start to its end, attempt by attempt."""
    use, answers, options, expected = WAYS[way]
    seen = Seen()
    async with serving(*answers) as wire, make_client(wire.url, **options) as client:
        observe(client, seen)
        await asyncio.gather(use(client), return_exceptions=True)
    assert [told[1:] for told in seen.told()][1:] == expected
    check_pairs(seen)


@virtual_time
async def test_nothing_listens(unused_tcp_port: int) -> None:
    """Attempts that reached nobody have sent nothing, and are told with the wait for the next one."""
    seen = Seen()
    async with make_client(f"http://127.0.0.1:{unused_tcp_port}", retry=RetryPolicy(attempts=3)) as client:
        observe(client, seen)
        for use in (read, comment):
            await asyncio.gather(use(client), return_exceptions=True)
    check_pairs(seen)
    ends = [event for event in seen.events if isinstance(event, AttemptEnded)]
    assert [(end.sent, end.error) for end in ends] == [(False, "NotSentError")] * 6
    assert [end.wait is None for end in ends] == [False, False, True] * 2
    assert not any(event.sent for event in seen.events if isinstance(event, CallEnded))


@each("where", ["queue", "attempt", "sleep"])
@virtual_time
async def test_cancelled(where: str) -> None:
    """A call that is cancelled has an end like any other, and so has its attempt."""
    awaited = {"queue": CallStarted, "attempt": AttemptStarted, "sleep": AttemptEnded}[where]
    seen = Seen(awaited)
    answer: Handler | bytes = http("<html>", "502 Bad", Retry_After="30") if where == "sleep" else hang
    async with serving(answer) as wire, make_client(wire.url, max_in_flight=1) as client:
        others = [asyncio.create_task(client.get_ticket(2))] if where == "queue" else []
        if others:
            await wire.arrived.wait()
        observe(client, seen)
        call = asyncio.create_task(client.get_ticket(1))
        await seen.reached.wait()
        # Else a connection might reach the server when the test is over.
        await wire.arrived.wait()
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    check_pairs(seen)
    attempts = {"queue": 0, "attempt": 1, "sleep": 1}[where]
    *_, last = seen.events
    assert isinstance(last, CallEnded)
    assert (last.attempts, last.error) == (attempts, "CancelledError")
    ended = [event.error for event in seen.events if isinstance(event, AttemptEnded)]
    assert ended == {"queue": [], "attempt": ["CancelledError"], "sleep": ["ResponseError"]}[where]


@virtual_time
async def test_out_of_time_in_the_queue() -> None:
    """A call that never had a turn ends without an attempt, and its time is that of the queue."""
    seen = Seen()
    async with serving(hang) as wire, make_client(wire.url, max_in_flight=1) as client:
        first = asyncio.create_task(client.get_ticket(2))
        await wire.arrived.wait()
        observe(client, seen)
        await asyncio.gather(client.comment_ticket(COMMENT, deadline=20), return_exceptions=True)
        first.cancel()
        await asyncio.wait([first])
    started, ended = seen.events
    assert isinstance(started, CallStarted)
    assert isinstance(ended, CallEnded)
    assert (ended.attempts, ended.sent, ended.error) == (0, False, "NotSentError")
    assert ended.seconds == Seconds(queue=20)


@virtual_time
async def test_a_mutation_that_is_settled() -> None:
    """Its request and the read that settles it are two calls, one after the other."""
    seen = Seen()
    async with serving(drop, CLOSED) as wire, make_client(wire.url) as client:
        observe(client, seen)
        with pytest.raises(OutcomeUnknownError):
            await client.change(CLOSE, patient=False)
    assert seen.told() == [
        (1, "call", "close_ticket"),
        (1, "attempt", 1),
        (1, "attempt ended", 1, None, None, True, "NoAnswerError"),
        (1, "call ended", 1, None, None, True, "OutcomeUnknownError"),
        (2, "call", "get_ticket_detail"),
        (2, "attempt", 1),
        (2, "attempt ended", 1, 200, 10000, True, None),
        (2, "call ended", 1, 200, 10000, True, None),
    ]
    check_pairs(seen)


@virtual_time
async def test_a_read_that_asks_for_the_clock() -> None:
    """The read that finds out which clock is accepted is a call of its own, within the one that it is made for."""
    seen = Seen()
    refusal = http('{"errno":7}', Date=formatdate(NOW + 3600, usegmt=True))
    async with serving(refusal, refusal, DONE) as wire, make_client(wire.url) as client:
        observe(client, seen)
        with pytest.raises(ApiError):
            await client.comment_ticket(COMMENT)
    assert [told[:3] for told in seen.told()] == [
        (1, "call", "comment_ticket"),
        (1, "attempt", 1),
        (2, "call", "list_tickets"),
        (2, "attempt", 1),
        (2, "attempt ended", 1),
        (2, "attempt", 2),
        (2, "attempt ended", 2),
        (2, "call ended", 2),
        (1, "attempt ended", 1),
        (1, "call ended", 1),
    ]
    check_pairs(seen)


@virtual_time
async def test_waits_and_request_ids() -> None:
    """An attempt is told with the wait until the next one, after a throttled answer with the client's pause."""
    seen = Seen()
    throttled, slow = late(http('{"errno":7,"request_id":"r4"}', "429 Slow", Retry_After="40"), 0.5), late(BUSY, 3)
    async with serving(throttled, slow, TICKET) as wire, make_client(wire.url) as client:
        observe(client, seen)
        await client.get_ticket(1)
    ends = [event for event in seen.events if isinstance(event, AttemptEnded)]
    assert [end.wait for end in ends] == [40, 7, None]
    assert [end.request_id for end in ends] == ["r4", "", "r1"]
    waits = [Seconds(request=0.5), Seconds(queue=40, request=3), Seconds(sleep=7)]
    assert [end.seconds for end in ends] == waits
    *_, last = seen.events
    assert isinstance(last, CallEnded)
    assert last.request_id == "r1"
    assert last.seconds == Seconds(queue=40, request=3.5, sleep=7)


@virtual_time
async def test_many_calls_at_once() -> None:
    """Each call has a number of its own."""
    seen = Seen()
    async with serving(TICKET) as wire, make_client(wire.url, max_in_flight=3) as client:
        observe(client, seen)
        await asyncio.gather(*(client.get_ticket(1) for _ in range(20)))
    assert sum(isinstance(event, CallStarted) for event in seen.events) == 20
    assert {event.call_id for event in seen.events} == set(range(1, 21))
    check_pairs(seen)


async def test_a_closed_client_starts_no_call() -> None:
    """A call that is refused before it begins is no call, also to observers."""
    seen = Seen()
    client = make_client()
    observe(client, seen)
    await client.aclose()
    with pytest.raises(ConfigError):
        await client.get_ticket(1)
    assert seen.events == []


async def test_an_observer_that_returns_a_coroutine(caplog: pytest.LogCaptureFixture) -> None:
    """It is reported as one that fails, and its coroutine is closed."""

    class Late:
        def on_event(self, event: Event) -> Any:
            return asyncio.sleep(0)

    async with serving(TICKET) as wire, make_client(wire.url) as client:
        observe(client, Late())
        assert (await client.get_ticket(1)).id == 1
    assert "the observer Late failed" in caplog.text
    assert "on_event is an `async def`, which is not awaited" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
async def test_an_observer_that_raises(caplog: pytest.LogCaptureFixture, error: type[BaseException]) -> None:
    """It is reported once, hurts neither the call nor the other observers, and is told of what follows.

    It may ask a future that was cancelled for its result: that cancels nobody's call, and costs no slot.
    """

    class Broken:
        count = 0

        def on_event(self, event: Event) -> None:
            self.count += 1
            raise error("a full disk")

    broken, seen = Broken(), Seen()
    async with serving(drop, TICKET) as wire, make_client(wire.url) as client:
        observe(client, broken, seen)
        assert (await client.get_ticket(1)).id == 1
        assert (await client.get_ticket(1)).id == 1
        assert client.stats().in_flight == 0
    check_pairs(seen)
    assert broken.count == len(seen.events)
    reports = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in reports] == [
        "the observer Broken failed; the calls go on, and further failures of it are not reported"
    ]
    assert "a full disk" in caplog.text


@each("level", [logging.DEBUG, logging.WARNING])
async def test_a_log_that_fails(level: int) -> None:
    """It hides no outcome, neither what a call's own lines nor the report of an observer would have said."""

    class Broken:
        def on_event(self, event: Event) -> None:
            raise RuntimeError("a full disk")

    with failing_log(level):
        async with serving(TICKET, BROKEN) as wire, make_client(wire.url, observers=[Broken()]) as client:
            await client.comment_ticket(COMMENT)
            with pytest.raises(OutcomeUnknownError):
                await client.comment_ticket(COMMENT)
        assert len(wire.requests) == 2


async def test_nobody_observes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Without an observer, and with the log switched off, no event is made."""
    made: list[object] = []

    def note(*given: object, **named: object) -> CallStarted:
        made.append(named)
        return CallStarted(call_id=0, operation="")

    for kind in ("CallStarted", "AttemptStarted", "AttemptEnded", "CallEnded"):
        monkeypatch.setattr(observing, kind, note)
    caplog.set_level(logging.WARNING, "workorder_async")
    async with serving(TICKET) as wire, make_client(wire.url) as client:
        await client.get_ticket(1)
        assert made == []
        caplog.set_level(logging.INFO, "workorder_async")
        await client.get_ticket(1)
        assert len(made) == 4
