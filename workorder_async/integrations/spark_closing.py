"""Closes the tickets of a Spark frame: the driver's preparation of a job, and the work of one task.

`spark.py` calls this module and gives it plain rows. Nothing here imports Spark; `place_of` computes Spark's hash.

Each partition of the frame is closed by one task with a journal of its own. All journals are in one folder, on a disk
that the driver and all executors see:

    closing.json                 how many tasks the folder is for, and which job uses it now
    00003.journal                the closes that were about to be sent, and their outcomes
    00003.outcomes.jsonl         the outcomes of the task's last run, a line for each ticket

So a ticket must come to the same task in each run: the frame is partitioned by the hash of the id, and the number of
tasks never changes for a folder. Else a ticket would meet a journal that knows nothing of its close.
"""

import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from attrs import field, frozen
from attrs.validators import optional

from workorder_async.arguments import above_zero, as_validator, whole
from workorder_async.batches.batch import run_batch
from workorder_async.batches.outcomes import BatchReport, Outcome
from workorder_async.document import CloseTicket
from workorder_async.document.json_text import LINE_FEED, dumps, loads
from workorder_async.durable import InUseError, LockedFile, written_whole
from workorder_async.errors import ConfigError, JournalError, WorkorderError
from workorder_async.integrations.spark_options import WRITING, Connect, parsed, task_rate
from workorder_async.loop_thread import LoopThread

#: The columns of a frame of closes: for each the types that it may have in Spark, and whether it is required.
COLUMNS: Final[Mapping[str, tuple[Sequence[str], bool]]] = {
    "id": (("bigint",), True),
    "closer_id": (("bigint", "int"), True),
    "closer_name": (("string",), True),
    "solved_time": (("bigint", "int", "timestamp"), True),
    "detail": (("string",), False),
    "is_solved": (("boolean",), False),
}
#: The columns of outcomes, as a schema in Spark's DDL.
OUTCOME_DDL = "id BIGINT, state STRING, error STRING, attempts BIGINT, request_id STRING, seconds DOUBLE, task BIGINT"
OUTCOMES: Final = "outcomes.jsonl"
# Seconds to wait for the journal of a task whose earlier attempt is not dead yet, and seconds between two tries.
_PATIENCE: Final = 60.0
_NAP: Final = 0.2
_HEAD: Final = "closing.json"


def _local(instance: object, attribute: object, value: Path) -> None:
    """Refuse a URL and a relative path."""
    if re.match(r"[a-z][a-z0-9+.-]*:", str(value), re.IGNORECASE) or not value.is_absolute():
        raise ConfigError(
            f"is {str(value)!r}",
            argument="option journals",
            mend="it must be the full path of a folder on a disk that the driver and all executors see, such as "
            "/mnt/shared/closes: a journal is locked and synced, as object storage cannot be",
        )


@frozen(kw_only=True)
class SparkClosing:
    """How a job closes tickets; picklable. Raises `ConfigError` for values that can never work."""

    journals: Path = field(converter=Path, validator=_local)
    """The folder of the journals: a full path on a disk that the driver and all executors see."""
    tasks: int = field(default=4, validator=as_validator(whole))
    """The number of partitions of the frame, which `repartition(tasks, "id")` made."""
    rate: float | None = field(default=None, validator=optional(as_validator(above_zero)))
    """Requests of the whole job in a second, at the most."""
    concurrency: int = field(default=16, validator=as_validator(whole))
    """Closes under way at once in each task."""
    job: str = field(factory=lambda: secrets.token_hex(8))
    """A random text that tells this job from other jobs with the same folder."""

    @classmethod
    def of(cls, options: Mapping[str, str], columns: Mapping[str, str]) -> "SparkClosing":
        """Read the options of the data source and the types of the frame's columns. Raises `ConfigError`."""
        values = parsed(options, WRITING)
        if values.pop("operation", None) != "close":
            raise ConfigError('a frame can close tickets, and nothing else yet: give option("operation", "close")')
        if "journals" not in values:
            raise ConfigError(
                "give option journals, a folder that remembers the closed tickets, for when the job is cut short"
            )
        _check_columns(columns)
        return cls(**values)

    def begin(self) -> None:
        """Take the folder for this job, and delete the outcomes of the job before; for the driver.

        Raises `ConfigError` if the folder is for another number of tasks, and `JournalError` if it cannot be read.
        """
        try:
            self.journals.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            why = f"is {str(self.journals)!r}, and that folder cannot be made: {error.strerror}"
            raise ConfigError(why, argument="option journals") from None
        tasks = self._head().get("tasks", self.tasks)
        if tasks != self.tasks:
            problem = f"in {str(self.journals)!r} are of a job with tasks={tasks}, and hold each ticket by that number"
            raise ConfigError(problem, argument="the journals", mend="use as many tasks, or another folder")
        with written_whole(self.journals / _HEAD) as file:
            file.write(dumps({"tasks": self.tasks, "job": self.job}))
        # Else old outcomes would be taken for this job's, where a task fails or Spark does not run it.
        for outcomes in self.journals.glob(f"*.{OUTCOMES}"):
            outcomes.unlink()

    def _head(self) -> dict[str, Any]:
        """Return the content of closing.json; {} for a new folder."""
        path = self.journals / _HEAD
        try:
            return dict(loads(path.read_bytes()))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            mend = "driver and executors must run as one user; take another folder only if nothing was closed by this"
            raise JournalError(f"cannot read {str(path)!r}: {error}; {mend}") from None

    def close(self, task: int, rows: Iterable[Mapping[str, Any]], connect: Connect) -> Counter[str]:
        """Close the tickets of one task, and return how many ended in each state; for an executor.

        Raises `ConfigError` for a row that cannot be a close, before anything of the task is sent.
        """
        if self._head().get("job") != self.job:
            raise ConfigError(
                f"{str(self.journals)!r} is not the folder that the driver made, or another job uses it by now: "
                "journals must be on a disk that the driver and all executors see, for one job at a time"
            )
        closes = [self._checked(task, row) for row in rows]
        _check_agreement(closes)
        report = BatchReport()
        journal = self.journals / f"{task:05}.journal"
        _wait_until_free(journal)
        with LoopThread() as loop, written_whole(self.journals / f"{task:05}.{OUTCOMES}") as file:
            for outcome in loop.run(self._carry_out(task, closes, connect, journal, report)):
                file.write(_line(outcome, task))
        if report.stopped:
            raise WorkorderError(f"task {task} of the job stopped before its end: {report.stopped}")
        return Counter({state.value: count for state, count in report.counts.items()})

    async def _carry_out(
        self, task: int, closes: list[CloseTicket], connect: Connect, journal: Path, report: BatchReport
    ) -> list[Outcome]:
        async with connect(rate=task_rate(self.rate, self.tasks)) as client:
            # An iterator: a journal of a list refuses another list in the next run, and a frame often gives other rows.
            each, name = iter(closes), f"task {task} of {self.tasks}"
            batch = run_batch(client, each, concurrency=self.concurrency, journal=journal, name=name, report=report)
            async with aclosing(batch) as outcomes:
                return [outcome async for outcome in outcomes]

    def _checked(self, task: int, row: Mapping[str, Any]) -> CloseTicket:
        """Return the close of a row. Raises `ConfigError` that names the ticket, also for one of another partition."""
        values = {name: value for name, value in row.items() if value is not None}
        id = values.get("id")
        try:
            if missing := [name for name, (_, needed) in COLUMNS.items() if needed and name not in values]:
                raise ConfigError("is null", argument=missing[0])
            close = CloseTicket(**values)
        except ConfigError as error:
            problem = f"the row of ticket {id} is no close, and nothing of its task was sent"
            raise ConfigError(f"{problem}: {error}") from None
        if (place := place_of(close.id, self.tasks)) != task:
            raise ConfigError(
                f"ticket {id} is in partition {task} and belongs into {place} of {self.tasks}: "
                f'write frame.repartition({self.tasks}, "id") with option tasks={self.tasks}, so that each ticket has '
                "one journal, and is read before the first is closed"
            )
        return close


