"""Progress of what takes longer than a second, on stderr: a bar on a terminal, elsewhere a line now and then."""

import asyncio
from time import monotonic
from types import TracebackType
from typing import Final, Self

from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from workorder_async.cli.terminal.output import err, note, safe

_LINE_EVERY = 10.0
# What is shown on the terminal, the latest on top; the others wait, for two displays would overwrite each other.
_DISPLAYS: Final[list[Progress]] = []


class Bar:
    """Shows how far something has come, inside `with`, in a running event loop; call it with (done, total).

    what     what is done, for example "exporting"
    unit     what is counted, "tickets" or "bytes"
    delay    seconds until the bar is shown; work that ends sooner shows none
    shown    False to show nothing, where the terminal is wanted for the results
    """

    def __init__(self, what: str, *, unit: str = "tickets", delay: float = 1.0, shown: bool = True) -> None:
        self._what = safe(what)
        self._unit = unit
        self._delay = delay
        # A remark that comes while the bar is shown is printed above it, in one piece.
        console = err(soft_wrap=True)
        self._bar_is_shown = shown and console.is_interactive
        self._lines_are_shown = shown and not console.is_interactive
        count = DownloadColumn() if unit == "bytes" else MofNCompleteColumn(table_column=Column(no_wrap=True))
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), count, TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, redirect_stdout=False)
        self._task = self._progress.add_task(self._what, total=None)
        self._next_line = monotonic() + _LINE_EVERY

    def __enter__(self) -> Self:
        if self._bar_is_shown:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._show)
        return self

    def _show(self) -> None:
        """Show this bar in place of the one that is shown."""
        if _DISPLAYS:
            _DISPLAYS[-1].stop()
        _DISPLAYS.append(self._progress)
        self._progress.start()

    def __call__(self, done: int, total: int, remark: str = "") -> None:
        """Show that so many of so many are done, and a remark."""
        what = f"{self._what}: {remark}" if remark else self._what
        self._progress.update(self._task, completed=done, total=total, description=what)
        if self._lines_are_shown and monotonic() >= self._next_line:
            self._next_line = monotonic() + _LINE_EVERY
            note(f"{self._what}: {done:,} of {total:,} {self._unit}{f' ({remark})' if remark else ''}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._bar_is_shown:
            return
        self._timer.cancel()
        if self._progress in _DISPLAYS:
            _DISPLAYS.remove(self._progress)
            self._progress.stop()
            if _DISPLAYS:
                _DISPLAYS[-1].start()
