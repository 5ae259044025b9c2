"""How `close`, `comment` and `reject` go about their tickets: show, ask, carry out, report."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from workorder_async.cli.batches.choosing import (
    BatchOptions,
    Change,
    Choice,
    Chosen,
    read_choice,
    read_first,
    unread,
)
from workorder_async.cli.batches.complaints import Complaints
from workorder_async.cli.batches.limiting import Allowance, within_limit
from workorder_async.cli.batches.showing import ROWS_SHOWN, print_table, tickets
from workorder_async.cli.connection import Connection
from workorder_async.cli.failures import FAILED, OK, UNKNOWN, sentence
from workorder_async.cli.interrupting import PATIENCE
from workorder_async.cli.terminal.asking import ask, can_ask
from workorder_async.cli.terminal.output import err, note, out, write_json
from workorder_async.cli.terminal.progress import Bar
from workorder_async.cli.terminal.running import each, run
from workorder_async.document.codec import encode
from workorder_async.errors import ConfigError, JournalError, OutcomeUnknownError
from workorder_async.mutations.kinds import MutationKind, kind_of

if TYPE_CHECKING:
    from workorder_async.batches.outcomes import Outcome
    from workorder_async.cli.batches.tally import Tally
    from workorder_async.client import WorkorderClient


async def _as_it_is(client: "WorkorderClient", changes: list[Change]) -> Sequence[Change]:
    """Add nothing to the changes."""
    return changes


@frozen(kw_only=True)
class Task:
    """What is to be done to each ticket."""

    kind: MutationKind[Any]
    """The row of the mutation."""
    name: str
    """What makes two runs the same batch, for the journal: "close as 40084 田金秀"."""
    change: Callable[[Chosen], Change]
    """Makes the change of a ticket."""
    needs_creator: bool = False
    """Whether each ticket's creator must be read."""
    finish: Callable[["WorkorderClient", list[Any]], Awaitable[Sequence[Change]]] = _as_it_is
    """Adds to the changes what needs the platform, such as uploads, just before they are sent."""


def carry_out(task: Task, choice: Choice, options: BatchOptions, connection: Connection) -> int:
    """Do a task to the tickets of a choice, and return the exit code.

    Where somebody must be asked and nobody is there, it raises `ConfigError` before anything is sent.
    """
    asks = not (choice.named or options.yes or options.dry_run)
    if asks and not can_ask():
        raise ConfigError("nobody is there to be asked; add --yes, or look first with --dry-run")
    chosen = unread(choice)
    # What is wrong with an option is found before anything is read.
    task.change(evolve(chosen[0] if chosen else Chosen(1), creator="?"))
    new_client = connection.clients()
    if choice.queries or task.needs_creator:
        concurrency = options.concurrency
        chosen = run(read_choice(new_client(), choice, creators=task.needs_creator, concurrency=concurrency))
    if not chosen:
        note("no ticket matches" if choice.queries else "--from names no ticket")
        return OK
    chosen = within_limit(chosen, options, task.change)
    if not chosen:
        note("the limit is reached; nothing was sent")
        return OK
    if options.dry_run:
        return _show_only(task, chosen, as_json=options.json)
    if asks and not choice.queries and not task.needs_creator:
        chosen = run(read_first(new_client(), chosen, ROWS_SHOWN))
    if not choice.named:
        print_table(err(), chosen, task.change)
    if asks and ask(f"{task.name}: {tickets(len(chosen))}? [y/N]").strip().lower() not in ("y", "yes"):
        raise ConfigError("not confirmed; nothing was sent")
    return run(_carry_out(new_client(), task, chosen, options, named=choice.named))


# What would happen


def _show_only(task: Task, chosen: list[Chosen], *, as_json: bool) -> int:
    """Print what would be done to each ticket, and return the exit code of a dry run."""
    if as_json:
        write_json(
            {"operation": kind_of(change).endpoint.operation, "request": encode(change)}
            for change in (task.change(one) for one in chosen if one.error is None)
        )
    else:
        print_table(out(), chosen, task.change)
    complaints = Complaints()
    for one in chosen:
        if one.error is not None:
            complaints.add(one.id, one.error)
    for line in complaints.lines() if as_json else ():
        note(f"workorder: cannot be read: {line}")
    note("a dry run: nothing was changed")
    return OK if all(one.error is None for one in chosen) else FAILED


