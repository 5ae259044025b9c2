"""The server of a sandbox over HTTP: its options, how it starts and ends, its records, and the road of a request.

Every request to an endpoint takes the same road: `_handle` counts it and checks the rate, and a fault may strike it;
`_envelope` checks its AppId and time; `_answer` checks its signature (all three by gate.py) and its fields, and calls
its rule (rules.py), which reads or changes the store; the data goes back in an envelope.
"""

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self, Unpack, get_args

from aiohttp import web
from aiohttp.http import HttpProcessingError

from workorder_async.arguments import flag, has_bytes, must_be, number_within, one_of, path, shown, whole_within
from workorder_async.client import WorkorderClient
from workorder_async.document import JSON, TicketStatus
from workorder_async.document.json_text import dumps
from workorder_async.errors import ConfigError
from workorder_async.sandbox import rules
from workorder_async.sandbox.drift import Drift, Drifted, Drifting, Pick
from workorder_async.sandbox.errnos import SANDBOX_ERRNOS, Errno, Refused
from workorder_async.sandbox.faults import AHEAD, FAR, Fault, Faults, Struck, envelope
from workorder_async.sandbox.files import Files, download_headers, invented
from workorder_async.sandbox.gate import Clocks, Hosts, Limit, check_headers, check_signature
from workorder_async.sandbox.seed import seeding
from workorder_async.sandbox.shapes import Spelling, speller
from workorder_async.sandbox.store import Applied, Store
from workorder_async.secret import Secret
from workorder_async.signing.scheme import SchemeSigner
from workorder_async.wire.options import ClientOptions, hide_passwords

#: Method, path, query and body are signed, so that nothing can be changed on the way; a search finds it.
DEFAULT_SCHEME = "hmac-sha256:{app_id}:{timestamp}:{method}:{path}:{query}:{body}"

_WORDS = must_be("text that can be sent", lambda value: isinstance(value, str) and has_bytes(value))
# For a server that listens on all addresses: the address in its URL.
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_LOG = logging.getLogger("workorder_async.sandbox")
# Do not log bytes that are no HTTP: that is no failure of the server, and their sender gets a 400.
_LOG.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))
# Seconds that a sandbox waits at its end for requests that are being answered.
_PATIENCE = 1.0


