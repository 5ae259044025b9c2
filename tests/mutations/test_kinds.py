"""kinds.py: a mutation is encoded once, whoever needs it, and is told from others by its trace and its key."""

import ast
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import evolve

from tests.support.clients import make_client
from tests.support.mutations import KEYS, KINDS, close_of, creation, mutation_of
from tests.support.raw_server import http, serving
from workorder_async import CloseTicket, CommentTicket, ConfigError, Mutation, RejectTicket, Sandbox, run_batch
from workorder_async.document import JSON
from workorder_async.document.codec import decode_mutation, encode
from workorder_async.mutations import kinds
from workorder_async.mutations.kinds import key_of, prepare, words_of

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
        batch = run_batch(client, iter(mutations), journal=file, key=str, concurrency=1)
        async with aclosing(batch) as outcomes:
            assert len([outcome async for outcome in outcomes]) == len(mutations)
        sent = [one.request for one in sandbox.applied]
    lines = map(orjson.loads, file.read_bytes().splitlines())
    assert [line["mutation"] for line in lines if "intent" in line] == sent
    assert encoded == Counter(mutations)


@pytest.mark.parametrize(
    ("mutation", "words"),
    [
        (CLOSE, "close as 2 田金秀"),
        (creation("告警"), "create: 告警"),
        (CommentTicket(id=1, detail="已处理"), "comment: 已处理"),
        (CommentTicket(id=1, detail="已处理", productGroupId=7), "comment as product line 7: 已处理"),
        (RejectTicket(id=1), "reject"),
        (RejectTicket(id=1, detail="不属于", productGroupId=7), "reject as product line 7: 不属于"),
    ],
)
def test_words(mutation: Mutation, words: str) -> None:
    """A line says what would be done, for whom, and with which text."""
    assert words_of(mutation) == words


@pytest.mark.parametrize("nonsense", [None, "close", {"id": 1}, 5])
async def test_no_mutation(nonsense: Any) -> None:
    """What is no mutation is refused by its class, whatever is asked of it."""
    words = f"a {type(nonsense).__name__} is no mutation; use one of CreateTicket, CommentTicket"
    async with make_client() as client:
        with pytest.raises(ConfigError, match=words):
            await client.change(nonsense)
        with pytest.raises(ConfigError, match=words):
            await client.settle(nonsense, 0.0)


def test_places() -> None:
    """All that is done to one ticket is done at one place, whatever its words; so is what one creator creates."""
    comment = CommentTicket(id=1, detail="已 处理")
    there: list[Mutation] = [comment, evolve(comment, detail="别的"), RejectTicket(id=1), CLOSE]
    there = [one if not isinstance(one, CloseTicket) else evolve(one, id=1) for one in there]
    assert len({prepare(one).place for one in there}) == 1
    assert prepare(creation("甲")).place == prepare(creation("乙")).place
    elsewhere: list[Mutation] = [comment, evolve(comment, id=2), creation(), evolve(creation(), reported_time=7)]
    assert len({prepare(one).place for one in elsewhere}) == 4


def test_traces() -> None:
    """What leaves the same to be seen has the same trace, blanks aside."""
    comment = CommentTicket(id=1, detail="已 处理")
    alike: list[Mutation] = [comment, evolve(comment, detail=" 已  处理\n"), evolve(comment, productGroupId=3)]
    alike += [RejectTicket(id=1, detail="已 处理"), evolve(CLOSE, detail="已 处理")]
    assert len({prepare(one).trace for one in alike}) == 1
    others: list[Mutation] = [comment, evolve(comment, detail="已处理"), creation(), creation("另一个")]
    assert len({prepare(one).trace for one in others}) == 4
    assert prepare(RejectTicket(id=1)).trace == prepare(evolve(CLOSE, detail=None)).trace


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (CommentTicket(id=1, detail="甲"), CommentTicket(id=1, detail="乙")),
        (CommentTicket(id=1, detail="甲"), CommentTicket(id=2, detail="甲")),
        (CommentTicket(id=1, detail="甲"), CommentTicket(id=1, detail="甲", productGroupId=3)),
        (CommentTicket(id=1, detail="甲"), RejectTicket(id=1, detail="甲")),
        (RejectTicket(id=1), RejectTicket(id=1, productGroupId=3)),
        (RejectTicket(id=1), close_of(1, "姜程")),
        (creation("甲"), creation("乙")),
    ],
)
def test_told_apart(first: Mutation, second: Mutation) -> None:
    """What does something else is another mutation."""
    assert key_of(first) != key_of(second)
    assert key_of(first) == key_of(evolve(first))


@pytest.mark.parametrize(("mutation", "key"), KEYS)
def test_keys_stay(mutation: Mutation, key: str) -> None:
    """A journal of last year still tells what was done."""
    assert key_of(mutation) == key


def test_a_close_is_the_same_whoever_closes() -> None:
    """A ticket is closed once, and rejected once with whatever words."""
    assert key_of(close_of(1, "姜程")) == key_of(close_of(1, "田金秀"))
    assert key_of(RejectTicket(id=1, detail="甲")) == key_of(RejectTicket(id=1, detail="乙"))


def asks_for_the_class(source: str) -> bool:
    """Tell whether a text asks a value for the class of a mutation."""
    models = {kind.model.__name__ for kind in kinds.KINDS.values()}
    asking: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            asking.append(node.args[1])
        elif isinstance(node, ast.MatchClass | ast.Compare):
            asking.append(node)
    names = {part.id for node in asking for part in ast.walk(node) if isinstance(part, ast.Name)}
    return not models.isdisjoint(names)


def test_nothing_else_asks_for_the_class() -> None:
    """All that is done to a mutation by its kind is read from its row."""
    package = Path(str(kinds.__file__)).parent.parent
    assert [path.name for path in package.rglob("*.py") if asks_for_the_class(path.read_text("utf-8"))] == []
    assert asks_for_the_class("isinstance(one, CloseTicket | RejectTicket)")
    assert asks_for_the_class("match one:\n    case CreateTicket():\n        pass")
    assert asks_for_the_class("type(one) is CommentTicket")
