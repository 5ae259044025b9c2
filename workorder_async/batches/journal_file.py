"""The file of a journal, its lines, and what they say: the side of a journal that works in a thread.

One JSON object a line. The first line says which batch the journal is for. An intent is a mutation that is about to be
sent; an outcome says what became of it. A torn last line, as a crash leaves it, is cut off. Any other line that nobody
can read is an error.
"""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from workorder_async.batches.standings import Entry, Standing, Standings
from workorder_async.document import JSON
from workorder_async.document.json_text import loads, to_json
from workorder_async.durable import InUseError, LockedFile, MovedError
from workorder_async.errors import JournalError

VERSION = 1
_HEAD = b'{"journal":"workorder_async","version":'
_INTENT = b'{"intent":'


class JournalFile:
    """The file at `path` and the standings of its mutations; with None, the standings alone. One thread uses it."""

    def __init__(self, path: Path | None, identity: dict[str, JSON]) -> None:
        self._path = path
        self._identity = identity
        self._file: LockedFile | None = None
        self._pending: list[bytes] = []
        self._begins = False  # whether something is to be sent when what is pending is on disk
        self.standings: Standings = Standings()

    def open(self) -> None:
        """Open the file and read it; raises `JournalError` if it is in use, another batch's, or unreadable."""
        self.standings.open()
        if self._path is None:
            return
        try:
            self._file = LockedFile(self._path)
            self._file.cut(read_lines(self._path, self._file.lines(), self._read_line))
            if self._file.size == 0:
                self._file.append(_line({"journal": "workorder_async", "version": VERSION, **self._identity}))
        except InUseError:
            raise JournalError(
                f"the journal {str(self._path)!r} is in use by another batch; wait for its end, "
                "or leave it by `contextlib.aclosing` where it was yours and left by `break`"
            ) from None
        except (OSError, ValueError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            raise JournalError(f"cannot open the journal {str(self._path)!r}: {why}; choose another file") from None

    def close(self) -> None:
        """Close the file; what was not written is lost."""
        self.standings.close()
        if self._file is not None:
            self._file.close()

    def is_in_place(self) -> bool:
        """Tell whether others find this file under its name; true if there is no file."""
        try:
            if self._file is not None:
                self._file.check_place()
        except MovedError:
            return False
        return True

    def work(self, orders: Iterable[Callable[[], object]]) -> list[object]:
        """Follow all orders; return what each of them returns when what they wrote is on disk, by one fsync."""
        self._pending, self._begins = [], False
        results = [order() for order in orders]
        if self._file is not None:
            self._flush(self._file)
        return results

    # What may be ordered

    def begin(self, entry: Entry) -> tuple[Standing, float]:
        """Begin a mutation, as `Standings.begin` does, and write the intent of what is NEW."""
        standing, began = self.standings.begin(entry)
        if standing is not Standing.DONE:
            self._begins = True
        if standing is Standing.NEW:
            self._write(
                {
                    "intent": entry.key,
                    "operation": entry.operation,
                    "mutation": entry.mutation,
                    "began": entry.began,
                    "trace": entry.trace,
                }
            )
        return standing, began

    def take_back(self, key: str, found: Standing | None) -> None:
        """Undo a beginning that was cancelled; `found` is what it found, or None if it did not come to that."""
        if found is Standing.NEW:
            self.end(key, "NOT_SENT", {})
        elif found is Standing.OPEN:
            self.standings.leave_open(key)

    def end(self, key: str, state: str, facts: dict[str, JSON]) -> None:
        """Write an outcome."""
        self.standings.end(key, state)
        self._write({"outcome": key, "state": state, "at": round(time.time(), 3), **facts})

    def _write(self, line: dict[str, JSON]) -> None:
        if self._file is not None:
            self._pending.append(_line(line))

    def _flush(self, file: LockedFile) -> None:
        """Put on disk what is pending; if others do not see the file, put the outcomes there only, and raise."""
        if not self._pending and not self._begins:
            return
        before = file.size
        try:
            file.check_place()
            file.append(b"".join(self._pending))
            file.check_place()
        except MovedError:
            # What is begun here is not sent. Whoever finds the file again wants to know what became of the others.
            if file.size != before:
                file.cut(before)
            file.append(b"".join(line for line in self._pending if not line.startswith(_INTENT)))
            raise

    # What a file says

    def _read_line(self, number: int, line: dict[str, JSON]) -> None:
        if number == 1:
            self._check_identity(identity_in(self._path, line))
        elif "intent" in line:
            key, began = str(line["intent"]), float(str(line["began"]))
            if not isinstance(line["operation"], str) or not isinstance(line["mutation"], dict):
                raise TypeError("no mutation")
            self.standings.read_intent(key, began, _line(line), str(line.get("trace", "")))
        else:
            self.standings.read_outcome(str(line["outcome"]), str(line["state"]))

    def _check_identity(self, found: dict[str, JSON]) -> None:
        if found != self._identity:
            raise JournalError(
                f"the journal {str(self._path)!r} belongs to another batch ({_words(found)}, "
                f"not {_words(self._identity)}); choose another file"
            )


def read_lines(path: Path | None, lines: Iterable[bytes], take: Callable[[int, dict[str, JSON]], None]) -> int:
    """Let `take` have the number and the content of every line; return where the last whole line ends.

    Raises `JournalError` for a line that cannot be read.
    """
    end = 0
    for number, line in enumerate(lines, 1):
        # A first line that is torn is ours only if it begins as ours does.
        if not line.endswith(b"\n") and (number > 1 or line[: len(_HEAD)] == _HEAD[: len(line)]):
            break
        try:
            take(number, _parsed(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise JournalError(
                f"line {number} of the journal {str(path)!r} cannot be read: it is no journal of this library, or was "
                "changed by hand"
            ) from None
        end += len(line)
    return end


def identity_in(path: Path | None, head: dict[str, JSON]) -> dict[str, JSON]:
    """Return which batch the first line says the journal is for. Raises `JournalError` for another version's."""
    if head["journal"] != "workorder_async" or head["version"] != VERSION:
        raise JournalError(f"{str(path)!r} is a journal of another version; choose another file")
    return {name: value for name, value in head.items() if name not in ("journal", "version")}


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


def _words(identity: dict[str, JSON]) -> str:
    """Say which batch a journal is for."""
    return ", ".join(f"{name} {value}" for name, value in identity.items() if value) or "no name"
