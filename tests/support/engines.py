"""A sandbox for code that waits, in a thread of its own, and what engines are compared with."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workorder_async import TicketQuery, TicketStatus, WorkorderClient, testing
from workorder_async.sandbox import SANDBOX_ERRNOS, ClientOptions, Fault


class Connect:
    """Makes clients of an environment; picklable, other than a sandbox."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, **options: Any) -> WorkorderClient:
        """Make a client."""
        given: ClientOptions = {"errnos": SANDBOX_ERRNOS, **options}  # type: ignore[typeddict-item]
        return WorkorderClient.from_env(self._environment, **given)


class SandboxThread(testing.SandboxThread):
    """A sandbox in a thread of its own, with what engines need of it."""

    @property
    def connect(self) -> Connect:
        """What makes clients of it."""
        return Connect(self.environment)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    @contextmanager
    def failing(self, *faults: Fault) -> Iterator[None]:
        """Let requests go wrong for a while."""
        self.faults = faults
        try:
            yield
        finally:
            self.faults = ()

    def close_rows(self) -> list[dict[str, Any]]:
        """Return a close for each pending ticket, as a row of a frame."""

        async def listed() -> list[dict[str, Any]]:
            async with self.connect() as client:
                return [
                    {"id": one.id, "closer_id": 40084, "closer_name": one.creator_name, "solved_time": 1_660_298_580}
                    async for one in client.iter_tickets(TicketQuery(status=TicketStatus.PENDING))
                ]

        return sorted(self._thread.run(listed()), key=lambda row: int(row["id"]))


def pids_of(word: str) -> list[int]:
    """Return the processes below this one that have a word on their command lines."""
    return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _is_ours(pid, word)]


def _is_ours(pid: int, word: str) -> bool:
    # A process may end at any time.
    with suppress(OSError):
        return word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() and os.getpid() in _ancestors(pid)
    return False


def pids_at(port: int) -> list[int]:
    """Return the processes of Spark's Python, below this one, that are connected to a port of this machine."""
    peers = set()
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        fields = line.split()
        if int(fields[2].split(":")[1], 16) == port and fields[3] == "01":
            peers.add(f"socket:[{fields[9]}]")
    return [pid for pid in pids_of("pyspark") if _has_one_of(pid, peers)]


def _has_one_of(pid: int, sockets: set[str]) -> bool:
    with suppress(OSError):
        return any(os.readlink(one) in sockets for one in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[1])
        yield pid


def once_it_is(what: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until another process has come so far; fail where it does not."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(0.005)
