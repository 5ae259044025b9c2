"""exports/extras.py: the line that installs what is missing works where it is read."""

from pathlib import Path

import pytest

from workorder_async.exports import extras


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


def test_an_installed_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not run from a clone, pip finds the package by its name."""
    monkeypatch.setattr(extras, "_ROOT", tmp_path)
    assert extras.install_line("parquet") == "pip install 'workorder-async[parquet]'"
