"""What every test may ask for: a client, a network from which nothing leaves, and one profile for hypothesis."""

import gc
import os
from collections.abc import AsyncIterator, Generator, Iterator
from itertools import count
from unittest.mock import Mock

import pytest
from aiohttp import ClientResponse
from aioresponses import aioresponses, core
from hypothesis import settings

from tests.support.clients import make_client
from tests.support.ports import held_port
from workorder_async import WorkorderClient

# How long an example takes is no property. `.ci/run` tries more examples, `--hypothesis-profile=thorough`, and the same
# ones each time: they decide whether a change lands.
settings.register_profile("quick", deadline=None, max_examples=20, derandomize="CI" in os.environ)
settings.register_profile("thorough", deadline=None, max_examples=100, derandomize="CI" in os.environ)
settings.load_profile("quick")

_BEGUN = count(1)  # tests

# Whoever runs the tests may use the library, too. `WORKORDER_TEST_...` are for the tests.
for _name in [name for name in os.environ if name.startswith("WORKORDER_") and "_TEST_" not in name]:
    del os.environ[_name]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while tests are collected: there is none, and the heap is looked through again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Leave what was collected out of every later garbage collection: it lives to the end, and is most of the heap."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """Now and then collect garbage, and leave out of later collections what was imported and remembered meanwhile."""
    if next(_BEGUN) % 200 == 0:
        gc.collect()
        gc.freeze()


class _Response(ClientResponse):
    """What aioresponses 0.7.9 makes its answers of: aiohttp 3.14 wants a writer, which it does not pass."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """Stand in for the network: no request leaves."""
    monkeypatch.setattr(core, "ClientResponse", _Response)
    with aioresponses() as answers:
        yield answers


@pytest.fixture
def unused_tcp_port() -> Iterator[int]:
    """Give a port where nobody listens; that of pytest-asyncio may be given to another server meanwhile."""
    with held_port() as port:
        yield port


@pytest.fixture
async def client() -> AsyncIterator[WorkorderClient]:
    """Give a client of a host that does not exist."""
    async with make_client() as client:
        yield client
