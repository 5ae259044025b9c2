"""envelope.py: status, headers and bytes in, data or the right error out."""

from email.utils import formatdate

import pytest

from workorder_async.envelope import Answer, http_date, open_envelope, parse_json, retry_after
from workorder_async.errors import ApiError, DecodeError, ResponseError, TicketStateError


def test_success() -> None:
    """The document's successes, with and without data, give their data."""
    body = b'{"errmsg":"OK","errno":10000,"request_id":"f1fab7321a7548c389131e22bb72eb35"}'
    assert open_envelope(200, body, {}) == Answer(None, "f1fab7321a7548c389131e22bb72eb35")
    assert open_envelope(200, b'{"data":{},"errmsg":"","errno":10000,"request_id":""}', {}) == Answer({}, "")


def test_success_whatever_the_status() -> None:
    """Errno decides, as the document says: a success with an odd HTTP status is a success."""
    assert open_envelope(500, b'{"errno":10000,"data":1}', {}).data == 1


def test_zero_is_a_failure() -> None:
    """Errno 0, the placeholder of the examples, is not 10000 and so a failure."""
    with pytest.raises(ApiError, match="errno 0"):
        open_envelope(200, b'{"errno":0,"errmsg":"","request_id":""}', {})


def test_failure() -> None:
    """The document's failure is raised as the table says, with its words."""
    body = '{"errno":23000,"errmsg":"工单状态不允许关闭","request_id":"r"}'.encode()
    with pytest.raises(TicketStateError, match="工单状态不允许关闭") as caught:
        open_envelope(200, body, {23000: TicketStateError})
    assert (caught.value.errno, caught.value.request_id, caught.value.status) == (23000, "r", 200)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"", "HTTP 200 with an empty body"),
        (502, b" <html>", "HTTP 502 with an HTML page, as a proxy or gateway sends"),
        (200, b'{"errno":', "broken JSON"),
        (200, b"oops", "with text instead"),
        (200, b"[]", "JSON, but without an errno"),
        (200, b"null", "JSON, but without an errno"),
        (200, b'{"code":0}', "JSON, but without an errno"),
        (200, b'"\xff"', "with text instead"),
        (301, b"", "a redirect to nowhere"),
    ],
)
def test_not_the_platforms(status: int, body: bytes, words: str) -> None:
    """An answer that is not the envelope is described, with its status and first bytes."""
    with pytest.raises(ResponseError, match=words) as caught:
        open_envelope(status, body, {})
    assert type(caught.value) is ResponseError
    assert (caught.value.status, caught.value.body_start) == (status, body)


def test_first_bytes_only() -> None:
    """No more than 200 bytes of a foreign answer are kept."""
    with pytest.raises(ResponseError) as caught:
        open_envelope(502, b"<" * 5000, {})
    assert caught.value.body_start == b"<" * 200


@pytest.mark.parametrize("name", ["errno", "errmsg", "request_id"])
@pytest.mark.parametrize("value", [b"[]", b"1.5", b"true"])
def test_envelope_fields_of_the_wrong_kind(name: str, value: bytes) -> None:
    """A field of the envelope that is of the wrong kind is named."""
    body = b'{"errno":10000,"%b":%b}' % (name.encode(), value)
    with pytest.raises(DecodeError, match=f"the envelope's {name} is not") as caught:
        open_envelope(200, body, {})
    assert caught.value.path == f"$.{name}"


def test_lone_surrogate() -> None:
    """What orjson refuses and JSON allows is read all the same."""
    assert parse_json(200, rb'["\ud800", "\ud83d\ude00"]') == ["\ud800", "\U0001f600"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        (formatdate(1030, usegmt=True), 30.0),
        (formatdate(900, usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """Retry-After is read as seconds or an HTTP date, never negative, and nonsense is as if absent."""
    assert retry_after(header, 1000.0) == seconds


@pytest.mark.parametrize("header", [None, "", "yesterday", "Thu, 99 Jan 1970 00:00:00 GMT"])
def test_http_date_that_cannot_be_read(header: str | None) -> None:
    """A Date that cannot be read tells nothing."""
    assert http_date(header) is None
