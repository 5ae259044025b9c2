"""Which format a name means, and every format over plain rows: complete, equal row for row, in parts."""

import re
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.export_rows import as_read, cells, full_ticket, read_back, tickets, write
from tests.support.rows import each
from tests.support.slow import slow_after
from workorder_async import ConfigError
from workorder_async.document import TicketDetail
from workorder_async.exports.formats import SUFFIXES, Format, format_of, target_of
from workorder_async.exports.sink import TextChanges
from workorder_async.extras import install_line


@each(
    ("target", "format", "name"),
    [
        ("a.jsonl", None, "jsonl"),
        ("a.jsonl.gz", None, "jsonl.gz"),
        (Path("folder.db") / "a.csv", None, "csv"),
        ("a.b.CSV.ZST", None, "csv.zst"),
        ("a.db", None, "sqlite"),
        ("a.sqlite", None, "sqlite"),
        ("-", None, "jsonl"),
        ("-", "csv", "csv"),
        ("a.txt", "csv.gz", "csv.gz"),
        ("a.csv", "parquet", "parquet"),
        ("a.csv", ".XLSX", "xlsx"),
        ("a", " db ", "sqlite"),
    ],
)
def test_format_of(target: "str | Path", format: str | None, name: str) -> None:
    """The format is what is asked for, else what the file's name ends in."""
    assert format_of(target, format) == Format(name)


@pytest.mark.parametrize(
    ("target", "format", "message"),
    [
        (
            "a.xml",
            None,
            "'a.xml' says no format by its suffix; add format=, or use one of: .jsonl .jsonl.gz .jsonl.zst .csv",
        ),
        ("a", None, "'a' says no format"),
        ("a.gz", None, "'a.gz' says no format"),
        ("a.parquet.gz", None, "'a.parquet.gz' says no format"),
        ("a.csv", "xls", "format 'xls' is not known; use one of"),
        ("a.csv", "", "format '' is not known"),
        ("-", "parquet", "parquet cannot be written to stdout"),
        ("-", "sqlite", "sqlite cannot be written to stdout"),
    ],
)
def test_no_format(target: str, format: str | None, message: str) -> None:
    """What says no format that there is, is refused, with what there is."""
    with pytest.raises(ConfigError, match=re.escape(message)):
        target_of(target, format)


@pytest.mark.parametrize(
    ("suffix", "blocked", "line"),
    slow_after(
        1,
        [
            (".parquet", "pyarrow", install_line("parquet")),
            (".xlsx", "xlsxwriter", install_line("xlsx")),
            (".csv.zst", "backports.zstd", install_line("zst")),
        ],
    ),
)
def test_missing_extra(suffix: str, blocked: str, line: str) -> None:
    """A format whose package is not there is refused with the line that installs it; the others go on working."""
    code = (
        "import sys\n"
        f"sys.modules[{blocked!r}] = sys.modules['compression.zstd'] = None\n"
        "from workorder_async.exports.formats import SUFFIXES, format_of\n"
        "from workorder_async import ConfigError\n"
        "for suffix in SUFFIXES:\n"
        "    try: format_of('a' + suffix)\n"
        "    except ConfigError as error: print(suffix, error)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    refused = {said.partition(" ")[0] for said in out.splitlines()}
    assert refused == {each for each in SUFFIXES if each.split(".")[-1] == suffix.rsplit(".", maxsplit=1)[-1]}
    assert line in out


def test_nothing_heavy_is_loaded() -> None:
    """Asking for a format of the standard library loads no package of an extra."""
    code = (
        "import sys; from workorder_async.exports.formats import format_of\n"
        "for suffix in ('.csv.gz', '.jsonl', '.db'): format_of('a' + suffix)\n"
        "print(sorted({'pyarrow', 'xlsxwriter', 'backports'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize(
    "name", [suffix[1:] for suffix in SUFFIXES if not suffix.startswith((".jsonl", ".db", ".sqlite"))]
)
def test_only_lines_are_raw(name: str) -> None:
    """The server's own objects have no columns, so that only JSON Lines can hold them."""
    with pytest.raises(ConfigError, match=r"raw .* use \.jsonl"):
        Format(name).sink(raw=True)


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix not in {".db", ".sqlite"}])
def test_full_records(suffix: str, tmp_path: Path) -> None:
    """Full records are there with all they hold, lists as JSON, empty ones too."""
    rows = [full_ticket(1), TicketDetail(id=2), full_ticket(3)]
    target = tmp_path / f"tickets{suffix}"
    assert write(target, rows, detail=True) == TextChanges()
    assert read_back(target) == [as_read(target, cells(ticket)) for ticket in rows]


@pytest.mark.parametrize(
    "suffix", slow_after(2, [".csv", ".parquet", ".csv.gz", ".csv.zst", ".jsonl", ".jsonl.gz", ".jsonl.zst"])
)
def test_duckdb_reads_it(suffix: str, tmp_path: Path) -> None:
    """A database engine that knows nothing of us finds the rows, their numbers, texts and times."""
    rows = tickets(300)
    target = tmp_path / f"tickets{suffix}"
    write(target, rows, part=1)
    with closing(import_module("duckdb").connect()) as engine:
        question = (
            "SELECT count(*), sum(id), count(DISTINCT title), max(title), sum(need_process::INT), sum(closed_time), "
            "count(closed_at), max(epoch(created_at::TIMESTAMPTZ))::BIGINT "
            f"FROM '{target}'"
        )
        found = engine.execute(question).fetchone()
    assert found == (
        300,
        sum(row.id for row in rows),
        300,
        max(row.title for row in rows),
        sum(row.need_process for row in rows),
        sum(row.closed_time for row in rows),
        sum(row.closed_time > 0 for row in rows),
        max(row.created_time for row in rows),
    )
