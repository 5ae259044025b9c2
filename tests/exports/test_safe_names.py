"""Names of the server that are safe in a folder of ours."""

import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given, strategies as st

from tests.support.programs import ROOT
from tests.support.rows import each
from workorder_async.exports.attachments import LONGEST, distinct_names, safe_name


@each(
    ("name", "safe"),
    [
        ("trace.png", "trace.png"),
        ("截图 1.png", "截图 1.png"),
        ("../../etc/passwd", "passwd"),
        ("/etc/shadow", "shadow"),
        ("C:\\Windows\\system32\\a.dll", "a.dll"),
        ("..\\..\\a.png", "a.png"),
        ("C:a.png", "C_a.png"),
        ("a.png:stream", "a.png_stream"),
        ("..", "file"),
        (".", "file"),
        ("", "file"),
        ("   ", "file"),
        ("folder/", "file"),
        (".bashrc", "bashrc"),
        ("...a.png. . ", "a.png"),
        ("a\0b\n\x7f.png", "a_b__.png"),
        ("photo\u202egnp.exe", "photo_gnp.exe"),
        ("\u200ea\u2066.png", "_a_.png"),
        ("lone \ud800.png", "lone _.png"),
        ('<a>"b|c?d*.png', "_a__b_c_d_.png"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("com1 .txt", "_com1 .txt"),
        ("lpt¹.log", "_lpt¹.log"),
        ("con" + " " * 300 + "sole.txt", "_con.txt"),
        ("console.log", "console.log"),
        ("e\u0301.png", "\xe9.png"),
        ("a" * 300 + ".tar.gz", "a" * 197 + ".gz"),
        ("图" * 300 + ".png", "图" * 65 + ".png"),
        ("a." + "b" * 300, "a." + "b" * 198),
    ],
)
def test_safe_name(name: str, safe: str) -> None:
    """Nothing of a name leads out of a folder, misleads a reader, or is refused by a system."""
    assert safe_name(name) == safe


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name has bytes")
def test_a_name_without_bytes() -> None:
    """What the encoding of the system's file names lacks is replaced: else one name would end every export."""
    said = f"print(safe_name({'运行日志 1.log'!a}))"
    program = f"from workorder_async.exports.attachments import safe_name; {said}"
    ascii_names = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    environment = {**os.environ, **ascii_names}
    assert subprocess.check_output([sys.executable, "-c", program], env=environment) == b"____ 1.log\n"


@given(st.text(st.characters(), max_size=300))
def test_any_name(name: str) -> None:
    """Whatever the name: one part of a path, of bounded length, that stays what it is."""
    safe = safe_name(name)
    assert safe == os.path.basename(safe) == PureWindowsPath(safe).name
    assert not safe.startswith(".")
    assert safe.isprintable()
    assert 0 < len(safe.encode()) <= LONGEST
    assert safe_name(safe) == safe


@pytest.mark.parametrize(
    ("names", "distinct"),
    [
        (["a.png"] * 3, ["a.png", "a (2).png", "a (3).png"]),
        (["a.png", "b/a.png", "A.PNG"], ["a.png", "a (2).png", "A (3).PNG"]),
        (["a.png", "a.png", "a (2).png"], ["a.png", "a (2).png", "a (2) (2).png"]),
        (["a (2).png", "a.png", "a.png", "a.png"], ["a (2).png", "a.png", "a (3).png", "a (4).png"]),
        (["log", "log"], ["log", "log (2)"]),
        (["", ".."], ["file", "file (2)"]),
        (["x" * 250 + ".png"] * 2, ["x" * 196 + ".png", "x" * 192 + " (2).png"]),
    ],
)
def test_numbered(names: list[str], distinct: list[str]) -> None:
    """A name that is taken gets a number before its suffix, the same each time."""
    assert distinct_names(names) == distinct


@given(st.lists(st.sampled_from(["a.png", "A.png", "a (2).png", "b" * 300, "B" * 300 + "c"]), max_size=30))
def test_different(names: list[str]) -> None:
    """No two names are the same, even where case does not count; who comes later changes none of those before."""
    found = distinct_names(names)
    assert len({name.casefold() for name in found}) == len(names)
    assert all(len(name.encode()) <= LONGEST for name in found)
    assert distinct_names(names[: len(names) // 2]) == found[: len(names) // 2]


def test_many_of_one_name() -> None:
    """A hostile list of one name costs no more than it is long."""
    assert distinct_names(["a"] * 50_000)[-1] == "a (50000)"


def test_taken_by_the_file_system(tmp_path: Path) -> None:
    """The longest name fits with what stands around it."""
    (tmp_path / f".{safe_name('图' * 300)}.01234567.part").touch()
