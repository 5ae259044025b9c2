"""client.py: the shape of each endpoint's request and answer, byte for byte, as the API document writes them."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from aioresponses import aioresponses
from yarl import URL

from tests.support.clients import API, NOW, make_client
from tests.support.raw_server import http, serving
from tests.support.rows import each
from tests.support.samples import BASE, CLOSE
from tests.support.virtual_loop import virtual_time
from workorder_async import (
    ApiError,
    Attachment,
    AuthenticationError,
    CommentTicket,
    ConfigError,
    CreateTicket,
    CustomerInfo,
    DecodeError,
    NoAnswerError,
    NotFoundError,
    OutcomeUnknownError,
    Priority,
    RateLimitedError,
    RejectTicket,
    ResponseError,
    RetryPolicy,
    Sandbox,
    SigningInput,
    TicketQuery,
    TicketStateError,
    TicketStatus,
    TicketType,
    WorkorderClient,
)
from workorder_async.sandbox import Fault

SIGN = hashlib.md5(b"demo-app1700000000demo-secret").hexdigest()
OK = b'{"errmsg":"OK","errno":10000,"request_id":"f1fab7321a7548c389131e22bb72eb35"}'
EMPTY = b'{"data":{},"errmsg":"OK","errno":10000,"request_id":"f1fab7321a7548c389131e22bb72eb35"}'
PAGE = (
    '{"data":{"pagination":{"page_size":10,"total":1},"tickets":[{"closed_time":0,"created_time":1636600271,'
    '"creator_name":"姜程","customer_organization_name":"北京金山云网络技术有限公司","customer_user_id":"73403574",'
    '"detail":"测试","form_values":"{}","handler":38361,"id":1204,"manager":38362,"need_process":1,"priority":"3",'
    '"product_group":"云服务器","reported_time":1636600200,"status":"2","tags":"紧急,网络","title":"测试","type":1,'
    '"sub_type":7,"second_subtype":9}]},"errmsg":"OK","errno":10000,"request_id":"r1"}'
).encode()
Call = Callable[[WorkorderClient], Awaitable[object]]

CREATE = CreateTicket(
    title="云主机无法登录",
    detail="重启后\n无法登录 \U0001f600\0",
    reported_time=1660298580,
    type=TicketType.TROUBLESHOOTING,
    priority=Priority.HIGH,
    customer_organization_id=1,
    customer_organization_name="某某公司",
    repository_product_id=36,
    creator_id=38361,
    creator_name="姜程",
    whether_product_group_id=True,
    tags=[3, 4],
    customer_info=[CustomerInfo(user_id=73403574, level=2, ticket_id=9)],
    attachment=[Attachment("a.png", "workorder/1/abc", 0, "image/png")],
    use_relate_status=False,
)


REQUESTS: list[tuple[str, str, Call, str | None, bytes]] = [
    (
        "POST",
        "/list_tickets",
        lambda c: c.list_tickets(),
        '{"page":1,"page_size":10}',
        PAGE,
    ),
    (
        "POST",
        "/list_tickets",
        lambda c: c.list_tickets(
            TicketQuery(
                created_start=1,
                created_end=datetime(2021, 11, 11, 3, 11, 11, 900_000, tzinfo=UTC),
                creator_id=38361,
                customer_organization_name="某某公司",
                product_group_id=[36, 37],
                status=TicketStatus.PENDING,
                type="咨询",
                sub_type=7,
                second_subtype=9,
            ),
            page=3,
            page_size=50,
        ),
        '{"created_start":1,"created_end":1636600271,"creator_id":38361,"customer_organization_name":"某某公司",'
        '"product_group_id":[36,37],"status":1,"type":3,"sub_type":7,"second_subtype":9,"page":3,"page_size":50}',
        PAGE,
    ),
    ("GET", "/base?id=1204", lambda c: c.get_ticket(1204), None, BASE),
    ("GET", "/detail?id=1204", lambda c: c.get_ticket_detail(1204), None, BASE.replace(b"1632742075}", b'""}')),
    (
        "POST",
        "/create",
        lambda c: c.create_ticket(CREATE),
        '{"title":"云主机无法登录","detail":"重启后\\n无法登录 \U0001f600\\u0000","reported_time":1660298580,"type":1,'
        '"priority":2,"customer_organization_id":1,"customer_organization_name":"某某公司","repository_product_id":36,'
        '"creator_id":38361,"creator_name":"姜程","whether_product_group_id":true,"tags":[3,4],'
        '"customer_info":[{"user_id":73403574,"level":2}],"attachment":[{"file_name":"a.png",'
        '"file_path":"workorder/1/abc","file_size":0,"file_type":"image/png"}],"use_relate_status":false}',
        b'{"data":{"id":1473},"errmsg":"OK","errno":10000,"request_id":"r"}',
    ),
    (
        "POST",
        "/comment_ticket",
        lambda c: c.comment_ticket(CommentTicket(id=1473, detail="已处理", productGroupId=36)),
        '{"id":1473,"detail":"已处理","productGroupId":36}',
        EMPTY,
    ),
    ("POST", "/reject_handle", lambda c: c.reject_ticket(RejectTicket(id=1473)), '{"id":1473}', EMPTY),
    (
        "POST",
        "/close_ticket",
        lambda c: c.close_ticket(CLOSE),
        '{"id":1473,"closer_id":40084,"closer_name":"田金秀","solved_time":1660298580,'
        '"detail":"这是工单关闭的备注反馈内容","is_solved":false,"handle_attachment":[{"file_name":"test.png",'
        '"file_path":"workorder/40084/dc4ced807eec9218bf2fe9513ebc9b99","file_size":195204,"file_type":"image/png",'
        '"author":40084}]}',
        OK,
    ),
]


@pytest.mark.parametrize(("method", "path", "call", "body", "answer"), REQUESTS)
async def test_request(
    method: str, path: str, call: Call, body: str | None, answer: bytes, network: aioresponses, client: WorkorderClient
) -> None:
    """Each endpoint is asked with the document's method, path, headers and bytes."""
    network.add(f"{API}{path}", method, body=answer)
    await call(client)
    ((key, (request,)),) = network.requests.items()
    assert key == (method, URL(API + path))
    headers = request.kwargs["headers"]
    assert {name: headers[name] for name in ("AppId", "Timestamp", "Sign")} == {
        "AppId": "demo-app",
        "Timestamp": "1700000000",
        "Sign": SIGN,
    }
    assert request.kwargs["allow_redirects"] is False
    if body is None:
        assert request.kwargs["data"] is None
    else:
        assert request.kwargs["data"].content_type == "application/json"
        assert (await request.kwargs["data"].as_bytes()).decode() == body
        assert request.kwargs["data"].size == len(body.encode())


