"""workorder_async.mirror.asking: words that the full-text index does not have, and a folder for reading only."""

import os
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from workorder_async import ConfigError
from workorder_async.document.codec import Row
from workorder_async.mirror.asking import changes_since, search_tickets
from workorder_async.mirror.database import MirrorDatabase
from workorder_async.mirror.figures import figures_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a mirror of three tickets."""
    database = MirrorDatabase(tmp_path / "tickets.db", {})
    database.open()
    database.begin(1)
    texts = [("Ключ Жд", "Über 5%"), ("a_b", "a\0网络"), ("网关", "")]
    rows: list[Row] = [{"id": id, "title": title, "detail": detail} for id, (title, detail) in enumerate(texts, 1)]
    database.write(rows, 2, 2)
    database.close()
    return database.path


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("жД", [1]), ("ÜB", [1]), ("%", [1]), ("_", [2]), ("A_", [2]), ("网络", [2]), ("网", [3, 2]), ("\\", []),
        ("жд " * 1200, [1]),
    ],
)  # fmt: skip
def test_short_words(path: Path, text: str, ids: list[int]) -> None:
    """They are found wherever they stand, whatever else the text has, and however many; capitals do not matter."""
    assert [found.id for found in search_tickets(path, text)] == ids


def test_times_of_full_records(path: Path) -> None:
    """They are written as those of the list are."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO changes VALUES (9, 1, 1, 'changed', 'finished_time', 0, 1700000000, 5)")
    (*_, seen) = changes_since(path, 0)
    assert (seen.old, seen.new) == ("", "2023-11-15T06:13:20+08:00")


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    """It is not said to be no mirror: the system says why."""
    with closing(socket.socket(socket.AF_UNIX)) as there:
        there.bind(str(tmp_path / "s"))
        with pytest.raises(OSError, match="No such device"):
            changes_since(tmp_path / "s", 0)
    os.mkfifo(tmp_path / "f")
    with pytest.raises(ConfigError, match="f' is a pipe, and no mirror"):
        changes_since(tmp_path / "f", 0)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is read-only for this user")
def test_where_nothing_can_be_written(path: Path) -> None:
    """A mirror in a folder that is for reading only answers all the same."""
    path.parent.chmod(0o500)
    try:
        assert len(search_tickets(path, "网")) == 2
        assert len(changes_since(path, 0)) == 3
        assert figures_of(path).tickets == 3
        assert sorted(os.listdir(path.parent)) == ["tickets.db", "tickets.db.lock"]
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize("ask", [partial(search_tickets, text="网关"), partial(changes_since, since=0), figures_of])
def test_a_mirror_that_is_damaged(path: Path, ask: Callable[[Path], object]) -> None:
    """It is not called something else."""
    content = path.read_bytes()
    path.write_bytes(content[:4096].ljust(len(content), b"\xff"))
    with pytest.raises(ConfigError, match=r"tickets.db' cannot be read: SQLite: .* is malformed.*: write it anew"):
        ask(path)


@pytest.mark.parametrize("ask", [partial(search_tickets, text="网关"), partial(changes_since, since=0), figures_of])
def test_a_mirror_on_a_disk_that_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Path], object]
) -> None:
    """Nobody is told to write a whole one anew: its history cannot be made again."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMOPEN

    class Failing(sqlite3.Connection):
        def execute(self, *_: object) -> NoReturn:
            raise error

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Failing))
    with pytest.raises(ConfigError, match=r"tickets.db' cannot be read: .*; make room on the disk, or copy it"):
        ask(path)


@pytest.mark.slow
def test_a_mirror_that_is_locked(path: Path) -> None:
    """Neither is one that another program keeps to itself, nor is it to be written anew."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("UPDATE tickets SET run = run")
        with pytest.raises(
            ConfigError, match=r"tickets.db' cannot be read: SQLite: database is locked; end the program that has it"
        ):
            changes_since(path, 0)
