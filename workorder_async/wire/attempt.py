"""One attempt on the wire: sign, write, read, within its time; a failure says whether anything was sent.

Every attempt is signed afresh. No error leaves here with a frame, a cause or a field that knows the proxy's password.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from urllib.parse import urlsplit

import aiohttp

from workorder_async.document.endpoints import Endpoint
from workorder_async.errors import ConfigError, NoAnswerError, NotSentError, WorkorderError
from workorder_async.secret import without_credentials, without_frames
from workorder_async.signing.clock import ServerClock
from workorder_async.signing.scheme import Signer, SigningInput
from workorder_async.wire.attempt_limit import AttemptLimit
from workorder_async.wire.bodies import Body
from workorder_async.wire.call import Call, Query
from workorder_async.wire.options import SessionOptions
from workorder_async.wire.pool import Pool
from workorder_async.wire.replies import Reply

_HEADERS = {"User-Agent": "workorder_async", "Accept": "application/json"}
_READ_HEADERS = ("Date", "Retry-After", "Location")
_NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


class Wire:
    """Sends the attempts of one session to its base URL."""

    def __init__(self, base_url: str, signer: Signer, options: SessionOptions, clock: ServerClock, pool: Pool) -> None:
        self._base_url = base_url
        self._base_path = urlsplit(base_url).path
        self._signer = signer
        self._options = options
        self._clock = clock
        self._pool = pool
        self._may_know_proxy = options.proxy is not None or options.trust_env or not pool.is_own
        # The time of an attempt is kept here, so that errors can say where it went. In a pool of our own there is a
        # place for every slot; in one that was brought along a call may wait for one, which is no connecting.
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=options.connect_timeout if pool.is_own else None, sock_connect=options.connect_timeout
        )

    async def exchange(self, call: Call) -> Reply:
        """Make the attempt that a call is at. Raises the error for one without a complete answer in time."""
        limit = AttemptLimit()
        try:
            with limit:
                payload = None if call.body is None else await self._payload(call, call.body, limit)
                signed = await self._signed(call)
                sent_at = self._clock.local()
                call.began = call.began or sent_at
                # Once it is signed, the limit of an attempt counts as well.
                limit.set(call.deadline, self._options.attempt_timeout)
                failure: BaseException
                try:
                    # Where the client was closed meanwhile, this raises, and nothing is sent.
                    self._pool.opened()
                    # Of a request without a body nobody is told when it is written.
                    call.sent = call.body is None
                    reply = await self.transfer(call.endpoint, call.query, payload, signed, limit)
                except BaseException as error:  # noqa: BLE001 - raised below, cancellation too
                    failure = self._told(call, error)
                else:
                    call.status = reply.status
                    call.trial.answered(reply.headers.get("Date"), sent_at, self._clock.local())
                    return reply
                # Outside the `except`, or the error that was caught would be its context.
                try:
                    raise failure
                finally:
                    del failure  # which knows this frame
        except TimeoutError as error:
            if not limit.expired:
                raise
            late = self._late(call, limit)
            raise late from late.__cause__ or error

    async def _payload(self, call: Call, body: Body, limit: AttemptLimit) -> aiohttp.Payload:
        """Return what writes the body, and notes that it does."""
        if not body.in_memory:
            limit.set(call.deadline)

        def note_write() -> None:
            call.sent = True
            if not body.in_memory:
                # A large file may take its time, as long as the server takes it: both limits count from its last byte.
                call.deadline = call.deadline.begun_anew()
                limit.set(call.deadline, self._options.attempt_timeout)

        return await body.payload(note_write)

    async def _signed(self, call: Call) -> Mapping[str, str]:
        """Return the headers that sign the attempt."""
        offset, body = call.trial.begin(), call.body
        if body is None or body.in_memory:
            return self.sign(call.endpoint, call.query, () if body is None else tuple(body), offset)
        if getattr(self._signer, "signs_body", True):
            return await asyncio.to_thread(self.sign, call.endpoint, call.query, body, offset)
        return self.sign(call.endpoint, call.query, body, offset)

    def sign(self, endpoint: Endpoint, query: Query, body: Iterable[bytes], offset: float) -> Mapping[str, str]:
        """Return the headers that sign a request by our clock and that many seconds."""
        path, now = self._base_path + endpoint.path, int((self._clock.local() + offset) * 1000)
        signed = self._signer.sign(SigningInput(endpoint.method, path, query, body, now))
        if type(signed) is not dict and not isinstance(signed, Mapping):
            if isinstance(signed, Coroutine):
                signed.close()
            raise ConfigError(
                f"the signer's sign returned a {type(signed).__name__}; it must return a dict of headers, "
                "and be no `async def`"
            )
        return signed

    async def transfer(
        self,
        endpoint: Endpoint,
        query: Query,
        payload: aiohttp.Payload | None,
        signed: Mapping[str, str],
        limit: AttemptLimit,
    ) -> Reply:
        """Write a request and read its answer. No error may keep the frames from here on: they know the proxy."""
        response = await self._pool.opened().request(
            endpoint.method,
            self._base_url + endpoint.path,
            params=query or None,
            data=payload,
            headers={**_HEADERS, **signed},
            allow_redirects=False,
            proxy=None if self._options.proxy is None else self._options.proxy.reveal(),
            ssl=self._options.ssl,
            timeout=self._timeout,
        )
        try:
            content = await self._read(response, limit)
        finally:
            # It is closed once it was read to its end, and its connection is free.
            if not response.closed:
                response.close()
        headers = {name: response.headers[name] for name in _READ_HEADERS if name in response.headers}
        if "Location" in headers:
            headers["Location"] = without_credentials(headers["Location"])
        return Reply(response.status, headers, content)

    async def _read(self, response: aiohttp.ClientResponse, limit: AttemptLimit) -> bytes | None:
        """Read a body, unpacked piece by piece, so that no more than is allowed is ever held; None where it is more."""
        pieces: list[bytes] = []
        size = response.content_length or 0
        stream = response.content
        while size <= self._options.max_body:
            if stream.at_eof():
                return b"".join(pieces)
            piece = await stream.readany()
            pieces.append(piece)
            limit.note(len(piece))
            size = limit.received
        return None

    def _told(self, call: Call, error: BaseException) -> BaseException:
        """Return what is raised for a failure on the wire: without the frames, which hold the proxy's password.

        Where a proxy may be known, without its cause as well: aiohttp's errors have the proxy's URL in their fields.
        """
        causes = not self._may_know_proxy
        if not isinstance(error, aiohttp.ClientError | OSError):
            return without_frames(error, causes=causes)
        if call.body is not None and call.body.failure is not None:
            return without_frames(call.body.failure, causes=causes)
        lost = self._lost(call, f"{type(error).__name__}: {error}", error)
        if causes:
            lost.__cause__ = without_frames(error, causes=True)
        return lost

    def failure(self, call: Call, limit: AttemptLimit, error: BaseException) -> BaseException:
        """Return what is raised for what ended a transfer within its limit."""
        if isinstance(error, TimeoutError) and limit.expired:
            late = self._late(call, limit)
            late.__cause__ = late.__cause__ or without_frames(error, causes=not self._may_know_proxy)
            return late
        return self._told(call, error)

    def _late(self, call: Call, limit: AttemptLimit) -> WorkorderError:
        """Return the error for an attempt whose time is up, or the call's."""
        return (
            call.too_late() if limit.ends_call else self._lost(call, f"nothing for {self._options.attempt_timeout:g} s")
        )

    def _lost(self, call: Call, why: str, error: BaseException | None = None) -> WorkorderError:
        """Turn a failure of the network into the error that says whether anything was sent."""
        why = without_credentials(" ".join(why.replace(" ssl:default", "").split())).rstrip(":")
        if isinstance(error, _NOT_CONNECTED):
            call.sent = False
        if not call.sent:
            secured = ", the certificate, and whether https is spoken there" if self._base_url[:6] == "https:" else ""
            mend = f"check the host, the network and the proxy{secured}"
            return NotSentError(f"could not send to {self._base_url}: {why}; {mend}")
        return NoAnswerError(f"no complete answer from {self._base_url}: {why}")
