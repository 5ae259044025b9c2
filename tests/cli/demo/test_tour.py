"""cli/demo/tour.py: the steps of the demo; the whole of it is in tests/cli/commands/test_demo.py."""

import asyncio
import os
from importlib import import_module
from pathlib import Path

import orjson
import pytest

from workorder_async.cli.demo import tour
from workorder_async.cli.demo.tour import Tour
from workorder_async.extras import install_line
from workorder_async.sandbox import Sandbox


async def test_parquet_is_written_too(tmp_path: Path) -> None:
    """Where pyarrow is there, the same tickets are also in a Parquet file, and the summary says so."""
    output = tmp_path / "tickets.jsonl"
    async with Sandbox(250) as sandbox, sandbox.client() as client:
        seen = Tour(client, sandbox)
        await seen.export(250, output)
    parquet = tmp_path / "tickets.jsonl.parquet"
    lines = (await asyncio.to_thread(output.read_bytes)).splitlines()
    table = import_module("pyarrow.parquet").read_table(parquet)
    assert table.column("id").to_pylist() == [orjson.loads(line)["id"] for line in lines]
    assert seen.complaints == []
    assert dict(seen.facts)["parquet"] == f"250 rows to {parquet}"


async def test_parquet_is_left_out_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pyarrow is missing, the demo is well all the same, and says what installs it."""
    monkeypatch.setattr(tour, "find_spec", lambda name: None)
    async with Sandbox(5) as sandbox, sandbox.client() as client:
        seen = Tour(client, sandbox)
        await seen.export(5, tmp_path / "tickets.jsonl")
    assert await asyncio.to_thread(os.listdir, tmp_path) == ["tickets.jsonl"]
    assert seen.complaints == []
    assert dict(seen.facts)["parquet"] == f"needs pyarrow: {install_line('parquet')}"


async def test_parquet_of_other_tickets_is_a_complaint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ticket that is in one file only is a complaint."""
    monkeypatch.setattr(tour, "_ids_in_parquet", lambda file: [1001, 1002])
    async with Sandbox(3) as sandbox, sandbox.client() as client:
        seen = Tour(client, sandbox)
        await seen.export(3, tmp_path / "tickets.jsonl")
    assert seen.complaints == [f"{tmp_path / 'tickets.jsonl.parquet'} does not have the same tickets"]


async def test_a_walk_that_misses_tickets_is_a_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk over a list that moves lacks nothing; if it went page by page, that would be told, and be a complaint."""
    async with Sandbox(5000) as sandbox, sandbox.client() as client:
        seen = Tour(client, sandbox)
        await seen.read_moving()
        assert seen.complaints == []
        monkeypatch.setattr(Tour, "_walked", Tour._paged)
        await seen.read_moving()
    assert [name for name, _ in seen.facts] == ["page by page", "walk"] * 2
    assert dict(seen.facts)["walk"].split()[0] == seen.complaints[0].split()[3] != "0"
