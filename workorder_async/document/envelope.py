"""The platform's envelope, without any I/O: an HTTP answer becomes its data, or the right error.

Every answer is `{"errno": int, "errmsg": str, "request_id": str, "data": ...}`; errno 10000 is success and everything
else a failure (API document, close_ticket: 10000表示接口请求成功, 其他均表示失败). `data` may be absent in both.

The status is judged before the errno:

    status 500 and more, with an envelope of any errno      `ResponseError`: nobody knows whether it was carried out;
                                                            so with an errno that is mapped to `ResponseError`, but
                                                            for a status of 429
    another status than 2xx, with the errno of success      `ResponseError`: the answer contradicts itself
    a page without an envelope                              `ResponseError`; but with status 401 and 403
                                                            `AuthenticationError`, with 429 `RateLimitedError`, errno 0
    any other envelope                                      its data, or the `ApiError` of its errno, else of the status

A redirect is a `ResponseError`, whatever its body. An errno that is no number is a `DecodeError`, or with a status of
400 and more as good as a page without an envelope.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import TypeVar

from attrs import define, field

from workorder_async import errors
from workorder_async.document.decoding import MisfitError, whole_number
from workorder_async.document.json_text import JSON, SURROGATE, loads, parse_slowly, write
from workorder_async.errors import ApiError, DecodeError, Meaning, ResponseError, WorkorderError
from workorder_async.secret import without_credentials

SUCCESS = 10000
E = TypeVar("E", bound=WorkorderError)

_BODY_START = 200
_REDIRECTS = (301, 302, 303, 307, 308)
#: Bytes of a body that orjson refuses. One of this size stops the event loop for some 20 ms; a longer one is parsed in
#: a thread, or not at all.
_ODD = 64 << 10
_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: errors.AuthenticationError,
    403: errors.AuthenticationError,
    404: errors.NotFoundError,
    429: errors.RateLimitedError,
}
#: The statuses that mean the same on a page without an envelope. A gateway's 404 does not say that a ticket is missing.
_OF_PAGES = {status: kind for status, kind in _BY_STATUS.items() if status != 404}
#: Words for a body without an envelope, by its first byte.
_PAGES: dict[bytes, str] = dict.fromkeys((b"{", b"["), "broken JSON")
_PAGES |= {b"": "an empty body", b"<": "an HTML page, as a proxy or gateway sends"}
_NOT_PARSED: JSON = object()  # type: ignore[assignment]  # no JSON value stands for its absence


@define  # not frozen: there is one for each request, and it is made in a fifth of the time
class Answer:
    """A successful answer: its `data` (None for no data), `request_id`, operation, and number of attempts.

    A `large` answer takes long to decode, so it is decoded in a thread.
    """

    data: JSON = field(repr=False)
    request_id: str = ""
    operation: str = ""
    attempts: int = 1
    large: bool = False

    def told_in(self, error: E) -> E:
        """Put this answer's operation, request_id and attempts into an error, and return the error."""
        error.operation, error.request_id, error.attempts = self.operation, self.request_id, self.attempts
        return error


