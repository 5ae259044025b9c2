"""Every error that this library raises, in one tree.

    WorkorderError
    ├── ConfigError                         an argument, URL, scheme or environment variable that cannot work
    ├── NotSentError                        nothing reached the server: nothing happened
    ├── NoAnswerError                       sent, and no complete answer came back
    │   └── OutcomeUnknownError             ... to a mutation: it may or may not have happened
    ├── ResponseError                       an answer, but not the platform's
    │   └── DecodeError                     the platform's envelope around data that does not fit the API document
    ├── ApiError                            the platform answered: no (errno is not 10000)
    │   ├── AuthenticationError             HTTP 401 or 403, or an errno that you map to it (of a mutation: see there)
    │   ├── NotFoundError                   HTTP 404, or an errno that you map to it
    │   ├── TicketStateError                errno 23000 工单状态不允许关闭
    │   └── RateLimitedError                HTTP 429, or an errno that you map to it
    ├── DeadlineExceededError (TimeoutError)  the call's whole time was used up
    ├── WalkDriftError                      a walk could not come to rest
    ├── JournalError                        a journal that cannot be written, read or shared
    └── ExportError                         an export or a mirror that cannot be written or continued

Each carries `operation`, `attempts` and `request_id`, and survives pickling. The API document gives a meaning to
one errno only, 23000; `WorkorderClient(errnos={...})` gives meanings to others.
"""

from collections.abc import Mapping
from inspect import iscoroutinefunction
from typing import Any, ClassVar, Protocol, TypeAlias, TypedDict, TypeGuard, Unpack

from attrs import field, frozen

from workorder_async.walk_report import WalkReport

__all__ = ["ApiError", "AuthenticationError", "ConfigError", "DeadlineExceededError", "DecodeError"]
__all__ += ["ExportError", "JournalError", "NoAnswerError", "NotFoundError", "NotSentError"]
__all__ += ["OutcomeUnknownError", "RateLimitedError", "ResponseError", "Settlement", "TicketStateError"]
__all__ += ["WalkDriftError", "WorkorderError"]


@frozen
class Settlement:
    """What reading has shown about a mutation whose answer was lost."""

    happened: bool | None
    """Whether the mutation happened; None if that is not known, or not known yet."""
    ticket_id: int = 0
    """The id of the ticket that a creation made, if it was found; else 0."""
    holds: bool = field(default=False, eq=False)
    """Whether the ticket is closed, or the product line's share rejected, by this mutation or by anybody else."""
    again: float | None = field(default=None, eq=False)
    """Seconds after which settling again shows all that can be known; None if settling again shows nothing more."""


class Settles(Protocol):
    """An object that can find out whether a mutation happened: a `WorkorderClient`."""

    @property
    def base_url(self) -> str:
        """The platform that it asks."""
        ...

    # `Any`: the classes of mutations are on a floor above this one.
    async def settle(
        self, mutation: Any, began: float, *, mark: str = "", ahead: Any = None, run: Any = None
    ) -> Settlement:
        """Find out whether a mutation happened that was sent at `began`, in seconds since the epoch."""
        ...


class CallFacts(TypedDict, total=False):
    """Which call an error is about."""

    operation: str
    """The client coroutine's name, such as "close_ticket"; "" for none."""
    attempts: int
    """How many requests were started for it."""
    request_id: str
    """The platform's own id of the last answer; "" where there was none."""


class AnswerFacts(CallFacts, total=False):
    """Which answer an error is about."""

    status: int
    """The HTTP status."""
    body_start: bytes
    """The first bytes of the body, 200 at most."""


class WorkorderError(Exception):
    """The root of the tree: catch it to catch everything this library raises.

    `operation` is the client coroutine's name ("close_ticket") or "", `attempts` counts the requests that were
    started for it, `request_id` is the platform's own id of the last answer ("" where there was none). `retry_after` is
    the number of seconds to wait before the next request: by a Retry-After (`longest_pause` at most), or by the pause
    that throttled answers led to; None without both.
    """

    def __init__(self, message: str, *, operation: str = "", attempts: int = 0, request_id: str = "") -> None:
        super().__init__(message)
        self.retry_after: float | None = None
        self.operation = operation
        self.attempts = attempts
        self.request_id = request_id

    @property
    def message(self) -> str:
        """The sentence alone, without operation, attempts and request_id."""
        return str(self.args[0])

    def __str__(self) -> str:
        facts = []
        if self.attempts > 1:
            facts.append(f"{self.attempts} attempts")
        if self.request_id:
            facts.append(f"request_id {self.request_id}")
        head = f"{self.operation}: " if self.operation else ""
        tail = f" ({', '.join(facts)})" if facts else ""
        return f"{head}{self.message}{tail}"


