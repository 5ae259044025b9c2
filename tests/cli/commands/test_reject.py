"""`workorder reject`: what it sends by itself; see test_comment.py for the rest."""

from collections.abc import Callable

from tests.support.cli_changes import sent
from tests.support.cli_runs import Workorder
from workorder_async.sandbox import Sandbox


def test_a_rejection_needs_no_reason(workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int]) -> None:
    """`reject ID` alone sends the id alone."""
    id = new_ticket()
    assert workorder("reject", id).code == 0
    assert sent(sandbox, "reject_ticket", id) == {"id": id}