def open_envelope(
    status: int,
    body: bytes,
    errnos: Mapping[int, Meaning],
    parsed: JSON = _NOT_PARSED,
    *,
    location: str = "",
    operation: str = "",
    attempts: int = 1,
) -> Answer:
    """Return the contents of a successful answer.

    Raises `ApiError`, or the class that `errnos` has for the errno, for a failure that the platform declared with a
    status below 500; `DecodeError` for an envelope whose errno is no number, if the status is below 400; else
    `ResponseError`, or on a page the error of its status (see the head of this file).

    `location` is the header of that name, for the message about a redirect. `operation` and `attempts` go into the
    answer. `parsed` is the body as JSON, if it was parsed already.
    """
    if status in _REDIRECTS:
        place = without_credentials(_text(location)) or "nowhere"
        said = (
            f"HTTP {status}, a redirect to {place}, which is never followed: it would carry the signature to another "
            "place; set the base URL to the final one, unless that is a login"
        )
        raise ResponseError(said, status=status, body_start=body[:_BODY_START])
    value = parse_json(status, body) if parsed is _NOT_PARSED else parsed
    if not isinstance(value, dict) or "errno" not in value:
        raise not_the_platforms(status, body, "JSON, but without an errno" if body.strip() else "")
    errno, request_id = value["errno"], value.get("request_id")
    errno = errno if type(errno) is int else _whole(errno, status, body)
    request_id = request_id if type(request_id) is str and request_id.isascii() else _text(request_id)
    if errno == SUCCESS and status < 300:
        return Answer(value.get("data"), request_id, operation, attempts)
    kind = errnos.get(errno)
    if kind is ResponseError and status == 429:
        kind = None  # turned away
    raise _failure(errno, _text(value.get("errmsg")), status, body, kind=kind, request_id=request_id)


def _failure(
    errno: int, errmsg: str, status: int, body: bytes, *, kind: Meaning | None, request_id: str
) -> ApiError | ResponseError:
    """Return the error of an envelope that is no success; `kind` is the meaning of its errno, if that is known."""
    said = f"errno {errno} {errmsg}".rstrip()
    if errno == SUCCESS or status >= 500 or (kind is not None and issubclass(kind, ResponseError)):
        unclear = "the platform or a gateway failed, and does not say whether anything was done"
        said = f"HTTP {status} with {said}: {unclear}"
        failure = ResponseError(said, status=status, body_start=body[:_BODY_START], request_id=request_id)
        failure.errno = 0 if errno == SUCCESS else errno
        return failure
    made = kind or _BY_STATUS.get(status, ApiError)
    error = made(said, errno=errno, errmsg=errmsg, status=status, request_id=request_id)
    error.says_no = errno != 0 or kind is not None
    return error


def _whole(errno: object, status: int, body: bytes) -> int:
    """Read an errno that is not a plain whole number, as Java may write it: "10000", 10000.0."""
    try:
        return whole_number(errno)
    except MisfitError:
        if status >= 400:
            raise not_the_platforms(status, body, "an errno that is no whole number") from None
        said, start = "the envelope's errno is not a whole number", body[:_BODY_START]
    raise DecodeError(said, path="$.errno", expected="a whole number", status=status, body_start=start)


def _text(value: JSON) -> str:
    """Read a text that is for people. A value of another type becomes JSON: it is no reason to refuse the answer.

    Characters without UTF-8 bytes become U+FFFD, so that an error can be printed, sent and stored.
    """
    try:
        return SURROGATE.sub("\ufffd", value or "" if value is None or isinstance(value, str) else write(value))
    except ValueError:
        return "JSON that is too deep to be shown"


def parse_json(status: int, body: bytes) -> JSON:
    """Parse a body by orjson, or slowly if that refuses a short one. Raises `ResponseError` if the body is not JSON."""
    with suppress(ValueError):
        parsed: JSON = loads(body)
        return parsed
    with suppress(ValueError, RecursionError):
        if len(body) <= _ODD:
            return parse_slowly(body)
    raise not_the_platforms(status, body)


def not_the_platforms(status: int, body: bytes, what: str = "") -> ResponseError | ApiError:
    """Return the error for an answer without the envelope; `what` describes the answer, else its first bytes do."""
    what = what or _PAGES.get(body.lstrip()[:1], "text")
    said = f"HTTP {status} with {what} instead of the platform's answer"
    if status in _OF_PAGES:
        page = _OF_PAGES[status](said, status=status)
        page.says_no, page.body_start = False, body[:_BODY_START]
        return page
    mend = "check the base URL, and any proxy or gateway"
    return ResponseError(f"{said}; {mend}", status=status, body_start=body[:_BODY_START])
