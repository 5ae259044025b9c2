"""Rows jsonl, csv, parquet, xlsx, export and resume: what files of all tickets cost, whole and cut in half.

`__main__` is a process that exports once and tells how much its memory grew.
"""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import orjson

from benchmarks.child import ROOT
from benchmarks.files import csv_by_hand, jsonl_by_hand, parquet_by_hand, xlsx_by_hand
from benchmarks.latency import ideal
from benchmarks.measuring import HEAVY_ROUNDS, Comparison, Contestant, Plan, Row, race
from benchmarks.memory import peak
from benchmarks.others import WORKERS
from benchmarks.pages import page_count
from benchmarks.server import canned_server
from benchmarks.walking import client_of, course
from workorder_async import TicketQuery
from workorder_async.exports import ExportOptions, ExportProgress, ExportReport, export_tickets

_ByHand: TypeAlias = Callable[[str, Path], Awaitable[int]]

_MS = 50
# So many times the list of other rows: what comes once in an export should weigh little.
_FILE_TIMES = 5
# Several parts, each of them on disk before the next one is.
_LONG_TIMES = 10

_OURS = "export_tickets"
_RAW = "export_tickets, raw=True"
_BY_HAND = "by hand"
_IDEAL = "ideal"
_CUT = "cut in half"


class _CutError(Exception):
    """Ends an export in its middle."""


def measure_jsonl(plan: Plan) -> Row:
    """Measure JSON Lines over a bare loop with `orjson.dumps`."""
    return _measure(plan, "jsonl", "orjson.dumps of each row", 0.62, jsonl_by_hand, raw=True)


def measure_csv(plan: Plan) -> Row:
    """Measure CSV over a bare loop with `csv.DictWriter`."""
    return _measure(plan, "csv", "csv.DictWriter", 0.7, csv_by_hand)


def measure_parquet(plan: Plan) -> Row:
    """Measure Parquet over a bare loop, then pyarrow."""
    return _measure(plan, "parquet", "pyarrow Table.from_pylist", 0.58, parquet_by_hand)


