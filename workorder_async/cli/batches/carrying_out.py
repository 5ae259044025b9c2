"""How `close`, `comment` and `reject` go about their tickets: show, ask, carry out, report."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, frozen
from rich.cells import cell_len
from rich.console import Console
from rich.table import Column

from workorder_async.batches.keys import identity_of
from workorder_async.batches.outcomes import Outcome, State
from workorder_async.batches.records import Records, read_records
from workorder_async.cli.batches.choosing import BatchOptions, Change, Choice, Chosen, read_each, read_matching
from workorder_async.cli.batches.tally import Complaints, Tally
from workorder_async.cli.connection import Connection, Platform
from workorder_async.cli.failures import FAILED, OK, UNKNOWN, USAGE, sentence
from workorder_async.cli.running import PATIENCE
from workorder_async.cli.terminal import Bar, can_ask, confirms, err, moment, note, out, print_table, whole, write_json
from workorder_async.document import TicketQuery
from workorder_async.document.codec import encode
from workorder_async.errors import ConfigError, JournalError, OutcomeUnknownError
from workorder_async.mutations.kinds import MutationKind, key_of, kind_of, words_of
from workorder_async.tasks import for_each

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

_ROWS_SHOWN: Final = 20
_TITLE_WIDTH: Final = 8
_OUTAGE: Final = 300.0
_LOOKS_AT_ONCE: Final = 16
_HEADER: Final = ("id", "status", "age", "what would be done", "title")


@frozen(kw_only=True)
class Task:
    """What is to be done to each ticket."""

    kind: MutationKind[Any]
    """The row of the mutation."""
    name: str
    """The name of the batch, for the journal and for the question: "close as 40084 田金秀"."""
    change: Callable[[Chosen], Change]
    """Makes the change of a ticket."""
    needs_creator: bool = False
    """Whether each ticket's creator must be read."""
    mark: bool = False
    """Whether each text gets a mark below it."""
    finish: Callable[["WorkorderClient", list[Any]], Awaitable[Sequence[Change]]] | None = None
    """Adds uploads and the like to the changes, just before they are sent; None for nothing."""


def carry_out(task: Task, choice: Choice, options: BatchOptions, connection: Connection) -> int:
    """Do a task to the tickets of a choice, and return the exit code.

    Where somebody must be asked and nobody is there, it raises `ConfigError` before anything is sent.
    """
    asks = not (choice.named or options.yes or options.dry_run)
    if asks and not can_ask():
        raise ConfigError("nobody is there to be asked", mend="add --yes, or look first with --dry-run")
    chosen = [Chosen(id) for id in choice.ids]
    # A mistake in an option is found before anything is read.
    task.change(evolve(chosen[0] if chosen else Chosen(1), creator="?"))
    platform, queries = connection.platform(), choice.queries
    if queries:
        queries, chosen = platform.run(lambda client: read_matching(client, choice))
    elif task.needs_creator:
        chosen = platform.run(lambda client: _read_creators(client, task, choice.ids, options))
    if not chosen:
        note(f"no ticket matches on {_place(platform, queries)}" if queries else "--from names no ticket")
        return OK
    if task.needs_creator:
        nobody = ConfigError("the platform does not say who created it", mend="use --closer-name")
        chosen = [one if one.error or one.creator.strip() else evolve(one, error=nobody) for one in chosen]
    chosen = _within_limit(chosen, options, task.change)
    if not chosen:
        note("the limit is reached; nothing was sent")
        return OK
    place = _place(platform, queries, task.change(evolve(chosen[0], creator="?")))
    place += ", each with a mark below its text" if task.mark else ""
    if options.dry_run:
        return _show_only(task, chosen, place, as_json=options.json)
    if asks and not queries and not task.needs_creator:
        first = [one.id for one in chosen[:_ROWS_SHOWN]]
        read = platform.run(lambda client: read_each(client, first, _ROWS_SHOWN))
        # A ticket that cannot be read may be changed all the same.
        chosen[: len(first)] = [Chosen(one.id) if one.error else one for one in read]
    if not choice.named:
        print_chosen(err(), chosen, task.change)
    if asks and not confirms(f"{task.name}: {_tickets(len(chosen))} on {place}?"):
        note("workorder: not confirmed; nothing was sent")
        return USAGE
    return platform.run(lambda client: _carry_out(client, task, chosen, options, place, named=choice.named))


