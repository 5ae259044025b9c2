"""kinds.py and memory.py, over sockets: of mutations that look alike, none is taken for another."""

import asyncio
import operator
import pickle
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from email.utils import formatdate
from math import inf
from typing import Any

import orjson
import pytest
from attrs import evolve

from tests.support.clients import NOW, make_client
from tests.support.mutations import OPERATIONS, close_of, creation, mutation_of
from tests.support.raw_server import Handler, data, drop, serving
from tests.support.slow import slow_after, slow_but_every
from tests.support.virtual_loop import virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    ApiError,
    CommentTicket,
    CreateTicket,
    DecodeError,
    Mutation,
    OutcomeUnknownError,
    RejectTicket,
    RetryPolicy,
    WorkorderClient,
    WorkorderError,
)
from workorder_async.batches.batch import run_batch
from workorder_async.batches.outcomes import State
from workorder_async.mutations.memory import EarlierRun, Sending, Sendings, Span
from workorder_async.sandbox import ClientOptions, Fault, Kind, Sandbox
from workorder_async.signing.clock import ServerClock

QUICK: ClientOptions = {"retry": RetryPolicy(first=0.001, attempts=1), "attempt_timeout": 1}
KINDS = ("comment", "create")


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[WorkorderClient]:
    """Give a client of it that tries once."""
    async with sandbox.client(**QUICK) as client:
        yield client


def strike(sandbox: Sandbox, *faults: Kind | None) -> None:
    """Let the next creations or comments go wrong so, in order; None for one that goes well."""
    sandbox.faults = [
        Fault(fault, operation=operation, after=number, times=1, errno=90001 if fault == "errno" else None)
        for operation in ("comment_ticket", "create_ticket")
        for number, fault in enumerate(faults)
        if fault is not None
    ]


async def sent(client: WorkorderClient, mutation: Mutation) -> "int | WorkorderError":
    """Send a mutation, looking for it where its answer is lost; return its ticket's id, or the error."""
    try:
        return (await client.change(mutation, on_unknown="verify", patient=False)).ticket_id
    except WorkorderError as error:
        return error


@pytest.mark.parametrize("kind", KINDS)
async def test_the_second_was_lost_and_never_happened(sandbox: Sandbox, client: WorkorderClient, kind: str) -> None:
    """What the first has left is no sign of the second, however often one asks."""
    mutation = await mutation_of(client, kind)
    strike(sandbox, None, "reset")
    assert isinstance(await sent(client, mutation), int)
    error = await sent(client, mutation)
    assert isinstance(error, OutcomeUnknownError)
    for _ in range(2):
        assert (await error.verify(client), error.ticket_id) == (None, 0)
    assert len(sandbox.applied) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", slow_after(2, [-3600, 3600, -5, 0, 5]), ids=lambda step: f"clock {step:+}")
async def test_our_clock_is_set_meanwhile(sandbox: Sandbox, kind: str, step: int) -> None:
    """The same, where our clock is set between the two."""
    ahead = 0
    stepping: ClientOptions = {**QUICK, "now": lambda: time.time() + ahead}
    async with sandbox.client(**stepping) as client:
        mutation = await mutation_of(client, kind)
        strike(sandbox, None, "reset")
        assert isinstance(await sent(client, mutation), int)
        ahead = step
        error = await sent(client, mutation)
        assert isinstance(error, OutcomeUnknownError)
        assert await error.verify(client) is None


