"""Many mutations, each carried out once, several at a time, with a journal that survives a crash.

    async with aclosing(run_batch(client, closes, concurrency=16, journal="closes.journal")) as outcomes:
        async for outcome in outcomes:
            print(outcome.mutation.id, outcome.state)

Workers pull one mutation each when they are free: nothing is read ahead of them, so the mutations may come from an
endless iterable, or from a walk over the very tickets that are being closed.
"""

import asyncio
import hashlib
import os
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from enum import Enum
from itertools import islice
from time import perf_counter
from typing import TypeAlias

from attrs import Factory, define, evolve, frozen

from workorder_async.client import WorkorderClient
from workorder_async.codec import decode_mutation, encode, to_json
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
from workorder_async.journal import Entry, Journal, Standing
from workorder_async.models import JSON, CloseTicket, CommentTicket, CreateTicket, Mutation, RejectTicket
from workorder_async.retry import says_nothing_happened
from workorder_async.settling import trace

Mutations: TypeAlias = Iterable[Mutation] | AsyncIterable[Mutation]


class State(Enum):
    """What became of a mutation; each ends in exactly one."""

    DONE = "done"
    """It was carried out."""
    ALREADY = "already"
    """It was so before: the ticket was closed, or rejected."""
    REJECTED = "rejected"
    """The platform said no."""
    NOT_SENT = "not sent"
    """Nothing happened: it did not reach the platform, was turned away unread, or the batch stopped before."""
    UNKNOWN = "unknown"
    """It was sent, no answer came back, and looking did not settle it; it is not sent again."""
    SKIPPED = "skipped"
    """An equal one was done, or is being done: by this batch, or by an earlier run with the same journal."""


@frozen
class Outcome:
    """What became of one mutation."""

    mutation: Mutation
    """What was to be done."""
    state: State
    """What became of it."""
    error: WorkorderError | None = None
    """Why, where it was not simply done."""
    ticket_id: int = 0
    """The ticket; of a creation the new one, 0 where it is not known."""
    attempts: int = 0
    """Requests that were started for it."""
    request_id: str = ""
    """The platform's id of the last answer."""
    elapsed: float = 0.0
    """Seconds it took."""


#: Outcomes that leave nothing to be done.
SETTLED = frozenset({State.DONE, State.ALREADY, State.SKIPPED})
_KEPT_UNSETTLED = 1000