class Sandbox:
    """A server of the eight endpoints, running inside `async with`, filled with invented tickets.

    tickets        how many there are to begin with; `seed` chooses which, and the same two give the same tickets
    until          the end of the two years in which they were created, in seconds since the epoch, such as
                   `int(time.time())`; without it that is 2024-12-31, so that they are the same on every day
    db             a file to keep them in, with uploads beside it in `<db>.files`; seeded only when it is new. Without
                   it everything is in memory (uploads in a temporary directory) and gone at the end.
    host, port     the address to listen on; port 0 takes a free one
    names          further names that it is called by: it answers to `host`, localhost and IP addresses, and to nobody
                   else's name
    app_id, app_secret, scheme   the only credentials that are taken, and how requests are signed (see `SchemeSigner`);
                   without `app_secret` the secret is a new one each time, and `environment` has it
    clock          the server's time, in seconds since the epoch: for `Date`, mutations, and the age of requests
    latency        seconds added to each answer
    page_size_cap  the most rows on a page of list_tickets; a request for more gets this many
    drift          the changes between the reads of a list (see `Drift`)
    faults         which requests go wrong, and how (see `Fault`)

    The rest is for the habits of nervous servers, none of which the API document knows:

    rate           how many requests are let through in any one second; the others get HTTP 429, with `Retry-After`
                   if `retry_after` gives seconds, or HTTP 200 with `rate_errno` (`Errno.RATE`, for example)
    total_cap      the most tickets that a page of a list says there are
    page_depth     how many rows of a list can be reached; a page that goes beyond is refused with `Errno.PAGE_DEPTH`
    shuffle_ties   True: tickets that were created in the same second are in another order on each page
    spelling       "java": numbers, times, booleans, maps and lists in the kinds of JSON that a Java service may use
    date_offset    seconds that `Date` is ahead of the server's clock (below 0: behind)
    backends       seconds that the clocks of so many backends are ahead; requests go to them in turn: (-200, 200)
    lag            seconds after which a change is seen by reads, as with a database's replica
    texts          how titles and details are stored: "as sent", "no emoji", "nfc", "escaped", or "cut" to 20 characters

    Raises `ConfigError` for an argument that cannot work: at once, or on entering for `db`, `host` and `port`.
    """

    _url = ""

    # The secret is hidden before anything can fail: a traceback with locals would show it.
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
        lag: float = 0.0,
        texts: rules.Texts = "as sent",
    ) -> None:
        app_secret = self._secret = Secret(secrets.token_urlsafe(32) if app_secret is None else app_secret)
        self._signer = SchemeSigner(app_id, self._secret, scheme)
        self._seed = seeding(tickets, seed, until)
        self._db = None if db is None else _file(db)
        self._lag = number_within("lag", lag, 0, FAR)
        self._stored = rules.STORED[one_of("texts", texts, get_args(rules.Texts))]
        self._hosts = Hosts(host, port, names)
        self._clocks = Clocks(clock, date_offset, backends)
        self._limit = Limit(rate, retry_after, rate_errno)
        self._latency = number_within("latency", latency, 0, FAR)
        self._faults = Faults(faults, seed, clock)
        self._drifting = Drifting(drift, seed)
        ties = f"ties {seed}" if flag("shuffle_ties", shuffle_ties) else None
        self._listing = rules.Listing(self._drifting.after_read, page_size_cap, page_depth, total_cap, ties)
        self._spell = speller(spelling, seed)

    async def __aenter__(self) -> Self:
        if self._url:
            raise ConfigError("this Sandbox has been entered already", mend="make another one")
        async with AsyncExitStack() as stack:
            await self._open(stack)
            # No decompression: the signature is over the bytes that were sent.
            runner = web.AppRunner(
                self._application(), access_log=None, logger=_LOG, shutdown_timeout=_PATIENCE, auto_decompress=False
            )
            stack.push_async_callback(runner.cleanup)
            stack.push_async_callback(_let_connections_begin)
            await runner.setup()
            try:
                await web.TCPSite(runner, self._hosts.host, self._hosts.port).start()
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", error)
                problem = f"the sandbox cannot listen on port {self._hosts.port} of {self._hosts.host} ({why})"
                mend = "choose another port, 0 for any free one, or another host"
                raise ConfigError(problem, mend=mend) from None
            address, port = map(str, runner.addresses[0][:2])
            host = _HERE.get(address, address)
            self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            self._stack = stack.pop_all()
        return self

    async def _open(self, stack: AsyncExitStack) -> None:
        """Open the store, and a place for files; the stack closes them."""
        self._clocks.check()
        self._requests = Counter[str]()
        self._refused = Counter[str]()
        if self._db is None:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="workorder-sandbox-")))
        else:
            directory = self._db.with_name(f"{self._db.name}.files")
        self._files = Files(directory, self._clocks.clock)
        self._store = Store(self._db, self._clocks.clock, lag=self._lag, stored=self._stored)
        stack.callback(self._store.close)
        await self._store.open(self._seed())

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """The base URL, for example `http://127.0.0.1:8011`; also where it listens on all addresses."""
        return self._running()._url

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that point `WorkorderClient.from_env()` here, secret and errnos included."""
        return {
            "WORKORDER_BASE_URL": self.url,
            "WORKORDER_APP_ID": self._signer.app_id,
            "WORKORDER_APP_SECRET": self._secret.reveal(),
            "WORKORDER_SIGN_SCHEME": str(self._signer.scheme),
            "WORKORDER_ERRNOS": ",".join(f"{errno:d}={kind.__name__}" for errno, kind in SANDBOX_ERRNOS.items()),
        }

    def client(self, **options: Unpack[ClientOptions]) -> WorkorderClient:
        """Return a client of this sandbox, to be closed by you; it knows `SANDBOX_ERRNOS`.

        `options` are those of `WorkorderClient`; `errnos` are added to the sandbox's own, and go before them.
        """
        hide_passwords(options)
        given = options.get("errnos")
        if given is None or isinstance(given, Mapping):
            options["errnos"] = {**SANDBOX_ERRNOS, **(given or {})}
        return WorkorderClient(self.url, signer=self._signer, **options)

    @property
    def applied(self) -> list[Applied]:
        """Every mutation that this sandbox carried out, in order; a copy."""
        return list(self._running()._store.applied)

    @property
    def requests(self) -> Counter[str]:
        """How many requests each operation received, refused ones too; a copy."""
        return Counter(self._running()._requests)

    @property
    def refused(self) -> Counter[str]:
        """How many of the `requests` were refused because they were beyond `rate`, by operation; a copy."""
        return Counter(self._running()._refused)

    @property
    def granted(self) -> list[float]:
        """When each request came that `rate` let through, by the event loop's clock; empty without `rate`; a copy."""
        return list(self._limit.granted)

    @property
    def drift(self) -> tuple[Drift, ...]:
        """The changes between the reads of a list; to set it counts the reads anew, to set `()` ends it."""
        return self._drifting.script.drifts

    @drift.setter
    def drift(self, drifts: Iterable[Drift]) -> None:
        self._drifting.follow(drifts)

    @property
    def drifted(self) -> list[Drifted]:
        """The changes that `drift` and `change` have made so far, in order; a copy."""
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
        return self._drifting.change(self._opened(), drift)

    async def act(self, ticket_id: int, action: rules.Act, words: str = "") -> None:
        """Let a person close, reopen or comment on a ticket now, with these words; it is not in `applied`."""
        one_of("action", action, get_args(rules.Act))
        whole_within("ticket_id", ticket_id, 1, 2**63 - 1)
        _WORDS("words", words)
        store = self._opened()
        change = partial(rules.act, id=ticket_id, action=action, now=int(self._clocks.clock()), words=words)
        try:
            store.make(change)
        except Refused:
            mend = "it must be a ticket of this sandbox"
            raise ConfigError(f"is {ticket_id}", argument="ticket_id", mend=mend) from None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Which requests go wrong; to set it counts requests anew, to set `()` ends it."""
        return self._faults.script

    @faults.setter
    def faults(self, faults: Iterable[Fault]) -> None:
        self._faults.follow(faults)

    @property
    def struck(self) -> list[Struck]:
        """Every request that met one of the `faults`, in the order of their arrival; a copy."""
        return list(self._faults.struck)

    def _running(self) -> Self:
        if not self._url:
            way = "with" if hasattr(self, "__enter__") else "async with"
            mend = f"use it inside `{way} {type(self).__name__}(...) as sandbox:`"
            raise ConfigError("the sandbox is not running", mend=mend)
        return self

    def _opened(self) -> Store:
        if self._running()._store.is_closed:
            raise ConfigError("this sandbox is closed", mend="make another one")
        return self._store

    def _application(self) -> web.Application:
        """Return the application to serve; an unknown path or a wrong method is a plain HTTP 404 or 405."""
        app = web.Application(middlewares=[self._hosts.guard], client_max_size=max(rule.limit for rule in rules.RULES))
        app.on_response_prepare.append(self._clocks.set_date)
        app.on_shutdown.append(lambda _: self._faults.end())
        for rule in rules.RULES:
            for method in (rule.endpoint.method, *rule.further_methods):
                app.router.add_route(method, rule.endpoint.path, partial(self._handle, rule))
        app.router.add_route("GET", "/files/{file_path:.+}", self._download)
        return app

    async def _handle(self, rule: rules.Rule, request: web.Request) -> web.StreamResponse:
        request[AHEAD] = next(self._clocks.turns)
        operation = rule.endpoint.operation
        self._requests[operation] += 1
        try:
            if self._limit.grants():
                fault = self._faults.strike(operation, self._requests[operation])
            else:
                self._refused[operation] += 1
                fault = self._limit.refusal()
            right = partial(self._envelope, rule, request, self._clocks.now(request), fault)
            if fault is not None:
                return await self._faults.carry_out(fault, request, right)
            return envelope(await right())
        except (ConnectionError, web.RequestPayloadError):
            raise web.HTTPBadRequest(text="the body ended before its end") from None

    async def _envelope(self, rule: rules.Rule, request: web.Request, came: float, fault: Fault | None) -> bytes:
        said: dict[str, JSON] = {"errno": 10000, "errmsg": "OK"}
        try:
            check_headers(self._signer.app_id, request.headers, came)
            data = await self._answer(rule, request, fault)
            if data is not None:
                said["data"] = data
        except Refused as refused:
            said = {"errno": int(refused.errno), "errmsg": refused.errmsg}
        said["request_id"] = secrets.token_hex(16)
        await self._faults.delay(self._latency)
        return dumps(self._spell(said))

    async def _answer(self, rule: rules.Rule, request: web.Request, fault: Fault | None) -> JSON:
        """Answer a request by its rule. A GET of an endpoint that takes a body may have one in place of its query."""
        if (request.content_length or 0) > rule.limit or len(body := await request.read()) > rule.limit:
            raise Refused(Errno.PARAMETER, f"参数 request 的请求体超过 {rule.limit} 字节")
        check_signature(self._signer, self._secret, request, body)
        if request.method == "POST" or (body and rule.endpoint.method == "POST"):
            asked = rule.decode(request.headers.get("Content-Type", ""), body)
        else:
            asked = rules.from_query(request.query, rule.schema)
        fields, origin = rules.read(asked, rule.schema), str(request.url.origin())
        return rule.answer(rules.Asked(self._store, self._listing, self._files, origin, asked, fields, fault))

    async def _download(self, request: web.Request) -> web.StreamResponse:
        file_path = request.match_info["file_path"]
        if not self._files.is_good(file_path, request.query.get("expires", ""), request.query.get("token", "")):
            raise web.HTTPForbidden(text="the temporary URL has expired, or is none of this sandbox's")
        names = self._store.file(file_path)
        headers = download_headers(*names or ("", ""))
        if names is not None and (found := invented(file_path)) is not None:
            return web.Response(body=found[1].content, headers=headers)
        return web.FileResponse(self._files.path(file_path), headers=headers)


async def _let_connections_begin() -> None:
    """Let each connection that a caller has just opened begin: else asyncio would leave it open after the end."""
    # The first turn of the loop accepts the connection, the next two make its transport and protocol.
    for _ in range(3):
        await asyncio.sleep(0)


def _file(db: str | Path) -> Path:
    file = Path(path("db", db)).absolute()
    if not file.name:
        raise ConfigError(f"is {shown(db)}", argument="db", mend="it must be a file")
    return file
