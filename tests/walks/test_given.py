"""given.py: the tickets that a walk has given out."""

from tests.support.list_server import BEGAN
from workorder_async.walks.given import GivenTickets
from workorder_async.walks.pages import Record


def test_what_was_given_once_is_not_given_again() -> None:
    """Neither what came before the list was read anew, nor what came since."""
    given = GivenTickets()
    rows: list[Record] = [{"id": id, "created_time": BEGAN} for id in range(5)]
    assert given.only_new(rows[:2], [0, 1]) == (rows[:2], [0, 1])
    given.tell_apart()
    assert given.only_new(rows[:3], [0, 1, 2]) == (rows[2:3], [2])
    given.tell_apart()
    assert given.only_new(rows[1:5], [1, 2, 3, 4]) == (rows[3:], [3, 4])
    assert given.count == 5
