"""The userland proxy for UDP: the engine forwards datagrams that no rule redirects.

Each client has its own socket towards the container, on which answers arrive; it is
closed after some time without datagrams.  Answers are sent from the address to which the client
has sent, as it may accept them from no other.  On a host with several addresses, a socket bound
to all of them does not do that by itself.
"""

import asyncio
import contextlib
import socket
import struct
from ipaddress import ip_address
from typing import Any, Final

from palan.engine.networks.proxy_limits import Budget


__all__ = ["DatagramProxy"]

IDLE: Final = 90.0
"""Seconds for which a client's socket is kept after its last datagram, as with Docker."""
MOST: Final = 4096
"""The largest number of clients of one port."""
AT_ONCE: Final = 32
_LARGEST: Final = 65535
_ROOM: Final = 128
_IP_PKTINFO: Final = 8
_IPV6_PKTINFO: Final = 50
_IPV6_RECVPKTINFO: Final = 49
_INFO4: Final = struct.Struct("=i4s4s")
_INFO6: Final = struct.Struct("=16si")

Address = tuple[Any, ...]


class DatagramProxy:
    """Forwards datagrams between the clients of a socket and a container.

    Args:
        sock: the bound socket.
        where: the address and port to forward to.
        budget: limits the clients of all proxies.
    """

    def __init__(self, sock: socket.socket, where: tuple[str, int], budget: Budget) -> None:
        self._socket = sock
        self._where = where
        self._budget = budget
        self._clients: dict[tuple[Address, bytes], _Client] = {}
        """All clients, the longest silent one first."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._readable)
        self._sweep: asyncio.TimerHandle | None = None

    @staticmethod
    def prepare(sock: socket.socket) -> None:
        """Make a socket report the destination address of datagrams; call it before binding."""
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def close(self) -> None:
        """Stop, and close the sockets of all clients; idempotent."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        if self._sweep is not None:
            self._sweep.cancel()
        while self._clients:
            self._close_first()

    def _readable(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data, ancillary, _, sender = self._socket.recvmsg(_LARGEST, _ROOM)
            except OSError:  # no more datagrams
                return
            info = _answering(ancillary)
            key = sender, info
            client = self._clients.get(key) or self._new_client(key)
            if client is not None:
                self._touch(key)
                client.send(data)

    def _touch(self, key: tuple[Address, bytes]) -> None:
        """Make a client the last of the silent ones."""
        if (client := self._clients.pop(key, None)) is not None:
            self._clients[key] = client

    def _new_client(self, key: tuple[Address, bytes]) -> "_Client | None":
        """Return the socket of a new client; None if there is no room, and the datagram is lost."""
        if len(self._clients) >= MOST:
            self._close_first()
        if not self._budget.reserve(self, 1):
            return None
        try:
            client = self._clients[key] = _Client(self, self._where, *key)
        except OSError:
            self._budget.release(self, 1)
            return None
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE / 3, self._close_idle)
        return client

    def _close_first(self) -> None:
        self._clients.pop(next(iter(self._clients))).close()
        self._budget.release(self, 1)

    def close_longest_silent(self, silent: float) -> bool:
        """Close the socket of the client that was silent for the longest time."""
        client = next(iter(self._clients.values()), None)
        if client is None or self._loop.time() - client.used < silent:
            return False
        self._close_first()
        return True

    def _close_idle(self) -> None:
        while self.close_longest_silent(IDLE):
            pass
        self._sweep = self._loop.call_later(IDLE / 3, self._close_idle) if self._clients else None

    def answer(self, data: bytes, client: Address, info: bytes) -> None:
        """Send an answer of the container to a client."""
        self._touch((client, info))
        ancillary = []
        if info:
            if self._socket.family == socket.AF_INET6:
                ancillary = [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, info)]
            else:
                ancillary = [(socket.IPPROTO_IP, _IP_PKTINFO, info)]
        with contextlib.suppress(OSError):
            self._socket.sendmsg([data], ancillary, 0, client)


def _answering(ancillary: list[tuple[int, int, bytes]]) -> bytes:
    """Return the control data by which an answer is sent from the datagram's destination."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, local, destination = _INFO4.unpack_from(data)
            if not ip_address(destination).is_multicast:
                return _INFO4.pack(0, local, bytes(4))
        elif level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            destination, index = _INFO6.unpack_from(data)
            if not ip_address(destination).is_multicast:
                # Only link-local addresses need the index of the interface.
                local_only = ip_address(destination).is_link_local
                return _INFO6.pack(destination, index if local_only else 0)
    return b""


class _Client:
    """A client's socket towards the container."""

    def __init__(
        self, proxy: DatagramProxy, where: tuple[str, int], client: Address, info: bytes
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._info = info
        self._loop = asyncio.get_running_loop()
        self.used = self._loop.time()
        family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.setblocking(False)
            self._socket.connect(where)
            self._loop.add_reader(self._socket.fileno(), self._readable)
        except BaseException:
            self._socket.close()
            raise

    def send(self, data: bytes) -> None:
        self.used = self._loop.time()
        # An earlier datagram was refused; the container may accept the next one.
        with contextlib.suppress(OSError):
            self._socket.send(data)

    def _readable(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data = self._socket.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError:
                # The port is closed.  After an error, uvloop calls no reader any more.
                self._loop.remove_reader(self._socket.fileno())
                self._loop.add_reader(self._socket.fileno(), self._readable)
                return
            self.used = self._loop.time()
            self._proxy.answer(data, self._client, self._info)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
