"""The console script `workorder`, and `python -m workorder_async`."""

import sys
from importlib import import_module


def main() -> None:
    """Run the command line and exit; without its extra, say in one sentence how to install it (exit code 2)."""
    try:
        import_module("cyclopts")
        import_module("rich")
    except ImportError:
        sys.exit(_without_extra())
    except KeyboardInterrupt:
        sys.exit(130)
    from workorder_async.cli.app import run

    sys.exit(run(sys.argv[1:]))


def _without_extra() -> int:
    sys.stderr.write("workorder: the command line is an extra; install it with: pip install 'workorder-async[cli]'\n")
    return 2


if __name__ == "__main__":
    main()
