"""cli/failures.py: equal errors once, with their count."""

import pytest

from workorder_async.cli.failures import Complaints
from workorder_async.errors import ApiError, DeadlineExceededError, NoAnswerError, ResponseError, WorkorderError


def lines(*told: tuple[int, WorkorderError]) -> list[str]:
    """Return what is said of these errors."""
    complaints = Complaints()
    for id, error in told:
        complaints.add(id, error)
    return [line.partition("; hint")[0] for line in complaints.lines()]


def test_one_is_said_as_it_is() -> None:
    """The error of one ticket stands behind its number, whole."""
    assert lines((7, NoAnswerError("gone", operation="close_ticket", attempts=2, request_id="r-1"))) == [
        "ticket 7: close_ticket: gone (2 attempts, request_id r-1)"
    ]


@pytest.mark.parametrize("count", [2, 3, 4, 5000])
@pytest.mark.slow
def test_equal_ones_are_said_once(count: int) -> None:
    """Whatever the request ids and attempts: the first tickets, how many more, and the sentence of the first."""
    said = lines(*((id, NoAnswerError("gone", attempts=id, request_id=f"r-{id}")) for id in range(1, count + 1)))
    named = {2: "1, 2", 3: "1, 2, 3", 4: "1, 2, 3 and 1 more", 5000: "1, 2, 3 and 4,997 more"}[count]
    assert said == [f"tickets {named}: gone (request_id r-1)"]


def test_what_differs_only_by_numbers_is_equal() -> None:
    """A ticket's number or the seconds of a call make no other error; an errno, a status, a class or a word does."""
    said = lines(
        (41, ApiError("errno 90005 工单41不存在", errno=90005)),
        (7, ApiError("errno 90005 工单7不存在", errno=90005)),
        (8, ApiError("errno 90006 工单8不存在", errno=90006)),
        (9, DeadlineExceededError("no answer within 90 s (0.1 s queue, 89.9 s request)")),
        (10, DeadlineExceededError("no answer within 90 s (1.2 s queue, 88.8 s request)")),
        (11, NoAnswerError("no answer within 90 s (1.2 s queue, 88.8 s request)")),
        (12, ResponseError("HTTP 502", status=502)),
        (13, ResponseError("HTTP 504", status=504)),
    )
    assert [line.partition(":")[0] for line in said] == [
        *("tickets 41, 7", "ticket 8", "tickets 9, 10", "ticket 11", "ticket 12", "ticket 13"),
    ]


def test_of_different_ones_a_thousand_are_told() -> None:
    """However different the errors of a batch are, they fill no screen; how many were left out is said."""
    said = lines(*((10**9, NoAnswerError("x" * number)) for number in range(1, 1501)))
    assert (len(said), said[-1]) == (1001, "... and 500 more")
