"""`workorder doctor`: what stands between this machine and the platform, a line for each check."""

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Final

from attrs import asdict
from cyclopts import Parameter
from rich.text import Text

from workorder_async.cli.connection import BY_ENVIRONMENT, Connection, Environment, Flag
from workorder_async.cli.terminal.output import one_line, out, write_json
from workorder_async.cli.terminal.running import run

if TYPE_CHECKING:
    from workorder_async.wire.options import ClientOptions

_MARKS: Final = {True: ("ok", "green"), False: ("FAILED", "bold red"), None: ("skipped", "dim")}


def doctor(
    *,
    json: Annotated[Flag, Parameter(help="Print one JSON object per check.")] = False,
    connection: Connection = BY_ENVIRONMENT,
) -> int:
    """Check the configuration, the network, the clock and the signature, and say what to do.

    Sends two requests that change nothing: one without a signature, and one for a list of one ticket. Where the
    signature is refused, up to eight more such lists are asked for, each with one thing changed, to find out why.
    """
    environ = connection.environment()
    return run(_report(environ, connection.options(environ), as_json=json))


async def _report(environ: Environment, options: "ClientOptions", *, as_json: bool) -> int:
    """Print each check, and return the exit code."""
    from workorder_async.cli.checks import examine

    healthy = True
    async with aclosing(examine(environ, options)) as checks:
        async for check in checks:
            healthy = healthy and check.ok is True
            if as_json:
                write_json([asdict(check)])
            else:
                _print(check.ok, check.name, f"{check.found}; {check.mend}" if check.mend else check.found)
    return 0 if healthy else 1


def _print(ok: bool | None, name: str, text: str) -> None:
    mark, style = _MARKS[ok]
    line = Text(f"{mark:<8}", style=style)
    line.append(f"{name:<22} ", style="bold" if ok is False else "default")
    line.append(one_line(text), style="default")
    out().print(line, soft_wrap=True)
