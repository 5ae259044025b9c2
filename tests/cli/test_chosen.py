"""cli/chosen.py: what is shown of tickets before they are changed."""

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Literal

import pytest
from attrs import evolve
from rich.cells import cell_len
from rich.console import Console

from tests.support.cli_changes import CLOSER
from tests.support.cli_runs import Workorder, on_terminal
from tests.support.slow import slow_after
from tests.support.virtual_loop import running_loop, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async.cli.chosen import SILENT, Chosen, print_chosen, read_each, row_of
from workorder_async.document import CloseTicket, CommentTicket
from workorder_async.errors import ApiError, AuthenticationError, NotFoundError
from workorder_async.sandbox import ClientOptions, Fault, Sandbox

TICKETS = 40


def close(one: Chosen) -> CloseTicket:
    """Close a ticket by its creator."""
    return CloseTicket(id=one.id, closer_id=40084, closer_name=one.creator or "田金秀", solved_time=1_700_000_000)


def printed(width: int, *chosen: Chosen) -> list[str]:
    """Return the table on a terminal of this width."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_chosen(console, chosen, close)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


DAY = 86400
TITLES = ("华北二区云主机间歇性丢包请协助排查原因", "short", "x" * 200)


@pytest.mark.parametrize("width", [60, 100, 160])
def test_what_matters_is_whole(width: int) -> None:
    """At 60 columns too, number, status, age and what would be done are whole, and something of each title is seen."""
    created = int(time.time()) - 412 * DAY - 60
    chosen = [Chosen(1_234_567 + n, title, "田金秀", "处理中", created) for n, title in enumerate(TITLES)]
    head, *rows = printed(width, *chosen)
    assert head.split() == ["id", "status", "age", "what", "would", "be", "done", "title"]
    for one, row in zip(chosen, rows, strict=True):
        assert cell_len(row) <= width
        assert row.split()[:3] == [str(one.id), "处理中", "412d"]
        assert "close as 40084 田金秀" in row
        assert one.title[:4] in row


def test_a_narrow_terminal_cuts_no_number() -> None:
    """At 20 columns the cells of a ticket stand below each other, each with its name."""
    lines = printed(20, *(Chosen(1_234_567 + n, TITLES[0], "田金秀", "处理中", 1) for n in range(2)))
    assert [line.split()[-1] for line in lines if re.match(r"\S*id ", line)] == ["1234567", "1234568"]
    assert sum("close as 40084 田金秀" in line for line in lines) == 2
    assert sum(TITLES[0] in line for line in lines) == 2


def test_a_long_text_leaves_room_for_titles() -> None:
    """What would be done is cut where it is long, a third of the room is the title's."""
    console = Console(file=io.StringIO(), width=60, force_terminal=True, color_system=None)
    print_chosen(
        console, [Chosen(7, "实例无法启动", "", "待处理", 1)], lambda one: CommentTicket(id=7, detail="长" * 99)
    )
    assert isinstance(console.file, io.StringIO)
    row = console.file.getvalue().splitlines()[1]
    assert "comment: 长长长长" in row
    assert "实例无法启动" in row


