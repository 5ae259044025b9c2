"""One mutation of a batch, carried out once: begun in the journal, sent or settled, and its outcome written down."""

import asyncio
from collections.abc import Callable
from time import perf_counter

from attrs import define, evolve

from workorder_async.batches.doubt import Doubt
from workorder_async.batches.journal import Journal
from workorder_async.batches.outcomes import Outcome, State, ended, ticket_id_of
from workorder_async.batches.standings import Entry, Standing
from workorder_async.client import WorkorderClient
from workorder_async.document import JSON, CloseTicket, CommentTicket, CreateTicket, Mutation, RejectTicket
from workorder_async.document.codec import decode_mutation
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    DecodeError,
    JournalError,
    NotSentError,
    OutcomeUnknownError,
    Settlement,
    WorkorderError,
)
from workorder_async.mutations.prepared import Prepared, prepare
from workorder_async.wire.call import Deadline
from workorder_async.wire.limits import Lane
from workorder_async.wire.retry import says_nothing_happened


class Once:
    """Carries out the mutations of one batch, each in the worker that asks for it."""

    def __init__(self, client: WorkorderClient, journal: Journal, doubt: Doubt, lane: Lane, *, verify: bool) -> None:
        self._client = client
        self._journal = journal
        self._doubt = doubt
        self._lane = lane
        self._verify = verify
        # What may have been sent and has no outcome yet, by its key.
        self._in_doubt: dict[str, Outcome] = {}

    def cut_short(self, key: str, mutation: Mutation) -> Outcome:
        """Return what became of a mutation whose `carry_out` was cancelled; unknown only if it may have been sent."""
        return self._in_doubt.pop(key, Outcome(mutation, State.NOT_SENT))

    async def carry_out(self, key: str, mutation: Mutation, is_stopped: Callable[[], bool]) -> Outcome:
        """Send a mutation, or settle what an earlier run did; raises `JournalError` where nothing was begun.

        Where this is cancelled, the journal knows whether it was sent.
        """
        started = perf_counter()
        prepared = prepare(mutation)
        entry = Entry(key, type(mutation).__name__, prepared.value, self._client.now(), prepared.trace)
        standing, began = await self._journal.begin(entry)
        if standing is Standing.DONE:
            return Outcome(mutation, State.SKIPPED, ticket_id=ticket_id_of(mutation))
        outcome = None
        if standing is Standing.OPEN:
            outcome = await self._settle_earlier(entry, mutation, began, looks=not is_stopped())
        if outcome is None:
            stopped = is_stopped()
            outcome = Outcome(mutation, State.NOT_SENT) if stopped else await self._send(entry, prepared, began)
        return self._record(key, outcome, perf_counter() - started)

    async def settle_left(self, entry: Entry) -> Outcome:
        """Settle what an earlier run left open and nobody asks for any more."""
        started = perf_counter()
        try:
            mutation = decode_mutation(entry.operation, entry.mutation)
        except Exception:  # noqa: BLE001 - whatever somebody wrote there
            raise JournalError(
                f"the journal's intent {entry.key} is no mutation that can have been sent: the file was changed by hand"
            ) from None
        outcome = await self._settle_earlier(entry, mutation, entry.began) or Outcome(mutation, State.NOT_SENT)
        return self._record(entry.key, outcome, perf_counter() - started)

    def _record(self, key: str, outcome: Outcome, elapsed: float = 0.0) -> Outcome:
        """Write an outcome into the journal, and return it with its time."""
        facts: dict[str, JSON] = {
            "ticket_id": outcome.ticket_id,
            "attempts": outcome.attempts,
            "request_id": outcome.request_id,
            "error": None if outcome.error is None else str(outcome.error),
        }
        self._journal.end(key, outcome.state.name, **{name: fact for name, fact in facts.items() if fact})
        self._in_doubt.pop(key, None)
        return evolve(outcome, elapsed=elapsed)

    async def _settle_earlier(
        self, entry: Entry, mutation: Mutation, began: float, *, looks: bool = True
    ) -> Outcome | None:
        """Settle what an earlier run left open; None where it certainly did not happen."""
        unknown = _unknown(mutation, began, "an earlier run may have sent it and did not learn its outcome")
        self._in_doubt[entry.key] = unknown
        looks = looks and (self._verify or isinstance(mutation, CloseTicket | RejectTicket))
        found = await self._settle(entry, mutation, began) if looks else Settlement(None)
        if found.happened is None:
            return unknown
        del self._in_doubt[entry.key]
        return _done(mutation, found) if found.happened else None

    async def _settle(
        self, entry: Entry, mutation: Mutation, began: float, until: Deadline | None = None
    ) -> Settlement:
        """Find out whether a mutation happened; what another one of this journal may have left is no sign of it.

        The client knows what it sent itself. The journal knows of earlier runs, too.
        """
        if isinstance(mutation, CommentTicket | CreateTicket):
            try:
                if await self._journal.has_twin(entry):
                    return Settlement(None)
            except JournalError:
                return Settlement(None)
        return await self._client.settle(mutation, began, lane=self._lane, until=until)

    async def _send(self, entry: Entry, prepared: Prepared, began: float) -> Outcome:
        mutation, wire = prepared.mutation, _Wire(self._journal)
        # One deadline for the mutation and what settles it.
        until = self._client.deadline()
        try:
            changed = await self._client.change(
                prepared,
                on_send=wire.note_send,
                on_turned_away=wire.note_turned_away,
                began=began,
                lane=self._lane,
                until=until,
            )
        except asyncio.CancelledError:
            if wire.sent:
                self._in_doubt[entry.key] = _unknown(mutation, began, "cut short before an answer came")
            else:
                self._journal.end(entry.key, State.NOT_SENT.name)
            raise
        except DecodeError as error:
            # The platform said yes to a creation, and not which ticket it is.
            return ended(mutation, State.DONE, error)
        except (NotSentError, ConfigError) as error:
            return ended(mutation, State.NOT_SENT, error)
        except OutcomeUnknownError as error:
            return await self._lost(entry, mutation, error, until)
        except WorkorderError as error:
            return await self._refused(entry, mutation, error, until)
        return Outcome(mutation, State.DONE, None, changed.ticket_id, changed.attempts, changed.request_id)

    async def _lost(self, entry: Entry, mutation: Mutation, error: OutcomeUnknownError, until: Deadline) -> Outcome:
        """Settle a mutation whose answer was lost, where the client did not do so itself."""
        unknown = self._in_doubt[entry.key] = ended(mutation, State.UNKNOWN, error)
        if self._verify and isinstance(mutation, CommentTicket | CreateTicket):
            found = await self._settle(entry, mutation, error.began, until)
            if found.happened:
                return evolve(_done(mutation, found), attempts=error.attempts, request_id=error.request_id)
        return unknown

    async def _refused(self, entry: Entry, mutation: Mutation, error: WorkorderError, until: Deadline) -> Outcome:
        """Tell what a refusal comes to; where that is cut short, it is written down as a refusal."""
        refused = ended(mutation, State.REJECTED, error)
        try:
            return evolve(refused, state=await self._state_after(mutation, error, until))
        except asyncio.CancelledError:
            self._in_doubt[entry.key] = self._record(entry.key, refused)
            raise

    async def _state_after(self, mutation: Mutation, error: WorkorderError, until: Deadline) -> State:
        if isinstance(error, AuthenticationError) or await self._doubt.is_founded(error):
            return State.REJECTED
        if says_nothing_happened(error):
            return State.NOT_SENT
        if self._verify and isinstance(mutation, CloseTicket | RejectTicket) and isinstance(error, ApiError):
            found = await self._client.settle(mutation, self._client.now(), lane=self._lane, until=until)
            if found.happened:
                return State.ALREADY
        return State.REJECTED


@define
class _Wire:
    """Whether a request with one mutation may be on the wire."""

    journal: Journal
    sent: bool = False

    def note_send(self) -> None:
        """Note that it is about to be written."""
        # It may have waited long for its turn, and another batch may have begun with another file meanwhile.
        if not self.journal.is_in_place():
            raise NotSentError("the journal was removed or replaced while this waited for its turn")
        self.sent = True

    def note_turned_away(self) -> None:
        """Note that it was answered, and changed nothing."""
        self.sent = False


def _done(mutation: Mutation, found: Settlement) -> Outcome:
    return Outcome(mutation, State.DONE, None, found.ticket_id or ticket_id_of(mutation))


def _unknown(mutation: Mutation, began: float, why: str) -> Outcome:
    return ended(mutation, State.UNKNOWN, OutcomeUnknownError(why, mutation=mutation, began=began))
