"""The outcomes of a batch's mutations, and their report."""

from collections import Counter
from enum import Enum
from typing import Any

from attrs import Factory, define, field, frozen

from workorder_async import errors
from workorder_async.document import JSON, Mutation
from workorder_async.errors import WorkorderError
from workorder_async.mutations.kinds import ticket_id_of


class State(Enum):
    """The end of a mutation. Each mutation ends in exactly one state."""

    DONE = "done"
    """It was carried out."""
    ALREADY = "already"
    """The ticket was closed, or rejected, before."""
    REJECTED = "rejected"
    """The platform refused it, with an errno in an answer of its own. The next run sends it again."""
    NOT_SENT = "not sent"
    """Nothing happened in this run: it did not reach the platform, was turned away unread, or was cancelled or stopped.

    An earlier run may have done it, if it is in the rest of a list that was stopped: the journal is not asked then.
    """
    UNKNOWN = "unknown"
    """This run sent it, or an earlier one may have, and nothing shows whether it happened. It is not sent again."""
    SKIPPED = "skipped"
    """A mutation with the same key was done or is being done, by this batch or an earlier run with the same journal."""


@frozen
class Outcome:
    """The outcome of one mutation."""

    mutation: Mutation
    """The mutation."""
    state: State
    """How it ended."""
    error: WorkorderError | None = None
    """Why, if it was not simply done."""
    ticket_id: int = field(default=Factory(lambda outcome: ticket_id_of(outcome.mutation), takes_self=True))
    """The ticket; of a creation the new one, 0 if it is not known."""
    attempts: int = 0
    """Attempts that were started for it."""
    request_id: str = ""
    """The platform's id of the last answer."""
    elapsed: float = 0.0
    """Seconds it took."""
    mark: str = ""
    """The mark below its text, by which it can be found; "" if it has none, or was not sent."""


#: Outcomes that leave nothing to be done.
SETTLED = frozenset({State.DONE, State.ALREADY, State.SKIPPED})
_KEPT_UNSETTLED = 1000
# The fields of an outcome that a journal keeps besides its state and its error.
_FACTS = ("ticket_id", "attempts", "request_id", "elapsed", "mark")


@define
class BatchReport:
    """A batch so far; give one to `run_batch` to have it filled in."""

    counts: Counter[State] = Factory(Counter)
    """How many ended in each state."""
    unsettled: list[Outcome] = Factory(list)
    """Outcomes that leave something to be done, the first thousand of them."""
    slowest: float = 0.0
    """Seconds that the slowest mutation took."""
    seconds: float = 0.0
    """Seconds that all mutations took, added up."""
    elapsed: float = 0.0
    """Seconds from the beginning of the batch to its latest outcome; when it has ended, to its end."""
    stopped: str = ""
    """Why the batch stopped before its end; empty if it did not."""
    held: str = ""
    """Why nothing is sent now, such as an answer that asked for a pause; empty while the batch goes on."""

    @property
    def total(self) -> int:
        """How many mutations ended."""
        return self.counts.total()

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be done."""
        return not self.stopped and all(state in SETTLED for state, count in self.counts.items() if count)

    def note(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.counts[outcome.state] += 1
        self.seconds += outcome.elapsed
        self.slowest = max(self.slowest, outcome.elapsed)
        if outcome.state not in SETTLED and len(self.unsettled) < _KEPT_UNSETTLED:
            self.unsettled.append(outcome)


def ended(mutation: Mutation, state: State, error: WorkorderError) -> Outcome:
    """Return the outcome of a mutation that ended with this error."""
    return Outcome(mutation, state, error, ticket_id_of(mutation), error.attempts, error.request_id)


def facts_of(outcome: Outcome) -> dict[str, JSON]:
    """Return the facts that a journal keeps besides the state; `error` is for people, `raised` for `outcome_of`."""
    facts: dict[str, JSON] = {name: getattr(outcome, name) for name in _FACTS}
    if (error := outcome.error) is not None:
        facts["error"] = str(error)
        if outcome.state is not State.UNKNOWN:
            kind = next(kind for kind in type(error).mro() if vars(errors).get(kind.__name__) is kind)
            kept = {name: part for name, part in vars(error).items() if part and isinstance(part, str | int | float)}
            kept.pop("says_no", None)  # the state says it
            facts["raised"] = {"kind": kind.__name__, "message": error.message, **kept}
    return {name: fact for name, fact in facts.items() if fact}


def outcome_of(mutation: Mutation, state: State, facts: dict[str, JSON]) -> Outcome:
    """Return the outcome whose facts a journal has kept."""
    error = None
    if isinstance(raised := facts.get("raised"), dict):
        parts = dict(raised)
        error = getattr(errors, str(parts.pop("kind")))(parts.pop("message"))
        vars(error).update(parts)
    kept: dict[str, Any] = {name: facts[name] for name in _FACTS if name in facts}
    return Outcome(mutation, state, error, **kept)
