import asyncio
import gc
import hashlib
import hmac
import itertools
import logging
import random
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from yarl import URL

from tests.support.rows import each
from tests.support.sandbox_wire import PREFIX, Clock, Wire, ticket_request, wired
from tests.support.slow import slow_after
from workorder_async.errors import ConfigError, NotFoundError, TicketStateError
from workorder_async.sandbox import Sandbox
from workorder_async.sandbox.sandbox import DEFAULT_SCHEME
from workorder_async.sandbox.seed import tickets as seed_tickets
from workorder_async.signing.candidates import SECRET, Seen, candidates


@each(
    ("arguments", "named"),
    [
        ({"tickets": -1}, "tickets"),
        ({"tickets": True}, "tickets"),
        ({"tickets": 1.5}, "tickets"),
        ({"port": 65536}, "port"),
        ({"page_size_cap": 0}, "page_size_cap"),
        ({"latency": -0.1}, "latency"),
        ({"latency": float("nan")}, "latency"),
        ({"latency": float("inf")}, "latency"),
        ({"latency": "1"}, "latency"),
        ({"seed": None}, "seed"),
        ({"host": ""}, "host"),
        ({"app_id": ""}, "app_id"),
        ({"app_secret": ""}, "app_secret"),
        ({"scheme": "md5"}, "scheme"),
        ({"clock": 5}, "clock is 5; it must be a function, no `async def`, that returns seconds since the epoch"),
        ({"clock": asyncio.sleep}, "no `async def`"),
        ({"host": 8011}, "host is 8011; it must be text, such as 127.0.0.1"),
        ({"db": 5}, "db is int 5; it must be a path"),
        ({"db": "/"}, "db is '/'; it must be a file"),
        ({"shuffle_ties": "no"}, "shuffle_ties is 'no'; it must be True or False"),
    ],
)
def test_a_bad_argument_is_refused_at_once(arguments: dict[str, Any], named: str) -> None:
    """An argument that cannot work is named before anything is opened."""
    with pytest.raises(ConfigError, match=named):
        Sandbox(**arguments)


@each(
    ("clock", "named"),
    [
        (datetime.now, r"clock returned datetime.*; it must return seconds since the epoch"),
        (lambda: time.time() * 1000, "clock returned .*; it must return seconds since the epoch"),
        (lambda: asyncio.sleep(0), "clock is an `async def`"),
    ],
)
async def test_a_clock_that_tells_no_seconds(clock: Any, named: str) -> None:
    """It is named when the sandbox is entered: a clock may need the event loop."""
    sandbox = Sandbox(1, clock=clock)
    with pytest.raises(ConfigError, match=named):
        await sandbox.__aenter__()


