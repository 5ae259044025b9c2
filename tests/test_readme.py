"""README.md: its samples run, its commands are those that CI runs, and it is short."""

import asyncio
import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from csv import DictReader
from datetime import UTC, datetime
from pathlib import Path

import pytest

import workorder_async
from workorder_async import Sandbox, TicketQuery, TicketStatus
from workorder_async.sandbox import Fault

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
FIRST, BOT, EXPORT, BATCH = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)

COMMANDS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
# What samples of a few lines take for granted.
AROUND = """\
from datetime import UTC, datetime
from workorder_async import *
async def sample(client: WorkorderClient) -> None:
"""
BY_CODE = "ticket = await client.get_ticket(1473)\nprint(ticket.status == 3, ticket.to_dict())\n"


async def run(sample: str, **names: object) -> dict[str, object]:
    """Run a sample as the body of a coroutine; return the names it made."""
    namespace: dict[str, object] = {name: getattr(workorder_async, name) for name in vars(workorder_async)["__all__"]}
    namespace |= {"datetime": datetime, "UTC": UTC, **names}
    body = textwrap.indent(f"{sample}\nreturn locals()", "    ")
    exec(f"async def sample():\n{body}", namespace)
    made: dict[str, object] = await namespace["sample"]()  # type: ignore[operator]
    return made


def test_first_sample() -> None:
    """The first sample is a whole program that stands before line 30, and lists tickets."""
    assert README[: README.index(FIRST)].count("\n") + FIRST.count("\n") < 30
    child = subprocess.run(
        [sys.executable, "-c", FIRST], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONUTF8": "1"}
    )
    lines = child.stdout.splitlines()
    assert len(lines) > 50
    assert all(re.match(r"\d+ \S.* \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+08:00$", line) for line in lines)


@pytest.mark.parametrize("faults", [(), (Fault("reset_after", times=1),)], ids=["answered", "lost"])
async def test_bot_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: tuple[Fault, ...]) -> None:
    """The sample of a bot comments once, however often it is run; after a lost answer it looks."""
    monkeypatch.chdir(tmp_path)
    printed: list[tuple[object, ...]] = []
    async with Sandbox(tickets=500, faults=faults) as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        for _ in range(3):
            await run(BOT, print=lambda *words: printed.append(words))
        (commented,) = sandbox.applied
    assert (commented.operation, commented.ticket_id) == ("comment_ticket", 1473)
    assert printed == [printed[0]] * 3
    assert str(printed[0][0]).startswith("评论工单 1473：")


async def test_export_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample of an export writes every ticket once, leaves nothing else, and prints what its comment says."""
    monkeypatch.chdir(tmp_path)
    printed: list[tuple[object, ...]] = []
    async with Sandbox(tickets=500) as sandbox, sandbox.client() as client:
        await run(EXPORT, client=client, print=lambda *words: printed.append(words))
        ids = [str(ticket.id) async for ticket in client.iter_tickets()]
    assert await asyncio.to_thread(os.listdir, tmp_path) == ["tickets.csv"]
    with (tmp_path / "tickets.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["id"] for row in DictReader(file)] == ids
    [words] = printed
    assert f"# {' '.join(map(str, words))}\n" in EXPORT


async def test_batch_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample of a batch closes every pending ticket of one creator once, prints nothing, and keeps a journal."""
    monkeypatch.chdir(tmp_path)
    printed: list[object] = []
    async with Sandbox(tickets=500) as sandbox, sandbox.client() as client:
        pending = [ticket async for ticket in client.iter_tickets(TicketQuery(status=TicketStatus.PENDING))]
        theirs = {ticket.id for ticket in pending if ticket.creator_name == "田金秀"}
        await run(BATCH, client=client, print=lambda *words: printed.append(words))
        assert {applied.ticket_id for applied in sandbox.applied} == theirs
        assert 3 <= len(sandbox.applied) == len(theirs)
    assert printed == []
    assert (tmp_path / "closes.journal").stat().st_size > 0


def test_commands() -> None:
    """Both commands make their own virtual environment, and .ci/run takes the test command from here."""
    assert [re.findall(r"-m venv (\S+)", command) for command in COMMANDS[:2]] == [[".venv"], [".venv-test"]]
    assert "grep -m 1 'pytest' README.md" in (ROOT / ".ci" / "run").read_text("utf-8")


@pytest.mark.parametrize(("version", "fits"), [((3, 9, 2), False), ((3, 10, 99), False), ((3, 11, 0), True)])
def test_first_command_looks_at_the_version(version: tuple[int, ...], fits: bool, tmp_path: Path) -> None:
    """An older Python is told before anything is made: its pip would look for old versions for a quarter of an hour."""
    fake = tmp_path / "python3"
    fake.write_text(
        f'#!/bin/sh\ntest "$1" = -c || {{ echo "made $3"; exit 1; }}\n'
        f'exec {sys.executable} -c "import sys; sys.version_info = {version}; exec(sys.argv[1])" "$2"\n'
    )
    fake.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    child = subprocess.run(
        ["sh", "-c", COMMANDS[0]], capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    assert child.returncode == 1
    assert (child.stdout, "needs Python 3.11" in child.stderr) == (("made .venv\n", False) if fits else ("", True))


@pytest.fixture(scope="module")
def typed_samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write every sample of Python to a file of its own, with what it takes for granted around it."""
    folder = tmp_path_factory.mktemp("samples")
    (folder / "first.py").write_text(FIRST, "utf-8")
    for number, sample in enumerate([BOT, EXPORT, BATCH, BY_CODE]):
        text = f"{AROUND}{textwrap.indent(sample, '    ')}"
        (folder / f"sample_{number}.py").write_text(text, "utf-8")
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", ["mypy --strict --cache-dir .cache .", "pyright --pythonpath {python}"])
def test_samples_are_typed(command: str, typed_samples: Path) -> None:
    """Every sample passes mypy in its strictest mode, and pyright; where they are installed, as in CI's first step."""
    words = command.format(python=sys.executable).split()
    pytest.importorskip(words[0])
    child = subprocess.run(
        [sys.executable, "-m", *words], cwd=typed_samples, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stdout + child.stderr


def test_links_are_in_a_release() -> None:
    """What the README leads to is in the source distribution as well, where the tests look for it, too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    folders = {target.partition("/")[0] for target in re.findall(r"\]\(([^):]+)\)", README)}
    assert folders == {"docs", "docs-zh"}
    assert folders <= {*included}


def test_length() -> None:
    """It can be read in one sitting; the book has the rest."""
    assert len(README.split()) < 900
