"""The files that a user would write by hand: the rows of the bare loop as they came, by one library each.

None of them orders the rows, goes on after a crash, or notices that a ticket is missing; that makes them faster.
"""

import csv
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from benchmarks.others import bare_loop


async def jsonl_by_hand(base_url: str, path: Path) -> int:
    """Write one JSON object a line, by orjson, as pages come."""
    with path.open("wb") as file:
        return await bare_loop(
            base_url,
            lambda rows: file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows),
        )


async def csv_by_hand(base_url: str, path: Path) -> int:
    """Write CSV by `csv.DictWriter`, as pages come."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer: csv.DictWriter[str] | None = None

        def write(rows: list[dict[str, Any]]) -> None:
            nonlocal writer
            if writer is None:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
            writer.writerows(rows)

        return await bare_loop(base_url, write)


async def parquet_by_hand(base_url: str, path: Path) -> int:
    """Keep all rows, then write them at once by pyarrow."""
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    rows: list[dict[str, Any]] = []
    seen = await bare_loop(base_url, rows.extend)
    parquet.write_table(arrow.Table.from_pylist(rows), path, compression="zstd")
    return seen


async def xlsx_by_hand(base_url: str, path: Path) -> int:
    """Keep all rows, and the workbook too, by XlsxWriter as it is."""
    library: Any = import_module("xlsxwriter")
    rows: list[dict[str, Any]] = []
    seen = await bare_loop(base_url, rows.extend)
    with library.Workbook(path) as workbook:
        sheet = workbook.add_worksheet()
        sheet.write_row(0, 0, rows[0])
        for number, row in enumerate(rows, 1):
            sheet.write_row(number, 0, row.values())
    return seen
