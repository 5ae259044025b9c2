"""The looks of kinds.py, in virtual time: what proves that a mutation happened, and what that it did not."""

import asyncio
import html
import pickle
import unicodedata
from collections.abc import Callable
from datetime import datetime
from math import inf
from typing import Any

import pytest
from attrs import evolve

from tests.support.mutations import OPERATIONS, close_of, creation, mutation_of
from tests.support.sandbox_faults import changed_answers
from tests.support.slow import slow_after
from tests.support.virtual_loop import running_loop, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    ApiError,
    CloseTicket,
    CommentTicket,
    ConfigError,
    CreateTicket,
    NotFoundError,
    OutcomeUnknownError,
    RejectTicket,
    ResponseError,
    TicketQuery,
    TicketStateError,
    TicketStatus,
    WorkorderClient,
)
from workorder_async.document import CHINA_STANDARD_TIME
from workorder_async.sandbox import ClientOptions, Drift, Fault, Kind, Sandbox
from workorder_async.signing.clock import Ahead

CONVERGENT = ("close", "reject")
#: The longest time of an attempt, and what is certainly later than a lost request may be carried out.
LONGEST = 30
LATER = 200


PENDING = TicketQuery(status=TicketStatus.PENDING)
#: Reads that fail, so that a call does not find at once what it has done.
BLIND = Fault("403", operation="get_ticket_detail")


async def lost(client: WorkorderClient, mutation: Any, **options: Any) -> OutcomeUnknownError:
    """Send a mutation whose answer is lost; return the error."""
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.change(mutation, patient=False, **options)
    return caught.value


def sent(sandbox: Sandbox, kind: str) -> int:
    """Return how often a kind of mutation was sent."""
    return sandbox.requests[OPERATIONS[kind]]


# A state is no evidence, and neither is its absence


@pytest.mark.parametrize("lag", slow_after(1, [20, 2]))
@pytest.mark.parametrize("kind", CONVERGENT)
@virtual_time
async def test_a_replica_that_is_behind(kind: str, lag: int) -> None:
    """What happened is found when the replica shows it; it is not sent again, nor called refused."""
    async with virtual_sandbox(40, lag=lag) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind])]
        await client.change(mutation)
        assert sent(sandbox, kind) == len(sandbox.applied) == 1


@pytest.mark.parametrize(
    ("offset", "ours"), slow_after(2, [(-3000, 0), (200, 0), (3000, 0), (200, -3000), (200, 3000)])
)
@pytest.mark.parametrize("kind", CONVERGENT)
@virtual_time
async def test_reopened_where_the_date_is_wrong(kind: str, offset: int, ours: int) -> None:
    """What happened and was undone is not sent again either where `Date` is of another clock than the tickets' times.

    It may be known by one answer alone, as to a program that has just begun, before a second one contradicts it. Where
    our own clock is refused, that `Date` signs.
    """
    clock = running_loop().wall_clock
    options: ClientOptions = {"now": lambda: clock() + ours}
    async with virtual_sandbox(40, date_offset=offset, client=options) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind])]
        error = await lost(client, mutation)
        assert isinstance(mutation, CloseTicket | RejectTicket)
        await sandbox.act(mutation.id, "reopen")
        await asyncio.sleep(LATER)
        assert await error.verify(client) is None
        async with sandbox.client(**options) as later:
            assert (await later.settle(mutation, error.began)).happened is None


@pytest.mark.parametrize("kind", CONVERGENT)
@virtual_time
async def test_reopened_where_a_read_was_refused_and_the_date_is_wrong(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happened and was undone is not sent again where the wrong `Date` signs for a refusal that was no clock's."""
    monkeypatch.setattr("workorder_async.sandbox.gate.TOLERANCE", 7200)  # many platforms look at no time stamp
    async with virtual_sandbox(40, date_offset=3600) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        assert isinstance(mutation, CloseTicket | RejectTicket)
        sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind])]
        error = await lost(client, mutation)
        await sandbox.act(mutation.id, "reopen")
        await asyncio.sleep(LATER)
        sandbox.faults = [Fault("errno", errno=50_000, times=1)]
        await client.list_tickets()
        assert await error.verify(client) is None


@pytest.mark.parametrize("kind", CONVERGENT)
@virtual_time
async def test_a_replica_that_is_behind_for_too_long(kind: str) -> None:
    """Refused, and open all the same, contradict each other: neither refused nor done."""
    async with virtual_sandbox(40, lag=LATER + 20) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind], times=1)]
        with pytest.raises(OutcomeUnknownError):
            await client.change(mutation)
        assert len(sandbox.applied) == 1


@pytest.mark.parametrize("seconds", slow_after(1, [25, 2.5]))
@pytest.mark.parametrize("kind", ["close", "reject", "comment", "create"])
@virtual_time
async def test_a_gateway_gives_up_and_the_server_goes_on(kind: str, seconds: float) -> None:
    """What is carried out after its 504 is waited for; until then nobody says that it did not happen."""
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("504_before", operation=OPERATIONS[kind], seconds=seconds)]
        error = await lost(client, mutation)
        assert await error.verify(client) is None
        assert (await client.settle(mutation, error.began)).again == pytest.approx(LONGEST, abs=1)
        await asyncio.sleep(seconds + 1)
        assert await error.verify(client) is True
        assert sent(sandbox, kind) == len(sandbox.applied) == 1
        sandbox.faults = [Fault("504_before", operation=OPERATIONS["create"], seconds=seconds)]
        await client.change(creation("另一个"), on_unknown="verify")
        assert [one.operation for one in sandbox.applied[1:]] == ["create_ticket"]


@pytest.mark.parametrize("kind", CONVERGENT)
@virtual_time
async def test_what_did_not_happen_is_sent_again_once_that_is_proven(kind: str) -> None:
    """The control: a look after the longest time of an attempt shows a ticket on which nothing has changed."""
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("reset", operation=OPERATIONS[kind], times=1)]
        began = running_loop().time()
        await client.change(mutation)
        assert running_loop().time() - began == pytest.approx(LONGEST, abs=1)
        assert (sent(sandbox, kind), len(sandbox.applied)) == (2, 1)


@pytest.mark.parametrize("kind", CONVERGENT)
@virtual_time
async def test_what_is_seen_later_than_an_attempt_may_take(kind: str) -> None:
    """Where the server is slower, and its replicas are behind as well, the refusal of the second is no refusal."""
    async with virtual_sandbox(40, lag=20) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("504_before", operation=OPERATIONS[kind], seconds=25, times=1)]
        await client.change(mutation)
        assert (sent(sandbox, kind), len(sandbox.applied)) == (2, 1)


@pytest.mark.parametrize("kind", slow_after(1, CONVERGENT))
@pytest.mark.parametrize("wait", [0, LONGEST - 2, LONGEST + 1])
@virtual_time
async def test_not_known_yet(kind: str, wait: float) -> None:
    """`verify` says that it did not happen as soon as that is proven, and not before; it does not take it back."""
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("reset", operation=OPERATIONS[kind])]
        error = await lost(client, mutation)
        await asyncio.sleep(wait)
        for _ in range(2):
            assert await error.verify(client) is (False if wait > LONGEST else None)


