"""Answers over a socket that lack a part, or hold one that cannot be read: what the client says of them."""

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.clients import make_client
from tests.support.raw_server import envelope, http, serving
from tests.support.rows import each
from tests.support.slow import slow_after
from workorder_async import ApiError, CommentTicket, DecodeError, WorkorderClient
from workorder_async.document import JSON
from workorder_async.document.json_text import parse_slowly
from workorder_async.wire import session

ROW = '{"id":7,"created_time":1636600271}'
PAGE = '{"pagination":{"page_size":100,"total":1},"tickets":[%s]}'


async def walked(client: WorkorderClient) -> list[int]:
    """Return the ids of a walk."""
    return [ticket.id async for ticket in client.iter_tickets()]


async def paged(client: WorkorderClient) -> list[int]:
    """Return the ids of the first page."""
    return [ticket.id for ticket in (await client.list_tickets()).tickets]


async def uploaded(client: WorkorderClient) -> list[int]:
    """Return the size of a file that was uploaded."""
    return [(await client.upload_file(b"x", file_name="a.png")).file_size]


async def read(client: WorkorderClient) -> list[int]:
    """Return the id of a ticket."""
    return [(await client.get_ticket(7)).id]


async def read_in_full(client: WorkorderClient) -> list[int]:
    """Return the id of a ticket with its details."""
    return [(await client.get_ticket_detail(7)).id]


Ask = Callable[[WorkorderClient], Awaitable[list[int]]]
FILE = '{"author":1,"file_name":"a.png","file_path":"k/a","file_size":7,"file_type":"image/png"}'
LISTS: list[tuple[str, str]] = [
    ("{}", "$.data.pagination"),
    ("null", "$.data"),
    ("[]", "$.data"),
    ('""', "$.data"),
    ("[" + PAGE % ROW + "]", "$.data"),
    ('{"tickets":[]}', "$.data.pagination"),
    ('{"tickets":[' + ROW + "]}", "$.data.pagination"),
    ('{"pagination":[],"tickets":[]}', "$.data.pagination"),
    ('{"pagination":{},"tickets":[]}', "$.data.pagination.total"),
    ('{"pagination":{"page_size":100},"tickets":[]}', "$.data.pagination.total"),
    ('{"pagination":{"page_size":100,"total":null},"tickets":[]}', "$.data.pagination.total"),
    ('{"pagination":{"page_size":100,"Total":0},"tickets":[]}', "$.data.pagination.total"),
    ('{"pagination":{"page_size":100,"total":500}}', "$.data.tickets"),
    ('{"pagination":{"page_size":100,"total":1},"tickets":null}', "$.data.tickets"),
    ('{"pagination":{"page_size":100,"total":0},"tickets":{}}', "$.data.tickets"),
    ('{"pagination":{"page_size":100,"total":0},"tickets":""}', "$.data.tickets"),
    ('{"pagination":{"page_size":100,"total":1},"Tickets":[]}', "$.data.tickets"),
]
OTHERS: list[tuple[Ask, str, str]] = [
    *((ask, data, "$.data") for ask in (read, read_in_full, uploaded) for data in ("null", "[]", '"7"', "7")),
    *((ask, data, "$.data.id") for ask in (read, read_in_full) for data in ("{}", '{"id":null}', '{"ID":7}')),
    (uploaded, "{}", "$.data.file_name"),
    *((uploaded, FILE.replace(f'"{name}"', '"x"'), f"$.data.{name}") for name in ("file_name", "file_path")),
    *((uploaded, FILE.replace(f'"{name}"', '"x"'), f"$.data.{name}") for name in ("file_size", "file_type")),
    (uploaded, FILE.replace("7", "null"), "$.data.file_size"),
    (uploaded, FILE.replace('"k/a"', '" "'), "$.data.file_path"),
]


@each(("ask", "data", "path"), [*((ask, *row) for row in LISTS for ask in (paged, walked)), *OTHERS])
async def test_an_answer_without_its_parts(ask: Ask, data: str, path: str) -> None:
    """It is no empty answer, but an error that names the part and the answer."""
    async with serving(envelope(data)) as wire, make_client(wire.url) as client:
        with pytest.raises(DecodeError) as caught:
            await ask(client)
    assert (caught.value.path, caught.value.request_id) == (path, "r-1")
    assert caught.value.message.startswith(f"ticket 7: {path} is ") is (ask in (read, read_in_full))


async def test_a_success_without_data() -> None:
    """Nor is a success without `data`, which the document has for `close_ticket` only, a list of nothing."""
    body = http('{"errno":10000,"errmsg":"OK","request_id":"r-1"}')
    asks: list[Ask] = [paged, walked, read, read_in_full, uploaded]
    async with serving(body) as wire, make_client(wire.url) as client:
        for ask in asks:
            with pytest.raises(DecodeError, match=r"\$\.data is null, expected an object"):
                await ask(client)


