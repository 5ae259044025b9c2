"""Which rows of a test run each time, and which only in `.ci/run slow`."""

from collections.abc import Callable, Iterable

import pytest
from _pytest.mark import ParameterSet


def slow_after(quick: int, rows: Iterable[object]) -> list[ParameterSet]:
    """Return the rows for `parametrize`; those after the first `quick` ones are marked slow. A tuple is a row."""
    return _marked(rows, lambda number: number >= quick)


def slow_but_every(step: int, rows: Iterable[object]) -> list[ParameterSet]:
    """Return the rows for `parametrize`; all but the first of each `step` are marked slow. A tuple is a row."""
    return _marked(rows, lambda number: number % step > 0)


def _marked(rows: Iterable[object], is_slow: Callable[[int], bool]) -> list[ParameterSet]:
    return [
        pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=[pytest.mark.slow] if is_slow(number) else [])
        for number, row in enumerate(rows)
    ]
