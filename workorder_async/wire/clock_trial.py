"""Which clock signs the attempts of one call: the client's, and after a refused signature another one, on trial.

A clock is the seconds that are added to our own clock to sign; a client begins with 0. If a signature is refused and
the answer's `Date` shows another time, the next attempt tries the clock of that `Date`. If its signature is accepted,
the client keeps that clock. If a clock that was kept is refused, our own is tried before that of `Date`. The page of a
gateway counts as a refused signature for reads only: whether a mutation happened it does not say.

A mutation is signed again only after an errno that is known to mean a refused signature. Of an unknown errno not even a
read can tell the meaning: where an outage comes and goes, one clock seems refused and the next accepted. So an unknown
errno ends the call of a mutation, and a read finds out which clock is accepted, for the calls that follow.
"""

from collections.abc import Mapping

from attrs import define, field

from workorder_async.errors import ApiError, AuthenticationError, Meaning, WorkorderError
from workorder_async.signing.clock import ServerClock

# A clock that is off by more seconds than these explains a refused signature. Servers allow fewer.
_TOLERANCE = 5.0


@define
class ClockTrial:
    """The clocks of one call."""

    _clock: ServerClock = field(alias="clock")
    _errnos: Mapping[int, Meaning] = field(alias="errnos")  # those with a known meaning
    _mutates: bool = field(alias="mutates")
    used: float = 0.0
    """The clock that signed the last attempt."""
    seen: float | None = None
    """The clock that the `Date` of the last answer shows; None where there is no `Date`."""
    _trial: float | None = None  # the clock that the attempt under way tries; None: the client's
    _refusal: ApiError | None = None  # the refusal for which other clocks are tried
    _left: tuple[float, ...] = ()  # further clocks to try

    def for_attempt(self) -> float:
        """Return the clock that signs the attempt that begins now."""
        self.used = self._clock.signing_offset if self._trial is None else self._trial
        return self.used

    def keep(self) -> None:
        """Let the client sign by the clock on trial, if there is one: the signature was accepted."""
        if self._trial is not None:
            self._clock.signing_offset, self._trial = self._trial, None

    def try_another(self, error: WorkorderError) -> WorkorderError | None:
        """Set the clock that the next attempt tries, and return None; if there is none, return the error that counts.

        After an attempt that has tried a clock, that error is
        * the first refusal, which says why, if the signature was refused again;
        * `error` if it has another known meaning. Then the signature was accepted, and the client keeps the clock;
        * `error` if the first refusal was known to be of the signature, and this errno is another, unknown one;
        * `error` if no answer of the platform came.
        """
        if self._trial is not None:
            if self._refusal is None or not isinstance(error, ApiError) or self._may_have_happened(error):
                return error
            if not isinstance(error, AuthenticationError):
                if not self._is_unknown(error):
                    self.keep()
                    return error
                if isinstance(self._refusal, AuthenticationError) and error.errno != self._refusal.errno:
                    return error  # nobody knows whether it means the clock, which is not kept
                if self._mutates:
                    self._left = ()
            if error.errno not in (0, self._refusal.errno):
                # Nobody knows which of the two errnos means the clock: show both.
                both = f"{self._refusal.message}; signed by another clock, it was refused with {error.message}"
                self._refusal.args = (both,)
            self._trial, error = None, self._refusal
        elif (
            self._refusal is None
            and isinstance(error, ApiError)
            and self._may_mean_clock(error)
            and not self.is_in_doubt(error)
        ):
            used, seen = self.used, self.seen or 0.0
            # Our own, unless it was used, or agrees with the server's; then the server's.
            self._left = (seen,) if used == 0 or abs(seen) <= _TOLERANCE else (0.0, seen)
            self._refusal = error
        if not self._left or error is not self._refusal:
            return error
        self._trial, *left = self._left
        self._left = tuple(left)
        return None

    def is_in_doubt(self, error: WorkorderError) -> bool:
        """Tell whether a mutation got an unknown errno, which may or may not mean the clock that signed it."""
        return self._mutates and self._is_unknown(error) and self._may_mean_clock(error)

    def _may_mean_clock(self, error: WorkorderError) -> bool:
        """Tell whether a refusal may be for the clock: the answer's `Date` is apart, and no other reason is known."""
        is_apart = self.seen is not None and abs(self.seen - self.used) > _TOLERANCE
        is_of_signature = self._is_unknown(error) or isinstance(error, AuthenticationError)
        return is_apart and is_of_signature and not self._may_have_happened(error)

    def _is_unknown(self, error: WorkorderError) -> bool:
        return type(error) is ApiError and error.errno not in self._errnos

    def _may_have_happened(self, error: WorkorderError) -> bool:
        return self._mutates and isinstance(error, ApiError) and not error.says_no
