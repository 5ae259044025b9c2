"""cli/number_file.py: the tickets of --from, in each kind of text, and lines that name none."""

import re
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import orjson
import pytest

from tests.support.cli_changes import CLOSER, created
from tests.support.cli_runs import Workorder
from tests.support.rows import each
from tests.support.slow import slow_after
from workorder_async.cli.number_file import numbers_from
from workorder_async.errors import ConfigError
from workorder_async.sandbox import Sandbox

Stdin = Callable[[bytes], None]
NAMELESS = "the column with the tickets' numbers; begin with the columns' names, one of them id, or write the numbers"
# Rows without the names of their columns, some with a title that reads like a name; other tables.
NAMELESS_TEXTS = [
    "1,473\n",
    "7,a\n8,b",
    "7\ttitle\n8\ttitle\n",
    '"7"\n"8"\n',
    "7 8\n",
    "客户编号,标题\n7,a\n",
    "1\t待处理\t高\tid\n7\t待处理\t高\t8\n",
    "id\t1\n7\t2\n",
    "id,2024-01-31 09:30:00+08:00\n7,2024-01-31 09:30:00+08:00\n",
    "1.0,id\n2.0,7\n",
    "title\nid\n7\n",
    "编号,标题\n7,a\n",
    "seven\n",
]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", []),
        ("# none today\n\n", []),
        ('7\n  8  # a remark, "with" marks\r\n# 9\n\n7\n', [7, 8]),
        ("id\n7\n8\n", [7, 8]),
        ('id\ttitle\n7\ttitle\n8\t"an" inch\n9\t"it\n', [7, 8, 9]),
        ('id\ttitle\n7\t"an ""inch"""\n8\t"a\ttab"\n', [7, 8]),
        ('"id"\t"title"\n"7"\t"a"\n', [7]),
        ('id,title\n7,"two\rlines, 8"\n', [7]),
        ("id\r7\r8\r", [7, 8]),
        ("工单ID,标题\n7,id\n8,9\n", [7, 8]),
        ("标题\t工单编号\nid\t7\n9\t8\n", [7, 8]),
        ("Ticket ID,note\n7,x\n", [7]),
        ("标题\t工单 id\n甲\t7\n", [7]),
        ("status\tID\n待处理\t7\n\t8\n", [7, 8]),
        ('# of Monday\ntitle,id\n"two\nlines, and a ""mark""",7\n#urgent,8\n\n,,\n', [7, 8]),
        ("id,title\r\n7,a\r\n8,b\r\n", [7, 8]),
        ("id\ttitle\n7\tInvoice shows wrong total\n8\t合计(含税)金额显示错误\n", [7, 8]),
        ("id,status,title\n7,x,wrong row count\n8,y,Count (*) 查询超时\n", [7, 8]),
        ('"id","title"\n"7","a"\n', [7]),
        (f"id,detail\n7,{'x' * 200_000}\n8,y\n", [7, 8]),
        ('{"id":7,"title":"a\\nb"}\n{"id":8}\n', [7, 8]),
        ('{\n  "id": 7,\n  "tags": [1]\n}\n{\n  "id": "8"\n}\n', [7, 8]),
        ('[{"id": 7},\n 8]\n', [7, 8]),
        ("[]", []),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk"])
def test_numbers_are_found(stdin: Stdin, tmp_path: Path, text: str, numbers: list[int], encoding: str) -> None:
    """Each kind of text gives its tickets, each once, as Excel and PowerShell encode it, too; from stdin or a file."""
    content = text.encode(encoding)
    stdin(content)
    assert numbers_from("-") == numbers
    (tmp_path / "file").write_bytes(content)
    assert numbers_from(str(tmp_path / "file")) == numbers


