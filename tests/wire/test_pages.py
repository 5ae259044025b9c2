"""What a page of a gateway proves: of a read that it failed, of a mutation nothing, but for a 429."""

from email.utils import formatdate
from typing import Any

import pytest

from tests.support.clients import NOW, make_client
from tests.support.raw_server import data, http, serving
from tests.support.rows import each
from tests.support.virtual_loop import virtual_time
from workorder_async import (
    ApiError,
    AuthenticationError,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    RejectTicket,
    ResponseError,
)

COMMENT = CommentTicket(id=1, detail="已处理")
CLOSE = CloseTicket(id=1, closer_id=2, closer_name="田金秀", solved_time=1660298580)
CREATION = CreateTicket(
    title="t", detail="d", reported_time=1, type=1, priority=1, customer_organization_id=1,
    customer_organization_name="n", repository_product_id=1, creator_id=1, creator_name="c",
)  # fmt: skip
DONE, TICKET = data({"id": 5}), data({"id": 1})
BODIES = {
    "HTML": "<html>forbidden</html>",
    "nothing": "",
    "text": "denied by policy",
    "JSON of somebody else": '{"code":403,"message":"denied"}',
    "a list": "[]",
    "an errno of 0": '{"errno":0,"errmsg":"","request_id":""}',
}
MUTATIONS = [COMMENT, CREATION, CLOSE, RejectTicket(id=1)]


@each("status", ["200 OK", "202 Accepted", "204 No Content", "400 Bad", "401 No", "403 No"])
@each("body", BODIES)
@each("mutation", [COMMENT, CREATION])
async def test_a_page_is_a_lost_answer(status: str, body: str, mutation: Any) -> None:
    """A mutation that is answered with a page, of whatever status, may have happened: it is sent once, and unknown."""
    async with serving(http(BODIES[body], status), DONE) as wire, make_client(wire.url) as client:
        turned_away: list[int] = []
        with pytest.raises(OutcomeUnknownError):
            await client.change(mutation, on_turned_away=lambda: turned_away.append(1))
        assert (len(wire.requests), turned_away) == (1, [])


@each("status", ["404 No", "405 No", "408 Late", "409 No", "410 Gone", "413 Large", "418 Tea"])
@each("mutation", [COMMENT, CREATION])
async def test_other_statuses(status: str, mutation: Any) -> None:
    """The same for every other status that a gateway knows."""
    async with serving(http(BODIES["HTML"], status), DONE) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.change(mutation)
        assert len(wire.requests) == 1


async def test_a_connection_that_a_balancer_gave_up() -> None:
    """It says 408 just as a request is written on it: a read is made again."""
    gave_up = http("", "408 Request Timeout", Connection="close")
    async with serving(TICKET, gave_up, TICKET) as wire, make_client(wire.url) as client:
        for _ in range(2):
            assert (await client.get_ticket(1)).id == 1
        assert len(wire.requests) == 3


@each("status", ["401 No", "403 No"])
@each("mutation", MUTATIONS)
async def test_a_page_after_a_wrong_clock(status: str, mutation: Any) -> None:
    """A page that tells another time is no reason to sign a mutation once more: it may have been carried out."""
    page = http(BODIES["HTML"], status, Date=formatdate(NOW + 4000, usegmt=True))
    async with serving(page) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.change(mutation)
        # A close is looked for, and that read may try the other clock.
        assert len([request for request in wire.requests if request.startswith(b"POST")]) == 1


@each("status", ["401 No", "403 No"])
async def test_a_page_to_the_second_clock(status: str) -> None:
    """Where the platform refused the first signature, and a page answers the second one, that one may have happened."""
    date = formatdate(NOW + 4000, usegmt=True)
    refused = http('{"errno":7,"errmsg":"sign"}', "401 No", Date=date)
    page = http(BODIES["HTML"], status, Date=date)
    async with serving(refused, page) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.comment_ticket(COMMENT)
        assert len(wire.requests) == 2


async def test_the_platform_refuses_the_clock() -> None:
    """Control: refused by the envelope, it did not happen, and is signed again by the server's clock."""
    refused = http('{"errno":7,"errmsg":"sign"}', "401 No", Date=formatdate(NOW + 4000, usegmt=True))
    async with serving(refused, DONE) as wire, make_client(wire.url) as client:
        await client.comment_ticket(COMMENT)
        assert len(wire.requests) == 2


@each("status", ["401 No", "403 No"])
async def test_a_page_to_a_read(status: str) -> None:
    """Of a read it says that the signature or the address is refused, and another clock is tried."""
    page = http(BODIES["HTML"], status, Date=formatdate(NOW + 4000, usegmt=True))
    async with serving(page, TICKET) as wire, make_client(wire.url) as client:
        assert (await client.get_ticket(1)).id == 1
    async with serving(http(BODIES["HTML"], status)) as wire, make_client(wire.url) as client:
        with pytest.raises(AuthenticationError):
            await client.get_ticket(1)
        assert len(wire.requests) == 1


@each(
    ("status", "errno", "kind"),
    [
        ("200 OK", 5, ApiError),
        ("400 Bad", 5, ApiError),
        ("403 No", 5, AuthenticationError),
        ("404 No", 5, NotFoundError),
    ],
)
@each("mutation", [COMMENT, CREATION])
async def test_the_platforms_refusal(status: str, errno: int, kind: type[ApiError], mutation: Any) -> None:
    """Control: the platform's envelope with a status below 500 says that nothing happened."""
    async with serving(http(f'{{"errno":{errno}}}', status)) as wire, make_client(wire.url) as client:
        with pytest.raises(kind) as caught:
            await client.change(mutation)
        assert (type(caught.value), len(wire.requests)) == (kind, 1)


@each("status", ["400 Bad", "403 No", "429 Slow", "500 No", "502 Bad", "503 Busy", "599 No"])
@each("mutation", [COMMENT, CREATION])
async def test_success_with_a_status_of_failure(status: str, mutation: Any) -> None:
    """An envelope that says success with a status that says failure proves neither."""
    body = '{"errno":10000,"data":{"id":9}}'
    async with serving(http(body, status), DONE) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.change(mutation)
        assert isinstance(caught.value.__cause__, ResponseError)
        assert len(wire.requests) == 1


@each("body", ["HTML", "nothing", "text", "an errno of 0"])
@each("mutation", [COMMENT, CREATION])
@virtual_time
async def test_the_one_exception(body: str, mutation: Any) -> None:
    """A 429 turns a request away, whoever wrote the page: it is sent again after the pause."""
    slow = http(BODIES[body], "429 Slow", Retry_After="7")
    async with serving(slow, DONE) as wire, make_client(wire.url) as client:
        await client.change(mutation)
        assert len(wire.requests) == 2
    async with serving(slow) as wire, make_client(wire.url, deadline=5) as client:
        with pytest.raises(RateLimitedError, match="nothing happened"):
            await client.change(mutation)
