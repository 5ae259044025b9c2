"""What a refused signature comes from: found by asking again, with one thing changed at a time.

Every request lists one ticket and changes nothing. A platform cannot know why a Sign is wrong: what tells a wrong
scheme from a wrong secret is that a neighbour of one of them is accepted.
"""

import re
from collections.abc import Iterator
from secrets import token_hex
from typing import Final, TypeAlias

from workorder_async.cli.connection import APP_ID, SCHEME, SECRET, Environment, make_client
from workorder_async.errors import ApiError, ConfigError
from workorder_async.secret import Secret
from workorder_async.signing.scheme import ENCODINGS, UNITS, Scheme
from workorder_async.wire.options import ClientOptions

Answer: TypeAlias = tuple[int, int, str]
"""HTTP status, errno and words of a refusal."""

_QUOTES: Final = " \t\r\n\"'“”‘’"  # those of a chat or a word processor, too
_DETECT: Final = "`workorder sign detect` with one accepted request"


def _answer(error: ApiError, environ: Environment) -> Answer:
    """Return a refusal to be compared with others: its words without the AppId, signatures and times."""
    words = error.errmsg.replace(str(environ[APP_ID]).strip(), "")
    return error.status, error.errno, re.sub(r"[0-9A-Fa-f]{6,}|[0-9]+", "", words)


async def cause(environ: Environment, options: ClientOptions, refused: ApiError) -> str:
    """Return what is to be mended where a signed request was refused, as far as asking again shows it.

    It asks by clients with these options.
    """
    if accepted := await _accepted_neighbour(environ, options):
        return accepted
    made_up = {**environ, SECRET: Secret(token_hex(16))}
    wrong_sign = await _ask(made_up, options)
    stranger = await _ask({**made_up, APP_ID: f"no-such-app-{token_hex(4)}"}, options)
    if wrong_sign is None:
        return f"a made-up secret is accepted now, so the refusal was no matter of the signature: {_permission()}"
    if wrong_sign != _answer(refused, environ):
        return (
            "the signature is right: a made-up secret is refused in other words "
            f"(errno {wrong_sign[1]}); {_permission()}"
        )
    if stranger == wrong_sign:
        return (
            "it cannot be told whether AppId, secret or scheme is wrong: a made-up secret and a made-up AppId are "
            f"refused in the same words; compare {APP_ID} and {SECRET} with what you were given; {_DETECT} then tells "
            "whether secret and scheme belong together"
        )
    return (
        "the platform knows the AppId, and refuses a made-up secret in the same words, so the secret or the scheme is "
        f"wrong; which of them, no answer tells: {_DETECT} does (where it finds a line, the secret is right; where it "
        "finds none, suspect the secret first)"
    )


def _permission() -> str:
    return "ask who runs the platform for the AppId's permission, and whether this machine's address is allowed"


async def _accepted_neighbour(environ: Environment, options: ClientOptions) -> str:
    """Return what to mend where a neighbour of the secret or the scheme is accepted; "" where none is."""
    secret = Secret(environ[SECRET])
    if is_wrapped(secret):
        bare = Secret(secret.reveal().strip(_QUOTES))
        if bare.wrong_with(SECRET) is None and await _ask({**environ, SECRET: bare}, options) is None:
            return (
                f"the secret is wrong: without the blanks or quotes around it it is accepted; cut them off in {SECRET}"
            )
    for line in neighbours(str(environ[SCHEME]).strip()):
        if await _ask({**environ, SCHEME: line}, options) is None:
            return f"the secret is right and the scheme is wrong: {line} is accepted; export {SCHEME}='{line}'"
    return ""


def is_wrapped(secret: Secret) -> bool:
    """Tell whether there are blanks or quotes around a secret."""
    return secret.reveal() != secret.reveal().strip(_QUOTES)


def neighbours(text: str) -> Iterator[str]:
    """Yield a scheme's line with another unit of the Timestamp, and with other ways to write the digest."""
    scheme = Scheme.parse(text)
    head, _, template = text.partition(":")
    name, *options = head.split(",")
    kept = [option for option in options if option not in (*ENCODINGS, *UNITS)]
    for unit in UNITS:
        for encoding in ("hex", "HEX", "base64"):
            if (unit, encoding) != (scheme.unit, scheme.encoding):
                words = [option for option in (encoding, unit) if option not in ("hex", "s")]
                line = f"{','.join([name, *words, *kept])}:{template}"
                try:
                    yield Scheme.parse(line).text
                except ConfigError:  # unpadded hex
                    continue


async def _ask(environ: Environment, options: ClientOptions) -> Answer | None:
    """Ask for a list, and return how it is refused; None where it is accepted."""
    async with make_client(environ, **options) as client:
        try:
            await client.list_tickets(page_size=1)
        except ApiError as error:
            return _answer(error, environ)
    return None
