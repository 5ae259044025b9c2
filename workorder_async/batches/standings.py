"""What is known of each mutation of a journal, in a temporary SQLite file, so that memory stays flat."""

import json
import sqlite3
from collections.abc import Iterator
from enum import Enum

from attrs import frozen

from workorder_async.models import JSON


class Standing(Enum):
    """What is known of a mutation that is about to be sent."""

    NEW = "new"
    """Nothing, or that it did not happen: its intent is on disk now."""
    DONE = "done"
    """It was done, or is being done by this batch: not to be sent again."""
    OPEN = "open"
    """An earlier run may have sent it, and its outcome is not known: to be looked for, not to be sent."""


@frozen
class Entry:
    """A mutation as a journal keeps it: its key, what is to be sent, and when it was first begun, by our own clock.

    `trace` is what it would be found by; "" where it leaves nothing that another one could have left.
    """

    key: str
    operation: str
    mutation: JSON
    began: float
    trace: str = ""


_TABLE = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4000;
CREATE TABLE entries (key TEXT PRIMARY KEY, standing TEXT, began REAL, line BLOB, trace TEXT) WITHOUT ROWID;
CREATE INDEX traces ON entries (trace) WHERE trace != '';
"""
# Begun by this run; left open by an earlier one; done; or free to be sent again.
_HERE, _OPEN, _DONE, _FREE = "here", "open", "done", "free"
_ENDS = {"DONE": _DONE, "ALREADY": _DONE, "UNKNOWN": _HERE}


class Standings:
    """The standing of every mutation by its key; used by one thread at a time."""

    def __init__(self) -> None:
        # A database without a name is a temporary file, deleted when it is closed.
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)

    def open(self) -> None:
        """Make the table."""
        self._table.executescript(_TABLE)

    def close(self) -> None:
        """Delete it."""
        self._table.close()

    def __del__(self) -> None:
        # A batch may be left behind without its end, as by a loop that is closed amid it.
        self._table.close()

    def take_in_intent(self, key: str, began: float, line: bytes, trace: str) -> None:
        """Note an intent of an earlier run, and its line."""
        _, earlier = self._of(key)
        self._set(key, _OPEN, earlier or began, line, trace)

    def take_in_outcome(self, key: str, state: str) -> None:
        """Note an outcome of an earlier run; raises `ValueError` for an unknown one of nothing."""
        if self._of(key)[0] is None and state == "UNKNOWN":
            raise ValueError("an outcome of nothing")
        self._set(key, _OPEN if state == "UNKNOWN" else _ENDS.get(state, _FREE))

    def begin(self, entry: Entry) -> tuple[Standing, float]:
        """Return what is known of a mutation, and when it was first begun; it is this run's now."""
        standing, began = self._of(entry.key)
        if standing in (_HERE, _DONE):
            return Standing.DONE, began
        self._set(entry.key, _HERE, began or entry.began, trace=entry.trace)
        return (Standing.OPEN, began) if standing == _OPEN else (Standing.NEW, entry.began)

    def end(self, key: str, state: str) -> None:
        """Note an outcome of this run."""
        self._set(key, _ENDS.get(state, _FREE))

    def leave_open(self, key: str) -> None:
        """Give back what an earlier run left open and this one began to look at."""
        self._set(key, _OPEN)

    def has_twin(self, entry: Entry) -> bool:
        """Tell whether another mutation leaves the same trace."""
        found = self._table.execute(
            "SELECT 1 FROM entries WHERE trace = ? AND trace != '' AND key != ? LIMIT 1", (entry.trace, entry.key)
        )
        return found.fetchone() is not None

    def left_open(self) -> Iterator[Entry]:
        """Yield what an earlier run left open and this one has not begun."""
        for key, began, line in self._table.execute(
            "SELECT key, began, line FROM entries WHERE standing = ?", (_OPEN,)
        ):
            intent = json.loads(line)
            yield Entry(key, intent["operation"], intent["mutation"], began, intent.get("trace", ""))

    def _of(self, key: str) -> tuple[str | None, float]:
        row = self._table.execute("SELECT standing, began FROM entries WHERE key = ?", (key,)).fetchone()
        return (None, 0.0) if row is None or row[0] == _FREE else (str(row[0]), float(row[1]))

    def _set(
        self, key: str, standing: str, began: float | None = None, line: bytes | None = None, trace: str | None = None
    ) -> None:
        self._table.execute(
            "INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO UPDATE SET standing = ?2, "
            "began = coalesce(?3, began), line = CASE WHEN ?2 IN ('open', 'here') THEN coalesce(?4, line) END, "
            "trace = coalesce(?5, trace)",
            (key, standing, began, line, trace),
        )
