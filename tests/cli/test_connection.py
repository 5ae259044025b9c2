"""cli/connection.py: of whom errnos are known."""

import orjson
import pytest

from tests.support.cli_runs import Workorder, elsewhere
from tests.support.raw_server import http, serving
from workorder_async.sandbox import Sandbox


@pytest.mark.parametrize(("app_id", "error"), [("sandbox-app", "NotFoundError"), ("another-app", "ApiError")])
def test_only_a_sandboxs_errnos_are_known(workorder: Workorder, app_id: str, error: str) -> None:
    """What the sandbox invented has a meaning for its own AppId alone; of a real platform it would be a guess."""
    refused = http(orjson.dumps({"errno": 90005, "errmsg": "no", "request_id": "r-1"}))
    with elsewhere(serving(refused)) as wire:
        ran = workorder("comment", 7, "--detail", "x", "--json", "--base-url", wire.url, "--app-id", app_id)
    assert (ran.code, ran.rows[0]["error"], ran.rows[0]["errno"]) == (1, error, 90005)


def test_the_sandboxs_app_id_is_the_one_that_is_known(sandbox: Sandbox) -> None:
    """The AppId that `workorder sandbox` prints is the one by which the command line knows it."""
    assert sandbox.environment["WORKORDER_APP_ID"] == "sandbox-app"
