"""The file of a journal: its lines, the standing of each mutation by them, and a view of them for people.

One JSON object a line. The first one says which batch the journal is for. An intent is a mutation that is about to be
sent; it is on disk (fsync) before its mutation is sent. An outcome is written after. The last member of each line is a
checksum, of the line and of all lines before it. A torn last line, as a crash leaves it, is left out; one that lacks
its line feed alone, as an editor leaves it, counts. Any other line that cannot be read is an error, and so is a word
that is not known: neither ever means that something may be sent.

A `JournalFile` is used by the thread of a batch, and locked against other processes while it is open. `read_records`
needs no lock: a batch may be writing meanwhile.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from enum import Enum
from functools import cache
from math import inf
from pathlib import Path
from typing import Any, TypeAlias
from zlib import crc32

from attrs import define, field, frozen

from workorder_async.batches.outcomes import State
from workorder_async.document import JSON
from workorder_async.document.json_text import loads, to_json
from workorder_async.durable import InUseError, LockedFile, MovedError
from workorder_async.errors import JournalError
from workorder_async.mutations.kinds import NAMES
from workorder_async.mutations.memory import EarlierRun
from workorder_async.signing.clock import Ahead

_VERSION = 2
_INTENT = b'{"intent":'
_HEAD = b'{"journal":"workorder_async","version":'
_MARK = b',"sum":"'
_SUM = _MARK + b'%08x"}\n'
_SUM_SIZE = len(_SUM % 0)
_Product: TypeAlias = tuple[str, bool]
# Mutations that are further apart, in seconds, cannot be under way at the same time.
_NEAR = 600.0
# Outcomes after which this run does not send a mutation again.
_LASTING = frozenset({State.DONE.name, State.ALREADY.name, State.UNKNOWN.name})
_TABLE = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4000;
CREATE TABLE entries (
    key TEXT PRIMARY KEY, standing TEXT, intent BLOB, place TEXT, since REAL, until REAL
) WITHOUT ROWID;
CREATE INDEX places ON entries (place) WHERE place != '';
"""
# The intent of a mutation that ends as DONE is deleted: no look of this run needs it.
_SET = """
INSERT INTO entries (key, standing) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET
    standing = excluded.standing, intent = CASE WHEN excluded.standing != 'done' THEN intent END
"""


def _parsed(line: bytes) -> dict[str, JSON]:
    """Read a line. Raises `ValueError` or `TypeError` for one that is no object."""
    try:
        value = loads(line)
    except ValueError:
        value = json.loads(line)  # it takes the lone surrogates that to_json escapes
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def _sealed(objects: Iterable[bytes], total: int) -> tuple[bytes, int]:
    """Make lines of JSON objects, after lines whose checksum is `total`; return them, and the checksum of all."""
    lines = list[bytes]()
    for json_object in objects:
        body = json_object[:-1]
        total = crc32(body, total)
        lines.append(body + _SUM % total)
    return b"".join(lines), total


def read_lines(path: Path, lines: Iterable[bytes], take: Callable[[int, dict[str, JSON]], None]) -> tuple[int, int]:
    """Give `take` the number and the content of every line; return the end of the last whole line, and its checksum.

    The content of the first one is the identity of the batch that the journal is for. Where the last line feed is
    missing, that end is one byte behind the end of the file.
    Raises `JournalError` for a line that cannot be read, or was changed since it was written.
    """
    end = total = 0
    for number, found_line in enumerate(lines, 1):
        if not found_line.endswith(b"\n") and _is_torn(number, found_line):
            break
        line = found_line.removesuffix(b"\n") + b"\n"
        body, found = line[:-_SUM_SIZE], line[-_SUM_SIZE:]
        try:
            if number == 1:
                head = _parsed(line)
                if head["journal"] != "workorder_async" or head["version"] != _VERSION:
                    raise JournalError(
                        f"{str(path)!r} is a journal of another version; go on with that version, or look for its "
                        "mutations by hand and choose another file for the rest"
                    )
            total = crc32(body, total)
            if found != _SUM % total:
                raise ValueError("another checksum")
            content = _parsed(body + b"}")
            if number == 1:
                del content["journal"], content["version"]
            take(number, content)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise JournalError(
                f"line {number} of the journal {str(path)!r} cannot be read: it was changed or damaged, or the file is "
                "no journal; nothing was sent, since its mutations may have happened: restore it, or look for them "
                "by hand and choose another file"
            ) from None
        end += len(line)
    return end, total


