"""What a journal knows of each mutation, by its key: its standing.

The file tells what earlier runs did, line by line; then this run begins mutations and ends them. Each event leads to
the standing in its row (. it stays as it is, - this does not happen):

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

A mutation that was OPEN is sent only if settling shows that it did not happen. The standings are in a temporary SQLite
file, so that memory stays flat however long a batch is.
"""

import json
import sqlite3
from enum import Enum

from attrs import frozen

from workorder_async.batches.outcomes import State
from workorder_async.document import JSON


class Standing(Enum):
    """What is known of a mutation."""

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
    """A mutation as a journal keeps it: its key, what is to be sent, and when it was first begun, by our own clock.

    `trace` is what it would be found by; "" if it leaves nothing that another one could have left.
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
_SET = """
INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO UPDATE SET
    standing = ?2,
    began = coalesce(?3, began),
    line = CASE WHEN ?2 IN ('open', 'begun') THEN coalesce(?4, line) END,
    trace = coalesce(?5, trace)
"""
# The standing after an outcome; NEW after any other but UNKNOWN.
_AFTER = {State.DONE.name: Standing.DONE, State.ALREADY.name: Standing.DONE}


class Standings:
    """The standing of every mutation, by its key. One thread uses it at a time."""

    def __init__(self) -> None:
        # A database without a name is a temporary file, deleted when it is closed.
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)

    def open(self) -> None:
        """Make the table."""
        self._table.executescript(_TABLE)

    def close(self) -> None:
        """Delete the table."""
        self._table.close()

    def __del__(self) -> None:
        # A batch may be left behind without its end, as by a loop that is closed amid it.
        self._table.close()

    # What the file says of earlier runs

    def read_intent(self, key: str, began: float, line: bytes, trace: str) -> None:
        """Note an intent, and its line. What is open already was begun at its first intent."""
        _, earlier = self._of(key)
        self._set(key, Standing.OPEN, earlier or began, line, trace)

    def read_outcome(self, key: str, state: str) -> None:
        """Note an outcome; raises `ValueError` if it is unknown what became of nothing."""
        if state != State.UNKNOWN.name:
            self._set(key, _AFTER.get(state, Standing.NEW))
        elif self._of(key)[0] is Standing.NEW:
            raise ValueError("an outcome of nothing")

    # What this run does

    def begin(self, entry: Entry) -> tuple[Standing, float]:
        """Begin a mutation; return the standing that it was found in, and when it was first begun.

        DONE is also returned for what was BEGUN: either is skipped.
        """
        standing, began = self._of(entry.key)
        if standing in (Standing.BEGUN, Standing.DONE):
            return Standing.DONE, began
        began = began or entry.began
        self._set(entry.key, Standing.BEGUN, began, trace=entry.trace)
        return standing, began

    def end(self, key: str, state: str) -> None:
        """Note an outcome."""
        self._set(key, Standing.BEGUN if state == State.UNKNOWN.name else _AFTER.get(state, Standing.NEW))

    def leave_open(self, key: str) -> None:
        """Take back the beginning of a mutation that was open."""
        self._set(key, Standing.OPEN)

    # What is asked

    def has_twin(self, entry: Entry) -> bool:
        """Tell whether another mutation leaves the same trace."""
        found = self._table.execute(
            "SELECT 1 FROM entries WHERE trace = ? AND trace != '' AND key != ? LIMIT 1", (entry.trace, entry.key)
        )
        return found.fetchone() is not None

    def left_open(self) -> list[Entry]:
        """Return what an earlier run left open and this one has not begun."""
        found = self._table.execute("SELECT key, began, line FROM entries WHERE standing = ?", (Standing.OPEN.value,))
        intents = ((key, began, json.loads(line)) for key, began, line in found)
        return [
            Entry(key, intent["operation"], intent["mutation"], began, intent.get("trace", ""))
            for key, began, intent in intents
        ]

    def _of(self, key: str) -> tuple[Standing, float]:
        """Return the standing of a mutation, and when it was first begun: 0 for what is NEW, and where no line says."""
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
        """Give a mutation its next standing; None keeps what was there."""
        self._table.execute(_SET, (key, standing.value, began, line, trace))