async def test_a_taken_port_is_named_with_the_mend() -> None:
    """A port in use is a ConfigError that says which port and what to do, and leaves nothing open."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sandbox = Sandbox(0, port=port)
        with pytest.raises(ConfigError, match=rf"port {port} of 127\.0\.0\.1.*choose another port"):
            await sandbox.__aenter__()
        with pytest.raises(ConfigError, match="not running"):
            _ = sandbox.environment


async def test_it_listens_where_it_is_told(unused_tcp_port: int) -> None:
    """Host and port are those asked for, an IPv6 address in brackets."""
    async with Sandbox(0, port=unused_tcp_port) as sandbox:
        assert sandbox.url == f"http://127.0.0.1:{unused_tcp_port}"
    async with Sandbox(0, host="::1") as sandbox, aiohttp.ClientSession() as http:
        assert sandbox.url.startswith("http://[::1]:")
        async with http.get(sandbox.url) as response:
            assert response.status == 404


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "http://127.0.0.1:"), ("::", "http://[::1]:")])
async def test_its_url_is_one_to_ask(host: str, url: str) -> None:
    """A server that listens on all addresses is asked by the one of this machine, and not warned of."""
    async with Sandbox(3, host=host) as sandbox, sandbox.client() as client:
        assert sandbox.url.startswith(url)
        assert await client.count_tickets() == 3


async def test_it_is_entered_once_and_asked_only_while_it_runs() -> None:
    """Before it runs it has no URL, and it cannot be entered twice."""
    sandbox = Sandbox(0)
    with pytest.raises(ConfigError, match="not running"):
        _ = sandbox.url
    with pytest.raises(ConfigError, match="not running"):
        _ = sandbox.applied
    async with sandbox:
        with pytest.raises(ConfigError, match="entered already"):
            await sandbox.__aenter__()
        await sandbox.change(create=1)
    assert len(sandbox.drifted) == 1
    with pytest.raises(ConfigError, match="this sandbox is closed; make another one"):
        await sandbox.change(create=1)
    with pytest.raises(ConfigError, match="this sandbox is closed; make another one"):
        await sandbox.act(1001, "close")


@pytest.mark.parametrize("host", ["a" * 64, "a\0b"])
async def test_a_host_that_is_no_name(host: str) -> None:
    """What cannot be asked for at all is said as what cannot be found is."""
    with pytest.raises(ConfigError, match=r"cannot listen on port 0 of a.* \(.+\); choose another port"):
        await Sandbox(0, host=host).__aenter__()


async def test_the_environment_is_what_a_client_reads() -> None:
    """The variables are the URL, AppId, secret and scheme that it was made with, and what its errnos mean."""
    async with Sandbox(0, app_id="a", app_secret="b", scheme="md5:{secret}{timestamp}") as sandbox:
        assert "90005=NotFoundError," in sandbox.environment["WORKORDER_ERRNOS"]
        assert sandbox.environment == {
            "WORKORDER_ERRNOS": sandbox.environment["WORKORDER_ERRNOS"],
            "WORKORDER_BASE_URL": sandbox.url,
            "WORKORDER_APP_ID": "a",
            "WORKORDER_APP_SECRET": "b",
            "WORKORDER_SIGN_SCHEME": "md5:{secret}{timestamp}",
        }


async def test_its_client_knows_its_errnos() -> None:
    """`client()` reads and changes, has classes for the sandbox's own errnos, and lets yours go before them."""
    clock = Clock(time.time() + 10)
    async with Sandbox(3, clock=clock) as sandbox:
        async with sandbox.client(now=clock) as client:
            assert (await client.list_tickets()).pagination.total == 3
            with pytest.raises(NotFoundError):
                await client.get_ticket(9)
        async with sandbox.client(errnos={90005: TicketStateError}) as client:
            with pytest.raises(TicketStateError):
                await client.get_ticket(9)
        with pytest.raises(ConfigError, match=r"errnos has .* it must lead from numbers to classes"):
            sandbox.client(errnos=[90005])  # type: ignore[arg-type]


async def test_a_signature_made_by_hand_is_accepted() -> None:
    """The default scheme is an HMAC-SHA256 over AppId, Timestamp, method, path, query and body, joined by colons."""
    async with Sandbox(3, app_secret="sandbox-secret") as sandbox, aiohttp.ClientSession() as http:
        now = str(int(time.time()))
        signed = f"sandbox-app:{now}:GET:/workorder/api/ticket/base:id=1003:"
        sign = hmac.new(b"sandbox-secret", signed.encode(), hashlib.sha256).hexdigest()
        headers = {"AppId": "sandbox-app", "Timestamp": now, "Sign": sign}
        async with http.get(f"{sandbox.url}{PREFIX}base?id=1003", headers=headers) as response:
            envelope = await response.json()
    assert envelope["errno"] == 10000
    assert envelope["data"]["id"] == 1003


def test_the_default_scheme_is_among_those_of_a_search() -> None:
    """`workorder sign detect` would find it."""
    head, _, template = DEFAULT_SCHEME.partition(":")
    parts = template.split(":")
    assert head == "hmac-sha256"
    assert any(
        (sorted(one.parts), one.key, (":", ":") in one.turns) == (sorted(parts), SECRET, True)
        for one in candidates(Seen(("{body}",)), "sha256")
    )


