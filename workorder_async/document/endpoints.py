"""The eight endpoints of the API document: name, method, path, and whether a request may be repeated."""

from enum import Enum
from typing import Final, Literal

from attrs import frozen

PREFIX = "/workorder/api/ticket"


class Safety(Enum):
    """The effect of a second request. It depends on the operation, not on the HTTP method: the list is a POST."""

    READ = "read"
    """Nothing changes, so it may always be repeated."""
    CONVERGENT = "convergent"
    """A second one changes nothing, but is answered with an errno."""
    CREATE = "create"
    """A second one does it twice, so it is repeated only if the first provably did nothing."""


@frozen
class Endpoint:
    """One endpoint; `operation` is the client coroutine's name and stands in every error and log line."""

    operation: str
    method: Literal["GET", "POST"]
    path: str
    safety: Safety


LIST_TICKETS = Endpoint("list_tickets", "POST", f"{PREFIX}/list_tickets", Safety.READ)
GET_TICKET = Endpoint("get_ticket", "GET", f"{PREFIX}/base", Safety.READ)
GET_TICKET_DETAIL = Endpoint("get_ticket_detail", "GET", f"{PREFIX}/detail", Safety.READ)
CREATE_TICKET = Endpoint("create_ticket", "POST", f"{PREFIX}/create", Safety.CREATE)
COMMENT_TICKET = Endpoint("comment_ticket", "POST", f"{PREFIX}/comment_ticket", Safety.CREATE)
REJECT_TICKET = Endpoint("reject_ticket", "POST", f"{PREFIX}/reject_handle", Safety.CONVERGENT)
CLOSE_TICKET = Endpoint("close_ticket", "POST", f"{PREFIX}/close_ticket", Safety.CONVERGENT)
# A file that is uploaded twice is left over in the storage, and no ticket shows it: it may be repeated like a read.
UPLOAD_FILE = Endpoint("upload_file", "POST", f"{PREFIX}/upload_file", Safety.READ)

#: Each endpoint by its operation.
ENDPOINTS: Final = {one.operation: one for one in list(vars().values()) if isinstance(one, Endpoint)}
