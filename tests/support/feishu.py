"""Feishu as a bot sees it: it encrypts and signs what it delivers, and takes answers."""

import asyncio
import hashlib
import json
import os
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web

KEY = "an encrypt key"


def seal(event: object) -> bytes:
    """Return the body of a delivery."""
    ciphers = pytest.importorskip("cryptography.hazmat.primitives.ciphers")
    text = json.dumps(event).encode()
    text += bytes([16 - len(text) % 16] * (16 - len(text) % 16))
    start, key = os.urandom(16), hashlib.sha256(KEY.encode()).digest()
    cipher = ciphers.Cipher(ciphers.algorithms.AES(key), ciphers.modes.CBC(start))
    return json.dumps({"encrypt": b64encode(start + cipher.encryptor().update(text)).decode()}).encode()


def sign(body: bytes, key: str = KEY) -> dict[str, str]:
    """Return the headers of a delivery."""
    time, nonce = "1660298580", "5bde1b"
    return {
        "X-Lark-Request-Timestamp": time,
        "X-Lark-Request-Nonce": nonce,
        "X-Lark-Signature": hashlib.sha256((time + nonce + key).encode() + body).hexdigest(),
    }


def message(id: str, text: str, kind: str = "text") -> dict[str, Any]:
    """Return the event of a message."""
    content = {"text": text} if kind == "text" else {"image_key": text}
    about = {
        "message_id": id,
        "chat_id": "oc_1",
        "message_type": kind,
        "create_time": "1660298580123",
        "content": json.dumps(content),
    }
    header = {"event_id": os.urandom(8).hex(), "event_type": "im.message.receive_v1", "token": "t"}
    return {
        "schema": "2.0",
        "header": header,
        "event": {"message": about, "sender": {"sender_id": {"open_id": "ou_1"}}},
    }


def click(card: str, value: object) -> dict[str, Any]:
    """Return the event of a click on the button of a card."""
    header = {"event_id": os.urandom(8).hex(), "event_type": "card.action.trigger", "token": "t"}
    where = {"open_message_id": card, "open_chat_id": "oc_1"}
    about = {"operator": {"open_id": "ou_1"}, "action": {"tag": "button", "value": value}, "context": where}
    return {"schema": "2.0", "header": header, "event": about}


class Feishu:
    """Its server, for one bot."""

    def __init__(self) -> None:
        self.url = ""
        self.shown: dict[str, tuple[str, dict[str, Any]]] = {}
        """The answers that people see, by their `uuid`: of which message, and what."""
        self.answers: asyncio.Queue[tuple[str, str, dict[str, Any]]] = asyncio.Queue()
        """All answers: of which message, of which kind, and what."""
        self.odd = ""
        """What it says in place of a token."""

    async def token(self, request: web.Request) -> web.Response:
        """Give a token for the right secret."""
        assert await request.json() == {"app_id": "cli_1", "app_secret": "s"}
        if self.odd:
            return web.Response(text=self.odd, content_type="application/json")
        return web.json_response({"code": 0, "tenant_access_token": "t-1", "expire": 7200})

    async def reply(self, request: web.Request) -> web.Response:
        """Take an answer."""
        assert request.headers["Authorization"] == "Bearer t-1"
        body, about = await request.json(), request.match_info["id"]
        content = json.loads(body["content"])
        assert 0 < len(body["uuid"]) <= 50
        self.shown.setdefault(body["uuid"], (about, content))
        self.answers.put_nowait((about, body["msg_type"], content))
        return web.json_response({"code": 0, "data": {"message_id": f"om_to_{about}"}})


@asynccontextmanager
async def feishu() -> AsyncIterator[Feishu]:
    """Serve it on a port of this machine."""
    server, app = Feishu(), web.Application()
    app.router.add_post("/open-apis/auth/v3/tenant_access_token/internal", server.token)
    app.router.add_post("/open-apis/im/v1/messages/{id}/reply", server.reply)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


async def deliver(url: str, event: object, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Deliver an event as Feishu does, or with other headers; return the status and the text of the answer."""
    body = seal(event)
    async with (
        ClientSession() as session,
        session.post(f"{url}/feishu", data=body, headers=sign(body) if headers is None else headers) as answer,
    ):
        return answer.status, await answer.text()