@pytest.mark.parametrize("kind", KINDS)
async def test_the_second_was_lost_and_happened(sandbox: Sandbox, client: WorkorderClient, kind: str) -> None:
    """With one trace more than the others account for, it is found, and it is not the first."""
    mutation = await mutation_of(client, kind)
    strike(sandbox, None, "reset_after")
    first, second = await sent(client, mutation), await sent(client, mutation)
    assert [first, second] == [one.ticket_id for one in sandbox.applied]
    assert len(sandbox.applied) == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_found_stays_found_and_is_found_once(sandbox: Sandbox, client: WorkorderClient, kind: str) -> None:
    """An error that was settled gives the same answer again, as a copy too, and a later equal one does not get it."""
    mutation = await mutation_of(client, kind)
    strike(sandbox, "reset_after", "reset")
    with pytest.raises(OutcomeUnknownError) as first:
        await client.change(mutation)
    copy: OutcomeUnknownError = pickle.loads(pickle.dumps(first.value))
    assert await first.value.verify(client) is True
    second = await sent(client, mutation)
    assert isinstance(second, OutcomeUnknownError)
    assert await second.verify(client) is None
    for error in (first.value, copy):
        assert await error.verify(client) is True
        assert error.ticket_id == (sandbox.applied[0].ticket_id if kind == "create" else 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("happened", [0, 1, 2])
async def test_both_lost(sandbox: Sandbox, client: WorkorderClient, kind: str, happened: int) -> None:
    """Of two that were lost at once, neither is known as long as one trace is missing; which id is whose, never."""
    mutation = await mutation_of(client, kind)
    faults: list[Kind | None] = [*["reset_after"] * happened, *["reset"] * (2 - happened)]  # type: ignore[list-item]
    strike(sandbox, *faults)
    errors = await asyncio.gather(*(client.change(mutation) for _ in range(2)), return_exceptions=True)
    answers = []
    for error in errors * 2:
        assert isinstance(error, OutcomeUnknownError)
        answers.append(await error.verify(client))
    assert answers == [True if happened == 2 and kind == "comment" else None] * 4
    assert len(sandbox.applied) == happened


async def test_three_alike_of_which_the_last_never_happened(sandbox: Sandbox, client: WorkorderClient) -> None:
    """The first one's ticket does not account for the second one, which was lost: that one's is not the third's."""
    strike(sandbox, None, "reset_after", "reset")
    assert isinstance(await sent(client, creation()), int)
    with pytest.raises(OutcomeUnknownError):
        await client.create_ticket(creation())
    with pytest.raises(OutcomeUnknownError) as third:
        await client.create_ticket(creation())
    assert (await third.value.verify(client), third.value.ticket_id) == (None, 0)
    assert len(sandbox.applied) == 2


async def test_an_answer_that_names_the_ticket_of_another_creation() -> None:
    """It is not believed, for a gateway gives an answer twice; one to an equal creation is, for equals may be one."""
    answer = dated(data({"id": 7}))
    async with serving(answer, answer, answer, listed(7)) as wire, make_client(wire.url) as client:
        assert await client.create_ticket(creation()) == await client.create_ticket(creation()) == 7
        with pytest.raises(OutcomeUnknownError, match="answered with ticket 7, which another creation made") as caught:
            await client.create_ticket(creation("别的标题"))
        assert await caught.value.verify(client) is None


@pytest.mark.parametrize("kind", KINDS)
async def test_another_is_still_under_way(sandbox: Sandbox, client: WorkorderClient, kind: str) -> None:
    """What one has left whose answer is still to come, or never came because it was cancelled, is not another's."""
    mutation = await mutation_of(client, kind)
    strike(sandbox, "hang_after", "reset")
    first = asyncio.create_task(client.change(mutation))
    async with asyncio.timeout(10):
        while not sandbox.applied:  # noqa: ASYNC110 - the server's record has no event
            await asyncio.sleep(0.005)
    error = await sent(client, mutation)
    assert isinstance(error, OutcomeUnknownError)
    first.cancel()
    await asyncio.wait([first])
    assert await error.verify(client) is None
    assert len(sandbox.applied) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_refused_left_nothing(sandbox: Sandbox, client: WorkorderClient, kind: str) -> None:
    """One that was refused by an errno with a meaning does not stand in another's way."""
    mutation = await mutation_of(client, kind)
    strike(sandbox, "errno", "reset_after")
    assert isinstance(await sent(client, mutation), ApiError)
    assert isinstance(await sent(client, mutation), int)
    assert len(sandbox.applied) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_cancelled_before_it_was_sent_left_nothing(
    sandbox: Sandbox, client: WorkorderClient, kind: str
) -> None:
    """A call that was cancelled before it wrote anything does not stand in another's way."""
    mutation = await mutation_of(client, kind)
    task = asyncio.create_task(client.change(mutation))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    strike(sandbox, "reset_after")
    assert isinstance(await sent(client, mutation), int)


async def test_a_rejection_says_the_same(sandbox: Sandbox, client: WorkorderClient) -> None:
    """The words of a rejection are no sign of a comment with the same words."""
    comment = await mutation_of(client, "comment")
    assert isinstance(comment, CommentTicket)
    await client.reject_ticket(RejectTicket(id=comment.id, detail=comment.detail))
    strike(sandbox, "reset")
    assert isinstance(await sent(client, comment), OutcomeUnknownError)


# Batches


@pytest.mark.parametrize("kind", slow_after(1, KINDS))
@pytest.mark.parametrize("first", ["batch", "call"])
@pytest.mark.parametrize("second", slow_after(1, ["batch", "call"]))
@pytest.mark.parametrize("happened", [False, True])
@virtual_time
async def test_batches_and_calls_on_one_client(kind: str, first: str, second: str, *, happened: bool) -> None:
    """It does not matter whether equal ones are sent by batches or by calls."""
    async with virtual_sandbox(40, client=QUICK) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        strike(sandbox, None, "reset_after" if happened else "reset")
        known: list[bool] = []
        for how in (first, second):
            if how == "call":
                known.append(isinstance(await sent(client, mutation), int))
            else:
                known += [outcome.state is State.DONE async for outcome in run_batch(client, [mutation])]
        assert known == [True, happened]
        assert len(sandbox.applied) == 1 + happened


# Answers of raw servers

COMMENT = CommentTicket(id=1, detail="已联系客户")


def history(*texts: str) -> bytes:
    """Return a ticket's detail with these texts said just now."""
    steps = [{"action": 3, "created_time": int(NOW), "detail": text} for text in texts]
    return data({"id": 1, "assigns": [{"product_group_id": 3, "status": 1, "history": steps}]})


def shares(*texts: tuple[str, ...]) -> bytes:
    """Return a ticket's detail with these texts in each of its shares."""
    return data(
        {
            "id": 1,
            "assigns": [
                {
                    "product_group_id": number,
                    "status": 1,
                    "history": [{"action": 3, "created_time": int(NOW), "detail": text} for text in share],
                }
                for number, share in enumerate(texts, 3)
            ],
        }
    )


def dated(answer: bytes, now: float = NOW) -> bytes:
    """Let an answer tell the time."""
    return answer.replace(b"\r\n", f"\r\nDate: {formatdate(now, usegmt=True)}\r\n".encode(), 1)


@pytest.mark.parametrize(
    ("first", "texts", "known"),
    [
        (data(None), ["已联系客户"], False),
        (data(None), ["已联系客户"] * 2, True),
        # An errno without a meaning may stand for something that was done.
        (data(None, 40001), ["已联系客户"], False),
        (data(None, 40001), ["已联系客户"] * 2, True),
        (data(None, 23000), ["已联系客户"], True),
        (drop, ["已联系客户"], False),
    ],
)
async def test_how_many_are_shown(first: Handler | bytes, texts: list[str], *, known: bool) -> None:
    """One trace more is needed than the others may have left."""
    first = dated(first) if isinstance(first, bytes) else first
    async with serving(first, drop, dated(history(*texts))) as wire, make_client(wire.url) as client:
        with suppress(WorkorderError):
            await client.comment_ticket(COMMENT)
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.comment_ticket(COMMENT)
        assert await caught.value.verify(client) is (True if known else None)


async def test_as_many_as_needed_but_none_since_it_was_sent() -> None:
    """What was said by others beside an earlier equal comment is no sign of one that was sent minutes later."""
    now = NOW
    shown = dated(history("已联系客户", "已联系客户"), NOW + 300)
    async with serving(dated(data(None)), drop, shown) as wire, make_client(wire.url, now=lambda: now) as client:
        await client.comment_ticket(COMMENT)
        now += 300
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.comment_ticket(COMMENT)
        assert await caught.value.verify(client) is None


async def test_a_comment_that_is_shown_in_every_share_is_one() -> None:
    """A comment for no product line may be shown in each of them, and is one all the same."""
    shown = dated(shares(("已联系客户",), ("已联系客户",)))
    async with serving(dated(data(None)), drop, shown) as wire, make_client(wire.url) as client:
        await client.comment_ticket(COMMENT)
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.comment_ticket(COMMENT)
        assert await caught.value.verify(client) is None


@pytest.mark.parametrize("text", ["已联系客户 ", " 已联系客户", "已联系客户\n"])
async def test_blanks_that_the_platform_trims(text: str) -> None:
    """A text that differs in blanks alone may look the same afterwards."""
    async with serving(dated(data(None)), drop, dated(history("已联系客户"))) as wire, make_client(wire.url) as client:
        await client.comment_ticket(evolve(COMMENT, detail=text))
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.comment_ticket(COMMENT)
        assert await caught.value.verify(client) is None


def hidden(line: int, status: int = 1) -> dict[str, object]:
    """Return a share whose history is not shown."""
    return {"product_group_id": line, "status": status, "history": None}


def old(line: int) -> dict[str, object]:
    """Return a share with a step of before."""
    step = {"action": 1, "created_time": int(NOW) - 9000, "detail": "", "creator_id": 5}
    return {"product_group_id": line, "status": 1, "history": [step]}


@pytest.mark.parametrize(
    ("mutation", "assigns", "happened"),
    [
        (COMMENT, [old(3)], False),
        (COMMENT, [], None),
        (COMMENT, [hidden(3)], None),
        (COMMENT, [old(3), hidden(4)], None),
        (evolve(COMMENT, productGroupId=3), [old(3), hidden(4)], False),
        (evolve(COMMENT, productGroupId=3), [hidden(3), old(4)], None),
        (evolve(COMMENT, productGroupId=9), [hidden(3), old(4)], None),
        (RejectTicket(id=1, detail="x", productGroupId=3), [old(3)], False),
        (RejectTicket(id=1, detail="x", productGroupId=3), [hidden(3, status=4), old(4)], None),
        (RejectTicket(id=1, detail="x"), [hidden(3, status=4)], None),
    ],
)
async def test_a_history_that_is_not_shown(
    mutation: Mutation, assigns: list[dict[str, object]], happened: bool | None
) -> None:
    """Who is shown no history, or not that of the line that spoke, does not miss in it what was said."""
    mark = "m-1" if isinstance(mutation, CommentTicket) else ""
    detail = dated(data({"id": 1, "updated_time": int(NOW) - 9000, "assigns": assigns}))
    async with serving(detail) as wire, make_client(wire.url) as client:
        assert (await client.settle(mutation, NOW - 1000, mark=mark)).happened is happened


@virtual_time
async def test_a_cache_on_the_way() -> None:
    """A cache that obeys HTTP does not show the ticket as it was before the mutation that was lost."""
    kept: dict[bytes, bytes] = {}
    texts: list[str] = []

    async def cached(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = wire.requests[-1].lower()
        line = head.partition(b"\r\n")[0]
        if b"reject_handle" in line:
            texts.append("不属于本产品线")
            writer.close()
            return
        if line not in kept or b"\r\ncache-control: no-cache\r\n" in head:
            kept[line] = dated(history(*texts))
        writer.write(kept[line])

    async with serving(cached) as wire, make_client(wire.url, attempt_timeout=0.3) as client:
        await client.get_ticket_detail(1)
        await client.reject_ticket(RejectTicket(id=1, detail="不属于本产品线", productGroupId=3), deadline=1)
        assert len(texts) == 1


def row_of(made: CreateTicket, id: int) -> dict[str, object]:
    """Return how a new ticket is listed."""
    return {
        "id": id,
        "title": made.title,
        "detail": made.detail,
        "customer_organization_name": made.customer_organization_name,
        "type": made.type.value,
        "priority": made.priority.value,
        "reported_time": made.reported_time,
        "created_time": int(NOW),
    }


def listed(*ids: int, made: CreateTicket | None = None) -> bytes:
    """Return a list of equal tickets."""
    rows = [row_of(made or creation(), id) for id in ids]
    return dated(data({"pagination": {"total": len(rows), "page_size": 100}, "tickets": rows}))


@pytest.mark.parametrize(
    ("first", "ids", "found"),
    [
        (data({"id": 7}), [7], 0),
        (data({"id": 7}), [7, 8], 8),
        (data({"id": 7}), [7, 8, 9], 0),
        # Created, and not told as which.
        (data(None), [7], 0),
        (data(None), [7, 8], 0),
        (data(None, 40001), [7], 0),
        (data(None, 23000), [7], 7),
        (drop, [7], 0),
    ],
)
async def test_which_id_is_left(first: Handler | bytes, ids: list[int], found: int) -> None:
    """A ticket is found if it alone is nobody else's, and nobody else's is missing."""
    script = [dated(first) if isinstance(first, bytes) else first, drop, listed(*ids)]
    async with serving(*script) as wire, make_client(wire.url) as client:
        with suppress(DecodeError, ApiError, OutcomeUnknownError):
            await client.create_ticket(creation())
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.create_ticket(creation())
        for _ in range(2):
            assert await caught.value.verify(client) is (True if found else None)
            assert caught.value.ticket_id == found


@pytest.mark.parametrize(("name", "found"), [("姜程", 7), ("", 7), ("别人", 0)])
async def test_somebody_elses_ticket_that_a_careless_server_lists(name: str, found: int) -> None:
    """A row that names another creator is no sign, whatever the server was asked for."""
    page = dated(
        data(
            {"pagination": {"total": 1, "page_size": 100}, "tickets": [row_of(creation(), 7) | {"creator_name": name}]}
        )
    )
    async with serving(drop, page) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.create_ticket(creation())
        assert await caught.value.verify(client) is (True if found else None)
        assert caught.value.ticket_id == found


@pytest.mark.parametrize(
    ("title", "detail", "happened"),
    [
        ("实例无法远程登录", "重启之后依旧\nm-1", True),
        ("实例无法远程登录", "重启之后", None),
        ("【API】实例无法远程登录", "重启之后依旧\nm-1", True),
        ("", "重启之后依旧\nm-1", True),
        ("API: 实例***", "重启之后依旧\nm-1", True),
        ("【API】实例无法远程登录", "重启之后", None),
        ("API: 实例***", "重启之后依旧\nm-1\n来自 API", None),
        ("另一个", "重启之后依旧", False),
    ],
)
@pytest.mark.parametrize("name", slow_after(1, ["姜程", "姜程(38361)"]))
@virtual_time
async def test_what_the_platform_adds_to_a_marked_ticket(
    title: str, name: str, detail: str, happened: bool | None
) -> None:
    """A mark counts whatever became of title and name; what may be ours without one is not called somebody else's."""
    row = row_of(creation(), 7) | {"title": title, "creator_name": name, "detail": detail}
    before = row_of(creation("先前的"), 6)
    page = dated(data({"pagination": {"total": 2, "page_size": 100}, "tickets": [row, before]}))
    made = dated(data({"id": 6}))
    async with serving(made, drop, page) as wire, make_client(wire.url, attempt_timeout=0.2) as client:
        await client.create_ticket(creation("先前的"))
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.create_ticket(creation(), mark="m-1")
        found = await client.settle(creation(), caught.value.began, mark="m-1", patient=True, deadline=1)
        assert (found.happened, found.ticket_id) == (happened, 7 if happened else 0)


@pytest.mark.parametrize(("other", "known"), [(4, True), (3, None), (9, None), (None, None)])
async def test_what_another_line_says_stands_in_its_share(other: int | None, known: bool | None) -> None:
    """An equal comment is no rival where its line has a share of its own; a line without one speaks in any share."""
    shown = dated(shares(("已联系客户",), ("已联系客户",)))
    async with serving(dated(data(None)), drop, shown) as wire, make_client(wire.url) as client:
        await client.comment_ticket(evolve(COMMENT, productGroupId=other))
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.comment_ticket(evolve(COMMENT, productGroupId=3))
        assert await caught.value.verify(client) is known


@pytest.mark.parametrize(("ids", "known"), [((7, 8), True), ((7, 7), None)])
async def test_what_another_line_says_is_shown_in_every_share(ids: tuple[int, int], known: bool | None) -> None:
    """A step that two shares show is one, whichever line says it."""
    shown = orjson.loads(shares(("已联系客户",), ("已联系客户",)).partition(b"\r\n\r\n")[2])["data"]
    for assign, id in zip(shown["assigns"], ids, strict=True):
        assign["history"][0]["id"] = id
    async with serving(dated(data(None)), drop, dated(data(shown))) as wire, make_client(wire.url) as client:
        await client.comment_ticket(evolve(COMMENT, productGroupId=4))
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.comment_ticket(evolve(COMMENT, productGroupId=3))
        assert await caught.value.verify(client) is known


@pytest.mark.parametrize(("other", "known"), [(["请稍候"], True), ([], None)])
async def test_what_another_line_says_where_its_share_shows_nothing(other: list[str], known: bool | None) -> None:
    """An equal comment of a line whose share shows no history may be the one that the other share shows."""
    shown = dated(shares(("已联系客户",), tuple(other)))
    async with serving(dated(data(None)), drop, shown) as wire, make_client(wire.url) as client:
        await client.comment_ticket(evolve(COMMENT, productGroupId=4))
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.comment_ticket(evolve(COMMENT, productGroupId=3))
        assert await caught.value.verify(client) is known


@pytest.mark.parametrize(
    ("assigns", "later", "known"), [([3], 0, False), ([3], 1, False), ([3, 4], 0, None), ([3], 9, None)]
)
@virtual_time
async def test_a_change_that_a_comment_may_explain(assigns: list[int], later: int, known: bool | None) -> None:
    """A comment of ours that is shown explains the time of a ticket's last change.

    Not where a share shows nothing, nor a later change: a platform may note no step for a close that was undone.
    """
    step = {"id": 7, "action": 3, "created_time": int(NOW), "detail": COMMENT.detail}
    shown = [{"product_group_id": line, "status": 1, "history": [step] if line == 3 else []} for line in assigns]
    detail = dated(data({"id": 1, "status": 2, "updated_time": int(NOW) + later, "assigns": shown}))
    script: list[Handler | bytes] = [dated(data(None)), drop, detail]
    async with serving(*script) as wire, make_client(wire.url, attempt_timeout=0.2) as client:
        await client.comment_ticket(COMMENT)
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.change(close_of(1, "田金秀"), patient=False)
        found = await client.settle(close_of(1, "田金秀"), caught.value.began, patient=True, deadline=2)
        assert found.happened is known


@pytest.mark.parametrize(
    ("line", "progress", "known"), [(None, 30, False), (9, 30, False), (None, 0, None), (3, 30, None)]
)
@virtual_time
async def test_a_mark_in_a_share_that_is_not_shown(line: int | None, progress: int, known: bool | None) -> None:
    """A time that no step explains may be that of a marked comment, and so may be all of a share that is not shown."""
    step = {"id": 7, "action": 3, "created_time": int(NOW) + 30, "detail": "别的", "creator_id": 5}
    times = {"updated_time": int(NOW) + 30, "updated_progress_time": int(NOW) + progress}
    assigns = [{"product_group_id": 9, "status": 1, "history": [step]}]
    detail = dated(data({"id": 1, "status": 2, **times, "assigns": assigns}))
    comment = evolve(COMMENT, productGroupId=line)
    async with serving(drop, detail) as wire, make_client(wire.url, attempt_timeout=0.2) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.comment_ticket(comment, mark="ref-1")
        found = await client.settle(comment, caught.value.began, mark="ref-1", patient=True, deadline=2)
        assert found.happened is known


async def test_an_id_of_another_that_looks_the_same_by_now() -> None:
    """An id that was given to any other creation is no sign, though that one was sent with other words."""
    async with serving(dated(data({"id": 7})), drop, listed(7)) as wire, make_client(wire.url) as client:
        assert await client.create_ticket(creation("别的标题")) == 7
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.create_ticket(creation())
        assert await caught.value.verify(client) is None


async def test_a_creation_that_is_found_shows_its_text_in_its_history() -> None:
    """The text of a new ticket, at the head of its history, is no sign of a comment that says the same."""
    steps = history(creation().detail)
    comment = CommentTicket(id=7, detail=creation().detail)
    async with serving(dated(data({"id": 7})), drop, dated(steps)) as wire, make_client(wire.url) as client:
        await client.create_ticket(creation())
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.comment_ticket(comment)
        assert await caught.value.verify(client) is None


async def test_an_older_ticket_that_a_careless_server_lists() -> None:
    """A server that does not heed the query's time lists what was created before: no sign of it."""
    rows = [{**row_of(creation(), 7), "created_time": int(NOW) - 600}]
    page = dated(data({"pagination": {"total": 1, "page_size": 100}, "tickets": rows}))
    async with serving(drop, page) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.change(creation(), on_unknown="verify", patient=False)
        assert caught.value.ticket_id == 0


@pytest.mark.parametrize("total", [1, 100, 10**9])
async def test_more_equal_ones_than_a_total_says(total: int) -> None:
    """A total that is capped hides no equal ticket, and one that lies costs no end of requests."""
    pages = [
        dated(data({"pagination": {"total": total, "page_size": 100}, "tickets": rows}))
        for rows in (
            [row_of(creation(), 7), *({"id": id} for id in range(100, 199))],
            [row_of(creation(), 8)],
        )
    ]
    async with serving(drop, pages[0], *pages) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.change(creation(), on_unknown="verify", patient=False)
        assert caught.value.ticket_id == 0
        assert len(wire.requests) <= 7


async def test_pages_that_are_shorter_than_was_asked_for() -> None:
    """A page that is full by the server's own size is not the end, whatever its total says."""
    marked = row_of(creation(), 9) | {"detail": "重启之后依旧\nm-1"}
    pages = [
        dated(data({"pagination": {"total": len(rows), "page_size": 2}, "tickets": rows}))
        for rows in ([row_of(creation("甲"), 7), row_of(creation("乙"), 8)], [marked])
    ]
    async with serving(drop, *pages) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.create_ticket(creation(), mark="m-1")
        await client.ping()
        wire.script = list(pages)
        assert await caught.value.verify(client) is True
        assert caught.value.ticket_id == 9


async def test_a_list_that_never_ends() -> None:
    """A server that invents new tickets for ever leaves the creation unknown."""
    invented = 0

    async def invent(reader: object, writer: asyncio.StreamWriter) -> None:
        nonlocal invented
        invented += 100
        rows = [{"id": id} for id in range(invented, invented + 100)]
        writer.write(dated(data({"pagination": {"total": 10**9, "page_size": 100}, "tickets": rows})))

    async with serving(drop, invent) as wire, make_client(wire.url) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.create_ticket(creation())
        assert await caught.value.verify(client) is None
        assert len(wire.requests) <= 110


async def test_a_read_that_fails_leaves_it_unknown() -> None:
    """Neither a refusal nor a proxy's page in place of the history is evidence."""
    for page in (data(None, 40001), b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"):
        script: list[Handler | bytes] = [drop, dated(page), dated(page), history("已联系客户")]
        once = RetryPolicy(attempts=1)
        async with serving(*script) as wire, make_client(wire.url, retry=once) as client:
            with pytest.raises(OutcomeUnknownError) as caught:
                await client.comment_ticket(COMMENT)
            assert await caught.value.verify(client) is None


# The memory


def memory(**options: Any) -> Sendings:
    """Return a memory whose clocks stand still."""
    return Sendings(ServerClock(lambda: NOW), steady=lambda: 0.0, **options)


def tell(sendings: Sendings, ahead: float) -> None:
    """Let an answer say that the server's clock is ahead by so much."""
    clock, steady = sendings._clock, sendings.steady
    now = clock.local()
    clock.observe(formatdate(now + ahead, usegmt=True), now, now, steady)


def test_what_was_forgotten_is_not_vouched_for() -> None:
    """Of those that were sent while others are forgotten, none can be told from them; the memory is bounded."""
    sendings = memory(most=3)
    first = Sending("a")
    sendings.enter(first)
    assert sendings.rivals(first) == []
    others = [Sending("b") for _ in range(5)]
    for one in others:
        sendings.enter(one)
    assert sendings.rivals(first) is None
    assert sendings.rivals(others[-1]) is None
    assert sendings.find(Sending("a", began=first.began)) is not first


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("kind", slow_but_every(2, OPERATIONS))
async def test_others_may_be_forgotten(sandbox: Sandbox, client: WorkorderClient, kind: str, forgets: bool) -> None:
    """Where a client has sent more than it keeps, a sign may be that of another, and proves nothing."""
    mutation = await mutation_of(client, kind)
    sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind]), Fault("reset", operation="get_ticket_detail")]
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.change(mutation)
    sandbox.faults = []
    if forgets:
        client._mutations._sendings._most = 1
    for _ in range(2):
        await client.comment_ticket(CommentTicket(id=1030, detail="已联系客户"))
    assert await caught.value.verify(client) is (None if forgets else True)