@each(
    ("ask", "data", "held"),
    [
        *((ask, PAGE % ROW, [7]) for ask in (paged, walked)),
        *((ask, '{"pagination":{"total":0},"tickets":[]}', []) for ask in (paged, walked)),
        (uploaded, FILE, [7]),
        (uploaded, FILE.replace('"author":1,', ""), [7]),
        (read, '{"id":7}', [7]),
        (read_in_full, '{"id":7}', [7]),
    ],
)
async def test_an_answer_with_its_parts(ask: Ask, data: str, held: list[Any]) -> None:
    """With them it is read, and where the list says that it has no tickets, it has none."""
    async with serving(envelope(data)) as wire, make_client(wire.url) as client:
        assert await ask(client) == held


def rows(*odd: bytes) -> bytes:
    """Return a page of six tickets, the third to fifth of which have these fields as well."""
    fields = [b"", b"", *odd, *[b""] * 6][:6]
    texts = [b'{"id":%d,"created_time":%d%b}' % (id, 1636600271 + id, more) for id, more in enumerate(fields, 1)]
    return b'{"pagination":{"page_size":100,"total":6},"tickets":[%b]}' % b",".join(texts)


ODD: dict[str, bytes] = {
    "a control character": b',"title":"a\x01b"',
    "a raw line feed": b',"title":"a\nb"',
    "a cut character": b',"title":"\xe5\xb7"',
    "another code": b',"title":"\xb9\xa4\xb5\xa5"',
    "an escape that is none": b',"title":"\\q"',
    "in a code": b',"status":"\xe5\xb7"',
    "in a time": b',"closed_time":"\x02"',
    "in a list in a text": b',"form_values":["\xff"]',
    "NaN": b',"handler":NaN',
    "infinity": b',"closed_time":Infinity',
    "a huge number": b',"handler":1' + b"0" * 5000,
    "more than 64 bits": b',"handler":18446744073709551616',
    "one bit too many": b',"handler":9223372036854775808',
    "a number too large": b',"closed_time":1e30',
    "a fraction of a time": b',"closed_time":1.5',
    "too deep": b',"title":' + b"[" * 1000 + b"]" * 1000,
    "objects too deep": b',"handler":' + b'{"a":' * 300 + b"1" + b"}" * 300,
}


@pytest.mark.parametrize("more", slow_after(6, ODD.values()), ids=ODD)
async def test_what_is_no_json_costs_a_row(more: bytes) -> None:
    """The other rows of its page are read; where it may not be skipped, the error names ticket, page and field."""
    name = more.split(b'"')[1].decode()
    async with serving(envelope(rows(more))) as wire, make_client(wire.url) as client:
        async with client.walk(on_bad_row="skip") as walk:
            ids = [ticket.id async for tickets in walk for ticket in tickets]
        assert ids == [1, 2, 4, 5, 6]
        assert [(row.id, row.path) for row in walk.report.skipped] == [(3, f"$.data.tickets[2].{name}")]
        for ask in (paged, walked):
            with pytest.raises(DecodeError, match=rf"ticket 3 on page 1: \$\.data\.tickets\[2\]\.{name} is "):
                await ask(client)


async def test_an_odd_answer_is_parsed_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that orjson refuses takes twenty times as long, and no other call waits for it."""
    threads: list[threading.Thread] = []

    def parse(body: bytes) -> JSON:
        threads.append(threading.current_thread())
        return parse_slowly(body)

    monkeypatch.setattr(session, "parse_slowly", parse)
    data = rows(b',"detail":"%b"' % (b"x" * 10_000), b"", b',"title":"\x01"')
    async with serving(envelope(data)) as wire, make_client(wire.url) as client:
        ids = [ticket.id async for ticket in client.iter_tickets(on_bad_row="skip")]
    assert ids == [1, 2, 3, 4, 6]
    assert threads
    assert threading.main_thread() not in threads


async def test_texts_that_only_people_read() -> None:
    """A request_id of lists inside each other hides no success, and no refusal."""
    deep = b"[" * 300 + b"]" * 300
    done, refused = (http(b'{"errno":%d,"errmsg":"\xff","request_id":%b}' % (errno, deep)) for errno in (10000, 5))
    async with serving(done, refused) as wire, make_client(wire.url) as client:
        await client.comment_ticket(CommentTicket(id=7, detail="x"))
        with pytest.raises(ApiError, match="errno 5"):
            await client.comment_ticket(CommentTicket(id=7, detail="y"))
