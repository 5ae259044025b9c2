"""The outcomes of a batch's tickets: a line or JSON object for each, counts on the bar, a report, the exit code."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import define, field

from workorder_async.batches.outcomes import BatchReport, Outcome, State
from workorder_async.cli.batches.choosing import BatchOptions, Change
from workorder_async.cli.failures import FAILED, OK, UNKNOWN, as_json, sentence
from workorder_async.cli.terminal import Bar, named, note, tell, write_json
from workorder_async.document import JSON
from workorder_async.errors import WorkorderError
from workorder_async.mutations.kinds import ticket_id_of

_SUFFIXES: Final = {State.DONE: "", State.ALREADY: " already", State.SKIPPED: ", as the journal says"}
_NAMED: Final = 3
_MOST: Final = 1000
# Where the time of a call went is another tenth of a second each time.
_SECONDS: Final = re.compile(r"\d+\.\d+ s\b")


@define
class _Complaint:
    sentence: str
    ids: list[int] = field(factory=list)
    count: int = 0


@define
class Complaints:
    """What was complained of, in the order in which it first came; of different errors the first thousand are kept."""

    _all: list[_Complaint] = field(factory=list)
    _by_text: dict[tuple[type, str], _Complaint] = field(factory=dict)
    _dropped: int = 0

    def add(self, id: int, error: WorkorderError) -> None:
        """Note the error of a ticket. It equals another one if but the tickets' numbers and seconds differ."""
        text = _SECONDS.sub("", error.message)
        # The number may also stand there by chance, as in an address: the text as it is comes first.
        keys = [(type(error), text), (type(error), re.sub(rf"(?<!\d){id}(?!\d)", "#", text))]
        found = next((self._by_text[key] for key in keys if key in self._by_text), None)
        if found is None:
            if len(self._all) == _MOST:
                self._dropped += 1
                return
            found = _Complaint(sentence(error))
            self._all.append(found)
            self._by_text |= dict.fromkeys(keys, found)
        found.count += 1
        if len(found.ids) < _NAMED:
            found.ids.append(id)

    def lines(self) -> Iterator[str]:
        """Yield a line for each error: whose it is, and the sentence of the first."""
        for one in self._all:
            yield f"ticket{'s' if one.count > 1 else ''} {named(one.ids, one.count)}: {one.sentence}"
        if self._dropped:
            yield f"... and {self._dropped:,} more"


def _tell_hold(report: BatchReport, _: object, held: str) -> str:
    """Say once of each pause or outage what holds the batch back."""
    if held and not report.held:
        note(f"workorder: held back: {held}")
    return held


@define(kw_only=True)
class Tally(BatchReport):
    """A batch's report that prints each outcome when it comes, also after an interruption."""

    done: str
    """What a ticket is when all went well: "closed"."""
    place: str
    """The platform that the batch acts on, for the report."""
    bar: Bar
    expected: int
    """How many tickets there are."""
    lines: bool
    """Whether a line is printed for each ticket that is settled."""
    options: BatchOptions
    held: str = field(default="", on_setattr=_tell_hold)
    silent: bool = False
    """Whether stdout takes no line for a ticket any more."""
    interrupted: bool = False
    """Whether unknown outcomes are put aside in `cut_short`, to be settled later."""
    begun: int = 0
    """How many changes the batch has begun."""
    cut_short: list[Outcome] = field(factory=list, init=False)
    _complaints: Complaints = field(factory=Complaints, init=False)
    _under_way: dict[int, Change] = field(factory=dict, init=False)

    def watch(self, change: Change) -> None:
        """Remember a change whose outcome is still to come."""
        self.begun += 1
        self._under_way[change.id] = change

    @property
    def untouched(self) -> bool:
        """Whether the batch has not even begun."""
        return not self.total and not self._under_way

    def note(self, outcome: Outcome) -> None:
        """Count an outcome, and print it."""
        if self.interrupted and outcome.state is State.UNKNOWN:
            self.cut_short.append(outcome)
            return
        super().note(outcome)
        id = ticket_id_of(outcome.mutation)
        if outcome.error is not None and outcome.state not in _SUFFIXES:
            self._complaints.add(id, outcome.error)
        self._under_way.pop(id, None)
        if outcome.mark and outcome.state is State.UNKNOWN and not self.options.json:
            note(f"workorder: ticket {id} may be {self.done}: look for the mark {outcome.mark}")
        try:
            if self.silent:
                pass
            elif self.options.json:
                write_json([row(outcome)])
            elif self.lines and outcome.state in _SUFFIXES:
                mark = f", mark {outcome.mark}" if outcome.mark else ""
                tell(f"{id} {self.done}{_SUFFIXES[outcome.state]}{mark}")
        except OSError as error:
            self.silent = True
            is_unread = isinstance(error, BrokenPipeError)
            self.stopped: str = "the reader of the output went away" if is_unread else f"stdout: {error.strerror}"
            raise
        self.bar(self.total, max(self.total, self.expected), counted(self))

    def take_rest(self, changes: Iterable[Change]) -> None:
        """Note the rest of the batch: a change that was cut short is unknown, and one not begun was not sent."""
        self.interrupted = False
        unknown = {id: Outcome(change, State.UNKNOWN) for id, change in self._under_way.items()}
        unknown |= {ticket_id_of(outcome.mutation): outcome for outcome in self.cut_short}
        if unknown:
            note(f"workorder: cut short; not known to be {self.done}: {', '.join(map(str, sorted(unknown)))}")
        for outcome in unknown.values():
            self.note(outcome)
        for change in changes:
            self.note(Outcome(change, State.NOT_SENT))

    @property
    def code(self) -> int:
        """The exit code: 3 where an outcome is unknown, else 1 where something is left to be done."""
        if self.counts[State.UNKNOWN]:
            return UNKNOWN
        return OK if self.settled else FAILED

    def print_report(self, *, quiet: bool) -> None:
        """Print why it stopped, what failed, the counts and how to go on; nothing if `quiet` and all went well."""
        if quiet and self.settled:
            return
        one = quiet and self.total == 1 and not self.silent
        if self.stopped and not one:
            mend = "; mend their cause, or go on all the same with --stop-after 0"
            note(f"workorder: stopped: {self.stopped}{mend if self.stopped.endswith('in a row') else ''}")
        for line in () if self.options.json else self._complaints.lines():
            note(f"workorder: {line}")
        if one:
            return
        note(f"{counted(self)} in {self.elapsed:.1f} s, the slowest took {self.slowest:.1f} s, on {self.place}")
        if not self.settled and self.options.journal is not None:
            note(f"run again with the same --journal {self.options.journal} to go on: what is done is skipped")
        elif not self.settled:
            twice = "do not run the same line again: what is done would be done twice. --json tells what is left"
            note(f"{twice}; with --journal FILE the same line can be run again, and goes on where it stopped")


def counted(report: BatchReport) -> str:
    """Return the counts in words, without those that are 0."""
    return ", ".join(f"{count:,} {state.value}" for state in State if (count := report.counts[state]))


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
