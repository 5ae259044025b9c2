"""The console script `workorder`, and `python -m workorder_async`."""

import os
import sys

try:
    import io
    import signal
    from importlib import import_module
except KeyboardInterrupt:  # these imports take milliseconds, in which Ctrl-C must be quiet as well
    os._exit(130)

_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit; without the extra `cli`, say in one sentence how to install it (exit code 2).

    From here to the end Ctrl-C never prints a traceback. While modules are imported it ends the process at once; then
    `run` takes care of it; when the exit code is known, it is ignored.
    """
    minds_ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if minds_ctrl_c:
        # No `KeyboardInterrupt` within an import: the import may swallow it, or turn it into another error.
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
    """End the process at once: nothing has begun yet that needs to be cleaned up."""
    os._exit(_INTERRUPTED)


def _quit_if_interrupted(failure: "sys.UnraisableHookArgs") -> None:
    """End the process for a Ctrl-C in code that cannot raise an exception, such as the callbacks of an import."""
    if failure.exc_type is KeyboardInterrupt:
        os._exit(_INTERRUPTED)
    sys.__unraisablehook__(failure)


def _ready_streams() -> None:
    """Make sure that the standard streams are open, blocking, and take a text as a whole."""
    from contextlib import suppress

    # Open the null device for a stream that the parent process closed, as daemons do: else the next file or socket gets
    # the number 0, 1 or 2, and output goes there. In this order each stream gets its own number.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - it stays open to the end
        # Another process with the same stream may have made it non-blocking: then only a part of a text is written.
        with suppress(AttributeError, OSError):  # Windows, or no file
            os.set_blocking(getattr(sys, name).fileno(), True)
    # Without a buffer (python -u) a write to stdout may take only a part of a text, without an error: add a buffer.
    # Each result is flushed anyway.
    bare = sys.stdout
    if isinstance(getattr(bare, "buffer", None), io.RawIOBase):
        sys.stdout = open(bare.fileno(), "w", -1, bare.encoding, bare.errors, closefd=False)  # noqa: SIM115 - likewise


if __name__ == "__main__":
    main()