def measure_xlsx(plan: Plan) -> Row:
    """Measure a workbook over a bare loop, then XlsxWriter as it is."""
    # It takes ten times as long as the others.
    few = Plan(min(HEAVY_ROUNDS, plan.rounds), max(1, plan.tickets // _FILE_TIMES))
    return _measure(few, "xlsx", "XlsxWriter, write_row", 0.6, xlsx_by_hand)


def _measure(plan: Plan, suffix: str, way: str, goal: float, by_hand: _ByHand, *, raw: bool = False) -> Row:
    tickets = plan.tickets * _FILE_TIMES
    beside: list[Comparison] = []
    with (
        TemporaryDirectory() as folder,
        canned_server(tickets) as server,
        course(f"{server}/0", tickets) as timed,
    ):
        ours, theirs = Path(folder, f"ours.{suffix}"), Path(folder, f"theirs.{suffix}")
        contestants = {_BY_HAND: timed(lambda url: by_hand(url, theirs)), _OURS: timed(partial(export, path=ours))}
        if raw:
            contestants[_RAW] = timed(partial(export, path=Path(folder, f"raw.{suffix}"), options={"raw": True}))
        result = race(_BY_HAND, contestants, plan.rounds)
        our_size, their_size = (path.stat().st_size / tickets for path in (ours, theirs))
    if raw:
        meaning = "times the throughput, with raw=True, of"
        beside.append(Comparison("the same by hand", result.ratio(_BY_HAND, _RAW), meaning))
    each = {name: sample.median / tickets * 1e6 for name, sample in result.seconds.items()}
    return Row(
        suffix,
        f"export_tickets to .{suffix}, tickets/s",
        f"bare loop, {way}",
        ">=",
        goal,
        result.ratio(_BY_HAND, _OURS),
        result,
        beside=tuple(beside),
        notes=(
            f"{tickets} tickets; {', '.join(f'{name} {micros:.1f} µs a ticket' for name, micros in each.items())}",
            f"{our_size:.0f} bytes a ticket, by hand {their_size:.0f}; ours has names beside codes, and times in words",
            _memory(suffix, tickets * 2),
        ),
    )


def measure_export(plan: Plan) -> Row:
    """Measure a whole export over pages with latency: each part of it is on disk before the next one is."""
    tickets = plan.tickets * _LONG_TIMES
    best = ideal(str(_MS), page_count(tickets), WORKERS)
    reports: list[ExportReport] = []
    with (
        TemporaryDirectory() as folder,
        canned_server(tickets, "spread") as server,
        course(f"{server}/{_MS}", tickets) as timed,
    ):
        path = Path(folder, "tickets.jsonl")
        contestants: dict[str, Contestant] = {
            _IDEAL: lambda: best,
            _BY_HAND: timed(partial(jsonl_by_hand, path=Path(folder, "theirs.jsonl"))),
            _OURS: timed(partial(export, path=path, reports=reports)),
        }
        # The ideal never varies: what is written by hand tells whether the machine held still.
        result = race(_BY_HAND, contestants, min(HEAVY_ROUNDS, plan.rounds))
    ours, pages, report = result.seconds[_OURS].median, page_count(tickets), reports[-1]
    return Row(
        "export",
        f"export of {tickets} at {_MS} ms, {WORKERS} in flight",
        f"the ideal, {best * 1000:.0f} ms",
        ">=",
        0.93,
        result.ratio(_IDEAL, _OURS),
        result,
        beside=(Comparison("the same by hand, in no order", result.ratio(_BY_HAND, _OURS)),),
        notes=(
            f"the ideal is 1 + ceil({pages - 1} / {WORKERS}) = {1 + ceil((pages - 1) / WORKERS)} rounds of {_MS} ms; "
            f"taken: {ours * 1000:.0f} ms",
            f"each part is on disk before the next one is, where TMPDIR says; {report.requests} requests for {pages} "
            "pages",
        ),
    )


def measure_resume(plan: Plan) -> Row:
    """Measure an export that is cut in half and gone on with, over one that nobody disturbs."""
    tickets = plan.tickets * _LONG_TIMES
    reports: list[ExportReport] = []
    with (
        TemporaryDirectory() as folder,
        canned_server(tickets, "spread") as server,
        course(f"{server}/0", tickets) as timed,
    ):
        cut, whole = Path(folder, "cut.jsonl"), Path(folder, "whole.jsonl")
        contestants = {
            _OURS: timed(partial(export, path=whole)),
            _CUT: timed(partial(_export_in_halves, path=cut, half=tickets // 2, reports=reports)),
        }
        result = race(_OURS, contestants, min(HEAVY_ROUNDS, plan.rounds))
        if cut.read_bytes() != whole.read_bytes():
            raise RuntimeError("the export that was cut in half ended in another file")
    report = reports[-1]
    return Row(
        "resume",
        f"export of {tickets}, cut in half, time",
        "the same undisturbed",
        "<=",
        1.25,
        result.ratio(_CUT, _OURS),
        result,
        notes=(
            f"the second half went on after {report.resumed_rows} rows of {report.rows}; both ended in the same bytes",
        ),
    )


async def export(
    base_url: str, path: Path, reports: list[ExportReport] | None = None, *, options: ExportOptions | None = None
) -> int:
    """Export all tickets, from a new client to the file's name; an earlier file is replaced."""
    whole: ExportOptions = {"overwrite": True, **(options or {})}
    async with client_of(base_url) as client:
        report = await export_tickets(client, TicketQuery(), path, **whole)
    if not report.exact:
        raise RuntimeError(f"the export is not exact: {report.reason}")
    if reports is not None:
        reports.append(report)
    return report.rows


async def _export_in_halves(base_url: str, path: Path, half: int, reports: list[ExportReport]) -> int:
    """Export until half of the tickets are there, and go on with a new client."""

    def cut(progress: ExportProgress) -> None:
        if progress.rows >= half:
            raise _CutError

    with suppress(_CutError):
        await export(base_url, path, options={"on_progress": cut})
    return await export(base_url, path, reports)


def _memory(suffix: str, tickets: int) -> str:
    """Tell what an export of that many adds to the peak memory of a process."""
    with TemporaryDirectory() as folder, canned_server(tickets, "spread") as server:
        command = [sys.executable, "-m", "benchmarks.exporting", f"{server}/0", str(Path(folder, f"tickets.{suffix}"))]
        told: Any = orjson.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    return f"{tickets} tickets: peak memory grows by {told:.0f} MiB, from that of a process that is ready to begin"


async def _grown(base_url: str, path: Path) -> float:
    """Return by how many MiB an export makes the peak of this process's memory grow."""
    async with client_of(base_url) as client:
        await client.list_tickets()
        before = peak()
        await export_tickets(client, TicketQuery(), path)
        return peak() - before


if __name__ == "__main__":
    print(orjson.dumps(asyncio.run(_grown(sys.argv[1], Path(sys.argv[2])))).decode())
