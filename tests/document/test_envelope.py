"""envelope.py: status, headers and bytes in, data or the right error out."""

import pytest

from tests.support.rows import each
from workorder_async.document.envelope import Answer, open_envelope, parse_json
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    DecodeError,
    RateLimitedError,
    ResponseError,
    TicketStateError,
    WorkorderError,
)


def test_success() -> None:
    """The document's successes, with and without data, give their data."""
    body = b'{"errmsg":"OK","errno":10000,"request_id":"f1fab7321a7548c389131e22bb72eb35"}'
    assert open_envelope(200, body, {}) == Answer(None, "f1fab7321a7548c389131e22bb72eb35")
    assert open_envelope(200, b'{"data":{},"errmsg":"","errno":10000,"request_id":""}', {}) == Answer({}, "")


@each("status", [300, 304, 399, 400, 401, 403, 404, 409, 429, 500, 502, 503, 504, 599])
def test_success_with_a_status_of_failure(status: int) -> None:
    """The status is judged before the errno: a success that comes with a failure's status is none, nor a refusal."""
    with pytest.raises(ResponseError, match=f"HTTP {status} with errno 10000") as caught:
        open_envelope(status, b'{"errno":10000,"data":1}', {})
    assert type(caught.value) is ResponseError


@each("status", [200, 201, 202, 299])
def test_success_with_a_status_of_success(status: int) -> None:
    """Control: whatever success the status says."""
    assert open_envelope(status, b'{"errno":10000,"data":1}', {}).data == 1


def test_zero_is_a_failure() -> None:
    """Errno 0, the placeholder of the examples, is not 10000 and so a failure."""
    with pytest.raises(ApiError, match="errno 0"):
        open_envelope(200, b'{"errno":0,"errmsg":"","request_id":""}', {})


class OwnError(ApiError):
    """A user's class for an errno, which needs all that is known when it is made."""

    def __init__(self, message: str, *, errno: int, errmsg: str, status: int, request_id: str) -> None:
        super().__init__(message, errno=errno, errmsg=errmsg, status=status, request_id=request_id)
        self.told = f"{errmsg} {request_id}"


@each("errno", [0, 77])
def test_an_errno_with_a_class_of_the_users(errno: int) -> None:
    """The class is made with all facts at once; an errno with a meaning says that nothing happened, 0 too."""
    body = f'{{"errno":{errno},"errmsg":"no","request_id":"r1"}}'.encode()
    with pytest.raises(OwnError) as caught:
        open_envelope(200, body, {errno: OwnError})
    assert caught.value.told == "no r1"
    assert caught.value.says_no
    with pytest.raises(ApiError) as plain:
        open_envelope(200, body, {})
    assert plain.value.says_no == (errno != 0)


def test_failure() -> None:
    """The document's failure is raised as the table says, with its words."""
    body = '{"errno":23000,"errmsg":"工单状态不允许关闭","request_id":"r"}'.encode()
    with pytest.raises(TicketStateError, match="工单状态不允许关闭") as caught:
        open_envelope(200, body, {23000: TicketStateError})
    assert (caught.value.errno, caught.value.request_id, caught.value.status) == (23000, "r", 200)


@each(
    ("status", "body", "words"),
    [
        (200, b"", "HTTP 200 with an empty body"),
        (502, b" <html>", "HTTP 502 with an HTML page, as a proxy or gateway sends"),
        (200, b'{"errno":', "broken JSON"),
        (200, b"oops", "with text instead"),
        (200, b"[]", "JSON, but without an errno"),
        (200, b"null", "JSON, but without an errno"),
        (200, b'{"code":0}', "JSON, but without an errno"),
        (200, b"\xff", "with text instead"),
        (200, b'"\xff"', "JSON, but without an errno"),
        (200, b"[" * 200_000, "broken JSON"),
        (301, b"", "a redirect to nowhere"),
        (304, b"", "HTTP 304 with an empty body"),  # of a cache; it leads nowhere else
    ],
)
def test_not_the_platforms(status: int, body: bytes, words: str) -> None:
    """An answer that is not the envelope is described, with its status and first bytes."""
    with pytest.raises(ResponseError, match=words) as caught:
        open_envelope(status, body, {})
    assert type(caught.value) is ResponseError
    assert (caught.value.status, caught.value.body_start) == (status, body[:200])


