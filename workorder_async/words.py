"""Words for people: what became of a request, in a sentence or two to show in a chat, in Chinese or in English.

A sentence has three parts: what happened, whether anything was changed, and what to do. The text of an error is never
shown, since it may hold addresses, paths and the platform's internals. Its class decides what happened, its operation
whether anything may have been changed. Of its values only errno and request id are shown, for the platform's operators.
"""

import locale
import os
import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from workorder_async import errors
from workorder_async.arguments import kind_of, one_of
from workorder_async.batches.outcomes import Outcome, State
from workorder_async.document.endpoints import ENDPOINTS, Safety
from workorder_async.errors import ApiError, JournalError, NotSentError, OutcomeUnknownError, Settlement, WorkorderError
from workorder_async.mutations.kinds import KINDS

Language: TypeAlias = Literal["zh", "en"]
_Both: TypeAlias = tuple[str, str]
"""A text in Chinese, and the same in English."""

_LOOK: Final = (
    "请先查看工单，确认没有生效再重做",
    "Look at the ticket first, and repeat this only if it did not happen",
)
_REST: Final = ("不用再做什么", "You need not do anything")
_NOTHING: Final = ("这次没有改动任何内容", "nothing was changed this time")
_PERHAPS: Final = ("现在还不知道是否已经生效", "it is not known whether anything was changed")
_NO_MORE: Final = ("之后没有再改动任何内容", "nothing more was changed after that")
_CHANGED: Final = ("改动已经生效", "the change was made")

# What to do, by the last column of the table below.
_MENDS: Final[Mapping[str, _Both]] = {
    "later": ("请稍后再试；如果总是这样，请联系管理员", "Try again later; if it stays so, tell the administrator"),
    "admin": ("请联系管理员", "Tell the administrator"),
    "entry": (
        "请检查填写的内容；如果没有错，请联系管理员",
        "Check what you entered; if it is right, tell the administrator",
    ),
    "right": ("请检查填写的内容和权限", "Check what you entered, and your permission"),
    "number": ("请检查工单号", "Check the ticket's number"),
    "state": ("请看一下工单，它可能已经关闭", "Look at the ticket; it may be closed already"),
    "wait": ("请稍等一会儿再试", "Wait a little, then try again"),
    "less": ("请缩小查询的范围再试", "Ask for fewer tickets, and try again"),
    "again": ("请再做一次；如果总是这样，请联系管理员", "Do it again; if it stays so, tell the administrator"),
    "look": _LOOK,
}
# A line for each class: its name, what happened in Chinese and in English, and what to do.
_TABLE: Final = """\
BaseException|程序出了意外的错误|this program failed unexpectedly|admin
WorkorderError|操作没有完成|this was not completed|later
ConfigError|填写的内容或程序的设置不对|an entry, or a setting of this program, is not valid|entry
NotSentError|没能把请求送到工单平台|the request could not be sent to the ticket platform|later
NoAnswerError|工单平台没有完整地答复|the ticket platform gave no complete answer|later
OutcomeUnknownError|请求已经发出，但没有收到明确的答复|it was sent, but no clear answer came back|look
ResponseError|收到的答复不是工单平台的|the answer did not come from the ticket platform|later
DecodeError|工单平台的答复无法读懂|the answer of the ticket platform cannot be read|admin
ApiError|工单平台拒绝了这个请求|the ticket platform refused the request|right
AuthenticationError|工单平台不认可这个程序的身份或权限|the ticket platform does not admit this program|admin
NotFoundError|没有找到这个工单|there is no such ticket|number
TicketStateError|工单现在的状态不允许这样做|the ticket's present state does not allow this|state
RateLimitedError|请求太多，工单平台暂时不受理|there were too many requests for the ticket platform|wait
DeadlineExceededError|没能在限定的时间内完成|this was not completed in the time allowed|later
WalkDriftError|工单列表一直在变，没能完整读出|the list kept changing and could not be read completely|less
JournalError|程序的操作记录无法使用|this program's record of its work cannot be used|admin
ExportError|工单数据没有写完|the tickets were not all written|again"""
#: By class: what happened, and what to do. A class that is not here has the texts of the class that it derives from.
_ERRORS: Final[Mapping[type[BaseException], tuple[_Both, _Both]]] = {
    getattr(errors, name, BaseException): ((chinese, english), _MENDS[mend])
    for name, chinese, english, mend in (row.split("|") for row in _TABLE.splitlines())
}
#: Errors after which nothing was changed, by any operation.
_HARMLESS: Final = (errors.ConfigError, NotSentError, ApiError, errors.WalkDriftError, errors.ExportError)
_SERVER_ERROR: Final = 500

