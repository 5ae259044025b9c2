"""`workorder mirror`, `changes`, `search` and `report`: a database that keeps up, and what people ask of it."""

import json
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from tests.support.cli_changes import CREATE
from tests.support.cli_runs import Workorder, on_terminal
from tests.support.mirrors import asked
from tests.support.slow import slow_after
from workorder_async.sandbox import Sandbox

TICKETS = 400
#: A page asks nobody for anything.
_LOADS = re.compile(r"<(script|link|img|iframe|object|embed|base)\b|url\(|https?:|\bon\w+=", re.IGNORECASE)


@pytest.fixture
def database(workorder: Workorder, tmp_path: Path) -> Path:
    """Give a mirror after its first run."""
    ran = workorder("mirror", tmp_path / "t.db")
    assert ran.code == 0, ran.err
    return tmp_path / "t.db"


def test_runs(workorder: Workorder, tmp_path: Path) -> None:
    """The first reads all, the next says what is new; the summary names what is gone."""
    path = tmp_path / "t.db"
    ran = workorder("mirror", path)
    assert ran.code == 0, ran.err
    count = int(ran.out.split(" tickets: ")[0].replace(",", ""))
    assert count >= TICKETS
    assert ran.out == f"{count:,} tickets: {count:,} new, 0 changed, 0 missing, 0 gone, 0 left\n"
    assert "exact; " in ran.err
    made = int(workorder(*CREATE, "--json").rows[0]["id"])
    ran = workorder("mirror", path)
    assert ran.out == f"{count + 1:,} tickets: 1 new, 0 changed, 0 missing, 0 gone, 0 left\n"
    assert asked(path, "SELECT ticket, kind FROM changes") == [(made, "new")]


def test_its_help_offers_no_filter_that_it_refuses(workorder: Workorder) -> None:
    """A mirror follows tickets through each status and age, and takes neither."""
    said = workorder("mirror", "--help").out
    assert "--creator-id" in said
    assert not [option for option in ("--status", "--older-than") if option in said]


def test_wrong_use(workorder: Workorder, sandbox: Sandbox, tmp_path: Path) -> None:
    """Mistakes are told before anything is sent, with the mend."""
    before = sandbox.requests.total()
    (tmp_path / "notes").write_text("hello\n")
    rows: list[tuple[tuple[Any, ...], str]] = [
        (("mirror",), "DB is missing"),
        (("mirror", " "), "DB is empty; it must be a path"),
        (("mirror", tmp_path / "t.db", "--status", "pending"), "--status is not for a mirror; leave it out"),
        (("mirror", tmp_path / "t.db", "--status", "pending,processing"), "--status is not for a mirror; leave it out"),
        (("mirror", tmp_path / "t.db", "--attachments", ""), "--attachments is empty; it must be a path"),
        (("mirror", tmp_path / "t.db", "--since", "2d"), "would mean others in the next one; write --since 20"),
        (("mirror", tmp_path / "t.db", "--older-than", "30d"), "would mean others in the next one; write --until 20"),
        (("changes", tmp_path / "notes", "--until", "2020-01-01"), "is after --until (2020-01-01 23:59:59+08:00)"),
        (("search", tmp_path / "notes", "x", "--limit", "0"), "--limit. Must be >= 1"),
        (("mirror", tmp_path / "t.db", "--lag", "2m"), "--lag: '2m' is no whole number"),
        (("mirror", tmp_path / "t.db", "--lag", 2**63), f"--lag: '{2**63}' is no whole number of 64 bits"),
        (("mirror", tmp_path / "t.db", "--recheck", 2**63), f"--recheck: '{2**63}' is no whole number of 64 bits"),
        (("changes", tmp_path / "none.db"), "none.db"),
        (("changes", tmp_path / "notes"), "is no mirror"),
        (("search", tmp_path / "notes", "x"), "is no mirror"),
        (("report", tmp_path / "notes"), "holds no tickets; name a mirror, or a file that `export` wrote"),
        (("report", tmp_path / "none"), "none"),
        (
            ("report", tmp_path / "notes", "--html", tmp_path / "notes"),
            "is the file that the report is of; name another file",
        ),
    ]
    for words, said in rows:
        ran = workorder(*words)
        assert (ran.code, said in ran.err, ran.out) == (2, True, ""), ran
    assert sandbox.requests.total() == before


