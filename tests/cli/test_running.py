"""cli/connection.py: Ctrl-C, SIGTERM, and the end of a terminal."""

import asyncio
import signal
import sys
from contextlib import suppress

import pytest

from workorder_async.cli.connection import run


def test_ctrl_c_comes_as_a_cancellation_each_time() -> None:
    """However often Ctrl-C is pressed, it never raises in the middle of the event loop, where a step could be lost."""
    steps = []

    async def main() -> None:
        for number in range(3):
            signal.raise_signal(signal.SIGINT)
            steps.append(number)
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(main())
    finally:
        signal.signal(signal.SIGINT, before)
    assert steps == [0, 1, 2]


def test_ctrl_c_while_the_loop_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is done ends as it did, and Python complains of no closed socket."""
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)

    async def main() -> str:
        loop = asyncio.get_running_loop()
        let_go = loop.remove_signal_handler

        def late(number: int) -> bool:
            signal.raise_signal(signal.SIGINT)
            return let_go(number)

        monkeypatch.setattr(loop, "remove_signal_handler", late)
        return "done"

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert run(main()) == "done"
    finally:
        signal.signal(signal.SIGINT, before)
    assert complaints == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_is_ignored_stays_so(number: signal.Signals) -> None:
    """As a shell has Ctrl-C ignored for `workorder ... &`, and `nohup` the end of the terminal."""

    async def main() -> str:
        signal.raise_signal(number)
        await asyncio.sleep(0)
        return "went on"

    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert run(main()) == "went on"
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