def _is_torn(number: int, tail: bytes) -> bool:
    """Tell whether a tail without a line feed is the part of a line that a crash left.

    The tail of a first line begins as our first lines do. A line with a whole checksum is not torn: its line feed alone
    is missing, or was damaged. (A text within a line cannot hold `_MARK`: its quotes would be escaped.)
    """
    if number == 1 and tail[: len(_HEAD)] != _HEAD[: len(tail)]:
        return False
    return _MARK not in tail[: 1 + len(_MARK) - _SUM_SIZE]


class Standing(Enum):
    """The knowledge about a mutation."""

    NEW = "new"
    """Nothing, or that it did not happen: it may be sent."""
    OPEN = "open"
    """An earlier run may have sent it, and its outcome is unknown: it is settled before it may be sent."""
    DONE = "done"
    """A run has done it, or this run has begun it and does not know that it was not done: it is not sent again."""


@frozen
class Entry:
    """An intent: a mutation's key, its class and its fields, and when it was first begun, by our own clock.

    `place` is where it leaves its sign, "" for none; `mark` the mark below its text; `ahead` how far the
    server's clock was ahead then, None if that was not known; `run` when its run began with it, and for how long it
    could send it.
    """

    key: str
    operation: str
    mutation: JSON
    began: float
    place: str = ""
    mark: str = ""
    ahead: Ahead | None = None
    run: EarlierRun = field(factory=EarlierRun)

    @property
    def span(self) -> tuple[float, float]:
        """From when to when it can have happened, by the server's clock; at any time if that was not known."""
        if self.ahead is None:
            return -inf, inf
        return self.began + self.ahead.least, self.began + self.ahead.most + self.run.within + self.run.attempt


