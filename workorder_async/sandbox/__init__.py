"""The embedded sandbox: a server of the whole work-order API on this machine, to try things out and to test bots.

    async with Sandbox(tickets=500) as sandbox:
        async with sandbox.client() as client:
            page = await client.list_tickets()

It keeps to the API document. The document leaves some things open: errnos, action codes, the creator of a ticket, how
tags are joined. There the sandbox makes its own choice and says so. Such a choice is no hint at the platform.
"""

from workorder_async.described import describe
from workorder_async.sandbox.drift import Drift, Drifted, Pick
from workorder_async.sandbox.errnos import SANDBOX_ERRNOS, Errno
from workorder_async.sandbox.faults import Fault, Kind, Struck
from workorder_async.sandbox.sandbox import Sandbox
from workorder_async.sandbox.shapes import Spelling
from workorder_async.sandbox.store import Applied
from workorder_async.wire.options import ClientOptions

__all__ = ["SANDBOX_ERRNOS", "Kind", "Pick", "Spelling"]
__all__ += ["Applied", "ClientOptions", "Drift", "Drifted", "Errno", "Fault", "Sandbox", "Struck"]

for _kind in (Applied, ClientOptions, Drift, Drifted, Errno, Fault, Sandbox, Struck):
    describe(_kind)
