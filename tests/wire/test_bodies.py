"""bodies.py: a file goes out as one part of a form, a piece at a time, and again from its start."""

import asyncio
import gzip
import io
import mmap
import os
import re
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from threading import Event
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.clients import make_client
from tests.support.raw_server import http, serving
from tests.support.rows import each
from tests.support.virtual_loop import taking, virtual_time
from workorder_async import (
    ConfigError,
    DeadlineExceededError,
    NoAnswerError,
    RateLimitedError,
    ResponseError,
    RetryPolicy,
    SchemeSigner,
    SigningInput,
)
from workorder_async.wire.bodies import FileBody

UPLOADED = http('{"errno":10000,"data":{"file_name":"a","file_path":"k","file_size":1,"file_type":"t","author":1}}')
BUSY = http("{}", "503 Busy")


async def sent_by(source: object, **options: object) -> tuple[str, str, bytes]:
    """Upload, and return the part's file name, its type, and its content as they went over the wire."""
    async with serving(UPLOADED) as wire, make_client(wire.url) as client:
        await client.upload_file(source, **options)  # type: ignore[arg-type]
    head, _, body = wire.requests[0].partition(b"\r\n\r\n")
    boundary = re.search(rb"multipart/form-data; boundary=(\S+)", head)
    assert boundary is not None
    part = body.removeprefix(b"--%b\r\n" % boundary[1]).removesuffix(b"\r\n--%b--\r\n" % boundary[1])
    fields, _, content = part.partition(b"\r\n\r\n")
    shape = re.fullmatch(
        'Content-Disposition: form-data; name="file"; filename="(.*)"\r\nContent-Type: (.*)', fields.decode()
    )
    assert shape is not None
    return shape[1], shape[2], content


async def test_path(tmp_path: Path) -> None:
    """A path gives its name, its type and its bytes."""
    file = tmp_path / "现场 截图.png"
    file.write_bytes(b"\x89PNG\r\n--boundary")
    assert await sent_by(file) == ("现场 截图.png", "image/png", b"\x89PNG\r\n--boundary")
    assert (await sent_by(str(file), file_name="b.txt"))[:2] == ("b.txt", "text/plain")
    assert (await sent_by(file, file_type="application/x-own"))[1] == "application/x-own"


async def test_bytes() -> None:
    """Bytes need a name; a name without a known ending is octets; no bytes at all are a file too."""
    assert await sent_by(b"abc", file_name="core.7") == ("core.7", "application/octet-stream", b"abc")
    assert (await sent_by(b"", file_name="empty.log"))[2] == b""


@each("name", ["trace.csv.gz", "logs.tgz", "a.json.xz", "a.txt.bz2"])
async def test_a_packed_file(name: str) -> None:
    """The type of what is packed in it is not its own."""
    assert (await sent_by(b"x", file_name=name))[1] == "application/octet-stream"


async def test_file_object(tmp_path: Path) -> None:
    """A file object is sent from where it stands, and left there, so that it can be sent again."""
    (tmp_path / "trace.log").write_bytes(b"0123456789")
    with (tmp_path / "trace.log").open("rb") as file:
        file.seek(4)
        for _ in range(2):
            name, _, content = await sent_by(file)
            assert (name, content) == ("trace.log", b"456789")
            assert not file.closed
            assert file.tell() == 4
    assert (await sent_by(io.BytesIO(b"xyz"), file_name="a.bin"))[2] == b"xyz"
    with tempfile.TemporaryFile() as temporary:
        temporary.write(b"t")
        temporary.seek(0)
        assert (await sent_by(temporary, file_name="a.bin"))[2] == b"t"


async def test_name_is_escaped() -> None:
    """A quote or a line end in a name cannot break out of its header."""
    name = 'a"; filename="b\r\nX: y'
    assert (await sent_by(b"x", file_name=name))[0] == "a%22; filename=%22b%0D%0AX: y"


class Awaited:
    """What `aiofiles` opens."""

    async def read(self, size: int = -1) -> bytes:
        """Read."""
        return b"x"


class PathOfBytes:
    """What `os.scandir` gives for a folder that was named in bytes."""

    def __fspath__(self) -> bytes:
        return b"a"


