"""Values as people write them on a command line: whole numbers, names of codes, texts, accounts, files."""

import re
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, TypeAlias, TypeVar

from attrs import frozen
from cyclopts import Parameter, Token, validators

from workorder_async.document import CustomerInfo, OpenEnum
from workorder_async.document.codec import make_converter
from workorder_async.document.json_text import loads
from workorder_async.errors import ConfigError

_Member = TypeVar("_Member", bound=OpenEnum)
_OTHER_SPELLINGS: Final = {"canceled": "cancelled"}


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


@frozen
class Written:
    """A text of the command line, and the option, as it was typed, that it was written for."""

    text: str
    option: str


AS_WRITTEN: Final = Parameter(
    converter=lambda _, tokens: Written(tokens[0].value, str(tokens[0].keyword)), n_tokens=1, accepts_keys=False
)
"""Reads an option as `Written`."""


def file_name(written: Written) -> str:
    """Return the name of a file to write, or - for stdout. Raises `ConfigError` for what names none."""
    if not written.text.strip() or written.text.endswith("/"):
        raise ConfigError(f"{written.option} {written.text!r} names no file; name one, or - for stdout")
    return written.text


def is_device(name: str) -> bool:
    """Tell whether a name leads to a pipe or a device, such as /dev/stdout, whose name says no format."""
    path = Path(name)
    return path.exists() and not path.is_file() and not path.is_dir()


def member(kind: type[_Member], word: str, option: str) -> _Member:
    """Read a code or a name, in any case, with hyphens or blanks. Raises `ConfigError` that names the option."""
    name = word.strip()
    spelt = name.lower().replace("-", " ") if name[:1].isalpha() else name
    try:
        return kind.parse(_OTHER_SPELLINGS.get(spelt, spelt))
    except ConfigError:
        known = ", ".join(f"{one.value} {one.name.lower().replace('_', '-')} {one.label}" for one in kind)
        raise ConfigError(f"{option}: {word.strip()!r} is not known; use one of: {known}") from None


def names(text: str) -> list[str]:
    """Read names with commas between them, each once."""
    return list(dict.fromkeys(word.strip() for word in re.split("[,，、]", text)))


def near(word: str, known: Iterable[str]) -> str:
    """Return which name was meant, as a question in brackets; "" where none is near."""
    found = get_close_matches(word.lower(), known, 1)
    return f" (did you mean {found[0]}?)" if found else ""


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


def customer_account(text: str, option: str = "--customer-info") -> CustomerInfo:
    """Read a customer's account: its `user_id`, or a JSON object with that and further fields. Raises `ConfigError`."""
    if text.strip().isdecimal():
        return CustomerInfo(user_id=int(text))
    try:
        return make_converter().structure(loads(text), CustomerInfo)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{option} {text!r} is neither a user_id nor a JSON object such as "
            """'{"user_id": 73001, "level": 3}'"""
        ) from None
