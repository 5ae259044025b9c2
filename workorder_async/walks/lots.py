"""How a list is cut into a lot of sections, which are read side by side. Page numbers are hints for where they begin.

A section is read by one request at a time, so all of a lot should need equally many. A hint is a page that is a little
smaller than the others, so that the rows that come again at each edge do not cost a request more. It may lie anywhere:
a hint that is off makes a section longer or shorter, and loses no ticket.
"""

from math import sqrt
from typing import Final

from attrs import frozen

from workorder_async.walks.list_state import ListState

# Requests of a section. With fewer its ends cost more, with more the rows of others wait longer for their turn.
_REQUESTS: Final = 4
# The last lot has shorter ones, so that all end together; with two, where the list has so few pages.
_LEAST_REQUESTS: Final = 3
_FEW_PAGES: Final = 16
# What the ends of a section cost, as a part of its rows at the most: with small pages, sections are longer.
_COST: Final = 0.1
_MOST_REQUESTS: Final = 32
# What comes again varies from edge to edge.
_SPARE: Final = 2.5


@frozen
class Hint:
    """A page that shows where a section begins."""

    page: int
    size: int

    @property
    def place(self) -> int:
        """How many rows stand in front of it."""
        return (self.page - 1) * self.size


def next_lot(state: ListState, left: int) -> list[Hint]:
    """Return where the next sections begin, where `left` rows are left behind an answer.

    The last one leads the next lot: behind it the list is cut again.
    """
    least = 2 if left <= _FEW_PAGES * state.full else _LEAST_REQUESTS
    while _cost(state, least) > _COST * least * state.full and least < _MOST_REQUESTS:
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
        end = hints[-1].place + hints[-1].size + behind_hint
    return hints, end


def _hint_at(state: ListState, place: float) -> Hint:
    """Return the hint that reaches furthest, and has no more rows than this in front of it."""
    largest = _largest_hint(state)
    pages = max(1, int(place // largest))
    candidates = [Hint(pages + 1, largest), Hint(pages + 2, max(1, int(place // (pages + 1))))]
    return max(candidates, key=lambda hint: hint.place + hint.size)


def _largest_hint(state: ListState) -> int:
    return max(1, int(state.full - max(2, state.full // 32, state.repeats_at_edges + 1)))


def _spare(state: ListState, requests: int) -> float:
    """Return how many rows a section reads beyond its end: the row behind it, those of that second, some to spare."""
    return 1 + state.repeats_at_edges + _SPARE * sqrt(requests - 1)


def _cost(state: ListState, requests: int) -> float:
    """Return by how many rows the ends of a section make its requests bring less."""
    return _spare(state, requests) + state.full - _largest_hint(state)
