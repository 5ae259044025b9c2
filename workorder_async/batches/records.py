"""A journal for people: read without its lock, also while a batch writes it."""

import os
from pathlib import Path

from attrs import define, field

from workorder_async.batches.journal_lines import identity_in, read_lines
from workorder_async.batches.outcomes import State
from workorder_async.document import JSON
from workorder_async.errors import JournalError


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
            self.identity = identity_in(line)
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
    except OSError as error:
        raise JournalError(f"cannot read the journal {str(path)!r}: {error.strerror}") from None
    if not records.identity and not may_be_new:
        raise JournalError(f"{str(path)!r} is empty: it is no journal of a batch that has begun")
    return records
