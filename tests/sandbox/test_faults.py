import asyncio
import gc
import inspect
import time
from collections.abc import Coroutine
from typing import Any, get_args

import aiohttp
import orjson
import pytest

from tests.support.rows import each
from tests.support.sandbox_faults import COMMENT, comment, commenting, content_length, noted_struck, noted_waits
from tests.support.sandbox_files import FORM_TYPE, form
from tests.support.sandbox_wire import Answer, Clock, Wire, ticket_request, wired
from tests.support.slow import slow_but_every
from workorder_async.errors import ConfigError
from workorder_async.sandbox import Fault, Kind, Sandbox

NOT_APPLIED: tuple[Kind, ...] = (
    "refuse",
    "reset",
    "hang",
    "401",
    "403",
    "429",
    "500",
    "503",
    "html",
    "portal",
    "errno",
)
APPLIED: tuple[Kind, ...] = (
    "reset_after",
    "hang_after",
    "500_after",
    "502_after",
    "503_after",
    "504_after",
    "html_after",
    "portal_after",
    "errno_after",
    "truncate",
    "slow_headers",
    "slow_body",
    "date",
    "bomb",
    "deep",
    "many_headers",
    "long_header",
)
STATUS = {"html": 502, "html_after": 502}
NO_ANSWER = {"refuse", "reset", "hang", "reset_after", "hang_after", "truncate"}


def fault(kind: Kind, **options: Any) -> Fault:
    """Make a quick fault of a kind."""
    errno = 90777 if kind.startswith("errno") else None
    return Fault(kind, **{"seconds": 0.02, "errno": errno, "size": 2000} | options)


async def heard(wire: Wire, kind: Kind, asking: Coroutine[Any, Any, Answer]) -> Answer | None:
    """Return the answer, or None where there is none; a caller in silence goes away."""
    if not kind.startswith("hang"):
        try:
            return await asking
        except aiohttp.ClientError:
            return None
    task, waits = asyncio.create_task(asking), noted_waits(wire.sandbox)
    await waits.until(1)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    await waits.until(0)
    return None


@each(
    ("kind", "arguments", "named"),
    [
        ("crash", {}, r"Fault\.kind.*refuse"),
        ("reset", {"operation": "close"}, r"Fault\.operation.*close_ticket"),
        ("reset", {"after": -1}, r"Fault\.after"),
        ("reset", {"every": 0}, r"Fault\.every"),
        ("reset", {"times": 0}, r"Fault\.times"),
        ("reset", {"chance": 1.1}, r"Fault\.chance"),
        ("reset", {"chance": float("nan")}, r"Fault\.chance"),
        ("reset", {"chance": "1"}, r"Fault\.chance"),
        ("reset", {"chance": True}, r"Fault\.chance"),
        ("slow_body", {"seconds": -1}, r"Fault\.seconds"),
        ("slow_body", {"seconds": float("inf")}, r"Fault\.seconds"),
        ("429", {"retry_after": 1.5}, r"Fault\.retry_after"),
        ("429", {"retry_after": -1}, r"Fault\.retry_after"),
        ("errno", {}, r"Fault\.errno"),
        ("errno", {"errno": 10000}, r"Fault\.errno"),
        ("errno", {"errno": "90001"}, r"Fault\.errno"),
        ("reset", {"errno": 90001}, r"Fault\.errno"),
        ("errno_after", {}, r"Fault\.errno"),
        ("503_after", {"errno": 90001}, r"Fault\.errno"),
        ("500_after", {"errno": 2**31}, r"Fault\.errno"),
        ("date", {"seconds": float("nan")}, r"Fault\.seconds"),
        ("date", {"seconds": 10**10}, r"Fault\.seconds"),
        ("slow_headers", {"seconds": -1}, r"Fault\.seconds"),
        ("total", {"number": 1.5}, r"Fault\.number"),
        ("bomb", {"size": 0}, r"Fault\.size"),
        ("page_size", {"operation": "get_ticket"}, r"Fault\.operation.*list_tickets"),
        ("other_ticket", {"operation": "list_tickets"}, r"Fault\.operation.*get_ticket_detail"),
    ],
)
def test_an_impossible_fault_is_refused(kind: Kind, arguments: dict[str, Any], named: str) -> None:
    """A value that cannot be is named when the Fault is made."""
    with pytest.raises(ConfigError, match=named):
        Fault(kind, **arguments)


