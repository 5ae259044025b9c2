"""`workorder sandbox`: a platform on this machine to try things out, until Ctrl-C."""

import asyncio
import os
import re
import sys
from contextlib import AsyncExitStack, suppress
from time import time
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from attrs import fields
from cyclopts import Parameter, types

from workorder_async.arguments import unknown_name
from workorder_async.cli.connection import run
from workorder_async.cli.terminal import note, out
from workorder_async.cli.values import Number, Whole, member
from workorder_async.document import TicketStatus
from workorder_async.errors import ConfigError
from workorder_async.secret import Secret

if TYPE_CHECKING:
    from workorder_async.sandbox import Sandbox

_T = TypeVar("_T")
# The beginning KIND: of a --fault with a chance: KIND:CHANCE.
_CHANCE: Final = re.compile("^([^,:=]*):")
_SECRET: Final = "WORKORDER_SANDBOX_SECRET"  # noqa: S105 - the variable's name
_TICKETS: Final = 5000
_HOW_MANY: Final = Parameter(help=f"How many invented tickets there are to begin with: {_TICKETS:,}, if not said.")
_FAULT: Final = Parameter(
    help="Let requests go wrong: KIND:CHANCE,NAME=VALUE,... such as reset_after:0.1; may be repeated."
)
_DRIFT: Final = Parameter(
    help="Change the list between reads: NAME=VALUE,... such as close=10,every=1; may be repeated."
)


def sandbox(
    *,
    port: Annotated[Whole, Parameter(help="Where to listen; 0 for any free port.")] = 8011,
    host: Annotated[str, Parameter(help="The address to listen on.")] = "127.0.0.1",
    tickets: Annotated[Whole | None, _HOW_MANY] = None,
    seed: Annotated[Whole | None, Parameter(help="Which tickets: the same seed gives the same ones.")] = None,
    db: Annotated[types.File | None, Parameter(help="A file to keep everything in; filled when it is new.")] = None,
    latency: Annotated[Number, Parameter(help="Seconds to add to every answer.")] = 0.0,
    page_size_cap: Annotated[Whole, Parameter(help="The most tickets on a page.")] = 100,
    name: Annotated[tuple[str, ...], Parameter(help="A further name that it is called by; may be repeated.")] = (),
    fault: Annotated[tuple[str, ...], _FAULT] = (),
    drift: Annotated[tuple[str, ...], _DRIFT] = (),
    rate: Annotated[Whole | None, Parameter(help="Requests to let through in a second, at most.")] = None,
) -> None:
    """Run the embedded sandbox until Ctrl-C or SIGTERM.

    Prints the lines to copy into another terminal, where every other command then works against it. The secret is
    a new one each time, unless WORKORDER_SANDBOX_SECRET gives one, which is for sandboxes alone: for a --db that is
    used again, for example. It answers to localhost, to IP addresses, to --host and to each --name. The tickets were
    created in the two years until now. What --fault and --drift take is in help(Fault) and help(Drift) of
    workorder_async.sandbox.
    """
    from workorder_async.sandbox import Drift, Fault, Sandbox

    for_new = {"--tickets": tickets, "--seed": seed}
    given = [f"{option} {value}" for option, value in for_new.items() if value is not None]
    if given and db is not None and db.is_file() and db.stat().st_size:
        are = "is" if len(given) == 1 else "are"
        note(f"workorder: {' and '.join(given)} {are} ignored, for {str(db)!r} is there already and keeps its tickets")
    tickets = _TICKETS if tickets is None else tickets
    secret = Secret(os.environ.get(_SECRET, "").rstrip("\r\n"))  # as `environment.variables` reads a client's
    where: Any = {"host": host, "port": port, "names": name, "app_secret": secret if secret.reveal() else None}
    how: Any = {"latency": latency, "page_size_cap": page_size_cap, "rate": rate}
    how["faults"] = [_made(Fault, "--fault", text, "kind=" + _CHANCE.sub(r"\1,chance=", text)) for text in fault]
    how["drift"] = [_made(Drift, "--drift", text, text) for text in drift]
    seed = 1 if seed is None else seed
    run(_serve(Sandbox(tickets, until=int(time()), db=db, seed=seed, **where, **how), tickets))


def _made(cls: type[_T], option: str, text: str, settings: str) -> _T:
    """Return the fault or drift of these settings, NAME=VALUE with commas; `text` is the option's value, for errors."""
    where = f"{option} {text}"
    values: dict[str, Any] = {}
    for setting in settings.split(","):
        name, equals, value = (part.strip() for part in setting.partition("="))
        if not equals:
            raise ConfigError(f"{setting!r} is no NAME=VALUE", argument=f"{where}:", mend="write it as times=3")
        values[name] = member(TicketStatus, value, where) if name == "status" else _value(name, value)
    if wrong := unknown_name("there is no", values, [one.name for one in fields(cls)]):  # type: ignore[arg-type]
        raise ConfigError(wrong, argument=f"{where}:")
    try:
        return cls(**values)
    except ConfigError as error:
        problem = f"{(error.argument or '').rpartition('.')[2]} {error.problem}".strip()
        raise ConfigError(problem, argument=f"{where}:", mend=error.mend) from None


def _value(name: str, value: str) -> int | float | str:
    if name == "kind" or not re.fullmatch(r"-?[0-9]{0,18}\.?[0-9]{1,18}", value):
        return value
    return float(value) if "." in value else int(value)


async def _serve(platform: "Sandbox", tickets: int) -> None:
    """Run the sandbox until it is interrupted; print lines for a shell on stdout, and their use on stderr."""
    async with AsyncExitStack() as stack:
        with out(stderr=True).status(f"making {tickets:,} tickets ..."):
            await stack.enter_async_context(platform)
        for name, value in platform.environment.items():
            quoted = value.replace("'", "'\\''")
            sys.stdout.write(f"export {name}='{quoted}'\n")
        sys.stdout.flush()
        how = "copy the lines above into another terminal and try `workorder list` there; Ctrl-C ends it"
        note(f"a sandbox runs at {platform.url}; {how}")
        # Ctrl-C and SIGTERM are how it is meant to end.
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    note("the sandbox has stopped")
