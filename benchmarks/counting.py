"""Rows calls and instructions: what a page of a whole walk costs, counted instead of timed; `__main__` is one run.

A count does not vary with what else the machine does. Each loop reads a short and a long list, and the difference, over
the pages between them, is what a page costs: what is done once cancels out. Instructions are counted by callgrind, of
valgrind, for which orjson takes slower ways through a text than it would else: a ratio of them is nearer to 1 than one
of times. Calls are those of functions, in Python and in C, by `sys.setprofile`.
"""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import FrameType

from benchmarks.child import ROOT
from benchmarks.fair import fair_loop
from benchmarks.measuring import Comparison, Plan, Race, Row, RowLeftOutError, Sample
from benchmarks.others import bare_loop
from benchmarks.pages import PAGE_SIZE, page_count
from benchmarks.server import canned_server
from benchmarks.walking import iter_tickets

_OURS, _FAIR, _BARE = "iter_tickets", "fair loop", "bare loop"
_LOOPS: Mapping[str, Callable[[str], Awaitable[int]]] = {_OURS: iter_tickets, _FAIR: fair_loop, _BARE: bare_loop}
_COLLECTED = re.compile(r"Collected : (\d+)")


def measure_calls(plan: Plan) -> Row:
    """Count the calls of functions for a page."""
    a_page = {loop: _of_a_page(loop, plan.tickets, calls) for loop in _LOOPS}
    return _row("calls", "calls of functions", a_page, "{:.0f}")


def measure_instructions(plan: Plan) -> Row:
    """Count the instructions of the processor for a page."""
    if shutil.which("valgrind") is None:
        raise RowLeftOutError("valgrind is not installed")
    a_page = {loop: _of_a_page(loop, plan.tickets, instructions) / 1e6 for loop in _LOOPS}
    return _row("instructions", "instructions", a_page, "{:.2f} million")


def _row(name: str, what: str, a_page: Mapping[str, float], form: str) -> Row:
    over = {loop: Sample((a_page[_OURS] / a_page[loop],)) for loop in (_FAIR, _BARE)}
    return Row(
        name,
        f"iter_tickets, {what} a page",
        "loop by hand that signs, orders and decodes",
        "<=",
        1.15,
        over[_FAIR],
        Race(_FAIR, {loop: Sample((one,)) for loop, one in a_page.items()}, 1),
        beside=(Comparison(_BARE, over[_BARE], "times those of the"),),
        notes=(f"{what} a page: " + ", ".join(f"{loop} {form.format(one)}" for loop, one in a_page.items()),),
    )


def _of_a_page(loop: str, tickets: int, count: Callable[[str, str], int]) -> float:
    """Return what a page costs: the difference of a list and one of a quarter of its pages."""
    pages = max(4, page_count(tickets))
    short, long = (_of_a_list(loop, some, count) for some in (pages // 4, pages))
    return (long - short) / (pages - pages // 4)


def _of_a_list(loop: str, pages: int, count: Callable[[str, str], int]) -> int:
    # A list that ends exactly full would cost one look behind its end.
    with canned_server(pages * PAGE_SIZE - 1) as server:
        return count(loop, f"{server}/0")


def calls(loop: str, url: str) -> int:
    """Return how many functions are called while a loop reads the list of a server, in this process."""
    seen = 0

    def note(frame: FrameType, event: str, arg: object) -> None:
        nonlocal seen
        seen += event in ("call", "c_call")

    with asyncio.Runner() as runner:
        runner.get_loop()
        sys.setprofile(note)
        try:
            runner.run(_run(loop, url))
        finally:
            sys.setprofile(None)
    return seen


def instructions(loop: str, url: str) -> int:
    """Return how many instructions a process of its own takes for it, from its start to its end."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [sys.executable, "-m", "benchmarks.counting", loop, url]
    said = subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.PIPE, text=True).stderr
    collected = _COLLECTED.search(said)
    if collected is None:
        raise RuntimeError(f"callgrind did not say what it collected: {said[-500:]}")
    return int(collected[1])


async def _run(loop: str, url: str) -> None:
    await _LOOPS[loop](url)


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], sys.argv[2]))
