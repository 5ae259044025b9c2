"""workorder_async.mirror.asking: words of one and two characters, which the full-text index does not have."""

from pathlib import Path

import pytest

from workorder_async.document.codec import Row
from workorder_async.mirror.asking import search_tickets
from workorder_async.mirror.database import MirrorDatabase


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a mirror of three tickets."""
    database = MirrorDatabase(tmp_path / "tickets.db", {})
    database.open()
    database.begin(1)
    texts = [("Ключ Жд", "Über 5%"), ("a_b", "a\0网络"), ("网关", "")]
    rows: list[Row] = [{"id": id, "title": title, "detail": detail} for id, (title, detail) in enumerate(texts, 1)]
    database.write(rows, 2)
    database.close()
    return database.path


@pytest.mark.parametrize(
    ("text", "ids"),
    [("жД", [1]), ("ÜB", [1]), ("%", [1]), ("_", [2]), ("A_", [2]), ("网络", [2]), ("网", [3, 2]), ("\\", [])],
)
def test_short_words(path: Path, text: str, ids: list[int]) -> None:
    """They are found wherever they stand, whatever else the text has; capitals do not matter in any script."""
    assert [found.id for found in search_tickets(path, text)] == ids
