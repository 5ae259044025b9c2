"""cli on a terminal: tables, progress bars, questions; and none of them where there is no terminal."""

import asyncio
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli_runs import SECRET, elsewhere, on_terminal
from workorder_async.cli import terminal
from workorder_async.cli.terminal import Bar
from workorder_async.sandbox import Sandbox

TICKETS = 300
# As many as take longer than a bar waits until it is shown.
MANY = 2400


@pytest.mark.slow
def test_a_long_export_shows_a_bar(tmp_path: Path) -> None:
    """An export that takes more than a second shows a bar on the terminal, and takes it away in the end."""
    words = ["export", "--output", tmp_path / "t.jsonl", "--concurrency", 1]
    with (
        elsewhere(Sandbox(300, latency=0.4, app_secret=SECRET)) as slow,
        on_terminal(slow.environment, *words) as terminal,
    ):
        terminal.read_until("━")
        terminal.read_until("/300")
        assert terminal.finish() == 0
    assert b"exporting" in terminal.seen
    *_, last = terminal.seen.split(b"\x1b[2K")
    assert b"exporting" not in last
    assert b"exported 300 tickets" in last


@pytest.mark.slow
def test_a_list_is_a_table(sandbox: Sandbox) -> None:
    """On a terminal tickets are a table with a header; with NO_COLOR it has no colours."""
    with on_terminal({**sandbox.environment, "NO_COLOR": "1"}, "list", "--limit", 2) as terminal:
        assert terminal.finish() == 0
    lines = re.sub(r"\x1b\[[01]m", "", terminal.seen.decode()).splitlines()
    assert lines[0].split() == ["id", "status", "prio", "type", "title", "customer", "handler", "created"]
    assert lines[1].split()[0] == "1300"
    assert re.search(r"20\d\d-\d\d-\d\d *$", lines[1])
    assert lines[3] == "2 of 300 tickets; --limit 0 shows all"
    assert b"listing" not in terminal.seen
    assert b"\x1b[3" not in terminal.seen


@pytest.mark.slow
def test_a_quick_export_shows_no_bar(sandbox: Sandbox, tmp_path: Path) -> None:
    """What takes less than a second shows no bar, though it could."""
    with on_terminal(sandbox.environment, "export", "--output", tmp_path / "tickets.jsonl") as terminal:
        assert terminal.finish() == 0
    assert terminal.seen.startswith(b"exported 300 tickets")


@pytest.mark.slow
def test_a_bar_on_stderr_leaves_stdout_alone(tmp_path: Path) -> None:
    """With stdout in a file, a long list shows its bar on the terminal and only JSON in the file."""
    with (
        elsewhere(Sandbox(200, latency=0.55, app_secret=SECRET)) as slow,
        (tmp_path / "out").open("wb") as out,
        on_terminal(slow.environment, "list", "--limit", 0, "--json", stdout=out) as terminal,
    ):
        terminal.read_until("listing")
        assert terminal.finish() == 0
    lines = (tmp_path / "out").read_text("utf-8").splitlines()
    assert len(lines) == 200
    assert all(line.startswith('{"id":') for line in lines)


@pytest.fixture(scope="module")
def slow() -> Iterator[Sandbox]:
    """Run a sandbox whose answers take so long that a bar appears."""
    with elsewhere(Sandbox(MANY, latency=0.35)) as slow:
        yield slow


@pytest.fixture
def sixty(slow: Sandbox, tmp_path: Path) -> list[object]:
    """Return options that name sixty tickets, by a file."""
    (tmp_path / "ids").write_text("".join(f"{id}\n" for id in range(1001, 1061)))
    return ["--from", tmp_path / "ids", "--yes", "--stop-after", 0]


BATCHES = [["comment", "--detail", "x", "--json"], ["reject"], ["close", "--closer-id", 1, "--as-creator"]]
READS = [["list", "--limit", 0], ["list", "--limit", 0, "--json"], ["export", "--output", "-"]]


