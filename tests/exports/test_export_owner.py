"""An export belongs to who asked, and to the moment at which reading began."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.exports import is_of, truth
from tests.support.sandbox_wire import Clock
from tests.support.slow import slow_after
from workorder_async import ConfigError, ExportError, NotSentError, Sandbox, SchemeSigner, TicketQuery, WorkorderClient
from workorder_async.exports import ExportReport, export_tickets, reading
from workorder_async.exports.parts import Line, Manifest
from workorder_async.exports.report import Part
from workorder_async.sandbox import SANDBOX_ERRNOS
from workorder_async.signing.scheme import SigningInput


@pytest.fixture(autouse=True)
def _parts_are_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ROWS_OF_A_PART", 1)


async def cut_short(client: WorkorderClient, target: Path, parts: int, *queries: TicketQuery, **options: Any) -> None:
    """Begin an export that ends after so many parts, as a kill would end it: the files stay as they are then."""
    add = Manifest.add

    def adding(manifest: Manifest, part: Line) -> None:
        if isinstance(part, Part) and len(manifest.parts) >= parts:
            raise RuntimeError("killed")
        add(manifest, part)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Manifest, "add", adding)
        patched.setattr("workorder_async.exports.export._Export._clear_if_nothing", lambda export: None)
        with pytest.raises(RuntimeError, match="killed"):
            await export_tickets(client, queries or (TicketQuery(),), target, **options)


class Wrapped:
    """A signer of a user's own, which has no attribute that says who asks."""

    def __init__(self, signer: SchemeSigner) -> None:
        self._signer = signer

    def sign(self, request: SigningInput) -> Mapping[str, str]:
        """Sign as the other one does."""
        return {name.upper(): value for name, value in self._signer.sign(request).items()}


def signers(sandbox: Sandbox) -> list[SchemeSigner]:
    """Return the signers of two customers, whom the sandbox takes for one."""
    secret = sandbox.environment["WORKORDER_APP_SECRET"]
    scheme = sandbox.environment["WORKORDER_SIGN_SCHEME"]
    return [SchemeSigner(app_id, secret, scheme) for app_id in (sandbox.environment["WORKORDER_APP_ID"], "other-app")]


@pytest.mark.parametrize(("suffix", "wrapped"), slow_after(1, [(".jsonl", True), (".sqlite", False)]))
async def test_another_customer(suffix: str, wrapped: bool, tmp_path: Path) -> None:
    """An AppId never goes on with the half of another one, whatever signs; the one that began does."""
    target = tmp_path / f"t{suffix}"
    async with Sandbox(tickets=300) as sandbox:
        mine, other = (Wrapped(one) if wrapped else one for one in signers(sandbox))
        async with (
            WorkorderClient(sandbox.url, signer=mine, errnos=SANDBOX_ERRNOS) as client,
            WorkorderClient(sandbox.url, signer=other, errnos=SANDBOX_ERRNOS) as another,
        ):
            await cut_short(client, target, 2)
            kept = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
            before = sandbox.requests.total()
            with pytest.raises(ExportError, match=r"another export: app_id was \".*\", and is \"other-app\""):
                await export_tickets(another, TicketQuery(), target)
            assert sandbox.requests.total() == before
            assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == kept
            report = await export_tickets(client, TicketQuery(), target)
            assert is_of(target, await truth(client))
    assert report.resumed_rows


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are Unicode there")
async def test_a_folder_whose_name_is_no_utf_8(tmp_path: Path) -> None:
    """An export with attachments is gone on with, whatever the bytes of the folder's path; another folder is named."""
    target, folder = tmp_path / "t.jsonl", tmp_path / os.fsdecode("附件".encode("gbk"))
    async with Sandbox(tickets=120) as sandbox, sandbox.client() as client:
        await cut_short(client, target, 2, attachments=folder)
        with pytest.raises(ExportError, match=r"attachments was \".*\\udcb8.*\", and is \".*other\""):
            await export_tickets(client, TicketQuery(), target, attachments=tmp_path / "other")
        report = await export_tickets(client, TicketQuery(), target, attachments=folder)
        assert (report.rows, report.exact) == (120, True)
        assert report.resumed_rows