@each(
    ("source", "options", "words"),
    [
        ("no-such-file.png", {}, "cannot upload 'no-such-file.png': No such file or directory; pass another path"),
        (Path(), {}, "cannot upload '.': it is no regular file"),
        (b"x", {}, "pass file_name="),
        (b"x", {"file_name": " "}, "file_name is empty"),
        (b"x", {"file_name": "a\ud800"}, "not valid text"),
        (b"x", {"file_name": "a", "file_type": "png"}, "is not a MIME type"),
        (b"x", {"file_name": "a", "file_type": "image/"}, "is not a MIME type"),
        (b"x", {"file_name": "a", "file_type": "a/b c"}, "is not a MIME type"),
        (b"x", {"file_name": "a", "file_type": "text/plain; charset=中文"}, "is not a MIME type"),
        (b"x", {"file_name": "a", "file_type": "a/b\r\nX: y"}, "is not a MIME type"),
        (io.StringIO("x"), {"file_name": "a"}, "cannot upload a StringIO"),
        (5, {"file_name": "a"}, "cannot upload a int"),
        (None, {"file_name": "a"}, "cannot upload a NoneType"),
        ("x" * 300, {}, "File name too long; pass another path"),
        ("a\0b", {}, "source 'a\\x00b' is no name of a file"),
        (PathOfBytes(), {}, "source is PathOfBytes"),
        (b"x", {"file_name": 5}, "file_name is int 5; it must be text"),
        (b"x", {"file_name": PurePosixPath("a")}, "file_name is PurePosixPath PurePosixPath('a'); it must be text"),
        (b"x", {"file_name": "a", "file_type": 5}, "file_type is int 5; it must be text"),
        (b"x", {"file_name": "a", "on_progress": 5}, "on_progress is 5; it must be a function"),
        (b"x", {"file_name": "a", "on_progress": Awaited().read}, "; it must be a function, no `async def`"),
    ],
)
async def test_refused(source: object, options: dict[str, object], words: str) -> None:
    """A source that cannot be sent is refused with the mend, before anything is sent."""
    async with serving(UPLOADED) as wire, make_client(wire.url) as client:
        with pytest.raises(ConfigError, match=re.escape(words)):
            await client.upload_file(source, **options)  # type: ignore[arg-type]
        assert not wire.requests


async def test_a_file_that_does_not_read_bytes(tmp_path: Path) -> None:
    """It is refused before anything is sent, whatever class wraps it, with what it must be instead."""
    async with serving(UPLOADED) as wire, make_client(wire.url) as client:
        with (
            (tmp_path / "trace.png").open("wb") as written,
            tempfile.NamedTemporaryFile("w+") as text,
            tempfile.SpooledTemporaryFile(mode="w+") as spooled,
        ):
            for source in (written, text, spooled, Awaited()):
                words = f"cannot upload a {type(source).__name__}; pass a path, bytes, or a file opened with 'rb'"
                with pytest.raises(ConfigError, match=words):
                    await client.upload_file(source, file_name="a")  # type: ignore[arg-type]
        assert not wire.requests


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may search any folder")
async def test_a_path_that_may_not_be_looked_at(tmp_path: Path) -> None:
    """It is refused by its name, and not by a bare error of the system."""
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "a.txt").write_bytes(b"x")
    (tmp_path / "locked").chmod(0)
    try:
        with pytest.raises(ConfigError, match=r"cannot upload '.*a.txt': Permission denied; pass another path"):
            FileBody(tmp_path / "locked" / "a.txt")
    finally:
        (tmp_path / "locked").chmod(0o700)


class Failing(io.BytesIO):
    """A file object of which one thing fails in an unusual way."""

    def __init__(self, failing: str) -> None:
        super().__init__(b"x")
        self._failing = failing

    def tell(self) -> int:
        """Fail, or tell."""
        if self._failing == "tell":
            raise RuntimeError("no place")
        return super().tell()

    @property
    def name(self) -> str:
        """Fail, or be none."""
        if self._failing == "name":
            raise ValueError("closed")
        return ""


