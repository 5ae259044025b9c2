"""An export that is killed at any moment: the same call again ends in the very file that an undisturbed one makes."""

import asyncio
import errno
import os
import signal
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from tests.support.exports import SUFFIXES, child, content, is_of, said, truth
from tests.support.slow import slow_after
from workorder_async import ExportError, Sandbox, TicketQuery, WorkorderClient, WorkorderError
from workorder_async.exports import ExportOptions, ExportProgress, export_tickets, reading
from workorder_async.exports.parts import Line, Manifest
from workorder_async.sandbox import Fault

TICKETS, PART, CONCURRENCY = 2000, 250, 2
EVERYTHING = TicketQuery()
#: Pages of a part, pages that are read ahead of it, of the one that is being written, and those that begin a new list.
PAGES_LOST = 2 * PART // 100 + 8 * CONCURRENCY * 2 + 4


async def killed(sandbox: Sandbox, target: Path, chance: Random, slowest: float, **options: Any) -> bool:
    """Run the export, kill it at a random moment or let it come to its end; tell whether it was killed."""
    async with child(sandbox, target, **options) as process:
        began = await said(process, lambda line: True)
        assert "error" not in began[0], began
        await asyncio.wait({rest := asyncio.ensure_future(said(process))}, timeout=chance.uniform(0, slowest))
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        lines = await rest
        await process.wait()
    assert not [line for line in lines if "error" in line], lines
    return process.returncode == -signal.SIGKILL


async def torture(suffix: str, kills: int, seed: int, folder: Path) -> None:
    """Kill an export so often, and let it end; it is what an undisturbed one is, and little was read twice."""
    target, undisturbed = folder / f"t{suffix}", folder / f"u{suffix}"
    chance = Random(f"{suffix} {seed}")
    async with Sandbox(tickets=TICKETS, seed=seed, latency=0.002) as sandbox, sandbox.client() as client:
        query, options = TicketQuery(), ExportOptions(concurrency=CONCURRENCY)
        report = await export_tickets(client, query, undisturbed, **options)
        before = sandbox.requests["list_tickets"]
        deaths = 0
        while deaths < kills and not target.exists():
            deaths += await killed(sandbox, target, chance, report.seconds * 1.5 / kills, part=PART, **options)
        if not target.exists() or target.with_name(f"{target.name}.manifest").exists():
            again = await export_tickets(client, query, target, **options)
            assert again.exact
            assert again.rows == TICKETS
        assert sandbox.requests["list_tickets"] - before <= before + deaths * PAGES_LOST
        assert content(target) == content(undisturbed)
        assert is_of(target, await truth(client))
    assert sorted(os.listdir(folder)) == [target.name, undisturbed.name]
    assert deaths


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".csv.zst", ".sqlite"])
async def test_killed(suffix: str, tmp_path: Path) -> None:
    """Three kills at random moments, while rows are read and while they are converted."""
    await torture(suffix, 3, 1, tmp_path)


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_killed_often(suffix: str, seed: int, tmp_path: Path) -> None:
    """Twenty kills."""
    await torture(suffix, 20, seed, tmp_path)


async def begun(client: WorkorderClient, target: Path, parts: int = 2, **options: Any) -> int:
    """Begin an export, which ends once so many parts are durable, and return how many of its rows are."""
    add = Manifest.add

    def adding(manifest: Manifest, line: Line) -> None:
        add(manifest, line)
        if len(manifest.parts) >= parts:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Manifest, "add", adding)
        patched.setattr(reading, "ROWS_OF_A_PART", 100)
        with pytest.raises(ExportError, match="No space left"):
            await export_tickets(client, options.pop("queries", TicketQuery()), target, concurrency=1, **options)
    lines = target.with_name(f"{target.name}.manifest").read_bytes().splitlines()[1:]
    assert len(lines) == parts
    return sum(orjson.loads(line)["rows"] for line in lines)


