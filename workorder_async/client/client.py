"""The client: one short coroutine per endpoint, and the walks over `list_tickets`."""

import asyncio
import os
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from ssl import SSLContext
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, TypeVar, Unpack
from urllib.parse import urlsplit
from weakref import WeakSet

from workorder_async.client.sendings import Sendings
from workorder_async.client.settling import Changed, Reads, carry_out, look, sending_of
from workorder_async.errors import ApiError, ConfigError, OutcomeUnknownError, ResponseError
from workorder_async.models import (
    Attachment,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    Mutation,
    PageRequest,
    RejectTicket,
    Ticket,
    TicketDetail,
    TicketPage,
    TicketQuery,
    TicketSummary,
)
from workorder_async.protocol import codec, endpoints
from workorder_async.protocol.endpoints import Endpoint, Safety
from workorder_async.protocol.envelope import Answer
from workorder_async.protocol.signing import SchemeSigner, Signer
from workorder_async.secret import Secret
from workorder_async.transport.bodies import FileBody, FileSource, JsonBody, OnProgress
from workorder_async.transport.deadline import Deadline
from workorder_async.transport.limits import ClientStats, Lane
from workorder_async.transport.options import SessionOptions
from workorder_async.transport.retry import RetryPolicy
from workorder_async.transport.session import SignedSession
from workorder_async.walks.options import WalkOptions
from workorder_async.walks.plan import WindowPlan
from workorder_async.walks.walk import Walk
from workorder_async.walks.window_walk import WhatToWalk, WindowWalk
from workorder_async.walks.windows import Window

if TYPE_CHECKING:
    from aiohttp import ClientSession

_EVERYTHING = TicketQuery()
# One creator's tickets since a mutation began: more than these pages are none that an honest server has.
_PAGES_OF_CREATED = 100


T = TypeVar("T", Ticket, TicketDetail)
D = TypeVar("D")
OnUnknown: TypeAlias = Literal["raise", "verify"]
"""What to do when a mutation was sent and no answer came back."""


