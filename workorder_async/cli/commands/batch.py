"""`workorder close`, `comment` and `reject`, for one ticket or many.

Each command makes a `Task`, which turns a chosen ticket into its change (a mutation), and `carry_out` takes the steps
to its batch. `Tally` runs the batch and is its report: each outcome, and in the end the counts and a way to go on.
"""

import asyncio
import sys
from collections import Counter, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, aclosing, suppress
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Final, TypeAlias

from attrs import define, evolve, field, frozen
from cyclopts import Group, Parameter, types, validators

from workorder_async.batches.journal_file import Records, read_records
from workorder_async.batches.outcomes import BatchReport, Outcome, State
from workorder_async.cli.chosen import Change, Chosen, chosen_by, print_chosen, read_each, read_first, read_matching
from workorder_async.cli.commands.create import Author, Files, refuse_author_of_nothing, upload_all
from workorder_async.cli.connection import PATIENCE, Client, Connection, run_with
from workorder_async.cli.failures import FAILED, OK, UNKNOWN, USAGE, Complaints, as_json, note_in_chinese, sentence
from workorder_async.cli.filters import PAGE_SIZE_HELP, TicketFilters
from workorder_async.cli.terminal import Bar, can_ask, confirms, moment, note, out, tell, write_json
from workorder_async.cli.values import MARK, TIME_HELP, Time, Whole, YesNo, text_or_stdin
from workorder_async.document import JSON, CloseTicket, CommentTicket, RejectTicket, TicketQuery
from workorder_async.document.codec import encode
from workorder_async.errors import ConfigError, JournalError, OutcomeUnknownError
from workorder_async.mutations.kinds import MutationKind, key_of, kind_of, ticket_id_of, words_of
from workorder_async.tasks import for_each

# Seconds that a batch waits for a platform that is away, unless each ticket was named on the command line.
_OUTAGE: Final = 300.0
# The end of an outcome's line on stdout. Other states have no such line: they are failures, told in the report.
_SUFFIXES: Final = {State.DONE: "", State.ALREADY: " already", State.SKIPPED: ", as the journal says"}

_SOLVED: Final = f"When the customer confirmed the solution, by this machine's clock: {TIME_HELP}."
_IDS: Final = Parameter(name="IDS", help="The tickets' numbers; or use --from, or filters.")
_TicketNumbers: TypeAlias = Annotated[tuple[Whole, ...], _IDS]


@Parameter(name="*", group=Group("Batch", sort_key=4))
@frozen(kw_only=True)
class BatchOptions:
    """How many tickets are changed by one command, which ones, and where."""

    source: Annotated[str | None, Parameter(name="--from")] = None
    """A file of tickets, - for stdin: a number on each line, # begins a remark; TSV, CSV or a sheet of .xlsx with a
    column id (or 工单ID); the JSON of `list --json` and `export`."""
    dry_run: bool = False
    """Show what would be done, and change nothing."""
    yes: bool = False
    """Do not ask before tickets of --from or of filters are changed."""
    journal: types.File | None = None
    """A file that remembers what was done: run again with it, and it goes on."""
    limit: Annotated[Whole | None, Parameter(validator=validators.Number(gte=1))] = None
    """Change so many tickets at most. With --journal, this is for all runs together: a ticket counts if it was changed,
    was closed or rejected before, or is unknown there."""
    stop_after: Annotated[Whole, Parameter(validator=validators.Number(gte=0))] = 20
    """Stop after so many failures in a row; 0 for never."""
    concurrency: Annotated[Whole, Parameter(validator=validators.Number(gte=1, lte=10_000))] = 16
    """Requests in flight at once, at most."""
    page_size: Annotated[Whole, Parameter(help=PAGE_SIZE_HELP)] = 100
    json: bool = False
    """Print one JSON object per ticket."""
    filters: TicketFilters = TicketFilters()
    connection: Connection = Connection()

    def text(self, detail: str) -> str:
        """Return the text of --detail, or of stdin for `-`. Raises `ConfigError` where --from takes that."""
        if detail == self.source == "-":
            problem = "--detail - and --from - cannot go together"
            raise ConfigError(problem, mend="there is one stdin: put one into a file")
        return text_or_stdin(detail, "--detail")


