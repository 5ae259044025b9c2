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
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from workorder_async.batches.doubt import Doubt
from workorder_async.batches.journal import Entry, Journal, to_its_end
from workorder_async.batches.once import Once
from workorder_async.batches.outcomes import SETTLED, BatchReport, Outcome, State
from workorder_async.client.client import WorkorderClient
from workorder_async.errors import AuthenticationError, ConfigError, JournalError
from workorder_async.models import JSON, CloseTicket, CommentTicket, CreateTicket, Mutation, RejectTicket
from workorder_async.protocol.codec import encode, to_json
from workorder_async.transport.limits import Lane

__all__ = ["SETTLED", "BatchReport", "Mutations", "Outcome", "State", "key_of", "run_batch"]

Mutations: TypeAlias = Iterable[Mutation] | AsyncIterable[Mutation]


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
      platform and (of a list or tuple) the mutations must be the same, or the journal is refused. Where the file is
      removed, replaced or written to by others meanwhile, nothing more is sent, and a `JournalError` says so.
    * `verify`: whether to look at the ticket where an answer was lost or the state refused (a close or rejection looks
      for its lost answer in any case). A comment or creation that was lost stays `UNKNOWN` where what is found in the
      ticket's history, or among its creator's tickets, may be of another mutation of the batch or of the client.
    * `stop_after`: stop after so many failures in a row. An authentication failure stops at once, and so does an errno
      that nobody gave a meaning, where reading is refused with it too or nothing else came from the first mutation on:
      after sixteen, which are the most that are under way before the first one succeeds. What was pulled and not tried
      is `NOT_SENT`, and so is the rest of a list or tuple; any other iterable is not pulled further.
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
        self._doubt = Doubt(lambda: client.list_tickets(page_size=1))
        self._once = Once(client, journal, self._doubt, Lane(concurrency), verify=verify)
        self._list = mutations if isinstance(mutations, Sequence) else None
        self._source = source
        self._waiting: asyncio.Timeout | None = None  # for the source; a stop ends it
        self._journal = journal
        self._report = report
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
                await self._hand_over(await self._once.settle_left(entry))
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
        elif self._doubt.reason:
            await self._stop(self._doubt.reason)
        elif self._stop_after is not None and self._failures_in_a_row >= self._stop_after:
            await self._stop(f"{self._failures_in_a_row} failures in a row")

    async def _stop(self, why: str) -> None:
        self._report.stopped = self._report.stopped or why
        self._stopped = True
        self._doubt.end()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.reschedule(0)
        async with self._changed:
            self._changed.notify_all()

    async def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        await self._stop(f"{type(error).__name__}: {error}")

    async def _outcome_of(self, key: str, mutation: Mutation) -> Outcome:
        try:
            await self._doubt.enter()
            outcome = await self._once.carry_out(key, mutation, lambda: self._stopped)
        except JournalError as error:
            await self._fail(error)
            outcome = Outcome(mutation, State.NOT_SENT, error)
        except asyncio.CancelledError:
            self._report.note(self._once.cut_short(key, mutation))
            raise
        self._doubt.leave(outcome)
        return outcome

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
        try:
            if self._working:
                await self._stop("left before its end")
            await asyncio.wait(workers, timeout=patience)
        finally:
            for worker in workers:
                worker.cancel()
            try:
                await to_its_end(asyncio.wait(workers))
            finally:
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