class ConfigError(WorkorderError):
    """An argument, base URL, signing scheme or environment variable that cannot work; raised before anything is sent.

    Faults that show only later are exceptions, such as an `on_progress` that fails: it ends an upload that has begun.

    The message is "ARGUMENT PROBLEM; MEND", and its parts are attributes: `argument` names the thing ("concurrency"),
    or is "" if no single thing is wrong; `problem` is what is wrong with it ("is 0"), `mend` how to put it right ("it
    must be a whole number of at least 1"). This class is no `ValueError`, so that an `except ValueError` around a bot's
    own `int(text)` does not swallow it; an option that does not exist is a `TypeError`, as everywhere in Python.
    """

    def __init__(self, problem: str, *, argument: str = "", mend: str = "", **call: Unpack[CallFacts]) -> None:
        said = f"{argument} {problem}" if argument else problem
        super().__init__(f"{said}; {mend}" if mend else said, **call)
        self.argument = argument
        self.problem = problem
        self.mend = mend


class NotSentError(WorkorderError):
    """No byte of the request was written: name look-up, connection, TLS or a free slot failed. Nothing happened.

    `lasting` is True if another attempt would fail in the same way, as with a certificate that is refused.
    """

    lasting: bool = False


class NoAnswerError(WorkorderError):
    """The request was sent, and no complete answer came back: reset, half a body, or the attempt's time limit."""


class OutcomeUnknownError(NoAnswerError):
    """A mutation was sent, and no clear answer came back: it may or may not have happened.

    The library never repeats such a mutation blindly. `__cause__` is the failure that was seen instead of an answer,
    `mutation` the mutation, `mark` the mark below its text, and `began` the time of its sending, in seconds since the
    epoch by our own clock. `ahead` and `run` are for `client.settle`: how far the server's clock was ahead of ours at
    that time, and for how long the mutation may have been sent and carried out. `platform` is the base URL that it was
    sent to, "" if that is not known. `happened` is the result of `verify`; before that it is None, or True if the
    platform said yes to a creation without naming the new ticket. `ticket_id` is the new ticket's id, once `verify` has
    found it.
    """

    def __init__(
        self,
        message: str,
        *,
        mutation: object = None,
        began: float = 0.0,
        ticket_id: int = 0,
        **call: Unpack[CallFacts],
    ) -> None:
        super().__init__(message, **call)
        self.mutation = mutation
        self.mark = ""
        self.began = began
        self.ahead: object = None
        self.run: object = None
        self.platform = ""
        self.ticket_id: int = ticket_id
        self.happened: bool | None = None

    async def verify(self, client: Settles) -> bool | None:
        """Find out by reading whether the mutation happened: True, False, or None if it is not known, or not known yet.

        Calls `client.settle` (its docstring says what proves which kind of mutation), within one deadline, and keeps
        the id of a new ticket in `ticket_id`. A later call never changes True or False. Unless it is True already, the
        answer is None after a read that fails, for a mutation without a known time of sending (`began`), and for one
        that cannot be told from another in its batch's journal. Raises `ConfigError` for a client without coroutines,
        and for a client of another platform.
        """
        if not iscoroutinefunction(getattr(client, "settle", None)):
            mend = "it must be a WorkorderClient with coroutines; a blocking one does client.run(error.verify)"
            raise ConfigError(f"is a {type(client).__name__}", argument="client", mend=mend)
        if self.platform not in ("", client.base_url):
            mend = f"use a client of {self.platform}, to which this was sent"
            raise ConfigError(f"asks {client.base_url}", argument="client", mend=mend)
        if self.mutation is None or not self.began or self.happened is False:
            return self.happened
        settlement = await client.settle(self.mutation, self.began, mark=self.mark, ahead=self.ahead, run=self.run)
        self.ticket_id = settlement.ticket_id or self.ticket_id
        self.happened = self.happened or settlement.happened
        return self.happened


class ResponseError(WorkorderError):
    """An answer that is not the platform's envelope: a proxy's page, a redirect, broken JSON.

    `status` is the HTTP status, `body_start` the first bytes of the body (200 at most). `errno` is that of a failure in
    the platform's envelope that does not say whether anything was done: with a status of 500 or more, or mapped to this
    class; else 0.
    """

    def __init__(self, message: str, *, status: int = 0, body_start: bytes = b"", **call: Unpack[CallFacts]) -> None:
        super().__init__(message, **call)
        self.status = status
        self.body_start = body_start
        self.errno: int = 0


