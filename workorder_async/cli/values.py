"""Values as people write them on a command line: whole numbers, names of codes, texts, files, times.

Times are by the clock of China unless they name another zone:

    text                                                             meaning
    2026-11-01  2026/11/1  20261101  2026年11月1日                   a day
    today  yesterday  今天  昨天  前天                                a day
    7d  3 days ago  2w  2 weeks ago  3天前                            the day that many days ago
    2026-11  2026/11  2026年11月                                      a month
    2026-11-01T09:30  2026/11/1 9:30  2026-11-01 01:30Z              a second
    1793500200  now                                                  a second

A day or a month is a span of seconds. `--since` begins with the first second of the span, `--until` ends with its last:
`--since yesterday --until yesterday` is all of yesterday, from 00:00:00 to 23:59:59. So `--until 30d` also takes a
ticket that is 29 days and some hours old. An age, as in `--older-than 30d`, is exact to the second. For an option that
needs one moment, such as --solved-time, a day means its 00:00, and a month is refused.

Eight digits alone are a date; other digits are seconds since 1970, if they lie between the year 2000 and a year from
now. Other numbers are refused: they may be a year, a month, a date-time or milliseconds.
"""

import errno
import os
import re
import sys
from calendar import monthrange
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import date, datetime, time as clock, timedelta
from functools import cached_property
from pathlib import Path
from time import time
from typing import Annotated, BinaryIO, Final, TypeAlias, TypeVar

from attrs import frozen
from cyclopts import Parameter, Token

from workorder_async.cli.failures import KINDS
from workorder_async.cli.terminal import note
from workorder_async.document import CHINA_STANDARD_TIME, OpenEnum
from workorder_async.document.requests import SECONDS_MAX
from workorder_async.durable import written_whole
from workorder_async.errors import ConfigError

_Member = TypeVar("_Member", bound=OpenEnum)

# The largest file, in bytes, that is read into memory as a whole. Ctrl-C has to wait while it is parsed or hashed.
_LARGEST: Final = 1 << 28


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """Read a whole number in digits. Anything else is refused: it might be rounded to another number."""
    text = tokens[0].value
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text) or not -(2**63) <= int(text) < 2**63:
        raise ValueError(KINDS[int])
    return int(text)


def _number(_: object, tokens: Sequence[Token]) -> float:
    """Read a number in digits, as `Whole` does. "None" is refused: a script would lose its limit by it."""
    text = tokens[0].value
    with suppress(ValueError):
        if text.isascii() and "_" not in text:
            return float(text)
    raise ValueError(KINDS[float])


YesNo: TypeAlias = Annotated[bool | None, Parameter(negative_bool="no-")]
"""An option --OPTION for yes, which has a second form --no-OPTION for no."""

MARK: Final = Parameter(help="Put a short reference below the text, and print it: it tells later if the text arrived.")
"""The help of the option --mark."""

Whole: TypeAlias = Annotated[int, Parameter(converter=_whole)]
"""A whole number in digits. A fraction (it would be rounded to another number) and 0x10 are refused."""

Number: TypeAlias = Annotated[float, Parameter(converter=_number)]
"""A number in digits, with a fraction or without."""


@Parameter(
    converter=lambda kind, tokens: kind(tokens[0].value, tokens[0].keyword or "OUTPUT"), n_tokens=1, accepts_keys=False
)
@frozen
class Written:
    """The text of an option's value, and the option's name as it was typed (a name may have a short form)."""

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
        """Return the file's name, or - for stdout. Raises `ConfigError` for a text that names no file."""
        if not self.text.strip() or self.text.endswith("/"):
            raise self.refused("names no file", "name one, or - for stdout")
        return self.text

    def target(self, *, beside: Path, overwrite: bool) -> AbstractContextManager[BinaryIO]:
        """Return a context of a file for a page about the file `beside`; a named file appears only when it is whole.

        Raises `ConfigError` if the page would replace `beside`, or, without `overwrite`, another file, and on entering
        if it cannot be written; `OSError` if stdout is closed.
        """
        name = self.file_name()
        where = f"{self.option} {name}"
        if name == "-":
            if sys.__stdout__ is None:  # closed, as by `program >&-`; `__main__` has put the null device in its place
                raise OSError(errno.EBADF, "stdout is closed")
            return nullcontext(sys.stdout.buffer)
        if os.path.exists(name) and os.path.samefile(name, beside):
            raise ConfigError("is the file that the report is of", argument=where, mend="name another file")
        if not overwrite and os.path.isfile(name):
            raise ConfigError("exists", argument=where, mend="--overwrite replaces it")
        return written_whole(Path(name))


