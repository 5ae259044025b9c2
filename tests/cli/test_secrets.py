"""Where the command line reads the secret, it is wrapped, and it is shown nowhere."""

import traceback
from collections.abc import Callable

import pytest

from tests.support.cli_runs import SECRET, python_c
from workorder_async.cli import connection, terminal
from workorder_async.cli.commands import sign_detect
from workorder_async.cli.commands.doctor import doctor
from workorder_async.cli.commands.list import list_tickets
from workorder_async.cli.connection import Connection
from workorder_async.client import WorkorderClient
from workorder_async.secret import Secret
from workorder_async.signing.scheme import SchemeSigner
from workorder_async.signing.search import Search

FOUR = {
    "WORKORDER_BASE_URL": "http://127.0.0.1:1",
    "WORKORDER_APP_ID": "sandbox-app",
    "WORKORDER_APP_SECRET": SECRET,
    "WORKORDER_SIGN_SCHEME": "md5:{app_id}{timestamp}{secret}",
}


def fail(*arguments: object, **named: object) -> None:
    """Stand in for what fails."""
    raise ZeroDivisionError


def detect() -> int:
    """Run `sign detect`."""
    return sign_detect.detect(timestamp="1700000000", sign="00" * 16)


@pytest.fixture
def typed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the four variables, or three, with the secret typed on a terminal."""
    for name, value in FOUR.items():
        monkeypatch.setenv(name, value)
    if request.param:
        monkeypatch.delenv("WORKORDER_APP_SECRET")
        for module in (connection, sign_detect):
            monkeypatch.setattr(module, "can_ask", lambda: True)
        monkeypatch.setattr(terminal, "getpass", lambda *arguments: SECRET)


@pytest.mark.parametrize("typed", [False, True], indirect=True)
@pytest.mark.parametrize("command", [list_tickets, doctor, detect])
@pytest.mark.usefixtures("typed")
def test_no_frame_holds_the_secret_bare(monkeypatch: pytest.MonkeyPatch, command: Callable[[], int]) -> None:
    """A traceback with locals, as `rich` and Sentry show it, holds no secret, read or typed, and no other variable."""
    monkeypatch.setenv("OTHER_PASSWORD", "hunter-2")
    monkeypatch.setattr(WorkorderClient, "__init__", fail)
    monkeypatch.setattr(SchemeSigner, "__init__", fail)
    monkeypatch.setattr(Search, "run", fail)
    with pytest.raises(ZeroDivisionError) as failure:
        command()
    frames = [frame for frame, _ in traceback.walk_tb(failure.value.__traceback__)]
    ours = [frame.f_locals for frame in frames if "/workorder_async/cli/" in frame.f_code.co_filename]
    assert ours
    shown = repr(ours)
    assert SECRET not in shown
    assert "hunter-2" not in shown


@pytest.mark.parametrize("typed", [False, True], indirect=True)
@pytest.mark.usefixtures("typed")
def test_the_environment_is_four_variables() -> None:
    """A connection takes four variables, with the options over them, and the secret wrapped."""
    environ, _ = Connection(app_id="other").found()
    secret = environ["WORKORDER_APP_SECRET"]
    assert isinstance(secret, Secret)
    assert secret.reveal() == SECRET
    assert {**environ, "WORKORDER_APP_SECRET": ""} == {**FOUR, "WORKORDER_APP_ID": "other", "WORKORDER_APP_SECRET": ""}
    assert SECRET not in repr(environ)


@pytest.mark.slow
def test_help_of_the_command_line_shows_no_variable() -> None:
    """Python's help on any module, function or class of the command line shows no environment variable."""
    code = """
import os, pkgutil, pydoc, inspect, sys
from importlib import import_module
import workorder_async.cli as cli
shown = ""
for found in pkgutil.walk_packages(cli.__path__, "workorder_async.cli."):
    module = import_module(found.name)
    shown += pydoc.render_doc(module)
    for value in vars(module).values():
        if callable(value) and getattr(value, "__module__", "").startswith("workorder_async.cli"):
            shown += repr(getattr(value, "__defaults__", None)) + repr(getattr(value, "__kwdefaults__", None))
print("Connection" in shown, os.environ["WORKORDER_APP_SECRET"] in shown, "environ({" in shown)
"""
    assert python_c(code, FOUR).out == "True False False\n"