@pytest.mark.slow
async def test_goes_on_after_its_parts(tmp_path: Path) -> None:
    """What is durable is not read again after a kill, and told: rows, and what is left of the list."""
    target = tmp_path / "t.jsonl"
    manifest = target.with_name(f"{target.name}.manifest")
    async with Sandbox(tickets=2000, latency=0.005) as sandbox, sandbox.client() as client:
        async with child(sandbox, target, part=100, concurrency=1, stop=4) as process:
            await said(process, lambda line: len(manifest.read_bytes().splitlines()) > 4)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        rows = sum(orjson.loads(line)["rows"] for line in manifest.read_bytes().splitlines()[1:])
        told: list[ExportProgress] = []
        before = sandbox.requests["list_tickets"]
        report = await export_tickets(client, TicketQuery(), target, on_progress=told.append)
        assert sandbox.requests["list_tickets"] - before <= (2000 - rows) // 100 + 8
        assert rows <= report.resumed_rows <= rows + 110
        assert {one.resumed_rows for one in told} == {report.resumed_rows}
        assert 2000 <= told[0].total <= 2003
        assert told[0].rows >= rows < told[1].rows
        assert is_of(target, await truth(client))
    assert os.listdir(tmp_path) == [target.name]


@pytest.mark.slow
async def test_full_records(tmp_path: Path) -> None:
    """A killed export of full records reads no more than a hundred of them again, however little time has passed."""
    target = tmp_path / "t.jsonl"
    async with Sandbox(tickets=600, latency=0.002) as sandbox, sandbox.client() as client:
        async with child(sandbox, target, detail=True) as process:
            await said(process, lambda line: line["rows"] >= 390)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        read = sandbox.requests["get_ticket_detail"]
        report = await export_tickets(client, TicketQuery(), target, detail=True)
        again = sandbox.requests["get_ticket_detail"] - 600
        # Those of the page that it was at, and of the one whose part was about to be on disk.
        assert again == read - report.resumed_rows <= 100
        assert report.resumed_rows >= 290
        wanted = [ticket.id for ticket in await truth(client)]
    assert [orjson.loads(line)["id"] for line in target.read_bytes().splitlines()] == wanted


