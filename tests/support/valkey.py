"""A Valkey or Redis of one's own: on a port and in a folder that are given, keeping nothing on disk."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest


def program() -> str:
    """Return where the server's program is; skip the test where there is none, or fail it where one is required."""
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        why = "there is neither valkey-server nor redis-server on PATH (Debian: apt-get install valkey-server)"
        (pytest.fail if os.environ.get("WORKORDER_TEST_VALKEY") == "required" else pytest.skip)(why)
    return found


class Valkey:
    """A server that is started, killed, and started again on the same port."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self._folder, self._port, self._options = folder, port, options
        self.url: str = f"redis://127.0.0.1:{port}/0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; return when it accepts connections."""
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *self._options]
        self._process = await asyncio.create_subprocess_exec(
            program(), *options, cwd=self._folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        assert self._process.stdout is not None
        said = b""
        async with asyncio.timeout(20):
            while b"Ready to accept connections" not in said:
                line = await self._process.stdout.readline()
                assert line, said.decode()
                said += line

    async def stop(self) -> None:
        """Kill it, and all that it remembers."""
        if self._process is not None:
            self._process.kill()
            await self._process.communicate()
            self._process = None
