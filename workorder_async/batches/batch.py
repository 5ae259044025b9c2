"""Many mutations, each carried out once, several at a time, with a journal that survives a crash.

    async with aclosing(run_batch(client, closes, concurrency=16, journal="closes.journal")) as outcomes:
        async for outcome in outcomes:
            print(outcome.ticket_id, outcome.state)

A worker pulls a mutation when it is free, and nothing is read ahead. So the mutations may come from an endless
iterable, or from a walk over the very tickets that are being closed.

The road of a mutation: a worker takes it from the source (`_pull`), waits while `Hold` holds the batch back, and lets
`Carrier` carry it out (`_carried_out`). If its answer was lost, or an earlier run may have sent it, a task of its own
looks for it (`_look`), and the worker goes on; the worker looks itself if there are too many tasks. Its outcome waits
in `_ended` until the consumer takes it.
"""

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import AsyncExitStack, aclosing, contextmanager
from itertools import islice
from typing import TypeAlias

from attrs import evolve, field, frozen
from attrs.validators import optional

from workorder_async import arguments
from workorder_async.arguments import as_validator, must_be
from workorder_async.batches.carrier import Carrier, Parked
from workorder_async.batches.hold import Hold
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import Entry, read_records
from workorder_async.batches.outcomes import SETTLED, BatchReport, Outcome, State
from workorder_async.client import WorkorderClient, with_coroutines
from workorder_async.document import JSON, Mutation
from workorder_async.document.json_text import to_json
from workorder_async.errors import ApiError, ConfigError, JournalError, WorkorderError
from workorder_async.mutations.kinds import KINDS, Prepared, key_of, kind_of, new_mark, prepare
from workorder_async.tasks import to_its_end
from workorder_async.wire.limits import Lane

Mutations: TypeAlias = Iterable[Mutation] | AsyncIterable[Mutation]
Key: TypeAlias = Callable[[Mutation], str]

# The least seconds that the journal's disk gets when the batch ends.
_DISK = 10.0
# A mutation ends as not sent when the faults of its tries add up to this: see `Hold.own_fault`. It is also how often a
# mutation is sent again after a look proved that it did not happen.
_TRIES = 3
# The most tasks, workers and parked mutations together, for each worker.
_PARKED = 16
# All workers start at once: without this bound a mistyped number would fill the memory, and Ctrl-C not be heard.
_MOST_AT_ONCE = 10_000
_MUTATIONS = must_be("an iterable of mutations", lambda given: isinstance(given, Iterable | AsyncIterable))
_TEXT = must_be("a text", lambda given: isinstance(given, str))
_REPORT = must_be("a BatchReport", lambda given: isinstance(given, BatchReport))


def run_batch(
    client: WorkorderClient,
    mutations: Mutations,
    *,
    concurrency: int = 8,
    journal: str | os.PathLike[str] | None = None,
    key: Key | None = None,
    mark: bool = False,
    name: str = "",
    verify: bool = True,
    stop_after: int | None = None,
    report: BatchReport | None = None,
    deadline: float | None = None,
    outage: float = 300.0,
    patience: float = 10.0,
) -> AsyncGenerator[Outcome, None]:
    """Carry out mutations, `concurrency` at a time, and yield an `Outcome` for each, in the order in which they end.

    * `concurrency`: from 1 to 10,000; the client's `max_in_flight` bounds the requests as well.
    * `mutations`: any mix of the four. A list, or another collection, is done as it is now: later changes to it do not
      count. Any other iterable or async iterable, endless too, is pulled as far as mutations can be sent.
    * `journal`: a file; each mutation is on disk before it is sent. A later call with the same file settles lost
      mutations, skips those that are done, and goes on. Platform, `name` and (of a list) mutations must be the same.
    * `key`: returns a text for a mutation; of one kind and text, one is done. By default: one close of a ticket, one
      rejection of it by a product line, one of equal comments or creations. Creations with a journal need it.
    * `mark`: put a short reference below the text of each comment and creation. People see it. It shows whether a lost
      one happened where nothing else does.
    * `verify`: whether to settle lost comments and creations, and refused closes and rejections.
    * `stop_after`: failures in a row that stop the batch. A refused signature, or an errno without a meaning (after a
      success: 20 in a row), stops it if reading is refused as well. Then the rest of a list is `NOT_SENT`.
    * `deadline`: seconds for each mutation, the looks for it and the journal's disk; by default the client's.
    * `outage`: stop after so many seconds in which nothing gets through. Until then a server that is away, or turns all
      requests away, holds the batch back. A pause that the server asks for does so too, and does not count.
    * `patience`: seconds that mutations under way have to end when the batch is left.

    Raises `JournalError`, `ConfigError`, and the errors of the iterable, after the mutations under way have ended.
    """
    with _told_in(report):
        with_coroutines("client", client)
        _MUTATIONS("mutations", mutations)
        key_for = keys_by(key, kept=journal is not None)
        terms = Terms(concurrency, patience, journal, report, name, key_for, mark, verify, stop_after, deadline, outage)
        held = tuple(mutations) if isinstance(mutations, Collection) else mutations
        identity = identity_of(held if isinstance(mutations, Sequence) else iter(()), client.base_url, name, key_for)
        return Workers(client, held, identity, terms).outcomes()


