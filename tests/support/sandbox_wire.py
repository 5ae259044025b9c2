"""A caller of the sandbox that knows HTTP and the signature, and nothing of the client."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import aiohttp
import orjson
from attrs import define
from yarl import URL

from workorder_async.sandbox import Sandbox
from workorder_async.signing.scheme import SchemeSigner, SigningInput

PREFIX = "/workorder/api/ticket/"


@define
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def envelope(self) -> dict[str, Any]:
        """The body as a JSON object."""
        value: dict[str, Any] = orjson.loads(self.body)
        return value


@define
class Clock:
    """A server's clock that stands still until it is moved."""

    now: float = 1660298589.0

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return self.now


class Wire:
    """Sends signed requests to one sandbox; `time` is the caller's clock."""

    def __init__(self, sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.http = http
        self.time = time.time
        environment = sandbox.environment
        self.signer = SchemeSigner(
            environment["WORKORDER_APP_ID"],
            environment["WORKORDER_APP_SECRET"],
            environment["WORKORDER_SIGN_SCHEME"],
        )

    def sign(self, method: str, path: str, query: Sequence[tuple[str, str]], body: Iterable[bytes]) -> dict[str, str]:
        """Return the three headers."""
        request = SigningInput(method, path, tuple(query), body, int(self.time() * 1000))
        return dict(self.signer.sign(request))

    async def raw(self, head: bytes) -> bytes:
        """Send the head of a request, byte for byte and alone on its connection, and return the body of the answer."""
        url = URL(self.sandbox.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        try:
            writer.write(head + b"\r\nConnection: close\r\n\r\n")
            return (await reader.read()).partition(b"\r\n\r\n")[2]
        finally:
            writer.close()
            await writer.wait_closed()

    async def send(
        self,
        method: str,
        name: str,
        body: bytes = b"",
        *,
        query: Sequence[tuple[str, str]] = (),
        content_type: str = "application/json",
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send bytes; `headers` replaces some after signing, or with None drops them."""
        signed: dict[str, str | None] = {
            **self.sign(method, PREFIX + name, query, (body,)),
            "Content-Type": content_type,
        }
        sent = {key: value for key, value in (signed | dict(headers or {})).items() if value is not None}
        url = self.sandbox.url + PREFIX + name
        data = BytesIO(body) if body else None
        async with self.http.request(method, url, params=list(query), data=data, headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    async def post(self, name: str, body: Any) -> dict[str, Any]:
        """Post JSON, and return the envelope."""
        return (await self.send("POST", name, orjson.dumps(body))).envelope

    async def get(self, name: str, **query: str | int) -> dict[str, Any]:
        """Get with a query string, and return the envelope."""
        pairs = [(key, str(value)) for key, value in query.items()]
        return (await self.send("GET", name, query=pairs)).envelope


def ticket_request() -> dict[str, Any]:
    """Return a request of create that holds what must be there, and nothing else."""
    return {
        "title": "云服务器无法登录",
        "detail": "客户反馈实例无法远程登录。",
        "reported_time": 1660298000,
        "type": 1,
        "priority": 2,
        "customer_organization_id": 5001,
        "customer_organization_name": "北京晨曦网络科技有限公司",
        "repository_product_id": 36,
        "creator_id": 38361,
        "creator_name": "姜程",
    }


@asynccontextmanager
async def wired(sandbox: Sandbox) -> AsyncIterator[Wire]:
    """Run a sandbox and a caller of it."""
    async with sandbox, aiohttp.ClientSession() as http:
        yield Wire(sandbox, http)