def test_the_times_that_the_server_tells_must_agree() -> None:
    """Where its clock is another one by now, nobody knows by which of the two it dates a ticket."""
    moment = 0.0
    sendings = Sendings(ServerClock(lambda: NOW + moment), steady=lambda: moment)
    tell(sendings, 100)
    sendings.enter(sending := Sending("a"))
    moment = 5.0
    sendings.note_end(sending)
    assert [sendings.span(sending).has(int(NOW) + at) for at in (90, 100, 105, 115)] == [False, True, True, False]
    for _ in range(9):
        tell(sendings, 4000)
    assert sendings.span(sending) == Span()


@pytest.mark.parametrize(("ended", "until"), [(-20, 94), (-2000, inf)])
def test_the_end_of_another_run(ended: float, until: float) -> None:
    """Of another machine, the server's clock alone tells the end; where that is before the beginning, nothing does."""
    sendings = memory()
    tell(sendings, 100)
    sending = Sending("a", began=NOW - 50, ahead=sendings._clock.ahead())
    found = sendings.find(sending, EarlierRun(within=1000, attempt=10, ended=ended))
    assert sendings.span(found).until == NOW + until
    assert sendings.find(Sending("a", began=NOW - 50)) is found
    assert sendings.rivals(Sending("a", start=0.0)) == [found]