def test_first_bytes_only() -> None:
    """No more than 200 bytes of a foreign answer are kept."""
    with pytest.raises(ResponseError) as caught:
        open_envelope(502, b"<" * 5000, {})
    assert caught.value.body_start == b"<" * 200


@each("status", [500, 502, 503, 504, 599])
def test_an_envelope_in_a_5xx_is_no_answer(status: int) -> None:
    """A failure that comes with a 5xx does not say what was done, whatever its errno means elsewhere."""
    body = b'{"errno":50000,"errmsg":"gateway","request_id":"r"}'
    with pytest.raises(ResponseError, match=rf"HTTP {status} with errno 50000 gateway.*does not say") as caught:
        open_envelope(status, body, {23000: TicketStateError})
    assert type(caught.value) is ResponseError
    assert (caught.value.status, caught.value.request_id) == (status, "r")
    with pytest.raises(ResponseError):
        open_envelope(status, b'{"errno":23000}', {23000: TicketStateError})
    with pytest.raises(TicketStateError):
        open_envelope(499, b'{"errno":23000}', {23000: TicketStateError})


@each("status", [200, 400, 401, 404, 500])
def test_an_errno_that_does_not_say_what_was_done(status: int) -> None:
    """An errno that is mapped to `ResponseError` is one, as of a status of 500; but a 429 was turned away."""
    body = '{"errno":-1,"errmsg":"系统异常","request_id":"r"}'.encode()
    with pytest.raises(ResponseError, match=rf"HTTP {status} with errno -1 系统异常: .*does not say") as caught:
        open_envelope(status, body, {-1: ResponseError})
    assert (caught.value.errno, caught.value.status, caught.value.request_id) == (-1, status, "r")
    with pytest.raises(RateLimitedError):
        open_envelope(429, body, {-1: ResponseError})


@each(("status", "kind"), [(401, AuthenticationError), (403, AuthenticationError), (429, RateLimitedError)])
@each("body", [b"<html>", b"", b"slow down", b"{}", b'{"errno":null}', b'{"errno":"SLOW_DOWN"}'])
def test_turned_away_by_a_page(status: int, kind: type[ApiError], body: bytes) -> None:
    """These statuses have their class on a page, too, with the errno 0: what that proves depends on the operation."""
    with pytest.raises(kind, match=f"HTTP {status} with .* instead of the platform's answer") as caught:
        open_envelope(status, body, {})
    assert (caught.value.errno, caught.value.status, caught.value.body_start) == (0, status, body)


@pytest.mark.parametrize(
    "value",
    [b"[]", b"1.5", b"true", b'"x"', b'""', b"null", b"NaN", b"1e999", b"9" * 5000, b"[" * 999 + b"]" * 999],
    ids=lambda value: value[:9],
)
def test_an_errno_of_the_wrong_kind(value: bytes) -> None:
    """An errno that is no number is named."""
    with pytest.raises(DecodeError, match="the envelope's errno is not a whole number") as caught:
        open_envelope(200, b'{"errno":%b}' % value, {})
    assert caught.value.path == "$.errno"


@each("status", [404, 500, 503])
def test_a_failure_with_an_errno_of_the_wrong_kind(status: int) -> None:
    """Where the status says that it failed, an errno that is no number makes it a page, whose read is asked again."""
    with pytest.raises(ResponseError, match=f"HTTP {status} with an errno that is no whole number") as caught:
        open_envelope(status, b'{"errno":"FAILED"}', {})
    assert type(caught.value) is ResponseError


