"""Failures on the command line: a sentence with a hint, and an exit code. Equal failures of many tickets share a line.

The library's errors name arguments and classes, for programmers; here they name the options of the command line.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from attrs import define, field
from cyclopts import CycloptsError, exceptions as usage

from workorder_async import errors
from workorder_async.batches.outcomes import Outcome
from workorder_async.cli.terminal import named, note
from workorder_async.document import JSON
from workorder_async.words import explain, spoken

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNKNOWN: Final = 3
INTERRUPTED: Final = 130
READER_GONE: Final = 141
TERMINATED: Final = 143

EXIT_CODES: Final = """\
* 0: done
* 1: the platform or the network said no, some of several things failed, or the results could not be written to stdout
* 2: wrong usage or configuration, and nothing was changed
* 3: a change was sent and no clear answer came back, so it may or may not have happened
* 130: interrupted by Ctrl-C; 143 by SIGTERM or the end of the terminal; 141: the reader of the output went away"""

_DOCTOR: Final = "`workorder doctor` looks for the cause"
_NO_ANSWER: Final = (errors.ResponseError, errors.NoAnswerError, errors.NotSentError, errors.DeadlineExceededError)
# Read from top to bottom: a class stands above the classes that it derives from.
_HINTS: Final[Mapping[type[errors.WorkorderError], str]] = {
    errors.OutcomeUnknownError: "look with `workorder show ID` or `workorder list` before you do it again",
    errors.DecodeError: "the API document says otherwise; `workorder export --raw` takes tickets as they come, and "
    "with --skip-bad-rows it leaves out those that cannot be read",
    **dict.fromkeys(_NO_ANSWER, _DOCTOR),
    errors.RateLimitedError: "wait, or ask for less at once, with --concurrency where there is one",
    errors.ApiError: f"if every command is answered so, {_DOCTOR}",
}
_ABOUT_A_TICKET: Final = ("get_ticket", "get_ticket_detail", "comment_ticket", "reject_ticket", "close_ticket")

# Arguments of the library by their names on the command line. An argument NAME or CLASS.NAME that is not here is the
# option --name.
_ARGUMENTS: Final[Mapping[str, str]] = {
    "id": "ID",
    "target": "",
    "text": "TEXT",
    "database": "DB",
    "base_url": "the base URL",
    "app_id": "the AppId",
    "app_secret": "the secret",
    "file_name": "the file's name",
    "tags": "--tag",
    "names": "--name",
    "attachment": "--attach",
    "handle_attachment": "--attach",
    "product_group_id": "--product-group",
    "productGroupId": "--as-product-group",
    "TicketQuery.customer_organization_name": "--customer",
}
# What to do about a wrong argument, where the library's own `mend` is for programmers.
_MENDS: Final[Mapping[str, str]] = {
    "file_name": "rename the file",
    "attachment": "take the output of `workorder upload --json`",
    "handle_attachment": "the platform did not say who uploaded it: add --author USER_ID",
}
# Parts of the library's messages that mean nothing here: a Python type before a value ("is int 5"), and an argument
# with its value ("overwrite=True").
_TYPE: Final = re.compile(r"^(is |must be [A-Za-z ]+, not )(str|int|float|bool|list|dict) ")
_SETTING: Final = re.compile(r"\b([a-z_]+)=(True\b|False\b|(?=,))")

# Tickets that a line of complaints names, and lines of complaints.
_NAMED: Final = 3
_MOST: Final = 1000
_NUMBER: Final = re.compile(r"\d+")

#: By the type of an option: the problem with a text that is no such value.
KINDS: Final[Mapping[object, str]] = {int: "is no whole number of 64 bits; write one in digits", float: "is no number"}


def exit_code(error: errors.WorkorderError) -> int:
    """Return the exit code that a failure ends in."""
    if isinstance(error, errors.OutcomeUnknownError):
        return UNKNOWN
    # Usage: no batch has begun. A journal that fails later does not come here: the batch stops, and its report says so.
    return USAGE if isinstance(error, errors.ConfigError | errors.JournalError) else FAILED


def sentence(error: errors.WorkorderError) -> str:
    """Return the error and its hint as one sentence, in words of the command line."""
    # An answer's text is the platform's: words in it that look like arguments are none.
    text = str(error) if isinstance(error, errors.ApiError | errors.ResponseError) else _in_options(error)
    hint = next((text for kind, text in _HINTS.items() if isinstance(error, kind)), "")
    if type(error) is errors.ApiError and error.operation in _ABOUT_A_TICKET:
        hint = "check the ticket's number, and that you may do this to it; the words are the platform's, and "
        hint += "WORKORDER_ERRNOS can give the errno a meaning"
    elif type(error) is errors.ApiError and error.operation == "list_tickets":
        hint += "; if so many tickets at once are refused, give the command a smaller --page-size, where it has one"
    elif isinstance(error, errors.ApiError) and not isinstance(error, errors.RateLimitedError):
        hint = error.hint or hint
    return f"{text}; hint: {hint}" if hint else text


def _in_options(error: errors.WorkorderError) -> str:
    """Return the message of an error, with options of the command line in place of the library's arguments."""
    if not isinstance(error, errors.ConfigError | errors.ExportError):
        return str(error)
    argument, mend = getattr(error, "argument", ""), error.mend
    if found := re.fullmatch(r"(?:[A-Z]\w+\.)?([a-z]\w*)", argument):
        name = found[1]
        argument, mend = _ARGUMENTS.get(argument, _ARGUMENTS.get(name, option(name))), _MENDS.get(name, mend)
    mend = mend.replace("True or False", "true or false")  # such a value came from JSON: no option takes one
    mend = _SETTING.sub(lambda found: option(f"no_{found[1]}" if found[2] == "False" else found[1]), mend)
    problem = _TYPE.sub(r"\1", error.problem)
    return f"{argument} {problem}{f'; {mend}' if mend else ''}".lstrip()


