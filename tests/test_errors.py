import copy
import inspect
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.support.rows import each
from workorder_async import errors
from workorder_async.document import CommentTicket
from workorder_async.errors import (
    DOCUMENTED_ERRNOS,
    ApiError,
    AuthenticationError,
    NotFoundError,
    RateLimitedError,
    TicketStateError,
    WorkorderError,
)
from workorder_async.walk_report import WalkReport

COMMON: dict[str, Any] = {"operation": "close_ticket", "attempts": 3, "request_id": "f1fab7321a7548c389131e22bb72eb35"}
ANSWER: dict[str, Any] = {"status": 502, "body_start": b"<html>\xff\x00"}
FAILURE: dict[str, Any] = {"errno": 23000, "errmsg": "工单状态不允许关闭", "status": 409}
# Each error with a value of its own for every attribute.
REPORT = WalkReport(
    requests=9,
    tickets=50,
    repeats=4,
    sections=2,
    edges=4,
    crowded_seconds=0,
    first_total=50,
    last_total=50,
    exact=False,
    reason="not finished",
)
EXAMPLES: dict[type[WorkorderError], dict[str, Any]] = {
    errors.WorkorderError: COMMON,
    errors.ConfigError: COMMON | {"argument": "concurrency", "mend": "it must be a whole number of at least 1"},
    errors.NotSentError: COMMON,
    errors.NoAnswerError: COMMON,
    errors.OutcomeUnknownError: COMMON | {"mutation": CommentTicket(id=1, detail="x"), "began": 1.5, "ticket_id": 7},
    errors.ResponseError: COMMON | ANSWER,
    errors.DecodeError: COMMON | ANSWER | {"path": "$.data.tickets[57].created_time", "expected": "int", "got": "list"},
    errors.ApiError: COMMON | FAILURE,
    errors.AuthenticationError: COMMON | FAILURE,
    errors.NotFoundError: COMMON | FAILURE,
    errors.TicketStateError: COMMON | FAILURE,
    errors.RateLimitedError: COMMON | FAILURE,
    errors.DeadlineExceededError: COMMON | {"spent": {"queue": 0.5, "request": 28.0, "sleep": 1.5}},
    errors.WalkDriftError: COMMON | {"report": REPORT},
    errors.JournalError: COMMON,
    errors.ExportError: COMMON | {"mend": "make room"},
}
PARTED = {
    errors.ConfigError: "concurrency it broke; it must be a whole number of at least 1",
    errors.ExportError: "it broke; make room",
}
of_each_kind = each("kind", EXAMPLES)


def drawn() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Read the tree in the module's docstring: each class with its bases, from the root down."""
    road: list[str] = []
    for line in str(errors.__doc__).splitlines():
        if found := re.match(r"    ([ │├└─]*)([A-Z]\w+Error)(?: \((\w+)\))?(?:  |$)", line):
            branch, name, other = found.groups()
            road[len(branch) // 4 :] = [name]
            yield name, tuple(filter(None, [*road[-2:-1], other]))


def real(kind: type[WorkorderError] = WorkorderError) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Walk the classes of the module, each with its bases, in the order of their definition."""
    yield kind.__name__, () if kind is WorkorderError else tuple(base.__name__ for base in kind.__bases__)
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from real(below)


def test_the_tree_is_drawn() -> None:
    """The tree in the docstring is the tree of the classes, line for line."""
    assert list(drawn()) == list(real())
    assert WorkorderError.__bases__ == (Exception,)
    assert {name for name, _ in real()} == {kind.__name__ for kind in EXAMPLES}


def kept(kind: type[WorkorderError]) -> dict[str, Any]:
    """Return what an error keeps of its arguments."""
    return EXAMPLES[kind] | ({"problem": "it broke"} if kind in PARTED else {})


def later(kind: type[WorkorderError]) -> dict[str, Any]:
    """Return what is set on an error after it was made."""
    unknown = (
        {"ahead": None, "happened": None, "mark": "", "platform": "", "run": None}
        if kind is errors.OutcomeUnknownError
        else {}
    )
    answered = {"says_no": True, "body_start": b""} if issubclass(kind, errors.ApiError) else {}
    answered |= {"errno": 0} if issubclass(kind, errors.ResponseError) else {}
    return {"retry_after": None} | unknown | answered


def parameters(kind: type[WorkorderError]) -> Iterator[str]:
    """Yield the names of an error's arguments, those of its call and its answer among them."""
    for one in inspect.signature(kind).parameters.values():
        yield from one.annotation.__args__[0].__annotations__ if one.kind is one.VAR_KEYWORD else [one.name]


@of_each_kind
def test_attributes(kind: type[WorkorderError]) -> None:
    """Every argument of an error is its attribute of the same name, and all but the message may be left out."""
    error = kind("it broke", **EXAMPLES[kind])
    assert vars(error) == kept(kind) | later(kind)
    first = "problem" if kind in PARTED else "message"
    assert set(parameters(kind)) == {first, *EXAMPLES[kind]}
    assert error.message == PARTED.get(kind, "it broke")
    assert set(vars(kind("it broke"))) == set(vars(error))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "is 0"),
        ({"argument": "concurrency"}, "concurrency is 0"),
        ({"mend": "use 1"}, "is 0; use 1"),
        ({"argument": "concurrency", "mend": "use 1"}, "concurrency is 0; use 1"),
    ],
)
def test_the_parts_of_a_configuration_error(parts: dict[str, Any], message: str) -> None:
    """The message is made of the argument, the problem and the mend, as far as they are given."""
    error = errors.ConfigError("is 0", **parts)
    assert str(error) == message
    assert (error.argument, error.problem, error.mend) == (parts.get("argument", ""), "is 0", parts.get("mend", ""))


