"""Values as people write them on a command line: times, texts that may come from stdin, customers' accounts, files."""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import orjson
from cyclopts import Parameter, Token, validators

from workorder_async.codec import make_converter
from workorder_async.errors import ConfigError
from workorder_async.models import CHINA_STANDARD_TIME, CustomerInfo


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """Read a whole number written in digits; anything else, which might be rounded to another one, is refused."""
    text = tokens[0].value
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise ValueError(f"{text[:40]!r} is no whole number; write one in digits.")
    return int(text)


Whole: TypeAlias = Annotated[int, Parameter(converter=_whole)]
"""A whole number, in digits: no fraction, which would be another number rounded, and no 0x10."""

ExistingFile: TypeAlias = Annotated[Path, Parameter(validator=validators.Path(exists=True, dir_okay=False))]
"""A file that is there; one that is not is refused before anything is sent."""

TIME_HELP = "a date (00:00 of it), a date-time, seconds since 1970, or now; without a zone China Standard Time"


def point_in_time(text: str, option: str) -> int | datetime:
    """Read a time: `now`, whole seconds, or ISO 8601 (China Standard Time where it has no zone).

    Raises `ConfigError` that names the option.
    """
    word = text.strip()
    if word == "now":
        return datetime.now(UTC)
    # Eight digits are rather a date without its hyphens than a moment in 1970.
    if word.isdecimal() and len(word) != 8:
        return int(word)
    try:
        at = datetime.fromisoformat("" if word.isdecimal() else word)
    except ValueError:
        raise ConfigError(
            f"{option} {text!r} is no time; write 2024-01-31, 2024-01-31T09:30, seconds since 1970, or now"
        ) from None
    return at.replace(tzinfo=at.tzinfo or CHINA_STANDARD_TIME)


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
