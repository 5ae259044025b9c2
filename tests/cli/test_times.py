"""cli/values.py: times as people write them, those that are meant otherwise than they would be read, and the future."""

import re
from datetime import UTC, date, datetime, timedelta
from time import time as now

import pytest

from tests.support.cli_runs import runner
from tests.support.rows import each
from tests.support.slow import slow_after
from workorder_async import CHINA_STANDARD_TIME
from workorder_async.cli.values import Age, Time
from workorder_async.errors import ConfigError

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


def _in_china(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=CHINA_STANDARD_TIME).timestamp())


@each(
    ("written", "first", "last"),
    [
        *((day, "2026-11-01", "2026-11-01T23:59:59") for day in ("2026-11-01", "2026/11/1", "20261101", "2026-11-1")),
        *((day, "2026-11-01", "2026-11-01T23:59:59") for day in ("2026年11月1日", "2026年11月01日", " 2026/11/01 ")),
        *((month, "2026-11-01", "2026-11-30T23:59:59") for month in ("2026-11", "2026/11", "2026年11月")),
        ("2024-02", "2024-02-01", "2024-02-29T23:59:59"),
        ("2025-12", "2025-12-01", "2025-12-31T23:59:59"),
        ("2024-W05-3", "2024-01-31", "2024-01-31T23:59:59"),
        ("2024-01-31T09:30", "2024-01-31T09:30", "2024-01-31T09:30"),
        ("2024/1/31 9:30", "2024-01-31T09:30", "2024-01-31T09:30"),
        ("2024年1月31日 9:30:05", "2024-01-31T09:30:05", "2024-01-31T09:30:05"),
        ("2024-01-31T09:30:05.9", "2024-01-31T09:30:05", "2024-01-31T09:30:05"),
        ("20240131T0930", "2024-01-31T09:30", "2024-01-31T09:30"),
        ("2024-01-31 01:30:00Z", "2024-01-31T09:30", "2024-01-31T09:30"),
        ("2024-01-31 10:30 +09:00", "2024-01-31T09:30", "2024-01-31T09:30"),
        ("1706664600", "2024-01-31T09:30", "2024-01-31T09:30"),
        ("1970-01-01T08:00", "1970-01-01T08:00", "1970-01-01T08:00"),
    ],
)
def test_a_time_is_all_that_was_written(written: str, first: str, last: str) -> None:
    """A day and a month are meant as a whole, a date-time is a second; without a zone it is the time of China."""
    time = Time(written, "--since")
    assert (time.first(), time.last()) == (_in_china(first), _in_china(last))


@each(
    ("written", "days"),
    [
        *((word, 0) for word in ("today", "今天", "Today", "0d")),
        *((word, 1) for word in ("yesterday", "昨天", "1d", "1 day ago", "1天前")),
        *(
            (word, 7)
            for word in ("7d", "7 d", "7 days", "7 days ago", "7天前", "7 天以前", "1w", "1 week ago", "1周前")
        ),
        *((word, 3) for word in ("3 days ago", "3DAYS AGO")),
        ("前天", 2),
        ("365d", 365),
    ],
)
def test_days_are_counted_from_today_in_china(written: str, days: int) -> None:
    """`7d` is all of the day seven days ago, by the calendar of China."""
    before = datetime.now(CHINA_STANDARD_TIME).date()
    time = Time(written, "--until")
    first, last = (datetime.fromtimestamp(at, CHINA_STANDARD_TIME) for at in (time.first(), time.last()))
    after = datetime.now(CHINA_STANDARD_TIME).date()
    assert first.date() in (before - timedelta(days), after - timedelta(days))
    assert (f"{first:%T}", f"{last:%T}", first.date()) == ("00:00:00", "23:59:59", last.date())


