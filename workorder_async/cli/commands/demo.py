"""`workorder demo`: the whole thing once, against an embedded sandbox, which may be a hostile one."""

import shlex
import shutil
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import Annotated, Final

from cyclopts import Parameter, validators

from workorder_async.cli.connection import Flag, log_to_stderr
from workorder_async.cli.demo.hostile_tour import HostileTour, hostile_client, hostile_sandbox
from workorder_async.cli.demo.tour import Tour
from workorder_async.cli.terminal.output import err, note, out, print_fields, print_heading
from workorder_async.cli.terminal.running import run
from workorder_async.cli.values import AS_WRITTEN, Whole, Written, file_name
from workorder_async.errors import ConfigError

_LATENCY: Final = 0.05
_OUTPUT: Final = Written("demo-tickets.jsonl", "--output")
_NEXT: Final = """\
head -2 {output}
{workorder} sandbox                  # leave it running, copy its four lines into another terminal, and there:
{workorder} list --status pending
{workorder} show {id}
{workorder} doctor"""


def demo(
    *,
    tickets: Annotated[Whole, Parameter(help="How many tickets the sandbox has.")] = 5000,
    output: Annotated[
        Written, AS_WRITTEN, Parameter(name=["--output", "-o"], help="The file to write them to; - for stdout.")
    ] = _OUTPUT,
    closes: Annotated[Whole, Parameter(help="Pending tickets to close.", validator=validators.Number(gte=0))] = 200,
    latency: Annotated[
        float | None, Parameter(help=f"Seconds that the sandbox takes to answer: {_LATENCY:g}, or 0 if it is hostile.")
    ] = None,
    hostile: Annotated[Flag, Parameter(help="Let everything go wrong that can, and count what came of it.")] = False,
    seed: Annotated[Whole, Parameter(help="Which tickets, and with --hostile what goes wrong.")] = 1,
    verbose: Annotated[Flag, Parameter(help="Log every attempt to stderr.")] = False,
) -> int:
    """See the real thing work, without any configuration.

    Starts a sandbox, writes all its tickets to a file of JSON Lines, reads a list that moves meanwhile, closes pending
    tickets, creates one with an upload, comments on it and reads it back; exits with 0 only when everything arrived.
    With --hostile the sandbox loses answers, lies, hangs and changes its list meanwhile; exits with 0 only when nothing
    was lost, nothing happened twice, and nothing was said that is not so.
    """
    from workorder_async.exports.formats import target_of

    if verbose:
        log_to_stderr()
    if hostile and latency:
        raise ConfigError("--latency is for the plain demo; the hostile one has delays of its own")
    name = file_name(output)

    def show(file: Path, called: str) -> int:
        if hostile:
            return run(_hostile_demo(tickets, file, called, closes=closes, seed=seed))
        waits = _LATENCY if latency is None else latency
        return run(_demo(tickets, file, called, closes=closes, latency=waits, seed=seed))

    return _copied_to(name, show) if target_of(name, "jsonl").is_stream else show(Path(name), name)


def _copied_to(name: str, show: Callable[[Path, str], int]) -> int:
    """Show it with a file that is copied to stdout or a device in the end; what is told goes to stderr then.

    The demo reads what it wrote, which it could not do there.
    """
    with TemporaryDirectory(prefix="workorder-demo-") as folder:
        file = Path(folder) / "tickets.jsonl"
        with redirect_stdout(sys.stderr):
            code = show(file, "stdout" if name == "-" else name)
        with file.open("rb") as tickets, nullcontext(sys.stdout.buffer) if name == "-" else open(name, "wb") as place:
            shutil.copyfileobj(tickets, place)
            place.flush()
    return code


async def _demo(tickets: int, output: Path, called: str, *, closes: int, latency: float, seed: int) -> int:
    from workorder_async.sandbox import Sandbox

    async with AsyncExitStack() as stack:
        with err().status(f"making {tickets:,} tickets ..."):
            sandbox = await stack.enter_async_context(Sandbox(tickets, latency=latency, seed=seed, until=int(time())))
        note(f"a sandbox with {tickets:,} invented tickets runs at {sandbox.url}, {latency:g} s per answer")
        client = await stack.enter_async_context(sandbox.client())
        tour = Tour(client, sandbox)
        await tour.export(tickets, output)
        await tour.read_moving()
        await tour.close_pending(closes)
        await tour.create_and_comment()
    code = _told(tour.facts, tour.complaints, output, called)
    print_heading("try next")
    words = _NEXT.format(output=shlex.quote(str(output)), id=tour.known_id, workorder=_as_called())
    out().print(words if str(output) == called else words.partition("\n")[2], soft_wrap=True)
    return code


async def _hostile_demo(tickets: int, output: Path, called: str, *, closes: int, seed: int) -> int:
    async with AsyncExitStack() as stack:
        with err().status(f"making {tickets:,} tickets ..."):
            sandbox = await stack.enter_async_context(hostile_sandbox(tickets, seed))
        note(f"a hostile sandbox with {tickets:,} invented tickets runs at {sandbox.url}, by seed {seed}")
        client = await stack.enter_async_context(hostile_client(sandbox))
        tour = HostileTour(client, sandbox, tickets)
        await tour.export(output)
        await tour.close_pending(closes)
        await tour.create_and_comment()
        tour.conclude()
    return _told([("seed", str(seed)), *tour.facts], tour.complaints, output, called)


def _told(facts: list[tuple[str, str]], complaints: list[str], output: Path, called: str) -> int:
    """Print facts and complaints, and return the exit code. A file that is copied is `called` by where it goes."""
    print_heading("what happened")
    if str(output) != called:
        facts = [(name, text.replace(str(output), called)) for name, text in facts if name != "parquet"]
    print_fields(facts)
    for complaint in complaints:
        note(f"workorder: {complaint.replace(str(output), called)}")
    return 1 if complaints else 0


def _as_called() -> str:
    """Return the command's name, or where that would not be found, the path by which it was called."""
    path = sys.argv[0]
    return shlex.quote(path) if Path(path).name == "workorder" and not shutil.which("workorder") else "workorder"
