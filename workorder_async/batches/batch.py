"""Many mutations, each carried out once, several at a time, with a journal that survives a crash.

    async with aclosing(run_batch(client, closes, concurrency=16, journal="closes.journal")) as outcomes:
        async for outcome in outcomes:
            print(outcome.ticket_id, outcome.state)

A worker pulls a mutation when it is free, and nothing is read ahead. So the mutations may come from an endless
iterable, or from a walk over the very tickets that are being closed.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterable, Sequence
from contextlib import aclosing
from typing import TypeAlias

from workorder_async import arguments
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import read_records
from workorder_async.batches.outcomes import BatchReport, Outcome
from workorder_async.batches.workers import Mutations, Terms, Workers
from workorder_async.client import WorkorderClient, with_coroutines
from workorder_async.document import JSON, Mutation
from workorder_async.document.json_text import to_json
from workorder_async.errors import ConfigError, JournalError
from workorder_async.mutations.kinds import Prepared, key_of, kind_of

Key: TypeAlias = Callable[[Mutation], str]

# Seconds that the journal's disk is given at the end, at the least.
_DISK = 10.0
_MUTATIONS = arguments.must_be("an iterable of mutations", lambda given: isinstance(given, Iterable | AsyncIterable))


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
    * `mutations`: any mix of the four. What has a length, as a list, is done as it is now, whatever you do to it
      meanwhile. Any other iterable or async iterable, endless too, is pulled as far as mutations can be sent.
    * `journal`: a file; each mutation is on disk before it is sent. A later call with the same file settles lost
      mutations, skips those that are done, and goes on. Platform, `name` and (of a list) mutations must be the same.
    * `key`: returns a text for a mutation; of one kind and text one is done. By default these are closes of one ticket,
      its rejections by one product line, and equal comments and creations. Creations with a journal need it.
    * `mark`: put a short reference below the text of each comment and creation. People see it, and where nothing else
      can, it tells whether a lost one happened.
    * `verify`: whether to settle lost comments and creations, and refused closes and rejections.
    * `stop_after`: failures in a row after which to stop. A refused signature, or an errno without a meaning, stops if
      reading is refused as well. Then what is left of a list is `NOT_SENT`.
    * `deadline`: seconds for each mutation, the looks for it and the journal's disk; by default the client's.
    * `outage`: a pause that the server asks for, a server that is away or turns all away holds the batch back. Stop if
      nothing gets through for so many seconds, such pauses left out.
    * `patience`: seconds that mutations under way have to end when the batch is left.

    Raises `JournalError`, `ConfigError`, and the errors of the iterable, after the mutations under way have ended.
    """
    with_coroutines("client", client)
    _check(mutations, journal, report, key, name)
    told = keys_by(key, kept=journal is not None)
    terms = Terms(concurrency, patience, told, mark, verify, stop_after, deadline, outage)
    held = tuple(mutations) if isinstance(mutations, Collection) else mutations
    identity = identity_of(held if isinstance(mutations, Sequence) else iter(()), client.base_url, name, told)
    opened = Journal(journal, identity, max(patience, _DISK))
    return Workers(client, held, opened, report or BatchReport(), terms).outcomes()


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
    with_coroutines("client", client)
    arguments.path("journal", journal)
    _check((), None, report, None, "")
    terms = Terms(concurrency, patience)
    identity = (await asyncio.to_thread(read_records, journal)).identity
    if identity["platform"] != client.base_url:
        raise JournalError(
            f"the journal {os.fspath(journal)!r} is for {identity['platform']}, and this client asks "
            f"{client.base_url}; use a client of that platform"
        )
    opened = Journal(journal, identity, max(patience, _DISK))
    async with aclosing(Workers(client, (), opened, report or BatchReport(), terms).outcomes()) as outcomes:
        async for outcome in outcomes:
            yield outcome


def _check(mutations: object, journal: object, report: object, key: object, name: object) -> None:
    """Refuse arguments that cannot work, before anything is opened or sent."""
    if journal is not None:
        arguments.path("journal", journal)
    _MUTATIONS("mutations", mutations)
    arguments.must_be("a BatchReport", lambda given: isinstance(given, BatchReport | None))("report", report)
    arguments.must_be("a text", lambda given: isinstance(given, str))("name", name)
    if key is not None:
        arguments.function("key", key)


def keys_by(key: Key | None, *, kept: bool) -> Callable[[Mutation | Prepared], str]:
    """Return what tells mutations apart: their kind and `key`, or without it the fields that the kind's row names.

    Raises `ConfigError` for a `key` that returns no text, and for a creation without one in a journal: from run to run
    its time and texts may differ, and it would be made again.
    """

    def told(mutation: Mutation | Prepared) -> str:
        plain = mutation.mutation if isinstance(mutation, Prepared) else mutation
        kind = kind_of(plain)
        if key is None:
            if kept and kind.creates:
                raise ConfigError(
                    "is needed for creations with a journal",
                    argument="key",
                    mend="give a function that returns the same text in each run for what is to be created once, as in "
                    "key=lambda ticket: ticket.title",
                )
            return key_of(mutation)
        arguments.plain("key", said := key(plain))
        if not isinstance(said, str) or not said:
            mend = "it must return a text that tells mutations apart, the same in each run"
            raise ConfigError(f"returned {arguments.shown(said)}", argument="key", mend=mend)
        return hashlib.sha256(to_json([kind.verb, {"key": said}])).hexdigest()[:32]

    return told


def identity_of(
    mutations: Mutations, platform: str, name: str, key: Callable[[Mutation], str] = key_of
) -> dict[str, JSON]:
    """Return the identity of a batch, for the head of its journal; a list or tuple has a digest of its keys."""
    identity: dict[str, JSON] = {"platform": platform, "batch": name}
    if isinstance(mutations, Sequence):
        digest = hashlib.sha256()
        for mutation in mutations:
            digest.update(key(mutation).encode())
        identity["list"] = f"{len(mutations)} mutations, {digest.hexdigest()[:16]}"
    return identity