def option(name: str) -> str:
    """Return the option that sets an argument of the library."""
    return f"--{name.replace('_', '-')}"


def as_json(error: errors.WorkorderError) -> dict[str, JSON]:
    """Return an error as a JSON object. A gateway's page has no errno and no words, so neither has its error."""
    facts: dict[str, JSON] = {"error": type(error).__name__, "message": str(error), "request_id": error.request_id}
    if isinstance(error, errors.ApiError) and (error.errno or error.errmsg):
        facts |= {"errno": error.errno, "errmsg": error.errmsg}
    return facts


def note_in_chinese(failure: Exception | Outcome) -> None:
    """Say on stderr in Chinese what failed, if the user's language is Chinese."""
    if spoken() == "zh":
        note(f"workorder: {explain(failure, 'zh')}")


@define
class Complaints:
    """The failures of many tickets: for each error its sentence and its tickets, oldest error first."""

    _by_kind: dict[object, tuple[list[int], str]] = field(factory=dict)

    def add(self, id: int, error: errors.WorkorderError) -> None:
        """Note the error of a ticket. Errors that differ only in numbers, such as seconds, are equal."""
        codes = getattr(error, "errno", 0), getattr(error, "status", 0)
        kind = (type(error), codes, _NUMBER.sub("", error.message))
        self._by_kind.setdefault(kind, ([], sentence(error)))[0].append(id)

    def lines(self) -> Iterator[str]:
        """Yield a line for each error: its tickets, and the sentence of the first; a thousand lines at most."""
        for ids, said in islice(self._by_kind.values(), _MOST):
            yield f"ticket{'s' if len(ids) > 1 else ''} {named(ids[:_NAMED], len(ids))}: {said}"
        if (more := len(self._by_kind) - _MOST) > 0:
            yield f"... and {more:,} more"


def wrong_usage(error: CycloptsError, words: Sequence[str]) -> str:
    """Return a sentence about the mistake in a command line (`words`), and the help to read."""
    said = _complaint(error, words)
    see = f"See `{' '.join(('workorder', *(error.command_chain or ())))} --help`"
    if words[0].startswith("-"):
        see = "Options stand after the command; see `workorder --help`"
    return f"{said}{'' if said.endswith(('.', '?')) else '.'} {see}"


def _complaint(error: CycloptsError, words: Sequence[str]) -> str:
    match error:
        case usage.UnusedCliTokensError(unused_tokens=[*unused]):
            return f"nothing here takes {', '.join(map(repr, unused))}; a text with blanks must be in quotes"
        case usage.RepeatArgumentError():
            return f"{error.token.keyword} was said before; say it once"
        case usage.MissingArgumentError(argument=argument) if argument is not None:
            typed = [word for word in words if word in argument.names]
            return f"{typed[-1]} needs a value" if typed else f"{argument.name} is missing"
        case usage.CoercionError(token=token, argument=argument) if token is not None and argument is not None:
            name = token.keyword or argument.name
            said, is_flag = error.msg or KINDS.get(error.target_type), error.target_type is bool
            if said or is_flag:
                flag = f"{name} takes no value, and was given {token.value!r}"
                return flag if is_flag else f"{name}: {token.value[:40]!r} {said}"
        case usage.ValidationError(argument=it) if it is not None and "" in [token.value for token in it.tokens]:
            return f"{it.name} is empty; name a file"
    return str(error)
