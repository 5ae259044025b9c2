"""What was measured, as lines of text for people and as a JSON value for programs; and where it was measured."""

import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TypeAlias

from benchmarks.measuring import Comparison, Row, Sample

JSON: TypeAlias = "int | float | str | list[JSON] | dict[str, JSON] | None"

_COLUMNS = "{:9} {:45} {:44} {:8} {:17} {}"


def environment() -> dict[str, JSON]:
    """Return what the figures depend on; a package that is not there is None."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        **{
            name: _version(name)
            for name in ("aiohttp", "orjson", "attrs", "cattrs", "httpx2", "pydantic", "pyarrow", "XlsxWriter")
        },
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def header(facts: Mapping[str, JSON]) -> str:
    """Return the head of the table."""
    return "\n".join(
        (
            ", ".join(f"{name} {'missing' if value is None else value}" for name, value in facts.items()),
            "Seen: the median of the rounds (lowest-highest), each over its floor in the same round.",
            "",
            _COLUMNS.format("row", "what", "floor", "goal", "seen", "verdict"),
        )
    )


def line(row: Row) -> str:
    """Return the row's line of the table."""
    goal = f"{row.sign} {_number(row.goal, row.unit)}"
    return _COLUMNS.format(row.name, row.what, row.floor, goal, _seen(row.seen, row.unit), row.verdict)


def details(row: Row) -> Iterable[str]:
    """Yield the lines that belong to a row: how steady its floor was, notes, comparisons."""
    rounds = len(row.seen.values)
    spread = f"{row.race.spread:.0%}" + ("" if row.race.calm else ", too much to judge by")
    yield f"{row.name}: spread of {row.race.floor} in {rounds} rounds: {spread}; sets run: {row.race.sets}"
    for note in row.notes:
        yield f"{row.name}: {note}"
    for beside in row.beside:
        if beside.seen is None:
            yield f"{row.name}: not compared with {beside.against}"
        else:
            yield f"{row.name}: {_seen(beside.seen, row.unit)} {beside.meaning} {beside.against}"


def _seen(sample: Sample, unit: str) -> str:
    return f"{_number(sample.median, unit)} ({_number(sample.low, unit)}-{_number(sample.high, unit)})"


def _number(value: float, unit: str) -> str:
    return f"{value:.0f}" if unit or value >= 100 else f"{value:.2f}"


def to_json(row: Row) -> JSON:
    """Return the row as JSON; ratios as they are, times in the row's unit."""
    return {
        "name": row.name,
        "what": row.what,
        "floor": row.floor,
        "unit": row.unit or "ratio",
        "goal": {"sign": row.sign, "value": row.goal},
        "seen": _sample(row.seen),
        "verdict": row.verdict,
        "floor_spread": row.race.spread,
        "sets": row.race.sets,
        "seconds": {name: _sample(sample) for name, sample in row.race.seconds.items()},
        "beside": [_comparison(beside) for beside in row.beside],
        "notes": list(row.notes),
    }


def _comparison(beside: Comparison) -> JSON:
    seen = None if beside.seen is None else _sample(beside.seen)
    return {"against": beside.against, "meaning": beside.meaning, "seen": seen}


def _sample(sample: Sample) -> JSON:
    return {"median": sample.median, "min": sample.low, "max": sample.high, "rounds": len(sample.values)}