@of_each_kind
def test_where_it_happened(kind: type[WorkorderError]) -> None:
    """Each error tells operation, attempts and request_id, empty where there are none."""
    bare = kind("it broke")
    assert (bare.operation, bare.attempts, bare.request_id) == ("", 0, "")
    error = kind("it broke", **COMMON)
    assert (error.operation, error.attempts, error.request_id) == tuple(COMMON.values())


@each("act", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
@of_each_kind
def test_copies(kind: type[WorkorderError], act: Callable[[WorkorderError], WorkorderError]) -> None:
    """An error keeps its class, words and attributes when pickled or copied; those set later, and notes, too."""
    error = kind("it broke", **EXAMPLES[kind])
    error.attempts = 4
    error.retry_after = 2.5
    error.add_note("while closing ticket 1473")
    twin = act(error)
    assert type(twin) is kind
    assert twin.args == error.args
    assert vars(twin) == kept(kind) | later(kind) | {
        "attempts": 4,
        "retry_after": 2.5,
        "__notes__": ["while closing ticket 1473"],
    }
    assert str(twin) == str(error)


@each("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@of_each_kind
def test_pickles(kind: type[WorkorderError], protocol: int) -> None:
    """Every protocol of pickle carries every error."""
    error = kind("it broke", **EXAMPLES[kind])
    assert vars(pickle.loads(pickle.dumps(error, protocol))) == vars(error)


@each(
    ("facts", "text"),
    [
        ({}, "it broke"),
        ({"attempts": 1}, "it broke"),
        ({"attempts": 2}, "it broke (2 attempts)"),
        ({"request_id": "f1fa"}, "it broke (request_id f1fa)"),
        ({"operation": "get_ticket"}, "get_ticket: it broke"),
        (
            {"operation": "get_ticket", "attempts": 3, "request_id": "f1fa"},
            "get_ticket: it broke (3 attempts, request_id f1fa)",
        ),
    ],
)
@of_each_kind
def test_text(kind: type[WorkorderError], facts: dict[str, Any], text: str) -> None:
    """An error reads as one sentence with what is known of where it happened, whatever its class."""
    assert str(kind("it broke", **facts)) == text


def test_time_spent_is_a_copy() -> None:
    """What a call spends after its error was raised does not change the error."""
    spent = {"queue": 0.5}
    error = errors.DeadlineExceededError("it broke", spent=spent)
    spent["queue"] = 9.0
    assert error.spent == {"queue": 0.5}


def test_documented_errnos() -> None:
    """One errno has a meaning in the API document: 23000 工单状态不允许关闭."""
    assert dict(DOCUMENTED_ERRNOS) == {23000: TicketStateError}


@pytest.mark.parametrize("kind", [AuthenticationError, NotFoundError, TicketStateError, RateLimitedError])
def test_hints(kind: type[ApiError]) -> None:
    """An answer with a meaning comes with a hint of what to do; one without a meaning has none."""
    assert kind.hint
    assert not ApiError.hint


def test_no_builtin_error_swallows_it() -> None:
    """An `except ValueError` around a bot's own `int(text)` lets pass what this library says of its arguments."""
    builtin = {kind: [base for base in kind.__mro__ if base.__module__ == "builtins"] for kind in EXAMPLES}
    assert {kind for kind, bases in builtin.items() if bases != [Exception, BaseException, object]} == {
        errors.DeadlineExceededError
    }
    with pytest.raises(errors.ConfigError), suppress(ValueError):
        CommentTicket(id=int("0"), detail="x")
