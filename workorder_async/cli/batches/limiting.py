"""`--limit`: how many more tickets may be changed, over all runs with one journal."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from attrs import define

from workorder_async.cli.batches.choosing import BatchOptions, Change, Chosen
from workorder_async.cli.terminal.output import note
from workorder_async.errors import ConfigError, JournalError
from workorder_async.mutations.kinds import key_of


@define
class Allowance:
    """How many changes are left of a limit. What the journal says was done, or may have been, has used it up."""

    left: int
    _counted: set[str]

    @classmethod
    def of(cls, limit: int, journal: Path | None) -> Self:
        """Read what the journal says. Raises `ConfigError` for a file that is none."""
        from workorder_async.batches.journal import read_records

        counted: set[str] = set()
        if journal is not None and journal.is_file() and journal.stat().st_size:
            try:
                records = read_records(journal)
            except JournalError as error:
                raise ConfigError(str(error)) from None
            counted = {key for key, record in records.by_key.items() if record.counts}
        return cls(limit - len(counted), counted)

    def take(self, change: Change) -> bool:
        """Take one change of what is left; one that the journal counts already is free."""
        key = key_of(change)
        if key in self._counted:
            return True
        if self.left <= 0:
            return False
        self.left -= 1
        self._counted.add(key)
        return True


def within_limit(chosen: Sequence[Chosen], options: BatchOptions, change: Callable[[Chosen], Change]) -> list[Chosen]:
    """Return the tickets that --limit lets be changed, and say how many it leaves out."""
    if options.limit is None:
        return list(chosen)
    allowance = Allowance.of(options.limit, options.journal)
    before = options.limit - allowance.left
    # What cannot be read is not changed, and is only told.
    kept = [one for one in chosen if one.error is not None or allowance.take(change(one))]
    if len(kept) < len(chosen):
        by_journal = f", of which the journal counts {before:,}" if before else ""
        note(f"--limit {options.limit:,}{by_journal}: {len(chosen) - len(kept):,} of {len(chosen):,} are left out")
    return kept
