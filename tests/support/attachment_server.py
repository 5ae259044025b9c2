"""A platform and a storage of files on one socket: a ticket's detail, and for each path what is answered in turn."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field

from tests.support.clients import make_client
from tests.support.raw_server import Handler, Wire, data, http, serving
from workorder_async import Attachment, TicketDetail, WorkorderClient

Answer = Handler | bytes
TICKET = 1473
DETAIL = "/workorder/api/ticket/detail"


@define
class Storage:
    """What is answered: for each path, one answer after another; the last one is given again and again."""

    wire: Wire
    client: WorkorderClient
    files: dict[str, list[Answer]] = field(factory=dict)
    details: list[dict[str, Any]] = field(factory=list)
    """The attachments that the ticket has when it is read again, one reading after another."""

    def detail(self, *attachments: Attachment) -> TicketDetail:
        """Return a ticket with these attachments."""
        return TicketDetail(TICKET, attachment=list(attachments))

    def attachment(self, name: str, content: bytes, *answers: Answer, size: int | None = None) -> Attachment:
        """Return an attachment that is answered so, or with its content; `size` is what the ticket says."""
        path = f"/f{len(self.files)}"
        self.files[path] = list(answers) or [http(content)]
        return Attachment(name, f"{self.wire.url}{path}?Signature=a%2Fb%2Bc", len(content) if size is None else size)

    def requests(self, path: str) -> list[bytes]:
        """Return the requests for a path."""
        return [one for one in self.wire.requests if _path(one) == path]

    def ranges(self, path: str = "/f0") -> list[str]:
        """Return the Range of each request for a path, "" for none."""
        found = [re.search(rb"(?i)\r\nRange: ([^\r]*)", one) for one in self.requests(path)]
        return ["" if one is None else one[1].decode() for one in found]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the request that came last."""
        path = _path(self.wire.requests[-1])
        if path == DETAIL and path not in self.files:
            step: Answer = data({"id": TICKET, **self.details.pop(0)})
        else:
            steps = self.files.get(path, [http("", "404 Not Found")])
            step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        else:
            await step(reader, writer)


def _path(request: bytes) -> str:
    return request.split(b" ", 2)[1].split(b"?")[0].decode()


def broken_off(answer: bytes, after: int) -> Handler:
    """Return an answer that ends after so many bytes of its body, with the connection."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _, body = answer.partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n" + body[:after])
        await writer.drain()
        # Else what was sent may be lost with the connection.
        await asyncio.sleep(0.05)
        writer.close()

    return step


def in_two(answer: bytes) -> Handler:
    """Return an answer that comes in two pieces."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer[: len(answer) // 2])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(answer[len(answer) // 2 :])

    return step


def stalled(answer: bytes, after: int, begun: asyncio.Event | None = None) -> Handler:
    """Return an answer that stops after so many bytes of its body, with the connection left open."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _, body = answer.partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n" + body[:after])
        await writer.drain()
        if begun is not None:
            begun.set()
        await reader.read()
        raise ConnectionResetError

    return step


def rest(content: bytes, start: int, said: str | None = None) -> bytes:
    """Return an answer with all bytes from `start` on."""
    said = f"bytes {start}-{len(content) - 1}/{len(content)}" if said is None else said
    return http(content[start:], "206 Partial Content", Content_Range=said)


def redirect(location: str) -> bytes:
    """Return an answer that leads elsewhere."""
    return http("", "302 Found", Location=location)


@asynccontextmanager
async def storage(**options: Any) -> AsyncIterator[Storage]:
    """Serve tickets and files; `options` are the client's."""
    async with serving() as wire, make_client(wire.url, **options) as client:
        served = Storage(wire, client)
        wire.script.append(served.answer)
        yield served
