"""HTTP headers that tell a time: `Date` and `Retry-After`."""

from email.utils import parsedate_to_datetime
from functools import lru_cache


@lru_cache(maxsize=16)
def http_date(header: str | None) -> float | None:
    """Read an HTTP date as seconds since the epoch; None where it is absent or cannot be read."""
    if not header:
        return None
    try:
        return parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None


def retry_after(header: str | None, date: str | None, now: float) -> float | None:
    """Read a `Retry-After` header, seconds or an HTTP date, as seconds from now; never negative.

    A date is compared with the `Date` of the same answer, so that a wrong clock does not matter; without one, it is
    compared with `now`. None where the header is absent or cannot be read.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    moment, sent = http_date(text), http_date(date)
    return None if moment is None else max(0.0, moment - (now if sent is None else sent))