@pytest.mark.parametrize(("kind", "mark"), [("close", ""), ("comment", "om-1")])
@virtual_time
async def test_asked_by_a_client_with_shorter_attempts(kind: str, mark: str) -> None:
    """What its sender's attempts still allow is not over, whoever asks; a moment later it is."""
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("reset", operation=OPERATIONS[kind])]
        error = pickle.loads(pickle.dumps(await lost(client, mutation, mark=mark)))
        async with sandbox.client(now=client.now, attempt_timeout=5, deadline=5) as stranger:
            await asyncio.sleep(LONGEST - 2)
            assert await error.verify(stranger) is None
            await asyncio.sleep(7)
            assert await error.verify(stranger) is False


async def closed_before(sandbox: Sandbox, client: WorkorderClient, close: CloseTicket) -> CloseTicket:
    """Let the same close have happened an hour ago."""
    await client.change(close)
    await asyncio.sleep(3600)
    return close


async def closed_otherwise_before(sandbox: Sandbox, client: WorkorderClient, close: CloseTicket) -> CloseTicket:
    """Let a close with another solution have happened an hour ago."""
    await client.change(evolve(close, solved_time=close.solved_time - 60))
    await asyncio.sleep(3600)
    return close


async def closed_by_a_colleague(sandbox: Sandbox, client: WorkorderClient, close: CloseTicket) -> CloseTicket:
    """Let somebody close it now."""
    await sandbox.act(close.id, "close")
    return close


async def closed_otherwise(sandbox: Sandbox, client: WorkorderClient, close: CloseTicket) -> CloseTicket:
    """Let another program have closed it now with the same solution, and other words."""
    async with sandbox.client(now=client.now) as other:
        await other.change(evolve(close, detail="别的话"))
    return close


async def closed_by_another_call(sandbox: Sandbox, client: WorkorderClient, close: CloseTicket) -> CloseTicket:
    """Let the same client have closed it now."""
    await client.change(close)
    return close


@pytest.mark.parametrize("detail", slow_after(1, ["已确认", None]))
@pytest.mark.parametrize(
    "before",
    [closed_before, closed_otherwise_before, closed_by_a_colleague, closed_otherwise, closed_by_another_call],
)
@virtual_time
async def test_somebody_elses_close(before: Callable[..., Any], detail: str | None) -> None:
    """A close of an hour before, a colleague's, or another call's, is not ours; that the ticket is closed is told."""
    async with virtual_sandbox(40) as (sandbox, client):
        close = await mutation_of(client, "close")
        assert isinstance(close, CloseTicket)
        close = await before(sandbox, client, evolve(close, detail=detail))
        sandbox.faults = [Fault("reset", operation="close_ticket")]
        error = await lost(client, close)
        found = await client.settle(close, error.began)
        assert (found.happened, found.holds) == (None, True)
        sandbox.faults = []
        await asyncio.sleep(LATER)
        # Of one that was closed before, it is known in the end that nothing has changed since; unless it looks like
        # ours, and only the times speak against it.
        found = await client.settle(close, error.began)
        assert (found.happened, found.holds) == (False if before is closed_otherwise_before else None, True)


@pytest.mark.parametrize("offset", [-3600.0, 3600.0])
@pytest.mark.parametrize("kind", slow_after(1, CONVERGENT))
@virtual_time
async def test_a_date_of_another_clock(kind: str, offset: float) -> None:
    """Where a gateway's `Date` is not the time of the tickets, what happened is never said not to have happened."""
    async with virtual_sandbox(40, date_offset=offset) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind])]
        error = await lost(client, mutation)
        await asyncio.sleep(LATER)
        assert await error.verify(client) is None
        with pytest.raises(OutcomeUnknownError):
            await client.change(mutation)
        assert len(sandbox.applied) == 1


@virtual_time
async def test_a_close_where_the_date_is_some_seconds_ahead() -> None:
    """What is dated some seconds before it may be it: a platform may store another solution than it was sent."""
    async with virtual_sandbox(40, date_offset=6) as (sandbox, client):
        close = await mutation_of(client, "close")
        assert isinstance(close, CloseTicket)
        sandbox.faults = [Fault("reset", operation="close_ticket")]
        error = await lost(client, close)
        await sandbox.act(close.id, "close", "已确认")
        await asyncio.sleep(LATER)
        assert await error.verify(client) is None


@pytest.mark.parametrize("offset", slow_after(1, [3600.0, 6.0]))
@virtual_time
async def test_a_rejection_of_one_share_where_the_date_is_ahead(offset: float) -> None:
    """Its words beside a rejected share leave it unknown, also where other shares are not rejected."""
    async with virtual_sandbox(300, date_offset=offset) as (sandbox, client):
        rows = (await client.list_tickets(PENDING, page_size=100)).tickets
        shares = {row.id: (await client.get_ticket_detail(row.id)).assigns for row in rows}
        id = next(id for id, assigns in shares.items() if len(assigns) > 1)
        sandbox.faults = [Fault("reset_after", operation="reject_ticket")]
        error = await lost(client, RejectTicket(id=id, detail="不属于本产品线"))
        await asyncio.sleep(LATER)
        assert await error.verify(client) is None


@pytest.mark.parametrize("kind", CONVERGENT)
@virtual_time
async def test_reopened(kind: str) -> None:
    """What happened, and was undone by somebody, is not sent again: that the ticket is open proves nothing."""
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind]), BLIND]
        error = await lost(client, mutation)
        sandbox.faults = []
        await asyncio.sleep(1)
        await sandbox.act(mutation.id, "reopen")  # type: ignore[union-attr]
        await asyncio.sleep(LATER)
        # A rejection is still in the history.
        assert await error.verify(client) is (True if kind == "reject" else None)
        async with sandbox.client(now=client.now) as stranger:
            found = await stranger.settle(mutation, error.began, ahead=Ahead(0, 0))
            assert found.happened is (True if kind == "reject" else None)
        assert len(sandbox.applied) == 1


@virtual_time
async def test_a_rejection_by_somebody_else() -> None:
    """A share that was rejected before, or by a colleague's words, is no sign."""
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, "reject")
        assert isinstance(mutation, RejectTicket)
        await client.change(mutation)
        await asyncio.sleep(1000)
        sandbox.faults = [Fault("reset", operation="reject_ticket")]
        error = await lost(client, mutation)
        await sandbox.act(mutation.id, "comment", mutation.detail or "")
        found = await client.settle(mutation, error.began)
        assert (found.happened, found.holds) == (None, True)


@pytest.mark.parametrize("happens", [False, True])
@virtual_time
async def test_a_rejection_without_words(*, happens: bool) -> None:
    """It is told by the last step of a rejected share."""
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, "reject")
        assert isinstance(mutation, RejectTicket)
        bare = evolve(mutation, detail=None)
        sandbox.faults = [Fault("reset_after" if happens else "reset", operation="reject_ticket"), BLIND]
        error = await lost(client, bare)
        sandbox.faults = []
        assert await error.verify(client) is (True if happens else None)
        await asyncio.sleep(LATER)
        assert await error.verify(client) is happens


@virtual_time
async def test_own_comments_do_not_hide_that_a_close_did_not_happen() -> None:
    """What the client knows to have happened on the ticket is accounted for; what a colleague did is not."""
    async with virtual_sandbox(40) as (sandbox, client):
        close, comment = await mutation_of(client, "close"), await mutation_of(client, "comment")
        await client.change(comment)
        sandbox.faults = [Fault("reset", operation="close_ticket")]
        error = await lost(client, close)
        await asyncio.sleep(LATER)
        assert await error.verify(client) is False
        error = await lost(client, close)
        await sandbox.act(comment.id, "comment", "请尽快处理")  # type: ignore[union-attr]
        await asyncio.sleep(LATER)
        assert await error.verify(client) is None


