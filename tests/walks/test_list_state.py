"""list_state.py: what a walk remembers of a list."""

from tests.support.list_server import BEGAN
from workorder_async import TicketQuery
from workorder_async.walks.list_state import ListState, RangeFilter
from workorder_async.walks.pages import Record
from workorder_async.walks.windows import Window


def test_what_was_given_once_is_not_given_again() -> None:
    """Neither what came before the list was read anew, nor what came since."""
    state = ListState(Window(TicketQuery()), 4, 100, RangeFilter())
    rows: list[Record] = [{"id": id, "created_time": BEGAN} for id in range(5)]
    assert state.only_new(rows[:2], [0, 1]) == (rows[:2], [0, 1])
    state.tell_apart()
    assert state.only_new(rows[:3], [0, 1, 2]) == (rows[2:3], [2])
    state.tell_apart()
    assert state.only_new(rows[1:5], [1, 2, 3, 4]) == (rows[3:], [3, 4])
    assert state.tickets == 5
