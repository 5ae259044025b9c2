"""`workorder sign detect`: which schemes it finds, and what it says where it finds none."""

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli_runs import SECRET, Ran, Workorder, elsewhere
from workorder_async.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run one sandbox for the tests of this file; none of them changes a ticket."""
    with elsewhere(Sandbox(5, app_secret=SECRET)) as sandbox:
        yield sandbox


def _detect(workorder: Workorder, sign: str, *words: object) -> Ran:
    return workorder("sign", "detect", "--timestamp", "1700000000", "--sign", sign, *words)


def test_a_scheme_is_found(workorder: Workorder) -> None:
    """`sign detect` prints each scheme that fits on stdout, and on stderr where to put it."""
    sign = hashlib.md5(f"other1700000000{SECRET}".encode()).hexdigest()
    ran = _detect(workorder, sign.upper(), "--app-id", "other")
    assert (ran.code, ran.out) == (0, "md5,HEX:{app_id}{timestamp}{secret}\n")
    assert "export WORKORDER_SIGN_SCHEME=" in ran.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--path", "/a/b", "--query", "x=1&id=7"], "sandbox-app1700000000GET/a/bid=7&x=1"),
        (["--path", "http://host:80/a/b?x=1&id=", "--method", "PUT"], "sandbox-app1700000000PUT/a/bid=&x=1"),
        (["--path", "/a/b", "--body-file"], 'sandbox-app1700000000POST/a/b{"id":7}'),
    ],
)
def test_the_rest_of_a_request_may_be_signed(workorder: Workorder, tmp_path: Path, words: list[str], text: str) -> None:
    """Method, path, query and body are taken in where they are given; the AppId comes from the environment."""
    (tmp_path / "body").write_bytes(b'{"id":7}')
    sign = hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()
    more = [*words, tmp_path / "body"] if words[-1] == "--body-file" else words
    ran = _detect(workorder, sign, *more)
    assert ran.code == 0
    assert ran.out.startswith("hmac-sha256:{app_id}{timestamp}{method}{path}")


def test_no_scheme_is_a_failure_with_advice(workorder: Workorder) -> None:
    """Where none fits, the exit code is 1, and the advice depends on what was given."""
    bare, whole = _detect(workorder, "0" * 32), _detect(workorder, "0" * 32, "--method", "GET")
    assert (bare.code, bare.out, whole.code, whole.out) == (1, "", 1, "")
    assert "add --method, --path, --query and --body-file" in bare.err
    assert "add --method" not in whole.err
    assert "write a Signer of your own" in whole.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sign", "x", "--timestamp", "1700000000"], "Sign 'x' is neither hex nor base64"),
        (["--sign", "00"], "Timestamp is missing; set --timestamp"),
        (["--timestamp", "1700000000"], "Sign is missing; set --sign"),
    ],
)
def test_a_header_that_cannot_be_is_wrong_usage(workorder: Workorder, words: list[str], said: str) -> None:
    """Missing or broken headers exit with 2; nobody is asked where there is no terminal."""
    ran = workorder("sign", "detect", *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
