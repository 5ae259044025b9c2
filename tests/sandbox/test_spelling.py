from collections import defaultdict
from typing import Any

import orjson
import pytest

from tests.support.sandbox_faults import comment
from tests.support.sandbox_files import FORM_TYPE, form
from tests.support.sandbox_wire import Clock, ticket_request, wired
from workorder_async.document import JSON
from workorder_async.sandbox import Sandbox
from workorder_async.sandbox.shapes import speller


async def answers(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Ask every endpoint, and return the envelopes."""
    async with wired(sandbox) as wire:
        wire.time = sandbox._clocks.clock
        got = [await wire.post("list_tickets", {"page": page, "page_size": 50}) for page in (1, 2, 3, 4)]
        for id in (1001, 1044, 1150):
            got += [await wire.get("base", id=id), await wire.get("detail", id=id)]
        got.append((await wire.send("POST", "upload_file", form(b"hello"), content_type=FORM_TYPE)).envelope)
        got.append(await wire.post("create", ticket_request() | {"tags": [1, 2]}))
        got += [(await comment(wire)).envelope, await wire.get("base", id=7)]
    return got


def meaning(name: str, value: Any) -> Any:
    """Return what a value means, however it is spelled; what no two answers share means nothing."""
    if name in {"request_id", "file_path"}:
        return None
    if name == "form_values" and isinstance(value, str):
        value = orjson.loads(value)
    if isinstance(value, dict):
        return {key: meaning(key, one) for key, one in value.items()}
    if isinstance(value, list):
        texts = all(isinstance(one, str) for one in value)
        return meaning(name, ",".join(value)) if texts else [meaning(name, one) for one in value]
    text = {"": "0", "true": "1", "false": "0"}.get(str(value).lower(), str(value).removesuffix(".0"))
    if not text.lstrip("-").isdecimal():
        return text
    number = int(text)
    return number // 1000 if name.endswith("_time") and number >= 10**11 else number


async def test_java_means_the_same() -> None:
    """Each endpoint's answer, spelled as Java may, has the meaning of the one that the API document spells."""
    clock = Clock()
    java = await answers(Sandbox(200, spelling="java", clock=clock))
    document = await answers(Sandbox(200, clock=clock))
    assert [meaning("", one) for one in java] == [meaning("", one) for one in document]
    assert java != document


async def test_java_writes_each_kind_in_each_way() -> None:
    """On two hundred rows every spelling comes, and rows of one page differ."""
    java = await answers(Sandbox(200, spelling="java"))
    kinds = defaultdict(set)
    for envelope in java[:4]:
        for row in envelope["data"]["tickets"]:
            for name, value in row.items():
                kinds[name].add(type(value))
    seconds = [float(row["created_time"]) for envelope in java[:4] for row in envelope["data"]["tickets"]]
    empty = [row["closed_time"] for envelope in java[:4] for row in envelope["data"]["tickets"]]
    assert kinds["id"] == kinds["handler"] == kinds["type"] == kinds["created_time"] == {int, str, float}
    assert kinds["need_process"] == {bool, str, int}
    flags = {str(row["need_process"]) for envelope in java[:4] for row in envelope["data"]["tickets"]}
    assert flags == {"True", "False", "true", "false", "0", "1"}
    assert kinds["form_values"] == {str, dict}
    assert kinds["tags"] == {str, list}
    assert kinds["status"] == kinds["priority"] == {str, int}
    assert kinds["title"] == kinds["creator_name"] == {str}
    assert min(seconds) < 10**10 < 10**12 < max(seconds)
    assert {"", 0, "0"} <= set(empty)
    assert {type(one["errno"]) for one in java} == {int, str}
    assert {type(one["request_id"]) for one in java} == {int, str}
    details = [one["data"] for one in java[5:10:2]]
    assert {type(one["form_values"]) for one in details} <= {dict, str}


async def test_the_seed_chooses_the_spelling() -> None:
    """The same requests in the same order are spelled in the same way; another seed spells otherwise."""

    async def rows(seed: int) -> list[Any]:
        async with wired(Sandbox(60, spelling="java", seed=seed)) as wire:
            return [(await wire.post("list_tickets", {"page": page}))["data"]["tickets"] for page in (1, 2)]

    first, again, other = await rows(1), await rows(1), await rows(2)
    assert orjson.dumps(first) == orjson.dumps(again)
    assert [[type(one["id"]) for one in page] for page in first] != [
        [type(one["id"]) for one in page] for page in other
    ]


@pytest.mark.parametrize("number", [2**53, 2**53 + 1, -(2**60)])
def test_no_number_is_lost(number: int) -> None:
    """What a float could not hold is never written as one."""
    spell = speller("java", 1)
    numbers: list[JSON] = [number] * 50
    data = spell({"errno": 10000, "errmsg": "OK", "request_id": "0" * 32, "data": numbers})["data"]
    assert isinstance(data, list)
    assert {*map(str, data)} == {str(number)}
    assert {*map(type, data)} == {int, str}


async def test_nothing_is_not_absent() -> None:
    """An absent number may be an empty text, but not the total of an empty list, or the size of an empty file."""
    async with Sandbox(0, spelling="java") as sandbox, sandbox.client() as client:
        assert [await client.count_tickets() for _ in range(20)] == [0] * 20
        assert [(await client.upload_file(b"", file_name="a.txt")).file_size for _ in range(20)] == [0] * 20


def test_the_document_is_spelled_as_it_is() -> None:
    """Without Java an envelope is not touched."""
    envelope: dict[str, JSON] = {"errno": 10000, "data": {"id": 1}}
    assert speller("document", 1)(envelope) is envelope
