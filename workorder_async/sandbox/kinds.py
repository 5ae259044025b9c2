"""The kinds of faults: their names, what each one does, and what it needs to be told."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from workorder_async.document import endpoints

Kind: TypeAlias = Literal[
    "refuse",
    "reset",
    "hang",
    "401",
    "403",
    "429",
    "500",
    "503",
    "html",
    "portal",
    "errno",
    "reset_after",
    "hang_after",
    "500_after",
    "502_after",
    "503_after",
    "504_after",
    "html_after",
    "portal_after",
    "errno_after",
    "truncate",
    "slow_headers",
    "slow_body",
    "date",
    "bomb",
    "deep",
    "endless",
    "drip",
    "many_headers",
    "long_header",
    "total",
    "page_size",
    "first_page",
    "bad_row",
    "other_ticket",
]
"""What goes wrong.

Nothing is applied, nor is the signature looked at:

refuse        the connection is closed when the head of the request has come, its body unread
reset         the whole request is read, and the connection is reset
hang          the whole request is read, and nothing more is heard, until the caller goes away or the sandbox ends
401, 403      HTTP 401 Unauthorized, HTTP 403 Forbidden, as a page; with `Fault.errno` as an envelope
429, 503      HTTP 429 Too Many Requests, HTTP 503 Service Unavailable, with `Retry-After`
500           HTTP 500 with an envelope that has `Fault.errno`, or `Errno.FAULT` where there is none
html          HTTP 502 with a proxy's page
portal        HTTP 200 with the page of a login, as a captive portal answers
errno         HTTP 200 with an envelope that has `Fault.errno`

The request is handled as always, so that a mutation is applied if it may be, and then:

reset_after   the connection is reset, without an answer
hang_after    nothing is heard, as above
500_after, 502_after, 504_after   HTTP 500, 502 or 504 with an envelope that has `Fault.errno`, or `Errno.FAULT`
503_after     HTTP 503 with `Retry-After`, as if nothing had happened
html_after    HTTP 502 with a proxy's page
portal_after  HTTP 200 with the page of a login
errno_after   HTTP 200 with an envelope that has `Fault.errno`
truncate      half of the body is sent, and the connection is closed
slow_headers  the answer begins after `Fault.seconds`
slow_body     the head is sent at once, and the body in drips, the last one after `Fault.seconds`
date          the answer is right, but its `Date` is `Fault.seconds` ahead of the server's clock, or behind it

The request is handled as always, and the answer is more than anybody should read:

bomb          a small body of gzip that unpacks to `Fault.size` bytes of JSON
deep          JSON nested 100,000 deep
endless       a body that begins well and has no end, as fast as it is read
drip          the same, one byte every `Fault.seconds`
many_headers  the right body, after `Fault.size` bytes of headers, a thousand to a line
long_header   the right body, after one header of `Fault.size` bytes

The answer to a read is an envelope like any other, and it is not true:

total         a page of list_tickets says that there are `Fault.number` tickets; its rows are right
page_size     a page of list_tickets says that it has `Fault.number` rows; its rows are right
first_page    list_tickets answers with the first page, whichever was asked for
bad_row       the middle row of a page of list_tickets has a list for its `created_time`
other_ticket  get_ticket and get_ticket_detail answer with another ticket: the next one, or after the last the first
"""

#: What strikes before a request is handled, after it was read.
INSTEAD: frozenset[Kind] = frozenset(
    ("reset", "hang", "401", "403", "429", "500", "503", "html", "portal", "errno"),
)
#: What only some operations can meet, and which.
LIES: Mapping[Kind, tuple[str, ...]] = {
    **dict.fromkeys(("total", "page_size", "first_page", "bad_row"), (endpoints.LIST_TICKETS.operation,)),
    "other_ticket": (endpoints.GET_TICKET.operation, endpoints.GET_TICKET_DETAIL.operation),
}
#: The kinds that must have an errno, and those that may.
ERRNO_NEEDED: frozenset[Kind] = frozenset(("errno", "errno_after"))
ERRNO_TAKEN: frozenset[Kind] = frozenset(
    ("errno", "errno_after", "401", "403", "500", "500_after", "502_after", "504_after"),
)

OPERATIONS = sorted(one.operation for one in vars(endpoints).values() if isinstance(one, endpoints.Endpoint))
