"""Checks of arguments: a whole number, a number of seconds, a path; in one place, and in one wording.

Each function takes the name and the value of an argument and returns the value. It raises `ConfigError` for a value
that cannot work: "concurrency is 0; it must be a whole number of at least 1".
"""

import os
import sys
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from inspect import iscoroutinefunction
from types import FrameType
from typing import Any, Final, TypeAlias, TypeGuard, TypeVar, cast

from attrs import Attribute, frozen

from workorder_async.errors import ConfigError

_T = TypeVar("_T")


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number: an int that is not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a float, or an int that is not a bool and that a float can hold."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, float)


Check: TypeAlias = Callable[[str, Any], Any]
"""Takes the name and the value of an argument and returns the value to use. Raises `ConfigError`."""


def must_be(wanted: str, is_right: Callable[[Any], bool]) -> Check:
    """Make a check of a rule and its words: "retry is 5; it must be a RetryPolicy"."""

    def check(name: str, value: object) -> object:
        if not is_right(value):
            raise _refused(name, value, wanted)
        return value

    return check


def whole(name: str, value: object, at_least: int = 1) -> int:
    """Return a whole number that is large enough."""
    if not is_whole(value) or not at_least <= value <= sys.float_info.max:
        raise _refused(name, value, f"a whole number of at least {at_least}")
    return value


def whole_within(name: str, value: object, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`."""
    if not is_whole(value):
        raise ConfigError(f"is {kind_of(value)}", argument=name, mend=f"it must be a whole number{as_int(value)}")
    if not low <= value <= high:
        raise ConfigError(f"is {shown(value)}", argument=name, mend=f"it must be from {low} to {high}")
    return value


def as_int(value: object) -> str:
    """Return the advice to call int(...) for a whole number of another class, such as NumPy's; "" for other values."""
    return ", as int(...) makes one of this" if hasattr(value, "__index__") and not isinstance(value, int) else ""


def number_within(name: str, value: object, low: float, high: float) -> float:
    """Return a number from `low` to `high`: a share, or the seconds that one clock is ahead of another."""
    if not is_number(value) or not low <= value <= high:
        raise _refused(name, value, f"a number from {low} to {high}")
    return value


seconds: Final[Callable[[str, object], float]] = must_be(
    "a number of seconds, 0 or more", lambda value: is_number(value) and value >= 0
)
"""Returns a number of seconds, which may be 0."""

above_zero: Final[Callable[[str, object], float]] = must_be(
    "a number above 0", lambda value: is_number(value) and value > 0
)
"""Returns a number that is above 0: seconds that must pass, or a rate."""

flag: Final[Callable[[str, object], bool]] = must_be("True or False", lambda value: isinstance(value, bool))
"""Returns True or False. A text such as "no" is refused: Python would take it for true."""


def is_plain(function: object) -> bool:
    """Tell whether this can be called and is no `async def`: nobody would await its result."""
    return callable(function) and not any(map(iscoroutinefunction, (function, type(function).__call__)))


function: Final[Callable[[str, object], Any]] = must_be("a function, no `async def`", is_plain)
"""Returns a function that is no `async def`."""


def one_of(name: str, value: object, words: Sequence[str]) -> str:
    """Return one of several words."""
    if not isinstance(value, str) or value not in words:
        raise _refused(name, value, " or ".join(map(repr, words)))
    return value


def items(name: str, value: object, kind: type[_T]) -> tuple[_T, ...]:
    """Return the items of an iterable, all of class `kind`. A bare item without a list around it is refused."""
    if isinstance(value, kind) or not isinstance(value, Iterable):
        raise _refused(name, value, f"a list of {kind.__name__}, in brackets")
    found = tuple(value)
    for index, item in enumerate(found):
        if not isinstance(item, kind):
            raise _refused(f"{name}[{index}]", item, f"a {kind.__name__}")
    return found


def path(name: str, value: object) -> str:
    """Return a path as text. Refuses an empty path, one with NUL, and a relative one in a working folder that is gone.

    Whether there is such a file is not checked.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(found := os.fspath(value), str):
        raise ConfigError(f"is {kind_of(value)}", argument=name, mend="it must be a path")
    if not found.strip():
        raise ConfigError("is empty", argument=name, mend="it must be a path")
    with suppress(UnicodeEncodeError):
        if b"\0" not in os.fsencode(found):
            _check_folder(name, found)
            return found
    raise ConfigError(f"{found!r} is no name of a file", argument=name)


def _check_folder(name: str, path: str) -> None:
    if path == "-" or os.path.isabs(path):
        return
    try:
        os.getcwd()
    except OSError:
        mend = "give a whole path"
        raise ConfigError(f"{path!r} is nowhere: the working folder was removed", argument=name, mend=mend) from None


def as_validator(
    check: Callable[..., object], *bounds: object, names_class: bool = False
) -> "Callable[[object, Attribute[Any], Any], None]":
    """Make an attrs validator of one of these functions; `bounds` are its further arguments.

    The message names the FIELD alone, for classes that users do not make themselves: they know the field as an argument
    of a function. With `names_class` it names CLASS.FIELD.
    """

    def validate(instance: object, attribute: "Attribute[Any]", value: object) -> None:
        check(f"{type(instance).__name__}.{attribute.name}" if names_class else attribute.name, value, *bounds)

    return validate


@frozen
class Option:
    """The default of an option and the check of other values. It stands in the type: `Annotated[T, Option(...)]`.

    A `TypedDict` of such types declares the options of a function in one place: their types for type checkers, and
    their defaults and checks for `with_defaults`.
    """

    default: Any
    check: Check


def with_defaults(kind: type[_T], given: Mapping[str, Any]) -> _T:
    """Return all options of a `TypedDict`: the given values, checked, and the defaults of the others."""
    options = {}
    for name, annotated in kind.__annotations__.items():
        option: Option = annotated.__metadata__[0]
        value = given.get(name, option.default)
        options[name] = value if value is option.default else option.check(name, value)
    return cast("_T", options)


def unknown_name(complaint: str, given: Iterable[str], known: Collection[str]) -> str:
    """Return a sentence about the first unknown name, with names that are near to it; "" if all names are known.

    `complaint` is the beginning of the sentence: "TicketQuery has no field".
    """
    for name in given:
        if name not in known:
            near = get_close_matches(str(name), known, 2)
            mend = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known)}"
            return f"{complaint} {name!r}; {mend}"
    return ""


def kind_of(value: object) -> str:
    """Describe a value, for a message: its class and how it begins."""
    return "None" if value is None else f"{type(value).__name__} {shown(value)}"


def has_bytes(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: a text with half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain(name: str, returned: object) -> None:
    """Refuse a callback whose call returned a coroutine: it is an `async def`, and nobody awaits it.

    `is_plain` cannot tell this of every callable, such as a lambda that calls an `async def`.
    """
    if isinstance(returned, Coroutine):
        returned.close()
        raise ConfigError("is an `async def`, which is not awaited", argument=name, mend="it must be a plain function")


def shown(value: object) -> str:
    """Return the first 60 characters of a value's `repr`, for a message; raises nothing."""
    try:
        return f"{value!r:.60}"
    except Exception:  # noqa: BLE001 - an object of the caller's, or a number of more digits than Python writes
        return f"a value of class {type(value).__name__} that cannot be shown"


def _refused(name: str, value: object, wanted: str) -> ConfigError:
    return ConfigError(f"is {shown(value)}", argument=name, mend=f"it must be {wanted}")


def caller() -> FrameType:
    """Return the innermost frame outside this package: the line of the user's code that made the call."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "workorder_async":
        frame = frame.f_back
    return frame