@pytest.mark.slow
@pytest.mark.parametrize("words", [*READS, *BATCHES])
def test_every_line_of_stdout_goes_there(
    slow: Sandbox, sixty: list[object], tmp_path: Path, words: list[object]
) -> None:
    """With stdout in a file and a bar on the terminal, the file holds a line for each ticket, and the terminal none."""
    batch = words[0] in ("comment", "reject", "close")
    with (
        (tmp_path / "out").open("wb") as out,
        on_terminal(slow.environment, *words, *(sixty if batch else ()), stdout=out) as terminal,
    ):
        terminal.read_until("━")
        assert terminal.finish() in ((0, 1) if batch else (0,))
    text = (tmp_path / "out").read_text("utf-8")
    lines = text.splitlines()
    if text.startswith("id\t"):  # the names of the cells
        del lines[0]
    heads = [re.match(r'(\d+)[ \t]|\{"id":(\d+),', line) for line in lines]
    assert all(heads), lines
    assert len({head[1] or head[2] for head in heads if head}) == len(lines)
    told = re.findall(rb"workorder: tickets? ([0-9, ]+?)(?: and ([0-9,]+) more)?:", terminal.seen)
    assert len(lines) + sum(ids.count(b",") + 1 + int(more or 0) for ids, more in told) == (60 if batch else MANY)
    assert "\x1b" not in text
    assert all(line.encode() not in terminal.seen for line in lines)


@pytest.mark.slow
def test_the_demo_speaks_on_stdout(tmp_path: Path) -> None:
    """With stdout in a file, the demo's summary stands in the file, and its bars and remarks on the terminal."""
    words = ["demo", "--tickets", 300, "--closes", 20, "--output", tmp_path / "t.jsonl"]
    with (tmp_path / "out").open("wb") as out, on_terminal({}, *words, stdout=out) as terminal:
        assert terminal.finish() == 0
    text = (tmp_path / "out").read_text("utf-8")
    assert text.startswith("\nwhat happened\n")
    assert text.rstrip().endswith("workorder doctor")
    assert "\x1b" not in text
    assert "━".encode() in terminal.seen
    assert b"what happened" not in terminal.seen


@pytest.mark.slow
@pytest.mark.parametrize(("words", "led_elsewhere"), [(READS[1], False), (BATCHES[0], True)])
def test_a_terminal_that_shows_results_shows_no_bar(
    slow: Sandbox, sixty: list[object], tmp_path: Path, words: list[object], led_elsewhere: bool
) -> None:
    """Where the results go to the terminal there is no bar, whether stderr is the same terminal or a file."""
    more = sixty if words[0] == "comment" else []
    with (
        (tmp_path / "err").open("wb") as err,
        on_terminal(slow.environment, *words, *more, stderr=err if led_elsewhere else None) as terminal,
    ):
        assert terminal.finish() in (0, 1)
    assert len(re.findall(rb'^\{"id":', terminal.seen, re.MULTILINE)) == (60 if more else MANY)
    assert "━".encode() not in terminal.seen
    assert b"\x1b" not in (tmp_path / "err").read_bytes()


@pytest.mark.slow
def test_remarks_stand_whole_above_a_bar(slow: Sandbox, tmp_path: Path) -> None:
    """What is said while a bar is shown comes in one piece, and none of it is lost, however narrow the terminal is."""
    environment = {**slow.environment, "COLUMNS": "40"}
    words = ["export", "--output", tmp_path / "t.jsonl", "--concurrency", 4, "--verbose"]
    with on_terminal(environment, *words) as terminal:
        terminal.read_until("━")
        assert terminal.finish() == 0
    whole = rb"(?:^|(?<=\n)|(?<=\x1b\[2K))20\d\d-\d\d-\d\d [0-9:,]+ list_tickets: "
    whole += rb"attempt 1, 200 ok, [0-9a-f-]+, \d\.\d{3} s\r?\n"
    assert len(re.findall(whole, terminal.seen)) == terminal.seen.count(b"attempt 1") >= 20


def _without_secret(sandbox: Sandbox) -> dict[str, str]:
    return {name: value for name, value in sandbox.environment.items() if value != SECRET}


@pytest.mark.slow
def test_the_secret_is_asked_for_and_not_shown(sandbox: Sandbox) -> None:
    """Where the secret alone is missing, it is asked for, and what is typed is not echoed."""
    with on_terminal(_without_secret(sandbox), "list", "--limit", 1) as terminal:
        terminal.read_until(f"Secret for {sandbox.url} of AppId sandbox-app: ")
        terminal.type(f"{SECRET}\n")
        assert terminal.finish() == 0
    assert b"1 of 300 tickets" in terminal.seen
    assert SECRET.encode() not in terminal.seen


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["\n", "\x04"])
def test_no_answer_is_no_secret(sandbox: Sandbox, typed: str) -> None:
    """An empty answer, or the end of the input, is wrong usage, told in a sentence."""
    with on_terminal(_without_secret(sandbox), "list") as terminal:
        terminal.read_until("sandbox-app: ")
        terminal.type(typed)
        assert terminal.finish() == 2
    assert b"workorder: no answer to 'Secret for http://127.0.0.1:" in terminal.seen


