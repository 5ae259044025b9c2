"""`workorder close --as-creator` with a journal: a creator that the journal tells is not read again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.batches import sealed
from tests.support.cli_changes import sent
from tests.support.cli_runs import SECRET, Ran, Workorder, elsewhere
from tests.support.slow import slow_after
from workorder_async.sandbox import Fault, Sandbox

CREATORS = ["--closer-id", 7, "--as-creator", "--yes", "--json", "--concurrency", 1]


@pytest.fixture
def close(
    workorder: Workorder, sandbox: Sandbox, listed: Callable[..., Path], tmp_path: Path
) -> Callable[..., tuple[Ran, int]]:
    """Return what closes tickets as their creators, with a journal; it gives how that ended, and the tickets read."""

    def closes(ids: list[int], *words: object) -> tuple[Ran, int]:
        before = sandbox.requests["get_ticket"]
        ran = workorder("close", "--from", listed(ids), *CREATORS, "--journal", tmp_path / "j", *words)
        return ran, sandbox.requests["get_ticket"] - before

    return closes


@pytest.fixture
def listed(tmp_path: Path) -> Callable[[list[int]], Path]:
    """Return what writes numbers into a file."""

    def write(ids: list[int]) -> Path:
        (tmp_path / "ids").write_text("\n".join(map(str, ids)))
        return tmp_path / "ids"

    return write


def outcomes(ran: Ran) -> list[str]:
    """Return the outcomes that were printed."""
    return [row["outcome"] for row in ran.rows]


def test_what_was_done_is_not_read_again(close: Callable[..., tuple[Ran, int]], new_ticket: Callable[..., int]) -> None:
    """Each run reads the tickets that are new to the journal, and no other."""
    ids = [new_ticket("姜程"), new_ticket("田金秀"), new_ticket("姜程")]
    ran, reads = close(ids[:2])
    assert (outcomes(ran), reads) == (["done"] * 2, 2)
    ran, reads = close(ids[:2])
    assert (ran.code, outcomes(ran), reads) == (0, ["skipped"] * 2, 0)
    ran, reads = close(ids)
    assert (sorted(outcomes(ran)), reads) == (["done", "skipped", "skipped"], 1)


def test_without_a_journal_all_are_read(
    workorder: Workorder, sandbox: Sandbox, listed: Callable[..., Path], new_ticket: Callable[..., int]
) -> None:
    """The control: nothing is remembered where no journal is."""
    ids = [new_ticket(), new_ticket()]
    before = sandbox.requests["get_ticket"]
    for _ in range(2):
        workorder("close", "--from", listed(ids), *CREATORS)
    assert sandbox.requests["get_ticket"] - before == 4


def test_what_was_cut_short_is_sent_as_it_was(
    close: Callable[..., tuple[Ran, int]], new_ticket: Callable[..., int], sandbox: Sandbox, tmp_path: Path
) -> None:
    """What was begun or not sent is in the journal with its creator: it is settled, or sent, without a read of that."""
    ids = [new_ticket("田金秀"), new_ticket("姜程")]
    sandbox.faults = [Fault("errno", operation="close_ticket", errno=90006, times=1)]
    close(ids)
    sandbox.faults = []
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    # A crash after the second line: the first ticket was begun.
    (tmp_path / "j").write_bytes(sealed(lines[:2]))
    _, reads = close(ids, "--dry-run")
    assert reads == 1
    not_sent = lines[2].replace(b'"REJECTED"', b'"NOT_SENT"')
    (tmp_path / "j").write_bytes(sealed([*lines[:2], not_sent]))
    ran, reads = close(ids[:1])
    assert (outcomes(ran), reads) == (["done"], 0)
    assert sent(sandbox, "close_ticket", ids[0])["closer_name"] == "田金秀"


def test_what_was_refused_is_read_again(
    close: Callable[..., tuple[Ran, int]], new_ticket: Callable[..., int], sandbox: Sandbox
) -> None:
    """The name may be what was refused: it is asked for anew."""
    id = new_ticket()
    sandbox.faults = [Fault("errno", operation="close_ticket", errno=90006, times=1)]
    assert outcomes(close([id])[0]) == ["rejected"]
    sandbox.faults = []
    sandbox._store._db.execute("UPDATE tickets SET creator_name = '姜程程' WHERE id = ?", (id,))
    ran, reads = close([id])
    assert (outcomes(ran), reads) == (["done"], 1)
    assert sent(sandbox, "close_ticket", id)["closer_name"] == "姜程程"


def test_what_could_not_be_read_is_read_again(
    close: Callable[..., tuple[Ran, int]], new_ticket: Callable[..., int]
) -> None:
    """A ticket that nothing was begun with stands in no journal."""
    ids = [new_ticket(), 10**9]
    assert close(ids)[1] == 2
    ran, reads = close(ids)
    assert (ran.code, sorted(outcomes(ran)), reads) == (1, ["not sent", "skipped"], 1)


@pytest.mark.parametrize("ending", slow_after(1, ["--dry-run", "--stop-after=5", "--limit=1"]))
def test_another_batch_tells_no_creators(
    close: Callable[..., tuple[Ran, int]],
    workorder: Workorder,
    new_ticket: Callable[..., int],
    tmp_path: Path,
    ending: str,
) -> None:
    """Whoever closed in a batch of another name is not taken for a ticket's creator."""
    id = new_ticket("田金秀")
    closer = ["--closer-id", 7, "--closer-name", "姜程"]
    assert workorder("close", id, *closer, "--journal", tmp_path / "j").code == 1
    ran, reads = close([id], ending)
    assert (ran.code, "belongs to another batch" in ran.err, reads) == (2, True, 0)