async def test_a_file_that_tells_nothing(tmp_path: Path) -> None:
    """A file that is detached, or cannot say where it stands or what it is called, is refused in words of ours."""
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"x"))
    detached, packed, spooled = path.open("rb"), gzip.open(path), tempfile.SpooledTemporaryFile()  # noqa: SIM115
    detached.detach().close()
    packed.close()
    spooled.close()
    for source in (detached, packed, spooled, Failing("tell")):
        with pytest.raises(ConfigError, match="this file is closed, or cannot seek"):
            FileBody(source, file_name="a")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="this file has no name"):
        FileBody(Failing("name"))


async def test_a_file_that_is_closed_while_it_waits() -> None:
    """A file that is closed between its check and its turn is refused, too."""
    source = io.BytesIO(b"x")
    body = FileBody(source, file_name="a")
    source.close()
    for use in (lambda: list(body), body._size):
        with pytest.raises(ConfigError, match="cannot upload 'a': I/O operation on closed file"):
            use()


async def test_a_file_that_goes_while_it_waits(tmp_path: Path) -> None:
    """It is said to be gone, and not to be used by somebody else."""
    (tmp_path / "a.txt").write_bytes(b"x")
    body = FileBody(tmp_path / "a.txt")
    (tmp_path / "a.txt").unlink()
    with pytest.raises(ConfigError, match="No such file or directory; upload one that is there and can be read"):
        body._size()


async def test_pipe_is_refused() -> None:
    """A file object that cannot go back is refused, since it could not be sent twice."""

    class Pipe(io.RawIOBase):
        def tell(self) -> int:
            raise OSError("Illegal seek")

    with pytest.raises(ConfigError, match="cannot seek"):
        FileBody(Pipe(), file_name="a")  # type: ignore[arg-type]


async def test_a_closed_file_is_refused(tmp_path: Path) -> None:
    """So is a file that was closed before it was handed over, by its name."""
    (tmp_path / "a.txt").write_bytes(b"x")
    for source in ((tmp_path / "a.txt").open("rb"), io.BytesIO(b"x")):
        source.close()
        with pytest.raises(ConfigError, match=r"this file is closed, or cannot seek, so .*; pass its bytes or a path"):
            FileBody(source, file_name="a")


class Odd(io.RawIOBase):
    """A file that reads what no file should."""

    def __init__(self, read: object) -> None:
        self._read = read
        self._at = 0

    def tell(self) -> int:
        """Stand where it was told to."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Have ten bytes."""
        self._at = 10 if whence == io.SEEK_END else offset
        return self._at

    def read(self, size: int = -1) -> Any:
        """Fail, or read something else."""
        if isinstance(self._read, Exception):
            raise self._read
        return self._read


@each("read", [RuntimeError("mine"), RecursionError("mine"), "text", None, b""])
async def test_a_file_object_that_fails(read: object) -> None:
    """Whatever a file object of the caller's does, the error is one of ours."""
    once = RetryPolicy(attempts=1)
    async with serving(UPLOADED) as wire, make_client(wire.url, retry=once) as client:
        with pytest.raises((ConfigError, NoAnswerError)):
            await client.upload_file(Odd(read), file_name="a")  # type: ignore[arg-type]
        assert client.stats().in_flight == 0


@each("at", ["read", "tell"])
async def test_a_disk_that_hangs(at: str) -> None:
    """A file that cannot be read for now is left at the deadline, and one that cannot even be looked at."""
    goes_on = Event()

    class Hanging(Odd):
        def tell(self) -> int:
            if at == "tell":
                goes_on.wait(10)
            return super().tell()

        def read(self, size: int = -1) -> Any:
            if size:
                goes_on.wait(10)
            return b"x" * size

    async with serving(UPLOADED) as wire, make_client(wire.url, deadline=0.1) as client:
        began = time.perf_counter()
        try:
            with pytest.raises(DeadlineExceededError, match=r"upload_file: no answer within 0\.1 s"):
                await client.upload_file(Hanging(b""), file_name="a")  # type: ignore[arg-type]
            assert time.perf_counter() - began < 5
        finally:
            goes_on.set()
        assert client.stats().in_flight == 0


class ReadsMore(io.BytesIO):
    """A file object that reads more than it is asked for."""

    def read(self, size: int | None = -1) -> bytes:
        """Read."""
        return super().read(size) + b"more"


