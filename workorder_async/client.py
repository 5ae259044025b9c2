"""The client: one short coroutine per endpoint, the walks over `list_tickets`, and its life from `async with` on."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from math import inf
from ssl import SSLContext
from time import perf_counter
from typing import Final, Literal, Never, NoReturn, Self, TypeAlias, Unpack, cast, get_args
from weakref import WeakSet

from attrs import frozen

from workorder_async import arguments, environment, errors
from workorder_async.arguments import Check
from workorder_async.document import (
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
    codec,
    endpoints,
)
from workorder_async.document.envelope import Answer
from workorder_async.document.requests import SECONDS_MAX
from workorder_async.errors import AuthenticationError, ConfigError, NotSentError, Settlement, WorkorderError
from workorder_async.mutations.kinds import Prepared, only, prepare
from workorder_async.mutations.memory import EarlierRun
from workorder_async.mutations.sending import Changed, MutationSender
from workorder_async.secret import Secret
from workorder_async.signing.clock import Ahead
from workorder_async.signing.scheme import Signer, SigningInput
from workorder_async.tasks import for_each
from workorder_async.walks.options import WalkOptions, refuse_unknown, walk_options
from workorder_async.walks.pages import Ask, Page, PageReader, Proofs
from workorder_async.walks.walk import Walk, check_filters, hidden_filters
from workorder_async.walks.windows import WhatToWalk, Window, plan_windows, window_of
from workorder_async.wire.bodies import BeforeWrite, FileBody, FileSource, OnProgress
from workorder_async.wire.call import Deadline
from workorder_async.wire.limits import ClientStats, Lane
from workorder_async.wire.options import ClientOptions, client_options, hide_passwords, trusting
from workorder_async.wire.reads import ListReads, Reads, ticket_number
from workorder_async.wire.session import SignedSession

_EVERYTHING = TicketQuery()
OnUnknown: TypeAlias = Literal["raise", "verify"]
"""The action when a mutation was sent and no clear answer came back."""


@frozen
class Ping:
    """How a platform answered just now."""

    latency: float
    """Seconds from the call to its answer, with its wait for a slot and its repetitions."""
    clock_offset: float | None
    """How many seconds the server's clock seems ahead of ours; None where no answer has told its time yet."""


class MadeOfVariables:
    """A client, with coroutines or without: it can be made of the environment, and cannot be copied."""

    def __init__(self, base_url: str, *, signer: Signer, **options: Unpack[ClientOptions]) -> None:
        """Make a client of one platform; both classes take these arguments."""

    @classmethod
    def from_env(cls, environ: "Mapping[str, str | Secret] | None" = None, **options: Unpack[ClientOptions]) -> Self:
        """Make a client from WORKORDER_BASE_URL, WORKORDER_APP_ID, WORKORDER_APP_SECRET and WORKORDER_SIGN_SCHEME.

        They are taken from `environ`; None is the process's environment. WORKORDER_ERRNOS may map the platform's own
        errnos to errors: 90001=AuthenticationError,90005=NotFoundError. WORKORDER_CA_BUNDLE may name a file for `ssl`.
        `options` are those of the class itself. Raises `ConfigError` that names each variable that is missing.
        """
        hide_passwords(options)
        if not isinstance(environ, Mapping | None):
            kind, environ = type(environ).__name__, None
            raise ConfigError(f"is a {kind}", argument="environ", mend="it must be a mapping, such as os.environ")
        # Otherwise a traceback with locals would show the secret.
        environ = environment.hidden(environ)
        found = environment.variables(environ)
        errnos, bundle = (environment.setting(name, environ) for name in (environment.ERRNOS, environment.CA_BUNDLE))
        known, given = environment.errnos_of(errnos), options.get("errnos")
        if given is None or isinstance(given, Mapping):
            options["errnos"] = {**known, **(given or {})}
        if bundle and "ssl" not in options:
            options["ssl"] = trusting(environment.CA_BUNDLE, bundle)
        base_url, signer = environment.platform_of(found)
        return cls(base_url.reveal(), signer=signer, **options)

    def __reduce__(self) -> NoReturn:
        # The end of a copy would be the end of the connections that both use.
        raise ConfigError("a client is not copied or pickled", mend="make one where it is needed")


