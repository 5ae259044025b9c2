"""Values as people write them on a command line: whole numbers, texts that may come from stdin, accounts, files."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import orjson
from cyclopts import Parameter, Token, validators

from workorder_async.errors import ConfigError
from workorder_async.models import CustomerInfo
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
