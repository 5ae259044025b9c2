"""clock_trial.py: which clock signs a call, over a wire."""

import asyncio
import re
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from tests.support.clients import make_client
from tests.support.raw_server import Handler, Wire, http, serving
from tests.support.rows import each
from tests.support.virtual_loop import running_loop, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    ApiError,
    AuthenticationError,
    CloseTicket,
    CommentTicket,
    NotFoundError,
    OutcomeUnknownError,
    RetryPolicy,
    TicketStateError,
    WorkorderClient,
)
from workorder_async.sandbox import Fault

NOW = 1_700_000_000.0
COMMENT = CommentTicket(id=1, detail="已处理")
CLOSE = CloseTicket(id=1, closer_id=2, closer_name="田金秀", solved_time=1660298580)
DONE = '{"errno":10000,"data":{}}'
TICKET = '{"errno":10000,"data":{"id":1}}'
PAGE = '{"errno":10000,"data":{"pagination":{"total":0},"tickets":[]}}'


def dated(body: str, ahead: float, status: str = "200 OK") -> bytes:
    """Return an answer whose Date is so many seconds ahead of the client's clock."""
    return http(body, status, Date=formatdate(NOW + ahead, usegmt=True))


def stamps(wire: Wire) -> list[float]:
    """Return how many seconds ahead of the client's clock each request was signed."""
    return [int(re.findall(rb"Timestamp: (\d+)", request)[0]) - NOW for request in wire.requests]


def judge(ahead: float, tolerance: float, refusal: str, status: str = "200 OK", says: float | None = None) -> Handler:
    """Make a server that accepts time stamps around its own clock, and says a time in Date."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stamp = int(re.findall(rb"Timestamp: (\d+)", answer.wire.requests[-1])[0]) - NOW  # type: ignore[attr-defined]
        fine = abs(stamp - ahead) <= tolerance
        body = TICKET if b"/base" in answer.wire.requests[-1] else PAGE  # type: ignore[attr-defined]
        writer.write(dated(body if fine else refusal, ahead if says is None else says, "200 OK" if fine else status))

    return answer


async def judged(server: Any, use: Callable[[WorkorderClient], Any], **options: Any) -> tuple[Wire, object]:
    """Run something against such a server; return the wire and what came out."""
    async with serving(server) as wire, make_client(wire.url, **options) as client:
        server.wire = wire
        return wire, (await asyncio.gather(use(client), return_exceptions=True))[0]


@virtual_time
async def test_our_own_clock_signs() -> None:
    """A Date that is an hour off changes nothing as long as our signatures are accepted."""
    server = judge(0, 300, '{"errno":7}', says=-3600)

    async def use(client: WorkorderClient) -> float:
        for _ in range(20):
            await client.get_ticket(1)
        return client.clock_offset

    wire, offset = await judged(server, use)
    assert offset == pytest.approx(-3600, abs=1)
    assert stamps(wire) == [0] * 20


@each(("refusal", "status"), [('{"errno":77}', "200 OK"), ('{"errno":77}', "401 No"), ("<html>", "403 No")])
@virtual_time
async def test_a_machine_an_hour_wrong_loses_one_request(refusal: str, status: str) -> None:
    """The first refusal is signed again by the server's clock, and from then on every request is right."""

    async def use(client: WorkorderClient) -> None:
        for _ in range(200):
            await client.get_ticket(1)

    wire, failure = await judged(judge(3600, 300, refusal, status), use)
    assert failure is None
    assert len(wire.requests) == 201
    assert stamps(wire)[1:] == pytest.approx([3600] * 200, abs=1)


@virtual_time
async def test_two_backends_within_tolerance() -> None:
    """Two backends, 200 s behind and ahead, that both accept our time: not one request is lost."""
    answers = [dated(TICKET, ahead) for ahead in (-200, 200) * 10]
    async with serving(*answers) as wire, make_client(wire.url) as client:
        for _ in range(20):
            await client.get_ticket(1)
        assert stamps(wire) == [0] * 20


@virtual_time
async def test_a_trial_that_is_refused_is_dropped() -> None:
    """A refusal that the other clock does not heal is raised after one trial, and our own clock goes on signing."""
    refusals = [dated('{"errno":77}', 9000, "401 No")] * 2
    async with serving(*refusals, dated(TICKET, 9000)) as wire, make_client(wire.url) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.get_ticket(1)
        assert caught.value.attempts == 2
        await client.get_ticket(1)
        assert stamps(wire) == [0, pytest.approx(9000, abs=1), 0]