@each("content", ["id,title\n7,café\n".encode("latin-1"), b"\xff\xfe7"])
def test_another_encoding_is_refused(stdin: Stdin, content: bytes) -> None:
    """Text in none of these encodings is no list of tickets."""
    stdin(content)
    with pytest.raises(ConfigError, match=re.escape("--from: stdin is not UTF-8 (byte ")):
        numbers_from("-")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("7\nseven\n", "line 2 of stdin is 'seven'; it must be a ticket's number, from 1"),
        ("7\n8,9\n", "line 2 of stdin is '8,9'"),
        ("id\n１２\n", "line 2 of stdin is '１２'"),
        *((text, f"line 1 of stdin does not name {NAMELESS}") for text in NAMELESS_TEXTS),
        ('id,title\n7,"two\nlines"\n,b\n', "line 4 of stdin is ''"),
        ("title,id\na,7\nb\n", "line 3 of stdin is ''"),
        ('id,title\n7,"never closed\n', "line 2 of stdin is no CSV"),
        ("id\ttitle\n7.0\ta\n", "line 2 of stdin is '7.0'"),
        ("id,title\n7,a\n# 8,b\n", "line 3 of stdin is '# 8'"),
        ("标题,工单ID\n磁盘满, 8,7\n", "line 2 of stdin has 3 cells, and 2 are named; put quotes around"),
        ("标题,工单ID,客户\nfull, 8,7,\n", "line 2 of stdin has 4 cells"),
        ("id,工单ID\n7,8\n", "line 1 of stdin names the column twice: 'id' and '工单ID'; take one of them out"),
        ("id\tid\n7\t8\n", "line 1 of stdin names the column twice"),
        ("客户,工单ID\n某公司,7\n合计,1577\n", "line 3 of stdin looks like a row of totals: '合计'; take it out"),
        ("id,status,title\n2,processing Count,\n", "line 2 of stdin looks like a row of totals: 'processing Count'"),
        ("id,status,title\n7,x,row count\n2586,处理中 汇总,\n", "line 3 of stdin looks like a row of totals: '处理中"),
        ("id,status,title\n3,总计数,a\n", "line 2 of stdin looks like a row of totals"),
        ("id,title\n5,合计（条）\n", "line 2 of stdin looks like a row of totals"),
        ("id,title\n7,totals\n", "line 2 of stdin looks like a row of totals: 'totals'"),
        ("id\ttitle\n7\tx\n12\t总 计：\n", "line 3 of stdin looks like a row of totals"),
        ("title\tid\na\t8\t7\n", "line 2 of stdin has 3 cells"),
        ("id\ttitle\n7\ta\n8\n", "line 3 of stdin has 1 cells"),
        # Cut short, as on a full disk or by kill -9: the last number may be the beginning of another one.
        ("id,title\n7,a\n8", "line 3 of stdin has 1 cells, and 2 are named; write it anew if it was cut short"),
        ('id\ttitle\n7\t"disk\n8\tsee"\n', "line 2 of stdin may be a row, or begin a cell in quotes; use CSV or"),
        ('id\ttitle\tcustomer\n7\t"disk\n8\tsee\n9\tand"\tA\n', "line 2 of stdin may be a row, or begin a cell"),
        ('a\tb\tc\tid\tx\na\tb\t"c\t7\tx\na"\t666\t"c\t8\tx\na\tb\tc\t9\tx"\n', "line 2 of stdin may be"),
        ('id\ttitle\n7\t"a" b\nseven\tc\n', "line 3 of stdin is 'seven'"),
        ("id,title\n7,a\r8,b\n", "line 2 of stdin is no CSV"),
        ("id\ttitle\n7\ta\r8\tb\n", "line 2 of stdin is no TSV"),
        ("7 # a\n8\r9\n", "line 2 of stdin is '8\\r9'"),
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
    head = [printed[0]] if printed[0].startswith("id\t") else []
    chosen = [*head, *(line for line in printed if line.startswith(tuple(begins)))]
    close = ["close", *CLOSER, "--from", "-", "--yes", "--json"]
    before = len(sandbox.applied)
    stdin("\n".join([*chosen, '{"idd":1}']).encode())
    bad = workorder(*close)
    assert (bad.code, bad.out, f"line {3 + len(head)} of stdin" in bad.err, len(sandbox.applied)) == (
        2,
        "",
        True,
        before,
    )
    stdin("\n".join(chosen).encode())
    ran = workorder(*close)
    assert (ran.code, sorted(row["id"] for row in ran.rows)) == (0, ids[1:3])
    assert sorted(one.ticket_id for one in sandbox.applied[before:]) == ids[1:3]


