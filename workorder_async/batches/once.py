"""One mutation for each event, however often the event is delivered.

    async with Once(client, "bot.journal") as once:
        outcome = await once(message_id, ticket, deadline=2.5)

Journal and carrier are those of a batch. This module adds the memory of events, one `_Event` for each key that is not
free:

    free      no `_Event`: the next delivery sends its mutation
    running   a task sends the mutation, or looks for it; each call for the key waits for that task
    parked    the mutation was sent and its outcome is unknown: each call looks for it again
    ended     each call gets the outcome, until the event is old and forgotten
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Collection
from itertools import accumulate, takewhile
from math import inf

from attrs import define, evolve, frozen

from workorder_async import arguments
from workorder_async.batches.carrier import Carrier, Parked
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import read_records
from workorder_async.batches.outcomes import SETTLED, Outcome, State, ended, outcome_of
from workorder_async.client import WorkorderClient, with_coroutines
from workorder_async.document import JSON, Mutation
from workorder_async.document.codec import decode_mutation
from workorder_async.document.json_text import to_json
from workorder_async.errors import AuthenticationError, ConfigError, OutcomeUnknownError
from workorder_async.mutations.kinds import Prepared, kind_of, new_mark, prepare
from workorder_async.tasks import for_each, to_its_end
from workorder_async.wire.call import Deadline

# Feishu delivers an event for the last time after seven hours.
_SHORTEST = 8 * 3600.0
# Fields in which two deliveries of one event may differ: a program writes the time there, and uploads files again.
_VARY = ("reported_time", "solved_time", "attachment", "handle_attachment")
# How often a mutation is sent again within one call, each time after a look proved that it did not happen.
_TRIES = 3
# How many mutations `settle` looks for at a time.
_SIDE_BY_SIDE = 8


@frozen
class _Running:
    """The work under way for a key. All calls for the key wait for it."""

    task: "asyncio.Task[Outcome]"
    until: Deadline
    """The deadline of the work, which is that of the call that began it."""
    settles: bool
    """Whether the work only looks for a mutation that was sent before, and sends nothing."""


@define(eq=False)
class _Event:
    """The knowledge about a key that is not free."""

    name: str
    """The key's name in the journal."""
    mutation: Mutation
    told: dict[str, JSON]
    """The mutation's class, and its fields that are the same in each delivery."""
    outcome: Outcome | None = None
    """The outcome of the mutation; None while that is running or unknown."""
    at: float = 0.0
    """When the mutation ended, by the event loop's clock."""
    parked: Parked | None = None
    """The mutation as this run or an earlier one sent it, as long as its outcome is unknown."""
    running: _Running | None = None

    @property
    def place(self) -> str:
        """Where the mutation leaves its sign, which could be taken for that of an unknown mutation at this place."""
        return kind_of(self.mutation).place(self.mutation)


