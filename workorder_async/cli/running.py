"""How a command's coroutine runs: until it ends, Ctrl-C or SIGTERM."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Final, TypeVar

_T = TypeVar("_T")

PATIENCE: Final = 10.0
"""Seconds to wait for an answer after an interruption, and as many to look where none came."""


def run(main: Coroutine[object, object, _T]) -> _T:
    """Run a command's coroutine in an event loop of its own.

    Ctrl-C ends it with `KeyboardInterrupt`, SIGTERM with `CancelledError`; both wait until it has cleaned up. A second
    one cancels the cleaning up too.
    """
    interrupted = False

    async def until_ended() -> _T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checkers: this runs as one

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            task.cancel()

        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
            # Without a handler of the loop's own, a second Ctrl-C raises wherever the loop is. That can lose a step of
            # some task, and the command then waits for it for ever. A job in the background ignores Ctrl-C.
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                loop.add_signal_handler(signal.SIGINT, interrupt)
        try:
            return await main
        finally:
            # A signal from here on changes nothing, and asyncio closes what wakes it before it lets go of signals.
            signal.set_wakeup_fd(-1)

    ending = until_ended()
    try:
        return asyncio.run(ending)
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        # Where Ctrl-C came before the loop ran, Python would complain of both.
        ending.close()
        main.close()
