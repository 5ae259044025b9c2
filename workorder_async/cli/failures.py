"""What a failure is on the command line: one sentence with a hint, and an exit code."""

from collections.abc import Mapping
from typing import Final

from workorder_async.cli.wording import in_options
from workorder_async.document import JSON
from workorder_async.errors import (
    ApiError,
    ConfigError,
    DeadlineExceededError,
    DecodeError,
    NoAnswerError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ResponseError,
    WorkorderError,
)

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNKNOWN: Final = 3
INTERRUPTED: Final = 130
READER_GONE: Final = 141
TERMINATED: Final = 143

EXIT_CODES: Final = """\
* 0: done
* 1: the platform or the network said no, or some of several things failed
* 2: wrong usage or configuration, and nothing was changed
* 3: a change was sent and no answer came back, so it may or may not have happened
* 130: interrupted by Ctrl-C; 143 by SIGTERM; 141: the reader of the output went away"""

# Read from top to bottom: a class stands above the classes that it derives from.
_HINTS: Final[Mapping[type[WorkorderError], str]] = {
    OutcomeUnknownError: "look with `workorder show ID` or `workorder list` before you do it again",
    DecodeError: "the API document says otherwise; `workorder export --raw` takes tickets as they come, and with "
    "--skip-bad-rows it leaves out those that cannot be read",
    ResponseError: "`workorder doctor` looks for the cause",
    NoAnswerError: "`workorder doctor` looks for the cause",
    NotSentError: "`workorder doctor` looks for the cause",
    DeadlineExceededError: "`workorder doctor` looks for the cause",
    RateLimitedError: "wait, or ask for less at once, with --concurrency where there is one",
    ApiError: "if every command is answered so, `workorder doctor` looks for the cause",
}
_ABOUT_A_TICKET: Final = ("get_ticket", "get_ticket_detail", "comment_ticket", "reject_ticket", "close_ticket")


def exit_code(error: WorkorderError) -> int:
    """Return the exit code that a failure ends in."""
    if isinstance(error, OutcomeUnknownError):
        return UNKNOWN
    return USAGE if isinstance(error, ConfigError) else FAILED


def hint(error: WorkorderError) -> str:
    """Return what to do about an error; nothing where its own sentence says so."""
    own = error.hint if isinstance(error, ApiError) and not isinstance(error, RateLimitedError) else ""
    if type(error) is ApiError and error.operation in _ABOUT_A_TICKET:
        own = "check the ticket's number, and that you may do this to it; the words are the platform's"
    return own or next((text for kind, text in _HINTS.items() if isinstance(error, kind)), "")


def sentence(error: WorkorderError) -> str:
    """Return the error and its hint as one sentence, in words of the command line."""
    advice = hint(error)
    # What an answer says is the platform's, and stays as it is.
    text = str(error) if isinstance(error, ApiError | ResponseError) else in_options(str(error))
    return f"{text}; hint: {advice}" if advice else text


def as_json(error: WorkorderError) -> dict[str, JSON]:
    """Return an error as a JSON object; an errno only where the platform gave one, for a gateway's page has none."""
    facts: dict[str, JSON] = {"error": type(error).__name__, "message": str(error), "request_id": error.request_id}
    if isinstance(error, ApiError) and error.errno:
        facts |= {"errno": error.errno, "errmsg": error.errmsg}
    return facts