@each("second", ['{"errno":8}', '{"errno":77}', "<html>"])
@virtual_time
async def test_a_trial_does_not_hide_the_first_refusal(second: str) -> None:
    """Where the other clock is refused too, whatever the words, the first refusal is what a read ends with."""
    answers = [dated('{"errno":77,"errmsg":"too deep"}', 9000), dated(second, 9000, "401 No"), dated(TICKET, 9000)]
    async with serving(*answers) as wire, make_client(wire.url) as client:
        with pytest.raises(ApiError, match="too deep") as caught:
            await client.get_ticket(1)
        assert type(caught.value) is ApiError
        both = "errno 77 too deep; signed by another clock, it was refused with errno 8"
        assert caught.value.message == (both if "8" in second else "errno 77 too deep")
        assert (caught.value.errno, caught.value.attempts, len(wire.requests)) == (77, 2, 2)
        await client.get_ticket(1)
        assert stamps(wire)[2] == 0


@virtual_time
async def test_what_is_refused_for_another_reason_by_another_clock() -> None:
    """Signed by the server's clock, a call gets the platform's own refusal, whose errno nobody mapped: its answer."""
    answers = [dated('{"errno":90001}', 3600, "401 No"), dated('{"errno":90006,"errmsg":"only its creator"}', 3600)]
    async with serving(*answers, *answers, dated(DONE, 3600)) as wire, make_client(wire.url) as client:
        for call in (client.get_ticket(1), client.comment_ticket(COMMENT)):
            with pytest.raises(ApiError, match="only its creator") as caught:
                await call
            assert (type(caught.value), caught.value.errno, caught.value.attempts) == (ApiError, 90006, 2)
        await client.comment_ticket(COMMENT)
        assert stamps(wire) == pytest.approx([0, 3600, 0, 3600, 0], abs=1)


@virtual_time
async def test_a_trial_that_is_lost_is_made_again() -> None:
    """A broken connection amid a trial says nothing of the clock."""
    answers = [dated('{"errno":77}', 3600, "401 No"), dated("<html>", 3600, "502 Bad"), dated(TICKET, 3600)]
    async with serving(*answers) as wire, make_client(wire.url) as client:
        await client.get_ticket(1)
        assert stamps(wire) == pytest.approx([0, 3600, 3600], abs=1)


@virtual_time
async def test_a_clock_that_is_set_right_meanwhile() -> None:
    """A correction that is no longer right is given up in the same way as it was found."""

    async def use(client: WorkorderClient) -> None:
        await client.get_ticket(1)
        server_ahead[0] = 0.0
        await client.get_ticket(1)
        await client.get_ticket(1)

    server_ahead = [3600.0]

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stamp = stamps(server.wire)[-1]  # type: ignore[attr-defined]
        fine = abs(stamp - server_ahead[0]) < 300
        writer.write(dated(TICKET if fine else '{"errno":7}', server_ahead[0]))

    wire, failure = await judged(server, use)
    assert failure is None
    assert stamps(wire) == pytest.approx([0, 3600, 3600, 0, 0], abs=1)


@each("errno", [7, 50000])
@virtual_time
async def test_an_unknown_errno_is_not_signed_again(errno: int) -> None:
    """A comment that was answered with an unknown errno is sent once, however far the clocks are apart."""
    answers = [dated(f'{{"errno":{errno}}}', 3600), dated(PAGE, 3600)]
    async with serving(*answers) as wire, make_client(wire.url) as client:
        with pytest.raises(ApiError) as caught:
            await client.comment_ticket(COMMENT)
        assert type(caught.value) is ApiError
        assert str(caught.value) == f"comment_ticket: errno {errno}"
        sent = [request.split()[1].rsplit(b"/")[-1] for request in wire.requests]
        assert sent == [b"comment_ticket", b"list_tickets"]
        assert stamps(wire) == [0, 0]


@each("probe", ['{"errno":8}', '{"errno":23000}', "<html>", "{"])
@virtual_time
async def test_a_read_that_tells_nothing_is_no_proof(probe: str) -> None:
    """A read that is refused in another way, or gets no answer of the platform, does not say that nothing happened."""
    answers = [dated('{"errno":7}', 3600), dated(probe, 3600), dated(DONE, 3600)]
    async with serving(*answers) as wire, make_client(wire.url) as client:
        with pytest.raises(ApiError) as caught:
            await client.comment_ticket(COMMENT)
        assert caught.value.errno == 7
        assert sum(b"comment_ticket" in request for request in wire.requests) == 1


@virtual_time
async def test_a_refused_signature_is_no_attempt() -> None:
    """Of two attempts both are left for a server that is away, once the clock is found."""
    answers = [dated('{"errno":7}', 3600), dated("", 3600, "503 Busy"), dated(TICKET, 3600)]
    async with serving(*answers) as wire, make_client(wire.url, retry=RetryPolicy(attempts=2)) as client:
        assert (await client.get_ticket(1)).id == 1
        assert stamps(wire) == pytest.approx([0, 3600, 3600], abs=2)