FIELDS = [[], ["--fields", "title,id"]]


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.slow
def test_a_title_is_no_column(
    workorder: Workorder, sandbox: Sandbox, new_titled: Callable[[str], int], stdin: Stdin, fields: list[str]
) -> None:
    """Whatever titles tickets have, those that were listed are closed through a pipe, and no other."""
    bystander = new_titled("x")
    titles = (
        *(str(bystander), "id", "工单ID", f"id,{bystander}", f'{{"id":{bystander}}}'),
        *(f'{bystander}"', '"a'),
    )
    ids = [new_titled(title) for title in titles]
    stdin(workorder("list", "--creator-id", 210077, "--since", "today", "--limit", 0, *fields).out.encode())
    assert workorder("close", *CLOSER, "--from", "-", "--limit", len(ids), "--dry-run", "--json").code == 0
    listed = workorder("list", "--creator-id", 210077, "--limit", len(ids), *fields).out
    stdin(listed.encode())
    rows = workorder("close", *CLOSER, "--from", "-", "--dry-run", "--json").rows
    assert sorted(row["request"]["id"] for row in rows) == sorted(ids)
    before = len(sandbox.applied)
    for cut in ("title", "title,status_name", "status,title", "handler,title"):
        body = workorder("list", "--creator-id", 210077, "--limit", len(ids), "--fields", cut).out
        for text in (body, "\n".join(body.splitlines()[1:]) if cut.endswith(",title") else body):
            stdin(text.encode())
            assert workorder("close", *CLOSER, "--from", "-", "--yes").code == 2
    assert len(sandbox.applied) == before


@pytest.mark.parametrize("fields", [[], ["--fields", "id,title"], ["--fields", "title,id"]])
def test_rows_without_their_names_are_refused(
    workorder: Workorder, sandbox: Sandbox, new_titled: Callable[[str], int], stdin: Stdin, fields: list[str]
) -> None:
    """Where `grep` took the first line away, a ticket titled "id" does not stand in for it."""
    bystander = new_titled("y")
    for title in (str(bystander), "id"):
        new_titled(title)
    printed = workorder("list", "--creator-id", 210077, "--limit", 2, *fields).out
    before = len(sandbox.applied)
    stdin(printed.partition("\n")[2].encode())
    ran = workorder("close", *CLOSER, "--from", "-", "--yes")
    assert (ran.code, "does not name the column" in ran.err, len(sandbox.applied)) == (2, True, before)
    stdin(printed.encode())
    assert workorder("close", *CLOSER, "--from", "-", "--dry-run").code == 0


@pytest.fixture
def new_titled(sandbox: Sandbox) -> Callable[[str], int]:
    """Return what creates a ticket of creator 210077 with a title."""

    def create(title: str) -> int:
        return created(sandbox, title=title, creator_id=210077)

    return create


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


@pytest.mark.parametrize("suffix", slow_after(2, ["jsonl.gz", "csv.zst", "parquet", "db"]))
def test_an_export_that_is_no_text(workorder: Workorder, tmp_path: Path, suffix: str) -> None:
    """It is refused with the formats that are read; to convert it as a text of another encoding is no help."""
    file = tmp_path / f"t.{suffix}"
    workorder("export", file)
    ran = workorder("comment", "--from", file, "--detail", "x", "--dry-run")
    assert (ran.code, ran.out) == (2, ""), ran
    assert f"--from: '{file}' is packed, or a database, and no text; give an export as .csv, .jsonl or" in ran.err


def test_an_exported_workbook_is_read(workorder: Workorder, new_ticket: Callable[[], int], tmp_path: Path) -> None:
    """A workbook of `export` names its tickets."""
    new_ticket()
    assert workorder("export", tmp_path / "all.xlsx").code == 0
    there = sorted(row["id"] for row in map(orjson.loads, workorder("export", "-").out.splitlines()))
    assert sorted(numbers_from(str(tmp_path / "all.xlsx"))) == there
    ran = workorder("reject", "--from", tmp_path / "all.xlsx", "--dry-run", "--json")
    assert sorted(row["request"]["id"] for row in ran.rows) == there


