"""clock.py: what Date headers of whole seconds tell about the server's clock."""

from email.utils import formatdate

import pytest
from hypothesis import given, strategies as st

from workorder_async.signing.clock import ServerClock

START = 1_700_000_000.0


def test_nothing_known() -> None:
    """Before any answer the server's time is ours."""
    clock = ServerClock(lambda: START)
    assert (clock.latest(), clock.offset, clock.is_known) == (START, 0, False)
    clock.observe(None, START, START)
    clock.observe("nonsense", START, START)
    assert not clock.is_known


@given(
    true_offset=st.floats(-1e6, 1e6),
    trips=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 100)), min_size=1, max_size=20),
)
def test_estimate(true_offset: float, trips: list[tuple[float, float, float]]) -> None:
    """The estimate is never off by more than the fastest answer's time plus a second, and 0 stays 0."""
    clock, now = ServerClock(lambda: START), START
    for there, back, pause in trips:
        date = formatdate(now + there + true_offset, usegmt=True)
        clock.observe(date, now, now + there + back)
        now += there + back + pause
    best = min(there + back for there, back, _ in trips)
    assert abs(clock.offset - true_offset) <= best + 1.001
    if abs(true_offset) < 1e-9:
        assert clock.offset == 0


def test_answers_narrow_it() -> None:
    """Several answers at different fractions of a second tell more than one."""
    clock = ServerClock(lambda: START)
    for tenth in range(10):
        now = START + tenth / 10
        clock.observe(formatdate(int(now + 100.75), usegmt=True), now, now)
    assert clock.offset == pytest.approx(100.75, abs=0.06)


def test_a_clock_that_was_set() -> None:
    """An answer that contradicts the ones before starts the estimate anew."""
    clock = ServerClock(lambda: START)
    clock.observe(formatdate(START + 50, usegmt=True), START, START)
    clock.observe(formatdate(START - 900, usegmt=True), START, START)
    assert clock.offset == pytest.approx(-900, abs=1)


def test_what_one_answer_says() -> None:
    """An answer is also read by itself, whatever the ones before said."""
    clock = ServerClock(lambda: START)
    assert clock.observe(formatdate(START + 50, usegmt=True), START, START) == pytest.approx(50, abs=1)
    assert clock.observe(formatdate(START, usegmt=True), START, START + 0.5) == 0
    assert clock.observe("nonsense", START, START) is None


@pytest.mark.parametrize(("says", "latest"), [(-86400, 0), (50, 50)])
def test_latest(says: int, latest: int) -> None:
    """A server that says it is yesterday does not make it so: nothing that exists lies beyond the later clock."""
    clock = ServerClock(lambda: START)
    clock.observe(formatdate(START + says, usegmt=True), START, START)
    assert clock.latest() - START == pytest.approx(latest, abs=1)


@pytest.mark.parametrize(
    ("says", "signs", "safe"), [(-86400, 0, -300), (-100, 0, -100), (50, 0, 50), (-3600, -3600, -3600)]
)
def test_safe_offset(says: int, signs: int, safe: int) -> None:
    """A clock far behind is believed only as far as signatures by it were accepted."""
    clock = ServerClock(lambda: START)
    clock.observe(formatdate(START + says, usegmt=True), START, START)
    clock.signing_offset = signs
    assert clock.safe_offset == pytest.approx(safe, abs=1)
