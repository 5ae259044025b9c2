"""attempt.py and clock.py: the times that headers tell."""

import time
from email.utils import formatdate

import pytest

from tests.support.rows import each
from workorder_async.signing.clock import http_date
from workorder_async.wire.attempt import retry_after


@each(
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
    assert retry_after(header, None, 1000.0) == seconds


@each("header", [None, "", "yesterday", "Thu, 99 Jan 1970 00:00:00 GMT"])
def test_http_date_that_cannot_be_read(header: str | None) -> None:
    """A Date that cannot be read tells nothing."""
    assert http_date(header) is None


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="Windows cannot change the zone of a process")
@pytest.mark.parametrize(
    "header", ["Thu, 15 Jan 1970 06:56:07 GMT", "Thu Jan 15 06:56:07 1970", "Thu, 15 Jan 1970 06:56:07 -0000"]
)
def test_http_date_without_a_zone(monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    """It is UTC, also where local time is another."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        http_date.cache_clear()
        found = http_date(header)
    time.tzset()
    assert found == 1234567


def test_retry_after_by_the_servers_own_date() -> None:
    """A date is compared with the Date of the same answer, so that a clock that is hours off does not matter."""
    date, header = (formatdate(at, usegmt=True) for at in (5000, 5030))
    assert retry_after(header, date, 1000.0) == 30.0