@pytest.mark.parametrize(
    ("ago", "age"),
    [(-60, "0min"), (59, "0min"), (3599, "59min"), (3600, "1h"), (DAY - 1, "23h"), (DAY, "1d"), (400 * DAY, "400d")],
)
def test_ages(ago: int, age: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The age of a ticket is told in its largest unit; one that was created later, by another clock, has none yet."""
    monkeypatch.setattr("workorder_async.cli.chosen.time", lambda: 1_700_000_000.9)
    assert row_of(Chosen(7, created=1_700_000_000 - ago), close)[2] == age
    assert row_of(Chosen(7), close)[2] == ""


def test_what_cannot_be_read_says_so() -> None:
    """A ticket that cannot be read is shown with the reason, and nothing is done to it."""
    row = row_of(Chosen(7, error=ApiError("errno 90005")), close)
    assert row[3].startswith("nothing: errno 90005")


@pytest.mark.parametrize("kind", slow_after(1, ["hang", "429"]))
@pytest.mark.parametrize("concurrency", slow_after(1, [8, 1, 16]))
@virtual_time
async def test_a_platform_that_falls_silent_is_left(kind: Literal["hang", "429"], concurrency: int) -> None:
    """What it answered before is known; the others have its error, and most of them are not asked for."""
    async with virtual_sandbox(300, client={"deadline": 90.0}) as (sandbox, client):
        sandbox.faults = [Fault(kind, operation="get_ticket", after=3)]
        began = running_loop().time()
        read = await read_each(client, range(1001, 1301), concurrency)
        assert [one.id for one in read] == [*range(1001, 1301)]
        assert [one.error is None and bool(one.title) for one in read] == [True] * 3 + [False] * 297
        assert running_loop().time() - began <= 91 * (SILENT // concurrency + 1)


@virtual_time
async def test_a_platform_that_answers_some_reads_is_asked_on() -> None:
    """Silence that passes leaves no ticket unread, and that a ticket is not there is an answer."""
    async with virtual_sandbox(40, client={"deadline": 20.0}) as (sandbox, client):
        sandbox.faults = [Fault("hang", operation="get_ticket", every=2, times=20)]
        read = await read_each(client, range(1001, 1101), 1)
        assert (sum(one.error is None for one in read), sandbox.requests["get_ticket"]) == (20, 100)
        assert {type(one.error) for one in read[40:]} == {NotFoundError}


@pytest.mark.parametrize("fault", [Fault("403", errno=5), Fault("errno", errno=7)])
@virtual_time
async def test_a_refusal_is_of_its_ticket_or_of_the_signature(fault: Fault) -> None:
    """It is of its ticket where another one is answered; else it is told once, after sixteen reads or all."""
    refusals: ClientOptions = {"errnos": {7: AuthenticationError}}
    async with virtual_sandbox(60, client=refusals) as (sandbox, client):
        sandbox.faults = [evolve(fault, operation="get_ticket", times=15)]
        read = await read_each(client, range(1001, 1061), 1)
        assert [type(one.error) for one in read] == [AuthenticationError] * 15 + [NoneType] * 45
        sandbox.faults = [evolve(fault, operation="get_ticket", after=1)]
        read = await read_each(client, range(1001, 1061), 1)
        assert [type(one.error) for one in read] == [NoneType] + [AuthenticationError] * 59
        sandbox.faults = [evolve(fault, operation="get_ticket")]
        for count, asked in ((60, 16), (3, 3)):
            before = sandbox.requests["get_ticket"]
            with pytest.raises(AuthenticationError):
                await read_each(client, range(1001, 1001 + count), 1)
            assert sandbox.requests["get_ticket"] - before == asked
        sandbox.faults = [Fault("403", operation="get_ticket", after=1)]  # the page of a gateway
        with pytest.raises(AuthenticationError):
            await read_each(client, range(1001, 1061), 1)


@pytest.mark.slow
def test_tickets_of_a_file_are_read_to_be_shown(
    sandbox: Sandbox, new_ticket: Callable[[], int], tmp_path: Path, workorder: Workorder
) -> None:
    """Who is asked sees status, age and title of the first tickets of a file; one that is not there stays a number."""
    ids = [*(new_ticket() for _ in range(30)), 10**9]
    assert workorder("close", ids[0], *CLOSER).code == 0
    order = [ids[-1], *ids[:-1]]
    (tmp_path / "ids").write_text("".join(f"{id}\n" for id in order))
    before = dict(sandbox.requests)
    environment = {**sandbox.environment, "COLUMNS": "60"}
    with on_terminal(environment, "comment", "--detail", "已处理", "--from", tmp_path / "ids") as terminal:
        terminal.read_until("31 tickets on WORKORDER_BASE_URL")
        terminal.type("n\n")
        assert terminal.finish() == 2
    asked = {name: count - before.get(name, 0) for name, count in sandbox.requests.items()}
    assert {name: count for name, count in asked.items() if count} == {"get_ticket": 20}
    lines = terminal.seen.decode().splitlines()
    shown = {line.split()[0]: line.split()[1:] for line in lines if line[:1].isdigit()}
    assert list(shown) == [str(id) for id in order[:20]]
    assert shown[str(10**9)] == ["comment:", "已处理"]
    assert shown[str(ids[0])] == ["已关闭", "0min", "comment:", "已处理", "实例无法启动"]


@pytest.mark.slow
@pytest.mark.parametrize(("early", "typed", "code"), [(b"y\n", "n\n", 2), (b"y\n", "\n", 2), (b"", "y\n", 0)])
def test_only_what_is_typed_after_the_question_answers_it(
    sandbox: Sandbox, tmp_path: Path, early: bytes, typed: str, code: int
) -> None:
    """A yes from before is no answer, and Enter is a no: nothing is sent, and nothing is said to be wrong."""
    (tmp_path / "ids").write_text("1001\n1002\n")
    words = ["comment", "--detail", "已联系客户", "--from", tmp_path / "ids"]
    before = len(sandbox.applied)
    with on_terminal({**sandbox.environment, "WORKORDER_LANG": "zh"}, *words, early=early) as terminal:
        terminal.read_until("[y/N]: ")
        terminal.type(typed)
        assert terminal.finish() == code
    assert len(sandbox.applied) - before == (0 if code else 2)
    assert (b"not confirmed; nothing was sent" in terminal.seen) == bool(code)
    assert "填写的内容".encode() not in terminal.seen