def test_another_list(workorder: Workorder, database: Path) -> None:
    """The same name for another list is refused, and says what differs."""
    ran = workorder("mirror", database, "--type", "consultation")
    assert ran.code == 1
    assert "is the mirror of something else: query" in ran.err
    assert "choose another name" in ran.err
    assert "goes on from there" not in ran.err


@pytest.mark.slow
def test_too_many_are_absent(workorder: Workorder, sandbox: Sandbox, database: Path) -> None:
    """Exit code 1 says that somebody has to look; --accept-gone goes on."""
    with closing(sqlite3.connect(database)) as changed, changed:
        columns = ", ".join(row[1] for row in changed.execute("PRAGMA table_info (tickets)") if row[1] != "id")
        changed.execute(
            f"INSERT INTO tickets (id, {columns}) SELECT id + 1000000, {columns} FROM tickets WHERE status = 3 LIMIT 30"
        )
    ran = workorder("mirror", database)
    assert ran.code == 1
    assert "30 tickets are not shown any more, too many to be believed at once" in ran.err
    assert "--accept-gone marks them" in ran.err
    ran = workorder("mirror", database, "--accept-gone")
    assert (ran.code, "30 missing" in ran.out) == (0, True), ran
    ran = workorder("mirror", database)
    assert (ran.code, "30 gone" in ran.out, "does not know them any more: 100" in ran.err) == (0, True, True), ran


def test_changes(workorder: Workorder, database: Path) -> None:
    """New tickets and changed fields are told with their titles; codes by their names."""
    assert workorder("changes", database, "--json").rows == []
    made = int(workorder(*CREATE, "--json").rows[0]["id"])
    workorder("mirror", database)
    assert workorder("close", made, "--closer-id", 40084, "--as-creator", "--yes").code == 0
    workorder("mirror", database)
    ran = workorder("changes", database, "--json")
    facts = {(row["ticket"], row["kind"], row["field"], row["old"], row["new"]) for row in ran.rows}
    assert {(made, "new", "", "", ""), (made, "changed", "status", "待处理", "已关闭")} <= facts
    ran = workorder("changes", database, "--since", "today")
    assert " changes of 1 tickets since " in ran.err
    assert ran.out.startswith("seen\tticket\twhat\tfield\told\tnew\ttitle\n")
    assert f"\t{made}\tchanged\tstatus\t待处理\t已关闭\t" in ran.out
    assert re.search(rf"\t{made}\tchanged\tclosed_time\t\t20..-..-..T..:..:..\+08:00\t", ran.out)
    assert workorder("changes", database, "--until", "2020-01-01", "--since", "2019-01-01", "--json").rows == []


def test_search(workorder: Workorder, database: Path) -> None:
    """Words of any length are found, in Chinese too; capitals do not matter, and signs mean themselves."""
    ((id, title, detail),) = asked(database, "SELECT id, title, detail FROM tickets ORDER BY id DESC LIMIT 1")
    for text in (title, title[:2], title[:3], f"{title[:2]} {title[-2:]}", detail[:5]):
        ran = workorder("search", database, text, "--json", "--limit", 1000)
        assert ran.code == 0, (text, ran)
        assert id in {row["id"] for row in ran.rows}, text
        assert all(word in asked(database, "SELECT title || detail FROM tickets WHERE id = ?", row["id"])[0][0]
                   for row in ran.rows for word in text.split())  # fmt: skip
    for text in ("没有这样的词", "%", "_", '"', "100%%", "' OR 1=1"):
        ran = workorder("search", database, text)
        assert (ran.code, ran.out) == (1, "id\tstatus\tcreated\ttitle\ttext\n"), text
    ran = workorder("search", database, " ")
    assert (ran.code, "workorder: TEXT is empty" in ran.err) == (2, True), ran
    for text in (
        "\udcff\udcfe",
        "\udcff\udcfe\udcfd x",
        "abc\0d",
    ):  # bytes that are no UTF-8, as Python has them; a NUL
        ran = workorder("search", database, text)
        assert (ran.code, "TEXT has bytes that are no text; write it in UTF-8" in ran.err) == (2, True), ran
    most = workorder("search", database, title, "--limit", 2**63 - 1)
    assert (most.code, most.out) == (0, workorder("search", database, title, "--limit", 1000).out), most
    assert "--limit 2 may show more" in workorder("search", database, title[:2], "--limit", 1).err
    words = [*CREATE]
    words[words.index("--title") + 1] = "Disk FULL on node-7"
    made = int(workorder(*words, "--json").rows[0]["id"])
    workorder("mirror", database)
    assert [row["id"] for row in workorder("search", database, "disk full", "--json").rows] == [made]


