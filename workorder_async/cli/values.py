"""Values as people write them on a command line: times, texts that may come from stdin, customers' accounts, files."""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Annotated, TypeAlias

import orjson
from cyclopts import Parameter, Token, validators

from workorder_async.errors import ConfigError
from workorder_async.models import CHINA_STANDARD_TIME, CustomerInfo
from workorder_async.protocol.codec import make_converter


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """Read a whole number in digits. Anything else is refused: it might be rounded to another number."""
    text = tokens[0].value
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise ValueError(f"{text[:40]!r} is no whole number; write one in digits.")
    return int(text)


Whole: TypeAlias = Annotated[int, Parameter(converter=_whole)]
"""A whole number, in digits: no fraction, which would be another number rounded, and no 0x10."""

ExistingFile: TypeAlias = Annotated[Path, Parameter(validator=validators.Path(exists=True, dir_okay=False))]
"""A file that is there. One that is not there is refused before anything is sent."""

TIME_HELP = "a date (00:00 of it), a date-time, seconds since 1970, or now; without a zone China Standard Time"
_SPELLINGS = "write 2024-01-31, 2024-01-31T09:30, seconds since 1970, or now"
# The year 2000: a smaller number is a year, a month or a slip rather than a moment of the platform's.
_EARLIEST = 946_684_800
# The year 5138: a larger number counts smaller units, and its digits tell which.
_LATEST = 10**11
_UNITS = ((16, "milliseconds", 10**3), (19, "microseconds", 10**6), (20, "nanoseconds", 10**9))
_COMPACT = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_YEARS = range(1970, 2100)


def point_in_time(text: str, option: str) -> int | datetime:
    """Read a time: `now`, ISO 8601 (China Standard Time where it has no zone), or whole seconds since 2000.

    Eight digits are a date. Digits that look like a year, a date-time or milliseconds are refused: as seconds they
    would be another moment. Raises `ConfigError` that names the option and the right spelling.
    """
    word = text.strip()
    if word == "now":
        return datetime.now(UTC)
    if re.fullmatch(r"[0-9]{1,19}", word) and len(word) != 8:
        return _seconds(word, text, option)
    try:
        at = datetime.fromisoformat(word)
    except ValueError:
        raise ConfigError(f"{option} {text!r} is no time; {_SPELLINGS}") from None
    return at.replace(tzinfo=at.tzinfo or CHINA_STANDARD_TIME)


def _seconds(word: str, text: str, option: str) -> int:
    """Read digits as seconds, and refuse those that rather mean something else."""
    number, meant = int(word), _compact(word)
    if number < _EARLIEST:
        raise ConfigError(
            f"{option} {text!r} is read as seconds since 1970, a moment before the year 2000; "
            f"write {meant or 'a date, such as 2025-01-01'}"
        )
    if meant and (number >= _LATEST or number > time() + 366 * 86400):
        raise ConfigError(f"{option} {text!r} is neither seconds since 1970 nor a date as it is written; write {meant}")
    if number >= _LATEST:
        unit, size = next((unit, size) for digits, unit, size in _UNITS if len(word) < digits)
        raise ConfigError(f"{option} is {word}, which looks like {unit}; it must be in seconds: write {number // size}")
    return number


def _compact(word: str) -> str:
    """Return in ISO 8601 what digits mean as a date or time without hyphens and colons; "" where they mean none."""
    pattern = _COMPACT.get(len(word))
    try:
        at = datetime.strptime(word, pattern) if pattern else None
    except ValueError:
        return ""
    if at is None or at.year not in _YEARS:
        return ""
    return at.isoformat(timespec="seconds" if at.second else "minutes") if len(word) > 8 else at.date().isoformat()


def text_or_stdin(text: str, option: str) -> str:
    """Return the text, or for `-` all of stdin without the line feed at its end. Raises `ConfigError`."""
    if text != "-":
        return text
    if sys.stdin.isatty():
        sys.stderr.write(f"Write the text for {option}; Ctrl-D on a line of its own ends it.\n")
    try:
        return sys.stdin.buffer.read().decode().rstrip("\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{option} - : stdin is not UTF-8 (byte {error.start}); convert it, as with iconv") from None


def customer_account(text: str) -> CustomerInfo:
    """Read a customer's account: its `user_id`, or a JSON object with that and further fields. Raises `ConfigError`."""
    if text.strip().isdecimal():
        return CustomerInfo(user_id=int(text))
    try:
        return make_converter().structure(orjson.loads(text), CustomerInfo)
    except (TypeError, ValueError):
        raise ConfigError(
            f"--customer-info {text!r} is neither a user_id nor a JSON object such as "
            """'{"user_id": 73001, "level": 3}'"""
        ) from None
