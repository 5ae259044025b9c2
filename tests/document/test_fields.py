"""fields.py: whole seconds, read as aware datetimes; test_tickets.py has them of each schema."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from workorder_async.document import (
    CHINA_STANDARD_TIME,
    Ticket,
)


@given(st.integers(-(2**31), 253402271999).filter(bool))
def test_moment_is_exact(seconds: int) -> None:
    """From 1901 to the last second of 9999 in China, `created_at` is exactly `created_time`."""
    at = Ticket(id=1, created_time=seconds).created_at
    assert at is not None
    assert at - datetime(1970, 1, 1, tzinfo=UTC) == timedelta(seconds=seconds)
    assert at.utcoffset() == timedelta(hours=8)
    assert at.tzinfo is CHINA_STANDARD_TIME


def test_moment_follows_its_field() -> None:
    """A time is kept in one place: it is changed through `_time`, and cannot be set through `_at`."""
    ticket: Any = Ticket(id=1)
    ticket.closed_time = 1632742075
    assert ticket.closed_at == datetime(2021, 9, 27, 11, 27, 55, tzinfo=UTC)
    with pytest.raises(AttributeError):
        ticket.closed_at = datetime.now(UTC)
    assert "关单时间" in str(Ticket.closed_at.__doc__)
