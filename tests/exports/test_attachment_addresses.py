"""Where attachments may come from: whoever writes a ticket chooses the URLs, and must not choose our own network."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.support.attachment_server import TICKET, Storage, redirect, storage
from tests.support.mutations import creation
from tests.support.raw_server import http, serving
from tests.support.rows import each
from workorder_async import Attachment, Sandbox, TicketQuery
from workorder_async.exports import AttachmentCounts, attachments as module, export_tickets
from workorder_async.exports.attachments import AttachmentFolder

PUBLIC = ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1")
PRIVATE = (
    *("127.0.0.1", "127.255.1.2", "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.100.100.200", "198.18.0.1"),
    *("0.0.0.0", "0.1.2.3", "192.0.2.1", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "fd00:ec2::254", "fec0::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1", "::ffff:0:7f00:1", "5f00::1"),
    *("64:ff9b:1:a9fe:a9:fe00:808:808", "64:ff9b:0:1::808:808", "64:1234::808:808", "0:1:2:3:4:5:808:808"),
    *("::ffff:0:808:808", "0:ffff::808:808", "64:ff9b:ffff:ffff:ffff:ffff:808:808"),
)
NEVER = (
    *("169.254.169.254", "169.254.0.1", "224.0.0.1", "fe80::1", "fe80::1%eth0", "febf::1", "ff02::1"),
    *("::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254"),
    *("64:ff9b:1::a9fe:a9fe", "::ffff:0:a9fe:a9fe"),
)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing between attempts."""
    monkeypatch.setattr(module, "WAITS", (0.0, 0.0))


@each("address", [*PUBLIC, *PRIVATE, *NEVER])
def test_every_kind(address: str) -> None:
    """Public addresses may be asked, others by option, and link-local ones never, however they are dressed up."""
    refused = [bool(module._refused(address, private=private)) for private in (False, True)]
    assert refused == [address not in PUBLIC, address in NEVER]


async def fetch(served: Storage, folder: Path, *urls: str, **options: Any) -> list[str]:
    """Fetch files of one byte; return why each is not there, "" where it is."""
    detail = served.detail(*(Attachment(f"{number}", url, 1) for number, url in enumerate(urls)))
    async with AttachmentFolder(folder, served.client, **options) as attachments:
        fetched = await attachments.fetch(detail)
    found = dict(failure.rpartition(f"{TICKET}/")[2].split(": ", 1) for failure in fetched.failures)
    return [found.get(str(number), "") for number in range(len(urls))]


def _spelt(port: int) -> list[str]:
    hosts = ["127.0.0.1", "localhost", "LOCALHOST.", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "0.0.0.0"]
    hosts += ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "127.0.0.1.", "①②⑦.0.0.1"]
    return [f"http://{host}:{port}/f" for host in hosts]


async def test_every_spelling(tmp_path: Path) -> None:
    """However this machine is spelt, its other ports are not asked; the platform's own host and port are."""
    async with storage() as served, serving(http(b"1")) as inner:
        own = served.attachment("own", b"1").file_path
        found = await fetch(served, tmp_path / "a", *_spelt(inner.port), own)
        assert all(found[:-1])
        assert found[-1] == ""
        assert inner.requests == []
        assert await fetch(served, tmp_path / "b", *_spelt(inner.port)[:2], private_addresses=True) == ["", ""]


async def test_redirects(tmp_path: Path) -> None:
    """The address of each hop is looked at."""
    async with storage() as served, serving(http(b"1")) as inner:
        for number, url in enumerate(
            [*_spelt(inner.port), "http://169.254.169.254/latest", "//10.0.0.1/a", "file:/etc"]
        ):
            served.files[f"/r{number}"] = [redirect(url)]
        hops = [f"{served.wire.url}/r{number}" for number in range(len(served.files))]
        assert all(await fetch(served, tmp_path / "a", *hops))
        assert inner.requests == []
        # Those that only the option allows, then; metadata is not among them.
        again = await fetch(served, tmp_path / "b", hops[0], hops[-3], private_addresses=True)
        assert again == ["", "it is at 169.254.169.254, from where no file is fetched"]


async def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the address that is connected to that counts: a name that leads here now and there then is of no use."""
    real, answers = asyncio.base_events.BaseEventLoop.getaddrinfo, {"rebound.test": ["8.8.8.8", "127.0.0.1"]}

    async def getaddrinfo(loop: Any, host: Any, port: Any, **options: Any) -> Any:
        if host == "mixed.test":
            return [(socket.AF_INET, 1, 6, "", (one, port)) for one in ("10.0.0.1", "169.254.169.254", "127.0.0.1")]
        if host in answers:
            host = answers[host].pop() if len(answers[host]) > 1 else answers[host][0]
        return await real(loop, host, port, **options)

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", getaddrinfo)
    async with storage() as served, serving(http(b"1")) as inner:
        urls = [f"http://{name}.test:{inner.port}/" for name in ("rebound", "mixed")]
        found = await fetch(served, tmp_path / "a", *urls)
        assert found[0] == "it is at 127.0.0.1, which is no public address (private_addresses)"
        assert "which is no public address" in found[1]
        assert inner.requests == []


async def test_of_the_sandbox(tmp_path: Path) -> None:
    """The files of a sandbox are fetched without an option."""
    async with Sandbox(0) as sandbox, sandbox.client() as client:
        uploaded = await client.upload_file(b"1", file_name="a.png")
        id = await client.create_ticket(evolve(creation(), attachment=[uploaded]))
        files = tmp_path / "files"
        report = await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", attachments=files)
    assert report.attachments == AttachmentCounts(fetched=1, bytes=1)
    assert (files / str(id) / "a.png").read_bytes() == b"1"


async def test_of_another_port(tmp_path: Path) -> None:
    """With another port, or by another scheme, it is another server; the option is one of exports, too."""
    async with storage() as served, serving(http(b"1")) as inner:
        secure = f"https://127.0.0.1:{served.wire.port}/f"
        found = await fetch(served, tmp_path / "a", f"{inner.url}/f", secure)
        assert found == ["it is at 127.0.0.1, which is no public address (private_addresses)"] * 2


async def test_through_a_proxy(tmp_path: Path) -> None:
    """A proxy may be anywhere, and looks names up; an address in a URL is looked at before it is asked."""
    async with serving(http(b"1")) as proxy, storage(proxy=proxy.url) as served:
        urls = [
            "http://storage.test/a",
            "http://169.254.169.254/",
            "http://[fe80::1]/",
            "http://2852039166/",
            "http://127.1/",
        ]
        found = await fetch(served, tmp_path / "a", *urls)
        assert found[0] == ""
        assert all(found[1:])
        assert len(proxy.requests) == 1
        assert await fetch(served, tmp_path / "b", "http://10.0.0.1/", private_addresses=True) == [""]
