"""JSON values, and JSON inside a text: parsed, written, and kept to a depth that all code can walk."""

import json
from math import isfinite
from typing import NoReturn, TypeAlias

#: What JSON can hold.
JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

#: So many lists and objects may be inside each other. `repr`, `==`, `pickle` and orjson recurse once for each.
MAX_DEPTH = 64
_UNSOUND = f"more than {MAX_DEPTH} lists and objects stand inside each other, or a number has no end"
_WRITER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def is_sound(value: object) -> bool:
    """Tell whether a JSON value is at most `MAX_DEPTH` deep, and holds finite numbers only."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if any(isinstance(part, float) and not isfinite(part) for part in level):
            return False
        holders = [part for part in level if isinstance(part, dict | list)]
        if not holders:
            return True
        level = [part for holder in holders for part in (holder.values() if isinstance(holder, dict) else holder)]
    return False


def parse(text: str) -> JSON:
    """Parse a text that holds JSON; raises `ValueError` where it is not JSON, or not sound."""
    try:
        value: JSON = json.loads(text, parse_constant=no_constant)
    except RecursionError:
        raise ValueError(_UNSOUND) from None
    if not is_sound(value):
        raise ValueError(_UNSOUND)
    return value


def no_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(f"{name} is no JSON")


def write(value: JSON) -> str:
    """Write JSON in its shortest form, with every character as itself; raises `ValueError` where it is not sound."""
    if not is_sound(value):
        raise ValueError(_UNSOUND)
    return _WRITER.encode(value)
