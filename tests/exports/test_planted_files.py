"""What somebody else put where a file of ours is to be: it is never written through, read, or left open to others."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.exports import is_of, truth
from workorder_async import ConfigError, ExportError, Sandbox, TicketQuery
from workorder_async.exports import export_tickets, reading
from workorder_async.exports.formats import Format
from workorder_async.exports.manifest import Head, Manifest
from workorder_async.exports.report import Part

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and modes are POSIX")


def _dangling(place: Path, victim: Path) -> None:
    place.symlink_to(victim.with_name("new"))


PLANTED: dict[str, Callable[[Path, Path], None]] = {
    "link": lambda place, victim: place.symlink_to(victim),
    "relative link": lambda place, victim: place.symlink_to(os.path.relpath(victim, place.parent)),
    "dangling link": _dangling,
    "second name": lambda place, victim: place.hardlink_to(victim),
    "pipe": lambda place, victim: os.mkfifo(place),
}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Give a file of somebody else's in a folder of its own."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs" / "file").write_text("precious")
    (tmp_path / "theirs" / "file").chmod(0o644)
    return tmp_path / "theirs" / "file"


def untouched(victim: Path) -> bool:
    """Tell whether the file is as it was, with its mode, and alone in its folder."""
    alone = os.listdir(victim.parent) == [victim.name]
    return alone and (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("precious", 0o644)


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv.gz", ".sqlite", ".xlsx", ".parquet"])
@pytest.mark.parametrize("place", ["part", "manifest"])
async def test_planted(place: str, suffix: str, what: str, victim: Path) -> None:
    """A part or a manifest that is a link, a second name or a pipe is refused; what it leads to stays as it is."""
    target = victim.parent.parent / "ours" / f"t{suffix}"
    planted = target.with_name(f"{target.name}.{place}")
    PLANTED[what](planted, victim)
    async with Sandbox(tickets=20) as sandbox, sandbox.client() as client:
        with pytest.raises((ConfigError, ExportError)):
            await export_tickets(client, TicketQuery(), target)
        assert untouched(victim)
        assert not sandbox.requests
        planted.unlink()
        assert (await export_tickets(client, TicketQuery(), target)).rows == 20
    assert os.listdir(target.parent) == [target.name]


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("suffix", [".jsonl", ".sqlite", ".xlsx"])
async def test_planted_later(suffix: str, what: str, victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same if it is put there at the very last moment, behind every look at the folder."""
    target = victim.parent.parent / "ours" / f"t{suffix}"
    part = target.with_name(f"{target.name}.part")
    begin = Manifest.begin

    def planting(manifest: Manifest, head: Head) -> None:
        begin(manifest, head)
        PLANTED[what](part, victim)

    monkeypatch.setattr(Manifest, "begin", planting)
    async with Sandbox(tickets=20) as sandbox, sandbox.client() as client:
        with pytest.raises(ExportError, match=r"cannot write .*\.part.*(link|second name|no file)"):
            await export_tickets(client, TicketQuery(), target)
        assert not sandbox.requests
    assert untouched(victim)


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("name", ["parquet", "xlsx"])
def test_converted(name: str, what: str, victim: Path) -> None:
    """A file that is made anew replaces whatever has its name."""
    staged, target = victim.parent.parent / "staged", victim.parent.parent / f"t.{name}"
    staged.write_bytes(b"")
    PLANTED[what](target, victim)
    Format(name).convert(staged, target, lambda rows: None)
    assert untouched(victim)
    found = target.lstat()
    assert (stat.S_ISREG(found.st_mode), stat.S_IMODE(found.st_mode), found.st_nlink) == (True, 0o600, 1)


@pytest.mark.parametrize("name", ["t.xlsx.converted", "t.xlsx.converted.parts"])
async def test_leftovers(name: str, victim: Path) -> None:
    """A link where something of ours is to be cleared away is no folder to be emptied."""
    target = victim.parent.parent / "ours" / "t.xlsx"
    target.with_name(name).symlink_to(victim.parent)
    async with Sandbox(tickets=20) as sandbox, sandbox.client() as client:
        await export_tickets(client, TicketQuery(), target, resume=False)
        assert is_of(target, await truth(client))
    assert untouched(victim)
    assert os.listdir(target.parent) == [target.name]


@pytest.mark.parametrize("umask", [0o000, 0o777])
@pytest.mark.parametrize("suffix", [".jsonl", ".sqlite", ".xlsx", ".parquet"])
async def test_modes(suffix: str, umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are gone on with lose the rights of others before a row is added, whatever the umask."""
    target = tmp_path / f"t{suffix}"
    modes: dict[str, int] = {}

    def look(*_: object) -> None:
        for one in os.scandir(tmp_path):
            modes[one.name] = modes.get(one.name, 0) | stat.S_IMODE(one.stat().st_mode)

    async with Sandbox(tickets=300) as sandbox, sandbox.client() as client:
        with monkeypatch.context() as patched:
            patched.setattr(reading, "ROWS_OF_A_PART", 1)
            patched.setattr(Manifest, "add", _once(Manifest.add))
            with pytest.raises(RuntimeError):
                await export_tickets(client, TicketQuery(), target)
        for name in os.listdir(tmp_path):
            (tmp_path / name).chmod(0o666)
        before = os.umask(umask)
        try:
            report = await export_tickets(client, TicketQuery(), target, on_progress=look)
        finally:
            os.umask(before)
        assert is_of(target, await truth(client))
    look()
    assert report.resumed_rows
    assert {mode for name, mode in modes.items() if not name.endswith(".parts")} == {0o600}


def _once(add: Callable[[Manifest, Part], None]) -> Callable[[Manifest, Part], None]:
    """Return what adds one part, and ends the call with the next."""

    def adding(manifest: Manifest, part: Part) -> None:
        if manifest.parts:
            raise RuntimeError
        add(manifest, part)

    return adding
