import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
import pytest

from tests.support.sandbox_files import FORM_TYPE, form, shown_url, upload
from tests.support.sandbox_wire import PREFIX, Clock, wired
from workorder_async import TicketStatus
from workorder_async.sandbox import Sandbox


async def test_an_upload_is_answered_with_the_documents_attachment() -> None:
    """All five fields, of the document's types, with a storage key like the one in the example of close_ticket."""
    async with wired(Sandbox(0)) as wire:
        attachment = await upload(wire, b"\x89PNG", file_name="截图.png")
        again = await upload(wire, b"\x89PNG", file_name="截图.png")
        assert wire.sandbox.applied == []
    key = attachment.pop("file_path")
    assert attachment == {"author": 40084, "file_name": "截图.png", "file_size": 4, "file_type": "image/png"}
    assert re.fullmatch(r"workorder/40084/[0-9a-f]{32}", key)
    assert again["file_path"] != key


@pytest.mark.parametrize("content", [b"", bytes(range(256)) * 9999])
async def test_a_temporary_url_gives_the_bytes_back_to_anyone(content: bytes) -> None:
    """The URL in detail needs no signature, and gives the bytes with their own content type."""
    async with wired(Sandbox(0)) as wire, aiohttp.ClientSession() as anyone:
        url = await shown_url(wire, await upload(wire, content, file_type="application/x-log"))
        assert url.startswith(f"{wire.sandbox.url}/files/workorder/40084/")
        async with anyone.get(url) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "application/x-log"
            assert await response.read() == content


@pytest.mark.parametrize("host", [b"localhost:8011", b"sandbox", b"[::1]:80"])
async def test_a_temporary_url_begins_as_its_caller_called_the_sandbox(host: bytes) -> None:
    """It leads to the host by which the caller came."""
    async with wired(Sandbox(0, names=["sandbox"])) as wire:
        await shown_url(wire, await upload(wire, b"x"))
        signed = wire.sign("GET", PREFIX + "detail", (("id", "1"),), ())
        headers = "".join(f"\r\n{name}: {value}" for name, value in signed.items()).encode()
        body = await wire.raw(f"GET {PREFIX}detail?id=1 HTTP/1.1\r\nHost: ".encode() + host + headers)
        shown = orjson.loads(body)["data"]["attachment"][0]["file_path"]
        assert shown.startswith(f"http://{host.decode().removesuffix(':80')}/files/")


async def test_a_temporary_url_expires_after_600_seconds() -> None:
    """It is good for 600 seconds and then HTTP 403; asked for again through detail, it is good again."""
    clock = Clock(1660298589.0)
    async with wired(Sandbox(0, clock=clock)) as wire:
        wire.time = clock
        url = await shown_url(wire, await upload(wire, b"x"))
        for later, status in ((0, 200), (600, 200), (1, 403)):
            clock.now += later
            async with wire.http.get(url) as response:
                assert response.status == status
        detail = (await wire.get("detail", id=1))["data"]
        async with wire.http.get(detail["attachment"][0]["file_path"]) as response:
            assert await response.read() == b"x"


async def test_a_temporary_url_cannot_be_made_up() -> None:
    """Another time, another file, a wrong or missing token: HTTP 403."""
    async with wired(Sandbox(0)) as wire:
        url = await shown_url(wire, await upload(wire, b"x"))
        other = (await upload(wire, b"y"))["file_path"]
        path, query = urlsplit(url).path, urlsplit(url).query
        expires, token = (pair.partition("=")[2] for pair in query.split("&"))
        for target in (
            f"{path}?expires={int(expires) + 1}&token={token}",
            f"{path}?expires=x&token={token}",
            f"{path}?expires={expires}&token={'0' * 64}",
            f"{path}?expires={expires}&token=%ff",
            f"{path}?expires={expires}",
            path,
            f"/files/{other}?expires={expires}&token={token}",
            f"/files/../../{other}?expires={expires}&token={token}",
        ):
            async with wire.http.get(wire.sandbox.url + target) as response:
                assert response.status in {403, 404}, target
                assert (response.status == 404) == (".." in target)


@pytest.mark.parametrize(
    ("body", "kind", "errno"),
    [
        (b"", FORM_TYPE, 90007),
        (b"{}", "application/json", 90007),
        (form(b"x")[:-20], FORM_TYPE, 90007),
        (form(b"x").replace(b'name="file"', b'name="data"'), FORM_TYPE, 90004),
    ],
)
async def test_what_is_no_upload_is_refused(tmp_path: Path, body: bytes, kind: str, errno: int) -> None:
    """A body that is no form, or not this one, is refused, and no file is left behind."""
    async with wired(Sandbox(0, db=tmp_path / "x.db")) as wire:
        envelope = (await wire.send("POST", "upload_file", body, content_type=kind)).envelope
    assert (envelope["errno"], "data" in envelope) == (errno, False)
    assert not (tmp_path / "x.db.files").exists()


async def test_an_upload_is_signed_over_the_bytes_that_arrived() -> None:
    """A byte changed after signing is refused, with a scheme that takes in the body or its digest."""
    for template in ("{body}", "{body_md5}{body_sha256}", "{body_sha256}{body}"):
        async with wired(Sandbox(0, scheme=f"hmac-sha256:{{timestamp}}{template}")) as wire:
            good = form(b"a" * 3_000_000)
            signed = wire.sign("POST", PREFIX + "upload_file", (), (good,))
            bad = good[:2_000_000] + b"b" + good[2_000_001:]
            for body, errno in ((good, 10000), (bad, 90001)):
                answer = await wire.send("POST", "upload_file", body, content_type=FORM_TYPE, headers=signed)
                assert answer.envelope["errno"] == errno