@Parameter(name="*")
@frozen(kw_only=True)
class Closing:
    """The closer, the time, the remark and the files of closes."""

    closer_id: Whole
    """Your staff number in the address book (通讯录工号), which no ticket tells."""
    closer_name: str | None = None
    """Your name; only a ticket's creator may close it."""
    as_creator: bool = False
    """Instead of --closer-name: each ticket's creator, as the platform names him or her."""
    solved_time: Annotated[str, Parameter(help=_SOLVED)] = "now"
    detail: str | None = None
    """A remark; - reads it from stdin."""
    is_solved: YesNo = None
    """The cause was found (是否已定位原因)."""
    attach: Files = ()
    author: Author = None


def close(ids: _TicketNumbers = (), /, *, how: Closing, batch: BatchOptions = BatchOptions()) -> int:
    """Close tickets: by number, those in a file, or those that match filters; each once.

    Tickets of a file or of filters are shown first, and closed when you confirm. A ticket that was closed before is no
    failure. Exits with 1 where a ticket was refused or not sent, with 3 where an outcome is unknown.
    """
    if (how.closer_name is None) is not how.as_creator:
        raise ConfigError("say who closes: either --closer-name, or --as-creator for each ticket's creator")
    refuse_author_of_nothing(how.attach, how.author)
    remark = None if how.detail is None else batch.text(how.detail)
    sample = CloseTicket(
        id=1,
        closer_id=how.closer_id,
        # The journal keeps it in the batch's name: another word would make every old journal that of another batch.
        closer_name="the creator" if how.closer_name is None else how.closer_name,
        solved_time=Time(how.solved_time, "--solved-time").moment(),
        detail=remark,
        is_solved=how.is_solved,
    )
    task = Task(sample, needs_creator=how.as_creator, attach=how.attach, author=how.author)
    return carry_out(task, ids, batch)


def comment(
    ids: _TicketNumbers = (),
    /,
    *,
    detail: Annotated[str, Parameter(help="The comment's text; - reads it from stdin.")],
    as_product_group: Annotated[Whole | None, Parameter(help="The product line that speaks.")] = None,
    mark: Annotated[bool, MARK] = False,
    batch: BatchOptions = BatchOptions(),
) -> int:
    """Comment on tickets: by number, those in a file, or those that match filters; on each once.

    Tickets of a file or of filters are shown first, and commented on when you confirm. Exits with 1 where a comment was
    refused or not sent, with 3 where an outcome is unknown.
    """
    sample = CommentTicket(id=1, detail=batch.text(detail), productGroupId=as_product_group)
    return carry_out(Task(sample, mark=mark), ids, batch)


def reject(
    ids: _TicketNumbers = (),
    /,
    *,
    detail: Annotated[str | None, Parameter(help="The reason; - reads it from stdin.")] = None,
    as_product_group: Annotated[Whole | None, Parameter(help="The product line that rejects.")] = None,
    batch: BatchOptions = BatchOptions(),
) -> int:
    """Reject tickets on behalf of a product line: by number, those in a file, or those that match filters; each once.

    Tickets of a file or of filters are shown first, and rejected when you confirm. A ticket that this product line, or
    each of its lines, rejected before is no failure. Exits with 1 where a rejection was refused or not sent, with 3
    where an outcome is unknown.
    """
    text = None if detail is None else batch.text(detail)
    return carry_out(Task(RejectTicket(id=1, detail=text, productGroupId=as_product_group)), ids, batch)


# The steps of all three commands


