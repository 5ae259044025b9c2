"""The outcomes of a batch's mutations, their report, and the doubt that a batch begins with."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import Enum

from attrs import Factory, define, field, frozen

from workorder_async.document import Mutation
from workorder_async.errors import ApiError, AuthenticationError, RateLimitedError, WorkorderError
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
    """An equal one was done or is being done, by this batch or by an earlier run with the same journal."""


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


#: Outcomes that leave nothing to be done.
SETTLED = frozenset({State.DONE, State.ALREADY, State.SKIPPED})
_KEPT_UNSETTLED = 1000


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
    """Seconds by the clock on the wall, from the batch's begin to its latest outcome, and in the end to its end."""
    stopped: str = ""
    """Why the batch stopped before its end; empty if it did not."""

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


#: So many mutations are under way at the most while the doubt lasts.
_FIRST = 16


class Doubt:
    """The doubt of one batch: whether the platform accepts anything of it.

    A refused signature may be a firewall's that dislikes one text. So a READ tells each time whether reading is refused
    too: then the batch should stop.

    A platform may answer a wrong secret with an errno that nobody gave a meaning. So only sixteen mutations are under
    way until one gets another answer, and after the first refusal a READ is asked as well. Here the batch should also
    stop if the first sixteen mutations are all refused: the tickets are not the cause.

    `read` makes a cheap request. `reason` says why the batch should stop; it is empty if it should not.
    """

    def __init__(self, read: Callable[[], Awaitable[object]]) -> None:
        self._read = read
        self._turns = asyncio.Semaphore(_FIRST)
        self._reading = asyncio.Lock()
        self._is_over = False
        self._errno: int | None = None
        self._refused = 0
        self.reason: str = ""

    async def enter(self) -> None:
        """Wait until one more mutation may be sent."""
        await self._turns.acquire()
        if self._is_over:
            self._turns.release()

    def leave(self, outcome: Outcome) -> None:
        """Learn from the outcome of a mutation that has entered."""
        if self._is_over:
            return
        error = outcome.error
        if outcome.state in (State.DONE, State.ALREADY) or self._is_meaningful(error):
            self.end()
        elif isinstance(error, ApiError) and type(error) is ApiError:
            # Its turn is not given back: after so many refusals none may enter.
            self._refused += 1
            if self._refused == _FIRST and not self.reason:
                self.reason = (
                    f"the first {_FIRST} mutations were all refused with {_named(error)}, which has no meaning: if it "
                    f"is about the signature or a permission, map it with WorkorderClient(errnos={{{error.errno}: "
                    "AuthenticationError}), else to a subclass of ApiError of your own, and the batch goes on"
                )
        else:
            self._turns.release()

    async def is_founded(self, error: WorkorderError) -> bool:
        """Tell whether reading is refused like this mutation was; then nothing can be settled."""
        async with self._reading:
            if isinstance(error, AuthenticationError):
                if not self.reason and await self._is_refused(error):
                    self.reason = f"authentication failed: {error}"
                return bool(self.reason)
            if type(error) is not ApiError or self._is_meaningful(error):
                return False
            if self._errno is None and not self._is_over:
                self._errno = error.errno
                if await self._is_refused(error) and not self._is_over:
                    self.reason = _everything(error)
            return bool(self.reason) and error.errno == self._errno

    async def _is_refused(self, error: ApiError) -> bool:
        """Tell whether reading is refused as well."""
        try:
            await self._read()
        except ApiError as refusal:
            return refusal.errno == error.errno or isinstance(refusal, AuthenticationError)
        except WorkorderError:
            pass  # this tells nothing
        return False

    def end(self) -> None:
        """Let all enter: something was accepted, or the batch stops."""
        if not self._is_over:
            self._is_over = True
            self._turns.release()

    def _is_meaningful(self, error: WorkorderError | None) -> bool:
        """Tell whether a refusal shows that the signature was accepted: it has a meaning, or is unlike the others."""
        if type(error) is ApiError:
            return self._errno not in (None, error.errno)
        return isinstance(error, ApiError) and not isinstance(error, AuthenticationError | RateLimitedError)


def _everything(error: ApiError) -> str:
    return (
        f"every request is refused with {_named(error)}, reading too: the AppId, the secret, the scheme or a "
        f"permission is probably wrong; map it with WorkorderClient(errnos={{{error.errno}: AuthenticationError}}), "
        "and such a batch stops at once"
    )


def _named(error: ApiError) -> str:
    """Return the errno with the platform's words for it."""
    words = " ".join(error.errmsg.split())[:100]
    return f"errno {error.errno}{f' ({words})' if words else ''}"
