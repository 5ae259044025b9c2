"""Which rows of a test run each time, and which only in `.ci/run slow`."""

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet


def slow_after(quick: int, rows: Iterable[object]) -> list[ParameterSet]:
    """Return the rows for `parametrize`; those after the first `quick` ones are marked slow. A tuple is a row."""
    marked = []
    for number, row in enumerate(rows):
        values = row if isinstance(row, tuple) else (row,)
        marked.append(pytest.param(*values, marks=[pytest.mark.slow] if number >= quick else []))
    return marked