@pytest.mark.parametrize("moment", slow_after(2, ["before the rename", "after the rename", "after the part is gone"]))
@pytest.mark.parametrize("suffix", slow_after(1, [".jsonl", ".sqlite", ".parquet"]))
async def test_killed_at_the_end(suffix: str, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is left to do after the last request, the same call does it, without a request."""
    target = tmp_path / f"t{suffix}"
    with monkeypatch.context() as patched:

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        if moment == "before the rename":
            patched.setattr("workorder_async.exports.export.rename_whole", die)
        elif moment == "after the rename":
            patched.setattr("workorder_async.exports.formats.Target.remove_leftovers", die)
        else:
            patched.setattr("workorder_async.exports.parts.Manifest.remove", die)
        async with Sandbox(tickets=250) as sandbox, sandbox.client() as client:
            with pytest.raises(KeyboardInterrupt):
                await export_tickets(client, TicketQuery(), target)
            patched.undo()
            requests = sandbox.requests.total()
            report = await export_tickets(client, TicketQuery(), target)
            assert sandbox.requests.total() == requests
            assert is_of(target, await truth(client))
    assert (report.rows, report.bytes) == (250, target.stat().st_size)
    assert os.listdir(tmp_path) == [target.name]


DIFFERENT: dict[str, list[tuple[str, dict[str, Any]]]] = {
    ".jsonl": [
        ("queries was", {"query": TicketQuery(status=2)}),
        (r"queries was \[\{\}\], and is \[\{\"created_start\":5\}\]", {"query": TicketQuery(created_start=5)}),
        ("format was", {"format": "csv"}),
        ("raw was", {"raw": True}),
        ("detail was", {"detail": True}),
        ("attachments was", {"attachments": "folder"}),
    ],
    ".csv": [("csv_bom was", {"csv_bom": False}), ("csv_defuse was", {"csv_defuse": False})],
}


@pytest.mark.parametrize("suffix", slow_after(1, DIFFERENT))
async def test_another_export(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest of another export is refused, and says what differs; what is there stays for its own call."""
    monkeypatch.chdir(tmp_path)
    target = tmp_path / f"t{suffix}"
    manifest = target.with_name(f"{target.name}.manifest")

    async def refused(client: WorkorderClient, said: str, query: TicketQuery = EVERYTHING, **options: Any) -> None:
        kept = sorted(os.listdir(tmp_path))
        with pytest.raises(ExportError, match=said):
            await export_tickets(client, query, target, **options)
        assert sorted({*os.listdir(tmp_path)} - {"folder"}) == kept

    async with Sandbox(tickets=500) as sandbox, sandbox.client() as client, Sandbox(0) as other:
        await begun(client, target)
        before = sandbox.requests.total()
        for said_so, options in DIFFERENT[suffix]:
            await refused(client, f"is of another export: .*{said_so}", **options)
        async with other.client() as stranger:
            await refused(stranger, "is of another export: .*platform was")
        content = manifest.read_bytes()
        manifest.write_bytes(content.replace(b'"version":5', b'"version":9', 1))
        await refused(client, "another version")
        manifest.write_bytes(content)
        assert sandbox.requests.total() + other.requests.total() == before
        query = DIFFERENT[suffix][0][1].get("query", EVERYTHING)
        assert not (await export_tickets(client, query, target, resume=False)).resumed_rows
        assert not manifest.exists()


@pytest.mark.parametrize(
    ("suffix", "damage"),
    slow_after(
        2,
        [
            (".jsonl", "part cut"),
            (".csv.zst", "part changed"),
            (".sqlite", "line torn"),
            *((".jsonl", damage) for damage in ("part long", "part gone", "line wrong", "head torn")),
        ],
    ),
)
async def test_damaged(suffix: str, damage: str, tmp_path: Path) -> None:
    """What is not as the manifest says is read again; a torn head, before which there is no part, is begun anew."""
    target = tmp_path / f"t{suffix}"
    part, manifest = (target.with_name(f"{target.name}.{what}") for what in ("part", "manifest"))
    async with Sandbox(tickets=600) as sandbox, sandbox.client() as client:
        await begun(client, target, 4)
        lines = manifest.read_bytes().splitlines(keepends=True)
        rows = part.read_bytes()
        end = int(lines[2].split(b'"end":')[1].split(b",")[0])
        match damage:
            case "part cut":
                part.write_bytes(rows[: end - 1])
            case "part changed":
                part.write_bytes(rows[: end - 1] + bytes([rows[end - 1] ^ 1]) + rows[end:])
            case "part long":
                part.write_bytes(rows[:end] + b"\0" * 2_000_000)
            case "part gone":
                part.unlink()
            case "line torn":
                manifest.write_bytes(b"".join(lines[:2]) + lines[2][:-1])
            case "line wrong":
                manifest.write_bytes(b"".join(lines[:2]) + b"\0\0\n" + b"".join(lines[3:]))
            case "head torn":
                manifest.write_bytes(lines[0][:-1])
                part.unlink()

        def told(progress: ExportProgress) -> None:
            # A thread may be about to write the last line.
            whole, _, _ = manifest.read_bytes().rpartition(b"\n")
            assert all(orjson.loads(line) for line in whole.splitlines())

        report = await export_tickets(client, TicketQuery(), target, on_progress=told)
        kept = {"part gone": 0, "head torn": 0, "part long": 2}.get(damage, 1)
        assert report.resumed_rows == sum(orjson.loads(line)["rows"] for line in lines[1 : kept + 1])
        assert is_of(target, await truth(client))
    assert os.listdir(tmp_path) == [target.name]


async def test_not_ours(tmp_path: Path) -> None:
    """Files of the same names that are somebody else's are refused, and left as they are."""
    target = tmp_path / "t.jsonl"
    async with Sandbox(tickets=20) as sandbox, sandbox.client() as client:
        for name, resume in (("t.jsonl.manifest", True), ("t.jsonl.manifest", False), ("t.jsonl.part", True)):
            (tmp_path / name).write_text("mine\n")
            with pytest.raises(Exception, match=r"is no manifest of an export|is there without a manifest") as caught:
                await export_tickets(client, TicketQuery(), target, resume=resume)
            assert type(caught.value).__name__ == "ExportError"
            assert {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)} == {name: "mine\n"}
            (tmp_path / name).unlink()
        (tmp_path / "t.xlsx.converted").write_text("mine\n")
        with pytest.raises(Exception, match=r"t\.xlsx\.converted' is there without a manifest"):
            await export_tickets(client, TicketQuery(), tmp_path / "t.xlsx")
        assert not sandbox.requests
        # Lines are not converted: that name is nothing to them, also where nothing comes of the export.
        (tmp_path / "t.csv.converted").write_text("mine\n")
        sandbox.faults = [Fault("errno", operation="list_tickets", errno=90001, times=1)]
        with suppress(WorkorderError):
            await export_tickets(client, TicketQuery(), tmp_path / "t.csv")
        await export_tickets(client, TicketQuery(), tmp_path / "t.csv")
    assert sorted(os.listdir(tmp_path)) == ["t.csv", "t.csv.converted", "t.xlsx.converted"]


