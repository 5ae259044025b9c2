"""By which names the sandbox may be called, and from which pages: its own, so that a browser is no way in.

A page of any site can lead its own name to 127.0.0.1 (DNS rebinding), and then ask here for whatever it likes: only
`Host` shows by whose name a request came. An IP address is nobody's name, so each one is good.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler

from workorder_async.errors import ConfigError

_HOST = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]{1,5}))?")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_PORT_MAX = 65535
# What a browser says of a request from its own page, and of one that a person typed.
_FROM_HERE = ("same-origin", "none")

_Complaint: TypeAlias = tuple[int, str]


class Hosts:
    """The names of one sandbox: `localhost`, every IP address, the `host` that it listens on, and further `names`.

    Raises `ConfigError` for names that are no list of host names.
    """

    def __init__(self, host: str, names: Iterable[str]) -> None:
        if not host:
            raise ConfigError("host is empty, which would mean every network; 127.0.0.1 is this machine alone")
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise ConfigError(f"names must be a list of host names, not {names!r}; put it in brackets")
        self._names = {"localhost", host.lower()}
        for name in names:
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise ConfigError(f"names has {name!r}; it must be a host name alone, such as sandbox, without a port")
            self._names.add(name.lower())

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer what is not for this sandbox, or not from here, with HTTP 421 or 403, before anything else."""
        complaint = self._complain(request)
        if complaint is None:
            return await handler(request)
        status, text = complaint
        return web.Response(status=status, text=text)

    def _complain(self, request: web.Request) -> _Complaint | None:
        hosts = request.headers.getall("Host", ())
        # A whole URL in the request line goes before `Host`.
        if len(hosts) != 1 or not self._is_own(hosts[0]) or not self._is_name(request.url.host or ""):
            return 421, (
                f"the sandbox answers to localhost, IP addresses and names that it was given, not to Host {hosts}; "
                "allow a name with Sandbox(names=[...]) or `workorder sandbox --name`\n"
            )
        own = f"http://{hosts[0]}".lower()
        if any(origin.lower() != own for origin in request.headers.getall("Origin", ())):
            return 403, "the sandbox answers to no other site's page: Origin is not its own\n"
        if any(site not in _FROM_HERE for site in request.headers.getall("Sec-Fetch-Site", ())):
            return 403, "the sandbox answers to no other site's page: Sec-Fetch-Site is not same-origin or none\n"
        return None

    def _is_own(self, host: str) -> bool:
        parts = _HOST.fullmatch(host)
        return parts is not None and int(parts[2] or 0) <= _PORT_MAX and self._is_name(parts[1])

    def _is_name(self, name: str) -> bool:
        if name.lower() in self._names:
            return True
        try:
            ip_address(name[1:-1] if name.startswith("[") else name)
        except ValueError:
            return False
        return True
