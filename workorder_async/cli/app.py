"""The command line as a whole: its commands, and how each end of a command (value, error, signal) becomes an exit code.

`__main__` calls `load`, which imports the command's module, and then `run`. `run` calls `_carry_out`, which parses the
words, calls the command's function, and turns its errors into a sentence on stderr.
"""

import asyncio
import errno
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import metadata
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from workorder_async.cli import failures
from workorder_async.cli.connection import APP_ID, BASE_URL, SCHEME, SECRET
from workorder_async.cli.terminal import note, out
from workorder_async.errors import ConfigError, WorkorderError

_HELP = f"""\
Kingsoft Cloud's work orders (工单) on the command line; each command has its own --help.

`workorder demo` needs nothing and shows everything. Those that ask the platform read {BASE_URL}, {APP_ID},
{SECRET} and {SCHEME}, or a profile that `workorder login` wrote.
Results go to stdout, everything else to stderr.

Exit codes:

{failures.EXIT_CODES}
"""

# MODULE, or MODULE:COMMAND for a module with several commands.
_COMMANDS = (
    *("demo", "sandbox", "list", "list:show", "create", "batch:comment", "batch:reject", "batch:close"),
    *("create:upload", "export", "export:columns", "mirror", "mirror:changes", "mirror:search", "mirror:report"),
    *("doctor", "login", "login:trust"),
)
# A word that begins with a dash and is a value: a text such as "- see below", or - alone (stdin or stdout). Options,
# numbers, and the -- that ends the options do not match: they are left for the parser.
_DASHED_TEXT = re.compile(r"-(?!-?[A-Za-z][\w-]*(=.*)?$|[0-9]+$|-\Z)", re.DOTALL)

# By the errno of an `OSError` without a file name, the thing that it is about: a full or broken disk is that of stdout.
_NAMELESS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO), "stdout"),
    errno.ENOENT: "this folder, which was removed",
}


def _default(value: object) -> str | None:
    """Return the text of a default in the help; None, for no text, if the option is off, empty or without a value."""
    return None if value is None or value is False or value in ((), "") else str(value)


def make_app() -> App:
    """Return the application with all its commands."""
    app = App(
        name="workorder",
        help=_HELP,
        help_format="markdown",
        # Without this, a command whose module is loaded later would show the version of cyclopts.
        version=partial(metadata.version, "workorder-async"),
        version_format="plaintext",
        console=out(),
        default_parameter=Parameter(negative_bool=(), negative_iterable=(), show_default=_default),
    )
    # A module is loaded when one of its commands is asked for.
    for place in _COMMANDS:
        module, name = place.partition(":")[0], place.rpartition(":")[2]
        function = "list_tickets" if name == "list" else name
        app.command(f"workorder_async.cli.commands.{module}:{function}", name=name)
    app.command(_completion, name="completion")
    app.command(_help, name="help")
    sign = App(name="sign", help="Find out how requests are signed.")
    sign.command("workorder_async.cli.commands.sign_detect:detect", name="detect")
    app.command(sign)
    journal = App(name="journal", help="Show, settle or report the journal of a batch.")
    for name in ("show", "settle", "report"):
        journal.command(f"workorder_async.cli.commands.journal:{name}", name=name)
    app.command(journal)
    return app


def _completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell.")], /) -> None:
    """Print a script that lets a shell complete commands and options.

    For bash, write `eval "$(workorder completion bash)"` into ~/.bashrc. For zsh, lead the script to a file _workorder
    in a folder of $fpath. For fish, lead it to ~/.config/fish/completions/workorder.fish.
    """
    script = make_app().generate_completion(prog_name="workorder", shell=shell)
    if shell == "bash":
        # Offer no files: bash then completes files by itself (-o default), goes into folders, and quotes blanks.
        script = script.replace('$(compgen -f -- "${cur}")', "").replace("complete -F", "complete -o default -F")
    if shell == "zsh":
        # For zsh: an option whose values are unknown would offer nothing, so offer files. The last line calls the
        # function at its first use: zsh has only loaded it then.
        script = re.sub(r"(\]:[\w-]+)'", r"\1:_files'", script) + '\n_cyclopts_workorder "$@"\n'
    sys.stdout.write(script)


def _help(*command: str) -> int:
    """Print the help of a command: `workorder help close` is `workorder close --help`."""
    known, _, _ = make_app().parse_commands(command)
    return _carry_out([*command, "--help"] if known or not command else command[:1])


def load(arguments: Sequence[str]) -> App:
    """Return the application, with the module of the command in `arguments` imported.

    Without a command, all commands of the group are imported: the group's help has a line of each.
    """
    app = make_app()
    _, apps, _ = app.parse_commands([word for word in arguments if not word.startswith("-")])
    apps[-1].resolved_commands()
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code (see `failures.EXIT_CODES`); no exception leaves it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Characters that the terminal's encoding does not have are shown as escapes, and raise no error.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            # Print warnings for users as remarks, without file and line. These filters replace those of PYTHONWARNINGS,
            # which could turn a warning into an error that ends the command.
            warnings.showwarning = lambda message, *_, **__: note(f"workorder: {message}")
            warnings.simplefilter("ignore")
            for shown in (UserWarning, RuntimeWarning, FutureWarning):
                warnings.simplefilter("default", shown)
            return _carry_out(arguments)
    except BrokenPipeError:
        return failures.READER_GONE
    except (KeyboardInterrupt, asyncio.CancelledError) as end:
        note("workorder: interrupted")
        return failures.INTERRUPTED if isinstance(end, KeyboardInterrupt) else failures.TERMINATED
    finally:
        _give_up_what_cannot_be_written()


def _carry_out(arguments: Sequence[str]) -> int:
    failure: Exception
    try:
        command, bound, _ = load(arguments).parse_args(_join_dashes(arguments), print_error=False, exit_on_error=False)
        code = command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
        return code if isinstance(code, int) else failures.OK
    except CycloptsError as error:
        failure, code, said = ConfigError(""), failures.USAGE, failures.wrong_usage(error, arguments)
    except WorkorderError as error:
        failure, code, said = error, failures.exit_code(error), failures.sentence(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_up_what_cannot_be_written()
        where = error.filename or _NAMELESS.get(error.errno or 0, "")
        failure, code, said = error, failures.FAILED, f"{error.strerror or error}{f': {where}' if where else ''}"
    except Exception as error:
        logging.getLogger("workorder_async").debug("the failure", exc_info=True)
        said = f"a defect of this program, please report it with what --verbose says: {error!r}"
        failure, code = error, failures.FAILED
    note(f"workorder: {said}")
    failures.note_in_chinese(failure)
    return code


def _join_dashes(arguments: Sequence[str]) -> list[str]:
    """Join an option and a value that begins with a dash to `--option=VALUE`: alone it would be read as an option.

    In `export` a dash alone is stdout, also after an option without a value, such as --raw: it becomes `--output=-`.
    """
    joined: list[str] = []
    for argument in arguments:
        if argument == "-" and arguments[0] == "export" and joined[-1] not in ("--output", "-o"):
            joined.append("--output=-")
        elif _DASHED_TEXT.match(argument) and joined and re.fullmatch("--[^=]+|-o", joined[-1]):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _give_up_what_cannot_be_written() -> None:
    """Redirect stdout or stderr to the null device if it cannot be flushed.

    The interpreter flushes both at its end, and would fail there with a message of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
