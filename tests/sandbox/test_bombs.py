import asyncio
import zlib

import orjson
import pytest

from tests.support.sandbox_faults import comment, commenting, content_length, noted_struck, noted_waits
from tests.support.sandbox_wire import Wire, wired
from workorder_async.sandbox import Fault, Kind, Sandbox


async def raw_answer(wire: Wire, limit: int) -> tuple[bytes, bytes]:
    """Send a comment, and return head and body of the answer, read to their end or to so many bytes."""
    async with commenting(wire) as (reader, _):
        got, whole = b"", limit
        while len(got) < whole and (piece := await reader.read(65536)):
            got += piece
            head, end, _ = got.partition(b"\r\n\r\n")
            if end and b"chunked" not in head:
                whole = len(head + end) + content_length(head)
    head, _, body = got.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("size", [1, 100, 1 << 20, (3 << 20) + 7])
async def test_a_bomb_unpacks_to_its_size(size: int) -> None:
    """A small body of gzip is JSON of exactly so many bytes, apart from the smallest sizes."""
    async with wired(Sandbox(3, faults=[Fault("bomb", size=size)])) as wire:
        head, body = await raw_answer(wire, 1 << 30)
        assert len(wire.sandbox.applied) == 1
    assert b"Content-Encoding: gzip" in head
    assert len(body) < 200 + size // 500
    unpacked = zlib.decompress(body, 31)
    assert len(unpacked) == max(size, 56)
    assert set(orjson.loads(unpacked)) == {"errno", "errmsg", "data", "request_id"}


@pytest.mark.slow
async def test_others_are_answered_while_a_bomb_is_packed() -> None:
    """Packing it keeps nobody waiting."""
    faults = [Fault("bomb", size=300 << 20, operation="comment_ticket")]
    async with wired(Sandbox(3, faults=faults)) as wire:
        struck = noted_struck(wire.sandbox)
        bombing = asyncio.create_task(raw_answer(wire, 1 << 30))
        await struck.until(1)
        assert (await wire.get("base", id=1001))["errno"] == 10000
        assert not bombing.done()
        _, body = await bombing
    assert len(body) < 1 << 20


async def test_a_deep_answer() -> None:
    """Its arrays lie 100,000 deep in one another."""
    async with wired(Sandbox(3, faults=[Fault("deep")])) as wire:
        _, body = await raw_answer(wire, 1 << 30)
    assert body.count(b"[" * 100_000 + b"]" * 100_000) == 1
    assert body.startswith(b'{"errno":10000,')


@pytest.mark.parametrize(("kind", "limit"), [("endless", 5 << 20), ("drip", 300)])
async def test_a_body_without_an_end(kind: Kind, limit: int) -> None:
    """It goes on as long as somebody reads; when its caller has gone, nothing of it is left."""
    async with wired(Sandbox(3, faults=[Fault(kind, seconds=0.001, times=1)])) as wire:
        head, body = await raw_answer(wire, limit)
        assert (await comment(wire)).envelope["errno"] == 10000
        assert len(wire.sandbox.applied) == 2
    assert b"chunked" in head
    assert b'{"errno":10000,' in body
    assert len(head + body) >= limit - 4


async def test_a_drip_is_a_byte_at_a_time() -> None:
    """After its beginning each piece is one byte, so many seconds apart."""
    async with wired(Sandbox(3, faults=[Fault("drip", seconds=0.05)])) as wire, commenting(wire) as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        sizes, times = [], []
        for _ in range(6):
            size = int(await reader.readuntil(b"\r\n"), 16)
            await reader.readexactly(size + 2)
            sizes.append(size)
            times.append(asyncio.get_running_loop().time())
    assert sizes[1:] == [1] * 5
    assert 0.1 <= times[-1] - times[1] < 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["endless", "drip", "many_headers", "long_header"])
async def test_the_end_of_the_sandbox_ends_what_has_no_end(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers that read nothing more keep no sandbox from ending."""
    monkeypatch.setattr("workorder_async.sandbox.sandbox._PATIENCE", 0.2)
    sandbox = Sandbox(3, faults=[Fault(kind, seconds=60, size=1 << 40)])
    async with wired(sandbox) as wire, commenting(wire) as (reader, _):
        await reader.readexactly(20)
        began = asyncio.get_running_loop().time()
        await sandbox.__aexit__(None, None, None)
        # What waits for a caller that reads nothing is given the patience that every request has.
        assert asyncio.get_running_loop().time() - began < (0.9 if kind in {"endless", "drip"} else 5)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(("kind", "lines"), [("many_headers", range(300, 320)), ("long_header", range(5, 6))])
async def test_heads_beyond_measure(kind: Kind, lines: range) -> None:
    """So many bytes of headers, in many lines or in one, and then the right body."""
    async with wired(Sandbox(3, faults=[Fault(kind, size=300_000)])) as wire:
        head, body = await raw_answer(wire, 1 << 30)
    assert 300_000 <= len(head) < 306_000
    assert len(head.split(b"\r\n")) in lines
    assert len(body) == content_length(head)
    assert orjson.loads(body)["errno"] == 10000


async def test_a_slow_reader_of_a_drip_is_waited_for() -> None:
    """A drip waits like every other fault that takes its time."""
    async with wired(Sandbox(3, faults=[Fault("drip", seconds=60)])) as wire:
        waits = noted_waits(wire.sandbox)
        async with commenting(wire) as (reader, _):
            assert await reader.readexactly(8) == b"HTTP/1.1"
            await waits.until(1)
        await waits.until(0)
