"""Troubles that all mutations of a batch share: a pause, a platform that is away, or that refuses this client."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
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

# Seconds between two reads that ask whether the platform is back: `_FIRST`, twice as long each time, up to `_LONGEST`.
_FIRST, _LONGEST = 0.5, 30.0
# Seconds between two updates of the report.
_TOLD_EVERY = 1.0
_ANSWERED = frozenset({State.DONE, State.ALREADY, State.REJECTED})
# A mutation whose deadline has fewer seconds may never get its turn in time, however often it is tried.
_NO_TURN = 0.5
# After a success, a read is due only after so many refusals in a row: the secret may have been replaced. Fewer refusals
# have their reasons in their mutations. The next read is due after twice as many, since reading may tell nothing.
_IN_A_ROW = 20


class Hold:
    """Holds a batch back while nothing gets through. All times are of the event loop's clock.

    Trouble is a mutation that was not sent, was turned away, or lost its answer; also a refused signature, and an errno
    without a known meaning as long as no mutation was accepted, or many times in a row: a platform may answer a wrong
    secret with it. Then the platform is read, again and again. If that fails too, the trouble holds for all mutations.
    Until the platform answers a request that began after the trouble, no mutation is pulled or sent.

    `reads` yields the reads for a mutation of this ticket, 0 for a creation. The second one is made if the first one is
    refused as this client, since rights are given endpoint by endpoint.
    `reason` says why the batch should stop: all reads were refused for their signatures or with the errno of the
    mutation, or a read can never be sent, as when a proxy refuses its login; or nothing got through for `most` seconds,
    without the pauses that the server asked for.
    `paused` returns how many seconds of such a pause are left.
    """

    def __init__(
        self, reads: Callable[[int], Iterable[Awaitable[object]]], paused: Callable[[], float], most: float
    ) -> None:
        self.reason: str = ""
        self._reads, self._paused, self._most = reads, paused, most
        self._random = Random()  # noqa: S311 - jitter, no secret
        self._asking = asyncio.Lock()
        self._waiting: asyncio.Timeout | None = None
        self._is_over = False
        self._refusal: ApiError | None = None  # the last that may mean this client, not its mutation
        self._meant: set[int] = set()  # unknown errnos that do not mean this client: a read was answered
        self._is_accepted = False  # whether a mutation was done, or refused for a reason that is its own
        self._in_a_row, self._doubted_at = 0, _IN_A_ROW  # refusals since then; a read is due after so many
        self._trouble = -inf  # when the latest trouble came
        self._ticket_id = 0  # the ticket of its mutation
        self._why: WorkorderError | None = None  # its error, or that of the latest read after it
        self._held_for_all = -inf  # when the latest read that failed, or wait for a pause, began: trouble of all
        self._answered = -inf  # when the latest request that the platform answered began
        self._changed = -inf  # when the platform last answered a mutation
        self._lasted, self._counted = 0.0, -inf  # seconds in a row without an answer, and until when they are counted

    def note(self, outcome: Outcome, began: float) -> bool:
        """Learn from the outcome of a try that began at `began`; return whether the batch may try the mutation again.

        It may if the mutation was not sent or was turned away, unless the batch stops or `reason` says that it should.
        """
        now, error = asyncio.get_running_loop().time(), outcome.error
        held = outcome.state is State.NOT_SENT and isinstance(error, NotSentError | RateLimitedError | ConfigError)
        if held or (outcome.state is State.UNKNOWN and outcome.attempts):
            self._trouble = now
        elif outcome.state in _ANSWERED:
            self._answered, self._changed, self._lasted = max(self._answered, began), now, 0.0
            self._consider(error, now)
        if self._trouble == now:
            self._why, self._ticket_id = error, outcome.ticket_id
        if held and self._changed < began:  # no mutation was answered since the try began
            self._count(began, error)
        return held and not self._is_over and not self.reason

    def _consider(self, error: WorkorderError | None, now: float) -> None:
        """Note a refusal that may mean this client, as one for a wrong secret does, and not the mutation."""
        if isinstance(error, AuthenticationError):
            self._refusal, self._trouble = error, now
        elif type(error) is not ApiError:
            self._is_accepted, self._refusal = True, None
            self._in_a_row, self._doubted_at = 0, _IN_A_ROW
        elif error.errno not in self._meant:
            self._in_a_row += 1
            if not self._is_accepted or self._in_a_row >= self._doubted_at:
                self._refusal, self._trouble, self._doubted_at = error, now, 2 * self._doubted_at

    def own_fault(self, outcome: Outcome, began: float, took: float) -> float:
        """Return, from 0 to 1, how far a failed try counts against its mutation; the batch adds up those of its tries.

        `began` is when the try began, `took` how many seconds it took.
        * Its deadline ended before it was sent: 0, it only waited. But 1 if the deadline was so short that no try may
          ever get a turn, and no mutation was answered since the try began.
        * It was turned away: 0.3 if a mutation was answered since the try began, else 0. Once may be bad luck.
        * It was not sent for another reason: 1. But 0 if a read that failed, or the wait for a pause, has begun since
          the try began: then the trouble holds for all.
        """
        error = outcome.error
        if error is None or isinstance(error.__cause__, DeadlineExceededError):
            return float(error is not None and took < _NO_TURN and self._changed < began)
        if isinstance(error, RateLimitedError):
            return 0.3 if self._changed >= began else 0.0
        return float(self._held_for_all < began)

    async def over(self) -> None:
        """Wait until requests get through again, the batch stops, or `reason` says that it should."""
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
        """End the wait of `over`, and let it wait no more: the batch stops."""
        waiting, self._waiting, self._is_over = self._waiting, None, True
        if waiting is not None:
            waiting.reschedule(0)  # only once: a timeout that has begun to end refuses it

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
                self._answered = began  # the platform is back: a mutation that it answers shows that too
            else:
                self._held_for_all, self._why = began, error
                await asyncio.sleep(pause * self._random.uniform(0.5, 1))
                self._count(began, error)
                pause = min(2 * pause, _LONGEST)

    async def _ask(self) -> WorkorderError | None:
        """Read, and return the error if the platform does not answer, or turns the read away.

        None if it answers, even with a refusal; `reason` is set if all refusals mean this client. So it is, with None,
        if a read can never be sent, or a proxy refuses its login.
        """
        why = ""
        for read in self._reads(self._ticket_id):
            try:
                await read
                why = ""
            except RateLimitedError as error:
                return error
            except (ApiError, DecodeError) as error:
                why = self._why_client(error)
            except WorkorderError as error:
                is_lasting = isinstance(error, ConfigError) or (isinstance(error, NotSentError) and error.lasting)
                status = error.status if isinstance(error, ResponseError) else 0
                # Not asked again: some proxies lock an account after a few wrong logins.
                if not (is_lasting or status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED):
                    return error
                self.reason = str(error)
                break
            if not why:
                break
        self.reason = self.reason or why
        if self._refusal is not None:
            self._meant.add(self._refusal.errno)
        return None

    def _why_client(self, error: WorkorderError) -> str:
        """Return why a refused read means this client; "" if it does not."""
        if isinstance(error, AuthenticationError):
            return f"authentication failed: {error}"
        if not (isinstance(error, ApiError) and self._refusal is not None and self._refusal.errno == error.errno):
            return ""
        words = " ".join(error.errmsg.split())[:100]
        return (
            f"every request is refused with errno {error.errno}{f' ({words})' if words else ''}, reading too: "
            "the AppId, the secret, the scheme or a permission is probably wrong; if it means that, say so by "
            f"errnos={{{error.errno}: AuthenticationError}} or WORKORDER_ERRNOS={error.errno}="
            "AuthenticationError; if it means that requests come too fast, say RateLimitedError"
        )

    def _count(self, began: float, error: WorkorderError | None) -> None:
        """Add the time since `began` to the time in which nothing got through, and set `reason` if that is too long."""
        now = asyncio.get_running_loop().time()
        self._lasted += now - max(began, self._counted)
        self._counted = now
        if self._lasted >= self._most:
            self.reason = f"nothing got through for {self._lasted:,.0f} s: {error}"
