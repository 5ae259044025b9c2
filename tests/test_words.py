"""words.py: a sentence or two for people, of every error, outcome and settlement, in both languages."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from contextlib import suppress

import pytest

import workorder_async
from tests.support.mutations import creation
from tests.support.rows import each
from workorder_async import (
    ApiError,
    CloseTicket,
    CommentTicket,
    ConfigError,
    DecodeError,
    JournalError,
    NoAnswerError,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    RejectTicket,
    ResponseError,
    Settlement,
    State,
    TicketStateError,
    WorkorderError,
    explain,
)
from workorder_async.document import endpoints
from workorder_async.mutations.kinds import KINDS
from workorder_async.words import _ERRORS, _OPERATIONS, _STATES, Language, spoken

LANGUAGES: tuple[Language, Language] = ("zh", "en")
COMMENT = CommentTicket(id=1473, detail="密语 pa55")
# What errors say to programmers: nothing of it is for people.
INTERNALS = "s3cret https://10.0.0.5:8011/workorder/api/ticket/base Sign=abc /srv/x.journal <html> at Foo.java:12"
NOTHING = {"zh": "没有改动", "en": "nothing was changed"}
PERHAPS = {"zh": "不知道是否已经生效", "en": "not known whether anything was changed"}
CHANGED = {"zh": "改动已经生效", "en": "the change was made"}


def errors(kind: type[WorkorderError] = WorkorderError) -> Iterator[type[WorkorderError]]:
    """Yield every error class of the package, from the root down."""
    if kind is WorkorderError:
        for module in pkgutil.walk_packages(workorder_async.__path__, "workorder_async."):
            # Those of PySpark take seconds, and have no errors of their own.
            if ".spark" not in module.name:
                with suppress(ImportError):
                    importlib.import_module(module.name)
    if kind.__module__.startswith("workorder_async."):
        yield kind
    for below in kind.__subclasses__():
        yield from errors(below)


ERRORS = sorted(set(errors()), key=lambda kind: kind.__name__)


def check(text: str, language: Language) -> None:
    """Fail unless this can be shown to a person who reads this language."""
    assert text == " ".join(text.split())
    assert 10 < len(text) < 260
    assert text.endswith("。" if language == "zh" else ".")
    assert bool(re.search(r"[一-鿿]", text)) == (language == "zh")
    assert text.count(". ") + text.count("。") <= 2
    assert not re.search(r"s3cret|pa55|密语|http|://|Sign|/srv|html|java|Error\b|None|_", text)


@each("language", LANGUAGES)
@each("kind", ERRORS)
def test_every_error_has_words(kind: type[WorkorderError], language: Language) -> None:
    """Each error class has words of its own, with nothing of its message, and says whether anything was changed."""
    for operation in ("", "close_ticket", "list_tickets", INTERNALS):
        error = kind(INTERNALS, operation=operation, request_id="f6d607003d4a46ef9633fa670e398355")
        error.__cause__ = ValueError(INTERNALS)
        text = explain(error, language)
        check(text, language)
        assert "f6d607003d4a46ef9633fa670e398355" in text
        words = (NOTHING[language], PERHAPS[language], "没有再改动", "nothing more was changed")
        assert sum(word in text for word in words) == 1
    if kind.__module__ == "workorder_async.errors":
        assert kind in _ERRORS


def test_no_two_errors_have_the_same_words() -> None:
    """What is told apart is told in different words."""
    for which in (0, 1):
        happened = [both[0][which] for both in _ERRORS.values()]
        assert len(set(happened)) == len(happened)


@each("language", LANGUAGES)
@each("state", State)
def test_every_state_has_words(state: State, language: Language) -> None:
    """Each state of an outcome has words, whatever its error is; the state decides what is said of changes."""
    changed = {State.DONE: CHANGED, State.UNKNOWN: PERHAPS}.get(state, NOTHING)[language]
    for kind in (None, *ERRORS):
        error = None if kind is None else kind(INTERNALS)
        text = explain(Outcome(COMMENT, state, error, request_id="f6d607003d4a"), language)
        check(text, language)
        assert changed in text
        assert text.startswith("评论工单 1473：" if language == "zh" else "Commenting on ticket 1473: ")
        assert ("f6d607003d4a" in text) == (state in (State.REJECTED, State.NOT_SENT, State.UNKNOWN))
    assert set(_STATES) == set(State)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("happened", "said"), [(True, CHANGED), (False, NOTHING), (None, PERHAPS)])
def test_every_settlement_has_words(happened: bool | None, said: dict[str, str], language: Language) -> None:
    """Each settlement has words, and names a ticket that was found."""
    check(explain(Settlement(happened), language), language)
    text = explain(Settlement(happened, 1500), language)
    check(text, language)
    assert said[language] in text
    assert "1500" in text


def test_a_ticket_that_is_as_wanted() -> None:
    """Where the ticket is closed, whoever did it, nothing is left to be done, though it stays unknown who."""
    for language in LANGUAGES:
        text = explain(Settlement(None, holds=True), language)
        check(text, language)
        assert PERHAPS[language] in text
    assert explain(Settlement(None, holds=True), "zh").endswith("不用再做什么。")
    assert explain(Settlement(True, holds=True), "zh") == explain(Settlement(True), "zh")


def test_each_operation_has_words() -> None:
    """Each endpoint's operation is named to people, and so is each kind of mutation, with its ticket."""
    assert _OPERATIONS.keys() == endpoints.ENDPOINTS.keys()
    assert {kind.endpoint.operation for kind in KINDS.values()} <= set(_OPERATIONS)
    mutations = (
        (CloseTicket(id=7, closer_id=1, closer_name="姜程", solved_time=1), "关闭工单 7：", "Closing ticket 7: "),
        (RejectTicket(id=7), "拒绝工单 7：", "Rejecting ticket 7: "),
        (COMMENT, "评论工单 1473：", "Commenting on ticket 1473: "),
    )
    for mutation, chinese, english in mutations:
        error = OutcomeUnknownError("x", mutation=mutation)
        assert explain(error, "zh").startswith(chinese)
        assert explain(error, "en").startswith(english)


