"""What tests of batches are given."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.mutations import QUICK
from workorder_async import (
    WorkorderClient,
)
from workorder_async.sandbox import Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Give a sandbox with some twenty pending tickets."""
    async with Sandbox(150) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[WorkorderClient]:
    """Give a client of it."""
    async with sandbox.client(**QUICK) as client:
        yield client


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give a file that does not exist yet."""
    return tmp_path / "batch.journal"
