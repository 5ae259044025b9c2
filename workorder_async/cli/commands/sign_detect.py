"""`workorder sign detect` (a command below `sign`): which signing scheme a host uses, found from one request."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from cyclopts import Parameter

from workorder_async.cli.accepted import Accepted, accepted_requests
from workorder_async.cli.connection import APP_ID, SCHEME, SECRET
from workorder_async.cli.terminal.asking import ask, ask_secret, can_ask
from workorder_async.cli.terminal.output import note, tell
from workorder_async.cli.terminal.progress import Bar
from workorder_async.cli.terminal.running import run
from workorder_async.cli.undetected import advice
from workorder_async.cli.values import ExistingFile, text_or_stdin
from workorder_async.errors import ConfigError
from workorder_async.secret import Secret
from workorder_async.signing.scheme import SigningInput
from workorder_async.signing.search import Detected, detecting as find_schemes


def detect(
    *,
    curl: Annotated[
        str | None,
        Parameter(help="A file with the request as a curl line, or a HAR file of a browser; - reads it from stdin."),
    ] = None,
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

    Take a request that works, for example of a colleague's script: pasted as a curl line, with --curl, or its AppId,
    Timestamp and Sign. What is left out of these three is asked for on a terminal, and so is the secret, unless
    WORKORDER_APP_SECRET is set. Method, path, query and body are needed only where the signature covers them. Prints
    each scheme that fits, one a line; where --curl has several requests, those that fit them all. Nothing is sent.
    """
    rest = (method, path, query, body_file)
    if curl is not None:
        if any(option is not None for option in (app_id, timestamp, sign, *rest)):
            raise ConfigError("--curl has the whole request; leave out the other options")
        requests = accepted_requests(_text_of(curl))
        whole = True
    else:
        whole = any(option is not None for option in rest)
        request = _request(method, path, query, body_file)
        app_id = app_id or os.environ.get(APP_ID) or _asked("AppId", "--app-id")
        timestamp = timestamp or _asked("Timestamp", "--timestamp")
        requests = [Accepted(app_id, timestamp, sign or _asked("Sign", "--sign"), request)]
    secret = Secret(os.environ.get(SECRET, ""))
    if not secret.reveal():
        _require_somebody("Secret", SECRET)
        secret = ask_secret("Secret")
    return run(_report(requests, secret, whole=whole))


async def _report(requests: Sequence[Accepted], secret: Secret, *, whole: bool) -> int:
    """Search for the schemes of the first request, print those that fit all of them, and return the exit code."""
    first = requests[0]
    found = await _found(first, secret, whole=whole)
    schemes = [
        scheme
        for scheme in found.schemes
        if all(
            scheme.signature(one.request, app_id=one.app_id, secret=secret, timestamp=one.timestamp) == one.sign
            for one in requests[1:]
        )
    ]
    for scheme in schemes:
        tell(str(scheme))
    if schemes:
        note(f"put the first line into the environment: export {SCHEME}='...'; `workorder doctor` tries it")
        if found.deciding and (len(schemes) > 1 or len(requests) == 1):
            note(f"to be sure, put further requests into the file for --curl: {'; '.join(found.deciding)}")
    elif found.schemes:
        note(f"workorder: no scheme fits all {len(requests)} requests; these fit the first one:")
        for scheme in found.schemes:
            note(f"  {scheme}")
    else:
        for paragraph in advice(app_id=first.app_id, sign=first.sign, tried=found.tried, whole=whole):
            note(paragraph)
    return 0 if schemes else 1


async def _found(one: Accepted, secret: Secret, *, whole: bool) -> Detected:
    """Search in steps, with a bar, and let the event loop see a Ctrl-C between them."""
    request = one.request if whole else None
    steps = find_schemes(app_id=one.app_id, timestamp=one.timestamp, sign=one.sign, secret=secret, request=request)
    with Bar("searching", unit="signatures") as bar:
        while True:
            try:
                bar(*next(steps))
            except StopIteration as end:
                found: Detected = end.value
                return found
            await asyncio.sleep(0)


def _request(method: str | None, path: str | None, query: str | None, body_file: Path | None) -> SigningInput:
    """Return what was given of a request beside its three headers."""
    url = urlsplit(path or "")
    return SigningInput(
        method=method or ("POST" if body_file else "GET"),
        path=url.path,
        query=tuple(parse_qsl(url.query if query is None else query, keep_blank_values=True)),
        body=(body_file.read_bytes(),) if body_file else (),
    )


def _text_of(curl: str) -> str:
    """Return the text of a file, or of stdin for `-`. Raises `ConfigError`."""
    if curl == "-":
        if sys.stdin.isatty():
            note("paste the curl line; Ctrl-D on a line of its own ends it")
            return sys.stdin.read()
        return text_or_stdin("-", "--curl")
    try:
        return Path(curl).read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"--curl {curl!r} cannot be read: {error.strerror}; name a file, or - for stdin") from None
    except ValueError:
        raise ConfigError(f"--curl {curl!r} is not UTF-8; save it as UTF-8 text") from None


def _asked(what: str, source: str) -> str:
    """Ask for a header on the terminal. Raises `ConfigError` where there is none."""
    _require_somebody(what, source)
    return ask(what).strip()


def _require_somebody(what: str, source: str) -> None:
    """Raise `ConfigError` where nobody is there to be asked."""
    if not can_ask():
        raise ConfigError(f"{what} is missing; set {source}, or run this on a terminal, where it is asked for")
