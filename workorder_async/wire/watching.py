"""Follows each call for the observers. Where nobody observes, no event is made."""

import logging
from collections.abc import Sequence
from itertools import count

from attrs import evolve

from workorder_async.document.envelope import SUCCESS, Answer
from workorder_async.errors import ApiError, WorkorderError
from workorder_async.wire.call import Call
from workorder_async.wire.observing import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    LogObserver,
    Observer,
    Seconds,
    logger,
)


class Watch:
    """Follows one call for nobody."""

    def attempt_started(self) -> None:
        """Note that the turn of an attempt has come."""

    def attempt_failed(self, error: BaseException) -> None:
        """Note how the attempt ended, before it is known whether there is another."""

    def goes_on(self, wait: float | None) -> None:
        """Note that there is another attempt, after so many seconds of sleep, or when its turn comes."""

    def call_ended(self, outcome: Answer | BaseException) -> None:
        """Note the end of the call, and of an attempt that is under way."""


NOBODY = Watch()


class Watches:
    """Gives each call of one client its watch."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._are_given = bool(observers)
        self._observers = (LogObserver(), *observers)
        self._ids = count(1)
        self._failed: list[Observer] = []

    @property
    def are_wanted(self) -> bool:
        """Whether anybody is told of what happens."""
        return self._are_given or logger.isEnabledFor(logging.INFO)

    def watch(self, call: Call) -> Watch:
        """Return what follows a call that begins now."""
        if self.are_wanted:
            return _Telling(self, call, next(self._ids))
        return NOBODY

    def tell(self, event: Event) -> None:
        """Tell every observer; one that raises is reported once, and hurts nobody."""
        for observer in self._observers:
            try:
                observer.on_event(event)
            except Exception as error:  # noqa: BLE001 - whatever an observer does
                if observer not in self._failed:
                    self._failed.append(observer)
                    what = "the observer %s failed; the calls go on, and further failures of it are not reported"
                    logger.warning(what, type(observer).__name__, exc_info=error)


class _Telling(Watch):
    """Follows one call for the observers."""

    def __init__(self, watches: Watches, call: Call, call_id: int) -> None:
        self._watches = watches
        self._call = call
        self._id = call_id
        self._operation = call.endpoint.operation
        self._is_in_attempt = False
        self._ended: AttemptEnded | None = None
        self._told_of = Seconds()
        self._sent = False
        watches.tell(CallStarted(call_id=call_id, operation=self._operation))

    def attempt_started(self) -> None:
        """Tell of it."""
        self._is_in_attempt = True
        attempt = self._call.attempts
        self._watches.tell(AttemptStarted(call_id=self._id, operation=self._operation, attempt=attempt))

    def attempt_failed(self, error: BaseException) -> None:
        """Keep it, to be told with the wait for the next one."""
        self._end_attempt(error)

    def goes_on(self, wait: float | None) -> None:
        """Tell of the attempt that ended."""
        if self._ended is not None:
            self._watches.tell(self._ended if wait is None else evolve(self._ended, wait=wait))
            self._ended = None

    def call_ended(self, outcome: Answer | BaseException) -> None:
        """Tell of what is still to be told, and of the end."""
        if self._is_in_attempt:
            self._end_attempt(outcome)
        self.goes_on(None)
        errno, request_id, error = _facts(outcome)
        self._watches.tell(
            CallEnded(
                call_id=self._id,
                operation=self._operation,
                attempts=self._call.attempts,
                status=self._call.status,
                errno=errno,
                request_id=request_id,
                sent=self._sent,
                seconds=Seconds(**self._call.spent_by_now()),
                error=error,
            )
        )

    def _end_attempt(self, outcome: Answer | BaseException) -> None:
        self._is_in_attempt = False
        self._sent = self._sent or self._call.sent
        before, now = self._told_of, Seconds(**self._call.spent_by_now())
        self._told_of = now
        errno, request_id, error = _facts(outcome)
        self._ended = AttemptEnded(
            call_id=self._id,
            operation=self._operation,
            attempt=self._call.attempts,
            status=self._call.status,
            errno=errno,
            request_id=request_id,
            sent=self._call.sent,
            seconds=Seconds(
                queue=now.queue - before.queue, request=now.request - before.request, sleep=now.sleep - before.sleep
            ),
            error=error,
            wait=None,
        )


def _facts(outcome: Answer | BaseException) -> tuple[int | None, str, str | None]:
    """Return the errno, the request_id and the name of the error that something ended with."""
    if isinstance(outcome, Answer):
        return SUCCESS, outcome.request_id, None
    errno = outcome.errno if isinstance(outcome, ApiError) else None
    request_id = outcome.request_id if isinstance(outcome, WorkorderError) else ""
    return errno, request_id, type(outcome).__name__