class WorkorderClient:
    """A client of one platform: makes signed requests, at most `max_in_flight` at a time.

    Use it as `async with WorkorderClient(...) as client`, inside one event loop. Every coroutine raises errors of the
    tree in `workorder_async.errors` and no others.

    Arguments, all but the first two with defaults that suit a bot:

    * `base_url`: scheme, host, port and, where there is one, a path before /workorder/api/ticket.
    * `signer`: a `SchemeSigner`, or anything else with `sign(request) -> headers`.
    * `session`: an aiohttp session to use, which is not closed; by default the client has its own.
    * `max_in_flight`: requests under way at once; `rate`: requests started per second at most, None for no limit.
    * `connect_timeout`: seconds to reach the server, TLS and a proxy included; `attempt_timeout`: seconds for one
      attempt, from its slot to the last byte of the answer; `deadline`: seconds for a whole call, waiting, attempts and
      all. For `upload_file` the latter two begin anew with each piece the server takes.
    * `longest_pause`: seconds that a `Retry-After` of the server is obeyed at most.
    * `max_body`: bytes that an answer may have, unpacked.
    * `retry`: how failures that may be repeated are repeated.
    * `errnos`: what errnos mean, as {errno: class of ApiError}; the API document knows 23000 only.
    * `proxy`: URL of an HTTP proxy, also with user and password; `ssl`: an SSLContext, or False to accept any
      certificate; `trust_env`: take proxies from the environment and .netrc (own session only).
    * `now`: the clock, in seconds since the epoch.

    Raises `ConfigError` for an argument that cannot work. Warns (`RuntimeWarning`, once for each host) where plain HTTP
    would carry signatures to a host that is neither this machine nor named in the API document.
    """

    def __init__(
        self,
        base_url: str,
        *,
        signer: Signer,
        session: "ClientSession | None" = None,
        max_in_flight: int = 32,
        rate: float | None = None,
        connect_timeout: float = 10.0,
        attempt_timeout: float = 30.0,
        deadline: float = 90.0,
        longest_pause: float = 300.0,
        max_body: int = 64 << 20,
        retry: RetryPolicy | None = None,
        errnos: Mapping[int, type[ApiError]] | None = None,
        proxy: str | Secret | None = None,
        ssl: SSLContext | bool = True,
        trust_env: bool = False,
        now: Callable[[], float] = time,
    ) -> None:
        # Before anything can fail: a traceback with locals would show passwords in them.
        proxy = None if proxy is None else Secret(proxy)
        hidden_url = Secret(base_url)
        del base_url
        if not callable(getattr(signer, "sign", None)):
            raise ConfigError("signer must have a sign method; for example SchemeSigner(app_id, app_secret, scheme)")
        if session is not None and not callable(getattr(session, "request", None)):
            raise ConfigError(f"session is {session!r}; it must be an aiohttp.ClientSession")
        if session is not None and trust_env:
            raise ConfigError("trust_env belongs to the session; make the session you bring with trust_env=True")
        options = SessionOptions(
            max_in_flight=max_in_flight,
            rate=rate,
            connect_timeout=connect_timeout,
            attempt_timeout=attempt_timeout,
            deadline=deadline,
            longest_pause=longest_pause,
            max_body=max_body,
            retry=RetryPolicy() if retry is None else retry,
            errnos={} if errnos is None else errnos,
            proxy=proxy,
            ssl=ssl,
            trust_env=trust_env,
            now=now,
        )
        self._session = SignedSession(_checked_url(hidden_url), signer, options, session)
        _warn_of_plain_http(self._session.base_url)
        self._sendings = Sendings(self._session.clock.local)
        self._walks: WeakSet[Walk] = WeakSet()

    @classmethod
    def from_env(
        cls,
        environ: "Mapping[str, str | Secret] | None" = None,
        *,
        errnos: Mapping[int, type[ApiError]] | None = None,
    ) -> Self:
        """Make a client from WORKORDER_BASE_URL, WORKORDER_APP_ID, WORKORDER_APP_SECRET and WORKORDER_SIGN_SCHEME.

        They are taken from `environ`; None is the process's environment. `errnos` says what errnos mean, as for the
        class itself. Raises `ConfigError` that names each variable that is missing.
        """
        found = _variables(os.environ if environ is None else environ)
        # Else a traceback with locals would show the secret.
        del environ
        missing = [name for name, value in zip(_VARIABLES, found, strict=True) if not value.reveal().strip()]
        if missing:
            meanings = "; ".join(f"{name}: {_VARIABLES[name]}" for name in missing)
            raise ConfigError(f"missing in the environment: {', '.join(missing)}. {meanings}")
        base_url, app_id, secret, scheme = found
        signer = SchemeSigner(app_id.reveal().strip(), secret, scheme.reveal().strip())
        return cls(base_url.reveal().strip(), signer=signer, errnos=errnos)

    @property
    def base_url(self) -> str:
        """The base URL, without a slash at its end."""
        return self._session.base_url

    @property
    def clock_offset(self) -> float:
        """How many seconds the server's clock seems ahead of ours, by the `Date` of its answers.

        0 while they agree or nothing is known. Requests are signed by our own clock, until a signature is refused.
        """
        return self._session.clock.offset

    def stats(self) -> ClientStats:
        """Return what is under way at this moment, and what throttling has taught; inside the event loop only."""
        return self._session.stats()

    def now(self) -> float:
        """Return our own time, in seconds since the epoch, by the clock that the client was made with."""
        return self._session.clock.local()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the walks that are still under way, and close the connections; a session brought along stays open."""
        try:
            # Waits for all of them, also when this is cancelled.
            await asyncio.gather(*(walk.aclose() for walk in self._walks))
        finally:
            await self._session.aclose()

    async def list_tickets(self, query: TicketQuery = _EVERYTHING, *, page: int = 1, page_size: int = 10) -> TicketPage:
        """Read one page of the tickets that match (endpoint list_tickets 工单列表).

        `page` counts from 1. The server may give fewer rows than `page_size`: `pagination.page_size` tells.
        """
        return await _decoded(TicketPage, await self._read_page(PageRequest(query, page, page_size)))

    def walk(self, query: WhatToWalk = _EVERYTHING, **options: Unpack[WalkOptions]) -> Walk:
        """Return a walk over the tickets that match, for `async with`; it iterates over lists of tickets, page by page.

        `query` is a query, a window that `plan_windows` gave, or a list of such windows.

        Every ticket that matches from beginning to end comes exactly once, at up to `concurrency` requests at a time.
        `walk.report.exact` is true only where that follows without an assumption about what people do with tickets:
        for filters on created time and creator alone, which never change, and frozen; for a list of one page; and with
        `verify=True`. Else it is False, and `walk.report.reason` names the assumption and what would settle it: with a
        filter on status, a ticket that leaves and one that enters between the same two reads cancel out.

        Tickets come in the list's order, but for those that slid past the reader, which come with a later page; once
        many do, the rest is read from the list's end to its front, page by page, so that a moving list costs less than
        three times its pages. On a list that holds still it costs no request more than reading each page once, or one
        more where its last page is full: a total is no witness of the end. Lists of more than 10,000, and those whose
        deep pages are refused or whose total is capped, are walked in windows of created time.

        Raises `ConfigError` for an option that cannot work, and while iterating `WalkDriftError` where the list does
        not hold still or the server gives the same page for ever, besides what every request may raise.
        """
        rules = WindowWalk(query, **options)
        lane = Lane(rules.concurrency)
        clock = self._session.clock
        walk = Walk(rules, lambda request: self._read_page(request, lane), lambda: (clock.latest(), clock.ahead()))
        self._walks.add(walk)
        return walk

    async def iter_pages(
        self, query: WhatToWalk = _EVERYTHING, **options: Unpack[WalkOptions]
    ) -> AsyncGenerator[list[TicketSummary], None]:
        """Yield the tickets that match, a page at a time; see `walk`.

        Close it, as with `contextlib.aclosing`, to be rid of what is in flight at once after a `break`.
        """
        async with self.walk(query, **options) as walk:
            async for tickets in walk:
                yield tickets

    async def iter_tickets(
        self, query: WhatToWalk = _EVERYTHING, **options: Unpack[WalkOptions]
    ) -> AsyncGenerator[TicketSummary, None]:
        """Yield the tickets that match, one by one; see `walk` and `iter_pages`."""
        async with self.walk(query, **options) as walk:
            async for tickets in walk:
                for ticket in tickets:
                    yield ticket

    async def plan_windows(self, query: TicketQuery = _EVERYTHING, *, max_tickets: int = 5000) -> list[Window]:
        """Cut a query into windows of created time, from the earliest to the latest, of about `max_tickets` at most.

        For dividing work among processes, and for work that goes on where it stopped: together the windows own what
        `query` matches at the time of the plan, each ticket once. `client.walk(window)` gives the tickets of one. A
        second that alone holds more is one window, and so is everything where the server does not filter by created
        time. Costs one request, and one or two for each cut.
        """
        first = await self._read_page(PageRequest(query, 1, 100))
        plan = WindowPlan(Window(query), max_tickets=max_tickets, now=self._session.clock.latest(), first=first)

        async def ask(request: PageRequest) -> None:
            plan.receive(request, await self._read_page(request))

        try:
            while not plan.finished:
                async with asyncio.TaskGroup() as group:
                    while (request := plan.next_request()) is not None:
                        group.create_task(ask(request))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return plan.windows()

    async def get_ticket(self, id: int) -> Ticket:
        """Read a ticket's base record (endpoint base 根据工单id获取工单基本信息)."""
        return await self._get(endpoints.GET_TICKET, Ticket, id)

    async def get_ticket_detail(self, id: int) -> TicketDetail:
        """Read everything about a ticket (endpoint detail 根据工单id获取工单详情信息).

        The URLs in its attachments are good for about 600 seconds.
        """
        return await self._get(endpoints.GET_TICKET_DETAIL, TicketDetail, id)

    async def create_ticket(self, ticket: CreateTicket, *, on_unknown: OnUnknown = "raise") -> int:
        """Create a ticket and return its id (endpoint create 创建工单).

        Never sent twice: where it was sent and no answer came back, raises `OutcomeUnknownError`; with
        `on_unknown="verify"` only after looking for the new ticket in vain.
        """
        return (await self.change(_only(CreateTicket, ticket), on_unknown=on_unknown)).ticket_id

    async def comment_ticket(self, comment: CommentTicket, *, on_unknown: OnUnknown = "raise") -> None:
        """Comment on a ticket (endpoint comment_ticket 评论工单).

        Never sent twice: where it was sent and no answer came back, raises `OutcomeUnknownError`; with
        `on_unknown="verify"` only after looking for the comment in vain.
        """
        await self.change(_only(CommentTicket, comment), on_unknown=on_unknown)

    async def reject_ticket(self, rejection: RejectTicket) -> None:
        """Reject a ticket on behalf of a product line (endpoint reject_handle 拒绝工单).

        Where no answer came back, looks at the ticket, and sends again if it did not happen; raises
        `OutcomeUnknownError` where that cannot be known.
        """
        await self.change(_only(RejectTicket, rejection))

    async def close_ticket(self, close: CloseTicket) -> None:
        """Close a ticket (endpoint close_ticket 关闭工单); only its creator may.

        Where no answer came back, looks at the ticket, and sends again if it did not happen. Raises `TicketStateError`
        (errno 23000) where its status does not allow it, `OutcomeUnknownError` where the outcome cannot be known.
        """
        await self.change(_only(CloseTicket, close))

    async def change(
        self,
        mutation: Mutation,
        *,
        on_unknown: OnUnknown = "raise",
        on_send: Callable[[], None] | None = None,
        on_turned_away: Callable[[], None] | None = None,
        began: float | None = None,
        lane: Lane | None = None,
        until: Deadline | None = None,
    ) -> Changed:
        """Carry out any of the four mutations, as the coroutine of its own does, and return what is known of it.

        Everything it takes, looking included, is within one deadline: `until`, or that of the client. Calls of one
        `lane` give way to calls without one. For whoever keeps a record of what may have been sent:

        * `on_send` is called just before a request with the mutation is written, each time. Where it was not called, a
          call that was cancelled has changed nothing. Where it raises `NotSentError`, nothing is written.
        * `on_turned_away` is called when such a request was answered with "too many requests" or with a refused
          signature: it changed nothing, and may be written again.
        * `began` is when you wrote down that you would send it, by `client.now()`: an `OutcomeUnknownError` that you
          make with it later is about this very mutation.
        """
        endpoint = _ENDPOINTS.get(type(mutation))
        if endpoint is None:
            known = ", ".join(kind.__name__ for kind in _ENDPOINTS)
            raise ConfigError(f"a {type(mutation).__name__} is no mutation; use one of {known}")
        if on_unknown not in ("raise", "verify"):
            raise ConfigError(f"on_unknown is {on_unknown!r}; it must be 'raise' or 'verify'")
        sending = sending_of(mutation, began)

        def note_write() -> None:
            if on_send is not None:
                on_send()
            self._sendings.enter(sending)

        def note_turned_away() -> None:
            self._sendings.drop(sending)
            if on_turned_away is not None:
                on_turned_away()

        body = JsonBody(codec.to_json(codec.encode(mutation)), note_write, note_turned_away)
        until = self._session.deadline() if until is None else until
        return await carry_out(
            mutation,
            lambda attempts: self._session.call(endpoint, body=body, lane=lane, until=until, attempts=attempts),
            self._reads(until, lane),
            self._sendings,
            sending,
            looks=on_unknown == "verify" or endpoint.safety is Safety.CONVERGENT,
            may_repeat=self._session.may_repeat,
        )

    async def settle(
        self, error: OutcomeUnknownError, *, lane: Lane | None = None, until: Deadline | None = None
    ) -> bool | None:
        """Do what `error.verify(client)` does; see there. `lane` and `until` are as those of `change`."""
        until = self._session.deadline() if until is None else until
        return await look(error, self._reads(until, lane), self._sendings)

    def deadline(self) -> Deadline:
        """Return when a call that begins now must have ended."""
        return self._session.deadline()

    def _reads(self, until: Deadline, lane: Lane | None) -> Reads:
        read_page = partial(self._read_page, until=until, lane=lane)

        async def created(creator_id: int, since: int) -> list[TicketSummary]:
            query, rows = TicketQuery(creator_id=creator_id, created_start=since), dict[int, TicketSummary]()
            for number in range(1, _PAGES_OF_CREATED + 1):
                page = codec.decode(TicketPage, await read_page(PageRequest(query, number, 100)))
                known = len(rows)
                rows.update((row.id, row) for row in page.tickets)
                # Neither a total nor a page that repeats itself is trusted to be the end, or not to be it.
                if len(rows) == known or (len(page.tickets) < 100 and len(rows) >= page.pagination.total):
                    return list(rows.values())
            raise ResponseError(f"the list of what was created since does not end after {_PAGES_OF_CREATED} pages")

        async def offset() -> float:
            if not self._session.clock.is_known:
                await read_page(PageRequest(page_size=1))
            return self._session.clock.safe_offset

        return Reads(
            ticket=partial(self._get, endpoints.GET_TICKET, Ticket, until=until, lane=lane),
            detail=partial(self._get, endpoints.GET_TICKET_DETAIL, TicketDetail, until=until, lane=lane),
            created=created,
            offset=offset,
        )

    async def upload_file(
        self,
        source: FileSource,
        *,
        file_name: str | None = None,
        file_type: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Attachment:
        """Upload a file, streamed from the disk, for `CreateTicket` or `CloseTicket` (endpoint upload_file 上传附件).

        `source` is a path, bytes, or a file object opened with 'rb' that can seek. Name and MIME type are taken from it
        unless given; bytes need a `file_name`. `on_progress(sent, total)` is told of bytes of the file; a second
        attempt begins at the start again.
        """
        body = await asyncio.to_thread(
            FileBody, source, file_name=file_name, file_type=file_type, on_progress=on_progress
        )
        return codec.decode(Attachment, await self._session.call(endpoints.UPLOAD_FILE, body=body))

    async def _read_page(self, request: PageRequest, lane: Lane | None = None, until: Deadline | None = None) -> Answer:
        body = JsonBody(codec.encode_page_request(request))
        return await self._session.call(endpoints.LIST_TICKETS, body=body, lane=lane, until=until)

    async def _get(
        self, endpoint: Endpoint, model: type[T], id: int, until: Deadline | None = None, lane: Lane | None = None
    ) -> T:
        if isinstance(id, bool) or not isinstance(id, int) or not 1 <= id < 2**63:
            raise ConfigError(f"{endpoint.operation}: id is {id!r}; it must be a ticket's number, from 1")
        answer = await self._session.call(endpoint, query=(("id", str(id)),), until=until, lane=lane)
        ticket = await _decoded(model, answer)
        if ticket.id != id:
            raise ResponseError(
                f"asked for ticket {id}, and answered with ticket {ticket.id}: a cache or gateway mixes answers up",
                status=200,
                operation=answer.operation,
                attempts=answer.attempts,
                request_id=answer.request_id,
            )
        return ticket


_ENDPOINTS: Mapping[type, Endpoint] = {
    CreateTicket: endpoints.CREATE_TICKET,
    CommentTicket: endpoints.COMMENT_TICKET,
    RejectTicket: endpoints.REJECT_TICKET,
    CloseTicket: endpoints.CLOSE_TICKET,
}
M = TypeVar("M", CreateTicket, CommentTicket, RejectTicket, CloseTicket)


def _only(kind: type[M], mutation: M) -> M:
    if not isinstance(mutation, kind):
        operation = _ENDPOINTS[kind].operation
        raise ConfigError(f"{operation} takes a {kind.__name__}, not a {type(mutation).__name__}")
    return mutation


_VARIABLES = {
    "WORKORDER_BASE_URL": "the platform's URL, such as http://workorder.example.com",
    "WORKORDER_APP_ID": "the AppId you were given",
    "WORKORDER_APP_SECRET": "the secret given with it",
    "WORKORDER_SIGN_SCHEME": (
        "how requests are signed, such as md5:{app_id}{timestamp}{secret}; the algorithm is not in the public API "
        "document, and `workorder sign detect` finds it from one request known to be accepted"
    ),
}


def _variables(environ: "Mapping[str, str | Secret]") -> list[Secret]:
    """Pick the four variables, each hidden; what is no text is as good as missing."""
    picked = (environ.get(name) for name in _VARIABLES)
    return [Secret(value if isinstance(value, str | Secret) else "") for value in picked]


async def _decoded(model: type[D], answer: Answer) -> D:
    """Decode an answer; a large one in a thread, where it does not hold up the event loop."""
    return await asyncio.to_thread(codec.decode, model, answer) if answer.large else codec.decode(model, answer)


_DOCUMENTED_HOSTS = ("workorder.crius.api.ksyun.com", "stage.mplatform.process.ksyun.com")
_warned_of: set[str] = set()


def _warn_of_plain_http(base_url: str) -> None:
    host = urlsplit(base_url).hostname or ""
    local = host == "localhost" or host.endswith(".localhost") or host == "::1" or host.startswith("127.")
    if base_url.startswith("https:") or local or host in _DOCUMENTED_HOSTS or host in _warned_of:
        return
    _warned_of.add(host)
    warnings.warn(
        f"plain HTTP to {host}: everybody on the way can read and repeat signed requests; use https:// where it is "
        "spoken, or a tunnel",
        RuntimeWarning,
        stacklevel=3,
    )


def _checked_url(base_url: Secret) -> str:
    """Return it without a slash at its end. It is hidden until it is known that no password is in it."""
    if complaint := _complaint_of(base_url.reveal()):
        raise ConfigError(complaint)
    return base_url.reveal().rstrip("/")


def _complaint_of(base_url: object) -> str:
    """Say why this can be no base URL; "" where it can. Raises nothing: an error would show it in its frames."""
    if not isinstance(base_url, str):
        what = f"a {type(base_url).__name__}" if isinstance(base_url, bytes | bytearray) else repr(base_url)
        return f"base_url is {what}; it must be text, such as 'http://localhost:8011'"
    if "@" in base_url:
        return (
            "base_url has an @: it must have no user, query or fragment; remove them, and write %40 for an @ in a path"
        )
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as error:
        return f"base_url {base_url!r} cannot be read: {error}; such as http://localhost:8011"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or base_url != base_url.strip():
        return f"base_url {base_url!r} must be http:// or https:// and a host, such as http://localhost:8011"
    if parts.query or parts.fragment:
        return f"base_url {parts.scheme}://{parts.hostname} must have no user, query or fragment; remove them"
    return ""
