"""The server of a sandbox: what it is told, how it begins and ends, and what it tells of itself."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from aiohttp import web

from workorder_async.arguments import number_within, whole_within
from workorder_async.document import TicketStatus
from workorder_async.errors import ConfigError
from workorder_async.sandbox.drift import Drift, Drifted, Drifting, Pick
from workorder_async.sandbox.errnos import SANDBOX_ERRNOS
from workorder_async.sandbox.faults import FAR, Fault, Faults, Struck
from workorder_async.sandbox.files import Files
from workorder_async.sandbox.gate import Clocks, Gate, Hosts, Limit
from workorder_async.sandbox.rules import Listing
from workorder_async.sandbox.seed import END, SPAN, tickets as seed_tickets
from workorder_async.sandbox.server import Server
from workorder_async.sandbox.shapes import Speller, Spelling
from workorder_async.sandbox.store import Applied, Record, Store
from workorder_async.secret import Secret
from workorder_async.signing.scheme import SchemeSigner
from workorder_async.wire.options import ClientOptions, hide_passwords

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

#: Method, path, query and body are signed, so that nothing can be changed on the way; `detect` finds it.
DEFAULT_SCHEME = "hmac-sha256:{app_id}:{timestamp}:{method}:{path}:{query}:{body}"

# How long the end waits for requests that are being answered, in seconds.
_PATIENCE = 1.0


class Sandbox:
    """A server of the eight endpoints, running inside `async with`, filled with invented tickets.

    tickets        how many there are to begin with; `seed` chooses which, and the same two give the same tickets
    until          the end of the two years in which they were created, in seconds since the epoch, such as
                   `int(time.time())`; without it that is 2024-12-31, so that they are the same on every day
    db             a file to keep them in, with uploads beside it in `<db>.files`; seeded only when it is new. Without
                   it everything is in memory (uploads in a temporary directory) and gone at the end.
    host, port     where to listen; port 0 takes a free one
    names          further names that it is called by: it answers to `host`, localhost and IP addresses, and to nobody
                   else's name, nor to a page of another site
    app_id, app_secret, scheme   who may ask, and how requests are signed (see `SchemeSigner`); the secret is
                   a new one each time unless it is given, and `environment` tells it
    clock          the server's time, in seconds since the epoch: of `Date`, of mutations, and of what is too old
    latency        seconds added to each answer
    page_size_cap  the most rows on a page of list_tickets; whoever asks for more gets so many
    drift          what changes between the reads of a list (see `Drift`)
    faults         which requests go wrong, and how (see `Fault`)

    The rest is for the habits of nervous servers, none of which the API document knows:

    rate           how many requests are let through in any one second; the others get HTTP 429, with `Retry-After`
                   where `retry_after` gives seconds, or HTTP 200 with `rate_errno` (`Errno.RATE`, for example)
    total_cap      the most tickets that a page of a list says there are
    page_depth     how many rows of a list can be reached; a page that goes beyond is refused with `Errno.PAGE_DEPTH`
    shuffle_ties   tickets that were created in the same second come in another order with each page
    spelling       "java": numbers, times, booleans, maps and lists in the kinds of JSON that a Java service may use
    date_offset    seconds that `Date` is ahead of the server's clock (below 0: behind)
    backends       seconds that the clocks of so many backends are ahead; requests go to them in turn: (-200, 200)

    Raises `ConfigError` for an argument that cannot work: at once, or on entering for `db`, `host` and `port`.
    """

    _server: Server | None = None
    _url = ""
    _stack: AsyncExitStack

    def __init__(
        self,
        tickets: int = 5000,
        *,
        db: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 1,
        until: int | None = None,
        latency: float = 0.0,
        page_size_cap: int = 100,
        drift: Iterable[Drift] = (),
        faults: Iterable[Fault] = (),
        app_id: str = "sandbox-app",
        app_secret: str | Secret | None = None,
        scheme: str = DEFAULT_SCHEME,
        clock: Callable[[], float] = time.time,
        names: Iterable[str] = (),
        rate: int | None = None,
        retry_after: int | None = None,
        rate_errno: int | None = None,
        total_cap: int | None = None,
        page_depth: int | None = None,
        shuffle_ties: bool = False,
        spelling: Spelling = "document",
        date_offset: float = 0.0,
        backends: Iterable[float] = (),
    ) -> None:
        # Before anything can fail: a traceback with locals would show it.
        app_secret = self._secret = Secret(secrets.token_urlsafe(32) if app_secret is None else app_secret)
        whole_within("tickets", tickets, 0, 10**8)
        whole_within("until", END if until is None else until, SPAN, 10**11)
        self._seed = partial(seed_tickets, tickets, whole_within("seed", seed, 0, 2**63), until=until)
        self._db = None if db is None else Path(db).absolute()
        self._hosts = Hosts(host, names)
        self._host, self._port, self._clock = host, whole_within("port", port, 0, 65535), clock
        self._signer = SchemeSigner(app_id, self._secret, scheme)
        self._clocks = Clocks(clock, date_offset, backends)
        self._limit = Limit(rate, retry_after, rate_errno)
        drifting = self._drifting = Drifting(drift, seed)
        self._listing = Listing(drifting.after_read, seed, page_size_cap, page_depth, total_cap, ties=shuffle_ties)
        self._faults = Faults(faults, seed, clock)
        self._speller = Speller(spelling, seed)
        self._latency = number_within("latency", latency, 0, FAR)

    async def __aenter__(self) -> Self:
        if self._server is not None:
            raise ConfigError("this Sandbox has been entered already", mend="make another one")
        async with AsyncExitStack() as stack:
            server = await self._build(stack)
            # Signatures are over the bytes that were sent: nothing unpacks them before.
            runner = web.AppRunner(
                server.application(), access_log=None, shutdown_timeout=_PATIENCE, auto_decompress=False
            )
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            try:
                await web.TCPSite(runner, self._host, self._port).start()
            except OSError as error:
                raise ConfigError(
                    f"cannot listen on port {self._port} of {self._host} ({error.strerror})",
                    argument="the sandbox",
                    mend="choose another port, 0 for any free one, or another host",
                ) from None
            host, port = runner.addresses[0][:2]
            self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            self._server, self._stack = server, stack.pop_all()
        return self

    async def _build(self, stack: AsyncExitStack) -> Server:
        """Open the store in its own thread, and a place for files; the stack closes them."""
        worker = stack.enter_context(ThreadPoolExecutor(1, "workorder-sandbox"))
        run = partial(asyncio.get_running_loop().run_in_executor, worker)
        if self._db is None:
            temporary = TemporaryDirectory(prefix="workorder-sandbox-")
            stack.push_async_callback(asyncio.to_thread, temporary.cleanup)
            directory = Path(temporary.name)
        else:
            directory = self._db.with_name(f"{self._db.name}.files")
        store = Store(self._db, self._clock)
        stack.push_async_callback(run, store.close)
        given_up = Event()
        try:
            await run(partial(store.open, lambda: _until(given_up, self._seed())))
        except asyncio.CancelledError:
            given_up.set()
            raise
        return Server(
            store=store,
            worker=worker,
            files=Files(directory, self._clock),
            hosts=self._hosts,
            gate=Gate(self._signer.app_id, self._secret, self._signer.scheme),
            clocks=self._clocks,
            limit=self._limit,
            listing=self._listing,
            faults=self._faults,
            speller=self._speller,
            latency=self._latency,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """The base URL, for example `http://127.0.0.1:8011`."""
        self._running()
        return self._url

    @property
    def environment(self) -> dict[str, str]:
        """The four environment variables that point `WorkorderClient.from_env()` here, secret included."""
        return {
            "WORKORDER_BASE_URL": self.url,
            "WORKORDER_APP_ID": self._signer.app_id,
            "WORKORDER_APP_SECRET": self._secret.reveal(),
            "WORKORDER_SIGN_SCHEME": str(self._signer.scheme),
        }

    def client(self, **options: Unpack[ClientOptions]) -> "WorkorderClient":
        """Return a client of this sandbox, to be closed by you; it knows `SANDBOX_ERRNOS`.

        `options` are those of `WorkorderClient`; `errnos` are added to the sandbox's own, and go before them.
        """
        from workorder_async.client import WorkorderClient

        hide_passwords(options)
        options["errnos"] = {**SANDBOX_ERRNOS, **(options.get("errnos") or {})}
        return WorkorderClient(self.url, signer=self._signer, **options)

    @property
    def applied(self) -> list[Applied]:
        """Every mutation that this sandbox carried out, in order; a copy."""
        return list(self._running().store.applied)

    @property
    def requests(self) -> Counter[str]:
        """How many requests each operation received, refused ones too; a copy."""
        return Counter(self._running().requests)

    @property
    def refused(self) -> Counter[str]:
        """How many of those `requests` were beyond `rate`, and therefore refused; a copy."""
        return Counter(self._running().refused)

    @property
    def granted(self) -> list[float]:
        """When each request came that `rate` let through, by the event loop's clock; empty without `rate`; a copy."""
        return list(self._limit.granted)

    @property
    def drift(self) -> tuple[Drift, ...]:
        """What changes between the reads of a list; to set it counts the reads anew, to set `()` ends it."""
        return self._drifting.script

    @drift.setter
    def drift(self, drifts: Iterable[Drift]) -> None:
        self._drifting.script = drifts

    @property
    def drifted(self) -> list[Drifted]:
        """What `drift` and `change` have changed so far, in order; a copy."""
        return list(self._drifting.drifted)

    async def change(
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
        drift = Drift(close=close, reopen=reopen, create=create, delete=delete, pick=pick, status=status)
        server = self._running()
        changed = partial(self._drifting.change, server.store, drift)
        return await asyncio.get_running_loop().run_in_executor(server.worker, changed)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Which requests go wrong; to set it counts requests anew, to set `()` ends it."""
        return self._faults.script

    @faults.setter
    def faults(self, faults: Iterable[Fault]) -> None:
        self._faults.script = faults

    @property
    def struck(self) -> list[Struck]:
        """Every request that met one of the `faults`, in the order of their arrival; a copy."""
        return list(self._faults.struck)

    def _running(self) -> Server:
        if self._server is None:
            mend = "use it inside `async with Sandbox(...) as sandbox:`"
            raise ConfigError("the sandbox is not running", mend=mend)
        return self._server


def _until(given_up: Event, records: Iterable[Record]) -> Iterator[Record]:
    """Yield the records; raise once it is given up, so that a file stays as it was."""
    for record in records:
        if given_up.is_set():
            raise InterruptedError
        yield record