def member(kind: type[_Member], word: str, option: str) -> _Member:
    """Return the member of an enumeration for a code or a name, in upper or lower case, with hyphens or blanks.

    Raises `ConfigError` that names the option.
    """
    name = word.strip()
    spelt = name.lower().replace("-", " ") if name[:1].isalpha() else name
    try:
        return kind.parse("cancelled" if spelt == "canceled" else spelt)
    except ConfigError as error:
        mend = error.mend.replace("_", "-")
        raise ConfigError(f"{name!r} is not known", argument=f"{option}:", mend=mend) from None


def names(text: str) -> list[str]:
    """Return names with commas (also Chinese ones) between them, each once."""
    return list(dict.fromkeys(word.strip() for word in re.split("[,，、]", text)))


def text_or_stdin(text: str, option: str) -> str:
    """Return the text, or for `-` all of stdin without the line feed at its end. Raises `ConfigError`."""
    return text if text != "-" else text_of(option, "-").rstrip("\n")


def text_of(option: str, source: str) -> str:
    """Return the text of a file, or of stdin for `-`. Raises `ConfigError` that names the option."""
    return decoded(option, source, content_of(option, source))


def content_of(option: str, source: str) -> bytes:
    """Return the bytes of a file, or of stdin for `-`. Raises `ConfigError`, also for more than `_LARGEST` bytes."""
    if source == "-" and sys.stdin.isatty():
        note(f"Write or paste the text for {option}; Ctrl-D on a line of its own ends it.")
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else open(source, "rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise OSError(0, f"it has more than {_LARGEST >> 20} MiB")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(why, argument=f"{option} {ascii(source)[1:-1] or ascii(source)}:") from None
    return content


def decoded(option: str, source: str, content: bytes, *, or_gbk: bool = False) -> str:
    """Return the text of a file's bytes: UTF-16 with a byte order mark, else UTF-8, else GBK if `or_gbk`.

    Raises `ConfigError` that names the option.
    """
    encoding = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        with suppress(UnicodeDecodeError):
            if or_gbk:
                return content.decode("gbk")
        what, problem = f"{option}: stdin" if source == "-" else f"{option} {source}", f"byte {error.start}"
        raise ConfigError(f"is not UTF-8 ({problem})", argument=what, mend="convert it, as with iconv") from None


# Times

TIME_HELP: Final = "2026-11-01, 2026-11-01T09:30, yesterday, 7d, now, or Unix seconds; without a zone the time of China"
_SPELLINGS: Final = "write 2024-01-31, 2024-01-31T09:30, yesterday, 7d, seconds since 1970, or now"

_DAYS: Final = {"today": 0, "今天": 0, "yesterday": 1, "昨天": 1, "前天": 2}
_AGO: Final = re.compile(r"([0-9]{1,4}) *(?:(?:d|days?|天)|(w|weeks?|周)) *(?:ago|前|以前)?")
# Days and date-times in ISO 8601 that are left to Python. Without this pattern `fromisoformat` would also take
# 2026-11-01+08:00, as 08:00 of that day, and 2026-W45, as a Monday.
_ISO: Final = re.compile(r"[0-9]{4}(?:[0-9]{4}|-?W[0-9]{2}-?[0-9]|-[0-9]{2}-[0-9]{2})(?:[Tt ].*)?")
_CALENDAR: Final = re.compile(r"([0-9]{4})[-/年]([0-9]{1,2})(?:月?|[-/月]([0-9]{1,2})日?(?:(?:T| +)([0-9].*))?)")

# Digits alone count as seconds from the year 2000 to so many seconds from now (a year).
_EARLIEST: Final = 946_684_800
_AHEAD: Final = 366 * 86400
# Seconds that the platform's clock may be ahead of ours: a time so far in the future is taken.
_LEEWAY: Final = 60


@frozen
class Time(Written):
    """A time of the command line. Its methods raise `ConfigError` that names the option, for a text that is no time.

    (`steady` passes over a text that is the same every day.) The text is read once: "now" stays the same moment.
    """

    def first(self) -> int:
        """Return the first second of the span."""
        return self._span[0]

    def begun(self) -> int:
        """Return the first second of the span. Refuses one in the future: nothing was created after now."""
        if self.first() > time() + _LEEWAY:
            raise self.refused("has not come yet", "write a time until now, or now")
        return self.first()

    def last(self) -> int:
        """Return the last second of the span."""
        return self._span[1]

    def moment(self) -> int:
        """Return the first second as the moment of a past event. Refuses a month, and a time in the future."""
        if self.last() - self.first() >= 86400:
            raise self.refused("is a month", f"write a day or a time, such as {_in_china(self.first()):%Y-%m-%d}")
        return self.begun()

    def check_before(self, end: "Time") -> None:
        """Raise `ConfigError` if this time begins after `end` has ended."""
        if self.first() > end.last():
            argument, mend = f"{self.option} ({_in_china(self.first())})", f"swap them, or write another {self.option}"
            raise ConfigError(f"is after {end.option} ({_in_china(end.last())})", argument=argument, mend=mend)

    def steady(self) -> str:
        """Return the option with the time written out if it depends on the day, such as "7d"; else ""."""
        word = self.text.strip().lower()
        if word != "now" and word not in _DAYS and not _AGO.fullmatch(word):
            return ""
        pattern = "%Y-%m-%dT%H:%M:%S" if word == "now" else "%Y-%m-%d"
        return f"{self.option} {_in_china(self.first()):{pattern}}"

    @cached_property
    def _span(self) -> tuple[int, int]:
        """The first and the last second of the time."""
        word = self.text.strip()
        low = word.lower()
        today = _in_china(time()).date()
        if low == "now":
            return (now := int(time())), now
        if low in _DAYS:
            return _days(today - timedelta(_DAYS[low]))
        if re.fullmatch(r"[0-9]{1,19}", word) and len(word) != 8:
            if not _EARLIEST <= (at := int(word)) <= time() + _AHEAD:
                problem = "is read as seconds since 1970, and is no time of a ticket"
                raise self.refused(problem, "write a date, such as 2025-01-01, or seconds, not milliseconds")
            return at, at
        try:
            ago = _AGO.fullmatch(low)
            span = _days(today - timedelta(_days_of(ago))) if ago else _in_the_calendar(word)
        except (ValueError, OverflowError):
            raise self.refused("is no time", _SPELLINGS) from None
        if span[0] < 0 or span[1] >= SECONDS_MAX:
            raise self.refused("is no time of a ticket", "write a date from 1970-01-02 to 5138-11-15")
        return span


@frozen
class Age(Time):
    """An age of the command line, such as 30d: its span is the last second whose tickets are that old."""

    def steady(self) -> str:
        """Return the option --until with the same time written out."""
        return f"--until {_in_china(self.last()):%Y-%m-%dT%H:%M:%S}"

    @cached_property
    def _span(self) -> tuple[int, int]:
        if not (age := _AGO.fullmatch(self.text.strip().lower())):
            raise self.refused("is no age", "write one such as 30d or 2w")
        # One second less: a ticket may be created at the end of its second, nearly a second after the number says.
        last = int(time()) - _days_of(age) * 86400 - 1
        if last < 0:
            raise self.refused("is before 1970", "write an age such as 30d or 2w")
        return last, last


def _days_of(ago: "re.Match[str]") -> int:
    return int(ago[1]) * (7 if ago[2] else 1)


def _in_the_calendar(word: str) -> tuple[int, int]:
    """Read a day, a month, or a date-time, which is a second. Raises `ValueError`."""
    if match := _CALENDAR.fullmatch(word):
        year, month, day = (int(number or 0) for number in match.groups()[:3])
        if not day:
            first = date(year, month, 1)
            return _days(first, first.replace(day=monthrange(year, month)[1]))
        word = date(year, month, day).isoformat()
        if clock := match[4]:
            if re.search(r"[-+] ", clock):  # a range of two times, not a time with its zone
                raise ValueError
            hour = "0" if re.match("[0-9](:|$)", clock) else ""
            word += f"T{hour}{clock.replace(' ', '')}"
    elif not _ISO.fullmatch(word):
        raise ValueError
    try:
        return _days(date.fromisoformat(word))
    except ValueError:
        at = datetime.fromisoformat(word)
    second = int(at.replace(tzinfo=at.tzinfo or CHINA_STANDARD_TIME).timestamp() // 1)
    return second, second


def _days(first: date, last: date | None = None) -> tuple[int, int]:
    """Return the first and the last second of days in China."""
    begin = datetime.combine(first, clock(), CHINA_STANDARD_TIME)
    end = datetime.combine(last or first, clock(23, 59, 59), CHINA_STANDARD_TIME)
    return int(begin.timestamp()), int(end.timestamp())


def _in_china(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, CHINA_STANDARD_TIME)
