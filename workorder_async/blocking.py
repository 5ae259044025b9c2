"""The client without `async`, for scripts, Jupyter, Django and threads: the same methods, over one loop in a thread.

    with WorkorderClient.from_env() as client:
        for ticket in client.iter_tickets(TicketQuery(status=TicketStatus.PENDING)):
            print(ticket.id, ticket.title, ticket.created_at)

Each method is made of the coroutine of the same name, with its arguments, its result and its errors.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from functools import update_wrapper
from operator import attrgetter
from ssl import SSLContext
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, Unpack, cast

from workorder_async.arguments import must_be, shown
from workorder_async.client import MadeOfVariables, WorkorderClient as _Client
from workorder_async.document import TicketQuery, TicketSummary
from workorder_async.errors import ConfigError
from workorder_async.loop_thread import Closing, LoopThread
from workorder_async.secret import Secret
from workorder_async.signing.scheme import Signer
from workorder_async.walk_report import WalkReport
from workorder_async.walks.options import WalkOptions
from workorder_async.walks.walk import Walk as _Walk
from workorder_async.walks.windows import WhatToWalk
from workorder_async.wire.options import ClientOptions, hide_passwords

__all__ = ["Walk", "WorkorderClient"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_EVERYTHING = TicketQuery()


def _blocking(
    method: Callable[Concatenate[_Client, _P], Awaitable[_T]],
) -> Callable[Concatenate["WorkorderClient", _P], _T]:
    """Make a method that waits for the coroutine of the same name, and returns its result."""

    def call(self: "WorkorderClient", *arguments: _P.args, **named: _P.kwargs) -> _T:
        given = tuple(map(_listed, arguments))
        by_name = {name: _listed(value) for name, value in named.items()}
        act = cast("Callable[..., Awaitable[_T]]", method)
        return self.run(lambda client: act(client, *given, **by_name))

    return cast("Callable[Concatenate[WorkorderClient, _P], _T]", update_wrapper(call, method))


def _listed(value: object) -> object:
    """Return an iterator's values as a list: it may use this client, which the loop must not. A file stays one."""
    return [*value] if isinstance(value, Iterator) and not hasattr(value, "read") else value


def _inside(method: Callable[Concatenate[_Client, _P], _T]) -> Callable[Concatenate["WorkorderClient", _P], _T]:
    """Make a method of a function that must be called inside the event loop."""

    async def act(client: _Client, /, *arguments: _P.args, **named: _P.kwargs) -> _T:
        return method(client, *arguments, **named)

    return _blocking(cast("Callable[Concatenate[_Client, _P], Awaitable[_T]]", update_wrapper(act, method)))


def _read(name: str) -> Any:
    """Make a property of the same name and text as that of the client with coroutines."""
    return property(attrgetter(f"_client.{name}"), doc=getattr(_Client, name).__doc__)


