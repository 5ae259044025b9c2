"""The embedded sandbox: a server of the whole work-order API on this machine, to try things out and to test bots.

    async with Sandbox(tickets=500) as sandbox:
        async with sandbox.client() as client:
            page = await client.list_tickets()

It keeps to the API document; what the document leaves open (errnos, action codes, who is a ticket's creator, how tags
are joined) is the sandbox's own choice, said where it is made, and never a hint at what the platform does.
"""

from workorder_async.described import describe
from workorder_async.sandbox.drift import Drift, Drifted, Pick
from workorder_async.sandbox.errnos import SANDBOX_ERRNOS, Errno
from workorder_async.sandbox.faults import Fault, Kind, Struck
from workorder_async.sandbox.sandbox import Sandbox
from workorder_async.sandbox.shapes import Spelling
from workorder_async.sandbox.store import Applied
from workorder_async.wire.options import ClientOptions

__all__ = [
    "SANDBOX_ERRNOS",
    "Applied",
    "ClientOptions",
    "Drift",
    "Drifted",
    "Errno",
    "Fault",
    "Kind",
    "Pick",
    "Sandbox",
    "Spelling",
    "Struck",
]

for _kind in (Applied, ClientOptions, Drift, Drifted, Errno, Fault, Sandbox, Struck):
    describe(_kind)
