"""clock.py: what Date headers of whole seconds tell about the server's clock."""

from email.utils import formatdate

import pytest
from hypothesis import given, strategies as st

from tests.support.rows import each
from workorder_async.signing.clock import Ahead, ServerClock

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


@each(("says", "latest"), [(-86400, 0), (50, 50)])
def test_latest(says: int, latest: int) -> None:
    """A server that says it is yesterday does not make it so: nothing that exists lies beyond the later clock."""
    clock = ServerClock(lambda: START)
    clock.observe(formatdate(START + says, usegmt=True), START, START)
    assert clock.latest() - START == pytest.approx(latest, abs=1)


@each(("says", "signs", "known"), [(-86400, 0, False), (-100, 0, True), (50, 0, True), (-3600, -3600, True)])
def test_ahead(says: int, signs: int, *, known: bool) -> None:
    """How far the server is ahead lies between two bounds; a clock far behind must have accepted our signatures."""
    clock = ServerClock(lambda: START)
    assert clock.ahead() is None
    clock.observe(formatdate(START + says, usegmt=True), START, START + 0.5)
    clock.signing_offset = signs
    assert clock.ahead() == (Ahead(says - 0.5, says + 1) if known else None)


def test_contradictions() -> None:
    """After answers that contradict each other nothing is known, until twenty in a row agree."""
    clock = ServerClock(lambda: START)
    for says in [100, -100, *[100] * 20]:
        clock.observe(formatdate(START + says, usegmt=True), START, START)
        assert (clock.ahead() is None) == (says == -100 or clock._doubts > 0)
    assert clock.ahead() is None
    clock.observe(formatdate(START + 100, usegmt=True), START, START)
    assert clock.ahead() == Ahead(100, 101)


def test_an_answer_that_took_long() -> None:
    """What is known only to ten seconds is not known."""
    clock = ServerClock(lambda: START)
    clock.observe(formatdate(START, usegmt=True), START, START + 10)
    assert clock.ahead() is None


@each("seconds", [-3600.0, -40.0, 40.0, 200.0])
def test_our_clock_is_set_while_an_answer_is_under_way(seconds: float) -> None:
    """That answer tells nothing, and does not make the earlier ones true by the new clock."""
    steady, offset = 0.0, 0.0
    clock = ServerClock(lambda: START + steady + offset)

    def answer(sent: float) -> None:
        clock.observe(formatdate(START + steady, usegmt=True), sent, clock.local(), lambda: steady)

    answer(clock.local())
    steady = 10.5
    before = clock.local()
    assert clock.ahead() == Ahead(0.0, 1.0)
    offset = seconds
    answer(before)
    assert clock.ahead() is None
    for _ in range(30):
        steady += 0.5
        answer(clock.local())
    ahead = clock.ahead()
    assert ahead is not None
    assert ahead.least <= -seconds <= ahead.most
    assert ahead.most - ahead.least <= 1


@each("seconds", [-3600.0, -3.0, -1.0, 0.0, 1.0, 3.0, 3600.0])
def test_our_clock_is_set(seconds: float) -> None:
    """Since the latest answer: how far the server's is ahead is not known, until the next one tells."""
    steady, offset = 0.0, 0.0
    clock = ServerClock(lambda: START + steady + offset)
    clock.observe(formatdate(START, usegmt=True), START, START, lambda: steady)
    steady = 1000.0
    assert clock.ahead() == Ahead(0.0, 1.0)
    offset = seconds
    assert (clock.ahead() is None) is (abs(seconds) > 2)