@pytest.mark.parametrize(
    ("sheets", "numbers"),
    [
        ([[["工单ID", "标题"], [7, "a"], [None, None], [8.0, 9]], [["标题", "id"], ["x", "9"]]], [7, 8, 9]),
        ([[["id"], [7], ["x"]]], "row 3 of sheet 'tickets' of "),
        ([[["标题"], [7]]], "row 1 of sheet 'tickets' of "),
        ([[[7, "id"], [8, 9]]], "row 1 of sheet 'tickets' of "),
        ([[["id"], [7.5]]], "row 2 of sheet 'tickets' of "),
        ([[["id"], [True]]], "row 2 of sheet 'tickets' of "),
        # Excel keeps fifteen digits.
        ([[["id"], [1.2345678901234568e16]]], "row 2 of sheet 'tickets' of "),
        ([[["id"], [7]], [["other"], [8]]], "row 1 of sheet 'tickets 2' of "),
        ([[["id", "n"], [7, 1], ["=COUNT(B2:B2)", None]]], "row 3 of sheet 'tickets' of .* is '=COUNT"),
    ],
)
def test_a_workbook_declares_itself(tmp_path: Path, sheets: list[list[list[object]]], numbers: list[int] | str) -> None:
    """Each sheet of a workbook names its columns, and a cell that is no number is named with its place."""
    book = import_module("openpyxl").Workbook()
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"tickets {number + 1}") if number else book.active
        sheet.title = sheet.title.replace("Sheet", "tickets")
        for row in rows:
            sheet.append(row)
    book.save(tmp_path / "book.xlsx")
    if isinstance(numbers, str):
        with pytest.raises(ConfigError, match=f"^--from: {numbers}"):
            numbers_from(str(tmp_path / "book.xlsx"))
    else:
        assert numbers_from(str(tmp_path / "book.xlsx")) == numbers


def test_a_workbook_whose_last_cell_is_far_away(tmp_path: Path) -> None:
    """A cell that has a format and no value costs nothing, wherever it is; the rows before it may have gaps."""
    book = import_module("openpyxl").Workbook()
    book.active["C2"], book.active["C5"], book.active["A9"] = "id", 7, "x"
    book.active["C9"] = 8
    book.active["XFD1048576"].number_format = "0.00"
    book.save(tmp_path / "book.xlsx")
    assert numbers_from(str(tmp_path / "book.xlsx")) == [7, 8]


def test_one_sheet_is_meant(tmp_path: Path) -> None:
    """Rows in several sheets, unless they are one export, are an error: who looked at one did not see the others."""
    book = import_module("openpyxl").Workbook()
    book.active.title = "本周"
    for sheet in (book.active, book.create_sheet("empty"), book.create_sheet("下周")):
        for cells in (["id"], [7]) if sheet.title != "empty" else ():
            sheet.append(cells)
    book.save(tmp_path / "book.xlsx")
    with pytest.raises(
        ConfigError, match="has rows in the sheets '本周' and '下周'; copy the one that is meant to a file"
    ):
        numbers_from(str(tmp_path / "book.xlsx"))


@pytest.mark.parametrize("what", ["row 2 of sheet 'tickets'", "sheet 'tickets 2'"])
def test_what_is_hidden_is_not_meant(tmp_path: Path, what: str) -> None:
    """Rows that a filter of Excel hides, and hidden sheets, are an error: who looked at the file did not see them."""
    book = import_module("openpyxl").Workbook()
    book.active.title, other = "tickets", book.create_sheet("tickets 2")
    for sheet in (book.active, other):
        for cells in (["id"], [7], [8]):
            sheet.append(cells)
    book.save(tmp_path / "book.xlsx")
    assert numbers_from(str(tmp_path / "book.xlsx")) == [7, 8]
    if "row" in what:
        book.active.row_dimensions[2].hidden = True
    else:
        other.sheet_state = "hidden"
    book.save(tmp_path / "book.xlsx")
    with pytest.raises(ConfigError, match=f"^--from: {what} of .*is hidden; show it"):
        numbers_from(str(tmp_path / "book.xlsx"))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no device without an end")
