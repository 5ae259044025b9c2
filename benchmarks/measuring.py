"""How things are measured: in rounds, in turns, as medians, beside a floor that has to hold still.

In every round each contestant runs once, and each round begins with another one. What is compared are the times of one
round, so that whatever slows the machine for longer than a round slows both sides. A set of rounds whose floor varies
by more than 20 % (from its first to its third quartile, over its median) is measured again, a few times at most; the
set whose floor varied least counts, and how much it varied is part of the result.
"""

from collections.abc import Callable, Mapping
from operator import sub, truediv
from statistics import median, quantiles
from typing import Literal, TypeAlias

from attrs import frozen

#: A row that takes minutes reads a list so many times as long, and in no more rounds than these.
HEAVY_TIMES = 100
HEAVY_ROUNDS = 3

_CALM = 0.20
_MOST_SETS = 4

Contestant: TypeAlias = Callable[[], float]
"""Runs once and returns what it measured, in seconds."""


class RowLeftOutError(Exception):
    """A row cannot be measured here, for want of something that a machine need not have; says what."""


@frozen
class Sample:
    """What the rounds of one set gave, in the order of the rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def low(self) -> float:
        """The lowest value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The highest value."""
        return max(self.values)

    @property
    def spread(self) -> float:
        """The distance of the quartiles over the median."""
        if len(self.values) == 1:
            return 0.0
        first, _, third = quantiles(self.values, n=4, method="inclusive")
        return (third - first) / self.median

    def times(self, factor: float) -> "Sample":
        """Return the same in another unit."""
        return Sample(tuple(value * factor for value in self.values))


@frozen
class Race:
    """The set of rounds that counts: seconds by contestant, and how many sets were run to get it."""

    floor: str
    seconds: Mapping[str, Sample]
    sets: int

    @property
    def spread(self) -> float:
        """How much the floor varied."""
        return self.seconds[self.floor].spread

    @property
    def calm(self) -> bool:
        """Whether the floor varied so little that the figures can be trusted."""
        return self.spread <= _CALM

    def ratio(self, over: str, under: str) -> Sample:
        """Return how many times as long as `under` the contestant `over` took, round by round."""
        return self._by_round(truediv, over, under)

    def excess(self, over: str, under: str) -> Sample:
        """Return how many seconds longer than `under` the contestant `over` took, round by round."""
        return self._by_round(sub, over, under)

    def _by_round(self, compare: Callable[[float, float], float], over: str, under: str) -> Sample:
        return Sample(tuple(map(compare, self.seconds[over].values, self.seconds[under].values)))


def race(floor: str, contestants: Mapping[str, Contestant], rounds: int) -> Race:
    """Let the contestants, of which one is the floor, run in turns, after one round that does not count."""
    for run in contestants.values():
        run()
    best, sets = _rounds(contestants, rounds), 1
    while best[floor].spread > _CALM and sets < _MOST_SETS:
        best = min(best, _rounds(contestants, rounds), key=lambda seconds: seconds[floor].spread)
        sets += 1
    return Race(floor, best, sets)


def _rounds(contestants: Mapping[str, Contestant], rounds: int) -> Mapping[str, Sample]:
    order = list(contestants)
    values: dict[str, list[float]] = {name: [] for name in order}
    for _ in range(rounds):
        for name in order:
            values[name].append(contestants[name]())
        order.append(order.pop(0))
    return {name: Sample(tuple(values[name])) for name in contestants}


@frozen
class Plan:
    """What the command line asked for: rounds per set, and tickets in the list that is read."""

    rounds: int
    tickets: int


@frozen
class Comparison:
    """One line beside a row: how we stand against something else that a user could run instead.

    `seen` is None where it could not be measured; `against` then says why.
    """

    against: str
    seen: Sample | None
    meaning: str = "times the throughput of"


@frozen
class Row:
    """One row of the table: what was measured over which floor, the goal, and what was seen."""

    name: str
    what: str
    floor: str
    sign: Literal["<=", ">="]
    goal: float
    seen: Sample
    race: Race
    unit: str = ""
    beside: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Whether the median reaches the goal: "ok" or "misses"."""
        reached = self.seen.median <= self.goal if self.sign == "<=" else self.seen.median >= self.goal
        return "ok" if reached else "misses"
