"""What a power cut leaves at any moment: no line of a manifest without its rows, and no name without its file."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.support.attachment_server import TICKET, storage
from tests.support.slow import slow_after
from workorder_async import Sandbox, TicketQuery
from workorder_async.exports import export_tickets, reading
from workorder_async.exports.attachments import AttachmentFolder

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are named on Linux")


class Platter:
    """Knows what is on disk by now: of each file its content at its last fsync, of each folder its names at its last.

    Whenever a file is synced or gets its name, `check` is called.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.files: dict[int, bytes] = {}
        self.folders: dict[str, set[str]] = {}
        self.renamed: list[str] = []
        self.synced: list[str] = []
        self._fsync, self._replace = os.fsync, os.replace
        patch.setattr(os, "fsync", self.fsync)
        patch.setattr(os, "fdatasync", self.fsync)
        patch.setattr(os, "replace", self.replace)

    def fsync(self, descriptor: int) -> None:
        """Have it on disk."""
        self._fsync(descriptor)
        path, found = os.readlink(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            self.folders[path] = {*os.listdir(path)}
        else:
            self.files[found.st_ino] = Path(path).read_bytes()
        self.synced.append(Path(path).name)
        if path.endswith(".manifest"):
            self.check(Path(path))

    def replace(self, source: Path, target: Path) -> None:
        """Give a file its name: all of it is on disk."""
        content = source.read_bytes()
        assert self.files.get(source.stat().st_ino) == content, f"{source} is renamed before it is on disk"
        self._replace(source, target)
        self.renamed.append(str(target))

    def check(self, manifest: Path) -> None:
        """Hold each line that is on disk against the rows that are."""
        part = manifest.with_suffix(".part")
        lines = [orjson.loads(line) for line in self.files[manifest.stat().st_ino].splitlines()]
        rows = self.files.get(part.stat().st_ino, b"") if part.exists() else b""
        for line in lines[1:]:
            assert len(rows) >= line.get("end", 0), f"part {line['number']} is told before it is on disk"
        assert not lines[1:] or part.name in self.folders[str(part.parent)], "the part has no name on disk"


@pytest.fixture
def platter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Platter]:
    """Watch what is on disk."""
    monkeypatch.setattr(reading, "ROWS_OF_A_PART", 1)
    with monkeypatch.context() as patched:
        yield Platter(patched)


@pytest.mark.parametrize(
    ("suffix", "detail"),
    slow_after(
        1, [(".jsonl", True), (".jsonl", False), (".parquet", True), *((one, False) for one in (".sqlite", ".xlsx"))]
    ),
)
async def test_of_lines(suffix: str, detail: bool, tmp_path: Path, platter: Platter) -> None:
    """The rows of a part are on disk before its line is, all rows before the name, and the name at the end."""
    target = tmp_path / f"t{suffix}"
    async with Sandbox(tickets=250) as sandbox, sandbox.client() as client:
        report = await export_tickets(client, TicketQuery(), target, detail=detail)
    assert report.rows == 250
    assert platter.renamed == [str(target)]
    # The head, a line for each part, and the one before the file gets its name: each after its rows.
    told = [name for name in platter.synced if name.startswith(target.name)]
    assert told.count(f"{target.name}.manifest") >= 5
    assert told.count(f"{target.name}.part") >= told.count(f"{target.name}.manifest") - 2
    assert target.name in platter.folders[str(tmp_path)]


async def test_of_attachments(tmp_path: Path, platter: Platter) -> None:
    """A file has its name only once it is on disk, and then its name is."""
    async with storage() as served, AttachmentFolder(tmp_path, served.client) as files:
        listed = [served.attachment(name, name.encode() * 5000) for name in "ab"]
        assert (await files.fetch(served.detail(*listed))).fetched == 2
    place = tmp_path / str(TICKET)
    assert sorted(platter.renamed) == [str(place / "a"), str(place / "b")]
    assert {"a", "b"} <= platter.folders[str(place)]
