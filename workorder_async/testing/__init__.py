"""The test kit: a sandbox for tests of any kind, assertions about its mutations, and programs that are killed.

    @pytest.mark.workorder(tickets=50, faults=[Fault("reset_after", operation="comment_ticket", times=1)])
    async def test_one_comment(workorder_sandbox, workorder_client):
        await my_bot(workorder_client)
        assert_applied(workorder_sandbox, [CommentTicket(id=1001, detail="收到")])

With pytest the marker and three fixtures come with the package: these two, and `workorder_env`.
"""

from workorder_async.described import describe
from workorder_async.testing.applied import Expected, assert_applied
from workorder_async.testing.killing import Kill, run_killed
from workorder_async.testing.sandbox_thread import Moment, SandboxThread

__all__ = ["Expected", "Kill", "Moment", "SandboxThread", "assert_applied", "run_killed"]

describe(Kill)
