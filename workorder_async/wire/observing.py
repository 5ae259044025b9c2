"""Events of calls and attempts, the observers that are told of them, and the log as the first observer.

Each call begins with one `CallStarted` and ends with one `CallEnded`, also after an error or a
cancellation. Between the two, each request on the wire is one `AttemptStarted` and one `AttemptEnded`. Events of
several calls come mixed; `call_id` says which belong together. No event holds a secret or a text of a ticket.
Where nobody observes, no event is made.
"""

import logging
from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Protocol, TypeAlias

from attrs import asdict, frozen

from workorder_async.arguments import plain
from workorder_async.document.envelope import SUCCESS, Answer
from workorder_async.errors import ApiError, ResponseError, WorkorderError
from workorder_async.wire.call import Call

__all__ = ["AttemptEnded", "AttemptStarted", "CallEnded", "CallStarted", "Event", "Observer", "Seconds"]

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
class _OfCall:
    call_id: int
    """A number that no other call of this client has."""
    operation: str
    """The endpoint, by the name of the client's coroutine, such as "close_ticket"."""


@frozen(kw_only=True)
class CallStarted(_OfCall):
    """A call begins: one coroutine of the client, or a part of it, such as the read that settles a mutation."""

    base_url: str = ""
    """The client's base URL."""


@frozen(kw_only=True)
class AttemptStarted(_OfCall):
    """The turn of a request has come: it is signed and sent next."""

    attempt: int
    """The number of the attempt, from 1; a mutation that is sent again after it was settled goes on counting."""


@frozen(kw_only=True)
class _Ended(_OfCall):
    status: int | None
    """The HTTP status of the attempt, or of the call's last one; None if no complete answer came."""
    errno: int | None
    """The platform's errno, 10000 for success, 0 for a page without one; None if nothing of the platform came."""
    request_id: str
    """The platform's id of the answer, "" where there is none."""
    sent: bool
    """Whether anything of the attempt, or of any attempt of the call, may have been written. If not, nothing
    happened."""
    seconds: Seconds
    """Where the time went: of a call all of it, of an attempt since the attempt before ended or the call began."""
    error: str | None
    """The name of the error's class, CancelledError included; None where the platform answered with success. Whether
    its data fits is seen later: a call that raises a `DecodeError` may have None here."""


@frozen(kw_only=True)
class AttemptEnded(_Ended):
    """A request was answered, or has failed."""

    attempt: int
    """The number of the attempt, from 1."""
    wait: float | None
    """Seconds until the next attempt, after a throttled answer until it may have its turn; None if there is none."""


@frozen(kw_only=True)
class CallEnded(_Ended):
    """A call has its answer, or has failed for good."""

    attempts: int
    """The number of its last attempt; 0 where none was started."""


Event: TypeAlias = CallStarted | AttemptStarted | AttemptEnded | CallEnded


class Observer(Protocol):
    """Is told of calls and attempts; `WorkorderClient(observers=[...])` takes them."""

    def on_event(self, event: Event) -> None:
        """Be told of an event, in the event loop and in the task of the call: must be quick, and must not block.

        An exception changes nothing for the call: it is written to the log, the first time.
        """
        ...


class LogObserver:
    """Writes attempts to the logger "workorder_async": each one as DEBUG, each repetition as INFO.

    Every client has one. The facts are in the record as well, each as an attribute `workorder_...`.
    """

    def on_event(self, event: Event) -> None:
        """Write how an attempt ended."""
        if not isinstance(event, AttemptEnded):
            return
        why = str(event.error) if event.errno is None else f"{event.error} {event.errno}"
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "%s: attempt %d, %s, %s, %.3f s",
                event.operation,
                event.attempt,
                f"{event.status or 'no answer:'} {'ok' if event.error is None else why}",
                event.request_id,
                event.seconds.request,
                extra=_flat(event),
            )
        if event.wait is not None and logger.isEnabledFor(logging.INFO):
            logger.info(
                "%s: %s; attempt %d in %.2f s", event.operation, why, event.attempt + 1, event.wait, extra=_flat(event)
            )


