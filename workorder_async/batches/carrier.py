"""One mutation of a batch, carried out once: begun in the journal, sent or settled, and its outcome written down.

`carry_out` goes by the standing of the mutation in the journal:

    NEW     its intent is put on disk, and it is sent: an `Outcome`, or `Parked` if the answer was lost
    OPEN    an earlier run may have sent it: `Parked`
    DONE    it is not sent: an `Outcome` that is SKIPPED

`look` finds the outcome of a `Parked` mutation by reading.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import inf
from random import Random

from attrs import Factory, define, evolve, field, frozen

from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import Entry, Standing
from workorder_async.batches.outcomes import Outcome, State, ended, facts_of
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
from workorder_async.mutations.kinds import Prepared, kind_of
from workorder_async.mutations.memory import EarlierRun
from workorder_async.signing.clock import Ahead
from workorder_async.wire.call import Deadline
from workorder_async.wire.limits import Lane

# Seconds before the first look for a close or rejection of this run, since the client has looked for it once, and
# before the second look for any other mutation. Each further pause is twice as long.
_FIRST_PAUSE = 0.5
# If our clock moves by more seconds than this between two readings, it was set.
_SET = 1.0


@frozen
class Parked:
    """A mutation that was sent, by this run or an earlier one, and whose outcome is not known yet."""

    prepared: Prepared | None
    """The mutation that the caller handed over; None if an earlier run left it open and only the journal has it."""
    sent: Entry
    """Its intent in the journal; if this run lost its answer, with the time of the first request that was lost."""
    outcome: Outcome
    """The outcome if no look finds out more: UNKNOWN."""
    until: Deadline
    """The deadline of its looks."""
    started: float
    """When this run began with the mutation, by the event loop's clock."""


