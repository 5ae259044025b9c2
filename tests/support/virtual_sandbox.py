"""The package's own sandbox in virtual time: the whole server and the whole client, and no real second between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

from tests.support.virtual_loop import InPlaceExecutor, running_loop
from workorder_async import WorkorderClient
from workorder_async.sandbox import ClientOptions, Sandbox


@asynccontextmanager
async def virtual_sandbox(
    tickets: int = 500, *, client: ClientOptions | None = None, **options: Any
) -> AsyncIterator[tuple[Sandbox, WorkorderClient]]:
    """Run a sandbox and a client of it, in a loop of virtual time; `options` are those of `Sandbox`.

    `client` are options of the client. The clocks of both are `VirtualLoop.wall_clock` unless they are given. The store
    does its work in place, so that nothing depends on threads; its work costs no virtual time.
    """
    clock = running_loop().wall_clock
    options.setdefault("clock", clock)
    asking: ClientOptions = {"now": clock, **(client or {})}
    sandbox = Sandbox(tickets, **options)
    with patch("workorder_async.sandbox.sandbox.ThreadPoolExecutor", InPlaceExecutor):
        await sandbox.__aenter__()
    try:
        async with sandbox.client(**asking) as caller:
            yield sandbox, caller
    finally:
        await sandbox.__aexit__(None, None, None)