def test_a_file_without_an_end() -> None:
    """A device that gives more than anybody means is refused, and does not fill the memory."""
    with pytest.raises(ConfigError, match="--from /dev/zero: it has more than 256 MiB"):
        numbers_from("/dev/zero")


def test_what_is_no_workbook(stdin: Stdin) -> None:
    """Another archive, or half a workbook, is told in one sentence."""
    book, file = import_module("openpyxl").Workbook(), BytesIO()
    book.save(file)
    damaged = bytearray(file.getvalue())
    sheet = ZipFile(file).getinfo("xl/worksheets/sheet1.xml")
    start = sheet.header_offset + 30 + len(sheet.filename)
    damaged[start : start + 20] = b"\xff" * 20
    for content in (b"PK\x03\x04", b"PK\x03\x04" + b"x" * 1000, bytes(damaged)):
        stdin(content)
        with pytest.raises(ConfigError, match="stdin is no workbook that can be read"):
            numbers_from("-")
    # An old workbook, or one with a password.
    stdin(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500))
    with pytest.raises(ConfigError, match=r"give an export as \.csv, \.jsonl or \.xlsx"):
        numbers_from("-")


STRICT = {
    b"http://schemas.openxmlformats.org/spreadsheetml/2006/main": b"http://purl.oclc.org/ooxml/spreadsheetml/main",
    b"http://schemas.openxmlformats.org/officeDocument/2006/relationships": (
        b"http://purl.oclc.org/ooxml/officeDocument/relationships"
    ),
}


@pytest.mark.filterwarnings("ignore:File contains an invalid specification")
def test_a_workbook_of_the_other_kind(tmp_path: Path) -> None:
    """Excel's "Strict Open XML", of which no sheet can be read, does not name no tickets."""
    book = import_module("openpyxl").Workbook()
    for cells in (["id"], [7]):
        book.active.append(cells)
    book.save(tmp_path / "book.xlsx")
    with ZipFile(tmp_path / "book.xlsx") as source, ZipFile(tmp_path / "strict.xlsx", "w") as strict:
        for name in source.namelist():
            content = source.read(name)
            for usual, other in STRICT.items():
                content = content.replace(usual, other)
            strict.writestr(name, content)
    with pytest.raises(ConfigError, match="has no sheet that can be read; save it as Excel Workbook"):
        numbers_from(str(tmp_path / "strict.xlsx"))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", ["7\n8\n", "id,title\n7,abc\n", '[{"id": 7}]'])
def test_an_encoding_without_its_mark(stdin: Stdin, encoding: str, text: str) -> None:
    """It is told as what it is."""
    stdin(text.encode(encoding))
    with pytest.raises(ConfigError, match=r"stdin has bytes that are 0.*; save it as UTF-8"):
        numbers_from("-")


def test_a_formula_is_what_it_came_to(tmp_path: Path) -> None:
    """A formula that no program has computed is named: a row of it alone must not be taken for an empty one."""
    book = import_module("openpyxl").Workbook()
    for cells in (["id"], [7], ["=3+5"]):
        book.active.append(cells)
    book.save(tmp_path / "book.xlsx")
    with pytest.raises(ConfigError, match=r"^--from: row 3 of sheet 'Sheet' of .* is '=3\+5'"):
        numbers_from(str(tmp_path / "book.xlsx"))
    with ZipFile(tmp_path / "book.xlsx") as source, ZipFile(tmp_path / "computed.xlsx", "w") as computed:
        for name in source.namelist():
            computed.writestr(
                name, re.sub(rb"(<f>3\+5</f>)<v ?/>|(<f>3\+5</f>)<v></v>", rb"\1\2<v>8</v>", source.read(name))
            )
    assert numbers_from(str(tmp_path / "computed.xlsx")) == [7, 8]