@define(eq=False)
class Carrier:
    """Carries out the mutations of one batch, or of one `Once`, each in the task that asks for it."""

    _client: WorkorderClient = field(alias="client")
    _journal: Journal = field(alias="journal")
    _lane: Lane | None = field(alias="lane")
    _verify: bool = field(alias="verify", kw_only=True)
    _deadline: float | None = field(default=None, alias="deadline", kw_only=True)
    stopping: asyncio.Event = field(init=False, factory=asyncio.Event)
    """Set when the batch stops: from then on no sending and no look begins."""
    # By key, for each mutation that may have been sent and has no outcome in the journal yet: the outcome that it gets
    # if an error cuts it short now.
    _if_cut_short: dict[str, Outcome] = field(init=False, factory=dict)
    # Outcomes are dated by our clock as it was when the batch began: if it is set meanwhile, they keep their distances.
    _time: Callable[[], float] = field(init=False, factory=lambda: asyncio.get_running_loop().time)
    _offset: float = field(init=False, default=Factory(lambda it: it._client.now() - it._time(), takes_self=True))
    _random: Random = field(init=False, factory=Random)

    def cut_short(self, key: str, mutation: Mutation) -> Outcome:
        """Return the outcome of a mutation whose `carry_out` raised an error: UNKNOWN only if it may have been sent."""
        return self._if_cut_short.pop(key, Outcome(mutation, State.NOT_SENT))

    async def carry_out(
        self,
        key: str,
        prepared: Prepared,
        until: Deadline | None = None,
        *,
        started: float | None = None,
        made: int = 0,
    ) -> Outcome | Parked:
        """Begin a mutation in the journal and, if it is NEW there, send it; by default within a deadline of its own.

        The mutation is parked if its answer was lost, or an earlier run may have sent it: `look` finds its outcome. If
        this is cancelled, the journal shows whether the mutation may have been sent. If it was tried before, `started`
        is when its first try began, and `made` how many attempts were made. Raises `JournalError` if the journal cannot
        begin the mutation: then nothing was sent.
        """
        started, mutation = self._time() if started is None else started, prepared.mutation
        until = until or self._client.deadline(self._deadline)
        # `began` is read first: if our clock is set before `ahead` is read, `ahead` would not fit `began`.
        began = self._client.now()
        ahead = self._client.ahead() if abs(self._client.now() - began) < _SET else None
        now = self._time()
        # See `JournalFile.has_twin`: a close is told from others by its solution. Texts are not compared.
        place = " ".join(map(str, (prepared.place, *(prepared.kind.solution(mutation) or ()))))
        run = EarlierRun(now, until.until - now, self._client.attempt_timeout)
        operation, mark = prepared.kind.model.__name__, prepared.mark
        entry = Entry(key, operation, prepared.value, began, place, mark, ahead, run)
        standing, begun = await self._journal.begin(entry, until.until)
        if standing is Standing.DONE:
            return Outcome(mutation, State.SKIPPED, attempts=made, elapsed=self._time() - started)
        if standing is Standing.OPEN:
            return self.park(begun, prepared, until)
        outcome = Outcome(mutation, State.NOT_SENT)
        if not self.stopping.is_set():
            outcome = await self._send(entry, prepared, until)
        mark = "" if outcome.state is State.NOT_SENT else prepared.mark
        outcome = evolve(outcome, attempts=made + outcome.attempts, elapsed=self._time() - started, mark=mark)
        if outcome.state is not State.UNKNOWN:
            return self._record(key, outcome)
        if isinstance(outcome.error, OutcomeUnknownError):
            found = outcome.error.ahead
            entry = evolve(entry, began=outcome.error.began, ahead=found if isinstance(found, Ahead) else None)
        return Parked(prepared, entry, outcome, until, started)

    def park(self, entry: Entry, prepared: Prepared | None = None, until: Deadline | None = None) -> Parked:
        """Park a mutation that an earlier run left open; `prepared` is given if the caller handed it over again."""
        mutation = _sent_then(entry) if prepared is None else prepared.mutation
        unknown = _unknown(mutation, entry, "an earlier run may have sent it and did not learn its outcome")
        return Parked(prepared, entry, unknown, until or self._client.deadline(self._deadline), self._time())

    async def look(self, parked: Parked) -> Outcome:
        """Look for a parked mutation until its outcome is known, no look can tell more, or its time or the batch ends.

        A comment or creation without a mark is looked for only once if nobody handed it over again: no later look can
        prove that it did not happen. The outcome NOT_SENT says that this is proven: it may be sent again.
        """
        sent, mutation = parked.sent, _sent_then(parked.sent)
        converges, earlier = kind_of(mutation).converges, not parked.outcome.attempts
        looks, proves_late = self._verify or converges, converges or bool(sent.mark)
        pause = _FIRST_PAUSE if converges and not earlier else 0.0
        found, again = Settlement(None), inf
        while looks and not self.stopping.is_set() and found.happened is None:
            wait = min(pause * self._random.uniform(0.5, 1), again)
            if wait >= parked.until.left():
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.stopping.wait()
            if not self.stopping.is_set():
                found = await self._settle(sent, mutation, parked.until, earlier=earlier)
                pause, again = 2 * pause or _FIRST_PAUSE, found.again or inf
                looks = found.again is not None and (parked.prepared is not None or proves_late)
        outcome = parked.outcome
        lost = outcome.error if isinstance(outcome.error, OutcomeUnknownError) else None
        if found.happened or (lost is not None and lost.happened):
            outcome = evolve(outcome, state=State.DONE, error=None, ticket_id=found.ticket_id or outcome.ticket_id)
        elif found.happened is False:
            cause = None if lost is None else lost.__cause__
            error = cause if isinstance(cause, WorkorderError) else None
            outcome = evolve(outcome, state=State.NOT_SENT, error=error, mark="")
        elif lost is not None and await self._has_twin(sent, parked.until):
            lost.began = 0.0  # keeps its `verify` from looking: that would take the twin's sign for this mutation's
        outcome = evolve(outcome, elapsed=self._time() - parked.started)
        # An intent without an outcome says UNKNOWN already: a journal must not grow with each look.
        is_told = outcome.state is State.UNKNOWN and parked.prepared is None
        return outcome if is_told else self._record(sent.key, outcome)

    def _record(self, key: str, outcome: Outcome) -> Outcome:
        """Write an outcome into the journal, and return it."""
        at, there = self._offset + self._time(), dict[str, JSON]()
        with suppress(Exception):  # a clock of the user's that fails must not lose the outcome
            if (ahead := self._client.ahead()) is not None:
                there["server_at"] = round(self._client.now() + ahead.least, 3)
        self._journal.end(key, outcome.state.name, at=round(at, 3), **there, **facts_of(outcome))
        self._if_cut_short.pop(key, None)
        return outcome

    async def _settle(self, sent: Entry, mutation: Mutation, until: Deadline, *, earlier: bool) -> Settlement:
        """Find out by reading whether a mutation happened; `earlier` says that an earlier run may have sent it.

        A twin is another mutation in the journal that may look the same: if there is one, no sign proves that this one
        happened. The client knows the twins that it sent itself, the journal knows those of earlier runs.
        """
        has_twin = await self._has_twin(sent, until)
        if has_twin and not kind_of(mutation).converges:
            return Settlement(None)
        ended = self._journal.opened if earlier else inf  # an earlier run held its lock, and so was gone by then
        run = evolve(sent.run, ended=ended, made=self._journal.made_like(sent))
        found = Settlement(None)
        with suppress(ConfigError):  # the client was closed meanwhile
            found = await self._client.settle(
                mutation, sent.began, mark=sent.mark, ahead=sent.ahead, run=run, lane=self._lane, until=until
            )
        return evolve(found, happened=None) if has_twin and found.happened else found

    async def _has_twin(self, sent: Entry, until: Deadline) -> bool:
        try:
            return not sent.mark and await self._journal.has_twin(sent, until.until)
        except JournalError:
            return True  # without the journal's answer there may be one

    async def _send(self, entry: Entry, prepared: Prepared, until: Deadline) -> Outcome:
        key, mutation = entry.key, prepared.mutation

        async def before_it_is_sent() -> None:
            # The wait for its turn may have been long: somebody may have replaced the journal's file, and begun another
            # batch with the new one.
            await self._journal.check_place(until.until)
            self._if_cut_short[key] = _unknown(mutation, entry, "cut short before its outcome was written down")

        def note_turned_away() -> None:
            self._if_cut_short.pop(key, None)

        try:
            changed = await self._client.change(
                prepared,
                patient=False,
                may_send=before_it_is_sent,
                on_turned_away=note_turned_away,
                began=entry.began,
                lane=self._lane,
                until=until,
            )
        except (NotSentError, ConfigError, RateLimitedError) as error:
            return ended(mutation, State.NOT_SENT, error)
        except JournalError as error:
            return Outcome(mutation, State.NOT_SENT, JournalError(error.message))
        except OutcomeUnknownError as error:
            return ended(mutation, State.UNKNOWN, error)
        except WorkorderError as error:
            return await self._refused(entry, mutation, error, until)
        except BaseException:
            if key not in self._if_cut_short:  # nothing was sent, or it was turned away
                self._journal.end(key, State.NOT_SENT.name)
            raise
        return Outcome(mutation, State.DONE, None, changed.ticket_id, changed.attempts, changed.request_id)

    async def _refused(self, entry: Entry, mutation: Mutation, error: WorkorderError, until: Deadline) -> Outcome:
        """Return ALREADY if a read shows its ticket closed or rejected, else REJECTED.

        There is no read without `verify`, for a comment or creation, or after a refused signature. If the read is
        cancelled, REJECTED is recorded.
        """
        refused = ended(mutation, State.REJECTED, error)
        may_hold = self._verify and kind_of(mutation).converges and isinstance(error, ApiError)
        if not may_hold or isinstance(error, AuthenticationError):
            return refused
        try:
            found = await self._client.settle(mutation, inf, lane=self._lane, until=until)
        except ConfigError:  # the client was closed meanwhile
            return refused
        except asyncio.CancelledError:
            self._if_cut_short[entry.key] = self._record(entry.key, refused)
            raise
        return evolve(refused, state=State.ALREADY) if found.holds else refused


def _unknown(mutation: Mutation, sent: Entry, why: str) -> Outcome:
    error = OutcomeUnknownError(why, mutation=mutation, began=sent.began)
    error.mark, error.ahead, error.run = sent.mark, sent.ahead, evolve(sent.run, start=None)
    return Outcome(mutation, State.UNKNOWN, error, mark=sent.mark)


def _sent_then(entry: Entry) -> Mutation:
    """Return the mutation of a journal's intent. Raises `JournalError` for one that no run can have sent."""
    try:
        return decode_mutation(entry.operation, entry.mutation)
    except Exception:  # noqa: BLE001 - somebody may have written anything there
        raise JournalError(
            f"the journal's intent {entry.key} is no mutation that can have been sent: the file was changed by hand"
        ) from None