# The batch


async def _carry_out(
    client: "WorkorderClient", task: Task, chosen: list[Chosen], options: BatchOptions, *, named: bool
) -> int:
    """Run the batch, tell each outcome, and return the exit code."""
    from workorder_async.batches.batch import run_batch
    from workorder_async.cli.batches.tally import Tally

    to_terminal = sys.stdout.isatty()
    changes = [task.change(one) for one in chosen if one.error is None]
    rest = iter(changes)
    async with client:
        bar = Bar(task.kind.doing, shown=not named and not (to_terminal and options.json))
        tally = Tally(
            done=task.kind.done,
            bar=bar,
            expected=len(chosen),
            as_json=options.json,
            lines=named or not to_terminal,
            journal=options.journal,
        )
        batch = run_batch(
            client,
            _finished(client, task, changes, rest, tally=tally, options=options),
            concurrency=options.concurrency,
            journal=options.journal,
            name=task.name,
            stop_after=options.stop_after or None,
            report=tally,
            patience=PATIENCE,
        )
        try:
            with _told(tally, rest, quiet=named), bar:
                tally.take_unreadable((task.change(evolve(one, creator="?")), one.error) for one in chosen if one.error)
                await _to_its_end(batch, client, tally)
        except asyncio.CancelledError:
            if tally.untouched:
                note("workorder: no ticket was changed")
            # Of one ticket the exit code can tell.
            if not (named and len(chosen) == 1 and tally.code == UNKNOWN):
                raise
    return tally.code


@contextmanager
def _told(tally: "Tally", rest: Iterator[Change], *, quiet: bool) -> Iterator[None]:
    """Tell what became of the tickets, however the block ends."""
    try:
        yield
    except JournalError as error:
        if tally.untouched:
            raise ConfigError(str(error)) from None
        tally.stopped = sentence(error)
    except BrokenPipeError:
        tally.stopped, tally.silent = "the reader of the output went away", True
        raise
    finally:
        if not tally.untouched:
            tally.take_rest(rest)
            tally.print_report(quiet=quiet)


async def _finished(
    client: "WorkorderClient",
    task: Task,
    changes: list[Change],
    rest: Iterator[Change],
    *,
    tally: "Tally",
    options: BatchOptions,
) -> "AsyncGenerator[Change]":
    """Finish the changes when the first one is asked for, then yield them; `rest` keeps those not yielded yet."""
    allowance = None
    if options.limit is not None:
        # The journal is locked by now. While somebody was asked, another run may have used up some of the limit.
        allowance = await asyncio.to_thread(Allowance.of, options.limit, options.journal)
    for change in await task.finish(client, changes):
        if allowance is not None and not allowance.take(change):
            tally.stopped = f"--limit {options.limit:,} is reached, for another run with this journal went on meanwhile"
            return
        next(rest)
        tally.watch(change)
        yield change


async def _to_its_end(batch: "AsyncGenerator[Outcome, None]", client: "WorkorderClient", tally: "Tally") -> None:
    """Let a batch run. An interruption is told at once, and passed on when what was under way has ended."""

    async def exhaust() -> None:
        async with aclosing(batch):
            async for _ in batch:
                pass

    running = asyncio.create_task(exhaust())
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        note(f"workorder: waiting up to {PATIENCE:.0f} s for what is under way; Ctrl-C again does not wait")
        tally.interrupted = True
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await _look(client, tally)
        raise


async def _look(client: "WorkorderClient", tally: "Tally") -> None:
    """Look for what was under way and got no answer; what is not there may still come, and stays in `cut_short`."""
    from workorder_async.batches.outcomes import State

    async def look(outcome: "Outcome") -> None:
        error = outcome.error
        if isinstance(error, OutcomeUnknownError) and await error.verify(client):
            tally.cut_short.remove(outcome)
            tally.note(evolve(outcome, state=State.DONE, error=None))

    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await each(list(tally.cut_short), look)
