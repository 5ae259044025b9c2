"""One reply off the wire: the platform's answer in it, or the error that it means."""

import asyncio
from collections.abc import Mapping

from attrs import define, evolve

from workorder_async.document import JSON
from workorder_async.document.envelope import Answer, not_the_platforms, open_envelope
from workorder_async.document.headers import retry_after
from workorder_async.document.large_json import LARGE, parse_large
from workorder_async.errors import ApiError, WorkorderError
from workorder_async.wire.options import SessionOptions

#: Shorter than any page of tickets.
SHORT = 1024


@define
class Reply:
    """What came off the wire in answer to one attempt."""

    status: int
    headers: Mapping[str, str]
    """Those that anybody asks for."""
    content: bytes | None
    """The body, unpacked; None where it is larger than is read."""

    @property
    def is_opened_first(self) -> bool:
        """Whether it may say "too many requests": that must be known before its slot is somebody else's."""
        return self.content is None or len(self.content) < SHORT or self.status != 200

    @property
    def is_large(self) -> bool:
        """Whether it takes too long to be parsed in the event loop."""
        return self.content is not None and len(self.content) > LARGE


class Opener:
    """Opens the replies of one session."""

    def __init__(self, options: SessionOptions, errnos: Mapping[int, type[ApiError]]) -> None:
        self._options = options
        self._errnos = errnos

    def open(self, reply: Reply, operation: str, attempts: int, *parsed: JSON) -> Answer:
        """Return what a successful answer holds.

        Raises what the reply means; `retry_after` of the error is what the server asks for. `parsed` is the body as
        JSON: without it, a large one is not the platform's.
        """
        status, headers, content = reply.status, reply.headers, reply.content
        try:
            if content is None:
                what = f"a body of more than {self._options.max_body:,} bytes (max_body)"
                raise not_the_platforms(status, b"", what)
            if reply.is_large and not parsed:
                raise not_the_platforms(status, content)
            location = headers.get("Location", "")
            return open_envelope(
                status, content, self._errnos, *parsed, location=location, operation=operation, attempts=attempts
            )
        except WorkorderError as error:
            said = retry_after(headers.get("Retry-After"), headers.get("Date"), self._options.now())
            error.retry_after = None if said is None else min(said, self._options.longest_pause)
            raise


async def parsed_beside(content: bytes) -> tuple[JSON, ...]:
    """Parse a large body in a thread, where it does not hold up the event loop; nothing where it is no JSON."""
    try:
        return (await asyncio.to_thread(parse_large, content),)
    except (ValueError, RecursionError):
        return ()


def large(answer: Answer) -> Answer:
    """Mark an answer as one to be decoded in a thread."""
    return evolve(answer, large=True)