async def test_a_signer_that_fails(tmp_path: Path) -> None:
    """A signer that cannot say who asks ends it before anything is made or sent."""

    class Failing:
        def sign(self, request: SigningInput) -> Mapping[str, str]:
            raise OSError("no key")

    async with Sandbox(tickets=3) as sandbox, WorkorderClient(sandbox.url, signer=Failing()) as client:
        with pytest.raises(NotSentError, match="the signer failed: OSError: no key") as caught:
            await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl")
        assert isinstance(caught.value.__cause__, OSError)
        assert not sandbox.requests
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("suffix", "change"),
    slow_after(2, [*((".csv", one) for one in ("query", "app_id", "detail", "format of CSV")), (".sqlite", "query")]),
)
async def test_a_mark_without_rows(suffix: str, change: str, tmp_path: Path) -> None:
    """A mark of another export, with nothing on disk, keeps nobody from beginning; none of its rows stays."""
    target = tmp_path / f"t{suffix}"
    yesterday, today = TicketQuery(created_start=1_600_000_000), TicketQuery(created_start=1_600_000_001)
    options: dict[str, Any] = {"detail": {"detail": True}, "format of CSV": {"csv_bom": False}}.get(change, {})
    async with Sandbox(tickets=120) as sandbox, sandbox.client() as client:
        with pytest.MonkeyPatch.context() as patched:
            if change == "app_id":
                patched.setattr(WorkorderClient, "app_id", "other-app")
            await cut_short(client, target, 0, yesterday)
        assert f"{target.name}.manifest" in os.listdir(tmp_path)
        report = await export_tickets(client, today if change == "query" else yesterday, target, **options)
        assert (report.rows, report.exact, report.resumed_rows) == (120, True, 0)
        assert change == "detail" or is_of(target, await truth(client))
    assert os.listdir(tmp_path) == [target.name]


def flipped(content: bytes) -> list[bytes]:
    """Return the content with each of its bits flipped in turn, but for line feeds."""
    return [
        content[:place] + bytes([byte ^ 1 << bit]) + content[place + 1 :]
        for place, byte in enumerate(content)
        for bit in range(8)
        if 10 not in (byte, byte ^ 1 << bit)
    ]


async def test_flipped_bits_of_the_head(tmp_path: Path) -> None:
    """No bit of a head can be flipped so that it is taken for another head: it is refused, and the rows stay."""
    target = tmp_path / "t.jsonl"
    async with Sandbox(tickets=300) as sandbox, sandbox.client() as client:
        await cut_short(client, target, 1)
    manifest = target.with_name("t.jsonl.manifest")
    head, line = manifest.read_bytes().splitlines(keepends=True)
    assert orjson.loads(head)["app_id"] == sandbox.environment["WORKORDER_APP_ID"]
    for one in flipped(head)[::97]:
        manifest.write_bytes(one + line)
        with pytest.raises(ExportError, match=r"damaged|another version|no manifest"):
            Manifest(manifest)
        assert manifest.read_bytes() == one + line
    for one in flipped(line)[::29]:
        manifest.write_bytes(head + one)
        opened = Manifest(manifest)
        assert (opened.head is not None, opened.parts) == (True, [])
        opened.close()
    manifest.write_bytes(head + line)
    opened = Manifest(manifest)
    assert len(opened.parts) == 1
    opened.close()


async def test_lines_that_moved(tmp_path: Path) -> None:
    """A line that is lost, doubled or of another manifest is not believed, and none behind it is."""
    target = tmp_path / "t.jsonl"
    manifest = target.with_name("t.jsonl.manifest")
    async with Sandbox(tickets=500) as sandbox, sandbox.client() as client:
        await cut_short(client, target, 3)
        lines = manifest.read_bytes().splitlines(keepends=True)
        await cut_short(client, target, 3, TicketQuery(created_start=1), resume=False)
        others = manifest.read_bytes().splitlines(keepends=True)
    for changed, kept in (
        ([lines[0], lines[2], lines[3]], 0),
        ([lines[0], lines[1], lines[1], lines[2]], 1),
        ([others[0], *lines[1:]], 0),
        ([*lines[:3], others[3]], 2),
        (lines, 3),
    ):
        manifest.write_bytes(b"".join(changed))
        opened = Manifest(manifest)
        assert len(opened.parts) == kept
        opened.close()