def test_moments_tell_equal_ones_apart() -> None:
    """However coarse the clock, each has a moment of its own, by which it is found again."""
    sendings = memory()
    alike = [Sending("a", intent=NOW if number == 1 else None) for number in range(3)]
    for one in alike:
        sendings.enter(one)
        sendings.enter(one)
    assert len({one.began for one in alike}) == 3
    assert [sendings.find(Sending("a", began=one.began)) for one in alike[1:]] == alike[1:]
    assert sendings.rivals(alike[0]) == alike[1:]
    sendings.drop(alike[1])
    sendings.drop(alike[1])
    assert sendings.rivals(alike[0]) == alike[2:]


def test_two_closes_of_one_moment_are_two() -> None:
    """Where two killed ones began in one tick of a coarse clock, what is found of the one says nothing of the other."""
    sendings, solutions = memory(), ((1660298580, False), (1660298600, False), None)
    found = [sendings.find(Sending("a", solution=one, began=NOW - 50)) for one in solutions]
    sendings.note_happened(found[0])
    assert [one.happened for one in found] == [True, False, False]
    again = [sendings.find(Sending("a", solution=one, began=NOW - 50)) for one in solutions]
    assert all(map(operator.is_, again, found))


@pytest.mark.parametrize(
    ("start", "ended", "is_timed", "left"),
    [
        (-10.0, 55.0, True, 50),
        (-9.0, 55.0, True, 51),
        (-10.0, 5.0, True, 25),
        (-100.0, 55.0, False, 75),
        (90.0, 55.0, False, 75),
    ],
)
def test_a_start_by_another_clock(start: float, ended: float, *, is_timed: bool, left: float) -> None:
    """What a killed run sent ten seconds ago by our clock did not start at a time that is far from that."""
    sendings = memory()
    sending = sendings.find(Sending("a", began=NOW - 10), EarlierRun(start, within=40.0, attempt=20.0, ended=ended))
    assert sending.is_timed is is_timed
    assert sendings.left(sending) == left