@virtual_time
async def test_after_an_unknown_errno_a_read_finds_the_clock() -> None:
    """Whether it was of the signature nobody knows: the comment is sent once, and the next one by the right clock."""

    async def use(client: WorkorderClient) -> None:
        with pytest.raises(ApiError) as caught:
            await client.comment_ticket(COMMENT)
        assert str(caught.value) == (
            "comment_ticket: errno 7; another clock signs from now on, for a read by the one before was refused; if "
            "this errno means a refused signature, map it to AuthenticationError (errnos=, WORKORDER_ERRNOS), and "
            "send it again"
        )
        await client.comment_ticket(COMMENT)

    wire, failure = await judged(judge(3600, 300, '{"errno":7}'), use)
    assert failure is None
    assert stamps(wire) == pytest.approx([0, 0, 3600, 3600], abs=1)


@virtual_time
async def test_an_appid_without_a_right_to_the_list_finds_the_clock() -> None:
    """Rights are given endpoint by endpoint: where the list is refused whatever the clock, the ticket is read."""
    judged_by_clock = judge(3600, 300, '{"errno":7}')

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        judged_by_clock.wire = wire  # type: ignore[attr-defined]
        if b"list_tickets" in wire.requests[-1]:
            writer.write(dated('{"errno":8}', 3600))
        else:
            await judged_by_clock(reader, writer)

    async with serving(server) as wire, make_client(wire.url) as client:
        with pytest.raises(ApiError, match="another clock signs from now on"):
            await client.comment_ticket(COMMENT)
        await client.comment_ticket(COMMENT)
    assert [b"/detail?id=1 " in request for request in wire.requests[-3:]] == [True, True, False]
    assert stamps(wire)[-3:] == pytest.approx([0, 3600, 3600], abs=1)


@virtual_time
async def test_a_clock_that_was_found_meanwhile() -> None:
    """Where another call has found the clock that is accepted, nothing is asked for it."""
    found = asyncio.Event()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = abs(stamps(wire)[-1] - 3600) < 300
        if b"comment_ticket" in wire.requests[-1]:
            await found.wait()
        writer.write(dated(TICKET if accepted else '{"errno":7}', 3600))

    async with serving(server) as wire, make_client(wire.url) as client:
        comments = [asyncio.ensure_future(client.comment_ticket(COMMENT)) for _ in range(4)]
        await client.get_ticket(1)
        found.set()
        assert {type(one) for one in await asyncio.gather(*comments, return_exceptions=True)} == {ApiError}
        assert len(wire.requests) == 6


@each("refused", [0, 1, 2, 3, 9])
@virtual_time
async def test_an_outage_is_no_refusal_of_the_signature(refused: int) -> None:
    """Where all is answered with one errno for a while, a comment that may have been made amid that is sent once."""
    outage = [dated('{"errno":50000}', 3600)] * (1 + refused)
    async with serving(*outage, *[dated(PAGE, 3600)] * 9) as wire, make_client(wire.url) as client:
        with pytest.raises(ApiError) as caught:
            await client.comment_ticket(COMMENT)
        assert type(caught.value) is ApiError
        assert [b"comment_ticket" in request for request in wire.requests] == [True] + [False] * len(wire.requests[1:])


@virtual_time
async def test_an_answer_that_is_none_is_not_blamed_on_the_clock() -> None:
    """Errno 0 says nothing of what happened: a mutation is not sent again, though reads get it, too."""
    wire, failure = await judged(judge(3600, 300, '{"errno":0}'), lambda client: client.comment_ticket(COMMENT))
    assert isinstance(failure, OutcomeUnknownError)
    assert stamps(wire) == [0]


@virtual_time
async def test_an_unknown_errno_without_another_clock() -> None:
    """Where the clocks agree, there is nothing to try, and nothing is asked."""
    async with serving(dated('{"errno":7}', 1)) as wire, make_client(wire.url) as client:
        with pytest.raises(ApiError):
            await client.comment_ticket(COMMENT)
        assert len(wire.requests) == 1


@each(("status", "errnos"), [("401 No", {}), ("403 No", {}), ("200 OK", {7: AuthenticationError})])
@virtual_time
async def test_a_known_refusal_is_signed_again(status: str, errnos: dict[int, type[ApiError]]) -> None:
    """A mutation whose signature is known to have been refused is signed by the other clock, once."""
    answers = [dated('{"errno":7}', 3600, status), dated(DONE, 3600)]
    async with serving(*answers) as wire, make_client(wire.url, errnos=errnos) as client:
        await client.comment_ticket(COMMENT)
        assert stamps(wire) == pytest.approx([0, 3600], abs=1)