async def _read_creators(client: "WorkorderClient", task: Task, ids: Sequence[int], how: BatchOptions) -> list[Chosen]:
    """Read each ticket, but for those whose creator this batch's journal tells. What was refused is read again."""
    known: dict[int, Chosen] = {}
    if how.journal is not None:
        records = await asyncio.to_thread(read_journal, how.journal, may_be_new=True)
        if records.identity == identity_of(iter(()), client.base_url, task.name):
            for id in ids:
                record = records.by_key.get(key_of(task.change(Chosen(id, creator="?"))))
                if record is not None and record.state is not State.REJECTED and "closer_name" in record.mutation:
                    creator, said = str(record.mutation["closer_name"]), f"{record.state.value}, says the journal"
                    known[id] = Chosen(id, creator=creator, status=said)
    read = await read_each(client, [id for id in ids if id not in known], how.concurrency)
    known |= {one.id: one for one in read}
    return [known[id] for id in ids]


def _place(platform: Platform, queries: Sequence[TicketQuery], change: Change | None = None) -> str:
    """Say on which platform a batch acts, and the moments that its times came to."""
    start, end = (queries[0].created_start, queries[0].created_end) if queries else (None, None)
    solution = None if change is None else kind_of(change).solution(change)
    solved = None if solution is None else solution[0]
    times = (("created since", start), ("created until", end), ("solved", solved))
    said = (f", {what} {moment(at)}" for what, at in times if at is not None)
    return f"{platform}{''.join(said)}"


# What would happen