async def test_refused_anew(tmp_path: Path) -> None:
    """`resume=False` that is refused, since the target is there, leaves what another call could go on with."""
    target = tmp_path / "t.jsonl"
    async with Sandbox(tickets=500) as sandbox, sandbox.client() as client:
        await begun(client, target)
        target.write_text("old")
        with pytest.raises(Exception, match="exists; overwrite=True replaces it"):
            await export_tickets(client, TicketQuery(), target, resume=False)
        report = await export_tickets(client, TicketQuery(), target, overwrite=True)
        assert report.resumed_rows


@pytest.mark.slow
async def test_in_use(tmp_path: Path) -> None:
    """A file that another process exports to is refused, and so is one of this process; it does not disturb them."""
    target = tmp_path / "t.jsonl"
    async with Sandbox(tickets=1500, latency=0.01) as sandbox, sandbox.client() as client:
        async with child(sandbox, target, part=100, concurrency=1) as process:
            await said(process, lambda line: True)
            for resume in (True, False):
                with pytest.raises(
                    Exception, match="is in use: another process or call exports to the same file"
                ) as caught:
                    await export_tickets(client, TicketQuery(), target, resume=resume, overwrite=True)
                assert type(caught.value).__name__ == "ExportError"
            lines = await said(process)
        assert lines[-1]["report"] == 1500
        results = await asyncio.gather(
            *(export_tickets(client, TicketQuery(), tmp_path / "u.jsonl") for _ in range(2)), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in results) == ["ExportError", "ExportReport"]
        assert is_of(target, await truth(client))
    assert sorted(os.listdir(tmp_path)) == ["t.jsonl", "u.jsonl"]


@pytest.mark.slow
async def test_created_meanwhile(tmp_path: Path) -> None:
    """What is created after the first call was killed stays out of the second one: that asks for what is left."""
    target = tmp_path / "t.jsonl"
    async with Sandbox(tickets=500) as sandbox, sandbox.client() as client:
        wanted = await truth(client)
        await begun(client, target)
        await asyncio.sleep(1.1)  # created times are whole seconds
        assert (await sandbox.change(create=5)).created
        report = await export_tickets(client, TicketQuery(), target)
        assert report.resumed_rows
        assert is_of(target, wanted)


@pytest.mark.slow
async def test_several_queries(tmp_path: Path) -> None:
    """What earlier parts had is known after a kill: a ticket that has moved to the next query does not come twice."""
    target = tmp_path / "t.jsonl"
    queries = [TicketQuery(status=1), TicketQuery(status=3)]
    async with Sandbox(tickets=1500) as sandbox, sandbox.client() as client:
        await begun(client, target, 2, queries=queries)
        pending = await truth(client, TicketQuery(status=1))
        assert (await sandbox.change(close=20, pick="newest")).closed
        report = await export_tickets(client, queries, target)
        closed = await truth(client, TicketQuery(status=3))
    assert report.resumed_rows
    ids = [int(line.split(b'"id":')[1].split(b",")[0]) for line in target.read_bytes().splitlines()]
    assert sorted(ids) == sorted({ticket.id for ticket in (*pending, *closed)})