@pytest.mark.parametrize("seconds", [10, 30, 60])
@virtual_time
async def test_own_comments_of_shortly_before_a_close_that_did_not_happen(seconds: float) -> None:
    """They are accounted for as well; but not where another equal step may be theirs, as the tickets' clock is off."""
    async with virtual_sandbox(40) as (sandbox, client):
        close, comment = await mutation_of(client, "close"), await mutation_of(client, "comment")
        sandbox.faults = [Fault("reset", operation="close_ticket")]
        for known in (False, None):
            await client.change(comment)
            await asyncio.sleep(seconds)
            error = await lost(client, close)
            await asyncio.sleep(LATER)
            assert await error.verify(client) is known


@pytest.mark.parametrize("happens", [False, True])
@pytest.mark.parametrize("kind", CONVERGENT)
@virtual_time
async def test_a_call_that_was_cancelled(kind: str, *, happens: bool) -> None:
    """What becomes of it is told as of any other, once its time is over."""
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        began = client.now()
        sandbox.faults = [Fault("hang_after" if happens else "hang", operation=OPERATIONS[kind])]
        call = asyncio.create_task(client.change(mutation, began=began))
        await asyncio.sleep(5)
        call.cancel()
        await asyncio.wait([call])
        assert (await client.settle(mutation, began)).happened is (True if happens else None)
        await asyncio.sleep(LONGEST)
        assert (await client.settle(mutation, began)).happened is happens


@virtual_time
async def test_what_was_refused_is_told_by_its_state_and_leaves_nothing() -> None:
    """That a refused close's ticket is closed is told, and the question stands in the way of nothing."""
    async with virtual_sandbox(40) as (sandbox, client):
        close, comment = await mutation_of(client, "close"), await mutation_of(client, "comment")
        assert not (await client.settle(close, inf)).holds
        await sandbox.act(close.id, "close")  # type: ignore[union-attr]
        found = await client.settle(close, inf)
        assert (found.happened, found.holds, found.again) == (None, True, None)
        sandbox.faults = [Fault("reset_after", operation="comment_ticket")]
        error = await lost(client, comment)
        assert await error.verify(client) is True


# Refusals after a lost answer


@pytest.mark.parametrize("errno", slow_after(2, [23000, 90999, 12345]))
@virtual_time
async def test_a_refusal_after_a_lost_answer_proves_nothing(errno: int) -> None:
    """While the ticket looks open, neither an errno without a meaning nor one that contradicts it decides."""
    async with virtual_sandbox(40) as (sandbox, client):
        close = await mutation_of(client, "close")
        sandbox.faults = [
            Fault("reset", operation="close_ticket", times=1),
            Fault("errno", operation="close_ticket", errno=errno),
        ]
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.change(close)
        assert isinstance(caught.value.__cause__, ApiError)
        # The control: without a lost answer it is a refusal.
        with pytest.raises(ApiError):
            await client.change(close_of(close.id, "无"))  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["close", "reject", "comment", "create"])
@virtual_time
async def test_errno_0(kind: str) -> None:
    """The API document calls it a failure, and shows it for success: unknown, unless the caller knows its meaning."""
    async with virtual_sandbox(40, faults=[Fault("errno", operation=OPERATIONS[kind], errno=0)]) as (sandbox, client):
        with pytest.raises(
            OutcomeUnknownError,
            match="does not say whether anything was done, so it may or may not have happened: errno 0",
        ):
            await client.change(await mutation_of(client, kind), deadline=20)
        async with sandbox.client(errnos={0: NotFoundError}) as knowing:
            with pytest.raises(NotFoundError, match="errno 0"):
                await knowing.change(await mutation_of(knowing, kind))
        assert sandbox.applied == []


@pytest.mark.parametrize("kind", ["close", "reject", "comment", "create"])
@virtual_time
async def test_errno_of_an_internal_error(kind: str) -> None:
    """An errno that is mapped to `ResponseError` does not say whether anything was done."""
    fault = Fault("errno", operation=OPERATIONS[kind], errno=-1)
    async with virtual_sandbox(40, faults=[fault]) as (sandbox, refused):
        with pytest.raises(ApiError, match="errno -1"):
            await refused.change(await mutation_of(refused, kind))
        async with sandbox.client(errnos={-1: ResponseError}) as client:
            mutation = await mutation_of(client, kind)
            with pytest.raises(OutcomeUnknownError, match=r"HTTP 200 with errno -1 .*does not say whether"):
                await client.change(mutation, deadline=20)


@virtual_time
async def test_a_read_after_an_internal_error() -> None:
    """A read that is answered with an errno that is mapped to `ResponseError` is repeated."""
    fault = Fault("errno", operation="list_tickets", errno=-1, times=1)
    async with (
        virtual_sandbox(40, faults=[fault]) as (sandbox, _),
        sandbox.client(errnos={-1: ResponseError}) as client,
    ):
        assert (await client.list_tickets()).pagination.total == 40


@virtual_time
async def test_a_refusal_that_agrees_with_the_ticket() -> None:
    """A close that never arrived, and was refused since a colleague had closed the ticket long before, is refused."""
    async with virtual_sandbox(40) as (sandbox, client):
        close = await mutation_of(client, "close")
        assert isinstance(close, CloseTicket)
        await sandbox.act(close.id, "close")
        await asyncio.sleep(100)
        sandbox.faults = [Fault("reset", operation="close_ticket", times=1)]
        with pytest.raises(TicketStateError):
            await client.change(close)
        assert sandbox.applied == []


@pytest.mark.parametrize("id", slow_after(2, [0, "x", "0", -5, None]))
@virtual_time
async def test_a_creation_with_an_id_that_is_none(id: object) -> None:
    """It happened, its ticket is looked for where asked, and stands in the way of others until it is known."""
    async with virtual_sandbox(40) as (sandbox, client):
        with changed_answers(sandbox, "create_ticket", lambda _: {"id": id}):
            error = await lost(client, creation())
        assert "$.data.id is no ticket number" in str(error)
        assert error.happened is True
        async with sandbox.client() as stranger:
            # Another program did not see the answer, and the error knows what it said.
            assert await pickle.loads(pickle.dumps(error)).verify(stranger) is True
        # The second one never happens, and the first one's ticket is not taken for it.
        sandbox.faults = [Fault("reset", operation="create_ticket", times=1)]
        second = await lost(client, creation())
        assert await second.verify(client) is None
        assert await error.verify(client) is True
        assert (await client.settle(creation(), error.began)).ticket_id == 0
        later = evolve(creation(), reported_time=1660298581)
        with changed_answers(sandbox, "create_ticket", lambda _: {"id": id}):
            assert await client.create_ticket(later, on_unknown="verify") == sandbox.applied[1].ticket_id


# Time


@pytest.mark.parametrize("kind", slow_after(1, ["comment", "create"]))
@pytest.mark.parametrize("step", slow_after(1, [-300, 3600, -3600, 300]))
@pytest.mark.parametrize("known", [False, True])
@virtual_time
async def test_our_clock_is_set_between_sending_and_looking(kind: str, step: float, *, known: bool) -> None:
    """An older equal one is no sign, whatever our clock says by then."""
    ahead = 0.0
    wall = running_loop().wall_clock
    skewed: ClientOptions = {"now": lambda: wall() + ahead}
    async with virtual_sandbox(40, client=skewed) as (sandbox, client), sandbox.client(now=wall) as other:
        mutation = await mutation_of(other, kind)
        await other.change(mutation)
        await asyncio.sleep(abs(step))
        if known:
            await client.ping()
        sandbox.faults = [Fault("reset", operation=OPERATIONS[kind])]
        error = await lost(client, mutation)
        ahead = step
        for _ in range(30):
            assert await error.verify(client) is None
            assert await error.verify(other) is None


