"""observing.py, over real sockets: what the log says, what no event holds, and what is an observer."""

import asyncio
import logging
from typing import Any

import pytest

from tests.support.clients import make_client
from tests.support.observed import Seen, observe
from tests.support.raw_server import http, serving
from workorder_async import ApiError, CommentTicket, ConfigError, SchemeSigner
from workorder_async.document.endpoints import GET_TICKET
from workorder_async.wire.observing import AttemptEnded, AttemptStarted, CallEnded, CallStarted, Observer
from workorder_async.wire.options import client_options
from workorder_async.wire.session import SignedSession

TICKET = http('{"errno":10000,"data":{"id":1},"request_id":"r1"}')
BROKEN = http("<html>", "502 Bad")
COMMENT = CommentTicket(id=1, detail="private words")


async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close without an answer."""
    writer.close()


async def test_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Each answer is a line of DEBUG and each repetition one of INFO, with the facts as attributes of the record."""
    caplog.set_level(logging.DEBUG, "workorder_async")
    async with serving(BROKEN, drop, TICKET) as wire, make_client(wire.url) as client:
        await client.get_ticket(1)
    records = [record for record in caplog.records if record.name == "workorder_async"]
    lines = [(record.levelname, record.getMessage().rpartition(", " if record.levelno == logging.DEBUG else " in ")[0])
             for record in records]  # fmt: skip
    assert lines == [
        ("DEBUG", "get_ticket: attempt 1, 502 ResponseError, "),
        ("INFO", "get_ticket: ResponseError; attempt 2"),
        ("INFO", "get_ticket: NoAnswerError; attempt 3"),
        ("DEBUG", "get_ticket: attempt 3, 200 ok, r1"),
    ]
    facts = {name: value for name, value in vars(records[-1]).items() if name.startswith("workorder_")}
    assert 0 < facts.pop("workorder_seconds") < 5
    assert facts == {
        "workorder_call_id": 1,
        "workorder_operation": "get_ticket",
        "workorder_attempt": 3,
        "workorder_status": 200,
        "workorder_errno": 10000,
        "workorder_request_id": "r1",
        "workorder_sent": True,
        "workorder_error": None,
        "workorder_wait": None,
    }


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


def test_options() -> None:
    """Observers are kept as they were given; what is none is refused by name."""
    seen = Seen()
    given: list[Observer] = [seen]
    options = client_options(observers=given)
    given.clear()
    assert list(options["observers"]) == [seen]
    mistakes: list[tuple[Any, str]] = [
        (seen, "observers is a Seen; it must be a list"),
        ([seen, None], "observers has a NoneType; each must have a method on_event"),
        ("x", "observers has a str; each must have a method on_event"),
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