@each(
    "text",
    [
        *("", " ", "x", "tomorrow", "-1d", "d", "7x", "7dd", "ago", "12345d", "11/1/2026", "1/2", "2026-13", "2026-0"),
        *("2024-02-30", "2026-11-", "2026-11T09:30", "2026-11-01T", "2026-11-01T25:00", "2026-11-01 9:60", "今天 9:30"),
        *(
            "2026-11-01x",
            "2026年",
            "2026-11-01 09:30 CST",
            "2026-11-01 09:30 - 10:00",
            "1e9",
            "1700000000.0",
            "９d",
            "0001-01-01",
            "9999-12-31",
        ),
        *("9999w", "1969-12-31", "0000-01", "2026-W45", "2026W45", "2026-W45T09:30", "2026-11-01+08:00", "2026-11-01Z"),
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """Nonsense, and what no ticket's time can be, is refused with the option and a right spelling."""
    with pytest.raises(ConfigError, match=r"^--until .* is no time( of a ticket)?; write "):
        Time(text, "--until").last()


@pytest.mark.parametrize("text", ["1970-01-01", "5138-11-16", "1969-12-31", "9999-12-31T23:59"])
def test_the_bounds_that_are_named_hold(text: str) -> None:
    """What is out of the bounds of a ticket's time is told them, and they are times themselves."""
    with pytest.raises(ConfigError) as raised:
        Time(text, "--until").last()
    first, last = re.findall("[0-9]{4}-[0-9]{2}-[0-9]{2}", raised.value.mend)
    assert Time(first, "--until").first() < Time(last, "--until").last()


_NO_SECONDS = (
    *("2025", " 2025 ", "202501", "202513", "0", "25", "0000002025", "946684799"),
    *("2035010112", "202501011230", "20250101123045", "1735660800000", "999999999999"),
    *("1735660800000000", "1735660800000000000"),
)


@each(
    ("digits", "mend"),
    [
        *((digits, "is read as seconds since 1970, and is no time of a ticket; write ") for digits in _NO_SECONDS),
        ("20251301", "is no time; write 2024-01-31"),
        ("2" * 20, "is no time"),
        ("2" * 5000, "is no time"),
        ("２０２５", "is no time"),
        ("+2025", "is no time"),
        ("-1", "is no time"),
        ("2025.0", "is no time"),
        ("2_025", "is no time"),
    ],
)
def test_digits_that_mean_something_else_are_refused(digits: str, mend: str) -> None:
    """A bare year, a number before the year 2000, a date without hyphens, a smaller unit: refused with the mend."""
    with pytest.raises(ConfigError, match=f"^--created-start .*{mend}"):
        Time(digits, "--created-start").first()


def test_seconds_are_seconds() -> None:
    """A number of seconds from the year 2000 until a year from now is taken as it is."""
    for second in (946684800, 1735660800, int(now()) + 365 * 86400):
        time = Time(str(second), "--since")
        assert (time.first(), time.last()) == (second, second)


@pytest.mark.parametrize(("hours", "refused"), [(-24, False), (0, False), (1, True), (24 * 400, True)])
def test_what_has_happened_is_not_in_the_future(hours: int, refused: bool) -> None:
    """A moment that has not come is refused for what has happened; this clock and another may differ by seconds."""
    at = datetime.fromtimestamp(now() + 3600 * hours + 5, UTC)
    if refused:
        with pytest.raises(ConfigError, match=r"^--solved-time '20.* has not come yet; write a time until now, or now"):
            Time(at.isoformat(), "--solved-time").moment()
    else:
        assert Time(at.isoformat(), "--solved-time").moment() == int(at.timestamp())


def test_a_moment_is_the_beginning_of_a_day_and_never_a_month() -> None:
    """Where one moment is asked for, a day is its 00:00, today as well, and a month is refused."""
    assert Time("2024-01-31", "--solved-time").moment() == _in_china("2024-01-31")
    assert Time(f"{date.today() - timedelta(2)}", "--solved-time").moment() < now()
    with pytest.raises(ConfigError, match=r"^--solved-time '2024-01' is a month; write .*2024-01-01"):
        Time("2024-01", "--solved-time").moment()


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ([*_CLOSE, "7"], "--solved-time"),
        (_CREATE, "--reported-time"),
        (["list"], "--since"),
        ([*_CLOSE, "--yes"], "--created-start"),
    ],
)
def test_a_future_that_cannot_be_meant_is_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], option: str
) -> None:
    """Nobody has solved or reported anything tomorrow, and no ticket was created since."""
    tomorrow = date.today() + timedelta(2)
    ran = runner(_ELSEWHERE, monkeypatch, capsys)(*words, option, tomorrow)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"workorder: {option} '{tomorrow}' has not come yet; write a time until now, or now\n"


@pytest.mark.parametrize("value", slow_after(1, ["2025", "1735660800000"]))
@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["list"], "--created-start"),
        (["list"], "--created-end"),
        (["list"], "--since"),
        (["list"], "--until"),
        (["export", "-"], "--since"),
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
    assert "is no time of a ticket; write a date, such as 2025-01-01" in ran.err


def test_an_age_is_steady_as_a_time() -> None:
    """An age that is said tomorrow is another moment: the time that it came to stands for it."""
    age = Age("2w", "--older-than")
    option, text = age.steady().split()
    assert 0 <= int(now()) - 14 * 86400 - 1 - age.last() < 60
    assert (option, Time(text, option).last()) == ("--until", age.last())