class WorkorderClient(MadeOfVariables, Closing):
    """A client of one platform, as `workorder_async.WorkorderClient` is, whose methods return when they have a result.

    Use it as `with WorkorderClient(...) as client`, in any thread and in several at once, inside of a running event
    loop too, as in Jupyter: the calls run in a loop of its own, in a thread of its own. The arguments are the same, but
    for `session`. An interrupt, such as Ctrl-C, cancels the call, and passes when it has ended. Callbacks and observers
    run in the client's thread, and must not call its methods. A process that was forked needs a client of its own.

    `run` is for functions that take a client: `client.run(lambda client: export_tickets(client, query, "t.csv"))`.

    Raises `ConfigError` for an argument that cannot work.
    """

    def __init__(self, base_url: str, *, signer: Signer, **options: Unpack[ClientOptions]) -> None:
        hide_passwords(options)
        hidden_url = Secret(base_url)
        del base_url
        if options.get("session") is not None:
            mend = "leave it out, or use the client with coroutines"
            raise ConfigError(
                "belongs to an event loop, and this client has one of its own", argument="session", mend=mend
            )
        self._client = _Client(hidden_url.reveal(), signer=signer, **options)
        self._loop = LoopThread("client", at_end=self._client.aclose)

    ping: Final = _blocking(_Client.ping)
    list_tickets: Final = _blocking(_Client.list_tickets)  # type: ignore[arg-type]  # for its `**unknown: Never`
    count_tickets: Final = _blocking(_Client.count_tickets)
    plan_windows: Final = _blocking(_Client.plan_windows)
    get_ticket: Final = _blocking(_Client.get_ticket)
    get_tickets: Final = _blocking(_Client.get_tickets)
    get_ticket_detail: Final = _blocking(_Client.get_ticket_detail)
    create_ticket: Final = _blocking(_Client.create_ticket)
    comment_ticket: Final = _blocking(_Client.comment_ticket)
    reject_ticket: Final = _blocking(_Client.reject_ticket)
    close_ticket: Final = _blocking(_Client.close_ticket)
    change: Final = _blocking(_Client.change)
    settle: Final = _blocking(_Client.settle)
    upload_file: Final = _blocking(_Client.upload_file)
    stats: Final = _inside(_Client.stats)
    now: Final = _inside(_Client.now)
    ahead: Final = _inside(_Client.ahead)
    deadline: Final = _inside(_Client.deadline)

    base_url: Final[str] = _read("base_url")
    app_id: Final[str] = _read("app_id")
    proxy: Final[Secret | None] = _read("proxy")
    ssl: Final[SSLContext | bool] = _read("ssl")
    clock_offset: Final[float] = _read("clock_offset")
    attempt_timeout: Final[float] = _read("attempt_timeout")

    def run(self, act: Callable[[_Client], Awaitable[_T]]) -> _T:
        """Call a function with the client with coroutines, in this client's event loop; return its result.

        `act` is that function, such as an `async def` of yours with one argument. It must not call this client: such a
        call would wait for itself, and is a `ConfigError`.
        """
        must_be("a function of one argument", callable)("act", act)

        async def acted() -> _T:
            made = act(self._client)
            if not isinstance(made, Awaitable):
                mend = "it must return something to await, as an `async def` does"
                raise ConfigError(f"returned {shown(made)}", argument="act", mend=mend)
            return await made

        return self._loop.run(acted())

    def walk(self, query: WhatToWalk = _EVERYTHING, **options: Unpack[WalkOptions]) -> "Walk":
        """Return a walk over the tickets that match, for `with`; it iterates over lists of tickets, page by page.

        See `walk` of the client with coroutines. Requests go on while a page is being used, until enough pages wait.
        """
        return Walk(self, _inside(_Client.walk)(self, query, **options))

    def iter_pages(
        self, query: WhatToWalk = _EVERYTHING, **options: Unpack[WalkOptions]
    ) -> Generator[list[TicketSummary], None, None]:
        """Yield the tickets that match, a page at a time; see `walk`. A `break` cancels its requests."""
        with self.walk(query, **options) as walk:
            yield from walk

    def iter_tickets(
        self, query: WhatToWalk = _EVERYTHING, **options: Unpack[WalkOptions]
    ) -> Generator[TicketSummary, None, None]:
        """Yield the tickets that match, one by one; see `walk` and `iter_pages`."""
        for tickets in self.iter_pages(query, **options):
            yield from tickets

    def close(self) -> None:
        """End the walks and the calls that are still under way, close the connections, and end the thread."""
        self._loop.close()

    def __del__(self) -> None:
        # Without a wait: the caller that drops the last reference may hold a lock that the thread waits for.
        if loop := getattr(self, "_loop", None):
            loop.close(0)


class Walk(Closing, Iterator[list[TicketSummary]]):
    """One walk over a query: use it as `with client.walk(...) as walk`, and iterate over its pages in order.

    `report` has the counts so far. Leaving the block cancels the requests that are under way.
    """

    def __init__(self, client: WorkorderClient, walk: _Walk) -> None:
        self._client = client
        self._walk = walk
        self._taken = deque[list[TicketSummary] | None]()

    def __next__(self) -> list[TicketSummary]:
        async def take(_: _Client) -> None:
            self._taken.append(await anext(self._walk, None))

        # An interrupt may come when a page is here already: the next call gives that page, in any thread.
        while True:
            if self._taken:
                # Neither an interrupt nor another thread has its turn before this returns: nothing is called.
                page = self._taken[0]
                del self._taken[0]
                if page is None:
                    raise StopIteration
                return page
            self._client.run(take)

    @property
    def report(self) -> WalkReport:
        """The counts of the walk so far, and whether its result is exact."""
        return self._walk.report

    def close(self) -> None:
        """Cancel the requests under way and wait until they have ended."""
        with suppress(ConfigError):  # a client that is closed has ended its walks
            self._client.run(lambda _: self._walk.aclose())
