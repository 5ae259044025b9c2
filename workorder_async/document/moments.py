"""Whole seconds of the wire, read as moments: aware datetimes in the platform's zone."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Self, overload

from workorder_async.errors import DecodeError

#: The zone of the platform's date-time strings (no summer time since 1991), and of every `_at` property.
CHINA_STANDARD_TIME = timezone(timedelta(hours=8), "CST")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).astimezone(CHINA_STANDARD_TIME)


class Moment:
    """A field of whole seconds, read as an aware datetime; None where it is 0 (has not happened)."""

    def __init__(self, name: str, what: str) -> None:
        self._name = name
        self.__doc__ = f"{what}, as an aware datetime; None if it has not happened."

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> datetime | None: ...
    def __get__(self, instance: object | None, owner: type) -> Self | datetime | None:
        """Read the field of this instance."""
        if instance is None:
            return self
        seconds: int = getattr(instance, self._name)
        try:
            return _EPOCH + timedelta(seconds=seconds) if seconds else None
        except OverflowError:
            raise DecodeError(
                f"{self._name} is {seconds}, which is no time in seconds", path=f"$.{self._name}", expected="seconds"
            ) from None
