"""What tests of mutations are given."""

from collections.abc import AsyncIterator

import pytest

from workorder_async.sandbox import Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Give a sandbox with a few tickets."""
    async with Sandbox(40) as sandbox:
        yield sandbox
