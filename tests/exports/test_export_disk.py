"""Exports to places that do not hold them: a disk that is full, a pipe that is closed, a device; and stdout."""

import asyncio
import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import orjson
import pytest

from tests.support.exports import SUFFIXES, child, is_of, said, truth
from tests.support.slow import slow_after
from tests.support.small_disk import limited_files
from workorder_async import ConfigError, ExportError, Sandbox, TicketQuery
from workorder_async.exports import ExportProgress, ExportReport, export_tickets, reading


@pytest.mark.parametrize(
    ("suffix", "limit"), slow_after(1, [*((suffix, 40_000) for suffix in SUFFIXES), (".jsonl", 150_000)])
)
async def test_disk_full(suffix: str, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes no more ends the export with the file and the cause; with more room the same call goes on."""
    monkeypatch.setattr(reading, "ROWS_OF_A_PART", 1)
    target = tmp_path / f"t{suffix}"
    async with Sandbox(tickets=1000) as sandbox, sandbox.client() as client:
        with limited_files(limit), pytest.raises(ExportError, match="the same call goes on from there") as caught:
            await export_tickets(client, TicketQuery(), target)
        assert f"{target.name}." in str(caught.value)
        assert not target.exists()
        report = await export_tickets(client, TicketQuery(), target)
        assert report.resumed_rows or limit == 40_000
        assert is_of(target, await truth(client))
    assert os.listdir(tmp_path) == [target.name]


async def test_a_disk_that_does_not_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that the disk could not keep are not said to be there: the export ends, and the same call goes on."""
    target, fsync, failed = tmp_path / "t.jsonl", os.fsync, list[str]()

    def failing(descriptor: int) -> None:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.path.basename(name).startswith(target.name) and os.stat(name).st_size > 100_000:
            failed.append(name)
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    async with Sandbox(tickets=1000) as sandbox, sandbox.client() as client:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing)
            with pytest.raises(ExportError, match=r"t\.jsonl\..*Input/output error"):
                await export_tickets(client, TicketQuery(), target)
        assert len(failed) == 1
        await export_tickets(client, TicketQuery(), target)
        assert is_of(target, await truth(client))