async def test_list_row(network: aioresponses, client: WorkorderClient) -> None:
    """A list row with its strings for codes is decoded field by field."""
    network.post(f"{API}/list_tickets", body=PAGE)
    page = await client.list_tickets()
    assert (page.pagination.page_size, page.pagination.total) == (10, 1)
    (row,) = page.tickets
    assert (row.id, row.status, row.priority, row.need_process) == (
        1204,
        TicketStatus.PROCESSING,
        Priority.NORMAL,
        True,
    )
    assert (row.tags, row.form_values_json, row.closed_at) == ("紧急,网络", {}, None)
    assert str(row.created_at) == "2021-11-11 11:11:11+08:00"


async def test_documented_base_example(network: aioresponses, client: WorkorderClient) -> None:
    """The document's own example of base is decoded as it stands."""
    network.get(f"{API}/base?id=1204", body=BASE)
    ticket = await client.get_ticket(1204)
    assert (ticket.id, ticket.creator_name, ticket.product_group_id) == (1204, "姜程", 36)
    assert (ticket.status, ticket.type, ticket.priority) == (
        TicketStatus.PROCESSING,
        TicketType.TROUBLESHOOTING,
        Priority.NORMAL,
    )
    assert (ticket.finished_time, ticket.closed_at, ticket.need_process) == (1632742075, None, False)


async def test_create_returns_the_id(network: aioresponses, client: WorkorderClient) -> None:
    """create_ticket returns the id of the new ticket."""
    network.post(f"{API}/create", body=b'{"data":{"id":1473},"errno":10000}')
    assert await client.create_ticket(CREATE) == 1473