class Once:
    """Carries out one mutation for each key, and only one: a key is an event that may be delivered several times.

    Call it with a key and a mutation, as often as the event comes. The first call sends the mutation; all others, at
    the same time or later, in this program or after `kill -9` in the next one, get the outcome of the first: its state,
    the ticket that it created, its error. A mutation that was not sent, or turned away unread, frees the key. Where the
    answer was lost, the outcome is `State.UNKNOWN`: each later call looks again, and so does `settle`; only once it is
    certain that nothing happened is it sent again. An unknown outcome is never forgotten.

    The key must be a text that the delivering platform keeps the same from delivery to delivery:

    * Feishu, messages: `message_id`. Its page on message events says not to rely on `event_id`.
    * Feishu, cards: a text of the card's `open_message_id`, the button, and the status that the ticket had when it was
      shown. A second click is a new event, and delivered under new ids.
    * DingTalk: `messageId`. WeCom: `MsgId`.

    * `journal`: a file of this object's own, locked while it is open.
    * `scope`: the bot or the purpose that the keys belong to; the same key in another scope is another key.
    * `keep`: seconds for which an outcome is kept after its mutation ended, at least 8 hours, by default a day; longer
      while another mutation of the same ticket is unknown. Old outcomes are removed from the file when it is opened and
      more than half of its keys are old or free.
    * `mark`: put a short reference below the text of each comment and creation, as in `run_batch`. People see it; with
      it, an unknown outcome becomes known in time, but for a few cases, which the book's page on mutations has.
    * `patience`: seconds that mutations under way have to end when the block is left. The next run settles the others.

    Raises `ConfigError`; entering it raises `JournalError` for a file that is in use, unreadable, or another's.
    """

    def __init__(
        self,
        client: WorkorderClient,
        journal: str | os.PathLike[str],
        *,
        scope: str = "",
        keep: float = 86_400.0,
        mark: bool = False,
        patience: float = 10.0,
    ) -> None:
        arguments.path("journal", journal)
        with_coroutines("client", client)
        arguments.must_be("a text", lambda given: isinstance(given, str))("scope", scope)
        wanted = "28,800 seconds (8 hours) or more: so long a platform may deliver an event again"
        arguments.must_be(wanted, lambda given: arguments.is_number(given) and given >= _SHORTEST)("keep", keep)
        arguments.seconds("patience", patience)
        arguments.flag("mark", mark)
        self._client = client
        self._path = os.path.abspath(journal)
        self._scope = scope
        self._keep = keep
        self._mark = mark
        self._patience = patience
        self._work: tuple[Journal, Carrier, asyncio.AbstractEventLoop] | None = None
        self._closing = False
        self._events: dict[str, _Event] = {}  # the ended ones stand in the order of their ends

    async def __aenter__(self) -> "Once":
        if self._work is not None:
            raise ConfigError("is open already", argument="Once", mend="share it, or make another with its own journal")
        identity: dict[str, JSON] = {"platform": self._client.base_url, "batch": "", "for": "events"}
        journal = Journal(self._path, identity, max(self._patience, 10.0))
        await journal.__aenter__()
        try:
            now, scope = self._client.now(), self._scope
            self._events, names = await asyncio.to_thread(_events_of, self._path, now, journal.opened, scope)
            self._forget_old(journal.opened)
            carrier = Carrier(self._client, journal, None, verify=True)
            for entry in await journal.left_open():
                self._events[entry.key].parked = carrier.park(entry)
            over = [name for name in names if name not in self._events]
            journal.forget(over, rewrites=len(over) > len(self._events))
        except BaseException as error:
            await to_its_end(journal.__aexit__(type(error)))
            raise
        self._work, self._closing = (journal, carrier, asyncio.get_running_loop()), False
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        journal, carrier = self._at_work()
        self._closing = True
        tasks = [event.running.task for event in self._events.values() if event.running]

        async def cut_short() -> None:
            carrier.stopping.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._work = None
            await journal.__aexit__(kind)

        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._patience)
        finally:
            await to_its_end(cut_short())

    async def __call__(self, key: str, mutation: Mutation, *, deadline: float | None = None) -> Outcome:
        """Return the outcome of this key's mutation, and send the mutation if the key is new or free.

        `deadline` is in seconds, by default the client's. When it is over, this returns UNKNOWN and the work that was
        begun goes on: a later call returns its outcome. The work goes on as well if this call is cancelled.

        Raises `ConfigError` for a key that is no text, or was used for another mutation (times and attachments may
        differ), and `JournalError` if the journal cannot be written: then nothing was sent.
        """
        self._at_work(begins=True)
        name, prepared, until = self._named(key), prepare(mutation), self._client.deadline(deadline)
        told = _told(prepared.kind.model.__name__, prepared.value)
        while True:
            event = self._events.get(name) or _Event(name, mutation, told)
            if event.told != told:
                fields = {name for name in {*told, *event.told} if told.get(name) != event.told.get(name)}
                problem = f"{key!r} was used for another mutation before, with another {', '.join(sorted(fields))}"
                raise ConfigError(problem, argument="key", mend="each event has a key of its own, and one mutation")
            if event.outcome is not None:
                return event.outcome
            running = event.running
            if running is None:
                if self._mark and not prepared.kind.converges:
                    prepared = prepare(prepared, new_mark())
                self._events[name] = event
                running = self._run(event, self._carried_out(event, prepared, until), until)
            outcome = await self._joined(event, running, until)
            # The work that this call joined may have had the shorter deadline of another call, or only looked.
            ends_early = running.until.left() <= 0 or (running.settles and outcome.state is State.NOT_SENT)
            if _is_kept(outcome) or not ends_early or until.left() <= 0 or self._closing:
                return outcome

    async def outcome(self, key: str, *, deadline: float | None = None) -> Outcome | None:
        """Return the outcome of a key's mutation; None if the key is free.

        A mutation whose outcome is unknown is looked for again. If it certainly did not happen, this returns NOT_SENT,
        and the key is free from then on.
        """
        self._at_work(begins=True)
        name, until = self._named(key), self._client.deadline(deadline)
        event = self._events.get(name)
        if event is not None and (event.running or event.parked):
            return await self._settled(event, until)
        return event.outcome if event else None

    async def settle(self, *, deadline: float | None = None) -> dict[str, Outcome]:
        """Look for each mutation of this scope whose outcome is unknown; return each one's outcome, by its key.

        Nothing is sent. NOT_SENT means that it certainly did not happen: its key is free again. Call it after a start,
        and from time to time, for events that are not delivered again. `deadline` is for all of them together.
        """
        self._at_work(begins=True)
        until = self._client.deadline(deadline)
        unknown = [(event, *json.loads(event.name)) for event in self._events.values() if event.parked]
        events = {key: event for event, scope, key in unknown if scope == self._scope}
        outcomes = await for_each(events.values(), lambda event: self._settled(event, until), at_once=_SIDE_BY_SIDE)
        # A key that one look freed may have been delivered again, and done, before the last look ended.
        newest = (self._events.get(event.name, event).outcome for event in events.values())
        return dict(zip(events, (new or found for new, found in zip(newest, outcomes, strict=True)), strict=True))

    async def _settled(self, event: _Event, until: Deadline) -> Outcome:
        """Look for a mutation whose outcome is unknown, as `Carrier.look` does for one that nobody hands over."""
        event = self._events.get(event.name, event)  # a delivery may have freed the key, and begun it anew
        running = event.running
        if running is None:
            if event.parked is None:  # a delivery has settled it meanwhile
                return event.outcome or Outcome(event.mutation, State.NOT_SENT)
            if self._closing:
                return event.parked.outcome
            parked = evolve(event.parked, prepared=None, until=until)
            running = self._run(event, self._looked(event, parked), until, settles=True)
        return await self._joined(event, running, until)

    def _run(self, event: _Event, work: Awaitable[Outcome], until: Deadline, *, settles: bool = False) -> _Running:
        """Begin the work for a key, in a task that goes on when no call waits for it any more."""

        async def noted() -> Outcome:
            try:
                outcome = await work
            except BaseException:
                if event.parked is None:
                    del self._events[event.name]  # no mutation was begun, or the journal alone knows of it
                raise
            self._note(event, outcome)
            return outcome

        def ended(task: "asyncio.Task[Outcome]") -> None:
            event.running = None
            # If every call was cancelled, asyncio would log the error that none takes. The journal raises it again.
            _ = task.cancelled() or task.exception()

        event.running = running = _Running(asyncio.create_task(noted()), until, settles)
        running.task.add_done_callback(ended)
        return running

    async def _joined(self, event: _Event, running: _Running, until: Deadline) -> Outcome:
        """Wait for the work of a key until the deadline of this call."""
        ends_by_itself = running.until.until <= until.until
        await asyncio.wait({running.task}, timeout=None if ends_by_itself else max(0.0, until.left()))
        if not running.task.done():
            return _unknown(event.mutation, "it is being carried out, and the time of this call is over")
        if running.task.cancelled():
            return _unknown(event.mutation, "it was cut short by the end of the program")
        return running.task.result()

    async def _carried_out(self, event: _Event, prepared: Prepared, until: Deadline) -> Outcome:
        """Carry a mutation out; send it again if a look proves that it did not happen."""
        _, carrier = self._at_work()
        parked, tries, started = event.parked, _TRIES, asyncio.get_running_loop().time()
        end: Outcome | Parked = (
            await carrier.carry_out(event.name, prepared, until)
            if parked is None
            else evolve(parked, prepared=prepared, until=until, started=started)
        )
        while isinstance(end, Parked):
            end = await self._looked(event, end)
            if end.state is State.NOT_SENT and tries and until.left() > 0 and not carrier.stopping.is_set():
                tries, made = tries - 1, end.attempts
                end = await carrier.carry_out(event.name, prepared, until, started=started, made=made)
        if end.state is State.SKIPPED:
            return _unknown(
                prepared.mutation, "it was cut short by an error; the next run with this journal settles it"
            )
        return end

    async def _looked(self, event: _Event, parked: Parked) -> Outcome:
        """Look for a mutation that was sent. As long as its outcome is unknown, it stays parked."""
        _, carrier = self._at_work()
        event.parked = parked
        outcome = await carrier.look(parked)
        if outcome.state is not State.UNKNOWN:
            event.parked = None
        return outcome

    def _note(self, event: _Event, outcome: Outcome) -> None:
        """Keep an outcome that answers later deliveries, and forget old ones. Others free the key, but for UNKNOWN."""
        if outcome.state is State.UNKNOWN:
            return
        del self._events[event.name]
        if _is_kept(outcome):
            now = asyncio.get_running_loop().time()
            event.outcome, event.at, self._events[event.name] = outcome, now, event
            if old := self._forget_old(now):
                self._at_work()[0].forget(old)

    def _forget_old(self, now: float) -> list[str]:
        """Forget old events, and return their names. An event stays while another mutation at its place is unknown."""
        ended = takewhile(lambda one: not one[1].outcome or one[1].at < now - self._keep, self._events.items())
        aged = [name for name, event in ended if event.outcome]
        unknown = {event.place for event in self._events.values() if event.outcome is None} if aged else set()
        old = [name for name in aged if self._events[name].place not in unknown]
        for name in old:
            del self._events[name]
        return old

    def _at_work(self, *, begins: bool = False) -> tuple[Journal, Carrier]:
        """Return the journal and the carrier. Raises `ConfigError` where this is not open, or in another event loop.

        Where its own loop has ended, nothing can begin any more; it can still be left, from any loop.
        """
        if self._work is None or (begins and self._closing):
            raise ConfigError("is not open", argument="Once", mend="use it inside of `async with Once(...) as once:`")
        journal, carrier, loop = self._work
        if asyncio.get_running_loop() is not loop and (begins or not loop.is_closed()):
            mend = "use it where it was opened, from other threads by asyncio.run_coroutine_threadsafe"
            if loop.is_closed():
                mend = "leave this one, and make another inside each asyncio.run()"
            raise ConfigError("is of another event loop", argument="Once", mend=mend)
        return journal, carrier

    def _named(self, key: str) -> str:
        """Return the name of a key in the journal."""
        if not isinstance(key, str) or not key:
            mend = "it must be a text that is the same each time the event is delivered"
            raise ConfigError(f"is {arguments.shown(key)}", argument="key", mend=mend)
        return to_json([self._scope, key]).decode()