@cache
def _start_of_machine() -> str:
    """Return a text that tells this start of this machine from others; "" where the system has none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        # A container may have a steady clock of its own.
        return f"{boot[:8]}-{os.stat('/proc/self/ns/time').st_ino}"
    except (OSError, ValueError):
        return ""


class JournalFile:
    """The file of a journal, and the standing of each mutation by its key; with `path` None the standings alone.

    One thread uses it at a time. The file tells what earlier runs did, line by line; then this run begins mutations and
    ends them. Each event leads to the standing in its row (. it stays as it is, - this does not happen):

                                          NEW         OPEN        DONE
        in the file:  an intent           OPEN        .           OPEN
                      DONE or ALREADY     DONE        DONE        .
                      UNKNOWN             (refused)   .           .
                      any other outcome   .           NEW         NEW
        in this run:  it is begun         DONE        DONE        .
                      that is cancelled   -           -           as before
                      DONE or ALREADY     -           DONE        .
                      UNKNOWN             -           DONE        .
                      any other outcome   -           NEW         NEW

        What begun means for sending:     is sent     is settled  is skipped

    A mutation that was OPEN is sent only if settling shows that it did not happen. The standings are in a temporary
    SQLite file, so that memory stays flat however long a batch is; NEW mutations have no row there.
    """

    def __init__(self, path: Path | None, identity: dict[str, JSON]) -> None:
        self._path = path
        self._identity = identity
        self._file: LockedFile | None = None
        # A database without a name is a temporary file, deleted when it is closed.
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._total = 0  # the checksum of all lines in the file
        # By key, the product line and the creator of each ticket that an earlier run began to create; by product line,
        # the ticket that it made last, and its creator.
        self._creating = dict[str, tuple[_Product, JSON]]()
        self._made = dict[_Product, tuple[int, int]]()
        self._pending: list[bytes] = []
        # The mutations that are sent or settled once the pending lines are on disk, and their standings before.
        self._begun: list[tuple[str, Standing]] = []

    def open(self) -> None:
        """Open the file and read it; raises `JournalError` if it is in use, another batch's, or unreadable."""
        try:
            self._table.executescript(_TABLE)
            if self._path is None:
                return
            self._file = LockedFile(self._path)
            end, self._total = read_lines(self._path, self._file.lines(), self.read)
            if end > self._file.size:
                self._file.append(b"\n")
            self._file.cut(end)
            if self._file.size == 0:
                head: dict[str, JSON] = {"journal": "workorder_async", "version": _VERSION, **self._identity}
                self._append(self._file, [to_json(head)])
        except InUseError:
            users = "by another program, or elsewhere in this one"
            raise JournalError(f"the journal {str(self._path)!r} is in use {users}; wait for its end") from None
        except (OSError, ValueError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            raise JournalError(f"cannot open the journal {str(self._path)!r}: {why}; choose another file") from None
        except sqlite3.Error as error:
            raise JournalError(f"{no_table(error)}; nothing was sent") from None

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

        A further intent of a mutation that is OPEN keeps the `began` of the first.
        """
        if number == 1:
            _refuse_other(self._path, line, self._identity)
        elif "intent" in line:
            key, began = str(line["intent"]), float(str(line["began"]))
            if line["operation"] not in NAMES or not isinstance(line["mutation"], dict):
                raise TypeError("no mutation")
            if self._standing_of(key) is Standing.OPEN:
                began = self._first_intent(key).began
            intent = {**line, "began": began}
            entry = _entry_of(intent)
            row = (key, Standing.OPEN.value, to_json(intent), entry.place, *entry.span)
            self._table.execute("REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?)", row)
            if "creator_id" in line["mutation"]:
                self._creating[key] = _product_of(line["mutation"]), line["mutation"]["creator_id"]
        elif (state := State[str(line["state"])]) is not State.UNKNOWN:
            product, creator_id = self._creating.pop(str(line["outcome"]), (None, None))
            id = line.get("ticket_id")
            if product is not None and state is State.DONE and isinstance(creator_id, int) and isinstance(id, int):
                self._made[product] = id, creator_id
            self._set_after(str(line["outcome"]), state.name)
        elif self._standing_of(str(line["outcome"])) is Standing.NEW:
            raise ValueError("an outcome of nothing")

    def check_place(self) -> None:
        """Raise `MovedError` unless others find this file under its name, or there is no file."""
        if self._file is not None:
            self._file.check_place()

    def work(self, orders: Iterable[Callable[[], object]]) -> list[object]:
        """Follow all orders; return their results, or errors, when all lines are on disk, by one fsync.

        Raises `OSError` if the disk fails: no mutation is begun then, and outcomes are written with the next orders.
        """
        self._begun = []
        results: list[object] = []
        for order in orders:
            try:
                results.append(order())
            except (sqlite3.Error, JournalError, MovedError) as error:
                results.append(error)  # lines of other orders are written all the same
        if self._file is not None and (self._pending or self._begun):
            try:
                self._flush(self._file)
            except OSError:
                self._pending = [line for line in self._pending if not line.startswith(_INTENT)]
                for key, found in self._begun:
                    self._set(key, found)
                raise
            self._pending = []
        return results

    def begin(self, entry: Entry) -> tuple[Standing, Entry]:
        """Begin a mutation; return the standing that it was found in, and its first intent if that is OPEN.

        One that is DONE is to be skipped. The intent of a NEW one is written.
        """
        standing = self._standing_of(entry.key)
        if standing is Standing.DONE:
            return standing, entry
        self._begun.append((entry.key, standing))
        if standing is Standing.OPEN:
            first = self._first_intent(entry.key)
            # The intent stays: `take_back` may make the mutation OPEN again.
            self._table.execute("UPDATE entries SET standing = ? WHERE key = ?", (Standing.DONE.value, entry.key))
            return standing, first
        self._set(entry.key, Standing.DONE)
        self._write(_intent_of(entry))
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
        self._set_after(key, state)

    def has_twin(self, entry: Entry) -> bool:
        """Tell whether another mutation of an earlier run, at the same place and near in time, may look like this one.

        Texts are not compared: a platform may store them otherwise than they were sent. The place of a close ends with
        a blank and its solution: its twins are closes with the same solution. The client knows the twins of this run.
        """
        since, until = entry.span
        found = self._table.execute(
            "SELECT 1 FROM entries WHERE place BETWEEN ? AND ? || '!' AND place != '' AND key != ? "
            "AND since < ? AND until > ? LIMIT 1",
            (entry.place, entry.place, entry.key, until + _NEAR, since - _NEAR),
        )
        return found.fetchone() is not None

    def made_like(self, entry: Entry) -> tuple[int, int] | None:
        """Return a ticket that an earlier run made for the product line of this creation, and its creator."""
        return self._made.get(_product_of(entry.mutation))

    def forget(self, keys: Collection[str], *, rewrites: bool) -> None:
        """Forget mutations that are over. With `rewrites` their lines leave the file, too: before anything is begun."""
        self._table.executemany("DELETE FROM entries WHERE key = ?", ((key,) for key in keys))
        if rewrites and self._file is not None and self._path is not None:
            with suppress(OSError):  # a file that is mounted by itself cannot be replaced, and need not be
                self._file, self._total = _rewritten(self._file, self._path, frozenset(keys))

    def left_open(self) -> list[Entry]:
        """Return the mutations that an earlier run left open and this one has not begun."""
        found = self._table.execute("SELECT intent FROM entries WHERE standing = ?", (Standing.OPEN.value,))
        return [_entry_of(json.loads(intent)) for (intent,) in found]

    def _first_intent(self, key: str) -> Entry:
        """Return the first intent of a mutation that an earlier run left open."""
        (intent,) = self._table.execute("SELECT intent FROM entries WHERE key = ?", (key,)).fetchone()
        return _entry_of(json.loads(intent))

    def _standing_of(self, key: str) -> Standing:
        row = self._table.execute("SELECT standing FROM entries WHERE key = ?", (key,)).fetchone()
        return Standing.NEW if row is None else Standing(row[0])

    def _set(self, key: str, standing: Standing) -> None:
        if standing is Standing.NEW:
            self._table.execute("DELETE FROM entries WHERE key = ?", (key,))
        else:
            self._table.execute(_SET, (key, standing.value))

    def _set_after(self, key: str, state: str) -> None:
        self._set(key, Standing.DONE if state in _LASTING else Standing.NEW)

    def _write(self, line: dict[str, JSON]) -> None:
        if self._file is not None:
            self._pending.append(to_json(line))

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
            self._pending = []
            raise

    def _append(self, file: LockedFile, objects: Iterable[bytes]) -> None:
        content, total = _sealed(objects, self._total)
        file.append(content)
        self._total = total


def _rewritten(file: LockedFile, path: Path, forgotten: Collection[str]) -> tuple[LockedFile, int]:
    """Put a journal without the lines of these keys in the place of the old one; return it, and its checksum."""
    part = Path(f"{os.path.realpath(path)}.part")
    part.unlink(missing_ok=True)
    fresh = LockedFile(part, is_ours=True)
    try:
        bodies = (line[:-_SUM_SIZE] + b"}" for line in file.lines())
        read = ((line, _parsed(line)) for line in bodies)
        kept = (line for line, it in read if it.get("intent", it.get("outcome")) not in forgotten)
        content, total = _sealed(kept, 0)
        fresh.append(content)
        file.check_place()
        fresh.rename(os.path.realpath(path))
    except BaseException:
        fresh.close()
        part.unlink(missing_ok=True)
        raise
    file.close()
    return fresh, total


def _product_of(mutation: JSON) -> _Product:
    """Return the product line of a creation, and whether that number is an own one."""
    fields = mutation if isinstance(mutation, dict) else {}
    return str(fields.get("repository_product_id")), bool(fields.get("whether_product_group_id"))


def _intent_of(entry: Entry) -> dict[str, JSON]:
    """Return the line of an intent; `_entry_of` reads it back."""
    line: dict[str, JSON] = {"intent": entry.key, "operation": entry.operation, "mutation": entry.mutation}
    line |= {"began": entry.began, "trace": entry.place}
    if entry.mark:
        line["mark"] = entry.mark
    run = entry.run
    if run.within < inf:
        line["within"] = round(run.within, 3)
    if run.attempt:
        line["attempt"] = run.attempt
    if entry.ahead:
        line["ahead"] = [entry.ahead.least, entry.ahead.most]
    elif run.start is not None and (start := _start_of_machine()):
        line["steady"] = [run.start, start]
    return line


def _entry_of(intent: dict[str, Any]) -> Entry:
    steady, start = intent.get("steady", (None, ""))
    attempt = intent.get("attempt", 0.0)
    run = EarlierRun(
        steady if start and start == _start_of_machine() else None,
        intent.get("within", inf),
        inf if attempt is None else attempt,  # JSON has no infinite number
    )
    return Entry(
        str(intent["intent"]),
        intent["operation"],
        intent["mutation"],
        intent["began"],
        str(intent.get("trace", "")),
        intent.get("mark", ""),
        Ahead(*intent["ahead"]) if "ahead" in intent else None,
        run,
    )


def no_table(error: sqlite3.Error) -> str:
    """Return the words for a temporary file that cannot be used."""
    return (
        f"the temporary file of the batch, which remembers its mutations, cannot be used: {error}; make room in the "
        "folder for temporary files, or name another one in the variable SQLITE_TMPDIR"
    )


def _refuse_other(path: Path | None, there: dict[str, JSON], here: dict[str, JSON]) -> None:
    """Raise `JournalError` for the journal of another batch."""
    if there == here:
        return
    mend = "choose another file"
    if {**there, "list": ""} == {**here, "list": ""}:
        mend = (
            "hand over the same list, or choose another file and hand over only the mutations that this one does not "
            "have: the others would be done again; a list that is read anew in each run must be a generator from the "
            "first run on"
        )
    raise JournalError(
        f"the journal {str(path)!r} belongs to another batch ({_words(there)}, not {_words(here)}); {mend}"
    )


def _words(identity: dict[str, JSON]) -> str:
    """Say which batch a journal is for."""
    return ", ".join(f"{name} {value}" for name, value in identity.items() if value) or "no name"


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


@define
class Records:
    """The content of a journal, in the order in which its mutations were first begun."""

    path: Path
    identity: dict[str, JSON] = field(factory=dict)
    """Which batch it is for: `platform`, the name of the `batch`, and the `list` if it was one."""
    by_key: dict[str, Record] = field(factory=dict)

    @property
    def unknown(self) -> int:
        """How many of them may or may not have happened."""
        return sum(record.state is State.UNKNOWN for record in self.by_key.values())

    @property
    def lasting(self) -> set[str]:
        """The keys of those that were done or may have been."""
        return {key for key, record in self.by_key.items() if record.state.name in _LASTING}

    def refuse_other(self, identity: dict[str, JSON]) -> None:
        """Raise `JournalError` if the journal is of another batch. A new file may become that of any batch."""
        if self.identity:
            _refuse_other(self.path, self.identity, identity)

    def take(self, number: int, line: dict[str, JSON]) -> None:
        """Note a line of the journal."""
        if number == 1:
            self.identity = line
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
            read_lines(records.path, lines, records.take)
    except (OSError, ValueError) as error:
        raise JournalError(f"cannot read the journal {str(path)!r}: {getattr(error, 'strerror', error)}") from None
    if not records.identity and not may_be_new:
        raise JournalError(f"{str(path)!r} is empty: it is no journal of a batch that has begun")
    return records
