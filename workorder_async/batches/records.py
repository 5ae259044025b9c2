"""The lines of a journal: how they are written and read, what a crash may have left of them, and what they tell people.

One JSON object a line. The last member of each line is a checksum, of the line and of all lines before it. A torn last
line, as a crash leaves it, is left out. Any other line that cannot be read is an error, and so is a word that is not
known: neither ever means that something may be sent.

`read_records` needs no lock: a batch may be writing meanwhile.
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from zlib import crc32

from attrs import define, field

from workorder_async.batches.outcomes import State
from workorder_async.document import JSON
from workorder_async.document.json_text import loads, to_json
from workorder_async.errors import JournalError

VERSION = 2
INTENT = b'{"intent":'
_HEAD = b'{"journal":"workorder_async","version":'
_MARK = b',"sum":"'
SUM = _MARK + b'%08x"}\n'
SUM_SIZE = len(SUM % 0)


def line_of(value: dict[str, JSON]) -> bytes:
    """Return a line without its checksum."""
    return to_json(value) + b"\n"


def parsed(line: bytes) -> dict[str, JSON]:
    """Read a line. Raises `ValueError` or `TypeError` for one that is no object."""
    try:
        value = loads(line)
    except ValueError:
        value = json.loads(line)  # it takes the lone surrogates that to_json escapes
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def sealed(lines: Iterable[bytes], total: int) -> tuple[bytes, int]:
    """Give lines their checksums, after lines whose checksum is `total`; return them, and the checksum of all."""
    kept = list[bytes]()
    for line in lines:
        total = crc32(line[:-2], total)
        kept.append(line[:-2] + SUM % total)
    return b"".join(kept), total


def read_lines(path: Path, lines: Iterable[bytes], take: Callable[[int, dict[str, JSON]], None]) -> tuple[int, int]:
    """Give `take` the number and the content of every line; return the end of the last whole line, and its checksum.

    The content of the first one is the identity of the batch that the journal is for.
    Raises `JournalError` for a line that cannot be read, or is not as it was written.
    """
    end = total = 0
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n") and _is_torn(number, line):
            break
        body, found = line[:-SUM_SIZE], line[-SUM_SIZE:]
        try:
            if number == 1:
                head = parsed(line)
                if head["journal"] != "workorder_async" or head["version"] != VERSION:
                    raise JournalError(
                        f"{str(path)!r} is a journal of another version; go on with that version, or look what became "
                        "of its mutations and choose another file for the rest"
                    )
            total = crc32(body, total)
            if found != SUM % total:
                raise ValueError("another checksum")
            content = parsed(body + b"}")
            if number == 1:
                del content["journal"], content["version"]
            take(number, content)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise JournalError(
                f"line {number} of the journal {str(path)!r} cannot be read: it was changed or damaged, or the file is "
                "no journal; nothing was sent, for what it said may have happened: restore it, or look for its "
                "mutations by hand and choose another file"
            ) from None
        end += len(line)
    return end, total


def _is_torn(number: int, tail: bytes) -> bool:
    """Tell whether a tail without a line feed is what a crash left of a line.

    The tail of a first line begins as ours do. What goes on after a checksum is no tail: its line feed was damaged. (In
    a text of ours the quotes would be escaped.)
    """
    if number == 1 and tail[: len(_HEAD)] != _HEAD[: len(tail)]:
        return False
    return _MARK not in tail[: len(_MARK) - SUM_SIZE]


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
