"""Values as people write them on a command line: whole numbers, names of codes, texts, files."""

import os
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO, Final, TypeAlias, TypeVar

from attrs import frozen
from cyclopts import Parameter, Token

from workorder_async.cli.failures import KINDS
from workorder_async.cli.terminal import note
from workorder_async.document import OpenEnum
from workorder_async.durable import written_whole
from workorder_async.errors import ConfigError

_Member = TypeVar("_Member", bound=OpenEnum)

# Bytes of a file that is held in memory as a whole. While one is hashed or parsed, Ctrl-C waits.
_LARGEST: Final = 1 << 28


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """Read a whole number in digits. Anything else is refused: it might be rounded to another number."""
    text = tokens[0].value
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text) or not -(2**63) <= int(text) < 2**63:
        raise ValueError(KINDS[int])
    return int(text)


YesNo: TypeAlias = Annotated[bool | None, Parameter(negative_bool="no-")]
"""An option that says yes, with another one, --no-OPTION, that says no."""

MARK: Final = Parameter(help="Put a short reference, which is printed, below the text: by it a lost one is known.")
"""Says of a bool that what is sent gets a mark."""

Whole: TypeAlias = Annotated[int, Parameter(converter=_whole)]
"""A whole number, in digits: no fraction, which would be another number rounded, and no 0x10."""


@Parameter(
    converter=lambda kind, tokens: kind(tokens[0].value, tokens[0].keyword or "OUTPUT"), n_tokens=1, accepts_keys=False
)
@frozen
class Written:
    """A text of the command line, and the option, as it was typed, that it was written for."""

    text: str
    option: str

    def __str__(self) -> str:
        return self.text

    def refused(self, problem: str, mend: str) -> ConfigError:
        """Return the error that names the option and its text."""
        return ConfigError(problem, argument=f"{self.option} {self.text!r}", mend=mend)


@frozen
class File(Written):
    """A file to write, or - for stdout."""

    def file_name(self) -> str:
        """Return its name. Raises `ConfigError` where that names no file."""
        if not self.text.strip() or self.text.endswith("/"):
            raise self.refused("names no file", "name one, or - for stdout")
        return self.text

    def target(self, *, beside: Path, overwrite: bool) -> AbstractContextManager[BinaryIO]:
        """Return what to write a page about the file `beside` into. Raises `ConfigError` where that is no place."""
        name = self.file_name()
        if name == "-":
            return nullcontext(sys.stdout.buffer)
        if os.path.exists(name) and os.path.samefile(name, beside):
            raise ConfigError("is what the report is of", argument=f"{self.option} {name}", mend="name another file")
        if not overwrite and os.path.isfile(name):
            raise ConfigError("exists", argument=f"{self.option} {name}", mend="--overwrite replaces it")
        return written_whole(Path(name))


def member(kind: type[_Member], word: str, option: str) -> _Member:
    """Read a code or a name, in any case, with hyphens or blanks. Raises `ConfigError` that names the option."""
    name = word.strip()
    spelt = name.lower().replace("-", " ") if name[:1].isalpha() else name
    try:
        return kind.parse("cancelled" if spelt == "canceled" else spelt)
    except ConfigError as error:
        mend = error.mend.replace("_", "-")
        raise ConfigError(f"{name!r} is not known", argument=f"{option}:", mend=mend) from None


def names(text: str) -> list[str]:
    """Read names with commas between them, each once."""
    return list(dict.fromkeys(word.strip() for word in re.split("[,，、]", text)))


def text_or_stdin(text: str, option: str) -> str:
    """Return the text, or for `-` all of stdin without the line feed at its end. Raises `ConfigError`."""
    return text if text != "-" else text_of(option, "-").rstrip("\n")


def text_of(option: str, source: str) -> str:
    """Return the text of a file, or of stdin for `-`. Raises `ConfigError` that names the option."""
    return decoded(option, source, content_of(option, source))


def content_of(option: str, source: str) -> bytes:
    """Return the bytes of a file, or of stdin for `-`. Raises likewise, also where they are too many."""
    if source == "-" and sys.stdin.isatty():
        note(f"Write or paste what {option} is to read; Ctrl-D on a line of its own ends it.")
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else open(source, "rb") as file:
            return whole_of(file)
    except OSError as error:
        raise ConfigError(str(error.strerror), argument=f"{option} {ascii(source)[1:-1] or ascii(source)}:") from None


def whole_of(file: BinaryIO) -> bytes:
    """Return what a file has from here on. Raises `OSError` where that is too much, as of a device without an end."""
    content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise OSError(0, f"it has more than {_LARGEST >> 20} MiB")
    return content


def decoded(option: str, source: str, content: bytes) -> str:
    """Return the text that a file's bytes are. Raises likewise."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what, problem = f"{option}: stdin" if source == "-" else f"{option} {source}", f"byte {error.start}"
        raise ConfigError(f"is not UTF-8 ({problem})", argument=what, mend="convert it, as with iconv") from None
