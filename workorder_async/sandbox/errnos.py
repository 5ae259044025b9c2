"""The failures that the sandbox answers with: one documented errno, and the sandbox's own inventions."""

from collections.abc import Mapping
from enum import IntEnum

from workorder_async.errors import ApiError, AuthenticationError, NotFoundError, RateLimitedError, TicketStateError


class Errno(IntEnum):
    """Every errno of the sandbox: 23000 stands in the API document, those from 90001 on are INVENTED here.

    The document gives a meaning to no other failure, so the platform's own codes will differ: never build on these.
    """

    NOT_CLOSABLE = 23000
    """The ticket's status does not allow closing (API document, close_ticket: 工单状态不允许关闭)."""
    SIGN = 90001
    """`Sign` is missing, or is not the signature of the request as it arrived."""
    TIMESTAMP = 90002
    """`Timestamp` is missing, is no time, or is more than 300 seconds away from the server's clock."""
    APP_ID = 90003
    """`AppId` is missing or unknown."""
    PARAMETER = 90004
    """A parameter is missing, has the wrong type or a value that cannot be; `errmsg` names it."""
    NOT_FOUND = 90005
    """There is no ticket with this id."""
    NOT_CREATOR = 90006
    """Only the ticket's creator may close it (API document, close_ticket: 仅工单的创建人可关闭工单)."""
    BODY = 90007
    """The body is not of the kind that the endpoint takes: a JSON object, or multipart/form-data for an upload."""
    NOT_REJECTABLE = 90008
    """The product line has rejected the ticket already, or the ticket is closed or cancelled."""

    RATE = 90009
    """There are too many requests in this second (`Sandbox(rate=..., rate_errno=Errno.RATE)`)."""
    PAGE_DEPTH = 90010
    """The page lies deeper in the list than pages go (`Sandbox(page_depth=...)`)."""
    FAULT = 90011
    """A `Fault` that was given no errno says this one."""


#: The sandbox's own errnos as error classes, for `WorkorderClient(errnos=...)`; any other errno is an `ApiError`.
SANDBOX_ERRNOS: Mapping[int, type[ApiError]] = {
    **dict.fromkeys((Errno.SIGN, Errno.TIMESTAMP, Errno.APP_ID), AuthenticationError),
    Errno.NOT_FOUND: NotFoundError,
    Errno.NOT_REJECTABLE: TicketStateError,
    Errno.RATE: RateLimitedError,
}


class Refused(Exception):  # noqa: N818 - an answer, not an error of the sandbox
    """A request that is answered with a failure; every errmsg but the documented one says 沙箱."""

    def __init__(self, errno: Errno, why: str) -> None:
        super().__init__(why)
        self.errno = errno
        self.errmsg: str = why if errno is Errno.NOT_CLOSABLE else f"沙箱: {why}"