async def test_the_same_seed_gives_the_same_tickets() -> None:
    """Tickets depend on count and seed alone; another seed gives others."""
    pages = []
    for seed, clock in ((1, Clock(1660298589.0)), (1, Clock(1760298589.0)), (2, Clock(1660298589.0))):
        async with wired(Sandbox(50, seed=seed, clock=clock)) as wire:
            wire.time = clock
            pages.append((await wire.post("list_tickets", {"page_size": 50}))["data"])
    assert pages[0] == pages[1]
    assert pages[0] != pages[2]
    assert pages[0]["pagination"] == {"page_size": 50, "total": 50}


async def test_seeded_tickets_are_plausible() -> None:
    """Every status, type and priority occurs, times follow each other, and ids follow creation."""
    async with wired(Sandbox(400, page_size_cap=400)) as wire:
        rows = (await wire.post("list_tickets", {"page_size": 400}))["data"]["tickets"]
        details = [(await wire.get("detail", id=row["id"]))["data"] for row in rows[:100]]
    assert {row["status"] for row in rows} == {"1", "2", "3", "4"}
    assert {row["type"] for row in rows} == {1, 2, 3}
    assert {row["priority"] for row in rows} == {"1", "2", "3"}
    assert [row["id"] for row in rows] == list(range(1400, 1000, -1))
    assert sorted((row["created_time"] for row in rows), reverse=True) == [row["created_time"] for row in rows]
    assert len({row["created_time"] for row in rows}) < 400, "some share a second"
    for row in rows:
        assert row["reported_time"] <= row["created_time"]
        assert (row["status"] == "3") == bool(row["closed_time"])
    for detail in details:
        if detail["status"] == 3:
            assert detail["started_time"] < detail["finished_time"] < detail["solved_time"] < detail["closed_time"]
        assert detail["sub_type"] // 10 == detail["type"]
        assert detail["second_subtype"] // 10 == detail["sub_type"]
        assert detail["sub_type_name"]
        assert set(detail["form_values"]) == {one["display_name"] for one in detail["form_define"]}


async def test_the_documents_example_can_be_closed() -> None:
    """Ticket 1473 is open and was created by 田金秀, so that the API document's example of close_ticket works."""
    body = {
        "closer_id": 40084,
        "closer_name": "田金秀",
        "detail": "这是工单关闭的备注反馈内容",
        "id": 1473,
        "is_solved": False,
        "solved_time": 1660298589,
    }
    async with wired(Sandbox(500)) as wire:
        assert (await wire.post("close_ticket", body))["errno"] == 10000
        again = await wire.post("close_ticket", body)
    assert (again["errno"], again["errmsg"]) == (23000, "工单状态不允许关闭")


async def test_a_file_survives_a_restart(tmp_path: Path) -> None:
    """Changes and uploads are there again after a restart, and the file is not seeded anew."""
    file = tmp_path / "sandbox.db"
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--b--'
    async with wired(Sandbox(5, db=file)) as wire:
        upload = await wire.send("POST", "upload_file", form, content_type="multipart/form-data; boundary=b")
        attachment = upload.envelope["data"]
        assert (await wire.post("comment_ticket", {"id": 1001, "detail": "记一笔"}))["errno"] == 10000
        new = ticket_request() | {"attachment": [attachment]}
        assert (await wire.post("create", new))["data"] == {"id": 1006}
    async with wired(Sandbox(7, db=str(file), seed=9)) as wire:
        page = (await wire.post("list_tickets", {}))["data"]
        assert [row["id"] for row in page["tickets"]] == [1006, 1005, 1004, 1003, 1002, 1001]
        detail = (await wire.get("detail", id=1001))["data"]
        assert detail["assigns"][0]["history"][-1]["detail"] == "记一笔"
        shown = (await wire.get("detail", id=1006))["data"]["attachment"][0]
        async with wire.http.get(shown["file_path"]) as response:
            assert await response.read() == b"hello"
        assert wire.sandbox.applied == []