@pytest.mark.parametrize("kind", ["comment", "create"])
@virtual_time
async def test_our_clock_was_set_before_sending(kind: str) -> None:
    """What was known of the server's clock before is not used for a moment by the new one."""
    ahead, wall = 0.0, running_loop().wall_clock
    skewed: ClientOptions = {"now": lambda: wall() + ahead}
    async with virtual_sandbox(40, client=skewed) as (sandbox, client), sandbox.client(now=wall) as other:
        mutation = await mutation_of(other, kind)
        await client.ping()
        await other.change(mutation)
        await asyncio.sleep(250)
        ahead = -250
        sandbox.faults = [Fault("reset", operation=OPERATIONS[kind])]
        error = await lost(client, mutation)
        assert await error.verify(client) is None


@pytest.mark.parametrize("kind", ["comment", "create"])
@virtual_time
async def test_an_equal_one_after_its_time(kind: str) -> None:
    """The window has an upper end: what somebody does an hour later with all clocks right is not it."""
    async with virtual_sandbox(40) as (sandbox, client), sandbox.client(now=client.now) as other:
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("reset", operation=OPERATIONS[kind], times=1)]
        error = await lost(client, mutation)
        await asyncio.sleep(3600)
        await other.change(mutation)
        async with sandbox.client(now=client.now) as stranger:
            for one in (client, stranger):
                assert await error.verify(one) is None


@pytest.mark.parametrize("kind", ["comment", "create"])
@pytest.mark.parametrize("happens", [False, True])
@virtual_time
async def test_an_equal_one_while_it_was_turned_away(kind: str, *, happens: bool) -> None:
    """Its time begins with the request that was not turned away: what somebody does before that is not it."""
    async with virtual_sandbox(40) as (sandbox, client), sandbox.client(now=client.now) as other:
        mutation = await mutation_of(client, kind)
        lose: Kind = "reset_after" if happens else "reset"
        operation = OPERATIONS[kind]
        sandbox.faults = [Fault("429", operation=operation, times=1, retry_after=20), Fault(lose, operation=operation)]
        losing = asyncio.create_task(lost(client, mutation))
        await asyncio.sleep(8)
        faults, sandbox.faults = sandbox.faults[1:], ()
        if not happens:
            await other.change(mutation)
        sandbox.faults = faults
        error = await losing
        assert [await error.verify(one) for one in (client, other)] == [happens or None] * 2
        assert sandbox.requests[operation] == 3 - happens
        assert len(sandbox.applied) == 1


@pytest.mark.parametrize("kind", ["comment", "create"])
@virtual_time
async def test_backends_whose_clocks_disagree(kind: str) -> None:
    """Where answers contradict each other nobody knows the server's time, and time proves nothing."""
    async with virtual_sandbox(40, backends=(0, 0, -100)) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        async with sandbox.client(now=client.now) as other:
            await other.change(mutation)
            await asyncio.sleep(100)
            sandbox.faults = [Fault("reset", operation=OPERATIONS[kind], times=1)]
            error = await lost(client, mutation)
            for _ in range(5):
                assert await error.verify(client) is None


@pytest.mark.parametrize("kind", ["comment", "create"])
@virtual_time
async def test_found_where_all_clocks_are_right(kind: str) -> None:
    """The control: in its time it is found, by another client too, and an hour later."""
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind], times=1)]
        error = await lost(client, mutation)
        await asyncio.sleep(3600)
        async with sandbox.client(now=client.now) as stranger:
            assert await error.verify(stranger) is True
        assert await error.verify(client) is True


@pytest.mark.parametrize("kind", ["close", "reject", "comment", "create"])
@virtual_time
async def test_the_servers_time_of_sending_is_kept(kind: str) -> None:
    """An error knows when it was by the server's clock, so that clocks of other processes do not matter."""
    wall = running_loop().wall_clock
    async with virtual_sandbox(40) as (sandbox, client), sandbox.client(now=lambda: wall() - 3600) as stranger:
        mutation = await mutation_of(client, kind)
        await client.ping()
        sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind]), BLIND]
        error = await lost(client, mutation)
        sandbox.faults = []
        began = error.began
        assert await pickle.loads(pickle.dumps(error)).verify(stranger) is True
        # The control: without it, our clock must not have been set.
        assert (await stranger.settle(mutation, began + 1)).happened is None


@virtual_time
async def test_what_did_not_happen_is_no_rival() -> None:
    """A close of an earlier run that is proven not to have happened does not stand in the way of the next one."""
    async with virtual_sandbox(40) as (sandbox, client):
        close = await mutation_of(client, "close")
        assert (await client.settle(close, client.now() - LATER)).happened is False
        sandbox.faults = [Fault("reset_after", operation="close_ticket"), BLIND]
        error = await lost(client, close)
        sandbox.faults = []
        assert await error.verify(client) is True


# Rivals

SHOWN = {
    "no emoji": ("已联系客户😀", "已联系客户"),
    "nfc": (unicodedata.normalize("NFD", "Café 已好"), unicodedata.normalize("NFC", "Café 已好")),
    "escaped": ("a < b & c", "a &lt; b &amp; c"),
    "cut": ("请客户确认后再关闭, 谢谢大家的支持与配合!", "请客户确认后再关闭, 谢谢大家的支持与"),
    "as sent": ("已联系客户 ", "已联系客户"),
}


@pytest.mark.parametrize("texts", slow_after(2, SHOWN))
@pytest.mark.parametrize(
    ("kind", "first"), [("comment", "answered"), ("comment", "lost"), ("reject", "answered"), ("create", "lost")]
)
@virtual_time
async def test_texts_that_are_stored_otherwise(texts: str, kind: str, first: str) -> None:
    """One that is stored as another would be is not taken for that other one."""
    stored, plain = SHOWN[texts]
    assert len(plain) <= 20
    async with virtual_sandbox(40, texts=texts) as (sandbox, client):
        comment: Any = await mutation_of(client, "create" if kind == "create" else "comment")
        lines: Any = await mutation_of(client, kind)
        one, other = evolve(comment, detail=stored), evolve(lines, detail=plain)
        if first == "answered":
            await client.change(one)
        else:
            sandbox.faults = [Fault("reset_after", operation=OPERATIONS["create" if kind == "create" else "comment"])]
            await lost(client, one)
        sandbox.faults = [Fault("reset", operation=OPERATIONS[kind])]
        error = await lost(client, other)
        assert await error.verify(client) is None
        await asyncio.sleep(LATER)
        # Where the first one is known to have happened, and is shown as it was sent, nothing else is left.
        accounted = (texts, kind, first) == ("as sent", "reject", "answered")
        assert await error.verify(client) is (False if accounted else None)


@virtual_time
async def test_different_ones_are_told_apart() -> None:
    """The control: where each is shown as it was sent, five lost comments on one ticket are found."""
    async with virtual_sandbox(40) as (sandbox, client):
        comment = await mutation_of(client, "comment")
        sandbox.faults = [Fault("reset_after", operation="comment_ticket")]
        errors = [await lost(client, evolve(comment, detail=f"第 {number} 次联系")) for number in range(5)]
        assert [await error.verify(client) for error in errors] == [True] * 5


