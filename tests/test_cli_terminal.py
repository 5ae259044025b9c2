"""cli on a terminal: tables, progress bars, questions; and none of them where there is no terminal."""

import asyncio
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli_runs import SECRET, elsewhere, on_terminal
from workorder_async.cli import progress
from workorder_async.cli.progress import Bar
from workorder_async.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run one sandbox for the tests of this file."""
    with elsewhere(Sandbox(300, app_secret=SECRET)) as sandbox:
        yield sandbox


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


def test_a_quick_export_shows_no_bar(sandbox: Sandbox, tmp_path: Path) -> None:
    """What takes less than a second shows no bar, though it could."""
    with on_terminal(sandbox.environment, "export", "--output", tmp_path / "tickets.jsonl") as terminal:
        assert terminal.finish() == 0
    assert terminal.seen.startswith(b"exported 300 tickets")


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


def _without_secret(sandbox: Sandbox) -> dict[str, str]:
    return {name: value for name, value in sandbox.environment.items() if value != SECRET}


def test_the_secret_is_asked_for_and_not_shown(sandbox: Sandbox) -> None:
    """Where the secret alone is missing, it is asked for, and what is typed is not echoed."""
    with on_terminal(_without_secret(sandbox), "list", "--limit", 1) as terminal:
        terminal.read_until("Secret of AppId sandbox-app: ")
        terminal.type(f"{SECRET}\n")
        assert terminal.finish() == 0
    assert b"1 of 300 tickets" in terminal.seen
    assert SECRET.encode() not in terminal.seen


@pytest.mark.parametrize("typed", ["\n", "\x04"])
def test_no_answer_is_no_secret(sandbox: Sandbox, typed: str) -> None:
    """An empty answer, or the end of the input, is wrong usage, told in a sentence."""
    with on_terminal(_without_secret(sandbox), "list") as terminal:
        terminal.read_until("sandbox-app: ")
        terminal.type(typed)
        assert terminal.finish() == 2
    assert b"workorder: no answer to 'Secret of AppId sandbox-app'" in terminal.seen


def test_ctrl_c_ends_a_question(sandbox: Sandbox) -> None:
    """Ctrl-C while the secret is asked for exits with 130."""
    with on_terminal(_without_secret(sandbox), "list") as terminal:
        terminal.read_until("sandbox-app: ")
        terminal.child.send_signal(signal.SIGINT)
        # A signal between the prompt and the read is seen once the read ends; unseen, this would be an empty answer.
        terminal.type("\n")
        assert terminal.finish() == 130
    assert b"Traceback" not in terminal.seen


def test_detection_asks_for_what_is_missing() -> None:
    """`sign detect` asks for the headers and, hidden, for the secret."""
    sign = "39e4f0c43ad4d7e4a4d3ee66ee4e4d40"
    with on_terminal({}, "sign", "detect", "--timestamp", "1700000000") as terminal:
        for question, answer in (("AppId: ", "demo-app"), ("Sign: ", sign), ("Secret: ", SECRET)):
            terminal.read_until(question)
            terminal.type(f"{answer}\n")
        assert terminal.finish() == 1
    assert b"no scheme of the catalogue gives this Sign" in terminal.seen
    assert SECRET.encode() not in terminal.seen


def test_a_text_from_the_keyboard_is_asked_for(sandbox: Sandbox) -> None:
    """`--detail -` on a terminal says how to end the text."""
    with on_terminal(sandbox.environment, "comment", 1299, "--detail", "-") as terminal:
        terminal.read_until("Ctrl-D on a line of its own ends it.")
        terminal.type("typed by hand\n\x04")
        assert terminal.finish() == 0
    assert b"1299 commented" in terminal.seen
    [comment] = [change for change in sandbox.applied if change.ticket_id == 1299]
    assert comment.request["detail"] == "typed by hand"


async def test_plain_lines_come_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal there is a line every ten seconds, and none before."""
    now = 100.0
    monkeypatch.setattr(progress, "monotonic", lambda: now)
    with Bar("exporting") as bar:
        for now in (100.0, 109.9, 110.0, 119.9, 125.0):
            bar(int(now * 10), 5000)
            await asyncio.sleep(0)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "exporting: 1,100 of 5,000 tickets\nexporting: 1,250 of 5,000 tickets\n"
