"""The console script `workorder`, and `python -m workorder_async`."""

import os
import sys

try:
    import io
    import signal
    from importlib import import_module
except KeyboardInterrupt:  # this, too, takes its milliseconds
    os._exit(130)

_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit; without its extra, say in one sentence how to install it (exit code 2).

    Ctrl-C ends it quietly from here on, to the very end.
    """
    minds_ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if minds_ctrl_c:
        # An exception amid an import may be swallowed, or come out of it as another one.
        signal.signal(signal.SIGINT, _quit)
        sys.unraisablehook = _quit_if_interrupted
    code = _INTERRUPTED
    try:
        code = _run(minds_ctrl_c)
    except KeyboardInterrupt:
        pass
    finally:
        if minds_ctrl_c:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def _run(minds_ctrl_c: bool) -> int:
    _ready_streams()
    try:
        import_module("cyclopts")
        import_module("rich")
    except ImportError:
        from workorder_async.extras import install_line

        sys.stderr.write(f"workorder: the command line is an extra; install it with: {install_line('cli')}\n")
        return 2
    from workorder_async.cli.app import load, run

    load(sys.argv[1:])
    if minds_ctrl_c:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run(sys.argv[1:])


def _quit(*_: object) -> None:
    """End at once: nothing has been begun that would have to be cleaned up."""
    os._exit(_INTERRUPTED)


def _quit_if_interrupted(failure: "sys.UnraisableHookArgs") -> None:
    """End for a Ctrl-C that came where no exception can be raised, as in the callbacks of an import."""
    if failure.exc_type is KeyboardInterrupt:
        os._exit(_INTERRUPTED)
    sys.__unraisablehook__(failure)


def _ready_streams() -> None:
    """Make the standard streams open ones, which are waited for and written whole."""
    from contextlib import suppress

    # A stream that the parent process closed, as daemons do, leads nowhere. In this order each gets the number that is
    # its own, which the next file or socket would get otherwise.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - it stays open to the end
        # Somebody who shares a stream may have set that it does not wait: half a text would pass for the whole.
        with suppress(AttributeError, OSError):  # Windows, or no file
            os.set_blocking(getattr(sys, name).fileno(), True)
    # Where Python does not buffer stdout, a write to the bare file may take a part and not say so. Each result is
    # flushed anyway.
    bare = sys.stdout
    if isinstance(getattr(bare, "buffer", None), io.RawIOBase):
        sys.stdout = open(bare.fileno(), "w", -1, bare.encoding, bare.errors, closefd=False)  # noqa: SIM115 - likewise


if __name__ == "__main__":
    main()