@pytest.mark.parametrize("when", ["before", "in its time", "after"])
@virtual_time
async def test_a_colleague_says_the_same(when: str) -> None:
    """A step that names a person is a colleague's."""
    async with virtual_sandbox(40) as (sandbox, client):
        comment = await mutation_of(client, "comment")
        assert isinstance(comment, CommentTicket)
        if when == "before":
            await sandbox.act(comment.id, "comment", comment.detail)
            await asyncio.sleep(10)
        sandbox.faults = [Fault("reset", operation="comment_ticket")]
        error = await lost(client, comment)
        if when == "after":
            await asyncio.sleep(LATER)
        if when != "before":
            await sandbox.act(comment.id, "comment", comment.detail)
        assert await error.verify(client) is None


@virtual_time
async def test_a_rejection_by_a_line_whose_share_is_not_shown() -> None:
    """Whoever is not shown the share that was rejected does not know that it was not; it is sent once."""
    async with virtual_sandbox(40) as (sandbox, client):
        rejection = await mutation_of(client, "reject")
        assert isinstance(rejection, RejectTicket)
        before = {"assigns": [], "updated_time": (await client.get_ticket_detail(rejection.id)).updated_time}
        sandbox.faults = [Fault("reset_after", operation="reject_ticket")]
        hides = changed_answers(sandbox, "get_ticket_detail", lambda ticket: ticket | before)
        with hides, pytest.raises(OutcomeUnknownError):
            await client.change(rejection, deadline=LATER)
        assert sent(sandbox, "reject") == 1


@virtual_time
async def test_a_rejection_that_is_dated_long_before() -> None:
    """Its words in a rejected share may be its own, even if all times are older: another clock may have dated them."""
    async with virtual_sandbox(40) as (sandbox, client):
        rejection = await mutation_of(client, "reject")
        assert isinstance(rejection, RejectTicket)
        before = await client.get_ticket_detail(rejection.id)
        times = {"updated_time": before.updated_time, "updated_progress_time": before.updated_progress_time}

        def dated(ticket: Any) -> Any:
            for assign in ticket["assigns"]:
                for step in assign["history"]:
                    step["created_time"] = "2020-01-01 00:00:00"
            return ticket | times

        sandbox.faults = [Fault("reset_after", operation="reject_ticket")]
        with changed_answers(sandbox, "get_ticket_detail", dated):
            error = await lost(client, rejection)
            await asyncio.sleep(LATER)
            assert await error.verify(client) is None


@virtual_time
async def test_a_comment_of_no_line_beside_an_equal_one_of_a_line() -> None:
    """The words of another call in a share are no sign of a comment that names no line."""
    async with virtual_sandbox(40) as (sandbox, client):
        comment = await mutation_of(client, "comment")
        assert isinstance(comment, CommentTicket)
        line = (await client.get_ticket_detail(comment.id)).assigns[0].product_group_id
        sandbox.faults = [Fault("reset", operation="comment_ticket")]
        error = await lost(client, evolve(comment, productGroupId=None))
        sandbox.faults = []
        await client.comment_ticket(evolve(comment, productGroupId=line))
        assert await error.verify(client) is None


@virtual_time
async def test_a_rejection_that_leaves_neither_step_nor_time() -> None:
    """A rejected ticket without any time of a change does not tell that it was rejected before."""
    async with virtual_sandbox(40) as (sandbox, client):
        rejection = await mutation_of(client, "reject")
        assert isinstance(rejection, RejectTicket)
        await asyncio.sleep(1000)

        def bare(ticket: Any) -> Any:
            for assign in ticket["assigns"]:
                assign["history"] = [step for step in assign["history"] if step["detail"] != rejection.detail]
            return ticket | {"updated_time": 0, "updated_progress_time": 0}

        sandbox.faults = [Fault("reset_after", operation="reject_ticket")]
        with changed_answers(sandbox, "get_ticket_detail", bare):
            error = await lost(client, rejection)
            await asyncio.sleep(LATER)
            assert await error.verify(client) is None


@pytest.mark.parametrize("place", slow_after(1, [-1, 0]))
@virtual_time
async def test_a_comment_in_one_of_several_shares(place: int) -> None:
    """It is found in whichever share it stands."""
    async with virtual_sandbox(300) as (sandbox, client):
        rows = (await client.list_tickets(PENDING, page_size=100)).tickets
        shares = {row.id: (await client.get_ticket_detail(row.id)).assigns for row in rows}
        id, assigns = next((id, assigns) for id, assigns in shares.items() if len(assigns) > 1)
        sandbox.faults = [Fault("reset_after", operation="comment_ticket")]
        line = assigns[place].product_group_id
        error = await lost(client, CommentTicket(id=id, detail="已联系客户", productGroupId=line))

        def of_one_line(ticket: Any) -> Any:
            return ticket | {"assigns": [{**share, "product_group_id": line} for share in ticket["assigns"]]}

        with changed_answers(sandbox, "get_ticket_detail", of_one_line):
            assert await error.verify(client) is True


@virtual_time
async def test_a_new_tickets_text_is_no_comment() -> None:
    """A platform's history may begin with the text of the ticket itself."""
    async with virtual_sandbox(40) as (sandbox, client):
        ticket = creation()
        id = await client.create_ticket(ticket)
        now = datetime.fromtimestamp(client.now(), CHINA_STANDARD_TIME).strftime("%Y-%m-%d %H:%M:%S")

        def begun(shown: Any) -> Any:
            step = {"id": 1, "detail": ticket.detail, "created_time": now, "creator_id": 0}
            return shown | {"assigns": [{"product_group_id": 7, "history": [step]}]}

        sandbox.faults = [Fault("reset", operation="comment_ticket")]
        error = await lost(client, CommentTicket(id=id, detail=ticket.detail))
        with changed_answers(sandbox, "get_ticket_detail", begun):
            assert await error.verify(client) is None


# A mark

MARKED = ("comment", "create")


@pytest.mark.parametrize("happens", [False, True])
@pytest.mark.parametrize("kind", MARKED)
@pytest.mark.parametrize("rival", [False, True])
@virtual_time
async def test_a_mark_decides(kind: str, *, happens: bool, rival: bool) -> None:
    """Found: it happened, though an equal one did, too. Not found after the longest time: it did not."""
    async with virtual_sandbox(40) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        if isinstance(mutation, CreateTicket):
            await client.create_ticket(evolve(mutation, title="先前的"))
        if rival:
            await client.change(mutation, mark="ref-1")
            await asyncio.sleep(10)
        sandbox.faults = [Fault("reset_after" if happens else "reset", operation=OPERATIONS[kind])]
        error = await lost(client, mutation, mark="ref-2")
        assert (error.mutation, error.mark) == (mutation, "ref-2")
        assert await error.verify(client) is (True if happens else None)
        await asyncio.sleep(LATER)
        async with sandbox.client(now=client.now) as stranger:
            for one in (client, stranger):
                found = await one.settle(mutation, error.began, mark="ref-2")
                # A client that has made no ticket of the line does not know whether the list would show one.
                knows = happens or kind != "create" or one is client
                assert found.happened is (happens if knows else None)
                if happens and kind == "create":
                    assert found.ticket_id == sandbox.applied[-1].ticket_id
        if happens:
            assert str(sandbox.applied[-1].request["detail"]).endswith("\nref-2")


@pytest.mark.parametrize("texts", slow_after(2, SHOWN))
@pytest.mark.parametrize("kind", MARKED)
@virtual_time
async def test_a_mark_that_the_platform_may_cut_off(texts: str, kind: str) -> None:
    """What happened is never said not to have, also where its mark was cut off; a mark that stays is found."""
    async with virtual_sandbox(40, texts=texts) as (sandbox, client):
        mutation: Any = await mutation_of(client, kind)
        long = evolve(mutation, detail=SHOWN[texts][0])
        sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind])]
        error = await lost(client, long, mark="INC-2025.06")
        await asyncio.sleep(LATER)
        assert await error.verify(client) is (None if texts == "cut" else True)


