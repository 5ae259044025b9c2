"""Which clock signs the attempts of one call, and whether a refused signature is tried again with another clock.

Time stamps are of our own clock. Where a signature is refused and the answer's `Date` tells another time, the call is
signed once more by that time. If that is accepted, the client keeps that clock. Where a clock that was kept is refused,
our own is tried before another one.

A mutation is signed again only where the refusal is known to be of the signature. For an errno without a known meaning
a READ with the same clock tells: if it is refused in the same way, the refusal was of the signature; if it is served,
the errno is about the mutation, and says nothing of what happened.
"""

from collections.abc import Awaitable, Callable, Mapping

from attrs import define, field

from workorder_async.document.endpoints import Safety
from workorder_async.errors import ApiError, AuthenticationError, WorkorderError
from workorder_async.signing.clock import ServerClock

# An answer that shows our clock this wrong explains a refused signature; less is within what servers allow.
_TOLERANCE = 5.0


@define
class Trial:
    """The clocks of one call; each is a number of seconds that is added to our own clock."""

    clock: ServerClock
    errnos: Mapping[int, type[ApiError]]  # those with a known meaning
    safety: Safety
    tried: float | None = None  # the clock that the attempt under way tries, instead of the client's
    used: float = field(init=False, default=0.0)  # the clock that signed the last attempt
    seen: float | None = field(init=False, default=None)  # the clock that the last answer told
    _refusal: WorkorderError | None = field(init=False, default=None)  # what another clock is tried for
    _left: tuple[float, ...] = field(init=False, default=())  # further clocks to try for it

    def begin(self) -> float:
        """Return the clock that signs the next attempt."""
        self.used = self.clock.signing_offset if self.tried is None else self.tried
        return self.used

    def answered(self, date: str | None, sent: float, received: float) -> None:
        """Note the `Date` of an answer; `sent` and `received` are by our own clock."""
        self.seen = self.clock.observe(date, sent, received)

    def judge(self, error: WorkorderError | None) -> None:
        """Keep the clock that was tried where its signature was accepted; `error` is how the attempt failed."""
        if self.tried is None or self._refusal is None or isinstance(error, AuthenticationError):
            return
        if error is None or (isinstance(error, ApiError) and error.errno in self.errnos):
            self.clock.signing_offset, self.tried = self.tried, None

    def told(self, error: WorkorderError) -> WorkorderError:
        """Return the refusal that another clock was tried for, where that one is refused as well: it says why."""
        if self.tried is None or self._refusal is None or not isinstance(error, ApiError):
            return error
        known = isinstance(error, AuthenticationError)
        if not known and error.errno in self.errnos:
            return error
        self.tried = None
        if not known and self.safety is not Safety.READ:
            self._left = ()
        return self._refusal

    async def has_another(
        self, error: WorkorderError, reads_are_refused: Callable[[ApiError], Awaitable[bool]]
    ) -> bool:
        """Tell whether the signature was refused for our clock's sake, and set the clock to try next.

        `error` is what `told` returned. `reads_are_refused` asks, by the clock that was refused, for something that
        changes nothing, and tells whether that is refused in the same way.
        """
        if self._refusal is None and isinstance(error, ApiError):
            await self._consider(error, reads_are_refused)
        if not self._left or self.tried is not None or error is not self._refusal:
            return False
        self.tried, *left = self._left
        self._left = tuple(left)
        return True

    async def _consider(self, error: ApiError, reads_are_refused: Callable[[ApiError], Awaitable[bool]]) -> None:
        """Note a refusal that may be of the clock, and which to try: our own if it was set aside, the server's."""
        used, seen = self.used, self.seen
        if seen is None or abs(seen - used) <= _TOLERANCE:
            return
        blamed = isinstance(error, AuthenticationError)
        if not blamed and type(error) is ApiError and error.errno not in self.errnos:
            blamed = self.safety is Safety.READ or await reads_are_refused(error)
        if blamed:
            self._refusal = error
            self._left = (seen,) if used == 0 or abs(seen) <= _TOLERANCE else (0.0, seen)
