"""`workorder sign detect` (a command below `sign`): which signing scheme a host uses, found from one request."""

import os
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from cyclopts import Parameter

from workorder_async.cli.connection import APP_ID, SCHEME, SECRET
from workorder_async.cli.terminal.asking import ask, ask_secret, can_ask
from workorder_async.cli.terminal.output import note, tell
from workorder_async.cli.values import ExistingFile
from workorder_async.errors import ConfigError
from workorder_async.protocol.detecting import detect as find_schemes
from workorder_async.protocol.signing import SigningInput
from workorder_async.secret import Secret


def detect(
    *,
    app_id: Annotated[str | None, Parameter(help=f"Its header AppId; by default {APP_ID}.")] = None,
    timestamp: Annotated[str | None, Parameter(help="Its header Timestamp.")] = None,
    sign: Annotated[str | None, Parameter(help="Its header Sign.")] = None,
    method: Annotated[str | None, Parameter(help="Its method; by default POST with a body, else GET.")] = None,
    path: Annotated[str | None, Parameter(help="Its path, or its whole URL.")] = None,
    query: Annotated[str | None, Parameter(help="Its query, such as 'id=1473'; by default that of the URL.")] = None,
    body_file: Annotated[
        ExistingFile | None, Parameter(help="A file that holds exactly the bytes of its body.")
    ] = None,
) -> int:
    """Find the signing scheme from one request that the platform accepted.

    Take AppId, Timestamp and Sign from a request that works, for example of a colleague's script. What is left out of
    these three is asked for on a terminal, and so is the secret, unless WORKORDER_APP_SECRET is set. Method, path,
    query and body are needed only where the signature covers them. Prints each scheme that fits, one a line.
    """
    app_id = app_id or os.environ.get(APP_ID) or _asked("AppId", "--app-id")
    timestamp = timestamp or _asked("Timestamp", "--timestamp")
    sign = sign or _asked("Sign", "--sign")
    secret = Secret(os.environ.get(SECRET, ""))
    if not secret.reveal():
        _require_somebody("Secret", SECRET)
        secret = ask_secret("Secret")
    url = urlsplit(path or "")
    whole = any(part is not None for part in (method, path, query, body_file))
    request = SigningInput(
        method=method or ("POST" if body_file else "GET"),
        path=url.path,
        query=tuple(parse_qsl(url.query if query is None else query, keep_blank_values=True)),
        body=(body_file.read_bytes(),) if body_file else (),
    )
    schemes = find_schemes(
        app_id=app_id, timestamp=timestamp, sign=sign, secret=secret, request=request if whole else None
    )
    for scheme in schemes:
        tell(str(scheme))
    note(_what_next(bool(schemes), whole))
    return 0 if schemes else 1


def _asked(what: str, source: str) -> str:
    """Ask for a header on the terminal. Raises `ConfigError` where there is none."""
    _require_somebody(what, source)
    return ask(what).strip()


def _require_somebody(what: str, source: str) -> None:
    """Raise `ConfigError` where nobody is there to be asked."""
    if not can_ask():
        raise ConfigError(f"{what} is missing; set {source}, or run this on a terminal, where it is asked for")


def _what_next(found: bool, whole: bool) -> str:
    """Return what to do with the schemes that were found, or where none was."""
    if found:
        return f"put the first line that works into the environment: export {SCHEME}='...'; `workorder doctor` tries it"
    rest = "" if whole else "; if the signature covers more, add --method, --path, --query and --body-file"
    return (
        "workorder: no scheme of the catalogue gives this Sign; check that AppId, Timestamp, Sign and secret belong to "
        f"one and the same request, unchanged{rest}; else write a Signer of your own (see workorder_async.Signer)"
    )
