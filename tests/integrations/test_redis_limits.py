"""redis_limits.py: one rate for several clients and processes, against a Valkey of one's own."""

import asyncio
import json
import logging
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from traceback import TracebackException
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.observed import failing_log
from tests.support.rows import each
from tests.support.slow import slow_after
from tests.support.valkey import Valkey
from workorder_async import ConfigError, NotSentError, TurnTimeoutError
from workorder_async.extras import install_line
from workorder_async.integrations import redis_limits
from workorder_async.integrations.redis_limits import RedisLimits
from workorder_async.sandbox import Sandbox

# What was measured: `pytest -m torture --log-cli-level=INFO tests/integrations`.
logger = logging.getLogger(__name__)

RATE, PROCESSES, TASKS = 100, 3, 16
# What a turn is away from the one before, at that rate.
APART = 1 / (RATE * 0.97)
PASSWORD = "pa55-of-redis"
NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
async def valkey(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[Valkey]:
    """Give a server that runs."""
    server = Valkey(tmp_path, unused_tcp_port)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator["Redis"]:
    """Give a look into that server."""
    async with Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


def soon(seconds: float = 20) -> float:
    """Return a moment of the loop's clock."""
    return asyncio.get_running_loop().time() + seconds


async def took(limits: RedisLimits, turns: int = 1) -> float:
    """Take turns; return how long that took."""
    began = time.monotonic()
    for _ in range(turns):
        await limits.acquire(soon())
    return time.monotonic() - began


async def scripts_run(redis: "Redis") -> int:
    """Return how often a script was run."""
    stats: dict[str, Any] = await redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval"))


async def stored(redis: "Redis", key: str = "{workorder}:turn") -> int:
    """Return the next turn, in microseconds of the server's clock."""
    return int(str(await redis.get(key)).split()[1])


async def test_a_rate(valkey: Valkey, redis: "Redis") -> None:
    """By the server's own record each turn is as far from the one before as the rate says; one script call each."""
    apart = round(2e6 / 0.97)
    async with RedisLimits(valkey.url, rate=0.5) as limits:
        assert await limits._ask(60) == [0, 0]
        first = await stored(redis)
        for number in range(1, 21):
            pause, away = await limits._ask(60)
            assert await stored(redis) == first + number * apart
            # Asking takes its time, too.
            assert (pause, away <= number * apart / 1e6) == (0, True)
    # The script is loaded once, which takes two calls.
    assert await scripts_run(redis) == 22


async def test_several_keep_one_rate(valkey: Valkey, redis: "Redis") -> None:
    """Those of one name share, in turn; one of another name is by itself."""
    apart = round(2e6 / 0.97)
    async with AsyncExitStack() as stack:
        first, second, other = [
            await stack.enter_async_context(RedisLimits(valkey.url, rate=0.5, name=name)) for name in ("a", "a", "b")
        ]
        await first._ask(60)
        began, alone = await stored(redis, "{a}:turn"), []
        for _ in range(5):
            (_, sooner), (_, later), (_, by_itself) = [await one._ask(60) for one in (first, second, other)]
            assert sooner < later
            alone.append(by_itself)
        assert await stored(redis, "{a}:turn") == began + 10 * apart
        assert alone[-1] <= 4 * apart / 1e6


async def test_several_turns_of_one_call(valkey: Valkey, redis: "Redis") -> None:
    """They are as far apart as turns of several calls, and only those are reserved that the caller can wait for."""
    async with RedisLimits(valkey.url, rate=0.97) as limits:
        apart = limits._apart
        pause, *turns = await limits._ask(60, 5)
        assert pause == 0
        assert turns == pytest.approx([number * apart for number in range(5)])
        before = await stored(redis)
        assert await limits._ask(1, 5) == [0]
        assert await stored(redis) == before
        _, *turns = await limits._ask(7.5 * apart, 100)
        assert len(turns) in (2, 3)
        assert await stored(redis) == before + round(len(turns) * apart * 1e6)


@pytest.mark.parametrize("hours", [0.01, 24 * 365])
async def test_a_clock_that_was_set_back(valkey: Valkey, redis: "Redis", hours: float) -> None:
    """The queue keeps its length: what was stored before the step is as far away as it was then."""
    seconds, micros = await redis.time()
    then = seconds * 10**6 + micros + round(hours * 3600e6)
    await redis.set("{workorder}:turn", f"{then} {then + 400_000}", px=10**9)
    async with RedisLimits(valkey.url, rate=RATE) as limits:
        _, away = await limits._ask(60)
        assert away == pytest.approx(0.4)
        await limits.acquire(soon())
        for _ in range(20):
            await limits.acquire(soon())


@pytest.mark.parametrize(
    "value",
    slow_after(3, ["9" * 30, f"0 {10**17}", f"{10**17} {10**18}", "", "x", "1e30 1e30", "-5 -5", "nan inf", "5"]),
)
async def test_what_no_queue_can_hold(valkey: Valkey, redis: "Redis", value: str) -> None:
    """Whatever is stored, no turn is further away than ten thousand turns."""
    await redis.set("{workorder}:turn", value)
    async with RedisLimits(valkey.url, rate=1e6) as limits:
        pause, away = await limits._ask(1e9)
        assert (pause, away <= 10_000 * limits._apart) == (0, True)
        await limits.acquire(soon())


async def test_a_pause_of_ten_days(valkey: Valkey, redis: "Redis") -> None:
    """It is as long as a pause may be, from when it is first seen."""
    await redis.set("{workorder}:pause", 1, px=10 * 86_400_000)
    async with RedisLimits(valkey.url, rate=RATE) as limits:
        with pytest.raises(TurnTimeoutError) as caught:
            await limits.acquire(soon())
        assert caught.value.pause == 300
        assert await redis.pttl("{workorder}:pause") <= 300_000
    async with RedisLimits(valkey.url, rate=RATE, longest_pause=0.05) as limits:
        await limits.acquire(soon())
        await redis.delete("{workorder}:pause")
        limits.pause(10 * 86_400)
        await asyncio.gather(*limits._telling)
        assert await redis.pttl("{workorder}:pause") <= 50


async def test_clients_with_bounds_of_their_own(valkey: Valkey, redis: "Redis") -> None:
    """Each obeys a pause for as long as its own bound, once; it is made shorter for no other client."""
    async with (
        RedisLimits(valkey.url, rate=RATE) as patient,
        RedisLimits(valkey.url, rate=RATE, longest_pause=0.8) as hasty,
        RedisLimits(valkey.url, rate=RATE) as other,
    ):
        patient.pause(60)
        await asyncio.gather(*patient._telling)
        with pytest.raises(TurnTimeoutError) as caught:
            await hasty.acquire(asyncio.get_running_loop().time())
        assert 0 < caught.value.pause <= 0.8
        await hasty.acquire(soon())
        assert (await hasty._ask(-1))[0] == 0
        assert 50_000 < await redis.pttl("{workorder}:pause") <= 60_000
        with pytest.raises(TurnTimeoutError) as caught:
            await other.acquire(soon())
        assert 50 < caught.value.pause <= 60
        # The end of a pause is not obeyed a second time, and a new one is.
        await redis.pexpire("{workorder}:pause", 5000)
        assert (await hasty._ask(-1))[0] == 0
        other.pause(4)
        await asyncio.gather(*other._telling)
        assert 0 < (await hasty._ask(-1))[0] <= 0.8


async def test_a_burst(valkey: Valkey) -> None:
    """After a rest so many start at once, and no more."""
    async with RedisLimits(valkey.url, rate=2, burst=5) as limits:
        began = time.monotonic()
        assert await took(limits, 5) < 1.5  # one after the other they would take two seconds
        await took(limits, 2)
        assert time.monotonic() - began >= 1


async def test_a_server_that_forgot_the_script(valkey: Valkey, redis: "Redis") -> None:
    """It is told again, within the same call."""
    async with RedisLimits(valkey.url, rate=RATE) as limits:
        await limits.acquire(soon())
        await redis.script_flush()
        await limits.acquire(soon())


async def test_keys_do_not_stay(valkey: Valkey, redis: "Redis") -> None:
    """Both keys are named after the limits, and expire by themselves."""
    async with RedisLimits(valkey.url, rate=1, name="night") as limits:
        await limits.acquire(soon())
        limits.pause(0.9)
    ages = {key: await redis.pttl(key) for key in await redis.keys()}
    assert ages.keys() == {"{night}:turn", "{night}:pause"}
    assert all(0 < age <= 1050 for age in ages.values())


async def test_a_turn_beyond_the_deadline(valkey: Valkey) -> None:
    """It is refused at once, and not reserved: who can wait has it."""
    async with RedisLimits(valkey.url, rate=1) as limits:
        await limits.acquire(soon())
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(TurnTimeoutError) as caught:
                await limits.acquire(soon(0.4))
            assert caught.value.pause == 0
        assert time.monotonic() - began < 3 * 0.4
        assert await took(limits) < 3


async def test_a_pause_is_for_all(valkey: Valkey) -> None:
    """It is obeyed by all, not made shorter by a shorter one, and told to whoever cannot wait for its end."""
    async with RedisLimits(valkey.url, rate=RATE) as told, RedisLimits(valkey.url, rate=RATE) as other:
        await took(other)
        began = time.monotonic()
        told.pause(0.6)
        await asyncio.gather(*told._telling)
        told.pause(0.1)
        await asyncio.gather(*told._telling)
        with pytest.raises(TurnTimeoutError) as caught:
            await other.acquire(soon(0.2))
        assert caught.value.pause == pytest.approx(0.6, abs=0.2)
        await asyncio.gather(took(other), took(told))
        assert time.monotonic() - began >= 0.59


async def test_a_pause_while_one_sleeps(valkey: Valkey) -> None:
    """Who reserved a turn long before sees the pause when it comes, and starts after it."""
    async with RedisLimits(valkey.url, rate=3) as told, RedisLimits(valkey.url, rate=3) as other:
        await took(other)
        sleeps = asyncio.create_task(took(other))
        while await other._redis.exists("{workorder}:turn") and await other._redis.pttl("{workorder}:turn") < 400:
            pass
        told.pause(0.8)
        assert await sleeps >= 0.75


async def test_cancelled_while_waiting(valkey: Valkey) -> None:
    """Nobody else waits for more than the turn that was given away."""
    async with RedisLimits(valkey.url, rate=5) as limits:
        await took(limits)
        gone = asyncio.create_task(limits.acquire(soon()))
        while await limits._redis.pttl("{workorder}:turn") < 250:
            pass
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await took(limits) <= 1


class Fleet:
    """Processes of several tasks each, which share limits and comment on tickets of one sandbox."""

    def __init__(self, workers: list[asyncio.subprocess.Process]) -> None:
        self.workers = workers

    async def run(self) -> tuple[list[float], list[str]]:
        """Let them work to the end; return how long requests waited for their turns, and which calls failed."""
        told = await asyncio.gather(*(worker.communicate(b"\n") for worker in self.workers))
        said = [json.loads(out) for out, _ in told]
        return [wait for one in said for wait in one["queued"]], [text for one in said for text in one["failures"]]


@asynccontextmanager
async def fleet(sandbox: Sandbox, valkey: Valkey, seconds: float) -> AsyncIterator[Fleet]:
    """Start the processes; they wait until they are run, and none outlives this."""
    arguments = ["-m", "tests.support.limited_worker", valkey.url, str(RATE), str(TASKS), str(seconds)]
    workers: list[asyncio.subprocess.Process] = []
    pipe = asyncio.subprocess.PIPE
    try:
        for _ in range(PROCESSES):
            environment = {**os.environ, **sandbox.environment}
            workers.append(
                await asyncio.create_subprocess_exec(
                    sys.executable, *arguments, stdin=pipe, stdout=pipe, env=environment
                )
            )
        for worker in workers:
            assert worker.stdout is not None
            assert await worker.stdout.readline() == b"ready\n"
        yield Fleet(workers)
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.kill()
                await worker.communicate()


LONG = [pytest.mark.torture, pytest.mark.timeout(120)]


# While a suite runs beside, processes and server come late again and again.
@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "used", "refused"), [(3, 0.8, 0.05), pytest.param(30, 0.95, 0.01, marks=LONG)])
async def test_three_processes(valkey: Valkey, redis: "Redis", seconds: float, used: float, refused: float) -> None:
    """What a server allows is used, hardly anything is turned away, and nobody waits much longer than the others."""
    async with Sandbox(50, rate=RATE) as sandbox, fleet(sandbox, valkey, seconds) as workers:
        began = time.monotonic()
        queued, failures = await workers.run()
        within = [at for at in sandbox.granted if began <= at < began + seconds]
        asked, turned_away = sandbox.requests.total(), sandbox.refused.total()
    scripts = await scripts_run(redis)
    logger.info("%.3f of the rate used, %d of %d turned away", len(within) / RATE / seconds, turned_away, asked)
    logger.info("longest wait %.3f s, %.3f scripts each, load %.1f", max(queued), scripts / asked, os.getloadavg()[0])
    assert failures == []
    assert len(within) >= used * RATE * seconds
    assert turned_away <= refused * asked
    # With everybody served in turn, each of the 48 waits for the other 47.
    assert max(queued) <= (1.5 if used > 0.9 else 3) * (PROCESSES * TASKS - 1) / RATE
    assert scripts <= 1.1 * asked


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3, pytest.param(30, marks=LONG)])
async def test_restarted_in_the_middle(valkey: Valkey, seconds: float) -> None:
    """A server that is killed and started again has forgotten all: no call fails or hangs, and there is no burst."""
    async with Sandbox(50, rate=10 * RATE) as sandbox, fleet(sandbox, valkey, seconds) as workers:
        running = asyncio.create_task(workers.run())
        began = len(sandbox.granted)
        while len(sandbox.granted) < began + seconds * RATE / 3:  # noqa: ASYNC110 - the sandbox tells by its record
            await asyncio.sleep(0.01)
        await valkey.stop()
        killed = time.monotonic()
        await valkey.start()
        _, failures = await asyncio.wait_for(running, seconds + 20)
        granted = sandbox.granted[began:]
    fullest = max(sum(at <= other < at + 1 for other in granted[number:]) for number, at in enumerate(granted))
    gap = max(later - at for at, later in pairwise(granted))
    logger.info("at most %d within a second, longest gap %.3f s, load %.1f", fullest, gap, os.getloadavg()[0])
    assert failures == []
    assert fullest <= 2 * RATE
    assert sum(at > killed for at in granted) >= RATE * seconds / 3


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a silent Redis up sooner."""
    monkeypatch.setattr(redis_limits, "_SILENCE", 0.2)


async def test_gone(valkey: Valkey, hasty: None) -> None:
    """A call fails within a second or so, saying that nothing was sent, why, and what to do; nothing is sent."""
    async with (
        Sandbox(50) as sandbox,
        RedisLimits(valkey.url, rate=RATE) as limits,
        sandbox.client(limits=limits) as client,
    ):
        await client.get_ticket(1001)
        await valkey.stop()
        began = time.monotonic()
        with pytest.raises(NotSentError) as caught:
            await client.get_ticket(1001)
        assert time.monotonic() - began <= 3
        assert caught.value.attempts == 0
        assert str(caught.value).startswith("get_ticket: nothing was sent: the limits at redis://127.0.0.1:")
        assert "start that Redis, mend the URL of RedisLimits, or give it fallback=" in str(caught.value)
        await valkey.start()
        await client.get_ticket(1001)


def told_by(error: BaseException) -> str:
    """Return an error with its causes, and the locals of every frame but of tests."""
    told, chain = "", [error]
    for one in chain:
        told += repr(one) + str(vars(one))
        for frame in TracebackException.from_exception(one, capture_locals=True).stack:
            told += "" if frame.filename == __file__ else str(frame.locals)
        chain += [other for other in (one.__cause__, one.__context__) if other is not None and other not in chain]
    return told


@pytest.mark.slow
@pytest.mark.parametrize("given", ["redis://user:{}@127.0.0.1:{}/0", "redis://127.0.0.1:{1}/0?password={0}"])
@pytest.mark.parametrize("runs", [True, False])
async def test_no_password_is_said(
    tmp_path: Path, unused_tcp_port: int, given: str, runs: bool, caplog: pytest.LogCaptureFixture, hasty: None
) -> None:
    """Neither by the error of a server that is gone or knows another password, nor by `repr`, nor by the log."""
    server = Valkey(tmp_path, unused_tcp_port, "--requirepass", "another")
    if runs:
        await server.start()
    why = "AuthenticationError|ResponseError" if runs else "ConnectionError"
    async with RedisLimits(given.format(PASSWORD, unused_tcp_port), rate=RATE) as limits:
        limits.pause(1)
        with pytest.raises(NotSentError, match=why) as caught:
            await limits.acquire(soon())
        assert PASSWORD not in told_by(caught.value)
        assert PASSWORD not in repr(limits)
        assert f"limits at {server.url} cannot" in str(caught.value)
    assert "other processes could not be told of a pause" in caplog.text
    assert PASSWORD not in caplog.text
    await server.stop()


async def test_a_server_that_says_nothing() -> None:
    """It is given up after a second, and the loop goes on meanwhile."""
    held: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with RedisLimits(f"redis://127.0.0.1:{port}", rate=RATE) as limits:
        began = time.monotonic()
        asking, turns = asyncio.create_task(limits.acquire(soon())), 0
        while not asking.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert time.monotonic() - began >= 0.9
        assert turns >= 30
        with pytest.raises(NotSentError, match="TimeoutError: no answer within 1 s"):
            await asking
    assert held
    for writer in held:
        writer.close()
    server.close()


@pytest.mark.parametrize("moments", slow_after(1, [range(0, 60, 12), range(60)]), ids=["some", "all"])
async def test_cancelled_at_any_moment(valkey: Valkey, moments: range) -> None:
    """Whoever is cancelled while Redis is asked gets no turn: no cancel is lost on its way."""
    async with RedisLimits(valkey.url, rate=0.01) as limits:
        await took(limits)
    for turns in moments:
        async with RedisLimits(valkey.url, rate=0.01) as limits:
            asking = asyncio.create_task(limits.acquire(soon(1e6)))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            async with asyncio.timeout(5):
                await asyncio.wait([asking])
            assert asking.cancelled()


async def test_an_answer_that_takes_a_cancel_away(hasty: None) -> None:
    """As some options of redis-py make it do: Redis is given up all the same."""

    async def ask() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        raise OSError

    async with RedisLimits(NOBODY, rate=RATE) as limits, asyncio.timeout(10):
        with pytest.raises(NotSentError):
            await limits._answer(ask)


@pytest.mark.slow
async def test_fallback(valkey: Valkey, caplog: pytest.LogCaptureFixture, hasty: None) -> None:
    """While the server is gone a share of the rate is used, pauses are kept, and then all is as before."""
    apart = APART * 4
    async with RedisLimits(valkey.url, rate=RATE, fallback=0.25) as limits:
        await took(limits)
        await valkey.stop()
        assert await took(limits) >= 0.15
        assert await took(limits, 20) >= 0.98 * 20 * apart
        limits.pause(0.3)
        assert await took(limits) >= 0.29
        await asyncio.gather(*limits._telling)
        with pytest.raises(TurnTimeoutError):
            await limits.acquire(soon(0))
        await valkey.start()
        assert limits._fallback.looking is not None
        await asyncio.wait_for(limits._fallback.looking, 10)
        asked = await scripts_run(limits._redis)
        await took(limits)
        assert await scripts_run(limits._redis) > asked
    said = [record.message for record in caplog.records if "limits at" in record.message]
    assert len(said) == 2
    assert "cannot be asked, so a share of the rate is used: ConnectionError" in said[0]
    assert said[1].endswith("answer again")


async def test_a_fallback_that_cannot_be_told_of(hasty: None) -> None:
    """A log that fails does not keep it from its work."""
    with failing_log(logging.WARNING):
        async with RedisLimits(NOBODY, rate=RATE, fallback=1) as limits:
            await took(limits, 3)
            assert limits._fallback.looking is not None


async def test_closed_while_a_fallback_is_used(hasty: None) -> None:
    """Nothing is left running."""
    async with RedisLimits(NOBODY, rate=RATE, fallback=1) as limits:
        await took(limits)
    assert limits._fallback.looking is not None
    assert limits._fallback.looking.done()
    with pytest.raises(ConfigError, match="these limits are closed"):
        await limits.acquire(soon())


def test_one_event_loop(hasty: None) -> None:
    """Limits that another loop has used are refused."""
    limits = RedisLimits(NOBODY, rate=RATE, fallback=1)

    async def use() -> None:
        async with asyncio.timeout(10):
            await took(limits)

    asyncio.run(use())
    with pytest.raises(ConfigError, match=r"another event loop; make them inside each asyncio\.run"):
        asyncio.run(use())


@each(
    ("make", "said"),
    [
        (lambda: RedisLimits(NOBODY, rate=0), "rate is 0; it must be a number above 0"),
        (lambda: RedisLimits(NOBODY, rate=1, burst=0), "burst is 0; it must be a whole number"),
        (lambda: RedisLimits(NOBODY, rate=1, fallback=0), "fallback is 0; it must be a number above 0"),
        (lambda: RedisLimits(NOBODY, rate=1, fallback=1.5), "fallback is 1.5; it must be a share of the rate"),
        (lambda: RedisLimits(NOBODY, rate=1, longest_pause=0), "longest_pause is 0; it must be a number above 0"),
        (lambda: RedisLimits(NOBODY, rate=1, name=""), "name is ''; it must be a text"),
        (lambda: RedisLimits(NOBODY, rate=1, name="\ud800"), r"name is '\ud800'; it must be a text"),
        (lambda: RedisLimits(NOBODY, rate=1, name="{a}"), "name is '{a}'; it must be a text"),
        (lambda: RedisLimits("http://a", rate=1), "the URL of RedisLimits must be redis://"),
        (lambda: RedisLimits("redis://", rate=1), "the URL of RedisLimits must be redis://"),
        (lambda: RedisLimits("unix://", rate=1), "the URL of RedisLimits must be redis://"),
        (lambda: RedisLimits(7, rate=1), "the URL of RedisLimits must be redis://"),  # type: ignore[arg-type]
        (lambda: RedisLimits(f"redis://:{PASSWORD}/x@host", rate=1), "the URL of RedisLimits must be redis://"),
        (lambda: RedisLimits("redis://a?socket_timeout=x", rate=1), "of redis://a, has an option that redis-py"),
        (lambda: RedisLimits(f"redis://:{PASSWORD}@a?tls=1", rate=1), "of redis://a, has an option that redis-py"),
        (lambda: RedisLimits(f"redis://:{PASSWORD}@a?ssl_cert_reqs=none", rate=1), "of redis://a, has an option"),
        (lambda: RedisLimits(f"rediss://:{PASSWORD}@a?ssl_cert_reqs=no", rate=1), "of rediss://a, has an option"),
        (lambda: RedisLimits(f"redis://:{PASSWORD}@a?protocol=7", rate=1), "of redis://a, has an option"),
    ],
)
def test_what_cannot_work(make: Callable[[], RedisLimits], said: str) -> None:
    """It is refused by name, and no password is shown."""
    with pytest.raises(ConfigError) as caught:
        make()
    assert said in str(caught.value)
    assert PASSWORD not in told_by(caught.value)


def test_without_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where redis is not installed, the extra is named."""
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=re.escape(install_line("redis"))):
        RedisLimits(NOBODY, rate=1)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rediss://user:pw@redis.example:6380/2", "rediss://redis.example:6380/2"),
        ("unix://user:pw@/run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("redis://[::1]:6379", "redis://[::1]:6379"),
    ],
)
def test_what_is_said_of_a_server(url: str, said: str) -> None:
    """A URL is said without user, password and options."""
    assert repr(RedisLimits(url, rate=1)) == f"RedisLimits({said!r})"
