"""An observer that keeps what it is told, and a log that fails."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from workorder_async import WorkorderClient
from workorder_async.wire.observing import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    Observer,
    Seconds,
    Watches,
)


class Seen:
    """Keeps every event; `reached` is set at the first one of a kind."""

    def __init__(self, awaited: type[Event] | None = None) -> None:
        self.events: list[Event] = []
        self.reached = asyncio.Event()
        self._awaited = awaited

    def on_event(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)
        if type(event) is self._awaited:
            self.reached.set()

    def of(self, call_id: int) -> list[Event]:
        """Return the events of one call."""
        return [event for event in self.events if event.call_id == call_id]

    def told(self) -> list[tuple[Any, ...]]:
        """Return what happened, call by call, without times."""
        return [_short(event) for event in self.events]


def _short(event: Event) -> tuple[Any, ...]:
    match event:
        case CallStarted():
            return (event.call_id, "call", event.operation)
        case AttemptStarted():
            return (event.call_id, "attempt", event.attempt)
        case AttemptEnded():
            return (event.call_id, "attempt ended", event.attempt, event.status, event.errno, event.sent, event.error)
        case CallEnded():
            return (event.call_id, "call ended", event.attempts, event.status, event.errno, event.sent, event.error)


def observe(client: WorkorderClient, *observers: Observer) -> None:
    """Let a client be observed."""
    client._session._watches = Watches(observers)


def check_pairs(seen: Seen) -> None:
    """Fail unless every call has one start and one end, its attempts lie between, and each of them has both as well."""
    assert seen.events
    for call_id in {event.call_id for event in seen.events}:
        first, *between, last = seen.of(call_id)
        assert isinstance(first, CallStarted)
        assert isinstance(last, CallEnded)
        starts, ends = between[::2], between[1::2]
        assert len(starts) == len(ends)
        spent = Seconds()
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
            assert isinstance(start, AttemptStarted)
            assert isinstance(end, AttemptEnded)
            assert start.attempt == end.attempt == number
            more = end.seconds
            spent = Seconds(
                queue=spent.queue + more.queue, request=spent.request + more.request, sleep=spent.sleep + more.sleep
            )
        assert last.attempts == len(starts)
        assert last.seconds.request == pytest.approx(spent.request, abs=0.05)
        assert last.seconds.queue >= spent.queue - 1e-6
        assert last.seconds.sleep >= spent.sleep - 1e-6


class _Failing(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise ConnectionError("the log is away")


@contextmanager
def failing_log(level: int) -> Iterator[None]:
    """Let whatever is written to the log of this package raise, from this level on."""
    logger, handler = logging.getLogger("workorder_async"), _Failing()
    before = logger.level
    logger.setLevel(level)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
