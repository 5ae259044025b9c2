"""Parses a large JSON text in a thread, without holding up the event loop beside it.

A parser in C keeps Python's lock until it ends. Even in a thread, 64 MiB would stop the event loop for half a second.
So the outer levels are read here, and only the small values inside them are parsed in C, one after the other.
"""

import codecs
import json
import re

from workorder_async.document import JSON
from workorder_async.document.json_text import no_constant

#: Larger bodies are parsed here, in bytes; orjson takes some 10 ms for this much.
LARGE = 2 << 20

# Envelope, data, list, row, field: what is deeper is small in every answer of the API document.
_WALKED_LEVELS = 6
_PIECE = 1 << 20
_SPACE = re.compile(r"[ \t\n\r]*")
_NEXT = re.compile(r"[ \t\n\r]*([,\]}])")


def parse_large(body: bytes) -> JSON:
    """Parse UTF-8 bytes. Raises `ValueError` or `RecursionError` for what is not JSON, or nested too deeply."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces = [decoder.decode(body[start : start + _PIECE]) for start in range(0, len(body), _PIECE)]
    text = "".join([*pieces, decoder.decode(b"", final=True)])
    value, end = _value(text, _after_space(text, 0), _WALKED_LEVELS)
    if _after_space(text, end) != len(text):
        raise ValueError("something stands after the value")
    return value


_DECODER = json.JSONDecoder(parse_constant=no_constant)


def _after_space(text: str, at: int) -> int:
    """Return where the next character stands that is no white space."""
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _value(text: str, at: int, levels: int) -> tuple[JSON, int]:
    """Return the value that begins here, and where it ends."""
    if levels and text[at : at + 1] == "{":
        return _object(text, at + 1, levels - 1)
    if levels and text[at : at + 1] == "[":
        return _array(text, at + 1, levels - 1)
    value: JSON
    value, end = _DECODER.raw_decode(text, at)
    return value, end


def _object(text: str, at: int, levels: int) -> tuple[JSON, int]:
    """Return the object whose brace was just read, and where it ends."""
    made: dict[str, JSON] = {}
    at = _after_space(text, at)
    if text[at : at + 1] == "}":
        return made, at + 1
    while True:
        key, at = _DECODER.raw_decode(text, _after_space(text, at))
        at = _after_space(text, at)
        if not isinstance(key, str) or text[at : at + 1] != ":":
            raise ValueError("no key and colon")
        made[key], at = _value(text, _after_space(text, at + 1), levels)
        at, more = _next(text, at, "}")
        if not more:
            return made, at


def _array(text: str, at: int, levels: int) -> tuple[JSON, int]:
    """Return the list whose bracket was just read, and where it ends."""
    made: list[JSON] = []
    at = _after_space(text, at)
    if text[at : at + 1] == "]":
        return made, at + 1
    while True:
        item, at = _value(text, _after_space(text, at), levels)
        made.append(item)
        at, more = _next(text, at, "]")
        if not more:
            return made, at


def _next(text: str, at: int, close: str) -> tuple[int, bool]:
    """Return where it goes on after a value, and whether another one follows."""
    match = _NEXT.match(text, at)
    if match is None or match[1] not in (",", close):
        raise ValueError("neither a comma nor the end")
    return match.end(), match[1] == ","
