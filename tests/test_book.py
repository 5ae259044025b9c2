"""docs/ and docs-zh/: every sample of the book runs against the sandbox, and prints what the book says it prints.

A page is one story: its samples run one after the other, and a name that one makes is there for the next. A whole
program (`asyncio.run`) and shell commands run in a folder of the page's own. A block of `text` under a sample is what
it prints; `...` stands for anything. A sample that begins with the name of a file is written there. What is not run has
a comment above it that says why.
"""

import ast
import asyncio
import builtins
import inspect
import os
import re
import runpy
import sys
import textwrap
from contextlib import redirect_stdout
from io import StringIO
from itertools import zip_longest
from pathlib import Path

import pytest
from attrs import frozen

import workorder_async.sandbox
from workorder_async import Sandbox, WorkorderClient
from workorder_async.testing import Kill, SandboxThread, run_killed

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("docs-zh/*.md")])
_BLOCK = re.compile(
    r"(?P<why><!-- not run: [^>]+ -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*?)(?: \{ ?#(\S+) ?\})?$", re.MULTILINE)
_RUN = ("python", "sh")


@frozen
class Sample:
    """One block of a page."""

    language: str
    code: str
    line: int
    printed: str | None
    """What it has to print, if the page says so."""


def samples_of(page: Path) -> list[Sample]:
    """Return the samples of a page that are to be run."""
    text = page.read_text("utf-8")
    blocks = [*_BLOCK.finditer(text)]
    samples = []
    for block, after in zip_longest(blocks, blocks[1:]):
        if block["language"] in _RUN and not block["why"]:
            is_output = (
                after is not None and after["language"] == "text" and not text[block.end() : after.start()].strip()
            )
            line = text.count("\n", 0, block.start("code"))
            printed = after["code"] if after is not None and is_output else None
            samples.append(Sample(block["language"], block["code"], line, printed))
    return samples


async def run_program(sample: Sample, folder: Path, environment: dict[str, str]) -> str:
    """Run a program, or commands of a shell, as a reader would; return what it prints."""
    words = [sys.executable, "-c", sample.code] if sample.language == "python" else ["sh", "-ec", sample.code]
    child = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await child.communicate()
    assert child.returncode == 0, (out + errors).decode()
    return out.decode()


async def run_here(sample: Sample, page: Path, names: dict[str, object]) -> str:
    """Run a sample in the names of its page; return what it prints."""
    code = compile("\n" * sample.line + sample.code, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    printed = StringIO()
    with redirect_stdout(printed):
        made = eval(code, names)
        if inspect.isawaitable(made):
            await made
    return printed.getvalue()


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """Return variables for children: `workorder` and `python` are those of this run, and nobody's profile is read."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, line in (("workorder", f"{sys.executable} -m workorder_async"), ("python", sys.executable)):
        (programs / name).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        (programs / name).chmod(0o755)
    (tmp_path / "page").mkdir()
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        # Where the package is not installed, nothing tells pytest of its plugin.
        "PYTEST_ADDOPTS": "-p pytest_workorder -p no:randomly -p no:cacheprovider",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
    }


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
async def test_samples(page: Path, tmp_path: Path, shell: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sample of a page runs, and prints what it is said to print."""
    samples = samples_of(page)
    if not samples:
        pytest.skip("it has no samples")
    folder = tmp_path / "page"
    monkeypatch.chdir(folder)
    async with Sandbox(tickets=600) as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        async with WorkorderClient.from_env(errnos=workorder_async.sandbox.SANDBOX_ERRNOS) as client:
            names: dict[str, object] = {"sandbox": sandbox, "__name__": "page", "__builtins__": builtins}
            for sample in samples:
                # A sample may have made, and closed, one of its own.
                names["client"] = client
                if named := re.match(r"# (\w+\.py)\n", sample.code):
                    (folder / named[1]).write_text(sample.code, "utf-8")
                    continue
                is_whole = sample.language == "sh" or "asyncio.run(" in sample.code
                printed = await (run_program(sample, folder, shell) if is_whole else run_here(sample, page, names))
                if sample.printed is not None:
                    wanted = re.escape(sample.printed.strip()).replace(r"\.\.\.", "(?s:.*?)")
                    assert re.fullmatch(wanted, printed.strip()), (page.name, sample.line, printed)


BATCH_AROUND = """\
import asyncio
from workorder_async import *
async def main():
    async with WorkorderClient.from_env(attempt_timeout=3) as client:
"""


@pytest.mark.slow
def test_a_batch_goes_on(tmp_path: Path, shell: dict[str, str]) -> None:
    """The sample of a batch that is killed, and is run again as it stands, does the rest."""
    code = next(sample.code for sample in samples_of(ROOT / "docs" / "batches.md") if "journal=" in sample.code)
    program = tmp_path / "closes.py"
    program.write_text(f"{BATCH_AROUND}{textwrap.indent(code, ' ' * 8)}\nasyncio.run(main())", "utf-8")
    with SandboxThread(tickets=600) as sandbox:
        command = [sys.executable, str(program)]
        *_, last = run_killed(sandbox, command, Kill("close_ticket", 20), cwd=tmp_path, env=shell)
        assert last.returncode == 0, last.stderr
        closed = [one.ticket_id for one in sandbox.applied]
    assert len(closed) == len(set(closed)) > 50


def test_speed_is_made_of_figures() -> None:
    """The page on speed is what its script makes of what was measured."""
    made = runpy.run_path(str(ROOT / "docs" / "speed.py"))["page"]()
    assert made == (ROOT / "docs" / "speed.md").read_text("utf-8")


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made of their words."""
    anchors = set()
    for words, given in _HEADING.findall(page.read_text("utf-8")):
        plain = re.sub(r"[`*\[\]]|\(.*?\)", "", words).lower()
        anchors.add(given or re.sub(r"[^\w -]", "", plain).strip().replace(" ", "-"))
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_links(page: Path) -> None:
    """Every link inside of the book leads to a page, a picture or a heading that is there."""
    for target in _LINK.findall(page.read_text("utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        assert other.is_file(), target
        assert not anchor or anchor in anchors_of(other), target


def test_every_page_is_in_the_book() -> None:
    """The two lists of pages name each page once."""
    for config, folder in (("mkdocs.yml", "docs"), ("mkdocs.zh.yml", "docs-zh")):
        listed = re.findall(r"^  - .*: (\S+\.md)$", (ROOT / config).read_text("utf-8"), re.MULTILINE)
        assert sorted(listed) == sorted(page.name for page in (ROOT / folder).glob("*.md"))
    told = re.findall(r"\]\((\w+)/?\)", (ROOT / "docs" / "llms.txt").read_text("utf-8"))
    assert sorted(told) == sorted(page.stem for page in (ROOT / "docs").glob("*.md") if page.stem != "index")