async def test_a_file_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """A file without a table of steps gets one; what is done to its tickets follows the history that they had."""
    file = tmp_path / "sandbox.db"
    async with wired(Sandbox(5, db=file)) as wire:
        before = (await wire.get("detail", id=1001))["data"]["assigns"][0]["history"]
    with closing(sqlite3.connect(file)) as database:
        database.executescript("DROP TABLE steps; PRAGMA user_version = 1;")
    async with wired(Sandbox(5, db=file)) as wire:
        assert (await wire.post("comment_ticket", {"id": 1001, "detail": "记一笔"}))["errno"] == 10000
        after = (await wire.get("detail", id=1001))["data"]["assigns"][0]["history"]
    assert after[:-1] == before
    assert after[-1]["detail"] == "记一笔"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 3")
    with pytest.raises(ConfigError, match="not a sandbox database"):
        await Sandbox(5, db=file).__aenter__()


async def test_filling_it_can_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox that is cancelled while it makes its tickets ends at once, and leaves a file to be filled anew."""
    filling, loop = asyncio.Event(), asyncio.get_running_loop()

    def endless(count: int, seed: int, until: int | None) -> Iterator[dict[str, Any]]:
        (record,) = seed_tickets(1, seed)
        for id in itertools.count(1):
            yield {**record, "id": id}
            loop.call_soon_threadsafe(filling.set)

    monkeypatch.setattr("workorder_async.sandbox.seed.tickets", endless)
    entering = asyncio.create_task(Sandbox(1001, db=tmp_path / "sandbox.db").__aenter__())
    await filling.wait()
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    monkeypatch.undo()
    async with Sandbox(7, db=tmp_path / "sandbox.db") as sandbox, sandbox.client() as client:
        assert (await client.list_tickets()).pagination.total == 7


async def test_a_file_is_used_by_one_sandbox_at_a_time(tmp_path: Path) -> None:
    """A second sandbox on the same file is refused while the first runs, and welcome afterwards."""
    file = tmp_path / "sandbox.db"
    async with Sandbox(2, db=file):
        with pytest.raises(ConfigError, match=r"sandbox\.db cannot be used.*another sandbox may have it open"):
            await Sandbox(2, db=file).__aenter__()
    async with Sandbox(2, db=file):
        pass


@pytest.mark.parametrize("content", ["text", "foreign", "folder", "nowhere"])
async def test_a_file_that_is_no_sandbox_database_is_refused(tmp_path: Path, content: str) -> None:
    """Text, another program's database, a folder or a path to nowhere: a ConfigError that names the file."""
    file = tmp_path / "x.db"
    match content:
        case "text":
            file.write_text("not a database " * 100)
        case "foreign":
            connection = sqlite3.connect(file)
            connection.execute("CREATE TABLE tickets (id)")
            connection.close()
        case "folder":
            file.mkdir()
        case _:
            file = tmp_path / "none" / "x.db"
    before = file.read_bytes() if file.is_file() else None
    with pytest.raises(ConfigError, match=r"x\.db .*(name another file|folder must exist)"):
        await Sandbox(2, db=file).__aenter__()
    assert (file.read_bytes() if file.is_file() else None) == before


