"""The sandbox over HTTP: the eight endpoints of the API document, and the temporary URLs of uploaded files.

Every request to an endpoint goes the same way: it is counted, and may meet a fault; its headers, body and signature are
checked at the gate, its parameters by its rule, which answers in the store's thread; and the envelope goes out.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from typing import TypeAlias, TypeVar

from aiohttp import web
from attrs import field, frozen

from workorder_async.document import JSON
from workorder_async.document.endpoints import UPLOAD_FILE, Endpoint
from workorder_async.document.json_text import dumps
from workorder_async.sandbox import rules
from workorder_async.sandbox.errnos import Errno, Refused
from workorder_async.sandbox.faults import LIES, Fault, Faults, envelope
from workorder_async.sandbox.files import Files, Pieces, download_headers
from workorder_async.sandbox.gate import Clocks, Gate, Hosts, Limit
from workorder_async.sandbox.shapes import Speller
from workorder_async.sandbox.store import Store
from workorder_async.signing.scheme import SigningInput

#: The largest JSON body that is read, in bytes.
JSON_LIMIT = 16 << 20

_T = TypeVar("_T")
# Takes a request and the fault that makes its answer untrue, if there is one.
_Answer: TypeAlias = Callable[[web.Request, Fault | None], Awaitable[JSON]]


@frozen(kw_only=True)
class Server:
    """The endpoints over a store that is only touched in `worker`, and over `files`.

    `latency` seconds pass before each answer. `requests` are counted by operation, and among them those that `limit`
    `refused`.
    """

    store: Store
    worker: Executor
    files: Files
    hosts: Hosts
    gate: Gate
    clocks: Clocks
    limit: Limit
    listing: rules.Listing
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
        for rule in rules.RULES:
            for method in (rule.endpoint.method, *rule.further_methods):
                handler = self._handler(rule.endpoint, partial(self._answer, rule))
                app.router.add_route(method, rule.endpoint.path, handler)
        app.router.add_route("POST", UPLOAD_FILE.path, self._handler(UPLOAD_FILE, self._upload_file))
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
                return envelope(await right())
            except (ConnectionError, web.RequestPayloadError):
                raise web.HTTPBadRequest(text="the body ended before its end") from None

        return handle

    async def _envelope(self, request: web.Request, answer: Callable[[], Awaitable[JSON]]) -> bytes:
        said: dict[str, JSON] = {"errno": 10000, "errmsg": "OK"}
        try:
            self.gate.check_headers(request.headers, self.clocks.now(request))
            data = await answer()
            if data is not None:
                said["data"] = data
        except Refused as refused:
            said = {"errno": int(refused.errno), "errmsg": refused.errmsg}
        said["request_id"] = secrets.token_hex(16)
        await self.faults.pauses.delay(self.latency)
        return dumps(self.speller.spell(said))

    async def _answer(self, rule: rules.Rule, request: web.Request, lie: Fault | None) -> JSON:
        """Answer a request by its rule. A GET of an endpoint that takes a body may have one in place of its query."""
        body = await self._signed_body(request)
        if request.method == "POST" or (body and rule.endpoint.method == "POST"):
            asked = rules.decode(request.headers.get("Content-Type", ""), body)
        else:
            asked = rules.from_query(request.query, rule.schema)
        fields = rules.read(asked, rule.schema)
        url = partial(self.files.temporary_url, str(request.url.origin()))
        return await self._in_store(
            partial(rule.answer, rules.Asked(self.store, self.listing, asked, fields, lie, url))
        )

    async def _upload_file(self, request: web.Request, _: Fault | None) -> JSON:
        async with self.files.received(request.content) as body:
            signed = _signing_input(request, Pieces(body))
            await asyncio.to_thread(self.gate.check_signature, request.headers, signed)
            attachment = await asyncio.to_thread(self.files.keep, body, request.headers.get("Content-Type", ""))
        await self._in_store(partial(self.store.add_file, attachment))
        return attachment

    async def _download(self, request: web.Request) -> web.StreamResponse:
        file_path = request.match_info["file_path"]
        if not self.files.is_good(file_path, request.query.get("expires", ""), request.query.get("token", "")):
            raise web.HTTPForbidden(text="the temporary URL has expired, or is none of this sandbox's")
        names = await self._in_store(partial(self.store.file, file_path))
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
