"""What a journal tells people: what became of each mutation.

The file is read as it stands, without its lock: also while a batch goes on writing it.
"""

import os
from pathlib import Path

from attrs import define, field

from workorder_async.batches.journal_file import identity_in, read_lines
from workorder_async.batches.outcomes import State
from workorder_async.document import JSON
from workorder_async.errors import JournalError


@define
class Record:
    """What became of one mutation. Without an outcome it is UNKNOWN: it was about to be sent."""

    operation: str = ""
    """The name of the mutation's class; "" where the journal holds its outcome alone."""
    mutation: dict[str, JSON] = field(factory=dict)
    """What was to be sent."""
    began: float = 0.0
    """When it was first begun, in seconds since the epoch."""
    state: State = State.UNKNOWN
    """Its last outcome."""
    facts: dict[str, JSON] = field(factory=dict)
    """What the journal says of that: `at`, `ticket_id`, `attempts`, `request_id`, `error`."""

    @property
    def counts(self) -> bool:
        """Whether it was done or may have been."""
        return self.state in (State.DONE, State.ALREADY, State.UNKNOWN)


@define
class Records:
    """What a journal says, in the order in which its mutations were first begun."""

    path: Path
    identity: dict[str, JSON] = field(factory=dict)
    """Which batch it is for: `platform`, the name of the `batch`, and the `list` where it was one."""
    by_key: dict[str, Record] = field(factory=dict)

    def take(self, number: int, line: dict[str, JSON]) -> None:
        """Note what a line of the journal says."""
        if number == 1:
            self.identity = identity_in(self.path, line)
        elif "intent" in line:
            key, mutation = str(line["intent"]), line["mutation"]
            if not isinstance(mutation, dict):
                raise TypeError("no mutation")
            began = self.by_key[key].began if key in self.by_key else float(str(line["began"]))
            self.by_key[key] = Record(str(line["operation"]), mutation, began)
        else:
            record = self.by_key.setdefault(str(line["outcome"]), Record())
            record.state = State[str(line["state"])]
            record.facts = {name: value for name, value in line.items() if name not in ("outcome", "state")}


def read_records(path: "str | os.PathLike[str]") -> Records:
    """Read a journal; a torn last line is left out. Raises `JournalError` for a file that is none."""
    records = Records(Path(path))
    try:
        if records.path.exists() and not records.path.is_file():
            raise JournalError(f"{str(path)!r} is no file, and no journal")
        with records.path.open("rb") as lines:
            read_lines(records.path, lines, records.take)
    except OSError as error:
        raise JournalError(f"cannot read the journal {str(path)!r}: {error.strerror}") from None
    if not records.identity:
        raise JournalError(f"{str(path)!r} is empty: it is no journal of a batch that has begun")
    return records
