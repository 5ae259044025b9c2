"""A lot: some sections that are read side by side, and where they begin. They should all need equally many requests.

Page numbers are hints for their starts. A hint is a page that is a little smaller than the others, so that the rows
that come again at each edge do not cost a request more.
"""

from math import prod, sqrt
from typing import Final, TypeAlias

from workorder_async.walks.list_state import ListState

Hint: TypeAlias = tuple[int, int]
"""The number and the size of a page that shows where a section begins."""
# Requests of a section. With fewer its ends cost more, with more the rows of others wait longer for their turn.
_REQUESTS: Final = 4
# The last lot has shorter ones, so that all end together; with two, where the list has so few pages.
_LEAST_REQUESTS: Final = 3
_FEW_PAGES: Final = 16
# The cost of the ends of a section, as a part of its rows at the most: with small pages, sections are longer.
_COST: Final = 0.1
_MOST_REQUESTS: Final = 32
# The number of rows that come again varies from edge to edge.
_SPARE: Final = 2.5


def next_lot(state: ListState, left: int) -> list[Hint]:
    """Return where the next sections begin, where `left` rows are left behind an answer.

    The last one leads the next lot: behind it the list is cut again.
    """
    least = 2 if left <= _FEW_PAGES * state.full else _LEAST_REQUESTS
    smaller = state.full - _largest_hint(state)
    while smaller + _spare(state, least) > _COST * least * state.full and least < _MOST_REQUESTS:
        least += 1
    for requests in range(least, max(least, _REQUESTS) + 1):
        hints, end = _sections(state, requests, state.slots - 1, left)
        if end >= left:
            return hints
    return _sections(state, max(least, _REQUESTS), state.slots, left)[0]


def _sections(state: ListState, requests: int, most: int, left: int) -> tuple[list[Hint], float]:
    """Cut sections of so many requests each; returns their hints, and how many rows they cover."""
    hints: list[Hint] = []
    behind_hint = (requests - 1) * max(1.0, state.full - state.repeats_at_edges) - _spare(state, requests)
    end = behind_hint
    while end < left and len(hints) < most and end < state.deepest - state.full:
        hints.append(_hint_at(state, end))
        end = prod(hints[-1]) + behind_hint
    return hints, end


def _hint_at(state: ListState, place: float) -> Hint:
    """Return the hint that reaches furthest, and has no more rows than this in front of it."""
    largest = _largest_hint(state)
    pages = max(1, int(place // largest))
    return max((pages + 1, largest), (pages + 2, max(1, int(place // (pages + 1)))), key=prod)


def _largest_hint(state: ListState) -> int:
    return max(1, int(state.full - max(2, state.full // 32, state.repeats_at_edges + 1)))


def _spare(state: ListState, requests: int) -> float:
    """Return how many rows a section reads beyond its end: the row behind it, those of its second, some to spare."""
    return 1 + state.repeats_at_edges + _SPARE * sqrt(requests - 1)