class WorkorderClient(MadeOfVariables):
    """A client of one platform: makes signed requests, at most `max_in_flight` at a time.

    Use it as `async with WorkorderClient(...) as client`, inside one event loop. Every coroutine raises errors of the
    tree in `workorder_async.errors`, and a TypeError for an argument that does not exist. Arguments:

    * `base_url`: scheme, host, port and, where there is one, a path before /workorder/api/ticket.
    * `signer`: a `SchemeSigner`, or anything else with `sign(request) -> headers`.
    * `options`: see `ClientOptions`; each has a default that suits a bot.

    Raises `ConfigError` for an argument that cannot work. Warns (`RuntimeWarning`, once for each host) where plain HTTP
    would carry signatures to a host that is neither this machine nor named in the API document.

    **Time.** Each coroutine takes a `deadline`, in seconds for all of it: the wait for a slot, attempts, pauses and
    reads; None is the client's own. A read that is not answered by then raises `DeadlineExceededError`; a mutation
    `NotSentError` where nothing was sent, else `OutcomeUnknownError`, which `verify` can settle. Use it for mutations
    instead of `asyncio.timeout`: a mutation that is cancelled cannot tell its outcome.
    """

    def __init__(self, base_url: str, *, signer: Signer, **options: Unpack[ClientOptions]) -> None:
        # Before anything can fail: a traceback with locals would show passwords in them.
        hide_passwords(options)
        hidden_url = Secret(base_url)
        del base_url
        if isinstance(signer, type) or not callable(getattr(signer, "sign", None)):
            mend = "for example SchemeSigner(app_id, app_secret, scheme)"
            raise ConfigError("must have a sign method", argument="signer", mend=mend)
        complete, url = client_options(**options), environment.checked_url(hidden_url)
        if complete["trust_env"] and complete["proxy"] is None:
            complete["proxy"] = environment.proxy_for(url)
        self._session = SignedSession(url, signer, complete)
        self._signer = signer
        environment.warn_of_plain_http(self._session.base_url)
        self._mutations = MutationSender(self._session)
        self._walks: WeakSet[Walk] = WeakSet()
        self._proofs = Proofs()
        self._checking = asyncio.Lock()  # held by the walk that tries filters

    @property
    def base_url(self) -> str:
        """The base URL, without a slash at its end."""
        return self._session.base_url

    @property
    def app_id(self) -> str:
        """The AppId of the requests: the signer's `app_id`, or if it has none, that of the headers that it makes.

        Raises `NotSentError` if the signer fails.
        """
        known = getattr(self._signer, "app_id", None)
        if isinstance(known, str):
            return known
        try:
            headers = self._signer.sign(SigningInput("GET", "/", timestamp_ms=int(self.now() * 1000)))
        except Exception as error:
            raise NotSentError(f"the signer failed: {type(error).__name__}: {error}") from error
        if not isinstance(headers, Mapping):
            return ""  # every request is refused for that
        return next((value for name, value in headers.items() if str(name).lower() == "appid"), "")

    @property
    def proxy(self) -> Secret | None:
        """The URL of the proxy that the client was made with, for requests to other hosts; None for none."""
        proxy = self._session.options["proxy"]
        return None if proxy is None else Secret(proxy)

    @property
    def ssl(self) -> SSLContext | bool:
        """The certificates that the client was made with; True for the usual checks, False for any certificate."""
        return cast("SSLContext | bool", self._session.options["ssl"])

    @property
    def clock_offset(self) -> float:
        """How many seconds the server's clock seems ahead of ours, by the `Date` of its answers.

        0 while they agree or nothing is known. Requests are signed by our own clock, until a signature is refused.
        """
        return self._session.clock.offset

    def stats(self) -> ClientStats:
        """Return the calls under way now, and the limits learned from throttling; inside the event loop only."""
        return self._session.limiter.stats()

    def now(self) -> float:
        """Return our own time, in seconds since the epoch, by the clock that the client was made with."""
        return self._session.clock.local()

    def ahead(self) -> Ahead | None:
        """Return how far the server's clock is ahead of `now()`; None where that is not known."""
        return self._session.clock.ahead()

    @property
    def attempt_timeout(self) -> float:
        """How many seconds one attempt may take, and its request may be carried out."""
        return self._session.options["attempt_timeout"]

    def deadline(self, seconds: float | None = None) -> Deadline:
        """Return the deadline of calls that begin now: after so many seconds, or after those of the client.

        Raises `ConfigError` unless it is a number above 0.
        """
        return self._session.deadline(seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the walks that are still under way, and close the connections; a session brought along stays open."""
        try:
            # Waits for all of them, also when this is cancelled.
            await asyncio.gather(*(walk.aclose() for walk in self._walks))
        finally:
            await self._session.aclose()

    async def ping(self, *, deadline: float | None = None) -> Ping:
        """Read one row of the list, and tell how long that took: for health checks.

        It is signed and repeated like any other read. Raises the errors of every read, such as `AuthenticationError`,
        also where the AppId has no right to the list.
        """
        began = perf_counter()
        await self._reads(deadline).answer(PageRequest(page_size=1))
        clock = self._session.clock
        return Ping(perf_counter() - began, clock.offset if clock.is_known else None)

    async def list_tickets(
        self,
        query: TicketQuery = _EVERYTHING,
        *,
        page: int = 1,
        page_size: int = 10,
        deadline: float | None = None,
        **unknown: Never,
    ) -> TicketPage:
        """Read one page of the tickets that match (endpoint list_tickets 工单列表).

        `page` counts from 1. The server may give fewer rows than `page_size`: `pagination.page_size` tells. A filter in
        place of a query is a `TypeError` that says how to write it.
        """
        refuse_unknown(unknown, ("page", "page_size", "deadline"), "list_tickets")
        return await self._reads(deadline).page(PageRequest(query, page, page_size))

    async def count_tickets(self, query: TicketQuery = _EVERYTHING, *, deadline: float | None = None) -> int:
        """Return how many tickets match, by the list's own total; one request, and no row of it is read."""
        pagination, _, _ = codec.read_rows(await self._reads(deadline).answer(PageRequest(query, page_size=1)), [])
        return pagination.total

    def walk(self, query: WhatToWalk = _EVERYTHING, **options: Unpack[WalkOptions]) -> Walk:
        """Return a walk over the tickets that match, for `async with`; it iterates over lists of tickets, page by page.

        `query` is a query, or a window that `plan_windows` gave.

        Every ticket that matches from beginning to end comes exactly once, at up to `concurrency` requests at a time,
        though tickets are created, closed or reopened meanwhile; `walk.report.exact` says whether that could be seen.
        It may be True for every filter. It is False where more tickets than a page shows share a second and move, where
        no ticket came again at an edge, and where tickets have no created time or the list counts more than it shows;
        `walk.report.reason` says which. Four assumptions remain. A ticket that a replica or a cache of the server does
        not show yet is not seen. A list whose pages and totals look sorted by created time is sorted. A list whose
        first page counts as many tickets as it shows, and no round number, is whole. A filter that is left out leaves
        nothing out.

        Tickets come in the list's order, as far as it has one by created time. A list that is sorted by it and holds
        still costs about 1.05 requests a page, one that moves some more, one in no order about 1.7.

        A row that does not match the query is left out, since a filter may ask an index that is behind; then `exact` is
        False. No row shows a creator or a product line: the first walk with such a filter asks for a value of it that
        no ticket can have.

        Raises `ConfigError` for an option that cannot work, and while iterating `ResponseError` where most rows of an
        answer do not match the query, or the server ignores such a filter, besides the errors of every request.
        """
        settings, window = walk_options(**options), window_of(query)
        reads = ListReads(self._session, window.query, Lane(settings["concurrency"]))
        check = partial(self.list_tickets, page_size=1)

        def read(ask: Ask) -> Awaitable[Answer]:
            return reads.read(ask.start, ask.end, ask.page, ask.size)

        async def read_if_kept(ask: Ask) -> Answer:
            async with self._checking:
                await check_filters(check, window.query, self._proofs)
            return await read(ask)

        walk = Walk(window, settings, read_if_kept if hidden_filters(window.query) else read, self._proofs)
        self._walks.add(walk)
        return walk

    async def iter_pages(
        self, query: WhatToWalk = _EVERYTHING, **options: Unpack[WalkOptions]
    ) -> AsyncGenerator[list[TicketSummary], None]:
        """Yield the tickets that match, a page at a time; see `walk`.

        Close it, as with `contextlib.aclosing`, to cancel its requests at once after a `break`.
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

    async def plan_windows(
        self, query: WhatToWalk = _EVERYTHING, *, max_tickets: int = 5000, deadline: float | None = None
    ) -> list[Window]:
        """Cut a query, or a window of one, into windows of created time of about `max_tickets`, the earliest first.

        For dividing work among processes: together the windows own the tickets that `query` matches at the time of the
        plan, each once. `client.walk(window)` gives the tickets of one. The plan asks for one total for some four
        windows, so where tickets lie unevenly a window may hold up to eight times as many. A second that alone holds
        more is one window, and so is everything where the server does not filter by created time. Without a `deadline`
        each request has its own.
        """
        until = None if deadline is None else self.deadline(deadline)
        whole = window_of(query)
        reads = ListReads(self._session, whole.query, until=until)
        reader = PageReader(whole.query, skips=True, raw=True)

        async def read(ask: Ask) -> Page:
            return reader.read(ask, await reads.read(ask.start, ask.end, ask.page, ask.size))

        return await plan_windows(whole, read, max_tickets=max_tickets, now=self._session.clock.latest())

    async def get_ticket(self, id: int, *, deadline: float | None = None) -> Ticket:
        """Read a ticket's base record (endpoint base 根据工单id获取工单基本信息)."""
        return await self._reads(deadline).ticket(id)

    async def get_tickets(
        self, ids: Iterable[int], *, concurrency: int = 8, deadline: float | None = None
    ) -> dict[int, Ticket | WorkorderError]:
        """Read several base records, `concurrency` at a time; each id gets its ticket, or the error of its read.

        An id that is given twice is read once. Raises `AuthenticationError`, and `ConfigError` for a value that is
        no ticket's number: then the others are not read either. Without a `deadline` each read has its own.
        """
        until = None if deadline is None else self.deadline(deadline)
        lane = Lane(arguments.whole("concurrency", concurrency))
        arguments.must_be("a list of tickets' numbers", _is_list)("ids", ids)
        ids = dict.fromkeys(ticket_number(id, endpoints.GET_TICKET.operation) for id in ids)
        reads = Reads(self._session, until, lane)

        async def read(id: int) -> Ticket | WorkorderError:
            try:
                return await reads.ticket(id)
            except (AuthenticationError, ConfigError):
                raise
            except WorkorderError as error:
                return error

        return dict(zip(ids, await for_each(ids, read, at_once=concurrency), strict=True))

    async def get_ticket_detail(
        self, id: int, *, deadline: float | None = None, lane: Lane | None = None
    ) -> TicketDetail:
        """Read everything about a ticket (endpoint detail 根据工单id获取工单详情信息).

        The URLs in its attachments are good for about 600 seconds. Calls of one `lane` give way to calls without one.
        """
        _check(lane=(lane, _LANE))
        return await self._reads(deadline, lane).detail(id)

    async def create_ticket(
        self, ticket: CreateTicket, *, on_unknown: OnUnknown = "raise", mark: str = "", deadline: float | None = None
    ) -> int:
        """Create a ticket and return its id (endpoint create 创建工单).

        The ticket is never created twice. If it was sent, and no clear answer came back, this raises
        `OutcomeUnknownError`: at once, or with `on_unknown="verify"` after looking for the new ticket in vain. `mark`
        is as for `change`.
        """
        change = await self.change(only(CreateTicket, ticket), on_unknown=on_unknown, mark=mark, deadline=deadline)
        return change.ticket_id

    async def comment_ticket(
        self, comment: CommentTicket, *, on_unknown: OnUnknown = "raise", mark: str = "", deadline: float | None = None
    ) -> None:
        """Comment on a ticket (endpoint comment_ticket 评论工单).

        The comment is never made twice. If it was sent, and no clear answer came back, this raises
        `OutcomeUnknownError`: at once, or with `on_unknown="verify"` after looking for the comment in vain. `mark` is
        as for `change`.
        """
        await self.change(only(CommentTicket, comment), on_unknown=on_unknown, mark=mark, deadline=deadline)

    async def reject_ticket(self, rejection: RejectTicket, *, deadline: float | None = None) -> None:
        """Reject a ticket on behalf of a product line (endpoint reject_handle 拒绝工单).

        If no clear answer came back, this reads the ticket again and again, and sends the rejection again once it is
        proven that it did not happen: that takes as long as an attempt may. Raises `OutcomeUnknownError` where the
        outcome cannot be known.
        """
        await self.change(only(RejectTicket, rejection), deadline=deadline)

    async def close_ticket(self, close: CloseTicket, *, deadline: float | None = None) -> None:
        """Close a ticket (endpoint close_ticket 关闭工单); only its creator may.

        If no clear answer came back, this reads the ticket again and again, and sends the close again once it is proven
        that it did not happen: that takes as long as an attempt may. Raises `TicketStateError` (errno 23000) where the
        ticket's status does not allow it, `OutcomeUnknownError` where the outcome cannot be known.
        """
        await self.change(only(CloseTicket, close), deadline=deadline)

    async def change(
        self,
        mutation: Mutation | Prepared,
        *,
        on_unknown: OnUnknown = "raise",
        mark: str = "",
        patient: bool = True,
        on_send: Callable[[], None] | None = None,
        on_turned_away: Callable[[], None] | None = None,
        may_send: BeforeWrite | None = None,
        began: float | None = None,
        lane: Lane | None = None,
        deadline: float | None = None,
        until: Deadline | None = None,
    ) -> Changed:
        """Send any of the four mutations, as its own coroutine does, and return its result.

        `mark` is a short reference of yours, a new one for each comment or creation. It is sent on a line of its own
        below the text, where people see it, and decides where nothing else can: a lost mutation whose mark is found has
        happened; it has not if its mark is not there after the longest time of an attempt, where others like it are
        shown. Calls of one `lane` give way to calls without one. `until` goes before `deadline`: several calls can
        share one that `client.deadline(seconds)` made. For callers that keep a record of sent mutations:

        * `on_send` is called just before each request with the mutation is written. If it was not called, a call that
          was cancelled has changed nothing. `may_send` is awaited before `on_send`. Exceptions of both stop the call.
        * `on_turned_away` is called when such a request was answered with "too many requests" or with a refused
          signature: it changed nothing, and may be written again. Its exceptions stop the call as well.
        * `began` is when you wrote down that you would send it, by `client.now()`; `settle(mutation, began)` takes it.
        * Without `patient` this looks for a lost mutation once, and leaves later looks to you.
        """
        prepared = prepare(mutation, mark)
        arguments.one_of("on_unknown", on_unknown, get_args(OnUnknown))
        _check(lane=(lane, _LANE), until=(until, _DEADLINE), began=(began, _BEGAN), patient=(patient, arguments.flag))
        _check(on_send=(on_send, _PLAIN), on_turned_away=(on_turned_away, _PLAIN), may_send=(may_send, _ASYNC))
        return await self._mutations.send(
            prepared,
            on_send,
            on_turned_away,
            settles=on_unknown == "verify" or prepared.kind.converges,
            patient=patient,
            until=self.deadline(deadline) if until is None else until,
            began=began,
            lane=lane,
            may_send=may_send,
        )

    async def settle(
        self,
        mutation: Mutation | Prepared,
        began: float,
        *,
        mark: str = "",
        ahead: Ahead | None = None,
        run: EarlierRun | None = None,
        patient: bool = False,
        lane: Lane | None = None,
        deadline: float | None = None,
        until: Deadline | None = None,
    ) -> Settlement:
        """Find out by reading whether a mutation happened that was sent at `began`, by `client.now()`.

        The mutation happened if its sign is found: of a close its time and solution, of a rejection or comment its text
        in the ticket's history, of a creation a ticket of its creator with its texts; each in the time in which it was
        under way, by the server's clock. A sign that another mutation of this client left, or may have left, does not
        count. It did not happen if a look after the longest time of an attempt shows nothing new on the ticket; this
        proves it for closes, rejections, and mutations with a `mark`. Until then it is not known yet, and `again`
        says when to ask once more; with `patient` this does so itself until the deadline. A read that fails
        leaves it unknown. A client that is closed raises `ConfigError`.

        `ahead` is the value of `client.ahead()` at `began`; without it, our clock must not have been set since. `run`
        is another program that sent it, as a journal knows it. With `began=inf`, for a close or rejection that was not
        sent, it tells `holds` alone. `lane` and `until` are as for `change`.
        """
        prepared = prepare(mutation, mark)
        _BEGAN("began", began)
        _check(ahead=(ahead, _AHEAD), run=(run, _RUN), lane=(lane, _LANE), until=(until, _DEADLINE))
        arguments.flag("patient", patient)
        # Without this check a closed client would say for ever that it is not known yet.
        self._session.check_usable()
        until = self.deadline(deadline) if until is None else until
        sending, reads = self._mutations.find(prepared, began, ahead, run), Reads(self._session, until, lane)
        return await self._mutations.look(prepared.mutation, sending, reads, until, patient=patient)

    async def upload_file(
        self,
        source: FileSource,
        *,
        file_name: str | None = None,
        file_type: str | None = None,
        on_progress: OnProgress | None = None,
        deadline: float | None = None,
    ) -> Attachment:
        """Upload a file, streamed from the disk, for `CreateTicket` or `CloseTicket` (endpoint upload_file 上传附件).

        `source` is a path, bytes, or a file object opened with 'rb' that can seek: it is read from where it stands, by
        one upload at a time. Name and MIME type are taken from it unless given; bytes need a `file_name`.
        `on_progress(sent, total)` is told of bytes of the file; a second attempt begins at the start again. If it
        fails, that is a `ConfigError`, and the upload ends. A deadline does not cut off a file of which the server
        still takes pieces: it lets no further attempt begin.
        """
        until = self.deadline(deadline)
        try:
            async with asyncio.timeout_at(until.until):
                body = await asyncio.to_thread(
                    FileBody, source, file_name=file_name, file_type=file_type, on_progress=on_progress
                )
        except TimeoutError:
            late = f"no answer within {until.seconds:g} s, in which the file could not even be looked at"
            raise errors.DeadlineExceededError(late, operation=endpoints.UPLOAD_FILE.operation) from None
        try:
            return codec.decode_uploaded(await self._session.call(endpoints.UPLOAD_FILE, body=body, until=until))
        finally:
            body.leave()

    def _reads(self, deadline: float | None, lane: Lane | None = None) -> Reads:
        return Reads(self._session, self._session.deadline(deadline), lane)


with_coroutines: Final = arguments.must_be(
    "a WorkorderClient with coroutines; within a blocking one that is client.run(lambda client: ...)",
    lambda client: isinstance(client, WorkorderClient),
)
"""Returns a client. A blocking one is refused: with it a mutation would be sent, and its outcome lost."""


def _check(**given: tuple[object, Check]) -> None:
    """Raise `ConfigError` for an argument that is neither None nor passes its check."""
    for name, (value, check) in given.items():
        if value is not None:
            check(name, value)


def _is_list(given: object) -> bool:
    return isinstance(given, Iterable) and not isinstance(given, str | bytes | bytearray)


def _of(kind: type) -> Check:
    return arguments.must_be(f"of the class {kind.__name__}", lambda value: isinstance(value, kind))


_LANE, _DEADLINE, _AHEAD, _RUN = _of(Lane), _of(Deadline), _of(Ahead), _of(EarlierRun)
_PLAIN: Final = arguments.function
_ASYNC: Final = arguments.must_be("an `async def`", callable)
_BEGAN: Final = arguments.must_be(
    "seconds since the epoch, as client.now() gives them",
    lambda value: arguments.is_number(value) and (value == inf or -inf < value <= SECONDS_MAX),
)
