"""A server in a process of its own, so that its work and memory are not counted as the client's."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


@contextmanager
def child(module: str, *arguments: object) -> Iterator[str]:
    """Run a module that prints one line when it is ready, and serves until `block_ends`; yields that line."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    # A session of its own keeps Ctrl-C from it; it ends with its standard input, which leaving the block closes.
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        line = process.stdout.readline().strip() if process.stdout else ""
        if not line:
            raise RuntimeError(f"{module} did not start; its own words are above")
        yield line


async def block_ends() -> None:
    """Wait in the child until the block of its `child` is left."""
    await asyncio.to_thread(sys.stdin.read)