@pytest.mark.parametrize(
    ("suffix", "what"), slow_after(1, [(".csv", "copied"), (".sqlite", "removed"), (".parquet", "begun anew")])
)
async def test_removed_or_replaced_meanwhile(
    suffix: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export whose part is no longer under its name ends: what is there by then, of others, never gets the name."""
    monkeypatch.setattr(reading, "ROWS_OF_A_PART", 100)
    target, others = tmp_path / f"t{suffix}", list[asyncio.Task[ExportReport]]()
    part, manifest, copy = (tmp_path / f"{target.name}.{side}" for side in ("part", "manifest", "copy"))

    is_over = False

    def told(progress: ExportProgress) -> None:
        nonlocal is_over
        if is_over or progress.rows < 500:
            return
        is_over = True
        if what == "copied":
            copy.write_bytes(part.read_bytes())
            copy.replace(part)
            return
        part.unlink()
        if what == "begun anew":
            manifest.unlink()
            others.append(asyncio.create_task(export_tickets(client, TicketQuery(), target)))

    async with Sandbox(tickets=1000) as sandbox, sandbox.client() as client:
        with pytest.raises(ExportError, match=r"t\..*removed or replaced.*; what is on disk stays$"):
            await export_tickets(client, TicketQuery(), target, concurrency=1, on_progress=told)
        report = await (others[0] if others else export_tickets(client, TicketQuery(), target))
        assert report.rows == 1000
        assert is_of(target, await truth(client))
    assert os.listdir(tmp_path) == [target.name]


async def test_device_full() -> None:
    """A device that takes nothing ends the export."""
    async with Sandbox(tickets=200) as sandbox, sandbox.client() as client:
        with pytest.raises(ExportError, match="cannot write to /dev/full: No space left on device"):
            await export_tickets(client, TicketQuery(), "/dev/full", format="jsonl")


async def test_null_device() -> None:
    """A device takes the rows as they come, and nothing is made beside it."""
    before = os.listdir("/dev")
    async with Sandbox(tickets=200) as sandbox, sandbox.client() as client:
        report = await export_tickets(client, TicketQuery(), "/dev/null", format="csv")
        with pytest.raises(ConfigError, match="parquet cannot be written to '/dev/null'; name a file"):
            await export_tickets(client, TicketQuery(), "/dev/null", format="parquet")
    assert report.rows == 200
    assert os.listdir("/dev") == before


@pytest.mark.slow
async def test_stdout(tmp_path: Path) -> None:
    """Stdout, a pipe here, gets all rows and nothing else."""
    format = "csv.gz"
    async with Sandbox(tickets=500) as sandbox, sandbox.client() as client:
        async with child(sandbox, "-", asyncio.subprocess.PIPE, format=format, part=100) as process:
            out, err = await process.communicate()
        (tmp_path / f"t.{format}").write_bytes(out)
        assert is_of(tmp_path / f"t.{format}", await truth(client))
    assert orjson.loads(err.splitlines()[-1])["report"] == 500


@pytest.mark.slow
async def test_stdout_to_a_file(tmp_path: Path) -> None:
    """Stdout that was led to a file gets all rows."""
    async with Sandbox(tickets=500) as sandbox, sandbox.client() as client:
        with open(tmp_path / "t.jsonl", "wb") as file:  # noqa: ASYNC230 - a file of the test's
            async with child(sandbox, "-", file.fileno(), part=100) as process:
                assert (await said(process))[-1]["report"] == 500
        assert is_of(tmp_path / "t.jsonl", await truth(client))


@pytest.mark.slow
async def test_closed_pipe() -> None:
    """A pipe that is closed ends the export with an error of ours, which tells the cause."""
    async with (
        Sandbox(tickets=3000, latency=0.02) as sandbox,
        child(sandbox, "-", asyncio.subprocess.PIPE, part=100) as process,
    ):
        await said(process, lambda line: line.get("rows", 0) > 200)
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        last = (await said(process))[-1]
    assert last == {
        "error": "ExportError",
        "message": "cannot write to stdout: Broken pipe; it got only part of the tickets",
    }


@pytest.mark.parametrize("how", ["none", "closed", "no file", "from the beginning"])
async def test_no_stdout(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stdout that is closed is an error before the first request, never an export to nowhere."""
    with open(tmp_path / "closed", "w") as closed:  # noqa: ASYNC230 - closed at once
        pass
    if how == "from the beginning":
        # Then something leads nowhere in its place.
        monkeypatch.setattr(sys, "__stdout__", None)
    else:
        monkeypatch.setattr(sys, "stdout", {"none": None, "no file": io.StringIO(), "closed": closed}[how])
    async with Sandbox(tickets=20) as sandbox, sandbox.client() as client:
        with pytest.raises(ConfigError, match=r"cannot write to '-': stdout is closed, or is no file"):
            await export_tickets(client, TicketQuery(), "-")
        assert not sandbox.requests


@pytest.mark.slow
@pytest.mark.parametrize("name", ["-", "/dev/fd/1"])
async def test_every_name_of_stdout(name: str) -> None:
    """Whatever stdout is called, on the command line a closed one is an error, and one that is open gets all rows."""
    command = [sys.executable, "-m", "workorder_async", "export", name, "--format", "jsonl"]
    async with Sandbox(tickets=20) as sandbox:
        environment = os.environ | sandbox.environment
        for redirected, code, rows in (("", 0, 20), (">&-", 2, 0)):
            shell = ["/bin/sh", "-c", f'"$@" {redirected}', "-", *command]
            ran = await asyncio.create_subprocess_exec(*shell, stdout=-1, stderr=-1, env=environment)
            out, err = await ran.communicate()
            assert (ran.returncode, len(out.splitlines())) == (code, rows), err


async def test_named_pipe(tmp_path: Path) -> None:
    """A named pipe is written to once somebody reads from it."""
    pipe, content = tmp_path / "pipe", bytearray()
    os.mkfifo(pipe)
    reader = Thread(target=lambda: content.extend(pipe.read_bytes()))
    async with Sandbox(tickets=700) as sandbox, sandbox.client() as client:
        task = asyncio.create_task(export_tickets(client, TicketQuery(), pipe, format="jsonl"))
        await asyncio.sleep(0)
        reader.start()
        assert (await task).rows == 700
        await asyncio.to_thread(reader.join)
    assert len(content.splitlines()) == 700
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to the superuser")
async def test_closed_folder(tmp_path: Path) -> None:
    """A folder that is not writable is refused before the first request."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    async with Sandbox(tickets=5) as sandbox, sandbox.client() as client:
        with pytest.raises(ConfigError, match="Permission denied; choose another place for the target"):
            await export_tickets(client, TicketQuery(), folder / "t.jsonl")
        assert not sandbox.requests


@pytest.mark.parametrize("suffix", slow_after(2, [".jsonl", ".sqlite", ".parquet"]))
async def test_for_its_owner_alone(suffix: str, tmp_path: Path) -> None:
    """Nobody else may read what is there, at any time."""
    modes: set[int] = set()

    def look(_: object) -> None:
        modes.update((tmp_path / name).stat().st_mode & 0o777 for name in os.listdir(tmp_path))

    async with Sandbox(tickets=300) as sandbox, sandbox.client() as client:
        await export_tickets(client, TicketQuery(), tmp_path / f"t{suffix}", on_progress=look)
    look(None)
    assert modes == {0o600}


def test_import_is_cheap() -> None:
    """To import the room loads no package of an extra, and no aiohttp before something is used."""
    code = "import sys, workorder_async.exports; print(sorted({'pyarrow', 'xlsxwriter', 'aiohttp'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
