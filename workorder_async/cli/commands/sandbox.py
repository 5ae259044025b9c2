"""`workorder sandbox`: a platform on this machine to try things out, until Ctrl-C."""

import asyncio
import os
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from workorder_async.cli.running import run
from workorder_async.cli.terminal import err, note
from workorder_async.cli.values import Whole

if TYPE_CHECKING:
    from workorder_async.sandbox import Sandbox

_SECRET: Final = "WORKORDER_SANDBOX_SECRET"  # noqa: S105 - the variable's name
_TICKETS: Final = 5000


def sandbox(
    *,
    port: Annotated[Whole, Parameter(help="Where to listen; 0 for any free port.")] = 8011,
    host: Annotated[str, Parameter(help="The address to listen on.")] = "127.0.0.1",
    tickets: Annotated[
        Whole | None, Parameter(help=f"How many invented tickets there are to begin with: {_TICKETS:,}, if not said.")
    ] = None,
    seed: Annotated[Whole | None, Parameter(help="Which tickets: the same seed gives the same ones.")] = None,
    db: Annotated[Path | None, Parameter(help="A file to keep everything in; filled when it is new.")] = None,
    latency: Annotated[float, Parameter(help="Seconds to add to every answer.")] = 0.0,
    page_size_cap: Annotated[Whole, Parameter(help="The most tickets on a page.")] = 100,
    name: Annotated[tuple[str, ...], Parameter(help="A further name that it is called by; may be repeated.")] = (),
) -> int:
    """Run the embedded sandbox until Ctrl-C or SIGTERM.

    Prints the lines to copy into another terminal, where every other command then works against it. The secret is
    a new one each time, unless WORKORDER_SANDBOX_SECRET gives one, which is for sandboxes alone: for a --db that is
    used again, for example. It answers to localhost, to IP addresses, to --host and to each --name. The tickets were
    created in the two years until now.
    """
    from workorder_async.sandbox import Sandbox

    for_new = {"--tickets": tickets, "--seed": seed}
    given = [f"{option} {value}" for option, value in for_new.items() if value is not None]
    if given and db is not None and db.is_file() and db.stat().st_size:
        are = "is" if len(given) == 1 else "are"
        note(f"workorder: {' and '.join(given)} {are} ignored, for {str(db)!r} is there already and keeps its tickets")
    tickets = _TICKETS if tickets is None else tickets
    platform = Sandbox(
        tickets,
        until=int(time()),
        db=db,
        host=host,
        port=port,
        seed=1 if seed is None else seed,
        latency=latency,
        page_size_cap=page_size_cap,
        app_secret=os.environ.get(_SECRET) or None,
        names=name,
    )
    return run(_serve(platform, tickets))


async def _serve(platform: "Sandbox", tickets: int) -> int:
    """Run the sandbox until it is interrupted; print lines for a shell on stdout, and what to do with them."""
    async with AsyncExitStack() as stack:
        with err().status(f"making {tickets:,} tickets ..."):
            await stack.enter_async_context(platform)
        for name, value in platform.environment.items():
            quoted = value.replace("'", "'\\''")
            sys.stdout.write(f"export {name}='{quoted}'\n")
        sys.stdout.flush()
        note(
            f"a sandbox runs at {platform.url}; copy the lines above into another terminal and try "
            "`workorder list` there; Ctrl-C ends it"
        )
        # Ctrl-C and SIGTERM are how it is meant to end.
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    note("the sandbox has stopped")
    return 0