@pytest.mark.parametrize("offset", [5.0, 3600.0])
@pytest.mark.parametrize("kind", MARKED)
@virtual_time
async def test_a_mark_that_was_cut_off_where_the_date_is_ahead(kind: str, offset: float) -> None:
    """What may be ours without its mark is dated by another clock, and leaves it unknown all the same."""
    async with virtual_sandbox(40, texts="cut", date_offset=offset) as (sandbox, client):
        long: Any = evolve(await mutation_of(client, kind), detail=SHOWN["cut"][0])
        sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind])]
        error = await lost(client, long, mark="INC-2025.06")
        await asyncio.sleep(LATER)
        assert await error.verify(client) is None


@pytest.mark.parametrize("offset", [-200.0, 3600.0])
@pytest.mark.parametrize("later", [False, True])
@virtual_time
async def test_a_mark_where_no_texts_are_shown_and_the_date_is_wrong(offset: float, later: bool) -> None:
    """A step without words, of the time in which ours was sent by another clock than that `Date`, may be ours."""
    async with virtual_sandbox(40, date_offset=offset) as (sandbox, client):
        comment = await mutation_of(client, "comment")
        sandbox._store._stored = lambda _: ""
        sandbox.faults = [Fault("reset" if later else "reset_after", operation="comment_ticket", times=1)]
        error = await lost(client, comment, mark="ref-1")
        await asyncio.sleep(LATER + 3600)
        if later:
            await client.change(comment)
        assert await error.verify(client) is (False if later else None)


@pytest.mark.parametrize(
    ("shown", "happened"),
    [
        (lambda text: "<p>" + text.replace("\n", "</p><p>") + "</p>", True),
        (lambda text: text.replace("\n", "<br/>") + "<br/>", True),
        (lambda text: "<p>" + text.replace("\n", "</p><p>").replace("-", "&#45;") + "</p>", True),
        (lambda text: f"<p>{text[:3]}...</p>", None),
        (lambda text: html.escape(f"<div class='c'>{text[:-1]}</div>"), None),
        (lambda text: f"<p>{text[:5]}</p>"[:11], None),
        (lambda text: text.encode("ascii", "xmlcharrefreplace").decode()[:13], None),
        (lambda text: f"<p>{text.upper()}</p>", None),
        (lambda text: text.replace("-", "<wbr>-"), None),
        (lambda text: text + "\n(来自开放平台)", None),
        (lambda text: text.replace("\n", "") + "来自开放平台", None),
        (lambda text: text + ". 来自开放平台", None),
        (lambda text: "", None),
    ],
    ids=[
        *("paragraphs", "line breaks", "escaped in a paragraph", "cut in a paragraph", "cut in an escaped paragraph"),
        *("cut in a tag", "cut in a number", "capitals in a paragraph", "a place to break it"),
        *("a footer", "all on one line", "a sentence behind it", "nothing"),
    ],
)
@virtual_time
async def test_a_mark_that_is_shown_otherwise(shown: Callable[[str], str], happened: bool | None) -> None:
    """It is found at the end of a line of HTML. Cut off, spelt otherwise, or not at the end, it leaves it unknown."""
    async with virtual_sandbox(40) as (sandbox, client):
        comment = await mutation_of(client, "comment")
        sandbox._store._stored = shown
        sandbox.faults = [Fault("reset_after", operation="comment_ticket")]
        error = await lost(client, comment, mark="ref-1")
        await asyncio.sleep(LATER)
        assert await error.verify(client) is happened


@pytest.mark.parametrize(
    "shown", [lambda text: f"<p>{text[:6]}</p>", lambda text: f"<p>{html.escape(text)[:5]}...</p>"]
)
@virtual_time
async def test_a_text_with_brackets_that_is_cut_off_in_a_paragraph(shown: Callable[[str], str]) -> None:
    """What people write between < and > is no tag, also where the platform puts tags around it, or cuts an escape."""
    async with virtual_sandbox(40) as (sandbox, client):
        comment = evolve(await mutation_of(client, "comment"), detail="若 a<b 且 c>d, 请重启")
        sandbox._store._stored = shown
        sandbox.faults = [Fault("reset_after", operation="comment_ticket")]
        error = await lost(client, comment, mark="ref-1")
        await asyncio.sleep(LATER)
        assert await error.verify(client) is None


@virtual_time
async def test_a_number_of_thousands_of_digits_beside_a_mark() -> None:
    """Whatever people write on a ticket, no foreign error comes of it."""
    async with virtual_sandbox(40) as (sandbox, client):
        comment = await mutation_of(client, "comment")
        assert isinstance(comment, CommentTicket)
        await sandbox.act(comment.id, "comment", f"&amp;#{'9' * 5000}; &#{'9' * 5000};")
        sandbox.faults = [Fault("reset", operation="comment_ticket")]
        error = await lost(client, comment, mark="ref-1")
        await asyncio.sleep(LATER)
        assert await error.verify(client) is False


@virtual_time
async def test_a_title_that_the_platform_cuts_off() -> None:
    """The ticket is known by its mark, which stands in its text."""
    async with virtual_sandbox(40, texts="cut") as (sandbox, client):
        ticket = creation("云主机无法启动, 请协助排查原因并尽快恢复业务")
        sandbox.faults = [Fault("reset_after", operation="create_ticket")]
        error = await lost(client, ticket, mark="ref-1")
        await asyncio.sleep(LATER)
        assert await error.verify(client) is True
        assert sandbox.applied[0].request["title"] == ticket.title


@pytest.mark.parametrize(
    "drift", slow_after(1, [Drift(delete=1, pick="newest"), Drift(delete=1, create=1, every=1, pick="newest")])
)
@virtual_time
async def test_a_marked_ticket_that_moves_from_a_page_to_the_one_before(drift: Drift) -> None:
    """A ticket that goes away between two pages of the list puts it where the list was read already."""
    async with virtual_sandbox(5) as (sandbox, client):
        sandbox.faults = [Fault("reset_after", operation="create_ticket")]
        error = await lost(client, creation(), mark="ref-1")
        sandbox.faults = []
        for number in range(100):
            await client.create_ticket(creation(f"另一个 {number}"))
        await asyncio.sleep(LATER)
        sandbox.drift = [drift]
        assert await error.verify(client) is True
        assert sandbox.drifted[0].after == 1


@pytest.mark.parametrize("total", [0, 1])
@virtual_time
async def test_a_marked_ticket_that_the_list_does_not_show(total: int) -> None:
    """A list that shows nobody's tickets, or fewer than it counts, as by a right, does not tell that one is missing."""
    async with virtual_sandbox(40) as (sandbox, client):
        empty = {"pagination": {"page_size": 100, "total": total}, "tickets": []}
        sandbox.faults = [Fault("reset_after", operation="create_ticket")]
        error = await lost(client, creation(), mark="ref-1")
        await asyncio.sleep(LATER)
        with changed_answers(sandbox, "list_tickets", lambda _: empty):
            assert await error.verify(client) is None
        assert await error.verify(client) is True