@pytest.mark.parametrize("script", [Fault("reset"), [Fault("reset"), "reset"], None])
def test_a_script_is_a_list_of_faults(script: Any) -> None:
    """One Fault without brackets, or something else among them, is refused at once, and later too."""
    with pytest.raises(ConfigError, match="faults"):
        Sandbox(0, faults=script)
    sandbox = Sandbox(0)
    with pytest.raises(ConfigError, match="faults"):
        sandbox.faults = script
    assert sandbox.faults == ()


@pytest.mark.parametrize("kind", slow_but_every(2, NOT_APPLIED))
async def test_these_kinds_apply_nothing(kind: Kind) -> None:
    """A mutation that meets one of these did not happen, and the next one does, once."""
    await _meets(kind, applied=1)


@pytest.mark.parametrize("kind", slow_but_every(2, APPLIED))
async def test_these_kinds_apply_the_mutation_once(kind: Kind) -> None:
    """A mutation that meets one of these has happened, whatever its caller saw."""
    await _meets(kind, applied=2)


async def _meets(kind: Kind, *, applied: int) -> None:
    clock = Clock()
    async with wired(Sandbox(3, faults=[fault(kind, times=1)], clock=clock)) as wire:
        wire.time = clock
        answer = await heard(wire, kind, comment(wire))
        assert (answer is None) is (kind in NO_ANSWER)
        assert (await comment(wire)).envelope["errno"] == 10000
        assert [dict(one.request) for one in wire.sandbox.applied] == [COMMENT] * applied
        history = (await wire.get("detail", id=1001))["data"]["assigns"][0]["history"]
        (struck,) = wire.sandbox.struck
    assert sum(one["detail"] == COMMENT["detail"] for one in history) == applied
    assert (struck.fault.kind, struck.operation, struck.request, struck.time) == (
        kind,
        "comment_ticket",
        1,
        clock.now,
    )


@pytest.mark.parametrize("kind", slow_but_every(4, NOT_APPLIED + APPLIED))
@pytest.mark.parametrize("operation", ["list_tickets", "upload_file"])
async def test_reads_and_uploads_meet_them_too(operation: str, kind: Kind) -> None:
    """Every endpoint can meet every kind, and answers rightly the next time."""

    async def ask() -> Answer:
        if operation == "list_tickets":
            return await wire.send("GET", "list_tickets")
        return await wire.send("POST", "upload_file", form(b"hello"), content_type=FORM_TYPE)

    async with wired(Sandbox(3, faults=[fault(kind, operation=operation, times=1)])) as wire:
        # A GET that gets no answer is sent again by aiohttp itself.
        wire.http._retry_connection = False
        answer = await heard(wire, kind, ask())
        assert (answer is None) is (kind in NO_ANSWER)
        if answer is not None:
            number = kind.removesuffix("_after")
            assert answer.status == STATUS.get(kind, int(number) if number.isdecimal() else 200)
        assert (await ask()).envelope["errno"] == 10000
        assert [one.operation for one in wire.sandbox.struck] == [operation]


@pytest.mark.parametrize("kind", ["reset", "reset_after"])
async def test_a_reset_is_a_reset(kind: Kind) -> None:
    """The caller sees ECONNRESET, after its whole request was read."""
    async with wired(Sandbox(3, faults=[fault(kind)])) as wire, commenting(wire) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert len(wire.sandbox.applied) == (kind == "reset_after")


async def test_a_refusal_does_not_wait_for_the_body() -> None:
    """The connection ends when the head has come, though the body has not; a reset waits for it."""
    async with wired(Sandbox(3, faults=[fault("refuse", times=1), fault("reset")])) as wire:
        async with commenting(wire, b"{", length=2) as (reader, _):
            assert await reader.read() == b""
        struck = noted_struck(wire.sandbox)
        async with commenting(wire, b"{", length=2) as (reader, writer):
            await struck.until(1)
            await wire.http.get(wire.sandbox.url)
            assert not reader.at_eof()
            assert reader.exception() is None
            writer.write(b"}")
            with pytest.raises(ConnectionResetError):
                await reader.read()


