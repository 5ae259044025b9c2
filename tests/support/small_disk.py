"""For programs of tests that run in a process of their own: a disk that takes only so many bytes of a file."""

import atexit
import resource
import signal


def limit_files(size: int) -> None:
    """Let every file of this process have so many bytes at the most; 0: as many as before."""
    if size:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        # The measurement of the tests writes its own file at the end.
        atexit.register(resource.setrlimit, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