@contextmanager
def _told_in(report: BatchReport | None) -> Iterator[None]:
    """Let the report say why a batch was refused: an empty report would be that of a batch that is settled."""
    try:
        yield
    except Exception as error:
        if isinstance(report, BatchReport):
            report.stopped = report.stopped or str(error)
        raise


async def settle_journal(
    client: WorkorderClient,
    journal: str | os.PathLike[str],
    *,
    concurrency: int = 8,
    report: BatchReport | None = None,
    patience: float = 10.0,
) -> AsyncGenerator[Outcome, None]:
    """Settle by reading all mutations that a journal's runs left open, and write their outcomes there; nothing is sent.

    Yields an `Outcome` for each: DONE, NOT_SENT if it certainly did not happen, or UNKNOWN. The arguments are those of
    `run_batch`. The journal may be of any batch. Raises `JournalError` if it is for another platform.
    """
    with _told_in(report):
        with_coroutines("client", client)
        arguments.path("journal", journal)
        terms = Terms(concurrency, patience, journal, report)
        identity = (await asyncio.to_thread(read_records, journal)).identity
        if identity["platform"] != client.base_url:
            raise JournalError(
                f"the journal {os.fspath(journal)!r} is for {identity['platform']}, and this client asks "
                f"{client.base_url}; use a client of that platform"
            )
    async with aclosing(Workers(client, (), identity, terms).outcomes()) as outcomes:
        async for outcome in outcomes:
            yield outcome


def keys_by(key: Key | None, *, kept: bool) -> Key:
    """Return a function from a mutation to its key: of its kind, and `key`'s text or the fields that its row names.

    Raises `ConfigError` for a `key` that returns no text, and for a creation without one in a journal: from run to run
    its time and texts may differ, and it would be made again.
    """
    if key is not None:
        arguments.function("key", key)

    def key_for(mutation: Mutation) -> str:
        kind = kind_of(mutation)
        if key is None:
            if kept and kind.creates:
                raise ConfigError(
                    "is needed for creations with a journal",
                    argument="key",
                    mend="give a function that returns the same text in each run for each ticket to create, as in "
                    "key=lambda ticket: ticket.title",
                )
            return key_of(mutation)
        arguments.plain("key", said := key(mutation))
        if not isinstance(said, str) or not said:
            mend = "it must return a text that tells mutations apart, the same in each run"
            raise ConfigError(f"returned {arguments.shown(said)}", argument="key", mend=mend)
        return hashlib.sha256(to_json([kind.verb, {"key": said}])).hexdigest()[:32]

    return key_for


def identity_of(mutations: Mutations, platform: str, name: str, key: Key = key_of) -> dict[str, JSON]:
    """Return the identity of a batch, for the head of its journal; a list or tuple has a digest of its keys."""
    identity: dict[str, JSON] = {"platform": platform, "batch": name}
    if isinstance(mutations, Sequence):
        digest = hashlib.sha256()
        for mutation in mutations:
            digest.update(key(mutation).encode())
        identity["list"] = f"{len(mutations)} mutations, {digest.hexdigest()[:16]}"
    return identity