async def test_what_waits_is_answered_when_the_sandbox_ends() -> None:
    """The end of a sandbox is the end of its latency: nobody is left without the answer that was on its way."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()

    def clock() -> float:
        loop.call_soon_threadsafe(asked.set)
        return time.time()

    sandbox = Sandbox(3, latency=60, clock=clock)
    async with sandbox, sandbox.client() as client:
        asked.clear()
        asking = asyncio.create_task(client.get_ticket(1001))
        await asked.wait()
        await sandbox.__aexit__(None, None, None)
        assert (await asking).id == 1001


async def test_requests_run_side_by_side_and_latency_is_added_to_each() -> None:
    """Ten requests of 0.2 s each take about 0.2 s together, and none takes less."""
    async with wired(Sandbox(10, latency=0.2)) as wire:
        began = time.monotonic()
        answers = await asyncio.gather(*(wire.get("base", id=1001 + index) for index in range(10)))
        took = time.monotonic() - began
        assert wire.sandbox.requests == {"get_ticket": 10}
    assert [answer["data"]["id"] for answer in answers] == list(range(1001, 1011))
    assert 0.2 <= took < 2.0


async def test_concurrent_mutations_all_happen_once_and_in_the_recorded_order() -> None:
    """A hundred comments at once are a hundred steps of the history, in the order of `applied`."""
    async with wired(Sandbox(3)) as wire:
        comments = [{"id": 1001, "detail": f"第{index}条"} for index in range(100)]
        answers = await asyncio.gather(*(wire.post("comment_ticket", comment) for comment in comments))
        history = (await wire.get("detail", id=1001))["data"]["assigns"][0]["history"][-100:]
        applied = wire.sandbox.applied
    assert [answer["errno"] for answer in answers] == [10000] * 100
    assert {one["detail"] for one in history} == {comment["detail"] for comment in comments}
    assert [one.request["detail"] for one in applied] == [one["detail"] for one in history]
    assert len({one["id"] for one in history}) == 100


async def test_applied_and_requests_are_copies() -> None:
    """What a test does to the record does not change the record."""
    async with wired(Sandbox(3)) as wire:
        await wire.post("comment_ticket", {"id": 1001, "detail": "x"})
        wire.sandbox.applied.clear()
        wire.sandbox.requests.clear()
        assert len(wire.sandbox.applied) == 1
        assert wire.sandbox.requests["comment_ticket"] == 1


async def test_date_is_the_servers_own_time() -> None:
    """Every answer's Date header follows the sandbox's clock, an HTTP 404's too."""
    clock = Clock(1660298589.9)
    async with wired(Sandbox(3, clock=clock)) as wire:
        wire.time = clock
        dates = {(await wire.send("GET", name)).headers["Date"] for name in ("base", "nothing")}
        assert dates == {"Fri, 12 Aug 2022 10:03:09 GMT"}


