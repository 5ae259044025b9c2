"""How long the canned server waits before each page, and the shortest time in which anybody could read them all.

A course is the first segment of the URL's path: milliseconds, the same for every page; `jitter`, of 25 to 75 ms, drawn
by the page's number, so that every contestant meets the same; or `tenth`, of 50 ms, and 400 ms for every tenth page.
"""

from collections.abc import Callable, Mapping
from heapq import heapify, heapreplace
from random import Random

_COURSES: Mapping[str, Callable[[int], float]] = {
    "jitter": lambda number: Random(number).uniform(0.025, 0.075),
    "tenth": lambda number: 0.050 if number % 10 else 0.400,
}


def latency(course: str, number: int) -> float:
    """Return the latency of a page (from 1), in seconds."""
    return _COURSES[course](number) if course in _COURSES else int(course) / 1000


def ideal(course: str, pages: int, workers: int) -> float:
    """Return the seconds in which that many workers read the pages, if nothing but latency took time.

    The first page is read alone, to learn how many there are; then each page, in order, goes to the worker that is free
    first: nobody knows beforehand which ones are slow.
    """
    free_at = [latency(course, 1)] * workers
    heapify(free_at)
    for number in range(2, pages + 1):
        heapreplace(free_at, free_at[0] + latency(course, number))
    return max(free_at)
