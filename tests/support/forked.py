"""The command line in a child process at once: a fork of a process that has imported everything, and waits.

To start Python and import takes ten times as long as most commands do. Where that is what a test is about, or where an
environment says how Python itself is to begin, a process of its own is started (`cli_runs.start`).
"""

import atexit
import ctypes
import fcntl
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import termios
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CAN_FORK = sys.platform == "linux"
"""Whether this system can: what is forked must become a child of the process that asked for it."""
_IMPORTED = (
    *("batches.batch", "cli.app", "client", "exports", "mirror", "mirror.page", "sandbox", "words"),
    *(f"cli.commands.{path.stem}" for path in (ROOT / "workorder_async" / "cli" / "commands").glob("[a-z]*.py")),
)
_SUBREAPER = 36
_LARGEST = 1 << 20


class Forked(subprocess.Popen[bytes]):
    """A command line that runs in a fork; its arguments are the words behind `workorder`."""

    def _execute_child(self, *given: Any) -> None:
        """Have the waiting process fork, in place of a start of another program."""
        words, cwd, env, handles, own_session = given[0], given[5], given[6], given[10:16], given[-2]
        request = {"words": words, "cwd": os.fspath(cwd or os.getcwd()), "env": env, "session": own_session}
        waiting = _waiting()
        try:
            socket.send_fds(waiting, [json.dumps(request).encode()], [handles[0], handles[3], handles[5]])
            self.pid = int(waiting.recv(32))
        finally:
            self._close_pipe_fds(*handles)  # type: ignore[attr-defined]  # as what it stands for does
        self._child_created = True


@cache
def _waiting() -> socket.socket:
    """Start the process that waits, and return the way to it."""
    # What it forks twice has no parent then, and becomes a child of this process.
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for one in (ours, its):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)
    command = [sys.executable, "-m", __name__, str(its.fileno())]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    waiting = subprocess.Popen(command, env=environment, pass_fds=[its.fileno()], start_new_session=True, cwd=ROOT)
    its.close()

    def end() -> None:
        ours.close()
        waiting.wait()

    atexit.register(end)
    return ours


def _wait(requests: socket.socket) -> dict[str, Any]:
    """Fork for each request, and return it in the child; end where nobody can ask any more."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, _LARGEST, 3)
        if not message:
            sys.exit()
        reader, writer = os.pipe()
        if not (between := os.fork()):
            if child := os.fork():
                os.write(writer, b"%d" % child)
                os._exit(0)
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            os.closerange(3, max(*descriptors, reader, writer, requests.detach()) + 1)
            return dict(json.loads(message))
        os.waitpid(between, 0)
        requests.send(os.read(reader, 32))
        for descriptor in (*descriptors, reader, writer):
            os.close(descriptor)


def _begin(request: dict[str, Any]) -> None:
    """Make this process what a new one would be, and run the command line in it."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    if request["session"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    utf_8: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}
    sys.stdin, sys.stdout = os.fdopen(0, "r", **utf_8), os.fdopen(1, "w", **utf_8)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace")
    sys.argv = [str(ROOT / "workorder_async" / "__main__.py"), *request["words"]]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import_module("workorder_async.__main__").main()


if __name__ == "__main__":
    for name in ("__main__", *_IMPORTED):
        import_module(f"workorder_async.{name}")
    gc.freeze()  # so that no fork copies what it never changes
    _begin(_wait(socket.socket(fileno=int(sys.argv[1]))))
