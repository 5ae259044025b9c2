"""A sandbox for code that waits, in a thread of its own, and what engines are compared with."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from workorder_async import Sandbox, WorkorderClient
from workorder_async.integrations.arrow_batches import OwnLoop
from workorder_async.sandbox import SANDBOX_ERRNOS, ClientOptions, Fault


class Connect:
    """Makes clients of an environment; picklable, other than a sandbox."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, **options: Any) -> WorkorderClient:
        """Make a client."""
        given: ClientOptions = {"errnos": SANDBOX_ERRNOS, **options}  # type: ignore[typeddict-item]
        return WorkorderClient.from_env(self._environment, **given)


class SandboxThread:
    """A sandbox whose loop turns in another thread; the arguments are the sandbox's."""

    def __init__(self, **options: Any) -> None:
        self.sandbox = Sandbox(**options)
        self._loop = OwnLoop()

    def __enter__(self) -> Self:
        self._loop.__enter__()
        self._loop.run(self.sandbox.__aenter__())
        self.environment = self.sandbox.environment
        self.connect = Connect(self.environment)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self.sandbox.__aexit__(None, None, None))
        self._loop.__exit__()

    @contextmanager
    def failing(self, *faults: Fault) -> Iterator[None]:
        """Let requests go wrong for a while."""
        self.sandbox.faults = faults
        try:
            yield
        finally:
            self.sandbox.faults = ()
