"""`workorder journal report`: what was done, by day and outcome, with titles; nothing in its page runs or loads."""

import asyncio
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from rich.cells import cell_len

from tests.support.batches import sealed
from tests.support.cli_changes import CLOSER, REQUIRED
from tests.support.cli_runs import SECRET, Workorder, elsewhere, on_terminal
from tests.support.mutations import creation
from tests.support.slow import slow_after
from workorder_async import CommentTicket, Mutation, Once, WorkorderClient
from workorder_async.batches.outcomes import Outcome, State
from workorder_async.cli.commands import journal as commands
from workorder_async.document.json_text import to_json
from workorder_async.sandbox import Fault, Sandbox

HEAD = ["day", "time", "outcome", "what", "id", "title", "remarks"]
_MADE = 10**9 + 1
TITLE = REQUIRED["--title"]
ATTACKS = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js>",
    "</td></tr></table></div><img src=x onerror=alert(1)>",
    "\"><svg/onload=alert(1)> ' onmouseover='alert(1)",
    "</style><style>body{background:url(//evil.example)}",
    "</title><base href=//evil.example><meta http-equiv=refresh content='0;url=//evil.example'>",
    "<!-- 工单 --> <![CDATA[ ]]> <?php ?>",
    "&lt;b&gt; &amp;lt; &#60;script&#62; & < >",
    "javascript:alert(1) {0} %s {name} \\u003cscript\\u003e",
    "磁盘已满 “重要” 🔥 ＜script＞",
]


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what takes the platform out of the environment."""

    def clear() -> None:
        for name in ("BASE_URL", "APP_ID", "APP_SECRET", "SIGN_SCHEME"):
            monkeypatch.delenv(f"WORKORDER_{name}", raising=False)

    return clear


@pytest.fixture
def closes(workorder: Workorder, new_ticket: Callable[[], int], tmp_path: Path) -> tuple[Path, list[int]]:
    """Give the journal of three closes, one of them of a ticket that is not there."""
    ids = [new_ticket(), new_ticket(), 10**9]
    assert workorder("close", *ids, *CLOSER, "--journal", tmp_path / "j").code == 1
    return tmp_path / "j", ids


def reads(sandbox: Sandbox) -> int:
    """Count the requests for tickets."""
    return sum(
        count for name, count in sandbox.requests.items() if name in ("get_ticket", "get_ticket_detail", "list_tickets")
    )


def table(out: str) -> list[dict[str, str]]:
    """Read lines with tabs, the first of which names the columns."""
    head, *lines = (line.split("\t") for line in out.splitlines())
    assert head == HEAD
    return [dict(zip(HEAD, line, strict=True)) for line in lines]


def written(path: Path, *records: tuple[str, Mapping[str, Any], Any], key: str = "k", **identity: Any) -> Path:
    """Write a journal of these states, mutations and times of their end, as a batch would."""
    head: dict[str, Any] = {
        "journal": "workorder_async",
        "version": 2,
        "platform": "http://nowhere",
        "batch": "b",
        **identity,
    }
    lines = [head]
    for number, (state, mutation, at) in enumerate(records):
        name = f"{key}{number}"
        operation = "CreateTicket" if "title" in mutation else "CloseTicket"
        lines.append({"intent": name, "operation": operation, "mutation": mutation, "began": 1706700000.5, "trace": ""})
        if state != "-":
            lines.append({"outcome": name, "state": state, "at": at, "ticket_id": 7})
    path.write_bytes(sealed(to_json(line) + b"\n" for line in lines))
    return path


class Page(HTMLParser):
    """What a browser makes of a page: its elements, and the texts of its rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.heads: list[str] = []
        self.open: list[str] = []
        self.declared: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element and what it has."""
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("h1", "h2"):
            self.heads.append("")

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element, which must be this one."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note the text of a cell or a heading."""
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        elif self.open and self.open[-1] in ("h1", "h2"):
            self.heads[-1] += data

    def handle_comment(self, data: str) -> None:
        """Note a comment."""
        self.declared.append(data)

    def unknown_decl(self, data: str) -> None:
        """Note what is no element."""
        self.declared.append(data)

    def handle_pi(self, data: str) -> None:
        """Note an instruction."""
        self.declared.append(data)


