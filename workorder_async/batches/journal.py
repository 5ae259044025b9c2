"""A batch's journal: its mutations and their outcomes, so that a killed batch goes on from there.

One JSON object a line. The first line says which batch the journal is for. An intent is a mutation that is about to be
sent; it is on disk (fsync) before its mutation is sent. An outcome is written after. The last member of each line is a
checksum, of the line and of all lines before it. A torn last line, as a crash leaves it, is cut off. Any other line
that cannot be read is an error, and so is a word that is not known: neither ever means that something may be sent.

The file is locked against other processes while it is open. Nothing is begun if others no longer find this file under
its name. Without a file the standings alone remain: they tell that a mutation was already in this batch.

`Journal` is the loop's side, and gives orders; `JournalFile` follows them in a thread. `read_records` reads a journal
for people, without its lock: also while a batch writes it.
"""

import asyncio
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterable, Callable, Collection, Coroutine, Iterable, Sequence
from concurrent.futures import Executor, Future
from enum import Enum
from math import inf
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias, TypeVar
from zlib import crc32

from attrs import define, field, frozen

from workorder_async.batches.outcomes import State
from workorder_async.document import JSON, Mutation
from workorder_async.document.json_text import loads, to_json
from workorder_async.durable import InUseError, LockedFile, MovedError
from workorder_async.errors import ConfigError, JournalError
from workorder_async.mutations.kinds import NAMES, Prepared, key_of, kind_of
from workorder_async.signing.clock import Ahead

T = TypeVar("T")
Mutations: TypeAlias = Iterable[Mutation] | AsyncIterable[Mutation]
VERSION = 2
_HEAD = b'{"journal":"workorder_async","version":'
_INTENT = b'{"intent":'
_MARK = b',"sum":"'
_SUM = _MARK + b'%08x"}\n'
_SUM_SIZE = len(_SUM % 0)


Key: TypeAlias = Callable[[Mutation], str]


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
        if not isinstance(said := key(plain), str) or not said:
            mend = "it must return a text that tells mutations apart, the same in each run"
            raise ConfigError(f"returned {said!r}", argument="key", mend=mend)
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


class Standing(Enum):
    """The knowledge about a mutation."""

    NEW = "new"
    """Nothing, or that it did not happen: it may be sent."""
    OPEN = "open"
    """An earlier run may have sent it, and its outcome is unknown: it is settled before it may be sent."""
    BEGUN = "begun"
    """This run has it in hand, or had it and did not learn its outcome: it is not sent again."""
    DONE = "done"
    """It was done: it is not sent again."""


@frozen
class Entry:
    """An intent: a mutation's key, its class and its fields, and when it was first begun, by our own clock.

    `trace` is the place where it leaves its sign, "" for none; `mark` the mark below its text; `ahead` how far the
    server's clock was ahead then, None if that was not known.
    """

    key: str
    operation: str
    mutation: JSON
    began: float
    trace: str = ""
    mark: str = ""
    ahead: Ahead | None = None


# Mutations that began further apart, in seconds, cannot be under way at the same time.
_NEAR = 600.0
# The standing after an outcome; NEW after any other but UNKNOWN.
_AFTER = {State.DONE.name: Standing.DONE, State.ALREADY.name: Standing.DONE}
_TABLE = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4000;
CREATE TABLE entries (key TEXT PRIMARY KEY, standing TEXT, began REAL, line BLOB, trace TEXT) WITHOUT ROWID;
CREATE INDEX traces ON entries (trace) WHERE trace != '';
"""
_SET = """
INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO UPDATE SET
    standing = ?2,
    began = coalesce(?3, began),
    line = CASE WHEN ?2 IN ('open', 'begun') THEN coalesce(?4, line) END,
    trace = coalesce(?5, trace)
