"""What a single JSON value means where the API document names a kind: whole number, time, text, boolean, code, list.

Each reader takes every spelling whose meaning is plain, and raises `MisfitError` for the others. `is_absent` tells
which values mean that there is none.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, cast

from workorder_async.document import json_text
from workorder_async.document.enums import OpenEnum
from workorder_async.document.json_text import JSON


class MisfitError(TypeError):
    """A value without a plain meaning; its arguments are what was expected, and what came."""


_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", float: "a fraction", int: "a number"}

_INT64: Final = range(-(2**63), 2**63)
#: From here on, a float may be another whole number than the one that was written.
_INEXACT: Final = 2**53
_WHOLE: Final = re.compile(r"([+-]?\d{1,19})(?:\.0*)?")
_DECIMAL: Final = re.compile(r"[+-]?\d{1,19}(?:\.\d*)?(?:[eE][+-]?\d{1,3})?")
#: The first second after the year 9999, in every zone. A larger number of seconds has no date; milliseconds have.
SECONDS_END: Final = 253_402_387_200
#: As milliseconds these numbers are years about 2600; their digits are those of a date: 20211111111111.
_DIGITS_OF_A_DATE: Final = range(1900_0101_000000, 2100_0101_000000)
_EPOCH: Final = datetime(1970, 1, 1)
_SECOND: Final = timedelta(seconds=1)
#: Minutes that China Standard Time is ahead.
_CHINA: Final = 8 * 60
_DATE_TIME: Final = re.compile(
    r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?"
    r"(?:(?:T|\s+)(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,]\d+)?)?)?"
    r"\s*(Z|UTC|GMT|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?(?:\[[\w/+-]+\])?",
    re.IGNORECASE,
)
_BOOLEANS: Final[Mapping[object, bool]] = {
    **dict.fromkeys((1, "true", "yes", "y", "1", "1.0", "是"), True),
    **dict.fromkeys((0, "false", "no", "n", "0", "0.0", "否"), False),
}


def misfit(expected: str, value: object) -> MisfitError:
    """Return the error for a value of another kind."""
    return MisfitError(expected, _KINDS.get(type(value), "null"))


def is_absent(value: object) -> bool:
    """Tell whether this means "none" where no text is expected: null, a blank text, and Java's text of null."""
    return value is None or (isinstance(value, str) and value.strip().lower() in ("", "null"))


def whole_number(value: object) -> int:
    """Read a whole number: as such, as a float without a fraction that is exact, or as a text of either."""
    if isinstance(value, str):
        number = _number(value)
    else:
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(number, float):
        number = int(number) if abs(number) < _INEXACT and number.is_integer() else None
    if number is None:
        raise misfit("a whole number", value)
    return number


def _number(text: str) -> int | float | None:
    """Read a decimal number of at most 64 bits; None where this is none."""
    text = text.strip()
    if len(text) < 19 and text.isdecimal():
        return int(text)
    if (whole := _WHOLE.fullmatch(text)) is not None:
        return number if (number := int(whole[1])) in _INT64 else None
    return float(text) if _DECIMAL.fullmatch(text) else None


def seconds(value: object) -> int:
    """Read a point in time as whole seconds since the epoch, rounded down; without a zone it is China Standard Time.

    It comes as seconds, as milliseconds, as a date-time, or as the list of year, month, day, hour, minute, second that
    Jackson makes of a `LocalDateTime`. A number is milliseconds where as seconds it would be after the year 9999.
    """
    number: object = value
    if isinstance(value, str):
        if (match := _DATE_TIME.fullmatch(value.strip())) is not None:
            return _of_date(match)
        number = _number(value)
    elif isinstance(value, list):
        return _of_parts(value)
    if isinstance(number, float) and abs(number) < _INEXACT:
        number = int(number // 1)
    if isinstance(number, bool) or not isinstance(number, int):
        raise misfit("seconds, or a date-time such as 2021-11-11 11:11:11", value)
    if number < SECONDS_END:
        return number
    if number in _DIGITS_OF_A_DATE:
        digits = str(number)
        return _moment([int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, 14, 2))])
    if number >= SECONDS_END * 1000:
        raise MisfitError("seconds or milliseconds", "a number beyond the year 9999")
    return number // 1000


def _of_date(match: re.Match[str]) -> int:
    """Return the second of a date-time that was written out; 0 for MySQL's date of zeros."""
    *parts, zone = match.groups("0")
    numbers = [*map(int, parts)]
    if not any(numbers[:3]):
        return 0
    if zone == "0":
        return _moment(numbers)
    digits = zone[1:].replace(":", "").ljust(4, "0") if zone[0] in "+-" else "0000"
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return _moment(numbers, -minutes if zone[0] == "-" else minutes)


def _of_parts(parts: list[object]) -> int:
    """Return the second of a list of year, month, day, hour, minute, second."""
    if not 3 <= len(parts) <= 7 or any(part.__class__ is not int for part in parts):
        raise misfit("seconds, or a date-time", parts)
    return _moment(cast("list[int]", parts[:6]))


def _moment(parts: list[int], minutes_east: int = _CHINA) -> int:
    """Return the second of year, month, day and so on at a place so far east of Greenwich."""
    try:
        local = datetime(*parts)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        raise MisfitError("a date-time such as 2021-11-11 11:11:11", "no date of the calendar") from None
    return (local - _EPOCH) // _SECOND - minutes_east * 60


def text(value: object) -> str:
    """Read a text; a number or boolean is written out, a list or an object becomes its JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < _INEXACT:
        value = int(value)
    try:
        return json_text.write(cast("JSON", value))
    except ValueError:
        raise misfit(f"a string, or JSON of at most {json_text.MAX_DEPTH} levels", value) from None


def boolean(value: object) -> bool:
    """Read true or false, 1 or 0, or a text that says one of these, yes or no."""
    written = value.strip().lower() if isinstance(value, str) else value
    known = None if isinstance(written, dict | list) else _BOOLEANS.get(written)
    if known is None:
        raise misfit("true, false, 0 or 1", value)
    return known


def code(kind: type[OpenEnum]) -> Callable[[object], OpenEnum]:
    """Return the reader of this enumeration: a code in any spelling of a whole number, or a name."""
    make, known = cast("Callable[[object], OpenEnum]", kind), kind.readings()

    def read(value: object) -> OpenEnum:
        if isinstance(value, float):
            value = whole_number(value)
        if isinstance(value, bool) or not isinstance(value, int | str) or is_absent(value):
            raise misfit("a code or a name", value)
        return known.get(value) or make(value)

    return read


def mapping(value: object) -> dict[str, JSON]:
    """Read an object, which may be inside a text; an empty list is an empty object."""
    found = _unwrapped(value)
    if found == []:
        return {}
    if not isinstance(found, dict):
        raise misfit("an object", value)
    if not json_text.is_sound(found):
        raise misfit(f"an object of at most {json_text.MAX_DEPTH} levels", value)
    return found


def items(value: object, names: frozenset[str]) -> list[JSON]:
    """Read a list of objects with fields of these names, which may be inside a text; one object is a list of one."""
    found = _unwrapped(value)
    if isinstance(found, dict) and (not found or not names.isdisjoint(found)):
        return [found] if found else []
    if not isinstance(found, list):
        raise misfit("a list", value)
    return found


def _unwrapped(value: object) -> object:
    """Return what a text holds as JSON; everything else as it is."""
    if isinstance(value, str):
        try:
            return _unwrapped(json_text.parse(value))
        except ValueError:
            return value
    return value
