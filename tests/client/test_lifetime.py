"""client.py: how long a client is good for, and how much time a call has."""

import asyncio
from typing import Any

import pytest
from aioresponses import aioresponses

from tests.support.clients import API, make_client
from tests.support.rows import each
from tests.support.samples import BASE, CLOSE
from workorder_async import ConfigError, OutcomeUnknownError, TicketQuery, WorkorderClient


async def _nobody_awaits() -> None:
    raise AssertionError


async def test_closed_client(network: aioresponses, client: WorkorderClient) -> None:
    """A closed client says so, however often it was closed."""
    await client.aclose()
    await client.aclose()
    with pytest.raises(ConfigError, match="this client is closed"):
        await client.get_ticket(1)
    # Not "unknown, ask again later": that would be said for ever.
    with pytest.raises(ConfigError, match="this client is closed"):
        await OutcomeUnknownError("lost", mutation=CLOSE, began=1.0).verify(client)


def test_another_event_loop(network: aioresponses) -> None:
    """A client that moves to another event loop is told to be made anew there."""
    network.get(f"{API}/base?id=1204", body=BASE)
    client = make_client()

    async def use_and_keep() -> None:
        await client.get_ticket(1204)

    async def use_again() -> None:
        with pytest.raises(ConfigError, match="another event loop"):
            await client.get_ticket(1204)
        await client.aclose()

    asyncio.run(use_and_keep())
    asyncio.run(use_again())


@each("seconds", [0, -1, float("nan"), True, "3"])
@each(
    "call",
    [
        lambda c, **time: c.ping(**time),
        lambda c, **time: c.list_tickets(TicketQuery(), **time),
        lambda c, **time: c.plan_windows(**time),
        lambda c, **time: c.get_ticket(1, **time),
        lambda c, **time: c.upload_file(b"x", file_name="x", **time),
        lambda c, **time: c.close_ticket(CLOSE, **time),
        lambda c, **time: c.settle(CLOSE, 0.0, **time),
    ],
)
async def test_no_time(network: aioresponses, client: WorkorderClient, call: Any, seconds: Any) -> None:
    """What is no time for a call is refused by its name, and nothing is sent."""
    with pytest.raises(ConfigError, match=rf"deadline is {seconds!r}; it must be a number above 0"):
        await call(client, deadline=seconds)
    assert not network.requests


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda c: c.change(CLOSE, until=5), "until is 5; it must be of the class Deadline"),
        (lambda c: c.change(CLOSE, lane=5), "lane is 5; it must be of the class Lane"),
        (lambda c: c.change(CLOSE, began="x"), "began is 'x'; it must be seconds since the epoch"),
        (lambda c: c.change(CLOSE, patient="no"), "patient is 'no'; it must be True or False"),
        (lambda c: c.change(CLOSE, on_send=5), "on_send is 5; it must be a function, no `async def`"),
        (lambda c: c.change(CLOSE, on_send=_nobody_awaits), "on_send is .*; it must be a function, no `async def`"),
        (lambda c: c.change(CLOSE, on_turned_away=_nobody_awaits), "on_turned_away is .*; it must be a function, no"),
        (lambda c: c.change(CLOSE, may_send="x"), "may_send is 'x'; it must be an `async def`"),
        (lambda c: c.settle(CLOSE, 0.0, patient="no"), "patient is 'no'; it must be True or False"),
        (lambda c: c.settle(CLOSE, 0.0, until=5), "until is 5; it must be of the class Deadline"),
        (lambda c: c.settle(CLOSE, 0.0, lane=5), "lane is 5; it must be of the class Lane"),
        (lambda c: c.get_ticket_detail(1, lane=5), "lane is 5; it must be of the class Lane"),
    ],
)
async def test_what_is_none(network: aioresponses, client: WorkorderClient, call: Any, name: str) -> None:
    """Seconds in place of a deadline that calls share, and the like, are refused by name, and nothing is sent."""
    with pytest.raises(ConfigError, match=name):
        await call(client)
    assert not network.requests
