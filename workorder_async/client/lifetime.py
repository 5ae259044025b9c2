"""How a client is made, what it tells of itself, and how it ends."""

import asyncio
from collections.abc import Mapping
from ssl import SSLContext
from types import TracebackType
from typing import Self, Unpack
from weakref import WeakSet

from workorder_async.client.environment import checked_url, platform_of, variables, warn_of_plain_http
from workorder_async.client.options import ClientOptions, hide_passwords, session_options
from workorder_async.client.sender import MutationSender
from workorder_async.errors import ConfigError
from workorder_async.protocol.signing import Signer
from workorder_async.secret import Secret
from workorder_async.transport.deadline import Deadline
from workorder_async.transport.limits import ClientStats
from workorder_async.transport.session import SignedSession
from workorder_async.walks.walk import Walk


class ClientLifetime:
    """What a client is, whatever it does: one session, in one event loop, from `async with` to its end."""

    def __init__(self, base_url: str, *, signer: Signer, **options: Unpack[ClientOptions]) -> None:
        # Before anything can fail: a traceback with locals would show passwords in them.
        hide_passwords(options)
        hidden_url = Secret(base_url)
        del base_url
        if not callable(getattr(signer, "sign", None)):
            raise ConfigError("signer must have a sign method; for example SchemeSigner(app_id, app_secret, scheme)")
        self._how = session_options(options)
        self._session = SignedSession(checked_url(hidden_url), signer, self._how, options.get("session"))
        warn_of_plain_http(self._session.base_url)
        self._mutations = MutationSender(self._session)
        self._walks: WeakSet[Walk] = WeakSet()

    @classmethod
    def from_env(cls, environ: "Mapping[str, str | Secret] | None" = None, **options: Unpack[ClientOptions]) -> Self:
        """Make a client from WORKORDER_BASE_URL, WORKORDER_APP_ID, WORKORDER_APP_SECRET and WORKORDER_SIGN_SCHEME.

        They are taken from `environ`; None is the process's environment. `options` are those of the class itself.
        Raises `ConfigError` that names each variable that is missing.
        """
        hide_passwords(options)
        found = variables(environ)
        # Else a traceback with locals would show the secret.
        del environ
        base_url, signer = platform_of(found)
        return cls(base_url.reveal(), signer=signer, **options)

    @property
    def base_url(self) -> str:
        """The base URL, without a slash at its end."""
        return self._session.base_url

    @property
    def proxy(self) -> Secret | None:
        """The URL of the proxy that the client was made with, for requests to other hosts; None for none."""
        return self._how.proxy

    @property
    def ssl(self) -> SSLContext | bool:
        """The certificates that the client was made with; True for the usual checks, False for any certificate."""
        return self._how.ssl

    @property
    def clock_offset(self) -> float:
        """How many seconds the server's clock seems ahead of ours, by the `Date` of its answers.

        0 while they agree or nothing is known. Requests are signed by our own clock, until a signature is refused.
        """
        return self._session.clock.offset

    def stats(self) -> ClientStats:
        """Return what is under way at this moment, and what throttling has taught; inside the event loop only."""
        return self._session.stats()

    def now(self) -> float:
        """Return our own time, in seconds since the epoch, by the clock that the client was made with."""
        return self._session.clock.local()

    def deadline(self, seconds: float | None = None) -> Deadline:
        """Return the deadline of calls that begin now: after so many seconds, or after those of the client.

        Raises `ConfigError` for what is no number above 0.
        """
        return self._session.deadline(seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the walks that are still under way, and close the connections; a session brought along stays open."""
        try:
            # Waits for all of them, also when this is cancelled.
            await asyncio.gather(*(walk.aclose() for walk in self._walks))
        finally:
            await self._session.aclose()
