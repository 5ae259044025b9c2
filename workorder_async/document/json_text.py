"""JSON as text and bytes: the one place that imports orjson, the limit of depth, a parser of large bodies.

`loads`, `dumps` and `LINE_FEED` are orjson's own, so a caller pays for no step between. `loads` raises `ValueError`
where a text is not JSON, `dumps` raises `TypeError` where a value has no UTF-8 bytes or is too deep.
"""

import codecs
import json
import json.scanner
from collections.abc import Iterable
from math import isfinite
from typing import Final, NoReturn, TypeAlias

import orjson

from workorder_async.errors import DecodeError

#: What JSON can hold.
JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

loads: Final = orjson.loads
dumps: Final = orjson.dumps
#: The option of `dumps` that writes a line feed after the value.
LINE_FEED: Final = orjson.OPT_APPEND_NEWLINE

#: So many lists and objects may be inside each other. `repr`, `==`, `pickle` and orjson recurse once for each.
MAX_DEPTH: Final = 64
_UNSOUND: Final = f"more than {MAX_DEPTH} lists and objects stand inside each other, or a number has no end"
_WRITER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

#: Larger bodies go to `parse_large`, in bytes; orjson takes some 10 ms for this much.
LARGE: Final = 2 << 20
_PIECE: Final = 1 << 20


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
    """Parse a text that holds JSON; raises `ValueError` if it is not JSON, or not sound."""
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
    """Write JSON in its shortest form, with every character as itself; raises `ValueError` if it is not sound."""
    if not is_sound(value):
        raise ValueError(_UNSOUND)
    return _WRITER.encode(value)


def to_json(value: JSON) -> bytes:
    """Write a JSON value on one line, without a line feed; a lone surrogate is escaped, since it has no UTF-8 bytes.

    Raises `DecodeError` for a value that is too deep to be written.
    """
    try:
        return dumps(value)
    except TypeError:
        try:
            return json.dumps(value, separators=(",", ":")).encode()
        except RecursionError:
            raise DecodeError(
                "too many lists and objects stand inside each other to be written as JSON",
                expected="JSON of fewer levels",
                got="JSON of hundreds of levels",
            ) from None


def as_orjson_keeps(names: Iterable[str]) -> list[str]:
    """Return names as the strings that orjson itself uses for keys: a lookup by an equal string takes longer."""
    return list(loads(dumps(dict.fromkeys(names))))


def parse_large(body: bytes) -> JSON:
    """Parse UTF-8 bytes in a thread without holding up the event loop beside it.

    A parser in C keeps Python's lock until it ends: even in a thread, 64 MiB would stop the event loop for half a
    second. So this one is the standard library's parser in Python. Only its texts and numbers are read in C.
    Raises `ValueError` or `RecursionError` if the body is not JSON, or nested too deeply.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces = [decoder.decode(body[start : start + _PIECE]) for start in range(0, len(body), _PIECE)]
    parser = json.JSONDecoder(parse_constant=no_constant)
    parser.scan_once = json.scanner.py_make_scanner(parser)  # type: ignore[attr-defined]  # typeshed lacks both
    value: JSON = parser.decode("".join([*pieces, decoder.decode(b"", final=True)]))
    return value
