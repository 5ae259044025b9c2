import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

import pytest

from tests.support.sandbox_files import upload
from tests.support.sandbox_wire import ticket_request, wired
from workorder_async.sandbox import Sandbox
from workorder_async.sandbox.seed import tickets as seed_tickets
from workorder_async.sandbox.store import Record


@pytest.fixture
def loose() -> Iterator[None]:
    """Take nothing from the modes that are asked for."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes_below(folder: Path) -> dict[str, int]:
    """Return the modes of all files and folders."""
    return {path.name: S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


async def test_what_it_keeps_is_for_its_owner_alone(tmp_path: Path, loose: None) -> None:
    """Database, write-ahead log and uploads are 0600, their folder 0700, where the umask allows more."""
    async with wired(Sandbox(3, db=tmp_path / "x.db")) as wire:
        await upload(wire, b"secret")
        await wire.post("create", ticket_request())
        modes = modes_below(tmp_path)
    assert modes.pop("x.db.files") == 0o700
    assert (len(modes), {"x.db", "x.db-wal"} - modes.keys(), set(modes.values())) == (3, set(), {0o600})


async def test_a_database_of_before_is_made_private(tmp_path: Path) -> None:
    """A sandbox's own file and folder that others could read are theirs no longer once it is used again."""
    database, folder = tmp_path / "x.db", tmp_path / "x.db.files"
    async with wired(Sandbox(3, db=database)) as wire:
        await upload(wire, b"x")
    database.chmod(0o644)
    folder.chmod(0o755)
    async with wired(Sandbox(3, db=database)) as wire:
        await upload(wire, b"y")
    assert [S_IMODE(path.stat().st_mode) for path in (database, folder)] == [0o600, 0o700]


async def test_it_is_private_before_anything_stands_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no moment of its filling could others read the database, nor what SQLite puts beside it."""
    modes = {}

    def tickets(count: int, seed: int, until: int | None) -> Iterator[Record]:
        for record in seed_tickets(count, seed):
            modes.update({path.name: S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()})
            yield record

    monkeypatch.setattr("workorder_async.sandbox.seed.tickets", tickets)
    async with Sandbox(1001, db=tmp_path / "x.db"):
        assert modes == {"x.db": 0o600, "x.db-journal": 0o600}


async def test_a_foreign_file_is_left_as_it_was(tmp_path: Path) -> None:
    """A file that is no sandbox database keeps its mode and its bytes."""
    other = tmp_path / "notes.txt"
    other.write_bytes(b"not a database, but longer than a header of one" * 9)
    other.chmod(0o644)
    with pytest.raises(Exception, match="not a database"):
        await Sandbox(3, db=other).__aenter__()
    assert S_IMODE(os.stat(other).st_mode) == 0o644
    assert other.read_bytes().startswith(b"not a database")