async def test_files_lie_beside_the_database_or_vanish(tmp_path: Path) -> None:
    """With db, uploads lie in a folder beside it; without, in a temporary one that is gone at the end."""
    async with wired(Sandbox(0, db=tmp_path / "x.db")) as wire:
        attachment = await upload(wire, b"kept")
    kept = tmp_path / "x.db.files" / attachment["file_path"].rpartition("/")[2]
    assert kept.read_bytes() == b"kept"
    async with wired(Sandbox(0)) as wire:
        attachment = await upload(wire, b"gone")
        gone = wire.sandbox._files.path(attachment["file_path"])
        assert gone.read_bytes() == b"gone"
    assert not gone.parent.exists()


async def test_others_are_answered_while_an_upload_comes_in() -> None:
    """A slow upload keeps nobody waiting."""
    async with wired(Sandbox(3)) as wire:
        half = asyncio.Event()
        rest = asyncio.Event()
        whole = form(b"x" * 100)

        async def slowly() -> AsyncIterator[bytes]:
            yield whole[:50]
            half.set()
            await rest.wait()
            yield whole[50:]

        headers = {"Content-Type": FORM_TYPE, **wire.sign("POST", PREFIX + "upload_file", (), (whole,))}
        url = wire.sandbox.url + PREFIX + "upload_file"
        async with asyncio.TaskGroup() as group:

            async def post() -> int:
                async with wire.http.post(url, data=slowly(), headers=headers) as response:
                    errno: int = (await response.json())["errno"]
                    return errno

            uploading = group.create_task(post())
            await half.wait()
            assert (await wire.get("base", id=1001))["errno"] == 10000
            assert not uploading.done()
            rest.set()
    assert uploading.result() == 10000


async def test_a_form_of_aiohttps_own_is_understood() -> None:
    """What aiohttp itself makes of a file with a Chinese name, told not to percent-encode it, comes in as it is."""
    data = aiohttp.FormData(quote_fields=False)
    data.add_field("file", b"hello", filename="追踪 1.txt", content_type="text/plain")
    async with wired(Sandbox(0, app_secret="sandbox-secret", scheme="md5:{secret}{timestamp}")) as wire:
        now = str(int(time.time()))
        sign = hashlib.md5(f"sandbox-secret{now}".encode()).hexdigest()
        headers = {"AppId": "sandbox-app", "Timestamp": now, "Sign": sign}
        async with wire.http.post(wire.sandbox.url + PREFIX + "upload_file", data=data, headers=headers) as response:
            attachment = (await response.json())["data"]
    assert attachment.items() >= {"file_name": "追踪 1.txt", "file_size": 5, "file_type": "text/plain"}.items()


@pytest.mark.slow
async def test_invented_tickets_have_files_that_can_be_fetched() -> None:
    """One ticket in ten has one or two; each URL gives the content of its ticket, of the size and type that it says."""
    counts = dict.fromkeys(range(3), 0)
    seen = set()
    async with wired(Sandbox(400)) as wire, aiohttp.ClientSession() as anyone:
        for id in range(1001, 1401):
            attachments = (await wire.get("detail", id=id))["data"]["attachment"]
            counts[len(attachments)] += 1
            for one in attachments:
                async with anyone.get(one["file_path"]) as response:
                    content = await response.read()
                    assert (response.status, response.headers["Content-Type"]) == (200, one["file_type"])
                    assert quote(one["file_name"]) in response.headers["Content-Disposition"]
                assert len(content) == one["file_size"]
                assert str(id) in content.decode()
                seen.add(content)
    assert counts[1] + counts[2] in range(25, 60)
    assert min(counts.values()) > 0
    assert len(seen) == counts[1] + 2 * counts[2]


async def test_invented_files_are_the_same_on_the_next_day(tmp_path: Path) -> None:
    """A database keeps no content: the storage key is enough, in another process, too."""
    contents = []
    for _ in range(2):
        async with wired(Sandbox(40, db=tmp_path / "sandbox.db")) as wire:
            for id in range(1001, 1041):
                for one in (await wire.get("detail", id=id))["data"]["attachment"]:
                    async with wire.http.get(one["file_path"]) as response:
                        contents.append(await response.read())
    assert contents
    assert contents[: len(contents) // 2] == contents[len(contents) // 2 :]
    assert not (tmp_path / "sandbox.db.files").exists()


async def test_an_invented_file_belongs_to_its_ticket() -> None:
    """It may close another ticket, as any file; what no ticket has is no file, nor is that of one that is gone."""
    async with wired(Sandbox(80)) as wire:
        detail = {id: (await wire.get("detail", id=id))["data"] for id in range(1001, 1081)}
        lacking, *_ = (id for id, one in detail.items() if not one["attachment"])
        having, *_ = (id for id, one in detail.items() if one["attachment"] and one["status"] == 2)
        pending, *_ = (one for one in detail.values() if one["status"] == 1)
        url = detail[having]["attachment"][0]["file_path"]
        asked = {"id": pending["id"], "closer_id": 1, "closer_name": pending["creator_name"], "solved_time": 1}
        none = [f"{lacking}-0", f"{having}-7", "9999-0", "9" * 20 + "-0", "1" * 5000 + "-0", f"{having}-" + "1" * 5000]
        for name, errno in (*((name, 90004) for name in none), (f"{having}-0", 10000)):
            file = {"author": 1, "file_name": "x", "file_size": 1, "file_type": "text/plain"}
            file["file_path"] = f"workorder/40084/invented-{name}"
            assert (await wire.post("close_ticket", {**asked, "handle_attachment": [file]}))["errno"] == errno
        for status in (200, 404):
            async with wire.http.get(url) as response:
                assert response.status == status
            await wire.sandbox.change(delete=80, status=TicketStatus.PROCESSING)
