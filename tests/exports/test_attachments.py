"""Attachments in a folder: whole or not there, each in its place, with requests that carry nothing of ours."""

import asyncio
import os
import re
import stat
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.support.attachment_server import (
    DETAIL,
    TICKET,
    Answer,
    Storage,
    broken_off,
    in_two,
    redirect,
    rest,
    stalled,
    storage,
)
from tests.support.mutations import creation
from tests.support.raw_server import AtOnce, http, serving
from tests.support.sandbox_wire import Clock
from tests.support.slow import slow_after, slow_but_every
from tests.support.small_disk import limited_files
from workorder_async import Attachment, ConfigError, ExportError, TicketDetail
from workorder_async.durable import LockedFile
from workorder_async.exports import AttachmentCounts, attachments as module
from workorder_async.exports.attachments import AttachmentFolder
from workorder_async.sandbox import Sandbox

CONTENT = bytes(range(256)) * 16
SIZE = len(CONTENT)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing between attempts."""
    monkeypatch.setattr(module, "WAITS", (0.0, 0.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Name a folder that is not there yet."""
    return tmp_path / "attachments"


async def fetch(served: Storage, folder: Path, detail: TicketDetail, **options: Any) -> AttachmentCounts:
    """Fetch one ticket's attachments."""
    async with AttachmentFolder(folder, served.client, **options) as attachments:
        return await attachments.fetch(detail)


def files(folder: Path) -> dict[str, bytes]:
    """Read every file of the ticket, parts among them."""
    return {path.name: path.read_bytes() for path in (folder / str(TICKET)).iterdir()}


def _sizes(folder: Path, pattern: str) -> list[int]:
    return [one.stat().st_size for one in folder.glob(pattern)]


def reasons(fetched: AttachmentCounts) -> dict[str, str]:
    """Return why each file is not there."""
    found = [one.partition(": ") for one in fetched.failures]
    return {Path(path).name: reason for path, _, reason in found}


