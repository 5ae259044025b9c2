"""All that a server, a gateway and a network may do to comments, at random, in virtual time: none is misreported."""

import asyncio
import json
from collections import Counter
from random import Random
from typing import Any

import aiohttp
import pytest

from tests.support.clients import make_client
from tests.support.raw_server import data, http, serving
from tests.support.slow import slow_after
from tests.support.virtual_loop import running_loop, virtual_time
from workorder_async import ApiError, CommentTicket, NotSentError, OutcomeUnknownError, WorkorderClient, WorkorderError

DONE = data({"id": 5})
#: What is said of a comment that was carried out, beside the truth.
LIES = {
    "403": http("<html>denied</html>", "403 No"),
    "401": http("", "401 No"),
    "404": http("nothing here", "404 No"),
    "500": http('{"errno":10000,"data":{}}', "500 No"),
    "502": http("<html>bad</html>", "502 Bad"),
    "503": http('{"errno":23000}', "503 Busy", Retry_After="1"),
    "half": DONE[:-10],
    "nothing": b"",
    "no JSON": http("{"),
    "no HTTP": b"garbage\r\n\r\n",
}
#: What follows an answer, on the same connection.
STRAY = [DONE, DONE[:9], DONE[:-3], b"\r\n" + DONE, data(None, errno=5), LIES["403"]]


class Mix:
    """A server that carries comments out or not, says so or not, and keeps what it did."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.carried_out: Counter[str] = Counter()

    def answer(self, body: bytes) -> tuple[bytes, bool]:
        """Carry a comment out or not; return what is said, and whether the connection is then closed."""
        detail, draw = str(json.loads(body)["detail"]), self.random.random()
        if draw < 0.1:
            return data(None, errno=5), False
        if draw < 0.15:
            return http("slow", "429 Slow", Retry_After="0"), False
        if draw < 0.2:
            return LIES[self.random.choice(list(LIES))], True
        self.carried_out[detail] += 1
        if draw < 0.3:
            return LIES[self.random.choice(list(LIES))], True
        if draw < 0.45:
            return DONE + self.random.choice(STRAY), False
        return DONE, draw < 0.55


@pytest.mark.parametrize("brings", slow_after(1, [1, 0, 3]))
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
@virtual_time
async def test_comments(seed: int, brings: int) -> None:
    """What is said to be done was done once; what is said not to have happened did not; nothing is done twice."""
    mix, told = Mix(seed), dict[str, WorkorderError | None]()

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said, closes = mix.answer(wire.requests[-1].partition(b"\r\n\r\n")[2])
        await asyncio.sleep(mix.random.choice([0, 0.01, 0.2]))
        writer.write(said)
        if closes:
            writer.close()

    options: dict[str, Any] = {"attempt_timeout": 3, "deadline": 60, "now": running_loop().wall_clock}
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=brings)) if brings else None
    async with serving(step) as wire, make_client(wire.url, session=session, **options) as client:
        await asyncio.gather(*(work(client, told, worker, 25) for worker in range(8)))
    if session is not None:
        await session.close()
    assert max(mix.carried_out.values()) == 1
    for detail, failure in told.items():
        assert failure is None or isinstance(failure, ApiError | NotSentError | OutcomeUnknownError)
        if not isinstance(failure, OutcomeUnknownError):
            assert mix.carried_out[detail] == (failure is None), repr(failure)
    unknown = sum(isinstance(failure, OutcomeUnknownError) for failure in told.values())
    # As many as were answered by a lie, and few more.
    assert unknown <= 0.25 * len(told)


async def work(client: WorkorderClient, told: dict[str, WorkorderError | None], worker: int, times: int) -> None:
    """Comment, one after the other."""
    for number in range(times):
        comment = CommentTicket(id=1, detail=f"{worker} {number}")
        told[comment.detail] = None
        try:
            await client.comment_ticket(comment)
        except WorkorderError as error:
            told[comment.detail] = error
