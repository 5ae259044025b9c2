"""What holds for every test of the sandbox."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_word_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No fault, no habit of a nervous server and no caller that hangs up is an error of the sandbox."""
    yield
    records = [*caplog.get_records("call"), *caplog.records]
    assert [record.getMessage() for record in records if record.levelno >= logging.WARNING] == []