#: By state: what happened, whether anything was changed, and what to do. For None the outcome's error has the text.
_STATES: Final[Mapping[State, tuple[_Both | None, _Both, _Both | None]]] = {
    State.DONE: (("已经完成", "this is done"), _CHANGED, _REST),
    State.ALREADY: (("之前就已经这样处理过了", "this had been done before"), _NOTHING, _REST),
    State.SKIPPED: (("同样的操作已经做过或正在做", "the same has been done or is being done"), _NOTHING, _REST),
    State.REJECTED: (None, _NOTHING, None),
    State.NOT_SENT: (None, _NOTHING, None),
    State.UNKNOWN: (None, _PERHAPS, _LOOK),
}
_WITHOUT_ERROR: Final = {State.REJECTED: ApiError, State.NOT_SENT: NotSentError, State.UNKNOWN: OutcomeUnknownError}
_LOOKED: Final = ("查过了", "this was looked up")
_SETTLEMENTS: Final[Mapping[bool | None, tuple[_Both, _Both, _Both]]] = {
    True: (_LOOKED, _CHANGED, _REST),
    False: (_LOOKED, _NOTHING, ("可以再试一次", "You can try again")),
    None: (_LOOKED, _PERHAPS, _LOOK),
}
_NUMBERLESS: Final = (
    ("工单平台已经受理，但没有给出工单号", "the ticket platform accepted it, and gave no number"),
    _CHANGED,
    ("请在工单列表中查找，不要重做", "Look for it in the list of tickets, and do not repeat this"),
)
# For a settlement that `holds` and is unknown: the ticket is as it should be, by this mutation or by somebody else.
_AS_WANTED: Final = (("工单已经是想要的状态", "the ticket is as it was to be"), _PERHAPS, _REST)
_OPERATIONS: Final[Mapping[str, _Both]] = {
    "list_tickets": ("查询工单", "reading the list of tickets"),
    "get_ticket": ("读取工单", "reading the ticket"),
    "get_ticket_detail": ("读取工单", "reading the ticket"),
    "create_ticket": ("创建工单", "creating the ticket"),
    "comment_ticket": ("评论工单", "commenting on the ticket"),
    "reject_ticket": ("拒绝工单", "rejecting the ticket"),
    "close_ticket": ("关闭工单", "closing the ticket"),
    "upload_file": ("上传附件", "uploading the file"),
}
_READS: Final = {one.operation for one in ENDPOINTS.values() if one.safety is Safety.READ}


def explain(what: BaseException | Outcome | Settlement, language: Language | None = None) -> str:
    """Say to a person what happened, whether anything was changed, and what to do, in a sentence or two.

    `what` is any error, the outcome of a mutation, or what settling one has shown. The sentence holds nothing of an
    error's own text: no address, no path, no secret. An errno and a request id are named, for those who run the
    platform. `language` is "zh" or "en"; None is the one of WORKORDER_LANG, or else of the locale.

    Raises `ConfigError` for another language, and for a value of another kind.
    """
    language = spoken() if language is None else language
    chinese = one_of("language", language, ("zh", "en")) == "zh"
    facts: list[str] = []
    match what:
        case Settlement():
            operation, ticket_id = "", what.ticket_id
            said = _AS_WANTED if what.happened is None and what.holds else _SETTLEMENTS[what.happened]
        case Outcome():
            (operation, _), ticket_id = _about(what.mutation), what.ticket_id or getattr(what.error, "ticket_id", 0)
            said = (what.state is State.UNKNOWN and _known(what.error, ticket_id)) or _of_outcome(what)
            if _STATES[what.state][0] is None:
                facts = _facts(what.error, what.request_id, chinese)
        case BaseException():
            operation, ticket_id = getattr(what, "operation", ""), 0
            if isinstance(what, OutcomeUnknownError):
                known, id = _about(what.mutation)
                operation, ticket_id = operation or known, what.ticket_id or id
            said = _known(what, ticket_id) or _of_error(what, operation)
            facts = _facts(what, "", chinese)
        case _:
            mend = "it must be an error, an Outcome or a Settlement"
            raise errors.ConfigError(f"is {kind_of(what)}", argument="what", mend=mend)
    about = _OPERATIONS.get(operation, ("工单", "the ticket") if ticket_id else ("", ""))
    head, happened, changed, mend = (both[not chinese] for both in (about, *said))
    if chinese:
        head += f" {ticket_id}" if ticket_id else ""
        asked = f"（{'，'.join(facts)}）" if facts else ""
        return f"{head and f'{head}：'}{happened}，{changed}。{mend}{asked}。"
    head = head.replace("the ticket", f"ticket {ticket_id}") if ticket_id else head
    asked = f" ({', '.join(facts)})" if facts else ""
    text = f"{head and f'{head}: '}{happened}; {changed}. {mend}{asked}."
    return text[0].upper() + text[1:]