class DecodeError(ResponseError):
    """The envelope is the platform's, and something in it does not fit the API document.

    `path` is its place, as a JSON path ("$.data.tickets[57].created_time"); `expected` and `got` describe the values.
    """

    def __init__(
        self, message: str, *, path: str = "$", expected: str = "", got: str = "", **answer: Unpack[AnswerFacts]
    ) -> None:
        super().__init__(message, **answer)
        self.path = path
        self.expected = expected
        self.got = got


class ApiError(WorkorderError):
    """The platform answered with a failure: `errno` other than 10000, and its words in `errmsg`.

    `status` is the HTTP status it came with; `body_start` the first bytes (200 at most) of a page without the
    platform's envelope, else empty. `says_no` tells whether it is certain that nothing happened. It is False

    * for a page without the platform's envelope (errno 0): a gateway may send it although the server behind it did the
      work;
    * for an envelope with errno 0, unless you map that: the API document calls it a failure (close_ticket:
      其他均表示失败), and shows it in its examples of success.

    After a `RateLimitedError` nothing happened, even where it is False.
    """

    hint: ClassVar[str] = ""

    def __init__(
        self, message: str, *, errno: int = 0, errmsg: str = "", status: int = 200, **call: Unpack[CallFacts]
    ) -> None:
        super().__init__(message, **call)
        self.errno = errno
        self.errmsg = errmsg
        self.status = status
        self.says_no: bool = True
        self.body_start: bytes = b""


class AuthenticationError(ApiError):
    """The platform does not accept the caller: AppId, secret, scheme, clock or permission is wrong.

    HTTP 401 or 403 without the platform's envelope, such as a gateway's page, raises this only for a read or an upload.
    For a mutation it raises `OutcomeUnknownError`: the mutation may have happened behind that gateway.
    """

    hint = "run `workorder doctor`; it compares AppId, scheme and clock with the host"


class NotFoundError(ApiError):
    """The platform knows no such ticket."""

    hint = "check the ticket's id"


class TicketStateError(ApiError):
    """The ticket's status does not allow this: errno 23000 工单状态不允许关闭 in the document of close_ticket."""

    hint = "the ticket is already closed or cancelled, or somebody else must act first; see `workorder show ID`"


class RateLimitedError(ApiError):
    """Too many requests; `WorkorderClient(rate=...)` keeps below a limit that you know."""

    hint = "slow down with `rate`, or wait"


class DeadlineExceededError(WorkorderError, TimeoutError):
    """The time for a whole call was used up before it had an answer.

    `spent` says where it went, in seconds: "queue" (waiting for a slot or a pause), "request" (connecting, sending,
    waiting for and reading answers), "sleep" (between attempts).
    """

    def __init__(self, message: str, *, spent: Mapping[str, float] | None = None, **call: Unpack[CallFacts]) -> None:
        super().__init__(message, **call)
        self.spent: dict[str, float] = dict(spent or {})


class WalkDriftError(WorkorderError):
    """A walk that had to be exact was not, as where the list kept changing. The message has the reason.

    `report` is the walk's report.
    """

    def __init__(self, message: str, *, report: WalkReport | None = None, **call: Unpack[CallFacts]) -> None:
        super().__init__(message, **call)
        self.report = report


class JournalError(WorkorderError):
    """A journal that cannot be written, read, or shared with another process."""


class ExportError(WorkorderError):
    """An export, or a mirror, that cannot be written or continued; `problem` and `mend` are parts of its message."""

    def __init__(self, problem: str, *, mend: str = "", **call: Unpack[CallFacts]) -> None:
        super().__init__(f"{problem}; {mend}" if mend else problem, **call)
        self.problem = problem
        self.mend = mend


Meaning: TypeAlias = type[ApiError | ResponseError]
"""The meaning of an errno: a class of `ApiError`, by which nothing happened, or `ResponseError`, as of a status of 500:
the platform failed, and nobody knows whether anything was done."""

#: The one errno whose meaning the API document gives (close_ticket's example of a failure).
DOCUMENTED_ERRNOS: Mapping[int, Meaning] = {23000: TicketStateError}


def is_meaning(kind: object) -> TypeGuard[Meaning]:
    """Tell whether a value can be the meaning of an errno."""
    return isinstance(kind, type) and (issubclass(kind, ApiError) or kind is ResponseError)