@virtual_time
async def test_an_errno_that_is_mapped_to_a_plain_refusal() -> None:
    """Whoever maps an errno to `ApiError` says that it does not mean the signature."""
    async with serving(dated('{"errno":7}', 3600)) as wire, make_client(wire.url, errnos={7: ApiError}) as client:
        with pytest.raises(ApiError):
            await client.get_ticket(1)
        assert len(wire.requests) == 1


@each("mutation", [COMMENT, CLOSE])
@virtual_time
async def test_a_known_meaning_is_no_refusal_of_the_signature(mutation: CommentTicket | CloseTicket) -> None:
    """An errno that is documented was signed well enough to be told so."""
    async with serving(dated('{"errno":23000}', 3600)) as wire, make_client(wire.url) as client:
        with pytest.raises(TicketStateError):
            await client.change(mutation)
        assert len(wire.requests) == 1


@each("call", [lambda c: c.get_ticket(1), lambda c: c.comment_ticket(COMMENT)])
@virtual_time
async def test_a_trial_that_finds_no_such_ticket_was_accepted(call: Callable[[WorkorderClient], Any]) -> None:
    """HTTP 404 in the platform's words has a meaning whatever its errno: it is what the call ends with."""
    answers = [dated('{"errno":7}', 3600, "401 No"), dated('{"errno":8}', 3600, "404 Not Found"), dated(TICKET, 3600)]
    async with serving(*answers) as wire, make_client(wire.url) as client:
        with pytest.raises(NotFoundError):
            await call(client)
        await client.get_ticket(1)
        assert stamps(wire) == pytest.approx([0, 3600, 3600], abs=1)


@virtual_time
async def test_a_lost_answer_is_not_signed_again() -> None:
    """A 5xx with the platform's envelope is a lost answer, also where the clocks differ."""
    async with serving(dated('{"errno":7}', 3600, "502 Bad")) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.comment_ticket(COMMENT)
        assert len(wire.requests) == 1


@virtual_time
async def test_a_lying_date_does_not_stop_a_call() -> None:
    """A Date from another century costs nothing."""
    answers = [
        http(TICKET, Date=date) for date in ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "?")
    ]
    async with serving(*answers) as wire, make_client(wire.url, now=running_loop().wall_clock) as client:
        for _ in range(3):
            await client.get_ticket(1)
        assert len(wire.requests) == 3


@virtual_time
async def test_a_kept_clock_that_is_refused_is_dropped() -> None:
    """Of three backends that all accept our own clock no call is lost for a correction that one stray 401 led to."""
    async with virtual_sandbox(3, backends=(-200, 0, 200), faults=[Fault("401", times=1)]) as (sandbox, client):
        for _ in range(60):
            await client.get_ticket(1001)
        # The stray refusal, and the one of the clock that was kept for it.
        assert sandbox.requests.total() == 62


@virtual_time
async def test_our_own_clock_comes_before_another_trial() -> None:
    """Where the kept clock is refused, ours is tried first, and what the answer says only where that is refused too."""

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(dated(TICKET if abs(stamps(wire)[-1] - ahead[0]) < 300 else '{"errno":7}', ahead[0]))

    ahead = [3600.0]
    async with serving(server) as wire, make_client(wire.url) as client:
        for ahead[0] in (3600.0, 9000.0):
            await client.get_ticket(1)
        await client.get_ticket(1)
        assert stamps(wire) == pytest.approx([0, 3600, 3600, 0, 9000, 9000], abs=1)


@virtual_time
async def test_a_refused_trial_of_a_mutation_is_the_last() -> None:
    """An errno that nobody mapped, to a comment that was signed again, is no proof that nothing happened."""
    kept = [dated('{"errno":7}', 3600), dated(TICKET, 3600)]
    answers = [*kept, dated('{"errno":7}', 9000, "401 No"), dated('{"errno":7}', 9000), dated(DONE, 9000)]
    async with serving(*answers) as wire, make_client(wire.url) as client:
        await client.get_ticket(1)
        with pytest.raises(AuthenticationError):
            await client.comment_ticket(COMMENT)
        assert [b"comment_ticket" in request for request in wire.requests[2:]] == [True, True]
        assert stamps(wire)[2:] == pytest.approx([3600, 0], abs=1)


@virtual_time
async def test_refusals_that_come_late() -> None:
    """Each is about the clock that signed it, though another call has found a better one meanwhile."""
    found = asyncio.Event()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if abs(stamps(wire)[-1] - 3600) < 300:
            writer.write(dated(TICKET, 3600))
            return
        if len(wire.requests) > 1:
            await found.wait()
        writer.write(dated('{"errno":7}', 3600, "401 No"))

    async with serving(server) as wire, make_client(wire.url) as client:
        calls = [asyncio.create_task(client.get_ticket(1)) for _ in range(8)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        found.set()
        await asyncio.gather(*calls)
        assert len(wire.requests) == 16
