"""Questions on the terminal, also for the secret. They come before any event loop runs, so that Ctrl-C ends them."""

import sys
from getpass import getpass

from workorder_async.cli.terminal.output import err, one_line
from workorder_async.errors import ConfigError
from workorder_async.secret import Secret


def can_ask() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(what: str, *, optional: bool = False) -> str:
    """Ask on stderr and return the answer. Raises `ConfigError` where there is none and one is needed."""
    try:
        answer = err().input(_question(what), markup=False, emoji=False)
    except EOFError:
        answer = ""
    if not answer.strip() and not optional:
        raise _no_answer(what)
    return answer


def ask_secret(what: str) -> Secret:
    """Ask without an echo, and wrap the answer at once: no frame may hold it bare. Raises likewise."""
    try:
        # getpass writes the prompt once the echo is off: what is typed at once is neither shown nor lost.
        answer = Secret(getpass(_question(what), sys.stderr))
    except EOFError:
        answer = Secret("")
    if not answer.reveal().strip():
        raise _no_answer(what)
    return answer


def _question(what: str) -> str:
    return f"{one_line(what)}: "


def _no_answer(what: str) -> ConfigError:
    return ConfigError(f"no answer to {what!r}")
