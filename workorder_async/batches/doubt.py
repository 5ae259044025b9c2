"""The doubt that a batch begins with: whether the platform accepts anything of it.

A platform may answer a wrong secret with an errno that nobody gave a meaning. So only a few mutations are under way
until one gets another answer. After the first refusal, one read tells whether reading is refused too. If it is, or if
the first sixteen mutations are all refused, the batch should stop.
"""

import asyncio
from collections.abc import Awaitable, Callable

from workorder_async.batches.outcomes import Outcome, State
from workorder_async.errors import ApiError, AuthenticationError, RateLimitedError, WorkorderError

_MOST = 16


class Doubt:
    """The doubt of one batch. `read` makes a cheap request. `reason` says why the batch should stop, or is empty."""

    def __init__(self, read: Callable[[], Awaitable[object]]) -> None:
        self._read = read
        self._turns = asyncio.Semaphore(_MOST)
        self._reading = asyncio.Lock()
        self._was_read = self._is_over = False
        self._errno: int | None = None
        self._refused = 0
        self.reason: str = ""

    async def enter(self) -> None:
        """Wait until one more mutation may be sent."""
        await self._turns.acquire()
        if self._is_over:
            self._turns.release()

    def leave(self, outcome: Outcome) -> None:
        """Learn from the outcome of a mutation that has entered."""
        if self._is_over:
            return
        error = outcome.error
        if outcome.state in (State.DONE, State.ALREADY) or self._is_meaningful(error):
            self.end()
        elif isinstance(error, ApiError) and type(error) is ApiError:
            # Its turn is not given back: after so many refusals none may enter.
            self._refused += 1
            if self._refused == _MOST and not self.reason:
                self.reason = (
                    f"the first {_MOST} mutations were all refused with {_named(error)}, which has no meaning: if it "
                    f"is about the signature or a permission, map it with WorkorderClient(errnos={{{error.errno}: "
                    "AuthenticationError}), else to a subclass of ApiError of your own, and the batch goes on"
                )
        else:
            self._turns.release()

    async def is_founded(self, error: WorkorderError) -> bool:
        """Tell whether reading is refused like this mutation was; then nothing can be settled."""
        if not isinstance(error, ApiError) or type(error) is not ApiError or self._is_meaningful(error):
            return False
        async with self._reading:
            if not self._was_read and not self._is_over:
                self._errno = error.errno
                try:
                    await self._read()
                except ApiError as refusal:
                    if refusal.errno == error.errno and not self._is_over:
                        self.reason = (
                            f"every request is refused with {_named(error)}, reading too: the AppId, the secret, the "
                            f"scheme or a permission is probably wrong; map it with WorkorderClient(errnos="
                            f"{{{error.errno}: AuthenticationError}}), and such a batch stops at once"
                        )
                except WorkorderError:
                    pass  # this tells nothing
                self._was_read = True
        return bool(self.reason) and error.errno == self._errno

    def end(self) -> None:
        """Let all enter: something was accepted, or the batch stops."""
        if not self._is_over:
            self._is_over = True
            self._turns.release()

    def _is_meaningful(self, error: WorkorderError | None) -> bool:
        """Tell whether a refusal shows that the signature was accepted: it has a meaning, or is unlike the others."""
        if type(error) is ApiError:
            return self._errno not in (None, error.errno)
        return isinstance(error, ApiError) and not isinstance(error, AuthenticationError | RateLimitedError)


def _named(error: ApiError) -> str:
    """Return the errno, and the platform's words for it."""
    words = " ".join(error.errmsg.split())[:100]
    return f"errno {error.errno}{f' ({words})' if words else ''}"