def print_chosen(console: Console, chosen: Sequence[Chosen], change: Callable[[Chosen], Change]) -> None:
    """Print the first tickets and the change of each."""
    rows = [row_of(one, change) for one in chosen[:_ROWS_SHOWN]]
    # People confirm what they see, so that of long texts the title is cut first.
    longest = max(len(_HEADER[3]), *(cell_len(row[3]) for row in rows))
    what = Column(_HEADER[3], width=min(longest, console.width * 2 // 5), no_wrap=True)
    title = Column(_HEADER[4], min_width=_TITLE_WIDTH, ratio=1, no_wrap=True)
    print_table((*map(whole, _HEADER[:3]), what, title), rows, head=console.is_terminal, console=console)
    more = len(chosen) - len(rows)
    note(f"{f'... and {more:,} more, ' if more else ''}{_tickets(len(chosen))} in all")


def row_of(one: Chosen, change: Callable[[Chosen], Change]) -> tuple[str, ...]:
    """Return the cells of a ticket: its number, status, age, change and title."""
    what = words_of(change(one)) if one.error is None else f"nothing, for it cannot be read: {sentence(one.error)}"
    seconds = max(0, int(time()) - one.created)
    size, unit = (86400, "d") if seconds >= 86400 else (3600, "h") if seconds >= 3600 else (60, "min")
    age = f"{seconds // size}{unit}" if one.created else ""
    return str(one.id), one.status, age, what, one.title


def _tickets(number: int) -> str:
    return f"{number:,} ticket" if number == 1 else f"{number:,} tickets"


def _show_only(task: Task, chosen: list[Chosen], place: str, *, as_json: bool) -> int:
    """Print the change of each ticket, and return the exit code of a dry run."""
    complaints, operation = Complaints(), task.kind.endpoint.operation
    for one in chosen:
        if one.error is not None:
            complaints.add(one.id, one.error)
    if as_json:
        changes = (task.change(one) for one in chosen if one.error is None)
        write_json({"operation": operation, "request": encode(change)} for change in changes)
        for line in complaints.lines():
            note(f"workorder: cannot be read: {line}")
    else:
        print_chosen(out(), chosen, task.change)
    note(f"a dry run on {place}: nothing was changed")
    return OK if all(one.error is None for one in chosen) else FAILED


# --limit


def read_journal(journal: Path, *, may_be_new: bool = False) -> Records:
    """Read a journal. Raises `ConfigError` for a file that is none."""
    try:
        return read_records(journal, may_be_new=may_be_new)
    except JournalError as error:
        raise ConfigError(str(error)) from None


def _counted(journal: Path | None) -> set[str]:
    """Return the changes that a journal says were done, or may have been. Raises `ConfigError` for another file."""
    by_key = {} if journal is None else read_journal(journal, may_be_new=True).by_key
    return {key for key, record in by_key.items() if record.counts}


def _is_allowed(change: Change, counted: set[str], limit: int) -> bool:
    """Tell whether a limit lets a change be made, and count it; a change that is counted already is free."""
    key = key_of(change)
    if key not in counted and len(counted) >= limit:
        return False
    counted.add(key)
    return True


def _within_limit(chosen: list[Chosen], options: BatchOptions, change: Callable[[Chosen], Change]) -> list[Chosen]:
    """Return the tickets that --limit lets be changed, and say how many it leaves out."""
    if options.limit is None:
        return chosen
    counted = _counted(options.journal)
    by_journal = f", of which the journal counts {len(counted):,}" if counted else ""
    # A ticket that cannot be read is not changed, and is only told.
    kept = [one for one in chosen if one.error is not None or _is_allowed(change(one), counted, options.limit)]
    if len(kept) < len(chosen):
        note(f"--limit {options.limit:,}{by_journal}: {len(chosen) - len(kept):,} of {len(chosen):,} are left out")
    return kept


# The batch


async def _carry_out(
    client: "WorkorderClient", task: Task, chosen: list[Chosen], options: BatchOptions, place: str, *, named: bool
) -> int:
    from workorder_async.batches.batch import run_batch

    to_terminal = sys.stdout.isatty()
    changes = [task.change(one) for one in chosen if one.error is None]
    bar = Bar(task.kind.doing, shown=not named and not (to_terminal and options.json))
    lines, done = named or not to_terminal, task.kind.done
    tally = Tally(done=done, place=place, bar=bar, expected=len(chosen), lines=lines, options=options)
    batch = run_batch(
        client,
        _finished(client, task, changes, tally),
        concurrency=options.concurrency,
        journal=options.journal,
        mark=task.mark,
        name=task.name,
        stop_after=options.stop_after or None,
        report=tally,
        # Who named tickets sits and waits.
        outage=0.0 if named else _OUTAGE,
        patience=PATIENCE,
    )
    try:
        with _told(tally, changes, quiet=named and len(chosen) == 1), bar:
            for one in chosen:
                if one.error is not None:
                    tally.note(Outcome(task.change(evolve(one, creator="?")), State.NOT_SENT, one.error))
            await _to_its_end(batch, client, tally)
    except asyncio.CancelledError:
        if tally.untouched:
            note("workorder: no ticket was changed")
        # Of one ticket the exit code can tell.
        if not (named and len(chosen) == 1 and tally.code == UNKNOWN):
            raise
    return tally.code


@contextmanager
def _told(tally: Tally, changes: Sequence[Change], *, quiet: bool) -> Iterator[None]:
    """Report on the tickets, however the block ends."""
    try:
        yield
    except JournalError as error:
        if tally.untouched:
            raise ConfigError(str(error)) from None
        tally.stopped = sentence(error)
    finally:
        if not tally.untouched:
            tally.take_rest(changes[tally.begun :])
            tally.print_report(quiet=quiet)


async def _finished(
    client: "WorkorderClient", task: Task, changes: list[Change], tally: Tally
) -> AsyncGenerator[Change]:
    """Finish the changes when the first one is asked for, then yield them."""
    limit = tally.options.limit
    # The journal is locked by now. While somebody was asked, another run may have used up some of the limit.
    counted = set[str]() if limit is None else await asyncio.to_thread(_counted, tally.options.journal)
    for change in changes if task.finish is None else await task.finish(client, changes):
        if limit is not None and not _is_allowed(change, counted, limit):
            tally.stopped = f"--limit {limit:,} is reached, for another run with this journal went on meanwhile"
            return
        tally.watch(change)
        yield change


async def _to_its_end(batch: AsyncGenerator[Outcome, None], client: "WorkorderClient", tally: Tally) -> None:
    """Let a batch run. An interruption is told at once, and passed on when the requests under way have ended."""

    async def exhaust() -> None:
        async with aclosing(batch):
            async for _ in batch:
                pass

    async def look(outcome: Outcome) -> None:
        error = outcome.error
        if isinstance(error, OutcomeUnknownError) and await error.verify(client):
            tally.cut_short.remove(outcome)
            tally.note(evolve(outcome, state=State.DONE, error=None))

    running = asyncio.create_task(exhaust())
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        note(f"workorder: waiting up to {PATIENCE:.0f} s for what is under way; Ctrl-C again does not wait")
        tally.interrupted = True
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        # A change that is not there may still come: it stays in `cut_short`.
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await for_each(list(tally.cut_short), look, at_once=_LOOKS_AT_ONCE)
        raise