async def half_a_request(wire: Wire, name: str, kind: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send the signed headers of a request and the first bytes of its body."""
    signed = "\r\n".join(f"{key}: {value}" for key, value in wire.sign("POST", PREFIX + name, (), ()).items())
    head = f"POST {PREFIX}{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: 99\r\n{signed}"
    url = URL(wire.sandbox.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"{head}\r\n\r\n--b".encode())
    await writer.drain()
    return reader, writer


async def test_a_caller_that_hangs_up_midway_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Half a body and a closed connection leave no error in the log, and the next request is answered."""
    arrived = asyncio.Event()

    def clock() -> float:
        arrived.set()
        return time.time()

    async with wired(Sandbox(3, clock=clock)) as wire:
        for name, kind in (("list_tickets", "application/json"), ("upload_file", "multipart/form-data; boundary=b")):
            _, writer = await half_a_request(wire, name, kind)
            await arrived.wait()
            arrived.clear()
            writer.close()
            await writer.wait_closed()
        assert (await wire.get("base", id=1001))["errno"] == 10000
        assert wire.sandbox.requests == {"list_tickets": 1, "upload_file": 1, "get_ticket": 1}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_leaving_does_not_wait_for_a_caller_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose body never comes keeps the sandbox from ending for a moment, and no longer."""
    monkeypatch.setattr("workorder_async.sandbox.sandbox._PATIENCE", 0.1)
    arrived = asyncio.Event()

    def clock() -> float:
        arrived.set()
        return time.time()

    async with wired(Sandbox(3, clock=clock)) as wire:
        _, writer = await half_a_request(wire, "list_tickets", "application/json")
        await arrived.wait()
        began = time.monotonic()
    assert 0.05 < time.monotonic() - began < 5
    writer.close()


@pytest.mark.parametrize("turns", slow_after(2, range(4)))
async def test_left_while_somebody_connects(turns: int) -> None:
    """The connection ends with the sandbox, however far it has come: no warning tells of an open one."""
    async with Sandbox(3) as sandbox:
        address = URL(sandbox.url)
        with socket.create_connection((str(address.host), address.port or 0)) as caller:
            for _ in range(turns):
                await asyncio.sleep(0)
            await sandbox.__aexit__(None, None, None)
            caller.settimeout(5)
            with suppress(ConnectionResetError):
                assert caller.recv(1) == b""
    gc.collect()


CHILD = """
import asyncio, sys
from tests.support.sandbox_wire import wired
from workorder_async.sandbox import Sandbox

async def main():
    async with wired(Sandbox(3, db=sys.argv[1])) as wire:
        await wire.post("comment_ticket", {"id": 1001, "detail": "before the end"})
        print("said", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_file_survives_sigkill(tmp_path: Path) -> None:
    """What was answered is there after the process was killed, and the file is free again."""
    file = tmp_path / "sandbox.db"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(file), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    try:
        assert await child.stdout.readline() == b"said\n"
    finally:
        child.kill()
        await child.wait()
    async with wired(Sandbox(0, db=file)) as wire:
        detail = (await wire.get("detail", id=1001))["data"]
    assert detail["assigns"][0]["history"][-1]["detail"] == "before the end"


async def test_deep_walks_count_once_and_windows_use_the_index() -> None:
    """A total is counted once until something changes, and a window of time is answered from the index."""
    clock = Clock()
    async with wired(Sandbox(200, clock=clock)) as wire:
        wire.time = clock
        database = wire.sandbox._store._db
        statements: list[str] = []
        database.set_trace_callback(statements.append)
        window = {"created_start": 1672502400, "created_end": 1672502400 + 86400 * 100, "page_size": 10}
        for page in (1, 2, 1):
            await wire.post("list_tickets", window | {"page": page})
        counts = [statement for statement in statements if "count(*)" in statement]
        assert len(counts) == 1
        plans = [
            str(row["detail"])
            for statement in dict.fromkeys(statements)
            for row in database.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
        assert len(plans) == 3
        assert all("USING" in plan and "INDEX by_time (created_time>? AND created_time<?)" in plan for plan in plans)
        statements.clear()
        await wire.post("comment_ticket", {"id": 1001, "detail": "x"})
        await wire.post("list_tickets", window)
        assert sum("count(*)" in statement for statement in statements) == 1


async def test_a_total_is_right_whatever_was_counted_before() -> None:
    """A total is counted on from the one before: up, down, from no end and to none, also after a change."""
    async with wired(Sandbox(40)) as wire:
        rows = (await wire.post("list_tickets", {"page": 1, "page_size": 100}))["data"]["tickets"]
        times = [row["created_time"] for row in rows]
        random_ = random.Random(1)
        for turn in range(200):
            start, end = random_.choice([0, *times]), random_.choice([0, None, 1, times[0] + 9, *times, *times])
            asked = {"created_start": start, "created_end": end, "page": 1, "page_size": 1}
            found = (await wire.post("list_tickets", asked))["data"]["pagination"]["total"]
            assert found == sum(start <= time <= (end or time) for time in times), asked
            if turn == 100:
                await wire.post("create", ticket_request())
                rows = (await wire.post("list_tickets", {"page": 1, "page_size": 100}))["data"]["tickets"]
                times = [row["created_time"] for row in rows]


async def test_many_different_totals_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The totals of a few thousand filters are remembered, then forgotten, and right all the time."""
    monkeypatch.setattr("workorder_async.sandbox.store._TOTALS_KEPT", 3)
    async with wired(Sandbox(20)) as wire:
        ids = random.Random(1).choices(range(210001, 210009), k=30)
        totals = {
            id: (await wire.post("list_tickets", {"creator_id": id}))["data"]["pagination"]["total"] for id in ids
        }
        creators = [(await wire.get("base", id=1001 + index))["data"]["creator_id"] for index in range(20)]
        assert len(wire.sandbox._store._totals) <= 3
    assert totals == {id: creators.count(id) for id in totals}


async def test_text_of_any_kind_comes_back_as_it_was_sent() -> None:
    """NULs, newlines, emoji and five megabytes of text go in and out unchanged."""
    text = "a\x00b\r\n\u2028🀄 " + "工" * 1_700_000
    async with wired(Sandbox(0)) as wire:
        await wire.post("create", ticket_request() | {"detail": text, "title": "\x00🀄"})
        assert (await wire.get("base", id=1))["data"]["detail"] == text
        row = (await wire.post("list_tickets", {}))["data"]["tickets"][0]
        assert (row["detail"], row["title"]) == (text, "\x00🀄")
        surrogate = orjson.dumps(ticket_request()).replace(b'"title":"', b'"title":"\\ud800')
        assert (await wire.send("POST", "create", surrogate)).envelope["errno"] == 90007