async def test_half_of_a_body_comes_and_no_more() -> None:
    """The head promises the whole body, half of it comes, and the connection is closed."""
    async with wired(Sandbox(3, faults=[fault("truncate")])) as wire, commenting(wire) as (reader, _):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(body) == content_length(head) // 2
    assert body.startswith(b'{"errno":10000')


@pytest.mark.parametrize("kind", ["html", "html_after"])
async def test_a_proxys_page_is_html(kind: Kind) -> None:
    """It is a 502 of type text/html, with nothing of an envelope."""
    async with wired(Sandbox(3, faults=[fault(kind)])) as wire:
        answer = await comment(wire)
    assert (answer.status, answer.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert answer.body.startswith(b"<html>")


async def test_slow_headers_keep_everything_back() -> None:
    """Nothing comes for so long, and then a right answer."""
    async with wired(Sandbox(3, faults=[fault("slow_headers", seconds=0.3)])) as wire:
        began = time.monotonic()
        async with commenting(wire) as (reader, _):
            first = await reader.read(1)
            took = time.monotonic() - began
    assert first == b"H"
    assert 0.3 <= took < 5


async def test_a_slow_body_comes_in_drips() -> None:
    """The head and a first piece come at once, the rest in many pieces, the last after so long; all of it is right."""
    async with wired(Sandbox(3, faults=[fault("slow_body", seconds=0.4)])) as wire:
        began = time.monotonic()
        async with commenting(wire) as (reader, _):
            head = await reader.readuntil(b"\r\n\r\n")
            first = time.monotonic() - began
            body, pieces = b"", 0
            while len(body) < content_length(head):
                body += await reader.read(4096)
                pieces += 1
            took = time.monotonic() - began
    assert orjson.loads(body)["errno"] == 10000
    assert took - first > 0.2
    assert 0.4 <= took < 5
    assert pieces > 5


@pytest.mark.parametrize("kind", ["hang", "hang_after", "slow_headers", "slow_body"])
async def test_the_end_of_the_sandbox_ends_every_wait(kind: Kind) -> None:
    """Leaving a sandbox with twenty callers that wait takes no time, and leaves no task behind."""
    async with aiohttp.ClientSession() as http:
        async with Sandbox(3, faults=[fault(kind, seconds=60)]) as sandbox:
            waits = noted_waits(sandbox)
            wire = Wire(sandbox, http)
            asking = [asyncio.create_task(comment(wire)) for _ in range(20)]
            await waits.until(20)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        answers = await asyncio.gather(*asking, return_exceptions=True)
    assert waits == []
    assert {type(one) for one in answers} <= {
        Answer if kind.startswith("slow") else aiohttp.ServerDisconnectedError,
    }
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("kind", ["hang", "hang_after", "slow_headers", "slow_body"])
async def test_a_wait_ends_when_its_caller_goes_away(kind: Kind) -> None:
    """A caller that has hung up leaves nothing that waits for it in the server."""
    async with wired(Sandbox(3, faults=[fault(kind, seconds=60)])) as wire:
        waits = noted_waits(wire.sandbox)
        async with commenting(wire):
            await waits.until(1)
            server = waits[0].protocol
        await waits.until(0)
        assert server.transport is None, "the server knows that the connection has gone"
        wire.sandbox.faults = ()
        assert (await comment(wire)).envelope["errno"] == 10000


async def struck_of(wire: Wire, count: int) -> list[int]:
    """Send so many reads, and return which of them were struck."""
    for _ in range(count):
        await wire.send("GET", "base", query=[("id", "1001")])
    return [one.request for one in wire.sandbox.struck]


@pytest.mark.parametrize(
    ("options", "struck"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ({"times": 3}, [1, 2, 3]),
        ({"after": 3, "times": 1}, [4]),
        ({"after": 7}, [8, 9, 10]),
        ({"every": 5}, [5, 10]),
        ({"every": 3, "after": 1, "times": 2}, [4, 7]),
        ({"chance": 0}, []),
        ({"operation": "get_ticket", "every": 10}, [10]),
        ({"operation": "close_ticket"}, []),
    ],
)
async def test_it_strikes_the_requests_it_says(options: dict[str, Any], struck: list[int]) -> None:
    """`after` spares the first, `every` takes each so many-th of the rest, `times` ends it, `operation` chooses."""
    async with wired(Sandbox(3, faults=[fault("errno", **options)])) as wire:
        assert await struck_of(wire, 10) == struck
        assert wire.sandbox.requests["get_ticket"] == 10


@pytest.mark.slow
async def test_chance_is_the_seeds() -> None:
    """The same seed strikes the same requests, another one others, about as many as the share says."""
    records = []
    for seed in (1, 1, 2):
        async with wired(Sandbox(3, seed=seed, faults=[fault("errno", chance=0.2)])) as wire:
            records.append(await struck_of(wire, 200))
    assert records[0] == records[1]
    assert records[0] != records[2]
    assert all(20 <= len(record) <= 60 for record in records)


async def test_the_first_fault_of_a_script_goes_before_the_others() -> None:
    """One request meets one fault; that of another one's turn comes later where it is limited by `times`."""
    script = [
        fault("errno", operation="get_ticket", errno=90701, after=1, times=1),
        fault("errno", errno=90702, after=1, times=1),
        fault("errno", errno=90703, every=4),
    ]
    async with wired(Sandbox(3, faults=script)) as wire:
        answers = [(await wire.get("base", id=1001))["errno"] for _ in range(5)]
        assert answers == [10000, 90701, 90702, 90703, 10000]
        assert [one.fault for one in wire.sandbox.struck] == script


async def test_a_new_script_counts_anew_and_an_empty_one_ends_it() -> None:
    """To set `faults` begins at request 1, also while it runs; the record goes on, and is a copy."""
    async with wired(Sandbox(3)) as wire:
        assert await struck_of(wire, 3) == []
        wire.sandbox.faults = [fault("errno", after=1)]
        assert await struck_of(wire, 2) == [5]
        wire.sandbox.faults = ()
        assert await struck_of(wire, 2) == [5]
        wire.sandbox.struck.clear()
        assert len(wire.sandbox.struck) == 1


@pytest.mark.parametrize("kind", ["slow_headers", "bomb"])
async def test_what_may_not_be_is_not_applied_by_a_fault_either(kind: Kind) -> None:
    """A request with a wrong signature, or one that the rules refuse, stays refused under a fault that applies."""
    async with wired(Sandbox(3, faults=[fault(kind, seconds=0)])) as wire:
        wrong = await wire.send("POST", "comment_ticket", orjson.dumps(COMMENT), headers={"Sign": "x"})
        assert wrong.envelope["errno"] == 90001
        assert (await wire.post("create", ticket_request() | {"title": ""}))["errno"] == 90004
        assert len(wire.sandbox.struck) == 2
        assert wire.sandbox.applied == []


async def test_a_caller_that_hangs_up_midway_hurts_no_fault() -> None:
    """Half a body and a closed connection under every kind leave the sandbox well."""
    async with wired(Sandbox(3)) as wire:
        struck = noted_struck(wire.sandbox)
        for number, kind in enumerate((*NOT_APPLIED, *APPLIED, "504_before"), start=1):
            wire.sandbox.faults = [fault(kind)]
            async with commenting(wire, b"{", length=2):
                await struck.until(number)
        wire.sandbox.faults = ()
        assert (await comment(wire)).envelope["errno"] == 10000
        assert len(wire.sandbox.applied) == 1
    gc.collect()  # which lets a task say what nobody asked it for


def test_every_kind_is_explained() -> None:
    """`help(Fault)` has a line for each kind."""
    lines = (inspect.getdoc(Fault) or "").splitlines()
    explained = {name for line in lines for name in line.strip().partition("  ")[0].split(", ")}
    assert set(get_args(Kind)) - explained == set()
