"""Projects of other people: a folder with tests, run by pytest in a child process with the plugins that it names."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

from attrs import frozen

ROOT = str(Path(__file__).parents[2])
ASYNCIO = "pytest_asyncio.plugin"
ANYIO = "anyio.pytest_plugin"


@frozen
class Ending:
    """How the tests of a project ended."""

    code: int
    out: str

    def counts(self) -> dict[str, int]:
        """Return how many tests passed, failed and so on, of pytest's last line."""
        return {what: int(number) for number, what in re.findall(r"(\d+) (\w+)", self.out.strip().splitlines()[-1])}


def run_project(
    folder: Path,
    tests: str,
    *words: str,
    plugins: Sequence[str] = (),
    ini: str = "",
    path: str = ROOT,
    runner: Sequence[str] = (),
    **env: str,
) -> Ending:
    """Write a project with these tests and run them; a warning is an error. No plugin is loaded that is not named."""
    (folder / "pytest.ini").write_text(
        f"[pytest]\nfilterwarnings = error\naddopts = --strict-markers\n{ini}\n", "utf-8"
    )
    (folder / "test_project.py").write_text(dedent(tests), "utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "WORKORDER_", "COV"))}
    command = [sys.executable, "-X", "dev", "-m", *runner, "pytest", "-q", "-p", "no:cacheprovider"]
    for plugin in plugins:
        command += ["-p", plugin]
    ran = subprocess.run(
        [*command, *words],
        cwd=folder,
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=50,
        env={**kept, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **env},
    )
    return Ending(ran.returncode, ran.stdout + ran.stderr)
