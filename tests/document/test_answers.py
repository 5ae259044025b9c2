"""Answers over a socket that lack a part, or hold one that cannot be read: what the client says of them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.clients import make_client
from tests.support.raw_server import envelope, http, serving
from workorder_async import DecodeError, WorkorderClient

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
    ('{"pagination":{"page_size":100,"total":0}}', "$.data.tickets"),
    ('{"pagination":{"page_size":100,"total":0},"tickets":null}', "$.data.tickets"),
    ('{"pagination":{"page_size":100,"total":0},"tickets":{}}', "$.data.tickets"),
    ('{"pagination":{"page_size":100,"total":0},"tickets":""}', "$.data.tickets"),
    ('{"pagination":{"page_size":100,"total":0},"Tickets":[]}', "$.data.tickets"),
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


@pytest.mark.parametrize(("ask", "data", "path"), [*((ask, *row) for row in LISTS for ask in (paged, walked)), *OTHERS])
async def test_an_answer_without_its_parts(ask: Ask, data: str, path: str) -> None:
    """It is no empty answer, but an error that names the part and the answer."""
    async with serving(envelope(data)) as wire, make_client(wire.url) as client:
        with pytest.raises(DecodeError) as caught:
            await ask(client)
    assert (caught.value.path, caught.value.request_id) == (path, "r-1")


async def test_a_success_without_data() -> None:
    """Nor is a success without `data`, which the document has for `close_ticket` only, a list of nothing."""
    body = http('{"errno":10000,"errmsg":"OK","request_id":"r-1"}')
    asks: list[Ask] = [paged, walked, read, read_in_full, uploaded]
    async with serving(body) as wire, make_client(wire.url) as client:
        for ask in asks:
            with pytest.raises(DecodeError, match=r"\$\.data is null, expected an object"):
                await ask(client)


@pytest.mark.parametrize(
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