class TestSandbox:
    """The sandbox keeps uploads, and gives them by temporary URLs."""

    CONTENTS = (b"", b"x", os.urandom(3_000_000))

    async def ticket(self, sandbox: Sandbox) -> int:
        """Create a ticket with three files of one name."""
        async with sandbox.client() as client:
            uploaded = [await client.upload_file(one, file_name="日志.txt") for one in self.CONTENTS]
            return await client.create_ticket(evolve(creation(), attachment=uploaded))

    async def test_fetched_and_kept(self, folder: Path) -> None:
        """All bytes arrive, for their owner alone; the second time nothing is asked for."""
        async with Sandbox(0) as sandbox, sandbox.client() as client, AttachmentFolder(folder, client) as attachments:
            detail = await client.get_ticket_detail(await self.ticket(sandbox))
            assert await attachments.fetch(detail) == AttachmentCounts(fetched=3, bytes=3_000_001)
            place = folder / str(detail.id)
            names = ["日志.txt", "日志 (2).txt", "日志 (3).txt"]
            assert [(place / name).read_bytes() for name in names] == list(self.CONTENTS)
            assert sorted(os.listdir(place)) == sorted(names)
            assert {stat.S_IMODE((place / name).stat().st_mode) for name in names} == {0o600}
            assert [stat.S_IMODE(one.stat().st_mode) for one in (folder, place)] == [0o700, 0o700]
            for one in detail.attachment:
                assert one.file_path.startswith(sandbox.url)
            gone = evolve(
                detail, attachment=[evolve(one, file_path="http://127.0.0.1:1/") for one in detail.attachment]
            )
            assert await attachments.fetch(gone) == AttachmentCounts(kept=3)

    async def test_stale_urls(self, folder: Path) -> None:
        """URLs that have expired are asked for again, all of the ticket at once."""
        clock = Clock()
        async with Sandbox(0, clock=clock) as sandbox, sandbox.client(now=clock) as client:
            detail = await client.get_ticket_detail(await self.ticket(sandbox))
            clock.now += 601
            async with AttachmentFolder(folder, client) as attachments:
                assert (await attachments.fetch(detail)).fetched == 3
            assert sandbox.requests["get_ticket_detail"] == 2

    async def test_went_on_from_a_part(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process that ends in the middle leaves a part; the next one asks for the rest only."""
        monkeypatch.setattr(module, "MOST_BYTES_OF_A_FILE", 3_000_000)
        monkeypatch.setattr(module, "FLUSH_AT", 1 << 16)
        async with Sandbox(0) as sandbox, sandbox.client() as client:
            detail = await client.get_ticket_detail(await self.ticket(sandbox))
            async with AttachmentFolder(folder, client) as attachments:
                task = asyncio.create_task(attachments.fetch(detail))
                while not any(_sizes(folder, "*/.*(3)*.part")):  # noqa: ASYNC110 - the disk has no event
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
            (size,) = _sizes(folder, "*/.*(3)*.part")
            assert 0 < size < 3_000_000
            async with AttachmentFolder(folder, client) as attachments:
                fetched = await attachments.fetch(detail)
            assert fetched.fetched + fetched.kept == 3
            assert (folder / str(detail.id) / "日志 (3).txt").read_bytes() == self.CONTENTS[2]
            assert len(os.listdir(folder / str(detail.id))) == 3


class TestPlaces:
    """Where files are put."""

    async def test_names(self, folder: Path) -> None:
        """No name of the server's leads out of the ticket's folder; names that are taken are numbered."""
        names = ["../../etc/passwd", "/etc/passwd", "..\\passwd", "a\0.png", ".hidden", "CON", "", "图" * 200 + ".png"]
        async with storage() as served:
            detail = served.detail(*(served.attachment(name, name.encode()[:20] + b"!") for name in names))
            assert (await fetch(served, folder, detail)).fetched == len(names)
            assert (await fetch(served, folder, detail)).kept == len(names)
        assert os.listdir(folder.parent) == ["attachments"]
        assert sorted(os.listdir(folder)) == [".platform", str(TICKET)]
        assert files(folder) == {
            "passwd": b"../../etc/passwd!",
            "passwd (2)": b"/etc/passwd!",
            "passwd (3)": b"..\\passwd!",
            "a_.png": b"a\0.png!",
            "hidden": b".hidden!",
            "_CON": b"CON!",
            "file": b"!",
            "图" * 65 + ".png": "图".encode() * 6 + "图".encode()[:2] + b"!",
        }

    async def test_both_lists(self, folder: Path) -> None:
        """Files of the investigation come after those of the ticket."""
        async with storage() as served:
            detail = served.detail(served.attachment("a.png", b"1"))
            detail.handle_attachment = [served.attachment("a.png", b"2")]
            assert await fetch(served, folder, detail) == AttachmentCounts(fetched=2, bytes=2)
        assert files(folder) == {"a.png": b"1", "a (2).png": b"2"}

    async def test_wrong_size_is_replaced(self, folder: Path) -> None:
        """A file that is there with another size is fetched again."""
        async with storage() as served:
            detail = served.detail(served.attachment("a.png", CONTENT))
            (folder / str(TICKET)).mkdir(parents=True)
            (folder / str(TICKET) / "a.png").write_bytes(b"half")
            assert await fetch(served, folder, detail) == AttachmentCounts(fetched=1, bytes=SIZE)
        assert files(folder) == {"a.png": CONTENT}

    @pytest.mark.parametrize("size", [4, 0])
    async def test_a_link_is_no_file(self, size: int, folder: Path, tmp_path: Path) -> None:
        """A symbolic link in the place of a file is replaced, and what it leads to stays."""
        other = tmp_path / "other"
        other.write_bytes(b"1234")
        async with storage() as served:
            (folder / str(TICKET)).mkdir(parents=True)
            (folder / str(TICKET) / "a").symlink_to(other)
            await fetch(served, folder, served.detail(served.attachment("a", b"5678", size=size)))
        assert (other.read_bytes(), files(folder)) == (b"1234", {"a": b"5678"})

    async def test_without_attachments(self, folder: Path) -> None:
        """A ticket without any has no folder."""
        async with storage() as served:
            assert await fetch(served, folder, served.detail()) == AttachmentCounts()
        assert os.listdir(folder) == [".platform"]

    @pytest.mark.parametrize("size", [None, 0])
    async def test_another_platform(self, size: int | None, folder: Path) -> None:
        """A ticket of the same number on another platform is another ticket: its file does not pass for ours."""
        async with storage() as served, storage() as other:
            ours = served.detail(served.attachment("a", b"ours", size=size))
            assert (await fetch(served, folder, ours)).fetched == 1
            with pytest.raises(ConfigError, match=f"for the tickets of '{served.wire.url}', not of '{other.wire.url}'"):
                await fetch(other, folder, other.detail(other.attachment("a", b"than", size=size)))
            assert (await fetch(served, folder, ours)).kept == 1
            assert files(folder) == {"a": b"ours"}
            # As a crash leaves it.
            (folder / ".platform").write_bytes(served.wire.url.encode()[:9])
            assert (await fetch(other, folder, other.detail(other.attachment("b", b"2")))).fetched == 1
        assert (folder / ".platform").read_text() == f"{other.wire.url}\n"
        assert stat.S_IMODE((folder / ".platform").stat().st_mode) == 0o600


async def test_nothing_of_ours_is_sent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage gets no signature, cookie or Authorization; the URL's own signature stays byte for byte."""
    monkeypatch.setattr(module, "AT_ONCE", 1)
    async with storage() as served:
        cookie = http(b"1", Set_Cookie="session=1; Path=/")
        one = served.attachment("a", b"1", cookie)
        two = served.attachment("b", b"2")
        named = evolve(two, file_path=two.file_path.replace("http://", "http://user:password@"))
        # aiohttp keeps no cookie of a host that is an IP address.
        listed = [evolve(one, file_path=one.file_path.replace("127.0.0.1", "localhost")) for one in (one, named)]
        fetched = await fetch(served, folder, served.detail(*listed), private_addresses=True)
        assert fetched.fetched == 2
        sent = b"".join(served.wire.requests).lower()
        assert sent.startswith(b"get /f0?signature=a%2fb%2bc http/1.1\r\n")
    for word in (b"appid", b"sign:", b"timestamp", b"authorization", b"cookie", b"demo-app", b"password", b"range"):
        assert word not in sent


class TestStale:
    """URLs are good for about 600 seconds, and are asked for again once."""

    @pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "404 Not Found"])
    async def test_refused(self, status: str, folder: Path) -> None:
        """A URL that is refused is asked for again, for all files of the ticket together."""
        async with storage() as served:
            old = [served.attachment(name, b"", http("", status), size=2) for name in ("a", "b", "a")]
            new = [served.attachment(name, content) for name, content in (("a", b"11"), ("a", b"33"), ("b", b"22"))]
            served.details = [{"attachment": [vars_of(one) for one in new]}]
            assert await fetch(served, folder, served.detail(*old)) == AttachmentCounts(fetched=3, bytes=6)
            assert len(served.requests(DETAIL)) == 1
        assert files(folder) == {"a": b"11", "b": b"22", "a (2)": b"33"}

    async def test_only_once(self, folder: Path) -> None:
        """What is refused again is a failure; the files that are not come all the same."""
        async with storage() as served:
            bad = served.attachment("bad", b"x", http("", "403 Forbidden"))
            good = served.attachment("good", b"y")
            served.details = [{"attachment": [vars_of(bad), vars_of(good)]}]
            fetched = await fetch(served, folder, served.detail(bad, good))
            assert len(served.requests("/f0")) == 2
        assert fetched.fetched == 1
        assert reasons(fetched) == {"bad": "its URL is not good (HTTP 403), and the ticket was read again once already"}
        assert files(folder) == {"good": b"y"}

    async def test_ticket_cannot_be_read(self, folder: Path) -> None:
        """The reason says so, for every file that needed it, after one reading."""
        async with storage() as served:
            old = [served.attachment(name, b"x", http("", "403 Forbidden")) for name in "ab"]
            served.details = [{"id": "none"}]
            fetched = await fetch(served, folder, served.detail(*old))
            assert len(served.requests(DETAIL)) == 1
        assert [reason.partition(": ")[0] for reason in reasons(fetched).values()] == [
            "its URL is not good (HTTP 403), and the ticket could not be read again"
        ] * 2

    async def test_no_longer_there(self, folder: Path) -> None:
        """An attachment that the ticket has no longer is a failure."""
        async with storage() as served:
            old = served.attachment("a", b"x", http("", "404 Not Found"))
            served.details = [{"attachment": []}]
            fetched = await fetch(served, folder, served.detail(old))
        assert reasons(fetched) == {"a": "the ticket gives no URL of http or https that can be asked"}


