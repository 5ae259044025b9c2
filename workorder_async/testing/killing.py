"""`run_killed`: run a program, kill it at a request that the sandbox sees, and run it again.

The sandbox calls a witness at three moments of each request; it kills the program while the request waits. So the same
request is hit in each run of a test, which a kill after some seconds could not promise.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from subprocess import DEVNULL, CompletedProcess, Popen, TimeoutExpired
from tempfile import TemporaryFile
from typing import get_args

from attrs import field, frozen

from workorder_async.arguments import above_zero, as_validator, items, must_be, one_of, shown, whole
from workorder_async.document.endpoints import ENDPOINTS
from workorder_async.errors import ConfigError
from workorder_async.testing.sandbox_thread import Moment, SandboxThread

_TAIL = 2000

_MAPPING = must_be("a mapping of texts", lambda given: isinstance(given, Mapping))
_TEXT = must_be("text, or a path", lambda given: isinstance(given, str | bytes | os.PathLike))


@frozen
class Kill:
    """When a program is killed: at which request of an operation, counted from the program's start."""

    operation: str = field(validator=as_validator(one_of, sorted(ENDPOINTS), names_class=True))
    """The endpoint, by its coroutine's name: "close_ticket"."""
    request: int = field(default=1, validator=as_validator(whole, names_class=True))
    """The number of the request among those of its operation that have come to `moment`, from 1."""
    moment: Moment = field(
        default="applied", kw_only=True, validator=as_validator(one_of, get_args(Moment), names_class=True)
    )
    """received: the request has arrived, and is not carried out. applied: it is carried out, and not answered.
    answered: it is answered; the kill comes with the program's next request, of any operation, which is not carried
    out."""


def run_killed(
    sandbox: SandboxThread,
    command: Sequence[str | os.PathLike[str]],
    *kills: Kill,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    timeout: float = 60.0,
) -> list[CompletedProcess[str]]:
    """Run a program once for each of `kills`, kill it at that moment (SIGKILL), and run it once more, to its end.

        *_, last = run_killed(workorder_sandbox, [sys.executable, "close_old.py"], Kill("close_ticket", 3))
        assert last.returncode == 0

    Returns each run's output and exit code: -9 for a run that was killed. The program's environment is that of this
    process, with the variables that point to the sandbox, and with `env`. All processes of its group are killed with
    it; the requests that they sent are carried out before the next run begins. Raises `AssertionError` where a program
    ends by itself before its moment, or runs for more than `timeout` seconds. This function blocks: if the program
    needs the event loop of the test, call it by `asyncio.to_thread`. Not for Windows.
    """
    above_zero("timeout", timeout)
    if not isinstance(sandbox, SandboxThread):
        mend = "it must be a SandboxThread, such as workorder_sandbox"
        raise ConfigError(f"is a {type(sandbox).__name__}", argument="sandbox", mend=mend)
    words = command if isinstance(command, Sequence) and not isinstance(command, str | os.PathLike) else ()
    if not words or not all(isinstance(word, str | os.PathLike) for word in words):
        mend = "it must be a list of words, such as [sys.executable, 'bot.py']"
        raise ConfigError(f"is {shown(command)}", argument="command", mend=mend)
    _MAPPING("env", env := {} if env is None else env)
    for name, value in env.items():
        _TEXT(f"env[{name!r}]", value)
    start = partial(
        Popen[str],
        [*words],
        stdin=DEVNULL,
        env={**os.environ, **sandbox.environment, **(env or {})},
        cwd=cwd,
        start_new_session=True,
    )
    return [_run(sandbox, start, kill, timeout) for kill in [*items("kills", kills, Kill), None]]


def _run(
    sandbox: SandboxThread, start: Callable[..., Popen[str]], kill: Kill | None, timeout: float
) -> CompletedProcess[str]:
    """Run a program until it ends, is killed, or takes too long, and wait until its requests are carried out."""
    __tracebackhide__ = True
    killing = _Killing(kill)
    sandbox.witness = killing.see
    wrong = ""
    # Files, not pipes: a child process in another group is not killed, and a pipe that it holds has no end.
    with TemporaryFile("w+", errors="replace") as out, TemporaryFile("w+", errors="replace") as err:
        try:
            with start(stdout=out, stderr=err) as process:
                # The witness may wait for this already: the first request may be faster than the return of `start`.
                killing.process.set_result(process)
                try:
                    process.wait(timeout)
                except TimeoutExpired:
                    wrong = f"the program ran for more than {timeout:g} s"
                finally:
                    _kill(process)
            sandbox.settle()
        finally:
            sandbox.witness = None
        out.seek(0)
        err.seek(0)
        said, complained = out.read(), err.read()
    code = process.returncode
    # The exit code decides, and not whether the witness killed: the program may have ended by itself just before.
    if kill is not None and code != -signal.SIGKILL:
        wrong = wrong or f"the program ended by itself before {kill}, and {killing.count} came"
    if wrong:
        raise AssertionError(f"{wrong}; it ended with exit code {code}, and stderr ends {complained[-_TAIL:]!r}")
    return CompletedProcess(process.args, code, said, complained)


def _kill(process: Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class _Killing:
    """Counts the moments of a program's requests, and kills the program at that of `kill`; None kills nothing.

    `process` is set once the program has started.
    """

    def __init__(self, kill: Kill | None) -> None:
        self.count = 0
        self.process: Future[Popen[str]] = Future()
        self._kill = kill
        self._is_answered = False

    async def see(self, moment: Moment, operation: str) -> bool:
        """Take note of a moment of a request; kill the program if it is the moment, and return whether it did."""
        kill = self._kill
        if kill is None:
            return False
        is_now = self._is_answered and moment == "received"
        if (moment, operation) == (kill.moment, kill.operation):
            self.count += 1
            self._is_answered = moment == "answered" and self.count >= kill.request
            is_now = is_now or (moment != "answered" and self.count == kill.request)
        if is_now:
            self._kill = None
            process = await asyncio.wrap_future(self.process)
            _kill(process)
            # The sandbox goes on after this: a program that is not dead yet could still read the answer.
            await asyncio.to_thread(process.wait)
        return is_now
