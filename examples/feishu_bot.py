"""A Feishu bot on plain aiohttp: a message makes a ticket, and the button of its card makes a comment on it.

    FEISHU_APP_ID=... FEISHU_APP_SECRET=... FEISHU_ENCRYPT_KEY=... python feishu_bot.py 8080 bot.journal ticket.json

`ticket.json` has what all its tickets have in common: the fields of `CreateTicket` without title, detail and time.
Needs `pip install cryptography prometheus-client`: Feishu signs where an Encrypt Key is set, and encrypts then, too.
"""

import asyncio
import hmac
import json
import logging
import os
import re
import sys
from base64 import b64decode
from collections.abc import AsyncIterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from prometheus_page import METRICS, page

from workorder_async import CommentTicket, CreateTicket, Once, WorkorderClient, explain

# Feishu's protocol
KEY = os.environ["FEISHU_ENCRYPT_KEY"].encode()
APP = {"app_id": os.environ["FEISHU_APP_ID"], "app_secret": os.environ["FEISHU_APP_SECRET"]}
API = os.environ.get("FEISHU_URL", "https://open.feishu.cn") + "/open-apis"


async def read(request: web.Request) -> dict[str, Any]:
    """Return the event of a delivery. Answer Feishu's first question, and refuse what it did not sign."""
    body, head = await request.read(), request.headers
    try:
        sealed = b64decode(json.loads(body)["encrypt"])
        text = Cipher(algorithms.AES(sha256(KEY).digest()), modes.CBC(sealed[:16])).decryptor().update(sealed[16:])
        event: dict[str, Any] = json.loads(text[: -text[-1]])
        if event.get("type") == "url_verification":
            raise web.HTTPOk(text=json.dumps({"challenge": event["challenge"]}), content_type="application/json")
        signed = (head["X-Lark-Request-Timestamp"] + head["X-Lark-Request-Nonce"]).encode() + KEY + body
        if hmac.compare_digest(sha256(signed).hexdigest(), head["X-Lark-Signature"]):
            return event
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise web.HTTPForbidden


async def reply(http: ClientSession, key: str, text: str, ticket_id: int = 0) -> None:
    """Answer the message of an event; a ticket has a card with a button. Feishu shows one answer for one `uuid`."""
    kind, content = "text", dict[str, Any](text=text)
    if ticket_id:
        value = {"ticket": ticket_id, "text": "已联系客户", "status": "待处理"}
        words, behaviors = {"tag": "plain_text", "content": value["text"]}, [{"type": "callback", "value": value}]
        parts = [{"tag": "markdown", "content": text}, {"tag": "button", "text": words, "behaviors": behaviors}]
        kind, content = "interactive", {"schema": "2.0", "body": {"elements": parts}}
    body = {"msg_type": kind, "content": json.dumps(content), "uuid": sha256((key + text).encode()).hexdigest()[:32]}
    try:
        async with http.post(f"{API}/auth/v3/tenant_access_token/internal", json=APP) as answer:
            headers = {"Authorization": f"Bearer {(await answer.json())['tenant_access_token']}"}
        url = f"{API}/im/v1/messages/{key.partition(':')[0]}/reply"
        async with http.post(url, json=body, headers=headers) as answer:
            answer.raise_for_status()
    except (ClientError, TimeoutError, ValueError, LookupError, TypeError):
        logging.exception("no answer to %s: %s", key, text)


# The bot
COMMON = json.loads(Path(sys.argv[3]).read_text("utf-8"))
WORK = web.AppKey("WORK", partial[Any])
TASKS = set[asyncio.Task[None]]()


async def work(once: Once, http: ClientSession, event: dict[str, Any]) -> None:
    """Make the change of an event, once over all its deliveries, and say what became of it."""
    key, said, ticket_id = "", "", 0
    try:
        match event["event"]:
            case {"message": {"message_id": key, "content": content, "create_time": time}}:
                text = re.sub(r"@_user_\d+", "", json.loads(content).get("text", "")).strip()
                own = {"title": text.partition("\n")[0][:50], "detail": text, "reported_time": int(time) // 1000}
                outcome = await once(key, CreateTicket.from_dict(COMMON | own), deadline=60)
                said, ticket_id = explain(outcome, "zh"), outcome.ticket_id
            case {"context": {"open_message_id": card}, "action": {"value": value}}:
                key = f"{card}:{value['text']}:{value['status']}"
                comment = CommentTicket(id=value["ticket"], detail=value["text"])
                said = explain(await once(key, comment, deadline=60), "zh")
    except Exception as error:
        logging.exception("event %s", key)
        said = explain(error, "zh")
    if key:
        await reply(http, key, said, ticket_id)


async def deliver(request: web.Request) -> web.Response:
    """Acknowledge a delivery, and begin with its work."""
    TASKS.add(task := asyncio.create_task(request.app[WORK](await read(request))))
    task.add_done_callback(TASKS.discard)
    return web.json_response({})


async def life(app: web.Application) -> AsyncIterator[None]:
    """Open all that is needed, and close it when everything that was begun has ended."""
    async with ClientSession(timeout=ClientTimeout(9)) as http, WorkorderClient.from_env(observers=[METRICS]) as client:
        async with Once(client, sys.argv[2], mark=True) as once:
            app[WORK] = partial(work, once, http)
            for key, outcome in (await once.settle(deadline=10)).items():  # amid these an earlier run was killed
                await reply(http, key, explain(outcome, "zh"))
            yield
        await asyncio.gather(*TASKS)


app = web.Application()
app.add_routes([web.post("/feishu", deliver), web.get("/metrics", page)])
app.cleanup_ctx.append(life)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))  # behind a proxy that speaks TLS
