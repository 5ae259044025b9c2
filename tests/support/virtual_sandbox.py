"""The package's own sandbox in virtual time: the whole server and the whole client, and no real second between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.virtual_loop import running_loop
from workorder_async import WorkorderClient
from workorder_async.sandbox import ClientOptions, Sandbox


@asynccontextmanager
async def virtual_sandbox(
    tickets: int = 500, *, client: ClientOptions | None = None, **options: Any
) -> AsyncIterator[tuple[Sandbox, WorkorderClient]]:
    """Run a sandbox and a client of it, in a loop of virtual time; `options` are those of `Sandbox`.

    `client` are options of the client. The clocks of both are `VirtualLoop.wall_clock` unless they are given.
    """
    clock = running_loop().wall_clock
    options.setdefault("clock", clock)
    asking: ClientOptions = {"now": clock, **(client or {})}
    async with Sandbox(tickets, **options) as sandbox, sandbox.client(**asking) as caller:
        yield sandbox, caller
