"""Ways to run the command line: in this process, in a child process, and on a terminal of its own."""

import asyncio
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from copy import copy
from pathlib import Path
from queue import Queue
from typing import IO, Any, TypeAlias, TypeVar

import orjson
import pytest
from attrs import define, field
from cyclopts import App
from cyclopts.argument import ArgumentCollection

from tests.support import forked
from workorder_async.cli.app import run

T = TypeVar("T")
SECRET = "sandbox-secret"
ROOT = str(Path(__file__).parents[2])
_PATIENCE = 20.0
# Whoever runs the tests may have profiles.
_NOWHERE = "/nowhere"
_ASSEMBLE = App.assemble_argument_collection
_OPTIONS = dict[Any, ArgumentCollection]()

Workorder: TypeAlias = Callable[..., "Ran"]
"""Runs a command line, given as its words."""


@define
class Ran:
    """How a command line ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[Any]:
        """What was printed, read as JSON Lines."""
        return [orjson.loads(line) for line in self.out.splitlines()]


def checked(ran: Ran) -> Ran:
    """Return what ran, after a look for what must never be printed."""
    for text in (ran.out, ran.err):
        assert SECRET not in text
        assert "Traceback" not in text
        assert "\x1b" not in text
    return ran


@contextmanager
def elsewhere(served: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enter a server in a thread of its own, so that this one is free for the command line."""
    started: Queue[tuple[T, asyncio.AbstractEventLoop, asyncio.Event]] = Queue()

    async def serve() -> None:
        async with served as server:
            stop = asyncio.Event()
            started.put((server, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    server, loop, stop = started.get(timeout=_PATIENCE)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def runner(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Workorder:
    """Return what runs a command line in this process, under these environment variables."""
    monkeypatch.setattr(App, "assemble_argument_collection", _options)
    monkeypatch.setenv("XDG_CONFIG_HOME", _NOWHERE)
    monkeypatch.setenv("WORKORDER_LANG", "en")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def workorder(*words: object) -> Ran:
        capsys.readouterr()
        code = run([str(word) for word in words])
        printed = capsys.readouterr()
        return checked(Ran(code, printed.out, printed.err))

    return workorder


def _options(app: App, **wanted: Any) -> ArgumentCollection:
    """Return the options of a command as cyclopts does, which takes longer than most commands.

    They are read from its function once, and each command line is given a copy, with nothing said yet. What a help
    shows is always read anew.
    """
    if wanted:
        return _ASSEMBLE(app, **wanted)
    command = app.default_command
    if command not in _OPTIONS:
        _OPTIONS[command] = _ASSEMBLE(app)
    options = copy(_OPTIONS[command])
    copies = {id(option): copy(option) for option in options}
    for option in copies.values():
        option.tokens = []
        option.children = copy(option.children)
        option.children[:] = [copies[id(child)] for child in option.children]
    options[:] = copies.values()
    return options


def child_environment(environment: Mapping[str, str], **more: str) -> dict[str, str]:
    """Return the environment of a child process: this one's, without variables that change how things are printed."""
    dropped = ("NO_COLOR", "FORCE_COLOR", "PYTHONUNBUFFERED", "PYTHONIOENCODING", "LC_ALL")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("WORKORDER_") and name not in dropped
    }
    return {
        **kept,
        "PYTHONPATH": ROOT,
        "LANG": "C.UTF-8",
        "TERM": "xterm",
        "COLUMNS": "120",
        "XDG_CONFIG_HOME": _NOWHERE,
        **environment,
        **more,
    }


def _take_terminal() -> None:
    """Make stdin the terminal of this session, as a shell's is: secrets are read from that one."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def start(
    environment: Mapping[str, str],
    *words: object,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
    own_session: bool = False,
    anew: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start a command line in a child process, with pipes for stdout and stderr; Ctrl-C reaches it in any case.

    It is a fork of one that waits, where that can be; never with `anew`, nor where the environment is of Python itself.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # tests in the background of a shell: it would be inherited
        signal.signal(signal.SIGINT, signal.default_int_handler)
    is_forked = forked.CAN_FORK and not anew and not any(name.startswith("PYTHON") for name in environment)
    return (forked.Forked if is_forked else subprocess.Popen)(
        [*([] if is_forked else [sys.executable, "-m", "workorder_async"]), *map(str, words)],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=own_session,
        preexec_fn=_take_terminal if own_session else None,
        env=child_environment(environment),
        bufsize=0,
    )


def in_child(
    environment: Mapping[str, str], *words: object, stdout: int | IO[bytes] = subprocess.PIPE, anew: bool = False
) -> Ran:
    """Run a command line in a child process to its end."""
    with start(environment, *words, stdout=stdout, anew=anew) as child:
        out, err = child.communicate(timeout=_PATIENCE)
    return checked(Ran(child.returncode, out.decode() if out else "", err.decode() if err else ""))


def python_c(code: str, environment: Mapping[str, str] | None = None) -> Ran:
    """Run some Python in a child process."""
    command = [sys.executable, "-c", code]
    child = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        env=child_environment(environment or {}),
    )
    return Ran(child.returncode, child.stdout, child.stderr)


@define
class Terminal:
    """A command line on a pseudo-terminal: what it printed so far, and a keyboard."""

    child: "subprocess.Popen[bytes]"
    master: int
    seen: bytes = field(default=b"")

    def read_until(self, text: str) -> None:
        """Read on until this text was printed."""
        deadline = time.monotonic() + _PATIENCE
        while text.encode() not in self.seen:
            assert self._read(deadline), f"{text!r} never came: {self.seen!r}"

    def type(self, text: str) -> None:
        """Press these keys; an escaped surrogate is a byte."""
        os.write(self.master, text.encode(errors="surrogateescape"))

    def finish(self) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + _PATIENCE
        while self._read(deadline):
            pass
        return self.child.wait(_PATIENCE)

    def _read(self, deadline: float) -> bytes:
        ready, _, _ = select.select([self.master], [], [], deadline - time.monotonic())
        assert ready, f"nothing more came: {self.seen!r}"
        try:
            piece = os.read(self.master, 65536)
        except OSError:  # Linux says so when the other side has gone
            piece = b""
        self.seen += piece
        return piece


@contextmanager
def on_terminal(
    environment: Mapping[str, str],
    *words: object,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    early: bytes = b"",
) -> Iterator[Terminal]:
    """Start a command line in a child process on a terminal; its stdout or stderr may be led elsewhere.

    The keys `early` were pressed before it starts.
    """
    master, slave = pty.openpty()
    os.write(master, early)
    echo = b""
    while echo.count(b"\n") < early.count(b"\n"):  # only its echo tells that the terminal has taken a line
        echo += os.read(master, 1024)
    out, err = (slave if stream is None else stream for stream in (stdout, stderr))
    with start(environment, *words, stdin=slave, stdout=out, stderr=err, own_session=True) as child:
        os.close(slave)
        try:
            yield Terminal(child, master)
        finally:
            child.kill()
            os.close(master)