class TestAsOf:
    """The report says at which moment the list was as it is in the file."""

    async def resumed(self, tmp_path: Path, clock: Clock, **options: Any) -> ExportReport:
        """Export in two halves, a day apart."""
        async with Sandbox(tickets=300) as sandbox, sandbox.client(now=clock) as client:
            await cut_short(client, tmp_path / "t.jsonl", 2)
            clock.now += 86_400
            return await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", **options)

    async def test_of_yesterday(self, tmp_path: Path) -> None:
        """It is the moment before the first request of the first call."""
        clock = Clock()
        began = int(clock.now)
        report = await self.resumed(tmp_path, clock)
        assert report.resumed_rows
        assert (report.read_from, report.read_until) == (began, began + 86_400)
        assert report.exact
        assert "; the list as of 20" in report.reason

    async def test_of_today(self, tmp_path: Path) -> None:
        """An export that is begun anew is of today, and need not say so."""
        clock = Clock()
        began = int(clock.now)
        report = await self.resumed(tmp_path, clock, resume=False)
        assert report.read_from == began + 86_400
        assert "as of" not in report.reason


class TestSideFiles:
    """A name of a database is free only with the names that SQLite keeps beside it."""

    @pytest.mark.parametrize(("suffix", "side"), [(".sqlite", "-journal"), (".db", "-wal"), (".sqlite", "-shm")])
    async def test_not_free(self, suffix: str, side: str, tmp_path: Path) -> None:
        """A file that SQLite would take for a part of the new database is refused; with `overwrite` it goes first."""
        target = tmp_path / f"t{suffix}"
        beside = tmp_path / f"t{suffix}{side}"
        beside.write_bytes(b"of another database")
        async with Sandbox(tickets=30) as sandbox, sandbox.client() as client:
            with pytest.raises(ConfigError, match=f"{side}' exists; overwrite=True replaces it"):
                await export_tickets(client, TicketQuery(), target)
            assert not sandbox.requests
            assert beside.read_bytes() == b"of another database"
            await export_tickets(client, TicketQuery(), target, overwrite=True)
            assert is_of(target, await truth(client))
        assert os.listdir(tmp_path) == [target.name]

    async def test_of_a_sandbox(self, tmp_path: Path) -> None:
        """The database of a sandbox is no file to replace: what was done there is nowhere else."""
        target = tmp_path / "t.db"
        async with Sandbox(tickets=30, db=target) as sandbox, sandbox.client() as client:
            with pytest.raises(ExportError, match=r"t\.db' is in use by another program; choose another name"):
                await export_tickets(client, TicketQuery(), target, overwrite=True)
            assert await client.count_tickets() == 30
        async with Sandbox(tickets=5) as sandbox, sandbox.client() as client:
            with pytest.raises(ConfigError, match=r"t\.db' is the database of a sandbox; choose another name"):
                await export_tickets(client, TicketQuery(), target, overwrite=True)
            assert os.listdir(tmp_path) == [target.name]

    async def test_appears_meanwhile(self, tmp_path: Path) -> None:
        """The same if it appears while rows are read."""
        target, beside = tmp_path / "t.sqlite", tmp_path / "t.sqlite-wal"
        async with Sandbox(tickets=30) as sandbox, sandbox.client() as client:
            with pytest.raises(ExportError, match="-wal' appeared meanwhile; the rows are kept"):
                await export_tickets(client, TicketQuery(), target, on_progress=lambda _: beside.touch())
            beside.unlink()
            report = await export_tickets(client, TicketQuery(), target)
        assert report.resumed_rows == 30

    @pytest.mark.parametrize("side", ["-journal", "-wal", "-shm"])
    async def test_of_the_new_one(self, side: str, tmp_path: Path) -> None:
        """What lies beside a new database, before it has its name, is not its own."""
        target = tmp_path / "t.sqlite"
        (tmp_path / f"t.sqlite.converted{side}").write_bytes(b"of another database")
        async with Sandbox(tickets=30) as sandbox, sandbox.client() as client:
            await export_tickets(client, TicketQuery(), target)
            assert is_of(target, await truth(client))
        assert {*os.listdir(tmp_path)} <= {target.name, f"t.sqlite.converted{side}"}

    async def test_other_formats(self, tmp_path: Path) -> None:
        """Other formats have no such files."""
        (tmp_path / "t.jsonl-wal").write_bytes(b"theirs")
        async with Sandbox(tickets=30) as sandbox, sandbox.client() as client:
            await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl")
        assert sorted(os.listdir(tmp_path)) == ["t.jsonl", "t.jsonl-wal"]