def test_a_new_ticket_is_named_once_it_is_known() -> None:
    """Of a creation the ticket's number is said as soon as it is known."""
    assert explain(Outcome(creation(INTERNALS), State.DONE, ticket_id=1500), "zh").startswith(
        "创建工单 1500：已经完成，改动已经生效。"
    )
    assert explain(Outcome(creation(INTERNALS), State.UNKNOWN), "zh").startswith("创建工单：请求已经发出，")
    assert explain(OutcomeUnknownError("x", mutation=creation(INTERNALS), ticket_id=9), "en").startswith(
        "Creating ticket 9: "
    )
    assert explain(OutcomeUnknownError("x", mutation=creation()), "en").startswith("Creating the ticket: ")


@each(
    ("error", "said"),
    [
        (NoAnswerError("x", operation="get_ticket"), NOTHING),
        (NoAnswerError("x", operation="close_ticket"), PERHAPS),
        (NoAnswerError("x"), PERHAPS),
        (DecodeError("x", operation="create_ticket"), PERHAPS),
        (ResponseError("x", operation="upload_file"), NOTHING),
        (ApiError("x", operation="close_ticket", errno=5), NOTHING),
        (ApiError("x", operation="close_ticket", status=502), PERHAPS),
        (ApiError("x", operation="list_tickets", status=502), NOTHING),
        (OutcomeUnknownError("x", operation="list_tickets"), PERHAPS),
        (NotSentError("x", operation="create_ticket"), NOTHING),
        (ValueError("x"), PERHAPS),
        (TimeoutError(), PERHAPS),
        (ExceptionGroup("x", [ConfigError("x")]), PERHAPS),
        (KeyboardInterrupt(), PERHAPS),
    ],
)
def test_nothing_is_said_to_be_unchanged_that_may_be(error: BaseException, said: dict[str, str]) -> None:
    """That nothing was changed is said only where it is proven; an error of another library proves nothing."""
    for language in LANGUAGES:
        text = explain(error, language)
        check(text, language)
        assert said[language] in text


def test_an_unclear_answer_is_not_called_none() -> None:
    """An outcome is unknown also where the platform answered, with a failure."""
    for cause in (None, ResponseError("x", status=500)):
        error = OutcomeUnknownError("x", mutation=creation())
        error.__cause__ = cause
        assert explain(error, "zh").startswith("创建工单：请求已经发出，但没有收到明确的答复，")
        assert explain(error, "en").startswith("Creating the ticket: it was sent, but no clear answer came back; ")


