"""A sandbox in a thread of its own, and a client that ends with the event loop that it was used in."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal, Self, TypeAlias

from aiohttp import web
from attrs import define

from workorder_async.client import WorkorderClient
from workorder_async.document import JSON, TicketStatus
from workorder_async.errors import ConfigError
from workorder_async.loop_thread import LoopThread
from workorder_async.sandbox import Drifted, Fault, Pick, Sandbox
from workorder_async.sandbox.rules import Act, Rule
from workorder_async.wire.observing import Event

Moment: TypeAlias = Literal["received", "applied", "answered"]
"""How far a request has come; see `Kill.moment`."""
Witness: TypeAlias = Callable[[Moment, str], Awaitable[bool]]
"""Takes a moment and the operation of a request. If it returns True for "received", the request is not carried out."""


class SandboxThread(Sandbox):
    """A `Sandbox` in a thread of its own, with an event loop of its own: for any test, with an event loop or without.

        with SandboxThread(tickets=50) as sandbox:

    The arguments are those of `Sandbox`. Everything may be used from any thread, and nothing has to be awaited.
    """

    #: Called at each moment of every request; the request waits for it.
    witness: Witness | None = None

    def __enter__(self) -> Self:
        # The class of the loop is named here: a test may have set an event loop policy for its own loop.
        thread = LoopThread("sandbox", loop=asyncio.SelectorEventLoop())
        try:
            thread.run(super().__aenter__())
        except BaseException:
            thread.close()
            raise
        self._thread = thread
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._thread.run(super().__aexit__(None, None, None))
        finally:
            self._thread.close()

    async def __aenter__(self) -> Self:
        raise ConfigError("a SandboxThread has a loop of its own", mend="use `with`, without `async`")

    def change(  # type: ignore[override]  # a `Sandbox` is awaited in its own loop; here any thread waits
        self,
        *,
        close: int = 0,
        reopen: int = 0,
        create: int = 0,
        delete: int = 0,
        pick: Pick = "random",
        status: TicketStatus = TicketStatus.PENDING,
    ) -> Drifted:
        """Change so many tickets now, at once, and return which; the arguments are those of `Drift`."""
        self._running()
        changed = super().change(close=close, reopen=reopen, create=create, delete=delete, pick=pick, status=status)
        return self._thread.run(changed)

    def act(self, ticket_id: int, action: Act, words: str = "") -> None:  # type: ignore[override]  # the same
        """Let a person close, reopen or comment on a ticket now, with these words; it is not in `applied`."""
        self._running()
        self._thread.run(super().act(ticket_id, action, words))

    def settle(self) -> None:
        """Wait until every mutation that was sent before is carried out, also if its caller is gone.

        For a mutation that the fault 504_before strikes this waits for `Fault.seconds`.
        """
        self._running()
        self._thread.run(self._settle())

    async def _settle(self) -> None:
        # Connections are accepted in order: when this one is answered, all bytes that had arrived before were read.
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        await reader.read()
        writer.close()
        await self._faults.settle()

    async def _see(self, moment: Moment, operation: str) -> bool:
        return self.witness is not None and await self.witness(moment, operation)

    async def _answer(self, rule: Rule, request: web.Request, fault: Fault | None) -> JSON:
        data = await super()._answer(rule, request, fault)
        await self._see("applied", rule.endpoint.operation)
        return data

    async def _handle(self, rule: Rule, request: web.Request) -> web.StreamResponse:
        operation = rule.endpoint.operation
        if await self._see("received", operation):
            self._requests[operation] += 1
            return web.Response(status=503)
        response = await super()._handle(rule, request)
        if self.witness is not None:
            with suppress(ConnectionError):
                await response.prepare(request)
                await response.write_eof()
                await self._see("answered", operation)
        return response


@define
class _End:
    """An observer that closes its client when the client's event loop ends.

    At its end a loop closes all asynchronous generators that were begun in it (`shutdown_asyncgens`). So at the first
    event the generator `closing` is begun in the client's loop; its `finally` closes the client.
    """

    closing: AsyncGenerator[None, None]
    loop: asyncio.AbstractEventLoop | None = None

    def on_event(self, event: Event) -> None:
        if self.loop is None:
            self.loop = asyncio.get_running_loop()
            # `send` runs the generator up to its `yield`: it awaits nothing before that.
            with suppress(StopIteration):
                self.closing.asend(None).send(None)


@contextmanager
def client_of_a_test(sandbox: Sandbox) -> Iterator[WorkorderClient]:
    """Return a client for one test. It is closed when its event loop ends, or else at the end of this context.

    Which comes first depends on the test's runner.
    """

    async def close() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await client.aclose()

    end = _End(close())
    client = sandbox.client(observers=[end])
    yield client
    if end.loop is not None and end.loop.is_running():  # in a thread of the test's
        asyncio.run_coroutine_threadsafe(end.closing.aclose(), end.loop).result()
    elif end.loop is not None and not end.loop.is_closed():
        end.loop.run_until_complete(end.closing.aclose())
