"""Programs of examples/, run as somebody would run them: to their end, or as a server until a test has seen enough."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from attrs import Factory, define

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"
_PORT = re.compile(r"[Rr]unning on http://[\d.]+:(\d+)")


@define
class Server:
    """A program that serves on a port of this machine."""

    process: Process
    said: list[str] = Factory(list)
    """The lines that it printed so far."""
    port: "asyncio.Future[int]" = Factory(lambda: asyncio.get_running_loop().create_future())

    async def listen(self) -> None:
        """Read what it prints, to its end."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(line.decode())
            if (found := _PORT.search(self.said[-1])) and not self.port.done():
                self.port.set_result(int(found[1]))
        if not self.port.done():
            self.port.set_exception(AssertionError("".join(self.said)))

    async def end(self) -> None:
        """End it as a manager of services does, and wait until it has ended."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        await self.process.wait()


def environment(variables: dict[str, str]) -> dict[str, str]:
    """Return the environment of a program."""
    return {**os.environ, **variables, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


async def ran(variables: dict[str, str], name: str, *words: object) -> tuple[int, str]:
    """Run one of the programs to its end; return its exit code, and all that it printed."""
    command = [sys.executable, str(FOLDER / name), *map(str, words)]
    child = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT, env=environment(variables))
    out, _ = await child.communicate()
    return child.returncode or 0, out.decode()


@asynccontextmanager
async def serving(variables: dict[str, str], *command: object) -> AsyncIterator[tuple[Server, str]]:
    """Run a program until the block ends; give it, and the URL where it serves."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, *map(str, command)), stdout=PIPE, stderr=STDOUT, env=environment(variables), cwd=FOLDER
    )
    server = Server(child)
    listener = asyncio.create_task(server.listen())
    try:
        yield server, f"http://127.0.0.1:{await server.port}"
        await server.end()
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await listener
        await child.wait()