@frozen
class Terms:
    """How a batch goes about its mutations: arguments of `run_batch`. Raises `ConfigError` for a wrong one."""

    concurrency: int = field(
        validator=[as_validator(arguments.whole), as_validator(arguments.whole_within, 1, _MOST_AT_ONCE)]
    )
    patience: float = field(validator=as_validator(arguments.seconds))
    journal: str | os.PathLike[str] | None = field(validator=optional(as_validator(arguments.path)))
    report: BatchReport | None = field(validator=optional(as_validator(_REPORT)))
    name: str = field(default="", validator=as_validator(_TEXT))
    key: Key = key_of
    mark: bool = field(default=False, validator=as_validator(arguments.flag))
    verify: bool = field(default=True, validator=as_validator(arguments.flag))
    stop_after: int | None = field(default=None, validator=optional(as_validator(arguments.whole)))
    deadline: float | None = field(default=None, validator=optional(as_validator(arguments.above_zero)))
    outage: float = field(default=0.0, validator=as_validator(arguments.seconds))


class Workers:
    """The workers of one batch and their common state."""

    def __init__(self, client: WorkorderClient, mutations: Mutations, identity: dict[str, JSON], terms: Terms) -> None:
        self._client = client
        self._hold = Hold(self._reads, lambda: client.stats().paused, terms.outage)
        self._carrier: Carrier
        self._terms = terms
        self._list = mutations if isinstance(mutations, tuple) else ()
        self._source: AsyncIterator[Mutation] = (
            aiter(mutations) if isinstance(mutations, AsyncIterable) else _each(mutations)
        )
        self._waiting: asyncio.Timeout | None = None  # for the source; a stop ends it
        self._journal = Journal(terms.journal, identity, max(terms.patience, _DISK))
        self._report = terms.report or BatchReport()
        self._time: Callable[[], float]  # of the event loop
        self._began = 0.0
        self._failures_in_a_row = 0
        self._pulling = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()  # the workers, and one for each parked mutation
        self._ended: deque[Outcome] = deque()
        self._changed = asyncio.Event()  # see `_until`
        self._pulled = 0
        self._exhausted = False  # the source has ended or failed, or a worker waits for it, or a stop ended that wait
        self._failure: BaseException | None = None
        self._left: deque[Entry] | None = None  # intents that earlier runs left open; None until the source has ended

    async def outcomes(self) -> AsyncGenerator[Outcome, None]:
        """Open the journal, start the workers, and yield each outcome; in the end raise the failure of the batch."""
        terms, self._time = self._terms, asyncio.get_running_loop().time
        self._began = self._time() - self._report.elapsed
        lane = Lane(terms.concurrency)
        self._carrier = Carrier(self._client, self._journal, lane, verify=terms.verify, deadline=terms.deadline)
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._journal)
            except JournalError as error:
                self._report.stopped = str(error)  # an empty report would count as settled
                raise
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
                for mutation in islice(self._list, self._pulled, None):  # the rest of a list, where the batch stopped
                    if type(mutation) in KINDS:  # a value that is no mutation may have stopped the batch
                        outcome = Outcome(mutation, State.NOT_SENT)
                        self._note(outcome)
                        yield outcome
            finally:
                await self._finish(list(self._tasks), telling)
        if self._failure is not None:
            raise self._failure

    def _reads(self, ticket_id: int) -> Iterator[Awaitable[object]]:
        """Yield the reads that show whether the platform is there for this client: see `Hold`."""
        yield self._client.list_tickets(page_size=1)
        if ticket_id:
            yield self._client.get_ticket_detail(ticket_id)

    def _begin(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do some work in a task of its own. If it fails, so does the batch."""

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
        """Carry out the batch's mutations, then settle those that earlier runs left open."""
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

    async def _look(self, first: Parked) -> None:
        """Look for a parked mutation, and send it again if a look proves that it did not happen."""
        left, stopping = _TRIES, self._carrier.stopping
        end: Outcome | Parked = first
        while isinstance(end, Parked):
            parked = end
            try:
                end = await self._carrier.look(parked)
            except BaseException as error:  # noqa: BLE001 - as in `_carried_out`
                end = self._cut_short(parked.outcome, error)
            if left and parked.prepared is not None and end.state is State.NOT_SENT and not stopping.is_set():
                left -= 1
                end = await self._carried_out(parked.sent.key, parked.prepared, first.started, end.attempts)
        await self._hand_over(end)

    async def _pull(self) -> tuple[str, Prepared] | Entry | None:
        """Return the next mutation with its key; after the last, an intent that an earlier run left open; else None."""
        async with self._pulling:
            # Not more than the consumer takes: an outcome that it has not taken is held in memory.
            await self._until(lambda: len(self._ended) < self._terms.concurrency or self._carrier.stopping.is_set())
            if not (self._exhausted or self._carrier.stopping.is_set()) and (pulled := await self._next()) is not None:
                return pulled
            if self._carrier.stopping.is_set() or self._failure is not None:
                return None
            if self._left is None:
                self._left = deque(await self._journal.left_open(self._client.deadline(self._terms.deadline).until))
            return self._left.popleft() if self._left else None

    async def _next(self) -> tuple[str, Prepared] | None:
        """Return the next mutation with its key; None if there is none, or the batch stops."""
        self._waiting = waiting = asyncio.timeout(None)
        self._exhausted = True  # until it has given one more mutation
        try:
            async with waiting:
                try:
                    mutation = await anext(self._source)
                except StopAsyncIteration:
                    return None
            prepared = prepare(mutation)
            if self._terms.mark and not prepared.kind.converges:
                prepared = prepare(mutation, new_mark())
            key = self._terms.key(prepared.mutation)
        except BaseException as error:  # noqa: BLE001 - the iterable and `key` may raise anything; others go on
            if not waiting.expired():
                self._note_failure(error)
            return None
        finally:
            self._waiting = None
        self._exhausted = False
        self._pulled += 1
        await self._hold.over()  # with the lock of `_pull`: nothing is pulled meanwhile
        if self._hold.reason:
            self._stop(self._hold.reason)
        return key, prepared

    def _note_failure(self, error: BaseException) -> None:
        """Keep the failure of the batch. A cancellation of this task, and the end of the program, are raised again.

        Any other `CancelledError` comes from the user's code, such as a time limit of the iterable that begins in one
        worker and ends in another. It becomes a `WorkorderError`: else the batch's caller would seem cancelled.
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
        """Keep a failure of the batch, and stop it."""
        try:
            self._note_failure(error)
        finally:
            self._stop("failed")

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds. Each change of the outcomes or the tasks, and a stop, sets `_changed`."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def _carried_out(
        self, key: str, prepared: Prepared, started: float | None = None, made: int = 0
    ) -> Outcome | Parked:
        """Carry out a mutation, and wait out troubles that all share. See `Carrier.carry_out` for the arguments."""
        own, started = 0.0, self._time() if started is None else started
        while True:
            began = self._time()
            try:
                end = await self._carrier.carry_out(key, prepared, started=started, made=made)
                outcome, took = end.outcome if isinstance(end, Parked) else end, self._time() - began
                if not self._hold.note(outcome, began):
                    return end
                made = outcome.attempts
                await self._hold.over()
            except BaseException as error:  # noqa: BLE001 - code of the user's, such as a clock, may raise anything
                cut = self._carrier.cut_short(key, prepared.mutation)
                return self._cut_short(evolve(cut, attempts=made, elapsed=self._time() - started), error)
            own += self._hold.own_fault(outcome, began, took)
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
        """Give an outcome to the consumer, and stop the batch if the outcome is a reason for that."""
        self._failures_in_a_row = 0 if outcome.state in SETTLED else self._failures_in_a_row + 1
        self._ended.append(outcome)
        self._note(outcome)  # the report is the caller's, and may raise anything
        self._changed.set()
        if isinstance(outcome.error, ApiError):
            await self._hold.over()  # it may be a refusal of this client
        if self._hold.reason:
            self._stop(self._hold.reason)
        elif self._terms.stop_after is not None and self._failures_in_a_row >= self._terms.stop_after:
            self._stop(f"{self._failures_in_a_row} failures in a row")

    def _note(self, outcome: Outcome) -> None:
        self._report.elapsed = self._time() - self._began
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
                self._report.elapsed = self._time() - self._began


async def _each(mutations: Iterable[Mutation]) -> AsyncGenerator[Mutation, None]:
    for mutation in mutations:
        yield mutation
