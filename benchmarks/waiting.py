"""Rows pipeline, jitter and tenth: how near walks over pages with latency come to the ideal, in order."""

from math import ceil

from benchmarks.latency import ideal
from benchmarks.measuring import Comparison, Contestant, Plan, Row, Sample, race
from benchmarks.others import WORKERS, bare_loop, by_hand, in_batches, page_after_page
from benchmarks.pages import page_count
from benchmarks.server import canned_server
from benchmarks.walking import course, iter_tickets

_MS = 50
# What does not pipeline takes seconds a round, and hardly varies.
_SLOW_ROUNDS = 2

_OURS = "iter_tickets"
_BARE = "the bare loop of row walk"
_BATCHES = f"aiohttp by hand, gathered in batches of {WORKERS}"
_BY_HAND = "aiohttp by hand: response.json(), dicts, page after page"
_IDEAL = "ideal"


def measure_pipeline(plan: Plan) -> Row:
    """Measure a walk over pages of which each takes as long as the others."""
    pages = page_count(plan.tickets)
    naive = pages / WORKERS * _MS
    return _measure(
        plan,
        "pipeline",
        f"iter_tickets at {_MS} ms a page, {WORKERS} in flight",
        0.93,
        f"the ideal is 1 + ceil({pages - 1} / {WORKERS}) = {1 + ceil((pages - 1) / WORKERS)} rounds of {_MS} ms, the "
        f"first page being read alone; {pages} / {WORKERS} * {_MS} ms = {naive:.0f} ms would need the number of pages "
        "to be known beforehand",
        latencies=str(_MS),
    )


def measure_jitter(plan: Plan) -> Row:
    """Measure a walk over pages of which each takes another time."""
    return _measure(plan, "jitter", f"iter_tickets at 25 to 75 ms, {WORKERS} in flight", 0.80, _SCHEDULE)


def measure_tenth(plan: Plan) -> Row:
    """Measure a walk over pages of which every tenth is 8 times as slow."""
    return _measure(plan, "tenth", "iter_tickets, 50 ms, every tenth page 400", 0.80, _SCHEDULE)


_SCHEDULE = (
    f"the ideal is the first page alone, then each page, in order, to the one of {WORKERS} workers that is free first; "
    "nobody knows beforehand which pages are slow"
)


def _measure(plan: Plan, name: str, what: str, goal: float, meaning: str, *, latencies: str | None = None) -> Row:
    """Measure a row of the name of its course, or with these latencies."""
    latencies = latencies or name
    best = ideal(latencies, page_count(plan.tickets), WORKERS)
    with canned_server(plan.tickets) as server, course(f"{server}/{latencies}", plan.tickets) as timed:
        contestants: dict[str, Contestant] = {
            _IDEAL: lambda: best,
            _OURS: timed(iter_tickets),
            _BARE: timed(bare_loop),
        }
        # The ideal never varies: the bare loop tells whether the machine held still.
        result = race(_BARE, contestants, plan.rounds)
        slow = {
            _BATCHES: timed(lambda url: by_hand(url, in_batches)),
            _BY_HAND: timed(lambda url: by_hand(url, page_after_page)),
        }
        rounds = min(_SLOW_ROUNDS, plan.rounds)
        slowly = {one: Sample(tuple(run() for _ in range(rounds))) for one, run in slow.items()}
    ours = result.seconds[_OURS].median
    return Row(
        name,
        what,
        f"the ideal, {best * 1000:.0f} ms",
        ">=",
        goal,
        result.ratio(_IDEAL, _OURS),
        result,
        beside=(
            Comparison(_BARE, result.ratio(_BARE, _OURS)),
            *(Comparison(one, sample.times(1 / ours)) for one, sample in slowly.items()),
        ),
        notes=(
            f"{meaning}; taken: {ours * 1000:.0f} ms",
            f"bare loop: {result.ratio(_IDEAL, _BARE).median:.2f} of the ideal, without keeping the order",
        ),
    )