def checked(text: str) -> Page:
    """Read a page, and make sure that nothing in it runs, loads, or leads elsewhere."""
    page = Page(text)
    known = {"html", "head", "meta", "style", "title", "body", "h1", "h2", "p", "div", "table", "tr", "th", "td"}
    assert {tag for tag, _ in page.elements} <= known
    assert {name for _, attributes in page.elements for name in attributes} <= {
        *("lang", "charset", "name", "content", "http-equiv", "class")
    }
    assert (page.open, page.declared) == ([], [])
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert not re.search(r"url|@import|expression|//", style)
    assert "prefers-color-scheme: dark" in style
    policies = [one["content"] for tag, one in page.elements if one.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    return page


def test_what_was_done_with_titles(workorder: Workorder, sandbox: Sandbox, closes: tuple[Path, list[int]]) -> None:
    """Each mutation has its day, outcome, number and title; each ticket is asked for once, and nothing is changed."""
    file, ids = closes
    before, changes, content = reads(sandbox), len(sandbox.applied), file.read_bytes()
    ran = workorder("journal", "report", file)
    rows = table(ran.out)
    assert ran.code == 0
    assert [(row["outcome"], row["what"], row["title"]) for row in rows] == [
        ("done", "close", TITLE),
        ("done", "close", TITLE),
        ("rejected", "close", "(title not known)"),
    ]
    assert sorted(int(row["id"]) for row in rows) == ids
    assert "errno 90005" in rows[2]["remarks"]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", row["day"]) for row in rows)
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", row["time"]) for row in rows)
    assert ran.err == (
        "workorder: the titles of 1 tickets are not known\n"
        f"2 done, 1 rejected; close as 40084 姜程 on {sandbox.environment['WORKORDER_BASE_URL']}\n"
    )
    assert reads(sandbox) - before == 3
    assert (len(sandbox.applied), file.read_bytes()) == (changes, content)


async def suspended(sandbox: Sandbox, file: Path) -> None:
    """Comment on two tickets, two days apart, while the clock of the event loop stands still."""
    slept = [-2 * 86_400.0]
    async with sandbox.client(now=lambda: time.time() + slept[0]) as client, Once(client, file) as once:
        await client.ping()
        for number in range(2):
            await once(f"m{number}", CommentTicket(id=1001 + number, detail="已联系"))
            slept[0] = 0.0
            await client.ping()


def test_a_machine_that_was_suspended(workorder: Workorder, tmp_path: Path) -> None:
    """What ended after two days has the day on which it ended."""
    with elsewhere(Sandbox(5, app_secret=SECRET)) as platform:
        asyncio.run(suspended(platform, tmp_path / "j"))
    days = [row["day"] for row in table(workorder("journal", "report", tmp_path / "j").out)]
    shown = workorder("journal", "show", "--json", tmp_path / "j").rows
    assert [row["began"][:10] for row in shown] == [row["ended"][:10] for row in shown] == sorted(days)
    assert len(set(days)) == 2
    assert "server_at" not in shown[0]


def test_it_works_from_the_file_alone(
    workorder: Workorder,
    sandbox: Sandbox,
    closes: tuple[Path, list[int]],
    unset: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no platform is configured, it says so, and that the titles are not known; the page says it, too."""
    file, _ = closes
    before = dict(sandbox.requests)
    unset()
    ran = workorder("journal", "report", file)
    assert (ran.code, [row["title"] for row in table(ran.out)]) == (0, ["(title not known)"] * 3)
    no_titles, unknown, _ = ran.err.splitlines()
    assert no_titles.startswith("workorder: no titles are read: not set: WORKORDER_BASE_URL, WORKORDER_APP_ID")
    assert unknown == "workorder: the titles of 3 tickets are not known"
    monkeypatch.setattr(logging.getLogger("workorder_async"), "handlers", [])  # --verbose adds one
    assert workorder("journal", "report", file, "--html", tmp_path / "p.html", "--verbose").code == 0
    assert [row[4] for row in checked((tmp_path / "p.html").read_text("utf-8")).rows[1:]] == ["(title not known)"] * 3
    assert sandbox.requests == before


def test_another_platform_is_not_asked(
    workorder: Workorder, closes: tuple[Path, list[int]], monkeypatch: pytest.MonkeyPatch, other: Sandbox
) -> None:
    """It has other tickets under these numbers. Who names one by an option is told that it is the wrong one."""
    file, _ = closes
    for name, value in other.environment.items():
        monkeypatch.setenv(name, value)
    ran = workorder("journal", "report", file)
    assert (ran.code, {row["title"] for row in table(ran.out)}) == (0, {"(title not known)"})
    assert "no titles are read: this journal is for http://127.0.0.1:" in ran.err
    named = workorder("journal", "report", file, "--base-url", other.environment["WORKORDER_BASE_URL"])
    assert (named.code, named.out, "this journal is for" in named.err) == (2, "", True)
    assert other.requests.total() == 0


@pytest.fixture
def other() -> Iterator[Sandbox]:
    """Run a second platform, with other tickets."""
    with elsewhere(Sandbox(50, app_secret=SECRET)) as other:
        yield other


@pytest.mark.parametrize("words", slow_after(1, [["--cacert", "none.pem"], ["--rate", "0"], ["--proxy", "ftp://x"]]))
def test_an_option_that_cannot_be_meant(workorder: Workorder, closes: tuple[Path, list[int]], words: list[str]) -> None:
    """It is refused, not passed over."""
    ran = workorder("journal", "report", closes[0], *words)
    assert (ran.code, ran.out, words[0] in ran.err) == (2, "", True)


@pytest.mark.parametrize("errno", [90001, 90002])
def test_a_platform_that_refuses_is_left(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int], tmp_path: Path, errno: int
) -> None:
    """It is not asked for each of many tickets whether it refuses; the report is made all the same."""
    file = written(
        tmp_path / "j",
        *(("DONE", {"id": id}, 1706700001.5) for id in range(1, 201)),
        platform=sandbox.environment["WORKORDER_BASE_URL"],
    )
    before = reads(sandbox)
    sandbox.faults = [Fault("errno", operation="get_ticket", errno=errno)]
    ran = workorder("journal", "report", file)
    sandbox.faults = []
    assert (ran.code, len(table(ran.out))) == (0, 200)
    assert f"errno {errno}" in ran.err
    assert "the titles of 200 tickets are not known" in ran.err
    assert reads(sandbox) - before <= 64


def test_a_platform_that_is_away(
    workorder: Workorder, closes: tuple[Path, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is made without titles, and says why, once."""
    rows = (("DONE", {"id": id}, 1706700001.5) for id in range(1, 201))
    file = written(closes[0], *rows, platform="http://127.0.0.1:1")
    monkeypatch.setenv("WORKORDER_BASE_URL", "http://127.0.0.1:1")
    ran = workorder("journal", "report", file, "--timeout", 0.3, "--base-url", "http://127.0.0.1:1")
    assert (ran.code, table(ran.out)[0]["title"]) == (0, "(title not known)")
    assert ran.err.count("workorder: get_ticket") == 1


def test_a_platform_that_begins_to_hang(workorder: Workorder, sandbox: Sandbox, tmp_path: Path) -> None:
    """It is not waited for with each of many tickets; the report has the titles that were read, and the reason."""
    rows = (("DONE", {"id": id}, 1706700001.5) for id in range(1, 201))
    file = written(tmp_path / "j", *rows, platform=sandbox.environment["WORKORDER_BASE_URL"])
    before = reads(sandbox)
    sandbox.faults = [Fault("hang", operation="get_ticket", after=3)]
    ran = workorder("journal", "report", file, "--timeout", 0.5)
    sandbox.faults = []
    assert (ran.code, len(table(ran.out)), ran.err.count("workorder: get_ticket")) == (0, 200, 1)
    assert reads(sandbox) - before <= 3 + 2 * 16


async def events(environment: dict[str, str], journal: Path, *mutations: Mutation) -> list[Outcome]:
    """Carry mutations out, one for each event; a comment on _MADE is on the ticket that was made first."""
    async with WorkorderClient.from_env(environment) as client, Once(client, journal, scope="bot-a") as once:
        outcomes: list[Outcome] = []
        for number, mutation in enumerate(mutations):
            if isinstance(mutation, CommentTicket) and mutation.id == _MADE:
                outcomes.append(await once(f"om_{number}", evolve(mutation, id=outcomes[0].ticket_id)))
            else:
                outcomes.append(await once(f"om_{number}", mutation))
        return outcomes


def test_the_journal_of_events(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int], tmp_path: Path
) -> None:
    """Each event is named. A title that the journal has is not asked for; of each other ticket it is once."""
    other = new_ticket()
    said = [
        CommentTicket(id=_MADE, detail="甲"),
        CommentTicket(id=other, detail="乙"),
        CommentTicket(id=other, detail="丙"),
    ]
    sandbox.faults = [Fault("errno", operation="comment_ticket", errno=90006, after=2)]
    outcomes = asyncio.run(events(sandbox.environment, tmp_path / "j", creation("磁盘 <b>"), *said))
    sandbox.faults = []
    assert [outcome.state for outcome in outcomes] == [State.DONE] * 3 + [State.REJECTED]
    assert b'"raised"' in (tmp_path / "j").read_bytes()
    before, made = reads(sandbox), str(outcomes[0].ticket_id)
    ran = workorder("journal", "report", tmp_path / "j", "--html", tmp_path / "p.html")
    assert (ran.code, ran.out, reads(sandbox) - before) == (0, "", 1)
    assert ran.err == f"3 done, 1 rejected; events on {sandbox.environment['WORKORDER_BASE_URL']}\n"
    rows = checked((tmp_path / "p.html").read_text("utf-8")).rows[1:]
    assert [(row[1], row[3], row[4], row[5][:22]) for row in rows] == [
        ("done", made, "磁盘 <b>", 'event ["bot-a","om_0"]'),
        ("done", made, "磁盘 <b>", 'event ["bot-a","om_1"]'),
        ("done", str(other), TITLE, 'event ["bot-a","om_2"]'),
        ("rejected", str(other), TITLE, 'event ["bot-a","om_3"]'),
    ]
    assert "errno 90006" in rows[3][5]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Shanghai"])
def test_days_are_those_of_china(
    workorder: Workorder, unset: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, zone: str
) -> None:
    """A day ends at midnight in China, wherever the report is made; a mutation without an end is told when it began."""
    unset()
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    midnight = 1706716800  # 2024-02-01 in China
    file = written(
        tmp_path / "j",
        *(("DONE", {"id": 1}, midnight), ("REJECTED", {"id": 2}, midnight - 0.001)),
        *(("DONE", {"id": 3}, midnight - 2), ("-", {"id": 4}, 0), ("ALREADY", {"id": 5}, midnight + 86399)),
        *(("DONE", {"id": 6}, midnight - 3), ("NOT_SENT", {"id": 7}, midnight + 1)),
    )
    ran = workorder("journal", "report", file)
    monkeypatch.undo()
    time.tzset()
    assert [(row["day"], row["outcome"], row["time"], row["id"]) for row in table(ran.out)] == [
        ("2024-01-31", "done", "23:59:57", "6"),
        ("2024-01-31", "done", "23:59:58", "3"),
        ("2024-01-31", "rejected", "23:59:59", "2"),
        ("2024-01-31", "unknown", "19:20:00", "4"),
        ("2024-02-01", "done", "00:00:00", "1"),
        ("2024-02-01", "already", "23:59:59", "5"),
        ("2024-02-01", "not sent", "00:00:01", "7"),
    ]


@pytest.mark.parametrize("place", ["journal", "platform"])
def test_titles_are_only_text(
    workorder: Workorder,
    sandbox: Sandbox,
    new_ticket: Callable[[], int],
    tmp_path: Path,
    place: str,
) -> None:
    """Whatever a title, a batch's name or an error holds, a browser shows it as it was written."""
    platform, file = sandbox.environment["WORKORDER_BASE_URL"], tmp_path / "j"
    if place == "journal":
        rows = [("DONE", {"title": title}, 1706700001.5) for title in ATTACKS]
        written(file, *rows, platform=platform, batch="<script>alert(1)</script>")
    else:
        ids = [new_ticket() for _ in ATTACKS]
        for id, title in zip(ids, ATTACKS, strict=True):
            sandbox._store._db.execute("UPDATE tickets SET title = ? WHERE id = ?", (title, id))
        written(file, *(("DONE", {"id": id}, 1706700001.5) for id in ids), platform=platform, batch=ATTACKS[2])
    assert workorder("journal", "report", file, "--html", tmp_path / "p.html").code == 0
    text = (tmp_path / "p.html").read_text("utf-8")
    page = checked(text)
    assert [row[4] for row in page.rows[1:]] == [" ".join(title.split()) for title in ATTACKS]
    assert page.heads[0].startswith("<script>alert(1)</script> on " if place == "journal" else "</td>")
    assert all(title not in text for title in ATTACKS[:7])
    assert page.rows[0] == HEAD[1:]


def test_characters_that_a_terminal_would_obey(workorder: Workorder, unset: Callable[[], None], tmp_path: Path) -> None:
    """Controls, what turns the direction of writing, and half a character are escaped, in the page and the lines."""
    unset()
    title = "a\tb\nc\x1b[2Jd\u202etxt.exe\x00\ud800"
    file = tmp_path / "j"
    written(file, ("DONE", {"title": title}, 1706700001.5))
    shown = "a b c\\x1b[2Jd\\u202etxt.exe\\x00\\ud800"
    assert table(workorder("journal", "report", file).out)[0]["title"] == shown
    assert workorder("journal", "report", file, "--html", tmp_path / "p").code == 0
    assert checked((tmp_path / "p").read_text("utf-8")).rows[1][4] == shown


def test_a_page_is_whole_and_its_owner_s(
    workorder: Workorder, unset: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It replaces an older one when it is written to its end, and leaves that where it is not; nobody else reads it."""
    unset()
    file, page = written(tmp_path / "j", ("DONE", {"id": 7}, 1706700001.5)), tmp_path / "p.html"
    page.write_text("older")
    whole = commands._page_of

    def broken(*arguments: Any) -> Iterator[str]:
        yield from list(whole(*arguments))[:2]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(commands, "_page_of", broken)
    ran = workorder("journal", "report", file, "--html", page)
    assert (ran.code, ran.out, page.read_text()) == (2, "", "older")
    assert f"--html {page} exists; --overwrite replaces it" in ran.err
    ran = workorder("journal", "report", file, "--html", page, "--overwrite")
    assert (ran.code, ran.out, page.read_text()) == (1, "", "older")
    assert "No space left on device" in ran.err
    monkeypatch.setattr(commands, "_page_of", whole)
    assert workorder("journal", "report", file, "--html", page, "--overwrite").code == 0
    assert page.read_text().startswith("<!doctype html>")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j", "p.html"]
    assert checked(workorder("journal", "report", file, "--html", "-").out).rows[1][3] == "7"


@pytest.mark.parametrize("how", slow_after(2, ["itself", "a link", "another spelling", "a second name"]))
def test_the_journal_is_never_replaced(
    workorder: Workorder, sandbox: Sandbox, closes: tuple[Path, list[int]], tmp_path: Path, how: str
) -> None:
    """Without its journal the next run would send all again."""
    file, _ = closes
    content, before = file.read_bytes(), reads(sandbox)
    page = {"itself": file, "another spelling": tmp_path / ".." / tmp_path.name / "j"}.get(how, tmp_path / "p.html")
    if how == "a link":
        page.symlink_to(file)
    if how == "a second name":
        os.link(file, page)
    ran = workorder("journal", "report", file, "--html", page)
    assert (ran.code, ran.out, "is the file that the report is of" in ran.err) == (2, "", True)
    assert (file.read_bytes(), reads(sandbox) - before) == (content, 0)


@pytest.mark.parametrize("name", slow_after(2, ["", "no/such/folder.html", " ", "."]))
def test_a_page_that_cannot_be_written(
    workorder: Workorder, sandbox: Sandbox, closes: tuple[Path, list[int]], name: str
) -> None:
    """It is named before any title is asked for."""
    before = reads(sandbox)
    ran = workorder("journal", "report", closes[0], "--html", name)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert reads(sandbox) == before


@pytest.mark.parametrize(
    "at",
    slow_after(2, ["soon", None, 1e300, float("nan"), True, -1e300, 10**30, [], {"a": 1}, float("inf"), -(2**62)]),
)
@pytest.mark.parametrize("id", slow_after(3, [None, "7", [7], {"id": 7}, -7, 2**80, 1.5]))
def test_what_somebody_else_wrote_there(
    workorder: Workorder, unset: Callable[[], None], tmp_path: Path, at: object, id: object
) -> None:
    """A time that is none, or a number that is none, is told as well as it can be, and is no defect."""
    unset()
    file = tmp_path / "j"
    written(file, ("DONE", {"id": id}, at), ("UNKNOWN", {"id": id}, at))
    for words in ([], ["--html", tmp_path / "p"]):
        ran = workorder("journal", "report", file, *words)
        assert (ran.code, "defect" in ran.err) == (0, False)
        assert "1 done, 1 unknown; b on http://nowhere\n" in ran.err
    assert len(checked((tmp_path / "p").read_text("utf-8")).rows) >= 3


@pytest.mark.parametrize("id", slow_after(2, [2**80, "7", 2**63, -7, True]))
def test_numbers_that_no_ticket_has(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int], tmp_path: Path, id: object
) -> None:
    """They are not asked for, and keep no other title from being read."""
    rows: list[tuple[str, dict[str, Any], float]] = [("DONE", {"id": one}, 1706700001.5) for one in (id, new_ticket())]
    file = written(tmp_path / "j", *rows, platform=sandbox.environment["WORKORDER_BASE_URL"])
    before = reads(sandbox)
    ran = workorder("journal", "report", file)
    assert ([row["title"] for row in table(ran.out)], reads(sandbox) - before) == (["(title not known)", TITLE], 1)


@pytest.mark.parametrize("key", ["om_1", "[", '["a","b"]', "[1,2]", "7", "{}", "[[", "[" * 100_000, "null"])
def test_keys_of_events_that_are_none(
    workorder: Workorder, unset: Callable[[], None], tmp_path: Path, key: str
) -> None:
    """They are told as they stand."""
    unset()
    file = written(tmp_path / "j", ("DONE", {"id": 7}, 1706700001.5), key=key, **{"for": "events", "batch": ""})
    ran = workorder("journal", "report", file)
    assert (ran.code, len(table(ran.out))) == (0, 1)


def test_while_a_batch_writes_it(workorder: Workorder, unset: Callable[[], None], tmp_path: Path) -> None:
    """A last line that is not there whole is left out; a journal of nothing yet is told to be that."""
    unset()
    file = written(tmp_path / "j", ("DONE", {"id": 7}, 1706700001.5), ("DONE", {"id": 8}, 1706700001.5))
    file.write_bytes(file.read_bytes()[:-20])
    assert [row["outcome"] for row in table(workorder("journal", "report", file).out)] == ["done", "unknown"]
    written(file)
    ran = workorder("journal", "report", file)
    assert (ran.code, table(ran.out), ran.err.splitlines()[-1]) == (0, [], "nothing was begun; b on http://nowhere")
    assert workorder("journal", "report", file, "--html", "-").code == 0


def test_what_is_no_journal(workorder: Workorder, tmp_path: Path) -> None:
    """A file that is not there, or is none, is named, and no page is written."""
    (tmp_path / "ids").write_text("1473\n")
    for name, said in (("none", "does not exist"), ("ids", "line 1 of the journal"), ("", "")):
        ran = workorder("journal", "report", tmp_path / name, "--html", tmp_path / "p.html")
        assert (ran.code, ran.out, ran.err.count("\n"), said in ran.err) == (2, "", 1, True)
    assert not (tmp_path / "p.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("width", ["60", "100", "160"])
def test_on_a_terminal(sandbox: Sandbox, closes: tuple[Path, list[int]], width: str) -> None:
    """A table for each day, or a line for each cell: nothing is cut, however narrow it is."""
    with on_terminal({**sandbox.environment, "COLUMNS": width}, "journal", "report", closes[0]) as terminal:
        assert terminal.finish() == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen.decode().replace("\r\n", "\n"))
    assert all(cell_len(line) <= int(width) for line in shown.splitlines() if not re.search("close as|^remarks", line))
    assert re.search(r"^20\d\d-\d\d-\d\d: 2 done, 1 rejected$", shown, re.MULTILINE)
    assert all(character in shown for character in TITLE)
    assert ("…" in shown, "event" in shown) == (False, False)
    assert all(str(id) in shown for id in closes[1])


@pytest.mark.slow
def test_events_on_a_narrow_terminal(tmp_path: Path) -> None:
    """Where the columns do not fit, the cells of an event stand below each other, whole and with their names."""
    rows = [("REJECTED", {"id": 2**62, "title": TITLE}, 1706700001.5)]
    file = written(tmp_path / "j", *rows, key='["bot-a","om_', **{"for": "events", "batch": ""})
    file.write_bytes(sealed(file.read_bytes().replace(b"om_0", b'om_0\\"]').splitlines(keepends=True)))
    with on_terminal({"COLUMNS": "60"}, "journal", "report", file) as terminal:
        assert terminal.finish() == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen.decode().replace("\r\n", "\n"))
    cells = dict(
        line.split(maxsplit=1) for line in shown.splitlines() if re.match("time|outcome|what|id|title|re", line)
    )
    told = {"time": "19:20:01", "outcome": "rejected", "what": "create", "id": "4611686018427387904", "title": TITLE}
    assert cells == {**told, "remarks": 'event ["bot-a","om_0"]'}
