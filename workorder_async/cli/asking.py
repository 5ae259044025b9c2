"""Questions on the terminal, the secret's among them; asked before any event loop runs, so that Ctrl-C ends them."""

import sys
from getpass import getpass

from workorder_async.cli.output import err, one_line
from workorder_async.errors import ConfigError


def can_ask() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(what: str, *, hidden: bool = False) -> str:
    """Ask on stderr and return the answer; a `hidden` one is not echoed. Raises `ConfigError` where there is none."""
    question = f"{one_line(what)}: "
    try:
        # getpass writes the prompt once the echo is off: what is typed at once is neither shown nor lost.
        answer = getpass(question, sys.stderr) if hidden else err().input(question, markup=False, emoji=False)
    except EOFError:
        answer = ""
    if not answer.strip():
        raise ConfigError(f"no answer to {what!r}")
    return answer