class Shared(io.BytesIO):
    """A file object that another upload begins to read when this one has read something."""

    def read(self, size: int | None = -1) -> bytes:
        """Read, and stand at the start."""
        found = super().read(size)
        self.seek(0)
        return found


@each(
    ("source", "at", "words"),
    [
        (Shared(b"x" * (512 << 10)), 0, "it changed while its 524,288 bytes were read, or somebody else reads"),
        (io.BytesIO(b"0123456789"), 14, "it stands 4 bytes behind its end"),
        (io.BytesIO(b"0123456789"), 6000, "it stands 5,990 bytes behind its end"),
        (ReadsMore(b"0123456789"), 0, "it changed while its 10 bytes were read"),
    ],
)
async def test_a_file_object_that_reads_otherwise_than_it_says(source: io.BytesIO, at: int, words: str) -> None:
    """It is refused: other bytes would be kept, or such as stand before the next request on the connection."""
    source.seek(at)
    async with serving(UPLOADED) as wire, make_client(wire.url) as client:
        with pytest.raises(ConfigError, match=f"upload_file: cannot upload 'a': {words}"):
            await client.upload_file(source, file_name="a")
        assert wire.requests == []


async def test_a_file_object_whose_seek_tells_nothing(tmp_path: Path) -> None:
    """Such as a file in memory, which did not before Python 3.13."""

    class Silent(io.BytesIO):
        def seek(self, *where: int) -> None:  # type: ignore[override]
            super().seek(*where)

    (tmp_path / "a").write_bytes(b"0123456789")
    with (tmp_path / "a").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for source in (Silent(b"0123456789"), mapped):
            assert (await sent_by(source, file_name="a"))[2] == b"0123456789"


async def test_a_file_object_at_its_end() -> None:
    """What was written and not wound back would be sent as nothing; an empty one is a file."""
    written = io.BytesIO()
    written.write(b"0123456789")
    async with serving(UPLOADED) as wire, make_client(wire.url) as client:
        with pytest.raises(ConfigError, match=r"it stands at its end, so that nothing .*; call its seek\(0\) first"):
            await client.upload_file(written, file_name="a")
        assert wire.requests == []
    assert (await sent_by(io.BytesIO(), file_name="a"))[2] == b""


class Slow(io.BytesIO):
    """A file on a slow disk: each read waits until it may go on."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.began, self.goes_on, self.reads = Event(), Event(), 0

    def read(self, size: int | None = -1) -> bytes:
        """Read a piece."""
        if size:
            self.reads += 1
            self.began.set()
            self.goes_on.wait(5)
        return super().read(size)


async def test_a_file_object_in_two_uploads() -> None:
    """The second one is refused while the first reads it, and can be made after it; bytes have no place to share."""
    file, content = Slow(b"x" * 600_000), b"y" * 600_000
    async with serving(UPLOADED) as wire, make_client(wire.url) as client:
        first = asyncio.create_task(client.upload_file(file, file_name="a"))
        await asyncio.to_thread(file.began.wait)
        with pytest.raises(ConfigError, match="another upload reads it; upload a file that nobody else uses"):
            await client.upload_file(file, file_name="a")
        await asyncio.gather(*(client.upload_file(content, file_name="a") for _ in range(2)))
        file.goes_on.set()
        await first
        await client.upload_file(file, file_name="a")
    assert sorted(request.count(b"x" * 600_000) for request in wire.requests) == [0, 0, 1, 1]


@pytest.mark.parametrize("scheme", ["md5:{secret}", "md5:{secret}{body}"])
async def test_a_file_object_is_left_when_nobody_waits(scheme: str) -> None:
    """A thread cannot be cancelled: one that signs or sends a slow file reads no further than its next piece."""
    file, signer = Slow(b"x" * 2_000_000), SchemeSigner("demo", "s3cret", scheme)
    async with serving(UPLOADED) as wire, make_client(wire.url, signer=signer) as client:
        upload = asyncio.create_task(client.upload_file(file, file_name="a"))
        await asyncio.to_thread(file.began.wait)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        file.goes_on.set()
        await asyncio.get_running_loop().shutdown_default_executor()
    assert (file.reads, file.tell()) == (1, 0)


async def test_a_damaged_file() -> None:
    """What a file object raises when it is read is said, and nothing is sent again for it."""
    packed = gzip.compress(b"x" * 1000)[:-10]
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        async with serving(UPLOADED) as wire, make_client(wire.url) as client:
            with pytest.raises(
                ConfigError, match=r"cannot upload 'a': Compressed file ended .*; upload one that"
            ) as caught:
                await client.upload_file(file, file_name="a")  # type: ignore[arg-type]
    assert (wire.requests, caught.value.attempts) == ([], 1)


@each("mine", [LookupError("mine"), NoAnswerError("mine"), asyncio.CancelledError("mine")])
async def test_progress_that_fails(mine: BaseException) -> None:
    """An error of the caller's callback ends the upload, and is the cause, also where it tells of another call."""

    def fail(sent: int, size: int) -> None:
        raise mine

    async with serving(UPLOADED) as wire, make_client(wire.url) as client:
        with pytest.raises(ConfigError, match=f"on_progress failed: {type(mine).__name__}: mine") as caught:
            await client.upload_file(b"x", file_name="a", on_progress=fail)
        assert caught.value.__cause__ is mine
        assert caught.value.attempts == 1


