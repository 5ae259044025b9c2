import asyncio
import signal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import orjson
import pytest
from yarl import URL

from tests.support.cli_runs import start
from tests.support.sandbox_files import shown_url, upload
from tests.support.sandbox_wire import PREFIX, Answer, Wire, wired
from workorder_async.errors import ConfigError
from workorder_async.sandbox import Sandbox

COMMENT = orjson.dumps({"id": 1001, "detail": "记一笔"})


async def comment(wire: Wire, **headers: str) -> Answer:
    """Send a comment that is signed as it should be, with these headers."""
    named = {
        name.replace("_", "-"): value.replace("PORT", str(URL(wire.sandbox.url).port))
        for name, value in headers.items()
    }
    return await wire.send("POST", "comment_ticket", COMMENT, headers=named)


async def test_a_name_that_is_not_its_own_is_misdirected() -> None:
    """A request under another name, signed or not, is HTTP 421 with a word on how to allow it; nothing is applied."""
    hosts = (
        *("rebound.example:PORT", "rebound.example", "127.0.0.1.nip.io:PORT", "localhost.example", "localhost."),
        *("sandbox", "127.0.0.1@rebound.example", "127.0.0.1:PORT:PORT", "127.0.0.1:99999", "127.0.0.1:abc"),
        *("0x7f.1", "[rebound.example]", ":", " "),
    )
    async with wired(Sandbox(3)) as wire:
        for host in hosts:
            answer = await comment(wire, Host=host)
            assert (answer.status, b"names=" in answer.body) == (421, True), host
            assert (await wire.send("GET", "nothing", headers={"Host": host.replace("PORT", "1")})).status == 421
        assert wire.sandbox.applied == []
        assert wire.sandbox.requests == {}


async def test_its_own_names_and_every_address_are_its_own() -> None:
    """Where it listens, localhost, any IP address and what `names` gives, with or without a port."""
    hosts = (
        *("127.0.0.1:PORT", "127.0.0.1", "localhost:PORT", "LocalHost", "192.0.2.7:8011", "[::1]:PORT"),
        *("[::ffff:127.0.0.1]", "sandbox:8011", "SANDBOX.internal"),
    )
    async with wired(Sandbox(3, names=("sandbox", "sandbox.internal"))) as wire:
        for host in hosts:
            assert (await comment(wire, Host=host)).envelope["errno"] == 10000, host
        assert len(wire.sandbox.applied) == len(hosts)


async def test_the_host_that_it_listens_on_is_its_own() -> None:
    """A name to listen on is a name to be called by."""
    async with wired(Sandbox(3, host="localhost")) as wire:
        assert (await comment(wire, Host="localhost")).envelope["errno"] == 10000
        assert (await comment(wire, Host="rebound.example")).status == 421


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_no_host_or_two_are_none(version: bytes) -> None:
    """Without exactly one Host that is its own, nothing is answered but a refusal."""
    refused = (
        *(b"Host:\r\n", b"Host: rebound.example\r\n", b"Host: \xff\r\n"),
        *(b"Host: 127.0.0.1\r\nHost: rebound.example\r\n", b"Host: rebound.example\r\nHost: 127.0.0.1\r\n"),
    )
    async with wired(Sandbox(3)) as wire:
        for lines in refused:
            status = await status_of(wire, b"GET " + PREFIX.encode() + b"base?id=1001 HTTP/" + version, lines)
            assert status in {421, 400}, lines
        assert wire.sandbox.requests == {}


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        ("GET /workorder/api/ticket/base?id=中 HTTP/1.1".encode(), b"Host: 127.0.0.1\r\n"),
        (b"POST / HTTP/1.1", b"Host: 127.0.0.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
    ],
)
async def test_what_is_no_request(line: bytes, headers: bytes) -> None:
    """It is refused, and the log has no word of it: who started the sandbox sees no traceback."""
    async with wired(Sandbox(3)) as wire:
        assert await status_of(wire, line, headers) == 400


async def test_the_whole_url_in_the_first_line_counts_too() -> None:
    """A request line with another host's URL is misdirected, whatever `Host` says."""
    async with wired(Sandbox(3)) as wire:
        host = b"Host: 127.0.0.1\r\n"
        assert await status_of(wire, b"GET http://rebound.example/ HTTP/1.1", host) == 421
        assert await status_of(wire, b"GET http://127.0.0.1/ HTTP/1.1", host) == 404
        assert await status_of(wire, b"GET http://[::1]:1/ HTTP/1.1", host) == 404


