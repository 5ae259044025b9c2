"""cli/connection.py: of whom errnos are known; proxies, rate and time of what a command asks."""

import asyncio
import socket
import time

import orjson
import pytest

from tests.support.cli_runs import Workorder, elsewhere
from tests.support.raw_server import http, serving


def test_of_whom_errnos_are_known(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """WORKORDER_ERRNOS is of the platform that the environment names; where it names none, of that of the profile."""
    refused = http(orjson.dumps({"errno": 90005, "errmsg": "no", "request_id": "r-1"}))
    with elsewhere(serving(refused)) as wire:
        named = {f" {wire.url} ": "NotFoundError", "": "NotFoundError", "http://127.0.0.1:1": "ApiError"}
        for url, error in named.items():
            monkeypatch.setenv("WORKORDER_BASE_URL", url)
            ran = workorder("comment", 7, "--detail", "x", "--json", "--base-url", wire.url)
            assert (ran.code, ran.rows[0]["error"], ran.rows[0]["errno"]) == (1, error, 90005)


NO = http(orjson.dumps({"errno": 1, "errmsg": "no", "request_id": "r-1"}))
ELSEWHERE = ["show", 7, "--base-url", "http://workorder.example"]


def _known_nowhere(*_: object, **__: object) -> None:
    """Answer as a server of names does that does not know the host, at once."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def first_line(request: bytes) -> bytes:
    """Return what a request asks for, as a proxy sees it."""
    return request.split(b"\r\n")[0]


@pytest.mark.parametrize("way", ["--proxy", "HTTP_PROXY", "http_proxy", "without a scheme"])
def test_requests_go_through_the_proxy(workorder: Workorder, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """The proxy is that of --proxy, or the environment's: it gets the whole URL of a host that it alone finds."""
    with elsewhere(serving(NO)) as proxy:
        if way != "--proxy":
            name = way if way.isidentifier() else "HTTP_PROXY"
            monkeypatch.setenv(name, proxy.url if way.isidentifier() else proxy.url.removeprefix("http://"))
        ran = workorder(*ELSEWHERE, *(["--proxy", proxy.url] if way == "--proxy" else []))
        assert first_line(proxy.requests[0]).startswith(b"GET http://workorder.example/")
    assert (ran.code, "errno 1" in ran.err) == (1, True)


@pytest.mark.slow
def test_some_hosts_need_no_proxy(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine, hosts of NO_PROXY, and whatever is asked with --proxy '' are reached without the proxy."""
    monkeypatch.setattr(socket, "getaddrinfo", _known_nowhere)
    with elsewhere(serving(NO)) as proxy, elsewhere(serving(NO)) as near:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert "errno 1" in workorder("show", 7, "--base-url", near.url).err
        gone = workorder(*ELSEWHERE, "--proxy", "", "--timeout", 2)
        monkeypatch.setenv("NO_PROXY", "other.example,.example")
        unproxied = workorder(*ELSEWHERE, "--timeout", 2)
        assert (len(proxy.requests), len(near.requests)) == (0, 1)
    assert all("workorder.example" in ran.err and ran.code == 1 for ran in (gone, unproxied))


@pytest.mark.parametrize(
    ("words", "variable", "said"),
    [
        (["--proxy", "socks5://127.0.0.1:1"], "", "--proxy 'socks5://127.0.0.1:1' is no http:// or https:// URL"),
        (["--proxy", "http://me:sandbox-secret@proxy:1"], "", "--proxy holds a user or a password"),
        (
            [],
            "socks5://me:sandbox-secret@proxy:1",
            "HTTP_PROXY is no http:// or https:// URL of a proxy, or",
        ),
        (["--rate", "0"], "", "--rate is 0.0; it must be a number above 0"),
        (["--rate", "nan"], "", "--rate is nan; it must be a number above 0"),
        (["--rate", "None"], "", "--rate: 'None' is no number"),
        (["--rate", "1_000"], "", "--rate: '1_000' is no number"),
        (["--timeout", "９"], "", "--timeout: '９' is no number"),
        (["--timeout", "-1"], "", "--timeout is -1.0; it must be a number above 0"),
    ],
)
def test_what_cannot_work_is_refused(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, words: list[str], variable: str, said: str
) -> None:
    """A proxy, a rate or a time that cannot work is named with its mend, and no password is shown."""
    monkeypatch.setenv("HTTP_PROXY", variable)
    for command in (ELSEWHERE, ["doctor", *ELSEWHERE[2:]]):
        ran = workorder(*command, *words)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert said in ran.err


def test_a_call_ends_with_its_time(workorder: Workorder) -> None:
    """With --timeout a server that never answers holds a command no longer than that."""

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with elsewhere(serving(never)) as wire:
        began = time.monotonic()
        ran = workorder("show", 7, "--base-url", wire.url, "--timeout", 0.5)
        assert (ran.code, time.monotonic() - began < 5) == (1, True)
    assert "no answer within 0.5 s" in ran.err


def test_requests_keep_to_the_rate(workorder: Workorder) -> None:
    """With --rate requests are started no faster than that."""
    with elsewhere(serving(NO)) as wire:
        began = time.monotonic()
        workorder("comment", *range(1, 7), "--detail", "x", "--base-url", wire.url, "--rate", 10)
        assert time.monotonic() - began > 0.4
        assert len(wire.requests) >= 6


def test_the_doctor_examines_the_proxy(workorder: Workorder) -> None:
    """Where there is a proxy, it is what must be found and connected to, and the platform answers through it."""
    with elsewhere(serving(NO)) as proxy:
        ran = workorder("doctor", "--json", *ELSEWHERE[2:], "--proxy", proxy.url)
        checks = {row["name"]: (row["ok"], row["found"]) for row in ran.rows}
    ok, said = checks["connection"]
    assert ok
    assert said.startswith(f"port {proxy.port} of 127.0.0.1 takes connections; it is the proxy")
    assert checks["answer"][0]
    gone = workorder("doctor", "--json", *ELSEWHERE[2:], "--proxy", proxy.url)
    assert "the URL of the proxy" in next(row["mend"] for row in gone.rows if row["name"] == "connection")