async def test_vanished(tmp_path: Path) -> None:
    """A file that goes away after it was named is a ConfigError when it is to be sent."""
    (tmp_path / "a.txt").write_bytes(b"x")
    body = FileBody(tmp_path / "a.txt")
    (tmp_path / "a.txt").unlink()
    with pytest.raises(ConfigError, match=r"cannot upload '.*a.txt': No such file"):
        await body.opened()


async def test_sent_again_from_the_start(tmp_path: Path) -> None:
    """A second attempt sends the whole file again; progress begins again too and ends at the whole."""
    content = bytes(range(256)) * 3000
    (tmp_path / "a.bin").write_bytes(content)
    progress: list[tuple[int, int]] = []
    async with serving(BUSY, UPLOADED) as wire, make_client(wire.url) as client:
        with (tmp_path / "a.bin").open("rb") as file:
            await client.upload_file(file, on_progress=lambda sent, total: progress.append((sent, total)))
    assert len(wire.requests) == 2
    assert all(content in request for request in wire.requests)
    assert [sent for sent, _ in progress] == [262144, 524288, 768000] * 2
    assert {total for _, total in progress} == {len(content)}


@pytest.mark.parametrize("change", ["shrinks", "grows", "cannot be read"])
async def test_a_file_that_changes_while_it_is_sent(change: str, tmp_path: Path) -> None:
    """A file that changes its size or cannot be read meanwhile is told of by name, at once: no fault of the server."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 1_000_000)
    changes: list[int] = []

    def spoil(sent: int, total: int) -> None:
        changes.append(sent)
        if len(changes) == 1:
            with path.open("r+b") as file:
                file.truncate(300_000) if change == "shrinks" else file.seek(0, 2)
                file.write(b"more")

    class Failing(io.BytesIO):
        name = "b.bin"

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 500_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    words = "Input/output error" if change == "cannot be read" else "it changed while its"
    source: object = Failing(b"x" * 1_000_000) if change == "cannot be read" else path
    async with serving(UPLOADED) as wire, make_client(wire.url) as client:
        with pytest.raises(ConfigError, match=rf"cannot upload '[^']*[ab].bin': .*{words}") as caught:
            await client.upload_file(source, on_progress=None if isinstance(source, Failing) else spoil)  # type: ignore[arg-type]
        assert "127.0.0.1" not in str(caught.value)
        assert (caught.value.operation, caught.value.attempts) == ("upload_file", 1)
        assert not wire.requests


async def test_a_file_that_vanishes_before_it_is_sent_again(tmp_path: Path) -> None:
    """A file that is gone at the second attempt is told of by name."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"x")

    async def vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path.unlink()
        writer.write(BUSY)

    async with serving(vanish) as wire, make_client(wire.url) as client:
        with pytest.raises(ConfigError, match=r"cannot upload '.*a\.bin': No such file"):
            await client.upload_file(path)


