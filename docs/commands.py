"""Writes commands.md: what `workorder COMMAND --help` says of each command.

python docs/commands.py                 writes commands.md beside this file
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App

from workorder_async.cli.app import make_app

_HEAD = """# The command line

The extra `cli` brings it: `pip install 'workorder-async[cli]'`. A command that asks the platform takes the connection
from the four variables of [the start](index.md#against-your-platform), or from [a profile](operations.md#secrets). A
change of tickets that a filter or `--from` chose is asked about before it is sent, or needs `--yes`; `--dry-run` shows
it. What names its tickets, as `reject 1473`, is sent as it stands.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | refused, or not done; or done, and not to be written to stdout, as stderr says |
| 2 | the command line cannot work, or nobody said yes; nothing was changed |
| 3 | a change may or may not have happened |

What follows is what `workorder --help` says.
"""


def said(*words: str) -> str:
    """Return what a command line prints on a terminal of 100 columns."""
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    child = subprocess.run(
        [sys.executable, "-m", "workorder_async", *words], env=environment, check=True, capture_output=True, text=True
    )
    return "\n".join(line.rstrip() for line in child.stdout.strip().splitlines())


def commands(app: App, *before: str) -> Iterator[list[str]]:
    """Yield the words of each command."""
    for name in app:
        if not name.startswith("-"):
            below = [*commands(app[name], *before, name)]
            yield from below or [[*before, name]]


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD, f"```text\n{said('--help')}\n```\n"]
    parts += [f"## {' '.join(words)}\n\n```text\n{said(*words, '--help')}\n```\n" for words in commands(make_app())]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), "utf-8")
