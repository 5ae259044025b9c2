"""How long an attachment may take: a server that drips is left, whatever it drips, and what came is kept."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.attachment_server import TICKET, Storage, rest, storage
from tests.support.raw_server import Handler, http, serving
from tests.support.virtual_loop import taking, virtual_time
from workorder_async import Attachment
from workorder_async.durable import on_disk
from workorder_async.exports import AttachmentCounts, attachments as module
from workorder_async.exports.attachments import AttachmentFolder

SIZE = 100_000
CONTENT = bytes(range(250)) * (SIZE // 250)
WHOLE = http(CONTENT)


def dripping(answer: bytes, first: int, piece: int, every: float) -> Handler:
    """Return an answer whose first bytes come at once, then a piece every so many seconds."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer[:first])
        for start in range(first, len(answer), piece):
            await asyncio.sleep(every)
            writer.write(answer[start : start + piece])
            await writer.drain()

    return step


async def fetched(served: Storage, folder: Path, answer: Handler) -> tuple[AttachmentCounts, float]:
    """Fetch one file; return what became of it, and how long that took."""
    began = asyncio.get_running_loop().time()
    async with AttachmentFolder(folder, served.client) as attachments:
        counts = await attachments.fetch(served.detail(served.attachment("a", CONTENT, answer)))
    return counts, asyncio.get_running_loop().time() - began


HEAD = len(WHOLE) - SIZE


LATE = "it took longer than 158 s"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda: dripping(WHOLE, 0, 1, 20.0), LATE),
        (lambda: dripping(WHOLE, HEAD, 500, 1.0), LATE),
        (lambda: dripping(http("", "302 Found", Location="/f0", X_Drip="x" * 900), 0, 1, 20.0), LATE),
        (lambda: dripping(WHOLE, HEAD, 0x7FFFFFFF, 10_000.0), "nothing came for 30 s; 3 attempts were made"),
    ],
    ids=["head", "too slow", "redirect", "nothing"],
)
@virtual_time
async def test_too_slow(answer: Callable[[], Handler], why: str, tmp_path: Path) -> None:
    """A file has the time that its bytes earn; what is told, and what came, is gone on with later."""
    async with storage() as served, AttachmentFolder(tmp_path, served.client) as attachments:
        detail = served.detail(served.attachment("a", CONTENT, answer()))
        began = asyncio.get_running_loop().time()
        counts = await attachments.fetch(detail)
        assert [one.partition(": ")[2] for one in counts.failures] == [why]
        assert asyncio.get_running_loop().time() - began <= 160
        came = sum(one.stat().st_size for one in (tmp_path / str(TICKET)).iterdir())
        served.files["/f0"] = [rest(CONTENT, came) if came else WHOLE]
        assert await attachments.fetch(detail) == AttachmentCounts(fetched=1, bytes=SIZE)
        assert served.ranges()[-1] == (f"bytes={came}-" if came else "")
    assert (tmp_path / str(TICKET) / "a").read_bytes() == CONTENT


@virtual_time
async def test_slow_but_not_too_slow(tmp_path: Path) -> None:
    """A file that takes minutes comes, as long as it comes."""
    async with storage() as served:
        counts, seconds = await fetched(served, tmp_path / "a", dripping(WHOLE, HEAD, 1100, 1.0))
    assert counts == AttachmentCounts(fetched=1, bytes=SIZE)
    assert 80 < seconds < 120
    assert (tmp_path / "a" / str(TICKET) / "a").read_bytes() == CONTENT


@virtual_time
async def test_a_silent_proxy(tmp_path: Path) -> None:
    """An attempt has failed where a proxy says nothing when it is asked for a way to a server."""
    async with serving(dripping(b"", 0, 1, 0)) as proxy, storage(proxy=proxy.url) as served:
        detail = served.detail(Attachment("a", "https://storage.test/a", 1 << 20))
        async with AttachmentFolder(tmp_path, served.client) as attachments, taking(90 + sum(module.WAITS)):
            counts = await attachments.fetch(detail)
    assert [one.partition(": ")[2] for one in counts.failures] == ["nothing came for 30 s; 3 attempts were made"]


@virtual_time
async def test_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All attempts at one file together have a deadline; then what came is kept, and gone on with."""
    monkeypatch.setattr(module, "MOST_SECONDS", 60.0)
    async with storage() as served:
        detail = served.detail(served.attachment("a", CONTENT, dripping(WHOLE, HEAD, 1100, 1.0), WHOLE))
        async with AttachmentFolder(tmp_path / "a", served.client) as attachments:
            began = asyncio.get_running_loop().time()
            counts = await attachments.fetch(detail)
            assert asyncio.get_running_loop().time() - began == pytest.approx(60, abs=1)
            assert [one.partition(": ")[2] for one in counts.failures] == ["it took longer than 60 s"]
            (part,) = (tmp_path / "a" / str(TICKET)).iterdir()
            came = part.read_bytes()
            assert 50_000 < len(came) < 70_000
            assert came == CONTENT[: len(came)]
            served.files["/f0"] = [rest(CONTENT, len(came))]
            assert await attachments.fetch(detail) == AttachmentCounts(fetched=1, bytes=SIZE)
    assert (tmp_path / "a" / str(TICKET) / "a").read_bytes() == CONTENT


@virtual_time
async def test_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of our own disk is not the server's."""
    monkeypatch.setattr(module, "FLUSH_AT", 50_000)

    async def slowly(path: Path, work: Any) -> Any:
        await asyncio.sleep(40)
        return await on_disk(path, work)

    monkeypatch.setattr(module, "on_disk", slowly)
    async with storage() as served:
        counts, seconds = await fetched(served, tmp_path / "a", dripping(WHOLE, HEAD, 20_000, 1.0))
    assert counts == AttachmentCounts(fetched=1, bytes=SIZE)
    assert seconds > 100