@pytest.mark.parametrize("placeholder", ["{body_md5}", "{body}", "{body_sha256}"])
async def test_signature_covers_the_bytes_sent(placeholder: str, tmp_path: Path) -> None:
    """A scheme that signs the body signs exactly the form's bytes."""
    (tmp_path / "a.bin").write_bytes(b"y" * 600_000)
    signer = SchemeSigner("a", "s", f"hmac-sha256:{placeholder}")
    async with serving(UPLOADED) as wire, make_client(wire.url, signer=signer) as client:
        await client.upload_file(tmp_path / "a.bin")
    head, _, body = wire.requests[0].partition(b"\r\n\r\n")
    expected = signer.sign(SigningInput("POST", "/workorder/api/ticket/upload_file", body=(body,)))["Sign"]
    assert f"Sign: {expected}".encode() in head
    assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.slow
async def test_large_file_in_flat_memory(tmp_path: Path) -> None:
    """A file much larger than a piece goes through without being held."""
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(96 * 1024 * 1024)

    server = await asyncio.start_server(_drain, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, make_client(url) as client:
        tracemalloc.start()
        try:
            await client.upload_file(path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


async def _drain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    left = int(length[1])
    while left:
        left -= len(await reader.read(1 << 20))
    writer.write(UPLOADED)
    writer.close()


@virtual_time
async def test_slow_but_steady_upload_outlives_the_limits(tmp_path: Path) -> None:
    """The limits of an upload count from its last piece, so a slow one that goes on is not cut off."""
    (tmp_path / "a.bin").write_bytes(b"z" * (256 * 1024 * 8))
    opened = FileBody._pieces

    async def slowly(self: FileBody, size: int) -> AsyncIterator[bytes]:
        async for piece in opened(self, size):
            await asyncio.sleep(25)
            yield piece

    once = RetryPolicy(attempts=1)
    async with serving(UPLOADED) as wire, make_client(wire.url, attempt_timeout=30, deadline=30, retry=once) as client:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FileBody, "_pieces", slowly)
            # Eight pieces of the file, and the form around it.
            async with taking(10 * 25):
                await client.upload_file(tmp_path / "a.bin")


@each("status", ["429 Slow", "503 Busy"])
@virtual_time
async def test_an_upload_that_is_always_turned_away(status: str) -> None:
    """It ends by its deadline, however often the file was sent: only an attempt that goes on may outlive that."""
    turned_away, patient = http("", status, Retry_After="20"), RetryPolicy(attempts=99)
    async with serving(turned_away) as wire, make_client(wire.url, retry=patient) as client, taking(35, within=35):
        with pytest.raises((RateLimitedError, ResponseError)):
            await asyncio.wait_for(client.upload_file(b"x", file_name="a", deadline=70), 3600)
        assert len(wire.requests) > 1


async def test_an_attempt_that_is_answered_while_the_file_is_read() -> None:
    """The next attempt waits for that: a file object has one place, which both would move."""
    goes_on, disturbed, sizes = Event(), list[bool](), list[int]()

    class Slow(io.BytesIO):
        is_read = False

        def read(self, size: int | None = -1) -> bytes:
            self.is_read = True
            if size:
                goes_on.wait(5)
            self.is_read = False
            return super().read(size)

        def seek(self, *where: int) -> int:
            disturbed.append(self.is_read)
            return super().seek(*where)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if goes_on.is_set():
            sizes.append(len(await reader.readexactly(int(re.findall(rb"Content-Length: (\d+)", head)[0]))))
            writer.write(UPLOADED)
        else:
            writer.write(BUSY)
            await reader.read()
            # Its connection is closed, and the next attempt would begin.
            asyncio.get_running_loop().call_later(0.02, goes_on.set)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, make_client(url) as client:
        await client.upload_file(Slow(b"x" * 600_000), file_name="a")
    assert sizes[0] > 600_000
    assert not any(disturbed)


@given(content=st.binary(max_size=2000))
def test_iteration_is_what_is_sent(content: bytes) -> None:
    """What a signer iterates is what the payload writes, every time."""
    body = FileBody(content, file_name="a")

    async def written() -> bytes:
        pieces, size = await body.opened()
        whole = b"".join([piece async for piece in pieces])
        assert len(whole) == size
        return whole

    assert asyncio.run(written()) == b"".join(body) == asyncio.run(written())
