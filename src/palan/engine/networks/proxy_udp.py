"""The userland proxy for UDP: datagrams that no rule redirects are carried by the engine.

Each client has a socket towards the container, so that answers find back to it, until
nothing has come for a while.  Answers leave from the address that the client had sent to,
as it may take them from nobody else; on a host with several addresses a socket that is
bound to all of them would not do that by itself.
"""

import asyncio
import contextlib
import socket
import struct
from ipaddress import ip_address
from typing import Any, Final


__all__ = ["DatagramProxy"]

IDLE: Final = 90.0
"""Seconds that a client is remembered after its last datagram, as with Docker."""
MOST: Final = 4096
"""Clients of one port."""
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
    """Carries datagrams between the clients of one socket and one place."""

    def __init__(self, sock: socket.socket, where: tuple[str, int]) -> None:
        self._socket = sock
        self._where = where
        self._clients: dict[tuple[Address, bytes], _Client] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._readable)
        self._sweep: asyncio.TimerHandle | None = None

    @staticmethod
    def prepare(sock: socket.socket) -> None:
        """Have a socket tell which address a datagram was sent to; before it is bound."""
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def close(self) -> None:
        """Stop, and forget all clients; idempotent."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        if self._sweep is not None:
            self._sweep.cancel()
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _readable(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data, ancillary, _, sender = self._socket.recvmsg(_LARGEST, _ROOM)
            except OSError:  # there is no more
                return
            info = _answering(ancillary)
            key = sender, info
            client = self._clients.get(key)
            if client is None:
                try:
                    client = self._clients[key] = self._new_client(sender, info)
                except OSError:
                    continue  # lost, as datagrams may be
            client.send(data)

    def _new_client(self, sender: Address, info: bytes) -> "_Client":
        if len(self._clients) >= MOST:
            oldest = min(self._clients, key=lambda key: self._clients[key].used)
            self._clients.pop(oldest).close()
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE / 3, self._forget_idle)
        return _Client(self, self._where, sender, info)

    def _forget_idle(self) -> None:
        before = self._loop.time() - IDLE
        for key in [key for key, client in self._clients.items() if client.used < before]:
            self._clients.pop(key).close()
        self._sweep = self._loop.call_later(IDLE / 3, self._forget_idle) if self._clients else None

    def answer(self, data: bytes, client: Address, info: bytes) -> None:
        """Send a client what the container says."""
        ancillary = []
        if info:
            if self._socket.family == socket.AF_INET6:
                ancillary = [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, info)]
            else:
                ancillary = [(socket.IPPROTO_IP, _IP_PKTINFO, info)]
        with contextlib.suppress(OSError):
            self._socket.sendmsg([data], ancillary, 0, client)


def _answering(ancillary: list[tuple[int, int, bytes]]) -> bytes:
    """What makes an answer leave from where a datagram came to."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, local, destination = _INFO4.unpack_from(data)
            if not ip_address(destination).is_multicast:
                return _INFO4.pack(0, local, bytes(4))
        elif level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            destination, index = _INFO6.unpack_from(data)
            if not ip_address(destination).is_multicast:
                # Only a link-local address needs to be told of which interface it is.
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
        # Nobody listens, as an earlier datagram found out: this one may fare better.
        with contextlib.suppress(OSError):
            self._socket.send(data)

    def _readable(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data = self._socket.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError:
                # Nobody listens.  After an error uvloop would never call again.
                self._loop.remove_reader(self._socket.fileno())
                self._loop.add_reader(self._socket.fileno(), self._readable)
                return
            self.used = self._loop.time()
            self._proxy.answer(data, self._client, self._info)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
