"""Checks of what a sandbox is told: numbers that can work, and scripts of the right kind; `ConfigError` where not."""

import math
from collections.abc import Iterable
from typing import TypeVar

from workorder_async.errors import ConfigError

_T = TypeVar("_T")
# Thirty years: a clock that is further off is no date any more.
_FAR = 10**9


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Accept a whole number within these bounds, both included."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}; it must be a whole number from {low} to {high}")


def check_seconds(name: str, value: object) -> None:
    """Accept a span of seconds, 0 too."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ConfigError(f"{name} is {value!r}; it must be seconds, 0 or more")


def check_offset(name: str, value: object) -> None:
    """Accept how far one clock is from another, in seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_FAR <= value <= _FAR:
        raise ConfigError(f"{name} is {value!r}; it must be seconds, from {-_FAR} to {_FAR}")


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Accept one of these; a code is not the member that equals it."""
    if not any(value == choice and isinstance(value, type(choice)) for choice in choices):
        raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(map(str, choices))}")


def script(name: str, lines: Iterable[_T], kind: type[_T]) -> tuple[_T, ...]:
    """Return a script whose lines are all of one kind."""
    if isinstance(lines, kind) or not isinstance(lines, Iterable):
        raise ConfigError(f"{name} must be a list of {kind.__name__}, not {lines!r}; put it in brackets")
    whole = tuple(lines)
    for index, line in enumerate(whole):
        if not isinstance(line, kind):
            raise ConfigError(f"{name}[{index}] is {line!r}; it must be a {kind.__name__}")
    return whole
