"""cli on terminals of 60 and 160 columns, with and without colour: nothing that matters is cut."""

import hashlib
import re
from collections.abc import Iterator

import pytest
from rich.cells import cell_len

from tests.support.cli_changes import CREATE, REQUIRED
from tests.support.cli_runs import SECRET, elsewhere, in_child, on_terminal
from workorder_async.sandbox import Fault, Sandbox

# No character comes twice, so that each can be looked for.
LONG = "数仓任务每逢月初突发阻塞请尽快协助找出根因并给改进建议"
SCREENS = [("60", True), ("160", False)]
_COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run a sandbox with a long title."""
    with elsewhere(Sandbox(120, app_secret=SECRET)) as sandbox:
        words = [LONG if word == REQUIRED["--title"] else word for word in CREATE]
        assert in_child(sandbox.environment, *words).code == 0
        yield sandbox


def screen(sandbox: Sandbox, width: str, colour: bool, *words: object, typed: str = "") -> tuple[str, str]:
    """Run a command on a terminal, answer its question, and return what was shown: without escapes, and as it came."""
    environment = {**sandbox.environment, "COLUMNS": width} | ({} if colour else {"NO_COLOR": "1"})
    with on_terminal(environment, *words) as terminal:
        if typed:
            terminal.read_until("[y/N]: ")
            terminal.type(typed)
        assert terminal.finish() in (0, 1, 2)
    came = terminal.seen.decode().replace("\r\n", "\n").replace("\r", "\n")
    assert colour or not _COLOUR.search(came)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", came), came


def rows_of(shown: str) -> list[str]:
    """Return the lines of a table: those before its remarks."""
    return shown.partition("\n2 of ")[0].splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "colour"), SCREENS)
def test_a_list_is_readable(sandbox: Sandbox, width: str, colour: bool) -> None:
    """Number, status, title and day are there whole, on lines that fit; a wide terminal has more of a ticket."""
    shown, _ = screen(sandbox, width, colour, "list", "--limit", 2)
    head, *lines = rows_of(shown)
    assert all(cell_len(line) <= int(width) for line in [head, *lines])
    assert "…" not in shown
    assert re.match(r"1121 +(待处理|处理中) ", lines[0])
    assert re.search(r" 20\d\d-\d\d-\d\d *$", lines[0])
    assert [character for character in "".join(lines) if character in LONG][: len(LONG)] == list(LONG)
    assert [name in head for name in ("title", "created", "customer", "handler")] == [
        *(True, True),
        *(int(width) >= 100, int(width) >= 160),
    ]
    assert (REQUIRED["--customer-organization-name"] in lines[0]) is (int(width) >= 100)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "colour"), SCREENS)
def test_chosen_fields_are_all_there(sandbox: Sandbox, width: str, colour: bool) -> None:
    """What was asked for is shown on any terminal: below each other where it does not fit beside each other."""
    fields = ["id", "title", "created_at", "status_name", "customer_organization_name", "product_group"]
    shown, _ = screen(sandbox, width, colour, "list", "--limit", 2, "--fields", ",".join(fields))
    assert "…" not in shown
    assert all(cell_len(line) <= max(int(width), 90) for line in rows_of(shown))
    assert all(name in shown for name in fields)
    assert re.search(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00", shown)
    assert (LONG in shown) is (width != "160")
    assert all(character in shown for character in LONG)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "colour"), SCREENS)
def test_what_is_confirmed_is_seen(sandbox: Sandbox, width: str, colour: bool) -> None:
    """A close shows each number, who closes, the question, how far it is, and what came of it."""
    before = len(sandbox.applied)
    narrow = ["--since", "2024-06-01", "--status", "pending,processing"]
    words = ["close", *narrow, "--closer-id", "40084", "--as-creator"]
    shown, _ = screen(sandbox, width, colour, *words, typed="n\n")
    question = re.search(r"close as 40084 the creator: (\d+) tickets on [^?]+\? \[y/N\]: ", shown)
    assert question
    remark = "a ticket may be missing here: "
    table = [line for line in shown[: question.start()].splitlines() if not line.startswith(remark)]
    assert all(cell_len(line) <= int(width) for line in table)
    numbers = [line.split()[0] for line in table if re.match(r"1\d{3} ", line)]
    assert len(numbers) == len(set(numbers)) == min(int(question[1]), 20)
    assert all("close as 40084" in line for line in table if re.match(r"1\d{3} ", line))
    assert len(sandbox.applied) == before
    assert "not confirmed; nothing was sent" in shown


@pytest.mark.slow
def test_how_far_a_batch_is_can_be_read(sandbox: Sandbox) -> None:
    """The bar says how many of how many, and the report how many are done."""
    sandbox.faults = [Fault("slow_headers", operation="comment_ticket", seconds=0.3)]
    words = ["comment", "--status", "pending", "--until", "2023-12-01", "--detail", "x", "--concurrency", 2]
    shown, came = screen(sandbox, "60", True, *words, typed="y\n")
    total = re.search(r": (\d+) tickets on [^?]+\? ", shown)
    assert total
    assert re.search(rf"commenting.*━.*\d+/{total[1]} ", shown)
    assert _COLOUR.search(came)
    assert re.search(rf"^{total[1]} done in ", shown, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "colour"), SCREENS)
def test_a_doctor_is_understood(sandbox: Sandbox, width: str, colour: bool) -> None:
    """Every check, what was found and what mends it are there whole."""
    shown, came = screen(sandbox, width, colour, "doctor", "--app-id", "other-app")
    assert "…" not in shown
    assert bool(_COLOUR.search(came)) is colour
    assert f"WORKORDER_BASE_URL     {sandbox.url}\n" in shown
    assert re.search(r"^FAILED +signature +.*沙箱.*; .*secret.*\n", shown, re.MULTILINE)


@pytest.mark.slow
def test_a_scheme_that_is_found_can_be_copied(sandbox: Sandbox) -> None:
    """The line of the scheme comes in one piece, however narrow the terminal is."""
    sign = hashlib.md5(f"demo-app1700000000{SECRET}".encode()).hexdigest()
    words = ["sign", "detect", "--app-id", "demo-app", "--timestamp", "1700000000", "--sign", sign]
    shown, _ = screen(sandbox, "60", True, *words)
    assert "md5:{app_id}{timestamp}{secret}" in shown.splitlines()
    assert "…" not in shown
    assert "export WORKORDER_SIGN_SCHEME='...'" in shown
