"""The pytest plugin of workorder_async: three fixtures and a marker. What they give is in `workorder_async.testing`.

It is no module of the package, and imports that only in a fixture: pytest loads plugins before coverage begins, and
whatever was imported by then would be missing there.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from workorder_async import WorkorderClient
    from workorder_async.testing import SandboxThread

_MARKER = (
    "workorder(tickets=100, faults=[], drift=[], seed=1, ...): options of `workorder_sandbox`, those of "
    "`workorder_async.Sandbox`; what stands nearer to the test goes before what its class or module says."
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def workorder_sandbox(request: pytest.FixtureRequest) -> Iterator[SandboxThread]:
    """Give this test a work-order platform, in a thread of its own; the marker `workorder` says its options."""
    from workorder_async.errors import ConfigError
    from workorder_async.testing import SandboxThread

    options: dict[str, Any] = {"tickets": 100}
    # The nearest last. The marks of a `pytest.param` would come before those of the function.
    row = getattr(getattr(request.node, "callspec", None), "marks", [])
    for mark in [*reversed([*request.node.iter_markers("workorder")]), *row]:
        if mark.name == "workorder":
            options |= _checked(mark, SandboxThread)
    with ExitStack() as stack:
        try:
            sandbox = stack.enter_context(SandboxThread(**options))
        except ConfigError as error:
            pytest.fail(f"@pytest.mark.workorder: {error}", pytrace=False)
        yield sandbox


def _checked(mark: pytest.Mark, kind: type) -> Mapping[str, Any]:
    """Return the options of a mark. Fail where it has others, or what can be read only once."""
    from workorder_async.arguments import unknown_name

    wrong = unknown_name("there is no option", mark.kwargs, inspect.signature(kind).parameters)
    if mark.args:
        wrong = f"{mark.args[0]!r} has no name; write it as an option, such as tickets=50"
    for name, value in mark.kwargs.items():
        if isinstance(value, Iterator):
            wrong = f"{name} can be read only once, and each test reads it; put it in brackets"
    if wrong:
        pytest.fail(f"@pytest.mark.workorder: {wrong}", pytrace=False)
    return mark.kwargs


@pytest.fixture
def workorder_client(workorder_sandbox: SandboxThread, request: pytest.FixtureRequest) -> Iterator[WorkorderClient]:
    """Give a client of `workorder_sandbox`, for asyncio; it closes itself."""
    from workorder_async.testing.sandbox_thread import client_of_a_test

    # By itself anyio runs a test once for each library that is installed.
    backend = request.getfixturevalue("anyio_backend") if "anyio_backend" in request.fixturenames else "asyncio"
    if "trio" in backend:
        pytest.skip("workorder_client is for asyncio; let the fixture anyio_backend return 'asyncio'")
    with client_of_a_test(workorder_sandbox) as client:
        yield client


@pytest.fixture
def workorder_env(workorder_sandbox: SandboxThread, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Point the environment variables to `workorder_sandbox`, and return them, for `WorkorderClient.from_env()`."""
    monkeypatch.delenv("WORKORDER_PROFILE", raising=False)
    for name, value in workorder_sandbox.environment.items():
        monkeypatch.setenv(name, value)
    return workorder_sandbox.environment
