import re
import time

import aiohttp
import orjson
import pytest

from tests.support.sandbox_files import upload
from tests.support.sandbox_wire import PREFIX, Clock, ticket_request, wired
from workorder_async.errors import ApiError, AuthenticationError, NotFoundError, RateLimitedError, TicketStateError
from workorder_async.sandbox import SANDBOX_ERRNOS, Errno, Sandbox

NOW = 1660298589.0
ENDPOINTS = [
    ("POST", "list_tickets"),
    ("GET", "list_tickets"),
    ("GET", "base"),
    ("GET", "detail"),
    ("POST", "create"),
    ("POST", "comment_ticket"),
    ("POST", "reject_handle"),
    ("POST", "close_ticket"),
    ("POST", "upload_file"),
]


async def test_no_endpoint_answers_the_unsigned() -> None:
    """Without the three headers, or with a wrong Sign, every endpoint answers HTTP 200, an errno and no data."""
    async with wired(Sandbox(3)) as wire:
        for method, name in ENDPOINTS:
            nameless = await wire.send(method, name, headers=dict.fromkeys(("AppId", "Timestamp", "Sign")))
            forged = await wire.send(method, name, headers={"Sign": "0" * 64})
            assert [nameless.status, forged.status] == [200, 200]
            assert nameless.envelope.keys() == forged.envelope.keys() == {"errno", "errmsg", "request_id"}
            assert [nameless.envelope["errno"], forged.envelope["errno"]] == [90003, 90001]
        assert wire.sandbox.applied == []


HEADERS: list[tuple[dict[str, str | None], int, str]] = [
    ({"AppId": None}, 90003, "AppId"),
    ({"AppId": "sandbox-app2"}, 90003, "sandbox-app2"),
    ({"Timestamp": None}, 90002, "Timestamp"),
    ({"Timestamp": ""}, 90002, "Timestamp"),
    ({"Timestamp": "1660298589.5"}, 90002, "1660298589.5"),
    ({"Timestamp": "１６６０２９８５８９"}, 90002, "Timestamp"),
    ({"Timestamp": "1660298889"}, 90001, "Sign"),
    ({"Timestamp": "1660298890"}, 90002, "301"),
    ({"Timestamp": "1660298289"}, 90001, "Sign"),
    ({"Timestamp": "1660298288"}, 90002, "301"),
    ({"Timestamp": "1660298889000"}, 90001, "Sign"),
    ({"Timestamp": "1660298889001"}, 90002, "300"),
    ({"Sign": None}, 90001, "Sign"),
    ({"Sign": "签名"}, 90001, "Sign"),
]


async def test_each_header_is_checked() -> None:
    """Each header that is missing or wrong has its errno; a timestamp may be 300 seconds off, not more."""
    clock = Clock(NOW)
    async with wired(Sandbox(3, clock=clock)) as wire:
        wire.time = clock
        for headers, errno, said in HEADERS:
            envelope = (await wire.send("GET", "base", query=[("id", "1001")], headers=headers)).envelope
            assert envelope["errno"] == errno, headers
            assert envelope["errmsg"].startswith("沙箱")
            assert said in envelope["errmsg"]


@pytest.mark.parametrize("scheme", ["md5:{secret}{timestamp}", "md5,ms:{secret}{timestamp}"])
@pytest.mark.parametrize("timestamp", ["1660298589", "1660298589123"])
async def test_seconds_and_milliseconds_are_accepted(scheme: str, timestamp: str) -> None:
    """Either unit will do, whatever the scheme's own is; the text that was sent is what was signed."""
    clock = Clock(NOW)
    sandbox = Sandbox(3, clock=clock, scheme=scheme, app_secret="sandbox-secret")
    async with wired(sandbox) as wire, aiohttp.ClientSession() as http:
        sign = {
            "1660298589": "4c615a6421e56f9980142fea9028c64e",
            "1660298589123": "2ed0db55dea95b5bae246ee515dbe7f8",
        }[timestamp]
        headers = {"AppId": "sandbox-app", "Timestamp": timestamp, "Sign": sign}
        async with http.get(f"{wire.sandbox.url}{PREFIX}base?id=1001", headers=headers) as response:
            assert (await response.json())["errno"] == 10000


async def test_what_was_signed_must_be_what_arrived() -> None:
    """A body, a query or a secret other than the signed one is refused."""
    async with wired(Sandbox(3)) as wire:
        signed = wire.sign("POST", PREFIX + "comment_ticket", (), (b'{"id":1001,"detail":"a"}',))
        changed = await wire.send(
            "POST", "comment_ticket", b'{"id":1001,"detail":"b"}', headers={"Sign": signed["Sign"]}
        )
        signed = wire.sign("GET", PREFIX + "base", (("id", "1001"),), ())
        other = await wire.send("GET", "base", query=[("id", "1002")], headers={"Sign": signed["Sign"]})
        assert (changed.envelope["errno"], other.envelope["errno"]) == (90001, 90001)
        assert wire.sandbox.applied == []
    stranger = Sandbox(3, app_secret="another")
    async with wired(Sandbox(3)) as wire, stranger:
        wire.sandbox = stranger
        assert (await wire.get("base", id=1001))["errno"] == 90001


