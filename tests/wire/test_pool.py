"""attempt.py, its pool: which session sends, and that a closed client sends nothing more."""

import asyncio

import aiohttp
import pytest

from workorder_async import ConfigError
from workorder_async.wire.attempt import Pool
from workorder_async.wire.options import client_options


async def test_opened_once() -> None:
    """The session is made when first asked for, is the same afterwards, and is closed."""
    pool = Pool(client_options())
    assert pool.http is None
    session = pool.opened()
    assert pool.opened() is session
    await pool.aclose()
    assert session.closed


@pytest.mark.parametrize("brings", [False, True])
async def test_a_closed_client_opens_nothing(brings: bool) -> None:
    """What still waited for its turn is not sent, over a new session or the one that was brought along."""
    async with aiohttp.ClientSession() as brought:
        pool = Pool(client_options(session=brought if brings else None))
        await pool.aclose()
        with pytest.raises(ConfigError, match="this client is closed"):
            pool.opened()
        with pytest.raises(ConfigError, match="this client is closed"):
            pool.check_usable()
        assert not brought.closed


async def test_one_loop() -> None:
    """A client is used in the event loop where it was used first."""
    pool = Pool(client_options())
    pool.check_usable()

    async def check() -> None:
        pool.check_usable()

    with pytest.raises(ConfigError, match="belongs to another event loop"):
        await asyncio.to_thread(asyncio.run, check())
