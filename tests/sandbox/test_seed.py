"""sandbox/seed.py: tickets to begin with."""

import pytest

from workorder_async.errors import ConfigError
from workorder_async.sandbox import Sandbox
from workorder_async.sandbox.seed import END, SPAN, tickets

TIMES = [
    *("reported_time", "created_time", "started_time", "finished_time", "solved_time", "closed_time"),
    *("suspended_time", "updated_time", "updated_progress_time"),
]


def test_the_same_tickets_whatever_the_end() -> None:
    """The end moves the times of tickets, and nothing else of them."""
    fixed, moved = list(tickets(500, 3)), list(tickets(500, 3, END + 1000))
    assert [one["title"] for one in fixed] == [one["title"] for one in moved]
    assert [one["created_time"] + 1000 for one in fixed] == [one["created_time"] for one in moved]


@pytest.mark.slow
def test_nothing_has_happened_after_the_end() -> None:
    """Until the end means that no time of a ticket is later, and each comes after the one before it."""
    end = 1_800_000_000
    made = list(tickets(20_000, 1, end))
    assert all(one[name] <= end for one in made for name in TIMES)
    assert made[0]["created_time"] >= end - SPAN
    assert made[-1]["created_time"] >= end - 3600
    closed = [one for one in made if one["closed_time"]]
    assert all(one["created_time"] <= one["started_time"] <= one["closed_time"] for one in closed)


@pytest.mark.parametrize("until", [0, 1_800_000_000_000, 1.8e9, True])
def test_an_end_that_cannot_be_is_refused(until: int) -> None:
    """Milliseconds, fractions and the years before 1972 are no end."""
    with pytest.raises(ConfigError, match="until is"):
        Sandbox(1, until=until)
