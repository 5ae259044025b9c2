"""One HTTP answer in, its data or the right error out: the rules of the platform's envelope, without any I/O.

Every answer is `{"errno": int, "errmsg": str, "request_id": str, "data": ...}`; errno 10000 is success and everything
else a failure (API document, close_ticket: 10000表示接口请求成功, 其他均表示失败). `data` may be absent in both.
"""

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NoReturn

import orjson
from attrs import field, frozen

from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    DecodeError,
    NotFoundError,
    RateLimitedError,
    ResponseError,
)
from workorder_async.models import JSON

SUCCESS = 10000

_BODY_START = 200
_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    429: RateLimitedError,
}


@frozen
class Answer:
    """A successful answer: its `data` (None where there is none), its `request_id`, what was asked, and how often."""

    data: JSON = field(repr=False)
    request_id: str = ""
    operation: str = ""
    attempts: int = 1


def open_envelope(
    status: int,
    body: bytes,
    errnos: Mapping[int, type[ApiError]],
    *,
    location: str = "",
    operation: str = "",
    attempts: int = 1,
) -> Answer:
    """Return what a successful answer holds.

    Raises `ApiError`, or the class that `errnos` has for its errno, for a failure that the platform declared;
    `DecodeError` for an envelope with a field of the wrong kind; `ResponseError` for anything else. `location` is the
    header of that name, for the message about a redirect; `operation` and `attempts` go into the answer.
    """
    if 300 <= status < 400:
        raise ResponseError(
            f"HTTP {status}, a redirect to {location or 'nowhere'}, which is never followed: it would carry the "
            "signature to another place; set the base URL to the final one",
            status=status,
            body_start=body[:_BODY_START],
        )
    value = parse_json(status, body)
    if not isinstance(value, dict) or "errno" not in value:
        raise _not_the_platforms(status, body, "JSON, but without an errno" if body.strip() else "an empty body")
    errno, errmsg, request_id = value["errno"], value.get("errmsg"), value.get("request_id")
    if errno.__class__ is not int:
        _refuse("errno", "a whole number", status, body)
    if errmsg is not None and not isinstance(errmsg, str):
        _refuse("errmsg", "a string", status, body)
    if request_id is not None and not isinstance(request_id, str):
        _refuse("request_id", "a string", status, body)
    if errno == SUCCESS:
        return Answer(value.get("data"), request_id or "", operation, attempts)
    assert isinstance(errno, int)  # noqa: S101 - for the type checkers; refused above
    raise _failure(errno, errmsg or "", request_id or "", status, errnos)


def parse_json(status: int, body: bytes) -> JSON:
    """Parse a body: by orjson, or where it refuses (a lone surrogate), by the standard library.

    Raises `ResponseError` for what is not JSON.
    """
    try:
        parsed: JSON = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            parsed = json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise _not_the_platforms(status, body, _looks_like(body)) from None
    return parsed


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _failure(errno: int, errmsg: str, request_id: str, status: int, errnos: Mapping[int, type[ApiError]]) -> ApiError:
    kind = errnos.get(errno) or _BY_STATUS.get(status, ApiError)
    return kind(f"errno {errno} {errmsg}".rstrip(), errno=errno, errmsg=errmsg, status=status, request_id=request_id)


def _looks_like(body: bytes) -> str:
    start = body.lstrip()[:1]
    if not start:
        return "an empty body"
    return "an HTML page, as a proxy or gateway sends" if start == b"<" else "broken JSON" if start in b"{[" else "text"


def _not_the_platforms(status: int, body: bytes, what: str) -> ResponseError:
    return ResponseError(
        f"HTTP {status} with {what} instead of the platform's answer; check the base URL and what stands between",
        status=status,
        body_start=body[:_BODY_START],
    )


def _refuse(name: str, expected: str, status: int, body: bytes) -> NoReturn:
    raise DecodeError(
        f"the envelope's {name} is not {expected}",
        path=f"$.{name}",
        expected=expected,
        status=status,
        body_start=body[:_BODY_START],
    )


def retry_after(header: str | None, now: float) -> float | None:
    """Read a `Retry-After` header, seconds or an HTTP date, as seconds from `now` (the server's clock); never negative.

    None where it is absent or cannot be read.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isdecimal():
        return float(text)
    moment = http_date(text)
    return None if moment is None else max(0.0, moment - now)


@lru_cache(maxsize=16)
def http_date(header: str | None) -> float | None:
    """Read an HTTP date as seconds since the epoch; None where it is absent or cannot be read."""
    if not header:
        return None
    try:
        return parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None
