"""Monitoring of the subnets that the host has addresses in or routes to."""

import errno
import socket
from typing import Final

from palan.host import _netlink_codec as codec
from palan.host._netlink_codec import IPNetwork


__all__ = ["AddressMonitor", "is_local"]

_GROUPS: Final = 0x10 | 0x100 | 0x40 | 0x400
"""Addresses and routes of both versions of IP."""
_ADDRESSES: Final = (20, 21)
_ROUTES: Final = (24, 25)
_FAMILIES: Final = (2, 10)
_UNICAST: Final = 1
_BUFFER: Final = 1 << 16
_RECEIVE_BUFFER: Final = 1 << 20


def is_local(network: IPNetwork) -> bool:
    """Return whether a subnet exists on every link or host, so that none can hide it."""
    return network.is_link_local or network.is_multicast or network.is_loopback


class AddressMonitor:
    """Receives notifications about addresses and routes in the host's namespace.

    Raises:
        OSError: permission is denied.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            socket.NETLINK_ROUTE,
        )
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._socket.bind((0, _GROUPS))
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Stop monitoring."""
        self._socket.close()

    def read(self) -> set[int] | None:
        """Return the indexes of the interfaces whose subnets changed since the last call.

        Returns:
            The indexes, with 0 for routes through several interfaces; None if notifications
            were lost.
        """
        changed: set[int] = set()
        lost = False
        while True:
            try:
                data = self._socket.recv(_BUFFER)
            except BlockingIOError:
                return None if lost else changed
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            for message in codec.decode_messages(data):
                if (index := _changed(message)) is not None:
                    changed.add(index)


def _changed(message: codec.Message) -> int | None:
    """Return the index of the interface that a notification is about; None if it does not count."""
    if message.type in _ADDRESSES:
        address = codec.decode_address(message.body)
        return None if is_local(address.address.network) else address.index
    if message.type in _ROUTES and message.body[0] in _FAMILIES:
        route = codec.decode_route(message.body)
        if route.kind == _UNICAST and route.destination.prefixlen:
            return None if is_local(route.destination) else route.index
    return None
