"""What a task of Spark does to close tickets, without Spark: rows, journals, outcomes."""

import pickle
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.engines import SandboxThread
from workorder_async import ConfigError, JournalError, WorkorderError
from workorder_async.durable import LockedFile
from workorder_async.integrations import spark_closing
from workorder_async.integrations.spark_closing import SparkClosing, place_of
from workorder_async.sandbox import Fault

TYPES = {"id": "bigint", "closer_id": "bigint", "closer_name": "string", "solved_time": "bigint"}
OPTIONS = {"operation": "close", "journals": "/mnt/closes"}


@pytest.fixture
def sandbox() -> Iterator[SandboxThread]:
    """Give a sandbox in a thread of its own."""
    with SandboxThread(tickets=200) as sandbox:
        yield sandbox


def _closing(folder: Path, **options: Any) -> SparkClosing:
    closing = SparkClosing(journals=folder, **options)
    closing.begin()
    return pickle.loads(pickle.dumps(closing))  # type: ignore[no-any-return]


def _outcomes(folder: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for path in folder.glob("*.outcomes.jsonl") for line in path.read_bytes().splitlines()]


def test_each_ticket_once(sandbox: SandboxThread, tmp_path: Path) -> None:
    """The tasks of a job close their tickets; the same job again skips all of them, with no request."""
    rows = sandbox.close_rows()
    for states in (Counter(done=len(rows)), Counter(skipped=len(rows))):
        before = sandbox.requests.total()
        closing, found = _closing(tmp_path / "closes", tasks=3), Counter[str]()
        for task in range(3):
            mine = [row for row in rows if place_of(row["id"], 3) == task]
            found += closing.close(task, mine, sandbox.connect)
        assert found == states == Counter(line["state"] for line in _outcomes(closing.journals))
    assert sandbox.requests.total() == before
    assert sorted(one.ticket_id for one in sandbox.applied) == [row["id"] for row in rows]
    assert {line["id"] for line in _outcomes(closing.journals)} == {row["id"] for row in rows}
    assert {path.stat().st_mode & 0o777 for path in closing.journals.iterdir()} == {0o600}


def test_a_refused_ticket(sandbox: SandboxThread, tmp_path: Path) -> None:
    """What the platform refuses is an outcome; a batch that stops is an error, with the outcomes there all the same."""
    first, second, third, other, *others = sandbox.close_rows()
    rows = [first, second, third, {**other, "id": 999_999}]
    assert _closing(tmp_path, tasks=1).close(0, rows, sandbox.connect) == {"done": 3, "rejected": 1}
    with (
        sandbox.failing(Fault("401")),
        pytest.raises(WorkorderError, match=r"task 0 of the job stopped .*authentication"),
    ):
        _closing(tmp_path, tasks=1).close(0, others, sandbox.connect)
    assert "unknown" in {line["state"] for line in _outcomes(tmp_path)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"closer_name": None}, "closer_name is null"),
        ({"closer_id": 0}, "CloseTicket.closer_id"),
        ({"solved_time": 1_700_000_000_000}, "CloseTicket.solved_time"),
        ({"id": None}, "id is null"),
        ({"solved_time": datetime(1, 1, 1, tzinfo=UTC)}, "CloseTicket.solved_time is -"),
    ],
)
def test_a_bad_row(change: dict[str, Any], words: str, sandbox: SandboxThread, tmp_path: Path) -> None:
    """It is refused with its ticket and field, before anything of the task is sent."""
    rows = sandbox.close_rows()
    rows[-1] |= change
    id = rows[-1]["id"]
    with pytest.raises(ConfigError, match=f"row of ticket {id} is no close, .*{words}"):
        _closing(tmp_path, tasks=1).close(0, rows, sandbox.connect)
    assert sandbox.requests["close_ticket"] == 0


def test_a_row_in_the_wrong_place(sandbox: SandboxThread, tmp_path: Path) -> None:
    """A frame that was not partitioned by its ids is refused: it may still be read while it is closed."""
    with pytest.raises(ConfigError, match=r'belongs into . of 4: write frame.repartition\(4, "id"\)'):
        _closing(tmp_path).close(0, sandbox.close_rows(), sandbox.connect)
    assert not sandbox.applied


