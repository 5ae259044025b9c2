"""list_state.py: what a walk remembers of a list."""

import pytest

from tests.support.list_server import BEGAN
from workorder_async import TicketQuery
from workorder_async.walks.list_state import ListState
from workorder_async.walks.pages import Ask, Page, Proofs, Record
from workorder_async.walks.windows import Window


def page_of(ids: range, total: int, *, number: int = 1, size: int = 100, asked: int = 100) -> Page:
    """Return an answer with these tickets."""
    rows: list[Record] = [{"id": id, "created_time": BEGAN} for id in ids]
    ask = Ask(None, None, number, asked)
    return Page(ask, rows, [*ids], [BEGAN for _ in ids], [], len(ids), total, size, is_in_range=True)


def test_an_empty_answer_that_says_no_size() -> None:
    """It is no full page of no rows."""
    state = ListState(Window(TicketQuery()), 4, 100, Proofs())
    assert not state.is_cut(page_of(range(0), 0, size=0))


@pytest.mark.parametrize(
    ("total", "after", "is_last"),
    [
        (50, page_of(range(50, 100), 50, number=2), False),
        (50, page_of(range(50, 51), 1, number=2), False),
        (50, page_of(range(0), 0, number=2), True),
        (50, page_of(range(50), 50, number=2), True),
        (50, None, True),
        (0, page_of(range(50, 100), 0, number=2), False),
        (0, page_of(range(0), 0, number=2), True),
        (0, None, False),
    ],
)
def test_what_stands_behind_a_page(total: int, after: Page | None, *, is_last: bool) -> None:
    """A total that is the number of the page's rows is believed unless more stands behind them; one that is less never.

    From then on as many rows are a full page.
    """
    state, page = ListState(Window(TicketQuery()), 4, 100, Proofs()), page_of(range(50), total)
    assert state.is_miscounted(page)
    state.see_behind(page, after)
    assert (page.is_last, state.is_cut(page)) == (is_last, not is_last)
    if total:
        assert state.is_cut(page_of(range(50), 50)) is not is_last
        assert state.is_miscounted(page_of(range(7), 7)) is not is_last


@pytest.mark.parametrize(
    ("asked", "shown", "total", "proves"),
    [
        (100, 100, 247, True),
        (200, 200, 247, True),
        (100, 100, 250, False),
        (100, 100, 100, False),
        (100, 50, 247, False),
        (100, 23, 24, False),
        (20, 20, 47, False),
        (1, 1, 47, False),
    ],
)
def test_a_total_that_counts_on(asked: int, shown: int, total: int, *, proves: bool) -> None:
    """It serves later walks; but where rows were read that are not shown, these may be one of its own pages."""
    seen = Proofs()
    ListState(Window(TicketQuery()), 4, 100, seen).see_size(page_of(range(shown), total, asked=asked))
    assert ListState(Window(TicketQuery()), 4, 100, seen).is_miscounted(page_of(range(50), 50)) is not proves
