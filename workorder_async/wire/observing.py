"""Who is told of calls and attempts: the events, and the first observer, which writes them to the log.

Each call begins with one `CallStarted` and ends with one `CallEnded`, whatever becomes of it: an answer, an error, or a
cancellation. Between the two, each request on the wire is one `AttemptStarted` and one `AttemptEnded`. Events of
several calls come mixed; `call_id` says which belong together. No event holds a secret, a URL, or a text of a ticket.
"""

import logging
from typing import Protocol, TypeAlias

from attrs import frozen

logger: logging.Logger = logging.getLogger("workorder_async")
logger.addHandler(logging.NullHandler())


@frozen(kw_only=True)
class Seconds:
    """Where time went."""

    queue: float = 0.0
    """Waiting for a turn: a slot, a rate, the end of a pause."""
    request: float = 0.0
    """Connecting, sending, waiting for the answer and reading it."""
    sleep: float = 0.0
    """Between attempts."""


@frozen(kw_only=True)
class CallStarted:
    """A call begins: one coroutine of the client, or a part of it, such as the read that settles a mutation."""

    call_id: int
    """A number that no other call of this client has."""
    operation: str
    """The endpoint, by the name of the client's coroutine, such as "close_ticket"."""


@frozen(kw_only=True)
class AttemptStarted:
    """The turn of a request has come: it is signed and sent next."""

    call_id: int
    operation: str
    attempt: int
    """The number of the attempt, from 1; a mutation that is sent again after it was settled goes on counting."""


@frozen(kw_only=True)
class AttemptEnded:
    """A request was answered, or has failed."""

    call_id: int
    operation: str
    attempt: int
    status: int | None
    """The HTTP status; None where no complete answer came."""
    errno: int | None
    """The platform's errno, 10000 for success and 0 for a page without one; None where nothing was answered."""
    request_id: str
    """The platform's id of the answer, "" where there is none."""
    sent: bool
    """Whether anything of the request may have been written. Where it is False, nothing happened."""
    seconds: Seconds
    """Where time went since the attempt before ended, or since the call began."""
    error: str | None
    """The name of the error's class; None for success."""
    wait: float | None
    """Seconds of sleep before the next attempt. None where there is no next one, or where its turn alone decides."""


@frozen(kw_only=True)
class CallEnded:
    """A call has its answer, or has failed for good."""

    call_id: int
    operation: str
    attempts: int
    """The number of its last attempt; 0 where none was started."""
    status: int | None
    """The HTTP status of the last attempt; None where that was not answered."""
    errno: int | None
    """As of the last attempt where the call ended with an answer of the platform, else None."""
    request_id: str
    """The platform's id of the last answer, "" where there is none."""
    sent: bool
    """Whether anything of any attempt may have been written."""
    seconds: Seconds
    """Where the time of the whole call went."""
    error: str | None
    """The name of the class of the error that the call raised, CancelledError included; None for success."""


Event: TypeAlias = CallStarted | AttemptStarted | AttemptEnded | CallEnded


class Observer(Protocol):
    """Is told of calls and attempts; `WorkorderClient(observers=[...])` takes them."""

    def on_event(self, event: Event) -> None:
        """Be told of an event, in the event loop and in the task of the call: must be quick, and must not block.

        What it raises changes nothing for the call: it is written to the log, the first time.
        """
        ...


class LogObserver:
    """Writes attempts to the logger "workorder_async": each answer as DEBUG, each repetition as INFO.

    Every client has one. The facts are in the record as well, each as an attribute `workorder_...`.
    """

    def on_event(self, event: Event) -> None:
        """Write what an attempt has come to."""
        if not isinstance(event, AttemptEnded):
            return
        why = str(event.error) if event.errno is None else f"{event.error} {event.errno}"
        if event.status is not None and logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "%s: attempt %d, %s, %s, %.3f s",
                event.operation,
                event.attempt,
                f"{event.status} {'ok' if event.error is None else why}",
                event.request_id,
                event.seconds.request,
                extra=_facts(event),
            )
        if event.wait is not None and logger.isEnabledFor(logging.INFO):
            logger.info(
                "%s: %s; attempt %d in %.2f s", event.operation, why, event.attempt + 1, event.wait, extra=_facts(event)
            )


def _facts(event: AttemptEnded) -> dict[str, object]:
    """Return an event flat, for a record's `extra`."""
    return {
        "workorder_call_id": event.call_id,
        "workorder_operation": event.operation,
        "workorder_attempt": event.attempt,
        "workorder_status": event.status,
        "workorder_errno": event.errno,
        "workorder_request_id": event.request_id,
        "workorder_sent": event.sent,
        "workorder_seconds": event.seconds.request,
        "workorder_error": event.error,
        "workorder_wait": event.wait,
    }
