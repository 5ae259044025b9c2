"""The sandbox over HTTP: the eight endpoints of the API document, and the temporary URLs of uploaded files.

Every request to an endpoint goes the same way: it is counted, and may meet a fault; its headers, body and signature are
checked, its parameters are read by `rules`, the store answers in its own thread, and the envelope goes out.
"""

import asyncio
import secrets
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from typing import TypeAlias, TypeVar

from aiohttp import web
from attrs import field, frozen

from workorder_async.document import JSON
from workorder_async.document.endpoints import (
    CLOSE_TICKET,
    COMMENT_TICKET,
    CREATE_TICKET,
    GET_TICKET,
    GET_TICKET_DETAIL,
    LIST_TICKETS,
    REJECT_TICKET,
    UPLOAD_FILE,
    Endpoint,
)
from workorder_async.document.json_text import dumps
from workorder_async.sandbox import breaking, changes, rules, shapes
from workorder_async.sandbox.clocks import Clocks
from workorder_async.sandbox.errnos import Errno, Refused
from workorder_async.sandbox.faults import Fault, Faults
from workorder_async.sandbox.files import Files, download_headers
from workorder_async.sandbox.gate import Gate
from workorder_async.sandbox.hosts import Hosts
from workorder_async.sandbox.kinds import LIES
from workorder_async.sandbox.limit import Limit
from workorder_async.sandbox.listing import Listing
from workorder_async.sandbox.multipart import Pieces
from workorder_async.sandbox.spelling import Speller
from workorder_async.sandbox.store import Change, Store
from workorder_async.signing.scheme import SigningInput

#: The largest JSON body that is read, in bytes.
JSON_LIMIT = 16 << 20

_T = TypeVar("_T")
# Given a request, and the lie that is to be told in its answer, if any.
_Answer: TypeAlias = Callable[[web.Request, Fault | None], Awaitable[JSON]]


@frozen
class _Mutation:
    """One mutating endpoint: its schema, what it does, and `data` of its answer for a ticket's id (None for none)."""

    endpoint: Endpoint
    schema: rules.Schema
    change: Change
    data: Callable[[int], JSON]


_MUTATIONS = (
    _Mutation(CREATE_TICKET, rules.CREATE, changes.create_ticket, lambda ticket_id: {"id": ticket_id}),
    _Mutation(COMMENT_TICKET, rules.OPERATE, changes.comment_ticket, lambda _: {}),
    _Mutation(REJECT_TICKET, rules.OPERATE, changes.reject_ticket, lambda _: {}),
    _Mutation(CLOSE_TICKET, rules.CLOSE, changes.close_ticket, lambda _: None),
)