@pytest.mark.parametrize(
    "suffix", slow_after(2, ["db", "csv.gz", "jsonl", "csv", "jsonl.zst", "sqlite", "parquet", "xlsx"])
)
def test_report_of_any_file(workorder: Workorder, database: Path, tmp_path: Path, suffix: str) -> None:
    """A mirror and every exported format give the same counts."""
    file = database
    if suffix != "db":
        file = tmp_path / f"t.{suffix}"
        assert workorder("export", file).code == 0
    ran = workorder("report", file, "--lang", "en")
    assert ran.code == 0, ran.err
    counts = dict(asked(database, "SELECT status_name, count(*) FROM tickets GROUP BY 1"))
    names = {"待处理": "pending", "处理中": "processing", "已关闭": "closed", "已取消": "cancelled"}
    for name, count in counts.items():
        assert f"{names[name]}\t{count}\n" in ran.out
    ((opened, unhandled),) = asked(database, "SELECT count(*), sum(handler = 0) FROM tickets WHERE status IN (1, 2)")
    assert f"open\t{opened}\nhandled by nobody\t{unhandled}\n" in ran.out
    assert "Open the longest\tsince\tstatus\ttitle\thandled\n" in ran.out


@pytest.mark.parametrize("lang", slow_after(1, ["zh", "en"]))
def test_page(workorder: Workorder, database: Path, tmp_path: Path, lang: str) -> None:
    """The page is one file that loads nothing, with each text escaped; a file that is there stays."""
    with closing(sqlite3.connect(database)) as changed, changed:
        changed.execute(
            "UPDATE tickets SET title = ?, product_group = ? WHERE id = (SELECT id FROM tickets "
            "WHERE status = 1 ORDER BY created_time LIMIT 1)",
            ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>" * 9),
        )
    page = tmp_path / "page.html"
    ran = workorder("report", database, "--html", page, "--lang", lang)
    assert (ran.code, ran.out) == (0, ""), ran.err
    text = page.read_text("utf-8")
    assert ("按状态" in text, "By status" in text) == (lang == "zh", lang == "en")
    assert not _LOADS.search(re.sub(r"&lt;.*?&gt;", "", text))
    assert "&lt;script&gt;" in text
    assert text.count('<i style="width: 100.0%">') >= 5  # the longest bar of each table
    assert len(text.encode()) <= 60_000
    ran = workorder("report", database, "--html", page, "--lang", lang)
    assert (ran.code, "exists; --overwrite replaces it" in ran.err) == (2, True)
    assert workorder("report", database, "--html", page, "--overwrite").code == 0
    assert workorder("report", database, "--html", "-").out.startswith("<!doctype html>")


def test_an_empty_one(workorder: Workorder, tmp_path: Path) -> None:
    """Nothing to report is said."""
    (tmp_path / "t.jsonl").write_text("")
    ran = workorder("report", tmp_path / "t.jsonl", "--lang", "en")
    assert (ran.code, "tickets\t0\n" in ran.out) == (0, True), ran
    assert workorder("report", tmp_path / "t.jsonl", "--html", tmp_path / "p.html", "--lang", "en").code == 0
    assert "There are no tickets." in (tmp_path / "p.html").read_text("utf-8")