async def status_of(wire: Wire, line: bytes, headers: bytes) -> int:
    """Send a head over a connection of its own, and return the status of the answer."""
    url = URL(wire.sandbox.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(line + b"\r\n" + headers + b"Connection: close\r\n\r\n")
        return int((await reader.read()).split(b" ", 2)[1])
    finally:
        writer.close()
        await writer.wait_closed()


async def test_uploads_are_guarded_too() -> None:
    """A temporary URL is no way around it."""
    async with wired(Sandbox(0)) as wire:
        url = await shown_url(wire, await upload(wire, b"x"))
        for headers, status in (({}, 200), ({"Host": "rebound.example"}, 421)):
            async with wire.http.get(url, headers=headers) as response:
                assert response.status == status


async def test_an_upload_comes_back_as_a_file_and_never_as_a_page() -> None:
    """A browser saves it under its name without folders, guesses no type, and runs nothing of it."""
    page = b"<script>fetch('/workorder/api/ticket/create')</script>"
    names = {
        "a.html": "a.html",
        "截图 1.svg": "%E6%88%AA%E5%9B%BE%201.svg",
        "../../etc/passwd": "passwd",
        "a%22;b%0D%0ASet-Cookie: x=1.txt": "a%22%3Bb%0D%0ASet-Cookie%3A%20x%3D1.txt",
    }
    async with wired(Sandbox(0)) as wire:
        for file_name, saved in names.items():
            attachment = await upload(wire, page, file_name=file_name, file_type="text/html")
            key = attachment["file_path"]
            async with wire.http.get(wire.sandbox._files.temporary_url(wire.sandbox.url, key)) as response:
                assert await response.read() == page
                assert response.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{saved}"
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize("names", ["sandbox", ("sandbox:8011",), ("",), ("*",), (7,), ("a/b",), ("a b",)])
def test_a_name_that_cannot_be_is_refused(names: Any) -> None:
    """Names are a list of host names, without scheme, port or wildcard."""
    with pytest.raises(ConfigError, match="names"):
        Sandbox(0, names=names)


async def test_each_sandbox_has_a_secret_of_its_own() -> None:
    """Without one that is given it is new each time and long, and `environment` tells it; another is refused."""
    async with wired(Sandbox(3)) as wire, wired(Sandbox(3)) as other, wired(Sandbox(3, app_secret="given")) as given:
        secrets = [one.sandbox.environment["WORKORDER_APP_SECRET"] for one in (wire, other, given)]
        assert len(set(secrets)) == 3
        assert [len(secrets[0]) >= 40, secrets[2]] == [True, "given"]
        assert (await wire.get("base", id=1001))["errno"] == 10000
        wire.sandbox = other.sandbox
        assert (await wire.get("base", id=1001))["errno"] == 90001
        async with other.sandbox.client() as client:
            assert (await client.list_tickets()).pagination.total == 3


def served(environment: dict[str, str], *words: object) -> tuple[dict[str, str], list[int]]:
    """Run `workorder sandbox`; return the variables that it prints, and how it answers to three hosts."""
    hosts = ["sandbox:8011", "rebound.example", "127.0.0.1"]
    with start(environment, "sandbox", "--port", 0, "--tickets", 3, *words) as child:
        assert child.stdout is not None
        lines = b""
        while lines.count(b"\n") < 4:
            lines += child.stdout.read(65536)
        exports = dict(line.removeprefix("export ").split("=", 1) for line in lines.decode().splitlines())
        variables = {name: value[1:-1] for name, value in exports.items()}
        statuses = []
        for host in hosts:
            connection = HTTPConnection(URL(variables["WORKORDER_BASE_URL"]).authority, timeout=10)
            connection.request("GET", PREFIX + "base", headers={"Host": host})
            statuses.append(connection.getresponse().status)
            connection.close()
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0
    return variables, statuses


@pytest.mark.slow
def test_the_command_has_a_new_secret_or_the_one_that_it_is_given(tmp_path: Path) -> None:
    """WORKORDER_SANDBOX_SECRET keeps the secret of a database that is used again; the real one is never taken."""
    database = ("--db", tmp_path / "x.db")
    variables = {"WORKORDER_APP_SECRET": "the-real-one", "WORKORDER_SANDBOX_SECRET": ""}
    new, refused = served(variables, *database)
    kept, allowed = served({"WORKORDER_SANDBOX_SECRET": "kept"}, *database, "--name", "sandbox", "--name", "other")
    assert new["WORKORDER_APP_SECRET"] not in ("the-real-one", "")
    assert kept["WORKORDER_APP_SECRET"] == "kept"
    assert (refused, allowed) == ([421, 421, 200], [200, 421, 200])