@pytest.mark.parametrize("data", [b'{"id":"x"}', b"null", b"{}", b"[]", b'{"id":true}', b'{"id":0}', b'{"id":"-5"}'])
async def test_created_without_an_id(data: bytes, network: aioresponses, client: WorkorderClient) -> None:
    """A creation that answers without a ticket's id is unknown, and is not repeated."""
    network.post(f"{API}/create", body=b'{"data":%b,"errno":10000,"request_id":"r9"}' % data, repeat=True)
    with pytest.raises(OutcomeUnknownError, match=r"created.*do not create it again \(request_id r9\)") as caught:
        await client.create_ticket(CREATE)
    assert (caught.value.operation, caught.value.attempts) == ("create_ticket", 1)
    assert isinstance(caught.value.__cause__, DecodeError)
    assert caught.value.__cause__.path == "$.data.id"


async def test_state_error(network: aioresponses, client: WorkorderClient) -> None:
    """The document's one failure, 23000, is a TicketStateError with its errno, words and request_id."""
    body = '{"errno":23000,"errmsg":"工单状态不允许关闭","request_id":"f1fab7321a7548c389131e22bb72eb35"}'
    network.post(f"{API}/close_ticket", body=body)
    with pytest.raises(TicketStateError) as caught:
        await client.close_ticket(CLOSE)
    error = caught.value
    assert (error.errno, error.errmsg, error.operation) == (23000, "工单状态不允许关闭", "close_ticket")
    assert error.request_id == "f1fab7321a7548c389131e22bb72eb35"
    assert str(error) == ("close_ticket: errno 23000 工单状态不允许关闭 (request_id f1fab7321a7548c389131e22bb72eb35)")


