"""What somebody else put where a file of ours is to be: it is never written through, read, or left open to others."""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.attachment_server import TICKET, broken_off, rest, storage
from tests.support.exports import is_of, truth
from tests.support.raw_server import http
from tests.support.slow import slow_after
from workorder_async import ConfigError, ExportError, Sandbox, TicketDetail, TicketQuery, durable
from workorder_async.exports import attachments, export_tickets, reading
from workorder_async.exports.attachments import AttachmentFolder
from workorder_async.exports.formats import Format
from workorder_async.exports.parts import Line, Manifest

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


@pytest.mark.parametrize(
    ("suffix", "place", "what"),
    slow_after(
        4,
        [
            *((".jsonl", "manifest", what) for what in ("link", "pipe")),
            *((".jsonl", "part", what) for what in PLANTED),
            *((suffix, "part", "link") for suffix in (".csv.gz", ".sqlite", ".xlsx", ".parquet")),
        ],
    ),
)
async def test_planted(suffix: str, place: str, what: str, victim: Path) -> None:
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
async def test_planted_later(what: str, victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same if it is put there at the very last moment, behind every look at the folder."""
    target = victim.parent.parent / "ours" / "t.jsonl"
    part = target.with_name(f"{target.name}.part")
    add = Manifest.add

    def planting(manifest: Manifest, head: Line) -> None:
        add(manifest, head)
        PLANTED[what](part, victim)

    monkeypatch.setattr(Manifest, "add", planting)
    async with Sandbox(tickets=20) as sandbox, sandbox.client() as client:
        with pytest.raises(ExportError, match=r"cannot write .*\.part.*(link|second name|no file)"):
            await export_tickets(client, TicketQuery(), target)
        assert not sandbox.requests
    assert untouched(victim)


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("name", ["parquet", "sqlite", "xlsx"])
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


@pytest.mark.parametrize("name", ["t.xlsx.part", "t.xlsx.converted", "t.sqlite.part", "t.sqlite.converted"])
async def test_a_folder_of_theirs(name: str, tmp_path: Path) -> None:
    """A folder at a name of ours is not emptied, not even to begin anew."""
    folder, target = tmp_path / name, tmp_path / name.rpartition(".")[0]
    folder.mkdir()
    (folder / "file").write_text("precious")
    async with Sandbox(tickets=20) as sandbox, sandbox.client() as client:
        for resume in (True, False):
            with pytest.raises(ExportError):
                await export_tickets(client, TicketQuery(), target, resume=resume)
            assert (folder / "file").read_text() == "precious"


@pytest.mark.parametrize("umask", slow_after(1, [0o777, 0o000]))
@pytest.mark.parametrize("suffix", slow_after(2, [".jsonl", ".sqlite", ".xlsx", ".parquet"]))
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


def test_new_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file is nobody else's from its first moment on, not only once its mode was looked at."""
    modes = []
    monkeypatch.setattr(durable, "_take_from_others", lambda file: modes.append(os.fstat(file).st_mode & 0o777))
    before = os.umask(0)
    try:
        os.close(durable.open_private(tmp_path / "new", os.O_RDWR))
    finally:
        os.umask(before)
    assert modes == [0o600]


def _once(add: Callable[[Manifest, Line], None]) -> Callable[[Manifest, Line], None]:
    """Return what adds one part, and ends the call with the next."""

    def adding(manifest: Manifest, part: Line) -> None:
        if manifest.parts:
            raise RuntimeError
        add(manifest, part)

    return adding


@pytest.fixture
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "WAITS", ())


@pytest.mark.usefixtures("_no_waits")
class TestAttachments:
    """The same beneath a folder of attachments, whose names others know."""

    @pytest.mark.parametrize("what", ["link", "second name", "pipe"])
    async def test_part(self, what: str, victim: Path) -> None:
        """A part that is a link, a second name or a pipe ends it."""
        folder = victim.parent.parent / "ours"
        async with storage() as served, AttachmentFolder(folder, served.client) as files:
            detail = served.detail(served.attachment("a", b"12345", broken_off(http(b"12345"), 2)))
            part = await _part_of(files, detail, folder)
            part.unlink()
            PLANTED[what](part, victim)
            served.files["/f0"] = [http(b"12345")]
            with pytest.raises(ExportError, match=r"cannot write .*(link|second name|no file)"):
                await files.fetch(detail)
            assert untouched(victim)
            part.unlink()
            assert (await files.fetch(detail)).fetched == 1

    @pytest.mark.parametrize("what", ["link", "second name", "pipe"])
    async def test_platform(self, what: str, victim: Path) -> None:
        """Nor is the platform's name written through a link, a second name or into a pipe."""
        folder = victim.parent.parent / "ours"
        PLANTED[what](folder / ".platform", victim)
        async with storage() as served:
            with pytest.raises(ConfigError, match=r"cannot be the folder .*(link|second name|no file)"):
                async with AttachmentFolder(folder, served.client):
                    pytest.fail("it was entered")
        assert untouched(victim)

    async def test_ticket_folder(self, victim: Path) -> None:
        """A ticket's folder that is a link ends it; nothing is put where it leads to."""
        folder = victim.parent.parent / "ours"
        (folder / str(TICKET)).symlink_to(victim.parent)
        async with storage() as served, AttachmentFolder(folder, served.client) as files:
            with pytest.raises(ExportError, match="cannot write "):
                await files.fetch(served.detail(served.attachment("file", b"12345")))
        assert untouched(victim)

    async def test_swapped(self, victim: Path) -> None:
        """A ticket's folder that becomes a link meanwhile ends it; no file gets a name where it leads to."""
        folder = victim.parent.parent / "ours"
        place = folder / str(TICKET)
        begun, go = asyncio.Event(), asyncio.Event()

        async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            begun.set()
            await go.wait()
            writer.write(http(b"12345"))

        async with storage() as served, AttachmentFolder(folder, served.client) as files:
            fetching = asyncio.create_task(files.fetch(served.detail(served.attachment("file", b"12345", waiting))))
            await begun.wait()
            place.rename(place.with_name("moved"))
            place.symlink_to(victim.parent)
            go.set()
            with pytest.raises(ExportError, match="cannot write "):
                await fetching
        assert untouched(victim)

    @pytest.mark.parametrize("umask", slow_after(1, [0o777, 0o000]))
    async def test_modes(self, umask: int, tmp_path: Path) -> None:
        """A part that is gone on with loses the rights of others, and everything has the mode that it should have."""
        folder, before = tmp_path / "files", os.umask(umask)
        try:
            async with storage() as served, AttachmentFolder(folder, served.client) as files:
                detail = served.detail(served.attachment("a", b"12345", broken_off(http(b"12345"), 2)))
                part = await _part_of(files, detail, folder)
                part.chmod(0o666)
                served.files["/f0"] = [rest(b"12345", 2)]
                assert (await files.fetch(detail)).fetched == 1
        finally:
            os.umask(before)
        made = (folder, folder / str(TICKET), folder / str(TICKET) / "a")
        assert [stat.S_IMODE(one.stat().st_mode) for one in made] == [0o700, 0o700, 0o600]


async def _part_of(files: AttachmentFolder, detail: TicketDetail, folder: Path) -> Path:
    """Fetch what breaks off, and return the part that is left."""
    assert (await files.fetch(detail)).failed == 1
    (part,) = (folder / str(TICKET)).iterdir()
    return part