@each("language", LANGUAGES)
def test_an_outcome_that_is_known_by_now(language: Language) -> None:
    """What `verify` has found is said, and so is that a creation was accepted whose number is not known."""
    error = OutcomeUnknownError("x", mutation=creation())
    error.happened = True
    for what in (error, Outcome(creation(), State.UNKNOWN, error)):
        text = explain(what, language)
        check(text, language)
        assert CHANGED[language] in text
        assert {"zh": "没有给出工单号", "en": "gave no number"}[language] in text
        assert {"zh": "不要重做", "en": "do not repeat this"}[language] in text
    error.ticket_id = 1500
    for what in (error, Outcome(creation(), State.UNKNOWN, error)):
        text = explain(what, language)
        assert text.startswith(
            {"zh": "创建工单 1500：查过了", "en": "Creating ticket 1500: this was looked up"}[language]
        )
        assert CHANGED[language] in text
    error = OutcomeUnknownError("x", mutation=COMMENT)
    error.happened = False
    for what in (error, Outcome(COMMENT, State.UNKNOWN, error)):
        check(explain(what, language), language)
        assert NOTHING[language] in explain(what, language)


def test_meanings_of_a_users_own_have_words() -> None:
    """A class that is derived from one of ours has the words of that, and an errno is named."""

    class FrozenTicketError(TicketStateError):
        """The ticket is frozen."""

    assert explain(FrozenTicketError("x", errno=23007), "zh") == explain(TicketStateError("x", errno=23007), "zh")
    assert "（错误码 23007）" in explain(FrozenTicketError("x", errno=23007), "zh")
    assert "(errno 0)" in explain(FrozenTicketError("x", errno=0, errmsg="x"), "en")
    assert "(errno 23007)." in explain(FrozenTicketError("x", errno=23007, errmsg=INTERNALS), "en")


@pytest.mark.parametrize("odd", ["a b", "x" * 65, "<b>", "编号", "a\nb", "Sign=1"])
def test_odd_request_ids_are_not_shown(odd: str) -> None:
    """A request id that is no plain id is left out."""
    for what in (NotSentError("x", request_id=odd), Outcome(COMMENT, State.UNKNOWN, request_id=odd)):
        check(explain(what, "en"), "en")
        assert "request id" not in explain(what, "en")


def test_bad_arguments_are_named() -> None:
    """Another language, or what is neither error nor outcome, is refused with the mend."""
    with pytest.raises(ConfigError, match="language is 'fr'; it must be 'zh' or 'en'"):
        explain(NotSentError("x"), "fr")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="what is str 'x'; it must be an error, an Outcome or a Settlement"):
        explain("x")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="what is None; "):
        explain(None, "zh")  # type: ignore[arg-type]


_VARIABLES = ("WORKORDER_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.mark.parametrize(
    ("values", "language"),
    [
        (("", "", "", "zh_CN.UTF-8"), "zh"),
        (("", "", "zh_TW", "en_US.UTF-8"), "zh"),
        (("", "C.UTF-8", "zh_CN", "zh_CN"), "en"),
        (("en", "zh_CN.UTF-8", "", "zh_CN.UTF-8"), "en"),
        (("zh", "C", "", ""), "zh"),
        (("ZH-Hans", "", "", ""), "zh"),
        (("Chinese (Simplified)_China.936", "", "", ""), "zh"),
        (("fr", "zh_CN.UTF-8", "", ""), "en"),
        (("zha", "", "", ""), "en"),
        (("", "", "", "zu_ZA"), "en"),
        ((" ", "", "", "zh_CN"), "zh"),
        (("", "", "", ""), "en"),
    ],
)
def test_the_language_by_default(values: tuple[str, ...], language: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    """WORKORDER_LANG goes before the locale's variables, and those before what the system says."""
    monkeypatch.setattr("locale.getlocale", lambda: ("en_US", "UTF-8"))
    for name, value in zip(_VARIABLES, values, strict=True):
        monkeypatch.setenv(name, value)
    assert spoken() == language
    assert explain(NotSentError("x")) == explain(NotSentError("x"), language)


@pytest.mark.parametrize(("name", "language"), [("Chinese (Simplified)_China", "zh"), ("zh_CN", "zh"), (None, "en")])
def test_a_system_without_variables(name: str | None, language: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no variable is set, as on Windows, the locale of the process is asked."""
    for variable in _VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("locale.getlocale", lambda: (name, None))
    assert spoken() == language


def test_a_journal_says_what_it_can() -> None:
    """A journal that fails stops what comes later; what came before is not taken back."""
    assert "之后没有再改动任何内容" in explain(JournalError(INTERNALS), "zh")
