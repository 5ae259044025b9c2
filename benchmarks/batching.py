"""Row batch: how near a batch of closes with a journal comes to the ideal, at 50 ms a request and 16 in flight."""

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import orjson

from benchmarks.measuring import Comparison, Contestant, Plan, Row, Sample, race
from benchmarks.server import canned_server
from benchmarks.walking import client_of, course
from workorder_async import CloseTicket
from workorder_async.batches.batch import run_batch
from workorder_async.batches.outcomes import State
from workorder_async.document.endpoints import CLOSE_TICKET

_MS = 50
_WORKERS = 16
# 2,000 closes take seven seconds a round.
_MOST_ROUNDS = 5
_TICKETS_PER_CLOSE = 5

_OURS = "run_batch with a journal"
_BARE = f"a bare aiohttp loop, {_WORKERS} workers, no journal"
_WITHOUT = "run_batch without a journal"
_IDEAL = "ideal"


def measure(plan: Plan) -> Row:
    """Measure whole batches, each with a journal of its own, from a new client to the last outcome."""
    count = max(1, plan.tickets // _TICKETS_PER_CLOSE)
    closes = [CloseTicket(id=1 + index, closer_id=1, closer_name="陈以安", solved_time=1) for index in range(count)]
    best = ceil(count / _WORKERS) * _MS / 1000
    with (
        TemporaryDirectory() as folder,
        canned_server(0, "changes") as server,
        course(f"{server}/{_MS}", count) as timed,
    ):
        journal = Path(folder, "journal")

        def journalled(url: str) -> Awaitable[int]:
            journal.unlink(missing_ok=True)
            return _batch(url, closes, journal)

        contestants: dict[str, Contestant] = {
            _IDEAL: lambda: best,
            _OURS: timed(journalled),
            _BARE: timed(lambda url: _bare_loop(url, closes)),
        }
        # The ideal never varies: the bare loop tells whether the machine held still.
        result = race(_BARE, contestants, min(_MOST_ROUNDS, plan.rounds))
        lines = journal.read_bytes().count(b"\n")
        without = Sample((timed(lambda url: _batch(url, closes, None))(),))
    ours = result.seconds[_OURS].median
    return Row(
        "batch",
        f"{count} closes at {_MS} ms, {_WORKERS} in flight, journal",
        f"the ideal, {best * 1000:.0f} ms",
        ">=",
        0.90,
        result.ratio(_IDEAL, _OURS),
        result,
        beside=(
            Comparison(_BARE, result.ratio(_BARE, _OURS)),
            Comparison(_WITHOUT, without.times(1 / ours)),
        ),
        notes=(
            f"the ideal is ceil({count} / {_WORKERS}) rounds of {_MS} ms; taken: {ours * 1000:.0f} ms",
            f"{lines} lines in the journal, which lies where TMPDIR says: in memory, an fsync is free",
        ),
    )


async def _batch(url: str, closes: list[CloseTicket], journal: Path | None) -> int:
    done = 0
    async with (
        client_of(url) as client,
        aclosing(run_batch(client, closes, concurrency=_WORKERS, journal=journal)) as outcomes,
    ):
        async for outcome in outcomes:
            done += outcome.state is State.DONE
    return done


async def _bare_loop(base_url: str, closes: list[CloseTicket]) -> int:
    """Close by as little as any client on aiohttp must do."""
    url = base_url + CLOSE_TICKET.path
    headers = {"Content-Type": "application/json"}
    left = iter(closes)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def work() -> int:
            done = 0
            for close in left:
                body = orjson.dumps({"id": close.id, "closer_id": close.closer_id, "closer_name": close.closer_name})
                async with session.post(url, data=body, headers=headers) as response:
                    done += orjson.loads(await response.read())["errno"] == 10000
            return done

        return sum(await asyncio.gather(*(work() for _ in range(_WORKERS))))
