"""A lot: the next sections to be read side by side. It is cut so that all of them should take equally many requests.

A section starts at a *hint*, a page that is asked for by its number:

    hint of A | request | request | request | hint of B | request | ...

A hint is a little smaller than other pages: at each edge some rows come again, and a section of whole pages would take
one more request for them.
"""

from math import prod, sqrt
from typing import Final, TypeAlias

from workorder_async.walks.list_state import ListState

Hint: TypeAlias = tuple[int, int]
"""The number and the size of a page that shows where a section begins."""
# Requests of a section, its hint among them. In shorter sections more rows come again; behind longer ones, the rows of
# later sections wait longer for their turn.
_REQUESTS: Final = 4
# The last lot may have shorter sections, so that all end together; even two requests, if so few pages are left.
_LEAST_REQUESTS: Final = 3
_FEW_PAGES: Final = 16
# The cost of a section's ends, as a share of its rows at the most: the rows that its hint lacks, and those read below
# the next start. So sections of small pages take more requests.
_COST: Final = 0.1
_MOST_REQUESTS: Final = 32
# How many rows more may come again at the edges of a section than on average: so many times the root of the number of
# its edges.
_SPARE: Final = 2.5


def next_lot(state: ListState, left: int) -> list[Hint]:
    """Return the hints of the sections behind an answer, if `left` rows of its range are left behind it.

    The last section of a lot leads to the next lot: its first answer tells how much is left to be cut behind it.
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
    """Cut at most `most` sections of so many requests each; return their hints, and how many rows all cover."""
    hints: list[Hint] = []
    behind_hint = (requests - 1) * max(1.0, state.full - state.repeats_at_edges) - _spare(state, requests)
    end = behind_hint
    while end < left and len(hints) < most and end < state.deepest - state.full:
        hints.append(_hint_at(state, end))
        end = prod(hints[-1]) + behind_hint
    return hints, end


def _hint_at(state: ListState, place: float) -> Hint:
    """Return the hint that ends as far down as possible, with at most `place` rows in front of it."""
    largest = _largest_hint(state)
    pages = max(1, int(place // largest))
    return max((pages + 1, largest), (pages + 2, max(1, int(place // (pages + 1)))), key=prod)


def _largest_hint(state: ListState) -> int:
    return max(1, int(state.full - max(2, state.full // 32, state.repeats_at_edges + 1)))


def _spare(state: ListState, requests: int) -> float:
    """Return how many rows a section reads below the next start: one row, others of its second, and some to spare."""
    return 1 + state.repeats_at_edges + _SPARE * sqrt(requests - 1)
