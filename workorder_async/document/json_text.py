"""JSON as text and bytes: the one place that imports orjson, the limit of depth, and a parser for unusual bodies.

`loads`, `dumps` and `LINE_FEED` are orjson's own, so that a call costs nothing more. `loads` raises `ValueError` for a
text that is not JSON, `dumps` raises `TypeError` for a value that has no UTF-8 bytes or is too deep.

A value is *sound* if it is at most `MAX_DEPTH` deep, all its numbers are finite, and nothing in it is an `Unread`.
"""

import codecs
import json
import json.scanner
import re
from collections.abc import Iterable
from functools import partial
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed lacks it
from math import isfinite
from typing import Any, Final, TypeAlias

import orjson

from workorder_async.errors import DecodeError

#: The values of JSON.
JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

loads: Final = orjson.loads
dumps: Final = orjson.dumps
#: The option of `dumps` that writes a line feed after the value.
LINE_FEED: Final = orjson.OPT_APPEND_NEWLINE
#: The same, and `dumps` refuses an `Unread` by a `TypeError`.
READ_LINE: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_SUBCLASS

#: Lists and objects that may be inside each other. `repr`, `==`, `pickle` and orjson recurse once for each of them.
MAX_DEPTH: Final = 64
_UNSOUND: Final = f"more than {MAX_DEPTH} lists and objects stand inside each other, or a number is not finite"
_WRITER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

#: Bytes of a body; a larger one is parsed in a thread. orjson takes some 10 ms for a body of this size.
LARGE: Final = 2 << 20
_PIECE: Final = 1 << 20
#: Half a surrogate pair. It is JSON as an escape, and has no UTF-8 bytes.
SURROGATE: Final = re.compile("[\ud800-\udfff]")
# A raw control character, or a byte that is no UTF-8 (as `surrogateescape` shows it).
_BROKEN: Final = re.compile("[\x00-\x1f\udc80-\udcff]")
_REST_OF_TEXT: Final = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class Unread(str):
    """The stand-in for a value of a body that is no JSON: a text with broken bytes, or NaN.

    No field of a model takes an `Unread`. So a broken value makes one row unreadable, and not the whole body.
    """

    __slots__ = ()


def is_sound(value: object) -> bool:
    """Tell whether a JSON value is at most `MAX_DEPTH` deep, all its numbers are finite, and nothing is `Unread`."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if any(isinstance(part, Unread) or (isinstance(part, float) and not isfinite(part)) for part in level):
            return False
        holders = [part for part in level if isinstance(part, dict | list)]
        if not holders:
            return True
        level = [part for holder in holders for part in (holder.values() if isinstance(holder, dict) else holder)]
    return False


def parse(text: str) -> JSON:
    """Parse a text that holds JSON; raises `ValueError` if it is not JSON, or not sound."""
    try:
        value: JSON = json.loads(text)
    except RecursionError:
        raise ValueError(_UNSOUND) from None
    if not is_sound(value):
        raise ValueError(_UNSOUND)
    return value


def write(value: JSON) -> str:
    """Write JSON without spaces, and with every character as itself; raises `ValueError` if it is not sound."""
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
            said = "too many lists and objects stand inside each other to be written as JSON"
            raise DecodeError(said, expected="JSON of fewer levels", got="JSON of hundreds of levels") from None


def with_bytes(value: JSON) -> JSON:
    """Return a value whose texts have UTF-8 bytes: half a surrogate pair, which has none, becomes U+FFFD."""
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {name: with_bytes(part) for name, part in value.items()}
    return [with_bytes(part) for part in value] if isinstance(value, list) else value


def as_orjson_keeps(names: Iterable[str]) -> list[str]:
    """Return names as the very strings that orjson uses for keys: a look-up by an equal string would take longer."""
    return list(loads(dumps(dict.fromkeys(names))))


def parse_slowly(body: bytes) -> JSON:
    """Parse a body that is large, or that orjson refuses. In a thread, this does not stop the event loop.

    A parser in C keeps Python's lock until it ends: even in a thread, 64 MiB would stop the event loop for half a
    second. So this is the standard library's parser in Python; only single texts and numbers are read in C.
    A text or a number that is no JSON becomes an `Unread`; a lone surrogate, which is JSON, is read as it is. Raises
    `ValueError` if the body is otherwise not JSON, `RecursionError` if hundreds of lists stand inside each other.
    """
    decoder = codecs.getincrementaldecoder(json.detect_encoding(body))("surrogateescape")
    pieces = [decoder.decode(body[start : start + _PIECE]) for start in range(0, len(body), _PIECE)]
    # Any: typeshed lacks the parts of a decoder.
    parser: Any = json.JSONDecoder(parse_constant=Unread, strict=False)
    parser.parse_int, parser.parse_float = partial(_number, int), partial(_number, float)
    parser.parse_string = _text
    parser.scan_once = json.scanner.py_make_scanner(parser)  # type: ignore[attr-defined]  # typeshed lacks it
    value: JSON = parser.decode("".join([*pieces, decoder.decode(b"", final=True)]))
    return value


def _text(text: str, start: int, strict: bool) -> tuple[str, int]:
    """Read a text whose first quote ends at `start`."""
    if (rest := _REST_OF_TEXT.match(text, start)) is None:
        raise ValueError("a text has no end")
    try:
        # Given only this piece of the body: an error of `scanstring` counts lines from the beginning of its text.
        found, _ = scanstring(rest[0], 0, strict)
    except ValueError:  # a backslash that begins no escape of JSON
        return Unread(rest[0][:-1]), rest.end()
    return (found if _BROKEN.search(rest[0]) is None else Unread(found)), rest.end()


def _number(kind: type[int | float], digits: str) -> int | float | Unread:
    # `float` first: Python makes no whole number of thousands of digits.
    return kind(digits) if isfinite(float(digits)) else Unread(digits)