@pytest.mark.parametrize(
    ("status", "errno", "kind"),
    [
        (200, 1, ApiError),
        (401, 1, AuthenticationError),
        (403, 1, AuthenticationError),
        (404, 1, NotFoundError),
        (200, 40400, NotFoundError),
        (401, 40400, NotFoundError),
    ],
)
async def test_what_an_errno_means(status: int, errno: int, kind: type[ApiError], network: aioresponses) -> None:
    """An errno means what the user's table says, or else what its HTTP status says, or else just a failure."""
    network.get(f"{API}/base?id=1", status=status, body=f'{{"errno":{errno},"errmsg":"x"}}')
    async with make_client(errnos={40400: NotFoundError}, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(ApiError) as caught:
            await client.get_ticket(1)
    assert type(caught.value) is kind
    assert (caught.value.errno, caught.value.status) == (errno, status)


@each(
    ("call", "words"),
    [
        (lambda c: c.get_ticket(0), "get_ticket: id is 0"),
        (lambda c: c.get_ticket("7"), "id is '7'"),
        (lambda c: c.get_ticket_detail(True), "id is True"),
        (lambda c: c.list_tickets(page=0), "^page is 0; it must be from 1 to"),
        (lambda c: c.list_tickets(page_size=0), "^page_size is 0"),
        (lambda c: anext(c.iter_tickets(page_size=2**31)), "^page_size is 2147483648; it must be from 1 to"),
        (lambda c: c.list_tickets({"status": 1}), "^query must be a TicketQuery, not dict"),
        (lambda c: c.close_ticket(CREATE), "close_ticket takes a CloseTicket, not a CreateTicket"),
        (lambda c: c.upload_file(b"x"), "pass file_name="),
    ],
)
async def test_refused_before_sending(call: Call, words: str, network: aioresponses, client: WorkorderClient) -> None:
    """What could only fail is refused with a sentence, and nothing is sent."""
    with pytest.raises(ConfigError, match=words):
        await call(client)
    assert not network.requests


async def test_signer_of_ones_own(network: aioresponses) -> None:
    """Any object with sign(request) can sign; it sees what is sent."""
    seen: list[SigningInput] = []

    class Own:
        def sign(self, request: SigningInput) -> dict[str, str]:
            seen.append(request)
            return {"AppId": "a", "Timestamp": "1", "Sign": "s"}

    network.get(f"{API}/base?id=1204", body=BASE)
    async with make_client(signer=Own()) as client:
        await client.get_ticket(1204)
    (request,) = seen
    assert (request.method, request.path, request.query) == ("GET", "/workorder/api/ticket/base", (("id", "1204"),))
    assert (request.timestamp_ms, tuple(request.body)) == (int(NOW * 1000), ())


@pytest.mark.parametrize("id", [2, 0, -1])
async def test_an_answer_about_another_ticket(id: int, network: aioresponses, client: WorkorderClient) -> None:
    """An answer about a ticket that was not asked for is no answer."""
    for name in ("base", "detail"):
        network.get(f"{API}/{name}?id=1", body=f'{{"errno":10000,"data":{{"id":{id}}},"request_id":"r"}}')
    words = f"asked for ticket 1, and answered with ticket {id}" if id > 0 else f"id is {id}, expected a whole number"
    for read in (client.get_ticket, client.get_ticket_detail):
        with pytest.raises(ResponseError, match=words) as caught:
            await read(1)
        assert (caught.value.operation, caught.value.request_id) == (read.__name__, "r")


@pytest.mark.parametrize("ahead", [0.0, 3600.0])
async def test_ping(ahead: float) -> None:
    """It reads one row, signed, and tells how long that took and by how much the server's clock is ahead."""
    async with Sandbox(40, latency=0.05, date_offset=ahead) as sandbox, sandbox.client() as client:
        ping = await client.ping()
        assert sandbox.requests == {"list_tickets": 1}
        assert 0.05 <= ping.latency < 2
        assert ping.clock_offset is not None
        assert abs(ping.clock_offset - ahead) < 2


async def test_ping_of_a_server_without_a_clock() -> None:
    """Where no answer tells the time, the offset is not known, instead of 0; what is read is one row."""
    async with serving(http(PAGE)) as wire, make_client(wire.url) as client:
        assert (await client.ping()).clock_offset is None
        assert wire.requests[0].endswith(b'\r\n\r\n{"page":1,"page_size":1}')


async def test_ping_in_vain() -> None:
    """It raises what every read raises, and is repeated as one."""
    async with Sandbox(3) as sandbox:
        async with make_client(sandbox.url) as stranger:
            with pytest.raises(ApiError):
                await stranger.ping()
        sandbox.faults = [Fault("reset")]
        before = sandbox.requests.total()
        async with sandbox.client(retry=RetryPolicy(attempts=3, first=0.001)) as client:
            with pytest.raises(NoAnswerError):
                await client.ping()
        assert sandbox.requests.total() == before + 3


NO_ROWS = http('{"errno":10000,"data":{"pagination":{"page_size":1,"total":300},"tickets":[]}}')


@each("name", ["creator_id", "product_group_id"])
@each("nobodys", [NO_ROWS, http('{"errno":40001}'), http("no", "403 Forbidden"), http(EMPTY), None])
async def test_filters_that_no_row_shows(name: str, nobodys: bytes | None) -> None:
    """A number that no ticket has is asked for once; if that shows tickets, nobody gets any: they would be closed."""
    query = TicketQuery(creator_id=5) if name == "creator_id" else TicketQuery(product_group_id=(36,))
    numbers = [str(number).encode() for number in (2**63 - 1, 2**31 - 1)]

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_nobodys = any(number in wire.requests[-1] for number in numbers)
        writer.write(http(PAGE) if nobodys is None or not is_nobodys else nobodys)

    async with serving(server) as wire, make_client(wire.url) as client:
        if nobodys is None:
            with pytest.raises(ResponseError, match=f"does not keep to the filter {name}: with a value that no ticket"):
                [ticket async for ticket in client.iter_tickets(query)]
        else:
            assert [len([ticket async for ticket in client.iter_tickets(query)]) for _ in range(3)] == [1, 1, 1]
        [ticket async for ticket in client.iter_tickets()]
        asked = [sum(number in request for request in wire.requests) for number in numbers]
        assert (asked, len(wire.requests)) == (([1, 1], 3) if nobodys is None else ([1, 0], 5))


@virtual_time
async def test_a_filter_that_could_not_be_tried() -> None:
    """A question that was turned away is asked again by the next walk."""
    slow = http('{"errno":40029}', "429 Slow", Retry_After="60")
    async with serving(slow, http(PAGE)) as wire, make_client(wire.url, deadline=0.5, longest_pause=1) as client:
        with pytest.raises(RateLimitedError):
            await anext(client.iter_tickets(TicketQuery(creator_id=5)))
        await asyncio.sleep(1)
        with pytest.raises(ResponseError, match="does not keep to the filter creator_id"):
            await anext(client.iter_tickets(TicketQuery(creator_id=5)))