@virtual_time
async def test_a_marked_ticket_on_a_page_that_comes_empty() -> None:
    """A later page that counts none does not unsay the total of the first one."""
    async with virtual_sandbox(5) as (sandbox, client), sandbox.client(now=client.now) as other:
        sandbox.faults = [Fault("reset_after", operation="create_ticket", times=1)]
        error = await lost(client, creation(), mark="ref-1")
        for number in range(110):
            await other.create_ticket(creation(f"另一个 {number}"))
        await asyncio.sleep(LATER)

        def emptied(listed: Any) -> Any:
            is_second = len(listed["tickets"]) < 100 < listed["pagination"]["total"]
            return {"pagination": {"page_size": 100, "total": 0}, "tickets": None} if is_second else listed

        with changed_answers(sandbox, "list_tickets", emptied):
            assert await error.verify(client) is None
        assert await error.verify(client) is True


@pytest.mark.parametrize(
    ("happens", "shows", "known"), [(False, False, False), (True, False, None), (True, True, True)]
)
@virtual_time
async def test_a_list_that_does_not_show_what_was_created(*, happens: bool, shows: bool, known: bool | None) -> None:
    """A list without a ticket that was created just before does not tell that the next one is missing."""
    async with virtual_sandbox(40) as (sandbox, client):
        await client.create_ticket(creation("先前的"))
        hidden = {await client.create_ticket(creation("另一个"))}

        def without(listed: Any) -> Any:
            listed["tickets"] = [row for row in listed["tickets"] if row["id"] not in hidden]
            listed["pagination"]["total"] = len(listed["tickets"])
            return listed

        sandbox.faults = [Fault("reset_after" if happens else "reset", operation="create_ticket")]
        error = await lost(client, creation(), mark="ref-1")
        await asyncio.sleep(LATER)
        if happens and not shows:
            hidden.add(sandbox.applied[-1].ticket_id)
        with changed_answers(sandbox, "list_tickets", without if happens else lambda listed: listed):
            assert await error.verify(client) is known


#: One of another creator and line.
LISTED = evolve(creation(), repository_product_id=4, creator_id=210001, creator_name="田金秀")


async def made_days_ago(client: WorkorderClient, earlier: str) -> None:
    """Make tickets of its creator or its line: none of them of both."""
    if "creator" in earlier:
        await client.create_ticket(evolve(creation("先前的"), repository_product_id=5))
    if "line" in earlier:
        await client.create_ticket(evolve(creation("先前的"), creator_id=210001, creator_name="田金秀"))
    if "number" in earlier:
        await client.create_ticket(evolve(creation("先前的"), whether_product_group_id=True))
    await asyncio.sleep(200_000)


@pytest.mark.parametrize(
    ("earlier", "by", "happened"),
    [
        ("", "itself", None),
        ("creator", "itself", None),
        ("line", "itself", None),
        ("number", "itself", None),
        ("creator, line", "itself", False),
        ("creator, line", "others", None),
    ],
)
@virtual_time
async def test_a_marked_ticket_whose_like_is_not_listed(earlier: str, by: str, happened: bool | None) -> None:
    """A list may hide a creator, or a line: it is proven by a ticket that the same client made for the line."""
    async with virtual_sandbox(40) as (sandbox, client), sandbox.client(now=client.now) as other:
        await made_days_ago(client if by == "itself" else other, earlier)
        sandbox.faults = [Fault("reset", operation="create_ticket")]
        error = await lost(client, creation(), mark="ref-1")
        await asyncio.sleep(LATER)
        assert await error.verify(client) is happened


@pytest.mark.parametrize("ignores", [False, True])
@virtual_time
async def test_a_marked_ticket_of_a_line_that_is_not_listed(*, ignores: bool) -> None:
    """It is not said not to have happened, also where the platform ignores filters, and shows other lines."""
    async with virtual_sandbox(40) as (sandbox, client), sandbox.client(now=client.now) as other:
        await made_days_ago(client, "creator, line")
        shown = [row.to_dict() for row in (await client.list_tickets(TicketQuery(creator_id=210002))).tickets][:1]

        def without(listed: Any) -> Any:
            rows = [row for row in listed["tickets"] if row["product_group"] != "产品线3"]
            rows = rows or (shown if ignores else [])
            return {"pagination": {"page_size": 100, "total": len(rows)}, "tickets": rows}

        sandbox.faults = [Fault("reset_after", operation="create_ticket", times=1)]
        error = await lost(client, creation(), mark="ref-1")
        await other.create_ticket(evolve(LISTED, title="后来的"))
        await asyncio.sleep(LATER)
        with changed_answers(sandbox, "list_tickets", without):
            assert await error.verify(client) is None
        assert await error.verify(client) is True


@pytest.mark.parametrize("fault", ["403", "hang"])
@virtual_time
async def test_a_marked_ticket_where_its_like_cannot_be_read(fault: Kind) -> None:
    """A list that cannot be proved to show its line leaves it unknown, by the deadline."""
    async with virtual_sandbox(40) as (sandbox, client):
        await made_days_ago(client, "creator, line")
        sandbox.faults = [Fault("reset", operation="create_ticket")]
        error = await lost(client, creation(), mark="ref-1")
        await asyncio.sleep(LATER)
        sandbox.faults = [Fault(fault, operation="get_ticket")]
        async with asyncio.timeout(6):
            found = await client.settle(creation(), error.began, mark="ref-1", patient=True, deadline=5)
        assert found.happened is None
        sandbox.faults = []
        assert await error.verify(client) is False


def _without_marked(ticket: Any) -> Any:
    """Take the marked comments out of a ticket's history."""
    for assign in ticket["assigns"]:
        assign["history"] = [step for step in assign["history"] if "\nref-" not in step["detail"]]
    return ticket


@pytest.mark.parametrize("happens", [False, True])
@virtual_time
async def test_a_mark_where_the_history_has_no_comments(*, happens: bool) -> None:
    """A ticket that changed by what its history does not show may have been commented on."""
    async with virtual_sandbox(40) as (sandbox, client):
        comment = await mutation_of(client, "comment")
        sandbox.faults = [Fault("reset_after" if happens else "reset", operation="comment_ticket")]
        error = await lost(client, comment, mark="ref-1")
        await asyncio.sleep(LATER)
        with changed_answers(sandbox, "get_ticket_detail", _without_marked):
            assert await error.verify(client) is (None if happens else False)


@pytest.mark.parametrize("other", ["said in another share", "cut off"])
@virtual_time
async def test_a_mark_that_is_missed_beside_what_others_say(other: str) -> None:
    """What another share shows explains when the ticket changed; a mark that was cut off is told by its time."""
    async with virtual_sandbox(40) as (sandbox, client):
        comment = await mutation_of(client, "comment")
        at = int(client.now()) + 600

        def shown(ticket: Any) -> Any:
            assigns = ticket["assigns"]
            if other == "cut off":
                for step in assigns[0]["history"]:
                    step["detail"] = step["detail"].partition("\n")[0]
            else:
                step = {**assigns[0]["history"][0], "detail": "别的产品线", "creator_id": 7}
                step["created_time"] = datetime.fromtimestamp(at, CHINA_STANDARD_TIME).strftime("%Y-%m-%d %H:%M:%S")
                assigns.append({**assigns[0], "product_group_id": 999_999, "history": [step]})
                ticket["updated_time"] = at
            return ticket

        assert isinstance(comment, CommentTicket)
        if other == "cut off":
            await client.comment_ticket(evolve(comment, detail="早先的一条"), mark="ref-2")
        sandbox.faults = [Fault("reset", operation="comment_ticket")]
        error = await lost(client, comment, mark="ref-1")
        await asyncio.sleep(1000)
        with changed_answers(sandbox, "get_ticket_detail", shown):
            assert await error.verify(client) is False