def spoken() -> Language:
    """Return the language to speak: of WORKORDER_LANG, or else of the locale; English where that is no Chinese one."""
    names = ("WORKORDER_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    found = next((value for name in names if (value := os.environ.get(name, "").strip())), None)
    # Without any of these variables, as on Windows, ask the locale module.
    name = locale.getlocale()[0] if found is None else found
    return "zh" if re.match(r"zh(?![a-z])|chinese", name or "", re.IGNORECASE) else "en"


def _of_error(error: BaseException, operation: str) -> tuple[_Both, _Both, _Both]:
    """Return what happened, whether anything was changed, and what to do, after an error of an operation."""
    happened, mend = _words_of(type(error))
    if isinstance(error, JournalError):
        return happened, _NO_MORE, mend
    # An errno with a status of 500 or above is no refusal: the server failed, and may have changed something before.
    failed = isinstance(error, ApiError) and error.status >= _SERVER_ERROR
    read = operation in _READS and not isinstance(error, OutcomeUnknownError)
    if read or (isinstance(error, _HARMLESS) and not failed):
        return happened, _NOTHING, mend
    return happened, _PERHAPS, _LOOK


def _known(error: BaseException | None, ticket_id: int) -> tuple[_Both, _Both, _Both] | None:
    """Return the three texts for an `OutcomeUnknownError` whose mutation was settled since; None for another error."""
    if not isinstance(error, OutcomeUnknownError) or error.happened is None:
        return None
    return _NUMBERLESS if error.happened and not ticket_id else _SETTLEMENTS[error.happened]


def _of_outcome(outcome: Outcome) -> tuple[_Both, _Both, _Both]:
    """Return the three texts for an outcome: by its state, and where the state has none, by its error."""
    happened, changed, mend = _STATES[outcome.state]
    kind = _WITHOUT_ERROR.get(outcome.state, WorkorderError) if outcome.error is None else type(outcome.error)
    why = _words_of(kind)
    return happened or why[0], changed, mend or why[1]


def _words_of(kind: type[BaseException]) -> tuple[_Both, _Both]:
    return next(_ERRORS[base] for base in kind.__mro__ if base in _ERRORS)


def _about(mutation: object) -> tuple[str, int]:
    """Return the operation of a mutation, and the ticket that it is about; "" and 0 for none."""
    kind = KINDS.get(type(mutation))
    return ("", 0) if kind is None else (kind.endpoint.operation, kind.ticket_id(mutation))


def _facts(error: BaseException | None, request_id: str, chinese: bool) -> list[str]:
    """Return errno and request id as texts. A request id with other characters than those of an id is left out."""
    facts = []
    if isinstance(error, ApiError) and (error.errno or error.errmsg):
        facts.append(f"错误码 {error.errno}" if chinese else f"errno {error.errno}")
    request_id = request_id or (error.request_id if isinstance(error, WorkorderError) else "")
    if re.fullmatch(r"[0-9A-Za-z-]{1,64}", request_id):
        facts.append(f"请求编号 {request_id}" if chinese else f"request id {request_id}")
    return facts
