"""One mutation of a batch, carried out once: begun in the journal, sent or looked for, and its outcome written down."""

import asyncio
from collections.abc import Callable
from time import perf_counter

from attrs import evolve

from workorder_async.batches.doubt import Doubt
from workorder_async.batches.journal import Journal
from workorder_async.batches.outcomes import Outcome, State, ended, ticket_id_of
from workorder_async.batches.standings import Entry, Standing
from workorder_async.client.client import WorkorderClient
from workorder_async.client.settling import trace
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    DecodeError,
    JournalError,
    NotSentError,
    OutcomeUnknownError,
    WorkorderError,
)
from workorder_async.models import JSON, CloseTicket, CommentTicket, CreateTicket, Mutation, RejectTicket
from workorder_async.protocol.codec import decode_mutation, encode
from workorder_async.transport.deadline import Deadline
from workorder_async.transport.limits import Lane
from workorder_async.transport.retry import says_nothing_happened


class Once:
    """Carries out the mutations of one batch, each in the worker that asks for it."""

    def __init__(self, client: WorkorderClient, journal: Journal, doubt: Doubt, lane: Lane, *, verify: bool) -> None:
        self._client = client
        self._journal = journal
        self._doubt = doubt
        self._lane = lane
        self._verify = verify
        self._cut_short: dict[str, Outcome] = {}

    def cut_short(self, key: str, mutation: Mutation) -> Outcome:
        """Return what became of a mutation whose `carry_out` was cancelled; unknown only if it may have been sent."""
        return self._cut_short.pop(key, Outcome(mutation, State.NOT_SENT))

    async def carry_out(self, key: str, mutation: Mutation, is_stopped: Callable[[], bool]) -> Outcome:
        """Send a mutation, or look for what an earlier run did of it; raises `JournalError` where nothing was begun.

        Where this is cancelled, the journal knows whether it was sent.
        """
        started = perf_counter()
        entry = Entry(key, type(mutation).__name__, encode(mutation), self._client.now(), trace(mutation))
        standing, began = await self._journal.begin(entry)
        if standing is Standing.DONE:
            return Outcome(mutation, State.SKIPPED, ticket_id=ticket_id_of(mutation))
        outcome = None
        if standing is Standing.OPEN:
            self._cut_short[key] = Outcome(mutation, State.UNKNOWN, _unknown(mutation, began))
            outcome = await self._look(entry, mutation, began, looks=not is_stopped())
            del self._cut_short[key]
        if outcome is None:
            stopped = is_stopped()
            outcome = Outcome(mutation, State.NOT_SENT) if stopped else await self._send(entry, mutation, began)
        return self._record(key, outcome, perf_counter() - started)

    async def settle_left(self, entry: Entry) -> Outcome:
        """Look for what an earlier run left open and nobody asks for any more."""
        started = perf_counter()
        try:
            mutation = decode_mutation(entry.operation, entry.mutation)
        except Exception:  # noqa: BLE001 - whatever somebody wrote there
            raise JournalError(
                f"the journal's intent {entry.key} is no mutation that can have been sent: the file was changed by hand"
            ) from None
        outcome = await self._look(entry, mutation, entry.began) or Outcome(mutation, State.NOT_SENT)
        return self._record(entry.key, outcome, perf_counter() - started)

    def _record(self, key: str, outcome: Outcome, elapsed: float = 0.0) -> Outcome:
        facts: dict[str, JSON] = {
            "ticket_id": outcome.ticket_id,
            "attempts": outcome.attempts,
            "request_id": outcome.request_id,
            "error": None if outcome.error is None else str(outcome.error),
        }
        self._journal.end(key, outcome.state.name, **{name: fact for name, fact in facts.items() if fact})
        return evolve(outcome, elapsed=elapsed)

    async def _look(self, entry: Entry, mutation: Mutation, began: float, *, looks: bool = True) -> Outcome | None:
        """Look for a mutation that an earlier run left open; None where it certainly did not happen."""
        error = OutcomeUnknownError(
            "an earlier run may have sent it and did not learn its outcome", mutation=mutation, began=began
        )
        looks = looks and (self._verify or isinstance(mutation, CloseTicket | RejectTicket))
        happened = await self._found(entry, error) if looks else None
        if happened is None:
            return Outcome(mutation, State.UNKNOWN, error, ticket_id_of(mutation))
        return Outcome(mutation, State.DONE, None, error.ticket_id or ticket_id_of(mutation)) if happened else None

    async def _found(self, entry: Entry, error: OutcomeUnknownError, until: Deadline | None = None) -> bool | None:
        """Look whether a mutation happened; what another one of this journal may have left is no sign of it.

        The client knows what it sent itself. The journal knows of earlier runs, too.
        """
        if isinstance(error.mutation, CommentTicket | CreateTicket):
            try:
                if await self._journal.has_twin(entry):
                    return None
            except JournalError:
                return None
        return await self._client.settle(error, lane=self._lane, until=until)

    async def _send(self, entry: Entry, mutation: Mutation, began: float) -> Outcome:
        sent = False
        # One deadline for the mutation and the look for it.
        until = self._client.deadline()

        def note_send() -> None:
            nonlocal sent
            # It may have waited long for its turn, and another batch may have begun with another file meanwhile.
            if not self._journal.is_in_place():
                raise NotSentError("the journal was removed or replaced while this waited for its turn")
            sent = True

        def note_turned_away() -> None:
            nonlocal sent
            sent = False

        try:
            changed = await self._client.change(
                mutation,
                on_send=note_send,
                on_turned_away=note_turned_away,
                began=began,
                lane=self._lane,
                until=until,
            )
        except asyncio.CancelledError:
            if sent:
                self._cut_short[entry.key] = ended(mutation, State.UNKNOWN, _unknown(mutation, began))
            else:
                self._journal.end(entry.key, State.NOT_SENT.name)
            raise
        except DecodeError as error:
            # The platform said yes to a creation, and not which ticket it is.
            return ended(mutation, State.DONE, error)
        except (NotSentError, ConfigError) as error:
            return ended(mutation, State.NOT_SENT, error)
        except OutcomeUnknownError as error:
            looks = self._verify and isinstance(mutation, CommentTicket | CreateTicket)
            if looks and await self._found(entry, error, until):
                id = error.ticket_id or ticket_id_of(mutation)
                return Outcome(mutation, State.DONE, None, id, error.attempts, error.request_id)
            return ended(mutation, State.UNKNOWN, error)
        except WorkorderError as error:
            refused = ended(mutation, State.REJECTED, error)
            try:
                return evolve(refused, state=await self._refused(mutation, error, until))
            except asyncio.CancelledError:
                self._record(entry.key, refused)
                raise
        return Outcome(mutation, State.DONE, None, changed.ticket_id, changed.attempts, changed.request_id)

    async def _refused(self, mutation: Mutation, error: WorkorderError, until: Deadline) -> State:
        """Tell what a refusal comes to."""
        if isinstance(error, AuthenticationError) or await self._doubt.is_founded(error):
            return State.REJECTED
        if says_nothing_happened(error):
            return State.NOT_SENT
        if self._verify and isinstance(mutation, CloseTicket | RejectTicket) and isinstance(error, ApiError):
            looked_for = OutcomeUnknownError("refused", mutation=mutation)
            if await self._client.settle(looked_for, lane=self._lane, until=until):
                return State.ALREADY
        return State.REJECTED


def _unknown(mutation: Mutation, began: float) -> OutcomeUnknownError:
    return OutcomeUnknownError("cut short before an answer came", mutation=mutation, began=began)