@frozen
class Api:
    """The endpoints over a store that is only touched in `worker`, and over `files`.

    `latency` seconds pass before each answer. `requests` are counted by operation, and of those what `limit` `refused`.
    """

    store: Store
    worker: Executor
    files: Files
    hosts: Hosts
    gate: Gate
    clocks: Clocks
    limit: Limit
    listing: Listing
    faults: Faults
    speller: Speller
    latency: float
    requests: Counter[str] = field(factory=Counter)
    refused: Counter[str] = field(factory=Counter)

    def application(self) -> web.Application:
        """Return the application to serve; an unknown path or a wrong method is a plain HTTP 404 or 405."""
        app = web.Application(middlewares=[self.hosts.guard])
        app.on_response_prepare.append(self.clocks.set_date)
        app.on_shutdown.append(self._end_pauses)
        reads = (
            ("POST", LIST_TICKETS, self._list_tickets),
            ("GET", LIST_TICKETS, self._list_tickets),
            ("GET", GET_TICKET, self._get_ticket),
            ("GET", GET_TICKET_DETAIL, self._get_ticket_detail),
            ("POST", UPLOAD_FILE, self._upload_file),
        )
        for method, endpoint, answer in reads:
            app.router.add_route(method, endpoint.path, self._handler(endpoint, answer))
        for mutation in _MUTATIONS:
            endpoint = mutation.endpoint
            app.router.add_route(endpoint.method, endpoint.path, self._handler(endpoint, self._changer(mutation)))
        app.router.add_route("GET", "/files/{file_path:.+}", self._download)
        return app

    async def _end_pauses(self, _app: web.Application) -> None:
        self.faults.pauses.end()

    def _handler(self, endpoint: Endpoint, answer: _Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.clocks.take_turn(request)
            self.requests[endpoint.operation] += 1
            try:
                if not self.limit.grants():
                    self.refused[endpoint.operation] += 1
                    return await self.limit.refuse(request)
                fault = self.faults.strike(endpoint.operation, self.requests[endpoint.operation])
                lie = fault if fault is not None and fault.kind in LIES else None
                right = partial(self._envelope, request, partial(answer, request, lie))
                if fault is not None:
                    return await self.faults.carry_out(fault, request, right)
                return breaking.envelope(await right())
            except (ConnectionError, web.RequestPayloadError):
                raise web.HTTPBadRequest(text="the body ended before its end") from None

        return handle

    async def _envelope(self, request: web.Request, answer: Callable[[], Awaitable[JSON]]) -> bytes:
        envelope: dict[str, JSON] = {"errno": 10000, "errmsg": "OK"}
        try:
            self.gate.check_headers(request.headers, self.clocks.now(request))
            data = await answer()
            if data is not None:
                envelope["data"] = data
        except Refused as refused:
            envelope = {"errno": int(refused.errno), "errmsg": refused.errmsg}
        envelope["request_id"] = secrets.token_hex(16)
        await self.faults.pauses.delay(self.latency)
        return dumps(self.speller.spell(envelope))

    async def _list_tickets(self, request: web.Request, lie: Fault | None) -> JSON:
        body = await self._signed_body(request)
        if body or request.method == "POST":
            parameters = rules.decode(request.headers.get("Content-Type", ""), body)
        else:
            parameters = rules.from_query(request.query, rules.LIST)
        fields = rules.read(parameters, rules.LIST)
        return await self._in_store(partial(self.listing.page, self.store, fields, lie))

    async def _get_ticket(self, request: web.Request, lie: Fault | None) -> JSON:
        id = await self._asked_id(request)
        return await self._in_store(lambda: shapes.ticket(self._row(id, lie)))

    async def _get_ticket_detail(self, request: web.Request, lie: Fault | None) -> JSON:
        id = await self._asked_id(request)

        def url(file_path: str) -> str:
            return self.files.temporary_url(str(request.url.origin()), file_path)

        return await self._in_store(lambda: shapes.detail(self._row(id, lie), url))

    def _row(self, id: int, lie: Fault | None) -> sqlite3.Row:
        return self.store.ticket(id if lie is None else self.store.id_after(id))

    async def _asked_id(self, request: web.Request) -> int:
        await self._signed_body(request)
        return int(rules.read(rules.from_query(request.query, rules.ONE), rules.ONE)["id"])

    def _changer(self, mutation: _Mutation) -> _Answer:
        async def answer(request: web.Request, _: Fault | None) -> JSON:
            content_type = request.headers.get("Content-Type", "")
            body = rules.decode(content_type, await self._signed_body(request))
            fields = rules.read(body, mutation.schema)
            id = await self._in_store(
                lambda: self.store.apply(mutation.endpoint.operation, mutation.change, fields, body)
            )
            return mutation.data(id)

        return answer

    async def _upload_file(self, request: web.Request, _: Fault | None) -> JSON:
        async with self.files.received(request.content) as body:
            signed = _signing_input(request, Pieces(body))
            await asyncio.to_thread(self.gate.check_signature, request.headers, signed)
            attachment = await asyncio.to_thread(self.files.keep, body, request.headers.get("Content-Type", ""))
        await self._in_store(lambda: self.store.add_file(attachment))
        return attachment

    async def _download(self, request: web.Request) -> web.StreamResponse:
        file_path = request.match_info["file_path"]
        if not self.files.is_good(file_path, request.query.get("expires", ""), request.query.get("token", "")):
            raise web.HTTPForbidden(text="the temporary URL has expired, or is none of this sandbox's")
        names = await self._in_store(lambda: self.store.file(file_path))
        return web.FileResponse(self.files.path(file_path), headers=download_headers(*names or ("", "")))

    async def _signed_body(self, request: web.Request) -> bytes:
        body = bytearray()
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > JSON_LIMIT:
                raise Refused(Errno.PARAMETER, f"参数 request 的请求体超过 {JSON_LIMIT} 字节")
        self.gate.check_signature(request.headers, _signing_input(request, (bytes(body),)))
        return bytes(body)

    async def _in_store(self, question: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self.worker, question)


def _signing_input(request: web.Request, body: Iterable[bytes]) -> SigningInput:
    return SigningInput(request.method, request.path, tuple(request.query.items()), body)
