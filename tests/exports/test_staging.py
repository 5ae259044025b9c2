"""Conversions at the end: told how far they are, ended by whoever is told, and without a trace where they fail."""

import errno
import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.export_rows import read_back, tickets
from tests.support.small_disk import limited_files
from workorder_async import durable
from workorder_async.exports import parquet, xlsx
from workorder_async.exports.formats import Format


@pytest.fixture(params=["parquet", "sqlite", "xlsx"])
def name(request: pytest.FixtureRequest) -> str:
    """Give each format that is converted at the end."""
    return str(request.param)


@pytest.fixture
def staged(name: str, tmp_path: Path) -> Path:
    """Stage 600 tickets, in parts of 250."""
    path = tmp_path / "tickets.part"
    lines, rows = Format(name).sink(), tickets(600)
    with path.open("wb") as file:
        for start in range(0, 600, 250):
            file.write(lines.encode(rows[start : start + 250]) + lines.end_part())
    return path


def test_progress(name: str, staged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told how many rows there are by now: after each row group, each staged page, each row of a workbook."""
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 250)
    told: list[int] = []
    assert not Format(name).convert(staged, staged.with_name(f"t.{name}"), told.append)
    assert told == ([*range(1, 601)] if name == "xlsx" else [250, 500, 600])


def test_ended_by_progress(name: str, staged: Path) -> None:
    """What the callback raises ends it and is passed on; no file is left."""

    class EnoughError(Exception):
        pass

    def enough(rows: int) -> None:
        raise EnoughError

    with pytest.raises(EnoughError):
        Format(name).convert(staged, staged.with_name(f"t.{name}"), enough)
    assert os.listdir(staged.parent) == [staged.name]


def test_no_other_folder(name: str, staged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put where the machine keeps its temporary files, which may be too small for it, or memory."""
    monkeypatch.setattr(tempfile, "tempdir", str(staged.parent / "none"))
    told: list[int] = []
    Format(name).convert(staged, staged.with_name(f"t.{name}"), told.append)
    assert told[-1] == 600


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("name", ["parquet", "xlsx"])  # SQLite opens the file by its name
def test_full_at_the_end(name: str, staged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk's own error names the file where that itself finds no room, and nothing is said of it later."""
    target = staged.with_name(f"t.{name}")
    monkeypatch.setattr(durable, "open_private", lambda path, flags: os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(OSError, match="No space left") as caught:
        Format(name).convert(staged, target, lambda rows: None)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(target))
    del caught
    gc.collect()
    assert os.listdir(staged.parent) == [staged.name]


def test_missing_folder(name: str, staged: Path) -> None:
    """A target that cannot be made is an `OSError`."""
    with pytest.raises(FileNotFoundError):
        Format(name).convert(staged, staged.parent / "none" / f"t.{name}", lambda rows: None)


_CHILD = """
import sys
from pathlib import Path
from workorder_async.exports.formats import Format
name, staged = sys.argv[1], Path(sys.argv[2])
def told(rows):
    print(rows, flush=True)
    sys.stdin.read()
Format(name).convert(staged, staged.with_name("t." + name), told)
"""


@pytest.mark.parametrize("limit", [1000, 15_000])
def test_disk_full(name: str, limit: int, staged: Path) -> None:
    """A disk that takes no more is an `OSError`, and everything is cleared away, whenever it happens."""
    with limited_files(limit), pytest.raises(OSError, match=r"(?i)disk i/o error|too large"):
        Format(name).convert(staged, staged.with_name(f"t.{name}"), lambda rows: None)
    gc.collect()  # nothing is said of it later
    assert os.listdir(staged.parent) == [staged.name]


@pytest.mark.slow
def test_killed(name: str, staged: Path) -> None:
    """Killed in the middle, it is begun again over what was left, and nothing but the file is there at the end."""
    arguments = [sys.executable, "-c", _CHILD, name, str(staged)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        child.kill()
    target = staged.with_name(f"t.{name}")
    assert target.exists()
    parts = {xlsx.parts_of(target).name} if name == "xlsx" else set()
    assert {*os.listdir(staged.parent)} == {staged.name, target.name} | parts
    Format(name).convert(staged, target, lambda rows: None)
    assert len(read_back(target)) == 600
    assert sorted(os.listdir(staged.parent)) == sorted([staged.name, target.name])