@pytest.mark.parametrize("suffix", slow_after(2, ["db", "csv", "jsonl", "csv.gz", "csv.zst", "parquet", "xlsx"]))
def test_a_file_that_is_cut_short(workorder: Workorder, database: Path, tmp_path: Path, suffix: str) -> None:
    """Half a file is said to be one, whatever reads its format."""
    file = tmp_path / f"t.{suffix}"
    if file != database:
        workorder("export", file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    ran = workorder("report", file)
    assert (ran.code, ran.out) == (2, ""), ran
    assert ran.err.startswith(f"workorder: '{file}' cannot be read: ")
    assert ran.err.endswith(" it may be cut short or damaged: write it anew\n")


@pytest.mark.parametrize(("suffix", "damaged"), slow_after(1, [("csv.gz", slice(-8, -4)), ("parquet", slice(4, 204))]))
def test_a_file_that_is_damaged(workorder: Workorder, tmp_path: Path, suffix: str, damaged: slice) -> None:
    """So is a file that is as long as ever, where its format's error is one of the system's, without a name."""
    file = tmp_path / f"t.{suffix}"
    workorder("export", file)
    content = bytearray(file.read_bytes())
    content[damaged] = bytes(len(content[damaged]))
    file.write_bytes(content)
    ran = workorder("report", file)
    assert (ran.code, ran.out) == (2, ""), ran
    assert ran.err.startswith(f"workorder: '{file}' cannot be read: ")


def test_a_name_that_is_no_text(workorder: Workorder, tmp_path: Path) -> None:
    """A page of a file whose name is no UTF-8 has the name as it can be written."""
    file = tmp_path / "t\udcff.jsonl"
    file.write_text("")
    ran = workorder("report", file, "--html", tmp_path / "p.html", "--lang", "en")
    assert ran.code == 0, ran.err
    assert r"t\udcff.jsonl" in (tmp_path / "p.html").read_text("utf-8")


def test_what_a_terminal_would_obey(workorder: Workorder, tmp_path: Path) -> None:
    """A page has no such character of a title: it may be shown on a terminal, too."""
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps({"id": 1, "status": 1, "created_time": 1_700_000_000, "title": "a\x1b[31m\u202eb"}))
    ran = workorder("report", file, "--html", "-", "--lang", "en")
    assert (ran.code, "\x1b" in ran.out, "\u202e" in ran.out, r"a\x1b[31m\u202eb" in ran.out) == (0, False, False, True)


@pytest.mark.parametrize("head", [b'{"id": 1}\n', b"SQLite format 3\0"])
def test_a_pipe_is_read_once(workorder: Workorder, head: bytes) -> None:
    """What cannot be read again is refused, with the mend: its tickets were not found, or SQLite's error shown."""
    reading, writing = os.pipe()
    try:
        with open(writing, "wb") as pipe:
            pipe.write(head)
        ran = workorder("report", f"/dev/fd/{reading}")
    finally:
        os.close(reading)
    assert ran.code == 2, ran
    assert ran.err == f"workorder: '/dev/fd/{reading}' is no file; save its content to one first\n"


@pytest.mark.slow
def test_on_a_terminal(sandbox: Sandbox, database: Path) -> None:
    """Tables fit, right below their titles; Chinese names stand in line."""
    for words in (["report", database, "--lang", "zh"], ["changes", database], ["search", database, "实例"]):
        for width in ("60", "120"):
            with on_terminal({**sandbox.environment, "COLUMNS": width}, *words) as terminal:
                terminal.finish()
            shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen.decode().replace("\r\n", "\n"))
            assert all(cell_len(line) <= int(width) for line in shown.splitlines()), shown
            assert (re.search(r"按状态 *\n *[^ \n]", shown) is not None) is (words[0] == "report")


@pytest.mark.slow
@pytest.mark.parametrize("words", [["report"], ["search", "实例", "--limit", 3]])
def test_a_narrow_terminal_cuts_no_number(
    sandbox: Sandbox, database: Path, workorder: Workorder, words: list[object]
) -> None:
    """At 20 columns every number is whole; the cells of a row stand below each other where they do not fit."""
    words = [words[0], database, *words[1:]]
    numbers = {
        int(found) for found in re.findall(r"(?<=\t)[0-9]+$|^[0-9]{4}(?=\t)", workorder(*words).out, re.MULTILINE)
    }
    with on_terminal({**sandbox.environment, "COLUMNS": "20"}, *words) as terminal:
        terminal.finish()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen.decode())
    assert numbers
    assert numbers <= {int(found.replace(",", "")) for found in re.findall(r"[0-9][0-9,]*", shown)}
