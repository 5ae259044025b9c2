"""Troubles that all mutations of a batch share: a pause, a platform that is away, or that refuses this client."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from math import inf
from random import Random

from workorder_async.batches.outcomes import BatchReport, Outcome, State
from workorder_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    DeadlineExceededError,
    DecodeError,
    NotSentError,
    RateLimitedError,
    ResponseError,
    WorkorderError,
)

# Seconds between two reads that ask whether the platform is there again: twice as long each time, up to the second.
_FIRST, _LONGEST = 0.5, 30.0
_TOLD_EVERY = 1.0
_ANSWERED = frozenset({State.DONE, State.ALREADY, State.REJECTED})
# A deadline of fewer seconds may end before its turn comes, however often it is tried.
_NO_TURN = 0.5


class Hold:
    """Holds a batch back while nothing gets through. All times are of the event loop's clock.

    A mutation that was not sent, was turned away or whose answer was lost means trouble. A READ tells whether it holds
    for all: until one is served that began after the trouble, nothing more is pulled or sent. If `read` is refused, as
    the mutation was or for its signature, the batch should stop. This is also asked after a refused signature, and
    after an errno without a meaning while nothing was accepted: a platform may answer a wrong secret with it.

    `paused` tells for how many seconds the server wants to be left alone. `reason` says why the batch should stop; also
    after `most` seconds in which nothing was sent, such pauses left out.
    """

    def __init__(self, read: Callable[[], Awaitable[object]], paused: Callable[[], float], most: float) -> None:
        self.reason: str = ""
        self._read, self._paused, self._most = read, paused, most
        self._random = Random()  # noqa: S311 - jitter, no secret
        self._asking = asyncio.Lock()
        self._waiting: asyncio.Timeout | None = None
        self._is_over = False
        self._refusal: ApiError | None = None  # the last one that may be of this client
        self._meant: set[int] = set()  # errnos without a meaning that are about mutations
        self._is_accepted = False  # whether a mutation was
        self._trouble = -inf  # when the last trouble came
        self._why: WorkorderError | None = None  # and its error
        self._held_for_all = -inf  # when it was last seen to hold for all
        self._answered = -inf  # when the latest request began that the platform answered
        self._changed = -inf  # when the platform last answered a mutation
        self._lasted, self._counted = 0.0, -inf  # seconds in a row, and until when they are counted

    def note(self, outcome: Outcome, began: float) -> bool:
        """Learn from the outcome of a try that began then; whether nothing was sent, and it may be tried again."""
        now, error = asyncio.get_running_loop().time(), outcome.error
        held = outcome.state is State.NOT_SENT and isinstance(error, NotSentError | RateLimitedError | ConfigError)
        if held or (outcome.state is State.UNKNOWN and outcome.attempts):
            self._trouble = now
        elif outcome.state in _ANSWERED:
            self._answered, self._changed, self._lasted = max(self._answered, began), now, 0.0
            self._consider(error, now)
        if self._trouble == now:
            self._why = error
        if held and self._changed < began:  # else others got through meanwhile
            self._count(began, error)
        return held and not self._is_over and not self.reason

    def _consider(self, error: WorkorderError | None, now: float) -> None:
        """Note whether a refusal may be of this client, not of the mutation."""
        if isinstance(error, AuthenticationError):
            self._refusal, self._trouble = error, now
        elif type(error) is not ApiError:
            self._is_accepted, self._refusal = True, None
        elif not self._is_accepted and error.errno not in self._meant:
            self._refusal, self._trouble = error, now

    def own_fault(self, outcome: Outcome, began: float, took: float) -> float:
        """Tell, from 0 to 1, how much a try that began then failed by itself, since others get through.

        Who had no turn is not at fault, unless its deadline leaves none. Who was turned away may have had bad luck, but
        not each time.
        """
        error = outcome.error
        if error is None or isinstance(error.__cause__, DeadlineExceededError):
            return float(error is not None and took < _NO_TURN and self._changed < began)
        if isinstance(error, RateLimitedError):
            return 0.3 if self._changed >= began else 0.0
        return float(self._held_for_all < began)

    async def over(self) -> None:
        """Return when requests get through again, the batch stops, or it should."""
        if self._is_over or not (self._paused() or self._trouble > self._answered):
            return
        async with self._asking:
            try:
                async with asyncio.timeout(0 if self._is_over else None) as self._waiting:
                    await self._wait()
            except TimeoutError:
                pass  # the batch stops
            finally:
                self._waiting = None

    async def tell(self, report: BatchReport) -> None:
        """Let the report say why the batch waits, second by second."""
        while True:
            paused, waits = self._paused(), self._waiting is not None and self._why is not None
            why = f"waiting for the platform: {self._why}" if waits else ""
            report.held = f"the server turned requests away: none may start for {paused:,.0f} s more" if paused else why
            await asyncio.sleep(_TOLD_EVERY)

    def end(self) -> None:
        """Wait no more: the batch stops."""
        waiting, self._waiting, self._is_over = self._waiting, None, True
        if waiting is not None:
            waiting.reschedule(0)  # once: it cannot be done to one that ends

    async def _wait(self) -> None:
        pause, time = _FIRST, asyncio.get_running_loop().time
        while not self.reason:
            began, asked_for = time(), self._paused()
            if asked_for:
                self._held_for_all = began
                await asyncio.sleep(asked_for)
                self._counted = time()
            elif self._trouble <= self._answered:
                return
            elif (error := await self._ask()) is None or self._changed >= self._trouble:
                self._answered = began  # a platform that has answered a mutation is there
            else:
                self._held_for_all, self._why = began, error
                await asyncio.sleep(pause * self._random.uniform(0.5, 1))
                self._count(began, error)
                pause = min(2 * pause, _LONGEST)

    async def _ask(self) -> WorkorderError | None:
        """Ask for something that changes nothing. Returns the error if that gets no answer; a refusal is one."""
        try:
            await self._read()
        except AuthenticationError as error:
            self.reason = f"authentication failed: {error}"
        except RateLimitedError as error:
            return error
        except (ApiError, DecodeError) as error:
            if isinstance(error, ApiError) and self._refusal is not None and self._refusal.errno == error.errno:
                words = " ".join(error.errmsg.split())[:100]
                self.reason = (
                    f"every request is refused with errno {error.errno}{f' ({words})' if words else ''}, reading too: "
                    "the AppId, the secret, the scheme or a permission is probably wrong; if it means that, say so by "
                    f"errnos={{{error.errno}: AuthenticationError}} or WORKORDER_ERRNOS={error.errno}="
                    "AuthenticationError"
                )
        except WorkorderError as error:
            is_lasting = isinstance(error, ConfigError) or (isinstance(error, NotSentError) and error.lasting)
            # A proxy may lock the account after a few more.
            wants_login = isinstance(error, ResponseError) and error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
            if not (is_lasting or wants_login):
                return error
            self.reason = str(error)
        if self._refusal is not None:
            self._meant.add(self._refusal.errno)
        return None

    def _count(self, began: float, error: WorkorderError | None) -> None:
        now = asyncio.get_running_loop().time()
        self._lasted += now - max(began, self._counted)
        self._counted = now
        if self._lasted >= self._most:
            self.reason = f"nothing got through for {self._lasted:,.0f} s: {error}"
