"""outcomes.py: which ticket an outcome is about."""

import pytest

from tests.support.mutations import creation
from workorder_async.batches.outcomes import Outcome, State
from workorder_async.document import CommentTicket


@pytest.mark.parametrize("state", State)
def test_ticket_of_every_outcome(state: State) -> None:
    """Each outcome tells its ticket, whatever became of the mutation; of a creation 0, as long as it is not known."""
    assert Outcome(CommentTicket(id=7, detail="x"), state).ticket_id == 7
    assert Outcome(creation(), state).ticket_id == 0
    assert Outcome(creation(), state, ticket_id=9).ticket_id == 9
