"""The console script `workorder`, and `python -m workorder_async`."""

import os
import sys
from importlib import import_module


def main() -> None:
    """Run the command line and exit; without its extra, say in one sentence how to install it (exit code 2)."""
    _open_what_is_closed()
    try:
        try:
            import_module("cyclopts")
            import_module("rich")
        except ImportError:
            sys.exit(_without_extra())
        from workorder_async.cli.app import run

        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)


def _open_what_is_closed() -> None:
    """Lead nowhere each standard stream that was closed by whoever started this, as daemons do.

    In this order each gets the number that is its own, which the next file or socket would get otherwise.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - it stays open to the end


def _without_extra() -> int:
    sys.stderr.write("workorder: the command line is an extra; install it with: pip install 'workorder-async[cli]'\n")
    return 2


if __name__ == "__main__":
    main()
