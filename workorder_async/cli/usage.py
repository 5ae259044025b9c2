"""Wrong usage in one sentence: what the parser of the command line found, in words that name what was typed."""

from collections.abc import Mapping, Sequence
from typing import Final

from cyclopts import CycloptsError
from cyclopts.exceptions import CoercionError, MissingArgumentError, RepeatArgumentError, UnusedCliTokensError

_KINDS: Final[Mapping[object, str]] = {int: "whole number; write one in digits", float: "number"}


def wrong_usage(error: CycloptsError, arguments: Sequence[str]) -> str:
    """Return what is wrong with these arguments, and where to read on."""
    what = _what(error, arguments)
    return f"{what}{'' if what.endswith(('.', '?')) else '.'} {_see_help(error, arguments)}"


def _what(error: CycloptsError, arguments: Sequence[str]) -> str:
    match error:
        case UnusedCliTokensError(unused_tokens=[*words]):
            return f"nothing here takes {', '.join(map(repr, words))}; a text with blanks must be in quotes"
        case RepeatArgumentError():
            return f"{error.token.keyword} was said before; say it once"
        case MissingArgumentError(argument=argument) if argument is not None:
            typed = [word for word in arguments if word in argument.names]
            return f"{typed[-1]} needs a value" if typed else f"{argument.name} is missing"
        case CoercionError(token=token, argument=argument) if token is not None and argument is not None:
            name = token.keyword or argument.name
            if error.target_type is bool:
                return f"{name} takes no value, and was given {token.value!r}"
            if kind := _KINDS.get(error.target_type):
                return f"{name}: {token.value[:40]!r} is no {kind}"
    return str(error)


def _see_help(error: CycloptsError, arguments: Sequence[str]) -> str:
    if arguments[0].startswith("-"):
        return "Options stand after the command; see `workorder --help`"
    return f"See `{' '.join(('workorder', *(error.command_chain or ())))} --help`"