def _events_of(path: str, now: float, opened: float, scope: str) -> tuple[dict[str, _Event], Collection[str]]:
    """Read a journal: return the events whose keys are not free, in the order of their ends, and the names of all keys.

    An event that is forgotten too soon may be carried out twice, so no wrong clock may make it look old. Its age is
    * counted back from the latest end in the file, if that is before `now`: our clock may be far ahead in this run;
    * the lesser of two, by our clock and by the server's: either may have been wrong in the run that wrote the event.
      If the server's time was not known then, the event ended no earlier than those before it in the file began;
    * 0 if it is of another scope, whose `keep` is not known here.
    """
    records = read_records(path).by_key
    begun = accumulate((record.began for record in records.values()), max)
    ends = {
        name: max(float(str(record.facts.get("at", 0))), 0 if "server_at" in record.facts else least)
        for (name, record), least in zip(records.items(), begun, strict=True)
    }
    server = {name: float(str(at)) for name, record in records.items() if (at := record.facts.get("server_at"))}
    latest, latest_there = min(now, max(ends.values(), default=now)), max(server.values(), default=0.0)
    events = dict[str, _Event]()
    for name, record in records.items():
        if not record.operation:
            continue  # it was begun in a file that others had replaced, and was not sent
        mutation = decode_mutation(record.operation, record.mutation)
        outcome = None if record.state is State.UNKNOWN else outcome_of(mutation, record.state, record.facts)
        if outcome is None or _is_kept(outcome):
            age = min(latest - ends[name], latest_there - server.get(name, -inf))
            at = opened - max(0.0, age if json.loads(name)[0] == scope else 0.0)
            events[name] = _Event(name, mutation, _told(record.operation, record.mutation), outcome, at)
    return dict(sorted(events.items(), key=lambda event: event[1].at)), records


def _is_kept(outcome: Outcome) -> bool:
    """Tell whether an outcome answers all later deliveries; if not, the key is free.

    A refused signature frees the key, so that the mutation is sent again once the secret is right.
    """
    refused = outcome.state is State.REJECTED and not isinstance(outcome.error, AuthenticationError)
    return outcome.state in SETTLED or refused


def _told(operation: str, value: JSON) -> dict[str, JSON]:
    """Return the fields that must be the same in each delivery."""
    fields = value if isinstance(value, dict) else {}
    return {"operation": operation, **{name: fields[name] for name in fields if name not in _VARY}}


def _unknown(mutation: Mutation, why: str) -> Outcome:
    return ended(mutation, State.UNKNOWN, OutcomeUnknownError(why, mutation=mutation))
