"""Random games: lists of any length and order, of servers with up to three bad habits at once, that may move meanwhile.

What no walk can see is left out: tickets without a created time in a list that moves or counts wrongly as well. So are
pages of one row, which take too many requests.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from attrs import asdict, define, evolve

from tests.support.list_server import Habits, ListServer, Row, evenly
from tests.support.slow import slow_after
from tests.support.walk_games import Game
from workorder_async import ResponseError, TicketQuery
from workorder_async.walks.windows import Window

LENGTHS = (0, 1, 5, 19, 20, 21, 39, 40, 41, 60, 99, 100, 101, 150, 200, 300, 401, 700, 1500)
OFF = (-1, 1, -2, 2, 60, -60, 3600, 28_800, -28_800)
HABITS: dict[str, tuple[Any, ...]] = {
    "order": ("oldest", "nearly", "none", "open last"),
    "filter": ("exclusive", "half", "shifted", "ignored", "milliseconds"),
    "late": OFF,
    "early": OFF,
    "unit": (60, 3600, 86_400),
    "size_cap": (5, 10, 20, 50, 99),
    "later_cap": (7, 37),
    "cap": (0, 1, 33, 77, 230),
    "depth": (20, 50, 100, 200),
    "empty_beyond": (True,),
    "ties": (True,),
    "ties_by_page": (True,),
    "refuses": (0.1, 0.5, 1.0),
    "ignores_page": (True,),
    "factor": (0, 0.5, 1.5, 3),
    "empty": (0.02,),
    "undated": (0.01, 0.1, 1.0),
    "hidden": (0.01, 0.1, 0.5),
    "echoes_size": (True,),
    "stray_size": (0.05, 0.5),
    "short": (0.05, 0.3),
    "ignores_size": (5, 20, 50, 100, 200),
}


def swap(server: ListServer) -> None:
    """Let three tickets leave, and three enter."""
    server.leave(3)
    server.enter(3)


DRIFTS: tuple[Callable[[ListServer], None] | None, ...] = (
    None,
    swap,
    lambda server: server.leave(3, may_return=False),
    lambda server: server.enter(1),
    lambda server: server.create(1),
)


@define
class Chance:
    """One game by its seed."""

    random: Random

    def rows(self) -> list[Row]:
        """Return tickets, of which some may share a second, or all a full minute."""
        random = self.random
        rows, kind = (
            evenly(random, random.choice(LENGTHS), random.choice([0.02, 0.1, 0.3, 1, 3, 50, 4000])),
            random.random(),
        )
        if kind < 0.15 and rows:
            first = random.randrange(len(rows))
            last = random.randrange(first, len(rows))
            rows = [(rows[first][0] if first <= place <= last else time, id) for place, (time, id) in enumerate(rows)]
        return [(time // 60 * 60, id) for time, id in rows] if kind > 0.9 else sorted(rows)

    def habits(self) -> dict[str, Any]:
        """Return up to three habits."""
        random = self.random
        habits = {
            name: random.choice(HABITS[name]) for name in random.sample([*HABITS], random.choice([0, 1, 1, 2, 2, 3]))
        }
        if habits.get("order") == "nearly":
            habits["skew"] = random.choice([1, 2, 5, 20, 200])
        if "unit" in habits:
            habits["rounds"] = random.choice(["both", "start", "end"])
        if habits.get("filter") == "shifted":
            habits["shift"] = random.choice(OFF)
        if {"undated", "hidden", "short"} & habits.keys():
            habits = {name: value for name, value in habits.items() if name not in ("cap", "factor", "ignores_page")}
        return habits

    def window(self, rows: list[Row]) -> Window:
        """Return the whole list, or a range of it."""
        random = self.random
        if not rows or random.random() < 0.8:
            return Window(TicketQuery())
        start, end = sorted([random.choice(rows)[0], random.choice(rows)[0] + random.choice([0, 1, 60])])
        query = TicketQuery(created_start=start, created_end=end)
        return Window(random.choice([query, evolve(query, created_end=None), evolve(query, created_start=None)]))

    def game(self) -> Game:
        """Return the game."""
        random, rows, habits = self.random, self.rows(), self.habits()
        drift = None if "undated" in habits else random.choice((None, None, *DRIFTS))
        server = ListServer(random, rows, Habits(**habits), drift)
        times = [time for time, _ in rows]
        server.away = [(random.randrange(min(times), max(times) + 1), 10**6 + id) for id in range(100 if rows else 0)]
        slots, size = random.choice([1, 2, 3, 8, 16, 32]), random.choice([1, 20, 21, 50, 100, 100, 200])
        jitter, slow = random.choice([0.0, 3.0]), random.choice([0.0, 0.0, 0.05])
        return Game(server, slots, size, jitter=jitter, slow=slow, window=self.window(rows))


def play(seed: int) -> None:
    """Play a game: no ticket comes twice, and none is missed that the walk says to have."""
    game = Chance(Random(f"chance {seed}")).game()
    try:
        report = game.play()
    except ResponseError:
        return  # it shows tickets that were not asked for
    times = {id: time for time, id in game.server.rows}
    is_whole = game.window.span == (None, None)
    missed = {id for id in game.missed if is_whole or (game.window.owns(times[id]) and id not in game.server._undated)}
    habits = asdict(game.server.habits, filter=lambda field, value: value != field.default)
    told = (seed, habits, game.window, report)
    assert not game.twice, told
    assert not (report.exact and missed), (told, missed)
    assert report.tickets == len(game.came), told


@pytest.mark.parametrize("first", slow_after(1, range(0, 500, 100)))
def test_each_ticket_once(first: int) -> None:
    """A hundred games."""
    for seed in range(first, first + 100):
        play(seed)


def test_a_section_without_a_second_of_its_own() -> None:
    """Where a section begins at the key at which the next one does, what that one lacks is not given twice."""
    play(3938)


@pytest.mark.torture
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("first", range(0, 20_000, 1000))
def test_twenty_thousand_games(first: int) -> None:
    """The same, twenty thousand times."""
    for seed in range(first, first + 1000):
        play(seed)
