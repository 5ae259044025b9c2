"""cli/values.py: times that are meant otherwise than they would be read, and customers' accounts."""

import pytest

from tests.support.cli_runs import runner
from workorder_async.cli.values import customer_account, point_in_time
from workorder_async.errors import ConfigError
from workorder_async.models import CustomerInfo

_ELSEWHERE = {
    "WORKORDER_BASE_URL": "http://127.0.0.1:1",
    "WORKORDER_APP_ID": "a",
    "WORKORDER_APP_SECRET": "s",
    "WORKORDER_SIGN_SCHEME": "md5:{secret}",
}
_CREATE = [
    *("create", "--title", "x", "--detail", "x", "--type", "1", "--priority", "1", "--customer-organization-id", "1"),
    *("--customer-organization-name", "x", "--repository-product-id", "1", "--creator-id", "1", "--creator-name", "x"),
]
_CLOSE = ["close", "--closer-id", "1", "--closer-name", "x"]


@pytest.mark.parametrize(
    ("digits", "mend"),
    [
        ("2025", "write 2025-01-01"),
        (" 2025 ", "write 2025-01-01"),
        ("202501", "write 2025-01-01"),
        ("202513", "write a date, such as 2025-01-01"),
        ("0", "write a date, such as 2025-01-01"),
        ("25", "write a date"),
        ("0000002025", "write a date"),
        ("946684799", "write a date"),
        ("2025010112", "write 2025-01-01T12:00"),
        ("202501011230", "write 2025-01-01T12:30"),
        ("20250101123045", "write 2025-01-01T12:30:45"),
        ("1735660800000", "looks like milliseconds; it must be in seconds: write 1735660800"),
        ("999999999999", "write 999999999"),
        ("1735660800000000", "looks like microseconds; it must be in seconds: write 1735660800"),
        ("1735660800000000000", "looks like nanoseconds; it must be in seconds: write 1735660800"),
        ("20251301", "is no time; write 2024-01-31"),
        ("2" * 20, "is no time"),
        ("2" * 5000, "is no time"),
        ("２０２５", "is no time"),
        ("+2025", "is no time"),
        ("-1", "is no time"),
        ("2025.0", "is no time"),
        ("2025-01", "is no time"),
        ("2_025", "is no time"),
    ],
)
def test_digits_that_mean_something_else_are_refused(digits: str, mend: str) -> None:
    """A bare year, a number before the year 2000, a date without hyphens, a smaller unit: refused with the mend."""
    with pytest.raises(ConfigError, match=f"^--created-start .*{mend}"):
        point_in_time(digits, "--created-start")


@pytest.mark.parametrize("digits", ["946684800", "1735660800", "1999999999"])
def test_seconds_are_seconds(digits: str) -> None:
    """A number of seconds from the year 2000 on is taken as it is."""
    assert point_in_time(digits, "--created-start") == int(digits)


@pytest.mark.parametrize("value", ["2025", "1735660800000"])
@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["list"], "--created-start"),
        (["list"], "--created-end"),
        (["export", "--output", "-"], "--created-start"),
        ([*_CLOSE, "--yes"], "--created-start"),
        ([*_CLOSE, "--yes"], "--created-end"),
        (["comment", "--detail", "x", "--yes"], "--created-end"),
        (["reject", "--yes"], "--created-start"),
        ([*_CLOSE, "7"], "--solved-time"),
        (_CREATE, "--reported-time"),
    ],
)
def test_every_option_that_takes_a_time_refuses_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], option: str, value: str
) -> None:
    """Wherever a time is asked for, a bare year and milliseconds exit with 2 and the option's name; nothing is sent."""
    ran = runner(_ELSEWHERE, monkeypatch, capsys)(*words, option, value)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"workorder: {option} ")
    assert "; write 2025-01-01" in ran.err or "write 1735660800\n" in ran.err


@pytest.mark.parametrize("text", ["7", '{"user_id": 7}', '{"user_id": "7"}', "[7]", "x", "null"])
def test_a_customer_is_a_number_or_an_object(text: str) -> None:
    """An account is its user_id or a JSON object, and anything else is refused with an example."""
    if "7" in text and text != "[7]":
        assert customer_account(text) == CustomerInfo(user_id=7)
    else:
        with pytest.raises(ConfigError, match="level"):
            customer_account(text)
