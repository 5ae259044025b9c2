"""How `close`, `comment` and `reject` go about their tickets: show, ask, carry out, report."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workorder_async.cli.batches.choosing import BatchOptions, Change, Choice, Chosen, read_choice, unread
from workorder_async.cli.connection import Connection
from workorder_async.cli.failures import FAILED, OK, UNKNOWN, sentence
from workorder_async.cli.interrupting import PATIENCE
from workorder_async.cli.terminal.asking import ask, can_ask
from workorder_async.cli.terminal.output import err, note, one_line, out, write_json
from workorder_async.cli.terminal.progress import Bar
from workorder_async.cli.terminal.running import each, run
from workorder_async.errors import ConfigError, JournalError, OutcomeUnknownError
from workorder_async.models import CloseTicket, CommentTicket, RejectTicket
from workorder_async.protocol.codec import encode

if TYPE_CHECKING:
    from workorder_async.batches.outcomes import Outcome
    from workorder_async.cli.batches.tally import Tally
    from workorder_async.client.client import WorkorderClient

_ROWS_SHOWN: Final = 20
_OPERATIONS: Final = {CloseTicket: "close_ticket", CommentTicket: "comment_ticket", RejectTicket: "reject_ticket"}


async def _as_it_is(client: "WorkorderClient", changes: list[Change]) -> Sequence[Change]:
    """Add nothing to the changes."""
    return changes


@frozen(kw_only=True)
class Task:
    """What is to be done to each ticket."""

    name: str
    """What makes two runs the same batch, for the journal: "close as 40084 田金秀"."""
    doing: str
    """For the bar: "closing"."""
    done: str
    """For a ticket's line: "closed"."""
    change: Callable[[Chosen], Change]
    """Makes the change of a ticket."""
    needs_creator: bool = False
    """Whether each ticket's creator must be read."""
    finish: Callable[["WorkorderClient", list[Change]], Awaitable[Sequence[Change]]] = _as_it_is
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
    if options.dry_run:
        return _show_only(task, chosen, as_json=options.json)
    if not choice.named:
        _print_table(err(), task, chosen)
    if asks and ask(f"{task.name}: {_tickets(len(chosen))}? [y/N]").strip().lower() not in ("y", "yes"):
        raise ConfigError("not confirmed; nothing was sent")
    return run(_carry_out(new_client(), task, chosen, options, named=choice.named))


def _tickets(number: int) -> str:
    return f"{number:,} ticket" if number == 1 else f"{number:,} tickets"


# What would happen


def _show_only(task: Task, chosen: list[Chosen], *, as_json: bool) -> int:
    """Print what would be done to each ticket, and return the exit code of a dry run."""
    if as_json:
        write_json(
            {"operation": _OPERATIONS[type(change)], "request": encode(change)}
            for change in (task.change(one) for one in chosen if one.error is None)
        )
    else:
        _print_table(out(), task, chosen)
    unreadable = [one for one in chosen if one.error is not None]
    for one in unreadable if as_json else ():
        note(f"workorder: {_row(task, one)[1]}")
    note("a dry run: nothing was changed")
    return FAILED if unreadable else OK


def _print_table(console: Console, task: Task, chosen: list[Chosen]) -> None:
    """Print the first tickets and what would be done to each; without a terminal, separated by tabs."""
    rows = [_row(task, one) for one in islice(chosen, _ROWS_SHOWN)]
    if console.is_terminal:
        table = Table(box=None, expand=True, padding=(0, 2, 0, 0))
        # What is confirmed must be seen: the numbers keep their width, and the texts are cut.
        table.add_column("id", width=max(len(id) for id, _, _ in rows), no_wrap=True)
        table.add_column("what would be done", ratio=1, no_wrap=True)
        table.add_column("title", ratio=2, no_wrap=True)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
    else:
        console.file.writelines("\t".join(row) + "\n" for row in rows)
        console.file.flush()
    more = len(chosen) - len(rows)
    note(f"{'... and ' + format(more, ',') + ' more, ' if more else ''}{_tickets(len(chosen))} in all")


def _row(task: Task, one: Chosen) -> tuple[str, str, str]:
    """Return the cells of a ticket: its number, what would be done to it, its title."""
    if one.error is not None:
        what = f"nothing, for it cannot be read: {sentence(one.error)}"
    else:
        what = words(task.change(one))
    return str(one.id), one_line(what), one_line(one.title)


def words(change: Change) -> str:
    """Say what a change does."""
    match change:
        case CloseTicket():
            return f"close as {change.closer_id} {change.closer_name}"
        case CommentTicket():
            return f"comment{_line(change.productGroupId)}: {change.detail}"
        case RejectTicket():
            return f"reject{_line(change.productGroupId)}{f': {change.detail}' if change.detail else ''}"


def _line(product_group_id: int | None) -> str:
    """Say which product line acts, where one was named."""
    return "" if product_group_id is None else f" as product line {product_group_id}"


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
        bar = Bar(task.doing, shown=not named and not (to_terminal and options.json))
        tally = Tally(
            done=task.done,
            bar=bar,
            expected=len(chosen),
            as_json=options.json,
            lines=named or not to_terminal,
            journal=options.journal,
        )
        batch = run_batch(
            client,
            _finished(client, task, changes, rest, tally),
            concurrency=options.concurrency,
            journal=options.journal,
            name=task.name,
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
    client: "WorkorderClient", task: Task, changes: list[Change], rest: Iterator[Change], tally: "Tally"
) -> "AsyncGenerator[Change]":
    """Finish the changes when the first one is asked for, then yield them; `rest` keeps those not yielded yet."""
    for change in await task.finish(client, changes):
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
