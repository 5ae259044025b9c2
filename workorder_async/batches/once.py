"""One mutation of a batch, carried out once: begun in the journal, sent or settled, and its outcome written down."""

import asyncio
from math import inf
from time import perf_counter

from attrs import evolve

from workorder_async.batches.journal import Entry, Journal, Standing
from workorder_async.batches.outcomes import Outcome, State, ended
from workorder_async.client import WorkorderClient
from workorder_async.document import JSON, Mutation
from workorder_async.document.codec import decode_mutation
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    JournalError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    Settlement,
    WorkorderError,
)
from workorder_async.mutations.kinds import Prepared, kind_of, ticket_id_of
from workorder_async.wire.call import Deadline
from workorder_async.wire.limits import Lane


class Once:
    """Carries out the mutations of one batch, each in the worker that asks for it."""

    def __init__(
        self,
        client: WorkorderClient,
        journal: Journal,
        lane: Lane,
        *,
        verify: bool,
        deadline: float | None = None,
    ) -> None:
        self._client = client
        self._journal = journal
        self._lane = lane
        self._verify = verify
        self._deadline = deadline
        # The mutations that may have been sent and have no outcome yet, by their keys.
        self._in_doubt: dict[str, Outcome] = {}
        #: Whether the batch has stopped: then nothing more is sent, nor looked for.
        self.stopped: bool = False

    def deadline(self) -> Deadline:
        """Return the deadline of a mutation that begins now."""
        return self._client.deadline(self._deadline)

    def cut_short(self, key: str, mutation: Mutation) -> Outcome:
        """Return the outcome of a mutation whose `carry_out` was cancelled; unknown only if it may have been sent."""
        return self._in_doubt.pop(key, Outcome(mutation, State.NOT_SENT))

    async def carry_out(self, key: str, prepared: Prepared) -> Outcome:
        """Send a mutation, or settle an earlier run's. Raises `JournalError` if nothing was begun.

        If this is cancelled, the journal knows whether it was sent.
        """
        started, mutation = perf_counter(), prepared.mutation
        until = self.deadline()
        entry = Entry(key, prepared.kind.model.__name__, prepared.value, self._client.now(), prepared.trace)
        standing, begun = await self._journal.begin(entry, until.until)
        if standing is Standing.DONE:
            return Outcome(mutation, State.SKIPPED)
        outcome = None
        if standing is Standing.OPEN:
            outcome = await self._settle_earlier(begun, until, looks=not self.stopped)
            if outcome is None and not self.stopped:
                # What is sent now may have other texts than what was sent then.
                self._journal.end(key, State.NOT_SENT.name)
                await self._journal.begin(entry, until.until)
        if outcome is None and self.stopped:
            outcome = Outcome(mutation, State.NOT_SENT)
        elif outcome is None:
            outcome = await self._send(entry, prepared, until)
        return self._record(key, evolve(outcome, mutation=mutation, elapsed=perf_counter() - started))

    async def settle_left(self, entry: Entry) -> Outcome:
        """Settle a mutation that an earlier run left open and that is not among this batch's own."""
        started = perf_counter()
        outcome = await self._settle_earlier(entry, self.deadline())
        outcome = outcome or Outcome(_sent_then(entry), State.NOT_SENT)
        return self._record(entry.key, evolve(outcome, elapsed=perf_counter() - started))

    def _record(self, key: str, outcome: Outcome) -> Outcome:
        """Write an outcome into the journal, and return it."""
        facts: dict[str, JSON] = {
            "ticket_id": outcome.ticket_id,
            "attempts": outcome.attempts,
            "request_id": outcome.request_id,
            "error": None if outcome.error is None else str(outcome.error),
        }
        self._journal.end(key, outcome.state.name, **{name: fact for name, fact in facts.items() if fact})
        self._in_doubt.pop(key, None)
        return outcome

    async def _settle_earlier(self, entry: Entry, until: Deadline, *, looks: bool = True) -> Outcome | None:
        """Settle a mutation that an earlier run left open; None if it certainly did not happen."""
        mutation = _sent_then(entry)
        unknown = _unknown(mutation, entry.began, "an earlier run may have sent it and did not learn its outcome")
        self._in_doubt[entry.key] = unknown
        looks = looks and (self._verify or kind_of(mutation).converges)
        found = await self._settle(entry, mutation, entry.began, until) if looks else Settlement(None)
        if found.happened is None:
            return unknown
        del self._in_doubt[entry.key]
        return _done(mutation, found) if found.happened else None

    async def _settle(
        self, entry: Entry, mutation: Mutation, began: float, until: Deadline, *, patient: bool = False
    ) -> Settlement:
        """Find out whether a mutation happened. The trace of another mutation in this journal is no sign of it.

        The client knows the mutations that it sent itself. The journal knows those of earlier runs, too.
        """
        try:
            if not kind_of(mutation).converges and await self._journal.has_twin(entry, until.until):
                return Settlement(None)
        except JournalError:
            return Settlement(None)
        return await self._client.settle(mutation, began, patient=patient, lane=self._lane, until=until)

    async def _send(self, entry: Entry, prepared: Prepared, until: Deadline) -> Outcome:
        mutation, began, sent, moved = prepared.mutation, entry.began, False, False

        def note_send() -> None:
            nonlocal sent, moved
            # It may have waited long for its turn, and another batch may have begun with another file meanwhile.
            moved = not self._journal.is_in_place()
            if moved:
                raise NotSentError("the journal was removed or replaced while this waited for its turn")
            sent = True

        def note_turned_away() -> None:
            nonlocal sent
            sent = False

        try:
            changed = await self._client.change(
                prepared, on_send=note_send, on_turned_away=note_turned_away, began=began, lane=self._lane, until=until
            )
        except (NotSentError, ConfigError) as error:
            return ended(mutation, State.NOT_SENT, JournalError(error.message) if moved else error)
        except OutcomeUnknownError as error:
            return await self._lost(entry, mutation, error, until)
        except WorkorderError as error:
            return await self._refused(entry, mutation, error, until)
        except BaseException:
            if sent:
                self._in_doubt[entry.key] = _unknown(mutation, began, "cut short before an answer came")
            else:
                self._journal.end(entry.key, State.NOT_SENT.name)
            raise
        return Outcome(mutation, State.DONE, None, changed.ticket_id, changed.attempts, changed.request_id)

    async def _lost(self, entry: Entry, mutation: Mutation, error: OutcomeUnknownError, until: Deadline) -> Outcome:
        """Settle a mutation whose answer was lost, if the client has not done so itself."""
        unknown = self._in_doubt[entry.key] = ended(mutation, State.UNKNOWN, error)
        if self._verify and not kind_of(mutation).converges:
            found = await self._settle(entry, mutation, error.began, until, patient=True)
            if found.happened:
                return evolve(_done(mutation, found), attempts=error.attempts, request_id=error.request_id)
        return unknown

    async def _refused(self, entry: Entry, mutation: Mutation, error: WorkorderError, until: Deadline) -> Outcome:
        """Return the outcome of a refused mutation. If this is cancelled, it is written down as refused."""
        refused = ended(mutation, State.REJECTED, error)
        try:
            return evolve(refused, state=await self._state_after(mutation, error, until))
        except asyncio.CancelledError:
            self._in_doubt[entry.key] = self._record(entry.key, refused)
            raise

    async def _state_after(self, mutation: Mutation, error: WorkorderError, until: Deadline) -> State:
        if isinstance(error, RateLimitedError):
            return State.NOT_SENT
        if isinstance(error, AuthenticationError):
            return State.REJECTED
        if self._verify and kind_of(mutation).converges and isinstance(error, ApiError):
            found = await self._client.settle(mutation, inf, lane=self._lane, until=until)
            if found.holds:
                return State.ALREADY
        return State.REJECTED


def _done(mutation: Mutation, found: Settlement) -> Outcome:
    return Outcome(mutation, State.DONE, None, found.ticket_id or ticket_id_of(mutation))


def _unknown(mutation: Mutation, began: float, why: str) -> Outcome:
    return ended(mutation, State.UNKNOWN, OutcomeUnknownError(why, mutation=mutation, began=began))


def _sent_then(entry: Entry) -> Mutation:
    """Return the mutation of an earlier run's intent. Raises `JournalError` for one that cannot have been sent."""
    try:
        return decode_mutation(entry.operation, entry.mutation)
    except Exception:  # noqa: BLE001 - somebody may have written anything there
        raise JournalError(
            f"the journal's intent {entry.key} is no mutation that can have been sent: the file was changed by hand"
        ) from None
