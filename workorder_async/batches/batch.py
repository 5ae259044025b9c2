"""Many mutations, each carried out once, several at a time, with a journal that survives a crash.

    async with aclosing(run_batch(client, closes, concurrency=16, journal="closes.journal")) as outcomes:
        async for outcome in outcomes:
            print(outcome.ticket_id, outcome.state)

A worker pulls a mutation when it is free, and nothing is read ahead. So the mutations may come from an endless
iterable, or from a walk over the very tickets that are being closed.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Iterable

from workorder_async import arguments
from workorder_async.batches.journal import Journal, Mutations, identity_of, read_records
from workorder_async.batches.outcomes import BatchReport, Outcome
from workorder_async.batches.workers import Workers
from workorder_async.client import WorkorderClient
from workorder_async.errors import ConfigError, JournalError


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

    * `mutations`: any mix of the four, from any iterable or async iterable, endless too. Two are equal if they do the
      same: closes of one ticket, equal rejections, comments, creations.
    * `journal`: a file; each mutation is on disk before it is sent. A later call with the same file settles lost
      mutations, skips those that are done, and goes on. The platform, `name` and (of a list or tuple) the mutations
      must be the same. If others remove, replace or write to the file meanwhile, a `JournalError` says so, and nothing
      more is sent.
    * `verify`: whether to settle mutations that were lost or refused. A lost close or rejection is settled in any case.
      A lost comment or creation stays `UNKNOWN` if its trace may be that of another one of the batch or client.
    * `stop_after`: stop after so many failures in a row. An authentication failure stops at once. So does an errno that
      nobody gave a meaning, if reading is refused with it too, or if the first sixteen mutations were. Then each
      mutation that was not sent is `NOT_SENT`, also in the rest of a list or tuple. Any other iterable is pulled no
      further.
    * `patience`: seconds that mutations under way are given to end when the batch is left early or cancelled.

    Raises `JournalError`, `ConfigError`, and the errors of the iterable, after the mutations under way have ended.
    """
    _check(mutations, journal, concurrency, stop_after, patience)
    opened, shared = Journal(journal, identity_of(mutations, client.base_url, name)), report or BatchReport()
    workers = Workers(client, mutations, opened, shared, concurrency=concurrency, verify=verify, stop_after=stop_after)
    async with workers.at_work(patience):
        while (outcome := await workers.next_outcome()) is not None:
            yield outcome
        for outcome in workers.rest():
            yield outcome


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
    _check((), journal, concurrency, None, patience)
    identity = (await asyncio.to_thread(read_records, journal)).identity
    if identity["platform"] != client.base_url:
        raise JournalError(
            f"the journal {os.fspath(journal)!r} is for {identity['platform']}, and this client asks "
            f"{client.base_url}; use a client of that platform"
        )
    opened, shared = Journal(journal, identity), report or BatchReport()
    workers = Workers(client, iter(()), opened, shared, concurrency=concurrency, verify=True, stop_after=None)
    async with workers.at_work(patience):
        while (outcome := await workers.next_outcome()) is not None:
            yield outcome


def _check(mutations: object, journal: object, concurrency: object, stop_after: object, patience: object) -> None:
    """Refuse arguments that cannot work, before anything is opened or sent."""
    arguments.whole("concurrency", concurrency)
    if stop_after is not None:
        arguments.whole("stop_after", stop_after)
    arguments.seconds("patience", patience)
    if journal is not None:
        arguments.path("journal", journal)
    if not isinstance(mutations, Iterable | AsyncIterable):
        raise ConfigError(
            f"is a {type(mutations).__name__}", argument="mutations", mend="it must be an iterable of mutations"
        )