@define
class BatchReport:
    """A batch so far; give one to `run_batch` to have it filled in."""

    counts: Counter[State] = Factory(Counter)
    """How many ended in each state."""
    unsettled: list[Outcome] = Factory(list)
    """Outcomes that leave something to be done, the first thousand of them."""
    slowest: float = 0.0
    """Seconds that the slowest mutation took."""
    seconds: float = 0.0
    """Seconds that all mutations took, added up."""
    stopped: str = ""
    """Why the batch stopped before its end; empty where it did not."""

    @property
    def total(self) -> int:
        """How many mutations ended."""
        return self.counts.total()

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be done."""
        return not self.stopped and all(state in SETTLED for state, count in self.counts.items() if count)

    def note(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.counts[outcome.state] += 1
        self.seconds += outcome.elapsed
        self.slowest = max(self.slowest, outcome.elapsed)
        if outcome.state not in SETTLED and len(self.unsettled) < _KEPT_UNSETTLED:
            self.unsettled.append(outcome)


async def run_batch(
    client: WorkorderClient,
    mutations: Mutations,
    *,
    concurrency: int = 8,
    journal: str | os.PathLike[str] | None = None,
    name: str = "",
    verify: bool = True,
    stop_after: int | None = None,
    report: BatchReport | None = None,
    patience: float = 10.0,
) -> AsyncGenerator[Outcome, None]:
    """Carry out mutations, `concurrency` at a time, and yield an `Outcome` for each, in the order in which they end.

    * `mutations`: any mix of the four, from any iterable or async iterable, endless too.
    * `journal`: a file in which each mutation is on disk before it is sent. Called again with it, the batch looks for
      those whose outcome was lost, skips those that are done and goes on. `name` says which batch it is for; that, the
      platform and (of a list or tuple) the mutations must be the same, or the journal is refused.
    * `verify`: whether to look at the ticket where an answer was lost or the state refused (a close or rejection looks
      for its lost answer in any case). A comment or creation that was lost stays `UNKNOWN` where another mutation of
      the batch would look the same in the ticket's history or among its creator's tickets.
    * `stop_after`: stop after so many failures in a row. An authentication failure stops at once. What was pulled and
      not tried is `NOT_SENT`, and so is the rest of a list or tuple; any other iterable is not pulled further.
    * `patience`: seconds that mutations under way are given to end when the batch is left early or cancelled.

    Two mutations are equal if they do the same: closes of one ticket, equal rejections, comments, creations.
    Raises `JournalError`, `ConfigError`, and whatever the iterable raises, after what is under way has ended.
    """
    for what, value in (("concurrency", concurrency), ("stop_after", stop_after)):
        if (value is None and what != "stop_after") or (value is not None and _is_no_count(value)):
            raise ConfigError(f"{what} is {value!r}; it must be a whole number of at least 1")
    if isinstance(patience, bool) or not isinstance(patience, int | float) or not patience >= 0:
        raise ConfigError(f"patience is {patience!r}; it must be a number of seconds, 0 or more")
    if journal is not None and not isinstance(journal, str | os.PathLike):
        raise ConfigError(f"journal is a {type(journal).__name__}; it must be a path, or None")
    identity: dict[str, JSON] = {"platform": client.base_url, "batch": name}
    if isinstance(mutations, Sequence):
        digest = hashlib.sha256()
        for mutation in mutations:
            digest.update(key_of(mutation).encode())
        identity["list"] = f"{len(mutations)} mutations, {digest.hexdigest()[:16]}"
    source = _pulled(mutations)
    async with Journal(journal, identity) as opened:
        batch = _Batch(
            client,
            mutations,
            source,
            opened,
            report or BatchReport(),
            concurrency=concurrency,
            verify=verify,
            stop_after=stop_after,
        )
        workers = [asyncio.create_task(batch.work(concurrency)) for _ in range(concurrency)]
        try:
            while (outcome := await batch.next_outcome()) is not None:
                yield outcome
            for outcome in batch.rest():
                yield outcome
        finally:
            await batch.finish(workers, patience)
    if batch.failure is not None:
        raise batch.failure


def _is_no_count(value: object) -> bool:
    return isinstance(value, bool) or not isinstance(value, int) or value < 1


def key_of(mutation: Mutation) -> str:
    """Return what tells a mutation from others: what it does, and to which ticket."""
    match mutation:
        case CloseTicket():
            what: JSON = ["close", mutation.id]
        case RejectTicket():
            what = ["reject", mutation.id, mutation.productGroupId]
        case CommentTicket():
            what = ["comment", mutation.id, mutation.productGroupId, mutation.detail]
        case CreateTicket():
            what = ["create", encode(mutation)]
        case _:
            raise ConfigError(f"a {type(mutation).__name__} is no mutation; use CloseTicket, CommentTicket ...")
    return hashlib.sha256(to_json(what)).hexdigest()[:32]


def _trace_of(mutation: Mutation) -> str:
    left = trace(mutation)
    return hashlib.sha256(repr(left).encode()).hexdigest()[:32] if left else ""


class _Batch:
    """The state that the workers share."""

    def __init__(
        self,
        client: WorkorderClient,
        mutations: Mutations,
        source: AsyncIterator[Mutation],
        journal: Journal,
        report: BatchReport,
        *,
        concurrency: int,
        verify: bool,
        stop_after: int | None,
    ) -> None:
        self._client = client
        self._list = mutations if isinstance(mutations, Sequence) else None
        self._source = source
        self._waiting: asyncio.Timeout | None = None  # for the source; a stop ends it
        self._journal = journal
        self._report = report
        self._verify = verify
        self._stop_after = stop_after
        self._failures_in_a_row = 0
        self._pulling = asyncio.Lock()
        self._ended: deque[Outcome] = deque()
        self._changed = asyncio.Condition()
        self._working = concurrency
        self._pulled = 0
        self._exhausted = self._stopped = False
        self.failure: BaseException | None = None
        self._left: deque[Entry] | None = None

    # The workers

    async def work(self, room: int) -> None:
        """Pull, carry out and hand over one mutation after another, while no more than `room` outcomes wait."""
        try:
            while (pulled := await self._pull(room)) is not None:
                await self._hand_over(await self._outcome_of(*pulled))
            while (entry := await self._pull_left(room)) is not None:
                await self._hand_over(await self._settle_left(entry))
        except Exception as error:  # noqa: BLE001 - raised by run_batch once the others have ended
            await self._fail(error)
        finally:
            self._working -= 1
            async with self._changed:
                self._changed.notify_all()

    async def _pull(self, room: int) -> tuple[str, Mutation] | None:
        """Return the next mutation and its key."""
        async with self._pulling:
            await self._wait_for_room(room)
            if self._stopped or self._exhausted:
                return None
            self._waiting = waiting = asyncio.timeout(None)
            try:
                async with waiting:
                    mutation = await anext(self._source)
                pulled = key_of(mutation), mutation
            except StopAsyncIteration:
                self._exhausted = True
                return None
            except Exception as error:  # noqa: BLE001 - whatever the iterable raises; what was pulled goes on
                self._exhausted = True
                if not waiting.expired():
                    self.failure = self.failure or error
                    self._report.stopped = self._report.stopped or f"{type(error).__name__}: {error}"
                return None
            finally:
                self._waiting = None
            self._pulled += 1
            return pulled

    async def _pull_left(self, room: int) -> Entry | None:
        """Return what an earlier run left open and this batch's mutations did not bring up, once they have ended."""
        async with self._pulling:
            await self._wait_for_room(room)
            if self._stopped or self.failure is not None:
                return None
            if self._left is None:
                self._left = deque(await self._journal.left_open())
            return self._left.popleft() if self._left else None

    async def _wait_for_room(self, room: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._ended) < room or self._stopped)

    async def _hand_over(self, outcome: Outcome) -> None:
        self._report.note(outcome)
        if outcome.state in SETTLED:
            self._failures_in_a_row = 0
        else:
            self._failures_in_a_row += 1
        async with self._changed:
            self._ended.append(outcome)
            self._changed.notify_all()
        if isinstance(outcome.error, AuthenticationError):
            await self._stop(f"authentication failed: {outcome.error}")
        elif self._stop_after is not None and self._failures_in_a_row >= self._stop_after:
            await self._stop(f"{self._failures_in_a_row} failures in a row")

    async def _stop(self, why: str) -> None:
        self._report.stopped = self._report.stopped or why
        self._stopped = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.reschedule(0)
        async with self._changed:
            self._changed.notify_all()

    async def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        await self._stop(f"{type(error).__name__}: {error}")

    # One mutation

    async def _outcome_of(self, key: str, mutation: Mutation) -> Outcome:
        started = perf_counter()
        entry = Entry(key, type(mutation).__name__, encode(mutation), self._client.now(), _trace_of(mutation))
        try:
            standing, began = await self._journal.begin(entry)
        except JournalError as error:
            await self._fail(error)
            return Outcome(mutation, State.NOT_SENT, error)
        if standing is Standing.DONE:
            return Outcome(mutation, State.SKIPPED, ticket_id=_ticket_id(mutation))
        outcome = None
        if standing is Standing.OPEN:
            outcome = await self._look(entry, mutation, began)
        if outcome is None:
            outcome = Outcome(mutation, State.NOT_SENT) if self._stopped else await self._carry_out(entry, mutation)
        return self._record(key, outcome, perf_counter() - started)

    def _record(self, key: str, outcome: Outcome, elapsed: float) -> Outcome:
        facts: dict[str, JSON] = {
            "ticket_id": outcome.ticket_id,
            "attempts": outcome.attempts,
            "request_id": outcome.request_id,
            "error": None if outcome.error is None else str(outcome.error),
        }
        self._journal.end(key, outcome.state.name, **{name: fact for name, fact in facts.items() if fact})
        return evolve(outcome, elapsed=elapsed)

    async def _look(self, entry: Entry, mutation: Mutation, began: float) -> Outcome | None:
        """Look for a mutation that an earlier run left open; None where it certainly did not happen."""
        error = OutcomeUnknownError(
            "an earlier run may have sent it and did not learn its outcome", mutation=mutation, began=began
        )
        looks = self._verify or isinstance(mutation, CloseTicket | RejectTicket)
        happened = await self._found(entry, error) if looks else None
        if happened is None:
            return Outcome(mutation, State.UNKNOWN, error, _ticket_id(mutation))
        return Outcome(mutation, State.DONE, None, error.ticket_id or _ticket_id(mutation)) if happened else None

    async def _found(self, entry: Entry, error: OutcomeUnknownError) -> bool | None:
        """Look whether a mutation happened; what another one of this batch may have left is no sign of it."""
        happened = await error.verify(self._client)
        if happened is not True or not isinstance(error.mutation, CommentTicket | CreateTicket):
            return happened
        try:
            # Asked afterwards: a twin whose trace was seen had been begun by then.
            alone = not await self._journal.has_twin(entry)
        except JournalError:
            alone = False
        error.ticket_id = error.ticket_id if alone else 0
        return True if alone else None

    async def _settle_left(self, entry: Entry) -> Outcome:
        started = perf_counter()
        try:
            mutation = decode_mutation(entry.operation, entry.mutation)
        except Exception:  # noqa: BLE001 - whatever somebody wrote there
            raise JournalError(
                f"the journal's intent {entry.key} is no mutation that can have been sent: the file was changed by hand"
            ) from None
        outcome = await self._look(entry, mutation, entry.began) or Outcome(mutation, State.NOT_SENT)
        return self._record(entry.key, outcome, perf_counter() - started)

    async def _carry_out(self, entry: Entry, mutation: Mutation) -> Outcome:
        sent = False

        def note_send() -> None:
            nonlocal sent
            sent = True

        try:
            changed = await self._client.change(mutation, on_send=note_send)
        except asyncio.CancelledError:
            if not sent:
                self._journal.end(entry.key, State.NOT_SENT.name)
            raise
        except DecodeError as error:
            # The platform said yes to a creation, and not which ticket it is.
            return _ended(mutation, State.DONE, error)
        except (NotSentError, ConfigError) as error:
            return _ended(mutation, State.NOT_SENT, error)
        except OutcomeUnknownError as error:
            if self._verify and isinstance(mutation, CommentTicket | CreateTicket) and await self._found(entry, error):
                id = error.ticket_id or _ticket_id(mutation)
                return Outcome(mutation, State.DONE, None, id, error.attempts, error.request_id)
            return _ended(mutation, State.UNKNOWN, error)
        except WorkorderError as error:
            return _ended(mutation, await self._refused(mutation, error), error)
        return Outcome(mutation, State.DONE, None, changed.ticket_id, changed.attempts, changed.request_id)

    async def _refused(self, mutation: Mutation, error: WorkorderError) -> State:
        if says_nothing_happened(error):
            return State.NOT_SENT
        if self._verify and isinstance(mutation, CloseTicket | RejectTicket) and isinstance(error, ApiError):
            looked_for = OutcomeUnknownError("refused", mutation=mutation)
            if not isinstance(error, AuthenticationError) and await looked_for.verify(self._client):
                return State.ALREADY
        return State.REJECTED

    # The consumer

    async def next_outcome(self) -> Outcome | None:
        """Return the next outcome; None once every worker has ended and all were returned."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or not self._working)
            self._changed.notify_all()
            return self._ended.popleft() if self._ended else None

    def rest(self) -> Iterator[Outcome]:
        """Yield what a list still held when the batch stopped."""
        if self._stopped and self._list is not None:
            for mutation in islice(self._list, self._pulled, None):
                outcome = Outcome(mutation, State.NOT_SENT)
                self._report.note(outcome)
                yield outcome

    async def finish(self, workers: "list[asyncio.Task[None]]", patience: float) -> None:
        """Pull no more; give what is under way some time to end, then cancel it. Its intents stay in the journal."""
        if self._working:
            await self._stop("left before its end")
        try:
            await asyncio.wait(workers, timeout=patience)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            if isinstance(self._source, AsyncGenerator):
                await self._source.aclose()


def _pulled(mutations: Mutations) -> AsyncIterator[Mutation]:
    if isinstance(mutations, AsyncIterable):
        return aiter(mutations)
    if isinstance(mutations, Iterable):
        return _from_iterable(mutations)
    raise ConfigError(f"mutations is a {type(mutations).__name__}; it must be an iterable of mutations")


async def _from_iterable(mutations: Iterable[Mutation]) -> AsyncGenerator[Mutation, None]:
    for mutation in mutations:
        yield mutation


def _ended(mutation: Mutation, state: State, error: WorkorderError) -> Outcome:
    return Outcome(mutation, state, error, _ticket_id(mutation), error.attempts, error.request_id)


def _ticket_id(mutation: Mutation) -> int:
    return 0 if isinstance(mutation, CreateTicket) else mutation.id