def test_another_platform_tells_no_creators(
    close: Callable[..., tuple[Ran, int]],
    new_ticket: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    other: Sandbox,
    sandbox: Sandbox,
) -> None:
    """A ticket of the same number elsewhere is another ticket."""
    id = new_ticket("姜程")
    assert outcomes(close([id])[0]) == ["done"]
    assert close([id], "--dry-run")[1] == 0
    before = other.requests["get_ticket"]
    for name, value in other.environment.items():
        monkeypatch.setenv(name, value)
    ran, _ = close([id], "--dry-run")
    assert other.requests["get_ticket"] == before
    assert (ran.code, "belongs to another batch (platform" in ran.err) == (2, True)


@pytest.fixture
def other() -> Iterator[Sandbox]:
    """Run a second platform."""
    with elsewhere(Sandbox(0, app_secret=SECRET)) as other:
        yield other


@pytest.mark.parametrize("limit", slow_after(1, [((),), (("--limit", 5),)]))
@pytest.mark.parametrize("kept", [0, 1, 30])
def test_a_journal_whose_first_line_is_torn(
    close: Callable[..., tuple[Ran, int]],
    new_ticket: Callable[..., int],
    tmp_path: Path,
    limit: tuple[object, ...],
    kept: int,
) -> None:
    """A crash may leave a part of the first line: nothing was begun, and the batch begins."""
    (tmp_path / "j").write_bytes(b'{"journal":"workorder_async","version":2,"plat'[:kept])
    ran, reads = close([new_ticket()], *limit)
    assert (ran.code, outcomes(ran), reads) == (0, ["done"], 1)


@pytest.mark.parametrize("content", [b"1473\n", b"1473", b'{"journal":"other"}\n', b"\xff\xfe"])
def test_what_is_no_journal(
    close: Callable[..., tuple[Ran, int]], new_ticket: Callable[..., int], tmp_path: Path, content: bytes
) -> None:
    """Another file is named before any ticket is read, and stays as it is."""
    (tmp_path / "j").write_bytes(content)
    ran, reads = close([new_ticket()])
    assert (ran.code, ran.out, reads, "journal" in ran.err) == (2, "", 0, True)
    assert (tmp_path / "j").read_bytes() == content


def test_what_the_table_shows(
    close: Callable[..., tuple[Ran, int]], new_ticket: Callable[..., int], sandbox: Sandbox, tmp_path: Path
) -> None:
    """The journal's word stands where the status and the change would. Named twice, it is one ticket."""
    id = new_ticket("田金秀")
    close([id])
    ran, reads = close([id, id])
    assert (outcomes(ran), reads) == (["skipped"], 0)
    assert f"{id}\tdone, says the journal\t\tnothing: it is done, says the journal\t" in ran.err
