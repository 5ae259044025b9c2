"""When one call must have ended, and how many seconds it was given, so that messages name the deadline of this call."""

import asyncio
from typing import Self

from attrs import frozen

from workorder_async.arguments import above_zero


@frozen
class Deadline:
    """The end of a call; the calls that are part of a larger one share that one's."""

    seconds: float
    """How long the call may take from its beginning."""
    until: float
    """When it must have ended, by the event loop's clock."""

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the deadline of a call that begins now. Raises `ConfigError` for what is no number above 0."""
        return cls(above_zero("deadline", seconds), asyncio.get_running_loop().time() + seconds)

    def left(self) -> float:
        """Return the seconds that are left; less than 0 once it is past."""
        return self.until - asyncio.get_running_loop().time()

    def begun_anew(self) -> Self:
        """Return the deadline of the same length that begins now."""
        return type(self).after(self.seconds)
