"""Pictures, and a page, are made by scripts, and stand beside them as these make them."""

import runpy
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.slow import slow_after

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


@pytest.mark.parametrize("script", slow_after(2, sorted(PICTURES.glob("*.py"))), ids=lambda path: path.name)
def test_picture(script: Path) -> None:
    """A picture is what its script draws, is whole, and loads nothing from elsewhere."""
    drawn, (there,) = runpy.run_path(str(script))["picture"](), script.parent.glob(f"{script.stem}.[sh]*")
    assert drawn == there.read_text("utf-8")
    if there.suffix == ".svg":
        assert ET.fromstring(drawn).tag.endswith("svg")
    assert drawn.count("http:") == drawn.count("http://www.w3.org/2000/svg")
    assert "https:" not in drawn