def test_rows_that_differ(sandbox: SandboxThread, tmp_path: Path) -> None:
    """Two rows of a ticket are refused unless they are equal: chance would choose which of them closes it."""
    row, *_ = sandbox.close_rows()
    with pytest.raises(ConfigError, match=f"ticket {row['id']} stands in rows that differ.*keep one row"):
        _closing(tmp_path, tasks=1).close(0, [row, {**row, "closer_name": "别人"}], sandbox.connect)
    assert sandbox.requests["close_ticket"] == 0
    assert _closing(tmp_path, tasks=1).close(0, [row, row], sandbox.connect) == {"done": 1, "skipped": 1}


def test_the_folder(sandbox: SandboxThread, tmp_path: Path) -> None:
    """Another number of tasks is refused; so is a task whose folder the driver did not make, or another job took."""
    first = _closing(tmp_path)
    assert first.close(0, [], sandbox.connect) == {}
    assert {path.name for path in tmp_path.iterdir()} == {"closing.json", "00000.journal", "00000.outcomes.jsonl"}
    with pytest.raises(ConfigError, match="are of a job with tasks=4"):
        _closing(tmp_path, tasks=5)
    _closing(tmp_path)
    lost = SparkClosing(journals=tmp_path / "elsewhere")
    for closing in (first, lost):
        with pytest.raises(ConfigError, match="another job uses it by now"):
            closing.close(0, [], sandbox.connect)
    # No task of the second job has told of anything.
    assert {path.name for path in tmp_path.iterdir()} == {"closing.json", "00000.journal"}
    (tmp_path / "closing.json").write_bytes(b"")
    with pytest.raises(JournalError, match=r"cannot read .*closing\.json"):
        first.close(0, [], sandbox.connect)


def test_an_attempt_that_dies_slowly(sandbox: SandboxThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt waits until the journal is free, and not for ever."""
    held, naps = LockedFile(tmp_path / "00000.journal"), list[float]()

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            held.close()

    monkeypatch.setattr(spark_closing, "sleep", nap)
    rows = sandbox.close_rows()[:5]
    assert _closing(tmp_path, tasks=1).close(0, rows, sandbox.connect) == {"done": 5}
    assert len(naps) == 3
    held = LockedFile(tmp_path / "00000.journal")
    monkeypatch.setattr(spark_closing, "_PATIENCE", 0)
    with pytest.raises(JournalError, match="in use by another program"):
        _closing(tmp_path, tasks=1).close(0, rows, sandbox.connect)
    held.close()


@pytest.mark.parametrize(
    "place", ["s3://bucket/closes", "hdfs:///closes", "dbfs:/closes", "ks3://x", "file:///x", "closes"]
)
def test_places_that_are_no_disk(place: str) -> None:
    """Object storage and relative paths are refused when the job is planned."""
    with pytest.raises(ConfigError, match="object storage"):
        SparkClosing.of({**OPTIONS, "journals": place}, TYPES)


@pytest.mark.parametrize(
    ("options", "columns", "words"),
    [
        ({"operation": "comment"}, {}, "close tickets, and nothing else"),
        ({"status": "closed"}, {}, "no option 'status'"),
        ({"secret": "x"}, {}, "option secret is refused"),
        ({"tasks": "0"}, {}, "tasks is 0"),
        ({}, {"title": "string"}, "has a column title; select id, closer_id"),
        ({}, {"id": "string"}, "column id is string; cast it to bigint"),
        ({}, {"solved_time": "timestamp_ntz"}, "cast it to bigint or int or timestamp"),
    ],
)
def test_refused_when_planned(options: dict[str, str], columns: dict[str, str], words: str) -> None:
    """Options and columns that cannot work."""
    assert SparkClosing.of(OPTIONS, TYPES).tasks == 4
    with pytest.raises(ConfigError, match=words):
        SparkClosing.of({**OPTIONS, **options}, {**TYPES, **columns})
    with pytest.raises(ConfigError, match="has no column closer_id"):
        SparkClosing.of(OPTIONS, {"id": "bigint"})
