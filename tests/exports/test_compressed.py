"""Compressed lines: members that can be cut off and gone on with, and the same bytes for the same rows."""

import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.export_rows import decompressed, tickets
from tests.support.slow import slow_after
from workorder_async.exports.formats import Format

_NAMES = ["jsonl.gz", "jsonl.zst", "csv.gz", "csv.zst"]


def _parts(name: str) -> list[bytes]:
    """Return what stands in front of four parts, and the parts; the third has no page."""
    rows = tickets(700)
    parts = [[rows[:100], rows[100:200]], [rows[200:300]], [], [rows[300:700]]]
    sink = Format(name).sink()
    part_bytes = (b"".join([sink.encode(page) for page in pages]) + sink.end_part() for pages in parts)
    return [sink.begin(), *part_bytes]


def _plain(name: str) -> list[bytes]:
    return _parts(name.partition(".")[0])


@pytest.mark.parametrize("name", slow_after(2, _NAMES))
def test_every_part_is_whole(name: str) -> None:
    """Each part decodes by itself, and all of them as one, to what is there without compression."""
    compression = name.partition(".")[2]
    parts, plain = _parts(name), _plain(name)
    assert [decompressed(part, compression) if part else b"" for part in parts] == plain
    assert decompressed(b"".join(parts), compression) == b"".join(plain)
    assert sum(map(len, parts)) < sum(map(len, plain)) / 3


@pytest.mark.parametrize("name", slow_after(2, _NAMES))
def test_gone_on_with(name: str) -> None:
    """Cut after a part in the middle of the next one, and gone on with by another sink, it ends in the same bytes."""
    whole = b"".join(_parts(name))
    rows = tickets(700)
    first = Format(name).sink()
    content = first.begin() + first.encode(rows[:100]) + first.encode(rows[100:200]) + first.end_part()
    first.encode(rows[200:250])
    second = Format(name).sink()
    content += second.encode(rows[200:300]) + second.end_part()
    content += second.encode(rows[300:700]) + second.end_part()
    assert content == whole


@pytest.mark.parametrize("name", _NAMES)
def test_empty(name: str) -> None:
    """A file of no rows is a file that decodes, not an empty one, which gzip refuses."""
    sink = Format(name).sink()
    content = sink.begin() + sink.end_part()
    assert content
    assert decompressed(content, name.partition(".")[2]) == _plain(name)[0]


@pytest.mark.parametrize("name", ["jsonl.zst", "csv.zst"])
def test_a_flipped_bit_is_seen(name: str) -> None:
    """A frame of zstd carries a checksum, as a member of gzip does."""
    content = bytearray(b"".join(_parts(name)))
    content[-1] ^= 1
    with pytest.raises(Exception, match="checksum"):
        decompressed(bytes(content), "zst")


@pytest.mark.parametrize("name", slow_after(2, _NAMES))
def test_pyarrow_reads_it(name: str, tmp_path: Path) -> None:
    """So does pyarrow, which others are built on."""
    path = tmp_path / f"tickets.{name}"
    path.write_bytes(b"".join(_parts(name)))
    compression = "gzip" if name.endswith("gz") else "zstd"
    with import_module("pyarrow").input_stream(path, compression=compression) as file:
        assert file.read() == b"".join(_plain(name))


@pytest.mark.skipif(shutil.which("gzip") is None, reason="no gzip on this machine")
def test_gzip_reads_it(tmp_path: Path) -> None:
    """The command that everybody has reads all members, and names no time."""
    path = tmp_path / "tickets.jsonl.gz"
    path.write_bytes(b"".join(_parts("jsonl.gz")))
    out = subprocess.run(["gzip", "-dc", path], capture_output=True, check=True)
    assert (out.stdout, out.stderr) == (b"".join(_plain("jsonl.gz")), b"")
    assert path.read_bytes()[4:8] == b"\0\0\0\0"
