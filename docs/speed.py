"""Writes speed.md from figures.json, which `python -m benchmarks --heavy --json` made on a machine that was idle.

python docs/speed.py                    writes speed.md beside this file
"""

import json
from pathlib import Path

_FIGURES = Path(__file__).with_name("figures.json")
_HEAD = """# Speed

Figures are ratios to a *floor*: the least that anybody could do for the same result, measured in the same run. So they
do not depend on the machine as seconds do. Make your own with `python -m benchmarks` from a clone.

{environment}. The median of {rounds} rounds, with the lowest and the highest.

| what | floor | goal | seen |
| --- | --- | --- | --- |
"""
_TAIL = """
## Where we lose

A bare loop over aiohttp and orjson makes no models, orders nothing, signs nothing and proves nothing. Where the server
answers at once it is more than twice as fast as a walk, which does all four. At 50 ms a page most of the difference is
gone: eight requests are in flight, and the time is the server's. JSON Lines lose most against a loop by hand, since
ours have names beside codes and times in words.
"""


def page() -> str:
    """Return the whole page."""
    figures = json.loads(_FIGURES.read_text("utf-8"))
    facts = figures["environment"]
    environment = ", ".join(
        (facts["python"], f"{facts['cpus']} cores", *(f"{name} {facts[name]}" for name in ("aiohttp", "orjson")))
    )
    rounds = max(row["seen"]["rounds"] for row in figures["rows"])
    lines = [_line(row) for row in figures["rows"]]
    return _HEAD.format(environment=environment, rounds=rounds) + "\n".join(lines) + "\n" + _TAIL


def _line(row: dict) -> str:
    seen, goal = row["seen"], row["goal"]
    median, low, high = (_number(seen[name], row["unit"]) for name in ("median", "min", "max"))
    figure = f"**{median}: misses**" if row["verdict"] == "misses" else median
    sign = {">=": "≥", "<=": "≤"}[goal["sign"]]
    return (
        f"| {row['name']}: {row['what']} | {row['floor']} | {sign} {_number(goal['value'], row['unit'])} "
        f"| {figure} ({low} to {high}) |"
    )


def _number(value: float, unit: str) -> str:
    return f"{value:.2f}" if unit == "ratio" else f"{value:,.0f} {unit}"


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), "utf-8")