"""


_Order: TypeAlias = "tuple[Callable[[], object], asyncio.Future[Any] | None]"
"""Work for the thread, and the future that gets its result when all that it wrote is on disk."""


class JournalFile:
    """The file of a journal, and the standing of each mutation by its key; with `path` None the standings alone.

    One thread uses it at a time. The file tells what earlier runs did, line by line; then this run begins mutations and
    ends them. Each event leads to the standing in its row (. it stays as it is, - this does not happen):

                                          NEW         OPEN        BEGUN       DONE
        in the file:  an intent           OPEN        .           -           OPEN
                      DONE or ALREADY     DONE        DONE        -           .
                      UNKNOWN             (refused)   .           -           .
                      any other outcome   .           NEW         -           NEW
        in this run:  it is begun         BEGUN       BEGUN       .           .
                      that is cancelled   -           -           as before   .
                      DONE or ALREADY     -           DONE        DONE        -
                      UNKNOWN             -           BEGUN       .           -
                      any other outcome   -           NEW         NEW         -

        What begun means for sending:     is sent     is settled  is skipped  is skipped

    A mutation that was OPEN is sent only if settling shows that it did not happen. The standings are in a temporary
    SQLite file, so that memory stays flat however long a batch is.
    """

    def __init__(self, path: Path | None, identity: dict[str, JSON]) -> None:
        self._path = path
        self._identity = identity
        self._file: LockedFile | None = None
        # A database without a name is a temporary file, deleted when it is closed.
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._total = 0  # the checksum of all lines in the file
        self._pending: list[bytes] = []
        self._begins = False  # whether a mutation is sent when the pending lines are on disk

    def open(self) -> None:
        """Open the file and read it; raises `JournalError` if it is in use, another batch's, or unreadable."""
        try:
            self._table.executescript(_TABLE)
            if self._path is None:
                return
            self._file = LockedFile(self._path)
            end, self._total = _read_lines(self._path, self._file.lines(), self.read)
            self._file.cut(end)
            if self._file.size == 0:
                self._append(self._file, [_line({"journal": "workorder_async", "version": VERSION, **self._identity})])
        except InUseError:
            raise JournalError(
                f"the journal {str(self._path)!r} is in use by another program, or by a batch of this one that was "
                "left by `break` without `contextlib.aclosing`; wait for its end"
            ) from None
        except (OSError, ValueError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            raise JournalError(f"cannot open the journal {str(self._path)!r}: {why}; choose another file") from None
        except sqlite3.Error as error:
            raise JournalError(f"{_no_table(error)}; nothing was sent") from None

    def close_after(self, orders: Iterable[_Order]) -> None:
        """Follow the last orders, and close the file."""
        try:
            self.work(orders)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file; pending lines are lost."""
        self._table.close()
        if self._file is not None:
            self._file.close()

    def __del__(self) -> None:
        # A batch may be left behind without its end, as by a loop that is closed amid it.
        self._table.close()

    def read(self, number: int, line: dict[str, JSON]) -> None:
        """Note a line of an earlier run. Raises `ValueError`, `TypeError` or `KeyError` for a line that makes no sense.

        A mutation that is open already was begun at its first intent.
        """
        if number == 1:
            found = _identity_of(line)
            if found != self._identity:
                raise JournalError(
                    f"the journal {str(self._path)!r} belongs to another batch ({_words(found)}, "
                    f"not {_words(self._identity)}); choose another file{_mend(found, self._identity)}"
                )
        elif "intent" in line:
            key, began = str(line["intent"]), float(str(line["began"]))
            if line["operation"] not in NAMES or not isinstance(line["mutation"], dict):
                raise TypeError("no mutation")
            _, earlier = self._of(key)
            self._set(key, Standing.OPEN, earlier or began, _line(line), str(line.get("trace", "")))
        elif (state := State[str(line["state"])]) is not State.UNKNOWN:
            self._set(str(line["outcome"]), _AFTER.get(state.name, Standing.NEW))
        elif self._of(str(line["outcome"]))[0] is Standing.NEW:
            raise ValueError("an outcome of nothing")

    def check_place(self) -> None:
        """Raise `MovedError` unless others find this file under its name, or there is no file."""
        if self._file is not None:
            self._file.check_place()

    def work(self, orders: Iterable[_Order]) -> list[object]:
        """Follow all orders; return their results, or errors, when all lines are on disk, by one fsync."""
        self._pending, self._begins = [], False
        results: list[object] = []
        for order, _ in orders:
            try:
                results.append(order())
            except (sqlite3.Error, JournalError, MovedError) as error:
                results.append(error)  # lines of other orders are written all the same
        if self._file is not None and (self._pending or self._begins):
            self._flush(self._file)
        return results

    def begin(self, entry: Entry) -> tuple[Standing, Entry]:
        """Begin a mutation; return the standing that it was found in, and its first intent if that is OPEN.

        DONE is also returned for a mutation that was BEGUN: either is skipped. The intent of a NEW one is written.
        """
        standing, _ = self._of(entry.key)
        if standing in (Standing.BEGUN, Standing.DONE):
            return Standing.DONE, entry
        self._begins = True
        if standing is Standing.OPEN:
            (first,) = self._open_ones("key = ?", entry.key)
            self._set(entry.key, Standing.BEGUN)
            return standing, first
        self._set(entry.key, Standing.BEGUN, entry.began, trace="")
        facts = {"operation": entry.operation, "mutation": entry.mutation, "began": entry.began, "trace": entry.trace}
        facts |= {"mark": entry.mark} if entry.mark else {}
        facts |= {"ahead": [entry.ahead.least, entry.ahead.most]} if entry.ahead else {}
        self._write({"intent": entry.key, **facts})
        return standing, entry

    def take_back(self, key: str, found: Standing | None) -> None:
        """Undo a beginning that was cancelled; `found` is its standing before, None if that was not read."""
        if found is Standing.NEW:
            self.end(key, State.NOT_SENT.name, {})
        elif found is Standing.OPEN:
            self._set(key, Standing.OPEN)

    def end(self, key: str, state: str, facts: dict[str, JSON]) -> None:
        """Write an outcome."""
        self._write({"outcome": key, "state": state, "at": round(time.time(), 3), **facts})
        self._set(key, Standing.BEGUN if state == State.UNKNOWN.name else _AFTER.get(state, Standing.NEW))

    def has_twin(self, entry: Entry) -> bool:
        """Tell whether another mutation of an earlier run, at the same place and near in time, may look like this one.

        A platform may store texts otherwise, so equal texts are not asked for. The client knows those of this run.
        """
        found = self._table.execute(
            "SELECT 1 FROM entries WHERE trace = ? AND trace != '' AND key != ? AND standing != ? "
            "AND abs(began - ?) < ? LIMIT 1",
            (entry.trace, entry.key, Standing.NEW.value, entry.began, _NEAR),
        )
        return found.fetchone() is not None

    def forget(self, keys: Collection[str], *, rewrites: bool) -> None:
        """Forget mutations that are over, in the file only if that `rewrites` it: before anything is begun."""
        self._table.executemany("DELETE FROM entries WHERE key = ?", ((key,) for key in keys))
        if rewrites and self._file is not None and self._path is not None:
            self._file, self._total = _rewritten(self._file, self._path, frozenset(keys))

    def left_open(self) -> list[Entry]:
        """Return the mutations that an earlier run left open and this one has not begun."""
        return self._open_ones("standing = ?", Standing.OPEN.value)

    def _open_ones(self, which: str, value: str) -> list[Entry]:
        found = self._table.execute(f"SELECT key, began, line FROM entries WHERE {which}", (value,))  # noqa: S608
        intents = ((key, began, json.loads(line)) for key, began, line in found)
        return [
            Entry(
                key,
                intent["operation"],
                intent["mutation"],
                began,
                intent.get("trace", ""),
                intent.get("mark", ""),
                Ahead(*intent["ahead"]) if "ahead" in intent else None,
            )
            for key, began, intent in intents
        ]

    def _of(self, key: str) -> tuple[Standing, float]:
        """Return the standing of a mutation, and when it was first begun: 0 for NEW, and if no line says when."""
        row = self._table.execute("SELECT standing, began FROM entries WHERE key = ?", (key,)).fetchone()
        if row is None or row[0] == Standing.NEW.value:
            return Standing.NEW, 0.0
        return Standing(row[0]), float(row[1] or 0.0)

    def _set(
        self,
        key: str,
        standing: Standing,
        began: float | None = None,
        line: bytes | None = None,
        trace: str | None = None,
    ) -> None:
        """Give a mutation its next standing; None keeps the earlier value."""
        self._table.execute(_SET, (key, standing.value, began, line, trace))

    def _write(self, line: dict[str, JSON]) -> None:
        if self._file is not None:
            self._pending.append(_line(line))

    def _flush(self, file: LockedFile) -> None:
        """Put the pending lines on disk; if others do not see the file, put the outcomes there only, and raise."""
        before, total = file.size, self._total
        try:
            file.check_place()
            self._append(file, self._pending)
            file.check_place()
        except MovedError:
            # The mutations begun here are not sent. A later reader of the file needs the outcomes of the others.
            if file.size != before:
                file.cut(before)
            self._total = total
            self._append(file, [line for line in self._pending if not line.startswith(_INTENT)])
            raise

    def _append(self, file: LockedFile, lines: Iterable[bytes]) -> None:
        total, sealed = self._total, list[bytes]()
        for line in lines:
            total = crc32(line[:-2], total)
            sealed.append(line[:-2] + _SUM % total)
        file.append(b"".join(sealed))
        self._total = total


class Journal:
    """An open journal, used from one event loop. With `path` None it remembers nothing beyond this batch.

    `identity` says which batch this is; a file that says otherwise is refused. Raises `JournalError` if the file cannot
    be read, written or locked. Orders gather while the thread is busy; then it follows all of them with one fsync.

    A disk that hangs is left: an order is waited for until the time that the caller gives, and the end for `patience`
    seconds. What was ordered is still written if the disk comes back, and the lock is kept until then.
    """

    def __init__(
        self, path: "str | os.PathLike[str] | None", identity: dict[str, JSON], patience: float = 10.0
    ) -> None:
        self._path = None if path is None else Path(path)
        self._file = JournalFile(self._path, identity)
        self._patience = patience
        self._thread = _Disk()
        self._process = os.getpid()
        self._orders: list[_Order] = []
        self._busy: asyncio.Task[None] | None = None
        self._handed: asyncio.Future[list[object]] | None = None
        self._failure: JournalError | None = None
        #: When its lock was had, by the loop's clock: no earlier run sends anything from then on.
        self.opened: float = inf

    async def __aenter__(self) -> "Journal":
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._file.open)
            self.opened = loop.time()
        except BaseException:
            await to_its_end(self._finish())
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await to_its_end(self._finish())
        if self._failure is not None and kind is not asyncio.CancelledError:
            raise self._failure

    async def begin(self, entry: Entry, until: float | None = None) -> tuple[Standing, Entry]:
        """Return the standing of a mutation, and its first intent if it is OPEN; that of a NEW one is on disk then.

        If this is cancelled, or not on disk `until` that time of the loop's clock, the mutation is left as it was
        found: a NEW one is written down as not sent.
        """
        found: Standing | None = None

        def begin() -> tuple[Standing, Entry]:
            nonlocal found
            found, first = self._file.begin(entry)
            return found, first

        try:
            return await self._order(begin, until)
        except (asyncio.CancelledError, _HangingError) as error:
            if isinstance(error, _HangingError):
                self._failure = self._failure or error
            self._order_soon(lambda: self._file.take_back(entry.key, found))
            raise

    def end(self, key: str, state: str, **facts: JSON) -> None:
        """Write an outcome, soon: with the next intent at the latest, or when the journal closes.

        A mutation that is "DONE" or "ALREADY" is never sent again, an "UNKNOWN" one is settled first, any other may be
        sent again.
        """
        self._order_soon(lambda: self._file.end(key, state, facts))

    async def check_place(self, until: float | None = None) -> None:
        """Raise `JournalError` unless others find this file under the journal's name, or there is no file."""
        if self._path is not None:
            await self._order(self._file.check_place, until)

    async def has_twin(self, entry: Entry, until: float | None = None) -> bool:
        """Tell whether another mutation that an earlier run began may look like this one."""
        return await self._order(lambda: self._file.has_twin(entry), until)

    async def forget(self, keys: Collection[str], *, rewrites: bool = False) -> None:
        """Forget mutations that are over: they would be sent again.

        Their lines stay in the file, unless that `rewrites` it; this is for when nothing has been begun yet.
        """
        await self._order(lambda: self._file.forget(keys, rewrites=rewrites), None)

    async def left_open(self, until: float | None = None) -> list[Entry]:
        """Return the mutations that an earlier run left open and this one has not begun."""
        return await self._order(self._file.left_open, until)

    async def _order(self, work: Callable[[], T], until: float | None) -> T:
        """Let the thread do this; return its result when all that it wrote is on disk."""
        if self._failure is not None:
            raise self._failure
        if os.getpid() != self._process:
            raise self._told(MovedError("it belongs to the process that this one was forked from"))
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._order_soon(work, done)
        try:
            async with asyncio.timeout_at(until):
                return await done
        except TimeoutError:
            raise self._hanging("nothing more was sent") from None

    def _hanging(self, so: str) -> "_HangingError":
        return _HangingError(f"the disk of the journal {str(self._path)!r} does not answer, so {so}")

    def _order_soon(self, work: Callable[[], object], done: "asyncio.Future[Any] | None" = None) -> None:
        """Let the thread do this too, and do not wait for it."""
        self._orders.append((work, done))
        if self._busy is None or self._busy.done():
            self._busy = asyncio.create_task(self._carry_out())

    async def _carry_out(self) -> None:
        """Give the thread all orders that have gathered, again and again until there are none."""
        while self._orders:
            orders, self._orders = self._orders, []
            try:
                # A loop that is shut down cancels this task too; the orders are written all the same.
                self._handed = asyncio.get_running_loop().run_in_executor(self._thread, self._file.work, orders)
                results = await asyncio.shield(self._handed)
            except Exception as error:  # noqa: BLE001 - every order must be answered
                results = [error] * len(orders)
            for (_, done), result in zip(orders, results, strict=True):
                if isinstance(result, Exception):
                    told = result if isinstance(result, JournalError) else self._told(result)
                    self._failure = self._failure or told  # the first one is the cause of the others
                if done is None or done.done():
                    continue
                if isinstance(result, Exception) and self._failure is not None:
                    done.set_exception(self._failure)
                else:
                    done.set_result(result)

    def _told(self, error: Exception) -> JournalError:
        """Return the error for users of an error of the file."""
        if isinstance(error, sqlite3.Error):
            return JournalError(f"{_no_table(error)}; nothing more was sent")
        lost = ", and what ended since is not written where it is looked for" if isinstance(error, MovedError) else ""
        return JournalError(f"cannot write the journal {str(self._path)!r}: {error}; nothing more was sent{lost}")

    async def _finish(self) -> None:
        """Follow all orders, even if the task that did so was cancelled, and close the file."""
        if os.getpid() != self._process:
            return  # the thread stayed with the parent
        try:
            async with asyncio.timeout(self._patience):
                while self._orders or (self._busy is not None and not self._busy.done()):
                    if self._busy is None or self._busy.done():
                        self._busy = asyncio.create_task(self._carry_out())
                    await asyncio.wait({self._busy})
                await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        except TimeoutError:
            self._failure = self._hanging(
                "the latest outcomes may not be written: what they end is settled by a later run"
            )
            if self._busy is not None and self._handed is not None:
                self._busy.cancel()
                self._handed.cancel()  # the thread goes on, and nobody asks for its result
                await asyncio.wait({self._busy})
            self._thread.submit(self._file.close_after, self._orders)


class _HangingError(JournalError):
    """The disk of a journal does not answer."""


class _Disk(Executor):
    """Works in threads, one after the other. The end of the program waits for none: a disk may hang for ever."""

    def __init__(self) -> None:
        self._last: Thread | None = None

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Let a thread call a function."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()

        def work(before: Thread | None) -> None:
            if before is not None:
                before.join()  # a lock would not keep the order
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - raised for whoever asks for the result
                future.set_exception(error)

        thread = Thread(target=work, args=(self._last,), name="workorder-journal", daemon=True)
        thread.start()
        self._last = thread
        return future


async def to_its_end(work: Coroutine[object, object, T]) -> T:
    """Await this to its end, however often the task is cancelled meanwhile; then pass the cancellation on."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


@define
class Record:
    """One mutation and its outcome. Without an outcome it is UNKNOWN: it was about to be sent."""

    operation: str = ""
    """The name of the mutation's class; "" if the journal holds its outcome alone."""
    mutation: dict[str, JSON] = field(factory=dict)
    """The mutation's fields."""
    began: float = 0.0
    """When it was first begun, in seconds since the epoch."""
    state: State = State.UNKNOWN
    """Its last outcome."""
    facts: dict[str, JSON] = field(factory=dict)
    """The other parts of that line: `at`, `ticket_id`, `attempts`, `request_id`, `error`, `mark`."""

    @property
    def counts(self) -> bool:
        """Whether it was done or may have been."""
        return self.state in (State.DONE, State.ALREADY, State.UNKNOWN)


@define
class Records:
    """The content of a journal, in the order in which its mutations were first begun."""

    path: Path
    identity: dict[str, JSON] = field(factory=dict)
    """Which batch it is for: `platform`, the name of the `batch`, and the `list` if it was one."""
    by_key: dict[str, Record] = field(factory=dict)

    def take(self, number: int, line: dict[str, JSON]) -> None:
        """Note a line of the journal."""
        if number == 1:
            self.identity = _identity_of(line)
        elif "intent" in line:
            key, mutation = str(line["intent"]), line["mutation"]
            if not isinstance(mutation, dict):
                raise TypeError("no mutation")
            began = self.by_key[key].began if key in self.by_key else float(str(line["began"]))
            facts = {"mark": line["mark"]} if "mark" in line else {}
            self.by_key[key] = Record(str(line["operation"]), mutation, began, facts=facts)
        else:
            record = self.by_key.setdefault(str(line["outcome"]), Record())
            record.state = State[str(line["state"])]
            record.facts = {name: value for name, value in line.items() if name not in ("outcome", "state")}


def read_records(path: "str | os.PathLike[str]", *, may_be_new: bool = False) -> Records:
    """Read a journal; a torn last line is left out. Raises `JournalError` for a file that is none.

    With `may_be_new` there need be no file yet, and no first line in it: then the records have no identity.
    """
    records = Records(Path(path))
    if may_be_new and not records.path.is_file():
        return records
    try:
        if records.path.exists() and not records.path.is_file():
            raise JournalError(f"{str(path)!r} is no file, and no journal")
        with records.path.open("rb") as lines:
            _read_lines(records.path, lines, records.take)
    except OSError as error:
        raise JournalError(f"cannot read the journal {str(path)!r}: {error.strerror}") from None
    if not records.identity and not may_be_new:
        raise JournalError(f"{str(path)!r} is empty: it is no journal of a batch that has begun")
    return records


def _read_lines(
    path: Path | None, lines: Iterable[bytes], take: Callable[[int, dict[str, JSON]], None]
) -> tuple[int, int]:
    """Give `take` the number and the content of every line; return the end of the last whole line, and its checksum.

    Raises `JournalError` for a line that cannot be read, or is not as it was written.
    """
    end = total = 0
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n") and _is_torn(number, line):
            break
        body, found = line[:-_SUM_SIZE], line[-_SUM_SIZE:]
        try:
            if number == 1:
                _check_version(path, line)
            total = crc32(body, total)
            if found != _SUM % total:
                raise ValueError("another checksum")
            take(number, _parsed(body + b"}"))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise JournalError(
                f"line {number} of the journal {str(path)!r} cannot be read: it was changed or damaged, or the file is "
                "no journal; nothing was sent, for what it said may have happened: restore it, or look for its "
                "mutations by hand and choose another file"
            ) from None
        end += len(line)
    return end, total


def _rewritten(file: LockedFile, path: Path, forgotten: Collection[str]) -> tuple[LockedFile, int]:
    """Put a journal without the lines of these keys in the place of the old one; return it, and its checksum."""
    part = Path(f"{os.path.realpath(path)}.part")
    part.unlink(missing_ok=True)
    fresh, total, kept = LockedFile(part, is_ours=True), 0, list[bytes]()
    try:
        for number, line in enumerate(file.lines(), 1):
            body = line[:-_SUM_SIZE]
            content = _parsed(body + b"}")
            if number == 1 or str(content.get("intent") or content.get("outcome")) not in forgotten:
                total = crc32(body, total)
                kept.append(body + _SUM % total)
        fresh.append(b"".join(kept))
        fresh.rename(os.path.realpath(path))
    except BaseException:
        fresh.close()
        part.unlink(missing_ok=True)
        raise
    file.close()
    return fresh, total


def _is_torn(number: int, tail: bytes) -> bool:
    """Tell whether a tail without a line feed is what a crash left of a line.

    The tail of a first line begins as ours do. What goes on after a checksum is no tail: its line feed was damaged. (In
    a text of ours the quotes would be escaped.)
    """
    if number == 1 and tail[: len(_HEAD)] != _HEAD[: len(tail)]:
        return False
    return _MARK not in tail[: len(_MARK) - _SUM_SIZE]


def _check_version(path: Path | None, line: bytes) -> None:
    """Raise `JournalError` if the first line is of another version's journal."""
    head = _parsed(line)
    if head["journal"] != "workorder_async" or head["version"] != VERSION:
        raise JournalError(
            f"{str(path)!r} is a journal of another version; go on with that version, or look what became of its "
            "mutations and choose another file for the rest"
        )


def _identity_of(head: dict[str, JSON]) -> dict[str, JSON]:
    """Return which batch the first line says the journal is for."""
    return {name: value for name, value in head.items() if name not in ("journal", "version")}


def _no_table(error: sqlite3.Error) -> str:
    """Say that the temporary file cannot be used."""
    return (
        f"the temporary file of the batch, which remembers its mutations, cannot be used: {error}; make room in the "
        "folder for temporary files, or name another one in the variable SQLITE_TMPDIR"
    )


def _line(value: dict[str, JSON]) -> bytes:
    return to_json(value) + b"\n"


def _parsed(line: bytes) -> dict[str, JSON]:
    try:
        value = loads(line)
    except ValueError:
        value = json.loads(line)  # it takes the lone surrogates that to_json escapes
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def _mend(found: dict[str, JSON], own: dict[str, JSON]) -> str:
    """Say what else can be done where only the list is another."""
    if {**found, "list": ""} != {**own, "list": ""}:
        return ""
    return (
        " after `settle_journal`, or hand over the same list; what is read anew in each run belongs into a generator, "
        "from the first run on"
    )


def _words(identity: dict[str, JSON]) -> str:
    """Say which batch a journal is for."""
    return ", ".join(f"{name} {value}" for name, value in identity.items() if value) or "no name"
