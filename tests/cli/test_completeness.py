"""cli/completeness.py: where a list may not be complete, that is said, with what to do."""

from collections.abc import Iterator

import pytest

from tests.support.cli_runs import SECRET, elsewhere, runner
from workorder_async.sandbox import Sandbox


@pytest.fixture(scope="module")
def in_tens() -> Iterator[Sandbox]:
    """Run a sandbox that gives ten tickets a page."""
    with elsewhere(Sandbox(120, page_size_cap=10, app_secret=SECRET)) as sandbox:
        yield sandbox


LEFT_AND_ENTERED = "it may not be complete: tickets may have left and entered this filter at once; "


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["export", "--output", "-", "--status", "pending"], "--verify settles it"),
        (["export", "--output", "-", "--status", "pending", "--verify"], ""),
        (["export", "--output", "-"], ""),
        (["export", "--output", "-", "--creator-id", "210002"], ""),
        (["list", "--limit", "0", "--status", "pending"], "`workorder export --verify` settles it"),
        (["list", "--limit", "0", "--status", "pending", "--json"], "`workorder export --verify` settles it"),
        (["list", "--limit", "15", "--status", "pending"], ""),
        (["list", "--limit", "0"], ""),
    ],
)
def test_what_may_not_be_complete_is_said_with_its_remedy(
    in_tens: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: list[str], remedy: str
) -> None:
    """Where tickets may leave and enter a filter meanwhile, that is said once, in the words of the command line."""
    ran = runner(in_tens.environment, monkeypatch, capfd)(*words)
    assert (ran.code, ran.out == "") == (0, False)
    said = [line for line in ran.err.splitlines() if "complete" in line]
    assert said == ([LEFT_AND_ENTERED + remedy] if remedy else [])
    assert "verify=True" not in ran.err