@pytest.mark.slow
def test_a_secret_of_another_encoding_is_not_shown(sandbox: Sandbox) -> None:
    """Bytes that are no text of the terminal's encoding are refused, and not repeated."""
    with on_terminal(_without_secret(sandbox), "list") as terminal:
        terminal.read_until("sandbox-app: ")
        terminal.type("hunter2\udcff\n")
        assert terminal.finish() == 2
    assert b" is no UTF-8, as this terminal is said to speak" in terminal.seen
    assert b"hunter2" not in terminal.seen


@pytest.mark.slow
def test_an_answer_of_another_encoding_is_no_yes(sandbox: Sandbox) -> None:
    """Nothing is sent where the answer is no text, as in a locale such as zh_CN.UTF-8, which is strict."""
    environment = {**sandbox.environment, "PYTHONIOENCODING": "utf-8:strict"}
    with on_terminal(environment, "comment", "--status", "pending", "--detail", "x", "--limit", 1) as terminal:
        terminal.read_until("[y/N]: ")
        terminal.type("y\udcff\n")
        assert terminal.finish() == 2
    assert b"[y/N]' is no UTF-8, as this terminal is said to speak" in terminal.seen


@pytest.mark.slow
def test_ctrl_c_ends_a_question(sandbox: Sandbox) -> None:
    """Ctrl-C while the secret is asked for exits with 130."""
    with on_terminal(_without_secret(sandbox), "list") as terminal:
        terminal.read_until("sandbox-app: ")
        terminal.child.send_signal(signal.SIGINT)
        # A signal between the prompt and the read is seen once the read ends; unseen, this would be an empty answer.
        terminal.type("\n")
        assert terminal.finish() == 130
    assert b"Traceback" not in terminal.seen


@pytest.mark.slow
def test_detection_asks_for_what_is_missing() -> None:
    """`sign detect` asks for the headers and, hidden, for the secret."""
    sign = "39e4f0c43ad4d7e4a4d3ee66ee4e4d40"
    with on_terminal({}, "sign", "detect", "--timestamp", "1700000000") as terminal:
        for question, answer in (("AppId: ", "demo-app"), ("Sign: ", sign), ("Secret: ", SECRET)):
            terminal.read_until(question)
            terminal.type(f"{answer}\n")
        assert terminal.finish() == 1
    assert b"no scheme that was tried gives this Sign" in terminal.seen
    assert SECRET.encode() not in terminal.seen


@pytest.mark.slow
def test_a_text_from_the_keyboard_is_asked_for(sandbox: Sandbox) -> None:
    """`--detail -` on a terminal says how to end the text."""
    with on_terminal(sandbox.environment, "comment", 1299, "--detail", "-") as terminal:
        terminal.read_until("Ctrl-D on a line of its own ends it.")
        terminal.type("typed by hand\n\x04")
        assert terminal.finish() == 0
    assert b"1299 commented" in terminal.seen
    [comment] = [change for change in sandbox.applied if change.ticket_id == 1299]
    assert comment.request["detail"] == "typed by hand"


@pytest.mark.slow
def test_numbers_from_the_keyboard_are_asked_for(sandbox: Sandbox) -> None:
    """`--from -` on a terminal says so, and how to end them, as every option does that reads stdin."""
    with on_terminal(sandbox.environment, "comment", "--from", "-", "--detail", "x", "--dry-run") as terminal:
        terminal.read_until("Write or paste the text for --from; Ctrl-D on a line of its own ends it.")
        terminal.type("1298\n\x04")
        assert terminal.finish() == 0
    assert b"1 ticket in all" in terminal.seen


async def test_plain_lines_come_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal there is a line every ten seconds, and none before."""
    now = 100.0
    monkeypatch.setattr(terminal, "monotonic", lambda: now)
    with Bar("exporting") as bar:
        for now in (100.0, 109.9, 110.0, 119.9, 125.0):
            bar(int(now * 10), 5000)
            await asyncio.sleep(0)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "exporting: 1,100 of 5,000 tickets\nexporting: 1,250 of 5,000 tickets\n"