def _check_agreement(closes: Iterable[CloseTicket]) -> None:
    """Raise `ConfigError` if two rows would close one ticket in different ways: chance would choose one of them."""
    first = dict[int, CloseTicket]()
    for close in closes:
        if first.setdefault(close.id, close) != close:
            problem = f"ticket {close.id} stands in rows that differ, and nothing of their task was sent"
            raise ConfigError(problem, mend="keep one row of each ticket")


def _wait_until_free(journal: Path) -> None:
    """Wait until no process has the journal locked: the Python of a killed executor lives a few seconds longer.

    Return also if it is still locked after a minute, or cannot be opened: then `run_batch` raises the right error.
    """
    end = monotonic() + _PATIENCE
    with suppress(OSError):
        while monotonic() < end:
            with suppress(InUseError):
                LockedFile(journal).close()
                return
            sleep(_NAP)


def _check_columns(columns: Mapping[str, str]) -> None:
    wrong = [f"has no column {name}" for name, (_, needed) in COLUMNS.items() if needed and name not in columns]
    wrong += [f"has a column {name}" for name in columns if name not in COLUMNS]
    if wrong:
        mend = f"select {', '.join(COLUMNS)}, of which the last two may be left out"
        raise ConfigError(wrong[0], argument="the frame", mend=mend)
    for name, kind in columns.items():
        if kind not in (right := COLUMNS[name][0]):
            raise ConfigError(f"is {kind}", argument=f"the column {name}", mend=f"cast it to {' or '.join(right)}")


def _line(outcome: Outcome, task: int) -> bytes:
    return dumps(
        {
            "id": outcome.ticket_id,
            "state": outcome.state.value,
            "error": None if outcome.error is None else str(outcome.error),
            "attempts": outcome.attempts,
            "request_id": outcome.request_id,
            "seconds": round(outcome.elapsed, 4),
            "task": task,
        },
        option=LINE_FEED,
    )


_MASK: Final = 0xFFFFFFFF


def place_of(id: int, tasks: int) -> int:
    """Return the partition that Spark's `repartition(tasks, "id")` puts a BIGINT into: MurmurHash3 (x86, 32 bits)."""
    mixed = 42
    for word in (id & _MASK, (id >> 32) & _MASK):
        word = word * 0xCC9E2D51 & _MASK  # noqa: PLW2901 - as the algorithm is written
        word = (word << 15 | word >> 17) * 0x1B873593 & _MASK  # noqa: PLW2901
        mixed ^= word
        mixed = ((mixed << 13 | mixed >> 19) & _MASK) * 5 + 0xE6546B64 & _MASK
    mixed ^= 8  # bytes
    mixed = (mixed ^ mixed >> 16) * 0x85EBCA6B & _MASK
    mixed = (mixed ^ mixed >> 13) * 0xC2B2AE35 & _MASK
    mixed ^= mixed >> 16
    return (mixed - (mixed >> 31 << 32)) % tasks
