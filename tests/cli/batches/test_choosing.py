"""cli/batches/sources.py: the tickets of --from, in each kind of text, and lines that name none."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.support.cli_changes import CLOSER
from tests.support.cli_runs import Workorder
from workorder_async.cli.batches.choosing import numbers_from
from workorder_async.errors import ConfigError
from workorder_async.sandbox import Sandbox

Stdin = Callable[[bytes], None]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", []),
        ("# none today\n\n", []),
        ('7\n  8  # a remark, "with" marks\r\n# 9\n\n7\n', [7, 8]),
        ("id\n7\n8\n", [7, 8]),
        ('7\ttitle\n8\t"an inch\n', [7, 8]),
        ("status\tID\n待处理\t7\n\t8\n", [7, 8]),
        ('# of Monday\ntitle,id\n"two\nlines, and a ""mark""",7\n#urgent,8\n\n,,\n', [7, 8]),
        ("id,title\r\n7,a\r\n8,b\r\n", [7, 8]),
        ('"id","title"\n"7","a"\n', [7]),
        ("7,a\n8,b", [7, 8]),
        (f"id,detail\n7,{'x' * 200_000}\n8,y\n", [7, 8]),
        ('{"id":7,"title":"a\\nb"}\n{"id":8}\n', [7, 8]),
        ('{\n  "id": 7,\n  "tags": [1]\n}\n{\n  "id": "8"\n}\n', [7, 8]),
        ('[{"id": 7},\n 8]\n', [7, 8]),
        ("[]", []),
    ],
)
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_numbers_are_found(stdin: Stdin, tmp_path: Path, text: str, numbers: list[int], bom: str) -> None:
    """Each kind of text gives its tickets, each once, with or without a byte order mark; from stdin or a file."""
    content = (bom + text).encode()
    stdin(content)
    assert numbers_from("-") == numbers
    (tmp_path / "file").write_bytes(content)
    assert numbers_from(str(tmp_path / "file")) == numbers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("7\nseven\n", "line 2 of stdin is 'seven'; it must be a ticket's number, from 1"),
        ("7\n8,9\n", "line 2 of stdin is '8,9'"),
        ("1,473\n", "line 1 of stdin holds several numbers; write one on each line, or a header: id"),
        ("工单号,标题\n7,a\n", "line 1 of stdin is '工单号'"),
        ('id,title\n7,"two\nlines"\n,b\n', "line 4 of stdin is ''"),
        ("title,id\na,7\nb\n", "line 3 of stdin is ''"),
        ('id,title\n7,"never closed\n', "line 2 of stdin is no CSV"),
        ("id\ttitle\n7.0\ta\n", "line 2 of stdin is '7.0'"),
        ("id,title\n7,a\n# 8,b\n", "line 3 of stdin is '# 8'"),
        ('{"id":7}\n{"idd":8}\n', 'line 2 of stdin is an object without "id"'),
        ('{"id":7}\n{"id":8\n', "line 3 of stdin is no JSON"),
        ('{"id":7}\n\n8.5\n', "line 3 of stdin is '8.5'"),
        ('{"id":true}\n', "line 1 of stdin is 'True'"),
        ('{"id":0}\n', "line 1 of stdin is '0'"),
        ('{"id":9223372036854775808}\n', "line 1 of stdin is '9223372036854775808'"),
        ("[[7]]\n", "line 1 of stdin is '[7]'"),
        ('{"id":' + "[" * 100_000, "line 1 of stdin is no JSON"),
    ],
)
def test_a_line_without_a_number_is_named(stdin: Stdin, text: str, said: str) -> None:
    """The first line that holds no ticket's number ends it, whatever stands around it."""
    stdin(text.encode())
    with pytest.raises(ConfigError) as refused:
        numbers_from("-")
    assert str(refused.value).startswith(f"--from: {said}")


@pytest.mark.parametrize("words", [["list", "--limit", 0, "--json"], ["list", "--limit", 0], ["export", "-"]])
def test_what_was_printed_is_read(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int], stdin: Stdin, words: list[object]
) -> None:
    """What `list` and `export` print, and somebody chose of it, is closed through a pipe; a bad line closes nothing."""
    ids = [new_ticket() for _ in range(4)]
    printed = workorder(*words).out.splitlines()
    begins = [f"{head}{id}{end}" for id in ids[1:3] for head, end in (("", "\t"), ('{"id":', ","))]
    chosen = [line for line in printed if line.startswith(tuple(begins))]
    assert len(chosen) == 2
    close = ["close", *CLOSER, "--from", "-", "--yes", "--json"]
    before = len(sandbox.applied)
    stdin("\n".join([*chosen, '{"idd":1}']).encode())
    bad = workorder(*close)
    assert (bad.code, bad.out, "line 3 of stdin" in bad.err, len(sandbox.applied)) == (2, "", True, before)
    stdin("\n".join(chosen).encode())
    ran = workorder(*close)
    assert (ran.code, sorted(row["id"] for row in ran.rows)) == (0, ids[1:3])
    assert sorted(one.ticket_id for one in sandbox.applied[before:]) == ids[1:3]


def test_an_exported_csv_is_read(
    workorder: Workorder, new_ticket: Callable[[], int], tmp_path: Path, stdin: Stdin
) -> None:
    """A CSV of `export`, with its byte order mark and texts of several lines, names its tickets."""
    ids = [new_ticket(), new_ticket()]
    assert workorder("export", tmp_path / "all.csv").code == 0
    ran = workorder("reject", "--from", tmp_path / "all.csv", "--dry-run", "--json")
    found = [row["request"]["id"] for row in ran.rows]
    assert set(ids) <= set(found)
    assert sorted(found) == sorted(row["id"] for row in map(orjson.loads, workorder("export", "-").out.splitlines()))