@each("value", [b'"10000"', b"10000.0", b'" 10000 "'])
def test_an_errno_as_java_writes_it(value: bytes) -> None:
    """A number that is written as text, or with a fraction of nothing, is that number."""
    assert open_envelope(200, b'{"errno":%b,"data":5}' % value, {}).data == 5


@each(("value", "text"), [(b"7", "7"), (b'["a"]', '["a"]'), (b"null", ""), (b"1.5", "1.5")])
def test_texts_of_any_kind(value: bytes, text: str) -> None:
    """What only people read is read whatever it is: it must not hide what the answer says."""
    assert open_envelope(200, b'{"errno":10000,"request_id":%b,"errmsg":%b}' % (value, value), {}).request_id == text
    with pytest.raises(ApiError) as caught:
        open_envelope(200, b'{"errno":5,"request_id":%b,"errmsg":%b}' % (value, value), {})
    assert (caught.value.errmsg, caught.value.request_id) == (text, text)


@each("levels", [65, 1000, 1020])
def test_texts_that_are_deep(levels: int) -> None:
    """So it is with lists inside each other: they hide neither a success nor a refusal."""
    deep = b"[" * levels + b"]" * levels
    answer = open_envelope(200, b'{"errno":10000,"request_id":%b,"data":5}' % deep, {})
    assert answer.data == 5
    with pytest.raises(ApiError, match="errno 5") as caught:
        open_envelope(200, b'{"errno":5,"request_id":%b,"errmsg":%b}' % (deep, deep), {})
    for text in (answer.request_id, caught.value.request_id, caught.value.errmsg):
        assert type(text) is str
        assert len(text) < 200


def test_texts_with_broken_bytes() -> None:
    """Broken bytes in a text for people are shown as such, in a plain text."""
    with pytest.raises(ApiError, match="errno 5 ") as caught:
        open_envelope(200, b'{"errno":5,"request_id":"r\x01","errmsg":"\xe5\xb7"}', {})
    assert (caught.value.request_id, caught.value.errmsg) == ("r\x01", "\ufffd\ufffd")
    assert {type(caught.value.request_id), type(caught.value.errmsg)} == {str}


@each("status", [200, 401, 502])
@each("errmsg", [rb'"\ud800"', b'["\\ud800"]', "工单".encode("gbk").join([b'"', b'"'])])
def test_an_error_can_be_printed(status: int, errmsg: bytes) -> None:
    """What the platform says in another code, or in half a pair, has UTF-8 bytes in the error."""
    with pytest.raises(WorkorderError) as caught:
        open_envelope(status, b'{"errno":5,"request_id":"r\\udfff","errmsg":%b}' % errmsg, {})
    assert "\ufffd" in str(caught.value).encode().decode()
    assert caught.value.request_id == "r\ufffd"


def test_half_a_pair_in_a_success() -> None:
    """Its request_id goes into the errors of what cannot be decoded, and to the caller."""
    assert open_envelope(200, rb'{"errno":10000,"request_id":"\ud800r"}', {}).request_id == "\ufffdr"
    assert open_envelope(200, '{"errno":10000,"request_id":"请求"}'.encode(), {}).request_id == "请求"


def test_a_redirect_in_another_code() -> None:
    """Where a gateway redirects to in bytes that are no UTF-8 has UTF-8 bytes in the error."""
    location = "http://login/登录".encode("gbk").decode(errors="surrogateescape")
    with pytest.raises(ResponseError, match="a redirect to http://login/\ufffd") as caught:
        open_envelope(302, b"", {}, location=location)
    assert str(caught.value).encode()


def test_a_redirect_hides_credentials() -> None:
    """Where a redirect leads is said without user and password."""
    with pytest.raises(ResponseError, match=r"a redirect to http://elsewhere/x, which"):
        open_envelope(302, b"", {}, location="http://user:pass@elsewhere/x")


def test_lone_surrogate() -> None:
    """What orjson refuses and JSON allows is read all the same."""
    assert parse_json(200, rb'["\ud800", "\ud83d\ude00"]') == ["\ud800", "\U0001f600"]