@frozen
class Task:
    """The work of one command: the change of each ticket, and what else that takes."""

    sample: Change
    """The change of an invented ticket. A command makes it before anything is read, which checks the options."""
    needs_creator: bool = False
    """Whether each ticket is closed as its creator, who must be read."""
    mark: bool = False
    """Whether each text gets a mark below it."""
    attach: Sequence[Path] = ()
    """Files that are uploaded just before the first change is sent, once for all of them."""
    author: int | None = None
    """Who uploads them; None for whom the platform names."""

    @property
    def kind(self) -> MutationKind[Any]:
        """The kind of the changes."""
        return kind_of(self.sample)

    @property
    def name(self) -> str:
        """The name of the batch, for the journal and for the question: "close as 40084 田金秀"."""
        return words_of(self.sample)

    def change(self, one: Chosen) -> Change:
        """Return the change of a ticket."""
        own: dict[str, Any] = {"closer_name": one.creator} if self.needs_creator else {}
        return evolve(self.sample, id=one.id, **own)

    def key(self, id: int) -> str:
        """Return the key of a ticket's change in a journal; it does not depend on the ticket's creator."""
        return key_of(evolve(self.sample, id=id))


def carry_out(task: Task, ids: Sequence[int], options: BatchOptions) -> int:
    """Do a task to tickets, named by their numbers or chosen by the options, and return the exit code.

    Raises, before anything is sent, `ConfigError` where a yes is needed and no terminal is there to ask on, and
    `JournalError` if the journal is of another batch or platform.
    """
    from workorder_async.batches.batch import identity_of

    is_named = bool(ids)
    ids, queries = chosen_by(ids, options.source, options.filters)
    asks = not (is_named or options.yes or options.dry_run)
    if asks and not can_ask():
        raise ConfigError("nobody is there to be asked", mend="add --yes, or look first with --dry-run")
    platform, make = options.connection.platform()
    records = Records(Path())
    if options.journal is not None:
        records = read_records(options.journal, may_be_new=True)
        records.refuse_other(identity_of(iter(()), make().base_url, task.name))
    found = [Chosen(id) for id in ids]
    if queries:
        queries, found = run_with(make(), lambda client: read_matching(client, options.filters, options.page_size))
    elif task.needs_creator:
        found = run_with(make(), lambda client: _read_creators(client, task, ids, options.concurrency, records))
    where = _with_times(platform, *queries[:1])
    place = _with_times(where, task.sample) + (", each with a mark below its text" if task.mark else "")
    if not found:
        note(f"no ticket matches on {where}" if queries else "--from names no ticket")
    kept = _within_limit(_as_known(found, task, records), options.limit, task, records)
    if options.dry_run:
        return _show_only(task, kept, place, records, as_json=options.json)
    if not kept:
        # A batch without tickets settles the journal's unknown changes by reading: it changes nothing, ask nobody.
        tally = Tally(task=task, chosen=(), options=options, place=where, named=False)
        return run_with(make(), tally.carry_out) if records.unknown else OK
    is_bare = asks and not queries and not task.needs_creator
    shown = run_with(make(), lambda client: read_first(client, kept)) if is_bare else kept
    if not is_named:
        print_chosen(out(stderr=True), shown, task.change)
    left = sum(not one.is_done for one in shown)
    if asks and left and not confirms(f"{task.name}: {left:,} ticket{'' if left == 1 else 's'} on {place}?"):
        note("workorder: not confirmed; nothing was sent")
        return USAGE
    tally = Tally(task=task, chosen=shown, options=options, place=place, named=is_named)
    return run_with(make(), tally.carry_out)


async def _read_creators(
    client: Client, task: Task, ids: Sequence[int], concurrency: int, records: Records
) -> list[Chosen]:
    """Return the tickets with their creators, from the journal where an earlier run put them there, else by reading."""
    known: dict[int, Chosen] = {}
    for id in ids:
        record = records.by_key.get(task.key(id))
        # A ticket whose close was refused is read again: its creator may have been wrong.
        if record is not None and record.state is not State.REJECTED and "closer_name" in record.mutation:
            creator, said = str(record.mutation["closer_name"]), f"{record.state.value}, says the journal"
            known[id] = Chosen(id, creator=creator, status=said)
    read = await read_each(client, [id for id in ids if id not in known], concurrency)
    known |= {one.id: one for one in read}
    return [known[id] for id in ids]


def _as_known(found: Sequence[Chosen], task: Task, records: Records) -> list[Chosen]:
    """Return the tickets, each with an error if its creator is needed and not known, else with its journal's state."""
    nobody = ConfigError("the platform does not say who created it", mend="use --closer-name")
    known = []
    for one in found:
        error = one.error or (nobody if task.needs_creator and not one.creator.strip() else None)
        record = records.by_key.get(task.key(one.id)) if records.by_key and not error else None
        known.append(evolve(one, error=error, journal_state=record.state if record else None))
    return known


