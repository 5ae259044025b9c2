"""The workers of a batch: each pulls a mutation, carries it out, hands its outcome over, and pulls the next."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from itertools import islice
from time import perf_counter
from typing import TypeAlias

from attrs import evolve, field, frozen
from attrs.validators import optional

from workorder_async.arguments import above_zero, as_validator, flag, seconds, whole, whole_within
from workorder_async.batches.carrier import Carrier, Parked
from workorder_async.batches.hold import Hold
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import Entry
from workorder_async.batches.outcomes import SETTLED, BatchReport, Outcome, State
from workorder_async.client import WorkorderClient
from workorder_async.document import Mutation
from workorder_async.errors import ApiError, WorkorderError
from workorder_async.mutations.kinds import KINDS, Prepared, key_of, new_mark, prepare
from workorder_async.tasks import to_its_end
from workorder_async.wire.limits import Lane

Mutations: TypeAlias = Iterable[Mutation] | AsyncIterable[Mutation]
# So often a mutation is tried that is not sent where others are, or that certainly did not happen.
_TRIES = 3
# So many mutations for each worker are parked at the most.
_PARKED = 16
# All workers start at once: without a bound a slip of the pen would fill the memory, and Ctrl-C not be heard.
_MOST_AT_ONCE = 10_000


@frozen
class Terms:
    """How a batch goes about its mutations: arguments of `run_batch`. Raises `ConfigError` for what cannot work."""

    concurrency: int = field(validator=[as_validator(whole), as_validator(whole_within, 1, _MOST_AT_ONCE)])
    patience: float = field(validator=as_validator(seconds))
    key: Callable[[Prepared], str] = key_of
    mark: bool = field(default=False, validator=as_validator(flag))
    verify: bool = field(default=True, validator=as_validator(flag))
    stop_after: int | None = field(default=None, validator=optional(as_validator(whole)))
    deadline: float | None = field(default=None, validator=optional(as_validator(above_zero)))
    outage: float = field(default=0.0, validator=as_validator(seconds))


class Workers:
    """The workers of one batch and their common state."""

    def __init__(
        self, client: WorkorderClient, mutations: Mutations, journal: Journal, report: BatchReport, terms: Terms
    ) -> None:
        self._client = client
        self._hold = Hold(lambda: client.list_tickets(page_size=1), lambda: client.stats().paused, terms.outage)
        self._carrier: Carrier
        self._terms = terms
        self._list = mutations if isinstance(mutations, tuple) else ()
        self._source: AsyncIterator[Mutation] = (
            aiter(mutations) if isinstance(mutations, AsyncIterable) else _each(mutations)
        )
        self._waiting: asyncio.Timeout | None = None  # for the source; a stop ends it
        self._journal = journal
        self._report = report
        self._began = 0.0
        self._failures_in_a_row = 0
        self._pulling = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()  # the workers, and one for each parked mutation
        self._ended: deque[Outcome] = deque()
        self._changed = asyncio.Event()  # see `_until`
        self._pulled = 0
        self._exhausted = False
        self._failure: BaseException | None = None
        self._left: deque[Entry] | None = None

    async def outcomes(self) -> AsyncGenerator[Outcome, None]:
        """Open the journal, start the workers, and yield each outcome; in the end raise the failure of the batch."""
        terms, self._began = self._terms, perf_counter() - self._report.elapsed
        lane = Lane(terms.concurrency)
        self._carrier = Carrier(self._client, self._journal, lane, verify=terms.verify, deadline=terms.deadline)
        async with self._journal:
            telling = asyncio.create_task(self._hold.tell(self._report))
            for _ in range(terms.concurrency):
                self._begin(self._work)
            try:
                while True:
                    await self._until(lambda: bool(self._ended) or not self._tasks)
                    if not self._ended:
                        break
                    outcome = self._ended.popleft()
                    self._changed.set()
                    yield outcome
                for mutation in islice(self._list, self._pulled, None):  # what the batch stopped before
                    if type(mutation) in KINDS:  # else this, or something like it, has stopped it
                        outcome = Outcome(mutation, State.NOT_SENT)
                        self._note(outcome)
                        yield outcome
            finally:
                await self._finish(list(self._tasks), telling)
        if self._failure is not None:
            raise self._failure

    def _begin(self, work: Callable[[], Awaitable[None]]) -> None:
        """Let a task of its own do this. If it fails, so does the batch."""

        async def working() -> None:
            try:
                await work()
            except BaseException as error:  # noqa: BLE001 - run_batch raises it when the others have ended
                self._fail(error)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._changed.set()

        task = asyncio.create_task(working())
        self._tasks.add(task)
        task.add_done_callback(ended)

    async def _work(self) -> None:
        """Carry out the batch's mutations, then settle what earlier runs left open."""
        while (pulled := await self._pull()) is not None:
            end = self._carrier.park(pulled) if isinstance(pulled, Entry) else await self._carried_out(*pulled)
            await self._end(end)

    async def _end(self, end: Outcome | Parked) -> None:
        """Hand an outcome over; look for a parked mutation beside the workers, unless there are too many already."""
        if isinstance(end, Outcome):
            await self._hand_over(end)
        elif len(self._tasks) < _PARKED * self._terms.concurrency and not self._carrier.stopping.is_set():
            self._begin(lambda: self._look(end))
        else:
            await self._look(end)

    async def _look(self, end: Outcome | Parked) -> None:
        """Look for a parked mutation, and send it again if it certainly did not happen."""
        left, stopping = _TRIES, self._carrier.stopping
        while isinstance(end, Parked):
            parked = end
            try:
                end = await self._carrier.look(parked)
            except BaseException as error:  # noqa: BLE001 - as in `_carried_out`
                end = self._cut_short(parked.outcome, error)
            if left and parked.prepared is not None and end.state is State.NOT_SENT and not stopping.is_set():
                end, left = await self._carried_out(parked.sent.key, parked.prepared), left - 1
        await self._hand_over(end)

    async def _pull(self) -> tuple[str, Prepared] | Entry | None:
        """Return the key and the next mutation, or when there are no more what an earlier run left open; else None."""
        async with self._pulling:
            # Until the consumer has taken enough outcomes.
            await self._until(lambda: len(self._ended) < self._terms.concurrency or self._carrier.stopping.is_set())
            if not (self._exhausted or self._carrier.stopping.is_set()) and (pulled := await self._next()) is not None:
                return pulled
            if self._carrier.stopping.is_set() or self._failure is not None:
                return None
            if self._left is None:
                self._left = deque(await self._journal.left_open(self._client.deadline(self._terms.deadline).until))
            return self._left.popleft() if self._left else None

    async def _next(self) -> tuple[str, Prepared] | None:
        """Return the key and the next mutation; None if there is none, or the batch stops."""
        self._waiting = waiting = asyncio.timeout(None)
        self._exhausted = True  # until it has given one more
        try:
            async with waiting:
                try:
                    mutation = await anext(self._source)
                except StopAsyncIteration:
                    return None
            prepared = prepare(mutation)
            if self._terms.mark and not prepared.kind.converges:
                prepared = prepare(mutation, new_mark())
            key = self._terms.key(prepared)
        except BaseException as error:  # noqa: BLE001 - the iterable and `key` may raise anything; others go on
            if not waiting.expired():
                self._note_failure(error)
            return None
        finally:
            self._waiting = None
        self._exhausted = False
        self._pulled += 1
        await self._hold.over()  # nothing is pulled meanwhile
        if self._hold.reason:
            self._stop(self._hold.reason)
        return key, prepared

    def _note_failure(self, error: BaseException) -> None:
        """Keep the failure of the batch, and pass on the cancellation of this task, or the end of the program.

        Code of the user's may cancel a worker, as a time limit of the iterable does that began in one and ends in
        another. A `CancelledError` that is raised would look like a cancellation of whoever runs the batch.
        """
        task, said = asyncio.current_task(), f"{type(error).__name__}: {error}"
        self._report.stopped = self._report.stopped or said
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        failure = error
        if not isinstance(error, Exception):
            failure = WorkorderError(f"the iterable or other code of yours ended with {said}")
            failure.__cause__ = error
        self._failure = self._failure or failure
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error

    def _fail(self, error: BaseException) -> None:
        try:
            self._note_failure(error)
        finally:
            self._stop("failed")

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until this is so. Whoever changes the outcomes or the tasks, or stops the batch, says so."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def _carried_out(self, key: str, prepared: Prepared) -> Outcome | Parked:
        """Carry out a mutation. What holds for all is waited out, and it is tried again."""
        time, own = asyncio.get_running_loop().time, 0.0
        while True:
            began = time()
            try:
                end = await self._carrier.carry_out(key, prepared)
                outcome = end.outcome if isinstance(end, Parked) else end
                if not self._hold.note(outcome, began):
                    return end
                await self._hold.over()
            except BaseException as error:  # noqa: BLE001 - code of the user's, such as a clock, may raise anything
                return self._cut_short(self._carrier.cut_short(key, prepared.mutation), error)
            own += self._hold.own_fault(outcome, began)
            if own >= _TRIES or self._carrier.stopping.is_set() or self._hold.reason:
                return outcome

    def _cut_short(self, outcome: Outcome, error: BaseException) -> Outcome:
        """Return the outcome of a mutation that an error cut short, and stop. A cancellation passes."""
        try:
            self._fail(error)
        except BaseException:
            self._ended.append(outcome)
            self._note(outcome)
            raise
        return evolve(outcome, error=outcome.error or (error if isinstance(error, WorkorderError) else None))

    async def _hand_over(self, outcome: Outcome) -> None:
        """Give an outcome to the consumer, and stop the batch if it is a reason to."""
        self._failures_in_a_row = 0 if outcome.state in SETTLED else self._failures_in_a_row + 1
        self._ended.append(outcome)
        self._note(outcome)  # which may raise anything
        self._changed.set()
        if isinstance(outcome.error, ApiError):
            await self._hold.over()  # it may be a refusal of whoever asks
        if self._hold.reason:
            self._stop(self._hold.reason)
        elif self._terms.stop_after is not None and self._failures_in_a_row >= self._terms.stop_after:
            self._stop(f"{self._failures_in_a_row} failures in a row")

    def _note(self, outcome: Outcome) -> None:
        self._report.elapsed = perf_counter() - self._began
        self._report.note(outcome)

    def _stop(self, why: str) -> None:
        """Pull no more, even while a worker waits for the source; mutations under way go on."""
        self._report.stopped = self._report.stopped or why
        self._carrier.stopping.set()
        self._hold.end()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.reschedule(0)
        self._changed.set()

    async def _finish(self, tasks: list[asyncio.Task[None]], telling: asyncio.Task[None]) -> None:
        """Pull no more, give the mutations under way `patience` seconds to end, then cancel them.

        The intents of cancelled mutations stay in the journal.
        """
        try:
            if not all(task.done() for task in tasks):
                self._stop("left before its end")
            if tasks:
                await asyncio.wait(tasks, timeout=self._terms.patience)
        finally:
            for task in (*tasks, telling):
                task.cancel()
            try:
                await to_its_end(asyncio.wait((*tasks, telling)))
            finally:
                self._report.held = ""
                if isinstance(self._source, AsyncGenerator):
                    await self._source.aclose()
                self._report.elapsed = perf_counter() - self._began


async def _each(mutations: Iterable[Mutation]) -> AsyncGenerator[Mutation, None]:
    for mutation in mutations:
        yield mutation