def vars_of(attachment: Attachment) -> dict[str, object]:
    """Return an attachment as the platform sends it."""
    return {
        "file_name": attachment.file_name,
        "file_path": attachment.file_path,
        "file_size": attachment.file_size,
        "file_type": attachment.file_type,
    }


class TestGoingOn:
    """A broken connection costs what was not received yet."""

    WHOLE = http(CONTENT)

    async def test_range(self, folder: Path) -> None:
        """The next attempt asks for the rest."""
        async with storage() as served:
            one = served.attachment("a", CONTENT, broken_off(self.WHOLE, 1000), rest(CONTENT, 1000))
            assert await fetch(served, folder, served.detail(one)) == AttachmentCounts(fetched=1, bytes=SIZE)
            assert served.ranges() == ["", "bytes=1000-"]
        assert files(folder) == {"a": CONTENT}

    @pytest.mark.parametrize(
        ("answer", "ranges"),
        [
            (WHOLE, ["", "bytes=1000-"]),
            (rest(CONTENT, 0), ["", "bytes=1000-", ""]),
            (rest(CONTENT, 1000, "bytes 1000-1999/4096"), ["", "bytes=1000-", ""]),
            (rest(CONTENT, 1000, "bytes 1000-4095/*"), ["", "bytes=1000-", ""]),
            (rest(CONTENT, 1000, ""), ["", "bytes=1000-", ""]),
            (http("", "416 Range Not Satisfiable"), ["", "bytes=1000-", ""]),
        ],
        ids=["ignored", "other start", "other end", "no whole", "no range", "refused"],
    )
    @pytest.mark.parametrize("size", slow_after(1, [SIZE, 0]))
    async def test_no_range(self, answer: bytes, ranges: list[str], size: int, folder: Path) -> None:
        """A server that does not go on is asked for the whole file again."""
        async with storage() as served:
            steps: list[Answer] = [broken_off(self.WHOLE, 1000), answer, self.WHOLE]
            one = served.attachment("a", CONTENT, *steps, size=size)
            assert await fetch(served, folder, served.detail(one)) == AttachmentCounts(fetched=1, bytes=SIZE)
            assert served.ranges() == ranges
        assert files(folder) == {"a": CONTENT}

    async def test_three_attempts(self, folder: Path) -> None:
        """Then it is a failure; what was received is gone on with in the next run, whatever the URL's token."""
        async with storage() as served:
            broken: list[Answer] = [
                broken_off(self.WHOLE, 1000),
                http("", "503 Busy"),
                http("", "429 Too Many Requests"),
            ]
            one = served.attachment("a", CONTENT, *broken, rest(CONTENT, 1000))
            fetched = await fetch(served, folder, served.detail(one))
            assert reasons(fetched) == {"a": "the server answered HTTP 429; 3 attempts were made"}
            ((name, content),) = files(folder).items()
            assert (name[:3], name[-5:], content) == (".a.", ".part", CONTENT[:1000])
            again = evolve(one, file_path=one.file_path.replace("Signature=", "Signature=other"))
            assert await fetch(served, folder, served.detail(again)) == AttachmentCounts(fetched=1, bytes=SIZE)
            assert served.ranges()[-1] == "bytes=1000-"
        assert files(folder) == {"a": CONTENT}

    @pytest.mark.parametrize("name", ["ETag", "Last_Modified"])
    @pytest.mark.parametrize("size", slow_after(1, [SIZE, 0]))
    async def test_another_content(self, size: int, name: str, folder: Path) -> None:
        """A file that the server replaced meanwhile is asked for anew, by the same run or the next: none is of two."""
        one, two, three = (CONTENT[turn:] + CONTENT[:turn] for turn in range(3))
        busy = http("", "503 Busy")

        def of(number: int, answer: bytes) -> bytes:
            said = f"{name.replace('_', '-')}: Sat, 0{number} Aug 2026 00:00:00 GMT\r\n\r\n"
            return answer.replace(b"\r\n\r\n", b"\r\n" + said.encode(), 1)

        async with storage() as served:
            steps: list[Answer] = [broken_off(of(1, http(one)), 1000), of(2, rest(two, 1000))]
            steps += [broken_off(of(2, http(two)), 2000)]
            file = served.attachment("a", CONTENT, *steps, size=size)
            assert (await fetch(served, folder, served.detail(file))).failed == 1
            served.files["/f0"] = [busy, of(3, rest(three, 2000)), broken_off(of(3, http(three)), 3000)]
            assert (await fetch(served, folder, served.detail(file))).failed == 1
            served.files["/f0"] = [of(3, rest(three, 3000))]
            assert await fetch(served, folder, served.detail(file)) == AttachmentCounts(fetched=1, bytes=SIZE)
            begun = [int(text[6:-1] or 0) for text in served.ranges()]
            assert begun == [0, 1000, 0, 2000, 2000, 2000, 0, 3000, 3000]
        assert files(folder) == {"a": three}
        assert time.time() - (folder / str(TICKET) / "a").stat().st_mtime < 600

    @pytest.mark.parametrize("is_another_run", slow_after(1, [True, False]))
    @pytest.mark.parametrize(
        ("size", "before", "after"),
        [
            (SIZE, http(CONTENT, ETag='"1"'), http(CONTENT[::-1])),
            (SIZE, http(CONTENT), http(CONTENT[::-1], ETag='"2"')),
            (0, http(CONTENT), http(CONTENT[::-1] + b"!")),
            # A page of a gateway, which comes in pieces, and whole.
            (SIZE, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n%b\r\n0\r\n\r\n", http(CONTENT)),
        ],
    )
    async def test_another_word_of_it(
        self, size: int, before: bytes, after: bytes, is_another_run: bool, folder: Path
    ) -> None:
        """What is not said to be of the same version is none, though only one of both answers has one, or a size."""
        head, _, content = after.partition(b"\r\n\r\n")
        said = {"ETag": '"2"'} if b"ETag" in head else {}
        going_on = http(
            content[1000:], "206 Partial Content", Content_Range=f"bytes 1000-{len(content) - 1}/{len(content)}", **said
        )
        async with storage() as served:
            first = before % CONTENT[-1000:] if b"chunked" in before else broken_off(before, 1000)
            file = served.attachment("a", CONTENT, first, size=size)
            if is_another_run:
                served.files["/f0"] += [http("", "503 Busy")]
                assert (await fetch(served, folder, served.detail(file))).failed == 1
                served.files["/f0"] = []
            served.files["/f0"] += [going_on, after]
            assert (await fetch(served, folder, served.detail(file))).fetched == 1
            assert served.ranges()[-2:] == ["bytes=1000-", ""]
        assert files(folder) == {"a": content}

    async def test_another_storage_key(self, folder: Path) -> None:
        """Where the ticket gives a file another place meanwhile, it may be another file."""
        async with storage() as served:
            steps = broken_off(http(CONTENT[::-1]), 1000), http("", "403 Forbidden")
            one = served.attachment("a", CONTENT[::-1], *steps)
            served.files["/g"] = [rest(CONTENT, 1000), http(CONTENT)]
            served.details = [{"attachment": [vars_of(evolve(one, file_path=f"{served.wire.url}/g"))]}]
            assert (await fetch(served, folder, served.detail(one))).fetched == 1
        assert files(folder) == {"a": CONTENT}

    @pytest.mark.parametrize("said", ["utf-8", "aws-chunked", "binary", ""])
    async def test_what_packs_nothing(self, said: str, folder: Path) -> None:
        """Storage hands out the Content-Encoding that was said of a file once, whatever that is."""
        async with storage() as served:
            one = served.attachment("a", CONTENT, http(CONTENT, Content_Encoding=said))
            assert (await fetch(served, folder, served.detail(one))).fetched == 1
        assert files(folder) == {"a": CONTENT}

    async def test_part_of_another_file(self, folder: Path) -> None:
        """A part that another file left under the same name is not gone on with, and is removed in the end."""
        async with storage() as served:
            one = served.attachment("a", CONTENT, broken_off(self.WHOLE, 1000))
            assert (await fetch(served, folder, served.detail(one))).failed == 1
            other = served.attachment("a", CONTENT[::-1])
            assert (await fetch(served, folder, served.detail(other))).fetched == 1
            assert served.ranges("/f1") == [""]
        assert files(folder) == {"a": CONTENT[::-1]}

    async def test_whole_part(self, folder: Path) -> None:
        """A part that only lacks its name gets it without a request; one that is too long is begun anew."""
        async with storage() as served:
            one = served.attachment("a", CONTENT, broken_off(self.WHOLE, 1000))
            await fetch(served, folder, served.detail(one))
            ((name, _),) = files(folder).items()
            (folder / str(TICKET) / name).write_bytes(CONTENT)
            asked = len(served.wire.requests)
            assert await fetch(served, folder, served.detail(one)) == AttachmentCounts(fetched=1, bytes=SIZE)
            assert len(served.wire.requests) == asked
            (folder / str(TICKET) / "a").unlink()
            (folder / str(TICKET) / name).write_bytes(CONTENT + b"!")
            served.files["/f0"] = [self.WHOLE]
            assert await fetch(served, folder, served.detail(one)) == AttachmentCounts(fetched=1, bytes=SIZE)
        assert files(folder) == {"a": CONTENT}

    async def test_all_but_its_end(self, folder: Path) -> None:
        """An answer that is cut short once all bytes came is a whole file: it is not asked for again."""
        async with storage() as served:
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            one = served.attachment("a", b"12345", broken_off(head + b"5\r\n12345\r\n", 10))
            assert await fetch(served, folder, served.detail(one)) == AttachmentCounts(fetched=1, bytes=5)
            assert served.ranges() == [""]
        assert files(folder) == {"a": b"12345"}

    async def test_stalled(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An attempt that brings nothing for a while has failed, in the middle as before the first byte."""
        monkeypatch.setattr(module, "STALLED_AFTER", 0.2)
        async with storage() as served:
            one = served.attachment("a", CONTENT, stalled(self.WHOLE, 1000), rest(CONTENT, 1000))
            two = served.attachment("b", CONTENT, stalled(b"", 0))
            fetched = await fetch(served, folder, served.detail(one, two))
        assert fetched.fetched == 1
        assert reasons(fetched) == {"b": "nothing came for 0.2 s; 3 attempts were made"}
        assert files(folder) == {"a": CONTENT}

    async def test_no_server(self, folder: Path) -> None:
        """Where nobody listens, or what answers is no HTTP, the reason says so, without the token."""
        async with storage() as served:
            one = Attachment("a", "http://127.0.0.1:1/a?token=secret", 1)
            two = served.attachment("b", b"1", b"220 mail\r\n\r\n")
            told = reasons(await fetch(served, folder, served.detail(one, two), private_addresses=True))
        assert told["a"].startswith("ClientConnectorError: Cannot connect to host 127.0.0.1:1 ")
        assert told["b"].startswith("ClientResponseError: 400, message=")
        assert "secret" not in told["a"]
        assert "Signature" not in told["b"]
        assert files(folder) == {}


class TestWrongAnswers:
    """A file that is not what the ticket says is not there."""

    @pytest.mark.parametrize(
        ("answer", "size", "reason"),
        [
            (http(b"12345"), 4, "the server has 5 bytes of it; the ticket says 4"),
            (http(b"123"), 4, "the server has 3 bytes of it; the ticket says 4"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
                4,
                "the server sends more than its 4 bytes",
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n0\r\n\r\n",
                4,
                "the server ended after 3 of 4 bytes; 3 attempts were made",
            ),
            (
                broken_off(b"HTTP/1.1 200 OK\r\n\r\n1234", 4),
                0,
                "neither the ticket nor the server says how many bytes it has",
            ),
            (rest(b"1234", 0), 4, "the server answered HTTP 206"),
            (http(b"", "204 No Content"), 4, "the server answered HTTP 204"),
            (http(b"1234", Content_Encoding="gzip"), 4, "the server packs it as 'gzip', which it was asked not to do"),
            (redirect("file:///etc/passwd"), 4, "the server redirects to no URL of http or https"),
            (redirect("http://[::1"), 4, "the server redirects to no URL of http or https"),
            (redirect("/f0"), 4, "the server redirects more than 3 times"),
        ],
    )
    async def test_refused(self, answer: bytes, size: int, reason: str, folder: Path) -> None:
        """It is told why, the other files come, and no file has the name."""
        async with storage() as served:
            wrong = served.attachment("wrong", b"", answer, size=size)
            right = served.attachment("right", CONTENT)
            fetched = await fetch(served, folder, served.detail(wrong, right))
        assert fetched.fetched == 1
        assert reasons(fetched)["wrong"].startswith(reason)
        names = {name for name in files(folder) if not name.startswith(".wrong.")}
        assert names == {"right"}

    async def test_urls(self, folder: Path) -> None:
        """Only http and https are asked."""
        texts = ["", "workorder/40084/dc4ced80", "ftp://127.0.0.1/a", "file:///etc/passwd", "http://", "http://[::1"]
        texts += ["http://[]@", "http://a\0b/"]
        async with storage() as served:
            listed = [Attachment("a", text, 4) for text in [*texts, "http://127.0.0.1:99999/"]]
            told = reasons(await fetch(served, folder, served.detail(*listed)))
            assert served.wire.requests == []
        assert set(told.values()) == {"the ticket gives no URL of http or https that can be asked"}
        assert (len(told), files(folder)) == (9, {})

    async def test_url_cannot_forge_headers(self, folder: Path) -> None:
        """What is no part of a URL is escaped."""
        async with storage() as served:
            one = served.attachment("a", b"1")
            forged = evolve(one, file_path=one.file_path + "图 \r\nCookie: x=1\r\n\r\n")
            assert (await fetch(served, folder, served.detail(forged))).fetched == 1
            (request,) = served.wire.requests
        assert request.startswith(b"GET /f0?Signature=a/b%2Bc%E5%9B%BE+Cookie:+x=1 HTTP/1.1\r\n")

    async def test_redirected(self, folder: Path) -> None:
        """Three redirects are followed, relative ones too, with the range."""
        async with storage() as served:
            one = served.attachment("a", CONTENT, broken_off(http(CONTENT), 1000), redirect("f1"))
            served.files["/f1"] = [redirect("//" + served.wire.url.partition("//")[2] + "/f2")]
            served.files["/f2"] = [redirect(served.wire.url + "/f3")]
            served.files["/f3"] = [rest(CONTENT, 1000)]
            assert await fetch(served, folder, served.detail(one)) == AttachmentCounts(fetched=1, bytes=SIZE)
            assert served.ranges("/f3") == ["bytes=1000-"]
        assert files(folder) == {"a": CONTENT}

    async def test_size_by_server(self, folder: Path) -> None:
        """Where the ticket does not say how many bytes there are, the server's word counts; what is there is kept."""
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n"
        async with storage() as served:
            one = served.attachment("a", b"", http(CONTENT), size=0)
            two = served.attachment("b", b"", chunked, size=-1)
            detail = served.detail(one, two)
            assert await fetch(served, folder, detail) == AttachmentCounts(fetched=2, bytes=SIZE + 4)
            assert await fetch(served, folder, detail) == AttachmentCounts(kept=2)
        assert files(folder) == {"a": CONTENT, "b": b"1234"}


class TestLimits:
    """What is beyond a limit is not fetched, and told."""

    async def test_limits(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files are counted in the order of the ticket; one that does not fit leaves room for those after it."""
        monkeypatch.setattr(module, "MOST_BYTES", 75)
        monkeypatch.setattr(module, "MOST_BYTES_OF_A_FILE", 45)
        async with storage() as served:
            sizes = [40, 50, 20, 16, 10]
            listed = [served.attachment(str(size), b"x" * size) for size in sizes]
            fetched = await fetch(served, folder, served.detail(*listed))
            assert {_path for _path in ("/f1", "/f3") if served.requests(_path)} == set()
        assert (fetched.fetched, fetched.bytes) == (3, 70)
        assert reasons(fetched) == {
            "50": "it has more than 45 bytes",
            "16": "with it there would be more than 75 bytes in all",
        }

    async def test_in_all(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The limit is for all tickets, with what is there already; a failure takes no room."""
        monkeypatch.setattr(module, "MOST_BYTES", 100)
        async with storage() as served:
            one = served.detail(
                served.attachment("a", b"x" * 40), served.attachment("b", b"x" * 40, http("", "204 No Content"))
            )
            two = TicketDetail(2, attachment=[served.attachment("c", b"x" * 60), served.attachment("d", b"x" * 61)])
            for seen in (AttachmentCounts(fetched=1, bytes=40), AttachmentCounts(kept=1)):
                async with AttachmentFolder(folder, served.client) as attachments:
                    assert evolve(await attachments.fetch(one), failed=0, failures=()) == seen
                    fetched = await attachments.fetch(two)
                    assert reasons(fetched) == {"d": "with it there would be more than 100 bytes in all"}

    @pytest.mark.parametrize(
        ("limit", "reason"),
        [
            ("MOST_BYTES", "with it there would be more than 4,095 bytes in all"),
            ("MOST_BYTES_OF_A_FILE", "it has more than 4,095 bytes"),
        ],
    )
    async def test_unknown_size(self, limit: str, reason: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file of unknown size is ended where it passes a limit, and nothing of it stays."""
        monkeypatch.setattr(module, "FLUSH_AT", 1)
        monkeypatch.setattr(module, limit, SIZE - 1)
        async with storage() as served:
            one = served.attachment("a", b"", in_two(http(CONTENT)), size=0)
            assert reasons(await fetch(served, folder, served.detail(one))) == {"a": reason}
        assert files(folder) == {}


class TestConcurrency:
    """How many are fetched at once, and how they end."""

    async def test_at_most(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No more than so many files are asked for at once, over all tickets."""
        monkeypatch.setattr(module, "AT_ONCE", 3)
        answer = AtOnce(http(b"1"), 0.02)
        async with storage() as served, AttachmentFolder(folder, served.client) as attachments:
            tickets = [
                TicketDetail(id, attachment=[served.attachment(str(number), b"1", answer) for number in range(4)])
                for id in (1, 2)
            ]
            await asyncio.gather(*map(attachments.fetch, tickets))
        assert answer.most == 3

    @pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted on Linux")
    @pytest.mark.parametrize("turns", slow_but_every(4, [*range(12), None]))
    async def test_cancelled(self, turns: int | None, folder: Path) -> None:
        """Cancelled at any step, it lets go of tasks, sockets and files, and what was received is gone on with."""
        begun = asyncio.Event()
        async with storage() as served:
            one = served.attachment("a", CONTENT, stalled(http(CONTENT), 1000, begun), http(CONTENT))
            two = served.attachment("b", CONTENT)
            detail = served.detail(one, two)
            tasks, descriptors = asyncio.all_tasks(), _descriptors()
            async with AttachmentFolder(folder, served.client) as attachments:
                fetching = asyncio.create_task(attachments.fetch(detail))
                if turns is None:
                    await begun.wait()
                for _ in range(turns or 0):
                    await asyncio.sleep(0)
                fetching.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await fetching
            left = map(repr, asyncio.all_tasks() - tasks)
            assert not [one for one in left if "raw_server" not in one and "_accept_connection" not in one]
            assert {one for one in _descriptors() if str(folder) in one} == set()
            assert len(_descriptors()) <= len(descriptors) + 2, "the server's ends of two connections"
            served.files["/f0"] = [http(CONTENT)]
            fetched = await fetch(served, folder, detail)
            assert fetched.fetched + fetched.kept == 2
        assert files(folder) == {"a": CONTENT, "b": CONTENT}

    async def test_twice_at_once(self, folder: Path) -> None:
        """Two that fetch the same file do not write into each other's, and the second is told why."""
        begun = asyncio.Event()
        async with storage() as served, AttachmentFolder(folder, served.client) as attachments:
            one = served.attachment("a", CONTENT, stalled(http(CONTENT), 1000, begun))
            fetching = asyncio.create_task(attachments.fetch(served.detail(one)))
            await begun.wait()
            with pytest.raises(ExportError, match=r"cannot write .*a': it is in use: another process or call"):
                await attachments.fetch(served.detail(one))
            fetching.cancel()
            await asyncio.wait([fetching])


def _descriptors() -> list[str]:
    found = []
    for one in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(one.readlink()))
        except FileNotFoundError:
            continue
    return found


_CHILD = """
import asyncio, sys
from workorder_async import Attachment, SchemeSigner, TicketDetail, WorkorderClient
from workorder_async.exports import attachments as module
from workorder_async.exports.attachments import AttachmentFolder
module.FLUSH_AT = 500
async def main():
    url, folder = sys.argv[1:]
    signer = SchemeSigner("a", "b", "md5:{secret}")
    async with WorkorderClient(url, signer=signer) as client, AttachmentFolder(folder, client) as attachments:
        listed = [Attachment("a", url + "/f0", 4096), Attachment("b", url + "/f1", 4096)]
        await attachments.fetch(TicketDetail(1473, attachment=listed))
asyncio.run(main())
"""


class TestDisk:
    """What the disk does not do, and what it keeps."""

    @pytest.mark.slow
    async def test_killed(self, folder: Path) -> None:
        """Killed in the middle, no half of a file has its name, and the next process asks for the rest only."""
        begun = asyncio.Event()
        async with storage() as served:
            one = served.attachment("a", CONTENT, stalled(http(CONTENT), 1000, begun))
            two = served.attachment("b", CONTENT)
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", _CHILD, served.wire.url, str(folder))
            await begun.wait()
            place = folder / str(TICKET)
            while _sizes(place, "b") + _sizes(place, ".a.*.part") != [SIZE, 1000]:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            (part,) = place.glob(".a.*.part")
            while abs(time.time() - part.stat().st_mtime) < 600:  # noqa: ASYNC110 - until its time is a version
                await asyncio.sleep(0.01)
            child.kill()
            await child.communicate()
            left = files(folder)
            assert left.keys() & {"a", "b"} == {"b"}
            assert left[part.name] == CONTENT[:1000]
            served.files["/f0"] = [rest(CONTENT, 1000)]
            assert await fetch(served, folder, served.detail(one, two)) == AttachmentCounts(
                fetched=1, bytes=SIZE, kept=1
            )
            assert served.ranges() == ["", "bytes=1000-"]
        assert files(folder) == {"a": CONTENT, "b": CONTENT}

    async def test_full(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk that takes no more ends it at once with `ExportError`, and no half of a file has its name."""
        monkeypatch.setattr(module, "FLUSH_AT", 500)
        async with storage() as served:
            detail = served.detail(
                served.attachment("a", CONTENT), served.attachment("b", CONTENT, stalled(http(CONTENT), 1000))
            )
            told = re.escape(f"cannot write '{folder / str(TICKET) / 'a'}': File too large; ")
            with limited_files(2000), pytest.raises(ExportError, match=told):
                await fetch(served, folder, detail)
        assert [name for name in files(folder) if not name.startswith(".")] == []

    async def test_full_for_a_while(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What came before the disk was full is gone on with."""
        monkeypatch.setattr(module, "FLUSH_AT", 1)

        async def in_pieces(_: object, writer: asyncio.StreamWriter) -> None:
            answer = http(CONTENT)
            writer.write(answer[: 1000 - SIZE])
            while _sizes(folder, "*/.a.*.part") != [1000]:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            writer.write(answer[1000 - SIZE :])

        async with storage() as served:
            one = served.attachment("a", CONTENT, in_pieces, rest(CONTENT, 1000))
            with limited_files(2000), pytest.raises(ExportError, match="File too large; mend that and begin again, "):
                await fetch(served, folder, served.detail(one))
            assert (await fetch(served, folder, served.detail(one))).fetched == 1
            assert served.ranges() == ["", "bytes=1000-"]
        assert files(folder) == {"a": CONTENT}

    async def test_a_part_of_another_run(self, folder: Path) -> None:
        """What another run is receiving stays; what it left is taken away."""
        async with storage() as served:
            one = served.attachment("a", b"1")
            await fetch(served, folder, served.detail(one))
            part = folder / str(TICKET) / ".b.0.part"
            with closing(LockedFile(part)):
                await fetch(served, folder, served.detail(one))
                assert part.exists()
            await fetch(served, folder, served.detail(one))
        assert files(folder) == {"a": b"1"}

    async def test_folder(self, tmp_path: Path) -> None:
        """A folder that cannot be made is refused before anything is sent."""
        (tmp_path / "file").write_bytes(b"")
        async with storage() as served:
            for place in (tmp_path / "file", tmp_path / "none" / "folder"):
                with pytest.raises(ConfigError, match="cannot be the folder "):
                    async with AttachmentFolder(place, served.client):
                        pytest.fail("it was entered")

    async def test_ticket_folder(self, folder: Path) -> None:
        """A ticket's folder that cannot be made ends it."""
        async with storage() as served:
            os.mkdir(folder)
            (folder / str(TICKET)).write_bytes(b"")
            with pytest.raises(ExportError, match="cannot write "):
                await fetch(served, folder, served.detail(served.attachment("a", b"1")))


async def test_proxy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go through the proxy; a failure does not tell its password."""
    monkeypatch.setattr(module, "AT_ONCE", 1)
    listed = [Attachment(name, f"http://storage.test/{name}", SIZE) for name in "ab"]
    async with serving(http(CONTENT), http("", "503 Busy")) as proxy:
        async with storage(proxy=proxy.url.replace("//", "//user:secret@")) as served:
            fetched = await fetch(served, folder, served.detail(*listed))
        assert proxy.requests[0].startswith(b"GET http://storage.test/a HTTP/1.1\r\n")
    assert (fetched.fetched, reasons(fetched)) == (1, {"b": "the server answered HTTP 503; 3 attempts were made"})
