"""kinds.py: a mutation is encoded once, whoever needs it, and is told from others by its trace and its key."""

from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import evolve

from tests.support.clients import make_client
from tests.support.mutations import KINDS, creation, mutation_of
from tests.support.raw_server import http, serving
from workorder_async import CloseTicket, CommentTicket, ConfigError, Mutation, RejectTicket, Sandbox, run_batch
from workorder_async.document import JSON
from workorder_async.document.codec import decode_mutation, encode
from workorder_async.mutations import kinds
from workorder_async.mutations.kinds import prepare

CLOSE = CloseTicket(id=1, closer_id=2, closer_name="田金秀", solved_time=1660298580, detail="备注\n\0")


@pytest.mark.parametrize("mutation", [CLOSE, creation(), CommentTicket(id=1, detail="已处理"), RejectTicket(id=1)])
async def test_what_is_kept_is_what_is_sent(mutation: Mutation) -> None:
    """The bytes are those of the value, they are the request's body, and the value reads back as the mutation."""
    ready = prepare(mutation)
    assert prepare(ready) is ready
    async with serving(http(b'{"errno":10000,"data":{"id":7}}')) as wire, make_client(wire.url) as client:
        await client.change(ready)
        await client.change(mutation)
    bodies = [request.partition(b"\r\n\r\n")[2] for request in wire.requests]
    assert bodies == [ready.content, ready.content]
    assert decode_mutation(type(mutation).__name__, ready.value) == mutation
    assert "已" not in repr(evolve(ready, mutation=CommentTicket(id=1, detail="x")))


async def test_a_batch_encodes_each_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For its key, the journal and the wire it is encoded once, and all have the same."""
    encoded: Counter[Any] = Counter()

    def counted(value: object) -> JSON:
        encoded[value] += 1
        return encode(value)

    monkeypatch.setattr(kinds, "encode", counted)
    file = tmp_path / "j"
    async with Sandbox(40) as sandbox, sandbox.client() as client:
        mutations = [await mutation_of(client, kind) for kind in KINDS if kind != "close"]
        async with aclosing(run_batch(client, iter(mutations), journal=file, concurrency=1)) as outcomes:
            assert len([outcome async for outcome in outcomes]) == len(mutations)
        sent = [one.request for one in sandbox.applied]
    lines = map(orjson.loads, file.read_bytes().splitlines())
    assert [line["mutation"] for line in lines if "intent" in line] == sent
    assert encoded == Counter(mutations)


@pytest.mark.parametrize("nonsense", [None, "close", {"id": 1}, 5])
async def test_no_mutation(nonsense: Any) -> None:
    """What is no mutation is refused by its class, whatever is asked of it."""
    words = f"a {type(nonsense).__name__} is no mutation; use one of CreateTicket, CommentTicket"
    async with make_client() as client:
        with pytest.raises(ConfigError, match=words):
            await client.change(nonsense)
        with pytest.raises(ConfigError, match=words):
            await client.settle(nonsense, 0.0)


def test_traces() -> None:
    """What leaves the same to be seen has the same trace, blanks aside; what leaves nothing has none."""
    comment = CommentTicket(id=1, detail="已 处理")
    alike: list[Mutation] = [comment, evolve(comment, detail=" 已  处理\n"), evolve(comment, productGroupId=3)]
    alike += [RejectTicket(id=1, detail="已 处理"), evolve(CLOSE, detail="已 处理")]
    assert len({prepare(one).trace for one in alike}) == 1
    others: list[Mutation] = [
        comment,
        evolve(comment, id=2),
        evolve(comment, detail="已处理"),
        creation(),
        creation("另一个"),
    ]
    assert len({prepare(one).trace for one in others}) == 5
    assert prepare(RejectTicket(id=1)).trace == prepare(evolve(CLOSE, detail=None)).trace == ""
