"""examples/feishu_bot.py: redelivery is harmless, strangers are refused, and people are told in Chinese."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.support.feishu import KEY, Feishu, click, deliver, feishu, message, seal, sign
from tests.support.programs import Server, serving
from workorder_async import Sandbox
from workorder_async.sandbox import Fault
from workorder_async.testing import Moment, SandboxThread

pytest.importorskip("cryptography")
COMMON = {
    "type": 1, "priority": 3, "customer_organization_id": 5001, "customer_organization_name": "示例科技有限公司",
    "repository_product_id": 36, "creator_id": 999_999, "creator_name": "示例",
}  # fmt: skip
#: The least that a platform waits for an acknowledgement, by far.
SOON = 30.0


@asynccontextmanager
async def bot(sandbox: Sandbox, server: Feishu, folder: Path) -> AsyncIterator[tuple[Server, str]]:
    """Run the bot."""
    (folder / "ticket.json").write_text(json.dumps(COMMON), "utf-8")
    own = {"FEISHU_APP_ID": "cli_1", "FEISHU_APP_SECRET": "s", "FEISHU_ENCRYPT_KEY": KEY, "FEISHU_URL": server.url}
    words = ("feishu_bot.py", 0, folder / "bot.journal", folder / "ticket.json")
    async with serving({**sandbox.environment, **own}, *words) as (program, url):
        yield program, url


async def answered(server: Feishu) -> tuple[str, str, dict[str, Any]]:
    """Wait for the next answer to people."""
    return await asyncio.wait_for(server.answers.get(), SOON)


@pytest.mark.slow
async def test_ten_deliveries_at_once_in_each_run(tmp_path: Path) -> None:
    """They are all acknowledged; one ticket is made, and people see one card. Of its button, too."""
    async with Sandbox(tickets=20) as sandbox, feishu() as server:
        event = message("om_1", "@_user_1 实例无法登录\n重启后 SSH 超时")
        for _ in range(2):
            async with bot(sandbox, server, tmp_path) as (_, url):
                acks = await asyncio.gather(*(deliver(url, event) for _ in range(10)))
                assert acks == [(200, "{}")] * 10
                told = [await answered(server) for _ in range(10)]
                assert told == [told[0]] * 10
                assert told[0][:2] == ("om_1", "interactive")
                words, button = told[0][2]["body"]["elements"]
                (value,) = [one["value"] for one in button["behaviors"]]
                (made,) = [one for one in sandbox.applied if one.operation == "create_ticket"]
                assert value["ticket"] == made.ticket_id
                assert f"{made.ticket_id}：已经完成" in words["content"]
                await asyncio.gather(*(deliver(url, click("om_card", value)) for _ in range(10)))
                told = [await answered(server) for _ in range(10)]
                assert told == [told[0]] * 10
                assert told[0][:2] == ("om_card", "text")
                assert f"评论工单 {made.ticket_id}：已经完成" in told[0][2]["text"]
        assert [one.operation for one in sandbox.applied] == ["create_ticket", "comment_ticket"]
        assert len(server.shown) == 2
        async with sandbox.client() as client:
            found = await client.get_ticket_detail(sandbox.applied[0].ticket_id)
        assert found.title == "实例无法登录"
        assert found.reported_time == 1660298580


@pytest.mark.slow
async def test_who_may_deliver(tmp_path: Path) -> None:
    """The challenge is answered; what was not signed with the key, or is no event of ours, changes nothing."""
    async with Sandbox(tickets=20) as sandbox, feishu() as server, bot(sandbox, server, tmp_path) as (_, url):
        challenge = {"challenge": "ajls384k", "token": "t", "type": "url_verification"}
        for told in ({"X-Lark-Signature": "x"}, None):
            status, text = await deliver(url, challenge, told)
            assert (status, json.loads(text)) == (200, {"challenge": "ajls384k"})
        event = message("om_1", "实例无法登录")
        signed = sign(seal(event))  # of another body: each is encrypted anew
        strangers = [dict[str, str](), signed, *({**signed, "X-Lark-Signature": odd} for odd in ("é", ""))]
        for headers in strangers:
            assert (await deliver(url, event, headers))[0] == 403
        bodies = [b"", b"{}", b"[]", b"7", b'{"encrypt": 7}', b'{"encrypt": ""}', b'{"encrypt": "QUJD"}', b"[" * 99_999]
        bodies += [json.dumps({"encrypt": event}).encode(), json.dumps(event).encode(), seal(7), seal([]), b"\xff"]
        async with ClientSession() as session:
            for body in bodies:
                async with session.post(f"{url}/feishu", data=body) as answer:
                    assert answer.status == 403, body
                async with session.post(f"{url}/feishu", data=body, headers=sign(body, "another key")) as answer:
                    assert answer.status == 403, body
        odd_events: list[object] = [{}, {"event": 7}, {"event": {}}, {"header": {"event_type": "im.chat.disbanded_v1"}}]
        for odd in [
            *odd_events,
            click("om_c", {"ticket": 1001}),
            click("om_c", 7),
            message("om_7", "x") | {"event": []},
        ]:
            assert (await deliver(url, odd))[0] == 200
        await deliver(url, event)
        assert (await answered(server))[0] == "om_1"
        assert len(sandbox.applied) == 1


@pytest.mark.slow
async def test_the_page_of_prometheus(tmp_path: Path) -> None:
    """It counts the calls of the client, those that failed by their error."""
    refused = [Fault("errno", operation="comment_ticket", errno=23000)]
    async with (
        Sandbox(tickets=20, faults=refused) as sandbox,
        feishu() as server,
        bot(sandbox, server, tmp_path) as (_, url),
    ):
        await deliver(url, message("om_1", "实例无法登录"))
        assert (await answered(server))[1] == "interactive"
        await deliver(url, click("om_card", {"ticket": 1001, "text": "已联系客户", "status": "待处理"}))
        await answered(server)
        async with ClientSession() as session, session.get(f"{url}/metrics") as answer:
            assert answer.content_type == "text/plain"
            numbers = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if line[0] != "#")
    ended = {name: float(count) for name, count in numbers.items() if name.startswith("workorder_call_seconds_count")}
    assert ended == {
        'workorder_call_seconds_count{error="",operation="create_ticket"}': 1,
        'workorder_call_seconds_count{error="TicketStateError",operation="comment_ticket"}': 1,
    }
    assert float(numbers['workorder_attempts_total{operation="create_ticket"}']) == 1
    spent = float(numbers['workorder_spent_seconds_total{operation="create_ticket",where="request"}'])
    assert 0 < spent <= float(numbers['workorder_call_seconds_sum{error="",operation="create_ticket"}'])


@pytest.mark.slow
async def test_ended_amid_its_work(tmp_path: Path) -> None:
    """A delivery is acknowledged at once, and is worked on to its end, and told, before the program ends."""
    slow = [Fault("slow_headers", operation="create_ticket", seconds=1)]
    async with Sandbox(tickets=20, faults=slow) as sandbox, feishu() as server:
        async with bot(sandbox, server, tmp_path) as (program, url):
            assert (await deliver(url, message("om_1", "实例无法登录")))[0] == 200
            assert server.answers.empty()
            await program.end()
            assert program.process.returncode == 0
        assert (await answered(server))[1] == "interactive"
        assert len(sandbox.applied) == 1


@pytest.mark.slow
async def test_what_people_are_told(tmp_path: Path) -> None:
    """Errors are told in Chinese; what was not sent is sent when it is delivered again; a lost answer is found."""
    async with Sandbox(tickets=20) as sandbox, feishu() as server, bot(sandbox, server, tmp_path) as (_, url):

        async def said(event: dict[str, Any]) -> str:
            assert (await deliver(url, event))[0] == 200
            about, kind, content = await answered(server)
            assert about in json.dumps(event)
            return str(content["text"] if kind == "text" else content["body"]["elements"][0]["content"])

        for odd in (message("om_1", "  "), message("om_2", "@_user_1"), message("om_3", "img_1", "image")):
            assert "请检查填写的内容" in await said(odd)
        sandbox.faults = [Fault("errno", operation="create_ticket", errno=90003)]
        assert "错误码 90003" in await said(message("om_4", "实例无法登录"))
        sandbox.faults = []
        assert "已经完成" in await said(message("om_4", "实例无法登录"))
        sandbox.faults = [Fault("reset_after", operation="create_ticket", times=1)]
        assert "已经完成" in await said(message("om_5", "实例又无法登录"))
        assert "没有找到" in await said(click("om_c", {"ticket": 99_999_999, "text": "已联系客户", "status": "待处理"}))
        assert "填写的内容或程序的设置不对" in await said(click("om_d", {"ticket": "7", "text": "好", "status": ""}))
        assert [one.operation for one in sandbox.applied] == ["create_ticket"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("odd", ["", "{", "[]", "null"])
async def test_killed_while_it_creates(tmp_path: Path, odd: str) -> None:
    """The next run says what became of it, and a redelivery makes no second ticket; an odd answer does not end it."""
    loop = asyncio.get_running_loop()
    with SandboxThread(tickets=20) as sandbox:
        async with feishu() as server:
            async with bot(sandbox, server, tmp_path) as (program, url):

                async def see(moment: Moment, operation: str) -> bool:
                    if (moment, operation) == ("applied", "create_ticket"):
                        os.kill(program.process.pid, signal.SIGKILL)
                        waits = asyncio.run_coroutine_threadsafe(program.process.wait(), loop)
                        await asyncio.wrap_future(waits)
                    return False

                sandbox.witness = see
                event = message("om_1", "实例无法登录")
                assert (await deliver(url, event))[0] == 200
                assert await asyncio.wait_for(program.process.wait(), SOON) == -signal.SIGKILL
                sandbox.witness = None
            server.odd = odd
            async with bot(sandbox, server, tmp_path) as (_, url):
                if not odd:
                    about, _, content = await answered(server)
                    assert (about, "已经完成" in content["text"]) == ("om_1", True)
                server.odd = ""
                await deliver(url, event)
                assert (await answered(server))[1] == "interactive"
        assert len(sandbox.applied) == 1
