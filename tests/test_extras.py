"""extras.py: the line that installs what is missing works where it is read."""

import json
from pathlib import Path

import pytest

from workorder_async import extras
from workorder_async.errors import ConfigError


def test_in_a_clone_it_is_the_clone_that_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the clone's folder the line says ".", elsewhere the clone's path, in quotes where that needs them."""
    clone = tmp_path / "a clone"
    clone.mkdir()
    (clone / "pyproject.toml").touch()
    monkeypatch.setattr(extras, "_ROOT", clone)
    monkeypatch.chdir(clone)
    assert extras.install_line("cli") == "pip install '.[cli]'"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    assert extras.install_line("cli") == f"pip install '{clone}[cli]'"


class _Noted:
    """What pip noted of an installed package."""

    def __init__(self, **noted: str) -> None:
        self._noted = noted

    def read_text(self, name: str) -> str | None:
        """Return a file of its metadata."""
        assert name == "direct_url.json"
        return json.dumps(self._noted) if self._noted else None


def test_where_it_was_installed_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that pip installed from a clone names the clone, as long as that is there."""
    clone = tmp_path / "a clone"
    clone.mkdir()
    monkeypatch.setattr(extras, "_ROOT", tmp_path)
    monkeypatch.setattr(extras, "distribution", lambda name: _Noted(url=clone.as_uri()))
    assert extras.install_line("parquet") == "pip install 'workorder-async[parquet]'"
    (clone / "pyproject.toml").touch()
    assert extras.install_line("parquet") == f"pip install '{clone}[parquet]'"
    monkeypatch.chdir(clone)
    assert extras.install_line("parquet") == "pip install '.[parquet]'"


@pytest.mark.parametrize("noted", [{}, {"url": "https://host.invalid/a.whl"}, {"url": "file:///nowhere/a.whl"}])
def test_an_installed_package_is_named(noted: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no clone is known, pip finds the package by its name."""
    monkeypatch.setattr(extras, "_ROOT", tmp_path)
    monkeypatch.setattr(extras, "distribution", lambda name: _Noted(**noted))
    assert extras.install_line("parquet") == "pip install 'workorder-async[parquet]'"


@pytest.mark.parametrize("failure", ["ImportError('x')", "AttributeError('x')", "OSError('x')", "SyntaxError('x')"])
def test_a_module_that_cannot_be_imported(failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises: the parts of a broken installation, as of pyarrow and numpy, fail in many ways."""
    (tmp_path / "broken_part.py").write_text(f"raise {failure}")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"needs broken_part, which cannot be imported \(x\): pip install "):
        extras.extra_module("broken_part", "parquet")