async def test_a_body_is_signed_as_it_was_sent_even_packed() -> None:
    """A body with a Content-Encoding is not unpacked: it is signed as it came, and is no JSON."""
    async with wired(Sandbox(3)) as wire:
        answer = await wire.send("POST", "list_tickets", b"\x1f\x8b\x08\x00", headers={"Content-Encoding": "gzip"})
    assert answer.envelope["errno"] == 90007


async def test_the_envelope() -> None:
    """A success is errno 10000 and OK with data, and every answer has a request_id of its own, 32 hex digits."""
    async with wired(Sandbox(3)) as wire:
        answer = await wire.send("GET", "base", query=[("id", "1001")])
        other = await wire.get("base", id=1001)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.envelope.keys() == {"errno", "errmsg", "data", "request_id"}
    assert (answer.envelope["errno"], answer.envelope["errmsg"]) == (10000, "OK")
    assert re.fullmatch("[0-9a-f]{32}", answer.envelope["request_id"])
    assert answer.envelope["request_id"] != other["request_id"]


async def test_an_app_id_that_is_no_text_is_refused_like_any_other() -> None:
    """Bytes that are no UTF-8 are answered with the envelope, too."""
    async with wired(Sandbox(1)) as wire:
        body = await wire.raw(b"GET " + PREFIX.encode() + b"base?id=1001 HTTP/1.1\r\nHost: 127.0.0.1\r\nAppId: \xff")
    assert orjson.loads(body)["errno"] == 90003


async def test_unknown_paths_and_wrong_methods_are_plain_http() -> None:
    """There is no envelope around a 404 or a 405, and neither counts as a request to an endpoint."""
    unknown = [("GET", "/"), ("GET", f"{PREFIX}nothing")]
    wrong = [("POST", "base"), ("HEAD", "detail"), ("GET", "create"), ("PUT", "list_tickets")]
    async with wired(Sandbox(0)) as wire:
        for method, path in [*unknown, *((method, PREFIX + name) for method, name in wrong)]:
            async with wire.http.request(method, wire.sandbox.url + path) as response:
                assert response.status == (404 if (method, path) in unknown else 405)
                assert response.content_type == "text/plain"
        assert wire.sandbox.requests == {}


async def test_a_body_must_be_a_json_object() -> None:
    """What is no JSON object, or does not call itself JSON, is refused with 90007."""
    rows = [
        (b"", "application/json", "JSON"),
        (b"{", "application/json", "JSON"),
        (b"[" * 300 + b"]" * 300, "application/json", "64"),
        (b'{"detail":' + b"[" * 300 + b"]" * 300 + b"}", "application/json", "64"),
        (b"[]", "application/json", "数组 []"),
        (b"\xff", "application/json", "JSON"),
        (b'{"id":1001,}', "application/json", "JSON"),
        (b'{"id":1001}', "text/plain", "text/plain"),
        (b'{"id":1001}', "application/x-www-form-urlencoded", "application/json"),
        (b'{"id":1001}', "", "收到 ''"),
    ]
    async with wired(Sandbox(3)) as wire:
        for body, content_type, said in rows:
            for name in ("list_tickets", "comment_ticket"):
                envelope = (await wire.send("POST", name, body, content_type=content_type)).envelope
                assert envelope["errno"] == 90007
                assert said in envelope["errmsg"]
        assert wire.sandbox.applied == []


async def test_a_charset_beside_the_content_type_is_welcome() -> None:
    """Content-Type: application/json; charset=utf-8 is JSON."""
    async with wired(Sandbox(3)) as wire:
        answer = await wire.send("POST", "list_tickets", b"{}", content_type="application/json; charset=utf-8")
    assert answer.envelope["errno"] == 10000


async def test_too_large_a_body_is_a_bad_parameter() -> None:
    """JSON of more than 16 MiB is refused without being read to its end; so much is accepted, and more of a file."""
    fitting = orjson.dumps(ticket_request()).ljust(16 << 20)
    async with wired(Sandbox(0)) as wire:
        assert (await wire.send("POST", "create", fitting)).envelope["errno"] == 10000
        answer = await wire.send("POST", "create", fitting + b" " * 5_000_000)
        assert answer.envelope["errno"] == 90004
        assert str(16 << 20) in answer.envelope["errmsg"]
        assert len(wire.sandbox.applied) == 1
        assert (await upload(wire, fitting + b" "))["file_size"] == len(fitting) + 1


def test_invented_errnos_map_to_errors() -> None:
    """The table for WorkorderClient(errnos=...) gives classes to the sandbox's inventions, and 23000 is not in it."""
    assert dict(SANDBOX_ERRNOS) == {
        90001: AuthenticationError,
        90002: AuthenticationError,
        90003: AuthenticationError,
        90005: NotFoundError,
        90008: TicketStateError,
        90009: RateLimitedError,
    }
    assert all(issubclass(kind, ApiError) for kind in SANDBOX_ERRNOS.values())
    assert [int(one) for one in Errno if one < 90000] == [23000]


async def test_time_goes_on_by_the_servers_clock() -> None:
    """A caller whose clock stands still is refused once the server's has moved on."""
    clock = Clock(time.time())
    async with wired(Sandbox(3, clock=clock)) as wire:
        assert (await wire.get("base", id=1001))["errno"] == 10000
        clock.now += 400
        assert (await wire.get("base", id=1001))["errno"] == 90002
