"""An asyncio client for Kingsoft Cloud's work-order (工单) API.

    async with WorkorderClient.from_env() as client:
        async for ticket in client.iter_tickets(TicketQuery(status=TicketStatus.PENDING)):
            print(ticket.id, ticket.title, ticket.created_at)

Each name is imported when it is first used: a command that Ctrl-C ends at once ends quietly, because little was begun.
"""

# For those who read this and do not run it: type checkers and editors. `typing.TYPE_CHECKING` would cost an import, and
# editors on jedi take `TYPE_CHECKING = False` literally.
if __name__ == "":
    __version__: str
    # "X as X" tells type checkers and editors that the name is public, as does the `__all__` of a file that has one.
    from workorder_async.batches.batch import run_batch as run_batch
    from workorder_async.batches.once import Once as Once
    from workorder_async.batches.outcomes import BatchReport as BatchReport, Outcome as Outcome, State as State
    from workorder_async.client import Ping as Ping, WorkorderClient as WorkorderClient
    from workorder_async.document.enums import *  # noqa: F403
    from workorder_async.document.fields import CHINA_STANDARD_TIME as CHINA_STANDARD_TIME
    from workorder_async.document.requests import *  # noqa: F403
    from workorder_async.document.tickets import *  # noqa: F403
    from workorder_async.errors import *  # noqa: F403
    from workorder_async.sandbox import Sandbox as Sandbox
    from workorder_async.secret import Secret as Secret
    from workorder_async.signing.scheme import *  # noqa: F403
    from workorder_async.walk_report import SkippedRow as SkippedRow, WalkReport as WalkReport
    from workorder_async.walks.options import WalkOptions as WalkOptions
    from workorder_async.walks.walk import Walk as Walk
    from workorder_async.walks.windows import Window as Window
    from workorder_async.wire.call import Deadline as Deadline, RetryPolicy as RetryPolicy
    from workorder_async.wire.limits import *  # noqa: F403
    from workorder_async.wire.observing import *  # noqa: F403
    from workorder_async.wire.options import ClientOptions as ClientOptions
    from workorder_async.words import explain as explain

# The same for the interpreter: each module with its names.
_NAMES = {
    "batches.batch": "run_batch",
    "batches.once": "Once",
    "batches.outcomes": "BatchReport Outcome State",
    "client": "Ping WorkorderClient",
    "document": (
        "AssignStatus Attachment CHINA_STANDARD_TIME CloseTicket CommentTicket CreateTicket CustomerInfo "
        "FormFieldType Mutation Pagination Priority RejectTicket Tag Ticket TicketAssign TicketDetail "
        "TicketFlowHistory TicketFormField TicketPage TicketQuery TicketStatus TicketSummary TicketType"
    ),
    "errors": (
        "ApiError AuthenticationError ConfigError DeadlineExceededError DecodeError ExportError JournalError "
        "NoAnswerError NotFoundError NotSentError OutcomeUnknownError RateLimitedError ResponseError "
        "Settlement TicketStateError WalkDriftError WorkorderError"
    ),
    "sandbox": "Sandbox",
    "secret": "Secret",
    "signing.scheme": "SchemeSigner Signer SigningInput",
    "walk_report": "SkippedRow WalkReport",
    "walks.options": "WalkOptions",
    "walks.walk": "Walk",
    "walks.windows": "Window",
    "wire.call": "Deadline RetryPolicy",
    "wire.limits": "ClientStats Limits TurnTimeoutError",
    "wire.observing": "AttemptEnded AttemptStarted CallEnded CallStarted Event Observer Seconds",
    "wire.options": "ClientOptions",
    "words": "explain",
}
_LATER = {name: module for module, names in _NAMES.items() for name in names.split()}
_ALL = sorted(_LATER, key=lambda name: (not name.isupper(), name))
# Type checkers cannot read a list that is made; where they see none, `import *` gives them the names above.
globals()["__all__"] = _ALL


def __getattr__(name: str) -> object:
    """Import one of the names above when it is first used."""
    if name == "__version__":
        from importlib.metadata import version

        return version("workorder-async")
    if name not in _LATER and name not in ("errors", "document"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name not in _LATER:
        return import_module(f"{__name__}.{name}")
    value: object = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    if isinstance(value, type):
        import_module(f"{__name__}.described").describe(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ALL})