def _with_times(platform: str, *of: TicketQuery | Change) -> str:
    """Name a platform and, after it, the moments that words such as "7d" or "now" came to in a query or a change."""
    words = {"created_start": "created since", "created_end": "created until", "solved_time": "solved"}
    times = ((what, getattr(one, name, None)) for one in of for name, what in words.items())
    return f"{platform}{''.join(f', {what} {moment(at)}' for what, at in times if at is not None)}"


def _show_only(task: Task, kept: Sequence[Chosen], place: str, records: Records, *, as_json: bool) -> int:
    """Print the change of each ticket, and return the exit code of a dry run."""
    if others := records.unknown - sum(one.journal_state is State.UNKNOWN for one in kept):
        note(f"changes with unknown outcomes in the journal, which the run looks for as well: {others:,}")
    if not kept:
        return OK
    if as_json:
        changes = (task.change(one) for one in kept if one.error is None and not one.is_done)
        write_json({"operation": task.kind.endpoint.operation, "request": encode(change)} for change in changes)
        complaints = Complaints()
        for one in kept:
            if one.error is not None:
                complaints.add(one.id, one.error)
        for line in complaints.lines():
            note(f"workorder: not changed: {line}")
    else:
        print_chosen(out(), kept, task.change)
    note(f"a dry run on {place}: nothing was changed")
    return OK if all(one.error is None for one in kept) else FAILED


def _is_allowed(key: str, counted: set[str], limit: int) -> bool:
    """Tell whether --limit allows a change, and add its key to `counted` then; a key that is in there takes no room."""
    if key not in counted and len(counted) >= limit:
        return False
    counted.add(key)
    return True


def _within_limit(found: list[Chosen], limit: int | None, task: Task, records: Records) -> list[Chosen]:
    """Return the tickets that --limit allows to change, and say on stderr how many it leaves out.

    Changes that the platform refused in an earlier run come last: else the same refused changes would use up the limit
    in each run, and the other tickets would never have their turn.
    """
    if limit is None:
        return found
    counted = records.lasting
    by_journal = f", of which the journal counts {len(counted):,}" if counted else ""
    in_turn = sorted(found, key=lambda one: one.journal_state is State.REJECTED)
    # A ticket with an error is not changed, so it takes no room; it stays, to be reported.
    kept = [one for one in in_turn if one.error is not None or _is_allowed(task.key(one.id), counted, limit)]
    if len(kept) < len(found):
        note(f"--limit {limit:,}{by_journal}: {len(found) - len(kept):,} of {len(found):,} are left out")
    if found and not kept:
        note("the limit is reached; nothing was sent")
    return kept


def _tell_hold(report: BatchReport, _: object, held: str) -> str:
    """Say why the batch is held back, once for each pause or outage: when `held` is set after it was empty."""
    if held and not report.held:
        note(f"workorder: held back: {held}")
    return held


