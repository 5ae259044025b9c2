"""An asyncio client for Kingsoft Cloud's work-order (工单) API.

    async with WorkorderClient.from_env() as client:
        async for ticket in client.iter_tickets(TicketQuery(status=TicketStatus.PENDING)):
            print(ticket.id, ticket.title, ticket.created_at)

Each name is imported when it is first used: a command that Ctrl-C ends at once ends quietly, because little was begun.
"""

TYPE_CHECKING = False  # as type checkers know it; `typing` itself would take longer to import than all of this
if TYPE_CHECKING:
    from workorder_async.batches.batch import run_batch
    from workorder_async.batches.outcomes import BatchReport, Outcome, State
    from workorder_async.client import Ping, WorkorderClient
    from workorder_async.document import (
        CHINA_STANDARD_TIME,
        AssignStatus,
        Attachment,
        CloseTicket,
        CommentTicket,
        CreateTicket,
        CustomerInfo,
        FormFieldType,
        Mutation,
        Pagination,
        Priority,
        RejectTicket,
        Tag,
        Ticket,
        TicketAssign,
        TicketDetail,
        TicketFlowHistory,
        TicketFormField,
        TicketPage,
        TicketQuery,
        TicketStatus,
        TicketSummary,
        TicketType,
    )
    from workorder_async.errors import (
        ApiError,
        AuthenticationError,
        ConfigError,
        DeadlineExceededError,
        DecodeError,
        ExportError,
        JournalError,
        NoAnswerError,
        NotFoundError,
        NotSentError,
        OutcomeUnknownError,
        RateLimitedError,
        ResponseError,
        Settlement,
        TicketStateError,
        WalkDriftError,
        WorkorderError,
    )
    from workorder_async.sandbox import Sandbox
    from workorder_async.secret import Secret
    from workorder_async.signing.scheme import SchemeSigner, Signer, SigningInput
    from workorder_async.walk_report import SkippedRow, WalkReport
    from workorder_async.walks.options import WalkOptions
    from workorder_async.walks.walk import Walk
    from workorder_async.walks.windows import Window
    from workorder_async.wire.deadline import Deadline
    from workorder_async.wire.limits import ClientStats, Limits
    from workorder_async.wire.observing import (
        AttemptEnded,
        AttemptStarted,
        CallEnded,
        CallStarted,
        Event,
        Observer,
        Seconds,
    )
    from workorder_async.wire.options import ClientOptions
    from workorder_async.wire.retry import RetryPolicy
    from workorder_async.wire.waiting import TurnTimeoutError

__all__ = [
    "CHINA_STANDARD_TIME",
    "ApiError",
    "AssignStatus",
    "Attachment",
    "AttemptEnded",
    "AttemptStarted",
    "AuthenticationError",
    "BatchReport",
    "CallEnded",
    "CallStarted",
    "ClientOptions",
    "ClientStats",
    "CloseTicket",
    "CommentTicket",
    "ConfigError",
    "CreateTicket",
    "CustomerInfo",
    "Deadline",
    "DeadlineExceededError",
    "DecodeError",
    "Event",
    "ExportError",
    "FormFieldType",
    "JournalError",
    "Limits",
    "Mutation",
    "NoAnswerError",
    "NotFoundError",
    "NotSentError",
    "Observer",
    "Outcome",
    "OutcomeUnknownError",
    "Pagination",
    "Ping",
    "Priority",
    "RateLimitedError",
    "RejectTicket",
    "ResponseError",
    "RetryPolicy",
    "Sandbox",
    "SchemeSigner",
    "Seconds",
    "Secret",
    "Settlement",
    "Signer",
    "SigningInput",
    "SkippedRow",
    "State",
    "Tag",
    "Ticket",
    "TicketAssign",
    "TicketDetail",
    "TicketFlowHistory",
    "TicketFormField",
    "TicketPage",
    "TicketQuery",
    "TicketStateError",
    "TicketStatus",
    "TicketSummary",
    "TicketType",
    "TurnTimeoutError",
    "Walk",
    "WalkDriftError",
    "WalkOptions",
    "WalkReport",
    "Window",
    "WorkorderClient",
    "WorkorderError",
    "run_batch",
]

_LATER = {
    "CHINA_STANDARD_TIME": "document",
    "ApiError": "errors",
    "AssignStatus": "document",
    "Attachment": "document",
    "AttemptEnded": "wire.observing",
    "AttemptStarted": "wire.observing",
    "AuthenticationError": "errors",
    "BatchReport": "batches.outcomes",
    "CallEnded": "wire.observing",
    "CallStarted": "wire.observing",
    "ClientOptions": "wire.options",
    "ClientStats": "wire.limits",
    "CloseTicket": "document",
    "CommentTicket": "document",
    "ConfigError": "errors",
    "CreateTicket": "document",
    "CustomerInfo": "document",
    "Deadline": "wire.deadline",
    "DeadlineExceededError": "errors",
    "DecodeError": "errors",
    "Event": "wire.observing",
    "ExportError": "errors",
    "FormFieldType": "document",
    "JournalError": "errors",
    "Limits": "wire.limits",
    "Mutation": "document",
    "NoAnswerError": "errors",
    "NotFoundError": "errors",
    "NotSentError": "errors",
    "Observer": "wire.observing",
    "Outcome": "batches.outcomes",
    "OutcomeUnknownError": "errors",
    "Pagination": "document",
    "Ping": "client",
    "Priority": "document",
    "RateLimitedError": "errors",
    "RejectTicket": "document",
    "ResponseError": "errors",
    "RetryPolicy": "wire.retry",
    "Sandbox": "sandbox",
    "SchemeSigner": "signing.scheme",
    "Seconds": "wire.observing",
    "Secret": "secret",
    "Settlement": "errors",
    "Signer": "signing.scheme",
    "SigningInput": "signing.scheme",
    "SkippedRow": "walk_report",
    "State": "batches.outcomes",
    "Tag": "document",
    "Ticket": "document",
    "TicketAssign": "document",
    "TicketDetail": "document",
    "TicketFlowHistory": "document",
    "TicketFormField": "document",
    "TicketPage": "document",
    "TicketQuery": "document",
    "TicketStateError": "errors",
    "TicketStatus": "document",
    "TicketSummary": "document",
    "TicketType": "document",
    "TurnTimeoutError": "wire.waiting",
    "Walk": "walks.walk",
    "WalkDriftError": "errors",
    "WalkOptions": "walks.options",
    "WalkReport": "walk_report",
    "Window": "walks.windows",
    "WorkorderClient": "client",
    "WorkorderError": "errors",
    "run_batch": "batches.batch",
}


def __getattr__(name: str) -> object:
    """Import one of the names above when it is first used."""
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
    return sorted({*globals(), *__all__})