def _flat(event: AttemptEnded) -> Mapping[str, object]:
    """Return an event flat, for a record's `extra`."""
    facts = {f"workorder_{name}": value for name, value in asdict(event, recurse=False).items()}
    return facts | {"workorder_seconds": event.seconds.request}


class Watches:
    """Gives each call of one client its watch."""

    def __init__(self, observers: Sequence[Observer], base_url: str = "") -> None:
        self.base_url: str = base_url
        self._are_given = bool(observers)
        self._observers = (LogObserver(), *observers)
        self._ids = count(1)
        self._failed: list[Observer] = []

    def watch(self, call: Call) -> "Watch | None":
        """Return the watch of a call that begins now; None if there is no observer."""
        if self._are_given or logger.isEnabledFor(logging.INFO):
            return Watch(self, call, next(self._ids))
        return None

    def tell(self, event: Event) -> None:
        """Tell every observer. An observer that raises is reported once, and disturbs no call.

        Nothing is awaited here, so a `CancelledError` comes from a future whose result the observer asked for.
        """
        for observer in self._observers:
            try:
                tell: Callable[[Event], object] = observer.on_event
                plain("on_event", tell(event))
            except (Exception, CancelledError) as error:
                if observer not in self._failed:
                    self._failed.append(observer)
                    what = "the observer %s failed; the calls go on, and further failures of it are not reported"
                    # A handler or filter of the log is foreign code too; it may be what has failed.
                    with suppress(Exception):
                        logger.warning(what, type(observer).__name__, exc_info=error)


class Watch:
    """Follows one call for the observers."""

    def __init__(self, watches: Watches, call: Call, call_id: int) -> None:
        self._tell = watches.tell
        self._call = call
        self._id = call_id
        self._operation = call.endpoint.operation
        self._is_in_attempt = False
        self._told_of = call.spent.copy()  # seconds of each phase that belong to ended attempts
        self._sent = False
        self._tell(CallStarted(call_id=call_id, operation=self._operation, base_url=watches.base_url))

    def attempt_started(self) -> None:
        """Tell that the turn of an attempt has come."""
        self._is_in_attempt = True
        self._tell(AttemptStarted(call_id=self._id, operation=self._operation, attempt=self._call.attempts))

    def attempt_ended(self, outcome: Answer | BaseException, wait: float | None = None) -> None:
        """Tell how an attempt ended, and that the next one comes after so many seconds."""
        call, spent = self._call, self._call.spent_by_now()
        self._is_in_attempt, self._sent = False, self._sent or call.sent
        seconds = Seconds(**{phase: spent[phase] - before for phase, before in self._told_of.items()})
        self._told_of = spent.copy()
        self._tell(AttemptEnded(attempt=call.attempts, sent=call.sent, wait=wait, **self._facts(outcome, seconds)))

    def call_ended(self, outcome: Answer | BaseException) -> None:
        """Tell the end of the call, and of an attempt that is under way."""
        if self._is_in_attempt:
            self.attempt_ended(outcome)
        call, seconds = self._call, Seconds(**self._call.spent_by_now())
        self._tell(CallEnded(attempts=call.attempts, sent=self._sent, **self._facts(outcome, seconds)))

    def _facts(self, outcome: Answer | BaseException, seconds: Seconds) -> dict[str, Any]:
        """Return the facts of an answer or an error that `AttemptEnded` and `CallEnded` have in common."""
        failed = isinstance(outcome, BaseException)
        errno = None if failed else SUCCESS
        if isinstance(outcome, ApiError | ResponseError):
            errno = outcome.errno or (0 if isinstance(outcome, ApiError) else None)
        return {
            "call_id": self._id,
            "operation": self._operation,
            "status": self._call.status,
            "errno": errno,
            "request_id": outcome.request_id if isinstance(outcome, Answer | WorkorderError) else "",
            "seconds": seconds,
            "error": type(outcome).__name__ if failed else None,
        }