@define(kw_only=True)
class Tally(BatchReport):
    """Runs the batch of a task, and is its report: prints each outcome when it comes, also after an interruption.

    A change is in `_waiting` until the batch takes it, and then in `_under_way` until its outcome is noted. So after an
    interruption or a broken journal each change still gets an outcome: unknown if it is under way, else not sent.
    """

    task: Task
    chosen: Sequence[Chosen]
    options: BatchOptions
    place: str
    """The platform that the batch acts on, for the report."""
    named: bool
    """Whether each ticket was named on the command line. Then somebody is waiting: an outage is not waited out."""
    held: str = field(default="", on_setattr=_tell_hold)
    _silent: bool = False  # whether a write to stdout failed, so that no further line goes there
    _interrupted: bool = False
    # By ticket: an unknown outcome of each change that is under way, after an interruption with its error.
    _under_way: dict[int, Outcome] = field(factory=dict)
    _complaints: Complaints = field(factory=Complaints)
    _waiting: deque[Change] = field(init=False)
    _bar: Bar = field(init=False)  # shown only after the uploads, which have bars of their own
    _until_end: ExitStack = field(factory=ExitStack)  # ends the bar when the batch ends

    def __attrs_post_init__(self) -> None:
        self._waiting = deque(self.task.change(one) for one in self.chosen if one.error is None)
        shown = not self.named and not (self.options.json and sys.stdout.isatty())
        self._bar = Bar(self.task.kind.doing, shown=shown)

    async def carry_out(self, client: Client) -> int:
        """Send the changes, print their outcomes, and return the exit code."""
        from workorder_async.batches.batch import run_batch

        batch = run_batch(
            client,
            self._changes_to_send(client),
            concurrency=self.options.concurrency,
            journal=self.options.journal,
            mark=self.task.mark,
            name=self.task.name,
            stop_after=self.options.stop_after or None,
            report=self,
            outage=0.0 if self.named else _OUTAGE,
            patience=PATIENCE,
        )
        try:
            with self._until_end:
                for one in self.chosen:
                    if one.error is not None:
                        self.note(Outcome(evolve(self.task.sample, id=one.id), State.NOT_SENT, one.error))
                await self._run_to_end(batch, client)
        except JournalError as error:
            if self._nothing_begun:
                raise
            self.stopped = sentence(error)
        except asyncio.CancelledError:
            if self._nothing_begun:
                note("workorder: no ticket was changed")
            # If an outcome is unknown, exit code 3 says more than the code of an interruption.
            if not (self._under_way or self.counts[State.UNKNOWN]):
                raise
        finally:
            if not self._nothing_begun:
                self._note_rest()
                self._print_report()
        if self.counts[State.UNKNOWN]:
            return UNKNOWN
        return OK if self.settled else FAILED

    async def _changes_to_send(self, client: Client) -> AsyncGenerator[Change]:
        """Yield the changes to the batch, which takes each when it can send it; upload their files before the first."""
        limit, counted = self.options.limit, set[str]()
        if limit is not None and (journal := self.options.journal) is not None:
            # The batch has locked the journal by now. Before, while the user was asked for a yes, another run with this
            # journal may have used up some of the limit: read it again.
            counted = (await asyncio.to_thread(read_records, journal, may_be_new=True)).lasting
        # No change, no upload: the files would belong to nothing.
        files = await upload_all(client, self.task.attach if self._waiting else (), self.task.author)
        own: dict[str, Any] = {"handle_attachment": files} if files else {}
        self._until_end.enter_context(self._bar)
        while self._waiting:
            if limit is not None and not _is_allowed(key_of(self._waiting[0]), counted, limit):
                self.stopped = f"--limit {limit:,} is reached, for another run with this journal went on meanwhile"
                return
            change = self._waiting.popleft()
            self._under_way[change.id] = Outcome(change, State.UNKNOWN)
            yield evolve(change, **own)

    async def _run_to_end(self, batch: AsyncGenerator[Outcome, None], client: Client) -> None:
        """Run the batch. After an interruption give the changes under way time to end, settle the lost ones, and raise.

        Only a change that is found is noted as done. A change that is not found may still come: it stays unknown.
        """

        async def exhaust() -> None:
            async with aclosing(batch):
                async for _ in batch:
                    pass

        async def verify(outcome: Outcome) -> None:
            error = outcome.error
            if isinstance(error, OutcomeUnknownError) and await error.verify(client):
                self.note(evolve(outcome, state=State.DONE, error=None))

        running = asyncio.create_task(exhaust())
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            note(f"workorder: waiting up to {PATIENCE:.0f} s for the changes under way; Ctrl-C again does not wait")
            self._interrupted = True
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await for_each(self._under_way.values(), verify, at_once=16)
            raise

    def note(self, outcome: Outcome) -> None:
        """Count an outcome, and print it. After an interruption keep an unknown one back: `_run_to_end` settles it."""
        id, done = ticket_id_of(outcome.mutation), self.task.kind.done
        if self._interrupted and outcome.state is State.UNKNOWN:
            self._under_way[id] = outcome
            return
        super().note(outcome)
        if outcome.error is not None and outcome.state not in _SUFFIXES:
            self._complaints.add(id, outcome.error)
        self._under_way.pop(id, None)
        if outcome.mark and outcome.state is State.UNKNOWN and not self.options.json:
            note(f"workorder: ticket {id} may be {done}: look for the mark {outcome.mark}")
        try:
            if self._silent:
                pass
            elif self.options.json:
                write_json([row(outcome)])
            elif outcome.state in _SUFFIXES and (self.named or not sys.stdout.isatty()):
                mark = f", mark {outcome.mark}" if outcome.mark else ""
                tell(f"{id} {done}{_SUFFIXES[outcome.state]}{mark}")
        except OSError as error:
            self._silent = True
            is_unread = isinstance(error, BrokenPipeError)
            self.stopped: str = "the reader of the output went away" if is_unread else f"stdout: {error.strerror}"
            raise
        self._bar(self.total, max(self.total, len(self.chosen)), in_words(self.counts))

    def _note_rest(self) -> None:
        """Note an outcome for each change without one: unknown if it is under way, not sent if it waits."""
        self._interrupted = False
        if self._under_way:
            ids = ", ".join(map(str, sorted(self._under_way)))
            note(f"workorder: cut short; not known to be {self.task.kind.done}: {ids}")
        for outcome in list(self._under_way.values()):
            self.note(outcome)
        for change in self._waiting:
            self.note(Outcome(change, State.NOT_SENT))

    @property
    def _nothing_begun(self) -> bool:
        """Whether the batch took no change and has no outcome."""
        return not self.total and not self._under_way

    @property
    def _is_of_one(self) -> bool:
        """Whether the batch is of a single ticket, named on the command line: its one line needs no counts below it."""
        return self.named and len(self.chosen) == 1

    def _print_report(self) -> None:
        """Print why the batch stopped, the failures, the counts and how to go on; for one ticket only its failure."""
        one = self._is_of_one and not self._silent
        if self.stopped and not one:
            mend = "; mend their cause, or go on all the same with --stop-after 0"
            note(f"workorder: stopped: {self.stopped}{mend if self.stopped.endswith('in a row') else ''}")
        for line in () if self.options.json else self._complaints.lines():
            note(f"workorder: {line}")
        if one:
            for outcome in () if self.options.json else self.unsettled:
                note_in_chinese(outcome)
            return
        note(f"{in_words(self.counts)} in {self.elapsed:.1f} s, the slowest took {self.slowest:.1f} s, on {self.place}")
        if not self.settled:
            note(self._how_to_go_on())

    def _how_to_go_on(self) -> str:
        """Say what to do about the changes that are not done, and whether the same line can be run again."""
        kind, limit = self.task.kind, self.options.limit
        if not self.unsettled:
            return "all of it is done: do not run the same line again"
        if self.options.journal is not None:
            again = f"run again with the same --journal {quote(str(self.options.journal))} to go on"
            return f"{again}: changes already made are skipped"
        if kind.converges and limit is None:
            return f"run the same line again to go on: tickets that are {kind.done} already stay so"
        if not (self.counts[State.DONE] or self.counts[State.UNKNOWN]):
            return "nothing was done: the same line can be run again"
        late = "a journal that is begun now knows nothing of this run: give --journal FILE from the first run on"
        if kind.converges:
            return f"the same line may go beyond --limit; {late}"
        return f"do not run the same line again, nor with --journal: changes already made would be made twice. {late}"


def in_words(counts: Counter[State]) -> str:
    """Return the counts of a report in words, such as "12 done, 1 unknown", without those that are 0."""
    return ", ".join(f"{count:,} {state.value}" for state in State if (count := counts[state]))


def row(outcome: Outcome) -> dict[str, JSON]:
    """Return an outcome as a JSON object."""
    facts: dict[str, JSON] = {} if outcome.error is None else as_json(outcome.error)
    return {
        "id": outcome.ticket_id or ticket_id_of(outcome.mutation),
        "outcome": outcome.state.value,
        "attempts": outcome.attempts,
        "seconds": round(outcome.elapsed, 3),
        **facts,
        "request_id": outcome.request_id or facts.get("request_id", ""),
        **({"mark": outcome.mark} if outcome.mark else {}),
    }
