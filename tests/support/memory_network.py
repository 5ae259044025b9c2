"""A network in memory: an event loop whose connections run between its own servers and clients, without the kernel.

All code that asks the loop for a server or a connection over TCP gets one of these: aiohttp's server and its
`TCPConnector`, `asyncio.start_server`, `asyncio.open_connection`. Real sockets stand for the two ends, so that their
addresses, ports and options work as always; no byte goes through them. TLS stays on real sockets.
"""

import asyncio
import errno
import socket
import struct
from asyncio import constants, transports
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from itertools import count
from selectors import BaseSelector
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

# As much as asyncio reads from a socket at once.
_PIECE = 256 * 1024
_LINGER = struct.Struct("ii")

Address: TypeAlias = tuple[str, int]
_ProtocolFactory: TypeAlias = Callable[[], asyncio.BaseProtocol]


class MemoryTransport(transports._FlowControlMixin):
    """One end of a connection: bytes that are written here are received at the other end, in a later turn of the loop.

    As with sockets, bytes that were written before the end of a connection arrive before it. The end is a reset if
    bytes were left unread, if SO_LINGER says not to linger, and for a writer to an end that is closed.
    """

    _sendfile_compatible = constants._SendfileMode.FALLBACK
    if TYPE_CHECKING:
        _protocol_paused: bool

        def _maybe_pause_protocol(self) -> None: ...
        def _maybe_resume_protocol(self) -> None: ...

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.BaseProtocol, **extra: Address
    ) -> None:
        super().__init__({**extra, "socket": TransportSocket(sock)}, loop)
        self.other: MemoryTransport
        self._loop = loop
        self._sock = sock
        self._protocol: Any = protocol
        self._incoming = bytearray()  # bytes that the other end has written, and nobody has received
        self._end: list[Exception | None] = []  # comes after them: None for the end, else a reset
        self._receiving: asyncio.Handle | None = None
        self._paused = self._wrote_eof = self._closing = False

    def begin(self) -> None:
        """Tell the protocol that it is connected, in the next turn of the loop."""
        self._loop.call_soon(self._protocol.connection_made, self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol receive the bytes that come."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that receives the bytes."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        """Tell whether this end is closed, or about to be."""
        return self._closing

    def is_reading(self) -> bool:
        """Tell whether bytes that come are received."""
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        """Receive nothing for now; the other end is told to write no more once there is enough."""
        self._paused = True

    def resume_reading(self) -> None:
        """Receive again."""
        self._paused = False
        self._receive_soon()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the other end has not received."""
        return 0 if self._closing else len(self.other._incoming)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; those that are written after the end of a connection are lost."""
        if self._wrote_eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not data:
            return
        if self.other._closing:
            self._loop.call_soon(self._lose, _reset())
            return
        self.other._incoming += data
        self.other._receive_soon()
        self._maybe_pause_protocol()

    def can_write_eof(self) -> bool:
        """Tell that one direction may end before the other."""
        return True

    def write_eof(self) -> None:
        """End this direction."""
        if not self._closing and not self._wrote_eof:
            self._wrote_eof = True
            self.other._end_with(None)

    def close(self) -> None:
        """Close this end; bytes that were written before still arrive."""
        self._lose(None)

    def abort(self) -> None:
        """Close this end."""
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        """Close this end, and tell both protocols; the one of this end is told `error`."""
        if self._closing:
            return
        self._closing = True
        is_abrupt = bool(self._incoming) or _LINGER.unpack(
            self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.size)
        ) == (1, 0)
        self._incoming.clear()
        self.other._end_with(_reset() if is_abrupt else None)
        self._loop.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        self._sock.close()
        self._protocol.connection_lost(error)

    def _end_with(self, error: Exception | None) -> None:
        """Let the connection end once the bytes that have come are received."""
        self._end.append(error)
        if error is not None and self._protocol_paused:
            # A writer that waits to write more learns it now.
            self._lose(error)
        self._receive_soon()

    def _receive_soon(self) -> None:
        if self._receiving is None and self.is_reading() and (self._incoming or self._end):
            self._receiving = self._loop.call_soon(self._receive)

    def _receive(self) -> None:
        """Hand the protocol the bytes that have come, up to a piece in a turn of the loop, or the end."""
        self._receiving = None
        if not self.is_reading():
            return
        try:
            if self._incoming:
                piece = bytes(self._incoming[:_PIECE])
                del self._incoming[:_PIECE]
                self._protocol.data_received(piece)
                self.other._maybe_resume_protocol()
            elif (error := self._end.pop(0)) is not None:
                self._lose(error)
            elif not self._protocol.eof_received():
                self.close()
        except Exception as raised:  # noqa: BLE001 - told to the loop, as asyncio does
            self._lose(raised)
            context = {"message": "a protocol failed", "exception": raised, "transport": self}
            self._loop.call_exception_handler(context)
        self._receive_soon()


class MemoryNetworkLoop(asyncio.SelectorEventLoop):
    """An event loop whose TCP connections are pairs of `MemoryTransport`.

    `_make_socket_transport`, `_start_serving` and `_stop_serving` are private to asyncio, and the same from Python 3.6
    to 3.13: all its ways to make a server or a connection come together there.
    """

    def __init__(self, selector: BaseSelector | None = None) -> None:
        super().__init__(selector)
        self._listening: dict[Address, _ProtocolFactory] = {}
        self._called: WeakKeyDictionary[socket.socket, tuple[Address, _ProtocolFactory]] = WeakKeyDictionary()
        self._callers = count(1)

    def _start_serving(self, protocol_factory: _ProtocolFactory, sock: socket.socket, *_: Any, **__: Any) -> None:
        self._listening[sock.getsockname()[:2]] = protocol_factory

    def _stop_serving(self, sock: socket.socket) -> None:
        self._listening.pop(sock.getsockname()[:2], None)
        sock.close()

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Call an address: one of this loop's servers, or nobody, which is refused as everywhere."""
        await asyncio.sleep(0)
        factory = self._listening.get(address[:2])
        if factory is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed {address}")
        self._called[sock] = address[:2], factory

    def _make_socket_transport(
        self, sock: socket.socket, protocol: asyncio.BaseProtocol, waiter: "asyncio.Future[None]", **_: Any
    ) -> MemoryTransport:
        """Connect a socket that has called with a new connection of the server; return the caller's end."""
        address, factory = self._called.pop(sock)
        caller = address[0], next(self._callers)
        near = MemoryTransport(self, sock, protocol, sockname=caller, peername=address)
        far = MemoryTransport(self, socket.socket(sock.family), factory(), sockname=address, peername=caller)
        near.other, far.other = far, near
        far.begin()
        near.begin()
        self.call_soon(_set, waiter)
        return near

    def _make_ssl_transport(self, sock: socket.socket, *_: Any, **__: Any) -> None:
        sock.close()
        raise NotImplementedError("TLS stays on real sockets; run this in a usual event loop")


def _set(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _reset() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