@pytest.mark.parametrize(("before", "other"), [(0, ""), (1, ""), (1, "of a person"), (1, "of another share")])
@virtual_time
async def test_a_mark_where_earlier_ones_are_not_shown(before: int, other: str) -> None:
    """Where a history shows no comment that was made before, it may hide this one, too.

    What else it shows of the same seconds is not that comment: a person's step, or one in another share.
    """
    async with virtual_sandbox(40) as (sandbox, client):
        comment = await mutation_of(client, "comment")

        def hidden(ticket: Any) -> Any:
            share = ticket["assigns"][0]
            steps = [
                {**step, "detail": "转派", "creator_id": 7} for step in share["history"] if "\nref-" in step["detail"]
            ]
            _without_marked(ticket)
            if other == "of a person":
                share["history"] += steps
            elif other:
                ticket["assigns"].append({**share, "product_group_id": 999_999, "history": steps})
            return ticket | {"updated_time": 0, "updated_progress_time": 0}

        assert isinstance(comment, CommentTicket)
        for number in range(before):
            await client.comment_ticket(evolve(comment, detail="早先的一条"), mark=f"ref-0{number}")
        sandbox.faults = [Fault("reset", operation="comment_ticket")]
        error = await lost(client, comment, mark="ref-1")
        await asyncio.sleep(LATER)
        with changed_answers(sandbox, "get_ticket_detail", hidden):
            assert await error.verify(client) is (None if before else False)


@virtual_time
async def test_a_mark_without_a_time() -> None:
    """A platform may tell no times of its steps."""
    async with virtual_sandbox(40) as (sandbox, client):

        def undated(ticket: Any) -> Any:
            for assign in ticket["assigns"]:
                assign["history"] = [{**step, "created_time": ""} for step in assign["history"]]
            return ticket

        sandbox.faults = [Fault("reset_after", operation="comment_ticket")]
        error = await lost(client, await mutation_of(client, "comment"), mark="ref-1")
        with changed_answers(sandbox, "get_ticket_detail", undated):
            assert await error.verify(client) is True


@pytest.mark.parametrize(
    ("fault", "hides", "known"), [("reset", False, False), ("reset", True, None), ("reset_after", True, True)]
)
@virtual_time
async def test_a_mark_beside_a_share_without_history(fault: Kind, *, hides: bool, known: bool | None) -> None:
    """A comment goes to its own share: what that one's history shows of the latest change, no other share hides.

    A mark that is shown is a sign, whatever else may be hidden.
    """
    async with virtual_sandbox(40) as (sandbox, client):
        comment = await mutation_of(client, "comment")

        def with_another_share(ticket: Any) -> Any:
            shares = [*ticket["assigns"], {**ticket["assigns"][0], "product_group_id": 999_999, "history": []}]
            return ticket | {"assigns": shares, "updated_time": ticket["updated_time"] + 10 * hides}

        assert isinstance(comment, CommentTicket)
        sandbox.faults = [Fault(fault, operation="comment_ticket")]
        error = await lost(client, comment, mark="ref-1")
        sandbox.faults = []
        await client.comment_ticket(evolve(comment, detail="另一条"), mark="ref-2")
        await asyncio.sleep(LATER)
        with changed_answers(sandbox, "get_ticket_detail", with_another_share):
            assert await error.verify(client) is known


@pytest.mark.parametrize("seconds", [0, 1000])
@virtual_time
async def test_a_mark_that_another_ticket_has(seconds: float) -> None:
    """Its ticket is the one of its time; where nobody knows which of two it is, no number is made up."""
    async with virtual_sandbox(5) as (sandbox, client), sandbox.client(now=client.now) as other:
        await other.create_ticket(creation(), mark="ref-1")
        await asyncio.sleep(seconds)
        sandbox.faults = [Fault("reset_after", operation="create_ticket")]
        creating = client.create_ticket(creation(), mark="ref-1", on_unknown="verify")
        if seconds:
            assert await creating == sandbox.applied[-1].ticket_id
        else:
            with pytest.raises(OutcomeUnknownError) as caught:
                await creating
            assert (await caught.value.verify(client), caught.value.ticket_id) == (True, 0)


@virtual_time
async def test_a_mark_that_is_given_twice() -> None:
    """It does not tell which of the two happened."""
    async with virtual_sandbox(40) as (sandbox, client):
        comment: Any = await mutation_of(client, "comment")
        errors = []
        for fault in ("reset_after", "reset"):
            sandbox.faults = [Fault(fault, operation="comment_ticket")]
            errors.append(await lost(client, comment, mark="ref-1"))
        await asyncio.sleep(LATER)
        assert [await error.verify(client) for error in errors] == [None, None]


@pytest.mark.parametrize("kind", MARKED)
@virtual_time
async def test_a_mark_where_the_date_is_wrong(kind: str) -> None:
    """What has the mark, at a time at which it cannot have been, is never said not to have happened."""
    async with virtual_sandbox(40, date_offset=3000) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind])]
        error = await lost(client, mutation, mark="ref-1")
        await asyncio.sleep(LATER)
        assert await error.verify(client) is None


@pytest.mark.parametrize("other", ["备注 10", "备注 1\n0a1b2c3d4e", "备注 1，已联系", "备注", "备注 1"])
@virtual_time
async def test_a_text_that_begins_like_a_lost_one(other: str) -> None:
    """It is not ours, unless it may be ours with its end cut off, where the mark was."""
    async with virtual_sandbox(40, client={"deadline": 60.0, "attempt_timeout": 5.0}) as (sandbox, client):
        await sandbox.act(1001, "comment", other)
        await asyncio.sleep(1)
        sandbox.faults = [Fault("reset", operation="comment_ticket", times=1)]
        lost = CommentTicket(id=1001, detail="备注 1")
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.comment_ticket(lost, mark="481589181f")
        await sandbox.act(1001, "comment", other)
        await asyncio.sleep(10)
        assert await caught.value.verify(client) is (None if other in ("备注", "备注 1") else False)


@virtual_time
async def test_a_colleague_cites_the_mark_elsewhere() -> None:
    """A mark counts at the end of a text, and in its time; where it is found elsewhere nothing is proven."""
    async with virtual_sandbox(40) as (sandbox, client):
        comment = await mutation_of(client, "comment")
        assert isinstance(comment, CommentTicket)
        await sandbox.act(comment.id, "comment", "ref-2")
        await asyncio.sleep(1000)
        sandbox.faults = [Fault("reset", operation="comment_ticket")]
        error = await lost(client, comment, mark="ref-2")
        await sandbox.act(comment.id, "comment", "见 ref-2 的说明")
        await asyncio.sleep(LATER)
        assert await error.verify(client) is None


@pytest.mark.parametrize("mark", ["两字", "a b", "x\ny", "-x", "x" * 65, 5, 0, None, False, []])
async def test_no_mark(client: WorkorderClient, mark: Any) -> None:
    """A mark that a platform might store otherwise is refused before anything is sent."""
    with pytest.raises(ConfigError, match="mark is "):
        await client.comment_ticket(CommentTicket(id=1, detail="x"), mark=mark)


@pytest.mark.parametrize("mutation", [RejectTicket(id=1, detail="x"), close_of(1, "姜程")])
async def test_no_mark_for_what_needs_none(client: WorkorderClient, mutation: Any) -> None:
    """Closes and rejections take none."""
    with pytest.raises(ConfigError, match="mark is only for comments and creations"):
        await client.change(mutation, mark="ref-1")
